/* Requests with somebody who waits: answers, errors, deadlines, and trying
 * again. */
#include "tests/conformance/request.h"

#include <pthread.h>
#include <stdlib.h>

static void wait_asked(struct answerer *a, unsigned n)
{
    int64_t end = td_proc_now_ms() + CONF_MS;

    while (atomic_load(&a->asked) < n && td_proc_now_ms() < end)
        conf_pause_us(1000);
    assert_int_equal(atomic_load(&a->asked), n);
}

/* ---- answers ---- */

static void test_request_gets_what_the_handler_answers(void **state)
{
    static const size_t sizes[] = {0, 1, 100, 20000, TIDINGS_DATA_MAX};
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    static struct answerer a;
    char *data = calloc(1, TIDINGS_DATA_MAX);

    assert_non_null(data);
    memset(data, 'x', TIDINGS_DATA_MAX);
    req_serve(&a, conf_open(c, NULL), "echo", "req.echo", req_echo);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct tidings_reply reply;

        assert_ok(tidings_request(&reply, bus, "req.echo",
                                  sizes[i] ? data : NULL, sizes[i], CONF_MS));
        assert_int_equal(reply.err, TIDINGS_OK);
        assert_int_equal(reply.len, sizes[i]);
        assert_true(sizes[i] == 0 || memcmp(reply.data, data, sizes[i]) == 0);
        assert_string_equal(reply.text, "");
        assert_true(strlen(reply.instance) > 0);
        assert_int_equal(reply.attempts, 1);
        assert_int_equal(reply.status, 0);
        tidings_reply_fini(&reply);
        tidings_reply_fini(&reply);
    }
    assert_int_equal(req_info(bus).answered, 5);
    assert_int_equal(req_info(bus).in_flight, 0);
    assert_true(atomic_load(&a.left_ms) > 0 &&
                atomic_load(&a.left_ms) <= CONF_MS);
    tidings_reply_fini(NULL);
    free(data);
}

static void test_request_gets_the_handlers_error(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    static struct answerer a = {.status = 404};
    struct tidings_reply reply;

    req_serve(&a, conf_open(c, NULL), "never", "req.never", req_fail);
    assert_err(tidings_request(&reply, bus, "req.never", NULL, 0, CONF_MS),
               TIDINGS_EREMOTE);
    assert_int_equal(reply.err, TIDINGS_EREMOTE);
    assert_int_equal(reply.status, 404);
    assert_string_equal(reply.text, "it would not");
    assert_int_equal(reply.len, 6);
    assert_memory_equal(reply.data, "detail", 6);
    assert_non_null(strstr(tidings_detail(), "404"));
    assert_int_equal(req_info(bus).errors, 1);
    tidings_reply_fini(&reply);
}

static void test_request_without_a_responder_fails_at_once(void **state)
{
    tidings_bus *bus = conf_open(*state, NULL);
    int64_t start = td_proc_now_ms();
    struct tidings_reply reply;

    assert_err(tidings_request(&reply, bus, "req.nobody", NULL, 0, 60000),
               TIDINGS_ENORESPONDER);
    assert_true(td_proc_now_ms() - start < CONF_MS);
    assert_int_equal(reply.err, TIDINGS_ENORESPONDER);
    assert_non_null(strstr(reply.text, "req.nobody"));
    assert_string_equal(reply.instance, "");
    assert_null(reply.data);
    assert_int_equal(req_info(bus).refused, 1);
    tidings_reply_fini(&reply);
}

