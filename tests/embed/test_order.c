/* Closing in any order from any thread: three threads do with three buses
 * what comes to their minds, and close them all. From a seed:
 *
 *     TIDINGS_SEED=123 tests/embed/test_order */
#include "tests/embed/host.h"

#include <stdlib.h>

#define BUSES     3
#define THREADS   3
#define SUBS      2  /* of each bus, to begin with */
#define STEPS     10 /* of a thread before it closes what is left */
#define SEEDS     (600 / HOST_SLOW)
#define TCP_SEEDS (200 / HOST_SLOW)
#define FIRST     1000u

enum step {
    PUBLISH,
    FLUSH,
    SUBSCRIBE,
    UNSUBSCRIBE,
    DRAIN,
    DISPATCH,
    INFO,
    CLOSE,
    KINDS
};

static const char *const names[KINDS] = {"publish",     "flush", "subscribe",
                                         "unsubscribe", "drain", "dispatch",
                                         "info",        "close"};

struct round {
    uint32_t seed;
    tidings_bus *bus[BUSES];
    bool own_loop[BUSES];
    tidings_sub *sub[BUSES][SUBS];
    atomic_int closed[BUSES];                   /* closes that succeeded */
    atomic_uint_fast64_t published;             /* and accepted */
    atomic_uint_fast64_t last[THREADS * BUSES]; /* of each thread and bus */
    struct host_seen seen;  /* by the buses themselves … */
    struct host_seen audit; /* … and by one that stays */
};

struct actor {
    struct round *round;
    uint32_t random;
    unsigned number;
    uint64_t sent[BUSES];
    enum step step; /* the first whose answer is none of the documented … */
    tidings_err wrong; /* … and that answer; TIDINGS_OK: none */
};

static uint32_t pick(uint32_t *random, uint32_t below)
{
    *random = *random * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)(*random) * below) >> 32);
}

/* A handler of several buses at once: their order is the auditor's to see. */
static tidings_err count(void *arg, const struct tidings_event *event)
{
    struct host_seen *seen = arg;

    (void)event;
    atomic_fetch_add(&seen->events, 1);
    return TIDINGS_OK;
}

/* ---- steps ---- */

static tidings_err publish(struct actor *a, unsigned b)
{
    struct round *r = a->round;
    const struct host_number number = {.sender = a->number * BUSES + b,
                                       .n = a->sent[b] + 1};
    tidings_err err =
        tidings_publish(r->bus[b], "order.a", &number, sizeof(number));

    if (!err) {
        a->sent[b]++;
        atomic_fetch_add(&r->published, 1);
    }
    return err;
}

static tidings_err subscribe(struct actor *a, unsigned b)
{
    const struct tidings_sub_options o = {.timeout_ms = HOST_MS};

    return tidings_subscribe(NULL, a->round->bus[b], "order.>", count,
                             &a->round->seen, &o);
}

static tidings_err close_bus(struct actor *a, unsigned b)
{
    tidings_err err = tidings_close(a->round->bus[b]);

    if (!err)
        atomic_fetch_add(&a->round->closed[b], 1);
    return err;
}

static tidings_err do_step(struct actor *a, enum step step, unsigned b)
{
    struct round *r = a->round;
    struct tidings_info info;

    switch (step) {
    case PUBLISH:
        return publish(a, b);
    case FLUSH:
        return tidings_flush(r->bus[b], HOST_MS);
    case SUBSCRIBE:
        return subscribe(a, b);
    case UNSUBSCRIBE:
        return tidings_unsubscribe(r->sub[b][pick(&a->random, SUBS)], HOST_MS);
    case DRAIN:
        return tidings_drain(r->bus[b], HOST_MS);
    case DISPATCH:
        return tidings_dispatch(NULL, r->bus[b], 1 + pick(&a->random, 5));
    case INFO:
        return tidings_info(&info, r->bus[b]);
    case CLOSE:
        return close_bus(a, b);
    case KINDS:
        break;
    }
    return TIDINGS_EINVAL;
}

static bool is_documented(const struct actor *a, enum step step, unsigned b,
                          tidings_err err)
{
    if (err == TIDINGS_OK || err == TIDINGS_ECLOSED)
        return true;
    if (step == DISPATCH)
        return err ==
               (a->round->own_loop[b] ? TIDINGS_EDEADLK : TIDINGS_ENOTSUP);
    return false;
}

