/* Brokers of this process: found by name, opened and closed. */
#include "broker/embed.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "broker/embed_own.h"
#include "broker/engine/keyspace.h"

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

static int64_t port_unix_us(void *ctx)
{
    struct timespec t;

    (void)ctx;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static uint64_t draw(void)
{
    uint64_t drawn = 0;

    if (getrandom(&drawn, sizeof(drawn), GRND_NONBLOCK) != sizeof(drawn))
        drawn = (uint64_t)td_embed_now_ms();
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
    ok = pthread_create(&b->thread, NULL, td_embed_main, b) == 0;
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
        td_engine_flush(b->engine, td_embed_now_ms());
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
        .port = {.send = td_embed_port_send, .unix_us = port_unix_us},
    };
    struct td_embed *b = calloc(1, sizeof(*b));
    tidings_err err = TIDINGS_OK;

    if (!b)
        return TIDINGS_ENOMEM;
    b->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    strncpy(b->name, name, EMBED_NAME_MAX);
    td_embed_inbox_init(&b->inbox);
    pthread_mutex_init(&b->lock, NULL);
    if (b->wake_fd < 0)
        err = TIDINGS_EIO;
    if (!err && data)
        err = open_store(b, data, why);
    options.store = b->store;
    if (!err)
        err = td_engine_new(&b->engine, &options, td_embed_now_ms());
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
    td_embed_wake(broker);
    pthread_mutex_unlock(&broker->lock);
    pthread_join(broker->thread, NULL);
    broker_free(broker);
}

struct verifying {
    void (*progress)(void *arg, uint64_t done, uint64_t total);
    void *arg;
    bool any;        /* a key was told */
    uint32_t stream; /* of its events; 0: it has none */
    uint64_t sequence;
};

static void on_progress(void *ctx, uint64_t done, uint64_t total)
{
    const struct verifying *v = ctx;

    if (v->progress)
        v->progress(v->arg, done, total);
}

static void on_damaged(void *ctx, struct td_str key)
{
    struct verifying *v = ctx;

    if (!v->any &&
        !td_place_read_two(key, TD_TABLE_RECORD, &v->stream, &v->sequence))
        v->stream = 0;
    v->any = true;
}

tidings_err td_embed_verify(const char *dir,
                            void (*progress)(void *arg, uint64_t done,
                                             uint64_t total),
                            void *arg, struct td_embed_damage *out, char *why)
{
    struct verifying v = {.progress = progress, .arg = arg};
    const struct td_lmdb_watch watch = {
        .damaged = on_damaged, .progress = on_progress, .ctx = &v};
    struct td_lmdb_damage damage;
    tidings_err err = td_lmdb_verify(dir, &watch, &damage, why);

    if (err)
        return err;
    out->records = damage.records;
    out->damaged = damage.damaged;
    out->tree = damage.tree;
    memcpy(out->first, damage.first, sizeof(out->first));
    if (!damage.tree && v.stream > 0) /* the store knows keys, not streams */
        snprintf(out->first, sizeof(out->first),
                 "the checksum of events of stream %u, from sequence %llu on",
                 (unsigned)v.stream, (unsigned long long)v.sequence);
    out->unlocked = damage.unlocked;
    return TIDINGS_OK;
}