static void test_request_refuses_what_it_cannot_ask(void **state)
{
    static const struct {
        const char *type;
        const void *data;
        size_t len;
        struct tidings_request_options options;
    } rows[] = {
        {NULL, NULL, 0, {0}},
        {"req.*", NULL, 0, {0}},
        {"$service.up", NULL, 0, {0}},
        {"req.a", NULL, 1, {0}},
        {"req.a", "", TIDINGS_DATA_MAX + 1, {0}},
        {"req.a", NULL, 0, {.timeout_ms = -1}},
        {"req.a", NULL, 0, {.timeout_ms = TIDINGS_TIMEOUT_MAX_MS + 1}},
        {"req.a", NULL, 0, {.attempts = 11}},
        {"req.a", NULL, 0, {.attempt_timeout_ms = -1}},
        {"req.a", NULL, 0, {.balance = TIDINGS_BALANCE_LATENCY + 1}},
        {"req.a", NULL, 0, {.service = ""}},
        {"req.a", NULL, 0, {.instance = "123456789012345678901234567890123"}},
    };
    tidings_bus *bus = conf_open(*state, NULL);
    struct tidings_reply reply;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct tidings_event event = {.type = rows[i].type,
                                            .data = rows[i].data,
                                            .data_len = rows[i].len};
        tidings_err err =
            tidings_request_event(&reply, bus, &event, &rows[i].options);

        if (err != TIDINGS_EINVAL)
            print_error("row %zu\n", i);
        assert_int_equal(err, TIDINGS_EINVAL);
        assert_int_equal(reply.err, TIDINGS_EINVAL);
        assert_string_equal(reply.text, tidings_detail());
        assert_err(tidings_request_async(bus, &event, &rows[i].options,
                                         req_heard, NULL),
                   TIDINGS_EINVAL);
        tidings_reply_fini(&reply);
    }
    assert_err(tidings_request(NULL, bus, "a", NULL, 0, 1), TIDINGS_EINVAL);
    assert_err(tidings_request(&reply, bus, "a", NULL, 0, 0), TIDINGS_EINVAL);
    assert_string_equal(reply.text, "timeout_ms: 1 to 86400000");
    tidings_reply_fini(&reply);
    assert_err(tidings_request_info(NULL, bus), TIDINGS_EINVAL);
    assert_int_equal(req_info(bus).requests, 0);
}

static void test_request_without_a_broker_waits_its_time(void **state)
{
    char url[256];
    tidings_bus *bus;
    struct tidings_reply reply;
    int64_t start;

    if (!conf_has_daemon())
        return; /* there always is one */
    bus = conf_open_at(*state, conf_dead_url(url), NULL);
    start = td_proc_now_ms();
    assert_err(tidings_request(&reply, bus, "req.a", NULL, 0, 100),
               TIDINGS_EUNREACH);
    assert_true(td_proc_now_ms() - start >= 100);
    assert_int_equal(reply.attempts, 0);
    assert_non_null(strstr(reply.text, url));
    tidings_reply_fini(&reply);
}

static void test_request_chooses_by_its_options(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    tidings_bus *there = conf_open(c, NULL);
    static struct answerer a;
    static struct answerer b;
    const struct tidings_event event = req_event("req.both");
    struct tidings_request_options o = {.timeout_ms = CONF_MS,
                                        .service = "first"};
    struct tidings_service_info info;
    struct tidings_reply reply;

    req_serve(&a, there, "first", "req.both", req_echo);
    req_serve(&b, there, "second", "req.both", req_echo);
    assert_ok(tidings_service_info(&info, b.service));
    for (unsigned i = 0; i < 4; i++) {
        assert_ok(tidings_request_event(&reply, bus, &event, &o));
        tidings_reply_fini(&reply);
    }
    assert_int_equal(atomic_load(&a.asked), 4);
    o = (struct tidings_request_options){.timeout_ms = CONF_MS,
                                         .instance = info.id};
    assert_ok(tidings_request_event(&reply, bus, &event, &o));
    assert_string_equal(reply.instance, info.id);
    tidings_reply_fini(&reply);
    assert_int_equal(atomic_load(&b.asked), 1);
    o = (struct tidings_request_options){.timeout_ms = CONF_MS,
                                         .version = "9.9.9"};
    assert_err(tidings_request_event(&reply, bus, &event, &o),
               TIDINGS_ENORESPONDER);
    tidings_reply_fini(&reply);
}

/* ---- deadlines ---- */

static void test_request_answered_late_is_counted(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    static struct answerer a;
    static struct answerer echo;
    struct tidings_reply reply;
    int64_t start = td_proc_now_ms();

    req_serve(&a, conf_open(c, NULL), "slow", "req.slow", req_keep);
    req_serve(&echo, conf_open(c, NULL), "echo", "req.echo", req_echo);
    assert_err(tidings_request(&reply, bus, "req.slow", NULL, 0, 100),
               TIDINGS_ETIMEDOUT);
    assert_true(td_proc_now_ms() - start >= 100);
    assert_int_equal(reply.attempts, 1);
    tidings_reply_fini(&reply);
    assert_int_equal(req_info(bus).timeouts, 1);
    /* Whether it was the broker or the bus who gave up, nothing comes of it. */
    req_answer_kept();
    assert_ok(tidings_request(&reply, bus, "req.echo", NULL, 0, CONF_MS));
    tidings_reply_fini(&reply);
    assert_int_equal(req_info(bus).in_flight, 0);
    assert_true(req_info(bus).late <= 1);
}

