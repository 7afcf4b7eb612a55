#include "proto/timestamp.h"

#include <stdio.h>

#define SECOND_US INT64_C(1000000)
#define DAY_S     INT64_C(86400)
/* Days from 0000-03-01 to 1970-01-01: years are counted from March, so that
 * the leap day is the last of its year. */
#define EPOCH_DAYS INT64_C(719468)
#define ERA_DAYS   INT64_C(146097) /* of 400 years */

static bool leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static int64_t days_in_month(int64_t year, int64_t month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    return days[month - 1] + (month == 2 && leap(year));
}

/* Days since 1970-01-01; year 0..9999. Term: H. Hinnant, "chrono-Compatible
 * Low-Level Date Algorithms". */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    /* + 400 years keeps January of year 0 positive */
    int64_t y = year + 400 - (month <= 2);
    int64_t year_of_era = y % 400;
    int64_t day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    int64_t day_of_era =
        year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return (y / 400 - 1) * ERA_DAYS + day_of_era - EPOCH_DAYS;
}

static void date_of(int64_t days, int64_t *year, int64_t *month, int64_t *day)
{
    int64_t since = days + EPOCH_DAYS + ERA_DAYS; /* one era more: positive */
    int64_t day_of_era = since % ERA_DAYS;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 -
                           day_of_era / 146096) /
                          365;
    int64_t day_of_year =
        day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t from_march = (5 * day_of_year + 2) / 153;

    *day = day_of_year - (153 * from_march + 2) / 5 + 1;
    *month = from_march < 10 ? from_march + 3 : from_march - 9;
    *year = (since / ERA_DAYS - 1) * 400 + year_of_era + (*month <= 2);
}

bool td_timestamp_write(char out[TD_TIMESTAMP_BYTES], int64_t time_us)
{
    int64_t us = time_us % SECOND_US;
    int64_t seconds = time_us / SECOND_US;
    int64_t year, month, day, second;

    if (us < 0) {
        us += SECOND_US;
        seconds--;
    }
    if (seconds < days_of(0, 1, 1) * DAY_S ||
        seconds >= (days_of(9999, 12, 31) + 1) * DAY_S)
        return false;

    second = ((seconds % DAY_S) + DAY_S) % DAY_S;
    date_of((seconds - second) / DAY_S, &year, &month, &day);
    snprintf(out, TD_TIMESTAMP_BYTES, "%04u-%02u-%02uT%02u:%02u:%02u.%06uZ",
             (unsigned)year % 10000, (unsigned)month % 100, (unsigned)day % 100,
             (unsigned)(second / 3600) % 100, (unsigned)(second / 60 % 60),
             (unsigned)(second % 60), (unsigned)us % 1000000);
    return true;
}

/* Exactly digits digits; advances *at. A NUL ends it, so nothing past the
 * text is read. */
static bool number(int64_t *out, const char **at, int digits)
{
    *out = 0;
    for (int i = 0; i < digits; i++, (*at)++) {
        if (**at < '0' || **at > '9')
            return false;
        *out = *out * 10 + (**at - '0');
    }
    return true;
}

static bool literal(const char **at, char c)
{
    if (**at != c)
        return false;
    (*at)++;
    return true;
}

/* ".123" to microseconds; no fraction is 0. */
static bool fraction(int64_t *out, const char **at)
{
    int64_t scale = SECOND_US;
    int digits = 0;

    *out = 0;
    if (!literal(at, '.'))
        return true;
    for (; **at >= '0' && **at <= '9'; (*at)++, digits++) {
        scale /= 10;
        *out += scale * (**at - '0'); /* scale is 0 past the sixth */
    }
    return digits >= 1 && digits <= 9;
}

/* "Z" or "+02:00", in seconds to subtract. */
static bool offset(int64_t *out, const char **at)
{
    int64_t hours, minutes;
    char sign = **at;

    *out = 0;
    if (literal(at, 'Z') || literal(at, 'z'))
        return true;
    if (!literal(at, '+') && !literal(at, '-'))
        return false;
    if (!number(&hours, at, 2) || !literal(at, ':') ||
        !number(&minutes, at, 2) || hours > 23 || minutes > 59)
        return false;
    *out = (hours * 60 + minutes) * (sign == '-' ? -60 : 60);
    return true;
}

bool td_timestamp_read(int64_t *time_us, const char *text)
{
    int64_t year, month, day, hour, minute, second, us, away;
    const char *at = text;

    if (!number(&year, &at, 4) || !literal(&at, '-') ||
        !number(&month, &at, 2) || !literal(&at, '-') ||
        !number(&day, &at, 2) || (!literal(&at, 'T') && !literal(&at, 't')) ||
        !number(&hour, &at, 2) || !literal(&at, ':') ||
        !number(&minute, &at, 2) || !literal(&at, ':') ||
        !number(&second, &at, 2) || !fraction(&us, &at) ||
        !offset(&away, &at) || *at)
        return false;
    if (month < 1 || month > 12 || day < 1 ||
        day > days_in_month(year, month) || hour > 23 || minute > 59 ||
        second > 59)
        return false;

    second += days_of(year, month, day) * DAY_S + hour * 3600 + minute * 60;
    *time_us = (second - away) * SECOND_US + us;
    return true;
}
