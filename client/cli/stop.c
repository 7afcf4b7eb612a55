#include "client/cli/stop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static atomic_int stopped; /* lock-free: fit for handlers and threads */
static int stop_pipe[2] = {-1, -1}; /* closed by the end of the process */

static void on_signal(int number)
{
    int saved = errno;

    (void)number;
    stopped = 1;
    /* a pipe that is full is readable, too */
    if (write(stop_pipe[1], "", 1) < 0)
        errno = saved;
    errno = saved;
}

bool td_stop_init(void)
{
    struct sigaction action;

    if (pipe(stop_pipe))
        return false;
    for (int i = 0; i < 2; i++) {
        fcntl(stop_pipe[i], F_SETFD, FD_CLOEXEC);
        fcntl(stop_pipe[i], F_SETFL, O_NONBLOCK);
    }

    memset(&action, 0, sizeof(action));
    action.sa_handler = on_signal;
    action.sa_flags = (int)SA_RESETHAND; /* the second one kills */
    if (sigaction(SIGINT, &action, NULL) || sigaction(SIGTERM, &action, NULL))
        return false;

    action.sa_handler = SIG_IGN;
    action.sa_flags = 0;
    return sigaction(SIGPIPE, &action, NULL) == 0;
}

void td_stop_hold(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_handler = on_signal;
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        sigaction(signals[i], &action, NULL);
}

bool td_stopped(void)
{
    return stopped != 0;
}

int td_stop_fd(void)
{
    return stop_pipe[0];
}

int64_t td_clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t td_clock_us(void)
{
    return td_clock_ns() / 1000;
}

void td_pause(int64_t us)
{
    struct timespec time = {.tv_sec = (time_t)(us / 1000000),
                            .tv_nsec = (long)(us % 1000000) * 1000};

    nanosleep(&time, NULL);
}

/* Long waits in poll(), which the signal wakes; the last milliseconds to an
 * absolute time, so that lateness does not add up. */
bool td_sleep_until(int64_t deadline_us)
{
    struct pollfd fd = {.fd = stop_pipe[0], .events = POLLIN};
    struct timespec until = {.tv_sec = (time_t)(deadline_us / 1000000),
                             .tv_nsec = (long)(deadline_us % 1000000) * 1000};
    int64_t left_ms;

    while (!stopped && (left_ms = (deadline_us - td_clock_us()) / 1000 - 1) > 0)
        poll(&fd, 1, left_ms < 60000 ? (int)left_ms : 60000);
    while (!stopped && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until,
                                       NULL) == EINTR)
        ;
    return !stopped;
}
