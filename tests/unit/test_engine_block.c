/* The engine: policy block. */
#include "tests/unit/engine_harness.h"

#define TINY "{\"events\" 1 \"bytes\" 2000000 \"queue_events\" 10}"

static void test_engine_withholds_credit_while_a_queue_is_full(void **state)
{
    struct fixture *f = *state;
    const struct piece more = {"a", 1, 0, 13, NULL};

    begin(f, "a", TINY);
    publish_one(f, "pub", "a", 12, 0, 1);
    publish(f, "pub", TD_PUBLISH_ASK, &more, 1);
    flush(f);
    assert_int_equal(frame(f, "pub", TD_TAKEN, 0)->u.taken.taken, 13);
    assert_int_equal(frame(f, "pub", TD_TAKEN, 0)->u.taken.events_limit,
                     TD_PUBLISH_EVENTS);
    give(f, "sub", "[9 1 [[1 1 7 2000000]]]"); /* 6 wait: more than half */
    flush(f);
    assert_null(find(f, "pub", TD_TAKEN, 1));
    give(f, "sub", "[9 2 [[1 7 8 2000000]]]"); /* half empty */
    flush(f);
    assert_int_equal(frame(f, "pub", TD_TAKEN, 1)->u.taken.events_limit,
                     13 + TD_PUBLISH_EVENTS);
    assert_null(f->engine->holds);
    assert_null(f->engine->held);
}

static void test_engine_holds_back_only_who_fills_the_queue(void **state)
{
    struct fixture *f = *state;
    const struct piece other = {"b", 1, 0, 1, NULL};

    begin(f, "a", TINY);
    hello(f, "pub2");
    forget(f);
    publish_one(f, "pub", "a", 12, 0, 1);
    publish(f, "pub2", TD_PUBLISH_ASK, &other, 1);
    flush(f);
    assert_int_equal(frame(f, "pub2", TD_TAKEN, 0)->u.taken.events_limit,
                     1 + TD_PUBLISH_EVENTS);
    assert_int_equal(f->engine->held->number, 1);
    assert_null(f->engine->held->held_next);
}

static void test_engine_drops_when_the_budget_is_spent(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", TINY);
    publish_one(f, "pub", "a", 12, 0, 1); /* one is sent, 11 wait */
    flush(f);
    assert_int_equal(f->next, f->now + TD_LAZY_MS);
    f->now += TD_LAZY_MS;
    flush(f);
    pass(f, TD_BLOCK_MS - TD_LAZY_MS - 1);
    assert_int_equal(f->next, f->now + 1);
    assert_null(find(f, "sub", TD_GAP, 0));
    forget(f);
    f->now++;
    flush(f);
    assert_null(f->engine->holds);
    assert_int_equal(frame(f, "pub", TD_TAKEN, 0)->u.taken.events_limit,
                     12 + TD_PUBLISH_EVENTS);
    give(f, "sub", "[9 1 [[1 1 100 2000000]]]");
    flush(f);
    assert_int_equal(frame(f, "sub", TD_GAP, 0)->u.gap.events, 6);
    assert_memory_equal(frame(f, "sub", TD_GAP, 0)->u.gap.reason.data, "slow",
                        4);
    assert_int_equal(delivered(f, "sub", 0)->runs[0].first, 8);
    assert_true(find(f, "sub", TD_GAP, 0) < find(f, "sub", TD_DELIVER, 0));
}

/* R10: a broker that was stopped itself did not hold anybody back. */
static void test_engine_does_not_charge_holds_for_its_own_pause(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", TINY);
    publish_one(f, "pub", "a", 12, 0, 1);
    flush(f);
    assert_non_null(f->engine->holds);
    f->now += 10 * TD_BLOCK_MS;
    give(f, "sub", "[9 1 [[1 1 100 2000000]]]");
    flush(f);
    assert_null(find(f, "sub", TD_GAP, 0));
    assert_null(f->engine->holds); /* eased by credit, nothing was dropped */
}

static void test_engine_drops_at_once_without_a_budget(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", TINY);
    publish_one(f, "pub", "a", 12, 0, 1);
    flush(f);
    pass(f, TD_BLOCK_MS);
    publish_one(f, "pub", "a", 10, 0, 13);
    assert_null(f->engine->holds);
    flush(f);
    f->now += TD_BLOCK_WINDOW_MS + 1000;
    publish_one(f, "pub", "a", 10, 0, 23);
    assert_non_null(f->engine->holds); /* it has its budget again */
}

