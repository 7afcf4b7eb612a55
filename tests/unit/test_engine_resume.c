/* The engine: sessions that come back (PROTOCOL.md 3). */
#include "tests/unit/engine_harness.h"

#define WINDOW "{\"events\" 100 \"bytes\" 9000000}"

/* ---- greeting ---- */

static void test_engine_tells_each_session_its_token(void **state)
{
    struct fixture *f = *state;
    struct td_str limits;
    struct td_str token = {NULL, 0};

    hello(f, "a");
    limits = frame(f, "a", TD_WELCOME, 0)->u.welcome.limits;
    assert_true(td_map_bin(limits, "token", &token));
    assert_int_equal(token.len, TD_TOKEN_BYTES);
    assert_int_equal(token.data[0], 1);
    assert_int_equal(count(limits, "grace_ms"), TD_GRACE_MS);
    assert_false(resumed(f, "a"));
    hello(f, "b");
    assert_true(td_map_bin(frame(f, "b", TD_WELCOME, 0)->u.welcome.limits,
                           "token", &token));
    assert_int_equal(token.data[15], 2);
}

/* Without unguessable bytes, or grace, there is nothing to come back to. */
static void test_engine_keeps_nobody_without_tokens(void **state)
{
    struct fixture *f = *state;
    struct td_str token = {NULL, 0};

    restart(f, (struct td_engine_options){.grace_ms = -1});
    begin(f, "a", WINDOW);
    hello(f, "c");
    assert_true(td_map_bin(frame(f, "c", TD_WELCOME, 0)->u.welcome.limits,
                           "token", &token));
    assert_null(token.data);
    gone(f, "sub");
    flush(f);
    assert_int_equal(sessions(f), 2);
    come_back(f, "sub/2", "[[1 0 0]]");
    assert_false(resumed(f, "sub/2"));
    /* Tokens of zeros are nobody's. */
    hello_with(f, "sub/3",
               "{\"token\" <c4 10 00*16> \"subscriptions\" [[1 0 0]]}");
    assert_false(resumed(f, "sub/3"));
}

/* ---- coming back ---- */

static void test_engine_goes_on_where_the_link_was_lost(void **state)
{
    static const uint32_t received[] = {3, 5, 7, 9, 10};

    for (size_t i = 0; i < TD_ARRAY_LEN(received); i++) {
        struct fixture *f;
        char list[40];

        assert_int_equal(setup_resumable((void **)&f), 0);
        begin_away(f);
        snprintf(list, sizeof(list), "[[1 %u 0]]", (unsigned)received[i]);
        come_back(f, "sub/2", list);
        assert_true(resumed(f, "sub/2"));
        assert_int_equal(frame(f, "sub/2", TD_WELCOME, 0)->u.welcome.session,
                         2);
        flush(f);
        check_delivered(f, "sub/2", received[i] + 1, 15);
        assert_int_equal(sessions(f), 2);
        assert_int_equal(f->engine->away_len, 0);
        assert_int_equal(f->engine->counters.resumed, 1);
        /* Its totals go on, its messages begin at 0. */
        givef(f, "sub/2", "[9 %u [[1 15 200 9000000]]]",
              (unsigned)messages_to(f, "sub/2"));
        assert_non_null(session_of(f, "sub/2"));
        assert_int_equal(f->engine->counters.all.delivered, 15);
        assert_int_equal(td_engine_held_bytes(f->engine), 0);
        teardown((void **)&f);
    }
    (void)state;
}

