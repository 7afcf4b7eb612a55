/* From a batch to records: what each stream takes of it is one record, and gets
 * the stream's next sequences. */
#include "broker/engine/internal.h"

#include <string.h>

/* What is at hand: a batch, or the part of it that one stream takes. */
struct taking {
    struct td_session *session;
    struct td_stream *stream;
    const struct td_batch *batch;
    struct td_body *body;
    size_t offset;
    unsigned level;
};

/* ---- what becomes of it ---- */

/* A row for each run; they are joined where they go on. */
static void tell(struct td_engine *e, const struct taking *t, uint64_t ticket,
                 tidings_err code, uint64_t sequence)
{
    struct td_confirm row = {.code = code, .sequence = sequence};

    if (!code) /* in memory there is no more to be had */
        row.level =
            td_stream_is_on_disk(t->stream) ? t->level : TD_LEVEL_MEMORY;

    for (uint32_t i = 0; i < t->batch->runs_len && t->level > 0; i++) {
        const struct td_run *run = &t->batch->runs[i];

        row.first = run->first;
        row.count = run->count;
        td_confirm(e, t->session, ticket, code ? NULL : t->stream, &row);
        if (!code && row.sequence > 0)
            row.sequence += run->count;
    }
}

static void refuse(struct td_engine *e, const struct taking *t,
                   tidings_err code, uint64_t sequence)
{
    struct td_producer *p = t->session->producer;

    if (t->level > 0) {
        for (uint32_t i = 0; i < t->batch->runs_len; i++) {
            const struct td_run *run = &t->batch->runs[i];

            td_stored_lose(&p->stored, run->first, run->first + run->count - 1);
        }
    }
    tell(e, t, 0, code, sequence);
}

static void note_stored(struct td_engine *e, const struct taking *t)
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
static struct td_item *item_of(struct td_engine *e, const struct taking *t)
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
static bool pack_head(struct td_engine *e, const struct taking *t,
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

/* Why it was not; 0: it was. */
static tidings_err record(struct td_engine *e, const struct taking *t)
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
    if (!err && !td_retain_admits(stream, entry.events, entry.bytes))
        err = TIDINGS_EFULL;
    if (err)
        return err;
    entry.item = item_of(e, t);
    if (!on_disk && !entry.item)
        return TIDINGS_EFULL;
    if (entry.item)
        entry.item->sequence = entry.first;
    number(stream, &entry);
    note_stored(e, t);
    td_stream_dirty(e, stream);
    if (!on_disk) {
        tell(e, t, 0, TIDINGS_OK,
             t->level == TD_LEVEL_MEMORY ? 0 : entry.first);
        return TIDINGS_OK;
    }
    td_commit_put(e, &key, &e->streams.value, t->body, t->offset,
                  t->batch->bytes);
    td_commit_raise(e, t->level == TD_LEVEL_DISK ? TD_LEVEL_DISK : TD_LEVEL_OS);
    if (t->level == TD_LEVEL_MEMORY)
        tell(e, t, 0, TIDINGS_OK, 0);
    else
        tell(e, t, td_commit_ticket(e), TIDINGS_OK, entry.first);
    return TIDINGS_OK;
}

tidings_err td_append_own(struct td_engine *e, struct td_stream *stream,
                          const struct td_batch *batch, struct td_body *body,
                          size_t offset)
{
    return record(e, &(struct taking){NULL, stream, batch, body, offset, 0});
}

/* ---- who takes what ---- */

/* The runs that one stream takes, gathered; NULL: no memory. */
static struct td_body *gather(struct td_engine *e, const struct taking *all,
                              struct td_batch *part)
{
    const struct td_batch *batch = all->batch;
    struct td_body *body;
    size_t at = all->offset;
    uint8_t *to;

    *part = *batch;
    part->wire = (struct td_str){NULL, 0};
    part->runs = e->slice;
    part->runs_len = part->events = part->bytes = 0;
    for (uint32_t i = 0; i < batch->runs_len; i++) {
        if (e->taking[i] != all->stream)
            continue;
        e->slice[part->runs_len++] = batch->runs[i];
        part->events += batch->runs[i].count;
        part->bytes += batch->runs[i].bytes;
    }
    body = td_body_new(part->bytes, &to);
    for (uint32_t i = 0; i < batch->runs_len && body; i++) {
        if (e->taking[i] == all->stream) {
            memcpy(to, all->body->data + at, batch->runs[i].bytes);
            to += batch->runs[i].bytes;
        }
        at += batch->runs[i].bytes;
    }
    return body;
}

static void take(struct td_engine *e, const struct taking *t)
{
    tidings_err err = t->stream ? record(e, t) : TIDINGS_ENOSTREAM;

    if (err)
        refuse(e, t, err, 0);
}

static void take_part(struct td_engine *e, const struct taking *all)
{
    struct taking t = *all;
    struct td_batch part;
    struct td_body *body = gather(e, all, &part);

    t.batch = &part;
    t.body = body;
    t.offset = 0;
    if (body)
        take(e, &t);
    else
        refuse(e, &t, TIDINGS_EFULL, 0);
    td_body_unref(body);
}

