/* The process around services: arguments, signals, lines of standard input,
 * the bus; opening and closing in the right order.
 *
 * One thread here reads commands; handlers run on the library's thread. What
 * a service counts in its handlers it reads again in finish(), which is
 * called when the bus is closed and no handler can run any more.
 */
#include "service.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SERVICES_MAX = 8,
    WORDS_MAX = 64, /* of a command */
    LINE_MAX_BYTES = 4096,
    CONNECT_MS = 5000, /* for a broker that is just starting */
    DRAIN_MS = 2000
};

struct host {
    tidings_bus *bus;
    const char *name; /* of the program, in messages */
    bool durable;     /* --durable */
    size_t count;
    struct running {
        const struct kiosk_service *service;
        struct kiosk_place place;
        char prefix[64];
        void *state;
    } running[SERVICES_MAX];
    bool was_down; /* on the library's thread only */
    bool failed;   /* some command was */
};

/* ---- words to people ---- */

static void complain(const char *name, const char *what, tidings_err err)
{
    const char *detail = tidings_detail();

    fprintf(stderr, "%s: %s: %s%s%s\n", name, what, tidings_err_text(err),
            *detail ? ": " : "", detail);
}

static void print_usage(FILE *file, const struct host *host,
                        const char *default_url)
{
    fprintf(file, "usage: %s [OPTION...] [URL] [COMMAND]\n\n", host->name);
    fprintf(file, "URL is that of the bus; default: $TIDINGS_URL, or %s.\n",
            default_url);
    fprintf(file, "--durable: events are kept in the broker's stream until "
                  "they are handled.\n");
    for (size_t i = 0; i < host->count; i++) {
        const char *commands = host->running[i].service->commands;

        if (host->running[i].service->flag)
            fprintf(file, "%s: %s\n", host->running[i].service->flag,
                    host->running[i].service->flag_help);
        if (commands)
            fprintf(file, "Command: %s\n", commands);
    }
    fprintf(file,
            "Without a command, commands are lines of standard input; a word "
            "with\nspaces stands in \"double quotes\". Ends at end of file or "
            "SIGTERM.\nServices without commands end at SIGTERM.\n");
}

/* ---- signals: a byte in a pipe that the loop polls ---- */

static int stop_pipe[2] = {-1, -1}; /* a signal handler has no argument */

static void on_signal(int number)
{
    int saved = errno;
    ssize_t ignored = write(stop_pipe[1], "", 1);

    (void)number;
    (void)ignored; /* full: it says stop already */
    errno = saved;
}

static tidings_err catch_signals(void)
{
    struct sigaction action;

    if (pipe(stop_pipe) || fcntl(stop_pipe[1], F_SETFL, O_NONBLOCK) == -1)
        return TIDINGS_EIO;
    memset(&action, 0, sizeof(action));
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGTERM, &action, NULL) || sigaction(SIGINT, &action, NULL))
        return TIDINGS_EIO;
    return TIDINGS_OK;
}

/* ---- commands ---- */

/* Cut a line into words in place; -1: too many, or a quote left open. */
static int split(char *line, char **words)
{
    int count = 0;
    char *in = line;
    char *out = line;

    for (;;) {
        bool quoted = false;

        in += strspn(in, " \t\r");
        if (!*in)
            return count;
        if (count == WORDS_MAX)
            return -1;
        words[count++] = out;
        for (; *in && (quoted || !strchr(" \t\r", *in)); in++) {
            if (*in == '"')
                quoted = !quoted;
            else
                *out++ = *in;
        }
        if (quoted)
            return -1;
        if (*in)
            in++; /* before its place is written over */
        *out++ = '\0';
    }
}

/* The first service that knows the command takes it. */
static void run_command(struct host *host, int argc, char **argv)
{
    tidings_err err = TIDINGS_ENOTFOUND;
    const char *name = host->name;

    tidings_set_detail("");
    for (size_t i = 0; err == TIDINGS_ENOTFOUND && i < host->count; i++) {
        struct running *r = &host->running[i];

        if (r->service->command) {
            err = r->service->command(r->state, argc, argv);
            name = r->service->name;
        }
    }
    if (!err && host->durable) /* done is what is on the broker's disk */
        err = tidings_flush(host->bus, CONNECT_MS);
    if (err) {
        complain(name, argv[0], err);
        host->failed = true;
    }
}

static void run_line(struct host *host, char *line)
{
    char *words[WORDS_MAX];
    int count = split(line, words);

    if (count < 0) {
        fprintf(stderr, "%s: a quote is left open, or over %d words\n",
                host->name, WORDS_MAX);
        host->failed = true;
    } else if (count > 0) {
        run_command(host, count, words);
    }
}

/* Runs the whole lines of buf; returns the bytes that are left at its start. */
static size_t run_lines(struct host *host, char *buf, size_t used)
{
    char *line = buf;
    char *end;

    while ((end = memchr(line, '\n', used - (size_t)(line - buf)))) {
        *end = '\0';
        run_line(host, line);
        line = end + 1;
    }
    used -= (size_t)(line - buf);
    memmove(buf, line, used);
    return used;
}

