/* What a group is owed: every event goes to at most one member, and keys stay
 * with one member as long as it holds them. */
#include "tests/sim/world.h"

#include <stdlib.h>
#include <string.h>

/* ---- members ---- */

struct sim_egroup *sim_egroup_find(struct sim *sim, const struct td_group *from)
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
    struct sim_egroup *g = sim_egroup_find(sim, from);

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
void sim_egroup_let_go(struct sim *sim, struct sim_egroup *g)
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
            sim_seen(sim, SIM_SEEN_LET_GO);
            event->loose = true;
            g->keys[event->partition].held--;
        }
    }
}

/* A key's events stay in order, and with one member while it holds any. */
static void check_key(struct sim *sim, struct sim_esub *sub,
                      struct sim_gevent *event)
{
    struct sim_egroup *g = sub->group;
    uint8_t k = event->partition;
    uint64_t *last = &g->last[event->key >> 40][k];
    bool late = *last >= sequence_of(event->key);
    const struct sim_esub *holder = g->keys[k].holder;

    if (holder != sub)
        sim_egroup_let_go(sim, g);
    SIM_CHECK(sim, g->keys[k].held == 0 || holder == sub,
              "key %u goes to link %u subscription %llu, and another member "
              "holds %llu events of it",
              k, sub->link->number, (unsigned long long)sub->number,
              (unsigned long long)g->keys[k].held);
    SIM_CHECK(sim, !late || event->stray,
              "key %u: %llu of a producer after %llu", k,
              sequence_of(event->key), (unsigned long long)*last);
    if (g->keys[k].held > 0)
        sim_seen(sim, SIM_SEEN_KEYED);
    else if (holder && holder != sub)
        sim_seen(sim, SIM_SEEN_KEY_MOVED);
    event->stray = late; /* and so it is whenever it is sent again */
    if (late)
        sim_seen(sim, SIM_SEEN_STRAY);
    else
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
    if (!event->loose)
        g->keys[event->partition].held--;
    event->stray = event->stray || event->loose;
    event->loose = false;
    if (!event->stray)
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
