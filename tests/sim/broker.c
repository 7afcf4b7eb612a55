/* The broker's process: turns around the engine, as the edge makes them. */
#include "tests/sim/world.h"

#include <string.h>

/* ---- the engine's port ---- */

static bool carry(struct sim *sim, struct sim_link *link, const void *control,
                  size_t len, struct td_body *body)
{
    sim_model_sent(sim, link, control, len, body);
    if (sim->now_ms >= link->shut_ms) {
        sim_seen(sim, SIM_SEEN_SEND_FAILED);
        return false;
    }
    if (link->down.len >= TD_SNDHWM) {
        SIM_CHECK(sim, link->evil,
                  "link %u: %zu messages unread, and the peer is honest",
                  link->number, link->down.len);
        return false;
    }
    sim_send(sim, &link->down, body ? 2 : 1, control, len, body);
    return true;
}

static bool port_send(void *ctx, struct td_str peer, const void *control,
                      size_t len, struct td_body *body)
{
    struct sim *sim = ctx;
    bool was_starving = sim_feed(sim);
    bool sent = carry(sim, sim_link_of(sim, peer), control, len, body);

    sim_starve_again(sim, was_starving);
    return sent;
}

static bool port_random(void *ctx, void *out, size_t len)
{
    struct sim *sim = ctx;
    uint8_t *p = out;

    while (len-- > 0)
        *p++ = (uint8_t)sim_next(&sim->random);
    return true;
}

static int64_t port_unix_us(void *ctx)
{
    struct sim *sim = ctx;

    return sim->now_ms * 1000 + sim->wall_us;
}

static void log_write(void *ctx, enum td_log_level level, const char *id,
                      const char *text)
{
    (void)level;
    if (strstr(text, "away for too long"))
        sim_seen(ctx, SIM_SEEN_AWAY_OVER);
    sim_say(ctx, "broker %s: %s", id, text);
}

/* ---- life ---- */

void sim_broker_start(struct sim *sim)
{
    struct sim_broker *b = &sim->broker;
    const struct td_engine_options options = {
        .epoch = ++b->epoch,
        .memory_bytes = sim->config.memory_bytes,
        .version = "sim",
        .port = {.send = port_send,
                 .random = port_random,
                 .unix_us = port_unix_us,
                 .ctx = sim},
        .log = {.level = TD_LOG_DEBUG, .write = log_write, .ctx = sim},
    };

    SIM_CHECK(sim,
              td_engine_new(&b->engine, &options, sim->now_ms) == TIDINGS_OK,
              "out of memory");
    b->restart_ms = b->stop_by_ms = SIM_NEVER;
    b->paused_until_ms = b->busy_ms = 0;
    b->wake_ms = sim->now_ms;
    b->run_at_ms = sim->now_ms;
    sim_model_reset(sim);
    sim_say(sim, "broker starts, epoch %llu", (unsigned long long)b->epoch);
}

/* Every link ends; some clients are told, the others have to find out. */
void sim_broker_crash(struct sim *sim)
{
    struct sim_broker *b = &sim->broker;
    struct sim_random *r = &sim->random;
    struct sim_link *link;

    td_engine_free(b->engine);
    b->engine = NULL;
    b->restart_ms =
        sim->now_ms + (sim_chance(r, 500) ? sim_between(r, 1, 500)
                                          : sim_between(r, 500, 20000));
    sim_say(sim, "broker is down until %lld", (long long)b->restart_ms);
    sim_model_reset(sim);
    DL_FOREACH(sim->links, link)
    {
        sim_pipe_cut(&link->up, 0);
        link->up.hole = true;
        link->shut_ms = sim->now_ms;
        link->tell_broker_ms = SIM_NEVER;
        link->client_may_complain = link->broker_may_complain = true;
        if (link->client && !sim_chance(r, 200))
            link->tell_client_ms = sim->now_ms + sim_between(r, 0, 100);
    }
}

/* ---- turns ---- */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

int64_t sim_broker_next_ms(struct sim *sim)
{
    struct sim_broker *b = &sim->broker;
    int64_t next = b->wake_ms;
    struct sim_link *link;

    if (!b->engine)
        return b->restart_ms;
    DL_FOREACH(sim->links, link)
    {
        next = earlier(next, sim_pipe_next_ms(&link->up));
        next = earlier(next, link->tell_broker_ms);
    }
    next = earlier(next, b->stop_by_ms);
    return later(later(next, b->busy_ms), b->paused_until_ms);
}

