/* What events hold: bytes from a pool that both ends know, so that an event
 * is recognised, whatever its size, by its producer and sequence alone. */
#include "tests/sim/world.h"

#include <stdlib.h>
#include <string.h>

const char *const sim_types[SIM_TYPES] = {
    "user.created",
    "user.deleted",
    "order.created",
    "order.paid.late",
    "a",
    "a.b",
    "a.b.c",
    "a.b.c.d",
    "b",
    "b.b",
    "b.b.b",
    "user.created.v2",
    "x.y.z",
    "x.y",
    "order.item.added",
    "order.item.removed",
    "c.1.2.3.4.5.6.7",
    "c.1.2.3.4.5.6.8",
    "z.z.z.z.z.z.z.z",
    "lonely",
};

/* An encoded map; with flags set there is something to carry. */
static const struct td_str carried = {"\x81\xa1k\xa1v", 5};

static const struct td_str partitions[SIM_PARTITIONS] = {
    {"\x81\xacpartitionkey\xa1"
     "a",
     16},
    {"\x81\xacpartitionkey\xa1"
     "b",
     16},
    {"\x81\xacpartitionkey\xa1"
     "c",
     16},
    {"\x81\xacpartitionkey\xa1"
     "d",
     16},
    {"\x81\xacpartitionkey\xa1"
     "e",
     16},
    {"\x81\xacpartitionkey\xa1"
     "f",
     16},
};

#define HEADER_BYTES 16u /* of data: producer's place and sequence */

struct sim_producer *sim_producer_add(struct sim *sim, bool evil)
{
    struct sim_producer *p = &sim->producers[sim->producers_len];

    if (sim->producers_len == SIM_PRODUCERS_MAX) {
        SIM_CHECK(sim, sim->producers_len < SIM_PRODUCERS_MAX,
                  "table of producers is too small");
        return &sim->producers[0];
    }
    sim->producers_len++;
    for (size_t i = 0; i < sizeof(p->id); i++)
        p->id[i] = (uint8_t)sim_next(&sim->random);
    p->evil = evil;
    return p;
}

uint32_t sim_producer_index(struct sim *sim, struct td_str id)
{
    struct sim_producer *p;

    for (uint32_t i = 0; i < sim->producers_len; i++) {
        if (memcmp(sim->producers[i].id, id.data, TD_PRODUCER_BYTES) == 0)
            return i;
    }
    p = sim_producer_add(sim, true);
    memcpy(p->id, id.data, TD_PRODUCER_BYTES);
    return (uint32_t)(p - sim->producers);
}

static uint32_t random_len(struct sim *sim)
{
    const struct sim_config *cf = &sim->config;
    struct sim_random *r = &sim->random;
    uint64_t w = sim_below(r, cf->small_weight + cf->medium_weight +
                                  cf->large_weight + cf->largest_weight);

    if (w < cf->small_weight)
        return (uint32_t)sim_below(r, sim_chance(r, 100) ? 1000 : 60);
    w -= cf->small_weight;
    if (w < cf->medium_weight)
        return (uint32_t)sim_between(r, 1000, 20000);
    w -= cf->medium_weight;
    if (w < cf->large_weight)
        return (uint32_t)sim_between(r, 20000, 300000);
    return TD_DATA_BYTES_MAX - (uint32_t)sim_below(r, 2);
}

static void header(uint8_t out[HEADER_BYTES], const struct sim_producer *p,
                   uint64_t sequence)
{
    memcpy(out, p->id, 8);
    memcpy(out + 8, &sequence, 8);
}

static bool log_append(struct sim_producer *p, const struct sim_event *event)
{
    if (p->log_len == p->log_cap) {
        uint64_t cap = p->log_cap ? p->log_cap * 2 : 64;
        struct sim_event *log = realloc(p->log, cap * sizeof(*log));

        if (!log)
            return false;
        p->log = log;
        p->log_cap = cap;
    }
    p->log[p->log_len++] = *event;
    return true;
}

