/* Real processes for tests and benchmarks: start them, talk to them line by
 * line, signal them, and be rid of them, each step with a deadline. Owns
 * pipes and child processes; knows nothing of cmocka and of the library.
 *
 *     static struct td_daemon broker;     (all zero: not started)
 *     if (!td_daemon_start(&broker, "tcp://127.0.0.1:*", NULL))
 *         fail_msg("%s", td_proc_errors(&broker.proc));
 *     ... broker.endpoint[0] is "tcp://127.0.0.1:41234"
 *     td_daemon_end(&broker);      (in the teardown: kills what is left)
 *
 * Children die with the process that started them, however it ends. A child
 * must be started by a thread that outlives it: the main one.
 *
 * Threads: one struct is used by one thread at a time.
 */
#ifndef TD_PROC_H
#define TD_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define TD_PROC_LINE_MAX     4096 /* a longer line is cut */
#define TD_PROC_ERRORS_MAX   4096 /* the end of standard error that is kept */
#define TD_DAEMON_LISTEN_MAX 4

struct td_proc {
    bool started; /* false: nothing below counts; so all zero is empty */
    bool reaped;  /* it has ended, and status says how */
    pid_t pid;    /* 0 once reaped */
    int status;   /* as waitpid() told it */
    int in;       /* its standard input; -1: closed */
    int out;      /* its standard output; -1: at its end */
    int err;      /* unlinked file with its standard error */
    size_t held;  /* bytes of out in buffer */
    char buffer[TD_PROC_LINE_MAX];
    char line[TD_PROC_LINE_MAX + 1];
    char errors[TD_PROC_ERRORS_MAX + 1];
};

/** Milliseconds of a monotonic clock. */
int64_t td_proc_now_ms(void);

/**
 * The path of a program of this build: in the folder that the environment
 * variable TIDINGS_BIN names, or else where it was built.
 */
const char *td_proc_path(char *out, size_t size, const char *program);

/**
 * Start a program. A struct may be used again after td_proc_end().
 *
 * @param argv  ends with NULL; argv[0] without a '/' is a program of this
 *              build.
 * @return false when a pipe or the process could not be made. A program that
 *         is not there exits with 127.
 */
bool td_proc_start(struct td_proc *p, const char *const *argv);

/**
 * The next line of its standard output, without the line break; valid until
 * the next call. NULL: none within timeout_ms, or the end of its output.
 */
const char *td_proc_line(struct td_proc *p, int timeout_ms);

/** Skip lines up to one that begins with prefix; what follows the prefix. */
const char *td_proc_expect(struct td_proc *p, const char *prefix,
                           int timeout_ms);

/** Write one line to its standard input; false when it is gone. */
bool td_proc_say(struct td_proc *p, const char *line);

/** Close its standard input. */
void td_proc_hang_up(struct td_proc *p);

/** What it wrote to its standard error so far, the end of it; never NULL. */
const char *td_proc_errors(struct td_proc *p);

/** Send a signal; false when it has ended. */
bool td_proc_signal(struct td_proc *p, int signal_number);

/** SIGSTOP, and wait until the process has really stopped. */
bool td_proc_freeze(struct td_proc *p, int timeout_ms);

/** Wait for its end; false when it still runs after timeout_ms. */
bool td_proc_wait(struct td_proc *p, int timeout_ms);

/** Its exit code; -1 when it has not exited, or was ended by a signal. */
int td_proc_exit_code(const struct td_proc *p);

/** Resident memory in KiB; -1 when it has ended. */
long td_proc_resident_kb(const struct td_proc *p);

/** SIGKILL if it still runs, reap it, free all. May be called twice. */
void td_proc_end(struct td_proc *p);

/* ---- the broker ---- */

struct td_daemon {
    struct td_proc proc;
    size_t listening; /* how many endpoints it said */
    char endpoint[TD_DAEMON_LISTEN_MAX][256];
};

/**
 * Start tidingsd and wait until it is ready.
 *
 * @param listen  where; "tcp://127.0.0.1:*" picks a free port.
 * @param extra   more arguments, ending with NULL; NULL: none.
 * @return false when it was not ready within ten seconds:
 *         td_proc_errors(&d->proc) has what it said.
 */
bool td_daemon_start(struct td_daemon *d, const char *listen,
                     const char *const *extra);

/**
 * Start it again where it listened first, after td_proc_end() or a signal. A
 * port that is still taken is tried again, for up to ten seconds.
 */
bool td_daemon_restart(struct td_daemon *d, const char *const *extra);

/** td_proc_end(). */
void td_daemon_end(struct td_daemon *d);

#endif
