/* What drive.c, wait.c and the bus's threads share. All with the lock. */
#ifndef TD_DRIVE_H
#define TD_DRIVE_H

#include "client/bus.h"

static inline int64_t td_earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Ends the poll of whoever drives. */
void td_bus_poke(struct td_bus *b);
/* Waits for a signal, letting the lock go; *waiting is one more meanwhile. */
void td_bus_wait_cond(struct td_bus *b, pthread_cond_t *cond, unsigned *waiting,
                      int64_t deadline_ms);
/* Whether there is room to publish: what may be sent is sent first. */
bool td_bus_has_room(struct td_bus *b);
/* Whether the only one who asks may have the link. */
bool td_bus_may_lend(const struct td_bus *b);
/* Whether this thread should rather call handlers than read on: what is left
 * in the link keeps. */
bool td_bus_may_dispatch(const struct td_bus *b);
/* Nobody drives any more, or it was the I/O thread, which is about to call
 * handlers: whoever is to drive now is woken. Nothing happens if somebody
 * drives. */
void td_bus_hand_over(struct td_bus *b);
/* One turn: what is due, what has arrived, and else what comes until then.
 * Nobody else may be driving. */
void td_bus_drive(struct td_bus *b, int64_t deadline_ms);

#endif
