/* convert.h: data between msgpack, jansson's values and JSON text.
 *
 * One rule decides what JSON can say: what we write, we can read back as the
 * same data. So besides binary, ext, keys that are not strings and numbers
 * that are not finite, these have no JSON form: equal keys in one map, NUL in
 * a string, strings that are not UTF-8, integers beyond 63 bits. */
#ifndef TD_JSON_CONVERT_H
#define TD_JSON_CONVERT_H

#include <stddef.h>

#include <jansson.h>

#include "client/json/text.h"
#include "tidings/err.h"

/* Most JSON text that is read: an event of largest size, each byte of it
 * written as \u00xx, fits. */
#define TD_JSON_BYTES_MAX (8u << 20)

/** Sets tidings_detail() and returns err. */
tidings_err td_json_fail(tidings_err err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** Strict JSON text; the detail says what is wrong and where.
 *  TIDINGS_EINVAL, TIDINGS_ENOMEM */
tidings_err td_json_load(json_t **out, const char *json, size_t len);

/** TIDINGS_EINVAL: too deep or too large for an event. TIDINGS_ENOMEM */
tidings_err td_json_to_msgpack(void **out, size_t *out_len,
                               const json_t *value);

/** TIDINGS_EINVAL: too deep for an event. Memory: see td_text_take(). */
tidings_err td_json_to_text(struct td_text *t, const json_t *value);

/** TIDINGS_EINVAL: not msgpack, or nothing that JSON can say; part of it may
 *  have been written. TIDINGS_ENOMEM */
tidings_err td_msgpack_to_text(struct td_text *t, const void *data, size_t len);

#endif
