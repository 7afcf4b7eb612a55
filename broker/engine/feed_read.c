/* Reading for a consumer: records that are not in memory, or are damaged. */
#include "broker/engine/internal.h"

static void on_records(struct td_engine *e, void *owner,
                       const struct td_store_answer *answer);

void td_feed_ask(struct td_engine *e, struct td_consumer *c)
{
    bool moving = td_compact_is_moving(e, c->stream);
    bool known = c->read_next == c->cursor && !moving;
    /* One that begins before the cursor may hold it: found backwards. */
    struct td_place from =
        td_place_two(TD_TABLE_RECORD, c->stream->id, known ? c->cursor : 0);
    struct td_place to =
        td_place_two(TD_TABLE_RECORD, c->stream->id,
                     known ? c->stream->kept.next : c->cursor + 1);

    if (e->streams.reading >= TD_FEED_READS_MAX) {
        td_feed_hunger(e, c);
        return;
    }
    c->read_to = known ? c->stream->kept.next : c->cursor + 1;
    c->read_moving = moving;
    c->read_next = known ? c->cursor : 0;
    c->read = td_read_ask(e, &from, &to, !known, known ? UINT32_MAX : 1,
                          known ? TD_READ_BYTES : 1, on_records, c);
    td_read_is_large(e, c->read);
    if (!c->read)
        td_consumer_wake_at(e, c, e->now_ms + TD_FEED_AGAIN_MS);
}

void td_feed_lose(struct td_engine *e, struct td_consumer *c, uint64_t until)
{
    /* retention may have taken them since they were asked for */
    const struct td_lost lost = {until - c->cursor, c->cursor, until - 1,
                                 until > c->stream->kept.first};

    if (lost.damaged)
        td_log(&e->options.log, TD_LOG_ERROR, "RECORD-DAMAGED",
               "stream %.*s, sequences %llu to %llu cannot be read",
               (int)c->stream->options.name.len, c->stream->options.name.data,
               (unsigned long long)c->cursor, (unsigned long long)(until - 1));
    if (td_feed_skip(e, c, lost.events))
        td_consumer_expire(e, c, &lost);
}

/* *end: where the next record begins. */
static bool feed_record(struct td_engine *e, struct td_consumer *c,
                        const struct td_record *record, struct td_body *bytes,
                        uint64_t *end)
{
    uint64_t first = 0;
    uint32_t events;
    bool gone = td_feed_is_gone(record, &first, &events);
    struct td_item *item =
        gone ? NULL : td_feed_item(e, record, bytes, &first, &events);
    bool all = true;

    *end = first + events;
    if (events == 0)
        return false; /* no memory */
    if (*end <= c->cursor) {
        td_item_unref(item);
        return true;
    }
    if (first > c->cursor)
        td_feed_lose(e, c, first);
    if (item)
        all = td_feed_from(e, c, item);
    else if (gone)
        all = td_feed_skip(e, c, *end - c->cursor);
    else
        td_feed_lose(e, c, *end);
    td_item_unref(item);
    return all;
}

/* Retention may have moved the cursor on since that was asked for, into the
 * middle of a record. */
static void on_records(struct td_engine *e, void *owner,
                       const struct td_store_answer *answer)
{
    struct td_consumer *c = owner;
    bool backwards = c->read_next != c->cursor;
    uint64_t end = 0;
    bool all = true;

    c->read = NULL;
    if (answer->err) { /* it is asked for again */
        td_consumer_wake_at(e, c, e->now_ms + TD_FEED_AGAIN_MS);
        return;
    }
    td_consumer_ready(e, c);
    for (uint32_t i = 0; i < answer->records_len && all; i++)
        all = feed_record(e, c, &answer->records[i], answer->bytes, &end);
    if (backwards && all && end < c->cursor && c->cursor + 1 == c->read_to)
        end = c->cursor; /* no record has it: look further on */
    c->read_next = all && end == c->cursor && !c->read_moving ? end : 0;
    if (!backwards && answer->records_len == 0 && c->cursor < c->read_to)
        td_feed_lose(e, c, c->read_to);
}
