/* The engine: streams, confirms, and what is there after a crash. */
#include "tests/unit/stream_fixture.h"

static void check_confirm(struct streams *s, uint32_t nth, uint64_t first,
                          uint64_t count, tidings_err code, uint64_t sequence,
                          bool duplicate)
{
    struct td_confirm row;

    assert_true(confirm_to(s, "pub", nth, &row));
    assert_int_equal(row.first, first);
    assert_int_equal(row.count, count);
    assert_int_equal(row.code, code);
    assert_int_equal(row.sequence, sequence);
    assert_int_equal(row.duplicate, duplicate);
}

static void test_stream_confirms_what_is_written(void **state)
{
    struct streams *s = *state;

    hello(s->f, "pub");
    hold_store(s);
    put(s, "pub", "a.b", 3, 1, DISK);
    assert_null(find(s->f, "pub", TD_CONFIRM, 0));
    let_store(s);
    check_confirm(s, 0, 1, 3, TIDINGS_OK, 1, false);
    put(s, "pub", "a.c", 2, 4, OS);
    check_confirm(s, 1, 4, 2, TIDINGS_OK, 4, false);
}

static void test_stream_confirms_memory_at_once(void **state)
{
    struct streams *s = *state;

    hello(s->f, "pub");
    hold_store(s);
    put(s, "pub", "a.b", 3, 1, MEMORY);
    check_confirm(s, 0, 1, 3, TIDINGS_OK, 0, false);
    let_store(s);
}

static void test_stream_stores_once(void **state)
{
    struct streams *s = *state;
    struct td_str row;

    hello(s->f, "pub");
    put(s, "pub", "a.b", 3, 1, DISK);
    put(s, "pub", "a.b", 5, 1, DISK); /* three of them again */
    check_confirm(s, 1, 1, 3, TIDINGS_OK, 0, true);
    check_confirm(s, 2, 4, 2, TIDINGS_OK, 4, false);
    row = row_of(call(s, "pub", "stream.list", "{}"), "streams", 0);
    assert_int_equal(count(row, "last"), 5);
}

static void test_stream_is_there_after_a_crash(void **state)
{
    struct streams *s = *state;
    struct td_str row;

    hello(s->f, "pub");
    put(s, "pub", "a.b", 3, 1, DISK);
    cut_power(s);
    hello(s->f, "pub");
    assert_int_equal(frame(s->f, "pub", TD_WELCOME, 0)->u.welcome.taken, 3);
    put(s, "pub", "a.b", 4, 2, DISK);
    check_confirm(s, 0, 2, 2, TIDINGS_OK, 0, true);
    check_confirm(s, 1, 4, 2, TIDINGS_OK, 4, false);
    row = row_of(call(s, "pub", "stream.list", "{}"), "streams", 0);
    assert_int_equal(count(row, "first"), 1);
    assert_int_equal(count(row, "last"), 5);
}

static void test_stream_takes_back_what_failed(void **state)
{
    struct streams *s = *state;
    struct td_str row;

    hello(s->f, "pub");
    put(s, "pub", "a.b", 3, 1, DISK);
    hold_store(s);
    td_model_fail(s->model, 1, TIDINGS_EFULL);
    put(s, "pub", "a.b", 2, 4, DISK);
    put(s, "pub", "a.b", 2, 6, DISK);
    let_store(s);
    check_confirm(s, 1, 4, 4, TIDINGS_EFULL, 0, false);
    put(s, "pub", "a.b", 1, 8, DISK);
    check_confirm(s, 2, 8, 1, TIDINGS_OK, 4, false);
    /* sent again, the two that failed are stored, the one behind them not */
    put(s, "pub", "a.b", 5, 4, DISK);
    check_confirm(s, 3, 4, 4, TIDINGS_OK, 5, false);
    check_confirm(s, 4, 8, 1, TIDINGS_OK, 0, true);
    row = row_of(call(s, "pub", "stream.list", "{}"), "streams", 0);
    assert_int_equal(count(row, "last"), 8);
}

