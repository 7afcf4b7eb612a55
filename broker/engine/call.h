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

void td_asked_fail(struct td_engine *e, const struct td_asked *a,
                   tidings_err code, const char *text);
/* Done, once what this turn writes is written. */
void td_asked_done(struct td_engine *e, const struct td_asked *a);
/* The result is in e->table. */
void td_asked_result(struct td_engine *e, struct td_session *s,
                     uint64_t request);
/* The stream and the group that the options name; false: it is answered. */
bool td_asked_stream(struct td_engine *e, const struct td_asked *a,
                     const char *key, struct td_stream **out);
bool td_asked_group(struct td_engine *e, const struct td_asked *a,
                    struct td_consumer **out);

/* call_dlq.c */
void td_operate_dlq_list(struct td_engine *e, const struct td_asked *a);
void td_operate_dlq_redrive(struct td_engine *e, const struct td_asked *a);
void td_operate_dlq_purge(struct td_engine *e, const struct td_asked *a);

/* call_group.c */
void td_operate_group_add(struct td_engine *e, const struct td_asked *a);
void td_operate_group_list(struct td_engine *e, const struct td_asked *a);
void td_operate_group_pause(struct td_engine *e, const struct td_asked *a);
void td_operate_group_resume(struct td_engine *e, const struct td_asked *a);
void td_operate_group_seek(struct td_engine *e, const struct td_asked *a);
void td_operate_group_delete(struct td_engine *e, const struct td_asked *a);

#endif
