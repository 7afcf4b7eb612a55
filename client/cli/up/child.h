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

/* In the environment: its name and instance, for itself; and what tells all that
 * it starts apart from others, whatever becomes of their parents: this process
 * and the same. */
#define TD_CHILD_NAME "TIDINGS_UP"
#define TD_CHILD_MARK "TIDINGS_UP_MARK"

#define TD_CHILD_MARK_BYTES (sizeof(TD_CHILD_MARK) + TD_UP_NAME_MAX + 32)

/** "TIDINGS_UP_MARK=4711/inventory.2". @return out */
const char *td_child_mark(char out[TD_CHILD_MARK_BYTES], const char *label);

/**
 * Start it. Dies with the thread that called this.
 *
 * @param url    TIDINGS_URL in its environment, unless the service has one.
 * @param label  "inventory.2"
 * @return 0, or why it cannot be run, an errno.
 */
int td_child_spawn(struct td_child *out, const struct td_up_service *service,
                   const char *url, const char *label);

/** To its whole group; one that is gone already is no error. */
void td_child_signal(pid_t pid, int signal);

#endif
