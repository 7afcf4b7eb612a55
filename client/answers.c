#include "client/answers.h"

#include "proto/limits.h"

/* Of what answers have that is kept for the next: as much as a full bundle of
 * small ones. */
#define KEPT_BYTES (2u * TD_BATCH_BYTES)

void td_answers_fini(struct td_answers *a)
{
    td_buf_fini(&a->rows);
    td_buf_fini(&a->body);
    a->len = 0;
}

bool td_answers_reserve(struct td_answers *a)
{
    bool ok = td_buf_reserve(&a->rows, TD_ANSWER_ROW_BYTES);

    a->rows.failed = false;
    return ok;
}

/* Rows keep theirs, which is bounded. */
void td_answers_reset(struct td_answers *a)
{
    if (a->body.cap > KEPT_BYTES)
        td_buf_fini(&a->body);
    td_buf_reset(&a->body);
    td_buf_reset(&a->rows);
    a->len = 0;
}

bool td_answers_full(const struct td_answers *a)
{
    return a->len >= TD_BUNDLE_ROWS || a->body.len >= TD_BATCH_BYTES ||
           a->rows.len >= TD_CONTROL_BYTES_MAX / 2 ||
           (a->len > 0 && a->rows.cap - a->rows.len < TD_ANSWER_ROW_BYTES);
}

static void cut(struct td_buf *b, size_t len)
{
    b->len = len;
    b->failed = false;
}

tidings_err td_answers_add(struct td_answers *a, uint64_t link,
                           const struct td_answer_row *row, const void *data)
{
    size_t rows;
    size_t body;

    if (link < a->link)
        return TIDINGS_EUNREACH;
    if (link > a->link)
        td_answers_reset(a);
    a->link = link;
    if (td_answers_full(a))
        return TIDINGS_EFULL;
    rows = a->rows.len;
    body = a->body.len;
    td_answer_append(&a->rows, row);
    if (row->bytes > 0)
        td_buf_append(&a->body, data, row->bytes);
    if (a->rows.failed || a->body.failed) {
        cut(&a->rows, rows);
        cut(&a->body, body);
        return TIDINGS_ENOMEM;
    }
    a->len++;
    td_answers_reserve(a); /* if there is no memory it is full */
    return TIDINGS_OK;
}
