/* Events that their stream has already: those whose publisher chose their id,
 * with the source and id of one in the stream's window. In the store, a record
 * with such events has a row of them beside it, written and lost with it; what
 * was trimmed off the window, rows of the store's beginning, goes later. */
#include "broker/engine/internal.h"

#include <string.h>

#define TICK_MS 1000

/* ---- who an event is ---- */

#define TEXT_BYTES (TD_SOURCE_BYTES_MAX + 1u + TD_ID_BYTES_MAX)

/* Source, NUL, id: the source of the batch stands there for all of them. */
struct text {
    char bytes[TEXT_BYTES];
    size_t source_len; /* with the NUL */
};

static bool begin_text(struct text *text, struct td_str source)
{
    if (source.len > TD_SOURCE_BYTES_MAX)
        return false;
    memcpy(text->bytes, source.data, source.len);
    text->bytes[source.len] = '\0';
    text->source_len = source.len + 1;
    return true;
}

/* What it chose itself; NULL: nothing. */
static void read_own(struct td_str attrs, struct td_str *id,
                     struct td_str *source)
{
    struct td_reader r = td_reader_of(attrs.data, attrs.len);
    struct td_str key;
    struct td_str value;
    uint32_t pairs;

    if (!td_read_map(&r, &pairs))
        return;
    while (pairs-- > 0 && td_read_str(&r, &key)) {
        if (key.len == 2 && memcmp(key.data, "id", 2) == 0)
            (void)td_read_str(&r, id);
        else if (key.len == 6 && memcmp(key.data, "source", 6) == 0)
            (void)td_read_str(&r, source);
        else if (!td_read_raw(&r, &value))
            return;
    }
}

/* The next event at *p: its hash; false: it has no id of its own, whatever its
 * run says. */
static bool identify(uint8_t hash[TD_DEDUP_HASH_BYTES],
                     const struct text *of_batch, const uint8_t **p,
                     const uint8_t *end)
{
    struct text text;
    struct td_event event;
    struct td_str source = {NULL, 0};
    struct td_str id = {NULL, 0};

    if (!td_event_open(&event, p, end) || event.attrs.len == 0)
        return false;
    read_own(event.attrs, &id, &source);
    if (id.len == 0 || id.len > TD_ID_BYTES_MAX)
        return false;
    if (source.data) {
        if (!begin_text(&text, source))
            return false;
    } else {
        text.source_len = of_batch->source_len;
        memcpy(text.bytes, of_batch->bytes, text.source_len);
    }
    memcpy(text.bytes + text.source_len, id.data, id.len);
    td_dedup_hash(hash, (struct td_str){text.bytes, text.source_len + id.len});
    return true;
}

/* ---- finding them ---- */

bool td_repeat_may_be(const struct td_stream *stream,
                      const struct td_batch *batch)
{
    if (stream->dedup.window_ms == 0)
        return false;
    for (uint32_t i = 0; i < batch->runs_len; i++) {
        if (batch->runs[i].flags & TD_RUN_ID)
            return true;
    }
    return false;
}

uint32_t td_repeat_events(const struct td_engine *e)
{
    const struct td_fifo *repeats = &e->streams.repeats;
    uint32_t events = 0;

    for (uint32_t i = 0; i < repeats->len; i++)
        events += ((struct td_repeat *)td_fifo_nth(repeats, i))->count;
    return events;
}

/* The nth event; joins: it may go on with what the last one began. */
static bool found(struct td_engine *e, uint32_t nth, uint64_t sequence,
                  bool joins)
{
    struct td_repeat *last = td_fifo_back(&e->streams.repeats);

    if (joins && last && last->nth + last->count == nth &&
        last->sequence + last->count == sequence) {
        last->count++;
        return true;
    }
    last = td_fifo_push(&e->streams.repeats);
    if (last)
        *last = (struct td_repeat){nth, 1, sequence};
    return last;
}

/* What a run is sifted with. */
struct sieve {
    struct td_engine *e;
    struct td_stream *stream;
    struct text text;
    int64_t now_ms;
    uint32_t nth;  /* of the batch's events */
    uint64_t next; /* sequence of the next new one */
};

/* Events that are looked at together, so that memory is waited for once. */
#define BLOCK 32u

struct block {
    uint8_t hash[BLOCK][TD_DEDUP_HASH_BYTES];
    bool has_id[BLOCK];
};

static void identify_all(const struct sieve *s, struct block *block,
                         uint32_t events, const uint8_t **p, const uint8_t *end)
{
    for (uint32_t i = 0; i < events; i++) {
        block->has_id[i] = identify(block->hash[i], &s->text, p, end);
        if (block->has_id[i])
            td_dedup_expect(&s->stream->dedup, block->hash[i]);
    }
}

