/* An instance of a service, as a process that tests start.
 *
 *   system_instance NAME [FILE]
 *
 * With INSTANCE_HOST in the environment it says that it is on that machine.
 *
 * It is registered at TIDINGS_URL and says "registered"; with FILE it is
 * starting, and running once that file is there. SIGTERM ends it in order. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "tidings/tidings.h"

#define WAIT_MS 15000
#define LOOK_NS 5000000 /* between looks for the file */

static volatile sig_atomic_t ended;

static void on_term(int number)
{
    (void)number;
    ended = 1;
}

static int fail(const char *what, tidings_err err)
{
    fprintf(stderr, "%s: %s: %s\n", what, tidings_err_text(err),
            tidings_detail());
    return 1;
}

static tidings_err echo(void *arg, tidings_task *task,
                        const struct tidings_event *request)
{
    (void)arg;
    return tidings_answer(task, request->data, request->data_len);
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
}

int main(int argc, char **argv)
{
    const struct tidings_endpoint endpoint = {.type = "instance.echo",
                                              .handler = echo};
    struct tidings_service_options options = {.name = argv[1],
                                              .version = "1.0.0",
                                              .endpoints = &endpoint,
                                              .endpoints_len = 1};
    const char *file = argc > 2 ? argv[2] : NULL;
    const struct tidings_pair host = {"host", getenv("INSTANCE_HOST")};
    struct sigaction action = {.sa_handler = on_term};
    tidings_service *service = NULL;
    tidings_bus *bus = NULL;
    tidings_err err;

    if (argc < 2)
        return 2;
    sigaction(SIGTERM, &action, NULL);
    if (host.value) {
        options.metadata = &host;
        options.metadata_len = 1;
    }
    options.health = file ? TIDINGS_STARTING : TIDINGS_RUNNING;
    err = tidings_open(&bus, getenv("TIDINGS_URL"), NULL);
    if (!err)
        err = tidings_wait(bus, WAIT_MS);
    if (!err)
        err = tidings_serve(&service, bus, &options);
    if (err)
        return fail("serve", err);
    puts("registered");
    fflush(stdout);
    while (!ended && file && access(file, F_OK) != 0)
        nap();
    if (file)
        tidings_service_set_health(service, TIDINGS_RUNNING, NULL);
    while (!ended)
        nap();
    err = tidings_service_stop(service, WAIT_MS);
    tidings_close(bus);
    return err ? fail("stop", err) : 0;
}
