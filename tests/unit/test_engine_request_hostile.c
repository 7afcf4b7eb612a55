/* Peers that do not keep to PROTOCOL.md 11: whatever they send, it costs them
 * their session, or nothing. */
#include "tests/unit/service_fixture.h"

#include "broker/engine/task.h"
#include "proto/batch.h"
#include "tests/support/mp.h"

#include <string.h>

static void begin_one(struct fixture *f)
{
    hello(f, "c");
    instance(f, "i", "");
    flush(f);
    forget(f);
}

/* The body: two events of 4 bytes each, or what is said. */
static void give_body(struct fixture *f, const char *peer, const char *text,
                      const char *body)
{
    struct td_buf control = {0};
    struct td_buf bytes = {0};
    struct td_body *b;

    td_mp(&control, text);
    td_mp(&bytes, body);
    b = td_body_copy(bytes.data, bytes.len);
    assert_non_null(b);
    message(f, peer, 2, &control, b);
    td_body_unref(b);
    td_buf_fini(&control);
    td_buf_fini(&bytes);
}

#define EVENT  "<c4 02 01 02>" /* 4 bytes: a bin of two */
#define EVENT2 "<c4 02 01 02 c4 02 01 02>"
#define NONE   "<>"

static void test_request_that_is_none_changes_nothing(void **state)
{
    static const struct {
        const char *control;
        const char *body;
    } rows[] = {
        {"[22 \"/c\" 1 []]", EVENT},
        {"[22 \"/c\" 1 {}]", EVENT},
        {"[22 \"\" 1 [[1 \"user.get\" 0 9 4 nil]]]", EVENT},
        {"[22 s(1024) 1 [[1 \"user.get\" 0 9 4 nil]]]", EVENT},
        {"[22 \"/c\" 1 [[1 \"user.get\" 0 9 4 nil]]]", EVENT2},
        {"[22 \"/c\" 1 [[1 \"user.get\" 0 9 8 nil]]]", EVENT2},
        {"[22 \"/c\" 1 [[1 \"user.get\" 0 9 3 nil]]]", "<c4 02 01>"},
        {"[22 \"/c\" 1 [[1 \"user.get\" 0 9 5 nil]]]", EVENT},
        {"[22 \"/c\" 1 [[1 \"user.get\" 0 9 0 nil]]]", NONE},
        {"[22 \"/c\" 1 [[1 \"user.get\" 0 9 4 nil] [2 \"user.get\" 0 9 5 "
         "nil]]]",
         EVENT2},
        {"[22 \"/c\" 1 [[1 \"user.get\" 0 9 4 nil] [2 \"user.get\" 0 9 "
         "9223372036854775807 nil]]]",
         EVENT2},
        {"[22 \"/c\" 1 [[1 \"user.get\" 0 9 4 nil] [2 \"$tidings.x\" 0 9 4 "
         "nil]]]",
         EVENT2},
        {"[22 \"/c\" 1 [[1 \"$service.up\" 0 9 4 nil]]]", EVENT},
        {"[22 \"/c\" 1 [[1 \"user.*\" 0 9 4 nil]]]", EVENT},
        {"[22 \"/c\" 1 [[1 \"\" 0 9 4 nil]]]", EVENT},
        {"[22 \"/c\" 1 [[1 s(256) 0 9 4 nil]]]", EVENT},
        {"[22 \"/c\" 1 [[1 \"user.get\" 2 9 4 nil]]]", EVENT},
        {"[22 \"/c\" 1 [[1 \"user.get\" 0 0 4 nil]]]", EVENT},
        {"[22 \"/c\" 1 [[1 \"user.get\" 0 86400001 4 nil]]]", EVENT},
        {"[22 \"/c\" 1 [[1 \"user.get\" 0 9223372036854775807 4 nil]]]", EVENT},
        {"[22 \"/c\" 1 [[1 \"user.get\" 0 9 4 7]]]", EVENT},
        {"[22 \"/c\" 1 [[1 \"user.get\" 0 9 4]]]", EVENT},
        {"[22 \"/c\" 1 [[1 \"user.get\" 0 9 4 nil]*1025]]", EVENT},
    };
    struct fixture *f = *state;

    begin_one(f);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *row = rows[i].control;

        if (!session_of(f, "c"))
            hello(f, "c");
        forget(f);
        give_body(f, "c", row, rows[i].body);
        flush(f);
        assert_bye(f, row, "c", TIDINGS_EPROTO);
        assert_row(row, handled_count(f, "i") == 0);
        assert_row(row, f->engine->serving.askings.len == 0);
    }
    assert_int_equal(counts(f)->accepted, 0);
    judge_requests(f);
}

