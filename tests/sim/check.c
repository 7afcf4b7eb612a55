/* The engine's state at the end of each turn: its sessions and queues compared
 * with the model's; and that nothing waits for nothing. */
#include "tests/sim/world.h"

#include <string.h>

/* ---- the engine at the end of a turn ---- */

static uint64_t sum_of(const uint64_t counts[TD_DROPS])
{
    uint64_t sum = 0;

    for (int i = 0; i < TD_DROPS; i++)
        sum += counts[i];
    return sum;
}

static void note_drops(struct sim *sim, const struct td_group *g)
{
    const uint64_t *dropped = g->ledger.dropped;

    if (dropped[TD_DROP_SLOW])
        sim_seen(sim, SIM_SEEN_DROPPED_SLOW);
    if (dropped[TD_DROP_OLDEST])
        sim_seen(sim, SIM_SEEN_DROPPED_OLDEST);
    if (dropped[TD_DROP_NEWEST])
        sim_seen(sim, SIM_SEEN_DROPPED_NEWEST);
    if (dropped[TD_DROP_MEMORY])
        sim_seen(sim, SIM_SEEN_DROPPED_MEMORY);
    SIM_CHECK(
        sim,
        (g->policy == TD_BLOCK || !dropped[TD_DROP_SLOW]) &&
            (g->policy == TD_DROP_THE_OLDEST || !dropped[TD_DROP_OLDEST]) &&
            (g->policy == TD_DROP_THE_NEWEST || !dropped[TD_DROP_NEWEST]) &&
            (g->policy == TD_BLOCK || !g->trouble ||
             !g->trouble->block.total_ms),
        "%s does what another policy does", td_policy_names[g->policy]);
}

/* Its queue, where no group shares it. */
static void check_queue(struct sim *sim, struct sim_esub *sub,
                        const struct td_sub *real)
{
    const struct td_group *g = real->group;
    const struct td_queue *q = real->from;
    uint64_t dropped = sum_of(g->ledger.dropped);
    uint64_t untold = sum_of(g->gap);

    if (sub->advised) {
        sub->matched = g->ledger.matched;
        sub->tail =
            sub->head + q->events + untold + sub->gap_told - sub->skipped;
    }
    SIM_CHECK(sim, g->ledger.matched == sub->matched,
              "matched %llu, expected %llu",
              (unsigned long long)g->ledger.matched,
              (unsigned long long)sub->matched);
    SIM_CHECK(sim, g->ledger.matched == real->sent + q->events + dropped,
              "matched %llu, sent %llu, queued %llu, dropped %llu",
              (unsigned long long)g->ledger.matched,
              (unsigned long long)real->sent, (unsigned long long)q->events,
              (unsigned long long)dropped);
    SIM_CHECK(sim, dropped == sub->gap_told + untold,
              "dropped %llu, told %llu, to be told %llu",
              (unsigned long long)dropped, (unsigned long long)sub->gap_told,
              (unsigned long long)untold);
    SIM_CHECK(sim,
              sub->tail - sub->head + sub->skipped ==
                  q->events + untold + sub->gap_told,
              "owed %llu, queued %llu",
              (unsigned long long)(sub->tail - sub->head),
              (unsigned long long)q->events);
    sim_bound_check(sim, &sub->bound, g, sub->matched);
    note_drops(sim, g);
    if (sub->advised && dropped > 0)
        sim_seen(sim, SIM_SEEN_ADVISED_DROP);
}

static void check_sub(struct sim *sim, const struct td_session *s,
                      const struct td_sub *real)
{
    struct sim_esub *sub = sim_esub_find(sim, s->number, real->number);
    const struct td_queue *q = real->from;

    SIM_CHECK(sim, sub, "a subscription that nobody asked for");
    if (!sub)
        return;
    SIM_CHECK(sim, !sub->group == !real->group->name_len, "of another group");
    if (sim->config.starved && s->away && real->sent > sub->sent)
        return; /* there was no memory to send what counts as sent */
    SIM_CHECK(sim, real->sent == sub->sent, "sent %llu, counted %llu",
              (unsigned long long)real->sent, (unsigned long long)sub->sent);
    SIM_CHECK(sim, real->delivered == sub->delivered,
              "delivered %llu, told %llu", (unsigned long long)real->delivered,
              (unsigned long long)sub->delivered);
    SIM_CHECK(sim, real->delivered <= real->sent, "delivered more than sent");
    SIM_CHECK(
        sim, (q->len == 0) == (q->events == 0) && (q->len > 0 || q->bytes == 0),
        "an empty queue that is not empty");
    if (!sub->group)
        check_queue(sim, sub, real);
}

/* What waits, waits for credit: nothing else would wake it. A batch that
 * credit would cut may wait for more if the client owes it at once; in a group
 * it may have been dropped since, and another member been woken to be told. */
