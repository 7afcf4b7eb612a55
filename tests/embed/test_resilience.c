/* Breaker, bulkhead and retry among threads that all use them at once: counts
 * balance, bounds hold, changes are told in order. Threads record, the test
 * asserts. */
#include "tests/support/td_test.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <time.h>

#include "tests/support/folder.h"
#include "tidings/tidings.h"

#define THREADS 6u
#define CALLS   1500u
#define WAIT_MS 20000

/* ---- threads ---- */

struct crew {
    pthread_t threads[THREADS];
    unsigned started;
};

static void start(struct crew *c, void *(*run)(void *), void *arg)
{
    for (c->started = 0; c->started < THREADS; c->started++)
        assert_int_equal(
            pthread_create(&c->threads[c->started], NULL, run, arg), 0);
}

static void finish(struct crew *c)
{
    while (c->started > 0)
        assert_int_equal(pthread_join(c->threads[--c->started], NULL), 0);
}

static unsigned next(unsigned *random)
{
    *random = *random * 1103515245u + 12345u;
    return *random >> 16 & 0x7fff;
}

static void raise_to(atomic_uint *peak, unsigned value)
{
    unsigned seen = atomic_load(peak);

    while (seen < value && !atomic_compare_exchange_weak(peak, &seen, value))
        ;
}

/* ---- a breaker ---- */

struct broken {
    tidings_breaker *breaker;
    atomic_uint seeds;
    atomic_uint done;
    atomic_uint cancelled;
    /* Of on_change, which is called by one thread at a time. */
    enum tidings_breaker_state state;
    unsigned told;
    unsigned wrong;
};

static void on_change(void *arg, const struct tidings_breaker_change *change)
{
    struct broken *b = arg;
    bool right = b->state == TIDINGS_BREAKER_CLOSED
                     ? change->state == TIDINGS_BREAKER_OPEN
                 : b->state == TIDINGS_BREAKER_OPEN
                     ? change->state == TIDINGS_BREAKER_HALF_OPEN
                     : change->state != TIDINGS_BREAKER_HALF_OPEN;

    b->wrong += !right;
    b->told++;
    b->state = change->state;
}

/* For a while it fails, then it does not, and so on. */
static void *use_breaker(void *arg)
{
    struct broken *b = arg;
    unsigned random = atomic_fetch_add(&b->seeds, 1);

    for (unsigned i = 0; i < CALLS;) {
        uint64_t ticket;

        if (tidings_breaker_allow(b->breaker, &ticket)) {
            sched_yield(); /* until its time has come */
            continue;
        }
        i++;
        if (next(&random) % 10 == 0) {
            atomic_fetch_add(&b->cancelled, 1);
            tidings_breaker_cancel(b->breaker, ticket);
            continue;
        }
        atomic_fetch_add(&b->done, 1);
        tidings_breaker_done(b->breaker, ticket,
                             i / 100 % 2 && next(&random) % 2 ? TIDINGS_EIO
                                                              : TIDINGS_OK);
    }
    return NULL;
}

static void test_resilience_breaker_among_threads(void **state)
{
    struct broken b = {.state = TIDINGS_BREAKER_CLOSED};
    const struct tidings_breaker_options options = {
        .bounds = {.failures = 4, .recovery_ms = 1, .recovery_max_ms = 2},
        .probes = 2,
        .on_change = on_change,
        .arg = &b};
    struct tidings_breaker_info info;
    struct crew crew;
    tidings_bus *bus;
    (void)state;

    assert_ok(tidings_open(&bus, "inproc://resilience", NULL));
    assert_ok(tidings_breaker_new(&b.breaker, &options));
    assert_ok(tidings_breaker_attach(b.breaker, bus));
    start(&crew, use_breaker, &b);
    finish(&crew);

    assert_ok(tidings_breaker_info(&info, b.breaker));
    assert_int_equal(info.allowed, THREADS * CALLS);
    assert_int_equal(info.succeeded + info.failed, atomic_load(&b.done));
    assert_int_equal(info.allowed,
                     atomic_load(&b.done) + atomic_load(&b.cancelled));
    assert_true(info.changes > 2);
    /* What waited too long was left out, at a place that nobody knows. */
    assert_true(b.told + info.untold >= info.changes);
    assert_true(b.wrong <= info.untold);
    assert_int_equal(b.state, info.state);
    tidings_breaker_free(b.breaker);
    assert_ok(tidings_close(bus));
}

