/* From a subscription's queue to its subscriber, within credit.
 *
 * A batch that goes out whole is sent by reference. Many small ones, or a
 * part of one, are copied into one message of at most TD_BATCH_BYTES. */
#include "broker/engine/internal.h"

#include <string.h>

#define ALONE_BYTES                                                            \
    (16u << 10) /* from here copying costs more than a message */

#define GAPS_OUT_MAX 64u /* GAP told with no DELIVER to a silent session */

static bool may_send(const struct td_sub *sub)
{
    const struct td_session *s = sub->session;

    return !s->doomed && sub->from->len > 0 && sub->sent < sub->events_limit &&
           s->messages_out - s->messages_seen < TD_MESSAGES_OUT_MAX;
}

/* The front of what waits, as much as fits: *rest is left of its piece. */
static bool next_piece(const struct td_sub *sub, uint32_t runs, uint64_t events,
                       uint64_t bytes, struct td_piece *front,
                       struct td_piece *rest)
{
    uint64_t credit_events = sub->events_limit - sub->sent;
    uint64_t credit_bytes = sub->bytes_limit - sub->sent_bytes;

    return sub->from->len > 0 &&
           td_piece_cut(td_queue_front(sub->from),
                        events < credit_events ? events : credit_events,
                        bytes < credit_bytes ? bytes : credit_bytes, runs,
                        front, rest);
}

/* Books a piece as sent: from what waits to what is in flight. */
static void book(struct td_sub *sub, const struct td_piece *front,
                 const struct td_piece *rest)
{
    td_queue_push(&sub->flight, front); /* room was reserved */
    sub->sent += front->events;
    sub->sent_bytes += front->bytes;
    if (rest->events > 0)
        td_queue_set_front(sub->from, rest);
    else
        td_queue_pop(sub->from);
}

/* tag is the number of the message's first event. */
static void send_message(struct td_engine *e, struct td_sub *sub, uint64_t tag,
                         struct td_body *body)
{
    struct td_session *s = sub->session;
    struct td_frame f = {.op = TD_DELIVER};

    f.u.deliver.subscription = sub->number;
    f.u.deliver.tag = tag;
    f.u.deliver.batches.data = (const char *)e->table.data;
    f.u.deliver.batches.len = e->table.len;
    if (s->messages_out++ == s->messages_seen)
        s->unread_ms = e->now_ms;
    td_engine_send(e, s, &f, body);
}

static bool goes_alone(const struct td_sub *sub, const struct td_piece *piece)
{
    const struct td_item *item = piece->item;

    return td_piece_is_whole(piece) && item->offset == 0 &&
           item->body->len == piece->bytes &&
           (piece->bytes >= ALONE_BYTES || sub->from->len == 1);
}

/* Sends the first item by reference. */
static bool send_whole(struct td_engine *e, struct td_sub *sub,
                       const struct td_piece *front,
                       const struct td_piece *rest)
{
    const struct td_str *wire = &front->item->batch.wire;
    struct td_body *body;
    uint64_t tag = sub->sent + 1;

    td_buf_reset(&e->table);
    td_batches_begin(&e->table, 1);
    td_buf_append(&e->table, wire->data, wire->len);
    if (e->table.failed)
        return false;
    body = td_body_ref(front->item->body);
    book(sub, front, rest);
    send_message(e, sub, tag, body);
    td_body_unref(body);
    return true;
}

/* The head of a list of batches, written when their number is known. */
static void set_count(struct td_buf *table, uint32_t batches)
{
    table->data[0] = 0xdc; /* array 16 */
    table->data[1] = (uint8_t)(batches >> 8);
    table->data[2] = (uint8_t)batches;
}

/* What is worth copying into a message that has begun: small, or a part. A
 * large batch would be cut to fit, and then everything after it as well. */
static bool fits(const struct td_piece *front, const struct td_piece *rest)
{
    return rest->events == 0 && front->bytes < ALONE_BYTES;
}

/* A message in the making: pieces of one item in a row are one batch, as long
 * as their sequences rise. What a group deals again may come later than what
 * followed it. */
