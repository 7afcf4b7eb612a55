/* What a group is owed: every event goes to at most one member, keys stay with
 * one member as long as it holds them, turns are even; and what has gone to
 * nobody still waits, or was dropped and told. */
#include "tests/sim/world.h"

#include <stdlib.h>
#include <string.h>

/* ---- members ---- */

static struct sim_egroup *find(struct sim *sim, const struct td_group *from)
{
    struct td_str name = td_group_name(from);
    struct sim_egroup *g;

    DL_FOREACH(sim->model.groups, g)
    {
        if (strcmp(g->pattern, from->text) == 0 && td_str_is(name, g->name))
            return g;
    }
    return NULL;
}

static struct sim_egroup *group_new(struct sim *sim,
                                    const struct td_group *from)
{
    struct sim_egroup *g = calloc(1, sizeof(*g));
    struct td_str name = td_group_name(from);

    SIM_CHECK(sim, g, "out of memory");
    if (!g)
        return NULL;
    g->share = from->share;
    g->pattern_len = from->pattern_len;
    memcpy(g->pattern, from->text, from->pattern_len);
    memcpy(g->name, name.data, name.len);
    DL_APPEND(sim->model.groups, g);
    return g;
}

struct sim_egroup *sim_egroup_join(struct sim *sim, const struct td_group *from)
{
    struct sim_egroup *g = find(sim, from);

    if (!g)
        g = group_new(sim, from);
    if (!g)
        return NULL;
    g->members++;
    g->rr_fresh = true;
    return g;
}

static void event_free(struct sim_egroup *g, struct sim_gevent *event)
{
    if (!event->holder)
        g->waiting--;
    else if (!event->loose)
        g->keys[event->partition].held--;
    HASH_DELETE(hh, g->events, event);
    free(event);
}

static void group_free(struct sim *sim, struct sim_egroup *g)
{
    struct sim_gevent *event;
    struct sim_gevent *next;

    HASH_ITER(hh, g->events, event, next)
    {
        event_free(g, event);
    }
    DL_DELETE(sim->model.groups, g);
    free(g->added);
    free(g);
}

static struct sim_gevent *event_of(const struct sim_egroup *g, uint64_t key)
{
    struct sim_gevent *event;

    HASH_FIND(hh, g->events, &key, sizeof(key), event);
    return event;
}

static void lose(struct sim_egroup *g, const struct sim_esub *sub)
{
    for (uint64_t i = sub->delivered; i < sub->sent; i++) {
        struct sim_gevent *event = event_of(g, sub->log[i].key);

        if (!event)
            continue;
        event_free(g, event);
        g->lost++;
    }
}

void sim_egroup_leave(struct sim *sim, struct sim_esub *sub)
{
    struct sim_egroup *g = sub->group;

    if (sub->sent > sub->delivered && g->members > 1)
        sim_seen(sim, SIM_SEEN_MEMBER_LOST);
    lose(g, sub);
    g->rr_fresh = true;
    /* The others are dealt what it had, in more and smaller pieces, each of
     * which counts as if it kept the tables of the whole. */
    g->bound.came_back = g->bound.came_back || g->share == TD_BY_KEY;
    if (--g->members == 0)
        group_free(sim, g);
}

/* ---- events ---- */

static uint8_t partition_of(const struct sim *sim, uint32_t producer,
                            uint64_t sequence)
{
    const struct sim_producer *p = &sim->producers[producer];

    return p->evil || sequence > p->log_len ? 0
                                            : p->log[sequence - 1].partition;
}

static bool note_added(struct sim_egroup *g, uint64_t key)
{
    if (g->added_len == g->added_cap) {
        uint64_t cap = g->added_cap ? g->added_cap * 2 : 64;
        uint64_t *added = realloc(g->added, cap * sizeof(*added));

        if (!added)
            return false;
        g->added = added;
        g->added_cap = cap;
    }
    g->added[g->added_len++] = key;
    return true;
}

void sim_egroup_owe(struct sim *sim, struct sim_egroup *g, uint32_t producer,
                    uint64_t sequence)
{
    struct sim_gevent *event = calloc(1, sizeof(*event));

    SIM_CHECK(sim, event, "out of memory");
    if (!event)
        return;
    event->key = sim_event_key(producer, sequence);
    event->partition = partition_of(sim, producer, sequence);
    HASH_ADD(hh, g->events, key, sizeof(event->key), event);
    SIM_CHECK(sim, !event->hh_failed && note_added(g, event->key),
              "out of memory");
    g->waiting++;
    g->matched++;
}

void sim_egroup_take_back(struct sim *sim, struct sim_egroup *g)
{
    for (uint64_t i = 0; i < g->added_len; i++) {
        struct sim_gevent *event = event_of(g, g->added[i]);

        SIM_CHECK(sim, event && !event->holder,
                  "an event of a refused message is dealt");
        if (event)
            event_free(g, event);
        g->matched--;
    }
    g->added_len = 0;
}

static unsigned long long sequence_of(uint64_t key)
{
    return key & ((UINT64_C(1) << 40) - 1);
}

