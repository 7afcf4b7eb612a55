/* The engine: the life of groups. Who gets what is in test_deal.c. */
#include "tests/unit/engine_harness.h"

#define GROUP_BYTES_MAX                                                        \
    296u /* on 64 bits; more is paid for each subscription */

#define G     "\"group\" \"g\""
#define GROUP "{" ROOM " " G "}"
#define ONE   "\"events\" 1 \"bytes\" 2000000 "

/* ---- beginning and joining ---- */

static void test_engine_checks_a_groups_options(void **state)
{
    static const struct {
        const char *options;
        tidings_err code;
    } rows[] = {
        {"\"group\" \"\"", TIDINGS_EINVAL},
        {"\"group\" \"a b\"", TIDINGS_EINVAL},
        {"\"group\" \"a*\"", TIDINGS_EINVAL},
        {"\"group\" \"\xc3\xa4\"", TIDINGS_EINVAL},
        {"\"group\" 7", TIDINGS_EINVAL},
        {"\"group\" s(65)", TIDINGS_EINVAL},
        {"\"group\" s(64)", TIDINGS_OK},
        {"\"group\" \"A-z_0.9\"", TIDINGS_OK},
        {"\"group_policy\" \"random\"", TIDINGS_EINVAL}, /* of what group? */
        {"\"group\" \"x\" \"group_policy\" \"fair\"", TIDINGS_ENOTSUP},
        {"\"group\" \"x\" \"group_policy\" 1", TIDINGS_EINVAL},
        {"\"group\" \"x\" \"policy\" \"drop\"", TIDINGS_ENOTSUP},
        {"\"group\" \"r\" \"group_policy\" \"round_robin\"", TIDINGS_OK},
        {"\"group\" \"d\" \"group_policy\" \"random\"", TIDINGS_OK},
        {"\"group\" \"l\" \"group_policy\" \"least_pending\"", TIDINGS_OK},
        {"\"group\" \"k\" \"group_policy\" \"key\"", TIDINGS_OK},
    };
    struct fixture *f = *state;

    hello(f, "m");
    for (unsigned i = 0; i < TD_ARRAY_LEN(rows); i++) {
        givef(f, "m", "[5 1 %u \"a\" {" ROOM " %s}]", i + 1, rows[i].options);
        assert_row(rows[i].options, code_of_reply(f, "m") == rows[i].code);
    }
    assert_int_equal(f->engine->groups_len, 6);
}

/* Whoever joins leaves the policies and bounds out, or repeats them. */
static void test_engine_refuses_who_joins_under_other_terms(void **state)
{
    static const struct {
        const char *options;
        tidings_err code;
    } rows[] = {
        {"", TIDINGS_OK},
        {"\"policy\" \"drop_oldest\"", TIDINGS_OK},
        {"\"group_policy\" \"random\"", TIDINGS_OK},
        {"\"queue_events\" 50", TIDINGS_OK},
        {"\"queue_bytes\" 60000", TIDINGS_OK},
        {"\"policy\" \"drop_oldest\" \"group_policy\" \"random\" "
         "\"queue_events\" 50 \"queue_bytes\" 60000",
         TIDINGS_OK},
        {"\"policy\" \"block\"", TIDINGS_EINVAL},
        {"\"policy\" \"drop_newest\"", TIDINGS_EINVAL},
        {"\"group_policy\" \"round_robin\"", TIDINGS_EINVAL},
        {"\"group_policy\" \"key\"", TIDINGS_EINVAL},
        {"\"queue_events\" 51", TIDINGS_EINVAL},
        {"\"queue_bytes\" 60001", TIDINGS_EINVAL},
        {"\"queue_events\" 65536", TIDINGS_EINVAL},
        {"\"queue_events\" 0", TIDINGS_EINVAL},
        {"\"policy\" \"lose\"", TIDINGS_ENOTSUP},
    };
    struct fixture *f = *state;
    uint32_t members = 1;

    subscriber(f, "m0", "a",
               "{" ROOM " " G
               " \"policy\" \"drop_oldest\" \"group_policy\" \"random\" "
               "\"queue_events\" 50 \"queue_bytes\" 60000}");
    hello(f, "m1");
    for (unsigned i = 0; i < TD_ARRAY_LEN(rows); i++) {
        givef(f, "m1", "[5 1 %u \"a\" {" ROOM " " G " %s}]", i + 1,
              rows[i].options);
        assert_row(rows[i].options, code_of_reply(f, "m1") == rows[i].code);
        members += rows[i].code == TIDINGS_OK;
        assert_row(rows[i].options,
                   sub_of(f, "m0", 1)->group->members_len == members);
    }
    /* On another pattern, or by another name, it is another group. */
    givef(f, "m1", "[5 1 90 \"b\" {" ROOM " " G " \"policy\" \"block\"}]");
    assert_int_equal(code_of_reply(f, "m1"), TIDINGS_OK);
    givef(f, "m1", "[5 1 91 \"a\" {" ROOM " \"group\" \"h\"}]");
    assert_int_equal(code_of_reply(f, "m1"), TIDINGS_OK);
    assert_int_equal(f->engine->groups_len, 3);
}

