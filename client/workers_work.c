/* What a worker does: takes events, hands them to the handler, and says what
 * came of it. */
#include "client/workers_internal.h"

#include <utlist.h>

#define PIECE_MAX 16u /* events that a worker takes at once */

/* ---- taking work: with the pool's lock ---- */

/* Fewer when few wait, so that there is some for everyone. */
static uint32_t share(const struct td_pool *pool)
{
    uint64_t n = pool->waiting / pool->len;

    return n < 1 ? 1 : n > PIECE_MAX ? PIECE_MAX : (uint32_t)n;
}

static void begin_piece(struct td_worker *w, struct td_piece piece)
{
    w->work = TD_WORK_PIECE;
    w->piece = piece;
    w->at = piece.p;
    w->end = piece.end;
    atomic_store(&w->left, (int)piece.count);
}

static bool take_slips(struct td_worker *w)
{
    struct td_slip *last = w->queue.head;

    if (!last)
        return false;
    w->work = TD_WORK_SLIPS;
    w->slips = last;
    w->slips_len = 1;
    while (w->slips_len < PIECE_MAX && last->next) {
        last = last->next;
        w->slips_len++;
    }
    w->queue.head = last->next;
    if (!w->queue.head)
        w->queue.tail = &w->queue.head;
    return true;
}

/* The next of the jobs; a gap ends the search, until on_gap has returned. */
static bool take_next(struct td_worker *w)
{
    struct td_pool *pool = w->pool;
    struct td_piece piece;

    for (; pool->at; pool->at = pool->at->next) {
        if (!pool->at->message) {
            if (pool->in_gap)
                return false;
            pool->in_gap = true;
            w->work = TD_WORK_GAP;
            w->gap = pool->at;
            pool->at = pool->at->next;
            return true;
        }
        if (td_job_cut(pool->at, share(pool), &piece)) {
            pool->waiting -= piece.count;
            begin_piece(w, piece);
            return true;
        }
    }
    return false;
}

/* Half of what another has not begun. */
static bool rob(struct td_worker *w, struct td_worker *from)
{
    int left = atomic_load(&from->left);
    int take;

    do {
        if (left <= 0)
            return false;
        take = (left + 1) / 2;
    } while (!atomic_compare_exchange_weak(&from->left, &left, left - take));
    begin_piece(w, td_piece_split(&from->piece, (uint32_t)take));
    return true;
}

bool td_worker_take(struct td_worker *w)
{
    struct td_pool *pool = w->pool;

    w->handled = 0;
    w->calls = w->failed = 0;
    w->run = NULL;
    w->slip = NULL;
    if (atomic_load(&pool->sub->ended))
        return false;
    if (take_slips(w) || take_next(w))
        return true;
    for (unsigned i = 0; i < pool->len; i++) {
        if (rob(w, &pool->worker[i]))
            return true;
    }
    return false;
}

/* ---- doing it: without a lock ---- */

static void set_view(struct td_worker *w, const struct td_piece *piece)
{
    const struct td_job_run *run = piece->run;

    if (w->run != run) {
        td_view_batch(&w->view, run->source, run->base_us);
        td_view_run(&w->view, run->type, run->flags);
        w->run = run;
    }
    td_view_at(&w->view, run->producer, piece->first);
    if (!w->pool->sub->streamed)
        return;
    td_here_at(&w->here, w->pool->bus, w->pool->sub, piece->job->incarnation,
               piece->job->tag, piece->job->spans);
    w->here.tag = piece->tag;
}

static void handle_streamed(struct td_worker *w, tidings_err err)
{
    enum td_handled handled = TD_HANDLED_NOT;

    if (err)
        td_here_unreadable(&w->here, &w->call, &w->view, err);
    else
        handled = td_here_handle(&w->here, &w->call, &w->view, w->run->keyed);
    w->here.tag++;
    w->calls += handled != TD_HANDLED_NOT;
    w->failed += handled == TD_HANDLED_BADLY;
}

static void handle(struct td_worker *w, const uint8_t **p, const uint8_t *end)
{
    struct td_pool *pool = w->pool;
    tidings_err err = td_view_open(&w->view, p, end);

    if (pool->sub->streamed) {
        handle_streamed(w, err);
        return;
    }
    if (err) {
        td_call_unreadable(&w->call, pool->bus, pool->sub, &w->view, err);
        return;
    }
    if (td_view_is_expired(&w->view)) {
        td_call_expired(&w->call);
        return;
    }
    w->calls++;
    err = td_call_handler(&w->call, pool->sub, &w->view);
    if (err)
        w->failed +=
            td_call_failed(&w->call, pool->bus, pool->sub, &w->view, err);
}

static bool is_ended(const struct td_worker *w)
{
    return atomic_load_explicit(&w->pool->sub->ended, memory_order_acquire);
}

/* Handlers that take their time: what they have said is not to wait for those
 * that follow. */
static bool is_due(struct td_worker *w, int64_t end_us)
{
    w->more = w->outcomes && w->call.now_us >= end_us;
    return w->more;
}

