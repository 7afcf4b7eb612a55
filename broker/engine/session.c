/* Sessions: greeting, publishers' credit, silence, and the end. */
#include "broker/engine/internal.h"

#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

/* ---- producers ---- */

static void producer_forget(struct td_engine *e, struct td_producer *p)
{
    DL_DELETE(e->orphans, p);
    HASH_DELETE(hh, e->producers, p);
    free(p);
}

static struct td_producer *producer_get(struct td_engine *e, struct td_str id)
{
    struct td_producer *p;

    HASH_FIND(hh, e->producers, id.data, id.len, p);
    if (p)
        return p;
    if (HASH_COUNT(e->producers) >= TD_PRODUCERS_MAX && e->orphans)
        producer_forget(e, e->orphans);
    p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    memcpy(p->id, id.data, sizeof(p->id));
    HASH_ADD(hh, e->producers, id, sizeof(p->id), p);
    if (p->hh_failed) {
        free(p);
        return NULL;
    }
    DL_APPEND(e->orphans, p); /* until a session takes it */
    p->ended_ms = e->now_ms;
    return p;
}

static void producer_attach(struct td_engine *e, struct td_producer *p,
                            struct td_session *s)
{
    if (p->session) {
        td_session_doom(e, p->session, TD_DROP_SESSION_LOST, TIDINGS_EEXIST,
                        "another session of this producer has begun");
        p->session->producer = NULL;
    } else {
        DL_DELETE(e->orphans, p);
    }
    p->session = s;
    s->producer = p;
}

static void producer_detach(struct td_engine *e, struct td_session *s)
{
    struct td_producer *p = s->producer;

    if (!p)
        return;
    s->producer = NULL;
    p->session = NULL;
    p->ended_ms = e->now_ms;
    DL_APPEND(e->orphans, p);
    if (p->taken == 0) /* nothing to remember */
        producer_forget(e, p);
}

/* ---- greeting ---- */

static bool is_held(const struct td_session *s)
{
    return s->held;
}

static void new_limits(struct td_engine *e, struct td_session *s)
{
    if (is_held(s) || e->draining)
        return;
    s->events_limit = s->events_in + TD_PUBLISH_EVENTS;
    s->bytes_limit = s->bytes_in + TD_PUBLISH_BYTES;
}

static void pack_limit(msgpack_packer *pk, const char *name, uint64_t value)
{
    msgpack_pack_str(pk, strlen(name));
    msgpack_pack_str_body(pk, name, strlen(name));
    msgpack_pack_uint64(pk, value);
}

static void welcome(struct td_engine *e, struct td_session *s)
{
    struct td_frame f = {.op = TD_WELCOME};
    msgpack_packer pk;

    td_buf_reset(&e->table);
    msgpack_packer_init(&pk, &e->table, td_buf_pack_write);
    msgpack_pack_map(&pk, 3);
    pack_limit(&pk, "body_max", TD_BODY_BYTES_MAX);
    pack_limit(&pk, "control_max", TD_CONTROL_BYTES_MAX);
    pack_limit(&pk, "heartbeat_ms", TD_HEARTBEAT_MS);
    if (e->table.failed) {
        td_session_doom(e, s, TD_DROP_SESSION_LOST, TIDINGS_ENOMEM,
                        "broker is out of memory");
        return;
    }
    new_limits(e, s);
    f.u.welcome.version = TD_PROTOCOL_VERSION;
    f.u.welcome.epoch = e->options.epoch;
    f.u.welcome.session = s->number;
    f.u.welcome.taken = s->producer->taken;
    f.u.welcome.events_limit = s->events_limit;
    f.u.welcome.bytes_limit = s->bytes_limit;
    f.u.welcome.limits.data = (const char *)e->table.data;
    f.u.welcome.limits.len = e->table.len;
    td_engine_send(e, s, &f, NULL);
    td_log(&e->options.log, TD_LOG_INFO, "SESSION-UP", "session %llu %s",
           (unsigned long long)s->number, s->name);
}

static void second_hello(struct td_engine *e, struct td_session *s)
{
    struct td_frame f = {.op = TD_REPLY};

    f.u.reply.code = TIDINGS_EPROTO;
    f.u.reply.text = td_str_of("already greeted");
    f.u.reply.result = td_nil;
    td_engine_send(e, s, &f, NULL);
}

