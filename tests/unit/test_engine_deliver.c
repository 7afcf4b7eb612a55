/* The engine: subscriptions, and delivery within credit. */
#include "tests/unit/engine_harness.h"

/* ---- subscribing ---- */

static void test_engine_answers_what_cannot_be_subscribed(void **state)
{
    static const struct {
        const char *text;
        tidings_err code;
    } rows[] = {
        {"[5 7 1 \"a.b\" " WIDE "]", TIDINGS_EEXIST},
        {"[5 7 0 \"a\" " WIDE "]", TIDINGS_EINVAL},
        {"[5 7 2147483648 \"a\" " WIDE "]", TIDINGS_EINVAL},
        {"[5 7 2147483647 \"a\" " WIDE "]", TIDINGS_OK},
        {"[5 7 2 \"\" " WIDE "]", TIDINGS_EINVAL},
        {"[5 7 2 \"a..b\" " WIDE "]", TIDINGS_EINVAL},
        {"[5 7 2 \">.a\" " WIDE "]", TIDINGS_EINVAL},
        {"[5 7 2 \"a\" {}]", TIDINGS_EINVAL},
        {"[5 7 2 \"a\" {\"events\" 1 \"bytes\" 1000}]", TIDINGS_EINVAL},
        {"[5 7 2 \"a\" {\"events\" 0 \"bytes\" 9000000}]", TIDINGS_EINVAL},
        {"[5 7 2 \"a\" {\"events\" \"1\" \"bytes\" 9000000}]", TIDINGS_EINVAL},
        {"[5 7 2 \"a\" {\"events\" 1 \"bytes\" 9000000 \"queue_events\" 0}]",
         TIDINGS_EINVAL},
        {"[5 7 2 \"a\" {\"events\" 1 \"bytes\" 9000000 \"queue_events\" "
         "1048577}]",
         TIDINGS_EINVAL},
        {"[5 7 2 \"a\" {\"events\" 1 \"bytes\" 9000000 \"queue_bytes\" "
         "1073741825}]",
         TIDINGS_EINVAL},
        {"[5 7 2 \"a\" {\"events\" 1 \"bytes\" 9000000 \"policy\" \"lose\"}]",
         TIDINGS_ENOTSUP},
        {"[5 7 2 \"a\" {\"events\" 1 \"bytes\" 9000000 \"policy\" \"block\" "
         "\"later\" [1 2]}]",
         TIDINGS_OK},
    };
    struct fixture *f = *state;

    begin(f, "a", WIDE);
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct td_frame *r;

        give(f, "sub", rows[i].text);
        r = frame(f, "sub", TD_REPLY, 0);
        assert_row(rows[i].text, r->u.reply.request == 7);
        assert_row(rows[i].text, r->u.reply.code == (uint64_t)rows[i].code);
        assert_row(rows[i].text, !rows[i].code || r->u.reply.text.len > 0);
        forget(f);
    }
    assert_int_equal(sessions(f), 2);
    assert_int_equal(f->engine->subs_len, 3);
}

static void test_engine_bounds_the_subscriptions_of_a_session(void **state)
{
    struct fixture *f = *state;
    char text[100];

    f->unjudged = true;
    hello(f, "sub");
    for (unsigned i = 1; i <= TD_SUBSCRIPTIONS_MAX + 1; i++) {
        snprintf(text, sizeof(text), "[5 %u %u \"a.%u\" " WIDE "]", i, i, i);
        give(f, "sub", text);
        assert_int_equal(frame(f, "sub", TD_REPLY, 0)->u.reply.code,
                         i > TD_SUBSCRIPTIONS_MAX ? TIDINGS_ELIMIT
                                                  : TIDINGS_OK);
        forget(f);
    }
}

