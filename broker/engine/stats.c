/* STATS: the counters of PROTOCOL.md 7. */
#include "broker/engine/internal.h"

#include <msgpack.h>
#include <string.h>

void td_ledger_add(struct td_ledger *to, const struct td_ledger *more)
{
    to->matched += more->matched;
    to->delivered += more->delivered;
    for (int i = 0; i < TD_DROPS; i++)
        to->dropped[i] += more->dropped[i];
}

static void pack_text(msgpack_packer *pk, const char *text, size_t len)
{
    msgpack_pack_str(pk, len);
    msgpack_pack_str_body(pk, text, len);
}

static void pack_key(msgpack_packer *pk, const char *key)
{
    pack_text(pk, key, strlen(key));
}

static void pack_uint(msgpack_packer *pk, const char *key, uint64_t value)
{
    pack_key(pk, key);
    msgpack_pack_uint64(pk, value);
}

static void pack_dropped(msgpack_packer *pk, const struct td_ledger *ledger)
{
    pack_key(pk, "dropped");
    msgpack_pack_map(pk, TD_DROPS);
    for (int i = 0; i < TD_DROPS; i++)
        pack_uint(pk, td_drop_names[i], ledger->dropped[i]);
}

static void pack_sub(struct td_engine *e, msgpack_packer *pk,
                     struct td_sub *sub)
{
    td_block_left(&sub->block, e->now_ms); /* books what is running */
    msgpack_pack_map(pk, 9);
    pack_uint(pk, "session", sub->session->number);
    pack_key(pk, "name");
    pack_key(pk, sub->session->name);
    pack_uint(pk, "subscription", sub->number);
    pack_key(pk, "pattern");
    pack_text(pk, sub->pattern, sub->pattern_len);
    pack_uint(pk, "matched", sub->ledger.matched);
    pack_uint(pk, "delivered", sub->ledger.delivered);
    pack_uint(pk, "pending", td_sub_pending(sub));
    pack_dropped(pk, &sub->ledger);
    pack_uint(pk, "blocked_ms", sub->block.total_ms);
}

static void pack_subs(struct td_engine *e, msgpack_packer *pk)
{
    size_t rows =
        e->subs_len < TD_STATS_ROWS_MAX ? e->subs_len : TD_STATS_ROWS_MAX;

    pack_uint(pk, "subscriptions_total", e->subs_len);
    pack_key(pk, "subscriptions");
    msgpack_pack_array(pk, rows);
    for (struct td_session *s = e->sessions; s; s = s->hh.next) {
        for (struct td_sub *sub = s->subs; sub; sub = sub->hh.next) {
            if (rows == 0)
                return;
            pack_sub(e, pk, sub);
            rows--;
        }
    }
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

static void sum_up(const struct td_engine *e, struct td_ledger *sum,
                   uint64_t *pending)
{
    *sum = e->counters.gone;
    *pending = 0;
    for (struct td_session *s = e->sessions; s; s = s->hh.next) {
        for (struct td_sub *sub = s->subs; sub; sub = sub->hh.next) {
            td_ledger_add(sum, &sub->ledger);
            *pending += td_sub_pending(sub);
        }
    }
}

static void pack_all(struct td_engine *e, msgpack_packer *pk)
{
    const struct td_counters *c = &e->counters;
    struct td_ledger sum;
    uint64_t pending;

    sum_up(e, &sum, &pending);
    msgpack_pack_map(pk, 20);
    pack_key(pk, "version");
    pack_key(pk, e->options.version ? e->options.version : "");
    pack_uint(pk, "epoch", e->options.epoch);
    pack_uint(pk, "uptime_ms", (uint64_t)(e->now_ms - e->started_ms));
    pack_uint(pk, "published", c->published);
    pack_uint(pk, "duplicates", c->duplicates);
    pack_uint(pk, "routed", c->routed);
    pack_uint(pk, "unmatched", c->unmatched);
    pack_uint(pk, "matched", sum.matched);
    pack_uint(pk, "delivered", sum.delivered);
    pack_uint(pk, "pending", pending);
    pack_dropped(pk, &sum);
    pack_uint(pk, "sessions", HASH_COUNT(e->sessions));
    pack_uint(pk, "withheld", count_held(e));
    pack_uint(pk, "queued_bytes", e->held_bytes);
    pack_uint(pk, "types_cached", td_routes_cached(&e->routes));
    pack_uint(pk, "bad_frames", c->bad_frames);
    pack_uint(pk, "breaches", c->breaches);
    pack_uint(pk, "silent", c->silent);
    pack_subs(e, pk); /* two pairs */
}

void td_stats_reply(struct td_engine *e, struct td_session *s,
                    const struct td_frame *f)
{
    struct td_frame reply = {.op = TD_REPLY};
    msgpack_packer pk;

    td_buf_reset(&e->table);
    msgpack_packer_init(&pk, &e->table, td_buf_pack_write);
    pack_all(e, &pk);
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