/* hash NULL: it has no id. first: of its run. */
static bool sift_one(struct sieve *s, const uint8_t *hash, bool first)
{
    struct td_dedup *d = &s->stream->dedup;
    struct td_dedup_one one = {.sequence = s->next, .stored_ms = s->now_ms};
    const struct td_dedup_one *there =
        hash ? td_dedup_find(d, hash, s->stream->head.purged, s->now_ms) : NULL;

    if (there)
        /* what is stored, and what is only to be, may fare differently */
        return found(s->e, s->nth++, there->sequence,
                     !first && there->sequence != s->stream->head.next);
    if (hash) {
        memcpy(one.hash, hash, sizeof(one.hash));
        if (!td_dedup_add(d, &one))
            return false;
    }
    s->nth++;
    s->next++;
    return true;
}

static bool sift_run(struct sieve *s, const struct td_run *run,
                     const uint8_t *data)
{
    const uint8_t *end = data + run->bytes;
    struct block block;
    uint32_t events;

    for (uint32_t at = 0; at < run->count; at += events) {
        events = run->count - at < BLOCK ? run->count - at : BLOCK;
        identify_all(s, &block, events, &data, end);
        for (uint32_t i = 0; i < events; i++) {
            if (!sift_one(s, block.has_id[i] ? block.hash[i] : NULL,
                          at + i == 0))
                return false;
        }
    }
    return true;
}

bool td_repeat_sift(struct td_engine *e, struct td_stream *stream,
                    const struct td_batch *batch, const uint8_t *data)
{
    struct sieve s = {.e = e,
                      .stream = stream,
                      .now_ms = td_engine_unix_ms(e),
                      .next = stream->head.next};
    struct td_dedup *d = &stream->dedup;

    td_dedup_trim(d, &stream->kept, s.now_ms);
    if (d->ones.len == 0 || d->stale)
        td_repeat_wake(e);
    td_fifo_pop(&e->streams.repeats, e->streams.repeats.len);
    if (!begin_text(&s.text, batch->source))
        return true; /* it cannot be */
    for (uint32_t i = 0; i < batch->runs_len; i++) {
        const struct td_run *run = &batch->runs[i];

        if (!(run->flags & TD_RUN_ID)) {
            s.nth += run->count;
            s.next += run->count;
        } else if (!sift_run(&s, run, data)) {
            return false;
        }
        data += run->bytes;
    }
    return true;
}

/* ---- parts ---- */

struct td_repeat_walk td_repeat_walk(const struct td_stream *stream,
                                     const struct td_batch *batch,
                                     const uint8_t *data)
{
    return (struct td_repeat_walk){
        .batch = batch, .data = data, .next = stream->head.next};
}

bool td_repeat_next(struct td_engine *e, struct td_repeat_walk *walk,
                    struct td_repeat_part *out)
{
    const struct td_fifo *repeats = &e->streams.repeats;
    const struct td_repeat *repeat =
        walk->repeat < repeats->len ? td_fifo_nth(repeats, walk->repeat) : NULL;
    const uint8_t *at = walk->data + walk->offset;
    const uint8_t *end;

    if (walk->left.count == 0) {
        if (walk->run == walk->batch->runs_len)
            return false;
        walk->left = walk->batch->runs[walk->run++];
    }
    out->run = walk->left;
    out->offset = walk->offset;
    out->stored = repeat && repeat->nth == walk->nth;
    if (out->stored) {
        out->run.count = repeat->count;
        out->sequence = repeat->sequence;
        walk->repeat++;
    } else {
        if (repeat && repeat->nth - walk->nth < out->run.count)
            out->run.count = repeat->nth - walk->nth;
        out->sequence = walk->next;
        walk->next += out->run.count;
    }
    end = out->run.count < walk->left.count
              ? td_events_skip(at, at + walk->left.bytes, out->run.count)
              : NULL;
    if (end)
        out->run.bytes = (uint32_t)(end - at);
    walk->left.first += out->run.count;
    walk->left.count -= out->run.count;
    walk->left.bytes -= out->run.bytes;
    walk->offset += out->run.bytes;
    walk->nth += out->run.count;
    return true;
}

/* ---- the store ---- */

