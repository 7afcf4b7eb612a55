/* What waits for a group, and what happens at its bounds. */
#include "broker/engine/internal.h"

const char *const td_policy_names[TD_POLICIES] = {"block", "drop_oldest",
                                                  "drop_newest"};

const char *const td_drop_names[TD_DROPS] = {
#define TD_DROP_NAME(name, text) text,
    TD_DROP_MAP(TD_DROP_NAME)
#undef TD_DROP_NAME
};

/* ---- what waits ---- */

uint64_t td_group_waiting(const struct td_group *g)
{
    return g->queue.events + (g->named ? g->named->dealt.events : 0);
}

uint64_t td_group_waiting_bytes(const struct td_group *g)
{
    return g->queue.bytes + (g->named ? g->named->dealt.bytes : 0);
}

uint64_t td_group_pending(const struct td_group *g)
{
    uint64_t events = td_group_waiting(g);

    for (const struct td_sub *sub = g->members; sub; sub = sub->group_next)
        events += td_sub_in_flight(sub);
    return events;
}

bool td_group_is_over(const struct td_group *g)
{
    return td_group_waiting(g) > g->queue_events_max ||
           td_group_waiting_bytes(g) > g->queue_bytes_max;
}

/* Share TD_BY_KEY: so much waits for members that are away that it alone would
 * keep publishers held back. */
static bool waits_for_away(const struct td_group *g)
{
    uint64_t events = 0;
    uint64_t bytes = 0;

    if (g->share != TD_BY_KEY)
        return false;
    for (const struct td_sub *sub = g->members; sub; sub = sub->group_next) {
        events += sub->session->away ? sub->own.events : 0;
        bytes += sub->session->away ? sub->own.bytes : 0;
    }
    return events > g->queue_events_max / 2 || bytes > g->queue_bytes_max / 2;
}

void td_group_keep_flowing(struct td_engine *e, struct td_group *g)
{
    if ((td_group_is_over(g) || td_group_is_holding(g)) && waits_for_away(g) &&
        td_group_let_go(e, g))
        td_group_serve(e, g);
}

/* ---- dropping ---- */

void td_group_wake_to_tell(struct td_engine *e, const struct td_group *g)
{
    for (struct td_sub *sub = g->members; sub && td_gaps_wait(sub);
         sub = sub->group_next) {
        if (sub->session->away || sub->session->doomed)
            continue;
        td_sub_ready(e, sub);
        return;
    }
}

void td_group_book(struct td_engine *e, struct td_group *g, enum td_drop why,
                   uint64_t events)
{
    if (events == 0)
        return;
    if (g->gap[why] == 0) /* how many in all is said when it is told */
        td_log(&e->options.log, TD_LOG_WARN, "DROP", "%.*s%s%.*s drops: %s",
               (int)g->pattern_len, g->text, g->name_len ? " of group " : "",
               (int)g->name_len, g->text + g->pattern_len + 1,
               td_drop_names[why]);
    g->ledger.dropped[why] += events;
    e->counters.all.dropped[why] += events;
    g->gap[why] += events;
    td_advise_drop(e, g, why, events);
    td_group_wake_to_tell(e, g);
    td_group_eased(e, g);
}

static void forget(void *ctx, const struct td_piece *piece)
{
    td_deal_forget(ctx, piece, 0);
}

/* The queue of its members that holds most; with its own it is that one. */
static struct td_queue *fullest(struct td_group *g)
{
    struct td_queue *found = &g->queue;

    for (struct td_sub *sub = g->name_len ? g->members : NULL; sub;
         sub = sub->group_next) {
        if (sub->own.bytes > found->bytes)
            found = &sub->own;
    }
    return found;
}

/* What one of its queues may keep so that all together keep at most max. */
static uint64_t share_of(uint64_t max, uint64_t all, uint64_t own)
{
    uint64_t others = all - own;

    return max > others ? max - others : 0;
}

