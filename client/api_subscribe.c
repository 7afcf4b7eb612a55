/* Subscriptions: beginning them, ending one, ending all at rest. */
#include "client/api.h"
#include "client/detail.h"
#include "client/handle.h"
#include "client/here.h"
#include "client/pull.h"
#include "client/workers.h"
#include "proto/plural.h"

#include <utlist.h>

static bool is_answered(struct td_bus *b, void *arg)
{
    struct td_bus_sub *sub = arg;

    (void)b;
    return sub->drained || sub->csub->state == TD_CSUB_LIVE ||
           sub->csub->state == TD_CSUB_REFUSED;
}

/* Takes it out of the lists; its memory lives while its handler runs. */
static void forget(struct td_bus *b, struct td_bus_sub *sub)
{
    atomic_store(&sub->ended, true);
    td_pool_retire(b, sub);
    td_pull_drop(b, sub);
    if (sub->csub)
        td_client_forget(&b->client, sub->csub);
    sub->csub = NULL;
    DL_DELETE(b->subs, sub);
    td_bus_sub_unref(sub);
}

static tidings_err check_sub(const char *pattern, tidings_handler handler,
                             const struct tidings_sub_options *o)
{
    tidings_err err = tidings_pattern_check(pattern);

    if (err)
        return err;
    if (!handler != o->pull)
        return td_fail(TIDINGS_EINVAL,
                       handler ? "a handler, and pull" : "handler is NULL");
    err = td_sub_check(o);
    return err ? err : td_check_timeout(o->timeout_ms);
}

/* With the lock: asks the broker, and waits for its answer. */
static tidings_err ask_for(struct td_bus *b, struct td_bus_sub *sub,
                           int timeout_ms)
{
    td_bus_touched(b);
    if (!td_bus_wait_broker(b, is_answered, sub, td_now_ms() + timeout_ms))
        return td_why_not(b, "subscribe");
    if (sub->drained)
        return td_fail(TIDINGS_ECLOSED, "the bus was drained meanwhile");
    if (sub->csub->state == TD_CSUB_REFUSED)
        return td_fail(sub->csub->code, "%s", sub->csub->text);
    atomic_store(&sub->by_key, sub->csub->group_policy == TIDINGS_BY_KEY);
    if (sub->durable)
        td_progress_soon(b); /* it knows how often */
    return TIDINGS_OK;
}

/* With the lock. */
static tidings_err begin(struct td_bus *b, struct td_bus_sub *sub,
                         const char *pattern,
                         const struct tidings_sub_options *o)
{
    tidings_err err = TIDINGS_OK;

    if (o->workers > 0)
        err = td_pool_new(b, sub, o);
    if (!err)
        err = td_client_subscribe(&b->client, &sub->csub, pattern, o);
    if (err == TIDINGS_ELIMIT)
        td_fail(err, "%u subscriptions on this bus", TD_SUBSCRIPTIONS_MAX);
    if (err) {
        atomic_store(&sub->ended, true);
        td_pool_retire(b, sub);
        return err;
    }
    if (sub->durable) {
        b->has_durable = true;
        td_progress_soon(b);
    }
    sub->csub->owner = sub;
    sub->number = sub->csub->number;
    DL_APPEND(b->subs, sub);
    td_bus_sub_ref(sub);
    return TIDINGS_OK;
}

/* With the lock. */
static tidings_err subscribe(struct td_bus *b, struct td_bus_sub *sub,
                             const char *pattern,
                             const struct tidings_sub_options *o)
{
    tidings_err err;

    if (b->own_loop && o->workers > 0)
        return td_fail(TIDINGS_EINVAL,
                       "workers are threads of the library's: not with "
                       "own_loop");
    err = begin(b, sub, pattern, o);
    if (err)
        return err;
    err = ask_for(b, sub, o->timeout_ms ? o->timeout_ms : TD_REQUEST_MS);
    if (!err || sub->drained)
        return err;
    td_client_unsubscribe(&b->client, sub->csub);
    forget(b, sub);
    td_bus_touched(b);
    return err;
}

tidings_err tidings_subscribe(tidings_sub **out, tidings_bus *bus,
                              const char *pattern, tidings_handler handler,
                              void *arg,
                              const struct tidings_sub_options *options)
{
    const struct tidings_sub_options defaults = {0};
    const struct tidings_sub_options *o = options ? options : &defaults;
    tidings_err err = check_sub(pattern, handler, o);
    struct td_bus *b = err ? NULL : td_enter(bus, &err);
    struct td_bus_sub *sub;

    if (!b)
        return err;
    sub = td_bus_sub_new(handler, arg, o);
    err = TIDINGS_ENOMEM;
    if (sub) {
        err = subscribe(b, sub, pattern, o);
        if (!err && out)
            *out = td_handle_sub(bus, sub->number);
        td_bus_sub_unref(sub);
    }
    td_pools_reap(b, false);
    td_exit(b);
    return err;
}

/* Whether its handler runs, other than on this thread. */
static bool runs_elsewhere(struct td_bus *b, struct td_bus_sub *sub)
{
    unsigned self = sub->pool && sub->pool == td_pool_of_thread(b);

    if (sub->pool)
        return td_pool_busy(sub->pool) > self;
    return b->running == sub && !td_is_dispatcher(b);
}

static bool is_ended(struct td_bus *b, void *arg)
{
    struct td_bus_sub *sub = arg;

    return (!sub->csub || sub->csub->state == TD_CSUB_ENDED) &&
           !runs_elsewhere(b, sub);
}

