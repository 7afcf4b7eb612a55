/* Dead letters in the store: their bytes, older ones, and such as are none. */
#include "tests/support/td_test.h"

#include <string.h>

#include "broker/engine/keyspace.h"
#include "proto/frame.h"

static const struct td_dead_row letter = {
    .why = TD_DEATH_TERM,
    .redrive = true,
    .sequence = UINT64_C(0x0102030405060708),
    .deliveries = 9,
    .first_ms = 1700000000000,
    .last_ms = 1700000000250,
    .error = {"no stock", 8},
    .handler = {"mailer-1", 8},
    .table = {"table", 5},
    .body = {"body", 4},
};

static bool is_same(struct td_str a, struct td_str b)
{
    return a.len == b.len && (a.len == 0 || !memcmp(a.data, b.data, a.len));
}

static void check_row(const struct td_dead_row *got,
                      const struct td_dead_row *want)
{
    assert_int_equal(got->why, want->why);
    assert_int_equal(got->redrive, want->redrive);
    assert_int_equal(got->sequence, want->sequence);
    assert_int_equal(got->deliveries, want->deliveries);
    assert_int_equal(got->first_ms, want->first_ms);
    assert_int_equal(got->last_ms, want->last_ms);
    assert_true(is_same(got->error, want->error));
    assert_true(is_same(got->handler, want->handler));
    assert_true(is_same(got->table, want->table));
    assert_true(is_same(got->body, want->body));
}

static struct td_str packed(struct td_buf *buf, const struct td_dead_row *row)
{
    td_buf_reset(buf);
    td_dead_row_pack(buf, row);
    assert_false(buf->failed);
    return (struct td_str){(const char *)buf->data, buf->len};
}

static void test_dead_row_comes_back_as_it_was(void **state)
{
    char longest[TD_REASON_BYTES_MAX + 1] = {0};
    struct td_dead_row row = letter;
    struct td_dead_row got;
    struct td_buf buf = {0};

    (void)state;
    assert_true(td_dead_row_read(packed(&buf, &row), &got));
    check_row(&got, &row);
    memset(longest, 'e', TD_REASON_BYTES_MAX);
    row.error = td_str_of(longest);
    row.handler =
        (struct td_str){longest, TD_NAME_BYTES_MAX}; /* of a session */
    assert_true(td_dead_row_read(packed(&buf, &row), &got));
    check_row(&got, &row);
    row.error = row.handler = td_str_of("");
    row.redrive = false;
    row.why = TD_DEATH_MAX_DELIVER;
    assert_true(td_dead_row_read(packed(&buf, &row), &got));
    check_row(&got, &row);
    td_buf_fini(&buf);
}

/* What brokers wrote before handlers had names. */
static void test_dead_row_of_version_1_names_no_handler(void **state)
{
    static const char old[] =
        "\1\1\1\10"                        /* version, term, redriven, 8 */
        "\1\2\3\4\5\6\7\10"                /* sequence */
        "\0\0\0\11"                        /* deliveries */
        "\x00\x00\x01\x8b\xcf\xe5\x68\x00" /* first, last */
        "\x00\x00\x01\x8b\xcf\xe5\x68\xfa"
        "\0\0\0\5" /* of the table */
        "no stocktablebody";
    struct td_dead_row want = letter;
    struct td_dead_row got;

    (void)state;
    want.handler = td_str_of("");
    assert_true(td_dead_row_read((struct td_str){old, sizeof(old) - 1}, &got));
    check_row(&got, &want);
}

static void test_dead_row_that_is_none_is_refused(void **state)
{
    static const struct {
        const char *name;
        size_t at;
        char byte;
    } bad[] = {
        {"version 0", 0, 0},     {"version 3", 0, 3},     {"why", 1, TD_DEATHS},
        {"redrive", 2, 2},       {"error", 3, '\xff'},    {"table", 32, 1},
        {"a table", 35, '\xff'}, {"handler", 36, '\xff'},
    };
    struct td_dead_row got;
    struct td_buf buf = {0};
    struct td_str value;

    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(bad); i++) {
        packed(&buf, &letter);
        ((char *)buf.data)[bad[i].at] = bad[i].byte;
        assert_row(bad[i].name,
                   !td_dead_row_read(
                       (struct td_str){(const char *)buf.data, buf.len}, &got));
    }
    value = packed(&buf, &letter);
    for (size_t len = 0; len < value.len - letter.body.len; len++)
        assert_row_at(
            "cut", len,
            !td_dead_row_read((struct td_str){value.data, len}, &got));
    td_buf_fini(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dead_row_comes_back_as_it_was),
        cmocka_unit_test(test_dead_row_of_version_1_names_no_handler),
        cmocka_unit_test(test_dead_row_that_is_none_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
