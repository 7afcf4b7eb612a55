/* The engine's own accounts, after each of its turns. */
#include "tests/sim/durable_world.h"

static void mark_parked(struct dur *d, const struct td_consumer *c)
{
    for (const struct td_parked *k = c->parks.keys; k; k = k->hh.next) {
        dur_seen(d, DUR_SEEN_PARKED);
        if (k->len > 1)
            dur_seen(d, DUR_SEEN_PARKED_MANY);
    }
}

/* Each delivery has an outcome. */
static void check_delivered(struct dur *d, const struct td_consumer *c)
{
    const struct td_consumer_counts *n = &c->count;
    uint64_t over = n->acked + n->naked + n->timed_out + n->lost + n->released +
                    n->termed + n->returned;

    DUR_CHECK(d, n->delivered == over + td_consumer_in_flight(c),
              "group %.*s: %llu delivered; %llu over, %llu in flight",
              (int)c->options.group.len, c->options.group.data,
              (ull)n->delivered, (ull)over, (ull)td_consumer_in_flight(c));
}

static void check_out(struct dur *d, const struct td_consumer *c)
{
    uint64_t queued = td_consumer_queued(c);
    uint64_t leases = td_consumer_in_flight(c);
    uint64_t aside = td_parks_aside(&c->parks);
    uint64_t dying = td_consumer_dying(c);

    DUR_CHECK(d, c->out == queued + leases + c->retries.events + aside + dying,
              "group %.*s: %llu are out; %llu queued, "
              "%llu leased, %llu to be retried, %llu parked, %llu being buried",
              (int)c->options.group.len, c->options.group.data, (ull)c->out,
              (ull)queued, (ull)leases, (ull)c->retries.events, (ull)aside,
              (ull)dying);
    DUR_CHECK(d, leases <= c->options.max_in_flight + HASH_COUNT(c->redriven),
              "group %.*s: %llu are in flight, %u may be",
              (int)c->options.group.len, c->options.group.data, (ull)leases,
              c->options.max_in_flight);
}

/* Of what was dealt since a group was parked no more is out than may be. */
static void check_outage(struct dur *d, const struct td_consumer *c)
{
    uint64_t width = td_outage_width(&c->outage);
    uint64_t out = td_consumer_queued(c);

    if (c->outage.state == TD_OUTAGE_RUNNING)
        return;
    for (const struct td_sub *sub = c->group->members; sub;
         sub = sub->group_next)
        out += td_inflight_above(sub->leases, sub->parked_tag);
    DUR_CHECK(d, out <= width, "group %.*s is %s, and %llu are out, not %llu",
              (int)c->options.group.len, c->options.group.data,
              td_outage_names[c->outage.state], (ull)out, (ull)width);
}

/* Of a group, before a turn and after it. */
static void mark_outage(struct dur *d, struct dur_group *g,
                        const struct td_outage *now)
{
    if (now->state == g->outage)
        return;
    if (now->state == TD_OUTAGE_PARKED)
        dur_seen(d, g->outage == TD_OUTAGE_RUNNING ? DUR_SEEN_OUTAGE
                                                   : DUR_SEEN_OUTAGE_AGAIN);
    else if (now->state == TD_OUTAGE_RAMPING)
        dur_seen(d, DUR_SEEN_OUTAGE_RAMP);
    else if (now->state == TD_OUTAGE_RUNNING && g->outage == TD_OUTAGE_RAMPING)
        dur_seen(d, DUR_SEEN_OUTAGE_OVER);
    dur_say(d, "%s is %s", g->name, td_outage_names[now->state]);
    g->outage = now->state;
}

/* Each key's events are with one member. */
static void check_keys(struct dur *d, const struct td_consumer *c,
                       const struct dur_group *g)
{
    const struct td_sub *holder[DUR_KEYS] = {NULL};
    const struct dur_stream *s = &d->streams[g->stream];

    for (const struct td_sub *sub = c->group->members; sub;
         sub = sub->group_next) {
        const struct td_inflight *f = sub->leases;

        for (uint32_t i = 0; i < f->len; i++) {
            const struct td_lease *lease =
                &f->leases[(f->head + i) & (f->cap - 1)];

            for (uint32_t n = 0; n < lease->count; n++) {
                const struct dur_event *event =
                    dur_event_at(d, s, lease->sequence + n);

                if (!event || event->key == 0)
                    continue;
                DUR_CHECK(d, !holder[event->key] || holder[event->key] == sub,
                          "group %s: two members have events of key %u, one "
                          "of them %llu",
                          g->name, event->key, (ull)lease->sequence + n);
                holder[event->key] = sub;
            }
        }
    }
}

void dur_check(struct dur *d)
{
    const struct td_engine *e = d->broker.engine;
    const struct td_consumer *c;

    DL_FOREACH(e->streams.consumers, c)
    {
        struct dur_group *g = dur_group_of(d, c);

        if (!g)
            continue;
        mark_parked(d, c);
        check_out(d, c);
        check_outage(d, c);
        mark_outage(d, g, &c->outage);
        check_delivered(d, c);
        if (c->group->share == TD_BY_KEY)
            check_keys(d, c, g);
    }
    if (e->streams.reading > 0)
        dur_seen(d, DUR_SEEN_READ_BACK);
    if (e->streams.no_room)
        dur_seen(d, DUR_SEEN_NO_ROOM);
    DUR_CHECK(d, e->counters.breaches == 0 && e->counters.bad_frames == 0,
              "the broker finds fault with a client");
}

const char *dur_group_waits(struct dur *d, const struct dur_group *g)
{
    const struct td_consumer *c = dur_consumer(d, g);

    if (!c)
        return "a group to be there";
    if (c->settled.floor != c->stream->kept.next)
        return "a group to settle all";
    if (c->out > 0 || c->redriven)
        return "a group's events that are out";
    if (c->dirty || c->burials.len > 0)
        return "a group to be written";
    return NULL;
}
