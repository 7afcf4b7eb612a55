/* The engine: what operators' calls do when they meet, and when the store cannot
 * write them. */
#include "tests/unit/stream_fixture.h"

#define GROUP "{\"stream\" \"events\" \"group\" \"g\"}"

/* Asked, and not waited for. */
static void ask_call(struct streams *s, uint64_t request, const char *name,
                     const char *options)
{
    givef(s->f, "pub", "[15 %llu \"%s\" %s]", (unsigned long long)request, name,
          options);
}

/* The answer to a request; NULL: there is none yet. */
static const struct td_frame *answer_to(struct streams *s, uint64_t request)
{
    struct sent *sent;

    for (uint32_t i = 0; (sent = find(s->f, "pub", TD_REPLY, i)); i++) {
        if (sent->frame.u.reply.request == request)
            return &sent->frame;
    }
    return NULL;
}

static uint64_t code_of(struct streams *s, uint64_t request)
{
    const struct td_frame *f = answer_to(s, request);

    assert_non_null(f);
    return f->u.reply.code;
}

static uint64_t events_of(struct streams *s, uint64_t request)
{
    assert_int_equal(code_of(s, request), TIDINGS_OK);
    return count(answer_to(s, request)->u.reply.result, "events");
}

static struct td_str group_row(struct streams *s)
{
    return row_of(call(s, "pub", "group.list", "{}"), "groups", 0);
}

/* So many events, all of them dead letters of the group. */
static void bury(struct streams *s, uint32_t n)
{
    hello(s->f, "pub");
    hello(s->f, "sub");
    consume(s, "sub", 1, ">", "events", "g", "");
    put(s, "pub", "a", n, 1, DISK);
    settle(s, "sub", TD_TERM, 1, n);
    settle_down(s);
    assert_int_equal(count(group_row(s), "dead"), n);
}

/* ---- calls that meet ---- */

static void test_operate_purges_a_letter_once(void **state)
{
    struct streams *s = *state;

    bury(s, 3);
    hold_store(s);
    ask_call(s, 101, "dlq.purge", GROUP);
    ask_call(s, 102, "dlq.purge", GROUP);
    let_store(s);
    assert_int_equal(events_of(s, 101), 3);
    assert_int_equal(events_of(s, 102), 0);
    put(s, "pub", "a", 2, 4, DISK);
    settle(s, "sub", TD_TERM, 4, 5);
    settle_down(s);
    assert_int_equal(count(group_row(s), "dead"), 2);
}

static void test_operate_purges_before_it_redrives(void **state)
{
    struct streams *s = *state;

    bury(s, 3);
    hold_store(s);
    ask_call(s, 101, "dlq.purge", GROUP);
    ask_call(s, 102, "dlq.redrive", GROUP);
    let_store(s);
    assert_int_equal(events_of(s, 101), 3);
    assert_int_equal(events_of(s, 102), 0);
    assert_int_equal(events_to(s->f, "sub"), 3);
    kill_broker(s);
    hello(s->f, "pub");
    assert_int_equal(count(group_row(s), "dead"), 0);
}

/* Redriven, it dies again while it is being purged: it is gone all the same,
 * and nothing else is. */
static void test_operate_purges_what_dies_again(void **state)
{
    struct streams *s = *state;

    bury(s, 2);
    assert_int_equal(count(call(s, "pub", "dlq.redrive",
                                "{\"stream\" \"events\" \"group\" \"g\" "
                                "\"last\" 1}"),
                           "events"),
                     1);
    assert_int_equal(events_to(s->f, "sub"), 3);
    hold_store(s);
    ask_call(s, 101, "dlq.purge", GROUP);
    settle(s, "sub", TD_TERM, 3, 3);
    td_model_serve(s->model, UINT32_MAX);
    let_store(s);
    assert_int_equal(events_of(s, 101), 2);
    assert_int_equal(count(group_row(s), "dead"), 0);
    call(s, "pub", "dlq.purge", GROUP);
    kill_broker(s);
    hello(s->f, "pub");
    assert_int_equal(count(group_row(s), "dead"), 0);
    assert_int_equal(count(group_row(s), "floor"), 3);
}

static uint64_t rows_in(struct td_str result)
{
    struct td_str raw = {NULL, 0};
    struct td_reader r;
    uint32_t rows;

    assert_true(td_map_find(result, "dead", &raw));
    r = td_reader_of(raw.data, raw.len);
    assert_true(td_read_array(&r, &rows));
    return rows;
}

