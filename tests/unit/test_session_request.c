/* Requests in the session: what is sent together, who is answered, and what a
 * broker may not answer. */
#include "tests/unit/request_fixture.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

/* ---- one ---- */

static void test_request_is_answered(void **state)
{
    struct fixture *f = *state;
    struct td_request r = plain(f, "user.get");

    greet(f, WELCOME);
    ask(f, &r);
    assert_int_equal(row(f, 0).number, r.number);
    assert_int_equal(row(f, 0).left_ms, MS);
    assert_int_equal(row(f, 0).type.len, strlen("user.get"));
    respond(f, &r, 0, 0);

    assert_int_equal(f->answered_len, 1);
    assert_ptr_equal(f->answered[0].request, &r);
    assert_int_equal(f->answered[0].code, TIDINGS_OK);
    assert_string_equal(f->answered[0].instance, "i-1");
    assert_int_equal(r.attempts, 1);
    assert_int_equal(r.state, TD_REQUEST_DONE);
    assert_int_equal(f->client.requests.info.answered, 1);
    assert_int_equal(f->client.requests.info.in_flight, 0);
    assert_int_equal(f->client.messages, 1);
}

static void test_request_fails_with_its_status(void **state)
{
    struct fixture *f = *state;
    struct td_request r = plain(f, "a");

    greet(f, WELCOME);
    ask(f, &r);
    respond(f, &r, TIDINGS_EREMOTE, 404);

    assert_int_equal(f->answered[0].code, TIDINGS_EREMOTE);
    assert_int_equal(f->answered[0].status, 404);
    assert_string_equal(f->answered[0].text, "so");
    assert_int_equal(f->client.requests.info.errors, 1);
}

static void test_request_that_nobody_answers_times_out(void **state)
{
    struct fixture *f = *state;
    struct td_request r = plain(f, "a");

    greet(f, WELCOME);
    ask(f, &r);
    at(f, MS - 1);
    assert_int_equal(f->answered_len, 0);
    assert_int_equal(f->next, f->now + 1);
    at(f, 1);

    assert_int_equal(f->answered[0].code, TIDINGS_ETIMEDOUT);
    assert_int_equal(f->client.requests.info.timeouts, 1);
}

static void test_request_answered_late_is_counted(void **state)
{
    struct fixture *f = *state;
    struct td_request r = plain(f, "a");
    struct td_request next = plain(f, "a");

    greet(f, WELCOME);
    ask(f, &r);
    at(f, MS);
    next.deadline_ms += MS;
    ask(f, &next);
    respond(f, &r, 0, 0);
    respond(f, &next, 0, 0);
    respond(f, &next, 0, 0); /* and once more */

    assert_int_equal(f->answered_len, 2);
    assert_ptr_equal(f->answered[1].request, &next);
    assert_int_equal(f->client.requests.info.late, 2);
}

static void test_request_numbers_never_come_again(void **state)
{
    struct fixture *f = *state;
    uint64_t last = 0;

    greet(f, WELCOME);
    for (unsigned i = 0; i < 20; i++) {
        struct td_request r = plain(f, "a");

        ask(f, &r);
        assert_true(r.number > last);
        last = r.number;
        respond(f, &r, 0, 0);
    }
}

static void test_request_withdrawn_is_not_answered(void **state)
{
    struct fixture *f = *state;
    struct td_request r = plain(f, "a");

    greet(f, WELCOME);
    ask(f, &r);
    td_client_withdraw_request(&f->client, &r);
    td_client_withdraw_request(&f->client, &r);
    assert_int_equal(f->client.requests.info.withdrawn, 1);
    respond(f, &r, 0, 0);
    at(f, MS);

    assert_int_equal(f->answered_len, 0);
    assert_int_equal(f->client.requests.info.late, 1);
}

/* ---- together ---- */

static void test_request_waits_for_company_while_one_is_out(void **state)
{
    struct fixture *f = *state;
    struct td_request r[4];

    greet(f, WELCOME);
    for (unsigned i = 0; i < 4; i++) {
        r[i] = plain(f, "a");
        ask(f, &r[i]);
    }
    assert_null(find(f, TD_REQUEST, 1));
    assert_true(td_client_due_ms(&f->client) <= f->now);
    tick(f);

    assert_int_equal(rows_of(frame(f, TD_REQUEST, 0)), 1);
    assert_int_equal(rows_of(frame(f, TD_REQUEST, 1)), 3);
    assert_true(td_client_due_ms(&f->client) > f->now);
    drop(f);
}