/* Who does not show the token changes nothing. */
/* D23 */
static void test_engine_gives_no_session_without_its_token(void **state)
{
    static const char *const rows[] = {
        "{}",
        "{\"subscriptions\" [[1 7 0]]}",
        "{\"token\" <c4 10 03*16> \"subscriptions\" [[1 7 0]]}",
        "{\"token\" <c4 10 01*16> \"subscriptions\" [[1 7 0]]}",
        "{\"token\" <c4 10 00*16> \"subscriptions\" [[1 7 0]]}",
        "{\"token\" <c4 0f 02*15> \"subscriptions\" [[1 7 0]]}",
        "{\"token\" <c4 11 02*17> \"subscriptions\" [[1 7 0]]}",
        "{\"token\" <c4 10 02*15 03> \"subscriptions\" [[1 7 0]]}",
        "{\"token\" <c4 10 00 02*15> \"subscriptions\" [[1 7 0]]}",
        "{\"token\" <b0 02*16> \"subscriptions\" [[1 7 0]]}",
        "{\"token\" <c4 00> \"subscriptions\" []}",
        "{\"token\" nil \"subscriptions\" [[1 7 0]]}",
        "{\"token\" 7 \"subscriptions\" [[1 7 0]]}",
    };

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct fixture *f;

        assert_int_equal(setup_resumable((void **)&f), 0);
        begin_away(f);
        hello_with(f, "sub/2", rows[i]);
        flush(f);
        assert_bye(f, rows[i], "sub/2", TIDINGS_EEXIST);
        assert_row(rows[i], !find(f, "sub/2", TD_WELCOME, 0));
        assert_row(rows[i], sessions(f) == 2 && f->engine->away_len == 1);
        assert_row(rows[i], f->engine->subs_len == 1);
        come_back(f, "sub/3", "[[1 7 0]]");
        assert_row(rows[i], resumed(f, "sub/3"));
        teardown((void **)&f);
    }
    (void)state;
}

/* What cannot be: the client has to begin anew, and the old one is over. */
static void test_engine_begins_anew_when_the_claims_cannot_be(void **state)
{
    static const char *const rows[] = {
        "",
        "\"subscriptions\" nil",
        "\"subscriptions\" 1",
        "\"subscriptions\" {1 7}",
        "\"subscriptions\" [1 7 0]",
        "\"subscriptions\" [[1 7]]",
        "\"subscriptions\" [[]]",
        "\"subscriptions\" [[\"1\" 7 0]]",
        "\"subscriptions\" [[1 -7 0]]",
        "\"subscriptions\" [[1 7 nil]]",
        "\"subscriptions\" [[2 0 0]]",
        "\"subscriptions\" [[0 0 0]]",
        "\"subscriptions\" [[1 7 0] [2 0 0]]",
        "\"subscriptions\" [[1 11 0]]",
        "\"subscriptions\" [[1 2 0]]",
        "\"subscriptions\" [[1 7 1]]",
        "\"subscriptions\" [[1 7 0] [1 11 0]]",
        "\"subscriptions\" [[1 7 0] [1 7 0]]", /* twice */
        "\"subscriptions\" [[1 7 0] [1 5 0]]",
        "\"subscriptions\" [[1 7 0]*1025]",
        "\"subscriptions\" [[1 9223372036854775807 0]]",
    };

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct fixture *f;
        char options[120];

        assert_int_equal(setup_resumable((void **)&f), 0);
        begin_away(f);
        snprintf(options, sizeof(options), "{\"token\" <c4 10 02*16> %s}",
                 rows[i]);
        hello_with(f, "sub/2", options);
        flush(f);
        assert_row(rows[i], !resumed(f, "sub/2"));
        assert_row(rows[i],
                   frame(f, "sub/2", TD_WELCOME, 0)->u.welcome.session == 3);
        assert_row(rows[i], !find(f, "sub/2", TD_DELIVER, 0));
        assert_row(rows[i], sessions(f) == 2 && f->engine->away_len == 0);
        assert_row(rows[i], f->engine->subs_len == 0);
        assert_row(rows[i],
                   f->engine->counters.all.dropped[TD_DROP_SESSION_LOST] == 12);
        assert_row(rows[i], f->engine->counters.resumed == 0);
        teardown((void **)&f);
    }
    (void)state;
}

/* A stolen token is worth nothing to another producer. */
static void test_engine_gives_no_session_to_another_producer(void **state)
{
    struct fixture *f = *state;

    begin_away(f);
    come_back(f, "eve", "[[1 7 0]]");
    assert_false(resumed(f, "eve"));
    flush(f);
    assert_null(find(f, "eve", TD_DELIVER, 0));
    come_back(f, "sub/2", "[[1 7 0]]");
    assert_true(resumed(f, "sub/2"));
}

