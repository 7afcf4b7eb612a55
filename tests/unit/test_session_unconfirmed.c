/* What the client's session does when confirms do not come as they should:
 * links that are lost, brokers that confirm what they cannot, no memory. */
#include "tests/unit/confirm_fixture.h"

#include "tests/support/alloc.h"
#include "tests/support/mp.h"

/* ---- links that are lost ---- */

static void test_confirm_is_asked_again_on_the_next_link(void **state)
{
    struct fixture *f = *state;

    greet(f, GREETED);
    publish_many(f, 3, true); /* 1, 2 to 3 */
    taken(f, 3);
    publish_as(f, "a", TIDINGS_NO_CONFIRM, 0);
    taken(f, 4);
    assert_ok(confirm(f, "2 1 0 \"s\" 2 3 false"));
    lose(f);
    reopen(f);
    greet(f, "[2 1 7 1 4 1000 1000000 {" TOKEN " \"resumed\" true}]");

    assert_int_equal(events_of(frame(f, TD_PUBLISH, 0)->u.publish.batches), 1);
    assert_int_equal(events_of(frame(f, TD_PUBLISH, 1)->u.publish.batches), 1);
    assert_null(find(f, TD_PUBLISH, 2)); /* 4 was taken */
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(frame(f, TD_PUBLISH, i)->u.publish.flags >>
                             TD_PUBLISH_LEVEL_SHIFT,
                         TIDINGS_DISK);
    assert_int_equal(f->client.events_out, 2);
    assert_int_equal(f->client.resent, 2);
    assert_int_equal(done(f), 0);
    assert_ok(confirm(f, "1 1 0 \"s\" 1 3 true"));
    assert_ok(confirm(f, "3 1 0 \"s\" 3 3 true"));
    assert_int_equal(done(f), 4);
    assert_int_equal(kept(f), 0);
    assert_int_equal(f->client.confirmed, 3);
    assert_int_equal(told.calls, 3); /* each once */
    assert_int_equal(told.call[0].who, 2);
    assert_false(told.call[0].duplicate);
    assert_int_equal(told.call[1].who, 1);
    assert_true(told.call[1].duplicate);
    assert_int_equal(told.call[2].who, 3);
    assert_int_equal(told.call[2].sequence, 3);
}

/* A broker that has lost its memory takes it all for new. */
static void test_confirm_may_come_from_another_broker(void **state)
{
    struct fixture *f = *state;

    greet(f, GREETED);
    publish_many(f, 4, true);
    taken(f, 4);
    lose(f);
    reopen(f);
    greet(f, "[2 1 8 1 0 1000 1000000 {}]");
    assert_int_equal(count_of(f, TIDINGS_NEW_EPOCH), 4);
    td_client_ask(&f->client, 4);
    taken(f, 4);
    assert_ok(confirm(f, "1 4 0 \"s\" 1 3 false"));
    assert_int_equal(done(f), 4);
    assert_int_equal(told.calls, 4);
}

/* Of four that were taken the third is refused, and nothing else answered. */
static void refuse_one(struct fixture *f)
{
    greet(f, GREETED);
    publish_many(f, 1, false);
    taken(f, 1);
    publish_many(f, 3, false);
    taken(f, 4);
    assert_ok(confirm(f, "3 1 3 \"s\" 0 0 false"));
}

/* D03: what was refused stays so: the next broker does not get to see it, nor
 * may it confirm it. */
static void test_confirm_as_refused_is_for_good(void **state)
{
    struct fixture *f = *state;

    refuse_one(f);
    assert_int_equal(f->client.unstored, 1);
    lose(f);
    reopen(f);
    greet(f, "[2 1 8 1 0 1000 1000000 {}]"); /* it knows nothing */
    assert_int_equal(f->client.events_out, 3);
    assert_int_equal(count_of(f, TIDINGS_NEW_EPOCH), 3);
    forget(f);
    assert_ok(confirm(f, "1 2 0 \"s\" 1 3 false"));
    assert_ok(confirm(f, "4 1 0 \"s\" 3 3 false"));
    assert_int_equal(f->client.unstored, 1);
    assert_int_equal(f->client.confirmed, 3);
    assert_false(was_told(f, TIDINGS_UNSTORED));
    assert_int_equal(done(f), 4);
    assert_int_equal(kept(f), 0);
    publish_many(f, 1, false); /* nothing waits for an answer that is over */
    assert_int_equal(f->client.events_out, 4);
}

