/* Handlers: one at a time and in order; what they may do; how they end. */
#include "tests/conformance/conformance.h"

#include <sched.h>

#include "tests/conformance/over.h"

#define RACES  (1000 / CONF_SLOW)
#define SLOW_S 17 /* longer than a silent client is kept */

/* ---- one at a time ---- */

struct turn {
    atomic_int *inside; /* shared by all handlers of the bus */
    atomic_uint *together;
    struct tally *tally;
};

static tidings_err one_at_a_time(void *arg, const struct tidings_event *event)
{
    static atomic_uint calls;
    struct turn *t = arg;

    if (atomic_fetch_add(t->inside, 1) != 0)
        atomic_fetch_add(t->together, 1);
    if (atomic_fetch_add(&calls, 1) % 32 == 0)
        sched_yield(); /* on a busy machine it costs milliseconds */
    tally_event(t->tally, event);
    atomic_fetch_sub(t->inside, 1);
    return TIDINGS_OK;
}

static void test_handlers_run_one_at_a_time_in_order(void **state)
{
    const uint64_t each = 3000 / CONF_SLOW;
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    tidings_bus *from = conf_open(c, NULL);
    atomic_int inside = 0;
    atomic_uint together = 0;
    struct turn turns[3];

    for (int i = 0; i < 3; i++) {
        turns[i] = (struct turn){&inside, &together, conf_tally(c)};
        assert_ok(tidings_subscribe(NULL, bus, "turn.*", one_at_a_time,
                                    &turns[i], NULL));
    }
    for (uint64_t n = 1; n <= each; n++) {
        assert_ok(conf_publish(bus, "turn.a", 0, n));
        assert_ok(conf_publish(from, "turn.b", 1, n));
    }
    for (int i = 0; i < 3; i++) {
        struct tally now;

        assert_true(tally_wait(turns[i].tally, 2 * each, CONF_MS));
        now = tally_now(turns[i].tally);
        assert_int_equal(now.holes + now.disorder, 0);
    }
    assert_int_equal(together, 0);
    conf_forget(c, bus);
    assert_ok(tidings_close(bus)); /* before turns are gone */
}

/* ---- failing ---- */

static void test_failed_handler_is_told_and_harms_nobody(void **state)
{
    struct conf *c = *state;
    struct tally *s = conf_tally(c);
    const struct tidings_options o = {.on_status = tally_status,
                                      .on_status_arg = s};
    tidings_bus *bus = conf_open(c, &o);
    struct tally *bad = conf_tally(c);
    struct tally *good;
    struct tidings_info info;
    struct tally now;
    tidings_sub *sub;

    bad->answer = TIDINGS_EIO;
    assert_ok(tidings_subscribe(&sub, bus, "fail.*", tally_event, bad, NULL));
    good = conf_subscribe(c, bus, "fail.*");
    assert_ok(conf_publish_many(bus, "fail.x", 0, 10));
    assert_true(tally_wait_status(s, TIDINGS_HANDLER_FAILED, 10, CONF_MS));
    assert_true(tally_wait(good, 10, CONF_MS));
    assert_int_equal(tally_count(bad), 10);

    now = tally_now(s);
    assert_int_equal(now.status.kind, TIDINGS_HANDLER_FAILED);
    assert_int_equal(now.status.err, TIDINGS_EIO);
    assert_ptr_equal(now.status.sub, sub);
    assert_int_equal(now.status.count, 1);
    assert_string_equal(now.status_type, "fail.x");
    assert_string_equal(now.status_id, tally_now(bad).id);
    assert_true(*now.status_text);
    assert_ok(tidings_drain(bus, CONF_MS));
    assert_ok(tidings_info(&info, bus));
    assert_int_equal(info.delivered, 20);
    assert_int_equal(info.failed, 10);
    conf_forget(c, bus);
    assert_ok(tidings_close(bus));
}

/* ---- every call inside a handler ---- */

