/* Rows of the lists in control frames: there and back, and the hostile shapes
 * of FAULTS W11 to W16. */
#include "tests/support/td_test.h"

#include <stdlib.h>

#include "proto/frame.h"
#include "proto/limits.h"
#include "tests/support/mp.h"

#define TOP  "9223372036854775807" /* the largest integer that may travel */
#define OVER "9223372036854775808"

/* ---- there and back ---- */

static void test_credit_rows_there_and_back(void **state)
{
    static const struct td_credit rows[] = {
        {1, 2, 3, 4},
        {INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX},
        {0, 0, 0, 0},
    };
    struct td_buf list = {0};
    struct td_reader r;
    struct td_credit row;
    uint32_t count;

    (void)state;
    td_credit_begin(&list, TD_ARRAY_LEN(rows));
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++)
        td_credit_append(&list, &rows[i]);
    assert_false(list.failed);

    r = td_reader_of(list.data, list.len);
    assert_true(td_read_array(&r, &count));
    assert_int_equal(count, TD_ARRAY_LEN(rows));
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        assert_true(td_credit_read(&r, &row));
        assert_memory_equal(&row, &rows[i], sizeof(row));
    }
    assert_false(td_credit_read(&r, &row));
    td_buf_fini(&list);
}

static void test_parts_there_and_back(void **state)
{
    struct td_buf list = {0};
    struct td_part part;
    struct td_reader r;

    (void)state;
    td_part_begin(&list, 7, INT64_MAX, false);
    td_mp(&list, "[8]");
    td_part_begin(&list, INT32_MAX, 1, true);
    td_mp(&list, "[] [[1 2 3]]");
    r = td_reader_of(list.data, list.len);
    assert_true(td_part_read(&r, &part));
    assert_int_equal(part.subscription, 7);
    assert_int_equal(part.tag, INT64_MAX);
    assert_int_equal(part.batches.len, 2);
    assert_int_equal(part.spans.len, 0);
    assert_true(td_part_read(&r, &part));
    assert_int_equal(part.subscription, INT32_MAX);
    assert_int_equal(part.batches.len, 1);
    assert_int_equal(part.spans.len, 5);
    assert_memory_equal(part.spans.data, "\x91\x93\x01\x02\x03", 5);
    assert_false(td_part_read(&r, &part));
    td_buf_fini(&list);
}

static void check_count(struct td_reader *r, const struct td_buf *list,
                        uint32_t want)
{
    uint32_t count;

    assert_false(list->failed);
    assert_true(td_scan(list->data, list->len, &td_scan_control));
    *r = td_reader_of(list->data, list->len);
    assert_true(td_read_array(r, &count));
    assert_int_equal(count, want);
}

static void test_spans_there_and_back(void **state)
{
    static const struct td_span rows[] = {
        {1, 0, 1}, {INT64_MAX, INT64_MAX, INT64_MAX}, {65536, 1, 1000}};
    struct td_buf list = {0};
    struct td_span row;
    struct td_reader r;

    (void)state;
    td_list_begin(&list, TD_ARRAY_LEN(rows));
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++)
        td_span_append(&list, &rows[i]);
    check_count(&r, &list, TD_ARRAY_LEN(rows));
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        assert_true(td_span_read(&r, &row));
        assert_memory_equal(&row, &rows[i], sizeof(row));
    }
    assert_false(td_span_read(&r, &row));
    td_buf_fini(&list);
}

static void test_settled_there_and_back(void **state)
{
    static const struct td_settled rows[] = {
        {1, 2, 3, TIDINGS_EEXIST},
        {INT64_MAX, INT64_MAX, INT64_MAX, INT32_MAX},
        {0, 1, 1, TIDINGS_OK}};
    struct td_buf list = {0};
    struct td_settled row;
    struct td_reader r;

    (void)state;
    td_list_begin(&list, TD_ARRAY_LEN(rows));
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++)
        td_settled_append(&list, &rows[i]);
    check_count(&r, &list, TD_ARRAY_LEN(rows));
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        assert_true(td_settled_read(&r, &row));
        assert_memory_equal(&row, &rows[i], sizeof(row));
    }
    assert_false(td_settled_read(&r, &row));
    td_buf_fini(&list);
}

