/* CALL: durable groups. */
#include "broker/engine/call.h"

#include "broker/engine/pack.h"

#include <string.h>

void td_operate_group_add(struct td_engine *e, const struct td_asked *a)
{
    struct td_durable_options options;
    struct td_consumer *c;
    uint32_t before = e->streams.next_group;
    struct td_stream *stream;
    struct td_undo *undo;
    const char *text;
    unsigned given;
    tidings_err err;

    if (!td_asked_stream(e, a, "stream", &stream))
        return;
    text = td_durable_options_read(&options, a->options, &given);
    if (!text && options.group.len == 0)
        text = "name the group";
    if (text) {
        td_asked_fail(e, a, TIDINGS_EINVAL, text);
        return;
    }
    undo = td_asked_undo(e, a, TD_UNDO_GROUP);
    if (!undo)
        return;
    err = td_consumer_add(e, stream, &options, given, &c, &text);
    if (err) {
        td_undo_free(undo);
        td_asked_fail(e, a, err, text);
        return;
    }
    if (c->dirty)
        td_commit_ticket(e);
    if (e->streams.next_group > before)
        undo->id = c->id;
    td_asked_done(e, a, undo);
}

/* ---- the list ---- */

static void pack_bool(msgpack_packer *pk, const char *key, bool value)
{
    td_pack_key(pk, key);
    value ? msgpack_pack_true(pk) : msgpack_pack_false(pk);
}

static void pack_group(struct td_engine *e, msgpack_packer *pk,
                       const struct td_consumer *c)
{
    const struct td_consumer_counts *n = &c->count;
    bool out = c->outage.state != TD_OUTAGE_RUNNING;

    msgpack_pack_map(pk, td_durable_options_len(&c->options) + 28);
    td_durable_options_rows(&e->table, &c->options);
    td_pack_uint(pk, "floor", c->settled.floor);
    td_pack_uint(pk, "next", c->cursor);
    td_pack_uint(pk, "lag", td_consumer_lag(c));
    td_pack_uint(pk, "out", c->out);
    td_pack_uint(pk, "in_flight", td_consumer_in_flight(c));
    td_pack_uint(pk, "waiting", c->retries.events);
    td_pack_uint(pk, "dead", td_consumer_is_kept(c) ? td_dead_len(c) : n->dead);
    td_pack_uint(pk, "members", c->group->members_len);
    td_pack_uint(pk, "delivered", n->delivered);
    td_pack_uint(pk, "redelivered", n->redelivered);
    td_pack_uint(pk, "acked", n->acked);
    td_pack_uint(pk, "naked", n->naked);
    td_pack_uint(pk, "timed_out", n->timed_out);
    td_pack_uint(pk, "lost", n->lost);
    td_pack_uint(pk, "released", n->released);
    td_pack_uint(pk, "termed", n->termed);
    td_pack_uint(pk, "returned", n->returned);
    td_pack_uint(pk, "stale", n->stale);
    td_pack_uint(pk, "expired", n->expired);
    td_pack_uint(pk, "expirytime", n->expirytime);
    pack_bool(pk, "full", td_full_is(c));
    pack_bool(pk, "paused", td_consumer_is_paused(e, c));
    td_pack_uint(pk, "paused_until_ms", (uint64_t)c->paused_until_ms);
    td_pack_str(pk, "state", td_str_of(td_consumer_state(e, c)));
    td_pack_uint(pk, "parked_ms", td_outage_left_ms(&c->outage, e->now_ms));
    td_pack_uint(pk, "parks", c->outage.times);
    td_pack_str(pk, "parked_by", td_str_of(out ? c->parked_by : ""));
    td_pack_str(pk, "parked_why", td_str_of(out ? c->parked_why : ""));
}