/* Patterns are kept as they were written, and so is their sum bounded. */
static void test_engine_bounds_the_patterns_of_a_session(void **state)
{
    const unsigned most = TD_PATTERNS_BYTES_MAX / TD_TYPE_BYTES_MAX;
    struct fixture *f = *state;

    f->unjudged = true;
    hello(f, "sub");
    for (unsigned i = 1; i <= most; i++) {
        givef(f, "sub", "[5 %u %u s(255) " WIDE "]", i, i);
        assert_int_equal(code_of_reply(f, "sub"), TIDINGS_OK);
        forget(f);
    }
    give(f, "sub", "[5 1 1023 s(255) " WIDE "]");
    assert_int_equal(code_of_reply(f, "sub"), TIDINGS_ELIMIT);
    give(f, "sub", "[5 1 1023 \"ab\" " WIDE "]"); /* the last two bytes */
    assert_int_equal(code_of_reply(f, "sub"), TIDINGS_OK);
    give(f, "sub", "[5 1 1024 \"a\" " WIDE "]");
    assert_int_equal(code_of_reply(f, "sub"), TIDINGS_ELIMIT);
    give(f, "sub", "[6 1 7]");
    give(f, "sub", "[5 1 7 s(255) " WIDE "]");
    assert_int_equal(code_of_reply(f, "sub"), TIDINGS_OK);
    f->unjudged = false;
    judge(f);
}

/* What was queued before is delivered first, as far as credit goes; no more
 * than that is dropped, and told. */
static void test_engine_delivers_what_credit_allows_before_the_end(void **state)
{
    static const char *const options[] = {
        "{\"events\" 10 \"bytes\" 2000000}",
        "{\"events\" 10 \"bytes\" 2000000 \"group\" \"g\"}",
        "{\"events\" 10 \"bytes\" 2000000 \"group\" \"g\" "
        "\"group_policy\" \"key\"}",
    };

    for (size_t i = 0; i < TD_ARRAY_LEN(options); i++) {
        struct fixture *f;
        uint32_t messages;

        assert_int_equal(setup((void **)&f), 0);
        begin(f, "a", options[i]);
        publish_one(f, "pub", "a", 8, 5, 1);
        flush(f);
        publish_one(f, "pub", "a", 5, 5, 9);
        flush(f); /* two fit, but more credit may be on its way */
        publish_one(f, "pub", "a", 1, 5, 14);
        give(f, "sub", "[6 9 1]");
        assert_row(options[i], events_to(f, "sub") == 10);
        assert_row(options[i], missed_by(f, "sub", "unsubscribed") == 4);
        messages = messages_to(f, "sub");
        assert_row(options[i], find(f, "sub", TD_DELIVER, messages - 1) <
                                   find(f, "sub", TD_GAP, 0));
        assert_row(options[i],
                   find(f, "sub", TD_GAP, 0) < find(f, "sub", TD_REPLY, 0));
        forget(f);
        publish_one(f, "pub", "a", 3, 5, 15);
        flush(f);
        assert_row(options[i], f->sent_len == 0);
        /* The number may be used again, and its messages count. */
        give(f, "sub", "[5 2 1 \"a\" " WIDE "]");
        assert_row(options[i], code_of_reply(f, "sub") == TIDINGS_OK);
        givef(f, "sub", "[9 %u []]", (unsigned)messages);
        publish_one(f, "pub", "a", 3, 5, 18);
        flush(f);
        assert_row(options[i], part(f, "sub", 0)->tag == 1);
        teardown((void **)&f);
    }
    (void)state;
}

static void test_engine_counts_what_an_ended_subscription_had(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", "{\"events\" 3 \"bytes\" 2000000}");
    publish_one(f, "pub", "a", 10, 5, 1);
    flush(f);
    give(f, "sub", "[9 1 [[1 2 3 2000000]]]");
    give(f, "sub", "[6 8 1]");
    assert_int_equal(frame(f, "sub", TD_REPLY, 0)->u.reply.request, 8);
    assert_int_equal(frame(f, "sub", TD_REPLY, 0)->u.reply.code, 0);
    assert_int_equal(f->engine->counters.gone.matched, 10);
    assert_int_equal(f->engine->counters.gone.delivered, 2);
    assert_int_equal(f->engine->counters.gone.dropped[TD_DROP_UNSUBSCRIBED], 8);
    assert_int_equal(td_engine_held_bytes(f->engine), 0);
    give(f, "sub", "[6 9 1]");
    assert_int_equal(frame(f, "sub", TD_REPLY, 1)->u.reply.code,
                     TIDINGS_ENOTFOUND);
    give(f, "sub", "[9 1 [[1 3 5 2000000]]]"); /* it has just ended */
    flush(f);
    assert_int_equal(sessions(f), 2);
}

