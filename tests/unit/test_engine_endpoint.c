/* What endpoints have done, as service.stats says it; breakers as events; and
 * who is given nothing. */
#include "tests/unit/registry_fixture.h"
#include "tests/unit/service_fixture.h"

static const char watch_all[] = "{" ROOM "}";

static uint64_t task_at(struct fixture *f, const char *peer, uint32_t nth)
{
    struct td_handle_row row;

    assert_row(peer, handled(f, peer, nth, &row));
    return row.task;
}

/* Request n of "c", and what "i" says of it. */
static void round_trip(struct fixture *f, uint64_t n, tidings_err code,
                       uint64_t status, uint64_t held_us)
{
    forget(f);
    ask(f, "c", n);
    flush(f);
    answer_with(f, "i", task_at(f, "i", 0), code, status, held_us, "");
    flush(f);
}

static struct td_str endpoint_of(struct fixture *f)
{
    struct td_str list = call(f, "c", TIDINGS_OK, "service.stats", "{}");

    return row_of(row_of(list, "services", 0), "endpoints", 0);
}

static void test_endpoint_counts_what_came_of_requests(void **state)
{
    struct fixture *f = *state;
    struct td_str endpoint, row;
    uint64_t timed = 0;

    hello(f, "c");
    instance_of(f, "i", "users", "1.0.0",
                "\"breaker\" nil \"service_breaker\" nil \"endpoints\" "
                "[{\"name\" \"get\" \"type\" \"user.get\"}]");
    f->now += 1000; /* so that it may have had them so long */
    endpoint = endpoint_of(f);
    assert_int_equal(count(endpoint, "requests"), 0);
    assert_int_equal(length_of(endpoint, "histogram"), 0);

    for (uint64_t n = 1; n <= 3; n++)
        round_trip(f, n, TIDINGS_OK, 0, 200);
    round_trip(f, 4, TIDINGS_EREMOTE, 503, 400);
    round_trip(f, 5, TIDINGS_EREMOTE, 404, 400);
    round_trip(f, 6, TIDINGS_EFULL, 0, 1);
    round_trip(f, 7, TIDINGS_ETIMEDOUT, 0, 1);
    ask(f, "c", 8);
    flush(f);
    pass(f, 1000); /* its deadline */
    ask(f, "c", 9);
    flush(f);
    forget(f);

    endpoint = endpoint_of(f);
    assert_int_equal(count(endpoint, "requests"), 9);
    assert_int_equal(count(endpoint, "in_flight"), 1);
    assert_int_equal(count(endpoint, "errors"), 2);
    assert_int_equal(count(endpoint, "refused"), 1);
    assert_int_equal(count(endpoint, "timeouts"), 2);
    assert_int_equal(count(endpoint, "lost"), 0);
    assert_true(is_text(text_of(endpoint, "last_error"), "404 it failed"));
    assert_int_equal(count(endpoint, "held_us"), 3 * 200 + 2 * 400);
    assert_int_equal(count(endpoint, "took_us"), 3 * 100 + 2 * 200);
    assert_int_equal(count(endpoint, "took_max_us"), 200);
    assert_int_equal(length_of(endpoint, "histogram"), 2);
    for (uint32_t i = 0; i < 2; i++) {
        struct td_reader r;
        uint64_t below, n;
        uint32_t pair;

        row = row_of(endpoint, "histogram", i);
        r = td_reader_of(row.data, row.len);
        assert_true(td_read_array(&r, &pair) && td_read_uint(&r, &below) &&
                    td_read_uint(&r, &n));
        assert_true(below > (i ? 200u : 100u) && below <= (i ? 256u : 128u));
        timed += n;
    }
    assert_int_equal(timed, 5);
    judge_requests(f);
}

static void test_names_count_what_was_refused(void **state)
{
    struct fixture *f = *state;
    struct td_str totals;

    hello(f, "c");
    instance(f, "i", "\"max_in_flight\" 1");
    for (uint64_t n = 1; n <= 3; n++)
        ask(f, "c", n);
    flush(f);
    give(f, "i", "[21 1 5 \"no\"]");
    ask(f, "c", 4);
    flush(f);
    totals =
        row_of(call(f, "c", TIDINGS_OK, "service.stats", "{}"), "totals", 0);
    assert_true(is_text(text_of(totals, "name"), "users"));
    assert_true(is_text(text_of(totals, "breaker"), "closed"));
    assert_int_equal(count(totals, "full"), 2);
    assert_int_equal(count(totals, "noresponder"), 1);
}

static const struct td_service *service(struct fixture *f, const char *name)
{
    return td_service_find(f->engine, td_str_of(name));
}

