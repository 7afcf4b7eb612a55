/* Requests that are in somebody's hands: how they begin, and all the ways in
 * which they end. */
#ifndef TD_TASK_H
#define TD_TASK_H

#include "broker/engine/service.h"

/* What a task ends with: as in an ANSWER, and where the row's bytes are. */
struct td_outcome {
    struct td_answer_row row;
    struct td_body *body; /* borrowed; NULL: there are none */
    size_t offset;
    bool own; /* the broker says so, not the instance */
};

/* NULL: no memory, or there are TD_TASKS_MAX. */
struct td_asking *td_asking_begin(struct td_engine *e, struct td_session *s,
                                  const struct td_request_row *row);
/* Nobody waits for it any more; its tasks stay. */
void td_asking_release(struct td_engine *e, struct td_asking *asking);
/* It has no tasks; nobody is told. */
void td_asking_end(struct td_engine *e, struct td_asking *asking);
/* Whether the session has one of that number. */
bool td_asking_is(struct td_engine *e, struct td_session *s, uint64_t number);
/* Nobody waits any more for what the session had asked. */
void td_askings_orphan(struct td_engine *e, struct td_session *s);

/* endpoint NULL: a ping. NULL as above, or the caller or the instance's session
 * has its share of them. */
struct td_task *td_task_begin(struct td_engine *e, struct td_asking *asking,
                              struct td_instance *instance,
                              struct td_endpoint *endpoint);
/* It was not handed out after all, and is forgotten. */
void td_task_cancel(struct td_engine *e, struct td_task *task);
/* NULL: it is over. */
struct td_task *td_task_find(struct td_engine *e, uint64_t number);
/* It is over, for breaker and balance, and for its caller. */
void td_task_end(struct td_engine *e, struct td_task *task,
                 const struct td_outcome *outcome);
void td_task_lost(struct td_engine *e, struct td_task *task);

/* verdict.c */
/* What the breakers, the balance and the counts are told of its end. */
void td_task_settle(struct td_engine *e, struct td_task *task,
                    const struct td_answer_row *said);
/* The session answers what is over: of which of its instances that was, is not
 * known any more. */
void td_tasks_heard(struct td_session *s);

/* request.c and answer.c */
void td_request(struct td_engine *e, struct td_session *s,
                const struct td_frame *f, struct td_body *body);
void td_answer(struct td_engine *e, struct td_session *s,
               const struct td_frame *f, struct td_body *body);

/* Deadlines that have passed, and instances that are silent; returns when it is
 * to be called again. */
int64_t td_tasks_tick(struct td_engine *e);
void td_tasks_fini(struct td_engine *e);

/* deadlines.c: a heap of askings */
/* Room for one more; false: no memory. */
bool td_deadlines_reserve(struct td_serving *sv);
void td_deadlines_add(struct td_serving *sv, struct td_asking *asking);
void td_deadlines_remove(struct td_serving *sv, struct td_asking *asking);

#endif
