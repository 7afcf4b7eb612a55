/* Groups: their life and their members. */
#include "broker/engine/internal.h"

#include <stdlib.h>
#include <string.h>

struct td_str td_group_pattern(const struct td_group *g)
{
    return (struct td_str){g->text, g->pattern_len};
}

struct td_str td_group_name(const struct td_group *g)
{
    return (struct td_str){g->text + g->pattern_len + 1, g->name_len};
}

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
    struct td_named *named;

    HASH_FIND(hh, e->named, key, len, named);
    return named ? named->group : NULL;
}

/* False: no memory. */
static bool give_name(struct td_engine *e, struct td_group *g)
{
    struct td_named *named = calloc(1, sizeof(*named));
    size_t len = g->pattern_len + 1u + g->name_len;

    if (!named)
        return false;
    named->group = g;
    HASH_ADD_KEYPTR(hh, e->named, g->text, len, named);
    if (named->hh_failed) {
        free(named);
        return false;
    }
    g->named = named;
    e->groups_len++;
    return true;
}

static void take_name(struct td_engine *e, struct td_group *g)
{
    struct td_named *named = g->named;

    if (!named)
        return;
    if (named->ready)
        DL_DELETE2(e->dealing, named, ready_prev, ready_next);
    td_keys_fini(&named->keys);
    HASH_DELETE(hh, e->named, named);
    e->groups_len--;
    free(named);
}

struct td_group *td_group_new(struct td_engine *e, struct td_str pattern,
                              struct td_str name)
{
    struct td_group *g = calloc(1, sizeof(*g) + pattern.len + 1 + name.len);

    if (!g)
        return NULL;
    g->pattern_len = (uint16_t)pattern.len;
    g->name_len = (uint16_t)name.len;
    key_of(g->text, pattern, name);
    if (td_trie_add(&e->trie, &g->entry, g->text, g->pattern_len)) {
        free(g);
        return NULL;
    }
    if (name.len > 0 && !give_name(e, g)) {
        td_trie_remove(&e->trie, &g->entry);
        free(g);
        return NULL;
    }
    td_routes_changed(&e->routes);
    DL_APPEND(e->groups, g);
    return g;
}

struct td_group *td_group_new_fed(struct td_consumer *consumer,
                                  struct td_str pattern, struct td_str name)
{
    struct td_group *g = calloc(1, sizeof(*g) + pattern.len + 1 + name.len);

    if (!g)
        return NULL;
    g->consumer = consumer;
    g->pattern_len = (uint16_t)pattern.len;
    g->name_len = (uint16_t)name.len;
    key_of(g->text, pattern, name);
    g->queue_events_max = g->queue_bytes_max =
        UINT64_MAX; /* it is fed to size */
    if (name.len == 0)
        return g;
    g->named = calloc(1, sizeof(*g->named));
    if (!g->named) {
        free(g);
        return NULL;
    }
    g->named->group = g;
    return g;
}

void td_group_free_fed(struct td_engine *e, struct td_group *g)
{
    td_queue_fini(&g->queue);
    if (g->named) {
        if (g->named->ready)
            DL_DELETE2(e->dealing, g->named, ready_prev, ready_next);
        td_keys_fini(&g->named->keys);
        free(g->named);
    }
    free(g->trouble);
    free(g);
}

/* From now on no event matches it. */
static void unmatch(struct td_engine *e, struct td_group *g)
{
    td_trie_remove(&e->trie, &g->entry);
    td_routes_changed(&e->routes);
}

static void group_free(struct td_engine *e, struct td_group *g,
                       enum td_drop why)
{
    g->ledger.dropped[why] += g->queue.events;
    e->counters.all.dropped[why] += g->queue.events;
    td_ledger_add(&e->counters.gone, &g->ledger);
    td_group_end_hold(e, g);
    if (g->trouble && g->trouble->newsworthy)
        DL_DELETE2(e->news, g->trouble, news_prev, news_next);
    td_queue_fini(&g->queue);
    take_name(e, g);
    DL_DELETE(e->groups, g);
    free(g->trouble);
    free(g);
}

void td_group_join(struct td_engine *e, struct td_group *g, struct td_sub *sub)
{
    sub->group = g;
    sub->from = g->name_len > 0 ? &sub->own : &g->queue;
    sub->own.sum = g->named ? &g->named->dealt : NULL;
    DL_APPEND2(g->members, sub, group_prev, group_next);
    g->members_len++;
    td_group_ready(e, g);
}

/* What the member was dealt and not sent; the first so many hold no key. False:
 * there is no memory, and nothing has changed. */
static bool give_back(struct td_group *g, struct td_sub *sub, uint64_t skip)
{
    if (td_queue_reserve(&g->queue, sub->own.len + 1))
        return false;
    if (g->share == TD_BY_KEY)
        td_deal_forget_all(g, &sub->own, skip);
    td_queue_return(&g->queue, &sub->own, sub->own.events);
    return true;
}

/* Its own queue, for lack of memory; the first so many hold no key. */
static uint64_t lose_own(struct td_group *g, struct td_sub *sub, uint64_t skip)
{
    if (g->share == TD_BY_KEY)
        td_deal_forget_all(g, &sub->own, skip);
    return td_queue_drop(&sub->own, 0, 0, NULL, NULL);
}

