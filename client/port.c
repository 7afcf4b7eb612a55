/* Between the session and the rest of the bus: the session's port, and the
 * messages of the link. All of it with the lock. */
#include "client/asked.h"
#include "client/bus.h"
#include "client/here.h"
#include "client/pull.h"
#include "client/resilience.h"
#include "client/workers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* ---- news ---- */

static struct td_bus_sub *owner_of(struct td_csub *sub)
{
    return sub ? sub->owner : NULL;
}

/* NULL: it is news, not state: tidings_info() has that. */
static struct td_notice *news_new(enum td_notice_what what,
                                  struct td_bus_sub *sub, uint64_t count,
                                  const char *text, size_t len)
{
    struct td_notice *n;

    if (len > TD_NOTICE_TEXT_MAX)
        len = TD_NOTICE_TEXT_MAX;
    n = calloc(1, sizeof(*n) + len + 1);
    if (!n)
        return NULL;
    n->what = what;
    n->sub = sub ? td_bus_sub_ref(sub) : NULL;
    n->count = count;
    memcpy(n->text, text, len);
    return n;
}

/* NULL: nobody asks, or as of news_new(). */
static struct td_notice *status_new(struct td_bus *b,
                                    enum tidings_status_kind kind,
                                    tidings_err err, const char *text,
                                    struct td_csub *sub, uint64_t count)
{
    struct td_notice *n = NULL;

    if (b->on_status)
        n = news_new(TD_NOTICE_STATUS, owner_of(sub), count, text,
                     strlen(text));
    if (!n)
        return NULL;
    n->kind = kind;
    n->err = err;
    return n;
}

static void port_status(void *ctx, enum tidings_status_kind kind,
                        tidings_err err, const char *text, struct td_csub *sub,
                        uint64_t count)
{
    struct td_bus *b = ctx;
    struct td_notice *n;

    if (sub && sub == b->discovery.sub)
        return; /* ours, and not the user's */
    n = status_new(b, kind, err, text, sub, count);

    if (n)
        td_push_notice(b, n);
}

static bool is_same_gap(const struct td_notice *n, const struct td_bus_sub *sub,
                        struct td_str reason)
{
    return n && n->what == TD_NOTICE_GAP && n->sub == sub &&
           strlen(n->text) == reason.len &&
           memcmp(n->text, reason.data, reason.len) == 0;
}

static void add_gap(struct td_notice *n, const struct td_gap *gap)
{
    n->count += gap->events;
    n->first = n->first < gap->first ? n->first : gap->first;
    n->last = n->first == 0 ? 0 : n->last > gap->last ? n->last : gap->last;
}

static void call_on_gap(struct td_bus *b, struct td_bus_sub *sub,
                        const struct td_gap *gap)
{
    struct td_notice *n = td_notices_latest(&b->notices);

    if (sub->pool) {
        td_pool_gap(sub->pool, gap);
        return;
    }
    if (is_same_gap(n, sub, gap->reason)) {
        add_gap(n, gap);
        return;
    }
    n = news_new(TD_NOTICE_GAP, sub, gap->events, gap->reason.data,
                 gap->reason.len);
    if (!n)
        return;
    n->first = gap->first;
    n->last = gap->last;
    td_push_notice(b, n);
}

static void port_gap(void *ctx, struct td_csub *csub, const struct td_gap *gap)
{
    struct td_bus *b = ctx;
    struct td_bus_sub *sub = owner_of(csub);
    struct td_notice *n;

    if (csub == b->discovery.sub) {
        td_discovery_missed(b);
        return;
    }
    if (sub) {
        sub->missed += gap->events;
        if (sub->on_gap && !atomic_load(&sub->ended))
            call_on_gap(b, sub, gap);
    }
    n = status_new(b, TIDINGS_GAP, TIDINGS_EFULL, gap->text, csub, gap->events);
    if (!n)
        return;
    n->first = gap->first;
    n->last = gap->last;
    td_push_notice(b, n);
}

static void port_lost(void *ctx, struct td_csub *csub, uint64_t last)
{
    struct td_bus *b = ctx;
    struct td_bus_sub *sub = owner_of(csub);

    if (sub && last > sub->lost)
        sub->lost = last;
    b->lost = true;
}

static void port_confirmed(void *ctx, struct td_confirmed *confirmed)
{
    td_push_confirmed(ctx, confirmed);
}

static void port_beat(void *ctx, struct td_cservice *service)
{
    (void)ctx;
    if (service->owner)
        td_bus_service_beat(service->owner);
}

