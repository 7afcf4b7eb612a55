/* tidings, resilience: what keeps a failure where it is.
 *
 * Small parts that work alone, around calls of any kind: requests of
 * tidings/service.h, a database, a file; in handlers of durable groups, too.
 *
 *     deadline   how long it may take, and all that it calls with it
 *     breaker    not at all, while it fails anyway
 *     bulkhead   not too many at once
 *     retry      again, but with waits, and not too often
 *
 *     static tidings_err charge(void *arg)
 *     {
 *         ...
 *         return tidings_request(&reply, bus, "payment.charge", data, len,
 *                                TIDINGS_TIMEOUT_MAX_MS);
 *     }
 *
 *     static tidings_err charge_if_it_works(void *arg)
 *     {
 *         return tidings_breaker_call(payments, charge, arg);
 *     }
 *
 *     err = tidings_retry_run(retry, charge_if_it_works, order, 2000);
 *
 * All of them are objects of one process: each process has its own, and learns
 * by itself. Those that the broker keeps for the instances of a service are in
 * tidings/service.h.
 *
 * Threads: any, several at once, but _free, which comes last and once. After
 * fork() a child makes its own. Every call that waits has a deadline.
 */
#ifndef TIDINGS_RESILIENCE_H
#define TIDINGS_RESILIENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "tidings/err.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tidings_bus tidings_bus;

/** What the parts are put around. TIDINGS_OK: it went well. */
typedef tidings_err (*tidings_work)(void *arg);

/* ======================================================================
 * Deadlines
 *
 * A thread has at most one: when whatever it is doing must be over. Requests
 * that it makes meanwhile take no longer, whatever timeout they are given, nor
 * do waits of the parts below. A handler of a request has what is left of that
 * request's.
 * ====================================================================== */

/**
 * Call work with a deadline. It ends by itself: the calls in it that wait find
 * that nothing is left, nothing interrupts it. One inside another may come
 * sooner, never later.
 *
 * @param timeout_ms  1..86400000, from now on.
 * @param work        called on this thread, once.
 * @return what work returned; TIDINGS_ETIMEDOUT: the deadline that this thread
 *         had already has passed, work was not called; TIDINGS_EINVAL.
 */
TIDINGS_API tidings_err tidings_with_deadline(int timeout_ms, tidings_work work,
                                              void *arg);

/** Milliseconds until this thread's deadline, to be handed on as a timeout; 0:
 *  it has passed; TIDINGS_TIMEOUT_MAX_MS: there is none. */
TIDINGS_API int tidings_deadline_left_ms(void);

/* ======================================================================
 * Circuit breakers
 *
 * Closed, every call may begin. After too many failures it is open, and calls
 * are refused at once, without loading what is down already. When the recovery
 * time is over it is half open: a probe at a time may begin; enough of them
 * that go well close it, and one that fails opens it again, for twice as long.
 *
 * Results of calls that began before the state last changed do not count.
 *
 * A handler of a durable group that returns TIDINGS_EBREAKER parks the group
 * (tidings/durable.h): nothing is delivered into the outage, and no delivery
 * counts. With TIDINGS_PARK it says left_ms for how long. With workers choose
 * successes 1: after a first probe the group runs several handlers at once.
 * ====================================================================== */

/** Bounds of a circuit breaker: PROTOCOL.md 11.4. 0: the default; -1: off, of
 *  failures and rate_percent. Counts are at most 1000000, times 86400000. */
struct tidings_breaker_bounds {
    int failures;        /* in a row; default 5 */
    int rate_percent;    /* of results that failed; default 50 … */
    int window_ms;       /* … in the last so many; default 10000 … */
    int window_min;      /* … if there were as many; default 20 */
    int recovery_ms;     /* until it is tried again; default 5000 */
    int recovery_max_ms; /* doubled up to this; default 60000 */
};

typedef struct tidings_breaker tidings_breaker;

enum tidings_breaker_state {
    TIDINGS_BREAKER_CLOSED,
    TIDINGS_BREAKER_OPEN,
    TIDINGS_BREAKER_HALF_OPEN
};

/** Name of it, "closed", "open", "half_open"; "?" for a value not in the
 *  enum. */
