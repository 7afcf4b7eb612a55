/* What a subscription is owed: what matched it and was not sent, in order; and
 * what was sent, so that it may be owed again. */
#include "tests/sim/world.h"

#include <stdlib.h>
#include <string.h>

struct sim_esub *sim_esub_find(struct sim *sim, uint64_t session,
                               uint64_t number)
{
    struct sim_esub *sub;

    DL_FOREACH(sim->model.subs, sub)
    {
        if (sub->session == session && sub->number == number)
            return sub;
    }
    return NULL;
}

void sim_esub_free(struct sim *sim, struct sim_esub *sub)
{
    DL_DELETE(sim->model.subs, sub);
    if (sub->group)
        sim_egroup_leave(sim, sub);
    free(sub->ring);
    free(sub->log);
    free(sub);
}

struct sim_esub *sim_esub_add(struct sim *sim, struct sim_link *link,
                              const struct td_sub *from)
{
    struct sim_esub *sub = calloc(1, sizeof(*sub));

    if (!sub) {
        SIM_CHECK(sim, false, "out of memory");
        return NULL;
    }
    sub->session = link->session;
    sub->number = from->number;
    sub->link = link;
    /* Far from 0, so that what is owed again has room before it. */
    sub->head = sub->tail = sub->mark = UINT64_C(1) << 40;
    sub->inexact =
        sim->config.starved || from->group->policy == TD_DROP_THE_NEWEST;
    sub->advised = from->group->text[0] == '$';
    sub->pattern_len = from->group->pattern_len;
    memcpy(sub->pattern, from->group->text, sub->pattern_len);
    DL_APPEND(sim->model.subs, sub);
    if (from->group->name_len > 0)
        sub->group = sim_egroup_join(sim, from->group);
    return sub;
}

uint64_t sim_event_key(uint32_t producer, uint64_t sequence)
{
    return (uint64_t)producer << 40 | (sequence & ((UINT64_C(1) << 40) - 1));
}

/* ---- the ring ---- */

static uint64_t *at(struct sim_esub *sub, uint64_t place)
{
    return &sub->ring[place & (sub->ring_cap - 1)];
}

static bool has_room(struct sim *sim, struct sim_esub *sub)
{
    uint64_t cap = sub->ring_cap ? sub->ring_cap * 2 : 64;
    uint64_t *ring;

    if (sub->tail - sub->head < sub->ring_cap)
        return true;
    ring = malloc(cap * sizeof(*ring));
    SIM_CHECK(sim, ring, "out of memory");
    if (!ring)
        return false;
    for (uint64_t i = sub->head; i < sub->tail; i++)
        ring[i & (cap - 1)] = *at(sub, i);
    free(sub->ring);
    sub->ring = ring;
    sub->ring_cap = cap;
    return true;
}

void sim_owe(struct sim *sim, struct sim_esub *sub, uint64_t key)
{
    if (!has_room(sim, sub))
        return;
    *at(sub, sub->tail++) = key;
    sub->matched++;
}

/* ---- sending ---- */

static void log_sent(struct sim *sim, struct sim_esub *sub, uint64_t key,
                     uint64_t bytes)
{
    if (sub->sent == sub->log_cap) {
        uint64_t cap = sub->log_cap ? sub->log_cap * 2 : 64;
        struct sim_sent *log = realloc(sub->log, cap * sizeof(*log));

        SIM_CHECK(sim, log, "out of memory");
        if (!log)
            return;
        sub->log = log;
        sub->log_cap = cap;
    }
    sub->log[sub->sent].key = key;
    sub->log[sub->sent++].bytes = bytes;
    sub->sent_bytes += bytes;
}

void sim_owe_begin(struct sim *sim, struct sim_esub *sub)
{
    SIM_CHECK(sim, sub->skipped <= sub->gap_told || sub->group,
              "link %u subscription %llu was not told again of %llu events",
              sub->link->number, (unsigned long long)sub->number,
              (unsigned long long)(sub->skipped - sub->gap_told));
    if (sub->inexact || sub->advised || sub->group)
        return;
    /* What was dropped is the oldest. */
    sub->head += sub->gap_told - sub->skipped;
    sub->skipped = sub->gap_told;
}

/* What was dropped, wherever it was, is missing, and no more than was told. */
static void skip_dropped(struct sim_esub *sub, uint64_t to)
{
    while (sub->skipped < sub->gap_told && sub->head < sub->tail &&
           *at(sub, sub->head) != to) {
        sub->head++;
        sub->skipped++;
    }
}

/* The broker's own events: in order, whichever they are. */
static void less_advised(struct sim *sim, struct sim_esub *sub, uint64_t key,
                         uint64_t bytes)
{
    SIM_CHECK(sim, sub->sent == 0 || sub->log[sub->sent - 1].key < key,
              "link %u subscription %llu gets an advisory twice",
              sub->link->number, (unsigned long long)sub->number);
    log_sent(sim, sub, key, bytes);
    sim_seen(sim, SIM_SEEN_ADVISED);
}

void sim_owe_less(struct sim *sim, struct sim_esub *sub, uint64_t key,
                  uint64_t bytes)
{
    unsigned producer = (unsigned)(key >> 40);
    unsigned long long sequence = key & ((UINT64_C(1) << 40) - 1);
    uint64_t want;

    if (sub->advised) {
        less_advised(sim, sub, key, bytes);
        return;
    }
    if (sub->group) {
        sim_egroup_sent(sim, sub, key);
        log_sent(sim, sub, key, bytes);
        return;
    }
    if (sub->inexact)
        skip_dropped(sub, key);
    SIM_CHECK(sim, sub->head < sub->tail,
              "link %u subscription %llu gets what it is not owed: "
              "producer %u, %llu",
              sub->link->number, (unsigned long long)sub->number, producer,
              sequence);
    if (sim->failed)
        return;
    want = *at(sub, sub->head++);
    SIM_CHECK(sim, want == key,
              "link %u subscription %llu gets producer %u, %llu; next is "
              "producer %u, %llu",
              sub->link->number, (unsigned long long)sub->number, producer,
              sequence, (unsigned)(want >> 40),
              (unsigned long long)(want & ((UINT64_C(1) << 40) - 1)));
    log_sent(sim, sub, key, bytes);
}

/* What comes back may be more than the queue has room for. */
void sim_owe_again(struct sim *sim, struct sim_esub *sub, uint64_t received)
{
    if (sub->sent <= received)
        return;
    sub->inexact = true; /* it is older than what was dropped before */
    (sub->group ? &sub->group->bound : &sub->bound)->came_back = true;
    while (sub->sent > received) {
        const struct sim_sent *last = &sub->log[--sub->sent];

        sub->sent_bytes -= last->bytes;
        if (sub->group)
            sim_egroup_unsent(sim, sub, last->key);
        else if (!sub->advised && has_room(sim, sub))
            *at(sub, --sub->head) = last->key;
    }
}
