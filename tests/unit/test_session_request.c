/* Requests in the session: what is sent together, who is answered, what is
 * tried again, and what a broker may not answer. */
#include "tests/unit/session_fixture.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#define MS 1000 /* of a request that does not say */

static struct td_request plain(struct fixture *f, const char *type)
{
    return (struct td_request){.type = td_str_of(type),
                               .data = {"12345", 5},
                               .time_us = 7,
                               .timed = true,
                               .attempts_max = 1,
                               .deadline_ms = f->now + MS,
                               .timeout_ms = MS};
}

static struct td_request again(struct fixture *f, unsigned attempts)
{
    struct td_request r = plain(f, "a.b");

    r.idempotent = true;
    r.attempts_max = attempts;
    return r;
}

static void ask(struct fixture *f, struct td_request *r)
{
    assert_ok(td_client_request(&f->client, r, f->now));
}

static tidings_err respond_with(struct fixture *f, const struct td_request *r,
                                unsigned code, unsigned status, unsigned left)
{
    char text[100];

    snprintf(text, sizeof(text),
             "[25 [[%" PRIu64 " %u %u 0 \"so\" %u \"i-1\"]]]", r->number, code,
             status, left);
    return give_body(f, text);
}

static tidings_err respond_data(struct fixture *f, const struct td_request *r,
                                unsigned bytes, unsigned left)
{
    char text[100];

    snprintf(text, sizeof(text), "[25 [[%" PRIu64 " 0 0 %u \"\" %u \"i-1\"]]]",
             r->number, bytes, left);
    return give_bytes(f, text, bytes);
}

static void respond(struct fixture *f, const struct td_request *r,
                    unsigned code, unsigned status)
{
    assert_ok(respond_with(f, r, code, status, 0));
}

static uint32_t rows_of(const struct td_frame *frame)
{
    struct td_reader r =
        td_reader_of(frame->u.request.list.data, frame->u.request.list.len);
    uint32_t rows = 0;

    assert_true(td_read_array(&r, &rows));
    return rows;
}

/* The first row of the nth REQUEST. */
static struct td_request_row row(struct fixture *f, uint32_t nth)
{
    const struct td_frame *sent = frame(f, TD_REQUEST, nth);
    struct td_reader r =
        td_reader_of(sent->u.request.list.data, sent->u.request.list.len);
    struct td_request_row out;
    uint32_t rows;

    assert_true(td_read_array(&r, &rows) && td_request_read(&r, &out));
    return out;
}

static void at(struct fixture *f, int64_t ms)
{
    f->now += ms;
    tick(f);
}

/* On until it is sent again; fails when it never is. */
static int64_t until_sent(struct fixture *f, const struct td_request *r)
{
    int64_t from = f->now;

    forget(f);
    while (r->state != TD_REQUEST_SENT) {
        assert_int_not_equal(r->state, TD_REQUEST_DONE);
        assert_true(f->now - from < 2000);
        at(f, 1);
    }
    return f->now - from;
}

/* What is in the test's own memory is not to outlive it. */
static void drop(struct fixture *f)
{
    uint32_t from = 0;

    while (td_client_take_request(&f->client, &from))
        ;
}

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
        TEST(test_request_of_many_is_over_with_the_last),
        TEST(test_request_judges_all_of_a_response_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
