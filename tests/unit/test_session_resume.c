/* The client's session across links: when it asks to resume, what it says
 * then, and how it goes on (PROTOCOL.md 3, "Resume"). */
#include "tests/unit/session_fixture.h"

/* ---- when ---- */

static void lost_by_silence(struct fixture *f)
{
    for (int i = 0; i < TD_DEAD_MS / 1000; i++) {
        f->now += 1000;
        tick(f);
    }
}

static void lost_by_a_link_that_takes_nothing(struct fixture *f)
{
    f->refuses = true;
    assert_ok(publish(f, 1));
    tick(f);
    f->refuses = false;
}

static void lost_by_a_frame_that_is_none(struct fixture *f)
{
    assert_err(give(f, "<c1>"), TIDINGS_EPROTO);
}

static void lost_by_a_bad_batch(struct fixture *f)
{
    td_client_break(&f->client, "a malformed batch");
    tick(f);
    assert_int_equal(f->client.last_err, TIDINGS_EPROTO);
    assert_string_equal(f->client.last_text, "a malformed batch");
}

static void lost_before_the_bad_batch_was_noticed(struct fixture *f)
{
    td_client_break(&f->client, "a malformed batch");
    lose(f);
}

static void lost_by_a_handshake_that_broke_rules(struct fixture *f)
{
    td_client_lost(&f->client, TIDINGS_EPROTO, "no broker", f->now);
}

static void test_resume_is_asked_for_when_the_broker_may_have_it(void **state)
{
    static const struct {
        void (*lose)(struct fixture *f);
        int bye; /* or by this code */
        bool resumes;
    } rows[] = {
        {lose, 0, true},
        {lost_by_silence, 0, true},
        {lost_by_a_link_that_takes_nothing, 0, true},
        {NULL, TIDINGS_ETIMEDOUT, true},
        {NULL, TIDINGS_OK, false},
        {NULL, TIDINGS_ENOMEM, false},
        {NULL, TIDINGS_EPROTO, false},
        {NULL, TIDINGS_EUNREACH, false},
        {NULL, TIDINGS_EVERSION, false},
        {NULL, TIDINGS_ELIMIT, false},
        {NULL, TIDINGS_EEXIST, false},
        {NULL, TIDINGS_ESHUTDOWN, false},
        {NULL, 4711, false},
        {lost_by_a_frame_that_is_none, 0, false},
        {lost_by_a_bad_batch, 0, false},
        {lost_before_the_bad_batch_was_noticed, 0, false},
        {lost_by_a_handshake_that_broke_rules, 0, false},
    };

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct fixture *f;
        struct td_csub *sub;

        assert_int_equal(setup((void **)&f), 0);
        greet(f, GREETED);
        assert_row_at("row", i, said_hello(f, "{}"));
        sub = subscribe_live(f, 0);
        if (rows[i].lose)
            rows[i].lose(f);
        else
            bye(f, (unsigned)rows[i].bye);
        assert_row_at("row", i, was_told(f, TIDINGS_DOWN));
        assert_row_at("row", i,
                      sub->state ==
                          (rows[i].resumes ? TD_CSUB_AWAY : TD_CSUB_WANTED));
        reopen(f);
        assert_row_at("row", i,
                      said_hello(f, rows[i].resumes
                                        ? "{" TOKEN
                                          " \"subscriptions\" [[1 0 0]]}"
                                        : "{" TOKEN "}"));
        teardown((void **)&f);
    }
    (void)state;
}

