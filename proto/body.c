#include "proto/body.h"

#include "proto/limits.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* ---- the pool: slots that hold a free block or nothing ---- */

#define POOL_SLOTS     32
#define POOL_BYTES_MIN (TD_BATCH_BYTES / 2) /* what is worth it */
#define POOL_BYTES     (TD_BATCH_BYTES + TD_BATCH_BYTES / 8) /* of every block */

static _Atomic(struct td_body *) pool[POOL_SLOTS];

#if defined(__SANITIZE_ADDRESS__)
static const bool pooling = false; /* it would hide use after free */
#else
static const bool pooling = true;
#endif

static struct td_body *pool_take(void)
{
    for (int i = 0; i < POOL_SLOTS; i++) {
        struct td_body *body;

        if (!atomic_load_explicit(&pool[i], memory_order_relaxed))
            continue;
        body = atomic_exchange_explicit(&pool[i], NULL, memory_order_acquire);
        if (body)
            return body;
    }
    return malloc(sizeof(struct td_body) + POOL_BYTES);
}

static void release_pooled(struct td_body *self)
{
    for (int i = 0; i < POOL_SLOTS; i++) {
        struct td_body *empty = NULL;

        if (!atomic_load_explicit(&pool[i], memory_order_relaxed) &&
            atomic_compare_exchange_strong_explicit(&pool[i], &empty, self,
                                                    memory_order_release,
                                                    memory_order_relaxed))
            return;
    }
    free(self);
}

static void release_own(struct td_body *self)
{
    free(self); /* the bytes lie behind it */
}

struct td_body *td_body_new(size_t len, uint8_t **data)
{
    bool pooled = pooling && len >= POOL_BYTES_MIN && len <= POOL_BYTES;
    struct td_body *body = NULL;

    if (pooled)
        body = pool_take();
    else if (len <= SIZE_MAX - sizeof(*body))
        body = malloc(sizeof(*body) + len);
    if (!body)
        return NULL;
    atomic_init(&body->refs, 1);
    *data = (uint8_t *)(body + 1);
    body->data = *data;
    body->len = len;
    body->release = pooled ? release_pooled : release_own;
    return body;
}

struct td_body *td_body_copy(const void *data, size_t len)
{
    uint8_t *to;
    struct td_body *body = td_body_new(len, &to);

    if (body && len)
        memcpy(to, data, len);
    return body;
}

struct slice {
    struct td_body body; /* first: it is handed out as this */
    struct td_body *of;
};

static void release_slice(struct td_body *self)
{
    td_body_unref(((struct slice *)self)->of);
    free(self);
}

struct td_body *td_body_slice(struct td_body *of, size_t offset, size_t len)
{
    struct slice *slice = malloc(sizeof(*slice));

    if (!slice)
        return NULL;
    atomic_init(&slice->body.refs, 1);
    slice->body.data = of->data + offset;
    slice->body.len = len;
    slice->body.release = release_slice;
    slice->of = td_body_ref(of);
    return &slice->body;
}

struct td_body *td_body_ref(struct td_body *body)
{
    atomic_fetch_add_explicit(&body->refs, 1, memory_order_relaxed);
    return body;
}

void td_body_unref(struct td_body *body)
{
    if (!body)
        return;
    if (atomic_fetch_sub_explicit(&body->refs, 1, memory_order_acq_rel) == 1)
        body->release(body);
}
