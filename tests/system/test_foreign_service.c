/* Services and requests of another language, written from PROTOCOL.md alone,
 * with the library's both ways. */
#include "tests/system/system.h"

#include <stdlib.h>

#include "tests/system/python.h"

struct fixture {
    struct td_daemon broker;
    struct sys_peer peer;
    struct td_proc python;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (!f)
        return -1;
    sys_broker_start(&f->broker, NULL);
    sys_peer_open(&f->peer, f->broker.endpoint[0], "native");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    td_proc_end(&f->python);
    sys_peer_close(&f->peer);
    td_daemon_end(&f->broker);
    free(f);
    return 0;
}

/* The number that is its data, and one more; 0 is an error. */
static tidings_err add_one(void *arg, tidings_task *task,
                           const struct tidings_event *request)
{
    struct tidings_value value;
    uint64_t n = 0;
    unsigned char answer;

    (void)arg;
    if (tidings_value_read(&value, request->data, request->data_len) ||
        tidings_as_uint(&n, value) || n == 0 || n > 100)
        return tidings_answer_error(task, 422, "no such number", "\xc0", 1);
    answer = (unsigned char)(n + 1); /* a positive fixint */
    return tidings_answer(task, &answer, 1);
}

static void serve(struct fixture *f)
{
    const struct tidings_endpoint endpoint = {.type = "number.*",
                                              .handler = add_one};
    const struct tidings_service_options options = {.name = "numbers",
                                                    .version = "1.0.0",
                                                    .endpoints = &endpoint,
                                                    .endpoints_len = 1};
    tidings_service *service;

    assert_ok(tidings_serve(&service, f->peer.bus, &options));
}

static void expect(struct fixture *f, const char *const *args,
                   const char *beginning)
{
    python_start(&f->python, "foreign_service.py", args);
    sys_expect(&f->python, beginning);
    assert_true(td_proc_wait(&f->python, SYS_WAIT_MS));
    assert_int_equal(td_proc_exit_code(&f->python), 0);
    td_proc_end(&f->python);
}

static void test_foreign_asks_a_c_service(void **state)
{
    struct fixture *f = *state;
    const char *url = f->broker.endpoint[0];
    const char *answered[] = {url, "request", "number.next", "41", NULL};
    const char *refused[] = {url, "request", "number.next", "0", NULL};
    const char *many[] = {url, "many", "number.next", "7", NULL};
    const char *nobody[] = {url, "request", "letter.next", "7", NULL};
    const char *ping[] = {url, "many", "$service.ping", "0", NULL};

    serve(f);
    expect(f, answered, "[0, 0, \"\", 42, \"");
    expect(f, refused, "[25, 422, \"no such number\", null, \"");
    expect(f, many, "[0, 0, \"\", 8, \"");
    expect(f, nobody, "[24, 0, ");
    expect(f, ping,
           "[0, 0, \"\", {\"service\": \"numbers\", \"state\": 2, "
           "\"text\": \"\", \"breakers\": []}, \"");
}

static void test_foreign_answers_a_c_caller(void **state)
{
    struct fixture *f = *state;
    const char *args[] = {f->broker.endpoint[0],
                          "serve",
                          "echo",
                          "2.0.0",
                          "echo.>",
                          "id=e-1",
                          NULL};
    struct tidings_reply reply;
    struct tidings_instances *list;

    python_start(&f->python, "foreign_service.py", args);
    sys_expect(&f->python, "ready e-1");
    for (unsigned char n = 1; n <= 100; n++) {
        assert_ok(tidings_request(&reply, f->peer.bus, "echo.a.b", &n, 1,
                                  SYS_WAIT_MS));
        assert_int_equal(reply.len, 1);
        assert_int_equal(*(const unsigned char *)reply.data, n);
        assert_string_equal(reply.instance, "e-1");
        tidings_reply_fini(&reply);
    }
    /* {"status": 404} */
    assert_err(tidings_request(&reply, f->peer.bus, "echo.c",
                               "\x81\xa6status\xcd\x01\x94", 11, SYS_WAIT_MS),
               TIDINGS_EREMOTE);
    assert_int_equal(reply.status, 404);
    assert_string_equal(reply.text, "as you wished");
    assert_int_equal(reply.len, 11);
    tidings_reply_fini(&reply);
    assert_ok(tidings_discover(&list, f->peer.bus, "echo", SYS_WAIT_MS));
    assert_int_equal(list->len, 1);
    assert_string_equal(list->list[0].version, "2.0.0");
    assert_string_equal(list->list[0].types[0], "echo.>");
    tidings_instances_free(list);

    td_proc_end(&f->python); /* killed: it is found out when it is asked */
    assert_err(
        tidings_request(&reply, f->peer.bus, "echo.c", "\x01", 1, SYS_WAIT_MS),
        TIDINGS_ELOST);
    tidings_reply_fini(&reply);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_foreign_asks_a_c_service),
        TEST(test_foreign_answers_a_c_caller),
    };

    if (!python_is_there())
        return PYTHON_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
