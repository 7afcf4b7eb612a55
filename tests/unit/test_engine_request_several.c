/* Requests that go to several: groups, many and ping, PROTOCOL.md 11.1. */
#include "tests/unit/service_fixture.h"

static void begin_one(struct fixture *f)
{
    hello(f, "c");
    instance(f, "i", "");
    flush(f);
    forget(f);
}

static void test_request_goes_to_one_of_each_group_and_first_wins(void **state)
{
    struct fixture *f = *state;
    struct td_response_row row;
    struct td_handle_row h;
    struct td_str data;

    begin_one(f);
    instance(f, "i2", "");
    instance(f, "log", "\"group\" \"log\"");
    ask(f, "c", 1);
    flush(f);
    assert_int_equal(handled_count(f, "i") + handled_count(f, "i2"), 1);
    assert_true(handled(f, "log", 0, &h));
    answer_with(f, "log", h.task, TIDINGS_EFULL, 0, 1, "");
    flush(f);
    assert_int_equal(responded_count(f, "c"), 0); /* another may answer yet */

    answer_all(f, handled_count(f, "i") ? "i" : "i2");
    flush(f);
    assert_int_equal(code_to(f, "c", 1), TIDINGS_OK);

    forget(f);
    ask(f, "c", 1); /* that number is free again */
    flush(f);
    assert_true(handled(f, "log", 0, &h));
    answer_with(f, "log", h.task, TIDINGS_EREMOTE, 400, 1, "no");
    answer_all(f, handled_count(f, "i") ? "i" : "i2");
    flush(f);
    assert_true(responded(f, "c", 0, &row, &data));
    assert_int_equal(row.code, TIDINGS_EREMOTE);
    assert_int_equal(responded_count(f, "c"), 1);
    assert_int_equal(counts(f)->late, 1);
    assert_int_equal(counts(f)->accepted, 2);
    assert_int_equal(counts(f)->errors, 1);
    judge_requests(f);
}

static void test_request_fails_when_all_groups_have(void **state)
{
    struct fixture *f = *state;

    begin_one(f);
    instance(f, "log", "\"group\" \"log\"");
    ask(f, "c", 1);
    flush(f);
    gone(f, "log");
    flush(f);
    assert_int_equal(responded_count(f, "c"), 0);
    pass(f, 1000);
    assert_int_equal(code_to(f, "c", 1), TIDINGS_ETIMEDOUT);
    judge_requests(f);
}

/* Of one group, by two patterns: it is one choice still. */
static void test_request_meets_patterns_of_a_group_once(void **state)
{
    struct fixture *f = *state;

    begin_one(f);
    instance_of(f, "w", "users", "1.0.0",
                "\"endpoints\" [{\"name\" \"all\" \"type\" \"user.>\"} "
                "{\"name\" \"one\" \"type\" \"*.get\"}]");
    for (uint64_t i = 1; i <= 10; i++)
        ask(f, "c", i);
    flush(f);
    assert_int_equal(handled_count(f, "i"), 5);
    assert_int_equal(handled_count(f, "w"), 5);
    ask_with(f, "c", 11, "user.set.name", 0, 1000, 8, "nil");
    flush(f);
    assert_int_equal(handled_count(f, "w"), 6);
}

static void test_many_asks_all_and_counts_down(void **state)
{
    struct fixture *f = *state;
    struct td_response_row row;
    struct td_str data;
    const char *peers[] = {"i", "j", "k"};

    begin_one(f);
    instance(f, "j", "");
    instance(f, "k", "\"group\" \"other\"");
    instance(f, "ill", "");
    give(f, "ill", "[21 1 5 \"\"]");
    ask_with(f, "c", 1, "user.get", TD_REQUEST_MANY, 1000, 8, "nil");
    flush(f);
    for (int i = 0; i < 3; i++)
        assert_int_equal(handled_count(f, peers[i]), 1);
    assert_int_equal(handled_count(f, "ill"), 0);

    answer_all(f, "j");
    gone(f, "i");
    flush(f);
    pass(f, 1000);
    assert_int_equal(responded_count(f, "c"), 3);
    assert_true(responded(f, "c", 0, &row, &data));
    assert_int_equal(row.code, TIDINGS_OK);
    assert_int_equal(row.left, 2);
    assert_true(responded(f, "c", 1, &row, &data));
    assert_int_equal(row.code, TIDINGS_ELOST);
    assert_int_equal(row.left, 1);
    assert_true(responded(f, "c", 2, &row, &data));
    assert_int_equal(row.code, TIDINGS_ETIMEDOUT);
    assert_int_equal(row.left, 0);
    assert_int_equal(counts(f)->accepted, 1);
    assert_int_equal(counts(f)->answered, 1);
    judge_requests(f);
}

