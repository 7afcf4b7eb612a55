/* Dealing what waits for a group to its members: each gets a contiguous piece
 * of at most its credit. The policies differ in how many events they want each
 * member to have. */
#include "broker/engine/internal.h"

#include <stdlib.h>

const char *const td_share_names[TD_SHARES] = {
    "round_robin", "random", "least_pending", "key", "single"};

/* ---- what a member has room for ---- */

static bool is_listening(const struct td_sub *sub)
{
    const struct td_session *s = sub->session;

    return !s->away && !s->doomed &&
           s->messages_out - s->messages_seen < TD_MESSAGES_OUT_MAX;
}

static uint64_t room_events(const struct td_sub *sub)
{
    uint64_t used = sub->sent + sub->own.events;

    return is_listening(sub) && used < sub->events_limit
               ? sub->events_limit - used
               : 0;
}

static uint64_t room_bytes(const struct td_sub *sub)
{
    uint64_t used = sub->sent_bytes + sub->own.data;

    return used < sub->bytes_limit ? sub->bytes_limit - used : 0;
}

/* Whether it can take the group's next event, of so many bytes. */
static bool is_open(const struct td_sub *sub, uint64_t bytes)
{
    return room_events(sub) > 0 && room_bytes(sub) >= bytes;
}

static uint64_t holds(const struct td_sub *sub)
{
    return td_sub_in_flight(sub) + sub->own.events;
}

/* ---- how many each is to get: one round, want is 0 before ---- */

/* Members in the order of their turn, each once. */
static struct td_sub *first_turn(struct td_group *g)
{
    return g->named->turn ? g->named->turn : g->members;
}

static struct td_sub *next_turn(struct td_group *g, struct td_sub *sub)
{
    return sub->group_next ? sub->group_next : g->members;
}

/* A round: who is open shares so many events. */
struct round {
    uint64_t events;
    uint64_t bytes; /* of the first */
    uint32_t open;  /* members that are */
};

static void want_equal(struct td_engine *e, struct td_group *g,
                       const struct round *r)
{
    uint64_t extra = r->events % r->open;
    struct td_sub *sub = first_turn(g);

    (void)e;
    for (uint32_t i = 0; i < g->members_len; i++) {
        struct td_sub *next = next_turn(g, sub);

        if (is_open(sub, r->bytes)) {
            sub->want = r->events / r->open;
            if (extra > 0) {
                sub->want++;
                extra--;
                g->named->turn = next; /* who gets none of the rest is first */
            }
        }
        sub = next;
    }
}

static struct td_sub *nth_open(struct td_group *g, const struct round *r,
                               uint64_t nth)
{
    struct td_sub *sub = g->members;

    while (!is_open(sub, r->bytes) || nth-- > 0)
        sub = sub->group_next;
    return sub;
}

#define DRAWS_MAX 1024u /* per round: past it some events draw together */

/* Each event draws its member; then they lie together. */
static void want_random(struct td_engine *e, struct td_group *g,
                        const struct round *r)
{
    uint64_t events = r->events;
    uint64_t chunk = events / DRAWS_MAX + 1;

    if (r->open == 1) {
        nth_open(g, r, 0)->want = events;
        return;
    }
    while (events > 0) {
        uint64_t n = events < chunk ? events : chunk;

        nth_open(g, r, td_engine_random(e) % r->open)->want += n;
        events -= n;
    }
    g->named->turn = nth_open(g, r, td_engine_random(e) % r->open);
}

/* The level to which members are filled up: the lowest ones first. */
static void want_level(struct td_engine *e, struct td_group *g,
                       const struct round *r)
{
    uint64_t events = r->events;

    (void)e;
    while (events > 0) {
        struct td_sub *low = NULL;
        uint64_t lowest = UINT64_MAX;
        uint64_t above = UINT64_MAX; /* the next level */
        uint64_t same = 0;           /* members at the lowest */

        for (struct td_sub *sub = g->members; sub; sub = sub->group_next) {
            uint64_t level = holds(sub) + sub->want;

            if (!is_open(sub, r->bytes))
                continue;
            if (level < lowest) {
                above = lowest;
                lowest = level;
                low = sub;
                same = 1;
            } else if (level == lowest) {
                same++;
            } else if (level < above) {
                above = level;
            }
        }
        if (same == 1 && above != UINT64_MAX) {
            uint64_t n = above - lowest < events ? above - lowest : events;

            low->want += n;
            events -= n;
            continue;
        }
        for (struct td_sub *sub = low; sub && events > 0;
             sub = sub->group_next) {
            uint64_t step = above == UINT64_MAX ? (events + same - 1) / same
                                                : above - lowest;

            if (!is_open(sub, r->bytes) || holds(sub) + sub->want != lowest)
                continue;
            if (step > (events + same - 1) / same)
                step = (events + same - 1) / same;
            sub->want += step < events ? step : events;
            events -= step < events ? step : events;
            same -= same > 1;
        }
    }
}