static void port_drain(void *ctx, struct td_cservice *service, bool drain)
{
    (void)ctx;
    if (service->owner)
        td_bus_service_drain(service->owner, drain);
}

static void port_breakers(void *ctx, struct td_buf *out)
{
    const struct td_bus *b = ctx;

    td_breakers_pack(out, b->handle);
}

struct td_client_port td_bus_port(struct td_bus *b)
{
    return (struct td_client_port){.ctx = b,
                                   .open = port_open,
                                   .close = port_close,
                                   .send = port_send,
                                   .guard = port_guard,
                                   .gap = port_gap,
                                   .lost = port_lost,
                                   .confirmed = port_confirmed,
                                   .answered = td_bus_answered,
                                   .status = port_status,
                                   .beat = port_beat,
                                   .drain = port_drain,
                                   .breakers = port_breakers};
}

/* ---- deliveries ---- */

/* false: no memory. */
static bool push_delivery(struct td_bus *b, struct td_bus_sub *sub,
                          struct td_message *m, const struct td_delivery *d)
{
    struct td_notice *n = calloc(1, sizeof(*n));

    if (!n)
        return false;
    n->what = TD_NOTICE_EVENTS;
    n->sub = td_bus_sub_ref(sub);
    n->message = td_message_ref(m);
    n->batches = d->batches;
    n->body = d->body;
    n->spans = d->spans;
    n->tag = d->tag;
    n->incarnation = b->client.incarnation;
    n->events = d->events;
    sub->arrived += d->events;
    b->waiting_events += d->events;
    td_push_notice(b, n);
    return true;
}

static void move_to(struct td_message *part, size_t at, struct td_str *bytes)
{
    if (bytes->len == 0)
        return;
    memcpy(part->control + at, bytes->data, bytes->len);
    bytes->data = (const char *)part->control + at;
}

/* A message is kept whole until all that is in it is handled. The dispatcher
 * takes it in order, but workers go at their own pace: a small part that waits
 * for one of them would keep everybody's, so it is copied. */
static struct td_message *part_of(const struct td_bus *b, struct td_message *m,
                                  struct td_delivery *d)
{
    struct td_message *part;
    struct td_body *body;

    if (!b->has_workers || d->body.len >= m->body->len / 2)
        return td_message_ref(m);
    body = td_body_copy(d->body.data, d->body.len);
    part =
        body ? td_message_new(NULL, d->batches.len + d->spans.len, body) : NULL;
    if (!part) {
        td_body_unref(body);
        return NULL;
    }
    move_to(part, 0, &d->batches);
    move_to(part, d->batches.len, &d->spans);
    d->body.data = (const char *)body->data;
    return part;
}

static void take_delivery(struct td_bus *b, struct td_message *m,
                          struct td_delivery *d)
{
    struct td_bus_sub *sub = owner_of(d->sub);
    struct td_message *part;
    bool kept;

    if (d->sub == b->discovery.sub) {
        td_discovery_take(b, d);
        return;
    }
    if (!sub || atomic_load(&sub->ended) || sub->resting)
        return;
    part = part_of(b, m, d);
    if (!part)
        kept = false;
    else if (sub->pool)
        kept = td_pool_push(b, sub, part, d);
    else if (sub->pull)
        kept = td_pull_push(b, sub, part, d);
    else
        kept = push_delivery(b, sub, part, d);
    td_message_unref(part);
    if (!kept)
        td_client_lost_delivery(&b->client, d);
}

static void take_tasks(struct td_bus *b, struct td_message *m,
                       struct td_deliveries *all)
{
    int64_t now_us = td_now_us();
    struct td_handed handed;

    b->services.messages++;
    while (!td_client_next_task(&b->client, all, &handed) && handed.service)
        td_bus_service_take(b, m, &handed, now_us);
}

void td_bus_take(struct td_bus *b, struct td_message *m, int64_t now_ms)
{
    uint64_t incarnation = b->client.incarnation;
    uint64_t connects = b->client.connects;
    uint64_t pong = b->client.pong;
    struct td_deliveries all;
    struct td_delivery d;

    b->taking = m;
    b->taking_kept = false;
    td_client_message(&b->client, m->control, m->len, m->body, now_ms, &all);
    b->taking = NULL;
    td_bus_look_settling(b, pong, incarnation);
    if (b->lost)
        td_give_back_lost(b);
    if (b->client.connects != connects)
        td_progress_soon(b);
    while (!td_client_next(&b->client, &all, &d) && d.sub)
        take_delivery(b, m, &d);
    if (all.tasks_left > 0)
        take_tasks(b, m, &all);
    td_discovery_step(b);
    td_message_unref(m);
}