static void test_request_bundles_have_bounds(void **state)
{
    struct fixture *f = *state;
    static struct td_request r[TD_BUNDLE_ROWS + 2];
    static const char data[TD_BATCH_BYTES / 2 + 1];
    struct td_request big[3];

    greet(f, WELCOME);
    for (unsigned i = 0; i < TD_BUNDLE_ROWS + 2; i++) {
        r[i] = plain(f, "a");
        ask(f, &r[i]);
    }
    assert_int_equal(rows_of(frame(f, TD_REQUEST, 1)), TD_BUNDLE_ROWS);
    tick(f);
    assert_int_equal(rows_of(frame(f, TD_REQUEST, 2)), 1);
    for (unsigned i = 0; i < 3; i++) {
        big[i] = plain(f, "a");
        big[i].data = (struct td_str){data, sizeof(data)};
        ask(f, &big[i]);
    }
    tick(f);
    assert_int_equal(rows_of(frame(f, TD_REQUEST, 3)), 1);
    assert_int_equal(rows_of(frame(f, TD_REQUEST, 5)), 1);
    assert_null(find(f, TD_REQUEST, 6));
    drop(f);
}

/* As a bus that is closed does: what it looks at does not grow with what it has
 * looked at before. */
static void test_requests_are_taken_back_at_once(void **state)
{
    struct fixture *f = *state;
    struct td_request *r = calloc(TD_REQUESTS_MAX, sizeof(*r));
    unsigned taken = 0;
    uint32_t from = 0;
    clock_t began;

    assert_non_null(r);
    for (unsigned i = 0; i < TD_REQUESTS_MAX; i++) { /* no link: none is sent */
        r[i] = plain(f, "a");
        ask(f, &r[i]);
    }
    began = clock();
    while (td_client_take_request(&f->client, &from))
        taken++;
    assert_int_equal(taken, TD_REQUESTS_MAX);
    assert_true(clock() - began < CLOCKS_PER_SEC / 2);
    free(r);
}

static void test_request_has_room_for_so_many(void **state)
{
    struct fixture *f = *state;
    static const char data[TD_DATA_BYTES_MAX];
    struct td_request r[10];
    unsigned n = 0;

    for (; n < 10; n++) { /* no link: none is sent */
        r[n] = plain(f, "a");
        r[n].data = (struct td_str){data, sizeof(data)};
        if (td_client_request(&f->client, &r[n], f->now))
            break;
    }
    assert_int_equal(n, TD_REQUESTS_BYTES / TD_DATA_BYTES_MAX - 1);
    assert_err(td_client_request(&f->client, &r[n], f->now), TIDINGS_EFULL);
    greet(f, WELCOME);
    ask(f, &r[n]);
    assert_int_equal(f->client.requests.held, 0);
    drop(f);
}

/* Who is called later keeps what he is told until then; who waits has it at
 * once. */
static void test_request_answers_not_heard_have_a_bound(void **state)
{
    struct fixture *f = *state;
    struct td_requests *q = &f->client.requests;
    struct td_request called = again(f, 3);
    struct td_request waits = plain(f, "a");
    struct td_request many = plain(f, "a");
    struct td_request next = plain(f, "a");

    greet(f, WELCOME);
    waits.timed = false;
    many.flags = TD_REQUEST_MANY;
    many.timed = false;
    ask(f, &called);
    ask(f, &waits);
    ask(f, &many);
    tick(f);
    q->kept = TD_RESPONSES_BYTES - 4;
    assert_err(td_client_request(&f->client, &next, f->now), TIDINGS_OK);
    assert_ok(respond_data(f, &many, 5, 1));
    assert_ok(respond_data(f, &waits, 5, 0));
    assert_ok(respond_data(f, &called, 5, 0));
    assert_ok(respond_data(f, &many, 4, 0));
    assert_int_equal(f->answered_len, 4);
    assert_int_equal(f->answered[0].code, TIDINGS_ELOST);
    assert_int_equal(f->answered[0].len, 0);
    assert_string_equal(f->answered[0].instance, "i-1");
    assert_int_equal(f->answered[1].code, TIDINGS_OK);
    assert_int_equal(f->answered[1].len, 5);
    assert_int_equal(f->answered[2].code, TIDINGS_ELOST); /* not again */
    assert_true(strlen(f->answered[2].text) > 0);
    assert_int_equal(f->answered[3].code, TIDINGS_OK);
    assert_int_equal(q->info.lost, 1);

    q->kept = TD_RESPONSES_BYTES;
    called = plain(f, "a");
    assert_err(td_client_request(&f->client, &called, f->now), TIDINGS_EFULL);
    waits = plain(f, "a");
    waits.timed = false;
    ask(f, &waits);
    drop(f);
}