static void test_confirm_of_what_was_refused_is_a_breach(void **state)
{
    struct fixture *f = *state;

    refuse_one(f);
    lose(f);
    resume(f);
    assert_err(confirm(f, "2 3 0 \"s\" 2 3 false"), TIDINGS_EPROTO);
    assert_int_equal(f->client.confirmed, 0);
}

/* Confirmed whole before its TAKEN, which the link took along. */
static void test_confirm_outlives_its_link(void **state)
{
    struct fixture *f = *state;

    greet(f, GREETED);
    publish_many(f, 1, true);
    assert_ok(confirm(f, "1 1 0 \"s\" 1 3 false"));
    lose(f);
    resume(f); /* taken: 0 */
    assert_null(find(f, TD_PUBLISH, 0));
    assert_int_equal(told.calls, 1);
    assert_int_equal(done(f), 1);
}

/* ---- brokers that confirm what they cannot ---- */

static void test_confirm_of_what_cannot_be_is_a_breach(void **state)
{
    /* sent: 1 without a confirm, 2 to 5 and 6 with one; 3 is confirmed; and 7
     * waits for credit */
    static const char *const rows[] = {
        "[16 [[0 1 0 \"s\" 1 3 false]]]", /* no sequence */
        "[16 [[2 0 0 \"s\" 1 3 false]]]", /* no events */
        "[16 [[1 1 0 \"s\" 1 3 false]]]", /* not asked */
        "[16 [[1 2 0 \"s\" 1 3 false]]]", /* not all asked */
        "[16 [[3 1 0 \"s\" 1 3 false]]]", /* twice */
        "[16 [[2 2 0 \"s\" 1 3 false]]]", /* twice, some */
        "[16 [[3 3 18 \"\" 0 0 false]]]", /* twice, of another mind */
        "[16 [[6 2 0 \"s\" 1 3 false]]]", /* not all sent */
        "[16 [[7 1 0 \"s\" 1 3 false]]]", /* not sent */
        "[16 [[8 1 0 \"s\" 1 3 false]]]", /* not packed */
        "[16 [[2 9223372036854775807 0 \"s\" 1 3 false]]]",
        "[16 [[9223372036854775807 9223372036854775807 0 \"s\" 1 3 false]]]",
        "[16 [[2 1 0 \"s\" 1 2 false]]]", /* less than asked */
        "[16 [[2 1 0 \"s\" 1 0 false]]]",
        "[16 [[2 1 0 \"s\" 1 4 false]]]", /* no level */
        "[16 [[2 1 18 \"s\" 1 4 false]]]",
        "[16 [[2 1 0 \"s\" 1 3 0]]]", /* malformed */
        "[16 [[2 1 0 \"s\" 1 3]]]",
        "[16 [[2 1 9223372036854775807 \"\" 0 0 false]]]",
        "[16 [[2 1 -1 \"\" 0 0 false]]]",
        "[16 [2 1 0 \"s\" 1 3 false]]",
        "[16 [[2 1 0 \"s\" 1 3 false] [2 1 0 \"s\" 1 3 false]]]",
        "[16 [[2 1 0 \"s\" 1 3 false] nil]]",
        "[16 nil]",
        "[16 2]",
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        bool later = strstr(rows[i], "false] ") != NULL;

        greet(f, "[2 1 7 1 0 6 1000000 {" TOKEN "}]");
        publish_as(f, "a", TIDINGS_NO_CONFIRM, 0);
        for (uintptr_t who = 2; who <= 5; who++)
            publish_as(f, "a", TIDINGS_DISK, who);
        assert_ok(give(f, "[4 1 6 1000000]"));
        publish_as(f, "a", TIDINGS_DISK, 6);
        assert_ok(give(f, "[4 5 6 1000000]"));
        publish_as(f, "a", TIDINGS_DISK, 7);
        td_client_ask(&f->client, 7);
        assert_int_equal(td_publisher_sent_here(&f->client.publisher), 6);
        assert_ok(confirm(f, "3 1 0 \"s\" 1 3 false"));

        assert_row(rows[i], give(f, rows[i]) == TIDINGS_EPROTO);
        assert_row(rows[i], !f->open);
        assert_row(rows[i], told.calls == (later ? 2 : 1));
        assert_row(rows[i], f->client.confirmed == (later ? 2 : 1));
        assert_row(rows[i], f->client.unstored == 0);
        assert_row(rows[i], kept(f) == 6);

        /* It is all asked again, and can be confirmed. */
        reopen(f);
        greet(f, "[2 1 7 1 6 1000 1000000 {" TOKEN "}]");
        assert_row(rows[i], f->client.events_out == (later ? 4 : 5));
        if (!later)
            assert_ok(confirm(f, "2 1 0 \"s\" 1 3 false"));
        assert_ok(confirm(f, "4 4 0 \"s\" 3 3 false"));
        assert_row(rows[i], told.calls == 6);
        assert_row(rows[i], done(f) == 7 && kept(f) == 0);
        td_client_fini(&f->client);
        f->open = false;
        forget(f);
        start(f);
        listen_for_confirms(f);
    }
}

