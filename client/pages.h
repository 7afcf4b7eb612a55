/* The registry's list while it is read page by page and changes meanwhile: pages
 * and events go in, and what they make together is the registry as soon as no
 * event that a page knew is missing, and it has as many instances as there are.
 * Pure.
 *
 * A row says how an instance is at its page's revision, and each event after the
 * first page's is applied; so whatever is known is as it should be when the
 * events have come as far as the pages. A row can be missed, since the rows
 * after one that goes move up: then there are fewer than there should be, and
 * the list is read again, on top of what is known. Each pass finds more,
 * however fast the registry changes. */
#ifndef TD_PAGES_H
#define TD_PAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "client/registry.h"

/* What an event says. */
enum td_change { TD_CHANGE_UP, TD_CHANGE_HEALTH, TD_CHANGE_DOWN };

/* Zeroed memory is a list that was not begun. */
struct td_pages {
    struct td_registry known;
    uint64_t from;     /* the next page's first row */
    uint64_t seen;     /* revision of the last event, or of the first page */
    uint64_t revision; /* the highest that is known … */
    uint64_t total;    /* … and how many instances there were */
    uint64_t pass;     /* revision of this pass's first page */
    bool begun;
    bool again; /* it is not the first pass */
    bool ended; /* a pass, and events are missing */
};

void td_pages_fini(struct td_pages *p); /* zeroes it */

/* A page that was asked for with from. TIDINGS_ELOST: what is known is of no
 * use, begin anew; TIDINGS_EPROTO, TIDINGS_ELIMIT: no broker says so;
 * TIDINGS_ENOMEM. */
tidings_err td_pages_take(struct td_pages *p, struct td_str page);
/* An event; the same. */
tidings_err td_pages_change(struct td_pages *p, enum td_change change,
                            uint64_t revision, struct td_str map);
/* known is the registry, at seen. */
bool td_pages_whole(const struct td_pages *p);
/* Events are to come before another page is worth asking for. */
bool td_pages_wait(const struct td_pages *p);

/* An event to a registry, both in order. */
tidings_err td_change_apply(struct td_registry *r, enum td_change change,
                            struct td_str map);

#endif
