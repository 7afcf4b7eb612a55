/* A binary heap; and an open table of the places in it, by number. Numbers are
 * given out one after the other, so that they are spread well as they are. */
#include "broker/engine/due.h"

#include <stdlib.h>
#include <string.h>

#define CAP_MIN 64u

void td_dues_fini(struct td_dues *d)
{
    free(d->heap);
    free(d->table);
    memset(d, 0, sizeof(*d));
}

void td_due_put_off(struct td_due *due, int64_t when_ms)
{
    due->when_ms = when_ms > due->due_ms ? when_ms : due->due_ms;
}

/* ---- the table ---- */

static uint32_t mask_of(const struct td_dues *d)
{
    return 2 * d->cap - 1;
}

/* Where the number is, or would be. */
static uint32_t slot_of(const struct td_dues *d, uint64_t number)
{
    uint32_t slot = (uint32_t)number & mask_of(d);

    while (d->table[slot] && d->heap[d->table[slot] - 1].number != number)
        slot = (slot + 1) & mask_of(d);
    return slot;
}

static void table_add(struct td_dues *d, uint32_t place)
{
    struct td_due *due = &d->heap[place];

    due->slot = slot_of(d, due->number);
    d->table[due->slot] = place + 1;
}

/* Those behind it move up, so that each is found without a hole before it. */
static void table_remove(struct td_dues *d, uint32_t slot)
{
    uint32_t mask = mask_of(d);
    uint32_t next = (slot + 1) & mask;

    for (; d->table[next]; next = (next + 1) & mask) {
        struct td_due *due = &d->heap[d->table[next] - 1];
        uint32_t home = (uint32_t)due->number & mask;

        if (((next - home) & mask) < ((next - slot) & mask))
            continue; /* its own place, or nearer to it than the hole is */
        d->table[slot] = d->table[next];
        due->slot = slot;
        slot = next;
    }
    d->table[slot] = 0;
}

bool td_dues_reserve(struct td_dues *d, uint64_t len)
{
    uint64_t cap = d->cap ? d->cap : CAP_MIN;
    struct td_due *heap;
    uint32_t *table;

    while (cap < len)
        cap *= 2;
    if (cap == d->cap)
        return true;
    if (cap > UINT32_MAX / 2)
        return false;
    table = calloc(2 * cap, sizeof(*table));
    heap = table ? realloc(d->heap, cap * sizeof(*heap)) : NULL;
    if (!heap) {
        free(table);
        return false;
    }
    free(d->table);
    d->table = table;
    d->heap = heap;
    d->cap = (uint32_t)cap;
    for (uint32_t i = 0; i < d->len; i++)
        table_add(d, i);
    return true;
}

/* ---- the heap ---- */

static bool is_before(const struct td_due *a, const struct td_due *b)
{
    return a->when_ms != b->when_ms ? a->when_ms < b->when_ms
                                    : a->number < b->number;
}

static void put(struct td_dues *d, uint32_t place, const struct td_due *due)
{
    d->heap[place] = *due;
    d->table[due->slot] = place + 1;
}

static void rise(struct td_dues *d, uint32_t place)
{
    const struct td_due due = d->heap[place];

    while (place > 0 && is_before(&due, &d->heap[(place - 1) / 2])) {
        put(d, place, &d->heap[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    put(d, place, &due);
}

static void sink(struct td_dues *d, uint32_t place)
{
    const struct td_due due = d->heap[place];

    for (;;) {
        uint32_t child = 2 * place + 1;

        if (child + 1 < d->len &&
            is_before(&d->heap[child + 1], &d->heap[child]))
            child++;
        if (child >= d->len || !is_before(&d->heap[child], &due))
            break;
        put(d, place, &d->heap[child]);
        place = child;
    }
    put(d, place, &due);
}

void td_dues_add(struct td_dues *d, const struct td_due *due)
{
    d->heap[d->len] = *due;
    table_add(d, d->len);
    rise(d, d->len++);
}

const struct td_due *td_dues_first(const struct td_dues *d)
{
    return d->len ? d->heap : NULL;
}

const struct td_due *td_dues_find(const struct td_dues *d, uint64_t number)
{
    uint32_t place = d->cap ? d->table[slot_of(d, number)] : 0;

    return place ? &d->heap[place - 1] : NULL;
}

void td_dues_remove(struct td_dues *d, const struct td_due *due)
{
    uint32_t place = (uint32_t)(due - d->heap);

    table_remove(d, due->slot);
    if (place == --d->len)
        return;
    put(d, place, &d->heap[d->len]);
    rise(d, place);
    sink(d, place);
}
