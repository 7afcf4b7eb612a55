/* The broker's process: turns around the engine, and what ends them. */
#include "tests/sim/services_world.h"

#include <string.h>

#include "proto/option.h"

/* ---- the engine's port ---- */

static void note_reply(struct svc *w, const struct td_frame *f)
{
    struct td_str id = {"", 0};

    w->broker.replied = true;
    w->broker.accepted = f->u.reply.code == 0;
    if (f->u.reply.result.len > 1)
        td_map_str(f->u.reply.result, "id", &id);
    if (id.len == 0 || id.len > TD_INSTANCE_BYTES_MAX)
        return;
    memcpy(w->broker.id, id.data, id.len);
    w->broker.id[id.len] = '\0';
}

static bool port_send(void *ctx, struct td_str peer, const void *control,
                      size_t len, struct td_body *body)
{
    struct svc *w = ctx;
    struct svc_link *link = svc_link_of(w, peer);
    struct td_frame f;
    const char *why;

    if (td_frame_decode(&f, control, len, false, &why)) {
        SVC_CHECK(w, false, "the broker sends a bad frame: %s", why);
        return false;
    }
    if (f.op == TD_REPLY)
        note_reply(w, &f);
    if (!link || w->now_ms >= link->shut_ms)
        return false;
    svc_said(w, link, &f);
    svc_hash(w, control, len);
    svc_send(w, &link->down, control, len, body);
    return true;
}

static bool port_random(void *ctx, void *out, size_t len)
{
    struct svc *w = ctx;
    uint8_t *p = out;

    while (len-- > 0)
        *p++ = (uint8_t)sim_next(&w->random);
    return true;
}

static int64_t port_unix_us(void *ctx)
{
    const struct svc *w = ctx;

    return (INT64_C(1750000000000) + w->now_ms) * 1000;
}

static void log_write(void *ctx, enum td_log_level level, const char *id,
                      const char *text)
{
    (void)level;
    svc_say(ctx, "broker %s: %s", id, text);
}

struct td_session *svc_broker_session(struct svc *w,
                                      const struct svc_link *link)
{
    struct td_session *s = NULL;

    if (w->broker.engine && link)
        HASH_FIND(hh_peer, w->broker.engine->peers, link->id, sizeof(link->id),
                  s);
    return s && !s->away && !s->doomed ? s : NULL;
}

/* ---- life ---- */

void svc_broker_start(struct svc *w)
{
    struct svc_broker *b = &w->broker;
    struct td_engine_options options = {
        .epoch = ++b->epoch,
        .seed = b->epoch,
        .version = "sim",
        .session_bytes = w->config.cramped ? 1000 : 0,
        .grace_ms = SVC_GRACE_MS,
        .port = {.send = port_send,
                 .random = w->config.forgets ? NULL : port_random,
                 .unix_us = port_unix_us,
                 .ctx = w},
        .log = {.level = TD_LOG_DEBUG, .write = log_write, .ctx = w},
    };

    SVC_CHECK(w, !td_engine_new(&b->engine, &options, w->now_ms),
              "out of memory");
    b->restart_ms = SVC_NEVER;
    b->wake_ms = b->busy_ms = w->now_ms;
    b->paused_until_ms = 0;
    w->task_last = 0;
    svc_say(w, "broker starts, epoch %llu", (ull)b->epoch);
}

static void lose_links(struct svc *w)
{
    struct svc_link *link;

    DL_FOREACH(w->links, link)
    {
        link->hurt = true;
        link->shut_ms = w->now_ms;
        sim_pipe_cut(&link->up, 0);
        link->up.hole = true;
        link->tell_broker_ms = SVC_NEVER;
        if (link->client)
            link->tell_client_ms = w->now_ms + sim_between(&w->random, 0, 200);
    }
}

