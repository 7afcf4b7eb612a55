/* The world around the processes: what a seed makes of it, who is next, what
 * goes wrong, and when it is over. */
#include "tests/sim/world.h"

#include "tests/support/alloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAL_MS 60000 /* from the last fault until everything is at rest */

const char *const sim_seen_texts[SIM_SEEN_END] = {
#define SIM_SEEN_TEXT(name, text) text,
    SIM_SEEN_MAP(SIM_SEEN_TEXT)
#undef SIM_SEEN_TEXT
};

/* ---- telling ---- */

void sim_seen(struct sim *sim, enum sim_seen what)
{
    sim->result->seen[what]++;
}

void sim_hash(struct sim *sim, const void *data, size_t len)
{
    const uint8_t *p = data;
    uint64_t h = sim->result->hash ^ (uint64_t)sim->now_ms;

    while (len-- > 0)
        h = (h ^ *p++) * 0x100000001b3u; /* FNV-1a */
    sim->result->hash = h;
}

void sim_say(struct sim *sim, const char *format, ...)
{
    va_list args;

    if (!sim->verbose)
        return;
    printf("%8lld ", (long long)sim->now_ms);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
}

void sim_fail(struct sim *sim, const char *where, int line, const char *what,
              const char *format, ...)
{
    char *to = sim->result->failure;
    size_t size = sizeof(sim->result->failure);
    va_list args;
    int n;

    if (sim->failed)
        return; /* the first one counts */
    sim->failed = true;
    n = snprintf(to, size, "at %lld ms, %s:%d: %s\n    ",
                 (long long)sim->now_ms, where, line, what);
    va_start(args, format);
    if (n > 0 && (size_t)n < size)
        vsnprintf(to + n, size - (size_t)n, format, args);
    va_end(args);
    sim_say(sim, "FAILED %s", to);
}

/* ---- memory ---- */

void sim_starve(struct sim *sim)
{
    if (!sim->config.starved || sim->healing)
        return;
    sim->starving = true;
    if (sim_chance(&sim->random, 20))
        td_alloc_fail(1 + sim_below(&sim->random, 8));
}

bool sim_feed(struct sim *sim)
{
    bool was_starving = sim->starving;

    if (!was_starving)
        return false;
    if (td_alloc_failed()) {
        sim_seen(sim, SIM_SEEN_STARVED);
        sim_say(sim, "an allocation failed");
    }
    td_alloc_fail(0);
    sim->starving = false;
    return true;
}

void sim_starve_again(struct sim *sim, bool was_starving)
{
    if (was_starving)
        sim_starve(sim);
}

/* ---- faults ---- */

static struct sim_client *random_client(struct sim *sim)
{
    return &sim->clients[sim_below(&sim->random, sim->clients_len)];
}

static struct sim_link *suffer(struct sim_client *client)
{
    struct sim_link *link = client->up ? client->link : NULL;

    if (link)
        link->client_may_complain = link->broker_may_complain = true;
    return link;
}

static void fault_link(struct sim *sim, bool client_knows, bool broker_knows)
{
    struct sim_random *r = &sim->random;
    struct sim_link *link = suffer(random_client(sim));

    if (!link)
        return;
    sim_say(sim, "link %u breaks", link->number);
    sim_pipe_lose(sim, &link->up);
    sim_pipe_lose(sim, &link->down);
    link->up.hole = link->down.hole = true;
    if (client_knows)
        link->tell_client_ms = sim->now_ms + sim_between(r, 0, 50);
    if (broker_knows) {
        link->tell_broker_ms = sim->now_ms + sim_between(r, 0, 50);
        link->shut_ms = sim->now_ms + sim_between(r, 0, 50);
    }
}

static void fault_both(struct sim *sim)
{
    fault_link(sim, true, true);
}

static void fault_client_only(struct sim *sim)
{
    fault_link(sim, true, false);
}

static void fault_broker_only(struct sim *sim)
{
    fault_link(sim, false, true);
}

static void fault_silent(struct sim *sim)
{
    struct sim_random *r = &sim->random;
    struct sim_link *link = suffer(random_client(sim));

    if (!link)
        return;
    sim_say(sim, "link %u goes silent", link->number);
    if (sim_chance(r, 700)) /* what is swallowed never comes back */
        link->up.hole = true;
    if (!link->up.hole || sim_chance(r, 500))
        link->down.hole = true;
}

