#include "proto/breaker.h"

#include <string.h>

_Static_assert(sizeof(struct td_breaker) <= 200,
               "a broker has one for each instance of each service");

const struct td_breaker_limits td_breaker_defaults = {
    .failures = TD_BREAKER_FAILURES,
    .rate_percent = TD_BREAKER_RATE_PERCENT,
    .window_ms = TD_BREAKER_WINDOW_MS,
    .window_min = TD_BREAKER_WINDOW_MIN,
    .recovery_ms = TD_BREAKER_RECOVERY_MS,
    .recovery_max_ms = TD_BREAKER_RECOVERY_MAX_MS,
    .probes = TD_BREAKER_PROBES,
    .successes = TD_BREAKER_SUCCESSES,
    .probe_ms = TD_BREAKER_PROBE_MS,
};

static void or_default(uint32_t *value, uint32_t otherwise)
{
    if (*value == 0)
        *value = otherwise;
}

void td_breaker_limits_fit(struct td_breaker_limits *limits)
{
    const struct td_breaker_limits *d = &td_breaker_defaults;

    or_default(&limits->window_ms, d->window_ms);
    or_default(&limits->window_min, d->window_min);
    or_default(&limits->recovery_ms, d->recovery_ms);
    or_default(&limits->recovery_max_ms, d->recovery_max_ms);
    or_default(&limits->probes, d->probes);
    or_default(&limits->successes, d->successes);
    or_default(&limits->probe_ms, d->probe_ms);
    if (limits->recovery_max_ms < limits->recovery_ms)
        limits->recovery_max_ms = limits->recovery_ms;
}

void td_breaker_init(struct td_breaker *b,
                     const struct td_breaker_limits *limits)
{
    memset(b, 0, sizeof(*b));
    b->limits = limits;
    b->recovery_ms = limits->recovery_ms;
}

const char *td_breaker_state_name(enum td_breaker_state state)
{
    static const char *const names[] = {
        [TD_BREAKER_CLOSED] = "closed",
        [TD_BREAKER_OPEN] = "open",
        [TD_BREAKER_HALF_OPEN] = "half_open",
    };

    return names[state];
}

/* ---- tickets ---- */

/* State and round in which the call began. */
static uint32_t era(const struct td_breaker *b)
{
    return b->changes + 1;
}

static uint64_t ticket_of(const struct td_breaker *b)
{
    return (uint64_t)era(b) << 32 | b->round;
}

/* ---- states ---- */

static void enter(struct td_breaker *b, enum td_breaker_state state,
                  int64_t now_ms)
{
    b->state = state;
    b->changes++;
    b->since_ms = now_ms;
    b->probing = 0;
    b->passed = 0;
}

static void enter_open(struct td_breaker *b, int64_t now_ms)
{
    enter(b, TD_BREAKER_OPEN, now_ms);
    b->until_ms = now_ms + b->recovery_ms;
}

static void enter_closed(struct td_breaker *b, int64_t now_ms)
{
    enter(b, TD_BREAKER_CLOSED, now_ms);
    b->failures = 0;
    b->recovery_ms = b->limits->recovery_ms;
    memset(b->parts, 0, sizeof(b->parts));
    b->calls = 0;
    b->failed = 0;
}

/* ---- may a call begin? ---- */

static bool refuse(struct td_breaker *b)
{
    b->refused++;
    return false;
}

static bool give_up_probes(struct td_breaker *b, int64_t now_ms)
{
    if (now_ms < b->until_ms)
        return false;
    b->lost += b->probing;
    b->probing = 0;
    b->round++;
    return true;
}

static bool allow_probe(struct td_breaker *b, int64_t now_ms, uint64_t *ticket)
{
    if (b->probing >= b->limits->probes && !give_up_probes(b, now_ms))
        return refuse(b);
    b->probing++;
    b->until_ms = now_ms + b->limits->probe_ms;
    *ticket = ticket_of(b);
    return true;
}

