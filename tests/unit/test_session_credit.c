/* Deliveries to the client's session, gaps in them, and its credit. */
#include "tests/unit/session_fixture.h"

/* ---- credit ---- */

static void test_session_returns_credit_at_half_a_window(void **state)
{
    struct fixture *f = *state;
    struct td_csub *sub;
    struct td_credit row;

    greet(f, WELCOME);
    sub = subscribe_live(f, 10);
    for (unsigned i = 1; i <= 5; i++) {
        assert_ok(deliver(f, sub->number, i));
        assert_ptr_equal(f->delivery.sub, sub);
        assert_int_equal(f->delivery.tag, i);
        assert_int_equal(f->delivery.events, 1);
    }
    assert_null(find(f, TD_CREDIT, 0)); /* nothing is handled */
    td_client_handled(&f->client, sub, 1, 4, 24);
    assert_null(find(f, TD_CREDIT, 0));
    td_client_handled(&f->client, sub, 1, 1, 6);
    assert_int_equal(frame(f, TD_CREDIT, 0)->u.credit.messages, 5);
    row = credit(f, 0);
    assert_int_equal(row.subscription, sub->number);
    assert_int_equal(row.taken, 5);
    assert_int_equal(row.events_limit, 15);
    assert_int_equal(row.bytes_limit, 30 + TD_WINDOW_BYTES);
}

static void test_session_returns_the_rest_lazily(void **state)
{
    struct fixture *f = *state;
    struct td_csub *sub;

    greet(f, WELCOME);
    sub = subscribe_live(f, 100);
    assert_ok(deliver(f, sub->number, 1));
    td_client_handled(&f->client, sub, 1, 1, 6);
    tick(f);
    assert_int_equal(f->next, f->now + TD_LAZY_MS);
    f->now += TD_LAZY_MS - 1;
    tick(f);
    assert_null(find(f, TD_CREDIT, 0));
    f->now++;
    tick(f);
    assert_non_null(find(f, TD_CREDIT, 0));
    f->now += TD_LAZY_MS;
    tick(f);
    assert_null(find(f, TD_CREDIT, 1)); /* there is nothing new to say */
}

/* A group deals by what its members have not handled: one that has nothing
 * left says so at once. */
static void test_session_returns_a_groups_credit_as_it_runs_dry(void **state)
{
    const struct tidings_sub_options options = {.window_events = 1000,
                                                .group = "g"};
    struct fixture *f = *state;
    struct td_csub *sub;

    greet(f, WELCOME);
    sub = subscribe_with(f, &options);
    answer(f, sub, 0);
    assert_ok(deliver_events(f, sub->number, 1, 3));
    assert_ok(deliver_events(f, sub->number, 4, 2));
    td_client_handled(&f->client, sub, 1, 4, 24);
    assert_null(find(f, TD_CREDIT, 0)); /* one is waiting */
    td_client_handled(&f->client, sub, 1, 1, 6);
    assert_int_equal(credit(f, 0).taken, 5);
    assert_true(f->client.credit_ms == TD_CLIENT_NEVER);
}

static void test_session_answers_every_64_messages(void **state)
{
    struct fixture *f = *state;
    struct td_csub *sub;

    greet(f, WELCOME);
    sub = subscribe_live(f, 1000);
    for (unsigned i = 1; i <= 64; i++) {
        assert_null(find(f, TD_CREDIT, 0));
        assert_ok(deliver(f, sub->number, i));
    }
    assert_int_equal(frame(f, TD_CREDIT, 0)->u.credit.messages, 64);
    assert_int_equal(frame(f, TD_CREDIT, 0)->u.credit.list.len, 1);
}

/* Handlers may be done with something of a session that is over. */
static void test_session_forgets_the_credit_of_an_old_session(void **state)
{
    struct fixture *f = *state;
    struct td_csub *sub;

    greet(f, WELCOME);
    sub = subscribe_live(f, 2);
    assert_ok(deliver(f, sub->number, 1));
    lose(f);
    td_client_handled(&f->client, sub, 1, 1, 6);
    greet(f, WELCOME);
    assert_int_equal(f->client.incarnation, 2);
    answer(f, sub, 0);
    td_client_handled(&f->client, sub, 1, 1, 6);
    assert_int_equal(sub->taken, 0);
    assert_null(find(f, TD_CREDIT, 0));
    td_client_handled(&f->client, sub, 2, 1, 6);
    assert_int_equal(sub->taken, 1);
}

