/* fork() with buses open: the child's handles say so, and it can open its own
 * (FAULTS R13). */
#include "tests/conformance/conformance.h"

#include <stdlib.h>

#define ROUNDS (20 / CONF_SLOW + 1)
#if defined(__SANITIZE_THREAD__)
#define OPENS 0 /* its runtime starts no threads in a child */
#else
#define OPENS 3
#endif

/* What the child's exit code says when something is wrong. */
enum complaint {
    FINE,
    NOT_FORKED,     /* a call on the parent's handle */
    SUB_NOT_FORKED, /* … of its subscription */
    NOT_OPENED,
    NOT_CONNECTED,
    NOT_SUBSCRIBED,
    NOT_PUBLISHED,
    NOT_DELIVERED,
    NOT_CLOSED
};

struct parent {
    tidings_bus *bus;
    tidings_sub *sub;
};

static bool is_forked(tidings_bus *bus)
{
    struct tidings_info info;
    void *bytes;
    size_t len;
    int64_t us;
    int fd;

    return tidings_wait(bus, 100) == TIDINGS_EFORKED &&
           tidings_publish(bus, "a", NULL, 0) == TIDINGS_EFORKED &&
           tidings_publish_event(bus, &(struct tidings_event){.type = "a"}) ==
               TIDINGS_EFORKED &&
           tidings_flush(bus, 100) == TIDINGS_EFORKED &&
           tidings_drain(bus, 100) == TIDINGS_EFORKED &&
           tidings_fd(&fd, bus) == TIDINGS_EFORKED &&
           tidings_dispatch(NULL, bus, 1) == TIDINGS_EFORKED &&
           tidings_info(&info, bus) == TIDINGS_EFORKED &&
           tidings_ping(&us, bus, 100) == TIDINGS_EFORKED &&
           tidings_stats(&bytes, &len, bus, 100) == TIDINGS_EFORKED &&
           tidings_subscribe(NULL, bus, "a", tally_event, NULL, NULL) ==
               TIDINGS_EFORKED &&
           tidings_close(bus) == TIDINGS_EFORKED;
}

static tidings_err count(void *arg, const struct tidings_event *event)
{
    (void)event;
    atomic_fetch_add((atomic_uint *)arg, 1);
    return TIDINGS_OK;
}

/* A round trip over a bus of the child's own. */
static enum complaint open_own(void)
{
    atomic_uint *seen = calloc(1, sizeof(*seen));
    int64_t end = td_proc_now_ms() + CONF_MS;
    tidings_bus *bus;

    if (!seen || tidings_open(&bus, conf_url(), NULL))
        return NOT_OPENED;
    if (tidings_wait(bus, CONF_MS))
        return NOT_CONNECTED;
    if (tidings_subscribe(NULL, bus, "child", count, seen, NULL))
        return NOT_SUBSCRIBED;
    if (tidings_publish(bus, "child", NULL, 0) || tidings_flush(bus, CONF_MS))
        return NOT_PUBLISHED;
    while (atomic_load(seen) == 0 && td_proc_now_ms() < end)
        conf_pause_us(1000);
    if (atomic_load(seen) != 1)
        return NOT_DELIVERED;
    if (tidings_close(bus))
        return NOT_CLOSED;
    free(seen);
    return FINE;
}

static int be_child(void *arg)
{
    const struct parent *p = arg;
    enum complaint what = FINE;

    if (!is_forked(p->bus))
        return NOT_FORKED;
    if (tidings_unsubscribe(p->sub, 100) != TIDINGS_EFORKED)
        return SUB_NOT_FORKED;
    for (int i = 0; i < OPENS && !what; i++)
        what = open_own();
    return what;
}

static void test_child_opens_its_own_bus(void **state)
{
    struct conf *c = *state;
    struct parent p = {.bus = conf_open(c, NULL)};
    struct tally *t = conf_tally(c);

    assert_ok(tidings_subscribe(&p.sub, p.bus, "mine", tally_event, t, NULL));
    assert_int_equal(conf_in_child(be_child, &p), FINE);
    assert_ok(tidings_publish(p.bus, "mine", NULL, 0));
    assert_true(tally_wait(t, 1, CONF_MS));
    assert_ok(tidings_unsubscribe(p.sub, CONF_MS));
}

/* ---- while other threads hold whatever locks there are ---- */

static void *publish_until(void *arg)
{
    atomic_uintptr_t *bus = arg; /* 0: stop */
    uintptr_t handle;

    while ((handle = atomic_load(bus)) != 0)
        tidings_publish((tidings_bus *)handle, "busy", "x", 1);
    return NULL;
}

static void *open_until(void *arg)
{
    atomic_bool *stop = arg;

    while (!atomic_load(stop)) {
        tidings_bus *bus;

        if (!tidings_open(&bus, conf_url(), NULL))
            tidings_close(bus);
    }
    return NULL;
}

/* The allocator of the address sanitizer does not let go of its locks in a
 * child: there such a child hangs, whatever it calls. */
static void test_child_of_a_busy_parent_opens_its_own_bus(void **state)
{
    struct conf *c = *state;
    struct parent p = {.bus = conf_open(c, NULL)};
    struct tally *t = conf_tally(c);
    atomic_uintptr_t handle = (uintptr_t)p.bus;
    atomic_bool stop = false;
    pthread_t publisher;
    pthread_t opener;
    int code = FINE;

    if (CONF_ADDRESS_SANITIZED)
        skip();
    assert_ok(tidings_subscribe(&p.sub, p.bus, "busy", tally_event, t, NULL));
    assert_int_equal(pthread_create(&publisher, NULL, publish_until, &handle),
                     0);
    assert_int_equal(pthread_create(&opener, NULL, open_until, &stop), 0);
    for (int i = 0; i < ROUNDS && code == FINE; i++)
        code = conf_in_child(be_child, &p);
    atomic_store(&handle, 0);
    atomic_store(&stop, true);
    pthread_join(publisher, NULL);
    pthread_join(opener, NULL);
    assert_int_equal(code, FINE);
}

int conf_run_fork(void)
{
    const struct CMUnitTest tests[] = {
        CONF_TEST(test_child_opens_its_own_bus),
        CONF_TEST(test_child_of_a_busy_parent_opens_its_own_bus),
    };

    return cmocka_run_group_tests_name("fork", tests, NULL, NULL);
}
