/* Subscriptions that pull, in the client's session: credit for what is wanted
 * now, and no more. */
#include "tests/unit/session_fixture.h"

static const struct tidings_sub_options jobs = {
    .window_bytes = 4000000, .stream = "events", .group = "jobs", .pull = true};

static tidings_err deliver_to(struct fixture *f, const struct td_csub *sub,
                              unsigned tag, unsigned events)
{
    char text[200];

    snprintf(text, sizeof(text),
             "[8 [[%u %u [[b(16) \"/s\" 0 [[\"a\" %u %u 1 0]]]] [[%u %u 1]]]]]",
             sub->number, tag, events, 6 * events, events, tag);
    return give_bytes(f, text, (size_t)6 * events);
}

static struct td_csub *join(struct fixture *f)
{
    struct td_csub *sub = subscribe_with(f, &jobs);

    answer(f, sub, 0);
    return sub;
}

static void test_pull_begins_without_credit(void **state)
{
    const struct td_str *options;
    struct fixture *f = *state;
    struct td_csub *sub;
    uint64_t events = 7;

    greet(f, WELCOME);
    sub = subscribe_with(f, &jobs);
    options = &frame(f, TD_SUBSCRIBE, 0)->u.subscribe.options;
    assert_true(td_map_uint(*options, "events", &events));
    assert_int_equal(events, 0);
    td_client_want(&f->client, sub, 5); /* the broker has not answered */
    assert_null(find(f, TD_CREDIT, 0));
    answer(f, sub, 0);
    td_client_want(&f->client, sub, 5);
    assert_int_equal(credit(f, 0).events_limit, 5);
    assert_int_equal(credit(f, 0).bytes_limit, 4000000);
}

static void test_pull_wants_more_and_less(void **state)
{
    struct fixture *f = *state;
    struct td_csub *sub;

    greet(f, WELCOME);
    sub = join(f);
    td_client_want(&f->client, sub, 5);
    assert_ok(deliver_to(f, sub, 1, 2));
    td_client_want(&f->client, sub, 3); /* of the five: said before */
    assert_null(find(f, TD_CREDIT, 1));
    td_client_want(&f->client, sub, 0);
    assert_int_equal(credit(f, 1).events_limit, 2);
    assert_ok(deliver_to(f, sub, 3, 1)); /* it was on its way */
    td_client_want(&f->client, sub, 0);
    assert_int_equal(credit(f, 2).events_limit, 3);
    assert_int_equal(credit(f, 2).taken, 0);
}

static void test_pull_wants_it_still_when_resumed(void **state)
{
    struct fixture *f = *state;
    struct td_csub *sub;

    greet(f, GREETED);
    sub = join(f);
    lose(f);
    forget(f);
    td_client_want(&f->client, sub, 4);
    assert_null(find(f, TD_CREDIT, 0));
    greet(f, RESUMED);
    assert_int_equal(credit(f, 0).events_limit, 4);
}

static void test_pull_says_it_anew_in_a_new_session(void **state)
{
    struct fixture *f = *state;
    struct td_csub *sub;

    greet(f, GREETED);
    sub = join(f);
    td_client_want(&f->client, sub, 4);
    assert_ok(deliver_to(f, sub, 1, 1));
    lose(f);
    forget(f);
    greet(f, ANEW);
    answer(f, sub, 0);
    assert_null(find(f, TD_CREDIT, 0));
    td_client_want(&f->client, sub, 3);
    assert_int_equal(credit(f, 0).events_limit, 3);
}

/* Acks that were lost with the link are sent again, however many events came
 * after them: with credit of its own, those prove nothing. */
static void test_pull_sends_lost_acks_again(void **state)
{
    const struct td_settle how = {.verb = TD_ACK, .first = 1, .last = 10};
    struct tidings_sub_options o = jobs;
    struct fixture *f = *state;
    struct td_settle row = {0};
    struct td_csub *sub;
    struct td_reader r;
    uint32_t rows = 0;

    o.window_events = 5;
    greet(f, GREETED);
    sub = subscribe_with(f, &o);
    answer(f, sub, 0);
    td_client_want(&f->client, sub, 40);
    assert_ok(deliver_to(f, sub, 1, 10));
    assert_ok(td_client_settle(&f->client, sub, f->client.incarnation, &how));
    td_client_send_settled(&f->client);
    for (unsigned tag = 11; tag <= 31; tag += 10)
        assert_ok(deliver_to(f, sub, tag, 10));
    lose(f);
    forget(f);
    greet(f, RESUMED);
    r = td_reader_of(frame(f, TD_SETTLE, 0)->u.settle.list.data,
                     frame(f, TD_SETTLE, 0)->u.settle.list.len);
    assert_true(td_read_array(&r, &rows));
    assert_true(td_settle_read(&r, &row));
    assert_int_equal(row.first, 1);
    assert_int_equal(row.last, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_pull_begins_without_credit),
        TEST(test_pull_wants_more_and_less),
        TEST(test_pull_wants_it_still_when_resumed),
        TEST(test_pull_says_it_anew_in_a_new_session),
        TEST(test_pull_sends_lost_acks_again),
    };

    return cmocka_run_group_tests_name("session_pull", tests, NULL, NULL);
}