TIDINGS_API const char *tidings_breaker_state_name(
    enum tidings_breaker_state state);

/** What a result says of what was called. */
enum tidings_verdict {
    TIDINGS_VERDICT_BAD,  /* it fails */
    TIDINGS_VERDICT_GOOD, /* it works, perhaps with an error for an answer */
    TIDINGS_VERDICT_NONE  /* nothing: the error is the caller's own */
};

/**
 * The verdict on a result where options say nothing else.
 *
 * @return GOOD for TIDINGS_OK, and for answers that are errors: EREMOTE,
 *         ENOTFOUND, EEXIST, ECONFLICT, ENOTSUP, ETERM.
 *         NONE for EINVAL, ENOMEM, ECLOSED, EFORKED, EDEADLK, ELATER, ERELEASE
 *         and EBREAKER.
 *         BAD for all else: ETIMEDOUT, EUNREACH, ELOST, EFULL, EHANDLER, …
 *         A work that knows that an answer means failure (EREMOTE with a status
 *         of 500 and above) returns TIDINGS_EHANDLER.
 */
TIDINGS_API enum tidings_verdict tidings_verdict_of(tidings_err err);

/** What on_change is told. Valid during the call. */
struct tidings_breaker_change {
    const char *name; /* of the breaker */
    enum tidings_breaker_state state;
    uint64_t failures; /* in a row, until now */
    int64_t open_ms;   /* OPEN: until a probe may begin; otherwise: how long
                          ago it was closed last */
};

/** Settings of tidings_breaker_new(). All zero: the defaults. */
struct tidings_breaker_options {
    const char *name; /* for people and events; at most 64 bytes of UTF-8;
                         default "" */
    struct tidings_breaker_bounds bounds;
    int probes;    /* at once, while half open; default 1 */
    int successes; /* of probes, to close it; default 2 */
    int probe_ms;  /* a probe whose result has not come after so long makes
                      room for another; default 30000 */
    enum tidings_verdict (*verdict)(void *arg, tidings_err err); /* default:
                      tidings_verdict_of() */
    void (*on_change)(void *arg, const struct tidings_breaker_change *change);
    void *arg; /* of both; the caller's, until tidings_breaker_free() */
    /* on_change is called after each change, one at a time and in order, on
     * the thread whose call changed it, or one that was telling already. It may
     * call whatever it likes, this breaker too. */
};

/**
 * A breaker, closed.
 *
 * @return TIDINGS_OK, TIDINGS_EINVAL (an option; the detail names it),
 *         TIDINGS_ENOMEM
 */
TIDINGS_API tidings_err tidings_breaker_new(
    tidings_breaker **out, const struct tidings_breaker_options *options);

/** No other call may be running, or come. NULL does nothing. */
TIDINGS_API void tidings_breaker_free(tidings_breaker *breaker);

/**
 * Publish changes of state as events, from now on: breaker.opened,
 * breaker.half_opened and breaker.closed, a map with name, breaker (the state's
 * name), failures and open_ms, as in struct tidings_breaker_change.
 *
 * Nothing waits for that: what the bus has no room for, and what is told while
 * it is closed, is counted as untold.
 *
 * Instances of services on that bus tell of it, too, when they are asked how they
 * are: `tidings service ping` lists the first 64 breakers of each.
 *
 * @param bus  open, and the caller's; NULL: none any more, which is to be said
 *             before the bus is closed if the breaker is to be used longer.
 * @return TIDINGS_OK; TIDINGS_EINVAL: breaker is NULL.
 */
TIDINGS_API tidings_err tidings_breaker_attach(tidings_breaker *breaker,
                                               tidings_bus *bus);

/**
 * Ask whether a call may begin. What came of it is told once with
 * tidings_breaker_done(), or tidings_breaker_cancel(); both take about as long
 * as taking a lock.
 *
 * @param ticket  of this call, for those.
 * @return TIDINGS_OK        it may.
 *         TIDINGS_EBREAKER  not now; the detail says for how long.
 *         TIDINGS_EINVAL    an argument is NULL.
 */
TIDINGS_API tidings_err tidings_breaker_allow(tidings_breaker *breaker,
                                              uint64_t *ticket);

