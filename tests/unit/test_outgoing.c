/* A closed batch, and which of its events are confirmed. */
#include "tests/support/td_test.h"

#include <stdlib.h>

#include "client/outgoing.h"
#include "tests/support/alloc.h"

#define EVENTS 200u
#define FIRST  1000u /* sequence */

static int setup(void **state)
{
    struct td_outgoing *out = td_outgoing_new(EVENTS, TIDINGS_OS, 0);

    *state = out;
    if (!out)
        return -1;
    out->last = FIRST + EVENTS - 1;
    return 0;
}

static int teardown(void **state)
{
    td_outgoing_free(*state);
    return 0;
}

static struct td_stretch stretch(uint64_t from, uint64_t to)
{
    return (struct td_stretch){FIRST + from, FIRST + to};
}

static void test_outgoing_is_told_what_it_was_told(void **state)
{
    static const struct {
        unsigned from;
        unsigned to;
    } rows[] = {{0, 0},     {1, 1},     {63, 64},   {65, 126},
                {127, 127}, {128, 191}, {192, 198}, {199, 199}};
    struct td_outgoing *out = *state;
    uint32_t left = EVENTS;

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct td_stretch s = stretch(rows[i].from, rows[i].to);

        assert_row_at("before", i, !td_outgoing_is_told(out, s));
        assert_row_at("fresh", i,
                      td_outgoing_tell(out, s) == s.to - s.from + 1);
        left -= (uint32_t)(s.to - s.from + 1);
        assert_row_at("left", i, out->left == left);
        assert_row_at("after", i, td_outgoing_is_told(out, s));
        for (unsigned at = 0; at < EVENTS; at++) {
            bool told = false;

            for (size_t k = 0; k <= i; k++)
                told = told || (at >= rows[k].from && at <= rows[k].to);
            assert_row_at("each", at,
                          td_outgoing_is_told(out, stretch(at, at)) == told);
        }
    }
}

static void test_outgoing_is_told_whole(void **state)
{
    struct td_outgoing *out = *state;

    assert_false(td_outgoing_is_told(out, stretch(0, EVENTS - 1)));
    assert_int_equal(td_outgoing_tell(out, stretch(0, EVENTS - 1)), EVENTS);
    assert_int_equal(out->left, 0);
    assert_true(td_outgoing_is_told(out, stretch(EVENTS - 1, EVENTS - 1)));
}

/* What is told again is not news. */
static void test_outgoing_counts_each_once(void **state)
{
    struct td_outgoing *out = *state;

    assert_int_equal(td_outgoing_tell(out, stretch(10, 99)), 90);
    assert_int_equal(td_outgoing_tell(out, stretch(50, 149)), 50);
    assert_int_equal(td_outgoing_tell(out, stretch(50, 149)), 0);
    assert_int_equal(out->left, EVENTS - 140);
    assert_int_equal(td_outgoing_tell(out, stretch(0, EVENTS - 1)), 60);
    assert_int_equal(out->left, 0);
}

static void on_confirm(void *arg, const struct tidings_confirm *confirm)
{
    (void)arg;
    (void)confirm;
}

static void test_outgoing_finds_waiters_by_sequence(void **state)
{
    struct td_outgoing *out = *state;
    struct td_waiter *w;
    size_t len;

    assert_null(td_outgoing_waiters(out, stretch(0, 10), &len));
    assert_int_equal(len, 0);
    out->waiters = calloc(EVENTS / 2, sizeof(*out->waiters));
    assert_non_null(out->waiters);
    for (; out->waiters_len < EVENTS / 2; out->waiters_len++) {
        out->waiters[out->waiters_len].sequence =
            FIRST + 2 * out->waiters_len + 1;
        out->waiters[out->waiters_len].call = on_confirm;
    }
    assert_null(td_outgoing_waiters(out, stretch(0, 0), &len));
    assert_int_equal(len, 0);
    w = td_outgoing_waiters(out, stretch(0, EVENTS - 1), &len);
    assert_ptr_equal(w, out->waiters);
    assert_int_equal(len, EVENTS / 2);
    w = td_outgoing_waiters(out, stretch(3, 7), &len);
    assert_int_equal(len, 3);
    assert_int_equal(w->sequence, FIRST + 3);
    w = td_outgoing_waiters(out, stretch(199, 199), &len);
    assert_int_equal(len, 1);
    assert_int_equal(w->sequence, FIRST + 199);
}

static tidings_err new_and_free(void *arg)
{
    struct td_outgoing *out = td_outgoing_new(EVENTS, TIDINGS_DISK, 100);

    (void)arg;
    if (!out)
        return TIDINGS_ENOMEM;
    td_outgoing_free(out);
    return TIDINGS_OK;
}

static void test_outgoing_without_memory_is_none(void **state)
{
    (void)state;
    assert_int_equal(td_alloc_each(new_and_free, NULL), 2);
    td_outgoing_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_outgoing_is_told_what_it_was_told),
        TEST(test_outgoing_is_told_whole),
        TEST(test_outgoing_counts_each_once),
        TEST(test_outgoing_finds_waiters_by_sequence),
        TEST(test_outgoing_without_memory_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