/* While all is refused nobody else asks the store for anything. */
static void test_stream_goes_on_when_there_is_room(void **state)
{
    struct streams *s = *state;

    hello(s->f, "pub");
    put(s, "pub", "a", 1, 1, DISK);
    td_model_limit(s->model, 1, 0);
    put(s, "pub", "a", 1, 2, DISK); /* so that it is known to be full */
    put(s, "pub", "a", 1, 3, DISK);
    check_confirm(s, 2, 3, 1, TIDINGS_EFULL, 0, false);
    pass(s->f, 5000);
    settle_down(s);
    put(s, "pub", "a", 1, 4, DISK);
    check_confirm(s, 3, 4, 1, TIDINGS_EFULL, 0, false);
    td_model_limit(s->model, 0, 0);
    pass(s->f, 2000);
    settle_down(s);
    put(s, "pub", "a", 1, 5, DISK);
    check_confirm(s, 4, 5, 1, TIDINGS_OK, 2, false);
}

static void test_stream_is_chosen_by_type(void **state)
{
    struct streams *s = *state;
    const struct piece pieces[] = {{"o.a", 2, 10, 1, NULL},
                                   {"x", 1, 10, 3, NULL},
                                   {"o.b", 1, 10, 4, NULL}};
    struct td_confirm row;

    hello(s->f, "pub");
    call(s, "pub", "stream.add", "{\"name\" \"o\" \"patterns\" [\"o.>\"]}");
    publish(s->f, "pub", DISK, pieces, 3);
    settle_down(s);
    assert_true(confirm_to(s, "pub", 0, &row));
    assert_true(is_text(row.stream, "o"));
    check_confirm(s, 0, 1, 2, TIDINGS_OK, 1, false);
    check_confirm(s, 1, 4, 1, TIDINGS_OK, 3, false);
    assert_true(confirm_to(s, "pub", 2, &row));
    assert_true(is_text(row.stream, "events"));
    check_confirm(s, 2, 3, 1, TIDINGS_OK, 1, false);
    assert_int_equal(call_code(s, "pub", "stream.add",
                               "{\"name\" \"p\" \"patterns\" [\"*.a\"]}"),
                     TIDINGS_EINVAL);
    assert_int_equal(call_code(s, "pub", "stream.add",
                               "{\"name\" \"events\" \"patterns\" [\"x\"]}"),
                     TIDINGS_EINVAL);
    assert_int_equal(call_code(s, "pub", "stream.add", "{\"name\" \"events\"}"),
                     TIDINGS_OK);
}

/* One batch of these pieces, with options in the notation of mp.h. */
static void put_if(struct streams *s, const struct piece *pieces, uint32_t n,
                   uint64_t flags, const char *options)
{
    publish_if(s->f, "pub", DISK | flags, pieces, n, options);
    settle_down(s);
}

static void test_stream_takes_what_is_expected(void **state)
{
    struct streams *s = *state;
    const struct piece one = {"a", 2, 10, 1, NULL};
    const struct piece two = {"a", 1, 10, 3, NULL};
    const struct piece three = {"b", 1, 10, 4, NULL};

    hello(s->f, "pub");
    subscriber(s->f, "sub", ">", WIDE);
    put_if(s, &one, 1, 0, "{\"expect\" 0}");
    check_confirm(s, 0, 1, 2, TIDINGS_OK, 1, false);
    put_if(s, &two, 1, 0, "{\"expect\" 1}");
    check_confirm(s, 1, 3, 1, TIDINGS_ECONFLICT, 2, false);
    assert_int_equal(events_to(s->f, "sub"), 2); /* nor is it delivered */
    put_if(s, &three, 1, 0, "{\"expect\" 2}");
    check_confirm(s, 2, 4, 1, TIDINGS_OK, 3, false);
    /* sent again: what was stored is a duplicate, what was not is judged */
    put_if(s, &three, 1, 0, "{\"expect\" 2}");
    check_confirm(s, 3, 4, 1, TIDINGS_OK, 0, true);
    put_if(s, &two, 1, 0, "{\"expect\" 3}");
    check_confirm(s, 4, 3, 1, TIDINGS_OK, 4, false);
    assert_int_equal(events_to(s->f, "sub"), 3);
}

