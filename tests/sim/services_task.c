/* Requests in the hands of an instance: they wait, are handled, and answered,
 * as the library's own threads do it. */
#include "tests/sim/services_world.h"

#include <stdlib.h>
#include <string.h>

#include "proto/batch.h"

#define LARGE_BYTES 20000u

/* ---- answers ---- */

static void answer(struct svc_instance *i, const struct svc_task *t,
                   const struct td_answer_row *row, const void *data)
{
    struct svc_client *client = i->client;
    struct td_answers *a = &client->answers;
    tidings_err err;

    if (td_answers_full(a))
        td_client_send_answers(&client->bus.client, a);
    err = td_answers_add(a, t->link, row, data);
    SVC_CHECK(client->w, !err || err == TIDINGS_EUNREACH, "out of memory");
}

/* Its data: which request, and who says so. */
static void say(struct svc_instance *i, struct svc_task *t, tidings_err code,
                int status)
{
    static uint8_t data[LARGE_BYTES];
    int64_t now = i->client->w->now_ms;
    size_t id_len = strlen(i->cs->id);
    struct td_answer_row row = {
        .task = t->number,
        .code = code,
        .status = (uint64_t)status,
        .held_us = (uint64_t)(now - t->came_ms) * 1000,
        .took_us = t->began_ms < 0 ? 0 : (uint64_t)(now - t->began_ms) * 1000,
        .text = td_str_of(code ? "no" : ""),
    };

    memcpy(data, &t->of->serial, 4);
    data[4] = (uint8_t)id_len;
    memcpy(data + 5, i->cs->id, id_len);
    if (code == TIDINGS_OK || code == TIDINGS_EREMOTE)
        row.bytes = t->len > 1000 ? LARGE_BYTES : 5 + id_len;
    answer(i, t, &row, data);
}

static void drop(struct svc_instance *i, struct svc_task *t)
{
    DL_DELETE(i->tasks, t);
    i->running -= t->began_ms >= 0;
    free(t);
}

/* ---- they come ---- */

static uint64_t waiting(const struct svc_instance *i)
{
    const struct svc_task *t;
    uint64_t n = 0;

    DL_FOREACH(i->tasks, t)
    {
        n += t->began_ms < 0;
    }
    return n;
}

static struct svc_request *request_of(struct svc *w, struct td_str event)
{
    const uint8_t *p = (const uint8_t *)event.data;
    struct td_event read;
    uint32_t serial;

    if (!td_event_open(&read, &p, p + event.len) || read.data.len < 4)
        return NULL;
    memcpy(&serial, read.data.data, 4);
    return serial < w->requests_len ? w->requests[serial] : NULL;
}

static void take(struct svc_client *client, const struct td_handed *handed)
{
    struct svc *w = client->w;
    struct svc_instance *i = handed->service->owner;
    struct svc_task *t = sim_alloc(sizeof(*t));

    t->of = request_of(w, handed->event);
    t->number = handed->row.task;
    t->link = client->bus.client.link;
    t->came_ms = w->now_ms;
    t->began_ms = -1;
    t->deadline_ms = w->now_ms + (int64_t)handed->row.left_ms;
    t->len = handed->event.len;
    SVC_CHECK(w, t->of, "a request that nobody has made");
    SVC_CHECK(w, handed->row.left_ms > 0,
              "request %u comes with nothing left of its deadline",
              t->of ? t->of->serial : 0);
    if (w->failed) {
        free(t);
        return;
    }
    svc_say(w, "request %u has come to instance %u, %llu ms are left",
            t->of->serial, i->uid, (ull)handed->row.left_ms);
    DL_APPEND(i->tasks, t);
    if (waiting(i) > i->room) {
        svc_seen(w, SVC_SEEN_FULL_OWN);
        say(i, t, TIDINGS_EFULL, 0);
        drop(i, t);
    }
}

void svc_tasks_take(struct svc_client *client, struct td_deliveries *all)
{
    struct td_handed handed;
    tidings_err err;

    while (!(err = td_client_next_task(&client->bus.client, all, &handed)) &&
           handed.service)
        take(client, &handed);
    SVC_CHECK(client->w, !err, "a HANDLE breaks the protocol");
}

/* ---- they are handled ---- */

/* No handler begins when nobody waits any more, but for the time that links
 * and a broker that stood still took. */
