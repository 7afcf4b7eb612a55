/* Requests of many threads, and inside handlers. */
#include "tests/conformance/request.h"

#define THREADS 8
#define EACH    (250 / CONF_SLOW)

/* ---- many who ask ---- */

struct asker {
    pthread_t thread;
    tidings_bus *bus;
    unsigned who;
    unsigned good;
};

static void *ask_each(void *arg)
{
    struct asker *asker = arg;

    for (unsigned i = 0; i < EACH; i++) {
        unsigned words[2] = {asker->who, i};
        struct tidings_reply reply;

        if (!tidings_request(&reply, asker->bus, "req.echo", words,
                             sizeof(words), CONF_MS) &&
            reply.len == sizeof(words) &&
            memcmp(reply.data, words, sizeof(words)) == 0)
            asker->good++;
        tidings_reply_fini(&reply);
    }
    return NULL;
}

static void test_requests_of_many_threads_get_their_own_answers(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    struct asker askers[THREADS];
    static struct answerer a;

    req_serve(&a, conf_open(c, NULL), "echo", "req.echo", req_echo);
    for (unsigned i = 0; i < THREADS; i++) {
        askers[i] = (struct asker){.bus = bus, .who = i};
        pthread_create(&askers[i].thread, NULL, ask_each, &askers[i]);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(askers[i].thread, NULL);
        assert_int_equal(askers[i].good, EACH);
    }
    assert_int_equal(req_info(bus).answered, THREADS * EACH);
    assert_int_equal(req_info(bus).late, 0);
}

static void *ask_kept(void *arg)
{
    struct asker *asker = arg;
    struct tidings_reply reply;

    asker->good =
        !tidings_request(&reply, asker->bus, "req.slow", NULL, 0, 4 * CONF_MS);
    tidings_reply_fini(&reply);
    return NULL;
}

static void *ask_slow(void *arg)
{
    struct asker *asker = arg;
    struct tidings_reply reply;

    asker->good = tidings_request(&reply, asker->bus, "req.slow", NULL, 0,
                                  4 * CONF_MS) == TIDINGS_ECLOSED &&
                  reply.err == TIDINGS_ECLOSED && *reply.text;
    tidings_reply_fini(&reply);
    return NULL;
}

static void test_request_that_waits_is_closed_with_its_bus(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    struct asker asker = {.bus = bus};
    static struct answerer a;
    int64_t end = td_proc_now_ms() + CONF_MS;

    req_serve(&a, conf_open(c, NULL), "slow", "req.slow", req_keep);
    pthread_create(&asker.thread, NULL, ask_slow, &asker);
    while (atomic_load(&a.asked) == 0 && td_proc_now_ms() < end)
        conf_pause_us(1000);
    conf_forget(c, bus);
    assert_ok(tidings_close(bus));
    pthread_join(asker.thread, NULL);
    assert_int_equal(asker.good, 1);
}

/* ---- in handlers ---- */

struct inside {
    tidings_bus *bus;
    const char *type;
    int timeout_ms;
    atomic_int err;
    atomic_uint done;
};

static tidings_err ask_inside(void *arg, const struct tidings_event *event)
{
    struct inside *inside = arg;
    struct tidings_reply reply;

    (void)event;
    atomic_store(&inside->err,
                 (int)tidings_request(&reply, inside->bus, inside->type, NULL,
                                      0, inside->timeout_ms));
    tidings_reply_fini(&reply);
    atomic_fetch_add(&inside->done, 1);
    return TIDINGS_OK;
}

static void wait_inside(struct inside *inside, tidings_err want)
{
    int64_t end = td_proc_now_ms() + CONF_MS;

    while (atomic_load(&inside->done) == 0 && td_proc_now_ms() < end)
        conf_pause_us(1000);
    assert_int_equal(atomic_load(&inside->err), want);
}

static void test_request_inside_a_handler(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    struct inside inside = {bus, "req.echo", CONF_MS, -1, 0};
    static struct answerer a;

    req_serve(&a, conf_open(c, NULL), "echo", "req.echo", req_echo);
    assert_ok(
        tidings_subscribe(NULL, bus, "req.event", ask_inside, &inside, NULL));
    assert_ok(tidings_publish(bus, "req.event", NULL, 0));
    wait_inside(&inside, TIDINGS_OK);
}

static void test_request_to_oneself_inside_a_handler_times_out(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    struct inside inside = {bus, "req.self", 100, -1, 0};
    static struct answerer a;
    struct tidings_reply reply;

    req_serve(&a, bus, "self", "req.self", req_echo);
    assert_ok(tidings_request(&reply, bus, "req.self", NULL, 0, CONF_MS));
    tidings_reply_fini(&reply); /* from outside it is like any other */
    assert_ok(
        tidings_subscribe(NULL, bus, "req.event", ask_inside, &inside, NULL));
    assert_ok(tidings_publish(bus, "req.event", NULL, 0));
    wait_inside(&inside, TIDINGS_ETIMEDOUT);
}