static void test_request_with_a_number_in_use_ends_the_session(void **state)
{
    struct fixture *f = *state;

    begin_one(f);
    ask(f, "c", 7);
    hello(f, "d");
    ask(f, "d", 7); /* another session's is another */
    flush(f);
    assert_int_equal(handled_count(f, "i"), 2);
    ask(f, "c", 7);
    flush(f);
    assert_bye(f, "in use", "c", TIDINGS_EPROTO);
    assert_non_null(session_of(f, "d"));
    judge_requests(f);
}

static void test_answer_that_is_none_changes_nothing(void **state)
{
    static const struct {
        const char *control;
        const char *body;
    } rows[] = {
        {"[24 []]", NONE},
        {"[24 7]", NONE},
        {"[24 [[1 0 0 1 1 4]]]", EVENT},
        {"[24 [[1 0 0 1 1 3 \"\"]]]", EVENT},
        {"[24 [[1 0 0 1 1 5 \"\"]]]", EVENT},
        {"[24 [[1 0 0 1 1 4 \"\"] [2 0 0 1 1 9223372036854775807 \"\"]]]",
         EVENT},
        {"[24 [[1 0 1000 1 1 4 \"\"]]]", EVENT},
        {"[24 [[1 25 0 1 1 4 \"\"]]]", EVENT}, /* EREMOTE has a status */
        {"[24 [[1 24 0 1 1 4 \"\"]]]", EVENT},
        {"[24 [[1 27 0 1 1 4 \"\"]]]", EVENT},
        {"[24 [[1 999 0 1 1 4 \"\"]]]", EVENT},
        {"[24 [[1 4294967296 0 1 1 4 \"\"]]]", EVENT},
        {"[24 [[1 0 0 1 1 4 s(256)]]]", EVENT},
        {"[24 [[1 0 0 1 1 0 \"\"]*1025]]", NONE},
    };
    struct fixture *f = *state;

    hello(f, "c");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *row = rows[i].control;

        instance(f, "i", "");
        forget(f);
        give_body(f, "i", row, rows[i].body);
        flush(f);
        assert_bye(f, row, "i", TIDINGS_EPROTO);
        assert_row(row, f->engine->serving.instances_len == 0);
    }
    judge_requests(f);
}

static void test_answers_to_what_is_not_ones_own_are_counted(void **state)
{
    struct fixture *f = *state;
    struct td_handle_row row;

    begin_one(f);
    instance(f, "j", "\"group\" \"other\"");
    hello(f, "evil");
    ask(f, "c", 1);
    flush(f);
    assert_true(handled(f, "i", 0, &row));
    answer(f, "evil", row.task); /* another session's */
    answer(f, "j", row.task);
    answer(f, "i", row.task + (1u << 18)); /* made up */
    answer(f, "i", 0);
    answer(f, "i", INT64_MAX);
    flush(f);
    assert_int_equal(responded_count(f, "c"), 0);
    assert_int_equal(counts(f)->late, 5);

    answer(f, "i", row.task);
    answer(f, "i", row.task); /* twice */
    flush(f);
    assert_int_equal(responded_count(f, "c"), 1);
    assert_int_equal(counts(f)->late, 6);
    judge_requests(f);
}

