/* Services while something ends around them: an operator drains them, the
 * process forks, the link is lost in the middle of a request, the broker is
 * another. */
#include "tests/conformance/conformance.h"

#include "tidings/service.h"

static atomic_bool gate;
static _Atomic(tidings_task *) kept; /* by the handler, to be answered later */
static atomic_int slow_said; /* what answering a slow one came to, + 1 */
static atomic_int drains;    /* calls of on_drain … */
static atomic_bool draining; /* … and what the last said */

static int setup(void **state)
{
    atomic_store(&gate, false);
    atomic_store(&kept, NULL);
    atomic_store(&slow_said, 0);
    atomic_store(&drains, 0);
    return conf_setup(state);
}

static int teardown(void **state)
{
    atomic_store(&gate, true);
    return conf_teardown(state);
}

#define END_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

/* Waits until a condition holds. */
#define UNTIL(condition)                                                       \
    do {                                                                       \
        int64_t end_ms = td_proc_now_ms() + CONF_MS;                           \
        bool holds = (condition);                                              \
                                                                               \
        while (!holds && td_proc_now_ms() < end_ms) {                          \
            conf_pause_us(300);                                                \
            holds = (condition);                                               \
        }                                                                      \
        assert_true(holds);                                                    \
    } while (0)

/* ---- services and callers ---- */

/* "keep" is kept, "slow" is answered when the gate is open, others at once. */
static tidings_err handle(void *arg, tidings_task *task,
                          const struct tidings_event *request)
{
    const char *text = request->data;
    int64_t end = td_proc_now_ms() + CONF_MS;

    (void)arg;
    if (*text == 'k') {
        atomic_store(&kept, task);
        return TIDINGS_ELATER;
    }
    if (*text == 's') {
        atomic_store(&kept, task);
        while (!atomic_load(&gate) && td_proc_now_ms() < end)
            conf_pause_us(200);
        atomic_store(&slow_said, (int)tidings_answer(task, "slow", 4) + 1);
        return TIDINGS_OK;
    }
    return tidings_answer(task, request->data, request->data_len);
}

static void on_drain(void *arg, bool drain)
{
    (void)arg;
    atomic_store(&draining, drain);
    atomic_fetch_add(&drains, 1);
}

static tidings_service *serve(tidings_bus *bus, const char *name,
                              unsigned workers)
{
    const struct tidings_endpoint e = {
        .type = "ends.do", .handler = handle, .group = "ends"};
    const struct tidings_service_options o = {.name = name,
                                              .version = "1.0.0",
                                              .endpoints = &e,
                                              .endpoints_len = 1,
                                              .workers = workers,
                                              .on_drain = on_drain};
    tidings_service *s = NULL;

    assert_ok(tidings_serve(&s, bus, &o));
    return s;
}

static struct tidings_service_info info_of(tidings_service *s)
{
    struct tidings_service_info info;

    assert_ok(tidings_service_info(&info, s));
    return info;
}

static tidings_err ask(tidings_bus *bus, const char *text)
{
    struct tidings_reply reply;
    tidings_err err =
        tidings_request(&reply, bus, "ends.do", text, strlen(text), CONF_MS);

    if (!err) {
        assert_int_equal(reply.len, strlen(text));
        assert_memory_equal(reply.data, text, reply.len);
    }
    tidings_reply_fini(&reply);
    return err;
}

static void set_code(void *arg, const struct tidings_reply *reply)
{
    atomic_store((atomic_int *)arg, (int)reply->err + 1);
}

/* What comes of it is in *code, + 1; until then 0. */
static void ask_async(tidings_bus *bus, const char *text, atomic_int *code)
{
    const struct tidings_event event = {
        .type = "ends.do", .data = text, .data_len = strlen(text)};
    const struct tidings_request_options o = {.timeout_ms = CONF_MS};

    atomic_store(code, 0);
    assert_ok(tidings_request_async(bus, &event, &o, set_code, code));
}

/* ---- an operator ---- */

static void call_drain(tidings_bus *bus, bool undo)
{
    static const char drain[] = "\x81\xa4name\xa4"
                                "ends";
    static const char undone[] = "\x82\xa4name\xa4"
                                 "ends\xa4undo\xc3";

    assert_ok(
        tidings_call(NULL, NULL, bus, "service.drain", undo ? undone : drain,
                     undo ? sizeof(undone) - 1 : sizeof(drain) - 1, CONF_MS));
}

static void test_service_is_told_to_drain(void **state)
{
    tidings_bus *bus = conf_open(*state, NULL);
    tidings_bus *admin = conf_open(*state, NULL);

    for (unsigned workers = 0; workers < 2; workers++) {
        tidings_service *s = serve(bus, "ends", workers);

        atomic_store(&drains, 0);
        call_drain(admin, false);
        UNTIL(atomic_load(&drains) == 1);
        assert_true(atomic_load(&draining));
        assert_true(info_of(s).draining);
        assert_err(ask(admin, "x"), TIDINGS_ENORESPONDER);

        call_drain(admin, true);
        UNTIL(atomic_load(&drains) == 2);
        assert_false(atomic_load(&draining));
        assert_false(info_of(s).draining);
        assert_ok(ask(admin, "x"));
        assert_ok(tidings_service_stop(s, CONF_MS));
    }
}

/* ---- fork() ---- */

struct parent {
    tidings_bus *bus;
    tidings_service *service;
};

