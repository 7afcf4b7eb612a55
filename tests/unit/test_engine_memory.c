/* The engine: bounds of memory, of all queues and of those of one session. */
#include "tests/unit/engine_harness.h"

static void test_engine_drops_from_the_largest_queue_for_memory(void **state)
{
    struct fixture *f = *state;

    restart(f, (struct td_engine_options){.memory_bytes = 100000});
    begin(f, "a", "{\"events\" 1 \"bytes\" 2000000}");
    give(f, "sub", "[5 2 2 \"b\" {\"events\" 1 \"bytes\" 2000000}]");
    publish_one(f, "pub", "b", 1, 10000, 1);
    publish_one(f, "pub", "b", 1, 10000, 2);
    for (uint32_t i = 0; i < 20; i++) {
        publish_one(f, "pub", "a", 1, 10000, 3 + i);
        assert_true(td_engine_held_bytes(f->engine) <= 100000);
    }
    flush(f);
    give(f, "sub", "[9 1 [[1 1 100 2000000] [2 1 100 2000000]]]");
    flush(f);
    assert_int_equal(frame(f, "sub", TD_GAP, 0)->u.gap.subscription, 1);
    assert_memory_equal(frame(f, "sub", TD_GAP, 0)->u.gap.reason.data, "memory",
                        6);
    assert_null(find(f, "sub", TD_GAP, 1));
    givef(f, "sub", "[9 %u [[1 %u 100 2000000] [2 2 100 2000000]]]",
          (unsigned)messages_to(f, "sub"), (unsigned)sub_of(f, "sub", 1)->sent);
    assert_int_equal(td_engine_held_bytes(f->engine), 0);
}

/* What waits keeps the body that it came in only if it is much of that. */
static void test_engine_keeps_no_large_body_for_little(void **state)
{
    struct fixture *f = *state;
    const struct piece little[] = {{"a", 1, 10, 1, NULL},
                                   {"huge", 1, 1 << 20, 2, NULL}};
    const struct piece most[] = {{"a", 1, 10000, 3, NULL},
                                 {"other", 1, 9000, 4, NULL}};
    const struct td_queue *q;
    struct td_body *body;

    begin(f, "a", "{\"events\" 1 \"bytes\" 2000000}");
    q = &sub_of(f, "sub", 1)->group->queue;
    publish_apart(f, "pub", little, 2);
    assert_int_equal(q->len, 1);
    assert_true(td_queue_back(q)->item->body->len < 100);
    body = publish_apart(f, "pub", most, 2);
    assert_int_equal(q->len, 2);
    assert_ptr_equal(td_queue_back(q)->item->body, body);
}

/* ---- what was sent and is not taken ---- */

#define BOUND 100000u
#define SIZE  10000u

/* "sub" has credit for all, and was sent so many events, each in a turn. */
static void begin_sent(struct fixture *f, uint32_t events)
{
    restart(f, (struct td_engine_options){.memory_bytes = BOUND,
                                          .grace_ms = TD_GRACE_MS});
    begin(f, "a", WIDE);
    for (uint32_t i = 0; i < events; i++) {
        publish_one(f, "pub", "a", 1, SIZE, 1 + i);
        assert_true(td_engine_held_bytes(f->engine) <= BOUND);
        flush(f);
    }
}

static bool resumes(struct fixture *f, const char *peer, unsigned received)
{
    char options[120];
    bool yes = false;

    snprintf(options, sizeof(options),
             "{\"token\" <c4 10 02*16> \"subscriptions\" [[1 %u 0]]}",
             received);
    hello_with(f, peer, options);
    assert_true(td_map_bool(frame(f, peer, TD_WELCOME, 0)->u.welcome.limits,
                            "resumed", &yes));
    return yes;
}

/* It reads, and only its handlers are slow: nothing is lost; but what is kept
 * no more cannot be sent again. */
