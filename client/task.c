/* Tasks: their memory, calling their handlers, and their answers. */
#include "client/service.h"

#include "client/bus.h"
#include "client/deadline.h"
#include "client/detail.h"
#include "client/handle.h"
#include "client/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* Handlers run for so long before their answers are sent. */
#define SECTION_US 1000
/* Answers that follow one sooner go together. */
#define CLOSE_US 200
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

void td_bus_task_free(struct td_bus *b, tidings_task *task)
{
    struct td_bus_service *s = task->service;

    td_message_unref(task->message);
    task->message = NULL; /* it may be kept for the next one */
    s->endpoints[task->endpoint].open--;
    s->open--;
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

/* The one that is in this task's handler; NULL: this thread is not. */
static struct td_runner *runner_of(const tidings_task *task)
{
    struct td_runner *r = runner_of_thread;

    while (r && r->task != task)
        r = r->outer;
    return r;
}

/* ---- answers ---- */

/* false: it is full, or there is no memory. */
static bool add(struct td_bus *b, uint64_t link,
                const struct td_answer_row *row, const void *data,
                tidings_err *err)
{
    struct td_services *all = &b->services;
    struct td_answers *a = &all->answers;

    *err = TIDINGS_OK;
    pthread_mutex_lock(&all->lock);
    if (a->len > 0 && a->link != link)
        td_answers_reset(a); /* of a link that is lost: nobody waits */
    if (td_answers_full(a)) {
        *err = TIDINGS_EFULL;
    } else {
        if (a->len == 0)
            all->since_us = td_now_us();
        a->link = link;
        if (!td_answers_add(a, row, data))
            *err = TIDINGS_ENOMEM;
    }
    pthread_mutex_unlock(&all->lock);
    return !*err;
}

void td_answers_send(struct td_bus *b)
{
    struct td_services *all = &b->services;
    struct td_answers swap;
    bool any;

    pthread_mutex_lock(&all->lock);
    any = all->answers.len > 0;
    if (any) {
        swap = all->answers;
        all->answers = all->spare;
        all->spare = swap;
    }
    pthread_mutex_unlock(&all->lock);
    if (!any)
        return;
    td_client_send_answers(&b->client, &all->spare);
    all->sent_us = td_now_us();
    td_bus_touched(b);
}

static bool has_answers(struct td_bus *b, int64_t *since_us)
{
    struct td_services *all = &b->services;
    bool has;

    pthread_mutex_lock(&all->lock);
    has = all->answers.len > 0;
    *since_us = all->since_us;
    pthread_mutex_unlock(&all->lock);
    return has;
}

int64_t td_answers_keep(struct td_bus *b)
{
    int64_t since_us;

    if (!has_answers(b, &since_us))
        return TD_CLIENT_NEVER;
    if (td_now_us() - since_us < SECTION_US)
        return since_us / 1000 + 2;
    td_answers_send(b);
    return TD_CLIENT_NEVER;
}

/* What is said of a task. */
struct saying {
    tidings_err code;
    int status;
    const char *text; /* not NULL */
    const void *data;
    size_t len;
};

/* Without the lock, or with it. */
static tidings_err say(struct td_bus *b, const tidings_task *task,
                       const struct saying *what, int64_t now_us, bool locked)
{
    int64_t held_us =
        now_us - task->came_us; /* now may have been read before */
    struct td_answer_row row = {
        .task = task->number,
        .code = (uint64_t)what->code,
        .status = (uint64_t)what->status,
        .held_us = held_us > 0 ? (uint64_t)held_us : 0,
        .took_us = task->began_us ? (uint64_t)(now_us - task->began_us) : 0,
        .bytes = what->len,
        .text = td_str_of(what->text),
    };
    tidings_err err;

    while (!add(b, task->link, &row, what->data, &err) &&
           err == TIDINGS_EFULL) {
        if (!locked)
            pthread_mutex_lock(b->lock);
        td_answers_send(b);
        if (!locked)
            pthread_mutex_unlock(b->lock);
    }
    return err;
}

static bool claim(tidings_task *task, enum td_said by)
{
    int nothing = TD_SAID_NOTHING;

    return atomic_compare_exchange_strong(&task->said, &nothing, by);
}

static void count_one(atomic_ullong *count, uint64_t n)
{
    atomic_fetch_add_explicit(count, n, memory_order_relaxed);
}

static void count(struct td_bus_service *s, tidings_err code)
{
    if (code == TIDINGS_OK)
        count_one(&s->counts.answered, 1);
    else if (code == TIDINGS_EREMOTE)
        count_one(&s->counts.errors, 1);
    else if (code == TIDINGS_ETIMEDOUT)
        count_one(&s->counts.expired, 1);
}

/* Whoever has claimed it says so, if somebody waits for it still. */
static tidings_err say_claimed(struct td_bus *b, tidings_task *task,
                               const struct saying *what, int64_t now_us,
                               bool locked)
{
    count(task->service, what->code);
    if (task->link != atomic_load(&b->client.link))
        return td_fail(TIDINGS_EUNREACH, "the link was lost since: nobody "
                                         "waits for this answer");
    if (now_us >= task->deadline_us && what->code != TIDINGS_ETIMEDOUT)
        return td_fail(TIDINGS_ETIMEDOUT, "too late: the deadline has passed");
    return say(b, task, what, now_us, locked);
}

void td_bus_task_refuse(struct td_bus *b, tidings_task *task, tidings_err code,
                        const char *text)
{
    const struct saying what = {.code = code, .text = text};

    if (claim(task, TD_SAID_LOST))
        say_claimed(b, task, &what, td_now_us(), true);
}

void td_bus_request_refuse(struct td_bus *b, uint64_t task, tidings_err code,
                           const char *text)
{
    const tidings_task unmade = {.number = task,
                                 .link = atomic_load(&b->client.link)};
    const struct saying what = {.code = code, .text = text};

    if (say(b, &unmade, &what, 0, true))
        b->client.broken = true; /* whoever asked is told that it was lost */
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

    count_one(&s->counts.handler_us, us);
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
    struct saying what = {.text = ""};

    if (err == TIDINGS_ELATER)
        return;
    task->gone = true;
    if (!claim(task, TD_SAID))
        return;
    if (err) {
        what.code = TIDINGS_EREMOTE;
        what.status = TD_STATUS_FAILED;
        what.text = tidings_err_text(err);
    }
    say_claimed(r->bus, task, &what, r->now_us, false);
}

/* It is not handled. */
static void abandon(struct td_runner *r, tidings_task *task, tidings_err code,
                    unsigned status, const char *text)
{
    const struct saying what = {.code = code, .status = status, .text = text};

    task->gone = true;
    if (claim(task, TD_SAID))
        say_claimed(r->bus, task, &what, r->now_us, false);
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
    int64_t unused;

    if (has_answers(r->bus, &unused))
        td_bus_keep_unlocked(r->bus, r->now_us / 1000 + 2);
}

size_t td_bus_tasks_run(struct td_runner *r, struct td_task_list *tasks,
                        struct td_task_list *done)
{
    int64_t end_us;
    size_t n = 0;
    tidings_task *task;

    r->now_us = td_now_us();
    end_us = r->now_us + SECTION_US;
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
        td_message_unref(task->message);
        task->message = NULL;
        if (task->gone)
            td_bus_task_free(b, task);
        else
            DL_APPEND(task->service->later, task);
    }
}

