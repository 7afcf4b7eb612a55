/* What the client's session makes of a broker that confirms what it is asked
 * to. */
#include "tests/unit/confirm_fixture.h"

/* ---- a broker that keeps its word ---- */

static void test_confirm_is_asked_at_the_level_wanted(void **state)
{
    struct fixture *f = *state;

    greet(f, WELCOME);
    for (unsigned level = TIDINGS_NO_CONFIRM; level <= TIDINGS_DISK; level++)
        publish_as(f, "a", (enum tidings_level)level, 0);
    td_client_ask(&f->client, f->client.packer.sequence);
    for (unsigned level = TIDINGS_NO_CONFIRM; level <= TIDINGS_DISK; level++) {
        uint64_t flags = frame(f, TD_PUBLISH, level)->u.publish.flags;

        assert_int_equal(flags >> TD_PUBLISH_LEVEL_SHIFT, level);
    }
    assert_null(find(f, TD_PUBLISH, 4));
}

static void test_confirm_lets_go_what_taken_does_not(void **state)
{
    struct fixture *f = *state;

    greet(f, WELCOME);
    publish_many(f, 10, false);
    taken(f, 10);
    assert_int_equal(kept(f), 10);
    assert_int_equal(done(f), 0);
    assert_ok(confirm(f, "1 1 0 \"events\" 71 3 false"));
    assert_int_equal(kept(f), 9);
    assert_int_equal(done(f), 1);
    assert_ok(confirm(f, "5 6 0 \"other\" 1 3 false"));
    assert_int_equal(done(f), 1);
    assert_ok(confirm(f, "2 3 0 \"events\" 72 3 false"));
    assert_int_equal(done(f), 10);
    assert_int_equal(kept(f), 0);
    assert_int_equal(f->client.confirmed, 10);
    assert_int_equal(f->client.unstored, 0);
    assert_int_equal(told.handed, 0); /* nobody waits */
}

/* What is confirmed has been taken, with all before it. */
static void test_confirm_says_that_it_was_taken(void **state)
{
    struct fixture *f = *state;

    greet(f, WELCOME);
    publish_as(f, "a", TIDINGS_NO_CONFIRM, 0);
    publish_many(f, 3, false);
    assert_ok(confirm(f, "2 3 0 \"events\" 1 3 false"));
    assert_int_equal(f->client.publisher.taken, 4);
    assert_int_equal(kept(f), 0);
    taken(f, 4);
    assert_int_equal(done(f), 4);
}

/* The confirm comes by itself. */
static void test_confirm_needs_no_question(void **state)
{
    struct fixture *f = *state;

    greet(f, WELCOME);
    f->client.sent_base_us = -TD_HEARTBEAT_MS * 1000; /* long ago */
    publish_as(f, "a", TIDINGS_DISK, 0);
    td_client_ask(&f->client, 1);
    assert_int_equal(frame(f, TD_PUBLISH, 0)->u.publish.flags,
                     TIDINGS_DISK << TD_PUBLISH_LEVEL_SHIFT);
    assert_null(find(f, TD_PING, 0));
    assert_ok(confirm(f, "1 1 0 \"events\" 1 3 false"));
    td_client_ask(&f->client, 1);
    assert_null(find(f, TD_PING, 0));
    assert_int_equal(done(f), 1);
}

static void test_confirm_covers_batches_in_any_order(void **state)
{
    struct fixture *f = *state;

    greet(f, WELCOME);
    for (unsigned i = 0; i < 5; i++) {
        publish_many(f, 4, true); /* 1 and 3, or 4 */
        taken(f, 4 * (i + 1));
    }
    assert_ok(give(f, "[16 [[15 6 0 \"s\" 115 3 false] "
                      "[7 3 0 \"s\" 107 3 false] "
                      "[10 5 0 \"t\" 10 3 false]]]"));
    assert_int_equal(done(f), 0);
    assert_ok(confirm(f, "1 6 18 \"\" 0 0 false"));
    assert_int_equal(done(f), 20);
    assert_int_equal(kept(f), 0);
    assert_int_equal(f->client.packer.packed_bytes,
                     f->client.publisher.done_bytes);
    assert_int_equal(told.calls, 20);
    assert_int_equal(told.handed, 4); /* once for each row */
    for (unsigned i = 0; i < 20; i++) {
        uint64_t who = told.call[i].who;

        assert_int_equal(who, i < 6    ? 15 + i
                              : i < 9  ? 7 + i - 6
                              : i < 14 ? 10 + i - 9
                                       : 1 + i - 14);
        assert_int_equal(told.call[i].err,
                         who < 7 ? TIDINGS_ENOSTREAM : TIDINGS_OK);
        assert_string_equal(told.call[i].stream, who < 7                ? ""
                                                 : who < 10 || who > 14 ? "s"
                                                                        : "t");
        assert_int_equal(told.call[i].sequence, who < 7 ? 0
                                                : who < 10 || who > 14
                                                    ? 100 + who
                                                    : who);
        assert_int_equal(told.call[i].level, who < 7 ? 0 : TIDINGS_DISK);
        assert_false(told.call[i].duplicate);
    }
}

