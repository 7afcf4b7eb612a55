#include "broker/embed.h"

#include "broker/engine/engine.h"
#include "broker/store/lmdb.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define EMBED_NAME_MAX 64
#define TURN_MESSAGES  8 /* then what they brought goes out */

/* Messages in order of arrival; guarded by whoever embeds it. */
struct inbox {
    struct td_embed_message *head;
    struct td_embed_message **tail;
};

struct td_embed_peer {
    struct td_embed *broker;
    pthread_mutex_t lock; /* of what follows */
    struct inbox inbox;
    int wake_fd; /* -1: disconnected */
    bool lost;   /* a message to it, for want of memory: its session is over */
    struct td_embed_message *farewell; /* made early: leaving cannot fail */
};

struct td_embed {
    struct td_embed *next; /* in the list of all */
    char name[EMBED_NAME_MAX + 1];
    unsigned opens;
    char *data;               /* NULL: it keeps nothing */
    struct td_store *store;   /* with data */
    int wake_fd;              /* with data: instead of arrived; else -1 */
    struct td_engine *engine; /* its thread's alone */
    pthread_t thread;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t arrived;
    struct inbox inbox;
    bool asleep;
    bool stop;
};

static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static struct td_embed *all; /* brokers of this process */
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

/* The parent's brokers have no threads here, and its lock may be held. */
static void in_child(void)
{
    pthread_mutex_init(&all_lock, NULL);
    all = NULL;
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, in_child);
}

/* ---- messages ---- */

static void inbox_init(struct inbox *in)
{
    in->head = NULL;
    in->tail = &in->head;
}

static void inbox_push(struct inbox *in, struct td_embed_message *m)
{
    m->next = NULL;
    *in->tail = m;
    in->tail = &m->next;
}

static struct td_embed_message *inbox_take(struct inbox *in)
{
    struct td_embed_message *list = in->head;

    inbox_init(in);
    return list;
}

/* len 0: a message that says the peer is gone. */
static struct td_embed_message *message_new(struct td_embed_peer *peer,
                                            const void *control, size_t len,
                                            struct td_body *body)
{
    struct td_embed_message *m = malloc(sizeof(*m) + len);

    if (!m)
        return NULL;
    m->peer = peer;
    m->body = body ? td_body_ref(body) : NULL;
    m->len = len;
    if (len)
        memcpy(m->control, control, len);
    return m;
}

void td_embed_message_free(struct td_embed_message *m)
{
    if (!m)
        return;
    td_body_unref(m->body);
    free(m);
}

static void messages_free(struct td_embed_message *list)
{
    while (list) {
        struct td_embed_message *next = list->next;

        td_embed_message_free(list);
        list = next;
    }
}

/* ---- the broker's thread ---- */

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static struct timespec timespec_of(int64_t ms)
{
    struct timespec t = {.tv_sec = (time_t)(ms / 1000),
                         .tv_nsec = (long)(ms % 1000) * 1000000};

    return t;
}

/* The engine's way out: into the peer's inbox. */
static bool port_send(void *ctx, struct td_str key, const void *control,
                      size_t len, struct td_body *body)
{
    struct td_embed_peer *peer;
    struct td_embed_message *m;
    bool wake = false;
    bool had;

    (void)ctx;
    assert(key.len == sizeof(peer));
    memcpy(&peer, key.data, sizeof(peer));
    m = message_new(peer, control, len, body);
    had = m != NULL;
    pthread_mutex_lock(&peer->lock);
    if (peer->wake_fd >= 0) {
        wake = !peer->inbox.head;
        if (m)
            inbox_push(&peer->inbox, m);
        else
            peer->lost = true;
        m = NULL;
    }
    if (wake) { /* under the lock: the descriptor may be closed after it */
        const uint64_t one = 1;

        if (write(peer->wake_fd, &one, sizeof(one)) < 0)
            wake = false; /* the counter is full: it is awake already */
    }
    pthread_mutex_unlock(&peer->lock);
    td_embed_message_free(m);
    return had;
}