static void test_request_of_a_handler_inherits_its_deadline(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    tidings_bus *middle = conf_open(c, NULL);
    static struct answerer outer = {.err = -1};
    static struct answerer inner;
    struct tidings_reply reply;
    int64_t start = td_proc_now_ms();
    int64_t end = start + CONF_MS;
    tidings_err err;

    atomic_store(&outer.via, middle);
    req_serve(&outer, middle, "outer", "req.outer", req_ask);
    req_serve(&inner, conf_open(c, NULL), "inner", "req.inner", req_keep);
    /* Late, or told by the handler just before that. */
    err = tidings_request(&reply, bus, "req.outer", NULL, 0, 300);
    assert_true(err == TIDINGS_ETIMEDOUT || err == TIDINGS_EREMOTE);
    tidings_reply_fini(&reply);
    while (atomic_load(&outer.asked) == 0 && td_proc_now_ms() < end)
        conf_pause_us(1000);
    wait_asked(&inner, 1);
    assert_true(atomic_load(&inner.left_ms) <= 300);
    assert_int_equal(atomic_load(&outer.err), TIDINGS_ETIMEDOUT);
    assert_true(td_proc_now_ms() - start < CONF_MS); /* not a minute */
}

static tidings_err block(void *arg, tidings_task *task,
                         const struct tidings_event *request)
{
    struct answerer *a = arg;
    int64_t end = td_proc_now_ms() + CONF_MS;

    (void)request;
    atomic_fetch_add(&a->asked, 1);
    while (!atomic_load(&a->go_on) && td_proc_now_ms() < end)
        conf_pause_us(1000);
    return tidings_answer(task, NULL, 0);
}

static void test_request_expired_is_not_handled(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    static struct answerer a;
    struct hearer h = {0};
    struct numbered first = {&h, 1};
    struct tidings_request_options o = {.timeout_ms = CONF_MS};
    const struct tidings_event event = req_event("req.block");
    struct tidings_reply reply;
    struct tidings_service_info info;

    req_serve(&a, conf_open(c, NULL), "block", "req.block", block);
    assert_ok(tidings_request_async(bus, &event, &o, req_heard, &first));
    wait_asked(&a, 1);
    assert_err(tidings_request(&reply, bus, "req.block", NULL, 0, 50),
               TIDINGS_ETIMEDOUT);
    tidings_reply_fini(&reply);
    conf_pause_us(20000); /* whoever has it is later by the way there */
    atomic_store(&a.go_on, true);
    assert_true(req_wait(&h, 1));
    assert_ok(tidings_request(&reply, bus, "req.block", NULL, 0, CONF_MS));
    tidings_reply_fini(&reply);
    assert_int_equal(atomic_load(&a.asked), 2);
    assert_ok(tidings_service_info(&info, a.service));
    assert_int_equal(info.expired, 1);
}

static void test_request_ends_with_its_expirytime(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    static struct answerer a;
    struct tidings_attr attr;
    char text[TIDINGS_EXPIRYTIME_MAX];
    struct tidings_event event = req_event("req.slow");
    int64_t start = td_proc_now_ms();
    struct tidings_reply reply;

    req_serve(&a, conf_open(c, NULL), "slow", "req.slow", req_keep);
    event.attrs = &attr;
    event.attrs_len = 1;
    assert_ok(tidings_expirytime(&attr, text, conf_unix_us() - 1));
    assert_err(tidings_request_event(&reply, bus, &event, NULL),
               TIDINGS_ETIMEDOUT);
    assert_int_equal(reply.attempts, 0);
    tidings_reply_fini(&reply);
    assert_ok(tidings_expirytime(&attr, text, conf_unix_us() + 200000));
    assert_err(tidings_request_event(&reply, bus, &event,
                                     &(struct tidings_request_options){
                                         .timeout_ms = 4 * CONF_MS}),
               TIDINGS_ETIMEDOUT);
    assert_true(td_proc_now_ms() - start < CONF_MS);
    tidings_reply_fini(&reply);
    assert_int_equal(atomic_load(&a.asked), 1);
}

/* ---- trying again ---- */

