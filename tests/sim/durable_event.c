/* Events: what each is made of, and how it is told from all others wherever it
 * is met: by what its data says, not by the broker's numbers. */
#include "tests/sim/durable_world.h"

#include "proto/id.h"
#include "proto/timestamp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const dur_types[DUR_TYPES] = {"a.x", "a.y", "b.x",
                                          "b.y", "c.x", "c.y"};

uint32_t dur_event_new(struct dur *d, const struct dur_event *event)
{
    d->events =
        sim_grow(d->events, d->events_len, &d->events_cap, sizeof(*d->events));
    d->events[d->events_len++] = *event;
    return (uint32_t)d->events_len;
}

struct dur_event *dur_event_nth(struct dur *d, uint32_t number)
{
    return number >= 1 && number <= d->events_len ? &d->events[number - 1]
                                                  : NULL;
}

/* ---- as it is published ---- */

static void pack_short(msgpack_packer *pk, const char *key, const char *format,
                       unsigned value)
{
    char text[16];

    snprintf(text, sizeof(text), format, value);
    td_pack_str(pk, key, td_str_of(text));
}

static void pack_time(msgpack_packer *pk, const char *key, int64_t ms)
{
    char text[TD_TIMESTAMP_BYTES] = "";

    td_timestamp_write(text, (DUR_EPOCH_MS + ms) * 1000);
    td_pack_str(pk, key, td_str_of(text));
}

static uint32_t number_of(const struct dur *d, const struct dur_event *event)
{
    return (uint32_t)(event - d->events) + 1;
}

/* The map of its attributes, copied to where there is room for it. */
static struct td_str attrs_of(struct dur *d, const struct dur_event *event,
                              char *to)
{
    uint32_t pairs = (event->id > 0) + (event->key > 0) + event->empty +
                     (event->expires_ms > 0);
    msgpack_packer pk;

    td_buf_reset(&d->attrs);
    if (pairs == 0)
        return td_no_str;
    msgpack_packer_init(&pk, &d->attrs, td_buf_pack_write);
    msgpack_pack_map(&pk, pairs);
    if (event->id > 0)
        pack_short(&pk, "id", "%03u", event->id);
    if (event->key > 0)
        pack_short(&pk, "partitionkey", "%u", event->key);
    if (event->expires_ms > 0)
        pack_time(&pk, "expirytime", event->expires_ms);
    if (event->empty)
        pack_short(&pk, "number", "%06u", number_of(d, event));
    if (d->attrs.len > DUR_ATTRS)
        abort();
    memcpy(to, d->attrs.data, d->attrs.len);
    return (struct td_str){to, d->attrs.len};
}

struct td_packing dur_event_packing(struct dur *d, uint32_t number,
                                    struct dur_room *room)
{
    const struct dur_event *event = dur_event_nth(d, number);

    memset(room->data, 0, sizeof(room->data));
    memcpy(room->data, &number, sizeof(number));
    return (struct td_packing){
        .type = td_str_of(dur_types[event->type]),
        .flags = (event->key ? TD_RUN_KEY : 0) | (event->id ? TD_RUN_ID : 0) |
                 (event->expires_ms ? TD_RUN_EXPIRY : 0),
        .time_us = (DUR_EPOCH_MS + d->now_ms) * 1000,
        .data = room->data,
        .len = event->len,
        .attrs = attrs_of(d, event, room->attrs),
        .level = (enum tidings_level)event->level,
    };
}

/* ---- as it is met ---- */

/* It waited for its time: the broker has given it its id. */
static bool is_id_of(struct dur *d, const struct dur_event *event,
                     struct td_str attrs)
{
    char id[TD_ID_TEXT_BYTES + 1];
    struct td_str found;

    td_id_format(id, d->producers[event->producer].id, event->sequence);
    return event->due_ms > 0 && td_map_str(attrs, "id", &found) &&
           td_str_is(found, id);
}

/* What an event says of itself. */
static uint32_t number_in(const struct td_event *opened)
{
    struct td_str text = td_no_str;
    uint32_t number = 0;

    if (opened->data.len >= sizeof(number))
        memcpy(&number, opened->data.data, sizeof(number));
    else
        td_map_str(opened->attrs, "number", &text);
    for (size_t i = 0; i < text.len; i++)
        number = number * 10 + (uint32_t)(text.data[i] - '0');
    return number;
}

uint32_t dur_event_met(struct dur *d, const struct td_batch *batch,
                       const struct td_run *run, uint32_t nth,
                       const uint8_t **p, bool *own)
{
    struct dur_event *event;
    struct td_event opened;
    uint32_t number;

    DUR_CHECK(d, td_event_open(&opened, p, *p + run->bytes),
              "an event is malformed");
    if (d->failed)
        return 0;
    number = number_in(&opened);
    event = dur_event_nth(d, number);
    DUR_CHECK(d, event, "an event that nobody published");
    if (!event)
        return 0;
    DUR_CHECK(d,
              opened.data.len == event->len &&
                  td_str_is(run->type, dur_types[event->type]),
              "event %u has other data, or another type", number);
    *own = memcmp(batch->producer.data, d->producers[event->producer].id,
                  TD_PRODUCER_BYTES) != 0;
    DUR_CHECK(d,
              *own ? is_id_of(d, event, opened.attrs)
                   : run->first + nth == event->sequence,
              "event %u, number %llu of producer %u, is another's", number,
              (ull)event->sequence, event->producer);
    return d->failed ? 0 : number;
}
