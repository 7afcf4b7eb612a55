/* Clients that are killed, stopped and continued: the others go on within the
 * stated policy (PROTOCOL.md 6), the broker's books balance all the while,
 * and it forgets the dead (PROTOCOL.md 3, "Silence"). */
#include "tests/system/system.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>

#define DEAD_MS  15000        /* PROTOCOL.md 9 */
#define GRACE_S  "1"          /* and so long is it kept then */
#define BLOCK_MS 2000         /* the most that one slow subscriber may cost */
#define SLACK_MS 1000         /* two busy cores */
#define RATE     "rate=20000" /* what every healthy subscriber can follow */

static const char *const grace[] = {"--grace", GRACE_S, NULL};

struct fixture {
    struct td_daemon broker;
    struct sys_peer watcher; /* the healthy one; its books are looked at */
    struct td_proc publisher;
    struct td_proc doomed;   /* a publisher that is killed */
    struct td_proc stopped;  /* subscribers: stopped for a while, … */
    struct td_proc killed;   /* … killed, … */
    struct td_proc silent;   /* … and stopped past its death */
    struct td_daemon frozen; /* another broker, stopped past its death */
    struct sys_peer mourner; /* its client */
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
    td_proc_end(&f->doomed);
    td_proc_end(&f->stopped);
    td_proc_end(&f->killed);
    td_proc_end(&f->silent);
    td_daemon_end(&f->frozen);
    sys_peer_close(&f->mourner);
    sys_peer_close(&f->watcher);
    td_daemon_end(&f->broker);
    free(f);
    return 0;
}

static void start(struct fixture *f)
{
    static const char *const rate[] = {RATE, NULL};
    static const char *const small[] = {"window_events=2000",
                                        "queue_events=4000", NULL};
    static const char *const tiny[] = {"window_events=10", NULL};
    const char *url;

    sys_broker_start(&f->broker, grace);
    url = f->broker.endpoint[0];
    sys_peer_open(&f->watcher, url, "watcher");
    sys_peer_subscribe(&f->watcher, "load.>");
    sys_worker(&f->stopped, url, "sub", "load.main", small);
    sys_worker(&f->killed, url, "sub", "tick.*", tiny);
    sys_worker(&f->silent, url, "sub", "tick.>", tiny);
    sys_worker(&f->publisher, url, "pub", "load.main", rate);
    sys_worker(&f->doomed, url, "pub", "load.doomed", rate);
    assert_true(watch_until_events(&f->watcher.watch, 5000, SYS_WAIT_MS));
    assert_int_equal(sys_counters(f->watcher.bus).sessions, 6);
}

static void check_watcher(struct fixture *f)
{
    struct watch seen = watch_now(&f->watcher.watch);

    assert_int_equal(seen.wrong, 0);
    assert_int_equal(seen.backwards, 0);
    assert_int_equal(seen.holes, 0);
    assert_int_equal(seen.missed, 0);
    assert_int_equal(seen.down, 0);
}

/* Killed -9 and stopped, with a thousand ticks waiting for each. */
#define TICKS 1000

static void end_three(struct fixture *f)
{
    assert_true(td_proc_freeze(&f->silent, SYS_WAIT_MS));
    assert_true(td_proc_freeze(&f->killed, SYS_WAIT_MS));
    for (uint64_t n = 1; n <= TICKS; n++)
        sys_publish(&f->watcher, "tick.x", n);
    assert_ok(tidings_flush(f->watcher.bus, SYS_WAIT_MS));
    sys_kill(&f->killed);
    sys_kill(&f->doomed);
}

static bool has_dropped(const struct sys_counters *c, const void *arg)
{
    (void)arg;
    return c->slow > 20000; /* its queue over and over: the load flows on */
}

/* One subscriber is stopped: its publisher is held back for at most the
 * budget, then its oldest events go, told and counted. */
static void stop_one(struct fixture *f)
{
    struct watch seen;

    watch_mark(&f->watcher.watch);
    assert_true(td_proc_freeze(&f->stopped, SYS_WAIT_MS));
    sys_counters_until(f->watcher.bus, has_dropped, NULL, SYS_WAIT_MS);
    seen = watch_now(&f->watcher.watch);
    if (seen.longest_ms > BLOCK_MS + SLACK_MS)
        fail_msg("the others waited %d ms", (int)seen.longest_ms);
    assert_true(sys_row(f->watcher.bus, "load.main").blocked_ms <=
                2 * BLOCK_MS); /* it took less than two windows of ten */
    check_watcher(f);
}

/* Continued, it goes on: what it saw and what it was told it missed is all
 * that matched. */
static void continue_one(struct fixture *f)
{
    struct sys_info publisher;
    struct sys_info info;
    struct ledger_row row;

    assert_true(td_proc_signal(&f->stopped, SIGCONT));
    publisher = sys_publisher_stop(&f->publisher);
    sys_until_caught_up(f->watcher.bus, "load.main");

    info = sys_worker_info(&f->stopped);
    row = sys_row(f->watcher.bus, "load.main");
    assert_int_equal(info.connects, 1); /* the same session all the time */
    assert_int_equal(info.wrong, 0);
    assert_int_equal(info.backwards, 0);
    assert_true(info.told > 0);
    assert_int_equal(info.told, info.holes);
    assert_int_equal(info.told, info.missed);
    assert_int_equal(info.events + info.told, publisher.published);
    assert_int_equal(row.matched, publisher.published);
    assert_int_equal(row.delivered, info.events);
    assert_int_equal(row.dropped, info.told);
}

