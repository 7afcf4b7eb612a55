/* Many clients (FAULTS N03, R05, R06): at once, all back after a restart of the
 * broker, with very many subscriptions, and with subscriptions that come and
 * go without an end. */
#include "tests/system/system.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "tests/system/usage.h"

#define CLIENTS      200
#define CLIENTS_LONG 1000
#define BACK_MS      10000 /* N03: all are back so soon */
#define SUBSCRIBERS  100
#define PATTERNS     100 /* of each */
#define STORMERS     8
#define STORM_MS     1500
#define STORM_LONG   20000
#define SLOW         (SYS_SANITIZED ? 4 : 1)

struct fixture {
    struct td_daemon broker;
    struct sys_peer good;
    struct sys_peer *clients;
    size_t clients_len;
    uint64_t rounds;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (!f)
        return -1;
    f->clients = calloc(CLIENTS_LONG, sizeof(*f->clients));
    if (!f->clients) {
        free(f);
        return -1;
    }
    *state = f;
    sys_broker_start(&f->broker, NULL);
    sys_peer_open(&f->good, f->broker.endpoint[0], "good");
    sys_peer_subscribe(&f->good, "good.>");
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < f->clients_len; i++)
        sys_peer_close(&f->clients[i]);
    sys_peer_close(&f->good);
    td_daemon_end(&f->broker);
    free(f->clients);
    free(f);
    return 0;
}

static void open_clients(struct fixture *f, size_t n)
{
    while (f->clients_len < n)
        sys_peer_open(&f->clients[f->clients_len++], f->broker.endpoint[0],
                      "many");
}

/* ---- many at once, and all back: N03 ---- */

/* One event that all of them see. */
static void tell_all(struct fixture *f, uint64_t n)
{
    sys_publish(&f->good, "all.x", n);
    for (size_t i = 0; i < f->clients_len; i++)
        assert_true(watch_until_events(&f->clients[i].watch, n, SYS_WAIT_MS));
}

static void test_storms_of_reconnects_end_with_all_back(void **state)
{
    struct fixture *f = *state;
    size_t n = usage_is_long() ? CLIENTS_LONG : CLIENTS;
    int64_t start_ms = td_proc_now_ms();

    if (!usage_may_open(12 * (unsigned)n + 200))
        skip();
    open_clients(f, n);
    for (size_t i = 0; i < n; i++)
        sys_peer_subscribe(&f->clients[i], "all.>");
    print_message("%zu clients opened and subscribed in %d ms; broker has "
                  "%ld kB\n",
                  n, (int)(td_proc_now_ms() - start_ms),
                  td_proc_resident_kb(&f->broker.proc));
    tell_all(f, 1);

    sys_kill(&f->broker.proc);
    assert_true(watch_until_down(&f->good.watch, 1, SYS_WAIT_MS));
    sys_broker_restart(&f->broker, NULL);
    start_ms = td_proc_now_ms();
    for (size_t i = 0; i < n; i++)
        assert_true(watch_until_up(&f->clients[i].watch, 2, BACK_MS * SLOW));
    print_message("all back %d ms after a restart\n",
                  (int)(td_proc_now_ms() - start_ms));
    assert_true(td_proc_now_ms() - start_ms <= BACK_MS * SLOW);
    assert_true(watch_until_up(&f->good.watch, 2, SYS_WAIT_MS));
    for (size_t i = 0; i < n; i++) /* their subscriptions are renewed */
        assert_ok(tidings_flush(f->clients[i].bus, SYS_WAIT_MS));
    assert_true(sys_counters(f->good.bus).sessions == n + 1);
}

/* ---- very many subscriptions: R05 ---- */

static tidings_err ignore(void *arg, const struct tidings_event *event)
{
    (void)event;
    atomic_fetch_add((atomic_ulong *)arg, 1);
    return TIDINGS_OK;
}

/* How many events a second the broker takes that nobody wants. */
static double rate_of(struct sys_peer *peer)
{
    enum { EVENTS = 200000 };
    char data[128] = "";
    int64_t start_ms = td_proc_now_ms();

    for (int i = 0; i < EVENTS; i++)
        assert_ok(
            tidings_publish(peer->bus, "nobody.wants.it", data, sizeof(data)));
    assert_ok(tidings_flush(peer->bus, SYS_WAIT_MS));
    return EVENTS * 1000.0 / (double)(td_proc_now_ms() - start_ms + 1);
}

