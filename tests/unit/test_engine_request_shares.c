/* What one caller or one instance may take of what all share, PROTOCOL.md 11:
 * the others have theirs still. */
#include "tests/unit/service_fixture.h"

#include "broker/engine/task.h"
#include "tests/support/mp.h"

/* So many endpoints, of which type and group are made with the place of each. */
static void serve(struct fixture *f, const char *peer, unsigned number,
                  const char *type, const char *group, unsigned n)
{
    struct td_buf b = {0};
    char text[8192];
    int at;

    if (!session_of(f, peer))
        hello(f, peer);
    at = snprintf(text, sizeof(text),
                  "[19 1 %u \"%s%u\" \"1.0.0\" {\"state\" 2 \"endpoints\" [",
                  number, peer, number);
    for (unsigned i = 0; i < n; i++) {
        size_t left = sizeof(text);

        at += snprintf(text + at, left - (size_t)at, "{\"name\" \"e\"");
        at += snprintf(text + at, left - (size_t)at, " \"type\" \"");
        at += snprintf(text + at, left - (size_t)at, type, i);
        at += snprintf(text + at, left - (size_t)at, "\" \"group\" \"");
        at += snprintf(text + at, left - (size_t)at, group, i);
        at += snprintf(text + at, left - (size_t)at, "\"}");
    }
    snprintf(text + at, sizeof(text) - (size_t)at, "]}]");
    td_mp(&b, text);
    message(f, peer, 1, &b, NULL);
    td_buf_fini(&b);
}

/* ---- endpoints ---- */

static void test_request_goes_to_the_oldest_of_too_many_groups(void **state)
{
    struct fixture *f = *state;

    hello(f, "c");
    serve(f, "old", 1, "user.get", "g%u", TD_REQUEST_SETS_MAX);
    serve(f, "new", 1, "user.get", "a%u", 6);
    ask(f, "c", 1);
    flush(f);
    assert_int_equal(handled_count(f, "old"), TD_REQUEST_SETS_MAX);
    assert_int_equal(handled_count(f, "new"), 0);
    assert_int_equal(counts(f)->crowded, 1);

    gone(f, "old");
    flush(f);
    ask(f, "c", 2);
    flush(f);
    assert_int_equal(handled_count(f, "new"), 6);
    assert_int_equal(counts(f)->crowded, 1);
    judge_requests(f);
}

static void test_patterns_of_a_group_are_looked_up_together(void **state)
{
    struct fixture *f = *state;

    hello(f, "c");
    serve(f, "a", 1, "user.get", "g", 1);
    serve(f, "b", 1, "*.get", "other", 1);
    serve(f, "d", 1, "user.*", "g", 1);
    for (uint64_t i = 1; i <= 6; i++)
        ask(f, "c", i);
    flush(f);
    assert_int_equal(handled_count(f, "a"), 3);
    assert_int_equal(handled_count(f, "b"), 6);
    assert_int_equal(handled_count(f, "d"), 3);
    assert_int_equal(counts(f)->crowded, 0);
    judge_requests(f);
}

static void test_session_has_so_many_endpoints(void **state)
{
    const unsigned services = TD_SESSION_ENDPOINTS_MAX / TD_ENDPOINTS_MAX;
    struct fixture *f = *state;

    for (unsigned i = 1; i <= services; i++) {
        serve(f, "a", i, "t.x%u", "g", TD_ENDPOINTS_MAX);
        assert_int_equal(code_of_reply(f, "a"), TIDINGS_OK);
    }
    serve(f, "a", services + 1, "t.y%u", "g", 1);
    assert_int_equal(code_of_reply(f, "a"), TIDINGS_ELIMIT);
    serve(f, "b", 1, "t.y%u", "g", 1); /* another's are its own */
    assert_int_equal(code_of_reply(f, "b"), TIDINGS_OK);

    give(f, "a", "[20 1 1]");
    assert_int_equal(code_of_reply(f, "a"), TIDINGS_OK);
    serve(f, "a", services + 1, "t.y%u", "g", 1);
    assert_int_equal(code_of_reply(f, "a"), TIDINGS_OK);
    gone(f, "a");
    gone(f, "b");
    flush(f);
    assert_int_equal(f->engine->serving.endpoints_len, 0);
    assert_null(f->engine->serving.groups);
}

