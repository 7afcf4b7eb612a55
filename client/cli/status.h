/* status.h: what a subscriber's bus has to tell, in words on stderr. */
#ifndef TD_CLI_STATUS_H
#define TD_CLI_STATUS_H

#include <stdbool.h>

#include "tidings/tidings.h"

struct td_status { /* all zero at first */
    bool stored;   /* the events are a stream's: they wait while we are away */
    bool down;     /* the link was lost, and the user told */
    bool refused;  /* the broker ended a subscription */
};

/** For on_status, with own_loop: on the thread of the caller. */
void td_status_tell(struct td_status *s, const struct tidings_status *status);

/** For on_gap of what a stream keeps, where the sequences are known: gap->first
 *  is not 0. group NULL: a reader's. */
void td_status_tell_lost(const struct tidings_gap *gap, const char *stream,
                         const char *group);

#endif