static void test_confirm_before_the_greeting_is_a_breach(void **state)
{
    struct fixture *f = *state;

    greet(f, GREETED);
    publish_many(f, 1, true);
    lose(f);
    reopen(f);
    assert_err(confirm(f, "1 1 0 \"s\" 1 3 true"), TIDINGS_EPROTO);
    assert_int_equal(told.calls, 0);
    assert_int_equal(kept(f), 1);
}

static void test_confirm_of_nothing_is_none(void **state)
{
    struct fixture *f = *state;

    greet(f, GREETED);
    assert_ok(give(f, "[16 []]"));
    assert_int_equal(f->client.state, TD_CLIENT_READY);
}

/* ---- without memory ---- */

/* A message of the broker, made without failing; whether reading it did. */
static bool give_starved(struct fixture *f, const char *text, size_t n)
{
    struct td_deliveries none;
    struct td_buf b = {0};
    bool failed;

    td_mp(&b, text);
    td_alloc_fail(n);
    assert_ok(
        td_client_message(&f->client, b.data, b.len, NULL, f->now, &none));
    failed = td_alloc_failed();
    td_alloc_fail(0);
    td_buf_fini(&b);
    return failed;
}

/* It is asked for again, and nobody is told twice or never. */
static void test_confirm_without_memory_comes_again(void **state)
{
    static const char rows[] = "[16 [[1 3 0 \"s\" 1 3 false] "
                               "[4 3 0 \"s\" 4 3 false]]]";
    struct fixture *f = *state;
    unsigned failures = 0;

    for (size_t n = 1;; n++) {
        bool failed;

        greet(f, GREETED);
        publish_many(f, 6, true);
        taken(f, 6);
        failed = give_starved(f, rows, n);
        if (!failed)
            break;
        failures++;
        assert_int_equal(told.calls, 3 * (n - 1));
        assert_int_equal(f->client.last_err, TIDINGS_ENOMEM);
        assert_int_equal(f->client.state, TD_CLIENT_DOWN);
        reopen(f);
        greet(f, "[2 1 7 1 6 1000 1000000 {" TOKEN " \"resumed\" true}]");
        assert_int_equal(f->client.events_out, n == 1 ? 6 : 3);
        assert_ok(confirm(f, n == 1 ? "1 6 0 \"s\" 1 3 true"
                                    : "4 3 0 \"s\" 4 3 true"));
        assert_int_equal(done(f), 6);
        assert_int_equal(kept(f), 0);
        assert_int_equal(told.calls, 6);
        assert_true(told.call[5].duplicate);
        td_client_fini(&f->client);
        f->open = false;
        forget(f);
        start(f);
        listen_for_confirms(f);
    }
    assert_int_equal(failures, 2); /* one for each row */
    assert_int_equal(told.calls, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_confirm_is_asked_again_on_the_next_link),
        TEST(test_confirm_may_come_from_another_broker),
        TEST(test_confirm_as_refused_is_for_good),
        TEST(test_confirm_of_what_was_refused_is_a_breach),
        TEST(test_confirm_outlives_its_link),
        TEST(test_confirm_of_what_cannot_be_is_a_breach),
        TEST(test_confirm_before_the_greeting_is_a_breach),
        TEST(test_confirm_of_nothing_is_none),
        TEST(test_confirm_without_memory_comes_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