/* The end of the piece moves when it is robbed: what is still ours lies before
 * the old one as well. */
static void do_piece(struct td_worker *w, int64_t end_us)
{
    while (!is_ended(w) && atomic_fetch_sub(&w->left, 1) > 0) {
        if (w->handled++ > 0)
            td_view_next(&w->view);
        else /* not before the first is ours: all may have been robbed */
            set_view(w, &w->piece);
        handle(w, &w->at, w->end);
        if (is_due(w, end_us))
            return;
    }
}

static void do_slips(struct td_worker *w, int64_t end_us)
{
    while (w->handled < w->slips_len && !is_ended(w)) {
        const struct td_slip *slip = w->slip ? w->slip->next : w->slips;
        const uint8_t *p = slip->piece.p;

        set_view(w, &slip->piece);
        for (uint32_t n = 0; n < slip->piece.count; n++) {
            if (n > 0) /* none after the first can be read */
                td_view_next(&w->view);
            handle(w, &p, slip->piece.end);
        }
        w->slip = slip;
        w->handled++;
        if (is_due(w, end_us))
            return;
    }
}

void td_worker_do(struct td_worker *w)
{
    struct td_bus_sub *sub = w->pool->sub;
    int64_t end_us;

    w->more = false;
    if (w->work == TD_WORK_GAP) {
        const struct tidings_gap gap = {w->gap->missed, w->gap->reason,
                                        w->gap->first, w->gap->last};

        if (!is_ended(w))
            sub->on_gap(sub->arg, &gap);
        return;
    }
    td_call_begin(&w->call);
    end_us = w->call.now_us + TD_SECTION_MS * 1000;
    if (sub->timeout_ms)
        td_bus_keep_unlocked(w->pool->bus,
                             w->call.now_us / 1000 + sub->timeout_ms);
    if (sub->streamed)
        td_here_enter(&w->here);
    if (w->work == TD_WORK_PIECE)
        do_piece(w, end_us);
    else
        do_slips(w, end_us);
    if (sub->streamed)
        td_here_leave(&w->here);
    td_call_end(&w->call, sub);
}

/* ---- what came of it: with the pool's lock ---- */

static void bury(struct td_pool *pool, struct td_job *job)
{
    if (pool->at == job)
        pool->at = job->next;
    DL_DELETE(pool->jobs, job);
    LL_PREPEND(pool->dead, job);
}

static void add_done(struct td_pool *pool, struct td_job *job, uint64_t events,
                     uint64_t bytes)
{
    struct td_done *d = &pool->done;

    d->events += events;
    if (d->incarnation != job->incarnation) { /* the older is worth nothing */
        if (d->incarnation < job->incarnation)
            d->credit_events = d->credit_bytes = 0;
        else
            events = bytes = 0;
    }
    d->incarnation =
        d->incarnation > job->incarnation ? d->incarnation : job->incarnation;
    d->credit_events += events;
    d->credit_bytes += bytes;
}

/* Those of a session that is over are worth nothing. */
static void add_outcomes(struct td_pool *pool, struct td_worker *w)
{
    uint64_t incarnation = w->here.incarnation;

    if (!w->outcomes || w->outcomes->len == 0)
        return;
    if (incarnation > pool->outcomes_of) {
        pool->outcomes->len = 0;
        pool->outcomes_of = incarnation;
    }
    if (incarnation < pool->outcomes_of)
        w->outcomes->len = 0;
    td_outcomes_move(pool->outcomes, w->outcomes);
}

void td_worker_say(struct td_worker *w)
{
    add_outcomes(w->pool, w);
    td_call_settled(&w->call); /* for who has this lock and settles */
}

static void finish_piece(struct td_worker *w, const struct td_piece *piece,
                         uint32_t handled, const uint8_t *at)
{
    struct td_job *job = piece->job;
    const uint8_t *end = handled == piece->count ? piece->end : at;

    if (handled == 0)
        return; /* robbed of all: the job may be gone */
    add_done(w->pool, job, handled, (uint64_t)(end - piece->p));
    job->left -= handled;
    if (job->left == 0)
        bury(w->pool, job);
}

static void finish_slips(struct td_worker *w)
{
    struct td_slip *slip = w->slips;

    for (uint32_t i = 0; i < w->handled; i++) {
        struct td_slip *next = slip->next; /* the job may end here */

        finish_piece(w, &slip->piece, slip->piece.count, NULL);
        slip = next;
    }
}

void td_worker_finish(struct td_worker *w)
{
    struct td_pool *pool = w->pool;

    atomic_store(&w->left, 0);
    pool->done.calls += w->calls;
    pool->done.failed += w->failed;
    pool->news = true;
    if (w->work == TD_WORK_PIECE) {
        finish_piece(w, &w->piece, w->handled, w->at);
    } else if (w->work == TD_WORK_SLIPS) {
        finish_slips(w);
    } else {
        pool->in_gap = false;
        bury(pool, w->gap);
    }
    w->work = TD_WORK_NONE;
}
