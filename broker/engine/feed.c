/* From a stream to a consumer's queue: what is committed, not settled, and
 * matches, as far as its members have credit and its bounds allow. */
#include "broker/engine/internal.h"

#include "proto/type.h"

#include <stdlib.h>
#include <string.h>

/* ---- items ---- */

struct td_item *td_feed_item(struct td_engine *e,
                             const struct td_record *record,
                             struct td_body *bytes, uint64_t *first,
                             uint32_t *events)
{
    struct td_record_head head;
    struct td_item *item;
    const char *why;
    uint32_t id;
    size_t offset;

    *events = 1;
    if (!td_place_read_two(record->key, TD_TABLE_RECORD, &id, first) ||
        record->damaged || !td_record_read(record->value, &head))
        return NULL;
    *events = head.events;
    if (!td_scan(head.table.data, head.table.len, &td_scan_control) ||
        td_batches_read(&e->batches, head.table, head.body.len, &why) ||
        e->batches.len != 1 || e->batches.events != head.events)
        return NULL;
    offset = (size_t)((const uint8_t *)head.body.data - bytes->data);
    item = td_item_new(&e->batches.batch[0], bytes, offset, &e->held_bytes);
    if (item)
        item->sequence = *first;
    return item;
}

/* The piece of an item from a sequence on; false: it lies. */
static bool from_sequence(struct td_item *item, uint64_t sequence,
                          struct td_piece *out)
{
    struct td_piece front;
    struct td_piece whole = td_piece_of(item);

    *out = whole;
    return sequence == item->sequence ||
           (td_piece_cut(&whole, sequence - item->sequence, UINT64_MAX,
                         UINT32_MAX, &front, out) &&
            out->events > 0);
}

/* ---- what of a record is fed ---- */

static bool wants(const struct td_consumer *c, struct td_str type)
{
    struct td_str pattern = c->options.pattern;

    return c->all ||
           td_pattern_match(pattern.data, pattern.len, type.data, type.len);
}

/* How many events from the front of a piece are of types that are wanted, or
 * are not, as the first is. */
