/* The engine: who begins with the newest of each name, and what is expected of
 * a key. */
#include "tests/unit/stream_fixture.h"

#include <stdio.h>

#include "broker/engine/internal.h"
#include "tests/support/mp.h"

#define KEYED "{\"name\" \"k\" \"patterns\" [\"k.>\"] \"keyed\" true}"

static void put_keys(struct streams *s, const char *const *keys, uint32_t n,
                     uint64_t first)
{
    const struct piece piece = {"k.a", n, 10, first, keys};

    publish(s->f, "pub", DISK, &piece, 1);
    settle_down(s);
}

static void put_key(struct streams *s, const char *key, uint64_t n)
{
    put_keys(s, &key, 1, n);
}

static void begin_keyed(struct streams *s)
{
    hello(s->f, "pub");
    hello(s->f, "sub");
    call(s, "pub", "stream.add", KEYED);
}

/* ---- who begins ---- */

static void test_reader_begins_with_the_newest_of_each_type(void **state)
{
    struct streams *s = *state;

    hello(s->f, "pub");
    hello(s->f, "sub");
    hello(s->f, "some");
    put(s, "pub", "a", 3, 1, DISK);
    put(s, "pub", "b", 2, 4, DISK);
    put(s, "pub", "c", 2, 6, DISK);
    put(s, "pub", "a", 2, 8, DISK);
    consume(s, "sub", 1, ">", "events", NULL, "\"start\" \"last\"");
    consume(s, "some", 1, "c", "events", NULL, "\"start\" \"last\"");
    GOT(s, "sub", 5, 7, 9);
    GOT(s, "some", 7);
    put(s, "pub", "a", 2, 10, DISK);
    put(s, "pub", "c", 1, 12, DISK);
    GOT(s, "sub", 5, 7, 9, 10, 11, 12); /* and then all */
    GOT(s, "some", 7, 12);
}

static void test_reader_begins_with_the_newest_of_each_key(void **state)
{
    static const char *const keys[] = {"x", "y", "x", NULL, NULL, "z", "y"};
    struct streams *s = *state;

    begin_keyed(s);
    put_keys(s, keys, 7, 1);
    put(s, "pub", "k.b", 3, 8, DISK); /* without keys: by type */
    consume(s, "sub", 1, ">", "k", NULL, "\"start\" \"last\"");
    GOT(s, "sub", 3, 5, 6, 7, 10);
}

/* Of a stream that is not keyed no event is opened: keys are nothing to it. */
static void test_reader_of_a_plain_stream_knows_no_keys(void **state)
{
    static const char *const keys[] = {"x", "y", "x"};
    struct streams *s = *state;
    const struct piece piece = {"a", 3, 10, 1, keys};

    hello(s->f, "pub");
    hello(s->f, "sub");
    publish(s->f, "pub", DISK, &piece, 1);
    settle_down(s);
    consume(s, "sub", 1, ">", "events", NULL, "\"start\" \"last\"");
    GOT(s, "sub", 3);
}

static void test_reader_begins_in_memory(void **state)
{
    struct streams *s = *state;

    hello(s->f, "pub");
    hello(s->f, "sub");
    call(s, "pub", "stream.add",
         "{\"name\" \"k\" \"patterns\" [\"k.>\"] \"keyed\" true \"storage\" "
         "\"memory\" \"max_events\" 3}");
    put_key(s, "x", 1);
    put_key(s, "y", 2);
    put_key(s, "x", 3);
    put_key(s, "x", 4);
    put_key(s, "x", 5); /* what y had is gone */
    consume(s, "sub", 1, ">", "k", NULL, "\"start\" \"last\"");
    GOT(s, "sub", 5);
}

static void test_empty_stream_has_no_newest(void **state)
{
    struct streams *s = *state;

    begin_keyed(s);
    consume(s, "sub", 1, ">", "k", NULL, "\"start\" \"last\"");
    put_key(s, "x", 1);
    put_key(s, "x", 2);
    GOT(s, "sub", 1, 2);
}

