/* Keys that wait until the broker has heard of a failure; and what handlers
 * have said, on its way to the session. */
#include "tests/support/td_test.h"

#include <stdlib.h>

#include "client/outcome.h"
#include "client/parked.h"
#include "proto/utf8.h"

static int setup(void **state)
{
    *state = td_parked_new();
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    td_parked_free(*state);
    return 0;
}

static void test_parked_key_waits_until_it_is_answered(void **state)
{
    struct td_parked *p = *state;

    assert_false(td_parked_holds(p, 1, 9));
    td_parked_add(p, 1, 10);
    assert_true(td_parked_holds(p, 1, 11));
    assert_false(td_parked_holds(p, 2, 11));
    td_parked_answered(p, 100, 50, 0); /* not about it */
    assert_true(td_parked_holds(p, 1, 51));
    td_parked_told(p, 8, 9, 101); /* nor that */
    td_parked_told(p, 9, 12, 102);
    td_parked_answered(p, 101, 60, 0);
    assert_true(td_parked_holds(p, 1, 61));
    td_parked_answered(p, 103, 70, 0);
    td_parked_answered(p, 104, 80, 0); /* the first answer counts */
    assert_true(td_parked_holds(p, 1, 70));
    assert_false(td_parked_holds(p, 1, 71));
    assert_int_equal(p->len, 0);
    assert_false(td_parked_holds(p, 1, 70));
}

/* It fails again before the first failure is answered. */
static void test_parked_key_waits_for_its_last_failure(void **state)
{
    struct td_parked *p = *state;

    td_parked_add(p, 1, 10);
    td_parked_told(p, 10, 10, 5);
    td_parked_answered(p, 5, 20, 0);
    td_parked_add(p, 1, 21);
    assert_int_equal(p->len, 1);
    td_parked_answered(p, 6, 30, 0);
    assert_true(td_parked_holds(p, 1, 31));
}

static void test_parked_keys_are_forgotten_when_all_is_taken(void **state)
{
    struct td_parked *p = *state;

    for (unsigned i = 0; i < 10; i++)
        td_parked_add(p, i, 10 + i);
    td_parked_told(p, 10, 14, 5);
    td_parked_answered(p, 5, 30, 29);
    assert_int_equal(p->len, 10);
    td_parked_answered(p, 6, 40, 30);
    assert_int_equal(p->len, 5);
    td_parked_clear(p);
    assert_false(td_parked_holds(p, 9, 19));
}

static void test_parked_without_room_parks_all(void **state)
{
    struct td_parked *p = *state;

    for (unsigned i = 0; i <= TD_PARKED_KEYS_MAX; i++)
        td_parked_add(p, i, 1 + i);
    assert_true(td_parked_holds(p, 123456, 1000));
    td_parked_told(p, 1, 1000, 5);
    td_parked_answered(p, 5, 2000, 0);
    assert_true(td_parked_holds(p, 123456, 2000));
    assert_false(td_parked_holds(p, 123456, 2001));
    assert_false(td_parked_holds(p, 123456, 2000));
    assert_true(td_parked_holds(p, 7, 2000));
    td_parked_answered(p, 6, 3000, 2000);
    assert_int_equal(p->len, 0);
}

/* ---- outcomes ---- */

static void test_outcomes_join_what_goes_on(void **state)
{
    static struct td_outcomes a;
    static struct td_outcomes b;

    (void)state;
    for (unsigned tag = 1; tag <= 10; tag++)
        td_outcomes_add(&a, TD_ACK, tag, "");
    td_outcomes_add(&a, TD_NAK, 11, "one");
    td_outcomes_add(&a, TD_NAK, 12, "one"); /* each has its reason */
    td_outcomes_add(&a, TD_ACK, 13, "");
    assert_int_equal(a.len, 4);
    td_outcomes_add(&b, TD_ACK, 14, "");
    td_outcomes_add(&b, TD_NAK, 15, "two");
    td_outcomes_add(&b, TD_ACK, 20, "");
    td_outcomes_move(&a, &b);
    assert_int_equal(b.len, 0);
    assert_int_equal(a.len, 6);
    assert_int_equal(a.row[3].last, 14);
    assert_memory_equal(a.row[4].reason, "two", 3);
    td_outcomes_add(&b, TD_ACK, 19, ""); /* before, and after */
    td_outcomes_add(&b, TD_ACK, 21, "");
    td_outcomes_move(&a, &b);
    assert_int_equal(a.len, 6);
    assert_int_equal(a.row[5].first, 19);
    assert_int_equal(a.row[5].last, 21);
}

static void test_reason_is_cut_at_a_character(void **state)
{
    char out[TD_REASON_BYTES_MAX + 1];
    char text[600];

    (void)state;
    td_reason_take(out, "short");
    assert_string_equal(out, "short");
    for (unsigned lead = 0; lead < 4; lead++) {
        size_t len = lead;

        memset(text, 'a', lead);
        while (len + 3 < sizeof(text)) {
            memcpy(text + len, "\xe2\x82\xac", 3); /* a euro sign */
            len += 3;
        }
        text[len] = '\0';
        td_reason_take(out, text);
        assert_true(td_utf8_valid(out));
        assert_in_range(strlen(out), TD_REASON_BYTES_MAX - 2,
                        TD_REASON_BYTES_MAX);
    }
    td_reason_take(out, "bad \xff\xfe");
    assert_string_equal(out, "bad ??");
    memset(text, 0x80, sizeof(text) - 1); /* no character to cut at */
    text[sizeof(text) - 1] = '\0';
    td_reason_take(out, text);
    assert_true(td_utf8_valid(out));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_parked_key_waits_until_it_is_answered),
        TEST(test_parked_key_waits_for_its_last_failure),
        TEST(test_parked_keys_are_forgotten_when_all_is_taken),
        TEST(test_parked_without_room_parks_all),
        cmocka_unit_test(test_outcomes_join_what_goes_on),
        cmocka_unit_test(test_reason_is_cut_at_a_character),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
