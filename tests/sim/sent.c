/* What the engine sends, compared with what it ought to. */
#include "tests/sim/world.h"

static void deliver_run(struct sim *sim, struct sim_esub *sub,
                        uint32_t producer, const struct td_run *run,
                        const uint8_t **at)
{
    const uint8_t *end = *at + run->bytes;

    for (uint32_t i = 0; i < run->count && !sim->failed; i++) {
        const uint8_t *next = td_events_skip(*at, end, 1);

        SIM_CHECK(sim, next, "an event of a DELIVER has no end");
        if (!next)
            return;
        sim_owe_less(sim, sub, sim_event_key(producer, run->first + i),
                     (uint64_t)(next - *at));
        *at = next;
    }
}

static void note_deliver(struct sim *sim, const struct sim_esub *sub,
                         const struct td_batches *b, const struct td_body *body)
{
    const struct td_run *last = &b->runs[b->runs_len - 1];

    if (body == sim->broker.handed)
        sim_seen(sim, SIM_SEEN_BY_REFERENCE);
    if (b->len > 1)
        sim_seen(sim, SIM_SEEN_GATHERED);
    if (b->len == TD_BATCHES_MAX || (b->len > 1 && b->bytes > 60000))
        sim_seen(sim, SIM_SEEN_GATHERED_FULL);
    if (!sub->advised && !sub->group && sub->sent == sub->events_limit &&
        sub->head < sub->tail &&
        sub->ring[sub->head & (sub->ring_cap - 1)] ==
            sim_event_key(sim_producer_index((struct sim *)sim,
                                             b->batch[b->len - 1].producer),
                          last->first + last->count))
        sim_seen(sim, SIM_SEEN_SPLIT);
}

static void check_window(struct sim *sim, struct sim_link *link)
{
    uint64_t unanswered = ++link->messages_out - link->messages_answered;

    link->gaps_out = link->gaps_asked = 0;
    SIM_CHECK(sim, unanswered <= TD_MESSAGES_OUT_MAX,
              "too many unanswered DELIVER");
    if (unanswered == TD_MESSAGES_OUT_MAX)
        sim_seen(sim, SIM_SEEN_MESSAGES_FULL);
}

/* What is of one subscription; returns its body bytes. */
static uint32_t sent_part(struct sim *sim, struct sim_link *link,
                          const struct td_part *part, struct td_body *body,
                          const uint8_t *at)
{
    struct sim_esub *sub =
        sim_esub_find(sim, link->session, part->subscription);
    struct td_batches *b = &sim->batches;
    uint32_t events = 0;
    uint32_t bytes = 0;
    const char *why;

    SIM_CHECK(sim, sub, "DELIVER for no subscription");
    SIM_CHECK(sim,
              td_batches_sum(part->batches, &events, &bytes) &&
                  bytes <= (size_t)(body->data + body->len - at) &&
                  !td_batches_decode(b, part->batches, at, bytes, &why),
              "DELIVER is malformed");
    if (sim->failed)
        return 0;
    SIM_CHECK(sim, part->tag == sub->sent + 1, "tag %llu after %llu",
              (unsigned long long)part->tag, (unsigned long long)sub->sent);
    if (sub->group)
        sim_forget_ended(sim); /* whoever held what is dealt now */
    sim_owe_begin(sim, sub);
    for (uint32_t i = 0; i < b->len; i++) {
        const struct td_batch *batch = &b->batch[i];
        uint32_t producer = sim_producer_index(sim, batch->producer);

        for (uint32_t n = 0; n < batch->runs_len; n++)
            deliver_run(sim, sub, producer, &batch->runs[n], &at);
    }
    SIM_CHECK(sim, sub->sent <= sub->events_limit, "event credit exceeded");
    SIM_CHECK(sim, sub->sent_bytes <= sub->bytes_limit, "byte credit exceeded");
    note_deliver(sim, sub, b, body);
    return bytes;
}

