/* The end: coming to rest, and closing whatever goes on beside. */
#include "tests/conformance/conformance.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>

#define THREADS    4
#define ROUNDS     (100 / CONF_SLOW)
#define PROMPT_MS  1500 /* a call that is told to give up has done so */
#define AT_ONCE_MS 300  /* … without waiting for the next tick */

/* ---- drain ---- */

struct relay {
    tidings_bus *bus;
    const char *type;
    long pause_us;
    atomic_uint calls;
    atomic_uint failed;
};

static tidings_err publish_again(void *arg, const struct tidings_event *event)
{
    struct relay *r = arg;

    if (r->pause_us)
        conf_pause_us(r->pause_us);
    atomic_fetch_add(&r->calls, 1);
    if (r->type &&
        tidings_publish(r->bus, r->type, event->data, event->data_len))
        atomic_fetch_add(&r->failed, 1);
    return TIDINGS_OK;
}

static void check_drain(struct conf *c, const struct tidings_options *o)
{
    struct relay r = {.bus = conf_open(c, o), .type = "drain.b"};
    tidings_bus *other = conf_open(c, NULL);
    struct tally *seen = conf_subscribe(c, other, "drain.b");
    struct tidings_info info;
    tidings_sub *sub;
    int64_t end = td_proc_now_ms() + CONF_MS;

    assert_ok(
        tidings_subscribe(&sub, r.bus, "drain.a", publish_again, &r, NULL));
    assert_ok(conf_publish_many(other, "drain.a", 0, 500));
    assert_ok(tidings_flush(other, CONF_MS));
    do /* all of it has arrived */
        assert_ok(tidings_info(&info, r.bus));
    while (info.waiting + info.delivered < 500 && td_proc_now_ms() < end);
    assert_ok(tidings_drain(r.bus, CONF_MS));
    assert_int_equal(atomic_load(&r.calls), 500);
    assert_int_equal(atomic_load(&r.failed), 0);
    assert_ok(tidings_info(&info, r.bus));
    assert_int_equal(info.waiting, 0);
    assert_int_equal(info.unconfirmed, 0);
    assert_int_equal(info.delivered, 500);
    assert_true(tally_wait(seen, 500, CONF_MS));
    assert_int_equal(tally_now(seen).holes + tally_now(seen).disorder, 0);

    /* Subscriptions have ended, publishing goes on, and so does all else. */
    assert_err(tidings_unsubscribe(sub, CONF_MS), TIDINGS_ECLOSED);
    assert_ok(tidings_publish(other, "drain.a", NULL, 0));
    assert_ok(tidings_flush(other, CONF_MS));
    assert_ok(tidings_publish(r.bus, "drain.b", NULL, 0));
    assert_true(tally_wait(seen, 501, CONF_MS));
    assert_ok(tidings_drain(r.bus, CONF_MS)); /* nothing to do */
    assert_int_equal(atomic_load(&r.calls), 500);
    assert_ok(
        tidings_subscribe(NULL, r.bus, "drain.a", publish_again, &r, NULL));
    conf_forget(c, r.bus);
    assert_ok(tidings_close(r.bus));
}

static void test_drain_handles_what_has_arrived(void **state)
{
    check_drain(*state, NULL);
}

static void test_drain_dispatches_for_an_own_loop(void **state)
{
    const struct tidings_options o = {.own_loop = true};

    check_drain(*state, &o);
}

static void check_slow_drain(struct conf *c, const struct tidings_options *o)
{
    struct relay r = {.bus = conf_open(c, o), .pause_us = 20000};
    tidings_sub *sub;
    int64_t start;
    unsigned calls;
    struct tidings_info info;

    assert_ok(
        tidings_subscribe(&sub, r.bus, "drain.slow", publish_again, &r, NULL));
    assert_ok(conf_publish_many(r.bus, "drain.slow", 0, 1000)); /* 20 s */
    assert_ok(tidings_flush(r.bus, CONF_MS));
    do
        assert_ok(tidings_info(&info, r.bus));
    while (info.waiting + info.delivered == 0);
    start = td_proc_now_ms();
    assert_err(tidings_drain(r.bus, 200), TIDINGS_ETIMEDOUT);
    assert_in_range(td_proc_now_ms() - start, 200, 200 + PROMPT_MS);
    assert_err(tidings_unsubscribe(sub, CONF_MS), TIDINGS_ECLOSED);
    conf_forget(c, r.bus);
    start = td_proc_now_ms();
    assert_ok(tidings_close(r.bus));
    assert_in_range(td_proc_now_ms() - start, 0, PROMPT_MS);
    calls = atomic_load(&r.calls);
    assert_true(calls > 0 && calls < 1000);
}

