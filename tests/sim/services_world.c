/* The world around the processes: who is next, and when it is over. */
#include "tests/sim/services_world.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define HEAL_MS       60000 /* from the last fault until all is at rest */
#define TURNS_AT_ONCE 5000  /* more than a process could do in no time */

const char *const svc_seen_texts[SVC_SEEN_END] = {
#define SVC_SEEN_TEXT(name, text) text,
    SVC_SEEN_MAP(SVC_SEEN_TEXT)
#undef SVC_SEEN_TEXT
};

/* ---- telling ---- */

void svc_seen(struct svc *w, enum svc_seen what)
{
    w->result->seen[what]++;
}

void svc_hash(struct svc *w, const void *data, size_t len)
{
    sim_tell_hash(w->result, w->now_ms, data, len);
}

void svc_say(struct svc *w, const char *format, ...)
{
    va_list args;

    if (!w->verbose)
        return;
    va_start(args, format);
    sim_tell_line(w->now_ms, format, args);
    va_end(args);
}

void svc_fail(struct svc *w, const char *where, int line, const char *format,
              ...)
{
    va_list args;

    if (w->failed)
        return; /* the first one counts */
    w->failed = true;
    va_start(args, format);
    sim_tell_failure(w->result, w->now_ms, where, line, format, args);
    va_end(args);
    svc_say(w, "FAILED %s", w->result->failure);
}

/* ---- time ---- */

static int64_t next_ms(struct svc *w)
{
    int64_t next = svc_least(svc_broker_next_ms(w), w->fault_ms);

    for (uint32_t i = 0; i < w->clients_len; i++)
        next = svc_least(next, svc_client_next_ms(&w->clients[i]));
    return next;
}

/* Everybody who is due has one turn; who comes first is chance. */
static void turn(struct svc *w)
{
    uint32_t n = w->clients_len + 1;
    uint32_t first = (uint32_t)sim_below(&w->random, n);

    if (w->fault_ms <= w->now_ms)
        svc_fault(w);
    for (uint32_t i = 0; i < n && !w->failed; i++) {
        uint32_t who = (first + i) % n;

        if (who == w->clients_len) {
            if (svc_broker_next_ms(w) <= w->now_ms)
                svc_broker_turn(w);
        } else if (svc_client_next_ms(&w->clients[who]) <= w->now_ms) {
            svc_client_run(&w->clients[who]);
        }
    }
    svc_links_sweep(w);
}

static void run_until(struct svc *w, int64_t end_ms,
                      const char *(*waits)(struct svc *w))
{
    unsigned turns = 0;

    while (!w->failed && (!waits || waits(w))) {
        int64_t next = next_ms(w);

        if (next > end_ms) {
            w->now_ms = end_ms;
            break;
        }
        turns = next > w->now_ms ? 0 : turns + 1;
        SVC_CHECK(w, turns < TURNS_AT_ONCE, "time does not go on");
        if (next > w->now_ms)
            w->now_ms = next;
        turn(w);
    }
}

/* ---- the end ---- */

static void heal(struct svc *w)
{
    struct svc_link *link;

    svc_say(w, "faults are over");
    w->healing = true;
    w->fault_ms = SVC_NEVER;
    w->config.delay_max_ms = 1;
    w->config.turn_ms = 0;
    if (w->broker.paused_until_ms)
        w->broker.paused_until_ms = w->now_ms;
    DL_FOREACH(w->links, link)
    {
        if (link->up.hole && link->client && link->tell_client_ms == SVC_NEVER)
            link->tell_client_ms = w->now_ms;
    }
    for (uint32_t i = 0; i < w->clients_len; i++) {
        struct svc_client *client = &w->clients[i];

        if (client->paused_until_ms)
            client->paused_until_ms = w->now_ms;
        if (!client->up)
            client->restart_ms = w->now_ms;
        client->act_ms = client->wake_ms = w->now_ms;
    }
}

/* What is not at rest yet; NULL: everything is. */
static const char *waits(struct svc *w)
{
    const struct td_engine *e = w->broker.engine;
    const char *what = NULL;

    if (!e)
        return "a broker";
    for (uint32_t i = 0; i < w->clients_len && !what; i++)
        what = svc_client_waits(&w->clients[i]);
    if (!what && e->serving.askings.len > 0)
        what = "requests at the broker";
    if (!what && HASH_COUNT(e->sessions) > w->clients_len)
        what = "sessions to end";
    for (uint32_t i = 0; i < w->clients_len && !what; i++) {
        const struct svc_link *link = w->clients[i].link;

        if (link->hurt)
            what = "a link to be lost";
        else if (link->up.head || link->down.head)
            what = "messages on their way";
    }
    return what;
}

static void finish(struct svc *w)
{
    const char *what = waits(w);

    SVC_CHECK(w, !what, "%d ms after the last fault something waits for %s",
              HEAL_MS, what ? what : "");
    if (!w->failed)
        svc_check_final(w);
}

static void free_all(struct svc *w)
{
    for (uint32_t i = 0; i < w->clients_len; i++)
        svc_client_end(&w->clients[i], false);
    td_engine_free(w->broker.engine);
    svc_links_free(w);
    for (uint32_t i = 0; i < w->requests_len; i++) {
        free(w->requests[i]->r.owned);
        free(w->requests[i]);
    }
    free(w->requests);
    free(w->known);
    td_buf_fini(&w->question.options);
    free(w);
}

void svc_run(struct sim_result *out, uint64_t seed, bool verbose)
{
    struct svc *w = sim_alloc(sizeof(*w));

    memset(out, 0, sizeof(*out));
    w->result = out;
    w->verbose = verbose;
    w->random.state = seed * 0x2545f4914f6cdd1du + 1;
    out->hash = 0xcbf29ce484222325u;
    w->broker.epoch = 1000 * seed;
    w->broker.paused_ms = -1;
    svc_choose(w);
    w->fault_ms = w->config.every_ms ? w->config.every_ms : SVC_NEVER;
    svc_broker_start(w);
    run_until(w, w->config.faulty_ms, NULL);
    if (!w->failed)
        heal(w);
    run_until(w, w->now_ms + HEAL_MS, waits);
    finish(w);
    out->virtual_ms = w->now_ms;
    free_all(w);
}