static uint32_t alike(const struct td_consumer *c, const struct td_piece *piece,
                      bool *wanted)
{
    const struct td_batch *batch = &piece->item->batch;
    uint32_t run = piece->run;
    uint32_t n = batch->runs[run].count - piece->event;

    *wanted = wants(c, batch->runs[run].type);
    if (c->all)
        return piece->events;
    while (++run < batch->runs_len && n < piece->events &&
           wants(c, batch->runs[run].type) == *wanted)
        n += batch->runs[run].count;
    return n < piece->events ? n : piece->events;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t room(const struct td_consumer *c)
{
    if (!td_consumer_is_durable(c))
        return UINT64_MAX;
    return c->out < c->options.max_in_flight ? c->options.max_in_flight - c->out
                                             : 0;
}

/* Nobody wants them: as good as settled. False: no memory. */
static bool skip(struct td_engine *e, struct td_consumer *c, uint64_t events)
{
    if (td_consumer_is_durable(c) &&
        !td_settled_mark(&c->settled, c->cursor, events, NULL))
        return false;
    td_consumer_dirty(e, c);
    c->cursor += events;
    return true;
}

/* From cursor on; false: there is no room, or no memory, for all of it. */
static bool feed_item(struct td_engine *e, struct td_consumer *c,
                      struct td_item *item)
{
    struct td_piece left;
    struct td_piece front;
    struct td_piece rest;

    if (!from_sequence(item, c->cursor, &left))
        return skip(e, c, item->sequence + item->batch.events - c->cursor);
    while (left.events > 0) {
        bool wanted;
        uint64_t n = alike(c, &left, &wanted);
        uint64_t open = td_consumer_is_durable(c)
                            ? td_settled_gap(&c->settled, c->cursor, n)
                            : n;

        if (open == 0) { /* settled already, some of them */
            n = least(n, td_settled_next(&c->settled, c->cursor) - c->cursor);
            wanted = false;
        } else {
            n = open;
        }
        if (wanted)
            n = least(n, room(c));
        if (n == 0 ||
            !td_piece_cut(&left, n, UINT64_MAX, UINT32_MAX, &front, &rest))
            return false;
        if (!wanted && !skip(e, c, front.events))
            return false;
        if (wanted) {
            if (td_queue_push(&c->group->queue, &front))
                return false;
            c->cursor += front.events;
            c->out += front.events;
        }
        left = rest;
    }
    return true;
}

/* ---- whether it may be fed ---- */

static bool has_open_member(const struct td_consumer *c)
{
    for (const struct td_sub *sub = c->group->members; sub;
         sub = sub->group_next) {
        if (!sub->session->away && !sub->session->doomed &&
            sub->sent + sub->own.events < sub->events_limit)
            return true;
    }
    return false;
}

static uint64_t fed_bytes(const struct td_consumer *c)
{
    const struct td_group *g = c->group;

    return g->queue.bytes + (g->named ? g->named->dealt.bytes : 0);
}

bool td_feed_may(struct td_engine *e, const struct td_consumer *c)
{
    return !c->locating && has_open_member(c) && fed_bytes(c) < TD_FEED_BYTES &&
           e->held_bytes < e->options.memory_bytes / 4 * 3 &&
           !td_consumer_is_paused(e, c);
}

/* ---- what retention has taken ---- */

static void tell_expired(struct td_engine *e, struct td_consumer *c,
                         uint64_t events)
{
    struct td_sub *sub = c->group->members;
    struct td_frame gap = {.op = TD_GAP};

    c->count.expired += events;
    if (!sub || events == 0)
        return;
    gap.u.gap.subscription = sub->number;
    gap.u.gap.events = events;
    gap.u.gap.reason = td_str_of("expired");
    sub->gap_told += events;
    td_engine_send(e, sub->session, &gap, NULL);
}

static void catch_up(struct td_engine *e, struct td_consumer *c)
{
    uint64_t first = c->stream->kept.first;
    uint64_t lost = c->cursor < first ? first - c->cursor : 0;

    if (lost == 0)
        return;
    c->cursor = first;
    c->read_next = 0;
    if (td_consumer_is_durable(c)) {
        td_settled_raise(&c->settled, first);
        td_consumer_dirty(e, c);
    }
    tell_expired(e, c, lost);
}

/* ---- reading ---- */

static void on_records(struct td_engine *e, void *owner,
                       const struct td_store_answer *answer);

static void ask_records(struct td_engine *e, struct td_consumer *c)
{
    bool known = c->read_next == c->cursor;
    /* One that begins before the cursor may hold it: found backwards. */
    struct td_place from =
        td_place_two(TD_TABLE_RECORD, c->stream->id, known ? c->cursor : 0);
    struct td_place to =
        td_place_two(TD_TABLE_RECORD, c->stream->id,
                     known ? c->stream->kept.next : c->cursor + 1);

    c->read = td_read_ask(e, &from, &to, !known, known ? UINT32_MAX : 1,
                          known ? TD_READ_BYTES : 1, on_records, c);
}

/* A damaged record: what it held is lost, and said so. */
static void lose_record(struct td_engine *e, struct td_consumer *c,
                        uint64_t until)
{
    uint64_t lost = until - c->cursor;

    td_log(&e->options.log, TD_LOG_ERROR, "RECORD-DAMAGED",
           "stream %.*s, sequences %llu to %llu cannot be read",
           (int)c->stream->options.name.len, c->stream->options.name.data,
           (unsigned long long)c->cursor, (unsigned long long)(until - 1));
    if (skip(e, c, lost))
        tell_expired(e, c, lost);
}

static bool feed_record(struct td_engine *e, struct td_consumer *c,
                        const struct td_record *record, struct td_body *bytes)
{
    uint64_t first = 0;
    uint32_t events;
    struct td_item *item = td_feed_item(e, record, bytes, &first, &events);
    bool all = true;

    if (first + events <= c->cursor) {
        td_item_unref(item);
        return true;
    }
    if (first > c->cursor)
        lose_record(e, c, first);
    if (item)
        all = feed_item(e, c, item);
    else
        lose_record(e, c, first + events);
    td_item_unref(item);
    return all;
}

static void on_records(struct td_engine *e, void *owner,
                       const struct td_store_answer *answer)
{
    struct td_consumer *c = owner;
    bool backwards = c->read_next != c->cursor;
    bool all = true;

    c->read = NULL;
    td_consumer_ready(e, c);
    if (answer->err)
        return; /* it is asked for again */
    for (uint32_t i = 0; i < answer->records_len && all; i++)
        all = feed_record(e, c, &answer->records[i], answer->bytes);
    if (all && backwards && answer->records_len == 0)
        c->read_next = c->cursor; /* none begins before it: look further on */
    else
        c->read_next = all ? c->cursor : 0;
    if (all && !backwards && answer->records_len == 0 &&
        c->cursor < c->stream->kept.next)
        lose_record(e, c, c->stream->kept.next);
}

/* ---- feeding ---- */

/* From memory; false: it is not there. */
static bool feed_known(struct td_engine *e, struct td_consumer *c, bool *more)
{
    const struct td_entry *entry;
    uint32_t nth;

    if (!td_entry_find(c->stream, c->cursor, &nth))
        return false;
    entry = td_fifo_nth(&c->stream->entries, nth);
    if (!entry->item) {
        if (entry->first == c->cursor)
            c->read_next = c->cursor;
        return false;
    }
    *more = feed_item(e, c, entry->item);
    return true;
}

static void feed(struct td_engine *e, struct td_consumer *c)
{
    bool more = true;

    catch_up(e, c);
    td_retries_feed(e, c);
    while (more && td_feed_may(e, c) && c->cursor < c->stream->kept.next &&
           room(c) > 0) {
        if (feed_known(e, c, &more))
            continue;
        if (!c->read && td_stream_is_on_disk(c->stream))
            ask_records(e, c);
        break;
    }
    if (c->group->queue.len > 0)
        td_group_ready(e, c->group);
}

void td_feed_ready(struct td_engine *e)
{
    struct td_consumer *last =
        e->streams.ready ? e->streams.ready->ready_prev : NULL;
    struct td_consumer *c = NULL;

    while (c != last) {
        c = e->streams.ready;
        DL_DELETE2(e->streams.ready, c, ready_prev, ready_next);
        c->ready = false;
        feed(e, c);
    }
}

void td_consumers_wake(struct td_engine *e, struct td_stream *stream)
{
    struct td_consumer *c;

    DL_FOREACH2(stream->consumers, c, stream_next)
    {
        td_consumer_ready(e, c);
    }
}

/* ---- back ---- */

void td_consumer_unfeed(struct td_engine *e, struct td_consumer *c,
                        struct td_queue *q)
{
    while (q->len > 0) {
        const struct td_piece *piece = td_queue_front(q);
        uint64_t first = piece->item->sequence + piece->index;
        const struct td_retry retry = {.due_ms = e->now_ms};

        if (!td_consumer_is_durable(c)) {
            c->cursor = first < c->cursor ? first : c->cursor;
            c->out -= piece->events;
        } else {
            td_again_piece(e, c, piece, &retry);
        }
        td_queue_pop(q);
    }
    td_consumer_ready(e, c);
}
