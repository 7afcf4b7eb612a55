/* Groups that are sent elsewhere by an operator: what they are to be delivered
 * then, and what if that could not be written. */
#include "tests/sim/durable_world.h"

/* From now on what the engine says counts: what it does not call settled comes
 * again. */
static void look_anew(struct dur_group *g, const struct td_consumer *c)
{
    for (uint64_t n = 1; n <= g->len; n++) {
        struct dur_mark *mark = dur_mark(g, n);
        uint8_t failures = td_counts_get(&c->counts, n);

        mark->settled = mark->settled && td_settled_has(&c->settled, n);
        if (mark->settled)
            continue;
        mark->accepted = mark->old_ack = false;
        if (mark->sent &&
            (mark->last == failures || mark->last == failures + 1))
            continue; /* it was delivered since, or goes on as before */
        mark->sent = false;
        mark->last = failures;
    }
    g->low = 1;
    g->floor = g->above = 0;
    if (g->sought < c->settled.floor)
        g->sought = c->settled.floor;
}

bool dur_marks_returned(struct dur *d, struct dur_group *g,
                        const struct td_consumer *c)
{
    if (!g->seeking)
        return false;
    look_anew(g, c);
    g->returns++;
    dur_seen(d, DUR_SEEN_SOUGHT_BACK);
    return true;
}

/* Without an answer it may still be taken back. */
void dur_marks_told(struct dur *d, tidings_err code)
{
    for (uint32_t i = 0; i < d->groups_len; i++) {
        struct dur_group *g = &d->groups[i];
        const struct td_consumer *c = dur_consumer(d, g);

        if (!code)
            g->seeking = false;
        else if (c)
            dur_marks_returned(d, g, c);
    }
}

void dur_marks_sought(struct dur *d, struct td_str options)
{
    struct td_str name;

    if (!td_map_str(options, "group", &name))
        return;
    for (uint32_t i = 0; i < d->groups_len; i++) {
        struct dur_group *g = &d->groups[i];
        const struct td_consumer *c = dur_consumer(d, g);

        if (!c || !td_str_is(name, g->name))
            continue;
        look_anew(g, c);
        if (c->newest_to > g->newest_to)
            g->newest_to = c->newest_to;
        g->since_ms = d->now_ms;
        g->seeking = true;
        dur_seen(d, DUR_SEEN_SOUGHT);
        dur_say(d, "%s goes on from %llu", g->name, (ull)c->settled.floor);
    }
}
