/* Subscriptions of the client's session. */
#include "tests/unit/session_fixture.h"

#include "tests/support/mp.h"

static void test_session_subscribes_when_there_is_a_session(void **state)
{
    struct fixture *f = *state;
    struct td_csub *sub = subscribe(f, 100);
    const struct td_frame *s;

    assert_int_equal(sub->state, TD_CSUB_WANTED);
    greet(f, WELCOME);
    assert_int_equal(sub->state, TD_CSUB_ASKED);
    s = frame(f, TD_SUBSCRIBE, 0);
    assert_int_equal(s->u.subscribe.subscription, sub->number);
    assert_int_equal(s->u.subscribe.pattern.len, 3);
    assert_memory_equal(s->u.subscribe.pattern.data, "a.*", 3);
}

/* What the caller did not say is left out: the broker has the default, or the
 * group has it from its first member. */
static void test_session_sends_the_options_that_were_given(void **state)
{
    static const struct {
        struct tidings_sub_options options;
        const char *sent;
    } rows[] = {
        {{0}, "{\"events\" 32768 \"bytes\" 4194304}"},
        {{.window_events = 5, .window_bytes = 3000000},
         "{\"events\" 5 \"bytes\" 3000000}"},
        {{.queue_events = 65536, .queue_bytes = 7},
         "{\"events\" 32768 \"bytes\" 4194304 \"queue_events\" 65536 "
         "\"queue_bytes\" 7}"},
        {{.policy = TIDINGS_DROP_OLDEST},
         "{\"events\" 32768 \"bytes\" 4194304 \"policy\" \"drop_oldest\"}"},
        {{.policy = TIDINGS_DROP_NEWEST},
         "{\"events\" 32768 \"bytes\" 4194304 \"policy\" \"drop_newest\"}"},
        {{.group_policy = TIDINGS_BY_KEY}, /* of no group */
         "{\"events\" 32768 \"bytes\" 4194304}"},
        {{.group = "work.er-1_A"},
         "{\"events\" 32768 \"bytes\" 4194304 \"group\" \"work.er-1_A\"}"},
        {{.group = "g", .group_policy = TIDINGS_RANDOM},
         "{\"events\" 32768 \"bytes\" 4194304 \"group\" \"g\" "
         "\"group_policy\" \"random\"}"},
        {{.group = "g", .group_policy = TIDINGS_LEAST_PENDING},
         "{\"events\" 32768 \"bytes\" 4194304 \"group\" \"g\" "
         "\"group_policy\" \"least_pending\"}"},
        {{.queue_events = 9,
          .policy = TIDINGS_DROP_OLDEST,
          .group = "g",
          .group_policy = TIDINGS_BY_KEY},
         "{\"events\" 32768 \"bytes\" 4194304 \"queue_events\" 9 \"policy\" "
         "\"drop_oldest\" \"group\" \"g\" \"group_policy\" \"key\"}"},
    };
    struct fixture *f = *state;

    greet(f, WELCOME);
    for (uint32_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct td_buf want = {0};
        const struct td_str *got;

        subscribe_with(f, &rows[i].options);
        got = &frame(f, TD_SUBSCRIBE, i)->u.subscribe.options;
        td_mp(&want, rows[i].sent);
        assert_row(rows[i].sent, got->len == want.len);
        assert_row(rows[i].sent, memcmp(got->data, want.data, want.len) == 0);
        td_buf_fini(&want);
    }
}

static void test_session_refuses_options_out_of_range(void **state)
{
    static const char long_name[] = "0123456789012345678901234567890123456789"
                                    "0123456789012345678901234"; /* 65 */
    const struct tidings_sub_options rows[] = {
        {.group = ""},
        {.group = "a b"},
        {.group = long_name},
        {.policy = (enum tidings_policy)3},
        {.policy = (enum tidings_policy) - 1},
        {.group = "g", .group_policy = (enum tidings_group_policy)5},
    };
    const struct tidings_sub_options longest = {.group = long_name + 1};
    struct fixture *f = *state;
    struct td_csub *sub = NULL;

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        assert_row_at("row", i,
                      td_client_subscribe(&f->client, &sub, "a", &rows[i]) ==
                          TIDINGS_EINVAL);
        assert_null(sub);
    }
    assert_int_equal(f->client.subs_len, 0);
    assert_string_equal(subscribe_with(f, &longest)->group, long_name + 1);
}

