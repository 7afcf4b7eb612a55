/* What the engine ought to do, worked out a second time and in another way:
 * patterns are matched one by one, and each subscription has the list of all
 * events that it is still owed. So what is delivered is compared event by
 * event, and every counter with one of our own. */
#include "tests/sim/world.h"

#include "proto/type.h"

#include <stdlib.h>
#include <string.h>

/* ---- subscriptions ---- */

static struct sim_esub *esub_find(struct sim *sim, uint64_t session,
                                  uint64_t number)
{
    struct sim_esub *sub;

    DL_FOREACH(sim->model.subs, sub)
    {
        if (sub->session == session && sub->number == number)
            return sub;
    }
    return NULL;
}

static void esub_free(struct sim *sim, struct sim_esub *sub)
{
    DL_DELETE(sim->model.subs, sub);
    free(sub->ring);
    free(sub);
}

void sim_model_reset(struct sim *sim)
{
    struct sim_model *m = &sim->model;

    while (m->subs)
        esub_free(sim, m->subs);
    m->published = m->duplicates = m->routed = m->unmatched = 0;
    for (uint32_t i = 0; i < sim->producers_len; i++)
        sim->producers[i].taken = 0;
}

static void esub_add(struct sim *sim, struct sim_link *link,
                     const struct td_sub *from)
{
    struct sim_esub *sub = calloc(1, sizeof(*sub));

    if (!sub) {
        SIM_CHECK(sim, false, "out of memory");
        return;
    }
    sub->session = link->session;
    sub->number = from->number;
    sub->link = link;
    sub->pattern_len = from->pattern_len;
    memcpy(sub->pattern, from->pattern, from->pattern_len);
    DL_APPEND(sim->model.subs, sub);
}

static void ring_push(struct sim *sim, struct sim_esub *sub, uint64_t what)
{
    if (sub->tail - sub->head == sub->ring_cap) {
        uint64_t cap = sub->ring_cap ? sub->ring_cap * 2 : 64;
        uint64_t *ring = malloc(cap * sizeof(*ring));

        if (!ring) {
            SIM_CHECK(sim, false, "out of memory");
            return;
        }
        for (uint64_t i = sub->head; i < sub->tail; i++)
            ring[i & (cap - 1)] = sub->ring[i & (sub->ring_cap - 1)];
        free(sub->ring);
        sub->ring = ring;
        sub->ring_cap = cap;
    }
    sub->ring[sub->tail++ & (sub->ring_cap - 1)] = what;
    sub->matched++;
}

/* Those whose session has ended. */
static void forget_ended(struct sim *sim)
{
    struct sim_esub *sub;
    struct sim_esub *next;

    DL_FOREACH_SAFE(sim->model.subs, sub, next)
    {
        struct td_session *s = sim_broker_session(sim, sub->link);

        if (!s || s->number != sub->session)
            esub_free(sim, sub);
    }
}

/* ---- what the engine is given ---- */

static uint64_t event_key(uint32_t producer, uint64_t sequence)
{
    return (uint64_t)producer << 40 | (sequence & ((UINT64_C(1) << 40) - 1));
}

static void expect_run(struct sim *sim, uint32_t producer,
                       const struct td_run *run)
{
    struct sim_model *m = &sim->model;
    struct sim_producer *p = &sim->producers[producer];
    uint64_t skip = run->first > p->taken ? 0 : p->taken - run->first + 1;
    bool matched = false;
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
        for (uint64_t i = skip; i < run->count; i++)
            ring_push(sim, sub, event_key(producer, run->first + i));
    }
    if (matched)
        m->routed += run->count - skip;
    else
        m->unmatched += run->count - skip;
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
    m->published_before = m->published;
    m->duplicates_before = m->duplicates;
    m->routed_before = m->routed;
    m->unmatched_before = m->unmatched;
    m->taken_before = sim->producers[link->producer].taken;
    DL_FOREACH(m->subs, sub)
    {
        sub->mark = sub->tail;
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
    struct sim_esub *sub;

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

    link->gaps_out = 0;
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
    if (f.op == TD_HELLO && (!s || s->doomed))
        link->producer = sim_producer_index(sim, f.u.hello.producer);
    if (f.op == TD_PUBLISH) {
        forget_ended(sim);
        expect(sim, link, &f, m);
    }
}

