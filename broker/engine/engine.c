/* The engine's life, and the turn. */
#include "broker/engine/engine.h"

#include "broker/engine/internal.h"
#include "broker/engine/service_beat.h"
#include "broker/engine/task.h"
#include "proto/id.h"

#include <stdlib.h>
#include <string.h>

#define FAREWELL_BYTES 512u /* kept, so that a BYE needs no memory */

uint64_t td_engine_random(struct td_engine *e)
{
    e->random ^= e->random << 13; /* xorshift64 */
    e->random ^= e->random >> 7;
    e->random ^= e->random << 17;
    return e->random >> 11; /* its low bits are its weakest */
}

/* The broker's own: another in each epoch. */
static void make_producer(struct td_engine *e)
{
    const struct td_port *port = &e->options.port;
    int64_t now_us = port->unix_us ? port->unix_us(port->ctx) : 0;
    uint8_t random[10];

    for (size_t i = 0; i < sizeof(random); i++)
        random[i] = (uint8_t)td_engine_random(e);
    td_producer_make(e->producer, (uint64_t)now_us / 1000, random);
}

tidings_err td_engine_new(struct td_engine **out,
                          const struct td_engine_options *options,
                          int64_t now_ms)
{
    struct td_engine *e = calloc(1, sizeof(*e));

    if (!e)
        return TIDINGS_ENOMEM;
    if (!td_buf_reserve(&e->control, FAREWELL_BYTES)) {
        free(e);
        return TIDINGS_ENOMEM;
    }
    e->options = *options;
    if (e->options.memory_bytes == 0)
        e->options.memory_bytes = TD_MEMORY_BYTES;
    if (e->options.session_bytes == 0)
        e->options.session_bytes = TD_SESSION_BYTES;
    if (e->options.grace_ms == 0)
        e->options.grace_ms = TD_GRACE_MS;
    e->random = options->epoch * 0x9e3779b97f4a7c15u | 1;
    make_producer(e);
    td_streams_init(e);
    td_serving_init(e);
    e->started_ms = e->now_ms = e->ticked_ms = now_ms;
    e->lazy_ms = e->due_ms = TD_NEVER;
    *out = e;
    return TIDINGS_OK;
}

static void producers_free(struct td_engine *e)
{
    struct td_producer *p;
    struct td_producer *next;

    HASH_ITER(hh, e->producers, p, next)
    {
        HASH_DELETE(hh, e->producers, p);
        free(p->naming);
        free(p);
    }
}

void td_engine_free(struct td_engine *e)
{
    if (!e)
        return;
    td_session_free_all(e);
    td_serving_fini(e);
    td_streams_fini(e);
    producers_free(e);
    td_routes_fini(&e->routes);
    td_trie_fini(&e->trie);
    td_router_free(e->router);
    td_buf_fini(&e->cut);
    td_buf_fini(&e->left);
    td_buf_fini(&e->record_table);
    td_buf_fini(&e->table);
    td_buf_fini(&e->control);
    free(e);
}

/* ---- time ---- */

int64_t td_engine_unix_ms(struct td_engine *e)
{
    const struct td_port *port = &e->options.port;

    return port->unix_us ? port->unix_us(port->ctx) / 1000 : 0;
}

/* Called much later than it asked for, the broker was stopped itself. */
void td_engine_set_now(struct td_engine *e, int64_t now_ms)
{
    e->now_ms = now_ms;
    if (e->due_ms == TD_NEVER || now_ms - e->due_ms < TD_LATE_MS)
        return;
    td_group_forgive_holds(e, now_ms - e->due_ms);
    td_beat_forgive(e);
    e->due_ms = now_ms;
}

/* ---- sending ---- */

void td_engine_send(struct td_engine *e, struct td_session *s,
                    const struct td_frame *frame, struct td_body *body)
{
    const struct td_port *port = &e->options.port;
    struct td_str peer = {(const char *)s->peer, s->peer_len};

    if (s->doomed || s->away || s->greeting)
        return;
    td_buf_reset(&e->control);
    td_frame_encode(&e->control, frame);
    if (e->control.failed ||
        !port->send(port->ctx, peer, e->control.data, e->control.len, body))
        td_session_lose(e, s, TIDINGS_EUNREACH, NULL);
}

void td_engine_reply(struct td_engine *e, struct td_session *s,
                     uint64_t request, tidings_err code, const char *text)
{
    const struct td_frame f = {
        .op = TD_REPLY,
        .u.reply = {.request = request,
                    .code = code,
                    .text = td_str_of(text),
                    .result = td_nil},
    };

    td_engine_send(e, s, &f, NULL);
}

