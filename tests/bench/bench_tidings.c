/* tidings as its users run it: the public header and default options.
 *
 *   pub   publish to the broker at --url
 *   sub   take events from the broker at --url; with --group as --member of
 *         --subscribers that share them
 *   many  --clients buses with --each subscriptions, a type for each
 *   hold  the same to types that nobody publishes, until it is ended
 *   pair  both, in one process over an inproc:// --url: the main thread
 *         publishes, the handler runs on the library's thread
 */
#include <stdlib.h>
#include <string.h>

#include "tidings/tidings.h"

#include "tests/bench/bench.h"

static void check(tidings_err err, const char *what)
{
    if (err)
        bench_die("tidings: %s: %s; %s", what, tidings_err_text(err),
                  tidings_detail());
}

static tidings_bus *open_bus(const char *url,
                             const struct tidings_options *options)
{
    tidings_bus *bus;

    check(tidings_open(&bus, url, options), "open");
    check(tidings_wait(bus, BENCH_WAIT_MS), "wait");
    return bus;
}

/* ---- publishing ---- */

/* EFULL means that the broker gave no credit for five seconds: a failure. */
static void send_event(void *arg, const char *type, const void *data,
                       size_t len)
{
    tidings_err err = tidings_publish(arg, type, data, len);

    if (err)
        check(err, "publish");
}

static void flush(void *arg)
{
    check(tidings_flush(arg, BENCH_WAIT_MS), "flush");
}

static void publish(const struct bench_args *args, tidings_bus *bus)
{
    const struct bench_out out = {send_event, flush, bus};

    bench_publish(args, &out);
}

static int pub(const struct bench_args *args)
{
    tidings_bus *bus = open_bus(args->url, NULL);

    publish(args, bus);
    check(tidings_close(bus), "close");
    return 0;
}

/* ---- subscribers that get everything ---- */

static void set_sharing(struct tidings_sub_options *options,
                        const struct bench_args *args)
{
    options->group = args->group;
    if (!args->policy || !strcmp(args->policy, "block"))
        options->policy = TIDINGS_BLOCK;
    else if (!strcmp(args->policy, "drop_oldest"))
        options->policy = TIDINGS_DROP_OLDEST;
    else if (!strcmp(args->policy, "drop_newest"))
        options->policy = TIDINGS_DROP_NEWEST;
    else
        bench_die("tidings: no such policy: %s", args->policy);
}

static tidings_err on_event(void *arg, const struct tidings_event *event)
{
    bench_sink_take(arg, event->data, event->data_len);
    return TIDINGS_OK;
}

/* Called like a handler: same thread, same order. */
static void on_status(void *arg, const struct tidings_status *status)
{
    struct bench_sink *sink = arg;

    if (status->kind == TIDINGS_GAP)
        bench_sink_told(sink, sink->told + status->count);
}

static int sub(const struct bench_args *args, bool publish_too)
{
    struct bench_sink sink;
    struct tidings_sub_options sharing = {0};
    const struct tidings_options options = {.on_status = on_status,
                                            .on_status_arg = &sink};
    tidings_bus *bus;
    int status;

    bench_sink_init(&sink, args);
    set_sharing(&sharing, args);
    if (publish_too) /* the library's threads receive */
        bench_stay_on_core(BENCH_RECEIVING_CORE);
    bus = open_bus(args->url, &options);
    check(tidings_subscribe(NULL, bus, BENCH_TYPE, on_event, &sink, &sharing),
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

/* ---- subscribers that share ---- */

struct client {
    struct bench_tally *tally; /* NULL: nothing is to arrive */
    uint64_t member;
    tidings_bus *bus;
};

static tidings_err on_shared(void *arg, const struct tidings_event *event)
{
    const struct client *client = arg;

    bench_tally_take(client->tally, client->member, event->data,
                     event->data_len);
    return TIDINGS_OK;
}

static int member(const struct bench_args *args)
{
    struct tidings_sub_options sharing = {0};
    struct bench_tally tally;
    struct client client = {.tally = &tally, .member = args->member};
    int status;

    bench_tally_init(&tally, args, args->subscribers, true);
    set_sharing(&sharing, args);
    client.bus = open_bus(args->url, NULL);
    check(tidings_subscribe(NULL, client.bus, BENCH_TYPE, on_shared, &client,
                            &sharing),
          "subscribe");
    bench_say_ready();
    bench_tally_wait(&tally);
    check(tidings_close(client.bus), "close");
    status = bench_tally_report(&tally, args->member, 1);
    bench_tally_fini(&tally);
    return status;
}

struct clients {
    const struct bench_args *args;
    struct client *client;
};

static void open_client(void *arg, uint64_t n)
{
    const struct clients *clients = arg;
    const struct bench_args *args = clients->args;
    struct client *client = &clients->client[n];
    char type[BENCH_TYPE_BYTES];

    client->bus = open_bus(args->url, NULL);
    for (uint64_t i = n * args->each; i < (n + 1) * args->each; i++) {
        bench_type(type, i, client->tally);
        check(
            tidings_subscribe(NULL, client->bus, type, on_shared, client, NULL),
            "subscribe");
    }
}

static void close_client(void *arg, uint64_t n)
{
    const struct clients *clients = arg;

    check(tidings_close(clients->client[n].bus), "close");
}

static int many(const struct bench_args *args, bool published)
{
    struct clients clients = {.args = args};
    struct bench_tally tally;
    int status;

    bench_tally_init(&tally, args, args->clients, false);
    clients.client = calloc(args->clients, sizeof(*clients.client));
    if (!clients.client)
        bench_die("no memory");
    for (uint64_t i = 0; i < args->clients; i++) {
        clients.client[i].tally = published ? &tally : NULL;
        clients.client[i].member = i;
    }
    bench_each(args->clients, open_client, &clients);
    bench_say_ready();
    if (!published)
        bench_stay();
    bench_tally_wait(&tally);
    bench_each(args->clients, close_client, &clients);
    status = bench_tally_report(&tally, 0, args->clients);
    bench_tally_fini(&tally);
    free(clients.client);
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
        return args.group ? member(&args) : sub(&args, false);
    if (!strcmp(args.role, "many"))
        return many(&args, true);
    if (!strcmp(args.role, "hold"))
        return many(&args, false);
    if (!strcmp(args.role, "pair"))
        return sub(&args, true);
    bench_die("no such role: %s", args.role);
}