/* Those not fed yet at the crash are fed by what is the newest then. */
static void test_group_goes_on_with_the_newest(void **state)
{
    struct streams *s = *state;

    begin_keyed(s);
    put_key(s, "x", 1);
    put_key(s, "y", 2);
    put_key(s, "x", 3);
    put_key(s, "z", 4);
    put_key(s, "w", 5);
    consume(s, "sub", 1, ">", "k", "g",
            "\"start\" \"last\" \"max_in_flight\" 1");
    GOT(s, "sub", 2);
    settle(s, "sub", TD_ACK, 1, 1);
    GOT(s, "sub", 2, 3);
    put_key(s, "z", 6);
    pass(s->f, 100);
    settle_down(s);
    kill_broker(s);
    hello(s->f, "pub");
    hello(s->f, "sub");
    put_key(s, "z", 7);
    consume(s, "sub", 1, ">", "k", "g", "");
    GOT(s, "sub", 3); /* it was not settled */
    settle(s, "sub", TD_ACK, 1, 1);
    GOT(s, "sub", 3, 5);
    settle(s, "sub", TD_ACK, 2, 4);
    settle(s, "sub", TD_ACK, 3, 3);
    settle(s, "sub", TD_ACK, 4, 4);
    GOT(s, "sub", 3, 5, 6, 7);
    assert_int_equal(
        count(row_of(call(s, "pub", "group.list", "{}"), "groups", 0),
              "expired"),
        0);
}

/* The name that it goes on from has a newer event meanwhile. */
static void test_group_goes_on_when_its_name_moves(void **state)
{
    struct streams *s = *state;

    begin_keyed(s);
    put_key(s, "x", 1);
    put_key(s, "y", 2);
    put_key(s, "z", 3);
    consume(s, "sub", 1, ">", "k", "g",
            "\"start\" \"last\" \"max_in_flight\" 1");
    GOT(s, "sub", 1);
    put_key(s, "x", 4);
    settle(s, "sub", TD_ACK, 1, 1);
    GOT(s, "sub", 1, 2);
    call(s, "pub", "stream.purge", "{\"name\" \"k\" \"before\" 3}");
    settle(s, "sub", TD_ACK, 2, 2);
    GOT(s, "sub", 1, 2, 3);
    put_key(s, "z", 5);
    settle(s, "sub", TD_ACK, 3, 3);
    settle(s, "sub", TD_ACK, 4, 4);
    GOT(s, "sub", 1, 2, 3, 4, 5);
}

static void test_group_seeks_the_newest(void **state)
{
    struct streams *s = *state;

    begin_keyed(s);
    consume(s, "sub", 1, ">", "k", "g", "\"start\" \"all\"");
    put_key(s, "x", 1);
    put_key(s, "y", 2);
    put_key(s, "x", 3);
    GOT(s, "sub", 1, 2, 3);
    settle(s, "sub", TD_ACK, 1, 3);
    call(s, "pub", "group.seek",
         "{\"stream\" \"k\" \"group\" \"g\" \"start\" \"last\"}");
    settle_down(s);
    GOT(s, "sub", 1, 2, 3, 2, 3);
}

/* The store does not take it: the group goes on as if it had never been sent
 * elsewhere, with the newest. */
static void test_group_that_could_not_seek_goes_on_with_the_newest(void **state)
{
    struct streams *s = *state;

    begin_keyed(s);
    put_key(s, "x", 1);
    put_key(s, "y", 2);
    put_key(s, "w", 3);
    put_key(s, "x", 4);
    put_key(s, "x", 5);
    consume(s, "sub", 1, ">", "k", "g",
            "\"start\" \"last\" \"max_in_flight\" 1");
    GOT(s, "sub", 2);
    pass(s->f, 100);
    settle_down(s);
    hold_store(s);
    td_model_fail(s->model, 1, TIDINGS_EFULL);
    give(s->f, "pub",
         "[15 9 \"group.seek\" {\"stream\" \"k\" \"group\" \"g\" "
         "\"start\" \"new\"}]");
    settle_down(s);
    let_store(s);
    pass(s->f, 2000);
    settle_down(s);
    GOT(s, "sub", 2, 2);
    settle(s, "sub", TD_ACK, 2, 2);
    settle(s, "sub", TD_ACK, 3, 3);
    settle(s, "sub", TD_ACK, 4, 4);
    GOT(s, "sub", 2, 2, 3, 5);
}

/* What a reader was fed and not sent is taken back when memory is short, also
 * to before the end of the phase in which it had only the newest. */
