/* What becomes of tasks: answers, at once, later and too late, and refusals. */
#include "tests/conformance/tasks.h"

#include <stdlib.h>

/* ---- handlers ---- */

static tidings_err no_answer(void *arg, tidings_task *task,
                             const struct tidings_event *request)
{
    (void)task;
    (void)request;
    return *(const tidings_err *)arg;
}

static tidings_err say_no(void *arg, tidings_task *task,
                          const struct tidings_event *request)
{
    (void)arg;
    (void)request;
    return tidings_answer_error(task, 404, "no such user", "{}", 2);
}

static tidings_err twice(void *arg, tidings_task *task,
                         const struct tidings_event *request)
{
    tidings_err err = tidings_answer(task, "a", 1);

    (void)request;
    *(tidings_err *)arg = err ? err : tidings_answer(task, "b", 1);
    return TIDINGS_OK;
}

/* ---- answers ---- */

static void check_echo(struct conf *c, unsigned workers, tidings_bus *caller,
                       tidings_bus *bus)
{
    struct tidings_service_info info;
    struct tidings_reply reply;
    tidings_service *s = tasks_serve_with(
        bus, (struct tidings_service_options){.workers = workers}, tasks_echo,
        NULL);

    (void)c;
    for (unsigned i = 0; i < 100; i++) {
        assert_ok(tasks_ask(&reply, caller, "hello"));
        assert_int_equal(reply.len, 5);
        assert_memory_equal(reply.data, "hello", 5);
        assert_string_equal(reply.instance, tasks_info(s).id);
        tidings_reply_fini(&reply);
    }
    info = tasks_idle_info(s);
    assert_int_equal(info.requests, 100);
    assert_int_equal(info.answered, 100);
    assert_int_equal(info.waiting + info.errors, 0);
    assert_ok(tidings_service_stop(s, CONF_MS));
    assert_err(tasks_ask(&reply, caller, "hello"), TIDINGS_ENORESPONDER);
    tidings_reply_fini(&reply);
}

static void test_tasks_are_answered(void **state)
{
    tidings_bus *bus = conf_open(*state, NULL);
    tidings_bus *caller = conf_open(*state, NULL);

    check_echo(*state, 0, caller, bus);
    check_echo(*state, 4, caller, bus);
    check_echo(*state, 0, bus, bus);
    check_echo(*state, 4, bus, bus);
}

static void test_tasks_may_be_large(void **state)
{
    tidings_bus *bus = conf_open(*state, NULL);
    size_t len = TIDINGS_DATA_MAX;
    char *data = malloc(len);
    struct tidings_reply reply;

    assert_non_null(data);
    memset(data, 'x', len);
    tasks_serve(bus, tasks_echo, NULL);
    for (unsigned i = 0; i < 3; i++) {
        assert_ok(tidings_request(&reply, bus, "task.do", data, len, CONF_MS));
        assert_int_equal(reply.len, len);
        assert_memory_equal(reply.data, data, len);
        tidings_reply_fini(&reply);
    }
    free(data);
}

static void test_tasks_end_as_their_handlers_say(void **state)
{
    tidings_err returned = TIDINGS_OK;
    tidings_bus *bus = conf_open(*state, NULL);
    struct tidings_reply reply;
    tidings_service *s = tasks_serve(bus, no_answer, &returned);

    assert_ok(tasks_ask(&reply, bus, "x"));
    assert_int_equal(reply.len, 0);
    tidings_reply_fini(&reply);

    returned = TIDINGS_EIO;
    assert_err(tasks_ask(&reply, bus, "x"), TIDINGS_EREMOTE);
    assert_int_equal(reply.status, 500);
    assert_string_equal(reply.text, tidings_err_text(TIDINGS_EIO));
    tidings_reply_fini(&reply);
    assert_int_equal(tasks_idle_info(s).errors, 1);
    assert_ok(tidings_service_stop(s, CONF_MS));

    s = tasks_serve(bus, say_no, NULL);
    assert_err(tasks_ask(&reply, bus, "x"), TIDINGS_EREMOTE);
    assert_int_equal(reply.status, 404);
    assert_string_equal(reply.text, "no such user");
    assert_int_equal(reply.len, 2);
    tidings_reply_fini(&reply);
    assert_ok(tidings_service_stop(s, CONF_MS));

    s = tasks_serve(bus, twice, &returned);
    assert_ok(tasks_ask(&reply, bus, "x"));
    assert_memory_equal(reply.data, "a", 1);
    tidings_reply_fini(&reply);
    assert_ok(tidings_service_stop(s, CONF_MS));
    assert_err(returned, TIDINGS_EEXIST);
}

static void test_tasks_refuse_what_is_no_answer(void **state)
{
    tidings_bus *bus = conf_open(*state, NULL);
    struct tasks_replies r = {0};
    tidings_task *task;

    tasks_serve(bus, tasks_keep, NULL);
    tasks_ask_async(bus, &r, CONF_MS);
    task = tasks_wait_kept(1);
    assert_err(tidings_answer(NULL, "x", 1), TIDINGS_EINVAL);
    assert_err(tidings_answer(task, NULL, 1), TIDINGS_EINVAL);
    assert_err(tidings_answer(task, "x", TIDINGS_DATA_MAX + 1), TIDINGS_EINVAL);
    assert_err(tidings_answer_error(task, 0, "", NULL, 0), TIDINGS_EINVAL);
    assert_err(tidings_answer_error(task, 1000, "", NULL, 0), TIDINGS_EINVAL);
    assert_err(tidings_answer_error(task, 500, "\xff", NULL, 0),
               TIDINGS_EINVAL);
    assert_int_equal(tidings_task_left_ms(NULL), 0);
    assert_true(tidings_task_left_ms(task) > 0);
    assert_ok(tidings_answer(task, NULL, 0));
    assert_true(tasks_until(&r.ok, 1));
}

