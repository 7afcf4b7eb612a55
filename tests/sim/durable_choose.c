/* What a seed makes of the world, and what goes wrong in it. */
#include "tests/sim/durable_world.h"

#include <stdio.h>

static unsigned maybe(struct sim_random *r, unsigned per_mille, unsigned value)
{
    return sim_chance(r, per_mille) ? value : 0;
}

static void choose_streams(struct dur *d)
{
    static const char *const names[DUR_STREAMS] = {"events", "sa", "sb"};
    struct sim_random *r = &d->random;

    d->streams_len = 1 + (uint32_t)sim_below(r, DUR_STREAMS);
    for (uint32_t i = 0; i < d->streams_len; i++) {
        struct dur_stream *s = &d->streams[i];

        snprintf(s->name, sizeof(s->name), "%s", names[i]);
        if (i == 1 && sim_chance(r, 350))
            s->max_events = (uint64_t)sim_between(r, 10, 200);
        s->keyed = !s->max_events && i == 1 && sim_chance(r, 500);
        s->compact = s->keyed && sim_chance(r, 600);
        s->tombstone_ms =
            s->compact ? sim_between(r, 100, 5000) : TD_TOMBSTONE_MS;
        s->memory = i == 2 && sim_chance(r, 500);
    }
}

static void choose_group(struct dur *d, uint32_t index)
{
    struct sim_random *r = &d->random;
    struct dur_group *g = &d->groups[index];
    static const char *const patterns[DUR_STREAMS] = {"*.x", "a.x", "b.y"};

    snprintf(g->name, sizeof(g->name), "g%u", index);
    g->stream = (uint32_t)sim_below(r, d->streams_len);
    g->pattern = sim_chance(r, 700) ? ">" : patterns[g->stream];
    g->share =
        sim_chance(r, 400) ? TD_BY_KEY : (enum td_share)sim_below(r, TD_SHARES);
    if (d->streams[g->stream].memory) {
        g->max_in_flight = TD_IN_FLIGHT;
        g->ack_wait_ms = TD_ACK_WAIT_MS;
        g->max_deliver = TD_MAX_DELIVER;
        g->backoff_ms = TD_BACKOFF_MS;
        return;
    }
    g->max_in_flight =
        sim_chance(r, 500) ? (uint32_t)sim_between(r, 1, 60) : TD_IN_FLIGHT;
    g->ack_wait_ms = (uint32_t)sim_between(r, 200, 6000);
    g->max_deliver = (uint32_t)sim_between(r, 1, 6);
    g->backoff_ms = (uint32_t)sim_between(r, 1, 500);
}

/* A store that fails again and again, in its own way. */
static void choose_store(struct dur *d)
{
    static const tidings_err errs[3] = {TIDINGS_EFULL, TIDINGS_ENOMEM,
                                        TIDINGS_ELIMIT};
    struct sim_random *r = &d->random;
    struct dur_config *cf = &d->config;

    cf->commit_err = errs[sim_below(r, 3)];
    cf->read_err = sim_chance(r, 700) ? TIDINGS_EIO : TIDINGS_ENOMEM;
    cf->commit_every = maybe(r, 150, (unsigned)sim_between(r, 2, 20));
    cf->read_every = maybe(r, 150, (unsigned)sim_between(r, 2, 20));
    cf->load_fails = maybe(r, 200, (unsigned)sim_between(r, 100, 600));
    cf->ailing = maybe(r, 200, 2);
}

static void choose_faults(struct dur *d)
{
    struct sim_random *r = &d->random;
    struct dur_config *cf = &d->config;

    cf->faulty_ms = sim_between(r, 3000, 25000);
    cf->fault_every_ms = sim_between(r, 150, 3000);
    cf->kill = maybe(r, 600, 3);
    cf->power = maybe(r, 250, 2);
    cf->stop = maybe(r, 300, 1);
    cf->link = maybe(r, 700, 6);
    cf->silent = maybe(r, 300, 2);
    cf->client = maybe(r, 400, 1);
    cf->slow = maybe(r, 500, 3);
    cf->broken = maybe(r, 250, 1);
    cf->disk_full = maybe(r, 250, 2);
    cf->read_fails = maybe(r, 300, 3);
    if (d->streams_len > 2 &&
        d->streams[2].memory) /* it goes with its broker */
        cf->kill = cf->power = cf->stop = cf->broken = 0;
    cf->commit_fails = maybe(r, 350, (unsigned)sim_between(r, 1, 60));
    choose_store(d);
}

