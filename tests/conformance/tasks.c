/* Where handlers of tasks run: on the bus's thread, on threads of the service's
 * own, in the program's loop. */
#include "tests/conformance/tasks.h"

struct tasks_world tasks;

/* Tasks that a handler has left for others. */
static struct {
    pthread_mutex_t lock;
    tidings_task *tasks[64];
    unsigned len;
} kept = {.lock = PTHREAD_MUTEX_INITIALIZER};

int tasks_setup(void **state)
{
    memset(&tasks, 0, sizeof(tasks));
    atomic_store(&tasks.health, TIDINGS_RUNNING);
    kept.len = 0;
    return conf_setup(state);
}

/* ---- handlers ---- */

tidings_err tasks_echo(void *arg, tidings_task *task,
                       const struct tidings_event *request)
{
    (void)arg;
    atomic_fetch_add(&tasks.calls, 1);
    return tidings_answer(task, request->data, request->data_len);
}

tidings_err tasks_keep(void *arg, tidings_task *task,
                       const struct tidings_event *request)
{
    (void)arg;
    (void)request;
    pthread_mutex_lock(&kept.lock);
    kept.tasks[kept.len++] = task;
    pthread_mutex_unlock(&kept.lock);
    return TIDINGS_ELATER;
}

tidings_task *tasks_kept(unsigned n)
{
    tidings_task *task = NULL;

    pthread_mutex_lock(&kept.lock);
    if (kept.len >= n)
        task = kept.tasks[n - 1];
    pthread_mutex_unlock(&kept.lock);
    return task;
}

tidings_task *tasks_wait_kept(unsigned n)
{
    int64_t end = td_proc_now_ms() + CONF_MS;

    while (!tasks_kept(n) && td_proc_now_ms() < end)
        conf_pause_us(200);
    assert_non_null(tasks_kept(n));
    return tasks_kept(n);
}

tidings_err tasks_wait_inside(void *arg, tidings_task *task,
                              const struct tidings_event *request)
{
    unsigned n = atomic_fetch_add(&tasks.inside, 1) + 1;
    unsigned max = atomic_load(&tasks.inside_max);
    int64_t end = td_proc_now_ms() + CONF_MS;

    (void)arg;
    atomic_fetch_add(&tasks.calls, 1);
    while (n > max && !atomic_compare_exchange_weak(&tasks.inside_max, &max, n))
        continue;
    while (!atomic_load(&tasks.gate) && td_proc_now_ms() < end)
        conf_pause_us(200);
    atomic_fetch_sub(&tasks.inside, 1);
    return tidings_answer(task, request->data, request->data_len);
}

bool tasks_until(atomic_uint *count, unsigned n)
{
    int64_t end = td_proc_now_ms() + CONF_MS;

    while (atomic_load(count) < n && td_proc_now_ms() < end)
        conf_pause_us(200);
    return atomic_load(count) >= n;
}

/* ---- services and callers ---- */

tidings_service *tasks_serve_with(tidings_bus *bus,
                                  struct tidings_service_options o,
                                  tidings_task_handler handler, void *arg)
{
    const struct tidings_endpoint e = {
        .type = "task.do", .handler = handler, .arg = arg};
    tidings_service *s = NULL;

    if (!o.name)
        o.name = "tasks";
    o.version = "1.0.0";
    o.endpoints = &e;
    o.endpoints_len = 1;
    assert_ok(tidings_serve(&s, bus, &o));
    return s;
}

tidings_service *tasks_serve(tidings_bus *bus, tidings_task_handler handler,
                             void *arg)
{
    return tasks_serve_with(bus, (struct tidings_service_options){0}, handler,
                            arg);
}

struct tidings_service_info tasks_info(tidings_service *s)
{
    struct tidings_service_info info;

    assert_ok(tidings_service_info(&info, s));
    return info;
}

struct tidings_service_info tasks_idle_info(tidings_service *s)
{
    int64_t end = td_proc_now_ms() + CONF_MS;

    while (tasks_info(s).running > 0 && td_proc_now_ms() < end)
        conf_pause_us(200);
    assert_int_equal(tasks_info(s).running, 0);
    return tasks_info(s);
}

tidings_err tasks_ask_for(struct tidings_reply *reply, tidings_bus *bus,
                          const char *text, int timeout_ms)
{
    return tidings_request(reply, bus, "task.do", text, strlen(text),
                           timeout_ms);
}

tidings_err tasks_ask(struct tidings_reply *reply, tidings_bus *bus,
                      const char *text)
{
    return tasks_ask_for(reply, bus, text, CONF_MS);
}

void tasks_ask_until(tidings_bus *bus, tidings_err wanted)
{
    int64_t end = td_proc_now_ms() + CONF_MS;
    tidings_err err;

    do {
        struct tidings_reply reply;

        err = tasks_ask(&reply, bus, "x");
        tidings_reply_fini(&reply);
        if (err != wanted)
            conf_pause_us(500);
    } while (err != wanted && td_proc_now_ms() < end);
    assert_err(err, wanted);
}

static void on_reply(void *arg, const struct tidings_reply *reply)
{
    struct tasks_replies *r = arg;

    if (!reply->err) {
        atomic_fetch_add(&r->ok, 1);
        return;
    }
    atomic_store(&r->err, reply->err);
    atomic_fetch_add(&r->other, 1);
}

