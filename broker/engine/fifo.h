/* A queue of small values of one size. */
#ifndef TD_FIFO_H
#define TD_FIFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeroed but for size is empty. */
struct td_fifo {
    size_t size; /* of an element */
    uint8_t *data;
    uint32_t cap; /* a power of two */
    uint32_t head;
    uint32_t len;
};

void td_fifo_fini(struct td_fifo *f);
void *td_fifo_push(struct td_fifo *f); /* zeroed; NULL: no memory */
void *td_fifo_nth(const struct td_fifo *f, uint32_t nth); /* below len */
void *td_fifo_back(const struct td_fifo *f);     /* NULL: it is empty */
void td_fifo_pop(struct td_fifo *f, uint32_t n); /* the oldest, at most len */
void td_fifo_pop_back(struct td_fifo *f);        /* it is not empty */

#endif
