/* How deliveries of a durable group end: the settlements, by what handlers
 * return and later, and what happens when none comes. */
#include "tests/conformance/kept.h"

#define GROUP "g"

/* A group whose failures come again at once. */
static void add_group(tidings_bus *bus, const struct kept *k,
                      struct tidings_group_options options)
{
    options.stream = k->stream;
    options.group = GROUP;
    if (!options.backoff_ms)
        options.backoff_ms = options.backoff_max_ms = 1;
    assert_ok(tidings_group_add(bus, &options, CONF_MS));
}

static uint64_t figure(tidings_bus *bus, const struct kept *k, const char *key)
{
    return operate_group_figure(bus, k->stream, GROUP, key);
}

/* Fails the first two deliveries of each third event. */
static tidings_err fail_twice(struct hand *h, const struct hand_call *call)
{
    (void)h;
    return call->n % 3 == 0 && call->deliveries < 3 ? TIDINGS_EIO : TIDINGS_OK;
}

static void test_failed_events_come_again_and_are_counted(void **state)
{
    struct conf *c = *state;
    struct tally *s = conf_tally(c);
    tidings_bus *bus = kept_open(c);
    tidings_bus *worker =
        conf_open(c, &(struct tidings_options){.on_status = tally_status,
                                               .on_status_arg = s});
    struct hand *h = hand_new(c);
    struct tidings_sub_info info;
    unsigned times[31] = {0};
    tidings_sub *sub;
    struct kept k;

    kept_add(&k, bus);
    add_group(bus, &k, (struct tidings_group_options){0});
    h->answer = fail_twice;
    sub = hand_join(h, worker, &k, GROUP, NULL);
    kept_publish(&k, bus, 1, 30);
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    assert_int_equal(hand_count(h), 50);
    for (unsigned i = 0; i < 50; i++) {
        struct hand_call call = hand_call(h, i);

        assert_int_equal(call.deliveries, ++times[call.n]);
        assert_int_equal(call.sequence, call.n);
    }
    assert_int_equal(figure(bus, &k, "naked"), 20);
    assert_int_equal(figure(bus, &k, "acked"), 30);
    assert_int_equal(figure(bus, &k, "redelivered"), 20);
    assert_int_equal(figure(bus, &k, "waiting"), 0);
    assert_ok(tidings_sub_info(&info, sub));
    assert_int_equal(info.naked, 20);
    assert_int_equal(info.acked, 30);
    assert_int_equal(info.failed, 20);
    assert_int_equal(info.redelivered, 20);
    assert_true(tally_wait_status(s, TIDINGS_HANDLER_FAILED, 20, CONF_MS));
}

static tidings_err always_fail(struct hand *h, const struct hand_call *call)
{
    (void)h;
    (void)call;
    return TIDINGS_EIO;
}

/* Backoff doubles, each time less or more by up to a fifth. */
static void test_failures_wait_longer_each_time(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct hand *h = hand_new(c);
    struct kept k;

    kept_add(&k, bus);
    add_group(bus, &k,
              (struct tidings_group_options){
                  .backoff_ms = 50, .backoff_max_ms = 200, .max_deliver = 5});
    h->answer = always_fail;
    hand_join(h, bus, &k, GROUP, NULL);
    kept_publish(&k, bus, 1, 1);
    assert_true(operate_group_until(bus, k.stream, GROUP, "dead", 1, CONF_MS));
    assert_int_equal(hand_count(h), 5);
    for (unsigned i = 1; i < 5; i++) {
        int64_t least = (i == 1 ? 50 : i == 2 ? 100 : 200) * 4 / 5;

        assert_true(hand_call(h, i).ms - hand_call(h, i - 1).ms >= least - 1);
    }
}

static tidings_err release_once(struct hand *h, const struct hand_call *call)
{
    (void)call;
    return hand_count(h) == 1 ? TIDINGS_ERELEASE : TIDINGS_OK;
}

static void test_released_events_do_not_count(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct hand *h = hand_new(c);
    struct kept k;

    kept_add(&k, bus);
    h->answer = release_once;
    hand_join(h, bus, &k, GROUP, NULL);
    kept_publish(&k, bus, 1, 1);
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    assert_int_equal(hand_count(h), 2);
    assert_int_equal(hand_call(h, 0).deliveries, 1);
    assert_int_equal(hand_call(h, 1).deliveries, 1);
    assert_int_equal(figure(bus, &k, "released"), 1);
    assert_int_equal(figure(bus, &k, "acked"), 1);
}

/* ---- later ---- */

