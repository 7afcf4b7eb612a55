#include "broker/engine/dedup.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define SLOTS_MIN 64u
#define AHEAD     8u /* of those that leave: long enough to be fetched */
#define USED      0x80000000u /* a slot's number has it: 0 is an empty slot */

struct td_dedup_slot {
    uint32_t mark;   /* of the hash: where it belongs, and its first look */
    uint32_t number; /* with USED */
};

void td_dedup_init(struct td_dedup *d, uint64_t window_ms,
                   uint64_t window_events)
{
    memset(d, 0, sizeof(*d));
    td_dedup_set_window(d, window_ms, window_events);
    d->ones.size = sizeof(struct td_dedup_one);
    d->rows.size = sizeof(uint64_t);
}

void td_dedup_set_window(struct td_dedup *d, uint64_t window_ms,
                         uint64_t window_events)
{
    d->window_ms = window_events ? window_ms : 0;
    d->window_events = window_events;
}

static void let_go_of_slots(struct td_dedup *d)
{
    free(d->slots);
    d->slots = NULL;
    d->slots_cap = 0;
}

void td_dedup_fini(struct td_dedup *d)
{
    td_fifo_fini(&d->ones);
    td_fifo_fini(&d->rows);
    let_go_of_slots(d);
}

void td_dedup_hash(uint8_t hash[TD_DEDUP_HASH_BYTES], struct td_str text)
{
    XXH128_canonical_t canonical;

    XXH128_canonicalFromHash(&canonical, XXH3_128bits(text.data, text.len));
    memcpy(hash, canonical.digest, TD_DEDUP_HASH_BYTES);
}

/* ---- the queue ---- */

const struct td_dedup_one *td_dedup_nth(const struct td_dedup *d, uint32_t nth)
{
    return td_fifo_nth(&d->ones, nth);
}