static void fault_stall(struct sim *sim)
{
    struct sim_random *r = &sim->random;
    struct sim_link *link = suffer(random_client(sim));
    struct sim_pipe *pipe;

    if (!link)
        return;
    pipe = sim_chance(r, 500) ? &link->up : &link->down;
    pipe->stall_ms = sim->now_ms + (sim_chance(r, 800)
                                        ? sim_between(r, 10, 2000)
                                        : sim_between(r, 2000, 25000));
    sim_say(sim, "link %u stalls until %lld", link->number,
            (long long)pipe->stall_ms);
}

static void fault_cut_off(struct sim *sim)
{
    struct sim_client *client = random_client(sim);

    client->cut_off_until_ms =
        sim->now_ms + sim_between(&sim->random, 100, 12000);
    fault_link(sim, true, true);
}

static void fault_shut(struct sim *sim)
{
    struct sim_link *link = suffer(random_client(sim));

    if (link)
        link->shut_ms = sim->now_ms;
}

static void fault_broker_crash(struct sim *sim)
{
    if (sim->broker.engine)
        sim_broker_crash(sim);
}

static void fault_broker_stop(struct sim *sim)
{
    if (!sim->broker.engine || sim->broker.stop_by_ms != SIM_NEVER)
        return;
    sim_say(sim, "broker drains");
    td_engine_drain(sim->broker.engine);
    sim->broker.stop_by_ms = sim->now_ms + TD_STOP_MS;
}

static void fault_broker_pause(struct sim *sim)
{
    struct sim_random *r = &sim->random;
    int64_t ms = sim_chance(r, 800)   ? sim_between(r, 10, 3000)
                 : sim_chance(r, 500) ? sim_between(r, 9000, 16000)
                                      : sim_between(r, 3000, 30000);
    struct sim_link *link;

    sim_say(sim, "broker stands still for %lld ms", (long long)ms);
    sim_broker_pause(sim, sim->now_ms + ms);
    if (ms > TD_DEAD_MS)
        sim_seen(sim, SIM_SEEN_BROKER_PAUSED);
    DL_FOREACH(sim->links, link)
    {
        if (ms >= TD_GREETING_MS / 2) /* or a greeting is too late */
            link->client_may_complain = true;
    }
}

static void fault_client_crash(struct sim *sim)
{
    struct sim_client *client = random_client(sim);

    if (!client->up)
        return;
    sim_client_crash(client, false);
    client->restart_ms = sim->now_ms + sim_between(&sim->random, 1, 3000);
}

static void fault_client_close(struct sim *sim)
{
    struct sim_client *client = random_client(sim);

    if (!client->up)
        return;
    sim_client_crash(client, true);
    client->restart_ms = sim->now_ms + sim_between(&sim->random, 1, 3000);
}

static void fault_client_pause(struct sim *sim)
{
    struct sim_random *r = &sim->random;
    struct sim_client *client = random_client(sim);
    int64_t ms = sim_chance(r, 700) ? sim_between(r, 10, 5000)
                                    : sim_between(r, 5000, 30000);

    suffer(client);
    client->paused_until_ms = sim->now_ms + ms;
    if (client->up && ms > TD_DEAD_MS + 1000)
        sim_seen(sim, SIM_SEEN_CLIENT_PAUSED);
    sim_say(sim, "client %u stands still for %lld ms", client->index,
            (long long)ms);
}

static void fault_clock(struct sim *sim)
{
    int64_t hour = INT64_C(3600) * 1000000;

    sim->wall_us += sim_between(&sim->random, -hour, hour);
    sim_say(sim, "wall clock steps");
}

static const struct {
    void (*happen)(struct sim *sim);
    unsigned weight; /* if the seed has it at all */
} faults[] = {
    {fault_both, 4},         {fault_client_only, 4}, {fault_broker_only, 4},
    {fault_silent, 3},       {fault_stall, 4},       {fault_cut_off, 2},
    {fault_shut, 3},         {fault_broker_crash, 1}, {fault_broker_stop, 1},
    {fault_broker_pause, 2}, {fault_client_crash, 2}, {fault_client_close, 2},
    {fault_client_pause, 4}, {fault_clock, 3},
};

#define FAULTS (sizeof(faults) / sizeof(faults[0]))
#define FAULT_CRASH 7
#define FAULT_STOP 8
#define FAULT_CLIENT_CRASH 10
#define FAULT_CLIENT_CLOSE 11

static void happen(struct sim *sim)
{
    const struct sim_faults *f = &sim->config.faults;
    uint64_t pick = sim_below(&sim->random, f->total);

    sim->fault_ms =
        sim->now_ms + 1 + sim_between(&sim->random, 0, 2 * f->every_ms);
    for (size_t i = 0; i < FAULTS; i++) {
        if (pick < f->weight[i]) {
            faults[i].happen(sim);
            return;
        }
        pick -= f->weight[i];
    }
}

