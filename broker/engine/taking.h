/* What a stream takes of a batch: append.c, record.c, sift.c. */
#ifndef TD_TAKING_H
#define TD_TAKING_H

#include "broker/engine/internal.h"

/* What is at hand: a batch, or the part of it that one stream takes. */
struct td_taking {
    struct td_session *session;
    struct td_stream *stream;
    const struct td_batch *batch;
    struct td_body *body;
    size_t offset;
    unsigned level;
};

/* record.c */
/* Nothing of it is stored, and its publisher is told, if it asked. */
void td_taking_refuse(struct td_engine *e, const struct td_taking *t,
                      tidings_err code, uint64_t sequence);
/* It is stored: its producer is known to have that. */
void td_taking_note(struct td_engine *e, const struct td_taking *t);
/* Why it has not the stream's next sequences; 0: it has. Nobody is told. */
tidings_err td_taking_record(struct td_engine *e, const struct td_taking *t);
/* It is in the stream, under these sequences, when the turn's transaction is
 * written. */
void td_taking_tell(struct td_engine *e, const struct td_taking *t,
                    uint64_t sequence, bool duplicate);

/* sift.c */
/* 0: sifted: e->streams.repeats. */
tidings_err td_taking_sift(struct td_engine *e, const struct td_taking *t);
/* Of a sifted batch each part, in order: what has a sequence now is stored. */
void td_taking_tell_parts(struct td_engine *e, const struct td_taking *t,
                          struct td_repeat_walk walk, tidings_err err);
/* Why what is new of it was not recorded. Who published it is told. */
tidings_err td_taking_record_sifted(struct td_engine *e,
                                    const struct td_taking *t);

#endif
