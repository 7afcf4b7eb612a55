#include "proto/stream.h"

#include "proto/frame.h"
#include "proto/option.h"
#include "proto/type.h"

#include <msgpack.h>
#include <string.h>

_Static_assert(TD_STREAM_NAME_BYTES_MAX == TD_GROUP_BYTES_MAX,
               "td_group_valid checks names of streams as well");

/* What both reading and checking say. */
#define NAME_RANGE      "name of a stream is 1 to 64 of A-Z a-z 0-9 _ . -"
#define PATTERNS_RANGE  "patterns has at most 16: make another stream for more"
#define BOUND_RANGE     " is 0, for no bound, to 2^63-1"
#define TOMBSTONE_RANGE "tombstone_ms is 0 to 3153600000000, a century"
#define DEDUP_RANGE     "dedup_ms is 0, for off, to 2^63-1"
#define WINDOW_RANGE    "dedup_events is 0, for off, to 1048576"
#define ON_FULL_RANGE   "on_full is discard_old or reject"
#define STORAGE_RANGE   "storage is disk or memory"

const char *const td_on_full_names[TD_ON_FULLS] = {"discard_old", "reject"};
const char *const td_storage_names[TD_STORAGES] = {"disk", "memory"};

static bool is_stream_option(struct td_str key)
{
    static const char *const keys[TD_STREAM_OPTIONS_ROWS] = {
        "name",       "patterns", "max_age_ms",   "max_bytes",
        "max_events", "dedup_ms", "dedup_events", "on_full",
        "storage",    "keyed",    "compact",      "tombstone_ms"};

    for (unsigned i = 0; i < TD_STREAM_OPTIONS_ROWS; i++) {
        if (td_bytes_equal(key, td_str_of(keys[i])))
            return true;
    }
    return false;
}

static const char *check_keys(struct td_str map)
{
    struct td_reader r = td_reader_of(map.data, map.len);
    struct td_str key = {NULL, 0};
    struct td_str value;
    uint32_t pairs;

    if (!td_read_map(&r, &pairs))
        return "the options of a stream are a map";
    while (pairs-- > 0) {
        if (!td_read_str(&r, &key) || !is_stream_option(key) ||
            !td_read_raw(&r, &value))
            return "unknown option of a stream";
    }
    return NULL;
}

static const char *read_patterns(struct td_stream_options *out,
                                 struct td_str map)
{
    struct td_str list = {NULL, 0};
    bool given = td_map_find(map, "patterns", &list);
    struct td_reader r;
    uint32_t count;

    if (!given && out->patterns_len > 0)
        return NULL; /* as they are */
    if (!given) {
        out->patterns[0] = td_str_of(">");
        out->patterns_len = 1;
        return td_stream_is_default(out)
                   ? NULL
                   : "patterns is missing: give at least one";
    }
    r = td_reader_of(list.data, list.len);
    if (!td_read_array(&r, &count))
        return "patterns is a list of str";
    if (count > TD_STREAM_PATTERNS_MAX)
        return PATTERNS_RANGE;
    for (uint32_t i = 0; i < count; i++) {
        if (!td_read_str(&r, &out->patterns[i]))
            return "patterns is a list of str";
    }
    out->patterns_len = count;
    return NULL;
}

static const char *check_patterns(const struct td_str *patterns, uint32_t n)
{
    if (n == 0)
        return "patterns is empty: give at least one";
    if (n > TD_STREAM_PATTERNS_MAX)
        return PATTERNS_RANGE;
    for (uint32_t i = 0; i < n; i++) {
        const struct td_str *p = &patterns[i];

        if (!td_pattern_valid(p->data, p->len))
            return "patterns has one that is not valid: tokens joined by dots, "
                   "* for any one, > for all that follow";
        if (p->data[0] == '$')
            return "patterns has one that begins with $: the system's types "
                   "are not stored";
        for (uint32_t k = 0; k < i; k++) {
            if (td_pattern_overlaps(p->data, p->len, patterns[k].data,
                                    patterns[k].len))
                return "patterns has two that match one type: leave one out";
        }
    }
    return NULL;
}

bool td_stream_is_default(const struct td_stream_options *o)
{
    return td_bytes_equal(o->name, td_str_of(TD_STREAM_DEFAULT));
}

const char *td_stream_default_check(const struct td_stream_options *o)
{
    if (!td_stream_is_default(o) ||
        (o->patterns_len == 1 &&
         td_bytes_equal(o->patterns[0], td_str_of(">"))))
        return NULL;
    return "patterns of the stream " TD_STREAM_DEFAULT
           " are not chosen: it takes what no other takes. Leave them out, or "
           "choose another name";
}

