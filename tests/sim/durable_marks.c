/* What is true of groups: what handlers have said of each event, what the
 * broker has believed, and what of it is written. */
#include "tests/sim/durable_world.h"

#include "broker/store/model_inside.h"

#include <stdlib.h>
#include <string.h>

struct dur_mark *dur_mark(struct dur_group *g, uint64_t sequence)
{
    while (g->len < sequence) {
        g->marks = sim_grow(g->marks, g->len, &g->cap, sizeof(*g->marks));
        memset(&g->marks[g->len++], 0, sizeof(*g->marks));
    }
    return &g->marks[sequence - 1];
}

struct td_consumer *dur_consumer(struct dur *d, const struct dur_group *g)
{
    struct td_stream *stream =
        d->broker.engine && d->broker.loaded
            ? td_stream_find(d->broker.engine,
                             td_str_of(d->streams[g->stream].name))
            : NULL;

    return stream ? td_consumer_find(stream, td_str_of(g->name)) : NULL;
}

struct dur_group *dur_group_of(struct dur *d, const struct td_consumer *c)
{
    for (uint32_t i = 0; i < d->groups_len; i++) {
        if (td_consumer_is_durable(c) &&
            td_str_is(c->options.group, d->groups[i].name))
            return &d->groups[i];
    }
    return NULL;
}

bool dur_wants(const struct dur_group *g, const struct dur_event *event)
{
    const char *type = dur_types[event->type];

    return td_pattern_match(g->pattern, strlen(g->pattern), type, strlen(type));
}

/* ---- what is written ---- */

struct written {
    struct dur_group *g;
    uint64_t floor;
    uint64_t dead_from;
    bool *settled; /* by sequence */
    bool *dead;
    uint8_t *counts;
    uint64_t len;
};

static void on_floor(struct dur *d, void *ctx, struct td_str key,
                     struct td_str value)
{
    struct written *w = ctx;
    struct td_floor row;

    (void)key;
    DUR_CHECK(d, td_floor_read(value, &row), "a floor is bad");
    w->floor = row.floor;
    w->dead_from = row.dead_from;
}

static void on_chunk(struct dur *d, void *ctx, struct td_str key,
                     struct td_str value)
{
    struct written *w = ctx;
    uint64_t number = 0;
    uint32_t id;

    DUR_CHECK(d,
              td_place_read_two(key, TD_TABLE_CHUNK, &id, &number) &&
                  value.len == TD_CHUNK_BYTES,
              "a chunk is bad");
    for (uint64_t i = 0; i < TD_CHUNK_EVENTS; i++) {
        uint64_t sequence = number * TD_CHUNK_EVENTS + i;

        if (((uint8_t)value.data[i / 8] >> (i % 8) & 1) && sequence <= w->len)
            w->settled[sequence] = true;
    }
}

static void on_counts(struct dur *d, void *ctx, struct td_str key,
                      struct td_str value)
{
    struct written *w = ctx;
    uint64_t number = 0;
    uint32_t id;

    DUR_CHECK(d, td_place_read_two(key, TD_TABLE_COUNT, &id, &number),
              "counts are bad");
    for (uint64_t i = 0; i < value.len; i++) {
        uint64_t sequence = number * TD_COUNTS_EVENTS + i;

        if (sequence <= w->len)
            w->counts[sequence] = (uint8_t)value.data[i];
    }
}

static void on_dead(struct dur *d, void *ctx, struct td_str key,
                    struct td_str value)
{
    struct written *w = ctx;
    struct td_dead_row row;
    uint64_t number = 0;
    uint32_t id;

    DUR_CHECK(d,
              td_place_read_two(key, TD_TABLE_DEAD, &id, &number) &&
                  td_dead_row_read(value, &row),
              "a dead letter is bad");
    if (row.sequence > w->len)
        return;
    w->dead[row.sequence] = true;
    if (number >= w->dead_from || row.redrive)
        w->settled[row.sequence] = true;
}

static void written_read(struct dur *d, struct dur_group *g, struct written *w)
{
    w->g = g;
    w->floor = 1;
    w->len = d->streams[g->stream].len;
    w->settled = sim_alloc(w->len + 1);
    w->dead = sim_alloc(w->len + 1);
    w->counts = sim_alloc(w->len + 1);
    if (g->id) {
        dur_store_walk(d, TD_TABLE_CHUNK, g->id, 0, on_chunk, w);
        dur_store_walk(d, TD_TABLE_FLOOR, g->id, 0, on_floor, w);
        dur_store_walk(d, TD_TABLE_COUNT, g->id, 0, on_counts, w);
        dur_store_walk(d, TD_TABLE_DEAD, g->id, 0, on_dead, w);
    }
    for (uint64_t n = 1; n < w->floor && n <= w->len; n++)
        w->settled[n] = true;
}

