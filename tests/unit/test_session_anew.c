/* The client's session when it is not resumed: because the broker would not,
 * or broke the rules; and subscriptions that end while that is open. */
#include "tests/unit/session_fixture.h"

/* ---- not resumed ---- */

static void test_resume_refused_is_a_new_session(void **state)
{
    struct fixture *f = *state;
    struct td_csub *sub;

    greet(f, GREETED);
    sub = subscribe_live(f, 7);
    assert_ok(deliver_events(f, sub->number, 1, 3));
    assert_ok(give(f, "[10 1 30 \"slow\"]"));
    td_client_handled(&f->client, sub, 1, 1, 6);
    lose(f);
    reopen(f);
    greet(f, ANEW);

    assert_true(was_told(f, TIDINGS_UP));
    assert_true(was_told(f, TIDINGS_NEW_SESSION));
    assert_false(was_told(f, TIDINGS_NEW_EPOCH));
    assert_non_null(strstr(text_of(f, TIDINGS_NEW_SESSION), "may be missing"));
    assert_int_equal(f->client.incarnation, 2);
    assert_int_equal(sub->state, TD_CSUB_ASKED);
    assert_non_null(find(f, TD_SUBSCRIBE, 0));
    assert_null(find(f, TD_CREDIT, 0));
    answer(f, sub, 0);
    assert_ok(deliver(f, sub->number, 1));
    td_client_handled(&f->client, sub, 1, 2, 12); /* of the old session */
    assert_int_equal(sub->taken, 0);
    lose(f);
    reopen(f);
    assert_true(said_hello(f, "{" TOKEN " \"subscriptions\" [[1 1 0]]}"));
}

static void test_resume_answered_with_bye_is_over(void **state)
{
    static const struct {
        unsigned code;
        bool resumes;
    } rows[] = {
        {TIDINGS_ETIMEDOUT, true}, /* a broker that was stopped itself */
        {TIDINGS_ESHUTDOWN, false},
        {TIDINGS_ELIMIT, false},
        {TIDINGS_EEXIST, false},
    };

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct fixture *f;
        struct td_csub *sub;

        assert_int_equal(setup((void **)&f), 0);
        greet(f, GREETED);
        sub = subscribe_live(f, 0);
        lose(f);
        reopen(f);
        bye(f, rows[i].code);
        assert_row_at("row", i,
                      sub->state ==
                          (rows[i].resumes ? TD_CSUB_AWAY : TD_CSUB_WANTED));
        reopen(f);
        greet(f, GREETED);
        assert_row_at("row", i, was_told(f, TIDINGS_NEW_SESSION));
        assert_row_at("row", i, sub->state == TD_CSUB_ASKED);
        teardown((void **)&f);
    }
    (void)state;
}

/* Another broker has none of it, and may hand on again what is sent again. */
static void test_resume_is_no_matter_for_another_broker(void **state)
{
    struct fixture *f = *state;
    struct td_csub *sub;

    greet(f, GREETED);
    sub = subscribe_live(f, 0);
    assert_ok(publish(f, 10));
    assert_ok(publish(f, 10)); /* waits for an answer */
    assert_ok(publish(f, 10));
    assert_ok(give(f, "[4 1 1000 1000000]"));
    assert_ok(publish(f, 10)); /* never sent */
    lose(f);
    reopen(f);
    assert_true(said_hello(f, "{" TOKEN " \"subscriptions\" [[1 0 0]]}"));
    greet(f, "[2 1 8 1 0 1000 1000000 {" TOKEN "}]");

    assert_true(was_told(f, TIDINGS_NEW_EPOCH));
    assert_false(was_told(f, TIDINGS_NEW_SESSION));
    assert_int_equal(count_of(f, TIDINGS_NEW_EPOCH), 2);
    assert_non_null(
        strstr(text_of(f, TIDINGS_NEW_EPOCH), "; 2 are sent again"));
    assert_int_equal(f->client.incarnation, 2);
    assert_int_equal(sub->state, TD_CSUB_ASKED);

    lose(f);
    reopen(f);
    greet(f, "[2 1 9 1 3 1000 1000000 {" TOKEN "}]"); /* it knows them */
    assert_int_equal(count_of(f, TIDINGS_NEW_EPOCH), 0);
    assert_null(strstr(text_of(f, TIDINGS_NEW_EPOCH), "again"));
}