#define TYPED(type, more)                                                      \
    "{\"stream\" \"events\" \"group\" \"g\" \"type\" \"" type "\" " more "}"

static void test_operate_chooses_letters_by_type(void **state)
{
    struct streams *s = *state;
    struct td_str list;

    bury(s, 3); /* a: 1 to 3 */
    put(s, "pub", "b.c", 4, 4, DISK);
    put(s, "pub", "b.d", 1, 8, DISK);
    settle(s, "sub", TD_TERM, 4, 8);
    settle_down(s);
    list = call(s, "pub", "dlq.list", TYPED("b.*", "\"limit\" 2"));
    assert_int_equal(rows_in(list), 2);
    assert_int_equal(count(row_of(list, "dead", 0), "number"), 4);
    assert_int_equal(count(list, "next"), 6);
    assert_int_equal(count(list, "dead_total"), 8);
    list = call(s, "pub", "dlq.list", TYPED("b.*", "\"from\" 6"));
    assert_int_equal(rows_in(list), 3);
    assert_int_equal(count(list, "next"), 0);
    list = call(s, "pub", "dlq.list", TYPED("none", ""));
    assert_int_equal(rows_in(list), 0);
    assert_int_equal(count(list, "next"), 0);
    assert_int_equal(
        count(call(s, "pub", "dlq.redrive", TYPED("b.d", "")), "events"), 1);
    assert_int_equal(events_to(s->f, "sub"), 9);
    assert_int_equal(count(call(s, "pub", "dlq.purge",
                                TYPED("b.c", "\"first\" 5 \"last\" 6")),
                           "events"),
                     2);
    assert_int_equal(
        count(call(s, "pub", "dlq.purge", TYPED("a", "")), "events"), 3);
    assert_int_equal(count(group_row(s), "dead"), 3);
}

/* How many a call has dealt with; and where to go on. */
static uint64_t dealt(struct streams *s, const char *name, const char *options,
                      uint64_t *next)
{
    struct td_str result = call(s, "pub", name, options);

    *next = count(result, "next");
    return count(result, "events");
}

#define SOME(more) "{\"stream\" \"events\" \"group\" \"g\" " more "}"

static void test_operate_deals_with_so_many_letters(void **state)
{
    struct streams *s = *state;
    uint64_t next;

    bury(s, 5); /* a: 1 to 5 */
    put(s, "pub", "b", 2, 6, DISK);
    settle(s, "sub", TD_TERM, 6, 7);
    settle_down(s);

    /* those that are on their way do not count */
    assert_int_equal(dealt(s, "dlq.redrive", SOME("\"last\" 2"), &next), 2);
    assert_int_equal(next, 0);
    assert_int_equal(dealt(s, "dlq.redrive", SOME("\"limit\" 1"), &next), 1);
    assert_int_equal(next, 4);
    assert_int_equal(events_to(s->f, "sub"), 10);

    /* but are deleted */
    assert_int_equal(dealt(s, "dlq.purge", SOME("\"limit\" 2"), &next), 2);
    assert_int_equal(next, 3);
    assert_int_equal(dealt(s, "dlq.purge", TYPED("b", "\"limit\" 1"), &next),
                     1);
    assert_int_equal(next, 7);
    assert_int_equal(
        dealt(s, "dlq.purge", TYPED("b", "\"first\" 7 \"limit\" 1"), &next), 1);
    assert_int_equal(next, 0);
    assert_int_equal(
        dealt(s, "dlq.purge", SOME("\"limit\" 9223372036854775807"), &next), 3);
    assert_int_equal(next, 0);
    assert_int_equal(count(group_row(s), "dead"), 0);
}

static void test_operate_refuses_what_is_no_limit(void **state)
{
    static const char *const calls[] = {"dlq.redrive", "dlq.purge"};
    static const char *const limits[] = {"0",   "-1",  "\"1\"",
                                         "1.5", "nil", "[1]"};
    struct streams *s = *state;
    char options[100];

    bury(s, 1);
    for (size_t i = 0; i < TD_ARRAY_LEN(calls); i++) {
        for (size_t k = 0; k < TD_ARRAY_LEN(limits); k++) {
            snprintf(options, sizeof(options), SOME("\"limit\" %s"), limits[k]);
            assert_row(options, call_code(s, "pub", calls[i], options) ==
                                    TIDINGS_EINVAL);
        }
    }
    assert_int_equal(count(group_row(s), "dead"), 1);
}

