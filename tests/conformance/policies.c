/* Whom a durable group gives its events: what each policy promises, while
 * members come, fail and go. */
#include "tests/conformance/kept.h"

#define EVENTS  600u
#define ONES    50u
#define GROUP   "g"
#define MEMBERS 2

static const struct {
    const char *name;
    enum tidings_group_policy policy;
    uint64_t least; /* of EVENTS, that each of two members gets */
} rows[] = {
    {"round_robin", TIDINGS_ROUND_ROBIN, EVENTS / 2},
    {"random", TIDINGS_RANDOM, EVENTS / 4}, /* by chance one time in 10^36 */
    {"least_pending", TIDINGS_LEAST_PENDING, 1},
    {"key", TIDINGS_BY_KEY, 1},
};

static void add_group(tidings_bus *bus, const struct kept *k,
                      enum tidings_group_policy policy)
{
    const struct tidings_group_options options = {.stream = k->stream,
                                                  .group = GROUP,
                                                  .policy = policy,
                                                  .backoff_ms = 1,
                                                  .backoff_max_ms = 1};

    assert_ok(tidings_group_add(bus, &options, CONF_MS));
}

static void publish_keys(const struct kept *k, tidings_bus *bus, uint64_t first,
                         uint64_t count)
{
    for (uint64_t n = first; n < first + count; n++) {
        char key[8];

        snprintf(key, sizeof(key), "k%u", (unsigned)(n % 16));
        kept_publish_key(k, bus, key, n);
    }
    assert_ok(tidings_flush(bus, CONF_MS));
}

static tidings_sub *join(struct hand *h, tidings_bus *bus, const struct kept *k,
                         enum tidings_group_policy policy)
{
    const struct tidings_sub_options options = {
        .group_policy = policy,
        .window_events = EVENTS, /* the policy decides, and not who is quick */
    };

    return hand_join(h, bus, k, GROUP, &options);
}

/* ---- shares ---- */

static void test_policies_share_the_events(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    tidings_bus *member[MEMBERS] = {conf_open(c, NULL), conf_open(c, NULL)};

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct hand *h[MEMBERS] = {hand_new(c), hand_new(c)};
        uint8_t times[EVENTS + 1] = {0};
        tidings_sub *sub[MEMBERS];
        struct kept k;

        kept_add(&k, bus);
        add_group(bus, &k, rows[i].policy);
        for (int m = 0; m < MEMBERS; m++)
            sub[m] = join(h[m], member[m], &k, rows[i].policy);
        publish_keys(&k, bus, 1, EVENTS);
        assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
        for (int m = 0; m < MEMBERS; m++) {
            assert_ok(tidings_unsubscribe(sub[m], CONF_MS));
            assert_row(rows[i].name, hand_count(h[m]) >= rows[i].least);
            for (uint64_t n = 0; n < hand_count(h[m]); n++)
                times[hand_call(h[m], n).n]++;
        }
        for (unsigned n = 1; n <= EVENTS; n++)
            assert_row(rows[i].name, times[n] == 1);
        hand_free(h[0]);
        hand_free(h[1]);
    }
}

/* ---- failures ---- */

static tidings_err fail_some(struct hand *h, const struct hand_call *call)
{
    (void)h;
    return call->n % 7 == 0 && call->deliveries == 1 ? TIDINGS_EIO : TIDINGS_OK;
}