static struct td_session *session_new(struct td_engine *e, struct td_str peer,
                                      const struct td_frame *f)
{
    struct td_session *s = calloc(1, sizeof(*s) + peer.len);

    if (!s)
        return NULL;
    s->number = ++e->next_session;
    s->heard_ms = e->now_ms;
    memcpy(s->name, f->u.hello.name.data, f->u.hello.name.len);
    for (char *c = s->name; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?'; /* names end up on terminals */
    }
    s->peer_len = peer.len;
    memcpy(s->peer, peer.data, peer.len);
    return s;
}

static void begin(struct td_engine *e, struct td_str peer,
                  const struct td_frame *f)
{
    struct td_producer *p = producer_get(e, f->u.hello.producer);
    struct td_session *s = p ? session_new(e, peer, f) : NULL;

    if (s)
        HASH_ADD_KEYPTR(hh, e->sessions, s->peer, s->peer_len, s);
    if (!s || s->hh_failed) {
        free(s);
        td_engine_bye(e, peer, TIDINGS_ENOMEM, "broker is out of memory");
        return;
    }
    producer_attach(e, p, s);
    welcome(e, s);
}

void td_session_hello(struct td_engine *e, struct td_str peer,
                      struct td_session *s, const struct td_frame *f)
{
    struct td_str magic = td_str_of(TD_PROTOCOL_MAGIC);
    char text[80];

    if (s) {
        second_hello(e, s);
        return;
    }
    if (f->u.hello.magic.len != magic.len ||
        memcmp(f->u.hello.magic.data, magic.data, magic.len) != 0) {
        e->counters.bad_frames++;
        td_engine_bye(e, peer, TIDINGS_EPROTO, "HELLO is not of tidings");
    } else if (f->u.hello.version_min > TD_PROTOCOL_VERSION ||
               f->u.hello.version_max < TD_PROTOCOL_VERSION) {
        snprintf(text, sizeof(text), "broker speaks versions %d to %d",
                 TD_PROTOCOL_VERSION, TD_PROTOCOL_VERSION);
        td_engine_bye(e, peer, TIDINGS_EVERSION, text);
    } else if (e->draining) {
        td_engine_bye(e, peer, TIDINGS_ESHUTDOWN, "broker is stopping");
    } else if (HASH_COUNT(e->sessions) >= TD_SESSIONS_MAX) {
        td_engine_bye(e, peer, TIDINGS_ELIMIT, "too many sessions");
    } else {
        begin(e, peer, f);
    }
}

/* ---- publishers' credit ---- */

void td_session_owe(struct td_engine *e, struct td_session *s, bool asked)
{
    s->asked = s->asked || asked;
    if (s->owed)
        return;
    s->owed = true;
    DL_APPEND2(e->owed, s, told_prev, told_next);
    if (e->lazy_ms == TD_NEVER)
        e->lazy_ms = e->now_ms + TD_LAZY_MS;
}

static void owe_no_more(struct td_engine *e, struct td_session *s)
{
    if (!s->owed)
        return;
    s->owed = s->asked = false;
    DL_DELETE2(e->owed, s, told_prev, told_next);
    if (!e->owed)
        e->lazy_ms = TD_NEVER;
}

void td_session_tell(struct td_engine *e, struct td_session *s)
{
    struct td_frame f = {.op = TD_TAKEN};

    owe_no_more(e, s);
    if (s->doomed)
        return;
    new_limits(e, s);
    f.u.taken.taken = s->producer->taken;
    f.u.taken.events_limit = s->events_limit;
    f.u.taken.bytes_limit = s->bytes_limit;
    td_engine_send(e, s, &f, NULL);
}

/* A quarter of the credit is used. */
static bool is_due(const struct td_session *s)
{
    return s->asked ||
           s->events_limit - s->events_in < TD_PUBLISH_EVENTS / 4 * 3 ||
           s->bytes_limit - s->bytes_in < TD_PUBLISH_BYTES / 4 * 3;
}

void td_session_tell_owed(struct td_engine *e)
{
    bool lazy = e->now_ms >= e->lazy_ms;
    struct td_session *s;
    struct td_session *next;

    DL_FOREACH_SAFE2(e->owed, s, next, told_next)
    {
        /* Somebody withheld has nothing to hear but what it asked for. */
        if (lazy || s->asked || (is_due(s) && !is_held(s)))
            td_session_tell(e, s);
    }
}