static void choose_work(struct dur *d)
{
    struct sim_random *r = &d->random;
    struct dur_config *cf = &d->config;

    cf->naks = maybe(r, 700, (unsigned)sim_between(r, 1, 250));
    cf->releases = maybe(r, 500, (unsigned)sim_between(r, 1, 100));
    cf->terms = maybe(r, 500, (unsigned)sim_between(r, 1, 40));
    cf->progresses = maybe(r, 300, (unsigned)sim_between(r, 1, 150));
    cf->parks = maybe(r, 400, (unsigned)sim_between(r, 1, 60));
    cf->lates = maybe(r, 500, (unsigned)sim_between(r, 1, 80));
    cf->handler_ms = sim_chance(r, 300) ? 0 : sim_between(r, 1, 400);
    cf->polite = sim_chance(r, 600);
    cf->window = (uint64_t)(sim_chance(r, 500) ? sim_between(r, 1, 20) : 1000);
    cf->churn = (unsigned)sim_between(r, 20, 300);
    cf->pulls = maybe(r, 600, (unsigned)sim_between(r, 100, 1000));
    cf->fetches = (unsigned)sim_between(r, 10, 600);
    cf->expiries = maybe(r, 400, (unsigned)sim_between(r, 10, 500));
    if (d->streams[1].keyed)
        cf->empties = maybe(r, 700, (unsigned)sim_between(r, 10, 300));
    if (d->streams[1].compact)
        cf->compact = (unsigned)sim_between(r, 700, 950);
    cf->laters = maybe(r, 500, (unsigned)sim_between(r, 20, 700));
}

void dur_choose(struct dur *d)
{
    struct sim_random *r = &d->random;
    struct dur_config *cf = &d->config;

    choose_streams(d);
    d->groups_len = 1 + (uint32_t)sim_below(r, DUR_GROUPS);
    for (uint32_t i = 0; i < d->groups_len; i++)
        choose_group(d, i);
    choose_faults(d);
    choose_work(d);
    cf->delay_max_ms = sim_between(r, 0, 40);
    cf->turn_ms = sim_between(r, 0, 5);
    cf->store_ms = sim_between(r, 0, 40);
    cf->group_max = (uint32_t)sim_between(r, 1, 12);
    cf->act_ms = sim_between(r, 20, d->streams[1].compact ? 100 : 400);
    cf->burst_max =
        (uint32_t)sim_between(r, d->streams[1].compact ? 10 : 1, 20);
    cf->keyed = maybe(r, 700, (unsigned)sim_between(r, 300, 1000));
    cf->ids = maybe(r, 400, (unsigned)sim_between(r, 10, 400));
    for (int i = 0; i < 4; i++)
        cf->levels[i] = (unsigned)sim_below(r, 4);
    cf->levels[3]++;
    d->names_len =
        sim_chance(r, 500) ? 1 + (uint32_t)sim_below(r, DUR_NAMES) : 0;
    for (uint32_t i = 0; i < d->names_len; i++)
        snprintf(d->names[i].text, sizeof(d->names[i].text), "p-%u", i);
    d->clients_len = 2 + (uint32_t)sim_below(r, DUR_CLIENTS - 1);
    for (uint32_t i = 0; i < d->clients_len; i++) {
        struct dur_client *client = &d->clients[i];

        client->d = d;
        client->index = i;
        client->publishes = i == 1 || sim_chance(r, 500);
        if (d->names_len > 0 && sim_chance(r, 600))
            client->named = &d->names[sim_below(r, d->names_len)];
        snprintf(client->name, sizeof(client->name), "c%u", i);
        client->restart_ms = sim_between(r, 0, 200);
    }
}

