#include "client/workers.h"

#include "client/detail.h"
#include "client/workers_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <utlist.h>

static _Thread_local const struct td_pool *pool_of_thread;

const struct td_pool *td_pool_of_thread(const struct td_bus *b)
{
    return pool_of_thread && pool_of_thread->bus == b ? pool_of_thread : NULL;
}

/* ---- telling the bus ---- */

/* Room runs out, or there are failures, which others wait for. */
static bool is_urgent(const struct td_pool *pool)
{
    const struct td_outcomes *o = pool->outcomes;

    return !td_outcomes_room(o, TD_WORKER_OUTCOMES) ||
           (o->len > 0 && o->row[o->len - 1].verb != TD_ACK);
}

/* A quarter of the window: the broker is to hear of it before it runs out. */
static bool is_much(const struct td_pool *pool)
{
    return (pool->outcomes && is_urgent(pool)) ||
           pool->done.credit_events >= pool->window_events / 4 ||
           pool->done.credit_bytes >= pool->window_bytes / 4;
}

void td_pool_settle_locked(struct td_pool *pool)
{
    if (pool->outcomes)
        td_bus_settle(pool->bus, pool->sub, pool->outcomes_of, pool->outcomes);
}

void td_pool_settle(struct td_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    td_pool_settle_locked(pool);
    pthread_mutex_unlock(&pool->lock);
}

/* With the bus's lock. */
static void add_totals(struct td_pool *pool, const struct td_done *done)
{
    struct td_bus *b = pool->bus;
    struct td_bus_sub *sub = pool->sub;

    b->delivered += done->calls;
    b->failed += done->failed;
    if (!pool->retired) {
        pool->untold -= done->events;
        b->waiting_events -= done->events;
    }
    if (sub->durable)
        td_client_send_settled(&b->client);
    else if (sub->csub && done->credit_events > 0)
        td_client_handled(&b->client, sub->csub, done->incarnation,
                          done->credit_events, done->credit_bytes);
}

static void free_dead(struct td_job *dead)
{
    while (dead) {
        struct td_job *next = dead->next;

        td_job_free(dead);
        dead = next;
    }
}

/* With both locks. */
static void pace(struct td_pool *pool, int64_t now_us)
{
    struct td_csub *csub = pool->sub->csub;

    if (!csub || !pool->outcomes)
        return;
    td_client_pace(&pool->bus->client, csub, now_us / 1000);
    pool->window_events = csub->window_events;
}

/* With the pool's lock, which is let go meanwhile. */
static void tell_bus(struct td_pool *pool, int64_t now_us)
{
    struct td_bus *b = pool->bus;
    struct td_job *dead;
    struct td_done done;

    pool->told_us = now_us;
    pthread_mutex_unlock(&pool->lock);
    pthread_mutex_lock(b->lock);
    pthread_mutex_lock(&pool->lock);
    td_pool_settle_locked(pool);
    pace(pool, now_us);
    done = pool->done;
    memset(&pool->done, 0, sizeof(pool->done));
    dead = pool->dead;
    pool->dead = NULL;
    pool->news = false;
    pthread_mutex_unlock(&pool->lock);
    td_give_back_parked(b, pool->sub);
    add_totals(pool, &done);
    td_bus_touched(b);
    td_bus_changed(b);
    pthread_mutex_unlock(b->lock);
    free_dead(dead);
    pthread_mutex_lock(&pool->lock);
}

/* ---- the threads ---- */

static void wait_for_work(struct td_worker *w)
{
    struct td_pool *pool = w->pool;

    w->idle = true;
    pool->idle++;
    while (w->idle && !pool->ending)
        pthread_cond_wait(&w->wake, &pool->lock);
    if (w->idle)
        pool->idle--;
    w->idle = false;
}

void td_worker_wake(struct td_worker *w)
{
    w->idle = false;
    w->pool->idle--;
    pthread_cond_signal(&w->wake);
}

void td_pool_wake(struct td_pool *pool, uint64_t events)
{
    for (unsigned i = 0; i < pool->len && pool->idle > 0 && events > 0; i++) {
        if (pool->worker[i].idle) {
            td_worker_wake(&pool->worker[i]);
            events--;
        }
    }
}

static void do_some(struct td_worker *w)
{
    struct td_pool *pool = w->pool;

    pthread_mutex_unlock(&pool->lock);
    td_worker_do(w);
    pthread_mutex_lock(&pool->lock);
    while (w->outcomes && !td_outcomes_room(pool->outcomes, w->outcomes->len))
        tell_bus(pool, w->call.now_us); /* others have filled it */
    td_worker_say(w);
}

static void work_once(struct td_worker *w)
{
    struct td_pool *pool = w->pool;
    bool was_gap = w->work == TD_WORK_GAP;

    pool->busy++;
    do_some(w);
    while (w->more) {
        tell_bus(pool, w->call.now_us);
        do_some(w);
    }
    pool->busy--;
    td_worker_finish(w);
    if (was_gap && pool->at) /* others may have stopped at the next gap */
        td_pool_wake(pool, pool->waiting + 1);
    if (is_much(pool) || w->call.now_us - pool->told_us >= TD_SECTION_MS * 1000)
        tell_bus(pool, w->call.now_us);
}

