/* Deadlines, breakers and retries around requests: what a handler has left is
 * what its own requests get, and what fails is left alone. */
#include "tests/conformance/conformance.h"

#include <stdlib.h>

#include "tidings/data.h"
#include "tidings/resilience.h"
#include "tidings/service.h"

#define LONG_MS 80000 /* what a request asks for, and does not get */

static struct {
    atomic_uint calls;
    atomic_int left_ms; /* of the back's task, of its thread, of the front's */
    atomic_int back_ms;
    atomic_int front_ms;
    atomic_int err;   /* of the front's request */
    atomic_bool gone; /* who asked for what comes late */
} seen;

static tidings_service *serve(tidings_bus *bus, const char *name,
                              const char *type, tidings_task_handler handler,
                              void *arg)
{
    const struct tidings_endpoint e = {
        .type = type, .handler = handler, .arg = arg};
    const struct tidings_service_options o = {
        .name = name, .version = "1.0.0", .endpoints = &e, .endpoints_len = 1};
    tidings_service *s = NULL;

    assert_ok(tidings_serve(&s, bus, &o));
    return s;
}

static tidings_err ask(tidings_bus *bus, const char *type, int timeout_ms)
{
    struct tidings_reply reply;
    tidings_err err = tidings_request(&reply, bus, type, NULL, 0, timeout_ms);

    if (err == TIDINGS_EREMOTE && reply.status >= 500)
        err = TIDINGS_EHANDLER; /* for a breaker this is a failure */
    tidings_reply_fini(&reply);
    return err;
}

/* ---- deadlines ---- */

static tidings_err back(void *arg, tidings_task *task,
                        const struct tidings_event *request)
{
    (void)arg;
    (void)request;
    atomic_store(&seen.left_ms, tidings_task_left_ms(task));
    atomic_store(&seen.back_ms, tidings_deadline_left_ms());
    return tidings_answer(task, NULL, 0);
}

static tidings_err front(void *arg, tidings_task *task,
                         const struct tidings_event *request)
{
    (void)request;
    atomic_store(&seen.front_ms, tidings_deadline_left_ms());
    atomic_store(&seen.err, ask(arg, "back.get", LONG_MS));
    return tidings_answer(task, NULL, 0);
}

static void test_a_handlers_requests_have_what_it_has_left(void **state)
{
    tidings_bus *caller = conf_open(*state, NULL);
    tidings_bus *middle = conf_open(*state, NULL);
    tidings_bus *last = conf_open(*state, NULL);

    serve(middle, "front", "front.get", front, middle);
    serve(last, "back", "back.get", back, NULL);
    assert_ok(ask(caller, "front.get", CONF_MS));

    assert_ok((tidings_err)atomic_load(&seen.err));
    assert_true(seen.front_ms > 0 && seen.front_ms <= CONF_MS);
    assert_true(seen.left_ms > 0 && seen.left_ms <= seen.front_ms);
    assert_true(seen.back_ms > 0 && seen.back_ms <= seen.front_ms);
    assert_int_equal(tidings_deadline_left_ms(), TIDINGS_TIMEOUT_MAX_MS);
}

struct twice {
    tidings_bus *bus;
    tidings_err second;
};

/* Nobody answers in time; and then there is no time for another. */
static tidings_err ask_twice(void *arg)
{
    struct twice *t = arg;
    tidings_err err = ask(t->bus, "late.get", LONG_MS);

    atomic_store(&seen.gone, true);
    while (tidings_deadline_left_ms() > 0)
        conf_pause_us(100);
    t->second = ask(t->bus, "late.get", LONG_MS);
    return err;
}

/* It answers when the one who asked has gone. */
static tidings_err late(void *arg, tidings_task *task,
                        const struct tidings_event *request)
{
    int64_t end = td_proc_now_ms() + CONF_MS;

    (void)arg;
    (void)request;
    atomic_fetch_add(&seen.calls, 1);
    while (!atomic_load(&seen.gone) && td_proc_now_ms() < end)
        conf_pause_us(100);
    tidings_answer(task, NULL, 0);
    return TIDINGS_OK;
}

