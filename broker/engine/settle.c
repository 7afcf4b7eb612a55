/* SETTLE: what members say of what they have, and SETTLED: what of that they
 * have not. */
#include "broker/engine/internal.h"

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
    bool parks;  /* it says that the group is to be parked … */
    bool probed; /* … also of what was delivered since it was last */
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
    struct td_failure f = {.delay_ms = st->row->delay_ms,
                           .reason = st->row->reason};

    if (lease->sequence == 0) {
        is_stale(st, lease->tag, (uint64_t)lease->deadline_ms);
        return;
    }
    switch ((enum td_verb)st->row->verb) {
    case TD_ACK:
        c->count.acked += lease->count;
        td_consumer_acked(st->e, st->sub, lease);
        td_consumer_done(st->e, c, lease->sequence, lease->count);
        break;
    case TD_NAK:
        c->count.naked += lease->count;
        td_lease_fail(st->e, st->sub, lease, &f);
        break;
    case TD_PARK:
        st->parks = true;
        st->probed = st->probed || td_consumer_probed(st->sub, lease);
        c->count.released += lease->count;
        td_lease_release(st->e, st->sub, lease);
        break;
    case TD_RELEASE:
        c->count.released += lease->count;
        td_lease_release(st->e, st->sub, lease);
        break;
    case TD_TERM:
        c->count.termed += lease->count;
        f.term = true;
        td_lease_fail(st->e, st->sub, lease, &f);
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
    st->parks = st->probed = false;
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
    if (st->parks)
        td_consumer_park(st->e, st->c, s, row, st->probed);
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