void td_operate_group_list(struct td_engine *e, const struct td_asked *a)
{
    struct td_stream *of = NULL;
    struct td_str name;
    struct td_consumer *c;
    uint64_t from = 0;
    uint64_t all = 0;
    uint64_t rows;
    msgpack_packer pk;

    if (td_map_find(a->options, "stream", &name) &&
        !td_asked_stream(e, a, "stream", &of))
        return;
    if (!td_map_uint(a->options, "from", &from)) {
        td_asked_fail(e, a, TIDINGS_EINVAL, "from is a number of rows");
        return;
    }
    DL_FOREACH(e->streams.consumers, c)
    {
        all += td_consumer_is_durable(c) && (!of || c->stream == of);
    }
    rows = from < all ? all - from : 0;
    rows = rows < TD_GROUP_ROWS_MAX ? rows : TD_GROUP_ROWS_MAX;
    td_buf_reset(&e->table);
    msgpack_packer_init(&pk, &e->table, td_buf_pack_write);
    msgpack_pack_map(&pk, 2);
    td_pack_uint(&pk, "groups_total", all);
    td_pack_key(&pk, "groups");
    msgpack_pack_array(&pk, rows);
    DL_FOREACH(e->streams.consumers, c)
    {
        if (!td_consumer_is_durable(c) || (of && c->stream != of))
            continue;
        if (from > 0) {
            from--;
        } else if (rows > 0) {
            pack_group(e, &pk, c);
            rows--;
        }
    }
    td_asked_result(e, a->session, a->request);
}

/* ---- the rest ---- */

static void changed(struct td_engine *e, const struct td_asked *a,
                    struct td_consumer *c, struct td_undo *undo)
{
    undo->id = c->id;
    c->dirty_row = true;
    td_consumer_dirty(e, c);
    if (c->dirty)
        td_commit_ticket(e);
    td_consumer_ready(e, c);
    td_asked_done(e, a, undo);
}

static void set_paused(struct td_engine *e, const struct td_asked *a,
                       struct td_consumer *c, bool paused, uint64_t until_ms)
{
    struct td_undo *undo = td_asked_undo(e, a, TD_UNDO_PAUSE);

    if (!undo)
        return;
    undo->paused = c->paused;
    undo->paused_until_ms = c->paused_until_ms;
    c->paused = paused;
    c->paused_until_ms = (int64_t)until_ms;
    td_consumer_wake_at(e, c, e->now_ms);
    changed(e, a, c, undo);
}

void td_operate_group_pause(struct td_engine *e, const struct td_asked *a)
{
    struct td_consumer *c;
    uint64_t until = 0;

    if (!td_asked_group(e, a, &c))
        return;
    if (!td_map_uint(a->options, "until_ms", &until)) {
        td_asked_fail(e, a, TIDINGS_EINVAL,
                      "until_ms is milliseconds since 1970");
        return;
    }
    set_paused(e, a, c, true, until);
}

void td_operate_group_resume(struct td_engine *e, const struct td_asked *a)
{
    struct td_consumer *c;

    if (!td_asked_group(e, a, &c))
        return;
    td_consumer_unpark(e, c);
    set_paused(e, a, c, false, 0);
}

void td_operate_group_seek(struct td_engine *e, const struct td_asked *a)
{
    struct td_undo *undo;
    struct td_start start;
    struct td_consumer *c;
    const char *text;

    if (!td_asked_group(e, a, &c))
        return;
    text = td_start_read(&start, a->options);
    if (text) {
        td_asked_fail(e, a, TIDINGS_EINVAL, text);
        return;
    }
    undo = td_asked_undo(e, a, TD_UNDO_SEEK);
    if (!undo)
        return;
    td_consumer_seek(e, c, &start, &undo->place);
    changed(e, a, c, undo);
}

/* What was settled before this is synced when it is answered. */
void td_operate_group_sync(struct td_engine *e, const struct td_asked *a)
{
    struct td_consumer *c;

    if (!td_asked_group(e, a, &c))
        return;
    if (!td_consumer_is_kept(c)) {
        td_asked_fail(e, a, TIDINGS_ENOTSUP, "its stream is in memory");
        return;
    }
    td_commit_ticket(e);
    td_commit_raise(e, TD_LEVEL_DISK);
    td_asked_done(e, a, NULL);
}

void td_operate_group_delete(struct td_engine *e, const struct td_asked *a)
{
    struct td_consumer *c;

    if (!td_asked_group(e, a, &c))
        return;
    td_consumer_delete(e, c);
    td_asked_done(e, a, NULL);
}
