/* The model as a store. */
#include "broker/store/model_inside.h"

static struct td_opened *of(const struct td_store *store)
{
    return (struct td_opened *)store; /* its first member */
}

static void model_submit(struct td_store *store, struct td_txn *txn,
                         uint64_t ticket)
{
    struct td_opened *o = of(store);
    struct td_store_job *job = td_store_job_write(txn, ticket);

    job->order = ++o->submissions;
    td_store_jobs_push(&o->submitted, job);
}

static bool model_read(struct td_store *store, struct td_str from,
                       struct td_str to, bool backwards, uint32_t records,
                       size_t bytes, uint64_t ticket)
{
    struct td_store_job *job = td_store_job_read(
        td_store_begin(from), to, backwards, records, bytes, ticket);

    if (job)
        td_store_jobs_push(&of(store)->asked, job);
    return job != NULL;
}

static struct td_store_answer *model_next(struct td_store *store)
{
    struct td_opened *o = of(store);
    struct td_store_job *job;

    if (!o->answers.head && o->model->auto_group) {
        td_model_commit(o->model, o->model->auto_group);
        td_model_serve(o->model, UINT32_MAX);
    }
    job = td_store_jobs_pop(&o->answers);
    if (!job)
        return NULL;
    td_store_episode_taken(&o->episode, job, o->submissions);
    return &job->answer;
}

static int model_fd(const struct td_store *store)
{
    (void)store;
    return -1;
}

static void model_info(const struct td_store *store, struct td_store_info *out)
{
    const struct td_opened *o = of(store);
    const struct td_model *m = o->model;
    uint64_t used = m->current->map.bytes;

    *out = m->info;
    out->failed = o->failed;
    out->used_bytes = used;
    out->file_bytes = used;
    out->left_bytes = UINT64_MAX / 2;
    if (m->limit)
        out->left_bytes = used < m->limit ? m->limit - used : 0;
    out->free_bytes =
        out->left_bytes > m->reserve ? out->left_bytes - m->reserve : 0;
    out->reserve_bytes = m->reserve;
}

static void model_close(struct td_store *store)
{
    struct td_model *m = of(store)->model;

    while (td_model_commit(m, UINT32_MAX) > 0)
        ;
    if (!of(store)->failed) {
        td_snapshot_become(&m->synced, td_snapshot_ref(m->current));
        td_model_loose_free(m);
        m->was_open = false;
    }
    td_model_gone(m);
}

const struct td_store_face td_model_face = {
    .submit = model_submit,
    .read = model_read,
    .next = model_next,
    .fd = model_fd,
    .info = model_info,
    .close = model_close,
};
