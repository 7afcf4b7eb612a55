/* Patterns, who sees what, and in which order. */
#include "tests/conformance/conformance.h"

#include <stdlib.h>

#define PUBLISHERS        4
#define EACH              (20000 / CONF_SLOW)
#define SUBSCRIPTIONS_MAX 1024

/* D19 */
static void test_types_and_patterns_are_checked(void **state)
{
    static const struct {
        const char *text;
        bool type;
        bool pattern;
    } rows[] = {
        {"a", true, true},       {"a.b", true, true},
        {"a.*", false, true},    {"*", false, true},
        {">", false, true},      {"a.>", false, true},
        {"*.b.>", false, true},  {"a.>.b", false, false},
        {"a*", false, false},    {"a.b>", false, false},
        {"", false, false},      {".", false, false},
        {"a.", false, false},    {".a", false, false},
        {"a..b", false, false},  {"a b", false, false},
        {"a\x7f", false, false}, {"\xc3\xa9", false, false},
        {"$SYS.x", false, true}, {"$>", false, false},
        {"a.$b", true, true},    {"A-z_0/9:~!", true, true},
    };

    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        const char *text = rows[i].text;

        assert_row(text, !tidings_type_check(text) == rows[i].type);
        assert_row(text, !tidings_pattern_check(text) == rows[i].pattern);
    }
    assert_err(tidings_type_check(NULL), TIDINGS_EINVAL);
    assert_err(tidings_pattern_check(NULL), TIDINGS_EINVAL);
    assert_false(tidings_pattern_matches(NULL, "a"));
    assert_false(tidings_pattern_matches("a", NULL));
    assert_false(tidings_pattern_matches("a..", "a.."));
    assert_false(tidings_pattern_matches("*", "*"));
}

/* The bus delivers exactly what tidings_pattern_matches() says. */
static void test_patterns_match_whole_tokens(void **state)
{
    static const char *const patterns[] = {"*",   ">",     "a",    "a.*",
                                           "a.>", "*.b",   "a.b",  "*.*.*",
                                           "b.>", "*.b.>", "a.b.c"};
    static const char *const types[] = {"a",     "b",  "a.b",  "b.b",
                                        "a.b.c", "ab", "a.bb", "a.b.c.d"};
    uint64_t want[TD_ARRAY_LEN(patterns)] = {0};
    struct tally *t[TD_ARRAY_LEN(patterns)];
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);

    for (size_t p = 0; p < TD_ARRAY_LEN(patterns); p++)
        t[p] = conf_subscribe(c, bus, patterns[p]);
    for (size_t i = 0; i < TD_ARRAY_LEN(types); i++) {
        assert_ok(tidings_publish(bus, types[i], NULL, 0));
        for (size_t p = 0; p < TD_ARRAY_LEN(patterns); p++)
            want[p] += tidings_pattern_matches(patterns[p], types[i]);
    }
    assert_int_equal(want[1], TD_ARRAY_LEN(types)); /* ">" */
    assert_int_equal(want[3], 2);                   /* "a.*" */
    for (size_t p = 0; p < TD_ARRAY_LEN(patterns); p++)
        assert_row(patterns[p], tally_wait(t[p], want[p], CONF_MS));
    assert_ok(tidings_drain(bus, CONF_MS));
    for (size_t p = 0; p < TD_ARRAY_LEN(patterns); p++)
        assert_row(patterns[p], tally_count(t[p]) == want[p]);
}

static void test_overlapping_subscriptions_each_get_a_copy(void **state)
{
    static const char *const patterns[] = {"copy.x", "copy.x", "copy.*",
                                           "copy.>", ">"};
    struct tally *t[TD_ARRAY_LEN(patterns)];
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    tidings_bus *from = conf_open(c, NULL);

    for (size_t i = 0; i < TD_ARRAY_LEN(patterns); i++)
        t[i] = conf_subscribe(c, bus, patterns[i]);
    assert_ok(conf_publish_many(from, "copy.x", 0, 50));
    for (size_t i = 0; i < TD_ARRAY_LEN(patterns); i++) {
        assert_true(tally_wait(t[i], 50, CONF_MS));
        assert_int_equal(tally_now(t[i]).holes + tally_now(t[i]).disorder, 0);
    }
}

