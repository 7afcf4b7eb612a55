/* The engine: members and readers that pull get what they ask for, and no
 * more. */
#include "tests/unit/stream_fixture.h"

#define PULL "{\"events\" 0 \"bytes\" 100000000 \"stream\" \"events\" "

/* A member of g, with subscription 1, that pulls. */
static void join(struct streams *s, const char *peer, const char *more)
{
    hello(s->f, peer);
    givef(s->f, peer, "[5 1 1 \">\" " PULL "\"group\" \"g\" %s}]", more);
    settle_down(s);
    assert_ok(code_of_reply(s->f, peer));
}

/* What it has taken, and the total that it asks for by now. */
static void want(struct streams *s, const char *peer, uint64_t taken,
                 uint64_t limit)
{
    givef(s->f, peer, "[9 %u [[1 %llu %llu 100000000]]]",
          messages_to(s->f, peer), (unsigned long long)taken,
          (unsigned long long)limit);
    settle_down(s);
}

static void test_pull_gets_what_it_asks_for(void **state)
{
    struct streams *s = *state;

    hello(s->f, "pub");
    join(s, "one", "");
    put(s, "pub", "a.b", 10, 1, 0);
    assert_int_equal(events_to(s->f, "one"), 0);
    want(s, "one", 0, 3);
    assert_int_equal(events_to(s->f, "one"), 3);
    want(s, "one", 0, 5); /* whether the first three are settled or not */
    assert_int_equal(events_to(s->f, "one"), 5);
    settle(s, "one", TD_ACK, 1, 5);
    want(s, "one", 5, 15);
    assert_int_equal(events_to(s->f, "one"), 10);
    put(s, "pub", "a.b", 10, 11, 0); /* five more were asked for */
    assert_int_equal(events_to(s->f, "one"), 15);
    assert_int_equal(sessions(s->f), 2);
}

/* The rest is for those who ask. */
static void test_pull_leaves_the_rest_to_others(void **state)
{
    struct streams *s = *state;

    hello(s->f, "pub");
    hello(s->f, "two");
    join(s, "one", "");
    want(s, "one", 0, 2);
    consume(s, "two", 1, ">", "events", "g", "");
    put(s, "pub", "a.b", 10, 1, 0);
    assert_int_equal(events_to(s->f, "one"), 2);
    assert_int_equal(events_to(s->f, "two"), 8);
}

static void test_pull_asks_for_less(void **state)
{
    struct streams *s = *state;

    hello(s->f, "pub");
    join(s, "one", "");
    want(s, "one", 0, 10);
    put(s, "pub", "a.b", 4, 1, 0);
    assert_int_equal(events_to(s->f, "one"), 4);
    want(s, "one", 0, 2); /* four were on their way */
    put(s, "pub", "a.b", 4, 5, 0);
    assert_int_equal(events_to(s->f, "one"), 4);
    want(s, "one", 0, 5);
    assert_int_equal(events_to(s->f, "one"), 5);
    assert_int_equal(sessions(s->f), 2);
}

/* Others' limits may not fall. */
static void test_pull_alone_may_ask_for_less(void **state)
{
    struct streams *s = *state;

    hello(s->f, "sub");
    consume(s, "sub", 1, ">", "events", "g", "");
    want(s, "sub", 0, 10);
    assert_bye(s->f, "a limit that falls", "sub", TIDINGS_EPROTO);
}

static void test_pull_is_for_streams(void **state)
{
    struct streams *s = *state;

    hello(s->f, "sub");
    give(s->f, "sub", "[5 1 1 \">\" {\"events\" 0 \"bytes\" 100000000}]");
    assert_int_equal(code_of_reply(s->f, "sub"), TIDINGS_EINVAL);
    give(s->f, "sub",
         "[5 2 1 \">\" {\"bytes\" 100000000 \"stream\" \"events\"}]");
    assert_int_equal(code_of_reply(s->f, "sub"), TIDINGS_EINVAL);
    give(s->f, "sub",
         "[5 3 1 \">\" {\"events\" 0 \"bytes\" 0 \"stream\" \"events\"}]");
    assert_int_equal(code_of_reply(s->f, "sub"), TIDINGS_EINVAL);
}

static void test_pull_reads(void **state)
{
    struct streams *s = *state;

    hello(s->f, "pub");
    put(s, "pub", "a.b", 10, 1, 0);
    hello(s->f, "sub");
    give(s->f, "sub", "[5 1 1 \">\" " PULL "\"start\" \"all\"}]");
    settle_down(s);
    assert_int_equal(events_to(s->f, "sub"), 0);
    want(s, "sub", 0, 4);
    assert_int_equal(events_to(s->f, "sub"), 4);
    want(s, "sub", 4, 20);
    assert_int_equal(events_to(s->f, "sub"), 10);
}

/* ---- by key ---- */

static void put_keys(struct streams *s, const char *const *keys, uint32_t n,
                     uint64_t first)
{
    const struct piece piece = {"a.b", n, 10, first, keys};

    publish(s->f, "pub", 0, &piece, 1);
    settle_down(s);
}

/* A member that asks for nothing holds no keys. */
static void test_pull_by_key_deals_to_those_who_ask(void **state)
{
    static const char *const keys[] = {"a", "b", "c", "d"};
    struct streams *s = *state;

    hello(s->f, "pub");
    join(s, "one", "\"group_policy\" \"key\"");
    join(s, "two", "");
    want(s, "two", 0, 4);
    put_keys(s, keys, 4, 1);
    assert_int_equal(events_to(s->f, "one"), 0);
    assert_int_equal(events_to(s->f, "two"), 4);
}

/* What waits for who holds the key goes to another, once it holds it no more
 * and has stopped asking. */
static void test_pull_by_key_gives_up_what_waits(void **state)
{
    static const char *const keys[] = {"a", "a", "a"};
    struct streams *s = *state;

    hello(s->f, "pub");
    join(s, "one", "\"group_policy\" \"key\"");
    join(s, "two", "");
    want(s, "one", 0, 1);
    want(s, "two", 0, 5);
    put_keys(s, keys, 1, 1);
    assert_int_equal(events_to(s->f, "one") + events_to(s->f, "two"), 1);
    if (events_to(s->f, "one") == 0)
        fail_msg("the first member is the first of two that hold nothing");
    put_keys(s, keys, 2, 2);
    assert_int_equal(events_to(s->f, "two"), 0); /* it is one's key */
    settle(s, "one", TD_ACK, 1, 1);
    want(s, "one", 1, 1);
    assert_int_equal(events_to(s->f, "one"), 1);
    assert_int_equal(events_to(s->f, "two"), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_STREAM(test_pull_gets_what_it_asks_for),
        TEST_STREAM(test_pull_leaves_the_rest_to_others),
        TEST_STREAM(test_pull_asks_for_less),
        TEST_STREAM(test_pull_alone_may_ask_for_less),
        TEST_STREAM(test_pull_is_for_streams),
        TEST_STREAM(test_pull_reads),
        TEST_STREAM(test_pull_by_key_deals_to_those_who_ask),
        TEST_STREAM(test_pull_by_key_gives_up_what_waits),
    };

    return cmocka_run_group_tests_name("engine_pull", tests, NULL, NULL);
}
