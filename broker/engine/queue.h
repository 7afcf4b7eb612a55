/* What waits for a subscription.
 *
 * An item is what one batch holds for everybody with the same match set: its
 * run table and its bytes, shared by their queues. A queue is a ring of items
 * and a position in the first, because credit may end in the middle of it. */
#ifndef TD_QUEUE_H
#define TD_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/batch.h"
#include "proto/body.h"
#include "tidings/err.h"

/* Counted by the engine's thread alone; immutable once it is shared. */
struct td_item {
    unsigned refs;
    struct td_batch batch; /* runs and strings lie behind the item */
    struct td_body *body;
    size_t offset; /* of the batch's first byte in the body */
    size_t cost;   /* bytes that it keeps: itself, its tables, its bytes */
    size_t *held;  /* the engine's sum of costs */
};

/* Copies the batch's table; keeps a reference to the body. The item has one
 * reference, and its cost is added to *held until it is gone. NULL without
 * memory. */
struct td_item *td_item_new(const struct td_batch *batch, struct td_body *body,
                            size_t offset, size_t *held);
void td_item_unref(struct td_item *item);

struct td_queue {
    struct td_item **ring;
    uint32_t cap; /* a power of two */
    uint32_t head;
    uint32_t len;    /* items */
    uint64_t events; /* all that wait */
    uint64_t bytes;  /* costs of all items, shared or not */
    /* where the first item goes on */
    uint32_t run;
    uint32_t event;  /* in that run */
    uint32_t offset; /* bytes of the item already taken */
    uint32_t taken;  /* events of the item already taken */
};

void td_queue_fini(struct td_queue *q);

/* Takes a reference of its own. TIDINGS_ENOMEM: nothing has changed. */
tidings_err td_queue_push(struct td_queue *q, struct td_item *item);

/* Drops the oldest events, whole items or parts, until at most events wait
 * and at most bytes are kept; returns how many were dropped. */
uint64_t td_queue_drop(struct td_queue *q, uint64_t events, uint64_t bytes);

/* ---- taking from the front ---- */

/* A piece of the first item: its runs cut to size, and its bytes. */
struct td_slice {
    struct td_item *item; /* borrowed until the queue is advanced */
    struct td_run *runs;  /* in the caller's array */
    uint32_t runs_len;
    uint32_t events;
    const uint8_t *data;
    uint32_t bytes;
    bool whole; /* the item from beginning to end */
    bool ends;  /* with the item: nothing of it is left */
};

/* Cuts from the first item as many events as fit in all of events, bytes and
 * runs_max; false when not even one does. The queue is not empty, and is not
 * changed. */
bool td_queue_slice(const struct td_queue *q, struct td_slice *out,
                    struct td_run *runs, uint32_t runs_max, uint64_t events,
                    uint64_t bytes);

/* Moves past a slice of the first item. */
void td_queue_advance(struct td_queue *q, const struct td_slice *slice);

#endif
