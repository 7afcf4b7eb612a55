/* tidingsd restarted again and again under load, cleanly and not: publishers
 * lose nothing they hold and say what they cannot know, a subscriber sees
 * nothing twice and misses only what was live around a restart (PROTOCOL.md 3,
 * "Epoch"; FAULTS C01 for live events). */
#include "tests/system/system.h"

#include <inttypes.h>
#include <signal.h>

#include "tests/system/ledger.h"
#include "tests/system/load.h"

#define PUBLISHERS LOAD_PUBLISHERS
#define RESTARTS   3
#define CALM       500 /* events, where the subscriber keeps up */

/* Every publisher was told of the new epoch; of how many events it cannot
 * know, is added to doubtful. */
static void expect_told(struct load *l, uint64_t doubtful[PUBLISHERS])
{
    for (size_t i = 0; i < PUBLISHERS; i++)
        doubtful[i] += sys_field(
            sys_expect(&l->publishers[i], "status new_epoch"), "count");
}

/* Nothing that was published is held back or forgotten. Nobody was refused
 * what it had been promised: packed is what publishing said yes to. */
static void check_publishers(struct load *l,
                             const uint64_t doubtful[PUBLISHERS])
{
    for (size_t i = 0; i < PUBLISHERS; i++) {
        struct sys_info info = sys_publisher_stop(&l->publishers[i]);

        assert_int_equal(info.connects, RESTARTS + 1);
        assert_int_equal(doubtful[i], info.resent);
        print_message("publisher %zu: %" PRIu64 " events, %" PRIu64
                      " sent again\n",
                      i, info.published, info.resent);
    }
}

/* In order, never twice; holes only where a broker went. */
static void check_subscriber(struct load *l)
{
    struct watch seen = watch_now(&l->peer.watch);

    load_check_order(l);
    assert_int_equal(seen.again, 0);
    assert_int_equal(seen.new_epoch, RESTARTS);
    assert_int_equal(seen.new_session, 0);
    assert_int_equal(seen.up, RESTARTS + 1);
}

static void roll(struct load *l, bool clean)
{
    uint64_t doubtful[PUBLISHERS] = {0};

    load_start(l);
    for (uint64_t n = 1; n <= RESTARTS; n++) {
        if (clean)
            sys_stop(&l->broker.proc, SIGTERM);
        else
            sys_kill(&l->broker.proc);
        sys_broker_restart(&l->broker, NULL);
        expect_told(l, doubtful);
        load_expect_flow(l, n);
    }
    check_publishers(l, doubtful);
    ledger_rest(l->peer.bus);
    check_subscriber(l);
    ledger_check(l->peer.bus);
}

static void test_rolling_restart_loses_nothing_that_is_held(void **state)
{
    roll(*state, true);
}

static void test_rolling_kill_loses_nothing_that_is_held(void **state)
{
    roll(*state, false);
}

/* ---- a clean stop, and a subscriber that keeps up ---- */

static bool has_seen(const struct watch *w, void *arg)
{
    return w->producers_len == 1 &&
           w->producers[0].highest >= *(const uint64_t *)arg;
}

/* What was taken before the stop has been delivered: a publisher knows
 * by TAKEN alone what came to those who keep up. */
static void test_clean_stop_delivers_what_was_taken(void **state)
{
    static const char *const rate[] = {"rate=2000", NULL};
    struct load *l = *state;
    struct td_proc *publisher = &l->publishers[0];
    uint64_t calm = CALM;

    load_start_broker(l);
    sys_worker(publisher, l->broker.endpoint[0], "pub", "load.a", rate);
    for (uint64_t n = 1; n <= RESTARTS; n++) {
        struct watch seen;
        uint64_t taken;

        assert_true(watch_until(&l->peer.watch, has_seen, &calm, SYS_WAIT_MS));
        sys_stop(&l->broker.proc, SIGTERM);
        taken = sys_field(sys_expect(publisher, "status down"), "taken");
        assert_true(watch_until_down(&l->peer.watch, n, SYS_WAIT_MS));
        seen = watch_now(&l->peer.watch); /* its handler has had all of it */
        if (seen.producers[0].highest < taken)
            fail_msg("stop %" PRIu64 ": %" PRIu64 " taken, %" PRIu64 " seen", n,
                     taken, seen.producers[0].highest);
        sys_broker_restart(&l->broker, NULL);
        assert_true(watch_until_up(&l->peer.watch, n + 1, SYS_WAIT_MS));
        sys_expect(publisher, "status new_epoch");
        calm = watch_now(&l->peer.watch).producers[0].highest + CALM;
    }
    assert_int_equal(watch_now(&l->peer.watch).again, 0);
    assert_int_equal(watch_now(&l->peer.watch).holes, 0);
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, load_setup, load_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_rolling_restart_loses_nothing_that_is_held),
        TEST(test_rolling_kill_loses_nothing_that_is_held),
        TEST(test_clean_stop_delivers_what_was_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
