/* The engine: policies drop_oldest and drop_newest, and gaps. */
#include "tests/unit/engine_harness.h"

#define WINDOW "\"events\" 1 \"bytes\" 2000000"
#define OLDEST "{" WINDOW " \"queue_events\" 10 \"policy\" \"drop_oldest\"}"
#define NEWEST "{" WINDOW " \"queue_events\" 10 \"policy\" \"drop_newest\"}"

/* All that is left goes out. */
static void drain(struct fixture *f, const char *peer)
{
    const struct td_sub *sub = sub_of(f, peer, 1);

    givef(f, peer, "[9 %u [[1 %u 100000 100000000]]]",
          (unsigned)sub->session->messages_out, (unsigned)sub->sent);
    flush(f);
}

/* What "sub" has got: from..to without a hole, after so many others. */
static void check_sequences(struct fixture *f, uint32_t from, uint32_t to,
                            uint32_t after)
{
    uint64_t seen[256];
    uint32_t n = sequences_to(f, "sub", seen, 256);

    assert_int_equal(n, after + to - from + 1);
    for (uint32_t i = after; i < n; i++)
        assert_int_equal(seen[i], from + i - after);
}

/* ---- drop_oldest ---- */

static void test_engine_drops_the_oldest_beyond_the_bound(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", OLDEST);
    for (uint32_t i = 0; i < 13; i++)
        publish_one(f, "pub", "a", 1, 0, 1 + i);
    assert_int_equal(sub_of(f, "sub", 1)->group->queue.events, 10);
    flush(f);
    assert_int_equal(missed_by(f, "sub", NULL), 0); /* not ahead of its time */
    drain(f, "sub");
    assert_int_equal(missed_by(f, "sub", "oldest"), 2);
    assert_true(find(f, "sub", TD_GAP, 0) < find(f, "sub", TD_DELIVER, 1));
    check_sequences(f, 4, 13, 1);
    assert_null(f->engine->held);
    assert_null(f->engine->holds);
}

static void test_engine_drops_the_oldest_of_one_batch(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", OLDEST);
    publish_one(f, "pub", "a", 50, 0, 1);
    assert_int_equal(sub_of(f, "sub", 1)->group->queue.events, 10);
    drain(f, "sub");
    assert_int_equal(missed_by(f, "sub", "oldest"), 39);
    check_sequences(f, 41, 50, 1);
}

/* ---- drop_newest ---- */

static void test_engine_drops_the_newest_beyond_the_bound(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", NEWEST);
    for (uint32_t i = 0; i < 13; i++)
        publish_one(f, "pub", "a", 1, 0, 1 + i);
    flush(f);
    drain(f, "sub");
    assert_int_equal(missed_by(f, "sub", "newest"), 2);
    check_sequences(f, 1, 11, 0);
    assert_null(f->engine->held);
}

/* Of a batch that does not fit, as much as does. */
static void test_engine_keeps_the_part_of_a_batch_that_fits(void **state)
{
    struct fixture *f = *state;
    const struct piece two[] = {{"a", 4, 0, 51, NULL}, {"b", 4, 0, 55, NULL}};

    begin(f, ">", NEWEST);
    publish_one(f, "pub", "a", 50, 0, 1);
    assert_int_equal(sub_of(f, "sub", 1)->group->queue.events, 10);
    flush(f); /* one is sent */
    publish(f, "pub", 0, two, 2);
    assert_int_equal(sub_of(f, "sub", 1)->group->queue.events, 10);
    givef(f, "sub", "[9 1 [[1 1 6 2000000]]]");
    flush(f);                     /* five more */
    publish(f, "pub", 0, two, 2); /* duplicates are not queued again */
    publish_one(f, "pub", "a", 7, 0, 59);
    drain(f, "sub");
    assert_int_equal(missed_by(f, "sub", "newest"), 40 + 7 + 2);
    assert_int_equal(events_to(f, "sub"), 10 + 1 + 5);
}

/* What its credit carries goes out in between: nothing is dropped for it. */
static void test_engine_drops_no_newest_that_there_is_credit_for(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", "{" ROOM " \"queue_events\" 10 \"policy\" \"drop_newest\"}");
    publish_one(f, "pub", "a", 55, 3, 1);
    flush(f);
    check_sequences(f, 1, 55, 0);
    assert_int_equal(f->engine->counters.all.dropped[TD_DROP_NEWEST], 0);
}

