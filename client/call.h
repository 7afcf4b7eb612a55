/* One thread's calls of one handler: counted, and timed. The clock costs as
 * much as a small handler, so quick calls are timed together, up to CALLS_MAX
 * of them; and those of a handler with a time-out each alone. */
#ifndef TD_CALL_H
#define TD_CALL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/settle.h"
#include "tidings/tidings.h"

struct td_bus;
struct td_bus_sub;
struct td_view;

/* Zeroed memory. The counts are written by that thread (late: by the keeper as
 * well) and read by all. */
struct td_call {
    atomic_llong since_us; /* with a time-out: a call runs since then, negative:
                              and was told to be late; 0: none runs */
    atomic_ullong passed;  /* events done with */
    atomic_ullong duplicates; /* of those, not handed over */
    atomic_ullong unreadable; /* of those, not to be handed over */
    atomic_ullong expired;    /* of those, not to be any more */
    atomic_ullong returned;   /* of those, given back unseen, or of a session
                                 that was over */
    atomic_ullong failed;
    atomic_ullong late;
    atomic_ullong us;
    atomic_ullong max_us;
    /* of a durable group: struct td_at, in this incarnation */
    atomic_ullong first; /* 0: nothing is unsettled here */
    atomic_ullong tag;
    atomic_ullong incarnation;
    /* the thread's alone */
    int64_t now_us;   /* when the clock was read last */
    unsigned stretch; /* calls between looks at it */
    unsigned left;    /* of those, to come */
};

/* Only one thread writes. */
static inline void td_call_add(atomic_ullong *count, uint64_t n)
{
    atomic_store_explicit(count,
                          atomic_load_explicit(count, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static inline uint64_t td_call_get(const atomic_ullong *count)
{
    return atomic_load_explicit(count, memory_order_relaxed);
}

/* It comes to an event. Who looks at where it is, having said what goes back, is
 * seen to have said so, or sees that it is there. */
static inline void td_call_at(struct td_call *call, uint64_t incarnation,
                              uint64_t tag)
{
    if (!td_call_get(&call->first)) {
        atomic_store_explicit(&call->incarnation, incarnation,
                              memory_order_relaxed);
        atomic_store_explicit(&call->first, tag, memory_order_relaxed);
    }
    atomic_store(&call->tag, tag);
}

/* Where it is; false: nowhere in this incarnation. */
static inline bool td_call_look(struct td_call *call, uint64_t incarnation,
                                struct td_at *out)
{
    out->tag = atomic_load(&call->tag);
    out->first = td_call_get(&call->first);
    return out->first > 0 && td_call_get(&call->incarnation) == incarnation;
}

/* What it was at is settled, with the lock of those who look. */
static inline void td_call_settled(struct td_call *call)
{
    atomic_store_explicit(&call->first, 0, memory_order_relaxed);
}

/* The event in view came too late: it is not handed over. */
static inline void td_call_expired(struct td_call *call)
{
    td_call_add(&call->passed, 1);
    td_call_add(&call->expired, 1);
}

/* Around a section of calls. */
void td_call_begin(struct td_call *call);
void td_call_end(struct td_call *call, const struct td_bus_sub *sub);

/* Hands the event in view over, without the bus's lock; returns what the
 * handler did. */
tidings_err td_call_handler(struct td_call *call, struct td_bus_sub *sub,
                            const struct td_view *view);

/* It failed: that is counted and told. Returns true. */
bool td_call_failed(struct td_call *call, struct td_bus *b,
                    struct td_bus_sub *sub, const struct td_view *view,
                    tidings_err err);

/* The event at the view could not be opened: that is counted and told. */
void td_call_unreadable(struct td_call *call, struct td_bus *b,
                        struct td_bus_sub *sub, const struct td_view *view,
                        tidings_err err);

/* For the keeper: when the call that runs will be late, INT64_MAX: none runs.
 * 0: it is late, which has been counted, and is to be told: *ms it has been
 * running. Each call is found late once. */
int64_t td_call_late_us(struct td_call *call, int timeout_ms, int64_t now_us,
                        uint64_t *ms);

#endif
