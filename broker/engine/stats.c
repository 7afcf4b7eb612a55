/* STATS: the counters of PROTOCOL.md 7. The rows are in rows.c. */
#include "broker/engine/internal.h"

#include "broker/engine/pack.h"

#include <string.h>

void td_ledger_add(struct td_ledger *to, const struct td_ledger *more)
{
    to->matched += more->matched;
    to->delivered += more->delivered;
    for (int i = 0; i < TD_DROPS; i++)
        to->dropped[i] += more->dropped[i];
}

static uint64_t count_held(const struct td_engine *e)
{
    uint64_t n = 0;
    struct td_session *s;

    DL_FOREACH2(e->held, s, held_next)
    {
        n++;
    }
    return n;
}

static uint64_t pending(const struct td_engine *e)
{
    uint64_t events = 0;
    const struct td_group *g;

    DL_FOREACH(e->groups, g)
    {
        events += td_group_pending(g);
    }
    return events;
}

/* What the rows add up to, so that an audit can compare it with the totals,
 * which are counted elsewhere. */
static void pack_sums(const struct td_engine *e, msgpack_packer *pk)
{
    struct td_ledger ledger = e->counters.gone;
    struct td_type_count types = e->routes.other;
    const struct td_group *g;
    const struct td_route *route;

    DL_FOREACH(e->groups, g)
    {
        td_ledger_add(&ledger, &g->ledger);
    }
    for (route = e->routes.cache; route; route = route->hh.next)
        td_type_count_add(&types, &route->count);
    td_pack_key(pk, "sums");
    msgpack_pack_map(pk, 8);
    td_pack_uint(pk, "published", types.published);
    td_pack_uint(pk, "duplicates", types.duplicates);
    td_pack_uint(pk, "routed", types.routed);
    td_pack_uint(pk, "unmatched", types.unmatched);
    td_pack_uint(pk, "matched", ledger.matched);
    td_pack_uint(pk, "delivered", ledger.delivered);
    td_pack_uint(pk, "pending", pending(e));
    td_pack_dropped(pk, &ledger);
}

static void pack_schedule(const struct td_schedule *s, msgpack_packer *pk)
{
    td_pack_key(pk, "schedule");
    msgpack_pack_map(pk, 5);
    td_pack_uint(pk, "waiting", td_schedule_waiting(s));
    td_pack_uint(pk, "accepted", s->accepted);
    td_pack_uint(pk, "published", s->published);
    td_pack_uint(pk, "cancelled", s->cancelled);
    td_pack_uint(pk, "unstored", s->unstored);
}

/* How the store is, in a word. */
static const char *store_word(const struct td_engine *e,
                              const struct td_store_info *info)
{
    if (!e->streams.store)
        return "none";
    if (info->failed)
        return "failed";
    return info->free_bytes == 0 || td_room_is_told(e) ? "full" : "ok";
}

/* That, what it found damaged, and what it has done. */
static void pack_store(const struct td_engine *e, msgpack_packer *pk)
{
    struct td_store *store = e->streams.store;
    struct td_store_info info = {0};

    if (store)
        store->face->info(store, &info);
    td_pack_str(pk, "store", td_str_of(store_word(e, &info)));
    td_pack_uint(pk, "store_damaged", info.damaged);
    td_pack_uint(pk, "store_used_bytes", info.used_bytes);
    td_pack_uint(pk, "store_file_bytes", info.file_bytes);
    td_pack_uint(pk, "store_free_bytes", info.free_bytes);
    td_pack_uint(pk, "store_commits", info.commits);
    td_pack_uint(pk, "store_transactions", info.transactions);
    td_pack_uint(pk, "store_commit_us", info.commit_us);
}

/* Of streams and durable groups: gauges. */
static void pack_kept(struct td_engine *e, msgpack_packer *pk)
{
    uint64_t events = 0, bytes = 0, lag = 0, unsettled = 0, dead = 0,
             parked = 0;
    struct td_consumer *c;

    for (struct td_stream *s = e->streams.all; s; s = s->hh.next) {
        events += s->kept.next - s->kept.first;
        bytes += s->kept.bytes;
    }
    DL_FOREACH(e->streams.consumers, c)
    {
        if (!td_consumer_is_durable(c))
            continue;
        lag += td_consumer_lag(c);
        unsettled += c->out;
        dead += td_consumer_dead(c);
        parked += c->outage.state != TD_OUTAGE_RUNNING;
    }
    td_pack_uint(pk, "kept_events", events);
    td_pack_uint(pk, "kept_bytes", bytes);
    td_pack_uint(pk, "lag", lag);
    td_pack_uint(pk, "unsettled", unsettled);
    td_pack_uint(pk, "dead", dead);
    td_pack_uint(pk, "parked", parked);
}

