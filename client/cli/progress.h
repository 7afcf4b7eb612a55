/* progress.h: a bar on stderr for what takes a while, if a person looks.
 *
 * One bar at a time. What td_complain() says wipes it first, also from another
 * thread; the lock of stderr keeps them apart. */
#ifndef TD_CLI_PROGRESS_H
#define TD_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct td_progress {
    bool on; /* stderr is a terminal */
    int64_t start_us;
    int64_t next_us; /* not drawn before */
};

void td_progress_start(struct td_progress *p);

/** done of total, and how many a second; total 0: it is not known. */
void td_progress_show(struct td_progress *p, uint64_t done, uint64_t total);

/** part, 0 to 1, and what stands behind the bar. */
void td_progress_part(struct td_progress *p, double part, const char *format,
                      ...) __attribute__((format(printf, 3, 4)));

/** Whether the next of these calls will draw. */
bool td_progress_due(const struct td_progress *p);

/** Wipe what is shown. */
void td_progress_wipe(void);

#endif
