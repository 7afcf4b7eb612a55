/* From a subscription's queue to its subscriber, within credit.
 *
 * A large batch, or a large part of one, is sent alone and by reference. What is
 * small is copied into one message of at most TD_BATCH_BYTES, whichever of the
 * session's subscriptions it is for. */
#include "broker/engine/internal.h"

#include <string.h>

#define ALONE_BYTES                                                            \
    (16u << 10) /* large: from here copying costs more than a message */

/* The front of what waits, as much as credit and the bounds allow: *rest is
 * left of its piece. */
static bool next_piece(const struct td_sub *sub, uint32_t runs, uint64_t events,
                       uint64_t bytes, struct td_piece *front,
                       struct td_piece *rest)
{
    uint64_t credit_events = sub->events_limit - sub->sent;
    uint64_t credit_bytes = sub->bytes_limit - sub->sent_bytes;

    if (sub->leases) { /* alike, so that a piece is one span */
        uint64_t alike = td_lease_alike(sub, td_queue_front(sub->from));

        events = events < alike ? events : alike;
    }
    return td_piece_cut(td_queue_front(sub->from),
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

/* ---- messages ---- */

/* A message in the making: e->picks, all of one session. */
struct message {
    struct td_session *session;
    uint32_t picks;
    uint32_t batches;
    uint32_t runs; /* at most so many */
    uint64_t events;
    size_t bytes;
    bool large; /* what it begins with is */
};

/* A list whose length is written when it is known. */
static size_t begin_list(struct td_buf *table)
{
    td_buf_append(table, "\xdc\0\0", 3); /* array 16 */
    return table->len;
}

static void end_list(struct td_buf *table, size_t begin, uint32_t len)
{
    if (table->failed)
        return;
    table->data[begin - 2] = (uint8_t)(len >> 8);
    table->data[begin - 1] = (uint8_t)len;
}

static bool may_send(const struct message *m, const struct td_sub *sub)
{
    const struct td_session *s = sub->session;

    return !s->doomed && sub->from->len > 0 && sub->sent < sub->events_limit &&
           (m->picks > 0 ||
            s->messages_out - s->messages_seen < TD_MESSAGES_OUT_MAX);
}

/* Sends e->table; false: the link did not take it, and is lost. */
static bool send_parts(struct td_engine *e, struct td_session *s,
                       struct td_body *body)
{
    struct td_frame f = {.op = TD_DELIVER};

    f.u.deliver.parts.data = (const char *)e->table.data;
    f.u.deliver.parts.len = e->table.len;
    if (s->messages_out++ == s->messages_seen)
        s->unread_ms = e->now_ms;
    td_engine_send(e, s, &f, body);
    return !s->doomed;
}

static bool same_batch(const struct td_pick *a, const struct td_pick *b)
{
    return a->sub == b->sub && a->piece.item == b->piece.item &&
           b->piece.offset >= a->piece.offset + a->piece.bytes;
}

/* The batch that begins with picks[i], pieces of one item with rising
 * sequences; returns where the next begins. What a group deals again may come
 * later than what followed it. */
static uint32_t pack_batch(struct td_engine *e, const struct message *m,
                           uint32_t i)
{
    struct td_batch batch = e->picks[i].piece.item->batch;

    batch.runs = e->slice;
    batch.runs_len = 0;
    do {
        batch.runs_len +=
            td_piece_runs(&e->picks[i].piece, e->slice + batch.runs_len,
                          TD_RUNS_MAX - batch.runs_len);
        i++;
    } while (i < m->picks && same_batch(&e->picks[i - 1], &e->picks[i]));
    td_batch_pack(&e->table, &batch);
    return i;
}

static bool span_goes_on(const struct td_span *a, const struct td_span *b)
{
    return a->count > 0 && a->sequence + a->count == b->sequence &&
           a->deliveries == b->deliveries;
}

/* Where in their stream picks stand. */
static void pack_spans(struct td_engine *e, uint32_t from, uint32_t to)
{
    size_t list = begin_list(&e->table);
    struct td_span span = {0};
    uint32_t rows = 0;

    for (uint32_t i = from; i < to; i++) {
        struct td_span next = e->picks[i].span;

        if (span_goes_on(&span, &next)) {
            span.count += next.count;
            continue;
        }
        if (rows++ > 0)
            td_span_append(&e->table, &span);
        span = next;
    }
    td_span_append(&e->table, &span);
    end_list(&e->table, list, rows);
}

/* The same for a part: all of one subscription. */
static uint32_t pack_part(struct td_engine *e, const struct message *m,
                          uint32_t i)
{
    const struct td_pick *first = &e->picks[i];
    bool fed = first->sub->group->consumer;
    uint32_t from = i;
    uint32_t batches = 0;
    size_t list;

    td_part_begin(&e->table, first->sub->number, first->tag, fed);
    list = begin_list(&e->table);
    for (; i < m->picks && e->picks[i].sub == first->sub; batches++)
        i = pack_batch(e, m, i);
    end_list(&e->table, list, batches);
    if (fed)
        pack_spans(e, from, i);
    return i;
}

static struct td_body *body_of(struct td_engine *e, const struct message *m)
{
    const struct td_item *first = e->picks[0].piece.item;
    struct td_body *body;
    uint8_t *to;

    if (m->large)
        return td_body_slice(
            first->body, first->offset + e->picks[0].piece.offset, m->bytes);
    body = td_body_new(m->bytes, &to);
    for (uint32_t i = 0; body && i < m->picks; i++) {
        const struct td_piece *piece = &e->picks[i].piece;

        memcpy(to, td_piece_data(piece), piece->bytes);
        to += piece->bytes;
    }
    return body;
}

/* What was picked is booked as sent, but it was not: it comes again when the
 * session is resumed; of a durable group it goes to others meanwhile. */
static void take_back(struct td_engine *e, const struct message *m)
{
    for (uint32_t i = 0; i < m->picks; i++) {
        if (e->picks[i].sub->leases)
            td_lease_rewind(e, e->picks[i].sub, e->picks[i].tag - 1);
    }
}

/* Sends what was picked. */
static void close_message(struct td_engine *e, struct message *m)
{
    struct td_session *s = m->session;
    struct td_body *body;
    uint32_t parts = 0;
    size_t list;

    if (m->picks == 0)
        return;
    td_buf_reset(&e->table);
    list = begin_list(&e->table);
    for (uint32_t i = 0; i < m->picks; parts++)
        i = pack_part(e, m, i);
    end_list(&e->table, list, parts);
    body = e->table.failed ? NULL : body_of(e, m);
    if (!body)
        td_session_lose(e, s, TIDINGS_ENOMEM, "broker is out of memory");
    if (!body || !send_parts(e, s, body))
        take_back(e, m);
    td_body_unref(body);
    *m = (struct message){.session = s};
}

/* Of a consumer: what is sent is leased. False: no memory, its session ends. */
static bool lease(struct td_engine *e, struct td_sub *sub,
                  const struct td_piece *piece, struct td_span *span)
{
    td_lease_span(sub, piece, span);
    if (td_lease_sent(e, sub, sub->sent + 1, piece))
        return true;
    td_session_doom(e, sub->session, TD_DROP_MEMORY, TIDINGS_ENOMEM,
                    "broker is out of memory");
    return false;
}

static void pick(struct td_engine *e, struct message *m, struct td_sub *sub,
                 const struct td_piece *front, const struct td_piece *rest)
{
    struct td_pick *p = &e->picks[m->picks];
    uint32_t end =
        rest->events > 0 ? rest->run + 1 : front->item->batch.runs_len;

    p->sub = sub;
    p->piece = *front;
    p->tag = sub->sent + 1;
    if (sub->group->consumer && !lease(e, sub, front, &p->span))
        return;
    m->picks++;
    m->large = m->large || front->bytes >= ALONE_BYTES;
    m->batches += m->picks == 1 || !same_batch(p - 1, p);
    m->runs += end - front->run;
    m->events += front->events;
    m->bytes += front->bytes;
    book(sub, front, rest);
}

/* Whether all of what is at the front may be copied into a message that has
 * begun: it is small, and no GAP is to be told before it. */
static bool fits(const struct message *m, const struct td_sub *sub,
                 struct td_piece *front, struct td_piece *rest)
{
    return !m->large && !td_gaps_wait(sub) && m->batches < TD_BATCHES_MAX &&
           m->runs < TD_RUNS_MAX && m->bytes < TD_BATCH_BYTES &&
           next_piece(sub, TD_RUNS_MAX - m->runs, TD_EVENTS_MAX - m->events,
                      TD_BATCH_BYTES - m->bytes, front, rest) &&
           rest->events == 0 && front->bytes < ALONE_BYTES;
}

/* Whole, by reference. */
static bool goes_alone(const struct td_sub *sub, const struct td_piece *piece)
{
    const struct td_item *item = piece->item;

    return td_piece_is_whole(piece) && item->offset == 0 &&
           item->body->len == piece->bytes &&
           (piece->bytes >= ALONE_BYTES ||
            (sub->from->len == 1 && !sub->session->ready));
}

/* Sends the first item by reference; false: no memory. */
static bool send_whole(struct td_engine *e, struct td_sub *sub,
                       const struct td_piece *front,
                       const struct td_piece *rest)
{
    const struct td_str *wire = &front->item->batch.wire;
    bool fed = sub->group->consumer;
    uint64_t tag = sub->sent + 1;
    struct td_span span;
    struct td_body *body;

    td_buf_reset(&e->table);
    end_list(&e->table, begin_list(&e->table), 1);
    td_part_begin(&e->table, sub->number, tag, fed);
    end_list(&e->table, begin_list(&e->table), 1);
    if (wire->len > 0)
        td_buf_append(&e->table, wire->data, wire->len);
    else /* part of a batch, as a stream took it */
        td_batch_pack(&e->table, &front->item->batch);
    if (fed) {
        td_lease_span(sub, front, &span);
        td_list_begin(&e->table, 1);
        td_span_append(&e->table, &span);
    }
    if (e->table.failed || (fed && !lease(e, sub, front, &span)))
        return false;
    body = td_body_ref(front->item->body);
    book(sub, front, rest);
    if (!send_parts(e, sub->session, body) && sub->leases)
        td_lease_rewind(e, sub, tag - 1);
    td_body_unref(body);
    return true;
}

/* ---- a subscription ---- */

/* Half of a window is out: the client answers as soon as it can. For less it
 * may take its time (PROTOCOL.md 4, CREDIT). */
static bool owes_credit(const struct td_sub *sub)
{
    uint64_t events = sub->events_limit - sub->sent;
    uint64_t bytes = sub->bytes_limit - sub->sent_bytes;

    return sub->sent > sub->delivered &&
           (events <= sub->window_events / 2 || bytes <= sub->window_bytes / 2);
}

enum step {
    STEP_DONE, /* something was sent, or picked */
    STEP_WAIT, /* for credit */
    STEP_LEAN  /* there is no memory now */
};

static enum step send_first(struct td_engine *e, struct td_sub *sub,
                            struct message *m)
{
    struct td_piece front;
    struct td_piece rest;

    if (!next_piece(sub, TD_RUNS_MAX, TD_EVENTS_MAX, UINT64_MAX, &front, &rest))
        return STEP_WAIT;
    /* Cut by credit, and more of that is on its way. */
    if (rest.events > 0 && owes_credit(sub))
        return STEP_WAIT;
    td_gaps_tell(e, sub);
    if (sub->session->doomed)
        return STEP_WAIT; /* the link took no GAP, and takes no DELIVER */
    if (!goes_alone(sub, &front))
        pick(e, m, sub, &front, &rest);
    else if (!send_whole(e, sub, &front, &rest))
        return STEP_LEAN;
    return STEP_DONE;
}

static enum step send_next(struct td_engine *e, struct td_sub *sub,
                           struct message *m)
{
    struct td_piece front;
    struct td_piece rest;

    if (td_queue_reserve(&sub->flight, 1))
        return STEP_LEAN;
    if (m->picks > 0 && fits(m, sub, &front, &rest)) {
        pick(e, m, sub, &front, &rest);
        return STEP_DONE;
    }
    close_message(e, m);
    return may_send(m, sub) ? send_first(e, sub, m) : STEP_WAIT;
}

/* Adds what it has to the message, or sends it in others. What it has to wait
 * for makes it ready again. */
static void deliver(struct td_engine *e, struct td_sub *sub, struct message *m)
{
    enum step done = STEP_DONE;
    uint64_t sent = sub->sent;

    /* Before a DELIVER, credit bounds them; these would pile up unread. */
    if (sub->from->len == 0 && td_gaps_wait(sub) &&
        !td_gaps_full(sub->session)) {
        close_message(e, m);
        td_gaps_tell(e, sub);
    }
    while (done == STEP_DONE && may_send(m, sub))
        done = send_next(e, sub, m);
    if (sub->group->consumer && sub->sent > sent)
        td_consumer_ready(e, sub->group->consumer); /* there is room for more */
    if (done == STEP_LEAN)
        td_sub_ready(e, sub); /* a later turn tries again */
    td_group_eased(e, sub->group);
}

void td_deliver(struct td_engine *e, struct td_sub *sub)
{
    struct message m = {.session = sub->session};

    if (sub->session->away)
        return;
    deliver(e, sub, &m);
    close_message(e, &m);
}

/* ---- a session: what is ready now, not what becomes so meanwhile ---- */

static void deliver_session(struct td_engine *e, struct td_session *s)
{
    struct message m = {.session = s};
    struct td_sub *last = s->ready ? s->ready->ready_prev : NULL;
    struct td_sub *sub = NULL;

    while (sub != last) {
        sub = s->ready;
        DL_DELETE2(s->ready, sub, ready_prev, ready_next);
        sub->ready = false;
        if (!s->away)
            deliver(e, sub, &m);
    }
    close_message(e, &m);
}

void td_deliver_ready(struct td_engine *e)
{
    struct td_session *last = e->ready ? e->ready->ready_prev : NULL;
    struct td_session *s = NULL;

    while (s != last) {
        s = e->ready;
        DL_DELETE2(e->ready, s, ready_prev, ready_next);
        s->queued = false;
        deliver_session(e, s);
    }
}