/* A handler that keeps the thread that reads the link. */
static struct held {
    atomic_bool begun;
    atomic_bool go_on;
    bool answers; /* what is kept, when it has begun */
} held;           /* it looks at it until its bus is closed, after the test */

static tidings_err hold(void *arg, const struct tidings_event *event)
{
    int64_t end = td_proc_now_ms() + CONF_MS;

    (void)arg;
    (void)event;
    if (held.answers)
        req_answer_kept();
    atomic_store(&held.begun, true);
    while (!atomic_load(&held.go_on) && td_proc_now_ms() < end)
        conf_pause_us(500);
    return TIDINGS_OK;
}

static void hold_from(tidings_bus *bus, bool answers)
{
    atomic_store(&held.begun, false);
    atomic_store(&held.go_on, false);
    held.answers = answers;
    assert_ok(tidings_subscribe(NULL, bus, "req.hold", hold, NULL, NULL));
}

static void wait_begun(void)
{
    int64_t end = td_proc_now_ms() + CONF_MS;

    while (!atomic_load(&held.begun) && td_proc_now_ms() < end)
        conf_pause_us(500);
    assert_true(atomic_load(&held.begun));
}

static void test_requests_do_not_wait_for_a_handler(void **state)
{
    const unsigned n = 100 / CONF_SLOW;
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    static struct answerer a;
    int64_t start;

    req_serve(&a, conf_open(c, NULL), "echo", "req.echo", req_echo);
    hold_from(bus, false);
    assert_ok(tidings_publish(bus, "req.hold", NULL, 0));
    wait_begun();
    start = td_proc_now_ms();
    for (unsigned i = 0; i < n; i++) {
        struct tidings_reply reply;

        assert_ok(tidings_request(&reply, bus, "req.echo", NULL, 0, CONF_MS));
        tidings_reply_fini(&reply);
    }
    assert_true(td_proc_now_ms() - start < 5 * CONF_SLOW * (int64_t)n);
    atomic_store(&held.go_on, true);
}

/* The handler begins when the request is out. */
static void test_requests_are_answered_while_a_handler_runs(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    static struct answerer a;
    struct asker askers[THREADS];
    int64_t end = td_proc_now_ms() + CONF_MS;

    req_serve(&a, conf_open(c, NULL), "slow", "req.slow", req_keep);
    hold_from(bus, true);
    for (unsigned i = 0; i < THREADS; i++) {
        askers[i] = (struct asker){.bus = bus};
        pthread_create(&askers[i].thread, NULL, ask_kept, &askers[i]);
    }
    while (atomic_load(&a.asked) < THREADS && td_proc_now_ms() < end)
        conf_pause_us(500);
    assert_ok(tidings_publish(bus, "req.hold", NULL, 0));
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(askers[i].thread, NULL);
        assert_int_equal(askers[i].good, 1);
    }
    assert_true(atomic_load(&held.begun));
    assert_true(td_proc_now_ms() < end);
    atomic_store(&held.go_on, true);
}

static void ask_status(void *arg, const struct tidings_status *status)
{
    struct inside *inside = arg;
    struct tidings_reply reply;

    if (status->kind != TIDINGS_HANDLER_FAILED)
        return;
    atomic_store(&inside->err,
                 (int)tidings_request(&reply, inside->bus, "req.echo", NULL, 0,
                                      CONF_MS));
    tidings_reply_fini(&reply);
    atomic_fetch_add(&inside->done, 1);
}

static tidings_err fail_handler(void *arg, const struct tidings_event *event)
{
    (void)arg;
    (void)event;
    return TIDINGS_EHANDLER;
}

static void test_request_inside_on_status_is_refused(void **state)
{
    struct inside inside = {NULL, NULL, 0, -1, 0};
    const struct tidings_options o = {.on_status = ask_status,
                                      .on_status_arg = &inside};
    struct conf *c = *state;
    tidings_bus *from = conf_open(c, NULL);

    inside.bus = conf_open(c, &o);
    assert_ok(tidings_subscribe(NULL, inside.bus, "req.bad", fail_handler, NULL,
                                NULL));
    assert_ok(tidings_publish(from, "req.bad", NULL, 0));
    wait_inside(&inside, TIDINGS_EDEADLK);
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, conf_setup, req_teardown)

int conf_run_request_threads(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_requests_of_many_threads_get_their_own_answers),
        TEST(test_request_that_waits_is_closed_with_its_bus),
        TEST(test_request_inside_a_handler),
        TEST(test_request_to_oneself_inside_a_handler_times_out),
        TEST(test_requests_do_not_wait_for_a_handler),
        TEST(test_requests_are_answered_while_a_handler_runs),
        TEST(test_request_inside_on_status_is_refused),
    };

    return cmocka_run_group_tests_name("request_threads", tests, NULL, NULL);
}
