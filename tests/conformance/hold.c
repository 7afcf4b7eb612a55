/* What a member has and has not begun with: it is not late, however long its
 * handlers take for what comes before; and it is not kept for one that does not
 * return. */
#include "tests/conformance/kept.h"

#include <poll.h>

#define GROUP "g"
/* A member speaks three times in it, whatever else the machine has to do. */
#define WAIT_MS (CONF_SLOW > 1 ? 2400 : 600)
#define EVENTS  15u
#define BACKLOG 160u
/* A machine that stands still for as long as ack_wait makes anybody late. */
#define TRIES 3

static void add_group(tidings_bus *bus, const struct kept *k)
{
    const struct tidings_group_options options = {.stream = k->stream,
                                                  .group = GROUP,
                                                  .start = {TIDINGS_START_ALL},
                                                  .ack_wait_ms = WAIT_MS,
                                                  .max_deliver = 2,
                                                  .backoff_ms = 1,
                                                  .backoff_max_ms = 1};

    assert_ok(tidings_group_add(bus, &options, CONF_MS));
}

static uint64_t figure(tidings_bus *bus, const struct kept *k, const char *key)
{
    return operate_group_figure(bus, k->stream, GROUP, key);
}

/* Well within ack_wait; all of them together take several times that. */
static tidings_err work(struct hand *h, const struct hand_call *call)
{
    (void)h;
    (void)call;
    poll(NULL, 0, WAIT_MS / 6);
    return TIDINGS_OK;
}

/* Each try has streams and members of its own. */
static void check_once(struct conf *c, bool (*goes_well)(struct conf *c))
{
    for (int i = 0; i < TRIES; i++) {
        if (goes_well(c))
            return;
    }
    fail_msg("not once in %d tries", TRIES);
}

/* All were acked; false: somebody was late. */
static bool all_went_well(tidings_bus *bus, const struct kept *k,
                          uint64_t events)
{
    assert_true(operate_until_settled(bus, k->stream, GROUP, CONF_MS));
    if (figure(bus, k, "timed_out") > 0)
        return false;
    assert_int_equal(figure(bus, k, "acked"), events);
    assert_int_equal(figure(bus, k, "redelivered"), 0);
    assert_int_equal(figure(bus, k, "stale"), 0);
    assert_int_equal(figure(bus, k, "dead"), 0);
    return true;
}

/* On the bus's thread, and on threads of its own: at the same time, each in a
 * group of its own. */
static bool what_waits_is_not_late(struct conf *c)
{
    tidings_bus *bus = kept_open(c);
    const struct tidings_sub_options workers = {.workers = 2};
    struct hand *alone = hand_new(c);
    struct hand *pool = hand_new(c);
    struct kept one;
    struct kept two;
    bool well;

    kept_add(&one, bus);
    kept_add(&two, bus);
    add_group(bus, &one);
    add_group(bus, &two);
    alone->answer = pool->answer = work;
    kept_publish(&one, bus, 1, EVENTS);
    kept_publish(&two, bus, 1, 2 * EVENTS);
    hand_join(alone, bus, &one, GROUP, NULL);
    hand_join(pool, conf_open(c, NULL), &two, GROUP, &workers);
    well = all_went_well(bus, &one, EVENTS);
    well = all_went_well(bus, &two, 2 * EVENTS) && well;
    if (!well)
        return false;
    assert_true(hand_saw_just(alone, 1, EVENTS));
    assert_int_equal(hand_count(pool), 2 * EVENTS);
    return true;
}

static void test_what_waits_is_not_late(void **state)
{
    check_once(*state, what_waits_is_not_late);
}

/* The others have what waits behind it, as if it had not been delivered; and it
 * does not begin with that when it is free. */
static bool what_waits_goes_to_others(struct conf *c)
{
    struct tally *s = conf_tally(c);
    tidings_bus *bus = kept_open(c);
    tidings_bus *slow =
        conf_open(c, &(struct tidings_options){.on_status = tally_status,
                                               .on_status_arg = s});
    struct hand *stuck = hand_new(c);
    struct hand *other = hand_new(c);
    struct kept k;

    kept_add(&k, bus);
    add_group(bus, &k);
    stuck->closed = true;
    hand_join(stuck, slow, &k, GROUP, NULL);
    kept_publish(&k, bus, 1, EVENTS);
    assert_true(hand_wait(stuck, 1, CONF_MS));
    assert_true(operate_group_until(bus, k.stream, GROUP, "delivered", EVENTS,
                                    CONF_MS));
    hand_join(other, bus, &k, GROUP, NULL);
    assert_true(hand_wait(other, EVENTS, CONF_MS)); /* and that one */
    hand_open(stuck, true);
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    if (figure(bus, &k, "timed_out") > 1)
        return false;
    for (unsigned i = 0; i < EVENTS; i++) {
        struct hand_call call = hand_call(other, i);

        assert_int_equal(call.deliveries, call.n == 1 ? 2 : 1);
    }
    assert_true(tally_wait_status(s, TIDINGS_STALE, 1, CONF_MS));
    assert_int_equal(hand_count(stuck), 1);
    assert_int_equal(hand_count(other), EVENTS);
    assert_int_equal(figure(bus, &k, "timed_out"), 1);
    assert_true(figure(bus, &k, "released") >= EVENTS - 1);
    return true;
}

static void test_what_waits_for_a_stuck_handler_goes_to_others(void **state)
{
    check_once(*state, what_waits_goes_to_others);
}

static tidings_err work_a_little(struct hand *h, const struct hand_call *call)
{
    (void)h;
    (void)call;
    poll(NULL, 0, 5);
    return TIDINGS_OK;
}

/* One that joins a backlog has its share of it. */
static bool second_member_helps(struct conf *c)
{
    tidings_bus *bus = kept_open(c);
    struct hand *h[2] = {hand_new(c), hand_new(c)};
    struct kept k;

    kept_add(&k, bus);
    add_group(bus, &k);
    kept_publish(&k, bus, 1, BACKLOG);
    h[0]->answer = h[1]->answer = work_a_little;
    hand_join(h[0], bus, &k, GROUP, NULL);
    assert_true(hand_wait(h[0], 20, CONF_MS)); /* it is well under way */
    hand_join(h[1], conf_open(c, NULL), &k, GROUP, NULL);
    if (!all_went_well(bus, &k, BACKLOG))
        return false;
    assert_int_equal(hand_count(h[0]) + hand_count(h[1]), BACKLOG);
    return hand_count(h[1]) >= BACKLOG / 4;
}

static void test_a_second_member_helps_with_a_backlog(void **state)
{
    check_once(*state, second_member_helps);
}

int conf_run_hold(void)
{
    static const struct CMUnitTest tests[] = {
        KEPT_TEST(test_what_waits_is_not_late),
        KEPT_TEST(test_what_waits_for_a_stuck_handler_goes_to_others),
        KEPT_TEST(test_a_second_member_helps_with_a_backlog),
    };

    return cmocka_run_group_tests_name("hold", tests, NULL, NULL);
}
