/* Durable groups that are fed no more until something is settled, and who is
 * told of that. */
#include "broker/engine/internal.h"

#include "proto/plural.h"

/* How many more it may be fed. */
uint64_t td_full_room(const struct td_consumer *c)
{
    uint64_t gap = c->cursor - c->settled.floor;
    uint64_t room;

    if (!td_consumer_is_durable(c))
        return UINT64_MAX;
    if (c->cursor < c->settled.floor) /* it catches up */
        gap = 0;
    if (c->out >= c->options.max_in_flight || gap >= TD_ACK_GAP_MAX)
        return 0;
    room = c->options.max_in_flight - c->out;
    return room < TD_ACK_GAP_MAX - gap ? room : TD_ACK_GAP_MAX - gap;
}

/* What waits for a member's credit is not held up by the group. */
bool td_full_is(const struct td_consumer *c)
{
    return td_full_room(c) == 0 && td_consumer_queued(c) == 0;
}

/* Without those that wait until members have credit. */
static uint64_t begun(const struct td_consumer *c)
{
    return td_deal_has_room(c->group) ? c->out : c->out - td_consumer_queued(c);
}

/* So far that being full again is news. */
static bool has_eased(const struct td_consumer *c)
{
    return begun(c) <= c->options.max_in_flight / 2 &&
           (c->cursor < c->settled.floor ||
            c->cursor - c->settled.floor <= TD_ACK_GAP_MAX / 2);
}

static void tell(struct td_engine *e, struct td_consumer *c)
{
    const struct td_durable_options *o = &c->options;

    td_log(&e->options.log, TD_LOG_WARN, "GROUP-FULL",
           "group %.*s of stream %.*s gets no more until something is settled: "
           "%llu %s out, from sequence %llu on",
           (int)o->group.len, o->group.data, (int)c->stream->options.name.len,
           c->stream->options.name.data, (unsigned long long)c->out,
           td_plural(c->out, "event is", "events are"),
           (unsigned long long)c->settled.floor);
    td_advise_full(e, c);
    for (struct td_sub *sub = c->group->members; sub; sub = sub->group_next)
        td_gaps_tell_full(e, sub);
}

void td_full_look(struct td_engine *e, struct td_consumer *c)
{
    if (c->full_told && has_eased(c))
        c->full_told = false;
    if (c->outage.state != TD_OUTAGE_RUNNING) /* that is what holds it up */
        return;
    if (c->full_told || !td_full_is(c) || c->cursor >= c->stream->kept.next)
        return;
    if (e->now_ms < c->full_ms) {
        td_consumer_wake_at(e, c, c->full_ms);
        return;
    }
    c->full_told = true;
    c->full_ms = e->now_ms + TD_ADVISE_MS;
    tell(e, c);
}
