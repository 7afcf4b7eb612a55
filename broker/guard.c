/* A thread that hears from libzmq of each connection it has accepted, and
 * shuts those down that came too late.
 *
 * accept() gives the lowest number that is free, so a high number says that
 * all below it are in use: nothing is counted, and nothing can be miscounted.
 * Should a connection be gone and its number be used again before it is shut
 * down, then the new holder of so high a number came too late as well.
 *
 * Unbinding the listener instead would end every connection made through it.
 * The thread is apart from the edge's loop, which may be busy for longer than
 * a storm of connections takes to use all descriptors up. */
#include "broker/guard.h"

#include "proto/limits.h"
#include "proto/plural.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <zmq.h>

#define ADDRESS "inproc://guard"

struct td_guard {
    void *router;  /* borrowed */
    void *monitor; /* the thread's, while it runs */
    pthread_t thread;
    bool running;
    struct td_log log;
    rlim_t limit; /* the first number that is too high */
    uint64_t turned_away;
    time_t told_s; /* monotonic; 0: never */
};

/* ---- the thread ---- */

static void tell(struct td_guard *guard)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    if (guard->told_s != 0 && now.tv_sec - guard->told_s < TD_GUARD_TELL_S)
        return;
    guard->told_s = now.tv_sec;
    td_log(&guard->log, TD_LOG_WARN, "DESCRIPTORS",
           "%llu %s turned away so far: %llu descriptors are in use; "
           "raise the limit (ulimit -n)",
           (unsigned long long)guard->turned_away,
           td_plural(guard->turned_away, "connection", "connections"),
           (unsigned long long)guard->limit);
}

static void on_accepted(struct td_guard *guard, int fd)
{
    if ((rlim_t)fd < guard->limit)
        return;
    /* libzmq finds it closed, and frees it. */
    shutdown(fd, SHUT_RDWR);
    guard->turned_away++;
    tell(guard);
}

/* The event and its value are packed into one frame; the address follows. */
static uint16_t read_event(zmq_msg_t *message, uint32_t *value)
{
    const char *data = zmq_msg_data(message);
    uint16_t event = 0;

    if (zmq_msg_size(message) == sizeof(event) + sizeof(*value)) {
        memcpy(&event, data, sizeof(event));
        memcpy(value, data + sizeof(event), sizeof(*value));
    }
    return event;
}

static void *watch(void *arg)
{
    struct td_guard *guard = arg;
    uint16_t event = 0;
    zmq_msg_t message;

    zmq_msg_init(&message);
    while (event != ZMQ_EVENT_MONITOR_STOPPED) {
        uint32_t value = 0;

        if (zmq_msg_recv(&message, guard->monitor, 0) < 0) {
            if (errno == EINTR)
                continue;
            break; /* ETERM: the context ends */
        }
        event = read_event(&message, &value);
        if (event == ZMQ_EVENT_ACCEPTED)
            on_accepted(guard, (int)value);
        while (zmq_msg_more(&message) &&
               zmq_msg_recv(&message, guard->monitor, 0) >= 0)
            ;
    }
    zmq_msg_close(&message);
    return NULL;
}

/* Signals are for the thread that has installed their handlers. */
static bool start(struct td_guard *guard)
{
    sigset_t all;
    sigset_t before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    guard->running = pthread_create(&guard->thread, NULL, watch, guard) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return guard->running;
}

/* ---- setting up ---- */

/* Gives the first number that is too high. */
static rlim_t raise_limit(void)
{
    struct rlimit limit;
    rlim_t reserve;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return RLIM_INFINITY;
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
        getrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur == RLIM_INFINITY)
        return RLIM_INFINITY;
    reserve = limit.rlim_cur / 4;
    return limit.rlim_cur -
           (reserve < TD_GUARD_RESERVE ? reserve : TD_GUARD_RESERVE);
}

/* Without a bound on the monitor: libzmq waits for whoever reads it. */
static bool monitor(struct td_guard *guard, void *context)
{
    const int none = 0;

    guard->monitor = zmq_socket(context, ZMQ_PAIR);
    return guard->monitor &&
           zmq_setsockopt(guard->monitor, ZMQ_RCVHWM, &none, sizeof(none)) ==
               0 &&
           zmq_setsockopt(guard->monitor, ZMQ_LINGER, &none, sizeof(none)) ==
               0 &&
           zmq_socket_monitor(guard->router, ADDRESS,
                              ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_MONITOR_STOPPED) ==
               0 &&
           zmq_connect(guard->monitor, ADDRESS) == 0;
}

tidings_err td_guard_new(struct td_guard **out, void *context, void *router,
                         const struct td_log *log)
{
    struct td_guard *guard = calloc(1, sizeof(*guard));

    if (!guard)
        return TIDINGS_ENOMEM;
    guard->router = router;
    guard->log = *log;
    guard->limit = raise_limit();
    if (!monitor(guard, context) || !start(guard)) {
        td_guard_free(guard);
        return TIDINGS_EIO;
    }
    *out = guard;
    return TIDINGS_OK;
}

void td_guard_free(struct td_guard *guard)
{
    if (!guard)
        return;
    zmq_socket_monitor(guard->router, NULL, 0);
    if (guard->running)
        pthread_join(guard->thread, NULL);
    if (guard->monitor)
        zmq_close(guard->monitor);
    free(guard);
}
