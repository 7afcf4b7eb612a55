/* The world around the processes: who is next, and when it is over. */
#include "tests/sim/world.h"

#include "tests/support/alloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAL_MS 150000 /* from the last fault until everything is at rest */

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
    sim_tell_hash(sim->result, sim->now_ms, data, len);
}

void sim_say(struct sim *sim, const char *format, ...)
{
    va_list args;

    if (!sim->verbose)
        return;
    va_start(args, format);
    sim_tell_line(sim->now_ms, format, args);
    va_end(args);
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
        sim_fault(sim);
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
    /* A key's events are never let go of: without memory for what its member
   * is to take, that one's session ends again and again. */
    sim->config.memory_bytes = TD_MEMORY_BYTES;
    if (sim->broker.engine)
        sim->broker.engine->options.memory_bytes = TD_MEMORY_BYTES;
    if (!sim->broker.engine)
        sim->broker.restart_ms = sim->now_ms;
}

static bool has_gaps(const struct td_engine *e)
{
    for (struct td_session *s = e->sessions; s; s = s->hh.next) {
        for (struct td_sub *sub = s->subs; sub; sub = sub->hh.next) {
            for (int why = 0; why < TD_DROPS; why++) {
                if (sub->group->gap[why])
                    return true;
            }
        }
    }
    return false;
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
    if (has_gaps(e))
        return "gaps to be told";
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
    client->cut_off_until_ms = sim->now_ms + TD_GRACE_MS + TD_PRODUCER_KEEP_MS -
                               8000 + (int64_t)sim_below(&sim->random, 20000);
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
    sim_choose(sim);
    sim->clients_len = sim->config.clients + sim->config.evils;
    for (uint32_t i = 0; i < sim->clients_len; i++)
        sim_client_make(sim, i);
    sim->fault_ms =
        sim->config.faults.total ? sim->config.faults.every_ms : SIM_NEVER;
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
