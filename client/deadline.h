/* The deadline of what a thread is doing: requests that it makes meanwhile
 * take no longer. One for each thread, on td_now_us()'s clock; an inner one may
 * come sooner than the outer, never later. */
#ifndef TD_DEADLINE_H
#define TD_DEADLINE_H

#include <stdint.h>

#define TD_NO_DEADLINE INT64_MAX

/* When it comes; TD_NO_DEADLINE: there is none. */
int64_t td_deadline_us(void);

/* How long until then; 0: it has passed; TD_NO_DEADLINE: there is none. */
int64_t td_deadline_left_us(void);

/* Around a handler that has a deadline: from now on this one, if that which is
 * there comes later. Returns what to hand to td_deadline_restore(). */
int64_t td_deadline_set(int64_t at_us);
void td_deadline_restore(int64_t before_us);

#endif
