/* Timers: due in time, and never before; against a plain list of them. */
#include "tests/support/td_test.h"

#include "client/wheel.h"

#include <stdbool.h>
#include <stdlib.h>

#define TIMERS 300

struct fixture {
    struct td_wheel wheel;
    struct td_timer timers[TIMERS];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    *state = f;
    if (!f)
        return -1;
    td_wheel_begin(&f->wheel, 1000);
    return 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

static unsigned take(struct fixture *f, int64_t now_ms)
{
    struct td_timer *t = td_wheel_take(&f->wheel, now_ms);
    unsigned n = 0;

    for (; t; t = t->next) {
        assert_true(t->due_ms <= now_ms);
        assert_int_equal(t->slot, 0);
        n++;
    }
    return n;
}

static void test_wheel_of_nothing_wants_nothing(void **state)
{
    struct fixture *f = *state;

    assert_true(f->wheel.next_ms == INT64_MAX);
    assert_int_equal(take(f, 1000000), 0);
    assert_true(f->wheel.next_ms == INT64_MAX);
}

static void test_wheel_says_exactly_when(void **state)
{
    static const int64_t after[] = {0,     1,     7,      8,       9,
                                    511,   4095,  4096,   4097,    8192,
                                    10000, 65536, 100000, 86400000};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(after) / sizeof(after[0]); i++) {
        int64_t now_ms = f->wheel.at * TD_WHEEL_SLOT_MS;
        int64_t due_ms = now_ms + after[i];
        unsigned looks = 0;

        td_wheel_add(&f->wheel, &f->timers[0], due_ms);
        while (f->timers[0].slot) {
            now_ms = f->wheel.next_ms;
            assert_true(now_ms <= due_ms);
            assert_int_equal(take(f, now_ms), now_ms == due_ms);
            looks++;
        }
        assert_true(looks <= 2 + (unsigned)(after[i] / 4096));
    }
}

static void test_wheel_forgets_what_is_taken_off(void **state)
{
    struct fixture *f = *state;

    td_wheel_add(&f->wheel, &f->timers[0], 1100);
    td_wheel_add(&f->wheel, &f->timers[1], 1100);
    td_wheel_remove(&f->wheel, &f->timers[0]);
    td_wheel_remove(&f->wheel, &f->timers[0]);

    assert_int_equal(take(f, 1099), 0);
    assert_int_equal(take(f, 1100), 1);
}

static void test_wheel_takes_what_is_late_at_once(void **state)
{
    struct fixture *f = *state;

    take(f, 5000);
    td_wheel_add(&f->wheel, &f->timers[0], 3);

    assert_true(f->wheel.next_ms <= 5000);
    assert_int_equal(take(f, 5000), 1);
}

static void test_wheel_is_as_a_list(void **state)
{
    struct fixture *f = *state;
    int64_t now_ms = 1000;

    srand(7);
    for (unsigned step = 0; step < 20000; step++) {
        struct td_timer *t = &f->timers[rand() % TIMERS];
        unsigned want = 0;

        now_ms += rand() % 4 ? rand() % 5 : rand() % 6000;
        if (t->slot)
            td_wheel_remove(&f->wheel, t);
        else
            td_wheel_add(&f->wheel, t, now_ms + rand() % 9000 - 10);
        for (unsigned i = 0; i < TIMERS; i++) {
            want += f->timers[i].slot && f->timers[i].due_ms <= now_ms;
            assert_true(!f->timers[i].slot ||
                        f->wheel.next_ms <= f->timers[i].due_ms);
        }
        assert_int_equal(take(f, now_ms), want);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_wheel_of_nothing_wants_nothing),
        TEST(test_wheel_says_exactly_when),
        TEST(test_wheel_forgets_what_is_taken_off),
        TEST(test_wheel_takes_what_is_late_at_once),
        TEST(test_wheel_is_as_a_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
