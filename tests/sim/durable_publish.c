/* What a client publishes, and what it is told of that. */
#include "tests/sim/durable_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const dur_types[DUR_TYPES] = {"a.x", "a.y", "b.x",
                                          "b.y", "c.x", "c.y"};

/* The map of an event's attributes. */
static struct td_str attrs_of(const struct dur_event *event, char out[40])
{
    uint32_t pairs = (event->id > 0) + (event->key > 0);
    size_t len = 1;

    if (pairs == 0)
        return td_no_str;
    out[0] = (char)(0x80 + pairs);
    if (event->id > 0)
        len +=
            (size_t)snprintf(out + len, 40 - len, "\xa2id\xa3%03u", event->id);
    if (event->key > 0)
        len += (size_t)snprintf(out + len, 40 - len, "\xacpartitionkey\xa1%c",
                                'a' + event->key - 1);
    return (struct td_str){out, len};
}

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

static bool publish_one(struct dur_client *client, uint8_t level)
{
    struct dur *d = client->d;
    struct sim_random *r = &d->random;
    struct dur_producer *p = &d->producers[client->producer];
    struct dur_event event = {
        .type = (uint8_t)sim_below(r, DUR_TYPES),
        .key = sim_chance(r, d->config.keyed)
                   ? (uint8_t)(1 + sim_below(r, DUR_KEYS - 1))
                   : 0,
        .id = sim_chance(r, d->config.ids)
                  ? (uint8_t)(1 + sim_below(r, DUR_IDS - 1))
                  : 0,
        .level = level,
    };
    char attrs[40];
    char data[200] = {0};
    struct td_packing packing = {
        .flags = (event.key ? TD_RUN_KEY : 0) | (event.id ? TD_RUN_ID : 0),
        .time_us = (DUR_EPOCH_MS + d->now_ms) * 1000,
        .data = data,
        .len = 8 + sim_below(r, sizeof(data) - 8),
        .attrs = attrs_of(&event, attrs),
        .level = (enum tidings_level)level,
        .on_confirm = level ? on_confirm : NULL,
    };

    event.stream = stream_of(d, event.type);
    packing.type = td_str_of(dur_types[event.type]);
    memcpy(data, &p->len, sizeof(p->len));
    if (td_client_publish(&client->c, &packing))
        return false;
    p->log = dur_grow(p->log, p->len, &p->cap, sizeof(*p->log));
    p->log[p->len++] = event;
    d->result->published++;
    DUR_CHECK(d, client->c.packer.sequence == p->len, "a sequence is skipped");
    return true;
}

void dur_publish(struct dur_client *client)
{
    struct dur *d = client->d;
    uint64_t n = 1 + sim_below(&d->random, d->config.burst_max);
    uint8_t level = pick_level(d);

    while (n-- > 0 && publish_one(client, level))
        ;
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
    DUR_CHECK(d, event->at > 0 || s->max_events > 0,
              "client %u: %llu is confirmed at level %u and not stored",
              client->index, (ull)sequence, event->level);
    DUR_CHECK(d,
              at == 0 || event->at == 0 || at == event->at ||
                  dur_event_at(d, s, at) == event,
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

static void told_one(struct dur_client *client, const struct td_confirmed *told,
                     uint64_t sequence)
{
    struct dur *d = client->d;
    struct dur_event *event = &d->producers[client->producer].log[sequence - 1];

    DUR_CHECK(d, !event->told, "client %u: %llu is told twice", client->index,
              (ull)sequence);
    event->told = true;
    event->err = told->err;
    if (told->err) {
        dur_seen(d, DUR_SEEN_REFUSED);
        DUR_CHECK(d,
                  event->at == 0 || !dur_is_known(d, &d->streams[event->stream],
                                                  client->producer, sequence),
                  "client %u: %llu is refused (%s) and stands under %llu",
                  client->index, (ull)sequence, tidings_err_name(told->err),
                  (ull)event->at);
        return;
    }
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
