/* Workers: what they may do when they fail, which calls they may make, and how
 * they end. */
#include "tests/conformance/workers.h"

#include <dirent.h>
#include <sched.h>

#include "tests/conformance/over.h"

#define RACES (300 / CONF_SLOW)

/* ---- failing ---- */

struct teller {
    tidings_bus *bus;
    tidings_sub *sub;
    atomic_int inside;
    atomic_uint together;
    atomic_uint told;
    bool unsubscribes;
    tidings_err unsubscribed;
};

static void note_status(void *arg, const struct tidings_status *status)
{
    struct teller *t = arg;

    if (status->kind != TIDINGS_HANDLER_FAILED)
        return;
    if (atomic_fetch_add(&t->inside, 1) != 0)
        atomic_fetch_add(&t->together, 1);
    if (atomic_load(&t->told) % 32 == 0)
        sched_yield(); /* on a busy machine it costs milliseconds */
    if (t->unsubscribes && atomic_load(&t->told) == 0)
        t->unsubscribed = tidings_unsubscribe(status->sub, CONF_MS);
    atomic_fetch_sub(&t->inside, 1);
    atomic_fetch_add(&t->told, 1);
}

static tidings_err fail_it(void *arg, const struct tidings_event *event)
{
    (void)arg;
    (void)event;
    return TIDINGS_EIO;
}

static void test_failures_are_told_one_at_a_time(void **state)
{
    struct teller t = {.inside = 0};
    const struct tidings_options o = {.on_status = note_status,
                                      .on_status_arg = &t};
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, &o);
    struct tidings_info info;

    assert_ok(tidings_subscribe(NULL, bus, "fail", fail_it, NULL,
                                &workers_any_order));
    assert_ok(tidings_subscribe(NULL, bus, "fail", fail_it, NULL, NULL));
    assert_ok(conf_publish_many(bus, "fail", 0, 500));
    assert_true(workers_reach(&t.told, 1000));
    assert_ok(tidings_drain(bus, CONF_MS));
    assert_ok(tidings_info(&info, bus));
    assert_ok(tidings_close(bus));
    conf_forget(c, bus);
    assert_int_equal(t.told, 1000);
    assert_int_equal(t.together, 0);
    assert_int_equal(info.delivered, 1000);
    assert_int_equal(info.failed, 1000);
}

/* The other workers wait to tell of their failures: they are let go. */
static void test_unsubscribe_while_failures_are_told(void **state)
{
    struct teller t = {.unsubscribes = true};
    const struct tidings_options o = {.on_status = note_status,
                                      .on_status_arg = &t};
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, &o);

    assert_ok(tidings_subscribe(NULL, bus, "fail", fail_it, NULL,
                                &workers_any_order));
    assert_ok(conf_publish_many(bus, "fail", 0, 500));
    assert_true(workers_reach(&t.told, 1));
    assert_ok(tidings_close(bus));
    conf_forget(c, bus);
    assert_ok(t.unsubscribed);
    assert_int_equal(t.told, 1);
}

/* ---- every call inside a worker ---- */

struct inside {
    tidings_bus *bus;
    tidings_sub *own;
    tidings_sub *other;
    atomic_uint entered;
    atomic_uint done;
    tidings_err publish, flush, ping, info, sub_info, subscribe, other_ended,
        close, drain, own_ended, own_twice;
};

static tidings_err call_everything(void *arg, const struct tidings_event *event)
{
    struct inside *x = arg;
    struct tidings_sub_info sub_info;
    struct tidings_info info;
    tidings_sub *made;
    int64_t us;

    (void)event;
    if (atomic_fetch_add(&x->entered, 1) > 0)
        return TIDINGS_OK;
    x->publish = tidings_publish(x->bus, "other", NULL, 0);
    x->flush = tidings_flush(x->bus, CONF_MS);
    x->ping = tidings_ping(&us, x->bus, CONF_MS);
    x->info = tidings_info(&info, x->bus);
    x->sub_info = tidings_sub_info(&sub_info, x->own);
    x->subscribe = tidings_subscribe(&made, x->bus, "made", call_everything, x,
                                     &workers_any_order);
    x->other_ended = tidings_unsubscribe(x->other, CONF_MS);
    x->close = tidings_close(x->bus);
    x->drain = tidings_drain(x->bus, CONF_MS);
    x->own_ended = tidings_unsubscribe(x->own, CONF_MS);
    x->own_twice = tidings_unsubscribe(x->own, CONF_MS);
    atomic_fetch_add(&x->done, 1);
    return TIDINGS_OK;
}

