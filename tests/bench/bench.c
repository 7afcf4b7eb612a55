/* See bench.h: arguments, clock, threads, and the sending end. */
#define _GNU_SOURCE /* processor sets are Linux's own */
#include "tests/bench/bench.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/stamp.h"

int64_t bench_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

void bench_sleep_until_ns(int64_t at_ns)
{
    struct timespec at = {.tv_sec = at_ns / 1000000000,
                          .tv_nsec = at_ns % 1000000000};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
        ;
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

_Noreturn void bench_stay(void)
{
    for (;;)
        pause();
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

static bool parse_option(struct bench_args *args, const char *option,
                         const char *value)
{
    const struct {
        const char *option;
        uint64_t *number;
        const char **text;
    } options[] = {
        {"--url", NULL, &args->url},
        {"--group", NULL, &args->group},
        {"--policy", NULL, &args->policy},
        {"--level", NULL, &args->level},
        {"--stream", NULL, &args->stream},
        {"--type", NULL, &args->type},
        {"--share", NULL, &args->share},
        {"--events", &args->events, NULL},
        {"--first", &args->first, NULL},
        {"--keep", &args->keep, NULL},
        {"--rate", &args->rate, NULL},
        {"--bytes", &args->bytes, NULL},
        {"--flush-every", &args->flush_every, NULL},
        {"--types", &args->types, NULL},
        {"--subscribers", &args->subscribers, NULL},
        {"--member", &args->member, NULL},
        {"--clients", &args->clients, NULL},
        {"--each", &args->each, NULL},
        {"--slow-us", &args->slow_us, NULL},
        {"--deadline", &args->deadline_s, NULL},
    };

    for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++) {
        if (strcmp(option, options[i].option))
            continue;
        if (options[i].text)
            *options[i].text = value;
        else
            *options[i].number = parse_number(option, value);
        return true;
    }
    return false;
}

static void check(const struct bench_args *args)
{
    if (!args->events || !args->subscribers || !args->clients)
        bench_die("--events, --subscribers, --clients: at least 1");
    if (args->member >= args->subscribers)
        bench_die("--member: less than --subscribers");
    if (args->bytes < BENCH_DATA_MIN || args->bytes > BENCH_DATA_MAX)
        bench_die("--bytes: %u..%u", BENCH_DATA_MIN, BENCH_DATA_MAX);
    if (!args->deadline_s || args->deadline_s > 3600)
        bench_die("--deadline: 1..3600");
}

void bench_args_parse(struct bench_args *out, int argc, char **argv)
{
    struct bench_args args = {.events = 1,
                              .bytes = BENCH_DATA_BYTES,
                              .subscribers = 1,
                              .clients = 1,
                              .deadline_s = 60};
    int i = 1;

    if (argc < 2)
        bench_die("usage: %s ROLE [--send-asap] [--OPTION VALUE]...; "
                  "tests/bench/bench.h has the options",
                  argv[0]);
    args.role = argv[i++];
    while (i < argc) {
        const char *option = argv[i++];

        if (!strcmp(option, "--send-asap"))
            args.send_asap = true;
        else if (i == argc || !parse_option(&args, option, argv[i++]))
            bench_die("%s: no value, or no such option", option);
    }
    check(&args);
    start_deadline(args.deadline_s);
    *out = args;
}

/* ---- many ---- */

void bench_type(char out[BENCH_TYPE_BYTES], uint64_t n, bool published)
{
    snprintf(out, BENCH_TYPE_BYTES, "bench.%s.%06u",
             published ? "type" : "idle", (unsigned)n);
}

struct task {
    pthread_t thread;
    void (*work)(void *arg, uint64_t n);
    void *arg;
    uint64_t n;
};

static void *run_task(void *arg)
{
    struct task *task = arg;

    task->work(task->arg, task->n);
    return NULL;
}

void bench_each(uint64_t count, void (*work)(void *arg, uint64_t n), void *arg)
{
    struct task *tasks = calloc(count, sizeof(*tasks));

    if (!tasks)
        bench_die("no memory");
    for (uint64_t i = 0; i < count; i++) {
        tasks[i].work = work;
        tasks[i].arg = arg;
        tasks[i].n = i;
        if (pthread_create(&tasks[i].thread, NULL, run_task, &tasks[i]))
            bench_die("no thread");
    }
    for (uint64_t i = 0; i < count; i++)
        pthread_join(tasks[i].thread, NULL);
    free(tasks);
}

/* ---- the sending end ---- */

static char *make_types(uint64_t count)
{
    char *types = count ? malloc(count * BENCH_TYPE_BYTES) : NULL;

    if (count && !types)
        bench_die("no memory");
    for (uint64_t i = 0; i < count; i++)
        bench_type(types + i * BENCH_TYPE_BYTES, i, true);
    return types;
}

/* xorshift64: the same types in the same order in every run. */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

void bench_publish(const struct bench_args *args, const struct bench_out *out)
{
    unsigned char *data = malloc(args->bytes);
    char *types = make_types(args->types);
    const char *type = args->type ? args->type : BENCH_TYPE;
    struct stamp stamp = {0, 0};
    uint64_t random = 88172645463325252u;
    int64_t start_ns = bench_now_ns();

    if (!data)
        bench_die("no memory");
    memset(data, STAMP_FILLING, args->bytes);
    for (uint64_t i = 0; i < args->events; i++) {
        stamp.number = args->first + i;
        if (args->rate) {
            bench_sleep_until_ns(start_ns +
                                 (int64_t)(i * 1000000000 / args->rate));
            stamp.sent_ns = bench_now_ns();
        }
        memcpy(data, &stamp, sizeof(stamp));
        if (types)
            type =
                types + next_random(&random) % args->types * BENCH_TYPE_BYTES;
        out->send(out->arg, type, data, args->bytes);
        if (args->flush_every && (i + 1) % args->flush_every == 0)
            out->flush(out->arg);
    }
    if (out->flush)
        out->flush(out->arg);
    free(types);
    free(data);
}
