/* Transactions and answers: what all stores share. */
#include "broker/store/store.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "broker/store/job.h"

#define OPS_FIRST 8u

/* ---- jobs ---- */

void td_store_jobs_push(struct td_store_jobs *jobs, struct td_store_job *job)
{
    job->next = NULL;
    if (jobs->head)
        jobs->last->next = job;
    else
        jobs->head = job;
    jobs->last = job;
}

struct td_store_job *td_store_jobs_pop(struct td_store_jobs *jobs)
{
    struct td_store_job *job = jobs->head;

    if (job) {
        jobs->head = job->next;
        job->next = NULL;
    }
    return job;
}

void td_store_jobs_join(struct td_store_jobs *jobs, struct td_store_jobs *more)
{
    if (!more->head)
        return;
    if (jobs->head)
        jobs->last->next = more->head;
    else
        jobs->head = more->head;
    jobs->last = more->last;
    more->head = NULL;
}

void td_store_jobs_free(struct td_store_jobs *jobs)
{
    struct td_store_job *job;

    while ((job = td_store_jobs_pop(jobs)))
        td_store_answer_free(&job->answer);
}

uint32_t td_store_jobs_length(const struct td_store_jobs *jobs)
{
    uint32_t len = 0;

    for (const struct td_store_job *job = jobs->head; job; job = job->next)
        len++;
    return len;
}

uint64_t td_store_jobs_settle(struct td_store_jobs *group, tidings_err err,
                              enum td_level level)
{
    uint64_t count = 0;

    for (struct td_store_job *job = group->head; job; job = job->next) {
        job->answer.err = err;
        job->answer.level = err ? 0 : level;
        td_txn_fini(&job->txn);
        count++;
    }
    return count;
}

enum td_level td_store_jobs_level(const struct td_store_jobs *group)
{
    enum td_level level = TD_LEVEL_OS; /* memory is the engine's alone */

    for (const struct td_store_job *job = group->head; job; job = job->next) {
        if (job->txn.level > level)
            level = job->txn.level;
    }
    return level;
}

/* ---- failing in order ---- */

void td_store_episode_begin(struct td_store_episode *e,
                            struct td_store_jobs *group, tidings_err err)
{
    group->head->first = true;
    *e = (struct td_store_episode){.err = err};
}

void td_store_episode_drain(struct td_store_episode *e,
                            struct td_store_jobs *submitted,
                            struct td_store_jobs *failed)
{
    while (e->err && submitted->head) {
        if (e->taken && submitted->head->order > e->valid_after)
            e->err = TIDINGS_OK;
        else
            td_store_jobs_push(failed, td_store_jobs_pop(submitted));
    }
}

void td_store_episode_taken(struct td_store_episode *e,
                            const struct td_store_job *job,
                            uint64_t submissions)
{
    if (!job->first)
        return;
    e->taken = true;
    e->valid_after = submissions;
}

/* ---- one job ---- */

struct td_store_job *td_store_job_write(struct td_txn *txn, uint64_t ticket)
{
    struct td_store_job *job = txn->job;

    assert(job && txn->len > 0 && !txn->failed);
    txn->job = NULL;
    job->txn = *txn;
    job->answer.kind = TD_STORE_WRITTEN;
    job->answer.ticket = ticket;
    memset(txn, 0, sizeof(*txn));
    return job;
}

struct td_store_job *td_store_job_read(struct td_str from, struct td_str to,
                                       bool backwards, uint32_t records,
                                       size_t bytes, uint64_t ticket)
{
    struct td_store_job *job = calloc(1, sizeof(*job) + from.len + to.len);

    if (!job)
        return NULL;
    job->answer.kind = TD_STORE_READ;
    job->answer.ticket = ticket;
    if (from.len)
        memcpy(job->keys, from.data, from.len);
    if (to.len)
        memcpy(job->keys + from.len, to.data, to.len);
    job->from = (struct td_str){job->keys, from.len};
    job->to = (struct td_str){job->keys + from.len, to.len};
    job->records_max = records;
    job->bytes_max = bytes;
    job->backwards = backwards;
    return job;
}

struct td_record *td_store_job_record(struct td_store_job *job)
{
    struct td_store_answer *answer = &job->answer;
    uint32_t len = answer->records_len;
    struct td_record *records = answer->records;

