#include "tests/support/chaosproxy.h"

#include "tests/support/proc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PAIRS_MAX  256 /* connections at a time; more are refused */
#define HELD_BYTES 16384
#define TURN_MS    1000 /* the longest wait: nothing depends on it */

enum { UP, DOWN, WAYS };

/* One direction of a connection. */
struct way {
    int from;
    int to;
    bool ended; /* from has closed, and to has been told */
    uint64_t passed;
    int64_t due_ms; /* nothing goes on before */
    size_t held;
    char buffer[HELD_BYTES];
};

struct pair {
    struct way ways[WAYS];
};

struct td_chaos {
    pthread_t thread;
    pthread_mutex_t mutex; /* of rules, counts, cut and stop */
    struct td_chaos_rules rules;
    struct td_chaos_counts counts;
    bool cut;
    bool stop;
    int listener;
    int wake[2];
    union {
        struct sockaddr any;
        struct sockaddr_in tcp;
        struct sockaddr_un ipc;
    } target;
    socklen_t target_len;
    char url[64];
    struct pair *pairs[PAIRS_MAX];
    size_t pairs_len;
};

/* ---- connections ---- */

static void nodelay(int fd)
{
    int yes = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
}

static void accept_one(struct td_chaos *c, bool refuse)
{
    int client = accept(c->listener, NULL, NULL);
    int service = -1;
    struct pair *p = NULL;

    if (client < 0)
        return;
    /* Else a program started later holds it open after a cut. */
    fcntl(client, F_SETFD, FD_CLOEXEC);
    c->counts.connections++;
    if (refuse || c->pairs_len == PAIRS_MAX)
        goto out;
    p = calloc(1, sizeof(*p));
    service = socket(c->target.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (!p || service < 0 ||
        connect(service, &c->target.any, c->target_len) != 0)
        goto out;
    nodelay(client);
    nodelay(service);
    p->ways[UP].from = p->ways[DOWN].to = client;
    p->ways[UP].to = p->ways[DOWN].from = service;
    c->pairs[c->pairs_len++] = p;
    return;
out:
    free(p);
    close(client);
    if (service >= 0)
        close(service);
}

/* With a reset, as from a cable that was pulled and a kernel that forgot. */
static void end_pair(struct td_chaos *c, size_t i)
{
    struct pair *p = c->pairs[i];

    close(p->ways[UP].from);
    close(p->ways[UP].to);
    free(p);
    c->pairs[i] = c->pairs[--c->pairs_len];
}

/* ---- one direction ---- */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Read; false when the connection is to end. */
static bool take(struct way *w, const struct td_chaos_rules *rules, bool hole)
{
    ssize_t n = recv(w->from, w->buffer, sizeof(w->buffer), MSG_DONTWAIT);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR || hole;
    if (n == 0) {
        w->ended = true;
        return hole; /* nobody is told */
    }
    if (!hole)
        w->held = (size_t)n;
    w->due_ms = td_proc_now_ms() + rules->pause_ms;
    return true;
}

/* Pass on what is held; false when the connection is to end. */
static bool pass(struct way *w, const struct td_chaos_rules *rules,
                 size_t piece, uint64_t cut)
{
    size_t len = piece > 0 ? least(piece, w->held) : w->held;
    ssize_t n;

    if (cut > 0 && cut > w->passed)
        len = least(len, (size_t)(cut - w->passed));
    n = send(w->to, w->buffer, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    w->passed += (uint64_t)n;
    w->held -= (size_t)n;
    memmove(w->buffer, w->buffer + n, w->held);
    w->due_ms = td_proc_now_ms() + rules->pause_ms;
    return true;
}

/* ---- the turn ---- */

struct turn {
    struct td_chaos_rules rules;
    struct pollfd fds[2 + PAIRS_MAX * WAYS];
    nfds_t fds_len;
    size_t pairs_len;
    int wait_ms;
};

/* What to wait for in one direction: input, room, or its time. */
static void prepare_way(struct turn *t, const struct way *w, int64_t now_ms)
{
    struct pollfd *fd = &t->fds[t->fds_len++];

    fd->fd = -1;
    fd->events = 0;
    fd->revents = 0;
    if (w->ended)
        return;
    if (w->due_ms > now_ms) {
        if (w->due_ms - now_ms < t->wait_ms)
            t->wait_ms = (int)(w->due_ms - now_ms);
        return;
    }
    fd->fd = w->held > 0 ? w->to : w->from;
    fd->events = w->held > 0 ? POLLOUT : POLLIN;
}

static void prepare(struct turn *t, struct td_chaos *c)
{
    int64_t now_ms = td_proc_now_ms();

    t->wait_ms = TURN_MS;
    t->fds_len = 2;
    t->fds[0] = (struct pollfd){.fd = c->wake[0], .events = POLLIN};
    t->fds[1] = (struct pollfd){.fd = c->listener, .events = POLLIN};
    t->pairs_len = c->pairs_len;
    for (size_t i = 0; i < c->pairs_len; i++) {
        for (int way = 0; way < WAYS; way++)
            prepare_way(t, &c->pairs[i]->ways[way], now_ms);
    }
}

/* Whether the connection goes on. */
static bool serve_way(struct td_chaos *c, struct way *w, int way, bool ready)
{
    const struct td_chaos_rules *r = &c->rules;
    uint64_t cut = way == UP ? r->cut_up : r->cut_down;
    bool hole = way == UP ? r->hole_up : r->hole_down;

    if (ready && w->held > 0) {
        uint64_t before = w->passed;

        if (!pass(w, r, way == UP ? r->piece_up : r->piece_down, cut))
            return false;
        *(way == UP ? &c->counts.up : &c->counts.down) += w->passed - before;
    } else if (ready && !take(w, r, hole)) {
        return false;
    }
    if (cut == 0 || w->passed < cut)
        return true;
    *(way == UP ? &c->rules.cut_up : &c->rules.cut_down) = 0;
    c->counts.cuts++;
    return false;
}

static void serve(struct turn *t, struct td_chaos *c)
{
    for (size_t i = t->pairs_len; i-- > 0;) {
        bool lives = true;

        for (int way = 0; way < WAYS && lives; way++)
            lives = serve_way(c, &c->pairs[i]->ways[way], way,
                              t->fds[2 + i * WAYS + (size_t)way].revents != 0);
        if (!lives)
            end_pair(c, i);
    }
    if (t->fds[1].revents)
        accept_one(c, c->rules.refuse);
}

static void obey(struct turn *t, struct td_chaos *c)
{
    char bytes[64];

    if (t->fds[0].revents && read(c->wake[0], bytes, sizeof(bytes)) < 0)
        c->stop = true;
    if (!c->cut && !c->stop)
        return;
    c->cut = false;
    c->counts.cuts += c->pairs_len;
    while (c->pairs_len > 0)
        end_pair(c, c->pairs_len - 1);
    t->pairs_len = 0;
}

static void *run(void *arg)
{
    struct td_chaos *c = arg;
    struct turn *t = calloc(1, sizeof(*t));
    bool stop = !t;

    while (!stop) {
        pthread_mutex_lock(&c->mutex);
        prepare(t, c);
        pthread_mutex_unlock(&c->mutex);
        if (poll(t->fds, t->fds_len, t->wait_ms) < 0)
            t->fds[0].revents = t->fds[1].revents = 0;
        pthread_mutex_lock(&c->mutex);
        obey(t, c);
        stop = c->stop;
        if (!stop)
            serve(t, c);
        pthread_mutex_unlock(&c->mutex);
    }
    free(t);
    return NULL;
}

/* ---- for the tests ---- */

/* Where the service is: "ipc:///path", or a port of this machine. */
static void aim(struct td_chaos *c, const char *url)
{
    const char *port = strrchr(url, ':');

    if (strncmp(url, "ipc://", 6) == 0) {
        c->target.ipc.sun_family = AF_UNIX;
        snprintf(c->target.ipc.sun_path, sizeof(c->target.ipc.sun_path), "%s",
                 url + 6);
        c->target_len = sizeof(c->target.ipc);
        return;
    }
    c->target.tcp.sin_family = AF_INET;
    c->target.tcp.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->target.tcp.sin_port = htons((uint16_t)(port ? atoi(port + 1) : 0));
    c->target_len = sizeof(c->target.tcp);
}

static bool listen_here(struct td_chaos *c)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof(at);

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->listener < 0 ||
        bind(c->listener, (struct sockaddr *)&at, sizeof(at)) != 0 ||
        listen(c->listener, 128) != 0 ||
        getsockname(c->listener, (struct sockaddr *)&at, &len) != 0)
        return false;
    snprintf(c->url, sizeof(c->url), "tcp://127.0.0.1:%d", ntohs(at.sin_port));
    return pipe(c->wake) == 0 && fcntl(c->wake[0], F_SETFD, FD_CLOEXEC) == 0 &&
           fcntl(c->wake[1], F_SETFD, FD_CLOEXEC) == 0;
}

