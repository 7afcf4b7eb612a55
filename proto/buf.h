/* A growable byte buffer. The first allocation that fails sticks, so a writer
 * checks once, at its end. */
#ifndef TD_BUF_H
#define TD_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeroed memory is an empty buffer. */
struct td_buf {
    uint8_t *data;
    size_t len;
    size_t cap;
    bool failed; /* an append was lost for want of memory */
};

void td_buf_fini(struct td_buf *b);

/* Empty, failure forgotten, memory kept. */
void td_buf_reset(struct td_buf *b);

/* Room for more bytes; false, and failed, when there is no memory. */
bool td_buf_reserve(struct td_buf *b, size_t more);

void td_buf_append(struct td_buf *b, const void *data, size_t len);

/* A msgpack_packer_write of msgpack-c; ctx is the buffer. */
int td_buf_pack_write(void *ctx, const char *data, size_t len);

#endif
