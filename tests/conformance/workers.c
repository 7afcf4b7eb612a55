/* Workers: handlers beside one another, in the order that was asked for; what
 * they may do, and how they end. */
#include "tests/conformance/conformance.h"

#include <dirent.h>
#include <malloc.h>
#include <sched.h>
#include <stdlib.h>

#define WORKERS 4
#define KEYS    16
#define EVENTS  (20000 / CONF_SLOW)
#define RACES   (300 / CONF_SLOW)

static const struct tidings_sub_options any_order = {
    .workers = WORKERS, .order = TIDINGS_ANY_ORDER};
static const struct tidings_sub_options key_order = {
    .workers = WORKERS, .order = TIDINGS_KEY_ORDER};

/* Waits until *n is at least so many. */
static bool reaches(atomic_uint *n, unsigned enough)
{
    int64_t end = td_proc_now_ms() + CONF_MS;

    while (atomic_load(n) < enough && td_proc_now_ms() < end)
        conf_pause_us(500);
    return atomic_load(n) >= enough;
}

/* An event with a partitionkey; its data is a number. */
static tidings_err publish_keyed(tidings_bus *bus, const char *type,
                                 const char *key, uint64_t n)
{
    const struct tidings_attr attr = {
        .name = "partitionkey", .kind = TIDINGS_ATTR_STRING, .string = key};
    const struct tidings_event event = {.type = type,
                                        .data = &n,
                                        .data_len = sizeof(n),
                                        .attrs = &attr,
                                        .attrs_len = 1};

    return tidings_publish_event(bus, &event);
}

static uint64_t number_of(const struct tidings_event *event)
{
    uint64_t n = 0;

    if (event->data_len == sizeof(n))
        memcpy(&n, event->data, sizeof(n));
    return n;
}

/* ---- beside one another ---- */

struct crowd {
    unsigned want; /* calls that wait for one another */
    atomic_uint inside;
    atomic_uint most;
    atomic_uint calls;
    atomic_uint gave_up;
};

static void note_most(struct crowd *x)
{
    unsigned now = atomic_fetch_add(&x->inside, 1) + 1;
    unsigned most = atomic_load(&x->most);

    while (now > most && !atomic_compare_exchange_weak(&x->most, &most, now))
        ;
}

static tidings_err meet(void *arg, const struct tidings_event *event)
{
    struct crowd *x = arg;

    (void)event;
    note_most(x);
    if (!reaches(&x->most, x->want))
        atomic_fetch_add(&x->gave_up, 1);
    atomic_fetch_sub(&x->inside, 1);
    atomic_fetch_add(&x->calls, 1);
    return TIDINGS_OK;
}

static void check_crowd(struct conf *c, const struct tidings_sub_options *o,
                        const char *key)
{
    struct crowd x = {.want = WORKERS};
    tidings_bus *bus = conf_open(c, NULL);

    assert_ok(tidings_subscribe(NULL, bus, "crowd", meet, &x, o));
    for (uint64_t n = 1; n <= 100; n++) {
        if (key)
            assert_ok(publish_keyed(bus, "crowd", key, n));
        else
            assert_ok(conf_publish(bus, "crowd", 0, n));
    }
    assert_true(reaches(&x.calls, 100));
    assert_ok(tidings_close(bus));
    conf_forget(c, bus);
    assert_int_equal(x.gave_up, 0);
    assert_int_equal(x.most, WORKERS);
    assert_int_equal(x.calls, 100);
}

static void test_workers_run_beside_one_another(void **state)
{
    check_crowd(*state, &any_order, NULL);
    check_crowd(*state, &any_order, "same"); /* keys are nothing to it */
}

static void test_events_without_a_key_run_beside_one_another(void **state)
{
    check_crowd(*state, &key_order, NULL);
}

/* ---- by key ---- */

struct keyed {
    struct {
        atomic_int inside;
        atomic_ullong last;
    } key[KEYS];
    atomic_uint calls;
    atomic_uint together; /* two of a key at once */
    atomic_uint disorder;
    _Atomic(uintptr_t) thread; /* of the first call */
    atomic_uint others;        /* calls on other threads */
};

