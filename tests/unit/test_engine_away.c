/* The engine: what goes on while sessions are away, and what they find. */
#include "tests/unit/engine_harness.h"

#define WINDOW "{\"events\" 100 \"bytes\" 9000000}"
#define OLDEST                                                                 \
    "{\"events\" 2 \"bytes\" 2000000 \"queue_events\" 4 \"policy\" "           \
    "\"drop_oldest\"}"

/* ---- gaps ---- */

static void test_engine_tells_again_the_gaps_not_heard_of(void **state)
{
    static const struct {
        const char *list;
        uint64_t told;
    } rows[] = {{"[[1 2 0]]", 4}, {"[[1 2 4]]", 0}, {"[[1 2 3]]", 1}};

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct fixture *f;

        assert_int_equal(setup_resumable((void **)&f), 0);
        begin(f, "a", OLDEST);
        publish_one(f, "pub", "a", 10, 3, 1); /* 3 to 6 are dropped */
        flush(f);
        give(f, "sub", "[9 1 [[1 2 4 2000000]]]");
        flush(f);
        assert_int_equal(missed_by(f, "sub", "oldest"), 4);
        gone(f, "sub");
        flush(f);
        forget(f);
        come_back(f, "sub/2", rows[i].list);
        assert_row(rows[i].list, resumed(f, "sub/2"));
        flush(f);
        assert_row(rows[i].list,
                   missed_by(f, "sub/2", "oldest") == rows[i].told);
        assert_row(rows[i].list, events_to(f, "sub/2") == 2);
        assert_row(rows[i].list,
                   !rows[i].told || find(f, "sub/2", TD_GAP, 0) <
                                        find(f, "sub/2", TD_DELIVER, 0));
        teardown((void **)&f);
    }
    (void)state;
}

/* What is dropped while it is away is told when it is back. */
static void test_engine_tells_what_was_dropped_meanwhile(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", OLDEST);
    gone(f, "sub");
    flush(f);
    publish_one(f, "pub", "a", 10, 3, 1);
    flush(f);
    come_back(f, "sub/2", "[[1 0 0]]");
    flush(f);
    assert_int_equal(missed_by(f, "sub/2", "oldest"), 6);
    assert_int_equal(events_to(f, "sub/2"), 2);
    assert_int_equal(delivered(f, "sub/2", 0)->runs[0].first, 7);
}

/* ---- groups ---- */

#define MEMBER "{" ROOM " \"group\" \"g\"}"
#define BY_KEY "{" ROOM " \"group\" \"g\" \"group_policy\" \"key\"}"

static void test_engine_deals_past_a_member_that_is_away(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", MEMBER);
    subscriber(f, "m", "a", MEMBER);
    publish_one(f, "pub", "a", 10, 3, 1);
    flush(f);
    gone(f, "sub");
    flush(f);
    publish_one(f, "pub", "a", 10, 3, 11);
    flush(f);
    assert_int_equal(events_to(f, "m"), 15);
    come_back(f, "sub/2", "[[1 1 0]]");
    assert_true(resumed(f, "sub/2"));
    flush(f);
    check_delivered(f, "sub/2", 2, 5); /* what it had been sent, no more */
    publish_one(f, "pub", "a", 2, 3, 21);
    flush(f);
    assert_int_equal(sub_of(f, "sub/2", 1)->sent, 6);
}

/* The keys of a member that is away wait for it; the others flow. */
static void test_engine_keeps_the_keys_of_who_is_away(void **state)
{
    static const char *const ab[] = {"a", "b", "a", "b"};
    struct fixture *f = *state;
    struct piece piece = {"a", 4, 3, 1, ab};

    begin(f, "a", BY_KEY);
    subscriber(f, "m", "a", BY_KEY);
    publish(f, "pub", 0, &piece, 1);
    flush(f);
    assert_int_equal(events_to(f, "sub"), 2);
    gone(f, "sub");
    flush(f);
    forget(f);
    piece.first = 5;
    publish(f, "pub", 0, &piece, 1);
    flush(f);
    assert_int_equal(events_to(f, "m"), 2);
    come_back(f, "sub/2", "[[1 1 0]]");
    assert_true(resumed(f, "sub/2"));
    flush(f);
    assert_int_equal(events_to(f, "sub/2"), 3);
    assert_int_equal(delivered(f, "sub/2", 0)->runs[0].first, 3);
}

/* Over for good: its keys, and what was not sent to it, go to the others. */
static void test_engine_frees_the_keys_of_who_stays_away(void **state)
{
    static const char *const aa[] = {"a", "a"};
    struct fixture *f = *state;
    struct piece piece = {"a", 2, 3, 1, aa};

    begin(f, "a", BY_KEY);
    publish(f, "pub", 0, &piece, 1);
    flush(f);
    gone(f, "sub");
    flush(f);
    subscriber(f, "m", "a", BY_KEY);
    piece.first = 3;
    publish(f, "pub", 0, &piece, 1);
    for (int i = 0; i < 2 * (TD_GRACE_MS + 3000) / 1000; i++) {
        pass(f, 500);
        give(f, "pub", "[12 1]");
        give(f, "m", "[12 1]");
    }
    assert_int_equal(sessions(f), 2);
    assert_int_equal(events_to(f, "m"), 2);
    assert_int_equal(f->engine->counters.all.dropped[TD_DROP_SESSION_LOST], 2);
}

