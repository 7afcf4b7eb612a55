/* What durable subscriptions have in hand. The broker hears in time that it is
 * waiting here, so that a lease does not run before a handler begins; and what
 * waits for a handler that does not return goes back, so that others get it. */
#include "client/bus.h"
#include "client/parked.h"
#include "client/pull.h"
#include "client/workers.h"

#include <utlist.h>

/* ---- who is at it ---- */

/* Where threads are that handle its events. */
static unsigned look(struct td_bus *b, struct td_bus_sub *sub, struct td_at *at)
{
    uint64_t incarnation = b->client.incarnation;

    if (sub->pool)
        return td_pool_at(sub->pool, incarnation, at);
    return td_call_look(&sub->call, incarnation, at);
}

/* Once for all that it dispatches: calls of a handler, and what is around
 * them. */
static void watch_dispatcher(struct td_bus *b, int64_t now_ms)
{
    uint64_t calls = b->running ? td_call_get(&b->running->call.passed) : 0;
    bool idle;

    if (b->running)
        idle = b->running->progress;
    else if (b->dispatching) /* the cursor is the dispatcher's */
        idle = !td_notices_any(&b->notices);
    else
        idle = !td_has_notices(b);
    td_watch(&b->watch, idle, b->steps + calls, now_ms);
}

/* Whether what waits does so for a handler that is late, or for a call that
 * nobody makes. */
static bool is_stuck(struct td_bus *b, struct td_bus_sub *sub, int64_t now_ms,
                     int64_t wait_ms)
{
    struct td_pull *pull = sub->pull;

    if (sub->pool)
        return !sub->progress && td_pool_is_stuck(sub->pool, now_ms, wait_ms);
    if (pull)
        return td_watch(&pull->watch, pull->events == 0, pull->steps, now_ms) >=
               wait_ms;
    return now_ms - b->watch.ms >= wait_ms;
}

void td_progress_said(struct td_bus *b, struct td_bus_sub *sub, uint64_t tag)
{
    if (sub->pool)
        td_pool_progress(sub->pool, tag, td_now_ms());
    else if (b->running == sub && td_call_get(&sub->call.tag) == tag)
        b->watch.ms = td_now_ms();
}

/* ---- giving back ---- */

/* First it is said, and then looked who is at what: who comes to an event after
 * that sees it. Keys go back with what is on its way, to come in order. */
static void give_back(struct td_bus *b, struct td_bus_sub *sub, uint64_t last)
{
    struct td_at at[TD_WORKERS_MAX];

    if (last <= atomic_load(&sub->given_back))
        return;
    atomic_store(&sub->given_back, last);
    if (sub->parked && atomic_load(&sub->by_key)) {
        td_parked_add_all(sub->parked, last);
        td_parked_told(sub->parked, last, last, b->client.next_request + 1);
    }
    td_client_give_back(&b->client, sub->csub, last, at, look(b, sub, at));
    td_bus_touched(b);
    td_bus_changed(b);
}

void td_give_back_lost(struct td_bus *b)
{
    struct td_bus_sub *sub;

    b->lost = false;
    DL_FOREACH(b->subs, sub)
    {
        if (sub->lost && sub->csub && !atomic_load(&sub->ended))
            give_back(b, sub, sub->lost);
        sub->lost = 0;
    }
}

void td_give_back_parked(struct td_bus *b, struct td_bus_sub *sub)
{
    bool parks = sub->parks;

    sub->parks = false;
    if (parks && sub->csub && !atomic_load(&sub->ended))
        give_back(b, sub, sub->csub->received);
}

/* ---- telling ---- */

/* Often enough for its group. */
static int64_t interval(const struct td_bus_sub *sub)
{
    uint64_t wait_ms = sub->csub->ack_wait_ms;

    if (wait_ms == 0) /* its answer is yet to come */
        return TD_LAZY_MS;
    if (wait_ms < TD_PROGRESS_PART)
        return 1;
    wait_ms /= TD_PROGRESS_PART;
    return wait_ms < TD_PROGRESS_MS ? (int64_t)wait_ms : TD_PROGRESS_MS;
}

/* It could not be told: the link is away, or we were. Up to which tag the
 * broker has surely not waited for it. */
static uint64_t passed(const struct td_bus_sub *sub, int64_t now_ms)
{
    int64_t ms = (int64_t)sub->csub->ack_wait_ms + interval(sub);

    return sub->csub->state == TD_CSUB_AWAY && now_ms - sub->held_ms >= ms
               ? sub->csub->received
               : sub->held;
}

static void hold(struct td_bus *b, struct td_bus_sub *sub, int64_t now_ms)
{
    int64_t wait_ms = (int64_t)sub->csub->ack_wait_ms;
    struct td_at at[TD_WORKERS_MAX];
    unsigned at_len;
    bool stuck;

    if (sub->held && now_ms - sub->held_ms >= wait_ms)
        give_back(b, sub, passed(sub, now_ms));
    stuck = is_stuck(b, sub, now_ms, wait_ms);
    td_client_stick(&b->client, sub->csub, stuck);
    if (stuck)
        give_back(b, sub, sub->csub->received);
    if (sub->csub->state != TD_CSUB_LIVE)
        return;
    at_len = look(b, sub, at);
    td_client_hold(&b->client, sub->csub, at, sub->progress ? 0 : at_len);
    sub->held_ms = now_ms;
    sub->held = sub->csub->received;
}

bool td_progress_is_due(const struct td_bus *b)
{
    return b->has_durable && td_now_ms() >= b->progress_ms;
}

void td_progress_soon(struct td_bus *b)
{
    if (!b->has_durable)
        return;
    b->progress_ms = 0;
    td_bus_keep(b, 0);
}

int64_t td_tell_progress(struct td_bus *b)
{
    int64_t now_ms = td_now_ms();
    struct td_bus_sub *sub;

    if (!b->has_durable)
        return TD_CLIENT_NEVER;
    if (now_ms < b->progress_ms)
        return b->progress_ms;
    b->progress_ms = now_ms + TD_PROGRESS_MS;
    watch_dispatcher(b, now_ms);
    DL_FOREACH(b->subs, sub)
    {
        if (!sub->durable || !sub->csub || atomic_load(&sub->ended))
            continue;
        if (now_ms + interval(sub) < b->progress_ms)
            b->progress_ms = now_ms + interval(sub);
        if (sub->csub->ack_wait_ms > 0)
            hold(b, sub, now_ms);
    }
    td_client_send_settled(&b->client);
    td_bus_touched(b); /* hold() may have sent as well */
    return b->progress_ms;
}
