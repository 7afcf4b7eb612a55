/* The engine: the bounds of a stream that is there change (stream.set). */
#include "tests/unit/stream_fixture.h"

#include <string.h>

#define A "{\"id\" \"a\"}"
#define B "{\"id\" \"b\"}"

#define SET(options) "{\"name\" \"events\" " options "}"

static void greet_both(struct streams *s)
{
    hello(s->f, "pub");
    hello(s->f, "sub");
}

static void set(struct streams *s, const char *options)
{
    call(s, "pub", "stream.set", options);
    settle_down(s);
}

static uint64_t figure(struct streams *s, const char *key)
{
    return count(row_of(call(s, "pub", "stream.list", "{}"), "streams", 0),
                 key);
}

static struct td_str word(struct streams *s, const char *key)
{
    return text_of(row_of(call(s, "pub", "stream.list", "{}"), "streams", 0),
                   key);
}

static void put_each(struct streams *s, uint32_t n, uint64_t first)
{
    for (uint32_t i = 0; i < n; i++)
        put(s, "pub", "a", 1, first + i, DISK);
    settle_down(s);
}

/* One that chose its id; whether it was stored before. */
static bool is_repeat(struct streams *s, uint32_t nth, const char *id)
{
    const struct piece piece = {"a", 1, 10, nth + 1, &id};
    struct td_confirm row;

    publish(s->f, "pub", DISK, &piece, 1);
    settle_down(s);
    assert_true(confirm_to(s, "pub", nth, &row));
    assert_int_equal(row.code, TIDINGS_OK);
    return row.duplicate;
}

/* ---- what changes ---- */

static void test_bounds_are_those_that_were_given(void **state)
{
    struct streams *s = *state;

    greet_both(s);
    set(s, SET("\"max_age_ms\" 1000000 \"max_events\" 7 \"dedup_ms\" 5"));
    set(s, SET("\"max_bytes\" 123456 \"on_full\" \"reject\" \"max_events\" 0 "
               "\"dedup_events\" 9 \"tombstone_ms\" 11 \"patterns\" [\">\"] "
               "\"storage\" \"disk\" \"keyed\" false \"compact\" false"));
    for (int round = 0; round < 2; round++) {
        assert_int_equal(figure(s, "max_age_ms"), 1000000);
        assert_int_equal(figure(s, "max_bytes"), 123456);
        assert_int_equal(figure(s, "max_events"), 0);
        assert_int_equal(figure(s, "dedup_ms"), 5);
        assert_int_equal(figure(s, "dedup_events"), 9);
        assert_int_equal(figure(s, "tombstone_ms"), 11);
        assert_true(is_text(word(s, "on_full"), "reject"));
        cut_power(s); /* it was answered: it is on the disk */
        hello(s->f, "pub");
    }
}

static void test_a_smaller_bound_counts_at_once(void **state)
{
    struct streams *s = *state;

    greet_both(s);
    put_each(s, 10, 1);
    consume(s, "sub", 1, ">", "events", "g", "\"start\" 3");
    assert_int_equal(events_to(s->f, "sub"), 8);
    givef(s->f, "sub",
          "[5 1 2 \">\" {\"events\" 0 \"bytes\" 100000000 "
          "\"stream\" \"events\" \"start\" \"all\"}]");
    settle_down(s);
    set(s, SET("\"max_events\" 4"));
    assert_int_equal(figure(s, "first"), 7);
    assert_int_equal(missed_by(s->f, "sub", "expired"), 6); /* the reader */
    put_each(s, 1, 11);
    assert_int_equal(figure(s, "first"), 8);
    set(s, SET("\"max_events\" 0"));
    put_each(s, 5, 12);
    assert_int_equal(figure(s, "first"), 8); /* what is gone is gone */
    assert_int_equal(figure(s, "events"), 9);
}

