/* The grammar of types, patterns and groups, and matching (FAULTS W17, W18, W19). */
#include "tests/support/td_test.h"

#include <stdlib.h>

#include "proto/limits.h"
#include "proto/type.h"

/* Bytes with their length, so that a row may hold a NUL. */
#define ROW(s) s, sizeof(s) - 1

#define A16       "aaaaaaaaaaaaaaaa"
#define A64       A16 A16 A16 A16
#define A255      A64 A64 A64 A16 A16 A16 "aaaaaaaaaaaaaaa"
#define TOKENS_15 "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o"

static const struct {
    const char *text;
    size_t len;
    bool type;    /* valid as a type */
    bool pattern; /* valid as a pattern */
} grammar[] = {
    {ROW("a"), true, true},
    {ROW("user.created"), true, true},
    {ROW("$sys.up"), true, true},
    {ROW("!\"#$%&'()+,-/0.:;<=?@A"), true, true},
    {ROW("{|}~.[\\]^_`"), true, true},
    {ROW("0.1.2"), true, true},

    {ROW(""), false, false},
    {ROW("."), false, false},
    {ROW(".a"), false, false},
    {ROW("a."), false, false},
    {ROW("a..b"), false, false},
    {ROW("..."), false, false},
    {ROW(" "), false, false},
    {ROW("a b"), false, false},
    {ROW("a.b "), false, false},
    {ROW("a\tb"), false, false},
    {ROW("a\nb"), false, false},
    {ROW("\x1f"), false, false},
    {ROW("\x7f"), false, false},
    {ROW("\0"), false, false},
    {ROW("a\0b"), false, false},
    {ROW("a\0"), false, false},
    {ROW("\0a"), false, false},
    {ROW("a.\0.b"), false, false},
    {ROW("gr\xc3\xbc\xc3\x9f"), false, false}, /* UTF-8 */
    {ROW("a.\xc0\xaf"), false, false},         /* overlong */
    {ROW("a.\xed\xa0\x80"), false, false},     /* surrogate */
    {ROW("\x80"), false, false},
    {ROW("\xff.a"), false, false},

    {ROW("*"), false, true},
    {ROW(">"), false, true},
    {ROW("*.a"), false, true},
    {ROW("a.*"), false, true},
    {ROW("*.*.*"), false, true},
    {ROW("a.>"), false, true},
    {ROW("*.>"), false, true},
    {ROW("a.*.b.>"), false, true},
    {ROW(">.a"), false, false},
    {ROW("a.>.b"), false, false},
    {ROW(">.>"), false, false},
    {ROW(">."), false, false},
    {ROW("a*"), false, false},
    {ROW("*a"), false, false},
    {ROW("**"), false, false},
    {ROW("a.**"), false, false},
    {ROW("a>"), false, false},
    {ROW(">>"), false, false},
    {ROW("*>"), false, false},
    {ROW("a.b*c.d"), false, false},

    {ROW(TOKENS_15 ".p"), true, true},
    {ROW(TOKENS_15 ".>"), false, true},
    {ROW(TOKENS_15 ".p.q"), false, false},
    {ROW(TOKENS_15 ".p.>"), false, false},
    {ROW("*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*"), false, true},
    {ROW("*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*"), false, false},
    {ROW(A255), true, true},
    {ROW(A255 "a"), false, false},
    {ROW(A64 "." A64 "." A64 "." A16 A16 A16 "aaaaaaaaaaaa"), true, true},
    {ROW(A64 "." A64 "." A64 "." A64), false, false},
};

static void test_type_and_pattern_grammar(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(grammar); i++) {
        const char *text = grammar[i].text;
        size_t len = grammar[i].len;

        assert_row_at(text, len, td_type_valid(text, len) == grammar[i].type);
        assert_row_at(text, len,
                      td_pattern_valid(text, len) == grammar[i].pattern);
    }
}

/* Copies of the exact size, so that the address sanitizer sees a byte read
 * beyond the end; and the answer does not hang on what follows. */
static void test_type_reads_nothing_beyond_its_length(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(grammar); i++) {
        size_t len = grammar[i].len;
        char *copy = malloc(len + !len);

        assert_non_null(copy);
        memcpy(copy, grammar[i].text, len);
        assert_row(grammar[i].text,
                   td_type_valid(copy, len) == grammar[i].type);
        assert_row(grammar[i].text,
                   td_pattern_valid(copy, len) == grammar[i].pattern);
        if (grammar[i].pattern)
            assert_row(grammar[i].text,
                       td_pattern_match(copy, len, copy, len) ||
                           !grammar[i].type);
        free(copy);
    }
}

static void test_type_every_byte_value_alone_and_inside(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        char text[] = {'a', (char)c, 'b'};
        bool plain = c > 32 && c < 127 && c != '.' && c != '*' && c != '>';

        assert_row_at("one byte", c, td_type_valid(text + 1, 1) == plain);
        assert_row_at("inside", c,
                      td_type_valid(text, 3) == (plain || c == '.'));
    }
}

