/* The whole library in one process without memory: its threads, the broker's
 * and ours. The n-th allocation of them all fails, or all from the n-th on;
 * every call says what it could not do, and with memory again the bus goes on
 * where it was. */
#include "tests/support/td_test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "tests/support/alloc.h"
#include "tidings/tidings.h"

#define N_MAX      5000
#define SOON_MS    25    /* for calls that may fail */
#define AT_ONCE_MS 20    /* between looks */
#define LONG_MS    30000 /* for those that may not */
#define EVENTS     6
#define MARK       1000 /* events from here on show that the bus goes on */

struct world {
    tidings_bus *watcher; /* NULL: the bus makes its own broker */
    tidings_bus *bus;
    tidings_sub *sub;
    uint64_t published; /* events whose publish said OK */
    unsigned waited;    /* of those, with a callback */
    atomic_uint called;
    pthread_mutex_t lock;
    pthread_cond_t heard;
    int last;     /* number of the event handled last */
    bool falling; /* one was not above the one before */
};

/* ---- the handler ---- */

static tidings_err on_event(void *arg, const struct tidings_event *event)
{
    struct world *w = arg;
    int number;

    memcpy(&number, event->data, sizeof(number));
    pthread_mutex_lock(&w->lock);
    w->falling = w->falling || number <= w->last;
    w->last = number;
    pthread_cond_signal(&w->heard);
    pthread_mutex_unlock(&w->lock);
    return TIDINGS_OK;
}

/* Whether a mark was handled, or is within the time. */
static bool marked(struct world *w)
{
    struct timespec t;
    bool is;

    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_nsec += AT_ONCE_MS * 1000000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    pthread_mutex_lock(&w->lock);
    if (w->last < MARK)
        pthread_cond_timedwait(&w->heard, &w->lock, &t);
    is = w->last >= MARK;
    pthread_mutex_unlock(&w->lock);
    return is;
}

/* The broker keeps nothing, and says so; or it was closed before. */
static void on_confirm(void *arg, const struct tidings_confirm *confirm)
{
    struct world *w = arg;

    if (confirm->err == TIDINGS_ENOSTREAM || confirm->err == TIDINGS_ECLOSED)
        w->called++;
}

/* ---- what may fail ---- */

static tidings_err publish(struct world *w, int number)
{
    const struct tidings_attr attr = {.name = "partitionkey",
                                      .kind = TIDINGS_ATTR_STRING,
                                      .string = "a key of some length"};
    const struct tidings_event event = {.type = number % 2 ? "a.b" : "a.c",
                                        .subject = "oom",
                                        .data = &number,
                                        .data_len = sizeof(number),
                                        .attrs = &attr,
                                        .attrs_len = number % 3 == 0};
    bool waits = number % 3 != 1;
    const struct tidings_publish_options options = {
        .on_confirm = waits ? on_confirm : NULL, .arg = w};
    tidings_err err = tidings_publish_with(w->bus, &event, &options);

    w->published += !err;
    w->waited += !err && waits;
    return err;
}

static bool may_be(tidings_err err)
{
    switch (err) {
    case TIDINGS_OK:
    case TIDINGS_ENOMEM:
    case TIDINGS_ETIMEDOUT: /* the answer was what there was no memory for */
    case TIDINGS_EUNREACH:
    case TIDINGS_EFULL:
        return true;
    default:
        return false;
    }
}

static tidings_err open_bus(struct world *w)
{
    const struct tidings_options options = {.name = "starved",
                                            .publish_timeout_ms = SOON_MS};

    return tidings_open(&w->bus, "inproc://oom", &options);
}

static tidings_err subscribe(struct world *w, int timeout_ms)
{
    const struct tidings_sub_options options = {.timeout_ms = timeout_ms};

    return tidings_subscribe(&w->sub, w->bus, "a.*", on_event, w, &options);
}

/* TIDINGS_ENOMEM: there is no bus. */
static tidings_err starve(struct world *w)
{
    void *stats = NULL;
    size_t len;
    tidings_err err = open_bus(w);

    if (err)
        return err;
    assert_true(may_be(tidings_wait(w->bus, SOON_MS)));
    assert_true(may_be(subscribe(w, SOON_MS)));
    for (int i = 1; i <= EVENTS; i++)
        assert_true(may_be(publish(w, i)));
    assert_true(may_be(tidings_flush(w->bus, SOON_MS)));
    assert_true(may_be(tidings_stats(&stats, &len, w->bus, SOON_MS)));
    tidings_free(stats);
    return TIDINGS_OK;
}