static tidings_err note_key(void *arg, const struct tidings_event *event)
{
    struct keyed *x = arg;
    const char *key = tidings_event_attr(event, "partitionkey");
    unsigned k = key ? (unsigned)atoi(key + 1) % KEYS : 0;
    uint64_t n = number_of(event);
    uintptr_t first = 0;

    if (atomic_fetch_add(&x->key[k].inside, 1) != 0)
        atomic_fetch_add(&x->together, 1);
    if (n <= atomic_exchange(&x->key[k].last, n))
        atomic_fetch_add(&x->disorder, 1);
    if (!atomic_compare_exchange_strong(&x->thread, &first,
                                        (uintptr_t)pthread_self()) &&
        first != (uintptr_t)pthread_self())
        atomic_fetch_add(&x->others, 1);
    if (n % 64 == 0)
        sched_yield();
    atomic_fetch_sub(&x->key[k].inside, 1);
    atomic_fetch_add(&x->calls, 1);
    return TIDINGS_OK;
}

static void test_events_of_a_key_keep_their_order(void **state)
{
    struct keyed *x = calloc(1, sizeof(*x));
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    uint32_t random = 7;

    assert_non_null(x);
    assert_ok(tidings_subscribe(NULL, bus, "key.*", note_key, x, &key_order));
    for (uint64_t n = 1; n <= EVENTS; n++) {
        char key[16];

        snprintf(key, sizeof(key), "k%u", conf_random(&random, KEYS));
        assert_ok(publish_keyed(bus, n % 3 ? "key.a" : "key.b", key, n));
    }
    assert_true(reaches(&x->calls, EVENTS));
    assert_ok(tidings_close(bus));
    conf_forget(c, bus);
    assert_int_equal(x->calls, EVENTS);
    assert_int_equal(x->together, 0);
    assert_int_equal(x->disorder, 0);
    assert_true(x->others > 0); /* sixteen keys are not all of one worker */
    free(x);
}

/* ---- behind a slow one ---- */

struct slow {
    uint64_t slow; /* the event that waits */
    atomic_bool open;
    atomic_uint entered;
    atomic_uint calls;
};

static tidings_err wait_if_slow(void *arg, const struct tidings_event *event)
{
    struct slow *x = arg;

    if (number_of(event) == x->slow) {
        atomic_store(&x->entered, 1);
        while (!atomic_load(&x->open))
            conf_pause_us(500);
    }
    atomic_fetch_add(&x->calls, 1);
    return TIDINGS_OK;
}

/* Whatever the slow one was taken together with goes to another worker. */
static void test_no_event_waits_behind_a_slow_one(void **state)
{
    const struct tidings_sub_options o = {.workers = 2,
                                          .order = TIDINGS_ANY_ORDER};
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);

    for (uint64_t slow = 1; slow <= 400; slow += 133) {
        struct slow x = {.slow = slow};
        tidings_sub *sub;

        assert_ok(tidings_subscribe(&sub, bus, "slow", wait_if_slow, &x, &o));
        for (uint64_t n = 1; n <= 400; n++)
            assert_ok(tidings_publish(bus, "slow", &n, sizeof(n)));
        assert_true(reaches(&x.calls, 399));
        assert_int_equal(x.entered, 1);
        assert_int_equal(x.calls, 399);
        atomic_store(&x.open, true);
        assert_true(reaches(&x.calls, 400));
        assert_ok(tidings_unsubscribe(sub, CONF_MS));
    }
}

