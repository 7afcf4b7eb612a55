/* Durable groups: who gets what, from where on, and what operators do. */
#include "tests/conformance/kept.h"

#include <poll.h>

#define EVENTS 1000u
#define GROUP  "g"

static const struct tidings_sub_options from_all = {
    .start = {.kind = TIDINGS_START_ALL}};

/* ---- members ---- */

static void test_members_share_the_events(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    tidings_bus *other = conf_open(c, NULL);
    struct hand *h[2] = {hand_new(c), hand_new(c)};
    uint8_t times[EVENTS + 1] = {0};
    struct kept k;

    kept_add(&k, bus);
    hand_join(h[0], bus, &k, GROUP, NULL);
    hand_join(h[1], other, &k, GROUP, NULL);
    assert_int_equal(operate_group_figure(bus, k.stream, GROUP, "members"), 2);
    kept_publish(&k, bus, 1, EVENTS);
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    assert_int_equal(hand_count(h[0]) + hand_count(h[1]), EVENTS);
    assert_true(hand_count(h[0]) > 0 && hand_count(h[1]) > 0);
    for (unsigned i = 0; i < 2; i++) {
        for (uint64_t n = 0; n < hand_count(h[i]); n++) {
            struct hand_call call = hand_call(h[i], n);

            assert_int_equal(call.sequence, call.n);
            assert_int_equal(call.deliveries, 1);
            times[call.n]++;
        }
    }
    for (unsigned n = 1; n <= EVENTS; n++)
        assert_int_equal(times[n], 1);
    assert_int_equal(operate_group_figure(bus, k.stream, GROUP, "acked"),
                     EVENTS);
    assert_int_equal(operate_group_figure(bus, k.stream, GROUP, "in_flight"),
                     0);
}

static void test_two_groups_see_all_each(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct hand *h[2] = {hand_new(c), hand_new(c)};
    struct kept k;

    kept_add(&k, bus);
    hand_join(h[0], bus, &k, "one", NULL);
    hand_join(h[1], bus, &k, "two", NULL);
    kept_publish(&k, bus, 1, EVENTS);
    assert_true(operate_until_settled(bus, k.stream, "one", CONF_MS));
    assert_true(operate_until_settled(bus, k.stream, "two", CONF_MS));
    assert_true(hand_saw_just(h[0], 1, EVENTS));
    assert_true(hand_saw_just(h[1], 1, EVENTS));
}

static void test_members_come_back_to_what_they_missed(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    tidings_bus *worker = conf_open(c, NULL);
    struct hand *h = hand_new(c);
    struct kept k;

    kept_add(&k, bus);
    hand_join(h, worker, &k, GROUP, NULL);
    kept_publish(&k, bus, 1, 100);
    assert_true(hand_wait(h, 100, CONF_MS));
    assert_ok(tidings_close(worker));
    conf_forget(c, worker);
    kept_publish(&k, bus, 101, EVENTS);
    assert_int_equal(hand_count(h), 100);
    worker = conf_open(c, NULL);
    hand_join(h, worker, &k, GROUP, NULL);
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    assert_true(hand_saw_just(h, 1, 100 + EVENTS));
}

/* Until so many events have arrived and are not handled. */
static bool until_waiting(tidings_bus *bus, uint64_t events)
{
    int64_t end = td_proc_now_ms() + CONF_MS;
    struct tidings_info info;

    do
        assert_ok(tidings_info(&info, bus));
    while (info.waiting < events && td_proc_now_ms() < end);
    return info.waiting >= events;
}

/* What a member that leaves has not handled goes to another. */
static void test_what_a_leaving_member_holds_goes_to_another(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    tidings_bus *leaving = conf_open(c, NULL);
    struct hand *h[2] = {hand_new(c), hand_new(c)};
    uint64_t handled;
    struct kept k;

    kept_add(&k, bus);
    h[0]->closed = true;
    hand_join(h[0], leaving, &k, GROUP,
              &(struct tidings_sub_options){.window_events = 100});
    kept_publish(&k, bus, 1, 100);
    assert_true(hand_wait(h[0], 1, CONF_MS));
    assert_true(until_waiting(leaving, 99));
    hand_join(h[1], bus, &k, GROUP, NULL);
    hand_open(h[0], true);
    assert_ok(tidings_close(leaving));
    conf_forget(c, leaving);
    handled = hand_count(h[0]);
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    assert_int_equal(handled + hand_count(h[1]), 100);
    for (uint64_t i = 0; i < hand_count(h[1]); i++)
        if (hand_call(h[1], i).deliveries != 1)
            fail_msg("event %llu, after %llu, comes %u times",
                     (unsigned long long)hand_call(h[1], i).n,
                     (unsigned long long)handled,
                     hand_call(h[1], i).deliveries); /* it was given back */
}