static void test_type_refuses_only_separators_of_any_length(void **state)
{
    static char dots[65535];

    (void)state;
    memset(dots, '.', sizeof(dots));
    for (size_t len = 1; len <= sizeof(dots); len = 2 * len + 1) {
        assert_row_at("dots", len, !td_type_valid(dots, len));
        assert_row_at("dots", len, !td_pattern_valid(dots, len));
    }
}

static void test_type_system_begins_with_a_dollar(void **state)
{
    (void)state;
    assert_true(td_type_is_system("$sys", 4));
    assert_true(td_type_is_system("$", 1));
    assert_false(td_type_is_system("user.$x", 7));
    assert_false(td_type_is_system("$", 0));
}

/* Printable ASCII without what a shell or a path would trip over. */
static void test_group_grammar(void **state)
{
    static const struct {
        const char *text;
        size_t len;
        bool valid;
    } rows[] = {
        {ROW("a"), true},      {ROW("Work-ers_2.eu"), true},
        {ROW("."), true},      {ROW("-"), true},
        {ROW(A64), true},      {ROW(""), false},
        {ROW(A64 "a"), false}, {ROW("a b"), false},
        {ROW("a/b"), false},   {ROW("a*"), false},
        {ROW(">"), false},     {ROW("$a"), false},
        {ROW("a\0"), false},   {ROW("\0"), false},
        {ROW("a\n"), false},   {ROW("gr\xc3\xbc"), false},
        {ROW("\xff"), false},
    };

    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++)
        assert_row(rows[i].text,
                   td_group_valid(rows[i].text, rows[i].len) == rows[i].valid);
    for (int c = 0; c < 256; c++) {
        char name = (char)c;
        bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
                     (c >= 'a' && c <= 'z') || c == '_' || c == '.' || c == '-';

        assert_row_at("one byte", c, td_group_valid(&name, 1) == plain);
    }
}

static const struct {
    const char *pattern;
    const char *type;
    bool matches;
} matches[] = {
    {"a", "a", true},
    {"a", "b", false},
    {"a", "aa", false},
    {"aa", "a", false},
    {"a", "a.b", false},
    {"a.b", "a", false},
    {"user.created", "user.created", true},
    {"user.created", "user.create", false},
    {"user.created", "user.createdx", false},
    {"user.created", "User.created", false},
    {"*", "a", true},
    {"*", "abc", true},
    {"*", "a.b", false},
    {"a.*", "a.b", true},
    {"a.*", "a", false},
    {"a.*", "a.b.c", false},
    {"a.*", "b.b", false},
    {"*.b", "a.b", true},
    {"*.b", "b", false},
    {"*.b", "a.a.b", false},
    {"a.*.c", "a.b.c", true},
    {"a.*.c", "a.c", false},
    {"a.*.c", "a.b.b.c", false},
    {"*.*", "a.b", true},
    {"*.*", "a", false},
    {"*.*", "a.b.c", false},
    {">", "a", true},
    {">", "a.b.c", true},
    {">", "a.$b.$", true}, /* not the system's: that begins with a dollar */
    {"a.*", "a.$b", true},
    {">", "$sys.up", false},
    {">", "$", false},
    {"*", "$", false},
    {"*", "$sys", false},
    {"*.up", "$sys.up", false},
    {"*.*", "$sys.up", false},
    {"*.>", "$tidings.session.up", false},
    {"$", "$", true},
    {"$sys.up", "$sys.up", true},
    {"$sys.up", "$sys.down", false},
    {"$sys.*", "$sys.up", true},
    {"$sys.*", "sys.up", false},
    {"$tidings.>", "$tidings.session.up", true},
    {"$tidings.>", "$tidings", false},
    {"$tidings.*.>", "$tidings.session.up", true},
    {"a.>", "a", false},
    {"a.>", "a.b", true},
    {"a.>", "a.b.c.d", true},
    {"a.>", "b.a", false},
    {"a.>", "aa.b", false},
    {"*.>", "a", false},
    {"*.>", "a.b", true},
    {"*.>", "a.b.c", true},
    {"a.*.>", "a.b", false},
    {"a.*.>", "a.b.c", true},
    {"*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*", TOKENS_15 ".p", true},
    {"*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*", TOKENS_15, false},
    {"*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.>", TOKENS_15 ".p", true},
    {"*.*.*.*.*.*.*.*.*.*.*.*.*.*.*.>", TOKENS_15, false},
    {TOKENS_15 ".>", TOKENS_15 ".p", true},
    {A255, A255, true},
};

static void test_pattern_matches_by_whole_tokens(void **state)
{
    char row[2 * TD_TYPE_BYTES_MAX + 8];

    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(matches); i++) {
        const char *pattern = matches[i].pattern;
        const char *type = matches[i].type;

        snprintf(row, sizeof(row), "%s ~ %s", pattern, type);
        assert_row(row, td_pattern_valid(pattern, strlen(pattern)));
        assert_row(row, td_type_valid(type, strlen(type)));
        assert_row(row, td_pattern_match(pattern, strlen(pattern), type,
                                         strlen(type)) == matches[i].matches);
    }
}

