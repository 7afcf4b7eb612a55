/* The engine: events whose expirytime has passed are given to nobody, and
 * counted. The wall's clock is that of the fixture. */
#include "tests/unit/stream_fixture.h"

#define EXPIRES(text) "{\"expirytime\" \"" text "\"}"
#define T3            EXPIRES("1970-01-01T00:00:03Z")
#define NEVER         EXPIRES("9999-01-01T00:00:00Z")
#define NONE          EXPIRES("soon") /* no timestamp */

static const char *const mixed[] = {T3, NEVER, T3, T3, NONE, T3};
#define MIXED      6u
#define MIXED_LEFT 2u /* after three seconds */

/* One run of events with these expirytimes. */
static void put_expiring(struct streams *s, const char *type,
                         const char *const *times, uint32_t events,
                         uint64_t first)
{
    const struct piece piece = {type, events, 10, first, times};

    publish(s->f, "pub", DISK, &piece, 1);
    settle_down(s);
}

static uint64_t of_group(struct streams *s, const char *key)
{
    return count(row_of(call(s, "pub", "group.list", "{}"), "groups", 0), key);
}

static void check_sequences(struct streams *s, const char *peer,
                            const uint64_t *want, uint32_t len)
{
    uint64_t got[32];
    uint32_t n = sequences_to(s->f, peer, got, TD_ARRAY_LEN(got));

    assert_int_equal(n, len);
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(got[i], want[i]);
}

static void greet(struct streams *s)
{
    hello(s->f, "pub");
    hello(s->f, "sub");
}

/* ---- of a stream ---- */

static void test_expired_events_of_a_stream_are_skipped(void **state)
{
    static const uint64_t left[] = {2, 5, 7};
    struct streams *s = *state;

    greet(s);
    call(s, "pub", "group.add", "{\"stream\" \"events\" \"group\" \"g\"}");
    put_expiring(s, "a", mixed, MIXED, 1);
    put(s, "pub", "a", 1, 7, DISK);
    pass(s->f, 2500);
    consume(s, "sub", 1, ">", "events", "g", "");
    check_sequences(s, "sub", left, 3);
    assert_int_equal(of_group(s, "expirytime"), MIXED - MIXED_LEFT);
    assert_int_equal(of_group(s, "expired"), 0);
    settle(s, "sub", TD_ACK, 1, 3);
    assert_int_equal(of_group(s, "floor"), 8); /* the others are settled */
    assert_int_equal(of_group(s, "in_flight"), 0);
}

static void test_events_of_a_stream_are_delivered_in_time(void **state)
{
    struct streams *s = *state;

    greet(s);
    consume(s, "sub", 1, ">", "events", "g", "");
    put_expiring(s, "a", mixed, MIXED, 1);
    assert_int_equal(events_to(s->f, "sub"), MIXED);
    assert_int_equal(of_group(s, "expirytime"), 0);
}

static void test_readers_skip_expired_events(void **state)
{
    static const uint64_t left[] = {2, 5};
    struct streams *s = *state;

    greet(s);
    put_expiring(s, "a", mixed, MIXED, 1);
    pass(s->f, 2500);
    consume(s, "sub", 1, ">", "events", NULL, "\"start\" \"all\"");
    check_sequences(s, "sub", left, MIXED_LEFT);
}

/* They are read from the store, after a crash. */
static void test_expired_events_are_skipped_after_a_crash(void **state)
{
    static const uint64_t left[] = {2, 5};
    struct streams *s = *state;

    greet(s);
    call(s, "pub", "group.add", "{\"stream\" \"events\" \"group\" \"g\"}");
    put_expiring(s, "a", mixed, MIXED, 1);
    kill_broker(s);
    greet(s);
    pass(s->f, 2500);
    consume(s, "sub", 1, ">", "events", "g", "");
    check_sequences(s, "sub", left, MIXED_LEFT);
    settle(s, "sub", TD_ACK, 1, 2);
    assert_int_equal(of_group(s, "floor"), 7);
}