static void test_operate_refuses_what_is_no_pattern(void **state)
{
    static const char *const calls[] = {"dlq.list", "dlq.redrive", "dlq.purge"};
    static const char *const types[] = {
        "\"\"", "\"a..b\"", "\">.a\"", "5", "[\"a\"]", "\"a b\"", "nil",
    };
    struct streams *s = *state;
    char options[100];

    bury(s, 1);
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        for (size_t k = 0; k < sizeof(types) / sizeof(types[0]); k++) {
            snprintf(options, sizeof(options),
                     "{\"stream\" \"events\" \"group\" \"g\" \"type\" %s}",
                     types[k]);
            assert_row(options, call_code(s, "pub", calls[i], options) ==
                                    TIDINGS_EINVAL);
        }
    }
    assert_int_equal(count(group_row(s), "dead"), 1);
}

/* "It is there" is said when that is written, whoever made it. */
static void test_operate_answers_when_it_is_written(void **state)
{
    struct streams *s = *state;

    hello(s->f, "pub");
    hold_store(s);
    ask_call(s, 101, "group.add", GROUP);
    settle_down(s);
    ask_call(s, 102, "group.add", GROUP);
    settle_down(s);
    assert_null(answer_to(s, 101));
    assert_null(answer_to(s, 102));
    let_store(s);
    assert_int_equal(code_of(s, 101), TIDINGS_OK);
    assert_int_equal(code_of(s, 102), TIDINGS_OK);
}

/* ---- where a group begins ---- */

/* FAULTS D18. The stream keeps 4 to 10. */
static const struct {
    const char *start;
    uint64_t next; /* 0: EINVAL */
} starts[] = {
    {"\"start\" \"all\"", 4},
    {"\"start\" \"new\"", 11},
    {"\"start\" 1", 4},
    {"\"start\" 4", 4},
    {"\"start\" 7", 7},
    {"\"start\" 11", 11},
    {"\"start\" 12", 11},
    {"\"start\" 9223372036854775807", 11},
    {"\"start\" \"time\" \"start_ms\" 0", 4},
    {"\"start\" \"time\" \"start_ms\" -9223372036854775808", 4},
    {"\"start\" \"time\" \"start_ms\" 9223372036854775807", 11},
    {"\"start\" 0", 0},
    {"\"start\" -1", 0},
    {"\"start\" -9223372036854775808", 0},
    {"\"start\" 9223372036854775808", 0},
    {"\"start\" 18446744073709551615", 0},
    {"\"start\" 1.5", 0},
    {"\"start\" nil", 0},
    {"\"start\" \"\"", 0},
    {"\"start\" \"sequence\"", 0},
    {"\"start\" \"time\"", 0},
    {"\"start\" \"time\" \"start_ms\" \"0\"", 0},
    {"\"start\" \"all\" \"start_ms\" 0", 0},
};

static void check_start(struct streams *s, const char *name,
                        const char *options, const char *start, uint64_t next)
{
    tidings_err err = call_code(s, "pub", name, options);

    assert_row(start, err == (next ? TIDINGS_OK : TIDINGS_EINVAL));
    if (next)
        assert_row(start, count(group_row(s), "next") == next);
}

static void test_operate_begins_within_the_stream(void **state)
{
    struct streams *s = *state;
    char options[160];

    hello(s->f, "pub");
    put(s, "pub", "a", 10, 1, DISK);
    call(s, "pub", "stream.purge", "{\"name\" \"events\" \"before\" 4}");
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        const char *start = starts[i].start;
        uint64_t next = starts[i].next;

        snprintf(options, sizeof(options),
                 "{\"stream\" \"events\" \"group\" \"g\" %s}", start);
        check_start(s, "group.add", options, start, next);
        if (!next)
            call(s, "pub", "group.add", GROUP);
        check_start(s, "group.seek", options, start, next);
        call(s, "pub", "group.delete", GROUP);
    }
}

/* ---- what cannot be written ---- */

/* The next transaction fails; whatever is asked meanwhile fails with it. */
static void fail_call(struct streams *s, const char *name, const char *options)
{
    static uint64_t request = 1000;

    request++;
    td_model_fail(s->model, 1, TIDINGS_EFULL);
    ask_call(s, request, name, options);
    settle_down(s);
    assert_row(name, code_of(s, request) == TIDINGS_EFULL);
    assert_true(strstr(answer_to(s, request)->u.reply.text.data,
                       "nothing was done") != NULL);
    pass(s->f, 2000); /* nothing of it comes later */
    settle_down(s);
}

