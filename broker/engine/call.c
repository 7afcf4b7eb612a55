/* CALL: what operators do with streams; groups and dead letters have files of
 * their own. An answer that says "done" waits until it is written. */
#include "broker/engine/call.h"

#include "broker/engine/pack.h"

#include <string.h>

/* Of one answer: within the bounds of a control frame. */
#define ROWS_MAX   200u
#define ROWS_BYTES (256u << 10)
#define ROW_BYTES  160u /* what a row of a list has beside its options */

/* ---- answers ---- */

const char td_asked_too_many[] = "too many calls wait for the store: ask again";

void td_asked_fail(struct td_engine *e, const struct td_asked *a,
                   tidings_err code, const char *text)
{
    td_engine_reply(e, a->session, a->request, code, text);
}

void td_asked_result(struct td_engine *e, struct td_session *s,
                     uint64_t request)
{
    struct td_frame f = {
        .op = TD_REPLY,
        .u.reply = {.request = request, .text = td_no_str},
    };

    f.u.reply.result =
        (struct td_str){(const char *)e->table.data, e->table.len};
    if (e->table.failed)
        td_engine_reply(e, s, request, TIDINGS_ENOMEM,
                        "broker is out of memory");
    else
        td_engine_send(e, s, &f, NULL);
}

static void owe(struct td_engine *e, const struct td_asked *a,
                const struct td_owed_reply *what)
{
    struct td_owed_reply *owed = td_fifo_push(&e->streams.replies);

    if (!owed) {
        if (what->joined)
            td_undo(e, what->undo);
        td_undo_free(what->undo);
        td_asked_fail(e, a, TIDINGS_ENOMEM,
                      "broker is out of memory: it may "
                      "have been done");
        return;
    }
    *owed = *what;
    owed->ticket = td_commit_last(e);
    owed->session = a->session->number;
    owed->request = a->request;
    td_operate_written(e, e->streams.written);
}

void td_asked_done(struct td_engine *e, const struct td_asked *a,
                   struct td_undo *undo)
{
    owe(e, a, &(struct td_owed_reply){.undo = undo});
}

void td_asked_reverting(struct td_engine *e, const struct td_asked *a)
{
    owe(e, a, &(struct td_owed_reply){.reverts = true});
}

void td_asked_joined(struct td_engine *e, const struct td_asked *a,
                     struct td_undo *undo)
{
    owe(e, a, &(struct td_owed_reply){.undo = undo, .joined = true});
}

void td_asked_counted(struct td_engine *e, const struct td_asked *a,
                      uint64_t events, uint64_t next)
{
    owe(e, a,
        &(struct td_owed_reply){
            .counts = true, .events = events, .next = next});
}

static void reply(struct td_engine *e, const struct td_owed_reply *owed,
                  tidings_err code, const char *text)
{
    struct td_session *s;
    msgpack_packer pk;

    HASH_FIND(hh, e->sessions, &owed->session, sizeof(owed->session), s);
    if (!s)
        return;
    if (!code && owed->joined) {
        td_consume_welcome(e, s, owed->request, owed->undo->subscription);
        return;
    }
    if (code || !owed->counts) {
        td_engine_reply(e, s, owed->request, code, text);
        return;
    }
    td_buf_reset(&e->table);
    msgpack_packer_init(&pk, &e->table, td_buf_pack_write);
    msgpack_pack_map(&pk, 2);
    td_pack_uint(&pk, "events", owed->events);
    td_pack_uint(&pk, "next", owed->next);
    td_asked_result(e, s, owed->request);
}

void td_operate_written(struct td_engine *e, uint64_t ticket)
{
    struct td_fifo *replies = &e->streams.replies;

    while (replies->len > 0) {
        const struct td_owed_reply *owed = td_fifo_nth(replies, 0);

        if (owed->ticket > ticket)
            return;
        reply(e, owed, TIDINGS_OK, "");
        td_undo_free(owed->undo);
        td_fifo_pop(replies, 1);
    }
}

static const char *failed_text(const struct td_owed_reply *owed)
{
    return owed->undo || owed->reverts
               ? "the store could not write it: nothing was done"
               : "the store could not write it: what was done stays, "
                 "unless the broker ends";
}

void td_operate_failed(struct td_engine *e, tidings_err err)
{
    struct td_fifo *replies = &e->streams.replies;

    for (uint32_t i = replies->len; i-- > 0;) { /* the last one first */
        const struct td_owed_reply *owed = td_fifo_nth(replies, i);

        if (owed->undo)
            td_undo(e, owed->undo);
    }
    for (; replies->len > 0; td_fifo_pop(replies, 1)) {
        const struct td_owed_reply *owed = td_fifo_nth(replies, 0);

        reply(e, owed, err, failed_text(owed));
        td_undo_free(owed->undo);
    }
}

