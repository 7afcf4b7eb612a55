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
    bool
        frugal; /* there is no room: what makes it larger for a while is not done */
};

/* compact_judge.c */
/* Of events in a row of one name. */
struct td_verdict {
    uint32_t number; /* of the name; 0: it is not known, and all are kept */
    uint32_t gone;   /* so many, the first of them, are not kept; … */
    bool dies;  /* … the last is an old tombstone, and one of them; … */
    bool waits; /* … or has to wait until older events are gone */
};

/* What is gained when those of a record that are not kept are cut out. */
enum td_yield {
    TD_YIELD_NONE,   /* there are none */
    TD_YIELD_LITTLE, /* they are smaller than what more records would take */
    TD_YIELD_MUCH,
    TD_YIELD_ALL /* of it nothing is left */
};

/* Along the names of the record. */
void td_looking_begin(const struct td_looking *l, struct td_newest_walk *w);
struct td_verdict td_looking_judge(struct td_looking *l,
                                   const struct td_newest_walk *w);
enum td_yield td_looking_weigh(struct td_looking *l);
/* Old tombstones of it that wait go in the next pass. left: so do older events
 * of theirs; those of this record are left in it for now. */
void td_looking_note(struct td_looking *l, bool left);

/* compact_record.c */
/* The next record of the page. False: no memory; the pass begins anew. */
bool td_looking_at(struct td_looking *l, const struct td_record *record);
/* The gap before the record at hand is finished, or the page is. */
void td_looking_put_gap(struct td_looking *l);

#endif