/** What came of it. tidings_detail() stays as it is. */
TIDINGS_API void tidings_breaker_done(tidings_breaker *breaker, uint64_t ticket,
                                      tidings_err err);

/** The call was not made after all. */
TIDINGS_API void tidings_breaker_cancel(tidings_breaker *breaker,
                                        uint64_t ticket);

/**
 * The three in one: work is called if it may be.
 *
 * @return what work returned; TIDINGS_EBREAKER, TIDINGS_EINVAL: it was not
 *         called.
 */
TIDINGS_API tidings_err tidings_breaker_call(tidings_breaker *breaker,
                                             tidings_work work, void *arg);

/** What a breaker has done since it was made. */
struct tidings_breaker_info {
    enum tidings_breaker_state state;
    int64_t since_ms;   /* how long it has been in it */
    int64_t left_ms;    /* until a call may begin; 0: now */
    uint64_t failures;  /* in a row */
    uint64_t allowed;   /* calls */
    uint64_t refused;   /* calls */
    uint64_t succeeded; /* results, those that did not count included */
    uint64_t failed;
    uint64_t late;    /* results of calls that began before the state changed */
    uint64_t lost;    /* probes whose result has not come in time */
    uint64_t changes; /* of state */
    uint64_t untold;  /* of those, not published though there was a bus, or not
                         told because on_change was too slow */
};

/** @return TIDINGS_OK, TIDINGS_EINVAL */
TIDINGS_API tidings_err tidings_breaker_info(struct tidings_breaker_info *out,
                                             tidings_breaker *breaker);

/* ======================================================================
 * Bulkheads
 *
 * At most so many at once, and a line of bounded length before it: one slow
 * neighbour takes its own places, and no others.
 * ====================================================================== */

typedef struct tidings_bulkhead tidings_bulkhead;

/** Settings of tidings_bulkhead_new(). All zero: the defaults. */
struct tidings_bulkhead_options {
    const char *name; /* for details; at most 64 bytes of UTF-8; default "" */
    int running;      /* at once, 1..65536; default 16 */
    int waiting;      /* for a place, at most 65536; default 64; -1: none */
};

/** @return TIDINGS_OK, TIDINGS_EINVAL, TIDINGS_ENOMEM */
TIDINGS_API tidings_err tidings_bulkhead_new(
    tidings_bulkhead **out, const struct tidings_bulkhead_options *options);

/** Nobody may be inside, or waiting. NULL does nothing. */
TIDINGS_API void tidings_bulkhead_free(tidings_bulkhead *bulkhead);

/**
 * Take a place. Who waits is let in in the order in which they came.
 *
 * @param timeout_ms  0..86400000; 0: do not wait.
 * @return TIDINGS_OK         in; tidings_bulkhead_leave() gives it back.
 *         TIDINGS_EFULL      no place came in time, or as many are waiting as
 *                            may; the detail says which.
 *         TIDINGS_ETIMEDOUT  the thread's own deadline came first.
 *         TIDINGS_EINVAL
 */
TIDINGS_API tidings_err tidings_bulkhead_enter(tidings_bulkhead *bulkhead,
                                               int timeout_ms);

/** Give a place back, on any thread. Once for each that was taken; with none
 *  taken it does nothing. */
TIDINGS_API void tidings_bulkhead_leave(tidings_bulkhead *bulkhead);

/** The two around work. @return what work returned; as
 *  tidings_bulkhead_enter(): it was not called. */
TIDINGS_API tidings_err tidings_bulkhead_call(tidings_bulkhead *bulkhead,
                                              int timeout_ms, tidings_work work,
                                              void *arg);

/** What a bulkhead has seen since it was made. */
struct tidings_bulkhead_info {
    uint64_t running; /* at this moment */
    uint64_t waiting;
    uint64_t running_peak;
    uint64_t waiting_peak;
    uint64_t entered; /* so far */
    uint64_t waited;  /* of those, not at once */
    uint64_t refused; /* for want of room in the line */
    uint64_t gave_up; /* waited for too long */
};

/** @return TIDINGS_OK, TIDINGS_EINVAL */
TIDINGS_API tidings_err tidings_bulkhead_info(struct tidings_bulkhead_info *out,
                                              tidings_bulkhead *bulkhead);