static void count_pushes(struct sim *sim, const struct sim_link *link)
{
    struct sim_esub *sub;

    DL_FOREACH(sim->model.subs, sub)
    {
        uint32_t i = 0;

        if (!sub->blocking || sub->tail == sub->mark)
            continue;
        while (i < sub->pushers_len && sub->pushers[i].session != link->session)
            i++;
        if (i == SIM_PUSHERS)
            continue;
        if (i == sub->pushers_len) {
            sub->pushers[sub->pushers_len++].session = link->session;
            sub->pushers[i].events = 0;
        }
        sub->pushers[i].events += sub->tail - sub->mark;
        SIM_CHECK(sim, sub->pushers[i].events <= TD_PUBLISH_EVENTS,
                  "%llu events of one session came into a queue that holds "
                  "it back",
                  (unsigned long long)sub->pushers[i].events);
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
    if (!sub || esub_find(sim, link->session, number))
        return;
    esub_add(sim, link, sub);
    esub = esub_find(sim, link->session, number);
    if (!esub)
        return;
    td_map_uint(f->u.subscribe.options, "events", &esub->events_limit);
    td_map_uint(f->u.subscribe.options, "bytes", &esub->bytes_limit);
}

static void unsubscribed(struct sim *sim, struct sim_link *link,
                         const struct td_frame *f)
{
    struct sim_esub *esub =
        esub_find(sim, link->session, f->u.unsubscribe.subscription);

    if (!esub)
        return;
    if (esub->tail > esub->head)
        sim_seen(sim, SIM_SEEN_DROPPED_UNSUBSCRIBED);
    esub_free(sim, esub);
}

static void credited(struct sim *sim, struct sim_link *link,
                     const struct td_frame *f)
{
    struct td_reader list =
        td_reader_of(f->u.credit.list.data, f->u.credit.list.len);
    struct td_credit row;
    uint32_t rows = 0;

    link->messages_answered = f->u.credit.messages;
    if (!td_read_array(&list, &rows))
        return;
    while (rows-- > 0 && td_credit_read(&list, &row)) {
        struct sim_esub *esub =
            esub_find(sim, link->session, row.subscription);

        if (!esub)
            continue;
        esub->events_limit = row.events_limit;
        esub->bytes_limit = row.bytes_limit;
    }
}

/* The session that this peer has now; a new one starts from nothing. */
static struct td_session *note_session(struct sim *sim, struct sim_link *link)
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

static void watch_holds(struct sim *sim);

void sim_model_after(struct sim *sim, struct sim_link *link,
                     const struct sim_message *m)
{
    struct td_engine *e = sim->broker.engine;
    /* It lives on until the turn ends, even if it is doomed. */
    struct td_session *before = sim_broker_session(sim, link);
    bool had_session = before && before->number == link->session;
    struct td_session *s = note_session(sim, link);
    struct td_frame f;
    bool good = decode(&f, m);

    if (sim->model.batches.len > 0) {
        if (e->counters.published == sim->model.published)
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
    if (!s)
        link->session = 0;
    else if (good && f.op == TD_CREDIT)
        credited(sim, link, &f);
    if (good && f.op == TD_PUBLISH)
        watch_holds(sim);
}

/* ---- what the engine sends ---- */

/* What there was no memory for is missing, wherever it was in the queue. */
static void skip_lost(struct sim_esub *sub, uint64_t to)
{
    while (sub->gap_pending > 0 && sub->head < sub->tail &&
           sub->ring[sub->head & (sub->ring_cap - 1)] != to) {
        sub->head++;
        sub->gap_pending--;
    }
}

static void deliver_run(struct sim *sim, struct sim_esub *sub,
                        uint32_t producer, const struct td_run *run)
{
    for (uint32_t i = 0; i < run->count && !sim->failed; i++) {
        uint64_t want;

        if (sim->config.starved)
            skip_lost(sub, event_key(producer, run->first + i));
        SIM_CHECK(sim, sub->head < sub->tail,
                  "link %u subscription %llu gets what it is not owed: "
                  "producer %u, %llu",
                  sub->link->number, (unsigned long long)sub->number,
                  producer, (unsigned long long)run->first + i);
        if (sim->failed)
            return;
        want = sub->ring[sub->head++ & (sub->ring_cap - 1)];
        SIM_CHECK(sim, want == event_key(producer, run->first + i),
                  "link %u subscription %llu gets producer %u, %llu; next is "
                  "producer %u, %llu",
                  sub->link->number, (unsigned long long)sub->number,
                  producer, (unsigned long long)run->first + i,
                  (unsigned)(want >> 40),
                  (unsigned long long)(want & ((UINT64_C(1) << 40) - 1)));
    }
}

static void note_deliver(struct sim *sim, const struct sim_esub *sub,
                         const struct td_batches *b,
                         const struct td_body *body)
{
    const struct td_run *last = &b->runs[b->runs_len - 1];

    if (body == sim->broker.handed)
        sim_seen(sim, SIM_SEEN_BY_REFERENCE);
    if (b->len > 1)
        sim_seen(sim, SIM_SEEN_GATHERED);
    if (b->len == TD_BATCHES_MAX || (b->len > 1 && b->bytes > 60000))
        sim_seen(sim, SIM_SEEN_GATHERED_FULL);
    if (sub->sent == sub->events_limit && sub->head < sub->tail &&
        sub->ring[sub->head & (sub->ring_cap - 1)] ==
            event_key(sim_producer_index((struct sim *)sim,
                                         b->batch[b->len - 1].producer),
                      last->first + last->count))
        sim_seen(sim, SIM_SEEN_SPLIT);
}

static void sent_deliver(struct sim *sim, struct sim_link *link,
                         const struct td_frame *f, struct td_body *body)
{
    struct sim_esub *sub =
        esub_find(sim, link->session, f->u.deliver.subscription);
    struct td_batches *b = &sim->batches;
    const char *why;

    SIM_CHECK(sim, sub, "DELIVER for no subscription");
    if (!sub)
        return;
    SIM_CHECK(sim,
              !td_batches_decode(b, f->u.deliver.batches, body->data,
                                 body->len, &why),
              "DELIVER is malformed: %s", why);
    if (sim->failed)
        return;
    SIM_CHECK(sim, f->u.deliver.tag == sub->sent + 1, "tag %llu after %llu",
              (unsigned long long)f->u.deliver.tag,
              (unsigned long long)sub->sent);
    sub->sent += b->events;
    sub->sent_bytes += b->bytes;
    link->messages_out++;
    link->gaps_out = 0;
    SIM_CHECK(sim, sub->sent <= sub->events_limit, "event credit exceeded");
    SIM_CHECK(sim, sub->sent_bytes <= sub->bytes_limit,
              "byte credit exceeded");
    SIM_CHECK(sim,
              link->messages_out - link->messages_answered <=
                  TD_MESSAGES_OUT_MAX,
              "too many unanswered DELIVER");
    if (link->messages_out - link->messages_answered == TD_MESSAGES_OUT_MAX)
        sim_seen(sim, SIM_SEEN_MESSAGES_FULL);
    if (!sim->config.starved) { /* then what was dropped is the oldest */
        sub->head += sub->gap_pending;
        sub->gap_pending = 0;
    }
    for (uint32_t i = 0; i < b->len; i++) {
        const struct td_batch *batch = &b->batch[i];
        uint32_t producer = sim_producer_index(sim, batch->producer);

        for (uint32_t n = 0; n < batch->runs_len; n++)
            deliver_run(sim, sub, producer, &batch->runs[n]);
    }
    note_deliver(sim, sub, b, body);
}

static void sent_gap(struct sim *sim, struct sim_link *link,
                     const struct td_frame *f)
{
    struct sim_esub *sub =
        esub_find(sim, link->session, f->u.gap.subscription);

    SIM_CHECK(sim, sub, "GAP for no subscription");
    SIM_CHECK(sim, f->u.gap.events > 0, "GAP of nothing");
    if (!sub)
        return;
    /* Somebody who does not read must not be flooded with bad news. */
    SIM_CHECK(sim, ++link->gaps_out <= SIM_GAPS_MAX || link->evil,
              "link %u: %u GAP since it was heard or delivered to",
              link->number, link->gaps_out);
    sub->gap_told += f->u.gap.events;
    sub->gap_pending += f->u.gap.events;
    sim_seen(sim, SIM_SEEN_GAP);
}

static void sent_welcome(struct sim *sim, struct sim_link *link,
                         const struct td_frame *f)
{
    struct sim_producer *p = &sim->producers[link->producer];
    uint64_t taken = f->u.welcome.taken;

    if (taken == 0 && p->taken > 0) {
        SIM_CHECK(sim, sim->now_ms - p->seen_ms >= TD_PRODUCER_KEEP_MS - 1000,
                  "a producer is forgotten after %lld ms",
                  (long long)(sim->now_ms - p->seen_ms));
        p->taken = 0;
        p->forgotten = true;
        sim_seen(sim, SIM_SEEN_FORGOTTEN);
    }
    SIM_CHECK(sim, taken == p->taken, "WELCOME says %llu, taken are %llu",
              (unsigned long long)taken, (unsigned long long)p->taken);
    if (taken > 0)
        sim_seen(sim, SIM_SEEN_REMEMBERED);
    link->told_events_limit = f->u.welcome.events_limit;
    link->told_bytes_limit = f->u.welcome.bytes_limit;
}

static void sent_taken(struct sim *sim, struct sim_link *link,
                       const struct td_frame *f)
{
    const struct sim_producer *p = &sim->producers[link->producer];
    const struct td_session *s = sim_broker_session(sim, link);
    bool same = f->u.taken.events_limit == link->told_events_limit &&
                f->u.taken.bytes_limit == link->told_bytes_limit;

    SIM_CHECK(sim, f->u.taken.taken == p->taken,
              "TAKEN says %llu, taken are %llu",
              (unsigned long long)f->u.taken.taken,
              (unsigned long long)p->taken);
    SIM_CHECK(sim,
              f->u.taken.events_limit >= link->told_events_limit &&
                  f->u.taken.bytes_limit >= link->told_bytes_limit &&
                  f->u.taken.events_limit <=
                      link->events_in + TD_PUBLISH_EVENTS,
              "limits of TAKEN fall, or are beyond what may be");
    SIM_CHECK(sim, same || !s->held, "credit is given that is withheld");
    link->told_events_limit = f->u.taken.events_limit;
    link->told_bytes_limit = f->u.taken.bytes_limit;
}

static void sent_bye(struct sim *sim, struct sim_link *link,
                     const struct td_frame *f)
{
    if (f->u.bye.code == TIDINGS_EEXIST)
        sim_seen(sim, SIM_SEEN_REPLACED);
    if (f->u.bye.code == TIDINGS_ETIMEDOUT)
        SIM_CHECK(sim, link->evil || link->broker_may_complain,
                  "link %u is taken for silent, and nothing happened to it",
                  link->number);
}

void sim_model_sent(struct sim *sim, struct sim_link *link,
                    const void *control, size_t len, struct td_body *body)
{
    struct td_frame f;
    const char *why = "";
    tidings_err err = td_frame_decode(&f, control, len, false, &why);

    sim_hash(sim, &link->number, sizeof(link->number));
    sim_hash(sim, control, len);
    SIM_CHECK(sim, !err, "the broker sends a bad frame: %s", why);
    if (err)
        return;
    SIM_CHECK(sim, td_op_has_body(f.op) == (body != NULL), "body or none");
    sim_say(sim, "link %u < %s", link->number, td_op_name(f.op));
    if (f.op == TD_WELCOME)
        note_session(sim, link);
    switch (f.op) {
    case TD_DELIVER:
        sent_deliver(sim, link, &f, body);
        break;
    case TD_GAP:
        sent_gap(sim, link, &f);
        break;
    case TD_WELCOME:
        sent_welcome(sim, link, &f);
        break;
    case TD_TAKEN:
        sent_taken(sim, link, &f);
        break;
    case TD_BYE:
        sent_bye(sim, link, &f);
        break;
    default:
        break;
    }
}

/* ---- holds ---- */

/* How much of the last ten seconds was spent holding publishers back. */
static int64_t spent_ms(const struct sim_esub *sub, int64_t end_ms)
{
    int64_t begin_ms = end_ms - TD_BLOCK_WINDOW_MS;
    int64_t sum = 0;
    uint64_t first = sub->spans_len > SIM_SPANS ? sub->spans_len - SIM_SPANS
                                                : 0;

    for (uint64_t i = first; i < sub->spans_len; i++) {
        const struct sim_span *span = &sub->spans[i % SIM_SPANS];
        int64_t from = span->begin_ms > begin_ms ? span->begin_ms : begin_ms;

        if (span->end_ms > from)
            sum += span->end_ms - from;
    }
    return sum;
}

static void hold_over(struct sim *sim, struct sim_esub *sub, bool goes_on)
{
    int64_t end_ms = sim->now_ms - sim->broker.late_ms;
    struct sim_span *span;

    if (end_ms < sub->since_ms)
        end_ms = sub->since_ms;
    span = &sub->spans[sub->spans_len++ % SIM_SPANS];
    span->begin_ms = sub->since_ms;
    span->end_ms = end_ms;
    SIM_CHECK(sim, spent_ms(sub, end_ms) <= TD_BLOCK_MS,
              "link %u subscription %llu held publishers back for %lld ms in "
              "%d",
              sub->link->number, (unsigned long long)sub->number,
              (long long)spent_ms(sub, end_ms), TD_BLOCK_WINDOW_MS);
    if (goes_on)
        sub->spans_len--;
}

static void watch_hold(struct sim *sim, struct sim_esub *sub,
                       const struct td_sub *real)
{
    bool over = real->queue.events > real->queue_events_max ||
                real->queue.bytes > real->queue_bytes_max;

    if (!over || sub->hold != real->hold.number)
        sub->pushers_len = 0; /* from here on they are counted anew */
    sub->hold = real->hold.number;
    if (sub->blocking && !real->block.blocking) {
        hold_over(sim, sub, false);
        sim_seen(sim, real->ledger.dropped[TD_DROP_SLOW] > sub->slow
                          ? SIM_SEEN_HOLD_SPENT
                          : SIM_SEEN_HOLD_EASED);
    } else if (sub->blocking) {
        hold_over(sim, sub, true);
    } else if (real->block.blocking) {
        sub->since_ms = sim->now_ms;
        sim_seen(sim, SIM_SEEN_HOLD);
    }
    sub->blocking = real->block.blocking;
    sub->slow = real->ledger.dropped[TD_DROP_SLOW];
}

static void watch_holds(struct sim *sim)
{
    for (struct td_session *s = sim->broker.engine->sessions; s;
         s = s->hh.next) {
        for (struct td_sub *real = s->subs; real; real = real->hh.next) {
            struct sim_esub *sub = esub_find(sim, s->number, real->number);

            if (sub)
                watch_hold(sim, sub, real);
        }
    }
}

/* ---- the engine at the end of a turn ---- */

static uint64_t sum_of(const uint64_t counts[TD_DROPS])
{
    uint64_t sum = 0;

    for (int i = 0; i < TD_DROPS; i++)
        sum += counts[i];
    return sum;
}

static void check_sub(struct sim *sim, const struct td_session *s,
                      const struct td_sub *real)
{
    struct sim_esub *sub = esub_find(sim, s->number, real->number);
    uint64_t dropped = sum_of(real->ledger.dropped);
    uint64_t untold = sum_of(real->gap);
    bool over = real->queue.events > real->queue_events_max ||
                real->queue.bytes > real->queue_bytes_max;

    SIM_CHECK(sim, sub, "a subscription that nobody asked for");
    if (!sub)
        return;
    SIM_CHECK(sim, real->ledger.matched == sub->matched,
              "matched %llu, expected %llu",
              (unsigned long long)real->ledger.matched,
              (unsigned long long)sub->matched);
    SIM_CHECK(sim, real->sent == sub->sent, "sent %llu, counted %llu",
              (unsigned long long)real->sent, (unsigned long long)sub->sent);
    SIM_CHECK(sim,
              real->ledger.matched ==
                  real->sent + real->queue.events + dropped,
              "matched %llu, sent %llu, queued %llu, dropped %llu",
              (unsigned long long)real->ledger.matched,
              (unsigned long long)real->sent,
              (unsigned long long)real->queue.events,
              (unsigned long long)dropped);
    SIM_CHECK(sim, dropped == sub->gap_told + untold,
              "dropped %llu, told %llu, to be told %llu",
              (unsigned long long)dropped, (unsigned long long)sub->gap_told,
              (unsigned long long)untold);
    SIM_CHECK(sim,
              sub->tail - sub->head ==
                  real->queue.events + untold + sub->gap_pending,
              "owed %llu, queued %llu",
              (unsigned long long)(sub->tail - sub->head),
              (unsigned long long)real->queue.events);
    SIM_CHECK(sim, real->ledger.delivered <= real->sent,
              "delivered more than sent");
    SIM_CHECK(sim, !over || real->block.blocking,
              "queue of %llu events, %llu bytes is over its bound",
              (unsigned long long)real->queue.events,
              (unsigned long long)real->queue.bytes);
    SIM_CHECK(sim, (real->queue.len == 0) == (real->queue.events == 0) &&
                       (real->queue.len > 0 || real->queue.bytes == 0),
              "an empty queue that is not empty");
    if (real->ledger.dropped[TD_DROP_SLOW])
        sim_seen(sim, SIM_SEEN_DROPPED_SLOW);
    if (real->ledger.dropped[TD_DROP_MEMORY])
        sim_seen(sim, SIM_SEEN_DROPPED_MEMORY);
}

/* What waits, waits for credit: nothing else would wake it. A batch that
 * credit would cut may wait for more if the client owes it at once. */
static bool is_stuck(const struct td_session *s, const struct td_sub *real)
{
    static struct td_run runs[TD_RUNS_MAX];
    uint64_t events = real->events_limit - real->sent;
    uint64_t bytes = real->bytes_limit - real->sent_bytes;
    struct td_slice slice;

    return real->queue.len > 0 && !real->ready && /* it will be tried again */
           s->messages_out - s->messages_seen < TD_MESSAGES_OUT_MAX &&
           td_queue_slice(&real->queue, &slice, runs, TD_RUNS_MAX,
                          events < TD_EVENTS_MAX ? events : TD_EVENTS_MAX,
                          bytes) &&
           (real->queue.taken + slice.events == slice.item->batch.events ||
            real->sent == real->ledger.delivered ||
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

/* A silent peer is noticed, in time that the broker ran. */
static void check_session(struct sim *sim, const struct td_session *s)
{
    const struct sim_broker *b = &sim->broker;
    const struct td_str peer = {s->peer, s->peer_len};
    struct sim_link *link = sim_link_of(sim, peer);
    struct sim_producer *p = &sim->producers[link->producer];

    p->seen_ms = sim->now_ms;
    SIM_CHECK(sim, !s->doomed, "a doomed session outlives the turn");
    SIM_CHECK(sim, link->session == s->number, "a session of nobody");
    SIM_CHECK(sim, b->run_ms - link->heard_run_ms <= TD_DEAD_MS + 2500,
              "link %u is silent for %lld ms and still alive", link->number,
              (long long)(b->run_ms - link->heard_run_ms));
    if (s->held) {
        bool any = s->held_by_more && b->engine->holds;

        for (uint32_t i = 0; i < s->holds_len; i++) {
            struct td_hold *hold;

            HASH_FIND(hh, b->engine->holds, &s->holds[i],
                      sizeof(s->holds[i]), hold);
            any = any || hold;
        }
        SIM_CHECK(sim, any || b->engine->hold_ended,
                  "credit is withheld and nobody holds it");
        if (s->held_by_more)
            sim_seen(sim, SIM_SEEN_HOLD_MANY);
    }
    check_credit(sim, s);
    for (struct td_sub *sub = s->subs; sub; sub = sub->hh.next) {
        check_sub(sim, s, sub);
        SIM_CHECK(sim, !is_stuck(s, sub),
                  "session %llu subscription %llu could be sent to",
                  (unsigned long long)s->number,
                  (unsigned long long)sub->number);
    }
}

static void check_counters(struct sim *sim)
{
    const struct td_counters *c = &sim->broker.engine->counters;
    const struct sim_model *m = &sim->model;

    SIM_CHECK(sim,
              c->published == m->published &&
                  c->duplicates == m->duplicates &&
                  c->routed == m->routed && c->unmatched == m->unmatched,
              "published %llu duplicates %llu routed %llu unmatched %llu; "
              "expected %llu %llu %llu %llu",
              (unsigned long long)c->published,
              (unsigned long long)c->duplicates,
              (unsigned long long)c->routed,
              (unsigned long long)c->unmatched,
              (unsigned long long)m->published,
              (unsigned long long)m->duplicates,
              (unsigned long long)m->routed,
              (unsigned long long)m->unmatched);
    SIM_CHECK(sim, c->published == c->duplicates + c->routed + c->unmatched,
              "published does not balance");
    SIM_CHECK(sim,
              c->gone.matched == c->gone.delivered + sum_of(c->gone.dropped),
              "what has ended does not balance");
    if (c->gone.dropped[TD_DROP_SESSION_LOST])
        sim_seen(sim, SIM_SEEN_DROPPED_LOST);
    if (c->breaches)
        sim_seen(sim, SIM_SEEN_BREACH);
    if (c->bad_frames)
        sim_seen(sim, SIM_SEEN_BAD_FRAME);
    if (c->silent)
        sim_seen(sim, SIM_SEEN_BROKER_SILENCE);
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

    forget_ended(sim);
    forget_sessions(sim);
    watch_holds(sim);
    for (struct td_session *s = e->sessions; s; s = s->hh.next)
        check_session(sim, s);
    check_counters(sim);
    SIM_CHECK(sim, td_engine_held_bytes(e) <= memory,
              "%zu bytes are held, %zu may be", td_engine_held_bytes(e),
              memory);
}