/* Data shorter than a header is the header's beginning. */
static void fill(const struct sim *sim, uint8_t *data,
                 const struct sim_producer *p, const struct sim_event *event,
                 uint64_t sequence)
{
    uint8_t head[HEADER_BYTES];

    header(head, p, sequence);
    if (event->len <= HEADER_BYTES) {
        memcpy(data, head, event->len);
        return;
    }
    memcpy(data, head, HEADER_BYTES);
    memcpy(data + HEADER_BYTES, sim->pool + event->pool_at,
           event->len - HEADER_BYTES);
}

static struct td_str attributes(const struct sim_event *event)
{
    const struct td_str none = {NULL, 0};

    if (event->partition > 0)
        return partitions[event->partition - 1];
    return event->flags ? carried : none;
}

tidings_err sim_publish(struct sim *sim, struct td_client *c,
                        struct sim_producer *p)
{
    static uint8_t data[TD_DATA_BYTES_MAX];
    struct sim_random *r = &sim->random;
    struct sim_event event = {
        .time_us =
            sim->now_ms * 1000 + sim->wall_us + (int64_t)(p->log_len % 1000),
        .len = random_len(sim),
        .pool_at = (uint32_t)sim_below(r, SIM_POOL_BYTES - TD_DATA_BYTES_MAX),
        .type = (uint16_t)sim_below(r, sim->config.types),
        .flags = (uint16_t)(sim_chance(r, 30) ? sim_below(r, 4) : 0),
    };

    if (sim_chance(r, sim->config.keyed)) {
        event.flags = TD_RUN_KEY;
        event.partition = (uint8_t)(1 + sim_below(r, SIM_PARTITIONS));
    }
    const struct td_packing packing = {
        .type = td_str_of(sim_types[event.type]),
        .flags = event.flags,
        .time_us = event.time_us,
        .data = event.len ? data : NULL,
        .len = event.len,
        .attrs = attributes(&event),
    };
    tidings_err err;

    fill(sim, data, p, &event, p->log_len + 1);
    sim_starve(sim);
    err = td_client_publish(c, &packing);
    sim_feed(sim);
    if (err)
        return err;
    sim->result->published++;
    SIM_CHECK(sim, log_append(p, &event), "out of memory");
    SIM_CHECK(sim, c->packer.sequence == p->log_len,
              "publisher counts %llu events, %llu were packed",
              (unsigned long long)c->packer.sequence,
              (unsigned long long)p->log_len);
    return TIDINGS_OK;
}

static bool data_is(const struct sim *sim, const struct sim_producer *p,
                    const struct sim_event *event, uint64_t sequence,
                    struct td_str data)
{
    uint8_t head[HEADER_BYTES];
    size_t n = event->len < HEADER_BYTES ? event->len : HEADER_BYTES;

    header(head, p, sequence);
    return data.len == event->len && memcmp(data.data, head, n) == 0 &&
           memcmp(data.data + n, sim->pool + event->pool_at, event->len - n) ==
               0;
}

bool sim_event_is(struct sim *sim, const struct sim_producer *p,
                  const struct td_batch *batch, const struct td_run *run,
                  uint64_t sequence, const uint8_t **at, const uint8_t *end)
{
    const struct sim_event *event;
    struct td_event got;

    if (p->evil) {
        *at = td_events_skip(*at, end, 1);
        return true;
    }
    if (!td_event_open(&got, at, end) || sequence > p->log_len)
        return false;
    event = &p->log[sequence - 1];
    if (got.dt_us < 0)
        sim_seen(sim, SIM_SEEN_BACK_IN_TIME);
    if (event->len >= TD_DATA_BYTES_MAX)
        sim_seen(sim, SIM_SEEN_LARGEST);
    return run->type.len == strlen(sim_types[event->type]) &&
           memcmp(run->type.data, sim_types[event->type], run->type.len) == 0 &&
           run->flags == event->flags &&
           batch->base_us + got.dt_us == event->time_us &&
           got.attrs.len == attributes(event).len &&
           data_is(sim, p, event, sequence, got.data);
}
