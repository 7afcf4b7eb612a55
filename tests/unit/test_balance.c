/* Choosers: exact where they promise it, spread where they say so. */
#include "tests/support/td_test.h"

#include <stdlib.h>

#include "tests/unit/balance_fixture.h"

/* Of any version, at time 0. Counts who it was, by its own number. */
static size_t choose(struct set *s, enum td_balance_policy policy)
{
    size_t at = ask(s, policy, (struct td_ask){.version = TD_ANY_VERSION});

    if (at == TD_NOBODY)
        return at;
    at = (size_t)(s->list[at] - s->of);
    s->chosen[at]++;
    return at;
}

/* The totals since they were looked at last differ by at most one. */
static bool is_even(struct set *s)
{
    unsigned low = UINT32_MAX, high = 0;

    for (size_t i = 0; i < CANDIDATES; i++) {
        if (s->of[i].eligible) {
            low = s->chosen[i] < low ? s->chosen[i] : low;
            high = s->chosen[i] > high ? s->chosen[i] : high;
        }
    }
    return high <= low + 1;
}

/* ---- all of them ---- */

static void test_balance_finds_nobody_among_none(void **state)
{
    struct set s;
    (void)state;

    for (unsigned policy = 0; policy < TD_BALANCE_POLICIES; policy++) {
        set_up(&s, 0, 1);
        assert_true(choose(&s, policy) == TD_NOBODY);
        set_up(&s, 3, 1);
        for (size_t i = 0; i < 3; i++)
            s.of[i].eligible = false;
        assert_true(choose(&s, policy) == TD_NOBODY);
        assert_int_equal(s.balance.turns, 0);
    }
}

static void test_balance_chooses_only_who_is_eligible(void **state)
{
    (void)state;

    for (unsigned policy = 0; policy < TD_BALANCE_POLICIES; policy++) {
        struct set s;

        set_up(&s, CANDIDATES, 7);
        for (unsigned round = 0; round < 2000; round++) {
            uint32_t version = round % 3 ? round % 2 : TD_ANY_VERSION;
            bool any = false;
            size_t at;

            for (size_t i = 0; i < CANDIDATES; i++) {
                s.of[i].eligible = sim_chance(&s.random, 150);
                s.of[i].version = (uint32_t)sim_below(&s.random, 2);
                any |= s.of[i].eligible && (version == TD_ANY_VERSION ||
                                            version == s.of[i].version);
            }
            at = ask(&s, policy,
                     (struct td_ask){.version = version, .key = round});
            assert_int_equal(at != TD_NOBODY, any);
            if (!any)
                continue;
            assert_true(s.of[at].eligible);
            assert_true(version == TD_ANY_VERSION ||
                        s.of[at].version == version);
        }
    }
}

/* ---- round robin ---- */

static void test_balance_round_robin_is_exact_while_the_set_stays(void **state)
{
    struct sim_random r = {3};
    (void)state;

    for (unsigned i = 0; i < 200; i++) {
        struct set s;

        set_up(&s, CANDIDATES, i);
        for (unsigned change = 0; change < 10; change++) {
            memset(s.chosen, 0, sizeof(s.chosen));
            for (size_t j = 0; j < CANDIDATES; j++)
                s.of[j].eligible = sim_chance(&r, 700);
            for (uint64_t j = sim_below(&r, 60); j > 0; j--) {
                choose(&s, TD_BALANCE_ROUND_ROBIN);
                assert_true(is_even(&s));
            }
        }
    }
}

static void test_balance_round_robin_gives_who_joins_one_turn_first(
    void **state)
{
    struct set s;
    (void)state;

    set_up(&s, 3, 1);
    for (unsigned i = 0; i < 3000; i++)
        choose(&s, TD_BALANCE_ROUND_ROBIN);
    s.of[3] = (struct td_candidate){.eligible = true};
    s.list[3] = &s.of[3];
    s.n = 4;

    assert_int_equal(choose(&s, TD_BALANCE_ROUND_ROBIN), 3);
    for (unsigned i = 0; i < 4000 - 1; i++)
        choose(&s, TD_BALANCE_ROUND_ROBIN);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(s.chosen[i], 2000);
    assert_int_equal(s.chosen[3], 1000);
}