uint32_t td_dedup_at(const struct td_dedup *d, uint64_t sequence)
{
    uint32_t low = 0;
    uint32_t high = d->ones.len;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (td_dedup_nth(d, middle)->sequence < sequence)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_old(const struct td_dedup *d, const struct td_dedup_one *one,
                   int64_t now_ms)
{
    /* neither is negative */
    return now_ms >= one->stored_ms &&
           (uint64_t)(now_ms - one->stored_ms) >= d->window_ms;
}

/* ---- the table ---- */

static uint32_t mark_of(const struct td_dedup *d, const uint8_t *hash)
{
    return (uint32_t)XXH3_64bits_withSeed(hash, TD_DEDUP_HASH_BYTES, d->seed);
}

static uint32_t nth_of(const struct td_dedup *d,
                       const struct td_dedup_slot *slot)
{
    return (slot->number - d->base) & ~USED;
}

static void enter(struct td_dedup *d, uint32_t mark, uint32_t nth)
{
    uint32_t mask = d->slots_cap - 1;
    uint32_t i = mark & mask;

    while (d->slots[i].number)
        i = (i + 1) & mask;
    d->slots[i].mark = mark;
    d->slots[i].number = (d->base + nth) | USED;
}

/* At most half of the slots are used. */
static bool grow(struct td_dedup *d)
{
    struct td_dedup_slot *old = d->slots;
    uint32_t cap = d->slots_cap;

    if (d->ones.len < cap / 2)
        return true;
    d->slots_cap = cap ? cap * 2 : SLOTS_MIN;
    d->slots = calloc(d->slots_cap, sizeof(*d->slots));
    if (!d->slots) {
        d->slots = old;
        d->slots_cap = cap;
        return false;
    }
    for (uint32_t i = 0; i < cap; i++) {
        if (old[i].number)
            enter(d, old[i].mark, nth_of(d, &old[i]));
    }
    free(old);
    return true;
}

void td_dedup_expect(const struct td_dedup *d,
                     const uint8_t hash[TD_DEDUP_HASH_BYTES])
{
    if (d->slots)
        __builtin_prefetch(&d->slots[mark_of(d, hash) & (d->slots_cap - 1)]);
}

const struct td_dedup_one *td_dedup_find(
    const struct td_dedup *d, const uint8_t hash[TD_DEDUP_HASH_BYTES],
    uint64_t purged, int64_t now_ms)
{
    uint32_t len = d->ones.len;
    uint32_t from = len > d->window_events ? len - d->window_events : 0;
    uint32_t mask = d->slots_cap - 1;
    uint32_t mark;

    if (!d->slots)
        return NULL;
    mark = mark_of(d, hash);
    for (uint32_t i = mark & mask; d->slots[i].number; i = (i + 1) & mask) {
        const struct td_dedup_one *one;
        uint32_t nth = nth_of(d, &d->slots[i]);

        if (d->slots[i].mark != mark || nth < from)
            continue;
        one = td_dedup_nth(d, nth);
        if (memcmp(one->hash, hash, sizeof(one->hash)) == 0 &&
            one->sequence >= purged && !is_old(d, one, now_ms))
            return one;
    }
    return NULL;
}

bool td_dedup_add(struct td_dedup *d, const struct td_dedup_one *one)
{
    struct td_dedup_one *added;

    if (!grow(d))
        return false;
    added = td_fifo_push(&d->ones);
    if (!added)
        return false;
    *added = *one;
    enter(d, mark_of(d, one->hash), d->ones.len - 1);
    return true;
}

/* Those behind it that would not be found any more move up. */
static void empty_slot(struct td_dedup *d, uint32_t i)
{
    uint32_t mask = d->slots_cap - 1;

    for (uint32_t k = (i + 1) & mask; d->slots[k].number; k = (k + 1) & mask) {
        uint32_t home = d->slots[k].mark & mask;

        if (((k - home) & mask) < ((k - i) & mask))
            continue;
        d->slots[i] = d->slots[k];
        i = k;
    }
    d->slots[i].number = 0;
}

static void leave_table(struct td_dedup *d, uint32_t nth)
{
    uint32_t number = (d->base + nth) | USED;
    uint32_t mask = d->slots_cap - 1;
    uint32_t i = mark_of(d, td_dedup_nth(d, nth)->hash) & mask;

    while (d->slots[i].number != number)
        i = (i + 1) & mask;
    empty_slot(d, i);
}

/* ---- coming and going ---- */

bool td_dedup_add_row(struct td_dedup *d, uint64_t first)
{
    uint64_t *row = td_fifo_push(&d->rows);

    if (row)
        *row = first;
    return row;
}

static void let_go_if_empty(struct td_dedup *d)
{
    if (d->ones.len > 0)
        return;
    let_go_of_slots(d);
    td_fifo_fini(&d->ones);
}

void td_dedup_cut(struct td_dedup *d, uint64_t from)
{
    const struct td_dedup_one *last;
    const uint64_t *row;

    while ((last = td_fifo_back(&d->ones)) && last->sequence >= from) {
        leave_table(d, d->ones.len - 1);
        td_fifo_pop_back(&d->ones);
    }
    while ((row = td_fifo_back(&d->rows)) && *row >= from)
        td_fifo_pop_back(&d->rows);
    let_go_if_empty(d);
}

void td_dedup_take_back(struct td_dedup *d, uint64_t next)
{
    if (d->window_ms == 0 && d->ones.len == 0 && d->rows.len == 0)
        return;
    td_dedup_cut(d, next);
    d->stale = true; /* perhaps: what was to be deleted is there still */
}

/* The row of the first one that is kept stays. */
static void drop_rows(struct td_dedup *d)
{
    while (d->rows.len > 0 &&
           (d->ones.len == 0 ||
            (d->rows.len > 1 && *(uint64_t *)td_fifo_nth(&d->rows, 1) <=
                                    td_dedup_nth(d, 0)->sequence))) {
        td_fifo_pop(&d->rows, 1);
        d->stale = true;
    }
}

void td_dedup_trim(struct td_dedup *d, const struct td_stream_state *kept,
                   int64_t now_ms)
{
    while (d->ones.len > 0) {
        const struct td_dedup_one *first = td_dedup_nth(d, 0);
        bool pushed_out =
            d->ones.len > d->window_events &&
            td_dedup_nth(d, (uint32_t)d->window_events)->sequence < kept->next;

        if (!pushed_out && first->sequence >= kept->purged &&
            !is_old(d, first, now_ms))
            break;
        if (d->ones.len > AHEAD)
            td_dedup_expect(d, td_dedup_nth(d, AHEAD)->hash);
        leave_table(d, 0);
        td_fifo_pop(&d->ones, 1);
        d->base = (d->base + 1) & ~USED;
    }
    let_go_if_empty(d);
    drop_rows(d);
}
