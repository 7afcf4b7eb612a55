/* What retention has taken before a consumer came to it: counted, logged, and
 * its members are told. */
#include "broker/engine/internal.h"

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void td_overtaken_tell(struct td_engine *e, struct td_consumer *c)
{
    for (struct td_sub *sub = c->group->members; sub && c->untold > 0;
         sub = sub->group_next) {
        if (td_gaps_tell_expired(e, sub, c->untold))
            c->untold = 0;
    }
}

void td_consumer_expire(struct td_consumer *c, uint64_t events)
{
    c->count.expired += events;
    c->untold += events;
}

/* A group that is slower than retention would be told of at each step of it. */
void td_overtaken_log(struct td_engine *e, struct td_consumer *c)
{
    const struct td_durable_options *o = &c->options;

    if (c->overtaken == 0)
        return;
    if (e->now_ms < c->overtaken_ms) {
        td_consumer_wake_at(e, c, c->overtaken_ms);
        return;
    }
    td_log(&e->options.log, TD_LOG_WARN, "GROUP-OVERTAKEN",
           "stream %.*s, group %.*s: sequences %llu to %llu expired, "
           "%llu not settled",
           (int)c->stream->options.name.len, c->stream->options.name.data,
           (int)o->group.len, o->group.data,
           (unsigned long long)c->overtaken_from,
           (unsigned long long)(c->stream->kept.first - 1),
           (unsigned long long)c->overtaken);
    c->overtaken = 0;
    c->overtaken_ms = e->now_ms + TD_ADVISE_MS;
}

static void overtake(struct td_consumer *c, uint64_t from, uint64_t lost)
{
    if (c->overtaken == 0)
        c->overtaken_from = from;
    c->overtaken += lost;
}

void td_overtaken_catch_up(struct td_engine *e, struct td_consumer *c)
{
    uint64_t from = c->cursor;
    uint64_t first = c->stream->kept.first;
    uint64_t lost = 0;

    if (c->locating || c->cursor >= first)
        return;
    if (c->cursor < c->newest_to) /* what is gone is no name's newest */
        c->cursor = least(first, c->newest_to);
    while (c->cursor < first) { /* but for what is settled */
        uint64_t next = least(first, td_settled_next(&c->settled, c->cursor));
        uint64_t open = td_settled_gap(&c->settled, next, first - next);

        lost += td_consumer_is_durable(c) ? open : first - c->cursor;
        c->cursor = td_consumer_is_durable(c) ? next + open : first;
    }
    c->read_next = 0;
    if (td_consumer_is_durable(c)) {
        overtake(c, from, lost);
        td_settled_raise(&c->settled, first);
        td_consumer_dirty(e, c);
    }
    td_consumer_expire(c, lost);
}
