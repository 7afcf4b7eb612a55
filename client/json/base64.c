#include "client/json/base64.h"

#include <stdint.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                               "abcdefghijklmnopqrstuvwxyz0123456789+/";

size_t td_base64_chars(size_t len)
{
    return (len + 2) / 3 * 4;
}

size_t td_base64_bytes_max(size_t chars)
{
    return chars / 4 * 3;
}

void td_base64_write(char *out, const void *data, size_t len)
{
    const unsigned char *in = data;

    for (; len > 0; out += 4) {
        size_t n = len < 3 ? len : 3;
        uint32_t bits = (uint32_t)in[0] << 16;

        if (n > 1)
            bits |= (uint32_t)in[1] << 8;
        if (n > 2)
            bits |= in[2];
        out[0] = alphabet[bits >> 18];
        out[1] = alphabet[bits >> 12 & 63];
        out[2] = n > 1 ? alphabet[bits >> 6 & 63] : '=';
        out[3] = n > 2 ? alphabet[bits & 63] : '=';
        in += n;
        len -= n;
    }
}

/* The six bits of a character, or 64 if it is not one of the alphabet. */
static uint32_t value_of(char c)
{
    const char *at = c ? strchr(alphabet, c) : NULL;

    return at ? (uint32_t)(at - alphabet) : 64;
}

/* Four characters, of which the last pad ones are '='. */
static bool read_group(unsigned char *out, const char *text, size_t pad)
{
    uint32_t bits = 0;

    for (size_t i = 0; i < 4; i++) {
        uint32_t six = i < 4 - pad ? value_of(text[i]) : 0;

        if (six > 63)
            return false;
        bits = bits << 6 | six;
    }
    if (pad > 0 && (bits & (pad == 2 ? 0xffff : 0xff)))
        return false; /* two texts must not mean the same bytes */
    out[0] = (unsigned char)(bits >> 16);
    if (pad < 2)
        out[1] = (unsigned char)(bits >> 8);
    if (pad < 1)
        out[2] = (unsigned char)bits;
    return true;
}

bool td_base64_read(void *out, size_t *out_len, const char *text, size_t chars)
{
    unsigned char *bytes = out;
    size_t pad = 0;

    if (chars % 4)
        return false;
    if (chars && text[chars - 1] == '=')
        pad = text[chars - 2] == '=' ? 2 : 1;
    for (size_t i = 0; i < chars; i += 4) {
        if (!read_group(bytes + i / 4 * 3, text + i, i + 4 == chars ? pad : 0))
            return false;
    }
    *out_len = td_base64_bytes_max(chars) - pad;
    return true;
}