/* ---- what a seed makes of the world ---- */

static unsigned maybe(struct sim_random *r, unsigned per_mille, unsigned value)
{
    return sim_chance(r, per_mille) ? value : 0;
}

static void choose_faults(struct sim *sim)
{
    struct sim_faults *f = &sim->config.faults;
    struct sim_random *r = &sim->random;

    for (size_t i = 0; i < FAULTS; i++) {
        f->weight[i] = maybe(r, 500, faults[i].weight);
        f->total += f->weight[i];
    }
    f->every_ms = sim_between(r, 300, 6000);
}

static void choose_flow(struct sim *sim)
{
    struct sim_config *cf = &sim->config;
    struct sim_random *r = &sim->random;

    cf->delay_min_ms = maybe(r, 300, 20);
    cf->delay_max_ms = cf->delay_min_ms + sim_between(r, 0, 30);
    cf->turn_ms = maybe(r, 400, 20);
    cf->turn_messages = sim_chance(r, 300)
                            ? 1 + (uint32_t)sim_below(r, 10)
                            : 64;
    cf->act_ms = sim_between(r, 30, 500);
    cf->burst_max = 1 + (uint32_t)sim_below(r, sim_chance(r, 100) ? 200 : 30);
    cf->small_weight = 1000;
    cf->medium_weight = maybe(r, 300, 30);
    cf->large_weight = maybe(r, 150, 10);
    cf->largest_weight = maybe(r, 40, 2);
    cf->types = 1 + (uint32_t)sim_below(r, SIM_TYPES);
    cf->unconfirmed_events = sim_chance(r, 300) ? 20 + sim_below(r, 300)
                                                : TD_UNCONFIRMED_EVENTS;
    cf->unconfirmed_bytes = TD_UNCONFIRMED_BYTES;
}

static void choose_subs(struct sim *sim)
{
    struct sim_config *cf = &sim->config;
    struct sim_random *r = &sim->random;

    cf->subs_max = 1 + (uint32_t)sim_below(r, 5);
    cf->tiny_window = maybe(r, 500, (unsigned)sim_below(r, 1000));
    cf->tiny_queue = maybe(r, 600, (unsigned)sim_below(r, 1000));
    cf->wide = (unsigned)sim_below(r, 600);
    cf->churn = maybe(r, 500, (unsigned)sim_below(r, 100));
    cf->refused = maybe(r, 100, 100);
    cf->slow_handlers = maybe(r, 600, (unsigned)sim_below(r, 1000));
    cf->handler_us = sim_between(r, 100, 50000);
}

/* So many events or bytes that credit runs out while it is withheld. */
static void make_flood(struct sim *sim)
{
    struct sim_config *cf = &sim->config;
    bool large = sim_chance(&sim->random, 700);

    cf->large_weight = large ? 3000 : 0;
    cf->burst_max = large ? 20 : 3000;
    cf->act_ms = large ? 200 : 30;
    cf->faulty_ms = 4000;
    cf->tiny_queue = 1000;
    cf->tiny_window = 800;
    cf->slow_handlers = 900;
    cf->unconfirmed_events = TD_UNCONFIRMED_EVENTS;
}

/* One client stays away for longer than its producer is remembered. */
static void make_absence(struct sim *sim)
{
    struct sim_config *cf = &sim->config;
    struct sim_faults *f = &cf->faults;

    cf->absence = true;
    cf->clients = 2;
    cf->evils = 0;
    cf->raw_evil = false;
    cf->faulty_ms = TD_PRODUCER_KEEP_MS + 40000;
    cf->act_ms = 10000;
    cf->burst_max = 20;
    f->every_ms = 60000;
    f->total -= f->weight[FAULT_CRASH] + f->weight[FAULT_STOP] +
                f->weight[FAULT_CLIENT_CRASH] + f->weight[FAULT_CLIENT_CLOSE];
    f->weight[FAULT_CRASH] = f->weight[FAULT_STOP] = 0;
    f->weight[FAULT_CLIENT_CRASH] = f->weight[FAULT_CLIENT_CLOSE] = 0;
}

static void make_hoarder(struct sim *sim)
{
    struct sim_config *cf = &sim->config;

    cf->hoarder = true;
    cf->tiny_queue = cf->tiny_window = 1000;
    cf->wide = 900;
    cf->slow_handlers = 1000;
    cf->handler_us = 30000;
}

/* A message may be taken in part then, which the model cannot foretell; so
 * each holds one batch. */
static void make_starved(struct sim *sim)
{
    sim->config.starved = true;
    sim->config.evils = 0;
    sim->config.raw_evil = false;
}

