/* Looking at it: what bus, subscription and broker have done. */
#include "client/api.h"
#include "client/detail.h"
#include "client/handle.h"
#include "client/workers.h"

#include <stdlib.h>
#include <string.h>

tidings_err tidings_info(struct tidings_info *out, tidings_bus *bus)
{
    tidings_err err = TIDINGS_OK;
    struct td_bus *b = td_enter(bus, &err);

    if (!b)
        return err;
    if (out) {
        const struct td_client *c = &b->client;

        out->up = c->state == TD_CLIENT_READY;
        out->epoch = c->epoch;
        out->connects = c->connects;
        pthread_mutex_lock(b->packer); /* both at the same moment */
        out->published = c->packer.packed_events;
        out->unconfirmed = td_client_unconfirmed(c);
        pthread_mutex_unlock(b->packer);
        out->taken = c->publisher.taken_events;
        out->confirmed = c->confirmed;
        out->unstored = c->unstored;
        out->resent = c->resent;
        out->delivered = b->delivered;
        out->failed = b->failed;
        out->missed = c->missed;
        out->waiting = b->waiting_events;
    } else {
        err = td_fail(TIDINGS_EINVAL, "out is NULL");
    }
    td_exit(b);
    return err;
}

/* Adds what one thread has done. */
static void add_call(struct tidings_sub_info *out, const struct td_call *call,
                     uint64_t *passed)
{
    uint64_t longest = td_call_get(&call->max_us);

    *passed += td_call_get(&call->passed);
    out->duplicates += td_call_get(&call->duplicates);
    out->delivered +=
        td_call_get(&call->passed) - td_call_get(&call->duplicates) -
        td_call_get(&call->unreadable) - td_call_get(&call->expired) -
        td_call_get(&call->returned);
    out->expired += td_call_get(&call->expired);
    out->unreadable += td_call_get(&call->unreadable);
    out->failed += td_call_get(&call->failed);
    out->late += td_call_get(&call->late);
    out->handler_us += td_call_get(&call->us);
    if (longest > out->handler_max_us)
        out->handler_max_us = longest;
}

static void look_at_settled(struct tidings_sub_info *out,
                            const struct td_csub *csub)
{
    out->acked = csub->settling.acked;
    out->naked = csub->settling.naked;
    out->released = csub->settling.released;
    out->termed = csub->settling.termed;
    out->stale = csub->stale;
    out->redelivered = csub->redelivered;
}

static void look_at(struct tidings_sub_info *out, struct td_bus *b,
                    struct td_bus_sub *sub)
{
    uint64_t passed = 0;
    struct td_call *call;

    *out = (struct tidings_sub_info){.missed = sub->missed};
    add_call(out, &sub->call, &passed);
    for (unsigned i = 0; sub->pool && (call = td_pool_call(sub->pool, i)); i++)
        add_call(out, call, &passed);
    if (sub->csub)
        look_at_settled(out, sub->csub);
    out->pending = sub->arrived - passed;
    out->running = sub->pool ? td_pool_busy(sub->pool) : b->running == sub;
}

tidings_err tidings_sub_info(struct tidings_sub_info *out, tidings_sub *handle)
{
    tidings_err err = TIDINGS_OK;
    uint32_t number;
    struct td_bus *b = td_handle_lock_sub(handle, &number, &err);
    struct td_bus_sub *sub;

    if (!b)
        return err;
    sub = b->closing ? NULL : td_bus_sub_find(b, number);
    if (!sub || atomic_load(&sub->ended))
        err = td_fail(TIDINGS_ECLOSED, "the subscription has ended");
    else if (!out)
        err = td_fail(TIDINGS_EINVAL, "out is NULL");
    else
        look_at(out, b, sub);
    td_exit(b);
    return err;
}

static bool is_question_done(struct td_bus *b, void *arg)
{
    const struct td_question *q = arg;

    (void)b;
    return q->done;
}

/* No answer came. A call that was sent may have been done all the same. */
static tidings_err no_answer(struct td_bus *b, const struct td_question *q,
                             enum td_op op)
{
    if (op == TD_CALL && q->sent && !b->closing)
        return td_fail(TIDINGS_ETIMEDOUT,
                       "%s: no answer in time: it may have been done", q->name);
    return td_why_not(b, op == TD_CALL ? q->name : td_op_name(op));
}

tidings_err td_ask_locked(struct td_bus *b, struct td_question *q,
                          enum td_op op, int timeout_ms)
{
    tidings_err err = TIDINGS_OK;

    td_client_question(&b->client, q, op);
    td_bus_touched(b);
    if (!td_bus_wait_broker(b, is_question_done, q, td_now_ms() + timeout_ms))
        err = no_answer(b, q, op);
    else if (q->code)
        err = td_fail(q->code, "%s",
                      *q->text ? q->text : tidings_err_text(q->code));
    td_client_withdraw(&b->client, q);
    if (err)
        free(q->result);
    return err;
}

tidings_err td_ask(tidings_bus *bus, struct td_question *q, enum td_op op,
                   int timeout_ms)
{
    tidings_err err = td_check_timeout(timeout_ms);
    struct td_bus *b = err ? NULL : td_enter(bus, &err);

    if (!b)
        return err;
    err = td_ask_locked(b, q, op, timeout_ms);
    td_exit(b);
    return err;
}

tidings_err tidings_ping(int64_t *out_us, tidings_bus *bus, int timeout_ms)
{
    int64_t start_us = td_now_us();
    struct td_question q = {0};
    tidings_err err;

    if (!out_us)
        return td_fail(TIDINGS_EINVAL, "out_us is NULL");
    err = td_ask(bus, &q, TD_PING, timeout_ms);
    if (!err)
        *out_us = td_now_us() - start_us;
    return err;
}

/* Whether the broker has rows of this kind. */
static bool is_rows(const char *rows)
{
    static const char *const names[] = {"subscriptions", "groups",  "types",
                                        "sessions",      "streams", "consumers",
                                        "none"};

    for (size_t i = 0; rows && i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(rows, names[i]) == 0)
            return true;
    }
    return false;
}

static tidings_err stats(void **out, size_t *out_len, tidings_bus *bus,
                         struct td_question *q, int timeout_ms)
{
    tidings_err err;

    if (!out || !out_len)
        return td_fail(TIDINGS_EINVAL, "out is NULL");
    err = td_ask(bus, q, TD_STATS, timeout_ms);
    if (!err) {
        *out = q->result;
        *out_len = q->result_len;
    }
    return err;
}

tidings_err tidings_stats(void **out, size_t *out_len, tidings_bus *bus,
                          int timeout_ms)
{
    struct td_question q = {0};

    return stats(out, out_len, bus, &q, timeout_ms);
}

tidings_err tidings_stats_rows(void **out, size_t *out_len, tidings_bus *bus,
                               const char *rows, uint64_t from, int timeout_ms)
{
    struct td_question q = {.rows = rows, .from = from};

    if (!is_rows(rows))
        return td_fail(
            TIDINGS_EINVAL,
            "rows \"%.20s\": subscriptions, groups, types, sessions, "
            "streams, consumers or none",
            rows ? rows : "");
    return stats(out, out_len, bus, &q, timeout_ms);
}
