#include "broker/config_entry.h"

#include <msgpack.h>
#include <stddef.h>
#include <string.h>

#include "broker/units.h"
#include "proto/frame.h"
#include "proto/option.h"

/* ---- the rows ---- */

enum kind { NAME, NUMBER, SIZE, DURATION, START, YES };

struct field {
    const char *key;  /* in the file */
    const char *wire; /* in a map */
    size_t at;
    enum kind kind;
};

#define ROW(of, key, wire, kind)                                               \
    {                                                                          \
#key, wire, offsetof(struct of, key), kind                             \
    }

static const struct field stream_fields[] = {
    ROW(td_raw_stream, name, "name", NAME),
    ROW(td_raw_stream, max_age, "max_age_ms", DURATION),
    ROW(td_raw_stream, max_bytes, "max_bytes", SIZE),
    ROW(td_raw_stream, max_events, "max_events", NUMBER),
    ROW(td_raw_stream, dedup, "dedup_ms", DURATION),
    ROW(td_raw_stream, dedup_events, "dedup_events", NUMBER),
    ROW(td_raw_stream, on_full, "on_full", NAME),
    ROW(td_raw_stream, storage, "storage", NAME),
    ROW(td_raw_stream, keyed, "keyed", YES),
    ROW(td_raw_stream, compact, "compact", YES),
    ROW(td_raw_stream, tombstone, "tombstone_ms", DURATION),
    {NULL, NULL, 0, NAME},
};

static const struct field group_fields[] = {
    ROW(td_raw_group, stream, "stream", NAME),
    ROW(td_raw_group, group, "group", NAME),
    ROW(td_raw_group, pattern, "pattern", NAME),
    ROW(td_raw_group, start, "start", START),
    ROW(td_raw_group, group_policy, "group_policy", NAME),
    ROW(td_raw_group, max_in_flight, "max_in_flight", NUMBER),
    ROW(td_raw_group, ack_wait, "ack_wait_ms", DURATION),
    ROW(td_raw_group, max_deliver, "max_deliver", NUMBER),
    ROW(td_raw_group, backoff, "backoff_ms", DURATION),
    ROW(td_raw_group, backoff_max, "backoff_max_ms", DURATION),
    {NULL, NULL, 0, NAME},
};

static const char *value_of(const void *raw, const struct field *field)
{
    return *(char *const *)((const char *)raw + field->at);
}

/* ---- packing ---- */

/* NULL, or what was expected; here and below. */
static const char *pack_start(msgpack_packer *pk, uint32_t *pairs,
                              const char *value)
{
    uint64_t sequence;
    int64_t ms;

    ++*pairs;
    if (td_number_read(&sequence, value)) {
        td_option_pack_uint(pk, "start", sequence);
    } else if (td_moment_read(&ms, value)) {
        td_option_pack_str(pk, "start", td_str_of("time"));
        td_option_pack_uint(pk, "start_ms", (uint64_t)ms);
        ++*pairs;
    } else if (strcmp(value, "new") == 0 || strcmp(value, "all") == 0 ||
               strcmp(value, "last") == 0) {
        td_option_pack_str(pk, "start", td_str_of(value));
    } else {
        return "new, all, last, a sequence, or a time such as 2024-02-29 or "
               "2024-02-29T12:00:00Z";
    }
    return NULL;
}

static const char *pack_yes(msgpack_packer *pk, const char *key,
                            const char *value)
{
    bool yes = strcmp(value, "true") == 0;

    if (!yes && strcmp(value, "false") != 0)
        return "true or false";
    td_option_pack_bool(pk, key, yes);
    return NULL;
}

static const char *pack_value(msgpack_packer *pk, uint32_t *pairs,
                              const struct field *field, const char *value)
{
    uint64_t n = 0;

    if (field->kind == START)
        return pack_start(pk, pairs, value);
    ++*pairs;
    if (field->kind == NAME) {
        td_option_pack_str(pk, field->wire, td_str_of(value));
        return NULL;
    }
    if (field->kind == YES)
        return pack_yes(pk, field->wire, value);
    if (field->kind == NUMBER && !td_number_read(&n, value))
        return "a number";
    if (field->kind == SIZE && !td_size_read(&n, value))
        return "a number of bytes, with K, M or G";
    if (field->kind == DURATION && !td_duration_read(&n, value))
        return "a duration such as 200ms, 30s, 10m, 2h or 7d";
    td_option_pack_uint(pk, field->wire, n);
    return NULL;
}

