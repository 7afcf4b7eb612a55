/* What peers say: the table of operations. */
#include "broker/engine/engine.h"

#include "broker/engine/internal.h"
#include "broker/engine/task.h"

static void on_subscribe(struct td_engine *e, struct td_session *s,
                         const struct td_frame *f, struct td_body *body)
{
    (void)body;
    td_sub_subscribe(e, s, f);
}

static void on_unsubscribe(struct td_engine *e, struct td_session *s,
                           const struct td_frame *f, struct td_body *body)
{
    (void)body;
    td_sub_unsubscribe(e, s, f);
}

static void on_credit(struct td_engine *e, struct td_session *s,
                      const struct td_frame *f, struct td_body *body)
{
    (void)body;
    td_taken_credit(e, s, f);
}

static void on_ping(struct td_engine *e, struct td_session *s,
                    const struct td_frame *f, struct td_body *body)
{
    const struct td_frame pong = {.op = TD_PONG,
                                  .u.pong = {.token = f->u.ping.token}};

    (void)body;
    if (s->owed)
        td_session_tell(e, s);
    td_engine_send(e, s, &pong, NULL);
}

static void on_pong(struct td_engine *e, struct td_session *s,
                    const struct td_frame *f, struct td_body *body)
{
    (void)body;
    td_gaps_pong(e, s, f->u.pong.token);
}

static void on_stats(struct td_engine *e, struct td_session *s,
                     const struct td_frame *f, struct td_body *body)
{
    (void)body;
    td_stats_reply(e, s, f);
}

static void on_bye(struct td_engine *e, struct td_session *s,
                   const struct td_frame *f, struct td_body *body)
{
    (void)f;
    (void)body;
    td_session_doom(e, s, TD_DROP_UNSUBSCRIBED, TIDINGS_OK, NULL);
}

static void on_call(struct td_engine *e, struct td_session *s,
                    const struct td_frame *f, struct td_body *body)
{
    (void)body;
    td_operate(e, s, f);
}

static void on_settle(struct td_engine *e, struct td_session *s,
                      const struct td_frame *f, struct td_body *body)
{
    (void)body;
    td_lease_settle(e, s, f);
}

static void on_serve(struct td_engine *e, struct td_session *s,
                     const struct td_frame *f, struct td_body *body)
{
    (void)body;
    td_serve(e, s, f);
}

static void on_unserve(struct td_engine *e, struct td_session *s,
                       const struct td_frame *f, struct td_body *body)
{
    (void)body;
    td_serve_end(e, s, f);
}

static void on_health(struct td_engine *e, struct td_session *s,
                      const struct td_frame *f, struct td_body *body)
{
    (void)body;
    td_serve_health(e, s, f);
}

/* HELLO is not here: it comes without a session. */
static void (*const handlers[TD_OP_END])(struct td_engine *e,
                                         struct td_session *s,
                                         const struct td_frame *f,
                                         struct td_body *body) = {
    [TD_PUBLISH] = td_publish,
    [TD_SUBSCRIBE] = on_subscribe,
    [TD_UNSUBSCRIBE] = on_unsubscribe,
    [TD_CREDIT] = on_credit,
    [TD_PING] = on_ping,
    [TD_PONG] = on_pong,
    [TD_STATS] = on_stats,
    [TD_BYE] = on_bye,
    [TD_CALL] = on_call,
    [TD_SETTLE] = on_settle,
    [TD_SERVE] = on_serve,
    [TD_UNSERVE] = on_unserve,
    [TD_HEALTH] = on_health,
    [TD_REQUEST] = td_request,
    [TD_ANSWER] = td_answer,
};

/* Over a link that is lost. Whoever said goodbye does not come back; whoever
 * is still there may. */
static void on_late(struct td_engine *e, struct td_str peer,
                    struct td_session *s, const struct td_frame *f)
{
    if (f->op == TD_BYE) {
        on_bye(e, s, f, NULL);
    } else if (f->op == TD_HELLO) { /* of whomever */
        td_session_unlink(e, s);
        td_session_hello(e, peer, NULL, f);
    } else {
        td_engine_bye(e, peer, TIDINGS_ETIMEDOUT,
                      "the link was lost: the session may be resumed");
    }
}

static void refuse(struct td_engine *e, struct td_str peer,
                   struct td_session *s, const char *why)
{
    if (s && s->away)
        return; /* its link is lost, and with it what was said over it */
    if (!s && td_holder_refuse(e, peer))
        return;
    e->counters.bad_frames++;
    if (s)
        td_session_doom(e, s, TD_DROP_SESSION_LOST, TIDINGS_EPROTO, why);
    else
        td_engine_bye(e, peer, TIDINGS_EPROTO, why);
}

static struct td_session *session_of(struct td_engine *e, struct td_str peer)
{
    struct td_session *s;

    HASH_FIND(hh_peer, e->peers, peer.data, peer.len, s);
    if (s && s->doomed) { /* it may greet again in the same turn */
        td_session_reap(e);
        s = NULL;
    }
    return s;
}

void td_engine_message(struct td_engine *e, struct td_str peer, unsigned frames,
                       const void *control, size_t len, struct td_body *body,
                       int64_t now_ms)
{
    struct td_session *s = session_of(e, peer);
    const char *why = "a message is one control frame, and a body only with "
                      "PUBLISH, REQUEST and ANSWER";
    struct td_frame f;

    td_engine_set_now(e, now_ms);
    if (s && !s->away)
        s->heard_ms = now_ms;
    if (frames < 1 || frames > 2 || (frames == 2) != (body != NULL)) {
        refuse(e, peer, s, why);
        return;
    }
    if (td_frame_decode(&f, control, len, true, &why) != TIDINGS_OK) {
        refuse(e, peer, s, why);
        return;
    }
    if (td_op_has_body(f.op) != (body != NULL)) {
        refuse(e, peer, s, "body frame missing, or not asked for");
        return;
    }
    if (s && s->greeting && f.op != TD_BYE) {
        refuse(e, peer, s, "nothing may come before the WELCOME");
        return;
    }
    if (s && !s->away && f.op != TD_HELLO)
        td_producer_heard(s->producer);
    if (s && s->away)
        on_late(e, peer, s, &f);
    else if (f.op == TD_HELLO)
        td_session_hello(e, peer, s, &f);
    else if (s && !handlers[f.op])
        refuse(e, peer, s, "operation is not spoken here");
    else if (s)
        handlers[f.op](e, s, &f, body);
    else if (f.op != TD_BYE) /* two peers must not say goodbye for ever */
        refuse(e, peer, NULL, "no session here: greet with HELLO first");
}

void td_engine_gone(struct td_engine *e, struct td_str peer, int64_t now_ms)
{
    struct td_session *s = session_of(e, peer);

    td_engine_set_now(e, now_ms);
    if (s && !s->away)
        td_session_lose(e, s, TIDINGS_EUNREACH, NULL);
}
