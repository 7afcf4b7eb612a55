/* A client's process: the real td_client, a link, a handler that takes its
 * time, and somebody who publishes, subscribes and asks at random. */
#include "tests/sim/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the session's port ---- */

static tidings_err open_link(struct sim *sim, struct sim_client *client)
{
    struct sim_random *r = &sim->random;
    bool reachable = sim->broker.engine &&
                     sim->broker.stop_by_ms == SIM_NEVER &&
                     sim->now_ms >= client->cut_off_until_ms;

    if (!reachable && sim_chance(r, 200))
        return TIDINGS_EUNREACH;
    client->link = sim_link_new(sim, client, client->evil);
    if (!client->link)
        return TIDINGS_ENOMEM;
    if (client->c.resumable && sim_chance(r, sim->config.relapses)) {
        client->link->client_may_complain = true;
        client->link->tell_client_ms = sim->now_ms + sim_between(r, 0, 80);
    }
    if (!reachable) {
        client->link->up.hole = client->link->down.hole = true;
        client->link->client_may_complain = true;
        if (sim_chance(r, 600))
            client->link->tell_client_ms = sim->now_ms + sim_between(r, 0, 50);
    }
    return TIDINGS_OK;
}

static tidings_err port_open(void *ctx)
{
    struct sim_client *client = ctx;
    struct sim *sim = client->sim;
    bool was_starving = sim_feed(sim);
    tidings_err err = open_link(sim, client);

    sim_starve_again(sim, was_starving);
    return err;
}

static void port_close(void *ctx)
{
    struct sim_client *client = ctx;

    sim_link_close(client->sim, client->link, client->c.closed);
    client->link = NULL;
}

static void count_out(struct sim *sim, struct sim_link *link,
                      const void *control, size_t len,
                      const struct td_body *body)
{
    struct td_frame f;
    const char *why;
    uint32_t events;
    uint32_t bytes;

    if (td_frame_decode(&f, control, len, true, &why)) {
        SIM_CHECK(sim, false, "a client sends a bad frame: %s", why);
        return;
    }
    if (f.op != TD_PUBLISH)
        return;
    SIM_CHECK(sim,
              td_batches_sum(f.u.publish.batches, &events, &bytes) &&
                  bytes == body->len,
              "a client sends bad batches");
    link->events_out += events;
    link->bytes_out += bytes;
    SIM_CHECK(sim,
              link->events_out <= link->events_limit &&
                  link->bytes_out <= link->bytes_limit,
              "published %llu events, %llu bytes; credit for %llu, %llu",
              (unsigned long long)link->events_out,
              (unsigned long long)link->bytes_out,
              (unsigned long long)link->events_limit,
              (unsigned long long)link->bytes_limit);
}

static bool carry(struct sim *sim, struct sim_client *client,
                  const void *control, size_t len, struct td_body *body)
{
    struct sim_link *link = client->link;

    if (link->tell_client_ms != SIM_NEVER && sim_chance(&sim->random, 300))
        return false;
    count_out(sim, link, control, len, body);
    if (client->evil && !sim->healing)
        sim_evil_send(sim, link, control, len, body);
    else
        sim_send(sim, &link->up, body ? 2 : 1, control, len, body);
    return true;
}

static bool port_send(void *ctx, const void *control, size_t len,
                      struct td_body *body)
{
    struct sim_client *client = ctx;
    bool was_starving = sim_feed(client->sim);
    bool sent = carry(client->sim, client, control, len, body);

    sim_starve_again(client->sim, was_starving);
    return sent;
}

struct sim_sub *sim_sub_of(struct sim_client *client,
                           const struct td_csub *csub)
{
    for (uint32_t i = 0; i < SIM_SUBS_MAX; i++) {
        if (client->subs[i].csub == csub)
            return &client->subs[i];
    }
    return NULL;
}

void sim_sub_session(struct sim_client *client, struct sim_sub *sub)
{
    if (sub->session == client->c.incarnation)
        return;
    sub->session = client->c.incarnation;
    sub->received = sub->gaps = 0;
    memset(sub->last, 0, sizeof(sub->last));
}

