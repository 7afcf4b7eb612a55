/* The engine: what operators see of a durable group that is parked, and what
 * they do to it meanwhile. */
#include "tests/unit/stream_fixture.h"

#define G "\"stream\" \"events\" \"group\" \"g\""

static void park(struct streams *s, uint64_t first, uint64_t last, unsigned ms)
{
    givef(s->f, "sub", "[17 [[1 6 %llu %llu %u \"db is down\"]]]",
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

static void operate(struct streams *s, const char *name, const char *options)
{
    call(s, "pub", name, options);
    settle_down(s);
}

/* Five are with "sub", and it parks the group for 100 ms. */
static void begin_parked(struct streams *s, const char *more)
{
    hello(s->f, "pub");
    hello(s->f, "sub");
    consume(s, "sub", 1, ">", "events", "g", more);
    put(s, "pub", "a", 5, 1, DISK);
    park(s, 1, 5, 100);
    GOT(s, "sub", 1, 2, 3, 4, 5);
    check_state(s, "parked");
}

/* ---- what is told ---- */

static void test_outage_is_in_stats(void **state)
{
    struct streams *s = *state;
    struct td_str row;

    begin_parked(s, "");
    row = row_of(stats(s->f, "consumers", 0), "consumers", 0);
    assert_true(is_text(text_of(row, "state"), "parked"));
    assert_int_equal(count(row, "parked_ms"), 100);
    assert_int_equal(count(row, "parks"), 1);
    assert_int_equal(count(row, "lag"), 0);
    assert_int_equal(count(row, "waiting"), 5);
    assert_int_equal(count(stats(s->f, "none", 0), "parked"), 1);
    operate(s, "group.resume", "{" G "}");
    row = row_of(stats(s->f, "consumers", 0), "consumers", 0);
    assert_true(is_text(text_of(row, "state"), "running"));
    assert_int_equal(count(row, "parked_ms"), 0);
    assert_int_equal(count(stats(s->f, "none", 0), "parked"), 0);
}

static void test_outage_is_told(void **state)
{
    struct streams *s = *state;
    struct td_str data;

    hello(s->f, "ops");
    give(s->f, "ops", "[5 1 1 \"$tidings.group.>\" " WIDE "]");
    begin_parked(s, "");
    assert_int_equal(advised(s->f, "ops", "$tidings.group.parked", &data), 1);
    assert_true(is_text(text_of(data, "group"), "g"));
    assert_true(is_text(text_of(data, "stream"), "events"));
    assert_int_equal(count(data, "parked_ms"), 100);
    assert_int_equal(count(data, "parks"), 1);
    assert_true(is_text(text_of(data, "parked_by"), "sub"));
    assert_true(is_text(text_of(data, "parked_why"), "db is down"));
    wait_ms(s, 110);
    park(s, 6, 6, 100); /* that is no news */
    assert_int_equal(advised(s->f, "ops", "$tidings.group.parked", &data), 1);
    wait_ms(s, 110);
    settle(s, "sub", TD_ACK, 7, 7);
    assert_int_equal(advised(s->f, "ops", "$tidings.group.running", &data), 0);
    settle(s, "sub", TD_ACK, 8, 9);
    settle(s, "sub", TD_ACK, 10, 11);
    check_state(s, "running");
    assert_int_equal(advised(s->f, "ops", "$tidings.group.running", &data), 1);
    assert_true(count(data, "outage_ms") >= 220);
    assert_int_equal(count(data, "parks"), 2);
    put(s, "pub", "a", 1, 6, DISK);
    park(s, 12, 12, 0); /* within a second */
    assert_int_equal(advised(s->f, "ops", "$tidings.group.parked", &data), 1);
}

/* ---- what is done ---- */

static void test_outage_ends_by_resume(void **state)
{
    struct streams *s = *state;

    begin_parked(s, "");
    assert_true(is_text(text_of(group_row(s), "parked_by"), "sub"));
    assert_true(is_text(text_of(group_row(s), "parked_why"), "db is down"));
    operate(s, "group.resume", "{" G "}");
    assert_true(is_text(text_of(group_row(s), "parked_by"), ""));
    GOT(s, "sub", 1, 2, 3, 4, 5, 1, 2, 3, 4, 5);
    check_state(s, "running");
    park(s, 6, 10, 0);
    assert_int_equal(count(group_row(s), "parked_ms"), TD_PARK_MS);
}

static void test_outage_of_a_paused_group(void **state)
{
    struct streams *s = *state;

    begin_parked(s, "");
    operate(s, "group.pause", "{" G " \"until_ms\" 0}");
    check_state(s, "paused");
    wait_ms(s, 200);
    GOT(s, "sub", 1, 2, 3, 4, 5);
    operate(s, "group.resume", "{" G "}");
    GOT(s, "sub", 1, 2, 3, 4, 5, 1, 2, 3, 4, 5);
}

static void test_outage_lasts_where_it_is_sought(void **state)
{
    struct streams *s = *state;

    begin_parked(s, "");
    wait_ms(s, 110);
    GOT(s, "sub", 1, 2, 3, 4, 5, 1);
    operate(s, "group.seek", "{" G " \"start\" 3}");
    GOT(s, "sub", 1, 2, 3, 4, 5, 1, 3); /* that probe is forgotten */
    check_state(s, "probing");
    settle(s, "sub", TD_ACK, 6, 6); /* too late */
    check_state(s, "probing");
    park(s, 7, 7, 100);
    operate(s, "group.seek", "{" G " \"start\" \"all\"}");
    GOT(s, "sub", 1, 2, 3, 4, 5, 1, 3);
    wait_ms(s, 110);
    GOT(s, "sub", 1, 2, 3, 4, 5, 1, 3, 1);
}

static void test_outage_of_what_is_purged(void **state)
{
    struct streams *s = *state;

    begin_parked(s, "");
    operate(s, "stream.purge", "{\"name\" \"events\"}");
    wait_ms(s, 200);
    GOT(s, "sub", 1, 2, 3, 4, 5);
    check_state(s, "probing"); /* there is nothing to try it with */
    put(s, "pub", "a", 3, 6, DISK);
    GOT(s, "sub", 1, 2, 3, 4, 5, 6);
}

static void test_outage_keeps_what_is_redriven(void **state)
{
    struct streams *s = *state;

    hello(s->f, "pub");
    hello(s->f, "sub");
    consume(s, "sub", 1, ">", "events", "g", "");
    put(s, "pub", "a", 3, 1, DISK);
    settle(s, "sub", TD_TERM, 1, 2);
    park(s, 3, 3, 100);
    assert_int_equal(count(call(s, "pub", "dlq.redrive", "{" G "}"), "events"),
                     2);
    settle_down(s);
    GOT(s, "sub", 1, 2, 3);
    wait_ms(s, 110);
    assert_int_equal(events_to(s->f, "sub"), 4);
    settle(s, "sub", TD_ACK, 4, 4);
    settle(s, "sub", TD_ACK, 5, 6);
    assert_int_equal(events_to(s->f, "sub"), 6);
    assert_int_equal(count(group_row(s), "dead"), 0);
}

/* What was asked of the store before it was parked comes after. */
static void test_outage_while_it_reads(void **state)
{
    struct streams *s = *state;

    hello(s->f, "pub");
    hello(s->f, "sub");
    put(s, "pub", "a", 4, 1, DISK);
    kill_broker(s); /* nothing is in memory */
    hello(s->f, "pub");
    hello(s->f, "sub");
    consume(s, "sub", 1, ">", "events", "g", "\"start\" \"all\"");
    GOT(s, "sub", 1, 2, 3, 4);
    hold_store(s);
    settle(s, "sub", TD_RELEASE, 1, 1); /* it is read */
    park(s, 2, 2, 100);
    let_store(s);
    GOT(s, "sub", 1, 2, 3, 4);
    settle(s, "sub", TD_ACK, 3, 4);
    wait_ms(s, 110);
    GOT(s, "sub", 1, 2, 3, 4, 1);
}

static void test_outage_is_forgotten_by_a_restart(void **state)
{
    struct streams *s = *state;

    begin_parked(s, "");
    wait_ms(s, 50);
    kill_broker(s);
    hello(s->f, "pub");
    check_state(s, "idle");
    hello(s->f, "sub");
    consume(s, "sub", 1, ">", "events", "g", "");
    GOT(s, "sub", 1, 2, 3, 4, 5);
}

static void test_outage_of_a_deleted_group(void **state)
{
    struct streams *s = *state;

    begin_parked(s, "");
    operate(s, "group.delete", "{" G "}");
    assert_int_equal(missed_by(s->f, "sub", "deleted"), 0);
    wait_ms(s, 200);
    put(s, "pub", "a", 3, 6, DISK);
    GOT(s, "sub", 1, 2, 3, 4, 5);
}

/* It is parked, and not full, however little it may have in flight. */
static void test_outage_of_a_full_group(void **state)
{
    struct streams *s = *state;

    hello(s->f, "ops");
    give(s->f, "ops", "[5 1 1 \"$tidings.group.full\" " WIDE "]");
    begin_parked(s, "\"max_in_flight\" 5");
    put(s, "pub", "a", 8, 6, DISK);
    check_state(s, "parked");
    assert_int_equal(events_to(s->f, "ops"), 0);
    wait_ms(s, 110);
    settle(s, "sub", TD_ACK, 6, 6);
    settle(s, "sub", TD_ACK, 7, 8);
    settle(s, "sub", TD_ACK, 9, 12); /* eight at once are more than five */
    check_state(s, "full");
    GOT(s, "sub", 1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12);
    assert_int_equal(events_to(s->f, "ops"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_STREAM(test_outage_is_in_stats),
        TEST_STREAM(test_outage_is_told),
        TEST_STREAM(test_outage_ends_by_resume),
        TEST_STREAM(test_outage_of_a_paused_group),
        TEST_STREAM(test_outage_lasts_where_it_is_sought),
        TEST_STREAM(test_outage_of_what_is_purged),
        TEST_STREAM(test_outage_keeps_what_is_redriven),
        TEST_STREAM(test_outage_while_it_reads),
        TEST_STREAM(test_outage_is_forgotten_by_a_restart),
        TEST_STREAM(test_outage_of_a_deleted_group),
        TEST_STREAM(test_outage_of_a_full_group),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