/* Some fail once, and one member leaves half-way: each event is acked once. */
static void test_policies_lose_nothing_when_members_fail_and_leave(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    tidings_bus *other = conf_open(c, NULL);

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct hand *h[MEMBERS] = {hand_new(c), hand_new(c)};
        uint8_t acks[EVENTS + 1] = {0};
        tidings_sub *leaving;
        struct kept k;

        kept_add(&k, bus);
        add_group(bus, &k, rows[i].policy);
        for (int m = 0; m < MEMBERS; m++)
            h[m]->answer = fail_some;
        join(h[0], bus, &k, rows[i].policy);
        leaving = join(h[1], other, &k, rows[i].policy);
        publish_keys(&k, bus, 1, EVENTS / 2);
        assert_true(hand_wait(h[1], 1, CONF_MS));
        assert_ok(tidings_unsubscribe(leaving, CONF_MS));
        publish_keys(&k, bus, EVENTS / 2 + 1, EVENTS / 2);
        assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
        for (int m = 0; m < MEMBERS; m++) {
            for (uint64_t n = 0; n < hand_count(h[m]); n++) {
                struct hand_call call = hand_call(h[m], n);

                if (fail_some(h[m], &call) == TIDINGS_OK)
                    acks[call.n]++;
            }
        }
        for (unsigned n = 1; n <= EVENTS; n++)
            assert_row(rows[i].name, acks[n] == 1);
        assert_int_equal(operate_group_figure(bus, k.stream, GROUP, "naked"),
                         EVENTS / 7);
        assert_int_equal(operate_group_figure(bus, k.stream, GROUP, "acked"),
                         EVENTS);
        assert_ok(operate_group(bus, "group.delete", k.stream, GROUP, NULL, 0));
        hand_free(h[1]);
    }
}

/* ---- one that is stuck ---- */

/* Who has one at hand gets no other while somebody has none. */
static void test_least_pending_spares_who_is_stuck(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    tidings_bus *other = conf_open(c, NULL);
    struct hand *stuck = hand_new(c);
    struct hand *quick = hand_new(c);
    struct kept k;

    kept_add(&k, bus);
    add_group(bus, &k, TIDINGS_LEAST_PENDING);
    stuck->closed = true;
    join(stuck, other, &k, TIDINGS_LEAST_PENDING);
    kept_publish(&k, bus, 1, 1);
    assert_true(hand_wait(stuck, 1, CONF_MS)); /* it is alone */
    join(quick, bus, &k, TIDINGS_LEAST_PENDING);
    for (uint64_t n = 2; n <= ONES; n++) {
        kept_publish(&k, bus, n, 1);
        assert_true(
            operate_group_until(bus, k.stream, GROUP, "acked", n - 1, CONF_MS));
    }
    hand_open(stuck, true);
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    assert_int_equal(hand_count(stuck), 1);
    assert_true(hand_saw_just(quick, 2, ONES - 1));
}

/* ---- terms ---- */

static void test_groups_have_one_policy(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct hand *h = hand_new(c);

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct tidings_sub_options options = {.group = GROUP};
        struct tidings_group_options group = {.group = GROUP,
                                              .policy = rows[i].policy};
        struct kept k;

        kept_add(&k, bus);
        group.stream = options.stream = k.stream;
        assert_ok(tidings_group_add(bus, &group, CONF_MS));
        assert_ok(tidings_group_add(bus, &group, CONF_MS));
        for (size_t j = 1; j < TD_ARRAY_LEN(rows); j++) {
            tidings_err err;

            options.group_policy = group.policy = rows[j].policy;
            err = tidings_subscribe(NULL, bus, ">", hand_take, h, &options);
            assert_row(rows[j].name,
                       err == (i == j ? TIDINGS_OK : TIDINGS_EINVAL));
            err = tidings_group_add(bus, &group, CONF_MS);
            assert_row(rows[j].name,
                       err == (i == j ? TIDINGS_OK : TIDINGS_EEXIST));
        }
        options.group_policy = 0; /* it need not say */
        assert_ok(tidings_subscribe(NULL, bus, ">", hand_take, h, &options));
    }
}

int conf_run_policies(void)
{
    const struct CMUnitTest tests[] = {
        KEPT_TEST(test_policies_share_the_events),
        KEPT_TEST(test_policies_lose_nothing_when_members_fail_and_leave),
        KEPT_TEST(test_least_pending_spares_who_is_stuck),
        KEPT_TEST(test_groups_have_one_policy),
    };

    return cmocka_run_group_tests_name("policies", tests, NULL, NULL);
}
