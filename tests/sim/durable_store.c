/* The broker's store: when it answers, and when it fails. */
#include "tests/sim/durable_world.h"

#include "broker/store/model_inside.h"

/* ---- what fails ---- */

/* The model of it counts down to the next failure, and is wound up again; while
 * nothing succeeds at all, it stays where it is. */
static void fail_some(struct dur *d)
{
    const struct dur_config *cf = &d->config;
    struct sim_random *r = &d->random;

    if (d->healing || !d->ready || !d->broker.loaded ||
        d->broker.well_ms != DUR_NEVER)
        return;
    if (cf->read_every && d->model->reads.at == 0) {
        td_model_fail_read(d->model, cf->read_every, cf->read_err);
        dur_seen(d, DUR_SEEN_READ_EACH);
    }
    if (cf->commit_every && d->model->commits.at == 0) {
        td_model_fail(d->model, cf->commit_every, cf->commit_err);
        dur_seen(d, DUR_SEEN_COMMIT_EACH);
    } else if (sim_chance(r, cf->commit_fails)) {
        td_model_fail(d->model, 1,
                      sim_chance(r, 900) ? TIDINGS_EFULL : TIDINGS_ENOMEM);
    }
}

void dur_store_ail(struct dur *d)
{
    struct dur_broker *b = &d->broker;
    struct sim_random *r = &d->random;
    bool reads = sim_chance(r, 500);

    if (!b->loaded || b->well_ms != DUR_NEVER)
        return;
    if (reads)
        td_model_fail_read(d->model, 1, d->config.read_err);
    else
        td_model_fail(d->model, 1, d->config.commit_err);
    td_model_fail_on(d->model);
    b->well_ms = d->now_ms + sim_between(r, 50, 4000);
    dur_seen(d, reads ? DUR_SEEN_READ_NONE : DUR_SEEN_COMMIT_NONE);
    dur_say(d, "no %s succeeds any more", reads ? "read" : "commit");
}

static void be_well(struct dur *d)
{
    td_model_fail(d->model, 0, TIDINGS_OK);
    td_model_fail_read(d->model, 0, TIDINGS_OK);
    d->broker.well_ms = DUR_NEVER;
}

static void be_roomy(struct dur *d)
{
    td_model_limit(d->model, 0, 0);
    d->broker.roomy_ms = DUR_NEVER;
}

static void recover(struct dur *d)
{
    if (d->broker.roomy_ms <= d->now_ms) {
        be_roomy(d);
        dur_say(d, "the disk has room");
    }
    if (d->broker.well_ms <= d->now_ms) {
        be_well(d);
        dur_say(d, "the store is well again");
    }
}

void dur_store_heal(struct dur *d)
{
    be_well(d);
    be_roomy(d);
}

void dur_store_opened(struct dur *d)
{
    struct sim_random *r = &d->random;

    d->broker.failures = td_model_failures(d->model);
    if (!d->healing && d->ready && sim_chance(r, d->config.load_fails))
        td_model_fail_read(d->model, 1 + (uint32_t)sim_below(r, 8),
                           d->config.read_err);
}

bool dur_store_did_fail(const struct dur *d)
{
    return td_model_failures(d->model) > d->broker.failures;
}

void dur_store_closed(struct dur *d)
{
    be_well(d);
}

/* ---- turns ---- */

static void look_for_failure(struct dur *d, uint64_t flown)
{
    struct dur_broker *b = &d->broker;
    const struct td_opened *o = d->model->open;

    if (!o->episode.err || o->episode.taken)
        return;
    d->failures++;
    dur_say(d, "a commit fails: %s, %llu in flight",
            tidings_err_name(o->episode.err), (ull)flown);
    if (o->failed && !b->broken) {
        b->broken = true;
        dur_seen(d, DUR_SEEN_COMMIT_IO);
        b->slow_until_ms = 0;
    } else if (!o->failed) {
        dur_seen(d, DUR_SEEN_COMMIT_FULL);
        if (flown > 1)
            dur_seen(d, DUR_SEEN_COMMIT_FULL_MANY);
    }
}

void dur_store_turn(struct dur *d)
{
    struct dur_broker *b = &d->broker;
    struct sim_random *r = &d->random;
    uint32_t waits = td_model_writes(d->model);

    recover(d);
    if (b->store_ms > d->now_ms)
        return;
    fail_some(d);
    b->answered = waits + td_model_reads(d->model) > 0;
    b->store_ms = DUR_NEVER;
    td_model_serve(d->model, 1 + (uint32_t)sim_below(r, 4));
    if (waits > 0) {
        td_model_commit(d->model,
                        1 + (uint32_t)sim_below(r, d->config.group_max));
        look_for_failure(d, waits);
        dur_book_read(d);
    }
    b->wake_ms = d->now_ms;
}

void dur_store_schedule(struct dur *d)
{
    struct dur_broker *b = &d->broker;

    if (b->store_ms != DUR_NEVER || !b->engine)
        return;
    if (td_model_writes(d->model) + td_model_reads(d->model) == 0)
        return;
    b->store_ms = d->now_ms + sim_between(&d->random, 0,
                                          b->loaded ? d->config.store_ms : 1);
    if (b->store_ms < b->slow_until_ms) {
        b->store_ms = b->slow_until_ms;
        dur_seen(d, DUR_SEEN_SLOW_STORE);
    }
}