void tasks_ask_async(tidings_bus *bus, struct tasks_replies *r, int timeout_ms)
{
    const struct tidings_event event = {
        .type = "task.do", .data = "x", .data_len = 1};
    const struct tidings_request_options o = {.timeout_ms = timeout_ms};

    assert_ok(tidings_request_async(bus, &event, &o, on_reply, r));
}

/* ---- where handlers run ---- */

static void test_tasks_run_beside_one_another_on_workers(void **state)
{
    tidings_bus *bus = conf_open(*state, NULL);
    struct tasks_replies r = {0};
    tidings_service *s =
        tasks_serve_with(bus, (struct tidings_service_options){.workers = 4},
                         tasks_wait_inside, NULL);

    for (unsigned i = 0; i < 12; i++)
        tasks_ask_async(bus, &r, CONF_MS);
    assert_true(tasks_until(&tasks.inside, 4));
    atomic_store(&tasks.gate, true);
    assert_true(tasks_until(&r.ok, 12));
    assert_int_equal(atomic_load(&tasks.inside_max), 4);
    assert_ok(tidings_service_stop(s, CONF_MS));
}

/* One quick handler, then one that does not return: the first is answered. */
static tidings_err quick_then_slow(void *arg, tidings_task *task,
                                   const struct tidings_event *request)
{
    return atomic_load(&tasks.calls) % 2 == 0
               ? tasks_echo(arg, task, request)
               : tasks_wait_inside(arg, task, request);
}

static void test_tasks_answered_do_not_wait_for_the_next(void **state)
{
    tidings_bus *bus = conf_open(*state, NULL);
    tidings_bus *caller = conf_open(*state, NULL);
    struct tasks_replies r = {0};

    for (unsigned workers = 0; workers < 2; workers++) {
        tidings_service *s = tasks_serve_with(
            bus, (struct tidings_service_options){.workers = workers},
            quick_then_slow, NULL);

        tasks_ask_async(caller, &r, CONF_MS);
        tasks_ask_async(caller, &r, CONF_MS);
        assert_true(tasks_until(&r.ok, 2 * workers + 1));
        assert_true(tasks_until(&tasks.inside, 1));
        atomic_store(&tasks.gate, true);
        assert_true(tasks_until(&r.ok, 2 * workers + 2));
        assert_ok(tidings_service_stop(s, CONF_MS));
        atomic_store(&tasks.gate, false);
    }
}

static void test_tasks_run_in_an_own_loop(void **state)
{
    const struct tidings_options own = {.own_loop = true};
    tidings_bus *bus = conf_open(*state, &own);
    tidings_bus *caller = conf_open(*state, NULL);
    tidings_service *s = tasks_serve(bus, tasks_echo, NULL);
    int64_t end = td_proc_now_ms() + CONF_MS;
    struct tasks_replies r = {0};
    size_t all = 0;

    for (unsigned i = 0; i < 10; i++)
        tasks_ask_async(caller, &r, CONF_MS);
    while (atomic_load(&r.ok) < 10 && td_proc_now_ms() < end) {
        size_t n = 0;

        assert_ok(tidings_dispatch(&n, bus, 3));
        assert_true(n <= 3);
        all += n;
    }
    assert_int_equal(all, 10);
    tasks_ask_async(caller, &r, CONF_MS);
    while (tasks_info(s).waiting == 0 && td_proc_now_ms() < end)
        conf_pause_us(200);
    assert_ok(tidings_service_stop(s, CONF_MS)); /* which is the loop */
    assert_true(tasks_until(&r.ok, 11));
}

static tidings_service *self; /* that its handler would stop */

static tidings_err stop_self(void *arg, tidings_task *task,
                             const struct tidings_event *request)
{
    tidings_err *errs = arg;

    (void)task;
    (void)request;
    errs[0] = tidings_service_stop(self, 0);
    errs[1] = tidings_service_set_health(self, TIDINGS_DEGRADED, "so so");
    return TIDINGS_OK;
}

static void test_tasks_may_not_stop_their_service(void **state)
{
    tidings_bus *bus = conf_open(*state, NULL);
    tidings_err errs[2] = {TIDINGS_OK, TIDINGS_EIO};
    struct tidings_reply reply;

    for (unsigned workers = 0; workers < 2; workers++) {
        self = tasks_serve_with(
            bus, (struct tidings_service_options){.workers = workers},
            stop_self, errs);
        assert_ok(tasks_ask(&reply, bus, "x"));
        tidings_reply_fini(&reply);
        assert_int_equal(tasks_info(self).health, TIDINGS_DEGRADED);
        assert_ok(tidings_service_stop(self, CONF_MS));
        assert_err(errs[0], TIDINGS_EDEADLK);
        assert_ok(errs[1]);
    }
}

int conf_run_tasks(void)
{
    const struct CMUnitTest tests[] = {
        TASK_TEST(test_tasks_run_beside_one_another_on_workers),
        TASK_TEST(test_tasks_answered_do_not_wait_for_the_next),
        TASK_TEST(test_tasks_run_in_an_own_loop),
        TASK_TEST(test_tasks_may_not_stop_their_service),
    };

    return cmocka_run_group_tests_name("tasks", tests, NULL, NULL);
}
