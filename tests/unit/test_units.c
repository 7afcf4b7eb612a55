/* Sizes, durations and moments, as tables. */
#include "tests/support/td_test.h"

#include "broker/units.h"

struct row {
    const char *text;
    int64_t value; /* below 0: it is none */
};

/* Reads it as one of those; -1: it is none, and out was left alone. */
static int64_t read_as(bool (*read)(uint64_t *, const char *), const char *text)
{
    uint64_t value = 4242;
    bool is = read(&value, text);

    assert_row(text, is || value == 4242);
    return is ? (int64_t)value : -1;
}

static void check(bool (*read)(uint64_t *, const char *),
                  const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_row(rows[i].text, read_as(read, rows[i].text) == rows[i].value);
}

static void test_units_numbers(void **state)
{
    static const struct row rows[] = {
        {"0", 0},
        {"1", 1},
        {"010", 10}, /* not octal */
        {"9223372036854775807", INT64_MAX},
        {"9223372036854775808", -1},
        {"99999999999999999999999", -1},
        {"", -1},
        {"-1", -1},
        {"+1", -1},
        {" 1", -1},
        {"1 ", -1},
        {"0x10", -1},
        {"1.5", -1},
        {"1k", -1},
        {"many", -1},
    };

    (void)state;
    check(td_number_read, rows, TD_ARRAY_LEN(rows));
}

static void test_units_sizes(void **state)
{
    static const struct row rows[] = {
        {"0", 0},
        {"17", 17},
        {"1K", 1024},
        {"1k", 1024},
        {"3M", 3 << 20},
        {"10G", (int64_t)10 << 30},
        {"8589934591G", INT64_MAX - (1 << 30) + 1},
        {"8589934592G", -1},
        {"", -1},
        {"K", -1},
        {"1KB", -1},
        {"1T", -1},
        {"1 K", -1},
        {"-1K", -1},
        {"1.5G", -1},
    };

    (void)state;
    check(td_size_read, rows, TD_ARRAY_LEN(rows));
}

static void test_units_durations(void **state)
{
    static const struct row rows[] = {
        {"0", 0},
        {"0s", 0},
        {"200ms", 200},
        {"30s", 30000},
        {"10m", 600000},
        {"2h", 7200000},
        {"7d", 7 * 86400000LL},
        {"106751991167d", 106751991167LL * 86400000},
        {"106751991168d", -1},
        {"", -1},
        {"5", -1}, /* of what? */
        {"s", -1},
        {"-5s", -1},
        {"5 s", -1},
        {"5sec", -1},
        {"5S", -1},
        {"1h30m", -1},
        {"1.5h", -1},
    };

    (void)state;
    check(td_duration_read, rows, TD_ARRAY_LEN(rows));
}

static void test_units_moments(void **state)
{
    static const struct row rows[] = {
        {"1970-01-01", 0},
        {"1970-01-01T00:00:01Z", 1000},
        {"2000-02-29", 951782400000},
        {"2024-02-29T12:34:56Z", 1709210096000},
        {"2024-12-31", 1735603200000},
        {"9999-12-31T23:59:59Z", 253402300799000},
        {"1969-12-31", -1},
        {"2023-02-29", -1},
        {"2100-02-29", -1},
        {"2024-00-01", -1},
        {"2024-13-01", -1},
        {"2024-01-00", -1},
        {"2024-04-31", -1},
        {"2024-01-01T24:00:00Z", -1},
        {"2024-01-01T00:60:00Z", -1},
        {"2024-01-01T00:00:60Z", -1},
        {"2024-01-01T00:00:00", -1}, /* where? */
        {"2024-01-01T00:00:00z", -1},
        {"2024-01-01T00:00Z", -1},
        {"2024-01-01 ", -1},
        {"2024-1-1", -1},
        {"24-01-01", -1},
        {"now", -1},
        {"", -1},
    };

    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        int64_t ms = -1;
        bool is = td_moment_read(&ms, rows[i].text);

        assert_row(rows[i].text, is == (rows[i].value >= 0));
        assert_row(rows[i].text, ms == rows[i].value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_units_numbers),
        cmocka_unit_test(test_units_sizes),
        cmocka_unit_test(test_units_durations),
        cmocka_unit_test(test_units_moments),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
