/* Dealing: which member of a group an event goes to, by each policy. */
#include "tests/unit/engine_harness.h"

#define MEMBERS_MAX 8

static const char *const names[MEMBERS_MAX] = {"m0", "m1", "m2", "m3",
                                               "m4", "m5", "m6", "m7"};

/* So many members of group "g" on "a", and "pub". */
static void begin_group(struct fixture *f, uint32_t members,
                        const char *options)
{
    hello(f, "pub");
    for (uint32_t i = 0; i < members; i++)
        subscriber(f, names[i], "a", options);
    flush(f);
    forget(f);
}

static uint64_t sent_to(struct fixture *f, uint32_t member)
{
    return sub_of(f, names[member], 1)->sent;
}

static uint64_t smallest(const uint64_t *n, uint32_t len)
{
    uint64_t least = n[0];

    for (uint32_t i = 1; i < len; i++)
        least = n[i] < least ? n[i] : least;
    return least;
}

static uint64_t largest(const uint64_t *n, uint32_t len)
{
    uint64_t most = n[0];

    for (uint32_t i = 1; i < len; i++)
        most = n[i] > most ? n[i] : most;
    return most;
}

/* The test's own dice: xorshift, another from each seed. */
static uint32_t roll(uint32_t *dice, uint32_t sides)
{
    *dice ^= *dice << 13;
    *dice ^= *dice >> 17;
    *dice ^= *dice << 5;
    return *dice % sides;
}

/* Credit of a member: all that it was sent is taken, and so many more. */
static void credit(struct fixture *f, uint32_t member, uint64_t more)
{
    const struct td_sub *sub = sub_of(f, names[member], 1);

    givef(f, names[member], "[9 %u [[1 %u %u 100000000]]]",
          (unsigned)sub->session->messages_out, (unsigned)sub->sent,
          (unsigned)(sub->events_limit > sub->sent + more ? sub->events_limit
                                                          : sub->sent + more));
}

/* ---- round_robin ---- */

#define GROUP      "\"group\" \"g\""
#define ROUNDROBIN "{" ROOM " " GROUP "}"
#define TWO        "{\"events\" 2 \"bytes\" 100000000 \"queue_events\" 1000 " GROUP "}"

static void test_deal_splits_one_batch_in_equal_parts(void **state)
{
    struct fixture *f = *state;

    begin_group(f, 3, ROUNDROBIN);
    publish_one(f, "pub", "a", 12, 5, 1);
    flush(f);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(events_to(f, names[i]), 4);
        assert_int_equal(messages_to(f, names[i]), 1); /* contiguous */
        assert_int_equal(delivered(f, names[i], 0)->runs_len, 1);
    }
}

/* Whatever the sizes of batches, no two totals differ by more than one, and
 * every event goes to exactly one member. */
static void test_deal_keeps_totals_equal(void **state)
{
    struct fixture *f = *state;
    uint32_t dice = 7;
    uint64_t first = 1;

    begin_group(f, 5, ROUNDROBIN);
    for (uint32_t step = 0; step < 300; step++) {
        uint32_t n = 1 + roll(&dice, step % 3 ? 4 : 40);
        uint64_t totals[5];
        uint64_t sum = 0;

        publish_one(f, "pub", "a", n, 3, first);
        first += n;
        if (roll(&dice, 3) == 0)
            continue; /* several batches in one turn */
        flush(f);
        forget(f);
        for (uint32_t i = 0; i < 5; i++) {
            credit(f, i, 100000);
            totals[i] = sent_to(f, i);
            sum += totals[i];
        }
        assert_true(largest(totals, 5) - smallest(totals, 5) <= 1);
        assert_true(sum == first - 1);
    }
}

static void test_deal_gives_single_events_in_turn(void **state)
{
    struct fixture *f = *state;

    begin_group(f, 3, ROUNDROBIN);
    for (uint32_t i = 0; i < 9; i++) {
        publish_one(f, "pub", "a", 1, 0, 1 + i);
        flush(f);
        for (uint32_t m = 0; m < 3; m++)
            assert_int_equal(sent_to(f, m), i / 3 + (m <= i % 3));
    }
}

static void test_deal_passes_over_who_has_no_credit(void **state)
{
    struct fixture *f = *state;

    begin_group(f, 2, ROUNDROBIN);
    subscriber(f, "m2", "a", "{\"events\" 2 \"bytes\" 100000000 " GROUP "}");
    publish_one(f, "pub", "a", 12, 5, 1);
    flush(f);
    assert_int_equal(sent_to(f, 2), 2); /* all its credit */
    assert_int_equal(sent_to(f, 0) + sent_to(f, 1), 10);
    publish_one(f, "pub", "a", 10, 5, 13);
    flush(f);
    assert_int_equal(sent_to(f, 2), 2);
    assert_int_equal(sent_to(f, 0) + sent_to(f, 1), 20);
    assert_int_equal(sent_to(f, 0), sent_to(f, 1));
}

