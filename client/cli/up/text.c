#include "client/cli/up/text.h"

#include <string.h>

/* Bytes of a UTF-8 character that begins at the end and goes on behind it: the
 * next piece begins with them. 0: there is none. */
static size_t cut_short(const char *bytes, size_t len)
{
    for (size_t back = 1; back < 4 && back <= len; back++) {
        unsigned char c = (unsigned char)bytes[len - back];
        size_t whole = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;

        if (c >= 0xc0)
            return whole > back ? back : 0;
        if (c < 0x80)
            return 0;
    }
    return 0;
}

static void end_line(struct td_up_text *t, td_up_on_line on_line, void *arg)
{
    if (t->len && t->bytes[t->len - 1] == '\r')
        t->len--;
    on_line(arg, t->bytes, t->len);
    t->len = 0;
}

static void end_piece(struct td_up_text *t, td_up_on_line on_line, void *arg)
{
    size_t left = cut_short(t->bytes, t->len);
    size_t len = t->len - left;

    on_line(arg, t->bytes, len);
    memmove(t->bytes, t->bytes + len, left);
    t->len = left;
}

void td_up_text_feed(struct td_up_text *t, const char *bytes, size_t len,
                     td_up_on_line on_line, void *arg)
{
    while (len) {
        const char *end = memchr(bytes, '\n', len);
        size_t n = end ? (size_t)(end - bytes) : len;
        size_t room = sizeof(t->bytes) - t->len;

        if (n > room) {
            memcpy(t->bytes + t->len, bytes, room);
            t->len += room;
            end_piece(t, on_line, arg);
            bytes += room;
            len -= room;
            continue;
        }
        memcpy(t->bytes + t->len, bytes, n);
        t->len += n;
        if (end)
            end_line(t, on_line, arg);
        n += end ? 1 : 0;
        bytes += n;
        len -= n;
    }
}

void td_up_text_end(struct td_up_text *t, td_up_on_line on_line, void *arg)
{
    if (t->len)
        end_line(t, on_line, arg);
}