static void went_down(struct sim_client *client, tidings_err err,
                      const char *text)
{
    struct sim *sim = client->sim;

    /* The link is closed already: what was on it is in all_links. */
    sim_say(sim, "client %u is down: %s, %s", client->index,
            tidings_err_name(err), text);
    if (strcmp(text, "the broker is silent") == 0)
        sim_seen(sim, SIM_SEEN_CLIENT_SILENCE);
}

static void port_status(void *ctx, enum tidings_status_kind kind,
                        tidings_err err, const char *text, struct td_csub *csub,
                        uint64_t count)
{
    struct sim_client *client = ctx;
    struct sim *sim = client->sim;
    struct sim_sub *sub = csub ? sim_sub_of(client, csub) : NULL;

    switch (kind) {
    case TIDINGS_UP:
        sim_say(sim, "client %u is up, link %u", client->index,
                client->link->number);
        if (client->epoch && client->epoch != client->c.epoch)
            client->epochs++;
        client->epoch = client->c.epoch;
        break;
    case TIDINGS_DOWN:
        went_down(client, err, text);
        break;
    case TIDINGS_NEW_SESSION:
        client->anew_told++;
        break;
    case TIDINGS_NEW_EPOCH:
        client->anew_told++;
        client->epochs_told++;
        sim_seen(sim, SIM_SEEN_NEW_EPOCH);
        break;
    case TIDINGS_GAP:
        client->missed += count;
        SIM_CHECK(sim, sub, "GAP of a subscription that is not there");
        if (sub) {
            sim_sub_session(client, sub);
            sub->gaps += count;
        }
        break;
    default:
        break;
    }
}

/* ---- life ---- */

void sim_client_start(struct sim *sim, struct sim_client *client)
{
    struct sim_producer *p = sim_producer_add(sim, client->evil);
    struct td_client_options options = {
        .name = client->name,
        .source = client->source,
        .unconfirmed_events = sim->config.unconfirmed_events,
        .unconfirmed_bytes = sim->config.unconfirmed_bytes,
        .seed = sim_next(&sim->random),
        .port = {.ctx = client,
                 .open = port_open,
                 .close = port_close,
                 .send = port_send,
                 .status = port_status},
    };

    client->producer = (uint32_t)(p - sim->producers);
    memcpy(options.producer, p->id, sizeof(options.producer));
    td_client_init(&client->c, &options, sim->now_ms);
    client->up = true;
    client->restart_ms = SIM_NEVER;
    client->wake_ms = client->act_ms = client->ran_ms = sim->now_ms;
    client->work_tail = &client->work;
    client->epoch = client->epochs = client->epochs_told = 0;
    client->anew_told = 0;
    client->missed = 0;
    client->asking = false;
    sim_say(sim, "client %u starts, producer %u%s", client->index,
            client->producer, client->evil ? " (evil)" : "");
}

void sim_client_crash(struct sim_client *client, bool clean)
{
    struct sim *sim = client->sim;

    if (!client->up)
        return;
    sim_say(sim, "client %u %s", client->index, clean ? "closes" : "crashes");
    if (clean)
        td_client_close(&client->c);
    else if (client->link)
        port_close(client);
    if (client->asking)
        free(client->question.result);
    sim_drop_work(client);
    td_client_fini(&client->c);
    for (uint32_t i = 0; i < SIM_SUBS_MAX; i++)
        td_seen_fini(&client->subs[i].seen);
    memset(client->subs, 0, sizeof(client->subs));
    client->link = NULL;
    client->up = false;
    client->restart_ms = SIM_NEVER;
}

