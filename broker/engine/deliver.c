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

    return !s->doomed && sub->queue.len > 0 && sub->sent < sub->events_limit &&
           s->messages_out - s->messages_seen < TD_MESSAGES_OUT_MAX;
}

static bool next_slice(struct td_engine *e, struct td_sub *sub,
                       struct td_slice *out, uint32_t runs_max, uint64_t events,
                       uint64_t bytes)
{
    uint64_t credit_events = sub->events_limit - sub->sent;
    uint64_t credit_bytes = sub->bytes_limit - sub->sent_bytes;

    return sub->queue.len > 0 &&
           td_queue_slice(&sub->queue, out, e->slice, runs_max,
                          events < credit_events ? events : credit_events,
                          bytes < credit_bytes ? bytes : credit_bytes);
}

/* Books a slice as sent and moves the queue past it. */
static void book(struct td_sub *sub, const struct td_slice *slice)
{
    sub->sent += slice->events;
    sub->sent_bytes += slice->bytes;
    td_queue_advance(&sub->queue, slice);
}

/* tag is the number of the message's first event. */
static void send(struct td_engine *e, struct td_sub *sub, uint64_t tag,
                 struct td_body *body)
{
    struct td_frame f = {.op = TD_DELIVER};

    f.u.deliver.subscription = sub->number;
    f.u.deliver.tag = tag;
    f.u.deliver.batches.data = (const char *)e->table.data;
    f.u.deliver.batches.len = e->table.len;
    sub->session->messages_out++;
    td_engine_send(e, sub->session, &f, body);
}

static bool goes_alone(const struct td_sub *sub, const struct td_slice *slice)
{
    const struct td_item *item = slice->item;

    return slice->whole && item->offset == 0 &&
           item->body->len == slice->bytes &&
           (slice->bytes >= ALONE_BYTES || sub->queue.len == 1);
}

/* Sends the first item by reference. */
static bool send_whole(struct td_engine *e, struct td_sub *sub,
                       const struct td_slice *slice)
{
    const struct td_str *wire = &slice->item->batch.wire;
    struct td_body *body;
    uint64_t tag = sub->sent + 1;

    td_buf_reset(&e->table);
    td_batches_begin(&e->table, 1);
    td_buf_append(&e->table, wire->data, wire->len);
    if (e->table.failed)
        return false;
    body = td_body_ref(slice->item->body);
    book(sub, slice);
    send(e, sub, tag, body);
    td_body_unref(body);
    return true;
}

static void pack_slice(struct td_buf *table, const struct td_slice *slice)
{
    struct td_batch part = slice->item->batch;

    part.runs = slice->runs;
    part.runs_len = slice->runs_len;
    td_batch_pack(table, &part);
}

/* The head of a list of batches, written when their number is known. */
static void set_count(struct td_buf *table, uint32_t batches)
{
    table->data[0] = 0xdc; /* array 16 */
    table->data[1] = (uint8_t)(batches >> 8);
    table->data[2] = (uint8_t)batches;
}

/* What is worth copying into a message that has begun: small and complete. A
 * large batch would be cut to fit, and then everything after it as well. */
static bool fits(const struct td_slice *slice)
{
    return slice->ends && slice->bytes < ALONE_BYTES;
}

/* Copies slices into one message until it is full or credit ends. */
static bool send_gathered(struct td_engine *e, struct td_sub *sub,
                          struct td_slice *slice)
{
    size_t room = slice->bytes > TD_BATCH_BYTES ? slice->bytes : TD_BATCH_BYTES;
    uint32_t runs = TD_RUNS_MAX;
    uint32_t batches = 0;
    uint32_t events = 0;
    uint64_t tag = sub->sent + 1;
    uint8_t *to;
    size_t len = 0;
    struct td_body *body;

