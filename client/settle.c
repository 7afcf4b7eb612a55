#include "client/settle.h"

#include "client/settle_internal.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define PARTS_MIN 8u

/* ---- beginning and ending ---- */

static void free_rows(struct td_settle_row **list)
{
    struct td_settle_row *row;
    struct td_settle_row *next;

    DL_FOREACH_SAFE(*list, row, next)
    {
        free(row);
    }
    *list = NULL;
}

void td_settling_fini(struct td_settling *s)
{
    free_rows(&s->unsent);
    free_rows(&s->sent);
    free(s->bits[0]);
    free(s->parts);
    memset(s, 0, sizeof(*s));
}

void td_settling_reset(struct td_settling *s)
{
    const struct td_settling old = *s;

    td_settling_fini(s);
    s->acked = old.acked;
    s->naked = old.naked;
    s->released = old.released;
    s->termed = old.termed;
}

/* ---- receiving ---- */

static bool reserve_part(struct td_settling *s)
{
    uint64_t cap = s->parts_cap ? 2 * s->parts_cap : PARTS_MIN;
    void *block;

    if (s->parts_len < s->parts_cap)
        return true;
    block = malloc(cap * sizeof(*s->parts));
    if (!block)
        return false;
    for (uint64_t i = 0; i < s->parts_len; i++)
        memcpy((char *)block + i * sizeof(*s->parts),
               &s->parts[(s->parts_at + i) & (s->parts_cap - 1)],
               sizeof(*s->parts));
    free(s->parts);
    s->parts = block;
    s->parts_cap = cap;
    s->parts_at = 0;
    return true;
}

bool td_settling_receive(struct td_settling *s, uint64_t events, uint64_t bytes)
{
    uint64_t at;

    if (!td_bits_reserve(s, s->received + events) || !reserve_part(s))
        return false;
    s->received += events;
    at = (s->parts_at + s->parts_len++) & (s->parts_cap - 1);
    s->parts[at].last = s->received;
    s->parts[at].bytes = bytes;
    return true;
}

void td_settling_take_back(struct td_settling *s, uint64_t events)
{
    s->received -= events;
    s->parts_len--;
}

/* ---- settling ---- */

void td_settling_advance(struct td_settling *s)
{
    s->taken =
        td_bits_find(s, TD_BITS_SETTLED, s->taken + 1, s->received, false) - 1;
    while (s->parts_len > 0 && s->parts[s->parts_at].last <= s->taken) {
        s->taken_bytes += s->parts[s->parts_at].bytes;
        s->parts_at = (s->parts_at + 1) & (s->parts_cap - 1);
        s->parts_len--;
    }
}

/* Those that go on where the last row ends are of it. */
static bool extend(struct td_settling *s, const struct td_settle *how,
                   uint64_t first, uint64_t last)
{
    struct td_settle_row *tail = s->unsent ? s->unsent->prev : NULL;

    if (!tail || tail->verb != how->verb || tail->delay_ms != how->delay_ms ||
        tail->last + 1 != first || tail->reason_len > 0 || how->reason.len > 0)
        return false;
    tail->last = last;
    return true;
}

bool td_settling_add_row(struct td_settling *s, const struct td_settle *how,
                         uint64_t first, uint64_t last)
{
    struct td_settle_row *row;

    if (extend(s, how, first, last))
        return true;
    row = calloc(1, sizeof(*row) + how->reason.len);
    if (!row)
        return false;
    row->verb = how->verb;
    row->first = first;
    row->last = last;
    row->delay_ms = how->delay_ms;
    row->reason_len = how->reason.len;
    if (how->reason.len)
        memcpy(row->reason, how->reason.data, how->reason.len);
    DL_APPEND(s->unsent, row);
    return true;
}

static uint64_t *total_of(struct td_settling *s, uint64_t verb)
{
    return verb == TD_ACK    ? &s->acked
           : verb == TD_NAK  ? &s->naked
           : verb == TD_TERM ? &s->termed
                             : &s->released;
}

void td_settling_handled(struct td_settling *s, uint64_t first, uint64_t last)
{
    s->handled +=
        last - first + 1 - td_bits_count(s, TD_BITS_LATER, first, last);
}

bool td_settling_settle_run(struct td_settling *s, const struct td_settle *how,
                            uint64_t first, uint64_t last)
{
    if (how->verb == TD_ACK) {
        td_bits_set(s, TD_BITS_UNSENT, first, last, true);
        s->acks += last - first + 1;
    } else if (!td_settling_add_row(s, how, first, last)) {
        return false;
    }
    td_settling_handled(s, first, last);
    td_bits_set(s, TD_BITS_SETTLED, first, last, true);
    *total_of(s, how->verb) += last - first + 1;
    return true;
}

tidings_err td_settling_settle(struct td_settling *s,
                               const struct td_settle *how)
{
    tidings_err err = TIDINGS_EEXIST;
    uint64_t first = how->first;
    uint64_t end;

    if (how->first == 0 || how->last < how->first || how->last > s->received)
        return TIDINGS_ENOTFOUND;
    if (first <= s->taken)
        first = s->taken + 1;
    for (; td_bits_run(s, TD_BITS_SETTLED, &first, &end, how->last, false);
         first = end) {
        if (!td_settling_settle_run(s, how, first, end - 1))
            return TIDINGS_ENOMEM;
        err = TIDINGS_OK;
    }
    if (!err)
        td_settling_advance(s);
    return err;
}

void td_settling_later(struct td_settling *s, uint64_t first, uint64_t last)
{
    uint64_t end;

    if (first <= s->taken)
        first = s->taken + 1;
    if (last > s->received)
        last = s->received;
    for (; td_bits_run(s, TD_BITS_SETTLED, &first, &end, last, false);
         first = end) {
        td_settling_handled(s, first, end - 1);
        td_bits_set(s, TD_BITS_LATER, first, end - 1, true);
    }
}

bool td_settling_is_open(const struct td_settling *s, uint64_t tag)
{
    return tag > s->taken && tag <= s->received &&
           td_bits_find(s, TD_BITS_SETTLED, tag, tag, false) == tag;
}

bool td_settling_has_later(const struct td_settling *s)
{
    uint64_t first = s->taken + 1;
    uint64_t end;

    for (; td_bits_run(s, TD_BITS_LATER, &first, &end, s->received, true);
         first = end) {
        if (td_bits_find(s, TD_BITS_SETTLED, first, end - 1, false) < end)
            return true;
    }
    return false;
}

tidings_err td_settling_release_all(struct td_settling *s)
{
    const struct td_settle how = {
        .verb = TD_RELEASE, .first = s->taken + 1, .last = s->received};
    tidings_err err = TIDINGS_EEXIST;

    if (s->taken < s->received)
        err = td_settling_settle(s, &how);
    return err == TIDINGS_EEXIST ? TIDINGS_OK : err;
}
