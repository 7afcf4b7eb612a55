/* The engine: groups in which one member has all events, and the others stand
 * by. */
#include "tests/unit/stream_fixture.h"

#define LIVE "{" ROOM " \"group\" \"g\" \"group_policy\" \"single\"}"

static void begin_live(struct streams *s)
{
    hello(s->f, "pub");
    subscriber(s->f, "one", "a", LIVE);
    subscriber(s->f, "two", "a", LIVE);
    subscriber(s->f, "three", "a", LIVE);
}

static void begin_durable(struct streams *s)
{
    hello(s->f, "pub");
    hello(s->f, "one");
    hello(s->f, "two");
    hello(s->f, "three");
    consume(s, "one", 1, ">", "events", "g", "\"group_policy\" \"single\"");
    consume(s, "two", 1, ">", "events", "g", "");
    consume(s, "three", 1, ">", "events", "g", "");
}

static void check_got(struct streams *s, uint64_t one, uint64_t two,
                      uint64_t three)
{
    assert_int_equal(events_to(s->f, "one"), one);
    assert_int_equal(events_to(s->f, "two"), two);
    assert_int_equal(events_to(s->f, "three"), three);
}

static void take(struct streams *s, const char *peer, uint64_t taken)
{
    givef(s->f, peer, "[9 %u [[1 %llu 100000 100000000]]]",
          messages_to(s->f, peer), (unsigned long long)taken);
    settle_down(s);
}

/* Until the grace time of who is away is over; the others are heard. */
static void pass_grace(struct streams *s)
{
    for (int64_t ms = 0; ms <= TD_GRACE_MS; ms += TD_HEARTBEAT_MS) {
        give(s->f, "pub", "[11 1]");
        give(s->f, "two", "[11 1]");
        give(s->f, "three", "[11 1]");
        pass(s->f, TD_HEARTBEAT_MS);
    }
    settle_down(s);
}

/* ---- live ---- */

static void test_single_live_goes_to_the_first(void **state)
{
    struct streams *s = *state;

    begin_live(s);
    put(s, "pub", "a", 10, 1, 0);
    put(s, "pub", "a", 10, 11, 0);
    check_got(s, 20, 0, 0);
    take(s, "one", 20);
    give(s->f, "one", "[6 2 1]"); /* it leaves */
    put(s, "pub", "a", 5, 21, 0);
    check_got(s, 20, 5, 0);
}

/* Nobody else has an event while it may still handle some. */
static void test_single_live_waits_for_what_is_in_flight(void **state)
{
    struct streams *s = *state;

    begin_live(s);
    put(s, "pub", "a", 4, 1, 0);
    take(s, "one", 3);
    gone(s->f, "one");
    put(s, "pub", "a", 4, 5, 0);
    check_got(s, 4, 0, 0);
    pass_grace(s);
    check_got(s, 4, 4, 0); /* the last one of the first four is lost */
    judge(s->f);
}

static void test_single_live_passes_at_once_without_any(void **state)
{
    struct streams *s = *state;

    begin_live(s);
    put(s, "pub", "a", 4, 1, 0);
    take(s, "one", 4);
    gone(s->f, "one");
    put(s, "pub", "a", 4, 5, 0);
    check_got(s, 4, 4, 0);
}

/* Who takes over keeps it, also when the first is back. */
static void test_single_live_keeps_who_took_over(void **state)
{
    struct streams *s = *state;

    begin_live(s);
    take(s, "one", 0);
    gone(s->f, "one");
    put(s, "pub", "a", 4, 1, 0);
    check_got(s, 0, 4, 0);
    hello_with(s->f, "one/2",
               "{\"token\" <c4 10 02*16> \"subscriptions\" [[1 0 0]]}");
    assert_true(resumed(s->f, "one/2"));
    put(s, "pub", "a", 4, 5, 0);
    check_got(s, 0, 8, 0);
    assert_int_equal(events_to(s->f, "one/2"), 0);
    take(s, "two", 8);
    give(s->f, "two", "[6 2 1]");
    put(s, "pub", "a", 4, 9, 0);
    assert_int_equal(events_to(s->f, "one/2"), 4); /* it joined first */
}

static void test_single_live_waits_for_its_credit(void **state)
{
    struct streams *s = *state;

    hello(s->f, "pub");
    subscriber(s->f, "one", "a",
               "{\"events\" 3 \"bytes\" 100000000 \"group\" \"g\""
               " \"group_policy\" \"single\"}");
    subscriber(s->f, "two", "a", LIVE);
    put(s, "pub", "a", 10, 1, 0);
    assert_int_equal(events_to(s->f, "one"), 3);
    assert_int_equal(events_to(s->f, "two"), 0);
    take(s, "one", 3);
    assert_int_equal(events_to(s->f, "one"), 10);
    assert_int_equal(events_to(s->f, "two"), 0);
}

/* ---- durable ---- */

