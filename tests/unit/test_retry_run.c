/* Retries, under a clock of the test's own, which sleeping moves: the linker
 * puts __wrap_td_now_us() and __wrap_td_sleep_until_us() in the places of
 * both, and __wrap_getrandom() in that of the system's. */
#include "tests/support/td_test.h"

#include <errno.h>
#include <sys/random.h>

#include "client/bus.h"
#include "tests/support/alloc.h"
#include "tidings/tidings.h"

#define SLEEPS_MAX 128u

static int64_t now_us;
static int64_t slept_ms[SLEEPS_MAX];
static unsigned sleeps;

static bool no_random;

ssize_t __real_getrandom(void *out, size_t len, unsigned flags);
ssize_t __wrap_getrandom(void *out, size_t len, unsigned flags);
int64_t __wrap_td_now_us(void);
void __wrap_td_sleep_until_us(int64_t at_us);

int64_t __wrap_td_now_us(void)
{
    return now_us;
}

void __wrap_td_sleep_until_us(int64_t at_us)
{
    assert_true(sleeps < SLEEPS_MAX && at_us >= now_us);
    slept_ms[sleeps++] = (at_us - now_us) / 1000;
    now_us = at_us;
}

ssize_t __wrap_getrandom(void *out, size_t len, unsigned flags)
{
    if (!no_random)
        return __real_getrandom(out, len, flags);
    errno = ENOSYS;
    return -1;
}

/* A work that fails so often, and takes so long. */
struct script {
    unsigned calls;
    unsigned fails; /* calls of it, the first */
    tidings_err err;
    int64_t takes_us;
    int left_ms; /* of the deadline, in the last call */
    const char *detail;
};

static tidings_err follow(void *arg)
{
    struct script *s = arg;

    s->left_ms = tidings_deadline_left_ms();
    now_us += s->takes_us;
    if (s->calls++ >= s->fails)
        return TIDINGS_OK;
    if (s->detail)
        tidings_set_detail(s->detail);
    return s->err;
}

static int reset(void **state)
{
    (void)state;
    now_us = 1000000;
    sleeps = 0;
    return 0;
}

static tidings_retry *retry_of(struct tidings_retry_options options)
{
    tidings_retry *r = NULL;

    assert_ok(tidings_retry_new(&r, &options));
    return r;
}

static struct tidings_retry_info info_of(tidings_retry *r)
{
    struct tidings_retry_info info;

    assert_ok(tidings_retry_info(&info, r));
    return info;
}

static void test_retry_tries_again_until_it_goes_well(void **state)
{
    struct script s = {.fails = 2, .err = TIDINGS_ELOST};
    tidings_retry *r = retry_of((struct tidings_retry_options){
        .tries = 5, .backoff_ms = 20, .jitter = TIDINGS_JITTER_NONE});
    (void)state;

    assert_ok(tidings_retry_run(r, follow, &s, 1000));
    assert_int_equal(s.calls, 3);
    assert_int_equal(sleeps, 2);
    assert_int_equal(slept_ms[0], 20);
    assert_int_equal(slept_ms[1], 40);
    assert_int_equal(info_of(r).begun, 1);
    assert_int_equal(info_of(r).retries, 2);
    assert_int_equal(s.left_ms, 940); /* what is left is for all tries */
    assert_int_equal(tidings_deadline_left_ms(), TIDINGS_TIMEOUT_MAX_MS);
    tidings_retry_free(r);
}

static void test_retry_gives_up_after_its_tries(void **state)
{
    struct script s = {
        .fails = 100, .err = TIDINGS_ETIMEDOUT, .detail = "no answer"};
    tidings_retry *r = retry_of((struct tidings_retry_options){.tries = 4});
    (void)state;

    assert_err(tidings_retry_run(r, follow, &s, 86400000), TIDINGS_ETIMEDOUT);
    assert_int_equal(s.calls, 4);
    assert_string_equal(tidings_detail(), "no answer (4 tries)");
    assert_int_equal(info_of(r).exhausted, 1);
    tidings_retry_free(r);
}