static void test_settled_later_is_settled_once(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct hand *h = hand_new(c);
    struct tidings_delivery d;
    struct kept k;

    kept_add(&k, bus);
    add_group(bus, &k, (struct tidings_group_options){0});
    h->err = TIDINGS_ELATER;
    hand_join(h, bus, &k, GROUP, NULL);
    kept_publish(&k, bus, 1, 1);
    assert_true(hand_wait(h, 1, CONF_MS));
    d = hand_last(h);
    assert_int_equal(figure(bus, &k, "in_flight"), 1);
    assert_int_equal(figure(bus, &k, "floor"), 1);
    assert_ok(tidings_settle(&d, TIDINGS_NAK, 0, "not yet"));
    assert_err(tidings_settle(&d, TIDINGS_ACK, 0, NULL), TIDINGS_EEXIST);
    assert_true(hand_wait(h, 2, CONF_MS));
    d = hand_last(h);
    assert_int_equal(d.deliveries, 2);
    assert_ok(tidings_settle(&d, TIDINGS_ACK, 0, NULL));
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    assert_err(tidings_settle(&d, TIDINGS_ACK, 0, NULL), TIDINGS_EEXIST);
    assert_err(tidings_settle(&d, TIDINGS_PROGRESS, 0, NULL), TIDINGS_EEXIST);
    assert_int_equal(figure(bus, &k, "stale"), 0); /* it was known here */
}

static void test_delayed_events_wait_so_long(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct hand *h = hand_new(c);
    struct tidings_delivery d;
    int64_t start_ms;
    struct kept k;

    kept_add(&k, bus);
    add_group(bus, &k, (struct tidings_group_options){0});
    h->err = TIDINGS_ELATER;
    hand_join(h, bus, &k, GROUP, NULL);
    kept_publish(&k, bus, 1, 1);
    assert_true(hand_wait(h, 1, CONF_MS));
    d = hand_last(h);
    start_ms = td_proc_now_ms();
    assert_ok(tidings_settle(&d, TIDINGS_NAK, 250, NULL));
    assert_true(hand_wait(h, 2, CONF_MS));
    assert_true(td_proc_now_ms() - start_ms >= 245);
    d = hand_last(h);
    assert_ok(tidings_settle(&d, TIDINGS_ACK, 0, NULL));
}

static void test_drain_waits_for_what_is_settled_later(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    tidings_bus *worker = conf_open(c, NULL);
    struct hand *h = hand_new(c);
    struct tidings_delivery d;
    struct kept k;

    kept_add(&k, bus);
    h->err = TIDINGS_ELATER;
    hand_join(h, worker, &k, GROUP, NULL);
    kept_publish(&k, bus, 1, 1);
    assert_true(hand_wait(h, 1, CONF_MS));
    d = hand_last(h);
    assert_err(tidings_drain(worker, 50), TIDINGS_ETIMEDOUT);
    assert_err(tidings_settle(&d, TIDINGS_ACK, 0, NULL), TIDINGS_ENOTFOUND);
    h->err = TIDINGS_OK; /* nobody calls it now */
    hand_join(h, bus, &k, GROUP, NULL);
    assert_true(hand_wait(h, 2, CONF_MS));
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
}

static void test_settlements_are_checked(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct hand *h = hand_new(c);
    struct tidings_delivery d;
    struct tidings_delivery foreign;
    struct kept k;

    kept_add(&k, bus);
    h->err = TIDINGS_ELATER;
    hand_join(h, bus, &k, GROUP, NULL);
    kept_publish(&k, bus, 1, 1);
    assert_true(hand_wait(h, 1, CONF_MS));
    d = hand_last(h);
    assert_err(tidings_settle(NULL, TIDINGS_ACK, 0, NULL), TIDINGS_EINVAL);
    assert_err(tidings_settle(&d, (enum tidings_settlement)0, 0, NULL),
               TIDINGS_EINVAL);
    assert_err(tidings_settle(&d, (enum tidings_settlement)7, 0, NULL),
               TIDINGS_EINVAL);
    assert_err(tidings_settle(&d, TIDINGS_NAK, -1, NULL), TIDINGS_EINVAL);
    assert_err(
        tidings_settle(&d, TIDINGS_NAK, TIDINGS_TIMEOUT_MAX_MS + 1, NULL),
        TIDINGS_EINVAL);
    foreign = d;
    foreign.tag += 1000; /* nothing was delivered under it */
    assert_err(tidings_settle(&foreign, TIDINGS_ACK, 0, NULL),
               TIDINGS_ENOTFOUND);
    foreign.tag = 0;
    assert_err(tidings_settle(&foreign, TIDINGS_ACK, 0, NULL),
               TIDINGS_ENOTFOUND);
    assert_ok(tidings_settle(&d, TIDINGS_ACK, 0, NULL));
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
}

/* ---- when none comes ---- */

