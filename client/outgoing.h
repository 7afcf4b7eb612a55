/* A closed batch: its table encoded, its body shared with the link; how safe
 * its events are to be, which of them have been confirmed, and who is to be
 * called for them. Pure. */
#ifndef TD_OUTGOING_H
#define TD_OUTGOING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/body.h"
#include "proto/buf.h"
#include "proto/limits.h"
#include "proto/scan.h"
#include "tidings/tidings.h"

/* To be called when this event is confirmed. */
struct td_waiter {
    uint64_t sequence; /* the producer's */
    tidings_on_confirm call;
    void *arg;
};

/* What one is counted as, in the bound on bytes: its place in the batch, and
 * in what is handed over. */
#define TD_WAITER_BYTES (2 * sizeof(struct td_waiter))

/* What became of some events, and whom to call for it. malloc'ed. */
struct td_confirmed {
    struct td_confirmed *next;
    tidings_err err;
    enum tidings_level level;
    bool duplicate;
    uint64_t first;    /* the producer's sequence … */
    uint64_t sequence; /* … that has this one in the stream; 0: not known */
    char stream[TD_STREAM_NAME_BYTES_MAX + 1];
    size_t called; /* of the waiters, by whoever calls */
    size_t len;
    struct td_waiter waiters[];
};

/* When it is to be published, as PUBLISH says it. */
struct td_due_option {
    const char *name; /* "at_ms", "after_ms"; NULL: at once */
    uint64_t ms;
};

struct td_outgoing {
    struct td_outgoing *next;
    struct td_outgoing *prev; /* the publisher's */
    struct td_body *body;
    uint64_t last;   /* sequence of its last event */
    int64_t base_us; /* time of its first */
    uint32_t events;
    uint32_t bytes; /* of the body */
    bool was_sent;  /* in this session or an earlier one */
    enum tidings_level level;
    bool atomic;  /* with a level: all of it or nothing */
    bool expects; /* … if this is the stream's last sequence */
    uint64_t expected;
    bool of_key; /* that of the events' key, not of the stream */
    struct td_due_option due;
    /* with a level: */
    uint32_t left;  /* events not confirmed, in this session or before */
    uint64_t *told; /* a bit for each event: it is confirmed */
    uint64_t at;    /* it is sent in parts: what is before was, in this session;
                       0: nothing was */
    struct td_waiter *waiters; /* by sequence; those not called yet */
    size_t waiters_len;
    size_t wire_len;
    uint8_t wire[]; /* the list of batches, as PUBLISH carries it */
};

/* Of so many events; body, waiters and wire are left to the caller. NULL
 * without memory. */
struct td_outgoing *td_outgoing_new(uint32_t events, enum tidings_level level,
                                    size_t wire_len);
void td_outgoing_free(struct td_outgoing *out); /* NULL does nothing */

static inline uint64_t td_outgoing_first(const struct td_outgoing *out)
{
    return out->last - out->events + 1;
}

/* A run of its events, sequences from and to included. */
struct td_stretch {
    uint64_t from;
    uint64_t to;
};

/* Whether some of them are confirmed. */
bool td_outgoing_is_told(const struct td_outgoing *out, struct td_stretch s);

/* They are confirmed; returns how many were not before. */
uint32_t td_outgoing_tell(struct td_outgoing *out, struct td_stretch s);

/* What is to be sent of it at once: all of it; or, where some of it is
 * confirmed, of the rest what one message takes. */
struct td_portion {
    struct td_str wire;
    struct td_body *body;
    uint32_t events;
    uint64_t last; /* of its sequences */
    uint64_t next; /* the next part begins there; 0: there is none */
    struct td_buf table;
};

/* How many of its events are to be sent; one that is atomic always goes whole.
 */
uint32_t td_outgoing_events(const struct td_outgoing *out);

/* The first that was not sent in this session. False: no memory. */
bool td_outgoing_part(struct td_outgoing *out, struct td_portion *part);
/* Of a zeroed one nothing happens. */
void td_portion_fini(struct td_portion *part);

/* Who is to be called for them, if they have not been; *len of them. */
struct td_waiter *td_outgoing_waiters(const struct td_outgoing *out,
                                      struct td_stretch s, size_t *len);

/* The type of one of its events. */
struct td_str td_outgoing_type(const struct td_outgoing *out,
                               uint64_t sequence);

#endif
