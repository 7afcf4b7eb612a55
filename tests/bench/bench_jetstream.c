/* NATS JetStream through NATS' own C client; durable.h has the roles.
 *
 * A stream in a file and a durable push consumer with explicit
 * acknowledgement, both with the server's defaults. A pull consumer that
 * fetched 1,000 events at a time was slower by a tenth, and by more with fewer;
 * a higher limit of unacknowledged events, 1,000, did not help either.
 */
#include <nats/nats.h>
#include <stdatomic.h>
#include <string.h>

#include "tests/bench/durable.h"

#define STREAM    "bench"
#define GROUP     "workers"
#define IN_FLIGHT 4000 /* unconfirmed publishes; more were not faster */
#define DELIVERY  "bench.delivery" /* where the server pushes to */
#define LOOK_NS   1000000          /* how often the waiting thread asks */

struct link {
    natsConnection *connection;
    jsCtx *js;
    _Atomic uint64_t refused;
};

static void check(natsStatus status, const char *what)
{
    if (status != NATS_OK)
        bench_die("jetstream: %s: %s", what, natsStatus_GetText(status));
}

static void on_refused(jsCtx *js, jsPubAckErr *error, void *arg)
{
    struct link *link = arg;

    (void)js;
    (void)error;
    atomic_fetch_add(&link->refused, 1);
}

static void open_link(struct link *link, const struct bench_args *args)
{
    natsOptions *options = NULL;
    jsOptions js_options;

    atomic_init(&link->refused, 0);
    check(natsOptions_Create(&options), "options");
    check(natsOptions_SetURL(options, args->url), "url");
    /* A lost connection would resend: fail instead of going on. */
    check(natsOptions_SetAllowReconnect(options, false), "reconnect");
    /* Buffered writes are faster with many on their way, not with one. */
    check(natsOptions_SetSendAsap(options, !strcmp(args->role, "one")),
          "send asap");
    check(natsConnection_Connect(&link->connection, options), "connect");
    natsOptions_Destroy(options);
    check(jsOptions_Init(&js_options), "options");
    js_options.PublishAsync.MaxPending = IN_FLIGHT;
    js_options.PublishAsync.StallWait = BENCH_WAIT_MS;
    js_options.PublishAsync.ErrHandler = on_refused;
    js_options.PublishAsync.ErrHandlerClosure = link;
    check(natsConnection_JetStream(&link->js, link->connection, &js_options),
          "context");
}

static void close_link(struct link *link)
{
    jsCtx_Destroy(link->js);
    natsConnection_Destroy(link->connection);
    nats_CloseAndWait(BENCH_WAIT_MS);
}

static int make(struct link *link)
{
    const char *subjects[] = {BENCH_TYPE};
    jsStreamConfig stream;
    jsConsumerConfig group;

    check(jsStreamConfig_Init(&stream), "stream");
    stream.Name = STREAM;
    stream.Subjects = subjects;
    stream.SubjectsLen = 1;
    stream.Storage = js_FileStorage;
    check(js_AddStream(NULL, link->js, &stream, NULL, NULL), "stream");
    check(jsConsumerConfig_Init(&group), "consumer");
    group.Durable = GROUP;
    group.AckPolicy = js_AckExplicit;
    group.DeliverSubject = DELIVERY;
    check(js_AddConsumer(NULL, link->js, STREAM, &group, NULL, NULL),
          "consumer");
    return 0;
}

/* ---- publishing ---- */

static void send_event(void *arg, const char *type, const void *data,
                       size_t len)
{
    struct link *link = arg;
    natsStatus status = js_PublishAsync(link->js, type, data, (int)len, NULL);

    if (status != NATS_OK)
        check(status, "publish");
}

static void flush(void *arg)
{
    struct link *link = arg;
    jsPubOptions options;

    check(jsPubOptions_Init(&options), "options");
    options.MaxWait = BENCH_WAIT_MS;
    check(js_PublishAsyncComplete(link->js, &options), "confirms");
    if (atomic_load(&link->refused))
        bench_die("jetstream: events were refused");
}

static int pub(struct link *link, const struct bench_args *args)
{
    const struct bench_out out = {send_event, flush, link};

    return durable_publish(args, &out);
}