static void test_token_next_cuts_at_each_dot(void **state)
{
    const char *s = "ab.c";
    const char *rest;

    (void)state;
    assert_int_equal(td_token_next(s, 4, &rest), 2);
    assert_ptr_equal(rest, s + 3);
    assert_int_equal(td_token_next(rest, 1, &rest), 1);
    assert_null(rest);

    assert_int_equal(td_token_next(s, 3, &rest), 2); /* "ab." */
    assert_ptr_equal(rest, s + 3);
    assert_int_equal(td_token_next(rest, 0, &rest), 0);
    assert_null(rest);
}

/* ---- patterns that overlap ---- */

#define SHORT_MAX 16   /* bytes of what is tried */
#define PATTERNS  800  /* all of up to four tokens */
#define TYPES     1400 /* all of up to five tokens */

/* All sequences of up to `depth` of these tokens that `valid` takes. */
static size_t spell(char (*out)[SHORT_MAX], size_t room,
                    const char *const *tokens, size_t n, unsigned depth,
                    bool (*valid)(const char *s, size_t len))
{
    size_t len = 0;

    for (size_t from = 0, level = 0; level < depth; level++) {
        size_t end = len;

        for (size_t i = from; i < (level ? end : from + 1); i++) {
            for (size_t k = 0; k < n; k++) {
                assert_true(len < room);
                snprintf(out[len], SHORT_MAX, "%s%s%s", level ? out[i] : "",
                         level ? "." : "", tokens[k]);
                len++;
            }
        }
        from = end;
    }
    /* Only now: what is not valid goes on to nothing that is. */
    size_t kept = 0;

    for (size_t i = 0; i < len; i++) {
        if (valid(out[i], strlen(out[i])))
            memmove(out[kept++], out[i], SHORT_MAX);
    }
    return kept;
}

/* Of each pattern, which types it matches, as bits. */
static uint64_t matched[PATTERNS][TYPES / 64 + 1];

static bool share_a_type(size_t a, size_t b)
{
    for (size_t i = 0; i < TD_ARRAY_LEN(matched[a]); i++) {
        if (matched[a][i] & matched[b][i])
            return true;
    }
    return false;
}

/* Against all types that could tell patterns of four tokens apart: one more
 * token than they have, and one that stands in none of them. */
static void test_patterns_overlap_when_a_type_matches_both(void **state)
{
    static const char *const in_patterns[] = {"a", "bb", "*", ">", "$"};
    static const char *const in_types[] = {"a", "bb", "c", "$"};
    static char patterns[PATTERNS][SHORT_MAX];
    static char types[TYPES][SHORT_MAX];
    size_t n = spell(patterns, PATTERNS, in_patterns, 5, 4, td_pattern_valid);
    size_t m = spell(types, TYPES, in_types, 4, 5, td_type_valid);

    (void)state;
    assert_int_equal(m, 4 + 16 + 64 + 256 + 1024);
    assert_int_equal(n, 4 + 16 + 64 + 256 + 1 + 4 + 16 + 64);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < m; k++) {
            if (!td_type_is_system(types[k], strlen(types[k])) &&
                td_pattern_match(patterns[i], strlen(patterns[i]), types[k],
                                 strlen(types[k])))
                matched[i][k / 64] |= UINT64_C(1) << k % 64;
        }
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < n; k++) {
            char row[2 * SHORT_MAX + 4];

            snprintf(row, sizeof(row), "%s & %s", patterns[i], patterns[k]);
            assert_row(row, td_pattern_overlaps(
                                patterns[i], strlen(patterns[i]), patterns[k],
                                strlen(patterns[k])) == share_a_type(i, k));
        }
    }
}

static void test_patterns_of_the_system_overlap_with_nothing(void **state)
{
    static const char *const rows[][2] = {
        {"$sys.up", "$sys.up"}, {"$sys.>", "$sys.>"}, {"$sys.>", ">"},
        {"$sys.*", "*.*"},      {"*", "$sys"},        {">", "$dlq.>"},
    };

    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++)
        assert_row(rows[i][0],
                   !td_pattern_overlaps(rows[i][0], strlen(rows[i][0]),
                                        rows[i][1], strlen(rows[i][1])));
    /* elsewhere a dollar is a letter */
    assert_true(td_pattern_overlaps("a.$b", 4, "*.$b", 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_type_and_pattern_grammar),
        cmocka_unit_test(test_type_reads_nothing_beyond_its_length),
        cmocka_unit_test(test_type_every_byte_value_alone_and_inside),
        cmocka_unit_test(test_type_refuses_only_separators_of_any_length),
        cmocka_unit_test(test_type_system_begins_with_a_dollar),
        cmocka_unit_test(test_group_grammar),
        cmocka_unit_test(test_pattern_matches_by_whole_tokens),
        cmocka_unit_test(test_token_next_cuts_at_each_dot),
        cmocka_unit_test(test_patterns_overlap_when_a_type_matches_both),
        cmocka_unit_test(test_patterns_of_the_system_overlap_with_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
