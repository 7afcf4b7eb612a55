/* What goes wrong: links, processes, clocks. */
#include "tests/sim/world.h"

static struct sim_client *random_client(struct sim *sim)
{
    return &sim->clients[sim_below(&sim->random, sim->clients_len)];
}

static struct sim_link *suffer(struct sim_client *client)
{
    struct sim_link *link = client->up ? client->link : NULL;

    if (link)
        link->client_may_complain = link->broker_may_complain = true;
    return link;
}

static void fault_link(struct sim *sim, bool client_knows, bool broker_knows)
{
    struct sim_random *r = &sim->random;
    struct sim_link *link = suffer(random_client(sim));

    if (!link)
        return;
    sim_say(sim, "link %u breaks", link->number);
    sim_pipe_lose(sim, &link->up);
    sim_pipe_lose(sim, &link->down);
    link->up.hole = link->down.hole = true;
    if (client_knows)
        link->tell_client_ms = sim->now_ms + sim_between(r, 0, 50);
    if (broker_knows) {
        link->tell_broker_ms = sim->now_ms + sim_between(r, 0, 50);
        link->shut_ms = sim->now_ms + sim_between(r, 0, 50);
    }
}

static void fault_both(struct sim *sim)
{
    fault_link(sim, true, true);
}

static void fault_client_only(struct sim *sim)
{
    fault_link(sim, true, false);
}

static void fault_broker_only(struct sim *sim)
{
    fault_link(sim, false, true);
}

static void fault_silent(struct sim *sim)
{
    struct sim_random *r = &sim->random;
    struct sim_link *link = suffer(random_client(sim));

    if (!link)
        return;
    sim_say(sim, "link %u goes silent", link->number);
    if (sim_chance(r, 700)) /* what is swallowed never comes back */
        link->up.hole = true;
    if (!link->up.hole || sim_chance(r, 500))
        link->down.hole = true;
}

static void fault_stall(struct sim *sim)
{
    struct sim_random *r = &sim->random;
    struct sim_link *link = suffer(random_client(sim));
    struct sim_pipe *pipe;

    if (!link)
        return;
    pipe = sim_chance(r, 500) ? &link->up : &link->down;
    pipe->stall_ms =
        sim->now_ms + (sim_chance(r, 800) ? sim_between(r, 10, 2000)
                                          : sim_between(r, 2000, 25000));
    sim_say(sim, "link %u stalls until %lld", link->number,
            (long long)pipe->stall_ms);
}

static void fault_cut_off(struct sim *sim)
{
    struct sim_client *client = random_client(sim);

    client->cut_off_until_ms =
        sim->now_ms + (sim_chance(&sim->random, 700)
                           ? sim_between(&sim->random, 100, 12000)
                           : sim_between(&sim->random, 12000, 20000));
    fault_link(sim, true, true);
}

static void fault_shut(struct sim *sim)
{
    struct sim_link *link = suffer(random_client(sim));

    if (link)
        link->shut_ms = sim->now_ms;
}

static void fault_broker_crash(struct sim *sim)
{
    if (sim->broker.engine)
        sim_broker_crash(sim);
}

static void fault_broker_stop(struct sim *sim)
{
    if (!sim->broker.engine || sim->broker.stop_by_ms != SIM_NEVER)
        return;
    sim_say(sim, "broker drains");
    td_engine_drain(sim->broker.engine);
    sim->broker.stop_by_ms = sim->now_ms + TD_STOP_MS;
}

static void fault_broker_pause(struct sim *sim)
{
    struct sim_random *r = &sim->random;
    int64_t ms = sim_chance(r, 800)   ? sim_between(r, 10, 3000)
                 : sim_chance(r, 500) ? sim_between(r, 9000, 16000)
                                      : sim_between(r, 3000, 30000);
    struct sim_link *link;

    sim_say(sim, "broker stands still for %lld ms", (long long)ms);
    sim_broker_pause(sim, sim->now_ms + ms);
    if (ms > TD_DEAD_MS)
        sim_seen(sim, SIM_SEEN_BROKER_PAUSED);
    DL_FOREACH(sim->links, link)
    {
        if (ms >= TD_GREETING_MS / 2) /* or a greeting is too late */
            link->client_may_complain = true;
    }
}

static void fault_client_crash(struct sim *sim)
{
    struct sim_client *client = random_client(sim);

    if (!client->up)
        return;
    sim_client_crash(client, false);
    client->restart_ms = sim->now_ms + sim_between(&sim->random, 1, 3000);
}

static void fault_client_close(struct sim *sim)
{
    struct sim_client *client = random_client(sim);

    if (!client->up)
        return;
    sim_client_crash(client, true);
    client->restart_ms = sim->now_ms + sim_between(&sim->random, 1, 3000);
}

static void fault_client_pause(struct sim *sim)
{
    struct sim_random *r = &sim->random;
    struct sim_client *client = random_client(sim);
    int64_t ms = sim_chance(r, 700) ? sim_between(r, 10, 5000)
                                    : sim_between(r, 5000, 30000);

    suffer(client);
    client->paused_until_ms = sim->now_ms + ms;
    if (client->up && ms > TD_DEAD_MS + 1000)
        sim_seen(sim, SIM_SEEN_CLIENT_PAUSED);
    sim_say(sim, "client %u stands still for %lld ms", client->index,
            (long long)ms);
}

static void fault_clock(struct sim *sim)
{
    int64_t hour = INT64_C(3600) * 1000000;

    sim->wall_us += sim_between(&sim->random, -hour, hour);
    sim_say(sim, "wall clock steps");
}

static void (*const faults[SIM_FAULTS])(struct sim *sim) = {
#define SIM_FAULT_FUNCTION(name, function, weight) fault_##function,
    SIM_FAULT_MAP(SIM_FAULT_FUNCTION)
#undef SIM_FAULT_FUNCTION
};

void sim_fault(struct sim *sim)
{
    const struct sim_faults *f = &sim->config.faults;
    uint64_t pick = sim_below(&sim->random, f->total);

    sim->fault_ms =
        sim->now_ms + 1 + sim_between(&sim->random, 0, 2 * f->every_ms);
    for (size_t i = 0; i < SIM_FAULTS; i++) {
        if (pick < f->weight[i]) {
            faults[i](sim);
            return;
        }
        pick -= f->weight[i];
    }
}
