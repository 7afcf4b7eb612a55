/* Lost wake-ups, races and hangs: much at once, with random timing. An event
 * that waits for the next tick instead of being delivered comes up to a
 * second late, so what is late is counted. */
#include "tests/conformance/conformance.h"

#include <poll.h>
#include <sched.h>
#include <stdlib.h>

#define ROUNDS  (4000 / CONF_SLOW)
#define LATE_MS 90 /* a lazy answer comes at 100 … */
/* … so many may be late by the machine's fault: a lazy answer is every n-th … */
#define LATE_MAX (ROUNDS / 100)
/* … but none waits for a tick, which comes at 1000 */
#define WORST_MS      900
#define BUSES         300
#define STORM_ROUNDS  (60 / CONF_SLOW)
#define STORM_THREADS 4

/* Between nothing and longer than a round trip; sometimes much longer. */
static void pause_randomly(uint32_t *random)
{
    uint32_t kind = conf_random(random, 8);

    if (kind < 4)
        return;
    if (kind < 7)
        conf_pause_us(conf_random(random, 150));
    else
        conf_pause_us(conf_random(random, 1000));
}

/* ---- latency ---- */

struct latency {
    tidings_bus *from;
    struct tally *t;
    unsigned late;
    int64_t worst_ms;
    tidings_err err;
};

/* One event at a time: publish, and wait until it has come. */
static void one_at_a_time(struct latency *l, bool flushes)
{
    uint32_t random = 23;

    for (uint64_t n = 1; n <= ROUNDS && !l->err; n++) {
        int64_t start = td_proc_now_ms();
        int64_t took;

        l->err = conf_publish(l->from, "one", 0, n);
        if (!l->err && flushes && conf_random(&random, 3) == 0)
            l->err = tidings_flush(l->from, CONF_MS);
        if (!l->err && !tally_wait(l->t, n, CONF_MS))
            l->err = TIDINGS_ETIMEDOUT;
        took = td_proc_now_ms() - start;
        l->late += took >= LATE_MS;
        if (took > l->worst_ms)
            l->worst_ms = took;
        pause_randomly(&random);
    }
}

static void check_latency(const struct latency *l)
{
    print_message("%u of %d rounds late, the worst %d ms\n", l->late, ROUNDS,
                  (int)l->worst_ms);
    assert_ok(l->err);
    assert_in_range(l->late, 0, LATE_MAX);
    assert_in_range(l->worst_ms, 0, WORST_MS);
}

static void test_single_events_come_at_once(void **state)
{
    struct conf *c = *state;
    struct latency l = {.from = conf_open(c, NULL)};

    l.t = conf_subscribe(c, conf_open(c, NULL), "one");
    one_at_a_time(&l, true);
    check_latency(&l);
}

static void test_single_events_to_oneself_come_at_once(void **state)
{
    struct conf *c = *state;
    struct latency l = {.from = conf_open(c, NULL)};

    l.t = conf_subscribe(c, l.from, "one");
    one_at_a_time(&l, true);
    check_latency(&l);
}

/* The same while the receiving bus sends all the time: sending reads the
 * socket's commands, and may eat the signal that something has come. */
struct chatter {
    tidings_bus *bus;
    atomic_bool stop;
    tidings_err err;
};

static void *chatter(void *arg)
{
    struct chatter *x = arg;
    uint32_t random = 29;

    while (!atomic_load(&x->stop) && !x->err) {
        x->err = tidings_publish(x->bus, "nobody", "x", 1);
        if (!x->err && conf_random(&random, 20) == 0)
            x->err = tidings_flush(x->bus, CONF_MS);
        conf_pause_us(conf_random(&random, 200));
    }
    return NULL;
}

static void test_single_events_come_at_once_to_a_bus_that_sends(void **state)
{
    struct conf *c = *state;
    struct latency l = {.from = conf_open(c, NULL)};
    tidings_bus *bus = conf_open(c, NULL);
    struct chatter x[2] = {{.bus = bus}, {.bus = bus}};
    pthread_t threads[2];

    l.t = conf_subscribe(c, bus, "one");
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, chatter, &x[i]), 0);
    one_at_a_time(&l, false);
    for (int i = 0; i < 2; i++)
        atomic_store(&x[i].stop, true);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_ok(x[0].err);
    assert_ok(x[1].err);
    check_latency(&l);
}

