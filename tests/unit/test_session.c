/* The client's session: its link, and the time. */
#include "tests/unit/session_fixture.h"

/* ---- connecting ---- */

static void test_session_greets_at_its_first_tick(void **state)
{
    struct fixture *f = *state;

    tick(f);
    assert_true(f->open);
    assert_int_equal(f->next, f->now + TD_GREETING_MS);
    assert_int_equal(frame(f, TD_HELLO, 0)->u.hello.version_min,
                     TD_PROTOCOL_VERSION);
    assert_memory_equal(frame(f, TD_HELLO, 0)->u.hello.producer.data,
                        "0123456789abcde", 16);
    assert_false(was_told(f, TIDINGS_UP));
    assert_ok(give(f, WELCOME));
    assert_true(was_told(f, TIDINGS_UP));
    assert_false(was_told(f, TIDINGS_NEW_EPOCH));
    assert_false(was_told(f, TIDINGS_NEW_SESSION));
    assert_int_equal(f->client.connects, 1);
    assert_int_equal(f->client.incarnation, 1);
}

static void test_session_gives_up_on_a_greeting(void **state)
{
    struct fixture *f = *state;

    tick(f);
    f->now += TD_GREETING_MS - 1;
    tick(f);
    assert_true(f->open);
    f->now++;
    tick(f);
    assert_false(f->open);
    assert_int_equal(f->client.state, TD_CLIENT_DOWN);
    assert_int_equal(f->client.last_err, TIDINGS_EUNREACH);
    assert_int_equal(f->status_len, 0); /* it was never up */
}

/* Doubled, at random between a half and all of it, up to the largest. */
static void test_session_tries_again_later_and_later(void **state)
{
    struct fixture *f = *state;
    int64_t ms = TD_RETRY_MIN_MS;

    f->open_err = TIDINGS_EUNREACH;
    for (int i = 0; i < 12; i++) {
        tick(f);
        assert_true(f->next - f->now >= ms / 2);
        assert_true(f->next - f->now <= ms);
        f->now = f->next - 1;
        tick(f);
        assert_int_equal(f->next, f->now + 1);
        f->now = f->next;
        ms = ms * 2 > TD_RETRY_MAX_MS ? TD_RETRY_MAX_MS : ms * 2;
    }
    f->open_err = TIDINGS_OK;
    greet(f, WELCOME); /* thrown out at once: not a reason to hurry */
    td_client_lost(&f->client, TIDINGS_EPROTO, "breach", f->now);
    assert_true(f->client.retry_ms - f->now >= TD_RETRY_MAX_MS / 2);
    greet(f, WELCOME);
    f->now += TD_RETRY_MAX_MS;
    lose(f);
    assert_true(f->client.retry_ms - f->now <= TD_RETRY_MIN_MS);
}

static void test_session_says_why_it_is_down(void **state)
{
    struct fixture *f = *state;

    greet(f, WELCOME);
    assert_ok(give(f, "[14 12 \"broker is stopping\"]"));
    assert_false(f->open);
    assert_true(was_told(f, TIDINGS_DOWN));
    assert_string_equal(f->client.last_text, "broker is stopping");
    assert_int_equal(f->client.last_err, 12);
    td_client_lost(&f->client, TIDINGS_EIO, "late", f->now); /* it is down */
    assert_int_equal(f->client.last_err, 12);
}

static void test_session_tells_of_a_new_epoch(void **state)
{
    struct fixture *f = *state;

    greet(f, WELCOME);
    lose(f);
    greet(f, WELCOME);
    assert_false(was_told(f, TIDINGS_NEW_EPOCH));
    lose(f);
    greet(f, "[2 1 8 1 0 1000 1000000 {}]");
    assert_true(was_told(f, TIDINGS_NEW_EPOCH));
}

static void test_session_notices_a_link_that_takes_nothing(void **state)
{
    struct fixture *f = *state;

    greet(f, WELCOME);
    f->refuses = true;
    assert_ok(publish(f, 1)); /* kept for the next session */
    assert_true(f->open);
    tick(f);
    assert_false(f->open);
    f->refuses = false;
    forget(f);
    greet(f, WELCOME);
    assert_non_null(find(f, TD_PUBLISH, 0));
}

static void test_session_does_not_open_again_once_closed(void **state)
{
    struct fixture *f = *state;

    greet(f, WELCOME);
    td_client_close(&f->client);
    assert_non_null(find(f, TD_BYE, 0));
    assert_false(f->open);
    f->now += 3600000;
    tick(f);
    assert_true(f->next == TD_CLIENT_NEVER);
    assert_int_equal(f->opens, 1);
    td_client_close(&f->client);
}