/* Its session is here again before it leaves the group: nobody is dropped
 * for, as if all the members were away. */
static void test_engine_holds_on_when_one_of_two_is_not_listed(void **state)
{
    struct fixture *f = *state;
    const char *room = "{\"events\" 1 \"bytes\" 2000000 \"queue_events\" 10 "
                       "\"group\" \"g\"}";

    begin(f, "a", room);
    givef(f, "sub", "[5 2 2 \"a\" %s]", room);
    publish_one(f, "pub", "a", 14, 3, 1);
    flush(f);
    assert_non_null(f->engine->held);
    come_back(f, "sub/2", "[[1 1 0]]");
    assert_true(resumed(f, "sub/2"));
    flush(f);
    assert_non_null(f->engine->held);
    assert_int_equal(f->engine->subs_len, 1);
    assert_int_equal(f->engine->counters.all.dropped[TD_DROP_SLOW], 0);
}

/* ---- who is away holds nobody up ---- */

#define TINY "{\"events\" 1 \"bytes\" 2000000 \"queue_events\" 10}"

static void test_engine_blocks_for_nobody_who_is_away(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", TINY);
    publish_one(f, "pub", "a", 12, 3, 1);
    flush(f);
    assert_non_null(f->engine->held);
    gone(f, "sub");
    flush(f);
    assert_null(f->engine->held);
    publish_one(f, "pub", "a", 12, 3, 13);
    assert_null(f->engine->holds);
    come_back(f, "sub/2", "[[1 1 0]]");
    flush(f);
    give(f, "sub/2", "[9 0 [[1 1 100 2000000]]]");
    flush(f);
    assert_int_equal(events_to(f, "sub/2") + missed_by(f, "sub/2", "slow"), 23);
}

/* A group all of whose members are away, however it came to that. */
static void test_engine_blocks_for_no_group_that_is_away(void **state)
{
    for (int leaves = 0; leaves < 2; leaves++) {
        struct fixture *f;

        assert_int_equal(setup_resumable((void **)&f), 0);
        begin(f, "a",
              "{\"events\" 1 \"bytes\" 2000000 \"queue_events\" 10 \"group\" "
              "\"g\"}");
        subscriber(f, "m", "a",
                   "{\"events\" 1 \"bytes\" 2000000 \"group\" \"g\"}");
        gone(f, "sub");
        flush(f);
        publish_one(f, "pub", "a", 15, 3, 1);
        flush(f);
        assert_non_null(f->engine->held); /* for m is here */
        if (leaves)
            give(f, "m", "[6 9 1]");
        else
            gone(f, "m");
        flush(f);
        flush(f);
        assert_null(f->engine->held);
        teardown((void **)&f);
    }
    (void)state;
}

static void test_engine_is_idle_with_sessions_away(void **state)
{
    struct fixture *f = *state;

    begin_away(f);
    assert_true(td_engine_is_idle(f->engine));
    subscriber(f, "s2", "a", TINY);
    publish_one(f, "pub", "a", 2, 3, 16);
    flush(f);
    assert_false(td_engine_is_idle(f->engine));
    give(f, "s2", "[9 1 [[1 1 2 2000000]]]");
    flush(f);
    assert_false(td_engine_is_idle(f->engine));
    give(f, "s2", "[9 2 [[1 2 3 2000000]]]");
    assert_true(td_engine_is_idle(f->engine));
    td_engine_drain(f->engine);
    come_back(f, "sub/2", "[[1 7 0]]");
    assert_bye(f, "draining", "sub/2", TIDINGS_ESHUTDOWN);
    td_engine_stop(f->engine, f->now);
    judge(f);
    assert_int_equal(sessions(f), 0);
    assert_null(find(f, "sub", TD_BYE, 0)); /* nobody to say it to */
}

/* Room for one more is made by who has been away longest. */
static void test_engine_prefers_the_living_to_the_away(void **state)
{
    struct fixture *f = *state;
    char name[17];

    f->unjudged = true;
    for (uint32_t i = 0; i < TD_SESSIONS_MAX; i++) {
        snprintf(name, sizeof(name), "s%06u", i);
        hello(f, name);
        forget(f);
    }
    gone(f, "s000003");
    flush(f);
    gone(f, "s000005");
    flush(f);
    hello(f, "more");
    assert_non_null(find(f, "more", TD_WELCOME, 0));
    assert_int_equal(f->engine->away_len, 1);
    assert_int_equal(f->engine->away->number, 6); /* s000005 */
    hello(f, "more2");
    hello(f, "more3");
    assert_bye(f, "sessions", "more3", TIDINGS_ELIMIT);
    f->unjudged = false;
    judge(f);
}

