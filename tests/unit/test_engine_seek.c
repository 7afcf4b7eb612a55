/* The engine: groups that are sent elsewhere, and their dead letters. */
#include "tests/unit/stream_fixture.h"

#define G   "\"stream\" \"events\" \"group\" \"g\""
#define ALL "{" G " \"start\" \"all\"}"

/* One event, a dead letter of the group. */
static void bury(struct streams *s)
{
    hello(s->f, "pub");
    hello(s->f, "sub");
    consume(s, "sub", 1, ">", "events", "g", "");
    put(s, "pub", "a", 1, 1, DISK);
    settle(s, "sub", TD_TERM, 1, 1);
    settle_down(s);
}

static uint64_t redrive(struct streams *s)
{
    uint64_t events = count(call(s, "pub", "dlq.redrive", "{" G "}"), "events");

    settle_down(s);
    return events;
}

static uint64_t dead(struct streams *s)
{
    return count(row_of(call(s, "pub", "group.list", "{}"), "groups", 0),
                 "dead");
}

/* What is redriven does not come a second time, as an event of its stream. */
static void test_seek_delivers_what_is_redriven_once(void **state)
{
    struct streams *s = *state;

    bury(s);
    assert_int_equal(redrive(s), 1);
    assert_int_equal(events_to(s->f, "sub"), 2);
    call(s, "pub", "group.seek", ALL);
    settle_down(s);
    assert_int_equal(events_to(s->f, "sub"), 3);
    settle(s, "sub", TD_ACK, 3, 3);
    settle_down(s);
    assert_int_equal(dead(s), 0);
    assert_int_equal(events_to(s->f, "sub"), 3);
}

/* A letter whose event is to come anyway is not redriven. */
static void test_seek_delivers_the_dead_once(void **state)
{
    struct streams *s = *state;

    bury(s);
    call(s, "pub", "group.seek", ALL);
    settle_down(s);
    assert_int_equal(events_to(s->f, "sub"), 2);
    assert_int_equal(redrive(s), 0);
    settle(s, "sub", TD_ACK, 2, 2);
    assert_int_equal(redrive(s), 1);
    assert_int_equal(events_to(s->f, "sub"), 3);
}

static void kill_and_join(struct streams *s, const char *peer)
{
    pass(s->f, 100);
    settle_down(s);
    kill_broker(s);
    hello(s->f, "pub");
    hello(s->f, peer);
    consume(s, peer, 1, ">", "events", "g", "");
}

/* What died before it comes again; what has died since does not. */
static void test_seek_delivers_the_dead_whoever_is_killed(void **state)
{
    struct streams *s = *state;

    bury(s);
    put(s, "pub", "a", 2, 2, DISK);
    settle(s, "sub", TD_ACK, 2, 3);
    call(s, "pub", "group.seek", ALL);
    kill_and_join(s, "two");
    GOT(s, "two", 1, 2, 3);
    settle(s, "two", TD_TERM, 1, 1);
    settle(s, "two", TD_ACK, 3, 3);
    kill_and_join(s, "three");
    GOT(s, "three", 2);
    assert_int_equal(dead(s), 2); /* both letters of it stay */
}

static void test_seek_that_failed_leaves_the_dead(void **state)
{
    struct streams *s = *state;

    bury(s);
    put(s, "pub", "a", 1, 2, DISK);
    td_model_fail(s->model, 1, TIDINGS_EFULL);
    assert_int_equal(call_code(s, "pub", "group.seek", ALL), TIDINGS_EFULL);
    pass(s->f, 2000);
    kill_and_join(s, "two");
    GOT(s, "two", 2);
    assert_int_equal(dead(s), 1);
}

/* It was on its way, which is not what the stream has of it. */
static void test_seek_leaves_what_is_redriven_whoever_is_killed(void **state)
{
    struct streams *s = *state;

    bury(s);
    assert_int_equal(redrive(s), 1);
    call(s, "pub", "group.seek", ALL);
    kill_and_join(s, "two");
    GOT(s, "two", 1);
    settle(s, "two", TD_TERM, 1, 1);
    kill_and_join(s, "three");
    assert_int_equal(events_to(s->f, "three"), 0);
    assert_int_equal(dead(s), 1);
}

/* It is redriven, and dead again, which is submitted and not written; and its
 * group is sent back. */
static void bury_again(struct streams *s)
{
    bury(s);
    redrive(s);
    hold_store(s);
    settle(s, "sub", TD_TERM, 2, 2);
    for (int i = 0; i < 2; i++) { /* that it has failed; its letter is read */
        td_model_commit(s->model, i == 0 ? 8 : 0);
        td_model_serve(s->model, 8);
        settle_down(s);
    }
    assert_int_equal(td_model_writes(s->model), 1);
    give(s->f, "pub", "[15 101 \"group.seek\" " ALL "]");
    settle_down(s);
}

static void test_seek_leaves_what_is_being_buried(void **state)
{
    struct streams *s = *state;

    bury_again(s);
    let_store(s);
    settle_down(s);
    assert_int_equal(events_to(s->f, "sub"), 2);
    assert_int_equal(dead(s), 1);
}

/* The same, and it is not written: it is on its way still. */
static void test_seek_buries_again_what_was_not_written(void **state)
{
    struct streams *s = *state;

    bury_again(s);
    td_model_fail(s->model, 1, TIDINGS_EFULL);
    let_store(s);
    pass(s->f, 2000);
    settle_down(s);
    assert_int_equal(dead(s), 1);
    kill_broker(s);
    hello(s->f, "pub");
    hello(s->f, "sub");
    assert_int_equal(dead(s), 1);
}

