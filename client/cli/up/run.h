/* run.h: the processes of a plan: started and ended as it says, what they print
 * logged, and told to it when they end or are ready. */
#ifndef TD_UP_RUN_H
#define TD_UP_RUN_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "client/cli/up/log.h"
#include "client/cli/up/plan.h"
#include "client/cli/up/probe.h"
#include "client/cli/up/text.h"

#define TD_UP_LABEL_BYTES (TD_UP_NAME_MAX + 8) /* and ".32" */

struct td_up_pipe {
    int fd; /* -1: at its end */
    struct td_up_text text;
};

struct td_up_process {             /* of an instance of the plan */
    char label[TD_UP_LABEL_BYTES]; /* "inventory.2" */
    unsigned colour;
    pid_t pid;          /* 0: none */
    int64_t started_ms; /* Unix; 0: never */
    struct td_up_pipe pipes[2];
    char unready[TD_PROBE_WHY_BYTES]; /* why it is not ready */
    uint64_t dropped; /* lines for which the log had no room, and not told */
    char last[64];    /* how it ended last, "exited with 1"; "": never */
    struct td_up_run *run;
};

struct td_up_run {
    const struct td_up_spec *spec; /* borrowed */
    const char *url;
    pid_t guard; /* the process above this one */
    struct td_plan plan;
    struct td_up_process processes[TD_UP_PROCESSES_MAX];
    struct td_up_log log;
    struct td_probes probes;
    int64_t began_ms;
    bool told_ready; /* that all are */
    bool told_stop;
    int64_t probe_ms; /* when what is not ready is looked at again */
};

/** The width of its labels, for td_up_log_open(). */
int td_up_run_width(const struct td_up_spec *spec);

/** The log is open; what it is. now_ms is the monotonic clock's, as below. */
void td_up_run_init(struct td_up_run *r, const struct td_up_spec *spec,
                    const char *url, bool abort_on_failure, int64_t now_ms);
/** Kills and reaps all that is left. */
void td_up_run_fini(struct td_up_run *r);

/** Do what the plan says, and look what became ready. */
void td_up_run_step(struct td_up_run *r, int64_t now_ms);
/** When to call it again if nothing happens. */
int64_t td_up_run_due(const struct td_up_run *r);

/** Processes have ended: reap them. */
void td_up_run_reap(struct td_up_run *r, int64_t now_ms);

/** Descriptors to poll: room for two of each process. @return how many */
size_t td_up_run_polls(const struct td_up_run *r, struct pollfd *out);
/** One of them is readable. */
void td_up_run_read(struct td_up_run *r, int fd);

/** Say which lines were dropped, if any were and the log has room again, or all
 *  is over. */
void td_up_run_tell_dropped(struct td_up_run *r);

/** All that a dead process has left in its pipes: no more than they hold. */
void td_up_process_rest(struct td_up_process *p);

/** Say something of an instance, or of all together: NULL. */
void td_up_run_tell(struct td_up_run *r, const struct td_up_process *of,
                    const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
