/* Producers with names: their numbering goes on from life to life, under a name
 * that one holds at a time. */
#include "tests/sim/durable_world.h"

#include "proto/id.h"

#include <string.h>

#define AGAIN_MAX 10u /* events of former lives that are published again */

static struct dur_producer *producer_of(const struct dur_client *client)
{
    return &client->d->producers[client->producer];
}

/* ---- what is stored under its numbers ---- */

static uint64_t highest(const struct dur_name *name)
{
    uint64_t n = name->len;

    while (n > 0 && name->stored[n - 1] == 0)
        n--;
    return n;
}

static uint32_t *place_of(struct dur *d, const struct dur_event *event)
{
    struct dur_name *name = d->producers[event->producer].name;

    while (name && name->len < event->sequence) {
        name->stored = sim_grow(name->stored, name->len, &name->cap,
                                sizeof(*name->stored));
        name->stored[name->len++] = 0;
    }
    return name ? &name->stored[event->sequence - 1] : NULL;
}

void dur_named_stored(struct dur *d, const struct dur_event *event)
{
    const struct dur_producer *p = &d->producers[event->producer];
    uint32_t *place = place_of(d, event);
    uint32_t number = (uint32_t)(event - d->events) + 1;

    /* with a commit that fails it forgets what is in memory alone */
    if (!place || d->streams[event->stream].memory)
        return;
    DUR_CHECK(d, *place == 0 || *place == number,
              "name %s: event %u is stored under %llu, as event %u is",
              p->name->text, number, (ull)event->sequence, *place);
    DUR_CHECK(d, p->name->holder == event->producer || p->term > p->name->term,
              "name %s: %llu of producer %u is stored, and %u has the name",
              p->name->text, (ull)event->sequence, event->producer,
              p->name->holder);
    *place = number;
}

void dur_named_lost(struct dur *d, const struct dur_event *event)
{
    uint32_t *place = place_of(d, event);

    if (place && dur_event_nth(d, *place) == event)
        *place = 0;
}

/* ---- a life ---- */

void dur_named_start(struct dur_client *client,
                     struct td_client_options *options)
{
    struct dur_producer *p = producer_of(client);

    if (!client->named)
        return;
    p->name = client->named;
    options->producer_name = p->name->text;
    td_producer_named(options->producer, td_str_of(p->name->text));
}

/* Events that are known to the broker may be nowhere in the book: repeats, what
 * is in memory alone, and what is lost or refused. */
static bool may_be_nowhere(const struct dur *d)
{
    return d->failures + d->cuts > 0 || d->config.ids > 0 ||
           (d->streams_len > 2 && d->streams[2].memory);
}

/* Numbers go on where those before it have come to. */
static void greeted(struct dur_client *client)
{
    struct dur *d = client->d;
    struct dur_producer *p = producer_of(client);
    uint64_t stored = client->c.packer.sequence;

    p->term = client->c.term;
    p->base = stored;
    if (p->term <= p->name->term)
        return; /* another has it already */
    p->name->term = p->term;
    p->name->holder = client->producer;
    dur_seen(d, DUR_SEEN_NAMED);
    if (d->crashes > 0)
        dur_seen(d, DUR_SEEN_NAMED_CRASH);
    DUR_CHECK(d,
              stored == highest(p->name) ||
                  (stored > highest(p->name) && may_be_nowhere(d)),
              "name %s: client %u numbers on from %llu, and %llu is stored",
              p->name->text, client->index, (ull)stored, (ull)highest(p->name));
}

/* What it does not know the fate of, it publishes once more. */
static void publish_again(struct dur_client *client)
{
    struct dur *d = client->d;
    struct dur_producer *p = producer_of(client);
    uint64_t back = sim_below(&d->random, AGAIN_MAX + 1);
    uint64_t stored = p->base;
    uint64_t n = stored > back ? stored - back : 0;
    bool any = false;

    for (; n < stored; n++) {
        uint32_t number = n < p->name->len ? p->name->stored[n] : 0;
        struct dur_event *event = dur_event_nth(d, number);

        if (!event || event->due_ms > 0)
            continue;
        if (!any)
            p->base = n;
        any = true;
        event->producer = client->producer;
        event->told = false;
        event->again = true;
        if (!dur_publish_one(client, number))
            break;
    }
    while (p->base + p->len < stored) { /* these are others' */
        p->log = sim_grow(p->log, p->len, &p->cap, sizeof(*p->log));
        p->log[p->len++] = (struct dur_number){0};
    }
}

static void end_fenced(struct dur_client *client)
{
    struct dur *d = client->d;
    struct sim_random *r = &d->random;

    dur_say(d, "client %u is fenced", client->index);
    dur_seen(d, DUR_SEEN_NAMED_FENCED);
    dur_client_end(client, sim_chance(r, 400));
    if (d->healing || d->producers_len >= DUR_LIVES - DUR_CLIENTS ||
        sim_chance(r, 300))
        client->named = NULL;
    client->restart_ms = d->now_ms + sim_between(r, 1, 3000);
}

void dur_named_run(struct dur_client *client)
{
    struct dur *d = client->d;
    struct dur_producer *p = producer_of(client);

    if (!p->name)
        return;
    if (client->c.fenced) {
        end_fenced(client);
    } else if (p->term == 0 && client->c.numbered) {
        greeted(client);
        if (client->publishes && sim_chance(&d->random, 500))
            publish_again(client);
    }
}
