/* The engine: group.sync is answered when what was settled before is synced. */
#include "tests/unit/stream_fixture.h"

#define GROUP "{\"stream\" \"events\" \"group\" \"g\"}"

/* Ten events, delivered and acked. */
static void work(struct streams *s)
{
    hello(s->f, "pub");
    hello(s->f, "sub");
    consume(s, "sub", 1, ">", "events", "g", "\"start\" \"all\"");
    put(s, "pub", "a", 10, 1, DISK);
    assert_int_equal(events_to(s->f, "sub"), 10);
}

/* How many come after the machine was switched off and on. */
static uint64_t come_again(struct streams *s)
{
    cut_power(s);
    hello(s->f, "sub");
    consume(s, "sub", 1, ">", "events", "g", "");
    return events_to(s->f, "sub");
}

static void test_sync_keeps_what_was_settled(void **state)
{
    struct streams *s = *state;

    work(s);
    settle(s, "sub", TD_ACK, 1, 10);
    call(s, "sub", "group.sync", GROUP);
    assert_int_equal(come_again(s), 0);
}

/* So that the test above can fail. */
static void test_without_sync_it_may_come_again(void **state)
{
    struct streams *s = *state;

    work(s);
    settle(s, "sub", TD_ACK, 1, 10);
    assert_int_equal(come_again(s), 10);
}

/* What was written without a sync is synced then, though nothing is left to be
 * written. */
static void test_sync_keeps_what_was_written_before(void **state)
{
    struct streams *s = *state;

    work(s);
    settle(s, "sub", TD_ACK, 1, 10);
    put(s, "pub", "b", 1, 11, OS); /* takes it along */
    call(s, "sub", "group.sync", GROUP);
    assert_int_equal(come_again(s), 1);
}

/* A transaction that failed is tried again later; what is asked for meanwhile
 * has all the same. */
static void test_sync_after_a_failure_keeps_what_was_settled(void **state)
{
    struct streams *s = *state;

    work(s);
    td_model_fail(s->model, 1, TIDINGS_EFULL);
    settle(s, "sub", TD_ACK, 1, 10);
    pass(s->f, 30);
    settle_down(s);
    hold_store(s);
    put(s, "pub", "b", 1, 11, OS);
    givef(s->f, "sub", "[15 8 \"group.sync\" %s]", GROUP);
    let_store(s);
    assert_int_equal(code_of_reply(s->f, "sub"), TIDINGS_OK);
    assert_int_equal(come_again(s), 1);
}

static void test_sync_waits_for_the_store(void **state)
{
    struct streams *s = *state;

    work(s);
    settle(s, "sub", TD_ACK, 1, 10);
    hold_store(s);
    forget(s->f);
    give(s->f, "sub", "[15 77 \"group.sync\" " GROUP "]");
    flush(s->f);
    assert_null(find(s->f, "sub", TD_REPLY, 0));
    let_store(s);
    assert_int_equal(code_of_reply(s->f, "sub"), TIDINGS_OK);
}

static void test_sync_says_when_it_failed(void **state)
{
    struct streams *s = *state;

    work(s);
    settle(s, "sub", TD_ACK, 1, 10);
    td_model_fail(s->model, 1, TIDINGS_EFULL);
    assert_int_equal(call_code(s, "sub", "group.sync", GROUP), TIDINGS_EFULL);
    pass(s->f, 2000);
    call(s, "sub", "group.sync", GROUP);
    assert_int_equal(come_again(s), 0);
}

static void test_sync_refuses_what_is_nowhere(void **state)
{
    struct streams *s = *state;

    hello(s->f, "sub");
    assert_int_equal(call_code(s, "sub", "group.sync", GROUP),
                     TIDINGS_ENOTFOUND);
    call(s, "sub", "stream.add",
         "{\"name\" \"m\" \"patterns\" [\"m.>\"] \"storage\" \"memory\"}");
    call(s, "sub", "group.add", "{\"stream\" \"m\" \"group\" \"g\"}");
    assert_int_equal(
        call_code(s, "sub", "group.sync", "{\"stream\" \"m\" \"group\" \"g\"}"),
        TIDINGS_ENOTSUP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_STREAM(test_sync_keeps_what_was_settled),
        TEST_STREAM(test_without_sync_it_may_come_again),
        TEST_STREAM(test_sync_keeps_what_was_written_before),
        TEST_STREAM(test_sync_after_a_failure_keeps_what_was_settled),
        TEST_STREAM(test_sync_waits_for_the_store),
        TEST_STREAM(test_sync_says_when_it_failed),
        TEST_STREAM(test_sync_refuses_what_is_nowhere),
    };

    return cmocka_run_group_tests_name("engine_sync", tests, NULL, NULL);
}
