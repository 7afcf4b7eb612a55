/* The budget of policy block: how long a subscription may withhold
 * publishers' credit. At most TD_BLOCK_MS in any TD_BLOCK_WINDOW_MS, measured
 * in slots of a second, so never more and up to a second's worth less. */
#ifndef TD_BLOCK_H
#define TD_BLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/limits.h"

#define TD_BLOCK_SLOT_MS 1000
/* The window may begin and end inside a slot: one more than fit. */
#define TD_BLOCK_SLOTS (TD_BLOCK_WINDOW_MS / TD_BLOCK_SLOT_MS + 1)

struct td_block {
    int32_t spent_ms[TD_BLOCK_SLOTS]; /* by slot number modulo their count */
    int64_t slot;                     /* newest slot accounted for */
    int64_t since_ms;                 /* spent up to here, while blocking */
    bool blocking;
    uint64_t total_ms; /* ever spent: a counter for people */
};

/* Milliseconds that may still be spent, at now_ms. */
int64_t td_block_left(struct td_block *b, int64_t now_ms);

/* The broker itself was stopped for the last pause_ms: nobody was held back by
 * this, so they are not spent. */
void td_block_forgive(struct td_block *b, int64_t pause_ms);

void td_block_begin(struct td_block *b, int64_t now_ms);
void td_block_end(struct td_block *b, int64_t now_ms);

#endif
