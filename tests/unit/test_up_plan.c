/* The orchestrator's state machine, under a clock of the test's. */
#include "tests/support/td_test.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/up/order.h"
#include "client/cli/up/plan.h"

static struct td_up_service services[TD_UP_SERVICES_MAX];
static struct td_up_spec spec;
static struct td_plan plan;

/* ---- services to plan for ---- */

static void no_services(void)
{
    memset(services, 0, sizeof(services));
    memset(&spec, 0, sizeof(spec));
    spec.services = services;
}

/* needs: one letter for each, its place in the file: 'a' is the first. */
static struct td_up_service *service(const char *name, const char *needs)
{
    struct td_up_service *s = &services[spec.len++];

    *s = (struct td_up_service){
        .name = name,
        .ready = TD_UP_READY_SERVICE,
        .ready_timeout_ms = 1000,
        .instances = 1,
        .backoff_ms = 100,
        .backoff_max_ms = 800,
        .restarts_max = 5,
        .restart_window_ms = 60000,
        .stop_signal = SIGTERM,
        .stop_timeout_ms = 500,
    };
    for (; *needs; needs++)
        s->needs[s->needs_len++] = (uint32_t)(*needs - 'a');
    return s;
}

static void begin(bool abort_on_failure)
{
    uint32_t circle[TD_UP_SERVICES_MAX + 1];

    assert_int_equal(td_up_order(&spec, circle), 0);
    td_plan_init(&plan, &spec, abort_on_failure, 0);
}

/* What is to be done at that time, "spawn a.1, kill b.2". */
static const char *todo(int64_t now_ms)
{
    static const char *const names[] = {
        [TD_PLAN_SPAWN] = "spawn",
        [TD_PLAN_SIGNAL] = "signal",
        [TD_PLAN_KILL] = "kill",
    };
    static char text[1024];
    enum td_plan_action action;
    uint32_t i;

    text[0] = '\0';
    while ((action = td_plan_next(&plan, &i, now_ms)) != TD_PLAN_NOTHING)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s %s.%u",
                 *text ? ", " : "", names[action],
                 services[plan.instances[i].service].name,
                 plan.instances[i].number);
    return text;
}

static void assert_todo(int64_t now_ms, const char *wanted)
{
    assert_string_equal(todo(now_ms), wanted);
    assert_string_equal(todo(now_ms), ""); /* what was said is done */
}

/* "a" and "b", which needs it; both ready at 0. */
static void two_ready(void)
{
    no_services();
    service("a", "");
    service("b", "a");
    begin(false);
    todo(0);
    assert_true(td_plan_ready(&plan, 0, 0));
    todo(0);
    assert_true(td_plan_ready(&plan, 1, 0));
}

/* ---- starting ---- */

static void test_plan_starts_what_needs_something_when_that_is_ready(
    void **state)
{
    (void)state;

    no_services();
    service("a", "");
    service("b", "a");
    service("c", "")->instances = 2;
    service("d", "bc");
    begin(false);
    assert_todo(0, "spawn a.1, spawn c.1, spawn c.2");
    assert_true(td_plan_ready(&plan, 0, 40));
    assert_int_equal(plan.instances[0].ready_ms, 40);
    assert_todo(40, "spawn b.1");

    assert_true(td_plan_ready(&plan, 1, 60));
    assert_true(td_plan_ready(&plan, 2, 70));
    assert_todo(80, ""); /* d needs both of c */
    assert_false(td_plan_all_ready(&plan));
    assert_true(td_plan_ready(&plan, 3, 90));
    assert_todo(90, "spawn d.1");
    assert_true(td_plan_ready(&plan, 4, 95));
    assert_true(td_plan_all_ready(&plan));
    assert_false(td_plan_failed(&plan));
    assert_false(td_plan_ready(&plan, 4, 96)); /* it was */
}

static void test_plan_takes_what_runs_as_ready_when_that_is_all(void **state)
{
    (void)state;

    no_services();
    service("a", "")->ready = TD_UP_READY_STARTED;
    service("b", "");
    begin(false);
    todo(0);
    assert_true(td_plan_spawned(&plan, 0, 3));
    assert_false(td_plan_spawned(&plan, 1, 3));
    assert_int_equal(plan.instances[0].state, TD_PLAN_READY);
    assert_int_equal(plan.instances[1].state, TD_PLAN_STARTING);
    assert_int_equal(td_plan_due(&plan), 1000); /* b, unless it is ready */
}

