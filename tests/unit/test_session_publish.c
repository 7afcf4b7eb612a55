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
    td_client_ask(&f->client, f->client.packer.sequence);
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

/* ---- somebody waits ---- */

#define PACKED f->client.packer.sequence

/* The nth PUBLISH has so many events, and asks for an answer or does not. */
static void expect(struct fixture *f, uint32_t nth, unsigned events, bool asks)
{
    const struct td_frame *sent = frame(f, TD_PUBLISH, nth);

    assert_int_equal(events_of(sent->u.publish.batches), events);
    assert_int_equal(sent->u.publish.flags, asks ? TD_PUBLISH_ASK : 0);
}

/* Long after whatever was sent before. */
static void publish_late(struct fixture *f)
{
    f->client.sent_base_us = -TD_HEARTBEAT_MS * 1000;
    assert_ok(publish(f, 10));
}

static void test_session_asks_for_what_nobody_told(void **state)
{
    struct fixture *f = *state;

    greet(f, WELCOME);
    td_client_ask(&f->client, PACKED);
    assert_null(find(f, TD_PING, 0)); /* nothing is out */
    publish_late(f);
    expect(f, 0, 1, false);
    td_client_ask(&f->client, PACKED);
    assert_non_null(find(f, TD_PING, 0));
    forget(f);
    td_client_ask(&f->client, PACKED);
    assert_null(find(f, TD_PING, 0)); /* it has been asked */
    assert_ok(give(f, "[4 1 1000 1000000]"));
    td_client_ask(&f->client, PACKED);
    assert_null(find(f, TD_PING, 0)); /* and answered */
}

/* A publisher that has no room does not wait until the broker tells by itself. */
static void test_session_asks_for_room(void **state)
{
    struct fixture *f = *state;

    f->client.options.unconfirmed_events = 4;
    greet(f, WELCOME);
    td_client_ask_room(&f->client);
    for (uint32_t i = 0; i < 4; i++) {
        publish_late(f);
        expect(f, i, 1, false);
    }
    assert_err(publish(f, 10), TIDINGS_EFULL);
    assert_null(find(f, TD_PING, 0));
    td_client_ask_room(&f->client);
    td_client_ask_room(&f->client);
    assert_non_null(find(f, TD_PING, 0));
    assert_null(find(f, TD_PING, 1));
    assert_ok(give(f, "[4 4 1000 1000000]"));
    assert_true(td_client_has_room(&f->client));
    td_client_ask_room(&f->client);
    assert_null(find(f, TD_PING, 1)); /* nothing is out */
}

/* One round trip, however many there are. */
static void test_session_sends_what_is_waited_for_without_an_answer(
    void **state)
{
    struct fixture *f = *state;

    greet(f, WELCOME);
    for (int i = 0; i < 10; i++)
        assert_ok(publish(f, 10));
    expect(f, 0, 1, true);
    assert_null(find(f, TD_PUBLISH, 1));

    td_client_ask(&f->client, PACKED);

    expect(f, 1, 9, true);
    assert_null(find(f, TD_PING, 0));
    assert_ok(give(f, "[4 1 1000 1000000]"));
    td_client_ask(&f->client, PACKED);
    assert_ok(give(f, "[4 10 1000 1000000]"));
    assert_null(find(f, TD_PUBLISH, 2));
    assert_null(find(f, TD_PING, 0));
    assert_true(f->client.idle);
}

/* The answer that is out is for the first only. */
static void test_session_asks_for_all_that_is_out(void **state)
{
    struct fixture *f = *state;

    greet(f, WELCOME);
    assert_ok(publish(f, 10));
    assert_ok(publish(f, TD_BATCH_BYTES)); /* full, so it leaves */
    td_client_pump(&f->client);
    expect(f, 0, 1, true);
    expect(f, 1, 1, false);

    td_client_ask(&f->client, PACKED);

    assert_non_null(find(f, TD_PING, 0));
    assert_null(find(f, TD_PING, 1));
    assert_ok(give(f, "[4 1 1000 1000000]"));
    td_client_ask(&f->client, PACKED);
    assert_null(find(f, TD_PING, 1)); /* its answer is still to come */
    assert_false(f->client.idle);
    assert_ok(give(f, "[4 2 1000 1000000]"));
    assert_true(f->client.idle);
}

/* Many that wait share batches, as many that publish do. */
static void test_session_makes_a_batch_of_what_others_wait_for(void **state)
{
    struct fixture *f = *state;

    greet(f, WELCOME);
    assert_ok(publish(f, 10));
    td_client_ask(&f->client, 1);
    assert_ok(publish(f, 10));
    td_client_ask(&f->client, 2);
    assert_ok(publish(f, 10));
    td_client_ask(&f->client, 3);
    assert_null(find(f, TD_PUBLISH, 1));

    assert_ok(give(f, "[4 1 1000 1000000]"));

    expect(f, 1, 2, true);
    td_client_ask(&f->client, 2);
    td_client_ask(&f->client, 3);
    assert_null(find(f, TD_PUBLISH, 2));
    assert_null(find(f, TD_PING, 0));
}

static void test_session_waits_for_credit_whoever_waits(void **state)
{
    struct fixture *f = *state;

    greet(f, "[2 1 7 1 0 3 1000000 {}]");
    for (int i = 0; i < 4; i++)
        assert_ok(publish(f, 10));
    td_client_ask(&f->client, PACKED); /* one is out, three are too many */
    assert_null(find(f, TD_PUBLISH, 1));
    assert_ok(publish(f, 10));
    assert_ok(give(f, "[4 1 4 1000000]"));
    td_client_ask(&f->client, 4);
    expect(f, 1, 3, true);
    assert_null(find(f, TD_PUBLISH, 2)); /* and the last has none left */
    assert_null(find(f, TD_PING, 0));
}

static void test_session_asks_again_on_the_next_link(void **state)
{
    struct fixture *f = *state;

    greet(f, WELCOME);
    for (int i = 0; i < 3; i++)
        assert_ok(publish(f, 10));
    td_client_ask(&f->client, PACKED);
    assert_ok(publish(f, 10)); /* nobody waits for this one */
    lose(f);
    forget(f);
    greet(f, "[2 1 7 2 0 1000 1000000 {}]");

    expect(f, 0, 1, true);
    expect(f, 1, 2, true);
    assert_null(find(f, TD_PUBLISH, 2));
    assert_ok(give(f, "[4 3 1000 1000000]"));
    expect(f, 2, 1, true);
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
        TEST(test_session_asks_for_room),
        TEST(test_session_sends_what_is_waited_for_without_an_answer),
        TEST(test_session_asks_for_all_that_is_out),
        TEST(test_session_makes_a_batch_of_what_others_wait_for),
        TEST(test_session_waits_for_credit_whoever_waits),
        TEST(test_session_asks_again_on_the_next_link),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
