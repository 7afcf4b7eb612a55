/* The command line's way to a broker, and the words when there is none. */
#include "tests/unit/cli_fixture.h"

#include <signal.h>
#include <stdlib.h>

#include "client/cli/connect.h"
#include "client/cli/stop.h"

#define NOBODY "tcp://127.0.0.1:1" /* tcpmux: reserved, and refused */

/* td_connect() with these settings; what it said. */
static int connect_to(const char *url, double timeout_s, const char **said)
{
    const struct td_settings s = {.url = url, .timeout_s = timeout_s};
    const struct tidings_options options = {.close_timeout_ms = -1};
    tidings_bus *bus = NULL;
    int code;

    said_begin();
    code = td_connect(&bus, &s, &options);
    *said = said_end();
    assert_true((code == TD_EXIT_DONE) == (bus != NULL));
    assert_ok(tidings_close(bus));
    return code;
}

static void test_connect_names_the_broker(void **state)
{
    const struct td_settings given = {.url = "tcp://given:1"};
    const struct td_settings none = {0};
    (void)state;

    unsetenv("TIDINGS_URL");
    assert_string_equal(td_url(&none), TIDINGS_DEFAULT_URL);
    setenv("TIDINGS_URL", "", 1);
    assert_string_equal(td_url(&none), TIDINGS_DEFAULT_URL);
    setenv("TIDINGS_URL", "tcp://env:1", 1);
    assert_string_equal(td_url(&none), "tcp://env:1");
    assert_string_equal(td_url(&given), "tcp://given:1");
    unsetenv("TIDINGS_URL");
}

static void test_connect_waits_as_long_as_it_was_told(void **state)
{
    static const struct {
        double seconds;
        int ms;
    } rows[] = {
        {0, TD_CLI_TIMEOUT_S * 1000}, {0.5, 500}, {2, 2000}, {0.0001, 1}};
    (void)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        const struct td_settings s = {.timeout_s = rows[i].seconds};

        assert_int_equal(td_timeout_ms(&s), rows[i].ms);
    }
}

static void test_connect_takes_no_words_for_a_broker(void **state)
{
    char word[] = "tcp://host:1";
    char *words[] = {word};
    struct td_settings s = {.words = words};
    const char *said;
    int code;
    (void)state;

    assert_int_equal(td_no_words(&s, "ping"), TD_EXIT_DONE);
    s.words_len = 1;
    said_begin();
    code = td_no_words(&s, "ping");
    said = said_end();
    assert_int_equal(code, TD_EXIT_USAGE);
    assert_string_equal(said, "tidings: ping takes no \"tcp://host:1\"; the "
                              "broker is named by --url\n");
}

static void test_connect_opens_a_bus(void **state)
{
    const char *said;
    (void)state;

    assert_int_equal(connect_to("inproc://cli", 0, &said), TD_EXIT_DONE);
    assert_string_equal(said, "");
}

static void test_connect_refuses_what_is_no_url(void **state)
{
    static const char *const urls[] = {"", "nonsense", "ftp://host:1",
                                       "tcp://host", "inproc://"};
    (void)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(urls); i++) {
        const char *said;

        assert_row(urls[i], connect_to(urls[i], 0, &said) == TD_EXIT_USAGE);
        assert_row(urls[i], strstr(said, "a URL is tcp://HOST:PORT") != NULL);
    }
}

static void test_connect_says_that_nobody_answers_and_what_to_do(void **state)
{
    const char *said;
    (void)state;

    assert_int_equal(connect_to(NOBODY, 0.3, &said), TD_EXIT_NO_BROKER);
    assert_string_equal(said, "tidings: no broker answers at " NOBODY
                              ": connection refused\n"
                              "  start one with: tidingsd --listen " NOBODY "\n"
                              "  or name another with --url or TIDINGS_URL\n");
}

/* The last test: it stays so. */
static void test_connect_says_nothing_to_who_sent_a_signal(void **state)
{
    int64_t start_us = td_clock_us();
    const char *said;
    (void)state;

    assert_true(td_stop_init());
    assert_int_equal(raise(SIGINT), 0);
    assert_int_equal(connect_to(NOBODY, TD_CLI_TIMEOUT_S_MAX, &said),
                     TD_EXIT_FAILED);
    assert_string_equal(said, "");
    assert_true(td_clock_us() - start_us <
                (int64_t)TD_CLI_TIMEOUT_S_MAX * 1000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connect_names_the_broker),
        cmocka_unit_test(test_connect_waits_as_long_as_it_was_told),
        cmocka_unit_test(test_connect_takes_no_words_for_a_broker),
        cmocka_unit_test(test_connect_opens_a_bus),
        cmocka_unit_test(test_connect_refuses_what_is_no_url),
        cmocka_unit_test(test_connect_says_that_nobody_answers_and_what_to_do),
        cmocka_unit_test(test_connect_says_nothing_to_who_sent_a_signal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
