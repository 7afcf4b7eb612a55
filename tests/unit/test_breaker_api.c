/* The breaker of a program, under a clock of the test's own: the linker puts
 * __wrap_td_now_ms() in td_now_ms()'s place. */
#include "tests/support/td_test.h"

#include "client/bus.h"
#include "tests/support/alloc.h"
#include "tidings/tidings.h"

static int64_t now_ms;

int64_t __wrap_td_now_ms(void);

int64_t __wrap_td_now_ms(void)
{
    return now_ms;
}

static tidings_breaker *breaker_of(int failures)
{
    struct tidings_breaker_options options = {
        .name = "payments",
        .bounds = {.failures = failures, .recovery_ms = 1000}};
    tidings_breaker *b = NULL;

    assert_ok(tidings_breaker_new(&b, &options));
    return b;
}

static void result(tidings_breaker *b, tidings_err err)
{
    uint64_t ticket;

    assert_ok(tidings_breaker_allow(b, &ticket));
    tidings_breaker_done(b, ticket, err);
}

static struct tidings_breaker_info info_of(tidings_breaker *b)
{
    struct tidings_breaker_info info;

    assert_ok(tidings_breaker_info(&info, b));
    return info;
}

static void test_breaker_opens_refuses_and_closes_again(void **state)
{
    tidings_breaker *b = breaker_of(2);
    struct tidings_breaker_info info;
    uint64_t ticket = 77;
    (void)state;

    now_ms = 50000;
    result(b, TIDINGS_OK);
    result(b, TIDINGS_ETIMEDOUT);
    assert_int_equal(info_of(b).state, TIDINGS_BREAKER_CLOSED);
    result(b, TIDINGS_ELOST);
    now_ms += 400;
    assert_err(tidings_breaker_allow(b, &ticket), TIDINGS_EBREAKER);
    assert_string_equal(tidings_detail(),
                        "breaker \"payments\" is open: try again in 600 ms");
    assert_int_equal(ticket, 77);
    info = info_of(b);
    assert_int_equal(info.state, TIDINGS_BREAKER_OPEN);
    assert_int_equal(info.left_ms, 600);
    assert_int_equal(info.since_ms, 400);
    assert_int_equal(info.failures, 2);

    now_ms += 600;
    assert_int_equal(info_of(b).left_ms, 0);
    assert_ok(tidings_breaker_allow(b, &ticket));
    assert_err(tidings_breaker_allow(b, &ticket), TIDINGS_EBREAKER);
    assert_string_equal(
        tidings_detail(),
        "breaker \"payments\" is half_open: try again in 30000 ms");
    tidings_breaker_done(b, ticket, TIDINGS_EREMOTE); /* it answers */
    result(b, TIDINGS_OK);
    info = info_of(b);
    assert_int_equal(info.state, TIDINGS_BREAKER_CLOSED);
    assert_int_equal(info.since_ms, 0);
    assert_int_equal(info.allowed, 5);
    assert_int_equal(info.refused, 2);
    assert_int_equal(info.succeeded, 3);
    assert_int_equal(info.failed, 2);
    assert_int_equal(info.changes, 3);
    assert_int_equal(info.untold, 0);
    tidings_breaker_free(b);
}

static void test_breaker_counts_what_comes_late_and_what_never_comes(
    void **state)
{
    tidings_breaker *b = breaker_of(1);
    uint64_t early, probe;
    (void)state;

    now_ms = 0;
    assert_ok(tidings_breaker_allow(b, &early));
    result(b, TIDINGS_EIO);
    tidings_breaker_done(b, early, TIDINGS_OK);
    now_ms = 1000;
    assert_ok(tidings_breaker_allow(b, &probe));
    now_ms = 31000;
    assert_ok(tidings_breaker_allow(b, &probe));
    tidings_breaker_cancel(b, probe); /* it makes room at once */
    assert_ok(tidings_breaker_allow(b, &probe));
    assert_int_equal(info_of(b).late, 1);
    assert_int_equal(info_of(b).lost, 1);
    tidings_breaker_free(b);
}

/* ---- work ---- */

static tidings_err count(void *arg)
{
    ++*(unsigned *)arg;
    tidings_set_detail("of the work");
    return TIDINGS_ETIMEDOUT;
}

