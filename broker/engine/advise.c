/* Advisories: events of the broker's own (PROTOCOL.md 7), which take the way
 * of all others. Nothing is made that nobody has subscribed to. What queues
 * have to tell is gathered and told at most once in TD_ADVISE_MS, so that an
 * advisory which is itself dropped cannot call forth another at once. */
#include "broker/engine/internal.h"

#include "broker/engine/pack.h"

#include <string.h>

#define SOURCE "/tidingsd"

static bool end_walk(void *ctx, struct td_trie_entry *entry)
{
    (void)ctx;
    (void)entry;
    return false;
}

bool td_advise_wanted(const struct td_engine *e, const char *type)
{
    return !td_trie_match(&e->trie, type, strlen(type), end_walk, NULL);
}

/* One event with the map in data. */
void td_advise_publish(struct td_engine *e, const char *type,
                       const struct td_buf *data)
{
    const struct td_port *port = &e->options.port;
    struct td_str none = {NULL, 0};
    size_t size = td_event_size(0, data->len, 0);
    struct td_run run = {.type = td_str_of(type),
                         .count = 1,
                         .bytes = (uint32_t)size,
                         .first = ++e->advised};
    struct td_batch batch = {
        .producer = {(const char *)e->producer, sizeof(e->producer)},
        .source = td_str_of(SOURCE),
        .base_us = port->unix_us ? port->unix_us(port->ctx) : 0,
        .runs = &run,
        .runs_len = 1,
        .events = 1,
        .bytes = run.bytes,
    };
    struct td_buf wire = {0};
    struct td_body *body;
    uint8_t *to;

    td_batch_pack(&wire, &batch);
    batch.wire.data = (const char *)wire.data;
    batch.wire.len = wire.len;
    body = wire.failed || data->failed ? NULL : td_body_new(size, &to);
    if (body) { /* or it is not told: it is news, the counters have it too */
        td_event_put(to, 0, data->data, data->len, none);
        body->len = size;
        td_publish_own(e, &batch, body, 0);
        td_body_unref(body);
    }
    td_buf_fini(&wire);
}

/* ---- sessions ---- */

void td_advise_session(struct td_engine *e, const struct td_session *s, bool up,
                       bool flag)
{
    const char *type = up ? "$tidings.session.up" : "$tidings.session.down";
    struct td_buf data = {0};
    msgpack_packer pk;

    if (!td_advise_wanted(e, type))
        return;
    msgpack_packer_init(&pk, &data, td_buf_pack_write);
    msgpack_pack_map(&pk, up ? 3 : 4);
    td_pack_uint(&pk, "session", s->number);
    td_pack_str(&pk, "name", td_str_of(s->name));
    td_pack_key(&pk, up ? "resumed" : "away");
    flag ? msgpack_pack_true(&pk) : msgpack_pack_false(&pk);
    if (!up)
        td_pack_str(&pk, "reason", td_str_of(s->reason));
    td_advise_publish(e, type, &data);
    td_buf_fini(&data);
}

/* ---- durable groups ---- */

void td_advise_full(struct td_engine *e, const struct td_consumer *c)
{
    const char *type = "$tidings.group.full";
    struct td_buf data = {0};
    msgpack_packer pk;

    if (!td_advise_wanted(e, type))
        return;
    msgpack_packer_init(&pk, &data, td_buf_pack_write);
    msgpack_pack_map(&pk, 7);
    td_pack_str(&pk, "stream", c->stream->options.name);
    td_pack_str(&pk, "group", c->options.group);
    td_pack_uint(&pk, "members", c->group->members_len);
    td_pack_uint(&pk, "out", c->out);
    td_pack_uint(&pk, "max_in_flight", c->options.max_in_flight);
    td_pack_uint(&pk, "floor", c->settled.floor);
    td_pack_uint(&pk, "next", c->cursor);
    td_advise_publish(e, type, &data);
    td_buf_fini(&data);
}

void td_advise_parked(struct td_engine *e, const struct td_consumer *c)
{
    const char *type = "$tidings.group.parked";
    struct td_buf data = {0};
    msgpack_packer pk;

    if (!td_advise_wanted(e, type))
        return;
    msgpack_packer_init(&pk, &data, td_buf_pack_write);
    msgpack_pack_map(&pk, 7);
    td_pack_str(&pk, "stream", c->stream->options.name);
    td_pack_str(&pk, "group", c->options.group);
    td_pack_uint(&pk, "members", c->group->members_len);
    td_pack_uint(&pk, "parked_ms", c->outage.delay_ms);
    td_pack_uint(&pk, "parks", c->outage.times);
    td_pack_str(&pk, "parked_by", td_str_of(c->parked_by));
    td_pack_str(&pk, "parked_why", td_str_of(c->parked_why));
    td_advise_publish(e, type, &data);
    td_buf_fini(&data);
}

