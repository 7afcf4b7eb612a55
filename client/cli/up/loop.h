/* loop.h: the process that runs the services, from their start to the end of
 * the last. */
#ifndef TD_UP_LOOP_H
#define TD_UP_LOOP_H

#include <stdbool.h>

#include "client/cli/up/file.h"
#include "client/cli/up/state.h"

struct td_up_job {
    const struct td_up_file *file;
    const char *name; /* of the file, as it was given */
    const char *url;
    struct td_up_state *state;
    bool abort_on_failure;
    int front; /* of --detach: who waits until all is ready, and is told what
                  comes meanwhile; -1: nobody */
};

/* What the front is told with the last line: all is ready. */
#define TD_UP_ALL_READY '\x04'

/** For td_up_guard(): arg is a td_up_job. @return the exit code */
int td_up_loop(void *arg);

#endif
