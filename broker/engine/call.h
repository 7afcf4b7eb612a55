/* What the files of CALL share. */
#ifndef TD_CALL_H
#define TD_CALL_H

#include "broker/engine/internal.h"

/* A call that is being answered. */
struct td_asked {
    struct td_session *session;
    uint64_t request;
    struct td_str options; /* a map */
};

/* ---- undo.c ---- */

enum td_undo_kind {
    TD_UNDO_STREAM, /* a stream was added */
    TD_UNDO_BOUNDS, /* one has got other bounds */
    TD_UNDO_GROUP,  /* a group was */
    TD_UNDO_MEMBER, /* … has a member, before it was written */
    TD_UNDO_PAUSE,  /* … was paused or resumed */
    TD_UNDO_SEEK,   /* … was sent elsewhere */
    TD_UNDO_NAME    /* a producer's name was deleted */
};

/* How it was before. */
struct td_undo {
    enum td_undo_kind kind;
    uint32_t id;      /* of the stream or group */
    uint64_t session; /* of the member, and its subscription */
    uint64_t subscription;
    bool began; /* the group came with it */
    bool paused;
    int64_t paused_until_ms;
    struct td_placement place;
    struct td_stream_options bounds; /* of a stream; nothing else of these */
    struct td_naming *naming;        /* of a name; freed */
    struct td_stored stored;
};

struct td_undo *td_undo_new(enum td_undo_kind kind); /* NULL: no memory */
void td_undo(struct td_engine *e, struct td_undo *undo);
void td_undo_free(struct td_undo *undo); /* NULL is allowed */

/* ---- call.c ---- */

/* Said when TD_REPLIES_MAX wait. */
extern const char td_asked_too_many[];

void td_asked_fail(struct td_engine *e, const struct td_asked *a,
                   tidings_err code, const char *text);
/* Done, once all that was submitted is written; if that fails, undo, which is
 * taken over. NULL: there is nothing to undo, or it goes on all the same. */
void td_asked_done(struct td_engine *e, const struct td_asked *a,
                   struct td_undo *undo);
/* The same, of what takes itself back when it cannot be written. */
void td_asked_reverting(struct td_engine *e, const struct td_asked *a);
/* The same, with a result: "events", and "next" as the number to go on with. */
void td_asked_counted(struct td_engine *e, const struct td_asked *a,
                      uint64_t events, uint64_t next);
/* The same, with what a member is told of its group; undo names both. */
void td_asked_joined(struct td_engine *e, const struct td_asked *a,
                     struct td_undo *undo);
/* The result is in e->table. */
void td_asked_result(struct td_engine *e, struct td_session *s,
                     uint64_t request);
/* To be filled, for td_asked_done(); NULL: it is answered. */
struct td_undo *td_asked_undo(struct td_engine *e, const struct td_asked *a,
                              enum td_undo_kind kind);
/* The stream and the group that the options name; false: it is answered. */
bool td_asked_stream(struct td_engine *e, const struct td_asked *a,
                     const char *key, struct td_stream **out);
bool td_asked_group(struct td_engine *e, const struct td_asked *a,
                    struct td_consumer **out);

/* call_dlq.c */
void td_operate_dlq_list(struct td_engine *e, const struct td_asked *a);
void td_operate_dlq_redrive(struct td_engine *e, const struct td_asked *a);
void td_operate_dlq_purge(struct td_engine *e, const struct td_asked *a);

/* call_schedule.c */
void td_operate_schedule_list(struct td_engine *e, const struct td_asked *a);
void td_operate_schedule_cancel(struct td_engine *e, const struct td_asked *a);

/* call_producer.c */
void td_operate_producer_list(struct td_engine *e, const struct td_asked *a);
void td_operate_producer_delete(struct td_engine *e, const struct td_asked *a);

/* call_service.c */
void td_operate_service_list(struct td_engine *e, const struct td_asked *a);
void td_operate_service_info(struct td_engine *e, const struct td_asked *a);
void td_operate_service_stats(struct td_engine *e, const struct td_asked *a);
void td_operate_service_drain(struct td_engine *e, const struct td_asked *a);
void td_operate_service_weight(struct td_engine *e, const struct td_asked *a);

/* call_group.c */
void td_operate_group_add(struct td_engine *e, const struct td_asked *a);
void td_operate_group_list(struct td_engine *e, const struct td_asked *a);
void td_operate_group_pause(struct td_engine *e, const struct td_asked *a);
void td_operate_group_resume(struct td_engine *e, const struct td_asked *a);
void td_operate_group_seek(struct td_engine *e, const struct td_asked *a);
void td_operate_group_sync(struct td_engine *e, const struct td_asked *a);
void td_operate_group_delete(struct td_engine *e, const struct td_asked *a);

#endif