/* ---- delivering ---- */

static void test_engine_stays_within_the_credit_for_events(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", "{\"events\" 3 \"bytes\" 2000000}");
    publish_one(f, "pub", "a", 10, 5, 1);
    flush(f);
    assert_int_equal(events_to(f, "sub"), 3);
    give(f, "sub", "[9 1 [[1 3 7 2000000]]]");
    flush(f);
    assert_int_equal(events_to(f, "sub"), 7);
    assert_int_equal(part(f, "sub", 1)->tag, 4);
    assert_int_equal(delivered(f, "sub", 1)->runs[0].first, 4);
    assert_false(td_engine_is_idle(f->engine));
    give(f, "sub", "[9 2 [[1 7 100 2000000]]]");
    flush(f);
    assert_int_equal(events_to(f, "sub"), 10);
    give(f, "sub", "[9 3 [[1 10 100 2000000]]]");
    assert_true(td_engine_is_idle(f->engine));
}

static void test_engine_stays_within_the_credit_for_bytes(void **state)
{
    struct fixture *f = *state;
    char text[80];
    uint64_t one = td_event_size(0, 600000, 0);

    begin(f, "a", "{\"events\" 100 \"bytes\" 1200000}");
    for (uint32_t i = 0; i < 4; i++)
        publish_one(f, "pub", "a", 1, 600000, 1 + i);
    flush(f);
    assert_int_equal(events_to(f, "sub"), 1);
    snprintf(text, sizeof(text), "[9 1 [[1 1 100 %u]]]",
             (unsigned)(one * 3 - 1));
    give(f, "sub", text);
    flush(f);
    assert_int_equal(events_to(f, "sub"), 2);
    snprintf(text, sizeof(text), "[9 1 [[1 1 100 %u]]]", (unsigned)(one * 4));
    give(f, "sub", text);
    flush(f);
    assert_int_equal(events_to(f, "sub"), 4);
}

static void test_engine_gathers_small_batches(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", WIDE);
    for (uint32_t i = 0; i < TD_BATCHES_MAX + 6; i++)
        publish_one(f, "pub", "a", 2, 8, 1 + 2 * i);
    flush(f);
    assert_int_equal(delivered(f, "sub", 0)->len, TD_BATCHES_MAX);
    assert_int_equal(delivered(f, "sub", 1)->len, 6);
    assert_int_equal(part(f, "sub", 1)->tag, 2 * TD_BATCHES_MAX + 1);
    assert_int_equal(events_to(f, "sub"), 2 * (TD_BATCHES_MAX + 6));
}

/* A subscription of "sub" to each of the types t1, t2, …, next to "a". */
static void subscribe_types(struct fixture *f, uint32_t types)
{
    for (uint32_t i = 1; i <= types; i++)
        givef(f, "sub", "[5 %u %u \"t%u\" " WIDE "]", 1 + i, 1 + i, i);
    flush(f);
    forget(f);
}

/* An event of each of those types, in one batch. */
static void publish_types(struct fixture *f, uint32_t types, uint64_t first)
{
    struct piece pieces[TD_BATCHES_MAX + 6];
    char names[TD_BATCHES_MAX + 6][16];

    for (uint32_t i = 0; i < types; i++) {
        snprintf(names[i], sizeof(names[i]), "t%u", i + 1);
        pieces[i] = (struct piece){names[i], 1, 8, first + i, NULL};
    }
    publish(f, "pub", 0, pieces, types);
}

