/* Lists in one column: never past their end. */
#include "tests/support/td_test.h"

#include "client/cli/joined.h"

static void test_join_puts_separators_between(void **state)
{
    struct td_joined j = {.len = 0};
    (void)state;

    td_join(&j, ", ", "%s", "a");
    td_join(&j, ", ", "%s", "b");
    td_join(&j, " ", "+%d", 3);
    assert_string_equal(j.text, "a, b +3");
}

static void test_join_cuts_what_is_too_long(void **state)
{
    char longer[4 * sizeof(((struct td_joined *)NULL)->text)];
    (void)state;

    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    for (size_t len = 1000; len < 1100; len++) {
        struct td_joined j = {.len = 0};

        td_join(&j, " ", "%.*s", (int)len, longer);
        for (int i = 0; i < 3; i++)
            td_join(&j, ", ", "%s", longer);
        assert_int_equal(j.len, sizeof(j.text) - 1);
        assert_int_equal(strlen(j.text), j.len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_join_puts_separators_between),
        cmocka_unit_test(test_join_cuts_what_is_too_long),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