static void check_in_time(struct svc_instance *i, const struct svc_task *t)
{
    struct svc *w = i->client->w;
    const struct svc_request *q = t->of;
    int64_t links_ms = 2 * w->config.delay_max_ms + w->config.turn_ms + 2;

    if (w->broker.paused_ms > q->made_ms || i->client->paused_ms > q->made_ms ||
        w->healing)
        return;
    SVC_CHECK(w, w->now_ms <= q->deadline_ms + links_ms,
              "instance %u begins with request %u, whose deadline has passed "
              "%lld ms ago",
              i->uid, q->serial, (long long)(w->now_ms - q->deadline_ms));
}

static void check_once(struct svc_instance *i, struct svc_request *q)
{
    struct svc *w = i->client->w;

    for (uint32_t n = 0; n < q->handlers_len; n++)
        SVC_CHECK(w, q->r.idempotent || q->handlers[n] != i->uid,
                  "instance %u handles request %u twice", i->uid, q->serial);
    if (q->handlers_len < SVC_GIVEN)
        q->handlers[q->handlers_len++] = i->uid;
    q->handled[i->service]++;
    SVC_CHECK(
        w,
        td_request_is_many(&q->r) ||
            q->handled[i->service] <= (q->r.idempotent ? q->r.attempts_max : 1),
        "request %u is handled %u times", q->serial, q->handled[i->service]);
}

static int64_t work_ms(struct svc_instance *i)
{
    struct svc *w = i->client->w;
    int64_t ms =
        1 + (int64_t)sim_below(&w->random, (uint64_t)w->config.work_ms);

    if (i->mood == SVC_HANGING)
        return 30000;
    return i->mood == SVC_SLOW ? 20 * ms : ms;
}

static void begin(struct svc_instance *i, struct svc_task *t)
{
    struct svc *w = i->client->w;

    if (t->link != i->client->bus.client.link) { /* nobody waits */
        drop(i, t);
        return;
    }
    if (t->deadline_ms <= w->now_ms) {
        svc_seen(w, SVC_SEEN_TIMEOUT_THERE);
        say(i, t, TIDINGS_ETIMEDOUT, 0);
        drop(i, t);
        return;
    }
    check_in_time(i, t);
    check_once(i, t->of);
    i->running++;
    t->began_ms = w->now_ms;
    t->done_ms = w->now_ms + work_ms(i);
}

static void end(struct svc_instance *i, struct svc_task *t)
{
    static const int statuses[] = {400, 404, 500, 503, 503};
    struct svc *w = i->client->w;
    bool fails =
        i->mood == SVC_FAILING || sim_chance(&w->random, w->config.fails);

    if (fails)
        say(i, t, TIDINGS_EREMOTE,
            i->mood == SVC_FAILING ? 500 : statuses[sim_below(&w->random, 5)]);
    else
        say(i, t, TIDINGS_OK, 0);
    w->result->delivered++;
    drop(i, t);
}

void svc_tasks_run(struct svc_instance *i)
{
    struct svc *w = i->client->w;
    struct svc_task *t;
    struct svc_task *next;

    DL_FOREACH_SAFE(i->tasks, t, next)
    {
        if (t->began_ms >= 0 && (t->done_ms <= w->now_ms || w->healing))
            end(i, t);
    }
    DL_FOREACH_SAFE(i->tasks, t, next)
    {
        if (t->began_ms < 0 && i->running < i->workers)
            begin(i, t);
    }
}

void svc_tasks_refuse(struct svc_instance *i)
{
    struct svc_task *t;
    struct svc_task *next;

    DL_FOREACH_SAFE(i->tasks, t, next)
    {
        if (t->began_ms >= 0)
            continue;
        svc_seen(i->client->w, SVC_SEEN_ENDED_THERE);
        say(i, t, TIDINGS_ELOST, 0);
        drop(i, t);
    }
}

void svc_tasks_drop(struct svc_instance *i)
{
    while (i->tasks)
        drop(i, i->tasks);
}

int64_t svc_tasks_next_ms(const struct svc_instance *i)
{
    const struct svc_task *t;
    int64_t next = SVC_NEVER;

    DL_FOREACH(i->tasks, t)
    {
        if (t->began_ms >= 0)
            next = svc_least(next, t->done_ms);
    }
    return next;
}
