/* A durable group whose handlers meet an outage is parked: nothing is delivered
 * into it, no delivery counts, and in the end each event is handled once. */
#include "tests/conformance/kept.h"
#include "tidings/resilience.h"

#define GROUP   "g"
#define EVENTS  40u
#define MANY    400u
#define PROBES  10u /* of an outage */
#define PARK_MS 5

/* What its handlers need, and what came of them. */
static struct {
    atomic_bool down;
    atomic_uint at_once; /* handlers that run … */
    atomic_uint most;    /* … and have, in the outage's probes */
    atomic_uint parked;
    atomic_uint seen[MANY + 1];
    atomic_uint done[MANY + 1];
} world;

static void begin(bool down)
{
    memset(&world, 0, sizeof(world));
    world.down = down;
}

static void add_group(tidings_bus *bus, const struct kept *k,
                      enum tidings_group_policy policy)
{
    const struct tidings_group_options options = {
        .stream = k->stream,
        .group = GROUP,
        .start = {.kind = TIDINGS_START_ALL},
        .policy = policy,
        .max_deliver = 3,
    };

    assert_ok(tidings_group_add(bus, &options, CONF_MS));
}

static uint64_t figure(tidings_bus *bus, const struct kept *k, const char *key)
{
    return operate_group_figure(bus, k->stream, GROUP, key);
}

/* None of them was delivered for a second time, as far as that counts. */
static void check_done(struct hand *h, tidings_bus *bus, const struct kept *k)
{
    assert_true(operate_until_settled(bus, k->stream, GROUP, CONF_MS));
    for (unsigned n = 1; n <= EVENTS; n++)
        assert_int_equal(world.done[n], 1);
    for (uint64_t i = 0; i < hand_count(h); i++)
        assert_int_equal(hand_call(h, i).deliveries, 1);
    assert_int_equal(figure(bus, k, "acked"), EVENTS);
    assert_int_equal(figure(bus, k, "redelivered"), 0);
    assert_int_equal(figure(bus, k, "naked"), 0);
    assert_int_equal(figure(bus, k, "dead"), 0);
}

/* ---- what the handler returns ---- */

static tidings_err breaker(struct hand *h, const struct hand_call *call)
{
    (void)h;
    if (world.down)
        return TIDINGS_EBREAKER;
    world.done[call->n]++;
    return TIDINGS_OK;
}

static void check_resume(struct conf *c, unsigned workers)
{
    const struct tidings_sub_options o = {.workers = workers,
                                          .order = TIDINGS_ANY_ORDER};
    tidings_bus *bus = kept_open(c);
    struct hand *h = hand_new(c);
    struct kept k;
    uint64_t calls;

    begin(true);
    kept_add(&k, bus);
    add_group(bus, &k, TIDINGS_ROUND_ROBIN);
    kept_publish(&k, bus, 1, EVENTS);
    h->answer = breaker;
    hand_join(h, bus, &k, GROUP, &o);
    assert_true(operate_group_until(bus, k.stream, GROUP, "parks", 1, CONF_MS));
    assert_true(
        operate_group_until(bus, k.stream, GROUP, "waiting", 1, CONF_MS));
    while (figure(bus, &k, "in_flight") > 0) /* what waited here goes back */
        ;
    calls = hand_count(h);
    assert_true(calls >= 1 && calls <= EVENTS / 2);
    assert_true(figure(bus, &k, "parked_ms") > 0); /* of 5 s */
    assert_int_equal(hand_count(h), calls);
    world.down = false;
    assert_ok(operate_group(bus, "group.resume", k.stream, GROUP, NULL, 0));
    check_done(h, bus, &k);
    assert_int_equal(hand_count(h), calls + EVENTS);
    assert_int_equal(figure(bus, &k, "parks"), 1);
}

static void test_a_breaker_parks_its_group(void **state)
{
    check_resume(*state, 0);
    check_resume(*state, 4);
}

/* ---- an outage from its beginning to its end ---- */

static void note_at_once(unsigned n)
{
    unsigned most = world.most;

    while (n > most && !atomic_compare_exchange_weak(&world.most, &most, n))
        ;
}

/* It parks the group for a moment until it was probed often enough. */
static tidings_err wait_out(struct hand *h, const struct hand_call *call)
{
    unsigned n = ++world.at_once;
    struct tidings_delivery d = hand_last(h);

    if (!world.down) {
        world.at_once--;
        world.done[call->n]++;
        return TIDINGS_OK;
    }
    if (world.parked > 0)
        note_at_once(n);
    if (++world.parked > PROBES)
        world.down = false;
    world.at_once--;
    return tidings_settle(&d, TIDINGS_PARK, PARK_MS, NULL) ? TIDINGS_EIO
                                                           : TIDINGS_ELATER;
}

