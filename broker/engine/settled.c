#include "broker/engine/settled.h"

#include <stdlib.h>
#include <string.h>

#include "broker/engine/bits.h"

#define GONE_FIRST 8u
#define NUMBER_MAX (UINT64_MAX / TD_CHUNK_EVENTS)

/* ---- chunks ---- */

static struct td_chunk *find(const struct td_settled_set *s, uint64_t number)
{
    struct td_chunk *chunk;

    HASH_FIND(hh, s->chunks, &number, sizeof(number), chunk);
    return chunk;
}

static struct td_chunk *find_or_add(struct td_settled_set *s, uint64_t number)
{
    struct td_chunk *chunk = find(s, number);

    if (chunk)
        return chunk;
    chunk = calloc(1, sizeof(*chunk));
    if (!chunk)
        return NULL;
    chunk->number = number;
    HASH_ADD(hh, s->chunks, number, sizeof(chunk->number), chunk);
    if (chunk->hh_failed) {
        free(chunk);
        return NULL;
    }
    return chunk;
}

static void delete_chunk(struct td_settled_set *s, struct td_chunk *chunk)
{
    HASH_DELETE(hh, s->chunks, chunk);
    free(chunk);
}

/* Its deletion from the store is to be shown; forgotten without memory. */
static void remember_gone(struct td_settled_set *s, uint64_t number)
{
    if (s->gone_len == s->gone_cap) {
        uint32_t cap = s->gone_cap ? s->gone_cap * 2 : GONE_FIRST;
        uint64_t *gone = realloc(s->gone, cap * sizeof(*gone));

        if (!gone)
            return;
        s->gone = gone;
        s->gone_cap = cap;
    }
    s->gone[s->gone_len++] = number;
}

/* ---- the floor ---- */

void td_settled_init(struct td_settled_set *s, uint64_t floor)
{
    memset(s, 0, sizeof(*s));
    s->floor = floor > 0 ? floor : 1;
}

void td_settled_fini(struct td_settled_set *s)
{
    struct td_chunk *chunk;
    struct td_chunk *next;

    HASH_ITER(hh, s->chunks, chunk, next)
    {
        delete_chunk(s, chunk);
    }
    free(s->gone);
    td_settled_init(s, s->floor);
}

/* All of it is below the floor to come. */
static void drop(struct td_settled_set *s, struct td_chunk *chunk)
{
    s->above -= chunk->settled;
    if (chunk->stored)
        remember_gone(s, chunk->number);
    delete_chunk(s, chunk);
}

/* Drops the chunks from one number on up to another: looks for each, or at
 * all that there are, whichever is less work. */
static void drop_range(struct td_settled_set *s, uint64_t from, uint64_t to)
{
    struct td_chunk *chunk;
    struct td_chunk *next;

    if (to - from <= HASH_COUNT(s->chunks)) {
        for (uint64_t number = from; number < to; number++) {
            chunk = find(s, number);
            if (chunk)
                drop(s, chunk);
        }
        return;
    }
    HASH_ITER(hh, s->chunks, chunk, next)
    {
        if (chunk->number < to)
            drop(s, chunk);
    }
}

/* Moves the floor up, to where it may be settled. */
static void move(struct td_settled_set *s, uint64_t floor)
{
    uint64_t number = floor / TD_CHUNK_EVENTS;
    uint64_t start = number * TD_CHUNK_EVENTS;
    struct td_chunk *chunk;

    drop_range(s, s->floor / TD_CHUNK_EVENTS, number);
    chunk = floor > start ? find(s, number) : NULL;
    if (chunk) {
        uint32_t from = s->floor > start ? (uint32_t)(s->floor - start) : 0;
        uint32_t passed =
            td_bits_ones_in(chunk, from, (uint32_t)(floor - start));

        s->above -= passed;
        chunk->settled -= passed;
        if (chunk->settled == 0) /* what is stored of it says nothing more */
            chunk->dirty = false;
    }
    s->floor = floor;
    s->dirty = true;
}

