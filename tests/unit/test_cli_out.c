/* The command line's output: what is said, and what becomes of an output that
 * cannot be written. */
#include "tests/unit/cli_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "client/cli/cli.h"
#include "client/cli/out.h"

/* ---- complaints ---- */

static void test_out_complains_without_codes_for_terminals(void **state)
{
    const char *said;
    (void)state;

    said_begin();
    td_complain("type \"%s\"", "\x1b[31m\xff");
    td_advise("try %d", 2);
    said = said_end();
    assert_string_equal(said, "tidings: type \"\\u001b[31m\\xff\"\n  try 2\n");
}

static void test_out_cuts_a_complaint_that_is_too_long(void **state)
{
    char word[2048];
    const char *said;
    (void)state;

    memset(word, 'x', sizeof(word));
    word[sizeof(word) - 1] = '\0';
    said_begin();
    td_complain("%s", word);
    said = said_end();
    assert_int_equal(strlen(said), strlen("tidings: ") + 1023 + 1);
}

static const struct {
    tidings_err err;
    int code;
} codes[] = {
    {TIDINGS_EUNREACH, TD_EXIT_NO_BROKER},
    {TIDINGS_ETIMEDOUT, TD_EXIT_TIMED_OUT},
    {TIDINGS_EFULL, TD_EXIT_TIMED_OUT},
    {TIDINGS_EINVAL, TD_EXIT_FAILED},
    {TIDINGS_ECLOSED, TD_EXIT_FAILED},
};

static void test_out_says_why_a_call_failed(void **state)
{
    char want[256];
    (void)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(codes); i++) {
        const char *name = tidings_err_name(codes[i].err);
        int code;

        tidings_set_detail("");
        said_begin();
        code = td_complain_err(codes[i].err, "what");
        snprintf(want, sizeof(want), "tidings: what: %s\n",
                 tidings_err_text(codes[i].err));
        assert_row(name, strcmp(said_end(), want) == 0);
        assert_row(name, code == codes[i].code);
    }
    tidings_set_detail("the reason");
    assert_string_equal(td_why(TIDINGS_EINVAL), "the reason");
    tidings_set_detail("");
}

/* ---- what goes wrong with standard output ---- */

struct output {
    bool open; /* before and after */
    bool open_then;
    bool gone;
    int code;
    char said[SAID_MAX];
};

/* Something printed while fd stands for standard output. */
static void print_to(struct output *o, int fd)
{
    int kept;

    fflush(stdout);
    kept = stand_in(STDOUT_FILENO, fd);
    said_begin();
    o->open = td_out_open();
    printf("x\n");
    o->gone = td_reader_gone();
    o->code = td_flush_out();
    o->open_then = td_out_open();
    snprintf(o->said, sizeof(o->said), "%s", said_end());
    stand_back(STDOUT_FILENO, kept);
    clearerr(stdout);
}

static void test_out_that_is_written_is_no_failure(void **state)
{
    struct output o;
    (void)state;

    print_to(&o, open("/dev/null", O_WRONLY));
    assert_true(o.open && o.open_then && !o.gone);
    assert_int_equal(o.code, TD_EXIT_DONE);
    assert_string_equal(o.said, "");
}

static void test_out_that_is_full_is_a_failure(void **state)
{
    struct output o;
    int full = open("/dev/full", O_WRONLY);
    (void)state;

    if (full < 0)
        skip();
    print_to(&o, full);
    assert_true(o.open && !o.open_then && !o.gone);
    assert_int_equal(o.code, TD_EXIT_FAILED);
    assert_string_equal(o.said, "tidings: the output could not be written\n");
}

static void test_out_whose_reader_went_away_is_no_failure(void **state)
{
    struct output o;
    int ends[2];
    (void)state;

    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    signal(SIGPIPE, SIG_IGN);
    print_to(&o, ends[1]);
    signal(SIGPIPE, SIG_DFL);
    assert_true(!o.open && !o.open_then && o.gone);
    assert_int_equal(o.code, TD_EXIT_DONE);
    assert_string_equal(o.said, "");
}

static void test_out_that_is_no_terminal_is_not_painted(void **state)
{
    FILE *file = tmpfile();
    (void)state;

    assert_non_null(file);
    setenv("TERM", "xterm", 1);
    assert_false(td_is_terminal(file));
    assert_false(td_paints(file));
    assert_false(td_wants_colour(file));
    assert_int_equal(td_terminal_lines(file), 24);
    fclose(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_out_complains_without_codes_for_terminals),
        cmocka_unit_test(test_out_cuts_a_complaint_that_is_too_long),
        cmocka_unit_test(test_out_says_why_a_call_failed),
        cmocka_unit_test(test_out_that_is_written_is_no_failure),
        cmocka_unit_test(test_out_that_is_full_is_a_failure),
        cmocka_unit_test(test_out_whose_reader_went_away_is_no_failure),
        cmocka_unit_test(test_out_that_is_no_terminal_is_not_painted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
