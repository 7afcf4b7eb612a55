/* A stream that is there is declared with other options: its bounds may change,
 * and retention does the rest; what is written of it may not. */
#include "broker/engine/internal.h"
#include "proto/option.h"

#include <stdio.h>

/* The first option in which two streams differ. */
static struct td_str find_difference(const struct td_stream_options *a,
                                     const struct td_stream_options *b,
                                     struct td_buf maps[2])
{
    struct td_str key = td_str_of("options");
    struct td_reader r[2];
    struct td_str values[2];
    uint32_t pairs = 0;

    td_stream_options_pack(&maps[0], a);
    td_stream_options_pack(&maps[1], b);
    for (int i = 0; i < 2; i++) {
        r[i] = td_reader_of((const char *)maps[i].data, maps[i].len);
        if (maps[i].failed || !td_read_map(&r[i], &pairs))
            return key;
    }
    /* maps of one function: they have the same keys in the same order */
    for (; pairs > 0; pairs--) {
        for (int i = 0; i < 2; i++) {
            if (!td_read_str(&r[i], &key) || !td_read_raw(&r[i], &values[i]))
                return td_str_of("options");
        }
        if (!td_bytes_equal(values[0], values[1]))
            return key;
    }
    return td_str_of("options");
}

static tidings_err differs(struct td_engine *e,
                           const struct td_stream_options *there,
                           const struct td_stream_options *wish,
                           const char *advice, const char **text)
{
    struct td_buf maps[2] = {{0}, {0}};
    struct td_str key = find_difference(there, wish, maps);

    snprintf(e->streams.text, sizeof(e->streams.text),
             "it is there with other options: %.*s differs; %s", (int)key.len,
             key.data, advice);
    *text = e->streams.text;
    td_buf_fini(&maps[0]);
    td_buf_fini(&maps[1]);
    return TIDINGS_EEXIST;
}

static void take_bounds(struct td_stream_options *o,
                        const struct td_stream_options *bounds)
{
    o->max_age_ms = bounds->max_age_ms;
    o->max_bytes = bounds->max_bytes;
    o->max_events = bounds->max_events;
    o->dedup_ms = bounds->dedup_ms;
    o->dedup_events = bounds->dedup_events;
    o->on_full = bounds->on_full;
    o->tombstone_ms = bounds->tombstone_ms;
}

tidings_err td_stream_may_change(struct td_engine *e,
                                 const struct td_stream *stream,
                                 const struct td_stream_options *wish,
                                 const char **text)
{
    struct td_stream_options bounded = stream->options;

    *text = "";
    take_bounds(&bounded, wish);
    return td_stream_options_equal(&bounded, wish)
               ? TIDINGS_OK
               : differs(e, &bounded, wish,
                         "that is chosen once: make another stream", text);
}

tidings_err td_stream_is_other(struct td_engine *e,
                               const struct td_stream *stream,
                               const struct td_stream_options *wish,
                               const char **text)
{
    tidings_err err = td_stream_may_change(e, stream, wish, text);

    return err ? err
               : differs(e, &stream->options, wish, "stream.set changes it",
                         text);
}

void td_stream_change(struct td_engine *e, struct td_stream *stream,
                      const struct td_stream_options *bounds)
{
    struct td_stream_options *o = &stream->options;

    if (bounds->tombstone_ms < o->tombstone_ms && stream->compact.due_ms > 0)
        stream->compact.due_ms = 1; /* a pass looks for them anew */
    take_bounds(o, bounds);
    td_dedup_set_window(&stream->dedup, o->dedup_ms, o->dedup_events);
    td_repeat_wake(e);
    stream->trim_ms = e->now_ms; /* ages are looked at in this turn */
    if (!td_stream_is_on_disk(stream))
        return;
    stream->dirty_row = true;
    td_stream_dirty(e, stream);
}
