/* What the files of the pool share, and nobody else includes.
 *
 * workers.c       the threads: beginning, waiting, telling the bus, ending
 * workers_work.c  taking events, handling them, and what came of it
 * workers_push.c  work for them, and looking at them */
#ifndef TD_WORKERS_INTERNAL_H
#define TD_WORKERS_INTERNAL_H

#include "client/here.h"
#include "client/job.h"
#include "client/view.h"
#include "client/workers.h"

/* What was handled and is not told to the bus yet. */
struct td_done {
    uint64_t calls;
    uint64_t failed;
    uint64_t events; /* whether handed over or not */
    uint64_t incarnation;
    uint64_t credit_events; /* of those of this incarnation */
    uint64_t credit_bytes;
};

#define TD_SECTION_MS 20 /* what was handled is told at least so often */

/* The most outcomes of what a worker takes at once: of a piece one for each
 * event, and of those that are not whole one; of slips that twice. */
#define TD_WORKER_OUTCOMES 34u

enum td_work {
    TD_WORK_NONE,
    TD_WORK_PIECE, /* others may take part of it */
    TD_WORK_SLIPS, /* keyed events, ours alone */
    TD_WORK_GAP
};

struct td_worker {
    struct td_pool *pool;
    pthread_t thread;
    pthread_cond_t wake;
    bool idle;
    struct td_slips queue; /* keyed events that wait for it */
    struct td_call call;
    struct td_watch watch;        /* with both locks */
    struct td_view view;          /* its thread's alone, like these two: */
    struct td_here here;          /* of a stream's delivery */
    struct td_outcomes *outcomes; /* NULL: nothing to settle */
    /* What it is at; changed with the lock, and by itself. */
    enum td_work work;
    struct td_piece piece;
    atomic_int left; /* events of the piece that nobody has begun */
    struct td_slip *slips;
    const struct td_slip *slip; /* the last that was handled; NULL: none */
    uint32_t slips_len;
    bool more; /* of its work is left: it came out to say what became of the
                  rest */
    struct td_job *gap;
    /* what came of it: */
    uint64_t calls;
    uint64_t failed;
    uint32_t handled;   /* events of the piece, or slips */
    const uint8_t *at;  /* in the piece: behind the last that was handled */
    const uint8_t *end; /* of the piece, when it was taken */
    const struct td_job_run *run; /* what the view was set for */
};

struct td_pool {
    struct td_pool *prev;
    struct td_pool *next;
    struct td_bus *bus;
    struct td_bus_sub *sub; /* counted */
    bool keyed;
    uint64_t window_events;
    uint64_t window_bytes;
    pthread_mutex_t lock; /* of what follows */
    bool ending;
    unsigned idle;
    unsigned busy;
    struct td_job *jobs; /* all that have events not handled, and gaps */
    struct td_job *at;   /* the first with something to be cut; or NULL */
    uint64_t waiting;    /* events to be cut */
    bool in_gap;         /* on_gap is being called */
    struct td_done done;
    struct td_outcomes *outcomes; /* the same of a durable group; then those of
                                     the workers follow */
    uint64_t outcomes_of;         /* incarnation */
    struct td_job *dead;          /* done with, to be freed */
    bool news;                    /* somebody came out of its handlers */
    int64_t told_us;              /* when the bus was told last */
    /* with the bus's lock */
    bool retired;
    uint64_t untold;           /* events that count as waiting there */
    struct td_batches *tables; /* scratch */
    unsigned len;              /* threads that run */
    struct td_worker worker[];
};

/* workers.c, with the pool's lock */
/* td_pool_settle(), with the bus's lock as well. */
void td_pool_settle_locked(struct td_pool *pool);
/* One that is idle has something to do. */
void td_worker_wake(struct td_worker *w);
/* As many of those that are idle as there may be work for. */
void td_pool_wake(struct td_pool *pool, uint64_t events);

/* workers_work.c */
/* Takes something to do, with the pool's lock; false: there is nothing. */
bool td_worker_take(struct td_worker *w);
/* Does it, without a lock. */
void td_worker_do(struct td_worker *w);
/* Says what became of its events, with the pool's lock; there is room. */
void td_worker_say(struct td_worker *w);
/* Counts it, with the pool's lock. */
void td_worker_finish(struct td_worker *w);

#endif
