/* Tasks: their memory, and calling their handlers. */
#include "client/service.h"

#include "client/bus.h"
#include "client/deadline.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* Free tasks that are kept. */
#define FREE_MAX 4096u

static _Thread_local struct td_runner *runner_of_thread;

/* ---- lists ---- */

void td_bus_task_list_init(struct td_task_list *list)
{
    list->head = NULL;
    list->tail = &list->head;
    list->len = 0;
}

void td_bus_task_list_push(struct td_task_list *list, tidings_task *task)
{
    task->next = NULL;
    *list->tail = task;
    list->tail = &task->next;
    list->len++;
}

static tidings_task *pop(struct td_task_list *list)
{
    tidings_task *task = list->head;

    if (!task)
        return NULL;
    list->head = task->next;
    if (!list->head)
        list->tail = &list->head;
    list->len--;
    return task;
}

void td_bus_task_list_move(struct td_task_list *to, struct td_task_list *from,
                           size_t max)
{
    while (max-- > 0 && from->head)
        td_bus_task_list_push(to, pop(from));
}

/* ---- memory ---- */

tidings_task *td_bus_task_new(struct td_bus *b)
{
    tidings_task *task = pop(&b->services.free);

    if (!task)
        task = malloc(sizeof(*task));
    if (task)
        memset(task, 0, sizeof(*task));
    return task;
}

/* Its request is not needed any more. */
static void let_go(tidings_task *task)
{
    if (!task->message)
        return;
    task->service->bytes -= task->held;
    td_message_unref(task->message);
    task->message = NULL;
}

void td_bus_task_free(struct td_bus *b, tidings_task *task)
{
    let_go(task);
    task->service->open--;
    if (b->services.free.len < FREE_MAX)
        td_bus_task_list_push(&b->services.free, task);
    else
        free(task);
}

/* ---- the thread ---- */

void td_runner_enter(struct td_runner *r, struct td_bus *b)
{
    r->bus = b;
    r->outer = runner_of_thread;
    runner_of_thread = r;
}

void td_runner_leave(struct td_runner *r)
{
    runner_of_thread = r->outer;
}

bool td_runner_is_here(const struct td_bus *b)
{
    const struct td_runner *r = runner_of_thread;

    while (r && r->bus != b)
        r = r->outer;
    return r != NULL;
}

struct td_runner *td_runner_of(const tidings_task *task)
{
    struct td_runner *r = runner_of_thread;

    while (r && r->task != task)
        r = r->outer;
    return r;
}

/* ---- calling handlers ---- */

static bool open_event(struct td_runner *r, const tidings_task *task)
{
    const uint8_t *p = (const uint8_t *)task->event.data;
    const uint8_t *end = p + task->event.len;
    struct td_view *v = &r->view;

    td_view_batch(v, task->source, task->time_us);
    td_view_run(v, task->type, 0);
    td_view_request(v, task->session, task->sequence);
    return !td_view_open(v, &p, end) && p == end;
}

static void count_time(struct td_bus_service *s, uint64_t us)
{
    unsigned long long max = atomic_load(&s->counts.handler_max_us);

    atomic_fetch_add_explicit(&s->counts.handler_us, us, memory_order_relaxed);
    while (us > max &&
           !atomic_compare_exchange_weak(&s->counts.handler_max_us, &max, us))
        continue;
}

static tidings_err call(struct td_runner *r, tidings_task *task)
{
    struct td_bus_endpoint *e = &task->service->endpoints[task->endpoint];
    int64_t before_us = td_deadline_set(task->deadline_us);
    tidings_err err;

    task->began_us = r->now_us;
    r->task = task;
    err = e->handler(e->arg, task, &r->view.event);
    r->task = NULL;
    td_deadline_restore(before_us);
    r->now_us = td_now_us();
    count_time(task->service, (uint64_t)(r->now_us - task->began_us));
    return err;
}

/* What its handler has left unsaid. */
static void say_rest(struct td_runner *r, tidings_task *task, tidings_err err)
{
    struct td_saying what = {.text = ""};

    if (err == TIDINGS_ELATER)
        return;
    atomic_store(&task->gone, true);
    if (!td_task_claim(task, TD_SAID))
        return;
    if (err) {
        what.code = TIDINGS_EREMOTE;
        what.status = TD_STATUS_FAILED;
        what.text = tidings_err_text(err);
    }
    td_task_say(r->bus, task, &what, r->now_us, false);
}

/* It is not handled. */
static void abandon(struct td_runner *r, tidings_task *task, tidings_err code,
                    unsigned status, const char *text)
{
    const struct td_saying what = {
        .code = code, .status = status, .text = text};

    atomic_store(&task->gone, true);
    if (td_task_claim(task, TD_SAID))
        td_task_say(r->bus, task, &what, r->now_us, false);
}

static void handle(struct td_runner *r, tidings_task *task)
{
    if (atomic_load(&task->service->over) ||
        task->link != atomic_load(&r->bus->client.link)) {
        abandon(r, task, TIDINGS_ELOST, 0, "the service has ended");
    } else if (r->now_us >= task->deadline_us) {
        abandon(r, task, TIDINGS_ETIMEDOUT, 0,
                "nothing was left of the deadline when its turn came");
    } else if (!open_event(r,
                           task)) { /* its caller's fault, and nobody's else */
        abandon(r, task, TIDINGS_EREMOTE, 400, "the request cannot be read");
    } else {
        say_rest(r, task, call(r, task));
    }
}

/* What was answered is not to wait for a handler that takes long. */
static void keep_answers(struct td_runner *r)
{
    if (td_answers_any(r->bus))
        td_bus_keep_unlocked(r->bus, r->now_us / 1000 + 2);
}

size_t td_bus_tasks_run(struct td_runner *r, struct td_task_list *tasks,
                        struct td_task_list *done)
{
    int64_t end_us;
    size_t n = 0;
    tidings_task *task;

    r->rest = tasks;
    r->now_us = td_now_us();
    end_us = r->now_us + TD_SECTION_US;
    while (r->now_us < end_us && (task = pop(tasks))) {
        keep_answers(r);
        handle(r, task);
        td_bus_task_list_push(done, task);
        n++;
    }
    return n;
}

void td_bus_tasks_done(struct td_runner *r, struct td_task_list *done)
{
    struct td_bus *b = r->bus;
    tidings_task *task;

    while ((task = pop(done))) {
        task->ran = true;
        task->service->running--;
        let_go(task);
        if (atomic_load(&task->gone))
            td_bus_task_free(b, task);
        else
            DL_APPEND(task->service->later, task);
    }
}
