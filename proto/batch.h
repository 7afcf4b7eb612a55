/* Batches and the events in them: PROTOCOL.md 5. */
#ifndef TD_BATCH_H
#define TD_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/buf.h"
#include "proto/limits.h"
#include "proto/scan.h"
#include "tidings/err.h"

enum td_run_flag {
    TD_RUN_ID = 1,       /* events carry their own id */
    TD_RUN_KEY = 2,      /* a partitionkey */
    TD_RUN_EXPIRY = 4,   /* an expirytime */
    TD_RUN_GIVEN_UP = 8, /* nothing: was kept for a schedule */
    TD_RUN_FLAGS_ALL = 15
};

/* Events of one type with consecutive sequences, next to one another. */
struct td_run {
    struct td_str type; /* borrowed */
    uint32_t count;     /* events, at least 1 */
    uint32_t bytes;     /* in the body, prefixes included */
    uint64_t first;     /* sequence of the first event */
    uint32_t flags;     /* enum td_run_flag */
};

/* What one producer sent at once. */
struct td_batch {
    struct td_str producer; /* TD_PRODUCER_BYTES, borrowed */
    struct td_str source;   /* borrowed */
    int64_t base_us;        /* Unix microseconds */
    const struct td_run *runs;
    uint32_t runs_len;
    uint32_t events; /* of all its runs */
    uint32_t bytes;
    struct td_str wire; /* the encoded table this was decoded from */
};

/* All batches of one message; big, so whoever decodes keeps one. */
struct td_batches {
    struct td_batch batch[TD_BATCHES_MAX];
    struct td_run runs[TD_RUNS_MAX];
    uint32_t len;      /* batches */
    uint32_t runs_len; /* of all batches */
    uint32_t events;
    uint32_t bytes; /* of the whole body */
};

/**
 * Decode the batches of a PUBLISH or DELIVER and check them against the
 * body: shapes, limits, valid types, counts and bytes that meet the length
 * prefixes exactly, sequences that rise. Opens no event.
 *
 * @param wire  the scanned msgpack array; borrowed by *out.
 * @param why   on failure: a text for the peer, static.
 * @return TIDINGS_OK, or TIDINGS_EPROTO and *out not to be used.
 */
tidings_err td_batches_decode(struct td_batches *out, struct td_str wire,
                              const uint8_t *body, size_t body_len,
                              const char **why);

/* The same without looking at the body: for a reader that opens every event,
 * and so finds out by itself. */
tidings_err td_batches_read(struct td_batches *out, struct td_str wire,
                            size_t body_len, const char **why);

/* Events and body bytes of a list of batches, by its table alone; false: it is
 * malformed, or beyond a message's limits. */
bool td_batches_sum(struct td_str wire, uint32_t *events, uint32_t *bytes);

/* Encoding: the list's head, then of each batch its head and its runs. */
void td_batches_begin(struct td_buf *b, uint32_t batches);
void td_batch_pack(struct td_buf *b, const struct td_batch *batch);

/* Skips count events from p; NULL if they do not lie whole before end. */
const uint8_t *td_events_skip(const uint8_t *p, const uint8_t *end,
                              uint32_t count);

/* ---- one event ---- */

/* An opened event; borrowed bytes. */
struct td_event {
    int64_t dt_us; /* after the batch's base */
    struct td_str data;
    struct td_str attrs; /* a scanned msgpack map, or empty: none */
};

/* Bytes that the event takes in a body, prefix included. */
size_t td_event_size(int64_t dt_us, size_t data_len, size_t attrs_len);

/* Writes an event of td_event_size() bytes and returns its end. attrs is an
 * encoded map, or empty. */
uint8_t *td_event_put(uint8_t *p, int64_t dt_us, const void *data,
                      size_t data_len, struct td_str attrs);

/* Opens the event at *p and moves *p past it; false: it is malformed, and
 * *p is past it if its prefix was whole, otherwise at end. */
bool td_event_open(struct td_event *out, const uint8_t **p, const uint8_t *end);

#endif