struct gathering {
    struct td_body *body;
    uint8_t *to;
    size_t room;
    size_t len;
    const struct td_item *item; /* of the batch at hand */
    uint32_t item_end;          /* where in the item its last piece ends */
    uint32_t item_runs;         /* its runs, in e->slice */
    uint32_t runs;              /* of the batches before */
    uint32_t batches;
    uint64_t events;
};

static void close_batch(struct td_engine *e, struct gathering *m)
{
    struct td_batch part;

    if (!m->item)
        return;
    part = m->item->batch;
    part.runs = e->slice;
    part.runs_len = m->item_runs;
    td_batch_pack(&e->table, &part);
    m->runs += m->item_runs;
    m->item_runs = 0;
    m->item = NULL;
    m->batches++;
}

static uint32_t runs_left(const struct gathering *m)
{
    return TD_RUNS_MAX - m->runs - m->item_runs;
}

static void add(struct td_engine *e, struct gathering *m,
                const struct td_piece *piece)
{
    if (m->item != piece->item || piece->offset < m->item_end)
        close_batch(e, m);
    m->item = piece->item;
    m->item_end = piece->offset + piece->bytes;
    m->item_runs += td_piece_runs(piece, e->slice + m->item_runs, runs_left(m));
    memcpy(m->to + m->len, td_piece_data(piece), piece->bytes);
    m->len += piece->bytes;
    m->events += piece->events;
}

static bool has_room(const struct gathering *m)
{
    return m->batches + 1 < TD_BATCHES_MAX && runs_left(m) > 0;
}

/* Copies pieces into one message until it is full or credit ends. */
static bool send_gathered(struct td_engine *e, struct td_sub *sub,
                          struct td_piece *front, struct td_piece *rest)
{
    struct gathering m = {
        .room = front->bytes > TD_BATCH_BYTES ? front->bytes : TD_BATCH_BYTES};
    uint64_t tag = sub->sent + 1;

    if (sub->from->data < m.room && sub->from->data >= front->bytes)
        m.room = sub->from->data;
    td_buf_reset(&e->table);
    td_buf_append(&e->table, "\xdc\0\0", 3);
    m.body = e->table.failed ? NULL : td_body_new(m.room, &m.to);
    if (!m.body)
        return false;
    do {
        add(e, &m, front); /* the item lives on in flight */
        book(sub, front, rest);
    } while (!e->table.failed && has_room(&m) &&
             td_queue_reserve(&sub->flight, 1) == TIDINGS_OK &&
             next_piece(sub, runs_left(&m), TD_EVENTS_MAX - m.events,
                        m.room - m.len, front, rest) &&
             fits(front, rest));
    close_batch(e, &m);
    set_count(&e->table, m.batches);
    m.body->len = m.len;
    if (e->table.failed) /* events are booked that cannot be told of */
        td_session_lose(e, sub->session, TIDINGS_ENOMEM,
                        "broker is out of memory");
    else
        send_message(e, sub, tag, m.body);
    td_body_unref(m.body);
    return true;
}

void td_deliver_gaps(struct td_engine *e, struct td_sub *sub)
{
    struct td_session *s = sub->session;
    uint64_t *gap = sub->group->gap;

    if (s->away || s->doomed)
        return; /* another member, or when it is back */
    for (int why = 0; why < TD_DROPS; why++) {
        struct td_frame f = {.op = TD_GAP};

        if (gap[why] == 0 || s->doomed)
            continue; /* what the link does not take is told when it is back */
        f.u.gap.subscription = sub->number;
        f.u.gap.events = gap[why];
        f.u.gap.reason = td_str_of(td_drop_names[why]);
        if (why != TD_DROP_UNSUBSCRIBED)
            td_log(&e->options.log, TD_LOG_WARN, "GAP",
                   "session %llu %s subscription %llu missed %llu events: %s",
                   (unsigned long long)s->number, s->name,
                   (unsigned long long)sub->number,
                   (unsigned long long)gap[why], td_drop_names[why]);
        sub->gap_told += gap[why];
        sub->gap_last = (enum td_drop)why;
        gap[why] = 0;
        s->gaps_out++;
        td_engine_send(e, s, &f, NULL);
    }
}

/* Half of a window is out: the client answers as soon as it can. For less it
 * may take its time (PROTOCOL.md 4, CREDIT). */
