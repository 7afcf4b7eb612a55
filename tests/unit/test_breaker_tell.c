/* How a breaker tells its changes: in order, without its lock, and not all of
 * them where that takes too long. Under a clock of the test's own: the linker
 * puts __wrap_td_now_ms() in td_now_ms()'s place. */
#include "tests/support/td_test.h"

#include "client/bus.h"
#include "tidings/tidings.h"

static int64_t now_ms;

int64_t __wrap_td_now_ms(void);

int64_t __wrap_td_now_ms(void)
{
    return now_ms;
}

/* What on_change was told. */
struct told {
    tidings_breaker *breaker;
    unsigned n;
    struct tidings_breaker_change changes[64];
    bool again; /* fail once more inside it */
};

static void on_change(void *arg, const struct tidings_breaker_change *change)
{
    struct told *t = arg;
    uint64_t ticket;

    assert_true(t->n < TD_ARRAY_LEN(t->changes));
    t->changes[t->n++] = *change;
    tidings_set_detail("of the callback");
    if (!t->again || change->state != TIDINGS_BREAKER_HALF_OPEN)
        return;
    t->again = false; /* a probe, which fails */
    now_ms += 100000;
    assert_ok(tidings_breaker_allow(t->breaker, &ticket));
    tidings_breaker_done(t->breaker, ticket, TIDINGS_EIO);
    assert_int_equal(t->changes[t->n - 1].state, TIDINGS_BREAKER_HALF_OPEN);
}

static tidings_breaker *breaker_of(struct told *t, int failures)
{
    struct tidings_breaker_options options = {
        .name = "payments",
        .bounds = {.failures = failures, .recovery_ms = 1000},
        .on_change = on_change,
        .arg = t};
    tidings_breaker *b = NULL;

    assert_ok(tidings_breaker_new(&b, &options));
    t->breaker = b;
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

static void test_breaker_tells_its_changes_in_order(void **state)
{
    struct told t = {0};
    tidings_breaker *b = breaker_of(&t, 1);
    (void)state;

    now_ms = 0;
    result(b, TIDINGS_EIO);
    now_ms = 1000;
    tidings_set_detail("of the caller");
    result(b, TIDINGS_EIO);
    assert_string_equal(tidings_detail(), "of the caller");
    now_ms = 3000;
    result(b, TIDINGS_OK);
    now_ms = 3500;
    result(b, TIDINGS_OK);

    assert_int_equal(t.n, 5);
    assert_string_equal(t.changes[0].name, "payments");
    assert_int_equal(t.changes[0].state, TIDINGS_BREAKER_OPEN);
    assert_int_equal(t.changes[0].failures, 1);
    assert_int_equal(t.changes[0].open_ms, 1000);
    assert_int_equal(t.changes[1].state, TIDINGS_BREAKER_HALF_OPEN);
    assert_int_equal(t.changes[1].open_ms, 1000);
    assert_int_equal(t.changes[2].state, TIDINGS_BREAKER_OPEN);
    assert_int_equal(t.changes[2].failures, 2);
    assert_int_equal(t.changes[2].open_ms, 2000);
    assert_int_equal(t.changes[3].state, TIDINGS_BREAKER_HALF_OPEN);
    assert_int_equal(t.changes[4].state, TIDINGS_BREAKER_CLOSED);
    assert_int_equal(t.changes[4].open_ms, 3500);
    assert_int_equal(t.changes[4].failures, 0);
    tidings_breaker_free(b);
}

static void test_breaker_may_be_called_by_who_is_told(void **state)
{
    struct told t = {.again = true};
    tidings_breaker *b = breaker_of(&t, 1);
    uint64_t ticket;
    (void)state;

    now_ms = 0;
    result(b, TIDINGS_EIO);
    now_ms = 1000;
    assert_ok(tidings_breaker_allow(b, &ticket));
    assert_int_equal(t.n, 3);
    assert_int_equal(t.changes[2].state, TIDINGS_BREAKER_OPEN);
    tidings_breaker_free(b);
}

/* The first time it is told, it opens and closes the breaker again and again. */
static void on_change_busy(void *arg,
                           const struct tidings_breaker_change *change)
{
    struct told *t = arg;

    t->changes[t->n++] = *change;
    for (unsigned i = 0; t->n == 1 && i < 10; i++) {
        now_ms += 100000;
        result(t->breaker, TIDINGS_OK);
        result(t->breaker, TIDINGS_EIO);
    }
}

static void test_breaker_leaves_out_the_oldest_where_it_cannot_tell_all(
    void **state)
{
    struct told t = {0};
    struct tidings_breaker_options options = {.bounds = {.failures = 1},
                                              .successes = 1,
                                              .on_change = on_change_busy,
                                              .arg = &t};
    (void)state;

    now_ms = 0;
    assert_ok(tidings_breaker_new(&t.breaker, &options));
    result(t.breaker, TIDINGS_EIO);

    /* 1 and 30 changes, of which the last 16 were kept. */
    assert_int_equal(info_of(t.breaker).changes, 31);
    assert_int_equal(info_of(t.breaker).untold, 14);
    assert_int_equal(t.n, 17);
    assert_int_equal(t.changes[0].state, TIDINGS_BREAKER_OPEN);
    assert_int_equal(t.changes[1].state, TIDINGS_BREAKER_OPEN);
    for (unsigned i = 2; i < t.n; i++) /* half open, closed, open, … */
        assert_int_equal(t.changes[i].state,
                         i % 3 == 2   ? TIDINGS_BREAKER_HALF_OPEN
                         : i % 3 == 0 ? TIDINGS_BREAKER_CLOSED
                                      : TIDINGS_BREAKER_OPEN);
    tidings_breaker_free(t.breaker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_breaker_tells_its_changes_in_order),
        cmocka_unit_test(test_breaker_may_be_called_by_who_is_told),
        cmocka_unit_test(
            test_breaker_leaves_out_the_oldest_where_it_cannot_tell_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
