/* Sessions: greeting, silence, and the end. */
#include "broker/engine/internal.h"

#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

/* ---- greeting ---- */

static void pack_key(msgpack_packer *pk, const char *name)
{
    msgpack_pack_str(pk, strlen(name));
    msgpack_pack_str_body(pk, name, strlen(name));
}

static void pack_limit(msgpack_packer *pk, const char *name, uint64_t value)
{
    pack_key(pk, name);
    msgpack_pack_uint64(pk, value);
}

static void pack_limits(const struct td_engine *e, const struct td_session *s,
                        bool resumed, msgpack_packer *pk)
{
    const struct td_producer *p = s->producer;
    int64_t grace_ms = e->options.grace_ms;

    msgpack_pack_map(pk, (p->told ? 6 : 4) + (p->naming ? 2 : 0));
    pack_limit(pk, "body_max", TD_BODY_BYTES_MAX);
    pack_limit(pk, "control_max", TD_CONTROL_BYTES_MAX);
    pack_limit(pk, "heartbeat_ms", TD_HEARTBEAT_MS);
    pack_key(pk, "resumed");
    resumed ? msgpack_pack_true(pk) : msgpack_pack_false(pk);
    if (p->naming) {
        pack_limit(pk, "term", p->naming->term);
        pack_limit(pk, "stored", td_naming_last(p->naming, &p->stored));
    }
    if (!p->told)
        return;
    pack_limit(pk, "grace_ms", grace_ms > 0 ? (uint64_t)grace_ms : 0);
    pack_key(pk, "token");
    msgpack_pack_bin(pk, sizeof(p->token));
    msgpack_pack_bin_body(pk, p->token, sizeof(p->token));
}

void td_session_welcome(struct td_engine *e, struct td_session *s, bool resumed)
{
    struct td_frame f = {.op = TD_WELCOME};
    msgpack_packer pk;

    td_buf_reset(&e->table);
    msgpack_packer_init(&pk, &e->table, td_buf_pack_write);
    pack_limits(e, s, resumed, &pk);
    if (e->table.failed) {
        td_session_doom(e, s, TD_DROP_SESSION_LOST, TIDINGS_ENOMEM,
                        "broker is out of memory");
        return;
    }
    td_session_limits(e, s);
    f.u.welcome.version = TD_PROTOCOL_VERSION;
    f.u.welcome.epoch = e->options.epoch;
    f.u.welcome.session = s->number;
    f.u.welcome.taken = s->producer->taken;
    f.u.welcome.events_limit = s->events_limit;
    f.u.welcome.bytes_limit = s->bytes_limit;
    f.u.welcome.limits.data = (const char *)e->table.data;
    f.u.welcome.limits.len = e->table.len;
    td_engine_send(e, s, &f, NULL);
    td_log(&e->options.log, TD_LOG_INFO, "SESSION-UP", "session %llu %s%s",
           (unsigned long long)s->number, s->name, resumed ? " again" : "");
}

