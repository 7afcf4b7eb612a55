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
                 tidings_err code, uint64_t sequence, bool duplicate)
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
        td_confirm(e, t->session, ticket, code ? NULL : t->stream, &row);
        if (!code && row.sequence > 0)
            row.sequence += run->count;
    }
}

static void refuse(struct td_engine *e, const struct taking *t,
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

/* Why it has not the stream's next sequences; 0: it has. Nobody is told. */
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
    td_newest_note(e, stream, t->batch, t->body->data + t->offset, entry.first);
    note_stored(e, t);
    td_stream_dirty(e, stream);
    if (!on_disk)
        return TIDINGS_OK;
    td_commit_put(e, &key, &e->streams.value, t->body, t->offset,
                  t->batch->bytes);
    td_commit_raise(e, t->level == TD_LEVEL_DISK ? TD_LEVEL_DISK : TD_LEVEL_OS);
    td_repeat_recorded(e, stream, entry.first);
    return TIDINGS_OK;
}

/* It is in the stream, under these sequences, when the turn's transaction is
 * written. */
static void tell_stored(struct td_engine *e, const struct taking *t,
                        uint64_t sequence, bool duplicate)
{
    bool waits = t->level > TD_LEVEL_MEMORY && td_stream_is_on_disk(t->stream);

    tell(e, t, waits ? td_commit_ticket(e) : 0, TIDINGS_OK,
         t->level == TD_LEVEL_MEMORY ? 0 : sequence, duplicate);
}

static void record_all(struct td_engine *e, const struct taking *t)
{
    uint64_t first = t->stream->head.next;
    tidings_err err = record(e, t);

    if (err)
        refuse(e, t, err, 0);
    else
        tell_stored(e, t, first, false);
}

/* ---- what the stream has already ---- */

/* The next new parts of a sifted batch, as many as one record holds: their runs
 * in e->pieces, their bytes at the end of *to. False: there are none. */
static bool gather_new(struct td_engine *e, struct td_repeat_walk *walk,
                       const uint8_t *body, struct td_batch *out, uint8_t **to)
{
    struct td_repeat_part next;

    out->wire = (struct td_str){NULL, 0};
    out->runs = e->pieces;
    out->runs_len = out->events = out->bytes = 0;
    while (out->runs_len < TD_RUNS_MAX && td_repeat_next(e, walk, &next)) {
        if (next.stored)
            continue;
        e->pieces[out->runs_len++] = next.run;
        out->events += next.run.count;
        out->bytes += next.run.bytes;
        memcpy(*to, body + next.offset, next.run.bytes);
        *to += next.run.bytes;
    }
    return out->runs_len > 0;
}

/* Of a sifted batch what is new is recorded: in several records, if it is in
 * very many pieces. After one that is refused all are. */
static tidings_err record_new(struct td_engine *e, const struct taking *t)
{
    const uint8_t *data = t->body->data + t->offset;
    struct td_repeat_walk walk = td_repeat_walk(t->stream, t->batch, data);
    struct td_batch part = *t->batch;
    struct taking rest = *t;
    tidings_err err = TIDINGS_OK;
    uint8_t *to;

    rest.batch = &part;
    rest.body = td_body_new(t->batch->bytes, &to);
    rest.offset = 0;
    if (!rest.body)
        return TIDINGS_EFULL;
    while (!err && gather_new(e, &walk, data, &part, &to)) {
        err = record(e, &rest);
        rest.offset += part.bytes;
    }
    td_body_unref(rest.body);
    return err;
}

/* It is stored as of now, and as well as was asked for: that of which it is a
 * repeat is in this transaction at the latest. */
static void note_repeated(struct td_engine *e, const struct taking *t)
{
    t->stream->repeats += t->batch->events;
    note_stored(e, t);
    if (td_stream_is_on_disk(t->stream))
        td_commit_raise(e, t->level == TD_LEVEL_DISK ? TD_LEVEL_DISK
                                                     : TD_LEVEL_OS);
}

/* Of a sifted batch each part, in order: what has a sequence now is stored. */
static void tell_parts(struct td_engine *e, const struct taking *t,
                       struct td_repeat_walk walk, tidings_err err)
{
    struct td_repeat_part next;

