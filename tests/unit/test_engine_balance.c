/* Who gets a request: balance, bounds, weights and breakers, PROTOCOL.md 11.3
 * and 11.4. The choosers alone are in test_balance.c and test_breaker.c. */
#include "tests/unit/service_fixture.h"

#include <string.h>

/* Asks n times, without answers: how many each of four got. */
static void ask_n(struct fixture *f, uint64_t n, const char *options,
                  uint32_t got[4])
{
    static const char *const peers[] = {"i0", "i1", "i2", "i3"};
    static uint64_t number = 1000;

    for (uint64_t i = 0; i < n; i++)
        ask_with(f, "c", ++number, "user.get", 0, 5000, 8, options);
    flush(f);
    for (int i = 0; i < 4; i++)
        got[i] = handled_count(f, peers[i]);
    judge_requests(f);
}

static void begin_with(struct fixture *f, unsigned n, const char *options)
{
    char peer[4] = "i0";

    f->unjudged = true;
    hello(f, "c");
    for (unsigned i = 0; i < n; i++) {
        peer[1] = (char)('0' + i);
        instance(f, peer, options);
    }
    flush(f);
    forget(f);
}

static void test_round_robin_is_exact(void **state)
{
    struct fixture *f = *state;
    uint32_t got[4];

    begin_with(f, 4, "");
    for (uint32_t n = 1; n <= 40; n++) {
        ask_n(f, 1, "nil", got);
        for (int i = 0; i < 4; i++)
            assert_true(got[i] == n / 4 || got[i] == n / 4 + 1);
    }
    give(f, "i2", "[21 1 4 \"\"]"); /* nothing for who stops */
    ask_n(f, 9, "nil", got);
    assert_int_equal(got[2], 10);
    for (int i = 0; i < 4; i++)
        assert_true(i == 2 || got[i] == 13);
}

static void test_caller_chooses_how_and_whom(void **state)
{
    struct fixture *f = *state;
    uint32_t got[4];

    begin_with(f, 4, "");
    ask_n(f, 5, "{\"instance\" \"i1\"}", got);
    assert_int_equal(got[1], 5);
    forget(f);
    ask_n(f, 3, "{\"balance\" \"least_in_flight\"}", got);
    assert_int_equal(got[1], 0);
    forget(f);
    ask_n(f, 20, "{\"balance\" \"by_key\" \"key\" \"k7\"}", got);
    assert_true(got[0] == 20 || got[1] == 20 || got[2] == 20 || got[3] == 20);
    forget(f);
    ask_n(f, 8, "{\"balance\" \"by_key\"}", got); /* none: round robin */
    assert_true(got[0] <= 3 && got[1] <= 3 && got[2] <= 3 && got[3] <= 3);
}