/* The publisher sees its own events; a bus without a match sees none. */
static void test_events_before_the_subscription_are_not_seen(void **state)
{
    struct conf *c = *state;
    tidings_bus *from = conf_open(c, NULL);
    tidings_bus *to = conf_open(c, NULL);
    uint64_t n = 0;

    for (int i = 0; i < 20; i++) {
        uint64_t first = n + 1;
        struct tally *t = conf_tally(c);
        tidings_sub *sub;

        assert_ok(conf_publish(from, "before", 0, ++n));
        assert_ok(tidings_flush(from, CONF_MS));
        t->next_n[0] = first + 1;
        assert_ok(tidings_subscribe(&sub, to, "before", tally_event, t, NULL));
        assert_ok(conf_publish(from, "before", 0, ++n));
        assert_ok(conf_publish(from, "before", 0, ++n));
        assert_true(tally_wait(t, 2, CONF_MS));
        assert_ok(tidings_unsubscribe(sub, CONF_MS));
        assert_ok(conf_publish(from, "before", 0, ++n));
        assert_ok(tidings_flush(from, CONF_MS));
        assert_int_equal(tally_count(t), 2);
        assert_int_equal(tally_now(t).holes + tally_now(t).disorder, 0);
    }
}

struct publisher {
    tidings_bus *bus;
    unsigned who;
    tidings_err err;
    char types; /* how many it takes in turn */
};

static void *publish_each(void *arg)
{
    struct publisher *p = arg;

    for (uint64_t n = 1; n <= EACH && !p->err; n++) {
        char type[16] = "order.a";

        type[6] = (char)('a' + (char)(n % (uint64_t)p->types));
        p->err = conf_publish(p->bus, type, p->who, n);
        if (!p->err && n % 1000 == 0)
            p->err = tidings_flush(p->bus, CONF_MS);
    }
    return NULL;
}

static void check_order(struct conf *c, tidings_bus *from[PUBLISHERS],
                        tidings_bus *to, char types)
{
    struct tally *t = conf_subscribe(c, to, "order.*");
    struct publisher p[PUBLISHERS];
    pthread_t threads[PUBLISHERS];

    for (unsigned i = 0; i < PUBLISHERS; i++) {
        p[i] = (struct publisher){from[i], i, TIDINGS_OK, types};
        assert_int_equal(pthread_create(&threads[i], NULL, publish_each, &p[i]),
                         0);
    }
    for (int i = 0; i < PUBLISHERS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < PUBLISHERS; i++)
        assert_ok(p[i].err);
    assert_true(tally_wait(t, PUBLISHERS * EACH, CONF_MS));
    assert_int_equal(tally_now(t).holes, 0);
    assert_int_equal(tally_now(t).disorder, 0);
    assert_int_equal(tally_count(t), PUBLISHERS * EACH);
}

static void test_order_of_four_threads_on_one_bus(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    tidings_bus *from[PUBLISHERS] = {bus, bus, bus, bus};

    check_order(c, from, bus, 1);
}

static void test_order_of_four_buses_and_many_types(void **state)
{
    struct conf *c = *state;
    tidings_bus *from[PUBLISHERS];

    for (int i = 0; i < PUBLISHERS; i++)
        from[i] = conf_open(c, NULL);
    check_order(c, from, conf_open(c, NULL), 7);
}

