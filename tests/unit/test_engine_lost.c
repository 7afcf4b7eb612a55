/* The engine: what retention takes that a group has not settled, and who is
 * told of it. D17, all of it. */
#include "tests/unit/stream_fixture.h"

#include <string.h>

#define G "\"stream\" \"events\" \"group\" \"g\""

/* Events 1 to 9 wait for group g, which has no member. */
static void begin_with(struct streams *s, const char *options)
{
    hello(s->f, "pub");
    call(s, "pub", "group.add", options);
    for (uint64_t n = 1; n <= 9; n += 3)
        put(s, "pub", "a", 3, n, DISK);
}

static void begin_alone(struct streams *s)
{
    begin_with(s, "{" G "}");
}

static void purge(struct streams *s, unsigned before)
{
    char options[64];

    snprintf(options, sizeof(options), "{\"name\" \"events\" \"before\" %u}",
             before);
    call(s, "pub", "stream.purge", options);
    settle_down(s);
}

/* What groups say is written a little later. */
static void write_all(struct streams *s)
{
    pass(s->f, 100);
    settle_down(s);
}

static void restart_broker(struct streams *s)
{
    kill_broker(s);
    hello(s->f, "pub");
}

static void join(struct streams *s, const char *peer)
{
    hello(s->f, peer);
    consume(s, peer, 1, ">", "events", "g", "");
}

/* A member that has not asked for any event. */
static void join_idle(struct streams *s, const char *peer)
{
    hello(s->f, peer);
    givef(s->f, peer, "[5 1 1 \">\" {\"events\" 0 \"bytes\" 100000000 " G "}]");
    settle_down(s);
}

/* The nth GAP of this kind to the peer; NULL: there are fewer. */
static const struct td_frame *gap_to(struct streams *s, const char *peer,
                                     uint32_t nth)
{
    struct sent *sent;

    for (uint32_t i = 0; (sent = find(s->f, peer, TD_GAP, i)); i++) {
        if (is_text(sent->frame.u.gap.reason, "expired") && nth-- == 0)
            return &sent->frame;
    }
    return NULL;
}

static uint32_t gaps_to(struct streams *s, const char *peer)
{
    uint32_t n = 0;

    while (gap_to(s, peer, n))
        n++;
    return n;
}

static void check_gap(struct streams *s, const char *peer, uint32_t nth,
                      uint64_t events, uint64_t first, uint64_t last)
{
    const struct td_frame *f = gap_to(s, peer, nth);

    assert_non_null(f);
    assert_int_equal(f->u.gap.events, events);
    assert_int_equal(f->u.gap.first, first);
    assert_int_equal(f->u.gap.last, last);
}

static uint64_t expired(struct streams *s)
{
    return count(row_of(call(s, "pub", "group.list", "{}"), "groups", 0),
                 "expired");
}

/* ---- members ---- */

static void test_a_member_is_told_which(void **state)
{
    struct streams *s = *state;

    begin_alone(s);
    join_idle(s, "sub");
    purge(s, 4);
    check_gap(s, "sub", 0, 3, 1, 3);
    purge(s, 5); /* within a record */
    check_gap(s, "sub", 1, 1, 4, 4);
    assert_int_equal(expired(s), 4);
    purge(s, 10);
    check_gap(s, "sub", 2, 5, 5, 9);
    assert_int_equal(gaps_to(s, "sub"), 3);
    assert_int_equal(expired(s), 9);
}

static void test_a_reader_is_told_which(void **state)
{
    struct streams *s = *state;

    begin_alone(s);
    purge(s, 7);
    hello(s->f, "sub");
    consume(s, "sub", 1, ">", "events", NULL, "\"start\" 3");
    check_gap(s, "sub", 0, 4, 3, 6);
    assert_int_equal(gaps_to(s, "sub"), 1);
    assert_int_equal(events_to(s->f, "sub"), 3);
}

/* One of them is told, and no other. */
static void test_one_of_two_members_is_told(void **state)
{
    struct streams *s = *state;

    begin_alone(s);
    join_idle(s, "sub");
    join_idle(s, "sub2");
    purge(s, 6);
    assert_int_equal(gaps_to(s, "sub") + gaps_to(s, "sub2"), 1);
    assert_int_equal(missed_by(s->f, "sub", "expired") +
                         missed_by(s->f, "sub2", "expired"),
                     5);
}

