#include "client/json/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void td_text_fini(struct td_text *t)
{
    free(t->bytes);
    *t = (struct td_text){0};
}

char *td_text_room(struct td_text *t, size_t len)
{
    char *at;

    if (t->failed)
        return NULL;
    if (len >= t->cap - t->len) { /* one byte stays free for the NUL */
        size_t cap = t->cap ? t->cap : 256;
        char *bytes;

        while (len >= cap - t->len)
            cap *= 2; /* what comes in is bounded, far below overflow */
        bytes = realloc(t->bytes, cap);
        if (!bytes) {
            t->failed = true;
            return NULL;
        }
        t->bytes = bytes;
        t->cap = cap;
    }
    at = t->bytes + t->len;
    t->len += len;
    return at;
}

void td_text_put(struct td_text *t, const char *bytes, size_t len)
{
    char *at = td_text_room(t, len);

    if (at && len)
        memcpy(at, bytes, len);
}

void td_text_puts(struct td_text *t, const char *string)
{
    td_text_put(t, string, strlen(string));
}

void td_text_cut(struct td_text *t, size_t len)
{
    if (len < t->len)
        t->len = len;
}

char *td_text_take(struct td_text *t)
{
    char *bytes = NULL;

    td_text_put(t, "", 0); /* an empty text has memory, too */
    if (!t->failed) {
        bytes = t->bytes;
        bytes[t->len] = '\0';
        t->bytes = NULL;
    }
    td_text_fini(t);
    return bytes;
}

/* Bytes of the UTF-8 character at s, and its code point; 0 if it is not one:
 * cut short, overlong, a surrogate, or past U+10FFFF. */
static size_t utf8_read(uint32_t *code, const unsigned char *s, size_t len)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t bytes = s[0] < 0x80   ? 1
                   : s[0] < 0xc0 ? 0
                   : s[0] < 0xe0 ? 2
                   : s[0] < 0xf0 ? 3
                   : s[0] < 0xf8 ? 4
                                 : 0;

    *code = s[0];
    if (bytes < 2)
        return bytes;
    if (bytes > len)
        return 0;
    *code = s[0] & (0x7fu >> bytes);
    for (size_t i = 1; i < bytes; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        *code = *code << 6 | (s[i] & 0x3f);
    }
    if (*code < least[bytes] || *code > 0x10ffff ||
        (*code >= 0xd800 && *code <= 0xdfff))
        return 0;
    return bytes;
}

bool td_text_sayable(const char *string, size_t len)
{
    const unsigned char *s = (const unsigned char *)string;
    uint32_t code;

    for (size_t at = 0, n; at < len; at += n) {
        n = utf8_read(&code, s + at, len - at);
        if (n == 0 || code == 0)
            return false;
    }
    return true;
}

/* What a terminal or an editor would obey rather than show: controls (C0,
 * DEL, C1), line separators, and marks that change the writing direction. */
static bool obeyed(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code <= 0x9f) || code == 0x61c ||
           code == 0x200e || code == 0x200f ||
           (code >= 0x2028 && code <= 0x202e) ||
           (code >= 0x2066 && code <= 0x2069);
}

static void put_escaped(struct td_text *t, uint32_t code)
{
    static const char shorts[] = "\"\"\\\\\bb\ff\nn\rr\tt"; /* pairs */
    char out[12];

    for (const char *pair = shorts; *pair; pair += 2) {
        if ((unsigned char)*pair == code) {
            td_text_put(t, (const char[]){'\\', pair[1]}, 2);
            return;
        }
    }
    snprintf(out, sizeof(out), "\\u%04" PRIx32, code);
    td_text_puts(t, out);
}

void td_text_string(struct td_text *t, const char *string, size_t len)
{
    const unsigned char *s = (const unsigned char *)string;
    size_t done = 0; /* bytes before it are written */

    td_text_put(t, "\"", 1);
    if (len == 0)
        string = ""; /* msgpack-c has NULL for it */
    for (size_t at = 0, n; at < len; at += n) {
        uint32_t code;

        n = utf8_read(&code, s + at, len - at);
        if (n == 0)
            n = 1; /* td_text_sayable() was not asked: still no endless loop */
        if (code != '"' && code != '\\' && !obeyed(code))
            continue;
        td_text_put(t, string + done, at - done);
        put_escaped(t, code);
        done = at + n;
    }
    td_text_put(t, string + done, len - done);
    td_text_put(t, "\"", 1);
}

void td_text_int(struct td_text *t, int64_t value)
{
    char out[24];

    snprintf(out, sizeof(out), "%" PRId64, value);
    td_text_puts(t, out);
}

/* snprintf writes the locale's decimal point, which may be several bytes. */
static void point_to_ascii(char *number)
{
    char *to = number;
    bool point = false;

    for (const char *from = number; *from; from++) {
        if (strchr("0123456789+-e", *from)) {
            *to++ = *from;
            point = false;
        } else if (!point) {
            *to++ = '.';
            point = true;
        }
    }
    *to = '\0';
}

void td_text_real(struct td_text *t, double value)
{
    char out[48];

    for (int digits = 15; digits <= 17; digits++) {
        snprintf(out, sizeof(out), "%.*g", digits, value);
        if (strtod(out, NULL) == value)
            break;
    }
    point_to_ascii(out);
    td_text_puts(t, out);
    if (!strpbrk(out, ".e"))
        td_text_puts(t, ".0"); /* 1.0 stays a real when it is read again */
}
