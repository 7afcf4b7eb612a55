/* The process around a service: arguments, signals, the bus, the database;
 * opening and closing in the right order. */
#include "service.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    ENDPOINTS_MAX = 8,
    LISTENS_MAX = 8,
    CONNECT_MS = 5000, /* for a broker that is just starting */
    STOP_MS = 3000,
    TICK_MS = 1000
};

struct host {
    const struct shop_service *what;
    struct shop shop;
    tidings_service *service;
    char groups[LISTENS_MAX][64 + 1];
    struct tidings_sqlite_handler handlers[LISTENS_MAX];
};

/* ---- words to people ---- */

static void complain(const struct host *host, const char *what, tidings_err err)
{
    const char *detail = tidings_detail();

    fprintf(stderr, "%s: %s: %s%s%s\n", host->what->name, what,
            tidings_err_text(err), *detail ? ": " : "", detail);
}

static void on_status(void *arg, const struct tidings_status *status)
{
    const struct host *host = arg;

    if (status->kind != TIDINGS_UP)
        fprintf(stderr, "%s: %s: %s\n", host->what->name,
                tidings_status_name(status->kind), status->text);
}

static void on_relay(void *arg, const struct tidings_relay_status *status)
{
    const struct host *host = arg;

    if (status->kind == TIDINGS_RELAY_TROUBLE ||
        status->kind == TIDINGS_RELAY_REFUSED)
        fprintf(stderr, "%s: relay: %s: %s\n", host->what->name,
                tidings_relay_kind_name(status->kind), status->text);
}

static int print_usage(FILE *file, const struct shop_service *what, int status)
{
    fprintf(file,
            "usage: shop_%s [--db FILE] [URL]\n\n"
            "The %s service of the shop: %s.\n"
            "Keeps its data in FILE, default %s.db; URL is that of the bus,\n"
            "default $TIDINGS_URL, or %s.\nEnds at SIGTERM.\n",
            what->name, what->name, what->description, what->name,
            TIDINGS_DEFAULT_URL);
    return status;
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

/* ---- opening ---- */

static tidings_err open_bus(struct host *host, const char *url)
{
    const struct tidings_options options = {
        .name = host->what->name,
        .on_status = on_status,
        .on_status_arg = host,
    };
    tidings_err err = tidings_open(&host->shop.bus, url, &options);

    return err ? err : tidings_wait(host->shop.bus, CONNECT_MS);
}

/* The folder of the file, if it is not there; what is wrong with it SQLite will
 * say. */
static void make_folder(const char *path)
{
    char folder[256];
    const char *slash = strrchr(path, '/');

    if (!slash || (size_t)(slash - path) >= sizeof(folder))
        return;
    memcpy(folder, path, (size_t)(slash - path));
    folder[slash - path] = '\0';
    mkdir(folder, 0777);
}

static tidings_err open_data(struct host *host, const char *path,
                             const char *url)
{
    const struct tidings_relay_options options = {
        .name = host->what->name,
        .on_status = on_relay,
        .on_status_arg = host,
    };
    tidings_err err;

    make_folder(path);
    err = shop_db_open(&host->shop.db, path, host->what->schema);

    if (!err)
        err = shop_db_open(&host->shop.inbox, path, host->what->schema);
    if (!err)
        err = tidings_sqlite_relay(&host->shop.relay, path, url, &options);
    return err;
}

static tidings_err on_event(void *arg, sqlite3 *db,
                            const struct tidings_event *event)
{
    struct host *host = arg;
    tidings_err err = host->what->on_event(&host->shop, db, event);

    if (err)
        complain(host, event->type, err);
    return err;
}

/* Each pattern through a durable group of its own, "analytics.user.created":
 * what happened while the service was down comes when it is back. */
static tidings_err listen_to(struct host *host, size_t i)
{
    const char *pattern = host->what->listens[i];
    struct tidings_sqlite_handler *handler = &host->handlers[i];
    const struct tidings_sub_options options = {
        .stream = "events",
        .group = host->groups[i],
        .start = {.kind = TIDINGS_START_ALL},
    };

    snprintf(host->groups[i], sizeof(host->groups[i]), "%s.%s",
             host->what->name, pattern);
    handler->db = host->shop.inbox.db;
    handler->group = host->groups[i];
    handler->handle = on_event;
    handler->arg = host;
    handler->relay = host->shop.relay;
    return tidings_subscribe(NULL, host->shop.bus, pattern,
                             tidings_sqlite_handle, handler, &options);
}

static tidings_err serve(struct host *host)
{
    struct tidings_endpoint endpoints[ENDPOINTS_MAX];
    const struct tidings_service_options options = {
        .name = host->what->name,
        .version = host->what->version,
        .description = host->what->description,
        .endpoints = endpoints,
        .endpoints_len = host->what->endpoints_len,
        .workers = host->what->workers,
        .breaker = host->what->breaker,
    };

    for (size_t i = 0; i < options.endpoints_len; i++) {
        endpoints[i] = host->what->endpoints[i];
        endpoints[i].arg = &host->shop;
    }
    return tidings_serve(&host->service, host->shop.bus, &options);
}

static tidings_err start(struct host *host, const char *url, const char *path)
{
    tidings_err err = catch_signals();
    const char *step = "signals";

    if (!err) {
        step = url;
        err = open_bus(host, url);
    }
    if (!err) {
        step = path;
        err = open_data(host, path, url);
    }
    for (size_t i = 0; !err && host->what->listens && host->what->listens[i];
         i++) {
        step = host->what->listens[i];
        err = listen_to(host, i);
    }
    if (!err) {
        step = "service";
        err = serve(host);
    }
    if (err)
        complain(host, step, err);
    return err;
}

/* ---- running, closing ---- */

static void run(struct host *host)
{
    struct pollfd fd = {.fd = stop_pipe[0], .events = POLLIN};

    shop_say("ready");
    for (;;) {
        int n = poll(&fd, 1, host->what->tick ? TICK_MS : -1);

        if (n > 0)
            return;
        if (n == 0)
            host->what->tick(&host->shop);
    }
}

/* What was begun is ended; what was committed is published, or will be when
 * the service runs again. */
static void stop(struct host *host)
{
    tidings_service_stop(host->service, STOP_MS);
    tidings_drain(host->shop.bus, STOP_MS);
    tidings_relay_flush(host->shop.relay, STOP_MS);
    tidings_close(host->shop.bus);
    tidings_relay_close(host->shop.relay);
    shop_db_close(&host->shop.inbox);
    shop_db_close(&host->shop.db);
}

int shop_main(const struct shop_service *service, int argc, char **argv)
{
    struct host host = {.what = service, .shop = {.name = service->name}};
    const char *url = getenv("TIDINGS_URL");
    char path[64];
    const char *db = path;
    bool failed;

    snprintf(path, sizeof(path), "%s.db", service->name);
    if (!url || !*url)
        url = TIDINGS_DEFAULT_URL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0)
            return print_usage(stdout, service, 0);
        if (strcmp(argv[i], "--db") == 0 && i + 1 < argc)
            db = argv[++i];
        else if (strstr(argv[i], "://"))
            url = argv[i];
        else
            return print_usage(stderr, service, 2);
    }
    failed = start(&host, url, db);
    if (!failed)
        run(&host);
    stop(&host);
    return failed;
}