static void *worker_main(void *arg)
{
    struct td_worker *w = arg;
    struct td_pool *pool = w->pool;

    prctl(PR_SET_NAME, "tidings-worker");
    pool_of_thread = pool;
    pthread_mutex_lock(&pool->lock);
    while (!pool->ending) {
        if (td_worker_take(w))
            work_once(w);
        else if (pool->news)
            tell_bus(pool, w->call.now_us);
        else
            wait_for_work(w);
    }
    if (pool->news) /* somebody may wait for us to come out */
        tell_bus(pool, w->call.now_us);
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* ---- the pool ---- */

static struct td_pool *pool_alloc(struct td_bus *b, struct td_bus_sub *sub,
                                  const struct tidings_sub_options *o)
{
    struct td_pool *pool =
        calloc(1, sizeof(*pool) + o->workers * sizeof(struct td_worker));

    if (!pool)
        return NULL;
    pool->tables = malloc(sizeof(*pool->tables));
    if (sub->durable)
        pool->outcomes = calloc(o->workers + 1, sizeof(*pool->outcomes));
    if (!pool->tables || (sub->durable && !pool->outcomes)) {
        free(pool->outcomes);
        free(pool->tables);
        free(pool);
        return NULL;
    }
    pool->bus = b;
    pool->sub = td_bus_sub_ref(sub);
    pool->keyed = o->order == TIDINGS_KEY_ORDER;
    pool->window_events = o->window_events ? o->window_events
                          : sub->durable   ? td_client_window_min(o->workers)
                                           : TD_WINDOW_EVENTS;
    pool->window_bytes = o->window_bytes ? o->window_bytes : TD_WINDOW_BYTES;
    pthread_mutex_init(&pool->lock, NULL);
    return pool;
}

/* Its threads have ended. */
static void pool_free(struct td_pool *pool)
{
    struct td_job *job;
    struct td_job *next;

    DL_FOREACH_SAFE(pool->jobs, job, next)
    {
        td_job_free(job);
    }
    free_dead(pool->dead);
    for (unsigned i = 0; i < pool->len; i++) {
        td_view_fini(&pool->worker[i].view);
        pthread_cond_destroy(&pool->worker[i].wake);
    }
    pthread_mutex_destroy(&pool->lock);
    free(pool->tables);
    free(pool->outcomes);
    free(pool);
}

static bool start_worker(struct td_pool *pool, unsigned i)
{
    struct td_worker *w = &pool->worker[i];

    w->pool = pool;
    w->outcomes = pool->outcomes ? &pool->outcomes[i + 1] : NULL;
    w->here.outcomes = w->outcomes;
    w->queue.tail = &w->queue.head;
    pthread_cond_init(&w->wake, NULL);
    if (td_thread_start(&w->thread, worker_main, w))
        return true;
    pthread_cond_destroy(&w->wake);
    return false;
}

tidings_err td_pool_new(struct td_bus *b, struct td_bus_sub *sub,
                        const struct tidings_sub_options *options)
{
    struct td_pool *pool = pool_alloc(b, sub, options);
    unsigned started;

    if (!pool)
        return TIDINGS_ENOMEM;
    sub->pool = pool;
    b->has_workers = true;
    pthread_mutex_lock(&pool->lock); /* they begin when all are there */
    while (pool->len < options->workers && start_worker(pool, pool->len))
        pool->len++;
    started = pool->len;
    pthread_mutex_unlock(&pool->lock);
    if (started == options->workers)
        return TIDINGS_OK;
    return td_fail(TIDINGS_EIO,
                   "no more than %u of %u workers could be started", started,
                   options->workers);
}

void td_pool_retire(struct td_bus *b, struct td_bus_sub *sub)
{
    struct td_pool *pool = sub->pool;

    if (!pool || pool->retired)
        return;
    pool->retired = true;
    b->waiting_events -= pool->untold;
    pool->untold = 0;
    DL_APPEND(b->retired, pool);
    pthread_mutex_lock(&pool->lock);
    pool->ending = true;
    for (unsigned i = 0; i < pool->len; i++)
        pthread_cond_signal(&pool->worker[i].wake);
    pthread_mutex_unlock(&pool->lock);
}

static void join_and_free(struct td_bus *b, struct td_pool *pool)
{
    pthread_mutex_unlock(b->lock);
    for (unsigned i = 0; i < pool->len; i++)
        pthread_join(pool->worker[i].thread, NULL);
    pthread_mutex_lock(b->lock);
    pool->sub->pool = NULL;
    td_bus_sub_unref(pool->sub);
    pool_free(pool);
}

void td_pools_reap(struct td_bus *b, bool all)
{
    struct td_pool *pool = b->retired;

    b->users++; /* the bus stays */
    while (pool) {
        if (!all && td_pool_busy(pool) > 0) {
            pool = pool->next;
            continue;
        }
        DL_DELETE(b->retired, pool);
        join_and_free(b, pool);
        pool = b->retired; /* another list by now */
    }
    b->users--;
    td_bus_changed(b);
}
