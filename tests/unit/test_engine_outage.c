/* The engine: a durable group that is parked gets nothing, then one event at a
 * time, then more and more; what was given back so does not count. */
#include "tests/unit/stream_fixture.h"

#define G "\"stream\" \"events\" \"group\" \"g\""

/* The member parks the group for so long, with these tags. */
static void park(struct streams *s, const char *peer, uint64_t first,
                 uint64_t last, unsigned ms)
{
    givef(s->f, peer, "[17 [[1 6 %llu %llu %u \"\"]]]",
          (unsigned long long)first, (unsigned long long)last, ms);
    settle_down(s);
}

static void wait_ms(struct streams *s, int64_t ms)
{
    pass(s->f, ms);
    settle_down(s);
}

static struct td_str group_row(struct streams *s)
{
    return row_of(call(s, "pub", "group.list", "{}"), "groups", 0);
}

static void check_state(struct streams *s, const char *state)
{
    assert_true(is_text(text_of(group_row(s), "state"), state));
}

static void begin_group(struct streams *s, const char *more)
{
    hello(s->f, "pub");
    hello(s->f, "sub");
    consume(s, "sub", 1, ">", "events", "g", more);
}

/* Five are with it, and it parks the group for 100 ms. */
static void begin_parked(struct streams *s, const char *more)
{
    begin_group(s, more);
    put(s, "pub", "a", 5, 1, DISK);
    GOT(s, "sub", 1, 2, 3, 4, 5);
    park(s, "sub", 1, 5, 100);
    check_state(s, "parked");
}

/* The n-th span that it got was of a first delivery. */
static void check_first_time(struct streams *s, const char *peer, uint32_t nth)
{
    struct td_span span;

    assert_true(span_to(s, peer, nth, &span));
    assert_int_equal(span.deliveries, 1);
}

static void test_outage_is_waited_out(void **state)
{
    struct streams *s = *state;

    begin_parked(s, "");
    assert_int_equal(count(group_row(s), "released"), 5);
    assert_int_equal(count(group_row(s), "parks"), 1);
    assert_int_equal(count(group_row(s), "parked_ms"), 100);
    put(s, "pub", "a", 5, 6, DISK);
    wait_ms(s, 90);
    GOT(s, "sub", 1, 2, 3, 4, 5);
    wait_ms(s, 20);
    GOT(s, "sub", 1, 2, 3, 4, 5, 1); /* one of those */
    check_first_time(s, "sub", 1);
    check_state(s, "probing");
    wait_ms(s, 1000);
    settle(s, "sub", TD_ACK, 6, 6);
    GOT(s, "sub", 1, 2, 3, 4, 5, 1, 2, 3);
    check_state(s, "ramping");
    settle(s, "sub", TD_ACK, 7, 7);
    GOT(s, "sub", 1, 2, 3, 4, 5, 1, 2, 3, 4);
    settle(s, "sub", TD_ACK, 8, 8); /* from here on four at once, … */
    GOT(s, "sub", 1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 6, 7);
    settle(s, "sub", TD_ACK, 9, 12); /* … and eight: that is all there are */
    check_state(s, "running");
    put(s, "pub", "a", 100, 11, DISK);
    assert_int_equal(events_to(s->f, "sub"), 5 + 10 + 100);
}

/* No delivery counts, however long it lasts. */
static void test_outage_burns_nothing(void **state)
{
    struct streams *s = *state;
    struct td_span span;
    uint64_t tag = 6;

    begin_parked(s, "\"max_deliver\" 2");
    for (; tag < 26; tag++) {
        wait_ms(s, 110);
        assert_int_equal(events_to(s->f, "sub"), tag);
        park(s, "sub", tag, tag, 100);
    }
    assert_int_equal(count(group_row(s), "parks"), 21);
    assert_int_equal(count(group_row(s), "dead"), 0);
    call(s, "pub", "group.resume", "{" G "}");
    settle_down(s);
    for (uint32_t i = 0; span_to(s, "sub", i, &span); i++)
        assert_int_equal(span.deliveries, 1);
    assert_int_equal(events_to(s->f, "sub"), 25 + 5);
}

/* A probe that fails by itself is counted as ever, and another is tried. */
static void test_outage_probes_one_by_one(void **state)
{
    struct streams *s = *state;

    begin_parked(s, "\"backoff_ms\" 10000 \"max_deliver\" 2");
    wait_ms(s, 110);
    GOT(s, "sub", 1, 2, 3, 4, 5, 1);
    settle(s, "sub", TD_NAK, 6, 6);
    GOT(s, "sub", 1, 2, 3, 4, 5, 1, 2);
    settle(s, "sub", TD_TERM, 7, 7);
    GOT(s, "sub", 1, 2, 3, 4, 5, 1, 2, 3);
    settle(s, "sub", TD_RELEASE, 8, 8);
    GOT(s, "sub", 1, 2, 3, 4, 5, 1, 2, 3, 4); /* it is the last now */
    check_state(s, "probing");
    assert_int_equal(count(group_row(s), "naked"), 1);
    assert_int_equal(count(group_row(s), "termed"), 1);
    settle(s, "sub", TD_ACK, 9, 9);
    GOT(s, "sub", 1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 3);
    settle(s, "sub", TD_ACK, 10, 11);
    check_state(s, "running"); /* the other waits for its time, not for this */
    assert_int_equal(count(group_row(s), "dead"), 1);
}

