/* Every queue is bounded, and nothing is lost silently: slow subscribers,
 * publishers without a broker, and what adds up afterwards. */
#include "tests/conformance/conformance.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>

#define FLOOD    200000 /* three times the credit of a publisher */
#define BLOCK_MS 2000   /* how long a slow subscriber may hold publishers */
#define SLACK_MS 3000   /* of the machine, in one call */
#define EACH_US  100    /* a call that is not held, there */

/* ---- a subscriber that does not keep up ---- */

struct flood {
    tidings_bus *bus;
    uint64_t events;
    int64_t longest_ms; /* one call */
    tidings_err err;
};

static void flood(struct flood *f)
{
    for (uint64_t n = 1; n <= f->events && !f->err; n++) {
        int64_t start = td_proc_now_ms();

        f->err = conf_publish(f->bus, "flood", 0, n);
        if (td_proc_now_ms() - start > f->longest_ms)
            f->longest_ms = td_proc_now_ms() - start;
    }
}

/* Held back for the budget at most; then the oldest go, and it is told. */
static void test_slow_subscriber_loses_events_that_are_counted(void **state)
{
    const struct tidings_sub_options so = {.window_events = 100,
                                           .queue_events = 1000};
    struct conf *c = *state;
    struct tally *t = conf_tally(c);
    struct tally *s = conf_tally(c);
    const struct tidings_options o = {
        .own_loop = true, .on_status = tally_status, .on_status_arg = s};
    tidings_bus *slow = conf_open(c, &o);
    struct flood f = {.bus = conf_open(c, NULL), .events = FLOOD};
    struct tidings_info info;
    int64_t start = td_proc_now_ms();
    int64_t end;
    tidings_sub *sub;
    size_t n;

    assert_ok(tidings_subscribe(&sub, slow, "flood", tally_event, t, &so));
    flood(&f);
    assert_ok(f.err);
    assert_ok(tidings_flush(f.bus, CONF_MS));
    assert_in_range(td_proc_now_ms() - start, 0,
                    BLOCK_MS + SLACK_MS + FLOOD / 1000 * EACH_US);
    assert_in_range(f.longest_ms, 0, BLOCK_MS + SLACK_MS);

    end = td_proc_now_ms() + CONF_MS;
    while (tally_count(t) + tally_now(s).missed < FLOOD &&
           td_proc_now_ms() < end) {
        assert_ok(tidings_dispatch(&n, slow, 1000));
        if (n == 0)
            conf_pause_us(1000);
    }
    assert_ok(tidings_info(&info, slow));
    print_message("%" PRIu64 " of %d events missed, longest publish %d ms\n",
                  info.missed, FLOOD, (int)f.longest_ms);
    assert_int_equal(tally_count(t) + tally_now(s).missed, FLOOD);
    assert_int_equal(tally_now(t).disorder, 0);
    assert_true(info.missed > 0);
    assert_int_equal(info.missed, tally_now(s).missed);
    assert_int_equal(info.delivered, tally_count(t));
    assert_int_equal(tally_now(t).holes + FLOOD + 1 - tally_now(t).next_n[0],
                     info.missed);
    assert_ptr_equal(tally_now(s).status.sub, sub);
    assert_int_equal(tally_now(s).status.kind, TIDINGS_GAP);
    assert_int_equal(tally_now(s).status.err, TIDINGS_EFULL);
    assert_non_null(strstr(tally_now(s).status_text, "slow"));
}

static void *flood_thread(void *arg)
{
    flood(arg);
    return NULL;
}

/* The others get everything, after the budget at the latest. */
static void test_slow_subscriber_does_not_stop_the_others(void **state)
{
    const struct tidings_options own_loop = {.own_loop = true};
    const struct tidings_sub_options small = {.window_events = 10,
                                              .queue_events = 100};
    /* As fast as the machine lets it be: its own queue is never full. */
    const struct tidings_sub_options large = {.queue_events = FLOOD};
    struct conf *c = *state;
    tidings_bus *slow = conf_open(c, &own_loop);
    tidings_bus *fast = conf_open(c, NULL);
    struct flood f = {.bus = conf_open(c, NULL), .events = FLOOD};
    struct tally *never = conf_tally(c);
    struct tally *all = conf_tally(c);
    pthread_t thread;
    bool came;

    assert_ok(
        tidings_subscribe(NULL, slow, "flood", tally_event, never, &small));
    assert_ok(tidings_subscribe(NULL, fast, "flood", tally_event, all, &large));
    assert_int_equal(pthread_create(&thread, NULL, flood_thread, &f), 0);
    came = tally_wait(all, FLOOD, 2 * CONF_MS);
    pthread_join(thread, NULL);
    assert_ok(f.err);
    assert_true(came);
    assert_int_equal(tally_now(all).holes + tally_now(all).disorder, 0);
    assert_int_equal(tally_count(never), 0);
}

static void test_bytes_are_bounded_too(void **state)
{
    const struct tidings_options own_loop = {.own_loop = true};
    const struct tidings_sub_options so = {.window_bytes = 2u << 20,
                                           .queue_bytes = 4u << 20};
    struct conf *c = *state;
    tidings_bus *slow = conf_open(c, &own_loop);
    tidings_bus *from = conf_open(c, NULL);
    struct tally *t = conf_tally(c);
    char *data = calloc(1, 256u << 10);
    struct tidings_info info = {0};
    int64_t end;
    tidings_err err = TIDINGS_OK;

    assert_non_null(data);
    assert_ok(tidings_subscribe(NULL, slow, "fat", tally_event, t, &so));
    for (int i = 0; i < 200 && !err; i++)
        err = tidings_publish(from, "fat", data, 256u << 10); /* 50 MB */
    free(data);
    assert_ok(err);
    assert_ok(tidings_flush(from, CONF_MS));
    end = td_proc_now_ms() + CONF_MS;
    while (tally_count(t) + info.missed < 200 && td_proc_now_ms() < end) {
        assert_ok(tidings_dispatch(NULL, slow, 10));
        assert_ok(tidings_info(&info, slow));
    }
    assert_int_equal(tally_count(t) + info.missed, 200);
    assert_true(info.missed >= 150); /* 2 + 4 MB were kept, and some */
}

