/* tidingsd: options, the configuration, signals, and the edge between them. */
#include "broker/config.h"
#include "broker/edge.h"
#include "broker/engine/engine.h"
#include "broker/lines.h"
#include "broker/options.h"
#include "proto/limits.h"
#include "proto/plural.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

/* ---- signals ---- */

/* Those that end it, and SIGHUP where that means something else; -1: not. */
struct signals {
    int ends;
    int hup;
};

static int descriptor_of(const sigset_t *set)
{
    if (sigprocmask(SIG_BLOCK, set, NULL) != 0)
        return -1;
    return signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* With a configuration SIGHUP has it read again, also under nohup: what is
 * blocked is not ignored. */
static bool catch_hup(struct signals *out, sigset_t *ends, bool reloads)
{
    struct sigaction before;
    sigset_t hup;

    sigemptyset(&hup);
    sigaddset(&hup, SIGHUP);
    if (reloads)
        return (out->hup = descriptor_of(&hup)) >= 0;
    if (sigaction(SIGHUP, NULL, &before) != 0)
        return false;
    if (before.sa_handler != SIG_IGN)
        sigaddset(ends, SIGHUP);
    return true;
}

/* The signals that end it arrive through a descriptor, so that they interrupt
 * no call of libzmq's. SIGHUP ends it like a terminal's other programs, unless
 * it was started with nohup. The rest means nothing here, and must not end it
 * by default. false: errno. */
static bool catch_signals(struct signals *out, bool reloads)
{
    static const int ignored[] = {SIGPIPE, SIGUSR1, SIGUSR2};
    struct sigaction action = {.sa_handler = SIG_IGN};
    sigset_t ends;

    out->hup = -1;
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++) {
        if (sigaction(ignored[i], &action, NULL) != 0)
            return false;
    }
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    if (!catch_hup(out, &ends, reloads))
        return false;
    out->ends = descriptor_of(&ends);
    return out->ends >= 0;
}

/* ---- the log ---- */

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
    enum td_log_level level; /* may change while it runs */
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
    if (level > sink->level) {
        pthread_mutex_unlock(&sink->mutex);
        return;
    }
    while ((kind = td_lines_next(&sink->lines, now.tv_sec, &left_out))) {
        snprintf(more, sizeof(more), "%llu more %s of %s left out",
                 (unsigned long long)left_out,
                 td_plural(left_out, "line", "lines"), kind);
        write_line(TD_LOG_WARN, "LOG", more);
    }
    if (td_lines_allow(&sink->lines, id, now.tv_sec))
        write_line(level, id, text);
    pthread_mutex_unlock(&sink->mutex);
}

static void set_level(struct sink *sink, enum td_log_level level)
{
    pthread_mutex_lock(&sink->mutex);
    sink->level = level;
    pthread_mutex_unlock(&sink->mutex);
}

/* ---- starting ---- */

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

/* ---- the configuration ---- */

struct daemon {
    const struct td_options *given; /* the command line alone */
    struct td_options options;      /* with which it was started */
    struct td_config *config;       /* what they borrow from; NULL: none */
    struct sink sink;
    struct td_log log;
    struct td_edge *edge;
    struct signals signals;
    bool wrong_file; /* which shows only when it is declared */
};

/* The command line and the file. NULL: *why. */
static struct td_config *read_config(struct td_options *out,
                                     const struct td_options *given, char *why)
{
    struct td_config *config = td_config_read(given->config, why);

    *out = *given;
    if (!config || td_options_take(out, config, why))
        return config;
    td_config_free(config);
    return NULL;
}

/* Streams and groups; and the stream that is always there. */
static tidings_err declare(struct daemon *d, struct td_config *config,
                           char *why)
{
    static const struct td_declared none;
    const char *text;
    uint32_t at;
    tidings_err err = td_engine_declare(
        td_edge_engine(d->edge), config ? td_config_declared(config) : &none,
        &at, &text);

    if (err && config)
        td_config_refuse_declared(config, at, text, why);
    else if (err)
        snprintf(why, TD_CONFIG_WHY_BYTES, "%s", text);
    return err;
}

static bool listens_alike(const struct td_options *a,
                          const struct td_options *b)
{
    bool alike = a->listen_len == b->listen_len;

    for (unsigned i = 0; alike && i < a->listen_len; i++)
        alike = strcmp(a->listen[i], b->listen[i]) == 0;
    return alike;
}

