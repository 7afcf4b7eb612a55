/* A client in another language, written from PROTOCOL.md alone, talks with
 * the library's both ways. */
#include "tests/system/system.h"

#include <inttypes.h>
#include <stdlib.h>

#include "tests/system/python.h"

#define SEEN_MAX 8

/* What the C handler saw, copied; the test reads it after a wait. */
struct seen {
    pthread_mutex_t mutex;
    size_t len;
    struct {
        char id[64], source[64], type[64], user[64];
        int64_t time_us, age;
    } events[SEEN_MAX];
};

struct fixture {
    struct td_daemon broker;
    struct sys_peer peer;
    struct td_proc python;
    struct seen seen;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (!f)
        return -1;
    pthread_mutex_init(&f->seen.mutex, NULL);
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
    pthread_mutex_destroy(&f->seen.mutex);
    free(f);
    return 0;
}

static tidings_err on_user(void *arg, const struct tidings_event *event)
{
    struct seen *s = arg;
    struct tidings_value map;
    tidings_err err = tidings_value_read(&map, event->data, event->data_len);

    pthread_mutex_lock(&s->mutex);
    if (!err && s->len < SEEN_MAX) {
        size_t i = s->len++;

        snprintf(s->events[i].id, 64, "%s", event->id);
        snprintf(s->events[i].source, 64, "%s", event->source);
        snprintf(s->events[i].type, 64, "%s", event->type);
        s->events[i].time_us = event->time_us;
        tidings_get_string(s->events[i].user, 64, map, "user");
        tidings_get_int(&s->events[i].age, map, "age");
    }
    pthread_mutex_unlock(&s->mutex);
    return err;
}

/* One of its JSON lines holds this text. */
static void assert_holds(const char *line, const char *text)
{
    if (!strstr(line, text))
        fail_msg("not in %s: %s", line, text);
}

static bool two_are_handled(const struct sys_counters *c, const void *arg)
{
    (void)arg;
    return c->delivered == 2;
}

static void test_foreign_publishes_to_a_c_handler(void **state)
{
    struct fixture *f = *state;
    const char *args[] = {f->broker.endpoint[0],
                          "pub",
                          "user.created",
                          "{\"user\": \"john_doe\", \"age\": 42}",
                          "{\"user\": \"jane\", \"age\": -1}",
                          NULL};
    struct seen *s = &f->seen;
    char ids[2][64];

    assert_ok(tidings_subscribe(NULL, f->peer.bus, "user.*", on_user, s, NULL));
    python_start(&f->python, "foreign_client.py", args);
    for (size_t i = 0; i < 2; i++) /* it prints the ids that it implied */
        snprintf(ids[i], sizeof(ids[i]), "%s", sys_expect(&f->python, ""));
    assert_true(td_proc_wait(&f->python, SYS_WAIT_MS));
    assert_int_equal(td_proc_exit_code(&f->python), 0);
    sys_counters_until(f->peer.bus, two_are_handled, NULL, SYS_WAIT_MS);

    pthread_mutex_lock(&s->mutex); /* nobody holds it: makes it visible here */
    pthread_mutex_unlock(&s->mutex);
    assert_int_equal(s->len, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_string_equal(s->events[i].id, ids[i]);
        assert_string_equal(s->events[i].source, "/foreign");
        assert_string_equal(s->events[i].type, "user.created");
        assert_true(s->events[i].time_us > 1600000000000000);
    }
    assert_string_equal(s->events[0].user, "john_doe");
    assert_int_equal(s->events[0].age, 42);
    assert_string_equal(s->events[1].user, "jane");
    assert_int_equal(s->events[1].age, -1);
}