/* ---- what the broker must not do ---- */

static void test_session_ends_with_a_broker_that_breaks_the_rules(void **state)
{
    static const struct {
        bool ready;
        const char *text;
    } rows[] = {
        {false, "[4 0 1000 1000000]"},
        {false, "<c1>"},
        {false, "[2 1 0 1 0 1000 1000000 {}]"}, /* no epoch */
        {false, "[2 2 7 1 0 1000 1000000 {}]"}, /* not asked for */
        {false, "[2 1 7 1 1 1000 1000000 {}]"}, /* taken, never sent */
        {true, WELCOME},
        {true, "[4 1 1000 1000000]"},
        {true, "[4 0 999 1000000]"}, /* limits fall */
        {true, "[4 0 1000 999999]"},
        {true, "[3 0 []]"},
        {true, "[8 []]"}, /* without its body */
        {true, "[1 \"tidings\" 1 1 b(16) \"\" {}]"},
        {true, "[60]"},
        {true, "[]"},
    };

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct fixture *f;

        assert_int_equal(setup((void **)&f), 0);
        if (rows[i].ready)
            greet(f, WELCOME);
        else
            tick(f);
        assert_row(rows[i].text, give(f, rows[i].text) == TIDINGS_EPROTO);
        assert_row(rows[i].text, !f->open);
        assert_row(rows[i].text, f->client.state == TD_CLIENT_DOWN);
        assert_row(rows[i].text, f->client.retry_ms > f->now);
        assert_ok(give(f, rows[i].text)); /* left over: ignored */
        teardown((void **)&f);
    }
    (void)state;
}

static void test_session_takes_what_later_versions_add(void **state)
{
    struct fixture *f = *state;

    greet(f, "[2 1 7 1 0 1000 1000000 {\"later\" [1 2]} \"field\"]");
    assert_ok(give(f, "[4 0 1000 1000000 1]"));
}

/* ---- silence ---- */

static void test_session_pings_when_it_is_quiet(void **state)
{
    struct fixture *f = *state;
    unsigned pings = 0;

    greet(f, WELCOME);
    for (int64_t end = f->now + 60000; f->now < end; f->now += 500) {
        tick(f);
        assert_true(f->next <= f->now + TD_HEARTBEAT_MS);
        if (find(f, TD_PING, pings)) {
            pings++;
            assert_ok(give(f, "[12 0]"));
        }
    }
    assert_true(pings >= 10 && pings <= 12);
    assert_int_equal(f->client.state, TD_CLIENT_READY);
}

static void test_session_takes_a_silent_broker_for_dead(void **state)
{
    struct fixture *f = *state;
    int64_t heard;

    greet(f, WELCOME);
    heard = f->now;
    while (f->now < heard + TD_DEAD_MS - 500) {
        f->now += 500;
        tick(f);
        assert_int_equal(f->client.state, TD_CLIENT_READY);
    }
    f->now += 500;
    tick(f);
    assert_int_equal(f->client.state, TD_CLIENT_DOWN);
    assert_true(was_told(f, TIDINGS_DOWN));
}

static void test_session_does_not_blame_the_broker_for_its_own_pause(
    void **state)
{
    struct fixture *f = *state;

    greet(f, WELCOME);
    tick(f);
    f->now += 10 * TD_DEAD_MS;
    tick(f);
    assert_int_equal(f->client.state, TD_CLIENT_READY);
    assert_non_null(find(f, TD_PING, 0)); /* but asks, and then waits */
    for (int i = 0; i <= TD_DEAD_MS / 500; i++) {
        f->now += 500;
        tick(f);
    }
    assert_true(was_told(f, TIDINGS_DOWN));
}

static void test_session_answers_ping(void **state)
{
    struct fixture *f = *state;

    greet(f, WELCOME);
    assert_ok(give(f, "[11 123]"));
    assert_int_equal(frame(f, TD_PONG, 0)->u.pong.token, 123);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_session_greets_at_its_first_tick),
        TEST(test_session_gives_up_on_a_greeting),
        TEST(test_session_tries_again_later_and_later),
        TEST(test_session_says_why_it_is_down),
        TEST(test_session_tells_of_a_new_epoch),
        TEST(test_session_notices_a_link_that_takes_nothing),
        TEST(test_session_does_not_open_again_once_closed),
        TEST(test_session_ends_with_a_broker_that_breaks_the_rules),
        TEST(test_session_takes_what_later_versions_add),
        TEST(test_session_pings_when_it_is_quiet),
        TEST(test_session_takes_a_silent_broker_for_dead),
        TEST(test_session_does_not_blame_the_broker_for_its_own_pause),
        TEST(test_session_answers_ping),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