static void test_single_durable_goes_to_the_first(void **state)
{
    struct streams *s = *state;

    begin_durable(s);
    put(s, "pub", "a", 10, 1, 0);
    check_got(s, 10, 0, 0);
    settle(s, "one", TD_ACK, 1, 6);
    give(s->f, "one", "[6 2 1]"); /* gives four back */
    settle_down(s);
    check_got(s, 10, 4, 0);
}

static void test_single_durable_waits_for_what_is_in_flight(void **state)
{
    struct streams *s = *state;

    begin_durable(s);
    put(s, "pub", "a", 4, 1, 0);
    gone(s->f, "one");
    put(s, "pub", "a", 4, 5, 0);
    check_got(s, 4, 0, 0);
    pass_grace(s);
    check_got(s, 4, 8, 0);
}

/* Its time is up, or its grace: whichever comes first. */
static void test_single_durable_waits_for_ack_wait_at_most(void **state)
{
    struct streams *s = *state;

    hello(s->f, "pub");
    hello(s->f, "one");
    hello(s->f, "two");
    consume(s, "one", 1, ">", "events", "g",
            "\"group_policy\" \"single\" \"ack_wait_ms\" 1000");
    consume(s, "two", 1, ">", "events", "g", "");
    put(s, "pub", "a", 4, 1, 0);
    gone(s->f, "one");
    pass(s->f, 900);
    settle_down(s);
    assert_int_equal(events_to(s->f, "two"), 0);
    pass(s->f, 900);
    settle_down(s);
    assert_int_equal(events_to(s->f, "two"), 4);
}

static void test_single_durable_comes_again_to_the_same(void **state)
{
    struct streams *s = *state;

    begin_durable(s);
    put(s, "pub", "a", 4, 1, 0);
    settle(s, "one", TD_NAK, 2, 3);
    pass(s->f, 1000);
    settle_down(s);
    check_got(s, 6, 0, 0);
}

/* ---- a link that is lost, as only sending shows ---- */

/* What it did not take is another's at once, and not delivered once more. */
static void test_single_durable_passes_when_a_link_takes_nothing(void **state)
{
    struct streams *s = *state;
    struct td_span span;

    begin_durable(s);
    s->f->deaf = "one";
    put(s, "pub", "a", 4, 1, 0);
    settle_down(s);
    check_got(s, 0, 4, 0);
    assert_true(span_to(s, "two", 0, &span));
    assert_int_equal(span.deliveries, 1);
}

/* Large ones go alone, by reference. */
static void test_single_durable_passes_what_goes_alone(void **state)
{
    const struct piece large = {"a", 1, 40000, 1, NULL};
    struct streams *s = *state;

    begin_durable(s);
    s->f->deaf = "one";
    publish(s->f, "pub", 0, &large, 1);
    settle_down(s);
    check_got(s, 0, 1, 0);
}

/* It comes back: what it was not sent is not its any more. */
static void test_single_durable_is_not_sent_again_what_passed(void **state)
{
    struct streams *s = *state;

    begin_durable(s);
    put(s, "pub", "a", 2, 1, 0);
    settle(s, "one", TD_ACK, 1, 2);
    s->f->deaf = "one";
    put(s, "pub", "a", 4, 3, 0);
    settle_down(s);
    check_got(s, 2, 4, 0);
    s->f->deaf = NULL;
    hello_with(s->f, "one/2",
               "{\"token\" <c4 10 02*16> \"subscriptions\" [[1 2 0]]}");
    assert_true(resumed(s->f, "one/2"));
    settle_down(s);
    assert_int_equal(events_to(s->f, "one/2"), 0);
    settle(s, "two", TD_ACK, 1, 4);
    give(s->f, "two", "[6 2 1]");
    put(s, "pub", "a", 3, 7, 0);
    assert_int_equal(events_to(s->f, "one/2"), 3);
    assert_int_equal(part(s->f, "one/2", 0)->tag, 3);
    judge(s->f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_STREAM(test_single_live_goes_to_the_first),
        TEST_STREAM(test_single_live_waits_for_what_is_in_flight),
        TEST_STREAM(test_single_live_passes_at_once_without_any),
        TEST_STREAM(test_single_live_keeps_who_took_over),
        TEST_STREAM(test_single_live_waits_for_its_credit),
        TEST_STREAM(test_single_durable_goes_to_the_first),
        TEST_STREAM(test_single_durable_waits_for_what_is_in_flight),
        TEST_STREAM(test_single_durable_waits_for_ack_wait_at_most),
        TEST_STREAM(test_single_durable_comes_again_to_the_same),
        TEST_STREAM(test_single_durable_passes_when_a_link_takes_nothing),
        TEST_STREAM(test_single_durable_passes_what_goes_alone),
        TEST_STREAM(test_single_durable_is_not_sent_again_what_passed),
    };

    return cmocka_run_group_tests_name("engine_single", tests, NULL, NULL);
}
