/* The engine: greeting, silence, producers, links, stopping. */
#include "tests/unit/engine_harness.h"

/* ---- greeting ---- */

static void test_engine_welcomes_with_all_that_a_client_needs(void **state)
{
    struct fixture *f = *state;
    struct td_frame *w;
    uint64_t value = 0;

    hello(f, "a");
    w = frame(f, "a", TD_WELCOME, 0);
    assert_int_equal(w->u.welcome.version, TD_PROTOCOL_VERSION);
    assert_int_equal(w->u.welcome.epoch, 77);
    assert_int_equal(w->u.welcome.session, 1);
    assert_int_equal(w->u.welcome.taken, 0);
    assert_int_equal(w->u.welcome.events_limit, TD_PUBLISH_EVENTS);
    assert_int_equal(w->u.welcome.bytes_limit, TD_PUBLISH_BYTES);
    assert_true(td_map_uint(w->u.welcome.limits, "body_max", &value));
    assert_int_equal(value, TD_BODY_BYTES_MAX);
    assert_true(td_map_uint(w->u.welcome.limits, "control_max", &value));
    assert_int_equal(value, TD_CONTROL_BYTES_MAX);
    assert_true(td_map_uint(w->u.welcome.limits, "heartbeat_ms", &value));
    assert_int_equal(value, TD_HEARTBEAT_MS);
}

static void test_engine_answers_a_second_hello_and_goes_on(void **state)
{
    struct fixture *f = *state;

    hello(f, "a");
    hello(f, "a");
    flush(f);
    assert_int_equal(frame(f, "a", TD_REPLY, 0)->u.reply.request, 0);
    assert_int_equal(frame(f, "a", TD_REPLY, 0)->u.reply.code, TIDINGS_EPROTO);
    assert_int_equal(sessions(f), 1);
}

/* Who has no session gets BYE, whatever it says but HELLO and BYE. */
static void test_engine_refuses_who_does_not_greet(void **state)
{
    static const struct {
        const char *text;
        tidings_err code;
    } rows[] = {
        {"[11 1]", TIDINGS_EPROTO},
        {"[5 1 1 \"a\" " WIDE "]", TIDINGS_EPROTO},
        {"[9 0 []]", TIDINGS_EPROTO},
        {"[13 1 {}]", TIDINGS_EPROTO},
        {"[12 1]", TIDINGS_EPROTO},
        {"[99]", TIDINGS_EPROTO},
        {"<c1>", TIDINGS_EPROTO},
        {"[2 1 1 1 0 0 0 {}]", TIDINGS_EPROTO}, /* not a client's */
        {"[1 \"udings\" 1 1 b(16) \"\" {}]", TIDINGS_EPROTO},
        {"[1 \"tidings\" 2 9 b(16) \"\" {}]", TIDINGS_EVERSION},
        {"[1 \"tidings\" 0 0 b(16) \"\" {}]", TIDINGS_EVERSION},
        {"[1 \"tidings\" 1 1 b(15) \"\" {}]", TIDINGS_EPROTO},
    };

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct fixture *f = *state;

        give(f, "x", rows[i].text);
        flush(f);
        assert_bye(f, rows[i].text, "x", rows[i].code);
        assert_row(rows[i].text, sessions(f) == 0);
        forget(f);
    }
}

static void test_engine_does_not_say_goodbye_for_ever(void **state)
{
    struct fixture *f = *state;

    give(f, "x", "[14 0 \"\"]");
    flush(f);
    assert_int_equal(f->sent_len, 0);
}

static void test_engine_takes_any_common_version(void **state)
{
    struct fixture *f = *state;

    give(f, "x", "[1 \"tidings\" 0 9 b(16) \"\" {} \"later field\"]");
    assert_int_equal(frame(f, "x", TD_WELCOME, 0)->u.welcome.version,
                     TD_PROTOCOL_VERSION);
}

static void test_engine_ends_a_session_when_its_producer_comes_again(
    void **state)
{
    struct fixture *f = *state;

    give(f, "one", "[1 \"tidings\" 1 1 b(16) \"\" {}]");
    give(f, "one", "[5 1 1 \"a\" " WIDE "]");
    give(f, "two", "[1 \"tidings\" 1 1 b(16) \"\" {}]");
    flush(f);
    assert_bye(f, "replaced", "one", TIDINGS_EEXIST);
    assert_non_null(find(f, "two", TD_WELCOME, 0));
    assert_int_equal(sessions(f), 1);
    assert_int_equal(f->engine->subs_len, 0);
}

