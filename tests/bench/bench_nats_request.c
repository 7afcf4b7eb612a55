/* Requests through NATS and its own C client. Roles: see ask.h. Its requests
 * wait; of many that are out at once the answers come to an inbox. */
#include <nats/nats.h>
#include <string.h>

#include "tests/bench/ask.h"

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
    check(natsOptions_SetAllowReconnect(options, false), "reconnect");
    check(natsOptions_SetSendAsap(options, args->send_asap), "send asap");
    check(natsConnection_Connect(&connection, options), "connect");
    natsOptions_Destroy(options);
    return connection;
}

static void subscribe(natsConnection *connection, const char *subject,
                      natsMsgHandler handler, void *arg)
{
    natsSubscription *subscription = NULL;

    check(natsConnection_Subscribe(&subscription, connection, subject, handler,
                                   arg),
          "subscribe");
    check(natsSubscription_SetPendingLimits(subscription, -1, -1), "limits");
    check(natsConnection_FlushTimeout(connection, BENCH_WAIT_MS), "flush");
}

static void echo(natsConnection *connection, natsSubscription *subscription,
                 natsMsg *msg, void *arg)
{
    (void)subscription;
    (void)arg;
    natsConnection_Publish(connection, natsMsg_GetReply(msg),
                           natsMsg_GetData(msg), natsMsg_GetDataLength(msg));
    natsMsg_Destroy(msg);
}

static bool ask(void *arg, const void *data, size_t len)
{
    natsMsg *reply = NULL;
    bool same;

    if (natsConnection_Request(&reply, arg, BENCH_TYPE, data, (int)len,
                               BENCH_WAIT_MS) != NATS_OK)
        return false;
    same = (size_t)natsMsg_GetDataLength(reply) == len &&
           memcmp(natsMsg_GetData(reply), data, len) == 0;
    natsMsg_Destroy(reply);
    return same;
}

static void on_reply(natsConnection *connection, natsSubscription *subscription,
                     natsMsg *msg, void *arg)
{
    (void)connection;
    (void)subscription;
    ask_window_take(arg, natsMsg_GetData(msg),
                    (size_t)natsMsg_GetDataLength(msg));
    natsMsg_Destroy(msg);
}

static int pipeline(const struct bench_args *args, natsConnection *connection)
{
    natsInbox *inbox = NULL;
    struct ask_window window;
    char data[BENCH_DATA_MAX];
    int64_t first_ns;

    memset(data, 0, args->bytes);
    ask_window_init(&window, args);
    check(natsInbox_Create(&inbox), "inbox");
    subscribe(connection, inbox, on_reply, &window);
    first_ns = bench_now_ns();
    while (ask_window_next(&window, data))
        check(natsConnection_PublishRequest(connection, BENCH_TYPE, inbox, data,
                                            (int)args->bytes),
              "publish");
    return ask_window_report(&window, first_ns);
}

int main(int argc, char **argv)
{
    struct bench_args args;
    natsConnection *connection;

    bench_args_parse(&args, argc, argv);
    connection = connect_to(&args);
    if (strcmp(args.role, "answer") == 0) {
        subscribe(connection, BENCH_TYPE, echo, NULL);
        bench_say_ready();
        bench_stay();
    }
    if (strcmp(args.role, "ask") == 0)
        return ask_each(&args, ask, connection);
    if (strcmp(args.role, "pipeline") == 0)
        return pipeline(&args, connection);
    bench_die("no role %s", args.role);
}