/* With credit for a part: that, what the queue holds, and no more. */
static void test_engine_drops_the_newest_behind_its_credit(void **state)
{
    struct fixture *f = *state;

    begin(f, "a",
          "{\"events\" 20 \"bytes\" 2000000 \"queue_events\" 10 "
          "\"policy\" \"drop_newest\"}");
    publish_one(f, "pub", "a", 55, 3, 1);
    assert_int_equal(sub_of(f, "sub", 1)->group->queue.events, 10);
    publish_one(f, "pub", "a", 5, 3, 56);
    flush(f);
    drain(f, "sub");
    check_sequences(f, 1, 30, 0);
    assert_int_equal(missed_by(f, "sub", "newest"), 30);
}

/* ---- bounds of bytes ---- */

/* What one event of so much data costs in a queue, alone in its batch. */
static uint64_t cost_of_one(uint32_t size)
{
    struct fixture *f;
    uint64_t cost;

    assert_int_equal(setup((void **)&f), 0);
    begin(f, "a", "{" WINDOW "}");
    publish_one(f, "pub", "a", 1, 0, 1);
    flush(f);
    publish_one(f, "pub", "a", 1, size, 2);
    cost = sub_of(f, "sub", 1)->group->queue.bytes;
    teardown((void **)&f);
    return cost;
}

static void test_engine_bounds_a_queue_in_bytes(void **state)
{
    static const struct {
        const char *policy;
        int more; /* bytes beyond room for exactly three */
        uint32_t waiting;
    } rows[] = {
        {"drop_oldest", 0, 3}, {"drop_oldest", -1, 2}, {"drop_oldest", 99, 3},
        {"drop_newest", 0, 3}, {"drop_newest", -1, 2}, {"drop_newest", 99, 3},
    };
    uint64_t one = cost_of_one(1000);

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct fixture *f;
        char options[200];

        assert_int_equal(setup((void **)&f), 0);
        snprintf(options, sizeof(options),
                 "{" WINDOW " \"queue_bytes\" %u \"policy\" \"%s\"}",
                 (unsigned)(3 * one) + (unsigned)rows[i].more, rows[i].policy);
        begin(f, "a", options);
        publish_one(f, "pub", "a", 1, 0, 1);
        flush(f);
        for (uint32_t k = 0; k < 6; k++)
            publish_one(f, "pub", "a", 1, 1000, 2 + k);
        assert_row_at(rows[i].policy, i,
                      sub_of(f, "sub", 1)->group->queue.events ==
                          rows[i].waiting);
        drain(f, "sub");
        assert_row_at(rows[i].policy, i,
                      missed_by(f, "sub", NULL) == 6 - rows[i].waiting);
        teardown((void **)&f);
    }
    (void)state;
}

/* One event that is larger than the queue is not queued at all. */
static void test_engine_drops_what_can_never_fit(void **state)
{
    static const char *const policies[] = {"drop_oldest", "drop_newest"};

    for (size_t i = 0; i < TD_ARRAY_LEN(policies); i++) {
        struct fixture *f;
        char options[200];

        assert_int_equal(setup((void **)&f), 0);
        snprintf(options, sizeof(options),
                 "{" WINDOW " \"queue_bytes\" 1 \"policy\" \"%s\"}",
                 policies[i]);
        begin(f, "a", options);
        publish_one(f, "pub", "a", 1, 0, 1);
        publish_one(f, "pub", "a", 1, 0, 2);
        publish_one(f, "pub", "a", 1, 0, 3);
        assert_int_equal(sub_of(f, "sub", 1)->group->queue.events, 0);
        flush(f);
        assert_true(missed_by(f, "sub", NULL) >= 2);
        teardown((void **)&f);
    }
    (void)state;
}

