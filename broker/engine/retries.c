/* Events that are due to be delivered again, or to be buried: fetched, and put
 * into the queue. */
#include "broker/engine/internal.h"

#define RETRIES_MAX 256u /* ranges in one turn */
#define AGAIN_MS    500  /* after a read that failed */

/* The events of a retry that are in an item, as far as they are in a row. */
static bool cut_out(struct td_item *item, const struct td_retry *retry,
                    struct td_piece *out)
{
    struct td_piece whole = td_piece_of(item);
    struct td_piece front;
    struct td_piece rest = whole;
    uint64_t skip = retry->sequence - item->sequence;

    if (skip > 0 &&
        (!td_piece_cut(&whole, skip, UINT64_MAX, UINT32_MAX, &front, &rest) ||
         rest.events == 0))
        return false;
    return td_piece_cut(&rest, retry->count, UINT64_MAX, UINT32_MAX, out,
                        &whole);
}

/* The first retry is of this item. */
static void feed_first(struct td_engine *e, struct td_consumer *c,
                       struct td_item *item)
{
    struct td_retry *retry = td_retries_first(&c->retries);
    uint64_t sequence = retry->sequence;
    struct td_piece piece;
    struct td_piece first;
    struct td_piece rest;
    bool expired;

    if (!cut_out(item, retry, &piece)) { /* it lies: nobody can have it */
        uint32_t events = retry->count;

        td_retries_shift(&c->retries, events);
        td_consumer_done(e, c, sequence, events); /* retries may come of it */
        return;
    }
    if (retry->dead) {
        td_piece_cut(&piece, 1, UINT64_MAX, UINT32_MAX, &first, &rest);
        td_bury(e, c, &first, retry);
        td_retries_shift(&c->retries, 1);
        return;
    }
    td_piece_cut(&piece,
                 td_expiry_alike(e, &piece, td_outage_room(c), &expired),
                 UINT64_MAX, UINT32_MAX, &first, &rest);
    piece = first;
    if (expired) {
        c->count.expirytime += piece.events;
        td_retries_shift(&c->retries, piece.events);
        td_consumer_done(e, c, sequence, piece.events);
        return;
    }
    if (td_queue_push(&c->group->queue, &piece))
        return; /* a later turn tries again */
    td_retries_shift(&c->retries, piece.events);
}

/* Its event is not there any more; if it is dead, its end is told all the same. */
static void pass_over(struct td_engine *e, struct td_consumer *c)
{
    const struct td_retry *retry = td_retries_first(&c->retries);
    uint64_t sequence = retry->sequence;

    if (retry->dead)
        td_bury_nothing(e, c, retry);
    td_retries_shift(&c->retries, 1);
    td_consumer_done(e, c, sequence, 1);
}

static void give_up(struct td_engine *e, struct td_consumer *c, uint32_t events,
                    bool damaged)
{
    struct td_retry *retry = td_retries_first(&c->retries);
    uint64_t sequence = retry->sequence;
    struct td_lost lost;

    if (retry->dead) {
        pass_over(e, c);
        return;
    }
    events = events < retry->count ? events : retry->count;
    if (c->redriven) /* the next one may have a dead letter */
        events = 1;
    lost = (struct td_lost){events, sequence, sequence + events - 1, damaged};
    td_consumer_expire(e, c, &lost);
    td_retries_shift(&c->retries, events);
    td_consumer_done(e, c, sequence, events);
}

/* ---- reading ---- */

static void on_record(struct td_engine *e, void *owner,
                      const struct td_store_answer *answer)
{
    struct td_consumer *c = owner;
    struct td_retry *retry = td_retries_first(&c->retries);
    struct td_item *item = NULL;
    uint64_t first = 0;
    uint32_t events = 0;

    c->retry_read = NULL;
    if (answer->err) { /* it is asked for again */
        td_consumer_wake_at(e, c, e->now_ms + AGAIN_MS);
        return;
    }
    td_consumer_ready(e, c);
    if (!retry || retry->sequence != c->retry_sequence ||
        retry->sequence < c->stream->kept.first)
        return; /* it has gone meanwhile: the next turn sees to it */
    if (!retry->dead && td_outage_room(c) == 0)
        return; /* it was parked meanwhile */
    if (answer->records_len > 0 &&
        td_feed_is_gone(&answer->records[0], &first, &events)) {
        pass_over(e, c); /* a newer one has its name */
        return;
    }
    if (answer->records_len > 0)
        item = td_feed_item(e, &answer->records[0], answer->bytes, &first,
                            &events);
    if (item && retry->sequence >= first && retry->sequence < first + events)
        feed_first(e, c, item);
    else if (answer->records_len == 0 || events > 0)
        give_up(e, c, 1, true);
    else
        td_consumer_wake_at(e, c, e->now_ms + AGAIN_MS); /* no memory */
    td_item_unref(item);
}

static void ask(struct td_engine *e, struct td_consumer *c,
                const struct td_retry *retry)
{
    struct td_place from = td_place_two(TD_TABLE_RECORD, c->stream->id, 0);
    struct td_place to =
        td_place_two(TD_TABLE_RECORD, c->stream->id, retry->sequence + 1);

    c->retry_sequence = retry->sequence;
    c->retry_read = td_read_ask(e, &from, &to, true, 1, 1, on_record, c);
    if (!c->retry_read)
        td_consumer_wake_at(e, c, e->now_ms + AGAIN_MS);
}

/* ---- what is due ---- */

static bool is_due(struct td_engine *e, const struct td_retry *retry)
{
    return retry && retry->due_ms <= e->now_ms &&
           td_commit_is_written(e, retry->ticket);
}

/* False: it waits for a read, or for memory. */
static bool step(struct td_engine *e, struct td_consumer *c,
                 const struct td_retry *retry)
{
    const struct td_redriven *redriven = td_redriven_find(c, retry->sequence);
    const struct td_entry *entry;
    uint32_t nth;

    if (redriven)
        return td_redriven_feed(e, c, redriven);
    if (retry->sequence < c->stream->kept.first) {
        give_up(
            e, c,
            (uint32_t)(c->stream->kept.first - retry->sequence < retry->count
                           ? c->stream->kept.first - retry->sequence
                           : retry->count),
            false);
        return true;
    }
    if (td_entry_find(c->stream, retry->sequence, &nth)) {
        entry = td_fifo_nth(&c->stream->entries, nth);
        if (entry->item) {
            uint32_t len = c->retries.len;
            uint64_t events = c->retries.events;

            feed_first(e, c, entry->item);
            return c->retries.len != len || c->retries.events != events;
        }
    }
    ask(e, c, retry);
    return false;
}

bool td_retries_due(struct td_engine *e, struct td_consumer *c)
{
    return is_due(e, td_retries_first(&c->retries));
}

void td_retries_feed(struct td_engine *e, struct td_consumer *c)
{
    uint32_t n = 0;

    while (n++ < RETRIES_MAX && !c->retry_read &&
           is_due(e, td_retries_first(&c->retries))) {
        const struct td_retry *retry = td_retries_first(&c->retries);

        if (!retry->dead && !td_feed_may(e, c))
            break;
        if (!step(e, c, retry))
            break;
    }
    if (n > RETRIES_MAX)
        td_consumer_ready(e, c);
    if (td_retries_first(&c->retries) &&
        td_retries_first(&c->retries)->due_ms > e->now_ms)
        td_consumer_wake_at(e, c, td_retries_first(&c->retries)->due_ms);
}