static void test_engine_lets_go_when_the_slow_one_ends(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", TINY);
    publish_one(f, "pub", "a", 12, 0, 1);
    flush(f);
    assert_non_null(f->engine->held);
    gone(f, "sub");
    flush(f);
    assert_null(f->engine->held);
    assert_int_equal(frame(f, "pub", TD_TAKEN, 0)->u.taken.events_limit,
                     12 + TD_PUBLISH_EVENTS);
    assert_int_equal(f->engine->counters.gone.dropped[TD_DROP_SESSION_LOST],
                     12);
}

/* Two subscriptions of "sub", on a and on b. */
static void begin_two(struct fixture *f)
{
    begin(f, "a", TINY);
    give(f, "sub", "[5 2 2 \"b\" " TINY "]");
    flush(f);
    forget(f);
}

/* The queues of one session share one budget. */
static void test_engine_counts_all_queues_of_a_session_together(void **state)
{
    struct fixture *f = *state;

    begin_two(f);
    publish_one(f, "pub", "a", 12, 0, 1);
    flush(f);
    pass(f, TD_BLOCK_MS - 500);
    assert_non_null(f->engine->held);
    give(f, "sub", "[9 1 [[1 1 100 2000000]]]");
    flush(f);
    assert_null(f->engine->held);
    publish_one(f, "pub", "b", 12, 0, 13);
    flush(f);
    assert_non_null(f->engine->held);
    pass(f, 499);
    assert_non_null(f->engine->held);
    pass(f, 1);
    assert_null(f->engine->held); /* though this queue has its own left */
    assert_int_equal(f->engine->counters.all.dropped[TD_DROP_SLOW], 6);
    publish_one(f, "pub", "a", 30, 0, 25);
    assert_null(f->engine->holds);
}

/* Two that block at the same time spend that time once. */
static void test_engine_counts_the_same_time_once(void **state)
{
    struct fixture *f = *state;

    begin_two(f);
    publish_one(f, "pub", "a", 12, 0, 1);
    publish_one(f, "pub", "b", 12, 0, 13);
    flush(f);
    pass(f, TD_BLOCK_MS - 1);
    assert_int_equal(HASH_COUNT(f->engine->holds), 2);
    pass(f, 1);
    assert_null(f->engine->holds);
}

#define STEP_MS 100
#define STEPS   400

/* However many queues a session has, and however it spreads its slowness. */
static void test_engine_is_held_back_by_a_session_within_its_budget(
    void **state)
{
    struct fixture *f = *state;
    uint64_t first = 1;
    int held[STEPS];
    char type[8];

    hello(f, "pub");
    hello(f, "sub");
    for (unsigned i = 0; i < 5; i++)
        givef(f, "sub", "[5 1 %u \"a.%u\" " TINY "]", i + 1, i);
    for (int step = 0; step < STEPS; step++) {
        int sum = 0;

        snprintf(type, sizeof(type), "a.%d", step / 7 % 5);
        publish_one(f, "pub", type, 12, 0, first);
        first += 12;
        pass(f, STEP_MS);
        forget(f);
        give(f, "pub", "[12 1]");
        give(f, "sub", "[12 1]");
        held[step] = f->engine->held != NULL;
        for (int i = step; i >= 0 && i > step - TD_BLOCK_WINDOW_MS / STEP_MS;
             i--)
            sum += held[i];
        assert_true(sum <= TD_BLOCK_MS / STEP_MS);
    }
}

/* A reader that stands still must not be buried under bad news, and what it
 * said before it was told them does not show that it reads. */
static void test_engine_tells_few_gaps_that_are_not_read(void **state)
{
    struct fixture *f = *state;
    uint32_t gaps = 0;
    uint64_t told = 0;
    uint64_t token;

    begin(f, "a",
          "{\"events\" 1 \"bytes\" 2000000 \"queue_events\" 1 "
          "\"queue_bytes\" 1}");
    publish_one(f, "pub", "a", 1, 0, 1);
    flush(f);
    for (uint32_t i = 0; i < 1000; i++) {
        publish_one(f, "pub", "a", 1, 0, 2 + i);
        give(f, "sub", "[11 1]");
        f->now += 10;
        flush(f);
    }
    while (find(f, "sub", TD_GAP, gaps))
        told += frame(f, "sub", TD_GAP, gaps++)->u.gap.events;
    assert_true(gaps > 0 && gaps < 100);
    token = frame(f, "sub", TD_PING, 0)->u.ping.token;
    assert_null(find(f, "sub", TD_PING, 1));
    give(f, "sub", "[12 32]"); /* as many as it was told of: a guess */
    flush(f);
    assert_null(find(f, "sub", TD_GAP, gaps));
    givef(f, "sub", "[12 %llu]", (unsigned long long)token + 1);
    flush(f);
    assert_null(find(f, "sub", TD_GAP, gaps));
    givef(f, "sub", "[12 %llu]", (unsigned long long)token);
    /* It reads: the rest in one. */
    flush(f);
    told += frame(f, "sub", TD_GAP, gaps)->u.gap.events;
    assert_null(find(f, "sub", TD_GAP, gaps + 1));
    assert_int_equal(told, 1000);
}