static void choose(struct sim *sim)
{
    struct sim_config *cf = &sim->config;
    struct sim_random *r = &sim->random;

    cf->clients = 1 + (uint32_t)sim_below(r, SIM_CLIENTS_MAX);
    cf->evils = sim_chance(r, 250) ? 1 + (uint32_t)sim_below(r, SIM_EVILS) : 0;
    cf->raw_evil = sim_chance(r, 200);
    cf->faulty_ms = sim_between(r, 2000, 20000);
    cf->memory_bytes = sim_chance(r, 200)
                           ? (size_t)sim_between(r, 3000, 200000)
                           : TD_MEMORY_BYTES;
    choose_flow(sim);
    choose_subs(sim);
    choose_faults(sim);
    if (sim_chance(r, 80))
        make_starved(sim);
    else if (sim_chance(r, 40))
        make_flood(sim);
    else if (sim_chance(r, 60))
        make_hoarder(sim);
    else if (sim_chance(r, 25))
        make_absence(sim);
}

static void make_client(struct sim *sim, uint32_t index)
{
    struct sim_client *client = &sim->clients[index];
    struct sim_random *r = &sim->random;

    client->sim = sim;
    client->index = index;
    client->evil = index >= sim->config.clients;
    client->publishes = index == 0 || sim_chance(r, 700);
    client->handler_us = maybe(r, sim->config.slow_handlers,
                               (unsigned)sim->config.handler_us);
    snprintf(client->name, sizeof(client->name), "client-%u", index);
    snprintf(client->source, sizeof(client->source), "/sim/%u", index);
    client->restart_ms = sim_between(r, 0, 200);
    client->work_tail = &client->work;
}

/* ---- time ---- */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t next_ms(struct sim *sim)
{
    int64_t next = sim_broker_next_ms(sim);

    for (uint32_t i = 0; i < sim->clients_len; i++)
        next = earlier(next, sim_client_next_ms(&sim->clients[i]));
    return earlier(next, earlier(sim->fault_ms, sim->evil_ms));
}

/* Everybody who is due has one turn; who comes first is chance. */
static void turn(struct sim *sim)
{
    uint32_t n = sim->clients_len + 1;
    uint32_t first = (uint32_t)sim_below(&sim->random, n);

    if (sim->fault_ms <= sim->now_ms)
        happen(sim);
    if (sim->evil_ms <= sim->now_ms)
        sim_evil_act(sim);
    for (uint32_t i = 0; i < n && !sim->failed; i++) {
        uint32_t who = (first + i) % n;

        if (who == sim->clients_len) {
            if (sim_broker_next_ms(sim) <= sim->now_ms)
                sim_broker_turn(sim);
        } else if (sim_client_next_ms(&sim->clients[who]) <= sim->now_ms) {
            sim_client_run(&sim->clients[who]);
        }
    }
    sim_links_sweep(sim);
}

/* A time at which more happens than a process could do in it. */
#define TURNS_AT_ONCE 5000

static void run_until(struct sim *sim, int64_t end_ms,
                      const char *(*waits)(struct sim *sim))
{
    unsigned turns = 0;

    while (!sim->failed && (!waits || waits(sim))) {
        int64_t next = next_ms(sim);

        if (next > end_ms)
            break;
        turns = next > sim->now_ms ? 0 : turns + 1;
        SIM_CHECK(sim, turns < TURNS_AT_ONCE, "time does not go on");
        if (next > sim->now_ms)
            sim->now_ms = next;
        turn(sim);
    }
}

/* ---- the end ---- */

static void heal(struct sim *sim)
{
    sim_say(sim, "faults are over");
    sim->healing = true;
    sim->fault_ms = sim->evil_ms = SIM_NEVER;
    /* However deep a queue and small a window, it drains in time. */
    sim->config.delay_min_ms = sim->config.turn_ms = 0;
    sim->config.delay_max_ms = 1;
    if (sim->raw) {
        struct sim_link *raw = sim->raw;

        sim->raw = NULL;
        sim_link_close(sim, raw, true);
    }
    for (uint32_t i = 0; i < sim->clients_len; i++) {
        struct sim_client *client = &sim->clients[i];

        client->paused_until_ms = client->cut_off_until_ms = 0;
        client->handler_us = 0;
        if (client->evil)
            sim_client_crash(client, false);
        if (client->evil)
            client->restart_ms = SIM_NEVER;
        if (client->work)
            client->handler_ms = sim->now_ms;
        client->act_ms = sim->now_ms;
    }
    sim_broker_pause(sim, 0);
    if (!sim->broker.engine)
        sim->broker.restart_ms = sim->now_ms;
}