/* What is settled is not lost, and stands between what is. */
static void test_what_is_settled_is_not_lost(void **state)
{
    struct streams *s = *state;

    begin_alone(s);
    join(s, "sub");
    settle(s, "sub", TD_ACK, 2, 2);
    settle(s, "sub", TD_ACK, 4, 5);
    give(s->f, "sub", "[14 0 \"\"]"); /* the rest is given back */
    write_all(s);
    restart_broker(s);
    purge(s, 8);
    join(s, "sub");
    check_gap(s, "sub", 0, 4, 1, 7);
    assert_int_equal(gaps_to(s, "sub"), 1);
    assert_int_equal(events_to(s->f, "sub"), 2);
}

/* ---- nobody is there ---- */

static void test_the_first_that_comes_is_told_all(void **state)
{
    struct streams *s = *state;

    begin_alone(s);
    purge(s, 3);
    purge(s, 6);
    assert_int_equal(expired(s), 5);
    join(s, "sub");
    check_gap(s, "sub", 0, 5, 1, 5);
    join(s, "sub2");
    assert_int_equal(gaps_to(s, "sub"), 1);
    assert_int_equal(gaps_to(s, "sub2"), 0);
}

static void test_it_is_told_after_a_restart(void **state)
{
    struct streams *s = *state;

    begin_alone(s);
    purge(s, 4);
    write_all(s);
    restart_broker(s);
    purge(s, 6); /* more is lost */
    write_all(s);
    restart_broker(s);
    join(s, "sub");
    check_gap(s, "sub", 0, 5, 1, 5);
    write_all(s);
    restart_broker(s);
    join(s, "sub"); /* that was told */
    assert_int_equal(gaps_to(s, "sub"), 0);
    assert_int_equal(events_to(s->f, "sub"), 4);
}

/* A kill comes before anything of it is written: it is found out anew. */
static void test_it_is_told_after_a_kill(void **state)
{
    struct streams *s = *state;

    begin_alone(s);
    write_all(s);
    purge(s, 4);
    restart_broker(s);
    join(s, "sub");
    check_gap(s, "sub", 0, 3, 1, 3);
    assert_int_equal(gaps_to(s, "sub"), 1);
}

/* ---- what was on its way ---- */

/* It was delivered, retention took it, and it has failed. */
static void test_a_retry_that_expired_is_told(void **state)
{
    struct streams *s = *state;

    begin_alone(s);
    join(s, "sub");
    settle(s, "sub", TD_ACK, 1, 4);
    settle(s, "sub", TD_NAK, 5, 6);
    purge(s, 7);
    assert_int_equal(gaps_to(s, "sub"), 0);
    pass(s->f, 300);
    settle_down(s);
    assert_int_equal(missed_by(s->f, "sub", "expired"), 2);
    assert_int_equal(frame(s->f, "sub", TD_GAP, 0)->u.gap.first, 5);
    assert_int_equal(expired(s), 2);
}

/* Three are with a member, the others were not delivered yet. */
static void lose_around(struct streams *s)
{
    begin_with(s, "{" G " \"max_in_flight\" 3}");
    join(s, "sub");
    assert_int_equal(events_to(s->f, "sub"), 3);
    purge(s, 6);
    check_gap(s, "sub", 0, 2, 4, 5);
    write_all(s);
}

static void test_what_a_member_has_may_be_settled(void **state)
{
    struct streams *s = *state;

    lose_around(s);
    settle(s, "sub", TD_ACK, 1, 3);
    write_all(s);
    restart_broker(s);
    join(s, "sub");
    assert_int_equal(gaps_to(s, "sub"), 0);
    settle(s, "sub", TD_ACK, 1, 3);
    assert_int_equal(events_to(s->f, "sub"), 4);
}