static void test_an_age_counts_for_what_is_there(void **state)
{
    struct streams *s = *state;

    greet_both(s);
    put_each(s, 3, 1);
    pass(s->f, 5000);
    put_each(s, 3, 4);
    set(s, SET("\"max_age_ms\" 4000"));
    assert_int_equal(figure(s, "first"), 4);
    pass(s->f, 5000);
    settle_down(s);
    assert_int_equal(figure(s, "events"), 0);
    set(s, SET("\"max_age_ms\" 0"));
    put_each(s, 2, 7);
    pass(s->f, 9000);
    assert_int_equal(figure(s, "events"), 2);
}

static void test_a_stream_rejects_from_then_on(void **state)
{
    struct streams *s = *state;
    struct td_confirm row;

    greet_both(s);
    put_each(s, 5, 1);
    set(s, SET("\"max_events\" 4 \"on_full\" \"reject\""));
    assert_int_equal(figure(s, "events"), 5); /* nothing is discarded */
    put_each(s, 1, 6);
    assert_true(confirm_to(s, "pub", 5, &row));
    assert_int_equal(row.code, TIDINGS_EFULL);
    set(s, SET("\"max_events\" 6"));
    put_each(s, 1, 7);
    assert_true(confirm_to(s, "pub", 6, &row));
    assert_int_equal(row.code, TIDINGS_OK);
    set(s, SET("\"on_full\" \"discard_old\" \"max_events\" 2"));
    assert_int_equal(figure(s, "events"), 2);
}

static void test_a_window_closes_and_opens(void **state)
{
    struct streams *s = *state;

    greet_both(s);
    assert_false(is_repeat(s, 0, A));
    assert_true(is_repeat(s, 1, A));
    set(s, SET("\"dedup_ms\" 0"));
    assert_false(is_repeat(s, 2, A));
    pass(s->f, 3000);
    settle_down(s);
    set(s, SET("\"dedup_ms\" 60000"));
    assert_false(is_repeat(s, 3, A)); /* it had let go of it */
    assert_true(is_repeat(s, 4, A));
    assert_false(is_repeat(s, 5, B));
    set(s, SET("\"dedup_events\" 1"));
    assert_true(is_repeat(s, 6, B));
    assert_false(is_repeat(s, 7, A));
    assert_false(is_repeat(s, 8, B));
    cut_power(s);
    hello(s->f, "pvb");
    assert_int_equal(s->f->engine->streams.all->dedup.ones.len, 1);
}

/* A commit that fails takes ids away, also when the window has closed. */
static void test_a_window_that_closed_loses_what_failed(void **state)
{
    const struct td_dedup *d;
    struct streams *s = *state;
    const char *id = A;
    const struct piece piece = {"a", 1, 10, 1, &id};

    greet_both(s);
    hold_store(s);
    td_model_fail(s->model, 1, TIDINGS_EFULL);
    publish(s->f, "pub", DISK, &piece, 1);
    settle_down(s);
    givef(s->f, "pub", "[15 77 \"stream.set\" %s]", SET("\"dedup_ms\" 0"));
    d = &s->f->engine->streams.all->dedup;
    assert_int_equal(d->ones.len, 1);
    let_store(s);
    settle_down(s);
    assert_int_equal(d->ones.len, 0);
    assert_int_equal(d->rows.len, 0);
}

static void test_a_stream_in_memory_has_bounds_too(void **state)
{
    struct streams *s = *state;

    greet_both(s);
    call(s, "pub", "stream.add",
         "{\"name\" \"m\" \"patterns\" [\"m\"] \"storage\" \"memory\"}");
    for (uint64_t i = 1; i <= 5; i++)
        put(s, "pub", "m", 1, i, MEMORY);
    call(s, "pub", "stream.set", "{\"name\" \"m\" \"max_events\" 2}");
    settle_down(s);
    assert_int_equal(
        count(row_of(call(s, "pub", "stream.list", "{}"), "streams", 1),
              "events"),
        2);
}

/* ---- what does not ---- */