void svc_broker_end(struct svc *w, bool clean)
{
    struct svc_broker *b = &w->broker;

    if (!b->engine)
        return;
    svc_say(w, "broker %s", clean ? "stops" : "is killed");
    if (clean) {
        svc_seen(w, SVC_SEEN_SHUTDOWN);
        td_engine_stop(b->engine, w->now_ms);
    }
    td_engine_free(b->engine);
    b->engine = NULL;
    b->restart_ms = w->now_ms + sim_between(&w->random, 1, 1500);
    svc_known_forget(w);
    lose_links(w);
}

/* ---- turns ---- */

int64_t svc_broker_next_ms(const struct svc *w)
{
    const struct svc_broker *b = &w->broker;
    const struct svc_link *link;
    int64_t next = b->wake_ms;

    if (!b->engine)
        return b->restart_ms;
    DL_FOREACH(w->links, link)
    {
        next = svc_least(next, sim_pipe_next_ms(&link->up));
        next = svc_least(next, link->tell_broker_ms);
    }
    next = next < b->busy_ms ? b->busy_ms : next;
    return next < b->paused_until_ms ? b->paused_until_ms : next;
}

static void hand_over(struct svc *w, struct svc_link *link,
                      struct sim_message *m)
{
    const struct td_str peer = {(const char *)link->id, sizeof(link->id)};
    struct td_engine *e = w->broker.engine;
    struct td_frame f;
    const char *why;

    svc_hash(w, m->control, m->len);
    SVC_CHECK(w, !td_frame_decode(&f, m->control, m->len, true, &why),
              "a client sends a bad frame");
    w->broker.replied = w->broker.accepted = false;
    w->broker.id[0] = '\0';
    if (f.op == TD_REQUEST)
        svc_given_before(w, link, &f, m->body);
    if (f.op == TD_ANSWER)
        svc_answer_before(w, link, &f, m->body);
    td_engine_message(e, peer, m->frames, m->control, m->len, m->body,
                      w->now_ms);
    if (f.op == TD_REQUEST)
        svc_given_after(w, link);
    else
        svc_known_heard(w, link, &f);
    svc_known_sweep(w);
    sim_message_free(m);
}

static uint32_t receive(struct svc *w)
{
    uint32_t handed = 0;
    struct svc_link *link;
    struct sim_message *m;

    DL_FOREACH(w->links, link)
    {
        const struct td_str peer = {(const char *)link->id, sizeof(link->id)};
        uint64_t most = 64 + sim_below(&w->random, 64);

        while (most-- > 0 && (m = sim_pipe_get(&link->up, w->now_ms))) {
            hand_over(w, link, m);
            handed++;
        }
        if (link->tell_broker_ms > w->now_ms)
            continue;
        if (link->up.head) {
            link->tell_broker_ms = w->now_ms + 1;
            continue;
        }
        link->tell_broker_ms = SVC_NEVER;
        link->shut_ms = w->now_ms;
        svc_say(w, "broker learns that link %u is gone", link->number);
        td_engine_gone(w->broker.engine, peer, w->now_ms);
        handed++;
    }
    return handed;
}

void svc_broker_turn(struct svc *w)
{
    struct svc_broker *b = &w->broker;
    uint32_t handed;

    if (!b->engine) {
        svc_broker_start(w);
        return;
    }
    if (b->paused_until_ms) {
        b->paused_ms = w->now_ms;
        b->paused_until_ms = 0;
    }
    handed = receive(w);
    if (w->failed)
        return;
    b->wake_ms = td_engine_flush(b->engine, w->now_ms);
    b->busy_ms = w->now_ms + sim_between(&w->random, 0, w->config.turn_ms);
    b->idle_turns =
        handed == 0 && b->idle_at_ms == w->now_ms ? b->idle_turns + 1 : 0;
    b->idle_at_ms = w->now_ms;
    SVC_CHECK(w, b->idle_turns < 10,
              "the engine wants to be called again and again");
    svc_known_sweep(w);
    svc_check(w);
}
