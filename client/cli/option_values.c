#include "client/cli/option_values.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/cli.h"

const char *td_read_positive(double *out, const char *value, double max)
{
    char *end;

    errno = 0;
    *out = strtod(value, &end);
    if (end == value || *end || errno || !isfinite(*out) || *out <= 0 ||
        *out > max)
        return "a number above 0";
    return NULL;
}

const char *td_read_seconds(double *out, const char *value)
{
    return td_read_positive(out, value, TD_CLI_TIMEOUT_S_MAX)
               ? "seconds, above 0 and at most a day"
               : NULL;
}

/* Digits of a number above 0; what follows is the caller's to look at. */
static bool whole(uint64_t *out, const char **end, const char *value)
{
    char *at;
    unsigned long long n;

    errno = 0;
    n = strtoull(value, &at, 10);
    if (!isdigit((unsigned char)*value) || errno || n == 0)
        return false;
    *out = n;
    *end = at;
    return true;
}

const char *td_read_whole(uint64_t *out, const char *value)
{
    const char *end;

    return whole(out, &end, value) && !*end ? NULL : "a whole number above 0";
}

const char *td_read_size(size_t *out, const char *value)
{
    static const char units[] = "KMG";
    const char *end, *unit;
    uint64_t n;
    unsigned shift = 0;

    if (!whole(&n, &end, value))
        return "bytes, such as 65536, 64K or 8M";
    if (*end) {
        unit = strchr(units, toupper((unsigned char)*end));
        if (!unit || end[1])
            return "bytes, such as 65536, 64K or 8M";
        shift = 10 * (unsigned)(unit - units + 1);
    }
    if (n > (SIZE_MAX >> 1) >> shift)
        return "fewer bytes";
    *out = (size_t)n << shift;
    return NULL;
}

const char *const td_level_names[] = {[TIDINGS_NO_CONFIRM] = "none",
                                      [TIDINGS_MEMORY] = "memory",
                                      [TIDINGS_OS] = "os",
                                      [TIDINGS_DISK] = "disk",
                                      NULL};

int td_read_word(const char *const *words, const char *value)
{
    for (int i = 0; words[i]; i++) {
        if (strcmp(words[i], value) == 0)
            return i;
    }
    return -1;
}

const char *td_read_up_to(unsigned *out, const char *value, unsigned max,
                          const char *wanted)
{
    uint64_t n;

    if (td_read_whole(&n, value) || n > max)
        return wanted;
    *out = (unsigned)n;
    return NULL;
}
