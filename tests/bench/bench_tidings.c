/* tidings as its users run it: the public header and default options.
 *
 *   pub   publish to the broker at --url
 *   sub   take events from the broker at --url
 *   pair  both, in one process over an inproc:// --url: the main thread
 *         publishes, the handler runs on the library's thread
 */
#include <string.h>

#include "tidings/tidings.h"

#include "tests/bench/bench.h"

static void check(tidings_err err, const char *what)
{
    if (err)
        bench_die("tidings: %s: %s; %s", what, tidings_err_text(err),
                  tidings_detail());
}

static tidings_bus *open_bus(const char *url)
{
    tidings_bus *bus;

    check(tidings_open(&bus, url, NULL), "open");
    check(tidings_wait(bus, BENCH_WAIT_MS), "wait");
    return bus;
}

/* EFULL means that the broker gave no credit for five seconds: a failure. */
static void send_event(void *arg, const void *data, size_t len)
{
    tidings_err err = tidings_publish(arg, BENCH_TYPE, data, len);

    if (err)
        check(err, "publish");
}

static tidings_err on_event(void *arg, const struct tidings_event *event)
{
    bench_sink_take(arg, event->data, event->data_len);
    return TIDINGS_OK;
}

static void publish(const struct bench_args *args, tidings_bus *bus)
{
    bench_publish(args, send_event, bus);
    check(tidings_flush(bus, BENCH_WAIT_MS), "flush");
}

static int pub(const struct bench_args *args)
{
    tidings_bus *bus = open_bus(args->url);

    publish(args, bus);
    check(tidings_close(bus), "close");
    return 0;
}

static int sub(const struct bench_args *args, bool publish_too)
{
    struct bench_sink sink;
    tidings_bus *bus;
    int status;

    if (publish_too) /* the library's threads receive */
        bench_stay_on_core(BENCH_RECEIVING_CORE);
    bus = open_bus(args->url);
    bench_sink_init(&sink, args);
    check(tidings_subscribe(NULL, bus, BENCH_TYPE, on_event, &sink, NULL),
          "subscribe");
    bench_say_ready();
    if (publish_too) {
        bench_stay_on_core(BENCH_SENDING_CORE);
        publish(args, bus);
    }
    bench_sink_wait(&sink);
    check(tidings_close(bus), "close");
    status = bench_sink_report(&sink);
    bench_sink_fini(&sink);
    return status;
}

int main(int argc, char **argv)
{
    struct bench_args args;

    bench_args_parse(&args, argc, argv);
    if (!args.url)
        bench_die("--url is required");
    if (!strcmp(args.role, "pub"))
        return pub(&args);
    if (!strcmp(args.role, "sub"))
        return sub(&args, false);
    if (!strcmp(args.role, "pair"))
        return sub(&args, true);
    bench_die("no such role: %s", args.role);
}
