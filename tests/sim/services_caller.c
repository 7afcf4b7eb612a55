/* What callers ask, and what comes of it. */
#include "tests/sim/services_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LARGE_BYTES 20000u

/* ---- making one ---- */

static const char *const narrow[] = {"ape.get", "bee.get", "cat.get"};
static const char *const usual[] = {"ape.do", "bee.do", "cat.do"};

static const char *choose_type(struct svc *w, struct svc_request *q)
{
    struct sim_random *r = &w->random;

    q->service = (uint32_t)sim_below(r, w->config.services);
    q->narrow = sim_chance(r, 100);
    if (q->ping) {
        q->service = SVC_SERVICES;
        q->narrow = false;
        return "$service.ping";
    }
    if (sim_chance(r, w->config.several)) {
        q->service = SVC_SERVICES;
        q->narrow = false;
        return "all.do";
    }
    return q->narrow ? narrow[q->service] : usual[q->service];
}

static const char *known_id(struct svc *w)
{
    for (int tries = 0; tries < 5 && w->known_len > 0; tries++) {
        const struct svc_known *k =
            &w->known[sim_below(&w->random, w->known_len)];

        if (k->there || sim_chance(&w->random, 50))
            return k->id;
    }
    return NULL;
}

static void choose_how(struct svc *w, struct svc_request *q,
                       struct td_request_how *how)
{
    struct sim_random *r = &w->random;
    const char *id;

    if (q->ping || !sim_chance(r, w->config.picky))
        return;
    q->wishes = true;
    switch (sim_below(r, 3)) {
    case 0:
        how->version = q->wish_version =
            svc_versions[sim_below(r, SVC_VERSIONS)];
        break;
    case 1:
        id = known_id(w);
        if (id)
            memcpy(q->wish_instance, id, sizeof(q->wish_instance));
        how->instance = id ? q->wish_instance : NULL;
        break;
    default:
        how->balance = (enum tidings_balance)(1 + sim_below(r, 5));
    }
}

/* Only who wishes for nothing else goes where his key does. */
static bool choose_key(struct svc *w, struct svc_request *q,
                       const struct td_request_how *how,
                       struct tidings_attr *attr)
{
    static const char *const keys[SVC_KEYS] = {"a", "b", "c", "d"};
    uint64_t key = sim_below(&w->random, SVC_KEYS);
    enum tidings_balance balance =
        how->balance ? how->balance : w->config.balance;

    if (sim_chance(&w->random, 500))
        return false;
    *attr = (struct tidings_attr){.name = "partitionkey", .string = keys[key]};
    if (balance == TIDINGS_BALANCE_KEY && !how->version && !how->instance)
        q->key = (uint32_t)key + 1;
    return true;
}

/* In memory of its own, which the session may let go early. */
static void own(struct td_request *r, const struct td_buf *buf,
                const struct tidings_event *event)
{
    size_t attrs_len = r->attrs.len;
    size_t options_len = r->options.len;
    char *p = sim_alloc(buf->len + event->data_len);

    if (buf->len)
        memcpy(p, buf->data, buf->len);
    memcpy(p + buf->len, event->data, event->data_len);
    r->attrs = (struct td_str){p, attrs_len};
    r->options = (struct td_str){p + attrs_len, options_len};
    r->data = (struct td_str){p + buf->len, event->data_len};
    r->owned = p;
}

static int64_t choose_timeout(struct svc *w)
{
    struct sim_random *r = &w->random;

    if (sim_chance(r, w->config.hasty))
        return sim_between(r, 1, 120);
    return sim_between(r, 200, sim_chance(r, 100) ? 12000 : 3000);
}

static void fill(struct svc *w, struct svc_request *q,
                 const struct td_request_how *how)
{
    static uint8_t data[LARGE_BYTES];
    struct sim_random *r = &w->random;
    int64_t timeout_ms = choose_timeout(w);
    struct td_buf buf = {0};
    struct tidings_attr attr;
    bool keyed = choose_key(w, q, how, &attr);
    struct tidings_event event = {
        .attrs = &attr,
        .attrs_len = keyed,
        .type = choose_type(w, q),
        .data = data,
        .data_len = sim_chance(r, w->config.large) ? LARGE_BYTES
                                                   : 4 + sim_below(r, 400),
        .time_us = (INT64_C(1750000000000) + w->now_ms) * 1000,
    };

    memcpy(data, &q->serial, 4);
    SVC_CHECK(w, !td_request_init(&q->r, &buf, &event, how),
              "a request that cannot be");
    own(&q->r, &buf, &event);
    td_buf_fini(&buf);
    q->r.timed = sim_chance(r, 700);
    q->r.timeout_ms = timeout_ms;
    q->r.deadline_ms = q->deadline_ms = w->now_ms + timeout_ms;
    q->r.idempotent = !how->many && sim_chance(r, w->config.again);
    q->r.attempts_max = 2 + (unsigned)sim_below(r, 3); /* if it may */
    if (q->r.idempotent && sim_chance(r, 300))
        q->r.attempt_ms = (int)sim_between(r, 20, 500);
}

