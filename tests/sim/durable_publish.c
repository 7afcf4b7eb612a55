/* What a client publishes, and what it is told of that. */
#include "tests/sim/durable_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Who takes a type: a.> and b.> may have streams of their own. */
static uint8_t stream_of(const struct dur *d, uint8_t type)
{
    uint32_t own = type / 2 + 1;

    return own < d->streams_len ? (uint8_t)own : 0;
}

static uint8_t pick_level(struct dur *d)
{
    const unsigned *w = d->config.levels;
    uint64_t n = sim_below(&d->random, w[0] + w[1] + w[2] + w[3]);
    uint8_t level = 0;

    while (n >= w[level])
        n -= w[level++];
    return level;
}

/* Somebody waits: the session tells it as a list (port_confirmed). */
static void on_confirm(void *arg, const struct tidings_confirm *confirm)
{
    (void)arg;
    (void)confirm;
}

static uint64_t next_of(const struct dur_producer *p)
{
    return p->base + p->len + 1;
}

/* The next event of a client, as chance has it. */
static uint32_t make(struct dur_client *client, uint8_t level)
{
    struct dur *d = client->d;
    struct sim_random *r = &d->random;
    struct dur_event event = {
        .producer = client->producer,
        .sequence = next_of(&d->producers[client->producer]),
        .type = sim_chance(r, d->config.compact)
                    ? (uint8_t)sim_below(r, 2)
                    : (uint8_t)sim_below(r, DUR_TYPES),
        .key = sim_chance(r, d->config.keyed)
                   ? (uint8_t)(1 + sim_below(r, 1 + sim_below(r, DUR_KEYS - 1)))
                   : 0,
        .id = sim_chance(r, d->config.ids)
                  ? (uint8_t)(1 + sim_below(r, DUR_IDS - 1))
                  : 0,
        .level = level,
        .len = (uint8_t)sim_between(r, 8, DUR_DATA - 1),
        .empty = sim_chance(r, d->config.empties),
    };

    if (event.empty)
        event.len = 0;
    if (sim_chance(r, d->config.expiries))
        event.expires_ms = d->now_ms + sim_between(r, 1, 3000);

    event.stream = stream_of(d, event.type);
    return dur_event_new(d, &event);
}

static struct td_packing packing_of(struct dur *d, uint32_t number,
                                    struct dur_room *room)
{
    struct td_packing packing = dur_event_packing(d, number, room);

    packing.on_confirm = packing.level ? on_confirm : NULL;
    return packing;
}

/* It is packed. */
static void note(struct dur_client *client, uint32_t number)
{
    struct dur *d = client->d;
    struct dur_producer *p = &d->producers[client->producer];

    p->log = sim_grow(p->log, p->len, &p->cap, sizeof(*p->log));
    p->log[p->len++] = (struct dur_number){.event = number};
    d->result->published++;
}

bool dur_publish_one(struct dur_client *client, uint32_t number)
{
    struct dur *d = client->d;
    struct dur_producer *p = &d->producers[client->producer];
    struct dur_room room;
    struct td_packing packing = packing_of(d, number, &room);

    if (p->name)
        packing.sequence = dur_event_nth(d, number)->sequence;
    if (td_client_publish(&client->c, &packing))
        return false;
    while (next_of(p) < packing.sequence)
        note(client, 0);
    note(client, number);
    if (p->name && p->name->term > p->term)
        dur_seen(d, DUR_SEEN_NAMED_ZOMBIE);
    DUR_CHECK(d, client->c.packer.sequence + 1 == next_of(p),
              "a sequence is skipped");
    return true;
}

static bool publish_one(struct dur_client *client, uint8_t level)
{
    struct dur *d = client->d;
    uint32_t number = make(client, level);

    if (d->producers[client->producer].name && sim_chance(&d->random, 30)) {
        dur_event_nth(d, number)->sequence += 1 + sim_below(&d->random, 5);
        dur_seen(d, DUR_SEEN_NAMED_LEFT_OUT);
    }
    if (dur_publish_one(client, number))
        return true;
    d->events_len--;
    return false;
}

