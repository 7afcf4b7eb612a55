/* Services ending: in order they say so, get nothing new, answer what has
 * arrived, and are gone; and what becomes of what is left. */
#include "client/api.h"

#include <stdlib.h>
#include <utlist.h>

/* ---- what is left ---- */

uint64_t td_bus_service_pending(struct td_bus_service *s, int64_t now_us)
{
    uint64_t link = atomic_load(&s->bus->client.link);
    uint64_t pending = s->waiting + s->running;
    const tidings_task *task;

    DL_FOREACH(s->later, task)
    {
        pending += task->link == link && task->deadline_us > now_us;
    }
    return pending;
}

static void refuse(struct td_bus_service *s, tidings_task *task)
{
    td_bus_task_refuse(s->bus, task, TIDINGS_ELOST, "the service has ended");
}

/* Of those that wait, its own. */
static void drop_waiting(struct td_bus_service *s, struct td_task_list *list)
{
    struct td_task_list all = *list;
    tidings_task *task;
    tidings_task *next;

    td_bus_task_list_init(list);
    for (task = all.head; task; task = next) {
        next = task->next;
        if (task->service != s) {
            td_bus_task_list_push(list, task);
            continue;
        }
        refuse(s, task);
        s->waiting--;
        td_bus_task_free(s->bus, task);
    }
}

void td_bus_service_drop(struct td_bus_service *s)
{
    struct td_bus *b = s->bus;
    tidings_task *task;

    atomic_store(&s->over, true);
    drop_waiting(s, td_bus_service_waiting(s));
    DL_FOREACH(s->later, task)
    {
        refuse(s, task);
    }
    td_answers_send(b);
}

void td_bus_service_end(struct td_bus_service *s)
{
    struct td_bus *b = s->bus;

    td_bus_service_drop(s);
    if (s->cservice) {
        s->cservice->owner = NULL;
        td_client_service_forget(&b->client, s->cservice);
        s->cservice = NULL;
    }
    s->beat = s->drains = false;
    if (s->crew)
        td_crew_end(s->crew);
    DL_DELETE(b->services.list, s);
    DL_APPEND(b->services.over, s);
}

static void join(struct td_bus_service *s)
{
    struct td_crew *crew = s->crew;

    s->crew = NULL;
    td_crew_free(crew);
}

/* One whose threads are to be joined; NULL: none. */
static struct td_bus_service *to_join(struct td_bus *b, bool all)
{
    struct td_bus_service *s;

    DL_FOREACH(b->services.over, s)
    {
        if (s->crew && (all || td_crew_busy(s->crew) == 0))
            return s;
    }
    return NULL;
}

void td_bus_services_reap(struct td_bus *b, bool all)
{
    struct td_bus_service *s;
    struct td_bus_service *next;

    b->users++; /* the bus stays */
    while (all && b->services.list)
        td_bus_service_end(b->services.list);
    while ((s = to_join(b, all)))
        join(s);
    DL_FOREACH_SAFE(b->services.over, s, next)
    {
        if (s->open > 0 || s->crew || s->in_job || s->running > 0)
            continue;
        DL_DELETE(b->services.over, s);
        free(s);
    }
    b->users--;
    td_bus_changed(b);
}

/* ---- in order ---- */

/* Some services of a bus that one call ends. */
struct stop {
    struct td_question ping; /* answered: the broker has heard that they stop,
                                so what it sent before has arrived */
    int64_t deadline_ms;
};

static bool is_mine(const struct td_bus_service *s, const struct stop *stop)
{
    return s->stopper == stop;
}

/* The caller is the loop. */
static void dispatch_own(struct td_bus *b, int64_t deadline_ms)
{
    while (b->own_loop && !b->dispatching && td_has_notices(b) &&
           td_now_ms() < deadline_ms)
        td_dispatch(b, 1);
}

static bool is_answered(struct td_bus *b, void *arg)
{
    const struct stop *stop = arg;
    struct td_bus_service *s;
    int64_t now_us;

    dispatch_own(b, stop->deadline_ms);
    if (!stop->ping.done && b->client.state == TD_CLIENT_READY)
        return false;
    now_us = td_now_us();
    DL_FOREACH(b->services.list, s)
    {
        if (is_mine(s, stop) && td_bus_service_pending(s, now_us) > 0)
            return false;
    }
    return true;
}

/* The broker has it no more, and nothing of the program's runs: a job may have
 * begun when the last task was done. */
static bool is_ended(struct td_bus *b, void *arg)
{
    struct td_bus_service *s;

    DL_FOREACH(b->services.list, s)
    {
        if (is_mine(s, arg) &&
            (s->cservice->state != TD_CSERVICE_ENDED || s->in_job))
            return false;
    }
    return true;
}

static void begin(struct td_bus_service *s, struct stop *stop)
{
    if (s->stopper || !s->begun)
        return;
    s->stopper = stop;
    s->stopping = true;
    td_bus_service_say(s);
}

static void unserve(struct td_bus *b, const struct stop *stop)
{
    struct td_bus_service *s;

    DL_FOREACH(b->services.list, s)
    {
        if (!is_mine(s, stop))
            continue;
        td_bus_service_drop(s);
        td_client_unserve(&b->client, s->cservice);
    }
    td_bus_touched(b);
}

bool td_bus_services_stop(struct td_bus *b, struct td_bus_service *only,
                          int64_t deadline_ms)
{
    struct stop stop = {.deadline_ms = deadline_ms};
    struct td_bus_service *s;
    struct td_bus_service *next;
    bool ok;

    if (!b->services.list)
        return true;
    if (only)
        begin(only, &stop);
    else
        DL_FOREACH(b->services.list, s)
        {
            begin(s, &stop);
        }
    td_client_question(&b->client, &stop.ping, TD_PING);
    ok = td_bus_wait(b, is_answered, &stop, deadline_ms);
    td_client_withdraw(&b->client, &stop.ping);
    unserve(b, &stop);
    ok = td_bus_wait(b, is_ended, &stop, deadline_ms) && ok;
    DL_FOREACH_SAFE(b->services.list, s, next)
    {
        if (is_mine(s, &stop))
            td_bus_service_end(s);
    }
    return ok;
}

void td_bus_service_undo(struct td_bus_service *s)
{
    if (s->cservice)
        td_client_unserve(&s->bus->client, s->cservice);
    td_bus_touched(s->bus);
    td_bus_service_end(s);
}
