#include "proto/type.h"

#include "proto/limits.h"

#include <string.h>

size_t td_token_next(const char *s, size_t len, const char **rest)
{
    const char *dot = memchr(s, '.', len);

    *rest = dot ? dot + 1 : NULL;
    return dot ? (size_t)(dot - s) : len;
}

static bool token_is(const char *token, size_t len, char wildcard)
{
    return len == 1 && token[0] == wildcard;
}

static bool token_is_literal(const char *token, size_t len)
{
    if (len == 0)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (token[i] < 33 || token[i] > 126 || token[i] == '*' ||
            token[i] == '>')
            return false;
    }
    return true;
}

/* One walk for both grammars: a pattern may have wildcard tokens. */
static bool valid(const char *s, size_t len, bool wildcards)
{
    const char *end = s + len;
    const char *rest = s;
    unsigned tokens = 0;

    if (len == 0 || len > TD_TYPE_BYTES_MAX)
        return false;
    while (rest) {
        const char *token = rest;
        size_t n = td_token_next(token, (size_t)(end - token), &rest);

        if (++tokens > TD_TOKENS_MAX)
            return false;
        if (wildcards && token_is(token, n, '*'))
            continue;
        if (wildcards && token_is(token, n, '>') && !rest)
            continue;
        if (!token_is_literal(token, n))
            return false;
    }
    return true;
}

bool td_type_valid(const char *type, size_t len)
{
    return valid(type, len, false);
}

bool td_type_is_system(const char *type, size_t len)
{
    return len > 0 && type[0] == '$';
}

bool td_pattern_valid(const char *pattern, size_t len)
{
    return valid(pattern, len, true);
}

bool td_group_valid(const char *name, size_t len)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "abcdefghijklmnopqrstuvwxyz0123456789_.-";

    if (len == 0 || len > TD_GROUP_BYTES_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!memchr(allowed, name[i], sizeof(allowed) - 1))
            return false;
    }
    return true;
}

bool td_pattern_match(const char *pattern, size_t pattern_len, const char *type,
                      size_t type_len)
{
    const char *pattern_end = pattern + pattern_len;
    const char *type_end = type + type_len;

    if (td_type_is_system(type, type_len) && pattern[0] != '$')
        return false;
    while (pattern && type) {
        const char *p = pattern;
        const char *t = type;
        size_t pn = td_token_next(p, (size_t)(pattern_end - p), &pattern);
        size_t tn = td_token_next(t, (size_t)(type_end - t), &type);

        if (token_is(p, pn, '>'))
            return true;
        if (!token_is(p, pn, '*') && (pn != tn || memcmp(p, t, pn) != 0))
            return false;
    }
    return !pattern && !type;
}

bool td_pattern_overlaps(const char *a, size_t a_len, const char *b,
                         size_t b_len)
{
    const char *a_end = a + a_len;
    const char *b_end = b + b_len;

    if (a[0] == '$' || b[0] == '$')
        return false;
    while (a && b) {
        const char *x = a;
        const char *y = b;
        size_t xn = td_token_next(x, (size_t)(a_end - x), &a);
        size_t yn = td_token_next(y, (size_t)(b_end - y), &b);

        if (token_is(x, xn, '>') || token_is(y, yn, '>'))
            return true;
        if (token_is(x, xn, '*') || token_is(y, yn, '*'))
            continue;
        if (xn != yn || memcmp(x, y, xn) != 0)
            return false;
    }
    return !a && !b;
}