/* Whoever else answers that type. */
static void test_refusals_are_those_of_the_service_that_is_named(void **state)
{
    struct fixture *f = *state;

    hello(f, "c");
    instance(f, "i", "");
    instance_of(f, "a", "audit", "1.0.0",
                "\"endpoints\" [{\"name\" \"see\" \"type\" \"user.*\" "
                "\"max_in_flight\" 1}]");
    for (uint64_t n = 1; n <= 2; n++)
        ask_with(f, "c", n, "user.get", 0, 1000, 8, "{\"service\" \"audit\"}");
    give(f, "a", "[21 1 5 \"no\"]");
    ask_with(f, "c", 3, "user.get", 0, 1000, 8, "{\"service\" \"audit\"}");
    ask_with(f, "c", 4, "user.get", 16, 1000, 8, "{\"instance\" \"a\"}");
    ask_with(f, "c", 5, "user.get", 0, 1000, 8, "{\"service\" \"none\"}");
    assert_int_equal(counts(f)->full, 1);
    assert_int_equal(service(f, "audit")->full, 1);
    assert_int_equal(counts(f)->noresponder, 3);
    assert_int_equal(service(f, "audit")->noresponder, 2);
    assert_int_equal(service(f, "users")->full, 0);
    assert_int_equal(service(f, "users")->noresponder, 0);
}

/* ---- breakers ---- */

static void check_breaker(struct fixture *f, const char *is, uint64_t failures)
{
    struct td_str data;

    flush(f);
    assert_int_equal(advised(f, "w", "$service.breaker", &data), 1);
    assert_true(is_text(text_of(data, "service"), "users"));
    assert_true(is_text(text_of(data, "id"), "i"));
    assert_true(is_text(text_of(data, "breaker"), is));
    assert_int_equal(count(data, "revision"), 1);
    assert_int_equal(count(data, "failures"), failures);
    assert_int_equal(count(data, "open_ms") > 0, strcmp(is, "open") == 0);
}

static void test_breakers_are_told(void **state)
{
    struct fixture *f = *state;
    struct td_str row;

    subscriber(f, "w", "$service.breaker", watch_all);
    hello(f, "c");
    instance_of(
        f, "i", "users", "1.0.0",
        "\"breaker\" {\"failures\" 2 \"recovery_ms\" 500} \"endpoints\" "
        "[{\"name\" \"get\" \"type\" \"user.get\"}]");
    round_trip(f, 1, TIDINGS_EREMOTE, 500, 1);
    assert_null(find(f, "w", TD_DELIVER, 0));
    round_trip(f, 2, TIDINGS_EREMOTE, 500, 1);
    check_breaker(f, "open", 2);
    forget(f);
    row =
        row_of(call(f, "c", TIDINGS_OK, "service.stats", "{}"), "services", 0);
    assert_true(is_text(text_of(row, "breaker"), "open"));
    assert_int_equal(count(row, "opened"), 1);
    pass(f, 500);
    forget(f);
    ask(f, "c", 3);
    flush(f);
    check_breaker(f, "half_open", 2);
    answer(f, "i", task_at(f, "i", 0));
    round_trip(f, 4, TIDINGS_OK, 0, 1);
    check_breaker(f, "closed", 0);
    round_trip(f, 5, TIDINGS_OK, 0, 1);
    assert_null(find(f, "w", TD_DELIVER, 0));
}

/* ---- nothing for them ---- */

static void test_drained_instances_are_given_nothing(void **state)
{
    struct fixture *f = *state;

    hello(f, "c");
    instance(f, "i", "");
    instance(f, "j", "");
    call(f, "c", TIDINGS_OK, "service.drain",
         "{\"name\" \"users\" \"id\" \"i\"}");
    give(f, "i", "[21 1 2 \"\"]"); /* whatever it says */
    for (uint64_t n = 1; n <= 10; n++)
        ask(f, "c", n);
    flush(f);
    assert_int_equal(handled_count(f, "i"), 0);
    assert_int_equal(handled_count(f, "j"), 10);
    call(f, "c", TIDINGS_OK, "service.drain", "{\"name\" \"users\"}");
    ask(f, "c", 11);
    flush(f);
    assert_int_equal(code_to(f, "c", 11), TIDINGS_ENORESPONDER);
    answer_all(f, "j"); /* what it has goes on */
    flush(f);
    assert_int_equal(code_to(f, "c", 1), TIDINGS_OK);
    call(f, "c", TIDINGS_OK, "service.drain",
         "{\"name\" \"users\" \"undo\" true}");
    forget(f);
    ask(f, "c", 12);
    ask(f, "c", 13);
    flush(f);
    assert_int_equal(handled_count(f, "i"), 1);
    assert_int_equal(handled_count(f, "j"), 1);
}

static void test_silent_instances_are_given_nothing(void **state)
{
    struct fixture *f = *state;

    hello(f, "c");
    instance_of(f, "i", "users", "1.0.0",
                "\"health_ms\" 100 \"endpoints\" [{\"name\" \"get\" \"type\" "
                "\"user.get\"}]");
    flush(f);
    pass(f, 300);
    ask(f, "c", 1);
    flush(f);
    assert_int_equal(code_to(f, "c", 1), TIDINGS_ENORESPONDER);
    give(f, "i", "[21 1 2 \"\"]");
    ask(f, "c", 2);
    flush(f);
    assert_int_equal(handled_count(f, "i"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_endpoint_counts_what_came_of_requests),
        TEST(test_names_count_what_was_refused),
        TEST(test_refusals_are_those_of_the_service_that_is_named),
        TEST(test_breakers_are_told),
        TEST(test_drained_instances_are_given_nothing),
        TEST(test_silent_instances_are_given_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