static void test_engine_ends_what_is_not_listed(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", WINDOW);
    give(f, "sub", "[5 2 2 \"*\" " WINDOW "]");
    give(f, "sub", "[5 3 3 \">\" " WINDOW "]");
    publish_one(f, "pub", "a", 4, 3, 1);
    flush(f);
    gone(f, "sub");
    flush(f);
    forget(f);
    come_back(f, "sub/2", "[[2 1 0]]");
    assert_true(resumed(f, "sub/2"));
    flush(f);
    assert_int_equal(f->engine->subs_len, 1);
    check_delivered(f, "sub/2", 2, 4);
    assert_int_equal(part(f, "sub/2", 0)->subscription, 2);
    assert_int_equal(missed_by(f, "sub/2", NULL), 0);
    gone(f, "sub/2");
    come_back(f, "sub/3", "[]");
    assert_true(resumed(f, "sub/3"));
    flush(f);
    assert_int_equal(f->engine->subs_len, 0);
    assert_int_equal(sessions(f), 2);
}

static void test_engine_resumes_again_and_again(void **state)
{
    struct fixture *f = *state;
    char peer[8];
    char list[40];

    begin_away(f);
    for (uint32_t i = 0; i < 5; i++) {
        snprintf(peer, sizeof(peer), "sub/%u", i);
        snprintf(list, sizeof(list), "[[1 %u 0]]", 5 + 2 * i);
        come_back(f, peer, list);
        assert_true(resumed(f, peer));
        flush(f);
        check_delivered(f, peer, 6 + 2 * i, 15);
        gone(f, peer);
        if (i % 2)
            flush(f);
    }
    assert_int_equal(sessions(f), 2);
    assert_int_equal(f->engine->counters.resumed, 5);
}

/* The client may know of the loss before the broker does. */
static void test_engine_resumes_over_a_link_that_still_is(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", WINDOW);
    publish_one(f, "pub", "a", 10, 3, 1);
    flush(f);
    forget(f);
    come_back(f, "sub/2", "[[1 4 0]]");
    assert_bye(f, "the old link", "sub", TIDINGS_EEXIST);
    assert_true(resumed(f, "sub/2"));
    flush(f);
    check_delivered(f, "sub/2", 5, 10);
    assert_int_equal(sessions(f), 2);
    forget(f);
    give(f, "sub", "[9 1 [[1 10 100 9000000]]]"); /* a straggler */
    assert_bye(f, "a stranger now", "sub", TIDINGS_EPROTO);
    gone(f, "sub");
    flush(f);
    assert_int_equal(f->engine->away_len, 0);
    hello(f, "sub/2"); /* it has greeted already */
    assert_int_equal(code_of_reply(f, "sub/2"), TIDINGS_EPROTO);
    assert_int_equal(sessions(f), 2);
}

static void test_engine_keeps_a_session_for_the_grace_time(void **state)
{
    for (int late = 0; late < 2; late++) {
        struct fixture *f;

        assert_int_equal(setup_resumable((void **)&f), 0);
        begin_away(f);
        for (int64_t end = f->now + TD_GRACE_MS - 1000 + 3000 * late;
             f->now < end;) {
            pass(f, 500);
            give(f, "pub", "[12 1]");
        }
        assert_int_equal(sessions(f), late ? 1 : 2);
        assert_int_equal(f->engine->counters.all.dropped[TD_DROP_SESSION_LOST],
                         late ? 12 : 0);
        come_back(f, "sub/2", "[[1 10 0]]");
        assert_true(resumed(f, "sub/2") == !late);
        teardown((void **)&f);
    }
    (void)state;
}

/* What ends on purpose, or by a breach, is over. */
static void test_engine_does_not_keep_what_has_ended(void **state)
{
    static const char *const rows[] = {
        "[14 0 \"\"]",
        "[9 99 []]",
        "<c1>",
        "[3 0 []]",
    };

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct fixture *f;

        assert_int_equal(setup_resumable((void **)&f), 0);
        begin(f, "a", WINDOW);
        give(f, "sub", rows[i]);
        come_back(f, "sub/2", "[[1 0 0]]");
        assert_row(rows[i], !resumed(f, "sub/2"));
        assert_row(rows[i], f->engine->away_len == 0);
        assert_row(rows[i], f->engine->subs_len == 0);
        teardown((void **)&f);
    }
    (void)state;
}

