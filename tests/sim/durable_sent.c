/* Deliveries as they leave the broker: each is of what is stored, its turn has
 * come, and its count is right. */
#include "tests/sim/durable_world.h"

/* ---- the order of a key ---- */

static const struct td_lease *lease_of(const struct td_sub *sub,
                                       uint64_t sequence)
{
    const struct td_inflight *f = sub->leases;

    for (uint32_t i = f->len; i-- > 0;) {
        const struct td_lease *lease = &f->leases[(f->head + i) & (f->cap - 1)];

        if (lease->count > 0 && sequence >= lease->sequence &&
            sequence - lease->sequence < lease->count)
            return lease;
    }
    return NULL;
}

static bool is_dying(const struct td_consumer *c, uint64_t sequence)
{
    for (uint32_t i = 0; i < c->burials.len; i++) {
        const struct td_burial *burial = td_fifo_nth(&c->burials, i);

        if (burial->retry.sequence == sequence)
            return true;
    }
    for (uint32_t i = 0; i < c->retries.len; i++) {
        const struct td_retry *retry = &c->retries.heap[i];

        if (retry->dead && sequence >= retry->sequence &&
            sequence - retry->sequence < retry->count)
            return true;
    }
    return false;
}

/* All before it of its key are settled, or went to the same member first. */
static void check_key(struct dur *d, struct dur_group *g,
                      const struct td_sub *sub, uint64_t sequence, uint64_t tag)
{
    const struct td_consumer *c = sub->group->consumer;
    const struct dur_stream *s = &d->streams[g->stream];
    const struct dur_event *event = dur_event_at(d, s, sequence);
    uint64_t n = c->settled.floor;

    if (!event || event->key == 0 || td_redriven_find(c, sequence))
        return;
    if (n < c->stream->kept.first)
        n = c->stream->kept.first;
    for (n = td_settled_next(&c->settled, n); n < sequence;
         n = td_settled_next(&c->settled, n + 1)) {
        const struct dur_event *before = dur_event_at(d, s, n);
        const struct td_lease *lease;

        if (!before || before->key != event->key || !dur_wants(g, before) ||
            is_dying(c, n))
            continue;
        lease = lease_of(sub, n);
        DUR_CHECK(d, lease && lease->tag + (n - lease->sequence) < tag,
                  "group %s: %llu is sent before %llu of the same key (%s)",
                  g->name, (ull)sequence, (ull)n,
                  lease ? "later tag" : "not with this member");
        if (lease)
            dur_seen(d, DUR_SEEN_KEYED_PIPELINE);
    }
}

/* ---- counts ---- */

/* The highest tag that was sent before. */
struct dur_tags *dur_tags_of(struct dur *d, uint64_t session,
                             uint64_t subscription)
{
    for (uint64_t i = d->tags_len; i-- > 0;) {
        if (d->tags[i].session == session &&
            d->tags[i].subscription == subscription)
            return &d->tags[i];
    }
    d->tags = sim_grow(d->tags, d->tags_len, &d->tags_cap, sizeof(*d->tags));
    d->tags[d->tags_len] =
        (struct dur_tags){.session = session, .subscription = subscription};
    return &d->tags[d->tags_len++];
}

/* Given back, or not even received, it does not count. */
static bool is_next(const struct dur_mark *mark, uint64_t deliveries)
{
    return deliveries == mark->last + 1u ||
           (mark->sent && deliveries == mark->last);
}

static void check_count(struct dur *d, struct dur_group *g,
                        const struct td_consumer *c, struct dur_mark *mark,
                        uint64_t sequence, uint64_t deliveries)
{
    const struct td_redriven *redriven = td_redriven_find(c, sequence);

    DUR_CHECK(d,
              deliveries <= g->max_deliver + d->crashes + g->returns ||
                  dur_marks_returned(d, g, c),
              "group %s: %llu is delivered %llu times", g->name, (ull)sequence,
              (ull)deliveries);
    if (redriven) {
        DUR_CHECK(d, redriven->number == 0 || redriven->number != mark->purged,
                  "group %s: %llu is redriven, and its dead letter was purged",
                  g->name, (ull)sequence);
        mark->redriven = true;
        dur_seen(d, DUR_SEEN_REDRIVEN);
        return;
    }
    DUR_CHECK(d, !mark->accepted || dur_marks_returned(d, g, c),
              "group %s: %llu is acked and delivered again", g->name,
              (ull)sequence);
    DUR_CHECK(d, sequence >= c->stream->kept.first,
              "group %s: %llu is gone from the stream and delivered", g->name,
              (ull)sequence);
    DUR_CHECK(d, !td_settled_has(&c->settled, sequence),
              "group %s: %llu is settled and delivered again", g->name,
              (ull)sequence);
    DUR_CHECK(d,
              is_next(mark, deliveries) ||
                  (dur_marks_returned(d, g, c) && is_next(mark, deliveries)),
              "group %s: %llu is delivered for the %lluth time after the %uth",
              g->name, (ull)sequence, (ull)deliveries, mark->last);
    mark->sent = true;
    mark->last = (uint8_t)deliveries;
    mark->total++;
    if (mark->old_ack)
        dur_seen(d, DUR_SEEN_REDELIVERED_CRASH);
}

