/* spec.h: what `tidings up` is to run: the services of a file, as file.h reads
 * them and plan.h goes by them. */
#ifndef TD_UP_SPEC_H
#define TD_UP_SPEC_H

#include <stddef.h>
#include <stdint.h>

/* Bounds; a file beyond one is refused with its line. */
#define TD_UP_SERVICES_MAX  64u /* of a file */
#define TD_UP_INSTANCES_MAX 32u /* of a service */
#define TD_UP_PROCESSES_MAX                                                    \
    128u                           /* of a file: two pipes of each are well
                                      below the usual 1,024 descriptors */
#define TD_UP_NAME_MAX        64u  /* bytes: it stands before each line */
#define TD_UP_WORDS_MAX       256u /* of a command */
#define TD_UP_ENVIRONMENT_MAX 128u /* variables of a service */
#define TD_UP_RESTARTS_MAX    100u /* within a window: each is remembered */
#define TD_UP_TIME_MAX_MS     (UINT64_C(24) * 3600 * 1000) /* of every time */

/* Defaults; --help and README.md name them, too. */
#define TD_UP_READY_TIMEOUT_MS 30000u /* a slow start, not a hanging one */
#define TD_UP_BACKOFF_MS       200u   /* before the first time again … */
#define TD_UP_BACKOFF_MAX_MS   10000u /* … doubled up to this */
#define TD_UP_RESTARTS         10u    /* then it is given up … */
#define TD_UP_RESTART_WINDOW_MS                                                \
    600000u                         /* … if all were within this: ten that
                                           are never ready take 7 minutes */
#define TD_UP_STOP_TIMEOUT_MS 5000u /* then it is killed */

/* When an instance is ready: what needs its service may start. */
enum td_up_ready {
    TD_UP_READY_STARTED, /* it runs */
    TD_UP_READY_BUS,     /* the bus answers */
    TD_UP_READY_SERVICE  /* it is registered there, and healthy */
};

/* Whether one that ended is started again. */
enum td_up_policy {
    TD_UP_ON_FAILURE, /* unless it ended with 0 */
    TD_UP_ALWAYS,
    TD_UP_NEVER
};

struct td_up_variable {
    const char *name;
    const char *value;
};

struct td_up_service {
    const char *name;
    size_t line;     /* in the file */
    char **command;  /* words, then NULL */
    char *words;     /* what those of a text stand in; NULL: it was a list */
    char *directory; /* absolute */
    struct td_up_variable *environment; /* beside that of `tidings up` */
    size_t environment_len;
    uint32_t needs[TD_UP_SERVICES_MAX]; /* services of the file */
    uint32_t needs_len;
    enum td_up_ready ready;
    const char *bus_name; /* of TD_UP_READY_SERVICE */
    uint64_t ready_timeout_ms;
    unsigned instances;
    enum td_up_policy policy;
    uint64_t backoff_ms;
    uint64_t backoff_max_ms;
    unsigned restarts_max; /* within … */
    uint64_t restart_window_ms;
    int stop_signal;
    uint64_t stop_timeout_ms;
};

struct td_up_spec {
    const char *bus; /* a URL; NULL: the file says none */
    struct td_up_service *services;
    uint32_t len;
    uint32_t order[TD_UP_SERVICES_MAX]; /* each behind what it needs */
};

#endif