static void test_what_cannot_change_is_refused_whole(void **state)
{
    static const struct {
        const char *options;
        tidings_err code;
        const char *word;
    } rows[] = {
        {"{}", TIDINGS_EINVAL, "name the stream"},
        {"{\"name\" \"nowhere\"}", TIDINGS_ENOTFOUND, "no such stream"},
        {SET("\"max_events\" 1 \"patterns\" [\"a\"]"), TIDINGS_EEXIST,
         "patterns differs; that is chosen once"},
        {SET("\"max_events\" 1 \"storage\" \"memory\""), TIDINGS_EEXIST,
         "storage differs"},
        {SET("\"max_events\" 1 \"keyed\" true"), TIDINGS_EEXIST,
         "keyed differs"},
        {SET("\"max_events\" 1 \"keyed\" true \"compact\" true"),
         TIDINGS_EEXIST, "keyed differs"},
        {SET("\"max_events\" 1 \"compact\" true"), TIDINGS_EINVAL, "compact"},
        {SET("\"max_events\" 1 \"max_age_ms\" -1"), TIDINGS_EINVAL,
         "max_age_ms"},
        {SET("\"max_events\" 1 \"max_bytes\" \"many\""), TIDINGS_EINVAL,
         "max_bytes"},
        {SET("\"max_events\" 1 \"on_full\" \"drop\""), TIDINGS_EINVAL,
         "on_full"},
        {SET("\"max_events\" 1 \"dedup_events\" 1048577"), TIDINGS_EINVAL,
         "dedup_events"},
        {SET("\"max_events\" 1 \"tombstone_ms\" 3153600000001"), TIDINGS_EINVAL,
         "tombstone_ms"},
        {SET("\"max_events\" 1 \"max_event\" 1"), TIDINGS_EINVAL, "unknown"},
    };
    struct streams *s = *state;

    greet_both(s);
    put_each(s, 3, 1);
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct sent *sent = NULL;

        assert_row(rows[i].options, call_code(s, "pub", "stream.set",
                                              rows[i].options) == rows[i].code);
        for (uint32_t n = 0; find(s->f, "pub", TD_REPLY, n); n++)
            sent = find(s->f, "pub", TD_REPLY, n);
        assert_non_null(sent);
        assert_row(rows[i].options,
                   strstr(sent->frame.u.reply.text.data, rows[i].word) != NULL);
        settle_down(s);
        assert_int_equal(figure(s, "events"), 3);
        assert_int_equal(figure(s, "max_events"), 0);
    }
}

static void test_adding_says_that_bounds_can_be_changed(void **state)
{
    struct streams *s = *state;
    const char *text;
    struct td_stream_options o = s->f->engine->streams.all->options;

    o.max_events = 5;
    assert_err(td_stream_add(s->f->engine, &o, &text), TIDINGS_EEXIST);
    assert_non_null(strstr(text, "max_events differs; stream.set changes it"));
    o.keyed = true;
    assert_err(td_stream_add(s->f->engine, &o, &text), TIDINGS_EEXIST);
    assert_non_null(strstr(text, "keyed differs; that is chosen once"));
}

/* Who was told that nothing was done can rely on it. */
static void test_bounds_that_cannot_be_written_stay(void **state)
{
    struct streams *s = *state;
    struct sent *sent;

    greet_both(s);
    put_each(s, 5, 1);
    set(s, SET("\"max_age_ms\" 1000000"));
    hold_store(s);
    td_model_fail(s->model, 1, TIDINGS_EFULL);
    givef(s->f, "pub", "[15 77 \"stream.set\" %s]", SET("\"max_events\" 2"));
    givef(s->f, "pub", "[15 78 \"stream.set\" %s]",
          SET("\"max_age_ms\" 1 \"dedup_events\" 0"));
    settle_down(s);
    let_store(s);
    settle_down(s);
    for (uint64_t request = 77; request <= 78; request++) {
        sent = NULL;
        for (uint32_t n = 0; !sent || sent->frame.u.reply.request != request;)
            assert_non_null(sent = find(s->f, "pub", TD_REPLY, n++));
        assert_int_equal(sent->frame.u.reply.code, TIDINGS_EFULL);
    }
    pass(s->f, 2000); /* nothing of it comes later */
    settle_down(s);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(figure(s, "events"), 5);
        assert_int_equal(figure(s, "max_events"), 0);
        assert_int_equal(figure(s, "max_age_ms"), 1000000);
        assert_int_equal(figure(s, "dedup_events"), TD_DEDUP_EVENTS);
        kill_broker(s);
        hello(s->f, "pub");
    }
}

