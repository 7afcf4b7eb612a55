/* Publishers' credit: told when it is used, withheld while a queue is full. A
 * session that is away, or comes back, stays under the holds that it was. */
#include "broker/engine/internal.h"

void td_session_limits(struct td_engine *e, struct td_session *s)
{
    if (s->held || e->draining || e->streams.full)
        return;
    s->events_limit = s->events_in + TD_PUBLISH_EVENTS;
    s->bytes_limit = s->bytes_in + TD_PUBLISH_BYTES;
}

/* ---- telling what was taken ---- */

void td_session_owe(struct td_engine *e, struct td_session *s, bool asked)
{
    s->asked = s->asked || asked;
    if (s->owed)
        return;
    s->owed = true;
    DL_APPEND2(e->owed, s, told_prev, told_next);
    if (e->lazy_ms == TD_NEVER)
        e->lazy_ms = e->now_ms + TD_LAZY_MS;
}

void td_session_owe_no_more(struct td_engine *e, struct td_session *s)
{
    if (!s->owed)
        return;
    s->owed = s->asked = false;
    DL_DELETE2(e->owed, s, told_prev, told_next);
    if (!e->owed)
        e->lazy_ms = TD_NEVER;
}

void td_session_tell(struct td_engine *e, struct td_session *s)
{
    struct td_frame f = {.op = TD_TAKEN};

    td_session_owe_no_more(e, s);
    if (s->doomed)
        return;
    td_session_limits(e, s);
    f.u.taken.taken = s->producer->taken;
    f.u.taken.events_limit = s->events_limit;
    f.u.taken.bytes_limit = s->bytes_limit;
    td_engine_send(e, s, &f, NULL);
}

/* A quarter of the credit is used. */
static bool is_due(const struct td_session *s)
{
    return s->asked ||
           s->events_limit - s->events_in < TD_PUBLISH_EVENTS / 4 * 3 ||
           s->bytes_limit - s->bytes_in < TD_PUBLISH_BYTES / 4 * 3;
}

void td_session_tell_owed(struct td_engine *e)
{
    bool lazy = e->now_ms >= e->lazy_ms;
    struct td_session *s;
    struct td_session *next;

    DL_FOREACH_SAFE2(e->owed, s, next, told_next)
    {
        /* Somebody withheld has nothing to hear but what it asked for. */
        if (lazy || s->asked || (is_due(s) && !s->held))
            td_session_tell(e, s);
    }
}

/* ---- withholding ---- */

void td_session_hold(struct td_engine *e, struct td_session *s, uint64_t hold)
{
    for (uint32_t i = 0; i < s->holds_len; i++) {
        if (s->holds[i] == hold)
            return;
    }
    if (s->holds_len < TD_HOLDS_KNOWN)
        s->holds[s->holds_len++] = hold;
    else
        s->held_by_more = true;
    if (s->held)
        return;
    DL_APPEND2(e->held, s, held_prev, held_next);
    s->held = true;
    s->held_ms = e->now_ms;
}

void td_session_let_go(struct td_engine *e, struct td_session *s)
{
    if (!s->held)
        return;
    DL_DELETE2(e->held, s, held_prev, held_next);
    s->held = s->held_by_more = false;
    s->holds_len = 0;
    s->withheld_ms += (uint64_t)(e->now_ms - s->held_ms);
}

/* Whether a hold that it is under still goes on; forgets those that do not. */
static bool still_held(struct td_engine *e, struct td_session *s)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < s->holds_len; i++) {
        struct td_hold *hold;

        HASH_FIND(hh, e->holds, &s->holds[i], sizeof(s->holds[i]), hold);
        if (hold)
            s->holds[n++] = s->holds[i];
    }
    s->holds_len = n;
    s->held_by_more = s->held_by_more && e->holds;
    return n > 0 || s->held_by_more;
}

void td_session_release(struct td_engine *e)
{
    struct td_session *s;
    struct td_session *next;

    if (!e->hold_ended)
        return;
    e->hold_ended = false;
    DL_FOREACH_SAFE2(e->held, s, next, held_next)
    {
        if (still_held(e, s))
            continue;
        td_session_let_go(e, s);
        if (!s->away)
            td_session_owe(e, s, true);
    }
}