/* Moves the floor past what is settled from it on. */
static void move_on(struct td_settled_set *s)
{
    uint64_t next = s->above > 0 ? td_settled_next(s, s->floor) : s->floor;

    if (next > s->floor)
        move(s, next);
}

uint64_t td_settled_raise(struct td_settled_set *s, uint64_t floor)
{
    uint64_t before = s->above;
    uint64_t moved;

    if (floor <= s->floor)
        return 0;
    moved = floor - s->floor;
    move(s, floor);
    moved -= before - s->above;
    move_on(s);
    return moved;
}

/* ---- marking ---- */

/* There is a chunk for each of these numbers, or nothing has changed. */
static bool add_range(struct td_settled_set *s, uint64_t from, uint64_t to)
{
    uint64_t number = from;

    while (number <= to && find_or_add(s, number))
        number++;
    if (number > to)
        return true;
    while (number-- > from) {
        struct td_chunk *chunk = find(s, number);

        if (chunk->settled == 0 && !chunk->stored)
            delete_chunk(s, chunk);
    }
    return false;
}

/* All of the range is above the floor, and has its chunks. */
static uint64_t mark(struct td_settled_set *s, uint64_t first, uint64_t end)
{
    uint64_t newly = 0;

    while (first < end) {
        struct td_chunk *chunk = find(s, first / TD_CHUNK_EVENTS);
        uint32_t from = (uint32_t)(first % TD_CHUNK_EVENTS);
        uint32_t to = end - first < TD_CHUNK_EVENTS - from
                          ? from + (uint32_t)(end - first)
                          : TD_CHUNK_EVENTS;
        uint32_t n = td_bits_set(chunk, from, to);

        if (n > 0) {
            chunk->settled += n;
            chunk->dirty = true;
            newly += n;
        }
        first += to - from;
    }
    if (newly > 0)
        s->dirty = true;
    s->above += newly;
    return newly;
}

bool td_settled_mark(struct td_settled_set *s, uint64_t first, uint64_t count,
                     uint64_t *newly)
{
    uint64_t end = count > UINT64_MAX - first ? UINT64_MAX : first + count;
    uint64_t n = 0;

    if (end > first && end > s->floor) {
        if (first <= s->floor)
            n = td_settled_raise(s, end);
        else if (add_range(s, first / TD_CHUNK_EVENTS,
                           (end - 1) / TD_CHUNK_EVENTS))
            n = mark(s, first, end);
        else
            return false;
    }
    if (newly)
        *newly = n;
    return true;
}

/* ---- asking ---- */

bool td_settled_has(const struct td_settled_set *s, uint64_t sequence)
{
    uint32_t bit = (uint32_t)(sequence % TD_CHUNK_EVENTS);
    const struct td_chunk *chunk;

    if (sequence < s->floor)
        return true;
    chunk = find(s, sequence / TD_CHUNK_EVENTS);
    return chunk && (chunk->bits[bit / 64] >> (bit % 64) & 1) != 0;
}

uint64_t td_settled_next(const struct td_settled_set *s, uint64_t sequence)
{
    uint64_t number;
    uint32_t from;

    if (sequence < s->floor)
        sequence = s->floor;
    number = sequence / TD_CHUNK_EVENTS;
    from = (uint32_t)(sequence % TD_CHUNK_EVENTS);
    for (;; number++, from = 0) { /* ends: the last one is never settled */
        const struct td_chunk *chunk = find(s, number);

        if (chunk && chunk->settled < TD_CHUNK_EVENTS)
            from = td_bits_first(chunk, from, false);
        else if (chunk)
            from = TD_CHUNK_EVENTS;
        if (from < TD_CHUNK_EVENTS)
            return number * TD_CHUNK_EVENTS + from;
    }
}

/* The first chunk with a bit from this number on, up to the last number; NULL:
 * none. Looks for each, and where that is more work, at all that there are. */