static void test_balance_round_robin_goes_on_when_one_leaves(void **state)
{
    struct set s;
    (void)state;

    set_up(&s, 4, 1);
    assert_int_equal(choose(&s, TD_BALANCE_ROUND_ROBIN), 0);
    assert_int_equal(choose(&s, TD_BALANCE_ROUND_ROBIN), 1);
    /* The first leaves, and the last takes its place in the array. */
    s.list[0] = &s.of[3];
    s.n = 3;

    assert_int_equal(choose(&s, TD_BALANCE_ROUND_ROBIN), 3);
    assert_int_equal(choose(&s, TD_BALANCE_ROUND_ROBIN), 2);
    assert_int_equal(choose(&s, TD_BALANCE_ROUND_ROBIN), 1);
    assert_int_equal(choose(&s, TD_BALANCE_ROUND_ROBIN), 3);
}

static void test_balance_least_is_round_robin_among_equals(void **state)
{
    struct set s;
    (void)state;

    set_up(&s, 5, 1);
    for (unsigned i = 0; i < 1000; i++) {
        choose(&s, TD_BALANCE_LEAST);
        assert_true(is_even(&s));
    }
    s.of[3].in_flight = 1;
    for (unsigned i = 0; i < 100; i++)
        assert_int_not_equal(choose(&s, TD_BALANCE_LEAST), 3);
}

/* ---- random ---- */

/* 9 degrees of freedom: one seed in a thousand is above 27.9; ours is not. */
static void check_spread(struct set *s)
{
    const unsigned draws = 100000;
    double chi = 0;
    unsigned fit = 0;

    for (size_t i = 0; i < s->n; i++)
        fit += s->of[i].eligible;
    assert_int_equal(fit, 10);
    for (unsigned i = 0; i < draws; i++)
        choose(s, TD_BALANCE_RANDOM);
    for (size_t i = 0; i < s->n; i++) {
        double expected = s->of[i].eligible ? draws / 10.0 : 0;
        double off = s->chosen[i] - expected;

        if (s->of[i].eligible)
            chi += off * off / expected;
    }
    assert_true(chi < 27.9);
    assert_true(chi > 1.15); /* nor is it more even than chance: 1 in 1,000 */
}

static void test_balance_random_is_spread_evenly(void **state)
{
    struct set s;
    (void)state;

    set_up(&s, 10, 42);
    check_spread(&s);
    set_up(&s, 12, 43);
    s.of[0].eligible = false; /* their share is all the others' */
    s.of[5].eligible = false;
    check_spread(&s);
}

static void test_balance_random_is_spread_where_few_are_eligible(void **state)
{
    struct set s;
    (void)state;

    set_up(&s, CANDIDATES, 44);
    for (size_t i = 0; i < CANDIDATES; i++)
        s.of[i].eligible = i == 4 || i == 5;
    for (unsigned i = 0; i < 40000; i++)
        choose(&s, TD_BALANCE_RANDOM);
    assert_true(abs((int)s.chosen[4] - 20000) < 400); /* four deviations */
}

/* ---- keys ---- */

#define KEYS 20000u

static size_t of_key(struct set *s, uint64_t key)
{
    size_t at = ask(s, TD_BALANCE_KEY,
                    (struct td_ask){.version = TD_ANY_VERSION,
                                    .key = td_balance_hash(&key, sizeof(key))});

    return (size_t)(s->list[at] - s->of);
}

static void test_balance_key_stays_with_one(void **state)
{
    size_t before[KEYS];
    unsigned of[CANDIDATES] = {0};
    unsigned moved = 0;
    struct set s;
    (void)state;

    set_up(&s, 10, 5);
    for (uint64_t key = 0; key < KEYS; key++)
        of[before[key] = of_key(&s, key)]++;
    for (size_t i = 0; i < 10; i++) /* a tenth each: four deviations, 170 */
        assert_true(abs((int)of[i] - (int)KEYS / 10) < 170);

    /* In any order of the array, and whatever others are doing. */
    s.list[0] = &s.of[9];
    s.list[9] = &s.of[0];
    s.of[3].in_flight = 100;
    for (uint64_t key = 0; key < KEYS; key++)
        assert_int_equal(of_key(&s, key), before[key]);

    /* When one goes only its keys move. */
    s.of[6].eligible = false;
    for (uint64_t key = 0; key < KEYS; key++) {
        size_t now = of_key(&s, key);

        assert_true(now == before[key] || before[key] == 6);
        moved += now != before[key];
    }
    assert_int_equal(moved, of[6]);
    s.of[6].eligible = true;
}