/* Dealing looks at each of them. */
static void test_engine_bounds_the_members_of_a_group(void **state)
{
    struct fixture *f = *state;

    f->unjudged = true;
    hello(f, "m");
    hello(f, "n");
    for (unsigned i = 1; i <= TD_MEMBERS_MAX; i++) {
        givef(f, "m", "[5 1 %u \"a\" " GROUP "]", i);
        assert_int_equal(code_of_reply(f, "m"), TIDINGS_OK);
        forget(f);
    }
    f->unjudged = false;
    give(f, "n", "[5 1 1 \"a\" " GROUP "]");
    assert_int_equal(code_of_reply(f, "n"), TIDINGS_ELIMIT);
    give(f, "n", "[5 2 2 \"a\" " WIDE "]"); /* the session goes on */
    assert_int_equal(code_of_reply(f, "n"), TIDINGS_OK);
    give(f, "m", "[6 2 7]");
    give(f, "n", "[5 3 1 \"a\" " GROUP "]");
    assert_int_equal(code_of_reply(f, "n"), TIDINGS_OK);
}

/* ---- side by side ---- */

/* Each group, and each subscription without one, has its copy. */
static void test_engine_gives_each_group_its_copy(void **state)
{
    struct fixture *f = *state;

    hello(f, "pub");
    subscriber(f, "g0", "a", GROUP);
    subscriber(f, "g1", "a", GROUP);
    subscriber(f, "h0", "a", "{" ROOM " \"group\" \"h\"}");
    subscriber(f, "h1", "a", "{" ROOM " \"group\" \"h\"}");
    subscriber(f, "w0", "*", GROUP); /* the same name on another pattern */
    subscriber(f, "p0", "a", WIDE);
    subscriber(f, "p1", "a", WIDE);
    flush(f);
    publish_one(f, "pub", "a", 10, 5, 1);
    flush(f);
    assert_int_equal(events_to(f, "g0"), 5);
    assert_int_equal(events_to(f, "g1"), 5);
    assert_int_equal(events_to(f, "h0") + events_to(f, "h1"), 10);
    assert_int_equal(events_to(f, "w0"), 10);
    assert_int_equal(events_to(f, "p0"), 10);
    assert_int_equal(events_to(f, "p1"), 10);
    assert_int_equal(f->engine->counters.all.matched, 50);
    assert_int_equal(f->engine->counters.routed, 10);
}

/* One session may have many members of one group, and what else it likes. */
static void test_engine_takes_many_members_of_one_session(void **state)
{
    struct fixture *f = *state;

    hello(f, "pub");
    subscriber(f, "m", "a", GROUP);
    give(f, "m", "[5 2 2 \"a\" " GROUP "]");
    give(f, "m", "[5 3 3 \"a\" " WIDE "]");
    publish_one(f, "pub", "a", 10, 5, 1);
    flush(f);
    assert_int_equal(sub_of(f, "m", 1)->sent, 5);
    assert_int_equal(sub_of(f, "m", 2)->sent, 5);
    assert_int_equal(sub_of(f, "m", 3)->sent, 10);
    give(f, "m", "[14 0 \"\"]");
    flush(f);
    assert_null(f->engine->groups);
    assert_null(f->engine->named);
}

