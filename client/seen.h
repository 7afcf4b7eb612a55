/* Which events a subscription has seen, so that a broker that has lost its
 * memory may be sent them again without a handler getting them twice
 * (PROTOCOL.md 3, "Epoch"). Pure.
 *
 * An event's sequence rises within its producer, so the highest is all that
 * needs to be known of one. Of the producers the TD_SEEN_MAX heard last are
 * remembered; without memory for one it is not, and what it sends counts as
 * new. */
#ifndef TD_SEEN_H
#define TD_SEEN_H

#include <stdint.h>

#include "proto/limits.h"

struct td_seen_producer;

/* Zeroed memory is one that has seen nothing. */
struct td_seen {
    struct td_seen_producer *table;
    struct td_seen_producer *recent; /* heard last comes last */
    uint32_t len;
};

void td_seen_fini(struct td_seen *s);

/* How many of the first events of a run, those numbered from first on, were
 * seen before: 0..count. From now on all count of them were. count is at least
 * 1. */
uint64_t td_seen_before(struct td_seen *s,
                        const uint8_t producer[TD_PRODUCER_BYTES],
                        uint64_t first, uint64_t count);

#endif
