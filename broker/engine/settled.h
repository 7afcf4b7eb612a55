/* Which sequences of a stream a durable group is done with: a floor, below
 * which all are, and above it a bitmap for each 4,096 sequences that has any.
 * Pure; bounded by how far the newest settled one is above the floor. The
 * last of all numbers is no sequence: ranges end before it. */
#ifndef TD_SETTLED_H
#define TD_SETTLED_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/engine/hash.h"

#define TD_CHUNK_EVENTS 4096u
#define TD_CHUNK_WORDS  (TD_CHUNK_EVENTS / 64u)
#define TD_CHUNK_BYTES  (TD_CHUNK_EVENTS / 8u)

struct td_chunk {
    UT_hash_handle hh;
    bool hh_failed;
    bool dirty;       /* not written as it is */
    bool stored;      /* an older one was written */
    uint64_t number;  /* of sequences number * 4096 … + 4095 */
    uint32_t settled; /* bits set; of the floor's chunk: those above it, what is
                         below it means nothing */
    uint64_t bits[TD_CHUNK_WORDS];
};

struct td_settled_set {
    uint64_t floor; /* every sequence below is settled; this one is not */
    uint64_t above; /* settled ones above it */
    bool dirty;     /* the floor has moved, or a chunk has changed, since it was
                       written */
    struct td_chunk *chunks;
    uint64_t *gone; /* numbers of chunks that were written once, and are below
                       the floor now: to be deleted from the store */
    uint32_t gone_len;
    uint32_t gone_cap;
};

/* Nothing is settled but what is below floor, at least 1. */
void td_settled_init(struct td_settled_set *s, uint64_t floor);
void td_settled_fini(struct td_settled_set *s);

/* Marks count sequences from first on; *newly, may be NULL: how many were not
 * settled before. Moves the floor. False: there is no memory, and nothing has
 * changed. */
bool td_settled_mark(struct td_settled_set *s, uint64_t first, uint64_t count,
                     uint64_t *newly);
bool td_settled_has(const struct td_settled_set *s, uint64_t sequence);
/* The first sequence from this one on that is not settled. */
uint64_t td_settled_next(const struct td_settled_set *s, uint64_t sequence);
/* How many sequences in a row, from this one on and at most max, are not
 * settled; 0: this one is. */
uint64_t td_settled_gap(const struct td_settled_set *s, uint64_t sequence,
                        uint64_t max);
/* All below floor is settled, if it was not; never fails. Returns how many were
 * not. */
uint64_t td_settled_raise(struct td_settled_set *s, uint64_t floor);

/* ---- keeping it in a store ---- */

/* Shows each dirty chunk (bits as 512 bytes, little-endian words: bit i of byte
 * j is sequence number * 4096 + j * 8 + i), and with bits NULL each chunk that
 * was shown before and is to be deleted; then nothing is dirty. Without
 * memory to remember a deletion it is not shown: the store keeps a chunk below
 * the floor, which loading ignores. */
void td_settled_write(struct td_settled_set *s,
                      void (*chunk)(void *ctx, uint64_t number,
                                    const uint8_t *bits),
                      void *ctx);
/* All is dirty again: what was shown was not written. */
void td_settled_redirty(struct td_settled_set *s);
/* A chunk that was read: after init with the floor that was read, in any
 * order. Below the floor it is ignored. False: there is no memory. */
bool td_settled_load(struct td_settled_set *s, uint64_t number,
                     const uint8_t bits[TD_CHUNK_BYTES]);

#endif
