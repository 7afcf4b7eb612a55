/* The engine's own accounts, after each of its turns and in the end. */
#include "tests/sim/services_world.h"

#include <string.h>

/* ---- the ledger ---- */

static void check_ledger(struct svc *w)
{
    const struct td_serving *sv = &w->broker.engine->serving;
    const struct td_request_counts *n = &sv->count;
    const struct td_session *s;
    uint64_t tasks = 0;

    SVC_CHECK(w,
              n->accepted == n->answered + n->errors + n->timeouts + n->lost +
                                 n->in_flight,
              "accepted %llu, answered %llu, errors %llu, timeouts %llu, lost "
              "%llu, in flight %llu",
              (ull)n->accepted, (ull)n->answered, (ull)n->errors,
              (ull)n->timeouts, (ull)n->lost, (ull)n->in_flight);
    DL_FOREACH2(sv->sessions, s, serving.next)
    {
        tasks += s->serving.tasks;
    }
    SVC_CHECK(w, tasks == sv->tasks.len, "%llu tasks of sessions, %u in all",
              (ull)tasks, sv->tasks.len);
    SVC_CHECK(w, sv->heap_len == sv->askings.len, "%u deadlines of %u requests",
              sv->heap_len, sv->askings.len);
    SVC_CHECK(w, n->in_flight <= sv->askings.len,
              "%llu in flight of %u requests", (ull)n->in_flight,
              sv->askings.len);
    if (n->late > 0)
        svc_seen(w, SVC_SEEN_LATE);
    if (w->broker.engine->counters.silent > 0)
        svc_seen(w, SVC_SEEN_SILENCE);
}

/* ---- breakers ---- */

static void look_at_breaker(struct svc *w, struct svc_known *k,
                            const struct td_instance *is)
{
    enum td_breaker_state was = k->breaker;

    k->breaker = is->breaker.state;
    SVC_CHECK(w,
              is->breaker.state != TD_BREAKER_HALF_OPEN ||
                  is->breaker.probing <= is->limits.probes,
              "%u probes of instance %u", is->breaker.probing, k->uid);
    if (was == k->breaker)
        return;
    svc_say(w, "breaker of instance %u is %s", k->uid,
            td_breaker_state_name(k->breaker));
    if (was == TD_BREAKER_HALF_OPEN)
        svc_seen(w, k->breaker == TD_BREAKER_OPEN ? SVC_SEEN_OPENED_AGAIN
                                                  : SVC_SEEN_CLOSED);
    else
        svc_seen(w, k->breaker == TD_BREAKER_OPEN ? SVC_SEEN_OPENED
                                                  : SVC_SEEN_HALF_OPEN);
}

/* ---- the registry ---- */

/* It is down when it has said nothing for too long, and not before. */
static void check_silence(struct svc *w, struct svc_known *k,
                          const struct td_instance *is)
{
    bool down = is->state == TD_HEALTH_DOWN && k->state != TD_HEALTH_DOWN;
    int64_t most_ms = TD_HEALTH_MISSED * (int64_t)is->health_ms;
    int64_t said_ms = k->said_ms;

    SVC_CHECK(w, !down || (most_ms > 0 && w->now_ms - said_ms >= most_ms),
              "instance %u is down, and was heard of %lld ms ago", k->uid,
              (long long)(w->now_ms - said_ms));
    if (down && !k->silent)
        svc_seen(w, SVC_SEEN_SILENT);
    k->silent = down;
    if (said_ms < w->broker.paused_ms)
        said_ms = w->broker.paused_ms;
    SVC_CHECK(w,
              down || most_ms == 0 || k->state == TD_HEALTH_DOWN ||
                  w->now_ms - said_ms <= most_ms + w->config.turn_ms + 1,
              "instance %u is up, and was heard of %lld ms ago", k->uid,
              (long long)(w->now_ms - said_ms));
}

static void check_known(struct svc *w, struct svc_known *k)
{
    const struct td_instance *is =
        td_instance_find(w->broker.engine, td_str_of(k->id));

    SVC_CHECK(w, is, "instance %u should be there", k->uid);
    if (!is)
        return;
    SVC_CHECK(w, is->draining == k->draining, "instance %u %s", k->uid,
              is->draining ? "drains" : "does not drain");
    check_silence(w, k, is);
    SVC_CHECK(w, k->silent || is->state == k->state,
              "instance %u is in state %d, not %d", k->uid, (int)is->state,
              (int)k->state);
    look_at_breaker(w, k, is);
}

/* A link whose process is gone is found out: by a PING each 250 ms where there
 * are requests, each second elsewhere. */
