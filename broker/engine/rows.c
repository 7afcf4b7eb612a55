/* The lists of STATS, a page at a time: what there is a list of, how many of
 * them there are, and how one is written. */
#include "broker/engine/internal.h"

#include "broker/engine/pack.h"

struct td_rows {
    const char *name;
    const char *total;
    size_t (*count)(const struct td_engine *e);
    /* Walks all of them; false from visit ends the walk. */
    void (*each)(struct td_engine *e, bool (*visit)(void *ctx, void *row),
                 void *ctx);
    void (*pack)(struct td_engine *e, msgpack_packer *pk, void *row);
};

/* ---- subscriptions ---- */

static size_t subs_count(const struct td_engine *e)
{
    return e->subs_len;
}

static void subs_each(struct td_engine *e, bool (*visit)(void *ctx, void *row),
                      void *ctx)
{
    for (struct td_session *s = e->sessions; s; s = s->hh.next) {
        for (struct td_sub *sub = s->subs; sub; sub = sub->hh.next) {
            if (!visit(ctx, sub))
                return;
        }
    }
}

/* A member of a group has no ledger of its own: what it was dealt. */
static void pack_member(msgpack_packer *pk, const struct td_sub *sub)
{
    const struct td_ledger none = {0};

    td_pack_uint(pk, "matched", sub->sent + sub->own.events);
    td_pack_uint(pk, "delivered", sub->delivered);
    td_pack_uint(pk, "pending", td_sub_in_flight(sub) + sub->own.events);
    td_pack_dropped(pk, &none);
}

static void pack_ledger(msgpack_packer *pk, const struct td_group *g)
{
    td_pack_uint(pk, "matched", g->ledger.matched);
    td_pack_uint(pk, "delivered", g->ledger.delivered);
    td_pack_uint(pk, "pending", td_group_pending(g));
    td_pack_dropped(pk, &g->ledger);
}

static void subs_pack(struct td_engine *e, msgpack_packer *pk, void *row)
{
    struct td_sub *sub = row;
    struct td_group *g = sub->group;

    msgpack_pack_map(pk, 12);
    td_pack_uint(pk, "session", sub->session->number);
    td_pack_str(pk, "name", td_str_of(sub->session->name));
    td_pack_uint(pk, "subscription", sub->number);
    td_pack_str(pk, "pattern", td_group_pattern(g));
    td_pack_str(pk, "group", td_group_name(g));
    td_pack_str(pk, "stream",
                g->consumer ? g->consumer->stream->options.name : td_no_str);
    td_pack_str(pk, "policy", td_str_of(td_policy_names[g->policy]));
    if (g->name_len > 0 || g->consumer)
        pack_member(pk, sub);
    else
        pack_ledger(pk, g);
    td_pack_uint(pk, "blocked_ms", g->named ? 0 : td_group_blocked_ms(e, g));
}

/* ---- groups ---- */

static size_t groups_count(const struct td_engine *e)
{
    return e->groups_len;
}

static void groups_each(struct td_engine *e,
                        bool (*visit)(void *ctx, void *row), void *ctx)
{
    for (struct td_named *named = e->named; named; named = named->hh.next) {
        if (!visit(ctx, named->group))
            return;
    }
}

static void groups_pack(struct td_engine *e, msgpack_packer *pk, void *row)
{
    struct td_group *g = row;

    msgpack_pack_map(pk, 10);
    td_pack_str(pk, "pattern", td_group_pattern(g));
    td_pack_str(pk, "group", td_group_name(g));
    td_pack_str(pk, "group_policy", td_str_of(td_share_names[g->share]));
    td_pack_str(pk, "policy", td_str_of(td_policy_names[g->policy]));
    td_pack_uint(pk, "members", g->members_len);
    pack_ledger(pk, g);
    td_pack_uint(pk, "blocked_ms", td_group_blocked_ms(e, g));
}

/* ---- types ---- */

static size_t types_count(const struct td_engine *e)
{
    return td_routes_cached(&e->routes);
}

static void types_each(struct td_engine *e, bool (*visit)(void *ctx, void *row),
                       void *ctx)
{
    for (struct td_route *r = e->routes.cache; r; r = r->hh.next) {
        if (!visit(ctx, r))
            return;
    }
}

static void types_pack(struct td_engine *e, msgpack_packer *pk, void *row)
{
    const struct td_route *route = row;
    const struct td_str type = {route->type, route->type_len};

    (void)e;
    td_pack_type_count(pk, 1, &route->count);
    td_pack_str(pk, "type", type);
}

/* ---- sessions ---- */

static size_t sessions_count(const struct td_engine *e)
{
    return HASH_COUNT(e->sessions);
}

static void sessions_each(struct td_engine *e,
                          bool (*visit)(void *ctx, void *row), void *ctx)
{
    for (struct td_session *s = e->sessions; s; s = s->hh.next) {
        if (!visit(ctx, s))
            return;
    }
}

static uint64_t away_ms(const struct td_engine *e, const struct td_session *s)
{
    int64_t ms = e->now_ms - s->away_ms;

    return !s->away ? 0 : ms > 0 ? (uint64_t)ms : 1; /* 0: connected */
}