/* Of what has ended, but is not forgotten yet, there is nothing to tell. */
static void test_session_tells_no_credit_of_what_has_ended(void **state)
{
    struct fixture *f = *state;
    struct td_csub *ended;
    struct td_csub *other;

    greet(f, WELCOME);
    ended = subscribe_live(f, 100);
    assert_ok(deliver(f, ended->number, 1));
    td_client_handled(&f->client, ended, 1, 1, 6);
    lose(f);
    td_client_unsubscribe(&f->client, ended);
    greet(f, WELCOME);
    other = subscribe_live(f, 1);
    assert_ok(deliver(f, other->number, 1));
    td_client_handled(&f->client, other, 2, 1, 6);
    assert_int_equal(credit(f, 0).subscription, other->number);
}

static void test_session_is_done_with_credit_once_closed(void **state)
{
    struct fixture *f = *state;
    struct td_csub *sub;

    greet(f, WELCOME);
    sub = subscribe_live(f, 2);
    assert_ok(deliver(f, sub->number, 1));
    td_client_close(&f->client);
    td_client_handled(&f->client, sub, 1, 1, 6); /* its link is closed */
    assert_null(find(f, TD_CREDIT, 1));
}

/* ---- deliveries ---- */

static void test_session_counts_what_arrives(void **state)
{
    struct fixture *f = *state;
    struct td_csub *sub;

    greet(f, WELCOME);
    sub = subscribe_live(f, 100);
    assert_ok(deliver_events(f, sub->number, 1, 3));
    assert_int_equal(f->delivery.events, 3);
    assert_ok(deliver_events(f, sub->number, 4, 2));
    assert_int_equal(sub->received, 5);
    assert_ok(deliver(f, 99, 1)); /* for one that has just ended */
    assert_null(f->delivery.sub);
    assert_int_equal(f->client.messages, 3);
}

/* Two subscriptions' events of 6 bytes each in one message, and a third's that
 * has just ended between them. */
#define PART(sub, tag, count, bytes)                                           \
    "[" #sub " " #tag " [[b(16) \"/s\" 0 [[\"a\" " #count " " #bytes " 1 "     \
                                                                     "0]]]]]"

static void test_session_takes_a_message_apart(void **state)
{
    struct fixture *f = *state;
    struct td_csub *one;
    struct td_csub *two;

    greet(f, WELCOME);
    one = subscribe_live(f, 100);
    two = subscribe_live(f, 100);
    assert_int_equal(one->number, 1);
    assert_int_equal(two->number, 2);
    assert_ok(give_bytes(
        f, "[8 [" PART(1, 1, 3, 18) PART(9, 7, 1, 6) PART(2, 1, 2, 12) "]]",
        36));
    assert_int_equal(f->deliveries, 2);
    assert_ptr_equal(f->delivery.sub, two);
    assert_int_equal(f->delivery.events, 2);
    assert_int_equal(f->delivery.body.len, 12);
    assert_int_equal(one->received, 3);
    assert_int_equal(two->received, 2);
    assert_int_equal(f->client.messages, 1);
}

/* What comes before the part that is wrong has arrived. */
static void test_session_ends_in_the_middle_of_a_message(void **state)
{
    static const struct {
        const char *text;
        size_t body;
    } rows[] = {
        {"[8 [" PART(1, 1, 3, 18) PART(2, 2, 1, 6) "]]", 24}, /* a hole */
        {"[8 [" PART(1, 1, 3, 18) PART(1, 1, 1, 6) "]]", 24}, /* again */
        {"[8 [" PART(1, 1, 3, 18) PART(2, 1, 1, 6) "]]", 23}, /* too few */
        {"[8 [" PART(1, 1, 3, 18) PART(2, 1, 1, 6) "]]", 25}, /* too many */
        {"[8 [" PART(1, 1, 3, 18) "7]]", 24},
        {"[8 [" PART(1, 1, 3, 18) "[2 1 []]]]", 24},
    };

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct fixture *f;
        struct td_csub *sub;

        assert_int_equal(setup((void **)&f), 0);
        greet(f, WELCOME);
        sub = subscribe_live(f, 100);
        subscribe_live(f, 100);
        assert_row(rows[i].text,
                   give_bytes(f, rows[i].text, rows[i].body) == TIDINGS_EPROTO);
        assert_row(rows[i].text, f->deliveries == 1 && !f->open);
        assert_int_equal(sub->received, 3);
        teardown((void **)&f);
    }
    (void)state;
}