/* ---- many ---- */

static void test_request_of_many_is_over_with_the_last(void **state)
{
    struct fixture *f = *state;
    struct td_request r = plain(f, "a");

    r.flags = TD_REQUEST_MANY;
    greet(f, WELCOME);
    ask(f, &r);
    assert_int_equal(row(f, 0).flags, TD_REQUEST_MANY);
    assert_int_equal(row(f, 0).left_ms, MS - TD_MANY_SLACK_MS);
    assert_ok(respond_with(f, &r, 0, 0, 2));
    assert_ok(respond_with(f, &r, TIDINGS_ELOST, 0, 1));
    assert_int_equal(r.state, TD_REQUEST_SENT);
    assert_ok(respond_with(f, &r, 0, 0, 0));

    assert_int_equal(f->answered_len, 3);
    assert_int_equal(f->answered[1].left, 1);
    assert_int_equal(r.state, TD_REQUEST_DONE);
}

/* ---- what a broker may not answer ---- */

static void test_request_judges_all_of_a_response_first(void **state)
{
    static const struct {
        const char *text; /* %: the number */
        size_t bytes;
    } rows[] = {
        {"[25 []]", 0},
        {"[25 [[% 0 0 6 \"\" 0 \"i\"]]]", 5},
        {"[25 [[% 0 0 4 \"\" 0 \"i\"]]]", 5},
        {"[25 [[% 0 0 0 \"\" 0 \"i\"] [% 0 0 9223372036854775807 \"\" 0 "
         "\"i\"]]]",
         5},
        {"[25 [[% 0 0 0 \"\" 0 \"i\"] 7]]", 0},
        {"[25 [[% 0 0 0 \"\" 0]]]", 0},
        {"[25 [[% 0 1000 0 \"\" 0 \"i\"]]]", 0},
        {"[25 [[% 0 0 0 \"\" 0 \"123456789012345678901234567890123\"]]]", 0},
        {"[25 [[% 0 0 0 \"\" 0 \"i\"] [1 0 0 0 \"\" 0 \"i\"]]]", 0},
        {"[25 [[% 0 0 0 \"\" 0 \"i\"] [6553600 0 0 0 \"\" 0 \"i\"]]]", 0},
        {"[25 [[% 0 0 0 \"\" 0 \"i\"] [65599 0 0 0 \"\" 0 \"i\"]]]", 0},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct td_request r = plain(f, "a");
        char text[160] = "";
        tidings_err err;

        greet(f, ANEW);
        forget(f);
        ask(f, &r);
        for (const char *p = rows[i].text; *p; p++) {
            size_t len = strlen(text);

            if (*p == '%')
                snprintf(text + len, sizeof(text) - len, "%" PRIu64, r.number);
            else
                snprintf(text + len, sizeof(text) - len, "%c", *p);
        }
        err = give_bytes(f, text, rows[i].bytes);
        if (err != TIDINGS_EPROTO)
            print_error("row %zu\n", i);
        assert_int_equal(err, TIDINGS_EPROTO);
        assert_int_equal(f->answered_len, 1);
        assert_int_equal(f->answered[0].code, TIDINGS_ELOST);
        f->client.failures = 0;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_request_is_answered),
        TEST(test_request_fails_with_its_status),
        TEST(test_request_that_nobody_answers_times_out),
        TEST(test_request_answered_late_is_counted),
        TEST(test_request_numbers_never_come_again),
        TEST(test_request_withdrawn_is_not_answered),
        TEST(test_request_waits_for_company_while_one_is_out),
        TEST(test_request_bundles_have_bounds),
        TEST(test_requests_are_taken_back_at_once),
        TEST(test_request_has_room_for_so_many),
        TEST(test_request_answers_not_heard_have_a_bound),
        TEST(test_request_of_many_is_over_with_the_last),
        TEST(test_request_judges_all_of_a_response_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
