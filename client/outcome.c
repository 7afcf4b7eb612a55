#include "client/outcome.h"

#include "proto/utf8.h"

#include <string.h>

void td_outcomes_append(struct td_outcomes *o, unsigned verb, uint64_t first,
                        uint64_t last, const char *reason)
{
    struct td_outcome *row = &o->row[o->len++];

    row->verb = verb;
    row->first = first;
    row->last = last;
    row->delay_ms = 0;
    row->reason_len = (unsigned)strnlen(reason, TD_REASON_BYTES_MAX);
    memcpy(row->reason, reason, row->reason_len);
}

void td_outcomes_park(struct td_outcomes *o, uint64_t tag, uint64_t delay_ms,
                      const char *reason)
{
    td_outcomes_append(o, TD_PARK, tag, tag, reason);
    o->row[o->len - 1].delay_ms = delay_ms;
}

/* Pieces of several workers meet in any order. */
static bool join(struct td_outcomes *to, const struct td_outcome *row)
{
    for (uint32_t i = 0; row->reason_len == 0 && i < to->len; i++) {
        struct td_outcome *at = &to->row[i];

        if (at->verb != row->verb || at->delay_ms != row->delay_ms ||
            at->reason_len > 0)
            continue;
        if (at->last + 1 == row->first)
            at->last = row->last;
        else if (row->last + 1 == at->first)
            at->first = row->first;
        else
            continue;
        return true;
    }
    return false;
}

void td_outcomes_move(struct td_outcomes *to, struct td_outcomes *from)
{
    for (uint32_t i = 0; i < from->len; i++) {
        if (!join(to, &from->row[i]))
            to->row[to->len++] = from->row[i];
    }
    from->len = 0;
}

/* ---- reasons ---- */

static bool is_inside_character(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

void td_reason_take(char *out, const char *text)
{
    size_t len = strnlen(text, TD_REASON_BYTES_MAX + 1);

    if (len > TD_REASON_BYTES_MAX) {
        len = TD_REASON_BYTES_MAX;
        while (len > 0 && is_inside_character(text[len]))
            len--;
    }
    memcpy(out, text, len);
    out[len] = '\0';
    if (td_utf8_valid(out))
        return;
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)out[i] >= 0x80)
            out[i] = '?';
    }
}