    if ((len & (len - 1)) == 0) { /* full: it grows from 2^n to 2^(n + 1) */
        records =
            realloc(records, (len ? 2 * (size_t)len : 1) * sizeof(*records));
        if (!records)
            return NULL;
        answer->records = records;
    }
    answer->records_len++;
    memset(&records[len], 0, sizeof(records[len]));
    return &records[len];
}

struct td_str td_store_op_key(const struct td_txn *txn,
                              const struct td_store_op *op)
{
    return (struct td_str){(const char *)txn->arena.data + op->key,
                           op->key_len};
}

struct td_str td_store_op_value(const struct td_txn *txn,
                                const struct td_store_op *op)
{
    return (struct td_str){(const char *)txn->arena.data + op->value,
                           op->value_len};
}

struct td_str td_store_begin(struct td_str from)
{
    if (from.len == 0 || from.data[0] == '\0')
        return (struct td_str){"\1", 1};
    return from;
}

int td_store_compare(struct td_str a, struct td_str b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len ? memcmp(a.data, b.data, len) : 0;

    if (order)
        return order;
    return a.len < b.len ? -1 : a.len > b.len;
}

/* ---- transactions ---- */

/* Room for an operation; NULL, and failed, without memory. */
static struct td_store_op *op_new(struct td_txn *txn)
{
    if (txn->failed)
        return NULL;
    if (!txn->job)
        txn->job = calloc(1, sizeof(*txn->job));
    if (!txn->job)
        goto failed;
    if (txn->len == txn->cap) {
        uint32_t cap = txn->cap ? 2 * txn->cap : OPS_FIRST;
        struct td_store_op *ops = realloc(txn->ops, cap * sizeof(*ops));

        if (!ops)
            goto failed;
        txn->ops = ops;
        txn->cap = cap;
    }
    return memset(&txn->ops[txn->len], 0, sizeof(*txn->ops));

failed:
    txn->failed = true;
    return NULL;
}

static void add(struct td_txn *txn, enum td_op_kind kind, struct td_str key,
                struct td_str value, struct td_body *body, size_t offset,
                size_t len)
{
    struct td_store_op *op = op_new(txn);

    assert(key.len > 0 && key.len <= TD_STORE_KEY_BYTES_MAX && key.data[0]);
    assert(!body || (offset <= body->len && len <= body->len - offset));
    if (!op)
        return;
    op->kind = kind;
    op->key = (uint32_t)txn->arena.len;
    op->key_len = (uint32_t)key.len;
    op->value = op->key + op->key_len;
    op->value_len = (uint32_t)value.len;
    if (!td_buf_reserve(&txn->arena, key.len + value.len)) {
        txn->failed = true;
        return;
    }
    td_buf_append(&txn->arena, key.data, key.len);
    td_buf_append(&txn->arena, value.data, value.len);
    if (body && len) {
        op->body = td_body_ref(body);
        op->offset = offset;
        op->len = len;
    }
    txn->len++;
}

void td_txn_put(struct td_txn *txn, struct td_str key, struct td_str value,
                struct td_body *body, size_t offset, size_t len)
{
    add(txn, TD_STORE_PUT, key, value, body, offset, len);
}

void td_txn_delete(struct td_txn *txn, struct td_str key)
{
    add(txn, TD_STORE_DELETE, key, (struct td_str){NULL, 0}, NULL, 0, 0);
}

void td_txn_delete_range(struct td_txn *txn, struct td_str from,
                         struct td_str to)
{
    add(txn, TD_STORE_DELETE_RANGE, from, to, NULL, 0, 0);
}

void td_txn_raise(struct td_txn *txn, enum td_level level)
{
    if (level > txn->level)
        txn->level = level;
}

void td_txn_fini(struct td_txn *txn)
{
    for (uint32_t i = 0; i < txn->len; i++)
        td_body_unref(txn->ops[i].body);
    free(txn->ops);
    free(txn->job);
    td_buf_fini(&txn->arena);
    memset(txn, 0, sizeof(*txn));
}

void td_store_answer_free(struct td_store_answer *answer)
{
    struct td_store_job *job = (struct td_store_job *)answer; /* its first */

    if (!job)
        return;
    td_txn_fini(&job->txn);
    td_body_unref(answer->bytes);
    free(answer->records);
    free(job);
}