struct inside {
    tidings_bus *bus;
    tidings_sub *other;
    tidings_sub *own;
    struct tally *tally; /* of subscriptions made inside */
    tidings_err publish, flush, wait, ping, stats, info, subscribe, unsubscribe,
        unsubscribe_own, unsubscribe_twice, close, drain, dispatch;
    atomic_int done; /* calls of the handler */
};

static tidings_err call_everything(void *arg, const struct tidings_event *event)
{
    struct inside *x = arg;
    struct tidings_info info;
    void *bytes = NULL;
    size_t len;
    int64_t us;

    x->publish =
        tidings_publish(x->bus, "made.inside", event->data, event->data_len);
    x->flush = tidings_flush(x->bus, CONF_MS);
    x->wait = tidings_wait(x->bus, CONF_MS);
    x->ping = tidings_ping(&us, x->bus, CONF_MS);
    x->stats = tidings_stats(&bytes, &len, x->bus, CONF_MS);
    tidings_free(bytes);
    x->info = tidings_info(&info, x->bus);
    x->subscribe = tidings_subscribe(NULL, x->bus, "new.inside", tally_event,
                                     x->tally, NULL);
    x->unsubscribe = tidings_unsubscribe(x->other, CONF_MS);
    x->close = tidings_close(x->bus);
    x->drain = tidings_drain(x->bus, CONF_MS);
    x->dispatch = tidings_dispatch(NULL, x->bus, 1);
    x->unsubscribe_own = tidings_unsubscribe(x->own, CONF_MS);
    x->unsubscribe_twice = tidings_unsubscribe(x->own, CONF_MS);
    atomic_fetch_add(&x->done, 1);
    return TIDINGS_OK;
}

static void check_everything(struct conf *c, const struct tidings_options *o)
{
    struct inside x = {.bus = conf_open(c, o)};
    struct tally *made = conf_subscribe(c, x.bus, "made.inside");
    struct tally *other = conf_tally(c);
    int64_t end = td_proc_now_ms() + CONF_MS;

    x.tally = conf_tally(c);
    assert_ok(
        tidings_subscribe(&x.other, x.bus, "other", tally_event, other, NULL));
    assert_ok(
        tidings_subscribe(&x.own, x.bus, "call", call_everything, &x, NULL));
    assert_ok(tidings_publish(x.bus, "call", "x", 1));
    while (atomic_load(&x.done) == 0 && td_proc_now_ms() < end) {
        if (o && o->own_loop)
            assert_ok(tidings_dispatch(NULL, x.bus, 100));
        else
            conf_pause_us(1000);
    }
    assert_int_equal(atomic_load(&x.done), 1);
    assert_ok(x.publish);
    assert_ok(x.flush);
    assert_ok(x.wait);
    assert_ok(x.ping);
    assert_ok(x.stats);
    assert_ok(x.info);
    assert_ok(x.subscribe);
    assert_ok(x.unsubscribe);
    assert_ok(x.unsubscribe_own);
    assert_err(x.unsubscribe_twice, TIDINGS_ECLOSED);
    assert_err(x.close, TIDINGS_EDEADLK);
    assert_err(x.drain, TIDINGS_EDEADLK);
    assert_err(x.dispatch,
               o && o->own_loop ? TIDINGS_EDEADLK : TIDINGS_ENOTSUP);

    assert_ok(tidings_publish(x.bus, "call", "x", 1)); /* unsubscribed */
    assert_ok(tidings_publish(x.bus, "other", "x", 1));
    assert_ok(tidings_publish(x.bus, "new.inside", "x", 1));
    assert_ok(tidings_flush(x.bus, CONF_MS));
    if (o && o->own_loop)
        assert_ok(tidings_drain(x.bus, CONF_MS));
    assert_true(tally_wait(made, 1, CONF_MS));
    assert_true(tally_wait(x.tally, 1, CONF_MS));
    assert_ok(tidings_close(x.bus));
    conf_forget(c, x.bus);
    assert_int_equal(atomic_load(&x.done), 1);
    assert_int_equal(tally_count(other), 0);
}