void td_operate_fini(struct td_engine *e)
{
    struct td_fifo *replies = &e->streams.replies;

    for (uint32_t i = 0; i < replies->len; i++)
        td_undo_free(((struct td_owed_reply *)td_fifo_nth(replies, i))->undo);
    td_fifo_fini(replies);
}

/* ---- what calls need ---- */

struct td_undo *td_asked_undo(struct td_engine *e, const struct td_asked *a,
                              enum td_undo_kind kind)
{
    struct td_undo *undo = td_undo_new(kind);

    if (!undo)
        td_asked_fail(e, a, TIDINGS_ENOMEM, "broker is out of memory");
    return undo;
}

bool td_asked_stream(struct td_engine *e, const struct td_asked *a,
                     const char *key, struct td_stream **out)
{
    struct td_str name = td_no_str;

    if (!td_map_str(a->options, key, &name) || name.len == 0) {
        td_asked_fail(e, a, TIDINGS_EINVAL, "name the stream");
        return false;
    }
    *out = td_stream_find(e, name);
    if (!*out)
        td_asked_fail(e, a, TIDINGS_ENOTFOUND,
                      e->streams.all
                          ? "no such stream"
                          : "the broker keeps no streams: start it with "
                            "--data DIR");
    return *out;
}

bool td_asked_group(struct td_engine *e, const struct td_asked *a,
                    struct td_consumer **out)
{
    struct td_str name = td_no_str;
    struct td_stream *stream;

    if (!td_asked_stream(e, a, "stream", &stream))
        return false;
    if (!td_map_str(a->options, "group", &name) || name.len == 0) {
        td_asked_fail(e, a, TIDINGS_EINVAL, "name the group");
        return false;
    }
    *out = td_consumer_find(stream, name);
    if (!*out)
        td_asked_fail(e, a, TIDINGS_ENOTFOUND, "no such group of this stream");
    return *out;
}

/* ---- streams ---- */

static void stream_add(struct td_engine *e, const struct td_asked *a)
{
    struct td_stream_options options;
    const char *text = td_stream_options_read(&options, a->options);
    uint32_t before = e->streams.next_stream;
    struct td_undo *undo = td_asked_undo(e, a, TD_UNDO_STREAM);
    tidings_err err;

    if (!undo)
        return;
    err = text ? TIDINGS_EINVAL : td_stream_add(e, &options, &text);
    if (err) {
        td_undo_free(undo);
        td_asked_fail(e, a, err, text);
        return;
    }
    if (e->streams.next_stream > before)
        undo->id = e->streams.next_stream;
    td_asked_done(e, a, undo);
}

static void stream_set(struct td_engine *e, const struct td_asked *a)
{
    struct td_stream_options wish;
    struct td_stream *stream;
    struct td_undo *undo;
    const char *text;
    tidings_err err;

    if (!td_asked_stream(e, a, "name", &stream))
        return;
    wish = stream->options;
    text = td_stream_options_change(&wish, a->options);
    err = text ? TIDINGS_EINVAL : td_stream_may_change(e, stream, &wish, &text);
    if (err) {
        td_asked_fail(e, a, err, text);
        return;
    }
    if (!td_stream_is_on_disk(stream)) {
        td_stream_change(e, stream, &wish); /* and what it takes is gone */
        td_asked_done(e, a, NULL);
        return;
    }
    undo = td_asked_undo(e, a, TD_UNDO_BOUNDS);
    if (!undo)
        return;
    undo->id = stream->id;
    undo->bounds = stream->options;
    td_stream_change(e, stream, &wish);
    td_commit_ticket(e); /* who asked is answered with it */
    td_asked_done(e, a, undo);
}

/* Whether it takes events, in a word. */
static const char *state_word(const struct td_engine *e,
                              const struct td_stream *stream)
{
    if (td_stream_is_on_disk(stream) && e->streams.broken)
        return "failed";
    if (td_stream_is_on_disk(stream) &&
        (e->streams.no_room || td_room_is_told(e)))
        return "disk_full";
    return td_retain_is_full(stream) ? "full" : "ok";
}

static void pack_stream(struct td_engine *e, msgpack_packer *pk,
                        const struct td_stream *stream)
{
    const struct td_stream_state *state = &stream->kept;

    msgpack_pack_map(pk, TD_STREAM_OPTIONS_ROWS + 8);
    td_stream_options_rows(&e->table, &stream->options);
    td_pack_uint(pk, "first", state->first);
    td_pack_uint(pk, "last", state->next - 1);
    td_pack_uint(pk, "events", state->next - state->first);
    td_pack_uint(pk, "bytes", state->bytes);
    td_pack_uint(pk, "groups", stream->groups_len);
    td_pack_uint(pk, "stored_ms", (uint64_t)state->stored_ms);
    td_pack_uint(pk, "repeats", stream->repeats);
    td_pack_str(pk, "state", td_str_of(state_word(e, stream)));
}