/* Tags follow one another, or something is lost that nobody told of. */
static void test_session_ends_with_a_broker_that_miscounts(void **state)
{
    static const unsigned tags[] = {0, 1, 3, 5, 6, 0x7fffffff};

    for (size_t i = 0; i < TD_ARRAY_LEN(tags); i++) {
        struct fixture *f;
        struct td_csub *sub;

        assert_int_equal(setup((void **)&f), 0);
        greet(f, WELCOME);
        sub = subscribe_live(f, 100);
        assert_ok(deliver_events(f, sub->number, 1, 3));
        assert_row_at("tag", tags[i],
                      deliver(f, sub->number, tags[i]) == TIDINGS_EPROTO);
        assert_row_at("tag", tags[i], !f->delivery.sub);
        assert_row_at("tag", tags[i], !f->open);
        assert_non_null(strstr(f->client.last_text, "delivery"));
        teardown((void **)&f);
    }
    (void)state;
}

static void test_session_ends_with_a_broker_whose_batches_are_none(void **state)
{
    static const char *const rows[] = {
        "[8 []]",
        "[8 [7]]",
        "[8 [[1 1]]]",
        "[8 [[1 1 7]]]",
        "[8 [[1 1 []]]]",
        "[8 [[1 1 [[]]]]]",
        "[8 [[1 1 [7]]]]",
        "[8 [[1 1 [[b(16) \"/s\" 0 []]]]]]",
        "[8 [[1 1 [[b(16) \"/s\" 0 [[\"a\"]]]]]]]",
        "[8 [[1 1 [[b(16) \"/s\" 0 [[\"a\" 1 2 1 0]]]]]]]", /* no body */
    };

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct fixture *f;

        assert_int_equal(setup((void **)&f), 0);
        greet(f, WELCOME);
        subscribe_live(f, 100);
        assert_row(rows[i], give_body(f, rows[i]) == TIDINGS_EPROTO);
        assert_row(rows[i], !f->delivery.sub);
        teardown((void **)&f);
    }
    (void)state;
}

/* ---- gaps ---- */

static void test_session_tells_of_gaps(void **state)
{
    struct fixture *f = *state;
    struct td_csub *sub;

    greet(f, WELCOME);
    sub = subscribe_live(f, 0);
    forget(f);
    assert_ok(give(f, "[10 1 17 \"slow\"]"));
    assert_int_equal(f->status[0].kind, TIDINGS_GAP);
    assert_int_equal(f->status[0].err, TIDINGS_EFULL);
    assert_int_equal(f->status[0].count, 17);
    assert_string_equal(f->status[0].text, "missed 17 events: slow");
    assert_string_equal(f->gap_reason, "slow");
    assert_int_equal(f->client.missed, 17);
    assert_ok(give(f, "[10 1 2 \"oldest\"]"));
    assert_int_equal(sub->missed, 19);
    assert_int_equal(sub->received, 0);
}

static void test_session_tells_no_gap_that_nobody_wants(void **state)
{
    struct fixture *f = *state;
    struct td_csub *asked;
    struct td_csub *ending;
    char text[40];

    greet(f, WELCOME);
    ending = subscribe_live(f, 0);
    td_client_unsubscribe(&f->client, ending);
    asked = subscribe(f, 0);
    forget(f);
    assert_ok(give(f, "[10 99 1 \"slow\"]")); /* it has just ended */
    assert_ok(give(f, "[10 0 1 \"slow\"]"));
    assert_ok(give(f, "[10 1 1 \"unsubscribed\"]"));
    snprintf(text, sizeof(text), "[10 %u 1 \"slow\"]", asked->number);
    assert_ok(give(f, text));
    assert_int_equal(f->status_len, 0);
    assert_int_equal(f->client.missed, 0);

    ending->wants_rest = true; /* a bus that is drained asks what it left */
    assert_ok(give(f, "[10 1 1 \"unsubscribed\"]"));
    assert_int_equal(f->status_len, 1);
    assert_int_equal(f->client.missed, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_session_returns_credit_at_half_a_window),
        TEST(test_session_returns_the_rest_lazily),
        TEST(test_session_returns_a_groups_credit_as_it_runs_dry),
        TEST(test_session_answers_every_64_messages),
        TEST(test_session_forgets_the_credit_of_an_old_session),
        TEST(test_session_tells_no_credit_of_what_has_ended),
        TEST(test_session_is_done_with_credit_once_closed),
        TEST(test_session_counts_what_arrives),
        TEST(test_session_takes_a_message_apart),
        TEST(test_session_ends_in_the_middle_of_a_message),
        TEST(test_session_ends_with_a_broker_that_miscounts),
        TEST(test_session_ends_with_a_broker_whose_batches_are_none),
        TEST(test_session_tells_of_gaps),
        TEST(test_session_tells_no_gap_that_nobody_wants),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