static void test_retry_does_not_repeat_what_is_not_worth_it(void **state)
{
    struct script s = {.fails = 100, .err = TIDINGS_EBREAKER};
    tidings_retry *r = retry_of((struct tidings_retry_options){0});
    (void)state;

    assert_err(tidings_retry_run(r, follow, &s, 1000), TIDINGS_EBREAKER);
    assert_int_equal(s.calls, 1);
    assert_string_equal(tidings_detail(), "1 try");
    assert_int_equal(info_of(r).unworthy, 1);
    assert_int_equal(info_of(r).retries, 0);
    tidings_retry_free(r);
}

static void test_retry_ends_where_no_time_is_left_for_the_wait(void **state)
{
    struct script s = {.fails = 100,
                       .err = TIDINGS_ELOST,
                       .takes_us = 300000,
                       .detail = "gone"};
    tidings_retry *r = retry_of((struct tidings_retry_options){
        .tries = 100, .backoff_ms = 100, .jitter = TIDINGS_JITTER_NONE});
    (void)state;

    /* 300, wait 100, 300, wait 200, 300: another 400 would be past 1200. */
    assert_err(tidings_retry_run(r, follow, &s, 1200), TIDINGS_ELOST);
    assert_int_equal(s.calls, 3);
    assert_int_equal(s.left_ms, 300);
    assert_string_equal(tidings_detail(), "gone (3 tries; no time is left)");
    assert_int_equal(info_of(r).timeouts, 1);
    tidings_retry_free(r);
}

static void test_retry_keeps_within_its_budget(void **state)
{
    tidings_retry *r = retry_of((struct tidings_retry_options){
        .tries = 100, .backoff_ms = 1, .backoff_max_ms = 1, .budget_burst = 3});
    struct script s = {
        .fails = 1000000, .err = TIDINGS_EFULL, .detail = "full"};
    (void)state;

    assert_err(tidings_retry_run(r, follow, &s, 86400000), TIDINGS_EFULL);
    assert_int_equal(s.calls, 4);
    assert_string_equal(tidings_detail(),
                        "full (4 tries; the budget is spent)");
    assert_int_equal(info_of(r).budget, 0);
    for (unsigned i = 0; i < 1000; i++) {
        sleeps = 0;
        assert_err(tidings_retry_run(r, follow, &s, 86400000), TIDINGS_EFULL);
    }
    assert_int_equal(info_of(r).begun, 1001);
    assert_int_equal(info_of(r).retries, 3 + 100); /* a tenth, and no more */
    assert_int_equal(info_of(r).cut, 1001);
    tidings_retry_free(r);
}

static void test_retry_may_be_without_a_budget(void **state)
{
    tidings_retry *r = retry_of((struct tidings_retry_options){
        .tries = 100, .backoff_ms = 1, .budget_percent = -1});
    struct script s = {.fails = 1000, .err = TIDINGS_EFULL};
    (void)state;

    assert_err(tidings_retry_run(r, follow, &s, 86400000), TIDINGS_EFULL);
    assert_int_equal(s.calls, 100);
    assert_true(info_of(r).budget == UINT64_MAX);
    tidings_retry_free(r);
}

static void test_retry_leaves_waits_to_chance(void **state)
{
    tidings_retry *r =
        retry_of((struct tidings_retry_options){.tries = 100,
                                                .backoff_ms = 1000,
                                                .backoff_max_ms = 1000,
                                                .budget_percent = -1});
    struct script s = {.fails = 1000, .err = TIDINGS_EFULL};
    bool low = false, high = false;
    (void)state;

    assert_err(tidings_retry_run(r, follow, &s, 86400000), TIDINGS_EFULL);
    for (unsigned i = 0; i < sleeps; i++) {
        assert_true(slept_ms[i] <= 1000);
        low |= slept_ms[i] < 400;
        high |= slept_ms[i] > 600;
    }
    assert_true(low && high); /* of 99: else one run in 10^15 */
    tidings_retry_free(r);
}

