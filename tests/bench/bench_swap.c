/* The reference in one process: a mutex around a buffer that the consumer
 * takes whole, in exchange for an empty one. It copies 128 bytes in and hands
 * out a pointer; no types, no attributes, no ids. */
#include <stdlib.h>
#include <string.h>

#include "tests/bench/bench.h"

#define SLOTS 8192 /* 1 MiB: stays in the second-level cache */

struct buffer {
    size_t used;
    unsigned char slots[SLOTS][BENCH_DATA_BYTES];
};

struct queue {
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* one waits at a time: empty or full, not both */
    struct buffer *filling;
    struct buffer *emptying;
    struct bench_sink sink;
};

static void push_event(void *arg, const char *type, const void *data,
                       size_t len)
{
    struct queue *queue = arg;
    bool was_empty;

    (void)type;
    pthread_mutex_lock(&queue->mutex);
    while (queue->filling->used == SLOTS)
        pthread_cond_wait(&queue->changed, &queue->mutex);
    was_empty = queue->filling->used == 0;
    memcpy(queue->filling->slots[queue->filling->used++], data, len);
    pthread_mutex_unlock(&queue->mutex);
    if (was_empty)
        pthread_cond_signal(&queue->changed);
}

static struct buffer *take_buffer(struct queue *queue)
{
    struct buffer *full;

    pthread_mutex_lock(&queue->mutex);
    while (!queue->filling->used)
        pthread_cond_wait(&queue->changed, &queue->mutex);
    full = queue->filling;
    queue->filling = queue->emptying;
    queue->emptying = full;
    pthread_mutex_unlock(&queue->mutex);
    pthread_cond_signal(&queue->changed);
    return full;
}

static void *receive_all(void *arg)
{
    struct queue *queue = arg;
    bool more = true;

    while (more) {
        struct buffer *full = take_buffer(queue);

        for (size_t i = 0; i < full->used; i++)
            more =
                bench_sink_take(&queue->sink, full->slots[i], BENCH_DATA_BYTES);
        full->used = 0;
    }
    return NULL;
}

int main(int argc, char **argv)
{
    struct queue queue = {.mutex = PTHREAD_MUTEX_INITIALIZER,
                          .changed = PTHREAD_COND_INITIALIZER};
    const struct bench_out out = {.send = push_event, .arg = &queue};
    struct bench_args args;
    pthread_t thread;
    int status;

    bench_args_parse(&args, argc, argv);
    bench_sink_init(&queue.sink, &args);
    queue.filling = calloc(1, sizeof(*queue.filling));
    queue.emptying = calloc(1, sizeof(*queue.emptying));
    if (!queue.filling || !queue.emptying)
        bench_die("swap: no memory");
    bench_stay_on_core(BENCH_RECEIVING_CORE);
    if (pthread_create(&thread, NULL, receive_all, &queue))
        bench_die("swap: no thread");
    bench_stay_on_core(BENCH_SENDING_CORE);
    bench_publish(&args, &out);
    pthread_join(thread, NULL);
    free(queue.filling);
    free(queue.emptying);
    status = bench_sink_report(&queue.sink);
    bench_sink_fini(&queue.sink);
    return status;
}
