/* Tasks: requests in the hands of instances, and how they end. */
#include "broker/engine/internal.h"

#include "broker/engine/task.h"

#include <stdlib.h>
#include <string.h>

/* A task's number says where it is, and is never used again. */
#define PLACE_BITS 18
#define PLACE_MASK ((1u << PLACE_BITS) - 1)
_Static_assert(TD_TASKS_MAX <= 1u << PLACE_BITS, "each task has a place");

/* ---- beginning ---- */

static bool allow(struct td_engine *e, struct td_breaker *b, uint64_t *ticket,
                  struct td_service *service, struct td_instance *instance)
{
    uint32_t changes = b->changes;
    bool allowed = td_breaker_allow(b, e->now_ms, ticket);

    if (b->changes != changes)
        td_breaker_changed(e, service, instance);
    return allowed;
}

/* The breakers were asked before whether they are ready, and so let it pass. */
static void take_tickets(struct td_engine *e, struct td_task *task)
{
    struct td_instance *instance = task->instance;
    struct td_service *service = instance->service;

    if (instance->breaks)
        allow(e, &instance->breaker, &task->ticket, service, instance);
    if (service->breaks)
        allow(e, &service->breaker, &task->service_ticket, service, NULL);
}

static void link_task(struct td_engine *e, struct td_task *task)
{
    struct td_instance *instance = task->instance;

    DL_APPEND(instance->tasks, task);
    DL_APPEND2(task->asking->tasks, task, asking_prev, asking_next);
    task->asking->out++;
    task->asking->caller->serving.asked++;
    instance->in_flight++;
    if (instance->session->serving.tasks++ == 0 && e->serving.ask_ms == 0)
        e->serving.ask_ms = e->now_ms + TD_ASK_MS;
}

/* And with the last task of one that has ended, the instance. */
static void unlink_task(struct td_engine *e, struct td_task *task)
{
    struct td_instance *instance = task->instance;

    DL_DELETE(instance->tasks, task);
    DL_DELETE2(task->asking->tasks, task, asking_prev, asking_next);
    task->asking->out--;
    if (task->asking->caller)
        task->asking->caller->serving.asked--;
    instance->in_flight--;
    instance->session->serving.tasks--;
    td_slots_give(&e->serving.tasks, task);
    if (!instance->there && !instance->tasks)
        td_instance_free(e, instance);
}

/* One that has so many may have one more: as many as are free still, so that
 * however many are greedy, the next one has as much as each of them. */
static bool has_share(const struct td_slots *s, uint32_t mine)
{
    return mine < s->max - s->len;
}

struct td_task *td_task_begin(struct td_engine *e, struct td_asking *asking,
                              struct td_instance *instance,
                              struct td_endpoint *endpoint)
{
    struct td_serving *sv = &e->serving;
    struct td_task *task = NULL;

    if (has_share(&sv->tasks, asking->caller->serving.asked) &&
        has_share(&sv->tasks, instance->session->serving.tasks))
        task = td_slots_take(&sv->tasks);
    if (!task)
        return NULL;
    task->number = ++sv->tasks_made << PLACE_BITS | task->slot.place;
    task->asking = asking;
    task->instance = instance;
    task->endpoint = endpoint;
    task->begun_ms = e->now_ms;
    if (endpoint) {
        if (instance->silent_ms == TD_NEVER)
            instance->silent_ms = e->now_ms;
        take_tickets(e, task);
        td_candidate_begin(&endpoint->candidate);
    }
    link_task(e, task);
    return task;
}

void td_task_cancel(struct td_engine *e, struct td_task *task)
{
    struct td_instance *instance = task->instance;

    if (task->endpoint)
        td_candidate_drop(&task->endpoint->candidate);
    if (task->ticket)
        td_breaker_cancel(&instance->breaker, task->ticket);
    if (task->service_ticket)
        td_breaker_cancel(&instance->service->breaker, task->service_ticket);
    unlink_task(e, task);
}

struct td_task *td_task_find(struct td_engine *e, uint64_t number)
{
    struct td_task *task =
        td_slots_at(&e->serving.tasks, (uint32_t)(number & PLACE_MASK));

    return task && task->number == number ? task : NULL;
}

/* ---- how it ends ---- */

static bool is_answer(const struct td_answer_row *row)
{
    return row->code == TIDINGS_OK || row->code == TIDINGS_EREMOTE;
}

