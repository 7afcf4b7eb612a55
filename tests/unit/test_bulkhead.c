/* Bulkheads: places, the line before them, and its order. Threads record, the
 * test asserts. */
#include "tests/support/td_test.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "tests/support/alloc.h"
#include "tidings/tidings.h"

#define WAIT_MS 20000 /* longer than any machine takes */

static tidings_bulkhead *bulkhead_of(int running, int waiting)
{
    struct tidings_bulkhead_options options = {
        .name = "db", .running = running, .waiting = waiting};
    tidings_bulkhead *b = NULL;

    assert_ok(tidings_bulkhead_new(&b, &options));
    return b;
}

static struct tidings_bulkhead_info info_of(tidings_bulkhead *b)
{
    struct tidings_bulkhead_info info;

    assert_ok(tidings_bulkhead_info(&info, b));
    return info;
}

/* ---- one thread ---- */

static void test_bulkhead_refuses_when_it_is_full(void **state)
{
    tidings_bulkhead *b = bulkhead_of(2, -1);
    (void)state;

    assert_ok(tidings_bulkhead_enter(b, 0));
    assert_ok(tidings_bulkhead_enter(b, 100));
    assert_err(tidings_bulkhead_enter(b, 0), TIDINGS_EFULL);
    assert_string_equal(tidings_detail(), "bulkhead \"db\": 2 are inside");
    assert_err(tidings_bulkhead_enter(b, WAIT_MS), TIDINGS_EFULL);
    tidings_bulkhead_leave(b);
    assert_ok(tidings_bulkhead_enter(b, 0));
    assert_int_equal(info_of(b).running, 2);
    assert_int_equal(info_of(b).running_peak, 2);
    assert_int_equal(info_of(b).entered, 3);
    assert_int_equal(info_of(b).refused, 2);
    tidings_bulkhead_free(b);
}

static void test_bulkhead_waits_no_longer_than_it_is_told(void **state)
{
    tidings_bulkhead *b = bulkhead_of(1, 5);
    (void)state;

    assert_ok(tidings_bulkhead_enter(b, 0));
    assert_err(tidings_bulkhead_enter(b, 0), TIDINGS_EFULL);
    assert_string_equal(tidings_detail(),
                        "bulkhead \"db\": 1 is inside, and 0 wait already");
    assert_err(tidings_bulkhead_enter(b, 20), TIDINGS_EFULL);
    assert_string_equal(tidings_detail(),
                        "bulkhead \"db\": no place within 20 ms");
    assert_int_equal(info_of(b).gave_up, 1);
    assert_int_equal(info_of(b).waiting, 0);
    assert_int_equal(info_of(b).waiting_peak, 1);
    tidings_bulkhead_leave(b);
    tidings_bulkhead_leave(b); /* there is none to give back */
    assert_int_equal(info_of(b).running, 0);
    tidings_bulkhead_free(b);
}

static tidings_err enter(void *arg)
{
    return tidings_bulkhead_enter(arg, WAIT_MS);
}

static void test_bulkhead_waits_no_longer_than_the_threads_deadline(
    void **state)
{
    tidings_bulkhead *b = bulkhead_of(1, 5);
    (void)state;

    assert_ok(tidings_bulkhead_enter(b, 0));
    assert_err(tidings_with_deadline(20, enter, b), TIDINGS_ETIMEDOUT);
    assert_string_equal(
        tidings_detail(),
        "bulkhead \"db\": no place before the thread's deadline");
    tidings_bulkhead_free(b);
}

static tidings_err count(void *arg)
{
    ++*(unsigned *)arg;
    return TIDINGS_EIO;
}

static void test_bulkhead_gives_the_place_of_a_call_back(void **state)
{
    tidings_bulkhead *b = bulkhead_of(1, -1);
    unsigned calls = 0;
    (void)state;

    assert_err(tidings_bulkhead_call(b, 0, count, &calls), TIDINGS_EIO);
    assert_err(tidings_bulkhead_call(b, 0, count, &calls), TIDINGS_EIO);
    assert_ok(tidings_bulkhead_enter(b, 0));
    assert_err(tidings_bulkhead_call(b, 0, count, &calls), TIDINGS_EFULL);
    assert_int_equal(calls, 2);
    tidings_bulkhead_free(b);
}

/* ---- several ---- */

struct guest {
    pthread_t thread;
    tidings_bulkhead *bulkhead;
    tidings_err err;
    unsigned place; /* in the order in which they were let in */
};

static unsigned places; /* only changed inside a bulkhead with one place */

static void *visit(void *arg)
{
    struct guest *g = arg;

    g->err = tidings_bulkhead_enter(g->bulkhead, WAIT_MS);
    if (!g->err) {
        g->place = places++;
        tidings_bulkhead_leave(g->bulkhead);
    }
    return NULL;
}

