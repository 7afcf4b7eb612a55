/* The host's threads come and go around a bus. */
#include "tests/embed/host.h"

#include <stdlib.h>

#define ROUNDS (200 / HOST_SLOW)
#define EVENTS 20 /* of a thread */

/* ---- publishing, and gone ---- */

struct sender {
    tidings_bus *bus;
    uint64_t number;
    uint64_t from; /* the first of EVENTS */
    tidings_err err;
};

static void *publish_some(void *arg)
{
    struct sender *s = arg;

    for (uint64_t n = s->from; n < s->from + EVENTS && !s->err; n++) {
        const struct host_number number = {.sender = s->number, .n = n};

        s->err = tidings_publish(s->bus, "threads.a", &number, sizeof(number));
    }
    return NULL;
}

/* One round's threads are others than the last one's, and number on. */
static void check_senders(const char *url)
{
    struct host_use before = host_use_now();
    struct host_seen seen = {.events = 0};
    tidings_bus *bus;

    assert_ok(tidings_open(&bus, url, NULL));
    assert_ok(
        tidings_subscribe(NULL, bus, "threads.*", host_on_event, &seen, NULL));
    for (uint64_t round = 0; round < ROUNDS; round++) {
        struct sender senders[HOST_SENDERS_MAX];
        pthread_t threads[HOST_SENDERS_MAX];

        for (unsigned i = 0; i < HOST_SENDERS_MAX; i++) {
            senders[i] = (struct sender){
                .bus = bus, .number = i, .from = round * EVENTS + 1};
            assert_int_equal(
                pthread_create(&threads[i], NULL, publish_some, &senders[i]),
                0);
        }
        for (unsigned i = 0; i < HOST_SENDERS_MAX; i++) {
            pthread_join(threads[i], NULL);
            assert_ok(senders[i].err);
        }
    }
    assert_true(
        host_wait_events(&seen, (uint64_t)ROUNDS * EVENTS * HOST_SENDERS_MAX));
    assert_int_equal(atomic_load(&seen.wrong), 0);
    assert_ok(tidings_close(bus));
    host_expect_use(before);
}

static void test_what_ended_threads_published_arrives(void **state)
{
    struct td_daemon broker = {.listening = 0};

    (void)state;
    check_senders("inproc://threads");
    host_broker_start(&broker);
    check_senders(broker.endpoint[0]);
    td_daemon_end(&broker);
}

/* ---- a thread for each step ---- */

struct life {
    const char *url;
    tidings_bus *bus;
    tidings_sub *sub;
    struct host_seen seen;
    tidings_err err;
};

static void *step_open(void *arg)
{
    struct life *l = arg;

    l->err = tidings_open(&l->bus, l->url, NULL);
    return NULL;
}

static void *step_subscribe(void *arg)
{
    struct life *l = arg;

    l->err = tidings_subscribe(&l->sub, l->bus, "life", host_on_event, &l->seen,
                               NULL);
    return NULL;
}

static void *step_publish(void *arg)
{
    struct life *l = arg;
    const struct host_number number = {.sender = 0, .n = 1};

    l->err = tidings_publish(l->bus, "life", &number, sizeof(number));
    return NULL;
}

static void *step_unsubscribe(void *arg)
{
    struct life *l = arg;

    l->err = tidings_unsubscribe(l->sub, HOST_MS);
    return NULL;
}

static void *step_close(void *arg)
{
    struct life *l = arg;

    l->err = tidings_close(l->bus);
    return NULL;
}

static void step(struct life *l, void *(*run)(void *))
{
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, run, l), 0);
    pthread_join(thread, NULL);
    assert_ok(l->err);
}

static void check_life(const char *url)
{
    struct host_use before = host_use_now();

    for (int i = 0; i < 20; i++) {
        struct life l = {.url = url};

        step(&l, step_open);
        step(&l, step_subscribe);
        step(&l, step_publish);
        assert_true(host_wait_events(&l.seen, 1));
        step(&l, step_unsubscribe);
        step(&l, step_close);
        assert_int_equal(atomic_load(&l.seen.wrong), 0);
    }
    host_expect_use(before);
}

/* None of them outlives its step, and the bus does not mind. */
static void test_every_step_on_a_thread_of_its_own(void **state)
{
    struct td_daemon broker = {.listening = 0};

    (void)state;
    check_life("inproc://life");
    host_broker_start(&broker);
    check_life(broker.endpoint[0]);
    td_daemon_end(&broker);
}

/* ---- details ---- */

struct failing {
    pthread_barrier_t *barrier;
    unsigned number;
    bool empty_first; /* nothing is left of another thread */
    bool own;         /* what it reads is about its own call */
};

static void *fail_together(void *arg)
{
    struct failing *f = arg;
    tidings_bus *bus;
    char url[32];

    f->empty_first = tidings_detail()[0] == '\0';
    snprintf(url, sizeof(url), "thread-%u://x", f->number);
    for (int i = 0; i < 50; i++) {
        pthread_barrier_wait(f->barrier);
        tidings_open(&bus, url, NULL);
        pthread_barrier_wait(f->barrier);
        f->own = strstr(tidings_detail(), url) && (i == 0 || f->own);
    }
    return NULL;
}

static void test_details_are_each_threads_own(void **state)
{
    struct failing failing[HOST_SENDERS_MAX];
    pthread_t threads[HOST_SENDERS_MAX];
    pthread_barrier_t barrier;

    (void)state;
    pthread_barrier_init(&barrier, NULL, HOST_SENDERS_MAX);
    tidings_set_detail("the first thread's");
    for (unsigned i = 0; i < HOST_SENDERS_MAX; i++) {
        failing[i] = (struct failing){.barrier = &barrier, .number = i};
        assert_int_equal(
            pthread_create(&threads[i], NULL, fail_together, &failing[i]), 0);
    }
    for (unsigned i = 0; i < HOST_SENDERS_MAX; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&barrier);
    for (unsigned i = 0; i < HOST_SENDERS_MAX; i++) {
        assert_true(failing[i].empty_first);
        assert_true(failing[i].own);
    }
    assert_string_equal(tidings_detail(), "the first thread's");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_ended_threads_published_arrives),
        cmocka_unit_test(test_every_step_on_a_thread_of_its_own),
        cmocka_unit_test(test_details_are_each_threads_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
