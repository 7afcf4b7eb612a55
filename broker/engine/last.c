#include "broker/engine/last.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define FIRST_CAP 16u

struct td_last *td_last_at(const struct td_lasts *l, uint32_t number)
{
    assert(number > 0 && number <= l->len);
    return &l->names[number - 1];
}

void td_lasts_fini(struct td_lasts *l)
{
    const struct td_lasts empty = {.seed = l->seed};

    free(l->names);
    free(l->buckets);
    *l = empty;
}

/* ---- finding ---- */

static uint32_t *bucket_of(const struct td_lasts *l, const uint8_t *hash)
{
    uint64_t bits = XXH3_64bits_withSeed(hash, TD_LAST_HASH_BYTES, l->seed);

    return &l->buckets[bits & (l->cap - 1)];
}

uint32_t td_last_find(const struct td_lasts *l,
                      const uint8_t hash[TD_LAST_HASH_BYTES])
{
    uint32_t number = l->cap ? *bucket_of(l, hash) : 0;

    while (number &&
           memcmp(td_last_at(l, number)->hash, hash, TD_LAST_HASH_BYTES) != 0)
        number = td_last_at(l, number)->chain;
    return number;
}

/* ---- adding ---- */

static bool grow(struct td_lasts *l)
{
    uint32_t cap = l->cap ? l->cap * 2 : FIRST_CAP;
    uint32_t *buckets = calloc(cap, sizeof(*buckets));
    struct td_last *names =
        buckets ? realloc(l->names, cap * sizeof(*names)) : NULL;

    if (!names) {
        free(buckets);
        return false;
    }
    free(l->buckets);
    l->names = names;
    l->buckets = buckets;
    l->cap = cap;
    for (uint32_t number = 1; number <= l->len; number++) { /* all are used */
        struct td_last *name = td_last_at(l, number);
        uint32_t *bucket = bucket_of(l, name->hash);

        name->chain = *bucket;
        *bucket = number;
    }
    return true;
}

static uint32_t take_number(struct td_lasts *l)
{
    uint32_t number = l->free;

    if (number) {
        l->free = td_last_at(l, number)->chain;
        return number;
    }
    return l->len < l->cap || grow(l) ? ++l->len : 0;
}

uint32_t td_last_enter(struct td_lasts *l,
                       const uint8_t hash[TD_LAST_HASH_BYTES])
{
    uint32_t number = td_last_find(l, hash);
    struct td_last *name;
    uint32_t *bucket;

    if (number || l->count >= TD_LAST_MAX)
        return number;
    number = take_number(l);
    if (!number)
        return 0;
    name = td_last_at(l, number);
    bucket = bucket_of(l, hash);
    memset(name, 0, sizeof(*name));
    memcpy(name->hash, hash, sizeof(name->hash));
    name->used = true;
    name->chain = *bucket;
    *bucket = number;
    l->count++;
    return number;
}

/* ---- the list ---- */

static void unlink_name(struct td_lasts *l, struct td_last *name)
{
    if (name->older)
        td_last_at(l, name->older)->newer = name->newer;
    else
        l->oldest = name->newer;
    if (name->newer)
        td_last_at(l, name->newer)->older = name->older;
    else
        l->newest = name->older;
    name->older = name->newer = 0;
}

static void append(struct td_lasts *l, uint32_t number)
{
    struct td_last *name = td_last_at(l, number);

    name->older = l->newest;
    name->newer = 0;
    if (l->newest)
        td_last_at(l, l->newest)->newer = number;
    else
        l->oldest = number;
    l->newest = number;
}

void td_last_keep(struct td_lasts *l, uint32_t number, uint64_t sequence)
{
    struct td_last *name = td_last_at(l, number);

    if (name->kept)
        unlink_name(l, name);
    name->kept = sequence;
    name->ends = false;
    if (sequence)
        append(l, number);
}

void td_last_remove(struct td_lasts *l, uint32_t number)
{
    struct td_last *name = td_last_at(l, number);
    uint32_t *at = bucket_of(l, name->hash);

    td_last_keep(l, number, 0);
    while (*at != number)
        at = &td_last_at(l, *at)->chain;
    *at = name->chain;
    name->used = false;
    name->head = 0;
    name->chain = l->free;
    l->free = number;
    l->count--;
}

struct place {
    uint64_t kept;
    uint32_t number;
};

static int compare(const void *a, const void *b)
{
    const struct place *p = a;
    const struct place *q = b;

    return (p->kept > q->kept) - (p->kept < q->kept);
}

bool td_lasts_sort(struct td_lasts *l)
{
    struct place *places = malloc((l->count + 1) * sizeof(*places));
    uint32_t n = 0;

    if (!places)
        return false;
    for (uint32_t number = l->oldest; number;
         number = td_last_at(l, number)->newer)
        places[n++] = (struct place){td_last_at(l, number)->kept, number};
    qsort(places, n, sizeof(*places), compare);
    l->oldest = l->newest = 0;
    for (uint32_t i = 0; i < n; i++)
        append(l, places[i].number);
    free(places);
    return true;
}