static void pack_requests(const struct td_serving *sv, msgpack_packer *pk)
{
    const struct td_request_counts *n = &sv->count;

    td_pack_key(pk, "requests");
    msgpack_pack_map(pk, 13);
    td_pack_uint(pk, "accepted", n->accepted);
    td_pack_uint(pk, "answered", n->answered);
    td_pack_uint(pk, "errors", n->errors);
    td_pack_uint(pk, "timeouts", n->timeouts);
    td_pack_uint(pk, "lost", n->lost);
    td_pack_uint(pk, "noresponder", n->noresponder);
    td_pack_uint(pk, "full", n->full);
    td_pack_uint(pk, "broken", n->broken);
    td_pack_uint(pk, "late", n->late);
    td_pack_uint(pk, "crowded", n->crowded);
    td_pack_uint(pk, "in_flight", n->in_flight);
    td_pack_uint(pk, "instances", HASH_COUNT(sv->instances));
    td_pack_uint(pk, "held_bytes", sv->bundling.bytes + sv->bundling.out_bytes);
}

static void pack_totals(struct td_engine *e, msgpack_packer *pk)
{
    const struct td_counters *c = &e->counters;

    td_pack_key(pk, "version");
    td_pack_key(pk, e->options.version ? e->options.version : "");
    td_pack_uint(pk, "epoch", e->options.epoch);
    td_pack_uint(pk, "uptime_ms", (uint64_t)(e->now_ms - e->started_ms));
    td_pack_uint(pk, "published", c->published);
    td_pack_uint(pk, "duplicates", c->duplicates);
    td_pack_uint(pk, "routed", c->routed);
    td_pack_uint(pk, "unmatched", c->unmatched);
    td_pack_uint(pk, "expirytime", c->expirytime);
    td_pack_uint(pk, "matched", c->all.matched);
    td_pack_uint(pk, "delivered", c->all.delivered);
    td_pack_uint(pk, "pending", pending(e));
    td_pack_dropped(pk, &c->all);
    td_pack_uint(pk, "away", e->away_len);
    td_pack_uint(pk, "resumed", c->resumed);
    td_pack_uint(pk, "withheld", count_held(e));
    td_pack_uint(pk, "queued_bytes", e->held_bytes);
    td_pack_uint(pk, "types_cached", td_routes_cached(&e->routes));
    td_pack_uint(pk, "bad_frames", c->bad_frames);
    td_pack_uint(pk, "breaches", c->breaches);
    td_pack_uint(pk, "silent", c->silent);
    td_pack_uint(pk, "fenced", c->fenced);
    pack_requests(&e->serving, pk);
    pack_schedule(&e->streams.schedule, pk);
    pack_store(e, pk);
    pack_kept(e, pk);
}

#define TOTALS 37u

static const char *read_options(struct td_str options, struct td_str *rows,
                                uint64_t *from)
{
    *rows = td_str_of("subscriptions");
    *from = 0;
    if (!td_map_str(options, "rows", rows) ||
        !td_map_uint(options, "from", from))
        return "an option is of another type";
    if (!td_str_is(*rows, "none") && !td_rows_find(*rows))
        return "rows is subscriptions, groups, types, sessions, streams, "
               "consumers or none";
    return NULL;
}

static void pack_all(struct td_engine *e, msgpack_packer *pk,
                     struct td_str rows, uint64_t from)
{
    bool none = td_str_is(rows, "none");
    bool sessions = td_str_is(rows, "sessions"); /* no key stands twice */

    msgpack_pack_map(pk, TOTALS + !sessions + 1 + (none ? 1 : 2));
    pack_totals(e, pk);
    if (!sessions)
        td_pack_uint(pk, "sessions", HASH_COUNT(e->sessions));
    td_pack_key(pk, "types_other");
    td_pack_type_count(pk, 0, &e->routes.other);
    if (none)
        pack_sums(e, pk);
    else
        td_rows_pack(e, pk, td_rows_find(rows), from);
}

void td_stats_reply(struct td_engine *e, struct td_session *s,
                    const struct td_frame *f)
{
    struct td_frame reply = {.op = TD_REPLY};
    struct td_str rows;
    uint64_t from;
    const char *why = read_options(f->u.stats.options, &rows, &from);
    msgpack_packer pk;

    if (why) {
        td_engine_reply(e, s, f->u.stats.request, TIDINGS_EINVAL, why);
        return;
    }
    td_buf_reset(&e->table);
    msgpack_packer_init(&pk, &e->table, td_buf_pack_write);
    pack_all(e, &pk, rows, from);
    reply.u.reply.request = f->u.stats.request;
    reply.u.reply.text = td_str_of("");
    reply.u.reply.result.data = (const char *)e->table.data;
    reply.u.reply.result.len = e->table.len;
    if (e->table.failed) {
        reply.u.reply.code = TIDINGS_ENOMEM;
        reply.u.reply.result = td_nil;
    }
    td_engine_send(e, s, &reply, NULL);
}
