/* The engine: an event whose dead letter cannot be written (FAULTS D08). It is
 * neither lost nor delivered once more than it may be; it waits, and is dead
 * once when the store has room. */
#include "tests/unit/stream_fixture.h"

#define GROUP       "\"stream\" \"events\" \"group\" \"g\""
#define MAX_DELIVER 2

/* A member has an event for the last time. */
static void begin_last(struct streams *s)
{
    hello(s->f, "pub");
    hello(s->f, "sub");
    consume(s, "sub", 1, ">", "events", "g",
            "\"max_deliver\" 2 \"backoff_ms\" 10 \"backoff_max_ms\" 10");
    put(s, "pub", "a", 1, 1, DISK);
    settle(s, "sub", TD_NAK, 1, 1);
    pass(s->f, 50);
    settle_down(s);
    assert_int_equal(events_to(s->f, "sub"), MAX_DELIVER);
}

static void fill_store(struct streams *s)
{
    td_model_fail(s->model, 1, TIDINGS_EFULL);
    td_model_fail_on(s->model);
}

static void empty_store(struct streams *s)
{
    td_model_fail(s->model, 0, TIDINGS_OK);
    pass(s->f, 1000);
    settle_down(s);
}

static struct td_str group_row(struct streams *s)
{
    return row_of(call(s, "pub", "group.list", "{}"), "groups", 0);
}

static void check_waits(struct streams *s)
{
    struct td_str row = group_row(s);

    assert_int_equal(count(row, "dead"), 0);
    assert_int_equal(count(row, "floor"), 1);
    assert_int_equal(count(row, "waiting"), 1);
}

static void check_dead(struct streams *s, uint64_t deliveries)
{
    struct td_str dead = call(s, "pub", "dlq.list", "{" GROUP "}");

    assert_int_equal(count(dead, "dead_total"), 1);
    assert_int_equal(count(row_of(dead, "dead", 0), "deliveries"), deliveries);
    assert_int_equal(count(row_of(dead, "dead", 0), "sequence"), 1);
    assert_int_equal(count(group_row(s), "floor"), 2);
}

static void test_bury_waits_for_room(void **state)
{
    struct streams *s = *state;

    begin_last(s);
    fill_store(s);
    settle(s, "sub", TD_NAK, 2, 2);
    for (int i = 0; i < 5; i++) {
        pass(s->f, 1000);
        settle_down(s);
        check_waits(s);
    }
    assert_int_equal(events_to(s->f, "sub"), MAX_DELIVER); /* and no more */
    empty_store(s);
    check_dead(s, MAX_DELIVER);
    pass(s->f, 5000);
    settle_down(s);
    check_dead(s, MAX_DELIVER); /* once */
    assert_int_equal(events_to(s->f, "sub"), MAX_DELIVER);
    put(s, "pub", "a", 1, 2, DISK); /* the group goes on */
    assert_int_equal(events_to(s->f, "sub"), MAX_DELIVER + 1);
}

/* Nobody wants it any more, and there is no room to say so. */
static void test_bury_of_what_is_never_wanted_waits_too(void **state)
{
    struct streams *s = *state;

    begin_last(s);
    fill_store(s);
    settle(s, "sub", TD_TERM, 2, 2);
    pass(s->f, 3000);
    settle_down(s);
    check_waits(s);
    empty_store(s);
    check_dead(s, MAX_DELIVER);
}

/* The failure was not written either: the next broker delivers it again. */
static void test_bury_that_a_kill_has_met_comes_again(void **state)
{
    struct streams *s = *state;

    begin_last(s);
    fill_store(s);
    settle(s, "sub", TD_NAK, 2, 2);
    pass(s->f, 1000);
    settle_down(s);
    td_model_fail(s->model, 0, TIDINGS_OK);
    kill_broker(s);
    hello(s->f, "pub");
    hello(s->f, "sub");
    consume(s, "sub", 1, ">", "events", "g", "");
    assert_int_equal(events_to(s->f, "sub"), 1);
    settle(s, "sub", TD_NAK, 1, 1);
    pass(s->f, 100);
    settle_down(s);
    check_dead(s, MAX_DELIVER);
}

/* The failure is written, and the dead letter is not. */
static void test_bury_counts_a_letter_once(void **state)
{
    struct streams *s = *state;

    begin_last(s);
    td_model_fail(s->model, 2, TIDINGS_EFULL);
    settle(s, "sub", TD_NAK, 2, 2);
    for (int i = 0; i < 2; i++) {
        pass(s->f, 3000);
        settle_down(s);
    }
    assert_int_equal(count(group_row(s), "dead"), 1);
    check_dead(s, MAX_DELIVER);
    call(s, "pub", "dlq.purge", "{" GROUP "}");
    assert_int_equal(count(group_row(s), "dead"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_STREAM(test_bury_waits_for_room),
        TEST_STREAM(test_bury_of_what_is_never_wanted_waits_too),
        TEST_STREAM(test_bury_that_a_kill_has_met_comes_again),
        TEST_STREAM(test_bury_counts_a_letter_once),
    };

    return cmocka_run_group_tests_name("engine_bury", tests, NULL, NULL);
}
