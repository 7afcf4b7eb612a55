/* Services: beginning, how they are, ending. What they are asked is in
 * tasks.c. */
#include "tests/conformance/conformance.h"

#include "tidings/service.h"

static tidings_err greet(void *arg, tidings_task *task,
                         const struct tidings_event *request)
{
    (void)arg;
    return tidings_answer(task, request->data, request->data_len);
}

static const struct tidings_endpoint greeter = {.type = "greet",
                                                .handler = greet};

static struct tidings_service_options options(const char *name)
{
    return (struct tidings_service_options){.name = name,
                                            .version = "1.0.0",
                                            .endpoints = &greeter,
                                            .endpoints_len = 1};
}

static tidings_service *serve(tidings_bus *bus, const char *name)
{
    const struct tidings_service_options o = options(name);
    tidings_service *s = NULL;

    assert_ok(tidings_serve(&s, bus, &o));
    assert_non_null(s);
    return s;
}

static struct tidings_service_info info_of(tidings_service *s)
{
    struct tidings_service_info info;

    assert_ok(tidings_service_info(&info, s));
    return info;
}

/* ---- beginning ---- */

static void test_service_is_registered_and_stopped(void **state)
{
    tidings_bus *bus = conf_open(*state, NULL);
    tidings_service *s = serve(bus, "greeter");
    struct tidings_service_info info = info_of(s);

    assert_true(strlen(info.id) > 0);
    assert_int_equal(info.health, TIDINGS_RUNNING);
    assert_false(info.draining);
    assert_int_equal(info.requests + info.waiting + info.running, 0);
    assert_ok(tidings_service_stop(s, CONF_MS));
    assert_err(tidings_service_stop(s, CONF_MS), TIDINGS_ECLOSED);
    assert_err(tidings_service_info(&info, s), TIDINGS_ECLOSED);
    assert_err(tidings_service_set_health(s, TIDINGS_SICK, NULL),
               TIDINGS_ECLOSED);
}

static void test_service_has_instances_of_one_name(void **state)
{
    tidings_bus *bus = conf_open(*state, NULL);
    tidings_service *a = serve(bus, "greeter");
    tidings_service *b = serve(bus, "greeter");

    assert_ptr_not_equal(a, b);
    assert_string_not_equal(info_of(a).id, info_of(b).id);
    assert_ok(tidings_service_stop(a, CONF_MS));
    assert_int_equal(info_of(b).health, TIDINGS_RUNNING);
}

static void test_service_refuses_what_it_cannot_be(void **state)
{
    static const struct tidings_pair pair = {"k", "v"};
    static const struct tidings_pair twice[] = {{"k", "v"}, {"k", "w"}};
    static const struct tidings_pair nothing = {"k", NULL};
    static const struct tidings_endpoint system = {.type = "$a",
                                                   .handler = greet};
    static const struct tidings_endpoint no_handler = {.type = "a"};
    static const struct tidings_endpoint no_type = {.handler = greet};
    static const struct tidings_endpoint bad_name = {
        .type = "a", .handler = greet, .name = "a.b"};
    static const struct tidings_endpoint bad_group = {
        .type = "a", .handler = greet, .group = "a b"};
    static const struct tidings_endpoint bad_balance = {
        .type = "a", .handler = greet, .balance = TIDINGS_BALANCE_LATENCY + 1};
    static const struct tidings_endpoint too_many = {
        .type = "a", .handler = greet, .max_in_flight = 65537};
    const struct {
        const char *what;
        struct tidings_service_options o;
    } rows[] = {
        {"no name", {.version = "1.0.0"}},
        {"name", {.name = "a.b", .version = "1.0.0"}},
        {"no version", {.name = "a"}},
        {"version", {.name = "a", .version = "1.0"}},
        {"endpoints", {.name = "a", .version = "1.0.0", .endpoints_len = 1}},
        {"many", {.name = "a", .version = "1.0.0", .endpoints_len = 65}},
        {"metadata",
         {.name = "a",
          .version = "1.0.0",
          .metadata = &pair,
          .metadata_len = 33}},
        {"value",
         {.name = "a",
          .version = "1.0.0",
          .metadata = &nothing,
          .metadata_len = 1}},
        {"twice",
         {.name = "a",
          .version = "1.0.0",
          .metadata = twice,
          .metadata_len = 2}},
        {"health", {.name = "a", .version = "1.0.0", .health = 6}},
        {"health_ms", {.name = "a", .version = "1.0.0", .health_ms = 99}},
        {"health_ms", {.name = "a", .version = "1.0.0", .health_ms = -2}},
        {"workers", {.name = "a", .version = "1.0.0", .workers = 65}},
        {"timeout", {.name = "a", .version = "1.0.0", .timeout_ms = -1}},
        {"rate",
         {.name = "a", .version = "1.0.0", .breaker = {.rate_percent = 101}}},
        {"window",
         {.name = "a",
          .version = "1.0.0",
          .service_breaker = {.window_ms = -1}}},
        {"text", {.name = "a", .version = "1.0.0", .description = "\xff"}},
        {"system",
         {.name = "a",
          .version = "1.0.0",
          .endpoints = &system,
          .endpoints_len = 1}},
        {"handler",
         {.name = "a",
          .version = "1.0.0",
          .endpoints = &no_handler,
          .endpoints_len = 1}},
        {"type",
         {.name = "a",
          .version = "1.0.0",
          .endpoints = &no_type,
          .endpoints_len = 1}},
        {"endpoint's name",
         {.name = "a",
          .version = "1.0.0",
          .endpoints = &bad_name,
          .endpoints_len = 1}},
        {"group",
         {.name = "a",
          .version = "1.0.0",
          .endpoints = &bad_group,
          .endpoints_len = 1}},
        {"balance",
         {.name = "a",
          .version = "1.0.0",
          .endpoints = &bad_balance,
          .endpoints_len = 1}},
        {"max_in_flight",
         {.name = "a",
          .version = "1.0.0",
          .endpoints = &too_many,
          .endpoints_len = 1}},
    };
    tidings_bus *bus = conf_open(*state, NULL);
    tidings_service *s = NULL;

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        tidings_err err = tidings_serve(&s, bus, &rows[i].o);

        if (err != TIDINGS_EINVAL)
            print_error("%s: %s\n", rows[i].what, tidings_err_name(err));
        assert_err(err, TIDINGS_EINVAL);
    }
    assert_err(tidings_serve(&s, bus, NULL), TIDINGS_EINVAL);
    assert_null(s);
}

