/* tidingsd's configuration file: what is there once it listens, which of file
 * and command line wins, and SIGHUP. */
#include "tests/system/system.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "tidings/durable.h"

struct fixture {
    struct td_daemon broker;
    struct td_proc other;
    struct sys_peer peer;
    char folder[64];
    char file[96];
    char data[96];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (!f)
        return -1;
    snprintf(f->folder, sizeof(f->folder), "/tmp/tidings-test-XXXXXX");
    if (!mkdtemp(f->folder)) {
        free(f);
        return -1;
    }
    snprintf(f->file, sizeof(f->file), "%s/tidings.yaml", f->folder);
    snprintf(f->data, sizeof(f->data), "%s/data", f->folder);
    *state = f;
    return 0;
}

static void remove_folder(struct fixture *f)
{
    const char *argv[] = {"/bin/rm", "-rf", f->folder, NULL};

    if (td_proc_start(&f->other, argv))
        td_proc_wait(&f->other, SYS_WAIT_MS);
    td_proc_end(&f->other);
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    sys_peer_close(&f->peer);
    td_daemon_end(&f->broker);
    td_proc_end(&f->other);
    remove_folder(f);
    free(f);
    return 0;
}

/* ---- the file ---- */

/* The data folder, and then the text. */
static void write_file(const struct fixture *f, const char *text)
{
    FILE *out = fopen(f->file, "w");

    assert_non_null(out);
    assert_true(fprintf(out, "data: %s\n%s", f->data, text) > 0);
    assert_int_equal(fclose(out), 0);
}

static void start_with(struct fixture *f, const char *text)
{
    const char *extra[] = {"--config", f->file, NULL};

    write_file(f, text);
    sys_broker_start(&f->broker, extra);
    sys_peer_open(&f->peer, f->broker.endpoint[0], "");
}

/* The broker is started with it, and gives up. */
static void check_gives_up(struct fixture *f, const char *text, int code,
                           const char *said)
{
    const char *argv[] = {"tidingsd", "--listen", "tcp://127.0.0.1:*",
                          "--config", f->file,    NULL};

    write_file(f, text);
    assert_true(td_proc_start(&f->other, argv));
    assert_row(text, td_proc_wait(&f->other, SYS_WAIT_MS));
    assert_row(td_proc_errors(&f->other), td_proc_exit_code(&f->other) == code);
    assert_row(td_proc_errors(&f->other),
               strstr(td_proc_errors(&f->other), said) != NULL);
    assert_null(td_proc_line(&f->other, 0)); /* not "ready" */
    td_proc_end(&f->other);
}

/* SIGHUP; returns once it has said so. */
static void reload(struct fixture *f, const char *text, const char *said)
{
    const struct timespec short_while = {0, 2000000};
    int64_t end = td_proc_now_ms() + SYS_WAIT_MS;

    write_file(f, text);
    assert_true(td_proc_signal(&f->broker.proc, SIGHUP));
    while (!strstr(td_proc_errors(&f->broker.proc), said) &&
           td_proc_now_ms() < end)
        nanosleep(&short_while, NULL);
    assert_row(td_proc_errors(&f->broker.proc),
               strstr(td_proc_errors(&f->broker.proc), said) != NULL);
}

/* ---- what is there ---- */

static tidings_err add(struct fixture *f, const char *name, const char *pattern,
                       uint64_t max_events)
{
    const struct tidings_stream_options options = {
        .name = name,
        .patterns = &pattern,
        .patterns_len = 1,
        .max_events = max_events,
    };

    return tidings_stream_add(f->peer.bus, &options, SYS_WAIT_MS);
}

static void check_stream(struct fixture *f, const char *name,
                         const char *pattern, uint64_t max_events)
{
    assert_err(add(f, name, pattern, max_events + 1), TIDINGS_EEXIST);
    assert_ok(add(f, name, pattern, max_events));
}

/* Whether the broker's list has that name in it. */
static bool lists(struct fixture *f, const char *call, const char *name)
{
    void *result = NULL;
    size_t len = 0;
    size_t size = strlen(name);
    bool found = false;

    assert_ok(
        tidings_call(&result, &len, f->peer.bus, call, NULL, 0, SYS_WAIT_MS));
    for (size_t i = 0; !found && i + size <= len; i++)
        found = memcmp((const char *)result + i, name, size) == 0;
    tidings_free(result);
    return found;
}

