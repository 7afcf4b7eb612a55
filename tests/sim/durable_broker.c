/* The broker's process: turns around the engine, and what ends them. */
#include "tests/sim/durable_world.h"

#include <string.h>

/* ---- the engine's port ---- */

static bool port_send(void *ctx, struct td_str peer, const void *control,
                      size_t len, struct td_body *body)
{
    struct dur *d = ctx;
    struct dur_link *link = dur_link_of(d, peer);

    dur_sent(d, link, control, len, body);
    if (!link || link->shut)
        return false;
    d->broker.sent = d->broker.sent || body;
    dur_hash(d, control, len);
    dur_send(d, &link->down, body ? 2 : 1, control, len, body);
    return true;
}

static bool port_random(void *ctx, void *out, size_t len)
{
    struct dur *d = ctx;
    uint8_t *p = out;

    while (len-- > 0)
        *p++ = (uint8_t)sim_next(&d->random);
    return true;
}

static int64_t port_unix_us(void *ctx)
{
    const struct dur *d = ctx;

    return (DUR_EPOCH_MS + d->now_ms) * 1000;
}

static void log_write(void *ctx, enum td_log_level level, const char *id,
                      const char *text)
{
    (void)level;
    dur_say(ctx, "broker %s: %s", id, text);
}

struct td_session *dur_broker_session(struct dur *d,
                                      const struct dur_link *link)
{
    struct td_session *s = NULL;

    if (d->broker.engine && link)
        HASH_FIND(hh_peer, d->broker.engine->peers, link->id, sizeof(link->id),
                  s);
    return s;
}

/* ---- life ---- */

void dur_broker_start(struct dur *d)
{
    struct dur_broker *b = &d->broker;
    struct td_engine_options options = {
        .epoch = ++b->epoch,
        .seed = b->epoch,
        .version = "sim",
        .grace_ms = 3000,
        .port = {.send = port_send,
                 .random = port_random,
                 .unix_us = port_unix_us,
                 .ctx = d},
        .log = {.level = TD_LOG_DEBUG, .write = log_write, .ctx = d},
    };

    b->store = options.store = td_model_open(d->model);
    dur_store_opened(d);
    DUR_CHECK(d, b->store && !td_engine_new(&b->engine, &options, d->now_ms),
              "out of memory");
    b->restart_ms = DUR_NEVER;
    b->wake_ms = b->since_ms = d->now_ms;
    b->store_ms = d->now_ms;
    b->loaded = b->broken = false;
    b->slow_until_ms = 0;
    d->tags_len = 0;
    dur_say(d, "broker starts, epoch %llu", (ull)b->epoch);
}

static void lose_links(struct dur *d)
{
    struct dur_link *link;

    DL_FOREACH(d->links, link)
    {
        link->shut = true;
        sim_pipe_cut(&link->up, 0);
        link->up.hole = true;
        link->tell_broker_ms = DUR_NEVER;
        if (link->client)
            link->tell_client_ms = d->now_ms + sim_between(&d->random, 0, 200);
    }
}

/* What was submitted is answered, mostly. */
static void stop(struct dur *d)
{
    struct dur_broker *b = &d->broker;

    td_engine_drain(b->engine);
    td_engine_flush(b->engine, d->now_ms);
    for (int n = 0; n < 20 && !td_engine_is_written(b->engine); n++) {
        td_model_commit(d->model, 8);
        td_model_serve(d->model, 8);
        dur_book_read(d);
        td_engine_flush(b->engine, d->now_ms);
    }
    td_engine_stop(b->engine, d->now_ms);
    td_engine_flush(b->engine, d->now_ms);
    dur_marks_read(d);
    td_engine_free(b->engine);
    b->store->face->close(b->store);
}

static void crash(struct dur *d, enum dur_end how)
{
    struct dur_broker *b = &d->broker;
    uint32_t committed = td_model_committed(d->model);
    uint32_t loose = td_model_loose(d->model);
    uint32_t least = how == DUR_POWER ? 0 : committed;
    uint32_t keep = (uint32_t)sim_between(&d->random, least, loose);

    if (keep < committed)
        dur_seen(d, DUR_SEEN_POWER_LOST);
    if (keep > committed)
        dur_seen(d, DUR_SEEN_UNCOMMITTED_KEPT);
    if (keep < loose && keep >= committed)
        dur_seen(d, DUR_SEEN_UNCOMMITTED_LOST);
    dur_say(d, "%u of %u transactions are kept, %u were committed", keep, loose,
            committed);
    td_engine_free(b->engine);
    td_model_crash(d->model, keep);
}