static int64_t port_unix_us(void *ctx)
{
    struct timespec t;

    (void)ctx;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void peer_free(struct td_embed_peer *peer)
{
    messages_free(inbox_take(&peer->inbox));
    pthread_mutex_destroy(&peer->lock);
    free(peer);
}

static void handle(struct td_embed *b, struct td_embed_message *m, int64_t now)
{
    struct td_str key = {(const char *)&m->peer, sizeof(m->peer)};

    if (m->len > 0) {
        td_engine_message(b->engine, key, m->body ? 2 : 1, m->control, m->len,
                          m->body, now);
    } else { /* the last message of this peer */
        td_engine_gone(b->engine, key, now);
        td_engine_flush(b->engine, now);
        peer_free(m->peer);
    }
}

/* Where the store may wake it as well. Without the lock. */
static void poll_both(struct td_embed *b, int64_t deadline_ms)
{
    struct pollfd fds[2] = {
        {.fd = b->wake_fd, .events = POLLIN},
        {.fd = b->store->face->fd(b->store), .events = POLLIN},
    };
    int64_t left = deadline_ms == TD_NEVER ? -1 : deadline_ms - now_ms();
    uint64_t count;

    if (deadline_ms != TD_NEVER && left < 0)
        left = 0;
    poll(fds, 2, left > INT32_MAX ? INT32_MAX : (int)left);
    if (fds[0].revents && read(b->wake_fd, &count, sizeof(count)) < 0)
        count = 0;
}

static void wake_up(struct td_embed *b)
{
    const uint64_t one = 1;

    if (b->wake_fd < 0)
        pthread_cond_signal(&b->arrived);
    else if (write(b->wake_fd, &one, sizeof(one)) < 0)
        return; /* the counter is full: it is awake already */
}

static bool wait_messages_or_store(struct td_embed *b, int64_t deadline_ms,
                                   struct td_embed_message **out)
{
    bool more;

    pthread_mutex_lock(&b->lock);
    b->asleep = !b->inbox.head && !b->stop;
    if (b->asleep) {
        pthread_mutex_unlock(&b->lock);
        poll_both(b, deadline_ms);
        pthread_mutex_lock(&b->lock);
        b->asleep = false;
    }
    *out = inbox_take(&b->inbox);
    more = *out || !b->stop;
    pthread_mutex_unlock(&b->lock);
    return more;
}

/* Waits for messages until the deadline; false: it is time to end. */
static bool wait_messages(struct td_embed *b, int64_t deadline_ms,
                          struct td_embed_message **out)
{
    bool more;

    if (b->store)
        return wait_messages_or_store(b, deadline_ms, out);
    pthread_mutex_lock(&b->lock);
    b->asleep = true;
    while (!b->inbox.head && !b->stop) {
        struct timespec t = timespec_of(deadline_ms);

        if (deadline_ms == TD_NEVER)
            pthread_cond_wait(&b->arrived, &b->lock);
        else if (pthread_cond_timedwait(&b->arrived, &b->lock, &t) != 0)
            break;
    }
    b->asleep = false;
    *out = inbox_take(&b->inbox);
    more = *out || !b->stop;
    pthread_mutex_unlock(&b->lock);
    return more;
}

static void *broker_main(void *arg)
{
    struct td_embed *b = arg;
    struct td_embed_message *list;
    int64_t deadline = TD_NEVER;

    prctl(PR_SET_NAME, "tidings-broker");
    while (wait_messages(b, deadline, &list)) {
        int64_t now = now_ms();
        unsigned n = 0;

        while (list) {
            struct td_embed_message *next = list->next;

            handle(b, list, now);
            td_embed_message_free(list);
            list = next;
            if (++n % TURN_MESSAGES == 0)
                td_engine_flush(b->engine, now);
        }
        deadline = td_engine_flush(b->engine, now);
    }
    td_engine_stop(b->engine, now_ms());
    td_engine_flush(b->engine, now_ms()); /* what the store is to keep */
    return NULL;
}

/* ---- opening and closing ---- */

static uint64_t draw(void)
{
    uint64_t drawn = 0;

    if (getrandom(&drawn, sizeof(drawn), GRND_NONBLOCK) != sizeof(drawn))
        drawn = (uint64_t)now_ms();
    return drawn;
}

static uint64_t new_epoch(void)
{
    uint64_t epoch = draw() & INT64_MAX;

    return epoch ? epoch : 1;
}

static void broker_free(struct td_embed *b)
{
    td_engine_free(b->engine);
    if (b->store)
        b->store->face->close(b->store);
    if (b->wake_fd >= 0)
        close(b->wake_fd);
    free(b->data);
    pthread_cond_destroy(&b->arrived);
    pthread_mutex_destroy(&b->lock);
    free(b);
}

/* Signals are the host program's: none is handled on our thread. */
static bool start_thread(struct td_embed *b)
{
    sigset_t every;
    sigset_t before;
    bool ok;

    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &before);
    ok = pthread_create(&b->thread, NULL, broker_main, b) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return ok;
}

/* Until the store has been read. */
static tidings_err load(struct td_embed *b, char *why)
{
    tidings_err err;

    while (!td_engine_is_loaded(b->engine, &err)) {
        struct pollfd fd = {.fd = b->store->face->fd(b->store),
                            .events = POLLIN};

        if (poll(&fd, 1, -1) < 0 && errno != EINTR)
            return TIDINGS_EIO;
        td_engine_flush(b->engine, now_ms());
    }
    if (err)
        snprintf(why, TD_STORE_WHY_BYTES, "the store cannot be read: %s",
                 tidings_err_text(err));
    return err;
}

static tidings_err open_store(struct td_embed *b, const char *data, char *why)
{
    b->data = strdup(data);
    if (!b->data)
        return TIDINGS_ENOMEM;
    b->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (b->wake_fd < 0)
        return TIDINGS_EIO;
    return td_lmdb_open(&b->store, data, NULL, why);
}