static void sent_deliver(struct sim *sim, struct sim_link *link,
                         const struct td_frame *f, struct td_body *body)
{
    const struct td_str *raw = &f->u.deliver.parts;
    struct td_reader parts = td_reader_of(raw->data, raw->len);
    const uint8_t *at = body->data;
    uint64_t seen[TD_BATCHES_MAX];
    struct td_part part;
    uint32_t n = 0;

    check_window(sim, link);
    SIM_CHECK(sim, td_read_array(&parts, &n) && n > 0 && n <= TD_BATCHES_MAX,
              "DELIVER of %u parts", n);
    if (n > 1)
        sim_seen(sim, SIM_SEEN_TOGETHER);
    for (uint32_t i = 0; i < n && !sim->failed; i++) {
        SIM_CHECK(sim, td_part_read(&parts, &part), "a part is malformed");
        for (uint32_t k = 0; k < i; k++)
            SIM_CHECK(sim, seen[k] != part.subscription,
                      "a subscription stands twice in a DELIVER");
        seen[i] = part.subscription;
        if (!sim->failed)
            at += sent_part(sim, link, &part, body, at);
    }
    SIM_CHECK(sim, sim->failed || at == body->data + body->len,
              "body and parts do not meet");
}

static void sent_gap(struct sim *sim, struct sim_link *link,
                     const struct td_frame *f)
{
    struct sim_esub *sub =
        sim_esub_find(sim, link->session, f->u.gap.subscription);

    SIM_CHECK(sim, sub, "GAP for no subscription");
    SIM_CHECK(sim, f->u.gap.events > 0, "GAP of nothing");
    if (!sub)
        return;
    /* Somebody who does not read must not be flooded with bad news; that it
     * says something, perhaps long ago, does not show that it reads. */
    SIM_CHECK(sim, ++link->gaps_out <= SIM_GAPS_MAX || link->evil,
              "link %u: %u GAP since it was known to read, or delivered to",
              link->number, link->gaps_out);
    if (link->gaps_out == SIM_GAPS_MANY)
        sim_seen(sim, SIM_SEEN_GAPS_MANY);
    sub->gap_told += f->u.gap.events;
    if (sub->group)
        sub->group->gap_told += f->u.gap.events;
    sim_seen(sim, SIM_SEEN_GAP);
}

static void sent_ping(struct sim_link *link, const struct td_frame *f)
{
    link->asked = f->u.ping.token;
    link->gaps_asked = link->gaps_out;
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
    sim_resume_welcome(sim, link, f);
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

    SIM_CHECK(
        sim, f->u.taken.taken == p->taken, "TAKEN says %llu, taken are %llu",
        (unsigned long long)f->u.taken.taken, (unsigned long long)p->taken);
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

/* What it says over that link comes too late. */
static bool is_away(struct sim *sim, const struct sim_link *link)
{
    struct td_session *s;

    HASH_FIND(hh_peer, sim->broker.engine->peers, link->id, link->id_len, s);
    return s && s->away;
}

static void sent_bye(struct sim *sim, struct sim_link *link,
                     const struct td_frame *f)
{
    if (f->u.bye.code == TIDINGS_EEXIST)
        sim_seen(sim, SIM_SEEN_REPLACED);
    if (f->u.bye.code == TIDINGS_ETIMEDOUT)
        SIM_CHECK(sim,
                  link->evil || link->broker_may_complain || is_away(sim, link),
                  "link %u is taken for silent, and nothing happened to it",
                  link->number);
}

void sim_model_sent(struct sim *sim, struct sim_link *link, const void *control,
                    size_t len, struct td_body *body)
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
        sim_note_session(sim, link);
    switch (f.op) {
    case TD_DELIVER:
        sent_deliver(sim, link, &f, body);
        break;
    case TD_GAP:
        sent_gap(sim, link, &f);
        break;
    case TD_PING:
        sent_ping(link, &f);
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