/* Another key of another worker goes on; the same key waits. */
static void test_a_slow_event_holds_up_its_own_key_alone(void **state)
{
    struct slow x = {.slow = 1};
    struct tidings_sub_info info;
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    tidings_sub *sub;

    assert_ok(
        tidings_subscribe(&sub, bus, "held", wait_if_slow, &x, &key_order));
    for (uint64_t n = 1; n <= 50; n++)
        assert_ok(publish_keyed(bus, "held", "slow", n));
    for (uint64_t n = 51; n <= 250; n++) {
        char key[16];

        snprintf(key, sizeof(key), "%d", (int)n);
        assert_ok(publish_keyed(bus, "held", key, n));
    }
    assert_true(reaches(&x.calls, 100)); /* of 200, three workers' share */
    assert_true(reaches(&x.entered, 1));
    assert_ok(tidings_sub_info(&info, sub));
    assert_true(info.running >= 1);
    assert_true(info.pending >= 50);
    atomic_store(&x.open, true);
    assert_true(reaches(&x.calls, 250));
    assert_ok(tidings_close(bus));
    conf_forget(c, bus);
    assert_int_equal(x.calls, 250);
}

/* ---- credit ---- */

static void test_small_windows_still_deliver_all(void **state)
{
    static const enum tidings_order orders[] = {TIDINGS_KEY_ORDER,
                                                TIDINGS_ANY_ORDER};
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);

    for (size_t i = 0; i < TD_ARRAY_LEN(orders); i++) {
        const struct tidings_sub_options o = {
            .window_events = 10, .workers = WORKERS, .order = orders[i]};
        struct slow x = {0};
        struct tidings_info info;
        tidings_sub *sub;

        assert_ok(tidings_subscribe(&sub, bus, "few", wait_if_slow, &x, &o));
        for (uint64_t n = 1; n <= 2000; n++) {
            if (n % 2)
                assert_ok(tidings_publish(bus, "few", &n, sizeof(n)));
            else
                assert_ok(publish_keyed(bus, "few", n % 3 ? "a" : "b", n));
        }
        assert_true(reaches(&x.calls, 2000));
        assert_ok(tidings_unsubscribe(sub, CONF_MS));
        assert_ok(tidings_info(&info, bus));
        assert_int_equal(info.waiting, 0);
        assert_int_equal(info.delivered, 2000 * (i + 1));
        assert_int_equal(x.calls, 2000);
    }
}

struct gate {
    atomic_uint calls;
    atomic_bool open;
};

static tidings_err wait_at_gate(void *arg, const struct tidings_event *event)
{
    struct gate *x = arg;
    int64_t end = td_proc_now_ms() + CONF_MS;

    (void)event;
    atomic_fetch_add(&x->calls, 1);
    while (!atomic_load(&x->open) && td_proc_now_ms() < end)
        conf_pause_us(1000);
    return TIDINGS_OK;
}

static tidings_err pass(void *arg, const struct tidings_event *event)
{
    (void)event;
    atomic_fetch_add((atomic_uint *)arg, 1);
    return TIDINGS_OK;
}

#define ROUNDS 200
#define OTHERS 10 /* that share messages with what waits */
#define EACH   (10u << 10)
#define KEPT_BYTES                                                             \
    (8u << 20) /* of 20 MB; the pool of bodies holds most of it */

