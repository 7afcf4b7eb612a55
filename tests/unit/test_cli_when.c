/* The command line's durations, moments and places in a stream; and spans and
 * sizes as it says them. */
#include "tests/support/td_test.h"

#include <stdlib.h>
#include <time.h>

#include "client/cli/span.h"
#include "client/cli/when.h"

#define NOW_MS    INT64_C(1709208000000) /* 2024-02-29T12:00:00Z */
#define DAY_MS    UINT64_C(86400000)
#define HOUR_MS   INT64_C(3600000)
#define UNTOUCHED 77

/* ---- durations ---- */

static const struct {
    const char *text;
    uint64_t ms; /* 0: refused */
} durations[] = {
    {"1ms", 1},
    {"200ms", 200},
    {"5s", 5000},
    {"10m", 600000},
    {"2h", 7200000},
    {"7d", 7 * DAY_MS},
    {"010s", 10000},
    {"36500d", 36500 * DAY_MS},
    {"36501d", 0},
    {"0s", 0},
    {"", 0},
    {"5", 0},
    {"s", 0},
    {"-5s", 0},
    {"+5s", 0},
    {" 5s", 0},
    {"5 s", 0},
    {"5S", 0},
    {"1.5h", 0},
    {"5min", 0},
    {"5s ", 0},
    {"5sm", 0},
    {"1w", 0},
    {"0x5s", 0},
    {"18446744073709551615d", 0},
    {"99999999999999999999s", 0},
};

static void test_when_durations_are_numbers_with_a_unit(void **state)
{
    (void)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(durations); i++) {
        uint64_t ms = UNTOUCHED;
        const char *wanted =
            td_read_duration(&ms, durations[i].text, 36500 * DAY_MS);

        assert_row(durations[i].text, !wanted == (durations[i].ms > 0));
        assert_row(durations[i].text,
                   ms == (wanted ? UNTOUCHED : durations[i].ms));
    }
}

/* ---- moments ---- */

static void set_zone(const char *zone)
{
    assert_int_equal(setenv("TZ", zone, 1), 0);
    tzset();
}

static const struct {
    const char *text;
    int64_t ms; /* -1: refused */
} moments[] = {
    {"2024-02-29T12:00:00Z", NOW_MS},
    {"2024-02-29t12:00:00z", NOW_MS},
    {"2024-02-29 12:00:00Z", NOW_MS},
    {"2024-02-29T12:00Z", NOW_MS},
    {"2024-02-29T12:00:00.5Z", NOW_MS + 500},
    {"2024-02-29T12:00:00.123456789Z", NOW_MS + 123},
    {"2024-02-29T14:30:00+02:30", NOW_MS},
    {"2024-02-29T07:00:00-05:00", NOW_MS},
    {"1970-01-01T00:00:00Z", 0},
    {"1970-01-01T00:00:00.001Z", 1},
    {"2000-03-01T00:00:00Z", INT64_C(951868800000)},
    {"9999-12-31T23:59:59Z", INT64_C(253402300799000)},
    /* without a zone: here, seven hours behind */
    {"2024-02-29T05:00:00", NOW_MS},
    {"2024-02-29T05:00", NOW_MS},
    {"2024-02-29", NOW_MS - 5 * HOUR_MS},
    {"-5m", NOW_MS - 300000},
    {"+2h", NOW_MS + 2 * HOUR_MS},
    {"-0s", -1},
    {"-", -1},
    {"-5", -1},
    {"-100000d", -1},
    {"1969-12-31T23:59:59Z", -1},
    {"1970-01-01T00:00:00+00:01", -1},
    {"2023-02-29T12:00:00Z", -1},
    {"2100-02-29", -1},
    {"2024-13-01", -1},
    {"2024-00-01", -1},
    {"2024-01-00", -1},
    {"2024-04-31", -1},
    {"2024-2-29", -1},
    {"24-02-29", -1},
    {"2024-02-29T", -1},
    {"2024-02-29T24:00:00Z", -1},
    {"2024-02-29T12:60:00Z", -1},
    {"2024-02-29T12:00:61Z", -1},
    {"2024-02-29T12:00:00.Z", -1},
    {"2024-02-29T12:00:00+0100", -1},
    {"2024-02-29T12:00:00+24:00", -1},
    {"2024-02-29T12:00:00ZZ", -1},
    {"2024-02-29T12:00:00 Z", -1},
    {"2024-02-29T12", -1},
    {"2024-02-29Z", -1},
    {"12:00:00", -1},
    {"now", -1},
    {"", -1},
};

