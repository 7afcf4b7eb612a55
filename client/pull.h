/* What has arrived for a subscription without a handler, and waits to be
 * fetched. With the bus's lock, all of it. */
#ifndef TD_PULL_H
#define TD_PULL_H

#include <stdbool.h>
#include <stdint.h>

#include "client/here.h"
#include "client/job.h"
#include "client/sub.h"
#include "client/view.h"

struct td_pull {
    struct td_job *jobs; /* list: deliveries with events not fetched */
    uint64_t events;     /* in them */
    uint64_t asked;      /* by the calls that wait for some */
    uint64_t steps;      /* looks at what has arrived */
    struct td_watch watch;
    const struct td_job_run *run; /* what the view was set for */
    struct td_view view;
    struct td_here here; /* where the event at hand stands */
    struct td_batches tables;
};

struct td_pull *td_pull_new(void); /* NULL: no memory */
void td_pull_free(struct td_pull *pull);

/* Takes the message over; false: there is no memory. */
bool td_pull_push(struct td_bus *b, struct td_bus_sub *sub,
                  struct td_message *m, const struct td_delivery *d);
/* Hands out what there is, at most max; returns how many. */
size_t td_pull_take(struct td_bus *b, struct td_bus_sub *sub,
                    struct tidings_fetched *out, size_t max);
/* Asks the broker for what the calls that wait are short of, and no more. */
void td_pull_ask(struct td_bus *b, struct td_bus_sub *sub);
/* The subscription is over: what nobody has fetched is dropped. */
void td_pull_drop(struct td_bus *b, struct td_bus_sub *sub);

#endif
