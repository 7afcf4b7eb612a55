/* The engine: what a bad message gets. */
#include "tests/unit/engine_harness.h"

#include "tests/support/mp.h"

/* In a session: the session ends, and nothing else has changed. */
static void test_engine_ends_a_session_that_breaks_the_rules(void **state)
{
    static const char *const rows[] = {
        "<c1>",
        "[]",
        "[0]",
        "[63 1]",
        "[11]",
        "[11 \"1\"]",
        "[11 -1]",
        "<92 0b 01 00>",                 /* a byte left over */
        "[4 1 1 1]",                     /* the broker's */
        "[3 0 []]",                      /* PUBLISH without its body */
        "[9 1 []]",                      /* more messages than were sent */
        "[9 0 [[1 1 5000000 5000000]]]", /* more than was delivered */
        "[9 0 [[1 0 1 5000000]]]",       /* limits fall */
        "[9 0 [[1 0 5000000 1]]]",
        "[9 0 [[1 0 5000000]]]",
        "[9 0 [1]]",
        "[9 0 {}]",
    };

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct fixture *f;

        assert_int_equal(setup((void **)&f), 0);
        begin(f, "a", "{\"events\" 100 \"bytes\" 2000000}");
        give(f, "sub", rows[i]);
        flush(f);
        assert_bye(f, rows[i], "sub", TIDINGS_EPROTO);
        assert_row(rows[i], sessions(f) == 1 && f->engine->subs_len == 0);
        assert_row(
            rows[i],
            f->engine->counters.bad_frames + f->engine->counters.breaches == 1);
        teardown((void **)&f);
    }
    (void)state;
}

static void test_engine_wants_one_frame_or_two(void **state)
{
    static const struct {
        unsigned frames;
        bool body;
    } rows[] = {{0, false}, {1, true}, {2, false}, {3, true}, {9, false}};

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct fixture *f = *state;
        struct td_body *body = td_body_copy("x", 1);
        struct td_buf b = {0};

        hello(f, "a");
        td_mp(&b, "[11 1]");
        message(f, "a", rows[i].frames, &b, rows[i].body ? body : NULL);
        flush(f);
        assert_bye(f, "frames", "a", TIDINGS_EPROTO);
        assert_int_equal(sessions(f), 0);
        td_buf_fini(&b);
        td_body_unref(body);
        forget(f);
    }
}

static void test_engine_ends_a_session_whose_batch_is_not_its_own(void **state)
{
    struct fixture *f = *state;
    struct td_body *body = td_body_copy("\xc4\x03\x92\x00\xc0", 5);
    struct td_buf b = {0};

    begin(f, ">", WIDE);
    td_mp(&b, "[3 0 [['another producer' \"/s\" 0 [[\"a\" 1 5 1 0]]]]]");
    message(f, "pub", 2, &b, body);
    flush(f);
    assert_bye(f, "producer", "pub", TIDINGS_EPROTO);
    assert_null(find(f, "sub", TD_DELIVER, 0));
    td_buf_fini(&b);
    td_body_unref(body);
}

static void test_engine_ends_a_session_whose_sequences_fall(void **state)
{
    struct fixture *f = *state;
    const struct piece pieces[] = {{"a", 2, 0, 5, NULL}, {"b", 1, 0, 6, NULL}};

    begin(f, ">", WIDE);
    publish(f, "pub", 0, pieces, 2);
    flush(f);
    assert_bye(f, "sequences", "pub", TIDINGS_EPROTO);
    assert_int_equal(f->engine->counters.published, 0);
}

static void test_engine_keeps_the_systems_types_to_itself(void **state)
{
    struct fixture *f = *state;

    begin(f, ">", WIDE);
    publish_one(f, "pub", "$sys.a", 1, 0, 1);
    flush(f);
    assert_bye(f, "system", "pub", TIDINGS_EPROTO);
    assert_int_equal(f->engine->counters.published, 0);
}

static void test_engine_ends_a_session_that_exceeds_its_credit(void **state)
{
    struct fixture *f = *state;

    begin(f, "nothing", WIDE);
    publish_one(f, "pub", "a", TD_PUBLISH_EVENTS - 1, 0, 1);
    publish_one(f, "pub", "a", 1, 0, TD_PUBLISH_EVENTS);
    assert_int_equal(f->engine->counters.published, TD_PUBLISH_EVENTS);
    publish_one(f, "pub", "a", 1, 0, TD_PUBLISH_EVENTS + 1);
    flush(f);
    assert_bye(f, "credit", "pub", TIDINGS_EPROTO);
    assert_int_equal(f->engine->counters.breaches, 1);
    assert_int_equal(f->engine->counters.published, TD_PUBLISH_EVENTS);
}

static tidings_err code_of(struct fixture *f, const char *subscribe)
{
    forget(f);
    give(f, "sub", subscribe);
    return code_of_reply(f, "sub");
}

/* However many sessions share them; a quarter of a million are only claimed. */
static void test_engine_bounds_the_subscriptions_of_all(void **state)
{
    const size_t claimed = TD_SUBSCRIPTIONS_ALL_MAX - 2;
    struct fixture *f = *state;

    f->unjudged = true;
    begin(f, "a", WIDE);
    f->engine->subs_len += claimed;
    assert_int_equal(code_of(f, "[5 1 2 \"b\" " WIDE "]"), TIDINGS_OK);
    assert_int_equal(code_of(f, "[5 1 3 \"c\" " WIDE "]"), TIDINGS_ELIMIT);
    assert_int_equal(code_of(f, "[6 1 2]"), TIDINGS_OK);
    assert_int_equal(code_of(f, "[5 1 3 \"c\" " WIDE "]"), TIDINGS_OK);
    f->engine->subs_len -= claimed;
    f->unjudged = false;
    judge(f);
}

/* A member more of a group has its pattern already. */
static void test_engine_bounds_the_patterns_of_all(void **state)
{
    struct fixture *f = *state;
    size_t claimed;

    f->unjudged = true;
    begin(f, "a.>", "{" ROOM " \"group\" \"g\"}");
    claimed = TD_TRIE_BYTES_MAX - 1 - f->engine->trie.bytes;
    f->engine->trie.bytes += claimed;
    assert_int_equal(code_of(f, "[5 1 2 \"b.*\" " WIDE "]"), TIDINGS_OK);
    assert_int_equal(code_of(f, "[5 1 3 \"c\" " WIDE "]"), TIDINGS_ELIMIT);
    assert_int_equal(code_of(f, "[5 1 3 \"a.>\" {" ROOM " \"group\" \"g\"}]"),
                     TIDINGS_OK);
    assert_int_equal(code_of(f, "[6 1 2]"), TIDINGS_OK);
    assert_int_equal(code_of(f, "[5 1 4 \"c\" " WIDE "]"), TIDINGS_OK);
    f->engine->trie.bytes -= claimed;
    f->unjudged = false;
    judge(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_engine_ends_a_session_that_breaks_the_rules),
        TEST(test_engine_wants_one_frame_or_two),
        TEST(test_engine_ends_a_session_whose_batch_is_not_its_own),
        TEST(test_engine_ends_a_session_whose_sequences_fall),
        TEST(test_engine_keeps_the_systems_types_to_itself),
        TEST(test_engine_ends_a_session_that_exceeds_its_credit),
        TEST(test_engine_bounds_the_subscriptions_of_all),
        TEST(test_engine_bounds_the_patterns_of_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
