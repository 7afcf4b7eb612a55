/* tidingsd restarted again and again under load, cleanly and not: publishers
 * lose nothing they hold and say what they cannot know, a subscriber sees
 * nothing twice and misses only what was live around a restart (PROTOCOL.md 3,
 * "Epoch"; FAULTS C01 for live events). */
#include "tests/system/system.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>

#include "tests/system/ledger.h"

#define PUBLISHERS 2
#define RESTARTS   3
#define SOME       5000 /* events of each publisher between two restarts */
#define CALM       500  /* events, where the subscriber keeps up */

struct fixture {
    struct td_daemon broker;
    struct td_proc publishers[PUBLISHERS];
    struct sys_peer peer;
};

static int setup(void **state)
{
    *state = calloc(1, sizeof(struct fixture));
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < PUBLISHERS; i++)
        td_proc_end(&f->publishers[i]);
    sys_peer_close(&f->peer);
    td_daemon_end(&f->broker);
    free(f);
    return 0;
}

struct goal {
    uint64_t epochs;
    uint64_t highest[PUBLISHERS];
};

/* Each publisher's events flow, under this broker. */
static bool flows(const struct watch *w, void *arg)
{
    const struct goal *g = arg;

    if (w->producers_len < PUBLISHERS || w->new_epoch < g->epochs)
        return false;
    for (size_t i = 0; i < PUBLISHERS; i++) {
        if (w->producers[i].fresh ||
            w->producers[i].highest < g->highest[i] + SOME)
            return false;
    }
    return true;
}

static void expect_flow(struct fixture *f, uint64_t epochs)
{
    struct watch seen = watch_now(&f->peer.watch);
    struct goal goal = {.epochs = epochs};

    for (size_t i = 0; i < PUBLISHERS; i++)
        goal.highest[i] = seen.producers[i].highest;
    assert_true(watch_until(&f->peer.watch, flows, &goal, SYS_WAIT_MS));
}

static void start(struct fixture *f)
{
    static const char *const types[PUBLISHERS] = {"load.a", "load.b"};

    sys_broker_start(&f->broker, NULL);
    sys_peer_open(&f->peer, f->broker.endpoint[0], "watcher");
    sys_peer_subscribe(&f->peer, "load.>");
    for (size_t i = 0; i < PUBLISHERS; i++)
        sys_worker(&f->publishers[i], f->broker.endpoint[0], "pub", types[i],
                   NULL);
    expect_flow(f, 0);
}

/* Every publisher was told of the new epoch; of how many events it cannot
 * know, is added to doubtful. */
static void expect_told(struct fixture *f, uint64_t doubtful[PUBLISHERS])
{
    for (size_t i = 0; i < PUBLISHERS; i++)
        doubtful[i] += sys_field(
            sys_expect(&f->publishers[i], "status new_epoch"), "count");
}

/* Nothing that was published is held back or forgotten. Nobody was refused
 * what it had been promised: packed is what publishing said yes to. */
static void check_publishers(struct fixture *f,
                             const uint64_t doubtful[PUBLISHERS])
{
    for (size_t i = 0; i < PUBLISHERS; i++)
        assert_true(td_proc_say(&f->publishers[i], "stop"));
    for (size_t i = 0; i < PUBLISHERS; i++) {
        struct sys_info info;

        assert_string_equal(sys_expect(&f->publishers[i], "stopped flush="),
                            "OK");
        info = sys_worker_info(&f->publishers[i]);
        assert_int_equal(info.published, info.packed);
        assert_int_equal(info.taken, info.published);
        assert_int_equal(info.unconfirmed, 0);
        assert_int_equal(info.connects, RESTARTS + 1);
        assert_int_equal(doubtful[i], info.resent);
        print_message("publisher %zu: %" PRIu64 " events, %" PRIu64
                      " sent again\n",
                      i, info.published, info.resent);
    }
}

/* In order, never twice; holes only where a broker went. */
static void check_subscriber(struct fixture *f)
{
    struct watch seen = watch_now(&f->peer.watch);

    assert_int_equal(seen.producers_len, PUBLISHERS);
    assert_int_equal(seen.again, 0);
    assert_int_equal(seen.backwards, 0);
    assert_int_equal(seen.wrong, 0);
    assert_int_equal(seen.holes, seen.missed);
    assert_int_equal(seen.bad_events, 0);
    assert_int_equal(seen.new_epoch, RESTARTS);
    assert_int_equal(seen.new_session, 0);
    assert_int_equal(seen.up, RESTARTS + 1);
}

static void roll(struct fixture *f, bool clean)
{
    uint64_t doubtful[PUBLISHERS] = {0};

    start(f);
    for (uint64_t n = 1; n <= RESTARTS; n++) {
        if (clean)
            sys_stop(&f->broker.proc, SIGTERM);
        else
            sys_kill(&f->broker.proc);
        sys_broker_restart(&f->broker, NULL);
        expect_told(f, doubtful);
        expect_flow(f, n);
    }
    check_publishers(f, doubtful);
    ledger_rest(f->peer.bus);
    check_subscriber(f);
    ledger_check(f->peer.bus);
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
    struct fixture *f = *state;
    struct td_proc *publisher = &f->publishers[0];
    uint64_t calm = CALM;

    sys_broker_start(&f->broker, NULL);
    sys_peer_open(&f->peer, f->broker.endpoint[0], "watcher");
    sys_peer_subscribe(&f->peer, "load.>");
    sys_worker(publisher, f->broker.endpoint[0], "pub", "load.a", rate);
    for (uint64_t n = 1; n <= RESTARTS; n++) {
        struct watch seen;
        uint64_t taken;

        assert_true(watch_until(&f->peer.watch, has_seen, &calm, SYS_WAIT_MS));
        sys_stop(&f->broker.proc, SIGTERM);
        taken = sys_field(sys_expect(publisher, "status down"), "taken");
        assert_true(watch_until_down(&f->peer.watch, n, SYS_WAIT_MS));
        seen = watch_now(&f->peer.watch); /* its handler has had all of it */
        if (seen.producers[0].highest < taken)
            fail_msg("stop %" PRIu64 ": %" PRIu64 " taken, %" PRIu64 " seen", n,
                     taken, seen.producers[0].highest);
        sys_broker_restart(&f->broker, NULL);
        assert_true(watch_until_up(&f->peer.watch, n + 1, SYS_WAIT_MS));
        sys_expect(publisher, "status new_epoch");
        calm = watch_now(&f->peer.watch).producers[0].highest + CALM;
    }
    assert_int_equal(watch_now(&f->peer.watch).again, 0);
    assert_int_equal(watch_now(&f->peer.watch).holes, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_rolling_restart_loses_nothing_that_is_held),
        TEST(test_rolling_kill_loses_nothing_that_is_held),
        TEST(test_clean_stop_delivers_what_was_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