/* What is not at rest yet; NULL: everything is. */
static const char *waits(struct sim *sim)
{
    const struct td_engine *e = sim->broker.engine;

    if (!e || sim->broker.stop_by_ms != SIM_NEVER)
        return "a broker";
    for (uint32_t i = 0; i < sim->clients_len; i++) {
        const char *what = sim_client_waits(&sim->clients[i]);

        if (what)
            return what;
        if (!sim->clients[i].up && !sim->clients[i].evil)
            return "a client";
    }
    if (e->owed || e->ready || e->holds || e->held || e->hold_ended)
        return "the engine's turn";
    if (!td_engine_is_idle(e))
        return "a queue to empty";
    if (HASH_COUNT(e->sessions) > sim->config.clients)
        return "dead sessions to end";
    return NULL;
}

static void finish(struct sim *sim)
{
    const char *what = waits(sim);

    SIM_CHECK(sim, !what, "%d ms after the last fault something waits for %s",
              HEAL_MS, what ? what : "");
    if (sim->failed)
        return;
    SIM_CHECK(sim, td_engine_held_bytes(sim->broker.engine) == 0,
              "%zu bytes are held for nobody",
              td_engine_held_bytes(sim->broker.engine));
    for (uint32_t i = 0; i < sim->clients_len; i++)
        sim_client_final(&sim->clients[i]);
}

/* ---- a run ---- */

static const uint8_t *pool(void)
{
    static uint8_t bytes[SIM_POOL_BYTES];
    struct sim_random r = {42};

    if (bytes[0] == 0) {
        for (size_t i = 0; i + 8 <= sizeof(bytes); i += 8) {
            uint64_t value = sim_next(&r);

            memcpy(bytes + i, &value, 8);
        }
        bytes[0] = 1;
    }
    return bytes;
}

static void absence(struct sim *sim)
{
    struct sim_client *client = &sim->clients[0];

    run_until(sim, 15000, NULL);
    sim->now_ms = 15000;
    client->cut_off_until_ms =
        sim->now_ms + TD_PRODUCER_KEEP_MS - 8000 +
        (int64_t)sim_below(&sim->random, 20000);
    if (client->link) {
        client->link->client_may_complain = true;
        client->link->broker_may_complain = true;
        client->link->up.hole = client->link->down.hole = true;
        client->link->tell_client_ms = sim->now_ms;
        client->link->tell_broker_ms = sim->now_ms;
    }
}

static void begin(struct sim *sim, uint64_t seed)
{
    struct td_body *spare;
    uint8_t *data;

    sim->random.state = seed * 0x2545f4914f6cdd1du + 1;
    sim->result->hash = 0xcbf29ce484222325u;
    sim->wall_us = INT64_C(1750000000) * 1000000;
    sim->pool = pool();
    spare = td_body_new(3, &data);
    if (spare)
        memcpy(data, "\xc4\x01\0", 3);
    sim->spare = spare;
    choose(sim);
    sim->clients_len = sim->config.clients + sim->config.evils;
    for (uint32_t i = 0; i < sim->clients_len; i++)
        make_client(sim, i);
    sim->fault_ms = sim->config.faults.total ? sim->config.faults.every_ms
                                             : SIM_NEVER;
    sim->evil_ms = sim->config.raw_evil ? 100 : SIM_NEVER;
    sim->broker.epoch = 1000 * seed;
    sim_broker_start(sim);
}

static void end(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->clients_len; i++)
        sim_client_crash(&sim->clients[i], false);
    td_engine_free(sim->broker.engine);
    sim_model_reset(sim);
    for (uint32_t i = 0; i < sim->links_len; i++)
        sim_link_free(sim->all_links[i]);
    for (uint32_t i = 0; i < sim->producers_len; i++)
        free(sim->producers[i].log);
    td_body_unref(sim->spare);
    free(sim);
}

void sim_run(struct sim_result *out, uint64_t seed, bool verbose)
{
    struct sim *sim = calloc(1, sizeof(*sim));

    memset(out, 0, sizeof(*out));
    if (!sim) {
        snprintf(out->failure, sizeof(out->failure), "out of memory");
        return;
    }
    sim->result = out;
    sim->verbose = verbose;
    begin(sim, seed);
    if (sim->config.absence)
        absence(sim);
    run_until(sim, sim->config.faulty_ms, NULL);
    if (!sim->failed) {
        sim->now_ms = sim->config.faulty_ms;
        heal(sim);
        run_until(sim, sim->now_ms + HEAL_MS, waits);
    }
    if (!sim->failed)
        finish(sim);
    out->virtual_ms = sim->now_ms;
    end(sim);
}