static const struct td_sub *real_of(const struct sim *sim,
                                    const struct sim_esub *sub)
{
    struct td_session *s;

    HASH_FIND(hh, sim->broker.engine->sessions, &sub->session,
              sizeof(sub->session), s);
    return s ? td_sub_find(s, sub->number) : NULL;
}

/* Members that are away keep their keys only while the group is within its
 * bound. */
static void let_go(struct sim *sim, struct sim_egroup *g)
{
    struct sim_esub *sub;

    DL_FOREACH(sim->model.subs, sub)
    {
        const struct td_sub *real = sub->group == g ? real_of(sim, sub) : NULL;

        for (uint64_t i = sub->delivered;
             real && i < real->loose && i < sub->sent; i++) {
            struct sim_gevent *event = event_of(g, sub->log[i].key);

            if (!event || event->loose || event->holder != sub)
                continue;
            event->loose = true;
            g->keys[event->partition].held--;
        }
    }
}

/* A key's events stay in order, and with one member while it holds any. */
static void check_key(struct sim *sim, struct sim_esub *sub,
                      const struct sim_gevent *event)
{
    struct sim_egroup *g = sub->group;
    uint8_t k = event->partition;
    uint64_t *last = &g->last[event->key >> 40][k];
    const struct sim_esub *holder = g->keys[k].holder;

    if (holder != sub)
        let_go(sim, g);
    SIM_CHECK(sim, g->keys[k].held == 0 || holder == sub,
              "key %u goes to link %u subscription %llu, and another member "
              "holds %llu events of it",
              k, sub->link->number, (unsigned long long)sub->number,
              (unsigned long long)g->keys[k].held);
    SIM_CHECK(sim, *last < sequence_of(event->key) || event->stray,
              "key %u: %llu of a producer after %llu", k,
              sequence_of(event->key), (unsigned long long)*last);
    if (g->keys[k].held > 0)
        sim_seen(sim, SIM_SEEN_KEYED);
    else if (holder && holder != sub)
        sim_seen(sim, SIM_SEEN_KEY_MOVED);
    if (*last < sequence_of(event->key))
        *last = sequence_of(event->key);
}

void sim_egroup_sent(struct sim *sim, struct sim_esub *sub, uint64_t key)
{
    struct sim_egroup *g = sub->group;
    struct sim_gevent *event = event_of(g, key);

    SIM_CHECK(sim, event,
              "link %u subscription %llu of a group gets what it is not owed: "
              "producer %u, %llu",
              sub->link->number, (unsigned long long)sub->number,
              (unsigned)(key >> 40), sequence_of(key));
    SIM_CHECK(sim, !event || !event->holder,
              "producer %u, %llu goes to two members", (unsigned)(key >> 40),
              sequence_of(key));
    if (!event || event->holder)
        return;
    if (g->share == TD_BY_KEY && event->partition > 0 && !sim->config.starved)
        check_key(sim, sub, event);
    event->holder = sub;
    event->stray = false;
    g->waiting--;
    g->keys[event->partition].holder = sub;
    g->keys[event->partition].held++;
    if (g->members > 1)
        sim_seen(sim, SIM_SEEN_GROUPED);
}

void sim_egroup_unsent(struct sim *sim, struct sim_esub *sub, uint64_t key)
{
    struct sim_egroup *g = sub->group;
    struct sim_gevent *event = event_of(g, key);

    SIM_CHECK(sim, event && event->holder == sub, "what was not sent is again");
    if (!event || !event->holder)
        return;
    event->holder = NULL;
    g->waiting++;
    event->stray = event->loose;
    event->loose = false;
    if (event->stray)
        return;
    g->keys[event->partition].held--;
    g->last[key >> 40][event->partition] = sequence_of(key) - 1;
}

void sim_egroup_taken(struct sim_esub *sub, uint64_t taken)
{
    for (uint64_t i = sub->delivered; sub->group && i < taken && i < sub->sent;
         i++) {
        struct sim_gevent *event = event_of(sub->group, sub->log[i].key);

        if (event)
            event_free(sub->group, event);
    }
}

/* ---- at the end of a turn ---- */

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
        SIM_CHECK(sim, !has_room(m, &g->queue) || sim->config.starved,
                  "%llu events wait for a group, and a member has credit",
                  (unsigned long long)g->queue.events);
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
        let_go(sim, eg);
    if (g->share == TD_ROUND_ROBIN)
        check_turns(sim, eg, g);
}

void sim_egroups_check(struct sim *sim)
{
    uint32_t n = 0;

    for (struct td_named *named = sim->broker.engine->named; named;
         named = named->hh.next) {
        struct td_group *g = named->group;
        struct sim_egroup *eg = find(sim, g);

        n++;
        SIM_CHECK(sim, eg, "a group that nobody asked for");
        if (eg)
            check_group(sim, eg, g);
    }
    SIM_CHECK(sim, n == sim->broker.engine->groups_len,
              "groups are miscounted");
}