static void test_breaker_calls_work_unless_it_is_open(void **state)
{
    tidings_breaker *b = breaker_of(2);
    unsigned calls = 0;
    (void)state;

    now_ms = 0;
    assert_err(tidings_breaker_call(b, count, &calls), TIDINGS_ETIMEDOUT);
    assert_err(tidings_breaker_call(b, count, &calls), TIDINGS_ETIMEDOUT);
    assert_string_equal(tidings_detail(), "of the work");
    assert_err(tidings_breaker_call(b, count, &calls), TIDINGS_EBREAKER);
    assert_int_equal(calls, 2);
    tidings_breaker_free(b);
}

/* ---- verdicts ---- */

static void test_breaker_verdicts(void **state)
{
    static const tidings_err good[] = {
        TIDINGS_OK,        TIDINGS_EREMOTE, TIDINGS_ENOTFOUND, TIDINGS_EEXIST,
        TIDINGS_ECONFLICT, TIDINGS_ENOTSUP, TIDINGS_ETERM};
    static const tidings_err none[] = {
        TIDINGS_EINVAL,  TIDINGS_ENOMEM, TIDINGS_ECLOSED,  TIDINGS_EFORKED,
        TIDINGS_EDEADLK, TIDINGS_ELATER, TIDINGS_ERELEASE, TIDINGS_EBREAKER};
    enum tidings_verdict want[64] = {0}; /* all others: bad */
    (void)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(good); i++)
        want[good[i]] = TIDINGS_VERDICT_GOOD;
    for (size_t i = 0; i < TD_ARRAY_LEN(none); i++)
        want[none[i]] = TIDINGS_VERDICT_NONE;
    for (unsigned err = 0; err < TD_ARRAY_LEN(want); err++)
        assert_row(tidings_err_name((tidings_err)err),
                   tidings_verdict_of((tidings_err)err) == want[err]);
    assert_int_equal(tidings_verdict_of((tidings_err)-1), TIDINGS_VERDICT_BAD);
}

static void test_breaker_takes_no_notice_of_the_callers_own_errors(void **state)
{
    tidings_breaker *b = breaker_of(1);
    (void)state;

    now_ms = 0;
    result(b, TIDINGS_EINVAL);
    result(b, TIDINGS_EBREAKER);
    assert_int_equal(info_of(b).state, TIDINGS_BREAKER_CLOSED);
    assert_int_equal(info_of(b).succeeded + info_of(b).failed, 0);
    result(b, TIDINGS_EIO);
    now_ms = 1000;
    result(b, TIDINGS_EINVAL); /* a probe that said nothing: another may go */
    result(b, TIDINGS_OK);
    tidings_breaker_free(b);
}

static enum tidings_verdict only_lost(void *arg, tidings_err err)
{
    assert_int_equal(*(int *)arg, 42);
    return err == TIDINGS_ELOST ? TIDINGS_VERDICT_BAD : TIDINGS_VERDICT_GOOD;
}

static void test_breaker_goes_by_a_verdict_of_ones_own(void **state)
{
    int number = 42;
    struct tidings_breaker_options options = {
        .bounds = {.failures = 1}, .verdict = only_lost, .arg = &number};
    tidings_breaker *b;
    (void)state;

    now_ms = 0;
    assert_ok(tidings_breaker_new(&b, &options));
    result(b, TIDINGS_ETIMEDOUT);
    assert_int_equal(info_of(b).state, TIDINGS_BREAKER_CLOSED);
    result(b, TIDINGS_ELOST);
    assert_int_equal(info_of(b).state, TIDINGS_BREAKER_OPEN);
    tidings_breaker_free(b);
}

/* ---- options and arguments ---- */

static void test_breaker_refuses_what_is_out_of_bounds(void **state)
{
    static const char long_name[66] =
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
    static const struct {
        const char *detail;
        struct tidings_breaker_options options;
    } rows[] = {
        {"name has 65 bytes; at most 64", {.name = long_name}},
        {"name is not UTF-8", {.name = "\xff"}},
        {"failures is -2; 1 to 1000000", {.bounds = {.failures = -2}}},
        {"rate_percent is 101; 1 to 100", {.bounds = {.rate_percent = 101}}},
        {"window_ms is -1; 1 to 86400000", {.bounds = {.window_ms = -1}}},
        {"window_min is -1; 1 to 1000000", {.bounds = {.window_min = -1}}},
        {"recovery_ms is 86400001; 1 to 86400000",
         {.bounds = {.recovery_ms = 86400001}}},
        {"recovery_max_ms is -1; 1 to 86400000",
         {.bounds = {.recovery_max_ms = -1}}},
        {"probes is -1; 1 to 1000000", {.probes = -1}},
        {"successes is -1; 1 to 1000000", {.successes = -1}},
        {"probe_ms is -1; 1 to 86400000", {.probe_ms = -1}},
    };
    (void)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        tidings_breaker *b = NULL;

        assert_err(tidings_breaker_new(&b, &rows[i].options), TIDINGS_EINVAL);
        assert_row(tidings_detail(),
                   strcmp(tidings_detail(), rows[i].detail) == 0);
        assert_null(b);
    }
}

