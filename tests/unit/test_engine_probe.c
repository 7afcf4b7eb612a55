/* The engine: members of groups that have events and say nothing are sent a
 * PING, so that a link that was closed is found. D05. */
#include "tests/unit/stream_fixture.h"

#define LONG "\"ack_wait_ms\" 600000 \"backoff_ms\" 1 \"backoff_max_ms\" 1"

static uint32_t pings_to(struct streams *s, const char *peer)
{
    uint32_t n = 0;

    while (find(s->f, peer, TD_PING, n))
        n++;
    return n;
}

/* Of ten events two members have five each. */
static void begin_two(struct streams *s)
{
    hello(s->f, "pub");
    hello(s->f, "one");
    hello(s->f, "two");
    consume(s, "one", 1, ">", "events", "g", LONG);
    consume(s, "two", 1, ">", "events", "g", "");
    put(s, "pub", "a", 10, 1, 0);
    assert_int_equal(events_to(s->f, "one"), 5);
}

/* Time in which the others are heard of. */
static void wait(struct streams *s, int64_t ms)
{
    for (int64_t end = s->f->now + ms; s->f->now < end;) {
        pass(s->f, 500);
        give(s->f, "pub", "[12 0]");
        give(s->f, "two", "[12 0]");
    }
    settle_down(s);
}

static uint64_t lost(struct streams *s)
{
    return count(row_of(call(s, "pub", "group.list", "{}"), "groups", 0),
                 "lost");
}

/* Others ask it, so whoever looks for it is to know that it is gone. */
static void test_probe_asks_who_serves(void **state)
{
    struct streams *s = *state;
    uint32_t before;

    hello(s->f, "pub");
    hello(s->f, "two");
    hello(s->f, "one");
    give(s->f, "one", "[19 1 1 \"users\" \"1.0.0\" {}]");
    wait(s, 5000);
    assert_in_range(pings_to(s, "one"), 3, 5);
    assert_int_equal(pings_to(s, "two"), 0);
    give(s->f, "one", "[20 2 1]");
    before = pings_to(s, "one");
    wait(s, 4000);
    assert_int_equal(pings_to(s, "one"), before);
}

static void test_probe_asks_who_has_events(void **state)
{
    struct streams *s = *state;
    uint32_t before;

    begin_two(s);
    wait(s, 500);
    assert_int_equal(pings_to(s, "one"), 0);
    wait(s, 4500);
    assert_in_range(pings_to(s, "one"), 3, 5);
    assert_int_equal(pings_to(s, "two"), 0); /* it has been heard of */
    settle(s, "one", TD_ACK, 1, 5);
    before = pings_to(s, "one");
    wait(s, 4000);
    assert_int_equal(pings_to(s, "one"), before); /* it has nothing */
}

static void test_probe_asks_nobody_else(void **state)
{
    struct streams *s = *state;

    hello(s->f, "pub");
    hello(s->f, "one");
    give(s->f, "one", "[5 1 1 \"a\" " WIDE "]");
    consume(s, "one", 2, ">", "events", NULL, "");
    put(s, "pub", "a", 10, 1, 0);
    assert_int_equal(events_to(s->f, "one"), 20);
    wait(s, 4000);
    assert_int_equal(pings_to(s, "one"), 0);
}

static void test_probe_asks_in_live_groups(void **state)
{
    struct streams *s = *state;

    hello(s->f, "pub");
    hello(s->f, "one");
    give(s->f, "one", "[5 1 1 \"a\" {" ROOM " \"group\" \"g\"}]");
    put(s, "pub", "a", 10, 1, 0);
    wait(s, 4000);
    assert_in_range(pings_to(s, "one"), 2, 4);
}

static void test_probe_finds_a_closed_link(void **state)
{
    struct streams *s = *state;

    begin_two(s);
    s->f->deaf = "one";
    wait(s, TD_PROBE_MS + 1500);
    assert_int_equal(s->f->engine->away_len, 1);
    assert_int_equal(lost(s), 0); /* it may come back */
    wait(s, TD_GRACE_MS);
    assert_int_equal(lost(s), 5);
    assert_int_equal(events_to(s->f, "two"), 10);
}

/* D06: who was stopped, or is very busy, loses nothing by it. */
static void test_probe_takes_nothing_from_who_is_there(void **state)
{
    struct streams *s = *state;

    begin_two(s);
    wait(s, TD_DEAD_MS - 500);
    assert_int_equal(lost(s), 0);
    settle(s, "one", TD_ACK, 1, 5);
    assert_int_equal(settled_with(s, "one", TIDINGS_EEXIST), 0);
    wait(s, TD_DEAD_MS - 500);
    assert_int_equal(events_to(s->f, "two"), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_STREAM(test_probe_asks_who_has_events),
        TEST_STREAM(test_probe_asks_who_serves),
        TEST_STREAM(test_probe_asks_nobody_else),
        TEST_STREAM(test_probe_asks_in_live_groups),
        TEST_STREAM(test_probe_finds_a_closed_link),
        TEST_STREAM(test_probe_takes_nothing_from_who_is_there),
    };

    return cmocka_run_group_tests_name("engine_probe", tests, NULL, NULL);
}
