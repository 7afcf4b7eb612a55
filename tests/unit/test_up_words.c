/* Commands written as one text: split as a shell would, without one. */
#include "tests/support/td_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/up/words.h"

#define WORDS_MAX 4

/* "word|word|", or "! what is wrong" */
static const char *split(const char *text)
{
    static char all[256];
    char *words[WORDS_MAX + 1];
    const char *wrong = td_up_words(words, WORDS_MAX, text);

    all[0] = '\0';
    if (wrong)
        snprintf(all, sizeof(all), "! %s", wrong);
    for (size_t i = 0; words[i]; i++)
        snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s|", words[i]);
    free(words[0]);
    return all;
}

static void test_words_are_split_as_a_shell_would(void **state)
{
    static const struct {
        const char *text;
        const char *words;
    } rows[] = {
        {"a", "a|"},
        {"  a \t b\nc ", "a|b|c|"},
        {"./inventory --db inv.db", "./inventory|--db|inv.db|"},
        {"a 'b c' \"d e\"", "a|b c|d e|"},
        {"a''b \"\" ''", "ab|||"},
        {"'a'\"b\"c", "abc|"},
        {"a\\ b \\'", "a b|'|"},
        {"'a\\b' \"a\\b\" \"\\\"\\\\\\$\"", "a\\b|a\\b|\"\\$|"},
        {"echo '$HOME | > `x`'", "echo|$HOME | > `x`|"},
        {"sub user.* a=b [z]", "sub|user.*|a=b|[z]|"},
        {"sub user.* #x ~/y", "sub|user.*|#x|~/y|"},
        {"a b c d", "a|b|c|d|"},
        {"a b c d e", "! too many words"},
        {"", "! no command"},
        {" \n", "! no command"},
        {"a 'b", "! a ' without another"},
        {"a \"b", "! a \" without another"},
        {"a \"b\\", "! a \" without another"},
        {"a \\", "! a \\ at the end"},
        {"\xff\xfe", "\xff\xfe|"},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_string_equal(split(rows[i].text), rows[i].words);
}

static void test_words_for_a_shell_are_refused(void **state)
{
    static const char *const rows[] = {"a | b",  "a > b", "a; b",  "a&",
                                       "$HOME",  "`a`",   "(a)",   "a <b",
                                       "\"$A\"", "\"`\"", "b c $x"};
    (void)state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *said = split(rows[i]);

        if (!strstr(said, "there is no shell") || !strstr(said, "[sh, -c,"))
            fail_msg("%s: %s", rows[i], said);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_are_split_as_a_shell_would),
        cmocka_unit_test(test_words_for_a_shell_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
