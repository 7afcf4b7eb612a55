/* The engine: a durable group in random histories, against a simple model: what
 * was confirmed is stored once, what was acked does not come again, and at the
 * end every event is acked or dead. */
#include "tests/unit/stream_fixture.h"

#include <stdlib.h>
#include <string.h>

#include "tests/support/mp.h"

#define STEPS       1500
#define SEEDS       6
#define EVENTS_MAX  16384u
#define MEMBERS     3
#define PUBLISHERS  2
#define ACK_WAIT_MS 1000
#define BLUR_MS     650 /* what is delivered is seen so much later at most */
#define IN_FLIGHT   40u
#define OPTIONS                                                                \
    "\"start\" \"all\" \"ack_wait_ms\" 1000 \"max_deliver\" 3 "                \
    "\"backoff_ms\" 50 \"max_in_flight\" 40"

/* An event as its publisher sees it. */
enum fate { NEVER, ASKED, CONFIRMED, REFUSED };

struct publisher {
    char peer[8];
    unsigned lives;
    uint8_t token;
    uint64_t next;
    enum fate fate[EVENTS_MAX];
    uint64_t stored[EVENTS_MAX]; /* where, as it was told; 0: it was not */
};

struct member {
    char peer[8];
    unsigned lives;
    bool here;
    bool away;
    uint8_t token;
    uint64_t last;    /* tag */
    uint64_t settled; /* all up to this tag are */
    uint64_t messages;
    uint64_t sequence[EVENTS_MAX]; /* of each tag; 0: it is settled, or late */
};

/* One of the stream, as its group sees it. */
struct event {
    int holder; /* + 1 */
    int64_t since;
    int acked; /* 1: lately; 2: a crash does not undo it; -1: perhaps, it may
                  have been too late, or undone by a crash */
};

struct world {
    struct streams *s;
    uint32_t random;
    unsigned epoch;
    unsigned names;
    struct publisher pub[PUBLISHERS];
    struct member member[MEMBERS];
    struct event event[EVENTS_MAX];
    uint64_t last;
    bool probed; /* it was parked, and tried again */
};

static uint32_t draw(struct world *w, uint32_t below)
{
    w->random = w->random * 1664525u + 1013904223u;
    return (w->random >> 8) % below;
}

/* ---- what the engine said ---- */

static void see_confirm(struct publisher *p, const struct td_confirm *row)
{
    for (uint64_t i = 0; i < row->count; i++) {
        uint64_t n = row->first + i;

        assert_true(n < p->next && p->fate[n] == ASKED);
        p->fate[n] = row->code ? REFUSED : CONFIRMED;
        if (!row->code && row->sequence > 0)
            p->stored[n] = row->sequence + i;
    }
}

static void see_confirms(struct world *w, struct publisher *p)
{
    struct td_confirm row;

    for (uint32_t i = 0; confirm_to(w->s, p->peer, i, &row); i++)
        see_confirm(p, &row);
}

static void let_go(struct world *w, uint64_t sequence)
{
    w->event[sequence].holder = 0;
}

static void see_event(struct world *w, int m, uint64_t sequence,
                      uint64_t deliveries)
{
    struct event *event = &w->event[sequence];
    struct member *member = &w->member[m];

    assert_true(sequence > 0 && sequence < EVENTS_MAX);
    assert_true(deliveries >= 1 && deliveries <= 3 + w->epoch);
    if (event->holder > 0) { /* it was too late */
        struct member *before = &w->member[event->holder - 1];

        assert_true(w->s->f->now - event->since >= ACK_WAIT_MS - BLUR_MS ||
                    before->away);
        for (uint64_t tag = before->settled + 1; tag <= before->last; tag++) {
            if (before->sequence[tag] == sequence)
                before->sequence[tag] = 0;
        }
    }
    assert_true(event->acked <= 0);
    event->acked = 0;
    event->holder = m + 1;
    event->since = w->s->f->now;
    assert_true(member->last + 1 < EVENTS_MAX);
    member->sequence[++member->last] = sequence;
    if (sequence > w->last)
        w->last = sequence;
}

static void see_deliveries(struct world *w, int m)
{
    struct member *member = &w->member[m];
    struct td_span span;

    for (uint32_t i = 0; span_to(w->s, member->peer, i, &span); i++) {
        for (uint64_t k = 0; k < span.count; k++)
            see_event(w, m, span.sequence + k, span.deliveries);
    }
    member->messages += messages_to(w->s->f, member->peer);
}