/* ---- the user's answers ---- */

static tidings_err why_not(int said)
{
    return said == TD_SAID_LOST
               ? td_fail(TIDINGS_ECLOSED, "the service has ended")
               : td_fail(TIDINGS_EEXIST, "it was answered before");
}

/* Inside its handler, without the lock. */
static tidings_err answer_here(struct td_runner *r, tidings_task *task,
                               const struct saying *what)
{
    tidings_err err = td_handle_check(task->bus);

    task->gone = true;
    if (!err && !claim(task, TD_SAID))
        return why_not(atomic_load(&task->said));
    if (err)
        return err;
    r->now_us = td_now_us();
    return say_claimed(r->bus, task, what, r->now_us, false);
}

static uint32_t answers_len(struct td_services *all)
{
    uint32_t len;

    pthread_mutex_lock(&all->lock);
    len = all->answers.len;
    pthread_mutex_unlock(&all->lock);
    return len;
}

/* As long as no others follow it goes at once; else with them, at the next turn
 * of whoever drives. */
static void send_soon(struct td_bus *b, int64_t now_us)
{
    if (now_us - b->services.sent_us >= CLOSE_US)
        td_answers_send(b);
    else if (answers_len(&b->services) == 1)
        td_bus_soon(b);
}

/* The bus is closed, or a parent's: the task is the caller's alone. */
static tidings_err answer_nobody(tidings_task *task, tidings_err err)
{
    free(task);
    return err;
}

static tidings_err answer_elsewhere(tidings_task *task,
                                    const struct saying *what)
{
    tidings_err err;
    struct td_bus *b = td_handle_lock(task->bus, &err);
    struct td_bus_service *s;

    if (!b)
        return answer_nobody(task, err);
    s = task->service;
    if (!claim(task, TD_SAID)) {
        err = why_not(atomic_load(&task->said));
    } else {
        int64_t now_us = td_now_us();

        err = say_claimed(b, task, what, now_us, true);
        if (!err)
            send_soon(b, now_us);
    }
    task->gone = true;
    if (task->ran) {
        DL_DELETE(s->later, task);
        td_bus_task_free(b, task);
    }
    td_bus_changed(b);
    pthread_mutex_unlock(b->lock);
    return err;
}

static tidings_err check(const tidings_task *task, const void *data, size_t len)
{
    if (!task || (!data && len > 0) || len > TIDINGS_DATA_MAX)
        return td_fail(TIDINGS_EINVAL,
                       "an answer: a task, and at most %u bytes",
                       TIDINGS_DATA_MAX);
    return TIDINGS_OK;
}

static tidings_err answer(tidings_task *task, const struct saying *what)
{
    struct td_runner *r = runner_of(task);

    return r ? answer_here(r, task, what) : answer_elsewhere(task, what);
}

tidings_err tidings_answer(tidings_task *task, const void *data, size_t len)
{
    const struct saying what = {.text = "", .data = data, .len = len};
    tidings_err err = check(task, data, len);

    return err ? err : answer(task, &what);
}

tidings_err tidings_answer_error(tidings_task *task, int status,
                                 const char *text, const void *detail,
                                 size_t len)
{
    char cut[TD_ANSWER_TEXT_BYTES_MAX + 1];
    struct saying what = {.code = TIDINGS_EREMOTE,
                          .status = status,
                          .text = cut,
                          .data = detail,
                          .len = len};
    tidings_err err = check(task, detail, len);

    if (!err && (status < 1 || status > (int)TD_STATUS_MAX))
        err = td_fail(TIDINGS_EINVAL, "status is %d; 1 to %u", status,
                      TD_STATUS_MAX);
    if (err)
        return err;
    if (td_utf8_cut(cut, sizeof(cut), text))
        return answer(task, &what);
    return td_fail(TIDINGS_EINVAL, "text is not UTF-8");
}

int tidings_task_left_ms(const tidings_task *task)
{
    int64_t left_us = task ? task->deadline_us - td_now_us() : 0;

    return left_us > 0 ? (int)((left_us + 999) / 1000) : 0;
}
