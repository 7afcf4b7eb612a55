/* Who begins with the newest of each name, and streams that keep no others. */
#include "tests/conformance/kept.h"

#define KEYS 5u

static void publish_keys(const struct kept *k, tidings_bus *bus, uint64_t first,
                         uint64_t count)
{
    for (uint64_t n = first; n < first + count; n++) {
        const char key[2] = {(char)('a' + n % KEYS), '\0'};

        kept_publish_key(k, bus, key, n);
    }
    assert_ok(tidings_flush(bus, CONF_MS));
}

/* ---- who begins ---- */

static void test_readers_begin_with_the_newest_of_each_type(void **state)
{
    const struct tidings_sub_options last = {.start.kind = TIDINGS_START_LAST};
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct hand *h = hand_new(c);
    struct kept k;

    kept_add(&k, bus);
    kept_publish(&k, bus, 1, 7);
    memcpy(strchr(k.type, '.'), ".b", 2);
    kept_publish(&k, bus, 8, 2);
    hand_join(h, bus, &k, NULL, &last);
    assert_true(hand_wait(h, 2, CONF_MS));
    assert_int_equal(hand_call(h, 0).n, 7);
    assert_int_equal(hand_call(h, 1).n, 9);
    kept_publish(&k, bus, 10, 2);
    assert_true(hand_wait(h, 4, CONF_MS));
    assert_int_equal(hand_call(h, 2).n, 10);
    assert_int_equal(hand_call(h, 3).n, 11);
}

/* Of what was there each key's newest at least, all that came later, in order
 * and once. */
static void check_state(struct hand *h, uint64_t before, uint64_t all)
{
    uint64_t n = hand_count(h);
    uint64_t first = 0;

    while (first < n && hand_call(h, first).n <= before)
        first++;
    assert_true(first <= KEYS);
    assert_int_equal(n - first, all - before);
    for (uint64_t i = 0; i < n; i++) {
        struct hand_call call = hand_call(h, i);

        assert_int_equal(call.sequence, call.n);
        if (i < first) /* the newest of its key then */
            assert_true(call.n + KEYS > before);
        else
            assert_int_equal(call.n, before + 1 + i - first);
        if (i > 0)
            assert_true(call.n > hand_call(h, i - 1).n);
    }
}

static void check_newcomers(struct conf *c, const char *group)
{
    const struct tidings_sub_options last = {.start.kind = TIDINGS_START_LAST};
    tidings_bus *bus = kept_open(c);
    uint64_t published = 40;
    struct kept k;

    kept_add_keyed(&k, bus);
    publish_keys(&k, bus, 1, published);
    for (int i = 0; i < 3; i++) {
        struct hand *h = hand_new(c);
        uint64_t before = published;
        char name[16];
        tidings_sub *sub;

        snprintf(name, sizeof(name), "g%d", i);
        sub = hand_join(h, bus, &k, group ? name : NULL, &last);
        publish_keys(&k, bus, published + 1, 20); /* goes on meanwhile */
        published += 20;
        assert_true(hand_wait(h, 20, CONF_MS));
        for (int64_t end = td_proc_now_ms() + CONF_MS;
             hand_call(h, hand_count(h) - 1).n < published &&
             td_proc_now_ms() < end;)
            conf_pause_us(1000);
        assert_ok(tidings_unsubscribe(sub, CONF_MS));
        check_state(h, before, published);
        hand_free(h);
    }
}

static void test_readers_begin_with_the_newest_of_each_key(void **state)
{
    check_newcomers(*state, NULL);
}

static void test_groups_begin_with_the_newest_of_each_key(void **state)
{
    check_newcomers(*state, "g");
}

/* ---- of which only the newest is kept ---- */

#define MANY 2500u
#define EACH 100u /* of a record: the newest stays as it is */

static void check_passes_over(struct conf *c, tidings_bus *bus,
                              const struct kept *k, const char *group)
{
    const struct tidings_sub_options all = {.start.kind = TIDINGS_START_ALL};
    struct hand *h = hand_new(c);
    uint64_t before = 0;
    uint64_t n;

    hand_join(h, bus, k, group, &all);
    for (int64_t end = td_proc_now_ms() + CONF_MS;
         ((n = hand_count(h)) == 0 || hand_call(h, n - 1).n < MANY) &&
         td_proc_now_ms() < end;)
        conf_pause_us(1000);
    assert_true(n < MANY * 3 / 4);
    for (uint64_t i = 0; i < n; i++) {
        struct hand_call call = hand_call(h, i);

        assert_int_equal(call.sequence, call.n);
        assert_true(call.n > before);
        before = call.n;
    }
    assert_int_equal(before, MANY);
    assert_false(hand_wait_missed(h, 1, 0)); /* nobody is told */
}

static void test_compacted_streams_are_read_without_gaps(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct tidings_stream_options options;
    const char *patterns[1];
    uint64_t bytes = UINT64_MAX;
    struct kept k;

    kept_name(&k);
    options = kept_options(&k, patterns);
    options.keyed = options.compact = true;
    if (!conf_has_data()) { /* it is for disks */
        assert_err(tidings_stream_add(bus, &options, CONF_MS), TIDINGS_EINVAL);
        return;
    }
    assert_ok(tidings_stream_add(bus, &options, CONF_MS));
    for (uint64_t n = 1; n <= MANY; n += EACH)
        publish_keys(&k, bus, n, EACH);
    for (int64_t end = td_proc_now_ms() + CONF_MS;
         bytes > MANY * 20 && td_proc_now_ms() < end;) {
        bytes = operate_stream_figure(bus, k.stream, "bytes");
        conf_pause_us(1000);
    }
    assert_true(bytes <= MANY * 20); /* of 30 each, before */
    check_passes_over(c, bus, &k, NULL);
    check_passes_over(c, bus, &k, "g");
}

int conf_run_newest(void)
{
    const struct CMUnitTest tests[] = {
        KEPT_TEST(test_readers_begin_with_the_newest_of_each_type),
        KEPT_TEST(test_readers_begin_with_the_newest_of_each_key),
        KEPT_TEST(test_groups_begin_with_the_newest_of_each_key),
        KEPT_TEST(test_compacted_streams_are_read_without_gaps),
    };

    return cmocka_run_group_tests_name("newest", tests, NULL, NULL);
}