/* Who has it is gone, and then there is another. */
static void *take_over(void *arg)
{
    struct answerer *a = arg;
    int64_t end = td_proc_now_ms() + CONF_MS;

    while (atomic_load(&a->asked) == 0 && td_proc_now_ms() < end)
        conf_pause_us(1000);
    tidings_close(atomic_load(&a->via));
    return NULL;
}

static tidings_err ask_dying(struct conf *c, bool idempotent,
                             struct tidings_reply *reply)
{
    tidings_bus *bus = conf_open(c, NULL);
    tidings_bus *first = conf_open(c, NULL);
    struct answerer dying = {.via = first};
    static struct answerer other;
    const struct tidings_event event = req_event("req.die");
    const struct tidings_request_options o = {.timeout_ms = CONF_MS,
                                              .idempotent = idempotent};
    pthread_t thread;
    tidings_err err;

    req_serve(&dying, first, "die", "req.die", req_keep);
    conf_forget(c, first);
    pthread_create(&thread, NULL, take_over, &dying);
    if (idempotent) {
        req_serve(&other, conf_open(c, NULL), "die", "req.die", req_echo);
        /* The one that dies has its turn first, or next. */
        do {
            err = tidings_request_event(reply, bus, &event, &o);
            if (!err && reply->attempts == 1)
                tidings_reply_fini(reply);
        } while (!err && reply->attempts <= 1 && !reply->memory);
    } else {
        err = tidings_request_event(reply, bus, &event, &o);
    }
    pthread_join(thread, NULL);
    return err;
}

static void test_request_idempotent_is_tried_elsewhere(void **state)
{
    struct tidings_reply reply;

    assert_ok(ask_dying(*state, true, &reply));
    assert_int_equal(reply.attempts, 2);
    assert_int_equal(reply.len, 5);
    tidings_reply_fini(&reply);
}

static void test_request_of_one_that_dies_is_lost(void **state)
{
    struct tidings_reply reply;

    assert_err(ask_dying(*state, false, &reply), TIDINGS_ELOST);
    assert_int_equal(reply.attempts, 1);
    tidings_reply_fini(&reply);
}

static void test_request_retries_within_a_budget(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    static struct answerer a = {.status = 503};
    const struct tidings_event event = req_event("req.busy");
    const struct tidings_request_options o = {
        .timeout_ms = CONF_MS, .idempotent = true, .attempts = 2};
    const struct tidings_endpoint endpoint = {
        .type = "req.busy", .handler = req_fail, .arg = &a};
    const struct tidings_service_options service = {
        .name = "busy",
        .version = "1.0.0",
        .endpoints = &endpoint,
        .endpoints_len = 1,
        .breaker = {.failures = -1, .rate_percent = -1},
        .service_breaker = {.failures = -1, .rate_percent = -1}};
    struct tidings_request_info info;

    assert_ok(tidings_serve(&a.service, conf_open(c, NULL), &service));
    for (unsigned i = 0; i < 30; i++) {
        struct tidings_reply reply;

        assert_err(tidings_request_event(&reply, bus, &event, &o),
                   TIDINGS_EREMOTE);
        assert_int_equal(reply.status, 503);
        tidings_reply_fini(&reply);
    }
    info = req_info(bus);
    assert_true(info.retries >= 10 && info.retries <= 13);
    assert_int_equal(info.retries + info.retries_cut, 30);
    assert_int_equal(atomic_load(&a.asked), 30 + info.retries);
    assert_int_equal(info.errors, 30);
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, conf_setup, req_teardown)

int conf_run_request(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_request_gets_what_the_handler_answers),
        TEST(test_request_gets_the_handlers_error),
        TEST(test_request_without_a_responder_fails_at_once),
        TEST(test_request_refuses_what_it_cannot_ask),
        TEST(test_request_without_a_broker_waits_its_time),
        TEST(test_request_chooses_by_its_options),
        TEST(test_request_answered_late_is_counted),
        TEST(test_request_of_a_handler_inherits_its_deadline),
        TEST(test_request_expired_is_not_handled),
        TEST(test_request_ends_with_its_expirytime),
        TEST(test_request_idempotent_is_tried_elsewhere),
        TEST(test_request_of_one_that_dies_is_lost),
        TEST(test_request_retries_within_a_budget),
    };

    return cmocka_run_group_tests_name("request", tests, NULL, NULL);
}
