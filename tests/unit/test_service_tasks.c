/* What an instance does with what it is asked, with its broker in this process:
 * when answers leave, what counts as room, and what is counted. */
#include "tests/support/td_test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/bus.h"
#include "client/handle.h"
#include "tests/support/alloc.h"
#include "tidings/service.h"

#define LONG_MS 15000
#define SOON_MS                                                                \
    20 /* nothing that waits for the next beat or look is so quick */

static tidings_bus *bus;
static tidings_bus *caller;
static struct td_bus_service *inner; /* the bus's side of the last service */
static atomic_uint inside;
static atomic_bool gate;

static void pause_us(long us)
{
    const struct timespec t = {0, us * 1000};

    nanosleep(&t, NULL);
}

static int setup(void **state)
{
    (void)state;
    atomic_store(&inside, 0);
    atomic_store(&gate, false);
    return tidings_open(&bus, "inproc://tasks", NULL) ||
           tidings_open(&caller, "inproc://tasks", NULL) ||
           tidings_wait(bus, LONG_MS) || tidings_wait(caller, LONG_MS);
}

static int teardown(void **state)
{
    (void)state;
    atomic_store(&gate, true);
    return tidings_close(caller) || tidings_close(bus);
}

#define TASK_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

/* ---- helpers ---- */

static void wait_gate(void)
{
    int64_t end = td_now_ms() + LONG_MS;

    while (!atomic_load(&gate) && td_now_ms() < end)
        pause_us(200);
}

static void wait_inside(unsigned n)
{
    int64_t end = td_now_ms() + LONG_MS;

    while (atomic_load(&inside) < n && td_now_ms() < end)
        pause_us(200);
    assert_true(atomic_load(&inside) >= n);
}

static tidings_service *serve_with(struct tidings_service_options o,
                                   tidings_task_handler handler, void *arg,
                                   unsigned max_in_flight)
{
    const struct tidings_endpoint e = {.type = "do",
                                       .handler = handler,
                                       .arg = arg,
                                       .max_in_flight = max_in_flight};
    tidings_service *s = NULL;
    struct td_bus *b;
    tidings_err err;

    o.name = "tasks";
    o.version = "1.0.0";
    o.endpoints = &e;
    o.endpoints_len = 1;
    assert_ok(tidings_serve(&s, bus, &o));
    b = td_handle_lock(bus, &err);
    inner = b->services.list->prev; /* the last of the list */
    pthread_mutex_unlock(b->lock);
    return s;
}

static tidings_service *serve(unsigned workers, tidings_task_handler handler,
                              void *arg)
{
    const struct tidings_service_options o = {.workers = workers};

    return serve_with(o, handler, arg, 0);
}

static struct tidings_service_info info_of(tidings_service *s)
{
    struct tidings_service_info info;

    assert_ok(tidings_service_info(&info, s));
    return info;
}

/* Until it has had so many, of which so many wait. */
static void wait_had(tidings_service *s, uint64_t requests, uint64_t waiting)
{
    int64_t end = td_now_ms() + LONG_MS;
    struct tidings_service_info i = info_of(s);

    while ((i.requests < requests || i.waiting < waiting) &&
           td_now_ms() < end) {
        pause_us(200);
        i = info_of(s);
    }
    assert_true(i.requests >= requests && i.waiting >= waiting);
}

/* At rest all requests are accounted for. */
static struct tidings_service_info rest_of(tidings_service *s)
{
    int64_t end = td_now_ms() + LONG_MS;
    struct tidings_service_info i = info_of(s);

    while (i.waiting + i.running > 0 && td_now_ms() < end) {
        pause_us(200);
        i = info_of(s);
    }
    assert_int_equal(i.waiting + i.running, 0);
    assert_int_equal(i.requests, i.answered + i.errors + i.expired + i.late +
                                     i.lost + i.refused);
    return i;
}

static tidings_err ask(struct tidings_reply *reply)
{
    return tidings_request(reply, caller, "do", "hello", 5, LONG_MS);
}

static void ask_well(void)
{
    struct tidings_reply reply;

    assert_ok(ask(&reply));
    tidings_reply_fini(&reply);
}

static void set_code(void *arg, const struct tidings_reply *reply)
{
    atomic_store((atomic_int *)arg, (int)reply->err + 1000);
}

