/* Rows of the store, read when the broker starts: one function for each table. */
#include "broker/engine/internal.h"

#include "proto/id.h"

#include <string.h>

static tidings_err on_stream(struct td_engine *e, struct td_str key,
                             struct td_str value)
{
    struct td_stream *stream;
    bool again;
    uint32_t id;

    if (!td_place_read_twice(key, TD_TABLE_STREAM, &id, &again))
        return TIDINGS_EIO;
    if (id > e->streams.next_stream)
        e->streams.next_stream = id;
    stream = again ? td_stream_by_id(e, id) : NULL;
    if (!stream)
        return td_stream_load(e, id, value);
    stream->twice = true;
    return TIDINGS_OK;
}

static tidings_err on_state(struct td_engine *e, struct td_str key,
                            struct td_str value)
{
    struct td_stream *stream;
    uint32_t id;

    if (!td_place_read_one(key, TD_TABLE_STATE, &id))
        return TIDINGS_EIO;
    stream = td_stream_by_id(e, id);
    if (!stream || !td_state_read(value, &stream->head))
        return TIDINGS_EIO;
    stream->kept = stream->head;
    stream->stated = true;
    stream->hidden = stream->head.first < stream->head.next;
    return TIDINGS_OK;
}

static tidings_err on_producer(struct td_engine *e, struct td_str key,
                               struct td_str value)
{
    uint8_t named[TD_PRODUCER_BYTES];
    struct td_naming naming;
    struct td_stored stored;
    struct td_str id;

    if (!td_place_read_producer(key, &id))
        return TIDINGS_EIO;
    if (td_naming_read(value, &naming, &stored)) {
        td_producer_named(named, td_str_of(naming.name));
        if (memcmp(named, id.data, id.len) != 0)
            return TIDINGS_EIO;
        return td_producer_load_named(e, id, &stored, &naming) ? TIDINGS_OK
                                                               : TIDINGS_ENOMEM;
    }
    if (!td_stored_read(value, &stored))
        return TIDINGS_EIO;
    return td_producer_load(e, id, &stored) ? TIDINGS_OK : TIDINGS_ENOMEM;
}

static tidings_err on_group(struct td_engine *e, struct td_str key,
                            struct td_str value)
{
    struct td_group_row row;
    struct td_consumer *c;
    bool again;
    uint32_t id;

    if (!td_place_read_twice(key, TD_TABLE_GROUP, &id, &again) ||
        !td_group_row_read(value, &row))
        return TIDINGS_EIO;
    c = again ? td_consumer_by_id(e, id) : NULL;
    if (!c)
        return td_consumer_load(e, id, &row);
    c->twice = true;
    return TIDINGS_OK;
}

/* Of what waits for its time, or of the number that comes next: rather far on
 * than one that was used. */
static void lose_scheduled(struct td_engine *e, uint64_t number)
{
    uint64_t used = number ? number : (uint64_t)td_engine_unix_ms(e);

    if (used >= e->streams.schedule.next)
        e->streams.schedule.next = used + 1;
}

/* Of which event is the newest of its name nothing is sure any more. */
static void lose_name(struct td_engine *e, struct td_str key)
{
    const uint8_t *hash;
    uint32_t id = 0;
    bool known = td_place_read_last(key, &id, &hash);

    for (struct td_stream *s = e->streams.all; s; s = s->hh.next) {
        if ((known && s->id != id) || !s->stated)
            continue;
        s->head.indexed = s->kept.indexed = s->kept.next;
        td_stream_dirty(e, s);
    }
}

void td_load_lose(struct td_engine *e, struct td_str key)
{
    struct td_streams *st = &e->streams;
    struct td_consumer *c;
    uint64_t number;
    int64_t due_ms;
    uint32_t id;

    if (td_place_read_due(key, &due_ms, &number))
        lose_scheduled(e, number);
    /* what it left in the store must not become another's */
    if ((td_place_read_one(key, TD_TABLE_STREAM, &id) ||
         td_place_read_one(key, TD_TABLE_STATE, &id)) &&
        id > st->next_stream)
        st->next_stream = id;
    if ((td_place_read_one(key, TD_TABLE_GROUP, &id) ||
         td_place_read_one(key, TD_TABLE_FLOOR, &id)) &&
        id > st->next_group)
        st->next_group = id;
    if (key.len > 0 && key.data[0] == TD_TABLE_LAST)
        lose_name(e, key);
    c = td_place_read_one(key, TD_TABLE_FLOOR, &id) ? td_consumer_by_id(e, id)
                                                    : NULL;
    if (!c)
        return;
    td_settled_fini(&c->settled); /* rather twice than never */
    td_settled_init(&c->settled, c->stream->head.first);
    c->cursor = c->settled.floor;
    c->placed = true;
}

static tidings_err on_floor(struct td_engine *e, struct td_str key,
                            struct td_str value)
{
    struct td_consumer *c;
    struct td_floor row;
    uint32_t id;

    if (!td_place_read_one(key, TD_TABLE_FLOOR, &id) ||
        !td_floor_read(value, &row))
        return TIDINGS_EIO;
    c = td_consumer_by_id(e, id);
    if (!c)
        return TIDINGS_EIO;
    td_settled_fini(&c->settled);
    td_settled_init(&c->settled, row.floor);
    c->cursor = row.floor;
    c->dead_next = row.dead_next;
    c->newest_to = row.newest_to;
    c->untold = row.untold;
    c->dead_from = row.dead_from;
    c->locating = row.seeking;
    c->sought_ms = row.sought_ms;
    c->placed = true;
    return TIDINGS_OK;
}

