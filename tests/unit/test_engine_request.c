/* REQUEST, HANDLE, ANSWER, RESPONSE: PROTOCOL.md 11.1. */
#include "tests/unit/service_fixture.h"

#include "proto/batch.h"
#include "tests/support/alloc.h"

static void begin_one(struct fixture *f)
{
    hello(f, "c");
    instance(f, "i", "");
    flush(f);
    forget(f);
}

static void test_request_goes_there_and_back(void **state)
{
    struct fixture *f = *state;
    struct td_response_row response;
    struct td_handle_row row;
    struct td_str data;

    begin_one(f);
    ask(f, "c", 9);
    assert_int_equal(handled_count(f, "i"), 0); /* it leaves with the turn */
    flush(f);

    assert_true(handled(f, "i", 0, &row));
    assert_int_equal(row.service, 1);
    assert_int_equal(row.endpoint, 1);
    assert_true(is_text(row.type, "user.get"));
    assert_int_equal(row.left_ms, 1000);
    assert_int_equal(row.bytes, td_event_size(0, 8, 0));
    assert_int_equal(row.session, session_of(f, "c")->number);
    assert_int_equal(row.number, 9);
    assert_true(is_text(row.source, "/caller"));
    assert_int_equal(row.time_us, 5);
    judge_requests(f);

    answer(f, "i", row.task);
    flush(f);
    assert_true(responded(f, "c", 0, &response, &data));
    assert_int_equal(response.number, 9);
    assert_int_equal(response.code, TIDINGS_OK);
    assert_int_equal(response.left, 0);
    assert_true(is_text(response.instance, "i"));
    assert_true(is_text(data, "pong"));
    assert_int_equal(responded_count(f, "c"), 1);
    assert_int_equal(counts(f)->accepted, 1);
    assert_int_equal(counts(f)->answered, 1);
    judge_requests(f);
}

static void test_request_that_nobody_answers_is_told_at_once(void **state)
{
    static const struct {
        const char *type;
        const char *options;
    } rows[] = {
        {"user.set", "nil"},
        {"user.get.more", "nil"},
        {"user.get", "{\"service\" \"others\"}"},
        {"user.get", "{\"instance\" \"j\"}"},
        {"user.get", "{\"version\" \"1.0.1\"}"},
        {"$service.ping", "{\"service\" \"others\"}"},
    };
    struct fixture *f = *state;
    uint64_t n = sizeof(rows) / sizeof(rows[0]);
    struct td_response_row row;
    struct td_str data;

    begin_one(f);
    for (uint64_t i = 0; i < n; i++)
        ask_with(f, "c", i + 1, rows[i].type, 0, 1000, 8, rows[i].options);
    flush(f);
    for (uint64_t i = 0; i < n; i++)
        assert_row(rows[i].options,
                   code_to(f, "c", i + 1) == TIDINGS_ENORESPONDER);
    assert_true(responded(f, "c", 0, &row, &data));
    assert_true(row.text.len > 0);
    assert_int_equal(row.instance.len, 0);
    assert_int_equal(counts(f)->noresponder, n);
    assert_int_equal(counts(f)->accepted, 0);
    judge_requests(f);
}

static void test_request_is_for_those_who_are_well(void **state)
{
    static const struct {
        const char *health;
        bool gets;
    } rows[] = {
        {"[21 1 1 \"\"]", false}, {"[21 1 2 \"\"]", true},
        {"[21 1 3 \"\"]", true},  {"[21 1 4 \"\"]", false},
        {"[21 1 5 \"\"]", false},
    };
    struct fixture *f = *state;

    begin_one(f);
    for (uint64_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        give(f, "i", rows[i].health);
        ask(f, "c", i + 1);
        flush(f);
        assert_row(rows[i].health, handled_count(f, "i") == rows[i].gets);
        answer_all(f, "i");
        flush(f);
        assert_row(rows[i].health,
                   code_to(f, "c", i + 1) ==
                       (rows[i].gets ? TIDINGS_OK : TIDINGS_ENORESPONDER));
        forget(f);
    }
    give(f, "i", "[21 1 2 \"\"]");
    f->engine->serving.instances->draining = true;
    ask(f, "c", 99);
    flush(f);
    assert_int_equal(code_to(f, "c", 99), TIDINGS_ENORESPONDER);
}

