/* Calls that wait: for a change, for room, or for an answer. Meanwhile they
 * drive, if nobody else does. */
#include "client/asked.h"
#include "client/drive.h"

#include <utlist.h>

/* Whether whoever waits drives in the I/O thread's stead: while that calls
 * handlers, or waits for somebody who drove meanwhile, or has lent the link. */
static bool may_drive(const struct td_bus *b, bool asks)
{
    if (b->driving)
        return false;
    return (b->dispatching && !b->own_loop) || (b->lent && asks) ||
           (b->following && !td_bus_may_dispatch(b));
}

/* Looks now and then, too, whether it is what it waits for. */
static int64_t soon(int64_t deadline_ms)
{
    return td_earlier(deadline_ms, td_now_ms() + TD_AWAY_MS);
}

/* Until cond is signalled, or something has come. */
static void wait_or_drive(struct td_bus *b, pthread_cond_t *cond,
                          unsigned *waiting, int64_t deadline_ms)
{
    if (may_drive(b, false)) {
        b->driver_waits = true; /* for more than the link */
        td_bus_drive(b, deadline_ms);
    } else {
        td_bus_hand_over(b);
        td_bus_wait_cond(b, cond, waiting, soon(deadline_ms));
    }
}

static void leave(struct td_bus *b)
{
    b->users--;
    td_bus_hand_over(b);
}

bool td_bus_wait(struct td_bus *b, bool (*done)(struct td_bus *b, void *arg),
                 void *arg, int64_t deadline_ms)
{
    bool ok;

    b->users++;
    for (;;) {
        ok = done(b, arg);
        td_bus_touched(b);
        if (ok || b->closing || td_now_ms() >= deadline_ms)
            break;
        wait_or_drive(b, &b->changed, &b->waiting, deadline_ms);
    }
    leave(b);
    td_bus_changed(b);
    return ok;
}

struct asked {
    bool (*done)(struct td_bus *b, void *arg);
    void *arg;
    bool is_done;
};

static bool is_answered(struct td_bus *b, void *arg)
{
    struct asked *asked = arg;

    asked->is_done = asked->done(b, asked->arg);
    return asked->is_done || b->client.fenced;
}

bool td_bus_wait_broker(struct td_bus *b,
                        bool (*done)(struct td_bus *b, void *arg), void *arg,
                        int64_t deadline_ms)
{
    struct asked asked = {done, arg, false};

    td_bus_wait(b, is_answered, &asked, deadline_ms);
    return asked.is_done;
}

static bool is_told(struct td_bus *b, struct td_asked *a)
{
    int64_t now_ms;

    if (a->done || a->heard || a->deaf)
        return true;
    now_ms = td_now_ms();
    if (now_ms >= a->request.due_ms) {
        td_client_request_due(&b->client, &a->request, now_ms);
        td_client_send_requests(&b->client, now_ms);
    }
    return a->done;
}

/* Who sends it may change when it is due, unless it is sent once. */
static int64_t look_at_ms(const struct td_asked *a, int64_t deadline_ms)
{
    const struct td_request *r = &a->request;
    int64_t at_ms = td_earlier(deadline_ms, r->due_ms);

    return r->attempts_max > 1 || r->attempt_ms > 0 ? soon(at_ms) : at_ms;
}

static void ask_or_drive(struct td_bus *b, struct td_asked *a, int64_t until_ms)
{
    unsigned unused = 0;

    if (may_drive(b, true)) {
        b->borrowed += b->lent;
        b->drives_for = a;
        td_bus_drive(b, until_ms);
        b->drives_for = NULL;
    } else {
        td_bus_hand_over(b);
        td_bus_wait_cond(b, &a->told, &unused, until_ms);
    }
}

static void enter_asking(struct td_bus *b, struct td_asked *a)
{
    b->users++;
    b->askers++;
    DL_APPEND(b->asking, a);
    if (b->lent || b->dispatching || !td_bus_may_lend(b))
        return;
    b->lent = true; /* from the next answer on */
    pthread_cond_signal(&b->lender);
}

static void leave_asking(struct td_bus *b, struct td_asked *a)
{
    DL_DELETE(b->asking, a);
    b->askers--;
    td_bus_touched(b);
    leave(b);
}

bool td_bus_wait_asked(struct td_bus *b, struct td_asked *a,
                       int64_t deadline_ms)
{
    bool ok;

    enter_asking(b, a);
    for (;;) {
        ok = is_told(b, a);
        td_bus_touched(b);
        if (ok || b->closing || td_now_ms() >= deadline_ms)
            break;
        ask_or_drive(b, a, look_at_ms(a, deadline_ms));
    }
    leave_asking(b, a);
    if (b->closing)
        td_bus_changed(b);
    return ok;
}

bool td_bus_wait_room(struct td_bus *b, int64_t deadline_ms)
{
    bool ok;

    b->users++;
    for (;;) {
        ok = td_bus_has_room(b);
        if (!ok)
            td_client_ask_room(&b->client);
        td_bus_touched(b);
        if (ok || b->closing || td_now_ms() >= deadline_ms)
            break;
        wait_or_drive(b, &b->room, &b->room_waiting, deadline_ms);
    }
    leave(b);
    if (b->closing)
        td_bus_changed(b);
    return ok;
}

void td_bus_leave(struct td_bus *b)
{
    struct td_asked *a;

    DL_FOREACH(b->asking, a)
    {
        pthread_cond_signal(&a->told);
    }
    td_bus_changed(b);
    td_bus_poke(b); /* one of them may be driving */
    while (b->users > 0)
        td_bus_wait_cond(b, &b->changed, &b->waiting, TD_CLIENT_NEVER);
}
