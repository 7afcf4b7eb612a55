/* Groups: the queue that members share, and what happens at its bounds. */
#include "broker/engine/internal.h"

#include <stdlib.h>
#include <string.h>

const char *const td_policy_names[TD_POLICIES] = {"block", "drop_oldest",
                                                  "drop_newest"};

const char *const td_drop_names[TD_DROPS] = {
#define TD_DROP_NAME(name, text) text,
    TD_DROP_MAP(TD_DROP_NAME)
#undef TD_DROP_NAME
};

struct td_str td_group_pattern(const struct td_group *g)
{
    return (struct td_str){g->text, g->pattern_len};
}

struct td_str td_group_name(const struct td_group *g)
{
    return (struct td_str){g->text + g->pattern_len + 1, g->name_len};
}

static void book_drop(struct td_engine *e, struct td_group *g, enum td_drop why,
                      uint64_t events);

/* ---- life ---- */

/* Pattern, NUL, name: no pattern holds a NUL. */
static size_t key_of(char *key, struct td_str pattern, struct td_str name)
{
    memcpy(key, pattern.data, pattern.len);
    key[pattern.len] = '\0';
    memcpy(key + pattern.len + 1, name.data, name.len);
    return pattern.len + 1 + name.len;
}

struct td_group *td_group_find(struct td_engine *e, struct td_str pattern,
                               struct td_str name)
{
    char key[TD_TYPE_BYTES_MAX + 1 + TD_GROUP_BYTES_MAX];
    size_t len = key_of(key, pattern, name);
    struct td_group *g;

    HASH_FIND(hh, e->named, key, len, g);
    return g;
}

struct td_group *td_group_new(struct td_engine *e, struct td_str pattern,
                              struct td_str name)
{
    struct td_group *g = calloc(1, sizeof(*g) + pattern.len + 1 + name.len);
    size_t len;

    if (!g)
        return NULL;
    g->pattern_len = pattern.len;
    g->name_len = name.len;
    len = key_of(g->text, pattern, name);
    if (td_trie_add(&e->trie, &g->entry, g->text, g->pattern_len)) {
        free(g);
        return NULL;
    }
    if (name.len > 0)
        HASH_ADD_KEYPTR(hh, e->named, g->text, len, g);
    if (g->hh_failed) {
        td_trie_remove(&e->trie, &g->entry);
        free(g);
        return NULL;
    }
    td_routes_changed(&e->routes);
    DL_APPEND(e->groups, g);
    e->groups_len += name.len > 0;
    return g;
}

void td_group_free(struct td_engine *e, struct td_group *g, enum td_drop why)
{
    g->ledger.dropped[why] += g->queue.events;
    e->counters.all.dropped[why] += g->queue.events;
    td_ledger_add(&e->counters.gone, &g->ledger);
    td_group_end_hold(e, g);
    if (g->ready)
        DL_DELETE2(e->dealing, g, ready_prev, ready_next);
    if (g->newsworthy)
        DL_DELETE2(e->news, g, news_prev, news_next);
    td_trie_remove(&e->trie, &g->entry);
    td_routes_changed(&e->routes);
    td_queue_fini(&g->queue);
    td_keys_fini(&g->keys);
    if (g->name_len > 0)
        HASH_DELETE(hh, e->named, g);
    DL_DELETE(e->groups, g);
    e->groups_len -= g->name_len > 0;
    free(g);
}

void td_group_join(struct td_engine *e, struct td_group *g, struct td_sub *sub)
{
    sub->group = g;
    sub->from = g->name_len > 0 ? &sub->own : &g->queue;
    DL_APPEND2(g->members, sub, group_prev, group_next);
    g->members_len++;
    td_group_ready(e, g);
}

/* What the member was dealt and not sent; for lack of memory it is lost. */
static void give_back(struct td_group *g, struct td_sub *sub)
{
    uint64_t events = sub->own.events;

    if (events == 0 || td_queue_reserve(&g->queue, sub->own.len + 1))
        return;
    td_queue_return(&g->queue, &sub->own, events);
}

/* Share TD_BY_KEY: what came back goes to the members that are left. */
static void deal_again(struct td_engine *e, struct td_group *g)
{
    while (g->share == TD_BY_KEY && g->queue.len > 0) {
        struct td_piece piece = *td_queue_front(&g->queue);

        book_drop(e, g, TD_DROP_MEMORY, td_deal_by_key(e, g, &piece));
        td_queue_pop(&g->queue);
    }
}