static void send_one(void *arg, const char *type, const void *data, size_t len)
{
    struct link *link = arg;

    check(js_Publish(NULL, link->js, type, data, (int)len, NULL, NULL),
          "publish");
}

static int one(struct link *link, const struct bench_args *args)
{
    const struct bench_out out = {send_one, NULL, link};

    return durable_one_by_one(args, &out);
}

/* ---- taking ---- */

static bool take(struct bench_sink *sink, natsMsg *msg)
{
    return bench_sink_take(sink, natsMsg_GetData(msg),
                           (size_t)natsMsg_GetDataLength(msg));
}

/* An ack is a message without an answer: wait for what the server makes of
 * it. */
static void wait_settled(struct link *link)
{
    int64_t until_ns = bench_now_ns() + BENCH_WAIT_MS * INT64_C(1000000);

    for (;;) {
        jsConsumerInfo *info = NULL;
        bool settled;

        check(js_GetConsumerInfo(&info, link->js, STREAM, GROUP, NULL, NULL),
              "consumer");
        settled = !info->NumAckPending && !info->NumPending;
        if (info->NumRedelivered)
            bench_die("jetstream: events were delivered again");
        jsConsumerInfo_Destroy(info);
        if (settled)
            return;
        if (bench_now_ns() > until_ns)
            bench_die("jetstream: events stay unsettled");
        bench_sleep_until_ns(bench_now_ns() + LOOK_NS);
    }
}

static void on_event(natsConnection *connection, natsSubscription *subscription,
                     natsMsg *msg, void *arg)
{
    (void)connection;
    (void)subscription;
    take(arg, msg);
    check(natsMsg_Ack(msg, NULL), "ack");
    natsMsg_Destroy(msg);
}

static int take_all(struct link *link, const struct bench_args *args)
{
    natsSubscription *subscription = NULL;
    struct bench_sink sink;
    jsSubOptions options;

    bench_sink_init(&sink, args);
    check(jsSubOptions_Init(&options), "options");
    options.Stream = STREAM;
    options.Consumer = GROUP;
    options.ManualAck = true;
    check(js_Subscribe(&subscription, link->js, BENCH_TYPE, on_event, &sink,
                       NULL, &options, NULL),
          "subscribe");
    bench_say_ready();
    bench_sink_wait(&sink);
    wait_settled(link);
    natsSubscription_Destroy(subscription);
    return durable_taken(&sink);
}

static void on_replayed(natsConnection *connection,
                        natsSubscription *subscription, natsMsg *msg, void *arg)
{
    (void)connection;
    (void)subscription;
    take(arg, msg);
    natsMsg_Destroy(msg);
}

/* An ordered consumer is what the client offers for reading a stream. */
static int replay(struct link *link, const struct bench_args *args)
{
    natsSubscription *subscription = NULL;
    struct bench_sink sink;
    jsSubOptions options;

    bench_sink_init(&sink, args);
    check(jsSubOptions_Init(&options), "options");
    options.Stream = STREAM;
    options.Ordered = true;
    bench_say_ready();
    check(js_Subscribe(&subscription, link->js, BENCH_TYPE, on_replayed, &sink,
                       NULL, &options, NULL),
          "subscribe");
    bench_sink_wait(&sink);
    natsSubscription_Destroy(subscription);
    return durable_taken(&sink);
}

int main(int argc, char **argv)
{
    const struct {
        const char *name;
        int (*run)(struct link *link, const struct bench_args *args);
    } roles[] = {
        {"pub", pub}, {"one", one}, {"take", take_all}, {"replay", replay}};
    struct bench_args args;
    struct link link;
    int status = -1;

    bench_args_parse(&args, argc, argv);
    if (!args.url)
        bench_die("--url is required");
    open_link(&link, &args);
    if (!strcmp(args.role, "make"))
        status = make(&link);
    for (size_t i = 0; i < sizeof(roles) / sizeof(*roles); i++)
        if (!strcmp(args.role, roles[i].name))
            status = roles[i].run(&link, &args);
    if (status < 0)
        bench_die("no such role: %s", args.role);
    close_link(&link);
    return status;
}
