/* What the engine ought to do, worked out a second time and in another way:
 * patterns are matched one by one, and each subscription has the list of all
 * events that it is still owed. So what is delivered is compared event by
 * event, and every counter with one of our own. */
#include "tests/sim/world.h"

#include "proto/type.h"

#include <string.h>

/* ---- subscriptions ---- */

void sim_model_reset(struct sim *sim)
{
    struct sim_model *m = &sim->model;

    while (m->subs)
        sim_esub_free(sim, m->subs);
    sim_watches_free(sim);
    m->advised = m->published = m->duplicates = m->routed = m->unmatched = 0;
    memset(m->types, 0, sizeof(m->types));
    for (uint32_t i = 0; i < sim->producers_len; i++)
        sim->producers[i].taken = 0;
}

void sim_forget_ended(struct sim *sim)
{
    struct sim_esub *sub;
    struct sim_esub *next;

    DL_FOREACH_SAFE(sim->model.subs, sub, next)
    {
        if (!sim_session_numbered(sim, sub->session))
            sim_esub_free(sim, sub);
    }
}

/* ---- what the engine is given ---- */

static void count_type(struct sim *sim, const struct td_run *run, uint64_t skip,
                       bool matched)
{
    for (uint32_t i = 0; i < SIM_TYPES; i++) {
        struct sim_count *type = &sim->model.types[i];

        if (!td_str_is(run->type, sim_types[i]))
            continue;
        type->published += run->count;
        type->duplicates += skip;
        type->unmatched += matched ? 0 : run->count - skip;
    }
}

static void expect_run(struct sim *sim, uint32_t producer,
                       const struct td_run *run)
{
    struct sim_model *m = &sim->model;
    struct sim_producer *p = &sim->producers[producer];
    uint64_t skip = run->first > p->taken ? 0 : p->taken - run->first + 1;
    bool matched = false;
    struct sim_egroup *g;
    struct sim_esub *sub;

    if (skip > run->count)
        skip = run->count;
    m->duplicates += skip;
    DL_FOREACH(m->subs, sub)
    {
        if (!td_pattern_match(sub->pattern, sub->pattern_len, run->type.data,
                              run->type.len))
            continue;
        matched = true;
        for (uint64_t i = skip; i < run->count && !sub->group; i++)
            sim_owe(sim, sub, sim_event_key(producer, run->first + i));
    }
    if (matched)
        m->routed += run->count - skip;
    else
        m->unmatched += run->count - skip;
    DL_FOREACH(m->groups, g)
    {
        if (!td_pattern_match(g->pattern, g->pattern_len, run->type.data,
                              run->type.len))
            continue;
        for (uint64_t i = skip; i < run->count; i++)
            sim_egroup_owe(sim, g, producer, run->first + i);
    }
    count_type(sim, run, skip, matched);
    if (skip > 0)
        sim_seen(sim, SIM_SEEN_DUPLICATES);
    if (skip > 0 && skip < run->count)
        sim_seen(sim, SIM_SEEN_DUPLICATES_PART);
    if (run->first + run->count - 1 > p->taken)
        p->taken = run->first + run->count - 1;
}

static void note_partial(struct sim *sim, const struct td_batch *batch)
{
    struct sim_esub *sub;

    DL_FOREACH(sim->model.subs, sub)
    {
        uint32_t n = 0;

        for (uint32_t i = 0; i < batch->runs_len; i++)
            n += td_pattern_match(sub->pattern, sub->pattern_len,
                                  batch->runs[i].type.data,
                                  batch->runs[i].type.len);
        if (n > 0 && n < batch->runs_len)
            sim_seen(sim, SIM_SEEN_MATCHED_PART);
    }
}

/* No event is left out on its way, whatever happened to the link. */
static void check_unbroken(struct sim *sim, const struct sim_producer *p)
{
    const struct td_batches *b = &sim->model.batches;
    uint64_t first = b->batch[0].runs[0].first;

    if (p->evil || p->forgotten)
        return;
    if (p->taken == 0)
        SIM_CHECK(sim, first <= p->taken_ever + 1,
                  "events %llu to %llu are never sent",
                  (unsigned long long)p->taken_ever + 1,
                  (unsigned long long)first - 1);
    else
        SIM_CHECK(sim, first == p->taken + 1,
                  "first sequence is %llu, taken up to %llu",
                  (unsigned long long)first, (unsigned long long)p->taken);
}

