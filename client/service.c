/* Services: what arrives for them, and how they are. */
#include "client/service.h"

#include "client/bus.h"
#include "proto/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* Tasks that the dispatcher takes at once. */
#define TAKE_MAX 32u

void td_bus_services_init(struct td_services *all)
{
    td_bus_task_list_init(&all->tasks);
    td_bus_task_list_init(&all->free);
    pthread_mutex_init(&all->lock, NULL);
}

static void free_tasks(tidings_task *task)
{
    while (task) {
        tidings_task *next = task->next;

        td_message_unref(task->message);
        free(task);
        task = next;
    }
}

/* Those that the user has still are his. */
static void free_services(struct td_bus_service *s)
{
    while (s) {
        struct td_bus_service *next = s->next;

        free(s);
        s = next;
    }
}

void td_bus_services_fini(struct td_services *all)
{
    free_tasks(all->tasks.head);
    free_tasks(all->free.head);
    free_services(all->list);
    free_services(all->over);
    td_view_fini(&all->runner.view);
    td_answers_fini(&all->answers);
    td_answers_fini(&all->spare);
    pthread_mutex_destroy(&all->lock);
}

struct td_bus_service *td_bus_service_find(struct td_bus *b, uint32_t number)
{
    struct td_bus_service *s;

    DL_FOREACH(b->services.list, s)
    {
        if (s->number == number)
            return s;
    }
    return NULL;
}

/* ---- requests ---- */

struct td_task_list *td_bus_service_waiting(const struct td_bus_service *s)
{
    return s->crew ? td_crew_tasks(s->crew) : &s->bus->services.tasks;
}

/* A message is kept whole, whatever else is in it, and counts with the first task
 * of it that the service has. Tasks are handled in order: beside what is counted
 * each thread that handles them may keep one. */
static uint32_t held_by(const struct td_bus_service *s,
                        const struct td_message *m)
{
    return s->message == s->bus->services.messages
               ? 0
               : (uint32_t)(m->len + m->body->len);
}

static tidings_task *task_of(struct td_bus *b, struct td_bus_service *s,
                             struct td_message *m,
                             const struct td_handed *handed, int64_t now_us)
{
    const struct td_handle_row *row = &handed->row;
    tidings_task *task = td_bus_task_new(b);

    if (!task)
        return NULL;
    task->bus = b->handle;
    task->service = s;
    task->endpoint = (uint32_t)row->endpoint - 1;
    task->number = row->task;
    task->link = atomic_load(&b->client.link);
    task->came_us = now_us;
    task->deadline_us = now_us + (int64_t)row->left_ms * 1000;
    task->message = td_message_ref(m);
    task->type = row->type;
    task->source = row->source;
    task->event = handed->event;
    task->session = row->session;
    task->sequence = row->number;
    task->time_us = row->time_us;
    atomic_fetch_add(&s->endpoints[task->endpoint].open, 1);
    task->held = held_by(s, m);
    s->bytes += task->held;
    s->message = b->services.messages;
    s->open++;
    return task;
}

/* The broker sends as many as it was told, but for those that it has given up
 * and we have not. Of bytes it knows nothing. */
static bool has_room(struct td_bus_service *s, const struct td_message *m,
                     const struct td_handed *handed)
{
    struct td_bus_endpoint *e = &s->endpoints[handed->row.endpoint - 1];

    return atomic_load(&e->open) < e->open_max &&
           s->bytes + held_by(s, m) <= TD_TASKS_BYTES;
}

/* Those that wait and nobody waits for, up to the first that somebody does: a
 * handler that takes long has let them expire, and they go first. */
static void drop_expired(struct td_bus_service *s, int64_t now_us)
{
    struct td_task_list *list = td_bus_service_waiting(s);
    struct td_task_list one;
    tidings_task *task;

    while ((task = list->head) && task->deadline_us <= now_us) {
        td_bus_task_list_init(&one);
        td_bus_task_list_move(&one, list, 1);
        td_bus_task_refuse(s->bus, task, TIDINGS_ETIMEDOUT,
                           "nothing was left of the deadline while it waited");
        task->service->waiting--;
        td_bus_task_free(s->bus, task);
    }
}

void td_bus_service_take(struct td_bus *b, struct td_message *m,
                         const struct td_handed *handed, int64_t now_us)
{
    struct td_bus_service *s = handed->service->owner;
    tidings_task *task = NULL;

    s->requests++;
    if (!has_room(s, m, handed))
        drop_expired(s, now_us);
    if (has_room(s, m, handed))
        task = task_of(b, s, m, handed, now_us);
    if (!task) {
        s->refused++;
        td_bus_request_refuse(b, handed->row.task, TIDINGS_EFULL,
                              "the instance has no room");
        td_bus_soon(b);
        return;
    }
    s->waiting++;
    if (s->crew) {
        td_crew_push(s->crew, task);
        return;
    }
    td_bus_task_list_push(&b->services.tasks, task);
    td_bus_waits(b);
}