static void test_settle_there_and_back(void **state)
{
    static char longest[TD_REASON_BYTES_MAX];
    const struct td_settle rows[] = {
        {1, TD_ACK, 1, 1, 0, td_str_of("")},
        {2, TD_NAK, 7, 9, 86400000, td_str_of("no stock")},
        {3, TD_RELEASE, 1, 65536, 0, {NULL, 0}},
        {4, TD_TERM, 5, 5, 0, {longest, sizeof(longest)}},
        {INT64_MAX, TD_PROGRESS, INT64_MAX, INT64_MAX, INT64_MAX,
         td_str_of("r")}};
    struct td_buf list = {0};
    struct td_settle row;
    struct td_reader r;

    (void)state;
    memset(longest, 'r', sizeof(longest));
    td_list_begin(&list, TD_ARRAY_LEN(rows));
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++)
        td_settle_append(&list, &rows[i]);
    check_count(&r, &list, TD_ARRAY_LEN(rows));
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        assert_true(td_settle_read(&r, &row));
        assert_int_equal(row.subscription, rows[i].subscription);
        assert_int_equal(row.verb, rows[i].verb);
        assert_int_equal(row.first, rows[i].first);
        assert_int_equal(row.last, rows[i].last);
        assert_int_equal(row.delay_ms, rows[i].delay_ms);
        assert_int_equal(row.reason.len, rows[i].reason.len);
        if (row.reason.len > 0)
            assert_memory_equal(row.reason.data, rows[i].reason.data,
                                row.reason.len);
    }
    assert_false(td_settle_read(&r, &row));
    td_buf_fini(&list);
}

static void test_confirms_there_and_back(void **state)
{
    const struct td_confirm rows[] = {
        {1, 1, TIDINGS_OK, td_str_of("events"), 9, TD_LEVEL_DISK, false},
        {2, 65536, TIDINGS_OK, td_str_of("s"), 0, TD_LEVEL_MEMORY, true},
        {3, 1, TIDINGS_ENOSTREAM, {NULL, 0}, 0, 0, false},
        {INT64_MAX, INT64_MAX, INT32_MAX, td_str_of("t"), INT64_MAX, INT64_MAX,
         true}};
    struct td_buf list = {0};
    struct td_confirm row;
    struct td_reader r;

    (void)state;
    td_list_begin(&list, TD_ARRAY_LEN(rows));
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++)
        td_confirm_append(&list, &rows[i]);
    check_count(&r, &list, TD_ARRAY_LEN(rows));
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        assert_true(td_confirm_read(&r, &row));
        assert_int_equal(row.first, rows[i].first);
        assert_int_equal(row.count, rows[i].count);
        assert_int_equal(row.code, rows[i].code);
        assert_int_equal(row.stream.len, rows[i].stream.len);
        if (row.stream.len > 0)
            assert_memory_equal(row.stream.data, rows[i].stream.data,
                                row.stream.len);
        assert_int_equal(row.sequence, rows[i].sequence);
        assert_int_equal(row.level, rows[i].level);
        assert_int_equal(row.duplicate, rows[i].duplicate);
    }
    assert_false(td_confirm_read(&r, &row));
    td_buf_fini(&list);
}

/* ---- hostile rows ---- */

static bool credit(struct td_reader *r)
{
    struct td_credit row;

    return td_credit_read(r, &row);
}

static bool part(struct td_reader *r)
{
    struct td_part row;

    return td_part_read(r, &row);
}

static bool span(struct td_reader *r)
{
    struct td_span row;

    return td_span_read(r, &row);
}

static bool confirm(struct td_reader *r)
{
    struct td_confirm row;

    return td_confirm_read(r, &row);
}

static bool settle(struct td_reader *r)
{
    struct td_settle row;

    return td_settle_read(r, &row);
}

static bool settled(struct td_reader *r)
{
    struct td_settled row;

    return td_settled_read(r, &row);
}

