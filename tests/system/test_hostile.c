/* Hostile and careless clients against a real broker (FAULTS W01..W22, W26;
 * with a data folder, D12, D13, D14, D15).
 * hostile_client.py sends and judges the answers; after each of its cases two
 * good clients of the library must still reach each other. */
#include "tests/system/system.h"

#include <stdlib.h>

#include "tests/support/folder.h"
#include "tests/system/python.h"
#include "tests/system/usage.h"

#define GROWTH_KB (8 * 1024) /* FAULTS G7 */
#define CPU_MS    2000       /* of some seconds; it is some tens */

struct fixture {
    struct td_folder folder; /* "": none */
    struct td_daemon broker;
    struct sys_peer good;   /* publishes good.round to itself */
    struct sys_peer trap;   /* bad.>: nothing may ever come */
    struct sys_peer opener; /* junk.>: events that cannot be read */
    struct td_proc hostile;
};

static int begin(struct fixture *f, const char *const *args)
{
    const char *url;

    sys_broker_start(&f->broker, args);
    url = f->broker.endpoint[0];
    sys_peer_open(&f->good, url, "good");
    sys_peer_subscribe(&f->good, "good.>");
    sys_peer_open(&f->trap, url, "trap");
    sys_peer_subscribe(&f->trap, "bad.>");
    sys_peer_open(&f->opener, url, "opener");
    sys_peer_subscribe(&f->opener, "junk.>");
    return 0;
}

static int setup(void **state)
{
    *state = calloc(1, sizeof(struct fixture));
    return *state ? begin(*state, NULL) : -1;
}

static int setup_durable(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    const char *args[] = {"--data", NULL, NULL};

    *state = f;
    if (!f || !td_folder_new(&f->folder))
        return -1;
    args[1] = f->folder.path;
    return begin(f, args);
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    td_proc_end(&f->hostile);
    sys_peer_close(&f->good);
    sys_peer_close(&f->trap);
    sys_peer_close(&f->opener);
    td_daemon_end(&f->broker);
    td_folder_remove(&f->folder);
    free(f);
    return 0;
}

struct tally {
    uint64_t cases;
    uint64_t broken;
    uint64_t junk;
};

/* One line of the hostile client; false when it was its last. */
static bool obey(struct fixture *f, struct tally *t, const char *line)
{
    if (strncmp(line, "done ", 5) == 0)
        return false;
    if (strncmp(line, "junk ", 5) == 0) {
        t->junk += strtoull(line + 5, NULL, 10);
        return true;
    }
    if (strncmp(line, "broken ", 7) == 0) {
        t->broken++;
        print_error("%s\n", line);
    }
    t->cases++;
    sys_round_trip(&f->good, &f->good, "good.round", t->cases);
    assert_true(td_proc_say(&f->hostile, ""));
    return true;
}

/* All of its cases. */
static struct tally obey_all(struct fixture *f, const char *option)
{
    const char *args[] = {f->broker.endpoint[0], option, NULL};
    struct tally tally = {0};
    const char *line;

    python_start(&f->hostile, "hostile_client.py", args);
    do {
        line = td_proc_line(&f->hostile, SYS_WAIT_MS);
        if (!line)
            fail_msg("it stopped: %s", td_proc_errors(&f->hostile));
    } while (obey(f, &tally, line));
    assert_int_equal(tally.broken, 0);
    return tally;
}

static bool junk_was_told(const struct watch *w, void *arg)
{
    return w->bad_events == *(uint64_t *)arg;
}

static void test_hostile_clients_get_what_the_protocol_says(void **state)
{
    struct fixture *f = *state;
    struct sys_counters counters;
    long before_kb = td_proc_resident_kb(&f->broker.proc);
    struct tally tally = obey_all(f, NULL);

    assert_true(tally.cases > 100); /* it found its cases */
    assert_int_equal(watch_now(&f->trap.watch).events, 0);
    assert_int_equal(watch_now(&f->trap.watch).bad_events, 0);
    assert_int_equal(watch_now(&f->good.watch).down, 0);
    assert_true(tally.junk > 0);
    assert_true(
        watch_until(&f->opener.watch, junk_was_told, &tally.junk, SYS_WAIT_MS));
    assert_int_equal(watch_now(&f->opener.watch).events, 0);
    counters = sys_counters(f->good.bus);
    assert_true(counters.bad_frames > 100);
    assert_true(counters.breaches >= 4);
    if (!SYS_SANITIZED)
        assert_true(td_proc_resident_kb(&f->broker.proc) - before_kb <
                    GROWTH_KB);
}

/* A storm of naks among them: it may not keep the broker busy. */
static void test_settlements_get_what_the_protocol_says(void **state)
{
    struct fixture *f = *state;
    struct tally tally = obey_all(f, "--durable");

    assert_true(tally.cases > 10);
    assert_int_equal(watch_now(&f->good.watch).down, 0);
    if (!SYS_SANITIZED)
        assert_true(usage_cpu_ms(&f->broker.proc) < CPU_MS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_hostile_clients_get_what_the_protocol_says),
        cmocka_unit_test_setup_teardown(
            test_settlements_get_what_the_protocol_says, setup_durable,
            teardown),
    };

    if (!python_is_there())
        return PYTHON_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
