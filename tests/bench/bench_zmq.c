/* libzmq, one message per event, as its guide shows it.
 *
 *   proxy  XSUB and XPUB around zmq_proxy(); says "subscribed" when
 *          --subscribers have subscribed, so that none misses the start
 *   pub    connects to the proxy's XSUB at --url
 *   sub    connects to the proxy's XPUB at --url
 *   pair   PUSH and PULL over inproc:// in one process, two threads
 *
 * Events are PUB/SUB messages of one frame: the topic, then the data. A full
 * queue blocks its sender (ZMQ_XPUB_NODROP), so nothing is dropped.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <zmq.h>

#include "tests/bench/bench.h"

#define TOPIC_BYTES (sizeof(BENCH_TYPE) - 1)

static void check(int rc, const char *what)
{
    if (rc < 0)
        bench_die("zmq: %s: %s", what, zmq_strerror(errno));
}

static void set(void *socket, int option, int value, const char *what)
{
    check(zmq_setsockopt(socket, option, &value, sizeof(value)), what);
}

static void *open_socket(void *context, int type)
{
    void *socket = zmq_socket(context, type);

    if (!socket)
        bench_die("zmq: socket: %s", zmq_strerror(errno));
    set(socket, ZMQ_RCVTIMEO, BENCH_WAIT_MS, "receive timeout");
    set(socket, ZMQ_SNDTIMEO, BENCH_WAIT_MS, "send timeout");
    set(socket, ZMQ_LINGER, BENCH_WAIT_MS, "linger");
    if (type == ZMQ_XPUB)
        set(socket, ZMQ_XPUB_NODROP, 1, "nodrop");
    return socket;
}

/* ---- proxy ---- */

static void listen_on_any_port(void *socket)
{
    char endpoint[256];
    size_t size = sizeof(endpoint);

    check(zmq_bind(socket, "tcp://127.0.0.1:*"), "bind");
    check(zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint, &size),
          "endpoint");
    printf("listening %s\n", endpoint);
}

/* Hand count subscriptions on to the publisher's side. */
static void forward_subscriptions(void *front, void *back, uint64_t count)
{
    unsigned char frame[256];

    while (count--) {
        int len = zmq_recv(back, frame, sizeof(frame), 0);

        check(len, "receive subscription");
        check(zmq_send(front, frame, (size_t)len, 0), "send subscription");
    }
}

static int proxy(const struct bench_args *args)
{
    void *context = zmq_ctx_new();
    void *front = open_socket(context, ZMQ_XSUB);
    void *back = open_socket(context, ZMQ_XPUB);

    set(back, ZMQ_XPUB_VERBOSE, 1, "verbose"); /* equal ones count, too */
    listen_on_any_port(front);
    listen_on_any_port(back);
    bench_say_ready();
    forward_subscriptions(front, back, args->subscribers);
    puts("subscribed");
    fflush(stdout);
    zmq_proxy(front, back, NULL); /* until it is killed */
    return 2;
}

/* ---- pub and sub ---- */

static void send_event(void *arg, const char *type, const void *data,
                       size_t len)
{
    zmq_msg_t msg;

    check(zmq_msg_init_size(&msg, TOPIC_BYTES + len), "message");
    memcpy(zmq_msg_data(&msg), type, TOPIC_BYTES);
    memcpy((char *)zmq_msg_data(&msg) + TOPIC_BYTES, data, len);
    check(zmq_msg_send(&msg, arg, 0), "send");
}

/* XPUB is PUB that lets us see the subscription arrive. */
static int pub(const struct bench_args *args)
{
    void *context = zmq_ctx_new();
    void *socket = open_socket(context, ZMQ_XPUB);
    const struct bench_out out = {send_event, NULL, socket};
    char subscription[256];

    check(zmq_connect(socket, args->url), "connect");
    check(zmq_recv(socket, subscription, sizeof(subscription), 0),
          "subscription");
    bench_publish(args, &out);
    zmq_close(socket);
    zmq_ctx_term(context); /* sends what is queued */
    return 0;
}

static void receive_events(struct bench_sink *sink, void *socket,
                           size_t topic_bytes)
{
    zmq_msg_t msg;
    bool more = true;

    zmq_msg_init(&msg);
    while (more && zmq_msg_recv(&msg, socket, 0) >= (int)topic_bytes)
        more = bench_sink_take(sink, (char *)zmq_msg_data(&msg) + topic_bytes,
                               zmq_msg_size(&msg) - topic_bytes);
    zmq_msg_close(&msg);
}

static int sub(const struct bench_args *args)
{
    void *context = zmq_ctx_new();
    void *socket = open_socket(context, ZMQ_SUB);
    struct bench_sink sink;
    int status;

    bench_sink_init(&sink, args);
    check(zmq_setsockopt(socket, ZMQ_SUBSCRIBE, BENCH_TYPE, TOPIC_BYTES),
          "subscribe");
    check(zmq_connect(socket, args->url), "connect");
    bench_say_ready();
    receive_events(&sink, socket, TOPIC_BYTES);
    zmq_close(socket);
    zmq_ctx_term(context);
    status = bench_sink_report(&sink);
    bench_sink_fini(&sink);
    return status;
}

/* ---- one process ---- */

struct receiver {
    struct bench_sink sink;
    void *socket;
};

static void *receive_all(void *arg)
{
    struct receiver *receiver = arg;

    receive_events(&receiver->sink, receiver->socket, 0);
    return NULL;
}

static void push_event(void *arg, const char *type, const void *data,
                       size_t len)
{
    zmq_msg_t msg;

    (void)type;
    check(zmq_msg_init_size(&msg, len), "message");
    memcpy(zmq_msg_data(&msg), data, len);
    check(zmq_msg_send(&msg, arg, 0), "send");
}

static int pair(const struct bench_args *args)
{
    void *context = zmq_ctx_new();
    void *push = open_socket(context, ZMQ_PUSH);
    struct receiver receiver = {.socket = open_socket(context, ZMQ_PULL)};
    const struct bench_out out = {push_event, NULL, push};
    pthread_t thread;
    int status;

    bench_sink_init(&receiver.sink, args);
    check(zmq_bind(receiver.socket, "inproc://bench"), "bind");
    check(zmq_connect(push, "inproc://bench"), "connect");
    bench_stay_on_core(BENCH_RECEIVING_CORE);
    if (pthread_create(&thread, NULL, receive_all, &receiver))
        bench_die("zmq: no thread");
    bench_stay_on_core(BENCH_SENDING_CORE);
    bench_publish(args, &out);
    pthread_join(thread, NULL);
    zmq_close(push);
    zmq_close(receiver.socket);
    zmq_ctx_term(context);
    status = bench_sink_report(&receiver.sink);
    bench_sink_fini(&receiver.sink);
    return status;
}

int main(int argc, char **argv)
{
    struct bench_args args;

    bench_args_parse(&args, argc, argv);
    if (!strcmp(args.role, "proxy"))
        return proxy(&args);
    if (!strcmp(args.role, "pair"))
        return pair(&args);
    if (!args.url)
        bench_die("--url is required");
    if (!strcmp(args.role, "pub"))
        return pub(&args);
    if (!strcmp(args.role, "sub"))
        return sub(&args);
    bench_die("no such role: %s", args.role);
}