static void test_operate_takes_back_what_was_added(void **state)
{
    struct streams *s = *state;

    hello(s->f, "pub");
    fail_call(s, "group.add", GROUP);
    assert_int_equal(count(call(s, "pub", "group.list", "{}"), "groups_total"),
                     0);
    fail_call(s, "stream.add",
              "{\"name\" \"orders\" \"patterns\" [\"order.>\"]}");
    kill_broker(s);
    hello(s->f, "pub");
    assert_int_equal(count(call(s, "pub", "group.list", "{}"), "groups_total"),
                     0);
    assert_int_equal(
        count(call(s, "pub", "stream.list", "{}"), "streams_total"), 1);
    call(s, "pub", "group.add", GROUP);
    kill_broker(s);
    hello(s->f, "pub");
    assert_int_equal(count(call(s, "pub", "group.list", "{}"), "groups_total"),
                     1);
}

/* Who joined it meanwhile relied on it: it is told so as well. */
static void test_operate_takes_back_a_group_that_was_joined(void **state)
{
    struct streams *s = *state;

    hello(s->f, "pub");
    hello(s->f, "sub");
    hold_store(s);
    td_model_fail(s->model, 1, TIDINGS_EFULL);
    ask_call(s, 101, "group.add", GROUP);
    settle_down(s);
    consume(s, "sub", 1, ">", "events", "g", "");
    let_store(s);
    assert_int_equal(code_of(s, 101), TIDINGS_EFULL);
    assert_int_equal(code_of_reply(s->f, "sub"), TIDINGS_EFULL);
    assert_null(td_sub_find(session_of(s->f, "sub"), 1));
    pass(s->f, 2000);
    settle_down(s);
    assert_int_equal(count(call(s, "pub", "group.list", "{}"), "groups_total"),
                     0);
    consume(s, "sub", 1, ">", "events", "g", "");
    assert_int_equal(code_of_reply(s->f, "sub"), TIDINGS_OK);
    put(s, "pub", "a", 1, 1, DISK);
    assert_int_equal(events_to(s->f, "sub"), 1);
    kill_broker(s);
    hello(s->f, "pub");
    assert_int_equal(count(group_row(s), "floor"), 1);
}

static bool is_paused(struct streams *s)
{
    bool paused = false;

    assert_true(td_map_bool(group_row(s), "paused", &paused));
    return paused;
}

static void test_operate_takes_back_a_pause(void **state)
{
    struct streams *s = *state;

    hello(s->f, "pub");
    call(s, "pub", "group.add", GROUP);
    fail_call(s, "group.pause", GROUP);
    assert_false(is_paused(s));
    hold_store(s); /* several: back to where the first began */
    td_model_fail(s->model, 1, TIDINGS_EFULL);
    ask_call(s, 101, "group.pause", GROUP);
    settle_down(s);
    ask_call(s, 102, "group.resume", GROUP);
    settle_down(s);
    ask_call(s, 103, "group.pause", GROUP);
    let_store(s);
    assert_int_equal(code_of(s, 101), TIDINGS_EFULL);
    assert_int_equal(code_of(s, 103), TIDINGS_EFULL);
    pass(s->f, 2000);
    assert_false(is_paused(s));
    call(s, "pub", "group.pause", GROUP);
    fail_call(s, "group.resume", GROUP);
    assert_true(is_paused(s));
    kill_broker(s);
    hello(s->f, "pub");
    assert_true(is_paused(s));
}

static void test_operate_ends_a_pause_after_a_restart(void **state)
{
    struct streams *s = *state;
    char options[100];

    hello(s->f, "pub");
    call(s, "pub", "group.add", GROUP);
    snprintf(options, sizeof(options),
             "{\"stream\" \"events\" \"group\" \"g\" \"until_ms\" %lld}",
             (long long)td_engine_unix_ms(s->f->engine) + 5000);
    call(s, "pub", "group.pause", options);
    put(s, "pub", "a", 3, 1, DISK);
    kill_broker(s);
    hello(s->f, "sub");
    consume(s, "sub", 1, ">", "events", "g", "");
    pass(s->f, 4000);
    assert_int_equal(events_to(s->f, "sub"), 0);
    pass(s->f, 1500);
    settle_down(s);
    assert_int_equal(events_to(s->f, "sub"), 3);
}

