/* Compaction of one record: cut up, or left whole. What is left becomes records
 * of its own, and what is not becomes gaps, joined with those beside them. */
#include "broker/engine/looking.h"

static struct td_place place_of(const struct td_stream *stream, uint64_t first)
{
    return td_place_two(TD_TABLE_RECORD, stream->id, first);
}

static void put(struct td_looking *l, uint64_t first,
                const struct td_record_head *head, size_t offset, size_t len)
{
    struct td_place key = place_of(l->stream, first);
    struct td_buf *value = &l->e->streams.value;

    td_buf_reset(value);
    td_record_pack(value, head);
    l->stream->head.bytes += value->len + len;
    td_commit_put(l->e, &key, value, len ? l->bytes : NULL, offset, len);
    td_commit_raise(l->e, TD_LEVEL_OS);
    l->stream->compact.ticket = td_commit_ticket(l->e);
}

/* Others take its place. */
static void take_out(struct td_looking *l)
{
    struct td_place key = place_of(l->stream, l->first);

    l->stream->head.bytes -= l->value.len;
    td_commit_delete(l->e, &key);
    l->stream->compact.ticket = td_commit_ticket(l->e);
}

void td_looking_put_gap(struct td_looking *l)
{
    struct td_gap_record *gap = &l->stream->compact.gap;
    const struct td_record_head head = {.gone = true,
                                        .events = gap->events,
                                        .previous = gap->previous,
                                        .stored_ms = gap->stored_ms};

    if (!gap->dirty)
        return;
    gap->dirty = false;
    if (gap->stored)
        l->stream->head.bytes -= TD_RECORD_GONE_BYTES;
    gap->stored = true;
    put(l, gap->first, &head, 0, 0);
}

static void link_to(struct td_compact *c, uint64_t first)
{
    c->previous = first;
    c->linked = true;
}

/* So many events from a sequence on are not kept. */
static void add_gap(struct td_looking *l, uint64_t first, uint32_t events)
{
    struct td_compact *c = &l->stream->compact;
    struct td_gap_record *gap = &c->gap;

    if (gap->events == 0 || gap->first + gap->events != first ||
        gap->events + events > TD_GAP_EVENTS_MAX) {
        td_looking_put_gap(l);
        *gap = (struct td_gap_record){.first = first, .previous = c->previous};
        link_to(c, first);
    }
    gap->events += events;
    gap->stored_ms = l->head.stored_ms;
    gap->dirty = true;
}

/* A piece of the record at hand is a record. False: no memory. */
static bool put_piece(struct td_looking *l, const struct td_piece *piece)
{
    struct td_compact *c = &l->stream->compact;
    struct td_buf *table = &l->e->record_table;
    struct td_batch batch = piece->item->batch;
    uint64_t first = l->first + piece->index;
    struct td_record_head head = {.events = piece->events,
                                  .previous = c->previous,
                                  .stored_ms = l->head.stored_ms};

    td_looking_put_gap(l);
    c->gap.events = 0;
    batch.runs_len = td_piece_runs(piece, l->e->slice, TD_RUNS_MAX);
    batch.runs = l->e->slice;
    batch.events = piece->events;
    batch.bytes = piece->bytes;
    td_buf_reset(table);
    td_batches_begin(table, 1);
    td_batch_pack(table, &batch);
    if (table->failed)
        return false;
    head.table = (struct td_str){(const char *)table->data, table->len};
    put(l, first, &head,
        (size_t)((const uint8_t *)l->head.body.data - l->bytes->data) +
            piece->offset,
        piece->bytes);
    link_to(c, first);
    return true;
}

/* As it is, but for what it says of its predecessor: that is put right when there
 * is room for it. */
static void put_whole(struct td_looking *l)
{
    struct td_compact *c = &l->stream->compact;
    const char *body = l->head.body.data;

    td_looking_put_gap(l);
    c->gap.events = 0;
    if (l->head.previous != c->previous && !l->frugal) {
        struct td_record_head head = l->head;

        head.previous = c->previous;
        l->stream->head.bytes -= l->value.len;
        put(l, l->first, &head,
            (size_t)((const uint8_t *)body - l->bytes->data), l->head.body.len);
    }
    link_to(c, l->first);
}