/* What is out is in one place, and counted once. */
static void check_out(struct world *w)
{
    const struct td_consumer *c;

    DL_FOREACH(w->s->f->engine->streams.consumers, c)
    {
        uint64_t out = c->group->queue.events + c->retries.events;
        uint64_t leased = 0;
        uint64_t since = 0;

        if (!td_consumer_is_durable(c))
            continue;
        for (const struct td_sub *sub = c->group->members; sub;
             sub = sub->group_next) {
            leased += sub->leases->events;
            out += sub->own.events;
            since += td_inflight_above(sub->leases, sub->parked_tag);
        }
        assert_true(since <= td_outage_width(&c->outage));
        w->probed = w->probed || c->outage.state == TD_OUTAGE_PROBING;
        assert_int_equal(c->out, out + leased + c->burials.len);
        assert_true(leased <= IN_FLIGHT + HASH_COUNT(c->redriven));
    }
}

static void see(struct world *w)
{
    struct fixture *f = w->s->f;

    assert_true(f->sent_len < SENT_MAX);
    for (int i = 0; i < PUBLISHERS; i++)
        see_confirms(w, &w->pub[i]);
    for (int i = 0; i < MEMBERS; i++) {
        if (w->member[i].here && !w->member[i].away)
            see_deliveries(w, i);
    }
    forget(f);
    check_out(w);
}

/* ---- publishers ---- */

static uint8_t token_of(struct world *w, const char *peer)
{
    struct td_str token = {NULL, 0};

    assert_true(
        td_map_bin(frame(w->s->f, peer, TD_WELCOME, 0)->u.welcome.limits,
                   "token", &token));
    return (uint8_t)token.data[0];
}

static void greet(struct world *w, char *peer, unsigned *lives, uint8_t *token,
                  const char *more)
{
    char options[200];

    peer[2] = '/';
    peer[3] = (char)('a' + ++*lives % 26);
    peer[4] = (char)('a' + *lives / 26 % 26);
    peer[5] = '\0';
    snprintf(options, sizeof(options), "{\"token\" <c4 10 %02x*16> %s}", *token,
             more);
    hello_with(w->s->f, peer, options);
    *token = token_of(w, peer);
}

static void send_events(struct world *w, struct publisher *p, uint64_t first,
                        uint32_t n)
{
    const struct piece piece = {first % 3 ? "a.b" : "a.c", n, 10, first, NULL};

    publish(w->s->f, p->peer, DISK, &piece, 1);
}

static void publish_again(struct world *w, struct publisher *p)
{
    greet(w, p->peer, &p->lives, &p->token, "");
    for (uint64_t n = 1; n < p->next; n++) {
        if (p->fate[n] == ASKED)
            send_events(w, p, n, 1);
    }
}

static void publish_more(struct world *w, struct publisher *p)
{
    uint32_t n = 1 + draw(w, 5);

    if (p->next + n >= EVENTS_MAX / 4)
        return;
    for (uint32_t i = 0; i < n; i++)
        p->fate[p->next + i] = ASKED;
    send_events(w, p, p->next, n);
    p->next += n;
}

/* ---- members ---- */

static void lose_member(struct world *w, struct member *m)
{
    for (uint64_t tag = m->settled + 1; tag <= m->last; tag++) {
        if (m->sequence[tag])
            let_go(w, m->sequence[tag]);
    }
    m->here = m->away = false;
    m->last = m->settled = m->messages = 0;
}

static void join(struct world *w, struct member *m)
{
    unsigned n = w->names++;

    lose_member(w, m);
    m->peer[0] = (char)('A' + n % 26);
    m->peer[1] = (char)('a' + n / 26 % 26);
    m->lives = 0;
    m->token = 0;
    greet(w, m->peer, &m->lives, &m->token, "");
    m->here = true;
    consume(w->s, m->peer, 1, ">", "events", "g", OPTIONS);
}

static void leave(struct world *w, struct member *m)
{
    give(w->s->f, m->peer, "[14 0 \"\"]");
    lose_member(w, m);
}

/* Some of what was sent last did not arrive. */
static void go_away(struct world *w, struct member *m)
{
    uint64_t lost = draw(w, 6);

    gone(w->s->f, m->peer);
    m->away = true;
    for (; lost > 0 && m->last > m->settled && m->sequence[m->last]; lost--)
        let_go(w, m->sequence[m->last--]);
}

