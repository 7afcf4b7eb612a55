/* What is to happen at a time, and is known by its number: a heap, the earliest
 * first, with a table that finds an entry by its number. Of equal times the
 * lower number comes first. */
#ifndef TD_DUE_H
#define TD_DUE_H

#include <stdbool.h>
#include <stdint.h>

struct td_due {
    int64_t when_ms; /* Unix: what it waits for */
    int64_t due_ms;  /* Unix: what it waited for at first */
    uint64_t number; /* not 0, and no other's */
    uint32_t slot;   /* the table's own */
    bool routed;     /* the owner's own */
};

/* Zeroed is empty. */
struct td_dues {
    struct td_due *heap;
    uint32_t len;
    uint32_t cap;    /* a power of two, or 0 */
    uint32_t *table; /* twice as many: places in the heap, from 1 on; 0: none */
};

void td_dues_fini(struct td_dues *d);

/* It waits until then, and never less than it did at first: the clock may have
 * been set back. */
void td_due_put_off(struct td_due *due, int64_t when_ms);

/* Room for so many in all, so that adding does not fail. False: no memory. */
bool td_dues_reserve(struct td_dues *d, uint64_t len);

/* There is room, and the number is not there. */
void td_dues_add(struct td_dues *d, const struct td_due *due);

/* What comes next; NULL: nothing. Valid until the next call that changes. */
const struct td_due *td_dues_first(const struct td_dues *d);

/* The one with that number; NULL: it is not there. */
const struct td_due *td_dues_find(const struct td_dues *d, uint64_t number);

/* It was found by one of the two above. */
void td_dues_remove(struct td_dues *d, const struct td_due *due);

#endif
