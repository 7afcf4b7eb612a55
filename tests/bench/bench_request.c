/* Requests through tidings. Roles: see ask.h; and discover: who answers. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tests/bench/ask.h"
#include "tidings/service.h"

static void check(tidings_err err, const char *what)
{
    if (err)
        bench_die("tidings: %s: %s: %s", what, tidings_err_text(err),
                  tidings_detail());
}

static tidings_bus *open_bus(const char *url)
{
    tidings_bus *bus = NULL;

    check(tidings_open(&bus, url, NULL), "open");
    check(tidings_wait(bus, BENCH_WAIT_MS), "connect");
    return bus;
}

/* ---- answering ---- */

static tidings_err echo(void *arg, tidings_task *task,
                        const struct tidings_event *request)
{
    (void)arg;
    return tidings_answer(task, request->data, request->data_len);
}

static void serve(tidings_bus *bus)
{
    const struct tidings_endpoint endpoint = {
        .type = BENCH_TYPE, .handler = echo, .max_in_flight = 65536};
    const struct tidings_service_options options = {.name = "bench",
                                                    .version = "1.0.0",
                                                    .endpoints = &endpoint,
                                                    .endpoints_len = 1};
    tidings_service *service;

    check(tidings_serve(&service, bus, &options), "serve");
}

/* ---- asking ---- */

static bool ask_bus(void *arg, const void *data, size_t len)
{
    struct tidings_reply reply;
    bool same =
        !tidings_request(&reply, arg, BENCH_TYPE, data, len, BENCH_WAIT_MS) &&
        reply.len == len && memcmp(reply.data, data, len) == 0;

    tidings_reply_fini(&reply);
    return same;
}

static void on_reply(void *arg, const struct tidings_reply *reply)
{
    ask_window_take(arg, reply->err ? NULL : reply->data, reply->len);
}

static int pipeline(const struct bench_args *args, tidings_bus *bus)
{
    const struct tidings_request_options options = {.timeout_ms =
                                                        BENCH_WAIT_MS};
    int64_t first_ns = bench_now_ns();
    struct ask_window window;
    char data[BENCH_DATA_MAX];
    struct tidings_event event = {
        .type = BENCH_TYPE, .data = data, .data_len = args->bytes};

    memset(data, 0, args->bytes);
    ask_window_init(&window, args);
    while (ask_window_next(&window, data))
        check(tidings_request_async(bus, &event, &options, on_reply, &window),
              "request");
    return ask_window_report(&window, first_ns);
}

/* Whoever answers, found --events times in the copy of the registry. */
static int discover(const struct bench_args *args, tidings_bus *bus)
{
    struct tidings_instances *found;
    int64_t first_ns;

    check(tidings_discover(&found, bus, "bench", BENCH_WAIT_MS), "discover");
    tidings_instances_free(found);
    first_ns = bench_now_ns();
    for (uint64_t i = 0; i < args->events; i++) {
        check(tidings_discover(&found, bus, "bench", BENCH_WAIT_MS),
              "discover");
        if (found->len != 1 || found->stale)
            bench_die("%zu instances are found", found->len);
        tidings_instances_free(found);
    }
    printf("result first_ns=%" PRId64 " last_ns=%" PRId64 "\n", first_ns,
           bench_now_ns());
    return 0;
}

int main(int argc, char **argv)
{
    struct bench_args args;
    tidings_bus *bus;
    tidings_bus *inner = NULL;
    int status;

    bench_args_parse(&args, argc, argv);
    bus = open_bus(args.url);
    if (strcmp(args.role, "answer") == 0) {
        serve(bus);
        bench_say_ready();
        bench_stay();
    }
    if (strncmp(args.url, "inproc:", 7) == 0) { /* all of it in this process */
        inner = open_bus(args.url);
        serve(inner);
    }
    status = strcmp(args.role, "ask") == 0 ? ask_each(&args, ask_bus, bus)
             : strcmp(args.role, "pipeline") == 0 ? pipeline(&args, bus)
             : strcmp(args.role, "discover") == 0 ? discover(&args, bus)
                                                  : 2;
    if (status == 2)
        bench_die("no role %s", args.role);
    tidings_close(bus);
    tidings_close(inner);
    return status;
}