static tidings_err broker_new(struct td_embed **out, const char *name,
                              const char *data, char *why)
{
    struct td_engine_options options = {
        .epoch = new_epoch(),
        .seed = draw(),
        .version = TD_VERSION,
        .trusted = true,
        .port = {.send = port_send, .unix_us = port_unix_us},
    };
    struct td_embed *b = calloc(1, sizeof(*b));
    pthread_condattr_t attr;
    tidings_err err = TIDINGS_OK;

    if (!b)
        return TIDINGS_ENOMEM;
    b->wake_fd = -1;
    strncpy(b->name, name, EMBED_NAME_MAX);
    inbox_init(&b->inbox);
    pthread_mutex_init(&b->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&b->arrived, &attr);
    pthread_condattr_destroy(&attr);
    if (data)
        err = open_store(b, data, why);
    options.store = b->store;
    if (!err)
        err = td_engine_new(&b->engine, &options, now_ms());
    if (!err)
        err = load(b, why);
    if (!err && !start_thread(b))
        err = TIDINGS_EIO;
    if (err)
        broker_free(b);
    else
        *out = b;
    return err;
}

static bool same_data(const struct td_embed *b, const char *data)
{
    return data ? b->data && strcmp(b->data, data) == 0 : !b->data;
}

tidings_err td_embed_open(struct td_embed **out, const char *name,
                          const char *data, char *why)
{
    struct td_embed *b;
    tidings_err err = TIDINGS_OK;

    why[0] = '\0';
    pthread_once(&fork_once, watch_forks);
    pthread_mutex_lock(&all_lock);
    for (b = all; b && strcmp(b->name, name) != 0; b = b->next)
        ;
    if (!b) {
        err = broker_new(&b, name, data, why);
        if (!err) {
            b->next = all;
            all = b;
        }
    } else if (!same_data(b, data)) {
        snprintf(why, TD_STORE_WHY_BYTES,
                 "%s is open in this process with another data folder", name);
        err = TIDINGS_EEXIST;
    }
    if (!err) {
        b->opens++;
        *out = b;
    }
    pthread_mutex_unlock(&all_lock);
    return err;
}

void td_embed_close(struct td_embed *broker)
{
    struct td_embed **at = &all;

    pthread_mutex_lock(&all_lock);
    if (--broker->opens > 0) {
        pthread_mutex_unlock(&all_lock);
        return;
    }
    while (*at != broker)
        at = &(*at)->next;
    *at = broker->next;
    pthread_mutex_unlock(&all_lock);

    pthread_mutex_lock(&broker->lock);
    broker->stop = true;
    wake_up(broker);
    pthread_mutex_unlock(&broker->lock);
    pthread_join(broker->thread, NULL);
    broker_free(broker);
}

tidings_err td_embed_verify(const char *dir,
                            void (*progress)(void *arg, uint64_t done,
                                             uint64_t total),
                            void *arg, struct td_embed_damage *out, char *why)
{
    const struct td_lmdb_watch watch = {.progress = progress, .ctx = arg};
    struct td_lmdb_damage damage;
    tidings_err err = td_lmdb_verify(dir, &watch, &damage, why);

    if (err)
        return err;
    out->records = damage.records;
    out->damaged = damage.damaged;
    out->tree = damage.tree;
    memcpy(out->first, damage.first, sizeof(out->first));
    out->unlocked = damage.unlocked;
    return TIDINGS_OK;
}

/* ---- connections ---- */

static void push_to_broker(struct td_embed *b, struct td_embed_message *m)
{
    bool wake;

    pthread_mutex_lock(&b->lock);
    inbox_push(&b->inbox, m);
    wake = b->asleep;
    b->asleep = false; /* one signal is enough */
    pthread_mutex_unlock(&b->lock);
    if (wake)
        wake_up(b);
}

tidings_err td_embed_connect(struct td_embed_peer **out,
                             struct td_embed *broker, int wake_fd)
{
    struct td_embed_peer *peer = calloc(1, sizeof(*peer));

    if (!peer)
        return TIDINGS_ENOMEM;
    peer->farewell = message_new(peer, NULL, 0, NULL);
    if (!peer->farewell) {
        free(peer);
        return TIDINGS_ENOMEM;
    }
    peer->broker = broker;
    peer->wake_fd = wake_fd;
    inbox_init(&peer->inbox);
    pthread_mutex_init(&peer->lock, NULL);
    *out = peer;
    return TIDINGS_OK;
}

bool td_embed_send(struct td_embed_peer *peer, const void *control, size_t len,
                   struct td_body *body)
{
    struct td_embed_message *m = message_new(peer, control, len, body);

    if (!m)
        return false;
    push_to_broker(peer->broker, m);
    return true;
}

struct td_embed_message *td_embed_receive(struct td_embed_peer *peer,
                                          bool *lost)
{
    struct td_embed_message *list;

    pthread_mutex_lock(&peer->lock);
    list = inbox_take(&peer->inbox);
    *lost = peer->lost;
    pthread_mutex_unlock(&peer->lock);
    return list;
}

void td_embed_disconnect(struct td_embed_peer *peer)
{
    struct td_embed_message *farewell;

    if (!peer)
        return;
    pthread_mutex_lock(&peer->lock);
    peer->wake_fd = -1;
    farewell = peer->farewell;
    pthread_mutex_unlock(&peer->lock);
    push_to_broker(peer->broker, farewell); /* its thread frees the peer */
}
