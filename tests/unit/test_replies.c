/* Answers that wait for their callbacks: what a bus keeps of them has a bound. */
#include "tests/support/td_test.h"

#include <stdlib.h>
#include <time.h>

#include "proto/limits.h"
#include "tidings/service.h"

#define URL     "inproc://replies"
#define LONG_MS 30000
#define ASKED   40u

struct heard {
    unsigned good;
    unsigned full;
    unsigned silent; /* of those: without words */
    unsigned other;
};

static tidings_err echo(void *arg, tidings_task *task,
                        const struct tidings_event *request)
{
    (void)arg;
    return tidings_answer(task, request->data, request->data_len);
}

static void hear(void *arg, const struct tidings_reply *reply)
{
    struct heard *h = arg;

    if (reply->err == TIDINGS_OK && reply->len == TIDINGS_DATA_MAX) {
        h->good++;
    } else if (reply->err == TIDINGS_ELOST && reply->len == 0) {
        h->full++;
        h->silent += !*reply->text;
    } else {
        h->other++;
    }
}

static void serve(tidings_bus *bus)
{
    static const struct tidings_endpoint endpoint = {.type = "a.b",
                                                     .handler = echo};
    const struct tidings_service_options o = {.name = "replies",
                                              .version = "1.0.0",
                                              .endpoints = &endpoint,
                                              .endpoints_len = 1};

    assert_ok(tidings_serve(NULL, bus, &o));
}

/* Until no more than so many are out. */
static void wait_out(tidings_bus *bus, uint64_t max)
{
    const struct timespec pause = {.tv_nsec = 200000};
    time_t end = time(NULL) + LONG_MS / 1000;
    struct tidings_request_info info;

    do {
        nanosleep(&pause, NULL);
        assert_ok(tidings_request_info(&info, bus));
    } while (info.in_flight > max && time(NULL) < end);
    assert_true(info.in_flight <= max);
}

static tidings_err ask(tidings_bus *bus, const void *data, struct heard *h)
{
    const struct tidings_event event = {
        .type = "a.b", .data = data, .data_len = TIDINGS_DATA_MAX};
    const struct tidings_request_options o = {.timeout_ms = LONG_MS};
    tidings_err err = tidings_request_async(bus, &event, &o, hear, h);

    wait_out(bus, 3);
    return err;
}

static void test_replies_not_heard_have_a_bound(void **state)
{
    const struct tidings_options own_loop = {.own_loop = true};
    struct tidings_request_info info;
    struct heard h = {0};
    tidings_bus *there;
    tidings_bus *bus;
    tidings_err err = TIDINGS_OK;
    unsigned asked = 0;
    size_t n;
    char *data = calloc(1, TIDINGS_DATA_MAX);

    (void)state;
    assert_non_null(data);
    assert_ok(tidings_open(&there, URL, NULL));
    serve(there);
    assert_ok(tidings_open(&bus, URL, &own_loop));
    while (asked < ASKED && !(err = ask(bus, data, &h)))
        asked++;
    assert_int_equal(err, TIDINGS_EFULL);
    assert_true(strstr(tidings_detail(), "on_reply") != NULL);
    wait_out(bus, 0);
    assert_ok(tidings_dispatch(&n, bus, ASKED));
    assert_int_equal(n, asked);
    assert_true(h.good >= 24 && h.good <= 32);
    assert_int_equal(h.good + h.full, asked);
    assert_int_equal(h.silent, 0);

    assert_ok(ask(bus, data, &h)); /* there is room again */
    wait_out(bus, 0);
    assert_ok(tidings_dispatch(&n, bus, ASKED));
    assert_int_equal(h.good + h.full, asked + 1);
    assert_int_equal(h.other, 0);
    assert_ok(tidings_request_info(&info, bus));
    assert_int_equal(info.lost, h.full);
    assert_ok(tidings_close(bus));
    assert_ok(tidings_close(there));
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replies_not_heard_have_a_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