static void test_engine_lets_go_of_what_was_sent(void **state)
{
    static const struct {
        unsigned received;
        bool resumes;
    } rows[] = {{20, true}, {0, false}};

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct fixture *f;

        assert_int_equal(setup((void **)&f), 0);
        begin_sent(f, 20);
        assert_int_equal(events_to(f, "sub"), 20);
        assert_int_equal(missed_by(f, "sub", NULL), 0);
        assert_non_null(session_of(f, "sub"));
        gone(f, "sub");
        flush(f);
        assert_true(resumes(f, "sub/2", rows[i].received) == rows[i].resumes);
        flush(f);
        if (rows[i].resumes) {
            give(f, "sub/2", "[9 0 [[1 20 100000 100000000]]]");
            assert_int_equal(f->engine->counters.all.delivered, 20);
        }
        teardown((void **)&f);
    }
    (void)state;
}

/* Time passes, and all are alive. */
static void live(struct fixture *f, int64_t ms)
{
    for (int64_t end = f->now + ms; f->now < end;) {
        pass(f, 500);
        give(f, "pub", "[12 1]");
        give(f, "sub", "[12 1]");
    }
}

/* It says that it lives, and never that it read anything. */
static void test_engine_ends_who_reads_nothing(void **state)
{
    struct fixture *f = *state;

    begin_sent(f, 5);
    subscriber(f, "b", "b", WIDE);
    subscriber(f, "c", "c", "{\"events\" 1 \"bytes\" 2000000}");
    publish_one(f, "pub", "b", 2, SIZE / 4, 6);
    publish_one(f, "pub", "c", 3, 10, 8);
    live(f, TD_HEARTBEAT_MS + 1000);
    give(f, "b", "[9 1 [[1 2 100000 100000000]]]");
    for (uint32_t i = 0; i < 8; i++)
        publish_one(f, "pub", "a", 1, SIZE, 11 + i);
    flush(f);
    assert_true(td_engine_held_bytes(f->engine) <= BOUND);
    live(f, TD_HEARTBEAT_MS + 1000);
    for (uint32_t i = 0; i < 20 && session_of(f, "sub"); i++) {
        publish_one(f, "pub", "a", 1, SIZE, 19 + i);
        flush(f);
    }
    assert_bye(f, "it reads nothing", "sub", TIDINGS_ENOMEM);
    assert_int_equal(f->engine->away_len, 0); /* and is not waited for */
    assert_true(f->engine->counters.all.dropped[TD_DROP_MEMORY] > 0);
    assert_non_null(session_of(f, "b"));
    assert_int_equal(missed_by(f, "b", NULL) + missed_by(f, "c", NULL), 0);
    assert_int_equal(sub_of(f, "c", 1)->group->queue.events, 2);
    assert_false(resumes(f, "sub/2", 5));
}

/* One who is away is not served: what comes is dropped, what was sent kept. */
static void test_engine_drops_what_waits_for_who_is_away(void **state)
{
    struct fixture *f = *state;

    begin_sent(f, 8);
    gone(f, "sub");
    flush(f);
    assert_int_equal(f->engine->away_len, 1);
    for (uint32_t i = 0; i < 10; i++) {
        publish_one(f, "pub", "a", 1, SIZE, 9 + i);
        assert_true(td_engine_held_bytes(f->engine) <= BOUND);
    }
    flush(f);
    assert_true(f->engine->counters.all.dropped[TD_DROP_MEMORY] >= 8);
    assert_true(resumes(f, "sub/2", 8));
    flush(f);
    assert_int_equal(missed_by(f, "sub/2", "memory"),
                     f->engine->counters.all.dropped[TD_DROP_MEMORY]);
}

/* ---- of one session ---- */

#define ONE "{\"events\" 1 \"bytes\" 2000000}"

