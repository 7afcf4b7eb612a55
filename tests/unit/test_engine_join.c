/* The engine: who begins a durable group is told so when the group is on the
 * disk, and can rely on it from then on (PROTOCOL.md 10.2). */
#include "tests/unit/stream_fixture.h"

#include "broker/engine/declare.h"

#define GROUP "{\"stream\" \"events\" \"group\" \"g\"}"

static void begin_two(struct streams *s)
{
    hello(s->f, "pub");
    hello(s->f, "sub");
    put(s, "pub", "a", 3, 1, DISK);
}

/* How many REPLY and DELIVER the peer was sent. */
static unsigned told(struct streams *s, const char *peer)
{
    unsigned n = 0;

    while (find(s->f, peer, TD_REPLY, n))
        n++;
    return n + messages_to(s->f, peer);
}

static uint64_t groups(struct streams *s)
{
    return count(call(s, "pub", "group.list", "{}"), "groups_total");
}

static void test_join_is_answered_when_it_is_written(void **state)
{
    struct streams *s = *state;
    const struct sent *first;

    begin_two(s);
    hello(s->f, "two");
    hold_store(s);
    consume(s, "sub", 1, ">", "events", "g", "\"start\" \"all\"");
    consume(s, "two", 1, ">", "events", "g", "");
    pass(s->f, 100);
    settle_down(s);
    assert_int_equal(told(s, "sub") + told(s, "two"), 0);
    let_store(s);
    assert_int_equal(code_of_reply(s->f, "sub"), TIDINGS_OK);
    assert_int_equal(code_of_reply(s->f, "two"), TIDINGS_OK);
    assert_int_equal(events_to(s->f, "sub") + events_to(s->f, "two"), 3);
    first = find(s->f, "sub", TD_DELIVER, 0);
    assert_true(!first || find(s->f, "sub", TD_REPLY, 0) < first);
}

/* What is stored after that is the group's, whatever ends the broker. */
static void test_join_is_kept(void **state)
{
    struct streams *s = *state;

    begin_two(s);
    consume(s, "sub", 1, ">", "events", "g", "\"start\" \"new\"");
    assert_int_equal(code_of_reply(s->f, "sub"), TIDINGS_OK);
    cut_power(s); /* at once: no time has passed */
    hello(s->f, "pub");
    put(s, "pub", "a", 2, 4, DISK);
    hello(s->f, "sub");
    consume(s, "sub", 1, ">", "events", "g", "\"start\" \"new\"");
    assert_int_equal(events_to(s->f, "sub"), 2);
}

/* One that is there has no need to wait, nor has one that is not kept. */
static void test_join_of_what_is_there_is_answered_at_once(void **state)
{
    struct streams *s = *state;

    begin_two(s);
    call(s, "pub", "group.add", GROUP);
    call(s, "pub", "stream.add",
         "{\"name\" \"m\" \"patterns\" [\"m.>\"] \"storage\" \"memory\"}");
    hold_store(s);
    consume(s, "sub", 1, ">", "events", "g", "");
    assert_int_equal(code_of_reply(s->f, "sub"), TIDINGS_OK);
    consume(s, "sub", 2, ">", "m", "g", "");
    assert_int_equal(told(s, "sub"), 2);
    assert_int_equal(code_of_reply(s->f, "sub"), TIDINGS_OK);
    let_store(s);
}

static void test_join_that_cannot_be_written_is_refused(void **state)
{
    struct streams *s = *state;

    begin_two(s);
    hello(s->f, "two");
    hold_store(s);
    td_model_fail(s->model, 1, TIDINGS_EFULL);
    consume(s, "sub", 1, ">", "events", "g", "");
    consume(s, "two", 1, ">", "events", "g", "");
    let_store(s);
    assert_int_equal(code_of_reply(s->f, "sub"), TIDINGS_EFULL);
    assert_int_equal(code_of_reply(s->f, "two"), TIDINGS_EFULL);
    assert_null(td_sub_find(session_of(s->f, "sub"), 1));
    pass(s->f, 2000); /* nothing of it comes later */
    settle_down(s);
    assert_int_equal(groups(s), 0);
    consume(s, "sub", 1, ">", "events", "g", "\"start\" \"all\"");
    assert_int_equal(code_of_reply(s->f, "sub"), TIDINGS_OK);
    assert_int_equal(events_to(s->f, "sub"), 3);
}

