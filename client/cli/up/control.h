/* control.h: the socket over which `tidings status` and `tidings down` ask one
 * that runs.
 *
 * A line comes, "status" or "down". The first is answered with a report
 * (report.h), the second with what `tidings up` says until all is gone; then
 * the connection is closed. */
#ifndef TD_UP_CONTROL_H
#define TD_UP_CONTROL_H

#include <poll.h>
#include <stdbool.h>

#include "client/cli/up/run.h"

#define TD_UP_ASKING_MAX 8  /* at once; others are let wait */
#define TD_UP_WORD_BYTES 16 /* of a line */

struct td_up_control {
    int fd; /* listens */
    const char *file;
    struct td_up_asking {
        int fd; /* -1: nobody */
        size_t len;
        char line[TD_UP_WORD_BYTES];
    } asking[TD_UP_ASKING_MAX];
};

#define TD_UP_CONTROL_POLLS (TD_UP_ASKING_MAX + 1)

void td_up_control_init(struct td_up_control *c, int fd, const char *file);
void td_up_control_fini(struct td_up_control *c);

/** At most TD_UP_CONTROL_POLLS. @return how many */
size_t td_up_control_polls(const struct td_up_control *c, struct pollfd *out);

/** One of them is readable, if it is one of them. */
void td_up_control_read(struct td_up_control *c, int fd, struct td_up_run *run,
                        int64_t now_ms);

#endif