static void test_request_is_for_the_degraded_only_if_it_must(void **state)
{
    struct fixture *f = *state;

    begin_one(f);
    instance(f, "d", "");
    give(f, "d", "[21 1 3 \"\"]");
    for (uint64_t i = 1; i <= 4; i++)
        ask(f, "c", i);
    flush(f);
    assert_int_equal(handled_count(f, "i"), 4);
    assert_int_equal(handled_count(f, "d"), 0);

    give(f, "i", "[21 1 4 \"\"]");
    ask(f, "c", 5);
    flush(f);
    assert_int_equal(handled_count(f, "d"), 1);
}

static void test_answer_with_an_error_is_passed_on(void **state)
{
    struct fixture *f = *state;
    struct td_response_row row;
    struct td_handle_row h;
    struct td_str data;

    begin_one(f);
    ask(f, "c", 1);
    flush(f);
    assert_true(handled(f, "i", 0, &h));
    answer_with(f, "i", h.task, TIDINGS_EREMOTE, 404, 100, "detail");
    flush(f);

    assert_true(responded(f, "c", 0, &row, &data));
    assert_int_equal(row.code, TIDINGS_EREMOTE);
    assert_int_equal(row.status, 404);
    assert_true(is_text(row.text, "it failed"));
    assert_true(is_text(data, "detail"));
    assert_int_equal(counts(f)->errors, 1);
    judge_requests(f);
}

/* What comes when it has ended, it has not begun with. */
static void test_answer_may_be_that_it_is_lost(void **state)
{
    struct fixture *f = *state;
    struct td_handle_row h;

    begin_one(f);
    ask(f, "c", 1);
    flush(f);
    assert_true(handled(f, "i", 0, &h));
    answer_with(f, "i", h.task, TIDINGS_ELOST, 0, 100, "");
    flush(f);

    assert_int_equal(code_to(f, "c", 1), TIDINGS_ELOST);
    assert_int_equal(counts(f)->lost, 1);
    assert_int_equal(f->engine->counters.breaches, 0);
    assert_int_equal(f->engine->counters.bad_frames, 0);
    judge_requests(f);
}

static void test_request_is_lost_with_its_instance(void **state)
{
    struct fixture *f = *state;
    struct td_response_row row;
    struct td_str data;

    begin_one(f);
    ask(f, "c", 1);
    ask(f, "c", 2);
    flush(f);
    gone(f, "i");
    f->next = f->now;
    pass(f, 1);

    assert_int_equal(code_to(f, "c", 1), TIDINGS_ELOST);
    assert_int_equal(code_to(f, "c", 2), TIDINGS_ELOST);
    assert_true(responded(f, "c", 0, &row, &data));
    assert_int_equal(row.instance.len, 0);
    assert_int_equal(counts(f)->lost, 2);
    assert_int_equal(f->engine->serving.tasks.len, 0);
    judge_requests(f);
}

static void test_request_outlives_unserve(void **state)
{
    struct fixture *f = *state;
    struct td_handle_row row;

    begin_one(f);
    ask(f, "c", 1);
    flush(f);
    give(f, "i", "[20 2 1]");
    assert_int_equal(code_of_reply(f, "i"), TIDINGS_OK);
    ask(f, "c", 2);
    assert_true(handled(f, "i", 0, &row));
    answer(f, "i", row.task);
    flush(f);

    assert_int_equal(code_to(f, "c", 1), TIDINGS_OK);
    assert_int_equal(code_to(f, "c", 2), TIDINGS_ENORESPONDER);
    assert_int_equal(f->engine->serving.instances_len, 0);
    assert_null(f->engine->serving.services);
}

static void test_request_times_out(void **state)
{
    struct fixture *f = *state;
    struct td_handle_row row;

    begin_one(f);
    ask(f, "c", 1);
    flush(f);
    assert_true(handled(f, "i", 0, &row));
    pass(f, 999);
    assert_int_equal(responded_count(f, "c"), 0);
    pass(f, 1);
    assert_int_equal(code_to(f, "c", 1), TIDINGS_ETIMEDOUT);
    assert_int_equal(counts(f)->timeouts, 1);
    assert_int_equal(f->engine->serving.tasks.len, 0);

    answer(f, "i", row.task); /* late: dropped, and counted */
    flush(f);
    assert_int_equal(responded_count(f, "c"), 1);
    assert_int_equal(counts(f)->late, 1);
    assert_non_null(session_of(f, "i"));
    judge_requests(f);
}

