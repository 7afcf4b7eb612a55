#include "client/bus.h"

#include "client/detail.h"
#include "client/handle.h"
#include "client/utf8.h"
#include "proto/id.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

#define AWAY_MS  10 /* a handler that has kept the I/O thread for so long */
#define READ_MAX 64 /* messages a turn: then whoever waits gets the lock */

/* ---- clocks: the only ones of the client ---- */

static int64_t clock_us(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t td_now_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

int64_t td_now_ms(void)
{
    return td_now_us() / 1000;
}

int64_t td_unix_us(void)
{
    return clock_us(CLOCK_REALTIME);
}

int64_t td_unix_coarse_us(void)
{
#ifdef CLOCK_REALTIME_COARSE
    return clock_us(CLOCK_REALTIME_COARSE);
#else
    return clock_us(CLOCK_REALTIME);
#endif
}

/* ---- waking ---- */

static void poke(struct td_bus *b)
{
    const uint64_t one = 1;

    if (b->polling && write(b->wake_fd, &one, sizeof(one)) < 0)
        return; /* the counter is full: it wakes all the same */
}

static bool has_room(struct td_bus *b)
{
    bool room;

    td_client_pump(&b->client);
    pthread_mutex_lock(b->packer);
    room = td_client_has_room(&b->client);
    pthread_mutex_unlock(b->packer);
    return room;
}

void td_bus_changed(struct td_bus *b)
{
    if (b->waiting > 0)
        pthread_cond_broadcast(&b->changed);
    /* Looked at here, so that a publisher is not woken in vain. */
    if (b->room_waiting > 0 && (b->closing || has_room(b)))
        pthread_cond_broadcast(&b->room);
}

void td_bus_touched(struct td_bus *b)
{
    /* Sending may have eaten the signal that input has come. */
    if (b->polling &&
        (b->client.broken || (b->sent && b->backend->has_input(b->link))))
        poke(b);
    b->sent = false;
}

static void wait_cond(struct td_bus *b, pthread_cond_t *cond, unsigned *waiting,
                      int64_t deadline_ms)
{
    struct timespec t = {.tv_sec = (time_t)(deadline_ms / 1000),
                         .tv_nsec = (long)(deadline_ms % 1000) * 1000000};

    ++*waiting;
    if (deadline_ms == TD_CLIENT_NEVER)
        pthread_cond_wait(cond, b->lock);
    else
        pthread_cond_timedwait(cond, b->lock, &t);
    --*waiting;
}

static void wait_changed(struct td_bus *b, int64_t deadline_ms)
{
    wait_cond(b, &b->changed, &b->waiting, deadline_ms);
}

/* ---- driving ---- */

static void push_delivery(struct td_bus *b, struct td_message *m,
                          const struct td_delivery *d)
{
    struct td_notice *n = calloc(1, sizeof(*n));

    if (!n) { /* its credit is never returned: better a new session */
        td_message_free(m);
        td_client_lost(&b->client, TIDINGS_ENOMEM, "out of memory",
                       b->client.now_ms);
        return;
    }
    n->sub = d->sub->number;
    n->message = m;
    n->batches = d->batches;
    n->session = b->client.connects;
    n->events = td_batches_events(d->batches);
    b->waiting_events += n->events;
    td_push_notice(b, n);
}

static void take_message(struct td_bus *b, struct td_message *m, int64_t now)
{
    struct td_delivery d;
    tidings_err err =
        td_client_message(&b->client, m->control, m->len, m->body, now, &d);

    if (!err && d.sub)
        push_delivery(b, m, &d);
    else
        td_message_free(m);
}

/* Whether this thread should rather call handlers than read on: what is left
 * in the link keeps. */
static bool may_dispatch(const struct td_bus *b)
{
    return !b->own_loop && !b->dispatching && td_has_notices(b);
}

/* Reads what has arrived; false: nothing had. */
static bool read_link(struct td_bus *b, int64_t now)
{
    for (int n = 0; n < READ_MAX; n++) {
        struct td_message *m;
        const char *why;

        switch (b->backend->receive(b->link, &m, &why)) {
        case TD_RECEIVED:
            take_message(b, m, now);
            if (may_dispatch(b))
                return true;
            break;
        case TD_LINK_LOST:
            td_client_lost(&b->client, TIDINGS_EUNREACH, why, now);
            return true;
        case TD_NOTHING:
            return n > 0;
        }
    }
    return true;
}

static void poll_link(struct td_bus *b, int64_t deadline_ms)
{
    struct pollfd fds[TD_LINK_FDS_MAX + 1];
    int n = b->backend->fds(b->link, fds);
    int64_t left =
        deadline_ms == TD_CLIENT_NEVER ? -1 : deadline_ms - td_now_ms();
    uint64_t count;

    if (deadline_ms != TD_CLIENT_NEVER && left < 0)
        left = 0;
    fds[n].fd = b->wake_fd;
    fds[n].events = POLLIN;
    fds[n].revents = 0; /* poll() leaves it alone when it fails */
    b->polling = true;
    pthread_mutex_unlock(b->lock);
    poll(fds, (nfds_t)n + 1, (int)left); /* EINTR: look, and poll again */
    pthread_mutex_lock(b->lock);
    b->polling = false;
    if ((fds[n].revents & POLLIN) &&
        read(b->wake_fd, &count, sizeof(count)) < 0)
        return; /* somebody else's read came first: it was for this */
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void drive(struct td_bus *b, int64_t deadline_ms)
{
    int64_t now = td_now_ms();
    int64_t next = td_client_tick(&b->client, now);

    b->driving = true;
    if (!read_link(b, now)) {
        poll_link(b, earlier(next, deadline_ms));
        read_link(b, td_now_ms());
    }
    b->driving = false;
    b->sent = false;
    td_bus_changed(b);
}

/* Waits until cond is signalled, or drives in the I/O thread's stead: at once
 * inside a handler, where that thread is ourselves or stuck with us, and
 * otherwise when it has been away for long. */
static void wait_or_drive(struct td_bus *b, pthread_cond_t *cond,
                          unsigned *waiting, int64_t deadline_ms)
{
    int64_t now = td_now_ms();
    bool away = b->dispatching && !b->own_loop && !b->driving &&
                (td_in_handler(b) || now - b->client.now_ms >= AWAY_MS);

    if (away)
        drive(b, deadline_ms);
    else
        wait_cond(b, cond, waiting, earlier(deadline_ms, now + AWAY_MS));
}

bool td_bus_wait(struct td_bus *b, bool (*done)(struct td_bus *b, void *arg),
                 void *arg, int64_t deadline_ms)
{
    bool ok;

    b->users++;
    for (;;) {
        ok = done(b, arg);
        td_bus_touched(b);
        if (ok || b->closing || td_now_ms() >= deadline_ms)
            break;
        wait_or_drive(b, &b->changed, &b->waiting, deadline_ms);
    }
    b->users--;
    td_bus_changed(b);
    return ok;
}

bool td_bus_wait_room(struct td_bus *b, int64_t deadline_ms)
{
    bool ok;

    b->users++;
    for (;;) {
        ok = has_room(b);
        td_bus_touched(b);
        if (ok || b->closing || td_now_ms() >= deadline_ms)
            break;
        wait_or_drive(b, &b->room, &b->room_waiting, deadline_ms);
    }
    b->users--;
    if (b->closing)
        td_bus_changed(b);
    return ok;
}

void td_bus_leave(struct td_bus *b)
{
    td_bus_changed(b);
    poke(b); /* one of them may be driving */
    while (b->users > 0)
        wait_changed(b, TD_CLIENT_NEVER);
}

static void *io_main(void *arg)
{
    struct td_bus *b = arg;

    prctl(PR_SET_NAME, "tidings-io");
    pthread_mutex_lock(b->lock);
    while (!b->stop) {
        if (may_dispatch(b)) {
            td_dispatch(b, SIZE_MAX);
        } else if (b->driving) {
            poke(b); /* whoever drove in our stead lets go */
            wait_changed(b, TD_CLIENT_NEVER);
        } else {
            drive(b, TD_CLIENT_NEVER);
        }
    }
    pthread_mutex_unlock(b->lock);
    return NULL;
}

/* Looks every half heartbeat whether a handler has kept the I/O thread. */
static void *keeper_main(void *arg)
{
    struct td_bus *b = arg;
    unsigned unused = 0;

    prctl(PR_SET_NAME, "tidings-keeper");
    pthread_mutex_lock(b->lock);
    while (!b->stop) {
        wait_cond(b, &b->stopped, &unused, td_now_ms() + TD_HEARTBEAT_MS / 2);
        if (!b->stop && b->dispatching && !b->driving &&
            td_now_ms() - b->client.now_ms >= TD_HEARTBEAT_MS / 2)
            drive(b, td_now_ms());
    }
    pthread_mutex_unlock(b->lock);
    return NULL;
}

/* ---- the session's port ---- */

static tidings_err port_open(void *ctx)
{
    struct td_bus *b = ctx;

    return b->backend->open(b->link);
}

static void port_close(void *ctx)
{
    struct td_bus *b = ctx;

    b->backend->close(b->link);
}

static bool port_send(void *ctx, const void *control, size_t len,
                      struct td_body *body)
{
    struct td_bus *b = ctx;

    b->sent = true;
    return b->backend->send(b->link, control, len, body);
}

static void port_guard(void *ctx, bool on)
{
    struct td_bus *b = ctx;

    if (on)
        pthread_mutex_lock(b->packer);
    else
        pthread_mutex_unlock(b->packer);
}

static void port_status(void *ctx, enum tidings_status_kind kind,
                        tidings_err err, const char *text, struct td_csub *sub,
                        uint64_t count)
{
    struct td_bus *b = ctx;
    struct td_notice *n;

    if (!b->on_status)
        return;
    n = calloc(1, sizeof(*n));
    if (!n)
        return; /* it is news, not state: tidings_info() has that */
    n->kind = kind;
    n->err = err;
    n->sub = sub ? sub->number : 0;
    n->count = count;
    snprintf(n->text, sizeof(n->text), "%s", text);
    td_push_notice(b, n);
}

/* ---- subscriptions ---- */

struct td_bus_sub *td_bus_sub_find(struct td_bus *b, uint32_t number)
{
    struct td_bus_sub *sub;

    DL_FOREACH(b->subs, sub)
    {
        if (sub->number == number)
            return sub;
    }
    return NULL;
}

void td_bus_sub_unref(struct td_bus_sub *sub)
{
    if (sub && --sub->refs == 0)
        free(sub);
}

/* ---- opening ---- */

static int or_default(int value, int fallback)
{
    return value == 0 ? fallback : value < 0 ? 0 : value;
}

static tidings_err check_text(const char *what, const char *text, size_t max)
{
    size_t len = strlen(text);

    if (len > max)
        return td_fail(TIDINGS_EINVAL, "%s of %zu bytes; at most %zu", what,
                       len, max);
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] <= ' ' || text[i] == 0x7f)
            return td_fail(TIDINGS_EINVAL,
                           "%s holds a space or control character", what);
    }
    if (!td_utf8_valid(text))
        return td_fail(TIDINGS_EINVAL, "%s is not UTF-8", what);
    return TIDINGS_OK;
}

