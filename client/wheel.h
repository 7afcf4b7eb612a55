/* Timers, many of them, most of which never fire: adding one and taking it off
 * cost the same however many there are. Pure. */
#ifndef TD_WHEEL_H
#define TD_WHEEL_H

#include <stdint.h>

#define TD_WHEEL_SLOTS   512u /* of … */
#define TD_WHEEL_SLOT_MS 8    /* … each: what is due later goes round */

/* A timer, in memory of its owner's; zeroed: it is in no wheel. */
struct td_timer {
    struct td_timer *prev;
    struct td_timer *next;
    int64_t due_ms;
    uint32_t slot; /* its place plus 1; 0: in no wheel */
};

/* Zeroed memory, begun. */
struct td_wheel {
    struct td_timer *slots[TD_WHEEL_SLOTS];
    int64_t at;      /* the slot that time has come to, never wrapped */
    int64_t next_ms; /* none is due before; INT64_MAX: there is none */
};

void td_wheel_begin(struct td_wheel *w, int64_t now_ms);

/* It is in none. */
void td_wheel_add(struct td_wheel *w, struct td_timer *t, int64_t due_ms);
/* Also one that is in none. */
void td_wheel_remove(struct td_wheel *w, struct td_timer *t);

/* All that are due, taken off, as a list by next. */
struct td_timer *td_wheel_take(struct td_wheel *w, int64_t now_ms);

#endif