/* What is small goes out together, whichever subscription it is for. */
static void test_engine_delivers_a_session_s_subscriptions_together(
    void **state)
{
    const uint32_t types = TD_BATCHES_MAX + 6;
    struct fixture *f = *state;

    begin(f, "a", WIDE);
    subscribe_types(f, types);
    for (uint32_t turn = 0; turn < 2; turn++) {
        publish_types(f, types, 1 + turn * types);
        flush(f);
        assert_int_equal(messages_to(f, "sub"), 2 * (turn + 1));
    }
    for (uint32_t i = 0; i < 2 * types; i++) {
        assert_int_equal(part(f, "sub", i)->subscription, 2 + i % types);
        assert_int_equal(f->part.tag, 1 + i / types);
        assert_int_equal(f->batches.runs[0].first, 1 + i);
    }
    assert_int_equal(events_to(f, "sub"), 2 * types);
    give(f, "sub", "[9 5 []]"); /* messages are counted, not parts */
    flush(f);
    assert_bye(f, "beyond", "sub", TIDINGS_EPROTO);
}

/* A batch that is large goes out alone, between messages of what is small;
 * one that has events for several is counted for each. */
static void test_engine_delivers_what_is_large_alone(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", WIDE);
    subscribe_types(f, 3);
    publish_types(f, 2, 1);
    publish_one(f, "pub", "a", 20, 1000, 3);
    publish_one(f, "pub", "t3", 1, 8, 23);
    flush(f);
    assert_int_equal(messages_to(f, "sub"), 3);
    assert_int_equal(part(f, "sub", 0)->subscription, 2);
    assert_int_equal(part(f, "sub", 1)->subscription, 3);
    assert_int_equal(part(f, "sub", 2)->subscription, 1);
    assert_int_equal(part(f, "sub", 3)->subscription, 4);
}

/* A gap is told before what comes after it, and nothing that was picked for
 * others is held up or lost by that. */
static void test_engine_tells_a_gap_between_what_goes_together(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", WIDE);
    subscribe_types(f, 1);
    give(f, "sub",
         "[5 9 9 \"b\" {\"events\" 1 \"bytes\" 2000000 "
         "\"queue_events\" 2 \"policy\" \"drop_oldest\"}]");
    publish_one(f, "pub", "b", 9, 8, 1);
    flush(f);
    forget(f);
    publish_one(f, "pub", "b", 9, 8, 10); /* its credit is used up */
    give(f, "sub", "[9 1 [[9 1 100 2000000]]]");
    publish_types(f, 1, 19);
    publish_one(f, "pub", "b", 1, 8, 20);
    flush(f);
    assert_true(missed_by(f, "sub", "oldest") > 0);
    assert_true(find(f, "sub", TD_GAP, 0) < find(f, "sub", TD_DELIVER, 0) ||
                part(f, "sub", 0)->subscription == 2);
    assert_int_equal(events_to(f, "sub") + missed_by(f, "sub", NULL), 1 + 18);
}

static void test_engine_leaves_few_messages_unanswered(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", WIDE);
    for (uint32_t i = 0; i < TD_MESSAGES_OUT_MAX + 10; i++) {
        publish_one(f, "pub", "a", 1, 1, 1 + i);
        flush(f);
    }
    assert_null(find(f, "sub", TD_DELIVER, TD_MESSAGES_OUT_MAX));
    give(f, "sub", "[9 1 []]"); /* one was received, of no subscription */
    flush(f);
    assert_int_equal(delivered(f, "sub", TD_MESSAGES_OUT_MAX)->events, 10);
    assert_int_equal(events_to(f, "sub"), TD_MESSAGES_OUT_MAX + 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_engine_answers_what_cannot_be_subscribed),
        TEST(test_engine_bounds_the_subscriptions_of_a_session),
        TEST(test_engine_bounds_the_patterns_of_a_session),
        TEST(test_engine_delivers_what_credit_allows_before_the_end),
        TEST(test_engine_counts_what_an_ended_subscription_had),
        TEST(test_engine_stays_within_the_credit_for_events),
        TEST(test_engine_stays_within_the_credit_for_bytes),
        TEST(test_engine_gathers_small_batches),
        TEST(test_engine_delivers_a_session_s_subscriptions_together),
        TEST(test_engine_delivers_what_is_large_alone),
        TEST(test_engine_tells_a_gap_between_what_goes_together),
        TEST(test_engine_leaves_few_messages_unanswered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
