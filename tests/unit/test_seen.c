/* What a subscription remembers of the events it has seen. */
#include "tests/support/td_test.h"

#include "client/seen.h"
#include "tests/support/alloc.h"

/* The n-th of many producers. */
static const uint8_t *producer(uint32_t n)
{
    static uint8_t id[TD_PRODUCER_BYTES];

    memset(id, 7, sizeof(id));
    memcpy(id + 5, &n, sizeof(n));
    return id;
}

static void test_seen_tells_how_many_of_a_run_came_before(void **state)
{
    static const struct {
        uint64_t first;
        uint64_t count;
        uint64_t before;
    } rows[] = {
        {1, 10, 0},   {1, 10, 10}, {11, 1, 0},        {5, 3, 3},
        {10, 4, 2},   {13, 1, 1},  {20, 5, 0},        {15, 5, 5}, /* a hole */
        {1, 100, 24}, {101, 1, 0}, {INT64_MAX, 1, 0}, {INT64_MAX, 1, 1},
    };
    struct td_seen s = {0};

    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++)
        assert_row_at("row", i,
                      td_seen_before(&s, producer(0), rows[i].first,
                                     rows[i].count) == rows[i].before);
    td_seen_fini(&s);
}

static void test_seen_keeps_producers_apart(void **state)
{
    struct td_seen s = {0};

    (void)state;
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < 1000; i++)
            assert_row_at("producer", i,
                          td_seen_before(&s, producer(i), 10 * round + i, 15) ==
                              (round ? 5 : 0));
    }
    assert_int_equal(s.len, 1000);
    td_seen_fini(&s);
    assert_int_equal(td_seen_before(&s, producer(1), 1, 1), 0);
    td_seen_fini(&s);
}

/* The one heard longest ago makes room, and not one that was heard again. */
static void test_seen_forgets_whom_it_has_not_heard_for_longest(void **state)
{
    struct td_seen s = {0};

    (void)state;
    for (uint32_t i = 0; i < TD_SEEN_MAX; i++)
        td_seen_before(&s, producer(i), 1, 1);
    assert_int_equal(td_seen_before(&s, producer(0), 1, 1), 1);
    td_seen_before(&s, producer(TD_SEEN_MAX), 1, 1);
    td_seen_before(&s, producer(TD_SEEN_MAX + 1), 1, 1);
    assert_int_equal(s.len, TD_SEEN_MAX);
    assert_int_equal(td_seen_before(&s, producer(0), 1, 1), 1);
    assert_int_equal(td_seen_before(&s, producer(3), 1, 1), 1);
    assert_int_equal(td_seen_before(&s, producer(1), 1, 1), 0);
    assert_int_equal(td_seen_before(&s, producer(2), 1, 1), 0);
    assert_int_equal(s.len, TD_SEEN_MAX);
    td_seen_fini(&s);
}

/* Against a table that forgets nobody: it never says of a new event that it
 * was seen, and knows every old one of those heard lately. */
static void test_seen_agrees_with_a_plain_table(void **state)
{
    uint64_t last[64] = {0};
    struct td_seen s = {0};
    uint64_t random = 88172645463325252u;

    (void)state;
    for (int i = 0; i < 20000; i++) {
        uint32_t who;
        uint64_t first;
        uint64_t count;
        uint64_t want;

        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        who = random % 64;
        first = 1 + last[who] + (random >> 8) % 9;
        first = first > 5 ? first - 5 : 1;
        count = 1 + (random >> 16) % 7;
        want = first > last[who] ? 0 : last[who] - first + 1;
        if (want > count)
            want = count;
        assert_row_at("step", i,
                      td_seen_before(&s, producer(who), first, count) == want);
        if (first + count - 1 > last[who])
            last[who] = first + count - 1;
    }
    td_seen_fini(&s);
}

/* Whichever allocation fails, only the producer it was for is not known. */
static void test_seen_goes_on_without_memory(void **state)
{
    (void)state;
    for (size_t n = 1;; n++) {
        struct td_seen s = {0};
        uint32_t unknown = 0;
        bool failed;

        td_alloc_fail(n);
        for (uint32_t i = 0; i < 100; i++)
            assert_int_equal(td_seen_before(&s, producer(i), 1, 5), 0);
        failed = td_alloc_failed();
        td_alloc_fail(0);
        for (uint32_t i = 0; i < 100; i++)
            unknown += td_seen_before(&s, producer(i), 1, 5) == 0;
        assert_row_at("allocation", n, unknown == failed);
        assert_int_equal(s.len, 100);
        td_seen_fini(&s);
        if (!failed)
            return;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seen_tells_how_many_of_a_run_came_before),
        cmocka_unit_test(test_seen_keeps_producers_apart),
        cmocka_unit_test(test_seen_forgets_whom_it_has_not_heard_for_longest),
        cmocka_unit_test(test_seen_agrees_with_a_plain_table),
        cmocka_unit_test(test_seen_goes_on_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
