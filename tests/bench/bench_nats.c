/* NATS through its own C client.
 *
 *   pub   publish to the server at --url; writes are buffered, the client's
 *         default, or sent at once with --send-asap
 *   sub   take events from the server at --url
 */
#include <nats/nats.h>
#include <string.h>

#include "tests/bench/bench.h"

static void check(natsStatus status, const char *what)
{
    if (status != NATS_OK)
        bench_die("nats: %s: %s", what, natsStatus_GetText(status));
}

static natsConnection *connect_to(const struct bench_args *args)
{
    natsConnection *connection = NULL;
    natsOptions *options = NULL;

    check(natsOptions_Create(&options), "options");
    check(natsOptions_SetURL(options, args->url), "url");
    /* A lost connection loses events: fail instead of going on. */
    check(natsOptions_SetAllowReconnect(options, false), "reconnect");
    check(natsOptions_SetSendAsap(options, args->send_asap), "send asap");
    check(natsConnection_Connect(&connection, options), "connect");
    natsOptions_Destroy(options);
    return connection;
}

static void send_event(void *arg, const void *data, size_t len)
{
    natsStatus status = natsConnection_Publish(arg, BENCH_TYPE, data, (int)len);

    if (status != NATS_OK)
        check(status, "publish");
}

static void on_event(natsConnection *connection, natsSubscription *subscription,
                     natsMsg *msg, void *arg)
{
    (void)connection;
    (void)subscription;
    bench_sink_take(arg, natsMsg_GetData(msg),
                    (size_t)natsMsg_GetDataLength(msg));
    natsMsg_Destroy(msg);
}

static int pub(const struct bench_args *args)
{
    natsConnection *connection = connect_to(args);

    bench_publish(args, send_event, connection);
    check(natsConnection_FlushTimeout(connection, BENCH_WAIT_MS), "flush");
    natsConnection_Destroy(connection);
    return 0;
}

static int sub(const struct bench_args *args)
{
    natsConnection *connection = connect_to(args);
    natsSubscription *subscription = NULL;
    struct bench_sink sink;
    int status;

    bench_sink_init(&sink, args);
    check(natsConnection_Subscribe(&subscription, connection, BENCH_TYPE,
                                   on_event, &sink),
          "subscribe");
    /* The client drops what waits beyond its limits: it gets none. */
    check(natsSubscription_SetPendingLimits(subscription, -1, -1), "limits");
    check(natsConnection_FlushTimeout(connection, BENCH_WAIT_MS), "flush");
    bench_say_ready();
    bench_sink_wait(&sink);
    natsSubscription_Destroy(subscription);
    natsConnection_Destroy(connection);
    nats_CloseAndWait(BENCH_WAIT_MS);
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
        return sub(&args);
    bench_die("no such role: %s", args.role);
}