/* Of several types, too: its client never knows half of it. */
static void test_stream_refuses_a_batch_in_one_row(void **state)
{
    struct streams *s = *state;
    const struct piece first = {"a", 2, 10, 1, NULL};
    const struct piece pieces[] = {
        {"a", 2, 10, 3, NULL}, {"b", 1, 10, 5, NULL}, {"a", 4, 10, 6, NULL}};
    struct td_confirm row;

    hello(s->f, "pub");
    put_if(s, &first, 1, 0, NULL);
    put_if(s, pieces, 3, 0, "{\"expect\" 1}");
    check_confirm(s, 1, 3, 7, TIDINGS_ECONFLICT, 2, false);
    assert_false(confirm_to(s, "pub", 2, &row));
}

/* D20 */
static void test_stream_takes_all_or_nothing(void **state)
{
    struct streams *s = *state;
    const struct piece pieces[] = {{"o.a", 2, 10, 1, NULL},
                                   {"x", 1, 10, 3, NULL}};
    const struct piece same[] = {{"y", 2, 10, 4, NULL}, {"x", 1, 10, 6, NULL}};

    hello(s->f, "pub");
    call(s, "pub", "stream.add", "{\"name\" \"o\" \"patterns\" [\"o.>\"]}");
    put_if(s, pieces, 2, TD_PUBLISH_ATOMIC, "{}");
    check_confirm(s, 0, 1, 3, TIDINGS_EINVAL, 0, false);
    put_if(s, same, 2, TD_PUBLISH_ATOMIC, "{}");
    check_confirm(s, 1, 4, 3, TIDINGS_OK, 1, false);
}

static void test_stream_in_memory_says_so(void **state)
{
    struct streams *s = *state;
    struct td_confirm row;

    hello(s->f, "pub");
    call(s, "pub", "stream.add",
         "{\"name\" \"m\" \"patterns\" [\"m.>\"] \"storage\" \"memory\"}");
    put(s, "pub", "m.a", 3, 1, DISK);
    assert_true(confirm_to(s, "pub", 0, &row));
    assert_int_equal(row.sequence, 1);
    assert_int_equal(row.level, TD_LEVEL_MEMORY);
}

/* ---- consuming ---- */

static void check_span(struct streams *s, const char *peer, uint32_t nth,
                       uint64_t n, uint64_t sequence, uint64_t deliveries)
{
    struct td_span span;

    assert_true(span_to(s, peer, nth, &span));
    assert_int_equal(span.count, n);
    assert_int_equal(span.sequence, sequence);
    assert_int_equal(span.deliveries, deliveries);
}

static void test_reader_reads_all(void **state)
{
    struct streams *s = *state;

    hello(s->f, "pub");
    hello(s->f, "sub");
    put(s, "pub", "a.b", 3, 1, DISK);
    put(s, "pub", "a.c", 4, 4, DISK);
    consume(s, "sub", 1, "a.*", "events", NULL, "\"start\" \"all\"");
    assert_int_equal(events_to(s->f, "sub"), 7);
    check_span(s, "sub", 0, 7, 1, 1);
    put(s, "pub", "a.d", 2, 8, DISK);
    assert_int_equal(events_to(s->f, "sub"), 9);
}

static void test_group_delivers_and_settles(void **state)
{
    struct streams *s = *state;
    struct td_str row;

    hello(s->f, "pub");
    hello(s->f, "sub");
    consume(s, "sub", 1, "a.*", "events", "g", "");
    put(s, "pub", "a.b", 3, 1, DISK);
    put(s, "pub", "b", 1, 4, DISK);
    put(s, "pub", "a.c", 2, 5, DISK);
    assert_int_equal(events_to(s->f, "sub"), 5);
    check_span(s, "sub", 0, 3, 1, 1);
    check_span(s, "sub", 1, 2, 5, 1);
    settle(s, "sub", TD_ACK, 1, 5);
    assert_int_equal(settled_with(s, "sub", TIDINGS_EEXIST), 0);
    settle(s, "sub", TD_ACK, 2, 3);
    assert_int_equal(settled_with(s, "sub", TIDINGS_EEXIST), 1);
    settle(s, "sub", TD_ACK, 6, 9);
    assert_int_equal(settled_with(s, "sub", TIDINGS_ENOTFOUND), 1);
    row = row_of(call(s, "pub", "group.list", "{}"), "groups", 0);
    assert_int_equal(count(row, "acked"), 5);
    assert_int_equal(count(row, "floor"), 7);
    assert_int_equal(count(row, "stale"), 6);
    assert_int_equal(count(row, "in_flight"), 0);
}

