/* Requests without somebody who waits, and requests of many. */
#include "tests/conformance/request.h"

#include <poll.h>
#include <stdlib.h>

static void ask_many(tidings_bus *bus, const char *type, struct hearer *h,
                     struct numbered *r, unsigned n)
{
    const struct tidings_request_options o = {.timeout_ms = CONF_MS};
    const struct tidings_event event = req_event(type);

    for (unsigned i = 0; i < n; i++) {
        r[i] = (struct numbered){h, i};
        assert_ok(tidings_request_async(bus, &event, &o, req_heard, &r[i]));
    }
}

/* ---- called ---- */

static void test_async_hears_each_once_and_in_order(void **state)
{
    static struct numbered r[2000];
    struct hearer h = {0};
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    static struct answerer a;
    unsigned n = sizeof(r) / sizeof(r[0]) / CONF_SLOW;

    req_serve(&a, conf_open(c, NULL), "echo", "req.echo", req_echo);
    ask_many(bus, "req.echo", &h, r, n);
    assert_true(req_wait(&h, n));

    assert_int_equal(atomic_load(&h.codes[TIDINGS_OK]), n);
    assert_int_equal(atomic_load(&h.twice), 0);
    assert_int_equal(atomic_load(&h.disorder), 0);
    assert_int_equal(atomic_load(&a.asked), n);
    assert_int_equal(req_info(bus).answered, n);
}

static void test_async_hears_why_there_is_no_answer(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    static struct answerer a;
    struct hearer h = {0};
    struct numbered r[2] = {{&h, 0}, {&h, 1}};
    struct tidings_request_options o = {.timeout_ms = CONF_MS};
    struct tidings_event event = req_event("req.nobody");

    req_serve(&a, conf_open(c, NULL), "slow", "req.slow", req_keep);
    assert_ok(tidings_request_async(bus, &event, &o, req_heard, &r[0]));
    assert_true(req_wait(&h, 1));
    assert_int_equal(atomic_load(&h.codes[TIDINGS_ENORESPONDER]), 1);
    event.type = "req.slow";
    o.timeout_ms = 50;
    assert_ok(tidings_request_async(bus, &event, &o, req_heard, &r[1]));
    assert_true(req_wait(&h, 2));
    assert_int_equal(atomic_load(&h.codes[TIDINGS_ETIMEDOUT]), 1);
    assert_true(atomic_load(&h.text_len) > 0);
    assert_err(tidings_request_async(bus, &event, &o, NULL, NULL),
               TIDINGS_EINVAL);
}

static void test_async_is_closed_with_its_bus(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    static struct answerer a;
    struct numbered r[100];
    struct hearer h = {0};

    req_serve(&a, conf_open(c, NULL), "slow", "req.slow", req_keep);
    ask_many(bus, "req.slow", &h, r, 100);
    conf_forget(c, bus);
    assert_ok(tidings_close(bus));

    assert_int_equal(atomic_load(&h.heard), 100);
    assert_int_equal(atomic_load(&h.codes[TIDINGS_ECLOSED]), 100);
    assert_int_equal(atomic_load(&h.twice), 0);
}

/* on_reply that asks: once without waiting, once with. */
struct chain {
    struct numbered last;
    tidings_bus *bus;
    atomic_int err; /* of the one that waits */
};

static void ask_on(void *arg, const struct tidings_reply *reply)
{
    const struct tidings_event event = req_event("req.echo");
    struct chain *chain = arg;
    struct tidings_reply second;

    if (reply->err)
        return;
    atomic_store(&chain->err,
                 (int)tidings_request(&second, chain->bus, "req.echo", NULL, 0,
                                      CONF_MS));
    tidings_reply_fini(&second);
    tidings_request_async(chain->bus, &event, NULL, req_heard, &chain->last);
}

static void test_async_callbacks_may_ask(void **state)
{
    struct conf *c = *state;
    static struct answerer a;
    struct hearer h = {0};
    struct chain chain = {{&h, 0}, conf_open(c, NULL), -1};
    const struct tidings_event event = req_event("req.echo");

    req_serve(&a, conf_open(c, NULL), "echo", "req.echo", req_echo);
    assert_ok(tidings_request_async(chain.bus, &event, NULL, ask_on, &chain));
    assert_true(req_wait(&h, 1));
    assert_int_equal(atomic_load(&chain.err), TIDINGS_OK);
    assert_int_equal(atomic_load(&h.codes[TIDINGS_OK]), 1);
    assert_int_equal(atomic_load(&a.asked), 3);
}

