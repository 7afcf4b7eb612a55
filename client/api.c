/* The public calls: check the arguments, take the lock, and let the rooms
 * behind them do it. */
#include "tidings/tidings.h"

#include "client/bus.h"
#include "client/detail.h"
#include "client/handle.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define TEXT(x)               #x
#define VERSION_TEXT(a, b, c) TEXT(a) "." TEXT(b) "." TEXT(c)

const char *tidings_version(void)
{
    return VERSION_TEXT(TIDINGS_VERSION_MAJOR, TIDINGS_VERSION_MINOR,
                        TIDINGS_VERSION_PATCH);
}

void tidings_free(void *memory)
{
    free(memory);
}

const char *tidings_status_name(enum tidings_status_kind kind)
{
    static const char *const names[] = {
        [TIDINGS_UP] = "up",
        [TIDINGS_DOWN] = "down",
        [TIDINGS_NEW_EPOCH] = "new_epoch",
        [TIDINGS_GAP] = "gap",
        [TIDINGS_REFUSED] = "refused",
        [TIDINGS_HANDLER_FAILED] = "handler_failed",
        [TIDINGS_BAD_EVENT] = "bad_event",
    };

    return (unsigned)kind < sizeof(names) / sizeof(names[0]) ? names[kind]
                                                             : "?";
}

/* ---- common ---- */

static void unlock(struct td_bus *b)
{
    pthread_mutex_unlock(b->lock);
}

/* Locks; NULL and *err when the bus is not to be used any more. */
static struct td_bus *enter(tidings_bus *handle, tidings_err *err)
{
    struct td_bus *b = td_handle_lock(handle, err);

    if (b && b->closing) {
        unlock(b);
        *err = td_fail(TIDINGS_ECLOSED, "the bus is being closed");
        return NULL;
    }
    return b;
}

static tidings_err check_timeout(int timeout_ms)
{
    if (timeout_ms >= 0 && timeout_ms <= TIDINGS_TIMEOUT_MAX_MS)
        return TIDINGS_OK;
    return td_fail(TIDINGS_EINVAL, "timeout_ms is %d; 0 to %d", timeout_ms,
                   TIDINGS_TIMEOUT_MAX_MS);
}

/* Why a wait ended without what it was for. */
static tidings_err why_not(struct td_bus *b, const char *what)
{
    if (b->closing)
        return td_fail(TIDINGS_ECLOSED, "the bus is being closed");
    if (b->client.state == TD_CLIENT_READY)
        return td_fail(TIDINGS_ETIMEDOUT,
                       "%s: the broker at %s did not "
                       "answer in time",
                       what, b->url);
    return td_fail(b->client.last_err == TIDINGS_EVERSION ? TIDINGS_EVERSION
                                                          : TIDINGS_EUNREACH,
                   "no broker answers at %s: %s", b->url, b->client.last_text);
}

/* ---- the bus ---- */

tidings_err tidings_open(tidings_bus **out, const char *url,
                         const struct tidings_options *options)
{
    const struct tidings_options defaults = {0};
    struct td_bus *b;
    tidings_err err;

    tidings_set_detail("");
    if (!out || !url)
        return td_fail(TIDINGS_EINVAL, "out or url is NULL");
    err = td_bus_new(&b, url, options ? options : &defaults);
    if (!err)
        *out = b->handle;
    return err;
}

static bool is_up(struct td_bus *b, void *arg)
{
    (void)arg;
    return b->client.state == TD_CLIENT_READY;
}

tidings_err tidings_wait(tidings_bus *bus, int timeout_ms)
{
    tidings_err err = check_timeout(timeout_ms);
    struct td_bus *b = err ? NULL : enter(bus, &err);

    if (!b)
        return err;
    if (!td_bus_wait(b, is_up, NULL, td_now_ms() + timeout_ms))
        err = why_not(b, "wait");
    unlock(b);
    return err;
}

/* What a thread that packs may be changing meanwhile. */
static uint64_t packed_sequence(struct td_bus *b)
{
    uint64_t sequence;

    pthread_mutex_lock(b->packer);
    sequence = b->client.packer.sequence;
    pthread_mutex_unlock(b->packer);
    return sequence;
}

