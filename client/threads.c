/* The I/O thread, which drives and dispatches in turn, and the keeper, which
 * sees to what must not wait for handlers. */
#include "client/asked.h"
#include "client/detail.h"
#include "client/drive.h"

#include <sys/prctl.h>

#define LEND_MS 50 /* the I/O thread looks whether the link is still borrowed */

/* Until nobody has borrowed it for a while, or it is wanted back. Who asks may
 * be asleep, when something else than his answer was read: he is to drive now. */
static void lend(struct td_bus *b)
{
    uint64_t borrowed = b->borrowed;
    unsigned unused = 0;

    if (!b->driving && b->asking)
        pthread_cond_signal(&b->asking->told);
    td_bus_wait_cond(b, &b->lender, &unused, td_now_ms() + LEND_MS);
    if (b->borrowed == borrowed && !b->driving)
        b->lent = false;
}

/* Somebody drove in our stead, and goes on until he has what he waits for. */
static void follow(struct td_bus *b)
{
    unsigned unused = 0;

    b->following = true;
    td_bus_wait_cond(b, &b->lender, &unused, TD_CLIENT_NEVER);
    b->following = false;
}

static void *io_main(void *arg)
{
    struct td_bus *b = arg;

    prctl(PR_SET_NAME, "tidings-io");
    pthread_mutex_lock(b->lock);
    while (!b->stop) {
        if (td_bus_may_dispatch(b)) {
            td_dispatch(b, SIZE_MAX);
        } else if (b->lent) {
            lend(b);
        } else if (b->driving) {
            follow(b);
        } else {
            td_bus_drive(b, TD_CLIENT_NEVER);
        }
    }
    pthread_mutex_unlock(b->lock);
    return NULL;
}

void td_bus_keep(struct td_bus *b, int64_t when_ms)
{
    if (when_ms >= b->keeper_ms)
        return;
    b->keeper_ms = when_ms;
    pthread_cond_signal(&b->keeper);
}

void td_bus_keep_unlocked(struct td_bus *b, int64_t when_ms)
{
    if (when_ms >= b->keeper_ms)
        return;
    pthread_mutex_lock(b->lock);
    td_bus_keep(b, when_ms);
    pthread_mutex_unlock(b->lock);
}

/* A handler has kept the I/O thread for half a heartbeat, or until the broker is
 * to be told what has come meanwhile. */
static bool is_neglected(const struct td_bus *b)
{
    return !b->stop && !b->own_loop && b->dispatching && !b->driving &&
           (td_now_ms() - b->client.now_ms >= TD_HEARTBEAT_MS / 2 ||
            td_progress_is_due(b) ||
            (b->services.list && td_now_ms() - b->client.now_ms >= TD_AWAY_MS));
}

/* Keeps the link alive, and looks whether handlers are late. */
static void *keeper_main(void *arg)
{
    struct td_bus *b = arg;
    unsigned unused = 0;

    prctl(PR_SET_NAME, "tidings-keeper");
    pthread_mutex_lock(b->lock);
    while (!b->stop) {
        int64_t next =
            b->own_loop ? TD_CLIENT_NEVER : td_now_ms() + TD_HEARTBEAT_MS / 2;

        b->keeper_ms = TD_CLIENT_NEVER; /* or what is asked for meanwhile */
        next = td_earlier(next, td_tell_late(b));
        if (is_neglected(b)) {
            td_bus_drive(b, td_now_ms());
            td_bus_hand_over(b);
        }
        if (b->client.requests.unsent && !b->driving)
            td_client_send_requests(&b->client, td_now_ms());
        next = td_earlier(next, td_tell_progress(b));
        next = td_earlier(next, td_answers_keep(b));
        if (b->services.list && (b->dispatching || b->dispatched))
            next = td_earlier(next, td_now_ms() + TD_AWAY_MS);
        b->dispatched = false;
        b->keeper_ms = td_earlier(next, b->keeper_ms);
        if (!b->stop)
            td_bus_wait_cond(b, &b->keeper, &unused, b->keeper_ms);
    }
    pthread_mutex_unlock(b->lock);
    return NULL;
}

static void stop_threads(struct td_bus *b, bool io, bool keeper)
{
    b->stop = true;
    td_bus_poke(b);
    pthread_cond_broadcast(&b->changed);
    pthread_cond_broadcast(&b->keeper);
    pthread_cond_broadcast(&b->lender);
    pthread_mutex_unlock(b->lock);
    if (io)
        pthread_join(b->io_thread, NULL);
    if (keeper)
        pthread_join(b->keeper_thread, NULL);
    pthread_mutex_lock(b->lock);
}

tidings_err td_bus_start(struct td_bus *b)
{
    bool io = td_thread_start(&b->io_thread, io_main, b);
    bool keeper = io && td_thread_start(&b->keeper_thread, keeper_main, b);

    if (keeper)
        return TIDINGS_OK;
    stop_threads(b, io, false);
    return td_fail(TIDINGS_EIO, "no thread could be started");
}

void td_bus_stop(struct td_bus *b)
{
    stop_threads(b, true, true);
}
