/* child.h: one process of `tidings up`: started in a group of its own, with
 * nothing of ours but its standard streams, and ended with its group. */
#ifndef TD_UP_CHILD_H
#define TD_UP_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

#include "client/cli/up/spec.h"

struct td_child {
    pid_t pid; /* and its process group */
    int out;   /* what it prints, to be read without waiting */
    int err;
};

/* TIDINGS_UP: by it the processes of an instance are told apart from others,
 * whatever has become of their parents. */
#define TD_CHILD_MARK "TIDINGS_UP"

/**
 * Start it. Dies with the thread that called this.
 *
 * @param url    TIDINGS_URL in its environment, unless the service has one.
 * @param label  TD_CHILD_MARK in its environment.
 * @return 0, or why it cannot be run, an errno.
 */
int td_child_spawn(struct td_child *out, const struct td_up_service *service,
                   const char *url, const char *label);

/** To its whole group; one that is gone already is no error. */
void td_child_signal(pid_t pid, int signal);

#endif
