#include "proto/buf.h"

#include <stdlib.h>
#include <string.h>

void td_buf_fini(struct td_buf *b)
{
    free(b->data);
    memset(b, 0, sizeof(*b));
}

void td_buf_reset(struct td_buf *b)
{
    b->len = 0;
    b->failed = false;
}

bool td_buf_reserve(struct td_buf *b, size_t more)
{
    size_t cap = b->cap ? b->cap : 256;
    uint8_t *data;

    if (b->failed)
        return false;
    if (more <= b->cap - b->len)
        return true;
    if (more > SIZE_MAX / 2 - b->len) {
        b->failed = true;
        return false;
    }
    while (cap < b->len + more)
        cap *= 2;
    data = realloc(b->data, cap);
    if (!data) {
        b->failed = true;
        return false;
    }
    b->data = data;
    b->cap = cap;
    return true;
}

void td_buf_append(struct td_buf *b, const void *data, size_t len)
{
    if (len == 0 || !td_buf_reserve(b, len))
        return;
    memcpy(b->data + b->len, data, len);
    b->len += len;
}

int td_buf_pack_write(void *ctx, const char *data, size_t len)
{
    struct td_buf *b = ctx;

    td_buf_append(b, data, len);
    return b->failed ? -1 : 0;
}
