/* The window of a stream in which an event with an id of its publisher's
 * choosing is not stored twice: which of those it took last, by a hash of
 * source and id.
 *
 * They stand in a queue, in the order of their sequences, with a table of open
 * addressing beside it. One leaves at the front when it is too old, or when
 * those that push it out are committed: until then a commit that fails takes
 * the newest away at the back, and what they pushed out counts again. */
#ifndef TD_DEDUP_H
#define TD_DEDUP_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/engine/fifo.h"
#include "broker/engine/keyspace.h"
#include "proto/scan.h"

struct td_dedup_one {
    uint8_t hash[TD_DEDUP_HASH_BYTES];
    uint64_t sequence;
    int64_t stored_ms; /* Unix */
};

struct td_dedup_slot; /* dedup.c */

struct td_dedup {
    uint64_t window_ms;     /* 0: there is no window */
    uint64_t window_events; /* the same */
    uint64_t seed; /* of the table: unknown to whoever chooses ids. Set before
                      the first is added */
    struct td_fifo ones; /* td_dedup_one */
    struct td_fifo rows; /* uint64_t: the first sequence of each record that has
                            some, and with it a row in the store */
    struct td_dedup_slot *slots;
    uint32_t slots_cap; /* a power of two */
    uint32_t base;      /* number of the first of ones: numbers name them in
                           slots */
    bool stale;         /* rows in the store are before those known */
};

void td_dedup_init(struct td_dedup *d, uint64_t window_ms,
                   uint64_t window_events);
/* What is outside of it is let go when that is looked at next. */
void td_dedup_set_window(struct td_dedup *d, uint64_t window_ms,
                         uint64_t window_events);
void td_dedup_fini(struct td_dedup *d); /* of a zeroed one nothing happens */

/* The hash of a source, a NUL and an id. */
void td_dedup_hash(uint8_t hash[TD_DEDUP_HASH_BYTES], struct td_str text);

/* It is to be found or added soon: what is in no cache is fetched meanwhile. */
void td_dedup_expect(const struct td_dedup *d,
                     const uint8_t hash[TD_DEDUP_HASH_BYTES]);
/* The one with that hash that is in the window now, and was not purged; NULL:
 * there is none. */
const struct td_dedup_one *td_dedup_find(
    const struct td_dedup *d, const uint8_t hash[TD_DEDUP_HASH_BYTES],
    uint64_t purged, int64_t now_ms);
/* Sequences rise. False: no memory. */
bool td_dedup_add(struct td_dedup *d, const struct td_dedup_one *one);
/* Those of a record that begins there have a row. False: no memory. */
bool td_dedup_add_row(struct td_dedup *d, uint64_t first);

/* Which of ones has this sequence, or is the first after it. */
uint32_t td_dedup_at(const struct td_dedup *d, uint64_t sequence);
const struct td_dedup_one *td_dedup_nth(const struct td_dedup *d, uint32_t nth);

/* Those from this sequence on are not there. */
void td_dedup_cut(struct td_dedup *d, uint64_t from);
/* A commit has failed: that is kept which is below next. */
void td_dedup_take_back(struct td_dedup *d, uint64_t next);
/* What has left the window is let go; kept: what of the stream is. */
void td_dedup_trim(struct td_dedup *d, const struct td_stream_state *kept,
                   int64_t now_ms);
#endif
