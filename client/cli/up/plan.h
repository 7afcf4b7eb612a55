/* plan.h: when which process is started, stopped or killed.
 *
 * A pure state machine over the services of a file: what happened and now_ms
 * go in, what is to be done comes out. It starts nothing, reads no clock and
 * prints nothing.
 *
 *              all it needs is ready       ready
 *     WAITING ----------------> STARTING --------> READY
 *                                ^  |  \             |
 *               its time has come|  |   \not in time | asked to stop, and
 *                                |  |ended           | nothing needs it
 *                             BACKOFF<-----------    v
 *                                   \  ended     STOPPING --> ENDED, FAILED
 *                                    -> ENDED, FAILED
 *
 * - A service is ready once each of its instances has been. That holds for
 *   good: when it ends later, what needs it stays, and is not held back.
 * - One that was ready longer than its backoff_max begins with the first
 *   backoff again.
 * - To be stopped it gets its signal, and after its timeout it is killed; first
 *   all that needs it, directly or not, is gone. */
#ifndef TD_UP_PLAN_H
#define TD_UP_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "client/cli/up/spec.h"

#define TD_PLAN_NEVER INT64_MAX

enum td_plan_state {
    TD_PLAN_WAITING,  /* for what it needs */
    TD_PLAN_STARTING, /* a process, not ready */
    TD_PLAN_READY,
    TD_PLAN_BACKOFF,  /* no process, until due_ms */
    TD_PLAN_STOPPING, /* a process that was told to end */
    TD_PLAN_ENDED,    /* as it should */
    TD_PLAN_FAILED    /* given up */
};

/** "waiting", "starting", … */
const char *td_plan_state_name(enum td_plan_state state);

struct td_plan_instance {
    uint32_t service; /* of the file */
    unsigned number;  /* within its service, from 1 */
    enum td_plan_state state;
    bool was_ready;
    bool late;         /* it is stopped because it was not ready in time */
    bool killed;       /* it was sent SIGKILL */
    int64_t since_ms;  /* when it came into its state */
    int64_t due_ms;    /* when its state ends by itself */
    int64_t ready_ms;  /* how long it took; -1: it was never ready */
    unsigned failures; /* in a row */
    uint64_t restarts; /* in all */
    int64_t again_ms[TD_UP_RESTARTS_MAX]; /* when; a ring, by restarts */
};

struct td_plan {
    const struct td_up_spec *spec; /* borrowed */
    struct td_plan_instance instances[TD_UP_PROCESSES_MAX];
    uint32_t len;
    bool abort_on_failure;
    bool stopping; /* all of them */
    bool killing;
};

/** abort_on_failure: when one is given up all are stopped. */
void td_plan_init(struct td_plan *p, const struct td_up_spec *spec,
                  bool abort_on_failure, int64_t now_ms);

/* ---- what is to be done ---- */

enum td_plan_action {
    TD_PLAN_NOTHING,
    TD_PLAN_SPAWN,
    TD_PLAN_SIGNAL, /* its service's */
    TD_PLAN_KILL
};

/** The next thing to do, and to which instance: it counts as done. Called
 *  until there is nothing. */
enum td_plan_action td_plan_next(struct td_plan *p, uint32_t *instance,
                                 int64_t now_ms);

/** When td_plan_next() has more to do even if nothing happens. */
int64_t td_plan_due(const struct td_plan *p);

/* ---- what happened ---- */

enum td_plan_verdict {
    TD_PLAN_AGAIN,   /* it is started again at its due_ms */
    TD_PLAN_DONE,    /* it ended as it should */
    TD_PLAN_STOPPED, /* as it was told */
    TD_PLAN_GIVEN_UP
};

/** It runs: with ready: started that is all. @return whether it is ready */
bool td_plan_spawned(struct td_plan *p, uint32_t instance, int64_t now_ms);

/** It cannot be run at all: it is given up. */
void td_plan_unable(struct td_plan *p, uint32_t instance, int64_t now_ms);

/** It is ready. @return false: it was, or is none that could become so */
bool td_plan_ready(struct td_plan *p, uint32_t instance, int64_t now_ms);

/** Its process is gone; well: it ended with 0. */
enum td_plan_verdict td_plan_exited(struct td_plan *p, uint32_t instance,
                                    bool well, int64_t now_ms);

/** Stop all, in order. */
void td_plan_stop(struct td_plan *p);
/** Kill all, at once. */
void td_plan_kill(struct td_plan *p);

/* ---- how it is ---- */

/** Whether it has a process. */
bool td_plan_alive(const struct td_plan_instance *instance);

/** Whether nothing runs, nor ever will. */
bool td_plan_over(const struct td_plan *p);

/** Whether each was ready, or ended as it should. */
bool td_plan_all_ready(const struct td_plan *p);

/** Whether one was given up, or could not start because of such a one. */
bool td_plan_failed(const struct td_plan *p);

/** The service that an instance waits for, and that will never be ready.
 *  @return NULL: there is none */
const struct td_up_service *td_plan_blocked_by(const struct td_plan *p,
                                               uint32_t instance);

#endif