static void test_reader_that_is_fed_again_has_the_newest(void **state)
{
    static const char *const keys[] = {"x", "y", "y", "z", "z"};
    struct streams *s = *state;
    struct td_consumer *c;

    begin_keyed(s);
    put_keys(s, keys, 5, 1);
    give(s->f, "sub",
         "[5 1 1 \">\" {\"events\" 1 \"bytes\" 2000000 \"stream\" \"k\" "
         "\"start\" \"last\"}]");
    settle_down(s);
    GOT(s, "sub", 1);
    c = s->f->engine->streams.consumers;
    assert_int_equal(c->cursor, 6);
    assert_int_equal(c->newest_to, 0);
    td_consumer_unfeed(s->f->engine, c, &c->group->queue);
    assert_int_equal(c->cursor, 3);
    assert_int_equal(c->newest_to, 6);
}

/* ---- what is known ---- */

static void test_newest_is_what_is_committed(void **state)
{
    struct streams *s = *state;

    begin_keyed(s);
    put_key(s, "x", 1);
    put_key(s, "y", 2);
    hold_store(s);
    put_key(s, "x", 3);
    put_key(s, "new", 4);
    consume(s, "sub", 1, ">", "k", NULL, "\"start\" \"last\"");
    td_model_serve(s->model, UINT32_MAX);
    settle_down(s);
    td_model_fail(s->model, 1, TIDINGS_EFULL);
    let_store(s);
    GOT(s, "sub", 1, 2);
    put_key(s, "y", 5);
    GOT(s, "sub", 1, 2, 3); /* its number is free again */
    hello(s->f, "late");
    consume(s, "late", 1, ">", "k", NULL, "\"start\" \"last\"");
    GOT(s, "late", 1, 3);
}

static void test_newest_is_there_after_a_crash(void **state)
{
    struct streams *s = *state;

    begin_keyed(s);
    put_key(s, "x", 1);
    put_key(s, "y", 2);
    put_key(s, "x", 3);
    put_key(s, "w", 4);
    cut_power(s);
    hello(s->f, "sub");
    consume(s, "sub", 1, ">", "k", NULL, "\"start\" \"last\"");
    GOT(s, "sub", 2, 3, 4);
}

/* Records in the store: of a stream its options, twice, its state, its events,
 * and one for each name; and the producer. */
static void test_newest_forgets_what_retention_took(void **state)
{
    struct streams *s = *state;
    uint32_t before;

    begin_keyed(s);
    put_key(s, "x", 1);
    before = td_model_records(s->model);
    put_key(s, "y", 2);
    put_key(s, "z", 3);
    assert_int_equal(td_model_records(s->model), before + 4);
    call(s, "pub", "stream.purge", "{\"name\" \"k\" \"before\" 3}");
    settle_down(s);
    assert_int_equal(td_model_records(s->model), before);
    put_key(s, "x", 4);
    consume(s, "sub", 1, ">", "k", NULL, "\"start\" \"last\"");
    GOT(s, "sub", 3, 4);
    call(s, "pub", "stream.delete", "{\"name\" \"k\"}");
    settle_down(s);
    assert_int_equal(td_model_records(s->model), before - 5);
}

/* A row that is damaged is a name that nobody knows: all come. */
static void test_damaged_newest_is_not_left_out(void **state)
{
    struct streams *s = *state;
    uint8_t hash[TD_LAST_HASH_BYTES];
    struct td_event event = {0};
    struct td_place key;
    struct td_buf b = {0};

    begin_keyed(s);
    put_key(s, "x", 1);
    put_key(s, "y", 2);
    put_key(s, "y", 3);
    td_mp(&b, "{\"partitionkey\" \"x\"}");
    event.attrs = td_mp_str(&b);
    assert_true(td_newest_key(hash, &event));
    td_buf_fini(&b);
    key = td_place_last(2, hash);
    assert_true(td_model_damage(s->model, td_place_str(&key)));
    kill_broker(s);
    hello(s->f, "pub");
    hello(s->f, "sub");
    put_key(s, "y", 4);
    put_key(s, "y", 5);
    consume(s, "sub", 1, ">", "k", NULL, "\"start\" \"last\"");
    GOT(s, "sub", 1, 2, 3, 5);
}