static void test_join_may_end_before_it_is_written(void **state)
{
    struct streams *s = *state;

    begin_two(s);
    hello(s->f, "two");
    hold_store(s);
    consume(s, "sub", 1, ">", "events", "g", "\"start\" \"all\"");
    consume(s, "two", 1, ">", "events", "g", "");
    give(s->f, "sub", "[6 2 1]");
    assert_int_equal(code_of_reply(s->f, "sub"), TIDINGS_OK);
    give(s->f, "two", "[14 0 \"\"]"); /* BYE */
    settle_down(s);
    let_store(s);
    assert_int_equal(told(s, "sub"), 2);
    assert_int_equal(code_of_reply(s->f, "sub"), TIDINGS_ENOTFOUND);
    assert_int_equal(told(s, "two"), 0);
    assert_int_equal(groups(s), 1);
}

/* The same, and then it fails. */
static void test_join_may_end_before_it_fails(void **state)
{
    struct streams *s = *state;

    begin_two(s);
    hello(s->f, "two");
    hold_store(s);
    td_model_fail(s->model, 1, TIDINGS_ENOMEM);
    consume(s, "sub", 1, ">", "events", "g", "\"start\" \"all\"");
    consume(s, "two", 1, ">", "events", "g", "");
    give(s->f, "sub", "[6 2 1]");
    give(s->f, "two", "[14 0 \"\"]");
    settle_down(s);
    let_store(s);
    assert_int_equal(code_of_reply(s->f, "sub"), TIDINGS_ENOMEM);
    assert_int_equal(groups(s), 0);
}

/* A group that somebody else has begun is not ended by it. */
static void test_join_that_fails_leaves_what_was_declared(void **state)
{
    const struct td_declared_group group = {
        .options = {.stream = td_str_of("events"),
                    .group = td_str_of("g"),
                    .pattern = td_str_of(">"),
                    .max_in_flight = TD_IN_FLIGHT,
                    .ack_wait_ms = TD_ACK_WAIT_MS,
                    .max_deliver = TD_MAX_DELIVER,
                    .backoff_ms = TD_BACKOFF_MS,
                    .backoff_max_ms = TD_BACKOFF_MAX_MS}};
    const struct td_declared declared = {NULL, 0, &group, 1};
    struct streams *s = *state;
    const char *text;
    uint32_t at;

    begin_two(s);
    hold_store(s);
    td_model_fail(s->model, 1, TIDINGS_EFULL);
    assert_ok(td_engine_declare(s->f->engine, &declared, &at, &text));
    settle_down(s);
    consume(s, "sub", 1, ">", "events", "g", "");
    let_store(s);
    assert_int_equal(code_of_reply(s->f, "sub"), TIDINGS_EFULL);
    assert_null(td_sub_find(session_of(s->f, "sub"), 1));
    pass(s->f, 2000);
    settle_down(s);
    kill_broker(s);
    hello(s->f, "pub");
    assert_int_equal(groups(s), 1);
}