static void test_groups_have_a_pattern(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct hand *h = hand_new(c);
    struct tidings_sub_options options = from_all;
    char pattern[24];
    uint64_t n = 1;
    struct kept k;

    kept_add(&k, bus);
    snprintf(pattern, sizeof(pattern), "kept%.10s.b", k.stream + 1);
    kept_publish(&k, bus, 1, 10);
    assert_ok(tidings_publish(bus, pattern, &n, sizeof(n)));
    assert_ok(tidings_flush(bus, CONF_MS));
    options.stream = k.stream;
    options.group = GROUP;
    assert_ok(tidings_subscribe(NULL, bus, pattern, hand_take, h, &options));
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    assert_int_equal(hand_count(h), 1);
    assert_int_equal(hand_call(h, 0).sequence, 11);
    assert_err(tidings_subscribe(NULL, bus, "other", hand_take, h, &options),
               TIDINGS_EINVAL);
    assert_non_null(strstr(tidings_detail(), "pattern"));
}

/* One has all, the other stands by until it is gone; live groups too. */
static void test_single_members_stand_by(void **state)
{
    static const struct tidings_sub_options single = {
        .group_policy = TIDINGS_SINGLE, .start = {.kind = TIDINGS_START_ALL}};
    static const struct tidings_sub_options live = {
        .group = "live", .group_policy = TIDINGS_SINGLE};
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    tidings_bus *first = conf_open(c, NULL);
    tidings_bus *next = conf_open(c, NULL);
    struct hand *h[2] = {hand_new(c), hand_new(c)};
    struct tally *t[2] = {conf_tally(c), conf_tally(c)};
    int64_t end = td_proc_now_ms() + CONF_MS;
    struct kept k;

    kept_add(&k, bus);
    hand_join(h[0], first, &k, GROUP, &single);
    assert_ok(
        tidings_subscribe(NULL, first, k.pattern, tally_event, t[0], &live));
    hand_join(h[1], next, &k, GROUP, &single);
    assert_ok(
        tidings_subscribe(NULL, next, k.pattern, tally_event, t[1], &live));
    kept_publish(&k, bus, 1, 100);
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    assert_true(tally_wait(t[0], 100, CONF_MS));
    assert_ok(tidings_close(first));
    conf_forget(c, first);
    while (operate_group_figure(bus, k.stream, GROUP, "members") > 1 &&
           td_proc_now_ms() < end)
        conf_pause_us(1000); /* live events until then are its own */
    kept_publish(&k, bus, 101, 100);
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    assert_true(tally_wait(t[1], 100, CONF_MS));
    assert_true(hand_saw_just(h[0], 1, 100));
    assert_true(hand_saw_just(h[1], 101, 100));
    assert_int_equal(tally_count(t[0]), 100);
    assert_int_equal(tally_count(t[1]), 100);
}

/* ---- windows ---- */

static void add_group(tidings_bus *bus, const struct kept *k,
                      struct tidings_group_options options)
{
    options.stream = k->stream;
    options.group = GROUP;
    options.start.kind = TIDINGS_START_ALL;
    assert_ok(tidings_group_add(bus, &options, CONF_MS));
}

static bool until_full(tidings_bus *bus, const struct kept *k, bool full)
{
    int64_t end = td_proc_now_ms() + CONF_MS;

    while (operate_group_flag(bus, k->stream, GROUP, "full") != full) {
        if (td_proc_now_ms() > end)
            return false;
        poll(NULL, 0, 2);
    }
    return true;
}

static void test_a_full_group_says_so(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct tally *s = conf_tally(c);
    tidings_bus *worker =
        conf_open(c, &(struct tidings_options){.on_status = tally_status,
                                               .on_status_arg = s,
                                               .own_loop = true});
    struct tally *news = conf_subscribe(c, bus, "$tidings.group.full");
    struct hand *h = hand_new(c);
    struct kept k;

    kept_add(&k, bus);
    add_group(bus, &k, (struct tidings_group_options){.max_in_flight = 10});
    hand_join(h, worker, &k, GROUP, NULL);
    kept_publish(&k, bus, 1, 100);
    assert_true(until_full(bus, &k, true));
    assert_true(tally_wait(news, 1, CONF_MS));
    assert_int_equal(operate_group_figure(bus, k.stream, GROUP, "in_flight"),
                     10);
    assert_int_equal(operate_group_figure(bus, k.stream, GROUP, "lag"), 90);
    for (int64_t end = td_proc_now_ms() + CONF_MS;
         hand_count(h) < 100 && td_proc_now_ms() < end; poll(NULL, 0, 1))
        assert_ok(tidings_dispatch(NULL, worker, 100));
    assert_true(tally_wait_status(s, TIDINGS_GROUP_FULL, 1, 0));
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    assert_true(until_full(bus, &k, false));
    assert_true(hand_saw_just(h, 1, 100));
}

