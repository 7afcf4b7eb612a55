/* What members have been delivered: leases, and how they end. */
#include "broker/engine/internal.h"

#include <string.h>

/* ---- beginning ---- */

static uint64_t sequence_of(const struct td_piece *piece)
{
    return piece->item->sequence + piece->index;
}

bool td_lease_sent(struct td_engine *e, struct td_sub *sub, uint64_t tag,
                   const struct td_piece *piece)
{
    struct td_consumer *c = sub->group->consumer;
    struct td_lease lease = {.tag = tag, .sequence = sequence_of(piece)};
    uint32_t left = piece->events;
    uint64_t before; /* of them, sent before under these tags */

    if (!sub->leases)
        return true;
    before = sub->leases->last_tag >= tag ? sub->leases->last_tag - tag + 1 : 0;
    if (before >= left)
        return true;
    left -= (uint32_t)before;
    lease.tag += before;
    lease.sequence += before;
    lease.first_ms = td_engine_unix_ms(e);
    lease.deadline_ms = e->now_ms + c->options.ack_wait_ms;
    while (left > 0) {
        lease.count = td_counts_alike(&c->counts, lease.sequence, left);
        lease.deliveries = td_counts_get(&c->counts, lease.sequence) + 1u;
        if (!td_inflight_add(sub->leases, &lease))
            return false;
        c->count.delivered += lease.count;
        c->count.redelivered += lease.deliveries > 1 ? lease.count : 0;
        lease.tag += lease.count;
        lease.sequence += lease.count;
        left -= lease.count;
    }
    td_consumer_wake_at(e, c, lease.deadline_ms);
    return true;
}

uint32_t td_lease_alike(const struct td_sub *sub, const struct td_piece *piece)
{
    const struct td_consumer *c = sub->group->consumer;

    return td_counts_alike(&c->counts, sequence_of(piece), piece->events);
}

void td_lease_span(const struct td_sub *sub, const struct td_piece *piece,
                   struct td_span *out)
{
    const struct td_consumer *c = sub->group->consumer;

    out->count = piece->events;
    out->sequence = sequence_of(piece);
    out->deliveries = td_counts_get(&c->counts, out->sequence) + 1u;
}

/* ---- ending ---- */

/* It was its key's turn: the next one's has come. */
static void unpark(struct td_engine *e, struct td_consumer *c,
                   uint64_t sequence)
{
    struct td_retry next = {.due_ms = e->now_ms, .count = 1};

    do {
        next.sequence = td_park_next(&c->parks, sequence);
        sequence = next.sequence; /* one elsewhere may be done with by now */
    } while (sequence > 0 && c->parks.there &&
             td_settled_has(&c->settled, sequence) &&
             !td_redriven_find(c, sequence));
    if (sequence > 0 && !c->parks.there)
        td_again(e, c, &next);
}

void td_consumer_done(struct td_engine *e, struct td_consumer *c,
                      uint64_t sequence, uint32_t count)
{
    for (uint32_t i = 0; c->redriven && i < count; i++) {
        struct td_redriven *r = td_redriven_find(c, sequence + i);

        if (r)
            td_redriven_done(e, c, r);
    }
    td_consumer_settled(e, c, sequence, count);
}

void td_consumer_settled(struct td_engine *e, struct td_consumer *c,
                         uint64_t sequence, uint32_t count)
{
    c->out -= count < c->out ? count : c->out;
    if (!td_consumer_is_durable(c))
        return;
    for (uint32_t i = 0; c->parks.keys && i < count; i++)
        unpark(e, c, sequence + i);
    td_counts_clear(&c->counts, sequence, count);
    /* Without memory it is delivered once more, after a restart. */
    td_settled_mark(&c->settled, sequence, count, NULL);
    td_consumer_dirty(e, c);
    td_consumer_ready(e, c);
}

static uint64_t backoff_ms(struct td_engine *e, const struct td_consumer *c,
                           uint32_t deliveries)
{
    uint64_t ms = c->options.backoff_ms;
    uint64_t fifth;

    for (uint32_t i = 1; i < deliveries && ms < c->options.backoff_max_ms; i++)
        ms *= 2;
    if (ms > c->options.backoff_max_ms)
        ms = c->options.backoff_max_ms;
    fifth = ms / 5;
    return fifth ? ms - fifth + td_engine_random(e) % (2 * fifth + 1) : ms;
}

void td_lease_fail(struct td_engine *e, const struct td_sub *sub,
                   const struct td_lease *lease, const struct td_failure *f)
{
    struct td_consumer *c = sub->group->consumer;
    uint64_t delay_ms =
        f->delay_ms ? f->delay_ms : backoff_ms(e, c, lease->deliveries);
    struct td_retry retry = {
        .due_ms = delay_ms < INT64_MAX / 2 ? e->now_ms + (int64_t)delay_ms
                                           : INT64_MAX / 2,
        .sequence = lease->sequence,
        .count = lease->count,
        .deliveries = lease->deliveries,
        .first_ms = lease->first_ms,
        .last_ms = td_engine_unix_ms(e),
        .reason = td_reason_new(f->reason, td_str_of(sub->session->name)),
    };

    retry.dead = f->term || lease->deliveries >= c->options.max_deliver;
    retry.why = f->term ? TD_DEATH_TERM : TD_DEATH_MAX_DELIVER;
    if (retry.dead)
        retry.due_ms = e->now_ms;
    td_counts_set(&c->counts, lease->sequence, lease->count,
                  (uint8_t)lease->deliveries);
    if (td_consumer_is_kept(c)) { /* known to a restart before it is sent */
        td_consumer_dirty(e, c);
        retry.ticket = td_commit_ticket(e);
    }
    td_again_lease(e, c, sub, lease, &retry);
}