/* Whatever it says it took: for the choice it is no more than it had. */
static void test_answer_cannot_have_taken_longer_than_it_was_there(void **state)
{
    struct fixture *f = *state;
    struct td_handle_row row;
    const struct td_endpoint *endpoint;

    begin_one(f);
    ask(f, "c", 1);
    flush(f);
    assert_true(handled(f, "i", 0, &row));
    f->now += 10;
    answer_with(f, "i", row.task, TIDINGS_OK, 0, INT64_MAX, "");
    endpoint = &f->engine->serving.instances->endpoints[0];
    assert_true(endpoint->candidate.cost <= 11000);
    assert_int_equal(endpoint->count.held_us, 11000);
    assert_int_equal(endpoint->count.took_us, 11000);
    assert_int_equal(endpoint->count.took_max_us, 11000);
}

/* ---- bounds ---- */

static void test_caller_has_so_many_unanswered_at_most(void **state)
{
    struct fixture *f = *state;

    begin_one(f);
    instance(f, "j", "\"max_in_flight\" 65536");
    give(f, "i", "[20 1 1]");
    f->unjudged = true;
    for (uint64_t i = 1; i <= TD_REQUESTS_MAX + 1; i++) {
        ask(f, "c", i);
        if (i % 512)
            continue;
        flush(f);
        forget(f);
        session_of(f, "j")->messages_seen = session_of(f, "j")->messages_out;
    }
    flush(f);
    assert_int_equal(f->engine->serving.tasks.len, TD_REQUESTS_MAX);
    assert_int_equal(code_to(f, "c", TD_REQUESTS_MAX + 1), TIDINGS_EFULL);
    forget(f);
    gone(f, "j");
    flush(f);
    assert_int_equal(counts(f)->lost, TD_REQUESTS_MAX);
    judge_requests(f);
}

/* It asks and never reads: what waits for it stays within its bound. */
static void test_caller_that_reads_nothing_ends(void **state)
{
    struct fixture *f = *state;
    struct td_session *s;
    size_t most = 0;
    uint64_t asked = 0;

    begin_one(f);
    f->unjudged = true;
    s = session_of(f, "c");
    s->messages_out = s->messages_seen + TD_MESSAGES_OUT_MAX;
    while (session_of(f, "c") && !session_of(f, "c")->doomed) {
        ask_with(f, "c", ++asked, "nobody.there", 0, 1000, 8, "nil");
        if (s->bundles.bytes > most)
            most = s->bundles.bytes;
        assert_true(asked < 10000000);
    }
    flush(f);
    assert_bye(f, "unread", "c", TIDINGS_ENOMEM);
    assert_true(most <= 2 * (size_t)TD_BUNDLE_BYTES);
    assert_true(counts(f)->full > 0);
    assert_int_equal(f->engine->serving.bundling.bytes, 0);
}

/* An instance that does not read: its callers are told that it is full. */
static void test_instance_that_reads_nothing_is_full(void **state)
{
    struct fixture *f = *state;
    struct td_session *s;
    uint64_t n = 0;

    begin_one(f);
    f->unjudged = true;
    s = session_of(f, "i");
    s->messages_out = s->messages_seen + TD_MESSAGES_OUT_MAX;
    while (counts(f)->full == 0 && n < 1000)
        ask_with(f, "c", ++n, "user.get", 0, 1000, 500000, "nil");
    flush(f);
    assert_int_equal(code_to(f, "c", n), TIDINGS_EFULL);
    assert_true(s->bundles.bytes <= TD_BUNDLE_BYTES);
    assert_true(n > 60 && n < 70);
    judge_requests(f);
}

/* Those who do not read share a bound; it is no one else's. */
static void test_instances_that_read_are_not_held_to_the_bound_of_all(
    void **state)
{
    struct fixture *f = *state;

    restart(f, (struct td_engine_options){.memory_bytes = 4u << 20});
    begin_one(f);
    instance(f, "j", "");
    session_of(f, "i")->messages_out = TD_MESSAGES_OUT_MAX;
    for (uint64_t i = 1; i <= 4; i++)
        ask_with(f, "c", i, "user.get", 0, 1000, 300000,
                 "{\"instance\" \"i\"}");
    for (uint64_t i = 5; i <= 8; i++)
        ask_with(f, "c", i, "user.get", 0, 1000, 300000,
                 "{\"instance\" \"j\"}");
    flush(f);
    assert_int_equal(code_to(f, "c", 4), TIDINGS_EFULL);
    assert_int_equal(handled_count(f, "j"), 4);
    assert_int_equal(counts(f)->full, 1);
    judge_requests(f);
}

