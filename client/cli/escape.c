#include "client/cli/escape.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* libtidings_json reads UTF-8 just so; neither may show the other its own.
 *
 * Bytes of the UTF-8 character at s and its code point; 0: it is not one. */
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

/* Where text goes: a stream, memory, or nowhere: then it is only counted. */
struct sink {
    FILE *stream;
    char *at; /* with room for left bytes and a NUL */
    size_t left;
};

static void put_bytes(struct sink *to, const char *bytes, size_t len)
{
    if (to->stream) {
        fwrite(bytes, 1, len, to->stream);
    } else if (to->at && len <= to->left) {
        memcpy(to->at, bytes, len);
        to->at += len;
        to->left -= len;
    } else {
        to->left = 0; /* nothing shorter may follow what had no room */
    }
}

static size_t put_code(struct sink *to, uint32_t code)
{
    static const char names[] = "\nn\rr\tt"; /* pairs */
    char text[16];

    for (const char *pair = names; *pair; pair += 2) {
        if ((unsigned char)*pair == code) {
            put_bytes(to, (const char[]){'\\', pair[1]}, 2);
            return 2;
        }
    }
    snprintf(text, sizeof(text), "\\u%04" PRIx32, code);
    put_bytes(to, text, strlen(text));
    return 6;
}

/* Characters that fit are taken one by one into memory, so that none is cut;
 * into a stream as long as they go. */
static size_t put(struct sink *to, const char *bytes, size_t len)
{
    const unsigned char *s = (const unsigned char *)bytes;
    size_t columns = 0;
    size_t done = 0; /* bytes before it are written */

    for (size_t at = 0, n; at < len; at += n) {
        uint32_t code;
        char text[8];

        n = utf8_read(&code, s + at, len - at);
        if (n && !obeyed(code)) {
            columns++;
            if (!to->stream) {
                put_bytes(to, bytes + at, n);
                done = at + n;
            }
            continue;
        }
        if (at > done)
            put_bytes(to, bytes + done, at - done);
        if (n) {
            columns += put_code(to, code);
        } else {
            n = 1;
            columns += 4;
            snprintf(text, sizeof(text), "\\x%02x", s[at]);
            put_bytes(to, text, 4);
        }
        done = at + n;
    }
    if (len > done)
        put_bytes(to, bytes + done, len - done);
    return columns;
}

size_t td_put_escaped(FILE *to, const char *bytes, size_t len)
{
    return put(&(struct sink){.stream = to}, bytes, len);
}

size_t td_escape(char *out, size_t size, const char *bytes, size_t len)
{
    struct sink to = {.at = out, .left = size - 1};

    put(&to, bytes, len);
    *to.at = '\0';
    return (size_t)(to.at - out);
}

size_t td_escaped_columns(const char *bytes, size_t len)
{
    return put(&(struct sink){0}, bytes, len);
}
