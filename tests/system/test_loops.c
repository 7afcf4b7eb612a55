/* samples/loops: the bus in a loop of one's own, with poll, epoll and libuv.
 * Each prints what arrives, in order, also after the broker was gone; sleeps
 * when nothing does; and attends to its other descriptors under load. */
#include "tests/system/system.h"
#include "tests/system/usage.h"

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define EVENTS (SYS_SANITIZED ? 500u : 5000u)
#define FLOOD  5000u /* lines that are read before it is asked to end */
#define LATE_MAX                                                               \
    100000u /* and after: a window, 32768 events, and what pipes hold */
#define LINES_A_MS (SYS_SANITIZED ? 10 : 50)
#define IDLE_MS    1000
#define IDLE_CPU_MS                                                            \
    50 /* of that: a loop that spins takes all, a heartbeat a fraction of one */

struct fixture {
    const char *program;
    struct td_daemon broker;
    struct td_proc loop;
    struct sys_peer peer;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (!f)
        return -1;
    f->program = *state; /* its initial state is the program's name */
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    sys_peer_close(&f->peer);
    td_proc_end(&f->loop);
    td_daemon_end(&f->broker);
    free(f);
    return 0;
}

/* ---- steps ---- */

static void start_loop(struct fixture *f, const char *url, const char *pattern,
                       unsigned count)
{
    char text[16];
    char path[1024];
    const char *argv[] = {f->program, url, pattern, count ? text : NULL, NULL};

    if (access(td_proc_path(path, sizeof(path), f->program), X_OK) != 0) {
        printf("skipped: %s was not built: needs libuv1-dev\n", f->program);
        skip();
    }
    snprintf(text, sizeof(text), "%u", count);
    assert_true(td_proc_start(&f->loop, argv));
}

/* A broker, a bus of this process, and the loop subscribed to load.*. */
static void start(struct fixture *f, unsigned count)
{
    sys_broker_start(&f->broker, NULL);
    start_loop(f, f->broker.endpoint[0], "load.*", count);
    sys_peer_open(&f->peer, f->broker.endpoint[0], "");
    sys_until_subscribed(f->peer.bus, "load.*");
}

static tidings_err publish_number(tidings_bus *bus, unsigned n)
{
    char text[16];
    int len = snprintf(text, sizeof(text), "%u", n);

    return tidings_publish(bus, "load.a", text, (size_t)len);
}

static void publish(struct fixture *f, unsigned from, unsigned to)
{
    for (unsigned n = from; n <= to; n++)
        assert_ok(publish_number(f->peer.bus, n));
}

static void expect_line(struct fixture *f, const char *want)
{
    const char *line = td_proc_line(&f->loop, SYS_WAIT_MS);

    if (!line)
        fail_msg("%s: no line \"%s\"; standard error: %s", f->program, want,
                 td_proc_errors(&f->loop));
    assert_string_equal(line, want);
}

static void expect_numbers(struct fixture *f, unsigned from, unsigned to)
{
    char want[32];

    for (unsigned n = from; n <= to; n++) {
        snprintf(want, sizeof(want), "load.a %u", n);
        expect_line(f, want);
    }
}

/* It says no more, and ends well. */
static void expect_end(struct fixture *f)
{
    assert_null(td_proc_line(&f->loop, SYS_WAIT_MS));
    assert_true(td_proc_wait(&f->loop, SYS_WAIT_MS));
    if (td_proc_exit_code(&f->loop) != 0)
        fail_msg("%s: wait status %d: %s", f->program, f->loop.status,
                 td_proc_errors(&f->loop));
}

static void expect_idle(struct fixture *f)
{
    long before = usage_cpu_ms(&f->loop);
    long used;

    poll(NULL, 0, IDLE_MS); /* the passing of time is the test */
    used = usage_cpu_ms(&f->loop) - before;
    if (used > IDLE_CPU_MS)
        fail_msg("%s used %ld ms of %d while nothing came", f->program, used,
                 IDLE_MS);
}

/* ---- tests ---- */

static void test_loop_prints_every_event_in_order(void **state)
{
    struct fixture *f = *state;

    start(f, EVENTS);
    publish(f, 1, EVENTS);
    expect_numbers(f, 1, EVENTS);
    expect_end(f);
}

static void test_loop_goes_on_after_the_link_was_lost(void **state)
{
    struct fixture *f = *state;

    start(f, 2 * EVENTS);
    publish(f, 1, EVENTS);
    expect_numbers(f, 1, EVENTS);
    sys_kill(&f->broker.proc);
    sys_broker_restart(&f->broker, NULL);
    sys_until_subscribed(f->peer.bus, "load.*");
    publish(f, EVENTS + 1, 2 * EVENTS);
    expect_numbers(f, EVENTS + 1, 2 * EVENTS);
    expect_end(f);
    assert_non_null(strstr(td_proc_errors(&f->loop), "down: "));
    assert_non_null(strstr(td_proc_errors(&f->loop), "new_epoch: "));
}