static size_t allocated(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

/* One event for the slow one, and one for each of the others. */
static void publish_round(tidings_bus *bus)
{
    static const char data[EACH];
    char type[20];

    assert_ok(tidings_publish(bus, "first", NULL, 0)); /* leaves alone */
    for (int i = 0; i < OTHERS; i++) {
        snprintf(type, sizeof(type), "passed.%d", i);
        assert_ok(tidings_publish(bus, type, data, EACH));
        if (i == OTHERS / 2)
            assert_ok(tidings_publish(bus, "kept", "few", 3));
    }
    assert_ok(tidings_flush(bus, CONF_MS));
}

/* What waits for a worker does not keep what came in the same message. */
static void test_workers_keep_no_more_than_waits_for_them(void **state)
{
    const struct tidings_sub_options slow = {.workers = 1};
    struct conf *c = *state;
    struct gate x = {0};
    atomic_uint passed = 0;
    tidings_bus *bus = conf_open(c, NULL);
    tidings_bus *pub = conf_open(c, NULL);
    char pattern[20];
    size_t before;

    if (CONF_SLOW > 1)
        skip(); /* sanitizers keep what is freed */
    assert_ok(tidings_subscribe(NULL, bus, "kept", wait_at_gate, &x, &slow));
    for (int i = 0; i < OTHERS; i++) {
        snprintf(pattern, sizeof(pattern), "passed.%d", i);
        assert_ok(tidings_subscribe(NULL, bus, pattern, pass, &passed, NULL));
    }
    before = allocated();
    for (unsigned n = 1; n <= ROUNDS; n++) {
        publish_round(pub);
        assert_true(reaches(&passed, OTHERS * n));
    }
    assert_true(allocated() < before + KEPT_BYTES);
    atomic_store(&x.open, true);
    assert_true(reaches(&x.calls, ROUNDS));
}

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
    sched_yield();
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

    assert_ok(tidings_subscribe(NULL, bus, "fail", fail_it, NULL, &any_order));
    assert_ok(tidings_subscribe(NULL, bus, "fail", fail_it, NULL, NULL));
    assert_ok(conf_publish_many(bus, "fail", 0, 500));
    assert_true(reaches(&t.told, 1000));
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

    assert_ok(tidings_subscribe(NULL, bus, "fail", fail_it, NULL, &any_order));
    assert_ok(conf_publish_many(bus, "fail", 0, 500));
    assert_true(reaches(&t.told, 1));
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
                                     &any_order);
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
                                &any_order));
    assert_ok(tidings_subscribe(&x.own, x.bus, "call", call_everything, &x,
                                &any_order));
    assert_ok(tidings_publish(x.bus, "call", NULL, 0));
    assert_true(reaches(&x.done, 1));
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
    assert_true(reaches(&x.entered, 2)); /* "made" is called … */
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

    assert_ok(
        tidings_subscribe(&x.other, x.bus, "slow", be_slow, &x, &any_order));
    assert_ok(tidings_subscribe(NULL, x.bus, "end", end_workers, &x, NULL));
    assert_ok(tidings_publish(x.bus, "slow", NULL, 0));
    assert_true(reaches(&x.entered, 1));
    start = td_proc_now_ms();
    assert_ok(tidings_publish(x.bus, "end", NULL, 0));
    assert_true(reaches(&x.done, 1));
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
                                    &any_order));
        assert_int_equal(count_threads(), before + WORKERS);
        assert_ok(tidings_unsubscribe(sub, CONF_MS));
        assert_true(threads_become(before));
    }
    assert_ok(
        tidings_subscribe(NULL, bus, "threads", tally_event, t, &any_order));
    assert_ok(tidings_drain(bus, CONF_MS));
    assert_true(threads_become(before));
}

struct one {
    atomic_bool over; /* tidings_unsubscribe() has returned */
    atomic_uint calls;
    atomic_uint late;
};

static tidings_err note_call(void *arg, const struct tidings_event *event)
{
    struct one *o = arg;

    (void)event;
    atomic_fetch_add(&o->calls, 1);
    sched_yield();
    if (atomic_load(&o->over))
        atomic_fetch_add(&o->late, 1);
    return TIDINGS_OK;
}

struct spinner {
    tidings_bus *bus;
    atomic_bool stop;
    tidings_err err;
};

static void *publish_until(void *arg)
{
    struct spinner *s = arg;

    for (uint64_t n = 0; !atomic_load(&s->stop) && !s->err; n++) {
        s->err = n % 2 ? tidings_publish(s->bus, "race", "x", 1)
                       : publish_keyed(s->bus, "race", n % 3 ? "a" : "b", n);
        sched_yield();
    }
    return NULL;
}

