/* Answers on their way to the broker, that go together in one ANSWER: its rows
 * and its body. Pure; whoever shares one between threads guards it. */
#ifndef TD_ANSWERS_H
#define TD_ANSWERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/buf.h"
#include "proto/frame.h"

/* A row without data: always less. */
#define TD_ANSWER_ROW_BYTES 512u

/* Zeroed memory is an empty bundle without memory. */
struct td_answers {
    struct td_buf rows;
    struct td_buf body;
    uint32_t len;
    uint64_t link; /* what they answer came over it: the newest that was seen */
};

void td_answers_fini(struct td_answers *a);

/* Memory for a row without data, so that a failure can be said whatever
 * happens; it is there from then on as long as the bundle is not full. */
bool td_answers_reserve(struct td_answers *a);

/* Empty; memory is kept, but for what a large answer took. */
void td_answers_reset(struct td_answers *a);

/* It is to be sent before another is added. */
bool td_answers_full(const struct td_answers *a);

/**
 * Adds one to what came over that link, with row->bytes of data. Those of an
 * older link that are there already go: nobody waits for them.
 *
 * @return TIDINGS_EUNREACH  it is of an older link itself.
 *         TIDINGS_EFULL     to be sent first.
 *         TIDINGS_ENOMEM    only with data, if td_answers_reserve() was called.
 *         In each case nothing was added.
 */
tidings_err td_answers_add(struct td_answers *a, uint64_t link,
                           const struct td_answer_row *row, const void *data);

#endif
