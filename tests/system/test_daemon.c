/* tidingsd as a person or an init system meets it: its arguments, where it
 * listens, and how it stops (FAULTS N08, R11, R12). */
#include "tests/system/system.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

struct fixture {
    struct td_daemon broker;
    struct td_proc publishers[2];
    struct td_proc subscribers[2];
    struct sys_peer peer;
    struct sys_peer other;
    char folder[64]; /* for ipc sockets */
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
    *state = f;
    return 0;
}

static void remove_socket(const struct fixture *f, const char *name)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", f->folder, name);
    unlink(path);
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < 2; i++) {
        td_proc_end(&f->publishers[i]);
        td_proc_end(&f->subscribers[i]);
    }
    sys_peer_close(&f->peer);
    sys_peer_close(&f->other);
    td_daemon_end(&f->broker);
    remove_socket(f, "bus");
    rmdir(f->folder);
    free(f);
    return 0;
}

/* ---- arguments ---- */

#define ARGS_MAX 4

static void test_daemon_names_what_is_wrong_with_its_arguments(void **state)
{
    static const struct {
        const char *args[ARGS_MAX];
        const char *named; /* stands in what it says */
    } rows[] = {
        {{"--frobnicate"}, "--frobnicate"},
        {{"-x"}, "-x"},
        {{"--listen"}, "--listen"},
        {{"--listen", ""}, "listen"},
        {{"--listen", "nonsense"}, "nonsense"},
        {{"--listen", "udp://127.0.0.1:7450"}, "udp://127.0.0.1:7450"},
        {{"--listen", "inproc://here"}, "inproc://here"},
        {{"--listen", "tcp://127.0.0.1"}, "tcp://127.0.0.1"},
        {{"--listen", "tcp://127.0.0.1:99999"}, "tcp://127.0.0.1:99999"},
        {{"--listen", "tcp://127.0.0.1:7450x"}, "tcp://127.0.0.1:7450x"},
        {{"--listen", "tcp://127.0.0.1:-1"}, "tcp://127.0.0.1:-1"},
        {{"--listen", "tcp://127.0.0.1:port"}, "tcp://127.0.0.1:port"},
        {{"--listen", "tcp://192.0.2.1:7450"}, "tcp://192.0.2.1:7450"},
        {{"--listen", "ipc:///nowhere/at/all"}, "ipc:///nowhere/at/all"},
        {{"--listen", "ipc://"}, "ipc://"},
        {{"--log-level", "loud"}, "loud"},
        {{"--log-level"}, "--log-level"},
        {{"--memory-max", "much"}, "much"},
        {{"--memory-max", "-1"}, "-1"},
        {{"--memory-max", "99999999999999999999"}, "99999999999999999999"},
        {{"--memory-max", "1Q"}, "1Q"},
        {{"stray"}, "stray"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct td_proc *p = &f->publishers[0];
        const char *argv[ARGS_MAX + 2] = {"tidingsd"};
        char row[128];

        memcpy(&argv[1], rows[i].args, sizeof(rows[i].args));
        snprintf(row, sizeof(row), "%s %s", argv[1], argv[2] ? argv[2] : "");
        assert_true(td_proc_start(p, argv));
        assert_row(row, td_proc_wait(p, SYS_WAIT_MS));
        assert_row(row, td_proc_exit_code(p) > 0);
        assert_row(row, strstr(td_proc_errors(p), rows[i].named) != NULL);
        assert_row(row, td_proc_line(p, 0) == NULL); /* not "ready" */
        td_proc_end(p);
    }
}

/* All it writes to standard output, lines joined; it must exit 0. */
static const char *output_of(struct td_proc *p, const char *flag)
{
    static char text[16384];
    const char *argv[] = {"tidingsd", flag, NULL};
    const char *line;
    size_t len = 0;

    text[0] = '\0';
    assert_true(td_proc_start(p, argv));
    while ((line = td_proc_line(p, SYS_WAIT_MS)) != NULL && len < sizeof(text))
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s\n", line);
    assert_true(td_proc_wait(p, SYS_WAIT_MS));
    assert_int_equal(td_proc_exit_code(p), 0);
    td_proc_end(p);
    return text;
}

static void test_daemon_help_prints_every_flag_and_default(void **state)
{
    static const char *const said[] = {"--listen",    TIDINGS_DEFAULT_URL,
                                       "--log-level", "--memory-max",
                                       "--help",      "--version"};
    struct fixture *f = *state;
    const char *text = output_of(&f->publishers[0], "--help");

    for (size_t i = 0; i < TD_ARRAY_LEN(said); i++)
        assert_row(said[i], strstr(text, said[i]) != NULL);
}

static void test_daemon_version_is_the_librarys(void **state)
{
    struct fixture *f = *state;

    assert_non_null(
        strstr(output_of(&f->publishers[0], "--version"), tidings_version()));
}

/* ---- where it listens ---- */

static void test_daemon_says_that_the_port_is_in_use(void **state) /* N08 */
{
    struct fixture *f = *state;

    sys_broker_start(&f->broker, NULL);
    const char *argv[] = {"tidingsd", "--listen", f->broker.endpoint[0], NULL};

    assert_true(td_proc_start(&f->publishers[0], argv));
    assert_true(td_proc_wait(&f->publishers[0], SYS_WAIT_MS));
    assert_true(td_proc_exit_code(&f->publishers[0]) > 0);
    assert_non_null(
        strstr(td_proc_errors(&f->publishers[0]), f->broker.endpoint[0]));

    sys_peer_open(&f->peer, f->broker.endpoint[0],
                  ""); /* the first one lives */
}

static void test_daemon_listens_in_several_places_at_once(void **state)
{
    struct fixture *f = *state;
    char url[128];
    const char *extra[] = {"--listen", url, "--listen", "tcp://127.0.0.1:*",
                           NULL};

    snprintf(url, sizeof(url), "ipc://%s/bus", f->folder);
    sys_broker_start(&f->broker, extra);

    assert_int_equal(f->broker.listening, 3);
    assert_string_equal(f->broker.endpoint[1], url);
    assert_string_not_equal(f->broker.endpoint[0], f->broker.endpoint[2]);
    sys_peer_open(&f->peer, url, "ipc");
    sys_peer_subscribe(&f->peer, "place.>");
    for (size_t i = 0; i < 3; i++) {
        sys_peer_open(&f->other, f->broker.endpoint[i], "each");
        sys_round_trip(&f->other, &f->peer, "place.each", 1);
        sys_peer_close(&f->other);
    }
}

static void test_daemon_takes_an_ipc_socket_over_after_a_crash(void **state)
{
    struct fixture *f = *state;
    char url[128];

    snprintf(url, sizeof(url), "ipc://%s/bus", f->folder);
    assert_true(td_daemon_start(&f->broker, url, NULL));
    sys_peer_open(&f->peer, url, "");
    sys_peer_subscribe(&f->peer, "after.>");
    sys_kill(&f->broker.proc); /* its socket file stays */
    td_proc_end(&f->broker.proc);

    assert_true(td_daemon_start(&f->broker, url, NULL));
    assert_true(watch_until_up(&f->peer.watch, 2, SYS_WAIT_MS));
    sys_peer_open(&f->other, url, "");
    sys_round_trip(&f->other, &f->peer, "after.crash", 1);
}

static void test_daemon_refuses_an_ipc_socket_in_use(void **state)
{
    struct fixture *f = *state;
    char url[128];
    const char *argv[] = {"tidingsd", "--listen", url, NULL};

    snprintf(url, sizeof(url), "ipc://%s/bus", f->folder);
    assert_true(td_daemon_start(&f->broker, url, NULL));

    assert_true(td_proc_start(&f->publishers[0], argv));
    assert_true(td_proc_wait(&f->publishers[0], SYS_WAIT_MS));
    assert_true(td_proc_exit_code(&f->publishers[0]) > 0);
    assert_non_null(strstr(td_proc_errors(&f->publishers[0]), url));
    sys_peer_open(&f->peer, url, ""); /* still the first one's */
}

static void test_daemon_is_small_and_soon_ready(void **state)
{
    struct fixture *f = *state;

    sys_broker_start(&f->broker, NULL);
    if (!SYS_SANITIZED)
        assert_true(td_proc_resident_kb(&f->broker.proc) < 10 * 1024);
}

/* ---- how it stops: R11, R12 ---- */

static void test_daemon_stops_when_idle(void **state)
{
    static const int signals[] = {SIGTERM, SIGINT};
    struct fixture *f = *state;

    for (size_t i = 0; i < TD_ARRAY_LEN(signals); i++) {
        sys_broker_start(&f->broker, NULL);
        sys_stop(&f->broker.proc, signals[i]);
        td_daemon_end(&f->broker);
    }
}

static void test_daemon_stops_with_idle_clients(void **state)
{
    struct fixture *f = *state;

    sys_broker_start(&f->broker, NULL);
    sys_peer_open(&f->peer, f->broker.endpoint[0], "");
    sys_peer_subscribe(&f->peer, ">");
    sys_stop(&f->broker.proc, SIGTERM);

    assert_true(watch_until_down(&f->peer.watch, 1, SYS_WAIT_MS));
    assert_int_equal(watch_now(&f->peer.watch).down_err, TIDINGS_ESHUTDOWN);
}

/* Two publishers at full speed, and two subscribers. */
static void load(struct fixture *f)
{
    const char *url;

    sys_broker_start(&f->broker, NULL);
    url = f->broker.endpoint[0];
    for (size_t i = 0; i < 2; i++)
        sys_worker(&f->subscribers[i], url, "sub", "load.>", NULL);
    sys_peer_open(&f->peer, url, "");
    sys_peer_subscribe(&f->peer, "load.>");
    for (size_t i = 0; i < 2; i++)
        sys_worker(&f->publishers[i], url, "pub", "load.x", NULL);
    assert_true(watch_until_events(&f->peer.watch, 20000, SYS_WAIT_MS));
}

static void test_daemon_stops_under_load(void **state)
{
    struct fixture *f = *state;

    load(f);
    sys_stop(&f->broker.proc, SIGINT);
    sys_expect(&f->publishers[0], "status down err=ESHUTDOWN");
    sys_expect(&f->subscribers[0], "status down err=ESHUTDOWN");
}

static void test_daemon_delivers_what_it_took_before_it_stops(void **state)
{
    enum { EVENTS = 90000 }; /* within one window and one queue */
    struct fixture *f = *state;
    struct sys_info info;

    sys_broker_start(&f->broker, NULL);
    sys_worker(&f->subscribers[0], f->broker.endpoint[0], "sub", "load.>",
               NULL);
    assert_true(td_proc_freeze(&f->subscribers[0], SYS_WAIT_MS));
    sys_peer_open(&f->peer, f->broker.endpoint[0], "");
    for (uint64_t n = 1; n <= EVENTS; n++)
        sys_publish(&f->peer, "load.x", n);
    assert_ok(tidings_flush(f->peer.bus, SYS_WAIT_MS));

    assert_true(td_proc_signal(&f->broker.proc, SIGTERM));
    assert_true(td_proc_signal(&f->subscribers[0], SIGCONT));
    assert_true(td_proc_wait(&f->broker.proc, SYS_STOP_MS));
    assert_int_equal(td_proc_exit_code(&f->broker.proc), 0);
    sys_expect(&f->subscribers[0], "status down err=ESHUTDOWN");
    info = sys_worker_info(&f->subscribers[0]);
    assert_int_equal(info.events, EVENTS);
    assert_int_equal(info.holes, 0);
}

static void test_daemon_stops_with_stopped_clients(void **state)
{
    struct fixture *f = *state;
    uint64_t seen;

    load(f);
    assert_true(td_proc_freeze(&f->publishers[0], SYS_WAIT_MS));
    assert_true(td_proc_freeze(&f->subscribers[0], SYS_WAIT_MS));
    seen = watch_now(&f->peer.watch).events; /* the load goes on */
    assert_true(watch_until_events(&f->peer.watch, seen + 200000, SYS_WAIT_MS));
    sys_stop(&f->broker.proc, SIGTERM);
}

static void test_daemon_stops_once_when_told_again_and_again(void **state)
{
    struct fixture *f = *state;
    int64_t deadline_ms;

    load(f);
    deadline_ms = td_proc_now_ms() + SYS_STOP_MS;
    while (td_proc_now_ms() < deadline_ms &&
           td_proc_signal(&f->broker.proc, SIGTERM) &&
           !td_proc_wait(&f->broker.proc, 1))
        td_proc_signal(&f->broker.proc, SIGINT);
    if (td_proc_exit_code(&f->broker.proc) != 0)
        fail_msg("exit code %d: %s", td_proc_exit_code(&f->broker.proc),
                 td_proc_errors(&f->broker.proc));
}

static void test_daemon_outlives_a_storm_of_sigpipe(void **state) /* R12 */
{
    struct fixture *f = *state;

    sys_broker_start(&f->broker, NULL);
    sys_peer_open(&f->peer, f->broker.endpoint[0], "");
    sys_peer_subscribe(&f->peer, "still.>");
    for (uint64_t i = 1; i <= 50; i++) {
        assert_true(td_proc_signal(&f->broker.proc, SIGPIPE));
        sys_round_trip(&f->peer, &f->peer, "still.here", i);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_daemon_names_what_is_wrong_with_its_arguments),
        TEST(test_daemon_help_prints_every_flag_and_default),
        TEST(test_daemon_version_is_the_librarys),
        TEST(test_daemon_says_that_the_port_is_in_use),
        TEST(test_daemon_listens_in_several_places_at_once),
        TEST(test_daemon_takes_an_ipc_socket_over_after_a_crash),
        TEST(test_daemon_refuses_an_ipc_socket_in_use),
        TEST(test_daemon_is_small_and_soon_ready),
        TEST(test_daemon_stops_when_idle),
        TEST(test_daemon_stops_with_idle_clients),
        TEST(test_daemon_stops_under_load),
        TEST(test_daemon_delivers_what_it_took_before_it_stops),
        TEST(test_daemon_stops_with_stopped_clients),
        TEST(test_daemon_stops_once_when_told_again_and_again),
        TEST(test_daemon_outlives_a_storm_of_sigpipe),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