/* With one member that handles one event at a time each is a probe. */
static void check_outage(struct conf *c, enum tidings_group_policy policy)
{
    const struct tidings_sub_options o = {.group_policy = policy};
    tidings_bus *bus = kept_open(c);
    struct hand *h = hand_new(c);
    struct kept k;

    begin(true);
    kept_add(&k, bus);
    add_group(bus, &k, policy);
    for (uint64_t n = 1; n <= EVENTS; n++)
        kept_publish_key(&k, bus, n % 4 ? "a" : "b", n);
    assert_ok(tidings_flush(bus, CONF_MS));
    h->answer = wait_out;
    hand_join(h, bus, &k, GROUP, &o);
    check_done(h, bus, &k);
    assert_int_equal(world.most, 1);
    assert_int_equal(figure(bus, &k, "parks"), PROBES + 1);
    assert_int_equal(hand_count(h), PROBES + 1 + EVENTS);
    for (unsigned i = 1; i <= PROBES; i++)
        assert_true(hand_call(h, i).ms - hand_call(h, i - 1).ms >= PARK_MS - 1);
    if (policy != TIDINGS_BY_KEY)
        return;
    for (uint64_t n = 0, i = PROBES + 1; i < hand_count(h); i++) {
        struct hand_call call = hand_call(h, i);

        if (call.n % 4 == 0)
            continue;
        assert_true(call.n > n); /* the key's in order */
        n = call.n;
    }
}

static void test_an_outage_is_waited_out(void **state)
{
    check_outage(*state, TIDINGS_ROUND_ROBIN);
}

static void test_an_outage_keeps_the_order_of_keys(void **state)
{
    check_outage(*state, TIDINGS_BY_KEY);
}

/* ---- beside one another ---- */

/* Each eighth event parks the group when it comes for the first time. */
static tidings_err park_at_times(void *arg, const struct tidings_event *event)
{
    struct tidings_delivery d;
    uint64_t n;

    (void)arg;
    memcpy(&n, event->data, sizeof(n));
    if (n % 8 == 0 && world.seen[n]++ == 0) {
        tidings_delivery(&d, event);
        return tidings_settle(&d, TIDINGS_PARK, 1, NULL) ? TIDINGS_EIO
                                                         : TIDINGS_ELATER;
    }
    world.done[n]++;
    return TIDINGS_OK;
}

/* What one worker is done with is settled, not given back, when another parks
 * the group. */
static void test_what_is_handled_is_not_given_back(void **state)
{
    struct tidings_sub_options o = {
        .group = GROUP, .workers = 4, .order = TIDINGS_ANY_ORDER};
    tidings_bus *bus = kept_open(*state);
    tidings_sub *sub;
    struct kept k;

    begin(false);
    kept_add(&k, bus);
    add_group(bus, &k, TIDINGS_ROUND_ROBIN);
    kept_publish(&k, bus, 1, MANY);
    o.stream = k.stream;
    assert_ok(tidings_subscribe(&sub, bus, ">", park_at_times, NULL, &o));
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    for (unsigned n = 1; n <= MANY; n++)
        assert_int_equal(world.done[n], 1);
    assert_int_equal(figure(bus, &k, "acked"), MANY);
    assert_int_equal(figure(bus, &k, "stale"), 0);
    assert_ok(tidings_unsubscribe(sub, CONF_MS));
}

/* ---- who pulls ---- */

static void test_an_outage_is_waited_out_by_who_pulls(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct tidings_fetched got[EVENTS];
    unsigned rounds = 0;
    unsigned acked = 0;
    tidings_sub *sub;
    struct kept k;
    size_t n;

    kept_add(&k, bus);
    add_group(bus, &k, TIDINGS_ROUND_ROBIN);
    kept_publish(&k, bus, 1, EVENTS);
    sub = kept_pull(bus, &k, GROUP);
    for (; acked < EVENTS; rounds++) {
        bool down = rounds < 4;

        assert_ok(tidings_fetch(&n, got, sub, EVENTS / 2, CONF_MS));
        assert_true(rounds == 0 || rounds > 4 || n == 1);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(got[i].delivery.deliveries, 1);
            assert_ok(tidings_settle(&got[i].delivery,
                                     down ? TIDINGS_PARK : TIDINGS_ACK,
                                     down ? PARK_MS : 0, NULL));
            tidings_free(got[i].event);
        }
        acked += down ? 0 : (unsigned)n;
    }
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    assert_int_equal(figure(bus, &k, "parks"), 4);
    assert_int_equal(figure(bus, &k, "acked"), EVENTS);
    assert_int_equal(figure(bus, &k, "redelivered"), 0);
}

/* ---- a breaker before the handler ---- */

