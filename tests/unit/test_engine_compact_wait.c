/* The engine: few events make a pass of compaction begin too, after a while, and
 * none begins when nothing can go. */
#include "tests/unit/stream_fixture.h"

#include "broker/store/model_inside.h"

#define OPTIONS                                                                \
    "{\"name\" \"k\" \"patterns\" [\"k.>\"] \"keyed\" true \"compact\" true "  \
    "\"tombstone_ms\" %u}"

#define TOMBSTONE_MS 5000
#define LONG_MS      (10 * TD_COMPACT_WAIT_MS)

static void begin_stream(struct streams *s)
{
    char options[200];

    snprintf(options, sizeof(options), OPTIONS, TOMBSTONE_MS);
    hello(s->f, "pub");
    call(s, "pub", "stream.add", options);
}

/* The n-th event, a record of its own; size 0: a tombstone. */
static void put_one(struct streams *s, const char *key, uint32_t size,
                    uint64_t n)
{
    const struct piece piece = {"k.a", 1, size, n, &key};

    publish(s->f, "pub", DISK, &piece, 1);
    settle_down(s);
}

/* The publisher is heard of all the while. */
static void wait_ms(struct streams *s, int64_t ms)
{
    for (; ms > 0; ms -= TD_HEARTBEAT_MS) {
        give(s->f, "pub", "[11 1]");
        pass(s->f, ms < TD_HEARTBEAT_MS ? ms : TD_HEARTBEAT_MS);
        settle_down(s);
    }
}

/* … and the engine wants nothing of the store, nor to be called at once. */
static void rest(struct streams *s, int64_t ms)
{
    hold_store(s);
    for (; ms > 0; ms -= TD_HEARTBEAT_MS) {
        give(s->f, "pub", "[11 1]");
        pass(s->f, TD_HEARTBEAT_MS);
        assert_true(s->f->next > s->f->now);
    }
    assert_int_equal(td_model_reads(s->model), 0);
    assert_int_equal(td_model_writes(s->model), 0);
    let_store(s);
}

/* Of the stream these are in the store, in this order; 0 ends them. */
static void check_left(struct streams *s, const uint64_t *expected)
{
    const struct td_records *map = &s->model->current->map;
    struct td_record_head head;
    uint64_t first;
    uint32_t id;

    for (uint32_t i = 0; i < map->len; i++) {
        const struct td_kept_record *record = map->records[i];

        if (!td_place_read_two(record->key, TD_TABLE_RECORD, &id, &first) ||
            id != 2)
            continue;
        assert_true(td_record_read(
            (struct td_str){record->value.data, record->value.len}, &head));
        for (uint32_t k = 0; k < head.events && !head.gone; k++)
            assert_int_equal(first + k, *expected++);
    }
    assert_int_equal(*expected, 0);
}

#define LEFT(s, ...) check_left(s, (const uint64_t[]){__VA_ARGS__, 0})

static void begin_five(struct streams *s)
{
    begin_stream(s);
    for (uint64_t n = 1; n <= 3; n++)
        put_one(s, "user7", 10, n);
    put_one(s, "user7", 0, 4);
    put_one(s, "user8", 10, 5);
}

static void test_few_events_go_too(void **state)
{
    struct streams *s = *state;

    begin_five(s);
    wait_ms(s, TD_COMPACT_WAIT_MS - TD_HEARTBEAT_MS);
    LEFT(s, 1, 2, 3, 4, 5); /* nothing is hurried */
    wait_ms(s, TD_HEARTBEAT_MS);
    LEFT(s, 5);
    rest(s, LONG_MS);
    put_one(s, "user8", 10, 6);
    wait_ms(s, TD_COMPACT_WAIT_MS);
    LEFT(s, 6);
    rest(s, LONG_MS);
}

static void test_few_events_go_after_a_restart(void **state)
{
    struct streams *s = *state;

    begin_five(s);
    cut_power(s);
    hello(s->f, "pub");
    wait_ms(s, TD_COMPACT_WAIT_MS);
    LEFT(s, 5);
    rest(s, LONG_MS);
}

/* It is not old yet when a pass sees it. */
static void test_a_tombstone_goes_in_its_time(void **state)
{
    struct streams *s = *state;

    begin_stream(s);
    call(s, "pub", "stream.set", "{\"name\" \"k\" \"tombstone_ms\" 100000}");
    put_one(s, "x", 10, 1);
    put_one(s, "x", 0, 2);
    put_one(s, "y", 10, 3);
    wait_ms(s, TD_COMPACT_WAIT_MS);
    LEFT(s, 2, 3);
    rest(s, 100000 - TD_COMPACT_WAIT_MS - TD_HEARTBEAT_MS);
    wait_ms(s, TD_HEARTBEAT_MS);
    LEFT(s, 3);
    rest(s, LONG_MS);
}

/* The newest record stays, and what is in it goes when it is that no more:
 * whether a pass was there before or the broker began anew. */
