/* What is due, in order; found by number; against a plain list. */
#include "tests/support/td_test.h"

#include "broker/engine/due.h"
#include "tests/support/alloc.h"

#define NUMBERS 5000u
#define STEPS   60000u

static struct td_due due_at(int64_t when_ms, uint64_t number)
{
    return (struct td_due){
        .when_ms = when_ms, .due_ms = when_ms, .number = number};
}

static void add(struct td_dues *d, int64_t when_ms, uint64_t number)
{
    struct td_due due = due_at(when_ms, number);

    assert_true(td_dues_reserve(d, (uint64_t)d->len + 1));
    td_dues_add(d, &due);
}

static void test_dues_come_by_time_and_then_by_number(void **state)
{
    static const struct {
        int64_t when_ms;
        uint64_t number;
    } rows[] = {{5, 9}, {5, 2}, {INT64_MAX, 1}, {1, 7}, {5, 3}, {0, 8}};
    static const uint64_t order[] = {8, 7, 2, 3, 9, 1};
    struct td_dues d = {0};

    (void)state;
    assert_null(td_dues_first(&d));
    assert_null(td_dues_find(&d, 1));
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++)
        add(&d, rows[i].when_ms, rows[i].number);
    for (size_t i = 0; i < TD_ARRAY_LEN(order); i++) {
        const struct td_due *first = td_dues_first(&d);

        assert_int_equal(first->number, order[i]);
        assert_ptr_equal(td_dues_find(&d, order[i]), first);
        td_dues_remove(&d, first);
        assert_null(td_dues_find(&d, order[i]));
    }
    assert_null(td_dues_first(&d));
    td_dues_fini(&d);
}

/* The one of the model that comes first; 0: none. */
static uint64_t first_of(const int64_t *when_ms)
{
    uint64_t first = 0;

    for (uint64_t n = 1; n <= NUMBERS; n++) {
        if (when_ms[n] && (!first || when_ms[n] < when_ms[first]))
            first = n;
    }
    return first;
}

static void test_dues_are_what_a_list_is(void **state)
{
    static int64_t when_ms[NUMBERS + 1]; /* 0: it is not there */
    struct td_dues d = {0};
    uint32_t random = 7;
    uint32_t len = 0;

    (void)state;
    for (uint32_t i = 0; i < STEPS; i++) {
        uint64_t n;

        random = random * 1664525u + 1013904223u;
        n = 1 + (random >> 8) % NUMBERS;
        if (when_ms[n] == 0) {
            when_ms[n] = 1 + (random >> 16) % 97;
            add(&d, when_ms[n], n);
            len++;
        } else {
            const struct td_due *due = td_dues_find(&d, n);

            assert_non_null(due);
            assert_int_equal(due->number, n);
            assert_int_equal(due->when_ms, when_ms[n]);
            td_dues_remove(&d, due);
            when_ms[n] = 0;
            len--;
        }
        assert_int_equal(d.len, len);
        if (i % 97 == 0 && len > 0)
            assert_int_equal(td_dues_first(&d)->number, first_of(when_ms));
    }
    while (len-- > 0) {
        uint64_t n = td_dues_first(&d)->number;

        assert_int_equal(n, first_of(when_ms));
        td_dues_remove(&d, td_dues_first(&d));
        when_ms[n] = 0;
    }
    td_dues_fini(&d);
}

static void test_dues_without_memory_are_as_they_were(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 2; n++) {
        struct td_dues d = {0};

        add(&d, 3, 1);
        td_alloc_fail(n);
        assert_false(td_dues_reserve(&d, 1000));
        td_alloc_fail(0);
        assert_int_equal(td_dues_find(&d, 1)->when_ms, 3);
        assert_true(td_dues_reserve(&d, 1000));
        assert_int_equal(td_dues_find(&d, 1)->when_ms, 3);
        td_dues_fini(&d);
    }
}

static void test_due_is_put_off_and_never_brought_forward(void **state)
{
    struct td_due due = due_at(1000, 1);

    (void)state;
    td_due_put_off(&due, 1500);
    assert_int_equal(due.when_ms, 1500);
    td_due_put_off(&due, 200); /* the clock was set back */
    assert_int_equal(due.when_ms, 1000);
    assert_int_equal(due.due_ms, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dues_come_by_time_and_then_by_number),
        cmocka_unit_test(test_dues_are_what_a_list_is),
        cmocka_unit_test(test_dues_without_memory_are_as_they_were),
        cmocka_unit_test(test_due_is_put_off_and_never_brought_forward),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