static tidings_err take_options(struct td_bus *b,
                                const struct tidings_options *o)
{
    const char *name = o->name ? o->name : "";
    const char *source = o->source ? o->source : "";
    tidings_err err = check_text("name", name, TD_NAME_BYTES_MAX);

    if (!err)
        err = check_text("source", source, TD_SOURCE_BYTES_MAX);
    if (err)
        return err;
    if (o->publish_timeout_ms > TIDINGS_TIMEOUT_MAX_MS ||
        o->close_timeout_ms > TIDINGS_TIMEOUT_MAX_MS)
        return td_fail(TIDINGS_EINVAL, "a timeout is longer than a day");
    if (o->unconfirmed_bytes && o->unconfirmed_bytes < (2u << 20))
        return td_fail(TIDINGS_EINVAL, "unconfirmed_bytes below 2 MiB");
    snprintf(b->name, sizeof(b->name), "%s", name);
    if (*source)
        snprintf(b->source, sizeof(b->source), "%s", source);
    else
        snprintf(b->source, sizeof(b->source), "/%s", *name ? name : "tidings");
    b->publish_timeout_ms = or_default(o->publish_timeout_ms, TD_PUBLISH_MS);
    b->close_timeout_ms = or_default(o->close_timeout_ms, TD_CLOSE_MS);
    b->own_loop = o->own_loop;
    b->on_status = o->on_status;
    b->on_status_arg = o->on_status_arg;
    return TIDINGS_OK;
}

