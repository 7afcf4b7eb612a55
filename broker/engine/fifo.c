#include "broker/engine/fifo.h"

#include <stdlib.h>
#include <string.h>

void td_fifo_fini(struct td_fifo *f)
{
    free(f->data);
    f->data = NULL;
    f->cap = f->head = f->len = 0;
}

static uint8_t *slot(const struct td_fifo *f, uint32_t nth)
{
    return f->data + ((f->head + nth) & (f->cap - 1)) * f->size;
}

static bool grow(struct td_fifo *f)
{
    uint32_t cap = f->cap ? f->cap * 2 : 16;
    uint8_t *data = malloc(cap * f->size);

    if (!data)
        return false;
    for (uint32_t i = 0; i < f->len; i++)
        memcpy(data + i * f->size, slot(f, i), f->size);
    free(f->data);
    f->data = data;
    f->cap = cap;
    f->head = 0;
    return true;
}

void *td_fifo_push(struct td_fifo *f)
{
    if (f->len == f->cap && !grow(f))
        return NULL;
    return memset(slot(f, f->len++), 0, f->size);
}

void *td_fifo_nth(const struct td_fifo *f, uint32_t nth)
{
    return slot(f, nth);
}

void *td_fifo_back(const struct td_fifo *f)
{
    return f->len ? slot(f, f->len - 1) : NULL;
}

void td_fifo_pop(struct td_fifo *f, uint32_t n)
{
    f->head = (f->head + n) & (f->cap - 1);
    f->len -= n;
}

void td_fifo_pop_back(struct td_fifo *f)
{
    f->len--;
}
