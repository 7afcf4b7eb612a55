#include "client/cli/escape.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>

/* Bytes of the UTF-8 character at s and its code point; 0: it is not one. */
static size_t utf8_read(uint32_t *code, const unsigned char *s, size_t len)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t bytes = s[0] < 0x80                   ? 1
                   : s[0] >= 0xc0 && s[0] < 0xe0 ? 2
                   : s[0] >= 0xe0 && s[0] < 0xf0 ? 3
                   : s[0] >= 0xf0 && s[0] < 0xf8 ? 4
                                                 : 0;

    *code = s[0];
    if (bytes < 2)
        return bytes;
    if (bytes > len)
        return 0;
    *code &= 0x7fu >> bytes;
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

/* The list that libtidings_json escapes by, too: what we print is not always
 * JSON. */
static bool obeyed(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code <= 0x9f) || code == 0x61c ||
           code == 0x200e || code == 0x200f ||
           (code >= 0x2028 && code <= 0x202e) ||
           (code >= 0x2066 && code <= 0x2069);
}

/* to NULL: only count */
static size_t put_code(FILE *to, uint32_t code)
{
    static const char names[] = "\nn\rr\tt"; /* pairs */

    for (const char *pair = names; *pair; pair += 2) {
        if ((unsigned char)*pair == code) {
            if (to)
                fprintf(to, "\\%c", pair[1]);
            return 2;
        }
    }
    if (to)
        fprintf(to, "\\u%04" PRIx32, code);
    return 6;
}

static size_t put(FILE *to, const char *bytes, size_t len)
{
    const unsigned char *s = (const unsigned char *)bytes;
    size_t columns = 0;
    size_t done = 0; /* bytes before it are written */

    for (size_t at = 0, n; at < len; at += n) {
        uint32_t code;

        n = utf8_read(&code, s + at, len - at);
        if (n && !obeyed(code)) {
            columns++;
            continue;
        }
        if (to && at > done)
            fwrite(bytes + done, 1, at - done, to);
        if (n) {
            columns += put_code(to, code);
        } else {
            n = 1;
            columns += 4;
            if (to)
                fprintf(to, "\\x%02x", s[at]);
        }
        done = at + n;
    }
    if (to && len > done)
        fwrite(bytes + done, 1, len - done, to);
    return columns;
}

size_t td_put_escaped(FILE *to, const char *bytes, size_t len)
{
    return put(to, bytes, len);
}

size_t td_escaped_columns(const char *bytes, size_t len)
{
    return put(NULL, bytes, len);
}
