/* What a seed makes of the world: how many clients, how fast, how large, and
 * which faults. Not all of everything: a world without some of it shows what
 * the mean of all hides. */
#include "tests/sim/world.h"

#include <stdio.h>
#include <string.h>

static unsigned maybe(struct sim_random *r, unsigned per_mille, unsigned value)
{
    return sim_chance(r, per_mille) ? value : 0;
}

static const unsigned fault_weights[SIM_FAULTS] = {
#define SIM_FAULT_WEIGHT(name, function, weight) weight,
    SIM_FAULT_MAP(SIM_FAULT_WEIGHT)
#undef SIM_FAULT_WEIGHT
};

static void choose_faults(struct sim *sim)
{
    struct sim_faults *f = &sim->config.faults;
    struct sim_random *r = &sim->random;

    for (size_t i = 0; i < SIM_FAULTS; i++) {
        f->weight[i] = maybe(r, 500, fault_weights[i]);
        f->total += f->weight[i];
    }
    f->every_ms = sim_between(r, 300, 6000);
    sim->config.relapses = maybe(r, 300, 400);
}

static void choose_flow(struct sim *sim)
{
    struct sim_config *cf = &sim->config;
    struct sim_random *r = &sim->random;

    cf->delay_min_ms = maybe(r, 300, 20);
    cf->delay_max_ms = cf->delay_min_ms + sim_between(r, 1, 30);
    cf->turn_ms = maybe(r, 400, 20);
    cf->turn_messages =
        sim_chance(r, 300) ? 1 + (uint32_t)sim_below(r, 10) : 64;
    cf->act_ms = sim_between(r, 30, 500);
    cf->burst_max = 1 + (uint32_t)sim_below(r, sim_chance(r, 100) ? 200 : 30);
    cf->small_weight = 1000;
    cf->medium_weight = maybe(r, 300, 30);
    cf->large_weight = maybe(r, 150, 10);
    cf->largest_weight = maybe(r, 40, 2);
    cf->types = 1 + (uint32_t)sim_below(r, SIM_TYPES);
    cf->unconfirmed_events =
        sim_chance(r, 300) ? 20 + sim_below(r, 300) : TD_UNCONFIRMED_EVENTS;
    cf->unconfirmed_bytes = TD_UNCONFIRMED_BYTES;
}

static void choose_groups(struct sim *sim)
{
    struct sim_config *cf = &sim->config;
    struct sim_random *r = &sim->random;

    cf->grouped = maybe(r, 600, (unsigned)sim_below(r, 1000));
    cf->keyed = maybe(r, 600, (unsigned)sim_below(r, 1000));
    for (uint32_t i = 0; i < SIM_GROUPS; i++) {
        cf->groups[i].share =
            (enum tidings_group_policy)sim_below(r, TD_SHARES);
        cf->groups[i].policy =
            sim_chance(r, 600) ? TIDINGS_BLOCK
                               : (enum tidings_policy)sim_below(r, TD_POLICIES);
        cf->groups[i].queue_events =
            sim_chance(r, 300) ? 1 + sim_below(r, 200) : 0;
    }
}

static void choose_subs(struct sim *sim)
{
    struct sim_config *cf = &sim->config;
    struct sim_random *r = &sim->random;

    cf->subs_max = 1 + (uint32_t)sim_below(r, 5);
    cf->tiny_window = maybe(r, 500, (unsigned)sim_below(r, 1000));
    cf->tiny_queue = maybe(r, 600, (unsigned)sim_below(r, 1000));
    cf->wide = (unsigned)sim_below(r, 600);
    cf->churn = maybe(r, 500, (unsigned)sim_below(r, 100));
    cf->refused = maybe(r, 100, 100);
    cf->drops = maybe(r, 500, (unsigned)sim_below(r, 1000));
    cf->advised = maybe(r, 250, 150);
    choose_groups(sim);
    cf->slow_handlers = maybe(r, 600, (unsigned)sim_below(r, 1000));
    cf->handler_us = sim_between(r, 100, 50000);
}

/* So many events or bytes that credit runs out while it is withheld. */
static void make_flood(struct sim *sim)
{
    struct sim_config *cf = &sim->config;
    bool large = sim_chance(&sim->random, 700);

    cf->large_weight = large ? 3000 : 0;
    cf->burst_max = large ? 20 : 3000;
    cf->act_ms = large ? 200 : 30;
    cf->faulty_ms = 4000;
    cf->tiny_queue = 1000;
    cf->tiny_window = 800;
    cf->slow_handlers = 900;
    cf->unconfirmed_events = TD_UNCONFIRMED_EVENTS;
}

static void without(struct sim_faults *f, enum sim_fault fault)
{
    f->total -= f->weight[fault];
    f->weight[fault] = 0;
}

