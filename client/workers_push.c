/* Work for the workers, and looking at them. */
#include "client/workers_internal.h"

#include <utlist.h>

/* ---- work for it ---- */

/* Those that were given before: done with at once. */
static void pass_duplicates(struct td_bus *b, struct td_bus_sub *sub,
                            const struct td_job *job)
{
    if (job->duplicates == 0)
        return;
    td_call_add(&sub->call.passed, job->duplicates);
    td_call_add(&sub->call.duplicates, job->duplicates);
    td_client_handled(&b->client, sub->csub, job->incarnation, job->duplicates,
                      job->duplicate_bytes);
}

/* With the pool's lock. */
static void splice(struct td_worker *w, struct td_slips *queue)
{
    if (!queue->head)
        return;
    *w->queue.tail = queue->head;
    w->queue.tail = queue->tail;
    if (w->idle)
        td_worker_wake(w);
}

static void append(struct td_pool *pool, struct td_job *job)
{
    DL_APPEND(pool->jobs, job);
    if (!pool->at)
        pool->at = job;
}

static void add_job(struct td_pool *pool, struct td_job *job)
{
    struct td_slips queues[TD_WORKERS_MAX];
    uint64_t dealt;

    for (unsigned i = 0; i < pool->len; i++)
        queues[i] = (struct td_slips){NULL, &queues[i].head};
    dealt = td_job_deal(job, queues, pool->len);
    pthread_mutex_lock(&pool->lock);
    append(pool, job);
    for (unsigned i = 0; dealt > 0 && i < pool->len; i++)
        splice(&pool->worker[i], &queues[i]);
    pool->waiting += job->left - dealt;
    td_pool_wake(pool, job->left - dealt);
    pthread_mutex_unlock(&pool->lock);
}

bool td_pool_push(struct td_bus *b, struct td_bus_sub *sub,
                  struct td_message *m, const struct td_delivery *d)
{
    struct td_pool *pool = sub->pool;
    struct td_job *job;
    tidings_err err = td_job_new(&job, sub, m, d, pool->keyed, pool->tables);

    if (err == TIDINGS_ENOMEM)
        return false;
    if (err) { /* whoever sent this breaks the rules everywhere */
        td_client_break(&b->client, "the broker sent a malformed batch");
        return true;
    }
    job->incarnation = b->client.incarnation;
    sub->arrived += d->events;
    pass_duplicates(b, sub, job);
    b->waiting_events += job->left;
    pool->untold += job->left;
    if (job->left > 0)
        add_job(pool, job);
    else
        td_job_free(job);
    return true;
}

void td_pool_gap(struct td_pool *pool, const struct td_gap *gap)
{
    struct td_job *job = td_job_gap(gap);

    if (!job)
        return; /* it is news, not state: tidings_sub_info() has that */
    pthread_mutex_lock(&pool->lock);
    append(pool, job);
    td_pool_wake(pool, 1);
    pthread_mutex_unlock(&pool->lock);
}

/* ---- looking at it ---- */

unsigned td_pool_busy(struct td_pool *pool)
{
    unsigned busy;

    pthread_mutex_lock(&pool->lock);
    busy = pool->busy;
    pthread_mutex_unlock(&pool->lock);
    return busy;
}

/* The lock is not let go in between: what a worker is done with, and says then,
 * would be with nobody, and given back. */
unsigned td_pool_at(struct td_pool *pool, uint64_t incarnation,
                    struct td_at *at)
{
    unsigned len = 0;

    pthread_mutex_lock(&pool->lock);
    td_pool_settle_locked(pool);
    for (unsigned i = 0; i < pool->len; i++)
        len += td_call_look(&pool->worker[i].call, incarnation, &at[len]);
    pthread_mutex_unlock(&pool->lock);
    return len;
}

static bool is_late(struct td_worker *w, int64_t now_ms, int64_t wait_ms)
{
    return td_watch(&w->watch, w->work == TD_WORK_NONE,
                    td_call_get(&w->call.passed), now_ms) >= wait_ms;
}

/* One that is late keeps the events of its keys, or what comes after a gap; and
 * all of them keep the rest. */
bool td_pool_is_stuck(struct td_pool *pool, int64_t now_ms, int64_t wait_ms)
{
    bool stuck = false;
    unsigned late = 0;

    pthread_mutex_lock(&pool->lock);
    for (unsigned i = 0; i < pool->len; i++) {
        struct td_worker *w = &pool->worker[i];

        if (!is_late(w, now_ms, wait_ms))
            continue;
        stuck = stuck || w->queue.head || w->work == TD_WORK_GAP;
        late++;
    }
    pthread_mutex_unlock(&pool->lock);
    return stuck || (late > 0 && late == pool->len);
}

void td_pool_progress(struct td_pool *pool, uint64_t tag, int64_t now_ms)
{
    pthread_mutex_lock(&pool->lock);
    for (unsigned i = 0; i < pool->len; i++) {
        if (td_call_get(&pool->worker[i].call.tag) == tag)
            pool->worker[i].watch.ms = now_ms;
    }
    pthread_mutex_unlock(&pool->lock);
}

static bool rests(struct td_pool *pool)
{
    bool rests;

    pthread_mutex_lock(&pool->lock);
    rests = pool->busy == 0 && !pool->news &&
            (!pool->jobs || atomic_load(&pool->sub->ended));
    pthread_mutex_unlock(&pool->lock);
    return rests;
}

bool td_pools_rest(struct td_bus *b)
{
    struct td_bus_sub *sub;
    struct td_pool *pool;

    DL_FOREACH(b->subs, sub)
    {
        if (sub->pool && !rests(sub->pool))
            return false;
    }
    DL_FOREACH(b->retired, pool)
    {
        if (!rests(pool))
            return false;
    }
    return true;
}

struct td_call *td_pool_call(struct td_pool *pool, unsigned i)
{
    return i < pool->len ? &pool->worker[i].call : NULL;
}
