/* A subscription as the bus has it: its handler, and what calling that has
 * come to. */
#ifndef TD_SUB_H
#define TD_SUB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/call.h"
#include "client/seen.h"
#include "client/session.h"
#include "tidings/tidings.h"

/* Somebody who handles events, looked at now and then. */
struct td_watch {
    uint64_t steps; /* of its, when it was looked at last … */
    int64_t ms; /* … and since when there were no more; 0: never looked at */
};

/* For how long it has had something to do and has not got on, in ms. */
static inline int64_t td_watch(struct td_watch *w, bool idle, uint64_t steps,
                               int64_t now_ms)
{
    if (idle || w->ms == 0 || steps != w->steps)
        w->ms = now_ms;
    w->steps = steps;
    return now_ms - w->ms;
}

struct td_parked;
struct td_pool;
struct td_pull;

/* Guarded by the bus's lock, but for what is atomic or somebody's alone. */
struct td_bus_sub {
    struct td_bus_sub *prev;
    struct td_bus_sub *next;
    unsigned refs;
    uint32_t number;
    struct td_csub *csub; /* NULL once it is over */
    tidings_handler handler;
    void *arg;
    void (*on_gap)(void *arg, const struct tidings_gap *gap);
    int timeout_ms; /* of the handler; 0: none */
    bool alone;     /* live, in no group: it may be given again what it
                             had */
    bool streamed;  /* of what a stream keeps */
    bool durable;   /* … in a group, so that its events are settled */
    tidings_breaker *breaker; /* asked before its handler is called; NULL */
    bool progress;            /* the broker is told that handlers are at it */
    int64_t held_ms; /* durable: when the broker was last told what waits … */
    uint64_t held;   /* … up to this tag; 0: in this session it was not */
    uint64_t lost;   /* up to this tag some of what waited; 0: nothing */
    atomic_ullong given_back; /* what waits up to this tag is not for handlers
                                 any more */
    bool parks;   /* its group was parked here: the rest is to be given back */
    bool resting; /* what arrives is not for the handler any more */
    atomic_bool by_key;        /* its group is dealt by key */
    struct td_parked *parked;  /* NULL: keys do not wait for one another */
    atomic_ullong incarnation; /* td_client's, when it was looked at last */
    struct td_seen seen;  /* alone: whoever takes deliveries apart has it */
    struct td_pool *pool; /* NULL: its events are the dispatcher's … */
    struct td_pull *pull; /* … or are fetched; NULL: there is a handler */
    atomic_bool ended;    /* the handler is not to be called any more */
    bool drained;         /* tidings_drain() ends it, and forgets it */
    uint64_t arrived;     /* events */
    uint64_t missed;
    struct td_call call; /* the dispatcher's */
};

/* Whether the options are such as tidings.h allows: TIDINGS_EINVAL and the
 * detail if not. */
tidings_err td_sub_check(const struct tidings_sub_options *options);

/* The same for a start. */
tidings_err td_start_check(const struct tidings_start *start);

/* One reference; NULL without memory. */
struct td_bus_sub *td_bus_sub_new(tidings_handler handler, void *arg,
                                  const struct tidings_sub_options *options);
struct td_bus_sub *td_bus_sub_ref(struct td_bus_sub *sub);
void td_bus_sub_unref(struct td_bus_sub *sub); /* NULL does nothing */

/* Of a run: how many of its first events it was given before by another
 * broker. The run counts as given now. */
uint64_t td_bus_sub_seen(struct td_bus_sub *sub, struct td_str producer,
                         const struct td_run *run);

#endif
