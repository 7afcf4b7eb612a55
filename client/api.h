/* What the files of the public calls share: how each begins, and why it ends
 * without what it was for.
 *
 * api.c            buses: opening, waiting, closing
 * api_publish.c    publishing
 * api_subscribe.c  subscribing, unsubscribing, draining
 * api_loop.c       a loop of the caller's own
 * api_look.c       looking at it */
#ifndef TD_API_H
#define TD_API_H

#include "client/bus.h"

/* Locks; NULL and *err when the bus is not to be used any more. */
struct td_bus *td_enter(tidings_bus *handle, tidings_err *err);
void td_exit(struct td_bus *b);

tidings_err td_check_timeout(int timeout_ms);

/* Why a wait ended without what it was for. */
tidings_err td_why_not(struct td_bus *b, const char *what);

/* Waits until the broker has taken all that is packed by now. */
bool td_flush(struct td_bus *b, int64_t deadline_ms);
uint64_t td_unconfirmed(struct td_bus *b);

#endif
