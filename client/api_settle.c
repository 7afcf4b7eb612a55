/* What handlers may know and say of a delivery of a stream. */
#include "client/api.h"
#include "client/detail.h"
#include "client/handle.h"
#include "client/here.h"
#include "client/workers.h"
#include "proto/option.h"

#include <msgpack.h>
#include <stdlib.h>

tidings_err tidings_delivery(struct tidings_delivery *out,
                             const struct tidings_event *event)
{
    struct td_here *h = td_here_of(event);

    if (!out)
        return td_fail(TIDINGS_EINVAL, "out is NULL");
    if (!h)
        return td_fail(TIDINGS_ENOTFOUND,
                       "the event did not come from a stream, or its handler "
                       "has returned");
    out->sub = td_bus_sub_handle(h->bus, h->sub);
    out->tag = h->tag;
    out->incarnation = h->incarnation;
    td_here_span(h, &out->sequence, &out->deliveries);
    return TIDINGS_OK;
}

/* ---- settling ---- */

static tidings_err check(const struct tidings_delivery *delivery,
                         enum tidings_settlement settlement, int delay_ms)
{
    if (!delivery)
        return td_fail(TIDINGS_EINVAL, "delivery is NULL");
    if ((int)settlement < TIDINGS_ACK || settlement > TIDINGS_PARK)
        return td_fail(TIDINGS_EINVAL, "settlement is %d: none of its names",
                       (int)settlement);
    if (delay_ms < 0 || delay_ms > TIDINGS_TIMEOUT_MAX_MS)
        return td_fail(TIDINGS_EINVAL, "delay_ms is %d; 0 to %d", delay_ms,
                       TIDINGS_TIMEOUT_MAX_MS);
    return TIDINGS_OK;
}

static tidings_err progress(struct td_bus *b, struct td_bus_sub *sub,
                            const struct tidings_delivery *d)
{
    const struct td_settling *s = &sub->csub->settling;

    if (d->incarnation != b->client.incarnation || d->tag == 0 ||
        d->tag > s->received)
        return TIDINGS_ENOTFOUND;
    if (!td_settling_is_open(s, d->tag))
        return TIDINGS_EEXIST;
    td_client_progress(&b->client, sub->csub, d->tag);
    td_progress_said(b, sub, d->tag);
    return TIDINGS_OK;
}

static tidings_err settle(struct td_bus *b, struct td_bus_sub *sub,
                          const struct tidings_delivery *d,
                          enum tidings_settlement settlement, int delay_ms,
                          const char *reason)
{
    char text[TD_REASON_BYTES_MAX + 1] = "";
    struct td_settle how = {
        .verb = (unsigned)settlement, .first = d->tag, .last = d->tag};
    tidings_err err;

    if (settlement == TIDINGS_PROGRESS)
        return progress(b, sub, d);
    if (settlement == TIDINGS_NAK || settlement == TIDINGS_PARK)
        how.delay_ms = (uint64_t)delay_ms;
    if (reason && (settlement == TIDINGS_NAK || settlement == TIDINGS_TERM ||
                   settlement == TIDINGS_PARK))
        td_reason_take(text, reason);
    how.reason = td_str_of(text);
    if (td_verb_comes_again(how.verb))
        td_here_park(b, sub, d->tag);
    err = td_client_settle(&b->client, sub->csub, d->incarnation, &how);
    sub->parks = sub->parks || (!err && settlement == TIDINGS_PARK);
    return err;
}

/* Whoever settles many is not to send a message for each: at most one in a
 * millisecond. */
static void send_soon(struct td_bus *b)
{
    int64_t now_ms = td_now_ms();

    if (now_ms > b->settled_ms) {
        td_client_send_settled(&b->client);
        b->settled_ms = now_ms;
    } else if (b->client.settle_ms <= now_ms) {
        b->client.settle_ms = now_ms + 1;
    }
}

