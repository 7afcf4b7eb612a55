/* Streams, durable groups, and the broker's calls. */
#include "client/api.h"
#include "client/detail.h"
#include "client/sub.h"
#include "proto/utf8.h"
#include "proto/option.h"
#include "proto/stream.h"
#include "proto/type.h"

#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

/* ---- calls ---- */

/* What else stands in a CALL fits beside it. */
#define OPTIONS_BYTES_MAX (TD_CONTROL_BYTES_MAX - 1024u)

/* Within the frame: an element deep, and beside three others. */
static const struct td_scan_limits option_limits = {
    .depth = TD_SCAN_DEPTH_MAX - 1, .nodes = TD_SCAN_NODES_MAX - 4};

static tidings_err check_call(const char *name, struct td_str options)
{
    if (!name || !*name || strlen(name) > TD_NAME_BYTES_MAX ||
        !td_utf8_valid(name))
        return td_fail(TIDINGS_EINVAL, "a call's name is 1 to %u bytes",
                       TD_NAME_BYTES_MAX);
    if (options.len > OPTIONS_BYTES_MAX ||
        !td_scan(options.data, options.len, &option_limits) ||
        td_head_at((const uint8_t *)options.data,
                   (const uint8_t *)options.data + options.len)
                .kind != TD_KIND_MAP)
        return td_fail(TIDINGS_EINVAL,
                       "options of %s: a msgpack map of at most %u bytes, %u "
                       "deep",
                       name, OPTIONS_BYTES_MAX, TD_SCAN_DEPTH_MAX - 1);
    return TIDINGS_OK;
}

/* An answer without a result has an empty one. */
static void empty_if_nil(struct td_question *q)
{
    if (q->result_len == td_nil.len &&
        memcmp(q->result, td_nil.data, td_nil.len) == 0)
        memcpy(q->result, td_empty_map.data, td_empty_map.len);
}

tidings_err tidings_call(void **out, size_t *out_len, tidings_bus *bus,
                         const char *name, const void *options,
                         size_t options_len, int timeout_ms)
{
    struct td_question q = {.name = name, .options = td_empty_map};
    tidings_err err;

    if (!out != !out_len)
        return td_fail(TIDINGS_EINVAL, "out and out_len, or neither");
    if (options)
        q.options = (struct td_str){options, options_len};
    err = check_call(name, q.options);
    if (!err)
        err = td_ask(bus, &q, TD_CALL, timeout_ms);
    if (err)
        return err;
    if (!out) {
        free(q.result);
        return TIDINGS_OK;
    }
    empty_if_nil(&q);
    *out = q.result;
    *out_len = q.result_len;
    return TIDINGS_OK;
}

/* Frees the options. */
static tidings_err call_with(tidings_bus *bus, const char *name,
                             struct td_buf *options, int timeout_ms)
{
    tidings_err err = TIDINGS_ENOMEM;

    if (!options->failed)
        err = tidings_call(NULL, NULL, bus, name, options->data, options->len,
                           timeout_ms);
    td_buf_fini(options);
    return err;
}

/* ---- streams ---- */

static struct td_str str_or_empty(const char *s)
{
    return td_str_of(s ? s : "");
}

static tidings_err declare_stream(tidings_bus *bus, const char *call,
                                  const struct tidings_stream_options *options,
                                  int timeout_ms)
{
    struct td_stream_options o = {0};
    struct td_buf packed = {0};
    const char *why;

    if (!options)
        return td_fail(TIDINGS_EINVAL, "options is NULL");
    if (options->patterns_len > TD_STREAM_PATTERNS_MAX ||
        (options->patterns_len > 0 && !options->patterns))
        return td_fail(TIDINGS_EINVAL, "patterns of a stream: 1 to %u",
                       TD_STREAM_PATTERNS_MAX);
    o.name = str_or_empty(options->name);
    for (size_t i = 0; i < options->patterns_len; i++)
        o.patterns[i] = str_or_empty(options->patterns[i]);
    o.patterns_len = (uint32_t)options->patterns_len;
    if (o.patterns_len == 0 && td_stream_is_default(&o))
        o.patterns[o.patterns_len++] = td_str_of(">");
    o.max_age_ms = options->max_age_ms;
    o.max_bytes = options->max_bytes;
    o.max_events = options->max_events;
    o.dedup_ms = options->dedup_ms ? options->dedup_ms : TD_DEDUP_MS;
    if (options->dedup_ms == TIDINGS_NO_DEDUP)
        o.dedup_ms = 0;
    o.dedup_events =
        options->dedup_events ? options->dedup_events : TD_DEDUP_EVENTS;
    o.on_full = (enum td_on_full)options->on_full;
    o.storage = (enum td_storage)options->storage;
    o.keyed = options->keyed;
    o.compact = options->compact;
    o.tombstone_ms =
        options->tombstone_ms ? options->tombstone_ms : TD_TOMBSTONE_MS;
    why = td_stream_options_check(&o);
    if (why)
        return td_fail(TIDINGS_EINVAL, "%s", why);
    td_stream_options_pack(&packed, &o);
    return call_with(bus, call, &packed, timeout_ms);
}