/* How many from this one on go into one answer. */
static uint32_t count_rows(const struct td_stream *stream)
{
    uint32_t rows = 0;
    size_t bytes = 0;

    for (; stream && rows < ROWS_MAX; stream = stream->hh.next, rows++) {
        bytes += stream->text.len + ROW_BYTES;
        if (rows > 0 && bytes > ROWS_BYTES)
            break;
    }
    return rows;
}

static void stream_list(struct td_engine *e, const struct td_asked *a)
{
    uint32_t all = HASH_COUNT(e->streams.all);
    struct td_stream *stream = e->streams.all;
    uint64_t from = 0;
    msgpack_packer pk;
    uint32_t rows;

    if (!td_map_uint(a->options, "from", &from)) {
        td_asked_fail(e, a, TIDINGS_EINVAL, "from is a number of rows");
        return;
    }
    for (; stream && from > 0; from--)
        stream = stream->hh.next;
    rows = count_rows(stream);
    td_buf_reset(&e->table);
    msgpack_packer_init(&pk, &e->table, td_buf_pack_write);
    msgpack_pack_map(&pk, 2);
    td_pack_uint(&pk, "streams_total", all);
    td_pack_key(&pk, "streams");
    msgpack_pack_array(&pk, rows);
    for (; rows > 0; rows--, stream = stream->hh.next)
        pack_stream(e, &pk, stream);
    td_asked_result(e, a->session, a->request);
}

static void stream_delete(struct td_engine *e, const struct td_asked *a)
{
    struct td_stream *stream;

    if (!td_asked_stream(e, a, "name", &stream))
        return;
    if (td_str_is(stream->options.name, TD_STREAM_DEFAULT) &&
        e->streams.store) {
        td_asked_fail(e, a, TIDINGS_ENOTSUP,
                      "the stream events is always there; purge it instead");
        return;
    }
    td_stream_delete(e, stream);
    td_asked_done(e, a, NULL);
}

static void stream_purge(struct td_engine *e, const struct td_asked *a)
{
    uint64_t before = UINT64_MAX;
    struct td_stream *stream;

    if (!td_asked_stream(e, a, "name", &stream))
        return;
    if (!td_map_uint(a->options, "before", &before)) {
        td_asked_fail(e, a, TIDINGS_EINVAL, "before is a sequence");
        return;
    }
    td_retain_purge(e, stream, before);
    if (td_stream_is_on_disk(stream))
        td_asked_reverting(e, a);
    else
        td_asked_done(e, a, NULL);
}

/* ---- the table ---- */

static const struct {
    const char *name;
    void (*call)(struct td_engine *e, const struct td_asked *a);
} calls[] = {
    {"stream.add", stream_add},
    {"stream.set", stream_set},
    {"stream.list", stream_list},
    {"stream.delete", stream_delete},
    {"stream.purge", stream_purge},
    {"group.add", td_operate_group_add},
    {"group.list", td_operate_group_list},
    {"group.pause", td_operate_group_pause},
    {"group.resume", td_operate_group_resume},
    {"group.seek", td_operate_group_seek},
    {"group.sync", td_operate_group_sync},
    {"group.delete", td_operate_group_delete},
    {"dlq.list", td_operate_dlq_list},
    {"dlq.redrive", td_operate_dlq_redrive},
    {"dlq.purge", td_operate_dlq_purge},
    {"schedule.list", td_operate_schedule_list},
    {"schedule.cancel", td_operate_schedule_cancel},
    {"service.list", td_operate_service_list},
    {"service.info", td_operate_service_info},
    {"service.stats", td_operate_service_stats},
    {"service.drain", td_operate_service_drain},
    {"service.weight", td_operate_service_weight},
    {"producer.list", td_operate_producer_list},
    {"producer.delete", td_operate_producer_delete},
};

void td_operate(struct td_engine *e, struct td_session *s,
                const struct td_frame *f)
{
    const struct td_asked a = {s, f->u.call.request, f->u.call.options};

    if (e->streams.replies.len >= TD_REPLIES_MAX) {
        td_asked_fail(e, &a, TIDINGS_ELIMIT, td_asked_too_many);
        return;
    }
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        if (td_str_is(f->u.call.name, calls[i].name)) {
            calls[i].call(e, &a);
            return;
        }
    }
    td_asked_fail(e, &a, TIDINGS_ENOTSUP, "the broker knows no such call");
}