/* Tags are of the subscription: dense, whatever the others get. */
static void test_engine_tags_each_members_events_densely(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {"m0", "m1"};

    hello(f, "pub");
    subscriber(f, "m0", "a", GROUP);
    subscriber(f, "m1", "a", GROUP);
    for (uint32_t i = 0; i < 9; i++) {
        publish_one(f, "pub", "a", 3, 5, 1 + 3 * i);
        flush(f);
    }
    for (size_t m = 0; m < 2; m++) {
        uint64_t next = 1;

        for (uint32_t i = 0; find(f, names[m], TD_DELIVER, i); i++) {
            assert_int_equal(part(f, names[m], i)->tag, next);
            next += delivered(f, names[m], i)->events;
        }
        assert_true(next > 12);
    }
}

/* ---- leaving ---- */

static void test_engine_ends_a_group_with_its_last_member(void **state)
{
    struct fixture *f = *state;

    hello(f, "pub");
    subscriber(f, "m0", "a", "{" ONE G " \"policy\" \"drop_newest\"}");
    subscriber(f, "m1", "a", "{" ONE G "}");
    publish_one(f, "pub", "a", 10, 5, 1);
    flush(f);
    give(f, "m0", "[6 2 1]");
    assert_int_equal(f->engine->groups_len, 1);
    assert_int_equal(sub_of(f, "m1", 1)->group->queue.events, 8);
    assert_int_equal(missed_by(f, "m0", NULL), 0); /* they are not lost */
    give(f, "m1", "[6 2 1]");
    assert_int_equal(f->engine->groups_len, 0);
    assert_int_equal(missed_by(f, "m1", "unsubscribed"), 8);
    assert_int_equal(f->engine->counters.gone.dropped[TD_DROP_UNSUBSCRIBED],
                     10);
    assert_int_equal(td_engine_held_bytes(f->engine), 0);
    /* The next of that name begins it anew, with policies of its own. */
    subscriber(f, "m2", "a", "{" ONE G " \"policy\" \"block\"}");
    publish_one(f, "pub", "a", 3, 5, 11);
    flush(f);
    assert_int_equal(events_to(f, "m2"), 1);
}

/* What a member was dealt and not sent goes to the others at once. */
static void test_engine_gives_back_what_was_not_sent(void **state)
{
    static const struct {
        const char *row;
        const char *bye;
        uint64_t reason; /* of what had been sent */
    } rows[] = {
        {"unsubscribes", "[6 9 1]", TD_DROP_UNSUBSCRIBED},
        {"says goodbye", "[14 0 \"\"]", TD_DROP_UNSUBSCRIBED},
        {"breaks the rules", "[0]", TD_DROP_SESSION_LOST},
        {"is gone", NULL, TD_DROP_SESSION_LOST},
    };

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct fixture *f;

        assert_int_equal(setup((void **)&f), 0);
        hello(f, "pub");
        subscriber(f, "m0", "a", "{" ONE G "}");
        publish_one(f, "pub", "a", 10, 5, 1);
        flush(f); /* one is sent, and nine wait for credit */
        subscriber(f, "m1", "a", GROUP);
        if (rows[i].bye)
            give(f, "m0", rows[i].bye);
        else
            gone(f, "m0");
        flush(f);
        while (f->next == f->now)
            flush(f);
        assert_row(rows[i].row, events_to(f, "m1") == 9);
        assert_row(rows[i].row,
                   f->engine->counters.all.dropped[rows[i].reason] == 1);
        assert_row(rows[i].row, missed_by(f, "m1", NULL) == 0);
        teardown((void **)&f);
    }
    (void)state;
}