static void test_loop_sleeps_while_nothing_comes(void **state)
{
    struct fixture *f = *state;

    start(f, 0);
    publish(f, 1, 10);
    expect_numbers(f, 1, 10);
    expect_idle(f);
    sys_kill(&f->broker.proc);
    expect_idle(f); /* but for trying to connect */
}

/* ---- under load ---- */

struct flood {
    tidings_bus *bus;
    atomic_bool stop;
    unsigned sent;
    tidings_err err;
};

static void *pour(void *arg)
{
    struct flood *flood = arg;

    while (!flood->err && !atomic_load(&flood->stop))
        flood->err = publish_number(flood->bus, ++flood->sent);
    return NULL;
}

/* Slower than events come, so that there is always one more. */
static const char *read_slowly(struct fixture *f, unsigned n)
{
    if (n % LINES_A_MS == 0)
        poll(NULL, 0, 1);
    return td_proc_line(&f->loop, SYS_WAIT_MS);
}

static bool is_poll(const struct fixture *f)
{
    return strcmp(f->program, "loop_poll") == 0;
}

/* What ends it, and is not an event. */
static void ask_to_end(struct fixture *f)
{
    if (is_poll(f))
        td_proc_hang_up(&f->loop);
    else
        assert_true(td_proc_signal(&f->loop, SIGTERM));
}

/* It was asked under load, and says no more than what had arrived. */
static void test_loop_attends_to_the_rest_under_load(void **state)
{
    struct fixture *f = *state;
    struct flood flood = {.stop = false};
    pthread_t thread;
    unsigned lines = 0;

    start(f, 0);
    flood.bus = f->peer.bus;
    assert_int_equal(pthread_create(&thread, NULL, pour, &flood), 0);
    while (lines < FLOOD && read_slowly(f, lines))
        lines++;
    ask_to_end(f);
    while (lines < FLOOD + LATE_MAX && read_slowly(f, lines))
        lines++;
    atomic_store(&flood.stop, true);
    pthread_join(thread, NULL);
    assert_ok(flood.err);
    if (lines < FLOOD || lines == FLOOD + LATE_MAX)
        fail_msg("%s printed %u lines before it ended: %s", f->program, lines,
                 td_proc_errors(&f->loop));
    assert_true(td_proc_wait(&f->loop, SYS_WAIT_MS));
    if (is_poll(f)) /* 1: drain says that more was left at the broker */
        assert_in_range(td_proc_exit_code(&f->loop), 0, 1);
    else
        assert_int_equal(td_proc_exit_code(&f->loop), 0);
}

/* ---- each one's own way to end, without a broker ---- */

static void test_loop_in_one_process_ends_well(void **state)
{
    struct fixture *f = *state;

    start_loop(f, "inproc://loop", "loop.*", is_poll(f) ? 0 : 2);
    if (is_poll(f)) {
        assert_true(td_proc_say(&f->loop, "one"));
        expect_line(f, "loop.line one"); /* then two more, and the end */
        assert_true(td_proc_say(&f->loop, "two\nthree"));
        td_proc_hang_up(&f->loop);
        expect_line(f, "loop.line two");
        expect_line(f, "loop.line three");
    } else {
        expect_line(f, "loop.tick 1");
        expect_line(f, "loop.tick 2");
    }
    expect_end(f);
}

#define TEST(name, program)                                                    \
    cmocka_unit_test_prestate_setup_teardown(name, setup, teardown,            \
                                             (void *)(uintptr_t)(program))
#define TESTS(program)                                                         \
    TEST(test_loop_prints_every_event_in_order, program),                      \
        TEST(test_loop_goes_on_after_the_link_was_lost, program),              \
        TEST(test_loop_sleeps_while_nothing_comes, program),                   \
        TEST(test_loop_attends_to_the_rest_under_load, program),               \
        TEST(test_loop_in_one_process_ends_well, program)

int main(void)
{
    const struct CMUnitTest poll_tests[] = {TESTS("loop_poll")};
    const struct CMUnitTest epoll_tests[] = {TESTS("loop_epoll")};
    const struct CMUnitTest uv_tests[] = {TESTS("loop_uv")};

    return cmocka_run_group_tests_name("poll", poll_tests, NULL, NULL) +
           cmocka_run_group_tests_name("epoll", epoll_tests, NULL, NULL) +
           cmocka_run_group_tests_name("libuv", uv_tests, NULL, NULL);
}