static void test_request_has_less_left_when_it_has_waited(void **state)
{
    struct fixture *f = *state;
    struct td_session *s;
    struct td_handle_row row;

    begin_one(f);
    s = session_of(f, "i");
    s->messages_out = TD_MESSAGES_OUT_MAX; /* it reads nothing */
    ask(f, "c", 1);
    ask_with(f, "c", 2, "user.get", 0, 50, 8, "nil");
    ask_with(f, "c", 3, "user.get", 0, 900, 30000, "nil");
    flush(f);
    pass(f, 100);
    assert_int_equal(code_to(f, "c", 2), TIDINGS_ETIMEDOUT);
    assert_int_equal(handled_count(f, "i"), 0);

    give(f, "i", "[9 2 []]");
    flush(f);
    assert_int_equal(handled_count(f, "i"), 2);
    assert_true(handled(f, "i", 0, &row));
    assert_int_equal(row.number, 1);
    assert_int_equal(row.left_ms, 900);
    assert_true(handled(f, "i", 1, &row));
    assert_int_equal(row.number, 3);
    assert_int_equal(row.left_ms, 800);
    judge_requests(f);
}

static void test_caller_that_is_lost_is_told_nothing(void **state)
{
    struct fixture *f = *state;

    begin_one(f);
    ask(f, "c", 1);
    ask(f, "c", 2);
    flush(f);
    gone(f, "c");
    flush(f);
    assert_int_equal(counts(f)->in_flight, 2); /* its instance is at them */
    answer_all(f, "i");
    flush(f);
    assert_int_equal(responded_count(f, "c"), 0);
    assert_int_equal(counts(f)->answered, 2);
    assert_int_equal(counts(f)->late, 2);
    assert_int_equal(f->engine->serving.askings.len, 0);
    judge_requests(f);
}

/* A session that is resumed has its subscriptions, but not these. */
static void test_requests_and_instances_end_with_the_link(void **state)
{
    struct fixture *f = *state;

    hello(f, "c");
    hello(f, "sub"); /* the second, for come_back() */
    instance(f, "sub", "");
    ask(f, "c", 1);
    ask(f, "sub", 2);
    flush(f);
    forget(f);
    come_back(f, "sub/2",
              "[]"); /* while the old link is not known to be lost */
    flush(f);
    assert_true(resumed(f, "sub/2"));
    assert_int_equal(code_to(f, "c", 1), TIDINGS_ELOST);
    assert_int_equal(responded_count(f, "sub/2"), 0);
    assert_int_equal(f->engine->serving.instances_len, 0);
    assert_int_equal(f->engine->serving.askings.len, 0);
    judge_requests(f);
}

static void test_silent_instance_is_asked(void **state)
{
    struct fixture *f = *state;

    begin_one(f);
    ask_with(f, "c", 1, "user.get", 0, 5000, 8, "nil");
    flush(f);
    pass(f, TD_ASK_MS - 1);
    assert_null(find(f, "i", TD_PING, 0));
    pass(f, 1);
    assert_non_null(find(f, "i", TD_PING, 0));
    pass(f, TD_ASK_MS);
    assert_non_null(find(f, "i", TD_PING, 1));

    f->deaf = "i"; /* its process is gone */
    pass(f, TD_ASK_MS + 1);
    assert_int_equal(code_to(f, "c", 1), TIDINGS_ELOST);
    judge_requests(f);
}

/* A link that takes no HANDLE is lost when the turn has told all that it tells:
 * the next turn is at once, for the caller and for who watches. */
static void test_link_lost_late_in_a_turn_is_told_at_once(void **state)
{
    struct fixture *f = *state;
    struct td_str data;

    begin_one(f);
    subscriber(f, "w", "$service.*", WIDE);
    flush(f);
    forget(f);
    f->deaf = "i";
    ask(f, "c", 1);
    flush(f);
    assert_true(f->next == f->now);
    flush(f);
    assert_int_equal(code_to(f, "c", 1), TIDINGS_ELOST);
    assert_int_equal(advised(f, "w", "$service.down", &data), 1);
    assert_true(f->next > f->now);
}

