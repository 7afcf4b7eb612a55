/* See bench.h. */
#define _GNU_SOURCE /* processor sets are Linux's own */
#include "tests/bench/bench.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The head of an event; the rest is filling that is checked at its end. */
struct stamp {
    uint64_t number;
    int64_t sent_ns;
};

static const unsigned char filling = 0x5a;

int64_t bench_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

_Noreturn void bench_die(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(2);
}

void bench_say_ready(void)
{
    puts("ready");
    fflush(stdout);
}

void bench_stay_on_core(int core)
{
    static cpu_set_t ours; /* as it was before the first call */
    cpu_set_t one;

    if (!CPU_COUNT(&ours) && sched_getaffinity(0, sizeof(ours), &ours))
        bench_die("affinity: %s", strerror(errno));
    if (CPU_COUNT(&ours) < 2)
        return;
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &ours) && core-- == 0)
            CPU_SET(cpu, &one);
    if (sched_setaffinity(0, sizeof(one), &one))
        bench_die("affinity: %s", strerror(errno));
}

/* ---- arguments ---- */

static void on_deadline(int signal_number)
{
    static const char text[] = "bench: deadline passed\n";

    (void)signal_number;
    if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
        _exit(4);
    _exit(3);
}

static void start_deadline(uint64_t seconds)
{
    struct sigaction action = {.sa_handler = on_deadline};

    sigaction(SIGALRM, &action, NULL);
    alarm((unsigned)seconds);
}

static uint64_t parse_number(const char *option, const char *text)
{
    char *end;
    uint64_t value;

    errno = 0;
    value = strtoull(text, &end, 10);
    if (errno || end == text || *end || *text == '-')
        bench_die("%s: not a number: %s", option, text);
    return value;
}

void bench_args_parse(struct bench_args *out, int argc, char **argv)
{
    struct bench_args args = {.events = 1, .subscribers = 1, .deadline_s = 60};
    const struct {
        const char *option;
        uint64_t *value;
    } numbers[] = {
        {"--events", &args.events},
        {"--rate", &args.rate},
        {"--subscribers", &args.subscribers},
        {"--deadline", &args.deadline_s},
    };
    int i = 1;

    if (argc < 2)
        bench_die("usage: %s ROLE [--url URL] [--events N] [--rate N] "
                  "[--subscribers N] [--deadline SECONDS] [--send-asap]",
                  argv[0]);
    args.role = argv[i++];
    while (i < argc) {
        const char *option = argv[i++];
        size_t n = 0;

        if (!strcmp(option, "--send-asap")) {
            args.send_asap = true;
            continue;
        }
        if (i == argc)
            bench_die("%s: no value, or no such option", option);
        if (!strcmp(option, "--url")) {
            args.url = argv[i++];
            continue;
        }
        while (n < sizeof(numbers) / sizeof(*numbers) &&
               strcmp(option, numbers[n].option))
            n++;
        if (n == sizeof(numbers) / sizeof(*numbers))
            bench_die("%s: no such option", option);
        *numbers[n].value = parse_number(option, argv[i++]);
    }
    if (!args.events || !args.deadline_s || args.deadline_s > 3600)
        bench_die("--events: at least 1; --deadline: 1..3600");
    start_deadline(args.deadline_s);
    *out = args;
}

/* ---- the sending end ---- */

static void sleep_until(int64_t at_ns)
{
    struct timespec at = {.tv_sec = at_ns / 1000000000,
                          .tv_nsec = at_ns % 1000000000};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
        ;
}

void bench_publish(const struct bench_args *args, bench_send *send, void *arg)
{
    unsigned char data[BENCH_DATA_BYTES];
    struct stamp stamp = {0, 0};
    int64_t start_ns = bench_now_ns();

    memset(data, filling, sizeof(data));
    for (uint64_t i = 0; i < args->events; i++) {
        stamp.number = i;
        if (args->rate) {
            sleep_until(start_ns + (int64_t)(i * 1000000000 / args->rate));
            stamp.sent_ns = bench_now_ns();
        }
        memcpy(data, &stamp, sizeof(stamp));
        send(arg, data, sizeof(data));
    }
}

/* ---- the receiving end ---- */

void bench_sink_init(struct bench_sink *sink, const struct bench_args *args)
{
    pthread_condattr_t attr;

    memset(sink, 0, sizeof(*sink));
    atomic_init(&sink->received, 0);
    sink->expected = args->events;
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

bool bench_sink_take(struct bench_sink *sink, const void *data, size_t len)
{
    uint64_t n = atomic_load_explicit(&sink->received, memory_order_relaxed);
    struct stamp stamp;

    if (n == sink->expected) { /* one more than was sent */
        sink->wrong++;
        return false;
    }
    if (len != BENCH_DATA_BYTES) {
        sink->wrong++;
        return true;
    }
    memcpy(&stamp, data, sizeof(stamp));
    if (stamp.number != n ||
        ((const unsigned char *)data)[len - 1] != filling) {
        sink->wrong++;
        return true;
    }

    if (sink->latencies_ns)
        sink->latencies_ns[n] = bench_now_ns() - stamp.sent_ns;
    if (n == 0)
        sink->first_ns = bench_now_ns();
    if (n + 1 == sink->expected)
        sink->last_ns = bench_now_ns();
    atomic_store_explicit(&sink->received, n + 1, memory_order_release);
    if (n + 1 < sink->expected)
        return true;
    wake(sink);
    return false;
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
        now = atomic_load_explicit(&sink->received, memory_order_acquire);
        while (now < sink->expected &&
               !pthread_cond_timedwait(&sink->complete, &sink->mutex, &until))
            now = atomic_load_explicit(&sink->received, memory_order_acquire);
        now = atomic_load_explicit(&sink->received, memory_order_acquire);
    } while (now < sink->expected && now > before);
    pthread_mutex_unlock(&sink->mutex);
}

static int compare_ns(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

int bench_sink_report(struct bench_sink *sink)
{
    uint64_t received = atomic_load(&sink->received);

    printf("result events=%" PRIu64 " missing=%" PRIu64 " wrong=%" PRIu64
           " first_ns=%" PRId64 " last_ns=%" PRId64,
           received, sink->expected - received, sink->wrong, sink->first_ns,
           sink->last_ns);
    if (sink->latencies_ns && received == sink->expected) {
        qsort(sink->latencies_ns, received, sizeof(int64_t), compare_ns);
        printf(" p50_ns=%" PRId64 " p99_ns=%" PRId64 " max_ns=%" PRId64,
               sink->latencies_ns[received / 2],
               sink->latencies_ns[received * 99 / 100],
               sink->latencies_ns[received - 1]);
    }
    putchar('\n');
    fflush(stdout);
    return received == sink->expected && !sink->wrong ? 0 : 1;
}
