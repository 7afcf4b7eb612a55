/* The engine: advisories, the broker's own events. */
#include "tests/unit/engine_harness.h"

#define WATCH "{" ROOM "}"
#define TINY  "{\"events\" 1 \"bytes\" 2000000 \"queue_events\" 4"

/* "w" watches, and nothing it has been told so far counts. */
static void watch(struct fixture *f, const char *pattern)
{
    subscriber(f, "w", pattern, WATCH);
    flush(f);
    forget(f);
}

static void read_all(struct fixture *f)
{
    givef(f, "w", "[9 %u [[1 %u 100000000 1000000000]]]",
          (unsigned)session_of(f, "w")->messages_out,
          (unsigned)sub_of(f, "w", 1)->sent);
    flush(f);
    forget(f);
}

static bool flag_of(struct td_str map, const char *key)
{
    bool value = false;

    assert_row(key, td_map_find(map, key, &(struct td_str){NULL, 0}) &&
                        td_map_bool(map, key, &value));
    return value;
}

/* ---- wanted or not ---- */

static void test_engine_advises_nobody_who_did_not_ask(void **state)
{
    struct fixture *f = *state;

    hello(f, "pub");
    subscriber(f, "a", ">", WATCH);
    subscriber(f, "b", "*.*", WATCH);
    subscriber(f, "c", "*.session.*", WATCH);
    subscriber(f, "s", "a", TINY " \"policy\" \"drop_newest\"}");
    publish_one(f, "pub", "a", 50, 3, 1);
    flush(f);
    gone(f, "s");
    pass(f, 3000);
    assert_int_equal(f->engine->counters.published, 50);
    assert_int_equal(f->engine->advised, 0);
    assert_int_equal(events_to(f, "a"), 50);
    assert_int_equal(events_to(f, "b") + events_to(f, "c"), 0);
}

static void test_engine_counts_advisories_like_events(void **state)
{
    struct fixture *f = *state;

    watch(f, "$tidings.session.*");
    hello(f, "x");
    hello(f, "y");
    flush(f);
    assert_int_equal(f->engine->counters.published, 2);
    assert_int_equal(f->engine->counters.routed, 2);
    assert_int_equal(events_to(f, "w"), 2);
    assert_int_equal(delivered(f, "w", 0)->batch[0].source.len, 9);
    assert_memory_equal(delivered(f, "w", 0)->batch[0].source.data, "/tidingsd",
                        9);
    assert_int_equal(delivered(f, "w", 0)->batch[0].base_us, 1000 * f->now);
    assert_int_equal(delivered(f, "w", 0)->runs[0].first, 1);
}

/* ---- sessions ---- */

static void test_engine_advises_of_sessions(void **state)
{
    struct fixture *f = *state;
    struct td_str data;

    watch(f, "$tidings.>");
    hello(f, "x");
    flush(f);
    assert_int_equal(advised(f, "w", "$tidings.session.up", &data), 1);
    assert_int_equal(count(data, "session"), 2);
    assert_true(is_text(text_of(data, "name"), "x"));
    assert_false(flag_of(data, "resumed"));
    gone(f, "x");
    flush(f);
    flush(f);
    assert_int_equal(advised(f, "w", "$tidings.session.down", &data), 1);
    assert_int_equal(count(data, "session"), 2);
    assert_true(is_text(text_of(data, "name"), "x"));
    assert_true(flag_of(data, "away"));
    assert_true(is_text(text_of(data, "reason"), "the connection was lost"));
    hello_with(f, "x/2", "{\"token\" <c4 10 02*16> \"subscriptions\" []}");
    flush(f);
    assert_int_equal(advised(f, "w", "$tidings.session.up", &data), 2);
    assert_int_equal(count(data, "session"), 2);
    assert_true(flag_of(data, "resumed"));
    give(f, "x/2", "[14 0 \"\"]");
    flush(f);
    flush(f);
    assert_int_equal(advised(f, "w", "$tidings.session.down", &data), 2);
    assert_false(flag_of(data, "away"));
    assert_int_equal(advised(f, "w", "$tidings.session.up", &data), 2);
}

/* A session that is away is over when its grace is. */
static void test_engine_advises_twice_of_who_stays_away(void **state)
{
    struct fixture *f = *state;
    struct td_str data;

    watch(f, "$tidings.session.down");
    hello(f, "x");
    gone(f, "x");
    for (int64_t end = f->now + TD_GRACE_MS + 3000; f->now < end;) {
        pass(f, 500);
        give(f, "w", "[12 1]");
    }
    assert_int_equal(advised(f, "w", "$tidings.session.down", &data), 2);
    assert_false(flag_of(data, "away"));
    assert_int_equal(sessions(f), 1);
}

/* ---- queues ---- */

static void test_engine_advises_of_what_is_slow(void **state)
{
    struct fixture *f = *state;
    struct td_str data;

    watch(f, "$tidings.slow");
    hello(f, "pub");
    subscriber(f, "s", "a.*", TINY " \"group\" \"g\"}");
    flush(f);
    publish_one(f, "pub", "a.b", 9, 3, 1);
    flush(f);
    flush(f);
    assert_int_equal(advised(f, "w", "$tidings.slow", &data), 1);
    assert_int_equal(count(data, "session"), 3);
    assert_true(is_text(text_of(data, "name"), "s"));
    assert_int_equal(count(data, "subscription"), 1);
    assert_true(is_text(text_of(data, "pattern"), "a.*"));
    assert_true(is_text(text_of(data, "group"), "g"));
    assert_int_equal(count(data, "pending"), 9);
    assert_true(count(data, "queued_bytes") > 0);
}

