/* stop.h: SIGINT and SIGTERM ask a command to end; a second one kills it.
 * And the clock that deadlines are measured by. */
#ifndef TD_CLI_STOP_H
#define TD_CLI_STOP_H

#include <stdbool.h>
#include <stdint.h>

/** Install the handlers, and ignore SIGPIPE: writing then says EPIPE.
 *  @return false: the system refused */
bool td_stop_init(void);

/** Whether a signal asked to end. */
bool td_stopped(void);

/** Readable from then on; for poll(). */
int td_stop_fd(void);

/** Wait until the clock reads deadline_us.
 *  @return false: a signal asked to end first */
bool td_sleep_until(int64_t deadline_us);

/** A moment, signal or not. */
void td_pause(int64_t us);

/** From now on SIGHUP and SIGQUIT ask to end, too, and however often a signal
 *  comes it does no more: for who has a terminal to restore. */
void td_stop_hold(void);

/** Monotonic microseconds, and the same clock in nanoseconds. */
int64_t td_clock_us(void);
int64_t td_clock_ns(void);

#endif
