/* The engine: what retention takes whose place it does not know, as after a
 * restart. */
#include "tests/unit/stream_fixture.h"

#define RECORDS 300u
#define FIRST   1000u /* number of its publisher: all are of one size */

static uint64_t field(struct streams *s, const char *name)
{
    return count(row_of(call(s, "pub", "stream.list", "{}"), "streams", 0),
                 name);
}

/* Records of one event each, whose places are forgotten. */
static uint64_t begin_unknown(struct streams *s)
{
    uint64_t bytes;

    hello(s->f, "pub");
    for (uint64_t n = 0; n < RECORDS; n++)
        put(s, "pub", "a", 1, FIRST + n, DISK);
    bytes = field(s, "bytes");
    kill_broker(s);
    hello(s->f, "pub");
    assert_int_equal(field(s, "bytes"), bytes);
    return bytes;
}

/* So many of them are to go. */
static void purge(struct streams *s, uint64_t records)
{
    givef(s->f, "pub",
          "[15 7 \"stream.purge\" {\"name\" \"events\" \"before\" %u}]",
          (unsigned)records + 1);
    settle_down(s);
}

/* Otherwise who publishes gets ahead: a read takes longer than a record. The
 * first ones are read when the broker starts. */
static void test_retain_reads_many_at_once(void **state)
{
    struct streams *s = *state;
    uint64_t bytes = begin_unknown(s);

    hold_store(s);
    purge(s, 280);
    td_model_commit(s->model, 8);
    settle_down(s);
    assert_int_equal(td_model_serve(s->model, 1), 1);
    settle_down(s);
    assert_int_equal(td_model_serve(s->model, 1), 0);
    let_store(s);
    assert_int_equal(field(s, "bytes"), bytes / RECORDS * 20);
    assert_int_equal(field(s, "first"), 281);
}

/* What was read ahead of a purge is not taken for what is there after it. */
static void test_retain_reads_anew_after_a_purge(void **state)
{
    struct streams *s = *state;
    uint64_t bytes = begin_unknown(s) / RECORDS;

    purge(s, 10);
    assert_int_equal(field(s, "bytes"), bytes * (RECORDS - 10));
    purge(s, RECORDS);
    assert_int_equal(field(s, "bytes"), 0);
    for (uint64_t n = 0; n < 10; n++)
        put(s, "pub", "a", 1, FIRST + RECORDS + n, DISK);
    purge(s, RECORDS + 5);
    assert_int_equal(field(s, "bytes"), bytes * 5);
    assert_int_equal(field(s, "first"), RECORDS + 6);
}

/* Nor is it when the store has kept what was to go. */
static void test_retain_reads_anew_what_was_not_deleted(void **state)
{
    struct streams *s = *state;
    uint64_t bytes = begin_unknown(s) / RECORDS;

    purge(s, 10);
    td_model_fail(s->model, 1, TIDINGS_EFULL);
    purge(s, 20);
    pass(s->f, 2000);
    settle_down(s);
    purge(s, 30);
    pass(s->f, 2000);
    settle_down(s);
    assert_int_equal(field(s, "first"), 31);
    assert_int_equal(field(s, "bytes"), bytes * (RECORDS - 30));
    kill_broker(s);
    hello(s->f, "pub");
    assert_int_equal(field(s, "bytes"), bytes * (RECORDS - 30));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_STREAM(test_retain_reads_many_at_once),
        TEST_STREAM(test_retain_reads_anew_after_a_purge),
        TEST_STREAM(test_retain_reads_anew_what_was_not_deleted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