/* The first run that is taken by another stream than the first. */
static bool is_one(const struct td_engine *e, uint32_t runs)
{
    for (uint32_t i = 1; i < runs; i++) {
        if (e->taking[i] != e->taking[0])
            return false;
    }
    return true;
}

static bool was_taken(const struct td_engine *e, uint32_t run)
{
    for (uint32_t i = 0; i < run; i++) {
        if (e->taking[i] == e->taking[run])
            return true;
    }
    return false;
}

void td_append(struct td_engine *e, struct td_session *s,
               const struct td_batch *batch, struct td_body *body,
               size_t offset, unsigned level)
{
    struct taking t = {s, e->taking[0], batch, body, offset, level};

    if (is_one(e, batch->runs_len)) {
        if (t.stream || level > 0)
            take(e, &t);
        return;
    }
    for (uint32_t i = 0; i < batch->runs_len; i++) {
        t.stream = e->taking[i];
        if (!was_taken(e, i) && (t.stream || level > 0))
            take_part(e, &t);
    }
}

/* ---- conditions ---- */

/* 0: it may be stored. */
static tidings_err judge(const struct td_engine *e,
                         const struct td_batch *batch,
                         const struct td_condition *condition)
{
    const struct td_stream *stream = e->taking[0];

    if (!is_one(e, batch->runs_len))
        return TIDINGS_EINVAL;
    if (!stream)
        return TIDINGS_ENOSTREAM;
    return condition->expects && condition->expected != stream->head.next - 1
               ? TIDINGS_ECONFLICT
               : TIDINGS_OK;
}

bool td_append_judge(struct td_engine *e, struct td_session *s,
                     const struct td_batch *batch, unsigned level,
                     const struct td_condition *condition)
{
    const struct taking t = {.session = s, .batch = batch, .level = level};
    tidings_err code;

    for (uint32_t i = 0; i < batch->runs_len; i++) {
        struct td_route *route =
            td_routes_find(&e->routes, &e->trie, batch->runs[i].type);

        e->taking[i] = route ? td_stream_of(e, route) : NULL;
    }
    code = judge(e, batch, condition);
    if (code == TIDINGS_ECONFLICT)
        refuse(e, &t, code, e->taking[0]->head.next - 1);
    else if (code)
        refuse(e, &t, code, 0);
    return code == TIDINGS_OK;
}

/* ---- what had been taken before ---- */

static void append_run(struct td_engine *e, struct td_session *s,
                       const struct td_batch *batch, struct td_body *body,
                       size_t offset, const struct td_run *run, unsigned level)
{
    struct td_batch one = *batch;
    struct td_route *route = td_routes_find(&e->routes, &e->trie, run->type);
    struct taking t = {s, NULL, &one, body, offset, level};

    one.wire = (struct td_str){NULL, 0};
    one.runs = run;
    one.runs_len = 1;
    one.events = run->count;
    one.bytes = run->bytes;
    if (route)
        t.stream = td_stream_of(e, route);
    take(e, &t);
}

/* Those of a run that are stored are confirmed again, the others stored. */
static void run_again(struct td_engine *e, struct td_session *s,
                      const struct td_batch *batch, struct td_body *body,
                      size_t offset, struct td_run run, unsigned level)
{
    while (run.count > 0) {
        const uint8_t *data = body->data + offset;
        struct td_again again = td_again_of(s->producer, &run, data);
        struct td_run part = run;
        const uint8_t *end;

        part.count = again.events;
        end = td_events_skip(data, data + run.bytes, part.count);
        if (!end)
            return; /* it lies, where bodies are not walked */
        part.bytes = (uint32_t)(end - data);
        if (again.stored) {
            const struct td_confirm row = {.first = part.first,
                                           .count = part.count,
                                           .code = again.code,
                                           .level = again.code ? 0 : level,
                                           .duplicate = !again.code};

            td_confirm(e, s, td_commit_last(e), NULL, &row);
        } else {
            append_run(e, s, batch, body, offset, &part, level);
        }
        run.first += part.count;
        run.count -= part.count;
        run.bytes -= part.bytes;
        offset += part.bytes;
    }
}

void td_append_again(struct td_engine *e, struct td_session *s,
                     const struct td_batch *batch, struct td_body *body,
                     size_t offset, uint64_t taken, unsigned level)
{
    for (uint32_t i = 0; i < batch->runs_len; i++) {
        struct td_run run = batch->runs[i];
        const uint8_t *data = body->data + offset;
        const uint8_t *end;

        if (run.first > taken)
            return;
        if (run.first + run.count - 1 > taken)
            run.count = (uint32_t)(taken - run.first + 1);
        end = td_events_skip(data, data + run.bytes, run.count);
        if (!end)
            return;
        run.bytes = (uint32_t)(end - data);
        run_again(e, s, batch, body, offset, run, level);
        offset += batch->runs[i].bytes;
    }
}