void svc_call(struct svc_client *client)
{
    struct svc *w = client->w;
    struct svc_request *q = sim_alloc(sizeof(*q));
    struct td_request_how how = {.many =
                                     sim_chance(&w->random, w->config.many)};
    tidings_err err;

    w->requests =
        sim_grow(w->requests, w->requests_len, &w->requests_cap, sizeof(q));
    q->serial = w->requests_len;
    w->requests[w->requests_len++] = q;
    q->caller = client;
    q->made_ms = w->now_ms;
    q->left = UINT64_MAX;
    q->ping = how.many && sim_chance(&w->random, 200);
    choose_how(w, q, &how);
    fill(w, q, &how);
    DL_APPEND(client->requests, q);
    client->requests_len++;
    w->result->published++;
    err = td_client_request(&client->bus.client, &q->r, w->now_ms);
    SVC_CHECK(w, !err, "a request is refused at once: %s",
              tidings_err_text(err));
}

/* ---- the end of one ---- */

static void forget(struct svc_request *q)
{
    DL_DELETE(q->caller->requests, q);
    q->caller->requests_len--;
    q->over = true;
}

void svc_calls_drop(struct svc_client *client)
{
    struct td_request *r;
    uint32_t from = 0;

    while ((r = td_client_take_request(&client->bus.client, &from))) {
        forget((struct svc_request *)r);
    }
    SVC_CHECK(client->w, !client->requests,
              "the session has lost request %u without a word",
              client->requests ? client->requests->serial : 0);
}

void svc_call_withdraw(struct svc_client *client)
{
    struct svc_request *q = client->requests;
    uint64_t nth = sim_below(&client->w->random, client->requests_len);

    while (nth-- > 0)
        q = q->next;
    if (!q)
        return;
    svc_seen(client->w, SVC_SEEN_WITHDRAWN);
    td_client_withdraw_request(&client->bus.client, &q->r);
    forget(q);
}

/* ---- those that the session does not time ---- */

int64_t svc_calls_due_ms(const struct svc_client *client)
{
    const struct svc_request *q;
    int64_t due_ms = SVC_NEVER;

    DL_FOREACH(client->requests, q)
    {
        if (!q->r.timed)
            due_ms = svc_least(due_ms, q->r.due_ms);
    }
    return due_ms;
}

void svc_calls_look(struct svc_client *client)
{
    int64_t now = client->w->now_ms;
    struct svc_request *q;
    struct svc_request *next;

    DL_FOREACH_SAFE(client->requests, q, next)
    {
        if (!q->r.timed && q->r.due_ms <= now)
            td_client_request_due(&client->bus.client, &q->r, now);
    }
}

/* ---- what it came to ---- */

static void check_time(struct svc *w, const struct svc_request *q,
                       const struct td_response *response)
{
    int64_t least_ms = q->deadline_ms;

    SVC_CHECK(w,
              w->now_ms <= q->deadline_ms || q->caller->paused_ms > q->made_ms,
              "request %u ends %lld ms after its deadline", q->serial,
              (long long)(w->now_ms - q->deadline_ms));
    if (response->code != TIDINGS_ETIMEDOUT || q->r.attempt_ms > 0 ||
        q->r.attempts > 1)
        return;
    if (td_request_is_many(&q->r))
        least_ms -= q->r.timeout_ms / 8 < TD_MANY_SLACK_MS ? q->r.timeout_ms / 8
                                                           : TD_MANY_SLACK_MS;
    SVC_CHECK(w, w->now_ms >= least_ms - 1,
              "request %u has no answer in time, %lld ms before it is over",
              q->serial, (long long)(least_ms - w->now_ms));
}

static void check_data(struct svc *w, const struct svc_request *q,
                       const struct td_response *response)
{
    const char *p = response->data.data;
    uint32_t serial = UINT32_MAX;

    if (q->ping)
        return;
    if (response->data.len >= 5)
        memcpy(&serial, p, 4);
    SVC_CHECK(w, serial == q->serial, "request %u has the answer of another",
              q->serial);
    if (serial != q->serial)
        return;
    SVC_CHECK(
        w,
        response->instance.len == (uint8_t)p[4] &&
            memcmp(response->instance.data, p + 5, response->instance.len) == 0,
        "request %u was not answered by who it is said to be", q->serial);
    if (response->data.len > 10000 && q->r.attempts > 0)
        svc_seen(w, SVC_SEEN_LARGE);
}

