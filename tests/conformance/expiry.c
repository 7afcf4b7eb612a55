/* Events that expire: before they are delivered, and on their way. */
#include "tests/conformance/kept.h"

#define SOON_MS 150
#define GROUP   "g"

static void wait_until(int64_t us)
{
    while (conf_unix_us() <= us)
        conf_pause_us(1000);
}

/* One with a number that expires; confirmed or taken. */
static void publish(tidings_bus *bus, const char *type, uint64_t n,
                    int64_t expires_us)
{
    char text[TIDINGS_EXPIRYTIME_MAX];
    struct tidings_attr attr;
    const struct tidings_event event = {.type = type,
                                        .data = &n,
                                        .data_len = sizeof(n),
                                        .attrs = &attr,
                                        .attrs_len = 1};

    assert_ok(tidings_expirytime(&attr, text, expires_us));
    assert_ok(tidings_publish_event(bus, &event));
    assert_ok(tidings_flush(bus, CONF_MS));
}

static struct tidings_sub_info info_of(tidings_sub *sub)
{
    struct tidings_sub_info info;

    assert_ok(tidings_sub_info(&info, sub));
    return info;
}

/* ---- saying it ---- */

static void test_expirytimes_are_timestamps(void **state)
{
    static const char *const bad[] = {"", "soon", "2030-01-01",
                                      "2030-01-01T00:00:00"};
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    char text[TIDINGS_EXPIRYTIME_MAX];
    struct tidings_attr attr;

    assert_ok(tidings_expirytime(&attr, text, 1));
    assert_string_equal(attr.name, "expirytime");
    assert_string_equal(attr.string, "1970-01-01T00:00:00.000001Z");
    assert_err(tidings_expirytime(&attr, text, INT64_MAX), TIDINGS_EINVAL);
    assert_err(tidings_expirytime(NULL, text, 1), TIDINGS_EINVAL);
    assert_err(tidings_expirytime(&attr, NULL, 1), TIDINGS_EINVAL);
    for (size_t i = 0; i <= TD_ARRAY_LEN(bad); i++) {
        const struct tidings_attr wrong = {
            .name = "expirytime",
            .kind = i < TD_ARRAY_LEN(bad) ? TIDINGS_ATTR_STRING
                                          : TIDINGS_ATTR_INTEGER,
            .string = i < TD_ARRAY_LEN(bad) ? bad[i] : NULL};
        const struct tidings_event event = {
            .type = "a", .attrs = &wrong, .attrs_len = 1};

        assert_err(tidings_publish_event(bus, &event), TIDINGS_EINVAL);
    }
}

/* ---- too late ---- */

static void test_expired_events_are_not_delivered(void **state)
{
    const struct tidings_sub_options all = {
        .start = {.kind = TIDINGS_START_ALL}};
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct hand *h = hand_new(c);
    struct tally *live;
    struct kept k;

    kept_add(&k, bus);
    live = conf_subscribe(c, bus, k.pattern);
    publish(bus, k.type, 9, conf_unix_us() - 1000000);
    publish(bus, k.type, 1, conf_unix_us() + INT64_C(3600000000));
    publish(bus, k.type, 9, 0);
    kept_publish(&k, bus, 2, 1);
    hand_join(h, bus, &k, GROUP, &all);
    assert_true(hand_wait(h, 2, CONF_MS));
    assert_true(hand_saw_just(h, 1, 2));
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    assert_int_equal(operate_group_figure(bus, k.stream, GROUP, "expirytime"),
                     2);
    assert_int_equal(operate_stream_figure(bus, k.stream, "last"), 4);
    assert_true(tally_wait(live, 2, CONF_MS));
    assert_true(conf_counter(bus, "expirytime") >= 2);
    assert_int_equal(tally_count(live), 2);
}

/* ---- on the way ---- */