static uint64_t unconfirmed(struct td_bus *b)
{
    uint64_t events;

    pthread_mutex_lock(b->packer);
    events = td_client_unconfirmed(&b->client);
    pthread_mutex_unlock(b->packer);
    return events;
}

static bool is_taken(struct td_bus *b, void *arg)
{
    uint64_t *sequence = arg;

    if (b->client.publisher.taken >= *sequence)
        return true;
    td_client_ask(&b->client);
    return false;
}

/* With the lock. */
static bool flush(struct td_bus *b, int64_t deadline_ms)
{
    uint64_t sequence = packed_sequence(b);

    return td_bus_wait(b, is_taken, &sequence, deadline_ms);
}

/* From now on nothing is published: what was is what is waited for. */
static void end_packing(struct td_bus *b)
{
    pthread_mutex_lock(b->packer);
    b->packing_over = true;
    pthread_mutex_unlock(b->packer);
}

static void end_all(struct td_bus *b)
{
    struct td_bus_sub *sub;

    DL_FOREACH(b->subs, sub)
    {
        atomic_store(&sub->ended, true);
    }
}

tidings_err tidings_close(tidings_bus *bus)
{
    tidings_err err = TIDINGS_OK;
    struct td_bus *b;

    if (!bus)
        return TIDINGS_OK;
    b = td_handle_lock(bus, &err);
    if (!b)
        return err;
    if (b->close_called || td_in_handler(b)) {
        err = td_in_handler(b) ? TIDINGS_EDEADLK : TIDINGS_ECLOSED;
        unlock(b);
        return td_fail(err, "%s",
                       err == TIDINGS_ECLOSED
                           ? "another thread is closing the bus"
                           : "close the bus outside its handlers");
    }
    b->close_called = true;
    end_packing(b);
    if (!flush(b, td_now_ms() + b->close_timeout_ms))
        err = td_fail(TIDINGS_ETIMEDOUT,
                      "closed; %llu events were not taken by a broker",
                      (unsigned long long)unconfirmed(b));
    b->closing = true;
    end_all(b);
    td_bus_leave(b); /* whoever waits gives up */
    td_bus_free(b);
    return err;
}

/* ---- publishing ---- */

/* Packs, with the packer's lock. The clock costs more than the rest: the first
 * event of a batch has the time of now, and those that follow while the link
 * is busy that of the last tick of the system's clock. */
static tidings_err pack(struct td_bus *b, struct td_packing *event)
{
    const struct td_packer *p = &b->client.packer;
    int64_t now_us;

    if (event->time_us)
        return td_client_pack(&b->client, event);
    now_us = p->events == 0 ? td_unix_us() : td_unix_coarse_us();
    if (p->events > 0 && now_us < p->base_us)
        now_us = p->base_us;
    event->time_us = now_us;
    return td_client_pack(&b->client, event);
}

/* With the lock: closes and sends what is there, and packs again. */
static tidings_err pack_again(struct td_bus *b, struct td_packing *event)
{
    tidings_err err;

    td_client_pump(&b->client);
    pthread_mutex_lock(b->packer);
    err = b->packing_over ? TIDINGS_ECLOSED : pack(b, event);
    pthread_mutex_unlock(b->packer);
    return err;
}

static tidings_err is_full(struct td_bus *b)
{
    bool up = b->client.state == TD_CLIENT_READY;

    if (b->close_called)
        return td_fail(TIDINGS_ECLOSED, "the bus is being closed");
    return td_fail(TIDINGS_EFULL,
                   "%llu events wait to be taken by the broker at %s%s%s",
                   (unsigned long long)unconfirmed(b), b->url, up ? "" : ": ",
                   up ? "" : b->client.last_text);
}