static tidings_err on_chunk(struct td_engine *e, struct td_str key,
                            struct td_str value)
{
    struct td_consumer *c;
    uint64_t number;
    uint32_t id;

    if (!td_place_read_two(key, TD_TABLE_CHUNK, &id, &number) ||
        value.len != TD_CHUNK_BYTES)
        return TIDINGS_EIO;
    c = td_consumer_by_id(e, id);
    if (!c)
        return TIDINGS_EIO;
    return td_settled_load(&c->settled, number, (const uint8_t *)value.data)
               ? TIDINGS_OK
               : TIDINGS_ENOMEM;
}

static tidings_err on_counts(struct td_engine *e, struct td_str key,
                             struct td_str value)
{
    struct td_consumer *c;
    uint64_t number;
    uint32_t id;

    if (!td_place_read_two(key, TD_TABLE_COUNT, &id, &number) ||
        value.len != TD_COUNTS_EVENTS)
        return TIDINGS_EIO;
    c = td_consumer_by_id(e, id);
    if (!c)
        return TIDINGS_EIO;
    return td_counts_load(&c->counts, number, (const uint8_t *)value.data)
               ? TIDINGS_OK
               : TIDINGS_ENOMEM;
}

/* The dead letter is the settlement of its event, unless its group was sent
 * elsewhere since; what is redriven does not come as an event of its stream. */
static tidings_err on_dead(struct td_engine *e, struct td_str key,
                           struct td_str value)
{
    struct td_consumer *c;
    struct td_dead_row row;
    uint64_t number;
    uint32_t id;

    if (!td_place_read_two(key, TD_TABLE_DEAD, &id, &number) ||
        !td_dead_row_read(value, &row))
        return TIDINGS_EIO;
    c = td_consumer_by_id(e, id);
    if (!c)
        return TIDINGS_EIO;
    c->dead_len++;
    if (number >= c->dead_next)
        c->dead_next = number + 1;
    if (number < c->dead_from && !row.redrive)
        return TIDINGS_OK;
    if (!td_settled_mark(&c->settled, row.sequence, 1, NULL))
        return TIDINGS_ENOMEM;
    td_counts_clear(&c->counts, row.sequence, 1);
    td_consumer_dirty(e, c);
    if (row.redrive)
        td_redrive(e, c, number, row.sequence);
    return TIDINGS_OK;
}

static tidings_err on_scheduled(struct td_engine *e, struct td_str key,
                                struct td_str value)
{
    struct td_schedule_row row;
    uint64_t number;
    int64_t due_ms;

    if (!td_place_read_due(key, &due_ms, &number) ||
        !td_schedule_row_read(value, &row) || (row.next > 0) != (number == 0) ||
        number == UINT64_MAX || td_dues_find(&e->streams.schedule.dues, number))
        return TIDINGS_EIO;
    if (row.next > 0)
        e->streams.schedule.next = row.next;
    else if (!td_schedule_load(e, due_ms, number))
        return TIDINGS_ENOMEM;
    return TIDINGS_OK;
}

static tidings_err on_dedup(struct td_engine *e, struct td_str key,
                            struct td_str value)
{
    struct td_stream *stream;
    struct td_dedup_row row;
    uint64_t first;
    uint32_t id;

    if (!td_place_read_two(key, TD_TABLE_DEDUP, &id, &first) ||
        !td_dedup_row_read(value, &row))
        return TIDINGS_EIO;
    stream = td_stream_by_id(e, id);
    return stream ? td_repeat_load(e, stream, first, &row) : TIDINGS_EIO;
}

static tidings_err on_last(struct td_engine *e, struct td_str key,
                           struct td_str value)
{
    struct td_stream *stream;
    const uint8_t *hash;
    uint64_t sequence;
    uint32_t id;

    if (!td_place_read_last(key, &id, &hash) ||
        !td_last_row_read(value, &sequence))
        return TIDINGS_EIO;
    stream = td_stream_by_id(e, id);
    if (!stream || stream->lasts.count == TD_LAST_MAX ||
        (stream->stated && sequence >= stream->kept.next))
        return TIDINGS_EIO;
    return td_newest_load(stream, hash, sequence) ? TIDINGS_OK : TIDINGS_ENOMEM;
}

static tidings_err on_term(struct td_engine *e, struct td_str key,
                           struct td_str value)
{
    uint64_t term;
    uint32_t zero;

    if (!td_place_read_one(key, TD_TABLE_TERM, &zero) || zero != 0 ||
        !td_last_row_read(value, &term) || term > TD_TERM_GONE_MAX)
        return TIDINGS_EIO;
    e->gone_term = term;
    return TIDINGS_OK;
}

const struct td_load_table td_load_tables[TD_LOAD_TABLES] = {
    {TD_TABLE_STREAM, "a stream", on_stream},
    {TD_TABLE_STATE, "a stream's state", on_state},
    {TD_TABLE_PRODUCER, "a producer", on_producer},
    {TD_TABLE_GROUP, "a group", on_group},
    {TD_TABLE_FLOOR, "a group's place", on_floor},
    {TD_TABLE_CHUNK, "what a group has settled", on_chunk},
    {TD_TABLE_COUNT, "what of a group has failed", on_counts},
    {TD_TABLE_DEAD, "a dead letter", on_dead},
    {TD_TABLE_SCHEDULE, "a scheduled event", on_scheduled},
    {TD_TABLE_DEDUP, "ids that a stream has taken", on_dedup},
    {TD_TABLE_LAST, "the last event of a name", on_last},
    {TD_TABLE_TERM, "how often names were taken", on_term},
};
