/* Asking every instance, and hearing all answers, or enough of them. */
#include "client/api.h"
#include "client/asked.h"
#include "client/detail.h"

#include <stdlib.h>
#include <string.h>

struct many {
    struct td_asked asked;
    const char *type;
    uint64_t count; /* answers that are enough; 0: all */
    int quiet_ms;   /* 0: however quiet it is */
    tidings_on_reply on_reply;
    void *arg;
    uint64_t heard;   /* of any kind */
    uint64_t answers; /* of the handlers', errors included */
    uint64_t good;
    bool late; /* some were not in time */
    int64_t quiet_at_ms;
};

/* This thread is inside on_reply. */
struct inside {
    const struct td_bus *bus;
    struct inside *outer;
};

static _Thread_local struct inside *inside;

bool td_in_many(const struct td_bus *b)
{
    for (const struct inside *i = inside; i; i = i->outer) {
        if (i->bus == b)
            return true;
    }
    return false;
}

/* ---- answers ---- */

static struct td_heard *pop(struct td_asked *a)
{
    struct td_heard *h = a->heard;

    if (h) {
        a->heard = h->next;
        if (!a->heard)
            a->heard_tail = &a->heard;
    }
    return h;
}

static void heard_free(struct td_bus *b, struct td_heard *h)
{
    b->client.requests.kept -= h->len;
    free(h);
}

/* Nobody was asked: what the broker says is not an instance's. */
static bool is_refusal(const struct many *m, const struct td_heard *h)
{
    const struct td_response *r = &h->response;

    return m->heard == 0 && r->left == 0 && r->instance.len == 0 &&
           (r->code == TIDINGS_ENORESPONDER || r->code == TIDINGS_EBREAKER ||
            r->code == TIDINGS_EFULL || r->code == TIDINGS_EINVAL);
}

static tidings_err say(const struct td_bus *b, const struct many *m,
                       const struct td_heard *h)
{
    struct tidings_reply reply;
    struct td_reply_text text;

    td_reply_view(&reply, &text, &h->response, m->asked.request.attempts);
    return td_say_response(b, &reply, m->type);
}

/* With the lock, which is let go while it is called. */
static void tell(struct td_bus *b, struct many *m, const struct td_heard *h)
{
    struct inside in = {b, inside};
    struct tidings_reply reply;
    struct td_reply_text text;

    m->heard++;
    m->good += h->response.code == TIDINGS_OK;
    m->answers +=
        h->response.code == TIDINGS_OK || h->response.code == TIDINGS_EREMOTE;
    m->late = m->late || h->response.code == TIDINGS_ETIMEDOUT;
    td_reply_view(&reply, &text, &h->response, m->asked.request.attempts);
    b->users++; /* the bus stays meanwhile */
    pthread_mutex_unlock(b->lock);
    inside = &in;
    m->on_reply(m->arg, &reply);
    inside = in.outer;
    pthread_mutex_lock(b->lock);
    b->users--;
    if (b->closing)
        td_bus_changed(b);
    if (m->quiet_ms)
        m->quiet_at_ms = td_now_ms() + m->quiet_ms;
}

/* false: that was the end, with *err. */
static bool take(struct td_bus *b, struct many *m, tidings_err *err)
{
    struct td_heard *h;

    while ((h = pop(&m->asked))) {
        bool last = h->response.own || is_refusal(m, h);

        if (last)
            *err = say(b, m, h);
        else
            tell(b, m, h);
        heard_free(b, h);
        if (last || b->closing || (m->count && m->answers >= m->count))
            return false;
    }
    return true;
}

static tidings_err too_late(const struct many *m)
{
    return td_fail(TIDINGS_ETIMEDOUT,
                   "%s: not all have answered in time: %llu have", m->type,
                   (unsigned long long)m->answers);
}

static tidings_err hear(struct td_bus *b, struct many *m)
{
    struct td_asked *a = &m->asked;
    tidings_err err = TIDINGS_OK;

    for (;;) {
        if (!take(b, m, &err))
            return b->closing ? td_not_asked(b, &a->request, TIDINGS_ECLOSED)
                              : err;
        if (a->deaf)
            return td_fail(
                TIDINGS_ENOMEM,
                "%s: no memory for an answer: ask again if that does "
                "no harm",
                m->type);
        if (a->done)
            return m->late ? too_late(m) : TIDINGS_OK;
        if (m->quiet_at_ms && td_now_ms() >= m->quiet_at_ms)
            return TIDINGS_OK;
        if (!td_bus_wait_asked(
                b, a, m->quiet_at_ms ? m->quiet_at_ms : TD_CLIENT_NEVER) &&
            b->closing)
            return td_not_asked(b, &a->request, TIDINGS_ECLOSED);
    }
}

/* ---- asking ---- */

static tidings_err ask(struct td_bus *b, struct many *m)
{
    struct td_asked *a = &m->asked;
    tidings_err err;

    if (td_is_teller(b))
        return td_fail(TIDINGS_EDEADLK,
                       "on_status must not wait: ask on another thread");
    err = td_client_request(&b->client, &a->request, td_now_ms());
    if (err)
        return td_not_asked(b, &a->request, err);
    td_client_send_requests(&b->client, td_now_ms());
    err = hear(b, m);
    td_client_withdraw_request(&b->client, &a->request);
    while (a->heard)
        heard_free(b, pop(a));
    return err;
}

static tidings_err prepare(struct many *m, struct td_buf *buf,
                           const struct tidings_event *event,
                           const struct tidings_many_options *o)
{
    const struct td_request_how how = {.service = o->service,
                                       .version = o->version,
                                       .instance = o->instance,
                                       .many = true};
    int timeout_ms = o->timeout_ms;
    tidings_err err = td_check_request_timeout(&timeout_ms);

    if (!err && (o->quiet_ms < 0 || o->quiet_ms > TIDINGS_TIMEOUT_MAX_MS))
        err = td_fail(TIDINGS_EINVAL, "quiet_ms is %d; 0 to %d", o->quiet_ms,
                      TIDINGS_TIMEOUT_MAX_MS);
    if (!err)
        err = td_request_init(&m->asked.request, buf, event, &how);
    if (err)
        return err;
    m->asked.heard_tail = &m->asked.heard;
    m->type = event->type;
    m->count = o->count;
    m->quiet_ms = o->quiet_ms;
    return td_request_deadline(&m->asked.request, timeout_ms);
}

tidings_err tidings_request_many(uint64_t *answers, tidings_bus *bus,
                                 const struct tidings_event *event,
                                 const struct tidings_many_options *options,
                                 tidings_on_reply on_reply, void *arg)
{
    const struct tidings_many_options defaults = {0};
    struct many m = {.on_reply = on_reply, .arg = arg};
    struct td_buf buf = {0};
    struct td_bus *b;
    tidings_err err;

    if (answers)
        *answers = 0;
    err = on_reply ? prepare(&m, &buf, event, options ? options : &defaults)
                   : td_fail(TIDINGS_EINVAL, "on_reply is NULL");
    b = err ? NULL : td_enter(bus, &err);
    if (b) {
        td_asked_init(&m.asked);
        err = ask(b, &m);
        td_exit(b);
        pthread_cond_destroy(&m.asked.told);
    }
    td_buf_fini(&buf);
    if (answers)
        *answers = m.good;
    return err;
}
