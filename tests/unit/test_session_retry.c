/* Requests in the session: those whose link is lost, and those that are tried
 * again. */
#include "tests/unit/request_fixture.h"

/* ---- the link ---- */

static void test_request_without_a_broker_waits_until_its_deadline(void **state)
{
    struct fixture *f = *state;
    struct td_request r = plain(f, "a");

    f->open_err = TIDINGS_EUNREACH;
    ask(f, &r);
    at(f, MS - 1);
    assert_int_equal(f->answered_len, 0);
    assert_true(f->next <= f->now + 1);
    at(f, 1);

    assert_int_equal(f->answered[0].code, TIDINGS_EUNREACH);
    assert_int_equal(r.attempts, 0);
    assert_int_equal(f->client.requests.info.refused, 1);
}

static void test_request_made_before_the_link_goes_with_it(void **state)
{
    struct fixture *f = *state;
    struct td_request r = plain(f, "a");

    ask(f, &r);
    greet(f, WELCOME);
    assert_int_equal(row(f, 0).number, r.number);
    assert_true(row(f, 0).left_ms <= MS);
    respond(f, &r, 0, 0);
    assert_int_equal(f->answered[0].code, TIDINGS_OK);
}

static void test_request_is_lost_with_its_link(void **state)
{
    struct fixture *f = *state;
    struct td_request sent = plain(f, "a");
    struct td_request waits = plain(f, "a");

    greet(f, WELCOME);
    ask(f, &sent);
    ask(f, &waits);
    lose(f);

    assert_int_equal(f->answered_len, 1);
    assert_ptr_equal(f->answered[0].request, &sent);
    assert_int_equal(f->answered[0].code, TIDINGS_ELOST);
    reopen(f);
    greet(f, ANEW);
    assert_int_equal(row(f, 0).number, waits.number);
    drop(f);
}

static void test_request_idempotent_is_sent_on_the_next_link(void **state)
{
    struct fixture *f = *state;
    struct td_request r = again(f, 3);
    uint64_t number;

    greet(f, WELCOME);
    ask(f, &r);
    number = r.number;
    lose(f);
    assert_int_equal(f->answered_len, 0);
    reopen(f);
    greet(f, ANEW);

    assert_int_equal(row(f, 0).number, r.number);
    assert_true(r.number > number);
    assert_int_equal(r.attempts, 2);
    respond(f, &r, 0, 0);
    assert_int_equal(f->answered[0].code, TIDINGS_OK);
    assert_int_equal(f->client.requests.info.retries, 1);
}

static void test_request_idempotent_is_lost_when_no_link_comes(void **state)
{
    struct fixture *f = *state;
    struct td_request r = again(f, 3);

    greet(f, WELCOME);
    ask(f, &r);
    f->open_err = TIDINGS_EUNREACH;
    lose(f);
    at(f, MS);

    assert_int_equal(f->answered[0].code, TIDINGS_ELOST);
}

/* ---- trying again ---- */

static void test_request_tries_again_what_may_do_better(void **state)
{
    static const struct {
        unsigned code;
        unsigned status;
        bool again;
    } rows[] = {
        {TIDINGS_ELOST, 0, true},      {TIDINGS_EFULL, 0, true},
        {TIDINGS_EREMOTE, 503, true},  {TIDINGS_EREMOTE, 500, false},
        {TIDINGS_EREMOTE, 404, false}, {TIDINGS_EINVAL, 0, false},
        {TIDINGS_EBREAKER, 0, false},  {TIDINGS_ENORESPONDER, 0, false},
        {TIDINGS_ETIMEDOUT, 0, false}, {TIDINGS_OK, 0, false},
    };
    struct fixture *f = *state;

    greet(f, WELCOME);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct td_request r = again(f, 3);

        forget(f);
        ask(f, &r);
        respond(f, &r, rows[i].code, rows[i].status);
        if ((f->answered_len == 0) != rows[i].again)
            print_error("row %zu\n", i);
        assert_int_equal(f->answered_len == 0, rows[i].again);
        td_client_withdraw_request(&f->client, &r);
    }
}

static void test_request_rests_longer_each_time(void **state)
{
    struct fixture *f = *state;
    struct td_request r = again(f, 10);
    int64_t ms = TD_REQUEST_RETRY_MS;

    r.deadline_ms = f->now + 60000;
    greet(f, WELCOME);
    ask(f, &r);
    for (unsigned i = 1; i < 10; i++) {
        int64_t rested;

        respond(f, &r, TIDINGS_ELOST, 0);
        rested = until_sent(f, &r);
        assert_true(rested >= ms / 2 && rested <= ms);
        assert_int_equal(r.attempts, i + 1);
        ms =
            ms * 2 > TD_REQUEST_RETRY_MAX_MS ? TD_REQUEST_RETRY_MAX_MS : ms * 2;
    }
    respond(f, &r, TIDINGS_ELOST, 0);
    assert_int_equal(f->answered[0].code, TIDINGS_ELOST);
    assert_int_equal(f->client.requests.info.retries, 9);
}