/* ---- operators ---- */

static void test_paused_groups_wait_until_resumed(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct hand *h = hand_new(c);
    struct kept k;

    kept_add(&k, bus);
    hand_join(h, bus, &k, GROUP, NULL);
    kept_publish(&k, bus, 1, 10);
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    assert_ok(operate_group(bus, "group.pause", k.stream, GROUP, NULL, 0));
    assert_true(operate_group_flag(bus, k.stream, GROUP, "paused"));
    kept_publish(&k, bus, 11, 10);
    assert_int_equal(operate_group_figure(bus, k.stream, GROUP, "lag"), 10);
    assert_int_equal(hand_count(h), 10);
    assert_ok(operate_group(bus, "group.resume", k.stream, GROUP, NULL, 0));
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    assert_true(hand_saw_just(h, 1, 20));
    assert_false(operate_group_flag(bus, k.stream, GROUP, "paused"));
}

static void test_groups_are_paused_until_a_time(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct hand *h = hand_new(c);
    int64_t until_ms = conf_unix_ms() + 300;
    struct kept k;

    kept_add(&k, bus);
    hand_join(h, bus, &k, GROUP, NULL);
    assert_ok(operate_group(bus, "group.pause", k.stream, GROUP, "until_ms",
                            (uint64_t)until_ms));
    kept_publish(&k, bus, 1, 10);
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    assert_true(conf_unix_ms() >= until_ms);
    assert_true(hand_saw_just(h, 1, 10));
}

static void test_groups_are_sent_back_and_forth(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct hand *h = hand_new(c);
    struct kept k;

    kept_add(&k, bus);
    hand_join(h, bus, &k, GROUP, NULL);
    kept_publish(&k, bus, 1, 10);
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    assert_ok(operate(NULL, NULL, bus, "group.seek",
                      (struct operate_option[]){{"stream", k.stream, 0},
                                                {"group", GROUP, 0},
                                                {"start", "all", 0},
                                                {0}}));
    assert_true(hand_wait(h, 20, CONF_MS));
    assert_ok(operate_group(bus, "group.seek", k.stream, GROUP, "start", 8));
    assert_true(hand_wait(h, 23, CONF_MS));
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    assert_int_equal(hand_count(h), 23);
    for (uint64_t i = 0; i < 23; i++)
        assert_int_equal(hand_call(h, i).n, i < 10   ? i + 1
                                            : i < 20 ? i - 9
                                                     : i - 12);
    assert_int_equal(hand_call(h, 22).deliveries, 1); /* anew */
}

static void test_a_deleted_group_ends_its_members(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct hand *h = hand_new(c);
    struct kept k;

    kept_add(&k, bus);
    hand_join(h, bus, &k, GROUP, NULL);
    kept_publish(&k, bus, 1, 10);
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    assert_ok(operate_group(bus, "group.delete", k.stream, GROUP, NULL, 0));
    assert_err(operate_group(bus, "group.delete", k.stream, GROUP, NULL, 0),
               TIDINGS_ENOTFOUND);
    kept_publish(&k, bus, 11, 10);
    assert_int_equal(hand_count(h), 10);
    hand_join(h, bus, &k, GROUP, &from_all); /* another of that name */
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    assert_int_equal(hand_count(h), 30);
}

/* A subscription that ends without a word looks like one without events. */
static void test_who_ends_with_a_stream_is_told(void **state)
{
    struct conf *c = *state;
    struct tally *s = conf_tally(c);
    const struct tidings_options o = {.on_status = tally_status,
                                      .on_status_arg = s};
    tidings_bus *bus = conf_open(c, &o);
    struct hand *h = hand_new(c);
    struct kept k;

    kept_add(&k, bus);
    hand_join(h, bus, &k, GROUP, NULL);
    assert_ok(operate_group(bus, "group.delete", k.stream, GROUP, NULL, 0));
    assert_true(tally_wait_status(s, TIDINGS_REFUSED, 1, CONF_MS));
    assert_err(tally_now(s).status.err, TIDINGS_ECLOSED);
    assert_string_equal(tally_now(s).status_text, "its group was deleted");
    hand_join(h, bus, &k, GROUP, NULL);
    kept_pull(bus, &k, GROUP);
    hand_join(h, bus, &k, NULL, NULL);
    assert_ok(operate(NULL, NULL, bus, "stream.delete",
                      (struct operate_option[]){{"name", k.stream, 0}, {0}}));
    assert_true(tally_wait_status(s, TIDINGS_REFUSED, 4, CONF_MS));
    assert_err(tally_now(s).status.err, TIDINGS_ECLOSED);
    assert_int_equal(tally_now(s).statuses[TIDINGS_REFUSED], 4);
    assert_int_equal(tally_now(s).statuses[TIDINGS_GAP], 0);
}