/* An answer, made in a handler, to a question made in a handler. */
struct echo {
    tidings_bus *bus;
};

static tidings_err answer(void *arg, const struct tidings_event *event)
{
    struct echo *e = arg;

    return tidings_publish(e->bus, "one", event->data, event->data_len);
}

static void test_answers_made_in_handlers_come_at_once(void **state)
{
    struct conf *c = *state;
    struct echo e = {.bus = conf_open(c, NULL)};
    struct latency l = {.from = conf_open(c, NULL)};
    uint32_t random = 31;

    l.t = conf_subscribe(c, l.from, "one");
    assert_ok(tidings_subscribe(NULL, e.bus, "ask", answer, &e, NULL));
    for (uint64_t n = 1; n <= ROUNDS && !l.err; n++) {
        int64_t start = td_proc_now_ms();
        int64_t took;

        l.err = conf_publish(l.from, "ask", 0, n);
        if (!l.err && !tally_wait(l.t, n, CONF_MS))
            l.err = TIDINGS_ETIMEDOUT;
        took = td_proc_now_ms() - start;
        l.late += took >= LATE_MS;
        l.worst_ms = took > l.worst_ms ? took : l.worst_ms;
        pause_randomly(&random);
    }
    conf_forget(c, e.bus);
    assert_ok(tidings_close(e.bus));
    check_latency(&l);
}

static void test_flush_and_ping_return_at_once(void **state)
{
    struct conf *c = *state;
    struct latency l = {.from = conf_open(c, NULL)};
    uint32_t random = 37;

    for (uint64_t n = 1; n <= ROUNDS && !l.err; n++) {
        int64_t start = td_proc_now_ms();
        int64_t took;
        int64_t us;

        if (n % 3)
            l.err = conf_publish(l.from, "one", 0, n);
        if (!l.err)
            l.err = n % 4 ? tidings_flush(l.from, CONF_MS)
                          : tidings_ping(&us, l.from, CONF_MS);
        took = td_proc_now_ms() - start;
        l.late += took >= LATE_MS;
        l.worst_ms = took > l.worst_ms ? took : l.worst_ms;
        pause_randomly(&random);
    }
    check_latency(&l);
}

/* ---- many short lives ---- */

struct mayfly {
    uint32_t random;
    const char *doing;
    tidings_err err;
};

/* What is published on a bus of one's own comes back before it is closed. */
static tidings_err live(struct mayfly *m)
{
    atomic_uint *seen = calloc(1, sizeof(*seen));
    uint32_t kind = conf_random(&m->random, 5);
    tidings_err err = TIDINGS_ENOMEM;
    tidings_bus *bus = NULL;

    m->doing = "open";
    if (seen)
        err = tidings_open(&bus, conf_url(), NULL);
    m->doing = "wait";
    if (!err && kind > 0)
        err = tidings_wait(bus, CONF_MS);
    m->doing = "publish";
    if (!err && kind > 1)
        err = tidings_publish(bus, "mayfly", "x", 1);
    m->doing = "flush";
    if (!err && kind > 2)
        err = tidings_flush(bus, CONF_MS);
    pause_randomly(&m->random);
    m->doing = "close";
    if (bus) {
        tidings_err closed = tidings_close(bus);

        err = err ? err : closed;
    }
    free(seen);
    return err;
}

static void *live_often(void *arg)
{
    struct mayfly *m = arg;

    for (int i = 0; i < BUSES / 4 / CONF_SLOW && !m->err; i++)
        m->err = live(m);
    return NULL;
}

