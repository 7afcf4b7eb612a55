/* The public relay: a thread that takes turns (turn.h). */
#include "tidings/outbox.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/outbox/broker.h"
#include "client/outbox/signal.h"
#include "client/outbox/turn.h"
#include "proto/utf8.h"

struct tidings_relay {
    struct td_turn turn; /* the thread's own */
    struct td_broker broker;
    struct td_signal signal;
    int poll_ms;
    pthread_t thread;
    void (*on_status)(void *arg, const struct tidings_relay_status *status);
    void *on_status_arg;

    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t emptied;
    uint64_t asked;    /* how often a flush began … */
    uint64_t answered; /* … and those of them after which nothing was left */
    char trouble[512]; /* "": there is none */
    tidings_err trouble_err;
    struct tidings_relay_info info;
    int64_t oldest_us;
};

static int64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

const char *tidings_relay_kind_name(enum tidings_relay_kind kind)
{
    static const char *const names[] = {
        [TIDINGS_RELAY_ACTIVE] = "active",
        [TIDINGS_RELAY_STANDBY] = "standby",
        [TIDINGS_RELAY_TROUBLE] = "trouble",
        [TIDINGS_RELAY_REFUSED] = "refused",
    };

    return (unsigned)kind <= TIDINGS_RELAY_REFUSED ? names[kind] : "?";
}

/* ---- the thread ---- */

static void on_status(void *arg, const struct tidings_relay_status *status)
{
    struct tidings_relay *r = arg;
    bool wrong = status->kind == TIDINGS_RELAY_TROUBLE;

    pthread_mutex_lock(&r->lock);
    if (status->kind != TIDINGS_RELAY_REFUSED) {
        r->trouble_err = wrong ? status->err : TIDINGS_OK;
        td_utf8_clean(r->trouble, sizeof(r->trouble),
                      status->kind == TIDINGS_RELAY_ACTIVE ? ""
                                                           : status->text);
    }
    pthread_mutex_unlock(&r->lock);
    if (r->on_status)
        r->on_status(r->on_status_arg, status);
}

static void note(struct tidings_relay *r, uint64_t asked)
{
    const struct td_turn *t = &r->turn;

    pthread_mutex_lock(&r->lock);
    r->info.active = t->state == TD_TURN_READY && !r->trouble_err;
    r->info.relayed = t->relayed;
    r->info.refused = t->refused;
    r->info.waiting = t->waiting;
    r->oldest_us = t->oldest_us;
    if (t->empty && asked > r->answered) {
        r->answered = asked;
        pthread_cond_broadcast(&r->emptied);
    }
    pthread_mutex_unlock(&r->lock);
}

static void *run(void *arg)
{
    struct tidings_relay *r = arg;

    while (!td_signal_ended(&r->signal)) {
        uint64_t asked;
        int wait_ms;

        pthread_mutex_lock(&r->lock);
        asked = r->asked;
        pthread_mutex_unlock(&r->lock);
        wait_ms = td_turn(&r->turn, now_us());
        note(r, asked);
        if (wait_ms > 0)
            td_signal_rest(&r->signal, wait_ms);
        else if (wait_ms < 0) {
            r->turn.ops.wait(r->turn.db, r->signal.fd[0], r->poll_ms);
            td_signal_clear(&r->signal);
        }
    }
    return NULL;
}

/* Signals are the program's: none is handled here. */
static bool start(struct tidings_relay *r)
{
    sigset_t every;
    sigset_t before;
    bool ok;

    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &before);
    ok = pthread_create(&r->thread, NULL, run, r) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return ok;
}

/* ---- opening and closing ---- */

static tidings_err fail(tidings_err err, const char *text)
{
    tidings_set_detail(text);
    return err;
}

static tidings_err check(tidings_relay **out, const char *url,
                         const struct tidings_relay_options *options)
{
    if (!out || !url)
        return fail(TIDINGS_EINVAL, "out or url is NULL");
    if (options->poll_ms && (options->poll_ms < TD_OUTBOX_POLL_MS_MIN ||
                             options->poll_ms > TIDINGS_TIMEOUT_MAX_MS))
        return fail(TIDINGS_EINVAL, "poll_ms is 10 to 86400000, or 0");
    return TIDINGS_OK;
}

static void relay_free(struct tidings_relay *r)
{
    td_turn_fini(&r->turn);
    td_broker_fini(&r->broker);
    td_signal_fini(&r->signal);
    pthread_cond_destroy(&r->emptied);
    pthread_mutex_destroy(&r->lock);
    r->turn.ops.free(r->turn.db);
    free(r);
}