static void *answer_kept(void *arg)
{
    (void)arg;
    for (unsigned i = 1; tasks_kept(i); i++)
        tidings_answer(tasks_kept(i), "later", 5);
    return NULL;
}

static void test_tasks_are_answered_later_by_others(void **state)
{
    tidings_bus *bus = conf_open(*state, NULL);
    struct tasks_replies r = {0};
    tidings_service *s = tasks_serve(bus, tasks_keep, NULL);
    pthread_t thread;

    for (unsigned i = 0; i < 50; i++)
        tasks_ask_async(bus, &r, CONF_MS);
    tasks_wait_kept(50);
    assert_int_equal(tasks_info(s).waiting, 0);
    assert_int_equal(tasks_info(s).running, 50);
    assert_int_equal(pthread_create(&thread, NULL, answer_kept, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(tasks_until(&r.ok, 50));
    assert_int_equal(tasks_idle_info(s).answered, 50);
}

static void test_tasks_time_out_and_are_answered_too_late(void **state)
{
    tidings_bus *bus = conf_open(*state, NULL);
    struct tidings_reply reply;
    tidings_service *s = tasks_serve(bus, tasks_keep, NULL);
    tidings_task *task;

    assert_err(tasks_ask_for(&reply, bus, "x", 200), TIDINGS_ETIMEDOUT);
    tidings_reply_fini(&reply);
    task = tasks_wait_kept(1);
    while (tidings_task_left_ms(task) > 0)
        conf_pause_us(1000);
    assert_int_equal(tasks_info(s).running, 0); /* nobody waits for it */
    assert_err(tidings_answer(task, "x", 1), TIDINGS_ETIMEDOUT);
    assert_ok(tidings_service_stop(s, CONF_MS));
}

static void test_tasks_that_expire_waiting_are_not_handled(void **state)
{
    tidings_bus *bus = conf_open(*state, NULL);
    tidings_bus *caller = conf_open(*state, NULL);
    struct tasks_replies slow = {0};
    struct tasks_replies late = {0};
    int64_t end = td_proc_now_ms() + CONF_MS;
    tidings_service *s = tasks_serve(bus, tasks_wait_inside, NULL);

    tasks_ask_async(caller, &slow, CONF_MS);
    assert_true(tasks_until(&tasks.inside, 1));
    for (unsigned i = 0; i < 10; i++)
        tasks_ask_async(caller, &late, 100);
    while (tasks_info(s).requests < 11 && td_proc_now_ms() < end)
        conf_pause_us(500); /* the link is read while a handler runs */
    end = td_proc_now_ms() + 100 + 1;
    assert_true(tasks_until(&late.other, 10));
    assert_int_equal(atomic_load(&late.err), TIDINGS_ETIMEDOUT);
    while (td_proc_now_ms() <= end)
        conf_pause_us(500);
    atomic_store(&tasks.gate, true);
    assert_true(tasks_until(&slow.ok, 1));
    end = td_proc_now_ms() + CONF_MS;
    while (tasks_info(s).expired < 10 && td_proc_now_ms() < end)
        conf_pause_us(500);
    assert_int_equal(tasks_info(s).expired, 10);
    assert_ok(tidings_service_stop(s, CONF_MS));
    assert_int_equal(atomic_load(&tasks.calls), 1);
}

static void test_tasks_are_dealt_in_turn(void **state)
{
    tidings_bus *bus = conf_open(*state, NULL);
    tidings_bus *caller = conf_open(*state, NULL);
    unsigned all = 10000 / CONF_SLOW;
    struct tasks_replies r = {0};
    tidings_service *s[3];

    for (unsigned i = 0; i < 3; i++)
        s[i] = tasks_serve_with(
            bus, (struct tidings_service_options){.workers = i % 2}, tasks_echo,
            NULL);
    for (unsigned i = 0; i < all; i++) {
        tasks_ask_async(caller, &r, CONF_MS);
        if (i % 1000 == 999)
            assert_true(tasks_until(&r.ok, i - 500));
    }
    assert_true(tasks_until(&r.ok, all));
    assert_int_equal(atomic_load(&r.other), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_in_range(tasks_info(s[i]).requests, all / 3, (all + 2) / 3);
}

int conf_run_tasks_answer(void)
{
    const struct CMUnitTest tests[] = {
        TASK_TEST(test_tasks_are_answered),
        TASK_TEST(test_tasks_may_be_large),
        TASK_TEST(test_tasks_end_as_their_handlers_say),
        TASK_TEST(test_tasks_refuse_what_is_no_answer),
        TASK_TEST(test_tasks_are_answered_later_by_others),
        TASK_TEST(test_tasks_time_out_and_are_answered_too_late),
        TASK_TEST(test_tasks_that_expire_waiting_are_not_handled),
        TASK_TEST(test_tasks_are_dealt_in_turn),
    };

    return cmocka_run_group_tests_name("tasks_answer", tests, NULL, NULL);
}
