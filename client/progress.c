/* Subscriptions of durable groups that asked for it: while their handlers run,
 * or others that they wait for, the broker hears that their events are being
 * worked on. */
#include "client/bus.h"
#include "client/workers.h"

#include <utlist.h>

static bool is_busy(const struct td_bus *b, const struct td_bus_sub *sub)
{
    return sub->pool ? td_pool_busy(sub->pool) > 0 : b->dispatching;
}

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

int64_t td_tell_progress(struct td_bus *b)
{
    int64_t now_ms = td_now_ms();
    struct td_bus_sub *sub;

    if (!b->has_progress)
        return TD_CLIENT_NEVER;
    if (now_ms < b->progress_ms)
        return b->progress_ms;
    b->progress_ms = now_ms + TD_PROGRESS_MS;
    DL_FOREACH(b->subs, sub)
    {
        if (!sub->progress || !sub->csub)
            continue;
        if (now_ms + interval(sub) < b->progress_ms)
            b->progress_ms = now_ms + interval(sub);
        if (is_busy(b, sub))
            td_client_progress(&b->client, sub->csub, 0);
    }
    if (td_client_send_settled(&b->client))
        td_bus_touched(b);
    return b->progress_ms;
}
