/* Who drives, and who wakes whom. Calls that wait are in wait.c, the threads in
 * threads.c. */
#include "client/drive.h"

#include "client/asked.h"

#include <time.h>
#include <unistd.h>

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

bool td_bus_has_room(struct td_bus *b)
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
    if (b->room_waiting > 0 && (b->closing || td_bus_has_room(b)))
        pthread_cond_broadcast(&b->room);
}

/* ---- lending ---- */

/* A thread that asks, waits and asks again reads its answers itself: the I/O
 * thread would only have to wake it. So it lends the link to the only one who
 * asks, for as long as nothing else may arrive, and has it back from the next
 * call that changes that. */
bool td_bus_may_lend(const struct td_bus *b)
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
    if (b->lent && !td_bus_may_lend(b))
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