static void test_outage_probe_that_is_too_late(void **state)
{
    struct streams *s = *state;

    begin_parked(s, "\"ack_wait_ms\" 500");
    wait_ms(s, 110);
    GOT(s, "sub", 1, 2, 3, 4, 5, 1);
    wait_ms(s, 400);
    GOT(s, "sub", 1, 2, 3, 4, 5, 1);
    wait_ms(s, 100);
    GOT(s, "sub", 1, 2, 3, 4, 5, 1, 2);
    assert_int_equal(count(group_row(s), "timed_out"), 1);
    park(s, "sub", 6, 6, 100); /* it is late with that too */
    assert_int_equal(settled_with(s, "sub", TIDINGS_EEXIST), 1);
    check_state(s, "probing");
}

/* They are there. */
static void speak(struct streams *s)
{
    give(s->f, "pub", "[11 1]");
    give(s->f, "two", "[11 1]");
}

static void test_outage_probe_that_is_lost(void **state)
{
    struct streams *s = *state;

    hello(s->f, "two"); /* it stays */
    begin_parked(s, "");
    wait_ms(s, 110);
    GOT(s, "sub", 1, 2, 3, 4, 5, 1);
    consume(s, "two", 1, ">", "events", "g", "");
    gone(s->f, "sub");
    wait_ms(s, TD_GRACE_MS - 1000);
    speak(s);
    assert_int_equal(events_to(s->f, "two"), 0);
    wait_ms(s, 2000);
    assert_int_equal(events_to(s->f, "two"), 1);
    assert_int_equal(count(group_row(s), "lost"), 1);
    check_state(s, "probing");
}

/* What others have when it is parked is theirs: they finish it, or park it as
 * well, and neither tells of the outage. */
static void test_outage_leaves_others_what_they_have(void **state)
{
    struct streams *s = *state;

    begin_group(s, "");
    hello(s->f, "two");
    consume(s, "two", 1, ">", "events", "g", "");
    put(s, "pub", "a", 8, 1, DISK);
    GOT(s, "two", 5, 6, 7, 8);
    park(s, "sub", 1, 4, 100);
    settle(s, "two", TD_ACK, 1, 1);
    check_state(s, "parked");
    park(s, "two", 2, 2, 50);
    assert_int_equal(count(group_row(s), "parks"), 1);
    wait_ms(s, 110);
    assert_int_equal(events_to(s->f, "sub") + events_to(s->f, "two"), 9);
    settle(s, "two", TD_ACK, 3, 3);
    check_state(s, "probing");
    assert_int_equal(events_to(s->f, "sub") + events_to(s->f, "two"), 9);
    park(s, "two", 4, 4, 0); /* it found out late: as long as the last time */
    assert_int_equal(count(group_row(s), "parked_ms"), 100);
    wait_ms(s, 110); /* the probe is from before now */
    assert_int_equal(events_to(s->f, "sub") + events_to(s->f, "two"), 10);
}

/* Dealt by key, what it has no credit for lies with a member. */
static void test_outage_takes_back_what_was_not_sent(void **state)
{
    static const char *const keys[] = {"k", "k", "k", "k", "x", "k"};
    const struct piece piece = {"a", 6, 10, 1, keys};
    struct streams *s = *state;

    hello(s->f, "pub");
    hello(s->f, "sub");
    givef(s->f, "sub",
          "[5 1 1 \">\" {\"events\" 2 \"bytes\" 100000000 " G
          " \"group_policy\" \"key\"}]");
    publish(s->f, "pub", DISK, &piece, 1);
    settle_down(s);
    GOT(s, "sub", 1, 2);
    park(s, "sub", 1, 2, 100);
    give(s->f, "sub", "[9 1 [[1 2 100 100000000]]]");
    settle_down(s);
    GOT(s, "sub", 1, 2);
    wait_ms(s, 110);
    GOT(s, "sub", 1, 2, 1);
    settle(s, "sub", TD_ACK, 3, 3);
    GOT(s, "sub", 1, 2, 1, 5, 2);
    for (uint64_t tag = 4; tag < 8; tag++)
        settle(s, "sub", TD_ACK, tag, tag);
    GOT(s, "sub", 1, 2, 1, 5, 2, 3, 4, 6); /* the key's in order */
}

/* What cannot be the probe, as an older one of its key has come back since, is
 * put aside, and the next one is tried. */
