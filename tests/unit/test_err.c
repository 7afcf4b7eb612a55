/* The error map: values never change, and every one has its own text. */
#include "tests/support/td_test.h"

/* Append only: a line here is never edited, since values travel. */
static const struct {
    const char *name;
    int value;
} fixed[] = {
    {"OK", 0},
    {"ENOMEM", 1},
    {"EINVAL", 2},
    {"EFULL", 3},
    {"ECLOSED", 4},
    {"EPROTO", 5},
    {"ETIMEDOUT", 6},
    {"ENOTFOUND", 7},
    {"EUNREACH", 8},
    {"EIO", 9},
    {"EDEADLK", 10},
    {"EFORKED", 11},
    {"EVERSION", 12},
    {"ELIMIT", 13},
    {"EEXIST", 14},
    {"ENOTSUP", 15},
    {"ESHUTDOWN", 16},
    {"EHANDLER", 17},
    {"ENOSTREAM", 18},
    {"ECONFLICT", 19},
    {"ELATER", 20},
    {"ERELEASE", 21},
    {"ETERM", 22},
    {"EFENCED", 23},
    {"ENORESPONDER", 24},
    {"EREMOTE", 25},
    {"ELOST", 26},
    {"EBREAKER", 27},
};

static const tidings_err map[] = {
#define CODE(name, value, text) TIDINGS_##name,
    TIDINGS_ERR_MAP(CODE)
#undef CODE
};

static void test_err_values_never_change(void **state)
{
    (void)state;
    assert_int_equal(TD_ARRAY_LEN(map), TD_ARRAY_LEN(fixed));
    for (size_t i = 0; i < TD_ARRAY_LEN(map); i++) {
        assert_int_equal(map[i], fixed[i].value);
        assert_string_equal(tidings_err_name(map[i]), fixed[i].name);
    }
}

static void test_err_texts_differ(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(map); i++) {
        const char *text = tidings_err_text(map[i]);

        assert_row(fixed[i].name, strlen(text) > 0);
        assert_row(fixed[i].name, strcmp(text, "unknown error") != 0);
        for (size_t k = 0; k < i; k++)
            assert_row(fixed[i].name,
                       strcmp(text, tidings_err_text(map[k])) != 0);
    }
}

static void test_err_knows_what_it_does_not_know(void **state)
{
    static const int unknown[] = {-1, TD_ARRAY_LEN(map), 255, INT32_MAX};

    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(unknown); i++) {
        tidings_err err = (tidings_err)unknown[i];

        assert_string_equal(tidings_err_text(err), "unknown error");
        assert_string_equal(tidings_err_name(err), "E?");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_err_values_never_change),
        cmocka_unit_test(test_err_texts_differ),
        cmocka_unit_test(test_err_knows_what_it_does_not_know),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