/* Expects a PUBLISH to be taken; sim_model_after() knows whether it was. */
static void expect(struct sim *sim, struct sim_link *link,
                   const struct td_frame *f, const struct sim_message *msg)
{
    struct sim_model *m = &sim->model;
    const char *why;
    struct sim_egroup *g;
    struct sim_esub *sub;

    m->batches.len = 0;
    if (link->session == 0 || link->producer == UINT32_MAX ||
        td_batches_decode(&m->batches, f->u.publish.batches, msg->body->data,
                          msg->body->len, &why)) {
        m->batches.len = 0;
        return;
    }
    if (m->batches.len > 1)
        sim_seen(sim, SIM_SEEN_BODY_MANY);
    memcpy(m->types_before, m->types, sizeof(m->types));
    m->published_before = m->published;
    m->duplicates_before = m->duplicates;
    m->routed_before = m->routed;
    m->unmatched_before = m->unmatched;
    m->taken_before = sim->producers[link->producer].taken;
    DL_FOREACH(m->subs, sub)
    {
        sub->mark = sub->tail;
    }
    DL_FOREACH(m->groups, g)
    {
        g->added_len = 0;
    }
    m->published += m->batches.events;
    for (uint32_t i = 0; i < m->batches.len; i++) {
        const struct td_batch *batch = &m->batches.batch[i];

        note_partial(sim, batch);
        for (uint32_t n = 0; n < batch->runs_len; n++)
            expect_run(sim, link->producer, &batch->runs[n]);
    }
}

static void unexpect(struct sim *sim, struct sim_link *link)
{
    struct sim_model *m = &sim->model;
    struct sim_egroup *g;
    struct sim_esub *sub;

    memcpy(m->types, m->types_before, sizeof(m->types));
    m->published = m->published_before;
    m->duplicates = m->duplicates_before;
    m->routed = m->routed_before;
    m->unmatched = m->unmatched_before;
    sim->producers[link->producer].taken = m->taken_before;
    DL_FOREACH(m->subs, sub)
    {
        sub->matched -= sub->tail - sub->mark;
        sub->tail = sub->mark;
    }
    DL_FOREACH(m->groups, g)
    {
        sim_egroup_take_back(sim, g);
    }
}

/* The message at hand, decoded; false: it is no frame. */
static bool decode(struct td_frame *f, const struct sim_message *m)
{
    const char *why;

    return m->frames >= 1 && m->frames <= 2 &&
           (m->frames == 2) == (m->body != NULL) &&
           td_frame_decode(f, m->control, m->len, true, &why) == TIDINGS_OK &&
           td_op_has_body(f->op) == (m->body != NULL);
}

void sim_model_before(struct sim *sim, struct sim_link *link,
                      const struct sim_message *m)
{
    const struct td_counters *c = &sim->broker.engine->counters;
    const struct td_session *s = sim_broker_session(sim, link);
    struct td_frame f;

    sim->model.batches.len = 0;
    sim->model.complaints_before = c->breaches + c->bad_frames;
    sim_hash(sim, &link->number, sizeof(link->number));
    sim_hash(sim, m->control, m->len);
    if (!decode(&f, m)) {
        sim_say(sim, "link %u > garbage", link->number);
        return;
    }
    sim_say(sim, "link %u > %s%s", link->number, td_op_name(f.op),
            link->evil ? " (evil)" : "");
    if (f.op == TD_HELLO && (!s || s->doomed)) {
        link->producer = sim_producer_index(sim, f.u.hello.producer);
        sim_forget_ended(sim);
        sim_resume_before(sim, link, &f);
    }
    if (f.op == TD_PUBLISH) {
        sim_forget_ended(sim);
        expect(sim, link, &f, m);
    }
    if (f.op == TD_PONG && f.u.pong.token == link->asked) {
        link->gaps_out -= link->gaps_asked;
        link->gaps_asked = 0;
    }
}

static void count_pushes(struct sim *sim, const struct sim_link *link)
{
    struct sim_egroup *g;
    struct sim_esub *sub;

    DL_FOREACH(sim->model.subs, sub)
    {
        sub->bound.pushed = sub->tail - sub->mark;
        sim_bound_push(sim, &sub->bound, link);
    }
    DL_FOREACH(sim->model.groups, g)
    {
        g->bound.pushed = g->added_len;
        sim_bound_push(sim, &g->bound, link);
    }
}

