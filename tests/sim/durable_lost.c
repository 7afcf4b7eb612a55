/* What is true of events that retention takes before they are settled: whoever
 * loses them is told, and of none that is there still. */
#include "tests/sim/durable_world.h"

void dur_lost_sent(struct dur *d, struct td_session *session,
                   const struct td_frame *f)
{
    struct td_sub *sub = td_sub_find(session, f->u.gap.subscription);
    const struct td_consumer *c = sub ? sub->group->consumer : NULL;
    struct dur_group *g = c ? dur_group_of(d, c) : NULL;
    uint64_t first = f->u.gap.first;
    uint64_t last = f->u.gap.last;

    if (!c || f->u.gap.events == 0)
        return;
    DUR_CHECK(d, first > 0 && first <= last && last < c->stream->head.first,
              "%.*s: told that %llu to %llu are lost; %llu is there",
              (int)c->options.group.len, c->options.group.data, (ull)first,
              (ull)last, (ull)c->stream->head.first);
    DUR_CHECK(d, g || f->u.gap.events <= last - first + 1,
              "a reader loses %llu of %llu to %llu", (ull)f->u.gap.events,
              (ull)first, (ull)last);
    if (!g)
        return;
    g->told += f->u.gap.events;
    dur_seen(d, f->u.gap.events < last - first + 1 ? DUR_SEEN_LOST_SOME
                                                   : DUR_SEEN_LOST_ALL);
}

/* As is what an earlier broker had not told. What went with a link is told once
 * more. */
void dur_lost_check(struct dur *d, struct dur_group *g,
                    const struct td_consumer *c)
{
    uint64_t known = g->told + c->untold.events;
    bool again = d->broker.engine->counters.resumed > 0;

    if (g->told_id != c->id) { /* it is new, or the broker is */
        g->told_id = c->id;
        g->told_before = known - c->count.expired;
        if (c->untold.events > c->count.expired)
            dur_seen(d, DUR_SEEN_LOST_BEFORE);
        return;
    }
    known -= g->told_before;
    DUR_CHECK(d,
              known == c->count.expired || (again && known > c->count.expired),
              "group %s: has lost %llu, and is told of %llu", g->name,
              (ull)c->count.expired, (ull)known);
}