static void test_group_goes_on_after_a_crash(void **state)
{
    struct streams *s = *state;

    hello(s->f, "pub");
    hello(s->f, "sub");
    consume(s, "sub", 1, ">", "events", "g", "");
    put(s, "pub", "a", 10, 1, DISK);
    settle(s, "sub", TD_ACK, 1, 3);
    settle(s, "sub", TD_ACK, 5, 6);
    pass(s->f, 100); /* settlements are written a little later */
    settle_down(s);
    kill_broker(s);
    hello(s->f, "sub");
    consume(s, "sub", 1, ">", "events", "g", "");
    assert_int_equal(events_to(s->f, "sub"), 5);
    check_span(s, "sub", 0, 1, 4, 1);
    check_span(s, "sub", 1, 4, 7, 1);
}

static void test_group_delivers_again_after_nak(void **state)
{
    struct streams *s = *state;

    hello(s->f, "pub");
    hello(s->f, "sub");
    consume(s, "sub", 1, ">", "events", "g", "\"max_deliver\" 3");
    put(s, "pub", "a", 3, 1, DISK);
    settle(s, "sub", TD_NAK, 2, 2);
    assert_int_equal(events_to(s->f, "sub"), 3);
    pass(s->f, 300);
    settle_down(s);
    assert_int_equal(events_to(s->f, "sub"), 4);
    check_span(s, "sub", 1, 1, 2, 2);
    settle(s, "sub", TD_RELEASE, 4, 4);
    check_span(s, "sub", 2, 1, 2, 2);
    settle(s, "sub", TD_NAK, 5, 5);
    pass(s->f, 600);
    settle_down(s);
    check_span(s, "sub", 3, 1, 2, 3);
    settle(s, "sub", TD_NAK, 6, 6); /* that was the third */
    pass(s->f, 100000);
    settle_down(s);
    assert_false(span_to(s, "sub", 4, &(struct td_span){0}));
}

/* What waits to be delivered again may be gone by then: a member is told. */
static void test_group_is_told_of_retries_that_expired(void **state)
{
    struct streams *s = *state;
    struct td_str row;

    hello(s->f, "pub");
    hello(s->f, "sub");
    consume(s, "sub", 1, ">", "events", "g", "");
    put(s, "pub", "a", 3, 1, DISK);
    settle(s, "sub", TD_NAK, 1, 2);
    call(s, "pub", "stream.purge", "{\"name\" \"events\" \"before\" 4}");
    settle_down(s);
    pass(s->f, 300);
    settle_down(s);
    assert_int_equal(events_to(s->f, "sub"), 3);
    assert_int_equal(missed_by(s->f, "sub", "expired"), 2);
    row = row_of(call(s, "pub", "group.list", "{}"), "groups", 0);
    assert_int_equal(count(row, "expired"), 2);
}

static void note_overtaken(void *ctx, enum td_log_level level, const char *id,
                           const char *text)
{
    assert_int_equal(level, TD_LOG_WARN);
    if (strcmp(id, "GROUP-OVERTAKEN") == 0)
        snprintf(ctx, 128, "%s", text);
}

/* What expired before its turn is logged, the second time a while later. */
static void test_group_overtaken_is_logged(void **state)
{
    struct streams *s = *state;
    char text[128] = "";

    hello(s->f, "pub");
    hello(s->f, "sub");
    consume(s, "sub", 1, ">", "events", "g", "");
    give(s->f, "sub", "[14 0 \"\"]"); /* it goes */
    settle_down(s);
    put(s, "pub", "a", 9, 1, DISK);
    s->f->engine->options.log = (struct td_log){
        .level = TD_LOG_WARN, .write = note_overtaken, .ctx = text};
    call(s, "pub", "stream.purge", "{\"name\" \"events\" \"before\" 4}");
    settle_down(s);
    assert_string_equal(text, "stream events, group g: sequences 1 to 3 "
                              "expired, 3 not settled");
    text[0] = '\0';
    call(s, "pub", "stream.purge", "{\"name\" \"events\" \"before\" 6}");
    settle_down(s);
    assert_string_equal(text, "");
    pass(s->f, TD_ADVISE_MS);
    settle_down(s);
    assert_string_equal(text, "stream events, group g: sequences 4 to 5 "
                              "expired, 2 not settled");
    s->f->engine->options.log = (struct td_log){0};
}