/* It is over, but for what the broker says and what runs. */
static tidings_err wait_ended(struct td_bus *b, struct td_bus_sub *sub,
                              int64_t deadline_ms)
{
    if (td_bus_wait(b, is_ended, sub, deadline_ms))
        return TIDINGS_OK;
    return td_fail(b->closing ? TIDINGS_ECLOSED : TIDINGS_ETIMEDOUT, "%s",
                   runs_elsewhere(b, sub)
                       ? "its handler is still running"
                       : "the broker did not answer in time");
}

static bool is_handled(struct td_bus *b, void *arg)
{
    return !runs_elsewhere(b, arg);
}

/* What was handled is settled; what was not will be given back. */
static void settle_rest(struct td_bus *b, struct td_bus_sub *sub)
{
    if (sub->pool)
        td_pool_settle(sub->pool);
    td_here_flush(b, sub);
}

static void end_at_broker(struct td_bus *b, struct td_bus_sub *sub)
{
    if (!sub->csub)
        return; /* drained meanwhile */
    if (sub->csub->state != TD_CSUB_REFUSED)
        td_client_unsubscribe(&b->client, sub->csub);
    else
        sub->csub->state = TD_CSUB_ENDED;
}

tidings_err tidings_unsubscribe(tidings_sub *handle, int timeout_ms)
{
    int64_t deadline = td_now_ms() + timeout_ms;
    tidings_err err = td_check_timeout(timeout_ms);
    struct td_bus_sub *sub;
    struct td_bus *b;
    uint32_t number;

    if (err)
        return err;
    b = td_handle_lock_sub(handle, &number, &err);
    if (!b)
        return err;
    sub = b->closing ? NULL : td_bus_sub_find(b, number);
    if (!sub || atomic_load(&sub->ended)) {
        td_exit(b);
        return td_fail(TIDINGS_ECLOSED, "the subscription has ended");
    }
    td_bus_sub_ref(sub);
    atomic_store(&sub->ended, true);
    td_bus_changed(b); /* who waits to tell of it need not any more */
    if (sub->durable) {
        td_bus_wait(b, is_handled, sub, deadline);
        settle_rest(b, sub);
    }
    end_at_broker(b, sub);
    err = wait_ended(b, sub, deadline);
    if (!sub->drained)
        forget(b, sub);
    td_bus_sub_unref(sub);
    td_pools_reap(b, false);
    td_exit(b);
    return err;
}

/* Handlers are done with what had arrived, but for what they have settled
 * later. */
static void end_durable(struct td_bus *b)
{
    struct td_bus_sub *sub;

    DL_FOREACH(b->subs, sub)
    {
        if (!sub->resting || td_settling_has_later(&sub->csub->settling))
            continue;
        settle_rest(b, sub);
        end_at_broker(b, sub);
        sub->resting = false;
        atomic_store(&sub->ended, true);
    }
}

static bool is_at_rest(struct td_bus *b, void *arg)
{
    const int64_t *deadline_ms = arg;
    struct td_bus_sub *sub;

    /* The caller is the loop. */
    while (b->own_loop && !b->dispatching && td_has_notices(b) &&
           td_now_ms() < *deadline_ms)
        td_dispatch(b, 1);
    if (b->dispatching || td_has_notices(b) || /* in this order: the cursor is
                                                  the dispatcher's */
        !td_pools_rest(b))
        return false;
    end_durable(b);
    DL_FOREACH(b->subs, sub)
    {
        if (sub->drained && sub->csub->state != TD_CSUB_ENDED)
            return false;
    }
    return true;
}

static tidings_err not_at_rest(struct td_bus *b)
{
    if (b->closing)
        return td_fail(TIDINGS_ECLOSED, "the bus is being closed");
    if (b->client.fenced)
        return td_is_fenced(b);
    return td_fail(TIDINGS_ETIMEDOUT, "%llu %s not handled, %llu not taken",
                   (unsigned long long)b->waiting_events,
                   td_plural(b->waiting_events, "event", "events"),
                   (unsigned long long)td_unconfirmed(b));
}

tidings_err tidings_drain(tidings_bus *bus, int timeout_ms)
{
    int64_t deadline = td_now_ms() + timeout_ms;
    tidings_err err = td_check_timeout(timeout_ms);
    struct td_bus *b = err ? NULL : td_enter(bus, &err);
    struct td_bus_sub *sub;
    struct td_bus_sub *next;
    uint64_t missed;
    uint64_t left;
    bool stopped;
    bool rested;

    if (!b)
        return err;
    if (td_in_handler(b)) {
        td_exit(b);
        return td_fail(TIDINGS_EDEADLK, "drain the bus outside its handlers");
    }
    b->users++; /* the bus stays */
    stopped = td_bus_services_stop(b, NULL, deadline);
    missed = b->client.missed;
    td_flush(b, deadline); /* so that it is not overtaken by what follows */
    DL_FOREACH(b->subs, sub)
    {
        sub->csub->wants_rest = true;
        if (!sub->drained && sub->durable)
            sub->resting = true; /* it ends when all is settled */
        else if (!sub->drained)
            td_client_unsubscribe(&b->client, sub->csub);
        sub->drained = true;
    }
    rested = td_bus_wait(b, is_at_rest, &deadline, deadline);
    rested = td_flush(b, deadline) && rested && stopped;
    b->users--;
    if (!rested)
        err = not_at_rest(b);
    else if ((left = b->client.missed - missed) > 0)
        err = td_fail(TIDINGS_ELIMIT,
                      "at rest; %llu %s left behind at the broker",
                      (unsigned long long)left,
                      td_plural(left, "event was", "events were"));
    DL_FOREACH_SAFE(b->subs, sub, next)
    {
        if (!sub->drained)
            continue;
        if (sub->resting) { /* not in time */
            settle_rest(b, sub);
            end_at_broker(b, sub);
        }
        forget(b, sub);
    }
    td_pools_reap(b, false);
    td_bus_services_reap(b, false);
    td_exit(b);
    return err;
}
