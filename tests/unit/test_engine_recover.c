/* The engine: a stream whose state is damaged goes on where it was, and a reader
 * that retention overtakes. */
#include "tests/unit/stream_fixture.h"

#define LARGE 100000 /* bytes of an event: some of them fill a read */

static struct td_str stream_row(struct streams *s)
{
    return row_of(call(s, "pub", "stream.list", "{}"), "streams", 0);
}

static void damage(struct streams *s, const struct td_place *key)
{
    assert_true(td_model_damage(s->model, td_place_str(key)));
}

/* The state of stream 1 is damaged, and the broker starts anew. */
static void lose_state(struct streams *s)
{
    struct td_place key = td_place_one(TD_TABLE_STATE, 1);

    pass(s->f, 100); /* what groups settle is written a little later */
    settle_down(s);
    damage(s, &key);
    kill_broker(s);
    hello(s->f, "pub");
    hello(s->f, "sub");
}

/* What is published now is stored there. */
static void check_next(struct streams *s, uint64_t first, uint64_t sequence)
{
    struct td_confirm row;
    uint32_t n = 0;

    while (confirm_to(s, "pub", n, &row))
        n++;
    put(s, "pub", "a", 1, first, DISK);
    assert_true(confirm_to(s, "pub", n, &row));
    assert_int_equal(row.code, TIDINGS_OK);
    assert_int_equal(row.sequence, sequence);
}

static void test_stream_without_state_goes_on(void **state)
{
    struct streams *s = *state;
    struct td_str row;
    uint64_t bytes;

    hello(s->f, "pub");
    put(s, "pub", "a", 3, 1, DISK);
    put(s, "pub", "b", 4, 4, DISK);
    bytes = count(stream_row(s), "bytes");
    lose_state(s);
    row = stream_row(s);
    assert_int_equal(count(row, "first"), 1);
    assert_int_equal(count(row, "last"), 7);
    assert_int_equal(count(row, "bytes"), bytes);
    check_next(s, 8, 8);
    consume(s, "sub", 1, ">", "events", NULL, "\"start\" \"all\"");
    assert_int_equal(events_to(s->f, "sub"), 8);
    kill_broker(s); /* its state was written anew */
    hello(s->f, "pub");
    assert_int_equal(count(stream_row(s), "last"), 8);
}

static void test_stream_without_state_begins_where_it_did(void **state)
{
    struct streams *s = *state;

    hello(s->f, "pub");
    put(s, "pub", "a", 3, 1, DISK);
    put(s, "pub", "b", 4, 4, DISK);
    call(s, "pub", "stream.purge", "{\"name\" \"events\" \"before\" 4}");
    settle_down(s);
    lose_state(s);
    assert_int_equal(count(stream_row(s), "first"), 4);
    check_next(s, 8, 8);
}

static void test_stream_without_state_is_read_in_pages(void **state)
{
    struct streams *s = *state;
    const struct piece piece = {"a", 5, LARGE, 1, NULL};
    struct piece at = piece;

    hello(s->f, "pub");
    for (; at.first < 31; at.first += piece.count) {
        publish(s->f, "pub", DISK, &at, 1);
        settle_down(s);
        givef(s->f, "pub", "[11 1]");
    }
    lose_state(s);
    assert_int_equal(count(stream_row(s), "last"), 30);
    assert_true(count(stream_row(s), "bytes") > 30 * LARGE);
    check_next(s, 31, 31);
}

static void test_group_of_a_stream_without_state_goes_on(void **state)
{
    struct streams *s = *state;
    struct td_span span;

    hello(s->f, "pub");
    hello(s->f, "sub");
    consume(s, "sub", 1, ">", "events", "g", "");
    put(s, "pub", "a", 10, 1, DISK);
    settle(s, "sub", TD_ACK, 1, 8);
    lose_state(s);
    consume(s, "sub", 1, ">", "events", "g", "");
    assert_int_equal(events_to(s->f, "sub"), 2);
    assert_true(span_to(s, "sub", 0, &span));
    assert_int_equal(span.sequence, 9);
}

