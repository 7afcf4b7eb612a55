/* Retention: whole records go, the oldest first. */
#include "broker/engine/internal.h"

#define TRIM_RECORDS_MAX 256u /* in one turn */
#define AGE_TICK_MS      1000

static uint64_t bytes_max(const struct td_stream *stream)
{
    uint64_t max = stream->options.max_bytes;

    return max == 0 && !td_stream_is_on_disk(stream) ? TD_STREAM_MEMORY_BYTES
                                                     : max;
}

static bool is_over_bytes(const struct td_stream *stream, uint64_t bytes)
{
    uint64_t max = bytes_max(stream);

    return max > 0 && stream->head.bytes + bytes > max;
}

/* With so much more in it. */
static bool is_over(const struct td_stream *stream, uint64_t events,
                    uint64_t bytes)
{
    const struct td_stream_state *head = &stream->head;

    return is_over_bytes(stream, bytes) ||
           (stream->options.max_events > 0 &&
            head->next - head->first + events > stream->options.max_events);
}

bool td_retain_admits(const struct td_stream *stream, uint64_t events,
                      uint64_t bytes)
{
    return stream->options.on_full != TD_REJECT ||
           !is_over(stream, events, bytes);
}

bool td_retain_is_full(const struct td_stream *stream)
{
    return !td_retain_admits(stream, stream->refused_events,
                             stream->refused_bytes);
}

static bool is_old(struct td_engine *e, const struct td_stream *stream,
                   int64_t stored_ms)
{
    uint64_t max = stream->options.max_age_ms;

    return max > 0 && td_engine_unix_ms(e) - stored_ms >= (int64_t)max;
}

/* ---- holes ---- */

/* Where the consumer that is furthest behind looks for what it has lost. */
static uint64_t lowest_cursor(const struct td_stream *stream)
{
    const struct td_consumer *c;
    uint64_t lowest = stream->head.next;

    DL_FOREACH2(stream->consumers, c, stream_next)
    {
        if (!c->locating && c->cursor < lowest)
            lowest = c->cursor;
    }
    return lowest;
}

/* The oldest record goes, up to a sequence: what compaction has taken of it
 * nobody loses now. Without memory it counts as lost. */
static void note_hole(struct td_stream *stream, uint64_t end)
{
    struct td_fifo *holes = &stream->holes;
    struct td_hole *hole = td_fifo_back(holes);
    uint64_t first = stream->oldest.first;
    uint64_t lowest;

    if (!stream->oldest.gone || end <= first)
        return;
    if (hole && first <= hole->last + 1) {
        hole->last = end - 1 > hole->last ? end - 1 : hole->last;
        return;
    }
    lowest = lowest_cursor(stream);
    while (holes->len > 0 &&
           (((struct td_hole *)td_fifo_nth(holes, 0))->last < lowest ||
            holes->len >= TD_RETAIN_HOLES_MAX))
        td_fifo_pop(holes, 1);
    hole = td_fifo_push(holes);
    if (hole)
        *hole = (struct td_hole){first, end - 1};
}

/* ---- what goes ---- */

/* Nothing before that sequence is kept. */
static void skip_to(struct td_engine *e, struct td_stream *stream, uint64_t end)
{
    struct td_stream_state *head = &stream->head;

    stream->oldest.from = end;
    stream->oldest.events = 0;
    if (end > head->first)
        head->first = end < head->next ? end : head->next;
    if (head->first == head->next)
        head->bytes = 0; /* whatever was not known of it */
    td_entries_drop(stream, end);
    td_stream_dirty(e, stream);
    td_consumers_wake(e, stream);
}

/* The oldest record goes, and with it what it held from head.first on. */
static void trim(struct td_engine *e, struct td_stream *stream)
{
    struct td_oldest *oldest = &stream->oldest;
    struct td_place key =
        td_place_two(TD_TABLE_RECORD, stream->id, oldest->first);
    struct td_stream_state *head = &stream->head;

    head->bytes -= oldest->bytes < head->bytes ? oldest->bytes : head->bytes;
    if (td_stream_is_on_disk(stream))
        td_commit_delete(e, &key);
    note_hole(stream, oldest->first + oldest->events);
    skip_to(e, stream, oldest->first + oldest->events);
}

/* ---- what is not known is read ---- */