static void test_when_moments_have_a_zone_or_are_here(void **state)
{
    (void)state;
    set_zone("MST7");

    for (size_t i = 0; i < TD_ARRAY_LEN(moments); i++) {
        int64_t ms = UNTOUCHED;
        const char *wanted = td_read_moment(&ms, moments[i].text, NOW_MS);

        assert_row(moments[i].text, !wanted == (moments[i].ms >= 0));
        if (!wanted)
            assert_row(moments[i].text, ms == moments[i].ms);
    }
}

static void test_when_moments_are_said_here_or_in_utc(void **state)
{
    char text[TD_MOMENT_BYTES];
    (void)state;
    set_zone("MST7");

    assert_string_equal(td_moment(text, NOW_MS + 999, true),
                        "2024-02-29 05:00:00");
    assert_string_equal(td_moment(text, NOW_MS, false), "2024-02-29T12:00:00Z");
}

static void test_when_now_is_after_this_was_written(void **state)
{
    (void)state;

    assert_true(td_wall_ms() > NOW_MS);
}

/* ---- places in a stream ---- */

static const struct {
    const char *text;
    enum tidings_start_kind kind; /* DEFAULT: refused */
    uint64_t sequence;
    int64_t time_ms;
} starts[] = {
    {"new", TIDINGS_START_NEW, 0, 0},
    {"all", TIDINGS_START_ALL, 0, 0},
    {"last", TIDINGS_START_LAST, 0, 0},
    {"1", TIDINGS_START_SEQUENCE, 1, 0},
    {"9223372036854775807", TIDINGS_START_SEQUENCE, INT64_MAX, 0},
    {"20240229", TIDINGS_START_SEQUENCE, 20240229, 0},
    {"2024-02-29T12:00:00Z", TIDINGS_START_TIME, 0, NOW_MS},
    {"-1h", TIDINGS_START_TIME, 0, NOW_MS - HOUR_MS},
    {"0", TIDINGS_START_DEFAULT, 0, 0},
    {"-1", TIDINGS_START_DEFAULT, 0, 0},
    {"1x", TIDINGS_START_DEFAULT, 0, 0},
    {"9223372036854775808", TIDINGS_START_DEFAULT, 0, 0},
    {"99999999999999999999", TIDINGS_START_DEFAULT, 0, 0},
    {"ALL", TIDINGS_START_DEFAULT, 0, 0},
    {"lasts", TIDINGS_START_DEFAULT, 0, 0},
    {"", TIDINGS_START_DEFAULT, 0, 0},
};

static void test_when_starts_are_words_sequences_or_moments(void **state)
{
    (void)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(starts); i++) {
        struct tidings_start start = {0};
        const char *wanted = td_read_start(&start, starts[i].text, NOW_MS);

        assert_row(starts[i].text, !wanted == (starts[i].kind != 0));
        assert_row(starts[i].text, start.kind == starts[i].kind);
        assert_row(starts[i].text, start.sequence == starts[i].sequence);
        assert_row(starts[i].text, start.time_ms == starts[i].time_ms);
    }
}

/* ---- sizes ---- */

static const struct {
    uint64_t bytes;
    const char *said;
} sizes[] = {
    {0, "0 B"},
    {1023, "1023 B"},
    {1024, "1.0 KiB"},
    {1536, "1.5 KiB"},
    {(1u << 20) - 1, "1.0 MiB"},
    {10u << 20, "10.0 MiB"},
    {UINT64_C(4) << 30, "4.0 GiB"},
    {UINT64_MAX, "16.0 EiB"},
};

static void test_when_sizes_are_said_with_their_unit(void **state)
{
    char text[TD_SPAN_BYTES];
    (void)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(sizes); i++)
        assert_string_equal(td_size(text, sizes[i].bytes), sizes[i].said);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_when_durations_are_numbers_with_a_unit),
        cmocka_unit_test(test_when_moments_have_a_zone_or_are_here),
        cmocka_unit_test(test_when_moments_are_said_here_or_in_utc),
        cmocka_unit_test(test_when_now_is_after_this_was_written),
        cmocka_unit_test(test_when_starts_are_words_sequences_or_moments),
        cmocka_unit_test(test_when_sizes_are_said_with_their_unit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
