#include "tests/support/td_test.h"

#include <string.h>

#include "client/answers.h"
#include "proto/limits.h"
#include "tests/support/alloc.h"

static tidings_err add_of(struct td_answers *a, uint64_t link, uint64_t task,
                          const void *data, size_t len)
{
    const struct td_answer_row row = {
        .task = task, .bytes = len, .text = {"", 0}};

    return td_answers_add(a, link, &row, data);
}

static tidings_err add(struct td_answers *a, uint64_t task, const void *data,
                       size_t len)
{
    return add_of(a, 1, task, data, len);
}

static void test_answers_are_rows_and_what_they_have(void **state)
{
    struct td_answers a = {0};
    struct td_answer_row row;
    struct td_reader r;

    (void)state;
    assert_ok(add(&a, 7, "abc", 3));
    assert_ok(add(&a, 8, NULL, 0));
    assert_ok(add(&a, 9, "de", 2));

    assert_int_equal(a.len, 3);
    assert_int_equal(a.body.len, 5);
    assert_memory_equal(a.body.data, "abcde", 5);
    r = td_reader_of(a.rows.data, a.rows.len);
    for (uint64_t task = 7; task < 10; task++) {
        assert_true(td_answer_read(&r, &row));
        assert_int_equal(row.task, task);
    }
    td_answers_fini(&a);
}

static void test_answers_are_full_by_rows_and_by_bytes(void **state)
{
    static const uint8_t zeros[TD_DATA_BYTES_MAX];
    struct td_answers a = {0};

    (void)state;
    for (uint32_t i = 0; i < TD_BUNDLE_ROWS; i++) {
        assert_false(td_answers_full(&a));
        assert_ok(add(&a, i, "x", 1));
    }
    assert_true(td_answers_full(&a));
    assert_err(add(&a, 1, "x", 1), TIDINGS_EFULL);
    td_answers_reset(&a);
    assert_false(td_answers_full(&a));

    assert_ok(add(&a, 1, zeros, TD_BATCH_BYTES - 1));
    assert_false(td_answers_full(&a));
    assert_ok(add(&a, 2, zeros, sizeof(zeros))); /* the largest still fits */
    assert_true(td_answers_full(&a));
    assert_true(a.body.len <= TD_BODY_BYTES_MAX);
    td_answers_reset(&a);
    assert_true(a.body.cap <= 2 * TD_BATCH_BYTES); /* it is not kept */
    td_answers_fini(&a);
}

static void test_answers_are_whole_without_memory(void **state)
{
    static const uint8_t zeros[4096];
    struct td_answers a = {0};
    size_t n = 0;

    (void)state;
    assert_ok(add(&a, 1, "abc", 3));
    do {
        td_alloc_fail(++n);
    } while (add(&a, 2, zeros, sizeof(zeros)) == TIDINGS_ENOMEM && n < 10);
    td_alloc_stop();
    assert_true(n > 1 && n < 10);
    assert_int_equal(a.len, 2);
    assert_int_equal(a.body.len, 3 + sizeof(zeros));
    td_answers_fini(&a);
}

static void test_answers_of_an_older_link_are_for_nobody(void **state)
{
    struct td_answers a = {0};
    struct td_answer_row row;
    struct td_reader r;

    (void)state;
    assert_ok(add_of(&a, 1, 7, "old", 3));
    assert_ok(add_of(&a, 2, 8, "new", 3)); /* the one before goes */
    assert_err(add_of(&a, 1, 9, "old", 3), TIDINGS_EUNREACH);
    assert_int_equal(a.link, 2);
    assert_int_equal(a.len, 1);
    assert_int_equal(a.body.len, 3);
    r = td_reader_of(a.rows.data, a.rows.len);
    assert_true(td_answer_read(&r, &row));
    assert_int_equal(row.task, 8);

    td_answers_reset(&a); /* it is sent */
    assert_err(add_of(&a, 1, 9, "old", 3), TIDINGS_EUNREACH);
    td_answers_fini(&a);
}

/* As many as there are: what has no memory is at least refused. */
static void test_answers_without_data_need_no_memory(void **state)
{
    static const char text[] = /* the longest */
        "0123456789012345678901234567890123456789012345678901234567890123"
        "0123456789012345678901234567890123456789012345678901234567890123"
        "0123456789012345678901234567890123456789012345678901234567890123"
        "012345678901234567890123456789012345678901234567890123456789012";
    const struct td_answer_row row = {.task = UINT64_MAX,
                                      .code = TIDINGS_EREMOTE,
                                      .status = TD_STATUS_MAX,
                                      .held_us = UINT64_MAX,
                                      .took_us = UINT64_MAX,
                                      .text = td_str_of(text)};
    struct td_answers a = {0};

    (void)state;
    assert_int_equal(sizeof(text) - 1, TD_ANSWER_TEXT_BYTES_MAX);
    td_alloc_fail(1);
    assert_false(td_answers_reserve(&a));
    td_alloc_stop();
    assert_true(td_answers_reserve(&a));
    for (unsigned i = 0; i < 3; i++) {
        unsigned n = 0;

        td_alloc_arm(TD_ALLOC_REST, 1);
        while (!td_answers_full(&a)) {
            assert_ok(td_answers_add(&a, 1, &row, NULL));
            n++;
        }
        td_alloc_stop();
        assert_true(n > 0);
        td_answers_reset(&a);
    }
    td_answers_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_are_rows_and_what_they_have),
        cmocka_unit_test(test_answers_are_full_by_rows_and_by_bytes),
        cmocka_unit_test(test_answers_are_whole_without_memory),
        cmocka_unit_test(test_answers_of_an_older_link_are_for_nobody),
        cmocka_unit_test(test_answers_without_data_need_no_memory),
    };

    return cmocka_run_group_tests_name("answers", tests, NULL, NULL);
}
