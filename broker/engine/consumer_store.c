/* The state of durable groups, in the store: written with the next commit that
 * comes anyway, or a little later by itself. */
#include "broker/engine/internal.h"

/* Settlements wait so long for a commit that takes them along: a broker that is
 * killed meanwhile delivers those events again. */
#define LAZY_MS 20

struct writing {
    struct td_engine *e;
    struct td_consumer *c;
};

static void put_chunk(struct writing *w, enum td_table table, uint64_t number,
                      const uint8_t *bytes, size_t len)
{
    struct td_place key = td_place_two(table, w->c->id, number);
    struct td_buf *value = &w->e->streams.value;

    if (!bytes) {
        td_commit_delete(w->e, &key);
        return;
    }
    td_buf_reset(value);
    td_buf_append(value, bytes, len);
    td_commit_put(w->e, &key, value, NULL, 0, 0);
}

static void on_chunk(void *ctx, uint64_t number, const uint8_t *bits)
{
    put_chunk(ctx, TD_TABLE_CHUNK, number, bits, TD_CHUNK_BYTES);
}

static void on_counts(void *ctx, uint64_t number, const uint8_t *counts)
{
    put_chunk(ctx, TD_TABLE_COUNT, number, counts, TD_COUNTS_EVENTS);
}

static void write_row(struct td_engine *e, struct td_consumer *c)
{
    struct td_place key = td_place_one(TD_TABLE_GROUP, c->id);
    const struct td_group_row row = {
        .stream = c->stream->id,
        .paused = c->paused,
        .paused_until_ms = c->paused_until_ms,
        .options = {(const char *)c->text.data, c->text.len},
    };

    c->dirty_row = false;
    td_buf_reset(&e->streams.value);
    td_group_row_pack(&e->streams.value, &row);
    td_commit_put_twice(e, &key, &e->streams.value);
    td_commit_raise(e, TD_LEVEL_DISK);
}

static void write_floor(struct td_engine *e, struct td_consumer *c)
{
    struct td_place key = td_place_one(TD_TABLE_FLOOR, c->id);
    const struct td_floor row = {
        .floor = c->locating ? c->low : c->settled.floor,
        .dead_next = c->dead_next,
        .newest_to = c->newest_to,
        .untold = c->untold,
        .dead_from = c->dead_from,
        .seeking = c->locating,
        .sought_ms = c->locating ? c->sought_ms : 0,
    };

    td_buf_reset(&e->streams.value);
    td_floor_pack(&e->streams.value, &row);
    td_commit_put(e, &key, &e->streams.value, NULL, 0, 0);
}

/* What was there may say more than is true. */
static void wipe(struct td_engine *e, struct td_consumer *c)
{
    const enum td_table tables[] = {TD_TABLE_CHUNK, TD_TABLE_COUNT};

    c->wipe = false;
    for (int i = 0; i < 2; i++) {
        struct td_place from = td_place_two(tables[i], c->id, 0);
        struct td_place to = td_place_two(tables[i], c->id + 1, 0);

        td_commit_delete_range(e, &from, &to);
    }
}

static void write_one(struct td_engine *e, struct td_consumer *c)
{
    struct writing w = {e, c};

    if (c->dirty_row)
        write_row(e, c);
    if (c->wipe)
        wipe(e, c);
    /* a new one whose start is not known yet looks for it again */
    if (!c->locating || c->placed)
        write_floor(e, c);
    td_settled_write(&c->settled, on_chunk, &w);
    td_counts_write(&c->counts, on_counts, &w);
    td_commit_raise(e, TD_LEVEL_OS);
    c->wrote = td_commit_ticket(e);
}

int64_t td_consumers_write_due(const struct td_engine *e)
{
    const struct td_streams *st = &e->streams;
    int64_t due = st->dirty_ms + LAZY_MS;

    if (st->stuck)
        return TD_NEVER; /* its answers come first */
    if (st->unburied)
        return st->again_ms;
    if (!st->dirty_consumers)
        return TD_NEVER;
    return due > st->again_ms ? due : st->again_ms;
}

void td_consumers_write(struct td_engine *e)
{
    struct td_streams *st = &e->streams;

    if (st->turn == 0 && e->now_ms < td_consumers_write_due(e) && !e->draining)
        return;
    while (st->dirty_consumers) {
        struct td_consumer *c = st->dirty_consumers;

        st->dirty_consumers = c->dirty_next;
        c->dirty = false;
        write_one(e, c);
    }
}

/* Groups come after readers in the list. */
static struct td_consumer *last_of(const struct td_engine *e)
{
    return e->streams.consumers ? e->streams.consumers->prev : NULL;
}

void td_consumers_written(struct td_engine *e)
{
    struct td_consumer *c;

    for (c = last_of(e); c && td_consumer_is_durable(c);
         c = c == e->streams.consumers ? NULL : c->prev) {
        if (!c->made && !c->dirty_row && td_commit_is_written(e, c->wrote)) {
            c->made = true;
            td_consumer_ready(e, c);
        }
        if (c->burials.len > 0)
            td_bury_written(e, c);
        if (c->retries.len > 0)
            td_consumer_ready(e, c);
    }
}

/* It began behind what has failed: those numbers come again. */
static void fall_back(struct td_consumer *c)
{
    uint64_t next = c->stream->head.next;

    if (c->locating || c->cursor <= next)
        return;
    c->cursor = next;
    c->read_next = 0;
    if (c->settled.floor > next) {
        td_settled_fini(&c->settled);
        td_settled_init(&c->settled, next);
    }
}

void td_consumers_take_back(struct td_engine *e)
{
    struct td_consumer *c;

    DL_FOREACH(e->streams.consumers, c)
    {
        td_bury_take_back(e, c);
        fall_back(c);
        if (!td_consumer_is_kept(c) || td_commit_is_written(e, c->wrote))
            continue;
        td_settled_redirty(&c->settled);
        td_counts_redirty(&c->counts);
        c->dirty_row = c->wipe = true;
        td_consumer_dirty(e, c);
    }
}
