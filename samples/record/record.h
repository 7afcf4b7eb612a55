/* Records: what programs tell each other, declared once.
 *
 * The fields of a record stand in a table; its struct, encoder and decoder are
 * made from that, so they cannot disagree, and a new field is a new line. A
 * program names its records and includes this file:
 *
 *     #define RECORD(name) shop_##name            // struct shop_item, ...
 *     #include "record/record.h"
 *
 *     #define SHOP_ITEM(TEXT, NUMBER, LIST)                               \
 *         TEXT(product_id, 32)                                            \
 *         NUMBER(quantity, 1, 1000)
 *
 *     RECORD_STRUCT(item, SHOP_ITEM)
 *     RECORD_FUNCTIONS(item)
 *
 * and in one of its .c files, with the same two names:
 *
 *     #include "record/define.h"
 *
 *     RECORD_DEFINE(item, SHOP_ITEM)
 *
 * What is out of a field's bounds is neither written nor believed: both ways
 * go through the same check. Keys that a reader does not know are ignored, so
 * that a newer writer may add fields.
 */
#ifndef RECORD_H
#define RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tidings/tidings.h>

/* TEXT(field, max)         1..max bytes of text, no control characters
 * NUMBER(field, min, max)  an integer
 * LIST(field, record, max) 1..max records of a table above it: field, and
 *                          field_len */

#define RECORD_TEXT(field, max)        char field[(max) + 1];
#define RECORD_NUMBER(field, min, max) int64_t field;
#define RECORD_LIST(field, record, max)                                        \
    struct RECORD(record) field[max];                                          \
    size_t field##_len;

#define RECORD_STRUCT(record, fields)                                          \
    struct RECORD(record) {                                                    \
        fields(RECORD_TEXT, RECORD_NUMBER, RECORD_LIST)                        \
    };

/* ---- two functions for each record
 *
 * shop_pack_item(w, &item)
 *     The record as a msgpack map, all that is in the writer. TIDINGS_EINVAL:
 *     a field is out of bounds, nothing was written; TIDINGS_ENOMEM shows when
 *     the bytes are asked for.
 *
 * shop_unpack_item(&out, data, len)
 *     TIDINGS_EPROTO: the bytes are no such record; out is untouched.
 *
 * In both cases tidings_detail() names the field. */
#define RECORD_FUNCTIONS(record)                                               \
    tidings_err RECORD(pack_##record)(tidings_writer * w,                      \
                                      const struct RECORD(record) * from);     \
    tidings_err RECORD(unpack_##record)(struct RECORD(record) * out,           \
                                        const void *data, size_t len);

/**
 * Fill a text field of size bytes (sizeof(record.field)) from a string.
 *
 * @return TIDINGS_OK, TIDINGS_ELIMIT if it does not fit.
 */
tidings_err record_set_text(char *field, size_t size, const char *text);

/* ---- for define.h ---- */

/* Names the field that is wrong; returns err. */
tidings_err record_wrong(tidings_err err, const char *record, const char *field,
                         const char *what);
/* Programs print what they are told, so no escape sequence gets through. */
bool record_is_text(const char *bytes, size_t len);
/* What the map holds under the key of a field. */
tidings_err record_read_text(char *out, size_t size, struct tidings_value map,
                             const char *record, const char *field);
tidings_err record_read_number(int64_t *out, struct tidings_value map,
                               const char *record, const char *field);
tidings_err record_read_list(struct tidings_value *out, size_t *len, size_t max,
                             struct tidings_value map, const char *record,
                             const char *field);

#endif
