/* Questions of the client's session: STATS and PING. */
#include "tests/unit/session_fixture.h"

#include <stdlib.h>

static void test_session_asks_until_it_is_answered(void **state)
{
    struct fixture *f = *state;
    struct td_question stats = {0};
    struct td_question ping = {0};
    char text[60];

    td_client_question(&f->client, &stats, TD_STATS);
    greet(f, WELCOME);
    td_client_question(&f->client, &ping, TD_PING);
    assert_int_equal(frame(f, TD_STATS, 0)->u.stats.request, stats.number);
    assert_int_equal(frame(f, TD_PING, 0)->u.ping.token, ping.number);
    snprintf(text, sizeof(text), "[12 %u]", (unsigned)ping.number);
    assert_ok(give(f, text));
    assert_true(ping.done);
    lose(f);
    forget(f);
    greet(f, WELCOME);
    assert_non_null(find(f, TD_STATS, 0));
    assert_null(find(f, TD_PING, 0));
    snprintf(text, sizeof(text), "[7 %u 0 \"\" {\"a\" 1}]",
             (unsigned)stats.number);
    assert_ok(give(f, text));
    assert_true(stats.done);
    assert_int_equal(stats.code, TIDINGS_OK);
    assert_int_equal(stats.result_len, 4);
    assert_memory_equal(stats.result, "\x81\xa1\x61\x01", 4);
    assert_ok(give(f, text)); /* nobody waits for it any more */
    assert_int_equal(stats.result_len, 4);
    td_client_withdraw(&f->client, &stats);
    td_client_withdraw(&f->client, &ping);
    free(stats.result);
}

/* Options are sent only when they are not the default, on every link. */
static void test_session_asks_for_rows_from_a_place_on(void **state)
{
    struct fixture *f = *state;
    struct td_question plain = {0};
    struct td_question page = {.rows = "types", .from = 250};

    greet(f, WELCOME);
    td_client_question(&f->client, &plain, TD_STATS);
    td_client_question(&f->client, &page, TD_STATS);
    assert_int_equal(frame(f, TD_STATS, 0)->u.stats.options.len, 1);
    for (int link = 0; link < 2; link++) {
        const struct td_str *map = &frame(f, TD_STATS, 1)->u.stats.options;
        struct td_str rows = {0};
        uint64_t from = 0;

        assert_true(td_map_str(*map, "rows", &rows));
        assert_int_equal(rows.len, 5);
        assert_memory_equal(rows.data, "types", 5);
        assert_true(td_map_uint(*map, "from", &from));
        assert_int_equal(from, 250);
        lose(f);
        forget(f);
        greet(f, WELCOME);
    }
    td_client_withdraw(&f->client, &plain);
    td_client_withdraw(&f->client, &page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_session_asks_until_it_is_answered),
        TEST(test_session_asks_for_rows_from_a_place_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
