/* What services are asked, and answer: on the bus's thread, on threads of their
 * own, later, and when links, services and buses end meanwhile. */
#include "tests/conformance/conformance.h"

#include <stdlib.h>

#include "tests/support/chaosproxy.h"
#include "tidings/service.h"

static struct td_chaos *chaos;

/* Tasks that a handler has left for others. */
static struct {
    pthread_mutex_t lock;
    tidings_task *tasks[64];
    unsigned len;
} kept = {.lock = PTHREAD_MUTEX_INITIALIZER};

static atomic_uint calls;
static atomic_uint inside;     /* handlers that run now … */
static atomic_uint inside_max; /* … and the most that did */
static atomic_bool gate;       /* handlers wait until it is open */
static atomic_int health;      /* what the check says */
static tidings_service *self;

static int setup(void **state)
{
    atomic_store(&calls, 0);
    atomic_store(&inside, 0);
    atomic_store(&inside_max, 0);
    atomic_store(&gate, false);
    atomic_store(&health, TIDINGS_RUNNING);
    kept.len = 0;
    return conf_setup(state);
}

static int teardown(void **state)
{
    int code = conf_teardown(state);

    td_chaos_stop(chaos);
    chaos = NULL;
    return code;
}

#define TASK_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

/* ---- handlers ---- */

static tidings_err echo(void *arg, tidings_task *task,
                        const struct tidings_event *request)
{
    (void)arg;
    atomic_fetch_add(&calls, 1);
    return tidings_answer(task, request->data, request->data_len);
}

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

static tidings_err keep(void *arg, tidings_task *task,
                        const struct tidings_event *request)
{
    (void)arg;
    (void)request;
    pthread_mutex_lock(&kept.lock);
    kept.tasks[kept.len++] = task;
    pthread_mutex_unlock(&kept.lock);
    return TIDINGS_ELATER;
}

/* The n-th of them; NULL: there are fewer. */
static tidings_task *kept_nth(unsigned n)
{
    tidings_task *task = NULL;

    pthread_mutex_lock(&kept.lock);
    if (kept.len >= n)
        task = kept.tasks[n - 1];
    pthread_mutex_unlock(&kept.lock);
    return task;
}

static tidings_task *kept_wait(unsigned n)
{
    int64_t end = td_proc_now_ms() + CONF_MS;

    while (!kept_nth(n) && td_proc_now_ms() < end)
        conf_pause_us(200);
    assert_non_null(kept_nth(n));
    return kept_nth(n);
}

/* Until the gate is open. */
static tidings_err wait_inside(void *arg, tidings_task *task,
                               const struct tidings_event *request)
{
    unsigned n = atomic_fetch_add(&inside, 1) + 1;
    unsigned max = atomic_load(&inside_max);
    int64_t end = td_proc_now_ms() + CONF_MS;

    (void)arg;
    atomic_fetch_add(&calls, 1);
    while (n > max && !atomic_compare_exchange_weak(&inside_max, &max, n))
        continue;
    while (!atomic_load(&gate) && td_proc_now_ms() < end)
        conf_pause_us(200);
    atomic_fetch_sub(&inside, 1);
    return tidings_answer(task, request->data, request->data_len);
}

static bool until(atomic_uint *count, unsigned n)
{
    int64_t end = td_proc_now_ms() + CONF_MS;

    while (atomic_load(count) < n && td_proc_now_ms() < end)
        conf_pause_us(200);
    return atomic_load(count) >= n;
}

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

/* ---- services and callers ---- */

