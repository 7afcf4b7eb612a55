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

/* Of deliveries that have failed, or are never to be again. */
struct failure {
    uint64_t delay_ms; /* 0: the backoff */
    bool term;
    struct td_str reason;
};

static void fail(struct td_engine *e, const struct td_sub *sub,
                 const struct td_lease *lease, const struct failure *f)
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

static void release(struct td_engine *e, const struct td_sub *sub,
                    const struct td_lease *lease)
{
    const struct td_retry retry = {
        .due_ms = e->now_ms,
        .sequence = lease->sequence,
        .count = lease->count,
    };

    td_again_lease(e, sub->group->consumer, sub, lease, &retry);
}

/* ---- SETTLE ---- */

struct settling {
    struct td_engine *e;
    struct td_consumer *c;
    const struct td_sub *sub;
    const struct td_inflight *leases;
    const struct td_settle *row;
    struct td_buf *stale; /* rows of a SETTLED … */
    uint32_t stale_len;   /* … so many … */
    uint64_t stale_all;   /* … and in all of them */
    struct td_session *session;
};

#define STALE_ROWS                                                             \
    1024u /* of a SETTLED: within the bounds of a control frame */

static void send_stale(struct settling *st)
{
    struct td_engine *e = st->e;
    struct td_frame f = {.op = TD_SETTLED};

    if (st->stale_len == 0)
        return;
    td_buf_reset(&e->table);
    td_list_begin(&e->table, st->stale_len);
    td_buf_append(&e->table, st->stale->data, st->stale->len);
    f.u.settled.list =
        (struct td_str){(const char *)e->table.data, e->table.len};
    if (!e->table.failed && !st->stale->failed)
        td_engine_send(e, st->session, &f, NULL);
    td_buf_reset(st->stale);
    st->stale_len = 0;
}

static void is_stale(struct settling *st, uint64_t first, uint64_t last)
{
    uint64_t last_tag = st->leases ? st->leases->last_tag : 0;
    bool known = first <= last_tag;
    uint64_t *count = st->c ? &st->c->count.stale : NULL;
    const struct td_settled row = {
        .subscription = st->row->subscription,
        .first = first,
        .last = known && last > last_tag ? last_tag : last,
        .code = known ? TIDINGS_EEXIST : TIDINGS_ENOTFOUND,
    };
    uint64_t events = row.last - first + 1;

    if (st->stale_all++ >= TD_IN_FLIGHT_MAX)
        return; /* nobody has been delivered so much: it is a breach */
    if (count)  /* numbers on the wire have 63 bits */
        *count = events < INT64_MAX - *count ? *count + events : INT64_MAX;
    td_settled_append(st->stale, &row);
    if (++st->stale_len >= STALE_ROWS)
        send_stale(st);
    if (row.last < last)
        is_stale(st, row.last + 1, last);
}

static void on_part(void *ctx, const struct td_lease *lease)
{
    struct settling *st = ctx;
    struct td_consumer *c = st->c;
    struct failure f = {.delay_ms = st->row->delay_ms,
                        .reason = st->row->reason};

    if (lease->sequence == 0) {
        is_stale(st, lease->tag, (uint64_t)lease->deadline_ms);
        return;
    }
    switch ((enum td_verb)st->row->verb) {
    case TD_ACK:
        c->count.acked += lease->count;
        td_consumer_done(st->e, c, lease->sequence, lease->count);
        break;
    case TD_NAK:
        c->count.naked += lease->count;
        fail(st->e, st->sub, lease, &f);
        break;
    case TD_RELEASE:
        c->count.released += lease->count;
        release(st->e, st->sub, lease);
        break;
    case TD_TERM:
        c->count.termed += lease->count;
        f.term = true;
        fail(st->e, st->sub, lease, &f);
        break;
    case TD_PROGRESS:
    case TD_VERBS_END:
        break;
    }
}

static void settle_row(struct settling *st, struct td_session *s)
{
    const struct td_settle *row = st->row;
    struct td_sub *sub = td_sub_find(s, row->subscription);

    st->c = sub && sub->leases ? sub->group->consumer : NULL;
    st->sub = sub;
    st->leases = st->c ? sub->leases : NULL;
    if (!st->c) {
        is_stale(st, row->first, row->last);
    } else if (row->verb == TD_PROGRESS) {
        td_inflight_extend(sub->leases, row->first, row->last,
                           st->e->now_ms + st->c->options.ack_wait_ms, on_part,
                           st);
    } else if (!td_inflight_take(sub->leases, row->first, row->last, on_part,
                                 st)) {
        /* no memory: its time will come */
    }
}

void td_lease_settle(struct td_engine *e, struct td_session *s,
                     const struct td_frame *f)
{
    struct td_reader list =
        td_reader_of(f->u.settle.list.data, f->u.settle.list.len);
    struct td_buf stale = {0};
    struct settling st = {.e = e, .stale = &stale, .session = s};
    struct td_settle row;
    uint32_t rows = 0;
    bool good = td_read_array(&list, &rows);

    st.row = &row;
    while (good && rows-- > 0) {
        good = td_settle_read(&list, &row);
        if (good)
            settle_row(&st, s);
        good = good && st.stale_all <= TD_IN_FLIGHT_MAX;
    }
    if (!good) {
        e->counters.breaches++;
        td_session_doom(e, s, TD_DROP_SESSION_LOST, TIDINGS_EPROTO,
                        "a row of SETTLE is malformed, or there is too much "
                        "in them that is not there");
    } else {
        send_stale(&st);
    }
    td_buf_fini(&stale);
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
    const struct failure f = {.reason =
                                  td_str_of("its handler's session ended")};

    if (end->orderly) {
        end->c->count.returned += lease->count;
        release(end->e, end->sub, lease);
        return;
    }
    end->c->count.lost += lease->count;
    fail(end->e, end->sub, lease, &f);
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
    release(end->e, end->sub, lease);
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
    const struct failure f = {.reason =
                                  td_str_of("not settled within ack_wait_ms")};

    end->c->count.timed_out += lease->count;
    fail(end->e, end->sub, lease, &f);
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