static void test_session_subscribes_again_in_every_session(void **state)
{
    struct fixture *f = *state;
    struct td_csub *sub;
    uint64_t request;

    greet(f, WELCOME);
    sub = subscribe_live(f, 100);
    request = sub->request;
    lose(f);
    assert_int_equal(sub->state, TD_CSUB_WANTED);
    forget(f);
    greet(f, WELCOME);
    assert_int_equal(sub->state, TD_CSUB_ASKED);
    assert_true(frame(f, TD_SUBSCRIBE, 0)->u.subscribe.request > request);
    assert_ok(give(f, "[7 1 14 \"refused: an old request\" nil]"));
    assert_int_equal(sub->state, TD_CSUB_ASKED);
}

static void test_session_tells_when_a_renewed_one_is_refused(void **state)
{
    struct fixture *f = *state;
    struct td_csub *sub;

    greet(f, WELCOME);
    sub = subscribe(f, 0);
    answer(f, sub, 4);
    assert_int_equal(sub->state, TD_CSUB_REFUSED);
    assert_string_equal(sub->text, "so");
    assert_false(was_told(f, TIDINGS_REFUSED)); /* its owner waits for it */
    sub = subscribe_live(f, 0);
    lose(f);
    greet(f, WELCOME);
    answer(f, sub, 4);
    assert_true(was_told(f, TIDINGS_REFUSED));
}

static void test_session_unsubscribes(void **state)
{
    struct fixture *f = *state;
    struct td_csub *sub = subscribe(f, 0);

    td_client_unsubscribe(&f->client, sub); /* nobody knew of it */
    assert_int_equal(sub->state, TD_CSUB_ENDED);
    td_client_forget(&f->client, sub);
    greet(f, WELCOME);
    sub = subscribe_live(f, 0);
    td_client_unsubscribe(&f->client, sub);
    td_client_unsubscribe(&f->client, sub); /* it knows */
    assert_int_equal(sub->state, TD_CSUB_ENDING);
    assert_null(find(f, TD_UNSUBSCRIBE, 1));
    assert_int_equal(frame(f, TD_UNSUBSCRIBE, 0)->u.unsubscribe.subscription,
                     sub->number);
    assert_ok(deliver(f, sub->number, 1)); /* it was in flight */
    assert_ptr_equal(f->delivery.sub, sub);
    td_client_handled(&f->client, sub, 1, 1, 6);
    answer(f, sub, 0);
    assert_int_equal(sub->state, TD_CSUB_ENDED);
    td_client_forget(&f->client, sub);
    assert_ok(deliver(f, 2, 2));
    assert_null(f->delivery.sub);
    sub = subscribe_live(f, 0);
    td_client_unsubscribe(&f->client, sub);
    lose(f);
    assert_int_equal(sub->state, TD_CSUB_ENDED); /* as its session */
}

static void test_session_bounds_its_subscriptions(void **state)
{
    struct fixture *f = *state;
    const struct tidings_sub_options options = {0};
    struct td_csub *sub;

    for (unsigned i = 0; i < TD_SUBSCRIPTIONS_MAX; i++)
        subscribe(f, 0);
    assert_err(td_client_subscribe(&f->client, &sub, "a", &options),
               TIDINGS_ELIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_session_subscribes_when_there_is_a_session),
        TEST(test_session_sends_the_options_that_were_given),
        TEST(test_session_refuses_options_out_of_range),
        TEST(test_session_subscribes_again_in_every_session),
        TEST(test_session_tells_when_a_renewed_one_is_refused),
        TEST(test_session_unsubscribes),
        TEST(test_session_bounds_its_subscriptions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
