/* Discovery: the copy of the registry that a bus keeps. */
#include "tests/conformance/conformance.h"

#include <stdlib.h>
#include <unistd.h>

#include "tidings/service.h"

static tidings_err nothing(void *arg, tidings_task *task,
                           const struct tidings_event *request)
{
    (void)arg;
    (void)task;
    (void)request;
    return TIDINGS_OK;
}

static tidings_service *serve(tidings_bus *bus, const char *name)
{
    static const struct tidings_pair metadata = {"zone", "b"};
    const struct tidings_endpoint endpoints[] = {
        {.type = "found.get", .handler = nothing},
        {.type = "found.set.*", .handler = nothing},
    };
    const struct tidings_service_options o = {.name = name,
                                              .version = "1.2.3",
                                              .metadata = &metadata,
                                              .metadata_len = 1,
                                              .endpoints = endpoints,
                                              .endpoints_len = 2,
                                              .health_ms = 100};
    tidings_service *s = NULL;

    assert_ok(tidings_serve(&s, bus, &o));
    return s;
}

/* Waits until there are so many that are so. */
static struct tidings_instances *look(tidings_bus *bus, const char *name,
                                      size_t len, enum tidings_health health)
{
    int64_t end = td_proc_now_ms() + CONF_MS;
    struct tidings_instances *list = NULL;
    bool ok;

    do {
        tidings_instances_free(list);
        assert_ok(tidings_discover(&list, bus, name, CONF_MS));
        ok = list->len == len && !list->stale;
        for (size_t i = 0; i < list->len; i++)
            ok = ok && list->list[i].health == health;
        if (!ok)
            conf_pause_us(500);
    } while (!ok && td_proc_now_ms() < end);
    assert_true(ok);
    return list;
}

static const char *metadata_of(const struct tidings_instance *i,
                               const char *key)
{
    for (size_t k = 0; k < i->metadata_len; k++) {
        if (strcmp(i->metadata[k].key, key) == 0)
            return i->metadata[k].value;
    }
    return "";
}

static void test_discover_says_all_of_an_instance(void **state)
{
    tidings_bus *bus = conf_open(*state, NULL);
    tidings_bus *looker = conf_open(*state, NULL);
    tidings_service *s = serve(bus, "found");
    struct tidings_service_info info;
    struct tidings_instances *list;
    const struct tidings_instance *i;
    char pid[24];

    assert_ok(tidings_service_info(&info, s));
    list = look(looker, "found", 1, TIDINGS_RUNNING);
    i = &list->list[0];
    snprintf(pid, sizeof(pid), "%ld", (long)getpid());
    assert_string_equal(i->service, "found");
    assert_string_equal(i->id, info.id);
    assert_string_equal(i->version, "1.2.3");
    assert_false(i->draining);
    assert_string_equal(i->text, "");
    assert_string_equal(metadata_of(i, "zone"), "b");
    assert_string_equal(metadata_of(i, "pid"), pid);
    assert_true(strlen(metadata_of(i, "host")) > 0);
    assert_int_equal(i->types_len, 2);
    assert_string_equal(i->types[0], "found.get");
    assert_string_equal(i->types[1], "found.set.*");
    tidings_instances_free(list);
    tidings_instances_free(NULL);
}

