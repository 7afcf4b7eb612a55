#include "tests/support/watchdog.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/proc.h"

#define LOOK_MS 250

static _Atomic int64_t end_ms; /* 0: never */
static atomic_int allowed_s;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* What gdb prints goes where the test's own text goes. */
static void show_threads(void)
{
    char command[128];

    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
    snprintf(command, sizeof(command),
             "timeout 60 gdb -nx -batch -p %ld -ex 'thread apply all bt' "
             ">&2 2>/dev/null",
             (long)getpid());
    if (system(command) != 0)
        fprintf(stderr, "gdb, which would say more, could not be asked\n");
}

static void *watch(void *arg)
{
    const struct timespec look = {.tv_nsec = LOOK_MS * 1000000L};
    int64_t end;

    (void)arg;
    prctl(PR_SET_NAME, "watchdog");
    do {
        nanosleep(&look, NULL);
        end = atomic_load(&end_ms);
    } while (end == 0 || td_proc_now_ms() < end);
    fprintf(stderr, "\nthe test that began last hangs: %d s\n",
            atomic_load(&allowed_s));
    show_threads();
    abort();
}

static void start(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, watch, NULL) == 0)
        pthread_detach(thread);
}

void td_watchdog_set(int seconds)
{
    atomic_store(&allowed_s, seconds);
    atomic_store(&end_ms,
                 seconds ? td_proc_now_ms() + (int64_t)seconds * 1000 : 0);
    pthread_once(&once, start);
}