static void test_groups_are_refused_in_the_same_words(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    struct tidings_group_options options = {.group = GROUP};
    struct kept k;

    kept_add(&k, bus);
    options.stream = k.stream;
    assert_ok(tidings_group_add(bus, &options, CONF_MS));
    assert_ok(tidings_group_add(bus, &options, CONF_MS));
    options.max_deliver = 3;
    assert_err(tidings_group_add(bus, &options, CONF_MS), TIDINGS_EEXIST);
    options.max_deliver = 251;
    assert_err(tidings_group_add(bus, &options, CONF_MS), TIDINGS_EINVAL);
    options.max_deliver = 0;
    options.stream = "nowhere";
    assert_err(tidings_group_add(bus, &options, CONF_MS), TIDINGS_ENOTFOUND);
    assert_string_equal(tidings_detail(), "no such stream");
    options.stream = k.stream;
    options.group = "a b";
    assert_err(tidings_group_add(bus, &options, CONF_MS), TIDINGS_EINVAL);
    options.group = "other";
    options.pattern = "a..b";
    assert_err(tidings_group_add(bus, &options, CONF_MS), TIDINGS_EINVAL);
    assert_err(tidings_group_add(bus, NULL, CONF_MS), TIDINGS_EINVAL);
}

/* ---- other ways to handle ---- */

static void test_loops_of_ones_own_settle(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    tidings_bus *own =
        conf_open(c, &(struct tidings_options){.own_loop = true});
    int64_t end = td_proc_now_ms() + CONF_MS;
    struct hand *h = hand_new(c);
    struct kept k;

    kept_add(&k, bus);
    hand_join(h, own, &k, GROUP, NULL);
    kept_publish(&k, bus, 1, EVENTS);
    while (hand_count(h) < EVENTS && td_proc_now_ms() < end) {
        struct pollfd fd = {.events = POLLIN};

        assert_ok(tidings_fd(&fd.fd, own));
        poll(&fd, 1, 100);
        assert_ok(tidings_dispatch(NULL, own, 64));
    }
    assert_true(hand_saw_just(h, 1, EVENTS));
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
}

static void check_workers(struct conf *c, enum tidings_order order)
{
    const struct tidings_sub_options options = {
        .workers = 4, .order = order, .start = {.kind = TIDINGS_START_ALL}};
    tidings_bus *bus = kept_open(c);
    struct hand *h = hand_new(c);
    uint64_t latest[8] = {0};
    struct kept k;

    kept_add(&k, bus);
    for (uint64_t n = 1; n <= EVENTS; n++) {
        char key[8];

        snprintf(key, sizeof(key), "k%u", (unsigned)(n % 8));
        kept_publish_key(&k, bus, key, n);
    }
    assert_ok(tidings_flush(bus, CONF_MS));
    hand_join(h, bus, &k, GROUP, &options);
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    assert_int_equal(hand_count(h), EVENTS);
    for (uint64_t i = 0; i < EVENTS && order == TIDINGS_KEY_ORDER; i++) {
        uint64_t n = hand_call(h, i).n;

        assert_true(n > latest[n % 8]);
        latest[n % 8] = n;
    }
}

static void test_workers_settle_in_order_of_keys_or_any(void **state)
{
    check_workers(*state, TIDINGS_KEY_ORDER);
    check_workers(*state, TIDINGS_ANY_ORDER);
}

int conf_run_groups(void)
{
    const struct CMUnitTest tests[] = {
        KEPT_TEST(test_members_share_the_events),
        KEPT_TEST(test_two_groups_see_all_each),
        KEPT_TEST(test_members_come_back_to_what_they_missed),
        KEPT_TEST(test_what_a_leaving_member_holds_goes_to_another),
        KEPT_TEST(test_groups_have_a_pattern),
        KEPT_TEST(test_single_members_stand_by),
        KEPT_TEST(test_a_full_group_says_so),
        KEPT_TEST(test_paused_groups_wait_until_resumed),
        KEPT_TEST(test_groups_are_paused_until_a_time),
        KEPT_TEST(test_groups_are_sent_back_and_forth),
        KEPT_TEST(test_a_deleted_group_ends_its_members),
        KEPT_TEST(test_who_ends_with_a_stream_is_told),
        KEPT_TEST(test_groups_are_refused_in_the_same_words),
        KEPT_TEST(test_loops_of_ones_own_settle),
        KEPT_TEST(test_workers_settle_in_order_of_keys_or_any),
    };

    return cmocka_run_group_tests_name("groups", tests, NULL, NULL);
}
