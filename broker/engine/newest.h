/* Which events of a stream are the newest of their names: newest.c. */
#ifndef TD_NEWEST_H
#define TD_NEWEST_H

#include "broker/engine/streams.h"

struct td_consumer;

/* newest_walk.c */
/* Along the names of a batch: events in a row of one name, as far as that is
 * known without opening what needs not be opened. */
struct td_newest_walk {
    uint8_t hash[TD_LAST_HASH_BYTES];
    uint64_t sequence; /* of the first of … */
    uint32_t events;   /* … so many */
    bool opened;       /* it is one event, with … */
    size_t data_len;   /* … so much data */
    bool keyed;
    const struct td_batch *batch;
    const uint8_t *from; /* of these events */
    const uint8_t *at;   /* of those after them */
    const uint8_t *end;
    uint32_t run;
    uint32_t event;
};

void td_newest_begin(struct td_newest_walk *w, const struct td_stream *stream,
                     const struct td_batch *batch, const uint8_t *events,
                     uint64_t first);
bool td_newest_step(struct td_newest_walk *w); /* false: those were all */
/* Whether the last of those events has no data. */
bool td_newest_is_last_empty(const struct td_newest_walk *w);
/* The hash of its partitionkey; false: it has none. */
bool td_newest_key(uint8_t out[TD_LAST_HASH_BYTES],
                   const struct td_event *event);

/* newest.c */
/* The stream's next events are these. */
void td_newest_note(struct td_engine *e, struct td_stream *stream,
                    const struct td_batch *batch, const uint8_t *events,
                    uint64_t first);
/* Whether the last event of their one partitionkey is this one, 0: none. */
tidings_err td_newest_judge(const struct td_stream *stream,
                            const struct td_batch *batch, const uint8_t *events,
                            uint64_t expected, uint64_t *actual);
/* Its newest event is deleted; false: no memory. */
bool td_newest_bury(struct td_engine *e, struct td_stream *stream,
                    uint32_t number);
void td_newest_keep(struct td_stream *stream, uint32_t number,
                    uint64_t sequence);
void td_newest_write(struct td_engine *e); /* what the turn has noted */
void td_newest_written(struct td_engine *e, uint64_t ticket);
void td_newest_take_back(struct td_engine *e);
void td_newest_leave(struct td_engine *e, struct td_stream *stream);
/* Forgets names whose events are gone; returns when to look again. */
int64_t td_newest_tick(struct td_engine *e);
/* A row of the store; false: no memory, or no room. Then all are there: false: no
 * memory. */
bool td_newest_load(struct td_stream *stream,
                    const uint8_t hash[TD_LAST_HASH_BYTES], uint64_t sequence);
bool td_newest_loaded(struct td_engine *e);
/* What of a record is not known moves head.indexed. */
void td_newest_check(struct td_stream *stream, const struct td_batch *batch,
                     const uint8_t *events, uint64_t first);

/* newest_from.c */
/* The first sequence from the cursor on that is the newest of its name, or
 * where all are wanted again. */
uint64_t td_newest_next(struct td_consumer *c);
void td_newest_end(struct td_consumer *c);

#endif