static void test_drain_ends_at_its_deadline(void **state)
{
    check_slow_drain(*state, NULL);
}

static void test_drain_of_an_own_loop_ends_at_its_deadline(void **state)
{
    const struct tidings_options o = {.own_loop = true};

    check_slow_drain(*state, &o);
}

/* A member of a live group that comes to rest handles what was sent to it, and
 * leaves the rest to the others: each event is handled once. */
static void test_drained_member_of_a_group_loses_nothing(void **state)
{
    struct conf *c = *state;
    const struct tidings_sub_options group = {.group = "g",
                                              .window_events = 100};
    struct relay leaves = {.bus = conf_open(c, NULL), .pause_us = 100};
    struct relay stays = {.bus = conf_open(c, NULL), .pause_us = 100};
    tidings_bus *other = conf_open(c, NULL);
    int64_t end = td_proc_now_ms() + CONF_MS;

    assert_ok(tidings_subscribe(NULL, leaves.bus, "drain.g", publish_again,
                                &leaves, &group));
    assert_ok(tidings_subscribe(NULL, stays.bus, "drain.g", publish_again,
                                &stays, &group));
    assert_ok(conf_publish_many(other, "drain.g", 0, 1000));
    while (atomic_load(&leaves.calls) < 10 && td_proc_now_ms() < end)
        conf_pause_us(100);
    assert_ok(tidings_drain(leaves.bus, CONF_MS));
    while (atomic_load(&leaves.calls) + atomic_load(&stays.calls) < 1000 &&
           td_proc_now_ms() < end)
        conf_pause_us(100);
    assert_ok(tidings_drain(stays.bus, CONF_MS)); /* nothing comes twice */
    assert_int_equal(atomic_load(&leaves.calls) + atomic_load(&stays.calls),
                     1000);
    assert_in_range(atomic_load(&leaves.calls), 10, 999);
}

/* ---- drain, subscribe and unsubscribe at once ---- */

struct joiner {
    tidings_bus *bus;
    struct tally *t;
    atomic_bool stop;
    unsigned wrong; /* answers that are none of the documented */
};

static void *come_and_go(void *arg)
{
    struct joiner *j = arg;
    const struct tidings_sub_options o = {.timeout_ms = CONF_MS};

    while (!atomic_load(&j->stop)) {
        tidings_sub *sub;
        tidings_err err =
            tidings_subscribe(&sub, j->bus, "join", tally_event, j->t, &o);

        if (!err)
            err = tidings_unsubscribe(sub, CONF_MS);
        j->wrong += err != TIDINGS_OK && err != TIDINGS_ECLOSED;
    }
    return NULL;
}

static tidings_err take_slowly(void *arg, const struct tidings_event *event)
{
    (void)event;
    poll(NULL, 0, 1); /* so that more waits at the broker than the window */
    atomic_fetch_add((atomic_uint *)arg, 1);
    return TIDINGS_OK;
}

/* Nothing is lost silently: what the window had no room for is told. */
static void test_drain_says_what_was_left_behind(void **state)
{
    const struct tidings_sub_options narrow = {.window_events = 10};
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    struct tidings_info info;
    atomic_uint taken = 0;

    assert_ok(tidings_subscribe(NULL, bus, "left", take_slowly, &taken,
                                &narrow));
    for (int i = 0; i < 500; i++)
        assert_ok(tidings_publish(bus, "left", NULL, 0));
    assert_err(tidings_drain(bus, CONF_MS), TIDINGS_ELIMIT);
    assert_non_null(strstr(tidings_detail(), "left behind"));
    assert_ok(tidings_info(&info, bus));
    assert_int_equal(atomic_load(&taken), info.delivered);
    assert_int_equal(info.delivered + info.missed, 500);
    assert_true(info.missed > 0);
}

static bool is_rest(tidings_err err)
{
    return !err || err == TIDINGS_ETIMEDOUT || err == TIDINGS_ELIMIT;
}

static void test_drain_races_with_subscribe_and_unsubscribe(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    struct joiner joiners[2];
    pthread_t threads[2];
    tidings_err err = TIDINGS_OK;

    for (int i = 0; i < 2; i++) {
        joiners[i] = (struct joiner){.bus = bus, .t = conf_tally(c)};
        assert_int_equal(
            pthread_create(&threads[i], NULL, come_and_go, &joiners[i]), 0);
    }
    for (int i = 0; i < ROUNDS && is_rest(err); i++) {
        err = tidings_publish(bus, "join", NULL, 0);
        if (!err) /* a subscription may come after it began: no rest then */
            err = tidings_drain(bus, 20);
    }
    for (int i = 0; i < 2; i++)
        atomic_store(&joiners[i].stop, true);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_true(is_rest(err));
    assert_int_equal(joiners[0].wrong + joiners[1].wrong, 0);
    assert_ok(tidings_drain(bus, CONF_MS));
}

