#include "client/cli/up/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "client/cli/out.h"
#include "client/cli/stop.h"
#include "client/cli/up/control.h"
#include "client/cli/up/guard.h"
#include "client/cli/up/run.h"

#define FINISH_MS  2000 /* for what is left to be printed at the end */
#define LONGEST_MS 60000
#define POLLS_MAX  (3 + TD_UP_CONTROL_POLLS + 2 * TD_UP_PROCESSES_MAX)

struct loop {
    const struct td_up_job *job;
    struct td_up_run *run;
    struct td_up_control control;
    int signals;
    int front; /* -1: not, or not any more */
    unsigned interrupts;
};

static int64_t now_of(void)
{
    return td_clock_us() / 1000;
}

/* ---- what comes ---- */

/* Only a second Ctrl-C kills: others may come twice of themselves, SIGHUP from
 * the shell and from the terminal, SIGTERM from who stops a whole group. */
static void on_signals(struct loop *l)
{
    struct signalfd_siginfo info;

    while (read(l->signals, &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo != SIGCHLD)
            td_plan_stop(&l->run->plan);
        if (info.ssi_signo == SIGINT && l->interrupts++ > 0)
            td_plan_kill(&l->run->plan);
    }
    td_up_run_reap(l->run, now_of());
}

/* Whoever waited in front has gone: nobody would know of what runs here. */
static void on_front_gone(struct loop *l)
{
    close(l->front);
    l->front = -1;
    td_up_run_tell(l->run, NULL, "nobody waits for it any more");
    td_plan_stop(&l->run->plan);
}

static size_t fill(struct loop *l, struct pollfd *polls)
{
    size_t len = 0;

    polls[len++] = (struct pollfd){.fd = l->signals, .events = POLLIN};
    polls[len++] = (struct pollfd){
        .fd = td_up_log_waits(&l->run->log) ? l->run->log.fd : -1,
        .events = POLLOUT};
    polls[len++] = (struct pollfd){.fd = l->front};
    len += td_up_control_polls(&l->control, polls + len);
    len += td_up_run_polls(l->run, polls + len);
    return len;
}

static int wait_ms(const struct td_up_run *run)
{
    int64_t left = td_up_run_due(run) - now_of();

    return left <= 0 ? 0 : left < LONGEST_MS ? (int)left : LONGEST_MS;
}

static void turn(struct loop *l)
{
    struct pollfd polls[POLLS_MAX];
    size_t len = fill(l, polls);

    if (poll(polls, len, wait_ms(l->run)) <= 0)
        return;
    if (polls[1].revents)
        td_up_log_flush(&l->run->log);
    if (l->front >= 0 && polls[2].revents)
        on_front_gone(l);
    for (size_t i = 3; i < len; i++) {
        if (!polls[i].revents)
            continue;
        td_up_control_read(&l->control, polls[i].fd, l->run, now_of());
        td_up_run_read(l->run, polls[i].fd);
    }
    /* last: what the dead have printed comes before that they are dead */
    if (polls[0].revents)
        on_signals(l);
}

/* ---- the front of --detach ---- */

/* From here on this is in the background. */
static void leave_front(struct loop *l)
{
    const char all_ready = TD_UP_ALL_READY;

    if (l->front < 0 || !l->run->told_ready)
        return;
    td_up_log_forget(&l->run->log);
    if (write(l->front, &all_ready, 1) != 1) {
        on_front_gone(l);
        return;
    }
    close(l->front);
    l->front = -1;
}

static bool follow_front(struct loop *l)
{
    int copy = fcntl(l->front, F_DUPFD_CLOEXEC, 0);

    if (copy < 0 || fcntl(l->front, F_SETFL, O_NONBLOCK) != 0)
        return false;
    td_up_log_follow(&l->run->log, copy);
    return true;
}

/* ---- from beginning to end ---- */

static bool open_all(struct loop *l)
{
    const struct td_up_job *job = l->job;
    sigset_t signals;
    int fd;

    td_up_guard_signals(&signals);
    l->signals = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (l->signals < 0 ||
        !td_up_log_open(&l->run->log, td_up_run_width(&job->file->spec)))
        return false;
    if (l->front >= 0 &&
        (!td_up_log_to_file(&l->run->log, job->state->folder) ||
         !follow_front(l)))
        return false;
    fd = td_up_state_listen(job->state);
    td_up_control_init(&l->control, fd, job->name);
    return fd >= 0;
}

/* A terminal hung up, or what the front waits for never comes. */
static bool has_reason_to_stop(const struct loop *l)
{
    return l->run->log.gone || (l->front >= 0 && td_plan_failed(&l->run->plan));
}

static void run_all(struct loop *l)
{
    td_up_run_init(l->run, &l->job->file->spec, l->job->url,
                   l->job->abort_on_failure, now_of());
    td_up_run_step(l->run, now_of());
    while (!td_plan_over(&l->run->plan)) {
        turn(l);
        if (has_reason_to_stop(l))
            td_plan_stop(&l->run->plan);
        td_up_run_step(l->run, now_of());
        leave_front(l);
    }
    td_up_run_tell(l->run, NULL,
                   td_plan_failed(&l->run->plan) ? "all ended; not all well"
                                                 : "all ended");
}

static int end_all(struct loop *l)
{
    int code = td_plan_failed(&l->run->plan) ? TD_EXIT_FAILED : TD_EXIT_DONE;

    td_up_state_unlisten(l->job->state);
    td_up_control_fini(&l->control);
    td_up_run_fini(l->run);
    td_up_log_finish(&l->run->log, FINISH_MS);
    return code;
}

/* In the background there is nobody but the front. */
static void complain(const struct loop *l, const char *why)
{
    if (l->front >= 0)
        dprintf(l->front, "%s: %s\n", l->job->state->path, why);
    else
        td_complain("%s: %s", l->job->state->path, why);
}

int td_up_loop(void *arg)
{
    struct loop l = {.job = arg, .signals = -1, .control = {.fd = -1}};
    int code = TD_EXIT_FAILED;

    l.front = l.job->front;
    l.run = calloc(1, sizeof(*l.run));
    if (!l.run) {
        td_complain("out of memory");
        return code;
    }
    l.run->log.folder = -1;
    if (open_all(&l)) {
        run_all(&l);
        code = end_all(&l);
    } else {
        complain(&l, strerror(errno));
    }
    td_up_log_close(&l.run->log);
    td_up_control_fini(&l.control);
    if (l.front >= 0)
        close(l.front);
    if (l.signals >= 0)
        close(l.signals);
    free(l.run);
    return code;
}
