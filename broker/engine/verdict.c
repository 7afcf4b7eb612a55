/* What came of a task, for the breakers, the balance and the counts. What says
 * nothing of an instance gives its breakers' tickets back (PROTOCOL.md 11.4). */
#include "broker/engine/internal.h"

#include "broker/engine/task.h"

enum verdict { VERDICT_OK, VERDICT_FAILED, VERDICT_NONE };

static uint64_t had_us(const struct td_engine *e, const struct td_task *task)
{
    return (uint64_t)(e->now_ms - task->begun_ms + 1) * 1000;
}

/* An instance says itself how long it held the request, and its handler took:
 * no longer than it had it. */
static struct td_answer_row believed(const struct td_engine *e,
                                     const struct td_task *task,
                                     const struct td_answer_row *said)
{
    struct td_answer_row row = *said;
    uint64_t had = had_us(e, task);

    row.held_us = row.held_us < had ? row.held_us : had;
    row.took_us = row.took_us < row.held_us ? row.took_us : row.held_us;
    return row;
}

/* ---- who has failed ---- */

/* How long a caller has to wait until that he gave up is the instance's fault:
 * long beside what its answers take. */
static int64_t patience_ms(const struct td_endpoint *endpoint)
{
    const struct td_endpoint_counts *n = &endpoint->count;
    uint64_t mean_us = n->answers ? n->held_us / n->answers : 0;
    uint64_t ms = mean_us / 1000 * TD_BREAKER_PATIENCE;

    return ms > TD_BREAKER_PATIENCE_MS ? (int64_t)ms : TD_BREAKER_PATIENCE_MS;
}

/* A deadline that was short says something only of who has answered nothing at
 * all for longer. */
static bool is_its_fault(const struct td_engine *e, const struct td_task *task)
{
    int64_t patience = patience_ms(task->endpoint);

    return e->now_ms - task->begun_ms >= patience ||
           (task->instance->silent_ms != TD_NEVER &&
            e->now_ms - task->instance->silent_ms >= patience);
}

static enum verdict verdict_of(const struct td_engine *e,
                               const struct td_task *task,
                               const struct td_answer_row *row)
{
    switch (row->code) {
    case TIDINGS_OK:
        return VERDICT_OK;
    case TIDINGS_EREMOTE:
        return row->status >= TD_STATUS_FAILED ? VERDICT_FAILED : VERDICT_OK;
    case TIDINGS_ETIMEDOUT:
        return is_its_fault(e, task) ? VERDICT_FAILED : VERDICT_NONE;
    default: /* ELOST, EFULL */
        return VERDICT_FAILED;
    }
}

/* One that has ended is one failure of its service, however much it had. */
static enum verdict verdict_of_service(const struct td_task *task,
                                       const struct td_answer_row *row,
                                       enum verdict verdict)
{
    struct td_instance *instance = task->instance;

    if (row->code != TIDINGS_ELOST || instance->there || !task->service_ticket)
        return verdict;
    verdict = instance->mourned ? VERDICT_NONE : VERDICT_FAILED;
    instance->mourned = true;
    return verdict;
}

/* ---- telling ---- */

static void tell_breaker(struct td_engine *e, struct td_breaker *b,
                         uint64_t ticket, enum verdict verdict,
                         struct td_service *service,
                         struct td_instance *instance)
{
    uint32_t changes = b->changes;

    if (!ticket)
        return;
    if (verdict == VERDICT_NONE)
        td_breaker_cancel(b, ticket);
    else
        td_breaker_done(b, e->now_ms, ticket, verdict == VERDICT_OK);
    if (b->changes != changes && (!instance || instance->there))
        td_breaker_changed(e, service, instance);
}

/* What failed may have been quick: as slow as its caller would have let it be,
 * if nothing else is known. */
static void tell_balance(struct td_engine *e, const struct td_task *task,
                         const struct td_answer_row *row, bool ok)
{
    struct td_candidate *c = &task->endpoint->candidate;
    int64_t now_us = e->now_ms * 1000;

    if (ok)
        td_candidate_end(c, now_us, (int64_t)row->held_us);
    else if (row->code == TIDINGS_ETIMEDOUT)
        td_candidate_fail(c, now_us, (int64_t)had_us(e, task));
    else
        td_candidate_fail(
            c, now_us,
            c->measured ? (int64_t)row->held_us
                        : (task->asking->deadline_ms - task->begun_ms) * 1000);
}

void td_task_settle(struct td_engine *e, struct td_task *task,
                    const struct td_answer_row *said)
{
    const struct td_answer_row row = believed(e, task, said);
    struct td_instance *instance = task->instance;
    enum verdict verdict;

    if (!task->endpoint) /* a ping says nothing of those */
        return;
    verdict = verdict_of(e, task, &row);
    tell_balance(e, task, &row, verdict == VERDICT_OK);
    tell_breaker(e, &instance->breaker, task->ticket, verdict,
                 instance->service, instance);
    verdict = verdict_of_service(task, &row, verdict);
    tell_breaker(e, &instance->service->breaker, task->service_ticket, verdict,
                 instance->service, NULL);
    td_task_done(e, task->endpoint, &row);
}

void td_tasks_heard(struct td_session *s)
{
    struct td_instance *instance;

    DL_FOREACH2(s->serving.instances, instance, session_next)
    {
        instance->silent_ms = TD_NEVER;
    }
}