static bool owes_credit(const struct td_sub *sub)
{
    uint64_t events = sub->events_limit - sub->sent;
    uint64_t bytes = sub->bytes_limit - sub->sent_bytes;

    return sub->sent > sub->delivered &&
           (events <= sub->window_events / 2 || bytes <= sub->window_bytes / 2);
}

void td_deliver(struct td_engine *e, struct td_sub *sub)
{
    struct td_piece front;
    struct td_piece rest;

    if (sub->session->away)
        return;
    /* Before a DELIVER, credit bounds them; these would pile up unread. */
    if (sub->from->len == 0 && sub->session->gaps_out < GAPS_OUT_MAX)
        td_deliver_gaps(e, sub);
    while (may_send(sub)) {
        bool sent;

        if (!next_piece(sub, TD_RUNS_MAX, TD_EVENTS_MAX, UINT64_MAX, &front,
                        &rest))
            break;
        /* Cut by credit, and more of that is on its way. */
        if (rest.events > 0 && owes_credit(sub))
            break;
        td_deliver_gaps(e, sub);
        if (sub->session->doomed)
            break; /* the link took no GAP, and takes no DELIVER */
        sent = td_queue_reserve(&sub->flight, 1) == TIDINGS_OK &&
               (goes_alone(sub, &front) ? send_whole(e, sub, &front, &rest)
                                        : send_gathered(e, sub, &front, &rest));
        if (!sent) {
            td_sub_ready(e, sub); /* no memory now: a later turn tries again */
            break;
        }
    }
    td_group_eased(e, sub->group);
}

void td_deliver_ready(struct td_engine *e)
{
    struct td_sub *list = e->ready;
    struct td_sub *sub;
    struct td_sub *next;

    e->ready = NULL; /* for those that have to wait for memory */
    DL_FOREACH_SAFE2(list, sub, next, ready_next)
    {
        DL_DELETE2(list, sub, ready_prev, ready_next);
        sub->ready = false;
        td_deliver(e, sub);
    }
}

/* ---- credit ---- */

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
    td_deal_forget(sub->group, &front);
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
        sub->flight_first += td_queue_front(q)->events;
        if (by_key)
            td_deal_forget(sub->group, td_queue_front(q));
        td_queue_pop(q);
    }
    if (by_key && sub->delivered > sub->flight_first)
        trim_keys(sub);
}

static bool has_gap(const struct td_group *g)
{
    for (int why = 0; why < TD_DROPS; why++) {
        if (g->gap[why] > 0)
            return true;
    }
    return false;
}

/* If there is something to deal, to send or to tell. */
static void wake(struct td_engine *e, struct td_sub *sub)
{
    struct td_group *g = sub->group;

    if (g->name_len > 0 && g->queue.len > 0)
        td_group_ready(e, g);
    if (sub->from->len > 0 || has_gap(g))
        td_sub_ready(e, sub);
}

static bool take_row(struct td_engine *e, struct td_session *s,
                     const struct td_credit *row)
{
    struct td_sub *sub = td_sub_find(s, row->subscription);
    uint64_t taken;

    if (!sub)
        return true; /* it has just ended */
    if (row->taken < sub->delivered || row->taken > sub->sent ||
        row->events_limit < sub->events_limit ||
        row->bytes_limit < sub->bytes_limit)
        return false;
    taken = row->taken - sub->delivered;
    sub->delivered = row->taken;
    sub->group->ledger.delivered += taken;
    e->counters.all.delivered += taken;
    trim_flight(sub);
    sub->events_limit = row->events_limit;
    sub->bytes_limit = row->bytes_limit;
    wake(e, sub);
    return true;
}

void td_deliver_all_ready(struct td_engine *e, struct td_session *s)
{
    for (struct td_sub *sub = s->subs; sub; sub = sub->hh.next)
        wake(e, sub);
}

void td_deliver_heard(struct td_engine *e, struct td_session *s)
{
    bool was_full = s->gaps_out >= GAPS_OUT_MAX;

    s->gaps_out = 0;
    if (was_full)
        td_deliver_all_ready(e, s);
}

void td_deliver_credit(struct td_engine *e, struct td_session *s,
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
    if (was_full)
        td_deliver_all_ready(e, s);
}