static void test_async_is_heard_in_the_callers_loop(void **state)
{
    const struct tidings_options own_loop = {.own_loop = true};
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, &own_loop);
    static struct answerer a;
    struct hearer h = {0};
    struct numbered r[10];
    int64_t end = td_proc_now_ms() + CONF_MS;
    struct pollfd p = {.events = POLLIN};
    size_t n = 0;

    req_serve(&a, conf_open(c, NULL), "echo", "req.echo", req_echo);
    assert_ok(tidings_fd(&p.fd, bus));
    ask_many(bus, "req.echo", &h, r, 10);
    while (req_info(bus).in_flight > 0 && td_proc_now_ms() < end)
        conf_pause_us(1000);
    assert_int_equal(atomic_load(&h.heard), 0);
    assert_int_equal(poll(&p, 1, CONF_MS), 1);
    assert_ok(tidings_dispatch(&n, bus, 4));
    assert_int_equal(n, 4);
    assert_int_equal(atomic_load(&h.heard), 4);
    assert_int_equal(poll(&p, 1, CONF_MS), 1);
    assert_ok(tidings_dispatch(&n, bus, 100));
    assert_int_equal(atomic_load(&h.heard), 10);
    assert_int_equal(poll(&p, 1, 0), 0);
}

/* ---- of many ---- */

struct instances {
    struct answerer a[3];
};

static void serve_many(struct conf *c, struct instances *i, unsigned silent)
{
    tidings_bus *bus = conf_open(c, NULL);

    for (unsigned n = 0; n < 3; n++)
        req_serve(&i->a[n], bus, "many", "req.many",
                  n < silent ? req_keep : req_echo);
}

static void test_many_hears_all(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    const struct tidings_many_options o = {.timeout_ms = CONF_MS};
    const struct tidings_event event = req_event("req.many");
    static struct instances i;
    struct hearer h = {0};
    struct numbered r = {&h, 0};
    uint64_t answers = 7;

    serve_many(c, &i, 0);
    assert_ok(tidings_request_many(&answers, bus, &event, &o, req_heard, &r));
    assert_int_equal(answers, 3);
    assert_int_equal(atomic_load(&h.heard), 3);
    assert_int_equal(req_info(bus).in_flight, 0);
    assert_int_equal(req_info(bus).requests, 1);
}

static void test_many_hears_enough(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    const struct tidings_event event = req_event("req.many");
    struct tidings_many_options o = {.timeout_ms = 4 * CONF_MS, .count = 2};
    static struct instances i;
    struct hearer h = {0};
    struct numbered r = {&h, 0};
    int64_t start = td_proc_now_ms();
    uint64_t answers = 0;

    serve_many(c, &i, 1);
    assert_ok(tidings_request_many(&answers, bus, &event, &o, req_heard, &r));
    assert_int_equal(answers, 2);
    o.count = 0;
    o.quiet_ms = 300; /* the machine may be busy */
    assert_ok(tidings_request_many(&answers, bus, &event, &o, req_heard, &r));
    assert_int_equal(answers, 2);
    assert_true(td_proc_now_ms() - start < 2 * CONF_MS);
    assert_int_equal(req_info(bus).in_flight, 0);
}

static void test_many_stops_at_its_deadline(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    const struct tidings_event event = req_event("req.many");
    const struct tidings_many_options o = {.timeout_ms = 400};
    static struct instances i;
    struct hearer h = {0};
    struct numbered r = {&h, 0};
    uint64_t answers = 0;

    serve_many(c, &i, 1);
    assert_err(tidings_request_many(&answers, bus, &event, &o, req_heard, &r),
               TIDINGS_ETIMEDOUT);
    assert_int_equal(answers, 2);
    assert_int_equal(atomic_load(&h.codes[TIDINGS_OK]), 2);
}

static void test_many_of_nobody_is_no_answer(void **state)
{
    tidings_bus *bus = conf_open(*state, NULL);
    const struct tidings_event event = req_event("req.nobody");
    struct hearer h = {0};
    struct numbered r = {&h, 0};
    uint64_t answers = 7;

    assert_err(tidings_request_many(&answers, bus, &event, NULL, req_heard, &r),
               TIDINGS_ENORESPONDER);
    assert_int_equal(answers, 0);
    assert_int_equal(atomic_load(&h.heard), 0);
    assert_err(tidings_request_many(NULL, bus, &event, NULL, NULL, NULL),
               TIDINGS_EINVAL);
}

static void close_it(void *arg, const struct tidings_reply *reply)
{
    tidings_bus *const *bus = arg;

    (void)reply;
    if (tidings_close(*bus) != TIDINGS_EDEADLK)
        abort();
}

static void test_many_callbacks_cannot_close(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    const struct tidings_event event = req_event("req.many");
    static struct instances i;

    serve_many(c, &i, 0);
    assert_ok(tidings_request_many(NULL, bus, &event, NULL, close_it, &bus));
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, conf_setup, req_teardown)

int conf_run_request_async(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_async_hears_each_once_and_in_order),
        TEST(test_async_hears_why_there_is_no_answer),
        TEST(test_async_is_closed_with_its_bus),
        TEST(test_async_callbacks_may_ask),
        TEST(test_async_is_heard_in_the_callers_loop),
        TEST(test_many_hears_all),
        TEST(test_many_hears_enough),
        TEST(test_many_stops_at_its_deadline),
        TEST(test_many_of_nobody_is_no_answer),
        TEST(test_many_callbacks_cannot_close),
    };

    return cmocka_run_group_tests_name("request_async", tests, NULL, NULL);
}
