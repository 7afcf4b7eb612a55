/* The engine: what members of a group that are away leave to the others. */
#include "tests/unit/engine_harness.h"

#define G     "\"group\" \"g\""
#define KEY   G " \"group_policy\" \"key\""
#define ONE   "\"events\" 1 \"bytes\" 2000000 "
#define SMALL " \"queue_events\" 10 "

/* ---- publishing ---- */

/* One run with an event of each letter's key, '-' being none. */
static void publish_keys(struct fixture *f, uint64_t first, const char *letters)
{
    static char texts[128][2];
    const char *keys[64];
    struct piece piece = {"a", (uint32_t)strlen(letters), 3, first, keys};

    assert_true(piece.count <= TD_ARRAY_LEN(keys));
    for (uint32_t i = 0; i < piece.count; i++) {
        texts[(int)letters[i]][0] = letters[i];
        keys[i] = letters[i] == '-' ? NULL : texts[(int)letters[i]];
    }
    publish(f, "pub", 0, &piece, 1);
    flush(f);
}

/* "sub" is the second session, which come_back() resumes. */
static void begin_two(struct fixture *f, const char *sub, const char *other)
{
    hello(f, "pub");
    subscriber(f, "sub", "a", sub);
    flush(f);
    if (other)
        subscriber(f, "m", "a", other);
    flush(f);
    forget(f);
}

static void lose(struct fixture *f, const char *peer)
{
    gone(f, peer);
    flush(f);
}

/* The peer got these, in this order. */
static void assert_got(struct fixture *f, const char *peer,
                       const uint64_t *want, uint32_t n)
{
    uint64_t seen[64];

    assert_int_equal(sequences_to(f, peer, seen, 64), n);
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(seen[i], want[i]);
}

#define ASSERT_GOT(f, peer, ...)                                               \
    do {                                                                       \
        const uint64_t want[] = {__VA_ARGS__};                                 \
        assert_got(f, peer, want, TD_ARRAY_LEN(want));                         \
    } while (0)

static uint64_t dropped(struct fixture *f)
{
    uint64_t sum = 0;

    for (int i = 0; i < TD_DROPS; i++)
        sum += f->engine->counters.all.dropped[i];
    return sum;
}

/* ---- what was not sent ---- */

/* Dealt and not sent, it goes to the others at once, whatever the policy. */
static void test_engine_deals_again_what_waits_for_who_is_away(void **state)
{
    static const char *const shares[] = {"round_robin", "random",
                                         "least_pending", "key", "single"};

    for (size_t i = 0; i < TD_ARRAY_LEN(shares); i++) {
        struct fixture *f;
        char one[200];
        char wide[200];

        assert_int_equal(setup_resumable((void **)&f), 0);
        snprintf(one, sizeof(one), "{" ONE G " \"group_policy\" \"%s\"}",
                 shares[i]);
        snprintf(wide, sizeof(wide), "{" ROOM " " G " \"group_policy\" \"%s\"}",
                 shares[i]);
        begin_two(f, wide, NULL);
        /* So many messages are unanswered that it is sent nothing more. */
        session_of(f, "sub")->messages_out = TD_MESSAGES_OUT_MAX;
        publish_keys(f, 1, "abc-abc-ab");
        assert_row(shares[i], events_to(f, "sub") == 0);
        subscriber(f, "m", "a", wide);
        lose(f, "sub");
        assert_row(shares[i], events_to(f, "m") == 10);
        publish_keys(f, 11, "abcdefgh");
        assert_row(shares[i], events_to(f, "m") == 18);
        assert_row(shares[i], dropped(f) == 0);
        teardown((void **)&f);
    }
    (void)state;
}

/* ---- keys ---- */

/* A key that it was sent an event of waits for it; when it is over, no more. */
static void test_engine_keeps_a_key_for_who_is_away(void **state)
{
    struct fixture *f = *state;

    begin_two(f, "{" ONE KEY "}", NULL);
    publish_keys(f, 1, "aabb"); /* one a is sent */
    subscriber(f, "m", "a", "{" ROOM " " KEY "}");
    lose(f, "sub");
    ASSERT_GOT(f, "m", 3, 4);
    publish_keys(f, 5, "abc");
    ASSERT_GOT(f, "m", 3, 4, 6, 7);
    pass(f, TD_GRACE_MS / 2);
    give(f, "m", "[9 0 []]"); /* it lives */
    pass(f, TD_GRACE_MS / 2 + 1000);
    ASSERT_GOT(f, "m", 3, 4, 6, 7, 2, 5);
    assert_int_equal(dropped(f), 1);
    assert_int_equal(f->engine->counters.all.dropped[TD_DROP_SESSION_LOST], 1);
}

static void test_engine_gives_who_comes_back_its_keys_in_order(void **state)
{
    struct fixture *f = *state;

    begin_two(f, "{" ROOM " " KEY "}", "{" ROOM " " KEY "}");
    publish_keys(f, 1, "abab");
    lose(f, "sub");
    publish_keys(f, 5, "aba");
    forget(f);
    come_back(f, "sub/2", "[[1 1 0]]");
    flush(f);
    assert_true(resumed(f, "sub/2"));
    ASSERT_GOT(f, "sub/2", 3, 5, 7);
    assert_int_equal(dropped(f), 0);
}

/* ---- at the bound ---- */

