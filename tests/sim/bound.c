/* The bounds of queues: that they are kept, or publishers are held back for no
 * longer than the budgets of a queue and of a session allow. */
#include "tests/sim/world.h"

#include <stdlib.h>

/* ---- for how long ---- */

/* How much of the last ten seconds was spent holding publishers back. */
static int64_t spent_ms(const struct sim_watch *w, int64_t end_ms)
{
    int64_t begin_ms = end_ms - TD_BLOCK_WINDOW_MS;
    int64_t sum = 0;
    uint64_t first = w->spans_len > SIM_SPANS ? w->spans_len - SIM_SPANS : 0;

    for (uint64_t i = first; i < w->spans_len; i++) {
        const struct sim_span *span = &w->spans[i % SIM_SPANS];
        int64_t from = span->begin_ms > begin_ms ? span->begin_ms : begin_ms;

        if (span->end_ms > from)
            sum += span->end_ms - from;
    }
    return sum;
}

static void span_add(struct sim_watch *w, int64_t end_ms)
{
    struct sim_span *span = &w->spans[w->spans_len++ % SIM_SPANS];

    span->begin_ms = w->since_ms;
    span->end_ms = end_ms > w->since_ms ? end_ms : w->since_ms;
}

/* A broker that was stopped did not hold anybody back meanwhile. */
static void span_until_pause(struct sim *sim, struct sim_watch *w)
{
    int64_t late_ms = sim->broker.late_ms;

    if (late_ms < TD_LATE_MS || w->since_ms >= sim->now_ms)
        return;
    span_add(w, sim->now_ms - late_ms);
    w->since_ms = sim->now_ms;
}

static void span_to_now(struct sim *sim, struct sim_watch *w, bool goes_on)
{
    int64_t late_ms = sim->broker.late_ms;
    int64_t end_ms = sim->now_ms - (late_ms < TD_LATE_MS ? late_ms : 0);

    span_add(w, end_ms);
    SIM_CHECK(sim, spent_ms(w, end_ms) <= TD_BLOCK_MS,
              "publishers are held back for %lld ms in %d",
              (long long)spent_ms(w, end_ms), TD_BLOCK_WINDOW_MS);
    if (goes_on)
        w->spans_len--;
}

static void watch(struct sim *sim, struct sim_watch *w, bool blocking)
{
    if (w->blocking) {
        span_until_pause(sim, w);
        span_to_now(sim, w, blocking);
    } else if (blocking) {
        w->since_ms = sim->now_ms;
    }
    w->blocking = blocking;
}

/* ---- queues ---- */

static bool is_over(const struct td_group *g)
{
    return td_group_waiting(g) > g->queue_events_max ||
           td_group_waiting_bytes(g) > g->queue_bytes_max;
}

static void watch_queue(struct sim *sim, struct sim_bound *b,
                        const struct td_group *g)
{
    bool was_blocking = b->watch.blocking;
    bool over = is_over(g);
    uint64_t hold = g->trouble ? g->trouble->hold.number : 0;

    if (!over || b->hold != hold)
        b->pushers_len = 0; /* from here on they are counted anew */
    b->hold = hold;
    watch(sim, &b->watch, td_group_is_holding(g));
    if (!was_blocking && b->watch.blocking)
        sim_seen(sim, SIM_SEEN_HOLD);
    if (was_blocking && !b->watch.blocking) {
        sim_seen(sim, g->ledger.dropped[TD_DROP_SLOW] > b->slow
                          ? SIM_SEEN_HOLD_SPENT
                          : SIM_SEEN_HOLD_EASED);
    }
    b->slow = g->ledger.dropped[TD_DROP_SLOW];
}

static struct sim_esession *session_watched(struct sim *sim, uint64_t number)
{
    struct sim_esession *s;

    DL_FOREACH(sim->model.sessions, s)
    {
        if (s->number == number)
            return s;
    }
    s = calloc(1, sizeof(*s));
    SIM_CHECK(sim, s, "out of memory");
    if (!s)
        return NULL;
    s->number = number;
    DL_APPEND(sim->model.sessions, s);
    return s;
}

/* Whether any queue holds publishers back at this one's cost. */
static bool is_charged(const struct td_engine *e, const struct td_session *s)
{
    const struct td_group *g;

    if (!e->holds)
        return false;
    DL_FOREACH(e->groups, g)
    {
        if (td_group_is_holding(g) && g->trouble->charged == s)
            return true;
    }
    return false;
}

void sim_watch_holds(struct sim *sim)
{
    const struct td_engine *e = sim->broker.engine;

    for (struct td_session *s = e->sessions; s; s = s->hh.next) {
        struct sim_esession *es = session_watched(sim, s->number);

        if (es)
            watch(sim, &es->watch, is_charged(e, s));
        for (struct td_sub *real = s->subs; real; real = real->hh.next) {
            struct sim_esub *sub = sim_esub_find(sim, s->number, real->number);

            if (sub && !sub->group)
                watch_queue(sim, &sub->bound, real->group);
            else if (sub && real == real->group->members)
                watch_queue(sim, &sub->group->bound, real->group);
        }
    }
}

void sim_watches_free(struct sim *sim)
{
    struct sim_esession *s;
    struct sim_esession *next;

    DL_FOREACH_SAFE(sim->model.sessions, s, next)
    {
        DL_DELETE(sim->model.sessions, s);
        free(s);
    }
}

/* By session: one that is resumed has no credit anew. */
void sim_bound_push(struct sim *sim, struct sim_bound *b,
                    const struct sim_link *link)
{
    uint32_t i = 0;

    if (!b->watch.blocking || b->pushed == 0)
        return;
    while (i < b->pushers_len && b->pushers[i].session != link->session)
        i++;
    if (i == SIM_PUSHERS)
        return;
    if (i == b->pushers_len) {
        b->pushers[b->pushers_len++].session = link->session;
        b->pushers[i].events = 0;
    }
    b->pushers[i].events += b->pushed;
    SIM_CHECK(sim, b->pushers[i].events <= TD_PUBLISH_EVENTS,
              "%llu events of one session came into a queue that holds it "
              "back",
              (unsigned long long)b->pushers[i].events);
}

/* A queue is over its bound only while it holds publishers back. Or because
 * something came back to it, perhaps behind the turn's last event: until the
 * next event comes, which it drops for, or which it drops. */
void sim_bound_check(struct sim *sim, struct sim_bound *b,
                     const struct td_group *g, uint64_t matched)
{
    uint64_t events = td_group_waiting(g);
    uint64_t bytes = td_group_waiting_bytes(g);
    bool over = is_over(g);

    SIM_CHECK(sim,
              !over || td_group_is_holding(g) || b->came_back ||
                  (b->was_over && (b->was_matched == matched ||
                                   (g->policy == TD_DROP_THE_NEWEST &&
                                    events <= b->was_events))),
              "queue of %llu events, %llu bytes is over its bound",
              (unsigned long long)events, (unsigned long long)bytes);
    b->came_back = false;
    b->was_over = over;
    b->was_matched = matched;
    b->was_events = events;
    SIM_CHECK(sim,
              !td_group_is_holding(g) || events > g->queue_events_max / 2 ||
                  bytes > g->queue_bytes_max / 2,
              "a queue that is half empty holds publishers back");
    SIM_CHECK(sim, !td_group_is_holding(g) || !td_group_is_away(g),
              "a queue of nobody holds publishers back");
}
