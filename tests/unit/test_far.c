/* The engine with sequences as they are after centuries: around the widths of
 * narrower integers, and up to the last that may be published. */
#include "tests/support/td_test.h"

#include "tests/unit/oom_peers.h"

#define WIDE "{\"events\" 1000 \"bytes\" 4194304}"

static const uint64_t before[] = {
    INT32_MAX - 5, UINT32_MAX - 5, ((uint64_t)1 << 53) - 5,
    INT64_MAX - 16, /* the last of 15 events is the last there is */
};

static void publish_all(struct oom_broker *b)
{
    oom_publish(b, 0, "a.b 4 10, a.c 3 10", 0);
    oom_publish(b, 0, "a.b 2 10, a.c 3 10", 0);
    oom_publish(b, 0, "a.b 4 10, a.c 2 10", 3); /* three of them again */
}

static void test_engine_takes_and_skips_near_the_last_sequence(void **state)
{
    static struct oom_broker b;
    (void)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(before); i++) {
        oom_start(&b, 0);
        oom_hello(&b, 0);
        oom_hello(&b, 1);
        oom_subscribe(&b, 1, 1, "a.*", WIDE);
        b.peers[0].sequence = before[i]; /* a gap: those were for others */
        publish_all(&b);
        assert_row_at("published", i, b.peers[0].sequence == before[i] + 15);
        assert_row_at("received", i, b.peers[1].subs[1].received == 15);
        assert_row_at("again", i, oom_count(&b, "duplicates") == 3);

        oom_gone(&b, 0); /* and remembered, in all its digits */
        oom_hello(&b, 0);
        assert_row_at("taken", i, b.peers[0].sequence == before[i] + 15);
        oom_come_to_rest(&b);
        oom_finish(&b);
    }
}

static void test_engine_refuses_what_is_beyond_the_last_sequence(void **state)
{
    static struct oom_broker b;
    (void)state;

    oom_start(&b, 0);
    oom_hello(&b, 0);
    b.peers[0].sequence = INT64_MAX - 3;
    oom_publish(&b, 0, "a.b 2 10", 0);
    assert_true(b.peers[0].up);
    oom_publish(&b, 0, "a.b 1 10", 0);
    assert_false(b.peers[0].up);
    assert_int_equal(oom_count(&b, "bad_frames"), 1);
    oom_hello(&b, 0);
    assert_int_equal(b.peers[0].sequence, INT64_MAX - 1);
    oom_finish(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_engine_takes_and_skips_near_the_last_sequence),
        cmocka_unit_test(test_engine_refuses_what_is_beyond_the_last_sequence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