/* What a program without names has written. */
static void test_rows_of_format_2_are_read(void **state)
{
    static const uint8_t rows[49] = {1, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0,
                                     0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 7};
    struct td_str row = {(const char *)rows, 41};
    struct td_stream_state stream;
    struct td_floor floor;

    (void)state;
    assert_true(td_state_read(row, &stream));
    assert_int_equal(stream.first, 3);
    assert_int_equal(stream.next, 9);
    assert_int_equal(stream.indexed, 9);
    row.len = 17;
    assert_true(td_floor_read(row, &floor));
    assert_int_equal(floor.floor, 3);
    assert_int_equal(floor.dead_next, 9);
    assert_int_equal(floor.newest_to, 0);
    row.len = 25; /* and one that knew nothing of losses */
    assert_true(td_floor_read(row, &floor));
    assert_int_equal(floor.newest_to, 7);
    assert_int_equal(floor.untold.events, 0);
    row.len = 49; /* and one whose dead letters settled all that they had */
    assert_true(td_floor_read(row, &floor));
    assert_int_equal(floor.dead_from, 0);
    row.len = 42;
    assert_false(td_state_read(row, &stream));
    assert_false(td_floor_read(row, &floor));
}

/* ---- what is expected ---- */

static void put_if(struct streams *s, const char *type, const char *const *keys,
                   uint32_t n, uint64_t first, const char *options)
{
    const struct piece piece = {type, n, 10, first, keys};

    publish_if(s->f, "pub", DISK, &piece, 1, options);
    settle_down(s);
}

static void check_confirm(struct streams *s, uint32_t nth, tidings_err code,
                          uint64_t sequence)
{
    struct td_confirm row;

    assert_true(confirm_to(s, "pub", nth, &row));
    assert_int_equal(row.code, code);
    assert_int_equal(row.sequence, sequence);
}

static void test_key_takes_what_is_expected(void **state)
{
    static const char *const two[] = {"x", "x"};
    static const char *const other[] = {"y"};
    struct streams *s = *state;

    begin_keyed(s);
    put_if(s, "k.a", two, 2, 1, "{\"expect_key\" 0}");
    check_confirm(s, 0, TIDINGS_OK, 1);
    put_if(s, "k.a", other, 1, 3, "{\"expect_key\" 0}");
    check_confirm(s, 1, TIDINGS_OK, 3);
    put_if(s, "k.b", two, 1, 4, "{\"expect_key\" 3}");
    check_confirm(s, 2, TIDINGS_ECONFLICT, 2);
    put_if(s, "k.b", two, 1, 5, "{\"expect_key\" 0}");
    check_confirm(s, 3, TIDINGS_ECONFLICT, 2);
    put_if(s, "k.b", two, 1, 6, "{\"expect_key\" 2}");
    check_confirm(s, 4, TIDINGS_OK, 4);
    put_if(s, "k.b", two, 1, 6, "{\"expect_key\" 2}"); /* sent again */
    check_confirm(s, 5, TIDINGS_OK, 0);
}

/* It is decided when it is submitted, and again when that has failed. */
static void test_key_expects_what_was_submitted(void **state)
{
    static const char *const x[] = {"x"};
    struct streams *s = *state;

    begin_keyed(s);
    put_if(s, "k.a", x, 1, 1, "{\"expect_key\" 0}");
    hold_store(s);
    put_if(s, "k.a", x, 1, 2, "{\"expect_key\" 1}");
    put_if(s, "k.a", x, 1, 3, "{\"expect_key\" 1}");
    td_model_fail(s->model, 1, TIDINGS_EFULL);
    let_store(s);
    check_confirm(s, 1, TIDINGS_ECONFLICT, 2);
    check_confirm(s, 2, TIDINGS_EFULL, 0);
    put_if(s, "k.a", x, 1, 4, "{\"expect_key\" 1}");
    check_confirm(s, 3, TIDINGS_OK, 2);
}

static void test_key_that_is_gone_is_expected_anew(void **state)
{
    static const char *const x[] = {"x"};
    struct streams *s = *state;

    begin_keyed(s);
    put_key(s, "x", 1);
    put_key(s, "y", 2);
    hold_store(s);
    givef(s->f, "pub", "[15 7 \"stream.purge\" {\"name\" \"k\" \"before\" 2}]");
    put_if(s, "k.a", x, 1, 3, "{\"expect_key\" 0}");
    let_store(s);
    check_confirm(s, 2, TIDINGS_OK, 3);
    put_if(s, "k.a", x, 1, 4, "{\"expect_key\" 3}");
    check_confirm(s, 3, TIDINGS_OK, 4);
}