/* ---- hostile ---- */

static void test_resume_ends_with_a_broker_that_breaks_the_rules(void **state)
{
    static const struct {
        bool asked; /* to resume */
        const char *welcome;
    } rows[] = {
        {false, "[2 1 7 1 0 1 1 {\"token\" b(15)}]"},
        {false, "[2 1 7 1 0 1 1 {\"token\" b(17)}]"},
        {false, "[2 1 7 1 0 1 1 {\"token\" ''}]"},
        {false, "[2 1 7 1 0 1 1 {\"token\" \"aaaaaaaaaaaaaaaa\"}]"},
        {false, "[2 1 7 1 0 1 1 {\"token\" nil}]"},
        {false, "[2 1 7 1 0 1 1 {\"token\" b(16) \"resumed\" 1}]"},
        {false, "[2 1 7 1 0 1 1 {\"token\" b(16) \"resumed\" nil}]"},
        {false, RESUMED}, /* what was not asked for */
        {true, "[2 1 8 1 0 1 1 {\"token\" b(16) \"resumed\" true}]"},
        {true, "[2 1 7 1 9 1 1 {\"token\" b(16) \"resumed\" true}]"},
        {true, "[2 1 7 1 0 1 1 {\"token\" b(3) \"resumed\" true}]"},
        {true, "[2 2 7 1 0 1 1 {\"token\" b(16) \"resumed\" true}]"},
    };

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct fixture *f;
        struct td_csub *sub = NULL;

        assert_int_equal(setup((void **)&f), 0);
        if (rows[i].asked) {
            greet(f, GREETED);
            sub = subscribe_live(f, 0);
            lose(f);
        }
        reopen(f);
        assert_row(rows[i].welcome, give(f, rows[i].welcome) == TIDINGS_EPROTO);
        assert_row(rows[i].welcome, !f->open);
        assert_row(rows[i].welcome, !was_told(f, TIDINGS_UP));
        assert_row(rows[i].welcome, !sub || sub->state == TD_CSUB_WANTED);
        reopen(f);
        assert_row(rows[i].welcome,
                   said_hello(f, rows[i].asked ? "{" TOKEN "}" : "{}"));
        teardown((void **)&f);
    }
    (void)state;
}

/* A session that is new cannot be resumed by the token of the one before. */
static void test_resume_ends_with_a_broker_that_resumes_twice(void **state)
{
    struct fixture *f = *state;

    greet(f, GREETED);
    lose(f);
    resume(f);
    assert_err(give(f, RESUMED), TIDINGS_EPROTO);
    reopen(f);
    assert_true(said_hello(f, "{" TOKEN "}"));
    assert_err(give(f, RESUMED), TIDINGS_EPROTO);
}

/* ---- subscriptions that end meanwhile ---- */

/* The HELLO that is out lists it, so the broker is to be told. */
static void test_resume_unsubscribes_what_ended_in_the_greeting(void **state)
{
    struct fixture *f = *state;
    struct td_csub *sub;

    greet(f, GREETED);
    sub = subscribe_live(f, 0);
    assert_ok(deliver(f, sub->number, 1));
    td_client_handled(&f->client, sub, 1, 1, 6);
    lose(f);
    reopen(f);
    td_client_unsubscribe(&f->client, sub);
    td_client_unsubscribe(&f->client, sub);
    assert_int_equal(sub->state, TD_CSUB_ENDING);
    greet(f, RESUMED);
    assert_int_equal(sub->state, TD_CSUB_ENDING);
    assert_int_equal(credit(f, 0).taken, 1); /* which count as delivered */
    assert_int_equal(frame(f, TD_UNSUBSCRIBE, 0)->u.unsubscribe.subscription,
                     sub->number);
    assert_null(find(f, TD_UNSUBSCRIBE, 1));
    assert_ok(deliver(f, sub->number, 2));
    answer(f, sub, 0);
    assert_int_equal(sub->state, TD_CSUB_ENDED);
}