static bool has_unsettled(const struct td_sub *sub)
{
    return sub->leases ? sub->leases->events > 0 : td_sub_in_flight(sub) > 0;
}

/* Who has them all; NULL: nobody is there. Another only when nothing is left
 * that the former may be at work on. */
static struct td_sub *the_one(struct td_group *g)
{
    struct td_sub *sub = g->named->turn;

    if (sub && (!sub->session->away || has_unsettled(sub)))
        return sub;
    for (sub = g->members; sub && sub->session->away;)
        sub = sub->group_next;
    g->named->turn = sub;
    return sub;
}

static void want_all(struct td_engine *e, struct td_group *g,
                     const struct round *r)
{
    struct td_sub *sub = the_one(g);

    (void)e;
    if (sub && is_open(sub, r->bytes))
        sub->want = r->events;
}

static void (*const wants[TD_SHARES])(struct td_engine *e, struct td_group *g,
                                      const struct round *r) = {
    [TD_ROUND_ROBIN] = want_equal,
    [TD_RANDOM] = want_random,
    [TD_LEAST_PENDING] = want_level,
    [TD_SINGLE] = want_all,
};

/* ---- dealing ---- */

static uint64_t next_bytes(const struct td_queue *q)
{
    struct td_piece front;
    struct td_piece rest;

    return td_piece_cut(td_queue_front(q), 1, UINT64_MAX, 1, &front, &rest)
               ? front.bytes
               : td_queue_front(q)->bytes; /* it lies: all at once, or never */
}

/* One round: true if something was dealt, and members without enough room
 * left the rest to another. */
static bool deal_round(struct td_engine *e, struct td_group *g)
{
    struct round r = {.events = g->queue.events,
                      .bytes = next_bytes(&g->queue)};
    uint64_t dealt = 0;
    struct td_sub *sub;

    for (sub = g->members; sub; sub = sub->group_next) {
        sub->want = 0;
        r.open += is_open(sub, r.bytes);
    }
    if (r.open == 0)
        return false;
    wants[g->share](e, g, &r);
    sub = first_turn(g);
    for (uint32_t i = 0; i < g->members_len; i++, sub = next_turn(g, sub)) {
        uint64_t n = room_events(sub);

        n = td_queue_move(&sub->own, &g->queue, sub->want < n ? sub->want : n,
                          room_bytes(sub));
        if (n > 0)
            td_sub_ready(e, sub);
        dealt += n;
    }
    return dealt > 0;
}

bool td_deal_has_room(struct td_group *g)
{
    const struct td_sub *sub = g->members;

    if (g->share == TD_SINGLE) {
        sub = the_one(g);
        return sub && room_events(sub) > 0;
    }
    while (sub && room_events(sub) == 0)
        sub = sub->group_next;
    return sub;
}

static void deal_waiting_by_key(struct td_engine *e, struct td_group *g);

void td_deal(struct td_engine *e, struct td_group *g)
{
    if (g->share == TD_BY_KEY)
        deal_waiting_by_key(e, g);
    while (g->queue.len > 0 && deal_round(e, g))
        ;
}

void td_deal_ready(struct td_engine *e)
{
    while (e->dealing) {
        struct td_named *named = e->dealing;

        DL_DELETE2(e->dealing, named, ready_prev, ready_next);
        named->ready = false;
        td_deal(e, named->group);
        td_group_wake_to_tell(e, named->group); /* who was, may be gone */
    }
}

/* ---- by key ---- */

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
    return !sub->session->away && (!sub->pulls || room_events(sub) > 0);
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
        if (is_there(l->sub) && holds(l->sub) == l->holds)
            return l->sub;
    }
    for (struct td_sub *sub = g->members; sub; sub = sub->group_next) {
        if (is_there(sub) && (!l->sub || holds(sub) < l->holds)) {
            l->sub = sub;
            l->holds = holds(sub);
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
                      w->event.item->sequence + w->event.index))
        return true;
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

static void deal_waiting_by_key(struct td_engine *e, struct td_group *g)
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
    deal_waiting_by_key(e, g); /* it came before */
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
