/* Tasks when links, services and buses end meanwhile; and who gets none, since
 * it is not well. */
#include "tests/conformance/tasks.h"

/* ---- ends ---- */

static void arrived(tidings_service *s, uint64_t requests)
{
    int64_t end = td_proc_now_ms() + CONF_MS;

    while (tasks_info(s).requests < requests && td_proc_now_ms() < end)
        conf_pause_us(200);
    assert_int_equal(tasks_info(s).requests, requests);
}

static void *open_gate(void *arg)
{
    (void)arg;
    conf_pause_us(20000);
    atomic_store(&tasks.gate, true);
    return NULL;
}

static void test_tasks_that_have_arrived_are_answered_when_it_stops(
    void **state)
{
    for (unsigned workers = 0; workers < 3; workers += 2) {
        tidings_bus *bus = conf_open(*state, NULL);
        tidings_bus *caller = conf_open(*state, NULL);
        struct tasks_replies r = {0};
        tidings_service *s = tasks_serve_with(
            bus, (struct tidings_service_options){.workers = workers},
            tasks_wait_inside, NULL);
        pthread_t thread;

        atomic_store(&tasks.gate, false);
        for (unsigned i = 0; i < 20; i++)
            tasks_ask_async(caller, &r, CONF_MS);
        arrived(s, 20);
        assert_int_equal(pthread_create(&thread, NULL, open_gate, NULL), 0);
        if (workers > 0)
            assert_ok(tidings_service_stop(s, CONF_MS));
        else
            assert_ok(tidings_drain(bus, CONF_MS));
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_true(tasks_until(&r.ok, 20));
        assert_int_equal(atomic_load(&r.other), 0);
    }
}

static void test_tasks_that_are_left_are_lost_when_it_stops(void **state)
{
    tidings_bus *bus = conf_open(*state, NULL);
    tidings_bus *caller = conf_open(*state, NULL);
    struct tasks_replies r = {0};
    tidings_service *s = tasks_serve(bus, tasks_keep, NULL);
    struct tidings_info info;
    int64_t us;

    for (unsigned i = 0; i < 3; i++)
        tasks_ask_async(caller, &r, CONF_MS);
    tasks_wait_kept(3);
    assert_err(tidings_service_stop(s, 10), TIDINGS_ETIMEDOUT);
    assert_true(tasks_until(&r.other, 3));
    assert_int_equal(atomic_load(&r.err), TIDINGS_ELOST);
    assert_ok(tidings_ping(&us, bus, CONF_MS));
    assert_ok(tidings_info(&info, bus));
    assert_int_equal(info.connects, 1); /* the link has not broken over it */
    for (unsigned i = 0; i < 3; i++)
        assert_err(tidings_answer(tasks_kept(i + 1), "x", 1), TIDINGS_ECLOSED);
}

static void test_tasks_outlive_their_bus(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    tidings_bus *caller = conf_open(c, NULL);
    struct tasks_replies r = {0};

    tasks_serve(bus, tasks_keep, NULL);
    tasks_serve_with(bus, (struct tidings_service_options){.workers = 2},
                     tasks_keep, NULL);
    for (unsigned i = 0; i < 4; i++)
        tasks_ask_async(caller, &r, CONF_MS);
    tasks_wait_kept(4);
    conf_forget(c, bus);
    assert_ok(tidings_close(bus));
    assert_true(tasks_until(&r.other, 4));
    assert_int_equal(atomic_load(&r.err), TIDINGS_ELOST);
    for (unsigned i = 0; i < 4; i++)
        assert_err(tidings_answer(tasks_kept(i + 1), "x", 1), TIDINGS_ECLOSED);
}