void td_group_leave(struct td_engine *e, struct td_group *g, struct td_sub *sub,
                    enum td_drop why)
{
    uint64_t lost = td_sub_in_flight(sub);

    for (; g->share == TD_BY_KEY && sub->flight.len > 0;
         td_queue_pop(&sub->flight))
        td_deal_forget(g, td_queue_front(&sub->flight));
    if (g->turn == sub)
        g->turn = sub->group_next;
    if (g->charged == sub->session)
        td_group_end_hold(e, g); /* another one's budget, if need be */
    DL_DELETE2(g->members, sub, group_prev, group_next);
    g->members_len--;
    for (uint32_t i = 0; g->share == TD_BY_KEY && i < sub->own.len; i++)
        td_deal_forget(g, td_queue_nth(&sub->own, i));
    give_back(g, sub);
    lost += sub->own.events;
    g->ledger.dropped[why] += lost;
    e->counters.all.dropped[why] += lost;
    if (g->members_len == 0) {
        td_group_free(e, g, why);
        return;
    }
    if (td_group_is_away(g))
        td_group_end_hold(e, g); /* who is left waits for nobody */
    deal_again(e, g);
    td_group_ready(e, g);
}

bool td_group_is_away(const struct td_group *g)
{
    for (const struct td_sub *sub = g->members; sub; sub = sub->group_next) {
        if (!sub->session->away)
            return false;
    }
    return true;
}

void td_group_ready(struct td_engine *e, struct td_group *g)
{
    if (g->name_len == 0) {
        if (g->members)
            td_sub_ready(e, g->members);
        return;
    }
    if (g->ready)
        return;
    g->ready = true;
    DL_APPEND2(e->dealing, g, ready_prev, ready_next);
}

/* ---- what waits ---- */

uint64_t td_group_waiting(const struct td_group *g)
{
    uint64_t events = g->queue.events;

    for (const struct td_sub *sub = g->name_len ? g->members : NULL; sub;
         sub = sub->group_next)
        events += sub->own.events;
    return events;
}

uint64_t td_group_waiting_bytes(const struct td_group *g)
{
    uint64_t bytes = g->queue.bytes;

    for (const struct td_sub *sub = g->name_len ? g->members : NULL; sub;
         sub = sub->group_next)
        bytes += sub->own.bytes;
    return bytes;
}

uint64_t td_group_pending(const struct td_group *g)
{
    uint64_t events = td_group_waiting(g);

    for (const struct td_sub *sub = g->members; sub; sub = sub->group_next)
        events += td_sub_in_flight(sub);
    return events;
}

static bool is_over(const struct td_group *g)
{
    return td_group_waiting(g) > g->queue_events_max ||
           td_group_waiting_bytes(g) > g->queue_bytes_max;
}

/* ---- holding publishers back ---- */

static struct td_group *group_of_hold(struct td_hold *hold)
{
    return (struct td_group *)((char *)hold - offsetof(struct td_group, hold));
}

/* What is left of the two budgets: its own, and that of the session which it
 * is charged to. */
static int64_t budget(struct td_engine *e, struct td_group *g,
                      struct td_session *charged)
{
    int64_t own = td_block_left(&g->block, e->now_ms);
    int64_t all = td_block_left(&charged->block, e->now_ms);

    return own < all ? own : all;
}

static void hold_begin(struct td_engine *e, struct td_group *g)
{
    struct td_session *s = g->members->session;

    g->hold.number = ++e->next_hold;
    g->hold.hh_failed = false;
    HASH_ADD(hh, e->holds, number, sizeof(g->hold.number), &g->hold);
    if (g->hold.hh_failed)
        return; /* no memory to wait with: it will drop instead */
    td_block_begin(&g->block, e->now_ms);
    g->charged = s;
    if (s->blocking++ == 0)
        td_block_begin(&s->block, e->now_ms);
    td_advise_slow(e, g);
    td_log(&e->options.log, TD_LOG_DEBUG, "BLOCK",
           "%.*s of session %llu holds its publishers back",
           (int)g->pattern_len, g->text, (unsigned long long)s->number);
}

