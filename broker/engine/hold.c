/* Policy block: a group whose queue is over its bound holds publishers back, as
 * long as its own budget and that of the session it is charged to allow. */
#include "broker/engine/internal.h"

#include <stdlib.h>

struct td_trouble *td_group_trouble(struct td_group *g)
{
    if (!g->trouble)
        g->trouble = calloc(1, sizeof(*g->trouble));
    if (g->trouble)
        g->trouble->group = g;
    return g->trouble;
}

bool td_group_is_holding(const struct td_group *g)
{
    return g->trouble && g->trouble->block.blocking;
}

uint64_t td_group_blocked_ms(struct td_engine *e, struct td_group *g)
{
    if (!g->trouble)
        return 0;
    td_block_left(&g->trouble->block, e->now_ms); /* books what is running */
    return g->trouble->block.total_ms;
}

static struct td_trouble *trouble_of_hold(struct td_hold *hold)
{
    return (struct td_trouble *)((char *)hold -
                                 offsetof(struct td_trouble, hold));
}

/* What is left of the two budgets: its own, and that of the session which it
 * is charged to. */
static int64_t budget(struct td_engine *e, struct td_trouble *t,
                      struct td_session *charged)
{
    int64_t own = td_block_left(&t->block, e->now_ms);
    int64_t all = td_block_left(&charged->block, e->now_ms);

    return own < all ? own : all;
}

/* ---- beginning and ending ---- */

static void charge(struct td_engine *e, struct td_trouble *t,
                   struct td_session *s)
{
    t->charged = s;
    if (s->blocking++ == 0)
        td_block_begin(&s->block, e->now_ms);
}

static void discharge(struct td_engine *e, struct td_trouble *t)
{
    if (--t->charged->blocking == 0)
        td_block_end(&t->charged->block, e->now_ms);
    t->charged = NULL;
}

static void hold_begin(struct td_engine *e, struct td_trouble *t)
{
    struct td_group *g = t->group;
    struct td_session *s = g->members->session;

    t->hold.number = ++e->next_hold;
    t->hold.hh_failed = false;
    HASH_ADD(hh, e->holds, number, sizeof(t->hold.number), &t->hold);
    if (t->hold.hh_failed)
        return; /* no memory to wait with: it will drop instead */
    td_block_begin(&t->block, e->now_ms);
    charge(e, t, s);
    td_advise_slow(e, g);
    td_log(&e->options.log, TD_LOG_DEBUG, "BLOCK",
           "%.*s of session %llu holds its publishers back",
           (int)g->pattern_len, g->text, (unsigned long long)s->number);
}

void td_group_end_hold(struct td_engine *e, struct td_group *g)
{
    struct td_trouble *t = g->trouble;

    if (!td_group_is_holding(g))
        return;
    td_block_end(&t->block, e->now_ms);
    discharge(e, t);
    HASH_DELETE(hh, e->holds, &t->hold);
    e->hold_ended = true;
}

static void drop_to_half(struct td_engine *e, struct td_group *g)
{
    td_group_drop(e, g, TD_DROP_SLOW, g->queue_events_max / 2,
                  g->queue_bytes_max / 2);
}

void td_group_hold(struct td_engine *e, struct td_group *g,
                   struct td_session *from)
{
    struct td_trouble *t =
        from && !td_group_is_away(g) ? td_group_trouble(g) : NULL;

    if (t && !t->block.blocking && budget(e, t, g->members->session) > 0)
        hold_begin(e, t);
    if (t && t->block.blocking)
        td_session_hold(e, from, t->hold.number);
    else
        drop_to_half(e, g);
}

void td_group_eased(struct td_engine *e, struct td_group *g)
{
    if (td_group_is_holding(g) &&
        td_group_waiting(g) <= g->queue_events_max / 2 &&
        td_group_waiting_bytes(g) <= g->queue_bytes_max / 2)
        td_group_end_hold(e, g);
}

void td_group_pass_hold(struct td_engine *e, struct td_group *g,
                        const struct td_session *left)
{
    struct td_trouble *t = g->trouble;
    struct td_session *next = g->members->session;

    if (!td_group_is_holding(g))
        return;
    if (!td_group_is_away(g) && t->charged != left)
        return;
    if (!td_group_is_away(g) && budget(e, t, next) > 0) {
        discharge(e, t);
        charge(e, t, next);
        return;
    }
    td_group_end_hold(e, g);
    if (td_group_is_over(g))
        drop_to_half(e, g);
}

/* ---- time ---- */

void td_group_forgive_holds(struct td_engine *e, int64_t pause_ms)
{
    struct td_hold *hold;
    struct td_hold *after;

    HASH_ITER(hh, e->holds, hold, after)
    {
        td_block_forgive(&trouble_of_hold(hold)->block, pause_ms);
    }
    for (struct td_session *s = e->sessions; s; s = s->hh.next)
        td_block_forgive(&s->block, pause_ms);
}

int64_t td_group_tick_holds(struct td_engine *e)
{
    struct td_hold *hold;
    struct td_hold *after;
    int64_t next = TD_NEVER;

    HASH_ITER(hh, e->holds, hold, after)
    {
        struct td_trouble *t = trouble_of_hold(hold);
        int64_t left = budget(e, t, t->charged);

        if (left == 0) {
            td_group_end_hold(e, t->group);
            drop_to_half(e, t->group);
        } else if (e->now_ms + left < next) {
            next = e->now_ms + left;
        }
    }
    return next;
}
