/* Fetching that is asked for wrongly, in vain, or while its subscription ends. */
#include "tests/conformance/kept.h"

#include <limits.h>

#define GROUP "g"
#define SHORT 50 /* ms: nothing is to come within it */

/* ---- asked wrongly ---- */

static void test_pull_subscriptions_are_checked(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct tidings_sub_options o = {.pull = true};
    struct hand *h = hand_new(c);
    tidings_sub *sub;
    struct kept k;

    kept_add(&k, bus);
    assert_err(tidings_subscribe(&sub, bus, ">", NULL, NULL, &o),
               TIDINGS_EINVAL);
    o.stream = k.stream;
    assert_err(tidings_subscribe(&sub, bus, ">", hand_take, h, &o),
               TIDINGS_EINVAL);
    o.workers = 2;
    assert_err(tidings_subscribe(&sub, bus, ">", NULL, NULL, &o),
               TIDINGS_EINVAL);
}

static void test_fetch_checks_its_arguments(void **state)
{
    static const struct {
        size_t max_events;
        int timeout_ms;
        tidings_err err;
    } rows[] = {
        {0, 0, TIDINGS_EINVAL},
        {0, SHORT, TIDINGS_EINVAL},
        {1048577, 0, TIDINGS_EINVAL},
        {SIZE_MAX, 0, TIDINGS_EINVAL},
        {1, -1, TIDINGS_EINVAL},
        {1, INT_MIN, TIDINGS_EINVAL},
        {1, TIDINGS_TIMEOUT_MAX_MS + 1, TIDINGS_EINVAL},
        {1, INT_MAX, TIDINGS_EINVAL},
        {1048576, 0, TIDINGS_ETIMEDOUT}, /* it may be so many */
        {1, 0, TIDINGS_ETIMEDOUT},
    };
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct tidings_fetched got = {0};
    struct hand *h = hand_new(c);
    tidings_sub *sub;
    struct kept k;
    size_t n = 7;

    kept_add(&k, bus);
    sub = kept_pull(bus, &k, GROUP);
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++)
        assert_err(tidings_fetch(&n, &got, sub, rows[i].max_events,
                                 rows[i].timeout_ms),
                   rows[i].err);
    assert_err(tidings_fetch(NULL, &got, sub, 1, 0), TIDINGS_EINVAL);
    assert_err(tidings_fetch(&n, NULL, sub, 1, 0), TIDINGS_EINVAL);
    assert_err(tidings_fetch(&n, &got, NULL, 1, 0), TIDINGS_EINVAL);
    assert_int_equal(n, 7); /* nothing is written where nothing came */
    assert_null(got.event);
    sub = hand_join(h, bus, &k, "other", NULL);
    assert_err(tidings_fetch(&n, &got, sub, 1, 0), TIDINGS_ENOTSUP);
}

/* ---- in vain ---- */

/* However often it is asked in vain, no more comes than one call asks for. */
static void test_fetch_in_vain_adds_nothing_up(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct tidings_fetched got[2];
    tidings_sub *sub;
    struct kept k;
    size_t n = 0;

    kept_add(&k, bus);
    sub = kept_pull(bus, &k, GROUP);
    for (int i = 0; i < 300; i++)
        assert_err(tidings_fetch(&n, got, sub, 2, 0), TIDINGS_ETIMEDOUT);
    kept_publish(&k, bus, 1, 20);
    assert_ok(tidings_fetch(&n, got, sub, 1, CONF_MS));
    assert_int_equal(got[0].delivery.sequence, 1);
    tidings_free(got[0].event);
    assert_true(operate_group_figure(bus, k.stream, GROUP, "in_flight") <= 2);
}

/* ---- several at once ---- */

struct fetcher {
    tidings_sub *sub;
    pthread_t thread;
    int timeout_ms;
    size_t n;
    struct tidings_fetched got;
    tidings_err err;
};

static void *fetch_one(void *arg)
{
    struct fetcher *f = arg;

    f->err = tidings_fetch(&f->n, &f->got, f->sub, 1, f->timeout_ms);
    return NULL;
}

static void begin(struct fetcher *f, tidings_sub *sub, int timeout_ms)
{
    memset(f, 0, sizeof(*f));
    f->sub = sub;
    f->timeout_ms = timeout_ms;
    assert_int_equal(pthread_create(&f->thread, NULL, fetch_one, f), 0);
}

