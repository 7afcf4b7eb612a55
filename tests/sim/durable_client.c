/* A client's process: the real td_client and a link. */
#include "tests/sim/durable_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READ_MAX 16 /* messages a turn */

/* ---- the session's port ---- */

static tidings_err port_open(void *ctx)
{
    struct dur_client *client = ctx;
    struct dur *d = client->d;
    bool reachable = d->broker.engine && d->broker.loaded;

    if (!reachable && sim_chance(&d->random, 500))
        return TIDINGS_EUNREACH;
    client->link = dur_link_new(d, client);
    if (reachable)
        return TIDINGS_OK;
    client->link->up.hole = client->link->down.hole = true;
    client->link->tell_client_ms = d->now_ms + sim_between(&d->random, 1, 50);
    return TIDINGS_OK;
}

static void port_close(void *ctx)
{
    struct dur_client *client = ctx;

    if (client->link)
        dur_link_close(client->d, client->link, client->c.closed);
    client->link = NULL;
}

static bool port_send(void *ctx, const void *control, size_t len,
                      struct td_body *body)
{
    struct dur_client *client = ctx;

    dur_send(client->d, &client->link->up, body ? 2 : 1, control, len, body);
    return true;
}

static void port_confirmed(void *ctx, struct td_confirmed *confirmed)
{
    struct dur_client *client = ctx;

    confirmed->next = NULL;
    LL_APPEND(client->confirmed, confirmed);
}

static void port_gap(void *ctx, struct td_csub *csub, const struct td_gap *gap)
{
    struct dur_client *client = ctx;
    struct dur_sub *sub = dur_sub_of(client, csub);

    if (sub)
        dur_skipped(client, sub, gap->events);
    dur_say(client->d, "client %u: %s", client->index, gap->text);
}

static void port_lost(void *ctx, struct td_csub *csub, uint64_t last)
{
    dur_fetch_lost(ctx, csub, last);
}

static void port_status(void *ctx, enum tidings_status_kind kind,
                        tidings_err err, const char *text, struct td_csub *csub,
                        uint64_t count)
{
    struct dur_client *client = ctx;

    (void)csub;
    (void)count;
    if (kind == TIDINGS_DOWN)
        dur_say(client->d, "client %u is down: %s, %s", client->index,
                tidings_err_name(err), text);
}

/* ---- life ---- */

void dur_client_start(struct dur *d, struct dur_client *client)
{
    uint32_t index = d->producers_len++;
    struct dur_producer *p = &d->producers[index];
    struct td_client_options options = {
        .name = client->name,
        .source = "/sim",
        .unconfirmed_events = 500,
        .unconfirmed_bytes = 1u << 20,
        .seed = sim_next(&d->random),
        .port = {.ctx = client,
                 .open = port_open,
                 .close = port_close,
                 .send = port_send,
                 .gap = port_gap,
                 .lost = port_lost,
                 .confirmed = port_confirmed,
                 .status = port_status},
    };

    for (size_t i = 0; i < sizeof(p->id); i++)
        options.producer[i] = (uint8_t)sim_next(&d->random);
    client->producer = index;
    dur_named_start(client, &options);
    memcpy(p->id, options.producer, sizeof(p->id));
    td_client_init(&client->c, &options, d->now_ms);
    client->up = true;
    client->restart_ms = DUR_NEVER;
    client->wake_ms = client->act_ms = d->now_ms;
    dur_say(d, "client %u starts, producer %u", client->index, index);
}

