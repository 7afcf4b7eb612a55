/* The engine: publishing and TAKEN. */
#include "tests/unit/engine_harness.h"

#include "tests/support/mp.h"

static void test_engine_passes_a_whole_batch_on_by_reference(void **state)
{
    struct fixture *f = *state;
    const struct piece pieces[] = {{"a", 2, 30, 1, NULL},
                                   {"b", 3, 20, 3, NULL}};
    struct td_body *body;
    const struct td_batches *b;

    begin(f, ">", WIDE);
    body = publish(f, "pub", 0, pieces, 2);
    flush(f);
    assert_ptr_equal(find(f, "sub", TD_DELIVER, 0)->body, body);
    assert_int_equal(part(f, "sub", 0)->subscription, 1);
    assert_int_equal(part(f, "sub", 0)->tag, 1);
    b = delivered(f, "sub", 0);
    assert_int_equal(b->len, 1);
    assert_int_equal(b->runs_len, 2);
    assert_int_equal(b->runs[1].first, 3);
    assert_int_equal(b->batch[0].source.len, 5);
}

static void test_engine_gathers_the_runs_that_match(void **state)
{
    struct fixture *f = *state;
    const struct piece pieces[] = {{"a", 1, 10, 1, NULL},
                                   {"b", 2, 20, 2, NULL},
                                   {"a", 3, 30, 4, NULL},
                                   {"c", 4, 40, 7, NULL}};
    const struct td_batches *b;

    begin(f, "a", WIDE);
    give(f, "sub", "[5 2 2 \"c\" " WIDE "]");
    flush(f);
    publish(f, "pub", 0, pieces, 4);
    flush(f);
    b = delivered(f, "sub", 0);
    assert_int_equal(b->runs_len, 2);
    assert_int_equal(b->runs[0].first, 1);
    assert_int_equal(b->runs[1].first, 4);
    assert_int_equal(b->events, 4);
    assert_int_equal(part(f, "sub", 1)->subscription, 2);
    b = delivered(f, "sub", 1);
    assert_int_equal(b->runs_len, 1);
    assert_int_equal(b->runs[0].first, 7);
    assert_int_equal(f->engine->counters.routed, 8);
    assert_int_equal(f->engine->counters.unmatched, 2);
}

/* Subscriptions with one match set share what was gathered for them. */
static void test_engine_gathers_once_for_all(void **state)
{
    struct fixture *f = *state;
    const struct piece pieces[] = {{"a", 1, 100, 1, NULL},
                                   {"b", 1, 100, 2, NULL}};

    begin(f, "a", WIDE);
    subscriber(f, "all", "*", WIDE);
    subscriber(f, "sub2", "a", WIDE);
    flush(f);
    publish(f, "pub", 0, pieces, 2);
    flush(f);
    assert_ptr_equal(find(f, "sub", TD_DELIVER, 0)->body,
                     find(f, "sub2", TD_DELIVER, 0)->body);
}

static void test_engine_skips_what_was_taken(void **state)
{
    struct fixture *f = *state;
    const struct piece again[] = {
        {"a", 3, 10, 1, NULL}, {"a", 3, 20, 4, NULL}, {"b", 2, 30, 7, NULL}};
    const struct td_batches *b;

    begin(f, ">", WIDE);
    publish_one(f, "pub", "a", 5, 10, 1);
    flush(f);
    forget(f);
    publish(f, "pub", 0, again, 3);
    flush(f);
    b = delivered(f, "sub", 0);
    assert_int_equal(b->runs_len, 2);
    assert_int_equal(b->runs[0].first, 6);
    assert_int_equal(b->runs[0].count, 1);
    assert_int_equal(b->runs[0].bytes, td_event_size(0, 20, 0));
    assert_int_equal(b->runs[1].first, 7);
    assert_int_equal(f->engine->counters.published, 13);
    assert_int_equal(f->engine->counters.duplicates, 5);
    publish(f, "pub", 0, again, 3);
    assert_int_equal(f->engine->counters.duplicates, 13);
}

/* Bodies of this process are not walked when they come: one that lies about
 * its lengths is not read past its end. */
static void test_engine_skips_within_a_body_that_lies(void **state)
{
    struct fixture *f = *state;
    struct td_body *body;
    struct td_buf b = {0};
    uint8_t bytes[30];

    memset(bytes, 0xff, sizeof(bytes));
    body = td_body_copy(bytes, sizeof(bytes));
    assert_non_null(body);
    restart(f, (struct td_engine_options){.trusted = true});
    begin(f, "nothing", WIDE);
    publish_one(f, "pub", "a", 1, 10, 1);
    td_mp(&b, "[3 0 [['pubpubpubpubpubp' \"/s\" 0 [[\"a\" 3 30 1 0]]]]]");
    message(f, "pub", 2, &b, body);
    flush(f);
    assert_true(f->engine->counters.duplicates > 0);
    assert_non_null(session_of(f, "pub"));
    publish_one(f, "pub", "a", 1, 10, 4);
    assert_int_equal(f->engine->counters.unmatched, 2);
    td_buf_fini(&b);
    td_body_unref(body);
}