/* The broker is killed, and what the member had is gone for good. */
static void test_what_a_member_had_is_told_after_a_kill(void **state)
{
    struct streams *s = *state;

    lose_around(s);
    settle(s, "sub", TD_ACK, 2, 2);
    write_all(s);
    restart_broker(s);
    join(s, "sub");
    check_gap(s, "sub", 0, 2, 1, 3); /* and not what was told before */
    assert_int_equal(gaps_to(s, "sub"), 1);
    settle(s, "sub", TD_ACK, 1, 3);
    assert_int_equal(events_to(s->f, "sub"), 4);
}

static uint64_t lag(struct streams *s)
{
    return count(row_of(call(s, "pub", "group.list", "{}"), "groups", 0),
                 "lag");
}

/* Read for a member that has no credit for it: not delivered once it is gone,
 * whether that member goes on or another comes. */
static void test_what_was_read_ahead_is_not_delivered(void **state)
{
    static const char *const groups[] = {"{" G "}",
                                         "{" G " \"group_policy\" \"key\"}",
                                         "{" G " \"group_policy\" \"single\"}"};

    for (size_t i = 0; i < TD_ARRAY_LEN(groups); i++) {
        struct streams *s = *state;

        begin_with(s, groups[i]);
        hello(s->f, "sub");
        givef(s->f, "sub",
              "[5 1 1 \">\" {\"events\" 2 \"bytes\" 100000000 " G "}]");
        settle_down(s);
        assert_int_equal(events_to(s->f, "sub"), 2);
        assert_row_at("lag", i, lag(s) == 7);
        purge(s, 8);
        assert_row_at("lag", i, lag(s) == 2);
        settle(s, "sub", TD_ACK, 1, 2);
        givef(s->f, "sub", "[9 1 [[1 2 10 100000000]]]");
        settle_down(s);
        assert_row_at("delivered", i, events_to(s->f, "sub") == 4);
        check_gap(s, "sub", 0, 5, 3, 7);
        assert_int_equal(expired(s), 5);
        assert_int_equal(lag(s), 0);
        teardown_streams(state);
        setup_streams(state);
    }
}

/* It has failed for good, and there is nothing left to bury. */
static void test_a_dead_event_that_expired_is_counted(void **state)
{
    struct streams *s = *state;
    struct td_consumer *c;
    struct td_str row;

    begin_alone(s);
    join(s, "sub");
    purge(s, 10);
    settle(s, "sub", TD_TERM, 1, 1);
    write_all(s);
    row = row_of(call(s, "pub", "group.list", "{}"), "groups", 0);
    assert_int_equal(count(row, "termed"), 1);
    assert_int_equal(count(row, "dead"), 0); /* letters */
    assert_int_equal(count(row, "expired"), 0);
    assert_int_equal(count(row, "waiting"), 0);
    c = s->f->engine->streams.consumers->prev;
    assert_int_equal(c->count.dead, 1);
    assert_int_equal(c->settled.floor, 2);
}

/* The state of a group stays small, whatever retention does. */
static void test_what_is_far_behind_is_forgotten(void **state)
{
    struct streams *s = *state;
    struct td_consumer *c;

    lose_around(s);
    c = s->f->engine->streams.consumers->prev;
    assert_int_equal(c->settled.floor, 1);
    s->f->unjudged = true;
    for (uint64_t n = 10; n < 10 + TD_ACK_GAP_MAX; n += 20000)
        put(s, "pub", "a", 20000, n, DISK);
    call(s, "pub", "stream.purge", "{\"name\" \"events\"}");
    settle_down(s);
    assert_int_equal(c->settled.floor, c->stream->kept.next);
    assert_int_equal(c->settled.above, 0);
}

/* ---- what compaction had taken before ---- */

/* Stream k, with group g at its beginning; of 1 to 5 are 2, 4 and 5 left, and
 * of 6 to 1105, which are of one key, the last records alone. */