/* ---- a record ---- */

/* The first so many events of what is left are kept, or are not. */
static bool cut(struct td_looking *l, uint32_t events, bool live)
{
    const struct td_piece whole = l->left;
    struct td_piece front;

    if (events == 0)
        return true;
    if (!td_piece_cut(&whole, events, UINT64_MAX, UINT32_MAX, &front, &l->left))
        return false;
    if (live)
        return put_piece(l, &front);
    add_gap(l, l->first + front.index, front.events);
    return true;
}

/* False: no memory; the pass begins anew. */
static bool cut_up(struct td_looking *l)
{
    struct td_newest_walk w;
    uint32_t live = 0; /* from the front of what is left */

    take_out(l);
    td_looking_begin(l, &w);
    while (td_newest_step(&w)) {
        const struct td_verdict v = td_looking_judge(l, &w);

        if (v.dies && !td_newest_bury(l->e, l->stream, v.number))
            return false;
        if (v.gone > 0 && (!cut(l, live, true) || !cut(l, v.gone, false)))
            return false;
        live = v.gone > 0 ? w.events - v.gone : live + w.events;
    }
    return cut(l, live, true);
}

/* It was a gap already. */
static void join(struct td_looking *l)
{
    struct td_compact *c = &l->stream->compact;
    struct td_gap_record *gap = &c->gap;

    if (gap->events > 0 && gap->first + gap->events == l->first &&
        gap->events + l->head.events <= TD_GAP_EVENTS_MAX) {
        take_out(l);
        add_gap(l, l->first, l->head.events);
        return;
    }
    td_looking_put_gap(l);
    *gap = (struct td_gap_record){.first = l->first,
                                  .events = l->head.events,
                                  .previous = l->head.previous,
                                  .stored_ms = l->head.stored_ms,
                                  .stored = true};
    if (gap->previous != c->previous) {
        gap->previous = c->previous;
        gap->dirty = true;
    }
    link_to(c, l->first);
}

static bool look_at_events(struct td_looking *l)
{
    enum td_yield yield;
    uint32_t events = 0;
    bool cuts;
    bool ok;

    l->item = td_feed_batch(l->e, &l->head, l->bytes, &events);
    if (!l->item && events == 0)
        return false; /* no memory */
    if (!l->item) {   /* it lies: nothing is known of it */
        put_whole(l);
        return true;
    }
    if (l->frugal) { /* it is a gap of its own: the next one names it already */
        td_looking_put_gap(l);
        l->stream->compact.gap.events = 0;
    }
    l->left = td_piece_of(l->item);
    yield = td_looking_weigh(l);
    cuts = yield == TD_YIELD_ALL || (yield == TD_YIELD_MUCH && !l->frugal);
    l->stream->compact.put_off |= yield == TD_YIELD_MUCH && l->frugal;
    ok = !cuts || cut_up(l);
    if (!cuts)
        put_whole(l);
    if (yield != TD_YIELD_NONE)
        td_looking_note(l, !cuts);
    td_item_unref(l->item);
    return ok;
}

bool td_looking_at(struct td_looking *l, const struct td_record *record)
{
    struct td_compact *c = &l->stream->compact;
    uint32_t id;

    if (!td_place_read_two(record->key, TD_TABLE_RECORD, &id, &l->first) ||
        l->first < c->at || l->first < l->stream->oldest.from)
        return true; /* it is gone already */
    l->value = record->value;
    if (record->damaged || !td_record_read(record->value, &l->head)) {
        td_looking_put_gap(l);
        c->gap.events = 0;
        c->at = l->first + 1;
        link_to(c, l->first);
        return true;
    }
    c->at = l->first + l->head.events;
    if (!c->linked)
        link_to(c, l->head.previous);
    if (l->first >= c->end || /* others know it by its place */
        (l->head.gone && l->frugal)) {
        put_whole(l);
        return true;
    }
    if (l->head.gone) {
        join(l);
        return true;
    }
    return look_at_events(l);
}