/* ---- holds whose members change ---- */

/* Nobody waits for who is away, and the queue is not left over its bound. */
static void test_engine_drops_when_the_slow_one_is_away(void **state)
{
    struct fixture *f = *state;
    const struct td_group *g;

    begin(f, "a", TINY);
    publish_one(f, "pub", "a", 21, 0, 1);
    flush(f);
    g = sub_of(f, "sub", 1)->group;
    assert_int_equal(td_group_waiting(g), 20);
    gone(f, "sub");
    flush(f);
    assert_int_equal(f->engine->away_len, 1);
    assert_null(f->engine->holds);
    assert_int_equal(td_group_waiting(g), 5);
    assert_int_equal(g->ledger.dropped[TD_DROP_SLOW], 15);
}

#define SHARED                                                                 \
    "{\"events\" 1 \"bytes\" 2000000 \"queue_events\" 10 \"group\" \"g\"}"

/* Whose budget is charged leaves: another member's is, and nothing is lost. */
static void test_engine_charges_another_member_for_its_hold(void **state)
{
    struct fixture *f = *state;
    const struct td_group *g;

    hello(f, "pub");
    subscriber(f, "m0", "a", SHARED);
    subscriber(f, "m1", "a", SHARED);
    publish_one(f, "pub", "a", 22, 0, 1);
    flush(f);
    g = sub_of(f, "m1", 1)->group;
    assert_true(g->trouble->charged == session_of(f, "m0"));
    pass(f, TD_BLOCK_MS / 2);
    give(f, "m0", "[14 0 \"\"]");
    flush(f);
    assert_true(td_group_is_holding(g));
    assert_true(g->trouble->charged == session_of(f, "m1"));
    assert_non_null(f->engine->held);
    assert_int_equal(g->ledger.dropped[TD_DROP_SLOW], 0);
    pass(f, TD_BLOCK_MS / 2); /* its own budget goes on */
    assert_false(td_group_is_holding(g));
    assert_int_equal(td_group_waiting(g), 5);
    assert_null(f->engine->held);
    give(f, "m1", "[14 0 \"\"]");
    flush(f);
    assert_null(f->engine->groups);
}

/* The member that is left has no budget to be charged. */
static void test_engine_drops_when_no_budget_is_left_to_charge(void **state)
{
    struct fixture *f = *state;
    const struct td_group *g;

    hello(f, "pub");
    subscriber(f, "m0", "a", SHARED);
    subscriber(f, "m1", "a", SHARED);
    give(f, "m1",
         "[5 1 2 \"b\" {\"events\" 1 \"bytes\" 2000000 "
         "\"queue_events\" 10}]");
    publish_one(f, "pub", "b", 20, 0, 1);
    flush(f);
    pass(f, TD_BLOCK_MS);
    publish_one(f, "pub", "a", 22, 0, 21);
    flush(f);
    g = sub_of(f, "m1", 1)->group;
    assert_true(g->trouble->charged == session_of(f, "m0"));
    give(f, "m0", "[14 0 \"\"]");
    flush(f);
    assert_false(td_group_is_holding(g));
    assert_int_equal(td_group_waiting(g), 5);
    assert_null(f->engine->held);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_engine_withholds_credit_while_a_queue_is_full),
        TEST(test_engine_holds_back_only_who_fills_the_queue),
        TEST(test_engine_drops_when_the_budget_is_spent),
        TEST(test_engine_does_not_charge_holds_for_its_own_pause),
        TEST(test_engine_drops_at_once_without_a_budget),
        TEST(test_engine_lets_go_when_the_slow_one_ends),
        TEST(test_engine_counts_all_queues_of_a_session_together),
        TEST(test_engine_counts_the_same_time_once),
        TEST(test_engine_is_held_back_by_a_session_within_its_budget),
        TEST(test_engine_tells_few_gaps_that_are_not_read),
        TEST_RESUMABLE(test_engine_drops_when_the_slow_one_is_away),
        TEST(test_engine_charges_another_member_for_its_hold),
        TEST(test_engine_drops_when_no_budget_is_left_to_charge),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