static void test_balance_key_moves_only_to_who_comes(void **state)
{
    size_t before[KEYS];
    unsigned moved = 0;
    struct set s;
    (void)state;

    set_up(&s, 10, 5);
    s.n = 9;
    for (uint64_t key = 0; key < KEYS; key++)
        before[key] = of_key(&s, key);
    s.n = 10;
    for (uint64_t key = 0; key < KEYS; key++) {
        size_t now = of_key(&s, key);

        assert_true(now == before[key] || now == 9);
        moved += now != before[key];
    }
    assert_true(moved > 0 && moved < KEYS / 10 + 170);
}

/* ---- by weight ---- */

static void test_balance_weights_are_exact(void **state)
{
    static const uint32_t sets[][4] = {
        {95, 5, 0, 0},   {5, 95, 0, 0}, {1, 1, 1, 0},
        {50, 30, 15, 5}, {1, 99, 0, 0},
    };
    (void)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(sets); i++) {
        struct td_weighted list[4];
        unsigned given[4] = {0};
        unsigned total = 0;

        for (size_t j = 0; j < 4; j++) {
            list[j] = (struct td_weighted){sets[i][j], true, 0};
            total += sets[i][j];
        }
        for (unsigned turn = 1; turn <= 10 * total; turn++) {
            given[td_weighted_choose(list, 4)]++;
            for (size_t j = 0; turn % total == 0 && j < 4; j++)
                assert_int_equal(given[j], turn / total * sets[i][j]);
            for (size_t j = 0; j < 4; j++) /* and never far from it */
                assert_true(abs((int)(given[j] * total) -
                                (int)(turn * sets[i][j])) < 2 * (int)total);
        }
    }
}

static void test_balance_weights_of_any_hundred_in_a_row(void **state)
{
    struct td_weighted list[2] = {{95, true, 0}, {5, true, 0}};
    bool was[1000];
    (void)state;

    for (size_t i = 0; i < 1000; i++)
        was[i] = td_weighted_choose(list, 2) == 1;
    for (size_t i = 0; i + 100 <= 1000; i++) {
        unsigned given = 0;

        for (size_t j = i; j < i + 100; j++)
            given += was[j];
        assert_int_equal(given, 5);
    }
}

static void test_balance_weights_pass_over_who_cannot(void **state)
{
    struct td_weighted list[3] = {{90, true, 0}, {10, true, 0}, {0, true, 0}};
    unsigned given = 0;
    (void)state;

    for (unsigned i = 0; i < 57; i++)
        td_weighted_choose(list, 3);
    list[0].eligible = false;
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(td_weighted_choose(list, 3), 1);
    list[0].eligible = true; /* it gets its share, and no more */
    for (unsigned i = 0; i < 1000; i++)
        given += td_weighted_choose(list, 3) == 0;
    assert_true(given >= 899 && given <= 901);

    list[0].eligible = list[1].eligible = false;
    assert_true(td_weighted_choose(list, 3) == TD_NOBODY);
    assert_true(td_weighted_choose(list, 0) == TD_NOBODY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_balance_finds_nobody_among_none),
        cmocka_unit_test(test_balance_chooses_only_who_is_eligible),
        cmocka_unit_test(test_balance_round_robin_is_exact_while_the_set_stays),
        cmocka_unit_test(
            test_balance_round_robin_gives_who_joins_one_turn_first),
        cmocka_unit_test(test_balance_round_robin_goes_on_when_one_leaves),
        cmocka_unit_test(test_balance_least_is_round_robin_among_equals),
        cmocka_unit_test(test_balance_random_is_spread_evenly),
        cmocka_unit_test(test_balance_random_is_spread_where_few_are_eligible),
        cmocka_unit_test(test_balance_key_stays_with_one),
        cmocka_unit_test(test_balance_key_moves_only_to_who_comes),
        cmocka_unit_test(test_balance_weights_are_exact),
        cmocka_unit_test(test_balance_weights_of_any_hundred_in_a_row),
        cmocka_unit_test(test_balance_weights_pass_over_who_cannot),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
