/* A bus's copy of the registry of services, kept true by the registry's own
 * events: a subscription to them, and a list that is asked for whenever
 * something may have been missed. All with the bus's lock. */
#ifndef TD_DISCOVERY_H
#define TD_DISCOVERY_H

#include <stdbool.h>
#include <stdint.h>

#include "client/pages.h"
#include "client/session.h"

struct td_batches;
struct td_bus;

struct td_discovery {
    struct td_csub *sub;     /* NULL: nobody has looked yet */
    struct td_registry copy; /* the last that was whole … */
    bool whole;              /* … if there was one */
    bool fresh;              /* all that has changed since is in it … */
    uint64_t connects;       /* … over this link */
    struct td_pages next;    /* being listed */
    bool listing;            /* a page of it is to come */
    int64_t moved_ms;        /* when it got on last */
    struct td_buf options;
    struct td_question question;
    tidings_err err; /* of the last answer */
    struct td_batches *tables;
};

void td_discovery_fini(struct td_bus *b);

/* Begins, if nobody has before, or the broker has refused it: TIDINGS_ELIMIT, TIDINGS_ENOMEM. */
tidings_err td_discovery_begin(struct td_bus *b);
/* After a message, and before looking at the copy: what is to be done next. */
void td_discovery_step(struct td_bus *b);
/* Whether the copy is as the broker has it. */
bool td_discovery_is_true(const struct td_bus *b);
/* Events of the registry's. */
void td_discovery_take(struct td_bus *b, const struct td_delivery *d);
/* Something was missed. */
void td_discovery_missed(struct td_bus *b);

#endif