/* What was dropped, summed up, at most once a second for each queue. */
static void test_engine_advises_of_drops_once_a_second(void **state)
{
    struct fixture *f = *state;
    struct td_str data;
    uint64_t first = 1;
    uint64_t events = 0;
    uint32_t n = 0;
    int64_t began;

    watch(f, "$tidings.drop");
    hello(f, "pub");
    subscriber(f, "s", "a", TINY " \"policy\" \"drop_oldest\"}");
    publish_one(f, "pub", "a", 5, 3, first);
    first += 5;
    flush(f);
    began = f->now;
    for (uint32_t i = 0; i < 50; i++) {
        publish_one(f, "pub", "a", 3, 3, first);
        first += 3;
        f->now += 100;
        flush(f);
        if (advised(f, "w", "$tidings.drop", &data) == 1) {
            events += count(data, "events");
            n++;
            assert_true(is_text(text_of(data, "reason"), "oldest"));
            assert_true(is_text(text_of(data, "pattern"), "a"));
            assert_true(is_text(text_of(data, "group"), ""));
            read_all(f);
        } else {
            assert_int_equal(advised(f, "w", "$tidings.drop", &data), 0);
        }
    }
    assert_true(n >= 5 && n <= (f->now - began) / TD_ADVISE_MS + 1);
    pass(f, 2 * TD_ADVISE_MS); /* and the rest, unasked */
    if (advised(f, "w", "$tidings.drop", &data) == 1)
        events += count(data, "events");
    assert_int_equal(events, 150);
    assert_int_equal(sub_of(f, "s", 1)->group->ledger.dropped[TD_DROP_OLDEST],
                     150);
    assert_null(f->engine->news);
}

/* An advisory that is dropped is itself news: once a second, and not at once
 * and for ever. */
static void test_engine_does_not_advise_for_ever(void **state)
{
    static const char *const rows[] = {
        "\"queue_bytes\" 1 \"policy\" \"drop_newest\"",
        "\"queue_bytes\" 1 \"policy\" \"drop_oldest\"",
        "\"queue_events\" 1 \"policy\" \"drop_oldest\"",
        "\"queue_events\" 1 \"policy\" \"block\"",
        "\"queue_events\" 1 \"policy\" \"drop_newest\" \"group\" \"g\"",
    };

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct fixture *f;
        uint32_t turns = 0;

        assert_int_equal(setup((void **)&f), 0);
        hello(f, "w");
        givef(f, "w",
              "[5 1 1 \"$tidings.>\" {\"events\" 1 \"bytes\" 2000000 %s}]",
              rows[i]);
        givef(f, "w",
              "[5 1 2 \"$tidings.drop\" {\"events\" 1 \"bytes\" 2000000 %s}]",
              rows[i]);
        for (uint32_t k = 0; k < 5; k++) {
            char name[4] = {'x', (char)('0' + k), '\0'};

            hello(f, name);
        }
        flush(f);
        for (int64_t end = f->now + 10000; f->now < end; turns++) {
            f->now = f->next > f->now ? f->next : f->now + 1;
            if (f->now % 1000 < 20)
                give(f, "w", "[12 1]");
            flush(f);
        }
        assert_row_at(rows[i], turns, turns < 200);
        assert_row_at(rows[i], f->engine->advised, f->engine->advised < 200);
        teardown((void **)&f);
    }
    (void)state;
}

/* A queue that is over while its news waits tells it before, also within a
 * second of the last. */
static void test_engine_advises_of_drops_before_the_end(void **state)
{
    struct fixture *f = *state;
    struct td_str data;

    watch(f, "$tidings.drop");
    hello(f, "pub");
    subscriber(f, "s", "a", TINY " \"policy\" \"drop_newest\"}");
    publish_one(f, "pub", "a", 50, 3, 1);
    flush(f);
    flush(f);
    assert_int_equal(advised(f, "w", "$tidings.drop", &data), 1);
    assert_int_equal(count(data, "events"), 45);
    publish_one(f, "pub", "a", 7, 3, 51);
    give(f, "s", "[6 1 1]");
    flush(f);
    assert_int_equal(advised(f, "w", "$tidings.drop", &data), 2);
    assert_int_equal(count(data, "events"), 7);
    assert_int_equal(count(data, "subscription"), 1);
    pass(f, 3000);
    assert_int_equal(advised(f, "w", "$tidings.drop", &data), 2);
    assert_null(f->engine->news);
}

/* What it has to tell in the end is nothing to itself: a GAP has just told all
 * that it misses. */
static void test_engine_advises_nobody_of_its_own_end(void **state)
{
    struct fixture *f = *state;

    hello(f, "pub");
    subscriber(f, "s", "$tidings.drop", TINY " \"policy\" \"drop_newest\"}");
    give(f, "s", "[5 2 2 \"a\" " TINY " \"policy\" \"drop_newest\"}]");
    publish_one(f, "pub", "a", 50, 3, 1);
    pass(f, 3000);
    publish_one(f, "pub", "a", 50, 3, 51);
    give(f, "s", "[14 0 \"\"]");
    flush(f);
    assert_null(f->engine->groups);
    assert_null(f->engine->news);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_engine_advises_nobody_who_did_not_ask),
        TEST(test_engine_counts_advisories_like_events),
        TEST_RESUMABLE(test_engine_advises_of_sessions),
        TEST_RESUMABLE(test_engine_advises_twice_of_who_stays_away),
        TEST(test_engine_advises_of_what_is_slow),
        TEST(test_engine_advises_of_drops_once_a_second),
        TEST(test_engine_does_not_advise_for_ever),
        TEST(test_engine_advises_of_drops_before_the_end),
        TEST(test_engine_advises_nobody_of_its_own_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
