/* Streams: their life, and which takes what. */
#include "broker/engine/internal.h"

#include "broker/engine/pack.h"
#include "proto/type.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct td_str td_no_str = {"", 0};

/* ---- finding ---- */

struct td_stream *td_stream_find(struct td_engine *e, struct td_str name)
{
    struct td_stream *stream;

    HASH_FIND(hh, e->streams.all, name.data, name.len, stream);
    return stream;
}

struct td_stream *td_stream_by_id(struct td_engine *e, uint32_t id)
{
    struct td_stream *stream = id ? e->streams.all : NULL;

    while (stream && stream->id != id)
        stream = stream->hh.next;
    return stream;
}

bool td_stream_is_on_disk(const struct td_stream *stream)
{
    return stream->options.storage == TD_ON_DISK;
}

static bool takes(const struct td_stream *stream, const char *type, size_t len)
{
    for (uint32_t i = 0; i < stream->options.patterns_len; i++) {
        const struct td_str *pattern = &stream->options.patterns[i];

        if (td_pattern_match(pattern->data, pattern->len, type, len))
            return true;
    }
    return false;
}

static bool is_default(const struct td_stream *stream)
{
    return td_stream_is_default(&stream->options);
}

struct td_stream *td_stream_of(struct td_engine *e, struct td_route *route)
{
    struct td_streams *st = &e->streams;
    struct td_stream *found = NULL;

    if (route->stream_generation == st->generation)
        return route->stream;
    for (struct td_stream *s = st->all; s; s = s->hh.next) {
        /* what others take, the default one does not */
        if (takes(s, route->type, route->type_len) &&
            (!found || is_default(found)))
            found = s;
    }
    route->stream = found;
    route->stream_generation = st->generation;
    return found;
}

/* ---- life ---- */

static void stream_free(struct td_stream *stream)
{
    td_entries_fini(stream);
    td_fifo_fini(&stream->holes);
    td_fifo_fini(&stream->older);
    td_dedup_fini(&stream->dedup);
    td_lasts_fini(&stream->lasts);
    td_buf_fini(&stream->text);
    free(stream);
}

/* options: as a map. TIDINGS_EIO: they are none. */
static tidings_err stream_new(const struct td_engine *e, struct td_stream **out,
                              struct td_str options)
{
    struct td_stream *stream = calloc(1, sizeof(*stream));
    tidings_err err = TIDINGS_EIO;
    struct td_str text;

    if (!stream)
        return TIDINGS_ENOMEM;
    stream->entries.size = sizeof(struct td_entry);
    stream->holes.size = sizeof(struct td_hole);
    stream->older.size = sizeof(struct td_oldest);
    stream->head.first = stream->head.next = stream->head.indexed = 1;
    stream->kept = stream->head;
    stream->oldest.from = 1;
    td_buf_append(&stream->text, options.data, options.len);
    text = (struct td_str){(const char *)stream->text.data, stream->text.len};
    if (stream->text.failed) {
        err = TIDINGS_ENOMEM;
    } else if (td_scan(text.data, text.len, &td_scan_control) &&
               !td_stream_options_read(&stream->options, text)) {
        td_dedup_init(&stream->dedup, stream->options.dedup_ms,
                      stream->options.dedup_events);
        stream->dedup.seed = stream->lasts.seed = e->options.seed;
        *out = stream;
        return TIDINGS_OK;
    }
    stream_free(stream);
    return err;
}

static bool enter(struct td_engine *e, struct td_stream *stream)
{
    HASH_ADD_KEYPTR(hh, e->streams.all, stream->options.name.data,
                    stream->options.name.len, stream);
    if (stream->hh_failed)
        return false;
    e->streams.generation++;
    return true;
}

tidings_err td_stream_load(struct td_engine *e, uint32_t id,
                           struct td_str options)
{
    struct td_stream *stream;
    tidings_err err = stream_new(e, &stream, options);

    if (err)
        return err;
    stream->id = id;
    err = TIDINGS_EIO;
    if (!td_stream_find(e, stream->options.name))
        err = enter(e, stream) ? TIDINGS_OK : TIDINGS_ENOMEM;
    if (err)
        stream_free(stream);
    return err;
}

/* Two of one type: which patterns those are; NULL: there is none. The default
 * stream gives way to all others. */
static const char *find_overlap(struct td_engine *e,
                                const struct td_stream_options *options)
{
    if (td_stream_is_default(options))
        return NULL;
    for (struct td_stream *s = e->streams.all; s; s = s->hh.next) {
        for (uint32_t i = 0; i < s->options.patterns_len && !is_default(s);
             i++) {
            for (uint32_t k = 0; k < options->patterns_len; k++) {
                struct td_str a = s->options.patterns[i];
                struct td_str b = options->patterns[k];

                if (!td_pattern_overlaps(a.data, a.len, b.data, b.len))
                    continue;
                snprintf(e->streams.text, sizeof(e->streams.text),
                         "pattern %.*s overlaps with %.*s of stream %.*s",
                         (int)b.len, b.data, (int)a.len, a.data,
                         (int)s->options.name.len, s->options.name.data);
                return e->streams.text;
            }
        }
    }
    return NULL;
}

static tidings_err add(struct td_engine *e,
                       const struct td_stream_options *options)
{
    struct td_buf map = {0};
    struct td_stream *stream = NULL;

    td_stream_options_pack(&map, options);
    if (!map.failed)
        stream_new(e, &stream,
                   (struct td_str){(const char *)map.data, map.len});
    td_buf_fini(&map);
    if (!stream)
        return TIDINGS_ENOMEM;
    stream->id = ++e->streams.next_stream;
    if (!enter(e, stream)) {
        stream_free(stream);
        return TIDINGS_ENOMEM;
    }
    if (td_stream_is_on_disk(stream)) {
        stream->dirty_row = true;
        td_stream_dirty(e, stream);
        td_commit_ticket(e); /* who asked is answered with it */
    }
    return TIDINGS_OK;
}

