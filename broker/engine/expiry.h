/* Events whose expirytime has passed: nobody is given them. Only those of runs
 * that say they have one are opened. */
#ifndef TD_ENGINE_EXPIRY_H
#define TD_ENGINE_EXPIRY_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/engine/queue.h"

struct td_engine;

/* How many events from the front of a piece, at most max, have expired, or have
 * not, as the first has. */
uint32_t td_expiry_alike(struct td_engine *e, const struct td_piece *piece,
                         uint64_t max, bool *expired);

/* A batch without those that have expired, and its bytes; e->left has its
 * tables. */
struct td_unexpired {
    struct td_batch batch;
    struct td_body *body; /* to be let go of */
    uint32_t expired;     /* events that were left out */
};

/* False: none has expired, or there is no memory: whoever gets them looks
 * again. */
bool td_expiry_leave_out(struct td_engine *e, const struct td_batch *batch,
                         const struct td_body *body, size_t offset,
                         struct td_unexpired *out);

#endif
