/* A batch of which the stream has some events already, by their source and id:
 * what is new of it is recorded, and the others are confirmed as they are. */
#include "broker/engine/taking.h"

#include <string.h>

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
static tidings_err record_new(struct td_engine *e, const struct td_taking *t)
{
    const uint8_t *data = t->body->data + t->offset;
    struct td_repeat_walk walk = td_repeat_walk(t->stream, t->batch, data);
    struct td_batch part = *t->batch;
    struct td_taking rest = *t;
    tidings_err err = TIDINGS_OK;
    uint8_t *to;

    rest.batch = &part;
    rest.body = td_body_new(t->batch->bytes, &to);
    rest.offset = 0;
    if (!rest.body)
        return TIDINGS_EFULL;
    while (!err && gather_new(e, &walk, data, &part, &to)) {
        err = td_taking_record(e, &rest);
        rest.offset += part.bytes;
    }
    td_body_unref(rest.body);
    return err;
}

/* It is stored as of now, and as well as was asked for: that of which it is a
 * repeat is in this transaction at the latest. */
static void note_repeated(struct td_engine *e, const struct td_taking *t)
{
    t->stream->repeats += t->batch->events;
    td_taking_note(e, t);
    if (td_stream_is_on_disk(t->stream))
        td_commit_raise(e, t->level == TD_LEVEL_DISK ? TD_LEVEL_DISK
                                                     : TD_LEVEL_OS);
}

void td_taking_tell_parts(struct td_engine *e, const struct td_taking *t,
                          struct td_repeat_walk walk, tidings_err err)
{
    struct td_repeat_part next;

    while (td_repeat_next(e, &walk, &next)) {
        struct td_batch one = *t->batch;
        struct td_taking part = *t;

        one.runs = &next.run;
        one.runs_len = 1;
        one.events = next.run.count;
        one.bytes = next.run.bytes;
        part.batch = &one;
        part.offset = t->offset + next.offset;
        if (next.sequence >= t->stream->head.next) {
            td_taking_refuse(e, &part, err, 0);
            continue;
        }
        if (next.stored)
            note_repeated(e, &part);
        td_taking_tell(e, &part, next.sequence, next.stored);
    }
}

tidings_err td_taking_sift(struct td_engine *e, const struct td_taking *t)
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

tidings_err td_taking_record_sifted(struct td_engine *e,
                                    const struct td_taking *t)
{
    struct td_stream *stream = t->stream;
    struct td_repeat_walk walk =
        td_repeat_walk(stream, t->batch, t->body->data + t->offset);
    tidings_err err = td_taking_sift(e, t);

    if (err) {
        td_taking_refuse(e, t, err, 0);
        return err;
    }
    err =
        e->streams.repeats.len > 0 ? record_new(e, t) : td_taking_record(e, t);
    td_dedup_cut(&stream->dedup, stream->head.next);
    td_taking_tell_parts(e, t, walk, err);
    return err;
}
