/* tidingsd: options, signals, and the edge between them. */
#include "broker/edge.h"
#include "broker/lines.h"
#include "broker/options.h"
#include "proto/limits.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <time.h>

/* The signals that end it arrive through a descriptor, so that they interrupt
 * no call of libzmq's. SIGHUP ends it like a terminal's other programs, unless
 * it was started with nohup. The rest means nothing here, and must not end it
 * by default. Returns the descriptor; -1: errno. */
static int catch_signals(void)
{
    static const int ignored[] = {SIGPIPE, SIGUSR1, SIGUSR2};
    struct sigaction action = {.sa_handler = SIG_IGN};
    struct sigaction before;
    sigset_t ends;

    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++) {
        if (sigaction(ignored[i], &action, NULL) != 0)
            return -1;
    }
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    if (sigaction(SIGHUP, NULL, &before) != 0)
        return -1;
    if (before.sa_handler != SIG_IGN)
        sigaddset(&ends, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &ends, NULL) != 0)
        return -1;
    return signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void write_line(enum td_log_level level, const char *id,
                       const char *text)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    struct timespec t;
    struct tm utc;
    char time_text[32];

    clock_gettime(CLOCK_REALTIME, &t);
    gmtime_r(&t.tv_sec, &utc);
    strftime(time_text, sizeof(time_text), "%Y-%m-%dT%H:%M:%S", &utc);
    fprintf(stderr, "%s.%03ldZ %-5s %s %s\n", time_text, t.tv_nsec / 1000000,
            names[level], id, text);
}

/* The log's sink: of the edge's thread and of the guard's. */
struct sink {
    pthread_mutex_t mutex;
    struct td_lines lines;
};

static void write_log(void *ctx, enum td_log_level level, const char *id,
                      const char *text)
{
    struct sink *sink = ctx;
    struct timespec now;
    uint64_t left_out;
    const char *kind;
    char more[80];

    clock_gettime(CLOCK_MONOTONIC, &now);
    pthread_mutex_lock(&sink->mutex);
    while ((kind = td_lines_next(&sink->lines, now.tv_sec, &left_out))) {
        snprintf(more, sizeof(more), "%llu more lines of %s were left out",
                 (unsigned long long)left_out, kind);
        write_line(TD_LOG_WARN, "LOG", more);
    }
    if (td_lines_allow(&sink->lines, id, now.tv_sec))
        write_line(level, id, text);
    pthread_mutex_unlock(&sink->mutex);
}

/* Differs after each start, also when the clock has stepped back. */
static uint64_t new_epoch(void)
{
    struct timespec t;
    uint64_t noise = 0;

    clock_gettime(CLOCK_REALTIME, &t);
    if (getrandom(&noise, sizeof(noise), GRND_NONBLOCK) < 0)
        noise = (uint64_t)t.tv_nsec;
    return ((uint64_t)t.tv_sec << 24 | (noise & 0xffffff)) & INT64_MAX;
}

/* Batches are allocated and freed all the time, by different threads: with
 * its defaults the allocator gives their pages back and fetches them again. */
static void keep_pages(void)
{
    mallopt(M_MMAP_THRESHOLD, 4 << 20);
    mallopt(M_TRIM_THRESHOLD, 16 << 20);
}

static tidings_err listen_all(struct td_edge *edge,
                              const struct td_options *options)
{
    for (unsigned i = 0; i < options->listen_len; i++) {
        const char *endpoint;
        const char *why;
        tidings_err err =
            td_edge_listen(edge, options->listen[i], &endpoint, &why);

        if (err) {
            fprintf(stderr, "tidingsd: cannot listen at %s: %s\n",
                    options->listen[i], why);
            return err;
        }
        printf("listening %s\n", endpoint);
    }
    printf("ready\n");
    fflush(stdout);
    return TIDINGS_OK;
}

static int run(const struct td_options *options)
{
    struct sink sink = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    const struct td_edge_options edge_options = {
        .epoch = new_epoch(),
        .memory_bytes = options->memory_bytes,
        .session_bytes = options->session_bytes,
        .grace_ms = options->grace_ms,
        .data = options->data,
        .log = {.level = options->log_level, .write = write_log, .ctx = &sink},
    };
    struct td_edge *edge = NULL;
    int signals = catch_signals();
    char why[TD_STORE_WHY_BYTES];
    tidings_err err;

    if (signals < 0) {
        fprintf(stderr, "tidingsd: signals: %s\n", strerror(errno));
        return 1;
    }
    err = td_edge_new(&edge, &edge_options, why);
    if (err)
        fprintf(stderr, "tidingsd: cannot start: %s\n",
                why[0] ? why : tidings_err_text(err));
    if (!err)
        err = listen_all(edge, options);
    if (!err) {
        err = td_edge_run(edge, signals);
        if (err)
            fprintf(stderr, "tidingsd: stopped: %s\n", tidings_err_text(err));
    }
    td_edge_free(edge);
    return err ? 1 : 0;
}

int main(int argc, char **argv)
{
    struct td_options options;
    int code = td_options_parse(&options, argc, argv, stderr);

    if (code)
        return code;
    if (options.help) {
        td_options_help(stdout);
        return 0;
    }
    if (options.version) {
        printf("tidingsd " TD_VERSION "\n");
        return 0;
    }
    keep_pages();
    return run(&options);
}
