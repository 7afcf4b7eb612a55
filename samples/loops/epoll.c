/* tidings in a loop around epoll, edge-triggered, beside a timer and signals.
 *
 *     loop_epoll URL PATTERN [COUNT]
 *
 * Publishes loop.tick every second; prints each event that PATTERN matches.
 * Ends at SIGINT or SIGTERM, or after COUNT events.
 *
 * What must be right:
 * - The bus is opened with own_loop. Then handlers and on_status are called
 *   inside tidings_dispatch() and nowhere else.
 * - With EPOLLET the kernel tells once that something has come, not that
 *   something is left. So the descriptor counts as ready until a dispatch did
 *   fewer events than it was allowed; only then may the loop sleep. Dispatch a
 *   bounded number a turn all the same, or timer and signals wait while events
 *   pour in. Without EPOLLET the kernel remembers what is left: poll.c.
 * - Nothing in the loop may wait: a publish that finds no room fails at once
 *   with TIDINGS_EFULL (publish_timeout_ms = -1).
 * - The descriptor leaves the epoll set before tidings_close(), which closes
 *   it.
 * Signals are blocked here to be read from a descriptor; the threads of the
 * library block all of theirs, so that none goes astray.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <tidings/tidings.h>
#include <unistd.h>

#define EVENTS_A_TURN 64

static unsigned long left; /* events still to be printed */

static int complain(const char *what, tidings_err err)
{
    fprintf(stderr, "loop_epoll: %s: %s: %s\n", what, tidings_err_text(err),
            tidings_detail());
    return 1;
}

static tidings_err on_event(void *arg, const struct tidings_event *event)
{
    (void)arg;
    if (left > 0) {
        printf("%s %.*s\n", event->type, (int)event->data_len,
               (const char *)event->data);
        left--;
    }
    return TIDINGS_OK;
}

static void on_status(void *arg, const struct tidings_status *status)
{
    (void)arg;
    fprintf(stderr, "loop_epoll: %s: %s\n", tidings_status_name(status->kind),
            status->text);
}

static void publish_tick(tidings_bus *bus, int timer)
{
    static unsigned long ticks;
    char text[24];
    struct tidings_event event = {
        .type = "loop.tick", .data = text, .datacontenttype = "text/plain"};
    uint64_t passed;
    tidings_err err;

    if (read(timer, &passed, sizeof(passed)) < 0)
        return;
    event.data_len =
        (size_t)snprintf(text, sizeof(text), "%lu", ticks += passed);
    err = tidings_publish_event(bus, &event);
    if (err)
        complain("publish", err);
}

static int open_timer(void)
{
    const struct itimerspec second = {.it_interval = {.tv_sec = 1},
                                      .it_value = {.tv_sec = 1}};
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);

    if (fd >= 0)
        timerfd_settime(fd, 0, &second, NULL);
    return fd;
}

static int open_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

static bool add(int epoll, int fd, uint32_t events)
{
    struct epoll_event e = {.events = events, .data = {.fd = fd}};

    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) == 0;
}

static tidings_err loop(tidings_bus *bus, int epoll, int bus_fd, int timer)
{
    bool ready = false; /* something may wait to be dispatched */

    while (left > 0) {
        struct epoll_event events[8];
        int n = epoll_wait(epoll, events, 8, ready ? 0 : -1);

        if (n < 0 && errno != EINTR)
            return TIDINGS_EIO;
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == bus_fd)
                ready = true;
            else if (events[i].data.fd == timer)
                publish_tick(bus, timer);
            else /* a signal */
                return TIDINGS_OK;
        }
        if (ready) {
            size_t done;
            tidings_err err = tidings_dispatch(&done, bus, EVENTS_A_TURN);

            if (err)
                return err;
            ready = done == EVENTS_A_TURN;
        }
    }
    return TIDINGS_OK;
}

static tidings_err run(tidings_bus *bus)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    int timer = open_timer();
    int signals = open_signals();
    int bus_fd = -1;
    tidings_err err = tidings_fd(&bus_fd, bus);

    if (!err && add(epoll, bus_fd, EPOLLIN | EPOLLET) &&
        add(epoll, timer, EPOLLIN) && add(epoll, signals, EPOLLIN))
        err = loop(bus, epoll, bus_fd, timer);
    else if (!err)
        err = TIDINGS_EIO;
    close(epoll);
    close(timer);
    close(signals);
    return err;
}

int main(int argc, char **argv)
{
    const struct tidings_options options = {
        .name = "loop_epoll",
        .own_loop = true,
        .publish_timeout_ms = -1,
        .on_status = on_status,
    };
    tidings_bus *bus = NULL;
    tidings_err err;

    if (argc < 3 || argc > 4) {
        fprintf(stderr, "usage: loop_epoll URL PATTERN [COUNT]\n");
        return 2;
    }
    left = argc > 3 ? strtoul(argv[3], NULL, 10) : ULONG_MAX;
    setvbuf(stdout, NULL, _IOLBF, 0);

    if ((err = tidings_open(&bus, argv[1], &options)) ||
        (err = tidings_subscribe(NULL, bus, argv[2], on_event, NULL, NULL)) ||
        (err = run(bus)))
        complain(argv[1], err);
    tidings_close(bus);
    return err ? 1 : 0;
}