static void sessions_pack(struct td_engine *e, msgpack_packer *pk, void *row)
{
    struct td_session *s = row;
    uint64_t pending = 0;

    for (struct td_sub *sub = s->subs; sub; sub = sub->hh.next)
        pending += td_sub_in_flight(sub) + sub->from->events;
    td_block_left(&s->block, e->now_ms);
    msgpack_pack_map(pk, 9);
    td_pack_uint(pk, "session", s->number);
    td_pack_str(pk, "name", td_str_of(s->name));
    td_pack_uint(pk, "subscriptions", HASH_COUNT(s->subs));
    td_pack_uint(pk, "away_ms", away_ms(e, s));
    td_pack_uint(pk, "published", s->published);
    td_pack_uint(pk, "pending", pending);
    td_pack_uint(pk, "queued_bytes", td_session_queued(s));
    td_pack_uint(pk, "blocked_ms", s->block.total_ms);
    td_pack_uint(pk, "withheld_ms",
                 s->withheld_ms +
                     (s->held ? (uint64_t)(e->now_ms - s->held_ms) : 0));
}

/* ---- streams ---- */

static size_t streams_count(const struct td_engine *e)
{
    return HASH_COUNT(e->streams.all);
}

static void streams_each(struct td_engine *e,
                         bool (*visit)(void *ctx, void *row), void *ctx)
{
    for (struct td_stream *s = e->streams.all; s; s = s->hh.next) {
        if (!visit(ctx, s))
            return;
    }
}

static void streams_pack(struct td_engine *e, msgpack_packer *pk, void *row)
{
    const struct td_stream *stream = row;
    const struct td_stream_state *state = &stream->kept;

    (void)e;
    msgpack_pack_map(pk, 6);
    td_pack_str(pk, "stream", stream->options.name);
    td_pack_uint(pk, "first", state->first);
    td_pack_uint(pk, "last", state->next - 1);
    td_pack_uint(pk, "events", state->next - state->first);
    td_pack_uint(pk, "bytes", state->bytes);
    td_pack_uint(pk, "groups", stream->groups_len);
}

/* ---- durable groups ---- */

static size_t consumers_count(const struct td_engine *e)
{
    return e->streams.groups_len;
}

static void consumers_each(struct td_engine *e,
                           bool (*visit)(void *ctx, void *row), void *ctx)
{
    struct td_consumer *c;

    DL_FOREACH(e->streams.consumers, c)
    {
        if (td_consumer_is_durable(c) && !visit(ctx, c))
            return;
    }
}

const char *td_consumer_state(struct td_engine *e, const struct td_consumer *c)
{
    if (td_consumer_is_paused(e, c))
        return "paused";
    if (c->outage.state != TD_OUTAGE_RUNNING)
        return td_outage_names[c->outage.state];
    if (td_full_is(c))
        return "full";
    return c->group->members ? "running" : "idle";
}

static void consumers_pack(struct td_engine *e, msgpack_packer *pk, void *row)
{
    const struct td_consumer *c = row;
    const struct td_consumer_counts *n = &c->count;

    msgpack_pack_map(pk, 21);
    td_pack_str(pk, "stream", c->stream->options.name);
    td_pack_str(pk, "group", c->options.group);
    td_pack_str(pk, "state", td_str_of(td_consumer_state(e, c)));
    td_pack_uint(pk, "members", c->group->members_len);
    td_pack_uint(pk, "delivered", n->delivered);
    td_pack_uint(pk, "redelivered", n->redelivered);
    td_pack_uint(pk, "acked", n->acked);
    td_pack_uint(pk, "failed", n->naked + n->timed_out + n->lost);
    td_pack_uint(pk, "released", n->released);
    td_pack_uint(pk, "termed", n->termed);
    td_pack_uint(pk, "returned", n->returned);
    td_pack_uint(pk, "lag", td_consumer_lag(c));
    td_pack_uint(pk, "out", c->out);
    td_pack_uint(pk, "queued", td_consumer_queued(c));
    td_pack_uint(pk, "in_flight", td_consumer_in_flight(c));
    td_pack_uint(pk, "waiting", c->retries.events);
    td_pack_uint(pk, "aside", td_parks_aside(&c->parks));
    td_pack_uint(pk, "dying", td_consumer_dying(c));
    td_pack_uint(pk, "dead", td_consumer_dead(c));
    td_pack_uint(pk, "parked_ms", td_outage_left_ms(&c->outage, e->now_ms));
    td_pack_uint(pk, "parks", c->outage.times);
}

/* ---- a page ---- */

static const struct td_rows lists[] = {
    {"subscriptions", "subscriptions_total", subs_count, subs_each, subs_pack},
    {"groups", "groups_total", groups_count, groups_each, groups_pack},
    {"types", "types_total", types_count, types_each, types_pack},
    {"sessions", "sessions_total", sessions_count, sessions_each,
     sessions_pack},
    {"streams", "streams_total", streams_count, streams_each, streams_pack},
    {"consumers", "consumers_total", consumers_count, consumers_each,
     consumers_pack},
};

const struct td_rows *td_rows_find(struct td_str name)
{
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        if (td_str_is(name, lists[i].name))
            return &lists[i];
    }
    return NULL;
}

struct page {
    struct td_engine *e;
    msgpack_packer *pk;
    const struct td_rows *rows;
    uint64_t skip;
    uint64_t left;
};

static bool visit(void *ctx, void *row)
{
    struct page *page = ctx;

    if (page->skip > 0) {
        page->skip--;
        return true;
    }
    if (page->left == 0)
        return false;
    page->left--;
    page->rows->pack(page->e, page->pk, row);
    return true;
}

void td_rows_pack(struct td_engine *e, msgpack_packer *pk,
                  const struct td_rows *rows, uint64_t from)
{
    size_t total = rows->count(e);
    uint64_t left = from < total ? total - from : 0;
    struct page page = {e, pk, rows, from, left};

    if (page.left > TD_STATS_ROWS_MAX)
        page.left = TD_STATS_ROWS_MAX;
    td_pack_uint(pk, rows->total, total);
    td_pack_key(pk, rows->name);
    msgpack_pack_array(pk, page.left);
    rows->each(e, visit, &page);
}
