/* A process ends with buses open: at once, and without a complaint. */
#include "tests/embed/host.h"

#include <signal.h>
#include <stdlib.h>

#define END_MS 30000 /* two of close_timeout_ms and air; a hang never ends */

static struct td_daemon broker;

/* The thread sanitizer's programs sleep for a second before they end. */
static void hurry_sanitizer(void)
{
    const char *options = getenv("TSAN_OPTIONS");
    char text[1024];

    snprintf(text, sizeof(text), "%s atexit_sleep_ms=0",
             options ? options : "");
    setenv("TSAN_OPTIONS", text, 1);
}

static int setup(void **state)
{
    (void)state;
    hurry_sanitizer();
    return td_daemon_start(&broker, "tcp://127.0.0.1:*", NULL) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    td_daemon_end(&broker);
    unsetenv("EARLY_URL");
    return 0;
}

/* Its lines up to the end, joined; it has exited with 0, and said nothing on
 * standard error, where a sanitizer would. */
static void expect_end(const char *way, const char *url, const char *want)
{
    const char *argv[] = {"embed_exits", way, url, NULL};
    struct td_proc p = {.started = false};
    char said[256] = "";
    const char *line;
    bool ended;
    int code;
    char errors[512];

    assert_true(td_proc_start(&p, argv));
    while ((line = td_proc_line(&p, HOST_MS)) && strlen(said) < 200)
        snprintf(said + strlen(said), sizeof(said) - strlen(said), "%.40s;",
                 line);
    ended = td_proc_wait(&p, END_MS);
    code = td_proc_exit_code(&p);
    snprintf(errors, sizeof(errors), "%s", td_proc_errors(&p));
    td_proc_end(&p);
    if (!ended || code != 0 || errors[0])
        fail_msg("%s %s: %s, exit code %d, said \"%s\": %s", way, url,
                 ended ? "ended" : "still there", code, said, errors);
    if (strcmp(said, want) != 0)
        fail_msg("%s %s: said \"%s\", not \"%s\"", way, url, said, want);
}

static void expect_everywhere(const char *way, const char *want)
{
    expect_end(way, "inproc://exits", want);
    expect_end(way, broker.endpoint[0], want);
}

static void test_open_buses_do_not_keep_a_process(void **state)
{
    (void)state;
    expect_everywhere("return", "ending;");
    expect_everywhere("return-idle", "ending;");
    expect_everywhere("exit", "ending;");
    expect_everywhere("quick_exit", "ending;");
    expect_everywhere("thread", "ending;");
    expect_everywhere("another", "ending;");
}

static void test_a_handler_may_end_the_process(void **state)
{
    (void)state;
    expect_everywhere("handler", "ending;");
    expect_everywhere("handler-closing", "ending;closed: EDEADLK;closed: OK;");
}

static void test_buses_are_closed_at_exit(void **state)
{
    (void)state;
    expect_everywhere("return-closing", "ending;closed: OK;closed: OK;");
    expect_everywhere("thread-closing", "ending;closed: OK;closed: OK;");
}

static void test_a_bus_lives_from_constructor_to_destructor(void **state)
{
    (void)state;
    setenv("EARLY_URL", "inproc://early", 1);
    expect_everywhere("early", "early: OK;ending;early closed: OK;");
    setenv("EARLY_URL", broker.endpoint[0], 1);
    expect_everywhere("early", "early: OK;ending;early closed: OK;");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open_buses_do_not_keep_a_process),
        cmocka_unit_test(test_a_handler_may_end_the_process),
        cmocka_unit_test(test_buses_are_closed_at_exit),
        cmocka_unit_test(test_a_bus_lives_from_constructor_to_destructor),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
