/* Outages of a durable group: what its handlers need does not answer, a member
 * has said so, and the group is parked. It is delivered nothing for a while,
 * then one event at a time, then more and more, until nothing is held back any
 * more. Pure: times are handed in, events are only counted.
 *
 *            park                  time
 *   RUNNING ------> PARKED ------------------> PROBING
 *      ^             ^  ^                      |    |
 *      |             |  +-------- park --------+    | an ack
 *      |             +----------- park ---------+   v
 *      +--- as many as it may, or no more wait --- RAMPING
 *
 * Only what was delivered since the group was parked last proves anything:
 * its acks widen the ramp. */
#ifndef TD_OUTAGE_H
#define TD_OUTAGE_H

#include <stdbool.h>
#include <stdint.h>

enum td_outage_state {
    TD_OUTAGE_RUNNING, /* there is none */
    TD_OUTAGE_PARKED,
    TD_OUTAGE_PROBING,
    TD_OUTAGE_RAMPING,
    TD_OUTAGE_STATES
};

extern const char *const td_outage_names[TD_OUTAGE_STATES];

/* Zeroed memory is running. */
struct td_outage {
    enum td_outage_state state;
    int64_t until_ms;  /* PARKED: monotonic */
    int64_t since_ms;  /* when it stopped running, monotonic */
    uint64_t delay_ms; /* how long it was parked last */
    uint64_t width;    /* RAMPING: as many events may be in flight … */
    uint64_t acked; /* … until so many have been acked that it is doubled */
    uint64_t times; /* it was parked, in all */
};

/**
 * A member parks it.
 *
 * @param delay_ms  for so long; 0: for a default, twice as long each time that
 *                  a probe or the ramp ends so. A parked group stays so for as
 *                  long as anyone said.
 * @param probed    of what was delivered since it was parked last.
 * @return whether it was not parked before: what was dealt is to be taken back.
 */
bool td_outage_park(struct td_outage *o, int64_t now_ms, uint64_t delay_ms,
                    bool probed);

/* Its time may be over: it is probing then. */
void td_outage_look(struct td_outage *o, int64_t now_ms);

/* Of what was delivered since it was parked, so many were acked. max: as many
 * may be in flight in a group that runs. */
void td_outage_acked(struct td_outage *o, uint64_t events, uint64_t max);

/* Nothing waits that it holds back. */
void td_outage_caught_up(struct td_outage *o);

/* An operator says so. */
void td_outage_end(struct td_outage *o);

/* How many events may be in flight of those dealt since it was parked;
 * UINT64_MAX: it runs. */
uint64_t td_outage_width(const struct td_outage *o);

/* How long it is parked still. */
uint64_t td_outage_left_ms(const struct td_outage *o, int64_t now_ms);

#endif
