/* So many at once, and so many that wait: the count behind a bulkhead. Pure;
 * who waits, and in which order, is its owner's. */
#ifndef TD_GATE_H
#define TD_GATE_H

#include <stdbool.h>
#include <stdint.h>

struct td_gate {
    uint32_t running_max;
    uint32_t waiting_max;
    uint32_t running;
    uint32_t waiting;
    uint32_t running_peak;
    uint32_t waiting_peak;
    uint64_t entered;
    uint64_t waited; /* of those, not at once */
    uint64_t refused;
    uint64_t gave_up;
};

enum td_gate_turn {
    TD_GATE_IN,
    TD_GATE_WAIT, /* it waits, until it is let in or gives up */
    TD_GATE_FULL
};

/* may_wait: false: full rather than wait. */
enum td_gate_turn td_gate_enter(struct td_gate *g, bool may_wait);

/* One is done. True: one of those that wait is in, in its place. */
bool td_gate_leave(struct td_gate *g);

/* One of those that wait does so no longer. */
void td_gate_give_up(struct td_gate *g);

#endif