static void test_unsettled_events_come_again_in_time(void **state)
{
    struct conf *c = *state;
    struct tally *s = conf_tally(c);
    tidings_bus *bus = kept_open(c);
    tidings_bus *worker =
        conf_open(c, &(struct tidings_options){.on_status = tally_status,
                                               .on_status_arg = s});
    struct hand *h = hand_new(c);
    struct tidings_delivery first;
    struct tidings_delivery second;
    struct kept k;

    kept_add(&k, bus);
    add_group(bus, &k, (struct tidings_group_options){.ack_wait_ms = 300});
    h->err = TIDINGS_ELATER;
    hand_join(h, worker, &k, GROUP, NULL);
    kept_publish(&k, bus, 1, 1);
    assert_true(hand_wait(h, 1, CONF_MS));
    first = hand_last(h);
    assert_true(hand_wait(h, 2, CONF_MS));
    second = hand_last(h);
    assert_int_equal(second.deliveries, 2);
    assert_true(hand_call(h, 1).ms - hand_call(h, 0).ms >= 290);
    assert_ok(tidings_settle(&second, TIDINGS_ACK, 0, NULL));
    assert_ok(tidings_settle(&first, TIDINGS_ACK, 0, NULL)); /* too late */
    assert_true(tally_wait_status(s, TIDINGS_STALE, 1, CONF_MS));
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    assert_int_equal(figure(bus, &k, "stale"), 1);
    assert_int_equal(figure(bus, &k, "timed_out"), 1);
    assert_int_equal(figure(bus, &k, "acked"), 1);
}

/* Its lease goes on as long as it says that it works. */
static void test_progress_keeps_an_event(void **state)
{
    const int64_t wait_ms = 1000;
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct hand *h = hand_new(c);
    struct tidings_delivery d;
    int64_t start_ms;
    struct kept k;

    kept_add(&k, bus);
    add_group(bus, &k,
              (struct tidings_group_options){.ack_wait_ms = (uint32_t)wait_ms *
                                                            CONF_SLOW});
    h->err = TIDINGS_ELATER;
    hand_join(h, bus, &k, GROUP, NULL);
    kept_publish(&k, bus, 1, 1);
    assert_true(hand_wait(h, 1, CONF_MS));
    d = hand_last(h);
    start_ms = td_proc_now_ms();
    while (td_proc_now_ms() - start_ms < 2 * wait_ms * CONF_SLOW) {
        assert_ok(tidings_settle(&d, TIDINGS_PROGRESS, 0, NULL));
        assert_false(hand_wait(h, 2, 50)); /* until the next time */
    }
    assert_ok(tidings_settle(&d, TIDINGS_ACK, 0, NULL));
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    assert_int_equal(hand_count(h), 1);
    assert_int_equal(figure(bus, &k, "timed_out"), 0);
}

/* ---- by key ---- */

/* Fails the first delivery of the first event of key "bad". */
static tidings_err fail_first(struct hand *h, const struct hand_call *call)
{
    (void)h;
    return call->n == 1 && call->deliveries < 3 ? TIDINGS_EIO : TIDINGS_OK;
}

static void test_a_failing_key_waits_and_holds_up_no_other(void **state)
{
    const struct tidings_sub_options options = {
        .start = {.kind = TIDINGS_START_ALL}, .group_policy = TIDINGS_BY_KEY};
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct hand *h = hand_new(c);
    uint64_t latest = 0;
    unsigned before = 0;
    struct kept k;

    kept_add(&k, bus);
    add_group(
        bus, &k,
        (struct tidings_group_options){.start = {.kind = TIDINGS_START_ALL},
                                       .policy = TIDINGS_BY_KEY,
                                       .backoff_ms = 200,
                                       .backoff_max_ms = 200});
    for (uint64_t n = 1; n <= 40; n++)
        kept_publish_key(&k, bus, n % 2 ? "bad" : "good", n);
    assert_ok(tidings_flush(bus, CONF_MS));
    h->answer = fail_first;
    hand_join(h, bus, &k, GROUP, &options);
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    assert_int_equal(hand_count(h), 42);
    for (unsigned i = 0; i < 42; i++) {
        struct hand_call call = hand_call(h, i);

        if (call.n % 2) { /* 1, 1, 1, 3, 5, … */
            assert_true(call.n == 1 || (call.n == latest + 2));
            latest = call.n;
        } else if (latest == 1) {
            before++; /* while the bad key waits */
        }
    }
    assert_true(before >= 20);
    assert_int_equal(latest, 39);
}

int conf_run_settle(void)
{
    const struct CMUnitTest tests[] = {
        KEPT_TEST(test_failed_events_come_again_and_are_counted),
        KEPT_TEST(test_failures_wait_longer_each_time),
        KEPT_TEST(test_released_events_do_not_count),
        KEPT_TEST(test_settled_later_is_settled_once),
        KEPT_TEST(test_delayed_events_wait_so_long),
        KEPT_TEST(test_drain_waits_for_what_is_settled_later),
        KEPT_TEST(test_settlements_are_checked),
        KEPT_TEST(test_unsettled_events_come_again_in_time),
        KEPT_TEST(test_progress_keeps_an_event),
        KEPT_TEST(test_a_failing_key_waits_and_holds_up_no_other),
    };

    return cmocka_run_group_tests_name("settle", tests, NULL, NULL);
}
