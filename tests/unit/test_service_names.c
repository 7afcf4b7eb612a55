#include "proto/service.h"

#include "tests/support/td_test.h"

#include <string.h>

struct row {
    const char *text;
    bool valid;
};

static void check(const struct row *rows, size_t n,
                  bool (*valid)(const char *s, size_t len))
{
    for (size_t i = 0; i < n; i++)
        assert_row(rows[i].text,
                   valid(rows[i].text, strlen(rows[i].text)) == rows[i].valid);
}

#define LEN(rows) (sizeof(rows) / sizeof((rows)[0]))
#define A16       "aaaaaaaaaaaaaaaa"
#define A32       A16 A16
#define A64       A32 A32

static void test_service_name_is_of_letters_digits_and_two_more(void **state)
{
    static const struct row rows[] = {
        {"users", true}, {"Users_2-b", true}, {A64, true},
        {"", false},     {A64 "a", false},    {"a.b", false},
        {"a b", false},  {"\xc3\xa4", false}, {"a*", false},
        {"$a", false},
    };

    (void)state;
    check(rows, LEN(rows), td_service_name_valid);
}

static void test_instance_id_may_have_dots(void **state)
{
    static const struct row rows[] = {
        {"a.b-c_1", true}, {A32, true},    {"", false},
        {A32 "a", false},  {"a/b", false}, {"a b", false},
    };

    (void)state;
    check(rows, LEN(rows), td_instance_id_valid);
}

/* The rows of semver.org's own expression, by and large. */
static void test_version_is_a_semantic_one(void **state)
{
    static const struct row rows[] = {
        {"0.0.4", true},
        {"1.2.3", true},
        {"10.20.30", true},
        {"1.1.2-prerelease+meta", true},
        {"1.1.2+meta-valid", true},
        {"1.0.0-alpha.0valid", true},
        {"1.0.0-rc.1+build.1", true},
        {"1.0.0--A.0", true},
        {"1.0.0+0.build.1-rc.10000aaa-kk-0.1", true},
        {"1.0.0-0A.is.legal", true},
        {"99999999999999999999999.999999999999999999.99999999999999999", true},
        {"", false},
        {"1", false},
        {"1.2", false},
        {"1.2.3.4", false},
        {"v1.2.3", false},
        {"01.1.1", false},
        {"1.01.1", false},
        {"1.2.3-0123", false},
        {"1.2.3-", false},
        {"1.2.3+", false},
        {"1.2.3-a..b", false},
        {"1.2.3+a..b", false},
        {"1.2.3+a+b", false},
        {"1.2.-3", false},
        {"1.2.3 ", false},
        {"1.2.3-a_b", false},
        {"1.2.3-" A64, false},
    };

    (void)state;
    check(rows, LEN(rows), td_version_valid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_service_name_is_of_letters_digits_and_two_more),
        cmocka_unit_test(test_instance_id_may_have_dots),
        cmocka_unit_test(test_version_is_a_semantic_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