static void discard(struct td_chaos *c)
{
    if (c->listener >= 0)
        close(c->listener);
    if (c->wake[0] >= 0)
        close(c->wake[0]);
    if (c->wake[1] >= 0)
        close(c->wake[1]);
    pthread_mutex_destroy(&c->mutex);
    free(c);
}

struct td_chaos *td_chaos_start(const char *url)
{
    struct td_chaos *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    pthread_mutex_init(&c->mutex, NULL);
    c->listener = c->wake[0] = c->wake[1] = -1;
    aim(c, url);
    if (!listen_here(c) || pthread_create(&c->thread, NULL, run, c) != 0) {
        discard(c);
        return NULL;
    }
    return c;
}

const char *td_chaos_url(const struct td_chaos *chaos)
{
    return chaos->url;
}

static void wake(struct td_chaos *c)
{
    char byte = 0;

    if (write(c->wake[1], &byte, 1) < 0)
        c->stop = true; /* never: the pipe is ours and nearly empty */
}

void td_chaos_rules(struct td_chaos *chaos, const struct td_chaos_rules *rules)
{
    pthread_mutex_lock(&chaos->mutex);
    chaos->rules = *rules;
    wake(chaos);
    pthread_mutex_unlock(&chaos->mutex);
}

void td_chaos_cut(struct td_chaos *chaos)
{
    pthread_mutex_lock(&chaos->mutex);
    chaos->cut = true;
    wake(chaos);
    pthread_mutex_unlock(&chaos->mutex);
}

struct td_chaos_counts td_chaos_counts(struct td_chaos *chaos)
{
    struct td_chaos_counts counts;

    pthread_mutex_lock(&chaos->mutex);
    counts = chaos->counts;
    pthread_mutex_unlock(&chaos->mutex);
    return counts;
}

void td_chaos_stop(struct td_chaos *chaos)
{
    if (!chaos)
        return;
    pthread_mutex_lock(&chaos->mutex);
    chaos->stop = true;
    wake(chaos);
    pthread_mutex_unlock(&chaos->mutex);
    pthread_join(chaos->thread, NULL);
    discard(chaos);
}
