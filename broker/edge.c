#include "broker/edge.h"

#include "broker/engine/engine.h"
#include "broker/guard.h"
#include "broker/store/lmdb.h"
#include "proto/address.h"
#include "proto/limits.h"
#include "proto/zmq_body.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#define ENDPOINTS_MAX      16u
#define ENDPOINT_BYTES_MAX 256u
#define TURN_MESSAGES_MAX  64 /* then the turn ends, so that delivery keeps up */
#define FAREWELL_MS        200 /* how long libzmq may send the last BYE */
#define QUIET_MS           50  /* draining: nothing came for so long */

struct td_edge {
    void *context;
    void *router;
    struct td_guard *guard;
    struct td_engine *engine;
    struct td_store *store; /* NULL: none */
    struct td_log log;
    char endpoints[ENDPOINTS_MAX][ENDPOINT_BYTES_MAX];
    unsigned endpoints_len;
};

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- sending ---- */

/* ROUTER_MANDATORY refuses at the first frame: EHOSTUNREACH when the peer is
 * gone, EAGAIN when its pipe is full, which credit allows a dead one only. */
static bool port_send(void *ctx, struct td_str peer, const void *control,
                      size_t len, struct td_body *body)
{
    struct td_edge *edge = ctx;
    int flags = ZMQ_DONTWAIT | (body ? ZMQ_SNDMORE : 0);

    return zmq_send(edge->router, peer.data, peer.len,
                    ZMQ_DONTWAIT | ZMQ_SNDMORE) >= 0 &&
           zmq_send(edge->router, control, len, flags) >= 0 &&
           (!body || td_zmq_send_body(edge->router, body));
}

static bool port_random(void *ctx, void *out, size_t len)
{
    (void)ctx;
    return getrandom(out, len, 0) == (ssize_t)len;
}