/* It leaves: whose turn it is then. */
static void pass_turn(struct td_group *g, const struct td_sub *sub)
{
    if (g->named && g->named->turn == sub)
        g->named->turn = g->share == TD_SINGLE ? NULL : sub->group_next;
}

void td_group_leave(struct td_engine *e, struct td_group *g, struct td_sub *sub,
                    enum td_drop why)
{
    uint64_t lost;

    if (g->consumer) {
        td_consumer_leave(e, g->consumer, sub, why == TD_DROP_UNSUBSCRIBED);
        return;
    }
    if (g->members_len == 1) { /* what it has to tell is not for itself */
        unmatch(e, g);
        td_advise_end(e, g);
    }
    lost = td_sub_in_flight(sub);
    if (g->share == TD_BY_KEY)
        td_deal_forget_all(g, &sub->flight, td_deal_loose(sub));
    pass_turn(g, sub);
    DL_DELETE2(g->members, sub, group_prev, group_next);
    g->members_len--;
    if (!give_back(g, sub, 0))
        lost += lose_own(g, sub, 0);
    g->ledger.dropped[why] += lost;
    e->counters.all.dropped[why] += lost;
    if (g->members_len == 0) {
        group_free(e, g, why);
        return;
    }
    if (g->share == TD_BY_KEY)
        td_deal(e, g);
    td_group_pass_hold(e, g, sub->session);
    td_group_ready(e, g);
}

void td_group_take_out(struct td_engine *e, struct td_group *g,
                       struct td_sub *sub)
{
    if (g->share == TD_BY_KEY)
        td_deal_forget_all(g, &sub->flight, td_deal_loose(sub));
    pass_turn(g, sub);
    DL_DELETE2(g->members, sub, group_prev, group_next);
    g->members_len--;
    if (g->share == TD_BY_KEY) /* whatever it still holds, it holds no more */
        td_keys_drop(&g->named->keys, sub);
    if (!give_back(g, sub, 0))
        td_consumer_unfeed(e, g->consumer, &sub->own);
    td_group_ready(e, g);
}

/* ---- members that are away ---- */

void td_group_away(struct td_engine *e, struct td_sub *sub)
{
    struct td_group *g = sub->group;

    if (g->name_len > 0 && give_back(g, sub, 0)) {
        if (g->share == TD_BY_KEY) /* to itself, if it was sent more of a key */
            td_deal(e, g);
        td_group_ready(e, g);
        td_group_keep_flowing(e, g);
    }
    td_group_pass_hold(e, g, NULL);
}

void td_group_give_up(struct td_engine *e, struct td_sub *sub)
{
    struct td_group *g = sub->group;

    if (sub->sent + sub->own.events <= sub->events_limit ||
        !give_back(g, sub, 0))
        return;
    if (g->share == TD_BY_KEY)
        td_deal(e, g);
    td_group_ready(e, g);
}

/* What is at the front of its own queue, and was sent: that has come back by
 * its leases. The first so many hold no key. */
static void drop_rewound(struct td_group *g, struct td_sub *sub, uint64_t skip)
{
    uint64_t left = sub->leases->last_tag - sub->sent;

    for (sub->loose = sub->sent; left > 0 && sub->own.len > 0;) {
        struct td_piece piece = *td_queue_front(&sub->own);
        struct td_piece rest = {.events = 0};

        if (left < piece.events) { /* joined to what was never sent */
            struct td_piece whole = piece;

            if (!td_piece_cut(&whole, left, UINT64_MAX, UINT32_MAX, &piece,
                              &rest))
                return; /* it lies */
        }
        if (g->share == TD_BY_KEY)
            td_deal_forget(g, &piece, skip);
        skip -= skip < piece.events ? skip : piece.events;
        left -= piece.events;
        if (rest.events > 0)
            td_queue_set_front(&sub->own, &rest);
        else
            td_queue_pop(&sub->own);
    }
}

void td_group_rewound(struct td_engine *e, struct td_sub *sub)
{
    struct td_group *g = sub->group;
    uint64_t loose = sub->loose > sub->sent ? sub->loose - sub->sent : 0;

    if (sub->leases) { /* another may have had some of it since */
        drop_rewound(g, sub, loose);
        sub->leases->last_tag = sub->sent; /* those tags come again */
        if (sub->parked_tag > sub->sent)
            sub->parked_tag = sub->sent;
        return;
    }
    if (loose == 0)
        return;
    sub->loose = sub->sent;
    if (!give_back(g, sub, loose))
        td_group_book(e, g, TD_DROP_MEMORY, lose_own(g, sub, loose));
    td_group_ready(e, g);
}

bool td_group_let_go(struct td_engine *e, struct td_group *g)
{
    bool moved = false;

    if (g->share != TD_BY_KEY || td_group_is_away(g))
        return false;
    for (struct td_sub *sub = g->members; sub; sub = sub->group_next) {
        if (!sub->session->away || sub->own.len == 0 || !give_back(g, sub, 0))
            continue;
        td_deal_forget_all(g, &sub->flight, td_deal_loose(sub));
        sub->loose = sub->sent;
        moved = true;
    }
    if (moved)
        td_deal(e, g);
    return moved;
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
    if (g->named->ready)
        return;
    g->named->ready = true;
    DL_APPEND2(e->dealing, g->named, ready_prev, ready_next);
}
