/* Events that wait for their time: PROTOCOL.md 10.4.
 *
 *   publish.c -> schedule.c: a row each ──> commit.c ──> dues: it waits
 *                                                          │
 *   schedule_fire.c: read when it is due, published and its row deleted in
 *   one transaction; call_schedule.c: its row deleted ─────┘
 *
 * In memory there are only times and numbers. What is in dues is written, and
 * nothing else is being done with it: so that an event is published, or
 * cancelled, and never both. */
#ifndef TD_SCHEDULE_H
#define TD_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/engine/due.h"
#include "broker/engine/fifo.h"
#include "proto/batch.h"
#include "proto/body.h"
#include "tidings/err.h"

struct td_engine;
struct td_read;
struct td_session;
struct td_stream;

enum td_going_where { TD_GOING_IN, TD_GOING_OUT, TD_GOING_CANCELLED };

/* One whose transaction was not answered yet. */
struct td_going {
    uint64_t ticket;
    enum td_going_where where;
    struct td_due due;
};

struct td_schedule {
    struct td_dues dues;
    struct td_fifo going; /* td_going */
    uint64_t next;        /* the number that comes next */
    uint64_t late;        /* of dues: were refused when they were due */
    struct td_read *read; /* of what is due … */
    uint64_t reading;     /* … from this number on */
    int64_t failed_ms;    /* a read failed: none is asked before then */
    uint64_t accepted;    /* since the start … */
    uint64_t published;
    uint64_t cancelled;
    uint64_t unstored; /* of those published: no stream took them */
};

/* The name under which scheduled events are confirmed; no stream. */
extern const struct td_stream td_schedule_stream;

/* schedule.c */
void td_schedule_init(struct td_schedule *s);
void td_schedule_fini(struct td_schedule *s);
/* All of a batch, or nothing; what becomes of it is confirmed. */
void td_schedule_accept(struct td_engine *e, struct td_session *s,
                        const struct td_batch *batch, struct td_body *body,
                        size_t offset, unsigned level, int64_t due_ms);
/* A batch that had been accepted before. */
void td_schedule_again(struct td_engine *e, struct td_session *s,
                       const struct td_batch *batch, struct td_body *body,
                       size_t offset, unsigned level);
/* One that waits is going out with this turn's transaction. False: no memory,
 * and it waits. */
bool td_schedule_leave(struct td_engine *e, const struct td_due *due,
                       enum td_going_where where);
/* How many wait: those whose leaving is not written yet too. */
uint64_t td_schedule_waiting(const struct td_schedule *s);
/* As it is in the store. False: no memory. */
bool td_schedule_load(struct td_engine *e, int64_t due_ms, uint64_t number);
void td_schedule_written(struct td_engine *e, uint64_t ticket);
/* What was not written waits on, or never came. */
void td_schedule_take_back(struct td_engine *e);

/* schedule_fire.c */
/* Publishes what is due; returns when to look again. */
int64_t td_schedule_tick(struct td_engine *e);

#endif