/* A request whose answer's code, plus 1000, will be in *code. */
static void ask_async(atomic_int *code, int timeout_ms)
{
    const struct tidings_event e = {
        .type = "do", .data = "hello", .data_len = 5};
    const struct tidings_request_options o = {.timeout_ms = timeout_ms};

    atomic_store(code, 0);
    assert_ok(tidings_request_async(caller, &e, &o, set_code, code));
}

static tidings_err code_of(atomic_int *code)
{
    int64_t end = td_now_ms() + LONG_MS;

    while (!atomic_load(code) && td_now_ms() < end)
        pause_us(200);
    assert_true(atomic_load(code) >= 1000);
    return (tidings_err)(atomic_load(code) - 1000);
}

/* ---- when answers leave ---- */

static tidings_err answer_and_go_on(void *arg, tidings_task *task,
                                    const struct tidings_event *request)
{
    tidings_err err = tidings_answer(task, request->data, request->data_len);

    (void)arg;
    atomic_fetch_add(&inside, 1);
    wait_gate();
    return err;
}

static int by_size(const void *a, const void *b)
{
    const int64_t *x = a;
    const int64_t *y = b;

    return (*x > *y) - (*x < *y);
}

static void test_task_answered_early_does_not_wait_for_its_handler(void **state)
{
    (void)state;
    for (unsigned workers = 0; workers < 2; workers++) {
        tidings_service *s = serve(workers, answer_and_go_on, NULL);
        int64_t ms[7];

        for (unsigned i = 0; i < TD_ARRAY_LEN(ms); i++) {
            int64_t before_ms = td_now_ms();

            atomic_store(&gate, false);
            ask_well();
            ms[i] = td_now_ms() - before_ms;
            atomic_store(&gate, true);
            rest_of(s);
        }
        qsort(ms, TD_ARRAY_LEN(ms), sizeof(ms[0]), by_size);
        assert_true(ms[TD_ARRAY_LEN(ms) / 2] <= SOON_MS);
        assert_ok(tidings_service_stop(s, LONG_MS));
    }
}

static void test_task_answered_makes_room_at_once(void **state)
{
    const struct tidings_service_options o = {.workers = 2};
    tidings_service *s = serve_with(o, answer_and_go_on, NULL, 1);

    (void)state;
    ask_well();
    wait_inside(1);
    ask_well(); /* while the first handler goes on */
    atomic_store(&gate, true);
    assert_int_equal(rest_of(s).answered, 2);
}

/* ---- room ---- */

static tidings_err hold(void *arg, tidings_task *task,
                        const struct tidings_event *request)
{
    (void)arg;
    (void)task;
    (void)request;
    atomic_fetch_add(&inside, 1);
    wait_gate();
    return TIDINGS_OK;
}

/* As if so many bytes of requests were waiting. */
static void add_bytes(int64_t bytes)
{
    tidings_err err;
    struct td_bus *b = td_handle_lock(bus, &err);

    inner->bytes += (uint64_t)bytes;
    pthread_mutex_unlock(b->lock);
}

static void test_task_has_no_room_among_too_many_bytes(void **state)
{
    struct tidings_reply reply;
    tidings_service *s = serve(1, hold, NULL);
    atomic_int first;
    atomic_int second;
    int64_t held;

    (void)state;
    ask_async(&first, LONG_MS);
    wait_inside(1);
    held = (int64_t)inner->bytes; /* the message's */
    assert_true(held > 5);
    add_bytes(TD_TASKS_BYTES - held);
    assert_err(ask(&reply), TIDINGS_EFULL);
    tidings_reply_fini(&reply);
    assert_int_equal(info_of(s).refused, 1);

    add_bytes(-2 * held); /* numbers in it may be longer */
    ask_async(&second, LONG_MS);
    wait_had(s, 0, 1);
    add_bytes(3 * held - TD_TASKS_BYTES);
    atomic_store(&gate, true);
    assert_ok(code_of(&first));
    assert_ok(code_of(&second));
    assert_int_equal(rest_of(s).answered, 2);
    assert_int_equal(inner->bytes, 0);
}