static void count_request(struct td_engine *e, struct td_asking *asking,
                          uint64_t code)
{
    struct td_request_counts *count = &e->serving.count;

    asking->ended = true;
    count->in_flight--;
    if (code == TIDINGS_OK)
        count->answered++;
    else if (code == TIDINGS_ETIMEDOUT)
        count->timeouts++;
    else if (code == TIDINGS_ELOST)
        count->lost++;
    else
        count->errors++;
}

static void respond(struct td_engine *e, struct td_asking *asking,
                    const struct td_outcome *outcome, const char *instance)
{
    const struct td_answer_row *row = &outcome->row;
    struct td_response_row response = {
        .number = asking->number,
        .code = row->code,
        .status = row->code == TIDINGS_EREMOTE ? row->status : 0,
        .bytes = is_answer(row) ? row->bytes : 0,
        .text = row->text,
        .left = asking->many ? asking->out : 0,
        .instance = td_str_of(outcome->own ? "" : instance),
    };

    td_bundle_response(e, asking->caller, &response, outcome->body,
                       outcome->offset);
}

/* One of its tasks is over; the others are still out. */
static void tell_caller(struct td_engine *e, struct td_asking *asking,
                        const struct td_outcome *outcome, const char *instance)
{
    const struct td_answer_row *row = &outcome->row;
    bool last = asking->out == 0;
    bool told = asking->many || last || is_answer(row);

    if (!asking->caller && !outcome->own)
        e->serving.count.late++;
    if (asking->caller && told)
        respond(e, asking, outcome, instance);
    asking->answered = asking->answered || row->code == TIDINGS_OK;
    if (!asking->ended && (last || (told && !asking->many)))
        count_request(e, asking, asking->answered ? TIDINGS_OK : row->code);
    if (last)
        td_asking_end(e, asking);
    else if (asking->ended)
        td_asking_release(e, asking); /* the first has won */
}

void td_task_end(struct td_engine *e, struct td_task *task,
                 const struct td_outcome *outcome)
{
    struct td_asking *asking = task->asking;
    char instance[TD_INSTANCE_BYTES_MAX + 1];

    memcpy(instance, task->instance->id, sizeof(instance));
    td_task_settle(e, task, &outcome->row);
    unlink_task(e, task);
    tell_caller(e, asking, outcome, instance);
}

void td_task_lost(struct td_engine *e, struct td_task *task)
{
    const struct td_outcome lost = {
        .row = {.code = TIDINGS_ELOST,
                .text = td_str_of("whoever had the request was lost")},
        .own = true,
    };

    td_task_end(e, task, &lost);
}

/* ---- time ---- */

static void expire(struct td_engine *e, struct td_asking *asking)
{
    const struct td_outcome late = {
        .row = {.code = TIDINGS_ETIMEDOUT,
                .text = td_str_of("no answer within the deadline")},
        .own = true,
    };
    bool last;

    do { /* with the last task it is gone */
        last = asking->out == 1;
        td_task_end(e, asking->tasks, &late);
    } while (!last);
}

/* A link that was closed takes no PING, which tells that its process is gone. */
static void ask(struct td_engine *e)
{
    static const struct td_frame ping = {.op = TD_PING};
    struct td_session *s;

    e->serving.ask_ms = e->now_ms + TD_ASK_MS;
    DL_FOREACH2(e->serving.sessions, s, serving.next)
    {
        if (s->serving.tasks > 0 && e->now_ms - s->heard_ms >= TD_ASK_MS)
            td_engine_send(e, s, &ping, NULL);
    }
}

int64_t td_tasks_tick(struct td_engine *e)
{
    struct td_serving *sv = &e->serving;
    int64_t next = TD_NEVER;

    while (sv->heap_len > 0 && sv->heap[1].ms <= e->now_ms)
        expire(e, sv->heap[1].asking);
    if (sv->tasks.len == 0) {
        sv->ask_ms = 0; /* nobody is waited for */
        return TD_NEVER;
    }
    if (sv->ask_ms <= e->now_ms)
        ask(e);
    if (sv->heap_len > 0)
        next = sv->heap[1].ms;
    return next < sv->ask_ms ? next : sv->ask_ms;
}

void td_tasks_fini(struct td_engine *e)
{
    struct td_serving *sv = &e->serving;

    td_slots_fini(&sv->tasks);
    td_slots_fini(&sv->askings);
    free(sv->heap);
    free(sv->asked.buckets);
    free(sv->found);
}
