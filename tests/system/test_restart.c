/* The broker killed under load, and back: publishers have what they hold taken,
 * the subscriber sees it (FAULTS C01 for live events). */
#include "tests/system/system.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>

#include "tests/system/load.h"

#define PUBLISHERS LOAD_PUBLISHERS

/* How many events each publisher knew to be taken when its link broke. */
static void kill_broker(struct load *l, uint64_t taken[PUBLISHERS])
{
    uint64_t downs = watch_now(&l->peer.watch).down;

    sys_kill(&l->broker.proc);
    assert_true(watch_until_down(&l->peer.watch, downs + 1, SYS_WAIT_MS));
    for (size_t i = 0; i < PUBLISHERS; i++)
        taken[i] =
            sys_field(sys_expect(&l->publishers[i], "status down"), "taken");
}

static void expect_back(struct load *l, uint64_t ups)
{
    assert_true(watch_until_up(&l->peer.watch, ups, SYS_WAIT_MS));
    for (size_t i = 0; i < PUBLISHERS; i++)
        sys_expect(&l->publishers[i], "status new_epoch");
}

/* Publishers stop, and have had everything taken. Gives each one's total. */
static void stop_load(struct load *l, uint64_t total[PUBLISHERS])
{
    for (size_t i = 0; i < PUBLISHERS; i++) {
        struct sys_info info = sys_publisher_stop(&l->publishers[i]);

        assert_int_equal(info.connects, 3);
        total[i] = info.published;
    }
}

static bool all_seen(const struct watch *w, void *arg)
{
    const uint64_t *total = arg;
    uint64_t sum = 0;
    uint64_t want = 0;

    for (size_t i = 0; i < w->producers_len; i++)
        sum += w->producers[i].last;
    for (size_t i = 0; i < PUBLISHERS; i++)
        want += total[i];
    return sum == want;
}

/* This epoch begins with what the publisher still held: k + 1 for one of the
 * publishers that had k taken, or with the first of those that the last broker
 * had not delivered all the same. */
static void check_nothing_held_was_lost(struct load *l,
                                        const struct watch *before,
                                        const uint64_t taken[PUBLISHERS],
                                        const uint64_t total[PUBLISHERS])
{
    struct watch seen = watch_now(&l->peer.watch);

    for (size_t i = 0; i < PUBLISHERS; i++) {
        size_t same = 0;

        for (size_t k = 0; k < PUBLISHERS; k++) {
            uint64_t had = before->producers[k].highest;

            if (had < taken[i])
                had = taken[i];
            same += seen.producers[k].first == had + 1 &&
                    seen.producers[k].last == total[i];
        }
        if (same != 1)
            fail_msg("publisher %zu had %" PRIu64 " of %" PRIu64 " taken; "
                     "seen from %" PRIu64 " to %" PRIu64 ", and from %" PRIu64
                     " to %" PRIu64,
                     i, taken[i], total[i], seen.producers[0].first,
                     seen.producers[0].last, seen.producers[1].first,
                     seen.producers[1].last);
    }
}

static void test_restart_under_load_loses_nothing_that_is_held(void **state)
{
    struct load *l = *state;
    uint64_t taken[PUBLISHERS];
    uint64_t total[PUBLISHERS];
    struct sys_counters counters;
    struct watch before;

    /* Killed and back at once: everybody runs on. */
    load_start(l);
    kill_broker(l, taken);
    sys_broker_restart(&l->broker, NULL);
    expect_back(l, 2);
    load_expect_flow(l, 1);
    load_check_order(l);

    /* Killed again; publishers hold still until the subscriber is back, so
     * that it must see everything they hold. */
    kill_broker(l, taken);
    before = watch_now(&l->peer.watch);
    for (size_t i = 0; i < PUBLISHERS; i++)
        assert_true(td_proc_freeze(&l->publishers[i], SYS_WAIT_MS));
    sys_broker_restart(&l->broker, NULL);
    assert_true(watch_until_up(&l->peer.watch, 3, SYS_WAIT_MS));
    sys_until_subscribed(l->peer.bus, "load.>");
    for (size_t i = 0; i < PUBLISHERS; i++)
        assert_true(td_proc_signal(&l->publishers[i], SIGCONT));
    expect_back(l, 3);
    load_expect_flow(l, 2);

    stop_load(l, total);
    assert_true(watch_until(&l->peer.watch, all_seen, total, SYS_WAIT_MS));
    load_check_order(l);
    check_nothing_held_was_lost(l, &before, taken, total);
    assert_int_equal(watch_now(&l->peer.watch).new_epoch, 2);
    counters = sys_counters(l->peer.bus);
    assert_int_equal(counters.duplicates, 0);
    assert_int_equal(counters.unmatched, 0);
    assert_int_equal(counters.published,
                     total[0] - taken[0] + total[1] - taken[1]);
}

/* Wait until it has published more than the broker took, by at least n. */
static void expect_unconfirmed(struct td_proc *publisher, uint64_t n)
{
    int64_t deadline_ms = td_proc_now_ms() + SYS_WAIT_MS;

    while (sys_worker_info(publisher).unconfirmed < n) {
        assert_true(td_proc_now_ms() < deadline_ms);
        poll(NULL, 0, 5);
    }
}

/* Killed with events in its socket that it had not read. */
static void test_restart_has_what_was_not_taken_sent_again(void **state)
{
    static const char *const rate[] = {"rate=20000", NULL};
    struct load *l = *state;
    struct td_proc *publisher = &l->publishers[0];
    struct sys_info info;
    uint64_t taken;

    sys_broker_start(&l->broker, NULL);
    sys_worker(publisher, l->broker.endpoint[0], "pub", "load.a", rate);
    assert_true(td_proc_freeze(&l->broker.proc, SYS_WAIT_MS));
    expect_unconfirmed(publisher, 1000);
    sys_kill(&l->broker.proc);
    taken = sys_field(sys_expect(publisher, "status down"), "taken");
    sys_broker_restart(&l->broker, NULL);
    sys_expect(publisher, "status new_epoch");

    info = sys_publisher_stop(publisher);
    assert_true(info.resent > 0);
    sys_peer_open(&l->peer, l->broker.endpoint[0], "");
    assert_int_equal(sys_counters(l->peer.bus).published,
                     info.published - taken);
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, load_setup, load_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_restart_under_load_loses_nothing_that_is_held),
        TEST(test_restart_has_what_was_not_taken_sent_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
