/* Members of durable groups as processes that crash, hang and come back, and
 * publishers whose confirms are lost (FAULTS D02, D05, D06, D07, D10). */
#include "tests/support/operate.h"
#include "tests/system/system.h"

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "tests/support/chaosproxy.h"
#include "tests/support/folder.h"
#include "tests/system/record.h"

#define STREAM      "events"
#define GROUP       "workers"
#define EVENTS      2000u
#define ACK_WAIT_MS 500
#define CONFIRMS    5000u

struct fixture {
    struct td_folder folder;
    struct td_daemon broker;
    struct td_proc members[2];
    struct td_chaos *chaos;
    tidings_bus *bus;
    char records[TD_FOLDER_PATH_MAX + 16];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (!f || !td_folder_new(&f->folder))
        return -1;
    snprintf(f->records, sizeof(f->records), "%s/records", f->folder.path);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    tidings_close(f->bus);
    for (size_t i = 0; i < 2; i++) {
        td_proc_signal(&f->members[i], SIGCONT);
        td_proc_end(&f->members[i]);
    }
    td_chaos_stop(f->chaos);
    td_daemon_end(&f->broker);
    td_folder_remove(&f->folder);
    free(f);
    return 0;
}

static void start_with(struct fixture *f, const char *grace_s,
                       struct tidings_group_options group)
{
    const char *args[] = {"--data", f->folder.path, "--grace", grace_s, NULL};
    const struct tidings_options options = {.confirm = TIDINGS_DISK};

    group.stream = STREAM;
    group.group = GROUP;
    sys_broker_start(&f->broker, args);
    assert_ok(tidings_open(&f->bus, f->broker.endpoint[0], &options));
    assert_ok(tidings_group_add(f->bus, &group, SYS_WAIT_MS));
}

static void start(struct fixture *f, uint32_t max_deliver,
                  uint32_t max_in_flight)
{
    start_with(f, "1",
               (struct tidings_group_options){.ack_wait_ms = ACK_WAIT_MS,
                                              .max_deliver = max_deliver,
                                              .max_in_flight = max_in_flight,
                                              .backoff_ms = 10,
                                              .backoff_max_ms = 10});
}

static void start_member(struct fixture *f, size_t i)
{
    const char *argv[] = {"system_member", f->broker.endpoint[0],
                          STREAM,          GROUP,
                          f->records,      NULL};

    td_proc_end(&f->members[i]);
    assert_true(td_proc_start(&f->members[i], argv));
    sys_expect(&f->members[i], "ready");
}

/* As members want them: a publisher's number, and the event's. */
static void publish(struct fixture *f, uint64_t first, uint64_t count)
{
    for (uint64_t n = first; n < first + count; n++) {
        const uint64_t word[2] = {0, n};

        assert_ok(tidings_publish(f->bus, "order.placed", word, sizeof(word)));
    }
    assert_ok(tidings_flush(f->bus, SYS_WAIT_MS));
}

static uint64_t figure(struct fixture *f, const char *key)
{
    return operate_group_figure(f->bus, STREAM, GROUP, key);
}

/* ---- D05, D07 ---- */

/* An event that kills who handles it ends where a person finds it. What else is
 * in flight to who crashes fails as well: here that is nothing. */
static void test_handled_poison_ends_in_the_dead_letters(void **state)
{
    static const char poison[16] = "poison";
    struct fixture *f = *state;
    struct operate_dead dead;
    unsigned deaths = 0;
    int64_t end;

    start(f, 3, 1);
    start_member(f, 0);
    publish(f, 1, 10);
    assert_ok(tidings_publish(f->bus, "order.placed", poison, sizeof(poison)));
    publish(f, 11, 10);
    end = td_proc_now_ms() + 2 * SYS_WAIT_MS;
    while (figure(f, "dead") == 0 && td_proc_now_ms() < end) {
        if (!td_proc_wait(&f->members[0], 5))
            continue;
        assert_int_equal(td_proc_exit_code(&f->members[0]), 3);
        deaths++;
        start_member(f, 0);
    }
    assert_int_equal(figure(f, "dead"), 1);
    /* Some may have gone to who was dead already, or be its death now. */
    assert_true(deaths <= 3);
    if (td_proc_wait(&f->members[0], 50))
        start_member(f, 0);
    dead = operate_dead_at(f->bus, STREAM, GROUP, 0);
    assert_string_equal(dead.reason, "max_deliver");
    assert_int_equal(dead.deliveries, 3);
    assert_int_equal(dead.sequence, 11);
    assert_true(operate_until_settled(f->bus, STREAM, GROUP, SYS_WAIT_MS));
    assert_int_equal(figure(f, "dead"), 1); /* nobody else's */
}

/* Nothing of its was in flight: the next event is another's at once, though
 * grace time and ack_wait are long. */
