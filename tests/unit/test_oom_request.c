/* Requests without memory: whichever allocation fails, of the caller, of the
 * broker or of whoever answers, each request has one answer, and with memory
 * again the same buses go on. */
#include "tests/support/td_test.h"

#include <stdatomic.h>
#include <time.h>

#include "tests/support/alloc.h"
#include "tidings/service.h"

#define N_MAX   400
#define SOON_MS 15    /* for requests that may fail */
#define LONG_MS 30000 /* for those that may not */

struct world {
    tidings_bus *bus;
    tidings_bus *there;
    unsigned asked;      /* without waiting */
    atomic_uint replied; /* to those */
    unsigned many;
};

static tidings_err echo(void *arg, tidings_task *task,
                        const struct tidings_event *request)
{
    (void)arg;
    return tidings_answer(task, request->data, request->data_len);
}

static void on_reply(void *arg, const struct tidings_reply *reply)
{
    (void)reply;
    atomic_fetch_add((atomic_uint *)arg, 1);
}

static void on_many(void *arg, const struct tidings_reply *reply)
{
    struct world *w = arg;

    (void)reply;
    w->many++;
}

static void begin(struct world *w)
{
    static const struct tidings_endpoint endpoint = {.type = "a.b",
                                                     .handler = echo};
    const struct tidings_service_options o = {.name = "oom",
                                              .version = "1.0.0",
                                              .endpoints = &endpoint,
                                              .endpoints_len = 1};
    tidings_service *service;

    memset(w, 0, sizeof(*w));
    assert_ok(tidings_open(&w->there, "inproc://oom-request", NULL));
    assert_ok(tidings_serve(&service, w->there, &o));
    assert_ok(tidings_open(&w->bus, "inproc://oom-request", NULL));
    assert_ok(tidings_wait(w->bus, LONG_MS));
}

static void end(struct world *w)
{
    assert_ok(tidings_close(w->bus));
    assert_ok(tidings_close(w->there));
    assert_int_equal(atomic_load(&w->replied), w->asked);
}

static const struct tidings_attr key = {
    .name = "partitionkey", .kind = TIDINGS_ATTR_STRING, .string = "a key"};

static struct tidings_event event_of(const void *data, size_t len)
{
    return (struct tidings_event){.type = "a.b",
                                  .data = data,
                                  .data_len = len,
                                  .attrs = &key,
                                  .attrs_len = 1};
}

/* Which each of them says itself, in any case. */
static void starve(struct world *w)
{
    static const char data[1000];
    const struct tidings_event event = event_of(data, sizeof(data));
    const struct tidings_request_options o = {.timeout_ms = SOON_MS,
                                              .idempotent = true};
    const struct tidings_many_options many = {.timeout_ms = SOON_MS};
    struct tidings_reply reply;
    tidings_err err = tidings_request_event(&reply, w->bus, &event, &o);

    assert_int_equal(reply.err, err);
    assert_non_null(reply.text);
    assert_true(!err || *reply.text);
    assert_non_null(reply.instance);
    tidings_reply_fini(&reply);
    tidings_set_detail("");
    err = tidings_request_async(w->bus, &event, &o, on_reply, &w->replied);
    assert_true(!err || *tidings_detail());
    w->asked += !err;
    tidings_set_detail("");
    err = tidings_request_many(NULL, w->bus, &event, &many, on_many, w);
    assert_true(!err || *tidings_detail());
}

/* An instance whose link was lost for want of memory is soon there again. */
static void ask_well(struct world *w)
{
    const struct tidings_event event = event_of("1234567", 8);
    const struct timespec pause = {.tv_nsec = 2000000};
    time_t end = time(NULL) + LONG_MS / 1000;
    struct tidings_reply reply;
    tidings_err err;

    do {
        err = tidings_request_event(&reply, w->bus, &event, NULL);
        if (!err)
            assert_memory_equal(reply.data, "1234567", 8);
        tidings_reply_fini(&reply);
        if (err)
            nanosleep(&pause, NULL);
    } while (err && time(NULL) < end);
    assert_ok(err);
}

/* Each time from the beginning: a bus that is thrown out again and again comes
 * back later and later. */
static void run(enum td_alloc_way way)
{
    bool failed = true;
    struct world w;

    for (size_t n = 1; failed && n < N_MAX; n++) {
        begin(&w);
        td_alloc_arm_all(way, n);
        starve(&w);
        failed = td_alloc_failed_anywhere();
        td_alloc_stop();
        ask_well(&w);
        end(&w);
    }
    assert_false(failed);
}

static void test_requests_have_an_answer_when_one_allocation_fails(void **state)
{
    (void)state;
    run(TD_ALLOC_ONE);
}

static void test_requests_have_an_answer_when_no_memory_is_left(void **state)
{
    (void)state;
    run(TD_ALLOC_REST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_requests_have_an_answer_when_one_allocation_fails),
        cmocka_unit_test(test_requests_have_an_answer_when_no_memory_is_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