static void test_failed_events_expire_before_they_come_again(void **state)
{
    struct streams *s = *state;

    greet(s);
    consume(s, "sub", 1, ">", "events", "g", "");
    put_expiring(s, "a", mixed, MIXED, 1);
    assert_int_equal(events_to(s->f, "sub"), MIXED);
    givef(s->f, "sub", "[17 [[1 2 1 6 2500 \"\"]]]"); /* nak, for a while */
    settle_down(s);
    pass(s->f, 3000);
    settle_down(s);
    assert_int_equal(events_to(s->f, "sub"), MIXED + MIXED_LEFT);
    assert_int_equal(of_group(s, "expirytime"), MIXED - MIXED_LEFT);
    settle(s, "sub", TD_ACK, 7, 8);
    assert_int_equal(of_group(s, "floor"), 7);
    assert_int_equal(of_group(s, "dead"), 0);
}

/* ---- live ---- */

static void test_expired_events_are_not_routed(void **state)
{
    static const uint64_t left[] = {2, 5};
    struct streams *s = *state;
    struct td_confirm row;
    struct td_str all;

    hello(s->f, "pub");
    subscriber(s->f, "sub", "a", WIDE);
    pass(s->f, 2500);
    put_expiring(s, "a", mixed, MIXED, 1);
    check_sequences(s, "sub", left, MIXED_LEFT);
    assert_true(confirm_to(s, "pub", 0, &row)); /* they are stored */
    assert_int_equal(row.count, MIXED);
    assert_int_equal(row.code, TIDINGS_OK);
    all = stats(s->f, "none", 0);
    assert_int_equal(count(all, "expirytime"), MIXED - MIXED_LEFT);
    assert_int_equal(count(all, "unmatched"), MIXED - MIXED_LEFT);
    assert_int_equal(count(all, "routed"), MIXED_LEFT);
}

/* In a batch with others, of which some are for nobody. */
static void test_expired_events_leave_the_rest_of_a_batch(void **state)
{
    static const uint64_t left[] = {1, 2, 4, 7, 9, 10};
    const struct piece pieces[] = {
        {"a", 2, 10, 1, NULL}, {"a", 6, 300, 3, mixed}, {"b", 2, 20, 9, NULL}};
    struct streams *s = *state;
    struct td_confirm row;

    hello(s->f, "pub");
    subscriber(s->f, "sub", ">", WIDE);
    call(s, "pub", "stream.add", "{\"name\" \"o\" \"patterns\" [\"b\"]}");
    pass(s->f, 2500);
    publish(s->f, "pub", DISK, pieces, 3);
    settle_down(s);
    check_sequences(s, "sub", left, 6);
    assert_true(confirm_to(s, "pub", 0, &row));
    assert_true(is_text(row.stream, "events"));
    assert_int_equal(row.count, 8);
    assert_true(confirm_to(s, "pub", 1, &row));
    assert_true(is_text(row.stream, "o"));
    assert_int_equal(row.count, 2);
}

static void test_batches_may_expire_as_a_whole(void **state)
{
    static const char *const gone[] = {T3, T3};
    struct streams *s = *state;

    hello(s->f, "pub");
    subscriber(s->f, "sub", "a", WIDE);
    pass(s->f, 2500);
    put_expiring(s, "a", gone, 2, 1);
    assert_int_equal(events_to(s->f, "sub"), 0);
    assert_int_equal(count(stats(s->f, "none", 0), "expirytime"), 2);
    put_expiring(s, "a", gone, 2, 1); /* sent again it is a duplicate */
    assert_int_equal(count(stats(s->f, "none", 0), "expirytime"), 2);
    assert_int_equal(count(stats(s->f, "none", 0), "duplicates"), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_STREAM(test_expired_events_of_a_stream_are_skipped),
        TEST_STREAM(test_events_of_a_stream_are_delivered_in_time),
        TEST_STREAM(test_readers_skip_expired_events),
        TEST_STREAM(test_expired_events_are_skipped_after_a_crash),
        TEST_STREAM(test_failed_events_expire_before_they_come_again),
        TEST_STREAM(test_expired_events_are_not_routed),
        TEST_STREAM(test_expired_events_leave_the_rest_of_a_batch),
        TEST_STREAM(test_batches_may_expire_as_a_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
