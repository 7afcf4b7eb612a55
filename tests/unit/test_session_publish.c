/* What the client's session does with what is published. */
#include "tests/unit/session_fixture.h"

static void test_session_sends_at_once_when_the_link_is_idle(void **state)
{
    struct fixture *f = *state;

    greet(f, WELCOME);
    assert_ok(publish(f, 10));
    assert_non_null(find(f, TD_PUBLISH, 0));
    assert_int_equal(td_client_unconfirmed(&f->client), 1);
    assert_ok(give(f, "[4 1 1000 1000000]"));
    assert_int_equal(td_client_unconfirmed(&f->client), 0);
}

/* While an answer is out the batch fills; it leaves when the answer is in. */
static void test_session_makes_batches_of_load(void **state)
{
    struct fixture *f = *state;

    greet(f, WELCOME);
    for (int i = 0; i < 100; i++)
        assert_ok(publish(f, 10));
    assert_int_equal(frame(f, TD_PUBLISH, 0)->u.publish.flags, TD_PUBLISH_ASK);
    assert_null(find(f, TD_PUBLISH, 1));
    assert_ok(give(f, "[4 1 1000 1000000]"));
    assert_null(find(f, TD_PUBLISH, 2));
    assert_int_equal(events_of(frame(f, TD_PUBLISH, 1)->u.publish.batches), 99);
}

static void test_session_keeps_within_its_credit(void **state)
{
    struct fixture *f = *state;

    greet(f, "[2 1 7 1 0 3 1000000 {}]");
    for (int i = 0; i < 3; i++)
        assert_ok(publish(f, 10)); /* one leaves, two wait for an answer */
    assert_ok(give(f, "[4 1 3 1000000]"));
    assert_non_null(find(f, TD_PUBLISH, 1));
    assert_ok(give(f, "[4 3 3 1000000]"));
    assert_ok(publish(f, 10));
    td_client_pump(&f->client);
    assert_null(find(f, TD_PUBLISH, 2)); /* though the link is idle */
    assert_ok(give(f, "[4 3 4 1000000]"));
    assert_non_null(find(f, TD_PUBLISH, 2));
}

static void test_session_keeps_within_its_credit_for_bytes(void **state)
{
    struct fixture *f = *state;

    greet(f, "[2 1 7 1 0 1000 100 {}]");
    assert_ok(publish(f, 90)); /* 96 with what is around it */
    assert_non_null(find(f, TD_PUBLISH, 0));
    assert_ok(give(f, "[4 1 1000 191]"));
    assert_ok(publish(f, 90));
    assert_null(find(f, TD_PUBLISH, 1));
    assert_ok(give(f, "[4 1 1000 192]"));
    assert_non_null(find(f, TD_PUBLISH, 1));
}

static void test_session_keeps_unconfirmed_events_within_bounds(void **state)
{
    struct fixture *f = *state;
    int n = 0;

    while (n < 2000 && publish(f, 10) == TIDINGS_OK)
        n++;
    assert_int_equal(n, 1000);
    assert_false(td_client_has_room(&f->client));
    greet(f, "[2 1 7 1 0 100000 10000000 {}]");
    assert_false(td_client_has_room(&f->client)); /* sent is not taken */
    assert_ok(give(f, "[4 1000 100000 10000000]"));
    assert_true(td_client_has_room(&f->client));
    assert_ok(publish(f, 10));
}

static void test_session_keeps_unconfirmed_bytes_within_bounds(void **state)
{
    struct fixture *f = *state;

    assert_ok(publish(f, TD_DATA_BYTES_MAX)); /* one may always be */
    assert_err(publish(f, 1), TIDINGS_EFULL);
}

static void test_session_sends_again_what_was_not_taken(void **state)
{
    struct fixture *f = *state;

    greet(f, WELCOME);
    assert_ok(publish(f, 10));
    assert_ok(publish(f, 10));
    td_client_ask(&f->client);
    lose(f);
    assert_int_equal(td_client_unconfirmed(&f->client), 2);
    forget(f);
    greet(f, "[2 1 7 2 1 1000 1000000 {}]"); /* the first was taken */
    assert_int_equal(td_client_unconfirmed(&f->client), 1);
    assert_non_null(find(f, TD_PUBLISH, 0));
    assert_null(find(f, TD_PUBLISH, 1));
    assert_ok(give(f, "[4 2 1000 1000000]"));
    assert_int_equal(td_client_unconfirmed(&f->client), 0);
}

static void test_session_asks_for_what_nobody_told(void **state)
{
    struct fixture *f = *state;

    greet(f, WELCOME);
    td_client_ask(&f->client);
    assert_null(find(f, TD_PING, 0)); /* nothing is out */
    assert_ok(publish(f, 10));
    td_client_ask(&f->client);
    assert_true(f->client.asked == 1);
    assert_true((find(f, TD_PING, 0) != NULL) !=
                (frame(f, TD_PUBLISH, 0)->u.publish.flags == TD_PUBLISH_ASK));
    forget(f);
    td_client_ask(&f->client);
    assert_null(find(f, TD_PING, 0)); /* it has been asked */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_session_sends_at_once_when_the_link_is_idle),
        TEST(test_session_makes_batches_of_load),
        TEST(test_session_keeps_within_its_credit),
        TEST(test_session_keeps_within_its_credit_for_bytes),
        TEST(test_session_keeps_unconfirmed_events_within_bounds),
        TEST(test_session_keeps_unconfirmed_bytes_within_bounds),
        TEST(test_session_sends_again_what_was_not_taken),
        TEST(test_session_asks_for_what_nobody_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