static void test_plan_stops_and_starts_again_what_is_not_ready_in_time(
    void **state)
{
    (void)state;

    no_services();
    service("a", "");
    service("b", "a");
    begin(false);
    todo(0);
    assert_todo(999, "");
    assert_todo(1000, "signal a.1");
    assert_false(td_plan_ready(&plan, 0, 1001)); /* too late */
    assert_todo(1499, "");
    assert_todo(1500, "kill a.1");
    assert_int_equal(td_plan_due(&plan), TD_PLAN_NEVER);
    /* even if it ends well: it was not ready */
    assert_int_equal(td_plan_exited(&plan, 0, true, 1510), TD_PLAN_AGAIN);
    assert_int_equal(td_plan_due(&plan), 1610);
    assert_todo(1610, "spawn a.1");
    assert_true(td_plan_ready(&plan, 0, 1700));
    assert_todo(1700, "spawn b.1");
}

/* ---- again ---- */

static void test_plan_restarts_one_alone_with_growing_backoff(void **state)
{
    static const int64_t waits[] = {100, 200, 400, 800, 800};
    int64_t now = 10;
    (void)state;

    two_ready();
    for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
        assert_int_equal(td_plan_exited(&plan, 0, false, now), TD_PLAN_AGAIN);
        assert_todo(now + waits[i] - 1, "");
        now += waits[i];
        assert_todo(now, "spawn a.1");
        assert_int_equal(plan.instances[0].restarts, i + 1);
        td_plan_ready(&plan, 0, now);
    }
    assert_int_equal(plan.instances[1].state, TD_PLAN_READY);
    assert_int_equal(plan.instances[1].restarts, 0);
}

static void test_plan_begins_anew_after_it_ran_well_for_a_while(void **state)
{
    (void)state;

    two_ready();
    td_plan_exited(&plan, 0, false, 10);
    todo(110);
    td_plan_ready(&plan, 0, 120);
    td_plan_exited(&plan, 0, false, 920); /* not longer than backoff_max */
    assert_int_equal(td_plan_due(&plan), 920 + 200);
    todo(1120);
    td_plan_ready(&plan, 0, 1120);
    td_plan_exited(&plan, 0, false, 1121 + 800);
    assert_int_equal(td_plan_due(&plan), 1921 + 100);
}

static void test_plan_gives_up_at_the_cap_and_leaves_the_others(void **state)
{
    int64_t now = 0;
    (void)state;

    two_ready();
    for (int i = 0; i < 5; i++) {
        assert_int_equal(td_plan_exited(&plan, 0, false, now), TD_PLAN_AGAIN);
        now = td_plan_due(&plan);
        assert_todo(now, "spawn a.1");
    }
    assert_int_equal(td_plan_exited(&plan, 0, false, now), TD_PLAN_GIVEN_UP);
    assert_todo(now + 100000, "");
    assert_int_equal(plan.instances[0].state, TD_PLAN_FAILED);
    assert_int_equal(plan.instances[1].state, TD_PLAN_READY);
    assert_true(td_plan_failed(&plan));
    assert_false(td_plan_over(&plan)); /* b runs */
}

static void test_plan_forgets_restarts_behind_the_window(void **state)
{
    int64_t now = 0;
    (void)state;

    two_ready();
    services[0].restart_window_ms = 10000;
    for (int i = 0; i < 20; i++) { /* every 2.1 s: four in the window */
        assert_int_equal(td_plan_exited(&plan, 0, false, now), TD_PLAN_AGAIN);
        todo(td_plan_due(&plan));
        td_plan_ready(&plan, 0, now + 100);
        now += 2100;
    }
    assert_int_equal(plan.instances[0].restarts, 20);
}

static void test_plan_obeys_the_policy(void **state)
{
    static const struct {
        enum td_up_policy policy;
        bool well;
        enum td_plan_verdict verdict;
    } rows[] = {
        {TD_UP_ON_FAILURE, true, TD_PLAN_DONE},
        {TD_UP_ON_FAILURE, false, TD_PLAN_AGAIN},
        {TD_UP_ALWAYS, true, TD_PLAN_AGAIN},
        {TD_UP_ALWAYS, false, TD_PLAN_AGAIN},
        {TD_UP_NEVER, true, TD_PLAN_DONE},
        {TD_UP_NEVER, false, TD_PLAN_GIVEN_UP},
    };
    (void)state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        two_ready();
        services[1].policy = rows[i].policy;
        if (td_plan_exited(&plan, 1, rows[i].well, 5) != rows[i].verdict)
            fail_msg("row %zu", i);
    }
}

/* ---- what never comes up ---- */