/* ======================================================================
 * Retries
 *
 * What is tried again must do no harm when it is done twice. Waits double, and
 * a part of each is left to chance, so that those who failed together do not
 * come back together. A budget bounds retries to a share of all that is tried:
 * what is down is not hit with several times its load. Requests with the option
 * idempotent do all this by themselves.
 * ====================================================================== */

typedef struct tidings_retry tidings_retry;

/** What part of a wait is left to chance. */
enum tidings_jitter {
    TIDINGS_JITTER_FULL, /* all of it */
    TIDINGS_JITTER_HALF, /* half of it */
    TIDINGS_JITTER_NONE
};

/** Settings of tidings_retry_new(). All zero: the defaults. */
struct tidings_retry_options {
    int tries;          /* in all, 1..100; default 3 */
    int backoff_ms;     /* before the second; default 100; at most a day … */
    int backoff_max_ms; /* … doubled up to this; default 10000 */
    enum tidings_jitter jitter;
    int budget_percent; /* retries for each hundred first tries, 1..100; default
                           10; -1: as many as tries allows */
    int budget_burst;   /* and so many at once, 1..10000; default 10 */
    bool (*is_worth)(void *arg, tidings_err err); /* trying again; default:
                           tidings_is_worth_retry() */
    void *arg; /* of is_worth; the caller's, until tidings_retry_free() */
};

/** Whether another try may go better: EFULL, ETIMEDOUT, EUNREACH, ELOST,
 *  ENORESPONDER, ESHUTDOWN, EHANDLER. Not EBREAKER: what is open stays so for
 *  longer than one waits here. */
TIDINGS_API bool tidings_is_worth_retry(tidings_err err);

/** One for all calls of a kind: the budget is theirs together.
 *  @return TIDINGS_OK, TIDINGS_EINVAL, TIDINGS_ENOMEM, TIDINGS_EIO (the system
 *  gives no random numbers) */
TIDINGS_API tidings_err tidings_retry_new(
    tidings_retry **out, const struct tidings_retry_options *options);

/** NULL does nothing. */
TIDINGS_API void tidings_retry_free(tidings_retry *retry);

/**
 * Call work until it goes well, is not worth another try, has had its tries,
 * the budget is spent, or no time is left for the next wait. Waits on this
 * thread; each try has the deadline.
 *
 * @param timeout_ms  1..86400000, for all of it.
 * @return what work returned last; to its detail is added how often it was
 *         tried, and why no more. TIDINGS_ETIMEDOUT without a try: the thread's
 *         own deadline has passed. TIDINGS_EINVAL
 */
TIDINGS_API tidings_err tidings_retry_run(tidings_retry *retry,
                                          tidings_work work, void *arg,
                                          int timeout_ms);

/**
 * For a loop of one's own: a first try is about to be made, which the budget
 * counts. NULL does nothing.
 */
TIDINGS_API void tidings_retry_begin(tidings_retry *retry);

/**
 * Whether to try again; if so, it is taken off the budget.
 *
 * @param tries    that were made so far, from 1 on.
 * @param err      what came of the last.
 * @param wait_ms  how long to wait before the next.
 * @return TIDINGS_OK: yes. err: no, and the detail is as it was before.
 *         TIDINGS_EINVAL
 */
TIDINGS_API tidings_err tidings_retry_again(tidings_retry *retry,
                                            unsigned tries, tidings_err err,
                                            int *wait_ms);

/** What a retry has seen since it was made. */
struct tidings_retry_info {
    uint64_t begun;     /* first tries */
    uint64_t retries;   /* others */
    uint64_t exhausted; /* failed for good: all tries were made … */
    uint64_t unworthy;  /* … it was not worth another … */
    uint64_t cut;       /* … the budget was spent … */
    uint64_t timeouts;  /* … no time was left to wait for the next */
    uint64_t budget;    /* retries that it has left; UINT64_MAX: no budget */
};

/** @return TIDINGS_OK, TIDINGS_EINVAL */
TIDINGS_API tidings_err tidings_retry_info(struct tidings_retry_info *out,
                                           tidings_retry *retry);

#ifdef __cplusplus
}
#endif
#endif