static void written_fini(struct written *w)
{
    free(w->settled);
    free(w->dead);
    free(w->counts);
}

/* ---- what the engine has settled ---- */

static bool is_dead_written(struct dur *d, struct dur_group *g,
                            uint64_t sequence)
{
    struct written w;
    bool dead;

    written_read(d, g, &w);
    dead = sequence <= w.len && w.dead[sequence];
    written_fini(&w);
    return dead;
}

/* Why an event may count as settled, but that it has expired. */
static bool has_reason(struct dur *d, struct dur_group *g,
                       const struct td_consumer *c, uint64_t sequence)
{
    struct dur_mark *mark = dur_mark(g, sequence);
    const struct dur_stream *s = &d->streams[g->stream];
    const struct dur_event *event = dur_event_at(d, s, sequence);

    if (!event || !dur_wants(g, event) || mark->acked)
        return true;
    if (sequence < c->stream->head.first || sequence < g->sought ||
        dur_may_be_gone(d, s, sequence) ||
        (sequence < g->newest_to && dur_newer(s, sequence) > 0))
        return true;
    if (!mark->dead && !mark->termed && mark->total < g->max_deliver)
        return false;
    if (!s->memory && g->purges == 0 && !is_dead_written(d, g, sequence))
        return false;
    mark->dead = true;
    dur_seen(d, DUR_SEEN_DEAD);
    return true;
}

static void settled_now(struct dur *d, struct dur_group *g,
                        const struct td_consumer *c, uint64_t sequence)
{
    struct dur_mark *mark = dur_mark(g, sequence);
    const struct dur_event *event =
        dur_event_at(d, &d->streams[g->stream], sequence);
    bool reason;

    if (mark->settled)
        return;
    reason = has_reason(d, g, c, sequence);
    DUR_CHECK(d, reason || dur_has_expired(d, event),
              "group %s: %llu is settled, and nobody has said so after %u "
              "deliveries",
              g->name, (ull)sequence, mark->total);
    dur_expiry_settled(d, g, event, !reason && g->looked_at);
    mark->settled = true;
    mark->sent = false;
    mark->last = 0;
    mark->total = 0;
}

static void read_group(struct dur *d, struct dur_group *g,
                       const struct td_consumer *c)
{
    uint64_t len = d->streams[g->stream].len;
    uint64_t n = g->low ? g->low : 1;

    if (g->floor == c->settled.floor && g->above == c->settled.above &&
        g->read == len)
        return; /* nothing is new */
    g->read = len;
    g->floor = c->settled.floor;
    g->above = c->settled.above;
    while (n <= len) { /* what is not settled, then what is */
        uint64_t open = n + td_settled_gap(&c->settled, n, len + 1 - n);
        uint64_t end = td_settled_next(&c->settled, open);

        for (; n < open; n++)
            DUR_CHECK(d,
                      !dur_mark(g, n)->settled || dur_marks_returned(d, g, c),
                      "group %s: %llu was settled and is not any more", g->name,
                      (ull)n);
        for (; n < end && n <= len; n++)
            settled_now(d, g, c, n);
    }
    while (g->low + 1 < c->settled.floor && g->low < len)
        g->low++;
}

void dur_marks_read(struct dur *d)
{
    for (uint32_t i = 0; i < d->groups_len; i++) {
        struct dur_group *g = &d->groups[i];
        struct td_consumer *c = dur_consumer(d, g);

        DUR_CHECK(
            d, c || !g->id || !d->broker.loaded || d->streams[g->stream].memory,
            "group %s is gone", g->name);
        if (!c)
            continue;
        g->id = c->id;
        read_group(d, g, c);
        g->looked_at = true;
        dur_expiry_check(d, g, c);
        dur_lost_check(d, g, c);
        if (c->count.expired > 0)
            dur_seen(d, DUR_SEEN_EXPIRED);
        if (c->count.timed_out > 0)
            dur_seen(d, DUR_SEEN_TIMED_OUT);
        if (c->count.lost > 0)
            dur_seen(d, DUR_SEEN_LOST);
        if (c->count.redelivered > 0)
            dur_seen(d, DUR_SEEN_REDELIVERED);
        if (c->paused)
            dur_seen(d, DUR_SEEN_PAUSED);
        if (td_full_is(c))
            dur_seen(d, DUR_SEEN_FULL_GROUP);
    }
}

/* ---- a crash ---- */