/* ---- close beside waiting calls ---- */

struct waiter {
    tidings_bus *bus;
    tidings_err (*call)(tidings_bus *bus);
    atomic_bool begun;
    tidings_err err;
};

static tidings_err do_wait(tidings_bus *bus)
{
    return tidings_wait(bus, 60000);
}

static tidings_err do_flush(tidings_bus *bus)
{
    return tidings_flush(bus, 60000);
}

static tidings_err do_ping(tidings_bus *bus)
{
    int64_t us;

    return tidings_ping(&us, bus, 60000);
}

static tidings_err do_stats(tidings_bus *bus)
{
    void *bytes;
    size_t len;

    return tidings_stats(&bytes, &len, bus, 60000);
}

static tidings_err never(void *arg, const struct tidings_event *event)
{
    (void)arg;
    (void)event;
    return TIDINGS_OK;
}

static tidings_err do_subscribe(tidings_bus *bus)
{
    const struct tidings_sub_options o = {.timeout_ms = 60000};

    return tidings_subscribe(NULL, bus, "x", never, NULL, &o);
}

static tidings_err do_drain(tidings_bus *bus)
{
    return tidings_drain(bus, 60000);
}

static tidings_err do_publish(tidings_bus *bus)
{
    return tidings_publish(bus, "x", NULL, 0);
}

static void *wait_for_it(void *arg)
{
    struct waiter *w = arg;

    atomic_store(&w->begun, true);
    w->err = w->call(w->bus);
    return NULL;
}

/* Whatever waits is told at once. */
static void test_close_ends_calls_that_wait(void **state)
{
    static tidings_err (*const calls[])(tidings_bus *) = {
        do_wait,      do_flush, do_ping,   do_stats,
        do_subscribe, do_drain, do_publish};
    const struct tidings_options o = {.close_timeout_ms = -1,
                                      .unconfirmed_events = 4,
                                      .publish_timeout_ms = 60000};
    struct waiter w[TD_ARRAY_LEN(calls)];
    pthread_t threads[TD_ARRAY_LEN(calls)];
    tidings_bus *bus;
    char url[256];
    int64_t start;

    (void)state;
    if (!conf_has_daemon())
        skip();
    assert_ok(tidings_open(&bus, conf_dead_url(url), &o));
    assert_ok(conf_publish_many(bus, "x", 0, 4));
    for (size_t i = 0; i < TD_ARRAY_LEN(calls); i++) {
        w[i] = (struct waiter){.bus = bus, .call = calls[i]};
        assert_int_equal(pthread_create(&threads[i], NULL, wait_for_it, &w[i]),
                         0);
    }
    for (size_t i = 0; i < TD_ARRAY_LEN(calls); i++) {
        while (!atomic_load(&w[i].begun))
            sched_yield();
    }
    conf_pause_us(50000); /* most wait by now; the others are refused */
    start = td_proc_now_ms();
    assert_err(tidings_close(bus), TIDINGS_ETIMEDOUT);
    for (size_t i = 0; i < TD_ARRAY_LEN(calls); i++)
        pthread_join(threads[i], NULL);
    assert_in_range(td_proc_now_ms() - start, 0, PROMPT_MS);
    for (size_t i = 0; i < TD_ARRAY_LEN(calls); i++)
        assert_err(w[i].err, TIDINGS_ECLOSED);
}

/* The same when it is a handler that waits, and drives meanwhile. */
struct stuck {
    tidings_bus *bus;
    atomic_bool inside;
    int64_t ended_ms; /* when the last call returned */
    tidings_err err;
};

static tidings_err ping_forever(void *arg, const struct tidings_event *event)
{
    struct stuck *s = arg;
    int64_t us;

    (void)event;
    atomic_store(&s->inside, true);
    do
        s->err = tidings_ping(&us, s->bus, 60000);
    while (!s->err);
    s->ended_ms = td_proc_now_ms();
    return TIDINGS_OK;
}

static void close_beside_handler(bool silent)
{
    const struct tidings_options o = {.close_timeout_ms = -1};
    struct stuck s = {.inside = false};
    int64_t start;

    assert_ok(tidings_open(&s.bus, conf_url(), &o));
    assert_ok(tidings_subscribe(NULL, s.bus, "stuck", ping_forever, &s, NULL));
    assert_ok(tidings_publish(s.bus, "stuck", NULL, 0));
    assert_ok(tidings_flush(s.bus, CONF_MS));
    while (!atomic_load(&s.inside))
        sched_yield();
    if (silent) { /* until it waits for nothing but the next tick */
        assert_true(td_proc_freeze(&conf_daemon()->proc, CONF_MS));
        conf_pause_us(250000);
    }
    start = td_proc_now_ms();
    assert_ok(tidings_close(s.bus));
    td_proc_signal(&conf_daemon()->proc, SIGCONT);
    assert_err(s.err, TIDINGS_ECLOSED);
    assert_in_range(s.ended_ms - start, 0, AT_ONCE_MS);
}

