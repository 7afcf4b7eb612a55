/* A client's process: the real td_client, and a link. */
#include "tests/sim/services_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READ_MAX 16 /* messages a turn */

/* ---- the session's port ---- */

static tidings_err port_open(void *ctx)
{
    struct svc_client *client = ctx;
    struct svc *w = client->w;
    bool reachable = w->broker.engine != NULL;

    if (!reachable && sim_chance(&w->random, 500))
        return TIDINGS_EUNREACH;
    client->link = svc_link_new(w, client);
    if (reachable)
        return TIDINGS_OK;
    client->link->hurt = true;
    client->link->up.hole = client->link->down.hole = true;
    client->link->tell_client_ms = w->now_ms + sim_between(&w->random, 1, 50);
    return TIDINGS_OK;
}

static void port_close(void *ctx)
{
    struct svc_client *client = ctx;

    client->lost_ms = client->w->now_ms;
    if (client->link)
        svc_link_close(client->w, client->link, client->bus.client.closed);
    client->link = NULL;
}

static bool port_send(void *ctx, const void *control, size_t len,
                      struct td_body *body)
{
    struct svc_client *client = ctx;

    svc_send(client->w, &client->link->up, control, len, body);
    return true;
}

static void port_gap(void *ctx, struct td_csub *sub, const struct td_gap *gap)
{
    struct svc_client *client = ctx;

    (void)gap;
    if (sub == client->bus.discovery.sub)
        svc_watch_gap(client);
}

static void came_up(struct svc_client *client)
{
    struct svc *w = client->w;
    struct td_client *c = &client->bus.client;

    if (client->epoch && client->epoch != c->epoch)
        svc_seen(w, SVC_SEEN_NEW_EPOCH);
    if (client->epoch == c->epoch && c->connects > 1 &&
        c->incarnation < c->connects && client->serves)
        svc_seen(w, SVC_SEEN_RESUMED);
    client->epoch = c->epoch;
}

static void port_status(void *ctx, enum tidings_status_kind kind,
                        tidings_err err, const char *text, struct td_csub *sub,
                        uint64_t count)
{
    struct svc_client *client = ctx;

    (void)sub;
    (void)count;
    svc_say(client->w, "client %u: %s, %s", client->index,
            kind == TIDINGS_UP     ? "up"
            : kind == TIDINGS_DOWN ? "down"
                                   : tidings_err_name(err),
            text);
    if (kind == TIDINGS_UP)
        came_up(client);
}

/* ---- life ---- */

void svc_client_start(struct svc *w, struct svc_client *client)
{
    struct td_client_options options = {
        .name = client->name,
        .source = "/sim",
        .unconfirmed_events = 100,
        .unconfirmed_bytes = 1u << 20,
        .seed = sim_next(&w->random),
        .port = {.ctx = client,
                 .open = port_open,
                 .close = port_close,
                 .send = port_send,
                 .gap = port_gap,
                 .answered = svc_answered,
                 .status = port_status,
                 .drain = svc_instance_drained},
    };

    for (size_t i = 0; i < sizeof(options.producer); i++)
        options.producer[i] = (uint8_t)sim_next(&w->random);
    memset(&client->bus, 0, sizeof(client->bus));
    td_client_init(&client->bus.client, &options, w->now_ms);
    client->up = true;
    client->restart_ms = SVC_NEVER;
    client->paused_until_ms = 0;
    client->epoch = 0;
    client->was_true = client->told_stale = false;
    client->wake_ms = client->act_ms = w->now_ms;
    svc_say(w, "client %u starts", client->index);
    if (client->watches)
        svc_watch_start(client);
}

void svc_client_end(struct svc_client *client, bool clean)
{
    if (!client->up)
        return;
    svc_say(client->w, "client %u %s", client->index,
            clean ? "closes" : "crashes");
    if (clean)
        td_client_close(&client->bus.client);
    port_close(client);
    svc_calls_drop(client);
    if (client->operates)
        svc_operate_drop(client);
    for (uint32_t i = 0; i < SVC_INSTANCES; i++)
        svc_tasks_drop(&client->instances[i]);
    td_answers_fini(&client->answers);
    memset(&client->answers, 0, sizeof(client->answers));
    td_discovery_fini(&client->bus);
    td_client_fini(&client->bus.client);
    memset(client->instances, 0, sizeof(client->instances));
    client->up = false;
}

