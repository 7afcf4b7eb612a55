/* Where a consumer begins; with the newest of each name, newest.c goes on. A time is looked for by halves among the records,
 * whose times rise. */
#include "broker/engine/internal.h"

static void found(struct td_engine *e, struct td_consumer *c, uint64_t sequence)
{
    td_newest_end(c);
    c->locating = false;
    c->cursor = sequence;
    c->read_next = 0;
    td_settled_fini(&c->settled);
    td_settled_init(&c->settled, sequence);
    for (struct td_redriven *r = c->redriven; r; r = r->hh.next) /* by itself */
        td_settled_mark(&c->settled, r->sequence, 1, NULL);
    td_consumer_dirty(e, c);
    td_consumer_ready(e, c);
}

static void halve(struct td_engine *e, struct td_consumer *c);

static uint64_t middle_of(const struct td_consumer *c)
{
    return c->low + (c->high - c->low) / 2;
}

static void on_probe(struct td_engine *e, void *owner,
                     const struct td_store_answer *answer)
{
    struct td_consumer *c = owner;
    uint64_t middle = middle_of(c);
    struct td_record_head head;
    uint64_t first;
    uint32_t id;

    c->read = NULL;
    if (answer->err || answer->records_len == 0 ||
        !td_place_read_two(answer->records[0].key, TD_TABLE_RECORD, &id,
                           &first) ||
        !td_record_read(answer->records[0].value, &head)) {
        found(e, c, c->low); /* rather too early than too late */
        return;
    }
    if (head.stored_ms >= c->sought_ms)
        c->high = first;
    else if (first + head.events <= middle)
        c->low = middle + 1; /* it is in a hole */
    else
        c->low = first + head.events;
    halve(e, c);
}

/* Records below low are older than the time, those from high on are not. */
static void halve(struct td_engine *e, struct td_consumer *c)
{
    uint64_t middle = middle_of(c);
    const struct td_entry *entry;
    struct td_place from;
    struct td_place to;
    uint32_t nth;

    while (c->low < c->high && td_entry_find(c->stream, middle, &nth)) {
        entry = td_fifo_nth(&c->stream->entries, nth);
        if (entry->stored_ms >= c->sought_ms)
            c->high = entry->first > c->low ? entry->first : c->low;
        else
            c->low = entry->first + entry->events;
        middle = middle_of(c);
    }
    if (c->low >= c->high) {
        found(e, c, c->low);
        return;
    }
    from = td_place_two(TD_TABLE_RECORD, c->stream->id, 0);
    to = td_place_two(TD_TABLE_RECORD, c->stream->id, middle + 1);
    c->read = td_stream_is_on_disk(c->stream)
                  ? td_read_ask(e, &from, &to, true, 1, 1, on_probe, c)
                  : NULL;
    if (!c->read)
        found(e, c, c->low);
}

void td_locate(struct td_engine *e, struct td_consumer *c,
               const struct td_start *start)
{
    const struct td_stream *stream = c->stream;
    uint64_t next = stream->head.next;

    switch (start->kind) {
    case TD_START_NEW:
        found(e, c, next);
        return;
    case TD_START_ALL:
        found(e, c, stream->head.first);
        return;
    case TD_START_SEQUENCE:
        /* what retention has taken of it is told, as of any that is late */
        found(e, c, start->sequence < next ? start->sequence : next);
        return;
    case TD_START_TIME:
        td_newest_end(c); /* also for whoever is killed while it looks */
        c->sought_ms = start->time_ms;
        c->locating = true;
        c->low = stream->kept.first;
        c->high = stream->kept.next;
        halve(e, c);
        return;
    case TD_START_LAST:
        found(e, c, stream->kept.first);
        c->newest_to = stream->kept.next;
        return;
    }
}
