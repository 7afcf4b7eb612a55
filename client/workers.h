/* Threads of a subscription's own, that call its handler beside one another.
 *
 * A delivery becomes a job (job.h), which all of them share. Events that any of
 * them may handle are taken off it in small pieces; who finds no more takes
 * half of another's piece, so that no event waits behind a slow one while
 * somebody is idle. Events with a key, in KEY_ORDER, are put into the queue of
 * the one worker that handles that key. Handlers run without a lock.
 *
 * A pool has a lock of its own, taken after the bus's, or alone. What was
 * handled is told to the bus in one go: as credit, and for the totals. */
#ifndef TD_WORKERS_H
#define TD_WORKERS_H

#include <stdbool.h>
#include <stdint.h>

#include "client/bus.h"

struct td_pool;

/* With the bus's lock, all of it. */

/* Starts the threads: TIDINGS_EIO and the detail when one cannot be; the others
 * are the subscription's all the same. */
tidings_err td_pool_new(struct td_bus *b, struct td_bus_sub *sub,
                        const struct tidings_sub_options *options);

/* The subscription is over: what its workers have not begun is dropped. */
void td_pool_retire(struct td_bus *b, struct td_bus_sub *sub);

/* Joins and frees retired pools none of whose handlers runs any more, or, when
 * everything is, all of them. Lets the lock go meanwhile. */
void td_pools_reap(struct td_bus *b, bool all);

/* Takes the message over; false: there is no memory. */
bool td_pool_push(struct td_bus *b, struct td_bus_sub *sub,
                  struct td_message *m, const struct td_delivery *d);
void td_pool_gap(struct td_pool *pool, const struct td_gap *gap);

/* Tells the session what handlers have said by now. */
void td_pool_settle(struct td_pool *pool);

/* The same, and then where they are: at most TD_WORKERS_MAX. */
unsigned td_pool_at(struct td_pool *pool, uint64_t incarnation,
                    struct td_at *at);
/* Whether what waits does so for handlers that have not returned for so long;
 * progress: those are never late. */
bool td_pool_is_stuck(struct td_pool *pool, int64_t now_ms, int64_t wait_ms);
/* Who is at this delivery is not late. */
void td_pool_progress(struct td_pool *pool, uint64_t tag, int64_t now_ms);

/* Threads that are inside the handler, on_gap, or on_status. */
unsigned td_pool_busy(struct td_pool *pool);
/* Whether pools have nothing left to do. */
bool td_pools_rest(struct td_bus *b);
/* The calls of worker i; NULL: there are fewer. */
struct td_call *td_pool_call(struct td_pool *pool, unsigned i);

/* The pool that this thread is a worker of, if it is one of the bus's; needs
 * no lock. */
const struct td_pool *td_pool_of_thread(const struct td_bus *b);

#endif