/* One gets the event, and the other waits in vain, or gets the next. */
static void test_fetch_gives_an_event_to_one_of_two(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct fetcher f[2];
    tidings_sub *sub;
    struct kept k;

    kept_add(&k, bus);
    sub = kept_pull(bus, &k, GROUP);
    for (uint64_t n = 1; n <= 2; n++) {
        uint64_t sum = 0;

        for (int i = 0; i < 2; i++)
            begin(&f[i], sub, n == 1 ? 300 : CONF_MS);
        kept_publish(&k, bus, n == 1 ? 1 : 2, n);
        for (int i = 0; i < 2; i++) {
            pthread_join(f[i].thread, NULL);
            if (f[i].err)
                assert_err(f[i].err, TIDINGS_ETIMEDOUT);
            else
                sum += f[i].got.delivery.sequence;
            if (!f[i].err)
                tidings_free(f[i].got.event);
        }
        assert_int_equal(f[0].n + f[1].n, n);
        assert_int_equal(sum, n == 1 ? 1 : 2 + 3);
    }
    assert_int_equal(operate_group_figure(bus, k.stream, GROUP, "in_flight"),
                     3);
}

/* ---- ends ---- */

enum end { END_UNSUBSCRIBE, END_CLOSE, END_DELETE };

/* Who waits is told, and whoever asks afterwards. */
static void check_end(struct conf *c, enum end how)
{
    tidings_bus *bus = kept_open(c);
    tidings_bus *member = conf_open(c, NULL);
    struct tidings_fetched got;
    struct fetcher f[2];
    tidings_sub *sub;
    int64_t ended_ms;
    struct kept k;
    size_t n = 0;

    kept_add(&k, bus);
    sub = kept_pull(member, &k, GROUP);
    kept_publish(&k, bus, 1, 1);
    assert_ok(tidings_fetch(&n, &got, sub, 1, CONF_MS));
    for (int i = 0; i < 2; i++)
        begin(&f[i], sub, 2 * CONF_MS);
    conf_pause_us(5000); /* most often they wait by then */
    ended_ms = td_proc_now_ms();
    switch (how) {
    case END_UNSUBSCRIBE:
        assert_ok(tidings_unsubscribe(sub, CONF_MS));
        break;
    case END_CLOSE:
        conf_forget(c, member);
        assert_ok(tidings_close(member));
        break;
    case END_DELETE:
        assert_ok(operate_group(bus, "group.delete", k.stream, GROUP, NULL, 0));
        break;
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(f[i].thread, NULL);
        assert_err(f[i].err, TIDINGS_ECLOSED);
    }
    assert_true(td_proc_now_ms() - ended_ms < CONF_MS);
    assert_err(tidings_fetch(&n, &got, sub, 1, 0), TIDINGS_ECLOSED);
    tidings_free(got.event); /* it is the caller's all the same */
    assert_true(tidings_settle(&got.delivery, TIDINGS_ACK, 0, NULL) !=
                TIDINGS_OK);
    if (how == END_DELETE)
        return;
    sub = kept_pull(bus, &k, GROUP); /* it was given back */
    assert_ok(tidings_fetch(&n, &got, sub, 1, CONF_MS));
    assert_int_equal(got.delivery.sequence, 1);
    tidings_free(got.event);
}

static void test_fetch_ends_with_its_subscription(void **state)
{
    check_end(*state, END_UNSUBSCRIBE);
}

static void test_fetch_ends_with_its_bus(void **state)
{
    check_end(*state, END_CLOSE);
}

static void test_fetch_ends_with_its_group(void **state)
{
    check_end(*state, END_DELETE);
}

int conf_run_fetch_ends(void)
{
    const struct CMUnitTest tests[] = {
        KEPT_TEST(test_pull_subscriptions_are_checked),
        KEPT_TEST(test_fetch_checks_its_arguments),
        KEPT_TEST(test_fetch_in_vain_adds_nothing_up),
        KEPT_TEST(test_fetch_gives_an_event_to_one_of_two),
        KEPT_TEST(test_fetch_ends_with_its_subscription),
        KEPT_TEST(test_fetch_ends_with_its_bus),
        KEPT_TEST(test_fetch_ends_with_its_group),
    };

    return cmocka_run_group_tests_name("fetch_ends", tests, NULL, NULL);
}