static void test_every_call_inside_a_handler(void **state)
{
    check_everything(*state, NULL);
}

static void test_every_call_inside_a_handler_of_an_own_loop(void **state)
{
    const struct tidings_options o = {.own_loop = true};

    check_everything(*state, &o);
}

/* on_status is a handler too. */
static void deadlock_in_status(void *arg, const struct tidings_status *status)
{
    struct inside *x = arg;

    if (status->kind != TIDINGS_HANDLER_FAILED ||
        atomic_fetch_add(&x->done, 1) > 0)
        return;
    x->close = tidings_close(x->bus);
    x->drain = tidings_drain(x->bus, 1000);
    x->publish = tidings_publish(x->bus, "status.made", NULL, 0);
    x->flush = tidings_flush(x->bus, CONF_MS);
}

static void test_status_callback_is_a_handler(void **state)
{
    struct conf *c = *state;
    struct inside x = {.done = 0};
    const struct tidings_options o = {.on_status = deadlock_in_status,
                                      .on_status_arg = &x};
    struct tally *bad;

    x.bus = conf_open(c, &o);
    bad = conf_subscribe(c, x.bus, "status.*");
    bad->answer = TIDINGS_EINVAL;
    assert_ok(tidings_publish(x.bus, "status.go", NULL, 0));
    assert_true(tally_wait(bad, 2, CONF_MS)); /* its own and what it made */
    assert_ok(tidings_close(x.bus));
    conf_forget(c, x.bus);
    assert_err(x.close, TIDINGS_EDEADLK);
    assert_err(x.drain, TIDINGS_EDEADLK);
    assert_ok(x.publish);
    assert_ok(x.flush);
}

/* ---- cycles ---- */

struct cycle {
    tidings_bus *bus;
    const char *type; /* what the handler publishes */
    atomic_bool *stop;
    atomic_ullong handled;
    atomic_ullong full;  /* publishes refused with EFULL */
    atomic_ullong other; /* … with anything else */
};

static tidings_err publish_two(void *arg, const struct tidings_event *event)
{
    struct cycle *x = arg;

    (void)event;
    for (int i = 0; i < 2 && !atomic_load(x->stop); i++) {
        tidings_err err = tidings_publish(x->bus, x->type, "0123456789", 10);

        atomic_fetch_add(&x->full, err == TIDINGS_EFULL);
        atomic_fetch_add(&x->other, err && err != TIDINGS_EFULL);
    }
    atomic_fetch_add(&x->handled, 1);
    return TIDINGS_OK;
}

/* Each event makes two: it cannot but fill every queue. */
/* What the windows had no room for may be left behind. */
static void come_to_rest(tidings_bus *bus)
{
    tidings_err err = tidings_drain(bus, 2 * CONF_MS);

    assert_true(!err || err == TIDINGS_ELIMIT);
}

static void run_cycle(struct conf *c, tidings_bus *a, tidings_bus *b)
{
    const struct tidings_sub_options so = {.window_events = 64,
                                           .queue_events = 256};
    const uint64_t enough = 20000 / CONF_SLOW;
    atomic_bool stop = false;
    struct cycle to_b = {.bus = a, .type = "cycle.b", .stop = &stop};
    struct cycle to_a = {.bus = b, .type = "cycle.a", .stop = &stop};
    int64_t end = td_proc_now_ms() + 2 * CONF_MS;
    struct tally *after;

    assert_ok(tidings_subscribe(NULL, a, "cycle.a", publish_two, &to_b, &so));
    assert_ok(tidings_subscribe(NULL, b, "cycle.b", publish_two, &to_a, &so));
    assert_ok(tidings_publish(a, "cycle.b", NULL, 0));
    while (td_proc_now_ms() < end && (atomic_load(&to_a.handled) < enough ||
                                      atomic_load(&to_b.handled) < enough))
        conf_pause_us(2000);
    assert_true(atomic_load(&to_a.handled) >= enough);
    assert_true(atomic_load(&to_b.handled) >= enough);
    assert_int_equal(to_a.other + to_b.other, 0);
    print_message("%llu handled, %llu refused\n",
                  (unsigned long long)(to_a.handled + to_b.handled),
                  (unsigned long long)(to_a.full + to_b.full));

    atomic_store(&stop, true); /* and then it comes to rest */
    come_to_rest(a);
    come_to_rest(b);
    after = conf_subscribe(c, b, "cycle.after");
    assert_ok(tidings_publish(a, "cycle.after", NULL, 0));
    assert_true(tally_wait(after, 1, CONF_MS));
}