static void check_shut(struct svc *w, const struct svc_known *k)
{
    const struct svc_link *link = svc_known_link(w, k);
    int64_t since_ms = link ? link->shut_ms : SVC_NEVER;
    const struct td_session *s = svc_broker_session(w, link);
    int64_t most_ms = 2 * TD_PROBE_MS;

    if (since_ms == SVC_NEVER || !s)
        return;
    if (since_ms < w->broker.paused_ms)
        since_ms = w->broker.paused_ms;
    if (s->serving.tasks > 0 && s->serving.instances->tasks &&
        s->serving.instances->tasks->begun_ms <= since_ms)
        most_ms = 2 * TD_ASK_MS;
    SVC_CHECK(w, w->now_ms - since_ms <= most_ms + 2 * w->config.turn_ms + 1,
              "instance %u is there, and its process is gone for %lld ms",
              k->uid, (long long)(w->now_ms - since_ms));
}

void svc_check(struct svc *w)
{
    uint32_t there = 0;

    check_ledger(w);
    for (uint32_t i = 0; i < w->known_len && !w->failed; i++) {
        struct svc_known *k = &w->known[i];

        if (!k->there)
            continue;
        there++;
        check_known(w, k);
        check_shut(w, k);
    }
    SVC_CHECK(w, there == HASH_COUNT(w->broker.engine->serving.instances),
              "%u instances are registered, and should be %u",
              HASH_COUNT(w->broker.engine->serving.instances), there);
}

/* ---- in the end ---- */

static void check_engine(struct svc *w)
{
    const struct td_engine *e = w->broker.engine;
    const struct td_serving *sv = &e->serving;
    const struct td_session *s;

    SVC_CHECK(w, sv->count.in_flight == 0, "%llu requests are in flight",
              (ull)sv->count.in_flight);
    SVC_CHECK(w, sv->tasks.len == 0 && sv->askings.len == 0,
              "%u tasks and %u requests are left", sv->tasks.len,
              sv->askings.len);
    SVC_CHECK(w, sv->bundling.bytes == 0, "%zu bytes wait for nobody",
              sv->bundling.bytes);
    for (s = e->sessions; s; s = s->hh.next)
        SVC_CHECK(w, s->serving.askings_len == 0 && s->bundles.bytes == 0,
                  "session %llu has %u requests and %zu bytes left",
                  (ull)s->number, s->serving.askings_len, s->bundles.bytes);
}

static void check_client(struct svc *w, const struct svc_client *client)
{
    const struct td_requests *q = &client->bus.client.requests;
    const struct tidings_request_info *info = &q->info;

    SVC_CHECK(
        w,
        info->requests == info->answered + info->errors + info->refused +
                              info->timeouts + info->lost + info->withdrawn +
                              info->in_flight,
        "client %u has made %llu requests, and they are not accounted for",
        client->index, (ull)info->requests);
    SVC_CHECK(w,
              q->info.in_flight == 0 && q->sent == 0 && !q->unsent &&
                  q->unsent_rows == 0 && q->unsent_bytes == 0 && q->held == 0,
              "client %u has %llu requests left, %u sent, %u not, %zu bytes",
              client->index, (ull)q->info.in_flight, q->sent, q->unsent_rows,
              q->held);
    for (uint32_t n = 0; n < TD_WHEEL_SLOTS; n++)
        SVC_CHECK(w, !q->wheel.slots[n], "client %u has a timer left",
                  client->index);
    if (q->info.retries_cut > 0)
        svc_seen(w, SVC_SEEN_AGAIN_CUT);
    for (uint32_t n = 0; n < SVC_INSTANCES; n++) {
        const struct svc_instance *i = &client->instances[n];
        const struct svc_known *k = i->cs ? svc_known_find(w, i->cs->id) : NULL;

        SVC_CHECK(w, !i->cs || (k && k->there && k->uid == i->uid),
                  "instance %u is not registered", i->uid);
        SVC_CHECK(w, !k || k->state == i->cs->health,
                  "instance %u is in state %d, and the broker was told %d",
                  i->uid, i->cs ? (int)i->cs->health : 0,
                  k ? (int)k->state : 0);
        SVC_CHECK(w, !k || k->draining == i->draining,
                  "instance %u was not told to %s", i->uid,
                  k && k->draining ? "drain" : "drain no more");
    }
}

void svc_check_final(struct svc *w)
{
    check_engine(w);
    for (uint32_t i = 0; i < w->clients_len; i++)
        check_client(w, &w->clients[i]);
    for (uint32_t i = 0; i < w->requests_len; i++)
        SVC_CHECK(w, w->requests[i]->over, "request %u never ends", i);
}