static void publish_john(tidings_bus *bus)
{
    static const struct tidings_attr attrs[] = {
        {.name = "partitionkey", .string = "u1"},
        {.name = "tries", .kind = TIDINGS_ATTR_INTEGER, .integer = -7},
        {.name = "urgent", .kind = TIDINGS_ATTR_BOOLEAN, .boolean = true},
        {.name = "digest",
         .kind = TIDINGS_ATTR_BINARY,
         .binary = "\x01\xff",
         .binary_len = 2},
    };
    struct tidings_event event = {
        .type = "user.created",
        .id = "chosen-1",
        .source = "/elsewhere",
        .time_us = 1700000000123456,
        .subject = "john",
        .attrs = attrs,
        .attrs_len = TD_ARRAY_LEN(attrs),
    };
    tidings_writer *w = tidings_writer_new();

    tidings_put_map(w, 1);
    tidings_put_string(w, "user");
    tidings_put_string(w, "john_doe");
    assert_ok(tidings_writer_bytes(w, &event.data, &event.data_len));
    assert_ok(tidings_publish_event(bus, &event));
    assert_ok(tidings_publish(bus, "user.deleted", event.data, event.data_len));
    event = (struct tidings_event){
        .type = "user.note",
        .datacontenttype = "text/plain",
        .data = "hi",
        .data_len = 2,
    };
    assert_ok(tidings_publish_event(bus, &event));
    tidings_writer_free(w);
}

static void test_foreign_subscribes_to_a_c_publisher(void **state)
{
    struct fixture *f = *state;
    const char *args[] = {f->broker.endpoint[0], "sub", "user.>", "3", NULL};
    char line[TD_PROC_LINE_MAX];

    python_start(&f->python, "foreign_client.py", args);
    sys_expect(&f->python, "ready");
    publish_john(f->peer.bus);

    snprintf(line, sizeof(line), "%s", sys_expect(&f->python, "{"));
    assert_holds(line, "\"id\": \"chosen-1\"");
    assert_holds(line, "\"source\": \"/elsewhere\"");
    assert_holds(line, "\"type\": \"user.created\"");
    assert_holds(line, "\"time\": 1700000000123456");
    assert_holds(line, "\"data\": {\"user\": \"john_doe\"}");
    assert_holds(line, "\"subject\": \"john\"");
    assert_holds(line, "\"partitionkey\": \"u1\"");
    assert_holds(line, "\"tries\": -7");
    assert_holds(line, "\"urgent\": true");
    assert_holds(line, "\"digest\": \"01ff\"");
    snprintf(line, sizeof(line), "%s", sys_expect(&f->python, "{"));
    assert_holds(line, "\"type\": \"user.deleted\"");
    assert_holds(line, "-0000000000002\""); /* its sequence: ids are implied */
    assert_holds(line, "\"source\": \"/native\"");
    snprintf(line, sizeof(line), "%s", sys_expect(&f->python, "{"));
    assert_holds(line, "\"datacontenttype\": \"text/plain\"");
    assert_holds(line, "\"data\": \"6869\""); /* bytes are shown in hex */

    assert_true(td_proc_wait(&f->python, SYS_WAIT_MS));
    assert_int_equal(td_proc_exit_code(&f->python), 0);
}

/* A number each, as msgpack. */
static void publish_numbers(tidings_bus *bus, uint64_t first, uint64_t last)
{
    for (uint64_t n = first; n <= last; n++) {
        const unsigned char number[] = {0xcd, n >> 8 & 0xff, n & 0xff};

        assert_ok(tidings_publish(bus, "load.x", number, 3));
    }
}

static void test_foreign_keeps_up_within_its_credit(void **state)
{
    enum { EVENTS = 30000 }; /* several of its windows */
    struct fixture *f = *state;
    const char *args[] = {f->broker.endpoint[0], "sub", "load.>", "30000",
                          NULL};

    python_start(&f->python, "foreign_client.py", args);
    sys_expect(&f->python, "ready");
    publish_numbers(f->peer.bus, 1, EVENTS);
    for (int n = 1; n <= EVENTS; n++) {
        char data[32];

        snprintf(data, sizeof(data), "\"data\": %d}", n);
        assert_holds(sys_expect(&f->python, "{"), data);
    }
    assert_true(td_proc_wait(&f->python, SYS_WAIT_MS));
    assert_int_equal(td_proc_exit_code(&f->python), 0);
    sys_until_gone(f->peer.bus, "load.>"); /* it said BYE */
    assert_int_equal(sys_counters(f->peer.bus).delivered, EVENTS);
}

