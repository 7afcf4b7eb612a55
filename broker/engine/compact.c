/* Compaction: a pass over the records of a stream, page by page, from the
 * oldest to the one before the newest. A record with events that are not the
 * newest of their names is cut up: what is left becomes records of its own, and
 * what is not becomes gaps, joined with those beside them. Sequences stay as they
 * are, and each record names its predecessor, so that the one behind a change
 * is written anew with it. All of a page is in one transaction.
 *
 * An event without data is a tombstone: it goes after tombstone_ms, and its name
 * is forgotten with it. A pass begins when as many events have come as there are
 * names: so a stream has about twice what is live in it, at most. For the sake of
 * tombstones one begins once in an eighth of tombstone_ms, or in a minute. */
#include "broker/engine/internal.h"

#include <string.h>

#define PAGE_BYTES   (256u << 10)
#define EVENTS_MIN   1024u /* fewer new ones are not worth a pass */
#define AGAIN_MS     1000  /* after a failure */
#define FAILED_MS    10000 /* after a commit that failed, and others with it */
#define APART_MIN_MS 60000 /* of passes for the sake of tombstones */

/* A record that is being looked at. */
struct looking {
    struct td_engine *e;
    struct td_stream *stream;
    struct td_body *bytes; /* of the answer */
    struct td_str value;
    uint64_t first;
    struct td_record_head head;
    struct td_item *item;
    struct td_piece left; /* of it */
};

bool td_compact_is_moving(struct td_engine *e, const struct td_stream *stream)
{
    return stream->compact.ticket > 0 &&
           !td_commit_is_written(e, stream->compact.ticket);
}

void td_compact_anew(struct td_stream *stream)
{
    struct td_compact *c = &stream->compact;

    td_read_forget(c->read);
    memset(c, 0, sizeof(*c));
}

void td_compact_take_back(struct td_engine *e, struct td_stream *stream)
{
    struct td_compact *c = &stream->compact;
    const struct td_compact was = *c;
    bool failed = td_compact_is_moving(e, stream);

    td_compact_anew(stream);
    c->swept = was.swept;
    c->swept_ms = was.swept_ms;
    c->failed_ms = failed ? e->now_ms + FAILED_MS : was.failed_ms;
}

void td_compact_purged(struct td_stream *stream)
{
    uint64_t ticket = stream->compact.ticket;

    td_compact_anew(stream);
    stream->compact.ticket = ticket;
}

/* ---- writing ---- */

static struct td_place place_of(const struct td_stream *stream, uint64_t first)
{
    return td_place_two(TD_TABLE_RECORD, stream->id, first);
}