static void test_engine_keeps_whom_it_has_not_heard(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", WINDOW);
    for (int64_t end = f->now + TD_DEAD_MS + 1000; f->now < end;) {
        f->now += 500;
        give(f, "pub", "[12 1]");
        flush(f);
    }
    assert_bye(f, "silence", "sub", TIDINGS_ETIMEDOUT);
    assert_int_equal(f->engine->away_len, 1);
    publish_one(f, "pub", "a", 5, 3, 1);
    come_back(f, "sub/2", "[[1 0 0]]");
    assert_true(resumed(f, "sub/2"));
    flush(f);
    check_delivered(f, "sub/2", 1, 5);
}

/* The link takes nothing: that is a lost link like any other. */
static void test_engine_keeps_whose_link_takes_nothing(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", WINDOW);
    publish_one(f, "pub", "a", 5, 3, 1);
    f->refuses = true;
    flush(f);
    f->refuses = false;
    assert_int_equal(f->engine->away_len, 1);
    come_back(f, "sub/2", "[[1 0 0]]");
    assert_true(resumed(f, "sub/2"));
    flush(f);
    check_delivered(f, "sub/2", 1, 5);
}

/* ---- publishers ---- */

static void test_engine_begins_a_publishers_totals_anew(void **state)
{
    struct fixture *f = *state;
    struct td_frame *w;

    begin(f, "nothing", WINDOW);
    publish_one(f, "pub", "a", TD_PUBLISH_EVENTS, 0, 1);
    gone(f, "pub");
    flush(f);
    forget(f);
    hello_with(f, "pub/2", "{\"token\" <c4 10 01*16> \"subscriptions\" []}");
    assert_true(resumed(f, "pub/2"));
    w = frame(f, "pub/2", TD_WELCOME, 0);
    assert_int_equal(w->u.welcome.taken, TD_PUBLISH_EVENTS);
    assert_int_equal(w->u.welcome.events_limit, TD_PUBLISH_EVENTS);
    assert_int_equal(w->u.welcome.bytes_limit, TD_PUBLISH_BYTES);
    publish_one(f, "pub/2", "a", TD_PUBLISH_EVENTS, 0, 2); /* all but one */
    assert_non_null(session_of(f, "pub/2"));
    assert_int_equal(f->engine->counters.duplicates, TD_PUBLISH_EVENTS - 1);
    publish_one(f, "pub/2", "a", 1, 0, TD_PUBLISH_EVENTS + 2);
    flush(f);
    assert_bye(f, "beyond its credit", "pub/2", TIDINGS_EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_RESUMABLE(test_engine_tells_each_session_its_token),
        TEST_RESUMABLE(test_engine_keeps_nobody_without_tokens),
        TEST_RESUMABLE(test_engine_goes_on_where_the_link_was_lost),
        TEST_RESUMABLE(test_engine_gives_no_session_without_its_token),
        TEST_RESUMABLE(test_engine_begins_anew_when_the_claims_cannot_be),
        TEST_RESUMABLE(test_engine_gives_no_session_to_another_producer),
        TEST_RESUMABLE(test_engine_ends_what_is_not_listed),
        TEST_RESUMABLE(test_engine_resumes_again_and_again),
        TEST_RESUMABLE(test_engine_resumes_over_a_link_that_still_is),
        TEST_RESUMABLE(test_engine_keeps_a_session_for_the_grace_time),
        TEST_RESUMABLE(test_engine_does_not_keep_what_has_ended),
        TEST_RESUMABLE(test_engine_keeps_whom_it_has_not_heard),
        TEST_RESUMABLE(test_engine_keeps_whose_link_takes_nothing),
        TEST_RESUMABLE(test_engine_begins_a_publishers_totals_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
