/* The relay's turns over models of database and broker: every point at which
 * it can end, each row stored once and in the order of its key. */
#include "tests/support/td_test.h"

#include <stdlib.h>

#include "tests/unit/outbox_model.h"

#if defined(__SANITIZE_ADDRESS__)
#define SEEDS 60
#else
#define SEEDS 600
#endif
#define SEEDS_LONG 20000

static struct model model; /* large */

static bool is_long(void)
{
    const char *asked = getenv("TIDINGS_LONG");

    return asked && *asked && *asked != '0';
}

/* Time passes by what the relay asks to wait for, and a little. */
static void turn(int64_t *now_us, int which)
{
    int wait_ms = model_turn(&model, which, *now_us);

    *now_us += 10 + (wait_ms > 0 ? (int64_t)wait_ms * 1000 : 0);
}

static void run_until_done(int64_t *now_us, const char *row)
{
    int turns = 0;

    model.faults = 0;
    model.full = -1;
    for (int i = 0; i < model.rows; i++)
        model.row[i].visible = true;
    model_kill(&model, 1);
    while (!model_all_done(&model)) {
        turn(now_us, 0);
        assert_row(row, turns++ < 100 * MODEL_ROWS);
    }
    assert_row(model_wrong(&model), model_wrong(&model) == NULL);
}

/* Whatever fails, and wherever a relay is killed; two of them without a lock
 * between them, with terms alone, and with one. */
static void test_turn_stores_each_row_once_in_order(void **state)
{
    uint64_t seeds = is_long() ? SEEDS_LONG : SEEDS;

    (void)state;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        int64_t now_us = 1000000;
        char row[32];

        snprintf(row, sizeof(row), "seed %llu", (unsigned long long)seed);
        model_init(&model, seed);
        model.faults = (unsigned)model_random(&model, 120);
        model.locks = seed % 3 == 0;
        while (model.rows < MODEL_ROWS - 10) {
            if (model_random(&model, 6) == 0)
                model_write(&model);
            if (model_random(&model, 40) == 0)
                model.full = (int)model_random(&model, MODEL_STREAMS + 1) - 1;
            if (model_random(&model, 100) == 0)
                model_kill(&model, (int)model_random(&model, MODEL_RELAYS));
            turn(&now_us, seed % 3 == 1 ? 0 : model_random(&model, 8) == 0);
        }
        run_until_done(&now_us, row);
        assert_row(row, model.told_refused >= 0);
        model_fini(&model);
    }
}

/* ---- single things ---- */

static int setup(void **state)
{
    (void)state;
    model_init(&model, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    model_fini(&model);
    return 0;
}

/* The rows that are stored, in their order. */
static void expect_log(const int *want, int len)
{
    assert_int_equal(model.log_len, len);
    for (int i = 0; i < len; i++)
        assert_int_equal(model.log[i], want[i]);
}

static void turns(int64_t *now_us, int n)
{
    while (n-- > 0)
        turn(now_us, 0);
}

static void test_turn_lets_rows_pass_a_full_stream_but_not_their_key(
    void **state)
{
    const int passed[] = {2};
    const int all[] = {2, 0, 1};
    int64_t now_us = 1000000;

    (void)state;
    model_write_row(&model, 1, 0, false); /* its stream is full */
    model_write_row(&model, 1, 1, false); /* another's, but of that key */
    model_write_row(&model, 2, 1, false);
    model.full = 0;
    turns(&now_us, 40);
    expect_log(passed, 1);

    model.full = -1;
    turns(&now_us, 40);
    expect_log(all, 3);
}

static void test_turn_passes_over_what_is_refused_for_good(void **state)
{
    const int want[] = {0, 2, 3};
    int64_t now_us = 1000000;

    (void)state;
    model_write_row(&model, 1, 0, false);
    model_write_row(&model, 1, 0, true);
    model_write_row(&model, 1, 0, false);
    model_write_row(&model, 1, 3, false);
    turns(&now_us, 60);
    expect_log(want, 3);
    assert_int_equal(model.told_refused, 1);
    assert_true(model.row[1].refused);
    assert_int_equal(model.relay[0].turn->refused, 1);
    assert_int_equal(model.relay[0].turn->relayed, 3);
}

/* What cannot be read, and what is no event, is refused without the broker. */
static void test_turn_refuses_rows_that_are_no_events(void **state)
{
    const int want[] = {0, 3};
    int64_t now_us = 1000000;

    (void)state;
    model_write_row(&model, 1, 0, false);
    model_write_row(&model, 1, 0, true);
    model_write_row(&model, 1, 0, true);
    model_write_row(&model, 1, 0, false);
    model.row[1].bad = true;
    model.row[2].large = true;
    turns(&now_us, 20);
    expect_log(want, 2);
    assert_int_equal(model.told_refused, 2);
    assert_true(model.row[1].refused && model.row[2].refused);
    assert_int_equal(model.relay[0].turn->refused, 2);
    assert_true(model_all_done(&model));
}

/* A relay that was stopped while others went on: nothing of it is stored, and
 * it takes nothing from the table. */
static void test_turn_of_who_was_thought_dead_does_nothing(void **state)
{
    const int want[] = {0, 1};
    int64_t now_us = 1000000;
    struct td_turn *first;

    (void)state;
    model_write_row(&model, 1, 0, false);
    turns(&now_us, 3); /* open, greet, read; it would publish next */
    first = model.relay[0].turn;
    assert_int_equal(first->window.len, 1);
    model_write_row(&model, 1, 0, false);
    for (int i = 0; i < 10; i++)
        turn(&now_us, 1);
    expect_log(want, 2);

    turn(&now_us, 0);
    expect_log(want, 2);
    assert_int_equal(first->state, TD_TURN_CLOSED);
    assert_int_equal(first->trouble, TIDINGS_EFENCED);
}

static void test_turn_tells_that_a_copy_has_its_name(void **state)
{
    int64_t now_us = 1000000;

    (void)state;
    model_write_row(&model, 1, 0, false);
    turns(&now_us, 6);
    model.last += 1000; /* the copy's */
    model.claim.len = 1;
    model.claim.rows[0] = 1;
    model.row[0].removed = false; /* as if it had been on its way */
    model_kill(&model, 0);
    turns(&now_us, 2);
    assert_int_equal(model.relay[0].turn->trouble, TIDINGS_ECONFLICT);
    turns(&now_us, 6);
    assert_int_equal(model.row[0].stored, 2);
    assert_true(model.row[0].removed);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_turn_stores_each_row_once_in_order),
        TEST(test_turn_lets_rows_pass_a_full_stream_but_not_their_key),
        TEST(test_turn_passes_over_what_is_refused_for_good),
        TEST(test_turn_refuses_rows_that_are_no_events),
        TEST(test_turn_of_who_was_thought_dead_does_nothing),
        TEST(test_turn_tells_that_a_copy_has_its_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