/* Turns go on past one who leaves. */
static void test_engine_deals_on_when_the_next_in_turn_leaves(void **state)
{
    struct fixture *f = *state;

    hello(f, "pub");
    subscriber(f, "m0", "a", GROUP);
    subscriber(f, "m1", "a", GROUP);
    subscriber(f, "m2", "a", GROUP);
    publish_one(f, "pub", "a", 5, 5, 1); /* m2 is next */
    flush(f);
    assert_int_equal(sub_of(f, "m2", 1)->sent, 1);
    give(f, "m2", "[6 2 1]");
    publish_one(f, "pub", "a", 1, 5, 6);
    flush(f);
    assert_int_equal(sub_of(f, "m0", 1)->sent + sub_of(f, "m1", 1)->sent, 5);
    subscriber(f, "m3", "a", GROUP);
    publish_one(f, "pub", "a", 9, 5, 7);
    flush(f);
    assert_int_equal(sub_of(f, "m3", 1)->sent, 3);
}

/* ---- policies of the queue ---- */

#define SMALL "{" ONE G " \"queue_events\" 10}"

/* There may be a hundred thousand of them: what few need is kept elsewhere. */
static void test_engine_keeps_an_idle_subscription_small(void **state)
{
    struct fixture *f = *state;
    const struct td_group *g;

    begin(f, "a", WIDE);
    publish_one(f, "pub", "a", 10, 3, 1);
    flush(f);
    g = sub_of(f, "sub", 1)->group;
    assert_null(g->trouble);
    assert_null(g->named);
    assert_true(sizeof(*g) <= GROUP_BYTES_MAX);
}

static void test_engine_blocks_for_a_group(void **state)
{
    struct fixture *f = *state;

    hello(f, "pub");
    subscriber(f, "m0", "a", SMALL);
    subscriber(f, "m1", "a", SMALL);
    publish_one(f, "pub", "a", 12, 0, 1);
    flush(f);
    assert_null(f->engine->held); /* two are sent: ten wait */
    publish_one(f, "pub", "a", 1, 0, 13);
    flush(f);
    assert_non_null(f->engine->held);
    give(f, "m0", "[9 1 [[1 1 7 2000000]]]"); /* five wait */
    flush(f);
    assert_null(f->engine->held);
    assert_int_equal(missed_by(f, "m0", NULL) + missed_by(f, "m1", NULL), 0);
}

static void test_engine_bounds_a_groups_queue(void **state)
{
    static const char *const policies[] = {"drop_oldest", "drop_newest"};

    for (size_t i = 0; i < TD_ARRAY_LEN(policies); i++) {
        struct fixture *f;
        char options[200];

        assert_int_equal(setup((void **)&f), 0);
        snprintf(options, sizeof(options),
                 "{" ONE G " \"queue_events\" 10 \"policy\" \"%s\"}",
                 policies[i]);
        hello(f, "pub");
        subscriber(f, "m0", "a", options);
        subscriber(f, "m1", "a", options);
        for (uint32_t k = 0; k < 30; k++) {
            publish_one(f, "pub", "a", 1, 0, 1 + k);
            assert_true(td_group_waiting(sub_of(f, "m0", 1)->group) <= 10);
        }
        flush(f);
        assert_row(policies[i],
                   td_group_waiting(sub_of(f, "m0", 1)->group) == 10);
        teardown((void **)&f);
    }
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_engine_checks_a_groups_options),
        TEST(test_engine_refuses_who_joins_under_other_terms),
        TEST(test_engine_bounds_the_members_of_a_group),
        TEST(test_engine_gives_each_group_its_copy),
        TEST(test_engine_takes_many_members_of_one_session),
        TEST(test_engine_tags_each_members_events_densely),
        TEST(test_engine_ends_a_group_with_its_last_member),
        TEST(test_engine_gives_back_what_was_not_sent),
        TEST(test_engine_deals_on_when_the_next_in_turn_leaves),
        TEST(test_engine_keeps_an_idle_subscription_small),
        TEST(test_engine_blocks_for_a_group),
        TEST(test_engine_bounds_a_groups_queue),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