static void test_group_buries_and_redrives(void **state)
{
    struct streams *s = *state;
    struct td_str row;

    hello(s->f, "pub");
    hello(s->f, "sub");
    consume(s, "sub", 1, ">", "events", "g", "");
    put(s, "pub", "a.b", 3, 1, DISK);
    settle(s, "sub", TD_TERM, 2, 2);
    settle_down(s);
    row = row_of(call(s, "pub", "group.list", "{}"), "groups", 0);
    assert_int_equal(count(row, "dead"), 1);
    row = row_of(call(s, "pub", "dlq.list",
                      "{\"stream\" \"events\" \"group\" \"g\" \"data\" true}"),
                 "dead", 0);
    assert_int_equal(count(row, "sequence"), 2);
    assert_true(is_text(text_of(row, "type"), "a.b"));
    assert_true(is_text(text_of(row, "reason"), "term"));
    assert_true(is_text(text_of(row, "error"), "why"));
    assert_true(is_text(text_of(row, "handler"), "sub"));
    assert_true(is_text(text_of(row, "stream"), "events"));
    settle(s, "sub", TD_ACK, 1, 1);
    settle(s, "sub", TD_ACK, 3, 3);
    pass(s->f, 100);
    settle_down(s);
    kill_broker(s);
    hello(s->f, "pub");
    hello(s->f, "sub");
    consume(s, "sub", 1, ">", "events", "g", "");
    assert_int_equal(count(call(s, "pub", "dlq.redrive",
                                "{\"stream\" \"events\" \"group\" \"g\"}"),
                           "events"),
                     1);
    assert_int_equal(events_to(s->f, "sub"), 1);
    check_span(s, "sub", 0, 1, 2, 1);
    settle(s, "sub", TD_ACK, 1, 1);
    settle_down(s);
    row = row_of(call(s, "pub", "group.list", "{}"), "groups", 0);
    assert_int_equal(count(row, "dead"), 0);
    assert_int_equal(count(row, "floor"), 4);
}

static void test_group_redrives_what_the_stream_forgot(void **state)
{
    struct streams *s = *state;
    enum { DEAD = 50 };

    hello(s->f, "pub");
    hello(s->f, "sub");
    consume(s, "sub", 1, ">", "events", "g", "");
    put(s, "pub", "a", DEAD, 1, DISK);
    settle(s, "sub", TD_TERM, 1, DEAD);
    for (int i = 0; i < 10; i++)
        settle_down(s);
    call(s, "pub", "stream.purge", "{\"name\" \"events\"}");
    assert_int_equal(count(call(s, "pub", "dlq.redrive",
                                "{\"stream\" \"events\" \"group\" \"g\"}"),
                           "events"),
                     DEAD);
    for (int i = 0; i < 10; i++)
        settle_down(s);
    assert_int_equal(events_to(s->f, "sub"), 2 * DEAD);
}

static void test_group_delivers_again_when_a_member_ends(void **state)
{
    struct streams *s = *state;

    hello(s->f, "pub");
    hello(s->f, "sub");
    hello(s->f, "two");
    consume(s, "sub", 1, ">", "events", "g", "");
    put(s, "pub", "a", 3, 1, DISK);
    consume(s, "two", 1, ">", "events", "g", "");
    gone(s->f, "sub");
    for (int i = 0; i < 4; i++) {
        pass(s->f, TD_GRACE_MS / 3);
        give(s->f, "two", "[11 1]"); /* it is there */
    }
    settle_down(s);
    assert_int_equal(events_to(s->f, "two"), 3);
    check_span(s, "two", 0, 3, 1, 2);
}