/* Damage: nothing is there. */
static void lose(struct td_engine *e, struct td_stream *stream)
{
    uint64_t from = stream->head.first;

    if (from < stream->trim_to)
        td_log(&e->options.log, TD_LOG_ERROR, "RECORD-DAMAGED",
               "stream %.*s, sequences %llu to %llu cannot be read",
               (int)stream->options.name.len, stream->options.name.data,
               (unsigned long long)from,
               (unsigned long long)(stream->trim_to - 1));
    skip_to(e, stream, stream->trim_to);
}

/* What a record says of itself; it begins at from or later. */
static struct td_oldest look_at(const struct td_record *record, uint64_t from)
{
    struct td_oldest out = {.from = from, .bytes = record->value.len};
    struct td_record_head head;
    uint32_t id;

    if (!td_place_read_two(record->key, TD_TABLE_RECORD, &id, &out.first))
        out.first = from; /* its key is damaged */
    if (record->damaged || !td_record_read(record->value, &head)) {
        out.events = 1; /* how far it went nobody knows */
        return out;
    }
    out.events = head.events;
    out.gone = head.gone;
    out.stored_ms = head.stored_ms;
    return out;
}

static void on_oldest(struct td_engine *e, void *owner,
                      const struct td_store_answer *answer)
{
    struct td_stream *stream = owner;
    uint64_t from = stream->oldest.from;

    stream->trim = NULL;
    if (answer->err) {
        stream->failed_ms = e->now_ms + AGE_TICK_MS;
        return;
    }
    if (stream->options.max_age_ms > 0)
        stream->trim_ms = e->now_ms; /* it is looked at at once */
    if (answer->records_len == 0) {
        lose(e, stream);
        return;
    }
    for (uint32_t i = 0; i < answer->records_len; i++) {
        struct td_oldest found = look_at(&answer->records[i], from);
        struct td_oldest *kept = i ? td_fifo_push(&stream->older) : NULL;

        if (i == 0)
            stream->oldest = found;
        else if (kept)
            *kept = found;
        else
            break; /* no memory: it is read again */
        from = found.first + found.events;
    }
}

/* Many at once: who publishes does not wait, and so does not get ahead. */
static void read_oldest(struct td_engine *e, struct td_stream *stream)
{
    struct td_place from =
        td_place_two(TD_TABLE_RECORD, stream->id, stream->oldest.from);
    struct td_place to =
        td_place_two(TD_TABLE_RECORD, stream->id, stream->kept.next);

    stream->trim_to = stream->kept.next;
    stream->trim = td_read_ask(e, &from, &to, false, TRIM_RECORDS_MAX,
                               TD_READ_BYTES, on_oldest, stream);
    if (!stream->trim)
        stream->failed_ms = e->now_ms + AGE_TICK_MS;
}

/* The next of those that were read with another. */
static bool take_read(struct td_stream *stream)
{
    struct td_oldest next;

    while (stream->older.len > 0) {
        next = *(struct td_oldest *)td_fifo_nth(&stream->older, 0);
        td_fifo_pop(&stream->older, 1);
        if (next.from == stream->oldest.from) {
            stream->oldest = next;
            return true;
        }
    }
    return false;
}

void td_retain_unread(struct td_stream *stream)
{
    td_read_forget(stream->trim);
    stream->trim = NULL;
    stream->oldest.events = 0;
    td_fifo_pop(&stream->older, stream->older.len);
}

/* False: it has to be read first, or there is none. */
static bool find_oldest(struct td_engine *e, struct td_stream *stream)
{
    struct td_oldest *oldest = &stream->oldest;
    const struct td_entry *entry =
        stream->entries.len ? td_fifo_nth(&stream->entries, 0) : NULL;

    if (oldest->events > 0)
        return true;
    if (entry && entry->first > oldest->from && !td_stream_is_on_disk(stream))
        oldest->from = entry->first; /* there is nothing else */
    if (entry && entry->first == oldest->from) {
        oldest->first = entry->first;
        oldest->events = entry->events;
        oldest->gone = false;
        oldest->bytes = entry->bytes;
        oldest->stored_ms = entry->stored_ms;
        return true;
    }
    if (take_read(stream))
        return true;
    if (!stream->trim && !td_compact_is_moving(e, stream) &&
        oldest->from < stream->kept.next && e->now_ms >= stream->failed_ms &&
        td_stream_is_on_disk(stream))
        read_oldest(e, stream);
    return false;
}

/* ---- */

static bool is_hidden(const struct td_stream *stream)
{
    return stream->oldest.first + stream->oldest.events <= stream->head.first;
}

/* Those beyond max_events are hidden, and go with the last of their record. In
 * a stream that is compacted one record after the other, so that it is known
 * what was in them. */