static void test_request_has_a_budget_for_retries(void **state)
{
    struct fixture *f = *state;
    unsigned made = 0;

    greet(f, WELCOME);
    for (unsigned i = 0; i < 100; i++) {
        struct td_request r = again(f, 2);

        forget(f);
        ask(f, &r);
        respond(f, &r, TIDINGS_EFULL, 0);
        made += f->answered_len == 0;
        td_client_withdraw_request(&f->client, &r);
    }
    /* Ten at once, and one for each ten. */
    assert_true(made >= 19 && made <= 20);
    assert_int_equal(f->client.requests.info.retries, made);
    assert_int_equal(f->client.requests.info.retries_cut, 100 - made);
}

static void test_request_waits_for_one_that_was_there(void **state)
{
    struct fixture *f = *state;
    struct td_request r = again(f, 3);

    greet(f, WELCOME);
    ask(f, &r);
    respond(f, &r, TIDINGS_ELOST, 0);
    until_sent(f, &r);
    respond(f, &r, TIDINGS_ENORESPONDER, 0);
    assert_int_equal(f->answered_len, 0);
    until_sent(f, &r);
    respond(f, &r, 0, 0);
    assert_int_equal(f->answered[0].code, TIDINGS_OK);
    assert_int_equal(r.attempts, 3);
}

static void test_request_gives_each_attempt_its_time(void **state)
{
    struct fixture *f = *state;
    struct td_request r = again(f, 2);
    uint64_t first;

    r.attempt_ms = 100;
    greet(f, WELCOME);
    ask(f, &r);
    first = r.number;
    assert_int_equal(row(f, 0).left_ms, 100);
    at(f, 99);
    assert_int_equal(r.state, TD_REQUEST_SENT);
    at(f, 1);
    assert_int_equal(r.state, TD_REQUEST_RESTING);
    until_sent(f, &r);
    assert_true(r.number > first);
    at(f, 100); /* the last one */
    assert_int_equal(f->answered[0].code, TIDINGS_ETIMEDOUT);
    assert_int_equal(r.attempts, 2);
}

static void test_request_does_not_rest_past_its_deadline(void **state)
{
    struct fixture *f = *state;
    struct td_request r = again(f, 3);

    r.deadline_ms = f->now + 5;
    greet(f, WELCOME);
    ask(f, &r);
    respond(f, &r, TIDINGS_ELOST, 0);
    assert_int_equal(f->answered[0].code, TIDINGS_ELOST);
    assert_int_equal(f->client.requests.info.retries, 0);
}

/* The process stood still while they rested: of some the deadline has passed,
 * and they do not go with the others. */
static void test_request_is_not_tried_again_past_its_deadline(void **state)
{
    struct fixture *f = *state;
    struct td_request r[8];

    greet(f, WELCOME);
    for (unsigned i = 0; i < 8; i++) {
        r[i] = again(f, 3);
        r[i].deadline_ms += i % 2 ? 5 * MS : 0;
        ask(f, &r[i]);
    }
    tick(f);
    for (unsigned i = 0; i < 8; i++)
        respond(f, &r[i], TIDINGS_EFULL, 0);
    forget(f);
    at(f, 2 * MS);

    assert_int_equal(f->answered_len, 4);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(r[i].state, i % 2 ? TD_REQUEST_SENT : TD_REQUEST_DONE);
        assert_int_equal(r[i].attempts, i % 2 ? 2 : 1);
    }
    assert_int_equal(f->answered[0].code, TIDINGS_ETIMEDOUT);
    drop(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_request_without_a_broker_waits_until_its_deadline),
        TEST(test_request_made_before_the_link_goes_with_it),
        TEST(test_request_is_lost_with_its_link),
        TEST(test_request_idempotent_is_sent_on_the_next_link),
        TEST(test_request_idempotent_is_lost_when_no_link_comes),
        TEST(test_request_tries_again_what_may_do_better),
        TEST(test_request_rests_longer_each_time),
        TEST(test_request_has_a_budget_for_retries),
        TEST(test_request_waits_for_one_that_was_there),
        TEST(test_request_gives_each_attempt_its_time),
        TEST(test_request_does_not_rest_past_its_deadline),
        TEST(test_request_is_not_tried_again_past_its_deadline),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