static void test_all_sessions_have_so_many_endpoints(void **state)
{
    struct fixture *f = *state;

    serve(f, "a", 1, "t.x%u", "g", 1);
    f->engine->serving.endpoints_len += TD_ENDPOINTS_ALL_MAX - 2;
    serve(f, "a", 2, "t.y%u", "g", 2);
    assert_int_equal(code_of_reply(f, "a"), TIDINGS_ELIMIT);
    serve(f, "a", 2, "t.y%u", "g", 1);
    assert_int_equal(code_of_reply(f, "a"), TIDINGS_OK);
    f->engine->serving.endpoints_len -= TD_ENDPOINTS_ALL_MAX - 2;
}

/* ---- what is in flight ---- */

#define FREE 16u

static void begin_shares(struct fixture *f)
{
    hello(f, "c");
    hello(f, "d");
    instance(f, "i", "");
    f->engine->serving.tasks.max = FREE;
}

static void test_caller_has_its_share_of_what_may_be_in_flight(void **state)
{
    struct fixture *f = *state;
    struct td_response_row row;
    struct td_str data;
    uint32_t both;

    begin_shares(f);
    instance(f, "j", "");
    for (uint64_t n = 1; n <= FREE; n++)
        ask(f, "c", n);
    flush(f);
    assert_int_equal(handled_count(f, "i") + handled_count(f, "j"), FREE / 2);
    assert_int_equal(code_to(f, "c", FREE), TIDINGS_EFULL);
    assert_true(responded(f, "c", 0, &row, &data));
    assert_true(is_text(row.text,
                        "you, or whoever answers this, have a share of all "
                        "requests in flight: wait for answers"));

    for (uint64_t n = 1; n <= FREE; n++)
        ask(f, "d", n);
    flush(f);
    both = f->engine->serving.tasks.len;
    assert_true(both > FREE / 2 && both < FREE);
    gone(f, "c"); /* what it asked is nobody's, but in flight still */
    flush(f);
    assert_int_equal(f->engine->serving.tasks.len, both);
    judge_requests(f);
    answer_all(f, "i");
    answer_all(f, "j");
    assert_int_equal(f->engine->serving.tasks.len, 0);
    assert_int_equal(session_of(f, "d")->serving.asked, 0);
    judge_requests(f);
}

static void test_instances_of_a_session_have_their_share(void **state)
{
    struct fixture *f = *state;

    begin_shares(f);
    for (uint64_t n = 1; n <= FREE / 4; n++) {
        ask(f, "c", n);
        ask(f, "d", n);
    }
    ask(f, "d", FREE);
    flush(f);
    assert_int_equal(handled_count(f, "i"), FREE / 2);
    assert_int_equal(code_to(f, "d", FREE), TIDINGS_EFULL);

    forget(f);
    instance_of(f, "other", "orders", "1.0.0",
                "\"endpoints\" [{\"name\" \"get\" \"type\" \"order.get\"}]");
    ask_with(f, "c", FREE, "order.get", 0, 1000, 8, "nil");
    flush(f);
    assert_int_equal(handled_count(f, "other"), 1);
    judge_requests(f);
}

static void test_pings_have_no_more_than_their_share(void **state)
{
    struct fixture *f = *state;

    begin_shares(f);
    for (uint64_t n = 1; n <= FREE; n++)
        ask_with(f, "c", n, "$service.ping", 0, 86400000, 0, "nil");
    flush(f);
    assert_int_equal(handled_count(f, "i"), FREE / 2);
    judge_requests(f);
}