static void test_engine_may_be_greeted_again_in_the_same_turn(void **state)
{
    struct fixture *f = *state;

    hello(f, "a");
    give(f, "a", "[14 0 \"\"]");
    hello(f, "a");
    flush(f);
    assert_non_null(find(f, "a", TD_WELCOME, 1));
    assert_int_equal(sessions(f), 1);
}

static void test_engine_replaces_what_would_upset_a_terminal(void **state)
{
    struct fixture *f = *state;

    give(f, "a", "[1 \"tidings\" 1 1 b(16) <a4 41 1b 7f 42> {}]");
    assert_string_equal(f->engine->sessions->name, "A??B");
}

/* ---- silence ---- */

static void test_engine_ends_a_silent_session(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", WIDE);
    while (f->now < 1000 + TD_DEAD_MS - 500) {
        f->now += 500;
        give(f, "pub", "[12 1]");
        flush(f);
        assert_true(f->next <= f->now + 1000);
    }
    assert_int_equal(sessions(f), 2);
    f->now += 1500;
    give(f, "pub", "[12 1]");
    flush(f);
    assert_bye(f, "silence", "sub", TIDINGS_ETIMEDOUT);
    assert_int_equal(sessions(f), 1);
    assert_int_equal(f->engine->counters.silent, 1);
}

/* A broker that stood still itself must not blame its clients … */
static void test_engine_counts_only_time_in_which_it_ran(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", WIDE);
    f->now += 10 * TD_DEAD_MS;
    flush(f);
    assert_int_equal(sessions(f), 2);
    for (int64_t end = f->now + TD_DEAD_MS + 2000; f->now < end;) {
        f->now += 500;
        give(f, "pub", "[12 1]");
        flush(f);
    }
    assert_int_equal(sessions(f), 1); /* … but then silence is silence */
}

/* … nor excuse those whom it has heard since. */
static void test_engine_counts_silence_from_what_it_heard_last(void **state)
{
    struct fixture *f = *state;

    f->now += 3600000; /* nobody was there, and nobody called */
    begin(f, "a", WIDE);
    f->now += 3600000;
    give(f, "pub", "[12 1]");
    flush(f);
    for (int i = 0; i < (TD_DEAD_MS + 2000) / 500; i++) {
        f->now += 500;
        flush(f);
    }
    assert_int_equal(sessions(f), 0);
}

static void test_engine_wants_no_call_when_nobody_is_there(void **state)
{
    struct fixture *f = *state;

    flush(f);
    assert_true(f->next == TD_NEVER);
    hello(f, "a");
    flush(f);
    assert_int_equal(f->next, f->now + 1000);
    give(f, "a", "[14 0 \"\"]");
    flush(f);
    f->now = f->next;
    flush(f);
    assert_true(f->next == TD_NEVER); /* nothing was published */
}

/* ---- producers ---- */

static void test_engine_remembers_a_producer_for_a_while(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", WIDE);
    publish_one(f, "pub", "a", 5, 0, 1);
    give(f, "pub", "[14 0 \"\"]");
    flush(f);
    f->now += TD_PRODUCER_KEEP_MS - 1001;
    flush(f);
    forget(f);
    hello(f, "pub");
    assert_int_equal(frame(f, "pub", TD_WELCOME, 0)->u.welcome.taken, 5);
    give(f, "pub", "[14 0 \"\"]");
    flush(f);
    f->now += TD_PRODUCER_KEEP_MS;
    flush(f);
    forget(f);
    assert_int_equal(HASH_COUNT(f->engine->producers), 1); /* sub's */
    hello(f, "pub");
    assert_int_equal(frame(f, "pub", TD_WELCOME, 0)->u.welcome.taken, 0);
}