static int64_t port_unix_us(void *ctx)
{
    struct timespec t;

    (void)ctx;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* ---- receiving ---- */

/* Reads what follows a message's first frames, so that the next read begins
 * with a message; returns how many frames that was. */
static unsigned skip_rest(void *router, zmq_msg_t *last)
{
    zmq_msg_t message;
    unsigned frames = 0;
    bool more = zmq_msg_more(last);

    zmq_msg_init(&message);
    while (more && zmq_msg_recv(&message, router, ZMQ_DONTWAIT) >= 0) {
        frames++;
        more = zmq_msg_more(&message);
    }
    zmq_msg_close(&message);
    return frames;
}

static void hand_over(struct td_edge *edge, zmq_msg_t frames[3],
                      unsigned frames_len, int64_t now)
{
    struct td_str peer = {zmq_msg_data(&frames[0]), zmq_msg_size(&frames[0])};
    struct td_body *body = NULL;

    if (frames_len == 2) {
        body = td_zmq_body_of(&frames[2]);
        if (!body) { /* lost for want of memory: the client sends it again */
            td_engine_gone(edge->engine, peer, now);
            return;
        }
    }
    td_engine_message(edge->engine, peer, frames_len, zmq_msg_data(&frames[1]),
                      zmq_msg_size(&frames[1]), body, now);
    td_body_unref(body);
}

/* One message: the peer, the control frame, perhaps a body. */
static bool receive(struct td_edge *edge, int64_t now)
{
    zmq_msg_t frames[3];
    unsigned got = 0;
    unsigned extra = 0;

    for (int i = 0; i < 3; i++)
        zmq_msg_init(&frames[i]);
    while (got < 3 && (got == 0 || zmq_msg_more(&frames[got - 1])) &&
           zmq_msg_recv(&frames[got], edge->router, ZMQ_DONTWAIT) >= 0)
        got++;
    if (got == 3)
        extra = skip_rest(edge->router, &frames[2]);
    if (got > 0)
        hand_over(edge, frames, got - 1 + extra, now);
    for (int i = 0; i < 3; i++)
        zmq_msg_close(&frames[i]);
    return got > 0;
}

/* The first message is delivered before it is asked for a second, which costs
 * system calls when there is none: an event that comes alone goes at once. */
static bool receive_turn(struct td_edge *edge, int64_t now)
{
    int n = 1;

    if (!receive(edge, now))
        return false;
    td_engine_flush(edge->engine, now);
    while (n < TURN_MESSAGES_MAX && receive(edge, now))
        n++;
    return true;
}

/* ---- the loop ---- */

static zmq_pollitem_t *watch_fd(zmq_pollitem_t *items, int *watched, int fd)
{
    zmq_pollitem_t *item = &items[*watched];

    if (fd < 0)
        return NULL;
    *item = (zmq_pollitem_t){.fd = fd, .events = ZMQ_POLLIN};
    ++*watched;
    return item;
}

static bool is_readable(const zmq_pollitem_t *item)
{
    return item && (item->revents & ZMQ_POLLIN);
}

/* Waits for messages, for the store, for stop_fd (-1: not watched), for the
 * watch (NULL: none), or until the deadline. */
static tidings_err wait_input(struct td_edge *edge, int stop_fd,
                              const struct td_edge_watch *watch,
                              int64_t deadline, bool *stop)
{
    zmq_pollitem_t items[4] = {{.socket = edge->router, .events = ZMQ_POLLIN}};
    int watched = 1;
    zmq_pollitem_t *stops;
    zmq_pollitem_t *calls;
    int64_t left = deadline == TD_NEVER ? -1 : deadline - now_ms();

    if (deadline != TD_NEVER && left < 0)
        left = 0;
    if (edge->store)
        watch_fd(items, &watched, edge->store->face->fd(edge->store));
    stops = watch_fd(items, &watched, stop_fd);
    calls = watch_fd(items, &watched, watch ? watch->fd : -1);
    if (zmq_poll(items, watched, left) < 0 && errno != EINTR)
        return TIDINGS_EIO;
    *stop = is_readable(stops);
    if (is_readable(calls))
        watch->call(watch->ctx);
    return TIDINGS_OK;
}

/* What was submitted is answered, so that nobody has to ask again. */
static void finish_commits(struct td_edge *edge, int64_t end)
{
    struct pollfd fd = {.events = POLLIN};
    int64_t now = now_ms();

    while (edge->store && !td_engine_is_written(edge->engine) && now < end) {
        fd.fd = edge->store->face->fd(edge->store);
        if (poll(&fd, 1, (int)(end - now)) < 0 && errno != EINTR)
            return;
        now = now_ms();
        td_engine_flush(edge->engine, now);
    }
}

/* Everything that was published is delivered, if its subscribers let it, and
 * what was asked is answered, if it is in time. The
 * endpoints stay: with libzmq, unbinding ends the connections made there. */
static void drain(struct td_edge *edge, int stop_fd)
{
    int64_t now = now_ms();
    int64_t end = now + TD_STOP_MS;
    int64_t input_end = now + TD_STOP_INPUT_MS; /* some never stop sending */
    bool stop = false;
    bool busy = true;
    struct signalfd_siginfo first;

    if (read(stop_fd, &first, sizeof(first)) < 0)
        stop_fd = -1; /* nothing more to hear from it */
    td_log(&edge->log, TD_LOG_INFO, "DRAIN", "stopping: delivering the rest");
    td_engine_drain(edge->engine);
    while (!stop && now < end && (busy || !td_engine_is_idle(edge->engine))) {
        int64_t next = td_engine_flush(edge->engine, now);

        if (next > now + QUIET_MS)
            next = now + QUIET_MS;
        if (wait_input(edge, stop_fd, NULL, next, &stop))
            break;
        now = now_ms();
        busy = receive_turn(edge, now) && now < input_end;
    }
    td_engine_flush(edge->engine, now);
    finish_commits(edge, end);
    td_engine_stop(edge->engine, now_ms());
    td_engine_flush(edge->engine, now_ms()); /* what the store is to keep */
}

tidings_err td_edge_run(struct td_edge *edge, int stop_fd,
                        const struct td_edge_watch *watch)
{
    int64_t next = td_engine_flush(edge->engine, now_ms());
    bool stop = false;

    while (!stop) {
        int64_t now;
        tidings_err err = wait_input(edge, stop_fd, watch, next, &stop);

        if (err)
            return err;
        now = now_ms();
        receive_turn(edge, now);
        next = td_engine_flush(edge->engine, now);
    }
    drain(edge, stop_fd);
    return TIDINGS_OK;
}

/* ---- setting up ---- */

struct td_engine *td_edge_engine(struct td_edge *edge)
{
    return edge->engine;
}

/* Each with its reason; the figures are those of proto/limits.h. */
static bool set_options(void *router)
{
    static const struct {
        int name;
        int value;
    } ints[] = {
        {ZMQ_ROUTER_MANDATORY, 1}, /* an error instead of a silent drop */
        {ZMQ_ROUTER_HANDOVER, 0},  /* nobody takes over another's id */
        {ZMQ_SNDHWM, TD_SNDHWM},   /* above what the engine lets out */
        {ZMQ_RCVHWM, TD_SNDHWM},   /* credit is the true bound */
        {ZMQ_LINGER, FAREWELL_MS},
        {ZMQ_HANDSHAKE_IVL, 3000}, /* idle connects hold no descriptors */
        {ZMQ_HEARTBEAT_IVL, TD_HEARTBEAT_MS},
        {ZMQ_HEARTBEAT_TIMEOUT, TD_DEAD_MS},
        {ZMQ_HEARTBEAT_TTL, TD_DEAD_MS},
        {ZMQ_TCP_KEEPALIVE, 1},
        {ZMQ_TCP_KEEPALIVE_IDLE, 30},
        {ZMQ_TCP_KEEPALIVE_INTVL, 10},
        {ZMQ_TCP_KEEPALIVE_CNT, 3},
        {ZMQ_TCP_MAXRT, 30000}, /* unsent bytes to a dead peer */
        {ZMQ_BACKLOG, 1024},    /* reconnect storms */
    };
    const int64_t largest = TD_BODY_BYTES_MAX;

    for (size_t i = 0; i < sizeof(ints) / sizeof(ints[0]); i++) {
        if (zmq_setsockopt(router, ints[i].name, &ints[i].value,
                           sizeof(ints[i].value)) != 0)
            return false;
    }
    return zmq_setsockopt(router, ZMQ_MAXMSGSIZE, &largest, sizeof(largest)) ==
           0;
}

/* Nobody is let in before what was kept is known. */
static tidings_err load(struct td_edge *edge, char *why)
{
    struct pollfd fd = {.events = POLLIN};
    tidings_err err = TIDINGS_OK;

    while (!td_engine_is_loaded(edge->engine, &err)) {
        fd.fd = edge->store->face->fd(edge->store);
        if (poll(&fd, 1, -1) < 0 && errno != EINTR)
            return TIDINGS_EIO;
        td_engine_flush(edge->engine, now_ms());
    }
    if (err)
        snprintf(why, TD_STORE_WHY_BYTES, "the store cannot be read: %s",
                 tidings_err_text(err));
    return err;
}

tidings_err td_edge_new(struct td_edge **out,
                        const struct td_edge_options *options, char *why)
{
    struct td_edge *edge = calloc(1, sizeof(*edge));
    tidings_err err = TIDINGS_ENOMEM;
    uint64_t seed;

    why[0] = '\0';
    if (!edge)
        goto out;
    edge->log = options->log;
    err = TIDINGS_EIO;
    edge->context = zmq_ctx_new();
    if (!edge->context)
        goto out;
    zmq_ctx_set(edge->context, ZMQ_BLOCKY, 0);
    edge->router = zmq_socket(edge->context, ZMQ_ROUTER);
    if (!edge->router || !set_options(edge->router))
        goto out;
    err = td_guard_new(&edge->guard, edge->context, edge->router, &edge->log);
    if (err)
        goto out;
    if (options->data) {
        const struct td_lmdb_options store = {.guard = true};

        err = td_lmdb_open(&edge->store, options->data, &store, why);
        if (err)
            goto out;
    }

    if (!port_random(NULL, &seed, sizeof(seed)))
        seed = options->epoch;

    const struct td_engine_options engine = {
        .epoch = options->epoch,
        .seed = seed,
        .memory_bytes = options->memory_bytes,
        .session_bytes = options->session_bytes,
        .grace_ms = options->grace_ms,
        .version = TD_VERSION,
        .store = edge->store,
        .declares = true,
        .port = {.send = port_send,
                 .random = port_random,
                 .unix_us = port_unix_us,
                 .ctx = edge},
        .log = options->log,
    };

    err = td_engine_new(&edge->engine, &engine, now_ms());
    if (!err)
        err = load(edge, why);
    if (err)
        goto out;
    *out = edge;
    edge = NULL;
out:
    td_edge_free(edge);
    return err;
}

void td_edge_free(struct td_edge *edge)
{
    if (!edge)
        return;
    td_engine_free(edge->engine);
    if (edge->store)
        edge->store->face->close(edge->store);
    td_guard_free(edge->guard);
    if (edge->router)
        zmq_close(edge->router);
    while (edge->context && zmq_ctx_term(edge->context) != 0 && errno == EINTR)
        ;
    /* After a clean end nobody is to find a socket that does not answer. */
    for (unsigned i = 0; i < edge->endpoints_len; i++) {
        if (strncmp(edge->endpoints[i], "ipc://", 6) == 0)
            unlink(edge->endpoints[i] + 6);
    }
    free(edge);
}

/* libzmq unlinks whatever lies at an ipc path, also a living broker's socket,
 * so ask first whether somebody answers there. */
static bool ipc_is_alive(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    bool alive;
    int fd;

    if (strlen(path) >= sizeof(address.sun_path))
        return false; /* bind will say it better */
    memcpy(address.sun_path, path, strlen(path));
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0)
        return false;
    alive = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
    close(fd);
    return alive;
}

tidings_err td_edge_listen(struct td_edge *edge, const char *url,
                           const char **endpoint, const char **why)
{
    size_t size = ENDPOINT_BYTES_MAX;
    char *at;

    *why = td_address_check(url, true);
    if (*why)
        return TIDINGS_EINVAL;
    *why = "too many addresses";
    if (edge->endpoints_len == ENDPOINTS_MAX)
        return TIDINGS_ELIMIT;
    *why = "address already in use";
    if (strncmp(url, "ipc://", 6) == 0 && ipc_is_alive(url + 6))
        return TIDINGS_EEXIST;
    if (zmq_bind(edge->router, url) != 0) {
        tidings_err err = errno == EADDRINUSE ? TIDINGS_EEXIST
                          : errno == EINVAL   ? TIDINGS_EINVAL
                                              : TIDINGS_EIO;

        *why = zmq_strerror(errno);
        return err;
    }
    at = edge->endpoints[edge->endpoints_len];
    if (zmq_getsockopt(edge->router, ZMQ_LAST_ENDPOINT, at, &size) != 0) {
        *why = zmq_strerror(errno);
        return TIDINGS_EIO;
    }
    edge->endpoints_len++;
    *endpoint = at;
    return TIDINGS_OK;
}
