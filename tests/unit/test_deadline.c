/* The deadline of a thread, under a clock that stands still until it is moved.
 * The linker puts __wrap_td_now_us() in td_now_us()'s place. */
#include "tests/support/td_test.h"

#include <pthread.h>

#include "client/bus.h"
#include "client/deadline.h"
#include "tidings/tidings.h"

static int64_t now_us;

int64_t __wrap_td_now_us(void);

int64_t __wrap_td_now_us(void)
{
    return now_us;
}

static void test_deadline_is_none_until_it_is_set(void **state)
{
    (void)state;

    assert_true(td_deadline_us() == TD_NO_DEADLINE);
    assert_true(td_deadline_left_us() == TD_NO_DEADLINE);
}

static void test_deadline_runs_out(void **state)
{
    int64_t before_us;
    (void)state;

    now_us = 1000;
    before_us = td_deadline_set(1500);
    assert_int_equal(td_deadline_us(), 1500);
    assert_int_equal(td_deadline_left_us(), 500);
    now_us = 1499;
    assert_int_equal(td_deadline_left_us(), 1);
    now_us = 1500;
    assert_int_equal(td_deadline_left_us(), 0);
    now_us = 9000;
    assert_int_equal(td_deadline_left_us(), 0);

    td_deadline_restore(before_us);
    assert_true(td_deadline_left_us() == TD_NO_DEADLINE);
}

static void test_deadline_inside_another_comes_sooner_never_later(void **state)
{
    int64_t none, outer;
    (void)state;

    now_us = 0;
    none = td_deadline_set(100);
    outer = td_deadline_set(200);
    assert_int_equal(td_deadline_us(), 100);
    td_deadline_restore(outer);
    assert_int_equal(td_deadline_us(), 100);

    outer = td_deadline_set(50);
    assert_int_equal(td_deadline_us(), 50);
    td_deadline_restore(outer);
    assert_int_equal(td_deadline_us(), 100);
    td_deadline_restore(none);
    assert_true(td_deadline_us() == TD_NO_DEADLINE);
}

static void *look(void *arg)
{
    *(int64_t *)arg = td_deadline_us();
    return NULL;
}

static void test_deadline_is_of_one_thread(void **state)
{
    int64_t before_us = td_deadline_set(100);
    int64_t seen = 0;
    pthread_t thread;
    (void)state;

    assert_int_equal(pthread_create(&thread, NULL, look, &seen), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    td_deadline_restore(before_us);

    assert_true(seen == TD_NO_DEADLINE);
}

/* ---- the public calls ---- */

static tidings_err look_left(void *arg)
{
    *(int *)arg = tidings_deadline_left_ms();
    return TIDINGS_EIO;
}

static void test_deadline_is_around_work_and_no_longer(void **state)
{
    int left_ms = -1;
    (void)state;

    now_us = 7000000;
    assert_int_equal(tidings_deadline_left_ms(), TIDINGS_TIMEOUT_MAX_MS);
    assert_err(tidings_with_deadline(1500, look_left, &left_ms), TIDINGS_EIO);
    assert_int_equal(left_ms, 1500);
    assert_int_equal(tidings_deadline_left_ms(), TIDINGS_TIMEOUT_MAX_MS);
    assert_err(tidings_with_deadline(86400000, look_left, &left_ms),
               TIDINGS_EIO);
    assert_int_equal(left_ms, 86400000);
}

static tidings_err nest(void *arg)
{
    tidings_err err;

    now_us += 400000;
    err = tidings_with_deadline(5000, look_left, arg);
    if (err != TIDINGS_EIO || *(int *)arg != 600)
        return TIDINGS_EPROTO;
    now_us += 600000;
    *(int *)arg = -1;
    return tidings_with_deadline(5000, look_left, arg);
}

static void test_deadline_that_has_passed_lets_no_work_begin(void **state)
{
    int left_ms = 0;
    (void)state;

    assert_err(tidings_with_deadline(1000, nest, &left_ms), TIDINGS_ETIMEDOUT);
    assert_string_equal(tidings_detail(), "the thread's deadline has passed");
    assert_int_equal(left_ms, -1);
}

static void test_deadline_refuses_what_is_out_of_bounds(void **state)
{
    int left_ms = -1;
    (void)state;

    assert_err(tidings_with_deadline(0, look_left, &left_ms), TIDINGS_EINVAL);
    assert_err(tidings_with_deadline(86400001, look_left, &left_ms),
               TIDINGS_EINVAL);
    assert_err(tidings_with_deadline(1, NULL, NULL), TIDINGS_EINVAL);
    assert_int_equal(left_ms, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deadline_is_none_until_it_is_set),
        cmocka_unit_test(test_deadline_runs_out),
        cmocka_unit_test(test_deadline_inside_another_comes_sooner_never_later),
        cmocka_unit_test(test_deadline_is_of_one_thread),
        cmocka_unit_test(test_deadline_is_around_work_and_no_longer),
        cmocka_unit_test(test_deadline_that_has_passed_lets_no_work_begin),
        cmocka_unit_test(test_deadline_refuses_what_is_out_of_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
