/* libtidings_json: timestamps and base64. */
#include "tests/unit/json_fixture.h"

#include <stdlib.h>

#include "client/json/base64.h"
#include "proto/timestamp.h"

/* ---- timestamps ---- */

static const struct {
    const char *text;
    int64_t us;
    const char *back; /* NULL: as it was */
} timestamps[] = {
    {"1970-01-01T00:00:00.000000Z", 0, NULL},
    {"1970-01-01T00:00:00.000001Z", 1, NULL},
    {"1969-12-31T23:59:59.999999Z", -1, NULL},
    {"2000-02-29T00:00:00.000000Z", 951782400000000, NULL},
    {"2024-02-29T23:59:59.999999Z", 1709251199999999, NULL},
    {"2024-03-01T00:00:00.000000Z", 1709251200000000, NULL},
    {"1900-03-01T00:00:00.000000Z", -2203891200000000, NULL},
    {"0000-01-01T00:00:00.000000Z", -62167219200000000, NULL},
    {"0000-02-29T00:00:00.000000Z", -62162121600000000, NULL},
    {"9999-12-31T23:59:59.999999Z", 253402300799999999, NULL},
    {"2038-01-19T03:14:08.000000Z", 2147483648000000, NULL},
    {"2024-01-01T00:00:00Z", 1704067200000000, "2024-01-01T00:00:00.000000Z"},
    {"2024-01-01t00:00:00z", 1704067200000000, "2024-01-01T00:00:00.000000Z"},
    {"2024-01-01T00:00:00.5Z", 1704067200500000,
     "2024-01-01T00:00:00.500000Z"},
    {"2024-01-01T00:00:00.123456789Z", 1704067200123456,
     "2024-01-01T00:00:00.123456Z"},
    {"2024-01-01T01:30:00+01:30", 1704067200000000,
     "2024-01-01T00:00:00.000000Z"},
    {"2023-12-31T16:00:00.25-08:00", 1704067200250000,
     "2024-01-01T00:00:00.250000Z"},
    {"2024-01-01T00:00:00-00:00", 1704067200000000,
     "2024-01-01T00:00:00.000000Z"},
};

static void test_timestamp_comes_back_as_it_was(void **state)
{
    (void)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(timestamps); i++) {
        const char *text = timestamps[i].text;
        char back[TD_TIMESTAMP_BYTES];
        int64_t us = 12345;

        assert_row(text, td_timestamp_read(&us, text));
        assert_row(text, us == timestamps[i].us);
        assert_row(text, td_timestamp_write(back, us));
        assert_row(text, strcmp(back, timestamps[i].back ? timestamps[i].back
                                                         : text) == 0);
    }
}

/* Every day of 800 years, counted on by one. */
static void test_timestamp_days_follow_one_another(void **state)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30,
                                  31, 31, 30, 31, 30, 31};
    int64_t want_us, us;
    char text[80], back[TD_TIMESTAMP_BYTES];
    (void)state;

    assert_true(td_timestamp_read(&want_us, "1600-01-01T00:00:00Z"));
    for (int year = 1600; year < 2400; year++) {
        bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

        for (int month = 1; month <= 12; month++) {
            int days = lengths[month - 1] + (month == 2 && leap);

            for (int day = 1; day <= days; day++) {
                snprintf(text, sizeof(text), "%04d-%02d-%02dT00:00:00.000000Z",
                         year, month, day);
                assert_row(text, td_timestamp_read(&us, text));
                assert_row(text, us == want_us);
                assert_row(text, td_timestamp_write(back, us));
                assert_row(text, strcmp(back, text) == 0);
                want_us += INT64_C(86400000000);
            }
            snprintf(text, sizeof(text), "%04d-%02d-%02dT00:00:00Z", year,
                     month, days + 1);
            assert_row(text, !td_timestamp_read(&us, text));
        }
    }
}