/* With the lock. */
static tidings_err settle_and_send(struct td_bus *b, struct td_bus_sub *sub,
                                   const struct tidings_delivery *d,
                                   enum tidings_settlement settlement,
                                   int delay_ms, const char *reason)
{
    tidings_err err;

    td_here_flush(b, sub); /* what this thread's handler said before */
    err = settle(b, sub, d, settlement, delay_ms, reason);
    td_give_back_parked(b, sub);
    if (!err && !td_in_handler(b))
        send_soon(b);
    td_bus_touched(b);
    td_bus_changed(b); /* a drain may wait for it */
    if (err == TIDINGS_EEXIST)
        return td_fail(err, "this delivery has been settled before");
    if (err == TIDINGS_ENOTFOUND)
        return td_fail(err, "of a session that is over: the event is delivered "
                            "again");
    return err;
}

/* ---- until it is on the disk ---- */

static void pack_group(struct td_buf *out, const struct td_csub *csub)
{
    msgpack_packer pk;

    msgpack_packer_init(&pk, out, td_buf_pack_write);
    msgpack_pack_map(&pk, 2);
    td_option_pack_str(&pk, "stream", td_str_of(csub->stream));
    td_option_pack_str(&pk, "group", td_str_of(csub->group));
}

/* With the lock. A link carries SETTLE before the call; should it be lost, then
 * what it carried is said again in the session, but not in another one. */
static tidings_err sync_group(struct td_bus *b, struct td_bus_sub *sub,
                              int timeout_ms)
{
    uint64_t incarnation = b->client.incarnation;
    struct td_question q = {.name = "group.sync"};
    struct td_buf options = {0};
    tidings_err err = TIDINGS_ENOMEM;

    if (sub->pool)
        td_pool_settle(sub->pool);
    td_here_flush(b, sub);
    td_client_send_settled(&b->client);
    pack_group(&options, sub->csub);
    q.options = (struct td_str){(const char *)options.data, options.len};
    if (!options.failed)
        err = td_ask_locked(b, &q, TD_CALL, timeout_ms);
    td_buf_fini(&options);
    if (err)
        return err;
    free(q.result);
    return b->client.incarnation == incarnation
               ? TIDINGS_OK
               : td_fail(TIDINGS_ENOTFOUND,
                         "the session was lost meanwhile: what was settled in "
                         "it may be delivered again");
}

tidings_err tidings_settled(tidings_sub *handle, int timeout_ms)
{
    tidings_err err = td_check_timeout(timeout_ms);
    struct td_bus_sub *sub;
    struct td_bus *b;
    uint32_t number;

    if (err)
        return err;
    b = td_handle_lock_sub(handle, &number, &err);
    if (!b)
        return err;
    sub = b->closing ? NULL : td_bus_sub_find(b, number);
    if (!sub || !sub->csub) {
        err = td_fail(TIDINGS_ECLOSED, "the subscription has ended");
    } else if (!sub->durable) {
        err = td_fail(TIDINGS_ENOTSUP, "it has nothing to settle");
    } else {
        td_bus_sub_ref(sub);
        err = sync_group(b, sub, timeout_ms);
        td_bus_sub_unref(sub);
    }
    td_exit(b);
    return err;
}

tidings_err tidings_settle(const struct tidings_delivery *delivery,
                           enum tidings_settlement settlement, int delay_ms,
                           const char *reason)
{
    tidings_err err = check(delivery, settlement, delay_ms);
    struct td_bus_sub *sub;
    struct td_bus *b;
    uint32_t number;

    if (err)
        return err;
    b = td_handle_lock_sub(delivery->sub, &number, &err);
    if (!b)
        return err;
    sub = td_bus_sub_find(b, number);
    if (b->closing)
        err = td_fail(TIDINGS_ECLOSED, "the bus is being closed");
    else if (!sub || !sub->csub)
        err = td_fail(TIDINGS_ENOTFOUND,
                      "the subscription has ended: the event is delivered "
                      "again");
    else if (!sub->durable)
        err = td_fail(TIDINGS_ENOTFOUND, "a reader has nothing to settle");
    else
        err = settle_and_send(b, sub, delivery, settlement, delay_ms, reason);
    td_exit(b);
    return err;
}
