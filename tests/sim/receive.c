/* What a client receives: checked event by event, and handed to a handler
 * that takes its time. */
#include "tests/sim/world.h"

#include "proto/type.h"

#include <stdlib.h>
#include <string.h>

#define READ_MAX 64 /* messages a turn, as the bus */

/* ---- receiving ---- */

/* The broker's own events say at least which session they are about. */
static void check_advisory(struct sim *sim, const struct td_run *run,
                           const uint8_t *at, const uint8_t *end)
{
    struct td_event event;
    uint64_t session = 0;

    if (run->type.data[0] != '$')
        return;
    SIM_CHECK(sim,
              td_event_open(&event, &at, end) &&
                  td_map_uint(event.data, "session", &session) && session > 0,
              "%.*s names no session", (int)run->type.len, run->type.data);
}

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
              "type %.*s does not match %s", (int)run->type.len, run->type.data,
              sub->csub->pattern);
    check_advisory(sim, run, *at, end);
    for (uint64_t i = 0; i < run->count && !sim->failed; i++) {
        uint64_t sequence = run->first + i;

        SIM_CHECK(
            sim,
            sequence > sub->last[index] || p->forgotten || *sub->csub->group,
            "client %u subscription %u: producer %u, %llu after %llu",
            client->index, sub->csub->number, index,
            (unsigned long long)sequence, (unsigned long long)sub->last[index]);
        SIM_CHECK(sim, sim_event_is(sim, p, batch, run, sequence, at, end),
                  "client %u: producer %u, %llu is not what was published",
                  client->index, index, (unsigned long long)sequence);
        sub->last[index] = sequence;
    }
    sub->received += run->count;
    sim->result->delivered += run->count;
}

/* A broker that was restarted may deliver again; without a group, nothing
 * comes to a handler twice. */
static void check_seen(struct sim_client *client, struct sim_sub *sub,
                       const struct td_batch *batch, const struct td_run *run)
{
    struct sim *sim = client->sim;
    uint32_t index = sim_producer_index(sim, batch->producer);
    const struct sim_producer *p = &sim->producers[index];
    uint64_t again =
        td_seen_before(&sub->seen, (const uint8_t *)batch->producer.data,
                       run->first, run->count);

    SIM_CHECK(sim, again == 0 || client->epochs > 0 || p->forgotten || p->evil,
              "client %u: %llu events of producer %u come again from the same "
              "broker",
              client->index, (unsigned long long)again, index);
    if (again > 0)
        sim_seen(sim, SIM_SEEN_AGAIN);
    if (again == run->count)
        return;
    SIM_CHECK(sim, run->first + again > sub->handled[index],
              "client %u: producer %u, %llu is handled after %llu",
              client->index, index, (unsigned long long)(run->first + again),
              (unsigned long long)sub->handled[index]);
    sub->handled[index] = run->first + run->count - 1;
}

static void check_delivery(struct sim_client *client, struct sim_sub *sub,
                           const struct td_delivery *d)
{
    struct sim *sim = client->sim;
    struct td_batches *b = &sim->batches;
    const uint8_t *at = (const uint8_t *)d->body.data;
    const uint8_t *end = at + d->body.len;
    const char *why;

    if (td_batches_decode(b, d->batches, at, d->body.len, &why)) {
        SIM_CHECK(sim, false, "delivery is malformed: %s", why);
        return;
    }
    sim_sub_session(client, sub);
    SIM_CHECK(sim, d->tag == sub->received + 1, "tag %llu after %llu events",
              (unsigned long long)d->tag, (unsigned long long)sub->received);
    for (uint32_t i = 0; i < b->len; i++) {
        const struct td_batch *batch = &b->batch[i];

        for (uint32_t n = 0; n < batch->runs_len; n++) {
            check_run(sim, client, sub, batch, &batch->runs[n], &at, end);
            if (!*sub->csub->group)
                check_seen(client, sub, batch, &batch->runs[n]);
        }
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
    w->session = client->c.incarnation;
    w->events = d->events;
    w->body = td_body_ref(body);
    w->p = (const uint8_t *)d->body.data;
    w->end = w->p + d->body.len;
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
        sim_say(sim, "link %u: BYE %.*s", link->number, (int)f.u.bye.text.len,
                f.u.bye.text.data);
}

static tidings_err next(struct sim_client *client, struct td_deliveries *all,
                        struct td_delivery *d)
{
    tidings_err err;

    sim_starve(client->sim);
    err = td_client_next(&client->c, all, d);
    sim_feed(client->sim);
    return err;
}

static void take(struct sim_client *client, const struct td_delivery *d,
                 struct td_body *body)
{
    struct sim *sim = client->sim;
    struct sim_sub *sub = sim_sub_of(client, d->sub);

    SIM_CHECK(sim, sub, "delivery for a subscription that is not there");
    if (sub && !client->evil)
        check_delivery(client, sub, d);
    give_work(client, d, body);
}

static void receive(struct sim_client *client, struct sim_message *m)
{
    struct sim *sim = client->sim;
    struct td_client *c = &client->c;
    uint64_t connects = c->connects;
    uint64_t taken = c->publisher.taken;
    uint64_t resent = c->resent;
    struct td_deliveries all;
    struct td_delivery d;
    tidings_err err;

    note_credit(sim, client->link, m);
    sim_starve(sim);
    err = td_client_message(c, m->control, m->len, m->body, sim->now_ms, &all);
    sim_feed(sim);
    while (!err && !(err = next(client, &all, &d)) && d.sub)
        take(client, &d, m->body);
    SIM_CHECK(sim, !err || client->evil,
              "client %u says that the broker broke the protocol",
              client->index);
    if (c->connects > connects && c->publisher.taken > taken)
        sim_seen(sim, SIM_SEEN_COVERED);
    if (c->resent > resent)
        sim_seen(sim, SIM_SEEN_RESENT);
    sim_message_free(m);
}

void sim_receive(struct sim_client *client)
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

static void work_free(struct sim_work *w)
{
    td_body_unref(w->body);
    free(w);
}

void sim_drop_work(struct sim_client *client)
{
    while (client->work) {
        struct sim_work *next = client->work->next;

        work_free(client->work);
        client->work = next;
    }
    client->work_tail = &client->work;
}

static void handle_piece(struct sim_client *client)
{
    struct sim *sim = client->sim;
    struct sim_work *w = client->work;
    uint64_t n =
        client->handler_us ? 1 + sim_below(&sim->random, w->events) : w->events;
    const uint8_t *end = td_events_skip(w->p, w->end, (uint32_t)n);
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
    client->handler_ms = sim->now_ms + (int64_t)n * client->handler_us / 1000;
    w->p = end;
    w->events -= n;
    if (w->events > 0)
        return;
    client->work = w->next;
    if (!client->work)
        client->work_tail = &client->work;
    work_free(w);
}

void sim_handle(struct sim_client *client)
{
    while (client->work && client->handler_ms <= client->sim->now_ms) {
        if (client->handler_us)
            sim_seen(client->sim, SIM_SEEN_SLOW_HANDLER);
        handle_piece(client);
    }
}