/* ---- a bulkhead ---- */

struct walled {
    tidings_bulkhead *bulkhead;
    atomic_uint seeds;
    atomic_uint inside;
    atomic_uint peak;
    atomic_uint entered;
    atomic_uint refused;
};

static tidings_err be_inside(void *arg)
{
    struct walled *w = arg;

    raise_to(&w->peak, atomic_fetch_add(&w->inside, 1) + 1);
    sched_yield();
    atomic_fetch_sub(&w->inside, 1);
    atomic_fetch_add(&w->entered, 1);
    return TIDINGS_OK;
}

static void *use_bulkhead(void *arg)
{
    static const int timeouts_ms[] = {0, 1, WAIT_MS};
    struct walled *w = arg;
    unsigned random = atomic_fetch_add(&w->seeds, 1);

    for (unsigned i = 0; i < CALLS; i++)
        if (tidings_bulkhead_call(w->bulkhead, timeouts_ms[next(&random) % 3],
                                  be_inside, w))
            atomic_fetch_add(&w->refused, 1);
    return NULL;
}

static void test_resilience_bulkhead_among_threads(void **state)
{
    const struct tidings_bulkhead_options options = {.running = 2,
                                                     .waiting = 2};
    struct walled w = {0};
    struct tidings_bulkhead_info info;
    struct crew crew;
    (void)state;

    assert_ok(tidings_bulkhead_new(&w.bulkhead, &options));
    start(&crew, use_bulkhead, &w);
    finish(&crew);

    assert_ok(tidings_bulkhead_info(&info, w.bulkhead));
    assert_true(atomic_load(&w.peak) <= 2);
    assert_true(info.running_peak <= 2 && info.waiting_peak <= 2);
    assert_int_equal(info.running + info.waiting, 0);
    assert_int_equal(info.entered, atomic_load(&w.entered));
    assert_int_equal(info.refused + info.gave_up, atomic_load(&w.refused));
    assert_int_equal(info.entered + info.refused + info.gave_up,
                     THREADS * CALLS);
    tidings_bulkhead_free(w.bulkhead);
}

/* ---- a retry ---- */

static tidings_err fail_always(void *arg)
{
    atomic_fetch_add((atomic_uint *)arg, 1);
    return TIDINGS_ELOST;
}

struct tried {
    tidings_retry *retry;
    atomic_uint calls;
};

static void *use_retry(void *arg)
{
    struct tried *t = arg;

    for (unsigned i = 0; i < 100; i++)
        tidings_retry_run(t->retry, fail_always, &t->calls, WAIT_MS);
    return NULL;
}

static void test_resilience_retries_share_a_budget(void **state)
{
    const struct tidings_retry_options options = {
        .tries = 100, .backoff_ms = 1, .backoff_max_ms = 1, .budget_burst = 5};
    struct tried t = {0};
    struct tidings_retry_info info;
    struct crew crew;
    (void)state;

    assert_ok(tidings_retry_new(&t.retry, &options));
    start(&crew, use_retry, &t);
    finish(&crew);

    assert_ok(tidings_retry_info(&info, t.retry));
    assert_int_equal(info.begun, THREADS * 100);
    assert_int_equal(info.begun + info.retries, atomic_load(&t.calls));
    assert_true(info.retries <= 5 + THREADS * 100 / 10);
    assert_true(info.retries >= THREADS * 100 / 10);
    assert_int_equal(info.cut + info.exhausted, THREADS * 100);
    tidings_retry_free(t.retry);
}

