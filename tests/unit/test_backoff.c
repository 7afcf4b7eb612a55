/* Waiting before another try, and the budget of such tries. */
#include "tests/support/td_test.h"

#include "proto/backoff.h"
#include "tests/sim/random.h"

static void test_backoff_doubles_up_to_the_most(void **state)
{
    static const struct {
        const char *name;
        uint32_t first_ms, max_ms;
        unsigned nth;
        uint32_t want;
    } rows[] = {
        {"first", 20, 1000, 1, 20},
        {"second", 20, 1000, 2, 40},
        {"sixth", 20, 1000, 6, 640},
        {"seventh: the most", 20, 1000, 7, 1000},
        {"the most is less than the first", 20, 10, 1, 10},
        {"very late", 20, 1000, 1000, 1000},
        {"where the shift ends", UINT32_MAX, UINT32_MAX, 32, UINT32_MAX},
        {"past it", 1, UINT32_MAX, 33, UINT32_MAX},
        {"no wait", 0, 1000, 5, 0},
    };
    (void)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++)
        assert_row(rows[i].name,
                   td_backoff_ms(rows[i].first_ms, rows[i].max_ms, rows[i].nth,
                                 TD_JITTER_NONE, 7) == rows[i].want);
}

/* All of the range comes, both ends too, and nothing beside it. */
static void check_jitter(enum td_jitter jitter, uint32_t low, uint32_t high)
{
    struct sim_random r = {1};
    unsigned seen[101] = {0};

    for (unsigned i = 0; i < 20000; i++) {
        uint32_t ms = td_backoff_ms(100, 100, 1, jitter, sim_next(&r));

        assert_true(ms >= low && ms <= high);
        seen[ms]++;
    }
    for (uint32_t ms = low; ms <= high; ms++)
        assert_true(seen[ms] > 20000 / (high - low + 1) / 2);
}

static void test_backoff_leaves_a_part_to_chance(void **state)
{
    (void)state;

    check_jitter(TD_JITTER_FULL, 0, 100);
    check_jitter(TD_JITTER_HALF, 50, 100);
    assert_int_equal(td_backoff_ms(0, 0, 1, TD_JITTER_FULL, 12345), 0);
    assert_int_equal(
        td_backoff_ms(UINT32_MAX, UINT32_MAX, 1, TD_JITTER_FULL, UINT32_MAX),
        0);
}

static void test_budget_lets_a_burst_through_and_then_its_share(void **state)
{
    struct td_budget b;
    unsigned taken = 0;
    (void)state;

    td_budget_init(&b, 10, 3);
    while (td_budget_take(&b))
        taken++;
    assert_int_equal(taken, 3);

    taken = 0;
    for (unsigned i = 0; i < 1000; i++) {
        td_budget_add(&b);
        taken += td_budget_take(&b);
    }
    assert_int_equal(taken, 100);
}

static void test_budget_saves_no_more_than_a_burst(void **state)
{
    struct td_budget b;
    unsigned taken = 0;
    (void)state;

    td_budget_init(&b, 10, 3);
    for (unsigned i = 0; i < 1000; i++)
        td_budget_add(&b);
    while (td_budget_take(&b))
        taken++;
    assert_int_equal(taken, 3);
    for (unsigned i = 0; i < 9; i++)
        td_budget_add(&b);
    assert_false(td_budget_take(&b));
    td_budget_add(&b);
    assert_true(td_budget_take(&b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_backoff_doubles_up_to_the_most),
        cmocka_unit_test(test_backoff_leaves_a_part_to_chance),
        cmocka_unit_test(test_budget_lets_a_burst_through_and_then_its_share),
        cmocka_unit_test(test_budget_saves_no_more_than_a_burst),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
