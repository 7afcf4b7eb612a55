/* The client's session under a name: where numbers begin and go on, and what
 * becomes of it when another process takes the name. */
#include "tests/unit/confirm_fixture.h"

#include "tests/support/alloc.h"
#include "tests/support/mp.h"

#define HELD "[2 1 7 1 10 1000 1000000 {" TOKEN " \"term\" 3 \"stored\" 10}]"

static int setup_named(void **state)
{
    int code = setup_confirms(state);
    struct fixture *f = *state;

    if (!code)
        f->client.options.producer_name = "orders";
    return code;
}

#define NAMED(name) cmocka_unit_test_setup_teardown(name, setup_named, teardown)

static tidings_err publish_at(struct fixture *f, uint64_t sequence)
{
    struct td_packing event = {.type = td_str_of("a"),
                               .time_us = 1,
                               .data = "data",
                               .len = 4,
                               .sequence = sequence,
                               .level = TIDINGS_DISK};

    return td_client_publish(&f->client, &event);
}

static uint64_t first_of(struct fixture *f, uint32_t nth)
{
    static struct td_batches batches;
    struct td_str wire = frame(f, TD_PUBLISH, nth)->u.publish.batches;
    uint32_t events;
    uint32_t bytes;
    const char *why;

    assert_true(td_batches_sum(wire, &events, &bytes));
    assert_ok(td_batches_read(&batches, wire, bytes, &why));
    return batches.runs[0].first;
}

static void test_named_session_says_its_name_and_term(void **state)
{
    struct fixture *f = *state;

    tick(f);
    assert_true(said_hello(f, "{\"producer\" \"orders\" \"term\" 0}"));
    greet(f, HELD);
    lose(f);
    reopen(f);
    assert_true(said_hello(f, "{\"producer\" \"orders\" \"term\" 3 " TOKEN
                              " \"subscriptions\" []}"));
}

static void test_named_session_numbers_from_what_is_stored(void **state)
{
    struct fixture *f = *state;

    assert_err(publish_at(f, 0), TIDINGS_EFULL); /* from where? */
    assert_false(td_client_has_room(&f->client));
    greet(f, HELD);
    assert_true(td_client_has_room(&f->client));
    assert_int_equal(f->client.stored, 10);
    assert_ok(publish_at(f, 0));
    assert_int_equal(first_of(f, 0), 11);
    assert_int_equal(done(f), 10);
    taken(f, 11);
    assert_ok(confirm(f, "11 1 0 \"s\" 1 3 false"));
    assert_int_equal(done(f), 11);
    assert_int_equal(f->client.stored, 11);
    assert_int_equal(f->client.publisher.taken_events, 1);
    lose(f);
    reopen(f); /* others published meanwhile, and lost the name again */
    greet(f, "[2 1 7 1 40 1000 1000000 {\"term\" 3 \"stored\" 40}]");
    assert_int_equal(f->client.stored, 40);
    assert_ok(publish_at(f, 0));
    assert_int_equal(f->client.packer.sequence, 12); /* it says so itself */
}

static void test_named_session_wants_a_term(void **state)
{
    static const char *const rows[] = {
        "[2 1 7 1 0 1000 1000000 {}]",
        "[2 1 7 1 0 1000 1000000 {\"term\" 0}]",
        "[2 1 7 1 0 1000 1000000 {\"term\" \"1\"}]",
        "[2 1 7 1 0 1000 1000000 {\"term\" -1}]",
        "[2 1 7 1 0 1000 1000000 {\"term\" 2}]", /* not ours */
        "[2 1 7 1 0 1000 1000000 {\"term\" 3 \"stored\" nil}]"};
    struct fixture *f = *state;

    greet(f, HELD);
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        lose(f);
        reopen(f);
        assert_row(rows[i], give(f, rows[i]) == TIDINGS_EPROTO);
        assert_row(rows[i], !f->open);
    }
}