static void test_handled_killed_member_is_passed_over(void **state)
{
    struct fixture *f = *state;
    int64_t began;

    start_with(f, "60", (struct tidings_group_options){.ack_wait_ms = 60000});
    start_member(f, 0);
    start_member(f, 1);
    publish(f, 1, 100);
    assert_true(operate_until_settled(f->bus, STREAM, GROUP, SYS_WAIT_MS));
    td_proc_signal(&f->members[0], SIGKILL);
    assert_true(td_proc_wait(&f->members[0], SYS_WAIT_MS));
    began = td_proc_now_ms();
    for (uint64_t n = 101; n <= 110; n++)
        publish(f, n, 1);
    assert_true(operate_until_settled(f->bus, STREAM, GROUP, SYS_WAIT_MS));
    assert_true(td_proc_now_ms() - began < SYS_WAIT_MS);
    assert_int_equal(figure(f, "timed_out"), 0);
    assert_int_equal(figure(f, "acked"), 110);
}

/* D05: what it had goes to the other when its link is found closed: soon, though
 * nothing more is sent to it, and its ack_wait is long. */
static void test_handled_killed_member_is_looked_for(void **state)
{
    struct fixture *f = *state;
    int64_t began;

    start_with(f, "0",
               (struct tidings_group_options){.ack_wait_ms = 600000,
                                              .backoff_ms = 10,
                                              .backoff_max_ms = 10});
    start_member(f, 0);
    start_member(f, 1);
    assert_true(td_proc_freeze(&f->members[0], SYS_WAIT_MS));
    publish(f, 1, 100);
    assert_true(
        operate_group_until(f->bus, STREAM, GROUP, "acked", 50, SYS_WAIT_MS));
    td_proc_signal(&f->members[0], SIGKILL);
    began = td_proc_now_ms();
    assert_true(operate_until_settled(f->bus, STREAM, GROUP, 2 * SYS_WAIT_MS));
    assert_true(td_proc_now_ms() - began < SYS_WAIT_MS / 2);
    assert_int_equal(figure(f, "lost"), 50);
    assert_int_equal(figure(f, "timed_out"), 0);
}

/* ---- one at a time ---- */

/* The records of a group with policy single: all of one process, then all of
 * the next. Returns how many processes there were. */
static unsigned count_turns(struct fixture *f, uint64_t events)
{
    FILE *file = fopen(f->records, "r");
    bool *seen = calloc(events + 1, sizeof(*seen));
    struct member_record r;
    uint32_t pids[8] = {0};
    unsigned turns = 0;
    uint64_t n = 0;

    assert_non_null(file);
    assert_non_null(seen);
    while (fread(&r, sizeof(r), 1, file) == 1) {
        if (turns == 0 || pids[turns - 1] != r.pid) {
            assert_true(turns < TD_ARRAY_LEN(pids));
            for (unsigned i = 0; i < turns; i++)
                assert_int_not_equal(pids[i], r.pid);
            pids[turns++] = r.pid;
        }
        assert_in_range(r.word[1], 1, events);
        n += !seen[r.word[1]];
        seen[r.word[1]] = true;
    }
    fclose(file);
    free(seen);
    assert_int_equal(n, events);
    return turns;
}

/* The one that has all is killed amid them: the next goes on, and never are two
 * at work. */
static void test_handled_single_is_taken_over(void **state)
{
    struct fixture *f = *state;

    start_with(f, "1",
               (struct tidings_group_options){.policy = TIDINGS_SINGLE,
                                              .ack_wait_ms = 60000,
                                              .backoff_ms = 10,
                                              .backoff_max_ms = 10});
    start_member(f, 0);
    start_member(f, 1);
    publish(f, 1, EVENTS);
    assert_true(operate_group_until(f->bus, STREAM, GROUP, "acked", EVENTS / 10,
                                    SYS_WAIT_MS));
    td_proc_signal(&f->members[0], SIGKILL);
    assert_true(td_proc_wait(&f->members[0], SYS_WAIT_MS));
    publish(f, EVENTS + 1, EVENTS);
    /* if all of it was sent before the link was known to be lost, a PING
     * tells that it is gone */
    assert_true(operate_until_settled(f->bus, STREAM, GROUP, 3 * SYS_WAIT_MS));
    assert_int_equal(count_turns(f, 2 * EVENTS), 2);
    assert_int_equal(figure(f, "timed_out"), 0);
}

/* ---- D06 ---- */

/* What a hanging member has goes to the other in time; when it goes on, what it
 * says of that is not believed. */
static void test_handled_hanging_member_is_overtaken(void **state)
{
    struct fixture *f = *state;

    start(f, 100, 0);
    start_member(f, 0);
    start_member(f, 1);
    assert_true(td_proc_freeze(&f->members[0], SYS_WAIT_MS));
    publish(f, 1, EVENTS);
    assert_true(operate_until_settled(f->bus, STREAM, GROUP, SYS_WAIT_MS));
    assert_true(figure(f, "timed_out") + figure(f, "lost") > 0);
    assert_int_equal(figure(f, "acked"), EVENTS);
    assert_true(td_proc_signal(&f->members[0], SIGCONT));
    publish(f, EVENTS + 1, EVENTS);
    assert_true(operate_until_settled(f->bus, STREAM, GROUP, SYS_WAIT_MS));
    assert_int_equal(figure(f, "acked"), 2 * EVENTS); /* each once */
    assert_int_equal(figure(f, "dead"), 0);
    td_proc_hang_up(&f->members[0]);
    assert_true(td_proc_wait(&f->members[0], SYS_WAIT_MS));
    assert_int_equal(td_proc_exit_code(&f->members[0]), 0);
}

