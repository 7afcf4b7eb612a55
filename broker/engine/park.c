#include "broker/engine/park.h"

#include <stdlib.h>

static void parked_free(struct td_parks *p, struct td_parked *k)
{
    HASH_DELETE(hh, p->keys, k);
    if (k->indexed)
        HASH_DELETE(hh_current, p->current, k);
    free(k->heap);
    free(k);
}

void td_parks_fini(struct td_parks *p)
{
    while (p->keys)
        parked_free(p, p->keys);
}

static void index_current(struct td_parks *p, struct td_parked *k)
{
    k->hh_failed = false;
    HASH_ADD(hh_current, p->current, current, sizeof(k->current), k);
    k->indexed = !k->hh_failed;
    p->scan = p->scan || k->hh_failed;
}

static struct td_parked *find_current(const struct td_parks *p,
                                      uint64_t sequence)
{
    struct td_parked *k = NULL;

    if (p->current)
        HASH_FIND(hh_current, p->current, &sequence, sizeof(sequence), k);
    if (k || !p->scan)
        return k;
    for (k = p->keys; k && k->current != sequence; k = k->hh.next)
        ;
    return k;
}

static struct td_parked *find(const struct td_parks *p, uint64_t key)
{
    struct td_parked *k;

    HASH_FIND(hh, p->keys, &key, sizeof(key), k);
    return k;
}

/* ---- the heap ---- */

/* One that had its turn is here now, if it was elsewhere. */
static bool is_back(struct td_parked *k, uint64_t sequence)
{
    for (uint32_t i = 0; i < k->len && k->elsewhere > 0; i++) {
        if (k->heap[i] != sequence * 2 + 1)
            continue;
        k->heap[i]--; /* none has this number: the order stays */
        k->elsewhere--;
        return true;
    }
    return false;
}

static bool push(struct td_parked *k, uint64_t sequence)
{
    uint32_t at = k->len;

    if (k->len == k->cap) {
        uint32_t cap = k->cap ? k->cap * 2 : 4;
        uint64_t *heap = realloc(k->heap, cap * sizeof(*heap));

        if (!heap)
            return false;
        k->heap = heap;
        k->cap = cap;
    }
    k->len++;
    while (at > 0 && k->heap[(at - 1) / 2] > sequence) {
        k->heap[at] = k->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    k->heap[at] = sequence;
    return true;
}

static uint64_t pop(struct td_parked *k)
{
    uint64_t lowest = k->heap[0];
    uint64_t last = k->heap[--k->len];
    uint32_t at = 0;

    while (at * 2 + 1 < k->len) {
        uint32_t child = at * 2 + 1;

        if (child + 1 < k->len && k->heap[child + 1] < k->heap[child])
            child++;
        if (k->heap[child] >= last)
            break;
        k->heap[at] = k->heap[child];
        at = child;
    }
    k->heap[at] = last;
    return lowest;
}

/* ---- whose turn it is ---- */

static bool add(struct td_parks *p, uint64_t key, uint64_t sequence)
{
    struct td_parked *k = calloc(1, sizeof(*k));

    if (!k)
        return false;
    k->key = key;
    k->current = sequence;
    HASH_ADD(hh, p->keys, key, sizeof(k->key), k);
    if (k->hh_failed) {
        free(k);
        return false;
    }
    index_current(p, k);
    p->fresh = true;
    return true;
}

bool td_park(struct td_parks *p, uint64_t key, uint64_t sequence, bool *turn)
{
    struct td_parked *k = find(p, key);

    if (!k) {
        *turn = true;
        return add(p, key, sequence);
    }
    *turn = sequence <= k->current;
    if (sequence < k->current) { /* the other one waits when it is dealt */
        if (!push(k, k->current * 2 + 1))
            return false;
        k->elsewhere++;
        p->fresh = true;
        if (k->indexed)
            HASH_DELETE(hh_current, p->current, k);
        k->current = sequence;
        index_current(p, k);
    }
    return *turn || is_back(k, sequence) || push(k, sequence * 2);
}

bool td_park_waits(const struct td_parks *p, uint64_t key, uint64_t sequence)
{
    const struct td_parked *k = p->keys ? find(p, key) : NULL;

    return k && k->current != sequence;
}

bool td_park_aside(struct td_parks *p, uint64_t key, uint64_t sequence)
{
    struct td_parked *k = p->keys ? find(p, key) : NULL;

    return k && k->current != sequence &&
           (is_back(k, sequence) || push(k, sequence * 2));
}

uint64_t td_park_next(struct td_parks *p, uint64_t sequence)
{
    struct td_parked *k = find_current(p, sequence);

    if (!k)
        return 0;
    if (k->len == 0) {
        parked_free(p, k);
        return 0;
    }
    if (k->indexed)
        HASH_DELETE(hh_current, p->current, k);
    k->current = pop(k);
    p->there = k->current & 1;
    k->elsewhere -= p->there;
    k->current /= 2;
    index_current(p, k);
    return k->current;
}

uint64_t td_parks_aside(const struct td_parks *p)
{
    uint64_t events = 0;

    for (const struct td_parked *k = p->keys; k; k = k->hh.next)
        events += k->len - k->elsewhere;
    return events;
}
