#include "proto/body.h"

#include <stdlib.h>
#include <string.h>

static void release_own(struct td_body *self)
{
    free(self); /* the bytes lie behind it */
}

struct td_body *td_body_new(size_t len, uint8_t **data)
{
    struct td_body *body = NULL;

    if (len <= SIZE_MAX - sizeof(*body))
        body = malloc(sizeof(*body) + len);
    if (!body)
        return NULL;
    atomic_init(&body->refs, 1);
    *data = (uint8_t *)(body + 1);
    body->data = *data;
    body->len = len;
    body->release = release_own;
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
