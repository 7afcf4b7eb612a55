#include "broker/engine/outage.h"

#include "proto/limits.h"

const char *const td_outage_names[TD_OUTAGE_STATES] = {"running", "parked",
                                                       "probing", "ramping"};

/* How long, where nobody says. */
static uint64_t next_delay_ms(const struct td_outage *o, bool probed)
{
    uint64_t ms = probed ? 2 * o->delay_ms : o->delay_ms;

    if (o->state == TD_OUTAGE_RUNNING)
        return TD_PARK_MS;
    return ms < TD_PARK_GROWN_MS ? ms : TD_PARK_GROWN_MS;
}

bool td_outage_park(struct td_outage *o, int64_t now_ms, uint64_t delay_ms,
                    bool probed)
{
    bool parked = o->state == TD_OUTAGE_PARKED;

    if (parked && delay_ms == 0)
        return false;
    if (delay_ms == 0)
        delay_ms = next_delay_ms(o, probed);
    if (delay_ms > TD_PARK_MS_MAX)
        delay_ms = TD_PARK_MS_MAX;
    if (parked && now_ms + (int64_t)delay_ms <= o->until_ms)
        return false;
    if (o->state == TD_OUTAGE_RUNNING)
        o->since_ms = now_ms;
    o->state = TD_OUTAGE_PARKED;
    o->until_ms = now_ms + (int64_t)delay_ms;
    o->delay_ms = delay_ms;
    o->times += !parked;
    return !parked;
}

void td_outage_look(struct td_outage *o, int64_t now_ms)
{
    if (o->state == TD_OUTAGE_PARKED && now_ms >= o->until_ms)
        o->state = TD_OUTAGE_PROBING;
}

void td_outage_acked(struct td_outage *o, uint64_t events, uint64_t max)
{
    switch (o->state) {
    case TD_OUTAGE_RUNNING:
    case TD_OUTAGE_PARKED: /* it is from before */
        return;
    case TD_OUTAGE_PROBING:
        o->state = TD_OUTAGE_RAMPING;
        o->width = 2;
        o->acked = 0;
        events--;
        break;
    case TD_OUTAGE_RAMPING:
    case TD_OUTAGE_STATES:
        break;
    }
    o->acked += events;
    while (o->acked >= o->width && o->width < max) {
        o->acked -= o->width;
        o->width *= 2;
    }
    if (o->width >= max)
        td_outage_end(o);
}

void td_outage_caught_up(struct td_outage *o)
{
    if (o->state == TD_OUTAGE_RAMPING)
        td_outage_end(o);
}

void td_outage_end(struct td_outage *o)
{
    o->state = TD_OUTAGE_RUNNING;
    o->delay_ms = 0;
}

uint64_t td_outage_width(const struct td_outage *o)
{
    switch (o->state) {
    case TD_OUTAGE_RUNNING:
    case TD_OUTAGE_STATES:
        break;
    case TD_OUTAGE_PARKED:
        return 0;
    case TD_OUTAGE_PROBING:
        return 1;
    case TD_OUTAGE_RAMPING:
        return o->width;
    }
    return UINT64_MAX;
}

uint64_t td_outage_left_ms(const struct td_outage *o, int64_t now_ms)
{
    return o->state == TD_OUTAGE_PARKED && o->until_ms > now_ms
               ? (uint64_t)(o->until_ms - now_ms)
               : 0;
}
