#include "client/cli/when.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DURATION "a duration such as 200ms, 5s, 10m, 2h or 7d"
#define MOMENT   "a time such as 2024-02-29T12:00:00Z, 2024-02-29 or -5m"

int64_t td_wall_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- durations ---- */

static const struct {
    const char *name;
    uint64_t ms;
} units[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000},
};

const char *td_read_duration(uint64_t *out_ms, const char *value,
                             uint64_t max_ms)
{
    unsigned long long n;
    char *end;

    errno = 0;
    n = strtoull(value, &end, 10);
    if (!isdigit((unsigned char)*value) || errno || n == 0)
        return DURATION;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(end, units[i].name) != 0)
            continue;
        if (n > max_ms / units[i].ms)
            return "a shorter duration";
        *out_ms = n * units[i].ms;
        return NULL;
    }
    return DURATION;
}

/* ---- moments ---- */

/* Exactly so many digits, from min to max. */
static bool number(int *out, const char **at, int digits, int min, int max)
{
    int n = 0;

    for (int i = 0; i < digits; i++) {
        if (!isdigit((unsigned char)**at))
            return false;
        n = n * 10 + *(*at)++ - '0';
    }
    *out = n;
    return n >= min && n <= max;
}

static bool one_of(const char **at, const char *chars)
{
    if (!**at || !strchr(chars, **at))
        return false;
    (*at)++;
    return true;
}

static int days_in(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month - 1] + (month == 2 && leap);
}

static bool read_date(struct tm *tm, const char **at)
{
    int year, month;

    if (!number(&year, at, 4, 1970, 9999) || !one_of(at, "-") ||
        !number(&month, at, 2, 1, 12) || !one_of(at, "-") ||
        !number(&tm->tm_mday, at, 2, 1, days_in(year, month)))
        return false;
    tm->tm_year = year - 1900;
    tm->tm_mon = month - 1;
    return true;
}

/* HH:MM, HH:MM:SS or HH:MM:SS.fff; digits behind milliseconds are dropped. */
static bool read_clock(struct tm *tm, int *ms, const char **at)
{
    if (!number(&tm->tm_hour, at, 2, 0, 23) || !one_of(at, ":") ||
        !number(&tm->tm_min, at, 2, 0, 59))
        return false;
    if (one_of(at, ":") && !number(&tm->tm_sec, at, 2, 0, 60))
        return false;
    if (!one_of(at, "."))
        return true;
    if (!isdigit((unsigned char)**at))
        return false;
    for (int unit = 100; isdigit((unsigned char)**at); unit /= 10)
        *ms += (*(*at)++ - '0') * unit;
    return true;
}

/* Z or +HH:MM, in seconds. */
static bool read_zone(long *east_s, const char **at)
{
    int sign = **at == '-' ? -1 : 1;
    int hours, minutes;

    *east_s = 0;
    if (one_of(at, "Zz"))
        return true;
    if (!one_of(at, "+-") || !number(&hours, at, 2, 0, 23) ||
        !one_of(at, ":") || !number(&minutes, at, 2, 0, 59))
        return false;
    *east_s = sign * (hours * 3600L + minutes * 60L);
    return true;
}

/* Seconds since 1970 of a date and clock in UTC. */
static int64_t utc_seconds(const struct tm *tm)
{
    int64_t year = tm->tm_year + 1900 - (tm->tm_mon < 2);
    int64_t month = (tm->tm_mon + 10) % 12; /* from March */
    int64_t days = year * 365 + year / 4 - year / 100 + year / 400 +
                   (month * 306 + 5) / 10 + tm->tm_mday - 1 - 719468;

    return ((days * 24 + tm->tm_hour) * 60 + tm->tm_min) * 60 + tm->tm_sec;
}

static bool read_absolute(int64_t *out_ms, const char *value)
{
    struct tm tm = {.tm_isdst = -1};
    const char *at = value;
    int ms = 0;
    long east_s;

    if (!read_date(&tm, &at))
        return false;
    if (*at && (!one_of(&at, "Tt ") || !read_clock(&tm, &ms, &at)))
        return false;
    if (!*at) { /* as the clock on the wall says here */
        time_t here = mktime(&tm);

        *out_ms = (int64_t)here * 1000 + ms;
        return here != (time_t)-1;
    }
    if (!read_zone(&east_s, &at) || *at)
        return false;
    *out_ms = (utc_seconds(&tm) - east_s) * 1000 + ms;
    return *out_ms >= 0;
}

const char *td_read_moment(int64_t *out_ms, const char *value, int64_t now_ms)
{
    uint64_t away_ms;

    if (*value != '-' && *value != '+')
        return read_absolute(out_ms, value) ? NULL : MOMENT;
    if (td_read_duration(&away_ms, value + 1, (uint64_t)now_ms))
        return MOMENT;
    *out_ms =
        *value == '-' ? now_ms - (int64_t)away_ms : now_ms + (int64_t)away_ms;
    return NULL;
}

const char *td_read_start(struct tidings_start *out, const char *value,
                          int64_t now_ms)
{
    struct tidings_start start = {0};
    char *end;

    errno = 0;
    if (strcmp(value, "new") == 0) {
        start.kind = TIDINGS_START_NEW;
    } else if (strcmp(value, "all") == 0) {
        start.kind = TIDINGS_START_ALL;
    } else if (strcmp(value, "last") == 0) {
        start.kind = TIDINGS_START_LAST;
    } else if (isdigit((unsigned char)*value) &&
               (start.sequence = strtoull(value, &end, 10)) > 0 && !*end &&
               !errno && start.sequence <= INT64_MAX) {
        start.kind = TIDINGS_START_SEQUENCE;
    } else {
        start.sequence = 0;
        start.kind = TIDINGS_START_TIME;
        if (td_read_moment(&start.time_ms, value, now_ms))
            return "new, all, last, a sequence above 0, or " MOMENT;
    }
    *out = start;
    return NULL;
}

/* ---- for reading ---- */

const char *td_moment(char out[TD_MOMENT_BYTES], int64_t ms, bool here)
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;

    if (!(here ? localtime_r(&seconds, &tm) : gmtime_r(&seconds, &tm)) ||
        strftime(out, TD_MOMENT_BYTES,
                 here ? "%Y-%m-%d %H:%M:%S" : "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        snprintf(out, TD_MOMENT_BYTES, "?");
    return out;
}