static struct td_session *session_new(struct td_engine *e, struct td_str peer,
                                      const struct td_frame *f)
{
    struct td_session *s = calloc(1, sizeof(*s));

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

/* In both tables, or in none. */
static bool session_add(struct td_engine *e, struct td_session *s)
{
    HASH_ADD(hh, e->sessions, number, sizeof(s->number), s);
    if (s->hh_failed)
        return false;
    HASH_ADD(hh_peer, e->peers, peer, s->peer_len, s);
    if (s->hh_failed)
        HASH_DELETE(hh, e->sessions, s);
    s->linked = !s->hh_failed;
    return s->linked;
}

static void begin(struct td_engine *e, struct td_str peer,
                  const struct td_frame *f, struct td_str token,
                  const struct td_claim *claim)
{
    struct td_producer *p = td_producer_get(e, f->u.hello.producer);
    struct td_session *s = p ? session_new(e, peer, f) : NULL;

    if (!s || !td_producer_renew(e, p, token) || !td_holder_take(e, p, claim) ||
        !session_add(e, s)) {
        free(s);
        td_engine_bye(e, peer, TIDINGS_ENOMEM, "broker is out of memory");
        return;
    }
    td_producer_attach(e, p, s);
    td_holder_forget(e, peer);
    if (!p->naming || p->naming->written) {
        td_session_welcome(e, s, false);
        td_advise_session(e, s, true, false);
    } else if (!td_holder_wait(e, s)) {
        td_session_doom(e, s, TD_DROP_SESSION_LOST, TIDINGS_ENOMEM,
                        "broker is out of memory");
    }
}

/* Room for one more, if need be at the cost of who has been away longest. */
static bool has_room(struct td_engine *e)
{
    if (HASH_COUNT(e->sessions) < TD_SESSIONS_MAX)
        return true;
    if (!e->away)
        return false;
    td_session_doom(e, e->away, TD_DROP_SESSION_LOST, TIDINGS_ELIMIT, NULL);
    td_session_reap(e);
    return true;
}

/* A new holder of a name has nothing to resume. */
static bool is_same_term(const struct td_producer *p,
                         const struct td_claim *claim)
{
    return !claim->name.data || (p->naming && claim->term == p->naming->term);
}

/* Whose HELLO it is, and what it is to have. */
static void greet(struct td_engine *e, struct td_str peer,
                  const struct td_frame *f)
{
    const struct td_producer *p = td_producer_find(e, f->u.hello.producer);
    struct td_str token = {NULL, 0};
    struct td_claim claim;
    const char *text;
    tidings_err err = td_holder_check(e, f, p, &claim, &text);

    if (!td_map_bin(f->u.hello.options, "token", &token))
        token = (struct td_str){NULL, 0};
    e->counters.bad_frames += err == TIDINGS_EPROTO;
    e->counters.fenced += err == TIDINGS_EFENCED;
    if (err)
        td_engine_bye(e, peer, err, text);
    else if (p && !claim.name.data && !td_producer_admits(p, token))
        td_engine_bye(e, peer, TIDINGS_EEXIST,
                      "the producer of this HELLO has another token");
    else if (p && p->session && is_same_term(p, &claim) &&
             td_away_resume(e, p->session, peer, f, token))
        return;
    else if (!has_room(e))
        td_engine_bye(e, peer, TIDINGS_ELIMIT, "too many sessions");
    else
        begin(e, peer, f, token, &claim);
}

void td_session_hello(struct td_engine *e, struct td_str peer,
                      struct td_session *s, const struct td_frame *f)
{
    struct td_str magic = td_str_of(TD_PROTOCOL_MAGIC);
    char text[80];

    if (s) {
        td_engine_reply(e, s, 0, TIDINGS_EPROTO, "already greeted");
        return;
    }
    td_session_reap(e); /* whoever is doomed is gone, or away */
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
    } else {
        greet(e, peer, f);
    }
}

/* ---- silence ---- */

/* It has what other members of a group get when it is lost, or others may ask
 * its instances. */
static bool is_waited_for(const struct td_session *s)
{
    if (s->serving.instances_len > 0)
        return true;
    for (const struct td_sub *sub = s->subs; sub; sub = sub->hh.next) {
        if (sub->group->named && td_sub_has_unsettled(sub))
            return true;
    }
    return false;
}

/* A link that was closed takes no PING, which tells that its process is gone.
 * One that is only busy, or stopped, is asked and nothing else. */
static void probe(struct td_engine *e, struct td_session *s)
{
    const struct td_frame ping = {.op = TD_PING};

    if (e->now_ms - s->heard_ms >= TD_PROBE_MS && is_waited_for(s))
        td_engine_send(e, s, &ping, NULL);
}

static void find_silent(struct td_engine *e, int64_t pause_ms)
{
    struct td_session *s;
    struct td_session *next;

    HASH_ITER(hh, e->sessions, s, next)
    {
        s->heard_ms += pause_ms;
        s->away_ms += pause_ms; /* nobody could come back */
        if (s->heard_ms > e->now_ms)
            s->heard_ms = e->now_ms; /* heard of after the pause */
        if (s->away_ms > e->now_ms)
            s->away_ms = e->now_ms; /* lost after it: the list stays in order */
        if (s->doomed || s->away)
            continue;
        if (e->now_ms - s->heard_ms < TD_DEAD_MS) {
            probe(e, s);
            continue;
        }
        e->counters.silent++;
        td_session_lose(e, s, TIDINGS_ETIMEDOUT,
                        "nothing was heard of it for too long");
    }
}