const char *td_stream_options_check(const struct td_stream_options *o)
{
    if (!td_group_valid(o->name.data, o->name.len))
        return NAME_RANGE;
    if (o->max_age_ms > INT64_MAX)
        return "max_age_ms" BOUND_RANGE;
    if (o->max_bytes > INT64_MAX)
        return "max_bytes" BOUND_RANGE;
    if (o->max_events > INT64_MAX)
        return "max_events" BOUND_RANGE;
    if (o->dedup_ms > INT64_MAX)
        return DEDUP_RANGE;
    if (o->dedup_events > TD_DEDUP_EVENTS_MAX)
        return WINDOW_RANGE;
    if ((unsigned)o->on_full >= TD_ON_FULLS)
        return ON_FULL_RANGE;
    if ((unsigned)o->storage >= TD_STORAGES)
        return STORAGE_RANGE;
    if (o->compact && (!o->keyed || o->storage != TD_ON_DISK))
        return "compact is for keyed streams with storage disk";
    if (o->tombstone_ms > TD_TOMBSTONE_MS_MAX)
        return TOMBSTONE_RANGE;
    return check_patterns(o->patterns, o->patterns_len);
}

const char *td_stream_options_change(struct td_stream_options *out,
                                     struct td_str map)
{
    unsigned on_full = out->on_full;
    unsigned storage = out->storage;
    const char *why = check_keys(map);

    if (why)
        return why;
    if (!td_map_str(map, "name", &out->name) ||
        !td_group_valid(out->name.data, out->name.len))
        return NAME_RANGE;
    why = read_patterns(out, map);
    if (why)
        return why;
    if (!td_map_uint(map, "max_age_ms", &out->max_age_ms))
        return "max_age_ms" BOUND_RANGE;
    if (!td_map_uint(map, "max_bytes", &out->max_bytes))
        return "max_bytes" BOUND_RANGE;
    if (!td_map_uint(map, "max_events", &out->max_events))
        return "max_events" BOUND_RANGE;
    if (!td_map_uint(map, "dedup_ms", &out->dedup_ms))
        return DEDUP_RANGE;
    if (!td_map_uint(map, "dedup_events", &out->dedup_events))
        return WINDOW_RANGE;
    if (!td_option_name(map, "on_full", td_on_full_names, TD_ON_FULLS,
                        &on_full))
        return ON_FULL_RANGE;
    if (!td_option_name(map, "storage", td_storage_names, TD_STORAGES,
                        &storage))
        return STORAGE_RANGE;
    if (!td_map_bool(map, "keyed", &out->keyed))
        return "keyed is true or false";
    if (!td_map_bool(map, "compact", &out->compact))
        return "compact is true or false";
    if (!td_map_uint(map, "tombstone_ms", &out->tombstone_ms))
        return TOMBSTONE_RANGE;
    out->on_full = (enum td_on_full)on_full;
    out->storage = (enum td_storage)storage;
    return td_stream_options_check(out);
}

const char *td_stream_options_read(struct td_stream_options *out,
                                   struct td_str map)
{
    *out = (struct td_stream_options){
        .dedup_ms = TD_DEDUP_MS,
        .dedup_events = TD_DEDUP_EVENTS,
        .tombstone_ms = TD_TOMBSTONE_MS,
    };
    return td_stream_options_change(out, map);
}

void td_stream_options_rows(struct td_buf *out,
                            const struct td_stream_options *o)
{
    msgpack_packer pk;

    msgpack_packer_init(&pk, out, td_buf_pack_write);
    td_option_pack_str(&pk, "name", o->name);
    td_option_pack_one(&pk, td_str_of("patterns"));
    msgpack_pack_array(&pk, o->patterns_len);
    for (uint32_t i = 0; i < o->patterns_len; i++)
        td_option_pack_one(&pk, o->patterns[i]);
    td_option_pack_uint(&pk, "max_age_ms", o->max_age_ms);
    td_option_pack_uint(&pk, "max_bytes", o->max_bytes);
    td_option_pack_uint(&pk, "max_events", o->max_events);
    td_option_pack_uint(&pk, "dedup_ms", o->dedup_ms);
    td_option_pack_uint(&pk, "dedup_events", o->dedup_events);
    td_option_pack_str(&pk, "on_full", td_str_of(td_on_full_names[o->on_full]));
    td_option_pack_str(&pk, "storage", td_str_of(td_storage_names[o->storage]));
    td_option_pack_bool(&pk, "keyed", o->keyed);
    td_option_pack_bool(&pk, "compact", o->compact);
    td_option_pack_uint(&pk, "tombstone_ms", o->tombstone_ms);
}

void td_stream_options_pack(struct td_buf *out,
                            const struct td_stream_options *o)
{
    msgpack_packer pk;

    msgpack_packer_init(&pk, out, td_buf_pack_write);
    msgpack_pack_map(&pk, TD_STREAM_OPTIONS_ROWS);
    td_stream_options_rows(out, o);
}

bool td_stream_options_equal(const struct td_stream_options *a,
                             const struct td_stream_options *b)
{
    if (a->patterns_len != b->patterns_len)
        return false;
    for (uint32_t i = 0; i < a->patterns_len; i++) {
        if (!td_bytes_equal(a->patterns[i], b->patterns[i]))
            return false;
    }
    return td_bytes_equal(a->name, b->name) && a->max_age_ms == b->max_age_ms &&
           a->max_bytes == b->max_bytes && a->max_events == b->max_events &&
           a->dedup_ms == b->dedup_ms && a->dedup_events == b->dedup_events &&
           a->on_full == b->on_full && a->storage == b->storage &&
           a->keyed == b->keyed && a->compact == b->compact &&
           a->tombstone_ms == b->tombstone_ms;
}
