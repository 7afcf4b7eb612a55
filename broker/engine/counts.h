/* How often events of a durable group have been delivered that are not settled
 * and have failed: a byte for each, in chunks of 4,096 sequences that have any.
 * Pure. */
#ifndef TD_COUNTS_H
#define TD_COUNTS_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/engine/hash.h"

#define TD_COUNTS_EVENTS 4096u

struct td_counts_chunk {
    UT_hash_handle hh;
    bool hh_failed;
    bool dirty;
    uint64_t number; /* of sequences number * 4096 … + 4095 */
    uint32_t used;   /* that are not 0 */
    uint8_t counts[TD_COUNTS_EVENTS];
};

/* Zeroed memory is empty: all are 0. */
struct td_counts {
    struct td_counts_chunk *chunks;
    bool dirty;
};

void td_counts_fini(struct td_counts *c);
uint8_t td_counts_get(const struct td_counts *c, uint64_t sequence);
/* How many in a row, from sequence on and at most max, have the same count. */
uint32_t td_counts_alike(const struct td_counts *c, uint64_t sequence,
                         uint32_t max);
/* False: no memory: some are not set. */
bool td_counts_set(struct td_counts *c, uint64_t sequence, uint32_t events,
                   uint8_t count);
void td_counts_clear(struct td_counts *c, uint64_t sequence, uint32_t events);
/* Shows each dirty chunk; one that has become empty with counts NULL, and it is
 * gone. Then nothing is dirty. */
void td_counts_write(struct td_counts *c,
                     void (*chunk)(void *ctx, uint64_t number,
                                   const uint8_t *counts),
                     void *ctx);
/* All is dirty again. */
void td_counts_redirty(struct td_counts *c);
/* False: no memory. */
bool td_counts_load(struct td_counts *c, uint64_t number,
                    const uint8_t counts[TD_COUNTS_EVENTS]);

#endif