tidings_err tidings_stream_add(tidings_bus *bus,
                               const struct tidings_stream_options *options,
                               int timeout_ms)
{
    return declare_stream(bus, "stream.add", options, timeout_ms);
}

tidings_err tidings_stream_set(tidings_bus *bus,
                               const struct tidings_stream_options *options,
                               int timeout_ms)
{
    return declare_stream(bus, "stream.set", options, timeout_ms);
}

tidings_err tidings_schedule_cancel(tidings_bus *bus, uint64_t number,
                                    int timeout_ms)
{
    struct td_buf packed = {0};
    msgpack_packer pk;

    msgpack_packer_init(&pk, &packed, td_buf_pack_write);
    msgpack_pack_map(&pk, 1);
    td_option_pack_uint(&pk, "number", number);
    return call_with(bus, "schedule.cancel", &packed, timeout_ms);
}

/* ---- durable groups ---- */

static tidings_err check_group(const struct tidings_group_options *o)
{
    if (!o)
        return td_fail(TIDINGS_EINVAL, "options is NULL");
    if (!o->stream || !td_group_valid(o->stream, strlen(o->stream)) ||
        !o->group || !td_group_valid(o->group, strlen(o->group)))
        return td_fail(TIDINGS_EINVAL,
                       "names of stream and group are 1 to %u of "
                       "[A-Za-z0-9_.-]",
                       TD_GROUP_BYTES_MAX);
    if ((unsigned)o->policy >= TD_SHARE_NAMES)
        return td_fail(TIDINGS_EINVAL, "policy is %u; none of its names",
                       (unsigned)o->policy);
    if (o->pattern && tidings_pattern_check(o->pattern))
        return TIDINGS_EINVAL;
    return td_start_check(&o->start);
}

static uint32_t or_default(uint32_t value, uint32_t fallback)
{
    return value ? value : fallback;
}

static struct td_start start_of(const struct tidings_start *start)
{
    static const enum td_start_kind kinds[] = {
        [TIDINGS_START_DEFAULT] = TD_START_NEW,
        [TIDINGS_START_NEW] = TD_START_NEW,
        [TIDINGS_START_ALL] = TD_START_ALL,
        [TIDINGS_START_SEQUENCE] = TD_START_SEQUENCE,
        [TIDINGS_START_TIME] = TD_START_TIME,
        [TIDINGS_START_LAST] = TD_START_LAST,
    };

    return (struct td_start){kinds[start->kind], start->sequence,
                             start->time_ms};
}

tidings_err tidings_group_add(tidings_bus *bus,
                              const struct tidings_group_options *options,
                              int timeout_ms)
{
    tidings_err err = check_group(options);
    struct td_durable_options o = {0};
    struct td_buf packed = {0};

    if (err)
        return err;
    o.stream = td_str_of(options->stream);
    o.group = td_str_of(options->group);
    o.pattern = td_str_of(options->pattern ? options->pattern : ">");
    o.start = start_of(&options->start);
    o.share = (uint32_t)options->policy;
    o.max_in_flight = or_default(options->max_in_flight, TD_IN_FLIGHT);
    o.ack_wait_ms = or_default(options->ack_wait_ms, TD_ACK_WAIT_MS);
    o.max_deliver = or_default(options->max_deliver, TD_MAX_DELIVER);
    o.backoff_ms = or_default(options->backoff_ms, TD_BACKOFF_MS);
    o.backoff_max_ms = or_default(options->backoff_max_ms, TD_BACKOFF_MAX_MS);
    /* One given alone moves the other's default with it. */
    if (!options->backoff_max_ms && o.backoff_max_ms < o.backoff_ms)
        o.backoff_max_ms = o.backoff_ms;
    if (!options->backoff_ms && o.backoff_ms > o.backoff_max_ms)
        o.backoff_ms = o.backoff_max_ms;
    td_durable_options_pack(&packed, &o);
    return call_with(bus, "group.add", &packed, timeout_ms);
}