/* Credit for bytes is credit too: who cannot take the next event must not
 * keep it from those who can. */
static void test_deal_passes_over_who_has_no_credit_for_bytes(void **state)
{
    struct fixture *f = *state;

    hello(f, "pub");
    subscriber(f, "m0", "a", ROUNDROBIN);
    subscriber(f, "m1", "a", ROUNDROBIN);
    subscriber(f, "m2", "a", "{\"events\" 1000 \"bytes\" 1200000 " GROUP "}");
    publish_one(f, "pub", "a", 1, 600000, 1);
    publish_one(f, "pub", "a", 1, 600000, 2);
    publish_one(f, "pub", "a", 1, 1000000, 3); /* most of m2's bytes */
    flush(f);
    forget(f);
    for (uint32_t i = 0; i < 20; i++) {
        publish_one(f, "pub", "a", 1, 600000, 4 + i);
        flush(f);
        forget(f);
        assert_int_equal(sent_to(f, 0) + sent_to(f, 1) + sent_to(f, 2), 4 + i);
        for (uint32_t m = 0; m < 2; m++)
            credit(f, m, 100000);
        flush(f);
    }
    assert_int_equal(sent_to(f, 2), 1);
}

/* Nobody has credit: they wait in the group's queue, then go on in order. */
static void test_deal_waits_for_credit(void **state)
{
    struct fixture *f = *state;
    uint64_t seen[32];
    uint32_t n = 0;

    begin_group(f, 2, TWO);
    publish_one(f, "pub", "a", 20, 5, 1);
    flush(f);
    assert_int_equal(sub_of(f, "m0", 1)->group->queue.events, 16);
    for (uint32_t i = 0; i < 10 && n < 20; i++) {
        n = sequences_to(f, "m0", seen, 32);
        n += sequences_to(f, "m1", seen + n, 32 - n);
        credit(f, 0, 2);
        credit(f, 1, 2);
        flush(f);
    }
    assert_int_equal(n, 20);
    for (uint32_t i = 0; i < 20; i++) {
        uint32_t found = 0;

        for (uint32_t k = 0; k < 20; k++)
            found += seen[k] == i + 1;
        assert_int_equal(found, 1);
    }
    n = sequences_to(f, "m0", seen, 32);
    for (uint32_t i = 1; i < n; i++)
        assert_true(seen[i] > seen[i - 1]);
}

/* ---- random ---- */

#define RANDOM "{" ROOM " " GROUP " \"group_policy\" \"random\"}"

static void check_spread(struct fixture *f, uint32_t members, uint32_t events)
{
    for (uint32_t i = 0; i < members; i++) {
        uint64_t mean = events / members;

        assert_true(sent_to(f, i) > mean - mean / 4);
        assert_true(sent_to(f, i) < mean + mean / 4);
    }
}

/* 4,000 events to 4 members: 1,000 each, with a deviation of 27. */
static void test_deal_at_random_spreads_batches_evenly(void **state)
{
    struct fixture *f = *state;

    begin_group(f, 4, RANDOM);
    for (uint32_t i = 0; i < 4; i++) {
        publish_one(f, "pub", "a", 1000, 3, 1 + 1000 * i);
        flush(f);
    }
    check_spread(f, 4, 4000);
}

static void test_deal_at_random_spreads_single_events_evenly(void **state)
{
    struct fixture *f = *state;
    uint32_t repeated = 0;
    uint32_t last = MEMBERS_MAX;

    begin_group(f, 2, RANDOM);
    f->unjudged = true;
    for (uint32_t i = 0; i < 1000; i++) {
        uint64_t before = sent_to(f, 0);
        uint32_t to;

        publish_one(f, "pub", "a", 1, 3, 1 + i);
        flush(f);
        forget(f);
        to = sent_to(f, 0) > before ? 0 : 1;
        repeated += to == last;
        last = to;
        if (i % 100 == 99) {
            credit(f, 0, 100000);
            credit(f, 1, 100000);
        }
    }
    check_spread(f, 2, 1000);
    assert_true(repeated > 400 && repeated < 600); /* and not in turn */
}

static void test_deal_at_random_gives_all_to_who_has_credit(void **state)
{
    struct fixture *f = *state;

    hello(f, "pub");
    subscriber(f, "m0", "a",
               "{\"events\" 2 \"bytes\" 100000000 " GROUP
               " \"group_policy\" \"random\"}");
    subscriber(f, "m1", "a", RANDOM);
    publish_one(f, "pub", "a", 5000, 3, 1);
    flush(f);
    assert_int_equal(sent_to(f, 0), 2);
    assert_int_equal(sent_to(f, 1), 4998);
}

/* ---- least_pending ---- */

#define LEAST "{" ROOM " " GROUP " \"group_policy\" \"least_pending\"}"