static void test_buses_of_short_life(void **state)
{
    struct conf *c = *state;
    tidings_bus *reader = conf_open(c, NULL);
    struct tally *t = conf_subscribe(c, reader, "mayfly");
    struct mayfly flies[4];
    pthread_t threads[4];

    for (uint32_t i = 0; i < 4; i++) {
        flies[i] = (struct mayfly){.random = 41 + i};
        assert_int_equal(
            pthread_create(&threads[i], NULL, live_often, &flies[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 4; i++)
        assert_row(flies[i].doing, !flies[i].err);
    assert_ok(tidings_flush(reader, CONF_MS));
    assert_true(tally_count(t) > 0);
}

/* ---- everything at once, then close ---- */

struct storm {
    atomic_uintptr_t bus;
    struct tally *t;
    atomic_uint begun;
    atomic_uint wrong; /* answers other than OK and ECLOSED */
    atomic_int which;  /* the last of them */
};

static tidings_err do_something(struct storm *s, tidings_bus *bus,
                                uint32_t *random)
{
    struct tidings_info info;
    tidings_sub *sub;
    tidings_err err;
    int64_t us;

    switch (conf_random(random, 8)) {
    case 0:
        return tidings_flush(bus, CONF_MS);
    case 1:
        return tidings_ping(&us, bus, CONF_MS);
    case 2:
        return tidings_info(&info, bus);
    case 3:
        err = tidings_subscribe(&sub, bus, "storm.*", tally_event, s->t, NULL);
        return err ? err : tidings_unsubscribe(sub, CONF_MS);
    case 4:
        return tidings_subscribe(NULL, bus, "storm.a", tally_event, s->t, NULL);
    case 5:
        return tidings_wait(bus, CONF_MS);
    default:
        return tidings_publish(bus, "storm.a", "x", 1);
    }
}

struct storm_thread {
    struct storm *storm;
    uint32_t random;
};

static void *do_much(void *arg)
{
    struct storm_thread *x = arg;
    tidings_bus *bus = (tidings_bus *)atomic_load(&x->storm->bus);
    tidings_err err = TIDINGS_OK;

    for (int i = 0; i < 200 && err != TIDINGS_ECLOSED; i++) {
        err = do_something(x->storm, bus, &x->random);
        if (err && err != TIDINGS_ECLOSED && err != TIDINGS_ELIMIT) {
            atomic_fetch_add(&x->storm->wrong, 1);
            atomic_store(&x->storm->which, (int)err);
        }
        atomic_fetch_add(&x->storm->begun, 1);
    }
    return NULL;
}

static void test_close_in_the_middle_of_everything(void **state)
{
    struct conf *c = *state;
    struct storm s = {.t = conf_tally(c)};
    uint32_t random = 43;

    for (int round = 0; round < STORM_ROUNDS; round++) {
        struct storm_thread x[STORM_THREADS];
        pthread_t threads[STORM_THREADS];
        unsigned enough = conf_random(&random, 300);
        tidings_err err;
        tidings_bus *bus;

        assert_ok(tidings_open(&bus, conf_url(), NULL));
        atomic_store(&s.bus, (uintptr_t)bus);
        atomic_store(&s.begun, 0);
        for (int i = 0; i < STORM_THREADS; i++) {
            x[i] = (struct storm_thread){&s, random + (uint32_t)i};
            assert_int_equal(pthread_create(&threads[i], NULL, do_much, &x[i]),
                             0);
        }
        while (atomic_load(&s.begun) < enough)
            sched_yield();
        err = tidings_close(bus);
        for (int i = 0; i < STORM_THREADS; i++)
            pthread_join(threads[i], NULL);
        assert_ok(err);
        assert_err(atomic_load(&s.which), TIDINGS_OK);
        assert_int_equal(atomic_load(&s.wrong), 0);
    }
}

int conf_run_stress(void)
{
    const struct CMUnitTest tests[] = {
        CONF_TEST(test_single_events_come_at_once),
        CONF_TEST(test_single_events_to_oneself_come_at_once),
        CONF_TEST(test_single_events_come_at_once_to_a_bus_that_sends),
        CONF_TEST(test_answers_made_in_handlers_come_at_once),
        CONF_TEST(test_flush_and_ping_return_at_once),
        CONF_TEST(test_buses_of_short_life),
        CONF_TEST(test_close_in_the_middle_of_everything),
    };

    return cmocka_run_group_tests_name("stress", tests, NULL, NULL);
}