bool td_breaker_allow(struct td_breaker *b, int64_t now_ms, uint64_t *ticket)
{
    switch (b->state) {
    case TD_BREAKER_CLOSED:
        *ticket = ticket_of(b);
        return true;
    case TD_BREAKER_OPEN:
        if (now_ms < b->until_ms)
            return refuse(b);
        enter(b, TD_BREAKER_HALF_OPEN, now_ms);
        return allow_probe(b, now_ms, ticket);
    case TD_BREAKER_HALF_OPEN:
        return allow_probe(b, now_ms, ticket);
    }
    return refuse(b);
}

int64_t td_breaker_left_ms(const struct td_breaker *b, int64_t now_ms)
{
    bool waits =
        b->state == TD_BREAKER_OPEN ||
        (b->state == TD_BREAKER_HALF_OPEN && b->probing >= b->limits->probes);

    return waits && now_ms < b->until_ms ? b->until_ms - now_ms : 0;
}

bool td_breaker_ready(const struct td_breaker *b, int64_t now_ms)
{
    return td_breaker_left_ms(b, now_ms) == 0;
}

/* ---- what came of it ---- */

/* The window moves on by whole parts. */
static void roll(struct td_breaker *b, int64_t now_ms)
{
    int64_t part_ms = b->limits->window_ms / TD_BREAKER_PARTS;
    int64_t steps;

    if (now_ms < b->part_end_ms)
        return;
    if (part_ms == 0)
        part_ms = 1;
    steps = (now_ms - b->part_end_ms) / part_ms + 1;
    b->part_end_ms += steps * part_ms;
    for (; steps > 0 && b->calls > 0; steps--) {
        b->at = (b->at + 1) % TD_BREAKER_PARTS;
        b->calls -= b->parts[b->at].calls;
        b->failed -= b->parts[b->at].failed;
        memset(&b->parts[b->at], 0, sizeof(b->parts[b->at]));
    }
}

static bool is_rate_reached(struct td_breaker *b, int64_t now_ms, bool ok)
{
    const struct td_breaker_limits *limits = b->limits;

    roll(b, now_ms);
    b->parts[b->at].calls++;
    b->calls++;
    if (!ok) {
        b->parts[b->at].failed++;
        b->failed++;
    }
    return b->calls >= limits->window_min &&
           (uint64_t)b->failed * 100 >=
               (uint64_t)b->calls * limits->rate_percent;
}

static bool done_closed(struct td_breaker *b, int64_t now_ms, bool ok)
{
    const struct td_breaker_limits *limits = b->limits;
    bool opens = limits->rate_percent > 0 && is_rate_reached(b, now_ms, ok);

    b->failures = ok ? 0 : b->failures + 1;
    if (limits->failures > 0 && b->failures >= limits->failures)
        opens = true;
    if (!opens)
        return false;
    b->opened_ms = now_ms;
    enter_open(b, now_ms);
    return true;
}

static void wait_longer(struct td_breaker *b)
{
    uint64_t longer = (uint64_t)b->recovery_ms * 2;

    b->recovery_ms = longer < b->limits->recovery_max_ms
                         ? (uint32_t)longer
                         : b->limits->recovery_max_ms;
}

static bool done_probe(struct td_breaker *b, int64_t now_ms, uint64_t ticket,
                       bool ok)
{
    td_breaker_cancel(b, ticket); /* it makes room */
    if (!ok) {
        b->failures++;
        wait_longer(b);
        enter_open(b, now_ms);
        return true;
    }
    if (++b->passed < b->limits->successes)
        return false;
    enter_closed(b, now_ms);
    return true;
}

bool td_breaker_done(struct td_breaker *b, int64_t now_ms, uint64_t ticket,
                     bool ok)
{
    if (ticket >> 32 == era(b)) {
        switch (b->state) {
        case TD_BREAKER_CLOSED:
            return done_closed(b, now_ms, ok);
        case TD_BREAKER_HALF_OPEN:
            return done_probe(b, now_ms, ticket, ok);
        case TD_BREAKER_OPEN: /* no call began in it */
            break;
        }
    }
    b->late++;
    return false;
}

/* The result of a probe that was given up still counts, but its place is
 * another's already. */
void td_breaker_cancel(struct td_breaker *b, uint64_t ticket)
{
    if (ticket == ticket_of(b) && b->probing > 0)
        b->probing--;
}
