/* tcp:// and ipc://: one DEALER for each connection, and a monitor that says
 * when it is over. libzmq never reconnects by itself: the session opens the
 * next socket, greets, and only then sends again what was not taken. */
#include "client/detail.h"
#include "client/link.h"
#include "proto/address.h"
#include "proto/limits.h"
#include "proto/zmq_body.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define LINGER_MS 1000 /* how long a closed socket may go on sending */
#define MONITOR_EVENTS                                                         \
    (ZMQ_EVENT_CLOSED | ZMQ_EVENT_CONNECT_RETRIED | ZMQ_EVENT_DISCONNECTED |   \
     ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |                                    \
     ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)

struct td_link {
    char *url;
    void *context;
    void *dealer; /* NULL: not open */
    void *monitor;
    unsigned opens; /* in the monitor's address: the last one's may still be
                       closing, on a thread of libzmq's */
    bool heard;     /* somebody answers: what was sent is worth waiting for */
    bool told;      /* the monitor has something to say */
};

static int set_int(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof(value));
}

static bool set_options(void *dealer)
{
    static const struct {
        int name;
        int value;
    } ints[] = {
        {ZMQ_RECONNECT_IVL, -1}, /* old frames must not reach a new broker */
        {ZMQ_SNDHWM, 0}, /* credit and the unconfirmed list are the bounds */
        {ZMQ_RCVHWM, 0}, /* credit is */
        {ZMQ_LINGER, LINGER_MS},
        {ZMQ_CONNECT_TIMEOUT, TD_GREETING_MS},
        {ZMQ_HANDSHAKE_IVL, TD_GREETING_MS},
        {ZMQ_TCP_KEEPALIVE, 1},
        {ZMQ_TCP_KEEPALIVE_IDLE, 30},
        {ZMQ_TCP_KEEPALIVE_INTVL, 10},
        {ZMQ_TCP_KEEPALIVE_CNT, 3},
        {ZMQ_TCP_MAXRT, 30000}, /* unsent bytes to a dead peer */
        {ZMQ_HEARTBEAT_IVL, TD_HEARTBEAT_MS},
        {ZMQ_HEARTBEAT_TIMEOUT, TD_DEAD_MS},
        {ZMQ_HEARTBEAT_TTL, TD_DEAD_MS},
        {ZMQ_IPV6, 1},
    };
    const int64_t largest = TD_BODY_BYTES_MAX;

    for (size_t i = 0; i < sizeof(ints) / sizeof(ints[0]); i++) {
        if (set_int(dealer, ints[i].name, ints[i].value) != 0)
            return false;
    }
    return zmq_setsockopt(dealer, ZMQ_MAXMSGSIZE, &largest, sizeof(largest)) ==
           0;
}

static void zmq_link_close(struct td_link *link)
{
    if (link->dealer && !link->heard)
        set_int(link->dealer, ZMQ_LINGER, 0);
    link->heard = link->told = false;
    if (link->dealer)
        zmq_socket_monitor(link->dealer, NULL, 0);
    if (link->monitor)
        zmq_close(link->monitor);
    if (link->dealer)
        zmq_close(link->dealer);
    link->monitor = link->dealer = NULL;
}

static void zmq_link_free(struct td_link *link)
{
    if (!link)
        return;
    zmq_link_close(link);
    while (link->context && zmq_ctx_term(link->context) != 0 && errno == EINTR)
        ;
    free(link->url);
    free(link);
}