/* What is in memory alone is not written: what it discarded is gone. */
static void test_bounds_in_memory_do_not_wait_for_the_store(void **state)
{
    struct streams *s = *state;
    struct td_str row;

    greet_both(s);
    call(s, "pub", "stream.add",
         "{\"name\" \"m\" \"patterns\" [\"m\"] \"storage\" \"memory\"}");
    for (uint64_t i = 1; i <= 5; i++)
        put(s, "pub", "m", 1, i, MEMORY);
    hold_store(s);
    td_model_fail(s->model, 1, TIDINGS_EFULL);
    put(s, "pub", "a", 1, 6, DISK);
    givef(s->f, "pub", "[15 77 \"stream.set\" %s]",
          "{\"name\" \"m\" \"max_events\" 2}");
    let_store(s);
    pass(s->f, 2000);
    settle_down(s);
    row = row_of(call(s, "pub", "stream.list", "{}"), "streams", 1);
    assert_int_equal(count(row, "events"), 2);
    assert_int_equal(count(row, "max_events"), 2);
}

/* A batch that never fits is refused, and no more is said of the stream. */
static void test_a_stream_that_takes_events_is_not_full(void **state)
{
    struct streams *s = *state;
    struct td_str row;

    greet_both(s);
    set(s, SET("\"max_events\" 5 \"on_full\" \"reject\""));
    put(s, "pub", "a", 10, 1, DISK);
    row = row_of(call(s, "pub", "stream.list", "{}"), "streams", 0);
    assert_true(is_text(text_of(row, "state"), "full"));
    put(s, "pub", "a", 1, 11, DISK);
    row = row_of(call(s, "pub", "stream.list", "{}"), "streams", 0);
    assert_int_equal(count(row, "events"), 1);
    assert_true(is_text(text_of(row, "state"), "ok"));
}

/* A store that takes nothing is not asked again and again at one moment. */
static void test_a_change_that_fails_waits(void **state)
{
    struct streams *s = *state;
    uint32_t before;

    greet_both(s);
    td_model_fail(s->model, 1, TIDINGS_ELIMIT);
    td_model_fail_on(s->model);
    before = td_model_failures(s->model);
    givef(s->f, "pub", "[15 77 \"stream.set\" %s]", SET("\"max_events\" 2"));
    settle_down(s);
    assert_int_equal(td_model_failures(s->model), before + 1);
    for (int i = 0; i < 10; i++) {
        pass(s->f, 100);
        settle_down(s);
    }
    assert_true(td_model_failures(s->model) <= before + 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_STREAM(test_bounds_are_those_that_were_given),
        TEST_STREAM(test_a_smaller_bound_counts_at_once),
        TEST_STREAM(test_an_age_counts_for_what_is_there),
        TEST_STREAM(test_a_stream_rejects_from_then_on),
        TEST_STREAM(test_a_window_closes_and_opens),
        TEST_STREAM(test_a_window_that_closed_loses_what_failed),
        TEST_STREAM(test_a_stream_in_memory_has_bounds_too),
        TEST_STREAM(test_what_cannot_change_is_refused_whole),
        TEST_STREAM(test_adding_says_that_bounds_can_be_changed),
        TEST_STREAM(test_bounds_that_cannot_be_written_stay),
        TEST_STREAM(test_bounds_in_memory_do_not_wait_for_the_store),
        TEST_STREAM(test_a_stream_that_takes_events_is_not_full),
        TEST_STREAM(test_a_change_that_fails_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