static void test_storms_of_subscriptions_are_held(void **state)
{
    struct fixture *f = *state;
    atomic_ulong seen = 0;
    int64_t start_ms;
    int64_t us;
    double few;
    double many;
    long before_kb;

    if (!usage_may_open(12 * SUBSCRIBERS + 200))
        skip();
    few = rate_of(&f->good);
    open_clients(f, SUBSCRIBERS);
    before_kb = td_proc_resident_kb(&f->broker.proc);
    start_ms = td_proc_now_ms();
    for (unsigned i = 0; i < SUBSCRIBERS; i++) {
        for (unsigned k = 0; k < PATTERNS; k++) {
            char pattern[64];

            snprintf(pattern, sizeof(pattern), "sub.%u.pattern%u.*", i, k);
            assert_ok(tidings_subscribe(NULL, f->clients[i].bus, pattern,
                                        ignore, &seen, NULL));
        }
    }
    print_message("%d subscriptions in %d ms, %ld bytes each\n",
                  SUBSCRIBERS * PATTERNS, (int)(td_proc_now_ms() - start_ms),
                  (td_proc_resident_kb(&f->broker.proc) - before_kb) * 1024 /
                      (SUBSCRIBERS * PATTERNS));
    many = rate_of(&f->good);
    print_message("events that nobody wants, with few: %.0f a second, with "
                  "many: %.0f\n",
                  few, many);
    assert_true(many * 3 > few); /* the bench has the true figure */

    for (unsigned i = 0; i < SUBSCRIBERS; i++) {
        char type[64];

        snprintf(type, sizeof(type), "sub.%u.pattern%u.x", i, i % PATTERNS);
        assert_ok(tidings_publish(f->good.bus, type, NULL, 0));
    }
    start_ms = td_proc_now_ms();
    while (atomic_load(&seen) < SUBSCRIBERS) {
        assert_true(td_proc_now_ms() - start_ms < SYS_WAIT_MS);
        assert_ok(tidings_ping(&us, f->good.bus, SYS_WAIT_MS));
    }
    assert_int_equal(atomic_load(&seen), SUBSCRIBERS);
}

/* ---- subscriptions that come and go: R06 ---- */

struct stormer {
    tidings_bus *bus;
    const atomic_bool *stop;
    atomic_ulong seen;
    uint64_t done;
    tidings_err err;
};

static void *storm(void *arg)
{
    struct stormer *s = arg;

    while (!atomic_load(s->stop) && !s->err) {
        char pattern[64];
        tidings_sub *sub = NULL;

        snprintf(pattern, sizeof(pattern), "storm.%" PRIu64 ".*.>",
                 s->done % 1000);
        s->err =
            tidings_subscribe(&sub, s->bus, pattern, ignore, &s->seen, NULL);
        if (!s->err)
            s->err = tidings_unsubscribe(sub, SYS_WAIT_MS);
        s->done++;
    }
    return NULL;
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

/* Round trips for a while; the 99th percentile in microseconds. */
static int64_t ping_for(struct fixture *f, int ms, int64_t *median_us)
{
    enum { PINGS_MAX = 200000 };
    int64_t *us = calloc(PINGS_MAX, sizeof(*us));
    int64_t end_ms = td_proc_now_ms() + ms;
    int64_t result;
    size_t n = 0;

    assert_non_null(us);
    while (td_proc_now_ms() < end_ms && n < PINGS_MAX)
        assert_ok(tidings_ping(&us[n++], f->good.bus, SYS_WAIT_MS));
    qsort(us, n, sizeof(*us), by_size);
    *median_us = us[n / 2];
    result = us[n * 99 / 100];
    free(us);
    return result;
}

#define WORST_US                                                               \
    500000 /* a round trip amid the storm; with two cores for ten
                           threads it says that nobody starves, no more */

static void test_storms_of_subscribing_leave_others_alone(void **state)
{
    struct fixture *f = *state;
    struct stormer stormers[STORMERS] = {0};
    pthread_t threads[STORMERS];
    atomic_bool stop = false;
    int ms = usage_is_long() ? STORM_LONG : STORM_MS;
    long before_kb;
    long cpu_ms;
    int64_t calm_us;
    int64_t median_us;
    int64_t p99_us;
    uint64_t done = 0;

    calm_us = ping_for(f, 200, &median_us);
    open_clients(f, STORMERS);
    before_kb = td_proc_resident_kb(&f->broker.proc);
    cpu_ms = usage_cpu_ms(&f->broker.proc);
    for (size_t i = 0; i < STORMERS; i++) {
        stormers[i].bus = f->clients[i].bus;
        stormers[i].stop = &stop;
        assert_int_equal(pthread_create(&threads[i], NULL, storm, &stormers[i]),
                         0);
    }
    p99_us = ping_for(f, ms, &median_us);
    atomic_store(&stop, true);
    for (size_t i = 0; i < STORMERS; i++) {
        pthread_join(threads[i], NULL);
        assert_ok(stormers[i].err);
        done += stormers[i].done;
    }
    print_message(
        "%" PRIu64 " pairs of subscribe and unsubscribe in %d ms: "
        "others' round trips %d µs (median), %d µs (99 %%; %d before); "
        "broker worked %ld ms, +%ld kB\n",
        done, ms, (int)median_us, (int)p99_us, (int)calm_us,
        usage_cpu_ms(&f->broker.proc) - cpu_ms,
        td_proc_resident_kb(&f->broker.proc) - before_kb);
    assert_true(p99_us < WORST_US * SLOW);
    if (!SYS_SANITIZED)
        assert_true(td_proc_resident_kb(&f->broker.proc) - before_kb < 4096);
    sys_publish(&f->good, "good.after", 1);
    assert_true(watch_until_events(&f->good.watch, 1, SYS_WAIT_MS));
    sys_counters(f->good.bus);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_storms_of_reconnects_end_with_all_back),
        TEST(test_storms_of_subscriptions_are_held),
        TEST(test_storms_of_subscribing_leave_others_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
