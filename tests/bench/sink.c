/* See bench.h: the receiving end that gets everything, in order. */
#include "tests/bench/bench.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/bench/stamp.h"

static volatile sig_atomic_t hurry;

static void on_hurry(int signal_number)
{
    (void)signal_number;
    hurry = 1;
}

void bench_sink_init(struct bench_sink *sink, const struct bench_args *args)
{
    struct sigaction action = {.sa_handler = on_hurry};
    pthread_condattr_t attr;

    sigaction(SIGUSR1, &action, NULL);
    memset(sink, 0, sizeof(*sink));
    atomic_init(&sink->received, 0);
    sink->expected = args->events;
    sink->bytes = args->bytes;
    sink->slow_us = args->slow_us;
    if (args->rate) {
        sink->latencies_ns = calloc(args->events, sizeof(int64_t));
        if (!sink->latencies_ns)
            bench_die("no memory for %" PRIu64 " latencies", args->events);
    }
    pthread_mutex_init(&sink->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&sink->complete, &attr);
    pthread_condattr_destroy(&attr);
}

void bench_sink_fini(struct bench_sink *sink)
{
    free(sink->latencies_ns);
    pthread_cond_destroy(&sink->complete);
    pthread_mutex_destroy(&sink->mutex);
}

static void wake(struct bench_sink *sink)
{
    pthread_mutex_lock(&sink->mutex);
    pthread_cond_signal(&sink->complete);
    pthread_mutex_unlock(&sink->mutex);
}

static bool is_complete(struct bench_sink *sink, uint64_t received)
{
    return received + sink->told >= sink->expected;
}

static void be_slow(const struct bench_sink *sink)
{
    const struct timespec pause = {.tv_nsec = (long)sink->slow_us * 1000};

    if (!hurry)
        nanosleep(&pause, NULL);
}

bool bench_sink_take(struct bench_sink *sink, const void *data, size_t len)
{
    uint64_t n = atomic_load_explicit(&sink->received, memory_order_relaxed);
    struct stamp stamp;

    if (sink->slow_us)
        be_slow(sink);
    if (!stamp_read(&stamp, data, len, sink->bytes) ||
        stamp.number >= sink->expected || stamp.number < sink->next ||
        (stamp.number > sink->next && !sink->slow_us)) {
        sink->wrong++;
        return n < sink->expected;
    }
    sink->next = stamp.number + 1;

    if (sink->latencies_ns)
        sink->latencies_ns[n] = bench_now_ns() - stamp.sent_ns;
    if (n == 0)
        sink->first_ns = bench_now_ns();
    if (n + 1 == sink->expected)
        sink->last_ns = bench_now_ns();
    atomic_store_explicit(&sink->received, n + 1, memory_order_release);
    if (!is_complete(sink, n + 1))
        return true;
    wake(sink);
    return false;
}

void bench_sink_told(struct bench_sink *sink, uint64_t dropped)
{
    pthread_mutex_lock(&sink->mutex);
    sink->told = dropped;
    pthread_cond_signal(&sink->complete);
    pthread_mutex_unlock(&sink->mutex);
}

/* Progress is what was received or told; told only under the mutex. */
static uint64_t progress(struct bench_sink *sink)
{
    return sink->told +
           atomic_load_explicit(&sink->received, memory_order_acquire);
}

void bench_sink_wait(struct bench_sink *sink)
{
    uint64_t before = 0;
    uint64_t now = 0;

    pthread_mutex_lock(&sink->mutex);
    do {
        int64_t until_ns = bench_now_ns() + BENCH_WAIT_MS * INT64_C(1000000);
        struct timespec until = {.tv_sec = until_ns / 1000000000,
                                 .tv_nsec = until_ns % 1000000000};

        before = now;
        now = progress(sink);
        while (now < sink->expected &&
               !pthread_cond_timedwait(&sink->complete, &sink->mutex, &until))
            now = progress(sink);
        now = progress(sink);
    } while (now < sink->expected && now > before);
    pthread_mutex_unlock(&sink->mutex);
}

static int compare_ns(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

void bench_print_percentiles(int64_t *times_ns, uint64_t count)
{
    qsort(times_ns, count, sizeof(*times_ns), compare_ns);
    printf(" p50_ns=%" PRId64 " p99_ns=%" PRId64 " max_ns=%" PRId64,
           times_ns[count / 2], times_ns[count * 99 / 100],
           times_ns[count - 1]);
}

int bench_sink_report(struct bench_sink *sink)
{
    uint64_t received = atomic_load(&sink->received);
    int64_t missing = (int64_t)(sink->expected - received - sink->told);

    printf("result events=%" PRIu64 " dropped=%" PRIu64 " missing=%" PRId64
           " wrong=%" PRIu64 " first_ns=%" PRId64 " last_ns=%" PRId64,
           received, sink->told, missing, sink->wrong, sink->first_ns,
           sink->last_ns);
    if (sink->latencies_ns && received == sink->expected)
        bench_print_percentiles(sink->latencies_ns, received);
    putchar('\n');
    fflush(stdout);
    return missing == 0 && !sink->wrong ? 0 : 1;
}
