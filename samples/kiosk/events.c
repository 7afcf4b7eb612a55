/* Checks, encoders and decoders, made from the tables of events.h. */
#include "events.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Names the field that is wrong; errors keep their first cause. */
static tidings_err wrong(tidings_err err, const char *record, const char *field,
                         const char *what)
{
    char text[160];

    snprintf(text, sizeof(text), "%s.%s: %s", record, field, what);
    tidings_set_detail(text);
    return err;
}

/* Services print what they are told, so no escape sequence gets through. */
static bool is_text(const char *bytes, size_t len)
{
    if (len == 0)
        return false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)bytes[i];

        if (c < 0x20 || c == 0x7f)
            return false;
    }
    return true;
}

tidings_err kiosk_set_text(char *field, size_t size, const char *text)
{
    size_t len = strlen(text);

    if (len >= size)
        return TIDINGS_ELIMIT;
    memcpy(field, text, len + 1);
    return TIDINGS_OK;
}

/* ---- check: what is neither written nor believed ---- */

#define CHECK_TEXT(field, max)                                                 \
    if (!is_text(record->field, strlen(record->field)))                        \
        return wrong(err, name, #field, "is empty or not plain text");
#define CHECK_NUMBER(field, min, max)                                          \
    if (record->field < (min) || record->field > (max))                        \
        return wrong(err, name, #field, "is not in " #min ".." #max);
#define CHECK_LIST(field, part, max)                                           \
    if (record->field##_len < 1 || record->field##_len > (max))                \
        return wrong(err, name, #field, "has not 1.." #max " entries");        \
    for (size_t i = 0; i < record->field##_len; i++)                           \
        if (check_##part(&record->field[i], err))                              \
            return err;

#define DEFINE_CHECK(part, fields)                                             \
    static tidings_err check_##part(const struct kiosk_##part *record,         \
                                    tidings_err err)                           \
    {                                                                          \
        static const char name[] = #part;                                      \
                                                                               \
        fields(CHECK_TEXT, CHECK_NUMBER, CHECK_LIST) return TIDINGS_OK;        \
    }

/* ---- encode: a map with a key for each field ---- */

#define COUNT_FIELD(...) +1
#define ENCODE_TEXT(field, max)                                                \
    tidings_put_string(w, #field);                                             \
    tidings_put_string(w, record->field);
#define ENCODE_NUMBER(field, min, max)                                         \
    tidings_put_string(w, #field);                                             \
    tidings_put_int(w, record->field);
#define ENCODE_LIST(field, part, max)                                          \
    tidings_put_string(w, #field);                                             \
    tidings_put_array(w, (uint32_t)record->field##_len);                       \
    for (size_t i = 0; i < record->field##_len; i++)                           \
        encode_##part(w, &record->field[i]);

#define DEFINE_ENCODE(part, fields)                                            \
    static void encode_##part(tidings_writer *w,                               \
                              const struct kiosk_##part *record)               \
    {                                                                          \
        tidings_put_map(w, 0 fields(COUNT_FIELD, COUNT_FIELD, COUNT_FIELD));   \
        fields(ENCODE_TEXT, ENCODE_NUMBER, ENCODE_LIST)                        \
    }

/* ---- decode: what the map holds under the key of each field ---- */

static tidings_err read_text(char *out, size_t size, struct tidings_value map,
                             const char *record, const char *field)
{
    struct tidings_value value;
    const char *bytes;
    size_t len;

    if (tidings_get(&value, map, field))
        return wrong(TIDINGS_EPROTO, record, field, "is missing");
    if (tidings_as_string(&bytes, &len, value))
        return wrong(TIDINGS_EPROTO, record, field, "is no string");
    if (len >= size)
        return wrong(TIDINGS_EPROTO, record, field, "is too long");
    if (!is_text(bytes, len)) /* also a NUL, which would cut it short */
        return wrong(TIDINGS_EPROTO, record, field,
                     "is empty or not plain text");

    memcpy(out, bytes, len);
    out[len] = '\0';
    return TIDINGS_OK;
}

static tidings_err read_number(int64_t *out, struct tidings_value map,
                               const char *record, const char *field)
{
    struct tidings_value value;

    if (tidings_get(&value, map, field))
        return wrong(TIDINGS_EPROTO, record, field, "is missing");
    if (tidings_as_int(out, value))
        return wrong(TIDINGS_EPROTO, record, field, "is no 64-bit integer");
    return TIDINGS_OK;
}

static tidings_err read_list(struct tidings_value *out, size_t *len, size_t max,
                             struct tidings_value map, const char *record,
                             const char *field)
{
    if (tidings_get(out, map, field))
        return wrong(TIDINGS_EPROTO, record, field, "is missing");
    if (tidings_value_kind(*out) != TIDINGS_KIND_ARRAY)
        return wrong(TIDINGS_EPROTO, record, field, "is no list");
    *len = tidings_value_count(*out);
    if (*len > max)
        return wrong(TIDINGS_EPROTO, record, field, "has too many entries");
    return TIDINGS_OK;
}

#define DECODE_TEXT(field, max)                                                \
    if (read_text(record->field, sizeof(record->field), map, name, #field))    \
        return TIDINGS_EPROTO;
#define DECODE_NUMBER(field, min, max)                                         \
    if (read_number(&record->field, map, name, #field))                        \
        return TIDINGS_EPROTO;
#define DECODE_LIST(field, part, max)                                          \
    if (read_list(&list, &record->field##_len, max, map, name, #field))        \
        return TIDINGS_EPROTO;                                                 \
    for (size_t i = 0; i < record->field##_len; i++)                           \
        if (tidings_at(&entry, list, i) ||                                     \
            decode_##part(&record->field[i], entry))                           \
            return TIDINGS_EPROTO;

#define DEFINE_DECODE(part, fields)                                            \
    static tidings_err decode_##part(struct kiosk_##part *record,              \
                                     struct tidings_value map)                 \
    {                                                                          \
        static const char name[] = #part;                                      \
        struct tidings_value list, entry;                                      \
                                                                               \
        (void)list; /* a record without lists needs neither */                 \
        (void)entry;                                                           \
        fields(DECODE_TEXT, DECODE_NUMBER, DECODE_LIST) return TIDINGS_OK;     \
    }

#define DEFINE_RECORD(part, fields)                                            \
    DEFINE_CHECK(part, fields)                                                 \
    DEFINE_ENCODE(part, fields)                                                \
    DEFINE_DECODE(part, fields)
#define DEFINE_EVENT_RECORD(part, type, fields) DEFINE_RECORD(part, fields)

KIOSK_PARTS(DEFINE_RECORD)
KIOSK_EVENTS(DEFINE_EVENT_RECORD)

/* ---- the public pair ---- */

#define DEFINE_PUBLISH(part, type, fields)                                     \
    tidings_err kiosk_publish_##part(tidings_bus *bus,                         \
                                     const struct kiosk_##part *event)         \
    {                                                                          \
        tidings_err err = check_##part(event, TIDINGS_EINVAL);                 \
        tidings_writer *w = NULL;                                              \
        const void *data;                                                      \
        size_t len;                                                            \
                                                                               \
        if (err)                                                               \
            return err;                                                        \
        w = tidings_writer_new();                                              \
        encode_##part(w, event);                                               \
        err = tidings_writer_bytes(w, &data, &len);                            \
        if (!err)                                                              \
            err = tidings_publish(bus, type, data, len);                       \
        tidings_writer_free(w);                                                \
        return err;                                                            \
    }

#define DEFINE_READ(part, type, fields)                                        \
    tidings_err kiosk_read_##part(struct kiosk_##part *out,                    \
                                  const struct tidings_event *event)           \
    {                                                                          \
        struct kiosk_##part record;                                            \
        struct tidings_value map;                                              \
                                                                               \
        if (tidings_value_read(&map, event->data, event->data_len)) {          \
            tidings_set_detail(#part ": the data is not msgpack");             \
            return TIDINGS_EPROTO;                                             \
        }                                                                      \
        memset(&record, 0, sizeof(record));                                    \
        if (decode_##part(&record, map) ||                                     \
            check_##part(&record, TIDINGS_EPROTO))                             \
            return TIDINGS_EPROTO;                                             \
        *out = record;                                                         \
        return TIDINGS_OK;                                                     \
    }

KIOSK_EVENTS(DEFINE_PUBLISH)
KIOSK_EVENTS(DEFINE_READ)