static tidings_err init_client(struct td_bus *b,
                               const struct tidings_options *o)
{
    struct td_client_options options = {
        .name = b->name,
        .source = b->source,
        .unconfirmed_events = o->unconfirmed_events ? o->unconfirmed_events
                                                    : TD_UNCONFIRMED_EVENTS,
        .unconfirmed_bytes =
            o->unconfirmed_bytes ? o->unconfirmed_bytes : TD_UNCONFIRMED_BYTES,
        .port = {.ctx = b,
                 .open = port_open,
                 .close = port_close,
                 .send = port_send,
                 .guard = port_guard,
                 .status = port_status},
    };
    uint8_t random[10 + sizeof(options.seed)];

    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return td_fail(TIDINGS_EIO, "no random numbers: %s", strerror(errno));
    td_producer_make(options.producer, (uint64_t)(td_unix_us() / 1000), random);
    memcpy(&options.seed, random + 10, sizeof(options.seed));
    td_client_init(&b->client, &options, td_now_ms());
    return TIDINGS_OK;
}

static tidings_err init_parts(struct td_bus *b, const char *url,
                              const struct tidings_options *o)
{
    pthread_condattr_t attr;
    tidings_err err;

    b->url = strdup(url);
    b->cursor = calloc(1, sizeof(*b->cursor));
    if (!b->url || !b->cursor)
        return TIDINGS_ENOMEM;
    b->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (b->wake_fd < 0)
        return td_fail(TIDINGS_EIO, "eventfd: %s", strerror(errno));
    if (b->own_loop) {
        b->dispatch_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (b->dispatch_fd < 0)
            return td_fail(TIDINGS_EIO, "eventfd: %s", strerror(errno));
    }
    err = init_client(b, o);
    if (err)
        return err;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&b->changed, &attr);
    pthread_cond_init(&b->room, &attr);
    pthread_cond_init(&b->stopped, &attr);
    pthread_condattr_destroy(&attr);
    return b->backend->new (&b->link, url);
}