void td_session_hold(struct td_engine *e, struct td_session *s, uint64_t hold)
{
    for (uint32_t i = 0; i < s->holds_len; i++) {
        if (s->holds[i] == hold)
            return;
    }
    if (s->holds_len < TD_HOLDS_KNOWN)
        s->holds[s->holds_len++] = hold;
    else
        s->held_by_more = true;
    if (!s->held)
        DL_APPEND2(e->held, s, held_prev, held_next);
    s->held = true;
}

/* Whether a hold that it is under still goes on; forgets those that do not. */
static bool still_held(struct td_engine *e, struct td_session *s)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < s->holds_len; i++) {
        struct td_hold *hold;

        HASH_FIND(hh, e->holds, &s->holds[i], sizeof(s->holds[i]), hold);
        if (hold)
            s->holds[n++] = s->holds[i];
    }
    s->holds_len = n;
    s->held_by_more = s->held_by_more && e->holds;
    return n > 0 || s->held_by_more;
}

void td_session_release(struct td_engine *e)
{
    struct td_session *s;
    struct td_session *next;

    if (!e->hold_ended)
        return;
    e->hold_ended = false;
    DL_FOREACH_SAFE2(e->held, s, next, held_next)
    {
        if (still_held(e, s))
            continue;
        DL_DELETE2(e->held, s, held_prev, held_next);
        s->held = false;
        td_session_owe(e, s, true);
    }
}

/* ---- silence ---- */

static void find_silent(struct td_engine *e, int64_t pause_ms)
{
    struct td_session *s;
    struct td_session *next;

    HASH_ITER(hh, e->sessions, s, next)
    {
        s->heard_ms += pause_ms;
        if (s->heard_ms > e->now_ms)
            s->heard_ms = e->now_ms; /* heard of after the pause */
        if (s->doomed || e->now_ms - s->heard_ms < TD_DEAD_MS)
            continue;
        e->counters.silent++;
        td_session_doom(e, s, TD_DROP_SESSION_LOST, TIDINGS_ETIMEDOUT,
                        "nothing was heard of you for too long");
    }
}

void td_session_tick(struct td_engine *e)
{
    int64_t since_ms = e->now_ms - e->ticked_ms;
    /* A broker that was stopped itself must not blame its clients. */
    int64_t pause_ms = since_ms > TD_HEARTBEAT_MS ? since_ms : 0;

    e->ticked_ms = e->now_ms;
    find_silent(e, pause_ms);
    while (e->orphans &&
           e->now_ms - e->orphans->ended_ms >= TD_PRODUCER_KEEP_MS)
        producer_forget(e, e->orphans);
}

/* ---- the end ---- */

void td_session_doom(struct td_engine *e, struct td_session *s,
                     enum td_drop why, tidings_err code, const char *text)
{
    struct td_str peer = {s->peer, s->peer_len};

    if (s->doomed)
        return;
    s->doomed = true;
    s->doom = why;
    LL_PREPEND2(e->doomed, s, doomed_next);
    if (text)
        td_engine_bye(e, peer, code, text);
    td_log(&e->options.log, code ? TD_LOG_WARN : TD_LOG_INFO, "SESSION-DOWN",
           "session %llu %s: %s", (unsigned long long)s->number, s->name,
           text   ? text
           : code ? tidings_err_text(code)
                  : "closed");
}

static void session_free(struct td_engine *e, struct td_session *s)
{
    struct td_sub *sub;
    struct td_sub *next;

    HASH_ITER(hh, s->subs, sub, next)
    {
        td_sub_end(e, sub, s->doom);
    }
    owe_no_more(e, s);
    if (s->held)
        DL_DELETE2(e->held, s, held_prev, held_next);
    producer_detach(e, s);
    HASH_DELETE(hh, e->sessions, s);
    free(s);
}

void td_session_reap(struct td_engine *e)
{
    while (e->doomed) {
        struct td_session *s = e->doomed;

        e->doomed = s->doomed_next;
        session_free(e, s);
    }
}

void td_session_free_all(struct td_engine *e)
{
    struct td_session *s;
    struct td_session *next;

    e->doomed = NULL;
    HASH_ITER(hh, e->sessions, s, next)
    {
        session_free(e, s);
    }
}