static void until_waiting(tidings_bulkhead *b, uint64_t n)
{
    time_t until = time(NULL) + WAIT_MS / 1000;

    while (info_of(b).waiting < n && time(NULL) < until)
        sched_yield();
    assert_int_equal(info_of(b).waiting, n);
}

static void test_bulkhead_lets_in_in_the_order_of_arrival(void **state)
{
    tidings_bulkhead *b = bulkhead_of(1, 5);
    struct guest guests[5];
    (void)state;

    places = 0;
    assert_ok(tidings_bulkhead_enter(b, 0));
    for (unsigned i = 0; i < 5; i++) {
        guests[i] = (struct guest){.bulkhead = b};
        assert_int_equal(
            pthread_create(&guests[i].thread, NULL, visit, &guests[i]), 0);
        until_waiting(b, i + 1);
    }
    assert_err(tidings_bulkhead_enter(b, WAIT_MS), TIDINGS_EFULL);
    assert_string_equal(tidings_detail(),
                        "bulkhead \"db\": 1 is inside, and 5 wait already");
    tidings_bulkhead_leave(b);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(pthread_join(guests[i].thread, NULL), 0);
        assert_ok(guests[i].err);
        assert_int_equal(guests[i].place, i);
    }
    assert_int_equal(info_of(b).waited, 5);
    assert_int_equal(info_of(b).entered, 6);
    assert_int_equal(info_of(b).running, 0);
    tidings_bulkhead_free(b);
}

/* ---- options and arguments ---- */

static void test_bulkhead_refuses_what_is_out_of_bounds(void **state)
{
    static const struct {
        const char *detail;
        struct tidings_bulkhead_options options;
    } rows[] = {
        {"running is -1; 1 to 65536", {.running = -1}},
        {"running is 65537; 1 to 65536", {.running = 65537}},
        {"waiting is -2; 1 to 65536", {.waiting = -2}},
        {"waiting is 65537; 1 to 65536", {.waiting = 65537}},
        {"name is not UTF-8", {.name = "\xc0\x80"}},
    };
    tidings_bulkhead *b = NULL;
    (void)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        assert_err(tidings_bulkhead_new(&b, &rows[i].options), TIDINGS_EINVAL);
        assert_row(tidings_detail(),
                   strcmp(tidings_detail(), rows[i].detail) == 0);
        assert_null(b);
    }
}

static void test_bulkhead_refuses_null_and_the_like(void **state)
{
    struct tidings_bulkhead_info info;
    tidings_bulkhead *b;
    unsigned calls = 0;
    (void)state;

    assert_err(tidings_bulkhead_new(NULL, NULL), TIDINGS_EINVAL);
    assert_ok(tidings_bulkhead_new(&b, NULL));
    for (unsigned i = 0; i < 16; i++)
        assert_ok(tidings_bulkhead_enter(b, 0));
    assert_err(tidings_bulkhead_enter(b, 0), TIDINGS_EFULL);
    assert_err(tidings_bulkhead_enter(NULL, 0), TIDINGS_EINVAL);
    assert_err(tidings_bulkhead_enter(b, -1), TIDINGS_EINVAL);
    assert_err(tidings_bulkhead_enter(b, 86400001), TIDINGS_EINVAL);
    assert_err(tidings_bulkhead_call(NULL, 0, count, &calls), TIDINGS_EINVAL);
    assert_err(tidings_bulkhead_call(b, 0, NULL, NULL), TIDINGS_EINVAL);
    assert_err(tidings_bulkhead_info(NULL, b), TIDINGS_EINVAL);
    assert_err(tidings_bulkhead_info(&info, NULL), TIDINGS_EINVAL);
    tidings_bulkhead_leave(NULL);
    tidings_bulkhead_free(NULL);
    assert_int_equal(calls, 0);
    tidings_bulkhead_free(b);
}

static tidings_err make_one(void *arg)
{
    tidings_bulkhead *b;
    tidings_err err = tidings_bulkhead_new(&b, NULL);

    (void)arg;
    if (!err)
        tidings_bulkhead_free(b);
    return err;
}

static void test_bulkhead_says_when_there_is_no_memory(void **state)
{
    (void)state;

    assert_int_equal(td_alloc_each(make_one, NULL), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bulkhead_refuses_when_it_is_full),
        cmocka_unit_test(test_bulkhead_waits_no_longer_than_it_is_told),
        cmocka_unit_test(
            test_bulkhead_waits_no_longer_than_the_threads_deadline),
        cmocka_unit_test(test_bulkhead_gives_the_place_of_a_call_back),
        cmocka_unit_test(test_bulkhead_lets_in_in_the_order_of_arrival),
        cmocka_unit_test(test_bulkhead_refuses_what_is_out_of_bounds),
        cmocka_unit_test(test_bulkhead_refuses_null_and_the_like),
        cmocka_unit_test(test_bulkhead_says_when_there_is_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