/* What the child's exit code says is wrong; 0: nothing. */
static int be_child(void *arg)
{
    const struct parent *p = arg;
    const struct tidings_service_options o = {.name = "child",
                                              .version = "1.0.0"};
    struct tidings_instances *list;
    struct tidings_reply reply;
    tidings_service *other;

    if (tidings_answer(atomic_load(&kept), "child", 5) != TIDINGS_EFORKED)
        return 1;
    if (tidings_serve(&other, p->bus, &o) != TIDINGS_EFORKED)
        return 2;
    if (tidings_request(&reply, p->bus, "ends.do", "x", 1, CONF_MS) !=
        TIDINGS_EFORKED)
        return 3;
    if (tidings_discover(&list, p->bus, NULL, CONF_MS) != TIDINGS_EFORKED)
        return 4;
    return tidings_service_stop(p->service, 1) == TIDINGS_EFORKED ? 0 : 5;
}

static void test_service_is_its_parents(void **state)
{
    tidings_bus *bus = conf_open(*state, NULL);
    tidings_bus *caller = conf_open(*state, NULL);
    struct parent p = {bus, serve(bus, "ends", 1)};
    atomic_int code;

    ask_async(caller, "keep", &code);
    UNTIL(atomic_load(&kept));
    assert_int_equal(conf_in_child(be_child, &p), 0);
    assert_ok(tidings_answer(atomic_load(&kept), "parent", 6));
    UNTIL(atomic_load(&code));
    assert_int_equal(atomic_load(&code), TIDINGS_OK + 1);
    assert_ok(tidings_service_stop(p.service, CONF_MS));
}

/* ---- links ---- */

static void test_service_answers_nobody_for_a_lost_link(void **state)
{
    struct td_chaos *chaos;
    tidings_bus *caller;
    tidings_bus *bus;
    tidings_service *s;
    struct tidings_service_info before;
    struct tidings_info info;
    atomic_int code;

    if (!conf_has_daemon())
        skip(); /* inproc has no link to lose */
    chaos = conf_chaos(*state);
    bus = conf_open_at(*state, td_chaos_url(chaos), NULL);
    caller = conf_open(*state, NULL);
    s = serve(bus, "ends", 2);
    before = info_of(s);
    ask_async(caller, "slow", &code);
    UNTIL(atomic_load(&kept));
    td_chaos_cut(chaos);
    UNTIL(atomic_load(&code));
    assert_int_equal(atomic_load(&code), TIDINGS_ELOST + 1);

    UNTIL(ask(caller, "again") == TIDINGS_OK); /* by the other worker */
    assert_string_equal(info_of(s).id, before.id);
    atomic_store(&gate, true);
    UNTIL(atomic_load(&slow_said));
    assert_int_equal(atomic_load(&slow_said), TIDINGS_EUNREACH + 1);
    for (unsigned i = 0; i < 5; i++)
        assert_ok(ask(caller, "more"));
    UNTIL(info_of(s).running == 0);
    assert_int_equal(info_of(s).late, 1);
    assert_int_equal(info_of(s).answered, 6);
    assert_ok(tidings_info(&info, bus));
    assert_int_equal(info.connects, 2); /* what came late broke nothing */
}

/* ---- brokers ---- */

/* Both are there, and nobody else, under the names that they know. */
static bool are_found(tidings_bus *bus, tidings_service *const *s)
{
    struct tidings_instances *list = NULL;
    unsigned found = 0;

    assert_ok(tidings_discover(&list, bus, NULL, CONF_MS));
    for (size_t i = 0; i < list->len; i++) {
        for (unsigned k = 0; k < 2; k++)
            found += strcmp(list->list[i].id, info_of(s[k]).id) == 0;
    }
    if (list->stale || list->len != 2)
        found = 0;
    tidings_instances_free(list);
    return found == 2;
}

static void test_service_is_served_at_another_broker(void **state)
{
    struct conf *c = *state;
    tidings_service *s[2];
    tidings_bus *caller;
    char id[2][33];
    atomic_int code;

    if (!conf_has_daemon())
        skip(); /* inproc ends with its broker */
    caller = conf_open(c, NULL);
    for (unsigned i = 0; i < 2; i++) {
        s[i] = serve(conf_open(c, NULL), i ? "other" : "ends", i);
        snprintf(id[i], sizeof(id[i]), "%s", info_of(s[i]).id);
    }
    assert_true(are_found(caller, s));
    ask_async(caller, "keep", &code);
    UNTIL(atomic_load(&kept));
    conf_restart(c); /* killed: its epoch is another */

    UNTIL(atomic_load(&code));
    assert_int_equal(atomic_load(&code), TIDINGS_ELOST + 1);
    UNTIL(are_found(caller, s));
    for (unsigned i = 0; i < 2; i++)
        assert_string_equal(info_of(s[i]).id, id[i]);
    for (unsigned i = 0; i < 4; i++)
        assert_ok(ask(caller, "x"));
    assert_err(tidings_answer(atomic_load(&kept), "x", 1), TIDINGS_EUNREACH);
    for (unsigned i = 0; i < 2; i++)
        assert_ok(tidings_service_stop(s[i], CONF_MS));
    assert_err(ask(caller, "x"), TIDINGS_ENORESPONDER);
}

int conf_run_service_ends(void)
{
    const struct CMUnitTest tests[] = {
        END_TEST(test_service_is_told_to_drain),
        END_TEST(test_service_is_its_parents),
        END_TEST(test_service_answers_nobody_for_a_lost_link),
        END_TEST(test_service_is_served_at_another_broker),
    };

    return cmocka_run_group_tests_name("service_ends", tests, NULL, NULL);
}
