/* A client's process: the real td_client, a link, a handler that takes its
 * time, and somebody who publishes, subscribes and asks at random. */
#include "tests/sim/world.h"

#include "proto/type.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READ_MAX 64 /* messages a turn, as the bus */

/* ---- the session's port ---- */

static tidings_err open_link(struct sim *sim, struct sim_client *client)
{
    struct sim_random *r = &sim->random;    bool reachable = sim->broker.engine &&
                     sim->broker.stop_by_ms == SIM_NEVER &&
                     sim->now_ms >= client->cut_off_until_ms;

    if (!reachable && sim_chance(r, 200))
        return TIDINGS_EUNREACH;
    client->link = sim_link_new(sim, client, client->evil);
    if (!client->link)
        return TIDINGS_ENOMEM;
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

    if (td_frame_decode(&f, control, len, true, &why)) {
        SIM_CHECK(sim, false, "a client sends a bad frame: %s", why);
        return;
    }
    if (f.op != TD_PUBLISH)
        return;
    link->events_out += td_batches_events(f.u.publish.batches);
    link->bytes_out += body->len;
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
        sim_pipe_put(sim, &link->up, body ? 2 : 1, control, len, body);
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

static struct sim_sub *sub_of(struct sim_client *client,
                              const struct td_csub *csub)
{
    for (uint32_t i = 0; i < SIM_SUBS_MAX; i++) {
        if (client->subs[i].csub == csub)
            return &client->subs[i];
    }
    return NULL;
}

/* What is counted in a session begins anew in the next. */
static void sub_session(struct sim_client *client, struct sim_sub *sub)
{
    if (sub->session == client->c.connects)
        return;
    sub->session = client->c.connects;
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
                        tidings_err err, const char *text,
                        struct td_csub *csub, uint64_t count)
{
    struct sim_client *client = ctx;
    struct sim *sim = client->sim;
    struct sim_sub *sub = csub ? sub_of(client, csub) : NULL;

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
    case TIDINGS_NEW_EPOCH:
        client->epochs_told++;
        sim_seen(sim, SIM_SEEN_NEW_EPOCH);
        break;
    case TIDINGS_GAP:
        client->missed += count;
        SIM_CHECK(sim, sub, "GAP of a subscription that is not there");
        if (sub) {
            sub_session(client, sub);
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
    client->missed = 0;
    client->asking = false;
    sim_say(sim, "client %u starts, producer %u%s", client->index,
            client->producer, client->evil ? " (evil)" : "");
}

static void work_free(struct sim_work *w)
{
    td_body_unref(w->body);
    free(w);
}

static void drop_work(struct sim_client *client)
{
    while (client->work) {
        struct sim_work *next = client->work->next;

        work_free(client->work);
        client->work = next;
    }
    client->work_tail = &client->work;
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
    drop_work(client);
    td_client_fini(&client->c);
    memset(client->subs, 0, sizeof(client->subs));
    client->link = NULL;
    client->up = false;
    client->restart_ms = SIM_NEVER;
}

void sim_client_lost(struct sim_client *client)
{
    struct sim *sim = client->sim;

    client->link->tell_client_ms = SIM_NEVER;
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

/* ---- receiving ---- */

static void check_run(struct sim *sim, struct sim_client *client,
                      struct sim_sub *sub, const struct td_batch *batch,
                      const struct td_run *run, const uint8_t **at,
                      const uint8_t *end)
{
    uint32_t index = sim_producer_index(sim, batch->producer);
    const struct sim_producer *p = &sim->producers[index];

    SIM_CHECK(sim,
              td_pattern_match(sub->csub->pattern, sub->csub->pattern_len,
                               run->type.data, run->type.len),
              "type %.*s does not match %s", (int)run->type.len,
              run->type.data, sub->csub->pattern);
    for (uint64_t i = 0; i < run->count && !sim->failed; i++) {
        uint64_t sequence = run->first + i;

        SIM_CHECK(sim, sequence > sub->last[index] || p->forgotten,
                  "client %u subscription %u: producer %u, %llu after %llu",
                  client->index, sub->csub->number, index,
                  (unsigned long long)sequence,
                  (unsigned long long)sub->last[index]);
        SIM_CHECK(sim, sim_event_is(sim, p, batch, run, sequence, at, end),
                  "client %u: producer %u, %llu is not what was published",
                  client->index, index, (unsigned long long)sequence);
        sub->last[index] = sequence;
    }
    sub->received += run->count;
    sim->result->delivered += run->count;
}

static void check_delivery(struct sim_client *client, struct sim_sub *sub,
                           const struct td_delivery *d,
                           const struct td_body *body)
{
    struct sim *sim = client->sim;
    struct td_batches *b = &sim->batches;
    const uint8_t *at = body->data;
    const char *why;

    if (td_batches_decode(b, d->batches, body->data, body->len, &why)) {
        SIM_CHECK(sim, false, "delivery is malformed: %s", why);
        return;
    }
    sub_session(client, sub);
    SIM_CHECK(sim, d->tag == sub->received + 1, "tag %llu after %llu events",
              (unsigned long long)d->tag, (unsigned long long)sub->received);
    for (uint32_t i = 0; i < b->len; i++) {
        const struct td_batch *batch = &b->batch[i];

        for (uint32_t n = 0; n < batch->runs_len; n++)
            check_run(sim, client, sub, batch, &batch->runs[n], &at,
                      body->data + body->len);
    }
}

static void give_work(struct sim_client *client, const struct td_delivery *d,
                      struct td_body *body)
{
    struct sim_work *w = calloc(1, sizeof(*w));

    if (!w) {
        SIM_CHECK(client->sim, false, "out of memory");
        return;
    }
    w->sub = d->sub->number;
    w->session = client->c.connects;
    w->events = td_batches_events(d->batches);
    w->body = td_body_ref(body);
    w->p = body->data;
    if (!client->work)
        client->handler_ms = client->sim->now_ms;
    *client->work_tail = w;
    client->work_tail = &w->next;
}

/* What the client may send from now on, before it hears of it. */
static void note_credit(struct sim *sim, struct sim_link *link,
                        const struct sim_message *m)
{
    struct td_frame f;
    const char *why;

    if (td_frame_decode(&f, m->control, m->len, false, &why))
        return; /* the model has complained */
    if (f.op == TD_WELCOME) {
        link->events_limit = f.u.welcome.events_limit;
        link->bytes_limit = f.u.welcome.bytes_limit;
    } else if (f.op == TD_TAKEN) {
        link->events_limit = f.u.taken.events_limit;
        link->bytes_limit = f.u.taken.bytes_limit;
    }
    if (f.op == TD_BYE)
        sim_say(sim, "link %u: BYE %.*s", link->number,
                (int)f.u.bye.text.len, f.u.bye.text.data);
}

static void receive(struct sim_client *client, struct sim_message *m)
{
    struct sim *sim = client->sim;
    struct td_client *c = &client->c;
    uint64_t connects = c->connects;
    uint64_t taken = c->publisher.taken;
    uint64_t resent = c->resent;
    struct td_delivery d;
    tidings_err err;

    note_credit(sim, client->link, m);
    sim_starve(sim);
    err = td_client_message(c, m->control, m->len, m->body, sim->now_ms, &d);
    sim_feed(sim);
    SIM_CHECK(sim, !err || client->evil,
              "client %u says that the broker broke the protocol",
              client->index);
    if (c->connects > connects && c->publisher.taken > taken)
        sim_seen(sim, SIM_SEEN_COVERED);
    if (c->resent > resent)
        sim_seen(sim, SIM_SEEN_RESENT);
    if (!err && d.sub) {
        struct sim_sub *sub = sub_of(client, d.sub);

        SIM_CHECK(sim, sub, "delivery for a subscription that is not there");
        if (sub && !client->evil)
            check_delivery(client, sub, &d, m->body);
        give_work(client, &d, m->body);
    }
    sim_message_free(m);
}

static void receive_all(struct sim_client *client)
{
    int64_t now = client->sim->now_ms;

    for (int n = 0; n < READ_MAX && client->link; n++) {
        struct sim_message *m = sim_pipe_get(&client->link->down, now);

        if (!m)
            break;
        receive(client, m);
    }
    if (client->link && client->link->tell_client_ms <= now)
        sim_client_lost(client);
}

/* ---- handling ---- */

static void handle_piece(struct sim_client *client)
{
    struct sim *sim = client->sim;
    struct sim_work *w = client->work;
    uint64_t n = client->handler_us ? 1 + sim_below(&sim->random, w->events)
                                    : w->events;
    const uint8_t *end = td_events_skip(w->p, w->body->data + w->body->len,
                                        (uint32_t)n);
    struct td_csub *csub;

    if (!end) { /* an evil producer's events need not be well formed inside,
                   but their prefixes are checked by the broker */
        SIM_CHECK(sim, false, "events end before their body");
        return;
    }
    DL_FOREACH(client->c.subs, csub)
    {
        if (csub->number == w->sub)
            break;
    }
    sim_starve(sim);
    if (csub)
        td_client_handled(&client->c, csub, w->session, n,
                          (uint64_t)(end - w->p));
    sim_feed(sim);
    client->handler_ms =
        sim->now_ms + (int64_t)n * client->handler_us / 1000;
    w->p = end;
    w->events -= n;
    if (w->events > 0)
        return;
    client->work = w->next;
    if (!client->work)
        client->work_tail = &client->work;
    work_free(w);
}

static void handle(struct sim_client *client)
{
    while (client->work && client->handler_ms <= client->sim->now_ms) {
        if (client->handler_us)
            sim_seen(client->sim, SIM_SEEN_SLOW_HANDLER);
        handle_piece(client);
    }
}

/* ---- acting ---- */

static const char *const patterns[] = {
    ">",        "user.*",  "user.>",     "order.*.*", "a.>",
    "a.*",      "*.b",     "*.*.c",      "*.*",       "*",
    "b.b.b",    "x.y.z",   "order.>",    "z.>",       "*.*.*.>",
    "a.b.c.d",  "a.*.c.>", "c.1.2.3.*.5.6.8", "user.created", "*.created",
};

static const char *random_pattern(struct sim *sim)
{
    uint64_t n = sizeof(patterns) / sizeof(patterns[0]);

    if (sim_chance(&sim->random, sim->config.wide))
        return patterns[0];
    return patterns[sim_below(&sim->random, n)];
}

static void subscribe(struct sim_client *client)
{
    struct sim *sim = client->sim;
    const struct sim_config *cf = &sim->config;
    struct sim_random *r = &sim->random;
    struct tidings_sub_options options = {0};
    struct sim_sub *sub = sub_of(client, NULL);

    if (!sub)
        return;
    if (sim_chance(r, cf->tiny_window)) {
        options.window_events = 1 + sim_below(r, 30);
        options.window_bytes = TD_EVENT_BYTES_MAX;
    }
    if (sim_chance(r, cf->tiny_queue)) {
        options.queue_events = 1 + sim_below(r, 200);
        options.queue_bytes = sim_chance(r, 300) ? 1 + sim_below(r, 20000)
                                                 : 0;
    }
    if (sim_chance(r, cf->refused))
        options.queue_events = TD_QUEUE_EVENTS_MAX + 1;
    memset(sub, 0, sizeof(*sub));
    SIM_CHECK(sim,
              !td_client_subscribe(&client->c, &sub->csub,
                                   random_pattern(sim), &options),
              "no subscription could be made");
}

static void unsubscribe(struct sim_client *client)
{
    struct sim_sub *sub =
        &client->subs[sim_below(&client->sim->random, SIM_SUBS_MAX)];

    if (sub->csub && sub->csub->state != TD_CSUB_ENDING &&
        sub->csub->state != TD_CSUB_ENDED)
        td_client_unsubscribe(&client->c, sub->csub);
}

static uint32_t subs_len(const struct sim_client *client)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < SIM_SUBS_MAX; i++)
        n += client->subs[i].csub != NULL;
    return n;
}

static void publish(struct sim_client *client)
{
    struct sim *sim = client->sim;
    uint64_t n = 1 + sim_below(&sim->random, sim->config.burst_max);

    while (n-- > 0 && !sim->failed) {
        tidings_err err = sim_publish(sim, &client->c,
                                      &sim->producers[client->producer]);

        if (err == TIDINGS_EFULL)
            sim_seen(sim, SIM_SEEN_FULL);
        SIM_CHECK(sim,
                  !err || err == TIDINGS_EFULL ||
                      (err == TIDINGS_ENOMEM && sim->config.starved),
                  "publish: %s", tidings_err_text(err));
        if (err)
            break;
    }
}

static void ask(struct sim_client *client, enum td_op op)
{
    if (client->asking)
        return;
    client->asking = true;
    client->asked_in = client->c.connects;
    td_client_question(&client->c, &client->question, op);
}

static void act(struct sim_client *client)
{
    struct sim *sim = client->sim;
    const struct sim_config *cf = &sim->config;
    struct sim_random *r = &sim->random;
    uint32_t want = cf->hoarder && client->index == 0 ? SIM_SUBS_MAX
                                                      : cf->subs_max;

    client->act_ms = sim->now_ms + 1 + sim_between(r, 0, 2 * cf->act_ms);
    if (client->publishes)
        publish(client);
    if (subs_len(client) < want && sim_chance(r, 500))
        subscribe(client);
    else if (sim_chance(r, cf->churn))
        unsubscribe(client);
    if (sim_chance(r, 100))
        td_client_ask(&client->c);
    if (sim_chance(r, 30))
        ask(client, sim_chance(r, 500) ? TD_STATS : TD_PING);
}

/* ---- answers ---- */

static uint64_t number(struct sim *sim, struct td_str map, const char *key)
{
    struct td_str raw;
    uint64_t value = 0;

    SIM_CHECK(sim, td_map_find(map, key, &raw) && td_map_uint(map, key, &value),
              "STATS has no %s", key);
    return value;
}

static uint64_t dropped_in(struct sim *sim, struct td_str map)
{
    struct td_str dropped;
    uint64_t sum = 0;

    if (!td_map_find(map, "dropped", &dropped)) {
        SIM_CHECK(sim, false, "STATS has no dropped");
        return 0;
    }
    for (int i = 0; i < TD_DROPS; i++)
        sum += number(sim, dropped, td_drop_names[i]);
    return sum;
}

static void check_ledger(struct sim *sim, struct td_str map)
{
    SIM_CHECK(sim,
              number(sim, map, "matched") ==
                  number(sim, map, "delivered") + number(sim, map, "pending") +
                      dropped_in(sim, map),
              "STATS does not balance");
}

static void check_stats(struct sim *sim, const struct td_question *q)
{
    struct td_str map = {q->result, q->result_len};
    struct td_str rows;
    struct td_reader r;
    uint32_t n = 0;

    SIM_CHECK(sim, !q->code, "STATS: %s", tidings_err_text(q->code));
    SIM_CHECK(sim,
              number(sim, map, "published") ==
                  number(sim, map, "duplicates") + number(sim, map, "routed") +
                      number(sim, map, "unmatched"),
              "published of STATS does not balance");
    check_ledger(sim, map);
    SIM_CHECK(sim, td_map_find(map, "subscriptions", &rows),
              "STATS has no subscriptions");
    if (sim->failed)
        return;
    r = td_reader_of(rows.data, rows.len);
    td_read_array(&r, &n);
    SIM_CHECK(sim, n == number(sim, map, "subscriptions_total"),
              "%u rows of STATS", n);
    while (n-- > 0) {
        struct td_str row;

        if (td_read_raw(&r, &row))
            check_ledger(sim, row);
    }
    sim_seen(sim, SIM_SEEN_STATS);
}

static void read_answer(struct sim_client *client)
{
    struct td_question *q = &client->question;

    if (!client->asking || !q->done)
        return;
    if (q->op == TD_STATS && !client->evil &&
        !(q->code == TIDINGS_ENOMEM && client->sim->config.starved))
        check_stats(client->sim, q);
    if (client->c.connects > client->asked_in + 1)
        sim_seen(client->sim, SIM_SEEN_ASKED_AGAIN);
    td_client_withdraw(&client->c, q);
    free(q->result);
    client->asking = false;
}

static void forget_ended(struct sim_client *client)
{
    for (uint32_t i = 0; i < SIM_SUBS_MAX; i++) {
        struct sim_sub *sub = &client->subs[i];

        if (!sub->csub || (sub->csub->state != TD_CSUB_ENDED &&
                           sub->csub->state != TD_CSUB_REFUSED))
            continue;
        if (sub->csub->state == TD_CSUB_REFUSED)
            sim_seen(client->sim, SIM_SEEN_REFUSED);
        td_client_forget(&client->c, sub->csub);
        sub->csub = NULL;
    }
}

/* ---- a turn ---- */

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
    SIM_CHECK(sim, client->missed == client->c.missed, "GAPs are miscounted");
    SIM_CHECK(sim, sim->config.starved || !could_send(&client->c),
              "client %u waits for nothing and does not send",
              client->index);
    if (client->c.state == TD_CLIENT_READY && p->unsent) {
        const struct td_session *s =
            sim->broker.engine && client->link
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
    receive_all(client);
    handle(client);
    read_answer(client);
    forget_ended(client);
    if (!sim->healing && client->act_ms <= sim->now_ms)
        act(client);
    if (sim->healing)
        client->act_ms = SIM_NEVER;
    client->wake_ms = td_client_tick(&client->c, sim->now_ms);
    check_client(client);
    SIM_CHECK(sim, client->wake_ms > sim->now_ms,
              "client %u wants to be called again and again", client->index);
}

/* ---- the end ---- */

const char *sim_client_waits(struct sim_client *client)
{
    if (!client->up)
        return NULL;
    if (client->c.state != TD_CLIENT_READY)
        return "a session";
    if (td_client_unconfirmed(&client->c) > 0)
        return "TAKEN";
    if (client->work)
        return "its handler";
    if (client->c.credit_ms != TD_CLIENT_NEVER)
        return "the time to send CREDIT";
    if (client->asking)
        return "an answer";
    for (uint32_t i = 0; i < SIM_SUBS_MAX; i++) {
        if (client->subs[i].csub &&
            client->subs[i].csub->state != TD_CSUB_LIVE)
            return "a subscription";
    }
    if (client->link->up.head || client->link->down.head)
        return "messages on its link";
    if (!client->sim->broker.engine ||
        !sim_broker_session(client->sim, client->link))
        return "the broker to know its session";
    return NULL;
}

static void final_sub(struct sim_client *client, struct sim_sub *sub,
                      struct td_session *s)
{
    struct sim *sim = client->sim;
    uint64_t n = sub->csub->number;
    uint64_t dropped = 0;
    struct td_sub *real;

    HASH_FIND(hh, s->subs, &n, sizeof(n), real);
    if (!real) {
        SIM_CHECK(sim, false, "client %u: the broker does not know %s",
                  client->index, sub->csub->pattern);
        return;
    }
    sub_session(client, sub);
    for (int i = 0; i < TD_DROPS; i++)
        dropped += real->ledger.dropped[i];
    SIM_CHECK(sim,
              sub->received == real->ledger.delivered &&
                  sub->gaps == dropped &&
                  sub->received + sub->gaps == real->ledger.matched,
              "client %u %s: received %llu, told of %llu missing; delivered "
              "%llu, dropped %llu, matched %llu",
              client->index, sub->csub->pattern,
              (unsigned long long)sub->received,
              (unsigned long long)sub->gaps,
              (unsigned long long)real->ledger.delivered,
              (unsigned long long)dropped,
              (unsigned long long)real->ledger.matched);
}

void sim_client_final(struct sim_client *client)
{
    struct sim *sim = client->sim;
    const struct sim_producer *p = &sim->producers[client->producer];
    struct td_session *s;

    if (!client->up)
        return;
    SIM_CHECK(sim,
              client->evil || (p->log_len == client->c.publisher.taken &&
                               p->taken_ever == p->log_len),
              "client %u published %llu, taken %llu, the broker says %llu",
              client->index, (unsigned long long)p->log_len,
              (unsigned long long)client->c.publisher.taken,
              (unsigned long long)p->taken_ever);
    s = sim_broker_session(sim, client->link);
    SIM_CHECK(sim, s, "client %u is ready without a session", client->index);
    for (uint32_t i = 0; i < SIM_SUBS_MAX && s; i++) {
        if (client->subs[i].csub)
            final_sub(client, &client->subs[i], s);
    }
}