/* NULL: no memory, and db is freed. */
static struct tidings_relay *relay_new(const struct tidings_outbox_ops *ops,
                                       void *db)
{
    struct tidings_relay *r = calloc(1, sizeof(*r));
    pthread_condattr_t clock;

    if (!r) {
        ops->free(db);
        return NULL;
    }
    td_turn_init(&r->turn);
    r->turn.ops = *ops;
    r->turn.db = db;
    r->turn.broker_ops = td_broker_ops;
    r->turn.broker = &r->broker;
    r->turn.on_status = on_status;
    r->turn.on_status_arg = r;
    pthread_mutex_init(&r->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&r->emptied, &clock);
    pthread_condattr_destroy(&clock);
    return r;
}

tidings_err tidings_relay_open(tidings_relay **out,
                               const struct tidings_outbox_ops *ops, void *db,
                               int poll_ms, const char *url,
                               const struct tidings_relay_options *options)
{
    static const struct tidings_relay_options defaults;
    struct tidings_relay *r;
    tidings_err err;

    options = options ? options : &defaults;
    err = check(out, url, options);
    if (err) {
        ops->free(db);
        return err;
    }
    r = relay_new(ops, db);
    if (!r)
        return TIDINGS_ENOMEM;
    r->poll_ms = options->poll_ms ? options->poll_ms : poll_ms;
    r->on_status = options->on_status;
    r->on_status_arg = options->on_status_arg;
    err = td_broker_init(&r->broker, &r->signal, &r->turn, url, options);
    if (!td_signal_init(&r->signal))
        err = fail(TIDINGS_EIO, "no pipe could be made");
    if (!err && !start(r))
        err = fail(TIDINGS_EIO, "no thread could be started");
    if (err)
        relay_free(r);
    else
        *out = r;
    return err;
}

void tidings_relay_close(tidings_relay *r)
{
    if (!r)
        return;
    td_signal_end(&r->signal);
    if (r->turn.ops.end)
        r->turn.ops.end(r->turn.db);
    pthread_join(r->thread, NULL);
    relay_free(r);
}

/* ---- what others ask of it ---- */

void tidings_relay_wake(tidings_relay *r)
{
    if (r)
        td_signal_wake(&r->signal);
}

tidings_err tidings_relay_info(struct tidings_relay_info *out, tidings_relay *r)
{
    int64_t oldest_us;

    if (!out || !r)
        return fail(TIDINGS_EINVAL, "out or relay is NULL");
    pthread_mutex_lock(&r->lock);
    *out = r->info;
    oldest_us = r->oldest_us;
    pthread_mutex_unlock(&r->lock);
    if (oldest_us)
        out->oldest_ms = (now_us() - oldest_us) / 1000;
    if (out->oldest_ms < 0)
        out->oldest_ms = 0; /* the clock was set back */
    return TIDINGS_OK;
}

static void deadline(struct timespec *out, int timeout_ms)
{
    clock_gettime(CLOCK_MONOTONIC, out);
    out->tv_sec += timeout_ms / 1000;
    out->tv_nsec += timeout_ms % 1000 * 1000000L;
    if (out->tv_nsec >= 1000000000L) {
        out->tv_sec++;
        out->tv_nsec -= 1000000000L;
    }
}

tidings_err tidings_relay_flush(tidings_relay *r, int timeout_ms)
{
    struct timespec until;
    char why[600] = "";
    uint64_t mine;
    bool done;

    if (!r || timeout_ms < 0 || timeout_ms > TIDINGS_TIMEOUT_MAX_MS)
        return fail(TIDINGS_EINVAL,
                    r ? "timeout_ms is 0 to 86400000" : "relay is NULL");
    deadline(&until, timeout_ms);
    pthread_mutex_lock(&r->lock);
    mine = ++r->asked;
    td_signal_wake(&r->signal);
    while (r->answered < mine &&
           pthread_cond_timedwait(&r->emptied, &r->lock, &until) == 0)
        ;
    done = r->answered >= mine;
    snprintf(why, sizeof(why), "rows wait%s%s", *r->trouble ? ": " : "",
             r->trouble);
    pthread_mutex_unlock(&r->lock);
    return done ? TIDINGS_OK : fail(TIDINGS_ETIMEDOUT, why);
}