static void test_requests_end_with_the_deadline_of_their_thread(void **state)
{
    tidings_bus *bus = conf_open(*state, NULL);
    struct twice t = {.bus = bus};
    int64_t start_ms = td_proc_now_ms();

    serve(conf_open(*state, NULL), "late", "late.get", late, NULL);
    assert_err(tidings_with_deadline(50, ask_twice, &t), TIDINGS_ETIMEDOUT);
    assert_err(t.second, TIDINGS_ETIMEDOUT);
    assert_true(td_proc_now_ms() - start_ms < LONG_MS / 2);
    assert_true(atomic_load(&seen.calls) <= 1); /* the second was not sent */
}

/* ---- breakers and retries ---- */

static tidings_err take_money(void *arg, tidings_task *task,
                              const struct tidings_event *request)
{
    (void)request;
    atomic_fetch_add(&seen.calls, 1);
    if (atomic_load((atomic_bool *)arg))
        return tidings_answer_error(task, 500, "no database", NULL, 0);
    return tidings_answer(task, NULL, 0);
}

static tidings_err pay(void *bus)
{
    return ask(bus, "pay", CONF_MS);
}

struct guarded {
    tidings_breaker *breaker;
    tidings_bus *bus;
};

static tidings_err pay_guarded(void *arg)
{
    const struct guarded *g = arg;

    return tidings_breaker_call(g->breaker, pay, g->bus);
}

static void until_a_probe_may_go(tidings_breaker *b)
{
    struct tidings_breaker_info info;

    do {
        conf_pause_us(1000);
        assert_ok(tidings_breaker_info(&info, b));
    } while (info.left_ms > 0);
}

static tidings_breaker *breaker_of(tidings_bus *bus, int failures,
                                   int recovery_ms)
{
    const struct tidings_breaker_options options = {
        .bounds = {.failures = failures, .recovery_ms = recovery_ms},
        .successes = 1};
    tidings_breaker *b = NULL;

    assert_ok(tidings_breaker_new(&b, &options));
    assert_ok(tidings_breaker_attach(b, bus));
    return b;
}

static void test_a_breaker_keeps_requests_from_what_fails(void **state)
{
    const struct tidings_retry_options quick = {.tries = 3, .backoff_ms = 1};
    tidings_bus *bus = conf_open(*state, NULL);
    struct tally *events = conf_subscribe(*state, bus, "breaker.*");
    struct guarded g = {.bus = bus, .breaker = breaker_of(bus, 3, LONG_MS)};
    atomic_bool down = true;
    tidings_retry *retry;

    serve(conf_open(*state, NULL), "pay", "pay", take_money, &down);
    assert_ok(tidings_retry_new(&retry, &quick));
    assert_err(tidings_retry_run(retry, pay_guarded, &g, CONF_MS),
               TIDINGS_EHANDLER);
    assert_int_equal(atomic_load(&seen.calls), 3);
    assert_err(tidings_retry_run(retry, pay_guarded, &g, CONF_MS),
               TIDINGS_EBREAKER);
    assert_int_equal(atomic_load(&seen.calls), 3);
    assert_true(tally_wait(events, 1, CONF_MS));
    assert_string_equal(tally_now(events).type, "breaker.opened");
    tidings_retry_free(retry);
    tidings_breaker_free(g.breaker);
}

static void test_a_breaker_closes_when_requests_are_answered_again(void **state)
{
    tidings_bus *bus = conf_open(*state, NULL);
    struct tally *events = conf_subscribe(*state, bus, "breaker.*");
    struct guarded g = {.bus = bus, .breaker = breaker_of(bus, 1, 5)};
    atomic_bool down = true;

    serve(conf_open(*state, NULL), "pay", "pay", take_money, &down);
    assert_err(pay_guarded(&g), TIDINGS_EHANDLER);
    atomic_store(&down, false);
    until_a_probe_may_go(g.breaker);
    assert_ok(pay_guarded(&g));
    assert_ok(pay_guarded(&g));
    assert_int_equal(atomic_load(&seen.calls), 3);
    assert_true(tally_wait(events, 3, CONF_MS));
    assert_string_equal(tally_now(events).type, "breaker.closed");
    tidings_breaker_free(g.breaker);
}

/* ---- what a ping is told of them ---- */

struct told {
    size_t n; /* breakers, of all instances */
    char name[64];
    char state[16];
    uint64_t failures;
    uint64_t refused;
};