static void test_tasks_of_a_lost_link_are_for_nobody(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus;
    tidings_bus *caller;
    struct tasks_replies r = {0};
    int64_t end;

    if (!conf_has_daemon())
        skip(); /* inproc has no link to lose */
    bus = conf_open_at(c, td_chaos_url(conf_chaos(c)), NULL);
    caller = conf_open(c, NULL);
    tasks_serve(bus, tasks_keep, NULL);
    tasks_ask_async(caller, &r, CONF_MS);
    tasks_wait_kept(1);
    td_chaos_cut(c->chaos);
    assert_true(tasks_until(&r.other, 1));
    assert_int_equal(atomic_load(&r.err), TIDINGS_ELOST);

    /* It is served again, and what it is asked then is answered. */
    end = td_proc_now_ms() + CONF_MS;
    while (!tasks_kept(2) && td_proc_now_ms() < end) {
        unsigned n = atomic_load(&r.other);

        tasks_ask_async(caller, &r, CONF_MS);
        while (!tasks_kept(2) && atomic_load(&r.other) == n &&
               td_proc_now_ms() < end)
            conf_pause_us(500);
    }
    assert_err(tidings_answer(tasks_wait_kept(1), "x", 1), TIDINGS_EUNREACH);
    assert_ok(tidings_answer(tasks_wait_kept(2), "x", 1));
    assert_true(tasks_until(&r.ok, 1));
}

/* ---- health ---- */

static enum tidings_health say_health(void *arg, char *text, size_t size)
{
    (void)arg;
    snprintf(text, size, "as set");
    return (enum tidings_health)atomic_load(&tasks.health);
}

static void test_tasks_go_to_who_is_well(void **state)
{
    const struct tidings_service_options checked = {.health_ms = 100,
                                                    .health_check = say_health};

    for (unsigned workers = 0; workers < 2; workers++) {
        struct tidings_service_options o = checked;
        tidings_bus *bus = conf_open(*state, NULL);
        tidings_bus *caller = conf_open(*state, NULL);
        tidings_service *s;

        o.workers = workers;
        s = tasks_serve_with(bus, o, tasks_echo, NULL);
        tasks_ask_until(caller, TIDINGS_OK);
        atomic_store(&tasks.health, TIDINGS_SICK);
        tasks_ask_until(caller, TIDINGS_ENORESPONDER);
        assert_int_equal(tasks_info(s).health, TIDINGS_SICK);
        atomic_store(&tasks.health, TIDINGS_DEGRADED);
        tasks_ask_until(caller, TIDINGS_OK);
        atomic_store(&tasks.health, 77);
        tasks_ask_until(caller, TIDINGS_ENORESPONDER);
        assert_int_equal(tasks_info(s).health, TIDINGS_SICK);
        assert_ok(tidings_service_stop(s, CONF_MS));
        atomic_store(&tasks.health, TIDINGS_RUNNING);
    }
}

static void test_tasks_go_nowhere_while_it_is_told_so(void **state)
{
    tidings_bus *bus = conf_open(*state, NULL);
    struct tidings_service_options o = {.health = TIDINGS_STARTING};
    tidings_service *s = tasks_serve_with(bus, o, tasks_echo, NULL);

    tasks_ask_until(bus, TIDINGS_ENORESPONDER);
    assert_ok(tidings_service_set_health(s, TIDINGS_RUNNING, NULL));
    tasks_ask_until(bus, TIDINGS_OK);
    assert_ok(tidings_service_set_health(s, TIDINGS_SICK, "no disk"));
    tasks_ask_until(bus, TIDINGS_ENORESPONDER);
}

int conf_run_tasks_end(void)
{
    const struct CMUnitTest tests[] = {
        TASK_TEST(test_tasks_that_have_arrived_are_answered_when_it_stops),
        TASK_TEST(test_tasks_that_are_left_are_lost_when_it_stops),
        TASK_TEST(test_tasks_outlive_their_bus),
        TASK_TEST(test_tasks_of_a_lost_link_are_for_nobody),
        TASK_TEST(test_tasks_go_to_who_is_well),
        TASK_TEST(test_tasks_go_nowhere_while_it_is_told_so),
    };

    return cmocka_run_group_tests_name("tasks_end", tests, NULL, NULL);
}
