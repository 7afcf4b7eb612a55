/* Publishing: packing under a lock of its own, and sending when it is due. */
#include "client/api.h"
#include "client/detail.h"
#include "client/event.h"
#include "client/handle.h"
#include "proto/plural.h"

#include <string.h>

tidings_err td_may_pack(const struct td_bus *b, uint64_t sequence)
{
    const struct td_client *c = &b->client;

    if (c->fenced)
        return td_is_fenced(b);
    if (sequence == 0 || td_client_may_number(c, sequence))
        return TIDINGS_OK;
    return td_fail(TIDINGS_EINVAL,
                   "sequence %llu comes after %llu: it may when all before it "
                   "is confirmed",
                   (unsigned long long)sequence,
                   (unsigned long long)c->packer.sequence);
}

/* Packs, with the packer's lock. The clock costs more than the rest: the first
 * event of a batch has the time of now, and those that follow while the link
 * is busy that of the last tick of the system's clock. */
static tidings_err pack(struct td_bus *b, struct td_packing *event)
{
    const struct td_packer *p = &b->client.packer;
    tidings_err err = td_may_pack(b, event->sequence);
    int64_t now_us;

    if (err)
        return err;
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

tidings_err td_is_full(struct td_bus *b)
{
    bool up = b->client.state == TD_CLIENT_READY;

    if (b->close_called)
        return td_fail(TIDINGS_ECLOSED, "the bus is being closed");
    if (td_client_is_named(&b->client) && !b->client.numbered)
        return td_fail(b->client.last_err == TIDINGS_ENOTSUP ? TIDINGS_ENOTSUP
                                                             : TIDINGS_EFULL,
                       "the broker at %s has not said where producer \"%s\" "
                       "goes on: %s",
                       b->url, b->producer, b->client.last_text);
    if (td_unconfirmed(b) == 0)
        return td_fail(TIDINGS_EFULL, "callbacks of confirmed events wait to "
                                      "be called");
    return td_fail(TIDINGS_EFULL, "%llu %s to be %s by the broker at %s%s%s",
                   (unsigned long long)td_unconfirmed(b),
                   td_plural(td_unconfirmed(b), "event waits", "events wait"),
                   td_unconfirmed(b) > td_untaken(b) ? "confirmed" : "taken",
                   b->url, up ? "" : ": ", up ? "" : b->client.last_text);
}

/* There was no room: waits for it, if that may be. */
static tidings_err pack_when_room(tidings_bus *bus, struct td_packing *event,
                                  bool may_wait)
{
    tidings_err err = TIDINGS_OK;
    struct td_bus *b = td_enter(bus, &err);
    int64_t deadline;

    if (!b)
        return err;
    deadline = td_now_ms() + b->publish_timeout_ms;
    err = pack_again(b, event);
    while (err == TIDINGS_EFULL && may_wait && td_bus_wait_room(b, deadline))
        err = pack_again(b, event);
    td_client_pump(&b->client);
    if (err == TIDINGS_EFULL)
        td_client_ask_room(&b->client); /* it may come back for it */
    td_bus_touched(b);
    if (err == TIDINGS_EFULL || err == TIDINGS_ECLOSED)
        err = td_is_full(b);
    td_exit(b);
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
    td_exit(b);
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
                          struct td_packing *event, tidings_err err,
                          bool may_wait)
{
    enum td_pump when = err ? TD_PUMP_NOT : td_client_wants_pump(&b->client);

    pthread_mutex_unlock(b->packer);
    if (when != TD_PUMP_NOT)
        pump(bus, when);
    else if (err == TIDINGS_EFULL)
        err = pack_when_room(bus, event, may_wait);
    return err;
}

static tidings_err publish(tidings_bus *bus, const char *type, const void *data,
                           size_t len, bool may_wait)
{
    struct td_packing event = {
        .type = {type, type ? strlen(type) : 0}, .data = data, .len = len};
    tidings_err err;
    struct td_bus *b = enter_packer(bus, &err);

    if (!b)
        return err;
    event.level = b->confirm;
    err = td_event_check_data(data, len);
    if (!err)
        err = pack(b, &event);
    if (err == TIDINGS_EFULL || err == TIDINGS_EINVAL) {
        tidings_err bad = td_event_check_type(type, event.type.len);

        if (bad) /* the packer has no words for it, and full comes first */
            err = bad;
    }
    return finish(bus, b, &event, err, may_wait);
}

tidings_err tidings_publish(tidings_bus *bus, const char *type,
                            const void *data, size_t len)
{
    return publish(bus, type, data, len, true);
}

tidings_err td_publish_now(tidings_bus *bus, const char *type, const void *data,
                           size_t len)
{
    return publish(bus, type, data, len, false);
}

enum tidings_level td_level_of(const struct td_bus *b,
                               const struct td_packing *event)
{
    if (event->level)
        return event->level;
    return !b->confirm && event->on_confirm ? TIDINGS_DISK : b->confirm;
}

tidings_err tidings_publish_event(tidings_bus *bus,
                                  const struct tidings_event *event)
{
    return tidings_publish_with(bus, event, NULL);
}

tidings_err td_prepare(struct td_packing *out, struct td_buf *attrs,
                       const struct tidings_event *event,
                       const struct tidings_publish_options *options)
{
    tidings_err err;

    memset(out, 0, sizeof(*out));
    if (!event)
        return td_fail(TIDINGS_EINVAL, "event is NULL");
    if (options) {
        if ((unsigned)options->level > TIDINGS_DISK)
            return td_fail(TIDINGS_EINVAL, "level is %d: none",
                           (int)options->level);
        if (options->sequence > TD_SEQUENCE_MAX)
            return td_fail(TIDINGS_EINVAL, "a sequence is at most 2^62");
        out->level = options->level;
        out->sequence = options->sequence;
        out->on_confirm = options->on_confirm;
        out->arg = options->arg;
    }
    out->type.data = event->type;
    out->type.len = event->type ? strlen(event->type) : 0;
    out->time_us = event->time_us;
    out->data = event->data;
    out->len = event->data_len;
    err = td_event_check_type(event->type, out->type.len);
    if (!err)
        err = td_event_check_data(event->data, event->data_len);
    if (!err)
        err = td_event_encode(attrs, &out->flags, event);
    out->attrs.data = (const char *)attrs->data;
    out->attrs.len = attrs->len;
    return err;
}

tidings_err tidings_event_check(const struct tidings_event *event)
{
    struct td_packing packing;
    struct td_buf attrs = {0};
    tidings_err err = td_prepare(&packing, &attrs, event, NULL);

    td_buf_fini(&attrs);
    return err;
}

tidings_err tidings_publish_with(tidings_bus *bus,
                                 const struct tidings_event *event,
                                 const struct tidings_publish_options *options)
{
    struct td_packing packing;
    struct td_buf attrs = {0};
    struct td_bus *b;
    tidings_err err;

    if (options && (options->expects || options->expects_key ||
                    options->at_ms || options->after_ms))
        return tidings_publish_all(bus, event, 1, options);
    err = td_prepare(&packing, &attrs, event, options);
    b = err ? NULL : enter_packer(bus, &err);
    if (b && packing.sequence > 0 && !*b->producer) {
        pthread_mutex_unlock(b->packer);
        err = td_fail(TIDINGS_EINVAL, "sequence is of a bus with a producer");
    } else if (b) {
        packing.level = td_level_of(b, &packing);
        err = finish(bus, b, &packing, pack(b, &packing), true);
    }
    td_buf_fini(&attrs);
    return err;
}

static tidings_err not_flushed(struct td_bus *b)
{
    tidings_err err = td_why_not(b, "flush");
    uint64_t unconfirmed = td_unconfirmed(b);

    if (err == TIDINGS_ECLOSED)
        return err;
    if (err == TIDINGS_ETIMEDOUT && unconfirmed > td_untaken(b))
        td_fail(err, "flush: the broker at %s has not confirmed %llu %s",
                b->url, (unsigned long long)unconfirmed,
                td_plural(unconfirmed, "event", "events"));
    return TIDINGS_ETIMEDOUT; /* the detail has the reason */
}

/* What was not stored, told once. */
static tidings_err take_unstored(struct td_bus *b)
{
    struct td_unstored *u = &b->client.unasked;
    tidings_err err = TIDINGS_OK;

    if (u->events > 0)
        err = td_fail(
            u->err, "%llu %s not stored: %s", (unsigned long long)u->events,
            td_plural(u->events, "event was", "events were"), u->text);
    u->events = 0;
    return err;
}

tidings_err tidings_flush(tidings_bus *bus, int timeout_ms)
{
    tidings_err err = td_check_timeout(timeout_ms);
    struct td_bus *b = err ? NULL : td_enter(bus, &err);

    if (!b)
        return err;
    err = td_flush(b, td_now_ms() + timeout_ms) ? take_unstored(b)
                                                : not_flushed(b);
    td_exit(b);
    return err;
}

static bool is_numbered(struct td_bus *b, void *arg)
{
    (void)arg;
    return b->client.state == TD_CLIENT_READY && b->client.numbered;
}

tidings_err tidings_producer_last(tidings_bus *bus, uint64_t *sequence,
                                  int timeout_ms)
{
    tidings_err err = td_check_timeout(timeout_ms);
    struct td_bus *b;

    if (!err && !sequence)
        err = td_fail(TIDINGS_EINVAL, "sequence is NULL");
    b = err ? NULL : td_enter(bus, &err);
    if (!b)
        return err;
    if (!*b->producer)
        err = td_fail(TIDINGS_EINVAL, "the bus has no producer: see "
                                      "tidings_options.producer");
    else if (!td_bus_wait_broker(b, is_numbered, NULL,
                                 td_now_ms() + timeout_ms))
        err = td_why_not(b, "producer_last");
    else
        *sequence = b->client.stored;
    td_exit(b);
    return err;
}
