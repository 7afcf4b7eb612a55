/* The engine: a durable group that is full gets no more, and all who should
 * know are told. */
#include "tests/unit/stream_fixture.h"

#define CHUNK 65536u /* events of a publish */

/* How many GAP with the reason "full". */
static uint32_t told_full(struct streams *s, const char *peer)
{
    struct sent *sent;
    uint32_t n = 0;

    for (uint32_t i = 0; (sent = find(s->f, peer, TD_GAP, i)); i++) {
        if (!is_text(sent->frame.u.gap.reason, "full"))
            continue;
        assert_int_equal(sent->frame.u.gap.events, 0);
        n++;
    }
    return n;
}

static bool is_full(struct streams *s)
{
    bool full = false;

    assert_true(
        td_map_bool(row_of(call(s, "pub", "group.list", "{}"), "groups", 0),
                    "full", &full));
    return full;
}

static void begin_full(struct streams *s)
{
    hello(s->f, "pub");
    hello(s->f, "one");
    hello(s->f, "two");
    hello(s->f, "ops");
    give(s->f, "ops", "[5 1 1 \"$tidings.group.>\" " WIDE "]");
    consume(s, "one", 1, ">", "events", "g", "\"max_in_flight\" 4");
    consume(s, "two", 1, ">", "events", "g", "");
    put(s, "pub", "a", 4, 1, 0);
}

static void test_full_is_told_to_all(void **state)
{
    struct streams *s = *state;

    begin_full(s);
    assert_int_equal(told_full(s, "one"), 0); /* nothing more is there */
    assert_int_equal(events_to(s->f, "ops"), 0);
    assert_true(is_full(s));
    put(s, "pub", "a", 6, 5, 0);
    assert_int_equal(events_to(s->f, "one") + events_to(s->f, "two"), 4);
    assert_int_equal(told_full(s, "one"), 1);
    assert_int_equal(told_full(s, "two"), 1);
    assert_int_equal(events_to(s->f, "ops"), 1);
}

/* Again when half was settled meanwhile, and not within a second. */
static void test_full_is_told_again(void **state)
{
    struct streams *s = *state;

    begin_full(s);
    put(s, "pub", "a", 20, 5, 0);
    settle(s, "one", TD_ACK, 1, 1); /* one more comes: still much the same */
    pass(s->f, 2000);
    settle_down(s);
    assert_int_equal(told_full(s, "one"), 1);
    settle(s, "one", TD_ACK, 2, 2);
    settle(s, "two", TD_ACK, 1, 2);
    settle(s, "one", TD_ACK, 3, 3);
    assert_true(is_full(s));
    assert_int_equal(told_full(s, "one"), 1);
}

static void test_full_again_is_told_after_a_second(void **state)
{
    struct streams *s = *state;

    begin_full(s);
    put(s, "pub", "a", 1, 5, 0);
    settle(s, "one", TD_ACK, 1, 2);
    settle(s, "two", TD_ACK, 1, 2);
    assert_false(is_full(s)); /* one is left */
    put(s, "pub", "a", 10, 6, 0);
    assert_true(is_full(s));
    assert_int_equal(told_full(s, "one"), 1); /* too soon */
    pass(s->f, 1200);
    settle_down(s);
    assert_int_equal(told_full(s, "one"), 2);
    assert_int_equal(told_full(s, "two"), 2);
    assert_int_equal(events_to(s->f, "ops"), 2);
}

/* One event that nobody settles holds the group only when a million others have
 * been settled after it. */
static void test_full_by_one_that_is_not_settled(void **state)
{
    const uint32_t chunks = TD_ACK_GAP_MAX / CHUNK;
    struct streams *s = *state;

    s->f->unjudged = true;
    hello(s->f, "pub");
    hello(s->f, "one");
    give(s->f, "one",
         "[5 1 1 \">\" {\"events\" 1048576 \"bytes\" 1000000000"
         " \"stream\" \"events\" \"group\" \"g\" \"ack_wait_ms\" 86400000"
         " \"max_in_flight\" 100000}]");
    settle_down(s);
    for (uint64_t i = 0; i < chunks + 1; i++) {
        uint64_t first = i * CHUNK + 1;

        put(s, "pub", "a", CHUNK, first, 0);
        if (i < chunks)
            settle(s, "one", TD_ACK, i ? first : 2, first + CHUNK - 1);
        givef(s->f, "one", "[9 %u []]", messages_to(s->f, "one"));
    }
    settle_down(s);
    assert_int_equal(events_to(s->f, "one"), TD_ACK_GAP_MAX);
    assert_true(is_full(s));
    assert_int_equal(told_full(s, "one"), 1);
    settle(s, "one", TD_ACK, 1, 1);
    assert_false(is_full(s));
    givef(s->f, "one", "[9 %u [[1 %u 2097152 1000000000]]]",
          messages_to(s->f, "one"), TD_ACK_GAP_MAX);
    settle_down(s);
    assert_int_equal(events_to(s->f, "one"), TD_ACK_GAP_MAX + CHUNK);
}

