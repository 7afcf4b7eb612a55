/* The growable buffer: contents, and failure that sticks. */
#include "tests/support/td_test.h"

#include "proto/buf.h"
#include "tests/support/alloc.h"

static void test_buf_keeps_what_is_appended(void **state)
{
    struct td_buf b = {0};

    (void)state;
    for (size_t n = 0; n < 70000; n++) {
        uint8_t byte = (uint8_t)(n * 7);

        td_buf_append(&b, &byte, 1);
    }
    td_buf_append(&b, "tail", 4);

    assert_false(b.failed);
    assert_int_equal(b.len, 70004);
    for (size_t n = 0; n < 70000; n++)
        assert_int_equal(b.data[n], (uint8_t)(n * 7));
    assert_memory_equal(b.data + 70000, "tail", 4);
    td_buf_fini(&b);
}

static void test_buf_reserve_gives_room_without_contents(void **state)
{
    struct td_buf b = {0};
    uint8_t *data;

    (void)state;
    assert_true(td_buf_reserve(&b, 1000));
    assert_true(b.cap >= 1000);
    assert_int_equal(b.len, 0);

    data = b.data;
    memset(b.data, 1, 1000);
    b.len = 1000;
    assert_true(td_buf_reserve(&b, b.cap - b.len));
    assert_ptr_equal(b.data, data); /* it fitted */
    td_buf_fini(&b);
}

static void test_buf_append_of_nothing_does_nothing(void **state)
{
    struct td_buf b = {0};

    (void)state;
    td_buf_append(&b, NULL, 0);
    assert_null(b.data);
    assert_false(b.failed);
    td_buf_fini(&b);
}

static void test_buf_fini_of_zeroed_memory_does_nothing(void **state)
{
    struct td_buf b = {0};

    (void)state;
    td_buf_fini(&b);
    td_buf_fini(&b);
    assert_null(b.data);
}

static void test_buf_reset_empties_and_keeps_the_memory(void **state)
{
    struct td_buf b = {0};
    uint8_t *data;

    (void)state;
    td_buf_append(&b, "old", 3);
    data = b.data;
    td_buf_reset(&b);
    assert_int_equal(b.len, 0);
    td_buf_append(&b, "new", 3);
    assert_ptr_equal(b.data, data);
    assert_memory_equal(b.data, "new", 3);
    td_buf_fini(&b);
}

/* FAULTS W26: sizes whose sum with what is there overflows. */
static void test_buf_refuses_sizes_that_overflow(void **state)
{
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 3,
                                   SIZE_MAX / 2, SIZE_MAX / 2 + 1};

    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(sizes); i++) {
        struct td_buf b = {0};

        td_buf_append(&b, "four", 4);
        assert_row_at("size", i, !td_buf_reserve(&b, sizes[i]));
        assert_row_at("size", i, b.failed);
        assert_memory_equal(b.data, "four", 4);
        td_buf_fini(&b);
    }
}

static void test_buf_failure_sticks_until_reset(void **state)
{
    struct td_buf b = {0};

    (void)state;
    td_buf_append(&b, "kept", 4);
    td_alloc_fail(1);
    assert_false(td_buf_reserve(&b, 10000));
    assert_true(td_alloc_failed());

    assert_true(b.failed);
    assert_int_equal(b.len, 4);
    td_buf_append(&b, "x", 1); /* would fit, but something before is lost */
    assert_int_equal(b.len, 4);
    assert_int_equal(td_buf_pack_write(&b, "x", 1), -1);
    assert_memory_equal(b.data, "kept", 4);

    td_buf_reset(&b);
    assert_int_equal(td_buf_pack_write(&b, "x", 1), 0);
    assert_int_equal(b.len, 1);
    td_buf_fini(&b);
}

/* Old contents must live when growing fails at any point. */
static tidings_err grow(void *arg)
{
    struct td_buf b = {0};
    tidings_err err = TIDINGS_OK;

    (void)arg;
    for (uint32_t n = 0; n < 5000; n++)
        td_buf_append(&b, &n, sizeof(n));
    if (b.failed)
        err = TIDINGS_ENOMEM;
    assert_int_equal(b.len % sizeof(uint32_t), 0);
    for (uint32_t n = 0; n < b.len / sizeof(n); n++)
        assert_memory_equal(b.data + n * sizeof(n), &n, sizeof(n));
    td_buf_fini(&b);
    return err;
}

static void test_buf_survives_each_failing_allocation(void **state)
{
    (void)state;
    assert_true(td_alloc_each(grow, NULL) >= 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buf_keeps_what_is_appended),
        cmocka_unit_test(test_buf_reserve_gives_room_without_contents),
        cmocka_unit_test(test_buf_append_of_nothing_does_nothing),
        cmocka_unit_test(test_buf_fini_of_zeroed_memory_does_nothing),
        cmocka_unit_test(test_buf_reset_empties_and_keeps_the_memory),
        cmocka_unit_test(test_buf_refuses_sizes_that_overflow),
        cmocka_unit_test(test_buf_failure_sticks_until_reset),
        cmocka_unit_test(test_buf_survives_each_failing_allocation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
