/* tidings/data.h: build and read the data of an event, a msgpack map.
 *
 * Writing is a list of puts; the first failure sticks, so one check at the
 * end is enough:
 *
 *     tidings_writer *w = tidings_writer_new();
 *     tidings_put_map(w, 2);
 *     tidings_put_string(w, "user_id");  tidings_put_string(w, "u1");
 *     tidings_put_string(w, "age");      tidings_put_int(w, 42);
 *     err = tidings_writer_bytes(w, &data, &len);   // the writer's memory
 *     ...
 *     tidings_writer_free(w);
 *
 * Reading borrows the bytes, allocates nothing and copies nothing; the bytes
 * are checked once, whole, before anything in them is believed:
 *
 *     struct tidings_value map;
 *     err = tidings_value_read(&map, event->data, event->data_len);
 *     err = tidings_get_int(&age, map, "age");
 *
 * Threads: a writer is used by one thread at a time; values are plain.
 */
#ifndef TIDINGS_DATA_H
#define TIDINGS_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tidings/err.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- writing ---- */

typedef struct tidings_writer tidings_writer;

/** An empty writer, NULL when out of memory; all puts accept NULL. */
TIDINGS_API tidings_writer *tidings_writer_new(void);
TIDINGS_API void tidings_writer_free(tidings_writer *w);
/** Forget what was written, keep the memory. */
TIDINGS_API void tidings_writer_reset(tidings_writer *w);

/** A map of pairs pairs follows: key, value, key, value, … */
TIDINGS_API void tidings_put_map(tidings_writer *w, uint32_t pairs);
/** An array of items values follows. */
TIDINGS_API void tidings_put_array(tidings_writer *w, uint32_t items);
TIDINGS_API void tidings_put_nil(tidings_writer *w);
TIDINGS_API void tidings_put_bool(tidings_writer *w, bool value);
TIDINGS_API void tidings_put_int(tidings_writer *w, int64_t value);
TIDINGS_API void tidings_put_uint(tidings_writer *w, uint64_t value);
TIDINGS_API void tidings_put_double(tidings_writer *w, double value);
/** NUL-terminated UTF-8; NULL is written as nil. */
TIDINGS_API void tidings_put_string(tidings_writer *w, const char *value);
TIDINGS_API void tidings_put_string_n(tidings_writer *w, const char *value,
                                      size_t len);
TIDINGS_API void tidings_put_binary(tidings_writer *w, const void *value,
                                    size_t len);

/**
 * What was written, if it is exactly one complete value.
 *
 * @return TIDINGS_OK      *out and *len are set; valid until the next put,
 *                         reset or free.
 *         TIDINGS_EINVAL  fewer or more values than the maps and arrays said,
 *                         or they are nested more than 32 deep.
 *         TIDINGS_ENOMEM  some put, or tidings_writer_new(), had no memory.
 *         TIDINGS_ELIMIT  longer than an event's data may be.
 */
TIDINGS_API tidings_err tidings_writer_bytes(tidings_writer *w,
                                             const void **out, size_t *len);

/* ---- reading ---- */

enum tidings_kind {
    TIDINGS_KIND_NIL,
    TIDINGS_KIND_BOOL,
    TIDINGS_KIND_INT,
    TIDINGS_KIND_DOUBLE,
    TIDINGS_KIND_STRING,
    TIDINGS_KIND_BINARY,
    TIDINGS_KIND_ARRAY,
    TIDINGS_KIND_MAP,
    TIDINGS_KIND_EXT
};

/** One checked msgpack value; borrowed bytes. Make it only by the calls here. */
struct tidings_value {
    const unsigned char *bytes;
    size_t len;
};

/**
 * Check len bytes as one msgpack value: nesting at most 32, every length
 * within the bytes, nothing left over.
 *
 * @return TIDINGS_OK, or TIDINGS_EPROTO: the bytes are not one such value.
 */
TIDINGS_API tidings_err tidings_value_read(struct tidings_value *out,
                                           const void *data, size_t len);

TIDINGS_API enum tidings_kind tidings_value_kind(struct tidings_value value);
/** Pairs of a map, items of an array, otherwise 0. */
TIDINGS_API size_t tidings_value_count(struct tidings_value value);

/** The value under a string key. TIDINGS_ENOTFOUND: no map, or no such key;
 *  of equal keys the first counts. */
TIDINGS_API tidings_err tidings_get(struct tidings_value *out,
                                    struct tidings_value map, const char *key);
/** The i-th item of an array, from 0; TIDINGS_ENOTFOUND past its end. Walks
 *  from the first: bound what you loop over. */
TIDINGS_API tidings_err tidings_at(struct tidings_value *out,
                                   struct tidings_value array, size_t i);
/** The i-th pair of a map, likewise. */
TIDINGS_API tidings_err tidings_pair_at(struct tidings_value *key,
                                        struct tidings_value *value,
                                        struct tidings_value map, size_t i);

/* TIDINGS_EINVAL: the value is of another kind, or does not fit. Strings are
 * not NUL-terminated and point into the data. */
TIDINGS_API tidings_err tidings_as_bool(bool *out, struct tidings_value value);
TIDINGS_API tidings_err tidings_as_int(int64_t *out,
                                       struct tidings_value value);
TIDINGS_API tidings_err tidings_as_uint(uint64_t *out,
                                        struct tidings_value value);
/** Also from an integer. */
TIDINGS_API tidings_err tidings_as_double(double *out,
                                          struct tidings_value value);
TIDINGS_API tidings_err tidings_as_string(const char **out, size_t *len,
                                          struct tidings_value value);
TIDINGS_API tidings_err tidings_as_binary(const void **out, size_t *len,
                                          struct tidings_value value);

/* The two steps in one: TIDINGS_ENOTFOUND or TIDINGS_EINVAL as above. */
TIDINGS_API tidings_err tidings_get_int(int64_t *out, struct tidings_value map,
                                        const char *key);
TIDINGS_API tidings_err tidings_get_uint(uint64_t *out,
                                         struct tidings_value map,
                                         const char *key);
/** Copies at most size - 1 bytes and a NUL; TIDINGS_ELIMIT if it is longer. */
TIDINGS_API tidings_err tidings_get_string(char *out, size_t size,
                                           struct tidings_value map,
                                           const char *key);

#ifdef __cplusplus
}
#endif
#endif