#define ORDERS                                                                 \
    "streams:\n"                                                               \
    "- {name: orders, patterns: [order.>], max_events: 100}\n"

static void test_config_declares_before_it_listens(void **state)
{
    static const char text[] =
        ORDERS "- {name: events, max_events: 7}\n"
               "- {name: live, patterns: [live.>], storage: memory}\n"
               "groups:\n"
               "- {stream: orders, group: billing, start: all}\n";
    struct fixture *f = *state;
    const char *extra[] = {"--config", f->file, NULL};

    start_with(f, text);
    for (int round = 0; round < 2; round++) { /* the second finds them there */
        check_stream(f, "orders", "order.>", 100);
        check_stream(f, "events", ">", 7); /* not as it is by default */
        assert_true(lists(f, "stream.list", "live"));
        assert_true(lists(f, "group.list", "billing"));
        sys_peer_close(&f->peer);
        sys_stop(&f->broker.proc, SIGTERM);
        sys_broker_restart(&f->broker, extra);
        sys_peer_open(&f->peer, f->broker.endpoint[0], "");
    }
}

static void test_config_that_differs_is_not_started(void **state)
{
    struct fixture *f = *state;

    start_with(f, ORDERS);
    sys_stop(&f->broker.proc, SIGTERM);
    check_gives_up(f,
                   "streams:\n- {name: new, patterns: [n]}\n"
                   "- {name: orders, patterns: [order.>], storage: memory}\n",
                   1,
                   "tidings.yaml:4: stream orders: it is there with other "
                   "options: storage differs");
    check_gives_up(f, "groups:\n- {stream: nowhere, group: g}\n", 2,
                   "tidings.yaml:3: group g of stream nowhere: no such stream");
}

static void test_config_that_is_bad_is_not_started(void **state)
{
    struct fixture *f = *state;

    check_gives_up(f, "\nlisen: []\n", 2, "tidings.yaml:3: Unexpected key");
    check_gives_up(f, "log_level: loud\n", 2, "tidings.yaml:2: log_level loud");
    check_gives_up(f, "streams:\n- {name: events, patterns: [user.>]}\n", 2,
                   "tidings.yaml:3: patterns of the stream events are not "
                   "chosen");
}

static void test_config_is_checked_without_a_start(void **state)
{
    struct fixture *f = *state;
    const char *const args[][5] = {
        {"tidingsd", "--check", f->file, NULL},
        {"tidingsd", "--config", f->file, "--check", NULL}};

    for (size_t i = 0; i < 2 * TD_ARRAY_LEN(args); i++) {
        bool good = i < TD_ARRAY_LEN(args);

        write_file(f, good ? ORDERS : "streams: 7\n");
        assert_true(td_proc_start(&f->other, args[i % TD_ARRAY_LEN(args)]));
        if (good)
            sys_expect(&f->other, f->file);
        assert_true(td_proc_wait(&f->other, SYS_WAIT_MS));
        assert_int_equal(td_proc_exit_code(&f->other), good ? 0 : 2);
        if (!good)
            assert_non_null(strstr(td_proc_errors(&f->other), ".yaml:2: "));
        td_proc_end(&f->other);
    }
    assert_int_not_equal(access(f->data, F_OK), 0);
}

static void test_config_gives_way_to_the_command_line(void **state)
{
    struct fixture *f = *state;
    const char *argv[] = {"tidingsd", "--config", f->file, NULL};
    char url[128];
    char text[256];

    snprintf(url, sizeof(url), "ipc://%s/bus", f->folder);
    snprintf(text, sizeof(text), "listen: [\"%s\"]\n", url);
    write_file(f, text);
    assert_true(td_proc_start(&f->other, argv));
    assert_string_equal(sys_expect(&f->other, "listening "), url);
    sys_expect(&f->other, "ready");
    sys_stop(&f->other, SIGTERM);
    td_proc_end(&f->other);

    start_with(f, text); /* which gives a --listen */
    assert_int_equal(f->broker.listening, 1);
    assert_string_not_equal(f->broker.endpoint[0], url);
}

/* ---- SIGHUP ---- */