static bool three_are_gone(const struct sys_counters *c, const void *arg)
{
    (void)arg;
    return c->sessions == 3 && c->session_lost > 0 && c->pending == 0 &&
           c->queued_bytes == 0;
}

static bool second_seen(const struct watch *w, void *arg)
{
    (void)arg;
    return w->producers_len == 1 && w->producers[0].last == 2;
}

/* A broker that hangs is given up like one that is gone (N01); when it goes
 * on, so does its client, and finds its broker as it was (R10). */
static void freeze_a_broker(struct fixture *f)
{
    sys_broker_start(&f->frozen, NULL);
    sys_peer_open(&f->mourner, f->frozen.endpoint[0], "mourner");
    sys_peer_subscribe(&f->mourner, "late.>");
    assert_true(td_proc_freeze(&f->frozen.proc, SYS_WAIT_MS));
    sys_publish(&f->mourner, "late.x", 1);
}

static void thaw_a_broker(struct fixture *f)
{
    struct watch seen;

    assert_true(watch_until_down(&f->mourner.watch, 1, SLACK_MS));
    assert_true(td_proc_signal(&f->frozen.proc, SIGCONT));
    assert_true(watch_until_up(&f->mourner.watch, 2, SYS_WAIT_MS));
    assert_ok(tidings_flush(f->mourner.bus, SYS_WAIT_MS));
    sys_publish(&f->mourner, "late.x", 2);
    assert_true(watch_until(&f->mourner.watch, second_seen, NULL, SYS_WAIT_MS));
    seen = watch_now(&f->mourner.watch);
    assert_int_equal(seen.new_epoch, 0);
    assert_int_equal(seen.wrong, 0);
    assert_int_equal(seen.backwards, 0); /* taken twice, counted once */
    assert_int_equal(sys_counters(f->mourner.bus).sessions, 1);
}

static void test_peers_killed_and_stopped_leave_the_others_alone(void **state)
{
    struct fixture *f = *state;
    struct sys_counters counters;
    int64_t ended_ms;

    start(f);
    freeze_a_broker(f);
    ended_ms = td_proc_now_ms();
    end_three(f);
    stop_one(f);
    continue_one(f);

    /* The dead are forgotten, with what waited for them. */
    counters =
        sys_counters_until(f->watcher.bus, three_are_gone, NULL,
                           (int)(ended_ms + DEAD_MS + 5000 - td_proc_now_ms()));
    /* Each of the two had taken at most its window of 10. */
    assert_true(counters.session_lost >= 2 * (TICKS - 10));
    assert_true(counters.session_lost <= 2 * TICKS);
    assert_int_equal(sys_row(f->watcher.bus, "tick.*").rows, 0);
    check_watcher(f);
    thaw_a_broker(f);

    /* The silent one wakes up, and comes back by itself. */
    assert_true(td_proc_signal(&f->silent, SIGCONT));
    sys_expect(&f->silent, "status down");
    sys_expect(&f->silent, "status up");
    assert_int_equal(sys_worker_info(&f->silent).connects, 2);
}

/* Killed while it is being served at full speed: its connection is closed by
 * the kernel at once, and nobody else notices. */
static void test_peers_killed_at_full_speed_leave_the_others_alone(void **state)
{
    struct fixture *f = *state;
    struct watch seen;
    const char *url;

    sys_broker_start(&f->broker, grace);
    url = f->broker.endpoint[0];
    sys_peer_open(&f->watcher, url, "watcher");
    sys_peer_subscribe(&f->watcher, "load.>");
    sys_worker(&f->killed, url, "sub", "load.main", NULL);
    sys_worker(&f->publisher, url, "pub", "load.main", NULL);
    sys_worker(&f->doomed, url, "pub", "load.doomed", NULL);
    assert_true(watch_until_events(&f->watcher.watch, 50000, SYS_WAIT_MS));
    sys_until_subscribed(f->watcher.bus, "load.main");

    watch_mark(&f->watcher.watch);
    sys_kill(&f->killed);
    sys_kill(&f->doomed);
    seen = watch_now(&f->watcher.watch);
    assert_true(watch_until_events(&f->watcher.watch, seen.events + 300000,
                                   SYS_WAIT_MS));
    sys_publisher_stop(&f->publisher);

    seen = watch_now(&f->watcher.watch);
    assert_int_equal(seen.wrong, 0);
    assert_int_equal(seen.backwards, 0);
    assert_int_equal(seen.down, 0);
    if (seen.longest_ms > BLOCK_MS + SLACK_MS)
        fail_msg("the others waited %d ms", (int)seen.longest_ms);
    sys_counters(f->watcher.bus);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_peers_killed_and_stopped_leave_the_others_alone),
        TEST(test_peers_killed_at_full_speed_leave_the_others_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
