/* Many things of one size that come and go: they keep their place in memory,
 * and one that went makes room for the next without the allocator. */
#ifndef TD_SLOTS_H
#define TD_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The first field of each. */
struct td_slot {
    struct td_slot *next; /* of those that are free */
    uint32_t place;
    bool taken;
};

/* Zeroed but for size and max is empty. */
struct td_slots {
    size_t size;  /* of one */
    uint32_t max; /* of all */
    uint8_t **chunks;
    uint32_t chunks_len;
    uint32_t len; /* taken */
    struct td_slot *free;
};

void td_slots_fini(struct td_slots *s);
/* Zeroed but for its slot; NULL: no memory, or there are max. */
void *td_slots_take(struct td_slots *s);
void td_slots_give(struct td_slots *s, void *one);
/* The one at that place; NULL: it is free. */
void *td_slots_at(const struct td_slots *s, uint32_t place);

#endif
