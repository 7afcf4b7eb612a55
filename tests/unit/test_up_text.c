/* What processes print, as lines. */
#include "tests/support/td_test.h"

#include <stdio.h>
#include <string.h>

#include "client/cli/up/text.h"

static char said[3 * TD_UP_LINE_BYTES];
static size_t said_len;

static void on_line(void *arg, const char *line, size_t len)
{
    (void)arg;
    memcpy(said + said_len, line, len);
    said_len += len;
    said[said_len++] = '|';
    said[said_len] = '\0';
}

/* What becomes of the text, fed in pieces of that size. */
static const char *lines_of(const char *text, size_t len, size_t piece)
{
    static struct td_up_text t;

    t.len = 0;
    said_len = 0;
    said[0] = '\0';
    for (size_t at = 0; at < len; at += piece)
        td_up_text_feed(&t, text + at, len - at < piece ? len - at : piece,
                        on_line, NULL);
    td_up_text_end(&t, on_line, NULL);
    return said;
}

static void test_text_is_lines_however_it_comes(void **state)
{
    static const struct {
        const char *text;
        const char *lines;
    } rows[] = {
        {"", ""},
        {"a", "a|"},
        {"a\n", "a|"},
        {"\n", "|"},
        {"a\nb", "a|b|"},
        {"a\n\nb\n", "a||b|"},
        {"a\r\nb\r", "a|b|"},
        {"a\rb\n", "a\rb|"},
        {"\r\n", "|"},
        {"\xc3\n\xc3", "\xc3|\xc3|"},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t piece = 1; piece < 5; piece++)
            assert_string_equal(
                lines_of(rows[i].text, strlen(rows[i].text), piece),
                rows[i].lines);
    }
}

static void test_text_without_an_end_is_cut_between_characters(void **state)
{
    static const char *const last[] = {"\xc3\xa4", "\xe2\x82\xac",
                                       "\xf0\x9f\x98\x80", "\x80", "\xff"};
    static char text[TD_UP_LINE_BYTES + 8];
    (void)state;

    for (size_t i = 0; i < sizeof(last) / sizeof(last[0]); i++) {
        for (size_t before = TD_UP_LINE_BYTES - 4; before <= TD_UP_LINE_BYTES;
             before++) {
            size_t len = strlen(last[i]);
            const char *cut;

            memset(text, 'a', before);
            memcpy(text + before, last[i], len);
            text[before + len] = 'b';
            lines_of(text, before + len + 1, 1000);
            cut = memchr(said, '|', said_len);
            if (!strstr(said, last[i]) ||
                (size_t)(cut - said) > TD_UP_LINE_BYTES)
                fail_msg("row %zu, %zu bytes before it", i, before);
        }
    }
}

static void test_text_of_exactly_a_line_is_one(void **state)
{
    static char text[TD_UP_LINE_BYTES + 1];
    (void)state;

    memset(text, 'a', TD_UP_LINE_BYTES);
    text[TD_UP_LINE_BYTES] = '\n';
    lines_of(text, sizeof(text), sizeof(text));
    assert_int_equal(said_len, TD_UP_LINE_BYTES + 1);
    lines_of(text, sizeof(text), 7);
    assert_int_equal(said_len, TD_UP_LINE_BYTES + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_is_lines_however_it_comes),
        cmocka_unit_test(test_text_without_an_end_is_cut_between_characters),
        cmocka_unit_test(test_text_of_exactly_a_line_is_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