static void published(struct sim *sim, struct sim_link *link)
{
    struct sim_model *m = &sim->model;
    struct sim_producer *p = &sim->producers[link->producer];
    uint64_t now = p->taken;

    link->events_in += m->batches.events;
    p->taken = m->taken_before;
    check_unbroken(sim, p);
    p->taken = now;
    if (p->taken > p->taken_ever)
        p->taken_ever = p->taken;
    if (m->unmatched > m->unmatched_before)
        sim_seen(sim, SIM_SEEN_UNMATCHED);
    count_pushes(sim, link);
}

static void subscribed(struct sim *sim, struct sim_link *link,
                       struct td_session *s, const struct td_frame *f)
{
    uint64_t number = f->u.subscribe.subscription;
    struct td_sub *sub;
    struct sim_esub *esub;

    HASH_FIND(hh, s->subs, &number, sizeof(number), sub);
    if (!sub || sim_esub_find(sim, link->session, number))
        return;
    sim_forget_ended(sim);
    esub = sim_esub_add(sim, link, sub);
    if (!esub)
        return;
    td_map_uint(f->u.subscribe.options, "events", &esub->events_limit);
    td_map_uint(f->u.subscribe.options, "bytes", &esub->bytes_limit);
}

static void unsubscribed(struct sim *sim, struct sim_link *link,
                         const struct td_frame *f)
{
    struct sim_esub *esub =
        sim_esub_find(sim, link->session, f->u.unsubscribe.subscription);

    if (!esub)
        return;
    if (esub->tail > esub->head)
        sim_seen(sim, SIM_SEEN_DROPPED_UNSUBSCRIBED);
    sim_esub_free(sim, esub);
}

static void credited(struct sim *sim, struct sim_link *link,
                     const struct td_frame *f)
{
    struct td_reader list =
        td_reader_of(f->u.credit.list.data, f->u.credit.list.len);
    struct td_credit row;
    uint32_t rows = 0;

    if (f->u.credit.messages < link->messages_answered ||
        f->u.credit.messages > link->messages_out)
        return;
    link->messages_answered = f->u.credit.messages;
    if (!td_read_array(&list, &rows))
        return;
    while (rows-- > 0 && td_credit_read(&list, &row)) {
        struct sim_esub *esub =
            sim_esub_find(sim, link->session, row.subscription);

        if (!esub)
            continue;
        if (row.taken < esub->delivered || row.taken > esub->sent ||
            row.events_limit < esub->events_limit ||
            row.bytes_limit < esub->bytes_limit)
            return; /* a breach: what comes before it holds */
        sim_egroup_taken(esub, row.taken);
        esub->delivered = row.taken;
        esub->events_limit = row.events_limit;
        esub->bytes_limit = row.bytes_limit;
    }
}

/* The session that this peer has now; a new one starts from nothing. */
struct td_session *sim_note_session(struct sim *sim, struct sim_link *link)
{
    struct td_session *s = sim_broker_session(sim, link);

    if (!s || s->doomed)
        return NULL;
    if (link->session != s->number) {
        link->session = s->number;
        link->messages_out = link->messages_answered = 0;
        link->events_in = 0;
    }
    return s;
}

void sim_model_after(struct sim *sim, struct sim_link *link,
                     const struct sim_message *m)
{
    struct td_engine *e = sim->broker.engine;
    /* It lives on until the turn ends, even if it is doomed. */
    struct td_session *before = sim_broker_session(sim, link);
    bool had_session = before && before->number == link->session;
    struct td_session *s = sim_note_session(sim, link);
    struct td_frame f;
    bool good = decode(&f, m);

    if (sim->model.batches.len > 0) {
        if (e->counters.published - e->advised == sim->model.published)
            published(sim, link);
        else
            unexpect(sim, link);
    }
    if (had_session && !link->evil)
        SIM_CHECK(sim,
                  e->counters.breaches + e->counters.bad_frames ==
                      sim->model.complaints_before,
                  "an honest peer's %s is called a breach",
                  good ? td_op_name(f.op) : "message");
    /* Also when the REPLY could not be sent. */
    if (good && f.op == TD_SUBSCRIBE && had_session)
        subscribed(sim, link, before, &f);
    if (good && f.op == TD_UNSUBSCRIBE && had_session)
        unsubscribed(sim, link, &f);
    if (good && f.op == TD_CREDIT && had_session)
        credited(sim, link, &f);
    if (!s)
        link->session = 0;
    if (good && f.op == TD_PUBLISH)
        sim_watch_holds(sim);
}
