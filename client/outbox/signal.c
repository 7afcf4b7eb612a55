#include "client/outbox/signal.h"

#include <fcntl.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

bool td_signal_init(struct td_signal *s)
{
    atomic_init(&s->end_ms, 0);
    s->fd[0] = s->fd[1] = -1;
    if (pipe(s->fd) < 0)
        return false;
    for (int i = 0; i < 2; i++) {
        fcntl(s->fd[i], F_SETFD, FD_CLOEXEC);
        fcntl(s->fd[i], F_SETFL, O_NONBLOCK);
    }
    return true;
}

void td_signal_fini(struct td_signal *s)
{
    for (int i = 0; i < 2; i++) {
        if (s->fd[i] >= 0)
            close(s->fd[i]);
    }
}

void td_signal_wake(struct td_signal *s)
{
    const char byte = 0;

    if (write(s->fd[1], &byte, 1) < 0)
        return; /* it is full: readable all the same */
}

void td_signal_end(struct td_signal *s)
{
    atomic_store(&s->end_ms, td_signal_now_ms());
    td_signal_wake(s);
}

bool td_signal_ended(struct td_signal *s)
{
    return atomic_load(&s->end_ms) != 0;
}

bool td_signal_ended_for(struct td_signal *s, int ms)
{
    int64_t end_ms = atomic_load(&s->end_ms);

    return end_ms && td_signal_now_ms() - end_ms >= ms;
}

void td_signal_clear(struct td_signal *s)
{
    char bytes[256];

    while (read(s->fd[0], bytes, sizeof(bytes)) == (ssize_t)sizeof(bytes))
        ;
}

void td_signal_wait(struct td_signal *s, int timeout_ms)
{
    struct pollfd ready = {.fd = s->fd[0], .events = POLLIN};

    poll(&ready, 1, timeout_ms);
    td_signal_clear(s);
}

void td_signal_rest(struct td_signal *s, int timeout_ms)
{
    int64_t end = td_signal_now_ms() + timeout_ms;
    int64_t left = timeout_ms;

    while (left > 0 && !td_signal_ended(s)) {
        td_signal_wait(s, (int)left);
        left = end - td_signal_now_ms();
    }
}

int64_t td_signal_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}
