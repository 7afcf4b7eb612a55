/* A batch as a record: it gets the stream's next sequences, and who published
 * it is told. */
#include "broker/engine/taking.h"

/* What is full: the stream, or the disk, which has no name here. */
static const struct td_stream *full_one(const struct td_engine *e,
                                        const struct td_stream *stream)
{
    if (td_stream_is_on_disk(stream) && td_commit_refuses(e))
        return NULL;
    return td_retain_is_full(stream) ? stream : NULL;
}

/* Whose name the row has. */
static const struct td_stream *named(const struct td_engine *e,
                                     const struct td_stream *stream,
                                     tidings_err code)
{
    if (code == TIDINGS_EFULL && stream)
        return full_one(e, stream);
    return code ? NULL : stream;
}

/* A row for each run; they are joined where they go on. */
static void tell(struct td_engine *e, const struct td_taking *t,
                 uint64_t ticket, tidings_err code, uint64_t sequence,
                 bool duplicate)
{
    struct td_confirm row = {
        .code = code, .sequence = sequence, .duplicate = duplicate};

    if (!code) /* in memory there is no more to be had */
        row.level =
            td_stream_is_on_disk(t->stream) ? t->level : TD_LEVEL_MEMORY;

    for (uint32_t i = 0; i < t->batch->runs_len && t->level > 0; i++) {
        const struct td_run *run = &t->batch->runs[i];

        row.first = run->first;
        row.count = run->count;
        td_confirm(e, t->session, ticket, named(e, t->stream, code), &row);
        if (!code && row.sequence > 0)
            row.sequence += run->count;
    }
}

void td_taking_refuse(struct td_engine *e, const struct td_taking *t,
                      tidings_err code, uint64_t sequence)
{
    if (t->level > 0) {
        struct td_producer *p = t->session->producer;

        for (uint32_t i = 0; i < t->batch->runs_len; i++) {
            const struct td_run *run = &t->batch->runs[i];

            td_stored_lose(&p->stored, run->first, run->first + run->count - 1);
        }
    }
    tell(e, t, 0, code, sequence, false);
}

void td_taking_note(struct td_engine *e, const struct td_taking *t)
{
    struct td_producer *p = t->session ? t->session->producer : NULL;

    if (!p)
        return;                          /* the broker's own */
    if (td_stream_is_on_disk(t->stream)) /* else there may be no store */
        td_producer_storing(e, p);
    td_prints_add(p, t->batch, t->body->data + t->offset);
    for (uint32_t i = 0; i < t->batch->runs_len; i++) {
        const struct td_run *run = &t->batch->runs[i];

        td_stored_add(&p->stored, run->first, run->first + run->count - 1);
    }
}

/* ---- a record ---- */

/* For those who consume it soon. A body is kept whole, so only for what is most
 * of it. NULL: it will be read. */
static struct td_item *item_of(struct td_engine *e, const struct td_taking *t)
{
    const struct td_batch *batch = t->batch;
    struct td_item *item;
    struct td_body *copy;

    if (td_stream_is_on_disk(t->stream) && !t->stream->consumers)
        return NULL;
    if (batch->bytes >= t->body->len / 2)
        return td_item_new(batch, t->body, t->offset, &e->held_bytes);
    copy = td_body_copy(t->body->data + t->offset, batch->bytes);
    item = copy ? td_item_new(batch, copy, 0, &e->held_bytes) : NULL;
    td_body_unref(copy);
    return item;
}

/* The value before the body; false: no memory. */
static bool pack_head(struct td_engine *e, const struct td_taking *t,
                      int64_t now_ms)
{
    struct td_buf *value = &e->streams.value;
    struct td_record_head head = {
        .events = t->batch->events,
        .previous = t->stream->head.last_record,
        .stored_ms = now_ms,
    };

    td_buf_reset(&e->record_table);
    td_batches_begin(&e->record_table, 1);
    if (t->batch->wire.len > 0)
        td_buf_append(&e->record_table, t->batch->wire.data,
                      t->batch->wire.len);
    else
        td_batch_pack(&e->record_table, t->batch);
    head.table = (struct td_str){(const char *)e->record_table.data,
                                 e->record_table.len};
    td_buf_reset(value);
    td_record_pack(value, &head);
    return !value->failed && !e->record_table.failed;
}

static void number(struct td_stream *stream, const struct td_entry *entry)
{
    struct td_stream_state *head = &stream->head;

    head->last_record = entry->first;
    head->next = entry->first + entry->events;
    head->bytes += entry->bytes;
    head->stored_ms = entry->stored_ms;
    td_entry_add(stream, entry);
}

tidings_err td_taking_record(struct td_engine *e, const struct td_taking *t)
{
    struct td_stream *stream = t->stream;
    bool on_disk = td_stream_is_on_disk(stream);
    struct td_entry entry = {
        .first = stream->head.next,
        .events = t->batch->events,
        .stored_ms = td_engine_unix_ms(e),
    };
    struct td_place key =
        td_place_two(TD_TABLE_RECORD, stream->id, entry.first);
    tidings_err err = on_disk ? td_commit_refuses(e) : TIDINGS_OK;

    if (!err && !pack_head(e, t, entry.stored_ms))
        err = TIDINGS_EFULL;
    entry.bytes = (uint32_t)(e->streams.value.len + t->batch->bytes);
    if (!err && !td_retain_admits(stream, entry.events, entry.bytes)) {
        stream->refused_events = entry.events;
        stream->refused_bytes = entry.bytes;
        err = TIDINGS_EFULL;
    }
    if (err)
        return err;
    entry.item = item_of(e, t);
    if (!on_disk && !entry.item)
        return TIDINGS_EFULL;
    if (entry.item)
        entry.item->sequence = entry.first;
    stream->refused_events = stream->refused_bytes = 0;
    number(stream, &entry);
    td_newest_note(e, stream, t->batch, t->body->data + t->offset, entry.first);
    td_taking_note(e, t);
    td_stream_dirty(e, stream);
    if (!on_disk)
        return TIDINGS_OK;
    td_commit_put(e, &key, &e->streams.value, t->body, t->offset,
                  t->batch->bytes);
    td_commit_raise(e, t->level == TD_LEVEL_DISK ? TD_LEVEL_DISK : TD_LEVEL_OS);
    td_repeat_recorded(e, stream, entry.first);
    return TIDINGS_OK;
}

void td_taking_tell(struct td_engine *e, const struct td_taking *t,
                    uint64_t sequence, bool duplicate)
{
    bool waits = t->level > TD_LEVEL_MEMORY && td_stream_is_on_disk(t->stream);

    tell(e, t, waits ? td_commit_ticket(e) : 0, TIDINGS_OK,
         t->level == TD_LEVEL_MEMORY ? 0 : sequence, duplicate);
}
