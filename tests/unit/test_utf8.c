/* UTF-8 as RFC 3629 has it: a table of what is and what is not. */
#include "tests/support/td_test.h"

#include "proto/utf8.h"

static const struct {
    const char *text;
    bool valid;
} rows[] = {
    {"", true},
    {"plain", true},
    {"\x01\x7f", true},
    {"\xc2\x80", true},         /* U+0080, the least of two bytes */
    {"\xdf\xbf", true},         /* U+07FF */
    {"\xe0\xa0\x80", true},     /* U+0800 */
    {"\xe2\x82\xac", true},     /* the euro sign */
    {"\xed\x9f\xbf", true},     /* U+D7FF, before the surrogates */
    {"\xee\x80\x80", true},     /* U+E000, after them */
    {"\xef\xbf\xbf", true},     /* U+FFFF */
    {"\xf0\x90\x80\x80", true}, /* U+10000 */
    {"\xf3\xbf\xbf\xbf", true}, /* U+FFFFF */
    {"\xf4\x8f\xbf\xbf", true}, /* U+10FFFF, the last */
    {"a\xc3\xa9z\xf0\x9f\x98\x80!", true},
    {"\x80", false}, /* a tail alone */
    {"\xbf", false},
    {"a\xff", false},
    {"\xfe", false},
    {"\xc0\x80", false}, /* U+0000 in two bytes */
    {"\xc1\xbf", false},
    {"\xe0\x9f\xbf", false},     /* U+07FF in three */
    {"\xf0\x8f\xbf\xbf", false}, /* U+FFFF in four */
    {"\xed\xa0\x80", false},     /* U+D800, a surrogate */
    {"\xed\xbf\xbf", false},
    {"\xf4\x90\x80\x80", false}, /* past the last */
    {"\xf5\x80\x80\x80", false},
    {"\xc3", false}, /* cut off */
    {"\xe2\x82", false},
    {"\xf0\x9f\x98", false},
    {"\xc3 ", false}, /* something else follows */
    {"\xe2\x82 ", false},
    {"\xe2\xc2\x80", false},
    {"\xf0\x9f\x98\xc2", false},
    {"\xf0\x9f\x98\x80\x80", false},
};

static void test_utf8_is_told_from_what_is_not(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        char row[64];

        snprintf(row, sizeof(row), "row %zu, %zu bytes", i,
                 strlen(rows[i].text));
        assert_row(row, td_utf8_valid(rows[i].text) == rows[i].valid);
    }
}

/* Each byte alone, and any bytes as a text that is one. */
static void test_utf8_is_made_of_any_bytes(void **state)
{
    static const struct {
        const char *text, *want;
        size_t size;
    } cleaned[] = {
        {"", "", 1},
        {"plain", "plain", 6},
        {"plain", "plai", 5},
        {"a\xffz", "a?z", 8},
        {"\xe2\x82", "??", 8},
        {"\xe2\x82\xac", "\xe2\x82\xac", 4},
        {"\xe2\x82\xac", "", 3},
        {"a\xf0\x9f\x98\x80", "a", 5},
    };
    (void)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(cleaned); i++) {
        char to[16];

        td_utf8_clean(to, cleaned[i].size, cleaned[i].text);
        assert_string_equal(to, cleaned[i].want);
        assert_true(td_utf8_valid(to));
    }
}

/* A text that was cut anywhere. */
static void test_utf8_takes_back_half_a_character(void **state)
{
    static const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z";
    static const size_t ends[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11};
    (void)state;

    for (size_t cut = 0; cut < TD_ARRAY_LEN(ends); cut++) {
        char copy[sizeof(text)] = "";

        memcpy(copy, text, cut);
        td_utf8_trim(copy);
        assert_int_equal(strlen(copy), ends[cut]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utf8_is_told_from_what_is_not),
        cmocka_unit_test(test_utf8_is_made_of_any_bytes),
        cmocka_unit_test(test_utf8_takes_back_half_a_character),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
