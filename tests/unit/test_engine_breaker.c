/* Breakers of instances and of services, PROTOCOL.md 11.4: what counts, and for
 * whom. A breaker alone is in test_breaker.c. */
#include "tests/unit/service_fixture.h"

#include <string.h>

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
    answered_so(f, "i", TIDINGS_ELOST, 0);
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
    assert_true(responded(f, "c", 0, &row, &data));
    assert_true(
        is_text(row.text, "the breaker is half open: its probe is out"));
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
                   "{\"failures\" 3}");
    serve_breaking(f, "j", "\"service_breaker\" {\"failures\" 3}");
    users = f->engine->serving.services;
    ask(f, "c", 1);
    ask(f, "c", 2);
    ask(f, "c", 3);
    ask(f, "c", 4);
    flush(f);
    gone(f, "j");
    flush(f);
    assert_int_equal(users->breaker.failures, 1); /* it has ended: once */
    pass(f, 1000);
    assert_int_equal(users->instances->breaker.state, TD_BREAKER_OPEN);
    assert_int_equal(users->breaker.failures, 3);
    assert_int_equal(users->breaker.state, TD_BREAKER_OPEN);
    judge_requests(f);
}

/* ---- who waited too little ---- */

/* One request after the other, each given up after so long; from when the first
 * has gone out, so many. */
static void give_up(struct fixture *f, unsigned n, uint64_t left_ms)
{
    static uint64_t number = 100;

    for (unsigned i = 0; i < n; i++) {
        ask_with(f, "c", ++number, "user.get", 0, left_ms, 8, "nil");
        flush(f);
        pass(f, (int64_t)left_ms);
    }
}

static const struct td_instance *breaking(struct fixture *f)
{
    hello(f, "c");
    serve_breaking(f, "i",
                   "\"breaker\" {\"failures\" 3} \"service_breaker\" "
                   "{\"failures\" 3}");
    flush(f);
    forget(f);
    return f->engine->serving.services->instances;
}

/* A busy instance that answers is not to blame for who waits 20 ms. */
static void test_breaker_stays_closed_for_callers_who_wait_too_little(
    void **state)
{
    struct fixture *f = *state;
    const struct td_instance *i = breaking(f);

    f->unjudged = true;
    for (unsigned n = 0; n < 20; n++) {
        forget(f);
        give_up(f, 10, 20);
        answer_all(f, "i"); /* too late for all */
        flush(f);
    }
    assert_int_equal(i->breaker.failures, 0);
    assert_int_equal(i->service->breaker.failures, 0);
    assert_int_equal(i->endpoints[0].count.timeouts, 200);
    judge_requests(f);
}

static void test_breaker_opens_for_one_that_hangs_whoever_asks(void **state)
{
    struct fixture *f = *state;
    const struct td_instance *i = breaking(f);

    give_up(f, 9, 100);
    assert_int_equal(i->breaker.state, TD_BREAKER_CLOSED);
    give_up(f, 3, 100); /* nothing for a second */
    assert_int_equal(i->breaker.state, TD_BREAKER_OPEN);
    assert_int_equal(i->service->breaker.state, TD_BREAKER_OPEN);
    judge_requests(f);
}

/* The probe of one that hangs still is a failure at once. */
static void test_breaker_opens_again_for_one_that_hangs_still(void **state)
{
    struct fixture *f = *state;
    const struct td_instance *i = breaking(f);

    give_up(f, 12, 100);
    assert_int_equal(i->breaker.state, TD_BREAKER_OPEN);
    pass(f, TD_BREAKER_RECOVERY_MS);
    give_up(f, 1, 10);
    assert_int_equal(i->breaker.state, TD_BREAKER_OPEN);
    assert_int_equal(i->opened, 2);
}

/* Where answers take two seconds, three are not much. */
static void test_breaker_waits_by_what_answers_take(void **state)
{
    struct fixture *f = *state;
    const struct td_instance *i = breaking(f);
    struct td_handle_row row;

    ask_with(f, "c", 1, "user.get", 0, 9000, 8, "nil");
    flush(f);
    pass(f, 2000);
    assert_true(handled(f, "i", 0, &row));
    answer_with(f, "i", row.task, TIDINGS_OK, 0, 2000000, "");
    flush(f);
    give_up(f, 2, 3000);
    assert_int_equal(i->breaker.failures, 0);
    give_up(f, 2, 3000); /* but it answers nothing any more */
    assert_int_equal(i->breaker.failures, 2);
}

/* ---- one that ends ---- */

static void test_breaker_of_a_service_counts_one_that_ends_once(void **state)
{
    static const char options[] =
        "\"service_breaker\" {\"window_min\" 10 \"rate_percent\" 50}";
    struct fixture *f = *state;
    const struct td_service *users;

    hello(f, "c");
    serve_breaking(f, "i", options);
    serve_breaking(f, "j", options);
    users = f->engine->serving.services;
    for (uint64_t n = 1; n <= 60; n++)
        ask(f, "c", n);
    flush(f);
    assert_int_equal(answer_all(f, "j"), 30);
    gone(f, "i");
    flush(f);
    forget(f);
    assert_int_equal(users->breaker.state, TD_BREAKER_CLOSED);
    assert_int_equal(users->breaker.failed, 1);
    ask(f, "c", 99);
    flush(f);
    assert_int_equal(handled_count(f, "j"), 1);
    judge_requests(f);
}

/* ---- what fails at once ---- */

/* It has no more for that than the others. */
static void test_latency_does_not_prefer_who_fails_at_once(void **state)
{
    struct fixture *f = *state;
    struct td_endpoint *bad;
    uint32_t n = 0;

    hello(f, "c");
    instance_of(f, "i", "users", "1.0.0",
                "\"breaker\" nil \"service_breaker\" nil \"endpoints\" "
                "[{\"name\" \"get\" \"type\" \"user.get\" \"balance\" "
                "\"latency\"}]");
    instance_of(f, "j", "users", "1.0.0",
                "\"breaker\" nil \"service_breaker\" nil \"endpoints\" "
                "[{\"name\" \"get\" \"type\" \"user.get\" \"balance\" "
                "\"latency\"}]");
    flush(f);
    bad = td_instance_find(f->engine, td_str_of("i"))->endpoints;
    for (uint64_t k = 1; k <= 50; k++) {
        struct td_handle_row row;

        forget(f);
        ask(f, "c", k);
        flush(f);
        pass(f, 1);
        n += handled_count(f, "i");
        if (handled(f, "i", 0, &row))
            answer_with(f, "i", row.task, TIDINGS_EREMOTE, 500, 1, "");
        else if (handled(f, "j", 0, &row))
            answer_with(f, "j", row.task, TIDINGS_OK, 0, 900, "");
        flush(f);
    }
    assert_true(n < 10);
    assert_true(td_candidate_cost_us(&bad->candidate, f->now * 1000) > 900);
    judge_requests(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_breaker_opens_by_failures_and_closes_by_probes),
        TEST(test_breaker_of_one_leaves_the_others),
        TEST(test_breaker_of_a_service_goes_by_the_rate_of_all),
        TEST(test_breaker_counts_the_late_and_the_lost),
        TEST(test_breaker_stays_closed_for_callers_who_wait_too_little),
        TEST(test_breaker_opens_for_one_that_hangs_whoever_asks),
        TEST(test_breaker_opens_again_for_one_that_hangs_still),
        TEST(test_breaker_waits_by_what_answers_take),
        TEST(test_breaker_of_a_service_counts_one_that_ends_once),
        TEST(test_latency_does_not_prefer_who_fails_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