static void test_close_ends_calls_inside_a_handler(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        close_beside_handler(false);
    for (int i = 0; i < 5 && conf_has_daemon(); i++)
        close_beside_handler(true);
}

/* ---- close beside publishers ---- */

struct busy {
    tidings_bus *bus;
    unsigned who;
    uint64_t ok;
    tidings_err err;
};

static void *publish_until_closed(void *arg)
{
    struct busy *p = arg;

    while (!p->err) {
        p->err = conf_publish(p->bus, "busy", p->who, p->ok + 1);
        p->ok += !p->err;
    }
    return NULL;
}

/* What was accepted before is taken; what comes after is refused. */
static void close_beside_publishers(struct conf *c, tidings_bus *reader,
                                    long pause_us)
{
    const struct tidings_options o = {.close_timeout_ms = CONF_MS};
    struct tally *t = conf_tally(c);
    struct busy p[THREADS];
    pthread_t threads[THREADS];
    uint64_t ok = 0;
    tidings_bus *bus;
    tidings_sub *sub;
    tidings_err closed;

    assert_ok(tidings_subscribe(&sub, reader, "busy", tally_event, t, NULL));
    assert_ok(tidings_open(&bus, conf_url(), &o));
    for (unsigned i = 0; i < THREADS; i++) {
        p[i] = (struct busy){.bus = bus, .who = i};
        assert_int_equal(
            pthread_create(&threads[i], NULL, publish_until_closed, &p[i]), 0);
    }
    conf_pause_us(pause_us);
    closed = tidings_close(bus);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < THREADS; i++) {
        assert_err(p[i].err, TIDINGS_ECLOSED);
        ok += p[i].ok;
    }
    assert_ok(closed);
    assert_true(tally_wait(t, ok, CONF_MS));
    assert_ok(tidings_unsubscribe(sub, CONF_MS));
    assert_int_equal(tally_count(t), ok);
    assert_int_equal(tally_now(t).holes + tally_now(t).disorder, 0);
}

static void test_close_takes_what_was_accepted_before(void **state)
{
    struct conf *c = *state;
    tidings_bus *reader = conf_open(c, NULL);
    uint32_t random = 17;

    for (int i = 0; i < 10; i++)
        close_beside_publishers(c, reader, conf_random(&random, 5000));
}

/* ---- close twice at once, and beside everything ---- */

static void *close_it(void *arg)
{
    struct waiter *w = arg;

    w->err = tidings_close(w->bus);
    return NULL;
}

static void test_only_one_close_succeeds(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct waiter w[THREADS];
        pthread_t threads[THREADS];
        tidings_bus *bus;
        int ok = 0;

        assert_ok(tidings_open(&bus, conf_url(), NULL));
        if (round % 2)
            assert_ok(tidings_wait(bus, CONF_MS));
        for (int i = 0; i < THREADS; i++) {
            w[i] = (struct waiter){.bus = bus};
            assert_int_equal(pthread_create(&threads[i], NULL, close_it, &w[i]),
                             0);
        }
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        for (int i = 0; i < THREADS; i++) {
            ok += !w[i].err;
            if (w[i].err)
                assert_err(w[i].err, TIDINGS_ECLOSED);
        }
        assert_int_equal(ok, 1);
    }
}

int conf_run_end(void)
{
    const struct CMUnitTest tests[] = {
        CONF_TEST(test_drain_handles_what_has_arrived),
        CONF_TEST(test_drain_dispatches_for_an_own_loop),
        CONF_TEST(test_drain_ends_at_its_deadline),
        CONF_TEST(test_drain_of_an_own_loop_ends_at_its_deadline),
        CONF_TEST(test_drain_says_what_was_left_behind),
        CONF_TEST(test_drained_member_of_a_group_loses_nothing),
        CONF_TEST(test_drain_races_with_subscribe_and_unsubscribe),
        CONF_TEST(test_close_ends_calls_that_wait),
        CONF_TEST(test_close_ends_calls_inside_a_handler),
        CONF_TEST(test_close_takes_what_was_accepted_before),
        CONF_TEST(test_only_one_close_succeeds),
    };

    return cmocka_run_group_tests_name("end", tests, NULL, NULL);
}