/* ---- a part ---- */

struct span_reader {
    struct td_reader list;
    struct td_span span;
    uint64_t at; /* in it */
    uint32_t left;
};

static bool next_place(struct span_reader *r)
{
    if (++r->at < r->span.count)
        return true;
    r->at = 0;
    return r->left-- > 0 && td_span_read(&r->list, &r->span);
}

static void check_event(struct dur *d, struct td_sub *sub, struct dur_group *g,
                        const struct td_span *span, uint64_t sequence,
                        uint64_t tag, bool again)
{
    const struct td_consumer *c = sub->group->consumer;

    dur_say(d, "%s: %llu to session %llu, tag %llu, delivery %llu%s", g->name,
            (ull)sequence, (ull)sub->session->number, (ull)tag,
            (ull)span->deliveries, again ? ", again" : "");
    check_count(d, g, c, dur_mark(g, sequence), sequence, span->deliveries);
    if (c->group->share == TD_BY_KEY)
        check_key(d, g, sub, sequence, tag);
}

static void check_batch(struct dur *d, struct td_sub *sub,
                        struct span_reader *r, const struct td_batch *batch,
                        const uint8_t **events, uint64_t *tag,
                        struct dur_tags *tags)
{
    const struct td_consumer *c = sub->group->consumer;
    struct dur_stream *s = dur_stream_named(d, c->stream->options.name);
    struct dur_group *g = dur_group_of(d, c);

    for (uint32_t i = 0; i < batch->runs_len; i++) {
        const struct td_run *run = &batch->runs[i];

        for (uint32_t n = 0; n < run->count; n++, ++*tag) {
            uint64_t sequence;
            struct dur_event *event;
            bool own;

            if (!next_place(r)) {
                dur_fail(d, __FILE__, __LINE__, "a part has too few spans");
                return;
            }
            sequence = r->span.sequence + r->at;
            event =
                dur_event_nth(d, dur_event_met(d, batch, run, n, events, &own));
            if (!event)
                return;
            DUR_CHECK(d,
                      dur_event_at(d, s, sequence) == event ||
                          (s->memory && event->at == 0) ||
                          td_redriven_find(c, sequence) ||
                          !dur_event_at(d, s, sequence),
                      "stream %s: %llu is sent, and stands under %llu", s->name,
                      (ull)sequence, (ull)event->at);
            if (!td_redriven_find(c, sequence) && *tag > tags->last)
                dur_purge_sent(d, s, sequence,
                               g ? g->since_ms : tags->since_ms);
            dur_expiry_sent(d, c, event, sequence,
                            g ? g->since_ms : tags->since_ms);
            if (g)
                check_event(d, sub, g, &r->span, sequence, *tag,
                            *tag <= tags->last);
            else
                dur_names_sent(d, c, tags, sequence, *tag <= tags->last);
        }
    }
}

static void check_part(struct dur *d, struct td_session *session,
                       const struct td_part *part, const uint8_t *events,
                       size_t bytes)
{
    struct td_sub *sub = td_sub_find(session, part->subscription);
    struct span_reader r = {
        .list = td_reader_of(part->spans.data, part->spans.len)};
    struct dur_tags *tags;
    uint64_t tag = part->tag;
    const char *why;

    if (!sub || !sub->group->consumer)
        return;
    DUR_CHECK(d, td_read_array(&r.list, &r.left), "a part has bad spans");
    tags = dur_tags_of(d, session->number, part->subscription);
    if (td_batches_read(&d->batches, part->batches, bytes, &why)) {
        dur_fail(d, __FILE__, __LINE__, "a part is bad: %s", why);
        return;
    }
    for (uint32_t i = 0; i < d->batches.len && !d->failed; i++)
        check_batch(d, sub, &r, &d->batches.batch[i], &events, &tag, tags);
    if (tags->last > 0 && part->tag <= tags->last &&
        dur_group_of(d, sub->group->consumer))
        dur_seen(d, DUR_SEEN_RESUMED);
    if (tag - 1 > tags->last)
        tags->last = tag - 1;
}

static size_t bytes_of(struct td_str batches)
{
    uint32_t events = 0;
    uint32_t bytes = 0;

    td_batches_sum(batches, &events, &bytes);
    return bytes;
}

void dur_sent(struct dur *d, struct dur_link *link, const void *control,
              size_t len, struct td_body *body)
{
    struct td_session *session = dur_broker_session(d, link);
    struct td_reader parts;
    struct td_part part;
    struct td_frame f;
    const uint8_t *at;
    const char *why;
    uint32_t n;

    if (td_frame_decode(&f, control, len, false, &why)) {
        dur_fail(d, __FILE__, __LINE__, "the broker sends a bad frame: %s",
                 why);
        return;
    }
    if (f.op == TD_GAP && session)
        dur_lost_sent(d, session, &f);
    if (f.op != TD_DELIVER || !session || !body)
        return;
    parts = td_reader_of(f.u.deliver.parts.data, f.u.deliver.parts.len);
    if (!td_read_array(&parts, &n))
        return;
    at = body->data;
    while (n-- > 0 && !d->failed && td_part_read(&parts, &part)) {
        size_t bytes = bytes_of(part.batches);

        check_part(d, session, &part, at, bytes);
        at += bytes;
    }
}