static void test_engine_bounds_the_queues_of_one_session(void **state)
{
    struct fixture *f = *state;

    restart(f, (struct td_engine_options){.session_bytes = BOUND});
    begin(f, "a", ONE);
    give(f, "sub", "[5 2 2 \"b\" " ONE "]");
    subscriber(f, "c", "c", ONE);
    for (uint32_t i = 0; i < 9; i++)
        publish_one(f, "pub", "c", 1, SIZE, 1 + i);
    flush(f);
    for (uint32_t i = 0; i < 9; i++) { /* neither is over its own bound */
        const struct piece both[] = {{"a", 1, SIZE, 10 + 2 * i, NULL},
                                     {"b", 1, SIZE / 2, 11 + 2 * i, NULL}};

        publish(f, "pub", 0, both, 2);
        flush(f);
        assert_true(td_session_queued(session_of(f, "sub")) <= BOUND);
    }
    assert_true(sub_of(f, "sub", 1)->group->ledger.dropped[TD_DROP_MEMORY] > 0);
    assert_int_equal(sub_of(f, "sub", 2)->group->ledger.dropped[TD_DROP_MEMORY],
                     0);
    assert_int_equal(sub_of(f, "c", 1)->group->queue.events, 8);
    give(f, "sub", "[9 1 [[1 1 100 2000000] [2 1 100 2000000]]]");
    flush(f);
    assert_int_equal(missed_by(f, "sub", "memory"),
                     f->engine->counters.all.dropped[TD_DROP_MEMORY]);
}

/* What one member does not take is not a loss of its group's. */
static void test_engine_drops_nothing_of_a_group_for_one_member(void **state)
{
    struct fixture *f = *state;

    restart(f, (struct td_engine_options){.session_bytes = BOUND / 2});
    begin(f, "a", "{\"events\" 8 \"bytes\" 2000000 \"group\" \"g\"}");
    subscriber(f, "m", "a", "{\"events\" 1 \"bytes\" 2000000 \"group\" \"g\"}");
    for (uint32_t i = 0; i < 12; i++)
        publish_one(f, "pub", "a", 1, SIZE, 1 + i);
    flush(f);
    assert_int_equal(sub_of(f, "m", 1)->group->queue.events, 3);
    assert_int_equal(f->engine->counters.all.dropped[TD_DROP_MEMORY], 0);
    assert_true(td_session_queued(session_of(f, "sub")) <= BOUND / 2);
}

static void test_engine_refuses_a_queue_beyond_the_sessions_bound(void **state)
{
    static const struct {
        const char *options;
        tidings_err code;
    } rows[] = {
        {"\"queue_bytes\" 100000", TIDINGS_OK},
        {"\"queue_bytes\" 100001", TIDINGS_ELIMIT},
        {"\"queue_bytes\" 1073741824", TIDINGS_ELIMIT},
        {"\"queue_bytes\" 1073741825", TIDINGS_EINVAL},
        {"", TIDINGS_OK}, /* the default is within it */
    };
    struct fixture *f = *state;

    restart(f, (struct td_engine_options){.session_bytes = BOUND});
    hello(f, "sub");
    for (unsigned i = 0; i < TD_ARRAY_LEN(rows); i++) {
        givef(f, "sub", "[5 1 %u \"a\" {" ROOM " %s}]", i + 1, rows[i].options);
        assert_row(rows[i].options, code_of_reply(f, "sub") == rows[i].code);
    }
    assert_int_equal(sub_of(f, "sub", 5)->group->queue_bytes_max, BOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_engine_drops_from_the_largest_queue_for_memory),
        TEST(test_engine_keeps_no_large_body_for_little),
        TEST(test_engine_lets_go_of_what_was_sent),
        TEST(test_engine_ends_who_reads_nothing),
        TEST(test_engine_drops_what_waits_for_who_is_away),
        TEST(test_engine_bounds_the_queues_of_one_session),
        TEST(test_engine_drops_nothing_of_a_group_for_one_member),
        TEST(test_engine_refuses_a_queue_beyond_the_sessions_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