static void on_pong(void *arg, const struct tidings_reply *reply)
{
    struct told *t = arg;
    struct tidings_value map;
    struct tidings_value list;
    struct tidings_value row;

    assert_ok(reply->err);
    assert_ok(tidings_value_read(&map, reply->data, reply->len));
    assert_ok(tidings_get(&list, map, "breakers"));
    t->n += tidings_value_count(list);
    if (tidings_at(&row, list, 0))
        return;
    assert_ok(tidings_get_string(t->name, sizeof(t->name), row, "name"));
    assert_ok(tidings_get_string(t->state, sizeof(t->state), row, "breaker"));
    assert_ok(tidings_get_uint(&t->failures, row, "failures"));
    assert_ok(tidings_get_uint(&t->refused, row, "refused"));
}

static struct told ping(tidings_bus *caller)
{
    const struct tidings_event event = {.type = "$service.ping"};
    const struct tidings_many_options o = {.timeout_ms = CONF_MS};
    struct told told = {0};

    assert_ok(tidings_request_many(NULL, caller, &event, &o, on_pong, &told));
    return told;
}

static void test_a_ping_is_told_of_the_breakers_of_its_bus(void **state)
{
    const struct tidings_breaker_options options = {.name = "bank",
                                                    .bounds.failures = 1};
    tidings_bus *caller = conf_open(*state, NULL);
    tidings_bus *bus = conf_open(*state, NULL);
    tidings_breaker *bank = NULL;
    tidings_breaker *other = NULL;
    struct told told;
    uint64_t ticket;

    serve(bus, "back", "back.get", back, NULL);
    assert_ok(tidings_breaker_new(&bank, &options));
    assert_ok(tidings_breaker_new(&other, NULL));
    assert_int_equal(ping(caller).n, 0);
    assert_ok(tidings_breaker_attach(bank, bus));
    assert_ok(tidings_breaker_attach(other, caller)); /* it serves nothing */
    assert_ok(tidings_breaker_allow(bank, &ticket));
    tidings_breaker_done(bank, ticket, TIDINGS_EIO);
    assert_err(tidings_breaker_allow(bank, &ticket), TIDINGS_EBREAKER);

    told = ping(caller);
    assert_int_equal(told.n, 1);
    assert_string_equal(told.name, "bank");
    assert_string_equal(told.state, "open");
    assert_int_equal(told.failures, 1);
    assert_int_equal(told.refused, 1);
    assert_ok(tidings_breaker_attach(other, bus));
    assert_int_equal(ping(caller).n, 2);
    tidings_breaker_free(bank);
    assert_int_equal(ping(caller).n, 1);
    assert_ok(tidings_breaker_attach(other, NULL));
    assert_int_equal(ping(caller).n, 0);
    tidings_breaker_free(other);
}

static void test_a_ping_is_told_of_64_breakers_at_most(void **state)
{
    tidings_bus *bus = conf_open(*state, NULL);
    tidings_breaker *breakers[65];

    serve(bus, "back", "back.get", back, NULL);
    for (unsigned i = 0; i < 65; i++) {
        assert_ok(tidings_breaker_new(&breakers[i], NULL));
        assert_ok(tidings_breaker_attach(breakers[i], bus));
    }
    assert_int_equal(ping(bus).n, 64);
    for (unsigned i = 0; i < 65; i++)
        tidings_breaker_free(breakers[i]);
    assert_int_equal(ping(bus).n, 0);
}

static int setup(void **state)
{
    atomic_store(&seen.calls, 0);
    atomic_store(&seen.gone, false);
    return conf_setup(state);
}

#define RESILIENCE_TEST(test)                                                  \
    cmocka_unit_test_setup_teardown(test, setup, conf_teardown)

int conf_run_resilience(void)
{
    const struct CMUnitTest tests[] = {
        RESILIENCE_TEST(test_a_handlers_requests_have_what_it_has_left),
        RESILIENCE_TEST(test_requests_end_with_the_deadline_of_their_thread),
        RESILIENCE_TEST(test_a_breaker_keeps_requests_from_what_fails),
        RESILIENCE_TEST(test_a_breaker_closes_when_requests_are_answered_again),
        RESILIENCE_TEST(test_a_ping_is_told_of_the_breakers_of_its_bus),
        RESILIENCE_TEST(test_a_ping_is_told_of_64_breakers_at_most),
    };

    return cmocka_run_group_tests_name("resilience", tests, NULL, NULL);
}