static tidings_err run_inside(void *arg)
{
    struct script s = {.fails = 1, .err = TIDINGS_ELOST};

    assert_ok(tidings_retry_run(arg, follow, &s, 60000));
    assert_true(s.left_ms <= 5000); /* the outer one's */
    now_us += 10000000;
    return tidings_retry_run(arg, follow, &s, 60000);
}

static void test_retry_has_no_more_than_the_threads_deadline(void **state)
{
    tidings_retry *r = retry_of((struct tidings_retry_options){0});
    (void)state;

    assert_err(tidings_with_deadline(5000, run_inside, r), TIDINGS_ETIMEDOUT);
    assert_string_equal(tidings_detail(), "the thread's deadline has passed");
    assert_int_equal(info_of(r).begun, 1);
    tidings_retry_free(r);
}

static bool only_invalid(void *arg, tidings_err err)
{
    ++*(unsigned *)arg;
    return err == TIDINGS_EINVAL;
}

static void test_retry_asks_what_is_worth_it(void **state)
{
    unsigned asked = 0;
    tidings_retry *r = retry_of((struct tidings_retry_options){
        .is_worth = only_invalid, .arg = &asked});
    struct script s = {.fails = 1, .err = TIDINGS_EINVAL};
    (void)state;

    assert_ok(tidings_retry_run(r, follow, &s, 60000));
    assert_int_equal(s.calls, 2);
    assert_int_equal(asked, 1);
    tidings_retry_free(r);
}

static void test_retry_knows_what_is_worth_it(void **state)
{
    static const tidings_err worth[] = {TIDINGS_EFULL,        TIDINGS_ETIMEDOUT,
                                        TIDINGS_EUNREACH,     TIDINGS_ELOST,
                                        TIDINGS_ENORESPONDER, TIDINGS_ESHUTDOWN,
                                        TIDINGS_EHANDLER};
    bool want[64] = {0};
    (void)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(worth); i++)
        want[worth[i]] = true;
    for (unsigned err = 0; err < TD_ARRAY_LEN(want); err++)
        assert_row(tidings_err_name((tidings_err)err),
                   tidings_is_worth_retry((tidings_err)err) == want[err]);
    assert_false(tidings_is_worth_retry((tidings_err)-1));
}

static void test_retry_in_a_loop_of_ones_own(void **state)
{
    tidings_retry *r = retry_of((struct tidings_retry_options){
        .tries = 3, .backoff_ms = 50, .jitter = TIDINGS_JITTER_NONE});
    int wait_ms = -1;
    (void)state;

    tidings_retry_begin(r);
    assert_ok(tidings_retry_again(r, 1, TIDINGS_ELOST, &wait_ms));
    assert_int_equal(wait_ms, 50);
    assert_ok(tidings_retry_again(r, 2, TIDINGS_ELOST, &wait_ms));
    assert_int_equal(wait_ms, 100);
    assert_err(tidings_retry_again(r, 3, TIDINGS_ELOST, &wait_ms),
               TIDINGS_ELOST);
    assert_int_equal(wait_ms, 100);
    assert_err(tidings_retry_again(r, 1, TIDINGS_EINVAL, &wait_ms),
               TIDINGS_EINVAL);
    assert_int_equal(info_of(r).retries, 2);
    tidings_retry_free(r);
}

/* ---- options and arguments ---- */

static void test_retry_refuses_what_is_out_of_bounds(void **state)
{
    static const struct {
        const char *detail;
        struct tidings_retry_options options;
    } rows[] = {
        {"tries is 101; 1 to 100", {.tries = 101}},
        {"tries is -1; 1 to 100", {.tries = -1}},
        {"backoff_ms is -1; 1 to 86400000", {.backoff_ms = -1}},
        {"backoff_max_ms is 86400001; 1 to 86400000",
         {.backoff_max_ms = 86400001}},
        {"budget_percent is 101; 1 to 100", {.budget_percent = 101}},
        {"budget_percent is -2; 1 to 100", {.budget_percent = -2}},
        {"budget_burst is 10001; 1 to 10000", {.budget_burst = 10001}},
        {"jitter is 3: none", {.jitter = (enum tidings_jitter)3}},
    };
    tidings_retry *r = NULL;
    (void)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        assert_err(tidings_retry_new(&r, &rows[i].options), TIDINGS_EINVAL);
        assert_row(tidings_detail(),
                   strcmp(tidings_detail(), rows[i].detail) == 0);
        assert_null(r);
    }
}