/* The members are filled up to one level, the lowest first. */
static void test_deal_fills_up_the_least_pending(void **state)
{
    struct fixture *f = *state;
    static const struct {
        uint32_t events;
        uint64_t pending[3]; /* in order of size */
    } rows[] = {{2, {4, 4, 5}},     {1, {4, 5, 5}}, {1, {5, 5, 5}},
                {9, {8, 8, 8}},     {3, {9, 9, 9}}, {1, {9, 9, 10}},
                {100, {42, 43, 43}}};
    uint64_t first = 6;

    begin_group(f, 1, LEAST);
    publish_one(f, "pub", "a", 5, 3, 1);
    flush(f);
    subscriber(f, "m1", "a", LEAST);
    subscriber(f, "m2", "a", LEAST);
    publish_one(f, "pub", "a", 6, 3, first);
    flush(f);
    first += 6;
    assert_int_equal(sent_to(f, 0), 5);
    assert_int_equal(sent_to(f, 1), 3);
    assert_int_equal(sent_to(f, 2), 3);
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        uint64_t n[3];
        uint64_t sum;

        publish_one(f, "pub", "a", rows[i].events, 3, first);
        flush(f);
        first += rows[i].events;
        for (uint32_t m = 0; m < 3; m++)
            n[m] = sent_to(f, m);
        sum = n[0] + n[1] + n[2];
        assert_int_equal(sum, first - 1);
        assert_row_at("smallest", i, smallest(n, 3) == rows[i].pending[0]);
        assert_row_at("largest", i, largest(n, 3) == rows[i].pending[2]);
    }
}

/* Whoever takes what it was sent has least, and gets more. */
static void test_deal_gives_more_to_who_takes(void **state)
{
    struct fixture *f = *state;

    begin_group(f, 2, LEAST);
    for (uint32_t i = 0; i < 10; i++) {
        publish_one(f, "pub", "a", 10, 3, 1 + 10 * i);
        flush(f);
        credit(f, 0, 100000);
    }
    assert_int_equal(sent_to(f, 0) + sent_to(f, 1), 100);
    assert_true(sent_to(f, 1) <= 10);
}

static void test_deal_by_level_stops_at_credit(void **state)
{
    struct fixture *f = *state;

    hello(f, "pub");
    subscriber(f, "m0", "a",
               "{\"events\" 3 \"bytes\" 100000000 " GROUP
               " \"group_policy\" \"least_pending\"}");
    subscriber(f, "m1", "a", LEAST);
    publish_one(f, "pub", "a", 40, 3, 1);
    flush(f);
    assert_int_equal(sent_to(f, 0), 3);
    assert_int_equal(sent_to(f, 1), 37);
}

/* Any members, any credit, any batches: nothing waits while somebody has
 * credit, and no event is lost or doubled (which the judge sees). */
static void test_deal_leaves_nothing_behind_by_any_policy(void **state)
{
    static const char *const policies[] = {"round_robin", "random",
                                           "least_pending", "single"};

    for (uint32_t round = 0; round < 30; round++) {
        struct fixture *f;
        uint32_t dice = 1 + round;
        uint32_t members = 1 + roll(&dice, MEMBERS_MAX);
        uint64_t first = 1;

        assert_int_equal(setup((void **)&f), 0);
        hello(f, "pub");
        for (uint32_t i = 0; i < members; i++) {
            hello(f, names[i]);
            givef(f, names[i],
                  "[5 1 1 \"a\" {\"events\" %u \"bytes\" 100000000 " GROUP
                  " \"group_policy\" \"%s\"}]",
                  1 + roll(&dice, 9), policies[round % 3]);
        }
        for (uint32_t step = 0; step < 40; step++) {
            uint32_t n = 1 + roll(&dice, 12);
            uint64_t room = 0;

            publish_one(f, "pub", "a", n, roll(&dice, 50), first);
            first += n;
            credit(f, roll(&dice, members), roll(&dice, 20));
            flush(f);
            forget(f);
            for (uint32_t i = 0; i < members; i++)
                room += sub_of(f, names[i], 1)->events_limit - sent_to(f, i);
            assert_true(room == 0 ||
                        sub_of(f, "m0", 1)->group->queue.events == 0);
        }
        teardown((void **)&f);
    }
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_deal_splits_one_batch_in_equal_parts),
        TEST(test_deal_keeps_totals_equal),
        TEST(test_deal_gives_single_events_in_turn),
        TEST(test_deal_passes_over_who_has_no_credit),
        TEST(test_deal_passes_over_who_has_no_credit_for_bytes),
        TEST(test_deal_waits_for_credit),
        TEST(test_deal_at_random_spreads_batches_evenly),
        TEST(test_deal_at_random_spreads_single_events_evenly),
        TEST(test_deal_at_random_gives_all_to_who_has_credit),
        TEST(test_deal_fills_up_the_least_pending),
        TEST(test_deal_gives_more_to_who_takes),
        TEST(test_deal_by_level_stops_at_credit),
        TEST(test_deal_leaves_nothing_behind_by_any_policy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