static void test_resume_needs_a_token(void **state)
{
    struct fixture *f = *state;
    struct td_csub *sub;

    greet(f, WELCOME);
    sub = subscribe_live(f, 0);
    lose(f);
    assert_int_equal(sub->state, TD_CSUB_WANTED);
    reopen(f);
    assert_true(said_hello(f, "{}"));
    greet(f, GREETED);
    lose(f);
    reopen(f);
    assert_true(said_hello(f, NO_SUBS));
    greet(f, "[2 1 7 1 0 1000 1000000 {\"resumed\" true}]"); /* none any more */
    lose(f);
    reopen(f); /* it proves all the same whose the numbering is */
    assert_true(said_hello(f, "{" TOKEN "}"));
    greet(f, "[2 1 7 1 0 1 1 {\"token\" b(16) \"grace_ms\" 0}]");
    sub = subscribe_live(f, 0);
    lose(f);
    assert_int_equal(sub->state, TD_CSUB_WANTED); /* not for any time */
    reopen(f);
    assert_true(said_hello(f, "{" TOKEN "}"));
}

/* The last link was lost before it was greeted, and the one before too. */
static void test_resume_is_asked_for_again(void **state)
{
    struct fixture *f = *state;
    struct td_csub *sub;

    greet(f, GREETED);
    sub = subscribe_live(f, 0);
    assert_ok(deliver_events(f, sub->number, 1, 3));
    lose(f);
    for (int i = 0; i < 3; i++) {
        reopen(f);
        assert_true(said_hello(f, "{" TOKEN " \"subscriptions\" [[1 3 0]]}"));
        if (i == 0) {
            lose(f);
        } else {
            f->now += TD_GREETING_MS;
            tick(f);
        }
        assert_int_equal(sub->state, TD_CSUB_AWAY);
        assert_false(was_told(f, TIDINGS_DOWN)); /* it was not up */
    }
    resume(f);
    assert_int_equal(sub->state, TD_CSUB_LIVE);
    assert_int_equal(sub->received, 3);
    assert_ok(deliver(f, sub->number, 4));
    lose(f);
    reopen(f); /* as often as it takes */
    assert_true(said_hello(f, "{" TOKEN " \"subscriptions\" [[1 4 0]]}"));
}

/* ---- what is said ---- */

static void test_resume_names_the_token_told_last(void **state)
{
    struct fixture *f = *state;

    greet(f, GREETED);
    lose(f);
    reopen(f);
    greet(f, "[2 1 7 1 0 1000 1000000 {\"token\" 'ABCDEFGHIJKLMNOP' "
             "\"resumed\" true}]");
    lose(f);
    reopen(f);
    assert_true(said_hello(f, "{\"token\" 'ABCDEFGHIJKLMNOP' "
                              "\"subscriptions\" []}"));
}

static void test_resume_lists_what_the_broker_is_known_to_have(void **state)
{
    struct fixture *f = *state;
    struct td_csub *live;
    struct td_csub *refused;
    struct td_csub *ending;
    struct td_csub *ended;
    struct td_csub *asked;

    greet(f, GREETED);
    live = subscribe_live(f, 0);
    refused = subscribe(f, 0);
    answer(f, refused, TIDINGS_ELIMIT);
    ending = subscribe_live(f, 0);
    td_client_unsubscribe(&f->client, ending);
    ended = subscribe_live(f, 0);
    asked = subscribe(f, 0);
    assert_ok(deliver_events(f, live->number, 1, 200));
    assert_ok(give(f, "[10 1 30 \"slow\"]"));
    assert_ok(deliver_events(f, live->number, 201, 100));
    assert_ok(give(f, "[10 1 3 \"slow\"]"));
    lose(f);
    subscribe(f, 0); /* while there is no link */
    td_client_unsubscribe(&f->client, ended);
    reopen(f);

    assert_true(said_hello(f, "{" TOKEN " \"subscriptions\" [[1 300 33]]}"));
    assert_int_equal(live->state, TD_CSUB_AWAY);
    assert_int_equal(refused->state, TD_CSUB_REFUSED);
    assert_int_equal(ending->state, TD_CSUB_ENDED);
    assert_int_equal(ended->state, TD_CSUB_ENDED);
    assert_int_equal(asked->state, TD_CSUB_WANTED);
    greet(f, RESUMED);
    assert_int_equal(live->state, TD_CSUB_LIVE);
    assert_int_equal(ending->state, TD_CSUB_ENDED);
    assert_int_equal(ended->state, TD_CSUB_ENDED);
    assert_int_equal(asked->state, TD_CSUB_ASKED);
    assert_int_equal(frame(f, TD_SUBSCRIBE, 0)->u.subscribe.subscription,
                     asked->number);
    assert_int_equal(frame(f, TD_SUBSCRIBE, 1)->u.subscribe.subscription, 6);
    assert_null(find(f, TD_SUBSCRIBE, 2));
    assert_null(find(f, TD_UNSUBSCRIBE, 0));
}

