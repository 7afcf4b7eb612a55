/* A broker that runs out of descriptors (FAULTS R01, G15): who is connected is
 * served, who comes late is turned away, nothing spins, and when there is room
 * again the next is let in. */
#include "tests/system/system.h"

#include <poll.h>
#include <stdlib.h>

#include "tests/support/rawzmtp.h"
#include "tests/system/usage.h"

#define LIMIT    256 /* descriptors of the broker */
#define CONNECTS 1000
#define WATCH_MS 1000
#define CPU_MS   200  /* of WATCH_MS; a loop without a rest takes all of it */
#define BACK_MS  2000 /* G15: service is back so soon */
#define SLOW     (SYS_SANITIZED ? 4 : 1)

struct fixture {
    struct td_daemon broker;
    struct sys_peer good;
    struct sys_peer late;
    uint64_t rounds;
    struct td_raw raw[CONNECTS];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (!f)
        return -1;
    for (int i = 0; i < CONNECTS; i++)
        f->raw[i].fd = -1;
    *state = f;
    return 0;
}

static void hang_up(struct fixture *f)
{
    for (int i = 0; i < CONNECTS; i++)
        td_raw_close(&f->raw[i]);
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    hang_up(f);
    sys_peer_close(&f->good);
    sys_peer_close(&f->late);
    td_daemon_end(&f->broker);
    free(f);
    return 0;
}

static void start(struct fixture *f, const char *limits)
{
    usage_broker_start(&f->broker, limits, "");
    sys_peer_open(&f->good, f->broker.endpoint[0], "good");
    sys_peer_subscribe(&f->good, "good.>");
}

static void still_good(struct fixture *f)
{
    f->rounds++;
    sys_round_trip(&f->good, &f->good, "good.round", f->rounds);
}

/* Round trips for a while; how much the broker works meanwhile. */
static long watch_cpu(struct fixture *f)
{
    int64_t end_ms = td_proc_now_ms() + WATCH_MS;
    long before_ms = usage_cpu_ms(&f->broker.proc);

    while (td_proc_now_ms() < end_ms) {
        still_good(f);
        poll(NULL, 0, 50);
    }
    return usage_cpu_ms(&f->broker.proc) - before_ms;
}

static void until_descriptors(struct fixture *f, int at_most)
{
    int64_t deadline_ms = td_proc_now_ms() + SYS_WAIT_MS;

    while (usage_descriptors(&f->broker.proc) > at_most) {
        assert_true(td_proc_now_ms() < deadline_ms);
        poll(NULL, 0, 5);
    }
}

static int count(const char *text, const char *word)
{
    int n = 0;

    for (; (text = strstr(text, word)) != NULL; text++)
        n++;
    return n;
}

/* How many of the connections the broker has not ended. */
static int count_living(struct fixture *f)
{
    int n = 0;

    for (int i = 0; i < CONNECTS; i++)
        n += f->raw[i].fd >= 0 && !td_raw_until_gone(&f->raw[i], 0);
    return n;
}

/* They are through their handshake, so that they are not ended for that. */
static void fill(struct fixture *f)
{
    for (int i = 0; i < CONNECTS; i++) {
        if (td_raw_open(&f->raw[i], f->broker.endpoint[0]) &&
            usage_descriptors(&f->broker.proc) < LIMIT / 2)
            td_raw_greet(&f->raw[i], SYS_WAIT_MS);
    }
}

static void test_descriptors_run_out_and_come_back(void **state)
{
    struct tidings_options options = {0};
    struct fixture *f = *state;
    int64_t start_ms;
    long cpu_ms;

    if (!usage_may_open(CONNECTS + 200))
        skip();
    start(f, "ulimit -n 256");
    fill(f);

    cpu_ms = watch_cpu(f);
    if (cpu_ms > CPU_MS * SLOW)
        fail_msg("it worked %ld ms of %d", cpu_ms, WATCH_MS);
    assert_true(usage_descriptors(&f->broker.proc) < LIMIT);
    assert_true(count_living(f) < LIMIT);
    assert_true(count_living(f) > LIMIT / 4);
    assert_int_equal(count(td_proc_errors(&f->broker.proc), "DESCRIPTORS"), 1);

    /* Who comes while all is taken waits, and is let in. */
    watch_init(&f->late.watch);
    options.on_status = watch_on_status;
    options.on_status_arg = &f->late.watch;
    assert_ok(tidings_open(&f->late.bus, f->broker.endpoint[0], &options));
    hang_up(f);
    assert_ok(tidings_wait(f->late.bus, SYS_WAIT_MS));
    sys_peer_close(&f->late);
    until_descriptors(f, LIMIT / 4);
    start_ms = td_proc_now_ms();
    sys_peer_open(&f->late, f->broker.endpoint[0], "late");
    if (td_proc_now_ms() - start_ms > BACK_MS * SLOW)
        fail_msg("the next was let in after %d ms",
                 (int)(td_proc_now_ms() - start_ms));
    still_good(f);
    assert_int_equal(watch_now(&f->good.watch).down, 0);
}

/* Who connects again and again costs little. */
static void test_descriptors_run_out_under_a_storm(void **state)
{
    enum { STORM_MS = 1000, HELD = 400 };
    struct fixture *f = *state;
    int64_t end_ms = td_proc_now_ms() + STORM_MS;
    int made = 0;

    if (!usage_may_open(CONNECTS + 200))
        skip();
    start(f, "ulimit -n 256");
    for (; td_proc_now_ms() < end_ms; made++) {
        struct td_raw *raw = &f->raw[made % HELD];

        td_raw_close(raw);
        assert_true(td_raw_open(raw, f->broker.endpoint[0]));
        if (made % 200 == 0)
            still_good(f);
    }
    print_message("%d connections in %d ms: broker worked %ld ms, has %d "
                  "descriptors\n",
                  made, STORM_MS, usage_cpu_ms(&f->broker.proc),
                  usage_descriptors(&f->broker.proc));
    hang_up(f);
    until_descriptors(f, LIMIT / 4);
    still_good(f);
    assert_int_equal(watch_now(&f->good.watch).down, 0);
    assert_true(count(td_proc_errors(&f->broker.proc), "DESCRIPTORS") <= 1);
}

/* What the shell allows for now is not what it may allow. */
static void test_descriptors_are_as_many_as_may_be(void **state)
{
    enum { MANY = 300 };
    struct fixture *f = *state;

    if (!usage_may_open(CONNECTS + 200))
        skip();
    start(f, "ulimit -S -n 64");
    for (int i = 0; i < MANY; i++) {
        assert_true(td_raw_open(&f->raw[i], f->broker.endpoint[0]));
        assert_true(td_raw_greet(&f->raw[i], SYS_WAIT_MS));
    }
    assert_int_equal(count_living(f), MANY);
    still_good(f);
    assert_int_equal(count(td_proc_errors(&f->broker.proc), "DESCRIPTORS"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_descriptors_run_out_and_come_back),
        TEST(test_descriptors_run_out_under_a_storm),
        TEST(test_descriptors_are_as_many_as_may_be),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
