/* Clients at the end: what they still wait for, and that what they were told
 * and what the broker counted are the same. */
#include "tests/sim/world.h"

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
        if (client->subs[i].csub && client->subs[i].csub->state != TD_CSUB_LIVE)
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
    sim_sub_session(client, sub);
    if (*sub->csub->group) {
        SIM_CHECK(
            sim,
            sub->received == real->delivered && sub->gaps == real->gap_told,
            "client %u %s of a group: received %llu, told of %llu missing; "
            "delivered %llu, told %llu",
            client->index, sub->csub->pattern,
            (unsigned long long)sub->received, (unsigned long long)sub->gaps,
            (unsigned long long)real->delivered,
            (unsigned long long)real->gap_told);
        return;
    }
    for (int i = 0; i < TD_DROPS; i++)
        dropped += real->group->ledger.dropped[i];
    SIM_CHECK(sim,
              sub->received == real->group->ledger.delivered &&
                  sub->gaps == dropped &&
                  sub->received + sub->gaps == real->group->ledger.matched,
              "client %u %s: received %llu, told of %llu missing; delivered "
              "%llu, dropped %llu, matched %llu",
              client->index, sub->csub->pattern,
              (unsigned long long)sub->received, (unsigned long long)sub->gaps,
              (unsigned long long)real->group->ledger.delivered,
              (unsigned long long)dropped,
              (unsigned long long)real->group->ledger.matched);
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