static const char *const not_timestamps[] = {
    "",
    "2024",
    "2024-01-01",
    "2024-01-01T00:00:00",          /* no offset */
    "2024-01-01 00:00:00Z",         /* a space */
    "2024-1-01T00:00:00Z",
    "24-01-01T00:00:00Z",
    "02024-01-01T00:00:00Z",
    "-024-01-01T00:00:00Z",
    "2024-00-01T00:00:00Z",
    "2024-13-01T00:00:00Z",
    "2024-01-00T00:00:00Z",
    "2024-01-32T00:00:00Z",
    "2023-02-29T00:00:00Z",
    "1900-02-29T00:00:00Z",
    "2024-04-31T00:00:00Z",
    "2024-01-01T24:00:00Z",
    "2024-01-01T00:60:00Z",
    "2016-12-31T23:59:60Z", /* a leap second */
    "2024-01-01T00:00:00.Z",
    "2024-01-01T00:00:00,5Z",
    "2024-01-01T00:00:00.1234567890Z",
    "2024-01-01T00:00:00+0100",
    "2024-01-01T00:00:00+01",
    "2024-01-01T00:00:00+24:00",
    "2024-01-01T00:00:00+01:60",
    "2024-01-01T00:00:00Z ",
    " 2024-01-01T00:00:00Z",
    "2024-01-01T00:00:00ZZ",
    "2024-01-01T+0:00:00Z",
    "2024-01-01T00:00:00\xc2\xb1" "01:00",
    "\xd9\xa2\xd9\xa0\xd9\xa2\xd9\xa4-01-01T00:00:00Z",
};

static void test_timestamp_is_refused_when_it_is_none(void **state)
{
    (void)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(not_timestamps); i++) {
        int64_t us = 12345;

        assert_row(not_timestamps[i],
                   !td_timestamp_read(&us, not_timestamps[i]));
        assert_row(not_timestamps[i], us == 12345);
    }
}

/* A timestamp cut at every byte is none, and nothing behind it is read. */
static void test_timestamp_is_refused_when_cut_short(void **state)
{
    static const char whole[] = "2024-02-29T23:59:59.999999+01:00";
    int64_t us;
    (void)state;

    for (size_t len = 0; len < sizeof(whole) - 1; len++) {
        char *cut = strndup(whole, len);

        assert_non_null(cut);
        assert_row_at(whole, len, !td_timestamp_read(&us, cut));
        free(cut);
    }
}

/* ---- base64 ---- */

static const struct {
    const char *bytes;
    size_t len;
    const char *text;
} base64[] = {
    /* RFC 4648 section 10 */
    {ROW(""), ""},
    {ROW("f"), "Zg=="},
    {ROW("fo"), "Zm8="},
    {ROW("foo"), "Zm9v"},
    {ROW("foob"), "Zm9vYg=="},
    {ROW("fooba"), "Zm9vYmE="},
    {ROW("foobar"), "Zm9vYmFy"},
    {ROW("\0"), "AA=="},
    {ROW("\xfb\xff\xbf"), "+/+/"},
    {ROW("\xff\xff\xff"), "////"},
};

static void test_base64_comes_back_as_it_was(void **state)
{
    (void)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(base64); i++) {
        const char *text = base64[i].text;
        char written[16] = "";
        char read[16];
        size_t len = 99;

        assert_int_equal(td_base64_chars(base64[i].len), strlen(text));
        td_base64_write(written, base64[i].bytes, base64[i].len);
        assert_string_equal(written, text);
        assert_row(text, td_base64_read(read, &len, text, strlen(text)));
        assert_int_equal(len, base64[i].len);
        assert_memory_equal(read, base64[i].bytes, len);
    }
}

static const struct {
    const char *text;
    size_t len;
} not_base64[] = {
    {ROW("Z")},
    {ROW("Zg")},
    {ROW("Zg=")},
    {ROW("Zg===")},
    {ROW("=")},
    {ROW("====")},
    {ROW("Z===")},
    {ROW("Zm9v=")},
    {ROW("Zg==Zg==")}, /* padding inside */
    {ROW("Zm=v")},
    {ROW("Zh==")}, /* bits left over */
    {ROW("Zm9=")},
    {ROW("Zm9v\n")},
    {ROW("Zm9v\nZm9")},
    {ROW(" Zm9")},
    {ROW("Zm-_")}, /* the other alphabet */
    {ROW("Zm9\0")},
    {ROW("\xffm9v")},
};

static void test_base64_is_refused_when_it_is_none(void **state)
{
    (void)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(not_base64); i++) {
        char out[16];
        size_t len;

        assert_row(not_base64[i].text,
                   !td_base64_read(out, &len, not_base64[i].text,
                                   not_base64[i].len));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timestamp_comes_back_as_it_was),
        cmocka_unit_test(test_timestamp_days_follow_one_another),
        cmocka_unit_test(test_timestamp_is_refused_when_it_is_none),
        cmocka_unit_test(test_timestamp_is_refused_when_cut_short),
        cmocka_unit_test(test_base64_comes_back_as_it_was),
        cmocka_unit_test(test_base64_is_refused_when_it_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