static void test_resume_needs_no_unsubscribe_in_a_new_session(void **state)
{
    struct fixture *f = *state;
    struct td_csub *refused;
    struct td_csub *lost;

    greet(f, GREETED);
    refused = subscribe_live(f, 0);
    lose(f);
    reopen(f);
    td_client_unsubscribe(&f->client, refused);
    greet(f, ANEW);
    assert_int_equal(refused->state, TD_CSUB_ENDED);
    assert_null(find(f, TD_UNSUBSCRIBE, 0));
    assert_null(find(f, TD_SUBSCRIBE, 0));

    lost = subscribe_live(f, 0);
    lose(f);
    reopen(f);
    td_client_unsubscribe(&f->client, lost);
    lose(f);
    assert_int_equal(lost->state, TD_CSUB_ENDED);
    reopen(f);
    assert_true(said_hello(f, NO_SUBS));
}

/* It is away, but the HELLO that is out, or will be, does not list it. */
static void test_resume_needs_no_unsubscribe_of_what_is_not_listed(void **state)
{
    struct fixture *f = *state;
    struct td_csub *early;
    struct td_csub *late;

    greet(f, GREETED);
    early = subscribe_live(f, 0);
    late = subscribe_live(f, 0);
    lose(f);
    resume(f);
    lose(f);
    td_client_unsubscribe(&f->client, early);
    assert_int_equal(early->state, TD_CSUB_ENDED);
    td_client_break(&f->client, "a malformed batch"); /* that had waited */
    reopen(f);
    assert_true(said_hello(f, "{" TOKEN "}"));
    td_client_unsubscribe(&f->client, late);
    assert_int_equal(late->state, TD_CSUB_ENDED);
    td_client_forget(&f->client, late);
    greet(f, GREETED);
    assert_null(find(f, TD_SUBSCRIBE, 0));
    assert_null(find(f, TD_UNSUBSCRIBE, 0));
}

/* Nobody is left to end it at the broker: so it is not to be listed. */
static void test_resume_greets_again_without_what_was_forgotten(void **state)
{
    struct fixture *f = *state;
    struct td_csub *sub;
    struct td_csub *other;

    greet(f, GREETED);
    sub = subscribe_live(f, 0);
    other = subscribe_live(f, 0);
    lose(f);
    reopen(f);
    td_client_unsubscribe(&f->client, sub);
    td_client_forget(&f->client, sub);
    tick(f);
    assert_int_equal(f->client.state, TD_CLIENT_DOWN);
    reopen(f);
    assert_true(said_hello(f, "{" TOKEN " \"subscriptions\" [[2 0 0]]}"));
    greet(f, RESUMED);
    assert_int_equal(other->state, TD_CSUB_LIVE);
    td_client_unsubscribe(&f->client, other);
    td_client_forget(&f->client, other); /* the broker has been told */
    tick(f);
    assert_int_equal(f->client.state, TD_CLIENT_READY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_resume_refused_is_a_new_session),
        TEST(test_resume_answered_with_bye_is_over),
        TEST(test_resume_is_no_matter_for_another_broker),
        TEST(test_resume_ends_with_a_broker_that_breaks_the_rules),
        TEST(test_resume_ends_with_a_broker_that_resumes_twice),
        TEST(test_resume_unsubscribes_what_ended_in_the_greeting),
        TEST(test_resume_needs_no_unsubscribe_in_a_new_session),
        TEST(test_resume_needs_no_unsubscribe_of_what_is_not_listed),
        TEST(test_resume_greets_again_without_what_was_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
