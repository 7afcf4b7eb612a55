/* Handlers of durable groups behind a circuit breaker: whether one may be
 * called, and what its result means for its group. */
#ifndef TD_GUARDED_H
#define TD_GUARDED_H

#include <stdbool.h>
#include <stdint.h>

#include "tidings/resilience.h"

struct td_guarded {
    tidings_breaker *breaker; /* NULL: there is none, and calls may begin */
    uint64_t ticket;
    bool probe; /* the call finds out whether it works again */
};

/* Whether the handler may be called now. */
bool td_guarded_begin(struct td_guarded *g, tidings_breaker *breaker);

/* What it returned. True: it was a probe, and failed, so that this was the
 * outage's failure and not the event's. */
bool td_guarded_end(struct td_guarded *g, tidings_err err);

/* How long the group is to be parked: until the breaker lets a call begin; 0:
 * it says nothing about that. */
uint64_t td_guarded_left_ms(const struct td_guarded *g);

#endif