    while (td_repeat_next(e, &walk, &next)) {
        struct td_batch one = *t->batch;
        struct taking part = *t;

        one.runs = &next.run;
        one.runs_len = 1;
        one.events = next.run.count;
        one.bytes = next.run.bytes;
        part.batch = &one;
        part.offset = t->offset + next.offset;
        if (next.sequence >= t->stream->head.next) {
            refuse(e, &part, err, 0);
            continue;
        }
        if (next.stored)
            note_repeated(e, &part);
        tell_stored(e, &part, next.sequence, next.stored);
    }
}

/* 0: sifted: e->streams.repeats. */
static tidings_err sift(struct td_engine *e, const struct taking *t)
{
    tidings_err err =
        td_stream_is_on_disk(t->stream) ? td_commit_refuses(e) : TIDINGS_OK;

    if (!err &&
        !td_repeat_sift(e, t->stream, t->batch, t->body->data + t->offset))
        err = TIDINGS_EFULL;
    if (err)
        td_dedup_cut(&t->stream->dedup, t->stream->head.next);
    return err;
}

/* Why what is new of it was not recorded. Who published it is told. */
static tidings_err record_sifted(struct td_engine *e, const struct taking *t)
{
    struct td_stream *stream = t->stream;
    struct td_repeat_walk walk =
        td_repeat_walk(stream, t->batch, t->body->data + t->offset);
    tidings_err err = sift(e, t);

    if (err) {
        refuse(e, t, err, 0);
        return err;
    }
    err = e->streams.repeats.len > 0 ? record_new(e, t) : record(e, t);
    td_dedup_cut(&stream->dedup, stream->head.next);
    tell_parts(e, t, walk, err);
    return err;
}

tidings_err td_append_own(struct td_engine *e, struct td_stream *stream,
                          const struct td_batch *batch, struct td_body *body,
                          size_t offset)
{
    const struct taking t = {NULL, stream, batch, body, offset, 0};

    return td_repeat_may_be(stream, batch) ? record_sifted(e, &t)
                                           : record(e, &t);
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
    if (!t->stream)
        refuse(e, t, TIDINGS_ENOSTREAM, 0);
    else if (td_repeat_may_be(t->stream, t->batch))
        record_sifted(e, t);
    else
        record_all(e, t);
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

/* Whether all of it is there already: EEXIST, and told; a part: ECONFLICT. */
static tidings_err judge_repeats(struct td_engine *e, const struct taking *t)
{
    const uint8_t *data = t->body->data + t->offset;
    struct td_stream *stream = t->stream;
    struct td_repeat_walk walk = td_repeat_walk(stream, t->batch, data);
    tidings_err err = sift(e, t);
    uint32_t events;

    events = td_repeat_events(e);
    td_dedup_cut(&stream->dedup, stream->head.next);
    if (err || events == 0)
        return err;
    if (events < t->batch->events)
        return TIDINGS_ECONFLICT;
    tell_parts(e, t, walk, TIDINGS_OK);
    return TIDINGS_EEXIST;
}

/* 0: it may be stored. *actual: what there is instead of what is expected. */
static tidings_err judge(struct td_engine *e, const struct taking *t,
                         const struct td_condition *condition, uint64_t *actual)
{
    const struct td_stream *stream = t->stream;
    tidings_err err = TIDINGS_OK;

    if (!is_one(e, t->batch->runs_len))
        return TIDINGS_EINVAL;
    if (!stream)
        return TIDINGS_ENOSTREAM;
    *actual = stream->head.next - 1;
    if (td_repeat_may_be(stream, t->batch))
        err = judge_repeats(e, t);
    if (err)
        return err;
    if (condition->of_key)
        return td_newest_judge(stream, t->batch, t->body->data + t->offset,
                               condition->expected, actual);
    return condition->expects && condition->expected != *actual
               ? TIDINGS_ECONFLICT
               : TIDINGS_OK;
}

tidings_err td_append_judge(struct td_engine *e, struct td_session *s,
                            const struct td_batch *batch, struct td_body *body,
                            size_t offset, unsigned level,
                            const struct td_condition *condition)
{
    struct taking t = {s, NULL, batch, body, offset, level};
    uint64_t actual = 0;
    tidings_err code;

    for (uint32_t i = 0; i < batch->runs_len; i++) {
        struct td_route *route =
            td_routes_find(&e->routes, &e->trie, batch->runs[i].type);

        e->taking[i] = route ? td_stream_of(e, route) : NULL;
    }
    t.stream = e->taking[0];
    code = judge(e, &t, condition, &actual);
    if (code && code != TIDINGS_EEXIST)
        refuse(e, &t, code, code == TIDINGS_ECONFLICT ? actual : 0);
    return code;
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