/* There was no room: waits for it. */
static tidings_err pack_when_room(tidings_bus *bus, struct td_packing *event)
{
    tidings_err err = TIDINGS_OK;
    struct td_bus *b = enter(bus, &err);
    int64_t deadline;

    if (!b)
        return err;
    deadline = td_now_ms() + b->publish_timeout_ms;
    err = pack_again(b, event);
    while (err == TIDINGS_EFULL && td_bus_wait_room(b, deadline))
        err = pack_again(b, event);
    td_client_pump(&b->client);
    td_bus_touched(b);
    if (err == TIDINGS_EFULL || err == TIDINGS_ECLOSED)
        err = is_full(b);
    unlock(b);
    return err;
}

/* Sends what can be sent, on this thread. Whoever has the lock need not be
 * waited for when an answer is due: it takes along what is closed by then. */
static void pump(tidings_bus *bus, enum td_pump when)
{
    tidings_err err;
    struct td_bus *b = when == TD_PUMP_SOON ? td_handle_try_lock(bus, &err)
                                            : td_handle_lock(bus, &err);

    if (!b)
        return; /* or closed meanwhile: closing has sent it */
    td_client_pump(&b->client);
    td_bus_touched(b);
    unlock(b);
}

static struct td_bus *enter_packer(tidings_bus *bus, tidings_err *err)
{
    struct td_bus *b = td_handle_lock_packer(bus, err);

    if (b && b->packing_over) {
        pthread_mutex_unlock(b->packer);
        *err = td_fail(TIDINGS_ECLOSED, "the bus is being closed");
        return NULL;
    }
    return b;
}

/* Ends a publish: leaves the packer's lock, and does what could not be done
 * under it. */
static tidings_err finish(tidings_bus *bus, struct td_bus *b,
                          struct td_packing *event, tidings_err err)
{
    enum td_pump when = err ? TD_PUMP_NOT : td_client_wants_pump(&b->client);

    pthread_mutex_unlock(b->packer);
    if (when != TD_PUMP_NOT)
        pump(bus, when);
    else if (err == TIDINGS_EFULL)
        err = pack_when_room(bus, event);
    return err;
}

tidings_err tidings_publish(tidings_bus *bus, const char *type,
                            const void *data, size_t len)
{
    struct td_packing event = {
        .type = {type, type ? strlen(type) : 0}, .data = data, .len = len};
    tidings_err err;
    struct td_bus *b = enter_packer(bus, &err);

    if (!b)
        return err;
    err = td_event_check_data(data, len);
    if (!err)
        err = pack(b, &event);
    if (err == TIDINGS_EFULL || err == TIDINGS_EINVAL) {
        tidings_err bad = td_event_check_type(type, event.type.len);

        if (bad) /* the packer has no words for it, and full comes first */
            err = bad;
    }
    return finish(bus, b, &event, err);
}

tidings_err tidings_publish_event(tidings_bus *bus,
                                  const struct tidings_event *event)
{
    struct td_packing packing = {0};
    struct td_buf attrs = {0};
    struct td_bus *b;
    tidings_err err;

    if (!event)
        return td_fail(TIDINGS_EINVAL, "event is NULL");
    packing.type.data = event->type;
    packing.type.len = event->type ? strlen(event->type) : 0;
    packing.time_us = event->time_us;
    packing.data = event->data;
    packing.len = event->data_len;
    err = td_event_check_type(event->type, packing.type.len);
    if (!err)
        err = td_event_check_data(event->data, event->data_len);
    if (!err)
        err = td_event_encode(&attrs, &packing.flags, event);
    packing.attrs.data = (const char *)attrs.data;
    packing.attrs.len = attrs.len;
    b = err ? NULL : enter_packer(bus, &err);
    if (b)
        err = finish(bus, b, &packing, pack(b, &packing));
    td_buf_fini(&attrs);
    return err;
}

tidings_err tidings_flush(tidings_bus *bus, int timeout_ms)
{
    tidings_err err = check_timeout(timeout_ms);
    struct td_bus *b = err ? NULL : enter(bus, &err);

    if (!b)
        return err;
    if (!flush(b, td_now_ms() + timeout_ms)) {
        err = why_not(b, "flush");
        if (err != TIDINGS_ECLOSED)
            err = TIDINGS_ETIMEDOUT; /* the detail has the reason */
    }
    unlock(b);
    return err;
}