void sim_client_lost(struct sim_client *client)
{
    struct sim *sim = client->sim;

    client->link->tell_client_ms = SIM_NEVER;
    if (client->c.state == TD_CLIENT_GREETING && client->c.resuming)
        sim_seen(sim, SIM_SEEN_RELAPSED);
    td_client_lost(&client->c, TIDINGS_EUNREACH, "link is gone", sim->now_ms);
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t sim_client_next_ms(const struct sim_client *client)
{
    int64_t next = client->wake_ms;

    if (!client->up)
        return client->restart_ms;
    if (client->link) {
        next = earlier(next, sim_pipe_next_ms(&client->link->down));
        next = earlier(next, client->link->tell_client_ms);
    }
    if (client->work)
        next = earlier(next, client->handler_ms);
    next = earlier(next, client->act_ms);
    return next < client->paused_until_ms ? client->paused_until_ms : next;
}

/* ---- a turn ---- */

static void forget_ended(struct sim_client *client)
{
    for (uint32_t i = 0; i < SIM_SUBS_MAX; i++) {
        struct sim_sub *sub = &client->subs[i];

        if (!sub->csub || (sub->csub->state != TD_CSUB_ENDED &&
                           sub->csub->state != TD_CSUB_REFUSED))
            continue;
        if (sub->csub->state == TD_CSUB_REFUSED)
            sim_seen(client->sim, *sub->csub->group ? SIM_SEEN_JOIN_REFUSED
                                                    : SIM_SEEN_REFUSED);
        td_client_forget(&client->c, sub->csub);
        td_seen_fini(&sub->seen);
        sub->csub = NULL;
    }
}

/* What is packed leaves at once, or somebody will say when. */
static bool could_send(const struct td_client *c)
{
    const struct td_outgoing *next = c->publisher.unsent;

    if (c->state != TD_CLIENT_READY || c->broken)
        return false;
    if (next)
        return c->events_out + next->events <= c->events_limit &&
               c->bytes_out + next->bytes <= c->bytes_limit;
    return c->packer.closed || (c->packer.events > 0 && !c->asked);
}

static void check_client(struct sim_client *client)
{
    struct sim *sim = client->sim;
    const struct td_publisher *p = &client->c.publisher;
    const struct sim_producer *known = &sim->producers[client->producer];
    uint64_t held = td_client_unconfirmed(&client->c);

    if (client->evil)
        return;
    SIM_CHECK(sim, p->taken <= known->taken_ever,
              "client %u takes %llu for taken, %llu are", client->index,
              (unsigned long long)p->taken,
              (unsigned long long)known->taken_ever);
    SIM_CHECK(sim, held == client->c.packer.sequence - p->taken,
              "client %u holds %llu events of %llu to %llu", client->index,
              (unsigned long long)held, (unsigned long long)p->taken + 1,
              (unsigned long long)client->c.packer.sequence);
    SIM_CHECK(sim, held <= client->c.options.unconfirmed_events,
              "client %u holds %llu events", client->index,
              (unsigned long long)held);
    SIM_CHECK(sim, client->epochs == client->epochs_told,
              "client %u was not told of an epoch", client->index);
    SIM_CHECK(sim,
              client->c.incarnation == 0 ||
                  client->c.incarnation == client->anew_told + 1,
              "client %u was not told of a session that is not resumed",
              client->index);
    SIM_CHECK(sim, client->missed == client->c.missed, "GAPs are miscounted");
    SIM_CHECK(sim, sim->config.starved || !could_send(&client->c),
              "client %u waits for nothing and does not send", client->index);
    if (client->c.state == TD_CLIENT_READY && p->unsent) {
        const struct td_session *s = sim->broker.engine && client->link
                                         ? sim_broker_session(sim, client->link)
                                         : NULL;

        sim_seen(sim, SIM_SEEN_OUT_OF_CREDIT);
        if (s && s->held)
            sim_seen(sim, SIM_SEEN_HOLD_DRAINED);
    }
}

void sim_client_run(struct sim_client *client)
{
    struct sim *sim = client->sim;
    bool greeting;

    if (!client->up) {
        sim_client_start(sim, client);
        return;
    }
    client->ran_ms = sim->now_ms;
    greeting = client->c.state == TD_CLIENT_GREETING;
    sim_starve(sim);
    td_client_tick(&client->c, sim->now_ms);
    sim_feed(sim);
    if (greeting && client->c.state == TD_CLIENT_DOWN)
        sim_seen(sim, SIM_SEEN_NO_WELCOME);
    sim_receive(client);
    sim_handle(client);
    sim_read_answer(client);
    forget_ended(client);
    if (!sim->healing && client->act_ms <= sim->now_ms)
        sim_act(client);
    if (sim->healing)
        client->act_ms = SIM_NEVER;
    client->wake_ms = td_client_tick(&client->c, sim->now_ms);
    check_client(client);
    SIM_CHECK(sim, client->wake_ms > sim->now_ms,
              "client %u wants to be called again and again", client->index);
}
