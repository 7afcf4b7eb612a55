/* The owner's side of the store: jobs in, answers out. */
#include "broker/store/lmdb_store.h"

#include <assert.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

static struct td_lmdb *of(const struct td_store *store)
{
    return (struct td_lmdb *)store; /* its first member */
}

/* ---- in ---- */

static void lmdb_submit(struct td_store *store, struct td_txn *txn,
                        uint64_t ticket)
{
    struct td_lmdb *s = of(store);
    struct td_store_job *job = td_store_job_write(txn, ticket);

    pthread_mutex_lock(&s->lock);
    job->order = ++s->submissions;
    td_store_jobs_push(&s->submitted, job);
    pthread_cond_signal(&s->submitted_cond);
    pthread_mutex_unlock(&s->lock);
}

static bool lmdb_read(struct td_store *store, struct td_str from,
                      struct td_str to, bool backwards, uint32_t records,
                      size_t bytes, uint64_t ticket)
{
    struct td_lmdb *s = of(store);
    struct td_store_job *job = td_store_job_read(
        td_store_begin(from), to, backwards, records, bytes, ticket);

    if (!job)
        return false;
    pthread_mutex_lock(&s->lock);
    td_store_jobs_push(&s->asked, job);
    pthread_cond_signal(&s->asked_cond);
    pthread_mutex_unlock(&s->lock);
    return true;
}

/* ---- out ---- */

void td_lmdb_answer(struct td_lmdb *s, struct td_store_jobs *jobs)
{
    uint64_t one = 1;
    bool was_empty;

    if (!jobs->head)
        return;
    pthread_mutex_lock(&s->lock);
    was_empty = !s->answers.head;
    td_store_jobs_join(&s->answers, jobs);
    if (was_empty) {
        ssize_t n = write(s->event_fd, &one, sizeof(one));

        assert(n == sizeof(one)); /* it was 0 */
        (void)n;
    }
    pthread_mutex_unlock(&s->lock);
}

static struct td_store_answer *lmdb_next(struct td_store *store)
{
    struct td_lmdb *s = of(store);
    struct td_store_job *job;
    uint64_t count;

    pthread_mutex_lock(&s->lock);
    job = td_store_jobs_pop(&s->answers);
    if (job && !s->answers.head) {
        ssize_t n = read(s->event_fd, &count, sizeof(count));

        assert(n == sizeof(count)); /* set when the first one came */
        (void)n;
    }
    if (job)
        td_store_episode_taken(&s->episode, job, s->submissions);
    pthread_mutex_unlock(&s->lock);
    return job ? &job->answer : NULL;
}

static int lmdb_fd(const struct td_store *store)
{
    return of(store)->event_fd;
}

static void lmdb_info(const struct td_store *store, struct td_store_info *out)
{
    struct td_lmdb *s = of(store);

    pthread_mutex_lock(&s->lock);
    *out = s->info;
    out->failed = out->failed || s->torn;
    pthread_mutex_unlock(&s->lock);
}

/* ---- the end ---- */

/* All that was committed is synced, and said to be. A store that has failed,
 * or has left something in the log, leaves no mark: it is checked when it is
 * opened next. */
static void leave(struct td_lmdb *s)
{
    MDB_envinfo info;

    if (s->info.failed || s->torn || s->info.checking ||
        td_lmdb_log_bytes(s) > 0 || mdb_env_sync(s->env, 1) != 0)
        return;
    mdb_env_info(s->env, &info);
    td_lock_mark_clean(s->dir_lock, info.me_last_txnid, td_lmdb_meta_hash(s));
}

static void lmdb_close(struct td_store *store)
{
    struct td_lmdb *s = of(store);

    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_cond_signal(&s->submitted_cond);
    pthread_cond_signal(&s->asked_cond);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->writer, NULL);
    pthread_join(s->reader, NULL);
    if (!s->abandoned)
        leave(s);
    td_store_jobs_free(&s->asked);
    td_store_jobs_free(&s->answers);
    td_lmdb_free(s);
}

const struct td_store_face td_lmdb_face = {
    .submit = lmdb_submit,
    .read = lmdb_read,
    .next = lmdb_next,
    .fd = lmdb_fd,
    .info = lmdb_info,
    .close = lmdb_close,
};