void dur_publish(struct dur_client *client)
{
    struct dur *d = client->d;
    uint64_t n = 1 + sim_below(&d->random, d->config.burst_max);
    uint8_t level = pick_level(d);

    while (n-- > 0 && publish_one(client, level))
        ;
}

/* ---- for later ---- */

/* When they are due: told as a time, or as how long to wait. */
static struct td_due_option pick_due(struct dur *d, int64_t *due_ms)
{
    int64_t wait_ms = sim_chance(&d->random, 100)
                          ? -sim_between(&d->random, 0, d->now_ms / 2)
                          : sim_between(&d->random, 1, 4000);

    *due_ms = d->now_ms + wait_ms;
    if (wait_ms >= 0 && sim_chance(&d->random, 500))
        return (struct td_due_option){"after_ms", (uint64_t)wait_ms};
    return (struct td_due_option){"at_ms", (uint64_t)(DUR_EPOCH_MS + *due_ms)};
}

void dur_publish_later(struct dur_client *client)
{
    struct dur *d = client->d;
    uint8_t level = (uint8_t)sim_between(&d->random, 1, TD_LEVEL_DISK);
    uint64_t len = 1 + sim_below(&d->random, DUR_LATERS);
    struct td_packing packings[DUR_LATERS];
    struct dur_room rooms[DUR_LATERS];
    uint32_t first = (uint32_t)d->events_len + 1;
    struct td_apart apart = {0};
    int64_t due_ms;

    apart.due = pick_due(d, &due_ms);
    for (uint32_t i = 0; i < len; i++) {
        struct dur_event *event;

        make(client, level);
        event = dur_event_nth(d, first + i);
        event->id = 0; /* it is given one */
        event->sequence += i;
        event->due_ms = due_ms;
        packings[i] = packing_of(d, first + i, &rooms[i]);
        if (d->producers[client->producer].name)
            packings[i].sequence = event->sequence;
    }
    if (td_client_pack_apart(&client->c, packings, len, &apart)) {
        d->events_len -= len;
        return;
    }
    for (uint32_t i = 0; i < len; i++)
        note(client, first + i);
    td_client_pump(&client->c);
}

/* ---- confirms ---- */

static void check_stored(struct dur *d, struct dur_client *client,
                         const struct td_confirmed *told, uint64_t sequence,
                         const struct dur_event *event)
{
    const struct dur_stream *s = &d->streams[event->stream];
    uint64_t at =
        told->sequence ? told->sequence + (sequence - told->first) : 0;

    if (event->level == TD_LEVEL_MEMORY || s->memory || event->cut ||
        event->repeat)
        return;
    DUR_CHECK(d, (uint8_t)told->level >= event->level,
              "client %u: confirmed at another level", client->index);
    DUR_CHECK(d, told->duplicate || strcmp(told->stream, s->name) == 0,
              "client %u: %llu is confirmed in stream %s, not %s",
              client->index, (ull)sequence, told->stream, s->name);
    DUR_CHECK(d, event->at > 0 || dur_may_vanish(s),
              "client %u: %llu is confirmed at level %u and not stored",
              client->index, (ull)sequence, event->level);
    DUR_CHECK(d,
              at == 0 || event->at == 0 || at == event->at ||
                  dur_event_at(d, s, at) == event ||
                  !dur_is_known(d, s, client->producer, sequence),
              "client %u: %llu is confirmed under %llu and stands under %llu",
              client->index, (ull)sequence, (ull)at, (ull)event->at);
    DUR_CHECK(d, at > 0 || told->duplicate,
              "client %u: %llu is confirmed without its sequence",
              client->index, (ull)sequence);
}

static void promise(struct dur_event *event, uint8_t level)
{
    if (event && event->promised < level)
        event->promised = level;
}

