/* The world around the processes: who is next, and when it is over. */
#include "tests/sim/durable_world.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define HEAL_MS       300000 /* from the last fault until all is at rest */
#define SWEEP_MS      130000 /* until old tombstones are gone: two waits */
#define TURNS_AT_ONCE 20000  /* more than a process could do in no time */

const char *const dur_seen_texts[DUR_SEEN_END] = {
#define DUR_SEEN_TEXT(name, text) text,
    DUR_SEEN_MAP(DUR_SEEN_TEXT)
#undef DUR_SEEN_TEXT
};

/* ---- telling ---- */

void dur_seen(struct dur *d, enum dur_seen what)
{
    d->result->seen[what]++;
}

void dur_hash(struct dur *d, const void *data, size_t len)
{
    sim_tell_hash(d->result, d->now_ms, data, len);
}

void dur_say(struct dur *d, const char *format, ...)
{
    va_list args;

    if (!d->verbose)
        return;
    va_start(args, format);
    sim_tell_line(d->now_ms, format, args);
    va_end(args);
}

void dur_fail(struct dur *d, const char *where, int line, const char *format,
              ...)
{
    va_list args;

    if (d->failed)
        return; /* the first one counts */
    d->failed = true;
    va_start(args, format);
    sim_tell_failure(d->result, d->now_ms, where, line, format, args);
    va_end(args);
    dur_say(d, "FAILED %s", d->result->failure);
}

/* ---- time ---- */

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t next_ms(struct dur *d)
{
    int64_t next = least(dur_broker_next_ms(d), d->fault_ms);

    for (uint32_t i = 0; i < d->clients_len; i++)
        next = least(next, dur_client_next_ms(&d->clients[i]));
    return next;
}

/* Everybody who is due has one turn; who comes first is chance. */
static void turn(struct dur *d)
{
    uint32_t n = d->clients_len + 1;
    uint32_t first = (uint32_t)sim_below(&d->random, n);

    if (d->fault_ms <= d->now_ms)
        dur_fault(d);
    for (uint32_t i = 0; i < n && !d->failed; i++) {
        uint32_t who = (first + i) % n;

        if (who == d->clients_len) {
            if (dur_broker_next_ms(d) <= d->now_ms)
                dur_broker_turn(d);
        } else if (dur_client_next_ms(&d->clients[who]) <= d->now_ms) {
            dur_client_run(&d->clients[who]);
        }
    }
    dur_links_sweep(d);
}

static void run_until(struct dur *d, int64_t end_ms,
                      const char *(*waits)(struct dur *d))
{
    unsigned turns = 0;

    while (!d->failed && (!waits || waits(d))) {
        int64_t next = next_ms(d);

        if (next > end_ms) {
            d->now_ms = end_ms;
            break;
        }
        turns = next > d->now_ms ? 0 : turns + 1;
        DUR_CHECK(d, turns < TURNS_AT_ONCE, "time does not go on");
        if (next > d->now_ms)
            d->now_ms = next;
        turn(d);
    }
}

/* ---- the end ---- */

static void heal(struct dur *d)
{
    struct dur_link *link;

    dur_say(d, "faults are over");
    d->healing = true;
    d->fault_ms = DUR_NEVER;
    d->config.delay_max_ms = 1;
    d->config.turn_ms = d->config.store_ms = 0;
    d->broker.slow_until_ms = 0;
    dur_store_heal(d);
    if (d->broker.broken)
        dur_broker_end(d, DUR_STOP);
    if (d->broker.store_ms != DUR_NEVER)
        d->broker.store_ms = d->now_ms;
    DL_FOREACH(d->links, link)
    {
        if (link->up.hole && link->client && link->tell_client_ms == DUR_NEVER)
            link->tell_client_ms = d->now_ms;
    }
    for (uint32_t i = 0; i < d->clients_len; i++) {
        if (!d->clients[i].up)
            d->clients[i].restart_ms = d->now_ms;
        d->clients[i].act_ms = d->now_ms;
    }
}

static const char *waits_to_begin(struct dur *d)
{
    return d->ready ? NULL : "streams and groups";
}

/* What is not at rest yet; NULL: everything is. */
static const char *waits(struct dur *d)
{
    const char *what = NULL;

    if (!d->broker.engine || !d->broker.loaded)
        return "a broker";
    for (uint32_t i = 0; i < d->clients_len && !what; i++)
        what = dur_client_waits(&d->clients[i]);
    for (uint32_t i = 0; i < d->groups_len && !what; i++)
        what = dur_group_waits(d, &d->groups[i]);
    if (!what && d->waiting_len > 0)
        what = "events that wait for their time";
    if (!what && !td_engine_is_written(d->broker.engine))
        what = "the store";
    return what;
}

static void sweep(struct dur *d)
{
    run_until(d, d->now_ms + SWEEP_MS, NULL);
    d->swept = true;
}

static void finish(struct dur *d)
{
    const char *what = waits(d);

    DUR_CHECK(d, !what, "%d ms after the last fault something waits for %s",
              HEAL_MS, what ? what : "");
    if (d->failed)
        return;
    dur_book_read(d);
    dur_marks_read(d);
    dur_book_final(d);
    dur_marks_final(d);
}

static void free_all(struct dur *d)
{
    for (uint32_t i = 0; i < d->clients_len; i++)
        dur_client_end(&d->clients[i], false);
    td_engine_free(d->broker.engine);
    td_model_free(d->model);
    dur_links_free(d);
    dur_operator_free(d);
    for (uint32_t i = 0; i < d->producers_len; i++)
        free(d->producers[i].log);
    for (uint32_t i = 0; i < d->streams_len; i++)
        free(d->streams[i].at);
    for (uint32_t i = 0; i < d->groups_len; i++)
        free(d->groups[i].marks);
    for (uint32_t i = 0; i < d->names_len; i++)
        free(d->names[i].stored);
    free(d->tags);
    free(d->events);
    free(d->numbered);
    free(d->waiting);
    free(d->waited);
    free(d->letters);
    td_buf_fini(&d->attrs);
    free(d);
}

void dur_run(struct sim_result *out, uint64_t seed, bool verbose)
{
    struct dur *d = sim_alloc(sizeof(*d));

    memset(out, 0, sizeof(*out));
    d->result = out;
    d->verbose = verbose;
    d->random.state = seed * 0x2545f4914f6cdd1du + 1;
    d->fault_ms = d->broker.restart_ms = d->broker.roomy_ms = DUR_NEVER;
    d->broker.store_ms = d->broker.well_ms = DUR_NEVER;
    d->model = td_model_new();
    if (!d->model)
        abort();
    dur_choose(d);
    dur_operator_prepare(d);
    dur_broker_start(d);
    run_until(d, 60000, waits_to_begin);
    DUR_CHECK(d, d->ready, "streams and groups cannot be declared");
    run_until(d, d->now_ms + d->config.faulty_ms, NULL);
    if (!d->failed)
        heal(d);
    run_until(d, d->now_ms + HEAL_MS, waits);
    if (d->streams[1].compact && d->config.empties > 0)
        sweep(d);
    finish(d);
    out->virtual_ms = d->now_ms;
    free_all(d);
}