/* Whatever comes, the bounds hold after every message. */
static void test_engine_never_queues_beyond_the_bounds(void **state)
{
    static const char *const policies[] = {"drop_oldest", "drop_newest"};

    for (uint32_t round = 0; round < 20; round++) {
        struct fixture *f;
        uint32_t dice = 77 + round;
        uint64_t first = 1;
        char options[200];

        assert_int_equal(setup((void **)&f), 0);
        snprintf(options, sizeof(options),
                 "{\"events\" 3 \"bytes\" 2000000 \"queue_events\" %u "
                 "\"queue_bytes\" 6000 \"policy\" \"%s\"}",
                 5 + round, policies[round % 2]);
        begin(f, "a", options);
        for (uint32_t step = 0; step < 60; step++) {
            const struct td_queue *q = &sub_of(f, "sub", 1)->group->queue;
            uint32_t n = 1 + (dice = dice * 1103515245u + 12345u) % 13;

            publish_one(f, "pub", "a", n, dice % 700, first);
            first += n;
            assert_true(q->events <= 5 + round && q->bytes <= 6000);
            if (dice % 5 == 0)
                flush(f);
            if (dice % 11 == 0)
                givef(f, "sub", "[9 %u [[1 %u %u 2000000]]]",
                      (unsigned)session_of(f, "sub")->messages_out,
                      (unsigned)sub_of(f, "sub", 1)->sent,
                      (unsigned)sub_of(f, "sub", 1)->sent + 3);
        }
        teardown((void **)&f);
    }
    (void)state;
}

/* ---- gaps ---- */

/* Each event dropped is told once: what was got and what was told of is all
 * that was published. */
static void test_engine_tells_each_gap_once(void **state)
{
    struct fixture *f = *state;
    uint32_t messages = 0;

    begin(f, "a", OLDEST);
    for (uint32_t i = 0; i < 20; i++) {
        publish_one(f, "pub", "a", 7, 0, 1 + 7 * i);
        flush(f);
        messages = messages_to(f, "sub");
        givef(f, "sub", "[9 %u [[1 %u %u 2000000]]]", messages,
              (unsigned)sub_of(f, "sub", 1)->sent, 1 + 2 * i);
    }
    drain(f, "sub");
    assert_int_equal(events_to(f, "sub") + missed_by(f, "sub", "oldest"), 140);
    assert_int_equal(missed_by(f, "sub", NULL), missed_by(f, "sub", "oldest"));
    forget(f);
    pass(f, 3000);
    assert_int_equal(missed_by(f, "sub", NULL), 0);
}

/* What a group's queue drops is told to one member. */
static void test_engine_tells_a_groups_gap_to_one_member(void **state)
{
    struct fixture *f = *state;
    uint64_t all;

    hello(f, "pub");
    for (uint32_t i = 0; i < 3; i++) {
        char name[4] = {'m', (char)('0' + i), '\0'};

        subscriber(f, name, "a",
                   "{" WINDOW " \"queue_events\" 5 \"policy\" "
                   "\"drop_oldest\" \"group\" \"g\"}");
    }
    publish_one(f, "pub", "a", 100, 0, 1);
    flush(f);
    drain(f, "m1");
    drain(f, "m0");
    drain(f, "m2");
    all = missed_by(f, "m0", "oldest") + missed_by(f, "m1", "oldest") +
          missed_by(f, "m2", "oldest");
    assert_int_equal(all, 100 - 3 - 5);
    assert_true(missed_by(f, "m0", NULL) == all ||
                missed_by(f, "m1", NULL) == all ||
                missed_by(f, "m2", NULL) == all);
}

/* A gap of a queue in which nothing waits is told at once. */
static void test_engine_tells_a_gap_before_nothing_at_once(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", "{" WINDOW " \"queue_bytes\" 1 \"policy\" \"drop_newest\"}");
    publish_one(f, "pub", "a", 4, 0, 1);
    flush(f);
    assert_int_equal(missed_by(f, "sub", "newest"), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_engine_drops_the_oldest_beyond_the_bound),
        TEST(test_engine_drops_the_oldest_of_one_batch),
        TEST(test_engine_drops_the_newest_beyond_the_bound),
        TEST(test_engine_keeps_the_part_of_a_batch_that_fits),
        TEST(test_engine_drops_no_newest_that_there_is_credit_for),
        TEST(test_engine_drops_the_newest_behind_its_credit),
        TEST(test_engine_bounds_a_queue_in_bytes),
        TEST(test_engine_drops_what_can_never_fit),
        TEST(test_engine_never_queues_beyond_the_bounds),
        TEST(test_engine_tells_each_gap_once),
        TEST(test_engine_tells_a_groups_gap_to_one_member),
        TEST(test_engine_tells_a_gap_before_nothing_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