static void begin_compacted(struct streams *s, const char *bound)
{
    static const char *const keys[] = {"x", "y", "x", "z", "x"};
    static const char *w[50];
    struct piece piece = {"k.a", 5, 2000, 1, keys};
    char options[200];

    hello(s->f, "pub");
    snprintf(options, sizeof(options),
             "{\"name\" \"k\" \"patterns\" [\"k.>\"] \"keyed\" true "
             "\"compact\" true %s}",
             bound);
    call(s, "pub", "stream.add", options);
    call(s, "pub", "group.add", "{\"stream\" \"k\" \"group\" \"g\"}");
    publish(s->f, "pub", DISK, &piece, 1);
    for (size_t i = 0; i < TD_ARRAY_LEN(w); i++)
        w[i] = "w";
    for (uint64_t n = 6; n < 1106; n += 50) {
        piece = (struct piece){"k.a", 50, 10, n, w};
        publish(s->f, "pub", DISK, &piece, 1);
        settle_down(s);
    }
    pass(s->f, 10);
    settle_down(s);
}

static void join_compacted(struct streams *s)
{
    hello(s->f, "sub");
    consume(s, "sub", 1, ">", "k", "g", "");
}

static void wait_ms(struct streams *s, int64_t ms)
{
    for (; ms > 0; ms -= 4000) { /* heard of often enough */
        pass(s->f, 4000);
        settle_down(s);
        give(s->f, "pub", "[11 1]");
    }
}

static void test_holes_are_not_lost_with_age(void **state)
{
    struct streams *s = *state;
    uint64_t stored;

    begin_compacted(s, "\"max_age_ms\" 20000");
    kill_broker(s);
    hello(s->f, "pub");
    hello(s->f, "all");
    consume(s, "all", 1, ">", "k", NULL, "\"start\" \"all\"");
    stored = events_to(s->f, "all");
    assert_true(stored < 500);
    wait_ms(s, 32000);
    join_compacted(s);
    check_gap(s, "sub", 0, stored, 2, 1105);
    assert_int_equal(gaps_to(s, "sub"), 1);
    assert_int_equal(events_to(s->f, "sub"), 0);
}

static void test_holes_are_not_lost_with_others(void **state)
{
    struct streams *s = *state;

    begin_compacted(s, "\"max_events\" 1200");
    for (uint64_t n = 1106; n < 1306; n += 50)
        put(s, "pub", "k.v", 50, n, DISK);
    join_compacted(s);
    check_gap(s, "sub", 0, 3, 2, 5);
    assert_int_equal(gaps_to(s, "sub"), 1);
    assert_int_equal(s->f->engine->streams.consumers->stream->kept.first, 106);
    assert_true(events_to(s->f, "sub") < 500); /* of 1200 sequences */
}

static void test_readers_do_not_lose_holes(void **state)
{
    struct streams *s = *state;

    begin_compacted(s, "\"max_events\" 1200");
    hello(s->f, "sub");
    givef(s->f, "sub",
          "[5 1 1 \">\" {\"events\" 0 \"bytes\" 100000000 \"stream\" \"k\""
          " \"start\" 3}]");
    settle_down(s);
    for (uint64_t n = 1106; n < 1306; n += 50)
        put(s, "pub", "k.v", 50, n, DISK);
    check_gap(s, "sub", 0, 2, 4, 5);
    assert_int_equal(gaps_to(s, "sub"), 1);
}

/* ---- links ---- */

/* Events 1 to 9 come to a group whose member has asked for none. */
static void begin_idle(struct streams *s)
{
    hello(s->f, "pub");
    join_idle(s, "sub");
    for (uint64_t n = 1; n <= 9; n += 3)
        put(s, "pub", "a", 3, n, DISK);
}

/* A GAP that went with its link is told over the next one. */
static void test_it_is_told_again_when_a_link_was_lost(void **state)
{
    struct streams *s = *state;

    begin_idle(s);
    purge(s, 3);
    purge(s, 7);
    check_gap(s, "sub", 0, 2, 1, 2);
    check_gap(s, "sub", 1, 4, 3, 6);
    gone(s->f, "sub");
    settle_down(s);
    come_back(s->f, "sub/2", "[[1 0 2]]"); /* the second */
    assert_true(resumed(s->f, "sub/2"));
    settle_down(s);
    check_gap(s, "sub/2", 0, 4, 3, 6);
    gone(s->f, "sub/2");
    purge(s, 9);
    come_back(s->f, "sub/3", "[[1 0 2]]"); /* nor over this one */
    settle_down(s);
    check_gap(s, "sub/3", 0, 6, 3, 8);
    gone(s->f, "sub/3");
    settle_down(s);
    come_back(s->f, "sub/4", "[[1 0 8]]"); /* all of it */
    settle_down(s);
    assert_int_equal(gaps_to(s, "sub/4"), 0);
}