static void hide(struct td_engine *e, struct td_stream *stream)
{
    const struct td_oldest *oldest = &stream->oldest;
    struct td_stream_state *head = &stream->head;
    uint64_t max = stream->options.max_events;
    uint64_t first = head->next - max;

    if (max == 0 || stream->options.on_full != TD_DISCARD_OLD ||
        head->next - head->first <= max)
        return;
    if (stream->options.compact) {
        if (!find_oldest(e, stream))
            return;
        if (oldest->first + oldest->events < first)
            first = oldest->first + oldest->events;
        note_hole(stream, first);
    }
    if (first <= head->first)
        return;
    head->first = first;
    stream->hidden = true;
    td_stream_dirty(e, stream);
    td_consumers_wake(e, stream);
}

static bool is_done(struct td_engine *e, struct td_stream *stream)
{
    bool over =
        stream->options.on_full == TD_DISCARD_OLD && is_over_bytes(stream, 0);

    if (!over && !stream->hidden && stream->options.max_age_ms == 0)
        return true;
    if (!find_oldest(e, stream))
        return true;
    if (is_hidden(stream))
        return false;
    stream->hidden = false;
    /* the newest one stays, however large it is */
    over = over && stream->oldest.first != stream->head.last_record;
    return !over && !is_old(e, stream, stream->oldest.stored_ms);
}

static void retain(struct td_engine *e, struct td_stream *stream)
{
    for (uint32_t n = 0; n < TRIM_RECORDS_MAX; n++) {
        hide(e, stream);
        if (is_done(e, stream))
            return;
        trim(e, stream);
    }
    stream->trim_ms = e->now_ms; /* more in the next turn */
}

int64_t td_retain_tick(struct td_engine *e)
{
    int64_t next = TD_NEVER;

    if (e->streams.loading)
        return TD_NEVER; /* the end of that is a turn of its own */
    if (e->now_ms < e->streams.again_ms)
        return e->streams.again_ms;
    for (struct td_stream *s = e->streams.all; s; s = s->hh.next) {
        bool over = s->options.on_full == TD_DISCARD_OLD && is_over(s, 0, 0);
        bool aged = s->options.max_age_ms > 0 && s->head.first < s->head.next;

        if (s->failed_ms > e->now_ms && s->failed_ms < next)
            next = s->failed_ms;
        bool more = false;

        if (over || s->hidden || (aged && e->now_ms >= s->trim_ms)) {
            s->trim_ms = e->now_ms + AGE_TICK_MS;
            retain(e, s);
            more = s->trim_ms == e->now_ms;
        }
        if ((aged || more) && s->trim_ms < next)
            next = s->trim_ms;
    }
    return next;
}

void td_retain_anew(struct td_stream *stream)
{
    td_retain_unread(stream);
    stream->oldest.from = 1;
    stream->hidden = true; /* perhaps */
}

void td_retain_purge(struct td_engine *e, struct td_stream *stream,
                     uint64_t before)
{
    struct td_stream_state *head = &stream->head;
    struct td_place from = td_place_two(TD_TABLE_RECORD, stream->id, 0);
    struct td_place to = td_place_two(TD_TABLE_RECORD, stream->id + 1, 0);
    struct td_place ids = td_place_two(TD_TABLE_DEDUP, stream->id, 0);
    struct td_place ids_end = td_place_two(TD_TABLE_DEDUP, stream->id + 1, 0);

    if (before >= head->next && stream->dedup.ones.len > 0) {
        /* whoever begins anew may publish them anew */
        head->purged = head->next;
        td_stream_dirty(e, stream);
        td_repeat_wake(e);
        if (td_stream_is_on_disk(stream)) {
            td_commit_delete_range(e, &ids, &ids_end);
            td_commit_raise(e, TD_LEVEL_DISK);
        }
    }
    if (before <= head->first)
        return;
    if (before < head->next) { /* the rest of a record that stays is hidden */
        head->first = before;
        stream->hidden = true;
    } else {
        td_read_forget(stream->trim);
        stream->trim = NULL;
        td_compact_purged(stream);
        skip_to(e, stream, head->next);
        if (td_stream_is_on_disk(stream))
            td_commit_delete_range(e, &from, &to);
    }
    td_stream_dirty(e, stream);
    td_consumers_wake(e, stream);
    if (!td_stream_is_on_disk(stream))
        return;
    td_commit_ticket(e); /* for which whoever asked waits */
    td_commit_raise(e, TD_LEVEL_DISK);
}