static void test_outage_probes_what_is_its_keys_turn(void **state)
{
    static const char *const keys[] = {"x", "k", "k"};
    const struct piece piece = {"a", 3, 10, 1, keys};
    struct streams *s = *state;

    hello(s->f, "pub");
    hello(s->f, "sub");
    givef(s->f, "sub",
          "[5 1 1 \">\" {\"events\" 2 \"bytes\" 100000000 " G
          " \"group_policy\" \"key\"}]");
    publish(s->f, "pub", DISK, &piece, 1);
    settle_down(s);
    GOT(s, "sub", 1, 2);
    park(s, "sub", 1, 1, 100);          /* the third is taken back, … */
    settle(s, "sub", TD_RELEASE, 2, 2); /* … and then the second comes back */
    give(s->f, "sub", "[9 1 [[1 2 100 100000000]]]");
    wait_ms(s, 110);
    GOT(s, "sub", 1, 2, 1);
    settle(s, "sub", TD_RELEASE, 3, 3);
    GOT(s, "sub", 1, 2, 1, 2);
}

/* Many of a key that waits are put aside in a turn, not one in each. */
static void test_outage_looks_past_many_of_a_key_that_waits(void **state)
{
    static const char *const keys[] = {"x", "k"};
    const struct piece piece = {"a", 2, 10, 1, keys};
    const char *many[61];
    const struct piece behind = {"a", 61, 10, 3, many};
    struct streams *s = *state;

    for (unsigned i = 0; i < 61; i++)
        many[i] = i < 60 ? "k" : "y";
    begin_group(s, "\"group_policy\" \"key\"");
    publish(s->f, "pub", DISK, &piece, 1);
    settle_down(s);
    GOT(s, "sub", 1, 2);
    park(s, "sub", 1, 1, 100);
    settle(s, "sub", TD_RELEASE, 2, 2);
    publish(s->f, "pub", DISK, &behind, 1);
    wait_ms(s, 110);
    GOT(s, "sub", 1, 2, 1);
    settle(s, "sub", TD_ACK, 3, 3);
    GOT(s, "sub", 1, 2, 1, 2, 63);
}

static void test_outage_is_probed_by_who_pulls(void **state)
{
    struct streams *s = *state;

    hello(s->f, "pub");
    hello(s->f, "sub");
    give(s->f, "sub", "[5 1 1 \">\" {\"events\" 0 \"bytes\" 100000000 " G "}]");
    put(s, "pub", "a", 5, 1, DISK);
    give(s->f, "sub", "[9 0 [[1 0 3 100000000]]]");
    settle_down(s);
    GOT(s, "sub", 1, 2, 3);
    park(s, "sub", 1, 3, 100);
    wait_ms(s, 200);
    GOT(s, "sub", 1, 2, 3); /* it asks for nothing */
    check_state(s, "probing");
    give(s->f, "sub", "[9 1 [[1 3 13 100000000]]]");
    settle_down(s);
    GOT(s, "sub", 1, 2, 3, 1);
}

static void test_outage_of_a_single_consumer(void **state)
{
    struct streams *s = *state;

    begin_parked(s, "\"group_policy\" \"single\"");
    hello(s->f, "two");
    consume(s, "two", 1, ">", "events", "g", "");
    wait_ms(s, 110);
    GOT(s, "sub", 1, 2, 3, 4, 5, 1);
    give(s->f, "sub", "[6 2 1]"); /* it leaves: the other has the next one */
    settle_down(s);
    assert_int_equal(events_to(s->f, "two"), 1);
    park(s, "two", 1, 1, 100);
    wait_ms(s, 110);
    assert_int_equal(events_to(s->f, "two"), 2);
}

/* The probe did not arrive: another is sent, alone, under its tag. */
static void test_outage_probes_anew_when_resumed(void **state)
{
    struct streams *s = *state;

    begin_parked(s, "");
    wait_ms(s, 110);
    GOT(s, "sub", 1, 2, 3, 4, 5, 1);
    gone(s->f, "sub");
    wait_ms(s, 50);
    come_back(s->f, "sub/2", "[[1 4 0]]"); /* nor did what was before it */
    assert_true(resumed(s->f, "sub/2"));
    settle_down(s);
    GOT(s, "sub/2", 2);
    check_state(s, "probing");
    settle(s, "sub/2", TD_ACK, 5, 5);
    GOT(s, "sub/2", 2, 3, 4);
    check_state(s, "ramping");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_STREAM(test_outage_is_waited_out),
        TEST_STREAM(test_outage_burns_nothing),
        TEST_STREAM(test_outage_probes_one_by_one),
        TEST_STREAM(test_outage_probe_that_is_too_late),
        TEST_STREAM(test_outage_probe_that_is_lost),
        TEST_STREAM(test_outage_leaves_others_what_they_have),
        TEST_STREAM(test_outage_takes_back_what_was_not_sent),
        TEST_STREAM(test_outage_probes_what_is_its_keys_turn),
        TEST_STREAM(test_outage_looks_past_many_of_a_key_that_waits),
        TEST_STREAM(test_outage_is_probed_by_who_pulls),
        TEST_STREAM(test_outage_of_a_single_consumer),
        TEST_STREAM(test_outage_probes_anew_when_resumed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