static void race_unsubscribe(struct conf *c,
                             const struct tidings_sub_options *o)
{
    struct spinner s = {.bus = conf_open(c, NULL)};
    tidings_bus *to = conf_open(c, NULL);
    struct one *ones = calloc(RACES, sizeof(*ones));
    uint32_t random = 3;
    unsigned calls = 0;
    unsigned late = 0;
    tidings_err err = TIDINGS_OK;
    pthread_t thread;

    assert_non_null(ones);
    assert_int_equal(pthread_create(&thread, NULL, publish_until, &s), 0);
    for (int i = 0; i < RACES && !err; i++) {
        unsigned want = conf_random(&random, 8);
        tidings_sub *sub;

        err = tidings_subscribe(&sub, to, "race", note_call, &ones[i], o);
        if (!err)
            reaches(&ones[i].calls, want);
        if (!err)
            err = tidings_unsubscribe(sub, CONF_MS);
        atomic_store(&ones[i].over, true);
    }
    atomic_store(&s.stop, true);
    pthread_join(thread, NULL);
    assert_ok(tidings_close(to));
    conf_forget(c, to);
    for (int i = 0; i < RACES; i++) {
        calls += atomic_load(&ones[i].calls);
        late += atomic_load(&ones[i].late);
    }
    free(ones);
    assert_ok(err);
    assert_ok(s.err);
    assert_int_equal(late, 0);
    assert_true(calls >= RACES);
}

static void test_no_worker_calls_after_unsubscribe_returned(void **state)
{
    race_unsubscribe(*state, &any_order);
    race_unsubscribe(*state, &key_order);
}

static void test_unsubscribe_waits_for_running_workers(void **state)
{
    struct slow x = {.slow = 1};
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    uint64_t n = 1;
    tidings_sub *sub;

    assert_ok(
        tidings_subscribe(&sub, bus, "slow", wait_if_slow, &x, &any_order));
    assert_ok(tidings_publish(bus, "slow", &n, sizeof(n)));
    assert_true(reaches(&x.entered, 1));
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

        assert_ok(tidings_subscribe(NULL, bus, "rest", wait_if_slow, &x, &o));
        for (uint64_t n = 1; n <= 5000; n++) {
            if (n % 2)
                assert_ok(tidings_publish(bus, "rest", &n, sizeof(n)));
            else
                assert_ok(publish_keyed(bus, "rest", n % 3 ? "a" : "b", n));
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
        struct one one = {.calls = 0};

        assert_ok(
            tidings_subscribe(NULL, bus, "fail", fail_it, NULL, &any_order));
        assert_ok(
            tidings_subscribe(NULL, bus, "fail", note_call, &one, &key_order));
        assert_ok(conf_publish_many(bus, "fail", 0, 200));
        conf_pause_us(conf_random(&random, 2000));
        assert_ok(tidings_close(bus));
        atomic_store(&one.over, true);
        conf_forget(c, bus);
        assert_int_equal(one.late, 0);
    }
}

int conf_run_workers(void)
{
    const struct CMUnitTest tests[] = {
        CONF_TEST(test_workers_run_beside_one_another),
        CONF_TEST(test_events_without_a_key_run_beside_one_another),
        CONF_TEST(test_events_of_a_key_keep_their_order),
        CONF_TEST(test_no_event_waits_behind_a_slow_one),
        CONF_TEST(test_a_slow_event_holds_up_its_own_key_alone),
        CONF_TEST(test_small_windows_still_deliver_all),
        CONF_TEST(test_failures_are_told_one_at_a_time),
        CONF_TEST(test_unsubscribe_while_failures_are_told),
        CONF_TEST(test_every_call_inside_a_worker),
        CONF_TEST(test_workers_keep_no_more_than_waits_for_them),
        CONF_TEST(test_a_handler_waits_for_workers),
        CONF_TEST(test_threads_live_as_long_as_their_subscription),
        CONF_TEST(test_no_worker_calls_after_unsubscribe_returned),
        CONF_TEST(test_unsubscribe_waits_for_running_workers),
        CONF_TEST(test_drain_lets_workers_finish),
        CONF_TEST(test_close_ends_workers_at_any_moment),
    };

    return cmocka_run_group_tests_name("workers", tests, NULL, NULL);
}
