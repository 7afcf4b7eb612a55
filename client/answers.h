/* Answers on their way to the broker, that go together in one ANSWER: its rows
 * and its body. Pure; whoever shares one between threads guards it. */
#ifndef TD_ANSWERS_H
#define TD_ANSWERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/buf.h"
#include "proto/frame.h"

/* Zeroed memory is an empty bundle. */
struct td_answers {
    struct td_buf rows;
    struct td_buf body;
    uint32_t len;
    uint64_t
        link; /* what they answer came over it, and nothing else is added */
};

void td_answers_fini(struct td_answers *a);

/* Empty; memory is kept, but for what a large answer took. */
void td_answers_reset(struct td_answers *a);

/* It is to be sent before another is added. */
bool td_answers_full(const struct td_answers *a);

/* Adds one, with row->bytes of data; false: there is no memory, and nothing was
 * added. It must not be full. */
bool td_answers_add(struct td_answers *a, const struct td_answer_row *row,
                    const void *data);

#endif