static void test_config_is_read_again_at_sighup(void **state)
{
    struct fixture *f = *state;

    start_with(f, ORDERS "log_level: error\n");
    sys_peer_subscribe(&f->peer, "still.>");
    reload(f,
           ORDERS "- {name: users, patterns: [user.>], max_events: 5}\n"
                  "groups:\n"
                  "- {stream: users, group: mails}\n"
                  "log_level: info\n",
           "is read: 2 streams, 1 groups");
    check_stream(f, "users", "user.>", 5);
    check_stream(f, "orders", "order.>", 100);
    assert_true(lists(f, "group.list", "mails"));
    sys_round_trip(&f->peer, &f->peer, "still.here", 1);
    reload(f, "log_level: debug\n", "is read: 0 streams, 0 groups");
    assert_true(lists(f, "stream.list", "users")); /* nothing is deleted */
    sys_stop(&f->broker.proc, SIGTERM);
}

/* The file says what the bounds are, at SIGHUP and at the next start. */
static void test_config_changes_the_bounds_of_streams(void **state)
{
    struct fixture *f = *state;
    const char *extra[] = {"--config", f->file, NULL};

    start_with(f, ORDERS);
    reload(f,
           "streams:\n"
           "- {name: orders, patterns: [order.>], max_events: 7}\n"
           "- {name: events, max_events: 9}\n",
           "is read: 2 streams");
    check_stream(f, "orders", "order.>", 7);
    check_stream(f, "events", ">", 9);
    for (uint64_t bound = 7; bound <= 8; bound++) { /* the second time others */
        sys_peer_close(&f->peer);
        sys_stop(&f->broker.proc, SIGTERM);
        if (bound == 8)
            write_file(f, "streams:\n"
                          "- {name: orders, patterns: [order.>], "
                          "max_events: 8}\n");
        sys_broker_restart(&f->broker, extra);
        sys_peer_open(&f->peer, f->broker.endpoint[0], "");
        check_stream(f, "orders", "order.>", bound);
        check_stream(f, "events", ">", 9);
    }
}

static void test_config_that_is_bad_changes_nothing(void **state)
{
    struct fixture *f = *state;

    start_with(f, ORDERS);
    sys_peer_subscribe(&f->peer, "still.>");
    reload(f,
           "streams:\n"
           "- {name: new, patterns: [n.>]}\n"
           "- {name: old, patern: [o.>]}\n",
           "tidings.yaml:4: Unexpected key: patern");
    assert_false(lists(f, "stream.list", "n.>"));
    reload(f,
           "streams:\n"
           "- {name: new, patterns: [n.>]}\n"
           "- {name: orders, patterns: [order.*], max_events: 101}\n",
           "tidings.yaml:4: stream orders: it is there with other options");
    assert_false(lists(f, "stream.list", "n.>"));
    assert_int_equal(unlink(f->file), 0);
    assert_true(td_proc_signal(&f->broker.proc, SIGHUP));
    sys_round_trip(&f->peer, &f->peer, "still.here", 1);
    check_stream(f, "orders", "order.>", 100);
    reload(f, ORDERS "- {name: new, patterns: [n.>]}\n", "is read: 2 streams");
    assert_true(lists(f, "stream.list", "n.>"));
}

static void test_config_says_what_needs_a_restart(void **state)
{
    struct fixture *f = *state;

    start_with(f, "");
    reload(f, "", "is read"); /* the command line's --listen goes on to win */
    assert_null(strstr(td_proc_errors(&f->broker.proc), "started anew"));
    snprintf(f->data, sizeof(f->data), "%s/elsewhere", f->folder);
    reload(f, "", "data takes effect when the broker is started anew");
    assert_int_not_equal(access(f->data, F_OK), 0);
}

static void test_sighup_ends_a_broker_without_a_file(void **state)
{
    struct fixture *f = *state;

    sys_broker_start(&f->broker, NULL);
    sys_stop(&f->broker.proc, SIGHUP);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_config_declares_before_it_listens),
        TEST(test_config_that_differs_is_not_started),
        TEST(test_config_that_is_bad_is_not_started),
        TEST(test_config_is_checked_without_a_start),
        TEST(test_config_gives_way_to_the_command_line),
        TEST(test_config_is_read_again_at_sighup),
        TEST(test_config_changes_the_bounds_of_streams),
        TEST(test_config_that_is_bad_changes_nothing),
        TEST(test_config_says_what_needs_a_restart),
        TEST(test_sighup_ends_a_broker_without_a_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
