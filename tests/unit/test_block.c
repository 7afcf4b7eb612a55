/* The budget of policy block: 2,000 ms in any 10,000. */
#include "tests/support/td_test.h"

#include "broker/engine/block.h"

static void test_block_spends_its_budget_and_no_more(void **state)
{
    struct td_block b = {0};

    (void)state;
    assert_int_equal(td_block_left(&b, 500), TD_BLOCK_MS);
    td_block_begin(&b, 500);
    assert_int_equal(td_block_left(&b, 501), TD_BLOCK_MS - 1);
    assert_int_equal(td_block_left(&b, 2499), 1);
    assert_int_equal(td_block_left(&b, 2500), 0);
    td_block_end(&b, 2500);
    assert_int_equal(td_block_left(&b, 2500), 0);
    assert_int_equal(b.total_ms, 2000);
}

static void test_block_gets_its_budget_back_when_the_window_has_passed(
    void **state)
{
    struct td_block b = {0};

    (void)state;
    td_block_begin(&b, 500);
    td_block_end(&b, 2500);
    assert_int_equal(td_block_left(&b, 10500), 0);
    /* What was spent up to 1,000, then up to 2,000, then all. */
    assert_int_equal(td_block_left(&b, 11000), 500);
    assert_int_equal(td_block_left(&b, 12000), 1500);
    assert_int_equal(td_block_left(&b, 13000), TD_BLOCK_MS);
}

static void test_block_adds_up_pieces(void **state)
{
    struct td_block b = {0};

    (void)state;
    for (int64_t at = 100000; at < 102000; at += 200) {
        td_block_begin(&b, at);
        td_block_end(&b, at + 100);
    }
    assert_int_equal(td_block_left(&b, 102000), TD_BLOCK_MS - 1000);
}

static void test_block_forgets_all_after_a_long_rest(void **state)
{
    struct td_block b = {0};

    (void)state;
    td_block_begin(&b, 0);
    td_block_end(&b, 1999);
    assert_int_equal(td_block_left(&b, INT64_C(1) << 40), TD_BLOCK_MS);
    td_block_begin(&b, INT64_C(1) << 40);
    assert_int_equal(td_block_left(&b, (INT64_C(1) << 40) + 5),
                     TD_BLOCK_MS - 5);
}

static void test_block_begins_and_ends_once(void **state)
{
    struct td_block b = {0};

    (void)state;
    td_block_begin(&b, 0);
    td_block_begin(&b, 500); /* goes on */
    assert_int_equal(td_block_left(&b, 1000), TD_BLOCK_MS - 1000);
    td_block_end(&b, 1000);
    td_block_end(&b, 1500); /* is over already */
    assert_int_equal(td_block_left(&b, 1500), TD_BLOCK_MS - 1000);
}

/* Whoever spends whatever is left whenever there is any never comes to more
 * than the budget in any window, and gets nearly all of it. */
static void test_block_keeps_every_window(void **state)
{
    static int64_t spent[60000]; /* up to each millisecond */
    struct td_block b = {0};
    bool blocking = false;

    (void)state;
    for (int64_t now = 0; now < 60000; now++) {
        int64_t left = td_block_left(&b, now);

        if (blocking && (left == 0 || now % 700 == 0)) {
            td_block_end(&b, now);
            blocking = false;
        } else if (!blocking && left > 0 && now % 300 == 0) {
            td_block_begin(&b, now);
            blocking = true;
        }
        spent[now] = (now ? spent[now - 1] : 0) + blocking;
    }
    for (int64_t now = TD_BLOCK_WINDOW_MS; now < 60000; now++)
        assert_true(spent[now] - spent[now - TD_BLOCK_WINDOW_MS] <=
                    TD_BLOCK_MS);
    assert_true(spent[59999] >= 8 * TD_BLOCK_MS / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_block_spends_its_budget_and_no_more),
        cmocka_unit_test(
            test_block_gets_its_budget_back_when_the_window_has_passed),
        cmocka_unit_test(test_block_adds_up_pieces),
        cmocka_unit_test(test_block_forgets_all_after_a_long_rest),
        cmocka_unit_test(test_block_begins_and_ends_once),
        cmocka_unit_test(test_block_keeps_every_window),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
