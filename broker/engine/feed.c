/* From a stream to a consumer's queue: what is committed, not settled, and
 * matches, as far as its members have credit and its bounds allow. */
#include "broker/engine/internal.h"

#include "proto/type.h"

#define ROUNDS_MAX 256u /* of feeding and dealing in one turn */

/* The piece of an item from a sequence on; false: it lies. */
static bool from_sequence(struct td_item *item, uint64_t sequence,
                          struct td_piece *out)
{
    struct td_piece front;
    struct td_piece whole = td_piece_of(item);

    *out = whole;
    return sequence == item->sequence ||
           (td_piece_cut(&whole, sequence - item->sequence, UINT64_MAX,
                         UINT32_MAX, &front, out) &&
            out->events > 0);
}

/* ---- what of a record is fed ---- */

static bool wants(const struct td_consumer *c, struct td_str type)
{
    struct td_str pattern = c->options.pattern;

    return c->all ||
           td_pattern_match(pattern.data, pattern.len, type.data, type.len);
}

/* How many events from the front of a piece are of types that are wanted, or
 * are not, as the first is. */
static uint32_t alike(const struct td_consumer *c, const struct td_piece *piece,
                      bool *wanted)
{
    const struct td_batch *batch = &piece->item->batch;
    uint32_t run = piece->run;
    uint32_t n = batch->runs[run].count - piece->event;

    *wanted = wants(c, batch->runs[run].type);
    if (c->all)
        return piece->events;
    while (++run < batch->runs_len && n < piece->events &&
           wants(c, batch->runs[run].type) == *wanted)
        n += batch->runs[run].count;
    return n < piece->events ? n : piece->events;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

bool td_feed_skip(struct td_engine *e, struct td_consumer *c, uint64_t events)
{
    if (td_consumer_is_durable(c) &&
        !td_settled_mark(&c->settled, c->cursor, events, NULL))
        return false;
    td_consumer_dirty(e, c);
    c->cursor += events;
    return true;
}

/* While only the newest of each name are wanted: how many of n events from the
 * cursor on are such, or are not. */
static uint64_t newest(struct td_consumer *c, uint64_t n, bool *wanted)
{
    uint64_t next = td_newest_next(c);

    if (next == c->cursor)
        return 1;
    *wanted = false;
    return least(n, next - c->cursor);
}

/* How many more it may be fed. */
static uint64_t room(const struct td_consumer *c)
{
    return least(td_full_room(c), td_outage_room(c));
}

bool td_feed_from(struct td_engine *e, struct td_consumer *c,
                  struct td_item *item)
{
    struct td_piece left;
    struct td_piece front;
    struct td_piece rest;

    if (!from_sequence(item, c->cursor, &left))
        return td_feed_skip(e, c,
                            item->sequence + item->batch.events - c->cursor);
    while (left.events > 0) {
        bool wanted;
        bool expired = false;
        uint64_t n = alike(c, &left, &wanted);
        uint64_t open = td_consumer_is_durable(c)
                            ? td_settled_gap(&c->settled, c->cursor, n)
                            : n;

        if (open == 0) { /* settled already, some of them */
            n = least(n, td_settled_next(&c->settled, c->cursor) - c->cursor);
            wanted = false;
        } else {
            n = open;
        }
        if (c->cursor < c->newest_to)
            n = newest(c, n, &wanted);
        if (wanted)
            n = td_expiry_alike(e, &left, n, &expired);
        wanted = wanted && !expired;
        if (wanted)
            n = least(n, room(c));
        if (n == 0 ||
            !td_piece_cut(&left, n, UINT64_MAX, UINT32_MAX, &front, &rest))
            return false;
        if (!wanted && !td_feed_skip(e, c, front.events))
            return false;
        c->count.expirytime += expired ? front.events : 0;
        if (wanted) {
            if (td_queue_push(&c->group->queue, &front))
                return false;
            c->cursor += front.events;
            c->out += front.events;
        }
        left = rest;
    }
    return true;
}

/* ---- whether it may be fed ---- */

static uint64_t fed_bytes(const struct td_consumer *c)
{
    const struct td_group *g = c->group;

    return g->queue.bytes + (g->named ? g->named->dealt.bytes : 0);
}

/* ---- what all share: memory, and the store's reader ---- */

static bool has_memory(const struct td_engine *e)
{
    return e->held_bytes < td_memory_bound(e) / 4 * 3;
}

void td_feed_hunger(struct td_engine *e, struct td_consumer *c)
{
    if (c->hungry)
        return;
    c->hungry = true;
    DL_APPEND2(e->streams.hungry, c, hungry_prev, hungry_next);
}

void td_consumer_eats(struct td_engine *e, struct td_consumer *c)
{
    if (c->hungry)
        DL_DELETE2(e->streams.hungry, c, hungry_prev, hungry_next);
    c->hungry = false;
}

bool td_feed_can(const struct td_engine *e)
{
    return e->streams.hungry && has_memory(e) &&
           e->streams.reading < TD_FEED_READS_MAX;
}

/* As many as may read, the longest first. */
static void feed_hungry(struct td_engine *e)
{
    uint32_t n = td_feed_can(e) ? TD_FEED_READS_MAX - e->streams.reading : 0;

    for (; n > 0 && e->streams.hungry; n--) {
        struct td_consumer *c = e->streams.hungry;

        td_consumer_eats(e, c);
        td_consumer_ready(e, c);
    }
}

bool td_feed_may(struct td_engine *e, struct td_consumer *c)
{
    if (c->locating || !td_consumer_is_made(c) || !td_deal_has_room(c->group) ||
        fed_bytes(c) >= TD_FEED_BYTES || td_consumer_is_paused(e, c) ||
        td_outage_room(c) == 0)
        return false;
    if (!has_memory(e))
        td_feed_hunger(e, c);
    return has_memory(e);
}

/* ---- feeding ---- */

/* Where the next record that is known begins. */
static uint64_t known_from(const struct td_consumer *c)
{
    struct td_fifo *entries = &c->stream->entries;
    uint64_t next = c->stream->kept.next;

    for (uint32_t i = entries->len; i-- > 0;) {
        const struct td_entry *entry = td_fifo_nth(entries, i);

        if (entry->first <= c->cursor)
            break;
        next = entry->first < next ? entry->first : next;
    }
    return next;
}

/* From memory; false: it is not there. *more: there was memory for what there
 * is room for. */
static bool feed_known(struct td_engine *e, struct td_consumer *c, bool *more)
{
    const struct td_entry *entry;
    uint32_t nth;

    if (!td_entry_find(c->stream, c->cursor, &nth)) {
        if (td_stream_is_on_disk(c->stream))
            return false;
        td_feed_lose(e, c, known_from(c)); /* there was no memory for it */
        return true;
    }
    entry = td_fifo_nth(&c->stream->entries, nth);
    if (!entry->item) {
        if (entry->first == c->cursor)
            c->read_next = c->cursor;
        return false;
    }
    *more = td_feed_from(e, c, entry->item) || room(c) == 0;
    return true;
}

/* To the next event that is the newest of its name. False: what is out is to be
 * settled first, so that what is known of settlements stays small; or there is
 * no memory. */
static bool leap(struct td_engine *e, struct td_consumer *c)
{
    uint64_t to;

    if (c->newest_to == 0 || c->read)
        return true;
    to = td_newest_next(c);
    if (to > c->cursor) {
        if (td_consumer_is_durable(c) && c->settled.floor < c->cursor &&
            to - c->settled.floor > TD_IN_FLIGHT_MAX)
            return false;
        if (!td_feed_skip(e, c, to - c->cursor)) {
            td_consumer_wake_at(e, c, e->now_ms + TD_FEED_AGAIN_MS);
            return false;
        }
        c->read_next = 0;
    }
    if (c->cursor >= c->newest_to) {
        to = c->newest_to;
        td_newest_end(c);
        c->newest_was = to;
        td_consumer_dirty(e, c);
    }
    return true;
}

/* All that there is was fed, and there is room for more. */
static bool has_fed_all(struct td_engine *e, struct td_consumer *c)
{
    return c->cursor >= c->stream->kept.next && !c->retry_read &&
           !td_retries_due(e, c) && td_feed_may(e, c);
}

/* What there is room for; false: there was no memory. */
static bool feed_room(struct td_engine *e, struct td_consumer *c)
{
    bool more = true;

    td_retries_feed(e, c);
    while (more && room(c) > 0 && td_feed_may(e, c) && leap(e, c) &&
           c->cursor < c->stream->kept.next) {
        if (feed_known(e, c, &more))
            continue;
        if (!c->read)
            td_feed_ask(e, c);
        break;
    }
    return more;
}

/* What was fed while there is little room for it may not be its key's turn,
 * and is put aside: then there is room for the next. */
static bool feed_by_key(struct td_engine *e, struct td_consumer *c)
{
    struct td_group *g = c->group;
    bool more = true;

    for (uint32_t n = 0; more && n < ROUNDS_MAX; n++) {
        more = feed_room(e, c);
        if (g->queue.len == 0)
            return more;
        td_deal(e, g);
        if (g->queue.len > 0) /* nobody is there */
            return more;
    }
    td_consumer_ready(e, c);
    return more;
}

static void feed(struct td_engine *e, struct td_consumer *c)
{
    bool more;

    td_outage_look(&c->outage, e->now_ms);
    td_overtaken_catch_up(e, c);
    td_overtaken_log(e, c);
    if (c->parks.fresh)
        td_deal_set_aside(e, c);
    if (c->outage.state != TD_OUTAGE_RUNNING && c->group->share == TD_BY_KEY)
        more = feed_by_key(e, c);
    else
        more = feed_room(e, c);
    if (!more && room(c) > 0) /* no memory */
        td_consumer_wake_at(e, c, e->now_ms + TD_FEED_AGAIN_MS);
    if (c->outage.state == TD_OUTAGE_RAMPING && has_fed_all(e, c))
        td_consumer_caught_up(e, c);
    td_overtaken_tell(e, c);
    td_full_look(e, c);
    if (c->group->queue.len > 0)
        td_group_ready(e, c->group);
}

void td_feed_ready(struct td_engine *e)
{
    struct td_consumer *last;
    struct td_consumer *c = NULL;

    feed_hungry(e);
    last = e->streams.ready ? e->streams.ready->ready_prev : NULL;

    while (c != last) {
        c = e->streams.ready;
        DL_DELETE2(e->streams.ready, c, ready_prev, ready_next);
        c->ready = false;
        feed(e, c);
    }
}

void td_consumers_wake(struct td_engine *e, struct td_stream *stream)
{
    struct td_consumer *c;

    DL_FOREACH2(stream->consumers, c, stream_next)
    {
        td_consumer_ready(e, c);
    }
}

/* ---- back ---- */

/* What was fed last is fed again. */
static bool go_back(struct td_consumer *c, const struct td_piece *piece)
{
    uint64_t first = piece->item->sequence + piece->index;
    uint64_t end = first + piece->events;

    if (td_consumer_is_durable(c) &&
        (end > c->cursor || td_settled_next(&c->settled, end) < c->cursor ||
         c->redriven || c->group->share == TD_BY_KEY))
        return false;
    c->cursor = first < c->cursor ? first : c->cursor;
    c->out -= piece->events;
    if (!td_consumer_is_durable(c) && c->cursor < c->newest_was)
        c->newest_to = c->newest_was; /* what it passed over is not fed now */
    return true;
}

void td_consumer_unfeed(struct td_engine *e, struct td_consumer *c,
                        struct td_queue *q)
{
    while (q->len > 0 && go_back(c, td_queue_back(q)))
        td_queue_pop_back(q);
    for (; q->len > 0; td_queue_pop(q)) {
        const struct td_retry retry = {.due_ms = e->now_ms};

        td_again_piece(e, c, td_queue_front(q), &retry);
    }
    if (!c->locating) { /* what is being read begins further on */
        td_read_forget(c->read);
        c->read = NULL;
        c->read_next = 0;
    }
    td_consumer_ready(e, c);
}