/* An event with its id stands in its stream: what is confirmed to one holds for
 * the other. */
static void told_repeat(struct dur_client *client,
                        const struct td_confirmed *told, uint64_t sequence,
                        struct dur_event *event)
{
    struct dur *d = client->d;
    struct dur_stream *s = &d->streams[event->stream];
    uint64_t at = told->sequence ? told->sequence + (sequence - told->first)
                                 : s->ids[event->id];
    struct dur_event *first = dur_event_at(d, s, at);

    event->repeat = true;
    dur_seen(d, DUR_SEEN_REPEAT);
    DUR_CHECK(d, !first || first->id == event->id || d->cuts > 0,
              "client %u: %llu is confirmed as a repeat of %llu, which has "
              "another id",
              client->index, (ull)sequence, (ull)at);
    promise(first, event->level);
}

static struct dur_number *number_at(struct dur_producer *p, uint64_t sequence)
{
    return sequence > p->base && sequence < next_of(p)
               ? &p->log[sequence - p->base - 1]
               : NULL;
}

static void told_one(struct dur_client *client, const struct td_confirmed *told,
                     uint64_t sequence)
{
    struct dur *d = client->d;
    struct dur_number *number =
        number_at(&d->producers[client->producer], sequence);
    struct dur_event *event = number ? dur_event_nth(d, number->event) : NULL;

    DUR_CHECK(d, event, "client %u: %llu is told, and was not published",
              client->index, (ull)sequence);
    if (!event)
        return;
    DUR_CHECK(d, !number->told, "client %u: %llu is told twice", client->index,
              (ull)sequence);
    number->told = event->told = true;
    event->err = told->err;
    if (told->err) {
        dur_seen(d, DUR_SEEN_REFUSED);
        DUR_CHECK(d,
                  (event->at == 0 && !event->waits) ||
                      !dur_is_known(d, &d->streams[event->stream],
                                    client->producer, sequence),
                  "client %u: %llu is refused (%s) and stands under %llu",
                  client->index, (ull)sequence, tidings_err_name(told->err),
                  (ull)event->at);
        return;
    }
    if (told->duplicate && event->again)
        dur_seen(d, DUR_SEEN_NAMED_AGAIN);
    if (told->duplicate)
        dur_seen(d, d->crashes ? DUR_SEEN_DUPLICATE_CRASH : DUR_SEEN_DUPLICATE);
    if (event->level == TD_LEVEL_OS)
        dur_seen(d, DUR_SEEN_CONFIRMED_OS);
    if (event->level == TD_LEVEL_DISK)
        dur_seen(d, DUR_SEEN_CONFIRMED_DISK);
    DUR_CHECK(d,
              !event->cut || event->level != TD_LEVEL_DISK ||
                  d->streams[event->stream].memory,
              "client %u: %llu is confirmed at disk, and was lost",
              client->index, (ull)sequence);
    if (event->due_ms > 0 &&
        (event->at == 0 || strcmp(told->stream, TD_SCHEDULE_NAME) == 0)) {
        dur_schedule_told(d, told, sequence, event);
        return;
    }
    if (told->duplicate && event->id > 0 && event->at == 0)
        told_repeat(client, told, sequence, event);
    else
        promise(event, event->level);
    check_stored(d, client, told, sequence, event);
}

void dur_confirmed(struct dur_client *client)
{
    struct dur *d = client->d;

    while (client->confirmed) {
        struct td_confirmed *told = client->confirmed;

        client->confirmed = told->next;
        if (told->len > 0)
            dur_say(d, "client %u: %llu and %llu more are confirmed: %s%s",
                    client->index, (ull)told->waiters[0].sequence,
                    (ull)told->len - 1, tidings_err_name(told->err),
                    told->duplicate ? ", again" : "");
        for (size_t i = 0; i < told->len; i++)
            told_one(client, told, told->waiters[i].sequence);
        td_publisher_called(&client->c.publisher, told->len);
        free(told);
    }
}