/* ---- bytes that are not read ---- */

#define LARGE 500000u

static void ask_large(struct fixture *f, uint64_t number, const char *instance)
{
    char options[64];

    snprintf(options, sizeof(options), "{\"instance\" \"%s\"}", instance);
    ask_with(f, "c", number, "user.get", 0, 60000, LARGE, options);
    flush(f);
}

static void test_instance_that_reads_nothing_is_sent_so_much(void **state)
{
    const uint32_t most = TD_BUNDLES_OUT_BYTES / LARGE + 1;
    struct fixture *f = *state;

    hello(f, "c");
    instance(f, "i", "");
    for (uint64_t n = 1; n <= 30; n++)
        ask_large(f, n, "i");
    assert_int_equal(handled_count(f, "i"), most);
    judge_requests(f);

    give(f, "i", "[9 1 []]"); /* the first: that much may go */
    flush(f);
    assert_int_equal(handled_count(f, "i"), most + 1);
    give(f, "i", "[9 3 []]"); /* those are counted still, with the others … */
    flush(f);
    judge_requests(f);
    givef(f, "i", "[9 %u []]", most + 1); /* … until all are read */
    flush(f);
    assert_int_equal(handled_count(f, "i"), 30);
    givef(f, "i", "[9 30 []]");
    assert_int_equal(f->engine->serving.bundling.out_bytes, 0);
    judge_requests(f);
}

static void test_some_goes_on_where_others_read_nothing(void **state)
{
    struct fixture *f = *state;

    restart(f, (struct td_engine_options){.memory_bytes = 8u << 20});
    hello(f, "c");
    instance(f, "i", "");
    instance(f, "j", "");
    for (uint64_t n = 1; n <= 6; n++)
        ask_large(f, n, "i");
    assert_int_equal(handled_count(f, "i"), 5); /* 2 MiB */
    for (uint64_t n = 7; n <= 12; n++) {
        ask_large(f, n, "j");
        assert_int_equal(handled_count(f, "j"), n - 6);
        givef(f, "j", "[9 %u []]", (unsigned)n - 6);
        flush(f);
    }
    assert_int_equal(td_memory_bound(f->engine), 6u << 20); /* of queues */
    judge_requests(f);
}

static void test_who_reads_nothing_for_long_ends_where_memory_is_short(
    void **state)
{
    struct fixture *f = *state;

    restart(f, (struct td_engine_options){.memory_bytes = 8u << 20});
    hello(f, "c");
    instance(f, "i", "");
    for (uint64_t n = 1; n <= 6; n++)
        ask_large(f, n, "i");
    pass(f, TD_HEARTBEAT_MS - 1);
    assert_non_null(session_of(f, "i"));
    pass(f, 1);
    assert_bye(f, "unread", "i", TIDINGS_ENOMEM);
    flush(f);
    assert_int_equal(code_to(f, "c", 1), TIDINGS_ELOST);
    assert_int_equal(f->engine->serving.bundling.out_bytes,
                     session_of(f, "c")->bundles.out_bytes);
    assert_int_equal(td_memory_bound(f->engine),
                     (8u << 20) - session_of(f, "c")->bundles.out_bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_request_goes_to_the_oldest_of_too_many_groups),
        TEST(test_patterns_of_a_group_are_looked_up_together),
        TEST(test_session_has_so_many_endpoints),
        TEST(test_all_sessions_have_so_many_endpoints),
        TEST(test_caller_has_its_share_of_what_may_be_in_flight),
        TEST(test_instances_of_a_session_have_their_share),
        TEST(test_pings_have_no_more_than_their_share),
        TEST(test_instance_that_reads_nothing_is_sent_so_much),
        TEST(test_some_goes_on_where_others_read_nothing),
        TEST(test_who_reads_nothing_for_long_ends_where_memory_is_short),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