/* ---- all together ---- */

/* A client that keeps the rules, on a link that does not. */
struct client {
    char peer[8];
    bool up;
    uint32_t links;
    uint8_t token; /* all its bytes */
    uint64_t received;
    uint64_t missed;
    uint64_t messages;
};

/* Reads what was sent, up to so many messages; the rest is lost. */
static void receive(struct fixture *f, struct client *c, uint32_t messages)
{
    struct sent *s;

    for (uint32_t i = 0; i < f->sent_len && messages > 0; i++) {
        s = &f->sent[i];
        if (strcmp(s->peer, c->peer) != 0)
            continue;
        if ((find(f, c->peer, TD_GAP, UINT32_MAX), s->frame.op) == TD_GAP)
            c->missed += s->frame.u.gap.events;
        if (s->frame.op != TD_DELIVER)
            continue;
        messages--;
        assert_true(part_of(f, s, 0));
        assert_int_equal(f->part.tag, c->received + 1);
        c->received += f->batches.events;
        c->messages++;
    }
    forget(f);
}

static void reconnect(struct fixture *f, struct client *c)
{
    struct td_str token = {NULL, 0};
    char options[120];

    snprintf(c->peer, sizeof(c->peer), "sub/%u", ++c->links % 1000);
    snprintf(options, sizeof(options),
             "{\"token\" <c4 10 %02x*16> \"subscriptions\" [[1 %u %u]]}",
             c->token, (unsigned)c->received, (unsigned)c->missed);
    hello_with(f, c->peer, options);
    assert_true(resumed(f, c->peer));
    assert_true(td_map_bin(frame(f, c->peer, TD_WELCOME, 0)->u.welcome.limits,
                           "token", &token));
    c->token = (uint8_t)token.data[0];
    c->up = true;
    c->messages = 0;
}

static uint32_t roll(uint32_t *dice, uint32_t sides)
{
    *dice = *dice * 1664525u + 1013904223u;
    return (*dice >> 16) % sides;
}

/* However often links are lost, and whatever with them: each event comes once
 * or is told of, in order. */
static void test_engine_loses_nothing_with_a_link(void **state)
{
    for (uint32_t round = 0; round < 12; round++) {
        struct fixture *f;
        struct client c = {.peer = "sub", .up = true, .token = 2};
        uint32_t dice = 5 + round;
        uint64_t first = 1;

        assert_int_equal(setup_resumable((void **)&f), 0);
        begin(f, "a", round % 2 ? OLDEST : WINDOW);
        for (uint32_t step = 0; step < 120; step++) {
            uint32_t n = 1 + roll(&dice, 6);

            publish_one(f, "pub", "a", n, roll(&dice, 30), first);
            first += n;
            flush(f);
            if (!c.up && roll(&dice, 2)) {
                reconnect(f, &c);
            } else if (c.up && roll(&dice, 4) == 0) {
                receive(f, &c, roll(&dice, 3));
                gone(f, c.peer);
                c.up = false;
            } else if (c.up) {
                uint64_t taken;

                receive(f, &c, UINT32_MAX);
                taken = sub_of(f, c.peer, 1)->delivered;
                taken += roll(&dice, (uint32_t)(c.received - taken) + 1);
                givef(f, c.peer, "[9 %u [[1 %u %u 90000000]]]",
                      (unsigned)c.messages, (unsigned)taken,
                      (unsigned)taken + 100);
            }
            flush(f);
        }
        if (!c.up)
            reconnect(f, &c);
        for (uint32_t i = 0; i < 5; i++) {
            receive(f, &c, UINT32_MAX);
            givef(f, c.peer, "[9 %u [[1 %u 100000 90000000]]]",
                  (unsigned)c.messages, (unsigned)c.received);
            flush(f);
        }
        assert_int_equal(c.received + c.missed, first - 1);
        assert_int_equal(td_engine_held_bytes(f->engine), 0);
        teardown((void **)&f);
    }
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_RESUMABLE(test_engine_tells_again_the_gaps_not_heard_of),
        TEST_RESUMABLE(test_engine_tells_what_was_dropped_meanwhile),
        TEST_RESUMABLE(test_engine_deals_past_a_member_that_is_away),
        TEST_RESUMABLE(test_engine_keeps_the_keys_of_who_is_away),
        TEST_RESUMABLE(test_engine_frees_the_keys_of_who_stays_away),
        TEST_RESUMABLE(test_engine_holds_on_when_one_of_two_is_not_listed),
        TEST_RESUMABLE(test_engine_blocks_for_nobody_who_is_away),
        TEST_RESUMABLE(test_engine_blocks_for_no_group_that_is_away),
        TEST_RESUMABLE(test_engine_is_idle_with_sessions_away),
        TEST_RESUMABLE(test_engine_prefers_the_living_to_the_away),
        TEST_RESUMABLE(test_engine_loses_nothing_with_a_link),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
