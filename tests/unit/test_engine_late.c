/* The engine: what a session that comes back has no right to: its place by an
 * old token, and credit while it is held back (PROTOCOL.md 3). */
#include "tests/unit/engine_harness.h"

#define WINDOW "{\"events\" 100 \"bytes\" 9000000}"

/* ---- tokens that are no more ---- */

static struct td_str token_to(struct fixture *f, const char *peer)
{
    struct td_str token = {NULL, 0};

    assert_true(td_map_bin(frame(f, peer, TD_WELCOME, 0)->u.welcome.limits,
                           "token", &token));
    assert_int_equal(token.len, TD_TOKEN_BYTES);
    return token;
}

/* What is heard later than its WELCOME says that it came. */
static void ping(struct fixture *f, const char *peer)
{
    f->now++;
    give(f, peer, "[11 1]");
}

/* A HELLO that comes late, from a link that was given up: it does not end
 * the session that has gone on over another link since. */
static void test_engine_turns_a_late_hello_away(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", WINDOW);
    ping(f, "sub");
    come_back(f, "sub/2", "[[1 0 0]]");
    assert_true(resumed(f, "sub/2"));
    assert_int_equal(token_to(f, "sub/2").data[0], 3);
    ping(f, "sub/2");
    come_back(f, "sub/3", "[[1 0 0]]");
    assert_bye(f, "late", "sub/3", TIDINGS_EEXIST);
    assert_null(find(f, "sub/3", TD_WELCOME, 0));
    assert_null(find(f, "sub/2", TD_BYE, 0));
    gone(f, "sub/2"); /* nor one that is away */
    flush(f);
    come_back(f, "sub/4", "[[1 0 0]]");
    assert_bye(f, "late", "sub/4", TIDINGS_EEXIST);
    assert_int_equal(f->engine->away_len, 1);
    hello_with(f, "sub/5",
               "{\"token\" <c4 10 03*16> \"subscriptions\" [[1 0 0]]}");
    assert_true(resumed(f, "sub/5"));
    assert_int_equal(sessions(f), 2);
    hello(f, "sub/6"); /* nor one that brings none */
    assert_bye(f, "without", "sub/6", TIDINGS_EEXIST);
    assert_null(find(f, "sub/5", TD_BYE, 0));
}

/* It may not have had its token, and is nobody else's yet: its id was in no
 * event. */
static void test_engine_replaces_who_was_not_heard_of(void **state)
{
    struct fixture *f = *state;

    hello(f, "x");
    hello(f, "x/2");
    flush(f);
    assert_bye(f, "replaced", "x", TIDINGS_EEXIST);
    assert_int_equal(frame(f, "x/2", TD_WELCOME, 0)->u.welcome.session, 2);
    assert_int_equal(sessions(f), 1);
}

/* ---- whose a numbering is ---- */

/* The id stands in every event: it does not end a publisher's session, and
 * takes its numbering over neither during it nor after it. */
static void test_engine_keeps_a_numbering_for_who_has_its_token(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", WINDOW);
    publish_one(f, "pub", "a", 5, 0, 1);
    hello(f, "pub/1");
    assert_bye(f, "a thief", "pub/1", TIDINGS_EEXIST);
    publish_one(f, "pub", "a", 5, 0, 6);
    flush(f);
    assert_null(find(f, "pub", TD_BYE, 0));
    give(f, "pub", "[14 0 \"\"]");
    flush(f);
    hello(f, "pub/2");
    assert_bye(f, "a late thief", "pub/2", TIDINGS_EEXIST);
    hello_with(f, "pub/3", "{\"token\" <c4 10 01*16>}");
    assert_false(resumed(f, "pub/3"));
    assert_int_equal(frame(f, "pub/3", TD_WELCOME, 0)->u.welcome.taken, 10);
    assert_int_equal(token_to(f, "pub/3").data[0], 3);
    /* Another of its own, and it has not seen the token of that. */
    hello_with(f, "pub/4", "{\"token\" <c4 10 01*16>}");
    assert_bye(f, "replaced", "pub/3", TIDINGS_EEXIST);
    assert_int_equal(token_to(f, "pub/4").data[0], 3);
    ping(f, "pub/4");
    hello_with(f, "pub/5", "{\"token\" <c4 10 01*16>}");
    assert_bye(f, "old", "pub/5", TIDINGS_EEXIST);
}