static void test_every_call_inside_a_worker(void **state)
{
    struct conf *c = *state;
    struct inside x = {.bus = conf_open(c, NULL)};
    struct tally *other = conf_tally(c);

    assert_ok(tidings_subscribe(&x.other, x.bus, "other", tally_event, other,
                                &workers_any_order));
    assert_ok(tidings_subscribe(&x.own, x.bus, "call", call_everything, &x,
                                &workers_any_order));
    assert_ok(tidings_publish(x.bus, "call", NULL, 0));
    assert_true(workers_reach(&x.done, 1));
    assert_ok(x.publish);
    assert_ok(x.flush);
    assert_ok(x.ping);
    assert_ok(x.info);
    assert_ok(x.sub_info);
    assert_ok(x.subscribe);
    assert_ok(x.other_ended);
    assert_err(x.close, TIDINGS_EDEADLK);
    assert_err(x.drain, TIDINGS_EDEADLK);
    assert_ok(x.own_ended);
    assert_err(x.own_twice, TIDINGS_ECLOSED);
    assert_ok(tidings_publish(x.bus, "call", NULL, 0));
    assert_ok(tidings_publish(x.bus, "made", NULL, 0));
    assert_true(workers_reach(&x.entered, 2)); /* "made" is called … */
    assert_ok(tidings_close(x.bus));
    conf_forget(c, x.bus);
    assert_int_equal(x.entered, 2); /* … "call" is not */
}

/* A handler on the bus's thread, too, can wait for workers. */
static tidings_err end_workers(void *arg, const struct tidings_event *event)
{
    struct inside *x = arg;

    (void)event;
    x->other_ended = tidings_unsubscribe(x->other, CONF_MS);
    atomic_fetch_add(&x->done, 1);
    return TIDINGS_OK;
}

static tidings_err be_slow(void *arg, const struct tidings_event *event)
{
    struct inside *x = arg;

    (void)event;
    atomic_fetch_add(&x->entered, 1);
    conf_pause_us(100000);
    return TIDINGS_OK;
}

static void test_a_handler_waits_for_workers(void **state)
{
    struct conf *c = *state;
    struct inside x = {.bus = conf_open(c, NULL), .other_ended = TIDINGS_EIO};
    int64_t start;

    assert_ok(tidings_subscribe(&x.other, x.bus, "slow", be_slow, &x,
                                &workers_any_order));
    assert_ok(tidings_subscribe(NULL, x.bus, "end", end_workers, &x, NULL));
    assert_ok(tidings_publish(x.bus, "slow", NULL, 0));
    assert_true(workers_reach(&x.entered, 1));
    start = td_proc_now_ms();
    assert_ok(tidings_publish(x.bus, "end", NULL, 0));
    assert_true(workers_reach(&x.done, 1));
    assert_true(td_proc_now_ms() - start < CONF_MS / 2);
    assert_ok(x.other_ended);
    assert_ok(tidings_close(x.bus));
    conf_forget(c, x.bus);
}

/* ---- ending ---- */

static unsigned count_threads(void)
{
    DIR *folder = opendir("/proc/self/task");
    const struct dirent *entry;
    unsigned n = 0;

    assert_non_null(folder);
    while ((entry = readdir(folder)))
        n += entry->d_name[0] != '.';
    closedir(folder);
    return n;
}

/* One that was joined may be in the list for a moment longer. */
static bool threads_become(unsigned n)
{
    int64_t end = td_proc_now_ms() + CONF_MS;

    while (count_threads() != n && td_proc_now_ms() < end)
        conf_pause_us(500);
    return count_threads() == n;
}

static void test_threads_live_as_long_as_their_subscription(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    struct tally *t = conf_tally(c);
    unsigned before = count_threads();
    tidings_sub *sub;

    for (int i = 0; i < 3; i++) {
        assert_ok(tidings_subscribe(&sub, bus, "threads", tally_event, t,
                                    &workers_any_order));
        assert_int_equal(count_threads(), before + WORKERS);
        assert_ok(tidings_unsubscribe(sub, CONF_MS));
        assert_true(threads_become(before));
    }
    assert_ok(tidings_subscribe(NULL, bus, "threads", tally_event, t,
                                &workers_any_order));
    assert_ok(tidings_drain(bus, CONF_MS));
    assert_true(threads_become(before));
}