static void return_member(struct world *w, struct member *m)
{
    bool yes = false;
    char list[80];
    char peer[8];

    snprintf(list, sizeof(list), "\"subscriptions\" [[1 %llu 0]]",
             (unsigned long long)m->last);
    memcpy(peer, m->peer, sizeof(peer));
    greet(w, m->peer, &m->lives, &m->token, list);
    td_map_bool(frame(w->s->f, m->peer, TD_WELCOME, 0)->u.welcome.limits,
                "resumed", &yes);
    m->away = false;
    m->messages = 0;
    if (yes)
        return;
    lose_member(w, m);
    m->here = true;
    consume(w->s, m->peer, 1, ">", "events", "g", OPTIONS);
}

static enum td_verb pick_verb(struct world *w)
{
    uint32_t n = draw(w, 100);

    return n < 60   ? TD_ACK
           : n < 75 ? TD_NAK
           : n < 87 ? TD_RELEASE
           : n < 92 ? TD_TERM
           : n < 97 ? TD_PROGRESS
                    : TD_PARK;
}

static void settle_some(struct world *w, struct member *m, enum td_verb verb,
                        uint64_t first, uint64_t last)
{
    for (uint64_t tag = first; tag <= last && tag <= m->last; tag++) {
        uint64_t sequence = m->sequence[tag];

        if (sequence == 0)
            continue;
        if (verb == TD_PROGRESS)
            continue; /* it may have been too late */
        /* one that is late is not believed */
        if (verb == TD_ACK) {
            int64_t late = w->s->f->now - w->event[sequence].since;

            w->event[sequence].acked = late < ACK_WAIT_MS - BLUR_MS ? 1 : -1;
        }
        let_go(w, sequence);
        m->sequence[tag] = 0;
    }
    while (m->settled < m->last && m->sequence[m->settled + 1] == 0)
        m->settled++;
    givef(w->s->f, m->peer, "[17 [[1 %d %llu %llu %u \"\"]]]", (int)verb,
          (unsigned long long)first, (unsigned long long)last,
          verb == TD_PARK ? 1 + draw(w, 400) : 0);
}

static void take(struct world *w, struct member *m)
{
    givef(w->s->f, m->peer, "[9 %llu [[1 %llu 100000 100000000]]]",
          (unsigned long long)m->messages, (unsigned long long)m->settled);
}

static void work(struct world *w, struct member *m)
{
    if (m->last > m->settled) {
        uint64_t first =
            m->settled + 1 + draw(w, (uint32_t)(m->last - m->settled));

        settle_some(w, m, pick_verb(w), first, first + draw(w, 6));
    }
    if (draw(w, 3) == 0)
        take(w, m);
}

/* ---- what happens ---- */

static void begin_again(struct world *w, int undone)
{
    w->epoch++;
    for (uint64_t i = 1; i < EVENTS_MAX; i++) {
        if (w->event[i].acked > 0 && w->event[i].acked <= undone)
            w->event[i].acked = -1;
    }
    for (int i = 0; i < MEMBERS; i++)
        lose_member(w, &w->member[i]);
    for (int i = 0; i < PUBLISHERS; i++)
        publish_again(w, &w->pub[i]);
}

static void calm(struct world *w)
{
    td_model_fail(w->s->model, 0, TIDINGS_OK);
    let_store(w->s);
    see(w);
    pass(w->s->f, 600);
    see(w);
    pass(w->s->f, 100);
    settle_down(w->s);
    see(w);
    for (uint64_t i = 1; i < EVENTS_MAX; i++)
        w->event[i].acked *= w->event[i].acked == 1 ? 2 : 1;
}

static void touch_member(struct world *w)
{
    struct member *m = &w->member[draw(w, MEMBERS)];
    uint32_t n = draw(w, 20);

    if (!m->here)
        join(w, m);
    else if (m->away && n < 8)
        return_member(w, m);
    else if (m->away)
        return;
    else if (n == 0)
        leave(w, m);
    else if (n < 3)
        go_away(w, m);
    else
        work(w, m);
}

static void touch_store(struct world *w)
{
    switch (draw(w, 8)) {
    case 0:
        kill_broker(w->s);
        begin_again(w, 1);
        break;
    case 1:
        cut_power(w->s); /* settlements are written, not synced */
        begin_again(w, 2);
        break;
    case 2:
        td_model_fail(w->s->model, 1 + draw(w, 3),
                      draw(w, 2) ? TIDINGS_EFULL : TIDINGS_ENOMEM);
        break;
    case 3:
        calm(w);
        break;
    case 4:
        let_store(w->s);
        break;
    case 5:
        td_model_commit(w->s->model, 1 + draw(w, 3));
        break;
    default:
        hold_store(w->s);
        break;
    }
}

