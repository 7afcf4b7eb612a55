#include "proto/service.h"

#include <string.h>

#include "proto/limits.h"

#define DIGITS  "0123456789"
#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

static bool is_of(const char *s, size_t len, const char *allowed)
{
    size_t n = strlen(allowed);

    for (size_t i = 0; i < len; i++) {
        if (!memchr(allowed, s[i], n))
            return false;
    }
    return true;
}

bool td_service_name_valid(const char *name, size_t len)
{
    return len > 0 && len <= TD_SERVICE_BYTES_MAX &&
           is_of(name, len, LETTERS DIGITS "_-");
}

bool td_instance_id_valid(const char *id, size_t len)
{
    return len > 0 && len <= TD_INSTANCE_BYTES_MAX &&
           is_of(id, len, LETTERS DIGITS "_.-");
}

/* ---- versions ---- */

static bool is_number(const char *s, size_t len)
{
    return len > 0 && is_of(s, len, DIGITS) && (len == 1 || s[0] != '0');
}

static bool is_word(const char *s, size_t len)
{
    return len > 0 && is_of(s, len, LETTERS DIGITS "-");
}

/* A number there has no leading zeros. */
static bool is_prerelease(const char *s, size_t len)
{
    return is_word(s, len) && (!is_of(s, len, DIGITS) || is_number(s, len));
}

/* How many parts between dots there are, each of which is good; 0: one is
 * not. */
static unsigned parts(const char *s, size_t len,
                      bool (*good)(const char *s, size_t len))
{
    unsigned n = 0;

    for (;;) {
        const char *dot = memchr(s, '.', len);
        size_t part = dot ? (size_t)(dot - s) : len;

        if (!good(s, part))
            return 0;
        n++;
        if (!dot)
            return n;
        s += part + 1;
        len -= part + 1;
    }
}

/* Cuts what follows the first c off; NULL: there is none. */
static const char *cut(const char *s, size_t *len, char c, size_t *rest_len)
{
    const char *at = memchr(s, c, *len);

    if (!at)
        return NULL;
    *rest_len = *len - (size_t)(at - s) - 1;
    *len = (size_t)(at - s);
    return at + 1;
}

bool td_version_valid(const char *version, size_t len)
{
    size_t build_len = 0;
    size_t pre_len = 0;
    const char *build;
    const char *pre;

    if (len == 0 || len > TD_VERSION_BYTES_MAX)
        return false;
    build = cut(version, &len, '+', &build_len);
    pre = cut(version, &len, '-', &pre_len);
    return parts(version, len, is_number) == 3 &&
           (!pre || parts(pre, pre_len, is_prerelease) > 0) &&
           (!build || parts(build, build_len, is_word) > 0);
}
