/* What retention has taken before a consumer came to it, or damage: counted,
 * logged, and its members are told. */
#include "broker/engine/internal.h"

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- telling ---- */

static void add_lost(struct td_lost *to, const struct td_lost *more)
{
    if (to->events == 0) {
        *to = *more;
        return;
    }
    to->events += more->events;
    to->first = least(to->first, more->first);
    to->last = to->last > more->last ? to->last : more->last;
    to->damaged = to->damaged || more->damaged;
}

void td_overtaken_tell(struct td_engine *e, struct td_consumer *c)
{
    for (struct td_sub *sub = c->group->members; sub && c->untold.events > 0;
         sub = sub->group_next) {
        if (!td_gaps_tell_lost(e, sub, &c->untold))
            continue;
        add_lost(&sub->lost_told, &c->untold);
        sub->lost_last = c->untold;
        c->untold = (struct td_lost){0};
        td_consumer_dirty(e, c);
    }
}

void td_consumer_expire(struct td_engine *e, struct td_consumer *c,
                        const struct td_lost *lost)
{
    if (lost->events == 0)
        return;
    c->count.expired += lost->events;
    add_lost(&c->untold, lost);
    td_consumer_dirty(e, c);
}

void td_overtaken_tell_again(struct td_engine *e, struct td_sub *sub,
                             uint64_t events)
{
    struct td_consumer *c = sub->group->consumer;
    /* what a link has lost is what was sent over it last */
    struct td_lost again =
        events <= sub->lost_last.events ? sub->lost_last : sub->lost_told;

    again.events = least(events, again.events);
    sub->lost_told = sub->lost_last = (struct td_lost){0};
    if (again.events == 0)
        return;
    add_lost(&c->untold, &again);
    td_consumer_dirty(e, c);
}

/* ---- finding out ---- */

/* A group that is slower than retention would be told of at each step of it. */
void td_overtaken_log(struct td_engine *e, struct td_consumer *c)
{
    const struct td_durable_options *o = &c->options;

    if (c->overtaken == 0)
        return;
    if (e->now_ms < c->overtaken_ms) {
        td_consumer_wake_at(e, c, c->overtaken_ms);
        return;
    }
    td_log(&e->options.log, TD_LOG_WARN, "GROUP-OVERTAKEN",
           "stream %.*s, group %.*s: sequences %llu to %llu expired, "
           "%llu not settled",
           (int)c->stream->options.name.len, c->stream->options.name.data,
           (int)o->group.len, o->group.data,
           (unsigned long long)c->overtaken_from,
           (unsigned long long)(c->stream->kept.first - 1),
           (unsigned long long)c->overtaken);
    c->overtaken = 0;
    c->overtaken_ms = e->now_ms + TD_ADVISE_MS;
}

static void overtake(struct td_consumer *c, uint64_t from, uint64_t lost)
{
    if (c->overtaken == 0)
        c->overtaken_from = from;
    c->overtaken += lost;
}

static void add_range(struct td_lost *to, uint64_t first, uint64_t end)
{
    const struct td_lost more = {end - first, first, end - 1, false};

    if (first < end)
        add_lost(to, &more);
}

/* All but what compaction had taken before. */
static void add_stored(struct td_lost *to, const struct td_stream *stream,
                       uint64_t first, uint64_t end)
{
    for (uint32_t i = 0; i < stream->holes.len; i++) {
        const struct td_hole *hole = td_fifo_nth(&stream->holes, i);

        if (hole->last < first)
            continue;
        if (hole->first >= end)
            break;
        add_range(to, first, hole->first);
        first = hole->last + 1;
    }
    add_range(to, first, end);
}

/* Those from the cursor on, up to a sequence, that are not settled. */
static struct td_lost open_before(const struct td_consumer *c, uint64_t end)
{
    struct td_lost lost = {0};
    uint64_t at = c->cursor;