void td_group_drop(struct td_engine *e, struct td_group *g, enum td_drop why,
                   uint64_t events, uint64_t bytes)
{
    uint64_t dropped = 0;

    /* Before anything is dropped it goes where it can. */
    if ((td_group_waiting(g) > events || td_group_waiting_bytes(g) > bytes) &&
        td_group_let_go(e, g))
        td_group_serve(e, g);
    while (td_group_waiting(g) > events || td_group_waiting_bytes(g) > bytes) {
        struct td_queue *q = fullest(g);
        bool dealt = q != &g->queue && g->share == TD_BY_KEY;

        if (q->len == 0)
            break;
        dropped +=
            td_queue_drop(q, share_of(events, td_group_waiting(g), q->events),
                          share_of(bytes, td_group_waiting_bytes(g), q->bytes),
                          dealt ? forget : NULL, g);
    }
    td_group_book(e, g, why, dropped);
}

void td_group_lose(struct td_engine *e, struct td_group *g, uint64_t events)
{
    g->ledger.matched += events;
    e->counters.all.matched += events;
    td_group_book(e, g, TD_DROP_MEMORY, events);
}

/* ---- queueing ---- */

/* Returns how many events there was no memory for. */
static uint64_t take(struct td_engine *e, struct td_group *g,
                     const struct td_piece *piece)
{
    if (g->share == TD_BY_KEY)
        return td_deal_by_key(e, g, piece);
    return td_queue_push(&g->queue, piece) ? piece->events : 0;
}

void td_group_serve(struct td_engine *e, struct td_group *g)
{
    if (g->name_len > 0)
        td_deal(e, g);
    for (struct td_sub *sub = g->members; sub; sub = sub->group_next)
        td_deliver(e, sub);
}

static uint64_t room(uint64_t max, uint64_t used)
{
    return used < max ? max - used : 0;
}

/* Policy drop_newest: cuts off the front of *rest what there is room for, or, as
 * events differ in size, some of it; false: there is room for nothing. */
static bool cut_to_room(const struct td_group *g, struct td_piece *rest,
                        struct td_piece *front)
{
    const struct td_piece all = *rest;
    uint64_t share = all.item->share;
    uint64_t events = room(g->queue_events_max, td_group_waiting(g));
    uint64_t bytes = room(g->queue_bytes_max, td_group_waiting_bytes(g));
    uint64_t n = bytes / (share + all.bytes / all.events); /* on average */

    n = n < events ? n : events;
    n = n < all.events ? n : all.events;
    if (n > 1 &&
        td_piece_cut(&all, n, bytes - n * share, UINT32_MAX, front, rest))
        return true;
    return events > 0 && bytes >= share &&
           td_piece_cut(&all, 1, bytes - share, UINT32_MAX, front, rest);
}

/* Policy drop_newest. What is sent meanwhile makes room; once that is not
 * enough, all the rest is refused, so that nothing overtakes it. */
static void push_what_fits(struct td_engine *e, struct td_group *g,
                           const struct td_piece *all)
{
    struct td_piece rest = *all;
    struct td_piece front;
    bool served = false;
    uint64_t lost = 0;

    while (rest.events > 0) {
        struct td_piece left = rest;

        if (cut_to_room(g, &left, &front)) {
            lost += take(e, g, &front);
            rest = left;
            served = false;
        } else if (!served) {
            td_group_let_go(e, g);
            td_group_serve(e, g);
            served = true;
        } else {
            break;
        }
    }
    td_group_book(e, g, TD_DROP_MEMORY, lost);
    td_group_book(e, g, TD_DROP_NEWEST, rest.events);
}

void td_group_push(struct td_engine *e, struct td_group *g,
                   struct td_session *from, struct td_item *item)
{
    const struct td_piece piece = td_piece_of(item);

    g->ledger.matched += piece.events;
    e->counters.all.matched += piece.events;
    td_group_ready(e, g);
    if (g->policy == TD_DROP_THE_NEWEST) {
        push_what_fits(e, g, &piece);
        return;
    }
    td_group_book(e, g, TD_DROP_MEMORY, take(e, g, &piece));
    if (td_group_is_over(g))
        td_group_serve(e, g);
    td_group_keep_flowing(e, g);
    if (!td_group_is_over(g))
        return;
    if (g->policy == TD_BLOCK)
        td_group_hold(e, g, from);
    else
        td_group_drop(e, g, TD_DROP_OLDEST, g->queue_events_max,
                      g->queue_bytes_max);
}