/* ---- how it is ---- */

static void has_job(struct td_bus_service *s)
{
    if (s->crew) {
        td_crew_wake(s->crew, 1);
        return;
    }
    s->bus->services.jobs = true;
    td_bus_waits(s->bus);
}

void td_bus_service_beat(struct td_bus_service *s)
{
    s->beat = true;
    has_job(s);
}

void td_bus_service_drain(struct td_bus_service *s, bool drain)
{
    if (!s->on_drain)
        return;
    s->drains = true;
    s->drain = drain;
    has_job(s);
}

void td_bus_service_say(struct td_bus_service *s)
{
    enum td_health health =
        s->stopping ? TD_HEALTH_STOPPING : (enum td_health)s->health;

    if (!s->cservice)
        return;
    td_client_health(&s->bus->client, s->cservice, health, s->why);
    td_bus_touched(s->bus);
}

bool td_bus_service_has_job(const struct td_bus_service *s)
{
    return (s->beat || s->drains) && !s->in_job;
}

static void check(struct td_bus_service *s)
{
    char why[TD_HEALTH_TEXT_BYTES_MAX + 1] = "";
    enum tidings_health health;

    pthread_mutex_unlock(s->bus->lock);
    health = s->check(s->check_arg, why, sizeof(why));
    pthread_mutex_lock(s->bus->lock);
    why[sizeof(why) - 1] = '\0';
    if (!td_utf8_cut(s->why, sizeof(s->why), why))
        s->why[0] = '\0';
    s->health = health == TIDINGS_RUNNING || health == TIDINGS_DEGRADED
                    ? health
                    : TIDINGS_SICK;
}

void td_bus_service_work(struct td_bus_service *s)
{
    struct td_runner r = {0};

    s->in_job = true;
    td_runner_enter(&r, s->bus);
    if (s->drains) {
        bool drain = s->drain;

        s->drains = false;
        pthread_mutex_unlock(s->bus->lock);
        s->on_drain(s->on_drain_arg, drain);
        pthread_mutex_lock(s->bus->lock);
    }
    if (s->beat) {
        s->beat = false;
        if (s->check)
            check(s);
        td_bus_service_say(s);
    }
    td_runner_leave(&r);
    s->in_job = false;
    td_bus_changed(s->bus); /* its end may wait for this */
}

/* ---- in the dispatcher ---- */

bool td_bus_services_have_work(const struct td_bus *b)
{
    return b->services.tasks.head || b->services.jobs;
}

static void work(struct td_bus *b)
{
    struct td_bus_service *s;

    b->services.jobs = false;
    DL_FOREACH(b->services.list, s)
    {
        if (s->crew || !td_bus_service_has_job(s))
            continue;
        b->services.jobs = true; /* look again: the list may be another */
        td_bus_service_work(s);
        return;
    }
}

static void set_running(const struct td_task_list *list, bool running)
{
    const tidings_task *task;

    for (task = list->head; task; task = task->next) {
        if (running) {
            task->service->waiting--;
            task->service->running++;
        } else {
            task->service->waiting++;
            task->service->running--;
        }
    }
}

void td_bus_tasks_begin(const struct td_task_list *list)
{
    set_running(list, true);
}

/* Before what has come meanwhile. */
void td_bus_tasks_put_back(struct td_task_list *list, struct td_task_list *rest)
{
    set_running(rest, false);
    td_bus_task_list_move(rest, list, SIZE_MAX);
    td_bus_task_list_move(list, rest, SIZE_MAX);
}

size_t td_bus_services_dispatch(struct td_bus *b, size_t max)
{
    struct td_runner *r = &b->services.runner;
    struct td_task_list some;
    struct td_task_list done;
    size_t n;

    if (b->services.jobs)
        work(b);
    td_bus_task_list_init(&some);
    td_bus_task_list_init(&done);
    td_bus_task_list_move(&some, &b->services.tasks,
                          max < TAKE_MAX ? max : TAKE_MAX);
    if (!some.head)
        return 0;
    td_bus_tasks_begin(&some);
    td_runner_enter(r, b);
    pthread_mutex_unlock(b->lock);
    n = td_bus_tasks_run(r, &some, &done);
    pthread_mutex_lock(b->lock);
    td_runner_leave(r);
    td_bus_tasks_done(r, &done);
    td_bus_tasks_put_back(&b->services.tasks, &some);
    if (b->services.tasks.head) /* the answers to those go with these */
        td_answers_keep(b);
    else
        td_answers_send(b);
    b->steps++;
    td_bus_changed(b);
    return n;
}
