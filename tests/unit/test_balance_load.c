/* What a latency is to the choosers, and what a slow candidate gets of the
 * requests in a small simulation. */
#include "tests/support/td_test.h"

#include <stdlib.h>

#include "tests/unit/balance_fixture.h"

/* ---- requests that take time ---- */

/* A discrete simulation, a tick of 100 us: so many requests begin in each; one
 * takes what its candidate takes. Shares of a thousand are in chosen. */
#define TICK_US  100
#define SECOND   (1000000 / TICK_US)
#define BUSY_MAX 4096u

struct load {
    struct set set;
    enum td_balance_policy policy;
    int64_t takes_us[CANDIDATES];
    unsigned per_mille; /* of a request in each tick */
    struct {
        int64_t begun_us;
        int64_t ends_us;
        size_t by;
    } busy[BUSY_MAX];
    size_t busy_len;
    int64_t now_us;
};

static void begin_request(struct load *l)
{
    struct set *s = &l->set;
    size_t at =
        ask(s, l->policy,
            (struct td_ask){.version = TD_ANY_VERSION, .now_us = l->now_us});

    assert_true(at != TD_NOBODY && l->busy_len < BUSY_MAX);
    s->chosen[at]++;
    td_candidate_begin(&s->of[at]);
    l->busy[l->busy_len].by = at;
    l->busy[l->busy_len].begun_us = l->now_us;
    l->busy[l->busy_len++].ends_us =
        l->now_us + l->takes_us[at] * sim_between(&s->random, 800, 1200) / 1000;
}

static void end_requests(struct load *l)
{
    for (size_t i = 0; i < l->busy_len; i++) {
        if (l->busy[i].ends_us > l->now_us)
            continue;
        td_candidate_end(&l->set.of[l->busy[i].by], l->now_us,
                         l->now_us - l->busy[i].begun_us);
        l->busy[i--] = l->busy[--l->busy_len];
    }
}

static void run(struct load *l, int64_t ticks)
{
    for (; ticks > 0; ticks--, l->now_us += TICK_US) {
        end_requests(l);
        if (sim_chance(&l->set.random, l->per_mille))
            begin_request(l);
    }
}

/* Four candidates, one of them ten times slower. */
static struct load *with_a_slow_one(enum td_balance_policy policy)
{
    struct load *l = calloc(1, sizeof(*l));

    assert_non_null(l);
    set_up(&l->set, 4, 11);
    l->policy = policy;
    l->per_mille = 400;
    for (size_t i = 0; i < 4; i++)
        l->takes_us[i] = 1000;
    l->takes_us[2] = 10000;
    return l;
}

static unsigned share_of(const struct load *l, size_t which)
{
    unsigned all = 0;

    for (size_t i = 0; i < l->set.n; i++)
        all += l->set.chosen[i];
    return l->set.chosen[which] * 1000 / all;
}

static void test_balance_least_spares_a_slow_one(void **state)
{
    struct load *l = with_a_slow_one(TD_BALANCE_LEAST);
    (void)state;

    run(l, 20 * SECOND);
    print_message("share of the slow one: %u of 1,000\n", share_of(l, 2));
    assert_true(share_of(l, 2) < 100 && share_of(l, 2) > 5);
    for (size_t i = 0; i < 4; i++) /* the others have the rest in equal parts */
        assert_true(i == 2 || abs((int)share_of(l, i) - 310) < 30);
    free(l);
}

static void test_balance_latency_avoids_a_slow_one(void **state)
{
    struct load *l = with_a_slow_one(TD_BALANCE_LATENCY);
    (void)state;

    run(l, 20 * SECOND);
    print_message("share of the slow one: %u of 1,000\n", share_of(l, 2));
    assert_true(share_of(l, 2) < 30);  /* least in flight would give it more */
    assert_true(l->set.chosen[2] > 2); /* but it is looked at again */
    free(l);
}

static void test_balance_latency_comes_back_to_who_is_quick_again(void **state)
{
    struct load *l = with_a_slow_one(TD_BALANCE_LATENCY);
    (void)state;

    run(l, 10 * SECOND);
    l->takes_us[2] = 1000;
    run(l, 60 * SECOND);
    memset(l->set.chosen, 0, sizeof(l->set.chosen));
    run(l, 20 * SECOND);
    print_message("share of who was slow: %u of 1,000\n", share_of(l, 2));
    assert_true(share_of(l, 2) > 150);
    free(l);
}