tidings_err td_stream_check(struct td_engine *e,
                            const struct td_stream_options *options,
                            const char **text)
{
    const struct td_stream *there = td_stream_find(e, options->name);

    *text = "";
    if (there && td_stream_options_equal(&there->options, options))
        return TIDINGS_OK;
    *text = td_stream_default_check(options);
    if (*text)
        return TIDINGS_EINVAL;
    if (there)
        return td_stream_is_other(e, there, options, text);
    if (options->storage == TD_ON_DISK && !e->streams.store) {
        *text = "the broker has no data folder: start it with --data DIR, or "
                "ask for storage memory";
        return TIDINGS_ENOTSUP;
    }
    if (HASH_COUNT(e->streams.all) >= TD_STREAMS_MAX) {
        *text = "the broker has as many streams as it may have";
        return TIDINGS_ELIMIT;
    }
    *text = find_overlap(e, options);
    return *text ? TIDINGS_EINVAL : TIDINGS_OK;
}

tidings_err td_stream_add(struct td_engine *e,
                          const struct td_stream_options *options,
                          const char **text)
{
    tidings_err err = td_stream_check(e, options, text);

    if (err || td_stream_find(e, options->name))
        return err;
    *text = "broker is out of memory";
    return add(e, options);
}

tidings_err td_stream_add_default(struct td_engine *e)
{
    const struct td_stream_options options = {
        .name = td_str_of(TD_STREAM_DEFAULT),
        .patterns = {td_str_of(">")},
        .patterns_len = 1,
        .dedup_ms = TD_DEDUP_MS,
        .dedup_events = TD_DEDUP_EVENTS,
        .tombstone_ms = TD_TOMBSTONE_MS,
    };
    const char *text;

    if (td_stream_find(e, options.name))
        return TIDINGS_OK; /* whatever its options are */
    return td_stream_add(e, &options, &text);
}

void td_stream_dirty(struct td_engine *e, struct td_stream *stream)
{
    if (stream->dirty)
        return;
    stream->dirty = true;
    stream->dirty_next = e->streams.dirty;
    e->streams.dirty = stream;
}

static void forget(struct td_engine *e, struct td_stream *stream)
{
    struct td_streams *st = &e->streams;
    struct td_stream **at = &st->dirty;

    while (stream->dirty && *at != stream)
        at = &(*at)->dirty_next;
    if (stream->dirty)
        *at = stream->dirty_next;
    for (uint32_t i = 0; i < st->carried.len; i++) {
        struct td_carried *carried = td_fifo_nth(&st->carried, i);

        if (carried->stream == stream)
            carried->stream = NULL;
    }
    td_newest_leave(e, stream);
    td_read_forget(stream->trim);
    td_compact_anew(stream);
}

void td_stream_delete(struct td_engine *e, struct td_stream *stream)
{
    while (stream->consumers)
        td_consumer_delete(e, stream->consumers);
    td_confirm_send(e); /* rows borrow its name */
    forget(e, stream);
    if (td_stream_is_on_disk(stream))
        td_commit_bury(e, true, stream->id);
    HASH_DELETE(hh, e->streams.all, stream);
    e->streams.generation++;
    stream_free(stream);
}

void td_streams_init(struct td_engine *e)
{
    struct td_streams *st = &e->streams;

    st->store = e->options.store;
    st->generation = 1; /* 0: a route that was never looked at */
    st->wake_ms = st->dedup_ms = TD_NEVER;
    st->repeats.size = sizeof(struct td_repeat);
    st->flown.size = sizeof(struct td_flown);
    st->carried.size = sizeof(struct td_carried);
    st->carried_stored.size = sizeof(struct td_carried_stored);
    st->carried_lasts.size = sizeof(struct td_carried_last);
    st->owed.size = sizeof(struct td_owed_confirm);
    st->welcomes.size = sizeof(struct td_owed_welcome);
    st->fenced.size = sizeof(struct td_fenced);
    st->replies.size = sizeof(struct td_owed_reply);
    td_schedule_init(&st->schedule);
    if (st->store)
        td_load_begin(e);
}

void td_streams_fini(struct td_engine *e)
{
    const struct td_store_answer gone = {.kind = TD_STORE_READ,
                                         .err = TIDINGS_ESHUTDOWN};
    struct td_streams *st = &e->streams;
    struct td_stream *stream;
    struct td_stream *next;
    struct td_read *read;
    struct td_read *after;

    HASH_ITER(hh, st->all, stream, next)
    {
        while (stream->consumers)
            td_consumer_free(e, stream->consumers);
        td_read_forget(stream->trim);
        td_compact_anew(stream);
        HASH_DELETE(hh, st->all, stream);
        stream_free(stream);
    }
    HASH_ITER(hh, st->reads, read, after)
    {
        HASH_DELETE(hh, st->reads, read);
        if (read->done) /* whoever waits lets go of what it keeps for that */
            read->done(e, read->owner, &gone);
        free(read);
    }
    td_txn_fini(&st->txn);
    td_fifo_fini(&st->flown);
    td_fifo_fini(&st->carried);
    td_fifo_fini(&st->carried_stored);
    td_fifo_fini(&st->carried_lasts);
    td_graves_fini(e);
    td_fifo_fini(&st->owed);
    td_operate_fini(e);
    td_schedule_fini(&st->schedule);
    td_fifo_fini(&st->welcomes);
    td_fifo_fini(&st->fenced);
    td_fifo_fini(&st->repeats);
    td_buf_fini(&st->value);
}