/* Until a signal, or the end of input when there are commands to read. */
static void serve(struct host *host, bool reads_input)
{
    char buf[LINE_MAX_BYTES];
    size_t used = 0;

    for (;;) {
        struct pollfd fds[2] = {
            {.fd = stop_pipe[0], .events = POLLIN},
            {.fd = reads_input ? STDIN_FILENO : -1, .events = POLLIN},
        };
        ssize_t got;

        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return;
        if (fds[0].revents)
            return;
        if (!fds[1].revents)
            continue;
        got = read(STDIN_FILENO, buf + used, sizeof(buf) - 1 - used);
        if (got < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (got <= 0) {
            buf[used] = '\0'; /* a last line without its line break */
            run_line(host, buf);
            return;
        }
        used = run_lines(host, buf, used + (size_t)got);
        if (used == sizeof(buf) - 1) {
            fprintf(stderr, "%s: line too long\n", host->name);
            host->failed = true;
            return;
        }
    }
}

/* ---- the bus ---- */

static void on_status(void *arg, const struct tidings_status *status)
{
    struct host *host = arg;

    switch (status->kind) {
    case TIDINGS_UP:
        if (host->was_down)
            fprintf(stderr, "%s: connected again\n", host->name);
        return;
    case TIDINGS_HANDLER_FAILED:
        return; /* the handler has said why */
    case TIDINGS_DOWN:
        host->was_down = true;
        break;
    case TIDINGS_NEW_EPOCH:
    case TIDINGS_NEW_SESSION:
    case TIDINGS_HANDLER_LATE:
    case TIDINGS_GAP:
    case TIDINGS_REFUSED:
    case TIDINGS_BAD_EVENT:
    case TIDINGS_STALE:
    case TIDINGS_UNSTORED:
    case TIDINGS_FENCED:
    case TIDINGS_GROUP_FULL:
        break;
    }
    fprintf(stderr, "%s: %s: %s\n", host->name,
            tidings_status_name(status->kind), status->text);
}

static tidings_err open_bus(struct host *host, const char *url)
{
    struct tidings_options options = {
        .name = host->name,
        .on_status = on_status,
        .on_status_arg = host,
        .confirm = host->durable ? TIDINGS_DISK : TIDINGS_NO_CONFIRM,
    };
    tidings_err err = tidings_open(&host->bus, url, &options);

    if (!err)
        err = tidings_wait(host->bus, CONNECT_MS);
    if (err)
        complain(host->name, url, err);
    return err;
}

static tidings_err start_services(struct host *host)
{
    for (size_t i = 0; i < host->count; i++) {
        struct running *r = &host->running[i];
        tidings_err err = TIDINGS_ENOMEM;

        if (host->count > 1)
            snprintf(r->prefix, sizeof(r->prefix), "%s: ", r->service->name);
        r->place.bus = host->bus;
        r->place.prefix = r->prefix;
        r->place.name = r->service->name;
        r->place.durable = host->durable;
        r->state = calloc(1, r->service->state_size);
        if (r->state)
            err = r->service->start(r->state, &r->place);
        if (err) {
            complain(r->service->name, "start", err);
            return err;
        }
    }
    return TIDINGS_OK;
}

/* Everything published is taken and every handler at rest, then the counts. */
static tidings_err stop_services(struct host *host)
{
    tidings_err err = tidings_flush(host->bus, DRAIN_MS);

    if (!err)
        err = tidings_drain(host->bus, DRAIN_MS);
    if (err)
        complain(host->name, "stop", err);
    tidings_close(host->bus); /* no handler runs after this, come what may */
    host->bus = NULL;

    for (size_t i = 0; i < host->count; i++)
        host->running[i].service->finish(host->running[i].state);
    return err;
}

static tidings_err run(struct host *host, const char *url, int argc,
                       char **argv)
{
    struct kiosk_place place = {.prefix = host->count > 1 ? "kiosk: " : ""};
    bool commands = false;
    tidings_err err = catch_signals();

    if (!err)
        err = open_bus(host, url);
    if (!err)
        err = start_services(host);
    if (err)
        goto out;

    for (size_t i = 0; i < host->count; i++)
        commands = commands || host->running[i].service->command;
    kiosk_say(&place, "ready");
    if (argc > 0)
        run_command(host, argc, argv);
    else
        serve(host, commands);
    err = stop_services(host);
out:
    tidings_close(host->bus);
    for (size_t i = 0; i < host->count; i++)
        free(host->running[i].state);
    return err;
}

/* --durable, or the flag of a service; false: neither. */
static bool take_flag(struct host *host, const char *flag)
{
    bool taken = strcmp(flag, "--durable") == 0;

    host->durable = host->durable || taken;
    for (size_t i = 0; i < host->count; i++) {
        struct running *r = &host->running[i];

        if (r->service->flag && strcmp(r->service->flag, flag) == 0)
            taken = r->place.flag = true;
    }
    return taken;
}

int kiosk_run(const struct kiosk_service *const *services, size_t count,
              const char *default_url, int argc, char **argv)
{
    const char *url = getenv("TIDINGS_URL");
    struct host host = {.name = count == 1 ? services[0]->name : "kiosk"};

    if (count > SERVICES_MAX)
        return 2;
    host.count = count;
    for (size_t i = 0; i < count; i++)
        host.running[i].service = services[i];
    if (!url || !*url)
        url = default_url;

    argc--;
    argv++;
    if (argc > 0 && strcmp(argv[0], "--help") == 0) {
        print_usage(stdout, &host, default_url);
        return 0;
    }
    for (; argc > 0 && argv[0][0] == '-'; argc--, argv++) {
        if (!take_flag(&host, argv[0])) {
            print_usage(stderr, &host, default_url);
            return 2;
        }
    }
    if (argc > 0 && strstr(argv[0], "://")) {
        url = argv[0];
        argc--;
        argv++;
    }
    return run(&host, url, argc, argv) || host.failed ? 1 : 0;
}
