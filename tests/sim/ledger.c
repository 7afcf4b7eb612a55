/* The engine's counters: compared with the model's, and added up in the ways
 * that PROTOCOL.md 7 says they add up. */
#include "tests/sim/world.h"

#include <string.h>

static uint64_t dropped_of(const struct td_ledger *l)
{
    uint64_t sum = 0;

    for (int i = 0; i < TD_DROPS; i++)
        sum += l->dropped[i];
    return sum;
}

static bool are_equal(const struct td_ledger *a, const struct td_ledger *b)
{
    return a->matched == b->matched && a->delivered == b->delivered &&
           memcmp(a->dropped, b->dropped, sizeof(a->dropped)) == 0;
}

/* The broker's own events count as well; all of them are wanted. */
static void check_totals(struct sim *sim)
{
    const struct td_engine *e = sim->broker.engine;
    const struct td_counters *c = &e->counters;
    const struct sim_model *m = &sim->model;

    SIM_CHECK(
        sim,
        c->published == m->published + e->advised &&
            c->duplicates == m->duplicates &&
            c->routed == m->routed + e->advised && c->unmatched == m->unmatched,
        "published %llu duplicates %llu routed %llu unmatched %llu; "
        "expected %llu %llu %llu %llu and %llu advisories",
        (unsigned long long)c->published, (unsigned long long)c->duplicates,
        (unsigned long long)c->routed, (unsigned long long)c->unmatched,
        (unsigned long long)m->published, (unsigned long long)m->duplicates,
        (unsigned long long)m->routed, (unsigned long long)m->unmatched,
        (unsigned long long)e->advised);
    SIM_CHECK(sim, c->published == c->duplicates + c->routed + c->unmatched,
              "published does not balance");
}

static void check_type(struct sim *sim, const struct td_route *route)
{
    const struct td_type_count *c = &route->count;
    const struct td_str type = {route->type, route->type_len};

    SIM_CHECK(sim, c->published == c->duplicates + c->routed + c->unmatched,
              "type %.*s does not balance", (int)type.len, type.data);
    for (uint32_t i = 0; i < SIM_TYPES; i++) {
        const struct sim_count *want = &sim->model.types[i];

        if (!td_str_is(type, sim_types[i]))
            continue;
        SIM_CHECK(sim,
                  c->published == want->published &&
                      c->duplicates == want->duplicates &&
                      c->unmatched == want->unmatched,
                  "type %s: published %llu, duplicates %llu, unmatched %llu; "
                  "expected %llu, %llu, %llu",
                  sim_types[i], (unsigned long long)c->published,
                  (unsigned long long)c->duplicates,
                  (unsigned long long)c->unmatched,
                  (unsigned long long)want->published,
                  (unsigned long long)want->duplicates,
                  (unsigned long long)want->unmatched);
    }
}

static void check_types(struct sim *sim)
{
    const struct td_engine *e = sim->broker.engine;
    struct td_type_count sum = e->routes.other;
    const struct td_route *route;

    for (route = e->routes.cache; route; route = route->hh.next) {
        check_type(sim, route);
        td_type_count_add(&sum, &route->count);
    }
    SIM_CHECK(sim,
              sum.published == e->counters.published &&
                  sum.duplicates == e->counters.duplicates &&
                  sum.routed == e->counters.routed &&
                  sum.unmatched == e->counters.unmatched,
              "the types do not add up to the totals");
}

static void check_groups(struct sim *sim)
{
    const struct td_engine *e = sim->broker.engine;
    struct td_ledger sum = e->counters.gone;
    const struct td_group *g;
    uint64_t pending = 0;

    SIM_CHECK(sim, sum.matched == sum.delivered + dropped_of(&sum),
              "what has ended does not balance");
    DL_FOREACH(e->groups, g)
    {
        SIM_CHECK(sim,
                  g->ledger.matched == g->ledger.delivered +
                                           td_group_pending(g) +
                                           dropped_of(&g->ledger),
                  "%s does not balance", g->text);
        pending += td_group_pending(g);
        td_ledger_add(&sum, &g->ledger);
    }
    SIM_CHECK(sim, are_equal(&sum, &e->counters.all),
              "the groups do not add up to the totals");
    SIM_CHECK(sim, sum.matched == sum.delivered + pending + dropped_of(&sum),
              "matched does not balance");
}

void sim_ledger_check(struct sim *sim)
{
    const struct td_counters *c = &sim->broker.engine->counters;

    check_totals(sim);
    check_types(sim);
    check_groups(sim);
    if (c->gone.dropped[TD_DROP_SESSION_LOST])
        sim_seen(sim, SIM_SEEN_DROPPED_LOST);
    if (c->breaches)
        sim_seen(sim, SIM_SEEN_BREACH);
    if (c->bad_frames)
        sim_seen(sim, SIM_SEEN_BAD_FRAME);
    if (c->silent)
        sim_seen(sim, SIM_SEEN_BROKER_SILENCE);
}
