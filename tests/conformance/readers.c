/* Readers, where they and groups begin, and what retention takes from them. */
#include "tests/conformance/kept.h"

#define GROUP "g"

/* ---- where to begin ---- */

/* Ten events, a pause, ten more; *between_ms is a time in the pause. */
static void publish_twice(struct kept *k, tidings_bus *bus, int64_t *between_ms)
{
    kept_add(k, bus);
    kept_publish(k, bus, 1, 10);
    conf_pause_us(3000); /* so that the times of both differ */
    *between_ms = conf_unix_ms();
    conf_pause_us(3000);
    kept_publish(k, bus, 11, 10);
}

static const struct {
    const char *name;
    struct tidings_start start;
    uint64_t first; /* of 1 to 25; 0: TIDINGS_EINVAL */
} starts[] = {
    {"default", {.kind = TIDINGS_START_DEFAULT}, 21},
    {"new", {.kind = TIDINGS_START_NEW}, 21},
    {"all", {.kind = TIDINGS_START_ALL}, 1},
    {"sequence 1", {.kind = TIDINGS_START_SEQUENCE, .sequence = 1}, 1},
    {"sequence 13", {.kind = TIDINGS_START_SEQUENCE, .sequence = 13}, 13},
    {"sequence 20", {.kind = TIDINGS_START_SEQUENCE, .sequence = 20}, 20},
    {"next", {.kind = TIDINGS_START_SEQUENCE, .sequence = 21}, 21},
    {"time", {.kind = TIDINGS_START_TIME}, 11}, /* the time between */
    {"time 0", {.kind = TIDINGS_START_TIME, .time_ms = 1}, 1},
    {"future", {.kind = TIDINGS_START_TIME, .time_ms = INT64_MAX / 2}, 21},
};

static void check_starts(struct conf *c, bool grouped)
{
    tidings_bus *bus = kept_open(c);
    int64_t between_ms;
    struct kept k;

    for (size_t i = 0; i < TD_ARRAY_LEN(starts); i++) {
        struct tidings_sub_options options = {.start = starts[i].start};
        uint64_t count = 26 - starts[i].first;
        struct hand *h = hand_new(c);
        tidings_sub *sub;

        publish_twice(&k, bus, &between_ms);
        if (options.start.kind == TIDINGS_START_TIME &&
            options.start.time_ms == 0)
            options.start.time_ms = between_ms;
        sub = hand_join(h, bus, &k, grouped ? GROUP : NULL, &options);
        kept_publish(&k, bus, 21, 5);
        assert_row(starts[i].name, hand_wait(h, count, CONF_MS));
        assert_ok(tidings_unsubscribe(sub, CONF_MS));
        assert_row(starts[i].name, hand_saw_just(h, starts[i].first, count));
        hand_free(h);
    }
}

static void test_readers_begin_where_they_are_told(void **state)
{
    check_starts(*state, false);
}

static void test_groups_begin_where_they_are_told(void **state)
{
    check_starts(*state, true);
}

/* Beyond the end waits for what comes there; no number crashes anybody. */
static void test_sequences_out_of_reach_are_answered(void **state)
{
    static const uint64_t far[] = {0, 1000, UINT64_C(1) << 32,
                                   UINT64_C(1) << 63, UINT64_MAX};
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct hand *h = hand_new(c);
    struct kept k;

    kept_add(&k, bus);
    kept_publish(&k, bus, 1, 10);
    for (size_t i = 0; i < TD_ARRAY_LEN(far); i++) {
        const struct tidings_sub_options options = {
            .stream = k.stream,
            .start = {.kind = TIDINGS_START_SEQUENCE, .sequence = far[i]}};
        tidings_sub *sub = NULL;
        tidings_err err =
            tidings_subscribe(&sub, bus, ">", hand_take, h, &options);

        if (err)
            assert_err(err, TIDINGS_EINVAL);
        else
            assert_ok(tidings_unsubscribe(sub, CONF_MS));
    }
    kept_publish(&k, bus, 11, 1);
    assert_int_equal(operate_stream_figure(bus, k.stream, "last"), 11);
}