static void test_wrong_options_are_that_rows_own(void **state)
{
    static const char *const rows[] = {
        "{\"key\" \"\"}",        "{\"key\" s(256)}",   "{\"key\" 1}",
        "{\"service\" \"a b\"}", "{\"instance\" nil}", "{\"version\" \"1\"}",
        "{\"balance\" \"best\"}"};
    struct fixture *f = *state;

    begin_with(f, 1, "");
    for (uint64_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        ask_with(f, "c", i + 1, "user.get", 0, 1000, 8, rows[i]);
    ask(f, "c", 99);
    flush(f);
    for (uint64_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_row(rows[i], code_to(f, "c", i + 1) == TIDINGS_EINVAL);
    assert_int_equal(handled_count(f, "i0"), 1);
    judge_requests(f);
}

static void test_random_and_latency_reach_all(void **state)
{
    static const char *const rows[] = {"\"balance\" \"random\"",
                                       "\"balance\" \"latency\""};
    struct fixture *f = *state;
    uint32_t got[4];

    for (int r = 0; r < 2; r++) {
        restart(f, (struct td_engine_options){0});
        begin_with(f, 4, rows[r]);
        ask_n(f, 400, "nil", got);
        for (int i = 0; i < 4; i++)
            assert_row(rows[r], got[i] > 40);
        forget(f);
    }
}

/* What the last one registered says holds for all of its set. */
static void test_balance_of_the_youngest_is_used(void **state)
{
    struct fixture *f = *state;
    struct td_endpoint_set *set;

    begin_with(f, 1, "");
    instance(f, "i1", "\"balance\" \"random\"");
    set = f->engine->serving.sets;
    assert_int_equal(set->balance, TD_BALANCE_RANDOM);
    give(f, "i1", "[20 1 1]");
    assert_int_equal(set->balance, TD_BALANCE_ROUND_ROBIN);
}

static void test_more_than_max_in_flight_goes_to_others_or_nowhere(void **state)
{
    struct fixture *f = *state;
    uint32_t got[4];

    begin_with(f, 2, "\"max_in_flight\" 3");
    ask_n(f, 8, "nil", got);
    assert_int_equal(got[0], 3);
    assert_int_equal(got[1], 3);
    assert_int_equal(counts(f)->full, 2);
    assert_int_equal(counts(f)->in_flight, 6);
    assert_int_equal(f->engine->serving.services->full, 2);

    assert_int_equal(answer_all(f, "i1"), 3);
    forget(f);
    ask_n(f, 2, "nil", got);
    assert_int_equal(got[1], 2);
}

/* ---- weights ---- */

static void weigh(struct fixture *f, const char *version, uint32_t percent)
{
    struct td_service *users = td_service_find(f->engine, td_str_of("users"));

    assert_ok(td_weight_set(f->engine, users, version, percent));
}

static void test_weight_is_what_a_version_gets(void **state)
{
    struct fixture *f = *state;
    static const char endpoints[] =
        "\"endpoints\" [{\"name\" \"get\" \"type\" \"user.get\"}]";
    struct td_service *users;
    uint32_t got[4];

    begin_with(f, 2, "");
    instance_of(f, "i2", "users", "2.0.0", endpoints);
    users = td_service_find(f->engine, td_str_of("users"));
    weigh(f, "2.0.0", 5);
    ask_n(f, 200, "nil", got);
    assert_int_equal(got[2], 10);
    assert_int_equal(got[0], 95);
    assert_int_equal(got[1], 95);

    forget(f);
    weigh(f, "2.0.0", 0);
    ask_n(f, 10, "nil", got);
    assert_int_equal(got[2], 0);
    ask_n(f, 1, "{\"version\" \"2.0.0\"}", got);
    assert_int_equal(got[2], 1);

    forget(f);
    weigh(f, "2.0.0", 100);
    ask_n(f, 10, "nil", got);
    assert_int_equal(got[2], 10);
    give(f, "i2",
         "[21 1 5 \"\"]"); /* nobody else is there: the others get it */
    ask_n(f, 4, "nil", got);
    assert_int_equal(got[0], 2);
    assert_int_equal(got[1], 2);

    assert_err(td_weight_set(f->engine, users, "1.0.0", 1), TIDINGS_EINVAL);
    weigh(f, "2.0.0", UINT32_MAX);
    assert_int_equal(users->weights_len, 0);
}

/* Who gets nothing is not in the way of those that get something. */
static void test_degraded_of_a_weight_come_before_those_of_none(void **state)
{
    struct fixture *f = *state;
    struct td_service *users;

    begin_with(f, 1, "");
    instance_of(f, "j", "users", "2.0.0",
                "\"endpoints\" [{\"name\" \"get\" \"type\" \"user.get\"}]");
    users = td_service_find(f->engine, td_str_of("users"));
    assert_ok(td_weight_set(f->engine, users, "1.0.0", 0));
    assert_ok(td_weight_set(f->engine, users, "2.0.0", 100));
    give(f, "j", "[21 1 3 \"slow\"]");
    ask(f, "c", 1);
    flush(f);
    assert_int_equal(handled_count(f, "j"), 1);

    give(f, "j", "[21 1 5 \"gone\"]");
    ask(f, "c", 2);
    flush(f);
    assert_int_equal(handled_count(f, "i0"), 0);
    assert_int_equal(code_to(f, "c", 2), TIDINGS_ENORESPONDER);
    judge_requests(f);
}

static void test_weights_outlive_instances_and_have_a_bound(void **state)
{
    struct fixture *f = *state;
    struct td_service *users;
    char version[16];

    begin_with(f, 1, "");
    users = td_service_find(f->engine, td_str_of("users"));
    for (unsigned i = 0; i < TD_WEIGHTS_MAX; i++) {
        snprintf(version, sizeof(version), "1.0.%u", i);
        assert_ok(td_weight_set(f->engine, users, version, i == 0 ? 100 : 0));
    }
    assert_err(td_weight_set(f->engine, users, "9.9.9", 0), TIDINGS_ELIMIT);
    gone(f, "i0");
    flush(f);
    assert_ptr_equal(td_service_find(f->engine, td_str_of("users")), users);
    for (unsigned i = 0; i < TD_WEIGHTS_MAX; i++) {
        snprintf(version, sizeof(version), "1.0.%u", i);
        assert_ok(td_weight_set(f->engine, users, version, UINT32_MAX));
    }
    assert_null(td_service_find(f->engine, td_str_of("users")));
}

/* ---- breakers ---- */

static void serve_breaking(struct fixture *f, const char *peer,
                           const char *breakers)
{
    char options[512];

    snprintf(options, sizeof(options),
             "\"endpoints\" [{\"name\" \"get\" \"type\" \"user.get\"}] %s",
             breakers);
    instance_of(f, peer, "users", "1.0.0", options);
}

/* One request to it, answered with this. */
static void answered_so(struct fixture *f, const char *peer, uint64_t code,
                        uint64_t status)
{
    struct td_handle_row row;

    forget(f);
    ask(f, "c", 1);
    flush(f);
    assert_row(peer, handled(f, peer, 0, &row));
    answer_with(f, peer, row.task, code, status, 10, "");
    flush(f);
}

static void test_breaker_opens_by_failures_and_closes_by_probes(void **state)
{
    struct fixture *f = *state;
    const struct td_service *users;
    struct td_response_row row;
    struct td_str data;

    hello(f, "c");
    serve_breaking(f, "i", "\"breaker\" {\"failures\" 3 \"recovery_ms\" 1000}");
    users = f->engine->serving.services;
    answered_so(f, "i", TIDINGS_EREMOTE, 503);
    answered_so(f, "i", TIDINGS_EREMOTE, 404); /* that was not its fault */
    answered_so(f, "i", TIDINGS_EREMOTE, 500);
    answered_so(f, "i", TIDINGS_EFULL, 0);
    answered_so(f, "i", TIDINGS_ETIMEDOUT, 0);
    assert_int_equal(users->instances->breaker.state, TD_BREAKER_OPEN);
    assert_int_equal(users->instances->opened, 1);

    forget(f);
    ask(f, "c", 2);
    flush(f);
    assert_int_equal(code_to(f, "c", 2), TIDINGS_EBREAKER);
    assert_true(responded(f, "c", 0, &row, &data));
    assert_true(is_text(row.text, "the breaker is open for another 1000 ms"));
    assert_int_equal(counts(f)->broken, 1);

    pass(f, 1000);
    forget(f);
    ask(f, "c", 3); /* one at a time */
    ask(f, "c", 4);
    flush(f);
    assert_int_equal(handled_count(f, "i"), 1);
    assert_int_equal(code_to(f, "c", 4), TIDINGS_EBREAKER);
    answer_all(f, "i");
    forget(f);
    ask(f, "c", 5);
    flush(f);
    answer_all(f, "i");
    assert_int_equal(users->instances->breaker.state, TD_BREAKER_CLOSED);
    judge_requests(f);
}

static void test_breaker_of_one_leaves_the_others(void **state)
{
    struct fixture *f = *state;

    hello(f, "c");
    serve_breaking(f, "i", "\"breaker\" {\"failures\" 1}");
    serve_breaking(f, "j", "\"breaker\" {\"failures\" 1}");
    flush(f);
    answered_so(f, "i", TIDINGS_EREMOTE, 500);
    forget(f);
    for (uint64_t i = 1; i <= 6; i++)
        ask(f, "c", i);
    flush(f);
    assert_int_equal(handled_count(f, "i"), 0);
    assert_int_equal(handled_count(f, "j"), 6);
}

static void test_breaker_of_a_service_goes_by_the_rate_of_all(void **state)
{
    static const char options[] =
        "\"breaker\" nil \"service_breaker\" {\"window_min\" 10 "
        "\"rate_percent\" 50}";
    struct fixture *f = *state;
    const struct td_service *users;

    hello(f, "c");
    serve_breaking(f, "i", options);
    serve_breaking(f, "j", options);
    users = f->engine->serving.services;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(users->breaker.state, TD_BREAKER_CLOSED);
        answered_so(f, "i", TIDINGS_EREMOTE, 500);
        answered_so(f, "j", TIDINGS_OK, 0);
    }
    assert_int_equal(users->breaker.state, TD_BREAKER_OPEN);
    forget(f);
    ask(f, "c", 1);
    flush(f);
    assert_int_equal(code_to(f, "c", 1), TIDINGS_EBREAKER);
    judge_requests(f);
}

/* Late ones, and those that were lost, are failures too. */
static void test_breaker_counts_the_late_and_the_lost(void **state)
{
    struct fixture *f = *state;
    const struct td_service *users;

    hello(f, "c");
    serve_breaking(f, "i",
                   "\"breaker\" {\"failures\" 2} \"service_breaker\" "
                   "{\"failures\" 4}");
    serve_breaking(f, "j", "\"service_breaker\" {\"failures\" 4}");
    users = f->engine->serving.services;
    ask(f, "c", 1);
    ask(f, "c", 2);
    ask(f, "c", 3);
    ask(f, "c", 4);
    flush(f);
    gone(f, "j");
    flush(f);
    assert_int_equal(users->breaker.failures, 2);
    pass(f, 1000);
    assert_int_equal(users->instances->breaker.state, TD_BREAKER_OPEN);
    assert_int_equal(users->breaker.state, TD_BREAKER_OPEN);
    judge_requests(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_round_robin_is_exact),
        TEST(test_caller_chooses_how_and_whom),
        TEST(test_wrong_options_are_that_rows_own),
        TEST(test_random_and_latency_reach_all),
        TEST(test_balance_of_the_youngest_is_used),
        TEST(test_more_than_max_in_flight_goes_to_others_or_nowhere),
        TEST(test_weight_is_what_a_version_gets),
        TEST(test_degraded_of_a_weight_come_before_those_of_none),
        TEST(test_weights_outlive_instances_and_have_a_bound),
        TEST(test_breaker_opens_by_failures_and_closes_by_probes),
        TEST(test_breaker_of_one_leaves_the_others),
        TEST(test_breaker_of_a_service_goes_by_the_rate_of_all),
        TEST(test_breaker_counts_the_late_and_the_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
