/* GLib's GAsyncQueue between two threads: one allocated event per push. */
#include <glib.h>
#include <string.h>

#include "tests/bench/bench.h"

struct receiver {
    struct bench_sink sink;
    GAsyncQueue *queue;
};

static void *receive_all(void *arg)
{
    struct receiver *receiver = arg;
    bool more = true;

    while (more) {
        void *event = g_async_queue_timeout_pop(
            receiver->queue, BENCH_WAIT_MS * G_GUINT64_CONSTANT(1000));

        if (!event)
            break;
        more = bench_sink_take(&receiver->sink, event, BENCH_DATA_BYTES);
        g_free(event);
    }
    return NULL;
}

static void push_event(void *arg, const char *type, const void *data,
                       size_t len)
{
    void *event = g_malloc(len);

    (void)type;
    memcpy(event, data, len);
    g_async_queue_push(arg, event);
}

int main(int argc, char **argv)
{
    struct bench_out out = {.send = push_event};
    struct receiver receiver;
    struct bench_args args;
    pthread_t thread;
    int status;

    bench_args_parse(&args, argc, argv);
    bench_sink_init(&receiver.sink, &args);
    out.arg = receiver.queue = g_async_queue_new_full(g_free);
    bench_stay_on_core(BENCH_RECEIVING_CORE);
    if (pthread_create(&thread, NULL, receive_all, &receiver))
        bench_die("glib: no thread");
    bench_stay_on_core(BENCH_SENDING_CORE);
    bench_publish(&args, &out);
    pthread_join(thread, NULL);
    g_async_queue_unref(receiver.queue);
    status = bench_sink_report(&receiver.sink);
    bench_sink_fini(&receiver.sink);
    return status;
}