/* The first handler takes its time; what comes behind it expires meanwhile. */
static void check_on_the_way(struct conf *c, unsigned workers)
{
    const struct tidings_sub_options options = {
        .start = {.kind = TIDINGS_START_ALL}, .workers = workers};
    tidings_bus *bus = kept_open(c);
    struct hand *h = hand_new(c);
    int64_t expires_us = conf_unix_us() + SOON_MS * 1000;
    tidings_sub *sub;
    struct kept k;

    kept_add(&k, bus);
    hand_open(h, false);
    kept_publish(&k, bus, 1, 1);
    publish(bus, k.type, 9, expires_us);
    kept_publish(&k, bus, 2, 1);
    sub = hand_join(h, bus, &k, GROUP, &options);
    wait_until(expires_us);
    hand_open(h, true);
    assert_true(hand_wait(h, 2, CONF_MS));
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    assert_true(hand_saw_just(h, 1, 2));
    assert_int_equal(info_of(sub).expired + operate_group_figure(bus, k.stream,
                                                                 GROUP,
                                                                 "expirytime"),
                     1);
    assert_int_equal(info_of(sub).delivered, 2);
    assert_int_equal(operate_group_figure(bus, k.stream, GROUP, "dead"), 0);
}

static void test_events_may_expire_on_their_way(void **state)
{
    check_on_the_way(*state, 0);
    check_on_the_way(*state, 1);
}

static atomic_bool termed;

static tidings_err term_first(struct hand *h, const struct hand_call *call)
{
    (void)h;
    (void)call;
    return atomic_exchange(&termed, true) ? TIDINGS_OK : TIDINGS_ETERM;
}

/* It expires among the dead letters: whoever redrives it wants it. */
static void test_what_is_redriven_may_have_expired(void **state)
{
    struct conf *c = *state;
    int64_t soon_us = SOON_MS * 1000;
    tidings_bus *bus = kept_open(c);
    struct hand *h = hand_new(c);
    uint64_t dead = 0;
    struct kept k;

    if (!conf_has_data())
        skip(); /* streams in memory keep none */
    kept_add(&k, bus);
    h->answer = term_first;
    hand_join(h, bus, &k, GROUP, NULL);
    for (; dead == 0; soon_us *= 2) { /* as long as the machine needs */
        int64_t expires_us = conf_unix_us() + soon_us;

        atomic_store(&termed, false);
        publish(bus, k.type, 9, expires_us);
        assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
        wait_until(expires_us);
        dead = operate_group_figure(bus, k.stream, GROUP, "dead");
    }
    assert_int_equal(hand_count(h), 1);
    assert_int_equal(operate_dead_all(bus, "dlq.redrive", k.stream, GROUP), 1);
    assert_true(hand_wait(h, 2, CONF_MS));
}

static void test_live_events_may_expire_on_their_way(void **state)
{
    const struct tidings_options own = {.own_loop = true};
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    tidings_bus *loop = conf_open(c, &own);
    struct tally *t = conf_tally(c);
    int64_t expires_us = conf_unix_us() + SOON_MS * 1000;
    int64_t end = td_proc_now_ms() + CONF_MS;
    struct tidings_info info = {0};
    size_t handled = 9;
    tidings_sub *sub;

    assert_ok(
        tidings_subscribe(&sub, loop, "expires.live", tally_event, t, NULL));
    publish(bus, "expires.live", 9, expires_us);
    while (info.waiting == 0 && conf_unix_us() <= expires_us)
        assert_ok(tidings_info(&info, loop));
    wait_until(expires_us);
    while (info_of(sub).expired == 0 && info.waiting > 0 &&
           td_proc_now_ms() < end)
        assert_ok(tidings_dispatch(&handled, loop, 1));
    assert_int_equal(tally_count(t), 0);
    assert_int_equal(info_of(sub).expired, info.waiting > 0);
    assert_int_equal(info_of(sub).delivered, 0);
}

int conf_run_expiry(void)
{
    const struct CMUnitTest tests[] = {
        KEPT_TEST(test_expirytimes_are_timestamps),
        KEPT_TEST(test_expired_events_are_not_delivered),
        KEPT_TEST(test_events_may_expire_on_their_way),
        KEPT_TEST(test_what_is_redriven_may_have_expired),
        KEPT_TEST(test_live_events_may_expire_on_their_way),
    };

    return cmocka_run_group_tests_name("expiry", tests, NULL, NULL);
}