static void step(struct world *w)
{
    uint32_t n = draw(w, 100);

    if (n < 25)
        publish_more(w, &w->pub[draw(w, PUBLISHERS)]);
    else if (n < 70)
        touch_member(w);
    else if (n < 76)
        touch_store(w);
    else if (n < 78)
        publish_again(w, &w->pub[draw(w, PUBLISHERS)]);
    else
        pass(w->s->f, 1 + draw(w, 300));
    flush(w->s->f);
    see(w);
}

/* ---- the end ---- */

/* All that was confirmed is there once, where it was said to be. */
static void check_stored(struct world *w)
{
    uint64_t *seen = calloc(EVENTS_MAX, sizeof(*seen)); /* by stream */
    uint64_t n = 0;

    assert_non_null(seen);
    hello(w->s->f, "rd");
    consume(w->s, "rd", 1, ">", "events", NULL, "\"start\" \"all\"");
    for (uint32_t i = 0; i < 100; i++) {
        pass(w->s->f, 10);
        givef(w->s->f, "rd", "[9 %u []]", messages_to(w->s->f, "rd"));
    }
    for (uint32_t i = 0; i < messages_to(w->s->f, "rd"); i++) {
        const struct td_batches *b = delivered(w->s->f, "rd", i);

        for (uint32_t r = 0; r < b->len; r++) {
            struct publisher *p = &w->pub[b->batch[r].producer.data[1] - 'a'];

            for (uint32_t k = 0; k < b->batch[r].runs_len; k++) {
                const struct td_run *run = &b->batch[r].runs[k];

                for (uint64_t q = run->first; q < run->first + run->count;
                     q++) {
                    n++;
                    assert_true(p->fate[q] != NEVER && p->fate[q] != REFUSED);
                    assert_true(p->stored[q] == 0 || p->stored[q] == n);
                    p->fate[q] = NEVER; /* not twice */
                }
            }
        }
    }
    for (int i = 0; i < PUBLISHERS; i++) {
        for (uint64_t q = 1; q < w->pub[i].next; q++)
            assert_true(w->pub[i].fate[q] != CONFIRMED);
    }
    free(seen);
}

static void check_settled(struct world *w)
{
    const struct td_consumer *c = NULL;
    struct td_str row;

    for (int round = 0; round < 400; round++) {
        struct member *m = &w->member[0];

        if (!m->here || m->away)
            join(w, m);
        flush(w->s->f);
        see(w);
        if (m->last > m->settled)
            settle_some(w, m, TD_ACK, m->settled + 1, m->last);
        take(w, m);
        pass(w->s->f, 200);
        see(w);
    }
    DL_FOREACH(w->s->f->engine->streams.consumers, c)
    {
        assert_int_equal(c->out, 0);
        assert_int_equal(c->settled.floor, c->stream->head.next);
    }
    hello(w->s->f, "op");
    row = row_of(call(w->s, "op", "group.list", "{}"), "groups", 0);
    for (uint64_t n = count(row, "dead"), i = 1; i <= w->last; i++)
        if (w->event[i].acked == 0 && n-- == 0)
            fail_msg("sequence %llu is neither acked nor dead",
                     (unsigned long long)i);
}

static void run(struct streams *s, uint32_t seed)
{
    struct world *w = calloc(1, sizeof(*w));

    assert_non_null(w);
    w->s = s;
    w->random = seed;
    s->f->unjudged = true;
    for (int i = 0; i < PUBLISHERS; i++) {
        w->pub[i].next = 1;
        w->pub[i].peer[0] = 'p';
        w->pub[i].peer[1] = (char)('a' + i);
        publish_again(w, &w->pub[i]);
    }
    for (int i = 0; i < STEPS; i++)
        step(w);
    calm(w);
    assert_true(w->probed);
    check_settled(w);
    check_stored(w);
    free(w);
}

static void test_durable_random_histories(void **state)
{
    void *again;

    for (uint32_t seed = 1; seed <= SEEDS; seed++) {
        const char *text = getenv("TIDINGS_SEED");

        if (text)
            seed = (uint32_t)atoi(text);
        assert_int_equal(setup_streams(&again), 0);
        run(again, seed);
        teardown_streams(&again);
        if (text)
            break;
    }
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_durable_random_histories),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