static tidings_err count_one(void *arg, const struct tidings_event *event)
{
    (void)event;
    ++*(_Atomic uint64_t *)arg;
    return TIDINGS_OK;
}

static bool all_are_handled(const struct sys_counters *c, const void *arg)
{
    return c->delivered == *(const uint64_t *)arg && c->pending == 0;
}

static void test_foreign_shares_a_group_with_a_c_handler(void **state)
{
    const struct tidings_sub_options mail = {.group = "mail"};
    const uint64_t all = 1000;
    struct fixture *f = *state;
    const char *args[] = {
        f->broker.endpoint[0], "share", "load.>", "500", "mail", NULL};
    _Atomic uint64_t seen = 0;

    python_start(&f->python, "foreign_client.py", args);
    sys_expect(&f->python, "ready");
    assert_ok(tidings_subscribe(NULL, f->peer.bus, "load.>", count_one, &seen,
                                &mail));
    publish_numbers(f->peer.bus, 1, all);
    for (int n = 0; n < 500; n++)
        sys_expect(&f->python, "{");
    assert_true(td_proc_wait(&f->python, SYS_WAIT_MS));
    assert_int_equal(td_proc_exit_code(&f->python), 0);
    sys_counters_until(f->peer.bus, all_are_handled, &all, SYS_WAIT_MS);
    assert_int_equal(seen, 500); /* half of them: round robin */
    sys_peer_close(&f->peer);    /* seen goes */
}

/* It drops its link at every hundredth event, with more on the way. */
static void test_foreign_resumes_where_it_was(void **state)
{
    enum { EVENTS = 2000, STEP = 100, AHEAD = 50 };
    struct fixture *f = *state;
    const char *args[] = {f->broker.endpoint[0], "flap", "load.>", "2000",
                          NULL};
    uint64_t resumed;

    python_start(&f->python, "foreign_client.py", args);
    sys_expect(&f->python, "ready");
    publish_numbers(f->peer.bus, 1, AHEAD);
    for (int n = 1; n <= EVENTS; n++) {
        char data[32];

        if (n % STEP == 1)
            publish_numbers(f->peer.bus, (uint64_t)(n + AHEAD),
                            (uint64_t)(n + AHEAD + STEP - 1));
        snprintf(data, sizeof(data), "\"data\": %d}", n);
        assert_holds(sys_expect(&f->python, "{"), data);
    }
    resumed = sys_field(sys_expect(&f->python, "resumed"), "times");
    assert_true(resumed > 0);
    assert_true(td_proc_wait(&f->python, SYS_WAIT_MS));
    assert_int_equal(td_proc_exit_code(&f->python), 0);
    print_message("resumed %" PRIu64 " times\n", resumed);
}

static void test_foreign_reads_the_counters(void **state)
{
    struct fixture *f = *state;
    const char *args[] = {f->broker.endpoint[0], "stats", NULL};

    python_start(&f->python, "foreign_client.py", args);
    assert_holds(sys_expect(&f->python, "{"), "\"sessions\": 2");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_foreign_publishes_to_a_c_handler),
        TEST(test_foreign_subscribes_to_a_c_publisher),
        TEST(test_foreign_keeps_up_within_its_credit),
        TEST(test_foreign_shares_a_group_with_a_c_handler),
        TEST(test_foreign_resumes_where_it_was),
        TEST(test_foreign_reads_the_counters),
    };

    if (!python_is_there())
        return PYTHON_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