static void test_many_asks_the_degraded_of_a_group_only_if_it_must(void **state)
{
    struct fixture *f = *state;

    begin_one(f);
    instance_of(f, "w", "users", "1.0.0",
                "\"endpoints\" [{\"name\" \"all\" \"type\" \"user.>\"}]");
    give(f, "w", "[21 1 3 \"\"]");
    ask_with(f, "c", 1, "user.get", TD_REQUEST_MANY, 1000, 8, "nil");
    flush(f);
    assert_int_equal(handled_count(f, "i"), 1);
    assert_int_equal(handled_count(f, "w"), 0);

    give(f, "i", "[21 1 5 \"\"]");
    ask_with(f, "c", 2, "user.get", TD_REQUEST_MANY, 1000, 8, "nil");
    flush(f);
    assert_int_equal(handled_count(f, "w"), 1);
}

/* While somebody watches, and with requests in hand. */
static void test_engine_ends_with_instances_in_it(void **state)
{
    struct fixture *f = *state;

    subscriber(f, "s", "$service.>", WIDE);
    begin_one(f);
    ask(f, "c", 1);
    flush(f);
    assert_int_equal(f->engine->serving.tasks.len, 1);
    restart(f, (struct td_engine_options){0});
    assert_int_equal(sessions(f), 0);
}

static void test_ping_reaches_instances_however_they_are(void **state)
{
    struct fixture *f = *state;
    struct td_handle_row row;

    begin_one(f);
    instance_of(f, "j", "other", "1.0.0", "");
    give(f, "j", "[21 1 5 \"\"]");
    ask_with(f, "c", 1, "$service.ping", 0, 1000, 0, "nil");
    ask_with(f, "c", 2, "$service.ping", 0, 1000, 0, "{\"service\" \"other\"}");
    ask_with(f, "c", 3, "$service.ping", 0, 1000, 0, "{\"instance\" \"i\"}");
    flush(f);
    assert_int_equal(handled_count(f, "i"), 2);
    assert_int_equal(handled_count(f, "j"), 2);
    assert_true(handled(f, "i", 0, &row));
    assert_int_equal(row.endpoint, 0);
    answer_all(f, "i");
    answer_all(f, "j");
    flush(f);
    assert_int_equal(responded_count(f, "c"), 4);
    assert_int_equal(counts(f)->answered, 3);
    judge_requests(f);
}

/* A running one that another group has asked is there, and no degraded one is
 * asked beside it. One that is full is not. */
static void test_many_asks_the_degraded_of_a_group_without_others(void **state)
{
    struct fixture *f = *state;

    hello(f, "c");
    instance_of(f, "w", "users", "1.0.0",
                "\"endpoints\" [{\"name\" \"get\" \"type\" \"user.get\" "
                "\"max_in_flight\" 1} {\"name\" \"log\" \"type\" \"user.get\" "
                "\"group\" \"log\" \"max_in_flight\" 1}]");
    instance(f, "slow", "\"group\" \"log\"");
    give(f, "slow", "[21 1 3 \"\"]");
    flush(f);
    forget(f);
    ask_with(f, "c", 1, "user.get", TD_REQUEST_MANY, 1000, 8, "nil");
    flush(f);
    assert_int_equal(handled_count(f, "w"), 1);
    assert_int_equal(handled_count(f, "slow"), 0);

    /* Of the first group it is full: the second one asks it … */
    ask_with(f, "c", 2, "user.get", TD_REQUEST_MANY, 1000, 8, "nil");
    flush(f);
    assert_int_equal(handled_count(f, "w"), 2);
    assert_int_equal(handled_count(f, "slow"), 0);
    /* … as long as it has room. */
    ask_with(f, "c", 3, "user.get", TD_REQUEST_MANY, 1000, 8, "nil");
    flush(f);
    assert_int_equal(handled_count(f, "w"), 2);
    assert_int_equal(handled_count(f, "slow"), 1);

    give(f, "slow", "[21 1 5 \"\"]");
    ask_with(f, "c", 4, "user.get", TD_REQUEST_MANY, 1000, 8, "nil");
    flush(f);
    assert_int_equal(code_to(f, "c", 4), TIDINGS_EFULL);
    judge_requests(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_request_goes_to_one_of_each_group_and_first_wins),
        TEST(test_request_fails_when_all_groups_have),
        TEST(test_request_meets_patterns_of_a_group_once),
        TEST(test_many_asks_all_and_counts_down),
        TEST(test_many_asks_the_degraded_of_a_group_only_if_it_must),
        TEST(test_engine_ends_with_instances_in_it),
        TEST(test_ping_reaches_instances_however_they_are),
        TEST(test_many_asks_the_degraded_of_a_group_without_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