/* What was heard once cannot be missed later: no loss without an event comes
 * of it, whose row nobody could read. */
static void test_what_was_heard_is_not_told_again(void **state)
{
    struct streams *s = *state;

    begin_idle(s);
    purge(s, 4);
    check_gap(s, "sub", 0, 3, 1, 3);
    gone(s->f, "sub");
    come_back(s->f, "sub/2", "[[1 0 3]]");
    assert_true(resumed(s->f, "sub/2"));
    gone(s->f, "sub/2");
    come_back(s->f, "sub/3", "[[1 0 0]]"); /* a lie */
    assert_false(resumed(s->f, "sub/3"));
    write_all(s);
    restart_broker(s);
    assert_int_equal(s->f->engine->streams.lost_states, 0);
    join_idle(s, "sub");
    write_all(s);
    assert_int_equal(gaps_to(s, "sub"), 0);
}

/* ---- rows ---- */

static void test_rows_of_losses_are_checked(void **state)
{
    static const struct {
        struct td_lost lost;
        bool good;
    } rows[] = {
        {{0, 0, 0, false}, true},
        {{5, 0, 0, false}, false},
        {{5, 7, 11, false}, true},
        {{6, 7, 11, false}, true}, /* the group was sent back in between */
        {{1, 1, INT64_MAX, false}, true},
        {{5, 11, 7, false}, false},
        {{0, 7, 11, false}, false},
        {{5, 0, 11, false}, false},
        {{5, 7, 0, false}, false},
        {{5, 7, (uint64_t)INT64_MAX + 1, false}, false},
        {{UINT64_MAX, 7, 11, false}, false},
    };

    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        const struct td_floor row = {3, 9, 7, rows[i].lost, 9, true, -5};
        struct td_buf b = {0};
        struct td_floor read;
        char name[16];

        snprintf(name, sizeof(name), "row %zu", i);
        td_floor_pack(&b, &row);
        assert_row(name, td_floor_read((struct td_str){(char *)b.data, b.len},
                                       &read) == rows[i].good);
        if (rows[i].good) {
            assert_int_equal(read.floor, 3);
            assert_int_equal(read.dead_next, 9);
            assert_int_equal(read.newest_to, 7);
            assert_int_equal(read.untold.events, row.untold.events);
            assert_int_equal(read.untold.first, row.untold.first);
            assert_int_equal(read.untold.last, row.untold.last);
            assert_false(read.untold.damaged);
            assert_int_equal(read.dead_from, 9);
            assert_true(read.seeking);
            assert_int_equal(read.sought_ms, -5);
        }
        td_buf_fini(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_STREAM(test_a_member_is_told_which),
        TEST_STREAM(test_a_reader_is_told_which),
        TEST_STREAM(test_one_of_two_members_is_told),
        TEST_STREAM(test_what_is_settled_is_not_lost),
        TEST_STREAM(test_the_first_that_comes_is_told_all),
        TEST_STREAM(test_it_is_told_after_a_restart),
        TEST_STREAM(test_it_is_told_after_a_kill),
        TEST_STREAM(test_a_retry_that_expired_is_told),
        TEST_STREAM(test_what_a_member_has_may_be_settled),
        TEST_STREAM(test_what_a_member_had_is_told_after_a_kill),
        TEST_STREAM(test_what_was_read_ahead_is_not_delivered),
        TEST_STREAM(test_a_dead_event_that_expired_is_counted),
        TEST_STREAM(test_what_is_far_behind_is_forgotten),
        TEST_STREAM(test_holes_are_not_lost_with_age),
        TEST_STREAM(test_holes_are_not_lost_with_others),
        TEST_STREAM(test_readers_do_not_lose_holes),
        TEST_STREAM(test_it_is_told_again_when_a_link_was_lost),
        TEST_STREAM(test_what_was_heard_is_not_told_again),
        cmocka_unit_test(test_rows_of_losses_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
