/* The broker's store: when it answers, and when it fails. */
#include "tests/sim/durable_world.h"

#include "broker/store/model_inside.h"

static void fail_some(struct dur *d)
{
    struct sim_random *r = &d->random;

    if (d->healing || !d->ready || !d->broker.loaded)
        return;
    if (sim_chance(r, d->config.commit_fails))
        td_model_fail(d->model, 1,
                      sim_chance(r, 900) ? TIDINGS_EFULL : TIDINGS_ENOMEM);
}

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

    b->answered = waits + td_model_reads(d->model) > 0;
    b->store_ms = DUR_NEVER;
    td_model_serve(d->model, 1 + (uint32_t)sim_below(r, 4));
    if (waits > 0) {
        fail_some(d);
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
