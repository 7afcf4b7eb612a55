/* From a batch to records: what each stream takes of it is one record, and gets
 * the stream's next sequences. */
#include "broker/engine/taking.h"

#include <string.h>

static void record_all(struct td_engine *e, const struct td_taking *t)
{
    uint64_t first = t->stream->head.next;
    tidings_err err = td_taking_record(e, t);

    if (err)
        td_taking_refuse(e, t, err, 0);
    else
        td_taking_tell(e, t, first, false);
}

tidings_err td_append_own(struct td_engine *e, struct td_stream *stream,
                          const struct td_batch *batch, struct td_body *body,
                          size_t offset)
{
    const struct td_taking t = {NULL, stream, batch, body, offset, 0};

    return td_repeat_may_be(stream, batch) ? td_taking_record_sifted(e, &t)
                                           : td_taking_record(e, &t);
}

/* ---- who takes what ---- */

/* The runs that one stream takes, gathered; NULL: no memory. */
static struct td_body *gather(struct td_engine *e, const struct td_taking *all,
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

static void take(struct td_engine *e, const struct td_taking *t)
{
    if (!t->stream)
        td_taking_refuse(e, t, TIDINGS_ENOSTREAM, 0);
    else if (td_repeat_may_be(t->stream, t->batch))
        td_taking_record_sifted(e, t);
    else
        record_all(e, t);
}

static void take_part(struct td_engine *e, const struct td_taking *all)
{
    struct td_taking t = *all;
    struct td_batch part;
    struct td_body *body = gather(e, all, &part);

    t.batch = &part;
    t.body = body;
    t.offset = 0;
    if (body)
        take(e, &t);
    else
        td_taking_refuse(e, &t, TIDINGS_EFULL, 0);
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
    struct td_taking t = {s, e->taking[0], batch, body, offset, level};

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
static tidings_err judge_repeats(struct td_engine *e, const struct td_taking *t)
{
    const uint8_t *data = t->body->data + t->offset;
    struct td_stream *stream = t->stream;
    struct td_repeat_walk walk = td_repeat_walk(stream, t->batch, data);
    tidings_err err = td_taking_sift(e, t);
    uint32_t events;

    events = td_repeat_events(e);
    td_dedup_cut(&stream->dedup, stream->head.next);
    if (err || events == 0)
        return err;
    if (events < t->batch->events)
        return TIDINGS_ECONFLICT;
    td_taking_tell_parts(e, t, walk, TIDINGS_OK);
    return TIDINGS_EEXIST;
}

/* 0: it may be stored. *actual: what there is instead of what is expected. */
static tidings_err judge(struct td_engine *e, const struct td_taking *t,
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
    struct td_taking t = {s, NULL, batch, body, offset, level};
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
        td_taking_refuse(e, &t, code, code == TIDINGS_ECONFLICT ? actual : 0);
    return code;
}

/* ---- what had been taken before ---- */

static void append_run(struct td_engine *e, struct td_session *s,
                       const struct td_batch *batch, struct td_body *body,
                       size_t offset, const struct td_run *run, unsigned level)
{
    struct td_batch one = *batch;
    struct td_route *route = td_routes_find(&e->routes, &e->trie, run->type);
    struct td_taking t = {s, NULL, &one, body, offset, level};

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
