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

uint64_t td_deal_room(const struct td_sub *sub)
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
    return td_deal_room(sub) > 0 && room_bytes(sub) >= bytes;
}

uint64_t td_deal_holds(const struct td_sub *sub)
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
            uint64_t level = td_deal_holds(sub) + sub->want;

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

            if (!is_open(sub, r->bytes) ||
                td_deal_holds(sub) + sub->want != lowest)
                continue;
            if (step > (events + same - 1) / same)
                step = (events + same - 1) / same;
            sub->want += step < events ? step : events;
            events -= step < events ? step : events;
            same -= same > 1;
        }
    }
}

/* Who has them all; NULL: nobody is there. Another only when nothing is left
 * that the former may be at work on. */
static struct td_sub *the_one(struct td_group *g)
{
    struct td_sub *sub = g->named->turn;

    if (sub && (!sub->session->away || td_sub_has_unsettled(sub)))
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
        uint64_t n = td_deal_room(sub);

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
        return sub && td_deal_room(sub) > 0;
    }
    while (sub && td_deal_room(sub) == 0)
        sub = sub->group_next;
    return sub;
}

void td_deal(struct td_engine *e, struct td_group *g)
{
    if (g->share == TD_BY_KEY)
        td_deal_waiting_by_key(e, g);
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