static void take_step(struct actor *a, enum step step, unsigned b)
{
    tidings_err err = do_step(a, step, b);

    if (!a->wrong && !is_documented(a, step, b, err)) {
        a->step = step;
        a->wrong = err;
    }
}

static void *act(void *arg)
{
    struct actor *a = arg;
    unsigned first = pick(&a->random, BUSES);

    for (int i = 0; i < STEPS; i++) {
        enum step step = (enum step)pick(&a->random, KINDS);

        if (step == CLOSE && pick(&a->random, 3) > 0)
            step = PUBLISH; /* so that more happens before */
        take_step(a, step, pick(&a->random, BUSES));
    }
    for (unsigned i = 0; i < BUSES; i++)
        take_step(a, CLOSE, (first + i) % BUSES);
    return NULL;
}

/* ---- a round ---- */

static void open_buses(struct round *r, const char *url, uint32_t *random)
{
    for (unsigned b = 0; b < BUSES; b++) {
        const struct tidings_options o = {.own_loop = pick(random, 2),
                                          .publish_timeout_ms = HOST_MS,
                                          .close_timeout_ms = HOST_MS};

        r->own_loop[b] = o.own_loop;
        assert_ok(tidings_open(&r->bus[b], url, &o));
        for (int i = 0; i < SUBS; i++) {
            const struct tidings_sub_options s = {
                .workers = o.own_loop ? 0 : pick(random, 3)};

            assert_ok(tidings_subscribe(&r->sub[b][i], r->bus[b], "order.*",
                                        count, &r->seen, &s));
        }
    }
}

static void run_actors(struct round *r, uint32_t *random)
{
    struct actor actors[THREADS];
    pthread_t threads[THREADS];

    for (unsigned i = 0; i < THREADS; i++) {
        actors[i] = (struct actor){
            .round = r, .number = i, .random = pick(random, UINT32_MAX)};
        assert_int_equal(pthread_create(&threads[i], NULL, act, &actors[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < THREADS; i++) {
        if (actors[i].wrong)
            fail_msg("seed %u: %s gave %s", r->seed, names[actors[i].step],
                     tidings_err_name(actors[i].wrong));
    }
}

/* Closed once each, and all that was accepted before has been taken, so the
 * bus that stays sees it, in order. */
static void play(const char *url, uint32_t seed)
{
    struct host_use before = host_use_now();
    struct round r = {.seed = seed};
    uint32_t random = seed;
    tidings_bus *auditor;

    assert_ok(tidings_open(&auditor, url, NULL));
    assert_ok(tidings_subscribe(NULL, auditor, "order.*", host_on_event,
                                &r.audit, NULL));
    open_buses(&r, url, &random);
    run_actors(&r, &random);
    for (unsigned b = 0; b < BUSES; b++) {
        if (atomic_load(&r.closed[b]) != 1)
            fail_msg("seed %u: bus %u was closed %d times", seed, b,
                     atomic_load(&r.closed[b]));
    }
    if (!host_wait_events(&r.audit, atomic_load(&r.published)))
        fail_msg("seed %u: %u of %u events came", seed,
                 (unsigned)atomic_load(&r.audit.events),
                 (unsigned)atomic_load(&r.published));
    assert_ok(tidings_close(auditor));
    if (atomic_load(&r.audit.wrong) ||
        atomic_load(&r.audit.events) != atomic_load(&r.published))
        fail_msg("seed %u: events out of order, or too many", seed);
    host_expect_use(before);
}

static void play_seeds(const char *url, uint32_t seeds)
{
    const char *asked = getenv("TIDINGS_SEED");
    uint32_t first = asked ? (uint32_t)strtoul(asked, NULL, 10) : FIRST;

    for (uint32_t i = 0; i < (asked ? 1 : seeds); i++)
        play(url, first + i);
}

static void test_any_order_from_any_thread(void **state)
{
    (void)state;
    play_seeds("inproc://order", SEEDS);
}

static void test_any_order_from_any_thread_with_a_broker(void **state)
{
    struct td_daemon broker = {.listening = 0};

    (void)state;
    host_broker_start(&broker);
    play_seeds(broker.endpoint[0], TCP_SEEDS);
    td_daemon_end(&broker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_order_from_any_thread),
        cmocka_unit_test(test_any_order_from_any_thread_with_a_broker),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
