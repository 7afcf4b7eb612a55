/* progress.h: a bar on stderr for what takes a while, if a person looks. */
#ifndef TD_CLI_PROGRESS_H
#define TD_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct td_progress {
    bool on;    /* stderr is a terminal */
    bool shown; /* there is a bar to wipe */
    int64_t start_us;
    int64_t next_us; /* not drawn before */
};

void td_progress_start(struct td_progress *p);
void td_progress_show(struct td_progress *p, uint64_t done, uint64_t total);
/** Wipe it. */
void td_progress_end(struct td_progress *p);

#endif
