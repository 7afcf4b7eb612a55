/* What handlers have said of deliveries of a durable group, and the session
 * has not been told yet. Fixed memory: a thread that calls handlers has one,
 * and stops in time to hand it on. Pure. */
#ifndef TD_OUTCOME_H
#define TD_OUTCOME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/frame.h"
#include "proto/limits.h"

#define TD_OUTCOMES_MAX  64u
#define TD_OUTCOME_LATER 0u /* beside enum td_verb: somebody will settle it */

struct td_outcome {
    uint64_t first;
    uint64_t last;
    unsigned verb;
    uint64_t delay_ms; /* TD_PARK: for so long; 0: the broker's default */
    unsigned reason_len;
    char reason[TD_REASON_BYTES_MAX];
};

/* Zeroed memory is none. */
struct td_outcomes {
    uint32_t len;
    struct td_outcome row[TD_OUTCOMES_MAX];
};

/* Adds a row; there must be room. */
void td_outcomes_append(struct td_outcomes *o, unsigned verb, uint64_t first,
                        uint64_t last, const char *reason);

/* One event's, which mostly goes on where the last row ends. */
static inline void td_outcomes_add(struct td_outcomes *o, unsigned verb,
                                   uint64_t tag, const char *reason)
{
    struct td_outcome *tail = o->len > 0 ? &o->row[o->len - 1] : NULL;

    if (tail && tail->verb == verb && tail->last + 1 == tag && !*reason &&
        tail->reason_len == 0 && tail->delay_ms == 0)
        tail->last = tag;
    else
        td_outcomes_append(o, verb, tag, tag, reason);
}

/* One event's that parks its group. */
void td_outcomes_park(struct td_outcomes *o, uint64_t tag, uint64_t delay_ms,
                      const char *reason);

static inline bool td_outcomes_room(const struct td_outcomes *o, uint32_t rows)
{
    return o->len + rows <= TD_OUTCOMES_MAX;
}

/* Moves all of them to another, which has room for them; what goes on where a
 * row ends there is joined. */
void td_outcomes_move(struct td_outcomes *to, struct td_outcomes *from);

/* A text of the user's as a reason: cut at a character, and UTF-8 whatever it
 * was. out has room for TD_REASON_BYTES_MAX and a NUL. */
void td_reason_take(char *out, const char *text);

#endif