static void test_engine_says_what_it_has_taken_when_it_is_asked(void **state)
{
    struct fixture *f = *state;
    const struct piece piece = {"a", 3, 0, 1, NULL};
    struct td_frame *t;

    begin(f, ">", WIDE);
    publish(f, "pub", TD_PUBLISH_ASK, &piece, 1);
    assert_null(find(f, "pub", TD_TAKEN, 0)); /* not before the turn ends */
    flush(f);
    t = frame(f, "pub", TD_TAKEN, 0);
    assert_int_equal(t->u.taken.taken, 3);
    assert_int_equal(t->u.taken.events_limit, 3 + TD_PUBLISH_EVENTS);
    assert_int_equal(t->u.taken.bytes_limit,
                     3 * td_event_size(0, 0, 0) + TD_PUBLISH_BYTES);
    assert_null(find(f, "pub", TD_TAKEN, 1));
}

static void test_engine_says_lazily_what_nobody_waits_for(void **state)
{
    struct fixture *f = *state;

    begin(f, ">", WIDE);
    publish_one(f, "pub", "a", 1, 0, 1);
    flush(f);
    assert_null(find(f, "pub", TD_TAKEN, 0));
    assert_int_equal(f->next, f->now + TD_LAZY_MS);
    f->now = f->next - 1;
    flush(f);
    assert_null(find(f, "pub", TD_TAKEN, 0));
    f->now++;
    flush(f);
    assert_int_equal(frame(f, "pub", TD_TAKEN, 0)->u.taken.taken, 1);
    assert_true(f->next > f->now + TD_LAZY_MS);
}

static void test_engine_says_so_when_a_quarter_of_credit_is_used(void **state)
{
    struct fixture *f = *state;

    begin(f, "nothing", WIDE);
    publish_one(f, "pub", "a", TD_PUBLISH_EVENTS / 4, 0, 1);
    flush(f);
    assert_null(find(f, "pub", TD_TAKEN, 0));
    publish_one(f, "pub", "a", 1, 0, TD_PUBLISH_EVENTS / 4 + 1);
    flush(f);
    assert_non_null(find(f, "pub", TD_TAKEN, 0));
    forget(f);
    publish_one(f, "pub", "b", 1, TD_DATA_BYTES_MAX, 40000);
    publish_one(f, "pub", "b", 1, TD_DATA_BYTES_MAX, 40001);
    flush(f);
    assert_non_null(find(f, "pub", TD_TAKEN, 0));
}

static void test_engine_says_what_it_has_taken_before_pong(void **state)
{
    struct fixture *f = *state;

    begin(f, ">", WIDE);
    publish_one(f, "pub", "a", 4, 0, 1);
    give(f, "pub", "[11 9]");
    assert_int_equal(f->sent_len, 2);
    assert_int_equal(frame(f, "pub", TD_TAKEN, 0)->u.taken.taken, 4);
    assert_int_equal(frame(f, "pub", TD_PONG, 0)->u.pong.token, 9);
    assert_true(find(f, "pub", TD_TAKEN, 0) < find(f, "pub", TD_PONG, 0));
    give(f, "pub", "[11 10]");
    assert_null(find(f, "pub", TD_TAKEN, 1));
}

/* What was published before BYE has been taken. */
static void test_engine_takes_what_came_before_bye(void **state)
{
    struct fixture *f = *state;

    begin(f, ">", WIDE);
    publish_one(f, "pub", "a", 2, 0, 1);
    give(f, "pub", "[14 0 \"\"]");
    flush(f);
    assert_int_equal(events_to(f, "sub"), 2);
    assert_null(find(f, "pub", TD_BYE, 0));
    assert_int_equal(sessions(f), 1);
}

/* Within a batch the codec sees it; from batch to batch only the engine. */
static void test_engine_ends_who_goes_back(void **state)
{
    struct fixture *f = *state;
    const struct piece rising[] = {{"a", 2, 5, 1, NULL}, {"b", 2, 5, 3, NULL}};
    const struct piece falling[] = {{"a", 2, 5, 7, NULL}, {"b", 2, 5, 5, NULL}};

    begin(f, "*", WIDE);
    publish_apart(f, "pub", rising, 2);
    publish_apart(f, "pub", falling, 2);
    flush(f);
    assert_int_equal(events_to(f, "sub"), 4);
    assert_bye(f, "falling", "pub", TIDINGS_EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_engine_passes_a_whole_batch_on_by_reference),
        TEST(test_engine_gathers_the_runs_that_match),
        TEST(test_engine_gathers_once_for_all),
        TEST(test_engine_skips_what_was_taken),
        TEST(test_engine_skips_within_a_body_that_lies),
        TEST(test_engine_says_what_it_has_taken_when_it_is_asked),
        TEST(test_engine_says_lazily_what_nobody_waits_for),
        TEST(test_engine_says_so_when_a_quarter_of_credit_is_used),
        TEST(test_engine_says_what_it_has_taken_before_pong),
        TEST(test_engine_takes_what_came_before_bye),
        TEST(test_engine_ends_who_goes_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
