/* Bodies: counted, immutable bytes that travel through engine and client by
 * reference. The only thing here that threads share is the count. */
#ifndef TD_BODY_H
#define TD_BODY_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct td_body {
    atomic_uint refs;
    const uint8_t *data;
    size_t len;
    void (*release)(struct td_body *self); /* called by the last unref */
};

/* Bodies of about TD_BATCH_BYTES, made and freed by different threads all the
 * time, come from a small pool of the process: otherwise the allocator gives
 * their pages back to the system and fetches them again, batch by batch. */

/* A body with its own memory of len bytes, one reference, contents not set:
 * the caller fills *data before it shares the body. NULL without memory. */
struct td_body *td_body_new(size_t len, uint8_t **data);

/* A body with a copy of the bytes; NULL without memory. */
struct td_body *td_body_copy(const void *data, size_t len);

/* A part of another body, which it keeps; NULL without memory. */
struct td_body *td_body_slice(struct td_body *of, size_t offset, size_t len);

struct td_body *td_body_ref(struct td_body *body);

/* NULL does nothing. */
void td_body_unref(struct td_body *body);

#endif