    if (sub->queue.bytes < room && sub->queue.bytes >= slice->bytes)
        room = sub->queue.bytes; /* its costs are more than its events */
    td_buf_reset(&e->table);
    td_buf_append(&e->table, "\xdc\0\0", 3);
    body = e->table.failed ? NULL : td_body_new(room, &to);
    if (!body)
        return false;
    do {
        pack_slice(&e->table, slice);
        if (e->table.failed)
            break;
        memcpy(to + len, slice->data, slice->bytes);
        len += slice->bytes;
        runs -= slice->runs_len;
        events += slice->events;
        book(sub, slice);
        batches++;
    } while (
        batches < TD_BATCHES_MAX && runs > 0 &&
        next_slice(e, sub, slice, runs, TD_EVENTS_MAX - events, room - len) &&
        fits(slice));
    set_count(&e->table, batches);
    body->len = len;
    if (e->table.failed) /* events are booked that cannot be told of */
        td_session_doom(e, sub->session, TD_DROP_SESSION_LOST, TIDINGS_ENOMEM,
                        "broker is out of memory");
    else
        send(e, sub, tag, body);
    td_body_unref(body);
    return true;
}

void td_deliver_gaps(struct td_engine *e, struct td_sub *sub)
{
    struct td_session *s = sub->session;

    for (int why = 0; why < TD_DROPS; why++) {
        struct td_frame f = {.op = TD_GAP};

        if (sub->gap[why] == 0)
            continue;
        f.u.gap.subscription = sub->number;
        f.u.gap.events = sub->gap[why];
        f.u.gap.reason = td_str_of(td_drop_names[why]);
        if (why != TD_DROP_UNSUBSCRIBED)
            td_log(&e->options.log, TD_LOG_WARN, "GAP",
                   "session %llu %s subscription %llu missed %llu events: %s",
                   (unsigned long long)s->number, s->name,
                   (unsigned long long)sub->number,
                   (unsigned long long)sub->gap[why], td_drop_names[why]);
        sub->gap[why] = 0;
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

    return sub->sent > sub->ledger.delivered &&
           (events <= sub->window_events / 2 || bytes <= sub->window_bytes / 2);
}

void td_deliver(struct td_engine *e, struct td_sub *sub)
{
    struct td_slice slice;

    /* Before a DELIVER, credit bounds them; these would pile up unread. */
    if (sub->queue.len == 0 && sub->session->gaps_out < GAPS_OUT_MAX)
        td_deliver_gaps(e, sub);
    while (may_send(sub)) {
        bool sent;

        if (!next_slice(e, sub, &slice, TD_RUNS_MAX, TD_EVENTS_MAX, UINT64_MAX))
            break;
        /* Cut by credit, and more of that is on its way. */
        if (!slice.ends && owes_credit(sub))
            break;
        td_deliver_gaps(e, sub);
        sent = goes_alone(sub, &slice) ? send_whole(e, sub, &slice)
                                       : send_gathered(e, sub, &slice);
        if (!sent) {
            td_sub_ready(e, sub); /* no memory now: a later turn tries again */
            break;
        }
    }
    td_sub_eased(e, sub);
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

static bool take_row(struct td_engine *e, struct td_session *s,
                     const struct td_credit *row)
{
    struct td_sub *sub;

    HASH_FIND(hh, s->subs, &row->subscription, sizeof(row->subscription), sub);
    if (!sub)
        return true; /* it has just ended */
    if (row->taken < sub->ledger.delivered || row->taken > sub->sent ||
        row->events_limit < sub->events_limit ||
        row->bytes_limit < sub->bytes_limit)
        return false;
    sub->ledger.delivered = row->taken;
    sub->events_limit = row->events_limit;
    sub->bytes_limit = row->bytes_limit;
    td_sub_ready(e, sub);
    return true;
}

static void all_ready(struct td_engine *e, struct td_session *s)
{
    for (struct td_sub *sub = s->subs; sub; sub = sub->hh.next)
        td_sub_ready(e, sub);
}

void td_deliver_heard(struct td_engine *e, struct td_session *s)
{
    bool was_full = s->gaps_out >= GAPS_OUT_MAX;

    s->gaps_out = 0;
    if (was_full)
        all_ready(e, s);
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
    s->messages_seen = f->u.credit.messages;
    if (was_full)
        all_ready(e, s);
}