static bool pack_fields(struct td_buf *rows, uint32_t *pairs, const void *raw,
                        const struct field *field, struct td_refused *why)
{
    msgpack_packer pk;

    msgpack_packer_init(&pk, rows, td_buf_pack_write);
    for (; field->key; field++) {
        const char *value = value_of(raw, field);

        why->text = value ? pack_value(&pk, pairs, field, value) : NULL;
        if (!why->text)
            continue;
        why->key = field->key;
        why->value = value;
        return false;
    }
    return true;
}

static void pack_patterns(struct td_buf *rows, uint32_t *pairs,
                          const struct td_raw_stream *raw)
{
    msgpack_packer pk;

    msgpack_packer_init(&pk, rows, td_buf_pack_write);
    td_option_pack_one(&pk, td_str_of("patterns"));
    msgpack_pack_array(&pk, raw->patterns_len);
    for (uint32_t i = 0; i < raw->patterns_len; i++)
        td_option_pack_one(&pk, td_str_of(raw->patterns[i]));
    ++*pairs;
}

static bool finish(struct td_buf *map, const struct td_buf *rows,
                   uint32_t pairs, struct td_refused *why)
{
    msgpack_packer pk;

    msgpack_packer_init(&pk, map, td_buf_pack_write);
    msgpack_pack_map(&pk, pairs);
    td_buf_append(map, rows->data, rows->len);
    if (map->failed || rows->failed)
        why->text = "out of memory";
    else if (!td_scan(map->data, map->len, &td_scan_control))
        why->text = "there is too much of it, or it is not UTF-8";
    return !why->text;
}

/* ---- reading ---- */

/* A text of proto's begins with the option that it is about. */
static bool refuse(struct td_refused *why, const struct field *field,
                   const char *text)
{
    size_t len = strcspn(text, " ");

    why->text = text;
    if (strncmp(text, "patterns ", 9) == 0)
        why->key = "patterns";
    for (; field->key; field++) {
        if (strlen(field->wire) == len && memcmp(field->wire, text, len) == 0)
            why->key = field->key;
    }
    return false;
}

static struct td_str str_of(const struct td_buf *map)
{
    return (struct td_str){(const char *)map->data, map->len};
}

bool td_config_stream(struct td_stream_options *out, struct td_buf *map,
                      const struct td_raw_stream *raw, struct td_refused *why)
{
    struct td_buf rows = {0};
    uint32_t pairs = 0;
    const char *text;
    bool ok;

    *why = (struct td_refused){NULL, NULL, NULL};
    ok = pack_fields(&rows, &pairs, raw, stream_fields, why);
    if (raw->patterns_len > 0) /* none, or left out */
        pack_patterns(&rows, &pairs, raw);
    ok = ok && finish(map, &rows, pairs, why);
    td_buf_fini(&rows);
    if (!ok)
        return false;
    text = td_stream_options_read(out, str_of(map));
    if (!text)
        text = td_stream_default_check(out);
    return !text || refuse(why, stream_fields, text);
}

bool td_config_group(struct td_declared_group *out, struct td_buf *map,
                     const struct td_raw_group *raw, struct td_refused *why)
{
    struct td_buf rows = {0};
    uint32_t pairs = 0;
    const char *text;
    bool ok;

    *why = (struct td_refused){NULL, NULL, NULL};
    ok = pack_fields(&rows, &pairs, raw, group_fields, why) &&
         finish(map, &rows, pairs, why);
    td_buf_fini(&rows);
    if (!ok)
        return false;
    text = td_durable_options_read(&out->options, str_of(map), &out->given);
    return !text || refuse(why, group_fields, text);
}
