/* Handles that are NULL, closed, garbage or too many: errors, never crashes
 * (FAULTS R14). */
#include "tests/conformance/conformance.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/resource.h>

#define LOOPS     (1000 / CONF_SLOW)
#define BUSES_MAX 1024

/* ---- every call of a bus ---- */

static tidings_err never(void *arg, const struct tidings_event *event)
{
    (void)arg;
    (void)event;
    return TIDINGS_OK;
}

static tidings_err do_wait(tidings_bus *bus)
{
    return tidings_wait(bus, 10);
}

static tidings_err do_publish(tidings_bus *bus)
{
    return tidings_publish(bus, "a.b", NULL, 0);
}

static tidings_err do_publish_event(tidings_bus *bus)
{
    return tidings_publish_event(bus, &(struct tidings_event){.type = "a.b"});
}

static tidings_err do_flush(tidings_bus *bus)
{
    return tidings_flush(bus, 10);
}

static tidings_err do_subscribe(tidings_bus *bus)
{
    return tidings_subscribe(NULL, bus, ">", never, NULL, NULL);
}

static tidings_err do_drain(tidings_bus *bus)
{
    return tidings_drain(bus, 10);
}

static tidings_err do_fd(tidings_bus *bus)
{
    int fd;

    return tidings_fd(&fd, bus);
}

static tidings_err do_dispatch(tidings_bus *bus)
{
    return tidings_dispatch(NULL, bus, 1);
}

static tidings_err do_info(tidings_bus *bus)
{
    struct tidings_info info;

    return tidings_info(&info, bus);
}

static tidings_err do_ping(tidings_bus *bus)
{
    int64_t us;

    return tidings_ping(&us, bus, 10);
}

static tidings_err do_stats(tidings_bus *bus)
{
    void *bytes;
    size_t len;

    return tidings_stats(&bytes, &len, bus, 10);
}

static const struct {
    const char *name;
    tidings_err (*call)(tidings_bus *bus);
} calls[] = {
    {"wait", do_wait},
    {"publish", do_publish},
    {"flush", do_flush},
    {"publish_event", do_publish_event},
    {"subscribe", do_subscribe},
    {"drain", do_drain},
    {"fd", do_fd},
    {"dispatch", do_dispatch},
    {"info", do_info},
    {"ping", do_ping},
    {"stats", do_stats},
};

static void test_null_is_an_invalid_argument(void **state)
{
    (void)state;
    assert_ok(tidings_close(NULL));
    assert_err(tidings_unsubscribe(NULL, 10), TIDINGS_EINVAL);
    for (size_t i = 0; i < TD_ARRAY_LEN(calls); i++)
        assert_row(calls[i].name, calls[i].call(NULL) == TIDINGS_EINVAL);
}

static void test_use_after_close_is_closed(void **state)
{
    static const struct tidings_options loops[] = {{.own_loop = false},
                                                   {.own_loop = true}};

    (void)state;
    for (size_t o = 0; o < TD_ARRAY_LEN(loops); o++) {
        tidings_bus *bus;
        tidings_sub *sub;

        assert_ok(tidings_open(&bus, conf_url(), &loops[o]));
        assert_ok(tidings_subscribe(&sub, bus, "a", never, NULL, NULL));
        assert_ok(tidings_close(bus));
        assert_err(tidings_close(bus), TIDINGS_ECLOSED);
        assert_err(tidings_unsubscribe(sub, 10), TIDINGS_ECLOSED);
        for (size_t i = 0; i < TD_ARRAY_LEN(calls); i++)
            assert_row(calls[i].name, calls[i].call(bus) == TIDINGS_ECLOSED);
    }
}

/* A handle that was closed stays closed when its slot is used again. */
static void test_closed_handle_is_not_a_later_bus(void **state)
{
    struct conf *c = *state;
    tidings_bus *old;
    tidings_sub *old_sub;
    tidings_bus *keep = conf_open(c, NULL);

    assert_ok(tidings_open(&old, conf_url(), NULL));
    assert_ok(tidings_subscribe(&old_sub, old, "a", never, NULL, NULL));
    assert_ok(tidings_close(old));
    for (int i = 0; i < BUSES_MAX + 10; i += CONF_SLOW) {
        tidings_bus *bus;

        assert_ok(tidings_open(&bus, "inproc://later", NULL));
        assert_ptr_not_equal(bus, old);
        assert_err(do_info(old), TIDINGS_ECLOSED);
        assert_err(tidings_unsubscribe(old_sub, 0), TIDINGS_ECLOSED);
        assert_ok(tidings_close(bus));
    }
    assert_ok(do_info(keep));
}

