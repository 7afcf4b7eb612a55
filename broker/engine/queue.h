/* What waits for a subscription or a group.
 *
 * An item is what one batch holds for everybody with the same match set: its
 * run table and its bytes, shared by their queues. A piece is a range of an
 * item's events: all of them, or what credit, a group or a bound has cut. A
 * queue is a ring of pieces. */
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
    size_t offset;     /* of the batch's first byte in the body */
    size_t cost;       /* bytes that it keeps: itself, its tables, its bytes */
    size_t share;      /* of all but its bytes, each event's: rounded up */
    uint64_t sequence; /* of its first event in a stream, the others' follow; 0:
                          it is of none */
    size_t *held;      /* the engine's sum of costs */
};

/* Copies the batch's table; keeps a reference to the body. The item has one
 * reference, and its cost is added to *held until it is gone. NULL without
 * memory. */
struct td_item *td_item_new(const struct td_batch *batch, struct td_body *body,
                            size_t offset, size_t *held);
void td_item_unref(struct td_item *item);

/* ---- pieces: values, without a reference of their own ---- */

struct td_piece {
    struct td_item *item;
    uint32_t run;    /* of its first event, in the item … */
    uint32_t event;  /* … and the event's place in that run */
    uint32_t offset; /* its first byte, from the item's first */
    uint32_t events; /* at least 1 */
    uint32_t bytes;
    uint32_t index; /* its first event's place in the item */
    uint32_t at;    /* in a queue: its first event's place, from any on */
};

struct td_piece td_piece_of(struct td_item *item); /* all of it */

/* Its part of what its item keeps: its bytes, and a share of the tables for
 * each event. So the pieces of an item cost as much as the item however they
 * are cut, and what is dealt anew never takes a queue over its bound. */
uint64_t td_piece_cost(const struct td_piece *piece);

bool td_piece_is_whole(const struct td_piece *piece);
const uint8_t *td_piece_data(const struct td_piece *piece);

/* Cuts from the front of a piece as many events as fit in all of events,
 * bytes and runs: *front, and what is left: *rest, with 0 events if nothing
 * is. False when not even one fits, or when an event lies about its length. */
bool td_piece_cut(const struct td_piece *piece, uint64_t events, uint64_t bytes,
                  uint32_t runs, struct td_piece *front, struct td_piece *rest);

/* Writes its runs, cut to size, and returns how many: at most max. */
uint32_t td_piece_runs(const struct td_piece *piece, struct td_run *runs,
                       uint32_t max);

/* ---- queues: each piece in one holds a reference ---- */

/* Of several queues together. */
struct td_queue_sum {
    uint64_t events;
    uint64_t bytes;
};

struct td_queue {
    struct td_piece *ring;
    uint32_t cap; /* a power of two */
    uint32_t head;
    uint32_t len;             /* pieces */
    uint64_t events;          /* of all pieces */
    uint64_t bytes;           /* what they cost: td_piece_cost() */
    uint64_t data;            /* body bytes of their events */
    struct td_queue_sum *sum; /* NULL, or that it is counted in too */
};

void td_queue_fini(struct td_queue *q);

/* Room for so many more pieces, so that pushing them does not fail. */
tidings_err td_queue_reserve(struct td_queue *q, uint32_t pieces);

/* TIDINGS_ENOMEM: nothing has changed. A piece that goes on where the last
 * one ends is joined to it. */
tidings_err td_queue_push(struct td_queue *q, const struct td_piece *piece);
tidings_err td_queue_push_front(struct td_queue *q,
                                const struct td_piece *piece);

/* The first or last piece; the queue is not empty. */
const struct td_piece *td_queue_front(const struct td_queue *q);
const struct td_piece *td_queue_back(const struct td_queue *q);
const struct td_piece *td_queue_nth(const struct td_queue *q, uint32_t nth);
/* Which piece has the event that so many events of the queue stand before, and
 * how many of the piece's do: *skip. The queue has that many. */
uint32_t td_queue_find(const struct td_queue *q, uint64_t before,
                       uint64_t *skip);
void td_queue_pop(struct td_queue *q);
void td_queue_pop_back(struct td_queue *q);

/* Replaces the first piece by its end, or the last by its front. */
void td_queue_set_front(struct td_queue *q, const struct td_piece *part);
void td_queue_set_back(struct td_queue *q, const struct td_piece *part);

/* Moves at most so many events and body bytes from one front to another
 * back; returns how many events. Fewer also without memory. */
uint64_t td_queue_move(struct td_queue *to, struct td_queue *from,
                       uint64_t events, uint64_t bytes);

/* Takes the last events back to the front of another queue that has room
 * reserved for from->len + 1 pieces; events is at most from->events. Returns
 * their body bytes. */
uint64_t td_queue_return(struct td_queue *to, struct td_queue *from,
                         uint64_t events);

/* Drops the oldest events until at most events wait and at most bytes are
 * kept; each piece dropped is shown first. Returns how many events. */
uint64_t td_queue_drop(struct td_queue *q, uint64_t events, uint64_t bytes,
                       void (*gone)(void *ctx, const struct td_piece *piece),
                       void *ctx);

#endif
