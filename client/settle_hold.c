/* What was delivered and waits here: the broker is told that it is in hand, or
 * it is given back. */
#include "client/settle_internal.h"

/* ---- held ---- */

bool td_settling_progress(struct td_settling *s, uint64_t tag)
{
    const struct td_settle how = {.verb = TD_PROGRESS};

    return td_settling_is_open(s, tag) &&
           td_settling_add_row(s, &how, tag, tag);
}

/* Of some unsettled ones. */
static bool hold_run(struct td_settling *s, uint64_t first, uint64_t last)
{
    const struct td_settle how = {.verb = TD_PROGRESS};
    bool said = false;
    uint64_t end;

    for (; td_bits_run(s, TD_BITS_BEGUN, &first, &end, last, false);
         first = end)
        said = td_settling_add_row(s, &how, first, end - 1) || said;
    return said;
}

/* Those whose handlers have returned are begun with too. */
static void note_begun(struct td_settling *s, const struct td_at *at,
                       unsigned at_len)
{
    uint64_t first = s->taken + 1;
    uint64_t end;

    for (; td_bits_run(s, TD_BITS_LATER, &first, &end, s->received, true);
         first = end)
        td_bits_set(s, TD_BITS_BEGUN, first, end - 1, true);
    for (unsigned i = 0; i < at_len; i++) {
        if (td_settling_is_open(s, at[i].tag))
            td_bits_set(s, TD_BITS_BEGUN, at[i].tag, at[i].tag, true);
    }
}

/* Those that a thread is done with are in hand until it says so. */
static void note_handled(struct td_settling *s, const struct td_at *at,
                         unsigned at_len)
{
    for (unsigned i = 0; i < at_len; i++) {
        uint64_t first = at[i].first > s->taken ? at[i].first : s->taken + 1;
        uint64_t end = at[i].tag <= s->received ? at[i].tag : s->received + 1;

        if (first < end)
            td_bits_set(s, TD_BITS_BEGUN, first, end - 1, false);
    }
}

bool td_settling_hold(struct td_settling *s, const struct td_at *at,
                      unsigned at_len)
{
    uint64_t first = s->taken + 1;
    bool said = false;
    uint64_t end;

    note_handled(s, at, at_len);
    for (; td_bits_run(s, TD_BITS_SETTLED, &first, &end, s->received, false);
         first = end)
        said = hold_run(s, first, end - 1) || said;
    note_begun(s, at, at_len);
    return said;
}

/* ---- lost ---- */

static bool is_begun(const struct td_settling *s, uint64_t tag)
{
    return td_bits_find(s, TD_BITS_BEGUN, tag, tag, true) == tag ||
           td_bits_find(s, TD_BITS_LATER, tag, tag, true) == tag;
}

uint64_t td_settling_lose(struct td_settling *s, uint64_t first, uint64_t last)
{
    uint64_t lost = 0;

    if (first <= s->taken)
        first = s->taken + 1;
    for (uint64_t tag = first; tag <= last; tag++) {
        if (!td_settling_is_open(s, tag) || is_begun(s, tag))
            continue;
        td_bits_set(s, TD_BITS_LOST, tag, tag, true);
        s->lost = tag > s->lost ? tag : s->lost;
        lost++;
    }
    return lost;
}

/* ---- given back ---- */

/* No row: the broker knows. */
static void forget_run(struct td_settling *s, uint64_t first, uint64_t last)
{
    td_settling_handled(s, first, last);
    td_bits_set(s, TD_BITS_SETTLED, first, last, true);
}

/* Of some unsettled ones that nobody has begun with. */
static bool give_run(struct td_settling *s, uint64_t first, uint64_t last)
{
    const struct td_settle how = {.verb = TD_RELEASE};
    uint64_t from = first;
    uint64_t end;

    for (; td_bits_run(s, TD_BITS_LOST, &from, &end, last, false); from = end) {
        if (!td_settling_settle_run(s, &how, from, end - 1))
            return false;
    }
    for (from = first; td_bits_run(s, TD_BITS_LOST, &from, &end, last, true);
         from = end)
        forget_run(s, from, end - 1);
    return true;
}

/* The first of first..last that no thread is at, and in *end the one after the
 * last; false: there are none. */
static bool next_free(uint64_t *first, uint64_t *end, uint64_t last,
                      const struct td_at *at, unsigned at_len)
{
    for (unsigned i = 0; i < at_len; i++) {
        if (*first >= at[i].first && *first <= at[i].tag) {
            *first = at[i].tag + 1;
            i = UINT32_MAX; /* look at all again */
        }
    }
    *end = last + 1;
    for (unsigned i = 0; i < at_len; i++) {
        if (at[i].first > *first && at[i].first < *end)
            *end = at[i].first;
    }
    return *first <= last;
}

/* Of some unsettled ones whose handlers have not returned. */
static bool give_free(struct td_settling *s, uint64_t first, uint64_t last,
                      const struct td_at *at, unsigned at_len)
{
    uint64_t end;

    for (; next_free(&first, &end, last, at, at_len); first = end) {
        if (!give_run(s, first, end - 1))
            return false;
    }
    return true;
}

static bool give_open(struct td_settling *s, uint64_t first, uint64_t last,
                      const struct td_at *at, unsigned at_len)
{
    uint64_t end;

    for (; td_bits_run(s, TD_BITS_LATER, &first, &end, last, false);
         first = end) {
        if (!give_free(s, first, end - 1, at, at_len))
            return false;
    }
    return true;
}

tidings_err td_settling_give_back(struct td_settling *s, uint64_t last,
                                  const struct td_at *at, unsigned at_len)
{
    uint64_t first = s->taken + 1;
    tidings_err err = TIDINGS_OK;
    uint64_t end;

    if (last > s->received)
        last = s->received;
    for (; !err && td_bits_run(s, TD_BITS_SETTLED, &first, &end, last, false);
         first = end) {
        if (!give_open(s, first, end - 1, at, at_len))
            err = TIDINGS_ENOMEM;
    }
    td_settling_advance(s);
    return err;
}