static void test_plan_is_over_when_what_waits_cannot_start(void **state)
{
    (void)state;

    no_services();
    service("a", "")->policy = TD_UP_NEVER;
    service("b", "a");
    service("c", "b");
    begin(false);
    todo(0);
    assert_false(td_plan_over(&plan));
    assert_null(td_plan_blocked_by(&plan, 2));
    assert_int_equal(td_plan_exited(&plan, 0, false, 5), TD_PLAN_GIVEN_UP);
    assert_todo(5, "");
    assert_ptr_equal(td_plan_blocked_by(&plan, 1), &services[0]);
    assert_ptr_equal(td_plan_blocked_by(&plan, 2), &services[1]);
    assert_true(td_plan_over(&plan));
    assert_true(td_plan_failed(&plan));
    assert_false(td_plan_all_ready(&plan));
}

static void test_plan_gives_up_at_once_what_cannot_be_run(void **state)
{
    (void)state;

    two_ready();
    td_plan_exited(&plan, 1, false, 5);
    todo(td_plan_due(&plan));
    td_plan_unable(&plan, 1, 200);
    assert_int_equal(plan.instances[1].state, TD_PLAN_FAILED);
    assert_int_equal(td_plan_due(&plan), TD_PLAN_NEVER);
    assert_false(td_plan_over(&plan));
}

static void test_plan_stops_all_when_one_is_given_up_if_asked_to(void **state)
{
    (void)state;

    no_services();
    service("a", "");
    service("b", "a")->policy = TD_UP_NEVER;
    service("c", "b");
    begin(true);
    todo(0);
    td_plan_ready(&plan, 0, 1);
    todo(1);
    td_plan_exited(&plan, 1, false, 2);
    assert_todo(2, "signal a.1");
    assert_int_equal(td_plan_exited(&plan, 0, false, 3), TD_PLAN_STOPPED);
    assert_true(td_plan_over(&plan));
    assert_true(td_plan_failed(&plan));
}

/* ---- stopping ---- */

static void test_plan_stops_in_reversed_order_each_when_it_is_gone(void **state)
{
    (void)state;

    no_services();
    service("a", "");
    service("b", "a")->instances = 2;
    service("c", "b");
    service("d", "");
    begin(false);
    for (uint32_t i = 0; i < plan.len; i++) {
        todo(0);
        td_plan_ready(&plan, i, 0);
    }
    td_plan_stop(&plan);
    assert_todo(10, "signal c.1, signal d.1");
    td_plan_exited(&plan, 3, false, 20);
    assert_todo(20, "signal b.1, signal b.2");
    td_plan_exited(&plan, 1, true, 30);
    assert_todo(30, ""); /* b.2 needs a */
    td_plan_exited(&plan, 2, true, 40);
    assert_todo(40, "signal a.1");
    assert_false(td_plan_over(&plan));
    td_plan_exited(&plan, 0, true, 50);
    assert_todo(50, "");
    assert_false(td_plan_over(&plan)); /* d */
    td_plan_exited(&plan, 4, true, 60);
    assert_true(td_plan_over(&plan));
    assert_false(td_plan_failed(&plan));
}

static void test_plan_waits_for_what_needs_it_by_way_of_one_that_ended(
    void **state)
{
    (void)state;

    no_services();
    service("a", "");
    service("b", "a");
    service("c", "b");
    begin(false);
    for (uint32_t i = 0; i < 3; i++) {
        todo(0);
        td_plan_ready(&plan, i, 0);
    }
    assert_int_equal(td_plan_exited(&plan, 1, true, 5), TD_PLAN_DONE);
    td_plan_stop(&plan);
    assert_todo(10, "signal c.1");
    td_plan_exited(&plan, 2, true, 11);
    assert_todo(11, "signal a.1");
}

static void test_plan_kills_what_does_not_end_in_time(void **state)
{
    (void)state;

    two_ready();
    td_plan_stop(&plan);
    assert_todo(100, "signal b.1");
    assert_int_equal(td_plan_due(&plan), 600);
    assert_todo(599, "");
    assert_todo(600, "kill b.1");
    assert_todo(100000, ""); /* once */
    assert_int_equal(td_plan_exited(&plan, 1, false, 700), TD_PLAN_STOPPED);
    assert_todo(700, "signal a.1");
}

static void test_plan_stopped_in_the_middle_starts_nothing_more(void **state)
{
    (void)state;

    no_services();
    service("a", "");
    service("b", "a");
    service("c", "");
    begin(false);
    todo(0);
    td_plan_exited(&plan, 2, false, 10); /* c: again at 110 */
    td_plan_stop(&plan);
    assert_todo(20, "signal a.1");
    assert_false(td_plan_ready(&plan, 0, 30));
    assert_int_equal(plan.instances[1].state, TD_PLAN_ENDED);
    assert_int_equal(plan.instances[2].state, TD_PLAN_ENDED);
    td_plan_exited(&plan, 0, false, 40);
    assert_true(td_plan_over(&plan));
    assert_false(td_plan_failed(&plan));
    assert_int_equal(td_plan_due(&plan), TD_PLAN_NEVER);
}