void td_advise_running(struct td_engine *e, const struct td_consumer *c)
{
    const char *type = "$tidings.group.running";
    struct td_buf data = {0};
    msgpack_packer pk;

    if (!td_advise_wanted(e, type))
        return;
    msgpack_packer_init(&pk, &data, td_buf_pack_write);
    msgpack_pack_map(&pk, 5);
    td_pack_str(&pk, "stream", c->stream->options.name);
    td_pack_str(&pk, "group", c->options.group);
    td_pack_uint(&pk, "members", c->group->members_len);
    td_pack_uint(&pk, "outage_ms", (uint64_t)(e->now_ms - c->outage.since_ms));
    td_pack_uint(&pk, "parks", c->outage.times);
    td_advise_publish(e, type, &data);
    td_buf_fini(&data);
}

/* ---- the store ---- */

void td_advise_room(struct td_engine *e, bool full,
                    const struct td_store_info *info)
{
    const char *type = full ? "$tidings.store.full" : "$tidings.store.ok";
    struct td_buf data = {0};
    msgpack_packer pk;

    if (!td_advise_wanted(e, type))
        return;
    msgpack_packer_init(&pk, &data, td_buf_pack_write);
    msgpack_pack_map(&pk, 3);
    td_pack_uint(&pk, "free_bytes", info->free_bytes);
    td_pack_uint(&pk, "left_bytes", info->left_bytes);
    td_pack_uint(&pk, "reserve_bytes", info->reserve_bytes);
    td_advise_publish(e, type, &data);
    td_buf_fini(&data);
}

/* ---- queues ---- */

static void remember(struct td_engine *e, struct td_trouble *t,
                     struct td_news *news, uint64_t events)
{
    news->events += events;
    if (t->newsworthy)
        return;
    t->newsworthy = true;
    DL_APPEND2(e->news, t, news_prev, news_next);
}

void td_advise_slow(struct td_engine *e, struct td_group *g)
{
    struct td_trouble *t = td_group_trouble(g);

    if (t)
        remember(e, t, &t->slow, 1);
}

void td_advise_drop(struct td_engine *e, struct td_group *g, enum td_drop why,
                    uint64_t events)
{
    struct td_trouble *t = td_group_trouble(g);

    if (t)
        remember(e, t, &t->drops[why], events);
}

static void pack_group(msgpack_packer *pk, const struct td_group *g)
{
    const struct td_sub *sub = g->members;

    td_pack_uint(pk, "session", sub->session->number);
    td_pack_str(pk, "name", td_str_of(sub->session->name));
    td_pack_uint(pk, "subscription", sub->number);
    td_pack_str(pk, "pattern", td_group_pattern(g));
    td_pack_str(pk, "group", td_group_name(g));
    td_pack_uint(pk, "pending", td_group_pending(g));
    td_pack_uint(pk, "queued_bytes", td_group_waiting_bytes(g));
}

static void publish_news(struct td_engine *e, struct td_group *g,
                         const char *reason, uint64_t events)
{
    const char *type = reason ? "$tidings.drop" : "$tidings.slow";
    struct td_buf data = {0};
    msgpack_packer pk;

    if (!td_advise_wanted(e, type))
        return;
    msgpack_packer_init(&pk, &data, td_buf_pack_write);
    msgpack_pack_map(&pk, reason ? 9 : 7);
    pack_group(&pk, g);
    if (reason) {
        td_pack_str(&pk, "reason", td_str_of(reason));
        td_pack_uint(&pk, "events", events);
    }
    td_advise_publish(e, type, &data);
    td_buf_fini(&data);
}

/* reason: NULL for a slow one. */
static void tell(struct td_engine *e, struct td_trouble *t,
                 struct td_news *news, const char *reason)
{
    uint64_t events = news->events;

    if (events == 0 || e->now_ms < news->next_ms)
        return;
    news->events = 0; /* publishing may drop, and so be news again */
    news->next_ms = e->now_ms + TD_ADVISE_MS;
    publish_news(e, t->group, reason, events);
}

static int64_t due(const struct td_news *news, int64_t next)
{
    return news->events > 0 && news->next_ms < next ? news->next_ms : next;
}

/* Returns when there is more to tell. */
static int64_t tell_all(struct td_engine *e, struct td_trouble *t)
{
    int64_t next = TD_NEVER;

    tell(e, t, &t->slow, NULL);
    for (int why = 0; why < TD_DROPS; why++)
        tell(e, t, &t->drops[why], td_drop_names[why]);
    next = due(&t->slow, next);
    for (int why = 0; why < TD_DROPS; why++)
        next = due(&t->drops[why], next);
    return next;
}

void td_advise_end(struct td_engine *e, struct td_group *g)
{
    struct td_trouble *t = g->trouble;

    if (!t)
        return;
    t->slow.next_ms = e->now_ms;
    for (int why = 0; why < TD_DROPS; why++)
        t->drops[why].next_ms = e->now_ms;
    tell_all(e, t);
}

int64_t td_advise_tick(struct td_engine *e)
{
    struct td_trouble *after;
    int64_t next = TD_NEVER;

    for (struct td_trouble *t = e->news; t; t = after) {
        int64_t later = tell_all(e, t);

        after = t->news_next; /* telling may have added some */
        if (later == TD_NEVER) {
            DL_DELETE2(e->news, t, news_prev, news_next);
            t->newsworthy = false;
        }
        if (later < next)
            next = later;
    }
    return next;
}