void td_session_tick(struct td_engine *e)
{
    int64_t since_ms = e->now_ms - e->ticked_ms;
    /* A broker that was stopped itself must not blame its clients. */
    int64_t pause_ms = since_ms > TD_HEARTBEAT_MS ? since_ms : 0;

    e->ticked_ms = e->now_ms;
    find_silent(e, pause_ms);
    td_away_tick(e);
    td_producer_tick(e);
}

/* ---- the end ---- */

/* Of what nobody was told, as the broker sees it. */
static const char *reason_of(tidings_err code)
{
    switch (code) {
    case TIDINGS_OK:
        return "closed";
    case TIDINGS_EUNREACH:
        return "the connection was lost";
    case TIDINGS_ELIMIT:
        return "it was away when others needed its place";
    default:
        return tidings_err_text(code);
    }
}

static void doom(struct td_engine *e, struct td_session *s, tidings_err code,
                 const char *text)
{
    struct td_str peer = {(const char *)s->peer, s->peer_len};

    s->doomed = true;
    s->reason = text ? text : reason_of(code);
    LL_PREPEND2(e->doomed, s, doomed_next);
    if (text && !s->away)
        td_engine_bye(e, peer, code, text);
    td_log(&e->options.log, code ? TD_LOG_WARN : TD_LOG_INFO, "SESSION-DOWN",
           "session %llu %s: %s%s", (unsigned long long)s->number, s->name,
           s->reason, s->keeps ? "; it may come back" : "");
}

void td_session_doom(struct td_engine *e, struct td_session *s,
                     enum td_drop why, tidings_err code, const char *text)
{
    if (s->doomed)
        return;
    s->doom = why;
    doom(e, s, code, text);
}

void td_session_lose(struct td_engine *e, struct td_session *s,
                     tidings_err code, const char *text)
{
    if (s->doomed)
        return;
    s->doom = TD_DROP_SESSION_LOST;
    s->keeps = e->options.port.random && e->options.grace_ms > 0;
    doom(e, s, code, text);
}

void td_session_unlink(struct td_engine *e, struct td_session *s)
{
    if (s->linked)
        HASH_DELETE(hh_peer, e->peers, s);
    s->linked = false;
}

void td_session_free(struct td_engine *e, struct td_session *s)
{
    struct td_sub *sub;
    struct td_sub *next;

    td_serving_leave(e, s);
    HASH_ITER(hh, s->subs, sub, next)
    {
        td_sub_end(e, sub, s->doom);
    }
    if (s->queued)
        DL_DELETE2(e->ready, s, ready_prev, ready_next);
    td_session_owe_no_more(e, s);
    td_session_let_go(e, s);
    td_confirm_forget(e, s);
    td_producer_detach(e, s);
    if (s->away) {
        DL_DELETE2(e->away, s, away_prev, away_next);
        e->away_len--;
    }
    td_session_unlink(e, s);
    HASH_DELETE(hh, e->sessions, s);
    free(s);
}

void td_session_reap(struct td_engine *e)
{
    while (e->doomed) {
        struct td_session *s = e->doomed;

        e->doomed = s->doomed_next;
        td_advise_session(e, s, false, s->keeps);
        if (s->keeps)
            td_away_begin(e, s);
        else
            td_session_free(e, s);
    }
}

void td_session_free_all(struct td_engine *e)
{
    struct td_session *s;
    struct td_session *next;

    e->doomed = NULL;
    for (s = e->sessions; s; s = s->hh.next)
        s->doomed = true; /* so that nothing is sent any more */
    HASH_ITER(hh, e->sessions, s, next)
    {
        td_session_free(e, s);
    }
}
