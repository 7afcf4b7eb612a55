/* RabbitMQ through librabbitmq, its C client; durable.h has the roles, of
 * which `replay` is missing: a queue forgets what was settled.
 *
 * A quorum queue of one node, publisher confirms, persistent messages, and an
 * acknowledgement for each delivery, which is the clients' default.
 *
 * The url is amqp://127.0.0.1:PORT.
 */
#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "tests/bench/durable.h"

#define CHANNEL   1
#define QUEUE     "bench"
#define IN_FLIGHT 10000 /* unconfirmed publishes; fewer were slower */
#define PREFETCH                                                               \
    2000 /* unsettled deliveries; the 100 to 300 that its
                           documentation suggests were slower */

static const struct timeval patience = {.tv_sec = BENCH_WAIT_MS / 1000};

static void check(amqp_connection_state_t link, const char *what)
{
    amqp_rpc_reply_t reply = amqp_get_rpc_reply(link);

    if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION)
        bench_die("rabbitmq: %s: %s", what, amqp_method_name(reply.reply.id));
    if (reply.reply_type != AMQP_RESPONSE_NORMAL)
        bench_die("rabbitmq: %s: %s", what,
                  amqp_error_string2(reply.library_error));
}

static void check_status(int status, const char *what)
{
    if (status != AMQP_STATUS_OK)
        bench_die("rabbitmq: %s: %s", what, amqp_error_string2(status));
}

static void open_channel(amqp_connection_state_t link)
{
    amqp_channel_open(link, CHANNEL);
    check(link, "channel");
}

static amqp_connection_state_t connect_to(const struct bench_args *args)
{
    amqp_connection_state_t link = amqp_new_connection();
    amqp_socket_t *socket = link ? amqp_tcp_socket_new(link) : NULL;
    amqp_rpc_reply_t reply;
    int port;

    if (!args->url || sscanf(args->url, "amqp://127.0.0.1:%5d", &port) != 1)
        bench_die("rabbitmq: no such url");
    if (!socket)
        bench_die("no memory");
    check_status(amqp_socket_open_noblock(socket, "127.0.0.1", port, &patience),
                 "connect");
    check_status(amqp_set_rpc_timeout(link, &patience), "timeout");
    reply = amqp_login(link, "/", AMQP_DEFAULT_MAX_CHANNELS,
                       AMQP_DEFAULT_FRAME_SIZE, 0, AMQP_SASL_METHOD_PLAIN,
                       "guest", "guest");
    if (reply.reply_type != AMQP_RESPONSE_NORMAL)
        bench_die("rabbitmq: login failed");
    open_channel(link);
    return link;
}

static amqp_bytes_t queue(void)
{
    return amqp_cstring_bytes(QUEUE);
}

static int make(amqp_connection_state_t link, const struct bench_args *args)
{
    amqp_table_entry_t quorum = {
        .key = amqp_cstring_bytes("x-queue-type"),
        .value = {.kind = AMQP_FIELD_KIND_UTF8,
                  .value.bytes = amqp_cstring_bytes("quorum")}};
    const amqp_table_t table = {.num_entries = 1, .entries = &quorum};

    (void)args;
    amqp_queue_declare(link, CHANNEL, queue(), 0, 1, 0, 0, table);
    check(link, "queue");
    return 0;
}

/* ---- publishing ---- */

struct publisher {
    amqp_connection_state_t link;
    unsigned char *confirmed; /* by delivery tag, which counts from 1 */
    uint64_t sent;
    uint64_t waiting; /* sent and not confirmed */
    uint64_t floor;   /* the lowest tag that may be unconfirmed */
};

static void confirm(struct publisher *publisher, uint64_t tag)
{
    if (!tag || tag > publisher->sent)
        bench_die("rabbitmq: confirms what was not sent");
    if (!publisher->confirmed[tag]) {
        publisher->confirmed[tag] = 1;
        publisher->waiting--;
    }
}

static void on_confirm(struct publisher *publisher, const amqp_basic_ack_t *ack)
{
    if (!ack->multiple)
        confirm(publisher, ack->delivery_tag);
    else
        while (publisher->floor <= ack->delivery_tag)
            confirm(publisher, publisher->floor++);
}

static void read_confirms(struct publisher *publisher, uint64_t waiting_max)
{
    amqp_frame_t frame;

    while (publisher->waiting > waiting_max) {
        check_status(
            amqp_simple_wait_frame_noblock(publisher->link, &frame, &patience),
            "confirm");
        if (frame.frame_type != AMQP_FRAME_METHOD ||
            frame.payload.method.id != AMQP_BASIC_ACK_METHOD)
            bench_die("rabbitmq: not a confirm");
        on_confirm(publisher, frame.payload.method.decoded);
        amqp_maybe_release_buffers(publisher->link);
    }
}

