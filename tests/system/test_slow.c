/* One slow subscriber among many (FAULTS G8, D09): it is stopped for some
 * seconds, and costs the others what its policy states, the broker no more
 * memory than its queue may hold, and itself the events that it is told of. */
#include "tests/system/system.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>

#define HEALTHY 19
/* Events a second that all can follow, and that overflow the slow queue. */
#define PER_S    (SYS_SANITIZED ? 10000 : 20000)
#define RATE     (SYS_SANITIZED ? "rate=10000" : "rate=20000")
#define SLACK_MS 1000 /* two busy cores */
#define LOOK_MS  100
/* The slow one's queue, and what a publisher may have sent ahead. */
#define GROWTH_KB (16 * 1024)
#define SLOW      (SYS_SANITIZED ? 4 : 1)

struct fixture {
    struct td_daemon broker;
    struct sys_peer healthy[HEALTHY];
    struct td_proc slow;
    struct td_proc publisher;
};

static int setup(void **state)
{
    *state = calloc(1, sizeof(struct fixture));
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    td_proc_end(&f->publisher);
    td_proc_end(&f->slow);
    for (int i = 0; i < HEALTHY; i++)
        sys_peer_close(&f->healthy[i]);
    td_daemon_end(&f->broker);
    free(f);
    return 0;
}

static void start(struct fixture *f, const char *policy)
{
    const char *rate[] = {RATE, NULL};
    const char *slow[] = {policy, "window_events=2000", "queue_events=10000",
                          NULL};

    sys_broker_start(&f->broker, NULL);
    for (int i = 0; i < HEALTHY; i++) {
        sys_peer_open(&f->healthy[i], f->broker.endpoint[0], "healthy");
        sys_peer_subscribe(&f->healthy[i], "load.>");
    }
    sys_worker(&f->slow, f->broker.endpoint[0], "sub", "load.*", slow);
    sys_worker(&f->publisher, f->broker.endpoint[0], "pub", "load.x", rate);
    for (int i = 0; i < HEALTHY; i++)
        assert_true(
            watch_until_events(&f->healthy[i].watch, 1000, SYS_WAIT_MS));
}

/* The slow one stands still; gives the most memory that the broker had. */
static long stop_for(struct fixture *f, int ms)
{
    int64_t end_ms;
    long most_kb = 0;

    assert_true(td_proc_freeze(&f->slow, SYS_WAIT_MS));
    for (int i = 0; i < HEALTHY; i++)
        watch_mark(&f->healthy[i].watch);
    end_ms = td_proc_now_ms() + ms;
    while (td_proc_now_ms() < end_ms) {
        long now_kb = td_proc_resident_kb(&f->broker.proc);

        most_kb = now_kb > most_kb ? now_kb : most_kb;
        poll(NULL, 0, LOOK_MS);
    }
    return most_kb;
}

static void check_healthy(struct fixture *f, int cost_ms, uint64_t at_least)
{
    int64_t longest_ms = 0;

    for (int i = 0; i < HEALTHY; i++) {
        struct watch seen = watch_now(&f->healthy[i].watch);

        if (seen.longest_ms > longest_ms)
            longest_ms = seen.longest_ms;
        assert_int_equal(seen.wrong, 0);
        assert_int_equal(seen.backwards, 0);
        assert_int_equal(seen.holes, 0);
        assert_int_equal(seen.missed, 0);
        assert_int_equal(seen.down, 0);
        assert_true(seen.events >= at_least);
    }
    print_message("the others waited %d ms at most\n", (int)longest_ms);
    assert_true(longest_ms <= cost_ms + SLACK_MS * SLOW);
}

/* What it saw and what it was told it missed is all that was published. */
static void check_slow(struct fixture *f)
{
    tidings_bus *bus = f->healthy[0].bus;
    struct sys_info publisher;
    struct sys_info slow;

    assert_true(td_proc_signal(&f->slow, SIGCONT));
    publisher = sys_publisher_stop(&f->publisher);
    sys_until_caught_up(bus, "load.*");

    slow = sys_worker_info(&f->slow);
    assert_int_equal(slow.connects, 1);
    assert_int_equal(slow.wrong, 0);
    assert_int_equal(slow.backwards, 0);
    assert_true(slow.told > 0);
    assert_true(slow.holes <= slow.told); /* the last missed leave no hole */
    assert_int_equal(slow.events + slow.told, publisher.published);
    assert_int_equal(sys_row(bus, "load.*").dropped, slow.told);
    print_message("the slow one saw %" PRIu64 " and was told of %" PRIu64
                  " that it missed\n",
                  slow.events, slow.told);
}

static void slow_costs(struct fixture *f, const char *policy, int stopped_ms,
                       int cost_ms)
{
    long before_kb;
    long most_kb;

    start(f, policy);
    before_kb = td_proc_resident_kb(&f->broker.proc);
    most_kb = stop_for(f, stopped_ms);
    print_message("%s: stopped for %d ms: broker at most +%ld kB\n", policy,
                  stopped_ms, most_kb - before_kb);
    if (!SYS_SANITIZED)
        assert_true(most_kb - before_kb < GROWTH_KB);
    check_healthy(f, cost_ms, (uint64_t)(PER_S / 10 * stopped_ms / 1000));
    check_slow(f);
}

/* Its publishers wait for two seconds in ten: PROTOCOL.md 6. */
static void test_slow_subscriber_that_blocks_costs_two_seconds(void **state)
{
    slow_costs(*state, "policy=block", 10000, 2000);
}

/* Nobody waits; it loses at once what does not fit. */
static void test_slow_subscriber_that_drops_oldest_costs_nothing(void **state)
{
    slow_costs(*state, "policy=drop_oldest", 2500, 0);
}

static void test_slow_subscriber_that_drops_newest_costs_nothing(void **state)
{
    slow_costs(*state, "policy=drop_newest", 2500, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_slow_subscriber_that_blocks_costs_two_seconds),
        TEST(test_slow_subscriber_that_drops_oldest_costs_nothing),
        TEST(test_slow_subscriber_that_drops_newest_costs_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