static void test_engine_bounds_the_producers_it_remembers(void **state)
{
    struct fixture *f = *state;
    char name[17];

    f->unjudged = true;
    for (uint32_t i = 0; i < TD_PRODUCERS_MAX + 2; i++) {
        snprintf(name, sizeof(name), "p%06u", i);
        hello(f, name);
        publish_one(f, name, "a", 1, 0, 1);
        give(f, name, "[14 0 \"\"]");
        flush(f);
        forget(f);
    }
    assert_int_equal(HASH_COUNT(f->engine->producers), TD_PRODUCERS_MAX);
    hello(f, "p000001"); /* the oldest were forgotten */
    assert_int_equal(frame(f, "p000001", TD_WELCOME, 0)->u.welcome.taken, 0);
    hello(f, "p000009");
    assert_int_equal(frame(f, "p000009", TD_WELCOME, 0)->u.welcome.taken, 1);
}

static void test_engine_bounds_its_sessions(void **state)
{
    struct fixture *f = *state;
    char name[17];

    f->unjudged = true;
    for (uint32_t i = 0; i < TD_SESSIONS_MAX; i++) {
        snprintf(name, sizeof(name), "s%06u", i);
        hello(f, name);
        forget(f);
    }
    hello(f, "more");
    assert_bye(f, "sessions", "more", TIDINGS_ELIMIT);
    assert_int_equal(sessions(f), TD_SESSIONS_MAX);
}

/* ---- links ---- */

static void test_engine_ends_a_session_whose_link_takes_nothing(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", WIDE);
    publish_one(f, "pub", "a", 3, 0, 1);
    f->refuses = true;
    flush(f);
    f->refuses = false;
    flush(f);
    assert_int_equal(sessions(f), 1);
    assert_int_equal(f->engine->counters.gone.dropped[TD_DROP_SESSION_LOST], 3);
    assert_int_equal(td_engine_held_bytes(f->engine), 0);
}

static void test_engine_does_not_know_who_is_gone(void **state)
{
    struct fixture *f = *state;

    gone(f, "x");
    hello(f, "a");
    gone(f, "a");
    gone(f, "a");
    flush(f);
    assert_int_equal(sessions(f), 0);
}

/* ---- stopping ---- */

static void test_engine_drains_and_says_goodbye(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", "{\"events\" 1 \"bytes\" 2000000}");
    publish_one(f, "pub", "a", 2, 0, 1);
    td_engine_drain(f->engine);
    hello(f, "late");
    assert_bye(f, "late", "late", TIDINGS_ESHUTDOWN);
    f->now += TD_LAZY_MS;
    flush(f);
    assert_int_equal(frame(f, "pub", TD_TAKEN, 0)->u.taken.taken, 2);
    assert_int_equal(frame(f, "pub", TD_TAKEN, 0)->u.taken.events_limit,
                     TD_PUBLISH_EVENTS); /* no more credit */
    assert_false(td_engine_is_idle(f->engine));
    give(f, "sub", "[9 1 [[1 1 2 2000000]]]");
    flush(f);
    give(f, "sub", "[9 2 [[1 2 3 2000000]]]");
    assert_true(td_engine_is_idle(f->engine));
    td_engine_stop(f->engine, f->now);
    assert_bye(f, "stop", "pub", TIDINGS_ESHUTDOWN);
    assert_bye(f, "stop", "sub", TIDINGS_ESHUTDOWN);
    assert_int_equal(sessions(f), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_engine_welcomes_with_all_that_a_client_needs),
        TEST(test_engine_answers_a_second_hello_and_goes_on),
        TEST(test_engine_refuses_who_does_not_greet),
        TEST(test_engine_does_not_say_goodbye_for_ever),
        TEST(test_engine_takes_any_common_version),
        TEST(test_engine_ends_a_session_when_its_producer_comes_again),
        TEST(test_engine_may_be_greeted_again_in_the_same_turn),
        TEST(test_engine_replaces_what_would_upset_a_terminal),
        TEST(test_engine_ends_a_silent_session),
        TEST(test_engine_counts_only_time_in_which_it_ran),
        TEST(test_engine_counts_silence_from_what_it_heard_last),
        TEST(test_engine_wants_no_call_when_nobody_is_there),
        TEST(test_engine_remembers_a_producer_for_a_while),
        TEST(test_engine_bounds_the_producers_it_remembers),
        TEST(test_engine_bounds_its_sessions),
        TEST(test_engine_ends_a_session_whose_link_takes_nothing),
        TEST(test_engine_does_not_know_who_is_gone),
        TEST(test_engine_drains_and_says_goodbye),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
