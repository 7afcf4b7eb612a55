/* Fetching from a subscription that pulls. */
#include "client/api.h"
#include "client/detail.h"
#include "client/handle.h"
#include "client/pull.h"

/* A call that waits. */
struct fetching {
    struct td_bus_sub *sub;
    struct tidings_fetched *out;
    size_t max;
    size_t len;
};

static bool is_over(const struct td_bus_sub *sub)
{
    return atomic_load(&sub->ended) || sub->drained || !sub->csub;
}

/* What is here is taken at once; only who finds nothing asks for more. */
static bool is_fetched(struct td_bus *b, void *arg)
{
    struct fetching *f = arg;

    if (is_over(f->sub) || f->sub->csub->state == TD_CSUB_REFUSED)
        return true;
    f->len = td_pull_take(b, f->sub, f->out, f->max);
    if (f->len == 0)
        td_pull_ask(b, f->sub);
    return f->len > 0;
}

static tidings_err why_none(struct td_bus *b, const struct td_bus_sub *sub)
{
    if (b->closing)
        return td_fail(TIDINGS_ECLOSED, "the bus is being closed");
    if (is_over(sub))
        return td_fail(TIDINGS_ECLOSED, "the subscription has ended");
    if (sub->csub->state == TD_CSUB_REFUSED)
        return td_fail(sub->csub->code, "%s", sub->csub->text);
    if (b->client.state == TD_CLIENT_READY)
        return td_fail(TIDINGS_ETIMEDOUT, "no event came in time");
    return td_why_not(b, "fetch");
}

/* With the lock. What was asked for and has not come is not wanted any more; or,
 * of a call that does not wait, by the next. */
static tidings_err fetch(struct td_bus *b, struct fetching *f, int timeout_ms)
{
    struct td_pull *pull = f->sub->pull;

    pull->asked += f->max;
    td_bus_wait_broker(b, is_fetched, f, td_now_ms() + timeout_ms);
    pull->asked -= f->max;
    if (f->len == 0 && timeout_ms == 0)
        return why_none(b, f->sub);
    td_pull_ask(b, f->sub);
    return f->len > 0 ? TIDINGS_OK : why_none(b, f->sub);
}

static tidings_err check(const size_t *fetched,
                         const struct tidings_fetched *out, size_t max_events,
                         int timeout_ms)
{
    if (!fetched || !out)
        return td_fail(TIDINGS_EINVAL, "fetched or out is NULL");
    if (max_events == 0 || max_events > TD_QUEUE_EVENTS_MAX)
        return td_fail(TIDINGS_EINVAL, "max_events is %zu; 1 to %u", max_events,
                       TD_QUEUE_EVENTS_MAX);
    return td_check_timeout(timeout_ms);
}

tidings_err tidings_fetch(size_t *fetched, struct tidings_fetched out[],
                          tidings_sub *handle, size_t max_events,
                          int timeout_ms)
{
    struct fetching f = {.out = out, .max = max_events};
    tidings_err err = check(fetched, out, max_events, timeout_ms);
    struct td_bus *b;
    uint32_t number;

    if (err)
        return err;
    b = td_handle_lock_sub(handle, &number, &err);
    if (!b)
        return err;
    f.sub = b->closing ? NULL : td_bus_sub_find(b, number);
    if (!f.sub || is_over(f.sub)) {
        err = td_fail(TIDINGS_ECLOSED, "the subscription has ended");
    } else if (!f.sub->pull) {
        err = td_fail(TIDINGS_ENOTSUP, "the subscription has a handler");
    } else {
        td_bus_sub_ref(f.sub);
        err = fetch(b, &f, timeout_ms);
        td_bus_sub_unref(f.sub);
    }
    td_exit(b);
    if (!err)
        *fetched = f.len;
    return err;
}
