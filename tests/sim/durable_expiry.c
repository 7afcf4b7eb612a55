/* What is true of events that expire: nobody is fed them any more, and groups
 * count them. What was fed before may be on its way. */
#include "tests/sim/durable_world.h"

bool dur_has_expired(const struct dur *d, const struct dur_event *event)
{
    return event && event->expires_ms > 0 && event->expires_ms < d->now_ms;
}

void dur_expiry_settled(struct dur *d, struct dur_group *g,
                        const struct dur_event *event, bool alone)
{
    if (!dur_has_expired(d, event))
        return;
    if (alone) {
        g->lapsed++;
        dur_seen(d, DUR_SEEN_EXPIRES);
    } else {
        g->doubtful++;
    }
}

void dur_expiry_check(struct dur *d, const struct dur_group *g,
                      const struct td_consumer *c)
{
    DUR_CHECK(d,
              g->seeking || g->returns > 0 ||
                  (c->count.expirytime >= g->lapsed &&
                   c->count.expirytime <= g->lapsed + g->doubtful),
              "group %s: %llu have expired, and %llu to %llu are settled so",
              g->name, (ull)c->count.expirytime, (ull)g->lapsed,
              (ull)(g->lapsed + g->doubtful));
}

static int64_t latest(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

void dur_expiry_sent(struct dur *d, const struct td_consumer *c,
                     const struct dur_event *event, uint64_t sequence,
                     int64_t since_ms)
{
    /* one that was stored twice stands in two places */
    int64_t fed_ms = latest(event->at == sequence ? event->at_ms : 0,
                            latest(d->broker.since_ms, since_ms));

    if (!dur_has_expired(d, event))
        return;
    if (td_redriven_find(c, sequence)) {
        dur_seen(d, DUR_SEEN_EXPIRES_REDRIVEN);
        return;
    }
    DUR_CHECK(d, event->expires_ms >= fed_ms,
              "%.*s: %llu is sent, which had expired at %lld, before %lld",
              (int)c->options.group.len, c->options.group.data, (ull)sequence,
              (long long)event->expires_ms, (long long)fed_ms);
}