    if (!td_consumer_is_durable(c))
        add_stored(&lost, c->stream, at, end);
    while (td_consumer_is_durable(c) && at < end) {
        uint64_t next = least(end, td_settled_next(&c->settled, at));

        at = next + td_settled_gap(&c->settled, next, end - next);
        add_stored(&lost, c->stream, next, at);
    }
    return lost;
}

/* Nothing below it can be had. What is out stays open: its members settle it,
 * or lose it when it is to come again, whatever happens to the broker. */
static void pass_to(struct td_engine *e, struct td_consumer *c, uint64_t first)
{
    if (first - c->settled.floor > TD_ACK_GAP_MAX ||
        !td_settled_mark(&c->settled, c->cursor, first - c->cursor, NULL))
        td_settled_raise(&c->settled, first);
    td_consumer_dirty(e, c);
}

static void lose(struct td_engine *e, struct td_consumer *c,
                 const struct td_piece *piece)
{
    uint64_t first = piece->item->sequence + piece->index;
    const struct td_lost lost = {piece->events, first,
                                 first + piece->events - 1, false};

    if (td_consumer_is_durable(c))
        overtake(c, first, lost.events);
    td_consumer_expire(e, c, &lost);
    td_consumer_done(e, c, first, piece->events);
}

/* Of a piece: how many events from its front on are gone, or are not, as the
 * first is. A dead letter's event is its own. */
static uint32_t alike(const struct td_consumer *c, const struct td_piece *piece,
                      bool *gone)
{
    uint64_t first = piece->item->sequence + piece->index;
    uint64_t end = c->stream->kept.first;

    *gone = first < end && !td_redriven_find(c, first);
    if (first >= end)
        return piece->events;
    return c->redriven ? 1 : (uint32_t)least(end - first, piece->events);
}

/* holds: keys of what is in it are a member's. False: no memory. */
static bool sift_queue(struct td_engine *e, struct td_consumer *c,
                       struct td_queue *q, bool holds)
{
    if (td_queue_reserve(q, 1))
        return false;
    for (uint32_t n = q->len; n > 0; n--) {
        struct td_piece left = *td_queue_front(q);
        struct td_item *item = left.item;

        item->refs++;
        td_queue_pop(q);
        while (left.events > 0) {
            struct td_piece front = left;
            struct td_piece rest = {0};
            bool gone;

            if (!td_piece_cut(&left, alike(c, &left, &gone), UINT64_MAX,
                              UINT32_MAX, &front, &rest))
                front = left, rest = (struct td_piece){0}; /* it lies */
            if (gone && holds)
                td_deal_forget(c->group, &front, 0);
            if (gone)
                lose(e, c, &front);
            else
                td_queue_push(q, &front); /* there was room for it */
            left = rest;
        }
        td_item_unref(item);
    }
    return true;
}

/* What was read, and is gone from the stream, is not delivered any more. */
static void sift(struct td_engine *e, struct td_consumer *c)
{
    struct td_group *g = c->group;
    bool all = sift_queue(e, c, &g->queue, false);

    for (struct td_sub *sub = g->members; sub && g->named && all;
         sub = sub->group_next)
        all = sift_queue(e, c, &sub->own, g->share == TD_BY_KEY);
    if (all)
        c->sifted = c->stream->kept.first;
}

void td_overtaken_catch_up(struct td_engine *e, struct td_consumer *c)
{
    uint64_t from = c->cursor;
    uint64_t first = c->stream->kept.first;
    struct td_lost lost;

    if (c->sifted < first)
        sift(e, c);
    if (c->locating || c->cursor >= first)
        return;
    if (c->cursor < c->newest_to) /* what is gone is no name's newest */
        c->cursor = least(first, c->newest_to);
    lost = open_before(c, first);
    if (td_consumer_is_durable(c)) {
        overtake(c, from, lost.events);
        c->cursor = from;
        pass_to(e, c, first);
    }
    c->cursor = first;
    c->read_next = 0;
    td_consumer_expire(e, c, &lost);
}
