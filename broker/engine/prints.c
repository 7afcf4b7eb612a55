/* What a named producer has stored before is told from what is new under the
 * same sequence: its events are opened for that, and no others. */
#include "broker/engine/internal.h"

static uint64_t hash_of(const struct td_run *run, const uint8_t *event,
                        const uint8_t *end)
{
    const uint8_t *after = td_events_skip(event, end, 1);

    return td_print_hash(run->type, event,
                         (size_t)((after ? after : end) - event));
}

/* As many as there are prints for, from the last one back. */
void td_prints_add(struct td_producer *p, const struct td_batch *batch,
                   const uint8_t *body)
{
    uint32_t left = batch->events;

    for (uint32_t i = 0; i < batch->runs_len && p->naming; i++) {
        const struct td_run *run = &batch->runs[i];
        const uint8_t *event = body;

        body += run->bytes;
        for (uint32_t n = 0; n < run->count && event; n++, left--) {
            if (left > TD_NAMED_HASHES)
                td_naming_pass(p->naming, run->first + n);
            else
                td_naming_add(p->naming, run->first + n,
                              hash_of(run, event, body), p->stored_ticket);
            event = td_events_skip(event, body, 1);
        }
    }
}

struct td_again td_again_of(const struct td_producer *p,
                            const struct td_run *run, const uint8_t *body)
{
    struct td_again again = {
        .events = (uint32_t)td_stored_alike(&p->stored, run->first, run->count),
        .stored = td_stored_has(&p->stored, run->first)};

    if (!p->naming)
        return again;
    again.events = 1;
    switch (td_naming_compare(p->naming, run->first,
                              hash_of(run, body, body + run->bytes))) {
    case TD_ALIKE:
        again.stored = true;
        break;
    case TD_UNLIKE:
        again.stored = true;
        again.code = TIDINGS_ECONFLICT;
        break;
    case TD_ABSENT: /* refused, or its number was passed over */
        again.code = again.stored ? TIDINGS_ECONFLICT : TIDINGS_OK;
        break;
    case TD_FORGOTTEN:
        break;
    }
    return again;
}
