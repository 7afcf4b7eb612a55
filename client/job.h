/* A delivery for workers: its table read once, its events handed out in
 * pieces. Pure; the pool guards it. */
#ifndef TD_JOB_H
#define TD_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "client/link.h"
#include "client/session.h"
#include "client/sub.h"
#include "proto/batch.h"

/* Events of one type with consecutive sequences. */
struct td_job_run {
    struct td_str type; /* in the message, like all that follows */
    struct td_str source;
    const char *producer;
    int64_t base_us;
    uint64_t first;     /* sequence of the next event … */
    uint64_t tag;       /* … and its number in the subscription */
    uint32_t count;     /* events from there on */
    bool keyed;         /* each has a key, and waits for the worker of that */
    uint32_t flags;     /* enum td_run_flag */
    const uint8_t *p;   /* the next event */
    const uint8_t *end; /* of the run */
};

/* Some of a run, next to one another. */
struct td_piece {
    struct td_job *job;
    const struct td_job_run *run;
    uint64_t first;
    uint64_t tag;
    uint32_t count;
    const uint8_t *p;
    const uint8_t *end;
};

/* One event with a key, in the queue of its worker. */
struct td_slip {
    struct td_slip *next;
    struct td_piece piece; /* of that one event */
};

struct td_slips {
    struct td_slip *head;
    struct td_slip **tail;
};

struct td_job {
    struct td_job *prev;
    struct td_job *next;
    /* a delivery: */
    struct td_message *message;
    uint64_t incarnation; /* td_client's when it arrived */
    uint64_t tag;         /* of its first event */
    struct td_str spans;  /* of a stream: in the message */
    uint64_t left;        /* events not handled yet */
    uint64_t duplicates;  /* events left out: given before */
    uint64_t duplicate_bytes;
    uint32_t run; /* the next that is not handed out whole */
    uint32_t runs_len;
    struct td_job_run *runs;
    struct td_slip *slips;
    uint32_t slips_len;
    /* or, when message is NULL, a gap: */
    uint64_t missed;
    uint64_t first; /* struct td_gap */
    uint64_t last;
    char reason[32];
};

/**
 * A delivery as a job.
 *
 * @param keyed   events with a key wait for the worker of that key.
 * @param tables  memory to read the table into.
 * @return TIDINGS_OK, and the job has a reference to the message;
 *         TIDINGS_EPROTO: the table is malformed; TIDINGS_ENOMEM.
 */
tidings_err td_job_new(struct td_job **out, struct td_bus_sub *sub,
                       struct td_message *message, const struct td_delivery *d,
                       bool keyed, struct td_batches *tables);
/* NULL without memory. */
struct td_job *td_job_gap(const struct td_gap *gap);
void td_job_free(struct td_job *job);

/* Takes up to max events of those that any worker may handle; false: there are
 * no more in this job. */
bool td_job_cut(struct td_job *job, uint32_t max, struct td_piece *out);

/* Takes so many events off the end of a piece: fewer than it has, or all. */
struct td_piece td_piece_split(struct td_piece *piece, uint32_t take);

/* Puts the events with a key into the queues of their workers, once; returns
 * how many there are. */
uint64_t td_job_deal(struct td_job *job, struct td_slips *queues,
                     uint32_t workers);

#endif
