/* Workers: handlers beside one another, in the order that was asked for. */
#include "tests/conformance/workers.h"

#include <malloc.h>
#include <stdlib.h>

#define KEYS   16
#define EVENTS (20000 / CONF_SLOW)

const struct tidings_sub_options workers_any_order = {
    .workers = WORKERS, .order = TIDINGS_ANY_ORDER};
const struct tidings_sub_options workers_key_order = {
    .workers = WORKERS, .order = TIDINGS_KEY_ORDER};

bool workers_reach(atomic_uint *n, unsigned enough)
{
    int64_t end = td_proc_now_ms() + CONF_MS;

    while (atomic_load(n) < enough && td_proc_now_ms() < end)
        conf_pause_us(500);
    return atomic_load(n) >= enough;
}

tidings_err workers_publish(tidings_bus *bus, const char *type, const char *key,
                            uint64_t n)
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
    if (!workers_reach(&x->most, x->want))
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
            assert_ok(workers_publish(bus, "crowd", key, n));
        else
            assert_ok(conf_publish(bus, "crowd", 0, n));
    }
    assert_true(workers_reach(&x.calls, 100));
    assert_ok(tidings_close(bus));
    conf_forget(c, bus);
    assert_int_equal(x.gave_up, 0);
    assert_int_equal(x.most, WORKERS);
    assert_int_equal(x.calls, 100);
}

static void test_workers_run_beside_one_another(void **state)
{
    check_crowd(*state, &workers_any_order, NULL);
    check_crowd(*state, &workers_any_order,
                "same"); /* keys are nothing to it */
}

static void test_events_without_a_key_run_beside_one_another(void **state)
{
    check_crowd(*state, &workers_key_order, NULL);
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
    assert_ok(
        tidings_subscribe(NULL, bus, "key.*", note_key, x, &workers_key_order));
    for (uint64_t n = 1; n <= EVENTS; n++) {
        char key[16];

        snprintf(key, sizeof(key), "k%u", conf_random(&random, KEYS));
        assert_ok(workers_publish(bus, n % 3 ? "key.a" : "key.b", key, n));
    }
    assert_true(workers_reach(&x->calls, EVENTS));
    assert_ok(tidings_close(bus));
    conf_forget(c, bus);
    assert_int_equal(x->calls, EVENTS);
    assert_int_equal(x->together, 0);
    assert_int_equal(x->disorder, 0);
    assert_true(x->others > 0); /* sixteen keys are not all of one worker */
    free(x);
}

/* ---- behind a slow one ---- */

tidings_err workers_wait_if_slow(void *arg, const struct tidings_event *event)
{
    struct slow *x = arg;
    int64_t end =
        td_proc_now_ms() + 2 * CONF_MS; /* of a test that has failed */

    if (number_of(event) == x->slow) {
        atomic_store(&x->entered, 1);
        while (!atomic_load(&x->open) && td_proc_now_ms() < end)
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

        assert_ok(
            tidings_subscribe(&sub, bus, "slow", workers_wait_if_slow, &x, &o));
        for (uint64_t n = 1; n <= 400; n++)
            assert_ok(tidings_publish(bus, "slow", &n, sizeof(n)));
        assert_true(workers_reach(&x.calls, 399));
        assert_true(workers_reach(&x.entered, 1)); /* it may be the last */
        assert_int_equal(x.calls, 399);
        atomic_store(&x.open, true);
        assert_true(workers_reach(&x.calls, 400));
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

    assert_ok(tidings_subscribe(&sub, bus, "held", workers_wait_if_slow, &x,
                                &workers_key_order));
    for (uint64_t n = 1; n <= 50; n++)
        assert_ok(workers_publish(bus, "held", "slow", n));
    for (uint64_t n = 51; n <= 250; n++) {
        char key[16];

        snprintf(key, sizeof(key), "%d", (int)n);
        assert_ok(workers_publish(bus, "held", key, n));
    }
    assert_true(
        workers_reach(&x.calls, 100)); /* of 200, three workers' share */
    assert_true(workers_reach(&x.entered, 1));
    assert_ok(tidings_sub_info(&info, sub));
    assert_true(info.running >= 1);
    assert_true(info.pending >= 50);
    atomic_store(&x.open, true);
    assert_true(workers_reach(&x.calls, 250));
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

        assert_ok(
            tidings_subscribe(&sub, bus, "few", workers_wait_if_slow, &x, &o));
        for (uint64_t n = 1; n <= 2000; n++) {
            if (n % 2)
                assert_ok(tidings_publish(bus, "few", &n, sizeof(n)));
            else
                assert_ok(workers_publish(bus, "few", n % 3 ? "a" : "b", n));
        }
        assert_true(workers_reach(&x.calls, 2000));
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
        assert_true(workers_reach(&passed, OTHERS * n));
    }
    assert_true(allocated() < before + KEPT_BYTES);
    atomic_store(&x.open, true);
    assert_true(workers_reach(&x.calls, ROUNDS));
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
        CONF_TEST(test_workers_keep_no_more_than_waits_for_them),
    };

    return cmocka_run_group_tests_name("workers", tests, NULL, NULL);
}
