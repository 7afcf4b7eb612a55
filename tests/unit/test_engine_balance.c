/* Who gets a request: balance, bounds and weights, PROTOCOL.md 11.3. The
 * choosers alone are in test_balance.c, breakers in test_engine_breaker.c. */
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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