/* ---- subscribing ---- */

static bool is_answered(struct td_bus *b, void *arg)
{
    struct td_bus_sub *sub = arg;

    (void)b;
    return sub->drained || sub->csub->state == TD_CSUB_LIVE ||
           sub->csub->state == TD_CSUB_REFUSED;
}

/* Takes it out of the lists; its memory lives while its handler runs. */
static void forget(struct td_bus *b, struct td_bus_sub *sub)
{
    atomic_store(&sub->ended, true);
    if (sub->csub)
        td_client_forget(&b->client, sub->csub);
    sub->csub = NULL;
    DL_DELETE(b->subs, sub);
    td_bus_sub_unref(sub);
}

static tidings_err check_sub(const char *pattern, tidings_handler handler,
                             const struct tidings_sub_options *o)
{
    tidings_err err = tidings_pattern_check(pattern);

    if (err)
        return err;
    if (!handler)
        return td_fail(TIDINGS_EINVAL, "handler is NULL");
    if ((o->window_bytes && o->window_bytes < (2u << 20)) ||
        o->window_bytes > TD_QUEUE_BYTES_MAX ||
        o->window_events > TD_QUEUE_EVENTS_MAX)
        return td_fail(TIDINGS_EINVAL,
                       "window of %zu events, %zu bytes; at most %u, and 2 "
                       "MiB to %u",
                       o->window_events, o->window_bytes, TD_QUEUE_EVENTS_MAX,
                       TD_QUEUE_BYTES_MAX);
    if (o->queue_events > TD_QUEUE_EVENTS_MAX ||
        o->queue_bytes > TD_QUEUE_BYTES_MAX)
        return td_fail(TIDINGS_EINVAL,
                       "queue of %zu events, %zu bytes; at "
                       "most %u and %u",
                       o->queue_events, o->queue_bytes, TD_QUEUE_EVENTS_MAX,
                       TD_QUEUE_BYTES_MAX);
    return check_timeout(o->timeout_ms);
}

/* With the lock. */
static tidings_err subscribe(struct td_bus *b, struct td_bus_sub *sub,
                             const char *pattern,
                             const struct tidings_sub_options *o)
{
    int timeout_ms = o->timeout_ms ? o->timeout_ms : TD_REQUEST_MS;
    tidings_err err = td_client_subscribe(&b->client, &sub->csub, pattern, o);

    if (err == TIDINGS_ELIMIT)
        return td_fail(err, "%u subscriptions on this bus",
                       TD_SUBSCRIPTIONS_MAX);
    if (err)
        return err;
    sub->number = sub->csub->number;
    DL_APPEND(b->subs, sub);
    sub->refs++;
    td_bus_touched(b);
    if (!td_bus_wait(b, is_answered, sub, td_now_ms() + timeout_ms))
        err = why_not(b, "subscribe");
    else if (sub->drained)
        err = td_fail(TIDINGS_ECLOSED, "the bus was drained meanwhile");
    else if (sub->csub->state == TD_CSUB_REFUSED)
        err = td_fail(sub->csub->code, "%s", sub->csub->text);
    if (!err || sub->drained)
        return err;
    td_client_unsubscribe(&b->client, sub->csub);
    forget(b, sub);
    td_bus_touched(b);
    return err;
}

tidings_err tidings_subscribe(tidings_sub **out, tidings_bus *bus,
                              const char *pattern, tidings_handler handler,
                              void *arg,
                              const struct tidings_sub_options *options)
{
    const struct tidings_sub_options defaults = {0};
    const struct tidings_sub_options *o = options ? options : &defaults;
    tidings_err err = check_sub(pattern, handler, o);
    struct td_bus *b = err ? NULL : enter(bus, &err);
    struct td_bus_sub *sub;

    if (!b)
        return err;
    sub = calloc(1, sizeof(*sub));
    err = TIDINGS_ENOMEM;
    if (sub) {
        sub->refs = 1;
        sub->handler = handler;
        sub->arg = arg;
        err = subscribe(b, sub, pattern, o);
        if (!err && out)
            *out = td_handle_sub(bus, sub->number);
        td_bus_sub_unref(sub);
    }
    unlock(b);
    return err;
}