/* Nothing is left but what groups have settled. */
static void test_stream_without_state_and_records_uses_no_number_again(
    void **state)
{
    struct streams *s = *state;
    struct td_confirm row;

    hello(s->f, "pub");
    hello(s->f, "sub");
    consume(s, "sub", 1, ">", "events", "g", "");
    put(s, "pub", "a", 10, 1, DISK);
    settle(s, "sub", TD_ACK, 2, 10); /* not the first one */
    pass(s->f, 100);
    call(s, "pub", "stream.purge", "{\"name\" \"events\"}");
    lose_state(s);
    put(s, "pub", "a", 1, 11, DISK);
    assert_true(confirm_to(s, "pub", 0, &row));
    assert_true(row.sequence > 10);
    consume(s, "sub", 1, ">", "events", "g", "");
    assert_int_equal(events_to(s->f, "sub"), 1);
}

/* How many it held nobody knows. */
static void test_stream_without_state_and_newest_record_skips(void **state)
{
    struct streams *s = *state;
    struct td_place newest = td_place_two(TD_TABLE_RECORD, 1, 4);

    hello(s->f, "pub");
    put(s, "pub", "a", 3, 1, DISK);
    put(s, "pub", "b", 4, 4, DISK);
    damage(s, &newest);
    lose_state(s);
    check_next(s, 8, 4 + TD_EVENTS_MAX);
    consume(s, "sub", 1, ">", "events", NULL, "\"start\" \"all\"");
    assert_int_equal(events_to(s->f, "sub"), 4); /* and is told of the rest */
    assert_int_equal(missed_by(s->f, "sub", "damaged"), TD_EVENTS_MAX);
}

/* ---- rows that are there twice ---- */

static void lose_row(struct streams *s, enum td_table table, uint32_t id,
                     bool again)
{
    struct td_place key = td_place_one(table, id);

    if (again)
        key = td_place_again(&key);
    pass(s->f, 100);
    settle_down(s);
    damage(s, &key);
    kill_broker(s);
    hello(s->f, "pub");
    hello(s->f, "sub");
}

static void test_stream_is_there_though_a_row_of_it_is_not(void **state)
{
    struct streams *s = *state;
    struct td_str row;

    hello(s->f, "pub");
    call(s, "pub", "stream.add",
         "{\"name\" \"o\" \"patterns\" [\"o.>\"] \"max_events\" 2}");
    put(s, "pub", "o.a", 3, 1, DISK);
    for (int i = 0; i < 4; i++) { /* each time it is made whole */
        lose_row(s, TD_TABLE_STREAM, 2, i % 2);
        row = row_of(call(s, "pub", "stream.list", "{}"), "streams", 1);
        assert_true(is_text(text_of(row, "name"), "o"));
        assert_int_equal(count(row, "max_events"), 2);
        assert_int_equal(count(row, "last"), 3);
    }
    call(s, "pub", "stream.delete", "{\"name\" \"o\"}");
    kill_broker(s);
    hello(s->f, "pub");
    assert_int_equal(
        count(call(s, "pub", "stream.list", "{}"), "streams_total"), 1);
}

static void test_group_is_there_though_a_row_of_it_is_not(void **state)
{
    struct streams *s = *state;

    hello(s->f, "pub");
    hello(s->f, "sub");
    consume(s, "sub", 1, ">", "events", "g", "\"max_deliver\" 7");
    put(s, "pub", "a", 10, 1, DISK);
    settle(s, "sub", TD_ACK, 1, 8);
    for (int i = 0; i < 4; i++) {
        struct td_str row;

        lose_row(s, TD_TABLE_GROUP, 1, i % 2);
        row = row_of(call(s, "pub", "group.list", "{}"), "groups", 0);
        assert_int_equal(count(row, "max_deliver"), 7);
        assert_int_equal(count(row, "floor"), 9);
    }
    call(s, "pub", "group.delete", "{\"stream\" \"events\" \"group\" \"g\"}");
    kill_broker(s);
    hello(s->f, "pub");
    assert_int_equal(count(call(s, "pub", "group.list", "{}"), "groups_total"),
                     0);
}

static void test_other_streams_are_as_they_were(void **state)
{
    struct streams *s = *state;
    struct td_str row;

    hello(s->f, "pub");
    call(s, "pub", "stream.add", "{\"name\" \"o\" \"patterns\" [\"o.>\"]}");
    put(s, "pub", "o.a", 3, 1, DISK);
    put(s, "pub", "b", 5, 4, DISK);
    lose_state(s);
    row = row_of(call(s, "pub", "stream.list", "{}"), "streams", 1);
    assert_true(is_text(text_of(row, "name"), "o"));
    assert_int_equal(count(row, "last"), 3);
    check_next(s, 9, 6);
}

