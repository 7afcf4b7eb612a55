/* What a seed makes of the world. */
#include "tests/sim/services_world.h"

#include <stdio.h>

static void choose_faults(struct svc *w)
{
    static const unsigned weights[SVC_FAULTS] = {
#define SVC_FAULT_WEIGHT(name, function, weight) weight,
        SVC_FAULT_MAP(SVC_FAULT_WEIGHT)
#undef SVC_FAULT_WEIGHT
    };
    struct sim_random *r = &w->random;
    struct svc_config *cf = &w->config;

    cf->every_ms = sim_chance(r, 100) ? 0 : sim_between(r, 60, 1500);
    for (int i = 0; i < SVC_FAULTS; i++) {
        cf->weight[i] = sim_chance(r, 550) ? weights[i] : 0;
        cf->total += cf->weight[i];
    }
    if (cf->total == 0)
        cf->every_ms = 0;
}

static void choose_requests(struct svc *w)
{
    struct sim_random *r = &w->random;
    struct svc_config *cf = &w->config;

    cf->act_ms =
        sim_chance(r, 100) ? sim_between(r, 3, 20) : sim_between(r, 20, 300);
    cf->burst_max = sim_chance(r, 200) ? 12 : 3;
    cf->work_ms = sim_chance(r, 500) ? 4 : sim_between(r, 5, 150);
    cf->fails = sim_chance(r, 500) ? 0 : (unsigned)sim_between(r, 10, 400);
    cf->many = sim_chance(r, 400) ? 0 : (unsigned)sim_between(r, 20, 300);
    cf->several = sim_chance(r, 600) ? 0 : (unsigned)sim_between(r, 20, 300);
    cf->picky = sim_chance(r, 500) ? 0 : (unsigned)sim_between(r, 50, 500);
    cf->again = (unsigned)sim_between(r, 0, 1000);
    cf->hasty = sim_chance(r, 400) ? 0 : (unsigned)sim_between(r, 50, 700);
    cf->large = sim_chance(r, 700) ? 0 : 100;
    cf->calls_too = sim_chance(r, 300);
}

static void choose_instances(struct svc *w)
{
    struct sim_random *r = &w->random;
    struct svc_config *cf = &w->config;

    cf->max_in_flight = sim_chance(r, 700) ? 0 : (unsigned)sim_between(r, 1, 6);
    cf->health_ms = sim_chance(r, 300)   ? -1
                    : sim_chance(r, 500) ? 0
                                         : (int)sim_between(r, 100, 2000);
    cf->failures = sim_chance(r, 300)   ? -1
                   : sim_chance(r, 500) ? 0
                                        : (int)sim_between(r, 1, 8);
    cf->recovery_ms = (int)sim_between(r, 50, 3000);
    cf->balance = sim_chance(r, 600)
                      ? TIDINGS_BALANCE_DEFAULT
                      : (enum tidings_balance)(1 + sim_below(r, 5));
    cf->forgets = sim_chance(r, 150);
    cf->cramped = sim_chance(r, 400);
    cf->operating = sim_chance(r, 400) ? 0 : 300;
    cf->weighs = sim_chance(r, 400);
}

/* Requests come quickly, and nothing keeps them from whoever stands still. */
static void choose_flood(struct svc *w)
{
    struct svc_config *cf = &w->config;

    if (!sim_chance(&w->random, 40))
        return;
    cf->rate_percent = cf->failures = cf->health_ms = -1;
    cf->max_in_flight = 0;
    cf->act_ms = 15;
    cf->total += 30;
    cf->weight[SVC_FAULT_PAUSE] += 30;
    cf->every_ms = 1000;
}

static void make_client(struct svc *w, uint32_t index)
{
    struct svc_client *client = &w->clients[index];
    const struct svc_config *cf = &w->config;

    client->w = w;
    client->index = index;
    client->operates = index == 0;
    client->serves = index > 0 && index <= cf->servers;
    client->calls = index > cf->servers || (client->serves && cf->calls_too);
    client->watches = index == 0 || sim_chance(&w->random, 350);
    client->lost_ms = client->paused_ms = -1;
    snprintf(client->name, sizeof(client->name), "c%u", index);
    client->restart_ms = sim_between(&w->random, 0, 300);
}

void svc_choose(struct svc *w)
{
    struct sim_random *r = &w->random;
    struct svc_config *cf = &w->config;

    cf->services = 1 + (uint32_t)sim_below(r, SVC_SERVICES);
    cf->servers = 1 + (uint32_t)sim_below(r, 6);
    cf->callers = 1 + (uint32_t)sim_below(r, 4);
    cf->faulty_ms = sim_between(r, 3000, 20000);
    cf->delay_max_ms = sim_chance(r, 200) ? 0 : sim_between(r, 1, 30);
    cf->turn_ms = sim_chance(r, 300) ? 0 : sim_between(r, 1, 8);
    choose_faults(w);
    choose_requests(w);
    choose_instances(w);
    choose_flood(w);
    w->clients_len = 1 + cf->servers + cf->callers;
    for (uint32_t i = 0; i < w->clients_len; i++)
        make_client(w, i);
}