static tidings_err connect_unsignalled(struct td_link *link)
{
    char address[64];
    tidings_err err = TIDINGS_EIO;

    snprintf(address, sizeof(address), "inproc://monitor-%u", ++link->opens);
    link->dealer = zmq_socket(link->context, ZMQ_DEALER);
    link->monitor = zmq_socket(link->context, ZMQ_PAIR);
    if (!link->dealer || !link->monitor || !set_options(link->dealer))
        goto out;
    if (zmq_socket_monitor(link->dealer, address, MONITOR_EVENTS) != 0 ||
        set_int(link->monitor, ZMQ_LINGER, 0) != 0 ||
        zmq_connect(link->monitor, address) != 0)
        goto out;
    link->told = true; /* it signals only after it was once read to its end */
    err = TIDINGS_OK;
    if (zmq_connect(link->dealer, link->url) != 0)
        err = td_fail(errno == EINVAL || errno == ENAMETOOLONG ? TIDINGS_EINVAL
                                                               : TIDINGS_EIO,
                      "%s: %s", link->url, zmq_strerror(errno));
out:
    if (err)
        zmq_link_close(link);
    return err;
}

/* Signals are the host program's: none ends a call of libzmq's in the middle,
 * and none is handled on its threads, which the first socket starts. */
static tidings_err connect_now(struct td_link *link)
{
    sigset_t every;
    sigset_t before;
    tidings_err err;

    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &before);
    err = connect_unsignalled(link);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return err;
}

static tidings_err zmq_link_open(struct td_link *link)
{
    if (link->dealer)
        return TIDINGS_OK; /* the first one was opened with the link */
    return connect_now(link);
}

static tidings_err zmq_link_new(struct td_link **out, const char *url)
{
    const char *why = td_address_check(url, false);
    struct td_link *link = NULL;
    tidings_err err = TIDINGS_ENOMEM;

    if (why)
        return td_fail(TIDINGS_EINVAL, "%s: %s", url, why);
    link = calloc(1, sizeof(*link));
    if (!link)
        return err;
    link->url = strdup(url);
    if (!link->url)
        goto out;
    link->context = zmq_ctx_new();
    err = TIDINGS_EIO;
    if (!link->context)
        goto out;
    zmq_ctx_set(link->context, ZMQ_BLOCKY, 0);
    err = connect_now(link); /* the address is judged by libzmq alone */
    if (err)
        goto out;
    *out = link;
    link = NULL;
out:
    zmq_link_free(link);
    return err;
}

/* ---- sending ---- */

/* A signal of the host's can end any call of libzmq's, before it did anything:
 * the calls below are made on the host's threads too. */
static bool send_control(void *dealer, const void *control, size_t len,
                         int flags)
{
    int n;

    do
        n = zmq_send(dealer, control, len, flags);
    while (n < 0 && errno == EINTR);
    return n >= 0;
}

static bool zmq_link_send(struct td_link *link, const void *control, size_t len,
                          struct td_body *body)
{
    int flags = ZMQ_DONTWAIT | (body ? ZMQ_SNDMORE : 0);

    return link->dealer && send_control(link->dealer, control, len, flags) &&
           (!body || td_zmq_send_body(link->dealer, body));
}

/* ---- receiving ---- */

/* What a monitor event says about the link; NULL: nothing bad. */
static const char *lost_by(uint16_t event)
{
    switch (event) {
    case ZMQ_EVENT_CLOSED:
    case ZMQ_EVENT_CONNECT_RETRIED:
        return "connection refused";
    case ZMQ_EVENT_DISCONNECTED:
        return "connection lost";
    case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
    case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
        return "what answers there is not a tidings broker";
    default:
        return NULL;
    }
}