void dur_client_end(struct dur_client *client, bool clean)
{
    struct dur *d = client->d;

    if (!client->up)
        return;
    dur_say(d, "client %u %s", client->index, clean ? "closes" : "crashes");
    if (clean)
        td_client_close(&client->c);
    else
        port_close(client);
    if (client->index == 0 && d->asking) {
        free(d->question.result);
        d->asking = false;
    }
    dur_drop_work(client);
    while (client->confirmed) {
        struct td_confirmed *next = client->confirmed->next;

        free(client->confirmed);
        client->confirmed = next;
    }
    td_client_fini(&client->c);
    memset(client->subs, 0, sizeof(client->subs));
    client->link = NULL;
    client->up = false;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t dur_client_next_ms(const struct dur_client *client)
{
    int64_t next = client->wake_ms;

    if (!client->up)
        return client->restart_ms;
    if (client->link) {
        next = least(next, sim_pipe_next_ms(&client->link->down));
        next = least(next, client->link->tell_client_ms);
    }
    next = least(next, dur_fetch_ms(client));
    return least(least(next, client->act_ms), dur_work_ms(client));
}

/* ---- a turn ---- */

static void receive(struct dur_client *client, struct sim_message *m)
{
    struct dur *d = client->d;
    struct td_client *c = &client->c;
    struct td_deliveries all;
    struct td_delivery one;
    tidings_err err =
        td_client_message(c, m->control, m->len, m->body, d->now_ms, &all);

    while (!err && !(err = td_client_next(c, &all, &one)) && one.sub)
        dur_take(client, &one);
    DUR_CHECK(d, !err, "client %u says that the broker broke the protocol: %s",
              client->index, c->last_text);
    sim_message_free(m);
}

static void receive_all(struct dur_client *client)
{
    int64_t now = client->d->now_ms;

    for (int n = 0; n < READ_MAX && client->link; n++) {
        struct sim_message *m = sim_pipe_get(&client->link->down, now);

        if (!m)
            break;
        receive(client, m);
    }
    if (client->link && client->link->tell_client_ms <= now) {
        client->link->tell_client_ms = DUR_NEVER;
        td_client_lost(&client->c, TIDINGS_EUNREACH, "link is gone", now);
    }
}

static void act(struct dur_client *client)
{
    struct dur *d = client->d;

    if (client->index == 0)
        dur_operator_act(client);
    if (d->ready && !d->healing && client->publishes) {
        if (sim_chance(&d->random, d->config.laters))
            dur_publish_later(client);
        else
            dur_publish(client);
    }
    if (d->ready)
        dur_member_act(client);
    dur_fetch_act(client);
    client->act_ms =
        d->now_ms + 1 + sim_between(&d->random, 0, d->config.act_ms);
    if (d->healing)
        client->act_ms = d->now_ms + 500;
}

/* A part of what is sent again was answered. */
static void see_rest(const struct dur_client *client)
{
    const struct td_outgoing *out = client->c.publisher.head;

    for (; out; out = out->next) {
        if (out->was_sent && td_outgoing_events(out) < out->events)
            dur_seen(client->d, DUR_SEEN_REST);
    }
}

void dur_client_run(struct dur_client *client)
{
    struct dur *d = client->d;
    uint64_t resent = client->c.resent;

    if (!client->up) {
        dur_client_start(d, client);
        return;
    }
    td_client_tick(&client->c, d->now_ms);
    receive_all(client);
    if (client->c.resent > resent)
        see_rest(client);
    dur_named_run(client);
    if (!client->up)
        return;
    dur_confirmed(client);
    dur_fetch(client);
    dur_handle(client);
    if (client->act_ms <= d->now_ms)
        act(client);
    client->wake_ms = td_client_tick(&client->c, d->now_ms);
    DUR_CHECK(d, client->wake_ms > d->now_ms,
              "client %u wants to be called again and again", client->index);
}

const char *dur_client_waits(struct dur_client *client)
{
    if (!client->up)
        return "a client to start";
    if (client->c.state != TD_CLIENT_READY)
        return "a client to be greeted";
    if (td_client_unconfirmed(&client->c) > 0)
        return "events to be confirmed";
    if (client->work)
        return "a handler";
    if (dur_reader_waits(client))
        return "a reader to be told what it has missed";
    if (client->index == 0 && client->d->asking)
        return "an operator's answer";
    return NULL;
}
