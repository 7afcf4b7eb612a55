/* ANSWER: checked as a whole, then each ends its task. */
#include "broker/engine/internal.h"

#include "broker/engine/task.h"

/* What an instance may say; all else is the broker's to say. */
static bool is_said_by_instances(const struct td_answer_row *row)
{
    switch (row->code) {
    case TIDINGS_OK:
    case TIDINGS_ETIMEDOUT:
    case TIDINGS_EFULL:
    case TIDINGS_ELOST: /* it has ended, and had not begun with it */
        return true;
    case TIDINGS_EREMOTE:
        return row->status >= 1;
    default:
        return false;
    }
}

/* Fills the engine's answers; a text if they cannot be. */
static const char *read_rows(struct td_engine *e, const struct td_frame *f,
                             const struct td_body *body, uint32_t *n)
{
    const struct td_str *raw = &f->u.answer.list;
    struct td_reader list = td_reader_of(raw->data, raw->len);
    size_t left = body->len;

    if (!td_read_array(&list, n) || *n < 1 || *n > TD_ROWS_MAX)
        return "ANSWER has 1 to 1024 rows";
    for (uint32_t i = 0; i < *n; i++) {
        struct td_answer_row *row = &e->serving.answers[i];

        if (!td_answer_read(&list, row))
            return "a row is [task, code, status, held_us, took_us, bytes, "
                   "text]";
        if (!is_said_by_instances(row))
            return "an answer's code is 0, EREMOTE with a status, ETIMEDOUT, "
                   "EFULL or ELOST";
        if (row->bytes > left)
            break;
        left -= row->bytes;
        if (i == *n - 1 && left == 0)
            return NULL;
    }
    return "the rows' bytes are not the body's";
}

void td_answer(struct td_engine *e, struct td_session *s,
               const struct td_frame *f, struct td_body *body)
{
    struct td_outcome outcome = {.body = body};
    bool late = false;
    size_t offset = 0;
    uint32_t n;
    const char *why = read_rows(e, f, body, &n);

    if (why) {
        e->counters.bad_frames++;
        td_session_doom(e, s, TD_DROP_SESSION_LOST, TIDINGS_EPROTO, why);
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        struct td_task *task;

        outcome.row = e->serving.answers[i];
        task = td_task_find(e, outcome.row.task);
        outcome.offset = offset;
        offset += outcome.row.bytes;
        if (!task || task->instance->session != s) {
            e->serving.count.late++;
            late = true;
            continue;
        }
        if (task->endpoint) /* a ping is answered also by who is stuck */
            task->instance->silent_ms = TD_NEVER;
        td_task_end(e, task, &outcome);
    }
    if (late)
        td_tasks_heard(s);
}