static void test_no_worker_calls_after_unsubscribe_returned(void **state)
{
    struct conf *c = *state;
    tidings_bus *from = conf_open(c, NULL);

    over_race(from, conf_open(c, NULL), &workers_any_order, RACES, 8);
    over_race(from, conf_open(c, NULL), &workers_key_order, RACES, 8);
}

static void test_unsubscribe_waits_for_running_workers(void **state)
{
    struct slow x = {.slow = 1};
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    uint64_t n = 1;
    tidings_sub *sub;

    assert_ok(tidings_subscribe(&sub, bus, "slow", workers_wait_if_slow, &x,
                                &workers_any_order));
    assert_ok(tidings_publish(bus, "slow", &n, sizeof(n)));
    assert_true(workers_reach(&x.entered, 1));
    assert_err(tidings_unsubscribe(sub, 100), TIDINGS_ETIMEDOUT);
    assert_non_null(strstr(tidings_detail(), "running"));
    atomic_store(&x.open, true);
    assert_ok(tidings_close(bus)); /* it waits for that one */
    conf_forget(c, bus);
    assert_int_equal(x.calls, 1);
}

static void test_drain_lets_workers_finish(void **state)
{
    static const enum tidings_order orders[] = {TIDINGS_KEY_ORDER,
                                                TIDINGS_ANY_ORDER};
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);

    for (size_t i = 0; i < TD_ARRAY_LEN(orders); i++) {
        const struct tidings_sub_options o = {.workers = WORKERS,
                                              .order = orders[i]};
        struct slow x = {0};
        struct tidings_info info;

        assert_ok(
            tidings_subscribe(NULL, bus, "rest", workers_wait_if_slow, &x, &o));
        for (uint64_t n = 1; n <= 5000; n++) {
            if (n % 2)
                assert_ok(tidings_publish(bus, "rest", &n, sizeof(n)));
            else
                assert_ok(workers_publish(bus, "rest", n % 3 ? "a" : "b", n));
        }
        assert_ok(tidings_drain(bus, CONF_MS));
        assert_int_equal(x.calls, 5000);
        assert_ok(tidings_info(&info, bus));
        assert_int_equal(info.waiting, 0);
        assert_int_equal(info.delivered, 5000 * (i + 1));
    }
}

/* Whatever is queued, running or being told: closing comes through. */
static void test_close_ends_workers_at_any_moment(void **state)
{
    struct conf *c = *state;
    uint32_t random = 19;

    for (int i = 0; i < RACES / 4; i++) {
        struct teller t = {.inside = 0};
        const struct tidings_options o = {.on_status = note_status,
                                          .on_status_arg = &t};
        tidings_bus *bus = conf_open(c, &o);
        struct over one = {.calls = 0};

        assert_ok(tidings_subscribe(NULL, bus, "fail", fail_it, NULL,
                                    &workers_any_order));
        assert_ok(tidings_subscribe(NULL, bus, "fail", over_note, &one,
                                    &workers_key_order));
        assert_ok(conf_publish_many(bus, "fail", 0, 200));
        conf_pause_us(conf_random(&random, 2000));
        assert_ok(tidings_close(bus));
        atomic_store(&one.over, true);
        conf_forget(c, bus);
        assert_int_equal(one.late, 0);
    }
}

int conf_run_workers_end(void)
{
    const struct CMUnitTest tests[] = {
        CONF_TEST(test_failures_are_told_one_at_a_time),
        CONF_TEST(test_unsubscribe_while_failures_are_told),
        CONF_TEST(test_every_call_inside_a_worker),
        CONF_TEST(test_a_handler_waits_for_workers),
        CONF_TEST(test_threads_live_as_long_as_their_subscription),
        CONF_TEST(test_no_worker_calls_after_unsubscribe_returned),
        CONF_TEST(test_unsubscribe_waits_for_running_workers),
        CONF_TEST(test_drain_lets_workers_finish),
        CONF_TEST(test_close_ends_workers_at_any_moment),
    };

    return cmocka_run_group_tests_name("workers_end", tests, NULL, NULL);
}