/* It fails so often, whatever it is called with. */
static tidings_err fail_at_first(struct hand *h, const struct hand_call *call)
{
    (void)h;
    if (world.parked < PROBES) {
        world.parked++;
        return TIDINGS_EIO;
    }
    world.done[call->n]++;
    return TIDINGS_OK;
}

/* The outage lasts for ten calls, of which three count as failures. */
static void check_breaker(struct conf *c, unsigned workers)
{
    const struct tidings_breaker_options b = {
        .bounds = {
            .failures = 3, .recovery_ms = PARK_MS, .recovery_max_ms = PARK_MS}};
    struct tidings_sub_options o = {.workers = workers,
                                    .order = TIDINGS_ANY_ORDER};
    tidings_bus *bus = kept_open(c);
    struct tidings_group_options group = {
        .group = GROUP,
        .start = {.kind = TIDINGS_START_ALL},
        .max_deliver = 3,
        .backoff_ms = 1,
        .backoff_max_ms = 1,
    };
    struct hand *h = hand_new(c);
    tidings_sub *sub;
    struct kept k;

    begin(true);
    kept_add(&k, bus);
    group.stream = k.stream;
    assert_ok(tidings_group_add(bus, &group, CONF_MS));
    assert_ok(tidings_breaker_new(&o.breaker, &b));
    kept_publish(&k, bus, 1, EVENTS);
    h->answer = fail_at_first;
    sub = hand_join(h, bus, &k, GROUP, &o);
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    assert_ok(tidings_unsubscribe(sub, CONF_MS));
    tidings_breaker_free(o.breaker);
    for (unsigned n = 1; n <= EVENTS; n++)
        assert_int_equal(world.done[n], 1);
    assert_int_equal(figure(bus, &k, "dead"), 0);
    assert_int_equal(figure(bus, &k, "acked"), EVENTS);
    assert_true(figure(bus, &k, "naked") <= 3 + workers);
    assert_true(figure(bus, &k, "parks") >= 1);
}

static void test_a_breaker_before_the_handler_parks_its_group(void **state)
{
    check_breaker(*state, 0);
    check_breaker(*state, 2);
}

static void test_a_breaker_is_for_handlers_of_durable_groups(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    struct hand *h = hand_new(c);
    struct tidings_sub_options o = {.group = GROUP};
    tidings_sub *sub;

    assert_ok(tidings_breaker_new(&o.breaker, NULL));
    assert_err(tidings_subscribe(&sub, bus, "a", hand_take, h, &o),
               TIDINGS_EINVAL);
    o.group = NULL;
    o.stream = "events";
    assert_err(tidings_subscribe(&sub, bus, "a", hand_take, h, &o),
               TIDINGS_EINVAL);
    o.group = GROUP;
    o.pull = true;
    assert_err(tidings_subscribe(&sub, bus, "a", NULL, NULL, &o),
               TIDINGS_EINVAL);
    tidings_breaker_free(o.breaker);
}

/* ---- who has no group ---- */

static void test_a_breaker_of_a_reader_is_a_failure(void **state)
{
    struct conf *c = *state;
    const struct tidings_sub_options o = {.start = {.kind = TIDINGS_START_ALL}};
    tidings_bus *bus = kept_open(c);
    struct hand *h = hand_new(c);
    int64_t end = td_proc_now_ms() + CONF_MS;
    struct tidings_sub_info info;
    tidings_sub *sub;
    struct kept k;

    begin(true);
    kept_add(&k, bus);
    kept_publish(&k, bus, 1, 3);
    h->answer = breaker;
    sub = hand_join(h, bus, &k, NULL, &o);
    assert_true(hand_wait(h, 3, CONF_MS));
    do /* the last is delivered before its handler has failed */
        assert_ok(tidings_sub_info(&info, sub));
    while ((info.delivered < 3 || info.failed < 3) && td_proc_now_ms() < end);
    assert_int_equal(info.delivered, 3);
    assert_int_equal(info.failed, 3);
}

int conf_run_outage(void)
{
    const struct CMUnitTest tests[] = {
        KEPT_TEST(test_a_breaker_parks_its_group),
        KEPT_TEST(test_an_outage_is_waited_out),
        KEPT_TEST(test_an_outage_keeps_the_order_of_keys),
        KEPT_TEST(test_what_is_handled_is_not_given_back),
        KEPT_TEST(test_an_outage_is_waited_out_by_who_pulls),
        KEPT_TEST(test_a_breaker_before_the_handler_parks_its_group),
        KEPT_TEST(test_a_breaker_is_for_handlers_of_durable_groups),
        KEPT_TEST(test_a_breaker_of_a_reader_is_a_failure),
    };

    return cmocka_run_group_tests_name("outage", tests, NULL, NULL);
}
