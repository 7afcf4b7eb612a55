/* Who drives, who waits, and who wakes whom. The threads are in threads.c. */
#include "client/drive.h"

#include "client/asked.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

#define READ_MAX 64 /* messages a turn: then whoever waits gets the lock */

/* ---- waking ---- */

void td_bus_poke(struct td_bus *b)
{
    const uint64_t one = 1;

    if (!b->polling || b->poked)
        return;
    b->poked = true;
    if (write(b->wake_fd, &one, sizeof(one)) < 0)
        return; /* the counter is full: it wakes all the same */
}

static bool has_room(struct td_bus *b)
{
    bool room;

    td_client_pump(&b->client);
    pthread_mutex_lock(b->packer);
    room = td_client_has_room(&b->client);
    pthread_mutex_unlock(b->packer);
    return room;
}

void td_bus_changed(struct td_bus *b)
{
    if (b->driver_waits)
        td_bus_poke(b);
    if (b->waiting > 0)
        pthread_cond_broadcast(&b->changed);
    /* Looked at here, so that a publisher is not woken in vain. */
    if (b->room_waiting > 0 && (b->closing || has_room(b)))
        pthread_cond_broadcast(&b->room);
}

/* ---- lending ---- */

/* A thread that asks, waits and asks again reads its answers itself: the I/O
 * thread would only have to wake it. So it lends the link to the only one who
 * asks, for as long as nothing else may arrive, and has it back from the next
 * call that changes that. */
static bool may_lend(const struct td_bus *b)
{
    const struct td_client *c = &b->client;

    return c->state == TD_CLIENT_READY && !c->subs && !c->services &&
           !c->questions && !c->publisher.head && !c->asked &&
           c->requests.info.in_flight <= b->askers && b->askers <= 1 &&
           !b->closing && !td_has_notices(b);
}

/* A thread that may drive, and waits for something itself. */
static void wake_any(struct td_bus *b)
{
    if (b->asking)
        pthread_cond_signal(&b->asking->told);
    else if (b->waiting > 0)
        pthread_cond_broadcast(&b->changed);
    else if (b->room_waiting > 0)
        pthread_cond_signal(&b->room);
}

void td_bus_hand_over(struct td_bus *b)
{
    if (b->driving || b->lent)
        return;
    if (b->dispatching && !b->own_loop)
        wake_any(b);
    else
        pthread_cond_signal(&b->lender);
}

static void reclaim(struct td_bus *b)
{
    b->lent = false;
    pthread_cond_signal(&b->lender);
}

void td_bus_touched(struct td_bus *b)
{
    if (b->lent && !may_lend(b))
        reclaim(b);
    /* Sending may have eaten the signal that input has come. */
    if (b->polling &&
        (b->client.broken || td_client_due_ms(&b->client) < b->poll_until_ms ||
         (b->sent && b->backend->has_input(b->link))))
        td_bus_poke(b);
    b->sent = false;
}

void td_bus_soon(struct td_bus *b)
{
    if (b->polling)
        td_bus_poke(b);
    else
        td_bus_keep(b, td_now_ms() + 2);
}

void td_bus_wait_cond(struct td_bus *b, pthread_cond_t *cond, unsigned *waiting,
                      int64_t deadline_ms)
{
    struct timespec t = {.tv_sec = (time_t)(deadline_ms / 1000),
                         .tv_nsec = (long)(deadline_ms % 1000) * 1000000};

    ++*waiting;
    if (deadline_ms == TD_CLIENT_NEVER)
        pthread_cond_wait(cond, b->lock);
    else
        pthread_cond_timedwait(cond, b->lock, &t);
    --*waiting;
}

/* ---- driving ---- */

bool td_bus_may_dispatch(const struct td_bus *b)
{
    return !b->own_loop && !b->dispatching && td_has_notices(b);
}

/* Whoever drives has what it waits for: what is left is the next one's, who
 * reads first. */
static bool has_answer(const struct td_bus *b)
{
    return b->drives_for && b->drives_for->done;
}

/* Reads what has arrived; false: nothing had. */
static bool read_link(struct td_bus *b, int64_t now)
{
    for (int n = 0; n < READ_MAX; n++) {
        struct td_message *m;
        const char *why;

        switch (b->backend->receive(b->link, &m, &why)) {
        case TD_RECEIVED:
            td_bus_take(b, m, now);
            if (td_bus_may_dispatch(b) || has_answer(b))
                return true;
            break;
        case TD_LINK_LOST:
            td_client_lost(&b->client, TIDINGS_EUNREACH, why, now);
            return true;
        case TD_NOTHING:
            return n > 0;
        }
    }
    return true;
}

static void poll_link(struct td_bus *b, int64_t deadline_ms)
{
    struct pollfd fds[TD_LINK_FDS_MAX + 1];
    int n = b->backend->fds(b->link, fds);
    int64_t left =
        deadline_ms == TD_CLIENT_NEVER ? -1 : deadline_ms - td_now_ms();
    uint64_t count;

    if (deadline_ms != TD_CLIENT_NEVER && left < 0)
        left = 0;
    fds[n].fd = b->wake_fd;
    fds[n].events = POLLIN;
    fds[n].revents = 0; /* as they are when poll() fails */
    b->polling = true;
    b->poll_until_ms = deadline_ms;
    pthread_mutex_unlock(b->lock);
    poll(fds, (nfds_t)n + 1, (int)left); /* EINTR: look, and poll again */
    pthread_mutex_lock(b->lock);
    b->polling = b->poked = false;
    if (b->backend->polled && n > 0)
        b->backend->polled(b->link, fds);
    if ((fds[n].revents & POLLIN) &&
        read(b->wake_fd, &count, sizeof(count)) < 0)
        return; /* somebody else's read came first: it was for this */
}

void td_bus_look(struct td_bus *b)
{
    if (b->driving)
        return;
    b->driving = true;
    read_link(b, td_now_ms());
    b->driving = false;
    td_bus_changed(b);
}

void td_bus_drive(struct td_bus *b, int64_t deadline_ms)
{
    int64_t now = td_now_ms();
    int64_t next = td_client_tick(&b->client, now);

    b->driving = true;
    td_answers_send(b);
    if (td_bus_may_dispatch(b))
        deadline_ms = now; /* the tick has found something */
    /* What handlers have said goes when nothing more has arrived. */
    if (!read_link(b, now) &&
        !(td_client_send_settled(&b->client) && read_link(b, now))) {
        poll_link(b, td_earlier(next, deadline_ms));
        read_link(b, td_now_ms());
    }
    b->driving = false;
    b->driver_waits = false;
    b->sent = false;
    td_bus_changed(b);
    if (b->following && td_bus_may_dispatch(b))
        pthread_cond_signal(&b->lender);
}

/* ---- waiting ---- */

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
    if (b->lent || b->dispatching || !may_lend(b))
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
        ok = has_room(b);
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
