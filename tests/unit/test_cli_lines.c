/* The command line's input: what a line is, and how it ends. */
#include "tests/unit/cli_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "client/cli/lines.h"
#include "client/cli/stop.h"

/* A file with these bytes, read from its start. */
static int file_of(const void *bytes, size_t len)
{
    FILE *file = tmpfile();
    int fd;

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fflush(file), 0);
    fd = dup(fileno(file));
    fclose(file);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

/* What came of an input: how it ended, the lines as one text with a '|' behind
 * each, and the number of the last. */
struct read {
    enum td_line end;
    char lines[256];
    size_t longest;
    uint64_t number;
    char said[SAID_MAX];
};

static void read_all(struct read *r, int fd)
{
    struct td_lines lines = {0};
    const char *line;
    size_t len;
    int kept = stand_in(STDIN_FILENO, fd);
    size_t used = 0;

    memset(r, 0, sizeof(*r));
    said_begin();
    while ((r->end = td_lines_next(&lines, &line, &len)) == TD_LINE) {
        if (len > r->longest)
            r->longest = len;
        if (len < sizeof(r->lines) - used - 1) {
            memcpy(r->lines + used, line, len);
            used += len;
            r->lines[used++] = '|';
        }
    }
    r->number = lines.number;
    snprintf(r->said, sizeof(r->said), "%s", said_end());
    td_lines_fini(&lines);
    stand_back(STDIN_FILENO, kept);
}

static const struct {
    const char *input;
    const char *lines;
    unsigned number;
} rows[] = {
    {"", "", 0},
    {"\n", "", 1},
    {"a\n", "a|", 1},
    {"a", "a|", 1}, /* without a line break */
    {"a\nb\n", "a|b|", 2},
    {"a\r\nb\r\n", "a|b|", 2},
    {"a\rb\n", "a\rb|", 1},
    {"\n \t\r\n\na\n\n", "a|", 5}, /* blank ones count */
    {" a \n", " a |", 1},
    {"a\n\n  ", "a|", 3},
};

static void test_lines_are_handed_out_without_what_ends_them(void **state)
{
    struct read r;
    (void)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        const char *input = rows[i].input;

        read_all(&r, file_of(input, strlen(input)));
        assert_row(input, r.end == TD_LINE_END);
        assert_row(input, strcmp(r.lines, rows[i].lines) == 0);
        assert_row(input, r.number == rows[i].number);
        assert_row(input, *r.said == '\0');
    }
}

static void test_lines_hold_any_bytes(void **state)
{
    static const char input[] = "a\0b\xff\nc\n";
    struct read r;
    (void)state;

    read_all(&r, file_of(input, sizeof(input) - 1));
    assert_int_equal(r.end, TD_LINE_END);
    assert_memory_equal(r.lines, "a\0b\xff|c|", 8);
}

/* Two lines of so many bytes. */
static int long_lines(size_t len)
{
    char *input = malloc(2 * len + 2);
    int fd;

    assert_non_null(input);
    memset(input, 'x', 2 * len + 2);
    input[len] = input[2 * len + 1] = '\n';
    fd = file_of(input, 2 * len + 2);
    free(input);
    return fd;
}

static void test_lines_are_long_up_to_a_bound(void **state)
{
    struct read r;
    (void)state;

    read_all(&r, long_lines(100000)); /* more than is read at once */
    assert_int_equal(r.end, TD_LINE_END);
    assert_int_equal(r.number, 2);
    assert_int_equal(r.longest, 100000);
    read_all(&r, long_lines(TD_LINE_BYTES_MAX - 1));
    assert_int_equal(r.end, TD_LINE_END);
    assert_int_equal(r.longest, TD_LINE_BYTES_MAX - 1);
    read_all(&r, long_lines(TD_LINE_BYTES_MAX));
    assert_int_equal(r.end, TD_LINE_FAILED);
    assert_int_equal(r.number, 0);
    assert_non_null(strstr(r.said, "line 1 of the input is longer than"));
}

static void test_lines_that_cannot_be_read_fail(void **state)
{
    struct read r;
    (void)state;

    read_all(&r, open("/", O_RDONLY));
    assert_int_equal(r.end, TD_LINE_FAILED);
    assert_non_null(strstr(r.said, "reading the input: "));
}

/* The last test: it stays so. */
static void test_lines_stop_at_a_signal_while_the_input_is_open(void **state)
{
    struct read r;
    int ends[2];
    (void)state;

    assert_true(td_stop_init());
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(raise(SIGTERM), 0);
    read_all(&r, ends[0]);
    close(ends[1]);
    assert_int_equal(r.end, TD_LINE_STOPPED);
    assert_string_equal(r.said, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_are_handed_out_without_what_ends_them),
        cmocka_unit_test(test_lines_hold_any_bytes),
        cmocka_unit_test(test_lines_are_long_up_to_a_bound),
        cmocka_unit_test(test_lines_that_cannot_be_read_fail),
        cmocka_unit_test(test_lines_stop_at_a_signal_while_the_input_is_open),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
