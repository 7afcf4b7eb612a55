/* What callers are told, as it leaves the broker: each answer has its cause. */
#include "tests/sim/services_world.h"

#include "broker/engine/task.h"
#include "proto/option.h"

#include <string.h>

/* ---- answers, as they come ---- */

static bool is_task_of(const struct svc_request *q, uint64_t task)
{
    for (uint32_t i = 0; i < q->given_len; i++) {
        if (q->tasks[i] == task)
            return true;
    }
    return false;
}

/* One that its caller is to have: it does not wait for less than all of its
 * deadline, and that has not passed. */
static void answered(struct svc *w, const struct td_answer_row *row,
                     const uint8_t *data)
{
    struct svc_request *q;
    uint32_t serial;

    if ((row->code != TIDINGS_OK && row->code != TIDINGS_EREMOTE) ||
        row->bytes < 5)
        return;
    memcpy(&serial, data, 4);
    q = serial < w->requests_len ? w->requests[serial] : NULL;
    if (!q || q->answered || !is_task_of(q, row->task) ||
        w->now_ms >= q->deadline_ms || q->r.attempt_ms > 0 ||
        td_request_is_many(&q->r))
        return;
    q->answered = true;
    q->answered_ms = w->now_ms;
}

void svc_answer_before(struct svc *w, struct svc_link *link,
                       const struct td_frame *f, struct td_body *body)
{
    struct td_reader list =
        td_reader_of(f->u.answer.list.data, f->u.answer.list.len);
    const uint8_t *p = body->data;
    struct td_answer_row row;
    uint32_t rows;

    if (!svc_broker_session(w, link) || !td_read_array(&list, &rows))
        return;
    for (; td_answer_read(&list, &row); p += row.bytes)
        answered(w, &row, p);
}

/* ---- what callers are told ---- */

static bool is_of_given(struct svc *w, const struct svc_request *q,
                        struct td_str id)
{
    for (uint32_t i = 0; i < q->given_len; i++) {
        if (td_bytes_equal(id, td_str_of(w->known[q->given[i]].id)))
            return true;
    }
    return q->given_len == SVC_GIVEN;
}

static bool is_some_lost(struct svc *w, const struct svc_request *q)
{
    for (uint32_t i = 0; i < q->given_len; i++) {
        if (svc_known_is_lost(w, &w->known[q->given[i]]))
            return true;
    }
    return q->given_len == SVC_GIVEN;
}

/* By the broker itself. */
static void check_own(struct svc *w, const struct svc_request *q,
                      const struct td_response_row *row)
{
    switch (row->code) {
    case TIDINGS_ENORESPONDER:
        svc_seen(w, SVC_SEEN_NORESPONDER);
        SVC_CHECK(w, !q->certain, "request %u has nobody, and somebody is fit",
                  q->serial);
        break;
    case TIDINGS_EBREAKER:
        svc_seen(w, SVC_SEEN_BROKEN);
        SVC_CHECK(w, q->broken && !q->open,
                  "request %u meets a breaker, and there is none that is open",
                  q->serial);
        break;
    case TIDINGS_EFULL:
        svc_seen(w, SVC_SEEN_FULL);
        SVC_CHECK(w, !q->open, "request %u finds no room, and there is some",
                  q->serial);
        break;
    case TIDINGS_ELOST:
        svc_seen(w, SVC_SEEN_LOST);
        SVC_CHECK(w, is_some_lost(w, q),
                  "request %u is lost, and nobody who has it is", q->serial);
        break;
    default:
        SVC_CHECK(w, row->code == TIDINGS_ETIMEDOUT,
                  "the broker says of request %u: %s", q->serial,
                  tidings_err_name((tidings_err)row->code));
    }
}

static void check_row(struct svc *w, const struct svc_request *q,
                      const struct td_response_row *row)
{
    if (row->instance.len == 0) {
        SVC_CHECK(w, !q->answered || row->code == TIDINGS_EFULL,
                  "request %u was answered, and its caller is told %s",
                  q->serial, tidings_err_name((tidings_err)row->code));
        check_own(w, q, row);
        return;
    }
    SVC_CHECK(w,
              !q->answered || row->code == TIDINGS_OK ||
                  row->code == TIDINGS_EREMOTE,
              "request %u was answered, and its caller is told %s", q->serial,
              tidings_err_name((tidings_err)row->code));
    SVC_CHECK(w, is_of_given(w, q, row->instance),
              "request %u is answered by who was not given it", q->serial);
    SVC_CHECK(w, row->code != TIDINGS_ELOST || is_some_lost(w, q),
              "an instance that is there says that it has ended");
}

static struct svc_request *find_over(struct svc *w, const struct svc_link *link,
                                     uint64_t number)
{
    for (uint32_t i = w->requests_len; i-- > 0;) {
        struct svc_request *q = w->requests[i];

        if (q->number == number && q->sender == link->number)
            return q;
    }
    return NULL;
}

static void responded(struct svc *w, struct svc_link *link,
                      const struct td_frame *f)
{
    struct td_reader list =
        td_reader_of(f->u.response.list.data, f->u.response.list.len);
    struct td_response_row row;
    uint32_t rows;

    if (!td_read_array(&list, &rows))
        return;
    while (td_response_read(&list, &row)) {
        struct svc_request *q = svc_request_of(w, link, row.number);

        if (q) /* its caller waits for it still */
            check_row(w, q, &row);
        else
            q = find_over(w, link, row.number);
        if (!q) /* it is tried again, under another number */
            continue;
        SVC_CHECK(w, !q->told, "request %u is answered twice", q->serial);
        q->told = row.left == 0;
    }
}

/* Nobody is given more time than is left, however long it has waited for him
 * to read. */
static void handed(struct svc *w, const struct td_frame *f)
{
    struct td_reader list =
        td_reader_of(f->u.handle.list.data, f->u.handle.list.len);
    struct td_handle_row row;
    uint32_t rows;

    if (!td_read_array(&list, &rows))
        return;
    while (td_handle_read(&list, &row)) {
        const struct td_task *task = td_task_find(w->broker.engine, row.task);

        SVC_CHECK(w, task, "task %llu is over, and goes to an instance",
                  (ull)row.task);
        SVC_CHECK(w,
                  !task || (row.left_ms >= 1 &&
                            (int64_t)row.left_ms <=
                                task->asking->deadline_ms - w->now_ms),
                  "a HANDLE leaves %llu ms", (ull)row.left_ms);
        if (task && task->begun_ms < w->now_ms)
            svc_seen(w, SVC_SEEN_WAITED);
    }
}

void svc_said(struct svc *w, struct svc_link *link, const struct td_frame *f)
{
    if (f->op == TD_RESPONSE)
        responded(w, link, f);
    else if (f->op == TD_BYE && f->u.bye.code == TIDINGS_ENOMEM)
        link->hurt = link->hurt || w->config.cramped;
    else if (f->op == TD_HANDLE)
        handed(w, f);
}
