/* Where a session's requests are found by their numbers: a number says in which
 * slot one is, and which of those that were in it. */
#include "client/request.h"

#include <stdlib.h>

#include "proto/limits.h"

#define SLOTS_MIN 64u

_Static_assert((TD_REQUESTS_MAX & (TD_REQUESTS_MAX - 1)) == 0,
               "the low bits of a number are its slot");

tidings_err td_requests_grow(struct td_requests *q)
{
    uint32_t len = q->slots_len ? q->slots_len * 2 : SLOTS_MIN;
    struct td_request_slot *slots = realloc(q->slots, len * sizeof(*slots));

    if (!slots)
        return TIDINGS_ENOMEM;
    q->slots = slots;
    for (uint32_t i = len; i-- > q->slots_len;) {
        slots[i] = (struct td_request_slot){NULL, i, q->free};
        q->free = i + 1;
    }
    q->slots_len = len;
    return TIDINGS_OK;
}

static uint32_t slot_of(const struct td_request *r)
{
    return (uint32_t)(r->number & (TD_REQUESTS_MAX - 1));
}

void td_requests_add(struct td_requests *q, struct td_request *r)
{
    struct td_request_slot *slot = &q->slots[q->free - 1];

    q->free = slot->next_free;
    slot->request = r;
    slot->number += TD_REQUESTS_MAX;
    r->number = slot->number;
    q->info.in_flight++;
}

void td_requests_remove(struct td_requests *q, const struct td_request *r)
{
    struct td_request_slot *slot = &q->slots[slot_of(r)];

    slot->request = NULL;
    slot->next_free = q->free;
    q->free = slot_of(r) + 1;
    q->info.in_flight--;
}

void td_requests_renumber(struct td_requests *q, struct td_request *r)
{
    struct td_request_slot *slot = &q->slots[slot_of(r)];

    slot->number += TD_REQUESTS_MAX;
    r->number = slot->number;
}

struct td_request *td_requests_find(struct td_requests *q, uint64_t number,
                                    bool *asked)
{
    uint64_t at = number & (TD_REQUESTS_MAX - 1);
    struct td_request_slot *slot;

    *asked = false;
    if (at >= q->slots_len)
        return NULL;
    slot = &q->slots[at];
    *asked = number <= slot->number && number >= TD_REQUESTS_MAX;
    if (!slot->request || slot->number != number ||
        slot->request->state != TD_REQUEST_SENT)
        return NULL;
    return slot->request;
}