static void test_subscribe_checks_its_arguments(void **state)
{
    static const struct {
        const char *row;
        struct tidings_sub_options o;
        tidings_err err;
    } rows[] = {
        {"window of 1", {.window_events = 1}, TIDINGS_OK},
        {"window 1048576", {.window_events = 1048576}, TIDINGS_OK},
        {"window 1048577", {.window_events = 1048577}, TIDINGS_EINVAL},
        {"window 2 MiB", {.window_bytes = 2u << 20}, TIDINGS_OK},
        {"window less", {.window_bytes = (2u << 20) - 1}, TIDINGS_EINVAL},
        {"window 1 GiB", {.window_bytes = 1u << 30}, TIDINGS_OK},
        {"window more", {.window_bytes = (1u << 30) + 1}, TIDINGS_EINVAL},
        {"queue of 1", {.queue_events = 1}, TIDINGS_OK},
        {"queue 1048576", {.queue_events = 1048576}, TIDINGS_OK},
        {"queue 1048577", {.queue_events = 1048577}, TIDINGS_EINVAL},
        {"queue 1 byte", {.queue_bytes = 1}, TIDINGS_OK},
        {"queue 256 MiB", {.queue_bytes = 256u << 20}, TIDINGS_OK},
        {"queue 1 GiB", {.queue_bytes = 1u << 30}, TIDINGS_ELIMIT},
        {"queue more", {.queue_bytes = (1u << 30) + 1}, TIDINGS_EINVAL},
    };
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    struct tally *t = conf_tally(c);

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        tidings_sub *sub = NULL;
        tidings_err err =
            tidings_subscribe(&sub, bus, "args", tally_event, t, &rows[i].o);

        assert_row(rows[i].row, err == rows[i].err);
        assert_row(rows[i].row, (sub == NULL) == (err != TIDINGS_OK));
        if (!err)
            assert_row(rows[i].row, !tidings_unsubscribe(sub, CONF_MS));
    }
    assert_err(tidings_subscribe(NULL, bus, "a", NULL, NULL, NULL),
               TIDINGS_EINVAL);
    assert_err(tidings_subscribe(NULL, bus, "a..b", tally_event, t, NULL),
               TIDINGS_EINVAL);
    assert_err(tidings_subscribe(NULL, bus, NULL, tally_event, t, NULL),
               TIDINGS_EINVAL);
    assert_ok(tidings_subscribe(NULL, bus, "$SYS.>", tally_event, t, NULL));
}

static void test_smallest_window_and_queue_still_deliver_all(void **state)
{
    const struct tidings_sub_options o = {.window_events = 1,
                                          .queue_events = 1000};
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    struct tally *t = conf_tally(c);

    assert_ok(tidings_subscribe(NULL, bus, "small", tally_event, t, &o));
    assert_ok(conf_publish_many(bus, "small", 0, 500));
    assert_true(tally_wait(t, 500, CONF_MS));
    assert_int_equal(tally_now(t).holes, 0);
}

static void test_subscriptions_end_at_1024(void **state)
{
    tidings_sub **subs = calloc(SUBSCRIPTIONS_MAX, sizeof(*subs));
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    struct tally *t = conf_tally(c);

    assert_non_null(subs);
    for (int i = 0; i < SUBSCRIPTIONS_MAX; i++) {
        char pattern[32];

        snprintf(pattern, sizeof(pattern), "many.%d", i % 512);
        assert_ok(
            tidings_subscribe(&subs[i], bus, pattern, tally_event, t, NULL));
    }
    assert_err(tidings_subscribe(NULL, bus, "many.x", tally_event, t, NULL),
               TIDINGS_ELIMIT);
    assert_ok(tidings_publish(bus, "many.7", NULL, 0));
    assert_true(tally_wait(t, 2, CONF_MS));
    assert_ok(tidings_unsubscribe(subs[7], CONF_MS));
    assert_ok(tidings_subscribe(NULL, bus, "many.x", tally_event, t, NULL));
    free(subs);
}

int conf_run_subscribe(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types_and_patterns_are_checked),
        CONF_TEST(test_patterns_match_whole_tokens),
        CONF_TEST(test_overlapping_subscriptions_each_get_a_copy),
        CONF_TEST(test_events_before_the_subscription_are_not_seen),
        CONF_TEST(test_order_of_four_threads_on_one_bus),
        CONF_TEST(test_order_of_four_buses_and_many_types),
        CONF_TEST(test_subscribe_checks_its_arguments),
        CONF_TEST(test_smallest_window_and_queue_still_deliver_all),
        CONF_TEST(test_subscriptions_end_at_1024),
    };

    return cmocka_run_group_tests_name("subscribe", tests, NULL, NULL);
}