/* ---- faults ---- */

static struct dur_client *some_client(struct dur *d)
{
    return &d->clients[sim_below(&d->random, d->clients_len)];
}

static void lose_link(struct dur *d, bool silent)
{
    struct dur_client *client = some_client(d);

    if (!client->up || !client->link)
        return;
    dur_say(d, "link of client %u is lost%s", client->index,
            silent ? " and nobody is told" : "");
    dur_link_lose(d, client->link, silent);
}

static void end_client(struct dur *d)
{
    struct dur_client *client = some_client(d);

    if (!client->up || d->producers_len >= DUR_LIVES - DUR_CLIENTS)
        return;
    dur_client_end(client, sim_chance(&d->random, 400));
    client->restart_ms = d->now_ms + sim_between(&d->random, 1, 6000);
}

static void slow_store(struct dur *d)
{
    struct dur_broker *b = &d->broker;

    b->slow_until_ms = d->now_ms + sim_between(&d->random, 100, 4000);
    if (b->store_ms != DUR_NEVER && b->store_ms < b->slow_until_ms)
        b->store_ms = b->slow_until_ms;
    dur_say(d, "the store is slow until %lld", (long long)b->slow_until_ms);
}

static void fill_disk(struct dur *d)
{
    struct dur_broker *b = &d->broker;
    struct td_store_info info;

    if (!b->store || b->roomy_ms != DUR_NEVER)
        return;
    b->store->face->info(b->store, &info);
    td_model_limit(d->model, info.used_bytes + 1 + sim_below(&d->random, 30000),
                   sim_chance(&d->random, 700) ? 40000 : 0);
    b->roomy_ms = d->now_ms + sim_between(&d->random, 100, 4000);
    dur_say(d, "the disk is about to be full");
}

static void break_store(struct dur *d)
{
    if (!d->broker.loaded)
        return;
    td_model_fail(d->model, 1 + (uint32_t)sim_below(&d->random, 5),
                  TIDINGS_EIO);
    dur_say(d, "the store is about to fail for good");
}

static void fail_read(struct dur *d)
{
    if (!d->broker.loaded)
        return;
    td_model_fail_read(d->model, 1, TIDINGS_EIO);
    dur_seen(d, DUR_SEEN_READ_FAILED);
}

static void happen(struct dur *d)
{
    const struct dur_config *cf = &d->config;
    const unsigned weights[] = {cf->kill,       cf->power,     cf->stop,
                                cf->link,       cf->silent,    cf->client,
                                cf->slow,       cf->disk_full, cf->broken,
                                cf->read_fails, cf->ailing,    1};
    uint64_t sum = 0;
    uint64_t n;
    unsigned what = 0;

    for (unsigned i = 0; i < sizeof(weights) / sizeof(weights[0]); i++)
        sum += weights[i];
    for (n = sim_below(&d->random, sum); n >= weights[what]; what++)
        n -= weights[what];
    switch (what) {
    case 0:
    case 1:
    case 2:
        dur_broker_end(d, (enum dur_end)what);
        break;
    case 3:
    case 4:
        lose_link(d, what == 4);
        break;
    case 5:
        end_client(d);
        break;
    case 6:
        slow_store(d);
        break;
    case 7:
        fill_disk(d);
        break;
    case 8:
        break_store(d);
        break;
    case 9:
        fail_read(d);
        break;
    case 10:
        dur_store_ail(d);
        break;
    default:
        break; /* nothing, for once */
    }
}

void dur_fault(struct dur *d)
{
    d->fault_ms = d->now_ms + 1 +
                  sim_between(&d->random, 0, 2 * d->config.fault_every_ms);
    if (d->broker.broken && sim_chance(&d->random, 500))
        dur_broker_end(d, sim_chance(&d->random, 500) ? DUR_STOP : DUR_KILL);
    else
        happen(d);
}
