/* Bulkheads: a gate, and the threads that wait before it, first come first
 * served. Each waits for itself alone, so that who leaves wakes one. */
#include "client/bus.h"
#include "client/deadline.h"
#include "client/detail.h"
#include "client/gate.h"
#include "client/resilience.h"
#include "proto/plural.h"

#include <stdlib.h>
#include <utlist.h>

struct waiter {
    struct waiter *prev, *next;
    pthread_cond_t let_in;
    bool in;
};

struct tidings_bulkhead {
    pthread_mutex_t lock; /* guards all of it */
    struct td_gate gate;
    struct waiter *waiters;
    char name[TD_NAME_BYTES_MAX + 1];
};

static tidings_err take_options(struct tidings_bulkhead *b,
                                const struct tidings_bulkhead_options *o)
{
    tidings_err err = td_take_name(b->name, o->name);

    if (!err)
        err = td_take_number(&b->gate.running_max, "running", o->running,
                             TD_BULKHEAD_RUNNING, TD_BULKHEAD_MAX);
    if (!err)
        err =
            td_take_number_or_none(&b->gate.waiting_max, "waiting", o->waiting,
                                   TD_BULKHEAD_WAITING, TD_BULKHEAD_MAX);
    return err;
}

tidings_err tidings_bulkhead_new(tidings_bulkhead **out,
                                 const struct tidings_bulkhead_options *options)
{
    const struct tidings_bulkhead_options defaults = {0};
    struct tidings_bulkhead *b;
    tidings_err err;

    if (!out)
        return td_fail(TIDINGS_EINVAL, "out is NULL");
    b = calloc(1, sizeof(*b));
    if (!b)
        return td_fail(TIDINGS_ENOMEM, "a bulkhead");
    err = take_options(b, options ? options : &defaults);
    if (err) {
        free(b);
        return err;
    }
    pthread_mutex_init(&b->lock, NULL);
    *out = b;
    return TIDINGS_OK;
}

void tidings_bulkhead_free(tidings_bulkhead *bulkhead)
{
    if (!bulkhead)
        return;
    pthread_mutex_destroy(&bulkhead->lock);
    free(bulkhead);
}

static void init_waiter(struct waiter *w)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->let_in, &attr);
    pthread_condattr_destroy(&attr);
    w->in = false;
}

/* With the lock, which it lets go meanwhile. */
static bool wait_until(struct tidings_bulkhead *b, int64_t until_us)
{
    const struct timespec until = {.tv_sec = until_us / 1000000,
                                   .tv_nsec = until_us % 1000000 * 1000};
    struct waiter w;

    init_waiter(&w);
    DL_APPEND(b->waiters, &w);
    while (!w.in && td_now_us() < until_us)
        pthread_cond_timedwait(&w.let_in, &b->lock, &until);
    if (!w.in) {
        DL_DELETE(b->waiters, &w);
        td_gate_give_up(&b->gate);
    }
    pthread_cond_destroy(&w.let_in);
    return w.in;
}

static tidings_err is_full(const struct tidings_bulkhead *b,
                           const struct td_gate *gate)
{
    const char *are = td_plural(gate->running, "is", "are");

    if (gate->waiting_max == 0)
        return td_fail(TIDINGS_EFULL, "bulkhead \"%s\": %u %s inside", b->name,
                       gate->running, are);
    return td_fail(TIDINGS_EFULL,
                   "bulkhead \"%s\": %u %s inside, and %u wait already",
                   b->name, gate->running, are, gate->waiting);
}

/* The thread's own deadline may come before the timeout. */
static tidings_err gave_up(const struct tidings_bulkhead *b, int timeout_ms,
                           bool by_deadline)
{
    if (by_deadline)
        return td_fail(TIDINGS_ETIMEDOUT,
                       "bulkhead \"%s\": no place before the thread's deadline",
                       b->name);
    return td_fail(TIDINGS_EFULL, "bulkhead \"%s\": no place within %d ms",
                   b->name, timeout_ms);
}

static tidings_err enter(struct tidings_bulkhead *b, int timeout_ms)
{
    int64_t until_us = td_now_us() + (int64_t)timeout_ms * 1000;
    bool by_deadline = td_deadline_us() < until_us;
    struct td_gate gate;
    enum td_gate_turn turn;
    bool in;

    if (by_deadline)
        until_us = td_deadline_us();
    pthread_mutex_lock(&b->lock);
    turn = td_gate_enter(&b->gate, timeout_ms > 0);
    gate = b->gate;
    in =
        turn == TD_GATE_IN || (turn == TD_GATE_WAIT && wait_until(b, until_us));
    pthread_mutex_unlock(&b->lock);
    if (in)
        return TIDINGS_OK;
    return turn == TD_GATE_FULL ? is_full(b, &gate)
                                : gave_up(b, timeout_ms, by_deadline);
}

tidings_err tidings_bulkhead_enter(tidings_bulkhead *bulkhead, int timeout_ms)
{
    if (!bulkhead)
        return td_fail(TIDINGS_EINVAL, "bulkhead is NULL");
    if (timeout_ms < 0 || timeout_ms > TIDINGS_TIMEOUT_MAX_MS)
        return td_fail(TIDINGS_EINVAL, "timeout_ms is %d; 0 to %d", timeout_ms,
                       TIDINGS_TIMEOUT_MAX_MS);
    return enter(bulkhead, timeout_ms);
}

void tidings_bulkhead_leave(tidings_bulkhead *bulkhead)
{
    struct waiter *w;

    if (!bulkhead)
        return;
    pthread_mutex_lock(&bulkhead->lock);
    if (td_gate_leave(&bulkhead->gate)) {
        w = bulkhead->waiters;
        DL_DELETE(bulkhead->waiters, w);
        w->in = true;
        pthread_cond_signal(&w->let_in); /* it is there as long as the lock */
    }
    pthread_mutex_unlock(&bulkhead->lock);
}

tidings_err tidings_bulkhead_call(tidings_bulkhead *bulkhead, int timeout_ms,
                                  tidings_work work, void *arg)
{
    tidings_err err = work ? tidings_bulkhead_enter(bulkhead, timeout_ms)
                           : td_fail(TIDINGS_EINVAL, "work is NULL");

    if (err)
        return err;
    err = work(arg);
    tidings_bulkhead_leave(bulkhead);
    return err;
}

tidings_err tidings_bulkhead_info(struct tidings_bulkhead_info *out,
                                  tidings_bulkhead *bulkhead)
{
    const struct td_gate *g;

    if (!out || !bulkhead)
        return td_fail(TIDINGS_EINVAL, "out or bulkhead is NULL");
    g = &bulkhead->gate;
    pthread_mutex_lock(&bulkhead->lock);
    *out = (struct tidings_bulkhead_info){.running = g->running,
                                          .waiting = g->waiting,
                                          .running_peak = g->running_peak,
                                          .waiting_peak = g->waiting_peak,
                                          .entered = g->entered,
                                          .waited = g->waited,
                                          .refused = g->refused,
                                          .gave_up = g->gave_up};
    pthread_mutex_unlock(&bulkhead->lock);
    return TIDINGS_OK;
}