static void put(struct looking *l, uint64_t first,
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
static void take_out(struct looking *l)
{
    struct td_place key = place_of(l->stream, l->first);

    l->stream->head.bytes -= l->value.len;
    td_commit_delete(l->e, &key);
    l->stream->compact.ticket = td_commit_ticket(l->e);
}

/* The gap before the record at hand is finished, or the page is. */
static void put_gap(struct looking *l)
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
static void add_gap(struct looking *l, uint64_t first, uint32_t events)
{
    struct td_compact *c = &l->stream->compact;
    struct td_gap_record *gap = &c->gap;

    if (gap->events == 0 || gap->first + gap->events != first ||
        gap->events + events > TD_GAP_EVENTS_MAX) {
        put_gap(l);
        *gap = (struct td_gap_record){.first = first, .previous = c->previous};
        link_to(c, first);
    }
    gap->events += events;
    gap->stored_ms = l->head.stored_ms;
    gap->dirty = true;
}

/* A piece of the record at hand is a record. False: no memory. */
static bool put_piece(struct looking *l, const struct td_piece *piece)
{
    struct td_compact *c = &l->stream->compact;
    struct td_buf *table = &l->e->record_table;
    struct td_batch batch = piece->item->batch;
    uint64_t first = l->first + piece->index;
    struct td_record_head head = {.events = piece->events,
                                  .previous = c->previous,
                                  .stored_ms = l->head.stored_ms};

    put_gap(l);
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

/* As it is, but for what it says of its predecessor. */
static void put_whole(struct looking *l)
{
    struct td_compact *c = &l->stream->compact;
    const char *body = l->head.body.data;

    put_gap(l);
    c->gap.events = 0;
    if (l->head.previous != c->previous) {
        struct td_record_head head = l->head;

        head.previous = c->previous;
        l->stream->head.bytes -= l->value.len;
        put(l, l->first, &head,
            (size_t)((const uint8_t *)body - l->bytes->data), l->head.body.len);
    }
    link_to(c, l->first);
}

/* ---- which are live ---- */

/* The last of those events is its name's newest: whether it has no data, and
 * may go now. */
static bool is_old_tombstone(struct looking *l, const struct td_newest_walk *w)
{
    struct td_compact *c = &l->stream->compact;
    int64_t due_ms =
        l->head.stored_ms + (int64_t)l->stream->options.tombstone_ms;

    if (!td_newest_is_last_empty(w))
        return false;
    if (due_ms <= td_engine_unix_ms(l->e))
        return true;
    if (c->due_ms == 0 || due_ms < c->due_ms)
        c->due_ms = due_ms;
    return false;
}

/* Of events in a row of one name the first *gone are not kept; then one is, or
 * all that follow are, or none. False: no memory. */
static bool judge(struct looking *l, const struct td_newest_walk *w,
                  uint32_t *gone)
{
    uint32_t number = td_last_find(&l->stream->lasts, w->hash);
    uint64_t last = w->sequence + w->events - 1;
    uint64_t kept = number ? td_last_at(&l->stream->lasts, number)->kept : 0;

    *gone = 0;
    if (kept > last) {
        *gone = w->events;
    } else if (kept == last && kept > 0) {
        *gone = w->events - 1;
        if (!is_old_tombstone(l, w))
            return true;
        *gone = w->events;
        return td_newest_bury(l->e, l->stream, number);
    }
    return true;
}

/* ---- a record ---- */

/* The first so many events of what is left are kept, or are not. */
static bool cut(struct looking *l, uint32_t events, bool live)
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

/* Whether any of it is not kept: then it is to be cut up. */
static bool is_whole(struct looking *l)
{
    struct td_newest_walk w;
    uint32_t number;

    td_newest_begin(&w, l->stream, &l->item->batch, td_piece_data(&l->left),
                    l->first);
    while (td_newest_step(&w)) {
        number = td_last_find(&l->stream->lasts, w.hash);
        if (!number)
            continue;
        if (td_last_at(&l->stream->lasts, number)->kept >
            w.sequence) /* a newer one, here or later */
            return false;
        if (td_last_at(&l->stream->lasts, number)->kept == w.sequence &&
            is_old_tombstone(l, &w))
            return false;
    }
    return true;
}

/* False: no memory; the pass begins anew. */
static bool cut_up(struct looking *l)
{
    struct td_newest_walk w;
    uint32_t live = 0; /* from the front of what is left */

    take_out(l);
    td_newest_begin(&w, l->stream, &l->item->batch, td_piece_data(&l->left),
                    l->first);
    while (td_newest_step(&w)) {
        uint32_t gone;

        if (!judge(l, &w, &gone))
            return false;
        if (gone > 0 && (!cut(l, live, true) || !cut(l, gone, false)))
            return false;
        live = gone > 0 ? w.events - gone : live + w.events;
    }
    return cut(l, live, true);
}

/* It was a gap already. */
static void join(struct looking *l)
{
    struct td_compact *c = &l->stream->compact;
    struct td_gap_record *gap = &c->gap;

    if (gap->events > 0 && gap->first + gap->events == l->first &&
        gap->events + l->head.events <= TD_GAP_EVENTS_MAX) {
        take_out(l);
        add_gap(l, l->first, l->head.events);
        return;
    }
    put_gap(l);
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

static bool look_at_events(struct looking *l)
{
    uint32_t events = 0;
    bool ok;

    l->item = td_feed_batch(l->e, &l->head, l->bytes, &events);
    if (!l->item && events == 0)
        return false; /* no memory */
    if (!l->item) {   /* it lies: nothing is known of it */
        put_whole(l);
        return true;
    }
    l->left = td_piece_of(l->item);
    ok = is_whole(l);
    if (ok)
        put_whole(l);
    else
        ok = cut_up(l);
    td_item_unref(l->item);
    return ok;
}

static bool look_at(struct looking *l, const struct td_record *record)
{
    struct td_compact *c = &l->stream->compact;
    uint32_t id;

    if (!td_place_read_two(record->key, TD_TABLE_RECORD, &id, &l->first) ||
        l->first < c->at || l->first < l->stream->oldest.from)
        return true; /* it is gone already */
    l->value = record->value;
    if (record->damaged || !td_record_read(record->value, &l->head)) {
        put_gap(l);
        c->gap.events = 0;
        c->at = l->first + 1;
        link_to(c, l->first);
        return true;
    }
    c->at = l->first + l->head.events;
    if (!c->linked)
        link_to(c, l->head.previous);
    if (l->first >= c->end) { /* others know it by its place */
        put_whole(l);
        return true;
    }
    if (l->head.gone) {
        join(l);
        return true;
    }
    return look_at_events(l);
}

/* ---- a page ---- */

/* Where records begin is known to nobody any more. */
static void forget_places(struct td_engine *e, struct td_stream *stream)
{
    struct td_consumer *c;

    td_read_forget(stream->trim);
    stream->trim = NULL;
    stream->oldest.events = 0;
    td_entries_drop(stream, stream->compact.at);
    DL_FOREACH2(stream->consumers, c, stream_next)
    {
        if (c->locating)
            continue;
        td_read_forget(c->read);
        c->read = NULL;
        c->read_next = 0;
        td_consumer_ready(e, c);
    }
    td_stream_dirty(e, stream);
}

static void end_pass(struct td_stream *stream)
{
    struct td_compact *c = &stream->compact;

    c->at = 0;
    c->gap.events = 0;
    c->linked = false;
}

static void on_page(struct td_engine *e, void *owner,
                    const struct td_store_answer *answer)
{
    struct looking l = {.e = e, .stream = owner, .bytes = answer->bytes};
    struct td_compact *c = &l.stream->compact;
    uint64_t ticket = c->ticket;
    bool ok = !answer->err;

    c->read = NULL;
    c->ticket = 0;
    if (c->at < l.stream->oldest.from || c->gap.first < l.stream->oldest.from) {
        c->gap.events = 0; /* retention has taken it */
        c->linked = c->linked && c->at >= l.stream->oldest.from;
    }
    for (uint32_t i = 0; i < answer->records_len && ok; i++)
        ok = look_at(&l, &answer->records[i]);
    put_gap(&l);
    if (!ok && c->ticket) /* half of a record is not one */
        e->streams.txn.failed = true;
    if (c->ticket)
        forget_places(e, l.stream);
    else
        c->ticket = ticket;
    if (!ok) {
        end_pass(l.stream);
        c->done = 0;
        c->failed_ms = e->now_ms + AGAIN_MS;
    } else if (answer->records_len == 0 || c->at > c->end) {
        end_pass(l.stream);
    }
}

static void read_page(struct td_engine *e, struct td_stream *stream)
{
    struct td_compact *c = &stream->compact;
    struct td_place from = place_of(stream, c->at);
    struct td_place to = place_of(stream, c->end + 1);

    c->read = td_read_ask(e, &from, &to, false, UINT32_MAX, PAGE_BYTES, on_page,
                          stream);
    if (!c->read)
        c->failed_ms = e->now_ms + AGAIN_MS;
}

/* ---- passes ---- */

/* The newest record stays as it is. */
static bool is_nothing_before_it(const struct td_stream *stream)
{
    return stream->kept.last_record <= stream->kept.first ||
           stream->kept.last_record <= stream->oldest.from;
}

/* When a pass may begin for the sake of tombstones: not at each one's time. */
static int64_t tombstones_due(struct td_engine *e,
                              const struct td_stream *stream)
{
    const struct td_compact *c = &stream->compact;
    int64_t apart_ms = (int64_t)(stream->options.tombstone_ms / 8);
    int64_t at;

    if (c->due_ms == 0)
        return TD_NEVER;
    at = e->now_ms + c->due_ms - td_engine_unix_ms(e);
    apart_ms = apart_ms > APART_MIN_MS ? apart_ms : APART_MIN_MS;
    return c->swept && at < c->swept_ms + apart_ms ? c->swept_ms + apart_ms
                                                   : at;
}

static bool is_due(struct td_engine *e, const struct td_stream *stream)
{
    const struct td_compact *c = &stream->compact;
    uint64_t names = stream->lasts.count;
    uint64_t seen = c->done > stream->kept.first ? c->done : stream->kept.first;

    return stream->kept.next - seen >=
               (names > EVENTS_MIN ? names : EVENTS_MIN) ||
           tombstones_due(e, stream) <= e->now_ms;
}

static void begin_pass(struct td_engine *e, struct td_stream *stream)
{
    struct td_compact *c = &stream->compact;

    if (tombstones_due(e, stream) <= e->now_ms) {
        c->swept = true;
        c->swept_ms = e->now_ms;
    }
    c->at = stream->oldest.from;
    c->end = stream->kept.last_record;
    c->done = stream->kept.next;
    c->due_ms = 0;
}

/* Returns when to look at it again. */
static int64_t go_on(struct td_engine *e, struct td_stream *stream)
{
    struct td_compact *c = &stream->compact;

    if (c->failed_ms > e->now_ms)
        return c->failed_ms;
    if (c->read || td_compact_is_moving(e, stream))
        return TD_NEVER; /* its answer looks again */
    if (c->at == 0 && is_nothing_before_it(stream))
        c->due_ms = 0; /* nor is there a tombstone */
    else if (c->at == 0 && is_due(e, stream))
        begin_pass(e, stream);
    if (c->at > 0)
        read_page(e, stream);
    if (c->failed_ms > e->now_ms)
        return c->failed_ms;
    return c->at == 0 ? tombstones_due(e, stream) : TD_NEVER;
}

int64_t td_compact_tick(struct td_engine *e)
{
    struct td_streams *st = &e->streams;
    int64_t next = TD_NEVER;

    if (st->loading || st->full || st->stuck || st->broken || e->draining ||
        e->now_ms < st->again_ms)
        return TD_NEVER;
    for (struct td_stream *s = st->all; s; s = s->hh.next) {
        int64_t at = s->options.compact ? go_on(e, s) : TD_NEVER;

        next = at < next ? at : next;
    }
    return next;
}