void td_lease_release(struct td_engine *e, const struct td_sub *sub,
                      const struct td_lease *lease)
{
    const struct td_retry retry = {
        .due_ms = e->now_ms,
        .sequence = lease->sequence,
        .count = lease->count,
    };

    td_again_lease(e, sub->group->consumer, sub, lease, &retry);
}

/* ---- without one ---- */

struct ending {
    struct td_engine *e;
    struct td_consumer *c;
    const struct td_sub *sub;
    bool orderly; /* it says so itself, or it is the broker that ends it */
};

static void on_lost(void *ctx, const struct td_lease *lease)
{
    struct ending *end = ctx;
    const struct td_failure f = {.reason =
                                     td_str_of("its handler's session ended")};

    if (end->orderly) {
        end->c->count.returned += lease->count;
        td_lease_release(end->e, end->sub, lease);
        return;
    }
    end->c->count.lost += lease->count;
    td_lease_fail(end->e, end->sub, lease, &f);
}

void td_lease_clear(struct td_engine *e, struct td_sub *sub, bool orderly)
{
    struct ending end = {e, sub->group->consumer, sub, orderly || e->draining};

    td_inflight_clear(sub->leases, on_lost, &end);
}

static void on_unread(void *ctx, const struct td_lease *lease)
{
    struct ending *end = ctx;

    if (lease->sequence == 0) /* it was too late, and has failed */
        return;
    end->c->count.returned += lease->count;
    td_lease_release(end->e, end->sub, lease);
}

void td_lease_rewind(struct td_engine *e, struct td_sub *sub, uint64_t received)
{
    struct ending end = {e, sub->group->consumer, sub, true};

    if (!td_inflight_take(sub->leases, received + 1, INT64_MAX, on_unread,
                          &end))
        td_session_doom(e, sub->session, TD_DROP_MEMORY, TIDINGS_ENOMEM,
                        "broker is out of memory");
}

static void on_late(void *ctx, const struct td_lease *lease)
{
    struct ending *end = ctx;
    const struct td_failure f = {
        .reason = td_str_of("not settled within ack_wait_ms")};

    end->c->count.timed_out += lease->count;
    td_lease_fail(end->e, end->sub, lease, &f);
}

void td_lease_tick(struct td_engine *e, struct td_consumer *c)
{
    struct ending end = {e, c, NULL, false};

    for (struct td_sub *sub = c->group->members; sub; sub = sub->group_next) {
        end.sub = sub;
        if (sub->leases)
            td_inflight_expire(sub->leases, e->now_ms, on_late, &end);
    }
}

int64_t td_lease_next(const struct td_consumer *c)
{
    int64_t next = TD_NEVER;

    for (const struct td_sub *sub = c->group->members; sub;
         sub = sub->group_next) {
        if (sub->leases && sub->leases->events > 0 &&
            sub->leases->earliest_ms < next)
            next = sub->leases->earliest_ms;
    }
    return next;
}

/* ---- time ---- */

void td_consumer_wake_at(struct td_engine *e, struct td_consumer *c, int64_t ms)
{
    if (ms < c->wake_ms)
        c->wake_ms = ms;
    if (ms < e->streams.wake_ms)
        e->streams.wake_ms = ms;
}

/* What is to be fed again says itself when (retries.c). */
static void tick(struct td_engine *e, struct td_consumer *c)
{
    td_lease_tick(e, c);
    td_consumer_ready(e, c);
    c->wake_ms = td_lease_next(c);
    if (c->outage.state == TD_OUTAGE_PARKED && c->outage.until_ms < c->wake_ms)
        c->wake_ms = c->outage.until_ms;
    if (c->paused && c->paused_until_ms > 0) {
        int64_t left = c->paused_until_ms - td_engine_unix_ms(e);

        if (left > 0 && left < c->wake_ms - e->now_ms)
            c->wake_ms = e->now_ms + left;
    }
}

int64_t td_consumers_tick(struct td_engine *e)
{
    struct td_streams *st = &e->streams;
    struct td_consumer *c;

    if (e->now_ms < st->wake_ms)
        return st->wake_ms;
    st->wake_ms = TD_NEVER;
    DL_FOREACH(st->consumers, c)
    {
        if (c->wake_ms <= e->now_ms)
            tick(e, c);
        if (c->wake_ms < st->wake_ms)
            st->wake_ms = c->wake_ms;
    }
    return st->wake_ms;
}