/* One client stays away for longer than its producer is remembered. */
static void make_absence(struct sim *sim)
{
    struct sim_config *cf = &sim->config;
    struct sim_faults *f = &cf->faults;

    cf->absence = true;
    cf->grouped = 0; /* what is forgotten comes twice */
    cf->clients = 2;
    cf->evils = 0;
    cf->raw_evil = false;
    cf->faulty_ms = TD_GRACE_MS + TD_PRODUCER_KEEP_MS + 40000;
    cf->act_ms = 10000;
    cf->burst_max = 20;
    f->every_ms = 60000;
    without(f, SIM_FAULT_BROKER_CRASH);
    without(f, SIM_FAULT_BROKER_STOP);
    without(f, SIM_FAULT_CLIENT_CRASH);
    without(f, SIM_FAULT_CLIENT_CLOSE);
}

static void make_hoarder(struct sim *sim)
{
    struct sim_config *cf = &sim->config;

    cf->hoarder = true;
    cf->tiny_queue = cf->tiny_window = 1000;
    cf->wide = 900;
    cf->slow_handlers = 1000;
    cf->handler_us = 30000;
}

/* A message may be taken in part then, which the model cannot foretell; so
 * each holds one batch. */
static void make_starved(struct sim *sim)
{
    sim->config.starved = true;
    sim->config.advised = 0; /* whether there was memory for one, who knows */
    sim->config.evils = 0;
    sim->config.raw_evil = false;
}

/* Groups by key run full while their members go away and come back. */
static void make_truants(struct sim *sim)
{
    struct sim_config *cf = &sim->config;
    struct sim_faults *f = &cf->faults;

    cf->clients = 3 + (uint32_t)sim_below(&sim->random, 3);
    cf->grouped = cf->wide = 900;
    cf->keyed = 900;
    cf->tiny_window = 500;
    for (uint32_t i = 0; i < SIM_GROUPS; i++) {
        cf->groups[i].share = TIDINGS_BY_KEY;
        cf->groups[i].queue_events = 20 + sim_below(&sim->random, 200);
    }
    memset(f->weight, 0, sizeof(f->weight));
    f->weight[SIM_FAULT_BOTH] = f->weight[SIM_FAULT_BROKER_ONLY] = 1;
    f->weight[SIM_FAULT_CUT_OFF] = 4;
    f->weight[SIM_FAULT_SILENT] = f->weight[SIM_FAULT_CLIENT_PAUSE] = 2;
    f->total = 10;
    f->every_ms = 1500;
}

/* Nearly everything is dropped, fast, and somebody stands still meanwhile. */
static void make_storm(struct sim *sim)
{
    struct sim_config *cf = &sim->config;
    struct sim_faults *f = &cf->faults;

    cf->memory_bytes = 100;
    cf->act_ms = 5;
    cf->burst_max = 2;
    cf->faulty_ms = 5000;
    cf->wide = 900;
    memset(f->weight, 0, sizeof(f->weight));
    f->weight[SIM_FAULT_CLIENT_PAUSE] = f->total = 1;
    f->every_ms = 1500;
}

void sim_choose(struct sim *sim)
{
    struct sim_config *cf = &sim->config;
    struct sim_random *r = &sim->random;

    cf->clients = 1 + (uint32_t)sim_below(r, SIM_CLIENTS_MAX);
    cf->evils = sim_chance(r, 250) ? 1 + (uint32_t)sim_below(r, SIM_EVILS) : 0;
    cf->raw_evil = sim_chance(r, 200);
    cf->faulty_ms = sim_between(r, 2000, 20000);
    cf->memory_bytes = sim_chance(r, 200) ? (size_t)sim_between(r, 3000, 200000)
                                          : TD_MEMORY_BYTES;
    choose_flow(sim);
    choose_subs(sim);
    choose_faults(sim);
    if (sim_chance(r, 80))
        make_starved(sim);
    else if (sim_chance(r, 20))
        make_storm(sim);
    else if (sim_chance(r, 40))
        make_flood(sim);
    else if (sim_chance(r, 60))
        make_hoarder(sim);
    else if (sim_chance(r, 25))
        make_absence(sim);
    else if (sim_chance(r, 30))
        make_truants(sim);
}

void sim_client_make(struct sim *sim, uint32_t index)
{
    struct sim_client *client = &sim->clients[index];
    struct sim_random *r = &sim->random;

    client->sim = sim;
    client->index = index;
    client->evil = index >= sim->config.clients;
    client->publishes = index == 0 || sim_chance(r, 700);
    client->handler_us =
        maybe(r, sim->config.slow_handlers, (unsigned)sim->config.handler_us);
    snprintf(client->name, sizeof(client->name), "client-%u", index);
    snprintf(client->source, sizeof(client->source), "/sim/%u", index);
    client->restart_ms = sim_between(r, 0, 200);
    client->work_tail = &client->work;
}
