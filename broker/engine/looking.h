/* A record that compaction is looking at: compact.c, compact_record.c. */
#ifndef TD_LOOKING_H
#define TD_LOOKING_H

#include "broker/engine/internal.h"

struct td_looking {
    struct td_engine *e;
    struct td_stream *stream;
    struct td_body *bytes; /* of the answer */
    struct td_str value;
    uint64_t first;
    struct td_record_head head;
    struct td_item *item;
    struct td_piece left; /* of it */
};

/* The next record of the page. False: no memory; the pass begins anew. */
bool td_looking_at(struct td_looking *l, const struct td_record *record);
/* The gap before the record at hand is finished, or the page is. */
void td_looking_put_gap(struct td_looking *l);

#endif
