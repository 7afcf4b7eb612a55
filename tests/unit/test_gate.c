/* The count behind a bulkhead. */
#include "tests/support/td_test.h"

#include "client/gate.h"
#include "tests/sim/random.h"

static void test_gate_lets_in_lets_wait_and_refuses(void **state)
{
    struct td_gate g = {.running_max = 2, .waiting_max = 1};
    (void)state;

    assert_int_equal(td_gate_enter(&g, true), TD_GATE_IN);
    assert_int_equal(td_gate_enter(&g, false), TD_GATE_IN);
    assert_int_equal(td_gate_enter(&g, false), TD_GATE_FULL);
    assert_int_equal(td_gate_enter(&g, true), TD_GATE_WAIT);
    assert_int_equal(td_gate_enter(&g, true), TD_GATE_FULL);
    assert_int_equal(g.refused, 2);

    assert_true(td_gate_leave(&g)); /* who waited is in */
    assert_int_equal(g.running, 2);
    assert_int_equal(g.waiting, 0);
    assert_false(td_gate_leave(&g));
    assert_false(td_gate_leave(&g));
    assert_int_equal(g.running, 0);
    assert_false(td_gate_leave(&g)); /* nobody was in */
    assert_int_equal(g.running, 0);
    assert_int_equal(g.entered, 3);
    assert_int_equal(g.waited, 1);
    assert_int_equal(g.running_peak, 2);
    assert_int_equal(g.waiting_peak, 1);
}

static void test_gate_lets_nobody_past_who_waits(void **state)
{
    struct td_gate g = {.running_max = 1, .waiting_max = 2};
    (void)state;

    assert_int_equal(td_gate_enter(&g, true), TD_GATE_IN);
    assert_int_equal(td_gate_enter(&g, true), TD_GATE_WAIT);
    assert_int_equal(td_gate_enter(&g, true), TD_GATE_WAIT);
    assert_true(td_gate_leave(&g));
    assert_int_equal(td_gate_enter(&g, false), TD_GATE_FULL);
    td_gate_give_up(&g);
    assert_int_equal(g.gave_up, 1);
    assert_false(td_gate_leave(&g));
    assert_int_equal(td_gate_enter(&g, false), TD_GATE_IN);
}

/* Whatever comes: bounds hold, and a place is free only when nobody waits. */
static void test_gate_keeps_its_bounds(void **state)
{
    (void)state;

    for (uint64_t seed = 0; seed < 200; seed++) {
        struct sim_random r = {seed};
        struct td_gate g = {.running_max = (uint32_t)sim_between(&r, 1, 4),
                            .waiting_max = (uint32_t)sim_between(&r, 0, 4)};
        uint32_t inside = 0, outside = 0;

        for (unsigned i = 0; i < 500; i++) {
            if (sim_chance(&r, 550)) {
                switch (td_gate_enter(&g, sim_chance(&r, 800))) {
                case TD_GATE_IN:
                    inside++;
                    break;
                case TD_GATE_WAIT:
                    outside++;
                    break;
                case TD_GATE_FULL:
                    break;
                }
            } else if (inside > 0 && sim_chance(&r, 800)) {
                if (td_gate_leave(&g))
                    outside--;
                else
                    inside--;
            } else if (outside > 0) {
                td_gate_give_up(&g);
                outside--;
            }
            assert_int_equal(g.running, inside);
            assert_int_equal(g.waiting, outside);
            assert_true(inside <= g.running_max && outside <= g.waiting_max);
            assert_true(outside == 0 || inside == g.running_max);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gate_lets_in_lets_wait_and_refuses),
        cmocka_unit_test(test_gate_lets_nobody_past_who_waits),
        cmocka_unit_test(test_gate_keeps_its_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
