/* MQTT at quality of service 0 through libmosquitto, Mosquitto's own client.
 *
 *   pub   publish to the broker at --url
 *   sub   take events from the broker at --url
 *
 * The url is mqtt://127.0.0.1:PORT.
 */
#include <mosquitto.h>
#include <stdio.h>
#include <string.h>

#include "tests/bench/bench.h"

#define KEEPALIVE_S 60

static void check(int code, const char *what)
{
    if (code != MOSQ_ERR_SUCCESS)
        bench_die("mosquitto: %s: %s", what, mosquitto_strerror(code));
}

static struct mosquitto *make_client(void *arg)
{
    struct mosquitto *client;

    check(mosquitto_lib_init(), "init");
    client = mosquitto_new(NULL, true, arg);
    if (!client)
        bench_die("mosquitto: no client");
    return client;
}

static void connect_to(struct mosquitto *client, const struct bench_args *args)
{
    int port;

    if (!args->url || sscanf(args->url, "mqtt://127.0.0.1:%5d", &port) != 1)
        bench_die("mosquitto: no such url");
    check(mosquitto_connect(client, "127.0.0.1", port, KEEPALIVE_S), "connect");
}

/* ---- publishing: in the calling thread, which is fastest ---- */

static void write_all(void *arg)
{
    while (mosquitto_want_write(arg))
        check(mosquitto_loop(arg, BENCH_WAIT_MS, 1), "loop");
}

static void send_event(void *arg, const char *type, const void *data,
                       size_t len)
{
    check(mosquitto_publish(arg, NULL, type, (int)len, data, 0, false),
          "publish");
    write_all(arg);
}

static void on_connect(struct mosquitto *client, void *connected, int code)
{
    (void)client;
    check(code, "connect");
    *(bool *)connected = true;
}

/* The broker's answer must be read: a socket that is closed over unread bytes
 * resets the connection, and what was published with it. */
static int pub(const struct bench_args *args)
{
    bool connected = false;
    struct mosquitto *client = make_client(&connected);
    const struct bench_out out = {send_event, write_all, client};
    int code;

    mosquitto_connect_callback_set(client, on_connect);
    connect_to(client, args);
    while (!connected)
        check(mosquitto_loop(client, BENCH_WAIT_MS, 1), "loop");
    bench_publish(args, &out);
    check(mosquitto_disconnect(client), "disconnect");
    while ((code = mosquitto_loop(client, BENCH_WAIT_MS, 1)) ==
           MOSQ_ERR_SUCCESS)
        ;
    mosquitto_destroy(client);
    return code == MOSQ_ERR_NO_CONN ? 0 : 2;
}

/* ---- taking ---- */

static void on_subscribe(struct mosquitto *client, void *sink, int id,
                         int count, const int *granted)
{
    (void)client;
    (void)sink;
    (void)id;
    if (count != 1 || granted[0] != 0)
        bench_die("mosquitto: not subscribed");
    bench_say_ready();
}

static void on_message(struct mosquitto *client, void *sink,
                       const struct mosquitto_message *message)
{
    (void)client;
    bench_sink_take(sink, message->payload, (size_t)message->payloadlen);
}

static int sub(const struct bench_args *args)
{
    struct bench_sink sink;
    struct mosquitto *client;
    int status;

    bench_sink_init(&sink, args);
    client = make_client(&sink);
    mosquitto_subscribe_callback_set(client, on_subscribe);
    mosquitto_message_callback_set(client, on_message);
    connect_to(client, args);
    check(mosquitto_subscribe(client, NULL, BENCH_TYPE, 0), "subscribe");
    check(mosquitto_loop_start(client), "thread");
    bench_sink_wait(&sink);
    check(mosquitto_disconnect(client), "disconnect");
    check(mosquitto_loop_stop(client, false), "thread");
    mosquitto_destroy(client);
    mosquitto_lib_cleanup();
    status = bench_sink_report(&sink);
    bench_sink_fini(&sink);
    return status;
}

int main(int argc, char **argv)
{
    struct bench_args args;

    bench_args_parse(&args, argc, argv);
    if (!strcmp(args.role, "pub"))
        return pub(&args);
    if (!strcmp(args.role, "sub"))
        return sub(&args);
    bench_die("no such role: %s", args.role);
}