/* ---- not stored ---- */

static void test_confirm_tells_what_was_not_stored(void **state)
{
    struct fixture *f = *state;

    greet(f, WELCOME);
    publish_many(f, 4, false);
    taken(f, 4);
    publish_as(f, "c", TIDINGS_DISK, 5);
    publish_many(f, 1, false);
    taken(f, 6);
    assert_ok(confirm(f, "3 4 18 \"\" 0 0 false"));
    assert_int_equal(f->client.unstored, 4);
    assert_int_equal(f->client.unasked.events, 3);
    assert_int_equal(f->client.unasked.err, TIDINGS_ENOSTREAM);
    assert_int_equal(count_of(f, TIDINGS_UNSTORED), 3);
    assert_string_equal(text_of(f, TIDINGS_UNSTORED),
                        "no stream takes this type: \"a\"");
    assert_int_equal(told.calls, 1);
    assert_int_equal(told.call[0].who, 5);
    assert_int_equal(told.call[0].err, TIDINGS_ENOSTREAM);
    assert_ok(confirm(f, "2 1 3 \"events\" 0 0 false"));
    assert_string_equal(text_of(f, TIDINGS_UNSTORED),
                        "stream events is full: \"b\"");
    assert_int_equal(f->client.unasked.events, 4);
    assert_int_equal(f->client.unasked.err, TIDINGS_ENOSTREAM); /* the first */
    assert_ok(confirm(f, "1 1 999 \"\" 0 0 false")); /* of a later version */
    assert_int_equal(f->client.unstored, 6);
    assert_int_equal(done(f), 6);
    assert_int_equal(f->client.confirmed, 0);
}

/* The stream that is full has a name, the disk has none. */
static void test_confirm_tells_what_is_full(void **state)
{
    struct fixture *f = *state;

    greet(f, WELCOME);
    publish_many(f, 2, false);
    taken(f, 2);
    publish_many(f, 2, true);
    assert_ok(confirm(f, "1 1 3 \"\" 0 0 false"));
    assert_non_null(
        strstr(text_of(f, TIDINGS_UNSTORED), "the broker's disk is full, or its memory: \""));
    assert_ok(confirm(f, "2 1 3 \"orders\" 0 0 false"));
    assert_non_null(
        strstr(text_of(f, TIDINGS_UNSTORED), "stream orders is full: \""));
    assert_ok(confirm(f, "3 1 3 \"\" 0 0 false"));
    assert_ok(confirm(f, "4 1 3 \"orders\" 0 0 false"));
    assert_int_equal(told.calls, 2);
    assert_int_equal(told.call[0].err, TIDINGS_EFULL);
    assert_string_equal(told.call[0].stream, "");
    assert_int_equal(told.call[1].err, TIDINGS_EFULL);
    assert_string_equal(told.call[1].stream, "orders");
    assert_int_equal(told.call[1].sequence, 0);
}

static void test_confirm_tells_who_waits_of_no_unstored(void **state)
{
    struct fixture *f = *state;

    greet(f, WELCOME);
    publish_many(f, 4, true);
    assert_ok(confirm(f, "1 4 9 \"\" 0 0 false"));
    assert_int_equal(told.calls, 4);
    assert_int_equal(f->client.unstored, 4);
    assert_int_equal(f->client.unasked.events, 0);
    assert_false(was_told(f, TIDINGS_UNSTORED));
}

/* ---- bounds ---- */

static void test_confirm_makes_room(void **state)
{
    struct fixture *f = *state;

    greet(f, "[2 1 7 1 0 100000 10000000 {}]");
    for (unsigned i = 0; i < 1000; i++)
        publish_as(f, "a", TIDINGS_DISK, 0);
    td_client_ask(&f->client, 1000);
    assert_err(publish(f, 1), TIDINGS_EFULL);
    assert_ok(give(f, "[4 1000 100000 10000000]"));
    assert_err(publish(f, 1), TIDINGS_EFULL); /* the disk is slow */
    assert_false(td_client_has_room(&f->client));
    assert_ok(confirm(f, "1 1000 0 \"s\" 1 3 false"));
    assert_true(td_client_has_room(&f->client));
    assert_ok(publish(f, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_confirm_is_asked_at_the_level_wanted),
        TEST(test_confirm_lets_go_what_taken_does_not),
        TEST(test_confirm_says_that_it_was_taken),
        TEST(test_confirm_needs_no_question),
        TEST(test_confirm_covers_batches_in_any_order),
        TEST(test_confirm_tells_what_was_not_stored),
        TEST(test_confirm_tells_what_is_full),
        TEST(test_confirm_tells_who_waits_of_no_unstored),
        TEST(test_confirm_makes_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