static void test_retry_refuses_null_and_the_like(void **state)
{
    struct tidings_retry_info info;
    struct script s = {0};
    tidings_retry *r;
    int wait_ms;
    (void)state;

    assert_err(tidings_retry_new(NULL, NULL), TIDINGS_EINVAL);
    assert_ok(tidings_retry_new(&r, NULL));
    assert_err(tidings_retry_run(NULL, follow, &s, 1), TIDINGS_EINVAL);
    assert_err(tidings_retry_run(r, NULL, &s, 1), TIDINGS_EINVAL);
    assert_err(tidings_retry_run(r, follow, &s, 0), TIDINGS_EINVAL);
    assert_err(tidings_retry_run(r, follow, &s, 86400001), TIDINGS_EINVAL);
    assert_err(tidings_retry_again(NULL, 1, TIDINGS_EIO, &wait_ms),
               TIDINGS_EINVAL);
    assert_err(tidings_retry_again(r, 1, TIDINGS_EIO, NULL), TIDINGS_EINVAL);
    assert_err(tidings_retry_again(r, 0, TIDINGS_EIO, &wait_ms),
               TIDINGS_EINVAL);
    assert_err(tidings_retry_again(r, 1, TIDINGS_OK, &wait_ms), TIDINGS_EINVAL);
    assert_err(tidings_retry_info(NULL, r), TIDINGS_EINVAL);
    assert_err(tidings_retry_info(&info, NULL), TIDINGS_EINVAL);
    tidings_retry_begin(NULL);
    tidings_retry_free(NULL);
    assert_int_equal(s.calls, 0);
    tidings_retry_free(r);
}

static tidings_err make_one(void *arg)
{
    tidings_retry *r;
    tidings_err err = tidings_retry_new(&r, NULL);

    (void)arg;
    if (!err)
        tidings_retry_free(r);
    return err;
}

static void test_retry_says_when_there_is_no_memory(void **state)
{
    (void)state;

    assert_int_equal(td_alloc_each(make_one, NULL), 1);
}

static void test_retry_says_when_there_are_no_random_numbers(void **state)
{
    tidings_retry *r = NULL;
    (void)state;

    no_random = true;
    assert_err(tidings_retry_new(&r, NULL), TIDINGS_EIO);
    no_random = false;
    assert_string_equal(tidings_detail(),
                        "no random numbers: Function not implemented");
    assert_null(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_retry_tries_again_until_it_goes_well,
                               reset),
        cmocka_unit_test_setup(test_retry_gives_up_after_its_tries, reset),
        cmocka_unit_test_setup(test_retry_does_not_repeat_what_is_not_worth_it,
                               reset),
        cmocka_unit_test_setup(
            test_retry_ends_where_no_time_is_left_for_the_wait, reset),
        cmocka_unit_test_setup(test_retry_keeps_within_its_budget, reset),
        cmocka_unit_test_setup(test_retry_may_be_without_a_budget, reset),
        cmocka_unit_test_setup(test_retry_leaves_waits_to_chance, reset),
        cmocka_unit_test_setup(test_retry_has_no_more_than_the_threads_deadline,
                               reset),
        cmocka_unit_test_setup(test_retry_asks_what_is_worth_it, reset),
        cmocka_unit_test_setup(test_retry_knows_what_is_worth_it, reset),
        cmocka_unit_test_setup(test_retry_in_a_loop_of_ones_own, reset),
        cmocka_unit_test_setup(test_retry_refuses_what_is_out_of_bounds, reset),
        cmocka_unit_test_setup(test_retry_refuses_null_and_the_like, reset),
        cmocka_unit_test_setup(test_retry_says_when_there_is_no_memory, reset),
        cmocka_unit_test_setup(test_retry_says_when_there_are_no_random_numbers,
                               reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
