/* Options of durable groups; those of streams are in stream.c. */
#include "proto/stream.h"

#include "proto/frame.h"
#include "proto/option.h"
#include "proto/type.h"

#include <msgpack.h>
#include <stddef.h>
#include <string.h>

_Static_assert(TD_STREAM_NAME_BYTES_MAX == TD_GROUP_BYTES_MAX,
               "td_group_valid checks names of streams as well");

const char *const td_durable_shares[TD_SHARE_NAMES] = {
    "round_robin", "random", "least_pending", "key", "single"};

#define DIFFERS " differs from the group's: give its value, or another name"

/* The options that are numbers. */
static const struct number {
    const char *key;
    size_t at;
    enum td_given given;
    uint32_t least;
    uint32_t most;
    uint32_t normal; /* its default */
    const char *range;
    const char *differs;
} numbers[] = {
    {"max_in_flight", offsetof(struct td_durable_options, max_in_flight),
     TD_GIVEN_MAX_IN_FLIGHT, 1, TD_IN_FLIGHT_MAX, TD_IN_FLIGHT,
     "max_in_flight is 1 to 1048576 events", "max_in_flight" DIFFERS},
    {"ack_wait_ms", offsetof(struct td_durable_options, ack_wait_ms),
     TD_GIVEN_ACK_WAIT, 1, TD_ACK_WAIT_MS_MAX, TD_ACK_WAIT_MS,
     "ack_wait_ms is 1 to 86400000", "ack_wait_ms" DIFFERS},
    {"max_deliver", offsetof(struct td_durable_options, max_deliver),
     TD_GIVEN_MAX_DELIVER, 1, TD_MAX_DELIVER_MAX, TD_MAX_DELIVER,
     "max_deliver is 1 to 250", "max_deliver" DIFFERS},
    {"backoff_ms", offsetof(struct td_durable_options, backoff_ms),
     TD_GIVEN_BACKOFF, 0, TD_BACKOFF_MS_MAX, TD_BACKOFF_MS,
     "backoff_ms is 0 to 86400000", "backoff_ms" DIFFERS},
    {"backoff_max_ms", offsetof(struct td_durable_options, backoff_max_ms),
     TD_GIVEN_BACKOFF_MAX, 0, TD_BACKOFF_MS_MAX, TD_BACKOFF_MAX_MS,
     "backoff_max_ms is 0 to 86400000", "backoff_max_ms" DIFFERS},
};
#define NUMBERS (sizeof(numbers) / sizeof(numbers[0]))

static uint32_t number_of(const struct td_durable_options *o,
                          const struct number *n)
{
    return *(const uint32_t *)((const char *)o + n->at);
}

static bool has(struct td_str map, const char *key)
{
    struct td_str value;

    return td_map_find(map, key, &value);
}

/* The names are distinct; that of a sequence is its number. */
static const char *const start_names[] = {[TD_START_NEW] = "new",
                                          [TD_START_ALL] = "all",
                                          [TD_START_SEQUENCE] = "",
                                          [TD_START_TIME] = "time",
                                          [TD_START_LAST] = "last"};

const char *td_start_read(struct td_start *out, struct td_str map)
{
    struct td_str value = {NULL, 0};
    struct td_reader r;
    unsigned name = 0;

    memset(out, 0, sizeof(*out));
    if (!has(map, "start"))
        return "start is missing: new, all, last, time or a sequence";
    if (td_map_uint(map, "start", &out->sequence)) {
        out->kind = TD_START_SEQUENCE;
        if (out->sequence == 0)
            return "start as a sequence is 1 or more";
    } else if (td_option_name(map, "start", start_names, TD_START_LAST + 1,
                              &name) &&
               name != TD_START_SEQUENCE) {
        out->kind = (enum td_start_kind)name;
    } else {
        return "start is new, all, last, time or a sequence from 1";
    }
    if (!td_map_find(map, "start_ms", &value))
        return out->kind == TD_START_TIME
                   ? "start_ms is missing: start time needs it, in Unix "
                     "milliseconds"
                   : NULL;
    if (out->kind != TD_START_TIME)
        return "start_ms is for start time: leave it out";
    r = td_reader_of(value.data, value.len);
    return td_read_int(&r, &out->time_ms)
               ? NULL
               : "start_ms is an integer: Unix milliseconds";
}