void td_repeat_recorded(struct td_engine *e, struct td_stream *stream,
                        uint64_t first)
{
    struct td_dedup *d = &stream->dedup;
    struct td_place key = td_place_two(TD_TABLE_DEDUP, stream->id, first);
    struct td_buf *value = &e->streams.value;
    uint32_t from = td_dedup_at(d, first);
    uint32_t to = td_dedup_at(d, stream->head.next);

    if (from == to || !td_stream_is_on_disk(stream))
        return;
    td_buf_reset(value);
    td_dedup_row_begin(value, td_dedup_nth(d, from)->stored_ms);
    for (uint32_t i = from; i < to; i++) {
        const struct td_dedup_one *one = td_dedup_nth(d, i);

        td_dedup_row_add(value, (uint32_t)(one->sequence - first), one->hash);
    }
    td_commit_put(e, &key, value, NULL, 0, 0);
    if (!td_dedup_add_row(d, first))
        e->streams.txn.failed = true;
}

tidings_err td_repeat_load(struct td_engine *e, struct td_stream *stream,
                           uint64_t first, const struct td_dedup_row *row)
{
    struct td_dedup *d = &stream->dedup;
    uint32_t len = (uint32_t)(row->rows.len / TD_DEDUP_ROW_BYTES);
    int64_t now_ms = td_engine_unix_ms(e);
    struct td_dedup_one one = {
        .stored_ms = row->stored_ms < now_ms ? row->stored_ms : now_ms};
    uint32_t place;

    if (d->window_ms == 0) { /* it had one, and the row is to go */
        d->stale = true;
        td_repeat_wake(e);
        return TIDINGS_OK;
    }
    (void)td_dedup_row_nth(row, len - 1, &place);
    if (place >= TD_EVENTS_MAX || first > INT64_MAX ||
        (stream->stated && first + place >= stream->head.next))
        return TIDINGS_EIO;
    if (d->ones.len > 0 && td_dedup_nth(d, d->ones.len - 1)->sequence >= first)
        return TIDINGS_EIO; /* this one lies, or the one before it */
    if (!td_dedup_add_row(d, first))
        return TIDINGS_ENOMEM;
    for (uint32_t i = 0; i < len; i++) {
        memcpy(one.hash, td_dedup_row_nth(row, i, &place), sizeof(one.hash));
        one.sequence = first + place;
        if (!td_dedup_add(d, &one))
            return TIDINGS_ENOMEM;
    }
    td_dedup_trim(d, &stream->kept, now_ms);
    td_repeat_wake(e);
    return TIDINGS_OK;
}

/* ---- time ---- */

void td_repeat_wake(struct td_engine *e)
{
    if (e->streams.dedup_ms > e->now_ms + TICK_MS)
        e->streams.dedup_ms = e->now_ms + TICK_MS;
}

/* Rows of what is not in the window any more. */
static void delete_rows(struct td_engine *e, struct td_stream *stream)
{
    struct td_dedup *d = &stream->dedup;
    struct td_place from = td_place_two(TD_TABLE_DEDUP, stream->id, 0);
    uint64_t first = d->rows.len > 0 ? *(uint64_t *)td_fifo_nth(&d->rows, 0)
                                     : stream->head.next;
    struct td_place to = td_place_two(TD_TABLE_DEDUP, stream->id, first);

    if (!d->stale || e->streams.broken || e->streams.stuck)
        return;
    if (td_stream_is_on_disk(stream))
        td_commit_delete_range(e, &from, &to);
    d->stale = false;
}

/* Until the first of them is too old; never 0. */
static int64_t ms_left(const struct td_dedup *d, int64_t unix_ms)
{
    int64_t age_ms = unix_ms - td_dedup_nth(d, 0)->stored_ms;
    uint64_t left = d->window_ms - (age_ms > 0 ? (uint64_t)age_ms : 0);

    return left < TICK_MS       ? TICK_MS
           : left > TD_DEDUP_MS ? TD_DEDUP_MS
                                : (int64_t)left;
}

int64_t td_repeat_tick(struct td_engine *e)
{
    struct td_streams *st = &e->streams;
    int64_t unix_ms;

    if (st->loading)
        return TD_NEVER; /* rows that are not read yet are not stale */
    if (e->now_ms < st->dedup_ms)
        return st->dedup_ms;
    st->dedup_ms = TD_NEVER;
    unix_ms = td_engine_unix_ms(e);
    for (struct td_stream *s = st->all; s; s = s->hh.next) {
        int64_t ms;

        td_dedup_trim(&s->dedup, &s->kept, unix_ms);
        delete_rows(e, s);
        if (s->dedup.ones.len == 0 && !s->dedup.stale)
            continue;
        ms = s->dedup.stale ? TICK_MS : ms_left(&s->dedup, unix_ms);
        if (e->now_ms + ms < st->dedup_ms)
            st->dedup_ms = e->now_ms + ms;
    }
    return st->dedup_ms;
}
