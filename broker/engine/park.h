/* Keys of a durable group that wait: an event of theirs has come back, and until
 * it is done with, those that follow it are put aside, so that a key's events
 * stay in order while other keys flow on. A parked key's events go one by one,
 * in the order of their sequences; when none is left it is parked no more. */
#ifndef TD_PARK_H
#define TD_PARK_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/engine/hash.h"

struct td_parked {
    UT_hash_handle hh;         /* by key */
    UT_hash_handle hh_current; /* by current */
    bool hh_failed;
    bool indexed; /* is in the table by current */
    uint64_t key;
    uint64_t current; /* the one whose turn it is: waiting, or with a member */
    uint64_t *heap;   /* what waits behind it, the lowest first: sequence * 2,
                         and 1 more for one that had its turn, and is waiting
                         for its time or with a member */
    uint32_t len;
    uint32_t elsewhere; /* of them, those */
    uint32_t cap;
};

/* Zeroed memory is empty. */
struct td_parks {
    struct td_parked *keys;
    struct td_parked *current;
    bool scan;  /* for want of memory some are not in that table */
    bool there; /* what td_park_next() has returned is elsewhere already */
    bool fresh; /* one has begun to wait, and what was dealt of it does not */
};

void td_parks_fini(struct td_parks *p);

/* An event has come back: *turn is set if it is its turn now, so that it may be
 * delivered again. False: no memory, nothing has changed. */
bool td_park(struct td_parks *p, uint64_t key, uint64_t sequence, bool *turn);

/* Whether an event that is to be dealt, or sent, has to wait. */
bool td_park_waits(const struct td_parks *p, uint64_t key, uint64_t sequence);

/* Whether an event that is to be dealt has to wait: then it is kept here. False
 * also without memory: order is lost rather than the event. */
bool td_park_aside(struct td_parks *p, uint64_t key, uint64_t sequence);

/* How many are kept here. */
uint64_t td_parks_aside(const struct td_parks *p);

/* The event is done with. Returns the one whose turn it is then; 0: there is
 * none. */
uint64_t td_park_next(struct td_parks *p, uint64_t sequence);

#endif
