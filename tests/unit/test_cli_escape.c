/* The command line's escaping: what a terminal gets to see of any bytes. */
#include "tests/support/td_test.h"

#include <stdlib.h>

#include "client/cli/escape.h"

#define ROW(s) s, sizeof(s) - 1

static const struct {
    const char *bytes;
    size_t len;
    const char *shown;
    size_t columns;
} rows[] = {
    {ROW(""), "", 0},
    {ROW("plain text"), "plain text", 10},
    {ROW("{\"a\":\"\\n\"}"), "{\"a\":\"\\n\"}", 10}, /* JSON stays JSON */
    {ROW("gr\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80"),
     "gr\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80", 5},
    /* what a terminal obeys */
    {ROW("\n\r\t"), "\\n\\r\\t", 6},
    {ROW("\0"), "\\u0000", 6},
    {ROW("a\x1b[31mb"), "a\\u001b[31mb", 12},
    {ROW("\x7f"), "\\u007f", 6},
    {ROW("\xc2\x80\xc2\x9b\xc2\x9f\xc2\xa0"), "\\u0080\\u009b\\u009f\xc2\xa0",
     19},
    {ROW("\xd8\x9c"), "\\u061c", 6},
    {ROW("\xe2\x80\x8d\xe2\x80\x8e\xe2\x80\x8f\xe2\x80\x90"),
     "\xe2\x80\x8d\\u200e\\u200f\xe2\x80\x90", 14},
    {ROW("\xe2\x80\xa8\xe2\x80\xae\xe2\x80\xaf"), "\\u2028\\u202e\xe2\x80\xaf",
     13},
    {ROW("\xe2\x81\xa6\xe2\x81\xa9\xe2\x81\xaa"), "\\u2066\\u2069\xe2\x81\xaa",
     13},
    /* what is not UTF-8 */
    {ROW("\x80"), "\\x80", 4},
    {ROW("a\xff"
         "b"),
     "a\\xffb", 6},
    {ROW("\xfe\xf8\x88"), "\\xfe\\xf8\\x88", 12},
    {ROW("\xc3"), "\\xc3", 4}, /* cut short */
    {ROW("\xe2\x82"), "\\xe2\\x82", 8},
    {ROW("\xf0\x9f\x98"), "\\xf0\\x9f\\x98", 12},
    {ROW("\xc3z"), "\\xc3z", 5}, /* gone on wrongly */
    {ROW("\xe2\x82\xc3\xbc"), "\\xe2\\x82\xc3\xbc", 9},
    {ROW("\xc0\x80"), "\\xc0\\x80", 8}, /* overlong */
    {ROW("\xc1\xbf"), "\\xc1\\xbf", 8},
    {ROW("\xe0\x9f\xbf"), "\\xe0\\x9f\\xbf", 12},
    {ROW("\xf0\x8f\xbf\xbf"), "\\xf0\\x8f\\xbf\\xbf", 16},
    {ROW("\xed\xa0\x80"), "\\xed\\xa0\\x80", 12}, /* surrogates */
    {ROW("\xed\xbf\xbf"), "\\xed\\xbf\\xbf", 12},
    {ROW("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80", 16}, /* past the end */
    {ROW("\xf4\x8f\xbf\xbf"), "\xf4\x8f\xbf\xbf", 1},
};

/* What a stream gets; to be freed. */
static char *shown(const char *bytes, size_t len, size_t *columns)
{
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);

    assert_non_null(stream);
    *columns = td_put_escaped(stream, bytes, len);
    assert_int_equal(fclose(stream), 0);
    return text;
}

static void test_escape_is_the_same_in_streams_and_in_memory(void **state)
{
    (void)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        const char *want = rows[i].shown;
        size_t columns;
        char *text = shown(rows[i].bytes, rows[i].len, &columns);
        char memory[64];

        assert_row(want, strcmp(text, want) == 0);
        assert_row(want, columns == rows[i].columns);
        assert_row(want, td_escaped_columns(rows[i].bytes, rows[i].len) ==
                             rows[i].columns);
        assert_row(want, td_escape(memory, sizeof(memory), rows[i].bytes,
                                   rows[i].len) == strlen(want));
        assert_row(want, strcmp(memory, want) == 0);
        free(text);
    }
}

/* The characters that fit, whole, and nothing after the first that does not. */
static void test_escape_is_cut_behind_a_whole_character(void **state)
{
    static const char bytes[] = "a\xe2\x82\xac\x1b\xff"
                                "bc";
    static const char want[] = "a\xe2\x82\xac\\u001b\\xffbc";
    static const size_t ends[] = {0, 1, 4, 10, 14, 15, 16};
    (void)state;

    for (size_t room = 0; room <= strlen(want); room++) {
        char memory[32];
        size_t fits = 0;

        memset(memory, '#', sizeof(memory));
        for (size_t i = 0; i < TD_ARRAY_LEN(ends) && ends[i] <= room; i++)
            fits = ends[i];
        assert_row_at(want, room,
                      td_escape(memory, room + 1, bytes, sizeof(bytes) - 1) ==
                          fits);
        assert_row_at(want, room, memcmp(memory, want, fits) == 0);
        assert_row_at(want, room, memory[fits] == '\0');
        assert_row_at(want, room, memory[room + 1] == '#');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escape_is_the_same_in_streams_and_in_memory),
        cmocka_unit_test(test_escape_is_cut_behind_a_whole_character),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
