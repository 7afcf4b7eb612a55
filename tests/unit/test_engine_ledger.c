/* The engine: the ledger of a durable group. Each delivery has one outcome, and
 * each event that is out is in one place. */
#include "tests/unit/stream_fixture.h"

#define G "\"stream\" \"events\" \"group\" \"g\""

static struct td_str row(struct streams *s)
{
    return row_of(stats(s->f, "consumers", 0), "consumers", 0);
}

static uint64_t figure(struct streams *s, const char *key)
{
    return count(row(s), key);
}

static uint64_t sum(struct td_str map, const char *const keys[])
{
    uint64_t all = 0;

    for (size_t i = 0; keys[i]; i++)
        all += count(map, keys[i]);
    return all;
}

static void check(struct streams *s)
{
    static const char *const outcomes[] = {
        "acked", "failed", "released", "termed", "returned", "in_flight", NULL};
    static const char *const places[] = {"queued", "in_flight", "waiting",
                                         "aside",  "dying",     NULL};
    struct td_str map = row(s);

    assert_int_equal(count(map, "delivered"), sum(map, outcomes));
    assert_int_equal(count(map, "out"), sum(map, places));
}

static void deliver_ten(struct streams *s, const char *options)
{
    hello(s->f, "pub");
    hello(s->f, "op");
    hello(s->f, "sub");
    consume(s, "sub", 1, ">", "events", "g", options);
    put(s, "pub", "a", 10, 1, DISK);
    assert_int_equal(figure(s, "in_flight"), 10);
}

static void test_ledger_has_each_verb(void **state)
{
    static const struct {
        enum td_verb verb;
        const char *counter;
    } rows[] = {{TD_ACK, "acked"},
                {TD_NAK, "failed"},
                {TD_RELEASE, "released"},
                {TD_TERM, "termed"}};
    struct streams *s = *state;

    deliver_ten(s, "");
    for (uint64_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        settle(s, "sub", rows[i].verb, 2 * i + 1, 2 * i + 2);
        assert_row(rows[i].counter, figure(s, rows[i].counter) == 2);
        check(s);
    }
    settle(s, "sub", TD_PROGRESS, 9, 10);
    check(s);
}

static void test_ledger_has_what_is_too_late_and_lost(void **state)
{
    struct streams *s = *state;

    deliver_ten(s, "\"ack_wait_ms\" 1000 \"max_deliver\" 2");
    pass(s->f, 1000);
    settle_down(s);
    assert_int_equal(figure(s, "failed"), 10);
    check(s);
    pass(s->f, 2000);
    settle_down(s);
    check(s);
    gone(s->f, "sub");
    settle_down(s);
    check(s);
    pass(s->f, 2 * TD_GRACE_MS);
    settle_down(s);
    assert_int_equal(figure(s, "dead"), 10);
    assert_int_equal(figure(s, "out"), 0);
    check(s);
}

static void test_ledger_has_what_is_given_back(void **state)
{
    struct streams *s = *state;

    deliver_ten(s, "");
    settle(s, "sub", TD_ACK, 1, 3);
    give(s->f, "sub", "[6 1 1]"); /* UNSUBSCRIBE */
    settle_down(s);
    assert_int_equal(figure(s, "returned"), 7);
    check(s);
    consume(s, "sub", 2, ">", "events", "g", "");
    assert_int_equal(figure(s, "in_flight"), 7);
    check(s);
    call(s, "op", "group.seek", "{" G " \"start\" \"all\"}");
    settle_down(s);
    assert_int_equal(figure(s, "returned"), 14);
    assert_int_equal(figure(s, "in_flight"), 10);
    check(s);
}

/* A dead letter that is not written yet has its place, too. */
static void test_ledger_has_what_is_dying(void **state)
{
    struct streams *s = *state;

    deliver_ten(s, "");
    hold_store(s);
    settle(s, "sub", TD_TERM, 1, 4);
    check(s);
    for (int i = 0; i < 3; i++) {
        td_model_commit(s->model, 1);
        td_model_serve(s->model, 8);
        settle_down(s);
        check(s);
    }
    let_store(s);
    assert_int_equal(figure(s, "dead"), 4);
    check(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_STREAM(test_ledger_has_each_verb),
        TEST_STREAM(test_ledger_has_what_is_too_late_and_lost),
        TEST_STREAM(test_ledger_has_what_is_given_back),
        TEST_STREAM(test_ledger_has_what_is_dying),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
