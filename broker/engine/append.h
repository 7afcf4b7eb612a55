/* From a batch to what streams have of it, and what is known of that. */
#ifndef TD_APPEND_H
#define TD_APPEND_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/engine/keyspace.h"
#include "proto/batch.h"
#include "tidings/err.h"

struct td_body;
struct td_dedup_row;
struct td_engine;
struct td_producer;
struct td_session;
struct td_stream;

/* repeat.c: events that a stream has already, by their source and id */
struct td_repeat {
    uint32_t nth; /* of the batch's events, the first … */
    uint32_t count;
    uint64_t sequence; /* … which is there under this one */
};

/* Whether an event of the batch may be one. */
bool td_repeat_may_be(const struct td_stream *stream,
                      const struct td_batch *batch);
/* Finds them: e->streams.repeats. The others stand in the stream's window from
 * then on, under the sequences that they get when they are stored next. False:
 * no memory. */
bool td_repeat_sift(struct td_engine *e, struct td_stream *stream,
                    const struct td_batch *batch, const uint8_t *data);
uint32_t td_repeat_events(const struct td_engine *e); /* of those found */
/* A record was numbered that begins there: its row goes along. */
void td_repeat_recorded(struct td_engine *e, struct td_stream *stream,
                        uint64_t first);
/* Looks at windows again in a second. */
void td_repeat_wake(struct td_engine *e);
/* Lets go of what has left a window; returns when to look again. */
int64_t td_repeat_tick(struct td_engine *e);
/* A row of the store. */
tidings_err td_repeat_load(struct td_engine *e, struct td_stream *stream,
                           uint64_t first, const struct td_dedup_row *row);

/* Parts of a sifted batch, alike and in a row: stored already, or new. */
struct td_repeat_part {
    struct td_run run;
    size_t offset; /* in the batch's body */
    bool stored;
    uint64_t sequence; /* of the first; of a new one, the one it is to get */
};

struct td_repeat_walk {
    const struct td_batch *batch;
    const uint8_t *data;
    uint64_t next; /* sequence of the next new one */
    uint32_t run;
    uint32_t nth;       /* of the events */
    uint32_t repeat;    /* of those found */
    struct td_run left; /* of the run; count 0: the next one */
    size_t offset;
};

struct td_repeat_walk td_repeat_walk(const struct td_stream *stream,
                                     const struct td_batch *batch,
                                     const uint8_t *data);
/* False: that was all. */
bool td_repeat_next(struct td_engine *e, struct td_repeat_walk *walk,
                    struct td_repeat_part *out);

/* append.c */
/* What streams take of a batch, e->taking of each run, is recorded and numbered;
 * level 0: no confirm is wanted. */
void td_append(struct td_engine *e, struct td_session *s,
               const struct td_batch *batch, struct td_body *body,
               size_t offset, unsigned level);
/* A batch that goes to one stream as a whole, or nowhere. */
struct td_condition {
    bool set;
    bool expects;
    uint64_t expected; /* the stream's last sequence … */
    bool of_key;       /* … or that of the events' partitionkey */
};

/* Fills e->taking. 0: it may be stored. EEXIST: all of it is, by source and id,
 * and that is told, as is whatever else is wrong; nothing is to happen then. */
tidings_err td_append_judge(struct td_engine *e, struct td_session *s,
                            const struct td_batch *batch, struct td_body *body,
                            size_t offset, unsigned level,
                            const struct td_condition *condition);
/* One event of the broker's own; why it was not stored. */
tidings_err td_append_own(struct td_engine *e, struct td_stream *stream,
                          const struct td_batch *batch, struct td_body *body,
                          size_t offset);
/* The same for what had been taken before: stored now if it was not. */
void td_append_again(struct td_engine *e, struct td_session *s,
                     const struct td_batch *batch, struct td_body *body,
                     size_t offset, uint64_t taken, unsigned level);

/* stored.c: what is stored of a producer */
bool td_stored_has(const struct td_stored *stored, uint64_t sequence);
/* How many of count events from first on are as the first of them is, stored
 * or not. */
uint64_t td_stored_alike(const struct td_stored *stored, uint64_t first,
                         uint64_t count);
void td_stored_add(struct td_stored *stored, uint64_t first, uint64_t last);
void td_stored_lose(struct td_stored *stored, uint64_t first, uint64_t last);

/* prints.c: what a producer with a name has stored */
/* Those of a batch are noted; nothing happens if it has no name. */
void td_prints_add(struct td_producer *p, const struct td_batch *batch,
                   const uint8_t *body);
/* What becomes of the first events of a run that was taken before. */
struct td_again {
    uint32_t events;  /* so many, at least 1 */
    bool stored;      /* they need not be … */
    tidings_err code; /* … and are what they were, or TIDINGS_ECONFLICT */
};
struct td_again td_again_of(const struct td_producer *p,
                            const struct td_run *run, const uint8_t *body);

#endif
