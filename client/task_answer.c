/* What is said of tasks: by their handlers, for them, or later; and the bundles
 * that it waits in until it is sent. */
#include "client/service.h"

#include "client/bus.h"
#include "client/detail.h"
#include "client/handle.h"
#include "proto/utf8.h"

#include <stdlib.h>
#include <utlist.h>

/* Answers that follow one sooner go together. */
#define CLOSE_US 200

/* What is said where an answer has no room in memory: its caller knows, and may
 * ask another. */
static const struct td_saying no_memory = {.code = TIDINGS_EREMOTE,
                                           .status = TD_STATUS_UNAVAILABLE,
                                           .text = "no memory for the answer"};

/* ---- bundles ---- */

tidings_err td_answers_begin(struct td_services *all)
{
    bool ok;

    pthread_mutex_lock(&all->lock);
    ok = td_answers_reserve(&all->answers) && td_answers_reserve(&all->spare);
    pthread_mutex_unlock(&all->lock);
    return ok ? TIDINGS_OK : TIDINGS_ENOMEM;
}

static tidings_err add(struct td_bus *b, uint64_t link,
                       const struct td_answer_row *row, const void *data)
{
    struct td_services *all = &b->services;
    tidings_err err;

    pthread_mutex_lock(&all->lock);
    err = td_answers_add(&all->answers, link, row, data);
    if (!err && all->answers.len == 1)
        all->since_us = td_now_us();
    pthread_mutex_unlock(&all->lock);
    return err;
}

/* With all->lock; false: there are none. */
static bool take(struct td_services *all)
{
    struct td_answers some = all->answers;

    if (some.len == 0)
        return false;
    all->answers = all->spare;
    all->answers.link = some.link;
    all->spare = some;
    return true;
}

void td_answers_send(struct td_bus *b)
{
    struct td_services *all = &b->services;
    bool any;

    pthread_mutex_lock(&all->lock);
    any = take(all);
    pthread_mutex_unlock(&all->lock);
    if (!any)
        return;
    td_client_send_answers(&b->client, &all->spare);
    atomic_store(&all->sent_us, td_now_us());
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

bool td_answers_any(struct td_bus *b)
{
    int64_t unused;

    return has_answers(b, &unused);
}

int64_t td_answers_keep(struct td_bus *b)
{
    int64_t since_us;

    if (!has_answers(b, &since_us))
        return TD_CLIENT_NEVER;
    if (td_now_us() - since_us < TD_SECTION_US)
        return since_us / 1000 + 2;
    td_answers_send(b);
    return TD_CLIENT_NEVER;
}

/* Without the lock, or with it. */
static tidings_err say(struct td_bus *b, const tidings_task *task,
                       const struct td_saying *what, int64_t now_us,
                       bool locked)
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

    while ((err = add(b, task->link, &row, what->data)) == TIDINGS_EFULL) {
        if (!locked)
            pthread_mutex_lock(b->lock);
        td_answers_send(b);
        if (!locked)
            pthread_mutex_unlock(b->lock);
    }
    return err;
}

bool td_task_claim(tidings_task *task, enum td_said by)
{
    struct td_bus_endpoint *e = &task->service->endpoints[task->endpoint];
    int nothing = TD_SAID_NOTHING;

    if (!atomic_compare_exchange_strong(&task->said, &nothing, by))
        return false;
    atomic_fetch_sub(&e->open, 1); /* before the broker sends another for it */
    return true;
}

/* Once it is known what has come of it. */
static void count(struct td_service_counts *c, tidings_err code,
                  tidings_err err)
{
    atomic_ullong *n = &c->errors;

    if (code == TIDINGS_ELOST)
        n = &c->lost;
    else if (code == TIDINGS_ETIMEDOUT)
        n = &c->expired;
    else if (err && err != TIDINGS_ENOMEM)
        n = &c->late;
    else if (!err && code == TIDINGS_OK)
        n = &c->answered;
    atomic_fetch_add_explicit(n, 1, memory_order_relaxed);
}

static tidings_err why(tidings_err err)
{
    switch (err) {
    case TIDINGS_EUNREACH:
        return td_fail(err, "the link was lost since: nobody waits for this "
                            "answer");
    case TIDINGS_ETIMEDOUT:
        return td_fail(err, "too late: the deadline has passed");
    case TIDINGS_ENOMEM:
        return td_fail(err, "no memory for the answer: its caller is told so");
    default:
        return err;
    }
}

