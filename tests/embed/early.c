#include "tests/embed/early.h"

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tidings/tidings.h"

#define TRIP_S   15
#define CLOSE_MS 10000

static tidings_bus *bus;
static tidings_err opened;
static sem_t came;

static tidings_err on_event(void *arg, const struct tidings_event *event)
{
    (void)arg;
    (void)event;
    sem_post(&came);
    return TIDINGS_OK;
}

__attribute__((constructor)) static void start(void)
{
    const struct tidings_options options = {.close_timeout_ms = CLOSE_MS};
    const char *url = getenv("EARLY_URL");

    sem_init(&came, 0, 0);
    if (!url)
        return;
    opened = tidings_open(&bus, url, &options);
    if (!opened)
        opened = tidings_subscribe(NULL, bus, "early", on_event, NULL, NULL);
}

__attribute__((destructor)) static void end(void)
{
    tidings_err err;

    if (!bus)
        return;
    tidings_publish(bus, "early", NULL, 0); /* still works, and is taken */
    err = tidings_close(bus);
    printf("early closed: %s\n", tidings_err_name(err));
    fflush(stdout);
}

__attribute__((visibility("default"))) const char *early_round_trip(void)
{
    struct timespec deadline;

    if (opened || !bus)
        return tidings_err_name(opened);
    if (tidings_publish(bus, "early", NULL, 0))
        return tidings_detail();
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += TRIP_S;
    return sem_timedwait(&came, &deadline) ? "nothing came" : NULL;
}