/* ---- reading ---- */

static void test_readers_see_all_in_order_and_settle_nothing(void **state)
{
    const struct tidings_sub_options all = {
        .start = {.kind = TIDINGS_START_ALL}};
    const uint64_t events = 10000;
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct hand *h = hand_new(c);
    struct tidings_delivery d;
    struct kept k;

    kept_add(&k, bus);
    kept_publish(&k, bus, 1, events);
    h->err = TIDINGS_EIO; /* counts as failed, and that is all */
    hand_join(h, bus, &k, NULL, &all);
    assert_true(hand_wait(h, events, CONF_MS));
    assert_true(hand_saw_just(h, 1, events));
    for (uint64_t i = 0; i < events; i += 777)
        assert_int_equal(hand_call(h, i).sequence, i + 1);
    d = hand_last(h);
    assert_err(tidings_settle(&d, TIDINGS_ACK, 0, NULL), TIDINGS_ENOTFOUND);
}

/* ---- retention ---- */

static void add_small(struct kept *k, tidings_bus *bus, uint64_t max_events)
{
    struct tidings_stream_options options;
    const char *patterns[1];

    kept_name(k);
    options = kept_options(k, patterns);
    options.max_events = max_events;
    assert_ok(tidings_stream_add(bus, &options, CONF_MS));
}

/* 1000 events were published, and the oldest are gone; returns the first that
 * is kept. */
static uint64_t fill(struct kept *k, tidings_bus *bus)
{
    uint64_t first;

    for (uint64_t n = 1; n <= 1000; n += 10)
        kept_publish(k, bus, n, 10);
    for (int64_t end = td_proc_now_ms() + CONF_MS;
         operate_stream_figure(bus, k->stream, "events") > 100 &&
         td_proc_now_ms() < end;)
        conf_pause_us(1000);
    first = operate_stream_figure(bus, k->stream, "first");
    assert_true(first >= 901 && first <= 910); /* by whole records */
    return first;
}

static uint64_t overfill(struct kept *k, tidings_bus *bus)
{
    add_small(k, bus, 100);
    return fill(k, bus);
}

/* It is told of these sequences, all of which it lost. */
static void check_lost(struct hand *h, uint64_t first, uint64_t last)
{
    assert_true(hand_wait_missed(h, last - first + 1, CONF_MS));
    assert_int_equal(h->missed, last - first + 1);
    assert_int_equal(h->missed_first, first);
    assert_int_equal(h->missed_last, last);
    assert_string_equal(h->reason, "expired");
}

static void test_retention_keeps_the_newest(void **state)
{
    const struct tidings_sub_options all = {
        .start = {.kind = TIDINGS_START_ALL}};
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct hand *h = hand_new(c);
    struct kept k;
    uint64_t first = overfill(&k, bus);

    hand_join(h, bus, &k, NULL, &all);
    assert_true(hand_wait(h, 1001 - first, CONF_MS));
    assert_true(hand_saw_just(h, first, 1001 - first));
    assert_int_equal(h->missed, 0); /* it began behind what is gone */
}

/* Who goes on where it was, and comes too late for that, is told. */
static void test_readers_are_told_what_went_before_they_came(void **state)
{
    const struct tidings_sub_options from = {
        .start = {.kind = TIDINGS_START_SEQUENCE, .sequence = 11}};
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct hand *h = hand_new(c);
    struct kept k;
    uint64_t first = overfill(&k, bus);

    hand_join(h, bus, &k, NULL, &from);
    assert_true(hand_wait(h, 1001 - first, CONF_MS));
    assert_true(hand_saw_just(h, first, 1001 - first));
    check_lost(h, 11, first - 1);
}

/* A hand of which it is known what it saw, from a stream of events 1 to 1000:
 * the first and the last that it did not see. */
static void find_unseen(struct hand *h, uint64_t *first, uint64_t *last)
{
    uint64_t seen = 0;

    *first = *last = 0;
    for (uint64_t n = 1; n <= 1000; n++) {
        if (seen < hand_count(h) && hand_call(h, seen).n == n) {
            seen++;
            continue;
        }
        *first = *first ? *first : n;
        *last = n;
    }
}