static void test_plan_asked_again_kills_all_at_once(void **state)
{
    (void)state;

    two_ready();
    td_plan_stop(&plan);
    assert_todo(10, "signal b.1");
    td_plan_kill(&plan);
    assert_todo(20, "kill a.1, kill b.1");
    assert_int_equal(td_plan_exited(&plan, 0, false, 21), TD_PLAN_STOPPED);
    assert_int_equal(td_plan_exited(&plan, 1, false, 22), TD_PLAN_STOPPED);
    assert_true(td_plan_over(&plan));
}

static void test_plan_does_not_wait_for_what_is_not_ready_while_stopping(
    void **state)
{
    (void)state;

    /* a is not ready again, and b, which needs it, takes its time to end */
    two_ready();
    td_plan_exited(&plan, 0, false, 10);
    todo(110);
    td_plan_stop(&plan);
    assert_todo(120, "signal b.1");
    assert_int_equal(td_plan_due(&plan), 620); /* b alone */
    td_plan_exited(&plan, 1, true, 200);
    assert_todo(200, "signal a.1");
}

/* ---- order ---- */

static void test_order_finds_circles(void **state)
{
    uint32_t circle[TD_UP_SERVICES_MAX + 1];
    (void)state;

    no_services();
    service("a", "b");
    service("b", "cd");
    service("c", "");
    service("d", "b");
    assert_int_equal(td_up_order(&spec, circle), 3);
    assert_int_equal(circle[0], 1);
    assert_int_equal(circle[1], 3);
    assert_int_equal(circle[2], 1);

    no_services();
    service("a", "a");
    assert_int_equal(td_up_order(&spec, circle), 2);
}

static void test_order_puts_each_behind_what_it_needs(void **state)
{
    uint32_t circle[TD_UP_SERVICES_MAX + 1];
    uint32_t place[TD_UP_SERVICES_MAX];
    (void)state;

    no_services();
    for (uint32_t i = 0; i < TD_UP_SERVICES_MAX; i++) { /* all that follow */
        struct td_up_service *s = service("s", "");

        for (uint32_t n = i + 1; n < TD_UP_SERVICES_MAX; n++)
            s->needs[s->needs_len++] = n;
    }
    assert_int_equal(td_up_order(&spec, circle), 0);
    for (uint32_t i = 0; i < TD_UP_SERVICES_MAX; i++)
        place[spec.order[i]] = i;
    for (uint32_t i = 0; i + 1 < TD_UP_SERVICES_MAX; i++)
        assert_true(place[i] > place[i + 1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_plan_starts_what_needs_something_when_that_is_ready),
        cmocka_unit_test(test_plan_takes_what_runs_as_ready_when_that_is_all),
        cmocka_unit_test(
            test_plan_stops_and_starts_again_what_is_not_ready_in_time),
        cmocka_unit_test(test_plan_restarts_one_alone_with_growing_backoff),
        cmocka_unit_test(test_plan_begins_anew_after_it_ran_well_for_a_while),
        cmocka_unit_test(test_plan_gives_up_at_the_cap_and_leaves_the_others),
        cmocka_unit_test(test_plan_forgets_restarts_behind_the_window),
        cmocka_unit_test(test_plan_obeys_the_policy),
        cmocka_unit_test(test_plan_is_over_when_what_waits_cannot_start),
        cmocka_unit_test(test_plan_gives_up_at_once_what_cannot_be_run),
        cmocka_unit_test(test_plan_stops_all_when_one_is_given_up_if_asked_to),
        cmocka_unit_test(
            test_plan_stops_in_reversed_order_each_when_it_is_gone),
        cmocka_unit_test(
            test_plan_waits_for_what_needs_it_by_way_of_one_that_ended),
        cmocka_unit_test(test_plan_kills_what_does_not_end_in_time),
        cmocka_unit_test(test_plan_stopped_in_the_middle_starts_nothing_more),
        cmocka_unit_test(test_plan_asked_again_kills_all_at_once),
        cmocka_unit_test(
            test_plan_does_not_wait_for_what_is_not_ready_while_stopping),
        cmocka_unit_test(test_order_finds_circles),
        cmocka_unit_test(test_order_puts_each_behind_what_it_needs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
