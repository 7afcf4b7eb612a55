#include "broker/units.h"

#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct unit {
    const char *name;
    uint64_t times;
};

/* Digits, and what follows them is one of the units. */
static bool read_amount(uint64_t *out, const char *text,
                        const struct unit *units)
{
    unsigned long long n;
    char *end;

    errno = 0;
    n = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)*text) || errno)
        return false;
    for (; units->name; units++) {
        if (strcmp(end, units->name) != 0)
            continue;
        if (n > INT64_MAX / units->times)
            return false;
        *out = n * units->times;
        return true;
    }
    return false;
}

bool td_number_read(uint64_t *out, const char *text)
{
    static const struct unit units[] = {{"", 1}, {NULL, 0}};

    return read_amount(out, text, units);
}

bool td_size_read(uint64_t *bytes, const char *text)
{
    static const struct unit units[] = {
        {"", 1},        {"K", 1 << 10}, {"k", 1 << 10}, {"M", 1 << 20},
        {"m", 1 << 20}, {"G", 1 << 30}, {"g", 1 << 30}, {NULL, 0}};

    return read_amount(bytes, text, units);
}

bool td_duration_read(uint64_t *ms, const char *text)
{
    static const struct unit units[] = {{"ms", 1},       {"s", 1000},
                                        {"m", 60000},    {"h", 3600000},
                                        {"d", 86400000}, {NULL, 0}};

    if (strcmp(text, "0") == 0) {
        *ms = 0;
        return true;
    }
    return read_amount(ms, text, units);
}

/* ---- moments ---- */

/* Digits of a shape such as "####-##-##": each field's number. */
static bool read_shape(int *fields, const char *text, const char *shape)
{
    for (; *shape; shape++, text++) {
        if (*shape != '#') {
            if (*text != *shape)
                return false;
            fields++;
            continue;
        }
        if (!isdigit((unsigned char)*text))
            return false;
        *fields = *fields * 10 + *text - '0';
    }
    return *text == '\0';
}

static int days_in(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month - 1] + (month == 2 && leap);
}

bool td_moment_read(int64_t *ms, const char *text)
{
    int at[7] = {0}; /* year, month, day, hour, minute, second, what is left */
    int64_t days;

    if (!read_shape(at, text, "####-##-##")) {
        memset(at, 0, sizeof(at));
        if (!read_shape(at, text, "####-##-##T##:##:##Z"))
            return false;
    }
    if (at[0] < 1970 || at[1] < 1 || at[1] > 12 || at[2] < 1 ||
        at[2] > days_in(at[0], at[1]) || at[3] > 23 || at[4] > 59 || at[5] > 59)
        return false;
    days = at[2] - 1;
    for (int month = 1; month < at[1]; month++)
        days += days_in(at[0], month);
    for (int year = 1970; year < at[0]; year++)
        days += 337 + days_in(year, 2); /* the other eleven months */
    *ms = (((days * 24 + at[3]) * 60 + at[4]) * 60 + at[5]) * 1000;
    return true;
}