static void begin_again(struct dur *d, struct dur_group *g)
{
    struct written w;

    written_read(d, g, &w);
    if (g->len > w.len)
        g->len = w.len; /* others will come under these numbers */
    for (uint64_t n = 1; n <= g->len; n++) {
        struct dur_mark *mark = &g->marks[n - 1];
        bool settled = w.settled[n];

        mark->old_ack = mark->accepted && !settled;
        mark->accepted = mark->accepted && settled;
        mark->settled = mark->settled && settled;
        mark->last = w.counts[n];
        mark->sent = false;
    }
    g->low = 1;
    g->floor = g->above = 0;
    g->seeking = false;
    written_fini(&w);
}

void dur_marks_crashed(struct dur *d)
{
    for (uint32_t i = 0; i < d->groups_len; i++) {
        struct dur_group *g = &d->groups[i];

        g->lapsed = g->doubtful = 0;
        g->looked_at = false;
        g->told_id = 0;
        if (d->streams[g->stream].memory) {
            g->len = g->low = g->floor = g->above = 0;
            g->id = 0;
        } else {
            begin_again(d, g);
        }
    }
}

/* ---- SETTLE ---- */

static uint64_t leased(const struct td_inflight *f, uint64_t tag)
{
    for (uint32_t i = 0; i < f->len; i++) {
        const struct td_lease *lease = &f->leases[(f->head + i) & (f->cap - 1)];

        if (lease->count > 0 && tag >= lease->tag &&
            tag - lease->tag < lease->count)
            return lease->sequence + (tag - lease->tag);
    }
    return 0;
}

/* What earlier rows of the message have settled is settled. */
static bool was_settled(struct td_reader list, uint32_t rows,
                        const struct td_settle *row, uint64_t tag)
{
    struct td_settle before;

    while (rows-- > 0 && td_settle_read(&list, &before)) {
        if (before.subscription == row->subscription &&
            before.verb != TD_PROGRESS && tag >= before.first &&
            tag <= before.last)
            return true;
    }
    return false;
}

static void settle_row(struct dur *d, struct td_session *s,
                       const struct td_settle *row, struct td_reader list,
                       uint32_t before)
{
    struct td_sub *sub = td_sub_find(s, row->subscription);
    struct dur_group *g = sub && sub->leases && sub->group->consumer
                              ? dur_group_of(d, sub->group->consumer)
                              : NULL;

    for (uint64_t tag = row->first; g && tag <= row->last; tag++) {
        uint64_t sequence =
            was_settled(list, before, row, tag) ? 0 : leased(sub->leases, tag);
        struct dur_mark *mark = sequence ? dur_mark(g, sequence) : NULL;

        dur_say(d, "%s: %llu from session %llu, tag %llu: verb %llu", g->name,
                (ull)sequence, (ull)s->number, (ull)tag, (ull)row->verb);
        if (!mark && row->verb != TD_PROGRESS)
            dur_seen(d, DUR_SEEN_STALE);
        if (!mark)
            continue;
        if (row->verb == TD_ACK) {
            mark->accepted = true;
            if (mark->redriven)
                dur_seen(d, DUR_SEEN_REDRIVEN_DONE);
        }
    }
}

void dur_marks_settle(struct dur *d, struct dur_link *link,
                      const struct sim_message *m)
{
    struct td_session *s = dur_broker_session(d, link);
    struct td_reader list;
    struct td_reader begin;
    struct td_settle row;
    struct td_frame f;
    const char *why;
    uint32_t rows;

    if (!s || s->away || s->doomed ||
        td_frame_decode(&f, m->control, m->len, true, &why) ||
        f.op != TD_SETTLE)
        return;
    list = td_reader_of(f.u.settle.list.data, f.u.settle.list.len);
    if (!td_read_array(&list, &rows))
        return;
    begin = list;
    for (uint32_t n = 0; n < rows && td_settle_read(&list, &row); n++)
        settle_row(d, s, &row, begin, n);
}

/* ---- the end ---- */

static void check_group(struct dur *d, struct dur_group *g)
{
    const struct td_consumer *c = dur_consumer(d, g);
    const struct dur_stream *s = &d->streams[g->stream];
    struct written w;

    DUR_CHECK(d, c, "group %s is not there in the end", g->name);
    if (!c)
        return;
    written_read(d, g, &w);
    for (uint64_t n = 1; n <= s->len; n++) {
        const struct dur_event *event = dur_event_at(d, s, n);
        struct dur_mark *mark = dur_mark(g, n);

        if (!event || !dur_wants(g, event))
            continue;
        DUR_CHECK(d, mark->settled, "group %s: %llu is not settled", g->name,
                  (ull)n);
        DUR_CHECK(d, s->memory || w.settled[n],
                  "group %s: %llu is settled, and not written so", g->name,
                  (ull)n);
    }
    written_fini(&w);
}

void dur_marks_final(struct dur *d)
{
    for (uint32_t i = 0; i < d->groups_len; i++)
        check_group(d, &d->groups[i]);
}