/* ---- in the handlers of a durable group ---- */

#define EVENTS   50u
#define OUTAGE   5u /* calls of it that fail */
#define FAILURES 3

struct mails {
    tidings_breaker *breaker;
    atomic_uint calls;
    atomic_uint done;
    atomic_uint wrong;
    sem_t all_done;
};

static tidings_err send_mail(void *arg)
{
    struct mails *m = arg;

    if (atomic_fetch_add(&m->calls, 1) < OUTAGE)
        return TIDINGS_EUNREACH;
    if (atomic_fetch_add(&m->done, 1) + 1 == EVENTS)
        sem_post(&m->all_done);
    return TIDINGS_OK;
}

/* While the breaker is open the group is parked: until a probe may go. */
static tidings_err on_mail(void *arg, const struct tidings_event *event)
{
    struct mails *m = arg;
    tidings_err err = tidings_breaker_call(m->breaker, send_mail, m);
    struct tidings_breaker_info info;
    struct tidings_delivery d;

    if (err != TIDINGS_EBREAKER)
        return err;
    if (tidings_breaker_info(&info, m->breaker) ||
        tidings_delivery(&d, event) ||
        tidings_settle(&d, TIDINGS_PARK, (int)info.left_ms + 1, NULL))
        atomic_fetch_add(&m->wrong, 1);
    return TIDINGS_ELATER;
}

static bool all_are_done(struct mails *m)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_MS / 1000;
    return sem_timedwait(&m->all_done, &until) == 0;
}

static void test_resilience_breaker_of_a_durable_group(void **state)
{
    const struct tidings_breaker_options options = {
        .bounds = {.failures = FAILURES, .recovery_ms = 10}, .successes = 1};
    const struct tidings_group_options group = {.stream = "events",
                                                .group = "mails",
                                                .pattern = "mail",
                                                .max_deliver = FAILURES + 1,
                                                .backoff_ms = 1};
    const struct tidings_sub_options member = {.stream = "events",
                                               .group = "mails"};
    struct mails m = {0};
    struct td_folder folder;
    struct tidings_breaker_info info;
    tidings_bus *bus;
    char url[TD_FOLDER_PATH_MAX + 64];
    (void)state;

    assert_true(td_folder_new(&folder));
    snprintf(url, sizeof(url), "inproc://mails?data=%s", folder.path);
    assert_int_equal(sem_init(&m.all_done, 0, 0), 0);
    assert_ok(tidings_breaker_new(&m.breaker, &options));
    assert_ok(tidings_open(&bus, url, NULL));
    assert_ok(tidings_group_add(bus, &group, WAIT_MS));
    for (unsigned i = 0; i < EVENTS; i++)
        assert_ok(tidings_publish(bus, "mail", NULL, 0));
    assert_ok(tidings_subscribe(NULL, bus, "mail", on_mail, &m, &member));
    assert_true(all_are_done(&m));
    assert_ok(tidings_close(bus));

    /* Nothing was called in vain but to open it, and by its probes. */
    assert_int_equal(atomic_load(&m.calls), EVENTS + OUTAGE);
    assert_int_equal(atomic_load(&m.done), EVENTS);
    assert_int_equal(atomic_load(&m.wrong), 0);
    assert_ok(tidings_breaker_info(&info, m.breaker));
    assert_int_equal(info.state, TIDINGS_BREAKER_CLOSED);
    assert_int_equal(info.failed, OUTAGE);
    assert_true(info.refused >= 1);
    tidings_breaker_free(m.breaker);
    sem_destroy(&m.all_done);
    td_folder_remove(&folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resilience_breaker_among_threads),
        cmocka_unit_test(test_resilience_bulkhead_among_threads),
        cmocka_unit_test(test_resilience_retries_share_a_budget),
        cmocka_unit_test(test_resilience_breaker_of_a_durable_group),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