/* What a breach or silence has ended is over; the numbering is not. */
static void test_engine_knows_a_token_after_a_breach(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", WINDOW);
    publish_one(f, "pub", "a", 5, 0, 1);
    give(f, "pub", "[9 99 []]");
    flush(f);
    assert_bye(f, "breach", "pub", TIDINGS_EPROTO);
    hello(f, "pub/1");
    assert_bye(f, "a thief", "pub/1", TIDINGS_EEXIST);
    hello_with(f, "pub/2", "{\"token\" <c4 10 01*16> \"subscriptions\" []}");
    assert_false(resumed(f, "pub/2"));
    assert_int_equal(frame(f, "pub/2", TD_WELCOME, 0)->u.welcome.taken, 5);
}

/* No grace, but a numbering that is somebody's all the same. */
static void test_engine_guards_a_numbering_without_grace(void **state)
{
    struct fixture *f = *state;

    f->engine->options.grace_ms = -1;
    begin(f, "a", WINDOW);
    publish_one(f, "pub", "a", 5, 0, 1);
    gone(f, "pub");
    flush(f);
    assert_int_equal(f->engine->away_len, 0);
    hello(f, "pub/1");
    assert_bye(f, "a thief", "pub/1", TIDINGS_EEXIST);
    hello_with(f, "pub/2", "{\"token\" <c4 10 01*16> \"subscriptions\" []}");
    assert_false(resumed(f, "pub/2"));
    assert_int_equal(frame(f, "pub/2", TD_WELCOME, 0)->u.welcome.taken, 5);
}

/* ---- what is said over a link that is lost ---- */

/* The broker finds out before it reads the goodbye. */
static void test_engine_ends_who_said_goodbye_and_is_away(void **state)
{
    struct fixture *f = *state;

    begin_away(f);
    give(f, "sub", "[9 2 [[1 10 200 9000000]]]");
    assert_int_equal(f->engine->away_len, 1);
    give(f, "sub", "[14 0 \"\"]");
    flush(f);
    assert_int_equal(sessions(f), 1);
    assert_int_equal(f->engine->away_len, 0);
    assert_int_equal(f->engine->subs_len, 0);
    assert_int_equal(f->engine->counters.bad_frames, 0);
    assert_int_equal(f->engine->counters.breaches, 0);
    come_back(f, "sub/2", "[[1 7 0]]");
    assert_false(resumed(f, "sub/2"));
}

/* It is told that it may come back; and does, or greets as somebody else. */
static void test_engine_hears_nothing_over_a_lost_link(void **state)
{
    static const char *const rows[] = {"[11 1]", "[9 99 []]", "<c1>",
                                       "[3 0 []]"};
    struct fixture *f = *state;

    begin_away(f);
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        give(f, "sub", rows[i]);
        flush(f);
        assert_row(rows[i], f->engine->away_len == 1 && sessions(f) == 2);
    }
    gone(f, "sub");
    flush(f);
    assert_int_equal(f->engine->away_len, 1);
    assert_int_equal(f->engine->counters.bad_frames, 0);
    assert_int_equal(f->engine->counters.breaches, 0);
    assert_bye(f, "late", "sub", TIDINGS_ETIMEDOUT);
    forget(f);
    come_back(f, "sub", "[[1 7 0]]"); /* by the same name */
    assert_true(resumed(f, "sub"));
    flush(f);
    check_delivered(f, "sub", 8, 15);
}

/* The WELCOME with the next token was lost on its way: the one before is as
 * good, and so is the next, until one is known to have come. */