/* ---- publishing without a broker ---- */

static void fill(tidings_bus *bus, const char *url, const void *data,
                 size_t len, int timeout_ms, uint64_t least, uint64_t most)
{
    tidings_err err = TIDINGS_OK;
    struct tidings_info info;
    int64_t start = 0;
    uint64_t n = 0;

    while (!err && n <= most) {
        start = td_proc_now_ms();
        err = tidings_publish(bus, "unheard", data, len);
        n += !err;
    }
    assert_err(err, TIDINGS_EFULL);
    assert_in_range(n, least, most);
    assert_in_range(td_proc_now_ms() - start, timeout_ms,
                    timeout_ms + SLACK_MS);
    assert_non_null(strstr(tidings_detail(), url));
    assert_ok(tidings_info(&info, bus));
    assert_int_equal(info.published, n);
    assert_int_equal(info.unconfirmed, n);
    assert_int_equal(info.taken, 0);
}

static void test_unconfirmed_events_are_bounded(void **state)
{
    static const struct tidings_options rows[] = {
        {.unconfirmed_events = 1, .publish_timeout_ms = -1},
        {.unconfirmed_events = 100, .publish_timeout_ms = 200},
        {.unconfirmed_events = 5000, .publish_timeout_ms = 50},
    };
    static const int timeout_ms[] = {0, 200, 50};
    char url[256];

    (void)state;
    if (!conf_has_daemon())
        skip();
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct tidings_options o = rows[i];
        tidings_bus *bus;

        o.close_timeout_ms = -1;
        assert_ok(tidings_open(&bus, conf_dead_url(url), &o));
        fill(bus, url, "x", 1, timeout_ms[i], o.unconfirmed_events,
             o.unconfirmed_events);
        assert_err(tidings_close(bus), TIDINGS_ETIMEDOUT);
    }
}

static void test_unconfirmed_bytes_are_bounded(void **state)
{
    const struct tidings_options o = {.unconfirmed_bytes = 2u << 20,
                                      .publish_timeout_ms = -1,
                                      .close_timeout_ms = -1};
    char *data = calloc(1, TIDINGS_DATA_MAX);
    tidings_bus *bus;
    char url[256];

    (void)state;
    assert_non_null(data);
    if (conf_has_daemon()) {
        assert_ok(tidings_open(&bus, conf_dead_url(url), &o));
        fill(bus, url, data, 10000, 0, 190, 215);
        assert_err(tidings_close(bus), TIDINGS_ETIMEDOUT);
        /* The last may begin below the bound and end above it. */
        assert_ok(tidings_open(&bus, conf_dead_url(url), &o));
        fill(bus, url, data, TIDINGS_DATA_MAX, 0, 1, 3);
        assert_err(tidings_close(bus), TIDINGS_ETIMEDOUT);
    }
    free(data);
    if (!conf_has_daemon())
        skip();
}

/* ---- a broker that stops for a while ---- */

static void test_publishing_into_a_silent_broker_fills_and_goes_on(void **state)
{
    const struct tidings_options o = {.unconfirmed_events = 3000,
                                      .publish_timeout_ms = 20};
    struct conf *c = *state;
    tidings_bus *bus;
    tidings_bus *reader;
    struct tidings_info info;
    struct tally *t;
    tidings_err err = TIDINGS_OK;
    uint64_t n = 0;

    if (!conf_has_daemon())
        skip();
    bus = conf_open(c, &o);
    reader = conf_open(c, NULL);
    t = conf_subscribe(c, reader, "silent");
    assert_true(td_proc_freeze(&conf_daemon()->proc, CONF_MS));
    while (!err && n <= 3000) {
        err = conf_publish(bus, "silent", 0, n + 1);
        n += !err;
    }
    assert_int_equal(n, 3000);
    assert_err(err, TIDINGS_EFULL);
    td_proc_signal(&conf_daemon()->proc, SIGCONT);
    assert_ok(tidings_flush(bus, CONF_MS));
    assert_ok(conf_publish(bus, "silent", 0, n + 1));
    assert_true(tally_wait(t, n + 1, CONF_MS));
    assert_int_equal(tally_now(t).holes + tally_now(t).disorder, 0);
    assert_ok(tidings_info(&info, bus));
    assert_int_equal(info.connects, 1);
    assert_int_equal(info.resent, 0);
}

int conf_run_bounds(void)
{
    const struct CMUnitTest tests[] = {
        CONF_TEST(test_slow_subscriber_loses_events_that_are_counted),
        CONF_TEST(test_slow_subscriber_does_not_stop_the_others),
        CONF_TEST(test_bytes_are_bounded_too),
        CONF_TEST(test_unconfirmed_events_are_bounded),
        CONF_TEST(test_unconfirmed_bytes_are_bounded),
        CONF_TEST(test_publishing_into_a_silent_broker_fills_and_goes_on),
    };

    return cmocka_run_group_tests_name("bounds", tests, NULL, NULL);
}