/* A member with credit for two, in a group of four. */
static void begin_small(struct streams *s, const char *policy)
{
    hello(s->f, "pub");
    hello(s->f, "one");
    givef(s->f, "one",
          "[5 1 1 \">\" {\"events\" 2 \"bytes\" 100000000"
          " \"stream\" \"events\" \"group\" \"g\" \"max_in_flight\" 4"
          " \"group_policy\" \"%s\"}]",
          policy);
    put(s, "pub", "a", 20, 1, 0);
    settle_down(s);
}

/* Of what it was delivered it has taken so many, and may have so many. */
static void allow(struct streams *s, uint32_t taken, uint32_t limit)
{
    givef(s->f, "one", "[9 %u [[1 %u %u 100000000]]]", messages_to(s->f, "one"),
          taken, limit);
    settle_down(s);
}

/* What was read for members that have no credit fills no group. */
static void test_full_is_what_members_have(void **state)
{
    static const char *const policies[] = {"round_robin", "least_pending",
                                           "single", "key"};
    struct streams *s = *state;

    for (size_t i = 0; i < TD_ARRAY_LEN(policies); i++) {
        if (i > 0) {
            teardown_streams(state);
            setup_streams(state);
            s = *state;
        }
        begin_small(s, policies[i]);
        assert_int_equal(events_to(s->f, "one"), 2);
        assert_false(is_full(s));
        assert_int_equal(told_full(s, "one"), 0);
        assert_true(
            is_text(text_of(row_of(stats(s->f, "consumers", 0), "consumers", 0),
                            "state"),
                    "running"));
        allow(s, 0, 4);
        assert_int_equal(events_to(s->f, "one"), 4);
        assert_row(policies[i], is_full(s) && told_full(s, "one") == 1);
    }
}

/* What comes into the queue when all were settled does not hide that. */
static void test_full_again_after_others_were_read(void **state)
{
    struct streams *s = *state;

    begin_small(s, "round_robin");
    allow(s, 0, 4);
    allow(s, 0, 5);
    settle(s, "one", TD_ACK, 1, 4); /* four more are read, and one is sent */
    assert_int_equal(events_to(s->f, "one"), 5);
    assert_false(is_full(s));
    pass(s->f, 1200);
    settle_down(s);
    assert_int_equal(told_full(s, "one"), 1);
    allow(s, 4, 8);
    assert_true(is_full(s));
    assert_int_equal(told_full(s, "one"), 2);
}

/* Operators see it in the counters as well. */
static void test_full_shows_in_stats(void **state)
{
    struct streams *s = *state;
    struct td_str all;
    struct td_str row;

    begin_full(s);
    put(s, "pub", "a", 6, 5, 0);
    settle(s, "one", TD_NAK, 1, 1);
    all = stats(s->f, "consumers", 0);
    assert_int_equal(count(all, "consumers_total"), 1);
    assert_int_equal(count(all, "kept_events"), 10);
    assert_int_equal(count(all, "lag"), 6);
    assert_int_equal(count(all, "unsettled"), 4);
    row = row_of(all, "consumers", 0);
    assert_true(is_text(text_of(row, "stream"), "events"));
    assert_true(is_text(text_of(row, "group"), "g"));
    assert_true(is_text(text_of(row, "state"), "full"));
    assert_int_equal(count(row, "members"), 2);
    assert_int_equal(count(row, "delivered"), 4);
    assert_int_equal(count(row, "failed"), 1);
    assert_int_equal(count(row, "lag"), 6);
    assert_int_equal(count(row, "in_flight"), 3);
    assert_int_equal(count(row, "waiting"), 1);
    all = stats(s->f, "streams", 0);
    assert_int_equal(count(all, "streams_total"), 1);
    row = row_of(all, "streams", 0);
    assert_true(is_text(text_of(row, "stream"), "events"));
    assert_int_equal(count(row, "first"), 1);
    assert_int_equal(count(row, "last"), 10);
    assert_int_equal(count(row, "groups"), 1);
    give(s->f, "one", "[6 9 1]");
    give(s->f, "two", "[6 9 1]");
    settle_down(s);
    row = row_of(stats(s->f, "consumers", 0), "consumers", 0);
    assert_true(is_text(text_of(row, "state"), "full"));
    call(s, "pub", "group.seek",
         "{\"stream\" \"events\" \"group\" \"g\" \"start\" \"new\"}");
    row = row_of(stats(s->f, "consumers", 0), "consumers", 0);
    assert_true(is_text(text_of(row, "state"), "idle"));
    call(s, "pub", "group.pause", "{\"stream\" \"events\" \"group\" \"g\"}");
    row = row_of(stats(s->f, "consumers", 0), "consumers", 0);
    assert_true(is_text(text_of(row, "state"), "paused"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_STREAM(test_full_is_told_to_all),
        TEST_STREAM(test_full_is_told_again),
        TEST_STREAM(test_full_again_is_told_after_a_second),
        TEST_STREAM(test_full_by_one_that_is_not_settled),
        TEST_STREAM(test_full_is_what_members_have),
        TEST_STREAM(test_full_again_after_others_were_read),
        TEST_STREAM(test_full_shows_in_stats),
    };

    return cmocka_run_group_tests_name("engine_full", tests, NULL, NULL);
}