int64_t svc_client_next_ms(const struct svc_client *client)
{
    int64_t next = client->wake_ms;

    if (!client->up)
        return client->restart_ms;
    if (client->link) {
        next = svc_least(next, sim_pipe_next_ms(&client->link->down));
        next = svc_least(next, client->link->tell_client_ms);
    }
    next = svc_least(next, client->act_ms);
    return next < client->paused_until_ms ? client->paused_until_ms : next;
}

/* ---- a turn ---- */

static void receive(struct svc_client *client, struct sim_message *m)
{
    struct svc *w = client->w;
    struct td_client *c = &client->bus.client;
    struct td_deliveries all;
    struct td_delivery one;
    tidings_err err =
        td_client_message(c, m->control, m->len, m->body, w->now_ms, &all);

    while (!err && !(err = td_client_next(c, &all, &one)) && one.sub)
        td_discovery_take(&client->bus, &one);
    if (!err && all.tasks_left > 0)
        svc_tasks_take(client, &all);
    SVC_CHECK(w, !err, "client %u says that the broker broke the protocol: %s",
              client->index, c->last_text);
    if (client->watches)
        svc_watch(client);
    sim_message_free(m);
}

static void receive_all(struct svc_client *client)
{
    int64_t now = client->w->now_ms;

    for (int n = 0; n < READ_MAX && client->link; n++) {
        struct sim_message *m = sim_pipe_get(&client->link->down, now);

        if (!m)
            break;
        receive(client, m);
    }
    if (client->link && client->link->tell_client_ms <= now) {
        client->link->tell_client_ms = SVC_NEVER;
        td_client_lost(&client->bus.client, TIDINGS_EUNREACH, "link is gone",
                       now);
    }
}

static void act(struct svc_client *client)
{
    struct svc *w = client->w;
    uint64_t burst = 1;

    client->act_ms = SVC_NEVER;
    if (client->operates)
        svc_operate(client);
    if (w->healing)
        return;
    if (client->calls && sim_chance(&w->random, 300))
        burst = 1 + sim_below(&w->random, w->config.burst_max);
    while (client->calls && burst-- > 0)
        svc_call(client);
    if (client->calls && sim_chance(&w->random, 20))
        svc_call_withdraw(client);
    if (client->calls || client->operates)
        client->act_ms =
            w->now_ms + 1 +
            (int64_t)sim_below(&w->random, 2 * (uint64_t)w->config.act_ms);
}

/* The library asks for an instance again only when its name is taken. */
static void begin_instances(struct svc_client *client)
{
    struct svc *w = client->w;

    for (uint32_t i = 0; i < SVC_INSTANCES && client->serves; i++) {
        if (!client->instances[i].cs &&
            (i == 0 || (!w->healing && sim_chance(&w->random, 5))))
            svc_serve(client, &client->instances[i]);
    }
}

void svc_client_run(struct svc_client *client)
{
    struct svc *w = client->w;
    struct td_client *c = &client->bus.client;

    if (!client->up) {
        svc_client_start(w, client);
        return;
    }
    if (client->paused_until_ms) {
        client->paused_ms = w->now_ms;
        client->paused_until_ms = 0;
    }
    td_client_tick(c, w->now_ms);
    receive_all(client);
    begin_instances(client);
    svc_serve_run(client);
    if (client->operates)
        svc_operate_read(client);
    if (client->act_ms <= w->now_ms)
        act(client);
    svc_calls_look(client);
    td_client_send_requests(c, w->now_ms);
    if (client->watches)
        svc_watch(client);
    client->wake_ms = td_client_tick(c, w->now_ms);
    SVC_CHECK(w, client->wake_ms > w->now_ms,
              "client %u wants to be called again and again", client->index);
    client->wake_ms = svc_least(client->wake_ms, svc_calls_due_ms(client));
    for (uint32_t i = 0; i < SVC_INSTANCES; i++)
        client->wake_ms = svc_least(client->wake_ms,
                                    svc_tasks_next_ms(&client->instances[i]));
}

const char *svc_client_waits(struct svc_client *client)
{
    const struct td_client *c = &client->bus.client;

    if (!client->up)
        return "a client to start";
    if (c->state != TD_CLIENT_READY)
        return "a client to be greeted";
    if (client->requests)
        return "an answer";
    if (svc_serve_waits(client))
        return "an instance";
    if (client->operates && client->w->question.asking)
        return "an operator's answer";
    return client->watches ? svc_watch_waits(client) : NULL;
}