static void test_operate_takes_back_a_seek(void **state)
{
    struct streams *s = *state;
    struct td_span span;

    hello(s->f, "pub");
    hello(s->f, "sub");
    consume(s, "sub", 1, ">", "events", "g", "\"start\" \"all\"");
    put(s, "pub", "a", 5, 1, DISK);
    settle(s, "sub", TD_ACK, 1, 2);
    settle(s, "sub", TD_ACK, 4, 4);
    pass(s->f, 100);
    settle_down(s);
    fail_call(s, "group.seek",
              "{\"stream\" \"events\" \"group\" \"g\" \"start\" \"new\"}");
    assert_int_equal(count(group_row(s), "floor"), 3);
    assert_int_equal(events_to(s->f, "sub"), 7); /* 3 and 5 once more */
    assert_true(span_to(s, "sub", 1, &span));
    assert_int_equal(span.sequence, 3);
    assert_true(span_to(s, "sub", 2, &span));
    assert_int_equal(span.sequence, 5);
    settle(s, "sub", TD_ACK, 6, 7);
    pass(s->f, 100);
    settle_down(s);
    assert_int_equal(count(group_row(s), "floor"), 6);
    kill_broker(s);
    hello(s->f, "pub");
    assert_int_equal(count(group_row(s), "floor"), 6);
}

/* A purge and a cancellation that failed have not happened, which is what their
 * texts say. */
static void test_operate_takes_back_what_was_to_go(void **state)
{
    const struct piece piece = {"a", 1, 10, 4, NULL};
    struct streams *s = *state;

    hello(s->f, "pub");
    put(s, "pub", "a", 3, 1, DISK);
    publish_if(s->f, "pub", DISK, &piece, 1, "{\"after_ms\" 600000}");
    settle_down(s);
    fail_call(s, "stream.purge", "{\"name\" \"events\"}");
    fail_call(s, "stream.purge", "{\"name\" \"events\" \"before\" 2}");
    fail_call(s, "schedule.cancel", "{\"number\" 1}");
    for (int broker = 0; broker < 2; broker++) {
        assert_int_equal(
            count(row_of(call(s, "pub", "stream.list", "{}"), "streams", 0),
                  "events"),
            3);
        assert_int_equal(
            count(call(s, "pub", "schedule.list", "{}"), "scheduled_total"), 1);
        kill_broker(s);
        hello(s->f, "pub");
    }
}

/* What is deleted is gone, and that is tried until it is written. */
static void test_operate_goes_on_deleting(void **state)
{
    struct streams *s = *state;

    bury(s, 2);
    td_model_fail(s->model, 1, TIDINGS_EFULL);
    ask_call(s, 101, "dlq.purge", GROUP);
    settle_down(s);
    assert_int_equal(code_of(s, 101), TIDINGS_EFULL);
    assert_int_equal(count(group_row(s), "dead"), 0);
    pass(s->f, 2000);
    settle_down(s);
    kill_broker(s);
    hello(s->f, "pub");
    assert_int_equal(count(group_row(s), "dead"), 0);
    td_model_fail(s->model, 1, TIDINGS_EFULL);
    ask_call(s, 102, "group.delete", GROUP);
    settle_down(s);
    assert_int_equal(code_of(s, 102), TIDINGS_EFULL);
    pass(s->f, 2000);
    settle_down(s);
    kill_broker(s);
    hello(s->f, "pub");
    assert_int_equal(count(call(s, "pub", "group.list", "{}"), "groups_total"),
                     0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_STREAM(test_operate_purges_a_letter_once),
        TEST_STREAM(test_operate_purges_before_it_redrives),
        TEST_STREAM(test_operate_purges_what_dies_again),
        TEST_STREAM(test_operate_chooses_letters_by_type),
        TEST_STREAM(test_operate_deals_with_so_many_letters),
        TEST_STREAM(test_operate_refuses_what_is_no_limit),
        TEST_STREAM(test_operate_refuses_what_is_no_pattern),
        TEST_STREAM(test_operate_answers_when_it_is_written),
        TEST_STREAM(test_operate_begins_within_the_stream),
        TEST_STREAM(test_operate_takes_back_what_was_added),
        TEST_STREAM(test_operate_takes_back_a_group_that_was_joined),
        TEST_STREAM(test_operate_takes_back_a_pause),
        TEST_STREAM(test_operate_ends_a_pause_after_a_restart),
        TEST_STREAM(test_operate_takes_back_a_seek),
        TEST_STREAM(test_operate_takes_back_what_was_to_go),
        TEST_STREAM(test_operate_goes_on_deleting),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
