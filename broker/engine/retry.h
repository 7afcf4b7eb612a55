/* Events of a durable group that wait to be delivered again, or to be buried:
 * ranges of sequences in the order in which they are due. Pure. */
#ifndef TD_RETRY_H
#define TD_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/scan.h"

/* Why the last delivery failed, and to whom it was: shared by the parts of a
 * range. */
struct td_reason {
    unsigned refs;
    uint32_t text_len;
    uint32_t handler_len;
    char bytes[]; /* of both */
};

/* NULL without memory, or where both are empty: then there is none. */
struct td_reason *td_reason_new(struct td_str text, struct td_str handler);
/* Borrowed, as long as the reason is there; of NULL they are empty. */
struct td_str td_reason_text(const struct td_reason *r);
struct td_str td_reason_handler(const struct td_reason *r);
struct td_reason *td_reason_ref(struct td_reason *r); /* NULL gives NULL */
void td_reason_unref(struct td_reason *r);            /* NULL does nothing */

struct td_retry {
    int64_t due_ms; /* monotonic */
    uint64_t order; /* among those due at once: the one added first */
    uint64_t sequence;
    uint32_t count;
    uint32_t deliveries;      /* so far */
    int64_t first_ms;         /* Unix: of the first delivery … */
    int64_t last_ms;          /* … and of the last failure */
    uint64_t ticket;          /* not before that is written; 0: at once */
    bool dead;                /* not to be delivered but buried */
    uint8_t why;              /* dead: the caller's */
    struct td_reason *reason; /* owned; NULL: none */
};

/* A heap by due_ms, then order. Zeroed memory is empty. */
struct td_retries {
    struct td_retry *heap;
    uint32_t len;
    uint32_t cap;
    uint64_t events;
    uint64_t added;
};

void td_retries_fini(struct td_retries *r);
/* Takes the reason over; sets order. One without events is not kept. False: no memory, the caller keeps it. */
bool td_retries_add(struct td_retries *r, const struct td_retry *retry);
/* The one that is due first; NULL: none. Borrowed until the next change. */
struct td_retry *td_retries_first(struct td_retries *r);
/* Takes the first so many events of it off; all of them: it is gone. */
void td_retries_shift(struct td_retries *r, uint32_t events);
/* Takes out those that keep says no to; for retention and seeking. It may cut
 * the others, or change when they are due. */
void td_retries_filter(struct td_retries *r,
                       bool (*keep)(void *ctx, struct td_retry *retry),
                       void *ctx);

#endif