/* ---- with memory again ---- */

static uint64_t value_of(struct tidings_value map, const char *key)
{
    uint64_t value = 0;

    assert_ok(tidings_get_uint(&value, map, key));
    return value;
}

static void check_sums(tidings_bus *bus)
{
    struct tidings_value map;
    struct tidings_value dropped;
    struct tidings_value key;
    struct tidings_value value;
    uint64_t sum = 0;
    uint64_t n;
    void *bytes;
    size_t len;

    assert_ok(tidings_stats(&bytes, &len, bus, LONG_MS));
    assert_ok(tidings_value_read(&map, bytes, len));
    assert_ok(tidings_get(&dropped, map, "dropped"));
    for (size_t i = 0; i < tidings_value_count(dropped); i++) {
        assert_ok(tidings_pair_at(&key, &value, dropped, i));
        assert_ok(tidings_as_uint(&n, value));
        sum += n;
    }
    assert_int_equal(value_of(map, "published"),
                     value_of(map, "duplicates") + value_of(map, "routed") +
                         value_of(map, "unmatched"));
    assert_int_equal(value_of(map, "matched"), value_of(map, "delivered") +
                                                   value_of(map, "pending") +
                                                   sum);
    tidings_free(bytes);
}

/* What was packed is taken, and what is published is handled. */
static void goes_on(struct world *w)
{
    struct tidings_info info;
    int mark = MARK;

    assert_ok(tidings_wait(w->bus, LONG_MS));
    if (!w->sub)
        assert_ok(subscribe(w, LONG_MS));
    do {
        assert_true(mark < MARK + LONG_MS / AT_ONCE_MS);
        assert_ok(publish(w, mark++));
        assert_ok(tidings_flush(w->bus, LONG_MS));
    } while (!marked(w));
    assert_false(w->falling);
    assert_ok(tidings_info(&info, w->bus));
    assert_int_equal(info.published, w->published);
    assert_int_equal(info.taken, w->published);
    check_sums(w->watcher ? w->watcher : w->bus);
}

/* ---- in turn ---- */

/* false: nothing failed. */
static bool run(bool watched, enum td_alloc_way way, size_t n)
{
    struct world w = {.lock = PTHREAD_MUTEX_INITIALIZER,
                      .heard = PTHREAD_COND_INITIALIZER};
    size_t before = td_alloc_live();
    tidings_err err;

    if (watched) {
        assert_ok(tidings_open(&w.watcher, "inproc://oom", NULL));
        assert_ok(tidings_wait(w.watcher, LONG_MS));
    }
    td_alloc_arm_all(way, n);
    err = starve(&w);
    td_alloc_stop();
    if (err) {
        assert_err(err, TIDINGS_ENOMEM);
        assert_ok(open_bus(&w));
    }
    goes_on(&w);
    assert_ok(tidings_close(w.bus));
    assert_ok(tidings_close(w.watcher));
    assert_int_equal(w.called, w.waited);
    assert_int_equal(td_alloc_live(), before);
    return td_alloc_failed_anywhere();
}

static void run_each(bool watched, enum td_alloc_way way)
{
    size_t n = 1;

    while (run(watched, way, n))
        assert_true(++n < N_MAX);
    assert_true(n > 10);
}

static void test_bus_goes_on_when_one_allocation_fails(void **state)
{
    (void)state;

    run_each(true, TD_ALLOC_ONE);
}

static void test_bus_goes_on_when_memory_runs_out_for_a_while(void **state)
{
    (void)state;

    run_each(true, TD_ALLOC_REST);
}

static void test_bus_begins_its_broker_when_there_is_memory(void **state)
{
    (void)state;

    run_each(false, TD_ALLOC_ONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bus_goes_on_when_one_allocation_fails),
        cmocka_unit_test(test_bus_goes_on_when_memory_runs_out_for_a_while),
        cmocka_unit_test(test_bus_begins_its_broker_when_there_is_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
