#include "proto/utf8.h"

#include <string.h>

/* Well-formed characters of more than one byte (Unicode, table 3-7): the
 * first byte, the range of the second, and how many bytes in all. */
static const struct {
    unsigned char first_min, first_max, second_min, second_max, len;
} forms[] = {
    {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
    {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3},
    {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
    {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
};

/* Bytes of the character at s, 0 if it is none; the NUL ends every form. */
static size_t char_len(const unsigned char *s)
{
    size_t n = 2;
    size_t i = 0;

    if (s[0] < 0x80)
        return 1;
    while (i < sizeof(forms) / sizeof(forms[0]) && s[0] > forms[i].first_max)
        i++;
    if (i == sizeof(forms) / sizeof(forms[0]) || s[0] < forms[i].first_min ||
        s[1] < forms[i].second_min || s[1] > forms[i].second_max)
        return 0;
    while (n < forms[i].len && (s[n] & 0xc0) == 0x80)
        n++;
    return n == forms[i].len ? n : 0;
}

bool td_utf8_valid(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;

    while (*s) {
        size_t len = char_len(s);

        if (len == 0)
            return false;
        s += len;
    }
    return true;
}

bool td_utf8_cut(char *to, size_t size, const char *text)
{
    size_t len = text ? strlen(text) : 0;

    if (text && !td_utf8_valid(text))
        return false;
    if (len >= size) {
        len = size - 1;
        while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
            len--;
    }
    if (len > 0)
        memcpy(to, text, len);
    to[len] = '\0';
    return true;
}

void td_utf8_clean(char *to, size_t size, const char *text)
{
    const char *end = to + size - 1;

    while (*text) {
        size_t len = char_len((const unsigned char *)text);
        size_t take = len > 0 ? len : 1;

        if (take > (size_t)(end - to))
            break;
        if (len > 0)
            memcpy(to, text, len);
        else
            *to = '?';
        to += take;
        text += take;
    }
    *to = '\0';
}

void td_utf8_trim(char *text)
{
    size_t len = strlen(text);
    size_t at = len;

    while (at > 0 && len - at < 3 &&
           ((unsigned char)text[at - 1] & 0xc0) == 0x80)
        at--;
    if (at > 0 && (unsigned char)text[at - 1] >= 0xc0 &&
        char_len((const unsigned char *)text + at - 1) == 0)
        text[at - 1] = '\0';
}
