/* Events that come back to their durable group: to be delivered again when they
 * are due, and, dealt by key, when it is their turn. */
#include "broker/engine/internal.h"

void td_again(struct td_engine *e, struct td_consumer *c,
              const struct td_retry *retry)
{
    if (!td_retries_add(&c->retries, retry)) {
        td_reason_unref(retry->reason);
        return; /* no memory: it comes again after a restart */
    }
    td_consumer_ready(e, c);
    td_consumer_wake_at(e, c, retry->due_ms);
}

struct returning {
    struct td_engine *e;
    struct td_consumer *c;
    const struct td_retry *retry; /* as they all come back */
    uint64_t events;
};

static void one_back(void *ctx, const struct td_piece *event, uint64_t key)
{
    struct returning *r = ctx;
    struct td_retry retry = *r->retry;
    bool turn = true;

    r->events++;
    retry.sequence = event->item->sequence + event->index;
    retry.count = 1;
    /* Without memory to park it, order is lost rather than the event. */
    if (key && td_park(&r->c->parks, key, retry.sequence, &turn) && !turn)
        return;
    retry.reason = td_reason_ref(r->retry->reason);
    td_again(r->e, r->c, &retry);
}

void td_again_piece(struct td_engine *e, struct td_consumer *c,
                    const struct td_piece *piece, const struct td_retry *retry)
{
    struct returning r = {e, c, retry, 0};
    struct td_retry all = *retry;

    if (c->group->share == TD_BY_KEY)
        td_deal_each(piece, one_back, &r);
    if (r.events == piece->events)
        return;
    all.sequence = piece->item->sequence + piece->index + r.events;
    all.count = piece->events - (uint32_t)r.events;
    all.reason = td_reason_ref(retry->reason);
    td_again(e, c, &all);
}

/* What of a piece, whose first event has this tag, the lease is of. */
static bool overlap(const struct td_piece *piece, uint64_t tag,
                    const struct td_lease *lease, struct td_piece *out)
{
    uint64_t skip = lease->tag > tag ? lease->tag - tag : 0;
    uint64_t end = lease->tag + lease->count;
    struct td_piece front;
    struct td_piece rest = *piece;

    if (tag >= end || tag + piece->events <= lease->tag)
        return false;
    if (skip > 0 &&
        !td_piece_cut(piece, skip, UINT64_MAX, UINT32_MAX, &front, &rest))
        return false;
    return td_piece_cut(&rest, end - tag - skip, UINT64_MAX, UINT32_MAX, out,
                        &front);
}

/* By key what was sent has to be looked at: it is kept until it is taken. */
static uint64_t pieces_back(struct td_engine *e, struct td_consumer *c,
                            const struct td_sub *sub,
                            const struct td_lease *lease,
                            const struct td_retry *retry)
{
    uint64_t end = lease->tag + lease->count;
    uint64_t tag = sub->flight_first + 1;
    uint64_t before = lease->tag > tag ? lease->tag - tag : 0;
    uint64_t events = 0;
    uint64_t skip;
    uint32_t i;

    if (before >= sub->flight.events)
        return 0;
    i = td_queue_find(&sub->flight, before, &skip);
    tag += before - skip;
    for (; i < sub->flight.len && tag < end; i++) {
        const struct td_piece *piece = td_queue_nth(&sub->flight, i);
        struct td_piece part;

        if (overlap(piece, tag, lease, &part)) {
            td_again_piece(e, c, &part, retry);
            events += part.events;
        }
        tag += piece->events;
    }
    return events;
}

void td_again_lease(struct td_engine *e, struct td_consumer *c,
                    const struct td_sub *sub, const struct td_lease *lease,
                    const struct td_retry *retry)
{
    struct td_retry rest = *retry;
    uint64_t events = 0;

    if (c->group->share == TD_BY_KEY && !retry->dead)
        events = pieces_back(e, c, sub, lease, retry);
    if (events < lease->count) { /* the last of them, or all */
        rest.sequence = lease->sequence + events;
        rest.count = lease->count - (uint32_t)events;
        td_again(e, c, &rest);
    } else {
        td_reason_unref(retry->reason);
    }
}