static const struct {
    bool (*read)(struct td_reader *r);
    const char *text;
    bool good;
} rows[] = {
    {credit, "[1 2 3 4]", true},
    {credit, "[1 2 3 4 \"of a later version\"]", true},
    {credit, "[1 2 3]", false},
    {credit, "[]", false},
    {credit, "{1 2 3 4}", false},
    {credit, "7", false},
    {credit, "nil", false},
    {credit, "[1 2 3 -4]", false},
    {credit, "[1 2 3.0 4]", false},
    {credit, "[\"1\" 2 3 4]", false},
    {credit, "[1 2 3 " OVER "]", false},
    {credit, "[[1] 2 3 4]", false},

    {part, "[1 2 []]", true},
    {part, "[1 2 [] []]", true},
    {part, "[1 2 [] [[1 2 3]]]", true},
    {part, "[1 2 [] [] \"of a later version\"]", true},
    {part, "[1 2 [] \"spans\"]", false},
    {part, "[1 2 [] nil]", false},
    {part, "[1 2 [] {}]", false},
    {part, "[1 2 [] 1 []]", false},
    {part, "[1 2]", false},
    {part, "[]", false},
    {part, "7", false},
    {part, "{1 2 3 []}", false},
    {part, "[-1 2 []]", false},
    {part, "[1 -2 []]", false},
    {part, "[1 2.0 []]", false},
    {part, "[" OVER " 2 []]", false},

    {span, "[1 0 1]", true},
    {span, "[" TOP " " TOP " " TOP "]", true},
    {span, "[1 2 3 {}]", true},
    {span, "[0 2 3]", false},
    {span, "[1 2 0]", false},
    {span, "[1 2]", false},
    {span, "[]", false},
    {span, "{1 2 3 4}", false},
    {span, "nil", false},
    {span, "[-1 2 3]", false},
    {span, "[1 -2 3]", false},
    {span, "[1 2 -3]", false},
    {span, "[1 2 3.0]", false},
    {span, "[1 \"2\" 3]", false},
    {span, "[" OVER " 2 3]", false},

    {confirm, "[1 1 0 \"s\" 1 3 false]", true},
    {confirm, "[0 1 2147483647 \"\" 0 0 true nil]", true},
    {confirm, "[1 0 0 \"s\" 1 3 false]", false},
    {confirm, "[1 1 2147483648 \"s\" 1 3 false]", false},
    {confirm, "[1 1 -1 \"s\" 1 3 false]", false},
    {confirm, "[-1 1 0 \"s\" 1 3 false]", false},
    {confirm, "[1 1.0 0 \"s\" 1 3 false]", false},
    {confirm, "[1 1 0 's' 1 3 false]", false},
    {confirm, "[1 1 0 nil 1 3 false]", false},
    {confirm, "[1 1 0 \"s\" -1 3 false]", false},
    {confirm, "[1 1 0 \"s\" 1 \"disk\" false]", false},
    {confirm, "[1 1 0 \"s\" 1 3 0]", false},
    {confirm, "[1 1 0 \"s\" 1 3 nil]", false},
    {confirm, "[1 1 0 \"s\" 1 3]", false},
    {confirm, "{1 1 0 \"s\" 1 3 false 0}", false},
    {confirm, "\"[1 1 0]\"", false},

    {settle, "[1 1 1 1 0 \"\"]", true},
    {settle, "[1 5 1 " TOP " " TOP " s(255)]", true},
    {settle, "[1 4 2 2 0 \"why\" [1 [2]]]", true},
    {settle, "[1 0 1 1 0 \"\"]", false},
    {settle, "[1 6 1 1 0 \"\"]", true},
    {settle, "[1 7 1 1 0 \"\"]", false},
    {settle, "[1 257 1 1 0 \"\"]", false},
    {settle, "[1 4294967297 1 1 0 \"\"]", false}, /* 2^32 + 1 */
    {settle, "[1 1 0 0 0 \"\"]", false},
    {settle, "[1 1 0 1 0 \"\"]", false},
    {settle, "[1 1 2 1 0 \"\"]", false},
    {settle, "[1 1 1 " OVER " 0 \"\"]", false},
    {settle, "[-1 1 1 1 0 \"\"]", false},
    {settle, "[1 -1 1 1 0 \"\"]", false},
    {settle, "[1 1 -1 1 0 \"\"]", false},
    {settle, "[1 1 1 1 -1 \"\"]", false},
    {settle, "[1 1 1 1 0.5 \"\"]", false},
    {settle, "[1 1 1 1 0 s(256)]", false},
    {settle, "[1 1 1 1 0 s(70000)]", false},
    {settle, "[1 1 1 1 0 '']", false},
    {settle, "[1 1 1 1 0 nil]", false},
    {settle, "[1 1 1 1 0]", false},
    {settle, "{1 1 1 1 0 \"\"}", false},
    {settle, "1", false},

    {settled, "[1 1 1 0]", true},
    {settled, "[1 1 " TOP " 2147483647 0]", true},
    {settled, "[1 0 0 0]", false},
    {settled, "[1 2 1 0]", false},
    {settled, "[1 1 1 2147483648]", false},
    {settled, "[1 1 1 -1]", false},
    {settled, "[\"1\" 1 1 0]", false},
    {settled, "[1 nil 1 0]", false},
    {settled, "[1 1 1]", false},
    {settled, "{1 1 1 0}", false},
    {settled, "nil", false},
};

/* Read from memory of just that size, so that a read beyond it shows. */
static bool reads(bool (*read)(struct td_reader *r), const uint8_t *data,
                  size_t len)
{
    uint8_t *exact = malloc(len + !len);
    struct td_reader r;
    bool good;

    assert_non_null(exact);
    if (len > 0)
        memcpy(exact, data, len);
    r = td_reader_of(exact, len);
    good = read(&r);
    assert_true(r.p <= r.end);
    free(exact);
    return good;
}

static void test_row_is_what_its_list_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct td_buf b = {0};

        td_mp(&b, rows[i].text);
        assert_row(rows[i].text,
                   reads(rows[i].read, b.data, b.len) == rows[i].good);
        td_buf_fini(&b);
    }
}

static void test_row_is_refused_cut_at_every_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct td_buf b = {0};

        td_mp(&b, rows[i].text);
        for (size_t len = 0; len < b.len && len < 1000; len++)
            assert_row_at(rows[i].text, len, !reads(rows[i].read, b.data, len));
        td_buf_fini(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_credit_rows_there_and_back),
        cmocka_unit_test(test_parts_there_and_back),
        cmocka_unit_test(test_spans_there_and_back),
        cmocka_unit_test(test_confirms_there_and_back),
        cmocka_unit_test(test_settle_there_and_back),
        cmocka_unit_test(test_settled_there_and_back),
        cmocka_unit_test(test_row_is_what_its_list_says),
        cmocka_unit_test(test_row_is_refused_cut_at_every_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
