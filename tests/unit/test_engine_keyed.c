/* The engine: durable groups that are dealt by key, and keys that wait. */
#include "tests/unit/stream_fixture.h"

static void put_keys(struct streams *s, const char *const *keys, uint32_t n,
                     uint64_t first)
{
    const struct piece piece = {"a", n, 10, first, keys};

    publish(s->f, "pub", DISK, &piece, 1);
    settle_down(s);
}

static void begin_keyed(struct streams *s)
{
    hello(s->f, "pub");
    hello(s->f, "sub");
    consume(s, "sub", 1, ">", "events", "g", "\"group_policy\" \"key\"");
}

static void test_keyed_parks_a_key_that_failed(void **state)
{
    static const char *const one[] = {"k"};
    static const char *const more[] = {"k", "other", "k"};
    struct streams *s = *state;

    begin_keyed(s);
    put_keys(s, one, 1, 1);
    settle(s, "sub", TD_NAK, 1, 1);
    put_keys(s, more, 3, 2);
    GOT(s, "sub", 1, 3); /* the other key flows on */
    pass(s->f, 1000);
    settle_down(s);
    GOT(s, "sub", 1, 3, 1);
    settle(s, "sub", TD_ACK, 3, 3);
    GOT(s, "sub", 1, 3, 1, 2);
    settle(s, "sub", TD_ACK, 4, 4);
    GOT(s, "sub", 1, 3, 1, 2, 4);
    settle(s, "sub", TD_ACK, 5, 5);
    settle(s, "sub", TD_ACK, 2, 2);
    put_keys(s, one, 1, 5); /* it is parked no more */
    GOT(s, "sub", 1, 3, 1, 2, 4, 5);
}

static void test_keyed_takes_released_events_in_order(void **state)
{
    static const char *const keys[] = {"k", "k", "k", "x"};
    struct streams *s = *state;

    begin_keyed(s);
    put_keys(s, keys, 4, 1);
    GOT(s, "sub", 1, 2, 3, 4);
    settle(s, "sub", TD_NAK, 1, 1);
    settle(s, "sub", TD_RELEASE, 2, 3);
    GOT(s, "sub", 1, 2, 3, 4);
    pass(s->f, 1000);
    settle_down(s);
    GOT(s, "sub", 1, 2, 3, 4, 1);
    settle(s, "sub", TD_ACK, 5, 5);
    GOT(s, "sub", 1, 2, 3, 4, 1, 2);
    settle(s, "sub", TD_ACK, 6, 6);
    GOT(s, "sub", 1, 2, 3, 4, 1, 2, 3);
}

static void test_keyed_goes_on_past_the_dead(void **state)
{
    static const char *const keys[] = {"k", "k"};
    struct streams *s = *state;

    begin_keyed(s);
    put_keys(s, keys, 2, 1);
    settle(s, "sub", TD_NAK, 1, 1);
    settle(s, "sub", TD_RELEASE, 2, 2);
    pass(s->f, 1000);
    settle_down(s);
    GOT(s, "sub", 1, 2, 1);
    settle(s, "sub", TD_TERM, 3, 3);
    settle_down(s);
    GOT(s, "sub", 1, 2, 1, 2);
}

static void test_keyed_keeps_order_when_a_member_ends(void **state)
{
    static const char *const keys[] = {"k", "x", "k", "x", "k"};
    struct streams *s = *state;

    begin_keyed(s);
    hello(s->f, "two");
    put_keys(s, keys, 5, 1);
    consume(s, "two", 1, ">", "events", "g", "");
    give(s->f, "sub", "[14 0 \"\"]");
    pass(s->f, 1000);
    settle_down(s);
    GOT(s, "two", 1, 2); /* one of each key at a time */
    settle(s, "two", TD_ACK, 1, 2);
    GOT(s, "two", 1, 2, 3, 4);
    settle(s, "two", TD_ACK, 3, 4);
    GOT(s, "two", 1, 2, 3, 4, 5);
}

/* A key's event comes back, and the member ends in the same turn: what it is
 * owed still of that key waits too. */
static void test_keyed_keeps_order_at_the_end_of_a_subscription(void **state)
{
    static const char *const keys[] = {"k", "k", "x"};
    struct streams *s = *state;

    hello(s->f, "pub");
    hello(s->f, "sub");
    give(s->f, "sub",
         "[5 1 1 \">\" {\"events\" 1 \"bytes\" 2000000 \"stream\" \"events\" "
         "\"group\" \"g\" \"group_policy\" \"key\"}]");
    settle_down(s);
    put_keys(s, keys, 3, 1);
    GOT(s, "sub", 1);
    givef(s->f, "sub", "[17 [[1 %d 1 1 0 \"\"]]]", (int)TD_RELEASE);
    give(s->f, "sub", "[9 1 [[1 1 9 2000000]]]");
    give(s->f, "sub", "[6 2 1]");
    settle_down(s);
    GOT(s, "sub", 1, 3);
}

/* What was sent and did not arrive goes before what waits behind it. */
static void test_keyed_keeps_order_when_a_session_is_resumed(void **state)
{
    static const char *const keys[] = {"k", "k", "x"};
    struct streams *s = *state;

    hello(s->f, "pub");
    hello(s->f, "sub");
    give(s->f, "sub",
         "[5 1 1 \">\" {\"events\" 1 \"bytes\" 2000000 \"stream\" \"events\" "
         "\"group\" \"g\" \"group_policy\" \"key\"}]");
    settle_down(s);
    put_keys(s, keys, 3, 1);
    GOT(s, "sub", 1);
    gone(s->f, "sub");
    come_back(s->f, "sub/2", "[[1 0 0]]");
    assert_true(resumed(s->f, "sub/2"));
    give(s->f, "sub/2", "[9 0 [[1 0 9 2000000]]]");
    settle_down(s);
    GOT(s, "sub/2", 3, 1); /* and 2 is next */
    settle(s, "sub/2", TD_ACK, 2, 2);
    GOT(s, "sub/2", 3, 1, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_STREAM(test_keyed_parks_a_key_that_failed),
        TEST_STREAM(test_keyed_takes_released_events_in_order),
        TEST_STREAM(test_keyed_goes_on_past_the_dead),
        TEST_STREAM(test_keyed_keeps_order_when_a_member_ends),
        TEST_STREAM(test_keyed_keeps_order_at_the_end_of_a_subscription),
        TEST_STREAM(test_keyed_keeps_order_when_a_session_is_resumed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
