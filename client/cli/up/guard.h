/* guard.h: the process that outlives the one which runs the services, so that
 * nothing is left even if that is killed.
 *
 * Both adopt orphans below them. The guard hands signals on, and when the
 * runner is gone it kills what it has left. The runner is told when the guard
 * dies, as by SIGTERM. So both would have to be killed at one moment for
 * something to stay. */
#ifndef TD_UP_GUARD_H
#define TD_UP_GUARD_H

#include <signal.h>

/** The signals that both wait for: they are blocked. */
void td_up_guard_signals(sigset_t *out);

/**
 * Run what is to be run in a process of its own, and guard it. Called before
 * there is a thread.
 *
 * @return its exit code; TD_EXIT_FAILED if it was killed, and stderr was told.
 */
int td_up_guard(int (*run)(void *arg), void *arg);

#endif