static void free_parts(struct td_bus *b)
{
    td_notices_free(b);
    td_cursor_free(b->cursor);
    while (b->subs) {
        struct td_bus_sub *sub = b->subs;

        DL_DELETE(b->subs, sub);
        td_bus_sub_unref(sub);
    }
    if (b->link)
        b->backend->free(b->link);
    td_client_fini(&b->client);
    if (b->wake_fd >= 0)
        close(b->wake_fd);
    if (b->dispatch_fd >= 0)
        close(b->dispatch_fd);
    free(b->url);
    free(b);
}

static void stop_threads(struct td_bus *b, bool io, bool keeper)
{
    b->stop = true;
    poke(b);
    pthread_cond_broadcast(&b->changed);
    pthread_cond_broadcast(&b->stopped);
    pthread_mutex_unlock(b->lock);
    if (io)
        pthread_join(b->io_thread, NULL);
    if (keeper)
        pthread_join(b->keeper_thread, NULL);
    pthread_mutex_lock(b->lock);
}

/* Signals are the host program's: none is handled on a thread of ours. */
static bool start_thread(pthread_t *out, void *(*run)(void *), struct td_bus *b)
{
    sigset_t every;
    sigset_t before;
    bool ok;

    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &before);
    ok = pthread_create(out, NULL, run, b) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return ok;
}

static tidings_err start_threads(struct td_bus *b)
{
    bool io;
    bool keeper = false;

    pthread_mutex_lock(b->lock);
    io = start_thread(&b->io_thread, io_main, b);
    if (io && !b->own_loop)
        keeper = start_thread(&b->keeper_thread, keeper_main, b);
    if (io && (keeper || b->own_loop)) {
        pthread_mutex_unlock(b->lock);
        return TIDINGS_OK;
    }
    stop_threads(b, io, keeper);
    td_handle_free(b->handle);
    return td_fail(TIDINGS_EIO, "no thread could be started");
}

tidings_err td_bus_new(struct td_bus **out, const char *url,
                       const struct tidings_options *options)
{
    const struct td_backend *backend = td_backend_of(url);
    struct td_locks *locks;
    struct td_bus *b;
    tidings_err err;

    if (!backend)
        return td_fail(strstr(url, "://") ? TIDINGS_ENOTSUP : TIDINGS_EINVAL,
                       "%s: expected inproc://NAME, ipc:///PATH or "
                       "tcp://HOST:PORT",
                       url);
    b = calloc(1, sizeof(*b));
    if (!b)
        return TIDINGS_ENOMEM;
    b->backend = backend;
    b->notices_tail = &b->notices;
    b->wake_fd = b->dispatch_fd = -1;
    err = take_options(b, options);
    if (!err)
        err = init_parts(b, url, options);
    if (!err)
        err = td_handle_new(&b->handle, b, &locks);
    if (!err) {
        b->lock = &locks->bus;
        b->packer = &locks->packer;
        err = start_threads(b);
    }
    if (err) {
        free_parts(b);
        return err;
    }
    *out = b;
    return TIDINGS_OK;
}

void td_bus_free(struct td_bus *b)
{
    stop_threads(b, true, !b->own_loop);
    td_client_close(&b->client);
    td_handle_free(b->handle);
    pthread_cond_destroy(&b->changed);
    pthread_cond_destroy(&b->room);
    pthread_cond_destroy(&b->stopped);
    free_parts(b);
}