static int receive_frame(zmq_msg_t *frame, void *socket)
{
    int n;

    do
        n = zmq_msg_recv(frame, socket, ZMQ_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n;
}

static const char *read_monitor(void *monitor)
{
    const char *why = NULL;
    zmq_msg_t message;

    zmq_msg_init(&message);
    while (!why && receive_frame(&message, monitor) >= 0) {
        uint16_t event;

        if (zmq_msg_size(&message) >= sizeof(event)) {
            memcpy(&event, zmq_msg_data(&message), sizeof(event));
            why = lost_by(event);
        }
        while (zmq_msg_more(&message) && /* the address: known */
               receive_frame(&message, monitor) >= 0)
            ;
    }
    zmq_msg_close(&message);
    return why;
}

/* Reads one message of one or two frames; more of them are a breach. */
static enum td_receive read_message(void *dealer, struct td_message **out,
                                    const char **why)
{
    zmq_msg_t control;
    zmq_msg_t body_frame;
    enum td_receive result = TD_NOTHING;
    struct td_body *body = NULL;

    zmq_msg_init(&control);
    zmq_msg_init(&body_frame);
    if (receive_frame(&control, dealer) < 0)
        goto out;
    result = TD_LINK_LOST;
    *why = "the broker broke the protocol";
    if (zmq_msg_more(&control)) {
        if (receive_frame(&body_frame, dealer) < 0 || zmq_msg_more(&body_frame))
            goto out;
        *why = "out of memory";
        body = td_zmq_body_of(&body_frame);
        if (!body)
            goto out;
    }
    *why = "out of memory";
    *out = td_message_new(zmq_msg_data(&control), zmq_msg_size(&control), body);
    if (!*out) {
        td_body_unref(body);
        goto out;
    }
    result = TD_RECEIVED;
out:
    zmq_msg_close(&control);
    zmq_msg_close(&body_frame);
    return result;
}

static enum td_receive zmq_link_receive(struct td_link *link,
                                        struct td_message **out,
                                        const char **why)
{
    enum td_receive result;

    if (!link->dealer)
        return TD_NOTHING;
    result = read_message(link->dealer, out, why);
    if (result != TD_NOTHING) {
        link->heard = true;
        return result;
    }
    if (!link->told)
        return TD_NOTHING;
    /* Only when all is read: a BYE says more than a lost connection. */
    link->told = false;
    *why = read_monitor(link->monitor);
    return *why ? TD_LINK_LOST : TD_NOTHING;
}

static bool zmq_link_has_input(struct td_link *link)
{
    int events = 0;
    size_t size = sizeof(events);
    int result;

    if (!link->dealer)
        return false;
    do
        result = zmq_getsockopt(link->dealer, ZMQ_EVENTS, &events, &size);
    while (result != 0 && errno == EINTR);
    return result == 0 && (events & ZMQ_POLLIN);
}

static int fd_of(void *socket)
{
    int fd = -1;
    size_t size = sizeof(fd);

    zmq_getsockopt(socket, ZMQ_FD, &fd, &size);
    return fd;
}

/* ZMQ_FD is edge-triggered: it is polled only after a read found nothing, and
 * whoever sends meanwhile looks at has_input() afterwards. */
static int zmq_link_fds(struct td_link *link,
                        struct pollfd out[TD_LINK_FDS_MAX])
{
    if (!link->dealer)
        return 0;
    out[0].fd = fd_of(link->dealer);
    out[0].events = POLLIN;
    out[1].fd = fd_of(link->monitor);
    out[1].events = POLLIN;
    out[0].revents = out[1].revents = 0; /* as they are when poll() fails */
    return 2;
}

/* The monitor's descriptor stays readable until it is read, since no call but
 * that touches it; asking it each time would cost a system call. */
static void zmq_link_polled(struct td_link *link, const struct pollfd *fds)
{
    link->told = link->told || fds[1].revents != 0;
}

#define ZMQ_BACKEND(prefix)                                                    \
    {                                                                          \
        .scheme = prefix, .new = zmq_link_new, .free = zmq_link_free,          \
        .open = zmq_link_open, .close = zmq_link_close, .send = zmq_link_send, \
        .receive = zmq_link_receive, .has_input = zmq_link_has_input,          \
        .fds = zmq_link_fds, .polled = zmq_link_polled,                        \
    }

const struct td_backend td_backend_tcp = ZMQ_BACKEND("tcp://");
const struct td_backend td_backend_ipc = ZMQ_BACKEND("ipc://");