/* ---- a read that retention overtakes ---- */

/* What is to be fed next is then in the middle of a record. */
static void test_stream_is_read_on_from_within_a_record(void **state)
{
    struct streams *s = *state;

    hello(s->f, "pub");
    put(s, "pub", "a", 6, 1, DISK);
    put(s, "pub", "a", 6, 7, DISK);
    kill_broker(s); /* nothing is in memory */
    hello(s->f, "pub");
    hello(s->f, "sub");
    hold_store(s);
    consume(s, "sub", 1, ">", "events", NULL, "\"start\" \"all\"");
    give(s->f, "pub",
         "[15 1 \"stream.purge\" {\"name\" \"events\" \"before\" 10}]");
    settle_down(s);
    td_model_commit(s->model, 8);
    settle_down(s);
    assert_int_equal(missed_by(s->f, "sub", "expired"), 9);
    let_store(s); /* and now it is read */
    settle_down(s);
    assert_int_equal(events_to(s->f, "sub"), 3);
    assert_int_equal(missed_by(s->f, "sub", NULL), 9);
}

/* ---- a record that is lost ---- */

/* Records of 6 events each, at 1, 7 and 13, of which the second is lost. */
static void lose_second(struct streams *s)
{
    struct td_place second = td_place_two(TD_TABLE_RECORD, 1, 7);

    hello(s->f, "pub");
    for (uint64_t first = 1; first <= 13; first += 6)
        put(s, "pub", "a", 6, first, DISK);
    damage(s, &second);
    kill_broker(s); /* nothing is in memory */
    hello(s->f, "pub");
    hello(s->f, "sub");
}

static void test_reader_begins_within_a_lost_record(void **state)
{
    struct streams *s = *state;

    lose_second(s);
    consume(s, "sub", 1, ">", "events", NULL, "\"start\" 10");
    assert_int_equal(missed_by(s->f, "sub", "damaged"), 3);
    assert_int_equal(events_to(s->f, "sub"), 6);
}

/* C05: what damage took is told as that, with its sequences, and counted. */
static void test_group_is_told_of_a_lost_record(void **state)
{
    struct streams *s = *state;
    const struct td_frame *gap;

    lose_second(s);
    consume(s, "sub", 1, ">", "events", "g", "\"start\" \"all\"");
    assert_int_equal(missed_by(s->f, "sub", "damaged"), 6);
    assert_int_equal(missed_by(s->f, "sub", NULL), 6);
    gap = frame(s->f, "sub", TD_GAP, 0);
    assert_int_equal(gap->u.gap.first, 7);
    assert_int_equal(gap->u.gap.last, 12);
    assert_int_equal(events_to(s->f, "sub"), 12);
    assert_int_equal(
        count(row_of(call(s, "pub", "group.list", "{}"), "groups", 0),
              "expired"),
        6);
}

/* What retention took before is told as before. */
static void test_what_was_deleted_is_not_damaged(void **state)
{
    struct streams *s = *state;

    lose_second(s);
    call(s, "pub", "stream.purge", "{\"name\" \"events\" \"before\" 13}");
    settle_down(s);
    consume(s, "sub", 1, ">", "events", NULL, "\"start\" 1");
    assert_int_equal(missed_by(s->f, "sub", "expired"), 12);
    assert_int_equal(missed_by(s->f, "sub", NULL), 12);
    assert_int_equal(events_to(s->f, "sub"), 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_STREAM(test_stream_without_state_goes_on),
        TEST_STREAM(test_stream_without_state_begins_where_it_did),
        TEST_STREAM(test_stream_without_state_is_read_in_pages),
        TEST_STREAM(test_group_of_a_stream_without_state_goes_on),
        TEST_STREAM(test_stream_without_state_and_records_uses_no_number_again),
        TEST_STREAM(test_stream_without_state_and_newest_record_skips),
        TEST_STREAM(test_other_streams_are_as_they_were),
        TEST_STREAM(test_stream_is_there_though_a_row_of_it_is_not),
        TEST_STREAM(test_group_is_there_though_a_row_of_it_is_not),
        TEST_STREAM(test_stream_is_read_on_from_within_a_record),
        TEST_STREAM(test_reader_begins_within_a_lost_record),
        TEST_STREAM(test_group_is_told_of_a_lost_record),
        TEST_STREAM(test_what_was_deleted_is_not_damaged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
