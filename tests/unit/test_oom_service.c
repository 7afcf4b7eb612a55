/* Services in one process with their broker and without memory: the n-th
 * allocation of all threads fails. Calls say what they could not do, no answer
 * is made up, and with memory again the service answers. */
#include "tests/support/td_test.h"

#include <time.h>

#include "tests/support/alloc.h"
#include "tidings/tidings.h"

#define N_MAX   3000
#define SOON_MS 25    /* for calls that may fail */
#define LONG_MS 30000 /* for those that may not */

static tidings_err echo(void *arg, tidings_task *task,
                        const struct tidings_event *request)
{
    (void)arg;
    return tidings_answer(task, request->data, request->data_len);
}

static tidings_err serve(tidings_service **out, tidings_bus *bus,
                         int timeout_ms)
{
    static const struct tidings_pair pair = {"zone", "b"};
    const struct tidings_endpoint e = {.type = "echo", .handler = echo};
    const struct tidings_service_options o = {.name = "echo",
                                              .version = "1.0.0",
                                              .metadata = &pair,
                                              .metadata_len = 1,
                                              .endpoints = &e,
                                              .endpoints_len = 1,
                                              .workers = 1,
                                              .timeout_ms = timeout_ms};

    return tidings_serve(out, bus, &o);
}

static tidings_err ask(tidings_bus *bus, int timeout_ms)
{
    struct tidings_reply reply = {0};
    tidings_err err = tidings_request(&reply, bus, "echo", "hi", 2, timeout_ms);

    if (!err) {
        assert_int_equal(reply.len, 2);
        assert_memory_equal(reply.data, "hi", 2);
    }
    tidings_reply_fini(&reply);
    return err;
}

static tidings_err find(tidings_bus *bus, int timeout_ms)
{
    struct tidings_instances *list = NULL;
    tidings_err err = tidings_discover(&list, bus, "echo", timeout_ms);

    tidings_instances_free(list);
    return err;
}

static bool until(tidings_bus *bus, tidings_err (*call)(tidings_bus *, int))
{
    const struct timespec pause = {0, 1000000};
    tidings_err err = TIDINGS_EIO;

    for (unsigned i = 0; err && i < 1000; i++) {
        err = call(bus, LONG_MS);
        if (err)
            nanosleep(&pause, NULL);
    }
    return !err;
}

/* False: the n-th was never asked for. */
static bool fail_one(enum td_alloc_way way, size_t n)
{
    tidings_service *s = NULL;
    tidings_bus *bus = NULL;
    tidings_err err;
    bool failed;

    assert_ok(tidings_open(&bus, "inproc://oom", NULL));
    assert_ok(tidings_wait(bus, LONG_MS));
    td_alloc_arm_all(way, n);
    err = serve(&s, bus, SOON_MS);
    ask(bus, SOON_MS);
    find(bus, SOON_MS);
    failed = td_alloc_failed_anywhere();
    td_alloc_stop();

    if (err)
        assert_ok(serve(&s, bus, LONG_MS));
    assert_true(until(bus, ask));
    assert_true(until(bus, find));
    assert_ok(tidings_service_stop(s, LONG_MS));
    assert_ok(tidings_close(bus));
    return failed;
}

static void test_oom_service_answers_when_there_is_memory_again(void **state)
{
    (void)state;
    for (size_t n = 1; n < N_MAX && fail_one(TD_ALLOC_ONE, n); n++)
        continue;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_oom_service_answers_when_there_is_memory_again),
    };

    return cmocka_run_group_tests_name("oom_service", tests, NULL, NULL);
}