/* ---- D02 ---- */

static atomic_uint confirms;
static atomic_uint duplicates;
static atomic_uint wrong;

static void on_confirm(void *arg, const struct tidings_confirm *confirm)
{
    (void)arg;
    atomic_fetch_add(confirm->err ? &wrong : &confirms, 1);
    if (!confirm->err && confirm->duplicate)
        atomic_fetch_add(&duplicates, 1);
}

/* Stored, but the answers never arrive: sent again, it is stored once. */
static void test_handled_lost_confirms_store_once(void **state)
{
    const struct tidings_event event = {.type = "order.placed"};
    const struct tidings_publish_options with = {.on_confirm = on_confirm};
    const struct td_chaos_rules mute = {.hole_down = true};
    const struct td_chaos_rules sound = {0};
    struct fixture *f = *state;
    int64_t end = td_proc_now_ms() + SYS_WAIT_MS;
    uint64_t stored;
    tidings_bus *bus;

    start(f, 10, 0);
    f->chaos = td_chaos_start(f->broker.endpoint[0]);
    assert_non_null(f->chaos);
    assert_ok(tidings_open(&bus, td_chaos_url(f->chaos), NULL));
    assert_ok(tidings_wait(bus, SYS_WAIT_MS));
    td_chaos_rules(f->chaos, &mute);
    for (unsigned i = 0; i < CONFIRMS; i++)
        assert_ok(tidings_publish_with(bus, &event, &with));
    while ((stored = operate_stream_figure(f->bus, STREAM, "last")) == 0 &&
           td_proc_now_ms() < end)
        poll(NULL, 0, 5);
    assert_true(stored > 0);
    assert_int_equal(confirms, 0);
    td_chaos_rules(f->chaos, &sound);
    td_chaos_cut(f->chaos);
    assert_ok(tidings_flush(bus, SYS_WAIT_MS));
    assert_ok(tidings_close(bus));
    assert_int_equal(confirms, CONFIRMS);
    assert_int_equal(wrong, 0);
    assert_true(duplicates >= stored);
    assert_int_equal(operate_stream_figure(f->bus, STREAM, "last"), CONFIRMS);
}

/* ---- D10 ---- */

#define WAITING_EVENTS (SYS_SANITIZED ? 50000u : 500000u)
#define GROWTH_KB      (96 * 1024) /* the tail, windows, buffers; not the rest */

static long own_memory_kb(const struct td_proc *p)
{
    char path[64];
    char line[128];
    long kb = -1;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)p->pid);
    file = fopen(path, "r");
    while (file && kb < 0 && fgets(line, sizeof(line), file)) {
        if (strncmp(line, "RssAnon:", 8) == 0)
            kb = strtol(line + 8, NULL, 10);
    }
    if (file)
        fclose(file);
    return kb;
}

/* What waits for a group waits in the folder, not in memory. */
static void test_handled_slow_group_costs_no_memory(void **state)
{
    static const char data[200];
    struct fixture *f = *state;
    long before_kb;
    long most_kb = 0;

    start(f, 100, 0);
    start_member(f, 0);
    assert_true(td_proc_freeze(&f->members[0], SYS_WAIT_MS));
    before_kb = own_memory_kb(&f->broker.proc);
    for (unsigned n = 0; n < WAITING_EVENTS; n++) {
        assert_ok(tidings_publish(f->bus, "order.placed", data, sizeof(data)));
        if (n % 10000 == 0 && own_memory_kb(&f->broker.proc) > most_kb)
            most_kb = own_memory_kb(&f->broker.proc);
    }
    assert_ok(tidings_flush(f->bus, OPERATE_MS));
    print_message("%u events of %zu bytes wait: %ld KiB more\n", WAITING_EVENTS,
                  sizeof(data), most_kb - before_kb);
    assert_true(before_kb > 0 && most_kb > 0);
    assert_true(SYS_SANITIZED || most_kb - before_kb < GROWTH_KB);
    assert_true(td_proc_signal(&f->members[0], SIGCONT));
    assert_true(operate_until_settled(f->bus, STREAM, GROUP, 4 * SYS_WAIT_MS));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_handled_poison_ends_in_the_dead_letters),
        TEST(test_handled_killed_member_is_passed_over),
        TEST(test_handled_killed_member_is_looked_for),
        TEST(test_handled_single_is_taken_over),
        TEST(test_handled_hanging_member_is_overtaken),
        TEST(test_handled_lost_confirms_store_once),
        TEST(test_handled_slow_group_costs_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
