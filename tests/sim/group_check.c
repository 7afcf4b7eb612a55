/* Groups at the end of each turn: turns are even; what could be dealt is; and
 * what has gone to nobody still waits, or was dropped and told. */
#include "tests/sim/world.h"

static uint64_t sum_of(const uint64_t counts[TD_DROPS])
{
    uint64_t sum = 0;

    for (int i = 0; i < TD_DROPS; i++)
        sum += counts[i];
    return sum;
}

/* Far from the end of its credit. */
static bool has_plenty(const struct td_sub *sub)
{
    const struct td_session *s = sub->session;

    return !s->away && s->messages_out - s->messages_seen < 32 &&
           sub->events_limit - sub->sent - sub->own.events >
               sub->window_events / 2 &&
           sub->bytes_limit - sub->sent_bytes - sub->own.data >
               sub->window_bytes / 2;
}

/* While all have credit, no two have got more than one more since then. */
static void check_turns(struct sim *sim, struct sim_egroup *eg,
                        const struct td_group *g)
{
    uint64_t dropped = sum_of(g->ledger.dropped);
    bool fresh =
        eg->rr_fresh || dropped != eg->rr_dropped || sim->config.starved;
    uint64_t low = UINT64_MAX;
    uint64_t high = 0;
    bool plenty = true;

    for (const struct td_sub *m = g->members; m; m = m->group_next)
        plenty = plenty && has_plenty(m);
    for (const struct td_sub *m = g->members; m; m = m->group_next) {
        struct sim_esub *sub =
            sim_esub_find(sim, m->session->number, m->number);
        uint64_t dealt = m->sent + m->own.events;

        if (!sub)
            return;
        if (fresh || !plenty)
            sub->rr_base = dealt;
        dealt -= sub->rr_base;
        low = dealt < low ? dealt : low;
        high = dealt > high ? dealt : high;
    }
    SIM_CHECK(sim, high - low <= 1,
              "in turn, and a member got %llu events, another %llu",
              (unsigned long long)high, (unsigned long long)low);
    if (g->members_len > 1 && high > 1)
        sim_seen(sim, SIM_SEEN_ROUND_ROBIN);
    eg->rr_fresh = !plenty;
    eg->rr_dropped = dropped;
}

/* Whether the next event, which may be a large one, fits in its credit. */
static bool has_room(const struct td_sub *sub, const struct td_queue *queue)
{
    struct td_piece front;
    struct td_piece rest;

    return has_plenty(sub) &&
           td_piece_cut(td_queue_front(queue), 1,
                        sub->bytes_limit - sub->sent_bytes - sub->own.data,
                        UINT32_MAX, &front, &rest);
}

/* What waits for the group waits for a member's credit. */
static void check_dealt(struct sim *sim, const struct td_group *g)
{
    if (g->queue.len == 0 ||
        (g->named->ready && sim->broker.wake_ms <= sim->now_ms + 20))
        return;
    for (const struct td_sub *m = g->members; m; m = m->group_next)
        SIM_CHECK(sim,
                  !has_room(m, &g->queue) || sim->config.starved ||
                      (g->share == TD_SINGLE && m != g->named->turn),
                  "%llu events wait for a group, and a member has credit",
                  (unsigned long long)g->queue.events);
}

/* Policy single: never do two have events that may be at work on them. */
static void check_single(struct sim *sim, const struct td_group *g)
{
    uint32_t busy = 0;

    for (const struct td_sub *m = g->members; m; m = m->group_next)
        busy += td_sub_in_flight(m) + m->own.events > 0;
    SIM_CHECK(sim, busy <= 1, "%u members of a group for one have events",
              busy);
}

static void check_group(struct sim *sim, struct sim_egroup *eg,
                        const struct td_group *g)
{
    uint64_t dropped = sum_of(g->ledger.dropped);
    uint64_t untold = sum_of(g->gap);

    SIM_CHECK(sim, g->members_len == eg->members, "%u members, expected %u",
              g->members_len, eg->members);
    SIM_CHECK(
        sim, g->ledger.matched == eg->matched, "matched %llu, expected %llu",
        (unsigned long long)g->ledger.matched, (unsigned long long)eg->matched);
    SIM_CHECK(sim,
              dropped == eg->lost + eg->gap_told + untold ||
                  (sim->config.starved &&
                   dropped >= eg->lost + eg->gap_told + untold),
              "dropped %llu; with members %llu, told %llu, to be told %llu",
              (unsigned long long)dropped, (unsigned long long)eg->lost,
              (unsigned long long)eg->gap_told, (unsigned long long)untold);
    SIM_CHECK(sim,
              eg->waiting == td_group_waiting(g) + dropped - eg->lost ||
                  sim->config.starved,
              "%llu have gone to nobody; %llu wait, %llu were dropped",
              (unsigned long long)eg->waiting,
              (unsigned long long)td_group_waiting(g),
              (unsigned long long)(dropped - eg->lost));
    sim_bound_check(sim, &eg->bound, g, eg->matched);
    check_dealt(sim, g);
    if (g->share == TD_BY_KEY)
        sim_egroup_let_go(sim, eg);
    if (g->share == TD_SINGLE)
        check_single(sim, g);
    if (g->share == TD_ROUND_ROBIN)
        check_turns(sim, eg, g);
}

void sim_egroups_check(struct sim *sim)
{
    uint32_t n = 0;

    for (struct td_named *named = sim->broker.engine->named; named;
         named = named->hh.next) {
        struct td_group *g = named->group;
        struct sim_egroup *eg = sim_egroup_find(sim, g);

        n++;
        SIM_CHECK(sim, eg, "a group that nobody asked for");
        if (eg)
            check_group(sim, eg, g);
    }
    SIM_CHECK(sim, n == sim->broker.engine->groups_len,
              "groups are miscounted");
}