/* The store stalls, and as many answers wait for it as may. */
static void test_join_does_not_wait_with_too_many(void **state)
{
    struct streams *s = *state;
    struct td_fifo *replies = &s->f->engine->streams.replies;
    struct td_owed_reply *owed;

    begin_two(s);
    call(s, "pub", "group.add", "{\"stream\" \"events\" \"group\" \"there\"}");
    hold_store(s);
    while (replies->len < TD_REPLIES_MAX - 1) {
        owed = td_fifo_push(replies);
        assert_non_null(owed);
        *owed = (struct td_owed_reply){.ticket = UINT64_MAX}; /* nobody's */
    }
    consume(s, "sub", 1, ">", "events", "g", "");
    assert_int_equal(told(s, "sub"), 0);
    consume(s, "sub", 2, ">", "events", "g", "");
    assert_int_equal(code_of_reply(s->f, "sub"), TIDINGS_ELIMIT);
    consume(s, "sub", 3, ">", "events", "h", "");
    assert_int_equal(code_of_reply(s->f, "sub"), TIDINGS_ELIMIT);
    assert_int_equal(replies->len, TD_REPLIES_MAX);
    assert_null(td_sub_find(session_of(s->f, "sub"), 3));
    assert_int_equal(s->f->engine->streams.groups_len, 2);
    consume(s, "sub", 4, ">", "events", "there", ""); /* waits for nothing */
    assert_int_equal(code_of_reply(s->f, "sub"), TIDINGS_OK);
    consume(s, "sub", 5, ">", "events", NULL, "");
    assert_int_equal(code_of_reply(s->f, "sub"), TIDINGS_OK);
}

/* ---- deleted while its member is away ---- */

#define LIVE "{\"events\" 10 \"bytes\" 9000000}"

/* D17: it is over, as its member is told, and the others of its session go on. */
static void test_join_is_over_when_its_group_was_deleted(void **state)
{
    struct streams *s = *state;
    const struct td_frame *gap;

    begin_two(s);
    consume(s, "sub", 1, ">", "events", "g", "");
    givef(s->f, "sub", "[5 2 2 \"a\" " LIVE "]");
    settle_down(s);
    gone(s->f, "sub");
    settle_down(s);
    put(s, "pub", "a", 5, 4, DISK);
    call(s, "pub", "group.delete", GROUP);
    settle_down(s);
    come_back(s->f, "sub/2", "[[1 0 0] [2 0 0]]");
    settle_down(s);
    assert_true(resumed(s->f, "sub/2"));
    gap = frame(s->f, "sub/2", TD_GAP, 0);
    assert_int_equal(gap->u.gap.subscription, 1);
    assert_int_equal(gap->u.gap.events, 0);
    assert_true(is_text(gap->u.gap.reason, "deleted"));
    assert_int_equal(events_to(s->f, "sub/2"), 5);
    assert_int_equal(groups(s), 0);
}

/* What it never had is a lie still. */
static void test_join_that_never_was_is_not_resumed(void **state)
{
    static const char *const lists[] = {"[[1 0 0] [2 0 0]]", "[[0 0 0]]"};

    for (size_t i = 0; i < TD_ARRAY_LEN(lists); i++) {
        struct streams *s;
        void *own = NULL;

        assert_int_equal(setup_streams(&own), 0);
        s = own;
        begin_two(s);
        consume(s, "sub", 1, ">", "events", "g", "");
        call(s, "pub", "group.delete", GROUP);
        gone(s->f, "sub");
        settle_down(s);
        come_back(s->f, "sub/2", lists[i]);
        assert_row(lists[i], !resumed(s->f, "sub/2"));
        teardown_streams(&own);
    }
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_STREAM(test_join_is_answered_when_it_is_written),
        TEST_STREAM(test_join_is_kept),
        TEST_STREAM(test_join_of_what_is_there_is_answered_at_once),
        TEST_STREAM(test_join_that_cannot_be_written_is_refused),
        TEST_STREAM(test_join_may_end_before_it_is_written),
        TEST_STREAM(test_join_may_end_before_it_fails),
        TEST_STREAM(test_join_that_fails_leaves_what_was_declared),
        TEST_STREAM(test_join_does_not_wait_with_too_many),
        TEST_STREAM(test_join_is_over_when_its_group_was_deleted),
        cmocka_unit_test(test_join_that_never_was_is_not_resumed),
    };

    return cmocka_run_group_tests_name("engine_join", tests, NULL, NULL);
}