/* A REQUEST of so many rows, and the turn that ends with their HANDLE. */
static void take_rows(struct fixture *f, const struct td_buf *control,
                      struct td_body *body)
{
    td_engine_message(f->engine, td_str_of("c"), 2, control->data, control->len,
                      body, f->now);
    td_engine_flush(f->engine, f->now);
}

static void test_request_needs_no_memory_of_its_own(void **state)
{
    enum { ROWS = 500, MESSAGE = 20 };
    struct fixture *f = *state;
    struct td_frame request = {.op = TD_REQUEST};
    struct td_str none = {NULL, 0};
    size_t bytes = td_event_size(0, 1, 0);
    struct td_buf control = {0};
    struct td_buf list = {0};
    struct td_body *body;
    uint8_t *to;

    begin_one(f);
    f->unjudged = true;
    body = td_body_new(ROWS * bytes, &to);
    assert_non_null(body);
    for (int round = 0; round < 3; round++) {
        td_buf_reset(&list);
        td_buf_reset(&control);
        td_list_begin(&list, ROWS);
        for (uint64_t i = 0; i < ROWS; i++) {
            const struct td_request_row row = {
                .number = i + 1,
                .type = td_str_of("user.get"),
                .left_ms = 1000,
                .bytes = bytes,
            };

            td_request_append(&list, &row);
            if (round == 0)
                to = td_event_put(to, 0, "x", 1, none);
        }
        request.u.request.source = td_str_of("/c");
        request.u.request.list =
            (struct td_str){(const char *)list.data, list.len};
        td_frame_encode(&control, &request);
        td_alloc_arm(TD_ALLOC_ONE, round < 2 ? 0 : MESSAGE);
        take_rows(f, &control, body);
        assert_false(round == 2 && td_alloc_failed());
        td_alloc_arm(TD_ALLOC_ONE, 0);
        assert_int_equal(handled_count(f, "i"), ROWS);
        answer_all(f, "i");
        flush(f);
        give(f, "i", round == 0 ? "[9 1 []]" : "[9 2 []]");
        forget(f);
    }
    td_body_unref(body);
    td_buf_fini(&list);
    td_buf_fini(&control);
}

/* ---- a broker that stops ---- */

static void test_stopping_waits_for_answers_and_takes_no_requests(void **state)
{
    struct fixture *f = *state;

    begin_one(f);
    ask(f, "c", 1);
    flush(f);
    td_engine_drain(f->engine);
    assert_false(td_engine_is_idle(f->engine));
    ask(f, "c", 2);
    flush(f);
    assert_int_equal(code_to(f, "c", 2), TIDINGS_ENORESPONDER);
    assert_int_equal(handled_count(f, "i"), 1);

    answer_all(f, "i");
    flush(f);
    assert_int_equal(code_to(f, "c", 1), TIDINGS_OK);
    assert_true(td_engine_is_idle(f->engine));
    judge_requests(f);
}

/* Nobody is left who would hear. */
static void test_stopping_does_not_wait_for_who_has_gone(void **state)
{
    struct fixture *f = *state;

    begin_one(f);
    ask(f, "c", 1);
    flush(f);
    td_engine_drain(f->engine);
    gone(f, "c");
    flush(f);
    assert_true(td_engine_is_idle(f->engine));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_request_goes_there_and_back),
        TEST(test_request_that_nobody_answers_is_told_at_once),
        TEST(test_request_is_for_those_who_are_well),
        TEST(test_request_is_for_the_degraded_only_if_it_must),
        TEST(test_answer_with_an_error_is_passed_on),
        TEST(test_answer_may_be_that_it_is_lost),
        TEST(test_request_is_lost_with_its_instance),
        TEST(test_request_outlives_unserve),
        TEST(test_request_times_out),
        TEST(test_request_has_less_left_when_it_has_waited),
        TEST(test_caller_that_is_lost_is_told_nothing),
        TEST_RESUMABLE(test_requests_and_instances_end_with_the_link),
        TEST(test_silent_instance_is_asked),
        TEST(test_link_lost_late_in_a_turn_is_told_at_once),
        TEST(test_request_needs_no_memory_of_its_own),
        TEST(test_stopping_waits_for_answers_and_takes_no_requests),
        TEST(test_stopping_does_not_wait_for_who_has_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