static tidings_service *serve_with(tidings_bus *bus,
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

static tidings_service *serve(tidings_bus *bus, tidings_task_handler handler,
                              void *arg)
{
    return serve_with(bus, (struct tidings_service_options){0}, handler, arg);
}

static struct tidings_service_info info_of(tidings_service *s)
{
    struct tidings_service_info info;

    assert_ok(tidings_service_info(&info, s));
    return info;
}

/* Once no handler runs: callers have their answers before that. */
static struct tidings_service_info idle_info(tidings_service *s)
{
    int64_t end = td_proc_now_ms() + CONF_MS;

    while (info_of(s).running > 0 && td_proc_now_ms() < end)
        conf_pause_us(200);
    assert_int_equal(info_of(s).running, 0);
    return info_of(s);
}

static tidings_err ask_for(struct tidings_reply *reply, tidings_bus *bus,
                           const char *text, int timeout_ms)
{
    return tidings_request(reply, bus, "task.do", text, strlen(text),
                           timeout_ms);
}

static tidings_err ask(struct tidings_reply *reply, tidings_bus *bus,
                       const char *text)
{
    return ask_for(reply, bus, text, CONF_MS);
}

/* Asks until what comes of it is this. */
static void ask_until(tidings_bus *bus, tidings_err wanted)
{
    int64_t end = td_proc_now_ms() + CONF_MS;
    tidings_err err;

    do {
        struct tidings_reply reply;

        err = ask(&reply, bus, "x");
        tidings_reply_fini(&reply);
        if (err != wanted)
            conf_pause_us(500);
    } while (err != wanted && td_proc_now_ms() < end);
    assert_err(err, wanted);
}

/* Answers to requests that nobody waits for here. */
struct replies {
    atomic_uint ok;
    atomic_uint other;
    atomic_int err; /* the last of those */
};

static void on_reply(void *arg, const struct tidings_reply *reply)
{
    struct replies *r = arg;

    if (!reply->err) {
        atomic_fetch_add(&r->ok, 1);
        return;
    }
    atomic_store(&r->err, reply->err);
    atomic_fetch_add(&r->other, 1);
}

static void ask_async(tidings_bus *bus, struct replies *r, int timeout_ms)
{
    const struct tidings_event event = {
        .type = "task.do", .data = "x", .data_len = 1};
    const struct tidings_request_options o = {.timeout_ms = timeout_ms};

    assert_ok(tidings_request_async(bus, &event, &o, on_reply, r));
}

/* ---- answers ---- */

static void check_echo(struct conf *c, unsigned workers, tidings_bus *caller,
                       tidings_bus *bus)
{
    struct tidings_service_info info;
    struct tidings_reply reply;
    tidings_service *s = serve_with(
        bus, (struct tidings_service_options){.workers = workers}, echo, NULL);

    (void)c;
    for (unsigned i = 0; i < 100; i++) {
        assert_ok(ask(&reply, caller, "hello"));
        assert_int_equal(reply.len, 5);
        assert_memory_equal(reply.data, "hello", 5);
        assert_string_equal(reply.instance, info_of(s).id);
        tidings_reply_fini(&reply);
    }
    info = idle_info(s);
    assert_int_equal(info.requests, 100);
    assert_int_equal(info.answered, 100);
    assert_int_equal(info.waiting + info.errors, 0);
    assert_ok(tidings_service_stop(s, CONF_MS));
    assert_err(ask(&reply, caller, "hello"), TIDINGS_ENORESPONDER);
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
    serve(bus, echo, NULL);
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
    tidings_service *s = serve(bus, no_answer, &returned);

    assert_ok(ask(&reply, bus, "x"));
    assert_int_equal(reply.len, 0);
    tidings_reply_fini(&reply);

    returned = TIDINGS_EIO;
    assert_err(ask(&reply, bus, "x"), TIDINGS_EREMOTE);
    assert_int_equal(reply.status, 500);
    assert_string_equal(reply.text, tidings_err_text(TIDINGS_EIO));
    tidings_reply_fini(&reply);
    assert_int_equal(idle_info(s).errors, 1);
    assert_ok(tidings_service_stop(s, CONF_MS));

    s = serve(bus, say_no, NULL);
    assert_err(ask(&reply, bus, "x"), TIDINGS_EREMOTE);
    assert_int_equal(reply.status, 404);
    assert_string_equal(reply.text, "no such user");
    assert_int_equal(reply.len, 2);
    tidings_reply_fini(&reply);
    assert_ok(tidings_service_stop(s, CONF_MS));

    s = serve(bus, twice, &returned);
    assert_ok(ask(&reply, bus, "x"));
    assert_memory_equal(reply.data, "a", 1);
    tidings_reply_fini(&reply);
    assert_ok(tidings_service_stop(s, CONF_MS));
    assert_err(returned, TIDINGS_EEXIST);
}

static void test_tasks_refuse_what_is_no_answer(void **state)
{
    tidings_bus *bus = conf_open(*state, NULL);
    struct replies r = {0};
    tidings_task *task;

    serve(bus, keep, NULL);
    ask_async(bus, &r, CONF_MS);
    task = kept_wait(1);
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
    assert_true(until(&r.ok, 1));
}

static void *answer_kept(void *arg)
{
    (void)arg;
    for (unsigned i = 1; kept_nth(i); i++)
        tidings_answer(kept_nth(i), "later", 5);
    return NULL;
}

static void test_tasks_are_answered_later_by_others(void **state)
{
    tidings_bus *bus = conf_open(*state, NULL);
    struct replies r = {0};
    tidings_service *s = serve(bus, keep, NULL);
    pthread_t thread;

    for (unsigned i = 0; i < 50; i++)
        ask_async(bus, &r, CONF_MS);
    kept_wait(50);
    assert_int_equal(info_of(s).waiting, 0);
    assert_int_equal(info_of(s).running, 50);
    assert_int_equal(pthread_create(&thread, NULL, answer_kept, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(until(&r.ok, 50));
    assert_int_equal(idle_info(s).answered, 50);
}

static void test_tasks_time_out_and_are_answered_too_late(void **state)
{
    tidings_bus *bus = conf_open(*state, NULL);
    struct tidings_reply reply;
    tidings_service *s = serve(bus, keep, NULL);
    tidings_task *task;

    assert_err(ask_for(&reply, bus, "x", 30), TIDINGS_ETIMEDOUT);
    tidings_reply_fini(&reply);
    task = kept_wait(1);
    while (tidings_task_left_ms(task) > 0)
        conf_pause_us(1000);
    assert_int_equal(info_of(s).running, 0); /* nobody waits for it */
    assert_err(tidings_answer(task, "x", 1), TIDINGS_ETIMEDOUT);
    assert_ok(tidings_service_stop(s, CONF_MS));
}

static void test_tasks_that_expire_waiting_are_not_handled(void **state)
{
    tidings_bus *bus = conf_open(*state, NULL);
    tidings_bus *caller = conf_open(*state, NULL);
    struct replies slow = {0};
    struct replies late = {0};
    int64_t end = td_proc_now_ms() + CONF_MS;
    tidings_service *s = serve(bus, wait_inside, NULL);

    ask_async(caller, &slow, CONF_MS);
    assert_true(until(&inside, 1));
    for (unsigned i = 0; i < 10; i++)
        ask_async(caller, &late, 100);
    while (info_of(s).requests < 11 && td_proc_now_ms() < end)
        conf_pause_us(500); /* the link is read while a handler runs */
    end = td_proc_now_ms() + 100 + 1;
    assert_true(until(&late.other, 10));
    assert_int_equal(atomic_load(&late.err), TIDINGS_ETIMEDOUT);
    while (td_proc_now_ms() <= end)
        conf_pause_us(500);
    atomic_store(&gate, true);
    assert_true(until(&slow.ok, 1));
    end = td_proc_now_ms() + CONF_MS;
    while (info_of(s).expired < 10 && td_proc_now_ms() < end)
        conf_pause_us(500);
    assert_int_equal(info_of(s).expired, 10);
    assert_ok(tidings_service_stop(s, CONF_MS));
    assert_int_equal(atomic_load(&calls), 1);
}

static void test_tasks_are_dealt_in_turn(void **state)
{
    tidings_bus *bus = conf_open(*state, NULL);
    tidings_bus *caller = conf_open(*state, NULL);
    unsigned all = 10000 / CONF_SLOW;
    struct replies r = {0};
    tidings_service *s[3];

    for (unsigned i = 0; i < 3; i++)
        s[i] =
            serve_with(bus, (struct tidings_service_options){.workers = i % 2},
                       echo, NULL);
    for (unsigned i = 0; i < all; i++) {
        ask_async(caller, &r, CONF_MS);
        if (i % 1000 == 999)
            assert_true(until(&r.ok, i - 500));
    }
    assert_true(until(&r.ok, all));
    assert_int_equal(atomic_load(&r.other), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_in_range(info_of(s[i]).requests, all / 3, (all + 2) / 3);
}

/* ---- where handlers run ---- */

static void test_tasks_run_beside_one_another_on_workers(void **state)
{
    tidings_bus *bus = conf_open(*state, NULL);
    struct replies r = {0};
    tidings_service *s = serve_with(
        bus, (struct tidings_service_options){.workers = 4}, wait_inside, NULL);

    for (unsigned i = 0; i < 12; i++)
        ask_async(bus, &r, CONF_MS);
    assert_true(until(&inside, 4));
    atomic_store(&gate, true);
    assert_true(until(&r.ok, 12));
    assert_int_equal(atomic_load(&inside_max), 4);
    assert_ok(tidings_service_stop(s, CONF_MS));
}

/* One quick handler, then one that does not return: the first is answered. */
static tidings_err quick_then_slow(void *arg, tidings_task *task,
                                   const struct tidings_event *request)
{
    return atomic_load(&calls) % 2 == 0 ? echo(arg, task, request)
                                        : wait_inside(arg, task, request);
}

static void test_tasks_answered_do_not_wait_for_the_next(void **state)
{
    tidings_bus *bus = conf_open(*state, NULL);
    tidings_bus *caller = conf_open(*state, NULL);
    struct replies r = {0};

    for (unsigned workers = 0; workers < 2; workers++) {
        tidings_service *s = serve_with(
            bus, (struct tidings_service_options){.workers = workers},
            quick_then_slow, NULL);

        ask_async(caller, &r, CONF_MS);
        ask_async(caller, &r, CONF_MS);
        assert_true(until(&r.ok, 2 * workers + 1));
        assert_true(until(&inside, 1));
        atomic_store(&gate, true);
        assert_true(until(&r.ok, 2 * workers + 2));
        assert_ok(tidings_service_stop(s, CONF_MS));
        atomic_store(&gate, false);
    }
}

static void test_tasks_run_in_an_own_loop(void **state)
{
    const struct tidings_options own = {.own_loop = true};
    tidings_bus *bus = conf_open(*state, &own);
    tidings_bus *caller = conf_open(*state, NULL);
    tidings_service *s = serve(bus, echo, NULL);
    int64_t end = td_proc_now_ms() + CONF_MS;
    struct replies r = {0};
    size_t all = 0;

    for (unsigned i = 0; i < 10; i++)
        ask_async(caller, &r, CONF_MS);
    while (atomic_load(&r.ok) < 10 && td_proc_now_ms() < end) {
        size_t n = 0;

        assert_ok(tidings_dispatch(&n, bus, 3));
        assert_true(n <= 3);
        all += n;
    }
    assert_int_equal(all, 10);
    ask_async(caller, &r, CONF_MS);
    while (info_of(s).waiting == 0 && td_proc_now_ms() < end)
        conf_pause_us(200);
    assert_ok(tidings_service_stop(s, CONF_MS)); /* which is the loop */
    assert_true(until(&r.ok, 11));
}

static void test_tasks_may_not_stop_their_service(void **state)
{
    tidings_bus *bus = conf_open(*state, NULL);
    tidings_err errs[2] = {TIDINGS_OK, TIDINGS_EIO};
    struct tidings_reply reply;

    for (unsigned workers = 0; workers < 2; workers++) {
        self = serve_with(bus,
                          (struct tidings_service_options){.workers = workers},
                          stop_self, errs);
        assert_ok(ask(&reply, bus, "x"));
        tidings_reply_fini(&reply);
        assert_int_equal(info_of(self).health, TIDINGS_DEGRADED);
        assert_ok(tidings_service_stop(self, CONF_MS));
        assert_err(errs[0], TIDINGS_EDEADLK);
        assert_ok(errs[1]);
    }
}

/* ---- ends ---- */

static void arrived(tidings_service *s, uint64_t requests)
{
    int64_t end = td_proc_now_ms() + CONF_MS;

    while (info_of(s).requests < requests && td_proc_now_ms() < end)
        conf_pause_us(200);
    assert_int_equal(info_of(s).requests, requests);
}

static void *open_gate(void *arg)
{
    (void)arg;
    conf_pause_us(20000);
    atomic_store(&gate, true);
    return NULL;
}

static void test_tasks_that_have_arrived_are_answered_when_it_stops(
    void **state)
{
    for (unsigned workers = 0; workers < 3; workers += 2) {
        tidings_bus *bus = conf_open(*state, NULL);
        tidings_bus *caller = conf_open(*state, NULL);
        struct replies r = {0};
        tidings_service *s = serve_with(
            bus, (struct tidings_service_options){.workers = workers},
            wait_inside, NULL);
        pthread_t thread;

        atomic_store(&gate, false);
        for (unsigned i = 0; i < 20; i++)
            ask_async(caller, &r, CONF_MS);
        arrived(s, 20);
        assert_int_equal(pthread_create(&thread, NULL, open_gate, NULL), 0);
        if (workers > 0)
            assert_ok(tidings_service_stop(s, CONF_MS));
        else
            assert_ok(tidings_drain(bus, CONF_MS));
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_true(until(&r.ok, 20));
        assert_int_equal(atomic_load(&r.other), 0);
    }
}

static void test_tasks_that_are_left_are_lost_when_it_stops(void **state)
{
    tidings_bus *bus = conf_open(*state, NULL);
    tidings_bus *caller = conf_open(*state, NULL);
    struct replies r = {0};
    tidings_service *s = serve(bus, keep, NULL);
    struct tidings_info info;
    int64_t us;

    for (unsigned i = 0; i < 3; i++)
        ask_async(caller, &r, CONF_MS);
    kept_wait(3);
    assert_err(tidings_service_stop(s, 10), TIDINGS_ETIMEDOUT);
    assert_true(until(&r.other, 3));
    assert_int_equal(atomic_load(&r.err), TIDINGS_ELOST);
    assert_ok(tidings_ping(&us, bus, CONF_MS));
    assert_ok(tidings_info(&info, bus));
    assert_int_equal(info.connects, 1); /* the link has not broken over it */
    for (unsigned i = 0; i < 3; i++)
        assert_err(tidings_answer(kept_nth(i + 1), "x", 1), TIDINGS_ECLOSED);
}

static void test_tasks_outlive_their_bus(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    tidings_bus *caller = conf_open(c, NULL);
    struct replies r = {0};

    serve(bus, keep, NULL);
    serve_with(bus, (struct tidings_service_options){.workers = 2}, keep, NULL);
    for (unsigned i = 0; i < 4; i++)
        ask_async(caller, &r, CONF_MS);
    kept_wait(4);
    conf_forget(c, bus);
    assert_ok(tidings_close(bus));
    assert_true(until(&r.other, 4));
    assert_int_equal(atomic_load(&r.err), TIDINGS_ELOST);
    for (unsigned i = 0; i < 4; i++)
        assert_err(tidings_answer(kept_nth(i + 1), "x", 1), TIDINGS_ECLOSED);
}

static void test_tasks_of_a_lost_link_are_for_nobody(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus;
    tidings_bus *caller;
    struct replies r = {0};
    int64_t end;

    if (!conf_has_daemon())
        skip(); /* inproc has no link to lose */
    chaos = td_chaos_start(conf_url());
    assert_non_null(chaos);
    bus = conf_open_at(c, td_chaos_url(chaos), NULL);
    caller = conf_open(c, NULL);
    serve(bus, keep, NULL);
    ask_async(caller, &r, CONF_MS);
    kept_wait(1);
    td_chaos_cut(chaos);
    assert_true(until(&r.other, 1));
    assert_int_equal(atomic_load(&r.err), TIDINGS_ELOST);

    /* It is served again, and what it is asked then is answered. */
    end = td_proc_now_ms() + CONF_MS;
    while (!kept_nth(2) && td_proc_now_ms() < end) {
        unsigned n = atomic_load(&r.other);

        ask_async(caller, &r, CONF_MS);
        while (!kept_nth(2) && atomic_load(&r.other) == n &&
               td_proc_now_ms() < end)
            conf_pause_us(500);
    }
    assert_err(tidings_answer(kept_wait(1), "x", 1), TIDINGS_EUNREACH);
    assert_ok(tidings_answer(kept_wait(2), "x", 1));
    assert_true(until(&r.ok, 1));
}

/* ---- health ---- */

static enum tidings_health say_health(void *arg, char *text, size_t size)
{
    (void)arg;
    snprintf(text, size, "as set");
    return (enum tidings_health)atomic_load(&health);
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
        s = serve_with(bus, o, echo, NULL);
        ask_until(caller, TIDINGS_OK);
        atomic_store(&health, TIDINGS_SICK);
        ask_until(caller, TIDINGS_ENORESPONDER);
        assert_int_equal(info_of(s).health, TIDINGS_SICK);
        atomic_store(&health, TIDINGS_DEGRADED);
        ask_until(caller, TIDINGS_OK);
        atomic_store(&health, 77);
        ask_until(caller, TIDINGS_ENORESPONDER);
        assert_int_equal(info_of(s).health, TIDINGS_SICK);
        assert_ok(tidings_service_stop(s, CONF_MS));
        atomic_store(&health, TIDINGS_RUNNING);
    }
}

static void test_tasks_go_nowhere_while_it_is_told_so(void **state)
{
    tidings_bus *bus = conf_open(*state, NULL);
    struct tidings_service_options o = {.health = TIDINGS_STARTING};
    tidings_service *s = serve_with(bus, o, echo, NULL);

    ask_until(bus, TIDINGS_ENORESPONDER);
    assert_ok(tidings_service_set_health(s, TIDINGS_RUNNING, NULL));
    ask_until(bus, TIDINGS_OK);
    assert_ok(tidings_service_set_health(s, TIDINGS_SICK, "no disk"));
    ask_until(bus, TIDINGS_ENORESPONDER);
}

int conf_run_tasks(void)
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
        TASK_TEST(test_tasks_run_beside_one_another_on_workers),
        TASK_TEST(test_tasks_answered_do_not_wait_for_the_next),
        TASK_TEST(test_tasks_run_in_an_own_loop),
        TASK_TEST(test_tasks_may_not_stop_their_service),
        TASK_TEST(test_tasks_that_have_arrived_are_answered_when_it_stops),
        TASK_TEST(test_tasks_that_are_left_are_lost_when_it_stops),
        TASK_TEST(test_tasks_outlive_their_bus),
        TASK_TEST(test_tasks_of_a_lost_link_are_for_nobody),
        TASK_TEST(test_tasks_go_to_who_is_well),
        TASK_TEST(test_tasks_go_nowhere_while_it_is_told_so),
    };

    return cmocka_run_group_tests_name("tasks", tests, NULL, NULL);
}
