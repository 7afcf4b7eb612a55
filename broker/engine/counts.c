#include "broker/engine/counts.h"

#include <stdlib.h>
#include <string.h>

void td_counts_fini(struct td_counts *c)
{
    struct td_counts_chunk *chunk;
    struct td_counts_chunk *next;

    HASH_ITER(hh, c->chunks, chunk, next)
    {
        HASH_DELETE(hh, c->chunks, chunk);
        free(chunk);
    }
}

static struct td_counts_chunk *find(const struct td_counts *c, uint64_t number)
{
    struct td_counts_chunk *chunk;

    HASH_FIND(hh, c->chunks, &number, sizeof(number), chunk);
    return chunk;
}

static struct td_counts_chunk *get(struct td_counts *c, uint64_t number)
{
    struct td_counts_chunk *chunk = find(c, number);

    if (chunk)
        return chunk;
    chunk = calloc(1, sizeof(*chunk));
    if (!chunk)
        return NULL;
    chunk->number = number;
    HASH_ADD(hh, c->chunks, number, sizeof(chunk->number), chunk);
    if (!chunk->hh_failed)
        return chunk;
    free(chunk);
    return NULL;
}

uint8_t td_counts_get(const struct td_counts *c, uint64_t sequence)
{
    const struct td_counts_chunk *chunk =
        c->chunks ? find(c, sequence / TD_COUNTS_EVENTS) : NULL;

    return chunk ? chunk->counts[sequence % TD_COUNTS_EVENTS] : 0;
}

uint32_t td_counts_alike(const struct td_counts *c, uint64_t sequence,
                         uint32_t max)
{
    uint8_t first = td_counts_get(c, sequence);
    uint32_t n = 1;

    if (!c->chunks)
        return max;
    while (n < max && td_counts_get(c, sequence + n) == first)
        n++;
    return n;
}

static void set(struct td_counts *c, struct td_counts_chunk *chunk, uint32_t at,
                uint8_t count)
{
    uint8_t before = chunk->counts[at];

    if (before == count)
        return;
    chunk->used += (count > 0) - (before > 0);
    chunk->counts[at] = count;
    chunk->dirty = c->dirty = true;
}

bool td_counts_set(struct td_counts *c, uint64_t sequence, uint32_t events,
                   uint8_t count)
{
    for (uint32_t i = 0; i < events; i++) {
        struct td_counts_chunk *chunk =
            get(c, (sequence + i) / TD_COUNTS_EVENTS);

        if (!chunk)
            return false;
        set(c, chunk, (uint32_t)((sequence + i) % TD_COUNTS_EVENTS), count);
    }
    return true;
}

void td_counts_clear(struct td_counts *c, uint64_t sequence, uint32_t events)
{
    for (uint32_t i = 0; i < events && c->chunks; i++) {
        struct td_counts_chunk *chunk =
            find(c, (sequence + i) / TD_COUNTS_EVENTS);

        if (chunk)
            set(c, chunk, (uint32_t)((sequence + i) % TD_COUNTS_EVENTS), 0);
    }
}

void td_counts_write(struct td_counts *c,
                     void (*show)(void *ctx, uint64_t number,
                                  const uint8_t *counts),
                     void *ctx)
{
    struct td_counts_chunk *chunk;
    struct td_counts_chunk *next;

    if (!c->dirty)
        return;
    c->dirty = false;
    HASH_ITER(hh, c->chunks, chunk, next)
    {
        if (!chunk->dirty)
            continue;
        chunk->dirty = false;
        show(ctx, chunk->number, chunk->used > 0 ? chunk->counts : NULL);
        if (chunk->used == 0) {
            HASH_DELETE(hh, c->chunks, chunk);
            free(chunk);
        }
    }
}

void td_counts_redirty(struct td_counts *c)
{
    for (struct td_counts_chunk *k = c->chunks; k; k = k->hh.next)
        k->dirty = c->dirty = true;
}

bool td_counts_load(struct td_counts *c, uint64_t number,
                    const uint8_t counts[TD_COUNTS_EVENTS])
{
    struct td_counts_chunk *chunk = get(c, number);

    if (!chunk)
        return false;
    memcpy(chunk->counts, counts, sizeof(chunk->counts));
    for (uint32_t i = 0; i < TD_COUNTS_EVENTS; i++)
        chunk->used += counts[i] > 0;
    return true;
}
