#include "client/call.h"

#include "client/bus.h"
#include "client/view.h"

/* Calls that are timed together; and how long one of them takes at most, so
 * that the clock is not worth reading for each. */
#define CALLS_MAX 16u
#define QUICK_US  10

void td_call_begin(struct td_call *call)
{
    if (call->stretch == 0)
        call->stretch = 1;
    call->left = call->stretch;
    call->now_us = td_now_us();
}

/* A call has just returned, and what was not timed before it is now. */
static void look(struct td_call *call, const struct td_bus_sub *sub)
{
    unsigned calls = call->stretch - call->left;
    int64_t now_us = td_now_us();
    uint64_t took_us = (uint64_t)(now_us - call->now_us);

    td_call_add(&call->us, took_us);
    if (took_us > td_call_get(&call->max_us))
        atomic_store_explicit(&call->max_us, took_us, memory_order_relaxed);
    if (sub->timeout_ms &&
        atomic_exchange_explicit(&call->since_us, 0, memory_order_relaxed) >
            0 &&
        took_us > (uint64_t)sub->timeout_ms * 1000)
        atomic_fetch_add(&call->late, 1);
    if (sub->timeout_ms || took_us > (uint64_t)calls * QUICK_US)
        call->stretch = 1;
    else if (call->stretch < CALLS_MAX)
        call->stretch *= 2;
    call->left = call->stretch;
    call->now_us = now_us;
}

void td_call_end(struct td_call *call, const struct td_bus_sub *sub)
{
    if (call->left < call->stretch)
        look(call, sub);
}

static void tell(struct td_bus *b, struct td_bus_sub *sub,
                 enum tidings_status_kind kind, tidings_err err,
                 const char *text, const struct td_view *view, const char *id)
{
    const struct tidings_status status = {
        .kind = kind,
        .err = err,
        .text = text,
        .sub = td_bus_sub_handle(b, sub),
        .count = 1,
        .event_type = view->type,
        .event_id = id,
    };

    td_tell(b, sub, &status);
}

tidings_err td_call_handler(struct td_call *call, struct td_bus_sub *sub,
                            const struct td_view *view)
{
    tidings_err err;

    if (sub->timeout_ms)
        atomic_store_explicit(&call->since_us, call->now_us,
                              memory_order_relaxed);
    err = sub->handler(sub->arg, &view->event);
    if (--call->left == 0 || err)
        look(call, sub);
    td_call_add(&call->passed, 1);
    return err;
}

bool td_call_failed(struct td_call *call, struct td_bus *b,
                    struct td_bus_sub *sub, const struct td_view *view,
                    tidings_err err)
{
    td_call_add(&call->failed, 1);
    tell(b, sub, TIDINGS_HANDLER_FAILED, err, tidings_err_text(err), view,
         view->event.id);
    call->now_us = td_now_us(); /* telling is not the handler's time */
    return true;
}

void td_call_unreadable(struct td_call *call, struct td_bus *b,
                        struct td_bus_sub *sub, const struct td_view *view,
                        tidings_err err)
{
    td_call_end(call, sub);
    td_call_add(&call->passed, 1);
    td_call_add(&call->unreadable, 1);
    tell(b, sub, TIDINGS_BAD_EVENT, err,
         err == TIDINGS_ENOMEM ? "no memory to read an event: skipped"
                               : "event cannot be read: skipped",
         view, view->id);
    call->now_us = td_now_us();
}

int64_t td_call_late_us(struct td_call *call, int timeout_ms, int64_t now_us,
                        uint64_t *ms)
{
    long long since_us = atomic_load(&call->since_us);
    int64_t late_us;

    if (since_us <= 0)
        return INT64_MAX;
    late_us = since_us + (int64_t)timeout_ms * 1000;
    if (now_us <= late_us)
        return late_us;
    if (!atomic_compare_exchange_strong(&call->since_us, &since_us, -since_us))
        return INT64_MAX; /* it returned, or failed to be late */
    atomic_fetch_add(&call->late, 1);
    *ms = (uint64_t)(now_us - since_us) / 1000;
    return 0;
}