/* Where it was to begin is an option of it, whatever it is sent to later. */
static void test_seek_leaves_the_start_that_was_asked_for(void **state)
{
    struct streams *s = *state;
    struct td_str row;

    hello(s->f, "pub");
    put(s, "pub", "a", 3, 1, DISK);
    settle_down(s);
    call(s, "pub", "group.add", "{" G " \"start\" \"time\" \"start_ms\" 5000}");
    call(s, "pub", "group.seek",
         "{" G " \"start\" \"time\" \"start_ms\" 9000}");
    for (int i = 0; i < 2; i++) {
        row = row_of(call(s, "pub", "group.list", "{}"), "groups", 0);
        assert_true(is_text(text_of(row, "start"), "time"));
        assert_int_equal(count(row, "start_ms"), 5000);
        settle_down(s);
        kill_broker(s);
        hello(s->f, "pub");
    }
}

static void test_seek_has_no_time_for_other_starts(void **state)
{
    struct streams *s = *state;
    struct td_str row;
    struct td_str value;

    hello(s->f, "pub");
    call(s, "pub", "group.add", "{" G " \"start\" 3}");
    call(s, "pub", "group.seek",
         "{" G " \"start\" \"time\" \"start_ms\" 9000}");
    row = row_of(call(s, "pub", "group.list", "{}"), "groups", 0);
    assert_int_equal(count(row, "start"), 3);
    assert_false(td_map_find(row, "start_ms", &value));
}

/* ---- away from the newest of each type ---- */

/* A group that is to have the newest of each of two types of 1 to 5, and no
 * member. */
static void begin_with_newest(struct streams *s)
{
    hello(s->f, "pub");
    put(s, "pub", "a", 3, 1, DISK);
    put(s, "pub", "b", 2, 4, DISK);
    call(s, "pub", "group.add", "{" G " \"start\" \"last\"}");
    pass(s->f, 100);
    settle_down(s);
}

static void join(struct streams *s)
{
    hello(s->f, "sub");
    consume(s, "sub", 1, ">", "events", "g", "");
}

static void test_seek_ends_the_wish_for_the_newest(void **state)
{
    struct streams *s = *state;

    begin_with_newest(s);
    call(s, "pub", "group.seek", ALL);
    join(s);
    assert_int_equal(events_to(s->f, "sub"), 5);
}

/* The time is looked for in the store, where nobody answers, and the broker is
 * killed meanwhile: rather too early than too late. */
static void test_seek_to_a_time_ends_it_whoever_is_killed(void **state)
{
    struct streams *s = *state;

    begin_with_newest(s);
    kill_broker(s); /* nothing is in memory */
    hello(s->f, "pub");
    hold_store(s);
    give(s->f, "pub",
         "[15 1 \"group.seek\" {" G " \"start\" \"time\" \"start_ms\" 1}]");
    pass(s->f, 100);
    td_model_commit(s->model, 8);
    settle_down(s);
    assert_true(s->f->engine->streams.consumers->locating);
    kill_broker(s);
    join(s);
    assert_int_equal(events_to(s->f, "sub"), 5);
}

/* It is answered, and the broker is killed while the place is looked for. */
static void test_seek_to_a_time_is_kept_whoever_is_killed(void **state)
{
    struct streams *s = *state;

    hello(s->f, "pub");
    call(s, "pub", "group.add", "{" G "}");
    for (uint64_t n = 1; n <= 8; n++) {
        put(s, "pub", "a", 1, n, DISK);
        pass(s->f, 100);
        settle_down(s);
    }
    kill_broker(s); /* nothing is in memory */
    hello(s->f, "pub");
    hold_store(s);
    givef(s->f, "pub",
          "[15 1 \"group.seek\" {" G " \"start\" \"time\" \"start_ms\" %lld}]",
          (long long)td_engine_unix_ms(s->f->engine) - 250);
    settle_down(s);
    td_model_commit(s->model, 8);
    settle_down(s);
    assert_int_equal(code_of_reply(s->f, "pub"), TIDINGS_OK);
    assert_true(s->f->engine->streams.consumers->locating);
    kill_broker(s);
    join(s);
    pass(s->f, 100);
    settle_down(s);
    GOT(s, "sub", 7, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_STREAM(test_seek_delivers_what_is_redriven_once),
        TEST_STREAM(test_seek_delivers_the_dead_once),
        TEST_STREAM(test_seek_delivers_the_dead_whoever_is_killed),
        TEST_STREAM(test_seek_that_failed_leaves_the_dead),
        TEST_STREAM(test_seek_leaves_what_is_redriven_whoever_is_killed),
        TEST_STREAM(test_seek_leaves_what_is_being_buried),
        TEST_STREAM(test_seek_buries_again_what_was_not_written),
        TEST_STREAM(test_seek_leaves_the_start_that_was_asked_for),
        TEST_STREAM(test_seek_has_no_time_for_other_starts),
        TEST_STREAM(test_seek_ends_the_wish_for_the_newest),
        TEST_STREAM(test_seek_to_a_time_ends_it_whoever_is_killed),
        TEST_STREAM(test_seek_to_a_time_is_kept_whoever_is_killed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
