/* What subscribers have taken: CREDIT, and letting go of what was kept for
 * them until then. */
#include "broker/engine/internal.h"

/* Of a piece that is taken in part: those keys are free. */
static void trim_keys(struct td_sub *sub)
{
    struct td_piece front;
    struct td_piece rest;

    if (sub->flight.len == 0 ||
        !td_piece_cut(td_queue_front(&sub->flight),
                      sub->delivered - sub->flight_first, UINT64_MAX,
                      UINT32_MAX, &front, &rest))
        return;
    td_deal_forget(sub->group, &front, td_deal_loose(sub));
    sub->flight_first += front.events;
    td_queue_set_front(&sub->flight, &rest);
}

/* Lets go of what is taken, piece by piece. */
static void trim_flight(struct td_sub *sub)
{
    struct td_queue *q = &sub->flight;
    bool by_key = sub->group->share == TD_BY_KEY;

    while (q->len > 0 &&
           sub->delivered >= sub->flight_first + td_queue_front(q)->events) {
        if (by_key)
            td_deal_forget(sub->group, td_queue_front(q), td_deal_loose(sub));
        sub->flight_first += td_queue_front(q)->events;
        td_queue_pop(q);
    }
    if (by_key && sub->delivered > sub->flight_first)
        trim_keys(sub);
}

/* If there is something to deal, to send or to tell. */
static void wake(struct td_engine *e, struct td_sub *sub)
{
    struct td_group *g = sub->group;

    if (g->name_len > 0 && g->queue.len > 0)
        td_group_ready(e, g);
    if (sub->from->len > 0 || td_gaps_wait(sub))
        td_sub_ready(e, sub);
    if (g->consumer)
        td_consumer_ready(e, g->consumer);
}

static bool take_row(struct td_engine *e, struct td_session *s,
                     const struct td_credit *row)
{
    struct td_sub *sub = td_sub_find(s, row->subscription);
    uint64_t taken;

    if (!sub)
        return true; /* it has just ended */
    if (row->taken < sub->delivered || row->taken > sub->sent ||
        (row->events_limit < sub->events_limit && !sub->pulls) ||
        row->bytes_limit < sub->bytes_limit)
        return false;
    taken = row->taken - sub->delivered;
    sub->delivered = row->taken;
    if (!sub->group->consumer) { /* that counts what is settled */
        sub->group->ledger.delivered += taken;
        e->counters.all.delivered += taken;
    }
    trim_flight(sub);
    sub->events_limit =
        row->events_limit > sub->sent ? row->events_limit : sub->sent;
    sub->bytes_limit = row->bytes_limit;
    if (sub->pulls)
        td_group_give_up(e, sub);
    wake(e, sub);
    return true;
}

void td_taken_wake_all(struct td_engine *e, struct td_session *s)
{
    for (struct td_sub *sub = s->subs; sub; sub = sub->hh.next)
        wake(e, sub);
}

void td_taken_credit(struct td_engine *e, struct td_session *s,
                     const struct td_frame *f)
{
    struct td_reader list =
        td_reader_of(f->u.credit.list.data, f->u.credit.list.len);
    bool was_full = s->messages_out - s->messages_seen >= TD_MESSAGES_OUT_MAX;
    bool good = f->u.credit.messages >= s->messages_seen &&
                f->u.credit.messages <= s->messages_out;
    uint32_t rows = 0;

    good = good && td_read_array(&list, &rows);
    while (good && rows-- > 0) {
        struct td_credit row;

        good = td_credit_read(&list, &row) && take_row(e, s, &row);
    }
    if (!good) {
        e->counters.breaches++;
        td_session_doom(e, s, TD_DROP_SESSION_LOST, TIDINGS_EPROTO,
                        "CREDIT falls, or takes what was not delivered");
        return;
    }
    if (f->u.credit.messages > s->messages_seen)
        s->unread_ms = e->now_ms;
    s->messages_seen = f->u.credit.messages;
    td_bundles_seen(e, s);
    if (was_full)
        td_taken_wake_all(e, s);
}