static void test_balance_latency_leaves_one_that_hangs(void **state)
{
    struct load *l = with_a_slow_one(TD_BALANCE_LATENCY);
    unsigned before;
    (void)state;

    l->takes_us[2] = 1000;
    run(l, 5 * SECOND);
    l->takes_us[2] = INT64_C(3600) * 1000000; /* nothing comes back any more */
    before = l->set.chosen[2];
    run(l, 5 * SECOND);
    print_message("it was given %u more\n", l->set.chosen[2] - before);
    assert_true(l->set.chosen[2] - before < 40); /* of 20,000 */
    free(l);
}

static void test_balance_latency_gives_who_joins_one_at_first(void **state)
{
    struct set s;
    unsigned given = 0;
    (void)state;

    set_up(&s, 2, 9);
    td_candidate_begin(&s.of[0]);
    td_candidate_end(&s.of[0], 1000, 500);
    for (unsigned i = 0; i < 50; i++) {
        size_t at =
            ask(&s, TD_BALANCE_LATENCY,
                (struct td_ask){.version = TD_ANY_VERSION, .now_us = 1000});

        td_candidate_begin(&s.of[at]);
        given += at == 1;
    }
    assert_int_equal(given, 1); /* until it is known how quick it is */
}

/* ---- what a latency is ---- */

static void test_balance_cost_jumps_up_and_comes_down_by_half_lives(
    void **state)
{
    struct td_candidate c = {0};
    double cost;
    (void)state;

    td_candidate_begin(&c);
    td_candidate_end(&c, 1000, 300);
    assert_true(td_candidate_cost_us(&c, 1000) == 300);
    td_candidate_begin(&c);
    td_candidate_end(&c, 1000, 9000); /* a peak counts at once */
    assert_true(td_candidate_cost_us(&c, 1000) == 9000);

    cost = td_candidate_cost_us(&c, 1000 + TD_COST_HALF_US);
    assert_true(cost > 4499 && cost < 4501);
    cost = td_candidate_cost_us(&c, 1000 + TD_COST_HALF_US / 2);
    assert_true(cost > 6362 && cost < 6366);
    cost = td_candidate_cost_us(&c, 1000 + 3 * TD_COST_HALF_US);
    assert_true(cost > 1124 && cost < 1126);
    assert_true(td_candidate_cost_us(&c, INT64_MAX) == 0);
    assert_true(td_candidate_cost_us(&c, 0) ==
                9000); /* a clock that went back */

    /* After a half life another latency is half of what is believed. */
    td_candidate_begin(&c);
    td_candidate_end(&c, 1000 + TD_COST_HALF_US, 1000);
    cost = td_candidate_cost_us(&c, 1000 + TD_COST_HALF_US);
    assert_true(cost > 4998 && cost < 5002);
}

static void test_balance_cost_follows_many_samples_close_together(void **state)
{
    struct td_candidate c = {0};
    int64_t now_us = 0;
    (void)state;

    td_candidate_end(&c, now_us, 10000);
    while (now_us < TD_COST_HALF_US)
        td_candidate_end(&c, now_us += 8, 100);
    assert_true(td_candidate_cost_us(&c, now_us) > 5030 &&
                td_candidate_cost_us(&c, now_us) < 5070);
}

static void test_balance_counts_what_is_in_flight(void **state)
{
    struct td_candidate c = {0};
    (void)state;

    td_candidate_begin(&c);
    td_candidate_begin(&c);
    assert_int_equal(c.in_flight, 2);
    td_candidate_drop(&c);
    assert_int_equal(c.in_flight, 1);
    assert_false(c.measured);
    td_candidate_end(&c, 5, 100);
    assert_int_equal(c.in_flight, 0);
    assert_true(c.measured);
    td_candidate_drop(&c); /* it never was: nothing wraps */
    assert_int_equal(c.in_flight, 0);
    td_candidate_end(&c, 5, -1);
    assert_true(td_candidate_cost_us(&c, 5) <= 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_balance_least_spares_a_slow_one),
        cmocka_unit_test(test_balance_latency_avoids_a_slow_one),
        cmocka_unit_test(test_balance_latency_comes_back_to_who_is_quick_again),
        cmocka_unit_test(test_balance_latency_leaves_one_that_hangs),
        cmocka_unit_test(test_balance_latency_gives_who_joins_one_at_first),
        cmocka_unit_test(
            test_balance_cost_jumps_up_and_comes_down_by_half_lives),
        cmocka_unit_test(test_balance_cost_follows_many_samples_close_together),
        cmocka_unit_test(test_balance_counts_what_is_in_flight),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