/* Of answers that it does not read the data goes, not that there was one. */
static void test_answers_that_are_not_read_lose_their_data(void **state)
{
    static char data[1 << 20];
    struct fixture *f = *state;
    struct td_response_row row;
    struct td_str bytes;
    uint32_t n = 0;

    memset(data, 'x', sizeof(data) - 1);
    begin_one(f);
    f->unjudged = true;
    session_of(f, "c")->messages_out = TD_MESSAGES_OUT_MAX;
    for (uint64_t i = 1; i <= 40; i++)
        ask(f, "c", i);
    flush(f);
    for (uint32_t i = 0; i < 40; i++) {
        struct td_handle_row h;

        assert_true(handled(f, "i", i, &h));
        answer_with(f, "i", h.task, TIDINGS_OK, 0, 10, data);
    }
    for (uint32_t i = 0; i < 5; i++) { /* it reads all that is sent */
        givef(f, "c", "[9 %u []]", (unsigned)session_of(f, "c")->messages_out);
        flush(f);
    }
    for (uint32_t i = 0; i < 40; i++) {
        assert_true(responded(f, "c", i, &row, &bytes));
        assert_true(row.code == TIDINGS_OK || row.code == TIDINGS_ELOST);
        assert_int_equal(row.bytes, row.code ? 0 : sizeof(data) - 1);
        n += row.code == TIDINGS_ELOST; /* it was done */
    }
    /* With the rows themselves one fewer has room. */
    assert_int_equal(n, 40 - (TD_BUNDLE_BYTES / sizeof(data) - 1));
    judge_requests(f);
}

/* Thousands of endpoints: all are found, and all go. */
static void test_thousands_of_endpoints(void **state)
{
    struct fixture *f = *state;
    struct td_buf b = {0};
    char peer[8];

    f->unjudged = true;
    hello(f, "c");
    for (unsigned p = 0; p < 64; p++) {
        char text[8192];
        int at = snprintf(text, sizeof(text),
                          "[19 1 1 \"s%u\" \"1.0.0\" {\"state\" 2 "
                          "\"endpoints\" [",
                          p);

        for (unsigned i = 0; i < TD_ENDPOINTS_MAX; i++)
            at += snprintf(text + at, sizeof(text) - (size_t)at,
                           "{\"name\" \"e%u\" \"type\" \"t%u.x%u\"}", i, p, i);
        snprintf(text + at, sizeof(text) - (size_t)at, "]}]");
        snprintf(peer, sizeof(peer), "p%u", p);
        hello(f, peer);
        td_buf_reset(&b);
        td_mp(&b, text);
        message(f, peer, 1, &b, NULL);
        assert_int_equal(code_of_reply(f, peer), TIDINGS_OK);
    }
    td_buf_fini(&b);
    assert_int_equal(HASH_COUNT(f->engine->serving.sets), 4096);
    forget(f);
    ask_with(f, "c", 1, "t63.x63", 0, 1000, 8, "nil");
    flush(f);
    assert_int_equal(handled_count(f, "p63"), 1);
    for (unsigned p = 0; p < 64; p++) {
        snprintf(peer, sizeof(peer), "p%u", p);
        gone(f, peer);
    }
    flush(f);
    assert_null(f->engine->serving.sets);
    assert_int_equal(code_to(f, "c", 1), TIDINGS_ELOST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_request_that_is_none_changes_nothing),
        TEST(test_request_with_a_number_in_use_ends_the_session),
        TEST(test_answer_that_is_none_changes_nothing),
        TEST(test_answers_to_what_is_not_ones_own_are_counted),
        TEST(test_answer_cannot_have_taken_longer_than_it_was_there),
        TEST(test_caller_has_so_many_unanswered_at_most),
        TEST(test_caller_that_reads_nothing_ends),
        TEST(test_instance_that_reads_nothing_is_full),
        TEST(test_instances_that_read_are_not_held_to_the_bound_of_all),
        TEST(test_answers_that_are_not_read_lose_their_data),
        TEST(test_thousands_of_endpoints),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
