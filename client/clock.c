/* The clocks of the client, and its threads. */
#include "client/bus.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

static int64_t clock_us(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t td_now_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

int64_t td_now_ms(void)
{
    return td_now_us() / 1000;
}

int64_t td_unix_us(void)
{
    return clock_us(CLOCK_REALTIME);
}

int64_t td_unix_coarse_us(void)
{
#ifdef CLOCK_REALTIME_COARSE
    return clock_us(CLOCK_REALTIME_COARSE);
#else
    return clock_us(CLOCK_REALTIME);
#endif
}

void td_sleep_until_us(int64_t at_us)
{
    const struct timespec at = {.tv_sec = at_us / 1000000,
                                .tv_nsec = at_us % 1000000 * 1000};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
        ;
}

bool td_thread_start(pthread_t *out, void *(*run)(void *), void *arg)
{
    sigset_t every;
    sigset_t before;
    bool ok;

    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &before);
    ok = pthread_create(out, NULL, run, arg) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return ok;
}