static void send_event(void *arg, const char *type, const void *data,
                       size_t len)
{
    static const amqp_basic_properties_t persistent = {
        ._flags = AMQP_BASIC_DELIVERY_MODE_FLAG,
        .delivery_mode = AMQP_DELIVERY_PERSISTENT};
    struct publisher *publisher = arg;
    const amqp_bytes_t body = {.len = len, .bytes = (void *)(uintptr_t)data};

    (void)type;
    check_status(amqp_basic_publish(publisher->link, CHANNEL, amqp_empty_bytes,
                                    queue(), 0, 0, &persistent, body),
                 "publish");
    publisher->sent++;
    if (++publisher->waiting == IN_FLIGHT)
        read_confirms(publisher, IN_FLIGHT / 2);
}

static void flush(void *arg)
{
    read_confirms(arg, 0);
}

static int publish(amqp_connection_state_t link, const struct bench_args *args,
                   int (*run)(const struct bench_args *args,
                              const struct bench_out *out))
{
    struct publisher publisher = {
        .link = link, .confirmed = calloc(args->events + 1, 1), .floor = 1};
    const struct bench_out out = {send_event, flush, &publisher};
    int status;

    if (!publisher.confirmed)
        bench_die("no memory");
    amqp_confirm_select(link, CHANNEL);
    check(link, "confirms");
    status = run(args, &out);
    free(publisher.confirmed);
    return status;
}

static int pub(amqp_connection_state_t link, const struct bench_args *args)
{
    return publish(link, args, durable_publish);
}

static int one(amqp_connection_state_t link, const struct bench_args *args)
{
    return publish(link, args, durable_one_by_one);
}

/* ---- taking ---- */

static bool take(amqp_connection_state_t link, struct bench_sink *sink)
{
    amqp_envelope_t envelope;
    bool more;

    amqp_maybe_release_buffers(link);
    if (amqp_consume_message(link, &envelope, &patience, 0).reply_type !=
        AMQP_RESPONSE_NORMAL)
        bench_die("rabbitmq: no events came");
    if (envelope.redelivered)
        bench_die("rabbitmq: an event was delivered again");
    more = bench_sink_take(sink, envelope.message.body.bytes,
                           envelope.message.body.len);
    check_status(amqp_basic_ack(link, CHANNEL, envelope.delivery_tag, 0),
                 "ack");
    amqp_destroy_envelope(&envelope);
    return more;
}

static void check_empty(amqp_connection_state_t link)
{
    amqp_rpc_reply_t reply = amqp_basic_get(link, CHANNEL, queue(), 1);

    if (reply.reply_type != AMQP_RESPONSE_NORMAL ||
        reply.reply.id != AMQP_BASIC_GET_EMPTY_METHOD)
        bench_die("rabbitmq: the queue is not empty");
}

/* Acknowledgements have no answers; what is asked after them has. A channel
 * that closes gives back what is unsettled. */
static int check_settled(amqp_connection_state_t link, struct bench_sink *sink)
{
    int status;

    check_empty(link);
    status = durable_taken(sink);
    amqp_channel_close(link, CHANNEL, AMQP_REPLY_SUCCESS);
    open_channel(link);
    check_empty(link);
    return status;
}

static int take_all(amqp_connection_state_t link, const struct bench_args *args)
{
    struct bench_sink sink;

    bench_sink_init(&sink, args);
    amqp_basic_qos(link, CHANNEL, 0, PREFETCH, 0);
    check(link, "prefetch");
    amqp_basic_consume(link, CHANNEL, queue(), amqp_empty_bytes, 0, 0, 0,
                       amqp_empty_table);
    check(link, "consume");
    bench_say_ready();
    while (take(link, &sink))
        ;
    return check_settled(link, &sink);
}

int main(int argc, char **argv)
{
    const struct {
        const char *name;
        int (*run)(amqp_connection_state_t link, const struct bench_args *args);
    } roles[] = {
        {"make", make}, {"pub", pub}, {"one", one}, {"take", take_all}};
    struct bench_args args;
    amqp_connection_state_t link;
    int status = -1;

    bench_args_parse(&args, argc, argv);
    link = connect_to(&args);
    for (size_t i = 0; i < sizeof(roles) / sizeof(*roles); i++)
        if (!strcmp(args.role, roles[i].name))
            status = roles[i].run(link, &args);
    if (status < 0)
        bench_die("no such role: %s", args.role);
    amqp_destroy_connection(link);
    return status;
}
