/* Changes of a breaker as events on a bus: what they hold, their order, and
 * that nothing waits for them. */
#include "tests/support/td_test.h"

#include "client/bus.h"
#include "tidings/tidings.h"

#define WAIT_MS 20000

struct seen {
    unsigned n;
    char types[8][64];
    char names[8][16];
    char states[8][16];
    uint64_t failures[8];
    int64_t open_ms[8];
};

/* It runs on the bus's thread, and is looked at when the bus has come to
 * rest. */
static tidings_err on_event(void *arg, const struct tidings_event *event)
{
    struct seen *s = arg;
    struct tidings_value map;
    tidings_err err = tidings_value_read(&map, event->data, event->data_len);
    unsigned n = s->n++;

    if (n >= 8)
        return TIDINGS_ELIMIT;
    snprintf(s->types[n], sizeof(s->types[n]), "%s", event->type);
    if (!err)
        err = tidings_get_string(s->names[n], 16, map, "name");
    if (!err)
        err = tidings_get_string(s->states[n], 16, map, "breaker");
    if (!err)
        err = tidings_get_uint(&s->failures[n], map, "failures");
    if (!err)
        err = tidings_get_int(&s->open_ms[n], map, "open_ms");
    return err;
}

static tidings_breaker *breaker_of(int recovery_ms)
{
    struct tidings_breaker_options options = {
        .name = "mail",
        .bounds = {.failures = 2, .recovery_ms = recovery_ms},
        .successes = 1};
    tidings_breaker *b = NULL;

    assert_ok(tidings_breaker_new(&b, &options));
    return b;
}

static void result(tidings_breaker *b, tidings_err err)
{
    uint64_t ticket;

    assert_ok(tidings_breaker_allow(b, &ticket));
    tidings_breaker_done(b, ticket, err);
}

static uint64_t untold(tidings_breaker *b)
{
    struct tidings_breaker_info info;

    assert_ok(tidings_breaker_info(&info, b));
    return info.untold;
}

static void until_a_probe_may_go(tidings_breaker *b)
{
    struct tidings_breaker_info info;

    do {
        td_sleep_until_us(td_now_us() + 1000);
        assert_ok(tidings_breaker_info(&info, b));
    } while (info.left_ms > 0);
}

static void test_breaker_publishes_its_changes(void **state)
{
    tidings_breaker *b = breaker_of(10);
    struct seen seen = {0};
    tidings_bus *bus;
    (void)state;

    assert_ok(tidings_open(&bus, "inproc://breakers", NULL));
    assert_ok(tidings_subscribe(NULL, bus, "breaker.*", on_event, &seen, NULL));
    assert_ok(tidings_breaker_attach(b, bus));
    result(b, TIDINGS_EIO);
    result(b, TIDINGS_EIO);
    until_a_probe_may_go(b);
    result(b, TIDINGS_OK);
    assert_ok(tidings_breaker_attach(b, NULL));
    result(b, TIDINGS_EIO);
    result(b, TIDINGS_EIO); /* this one is nobody's */
    assert_ok(tidings_drain(bus, WAIT_MS));

    assert_int_equal(seen.n, 3);
    assert_string_equal(seen.types[0], "breaker.opened");
    assert_string_equal(seen.types[1], "breaker.half_opened");
    assert_string_equal(seen.types[2], "breaker.closed");
    assert_string_equal(seen.states[0], "open");
    assert_string_equal(seen.states[1], "half_open");
    assert_string_equal(seen.states[2], "closed");
    for (unsigned i = 0; i < 3; i++)
        assert_string_equal(seen.names[i], "mail");
    assert_int_equal(seen.failures[0], 2);
    assert_int_equal(seen.failures[2], 0);
    assert_int_equal(seen.open_ms[0], 10);
    assert_true(seen.open_ms[1] >= 10);
    assert_true(seen.open_ms[2] >= seen.open_ms[1]);
    assert_int_equal(untold(b), 0);
    assert_ok(tidings_close(bus));
    tidings_breaker_free(b);
}

static void test_breaker_never_waits_for_a_bus_that_is_full(void **state)
{
    const struct tidings_options options = {.unconfirmed_events = 10,
                                            .publish_timeout_ms = WAIT_MS,
                                            .close_timeout_ms = -1};
    tidings_breaker *b = breaker_of(1);
    tidings_bus *bus;
    int64_t start_ms;
    (void)state;

    assert_ok(tidings_open(&bus, "tcp://127.0.0.1:1", &options));
    for (unsigned i = 0; i < 10; i++)
        assert_ok(tidings_publish(bus, "filling", NULL, 0));
    assert_ok(tidings_breaker_attach(b, bus));
    start_ms = td_now_ms();
    result(b, TIDINGS_EIO);
    result(b, TIDINGS_EIO);
    assert_true(td_now_ms() - start_ms < WAIT_MS / 2);
    assert_int_equal(untold(b), 1);

    /* Nor for one that is closed. */
    assert_err(tidings_close(bus), TIDINGS_ETIMEDOUT);
    until_a_probe_may_go(b);
    result(b, TIDINGS_OK);
    assert_int_equal(untold(b), 3);
    tidings_breaker_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_breaker_publishes_its_changes),
        cmocka_unit_test(test_breaker_never_waits_for_a_bus_that_is_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