static bool is_ended(struct td_bus *b, void *arg)
{
    struct td_bus_sub *sub = arg;

    return (!sub->csub || sub->csub->state == TD_CSUB_ENDED) &&
           (b->running != sub || td_in_handler(b));
}

tidings_err tidings_unsubscribe(tidings_sub *handle, int timeout_ms)
{
    tidings_err err = check_timeout(timeout_ms);
    struct td_bus_sub *sub;
    struct td_bus *b;
    uint32_t number;

    if (err)
        return err;
    b = td_handle_lock_sub(handle, &number, &err);
    if (!b)
        return err;
    sub = b->closing ? NULL : td_bus_sub_find(b, number);
    if (!sub || atomic_load(&sub->ended)) {
        unlock(b);
        return td_fail(TIDINGS_ECLOSED, "the subscription has ended");
    }
    sub->refs++;
    atomic_store(&sub->ended, true);
    if (sub->csub->state != TD_CSUB_REFUSED)
        td_client_unsubscribe(&b->client, sub->csub);
    else
        sub->csub->state = TD_CSUB_ENDED;
    if (!td_bus_wait(b, is_ended, sub, td_now_ms() + timeout_ms))
        err = td_fail(b->closing ? TIDINGS_ECLOSED : TIDINGS_ETIMEDOUT, "%s",
                      b->running == sub ? "its handler is still running"
                                        : "the broker did not answer in time");
    if (!sub->drained)
        forget(b, sub);
    td_bus_sub_unref(sub);
    unlock(b);
    return err;
}

static bool is_at_rest(struct td_bus *b, void *arg)
{
    const int64_t *deadline_ms = arg;
    struct td_bus_sub *sub;

    DL_FOREACH(b->subs, sub)
    {
        if (sub->drained && sub->csub->state != TD_CSUB_ENDED)
            return false;
    }
    /* The caller is the loop. */
    while (b->own_loop && !b->dispatching && td_has_notices(b) &&
           td_now_ms() < *deadline_ms)
        td_dispatch(b, 1);
    return !b->dispatching && !td_has_notices(b); /* in this order: the
                                                  cursor is the dispatcher's */
}

tidings_err tidings_drain(tidings_bus *bus, int timeout_ms)
{
    int64_t deadline = td_now_ms() + timeout_ms;
    tidings_err err = check_timeout(timeout_ms);
    struct td_bus *b = err ? NULL : enter(bus, &err);
    struct td_bus_sub *sub;
    struct td_bus_sub *next;
    uint64_t missed;
    bool rested;

    if (!b)
        return err;
    if (td_in_handler(b)) {
        unlock(b);
        return td_fail(TIDINGS_EDEADLK, "drain the bus outside its handlers");
    }
    missed = b->client.missed;
    flush(b, deadline); /* so that it is not overtaken by what follows */
    DL_FOREACH(b->subs, sub)
    {
        sub->csub->wants_rest = true;
        if (!sub->drained)
            td_client_unsubscribe(&b->client, sub->csub);
        sub->drained = true;
    }
    rested = td_bus_wait(b, is_at_rest, &deadline, deadline);
    rested = flush(b, deadline) && rested;
    if (!rested)
        err = b->closing ? td_fail(TIDINGS_ECLOSED, "the bus is being closed")
                         : td_fail(TIDINGS_ETIMEDOUT,
                                   "%llu events not handled, %llu not taken",
                                   (unsigned long long)b->waiting_events,
                                   (unsigned long long)unconfirmed(b));
    else if (b->client.missed > missed)
        err = td_fail(TIDINGS_ELIMIT,
                      "at rest; %llu events were left behind at the broker",
                      (unsigned long long)(b->client.missed - missed));
    DL_FOREACH_SAFE(b->subs, sub, next)
    {
        if (sub->drained)
            forget(b, sub);
    }
    unlock(b);
    return err;
}

/* ---- a loop of one's own ---- */