/* In however many pieces it is dealt again, it takes no more of the bound. */
static void test_engine_counts_alike_what_it_deals_again(void **state)
{
    struct fixture *f = *state;
    const struct td_group *g;
    uint64_t events;
    uint64_t bytes;

    begin_two(f, "{" ONE KEY "}", NULL);
    publish_keys(f, 1, "abcbcbcbcbcbcbcbc"); /* one a is sent */
    subscriber(f, "m", "a", "{" ONE KEY "}");
    subscriber(f, "n", "a", "{" ONE KEY "}");
    g = f->engine->named->group;
    events = td_group_waiting(g);
    bytes = td_group_waiting_bytes(g);
    assert_int_equal(sub_of(f, "sub", 1)->own.len, 1);
    lose(f, "sub");
    assert_int_equal(sub_of(f, "m", 1)->own.len, events / 2 - 1);
    assert_int_equal(td_group_waiting(g), events - 2);
    assert_int_equal(td_group_waiting_bytes(g) * events, bytes * (events - 2));
}

/* Rather than hold publishers back or drop, the others get them. */
static void test_engine_lets_go_of_keys_at_the_bound(void **state)
{
    static const char *const policies[] = {"block", "drop_oldest",
                                           "drop_newest"};

    for (size_t i = 0; i < TD_ARRAY_LEN(policies); i++) {
        struct fixture *f;
        char options[200];

        assert_int_equal(setup_resumable((void **)&f), 0);
        snprintf(options, sizeof(options),
                 "{" ROOM " " KEY SMALL "\"policy\" \"%s\"}", policies[i]);
        begin_two(f, options, options);
        publish_keys(f, 1, "abab");
        lose(f, "sub");
        for (uint32_t n = 0; n < 50; n++) {
            publish_keys(f, 5 + n, "a");
            assert_null(f->engine->held);
        }
        assert_row(policies[i], events_to(f, "m") >= 2 + 40);
        assert_row(policies[i], dropped(f) == 0);
        /* What it has not got goes to whoever has the key now. */
        come_back(f, "sub/2", "[[1 1 0]]");
        flush(f);
        assert_row(policies[i], resumed(f, "sub/2"));
        assert_row(policies[i], events_to(f, "m") == 2 + 50 + 1);
        give(f, "sub/2", "[9 0 [[1 1 100000 100000000]]]");
        givef(f, "m", "[9 %u [[1 53 100000 100000000]]]",
              (unsigned)session_of(f, "m")->messages_out);
        assert_row(policies[i], !sub_of(f, "m", 1)->group->named->keys.table);
        assert_row(policies[i], dropped(f) == 0);
        teardown((void **)&f);
    }
    (void)state;
}

/* Publishers that are held back already go on, too. */
static void test_engine_lets_go_of_keys_while_it_holds_back(void **state)
{
    struct fixture *f = *state;

    begin_two(f, "{" ONE KEY SMALL "}", "{" ROOM " " KEY SMALL "}");
    publish_keys(f, 1, "aaaaaaaaaaaa"); /* eleven wait */
    assert_non_null(f->engine->held);
    lose(f, "sub");
    assert_null(f->engine->held);
    assert_int_equal(events_to(f, "m"), 11);
    assert_int_equal(dropped(f), 0);
}

/* What waits for one that is slow is no reason. */
static void test_engine_keeps_keys_while_others_are_slow(void **state)
{
    struct fixture *f = *state;

    begin_two(f, "{" ROOM " " KEY SMALL "}", "{" ONE KEY SMALL "}");
    publish_keys(f, 1, "ab");
    lose(f, "sub");
    publish_keys(f, 3, "abbbbbbbbbbbb");
    assert_non_null(f->engine->held);
    forget(f);
    come_back(f, "sub/2", "[[1 1 0]]");
    flush(f);
    ASSERT_GOT(f, "sub/2", 3);
}

/* ---- all away ---- */

/* Whoever joins hears what was dropped, even if nothing is left for it. */
static void test_engine_tells_who_joins_what_was_dropped(void **state)
{
    struct fixture *f = *state;
    const char *options = "{" ROOM " " G " \"queue_bytes\" 10 "
                          "\"policy\" \"drop_newest\"}";

    begin_two(f, options, NULL);
    lose(f, "sub");
    publish_keys(f, 1, "abc");
    assert_int_equal(dropped(f), 3);
    subscriber(f, "m", "a", options);
    flush(f);
    assert_int_equal(missed_by(f, "m", "newest"), 3);
}

static void test_engine_keeps_what_comes_while_all_are_away(void **state)
{
    struct fixture *f = *state;

    begin_two(f, "{" ROOM " " KEY "}", NULL);
    publish_keys(f, 1, "a");
    lose(f, "sub");
    publish_keys(f, 2, "ab-");
    publish_keys(f, 5, "bca");
    assert_int_equal(f->engine->named->group->queue.events, 6);
    subscriber(f, "m", "a", "{" ROOM " " KEY "}");
    flush(f);
    ASSERT_GOT(f, "m", 3, 4, 5, 6);
    forget(f);
    come_back(f, "sub/2", "[[1 1 0]]");
    flush(f);
    ASSERT_GOT(f, "sub/2", 2, 7);
    assert_int_equal(dropped(f), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_engine_deals_again_what_waits_for_who_is_away),
        TEST_RESUMABLE(test_engine_keeps_a_key_for_who_is_away),
        TEST_RESUMABLE(test_engine_gives_who_comes_back_its_keys_in_order),
        TEST_RESUMABLE(test_engine_tells_who_joins_what_was_dropped),
        TEST_RESUMABLE(test_engine_counts_alike_what_it_deals_again),
        TEST(test_engine_lets_go_of_keys_at_the_bound),
        TEST_RESUMABLE(test_engine_lets_go_of_keys_while_it_holds_back),
        TEST_RESUMABLE(test_engine_keeps_keys_while_others_are_slow),
        TEST_RESUMABLE(test_engine_keeps_what_comes_while_all_are_away),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