static void test_cycle_on_one_bus_never_locks(void **state)
{
    const struct tidings_options o = {.publish_timeout_ms = 20,
                                      .unconfirmed_events = 64};
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, &o);

    run_cycle(c, bus, bus);
}

static void test_cycle_of_two_buses_never_locks(void **state)
{
    const struct tidings_options o = {.publish_timeout_ms = 20,
                                      .unconfirmed_events = 64};
    struct conf *c = *state;

    run_cycle(c, conf_open(c, &o), conf_open(c, &o));
}

/* ---- slow handlers ---- */

struct gate {
    atomic_bool entered;
    atomic_bool open;
};

/* In time, so that a test that has failed does not hang. */
static bool is_true(atomic_bool *flag)
{
    int64_t end = td_proc_now_ms() + 2 * CONF_MS;

    while (!atomic_load(flag) && td_proc_now_ms() < end)
        conf_pause_us(500);
    return atomic_load(flag);
}

static tidings_err wait_at_gate(void *arg, const struct tidings_event *event)
{
    struct gate *g = arg;

    (void)event;
    atomic_store(&g->entered, true);
    is_true(&g->open);
    return TIDINGS_OK;
}

/* While a handler keeps the I/O thread, everybody else goes on. */
static void test_other_calls_go_on_beside_a_slow_handler(void **state)
{
    struct gate g = {false, false};
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    tidings_bus *other = conf_open(c, NULL);
    struct tally *t = conf_subscribe(c, other, "beside");
    struct tally *late = conf_tally(c);
    tidings_sub *sub;
    int64_t us;

    assert_ok(tidings_subscribe(NULL, bus, "slow", wait_at_gate, &g, NULL));
    assert_ok(tidings_publish(other, "slow", NULL, 0));
    assert_true(is_true(&g.entered));
    for (uint64_t i = 1; i <= 200; i++) {
        assert_ok(tidings_publish(bus, "beside", NULL, 0));
        if (i % 2)
            assert_ok(tidings_flush(bus, CONF_MS));
        assert_true(tally_wait(t, i, CONF_MS));
    }
    assert_ok(tidings_ping(&us, bus, CONF_MS));
    assert_ok(tidings_subscribe(&sub, bus, "late", tally_event, late, NULL));
    assert_ok(tidings_publish(bus, "late", NULL, 0));
    assert_ok(tidings_flush(bus, CONF_MS));
    assert_int_equal(tally_count(late), 0); /* its turn has not come */
    atomic_store(&g.open, true);
    assert_true(tally_wait(late, 1, CONF_MS));
    assert_ok(tidings_unsubscribe(sub, CONF_MS));
    assert_ok(tidings_close(bus));
    conf_forget(c, bus);
}

static void test_slow_handler_keeps_the_link_alive(void **state)
{
    struct gate g = {false, false};
    struct conf *c = *state;
    tidings_bus *bus;
    tidings_bus *other;
    struct tidings_info info;
    uint64_t silent;

    if (!conf_is_long())
        skip();
    bus = conf_open(c, NULL);
    other = conf_open(c, NULL);
    silent = conf_counter(other, "silent");
    assert_ok(tidings_subscribe(NULL, bus, "slow", wait_at_gate, &g, NULL));
    assert_ok(tidings_publish(other, "slow", NULL, 0));
    assert_true(is_true(&g.entered));
    conf_pause_us(SLOW_S * 1000000L); /* the passing of time is the test */
    atomic_store(&g.open, true);
    assert_ok(tidings_flush(bus, CONF_MS));
    assert_ok(tidings_info(&info, bus));
    assert_int_equal(info.connects, 1);
    assert_int_equal(conf_counter(other, "silent"), silent);
    assert_ok(tidings_close(bus));
    conf_forget(c, bus);
}

