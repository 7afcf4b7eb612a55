/* What operators purge: events of a stream, or dead letters of a group. Once
 * they have been told that it is done it is not there any more, and nobody is
 * fed it: what waits to be delivered by then is delivered still. */
#include "tests/sim/durable_world.h"

#include "broker/store/model_inside.h"

/* ---- streams ---- */

void dur_purge_stream(struct dur *d, msgpack_packer *pk)
{
    struct sim_random *r = &d->random;
    const struct dur_stream *s = &d->streams[sim_below(r, d->streams_len)];
    bool all = sim_chance(r, 300);

    msgpack_pack_map(pk, all ? 1 : 2);
    td_pack_str(pk, "name", td_str_of(s->name));
    if (!all)
        td_pack_uint(pk, "before", 1 + sim_below(r, s->len + 1));
}

void dur_purge_stream_heard(struct dur *d, struct td_str options)
{
    struct td_str name = td_no_str;
    const struct td_stream *stream;
    struct dur_stream *s;

    if (!td_map_str(options, "name", &name))
        return;
    s = dur_stream_named(d, name);
    stream = td_stream_find(d->broker.engine, name);
    if (!s || !stream || stream->head.first <= s->purging)
        return;
    s->purging = stream->head.first;
    d->purging = s;
    dur_say(d, "what is before %llu of %s is purged", (ull)s->purging, s->name);
}

void dur_purge_stream_told(struct dur *d, tidings_err code)
{
    struct dur_stream *s = d->purging;

    d->purging = NULL;
    if (code || !s)
        return;
    s->purged = s->purging;
    s->purged_ms = d->now_ms;
    dur_seen(d, DUR_SEEN_PURGED);
}

void dur_purge_crashed(struct dur *d)
{
    d->purging = NULL;
    d->purging_dead = NULL;
    for (uint32_t i = 0; i < d->streams_len; i++) {
        if (d->streams[i].memory) /* its numbers begin anew */
            d->streams[i].purging = d->streams[i].purged = 0;
    }
    for (uint32_t i = 0; i < d->groups_len; i++) {
        struct dur_group *g = &d->groups[i];

        for (uint64_t n = 1; n <= g->len; n++)
            dur_mark(g, n)->purged = 0; /* unless that was written */
    }
}

bool dur_may_vanish(const struct dur_stream *s)
{
    return s->max_events > 0 || s->purging > 0;
}

void dur_purge_sent(struct dur *d, const struct dur_stream *s,
                    uint64_t sequence, int64_t since_ms)
{
    DUR_CHECK(d,
              sequence >= s->purged || (since_ms <= s->purged_ms &&
                                        d->broker.since_ms <= s->purged_ms),
              "stream %s: %llu is sent, and what is before %llu was purged",
              s->name, (ull)sequence, (ull)s->purged);
}

/* ---- dead letters ---- */

static void on_letter(struct dur *d, void *ctx, struct td_str key,
                      struct td_str value)
{
    struct dur_letter letter = {0};
    struct td_dead_row row;
    uint32_t id;

    (void)ctx;
    if (!td_place_read_two(key, TD_TABLE_DEAD, &id, &letter.number) ||
        !td_dead_row_read(value, &row))
        return;
    letter.sequence = row.sequence;
    d->letters = sim_grow(d->letters, d->letters_len, &d->letters_cap,
                          sizeof(*d->letters));
    d->letters[d->letters_len++] = letter;
}

void dur_purge_dead_heard(struct dur *d, struct td_str options)
{
    struct td_str name = td_no_str;

    d->purging_dead = NULL;
    td_map_str(options, "group", &name);
    for (uint32_t i = 0; i < d->groups_len; i++) {
        struct dur_group *g = &d->groups[i];

        if (!g->id || !dur_consumer(d, g) || !td_str_is(name, g->name))
            continue;
        d->purging_dead = g;
        g->purges++;
        d->letters_len = 0;
        dur_store_walk(d, TD_TABLE_DEAD, g->id, 0, on_letter, NULL);
    }
}

static bool is_there(const struct dur *d, const struct dur_group *g,
                     uint64_t number)
{
    struct td_place key = td_place_two(TD_TABLE_DEAD, g->id, number);

    return td_records_get(&d->model->current->map, td_place_str(&key)) != NULL;
}

/* Those that were there when it began are gone, up to where it has come. */
void dur_purge_dead_told(struct dur *d, tidings_err code)
{
    struct dur_group *g = d->purging_dead;
    const struct td_str result = {d->question.result, d->question.result_len};
    const struct td_consumer *c = g ? dur_consumer(d, g) : NULL;
    uint64_t events = 0;
    uint64_t next = 0;

    d->purging_dead = NULL;
    /* none: another purge, which the store has refused, goes on with them */
    if (code || !c || !td_map_uint(result, "next", &next) ||
        !td_map_uint(result, "events", &events) || events == 0)
        return;
    for (uint64_t i = 0; i < d->letters_len; i++) {
        const struct dur_letter *letter = &d->letters[i];

        if (next > 0 && letter->number >= next)
            continue;
        DUR_CHECK(d, !is_there(d, g, letter->number),
                  "group %s: dead letter %llu was purged, and is there",
                  g->name, (ull)letter->number);
        dur_seen(d, DUR_SEEN_PURGED_DEAD);
        if (!td_redriven_find(c, letter->sequence)) /* else it goes on */
            dur_mark(g, letter->sequence)->purged = letter->number;
    }
}
