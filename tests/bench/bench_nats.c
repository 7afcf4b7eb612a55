/* NATS through its own C client.
 *
 *   pub   publish to the server at --url; writes are buffered, the client's
 *         default, or sent at once with --send-asap
 *   sub   take events from the server at --url; with --group as --member of
 *         --subscribers that share them
 *   many  --clients connections with --each subscriptions, a subject for each
 *   hold  the same to subjects that nobody publishes, until it is ended
 */
#include <nats/nats.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/bench.h"

static void check(natsStatus status, const char *what)
{
    if (status != NATS_OK)
        bench_die("nats: %s: %s", what, natsStatus_GetText(status));
}

/* pooled: handlers run on the library's own thread, not on one for each
 * subscription, of which there may be 100,000. */
static natsConnection *connect_to(const struct bench_args *args, bool pooled)
{
    natsConnection *connection = NULL;
    natsOptions *options = NULL;

    check(natsOptions_Create(&options), "options");
    check(natsOptions_SetURL(options, args->url), "url");
    /* A lost connection loses events: fail instead of going on. */
    check(natsOptions_SetAllowReconnect(options, false), "reconnect");
    check(natsOptions_SetSendAsap(options, args->send_asap), "send asap");
    check(natsOptions_UseGlobalMessageDelivery(options, pooled), "pool");
    check(natsConnection_Connect(&connection, options), "connect");
    natsOptions_Destroy(options);
    return connection;
}

static void flush(void *arg)
{
    check(natsConnection_FlushTimeout(arg, BENCH_WAIT_MS), "flush");
}

/* ---- publishing ---- */

static void send_event(void *arg, const char *type, const void *data,
                       size_t len)
{
    natsStatus status = natsConnection_Publish(arg, type, data, (int)len);

    if (status != NATS_OK)
        check(status, "publish");
}

static int pub(const struct bench_args *args)
{
    natsConnection *connection = connect_to(args, false);
    const struct bench_out out = {send_event, flush, connection};

    bench_publish(args, &out);
    natsConnection_Destroy(connection);
    return 0;
}

/* ---- subscribers that get everything ---- */

static void on_event(natsConnection *connection, natsSubscription *subscription,
                     natsMsg *msg, void *arg)
{
    struct bench_sink *sink = arg;
    int64_t dropped;

    (void)connection;
    if (sink->slow_us) {
        check(natsSubscription_GetDropped(subscription, &dropped), "dropped");
        if ((uint64_t)dropped > sink->told)
            bench_sink_told(sink, (uint64_t)dropped);
    }
    bench_sink_take(sink, natsMsg_GetData(msg),
                    (size_t)natsMsg_GetDataLength(msg));
    natsMsg_Destroy(msg);
}

static int sub(const struct bench_args *args)
{
    natsConnection *connection = connect_to(args, false);
    natsSubscription *subscription = NULL;
    struct bench_sink sink;
    int status;

    bench_sink_init(&sink, args);
    check(natsConnection_Subscribe(&subscription, connection, BENCH_TYPE,
                                   on_event, &sink),
          "subscribe");
    /* The client drops what waits beyond its limits: it gets none, unless
     * that is what is to be seen. */
    if (!args->slow_us)
        check(natsSubscription_SetPendingLimits(subscription, -1, -1),
              "limits");
    flush(connection);
    bench_say_ready();
    bench_sink_wait(&sink);
    natsSubscription_Destroy(subscription);
    natsConnection_Destroy(connection);
    nats_CloseAndWait(BENCH_WAIT_MS);
    status = bench_sink_report(&sink);
    bench_sink_fini(&sink);
    return status;
}

/* ---- subscribers that share ---- */

struct client {
    struct bench_tally *tally; /* NULL: nothing is to arrive */
    uint64_t member;
    natsConnection *connection;
};

static void on_shared(natsConnection *connection,
                      natsSubscription *subscription, natsMsg *msg, void *arg)
{
    const struct client *client = arg;

    (void)connection;
    (void)subscription;
    bench_tally_take(client->tally, client->member, natsMsg_GetData(msg),
                     (size_t)natsMsg_GetDataLength(msg));
    natsMsg_Destroy(msg);
}

static int member(const struct bench_args *args)
{
    natsSubscription *subscription = NULL;
    struct bench_tally tally;
    struct client client = {.tally = &tally, .member = args->member};
    int status;

    bench_tally_init(&tally, args, args->subscribers, true);
    client.connection = connect_to(args, false);
    check(natsConnection_QueueSubscribe(&subscription, client.connection,
                                        BENCH_TYPE, args->group, on_shared,
                                        &client),
          "subscribe");
    check(natsSubscription_SetPendingLimits(subscription, -1, -1), "limits");
    flush(client.connection);
    bench_say_ready();
    bench_tally_wait(&tally);
    natsSubscription_Destroy(subscription);
    natsConnection_Destroy(client.connection);
    nats_CloseAndWait(BENCH_WAIT_MS);
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
    char subject[BENCH_TYPE_BYTES];

    client->connection = connect_to(args, true);
    for (uint64_t i = n * args->each; i < (n + 1) * args->each; i++) {
        natsSubscription *subscription = NULL;

        bench_type(subject, i, client->tally);
        check(natsConnection_Subscribe(&subscription, client->connection,
                                       subject, on_shared, client),
              "subscribe");
        check(natsSubscription_SetPendingLimits(subscription, -1, -1),
              "limits");
    }
    flush(client->connection);
}

/* Subscriptions end with the process. */
static int many(const struct bench_args *args, bool published)
{
    struct clients clients = {.args = args};
    struct bench_tally tally;

    bench_tally_init(&tally, args, args->clients, false);
    clients.client = calloc(args->clients, sizeof(*clients.client));
    if (!clients.client)
        bench_die("no memory");
    for (uint64_t i = 0; i < args->clients; i++) {
        clients.client[i].tally = published ? &tally : NULL;
        clients.client[i].member = i;
    }
    check(nats_Open(-1), "open");
    bench_each(args->clients, open_client, &clients);
    bench_say_ready();
    if (!published)
        bench_stay();
    bench_tally_wait(&tally);
    return bench_tally_report(&tally, 0, args->clients);
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
        return args.group ? member(&args) : sub(&args);
    if (!strcmp(args.role, "many"))
        return many(&args, true);
    if (!strcmp(args.role, "hold"))
        return many(&args, false);
    bench_die("no such role: %s", args.role);
}