static void test_discover_is_kept_true_by_events(void **state)
{
    tidings_bus *bus = conf_open(*state, NULL);
    tidings_bus *looker = conf_open(*state, NULL);
    struct tidings_instances *before = look(looker, "found", 0, 0);
    struct tidings_instances *list;
    tidings_service *a = serve(bus, "found");
    tidings_service *b;

    tidings_instances_free(look(looker, "found", 1, TIDINGS_RUNNING));
    assert_ok(tidings_service_set_health(a, TIDINGS_DEGRADED, "slow"));
    list = look(looker, "found", 1, TIDINGS_DEGRADED);
    assert_string_equal(list->list[0].text, "slow");
    tidings_instances_free(list);

    serve(bus, "apart");
    b = serve(bus, "found");
    assert_ok(tidings_service_set_health(b, TIDINGS_DEGRADED, ""));
    list = look(looker, "found", 2, TIDINGS_DEGRADED);
    assert_true(strcmp(list->list[0].id, list->list[1].id) < 0);
    tidings_instances_free(list);
    assert_ok(tidings_discover(&list, looker, NULL, CONF_MS));
    assert_int_equal(list->len, 3);
    assert_string_equal(list->list[0].service, "apart");
    assert_string_equal(list->list[2].service, "found");
    tidings_instances_free(list);

    assert_ok(tidings_service_stop(a, CONF_MS));
    tidings_instances_free(look(looker, "found", 1, TIDINGS_DEGRADED));
    assert_ok(tidings_service_stop(b, CONF_MS));
    tidings_instances_free(look(looker, "found", 0, 0));
    assert_int_equal(before->len, 0); /* what was handed out is as it was */
    tidings_instances_free(before);
}

static void test_discover_is_the_same_list_while_nothing_changes(void **state)
{
    tidings_bus *bus = conf_open(*state, NULL);
    struct tidings_instances *a;
    struct tidings_instances *b;

    serve(bus, "found");
    a = look(bus, "found", 1, TIDINGS_RUNNING);
    assert_ok(tidings_discover(&b, bus, "found", 0));
    assert_ptr_equal(a, b);
    tidings_instances_free(a);
    assert_int_equal(b->len, 1);
    tidings_instances_free(b);
}

struct inside {
    tidings_bus *bus;
    tidings_service *service;
    atomic_int gone; /* 1: it was, 2: never */
};

/* Keeps the thread that reads the link, and sees all the same. */
static tidings_err stop_and_look(void *arg, const struct tidings_event *event)
{
    struct inside *in = arg;
    int64_t end = td_proc_now_ms() + CONF_MS;
    size_t len = 1;

    (void)event;
    tidings_service_stop(in->service, CONF_MS);
    while (len > 0 && td_proc_now_ms() < end) {
        struct tidings_instances *list;

        if (tidings_discover(&list, in->bus, "found", 0))
            break;
        len = list->len;
        tidings_instances_free(list);
    }
    atomic_store(&in->gone, len == 0 ? 1 : 2);
    return TIDINGS_OK;
}

static void test_discover_sees_inside_a_handler(void **state)
{
    tidings_bus *bus = conf_open(*state, NULL);
    struct inside in = {.bus = conf_open(*state, NULL),
                        .service = serve(bus, "found")};
    int64_t end = td_proc_now_ms() + CONF_MS;

    tidings_instances_free(look(in.bus, "found", 1, TIDINGS_RUNNING));
    assert_ok(
        tidings_subscribe(NULL, in.bus, "look.now", stop_and_look, &in, NULL));
    assert_ok(tidings_publish(bus, "look.now", NULL, 0));
    while (atomic_load(&in.gone) == 0 && td_proc_now_ms() < end)
        conf_pause_us(500);
    assert_int_equal(atomic_load(&in.gone), 1);
}

static void test_discover_is_stale_while_the_link_is_lost(void **state)
{
    const struct td_chaos_rules none = {.refuse = true};
    struct td_chaos *chaos;
    int64_t end = td_proc_now_ms() + CONF_MS;
    struct tidings_instances *list = NULL;
    tidings_bus *looker;
    tidings_bus *bus;
    tidings_service *s;

    if (!conf_has_daemon())
        skip(); /* inproc has no link to lose */
    chaos = conf_chaos(*state);
    bus = conf_open(*state, NULL);
    looker = conf_open_at(*state, td_chaos_url(chaos), NULL);
    s = serve(bus, "found");
    tidings_instances_free(look(looker, "found", 1, TIDINGS_RUNNING));
    td_chaos_rules(chaos, &none);
    td_chaos_cut(chaos);
    do {
        tidings_instances_free(list);
        assert_ok(tidings_discover(&list, looker, "found", 0));
    } while (!list->stale && td_proc_now_ms() < end);
    assert_true(list->stale);
    assert_int_equal(list->len, 1);
    tidings_instances_free(list);

    assert_ok(tidings_service_stop(s, CONF_MS)); /* nobody tells the looker */
    td_chaos_rules(chaos, &(struct td_chaos_rules){0});
    tidings_instances_free(look(looker, "found", 0, 0));
}