static void test_breaker_may_have_its_limits_off(void **state)
{
    struct tidings_breaker_options options = {
        .bounds = {.failures = -1, .rate_percent = -1}};
    tidings_breaker *b;
    (void)state;

    now_ms = 0;
    assert_ok(tidings_breaker_new(&b, &options));
    for (unsigned i = 0; i < 1000; i++)
        result(b, TIDINGS_EIO);
    assert_int_equal(info_of(b).changes, 0);
    tidings_breaker_free(b);
    /* By default five in a row, or half of at least twenty. */
    assert_ok(tidings_breaker_new(&b, NULL));
    for (unsigned i = 0; i < 19; i++)
        result(b, i % 2 ? TIDINGS_OK : TIDINGS_EIO);
    assert_int_equal(info_of(b).changes, 0);
    result(b, TIDINGS_OK);
    assert_int_equal(info_of(b).state, TIDINGS_BREAKER_OPEN);
    tidings_breaker_free(b);
}

static void test_breaker_refuses_null(void **state)
{
    struct tidings_breaker_info info;
    tidings_breaker *b = breaker_of(1);
    uint64_t ticket;
    (void)state;

    assert_err(tidings_breaker_new(NULL, NULL), TIDINGS_EINVAL);
    assert_err(tidings_breaker_allow(NULL, &ticket), TIDINGS_EINVAL);
    assert_err(tidings_breaker_allow(b, NULL), TIDINGS_EINVAL);
    assert_err(tidings_breaker_call(NULL, count, NULL), TIDINGS_EINVAL);
    assert_err(tidings_breaker_call(b, NULL, NULL), TIDINGS_EINVAL);
    assert_err(tidings_breaker_attach(NULL, NULL), TIDINGS_EINVAL);
    assert_err(tidings_breaker_info(NULL, b), TIDINGS_EINVAL);
    assert_err(tidings_breaker_info(&info, NULL), TIDINGS_EINVAL);
    tidings_breaker_done(NULL, 1, TIDINGS_OK);
    tidings_breaker_cancel(NULL, 1);
    tidings_breaker_free(NULL);
    tidings_breaker_free(b);
}

static tidings_err make_one(void *arg)
{
    tidings_breaker *b;
    tidings_err err = tidings_breaker_new(&b, NULL);

    (void)arg;
    if (!err)
        tidings_breaker_free(b);
    return err;
}

static void test_breaker_says_when_there_is_no_memory(void **state)
{
    (void)state;

    assert_int_equal(td_alloc_each(make_one, NULL), 1);
}

static void test_breaker_names_its_states(void **state)
{
    (void)state;

    assert_string_equal(tidings_breaker_state_name(TIDINGS_BREAKER_CLOSED),
                        "closed");
    assert_string_equal(tidings_breaker_state_name(TIDINGS_BREAKER_OPEN),
                        "open");
    assert_string_equal(tidings_breaker_state_name(TIDINGS_BREAKER_HALF_OPEN),
                        "half_open");
    assert_string_equal(
        tidings_breaker_state_name((enum tidings_breaker_state)3), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_breaker_opens_refuses_and_closes_again),
        cmocka_unit_test(
            test_breaker_counts_what_comes_late_and_what_never_comes),
        cmocka_unit_test(test_breaker_calls_work_unless_it_is_open),
        cmocka_unit_test(test_breaker_verdicts),
        cmocka_unit_test(
            test_breaker_takes_no_notice_of_the_callers_own_errors),
        cmocka_unit_test(test_breaker_goes_by_a_verdict_of_ones_own),
        cmocka_unit_test(test_breaker_refuses_what_is_out_of_bounds),
        cmocka_unit_test(test_breaker_may_have_its_limits_off),
        cmocka_unit_test(test_breaker_refuses_null),
        cmocka_unit_test(test_breaker_says_when_there_is_no_memory),
        cmocka_unit_test(test_breaker_names_its_states),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
