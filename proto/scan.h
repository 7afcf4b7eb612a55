/* The bounded msgpack scanner and a reader for what it has passed.
 *
 * msgpack-c allocates by the count field alone: five bytes can ask it for
 * 96 GB (its issue 1013). So every byte from a peer is walked here first,
 * without allocation or recursion, and what is hot is read here as well. */
#ifndef TD_SCAN_H
#define TD_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tidings/err.h"

/* Borrowed bytes. */
struct td_str {
    const char *data;
    size_t len;
};

struct td_scan_limits {
    unsigned depth; /* nested arrays and maps, at most 32 */
    size_t nodes;   /* values, containers and their keys included */
    bool ext;       /* whether ext values may occur */
};

extern const struct td_scan_limits td_scan_control; /* control frames */
extern const struct td_scan_limits td_scan_attrs;   /* an event's attributes */
extern const struct td_scan_limits td_scan_data;    /* users' data */

/* Whether the bytes are exactly one msgpack value within the limits. */
bool td_scan(const void *data, size_t len, const struct td_scan_limits *limits);

enum td_kind {
    TD_KIND_NIL,
    TD_KIND_BOOL,
    TD_KIND_UINT,
    TD_KIND_NINT, /* negative */
    TD_KIND_FLOAT,
    TD_KIND_STR,
    TD_KIND_BIN,
    TD_KIND_ARRAY,
    TD_KIND_MAP,
    TD_KIND_EXT,
    TD_KIND_NONE /* the bytes are at their end, or no msgpack */
};

/* One value's head, read by td_read_head. */
struct td_head {
    enum td_kind kind;
    size_t size; /* bytes of the head itself */
    union {
        bool boolean;
        uint64_t uint;
        int64_t nint;
        double real;
        uint64_t len;   /* STR, BIN, EXT: bytes that follow */
        uint64_t count; /* ARRAY: items, MAP: pairs that follow */
    } u;
};

/* The head of the value at p; kind NONE unless all of it lies before end. */
struct td_head td_head_at(const uint8_t *p, const uint8_t *end);

/* A cursor. Every read is bounded; one that fails returns false and leaves
 * the cursor where it was. */
struct td_reader {
    const uint8_t *p;
    const uint8_t *end;
};

struct td_reader td_reader_of(const void *data, size_t len);
bool td_read_uint(struct td_reader *r, uint64_t *out); /* 0..2^63-1 */
bool td_read_int(struct td_reader *r, int64_t *out);
bool td_read_bool(struct td_reader *r, bool *out);
bool td_read_str(struct td_reader *r, struct td_str *out);
bool td_read_bin(struct td_reader *r, struct td_str *out);
bool td_read_array(struct td_reader *r, uint32_t *count);
bool td_read_map(struct td_reader *r, uint32_t *pairs);
/* The next value whole, whatever it is, as bytes. Needs scanned bytes. */
bool td_read_raw(struct td_reader *r, struct td_str *out);

/* The value of a key in a scanned map, as bytes; false if it is no map or
 * has no such key. Of equal keys the first counts. */
bool td_map_find(struct td_str map, const char *key, struct td_str *out);
/* An unsigned option: absent leaves *out, another shape is false. */
bool td_map_uint(struct td_str map, const char *key, uint64_t *out);
/* A string option: absent leaves *out, another shape is false. */
bool td_map_str(struct td_str map, const char *key, struct td_str *out);
bool td_map_bin(struct td_str map, const char *key, struct td_str *out);
bool td_map_bool(struct td_str map, const char *key, bool *out);

#endif