static bool is_stuck(const struct sim *sim, const struct td_session *s,
                     const struct td_sub *real)
{
    uint64_t events = real->events_limit - real->sent;
    uint64_t bytes = real->bytes_limit - real->sent_bytes;
    struct td_piece front;
    struct td_piece rest;

    if (real->ready && sim->broker.wake_ms <= sim->now_ms + 20)
        return false; /* it will be tried again */
    return real->from->len > 0 &&
           s->messages_out - s->messages_seen < TD_MESSAGES_OUT_MAX &&
           td_piece_cut(td_queue_front(real->from),
                        events < TD_EVENTS_MAX ? events : TD_EVENTS_MAX, bytes,
                        TD_RUNS_MAX, &front, &rest) &&
           ((rest.events == 0 && !real->group->name_len) ||
            real->sent == real->delivered ||
            (events > real->window_events / 2 &&
             bytes > real->window_bytes / 2));
}

/* A publisher has all its credit, or will be told, or is held back. */
static void check_credit(struct sim *sim, const struct td_session *s)
{
    const struct td_engine *e = sim->broker.engine;

    SIM_CHECK(sim,
              s->owed || s->held || e->draining ||
                  (s->events_limit == s->events_in + TD_PUBLISH_EVENTS &&
                   s->bytes_limit == s->bytes_in + TD_PUBLISH_BYTES),
              "session %llu waits for credit that nobody owes it",
              (unsigned long long)s->number);
    SIM_CHECK(sim, !s->owed || sim->broker.wake_ms <= e->lazy_ms,
              "TAKEN is late");
}

/* Nobody waits for a session that is away, and it does not stay so. */
static void check_away(struct sim *sim, const struct td_session *s)
{
    const struct td_engine *e = sim->broker.engine;

    SIM_CHECK(sim, !s->owed, "session %llu is away, and owed",
              (unsigned long long)s->number);
    SIM_CHECK(sim,
              sim->now_ms - s->away_ms <
                  e->options.grace_ms + 2000 + sim->broker.late_ms,
              "session %llu is away for %lld ms", (unsigned long long)s->number,
              (long long)(sim->now_ms - s->away_ms));
}

/* A silent peer is noticed, in time that the broker ran. */
static void check_session(struct sim *sim, const struct td_session *s)
{
    const struct sim_broker *b = &sim->broker;
    const struct td_str peer = {(const char *)s->peer, s->peer_len};
    struct sim_link *link = sim_link_of(sim, peer);
    struct sim_producer *p = &sim->producers[link->producer];

    p->seen_ms = sim->now_ms;
    SIM_CHECK(sim, !s->doomed, "a doomed session outlives the turn");
    for (struct td_sub *sub = s->subs; sub; sub = sub->hh.next)
        check_sub(sim, s, sub);
    if (s->away) {
        check_away(sim, s);
        return;
    }
    SIM_CHECK(sim, link->session == s->number, "a session of nobody");
    SIM_CHECK(sim, b->run_ms - link->heard_run_ms <= TD_DEAD_MS + 2500,
              "link %u is silent for %lld ms and still alive", link->number,
              (long long)(b->run_ms - link->heard_run_ms));
    if (s->held) {
        bool any = s->held_by_more && b->engine->holds;

        for (uint32_t i = 0; i < s->holds_len; i++) {
            struct td_hold *hold;

            HASH_FIND(hh, b->engine->holds, &s->holds[i], sizeof(s->holds[i]),
                      hold);
            any = any || hold;
        }
        SIM_CHECK(sim, any || b->engine->hold_ended,
                  "credit is withheld and nobody holds it");
        if (s->held_by_more)
            sim_seen(sim, SIM_SEEN_HOLD_MANY);
    }
    check_credit(sim, s);
    for (struct td_sub *sub = s->subs; sub; sub = sub->hh.next) {
        SIM_CHECK(sim, !is_stuck(sim, s, sub),
                  "session %llu subscription %llu could be sent to",
                  (unsigned long long)s->number,
                  (unsigned long long)sub->number);
    }
}

static void forget_sessions(struct sim *sim)
{
    struct sim_link *link;

    DL_FOREACH(sim->links, link)
    {
        struct td_session *s = sim_broker_session(sim, link);

        if (!s || s->number != link->session)
            link->session = 0;
    }
}

void sim_model_check(struct sim *sim)
{
    struct td_engine *e = sim->broker.engine;
    size_t memory = e->options.memory_bytes;

    sim_forget_ended(sim);
    forget_sessions(sim);
    sim_watch_holds(sim);
    for (struct td_session *s = e->sessions; s; s = s->hh.next)
        check_session(sim, s);
    sim_egroups_check(sim);
    sim_ledger_check(sim);
    /* What the end of a session tells comes last in a turn. */
    SIM_CHECK(
        sim,
        td_engine_held_bytes(e) <= memory || e->advised > sim->model.advised,
        "%zu bytes are held, %zu may be", td_engine_held_bytes(e), memory);
    sim->model.advised = e->advised;
}
