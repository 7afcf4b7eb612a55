/* How many events a member of a durable group has in hand. Unless the user says
 * how many, it is what its handlers do in a quarter of a second, so that those
 * that come to help find something to do; it begins small and doubles. What is
 * to be settled later does not wait for a handler, and does not count. */
#include "client/session_internal.h"

/* Each worker has one event in hand, and one is on its way to it. */
uint64_t td_client_window_min(unsigned workers)
{
    uint64_t events = 2 * (uint64_t)workers;

    return events > TD_WINDOW_EVENTS_MIN ? events : TD_WINDOW_EVENTS_MIN;
}

uint64_t td_client_window_max(const struct td_csub *sub)
{
    return sub->paced ? TD_WINDOW_EVENTS : sub->window_events;
}

uint64_t td_client_limit(const struct td_csub *sub)
{
    uint64_t limit;

    if (sub->pulls)
        return sub->limit;
    if (!sub->paced)
        return sub->taken + sub->window_events;
    limit = sub->settling.handled + sub->window_events;
    if (limit > sub->taken + TD_WINDOW_EVENTS)
        limit = sub->taken + TD_WINDOW_EVENTS;
    return sub->stuck || limit < sub->limit ? sub->limit : limit;
}

static void grow(struct td_client *c, struct td_csub *sub)
{
    if (sub->window_events >= TD_WINDOW_EVENTS)
        return;
    sub->window_events *= 2;
    if (sub->window_events > TD_WINDOW_EVENTS)
        sub->window_events = TD_WINDOW_EVENTS;
    td_client_sub_taken(c, sub);
}

static void shrink(struct td_csub *sub, uint64_t events)
{
    if (events < sub->window_events)
        sub->window_events =
            events > sub->window_min ? events : sub->window_min;
}

/* A window that is handled in less time is too small. That it takes longer says
 * nothing if handlers had to wait for events. */
void td_client_pace(struct td_client *c, struct td_csub *sub, int64_t now_ms)
{
    uint64_t handled = sub->settling.handled;
    uint64_t events = handled - sub->paced_handled;
    int64_t took_ms = now_ms - sub->paced_ms;

    if (!sub->paced)
        return;
    sub->idled = sub->idled || handled >= sub->received;
    if (took_ms >= 2 * TD_WINDOW_MS && !sub->idled)
        shrink(sub, events * TD_WINDOW_MS / (uint64_t)took_ms);
    else if (events < sub->window_events)
        return;
    else if (took_ms < TD_WINDOW_MS)
        grow(c, sub);
    sub->paced_handled = handled;
    sub->paced_ms = now_ms;
    sub->idled = handled >= sub->received;
}

void td_client_stick(struct td_client *c, struct td_csub *sub, bool stuck)
{
    if (sub->stuck == stuck)
        return;
    sub->stuck = stuck;
    if (!stuck)
        td_client_sub_taken(c, sub);
}
