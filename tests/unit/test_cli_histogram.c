/* The command line's histogram: how true its values are, and its sums. */
#include "tests/support/td_test.h"

#include "client/cli/histogram.h"

#define LARGEST (((uint64_t)1 << TD_HISTOGRAM_BITS) - 1)

struct fixture {
    struct td_histogram_live live;
    struct td_histogram sum;
};

static int setup(void **state)
{
    static struct fixture f;

    memset(&f, 0, sizeof(f));
    *state = &f;
    return 0;
}

static uint64_t seen_as(struct fixture *f, uint64_t value)
{
    memset(f, 0, sizeof(*f));
    td_histogram_count(&f->live, value);
    td_histogram_add(&f->sum, &f->live);
    return td_histogram_at(&f->sum, 1);
}

static void test_histogram_small_values_are_exact(void **state)
{
    for (uint64_t value = 0; value < 2 * TD_HISTOGRAM_STEPS; value++)
        assert_true(seen_as(*state, value) == value);
}

/* At most one step of a doubling too large, never too small. */
static void test_histogram_values_are_about_3_percent_true(void **state)
{
    for (unsigned bit = 6; bit < TD_HISTOGRAM_BITS; bit++) {
        const uint64_t first = (uint64_t)1 << bit;
        const uint64_t values[] = {first, first + 1, first + first / 3,
                                   2 * first - 1};

        for (size_t i = 0; i < TD_ARRAY_LEN(values); i++) {
            uint64_t seen = seen_as(*state, values[i]);

            assert_row_at("bit", bit, seen >= values[i]);
            assert_row_at("bit", bit,
                          seen - values[i] < first / TD_HISTOGRAM_STEPS);
        }
    }
}

static void test_histogram_what_is_too_large_counts_as_the_largest(void **state)
{
    assert_true(seen_as(*state, LARGEST) == LARGEST);
    assert_true(seen_as(*state, LARGEST + 1) == LARGEST);
    assert_true(seen_as(*state, UINT64_MAX) == LARGEST);
}

static void test_histogram_of_nothing_is_0(void **state)
{
    struct fixture *f = *state;

    td_histogram_add(&f->sum, &f->live);
    assert_true(td_histogram_at(&f->sum, 0.5) == 0);
    assert_true(td_histogram_at(&f->sum, 1) == 0);
    assert_true(td_histogram_between(&f->sum, 0, LARGEST) == 0);
}

static void test_histogram_says_what_a_part_does_not_exceed(void **state)
{
    struct fixture *f = *state;

    for (uint64_t value = 1; value <= 40; value++)
        td_histogram_count(&f->live, value);
    td_histogram_add(&f->sum, &f->live);
    assert_true(f->sum.total == 40);
    assert_true(td_histogram_at(&f->sum, 0) == 1);
    assert_true(td_histogram_at(&f->sum, 0.5) == 20);
    assert_true(td_histogram_at(&f->sum, 0.9) == 36);
    assert_true(td_histogram_at(&f->sum, 0.975) == 39);
    assert_true(td_histogram_at(&f->sum, 1) == 40);
}

static void test_histogram_counts_between_powers_of_two(void **state)
{
    struct fixture *f = *state;

    for (uint64_t value = 0; value < 1024; value++)
        td_histogram_count(&f->live, value);
    td_histogram_add(&f->sum, &f->live);
    assert_true(td_histogram_between(&f->sum, 0, 1) == 1);
    assert_true(td_histogram_between(&f->sum, 16, 32) == 16);
    assert_true(td_histogram_between(&f->sum, 64, 128) == 64);
    assert_true(td_histogram_between(&f->sum, 512, 1024) == 512);
    assert_true(td_histogram_between(&f->sum, 1024, 2048) == 0);
}

static void test_histogram_adds_up_and_takes_off(void **state)
{
    struct fixture *f = *state;
    struct td_histogram before;

    td_histogram_count(&f->live, 5);
    td_histogram_add(&f->sum, &f->live);
    before = f->sum;
    td_histogram_plus(&f->sum, &before);
    assert_true(f->sum.total == 2 && td_histogram_between(&f->sum, 4, 8) == 2);
    td_histogram_add(&f->sum, &f->live);
    assert_true(f->sum.total == 3);
    td_histogram_minus(&f->sum, &before);
    assert_true(f->sum.total == 2 && td_histogram_between(&f->sum, 4, 8) == 2);
    td_histogram_minus(&f->sum, &before);
    td_histogram_minus(&f->sum, &before);
    assert_true(f->sum.total == 0 && td_histogram_at(&f->sum, 1) == 0);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_histogram_small_values_are_exact),
        TEST(test_histogram_values_are_about_3_percent_true),
        TEST(test_histogram_what_is_too_large_counts_as_the_largest),
        TEST(test_histogram_of_nothing_is_0),
        TEST(test_histogram_says_what_a_part_does_not_exceed),
        TEST(test_histogram_counts_between_powers_of_two),
        TEST(test_histogram_adds_up_and_takes_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