static const struct td_chunk *chunk_from(const struct td_settled_set *s,
                                         uint64_t number, uint64_t last)
{
    const struct td_chunk *found = NULL;
    const struct td_chunk *chunk;

    for (uint32_t n = HASH_COUNT(s->chunks); n > 0 && number <= last; n--) {
        chunk = find(s, number++);
        if (chunk && chunk->settled > 0)
            return chunk;
    }
    if (number > last)
        return NULL;
    for (chunk = s->chunks; chunk; chunk = chunk->hh.next) {
        if (chunk->settled > 0 && chunk->number >= number &&
            chunk->number <= last && (!found || chunk->number < found->number))
            found = chunk;
    }
    return found;
}

uint64_t td_settled_gap(const struct td_settled_set *s, uint64_t sequence,
                        uint64_t max)
{
    uint64_t number = sequence / TD_CHUNK_EVENTS;
    uint32_t from = (uint32_t)(sequence % TD_CHUNK_EVENTS);
    uint64_t limit = max < UINT64_MAX - sequence ? max : UINT64_MAX - sequence;
    const struct td_chunk *chunk;
    uint64_t gap;

    if (sequence < s->floor || limit == 0)
        return 0;
    if (s->above == 0)
        return limit;
    chunk = find(s, number);
    if (chunk)
        from = td_bits_first(chunk, from, true);
    if (!chunk || from == TD_CHUNK_EVENTS) {
        chunk = chunk_from(s, number + 1, (sequence + limit) / TD_CHUNK_EVENTS);
        if (!chunk)
            return limit;
        from = td_bits_first(chunk, 0, true);
    }
    gap = chunk->number * TD_CHUNK_EVENTS + from - sequence;
    return gap < limit ? gap : limit;
}

/* ---- keeping it in a store ---- */

static void pack(const struct td_chunk *chunk, uint8_t bits[TD_CHUNK_BYTES])
{
    for (uint32_t i = 0; i < TD_CHUNK_BYTES; i++)
        bits[i] = (uint8_t)(chunk->bits[i / 8] >> (i % 8 * 8));
}

void td_settled_write(struct td_settled_set *s,
                      void (*show)(void *ctx, uint64_t number,
                                   const uint8_t *bits),
                      void *ctx)
{
    uint8_t bits[TD_CHUNK_BYTES];

    for (uint32_t i = 0; i < s->gone_len; i++)
        show(ctx, s->gone[i], NULL);
    s->gone_len = 0;
    for (struct td_chunk *c = s->chunks; c; c = c->hh.next) {
        if (!c->dirty)
            continue;
        pack(c, bits);
        show(ctx, c->number, bits);
        c->dirty = false;
        c->stored = true;
    }
    s->dirty = false;
}

bool td_settled_load(struct td_settled_set *s, uint64_t number,
                     const uint8_t bits[TD_CHUNK_BYTES])
{
    uint64_t floor_number = s->floor / TD_CHUNK_EVENTS;
    struct td_chunk *chunk;
    uint32_t from = 0;

    if (number < floor_number || number > NUMBER_MAX)
        return true;
    chunk = find_or_add(s, number);
    if (!chunk)
        return false;
    for (uint32_t i = 0; i < TD_CHUNK_BYTES; i++)
        chunk->bits[i / 8] |= (uint64_t)bits[i] << (i % 8 * 8);
    if (number == NUMBER_MAX)
        chunk->bits[TD_CHUNK_WORDS - 1] &= UINT64_MAX >> 1;
    if (number == floor_number)
        from = (uint32_t)(s->floor % TD_CHUNK_EVENTS);
    s->above -= chunk->settled;
    chunk->settled = td_bits_ones_in(chunk, from, TD_CHUNK_EVENTS);
    s->above += chunk->settled;
    chunk->stored = true;
    move_on(s);
    return true;
}

void td_settled_redirty(struct td_settled_set *s)
{
    s->dirty = true;
    for (struct td_chunk *c = s->chunks; c; c = c->hh.next)
        c->dirty = true;
}