/* ---- unsubscribing ---- */

/* D22 */
static void test_no_call_after_unsubscribe_returned(void **state)
{
    struct conf *c = *state;

    over_race(conf_open(c, NULL), conf_open(c, NULL), NULL, RACES, 4);
}

static void test_no_call_after_unsubscribe_on_the_same_bus(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);

    over_race(bus, bus, NULL, RACES, 4);
}

/* Its own handler may go on, but is not called again. */
struct own {
    tidings_sub *sub;
    atomic_uint calls;
    atomic_bool done;
    tidings_err err;
};

static tidings_err unsubscribe_own(void *arg, const struct tidings_event *event)
{
    struct own *o = arg;

    (void)event;
    if (atomic_fetch_add(&o->calls, 1) == 4) {
        o->err = tidings_unsubscribe(o->sub, CONF_MS);
        atomic_store(&o->done, true);
    }
    return TIDINGS_OK;
}

static void test_unsubscribe_inside_its_own_handler(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    struct tally *other = conf_subscribe(c, bus, "own");
    struct own o = {.err = TIDINGS_EIO};
    int64_t end = td_proc_now_ms() + CONF_MS;

    assert_ok(tidings_subscribe(&o.sub, bus, "own", unsubscribe_own, &o, NULL));
    assert_ok(conf_publish_many(bus, "own", 0, 100));
    assert_true(tally_wait(other, 100, CONF_MS));
    while (!atomic_load(&o.done) && td_proc_now_ms() < end)
        conf_pause_us(1000);
    assert_ok(tidings_close(bus));
    conf_forget(c, bus);
    assert_ok(o.err);
    assert_int_equal(atomic_load(&o.calls), 5);
}

/* Another thread waits for the handler; past its deadline it says so. */
static void test_unsubscribe_waits_for_the_running_handler(void **state)
{
    struct gate g = {false, false};
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    tidings_sub *sub;

    assert_ok(tidings_subscribe(&sub, bus, "slow", wait_at_gate, &g, NULL));
    assert_ok(tidings_publish(bus, "slow", NULL, 0));
    assert_true(is_true(&g.entered));
    assert_err(tidings_unsubscribe(sub, 100), TIDINGS_ETIMEDOUT);
    assert_non_null(strstr(tidings_detail(), "running"));
    atomic_store(&g.open, true);
    assert_ok(tidings_close(bus));
    conf_forget(c, bus);
}

int conf_run_handler(void)
{
    const struct CMUnitTest tests[] = {
        CONF_TEST(test_handlers_run_one_at_a_time_in_order),
        CONF_TEST(test_failed_handler_is_told_and_harms_nobody),
        CONF_TEST(test_every_call_inside_a_handler),
        CONF_TEST(test_every_call_inside_a_handler_of_an_own_loop),
        CONF_TEST(test_status_callback_is_a_handler),
        CONF_TEST(test_cycle_on_one_bus_never_locks),
        CONF_TEST(test_cycle_of_two_buses_never_locks),
        CONF_TEST(test_other_calls_go_on_beside_a_slow_handler),
        CONF_TEST(test_slow_handler_keeps_the_link_alive),
        CONF_TEST(test_no_call_after_unsubscribe_returned),
        CONF_TEST(test_no_call_after_unsubscribe_on_the_same_bus),
        CONF_TEST(test_unsubscribe_inside_its_own_handler),
        CONF_TEST(test_unsubscribe_waits_for_the_running_handler),
    };

    return cmocka_run_group_tests_name("handler", tests, NULL, NULL);
}
