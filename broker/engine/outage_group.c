/* What an outage (outage.h) holds back of a durable group, and who is told. */
#include "broker/engine/internal.h"

/* How many of a lease were delivered since the group was parked last. */
static uint64_t since(const struct td_sub *sub, const struct td_lease *lease)
{
    uint64_t end = lease->tag + lease->count;
    uint64_t from = sub->parked_tag + 1;

    return end <= from                 ? 0
           : end - from < lease->count ? end - from
                                       : lease->count;
}

uint64_t td_outage_room(const struct td_consumer *c)
{
    uint64_t width = td_outage_width(&c->outage);
    uint64_t out;

    if (width == 0 || width == UINT64_MAX)
        return width;
    out = td_consumer_queued(c);
    for (const struct td_sub *sub = c->group->members; sub;
         sub = sub->group_next)
        out += td_inflight_above(sub->leases, sub->parked_tag);
    return width > out ? width - out : 0;
}

/* ---- telling ---- */

/* At most once in a second that it is parked, and then once that it runs. */
static void tell_parked(struct td_engine *e, struct td_consumer *c)
{
    const struct td_durable_options *o = &c->options;

    if (c->parked_told || e->now_ms < c->parked_told_ms)
        return;
    c->parked_told = true;
    c->parked_told_ms = e->now_ms + TD_ADVISE_MS;
    td_log(&e->options.log, TD_LOG_WARN, "GROUP-PARKED",
           "group %.*s of stream %.*s is parked for %llu ms: a handler of %s "
           "says that what it needs does not answer%s%s",
           (int)o->group.len, o->group.data, (int)c->stream->options.name.len,
           c->stream->options.name.data, (unsigned long long)c->outage.delay_ms,
           c->parked_by, c->parked_why[0] ? ": " : "", c->parked_why);
    td_advise_parked(e, c);
}

static void tell_running(struct td_engine *e, struct td_consumer *c)
{
    const struct td_durable_options *o = &c->options;

    if (!c->parked_told)
        return;
    c->parked_told = false;
    td_log(&e->options.log, TD_LOG_INFO, "GROUP-RUNNING",
           "group %.*s of stream %.*s is not parked any more, after %llu ms",
           (int)o->group.len, o->group.data, (int)c->stream->options.name.len,
           c->stream->options.name.data,
           (unsigned long long)(e->now_ms - c->outage.since_ms));
    td_advise_running(e, c);
}

/* ---- what changes it ---- */

/* What was dealt and not sent waits in the stream again. */
static void take_back(struct td_engine *e, struct td_consumer *c)
{
    struct td_group *g = c->group;

    for (struct td_sub *sub = g->members; sub; sub = sub->group_next) {
        sub->parked_tag = sub->sent;
        if (g->share == TD_BY_KEY)
            td_deal_forget_all(g, &sub->own, 0);
        td_consumer_unfeed(e, c, &sub->own);
    }
    td_consumer_unfeed(e, c, &g->queue);
}

void td_consumer_park(struct td_engine *e, struct td_consumer *c,
                      const struct td_session *by, const struct td_settle *row,
                      bool probed)
{
    if (td_outage_park(&c->outage, e->now_ms, row->delay_ms, probed)) {
        td_text_keep(c->parked_by, td_str_of(by->name), TD_NAME_BYTES_MAX);
        td_text_keep(c->parked_why, row->reason, TD_REASON_BYTES_MAX);
        take_back(e, c);
        tell_parked(e, c);
    }
    td_consumer_wake_at(e, c, c->outage.until_ms);
}

bool td_consumer_probed(const struct td_sub *sub, const struct td_lease *lease)
{
    return since(sub, lease) > 0;
}

void td_consumer_acked(struct td_engine *e, const struct td_sub *sub,
                       const struct td_lease *lease)
{
    struct td_consumer *c = sub->group->consumer;
    uint64_t events;

    if (c->outage.state == TD_OUTAGE_RUNNING)
        return;
    events = since(sub, lease);
    if (events == 0)
        return;
    td_outage_acked(&c->outage, events, c->options.max_in_flight);
    if (c->outage.state == TD_OUTAGE_RUNNING)
        tell_running(e, c);
}

void td_consumer_caught_up(struct td_engine *e, struct td_consumer *c)
{
    if (c->outage.state != TD_OUTAGE_RAMPING)
        return;
    td_outage_caught_up(&c->outage);
    tell_running(e, c);
}

void td_consumer_unpark(struct td_engine *e, struct td_consumer *c)
{
    if (c->outage.state == TD_OUTAGE_RUNNING)
        return;
    td_outage_end(&c->outage);
    tell_running(e, c);
    td_consumer_ready(e, c);
}
