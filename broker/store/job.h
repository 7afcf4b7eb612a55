/* What a store works off: a submission or a read, which becomes its own
 * answer. Shared by the stores; nothing of it is the engine's. */
#ifndef TD_STORE_JOB_H
#define TD_STORE_JOB_H

#include "broker/store/store.h"

struct td_store_job {
    struct td_store_answer answer; /* first: freed through it */
    struct td_store_job *next;
    struct td_txn txn;  /* written: what is to be */
    uint64_t order;     /* of submission, from 1 */
    bool first;         /* of those that one failure ended */
    struct td_str from; /* read: borrowed from keys */
    struct td_str to;
    size_t bytes_max;
    uint32_t records_max;
    bool backwards;
    char keys[];
};

/* Jobs in order; zeroed is empty. */
struct td_store_jobs {
    struct td_store_job *head;
    struct td_store_job *last;
};

void td_store_jobs_push(struct td_store_jobs *jobs, struct td_store_job *job);
struct td_store_job *td_store_jobs_pop(struct td_store_jobs *jobs);
/* All of more behind jobs; more is empty then. */
void td_store_jobs_join(struct td_store_jobs *jobs, struct td_store_jobs *more);
uint32_t td_store_jobs_length(const struct td_store_jobs *jobs);
void td_store_jobs_free(struct td_store_jobs *jobs);

/* From a commit that failed until its owner knows: what it submits before that
 * builds on what is not there, and fails too. */
struct td_store_episode {
    tidings_err err;      /* OK: none */
    bool taken;           /* the owner knows … */
    uint64_t valid_after; /* … and nothing up to this submission counts */
};

/* A group has failed: all its answers say so. */
void td_store_episode_begin(struct td_store_episode *e,
                            struct td_store_jobs *group, tidings_err err);

/* Moves what fails with it from submitted to failed, and ends it before the
 * first that does not. */
void td_store_episode_drain(struct td_store_episode *e,
                            struct td_store_jobs *submitted,
                            struct td_store_jobs *failed);

/* The owner takes an answer; so many it has submitted. */
void td_store_episode_taken(struct td_store_episode *e,
                            const struct td_store_job *job,
                            uint64_t submissions);

/* What all answers of a group say; its transactions are over. How many. */
uint64_t td_store_jobs_settle(struct td_store_jobs *group, tidings_err err,
                              enum td_level level);

/* The level that a group is committed at: the highest asked for in it. */
enum td_level td_store_jobs_level(const struct td_store_jobs *group);

/* The job of a transaction, which is empty then. */
struct td_store_job *td_store_job_write(struct td_txn *txn, uint64_t ticket);

/* NULL without memory. */
struct td_store_job *td_store_job_read(struct td_str from, struct td_str to,
                                       bool backwards, uint32_t records,
                                       size_t bytes, uint64_t ticket);

/* Room for one more record of a read, whose key and value the caller borrows
 * to it; NULL without memory. */
struct td_record *td_store_job_record(struct td_store_job *job);

/* What an operation is about. */
struct td_str td_store_op_key(const struct td_txn *txn,
                              const struct td_store_op *op);
struct td_str td_store_op_value(const struct td_txn *txn,
                                const struct td_store_op *op);

/* The begin of a range, behind what is the store's own. */
struct td_str td_store_begin(struct td_str from);

/* As memcmp(), the shorter first. */
int td_store_compare(struct td_str a, struct td_str b);

#endif