static void test_resume_lists_as_many_as_there_may_be(void **state)
{
    struct fixture *f = *state;
    const struct td_str *options;
    struct td_str list;
    struct td_reader r;
    uint32_t rows = 0;

    greet(f, GREETED);
    for (uint32_t i = 1; i <= TD_SUBSCRIPTIONS_MAX; i++) {
        struct td_csub *sub = subscribe_live(f, 0);

        sub->received = sub->missed = INT64_MAX;
    }
    lose(f);
    reopen(f); /* the port has decoded it */
    options = &frame(f, TD_HELLO, 0)->u.hello.options;
    assert_true(td_map_find(*options, "subscriptions", &list));
    r = td_reader_of(list.data, list.len);
    assert_true(td_read_array(&r, &rows));
    assert_int_equal(rows, TD_SUBSCRIPTIONS_MAX);
}

/* ---- resumed ---- */

static void test_resume_goes_on_where_it_was(void **state)
{
    struct fixture *f = *state;
    struct td_csub *sub;

    greet(f, GREETED);
    sub = subscribe_live(f, 0);
    assert_ok(deliver_events(f, sub->number, 1, 3));
    lose(f);
    resume(f);

    assert_true(was_told(f, TIDINGS_UP));
    assert_false(was_told(f, TIDINGS_NEW_SESSION));
    assert_false(was_told(f, TIDINGS_NEW_EPOCH));
    assert_int_equal(f->client.incarnation, 1);
    assert_int_equal(f->client.connects, 2);
    assert_int_equal(sub->state, TD_CSUB_LIVE);
    assert_null(find(f, TD_SUBSCRIBE, 0));
    assert_ok(deliver(f, sub->number, 4));
    assert_ptr_equal(f->delivery.sub, sub);
    assert_ok(give(f, "[10 1 9 \"slow\"]")); /* told again: not heard of */
    assert_int_equal(sub->missed, 9);
    assert_err(deliver(f, sub->number, 4), TIDINGS_EPROTO);
}

/* Credit told on the link that was lost may not have arrived. */
static void test_resume_tells_all_credit_again(void **state)
{
    struct fixture *f = *state;
    struct td_csub *sub;
    struct td_credit row;

    greet(f, GREETED);
    sub = subscribe_live(f, 4);
    subscribe_live(f, 4); /* which has nothing to say */
    assert_ok(deliver_events(f, sub->number, 1, 4));
    td_client_handled(&f->client, sub, 1, 2, 12);
    row = credit(f, 0);
    assert_int_equal(row.taken, 2);
    lose(f);
    resume(f);
    row = credit(f, 0);
    assert_int_equal(row.subscription, sub->number);
    assert_int_equal(row.taken, 2);
    assert_int_equal(row.events_limit, 6);
    assert_int_equal(row.bytes_limit, 12 + TD_WINDOW_BYTES);
    assert_int_equal(frame(f, TD_CREDIT, 0)->u.credit.messages, 0);
    f->now += TD_LAZY_MS;
    tick(f);
    assert_null(find(f, TD_CREDIT, 1)); /* once */
}

