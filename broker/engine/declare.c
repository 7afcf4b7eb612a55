/* Streams and groups that whoever started the broker wants to be there, and
 * the bounds that may change while it runs. */
#include "broker/engine/declare.h"

#include "broker/engine/internal.h"
#include "broker/engine/pack.h"
#include "proto/option.h"

/* ---- looking ---- */

static tidings_err look_at_stream(struct td_engine *e,
                                  const struct td_stream_options *wish,
                                  uint32_t *fresh, const char **text)
{
    const struct td_stream *there = td_stream_find(e, wish->name);

    if (there)
        return td_stream_may_change(e, there, wish, text);
    ++*fresh;
    if (HASH_COUNT(e->streams.all) + *fresh > TD_STREAMS_MAX) {
        *text = "the broker has as many streams as it may have";
        return TIDINGS_ELIMIT;
    }
    return td_stream_check(e, wish, text);
}

static bool is_declared(const struct td_declared *d, struct td_str stream)
{
    for (uint32_t i = 0; i < d->streams_len; i++) {
        if (td_bytes_equal(d->streams[i].name, stream))
            return true;
    }
    return false;
}

static tidings_err look_at_group(struct td_engine *e,
                                 const struct td_declared *d,
                                 const struct td_declared_group *wish,
                                 uint32_t *fresh, const char **text)
{
    struct td_stream *stream = td_stream_find(e, wish->options.stream);
    const struct td_consumer *there =
        stream ? td_consumer_find(stream, wish->options.group) : NULL;
    bool comes = is_declared(d, wish->options.stream) ||
                 (e->streams.store &&
                  td_str_is(wish->options.stream, TD_STREAM_DEFAULT));

    if (there) {
        *text = td_durable_options_differ(&there->options, &wish->options,
                                          wish->given);
        return *text ? TIDINGS_EEXIST : TIDINGS_OK;
    }
    if (!stream && !comes) {
        *text = "no such stream";
        return TIDINGS_ENOTFOUND;
    }
    ++*fresh;
    *text = "the broker has as many durable groups as it may have";
    return e->streams.groups_len + *fresh > TD_CONSUMERS_MAX ? TIDINGS_ELIMIT
                                                             : TIDINGS_OK;
}

static tidings_err look(struct td_engine *e, const struct td_declared *d,
                        uint32_t *at, const char **text)
{
    uint32_t streams = 0;
    uint32_t groups = 0;
    tidings_err err = TIDINGS_OK;

    for (*at = 0; *at < d->streams_len; ++*at) {
        err = look_at_stream(e, &d->streams[*at], &streams, text);
        if (err)
            return err;
    }
    for (; *at < d->streams_len + d->groups_len; ++*at) {
        err = look_at_group(e, d, &d->groups[*at - d->streams_len], &groups,
                            text);
        if (err)
            return err;
    }
    return TIDINGS_OK;
}

/* ---- doing ---- */

static tidings_err have_stream(struct td_engine *e,
                               const struct td_stream_options *wish,
                               const char **text)
{
    struct td_stream *there = td_stream_find(e, wish->name);

    if (!there)
        return td_stream_add(e, wish, text);
    if (!td_stream_options_equal(&there->options, wish))
        td_stream_change(e, there, wish);
    return TIDINGS_OK;
}

static tidings_err add_group(struct td_engine *e,
                             const struct td_declared_group *wish,
                             const char **text)
{
    struct td_stream *stream = td_stream_find(e, wish->options.stream);
    struct td_consumer *c;
    tidings_err err =
        td_consumer_add(e, stream, &wish->options, wish->given, &c, text);

    if (!err && c->dirty) /* before any event that comes after it */
        td_commit_ticket(e);
    return err;
}

tidings_err td_engine_declare(struct td_engine *e, const struct td_declared *d,
                              uint32_t *at, const char **text)
{
    tidings_err err;

    *text = "";
    err = look(e, d, at, text);
    if (err)
        return err;
    for (*at = 0; *at < d->streams_len; ++*at) {
        err = have_stream(e, &d->streams[*at], text);
        if (err)
            return err;
    }
    if (e->streams.store) {
        err = td_stream_add_default(e);
        if (err) {
            *at = d->streams_len + d->groups_len;
            *text = "the stream " TD_STREAM_DEFAULT " cannot be made";
            return err;
        }
    }
    for (uint32_t i = 0; i < d->groups_len; i++, ++*at) {
        err = add_group(e, &d->groups[i], text);
        if (err)
            return err;
    }
    return TIDINGS_OK;
}

void td_engine_bound(struct td_engine *e, size_t memory_bytes,
                     size_t session_bytes, int64_t grace_ms)
{
    e->options.memory_bytes = memory_bytes ? memory_bytes : TD_MEMORY_BYTES;
    e->options.session_bytes = session_bytes ? session_bytes : TD_SESSION_BYTES;
    e->options.grace_ms = grace_ms ? grace_ms : TD_GRACE_MS;
}