struct td_session *sim_broker_session(struct sim *sim,
                                      const struct sim_link *link)
{
    struct td_session *s;

    HASH_FIND(hh_peer, sim->broker.engine->peers, link->id, link->id_len, s);
    return s && !s->away ? s : NULL;
}

static void hand_over(struct sim *sim, struct sim_link *link,
                      struct sim_message *m)
{
    struct sim_broker *b = &sim->broker;
    const struct td_str peer = {(const char *)link->id, link->id_len};

    link->heard_run_ms = b->run_ms;
    b->handed = m->body;
    sim_model_before(sim, link, m);
    sim_starve(sim);
    td_engine_message(b->engine, peer, m->frames, m->control, m->len, m->body,
                      sim->now_ms);
    sim_feed(sim);
    sim_model_after(sim, link, m);
    b->handed = NULL;
    sim_message_free(m);
}

/* A random link on which something has arrived. */
static struct sim_link *pick(struct sim *sim)
{
    struct sim_link *found = NULL;
    struct sim_link *link;
    uint64_t n = 0;

    DL_FOREACH(sim->links, link)
    {
        if (sim_pipe_next_ms(&link->up) <= sim->now_ms &&
            sim_below(&sim->random, ++n) == 0)
            found = link;
    }
    return found;
}

static void tell_gone(struct sim *sim)
{
    struct sim_link *link;

    DL_FOREACH(sim->links, link)
    {
        const struct td_str peer = {(const char *)link->id, link->id_len};

        if (link->tell_broker_ms > sim->now_ms)
            continue;
        link->tell_broker_ms = SIM_NEVER;
        link->shut_ms = sim->now_ms;
        sim_say(sim, "broker learns that link %u is gone", link->number);
        td_engine_gone(sim->broker.engine, peer, sim->now_ms);
    }
}

/* The clock of running time: what a pause takes does not count. */
static void run_clock(struct sim *sim)
{
    struct sim_broker *b = &sim->broker;
    int64_t passed = sim->now_ms - b->run_at_ms;

    if (b->paused_until_ms > b->run_at_ms)
        passed -= earlier(b->paused_until_ms, sim->now_ms) - b->run_at_ms;
    b->run_ms += passed;
    b->run_at_ms = sim->now_ms;
}

void sim_broker_pause(struct sim *sim, int64_t until_ms)
{
    run_clock(sim);
    sim->broker.paused_until_ms = until_ms;
}

static bool has_stopped(struct sim *sim)
{
    struct sim_broker *b = &sim->broker;

    if (b->stop_by_ms == SIM_NEVER ||
        (sim->now_ms < b->stop_by_ms && !td_engine_is_idle(b->engine)))
        return false;
    td_engine_stop(b->engine, sim->now_ms);
    sim_seen(sim, SIM_SEEN_SHUTDOWN);
    sim_broker_crash(sim);
    return true;
}

void sim_broker_turn(struct sim *sim)
{
    struct sim_broker *b = &sim->broker;
    uint32_t handed = 0;

    if (!b->engine) {
        sim_broker_start(sim);
        return;
    }
    run_clock(sim);
    b->late_ms = b->wake_ms < sim->now_ms ? sim->now_ms - b->wake_ms : 0;
    tell_gone(sim);
    while (handed < sim->config.turn_messages && !sim->failed) {
        struct sim_link *link = pick(sim);

        if (!link)
            break;
        hand_over(sim, link, sim_pipe_get(&link->up, sim->now_ms));
        handed++;
    }
    sim_starve(sim);
    b->wake_ms = td_engine_flush(b->engine, sim->now_ms);
    sim_feed(sim);
    sim_model_check(sim);
    if (has_stopped(sim))
        return;
    b->busy_ms =
        sim->now_ms + sim_between(&sim->random, 0, sim->config.turn_ms);
    b->idle_turns =
        handed == 0 && b->idle_at_ms == sim->now_ms ? b->idle_turns + 1 : 0;
    b->idle_at_ms = sim->now_ms;
    SIM_CHECK(sim, b->idle_turns < 10,
              "the engine wants to be called again "
              "and again");
}