/* Handlers go on while the link is lost, and in the middle of a greeting. */
static void test_resume_tells_what_was_handled_meanwhile(void **state)
{
    struct fixture *f = *state;
    struct td_csub *sub;
    uint64_t told = 0;

    greet(f, GREETED);
    sub = subscribe_live(f, 100);
    assert_ok(deliver_events(f, sub->number, 1, 10));
    for (unsigned link = 0; link < 3; link++) {
        struct td_credit row;

        td_client_handled(&f->client, sub, 1, 1, 6);
        lose(f);
        td_client_handled(&f->client, sub, 1, 1, 6);
        reopen(f);
        td_client_handled(&f->client, sub, 1, 1, 6);
        assert_null(find(f, TD_CREDIT, 0));
        assert_true(f->client.credit_ms == TD_CLIENT_NEVER);
        greet(f, RESUMED);
        row = credit(f, 0);
        assert_int_equal(row.taken, told + 3);
        assert_int_equal(row.events_limit, row.taken + 100);
        assert_int_equal(row.bytes_limit, 6 * row.taken + TD_WINDOW_BYTES);
        told = row.taken;
    }
    td_client_handled(&f->client, sub, 1, 1, 6);
    f->now += TD_LAZY_MS;
    tick(f);
    f->now += TD_LAZY_MS;
    tick(f);
    assert_int_equal(frame(f, TD_CREDIT, 1)->u.credit.messages, 0);
    assert_null(find(f, TD_CREDIT, 2));
}

static void test_resume_publishes_from_zero_and_again(void **state)
{
    struct fixture *f = *state;

    greet(f, "[2 1 7 1 0 3 1000000 {" TOKEN "}]");
    assert_ok(publish(f, 10)); /* alone */
    assert_ok(publish(f, 10));
    assert_ok(publish(f, 10));
    assert_ok(give(f, "[4 0 3 1000000]"));
    td_client_ask(&f->client, f->client.packer.sequence);
    assert_ok(give(f, "[4 1 3 1000000]"));
    lose(f);
    reopen(f);
    greet(f, "[2 1 7 1 1 2 1000000 {" TOKEN " \"resumed\" true}]");

    assert_int_equal(events_of(frame(f, TD_PUBLISH, 0)->u.publish.batches), 2);
    assert_null(find(f, TD_PUBLISH, 1));
    assert_int_equal(f->client.events_out, 2);
    assert_int_equal(f->client.resent, 2);
    assert_false(was_told(f, TIDINGS_NEW_SESSION));
    assert_ok(give(f, "[4 3 2 1000000]"));
    assert_int_equal(td_client_unconfirmed(&f->client), 0);
}

/* What there was no memory for counts as not received. */
static void test_resume_brings_again_what_could_not_be_kept(void **state)
{
    struct fixture *f = *state;
    struct td_csub *sub;

    greet(f, GREETED);
    sub = subscribe_live(f, 0);
    assert_ok(deliver_events(f, sub->number, 1, 2));
    assert_ok(deliver_events(f, sub->number, 3, 5));
    td_client_lost_delivery(&f->client, &f->delivery);
    assert_false(f->open);
    assert_int_equal(f->client.last_err, TIDINGS_ENOMEM);
    assert_int_equal(sub->state, TD_CSUB_AWAY);
    reopen(f);
    assert_true(said_hello(f, "{" TOKEN " \"subscriptions\" [[1 2 0]]}"));
    greet(f, RESUMED);
    assert_ok(deliver_events(f, sub->number, 3, 5));
    assert_int_equal(sub->received, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_resume_is_asked_for_when_the_broker_may_have_it),
        TEST(test_resume_needs_a_token),
        TEST(test_resume_is_asked_for_again),
        TEST(test_resume_names_the_token_told_last),
        TEST(test_resume_lists_what_the_broker_is_known_to_have),
        TEST(test_resume_lists_as_many_as_there_may_be),
        TEST(test_resume_goes_on_where_it_was),
        TEST(test_resume_tells_all_credit_again),
        TEST(test_resume_tells_what_was_handled_meanwhile),
        TEST(test_resume_publishes_from_zero_and_again),
        TEST(test_resume_brings_again_what_could_not_be_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
