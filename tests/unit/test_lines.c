/* How many lines of a kind the daemon's log takes (FAULTS R24). */
#include "tests/support/td_test.h"

#include "broker/lines.h"

static void test_lines_allows_so_many_of_a_kind_a_second(void **state)
{
    struct td_lines l = {0};
    uint64_t left_out = 0;
    (void)state;

    for (int64_t second = 0; second < 3; second++) {
        for (unsigned i = 0; i < 1000; i++)
            assert_int_equal(td_lines_allow(&l, "UP", second),
                             i < TD_LINES_PER_S);
        assert_true(td_lines_allow(&l, "DOWN", second));
        assert_null(td_lines_next(&l, second, &left_out)); /* it goes on */
    }
}

static void test_lines_says_once_how_many_were_left_out(void **state)
{
    struct td_lines l = {0};
    uint64_t left_out = 0;
    (void)state;

    for (unsigned i = 0; i < TD_LINES_PER_S + 7; i++)
        td_lines_allow(&l, "UP", 5);
    for (unsigned i = 0; i < TD_LINES_PER_S + 1; i++)
        td_lines_allow(&l, "DOWN", 5);
    for (unsigned i = 0; i < TD_LINES_PER_S; i++)
        td_lines_allow(&l, "GAP", 5);
    assert_string_equal(td_lines_next(&l, 6, &left_out), "UP");
    assert_int_equal(left_out, 7);
    assert_string_equal(td_lines_next(&l, 6, &left_out), "DOWN");
    assert_int_equal(left_out, 1);
    assert_null(td_lines_next(&l, 6, &left_out));
    assert_true(td_lines_allow(&l, "UP", 6));
    assert_null(td_lines_next(&l, 9, &left_out));
}

/* More kinds than there is room for: the last ones are taken together. */
static void test_lines_bounds_kinds_that_it_has_no_room_for(void **state)
{
    static char ids[TD_LINES_KINDS_MAX * 2][8];
    struct td_lines l = {0};
    uint64_t left_out = 0;
    uint64_t sum = 0;
    unsigned written = 0;
    (void)state;

    for (unsigned i = 0; i < TD_ARRAY_LEN(ids); i++) {
        snprintf(ids[i], sizeof(ids[i]), "K%u", i);
        for (unsigned k = 0; k < 100; k++)
            written += td_lines_allow(&l, ids[i], 1);
    }
    assert_int_equal(written, TD_LINES_KINDS_MAX * TD_LINES_PER_S);
    while (td_lines_next(&l, 2, &left_out))
        sum += left_out;
    assert_int_equal(sum, TD_ARRAY_LEN(ids) * 100 - written);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_allows_so_many_of_a_kind_a_second),
        cmocka_unit_test(test_lines_says_once_how_many_were_left_out),
        cmocka_unit_test(test_lines_bounds_kinds_that_it_has_no_room_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
