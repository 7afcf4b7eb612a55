/* The last event of each name in a stream: a table of names, each 16 bytes of
 * hash, and a list of them in the order of those events. Pure; bounded by
 * TD_LAST_MAX.
 *
 * Like a stream, a name has two states: head, its last event that was
 * submitted, and kept, the last that is committed. The list has those that are
 * kept. Names are known by number, from 1 on; 0 is none. */
#ifndef TD_LAST_H
#define TD_LAST_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/limits.h"

struct td_last {
    uint8_t hash[TD_LAST_HASH_BYTES];
    uint64_t head; /* a sequence; 0: none is left of it … */
    uint64_t kept; /* … and of what is committed */
    uint32_t chain;
    uint32_t older; /* in the list, by kept */
    uint32_t newer;
    uint32_t pins : 28; /* consumers that go on from it */
    uint32_t left : 1;  /* compaction has left older events of it … */
    uint32_t ends : 1;  /* … and has to cut them out: its tombstone waits */
    uint32_t fresh : 1; /* its row is to be written with this turn's */
    uint32_t used : 1;  /* it is a name's */
};

/* Zeroed is empty. */
struct td_lasts {
    struct td_last *names; /* by number - 1 */
    uint32_t cap;
    uint32_t len;      /* of numbers that were given out … */
    uint32_t free;     /* … and came back: a chain */
    uint32_t count;    /* of names */
    uint32_t *buckets; /* cap of them, a power of two */
    uint64_t seed;     /* so that nobody can choose names of one bucket */
    uint32_t oldest;
    uint32_t newest;
};

void td_lasts_fini(struct td_lasts *l);
struct td_last *td_last_at(const struct td_lasts *l, uint32_t number);
uint32_t td_last_find(const struct td_lasts *l,
                      const uint8_t hash[TD_LAST_HASH_BYTES]);
/* Finds it, or adds it with no event; 0: the table is full, or no memory. */
uint32_t td_last_enter(struct td_lasts *l,
                       const uint8_t hash[TD_LAST_HASH_BYTES]);
/* It has no event any more: its number may be another's. */
void td_last_remove(struct td_lasts *l, uint32_t number);
/* That event of it is committed now; 0: none is. The event is newer than those
 * of all others, or the list has to be sorted. */
void td_last_keep(struct td_lasts *l, uint32_t number, uint64_t sequence);
/* Puts the list in order; false: no memory, it is as it was. */
bool td_lasts_sort(struct td_lasts *l);

#endif