static const char *read_names(struct td_durable_options *out, struct td_str map)
{
    if (!has(map, "stream"))
        return "stream is missing: name one";
    if (!td_map_str(map, "stream", &out->stream) ||
        !td_group_valid(out->stream.data, out->stream.len))
        return "stream is 1 to 64 of A-Z a-z 0-9 _ . -";
    if (has(map, "group") && (!td_map_str(map, "group", &out->group) ||
                              !td_group_valid(out->group.data, out->group.len)))
        return "group is 1 to 64 of A-Z a-z 0-9 _ . -";
    if (!td_map_str(map, "pattern", &out->pattern) ||
        !td_pattern_valid(out->pattern.data, out->pattern.len))
        return "pattern is tokens joined by dots, * for any one, > for all "
               "that follow";
    if (!td_option_name(map, "group_policy", td_durable_shares, TD_SHARE_NAMES,
                        &out->share))
        return "group_policy is round_robin, random, least_pending, key or "
               "single";
    return NULL;
}

static const char *read_numbers(struct td_durable_options *out,
                                struct td_str map, unsigned *given)
{
    for (size_t i = 0; i < NUMBERS; i++) {
        const struct number *n = &numbers[i];
        uint64_t value = n->normal;

        if (!td_map_uint(map, n->key, &value) || value < n->least ||
            value > n->most)
            return n->range;
        *(uint32_t *)((char *)out + n->at) = (uint32_t)value;
        if (has(map, n->key))
            *given |= n->given;
    }
    if (out->backoff_max_ms >= out->backoff_ms)
        return NULL;
    /* One given alone moves the other's default with it. */
    if (!(*given & TD_GIVEN_BACKOFF))
        out->backoff_ms = out->backoff_max_ms;
    else if (!(*given & TD_GIVEN_BACKOFF_MAX))
        out->backoff_max_ms = out->backoff_ms;
    else
        return "backoff_max_ms is below backoff_ms: raise it";
    return NULL;
}

const char *td_durable_options_read(struct td_durable_options *out,
                                    struct td_str map, unsigned *given)
{
    unsigned found = 0;
    const char *why;

    memset(out, 0, sizeof(*out));
    out->pattern = td_str_of(">");
    why = read_names(out, map);
    if (!why && (has(map, "start") || has(map, "start_ms"))) {
        found |= TD_GIVEN_START;
        why = td_start_read(&out->start, map);
    }
    if (!why)
        why = read_numbers(out, map, &found);
    if (has(map, "group_policy"))
        found |= TD_GIVEN_SHARE;
    if (has(map, "pattern"))
        found |= TD_GIVEN_PATTERN;
    if (given)
        *given = found;
    return why;
}

#define PAIRS 10u /* that every group has */

uint32_t td_durable_options_len(const struct td_durable_options *o)
{
    return PAIRS + (o->start.kind == TD_START_TIME);
}

void td_durable_options_rows(struct td_buf *out,
                             const struct td_durable_options *o)
{
    msgpack_packer pk;

    msgpack_packer_init(&pk, out, td_buf_pack_write);
    td_option_pack_str(&pk, "stream", o->stream);
    td_option_pack_str(&pk, "group", o->group);
    td_option_pack_str(&pk, "pattern", o->pattern);
    if (o->start.kind == TD_START_SEQUENCE)
        td_option_pack_uint(&pk, "start", o->start.sequence);
    else
        td_option_pack_str(&pk, "start", td_str_of(start_names[o->start.kind]));
    td_option_pack_str(&pk, "group_policy",
                       td_str_of(td_durable_shares[o->share]));
    for (size_t i = 0; i < NUMBERS; i++)
        td_option_pack_uint(&pk, numbers[i].key, number_of(o, &numbers[i]));
    if (o->start.kind == TD_START_TIME) {
        td_option_pack_one(&pk, td_str_of("start_ms"));
        msgpack_pack_int64(&pk, o->start.time_ms);
    }
}

void td_durable_options_pack(struct td_buf *out,
                             const struct td_durable_options *o)
{
    msgpack_packer pk;

    msgpack_packer_init(&pk, out, td_buf_pack_write);
    msgpack_pack_map(&pk, td_durable_options_len(o));
    td_durable_options_rows(out, o);
}

const char *td_durable_options_differ(const struct td_durable_options *there,
                                      const struct td_durable_options *wish,
                                      unsigned given)
{
    if ((given & TD_GIVEN_PATTERN) &&
        !td_bytes_equal(there->pattern, wish->pattern))
        return "pattern" DIFFERS;
    if ((given & TD_GIVEN_SHARE) && there->share != wish->share)
        return "group_policy" DIFFERS;
    for (size_t i = 0; i < NUMBERS; i++) {
        if ((given & numbers[i].given) &&
            number_of(there, &numbers[i]) != number_of(wish, &numbers[i]))
            return numbers[i].differs;
    }
    return NULL;
}
