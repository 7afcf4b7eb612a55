/* A loop of one's own: handlers run in tidings_dispatch() and nowhere else. */
#include "tests/conformance/conformance.h"

#include <poll.h>

#define WAKES  (2000 / CONF_SLOW)
#define IDLE_S 17 /* longer than a silent client is kept */

static const struct tidings_options own_loop = {.own_loop = true};

static bool is_readable(int fd, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, timeout_ms) == 1 && (p.revents & POLLIN);
}

/* Dispatches as the descriptor says, until n events were or CONF_MS passed. */
static void dispatch_until(tidings_bus *bus, struct tally *t, uint64_t n)
{
    int64_t end = td_proc_now_ms() + CONF_MS;
    int fd = -1;

    assert_ok(tidings_fd(&fd, bus));
    while (tally_count(t) < n && td_proc_now_ms() < end) {
        if (is_readable(fd, 1000))
            assert_ok(tidings_dispatch(NULL, bus, SIZE_MAX));
    }
    assert_int_equal(tally_count(t), n);
}

static uint64_t waiting(tidings_bus *bus)
{
    struct tidings_info info;

    assert_ok(tidings_info(&info, bus));
    return info.waiting;
}

static void wait_waiting(tidings_bus *bus, uint64_t n)
{
    int64_t end = td_proc_now_ms() + CONF_MS;

    while (waiting(bus) < n && td_proc_now_ms() < end)
        conf_pause_us(1000);
    assert_int_equal(waiting(bus), n);
}

static void test_loop_calls_need_own_loop(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    size_t n = 7;
    int fd = -7;

    assert_err(tidings_fd(&fd, bus), TIDINGS_ENOTSUP);
    assert_err(tidings_dispatch(&n, bus, 1), TIDINGS_ENOTSUP);
    assert_int_equal(fd, -7);
    assert_int_equal(n, 7);
    bus = conf_open(c, &own_loop);
    assert_err(tidings_fd(NULL, bus), TIDINGS_EINVAL);
    assert_err(tidings_dispatch(&n, bus, 0), TIDINGS_EINVAL);
    assert_ok(tidings_dispatch(&n, bus, 1));
    assert_int_equal(n, 0);
    assert_ok(tidings_dispatch(NULL, bus, 1));
}

static void test_dispatch_runs_at_most_max_events(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, &own_loop);
    tidings_bus *from = conf_open(c, NULL);
    struct tally *t = conf_subscribe(c, bus, "max.*");
    size_t n = 0;
    int fd;

    assert_ok(tidings_fd(&fd, bus));
    assert_false(is_readable(fd, 0));
    assert_ok(conf_publish_many(from, "max.a", 0, 100));
    assert_true(is_readable(fd, CONF_MS));
    assert_int_equal(tally_count(t), 0);
    wait_waiting(bus, 100);
    for (uint64_t i = 1; i <= 10; i++) {
        assert_ok(tidings_dispatch(&n, bus, 1));
        assert_int_equal(n, 1);
        assert_int_equal(tally_count(t), i);
        assert_true(is_readable(fd, 0));
        assert_int_equal(waiting(bus), 100 - i);
    }
    assert_ok(tidings_dispatch(&n, bus, 89));
    assert_int_equal(n, 89);
    assert_true(is_readable(fd, 0));
    assert_ok(tidings_dispatch(&n, bus, 1000));
    assert_int_equal(n, 1);
    assert_false(is_readable(fd, 0));
    assert_int_equal(waiting(bus), 0);
    assert_ok(tidings_dispatch(&n, bus, 1000));
    assert_int_equal(n, 0);
    assert_int_equal(tally_now(t).holes + tally_now(t).disorder, 0);
}

static void test_status_waits_for_dispatch(void **state)
{
    struct conf *c = *state;
    struct tally *s = conf_tally(c);
    const struct tidings_options o = {
        .own_loop = true, .on_status = tally_status, .on_status_arg = s};
    tidings_bus *bus = conf_open(c, &o);
    size_t n = 7;
    int fd;

    assert_ok(tidings_fd(&fd, bus));
    assert_true(is_readable(fd, CONF_MS));
    assert_int_equal(tally_now(s).statuses[TIDINGS_UP], 0);
    assert_ok(tidings_dispatch(&n, bus, 1));
    assert_int_equal(n, 0); /* events are counted, statuses are not */
    assert_int_equal(tally_now(s).statuses[TIDINGS_UP], 1);
    assert_false(is_readable(fd, 0));
}

/* ---- two threads ---- */

struct pair {
    tidings_bus *bus;
    pthread_t thread; /* that dispatches */
    tidings_err inside;
    tidings_err beside;
    atomic_uint calls;
    atomic_uint strangers; /* calls on another thread */
};

static void *dispatch_beside(void *arg)
{
    struct pair *p = arg;

    p->beside = tidings_dispatch(NULL, p->bus, 1);
    return NULL;
}

static tidings_err dispatch_inside(void *arg, const struct tidings_event *event)
{
    struct pair *p = arg;
    pthread_t other;

    (void)event;
    if (!pthread_equal(pthread_self(), p->thread))
        atomic_fetch_add(&p->strangers, 1);
    p->inside = tidings_dispatch(NULL, p->bus, 1);
    if (pthread_create(&other, NULL, dispatch_beside, p) == 0)
        pthread_join(other, NULL);
    atomic_fetch_add(&p->calls, 1);
    return TIDINGS_OK;
}

