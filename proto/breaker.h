/* A circuit breaker: it stops calls to what fails, and finds out with a few
 * of them whether it works again.
 *
 *            failures in a row,
 *            or too many of a window
 *     CLOSED -----------------------> OPEN <-----------------.
 *       ^                               | recovery_ms,       | a probe fails:
 *       |                               | doubled each time  | twice as long
 *       |  successes of probes          v                    |
 *       '-------------------------- HALF_OPEN ---------------'
 *
 * Pure: no clock, no chance, no memory of its own; now_ms is any clock that
 * does not go back. A call asks first, and says afterwards what came of it,
 * with the ticket that it was given: results of calls that began in another
 * state say nothing about this one, and are counted as late. One thread at a
 * time. */
#ifndef TD_BREAKER_H
#define TD_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/limits.h"

enum td_breaker_state {
    TD_BREAKER_CLOSED,   /* every call may begin */
    TD_BREAKER_OPEN,     /* none, for a while */
    TD_BREAKER_HALF_OPEN /* a few: probes */
};

/* 0 turns failures and rate_percent off; of all else it is the default. */
struct td_breaker_limits {
    uint32_t failures;     /* in a row that open it */
    uint32_t rate_percent; /* of the window's results that failed, likewise */
    uint32_t window_ms;    /* a tenth of it goes at once … */
    uint32_t window_min;   /* … and fewer results in it say nothing */
    uint32_t recovery_ms;  /* from open to half open … */
    uint32_t recovery_max_ms; /* … doubled after each probe that failed, up to
                                 this */
    uint32_t probes;          /* at once */
    uint32_t successes;       /* of probes, to close it */
    uint32_t probe_ms; /* a probe without a result makes room for another */
};

/* Those of limits.h. */
extern const struct td_breaker_limits td_breaker_defaults;

/* Fields may be read; since and counts are for the owner to tell. */
struct td_breaker {
    const struct td_breaker_limits *limits; /* borrowed */
    enum td_breaker_state state;
    uint32_t changes;     /* of state, so far: a call that changed it changed
                             this */
    uint32_t failures;    /* in a row, also of probes; 0 when closed again */
    uint32_t probing;     /* half open: probes without a result … */
    uint32_t round;       /* … of this round; others are given up … */
    uint32_t passed;      /* … and successes so far */
    uint32_t recovery_ms; /* of this time */
    int64_t until_ms;  /* open: until then; half open: then probes are lost */
    int64_t since_ms;  /* this state */
    int64_t opened_ms; /* when it was closed last */
    /* The window, in parts; the newest is at. */
    struct {
        uint32_t calls;
        uint32_t failed;
    } parts[TD_BREAKER_PARTS];
    uint32_t at;
    uint32_t calls; /* in all of them */
    uint32_t failed;
    uint32_t lost; /* probes that were given up */
    int64_t part_end_ms;
    uint64_t refused; /* calls */
    uint64_t late;    /* results that said nothing any more */
};

/* Puts the defaults where 0 is none, and lets recovery_max_ms be no less than
 * recovery_ms. */
void td_breaker_limits_fit(struct td_breaker_limits *limits);

/* Closed. limits: fit, and there as long as the breaker. */
void td_breaker_init(struct td_breaker *b,
                     const struct td_breaker_limits *limits);

/* Whether a call may begin; if so, its ticket, which is never 0. It may be a
 * probe, and the first of them makes an open breaker half open. */
bool td_breaker_allow(struct td_breaker *b, int64_t now_ms, uint64_t *ticket);

/* Whether it would be allowed: for choosing among several. */
bool td_breaker_ready(const struct td_breaker *b, int64_t now_ms);

/* What came of a call that was allowed. True: that changed the state. */
bool td_breaker_done(struct td_breaker *b, int64_t now_ms, uint64_t ticket,
                     bool ok);

/* The call was not made after all, or its result says nothing. */
void td_breaker_cancel(struct td_breaker *b, uint64_t ticket);

/* Until a call may begin, as far as is known; 0: now. */
int64_t td_breaker_left_ms(const struct td_breaker *b, int64_t now_ms);

/* "closed", "open", "half_open". */
const char *td_breaker_state_name(enum td_breaker_state state);

#endif