static void test_task_that_nobody_waits_for_makes_room(void **state)
{
    const struct tidings_service_options o = {.workers = 1};
    tidings_service *s = serve_with(o, hold, NULL, 2);
    int64_t end = td_now_ms() + LONG_MS;
    atomic_int held;
    atomic_int expires;
    atomic_int waits;

    (void)state;
    ask_async(&held, LONG_MS);
    wait_inside(1);
    ask_async(&expires, 20);
    while (info_of(s).waiting < 1 && td_now_ms() < end)
        pause_us(200);
    assert_err(code_of(&expires), TIDINGS_ETIMEDOUT);
    end = inner->crew ? td_crew_tasks(inner->crew)->head->deadline_us : 0;
    while (td_now_us() < end)
        pause_us(200);

    ask_async(&waits, LONG_MS);
    wait_had(s, 3, 0);
    atomic_store(&gate, true);
    assert_ok(code_of(&waits));
    assert_ok(code_of(&held));
    assert_int_equal(rest_of(s).expired, 1);
    assert_int_equal(info_of(s).refused, 0);
}

static void test_task_needs_no_room_for_our_own_metadata(void **state)
{
    static char value[4096 - 3 - 2 - 3 + 1]; /* heads of map, "k", and value */
    const struct tidings_pair pair = {"k", value};
    struct tidings_service_options o = {.metadata = &pair, .metadata_len = 1};
    struct tidings_instances *list;

    (void)state;
    memset(value, 'v', sizeof(value) - 1);
    serve_with(o, hold, NULL, 0);
    assert_ok(tidings_discover(&list, caller, "tasks", LONG_MS));
    assert_int_equal(list->len, 1);
    assert_int_equal(list->list[0].metadata_len, 1);
    tidings_instances_free(list);
}

/* ---- what is said ---- */

static tidings_err answer_without_memory(void *arg, tidings_task *task,
                                         const struct tidings_event *request)
{
    static const char data[1u << 16];
    tidings_err err;

    (void)request;
    td_alloc_fail(1);
    err = tidings_answer(task, data, sizeof(data));
    td_alloc_stop();
    *(tidings_err *)arg = err;
    return TIDINGS_OK;
}

static void test_task_without_memory_is_an_error(void **state)
{
    tidings_err said = TIDINGS_OK;
    struct tidings_reply reply;
    tidings_service *s = serve(1, answer_without_memory, &said);

    (void)state;
    assert_err(ask(&reply), TIDINGS_EREMOTE);
    assert_int_equal(reply.status, 503);
    assert_string_equal(reply.text, "no memory for the answer");
    tidings_reply_fini(&reply);
    assert_int_equal(rest_of(s).errors, 1);
    assert_err(said, TIDINGS_ENOMEM);
}

static tidings_err answer_badly(void *arg, tidings_task *task,
                                const struct tidings_event *request)
{
    tidings_err *said = arg;

    said[0] = tidings_answer(task, NULL, 1);
    said[1] = tidings_answer_error(task, 0, "no status", NULL, 0);
    return tidings_answer(task, request->data, request->data_len);
}

static void test_task_badly_answered_is_still_to_be_answered(void **state)
{
    tidings_err said[2] = {TIDINGS_OK, TIDINGS_OK};
    struct tidings_reply reply;

    (void)state;
    serve(0, answer_badly, said);
    assert_ok(ask(&reply));
    assert_int_equal(reply.len, 5);
    tidings_reply_fini(&reply);
    assert_err(said[0], TIDINGS_EINVAL);
    assert_err(said[1], TIDINGS_EINVAL);
}

static tidings_err keep(void *arg, tidings_task *task,
                        const struct tidings_event *request)
{
    (void)request;
    *(tidings_task **)arg = task;
    atomic_fetch_add(&inside, 1);
    return TIDINGS_ELATER;
}

static void lose_link(void)
{
    tidings_err err;
    struct td_bus *b = td_handle_lock(bus, &err);

    td_client_lost(&b->client, TIDINGS_EUNREACH, "cut", td_now_ms());
    td_bus_touched(b);
    pthread_mutex_unlock(b->lock);
}