static void test_key_is_one_in_a_keyed_stream(void **state)
{
    static const char *const mixed[] = {"x", "y"};
    static const char *const some[] = {"x", NULL};
    static const char *const x[] = {"x"};
    struct streams *s = *state;

    begin_keyed(s);
    put_if(s, "k.a", mixed, 2, 1, "{\"expect_key\" 0}");
    check_confirm(s, 0, TIDINGS_EINVAL, 0);
    put_if(s, "k.a", some, 2, 3, "{\"expect_key\" 0}");
    check_confirm(s, 1, TIDINGS_EINVAL, 0);
    put_if(s, "k.a", NULL, 1, 5, "{\"expect_key\" 0}");
    check_confirm(s, 2, TIDINGS_EINVAL, 0);
    put_if(s, "a", x, 1, 6, "{\"expect_key\" 0}");
    check_confirm(s, 3, TIDINGS_EINVAL, 0);
    put_if(s, "k.a", x, 1, 7, "{\"expect_key\" 0}");
    check_confirm(s, 4, TIDINGS_OK, 1);
}

static void test_conditions_that_are_none_end_the_session(void **state)
{
    static const char *const bad[] = {
        "{\"expect_key\" \"x\"}",
        "{\"expect_key\" -1}",
        "{\"expect_key\" 0 \"expect\" 0}",
        "{\"expect_key\" nil}",
    };
    static const char *const x[] = {"x"};
    struct streams *s = *state;

    for (uint32_t i = 0; i < TD_ARRAY_LEN(bad); i++) {
        hello(s->f, "pub");
        put_if(s, "k.a", x, 1, 1, bad[i]);
        assert_bye(s->f, bad[i], "pub", TIDINGS_EPROTO);
        forget(s->f);
    }
}

/* ---- what is no option ---- */

static void test_last_has_no_time(void **state)
{
    struct streams *s = *state;

    begin_keyed(s);
    assert_int_equal(call_code(s, "pub", "group.add",
                               "{\"stream\" \"k\" \"group\" \"g\" \"start\" "
                               "\"last\" \"start_ms\" 1}"),
                     TIDINGS_EINVAL);
    assert_int_equal(call_code(s, "pub", "stream.add",
                               "{\"name\" \"q\" \"patterns\" [\"q\"] "
                               "\"keyed\" 1}"),
                     TIDINGS_EINVAL);
    assert_int_equal(call_code(s, "pub", "stream.add",
                               "{\"name\" \"k\" \"patterns\" [\"k.>\"]}"),
                     TIDINGS_EEXIST);
    call(s, "pub", "stream.add", KEYED);
}

/* Who publishes cannot choose what meets in a table, before or after. */
static void test_tables_of_streams_have_the_seed(void **state)
{
    struct streams *s = *state;

    hello(s->f, "pub");
    call(s, "pub", "stream.add", "{\"name\" \"k\" \"patterns\" [\"k\"]}");
    for (int life = 0; life < 2; life++) {
        assert_int_equal(td_stream_by_id(s->f->engine, 2)->lasts.seed, 88);
        assert_int_equal(td_stream_by_id(s->f->engine, 2)->dedup.seed, 88);
        kill_broker(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_STREAM(test_reader_begins_with_the_newest_of_each_type),
        TEST_STREAM(test_reader_begins_with_the_newest_of_each_key),
        TEST_STREAM(test_reader_of_a_plain_stream_knows_no_keys),
        TEST_STREAM(test_reader_begins_in_memory),
        TEST_STREAM(test_empty_stream_has_no_newest),
        TEST_STREAM(test_group_goes_on_with_the_newest),
        TEST_STREAM(test_group_goes_on_when_its_name_moves),
        TEST_STREAM(test_group_seeks_the_newest),
        TEST_STREAM(test_reader_that_is_fed_again_has_the_newest),
        TEST_STREAM(test_group_that_could_not_seek_goes_on_with_the_newest),
        TEST_STREAM(test_newest_is_what_is_committed),
        TEST_STREAM(test_newest_is_there_after_a_crash),
        TEST_STREAM(test_newest_forgets_what_retention_took),
        TEST_STREAM(test_damaged_newest_is_not_left_out),
        TEST_STREAM(test_rows_of_format_2_are_read),
        TEST_STREAM(test_key_takes_what_is_expected),
        TEST_STREAM(test_key_expects_what_was_submitted),
        TEST_STREAM(test_key_that_is_gone_is_expected_anew),
        TEST_STREAM(test_key_is_one_in_a_keyed_stream),
        TEST_STREAM(test_conditions_that_are_none_end_the_session),
        TEST_STREAM(test_last_has_no_time),
        TEST_STREAM(test_tables_of_streams_have_the_seed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
