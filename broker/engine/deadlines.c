/* The deadlines of requests: a heap in which each knows its place, so that it is
 * taken out when it is answered. Callers mostly have one timeout, so most are
 * added at the end and stay there. */
#include "broker/engine/task.h"

#include <stdlib.h>

#define FIRST_CAP 256u

bool td_deadlines_reserve(struct td_serving *sv)
{
    uint32_t cap = sv->heap_cap ? sv->heap_cap * 2 : FIRST_CAP;
    struct td_deadline *heap;

    if (sv->heap_len + 1 < sv->heap_cap)
        return true;
    heap = realloc(sv->heap, cap * sizeof(*heap));
    if (!heap)
        return false;
    sv->heap = heap;
    sv->heap_cap = cap;
    return true;
}

static void put(struct td_serving *sv, uint32_t at,
                const struct td_deadline *entry)
{
    sv->heap[at] = *entry;
    entry->asking->at = at;
}

static void sift_up(struct td_serving *sv, uint32_t at, struct td_deadline one)
{
    while (at > 1 && sv->heap[at / 2].ms > one.ms) {
        put(sv, at, &sv->heap[at / 2]);
        at /= 2;
    }
    put(sv, at, &one);
}

static void sift_down(struct td_serving *sv, uint32_t at,
                      struct td_deadline one)
{
    for (;;) {
        uint32_t child = 2 * at;

        if (child > sv->heap_len)
            break;
        if (child < sv->heap_len && sv->heap[child + 1].ms < sv->heap[child].ms)
            child++;
        if (sv->heap[child].ms >= one.ms)
            break;
        put(sv, at, &sv->heap[child]);
        at = child;
    }
    put(sv, at, &one);
}

void td_deadlines_add(struct td_serving *sv, struct td_asking *asking)
{
    sift_up(sv, ++sv->heap_len,
            (struct td_deadline){asking->deadline_ms, asking});
}

void td_deadlines_remove(struct td_serving *sv, struct td_asking *asking)
{
    struct td_deadline last = sv->heap[sv->heap_len];
    uint32_t at = asking->at;

    sv->heap_len--;
    asking->at = 0;
    if (last.asking == asking)
        return;
    if (at > 1 && sv->heap[at / 2].ms > last.ms)
        sift_up(sv, at, last);
    else
        sift_down(sv, at, last);
}