static void tell_what_stays(const struct daemon *d,
                            const struct td_options *options)
{
    const char *was = d->options.data ? d->options.data : "";
    const char *is = options->data ? options->data : "";

    if (!listens_alike(&d->options, options))
        td_log(&d->log, TD_LOG_WARN, "CONFIG",
               "%s: listen takes effect when the broker is started anew",
               d->given->config);
    if (strcmp(was, is) != 0)
        td_log(&d->log, TD_LOG_WARN, "CONFIG",
               "%s: data takes effect when the broker is started anew",
               d->given->config);
}

/* All of the file, or nothing. */
static void reload(void *ctx)
{
    struct daemon *d = ctx;
    struct signalfd_siginfo hup;
    struct td_options options;
    struct td_config *config;
    char why[TD_CONFIG_WHY_BYTES];

    while (read(d->signals.hup, &hup, sizeof(hup)) > 0)
        ;
    config = read_config(&options, d->given, why);
    if (!config || declare(d, config, why)) {
        td_log(&d->log, TD_LOG_ERROR, "CONFIG", "nothing is changed: %s", why);
    } else {
        if (options.log_level > d->sink.level)
            set_level(&d->sink, options.log_level);
        td_engine_bound(td_edge_engine(d->edge), options.memory_bytes,
                        options.session_bytes, options.grace_ms);
        tell_what_stays(d, &options);
        td_log(&d->log, TD_LOG_INFO, "CONFIG",
               "%s is read: %u streams, %u groups", d->given->config,
               (unsigned)td_config_declared(config)->streams_len,
               (unsigned)td_config_declared(config)->groups_len);
        set_level(&d->sink, options.log_level); /* it was told in any case */
    }
    td_config_free(config);
}

/* ---- the run ---- */

static bool start(struct daemon *d)
{
    const struct td_edge_options options = {
        .epoch = new_epoch(),
        .memory_bytes = d->options.memory_bytes,
        .session_bytes = d->options.session_bytes,
        .grace_ms = d->options.grace_ms,
        .data = d->options.data,
        .log = d->log,
    };
    char why[TD_CONFIG_WHY_BYTES];
    tidings_err err = td_edge_new(&d->edge, &options, why);

    if (err) {
        fprintf(stderr, "tidingsd: cannot start: %s\n",
                why[0] ? why : tidings_err_text(err));
        return false;
    }
    err = declare(d, d->config, why);
    if (err) {
        d->wrong_file = err == TIDINGS_ENOTFOUND;
        fprintf(stderr, "tidingsd: cannot start: %s\n", why);
        return false;
    }
    return listen_all(d->edge, &d->options) == TIDINGS_OK;
}

static int run(struct daemon *d)
{
    const struct td_edge_watch hup = {
        .fd = d->signals.hup, .call = reload, .ctx = d};
    bool started = start(d);
    tidings_err err =
        started ? td_edge_run(d->edge, d->signals.ends, &hup) : TIDINGS_EIO;

    if (started && err)
        fprintf(stderr, "tidingsd: stopped: %s\n", tidings_err_text(err));
    td_edge_free(d->edge);
    if (d->wrong_file)
        return 2;
    return err ? 1 : 0;
}

static int check(const struct daemon *d)
{
    const struct td_declared *declared = td_config_declared(d->config);

    printf("%s is right: %u streams, %u groups\n", d->given->config,
           (unsigned)declared->streams_len, (unsigned)declared->groups_len);
    return 0;
}

static int go(const struct td_options *given)
{
    struct daemon d = {
        .given = given,
        .options = *given,
        .sink = {.mutex = PTHREAD_MUTEX_INITIALIZER},
    };
    char why[TD_CONFIG_WHY_BYTES];
    int code = 1;

    if (given->config) {
        d.config = read_config(&d.options, given, why);
        if (!d.config) {
            fprintf(stderr, "tidingsd: %s\n", why);
            return 2;
        }
    }
    d.sink.level = d.options.log_level;
    d.log = (struct td_log){
        .level = TD_LOG_DEBUG, .write = write_log, .ctx = &d.sink};
    if (given->check)
        code = check(&d);
    else if (!catch_signals(&d.signals, given->config))
        fprintf(stderr, "tidingsd: signals: %s\n", strerror(errno));
    else
        code = run(&d);
    td_config_free(d.config);
    return code;
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
    return go(&options);
}
