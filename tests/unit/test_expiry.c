/* expirytime: what it says, wherever it stands, and what is none. */
#include "tests/support/td_test.h"

#include "proto/expiry.h"
#include "tests/support/mp.h"

static const struct {
    const char *attrs; /* in the notation of mp.h */
    bool expires;
    int64_t us;
} rows[] = {
    {"{\"expirytime\" \"1970-01-01T00:00:01Z\"}", true, 1000000},
    {"{\"a\" 1 \"expirytime\" \"1970-01-01T00:00:00.000001Z\" \"b\" true}",
     true, 1},
    {"{\"expirytime\" \"1970-01-01T02:00:00.123456789+02:00\"}", true, 123456},
    {"{\"expirytime\" \"9999-12-31T23:59:59.999999Z\"}", true,
     253402300799999999},
    {"{}", false, 0},
    {"{\"expirytimes\" \"1970-01-01T00:00:01Z\"}", false, 0},
    {"{\"expirytime\" \"\"}", false, 0},
    {"{\"expirytime\" \"soon\"}", false, 0},
    {"{\"expirytime\" \"1970-01-01\"}", false, 0},
    {"{\"expirytime\" \"1970-01-01T00:00:01Z \"}", false, 0},
    {"{\"expirytime\" \"1970-01-01T00:00:01.0000000000000000000000000Z\"}",
     false, 0},
    {"{\"expirytime\" 1}", false, 0},
    {"{\"expirytime\" true}", false, 0},
};

static void test_expirytime_is_read_where_it_is_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct td_buf b = {0};
        struct td_event event = {0};
        int64_t us = 0;

        td_mp(&b, rows[i].attrs);
        event.attrs = td_mp_str(&b);
        assert_row(rows[i].attrs, td_expiry_of(&us, &event) == rows[i].expires);
        assert_row(rows[i].attrs, us == rows[i].us);
        td_buf_fini(&b);
    }
}

static void test_expirytime_of_plain_events_is_none(void **state)
{
    const struct td_event plain = {0};
    const struct td_str nul = {"1970-01-01T00:00:01Z\0", 21};
    int64_t us;

    (void)state;
    assert_false(td_expiry_of(&us, &plain));
    assert_false(td_expiry_read(&us, nul));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expirytime_is_read_where_it_is_one),
        cmocka_unit_test(test_expirytime_of_plain_events_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