void td_group_end_hold(struct td_engine *e, struct td_group *g)
{
    if (!g->block.blocking)
        return;
    td_block_end(&g->block, e->now_ms);
    if (--g->charged->blocking == 0)
        td_block_end(&g->charged->block, e->now_ms);
    g->charged = NULL;
    HASH_DELETE(hh, e->holds, &g->hold);
    e->hold_ended = true;
}

void td_group_eased(struct td_engine *e, struct td_group *g)
{
    if (g->block.blocking && td_group_waiting(g) <= g->queue_events_max / 2 &&
        td_group_waiting_bytes(g) <= g->queue_bytes_max / 2)
        td_group_end_hold(e, g);
}

void td_group_forgive_holds(struct td_engine *e, int64_t pause_ms)
{
    struct td_hold *hold;
    struct td_hold *after;

    HASH_ITER(hh, e->holds, hold, after)
    {
        td_block_forgive(&group_of_hold(hold)->block, pause_ms);
    }
    for (struct td_session *s = e->sessions; s; s = s->hh.next)
        td_block_forgive(&s->block, pause_ms);
}

static void drop_to_half(struct td_engine *e, struct td_group *g)
{
    td_group_drop(e, g, TD_DROP_SLOW, g->queue_events_max / 2,
                  g->queue_bytes_max / 2);
}

int64_t td_group_tick_holds(struct td_engine *e)
{
    struct td_hold *hold;
    struct td_hold *after;
    int64_t next = TD_NEVER;

    HASH_ITER(hh, e->holds, hold, after)
    {
        struct td_group *g = group_of_hold(hold);
        int64_t left = budget(e, g, g->charged);

        if (left == 0) {
            td_group_end_hold(e, g);
            drop_to_half(e, g);
        } else if (e->now_ms + left < next) {
            next = e->now_ms + left;
        }
    }
    return next;
}

/* ---- dropping ---- */

static void book_drop(struct td_engine *e, struct td_group *g, enum td_drop why,
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
    for (struct td_sub *sub = g->members; sub; sub = sub->group_next) {
        if (!sub->session->away) {
            td_sub_ready(e, sub); /* to be told */
            break;
        }
    }
    td_group_eased(e, g);
}

static void forget(void *ctx, const struct td_piece *piece)
{
    td_deal_forget(ctx, piece);
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
    book_drop(e, g, why, dropped);
}

void td_group_lose(struct td_engine *e, struct td_group *g, uint64_t events)
{
    g->ledger.matched += events;
    e->counters.all.matched += events;
    book_drop(e, g, TD_DROP_MEMORY, events);
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

/* Policy drop_newest: as much as there is room for. */
static void push_what_fits(struct td_engine *e, struct td_group *g,
                           const struct td_piece *all)
{
    size_t overhead = all->item->cost - all->item->batch.bytes;
    struct td_piece front = *all;
    struct td_piece rest = *all;

    if (td_group_waiting(g) + all->events > g->queue_events_max ||
        td_group_waiting_bytes(g) + all->item->cost > g->queue_bytes_max)
        td_group_serve(e, g);
    if (!td_piece_cut(
            all, room(g->queue_events_max, td_group_waiting(g)),
            room(g->queue_bytes_max, td_group_waiting_bytes(g) + overhead),
            UINT32_MAX, &front, &rest)) {
        rest = *all;
        front.events = 0;
    }
    if (front.events > 0)
        book_drop(e, g, TD_DROP_MEMORY, take(e, g, &front));
    book_drop(e, g, TD_DROP_NEWEST, rest.events);
}

static void block(struct td_engine *e, struct td_group *g,
                  struct td_session *from)
{
    if (from && !td_group_is_away(g) && !g->block.blocking &&
        budget(e, g, g->members->session) > 0)
        hold_begin(e, g);
    if (from && g->block.blocking)
        td_session_hold(e, from, g->hold.number);
    else
        drop_to_half(e, g);
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
    book_drop(e, g, TD_DROP_MEMORY, take(e, g, &piece));
    if (is_over(g))
        td_group_serve(e, g);
    if (!is_over(g))
        return;
    if (g->policy == TD_BLOCK)
        block(e, g, from);
    else
        td_group_drop(e, g, TD_DROP_OLDEST, g->queue_events_max,
                      g->queue_bytes_max);
}