tidings_err tidings_fd(int *out, tidings_bus *bus)
{
    tidings_err err = TIDINGS_OK;
    struct td_bus *b = enter(bus, &err);

    if (!b)
        return err;
    if (!out)
        err = td_fail(TIDINGS_EINVAL, "out is NULL");
    else if (!b->own_loop)
        err = td_fail(TIDINGS_ENOTSUP, "the bus was opened without own_loop");
    else
        *out = b->dispatch_fd;
    unlock(b);
    return err;
}

tidings_err tidings_dispatch(size_t *dispatched, tidings_bus *bus,
                             size_t max_events)
{
    tidings_err err = TIDINGS_OK;
    struct td_bus *b = enter(bus, &err);
    size_t n = 0;

    if (!b)
        return err;
    if (max_events == 0)
        err = td_fail(TIDINGS_EINVAL, "max_events is 0");
    else if (!b->own_loop)
        err = td_fail(TIDINGS_ENOTSUP, "the bus was opened without own_loop");
    else if (b->dispatching)
        err = td_fail(TIDINGS_EDEADLK, "handlers of this bus are running");
    else {
        b->users++; /* the bus stays while handlers run */
        n = td_dispatch(b, max_events);
        b->users--;
        td_bus_changed(b);
    }
    if (!err && dispatched)
        *dispatched = n;
    unlock(b);
    return err;
}

/* ---- looking at it ---- */

tidings_err tidings_info(struct tidings_info *out, tidings_bus *bus)
{
    tidings_err err = TIDINGS_OK;
    struct td_bus *b = enter(bus, &err);

    if (!b)
        return err;
    if (out) {
        const struct td_client *c = &b->client;

        out->up = c->state == TD_CLIENT_READY;
        out->epoch = c->epoch;
        out->connects = c->connects;
        pthread_mutex_lock(b->packer); /* both at the same moment */
        out->published = c->packer.sequence;
        out->unconfirmed = td_client_unconfirmed(c);
        pthread_mutex_unlock(b->packer);
        out->taken = out->published - out->unconfirmed;
        out->resent = c->resent;
        out->delivered = b->delivered;
        out->failed = b->failed;
        out->missed = c->missed;
        out->waiting = b->waiting_events;
    } else {
        err = td_fail(TIDINGS_EINVAL, "out is NULL");
    }
    unlock(b);
    return err;
}

static bool is_question_done(struct td_bus *b, void *arg)
{
    const struct td_question *q = arg;

    (void)b;
    return q->done;
}

/* Asks and waits; q->result is the caller's on success. */
static tidings_err ask(tidings_bus *bus, struct td_question *q, enum td_op op,
                       int timeout_ms)
{
    tidings_err err = check_timeout(timeout_ms);
    struct td_bus *b = err ? NULL : enter(bus, &err);

    if (!b)
        return err;
    td_client_question(&b->client, q, op);
    td_bus_touched(b);
    if (!td_bus_wait(b, is_question_done, q, td_now_ms() + timeout_ms))
        err = why_not(b, td_op_name(op));
    else if (q->code)
        err = td_fail(q->code, "%s", tidings_err_text(q->code));
    td_client_withdraw(&b->client, q);
    unlock(b);
    if (err)
        free(q->result);
    return err;
}

tidings_err tidings_ping(int64_t *out_us, tidings_bus *bus, int timeout_ms)
{
    int64_t start_us = td_now_us();
    struct td_question q;
    tidings_err err;

    if (!out_us)
        return td_fail(TIDINGS_EINVAL, "out_us is NULL");
    err = ask(bus, &q, TD_PING, timeout_ms);
    if (!err)
        *out_us = td_now_us() - start_us;
    return err;
}

tidings_err tidings_stats(void **out, size_t *out_len, tidings_bus *bus,
                          int timeout_ms)
{
    struct td_question q;
    tidings_err err;

    if (!out || !out_len)
        return td_fail(TIDINGS_EINVAL, "out is NULL");
    err = ask(bus, &q, TD_STATS, timeout_ms);
    if (!err) {
        *out = q.result;
        *out_len = q.result_len;
    }
    return err;
}