/* All that there is, at its longest. */
static void test_service_takes_all_that_is_allowed(void **state)
{
    static const char longest[] =
        "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl";
    static struct tidings_endpoint endpoints[64];
    static struct tidings_pair pairs[32];
    static char names[64][66];
    const struct tidings_service_options o = {
        .name = longest,
        .version = "1.2.3-rc.1+build.7",
        .description = "all of it",
        .metadata = pairs,
        .metadata_len = 32,
        .endpoints = endpoints,
        .endpoints_len = 64,
        .health = TIDINGS_STARTING,
        .health_ms = -1,
        .breaker = {.failures = -1, .rate_percent = -1},
        .service_breaker = {.failures = 7, .recovery_ms = 100},
    };
    tidings_bus *bus = conf_open(*state, NULL);
    tidings_service *s;

    for (unsigned i = 0; i < 64; i++) {
        snprintf(names[i], sizeof(names[i]), "%u.%.60s", i + 100, longest);
        endpoints[i] = (struct tidings_endpoint){
            .type = names[i],
            .handler = greet,
            .group = longest,
            .balance = TIDINGS_BALANCE_LATENCY,
            .max_in_flight = 65536,
        };
        pairs[i % 32] = (struct tidings_pair){names[i % 32], "value"};
    }
    assert_err(tidings_service_set_health(NULL, TIDINGS_RUNNING, NULL),
               TIDINGS_EINVAL);
    assert_string_equal(tidings_detail(), "not a service");
    assert_ok(tidings_serve(&s, bus, &o));
    assert_int_equal(info_of(s).health, TIDINGS_STARTING);
    assert_ok(tidings_service_set_health(s, TIDINGS_RUNNING, "ready"));
    assert_int_equal(info_of(s).health, TIDINGS_RUNNING);
    assert_err(tidings_service_set_health(s, TIDINGS_SICK + 1, NULL),
               TIDINGS_EINVAL);
    assert_err(tidings_service_set_health(s, TIDINGS_SICK, "\xff"),
               TIDINGS_EINVAL);
    assert_ok(tidings_service_stop(s, CONF_MS));
}

static void test_service_is_one_of_64_on_a_bus(void **state)
{
    const struct tidings_service_options o = options("one-more");
    tidings_bus *bus = conf_open(*state, NULL);
    tidings_service *s = NULL;

    for (unsigned i = 0; i < 64; i++)
        s = serve(bus, "many");
    assert_err(tidings_serve(NULL, bus, &o), TIDINGS_ELIMIT);
    assert_ok(tidings_service_stop(s, CONF_MS));
    serve(bus, "one-more");
}

static void test_service_needs_a_broker(void **state)
{
    struct tidings_service_options o = options("greeter");
    tidings_service *s = NULL;
    char url[256];
    tidings_bus *bus = conf_open_at(*state, conf_dead_url(url), NULL);

    o.timeout_ms = 50;
    assert_err(tidings_serve(&s, bus, &o), TIDINGS_EUNREACH);
    assert_null(s);
}

