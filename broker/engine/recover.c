/* A stream whose state cannot be read: what its records, and what groups know
 * of it, say. All of its records are read, once: a stream that is full can be
 * large, but its state is seldom lost, and numbers that were used must not be
 * used again. */
#include "broker/engine/internal.h"

static void on_page(struct td_engine *e, void *owner,
                    const struct td_store_answer *answer);

static void ask(struct td_engine *e, struct td_stream *stream, uint64_t from)
{
    struct td_place first = td_place_two(TD_TABLE_RECORD, stream->id, from);
    struct td_place end = td_place_two(TD_TABLE_RECORD, stream->id + 1, 0);

    if (!td_read_ask(e, &first, &end, false, UINT32_MAX, TD_READ_BYTES, on_page,
                     stream))
        td_load_end(e, TIDINGS_ENOMEM);
}

/* Which events were the newest of their names was lost with the state. */
static void check_names(struct td_engine *e, struct td_stream *stream,
                        uint64_t first, const struct td_record_head *record)
{
    const char *why;

    if (record->gone)
        return;
    if (!td_scan(record->table.data, record->table.len, &td_scan_control) ||
        td_batches_read(&e->batches, record->table, record->body.len, &why) ||
        e->batches.len != 1 || e->batches.events != record->events) {
        stream->head.indexed = first + record->events;
        return;
    }
    td_newest_check(stream, &e->batches.batch[0],
                    (const uint8_t *)record->body.data, first);
}

/* How far one that is damaged went nobody knows: as far as it can have. */
static void add(struct td_engine *e, struct td_stream *stream, uint64_t first,
                const struct td_record *record)
{
    struct td_stream_state *head = &stream->head;
    struct td_record_head known;
    bool damaged = record->damaged || !td_record_read(record->value, &known);

    if (head->last_record == 0)
        head->first = first;
    head->last_record = first;
    head->next = first + (damaged ? TD_EVENTS_MAX : known.events);
    head->bytes += record->value.len;
    if (damaged) {
        head->indexed = head->next;
        return;
    }
    head->stored_ms = known.stored_ms;
    check_names(e, stream, first, &known);
}

/* Nothing is there any more. What was settled was, and what had an id; bits are
 * kept by the chunk, and where its last one stands does not matter. */
static uint64_t known_up_to(const struct td_stream *stream)
{
    const struct td_consumer *c;
    const struct td_dedup *d = &stream->dedup;
    uint64_t end = 1;

    if (d->ones.len > 0)
        end = td_dedup_nth(d, d->ones.len - 1)->sequence + 1;
    DL_FOREACH2(stream->consumers, c, stream_next)
    {
        if (c->settled.floor > end)
            end = c->settled.floor;
        for (const struct td_chunk *chunk = c->settled.chunks; chunk;
             chunk = chunk->hh.next) {
            if ((chunk->number + 1) * TD_CHUNK_EVENTS > end)
                end = (chunk->number + 1) * TD_CHUNK_EVENTS;
        }
    }
    return end;
}

static void found(struct td_engine *e, struct td_stream *stream)
{
    if (stream->head.last_record == 0)
        stream->head.first = stream->head.next = known_up_to(stream);
    stream->kept = stream->head;
    stream->stated = true;
    stream->hidden = stream->head.first < stream->head.next;
    td_stream_dirty(e, stream);
    td_log(&e->options.log, TD_LOG_WARN, "STREAM-RECOVERED",
           "stream %.*s: its state was made anew from its records, it goes on "
           "with sequence %llu",
           (int)stream->options.name.len, stream->options.name.data,
           (unsigned long long)stream->head.next);
    td_recover(e);
}

static void on_page(struct td_engine *e, void *owner,
                    const struct td_store_answer *answer)
{
    struct td_stream *stream = owner;
    uint64_t first = 0;
    uint32_t id;

    if (answer->err) {
        td_load_end(e, answer->err);
        return;
    }
    for (uint32_t i = 0; i < answer->records_len; i++) {
        const struct td_record *record = &answer->records[i];

        if (td_place_read_two(record->key, TD_TABLE_RECORD, &id, &first))
            add(e, stream, first, record);
    }
    if (answer->more && answer->records_len > 0)
        ask(e, stream, first + 1);
    else
        found(e, stream);
}

void td_recover(struct td_engine *e)
{
    struct td_stream *stream = e->streams.all;

    while (stream && stream->stated)
        stream = stream->hh.next;
    if (stream)
        ask(e, stream, 0);
    else
        td_load_end(e, TIDINGS_OK);
}
