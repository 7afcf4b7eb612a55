/* Calling on_status: one call at a time, whichever thread it is that has
 * something to tell. */
#include "client/asked.h"
#include "client/bus.h"
#include "client/handle.h"
#include "client/workers.h"

#include <utlist.h>

bool td_is_dispatcher(const struct td_bus *b)
{
    return b->dispatching && pthread_equal(b->dispatcher, pthread_self());
}

bool td_is_teller(const struct td_bus *b)
{
    return b->telling && pthread_equal(b->teller, pthread_self());
}

bool td_in_handler(const struct td_bus *b)
{
    return td_is_dispatcher(b) || td_pool_of_thread(b) || td_is_teller(b) ||
           td_in_many(b) || td_runner_is_here(b);
}

/* With the lock, which is let go meanwhile. */
static void call(struct td_bus *b, const struct tidings_status *status)
{
    b->telling = true;
    b->teller = pthread_self();
    pthread_mutex_unlock(b->lock);
    b->on_status(b->on_status_arg, status);
    pthread_mutex_lock(b->lock);
    b->telling = false;
    if (b->tell_waiting > 0)
        pthread_cond_broadcast(&b->changed);
    if (b->late_waits)
        td_bus_keep(b, 0);
}

void td_tell(struct td_bus *b, struct td_bus_sub *sub,
             const struct tidings_status *status)
{
    if (!b->on_status)
        return;
    pthread_mutex_lock(b->lock);
    while (b->telling && !(sub && atomic_load(&sub->ended))) {
        b->tell_waiting++;
        pthread_cond_wait(&b->changed, b->lock);
        b->tell_waiting--;
    }
    if (!b->telling)
        call(b, status);
    pthread_mutex_unlock(b->lock);
}

/* ---- late handlers ---- */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* One after another, the calls of a subscription that may be running; NULL:
 * there are no more. */
static struct td_call *call_of(struct td_bus *b, struct td_bus_sub *sub,
                               unsigned i)
{
    if (sub->pool)
        return td_pool_busy(sub->pool) ? td_pool_call(sub->pool, i) : NULL;
    return i == 0 && b->running == sub ? &sub->call : NULL;
}

static void tell_one(struct td_bus *b, struct td_bus_sub *sub, uint64_t ms)
{
    const struct tidings_status status = {
        .kind = TIDINGS_HANDLER_LATE,
        .err = TIDINGS_ETIMEDOUT,
        .text = "a handler is still running",
        .sub = td_bus_sub_handle(b, sub),
        .count = ms,
    };

    td_bus_sub_ref(sub);
    call(b, &status);
    td_bus_sub_unref(sub);
}

/* INT64_MAX: nothing of it runs; 0: something was told, and the lock let go. */
static int64_t look_at(struct td_bus *b, struct td_bus_sub *sub, int64_t now_us)
{
    int64_t next_us = INT64_MAX;
    struct td_call *c;
    uint64_t ms;

    for (unsigned i = 0; (c = call_of(b, sub, i)); i++) {
        int64_t late_us = td_call_late_us(c, sub->timeout_ms, now_us, &ms);

        if (late_us == 0 && b->on_status) {
            tell_one(b, sub, ms);
            return 0;
        }
        if (late_us == INT64_MAX) /* its next call may begin at once */
            late_us = now_us + (int64_t)sub->timeout_ms * 1000;
        if (late_us > 0)
            next_us = earlier(next_us, late_us);
    }
    return next_us;
}

/* As look_at(), for all of them. */
static int64_t look_at_all(struct td_bus *b)
{
    int64_t now_us = td_now_us();
    int64_t next_us = INT64_MAX;
    struct td_bus_sub *sub;

    DL_FOREACH(b->subs, sub)
    {
        if (sub->timeout_ms > 0 && !atomic_load(&sub->ended))
            next_us = earlier(next_us, look_at(b, sub, now_us));
        if (next_us == 0)
            break; /* the list may be another now */
    }
    return next_us;
}

int64_t td_tell_late(struct td_bus *b)
{
    int64_t next_us = 0;

    while (next_us == 0) {
        b->late_waits = b->telling;
        if (b->telling || b->stop)
            return TD_CLIENT_NEVER;
        next_us = look_at_all(b);
    }
    return next_us == INT64_MAX ? TD_CLIENT_NEVER : next_us / 1000 + 1;
}