static void test_named_session_leaves_numbers_out(void **state)
{
    static const uint64_t firsts[] = {11, 20, 30, 15};
    struct fixture *f = *state;

    greet(f, HELD);
    assert_ok(publish_at(f, 0));
    assert_ok(publish_at(f, 20));
    assert_ok(publish_at(f, 0));
    assert_ok(publish_at(f, 30));
    assert_false(td_client_may_number(&f->client, 30));
    assert_true(td_client_may_number(&f->client, 31));
    td_client_ask(&f->client, 30);
    taken(f, 30);
    assert_ok(confirm(f, "11 1 0 \"s\" 1 3 false"));
    assert_ok(confirm(f, "20 2 0 \"s\" 2 3 false"));
    assert_int_equal(done(f), 29);
    assert_ok(confirm(f, "30 1 3 \"\" 0 0 false")); /* it was full */
    assert_int_equal(done(f), 30);
    assert_int_equal(f->client.stored, 21);

    assert_true(td_client_may_number(&f->client, 15)); /* nothing waits */
    assert_ok(publish_at(f, 15));
    td_client_ask(&f->client, 15);
    assert_int_equal(done(f), 14);
    taken(f, 30); /* the highest, as ever */
    assert_int_equal(done(f), 14);
    assert_ok(confirm(f, "15 1 19 \"\" 0 0 false"));
    assert_int_equal(done(f), 15);
    assert_int_equal(kept(f), 0);
    assert_int_equal(f->client.publisher.taken_events, 5);
    for (uint32_t i = 0; i < TD_ARRAY_LEN(firsts); i++)
        assert_int_equal(first_of(f, i), firsts[i]);
}

/* ---- fenced ---- */

static void test_named_session_is_over_when_it_is_fenced(void **state)
{
    struct fixture *f = *state;
    unsigned opens;

    greet(f, HELD);
    publish_many(f, 3, true); /* 11, 12 to 13 */
    taken(f, 13);
    assert_ok(confirm(f, "12 1 0 \"s\" 2 3 false"));
    publish_as(f, "a", TIDINGS_DISK, 0);
    opens = f->opens;
    bye(f, TIDINGS_EFENCED);

    assert_int_equal(told.calls, 3); /* each once */
    assert_int_equal(told.call[0].err, TIDINGS_OK);
    assert_int_equal(told.call[1].err, TIDINGS_EFENCED);
    assert_int_equal(told.call[2].err, TIDINGS_EFENCED);
    assert_int_equal(count_of(f, TIDINGS_UNSTORED), 1);
    assert_true(was_told(f, TIDINGS_DOWN));
    assert_true(was_told(f, TIDINGS_FENCED));
    assert_int_equal(f->client.unstored, 3);
    assert_int_equal(f->client.unasked.err, TIDINGS_EFENCED);
    assert_int_equal(kept(f), 0);
    assert_err(publish_at(f, 0), TIDINGS_EFENCED);
    assert_err(publish_at(f, 99), TIDINGS_EFENCED);
    assert_true(td_client_has_room(&f->client)); /* who waits hears of it */
    f->now += 60000;
    tick(f);
    assert_int_equal(f->opens, opens);
    assert_int_equal(f->next, TD_CLIENT_NEVER);
}

static void test_named_session_is_fenced_before_it_is_greeted(void **state)
{
    struct fixture *f = *state;

    greet(f, HELD);
    publish_many(f, 2, true);
    lose(f);
    reopen(f);
    assert_ok(give(f, "[14 23 \"taken\"]"));
    assert_int_equal(told.calls, 2);
    assert_int_equal(told.call[1].err, TIDINGS_EFENCED);
    assert_true(was_told(f, TIDINGS_FENCED));
}

/* Without memory for it those who wait are called by whoever closes the bus. */
static void test_named_session_is_fenced_without_memory(void **state)
{
    static const uint8_t bye_fenced[] = {0x93, TD_BYE, TIDINGS_EFENCED, 0xa0};
    struct fixture *f = *state;
    struct td_deliveries none;

    greet(f, HELD);
    publish_many(f, 3, true);
    td_alloc_arm(TD_ALLOC_REST, 1);
    assert_ok(td_client_message(&f->client, bye_fenced, sizeof(bye_fenced),
                                NULL, f->now, &none));
    td_alloc_fail(0);
    assert_int_equal(told.calls, 0);
    assert_int_equal(kept(f), 3);
    assert_err(publish_at(f, 0), TIDINGS_EFENCED);
}

static void test_session_without_a_name_is_not_fenced(void **state)
{
    struct fixture *f = *state;

    f->client.options.producer_name = "";
    greet(f, GREETED);
    publish_many(f, 2, true);
    bye(f, TIDINGS_EFENCED);
    assert_false(was_told(f, TIDINGS_FENCED));
    assert_int_equal(kept(f), 2);
    reopen(f);
    greet(f, GREETED);
    assert_non_null(find(f, TD_PUBLISH, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NAMED(test_named_session_says_its_name_and_term),
        NAMED(test_named_session_numbers_from_what_is_stored),
        NAMED(test_named_session_wants_a_term),
        NAMED(test_named_session_leaves_numbers_out),
        NAMED(test_named_session_is_over_when_it_is_fenced),
        NAMED(test_named_session_is_fenced_before_it_is_greeted),
        NAMED(test_named_session_is_fenced_without_memory),
        NAMED(test_session_without_a_name_is_not_fenced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