/* D17: a member or a reader that is too slow is told how much it lost, and
 * which. */
static void check_overtaken(struct conf *c, bool grouped)
{
    const struct tidings_sub_options options = {
        .start = {.kind = TIDINGS_START_ALL}, .window_events = 20};
    tidings_bus *bus = kept_open(c);
    tidings_bus *slow = conf_open(c, NULL);
    struct hand *h = hand_new(c);
    uint64_t seen;
    uint64_t first;
    uint64_t last;
    struct kept k;

    add_small(&k, bus, 100);
    h->closed = true;
    hand_join(h, slow, &k, grouped ? GROUP : NULL, &options);
    for (uint64_t n = 1; n <= 1000; n += 10)
        kept_publish(&k, bus, n, 10);
    assert_true(hand_wait(h, 1, CONF_MS));
    hand_open(h, true);
    for (int64_t end = td_proc_now_ms() + CONF_MS;
         hand_call(h, hand_count(h) - 1).n < 1000 && td_proc_now_ms() < end;)
        conf_pause_us(1000);
    assert_true(hand_wait_missed(h, 1, CONF_MS));
    seen = hand_count(h);
    assert_true(seen < 1000);
    assert_int_equal(hand_call(h, seen - 1).n, 1000);
    for (uint64_t i = 1; i < seen; i++)
        assert_true(hand_call(h, i).n > hand_call(h, i - 1).n);
    assert_int_equal(seen + h->missed, 1000);
    assert_string_equal(h->reason, "expired");
    find_unseen(h, &first, &last);
    assert_int_equal(h->missed_first, first);
    assert_int_equal(h->missed_last, last);
    if (!grouped)
        return;
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    assert_int_equal(operate_group_figure(bus, k.stream, GROUP, "expired"),
                     h->missed);
}

static void test_overtaken_readers_are_told_what_they_lost(void **state)
{
    check_overtaken(*state, false);
}

static void test_overtaken_groups_are_told_what_they_lost(void **state)
{
    check_overtaken(*state, true);
}

/* D17: what a group loses while nobody is there is told to the first that
 * comes, also by the next broker, and to nobody else. */
static void test_what_is_lost_alone_is_told_to_who_comes(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct hand *h = hand_new(c);
    struct hand *other = hand_new(c);
    struct tidings_group_options group = {.group = GROUP};
    uint64_t first;
    struct kept k;

    add_small(&k, bus, 100);
    group.stream = k.stream;
    assert_ok(tidings_group_add(bus, &group, CONF_MS));
    first = fill(&k, bus);
    if (conf_has_data()) {
        assert_ok(tidings_close(bus));
        conf_forget(c, bus);
        conf_restart(c);
        bus = kept_open(c);
    }
    hand_join(h, bus, &k, GROUP, NULL);
    check_lost(h, 1, first - 1);
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    assert_true(hand_saw_just(h, first, 1001 - first));
    hand_join(other, bus, &k, GROUP, NULL);
    kept_publish(&k, bus, 1001, 20); /* half of them are its */
    assert_true(hand_wait(other, 1, CONF_MS));
    assert_int_equal(other->missed, 0);
    assert_int_equal(h->missed, first - 1);
}

int conf_run_readers(void)
{
    const struct CMUnitTest tests[] = {
        KEPT_TEST(test_readers_begin_where_they_are_told),
        KEPT_TEST(test_groups_begin_where_they_are_told),
        KEPT_TEST(test_sequences_out_of_reach_are_answered),
        KEPT_TEST(test_readers_see_all_in_order_and_settle_nothing),
        KEPT_TEST(test_retention_keeps_the_newest),
        KEPT_TEST(test_readers_are_told_what_went_before_they_came),
        KEPT_TEST(test_overtaken_readers_are_told_what_they_lost),
        KEPT_TEST(test_overtaken_groups_are_told_what_they_lost),
        KEPT_TEST(test_what_is_lost_alone_is_told_to_who_comes),
    };

    return cmocka_run_group_tests_name("readers", tests, NULL, NULL);
}