static void test_only_one_thread_dispatches(void **state)
{
    struct conf *c = *state;
    struct pair p = {.bus = conf_open(c, &own_loop), .thread = pthread_self()};
    int fd;

    assert_ok(tidings_fd(&fd, p.bus));
    assert_ok(tidings_subscribe(NULL, p.bus, "two", dispatch_inside, &p, NULL));
    assert_ok(tidings_publish(p.bus, "two", NULL, 0));
    assert_true(is_readable(fd, CONF_MS));
    assert_ok(tidings_dispatch(NULL, p.bus, 1));
    assert_int_equal(atomic_load(&p.calls), 1);
    assert_int_equal(atomic_load(&p.strangers), 0);
    assert_err(p.inside, TIDINGS_EDEADLK);
    assert_err(p.beside, TIDINGS_EDEADLK);
    assert_ok(tidings_close(p.bus));
    conf_forget(c, p.bus);
}

/* ---- waking ---- */

struct feeder {
    tidings_bus *bus;
    struct tally *t;
    tidings_err err;
};

/* The next event when the last has been handled, or a little before. */
static void *feed(void *arg)
{
    struct feeder *f = arg;
    uint32_t random = 11;

    for (uint64_t n = 1; n <= WAKES && !f->err; n++) {
        f->err = conf_publish(f->bus, "wake", 0, n);
        if (conf_random(&random, 3) > 0 && !tally_wait(f->t, n, CONF_MS))
            f->err = TIDINGS_ETIMEDOUT;
        conf_pause_us(conf_random(&random, 100));
    }
    return NULL;
}

static void test_descriptor_tells_of_every_event(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, &own_loop);
    struct feeder f = {.bus = conf_open(c, NULL),
                       .t = conf_subscribe(c, bus, "wake")};
    uint32_t random = 5;
    pthread_t thread;
    int64_t end;
    int late = 0;
    int fd;

    assert_ok(tidings_fd(&fd, bus));
    assert_int_equal(pthread_create(&thread, NULL, feed, &f), 0);
    end = td_proc_now_ms() + 4 * CONF_MS;
    while (tally_count(f.t) < WAKES && td_proc_now_ms() < end) {
        if (is_readable(fd, 500))
            assert_ok(tidings_dispatch(NULL, bus, 1 + conf_random(&random, 3)));
        else
            late++;
    }
    pthread_join(thread, NULL);
    assert_ok(f.err);
    assert_int_equal(tally_count(f.t), WAKES);
    assert_in_range(late, 0, 1); /* the machine's, not ours */
    assert_false(is_readable(fd, 0));
}

static void test_link_stays_up_without_dispatch(void **state)
{
    struct conf *c = *state;
    struct tidings_info info;
    tidings_bus *bus;
    struct tally *t;

    if (!conf_is_long())
        skip();
    bus = conf_open(c, &own_loop);
    t = conf_subscribe(c, bus, "idle");
    assert_ok(conf_publish_many(bus, "idle", 0, 5));
    conf_pause_us(IDLE_S * 1000000L); /* the passing of time is the test */
    assert_ok(tidings_info(&info, bus));
    assert_int_equal(info.connects, 1);
    assert_int_equal(info.waiting, 5);
    dispatch_until(bus, t, 5);
}

/* ---- calls that wait ---- */

static void test_waiting_calls_work_without_dispatch(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, &own_loop);
    struct tally *t = conf_tally(c);
    tidings_sub *sub;
    int64_t us;

    assert_ok(tidings_subscribe(&sub, bus, "calls", tally_event, t, NULL));
    assert_ok(conf_publish_many(bus, "calls", 0, 3));
    assert_ok(tidings_flush(bus, CONF_MS));
    assert_ok(tidings_ping(&us, bus, CONF_MS));
    (void)conf_counter(bus, "published");
    assert_int_equal(tally_count(t), 0);
    dispatch_until(bus, t, 3);
    assert_ok(conf_publish_many(bus, "calls", 1, 3));
    wait_waiting(bus, 3);
    assert_ok(tidings_unsubscribe(sub, CONF_MS));
    assert_ok(tidings_dispatch(NULL, bus, 10));
    assert_int_equal(tally_count(t), 3); /* not after unsubscribe */
    assert_int_equal(waiting(bus), 0);
}

static void test_close_drops_what_was_not_dispatched(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, &own_loop);
    struct tally *t = conf_subscribe(c, bus, "dropped");

    assert_ok(conf_publish_many(bus, "dropped", 0, 50));
    wait_waiting(bus, 50);
    assert_ok(tidings_dispatch(NULL, bus, 7)); /* in the middle of one */
    assert_ok(tidings_close(bus));
    conf_forget(c, bus);
    assert_int_equal(tally_count(t), 7);
}

int conf_run_loop(void)
{
    const struct CMUnitTest tests[] = {
        CONF_TEST(test_loop_calls_need_own_loop),
        CONF_TEST(test_dispatch_runs_at_most_max_events),
        CONF_TEST(test_status_waits_for_dispatch),
        CONF_TEST(test_only_one_thread_dispatches),
        CONF_TEST(test_descriptor_tells_of_every_event),
        CONF_TEST(test_link_stays_up_without_dispatch),
        CONF_TEST(test_waiting_calls_work_without_dispatch),
        CONF_TEST(test_close_drops_what_was_not_dispatched),
    };

    return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