static void test_garbage_is_refused(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    tidings_sub *sub;
    uint32_t random = 1;

    assert_ok(tidings_subscribe(&sub, bus, "a", never, NULL, NULL));
    /* One kind of handle for the other. */
    assert_err(tidings_close((tidings_bus *)sub), TIDINGS_EINVAL);
    assert_err(tidings_unsubscribe((tidings_sub *)bus, 10), TIDINGS_EINVAL);
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = (uint64_t)conf_random(&random, UINT32_MAX) << 32 |
                        conf_random(&random, UINT32_MAX);
        tidings_bus *no_bus = (tidings_bus *)(uintptr_t)(bits >> i % 64);
        tidings_sub *no_sub = (tidings_sub *)(uintptr_t)(bits >> i % 64);
        tidings_err err;

        if (no_bus == bus || no_sub == sub)
            continue;
        err = no_bus ? tidings_close(no_bus) : TIDINGS_EINVAL;
        assert_true(err == TIDINGS_EINVAL || err == TIDINGS_ECLOSED);
        err = tidings_unsubscribe(no_sub, 0);
        assert_true(err == TIDINGS_EINVAL || err == TIDINGS_ECLOSED);
    }
    /* Addresses of the program, and numbers near real handles. */
    assert_int_not_equal(tidings_close((tidings_bus *)&random), TIDINGS_OK);
    assert_err(do_info((tidings_bus *)((uintptr_t)bus + 1)), TIDINGS_ECLOSED);
    assert_err(tidings_unsubscribe(
                   (tidings_sub *)((uintptr_t)sub + ((uintptr_t)1 << 32)), 0),
               TIDINGS_ECLOSED);
    assert_ok(do_info(bus));
    assert_ok(tidings_unsubscribe(sub, CONF_MS));
}

/* ---- timeouts ---- */

static void test_timeouts_have_bounds(void **state)
{
    static const int bad[] = {-1, INT32_MIN, TIDINGS_TIMEOUT_MAX_MS + 1,
                              INT32_MAX};
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    tidings_sub *sub;
    void *bytes;
    size_t len;
    int64_t us;

    assert_ok(tidings_subscribe(&sub, bus, "a", never, NULL, NULL));
    for (size_t i = 0; i < TD_ARRAY_LEN(bad); i++) {
        const struct tidings_sub_options o = {.timeout_ms = bad[i]};

        assert_err(tidings_wait(bus, bad[i]), TIDINGS_EINVAL);
        assert_err(tidings_flush(bus, bad[i]), TIDINGS_EINVAL);
        assert_err(tidings_drain(bus, bad[i]), TIDINGS_EINVAL);
        assert_err(tidings_ping(&us, bus, bad[i]), TIDINGS_EINVAL);
        assert_err(tidings_stats(&bytes, &len, bus, bad[i]), TIDINGS_EINVAL);
        assert_err(tidings_unsubscribe(sub, bad[i]), TIDINGS_EINVAL);
        assert_err(tidings_subscribe(NULL, bus, "a", never, NULL, &o),
                   TIDINGS_EINVAL);
    }
    assert_ok(tidings_wait(bus, TIDINGS_TIMEOUT_MAX_MS));
    assert_ok(tidings_flush(bus, TIDINGS_TIMEOUT_MAX_MS));
    assert_ok(tidings_unsubscribe(sub, TIDINGS_TIMEOUT_MAX_MS));
}

/* ---- many ---- */

static int count_fds(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int n = 0;

    assert_non_null(folder);
    while (readdir(folder))
        n++;
    closedir(folder);
    return n;
}

static void test_open_and_close_leak_no_descriptors(void **state)
{
    int before;

    (void)state;
    for (int i = 0; i < LOOPS; i++) {
        const struct tidings_options o = {.own_loop = i % 3 == 0};
        tidings_bus *bus;

        if (i == 1)
            before = count_fds(); /* the first may open what stays */
        assert_ok(tidings_open(&bus, conf_url(), &o));
        if (i % 2)
            assert_ok(tidings_wait(bus, CONF_MS));
        if (i % 4 == 1)
            assert_ok(tidings_subscribe(NULL, bus, "a", never, NULL, NULL));
        if (i % 8 == 1)
            assert_ok(do_publish(bus));
        assert_ok(tidings_close(bus));
    }
    assert_int_equal(count_fds(), before);
}

/* Many buses at once need many descriptors: as many as we may have. */
static bool raise_descriptors(rlim_t need)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return false;
    if (limit.rlim_cur < need) {
        limit.rlim_cur = limit.rlim_max < need ? limit.rlim_max : need;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    return limit.rlim_cur >= need;
}

static void test_open_refuses_the_1025th_bus(void **state)
{
    const struct tidings_options o = {.own_loop = true};
    tidings_bus *buses[BUSES_MAX + 1] = {NULL};
    tidings_err err = TIDINGS_OK;
    int n = 0;

    (void)state;
    if (conf_has_daemon() || !raise_descriptors(6 * BUSES_MAX))
        skip(); /* sockets and threads for so many are another test's */
    while (n <= BUSES_MAX && !err)
        err = tidings_open(&buses[n++], conf_url(), &o);
    for (int i = 0; i < n; i++)
        assert_ok(tidings_close(buses[i]));
    assert_int_equal(n, BUSES_MAX + 1);
    assert_err(err, TIDINGS_ELIMIT);
    assert_ok(tidings_open(&buses[0], conf_url(), &o));
    assert_ok(tidings_close(buses[0]));
}

int conf_run_handle(void)
{
    const struct CMUnitTest tests[] = {
        CONF_TEST(test_null_is_an_invalid_argument),
        CONF_TEST(test_use_after_close_is_closed),
        CONF_TEST(test_closed_handle_is_not_a_later_bus),
        CONF_TEST(test_garbage_is_refused),
        CONF_TEST(test_timeouts_have_bounds),
        CONF_TEST(test_open_and_close_leak_no_descriptors),
        CONF_TEST(test_open_refuses_the_1025th_bus),
    };

    return cmocka_run_group_tests_name("handle", tests, NULL, NULL);
}