static void check_newest(struct streams *s, bool restarts)
{
    begin_stream(s);
    put_one(s, "x", 10, 1);
    put_one(s, "x", 0, 2);
    wait_ms(s, TD_COMPACT_WAIT_MS);
    LEFT(s, 2);
    if (restarts) {
        cut_power(s);
        hello(s->f, "pub");
        wait_ms(s, TD_COMPACT_WAIT_MS);
    }
    rest(s, LONG_MS);
    LEFT(s, 2);
    put_one(s, "y", 10, 3);
    wait_ms(s, TD_COMPACT_WAIT_MS);
    LEFT(s, 3);
    rest(s, LONG_MS);
}

static void test_a_tombstone_may_be_the_newest(void **state)
{
    check_newest(*state, false);
}

static void test_a_tombstone_may_be_the_newest_at_a_start(void **state)
{
    check_newest(*state, true);
}

/* Several of one name in a record, the others of it new: they go with it. */
static void test_repeats_in_a_record_go(void **state)
{
    static const char *const keys[] = {"w", "w", "w"};
    const struct piece piece = {"k.a", 3, 500, 3, keys};
    struct streams *s = *state;

    begin_stream(s);
    put_one(s, "a", 10, 1);
    put_one(s, "b", 10, 2);
    wait_ms(s, TD_COMPACT_WAIT_MS);
    publish(s->f, "pub", DISK, &piece, 1);
    settle_down(s);
    wait_ms(s, TD_COMPACT_WAIT_MS);
    put_one(s, "c", 10, 6);
    wait_ms(s, TD_COMPACT_WAIT_MS);
    LEFT(s, 1, 2, 5, 6);
}

static void test_names_that_are_new_cost_no_pass(void **state)
{
    static const char *const keys[] = {"a", "b", "c", "d", "e", "f"};
    struct streams *s = *state;

    begin_stream(s);
    for (uint64_t n = 1; n <= 3;
         n++) { /* what there was is not known at first */
        put_one(s, keys[n - 1], 10, n);
        wait_ms(s, TD_COMPACT_WAIT_MS);
    }
    for (uint64_t n = 4; n <= 6; n++) {
        put_one(s, keys[n - 1], 10, n);
        rest(s, LONG_MS);
    }
    LEFT(s, 1, 2, 3, 4, 5, 6);
}

/* A large one is not read for a few, but for a tombstone. */
static void test_a_large_stream_waits_for_more(void **state)
{
    static const uint32_t names = 50;
    static char name[50][4];
    struct streams *s = *state;
    uint64_t left[60] = {0};
    uint32_t len = 0;
    uint64_t n = 1;

    begin_stream(s);
    for (; n <= names; n++) {
        snprintf(name[n - 1], sizeof(name[0]), "%u", (unsigned)n);
        put_one(s, name[n - 1], 100000, n);
    }
    assert_true(TD_COMPACT_WAIT_BYTES < names * 100000);
    for (int i = 0; i < 2; i++) { /* what there was is not known at first */
        put_one(s, "z", 10, n++);
        wait_ms(s, 2 * TD_COMPACT_WAIT_MS);
    }
    for (int i = 0; i < 10; i++)
        put_one(s, "z", 10, n++);
    rest(s, LONG_MS);
    put_one(s, "1", 0, n++);
    put_one(s, "y", 10, n++);
    wait_ms(s, 2 * TD_COMPACT_WAIT_MS + TD_HEARTBEAT_MS);
    for (uint64_t k = 2; k <= names; k++)
        left[len++] = k;
    left[len++] = n - 3;
    left[len++] = n - 1;
    check_left(s, left);
    rest(s, LONG_MS);
}

/* Nothing is written anew without room, nor is it read for that; with room it
 * goes like all else. */
static void test_what_had_no_room_waits_for_it(void **state)
{
    static const char *const keys[] = {"w", "a", "w", "b"};
    const struct piece piece = {"k.a", 4, 400, 1, keys};
    struct streams *s = *state;

    begin_stream(s);
    publish(s->f, "pub", DISK, &piece, 1);
    settle_down(s);
    put_one(s, "w", 10, 5);
    hold_store(s);
    put_one(s, "c", 10, 6);
    assert_int_equal(td_model_commit(s->model, 1), 1);
    td_model_limit(s->model, 1, 0);
    let_store(s);
    wait_ms(s, 2 * TD_COMPACT_WAIT_MS);
    LEFT(s, 1, 2, 3, 4, 5, 6);
    td_model_limit(s->model, 0, 0);
    wait_ms(s, 2000 + TD_COMPACT_WAIT_MS);
    LEFT(s, 2, 4, 5, 6);
    rest(s, LONG_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_STREAM(test_few_events_go_too),
        TEST_STREAM(test_few_events_go_after_a_restart),
        TEST_STREAM(test_a_tombstone_goes_in_its_time),
        TEST_STREAM(test_a_tombstone_may_be_the_newest),
        TEST_STREAM(test_a_tombstone_may_be_the_newest_at_a_start),
        TEST_STREAM(test_repeats_in_a_record_go),
        TEST_STREAM(test_names_that_are_new_cost_no_pass),
        TEST_STREAM(test_a_large_stream_waits_for_more),
        TEST_STREAM(test_what_had_no_room_waits_for_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