void td_engine_bye(struct td_engine *e, struct td_str peer, tidings_err code,
                   const char *text)
{
    const struct td_port *port = &e->options.port;
    const struct td_frame frame = {
        .op = TD_BYE,
        .u.bye = {.code = code, .text = td_str_of(text)},
    };

    td_buf_reset(&e->control);
    td_frame_encode(&e->control, &frame);
    if (!e->control.failed)
        port->send(port->ctx, peer, e->control.data, e->control.len, NULL);
}

/* ---- the turn ---- */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

#define TICK_MS   1000 /* how often silence and old producers are looked for */
#define MEMORY_MS 20   /* until what could not be sent is tried again */

static int64_t tick(struct td_engine *e)
{
    if (!e->sessions && !e->orphans)
        e->ticked_ms = e->now_ms; /* nothing to look for */
    else if (e->now_ms - e->ticked_ms >= TICK_MS)
        td_session_tick(e);
    return e->sessions || e->orphans ? e->ticked_ms + TICK_MS : TD_NEVER;
}

/* Parts with the doomed; false: there are none. */
static bool reap(struct td_engine *e)
{
    bool any = e->doomed;

    td_session_reap(e);
    return any;
}

int64_t td_engine_flush(struct td_engine *e, int64_t now_ms)
{
    int64_t next;
    bool lost; /* links, when all that there was had been dealt */
    bool sent;

    td_engine_set_now(e, now_ms);
    next = tick(e);
    next = earlier(next, td_group_tick_holds(e));
    next = earlier(next, td_advise_tick(e));
    td_session_reap(e); /* what they leave behind is dealt in this turn */
    td_commit_answers(e);
    next = earlier(next, td_schedule_tick(e));
    next = earlier(next, td_retain_tick(e));
    next = earlier(next, td_repeat_tick(e));
    next = earlier(next, td_newest_tick(e));
    next = earlier(next, td_room_tick(e));
    next = earlier(next, td_compact_tick(e));
    next = earlier(next, td_tasks_tick(e));
    next = earlier(next, td_beat_tick(e));
    td_consumers_tick(e);
    td_feed_ready(e);
    td_deal_ready(e);
    td_deliver_ready(e);
    sent = td_bundles_send(e);
    td_memory_keep(e); /* the broker's own events count too */
    td_memory_keep_sessions(e);
    lost = reap(e); /* who is gone withholds nothing any more */
    td_session_release(e);
    td_commit_flush(e);
    td_confirm_send(e);
    td_session_tell_owed(e);
    lost = reap(e) || lost;
    next = earlier(next, e->streams.wake_ms);
    next = earlier(next, td_consumers_write_due(e));
    if (e->streams.ready ||
        td_feed_can(e)) /* a stream in memory has grown, or a read is due */
        next = now_ms;
    if (lost) /* whoever is to know of it, or to have what they had */
        next = now_ms;
    else if (e->ready || e->dealing || !sent)
        next = earlier(next, now_ms + MEMORY_MS);
    e->due_ms = e->hold_ended ? now_ms : earlier(next, e->lazy_ms);
    return e->due_ms;
}

void td_engine_drain(struct td_engine *e)
{
    e->draining = true;
}

/* Whoever is away will not take anything. */
static bool is_resting(const struct td_group *g)
{
    if (td_group_is_away(g))
        return true;
    if (td_group_waiting(g) > 0)
        return false;
    for (const struct td_sub *sub = g->members; sub; sub = sub->group_next) {
        if (!sub->session->away && td_sub_in_flight(sub) > 0)
            return false;
    }
    return true;
}

/* Somebody waits for an answer. One that waits for its caller to read keeps
 * nobody. */
static bool is_asked(const struct td_engine *e)
{
    for (const struct td_session *s = e->sessions; s; s = s->hh.next) {
        if (s->serving.askings_len > 0)
            return true;
    }
    return e->serving.bundling.ready;
}

bool td_engine_is_idle(const struct td_engine *e)
{
    const struct td_group *g;

    if (is_asked(e))
        return false;
    DL_FOREACH(e->groups, g)
    {
        if (!is_resting(g))
            return false;
    }
    return true;
}

void td_engine_stop(struct td_engine *e, int64_t now_ms)
{
    struct td_session *s;
    struct td_session *next;

    td_engine_set_now(e, now_ms);
    e->draining = true;
    HASH_ITER(hh, e->sessions, s, next)
    {
        td_session_doom(e, s, TD_DROP_SESSION_LOST, TIDINGS_ESHUTDOWN,
                        "broker is stopping");
    }
    td_session_reap(e);
}

size_t td_engine_held_bytes(const struct td_engine *e)
{
    return e->held_bytes;
}

bool td_engine_is_loaded(const struct td_engine *e, tidings_err *err)
{
    *err = e->streams.load_err;
    return !e->streams.loading;
}

bool td_engine_is_written(const struct td_engine *e)
{
    return e->streams.flown.len == 0 && e->streams.turn == 0;
}