static void test_discover_sees_who_lost_his_link(void **state)
{
    const struct td_chaos_rules none = {.refuse = true};
    struct td_chaos *chaos;
    tidings_bus *looker;
    tidings_bus *bus;

    if (!conf_has_daemon())
        skip();
    chaos = conf_chaos(*state);
    looker = conf_open(*state, NULL);
    bus = conf_open_at(*state, td_chaos_url(chaos), NULL);
    serve(bus, "found");
    tidings_instances_free(look(looker, "found", 1, TIDINGS_RUNNING));
    td_chaos_rules(chaos, &none);
    td_chaos_cut(chaos); /* from now on it says nothing */
    tidings_instances_free(look(looker, "found", 1, TIDINGS_SICK));
    td_chaos_rules(chaos, &(struct td_chaos_rules){0});
    tidings_instances_free(look(looker, "found", 1, TIDINGS_RUNNING));
}

/* More than a page of the list. */
static void test_discover_has_all_of_many(void **state)
{
    struct tidings_instances *list;
    tidings_bus *looker;

    for (unsigned i = 0; i < 5; i++) {
        tidings_bus *bus = conf_open(*state, NULL);

        for (unsigned k = 0; k < 60; k++)
            serve(bus, k % 2 ? "found" : "apart");
    }
    looker = conf_open(*state, NULL);
    list = look(looker, NULL, 300, TIDINGS_RUNNING);
    for (size_t i = 1; i < list->len; i++) {
        const struct tidings_instance *a = &list->list[i - 1];
        const struct tidings_instance *b = &list->list[i];
        int order = strcmp(a->service, b->service);

        assert_true(order < 0 || (order == 0 && strcmp(a->id, b->id) < 0));
    }
    tidings_instances_free(list);
    tidings_instances_free(look(looker, "apart", 150, TIDINGS_RUNNING));
}

static void test_discover_needs_a_broker_once(void **state)
{
    struct tidings_instances *list = NULL;
    char url[256];
    tidings_bus *bus = conf_open_at(*state, conf_dead_url(url), NULL);

    assert_err(tidings_discover(&list, bus, "a", 30), TIDINGS_EUNREACH);
    assert_err(tidings_discover(&list, bus, "a.b", 30), TIDINGS_EINVAL);
    assert_err(tidings_discover(&list, bus, "a", -1), TIDINGS_EINVAL);
    assert_err(tidings_discover(NULL, bus, "a", 30), TIDINGS_EINVAL);
    assert_null(list);
}

static void test_discover_outlives_its_bus(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    struct tidings_instances *list;
    struct tidings_instances *none;

    serve(bus, "found");
    list = look(bus, "found", 1, TIDINGS_RUNNING);
    conf_forget(c, bus);
    assert_ok(tidings_close(bus));
    assert_string_equal(list->list[0].service, "found");
    tidings_instances_free(list);
    assert_err(tidings_discover(&none, bus, "found", 0), TIDINGS_ECLOSED);
}

int conf_run_discover(void)
{
    const struct CMUnitTest tests[] = {
        CONF_TEST(test_discover_says_all_of_an_instance),
        CONF_TEST(test_discover_is_kept_true_by_events),
        CONF_TEST(test_discover_is_the_same_list_while_nothing_changes),
        CONF_TEST(test_discover_sees_inside_a_handler),
        CONF_TEST(test_discover_is_stale_while_the_link_is_lost),
        CONF_TEST(test_discover_sees_who_lost_his_link),
        CONF_TEST(test_discover_has_all_of_many),
        CONF_TEST(test_discover_needs_a_broker_once),
        CONF_TEST(test_discover_outlives_its_bus),
    };

    return cmocka_run_group_tests_name("discover", tests, NULL, NULL);
}
