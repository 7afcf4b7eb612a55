/* Checks, encoders and decoders, made from the tables of record.h. Included
 * once, by the file that is to hold them. */
#ifndef RECORD_DEFINE_H
#define RECORD_DEFINE_H

#include "record.h"

#include <string.h>

/* ---- check: what is neither written nor believed ---- */

#define CHECK_TEXT(field, max)                                                 \
    if (!record_is_text(record->field, strlen(record->field)))                 \
        return record_wrong(err, name, #field, "is empty or not plain text");
#define CHECK_NUMBER(field, min, max)                                          \
    if (record->field < (min) || record->field > (max))                        \
        return record_wrong(err, name, #field, "is not in " #min ".." #max);
#define CHECK_LIST(field, part, max)                                           \
    if (record->field##_len < 1 || record->field##_len > (max))                \
        return record_wrong(err, name, #field, "has not 1.." #max " entries"); \
    for (size_t i = 0; i < record->field##_len; i++)                           \
        if (check_##part(&record->field[i], err))                              \
            return err;

#define DEFINE_CHECK(part, fields)                                             \
    static tidings_err check_##part(const struct RECORD(part) * record,        \
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
                              const struct RECORD(part) * record)              \
    {                                                                          \
        tidings_put_map(w, 0 fields(COUNT_FIELD, COUNT_FIELD, COUNT_FIELD));   \
        fields(ENCODE_TEXT, ENCODE_NUMBER, ENCODE_LIST)                        \
    }

/* ---- decode ---- */

#define DECODE_TEXT(field, max)                                                \
    if (record_read_text(record->field, sizeof(record->field), map, name,      \
                         #field))                                              \
        return TIDINGS_EPROTO;
#define DECODE_NUMBER(field, min, max)                                         \
    if (record_read_number(&record->field, map, name, #field))                 \
        return TIDINGS_EPROTO;
#define DECODE_LIST(field, part, max)                                          \
    if (record_read_list(&list, &record->field##_len, max, map, name, #field)) \
        return TIDINGS_EPROTO;                                                 \
    for (size_t i = 0; i < record->field##_len; i++)                           \
        if (tidings_at(&entry, list, i) ||                                     \
            decode_##part(&record->field[i], entry))                           \
            return TIDINGS_EPROTO;

#define DEFINE_DECODE(part, fields)                                            \
    static tidings_err decode_##part(struct RECORD(part) * record,             \
                                     struct tidings_value map)                 \
    {                                                                          \
        static const char name[] = #part;                                      \
        struct tidings_value list, entry;                                      \
                                                                               \
        (void)list; /* a record without lists needs neither */                 \
        (void)entry;                                                           \
        fields(DECODE_TEXT, DECODE_NUMBER, DECODE_LIST) return TIDINGS_OK;     \
    }

/* ---- both, and what is public of them ---- */

#define DEFINE_PAIR(part)                                                      \
    tidings_err RECORD(pack_##part)(tidings_writer * w,                        \
                                    const struct RECORD(part) * from)          \
    {                                                                          \
        tidings_err err = check_##part(from, TIDINGS_EINVAL);                  \
                                                                               \
        tidings_writer_reset(w);                                               \
        if (!err)                                                              \
            encode_##part(w, from);                                            \
        return err;                                                            \
    }                                                                          \
                                                                               \
    tidings_err RECORD(unpack_##part)(struct RECORD(part) * out,               \
                                      const void *data, size_t len)            \
    {                                                                          \
        struct RECORD(part) record;                                            \
        struct tidings_value map;                                              \
                                                                               \
        if (tidings_value_read(&map, data, len)) {                             \
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

/* Records that others are made of come before those that use them. */
#define RECORD_DEFINE(part, fields)                                            \
    DEFINE_CHECK(part, fields)                                                 \
    DEFINE_ENCODE(part, fields)                                                \
    DEFINE_DECODE(part, fields)                                                \
    DEFINE_PAIR(part)

#endif
