#include "client/wheel.h"

#include <stdbool.h>
#include <string.h>
#include <utlist.h>

void td_wheel_begin(struct td_wheel *w, int64_t now_ms)
{
    memset(w, 0, sizeof(*w));
    w->at = now_ms / TD_WHEEL_SLOT_MS;
    w->next_ms = INT64_MAX;
}

void td_wheel_add(struct td_wheel *w, struct td_timer *t, int64_t due_ms)
{
    int64_t at = due_ms / TD_WHEEL_SLOT_MS;

    if (at < w->at)
        at = w->at; /* it is late */
    t->due_ms = due_ms;
    t->slot = (uint32_t)(at % TD_WHEEL_SLOTS) + 1;
    DL_PREPEND(w->slots[t->slot - 1], t);
    if (due_ms < w->next_ms)
        w->next_ms = due_ms;
}

void td_wheel_remove(struct td_wheel *w, struct td_timer *t)
{
    if (t->slot == 0)
        return;
    DL_DELETE(w->slots[t->slot - 1], t);
    t->slot = 0;
}

static void take_slot(struct td_wheel *w, uint32_t slot, int64_t now_ms,
                      struct td_timer **list)
{
    struct td_timer *t;
    struct td_timer *next;

    DL_FOREACH_SAFE(w->slots[slot], t, next)
    {
        if (t->due_ms > now_ms)
            continue;
        td_wheel_remove(w, t);
        t->next = *list;
        *list = t;
    }
}

/* Those of one slot in this round; INT64_MAX: none. */
static int64_t earliest(const struct td_wheel *w, int64_t at)
{
    int64_t next_ms = INT64_MAX;
    const struct td_timer *t;

    DL_FOREACH(w->slots[at % TD_WHEEL_SLOTS], t)
    {
        if (t->due_ms / TD_WHEEL_SLOT_MS <= at && t->due_ms < next_ms)
            next_ms = t->due_ms;
    }
    return next_ms;
}

/* What is a round away or more is looked at in time. */
static int64_t find_next(const struct td_wheel *w)
{
    bool any = false;

    for (int64_t at = w->at; at < w->at + TD_WHEEL_SLOTS; at++) {
        int64_t next_ms = earliest(w, at);

        if (next_ms < INT64_MAX)
            return next_ms;
        any = any || w->slots[at % TD_WHEEL_SLOTS];
    }
    return any ? (w->at + TD_WHEEL_SLOTS) * TD_WHEEL_SLOT_MS : INT64_MAX;
}

struct td_timer *td_wheel_take(struct td_wheel *w, int64_t now_ms)
{
    struct td_timer *list = NULL;
    int64_t last = now_ms / TD_WHEEL_SLOT_MS;

    if (now_ms < w->next_ms)
        return NULL;
    if (last - w->at >= TD_WHEEL_SLOTS)
        w->at = last - TD_WHEEL_SLOTS + 1; /* all of them once */
    for (; w->at < last; w->at++)
        take_slot(w, (uint32_t)(w->at % TD_WHEEL_SLOTS), now_ms, &list);
    take_slot(w, (uint32_t)(w->at % TD_WHEEL_SLOTS), now_ms, &list);
    w->next_ms = find_next(w);
    return list;
}
