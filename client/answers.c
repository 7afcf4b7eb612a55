#include "client/answers.h"

#include "proto/limits.h"

/* What is kept for the next: as much as a full bundle of small ones. */
#define KEPT_BYTES (2u * TD_BATCH_BYTES)

void td_answers_fini(struct td_answers *a)
{
    td_buf_fini(&a->rows);
    td_buf_fini(&a->body);
    a->len = 0;
}

static void reset(struct td_buf *b)
{
    if (b->cap > KEPT_BYTES)
        td_buf_fini(b);
    td_buf_reset(b);
}

void td_answers_reset(struct td_answers *a)
{
    reset(&a->rows);
    reset(&a->body);
    a->len = 0;
}

bool td_answers_full(const struct td_answers *a)
{
    return a->len >= TD_BUNDLE_ROWS || a->body.len >= TD_BATCH_BYTES ||
           a->rows.len >= TD_CONTROL_BYTES_MAX / 2;
}

static void cut(struct td_buf *b, size_t len)
{
    b->len = len;
    b->failed = false;
}

bool td_answers_add(struct td_answers *a, const struct td_answer_row *row,
                    const void *data)
{
    size_t rows = a->rows.len;
    size_t body = a->body.len;

    td_answer_append(&a->rows, row);
    if (row->bytes > 0)
        td_buf_append(&a->body, data, row->bytes);
    if (!a->rows.failed && !a->body.failed) {
        a->len++;
        return true;
    }
    cut(&a->rows, rows);
    cut(&a->body, body);
    return false;
}
