/* Dealing by key: each event to the member that holds its key. What belongs to
 * a key that waits is set aside. */
#include "broker/engine/internal.h"

/* The first member that holds fewest events, of those whose link is up. While
 * a piece is dealt members only come to hold more: until the last one that held
 * so few has been found, the next cannot be before the one found last. */
struct least {
    struct td_sub *sub; /* found last; NULL: none was */
    uint64_t holds;     /* then */
};

/* Who pulls is not there while it does not. */
static bool is_there(const struct td_sub *sub)
{
    return !sub->session->away && (!sub->pulls || td_deal_room(sub) > 0);
}

/* All that are there pull, and none of them does. */
static struct td_sub *any_there(const struct td_group *g)
{
    struct td_sub *sub = g->members;

    while (sub->session->away)
        sub = sub->group_next;
    return sub;
}

static struct td_sub *least(struct td_group *g, struct least *l)
{
    for (; l->sub; l->sub = l->sub->group_next) {
        if (is_there(l->sub) && td_deal_holds(l->sub) == l->holds)
            return l->sub;
    }
    for (struct td_sub *sub = g->members; sub; sub = sub->group_next) {
        if (is_there(sub) && (!l->sub || td_deal_holds(sub) < l->holds)) {
            l->sub = sub;
            l->holds = td_deal_holds(sub);
        }
    }
    return l->sub ? l->sub : any_there(g);
}

/* A walk over a piece's events. */
struct walk {
    struct td_piece left;  /* what has not been walked */
    struct td_piece event; /* the one at hand, as a piece */
    uint64_t key;          /* its key; 0: none */
};

static bool next_event(struct walk *w)
{
    const struct td_batch *batch = &w->left.item->batch;
    struct td_event event;
    const uint8_t *data;
    const uint8_t *p;

    if (w->left.events == 0 || w->left.run >= batch->runs_len)
        return false;
    w->event = w->left;
    w->event.events = 1;
    p = data = td_piece_data(&w->left);
    w->key = 0;
    if (!(batch->runs[w->left.run].flags & TD_RUN_KEY)) {
        p = td_events_skip(p, p + w->left.bytes, 1);
        if (!p)
            return false;
    } else if (td_event_open(&event, &p, p + w->left.bytes)) {
        w->key = td_key_of(&event);
    } else if (p == data) {
        return false;
    }
    w->event.bytes = (uint32_t)(p - data);
    w->left.events--;
    w->left.bytes -= w->event.bytes;
    w->left.offset += w->event.bytes;
    w->left.index++;
    if (++w->left.event == batch->runs[w->left.run].count) {
        w->left.run++;
        w->left.event = 0;
    }
    return true;
}

/* One event to the member that is to have it; false: there is no memory. */
static bool deal_one(struct td_engine *e, struct td_group *g,
                     const struct walk *w, struct least *l)
{
    struct td_sub *to = w->key ? td_keys_holder(&g->named->keys, w->key) : NULL;

    if (g->consumer && w->key &&
        td_park_aside(&g->consumer->parks, w->key,
                      w->event.item->sequence + w->event.index)) {
        if (g->consumer->outage.state != TD_OUTAGE_RUNNING)
            td_consumer_ready(e, g->consumer); /* another may go instead */
        return true;
    }
    if (!to)
        to = least(g, l);
    if (w->key && !td_keys_take(&g->named->keys, w->key, to))
        return false;
    if (td_queue_push(&to->own, &w->event)) {
        if (w->key)
            td_keys_release(&g->named->keys, w->key);
        return false;
    }
    td_sub_ready(e, to);
    return true;
}

/* Somebody's link is up. */
static uint64_t deal_piece(struct td_engine *e, struct td_group *g,
                           const struct td_piece *piece)
{
    struct walk w = {.left = *piece};
    struct least l = {NULL, 0};
    uint64_t lost = 0;

    while (next_event(&w))
        lost += !deal_one(e, g, &w, &l);
    return lost + w.left.events;
}

void td_deal_waiting_by_key(struct td_engine *e, struct td_group *g)
{
    uint64_t lost = 0;

    if (g->queue.len == 0 || td_group_is_away(g))
        return;
    for (; g->queue.len > 0; td_queue_pop(&g->queue))
        lost += deal_piece(e, g, td_queue_front(&g->queue));
    td_group_book(e, g, TD_DROP_MEMORY, lost);
}

uint64_t td_deal_by_key(struct td_engine *e, struct td_group *g,
                        const struct td_piece *piece)
{
    if (td_group_is_away(g))
        return td_queue_push(&g->queue, piece) ? piece->events : 0;
    td_deal_waiting_by_key(e, g); /* it came before */
    return deal_piece(e, g, piece);
}

/* ---- keys that have begun to wait ---- */

/* How many of the events are of keys that wait. */
static uint64_t waiting_in(const struct td_parks *parks,
                           const struct td_queue *q)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < q->len; i++) {
        struct walk w = {.left = *td_queue_nth(q, i)};

        while (next_event(&w))
            n += w.key && td_park_waits(parks, w.key,
                                        w.event.item->sequence + w.event.index);
    }
    return n;
}

static void set_aside(struct td_engine *e, struct td_consumer *c,
                      struct td_sub *sub)
{
    struct td_queue kept = {.sum = sub->own.sum};
    uint64_t waiting = waiting_in(&c->parks, &sub->own);

    /* Without memory order is lost rather than an event. */
    if (waiting == 0 ||
        td_queue_reserve(&kept, sub->own.len + (uint32_t)waiting))
        return;
    for (; sub->own.len > 0; td_queue_pop(&sub->own)) {
        struct walk w = {.left = *td_queue_front(&sub->own)};

        while (next_event(&w)) {
            uint64_t sequence = w.event.item->sequence + w.event.index;

            if (w.key && td_park_aside(&c->parks, w.key, sequence)) {
                td_keys_release(&c->group->named->keys, w.key);
                continue;
            }
            td_queue_push(&kept, &w.event);
        }
        if (w.left.events > 0) /* it lies */
            td_queue_push(&kept, &w.left);
    }
    td_queue_fini(&sub->own);
    sub->own = kept;
    td_sub_ready(e, sub);
}

void td_deal_set_aside(struct td_engine *e, struct td_consumer *c)
{
    for (struct td_sub *sub = c->group->members; sub; sub = sub->group_next)
        set_aside(e, c, sub);
    c->parks.fresh = false;
}

void td_deal_forget(struct td_group *g, const struct td_piece *piece,
                    uint64_t skip)
{
    struct walk w = {.left = *piece};

    while (next_event(&w)) {
        if (skip > 0)
            skip--;
        else if (w.key)
            td_keys_release(&g->named->keys, w.key);
    }
}

void td_deal_each(const struct td_piece *piece,
                  void (*visit)(void *ctx, const struct td_piece *event,
                                uint64_t key),
                  void *ctx)
{
    struct walk w = {.left = *piece};

    while (next_event(&w))
        visit(ctx, &w.event, w.key);
}

void td_deal_forget_all(struct td_group *g, const struct td_queue *q,
                        uint64_t skip)
{
    for (uint32_t i = 0; i < q->len; i++) {
        const struct td_piece *piece = td_queue_nth(q, i);

        td_deal_forget(g, piece, skip);
        skip -= skip < piece->events ? skip : piece->events;
    }
}

uint64_t td_deal_loose(const struct td_sub *sub)
{
    return sub->loose > sub->flight_first ? sub->loose - sub->flight_first : 0;
}
