/* What the broker is told of settlements, and what it has heard. */
#include "client/settle_internal.h"

#include <stdlib.h>
#include <utlist.h>

/* ---- sending ---- */

bool td_settling_has_unsent(const struct td_settling *s)
{
    return s->acks > 0 || s->unsent || s->lost_last;
}

static void clear_up_to(struct td_settling *s, uint64_t tag)
{
    if (tag == s->floor)
        return;
    /* What was sent again is not to be forgotten with its bits. */
    if (s->again_until &&
        td_bits_find(s, TD_BITS_AGAIN, s->floor + 1, tag, true) <= tag)
        s->again = tag;
    for (unsigned set = 0; set < TD_BITS; set++)
        td_bits_set(s, set, s->floor + 1, tag, false);
    s->floor = tag;
}

static bool next_row(struct td_settling *s, struct td_settle *out,
                     uint64_t ping)
{
    struct td_settle_row *row = s->unsent;

    if (!row)
        return false;
    DL_DELETE(s->unsent, row);
    out->verb = row->verb;
    out->first = row->first;
    out->last = row->last;
    out->delay_ms = row->delay_ms;
    out->reason.data = row->reason;
    out->reason.len = row->reason_len;
    if (row->verb == TD_PROGRESS) { /* of a link that is lost it is worth
                                       nothing */
        out->reason = td_str_of("");
        free(row);
        return true;
    }
    row->ping = ping;
    DL_APPEND(s->sent, row);
    return true;
}

static bool next_acks(struct td_settling *s, struct td_settle *out)
{
    uint64_t first = s->floor + 1;
    uint64_t end;

    if (s->lost_last) {
        *out = (struct td_settle){
            .verb = TD_ACK, .first = s->proven + 1, .last = s->lost_last};
        s->lost_last = 0;
        return true;
    }
    if (s->acks == 0 ||
        !td_bits_run(s, TD_BITS_UNSENT, &first, &end, s->received, true))
        return false;
    td_bits_set(s, TD_BITS_UNSENT, first, end - 1, false);
    s->acks -= end - first;
    *out = (struct td_settle){.verb = TD_ACK, .first = first, .last = end - 1};
    return true;
}

/* All is sent. */
static void sent_all(struct td_settling *s, uint64_t ping)
{
    clear_up_to(s, s->taken);
    if (!s->proving && s->taken > s->proven) {
        s->unproven = s->taken;
        s->proving = ping;
    }
}

bool td_settling_next(struct td_settling *s, struct td_settle *row,
                      uint64_t ping)
{
    if (next_row(s, row, ping) || next_acks(s, row))
        return true;
    if (s->floor < s->taken)
        sent_all(s, ping);
    return false;
}

/* ---- what has arrived ---- */

void td_settling_proved(struct td_settling *s, uint64_t ping)
{
    while (s->sent && s->sent->ping <= ping) {
        struct td_settle_row *row = s->sent;

        DL_DELETE(s->sent, row);
        free(row);
    }
    if (s->proving && s->proving <= ping) {
        if (s->unproven > s->proven)
            s->proven = s->unproven;
        s->proving = 0;
    }
    if (s->again_until && s->again_until <= ping) {
        td_bits_set(s, TD_BITS_AGAIN, s->floor + 1, s->received, false);
        s->again = s->again_until = 0;
    }
}

/* What was sent of tags that have bits counts as acks, … */
static void unsend_acks(struct td_settling *s)
{
    uint64_t first = s->floor + 1;
    uint64_t end;

    for (; td_bits_run(s, TD_BITS_SETTLED, &first, &end, s->received, true);
         first = end) {
        uint64_t from = first;
        uint64_t to;

        for (; td_bits_run(s, TD_BITS_UNSENT, &from, &to, end - 1, false);
             from = to) {
            td_bits_set(s, TD_BITS_AGAIN, from, to - 1, true);
            td_bits_set(s, TD_BITS_UNSENT, from, to - 1, true);
        }
    }
}

/* … unless there is a row of it. */
static void except_rows(struct td_settling *s, const struct td_settle_row *list,
                        bool sent)
{
    const struct td_settle_row *row;

    DL_FOREACH(list, row)
    {
        uint64_t first = row->first > s->floor ? row->first : s->floor + 1;

        if (row->verb == TD_PROGRESS || row->last < first)
            continue;
        td_bits_set(s, TD_BITS_UNSENT, first, row->last, false);
        if (!sent)
            td_bits_set(s, TD_BITS_AGAIN, first, row->last, false);
    }
}

/* Rows that were sent go before those that were not. */
static void unsend_rows(struct td_settling *s)
{
    DL_CONCAT(s->sent, s->unsent);
    s->unsent = s->sent;
    s->sent = NULL;
}

void td_settling_again(struct td_settling *s, uint64_t window, uint64_t ping)
{
    if (s->received > window && s->received - window > s->proven)
        s->proven = s->received - window;
    s->unproven = s->floor;
    s->proving = ping;
    unsend_acks(s);
    except_rows(s, s->sent, true);
    except_rows(s, s->unsent, false);
    s->acks = td_bits_count(s, TD_BITS_UNSENT, s->floor + 1, s->received);
    unsend_rows(s);
    s->lost_last = s->floor > s->proven ? s->floor : 0;
    s->again = s->floor;
    s->again_until = ping;
}

uint64_t td_settling_refused(struct td_settling *s, uint64_t first,
                             uint64_t last, bool known)
{
    uint64_t tags;

    if (known && first <= s->again)
        first = s->again + 1;
    if (first > last)
        return 0;
    tags = last - first + 1;
    if (known)
        tags -= td_settling_lose(s, first, last);
    if (known && first <= s->floor)
        first = s->floor + 1;
    if (known && s->again_until && first <= last)
        tags -= td_bits_count(s, TD_BITS_AGAIN, first, last);
    return tags;
}