/* An answer that the broker has comes as quickly as links are. */
static void check_late(struct svc *w, const struct svc_request *q)
{
    const struct svc_client *client = q->caller;
    int64_t links_ms = w->config.delay_max_ms + w->config.turn_ms + 2;

    if (!q->answered || q->r.last || !client->link || client->link->hurt ||
        client->link->number != q->sender || w->healing ||
        client->paused_ms > q->made_ms || w->broker.paused_ms > q->made_ms)
        return;
    SVC_CHECK(w, w->now_ms - q->answered_ms <= links_ms,
              "request %u was answered %lld ms ago, and times out", q->serial,
              (long long)(w->now_ms - q->answered_ms));
}

/* What the session says by itself, which it must be able to know. */
static void check_own(struct svc *w, const struct svc_request *q,
                      const struct td_response *response)
{
    if (response->code == TIDINGS_EUNREACH) {
        svc_seen(w, SVC_SEEN_UNSENT);
        SVC_CHECK(w, q->r.attempts == 0, "request %u was sent", q->serial);
    } else if (response->code == TIDINGS_ELOST) {
        svc_seen(w, SVC_SEEN_LOST_OWN);
        SVC_CHECK(
            w, q->caller->lost_ms >= q->made_ms || q->r.last == TIDINGS_ELOST,
            "request %u is lost, and its caller's link was not", q->serial);
    } else {
        SVC_CHECK(w, response->code == TIDINGS_ETIMEDOUT,
                  "request %u ends with %s", q->serial,
                  tidings_err_name(response->code));
        check_late(w, q);
    }
}

static void see(struct svc *w, const struct svc_request *q,
                const struct td_response *response)
{
    switch ((int)response->code) {
    case TIDINGS_OK:
        svc_seen(w, SVC_SEEN_ANSWERED);
        if (q->ping)
            svc_seen(w, SVC_SEEN_PINGED);
        if (q->r.attempts > 1)
            svc_seen(w, q->r.last == TIDINGS_ELOST &&
                                q->caller->lost_ms >= q->made_ms
                            ? SVC_SEEN_AGAIN_LINK
                            : SVC_SEEN_AGAIN_OK);
        break;
    case TIDINGS_EREMOTE:
        svc_seen(w, SVC_SEEN_REMOTE);
        break;
    case TIDINGS_ETIMEDOUT:
        svc_seen(w, SVC_SEEN_TIMEOUT);
        break;
    default:
        break;
    }
}

static void see_one_of_many(struct svc *w, const struct svc_request *q,
                            const struct td_response *response)
{
    if (response->code == TIDINGS_ELOST && !response->own)
        svc_seen(w, SVC_SEEN_MANY_LOST);
    if (response->code == TIDINGS_ETIMEDOUT && !response->own)
        svc_seen(w, SVC_SEEN_MANY_LATE);
    if (response->code == TIDINGS_OK && q->responses > 1)
        svc_seen(w, SVC_SEEN_MANY);
}

/* So many are still to come, as it was said before. */
static void check_many(struct svc *w, struct svc_request *q,
                       const struct td_response *response)
{
    q->responses++;
    if (!response->own)
        see_one_of_many(w, q, response);
    if (response->own)
        return;
    SVC_CHECK(w, q->left == UINT64_MAX || response->left == q->left - 1,
              "request %u is to be answered %llu times more, not %llu",
              q->serial, (ull)response->left, (ull)(q->left - 1));
    q->left = response->left;
}

void svc_answered(void *ctx, struct td_request *r,
                  const struct td_response *response)
{
    struct svc_client *client = ctx;
    struct svc *w = client->w;
    struct svc_request *q = (struct svc_request *)r;

    svc_say(w, "request %u: %s %d, %.*s%s", q->serial,
            tidings_err_name(response->code), response->status,
            (int)response->text.len, response->text.data,
            r->state == TD_REQUEST_DONE ? "" : " (one of many)");
    SVC_CHECK(w, !q->over, "request %u ends twice", q->serial);
    if (td_request_is_many(r))
        check_many(w, q, response);
    else
        SVC_CHECK(w, r->state == TD_REQUEST_DONE, "request %u is not over",
                  q->serial);
    check_time(w, q, response);
    if (response->own)
        check_own(w, q, response);
    else if (response->code == TIDINGS_OK || response->code == TIDINGS_EREMOTE)
        check_data(w, q, response);
    see(w, q, response);
    if (r->state == TD_REQUEST_DONE && !q->over)
        forget(q);
}