static void test_service_has_no_workers_in_an_own_loop(void **state)
{
    const struct tidings_options own = {.own_loop = true};
    struct tidings_service_options o = options("greeter");
    tidings_bus *bus = conf_open(*state, &own);
    tidings_service *s = NULL;

    o.workers = 2;
    assert_err(tidings_serve(&s, bus, &o), TIDINGS_ENOTSUP);
    o.workers = 0;
    assert_ok(tidings_serve(&s, bus, &o));
    assert_ok(tidings_service_stop(s, CONF_MS));
}

/* ---- its end ---- */

static void test_service_ends_with_its_bus(void **state)
{
    struct conf *c = *state;
    struct tidings_service_options o = options("greeter");
    tidings_bus *bus = conf_open(c, NULL);
    struct tidings_service_info info;
    tidings_service *s;
    tidings_service *worked;

    s = serve(bus, "greeter");
    o.workers = 3;
    assert_ok(tidings_serve(&worked, bus, &o));
    conf_forget(c, bus);
    assert_ok(tidings_close(bus));
    assert_err(tidings_service_info(&info, s), TIDINGS_ECLOSED);
    assert_err(tidings_service_stop(worked, CONF_MS), TIDINGS_ECLOSED);
}

static void test_service_ends_when_its_bus_is_drained(void **state)
{
    struct tidings_service_options o = options("greeter");
    tidings_bus *bus = conf_open(*state, NULL);
    tidings_service *s = serve(bus, "greeter");
    struct tidings_service_info info;
    tidings_service *worked;

    o.workers = 3;
    assert_ok(tidings_serve(&worked, bus, &o));
    assert_ok(tidings_drain(bus, CONF_MS));
    assert_err(tidings_service_info(&info, s), TIDINGS_ECLOSED);
    assert_err(tidings_service_info(&info, worked), TIDINGS_ECLOSED);
    serve(bus, "greeter"); /* the bus goes on */
}

/* What the child's exit code says is wrong; 0: nothing. */
static int be_child(void *arg)
{
    tidings_service *s = arg;
    struct tidings_service_info info;

    if (tidings_service_info(&info, s) != TIDINGS_EFORKED)
        return 1;
    if (tidings_service_stop(s, 1) != TIDINGS_EFORKED)
        return 2;
    return tidings_service_set_health(s, TIDINGS_SICK, "") == TIDINGS_EFORKED
               ? 0
               : 3;
}

static void test_service_is_not_the_childs(void **state)
{
    tidings_service *s = serve(conf_open(*state, NULL), "greeter");

    assert_int_equal(conf_in_child(be_child, s), 0);
    assert_int_equal(info_of(s).health, TIDINGS_RUNNING);
}

/* ---- links ---- */

static bool up_again(tidings_bus *bus, uint64_t connects)
{
    int64_t end = td_proc_now_ms() + CONF_MS;
    struct tidings_info info;

    do {
        conf_pause_us(1000);
        assert_ok(tidings_info(&info, bus));
    } while (info.connects <= connects && td_proc_now_ms() < end);
    return info.connects > connects;
}

static void test_service_has_its_id_again_on_another_link(void **state)
{
    struct tidings_service_info before;
    struct td_chaos *chaos;
    int64_t us;
    tidings_bus *bus;
    tidings_service *s;

    if (!conf_has_daemon())
        skip(); /* inproc has no link to lose */
    chaos = conf_chaos(*state);
    bus = conf_open_at(*state, td_chaos_url(chaos), NULL);
    s = serve(bus, "greeter");
    before = info_of(s);
    td_chaos_cut(chaos);
    assert_true(up_again(bus, 1));
    /* SERVE goes with the greeting, so this comes after its answer. */
    assert_ok(tidings_ping(&us, bus, CONF_MS));
    assert_string_equal(info_of(s).id, before.id);
    assert_ok(tidings_service_stop(s, CONF_MS));
}

int conf_run_service(void)
{
    const struct CMUnitTest tests[] = {
        CONF_TEST(test_service_is_registered_and_stopped),
        CONF_TEST(test_service_has_instances_of_one_name),
        CONF_TEST(test_service_refuses_what_it_cannot_be),
        CONF_TEST(test_service_takes_all_that_is_allowed),
        CONF_TEST(test_service_is_one_of_64_on_a_bus),
        CONF_TEST(test_service_needs_a_broker),
        CONF_TEST(test_service_has_no_workers_in_an_own_loop),
        CONF_TEST(test_service_ends_with_its_bus),
        CONF_TEST(test_service_ends_when_its_bus_is_drained),
        CONF_TEST(test_service_is_not_the_childs),
        CONF_TEST(test_service_has_its_id_again_on_another_link),
    };

    return cmocka_run_group_tests_name("service", tests, NULL, NULL);
}