void dur_broker_end(struct dur *d, enum dur_end how)
{
    static const enum dur_seen seen[] = {[DUR_KILL] = DUR_SEEN_KILLED,
                                         [DUR_POWER] = DUR_SEEN_POWER_CUT,
                                         [DUR_STOP] = DUR_SEEN_STOPPED};
    static const char *const names[] = {"is killed", "loses its power",
                                        "stops"};
    struct dur_broker *b = &d->broker;

    if (!b->engine)
        return;
    dur_say(d, "broker %s", names[how]);
    dur_seen(d, seen[how]);
    d->crashes++;
    d->cuts += how == DUR_POWER;
    if (how == DUR_STOP)
        stop(d);
    else
        crash(d, how);
    dur_store_closed(d);
    b->engine = NULL;
    b->store = NULL;
    b->loaded = false;
    b->restart_ms = d->now_ms + sim_between(&d->random, 1, 1500);
    lose_links(d);
    dur_purge_crashed(d);
    dur_book_crashed(d, how);
    dur_marks_crashed(d);
}

/* ---- turns ---- */

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t dur_broker_next_ms(const struct dur *d)
{
    const struct dur_broker *b = &d->broker;
    const struct dur_link *link;
    int64_t next = b->wake_ms;

    if (!b->engine)
        return b->restart_ms;
    DL_FOREACH(d->links, link)
    {
        if (!b->loaded)
            continue;
        next = least(next, sim_pipe_next_ms(&link->up));
        next = least(next, link->tell_broker_ms);
    }
    next = next < b->busy_ms ? b->busy_ms : next;
    return least(next, least(b->store_ms, least(b->roomy_ms, b->well_ms)));
}

static void hand_over(struct dur *d, struct dur_link *link,
                      struct sim_message *m)
{
    const struct td_str peer = {(const char *)link->id, sizeof(link->id)};

    dur_hash(d, m->control, m->len);
    dur_marks_settle(d, link, m);
    td_engine_message(d->broker.engine, peer, m->frames, m->control, m->len,
                      m->body, d->now_ms);
    dur_operator_heard(d, m);
    dur_names_subscribed(d, link, m);
    sim_message_free(m);
}

static uint32_t receive(struct dur *d)
{
    uint32_t handed = 0;
    struct dur_link *link;
    struct sim_message *m;

    DL_FOREACH(d->links, link)
    {
        const struct td_str peer = {(const char *)link->id, sizeof(link->id)};
        uint64_t most = 1 + sim_below(&d->random, 8);

        while (most-- > 0 && (m = sim_pipe_get(&link->up, d->now_ms))) {
            hand_over(d, link, m);
            handed++;
        }
        if (link->tell_broker_ms <= d->now_ms && !link->up.head) {
            link->tell_broker_ms = DUR_NEVER;
            link->shut = true;
            td_engine_gone(d->broker.engine, peer, d->now_ms);
        } else if (link->tell_broker_ms <= d->now_ms) {
            link->tell_broker_ms = d->now_ms + 1;
        }
    }
    return handed;
}

static void engine_turn(struct dur *d)
{
    struct dur_broker *b = &d->broker;
    uint32_t handed = 0;
    tidings_err err;
    bool idle;

    if (b->loaded)
        handed = receive(d);
    b->sent = false;
    b->wake_ms = td_engine_flush(b->engine, d->now_ms);
    if (!b->loaded && td_engine_is_loaded(b->engine, &err)) {
        if (err && dur_store_did_fail(d)) {
            dur_seen(d, DUR_SEEN_LOAD_FAILED);
            dur_broker_end(d, DUR_KILL);
            return;
        }
        DUR_CHECK(d, !err, "the store cannot be read: %s",
                  tidings_err_text(err));
        DUR_CHECK(d, b->engine->streams.lost_states == 0,
                  "rows of the store cannot be read");
        b->loaded = true;
        b->wake_ms = d->now_ms;
    }
    b->busy_ms = d->now_ms + sim_between(&d->random, 0, d->config.turn_ms);
    /* A turn that sends events does its part: a group at its bound in bytes,
     * as one member's keys wait, goes on by what the others take in each. */
    idle = handed == 0 && !b->answered && !b->sent && b->loaded &&
           b->idle_at_ms == d->now_ms && b->wake_ms <= d->now_ms;
    b->idle_turns = idle ? b->idle_turns + 1 : 0;
    b->answered = false;
    b->idle_at_ms = d->now_ms;
    DUR_CHECK(d, b->idle_turns < 10,
              "the engine wants to be called again and again");
    if (b->loaded) {
        dur_book_read(d);
        dur_marks_read(d);
        dur_check(d);
    }
}

void dur_broker_turn(struct dur *d)
{
    struct dur_broker *b = &d->broker;

    if (!b->engine) {
        dur_broker_start(d);
    } else {
        dur_store_turn(d);
        engine_turn(d);
    }
    dur_store_schedule(d);
}