static void test_group_takes_back_from_a_member_that_leaves(void **state)
{
    struct streams *s = *state;

    hello(s->f, "pub");
    hello(s->f, "sub");
    hello(s->f, "two");
    consume(s, "sub", 1, ">", "events", "g", "\"max_deliver\" 1");
    put(s, "pub", "a", 3, 1, DISK);
    consume(s, "two", 1, ">", "events", "g", "");
    give(s->f, "sub", "[14 0 \"\"]"); /* in order: nothing has failed */
    settle_down(s);
    assert_int_equal(events_to(s->f, "two"), 3);
    check_span(s, "two", 0, 3, 1, 1);
}

static void test_group_waits_so_long_for_settlement(void **state)
{
    struct streams *s = *state;

    hello(s->f, "pub");
    hello(s->f, "sub");
    consume(s, "sub", 1, ">", "events", "g", "\"ack_wait_ms\" 1000");
    put(s, "pub", "a", 3, 1, DISK);
    pass(s->f, 700);
    settle(s, "sub", TD_PROGRESS, 2, 2);
    pass(s->f, 600);
    settle_down(s);
    assert_int_equal(events_to(s->f, "sub"), 5); /* 1 and 3 again */
    settle(s, "sub", TD_ACK, 1, 1);
    assert_int_equal(settled_with(s, "sub", TIDINGS_EEXIST), 1);
}

/* It is alone: there is nobody to deal with, and nothing to settle. */
static void test_reader_has_no_options_of_a_group(void **state)
{
    static const char *const bad[] = {"\"group_policy\" \"round_robin\"",
                                      "\"group_policy\" \"random\"",
                                      "\"group_policy\" \"least_pending\"",
                                      "\"group_policy\" \"key\"",
                                      "\"group_policy\" \"single\"",
                                      "\"max_in_flight\" 1",
                                      "\"ack_wait_ms\" 1000",
                                      "\"max_deliver\" 3",
                                      "\"backoff_ms\" 10",
                                      "\"backoff_max_ms\" 100000"};
    struct streams *s = *state;

    hello(s->f, "pub");
    hello(s->f, "sub");
    for (unsigned i = 0; i < TD_ARRAY_LEN(bad); i++) {
        consume(s, "sub", i + 1, ">", "events", NULL, bad[i]);
        assert_row(bad[i], code_of_reply(s->f, "sub") == TIDINGS_EINVAL);
    }
    put(s, "pub", "a", 1, 1, DISK);
    assert_int_equal(events_to(s->f, "sub"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_STREAM(test_stream_confirms_what_is_written),
        TEST_STREAM(test_stream_confirms_memory_at_once),
        TEST_STREAM(test_stream_stores_once),
        TEST_STREAM(test_stream_is_there_after_a_crash),
        TEST_STREAM(test_stream_takes_back_what_failed),
        TEST_STREAM(test_stream_goes_on_when_there_is_room),
        TEST_STREAM(test_stream_is_chosen_by_type),
        TEST_STREAM(test_stream_takes_what_is_expected),
        TEST_STREAM(test_stream_refuses_a_batch_in_one_row),
        TEST_STREAM(test_stream_takes_all_or_nothing),
        TEST_STREAM(test_stream_in_memory_says_so),
        TEST_STREAM(test_reader_reads_all),
        TEST_STREAM(test_reader_has_no_options_of_a_group),
        TEST_STREAM(test_group_delivers_and_settles),
        TEST_STREAM(test_group_goes_on_after_a_crash),
        TEST_STREAM(test_group_delivers_again_after_nak),
        TEST_STREAM(test_group_is_told_of_retries_that_expired),
        TEST_STREAM(test_group_overtaken_is_logged),
        TEST_STREAM(test_group_buries_and_redrives),
        TEST_STREAM(test_group_redrives_what_the_stream_forgot),
        TEST_STREAM(test_group_delivers_again_when_a_member_ends),
        TEST_STREAM(test_group_takes_back_from_a_member_that_leaves),
        TEST_STREAM(test_group_waits_so_long_for_settlement),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