static void test_engine_takes_both_tokens_when_a_welcome_is_lost(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", WINDOW);
    ping(f, "sub");
    come_back(f, "sub/2", "[[1 0 0]]");
    f->now++;
    come_back(f, "sub/3", "[[1 0 0]]");
    assert_true(resumed(f, "sub/3"));
    assert_int_equal(token_to(f, "sub/3").data[0], 3); /* the same again */
    f->now++;
    hello_with(f, "sub/4",
               "{\"token\" <c4 10 03*16> \"subscriptions\" [[1 0 0]]}");
    assert_true(resumed(f, "sub/4"));
    assert_int_equal(token_to(f, "sub/4").data[0], 4);
    f->now++;
    come_back(f, "sub/5", "[[1 0 0]]"); /* it has shown that it knows 3 */
    assert_bye(f, "too old", "sub/5", TIDINGS_EEXIST);
    assert_null(find(f, "sub/5", TD_WELCOME, 0));
}

/* ---- publishers ---- */

/* Held back before, held back after: until the queue is half empty. */
static void test_engine_gives_no_credit_for_coming_back(void **state)
{
    for (int away = 0; away < 2; away++) {
        struct fixture *f;

        assert_int_equal(setup_resumable((void **)&f), 0);
        begin(f, "a", "{\"events\" 1 \"bytes\" 2000000 \"queue_events\" 10}");
        publish_one(f, "pub", "a", 21, 0, 1);
        flush(f);
        assert_non_null(f->engine->held);
        if (away)
            gone(f, "pub");
        flush(f);
        hello_with(f, "pub/2",
                   "{\"token\" <c4 10 01*16> \"subscriptions\" []}");
        assert_true(resumed(f, "pub/2"));
        assert_int_equal(
            frame(f, "pub/2", TD_WELCOME, 0)->u.welcome.events_limit, 0);
        assert_int_equal(
            frame(f, "pub/2", TD_WELCOME, 0)->u.welcome.bytes_limit, 0);
        flush(f);
        assert_null(find(f, "pub/2", TD_TAKEN, 0));
        give(f, "sub", "[9 1 [[1 1 100 2000000]]]");
        flush(f);
        assert_int_equal(frame(f, "pub/2", TD_TAKEN, 0)->u.taken.events_limit,
                         TD_PUBLISH_EVENTS);
        assert_null(f->engine->held);
        teardown((void **)&f);
    }
    (void)state;
}

/* The hold ends while it is away: it has its credit when it is back. */
static void test_engine_lets_go_of_who_is_away(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", "{\"events\" 1 \"bytes\" 2000000 \"queue_events\" 10}");
    publish_one(f, "pub", "a", 21, 0, 1);
    flush(f);
    gone(f, "pub");
    flush(f);
    give(f, "sub", "[9 1 [[1 1 100 2000000]]]");
    flush(f);
    assert_null(f->engine->held);
    hello_with(f, "pub/2", "{\"token\" <c4 10 01*16> \"subscriptions\" []}");
    assert_int_equal(frame(f, "pub/2", TD_WELCOME, 0)->u.welcome.events_limit,
                     TD_PUBLISH_EVENTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_RESUMABLE(test_engine_turns_a_late_hello_away),
        TEST_RESUMABLE(test_engine_replaces_who_was_not_heard_of),
        TEST_RESUMABLE(test_engine_keeps_a_numbering_for_who_has_its_token),
        TEST_RESUMABLE(test_engine_knows_a_token_after_a_breach),
        TEST_RESUMABLE(test_engine_guards_a_numbering_without_grace),
        TEST_RESUMABLE(test_engine_ends_who_said_goodbye_and_is_away),
        TEST_RESUMABLE(test_engine_hears_nothing_over_a_lost_link),
        TEST_RESUMABLE(test_engine_takes_both_tokens_when_a_welcome_is_lost),
        TEST_RESUMABLE(test_engine_gives_no_credit_for_coming_back),
        TEST_RESUMABLE(test_engine_lets_go_of_who_is_away),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