tidings_err td_task_say(struct td_bus *b, tidings_task *task,
                        const struct td_saying *what, int64_t now_us,
                        bool locked)
{
    tidings_err err;

    if (task->link != atomic_load(&b->client.link))
        err = TIDINGS_EUNREACH;
    else if (now_us >= task->deadline_us && what->code != TIDINGS_ETIMEDOUT)
        err = TIDINGS_ETIMEDOUT;
    else
        err = say(b, task, what, now_us, locked);
    if (err == TIDINGS_ENOMEM)
        say(b, task, &no_memory, now_us, locked); /* there is memory for that */
    count(&task->service->counts, what->code, err);
    return why(err);
}

void td_bus_task_refuse(struct td_bus *b, tidings_task *task, tidings_err code,
                        const char *text)
{
    const struct td_saying what = {.code = code, .text = text};

    if (td_task_claim(task, TD_SAID_LOST))
        td_task_say(b, task, &what, td_now_us(), true);
}

void td_bus_request_refuse(struct td_bus *b, uint64_t task, tidings_err code,
                           const char *text)
{
    const tidings_task unmade = {.number = task,
                                 .link = atomic_load(&b->client.link)};
    const struct td_saying what = {.code = code, .text = text};

    say(b, &unmade, &what, 0, true);
}

/* ---- the user's ---- */

static tidings_err why_not(int said)
{
    return said == TD_SAID_LOST
               ? td_fail(TIDINGS_ECLOSED, "the service has ended")
               : td_fail(TIDINGS_EEXIST, "it was answered before");
}

/* Its handler may go on for long: nobody but us would send it. Where others wait
 * it goes with theirs. */
static void send_early(struct td_runner *r, const tidings_task *task)
{
    struct td_bus *b = r->bus;

    if (r->rest->head) {
        td_bus_keep_unlocked(b, r->now_us / 1000 + 2);
        return;
    }
    pthread_mutex_lock(b->lock);
    if (td_bus_service_waiting(task->service)->head)
        td_bus_keep(b, td_answers_keep(b));
    else
        td_answers_send(b);
    pthread_mutex_unlock(b->lock);
}

/* Inside its handler, without the lock. */
static tidings_err answer_here(struct td_runner *r, tidings_task *task,
                               const struct td_saying *what)
{
    tidings_err err = td_handle_check(task->bus);

    atomic_store(&task->gone, true);
    if (err)
        return err;
    if (!td_task_claim(task, TD_SAID))
        return why_not(atomic_load(&task->said));
    r->now_us = td_now_us();
    err = td_task_say(r->bus, task, what, r->now_us, false);
    if (!err || err == TIDINGS_ENOMEM)
        send_early(r, task);
    return err;
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
    if (now_us - atomic_load(&b->services.sent_us) >= CLOSE_US)
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
                                    const struct td_saying *what)
{
    tidings_err err;
    struct td_bus *b = td_handle_lock(task->bus, &err);
    struct td_bus_service *s;

    if (!b)
        return answer_nobody(task, err);
    s = task->service;
    if (!td_task_claim(task, TD_SAID)) {
        err = why_not(atomic_load(&task->said));
    } else {
        int64_t now_us = td_now_us();

        err = td_task_say(b, task, what, now_us, true);
        if (!err || err == TIDINGS_ENOMEM)
            send_soon(b, now_us);
    }
    atomic_store(&task->gone, true);
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

static tidings_err answer(tidings_task *task, const struct td_saying *what)
{
    struct td_runner *r = td_runner_of(task);

    return r ? answer_here(r, task, what) : answer_elsewhere(task, what);
}

tidings_err tidings_answer(tidings_task *task, const void *data, size_t len)
{
    const struct td_saying what = {.text = "", .data = data, .len = len};
    tidings_err err = check(task, data, len);

    return err ? err : answer(task, &what);
}

tidings_err tidings_answer_error(tidings_task *task, int status,
                                 const char *text, const void *detail,
                                 size_t len)
{
    char cut[TD_ANSWER_TEXT_BYTES_MAX + 1];
    struct td_saying what = {.code = TIDINGS_EREMOTE,
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