static void test_task_counts_as_what_came_of_it(void **state)
{
    tidings_task *task = NULL;
    tidings_service *s = serve(1, keep, &task);
    struct tidings_service_info i;
    atomic_int code;

    (void)state;
    ask_async(&code, 20);
    wait_inside(1);
    assert_err(code_of(&code), TIDINGS_ETIMEDOUT);
    while (tidings_task_left_ms(task) > 0)
        pause_us(200);
    assert_err(tidings_answer(task, "x", 1), TIDINGS_ETIMEDOUT);
    i = rest_of(s);
    assert_int_equal(i.late, 1);
    assert_int_equal(i.answered, 0);

    ask_async(&code, LONG_MS);
    wait_inside(2);
    lose_link();
    assert_err(code_of(&code), TIDINGS_ELOST);
    assert_err(tidings_answer_error(task, 500, "x", NULL, 0), TIDINGS_EUNREACH);
    i = rest_of(s);
    assert_int_equal(i.late, 2);
    assert_int_equal(i.errors, 0);
}

/* ---- by two threads ---- */

static void *answer_kept(void *arg)
{
    tidings_answer(*(tidings_task **)arg, "yes", 3);
    return NULL;
}

/* Another thread answers, and may still be at it when this returns. */
static tidings_err let_another(void *arg, tidings_task *task,
                               const struct tidings_event *request)
{
    static tidings_task *kept;
    pthread_t *thread = arg;

    (void)request;
    kept = task;
    if (pthread_create(thread, NULL, answer_kept, &kept))
        return TIDINGS_EIO;
    wait_gate(); /* the caller has it */
    return TIDINGS_OK;
}

static void test_task_may_be_answered_by_another_thread_meanwhile(void **state)
{
    pthread_t thread;
    tidings_service *s = serve(1, let_another, &thread);

    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        atomic_store(&gate, false);
        ask_well();
        atomic_store(&gate, true);
        assert_int_equal(rest_of(s).answered, i + 1);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
    assert_ok(tidings_service_stop(s, LONG_MS));
}

/* ---- the end ---- */

static enum tidings_health check_slowly(void *arg, char *text, size_t size)
{
    (void)arg;
    (void)text;
    (void)size;
    atomic_store(&inside, 1);
    wait_gate();
    atomic_store(&inside, 0);
    return TIDINGS_RUNNING;
}

static void *open_gate(void *arg)
{
    int64_t end = td_now_ms() + LONG_MS;

    while (info_of(arg).health != TIDINGS_STOPPING && td_now_ms() < end)
        pause_us(200);
    atomic_store(&gate, true);
    return NULL;
}

static void test_task_service_stops_when_its_health_check_has_returned(
    void **state)
{
    const struct tidings_service_options checked = {
        .health_ms = 100, .health_check = check_slowly};
    pthread_t thread;

    (void)state;
    for (unsigned workers = 0; workers < 2; workers++) {
        struct tidings_service_options o = checked;
        tidings_service *s;

        o.workers = workers;
        atomic_store(&gate, false);
        s = serve_with(o, keep, NULL, 0);
        wait_inside(1);
        assert_err(tidings_service_stop(s, 5), TIDINGS_ETIMEDOUT);
        atomic_store(&gate, true);
        while (atomic_load(&inside) > 0)
            pause_us(200);

        atomic_store(&gate, false);
        s = serve_with(o, keep, NULL, 0);
        wait_inside(1);
        assert_int_equal(pthread_create(&thread, NULL, open_gate, s), 0);
        assert_ok(tidings_service_stop(s, LONG_MS));
        assert_int_equal(atomic_load(&inside), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TASK_TEST(test_task_answered_early_does_not_wait_for_its_handler),
        TASK_TEST(test_task_answered_makes_room_at_once),
        TASK_TEST(test_task_has_no_room_among_too_many_bytes),
        TASK_TEST(test_task_that_nobody_waits_for_makes_room),
        TASK_TEST(test_task_needs_no_room_for_our_own_metadata),
        TASK_TEST(test_task_without_memory_is_an_error),
        TASK_TEST(test_task_badly_answered_is_still_to_be_answered),
        TASK_TEST(test_task_counts_as_what_came_of_it),
        TASK_TEST(test_task_may_be_answered_by_another_thread_meanwhile),
        TASK_TEST(test_task_service_stops_when_its_health_check_has_returned),
    };

    return cmocka_run_group_tests_name("service_tasks", tests, NULL, NULL);
}
