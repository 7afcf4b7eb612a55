/* Services, as the session has them. */
#include "tests/unit/session_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/mp.h"

static struct td_cservice *serve(struct fixture *f, uint64_t health_ms)
{
    struct td_buf options = {0};
    struct td_cserving how = {.name = "users",
                              .version = "1.0.0",
                              .options = &options,
                              .options_len = 1,
                              .endpoints_len = 2,
                              .health = TD_HEALTH_RUNNING,
                              .health_ms = health_ms};
    struct td_cservice *s = NULL;

    td_mp(&options, "\"description\"");
    td_mp(&options, "\"who is who\"");
    assert_ok(td_client_serve(&f->client, &s, &how));
    td_buf_fini(&options);
    return s;
}

static void reply(struct fixture *f, const struct td_cservice *s, unsigned code,
                  const char *result)
{
    char text[100];

    snprintf(text, sizeof(text), "[7 %u %u \"so\" %s]", (unsigned)s->request,
             code, result);
    assert_ok(give(f, text));
}

static struct td_cservice *serve_live(struct fixture *f, uint64_t health_ms)
{
    struct td_cservice *s = serve(f, health_ms);

    reply(f, s, 0, "{\"id\" \"abc\"}");
    assert_int_equal(s->state, TD_CSERVICE_LIVE);
    return s;
}

/* The options of the last SERVE. */
static bool said_serve(struct fixture *f, const char *options)
{
    const struct td_frame *got = NULL;
    struct td_buf want = {0};
    bool same;

    for (uint32_t i = 0; find(f, TD_SERVE, i); i++)
        got = find(f, TD_SERVE, i);
    assert_non_null(got);
    td_mp(&want, options);
    same = got->u.serve.options.len == want.len &&
           memcmp(got->u.serve.options.data, want.data, want.len) == 0;
    td_buf_fini(&want);
    return same;
}

#define FIRST "{\"state\" 2 \"text\" \"\" \"description\" \"who is who\"}"
#define AGAIN                                                                  \
    "{\"id\" \"abc\" \"state\" 2 \"text\" \"\" \"description\" \"who is "      \
    "who\"}"

/* ---- beginning and ending ---- */

static void test_service_is_asked_for_when_there_is_a_link(void **state)
{
    struct fixture *f = *state;
    struct td_cservice *s = serve(f, 0);

    assert_int_equal(s->state, TD_CSERVICE_WANTED);
    assert_null(find(f, TD_SERVE, 0));

    greet(f, GREETED);
    assert_true(said_serve(f, FIRST));
    assert_int_equal(frame(f, TD_SERVE, 0)->u.serve.service, 1);
    reply(f, s, 0, "{\"id\" \"abc\"}");
    assert_int_equal(s->state, TD_CSERVICE_LIVE);
    assert_string_equal(s->id, "abc");
}

static void test_service_is_served_again_on_each_link(void **state)
{
    struct fixture *f = *state;
    struct td_cservice *s;

    greet(f, GREETED);
    s = serve_live(f, 0);
    lose(f);
    assert_int_equal(s->state, TD_CSERVICE_WANTED);
    resume(f);
    assert_true(said_serve(f, AGAIN));

    lose(f); /* before the answer */
    assert_int_equal(s->state, TD_CSERVICE_WANTED);
    reopen(f);
    greet(f, ANEW);
    assert_true(said_serve(f, AGAIN));
}

static void test_service_takes_another_id_when_its_own_is_in_use(void **state)
{
    struct fixture *f = *state;
    struct td_cservice *s;

    greet(f, GREETED);
    s = serve_live(f, 0);
    lose(f);
    resume(f);
    reply(f, s, TIDINGS_EEXIST, "nil");
    assert_true(said_serve(f, FIRST));
    assert_int_equal(s->state, TD_CSERVICE_ASKED);
    reply(f, s, 0, "{\"id\" \"abd\"}");
    assert_string_equal(s->id, "abd");
}

static void test_service_refused_at_first_stays_so(void **state)
{
    struct fixture *f = *state;
    struct td_cservice *s;

    greet(f, GREETED);
    s = serve(f, 100);
    reply(f, s, TIDINGS_ELIMIT, "nil");
    assert_int_equal(s->state, TD_CSERVICE_REFUSED);
    assert_int_equal(s->code, TIDINGS_ELIMIT);
    assert_string_equal(s->text, "so");
    assert_false(was_told(f, TIDINGS_REFUSED));

    f->now += TD_RETRY_MAX_MS;
    forget(f);
    tick(f);
    assert_null(find(f, TD_SERVE, 0));
}

static void test_service_refused_later_is_asked_for_again(void **state)
{
    struct fixture *f = *state;
    struct td_cservice *s;

    greet(f, GREETED);
    s = serve_live(f, 0);
    lose(f);
    resume(f);
    reply(f, s, TIDINGS_ELIMIT, "nil");
    assert_string_equal(text_of(f, TIDINGS_REFUSED), "service users: so");

    forget(f);
    f->now += TD_RETRY_MAX_MS;
    tick(f);
    assert_true(said_serve(f, AGAIN));
    reply(f, s, 0, "{\"id\" \"abc\"}");
    assert_int_equal(s->state, TD_CSERVICE_LIVE);
}

static void test_service_has_a_number_of_its_own(void **state)
{
    struct fixture *f = *state;
    struct td_cservice *s[TD_SERVICES_MAX];
    struct td_buf options = {0};
    const struct td_cserving one_more = {
        .name = "a", .version = "1.0.0", .options = &options};
    struct td_cservice *none = NULL;

    for (uint32_t i = 0; i < TD_SERVICES_MAX; i++) {
        s[i] = serve(f, 0);
        assert_int_equal(s[i]->number, i + 1);
    }
    assert_err(td_client_serve(&f->client, &none, &one_more), TIDINGS_ELIMIT);
    td_client_unserve(&f->client, s[7]);
    assert_int_equal(s[7]->state, TD_CSERVICE_ENDED);
    td_client_service_forget(&f->client, s[7]);
    assert_int_equal(serve(f, 0)->number, 8);
}

static void test_service_ends_by_the_answer_or_with_the_link(void **state)
{
    struct fixture *f = *state;
    struct td_cservice *s;

    greet(f, GREETED);
    s = serve_live(f, 100);
    td_client_unserve(&f->client, s);
    assert_int_equal(frame(f, TD_UNSERVE, 0)->u.unserve.service, 1);
    assert_int_equal(s->state, TD_CSERVICE_ENDING);
    reply(f, s, 0, "nil");
    assert_int_equal(s->state, TD_CSERVICE_ENDED);
    td_client_service_forget(&f->client, s);

    s = serve_live(f, 100);
    td_client_unserve(&f->client, s);
    lose(f);
    assert_int_equal(s->state, TD_CSERVICE_ENDED);
    resume(f);
    assert_null(find(f, TD_SERVE, 0));
}

/* ---- health ---- */

static void test_service_is_asked_how_it_is_in_time(void **state)
{
    struct fixture *f = *state;
    struct td_cservice *s;

    greet(f, GREETED);
    s = serve_live(f, 300);
    tick(f);
    assert_true(f->next <= f->now + 300);
    f->now += 299;
    tick(f);
    assert_int_equal(f->beats, 0);
    f->now++;
    tick(f);
    assert_int_equal(f->beats, 1);
    assert_ptr_equal(f->asked, s);

    f->now += 10000; /* who hangs is not asked again, and says nothing */
    tick(f);
    assert_int_equal(f->beats, 1);
    assert_null(find(f, TD_HEALTH, 0));

    td_client_health(&f->client, s, TD_HEALTH_DEGRADED, "slow");
    assert_int_equal(frame(f, TD_HEALTH, 0)->u.health.state,
                     TD_HEALTH_DEGRADED);
    assert_int_equal(td_client_due_ms(&f->client), f->now + 300);
    f->now += 300;
    tick(f);
    assert_int_equal(f->beats, 2);
}

static void test_service_is_served_as_it_said_last(void **state)
{
    struct fixture *f = *state;
    struct td_cservice *s;

    greet(f, GREETED);
    s = serve_live(f, 0);
    lose(f);
    td_client_health(&f->client, s, TD_HEALTH_DOWN, "no disk");
    resume(f);
    assert_null(find(f, TD_HEALTH, 0));
    assert_true(said_serve(f, "{\"id\" \"abc\" \"state\" 5 \"text\" \"no "
                              "disk\" \"description\" \"who is who\"}"));
}

/* SERVE says how it was when that went. */
static void test_service_says_what_has_changed_while_it_is_asked_for(
    void **state)
{
    struct fixture *f = *state;
    struct td_cservice *s;

    greet(f, GREETED);
    s = serve(f, 0);
    td_client_health(&f->client, s, TD_HEALTH_DEGRADED, "slow");
    td_client_health(&f->client, s, TD_HEALTH_DOWN, "no disk");
    assert_null(find(f, TD_HEALTH, 0));
    reply(f, s, 0, "{\"id\" \"abc\"}");
    assert_int_equal(frame(f, TD_HEALTH, 0)->u.health.state, TD_HEALTH_DOWN);
    assert_null(find(f, TD_HEALTH, 1));

    lose(f);
    resume(f);
    forget(f);
    reply(f, s, 0, "{\"id\" \"abc\"}"); /* nothing has */
    assert_null(find(f, TD_HEALTH, 0));

    lose(f);
    resume(f);
    td_client_health(&f->client, s, TD_HEALTH_RUNNING, "");
    forget(f);
    reply(f, s, TIDINGS_EEXIST, "nil"); /* SERVE goes again, and says it */
    reply(f, s, 0, "{\"id\" \"abd\"}");
    assert_null(find(f, TD_HEALTH, 0));
}

static void test_service_drains_while_the_link_is_there(void **state)
{
    struct fixture *f = *state;
    struct td_cservice *s;

    greet(f, GREETED);
    s = serve_live(f, 0);
    assert_ok(give(f, "[21 1 4 \"\"]"));
    assert_ok(give(f, "[21 1 4 \"\"]"));
    assert_int_equal(f->drains, 1);
    assert_true(s->draining);
    assert_ok(give(f, "[21 1 2 \"\"]"));
    assert_int_equal(f->drains, 0);
    assert_ok(give(f, "[21 2 4 \"\"]")); /* one that has just ended */

    assert_ok(give(f, "[21 1 4 \"\"]"));
    lose(f);
    assert_int_equal(f->drains, 0);
    assert_false(s->draining);
}

/* ---- requests ---- */

#define ROW(task, service, endpoint, bytes)                                    \
    "[" task " " service " " endpoint " \"user.get\" 0 500 " bytes             \
    " 7 9 \"/caller\" 1000]"

static void test_service_is_handed_its_requests(void **state)
{
    struct fixture *f = *state;
    struct td_cservice *s;

    greet(f, GREETED);
    s = serve_live(f, 0);
    assert_ok(give_with(
        f, "[23 [" ROW("70", "1", "1", "3") ROW("71", "1", "2", "4") "]]",
        "abcdefg"));
    assert_int_equal(f->tasks, 2);
    assert_ptr_equal(f->handed.service, s);
    assert_int_equal(f->handed.row.task, 71);
    assert_int_equal(f->handed.row.left_ms, 500);
    assert_int_equal(f->handed.event.len, 4);
    assert_int_equal(f->client.messages, 1); /* counts for credit */
    assert_true(td_client_due_ms(&f->client) < TD_CLIENT_NEVER);
}

static struct td_answer_row answer_row(struct fixture *f, uint32_t nth)
{
    const struct td_str *list = &frame(f, TD_ANSWER, nth)->u.answer.list;
    struct td_reader r = td_reader_of(list->data, list->len);
    struct td_answer_row row = {0};
    uint32_t rows = 0;

    assert_true(td_read_array(&r, &rows));
    assert_int_equal(rows, 1);
    assert_true(td_answer_read(&r, &row));
    return row;
}

static void test_service_answers_pings_at_once(void **state)
{
    struct fixture *f = *state;
    struct td_cservice *s;
    struct td_answer_row row;

    greet(f, GREETED);
    s = serve_live(f, 0);
    td_client_health(&f->client, s, TD_HEALTH_DEGRADED, "so");
    assert_ok(give_body(f, "[23 [[5 1 0 \"$service.ping\" 16 500 0 7 9 "
                           "\"/caller\" 1000]]]"));
    assert_int_equal(f->tasks, 0);
    row = answer_row(f, 0);
    assert_int_equal(row.task, 5);
    assert_int_equal(row.code, TIDINGS_OK);
    assert_int_equal(row.bytes, 30);
    assert_memory_equal(f->sent[f->sent_len - 1].bytes,
                        "\x83\xa7service\xa5users"
                        "\xa5state\x03\xa4text\xa2so",
                        30);
}

/* More than one ANSWER may have. */
static void test_service_answers_as_many_pings_as_come(void **state)
{
    static const char row[] = "[5 1 0 \"$service.ping\" 16 500 0 7 9 "
                              "\"/caller\" 1000]";
    struct fixture *f = *state;
    char *text = malloc(TD_ROWS_MAX * sizeof(row) + 16);
    uint32_t rows = 0;
    size_t len = 0;

    assert_non_null(text);
    greet(f, GREETED);
    serve_live(f, 0);
    len += (size_t)sprintf(text, "[23 [");
    for (uint32_t i = 0; i < TD_ROWS_MAX; i++)
        len += (size_t)sprintf(text + len, "%s", row);
    sprintf(text + len, "]]");
    assert_ok(give_body(f, text));
    free(text);
    for (uint32_t i = 0; find(f, TD_ANSWER, i); i++) {
        const struct td_str *list = &frame(f, TD_ANSWER, i)->u.answer.list;
        struct td_reader r = td_reader_of(list->data, list->len);
        uint32_t n = 0;

        assert_true(td_read_array(&r, &n));
        assert_true(n <= TD_BUNDLE_ROWS);
        rows += n;
    }
    assert_int_equal(rows, TD_ROWS_MAX);
}

static void test_service_that_has_ended_refuses(void **state)
{
    struct fixture *f = *state;

    greet(f, GREETED);
    assert_ok(give_body(f, "[23 [" ROW("70", "1", "1", "0") "]]"));
    assert_int_equal(f->tasks, 0);
    assert_int_equal(answer_row(f, 0).code, TIDINGS_ELOST);
    assert_int_equal(answer_row(f, 0).task, 70);
}

static void test_service_ends_the_session_for_hostile_requests(void **state)
{
    static const struct {
        const char *text;
        const char *body;
        unsigned tasks; /* before it is found out */
    } rows[] = {
        {"[23 []]", "", 0},
        {"[23 [" ROW("70", "1", "3", "0") "]]", "", 0},
        {"[23 [" ROW("70", "0", "1", "0") "]]", "", 0},
        {"[23 [" ROW("70", "65", "1", "0") "]]", "", 0},
        {"[23 [" ROW("70", "1", "1", "3") "]]", "ab", 0},
        {"[23 [" ROW("70", "1", "1", "1") "]]", "ab", 0},
        {"[23 [" ROW("70", "1", "1", "1") ROW("71", "1", "1", "2") "]]", "ab",
         1},
        {"[23 [" ROW("70", "1", "1", "9223372036854775807")
             ROW("71", "1", "1", "3") "]]",
         "ab", 0},
        {"[23 [[70 1 1 \"a..b\" 0 500 0 7 9 \"/c\" 0]]]", "", 0},
        {"[23 [[70 1 1 s(256) 0 500 0 7 9 \"/c\" 0]]]", "", 0},
        {"[23 [[70 1 1 \"a\" 0 86400001 0 7 9 \"/c\" 0]]]", "", 0},
        {"[23 [[70 1 1 \"a\" 0 500 0 7 9 s(1025) 0]]]", "", 0},
        {"[23 [[70 1 1 \"a\" 0 500 0 7 9 \"/c\"]]]", "", 0},
        {"[23 [[-70 1 1 \"a\" 0 500 0 7 9 \"/c\" 0]]]", "", 0},
        {"[23 [70]]", "", 0},
        {"[23 {}]", "", 0},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct td_cservice *s;
        tidings_err err;

        greet(f, WELCOME);
        s = f->client.services;
        if (s)
            reply(f, s, 0, "{\"id\" \"abc\"}");
        else
            serve_live(f, 0);
        err = give_with(f, rows[i].text, rows[i].body);
        if (err != TIDINGS_EPROTO || f->tasks != rows[i].tasks)
            print_error("row %zu: %s, %u\n", i, tidings_err_name(err),
                        f->tasks);
        assert_err(err, TIDINGS_EPROTO);
        assert_int_equal(f->tasks, rows[i].tasks);
        assert_int_equal(f->client.state, TD_CLIENT_DOWN);
        forget(f);
    }
}

static void test_service_ends_the_session_for_a_hostile_health(void **state)
{
    struct fixture *f = *state;

    greet(f, GREETED);
    serve_live(f, 0);
    assert_err(give(f, "[21 1 3 \"\"]"), TIDINGS_EPROTO);
}

/* ---- answers ---- */

static void add(struct td_answers *a, uint64_t link, uint64_t task,
                const char *data)
{
    const struct td_answer_row row = {
        .task = task, .bytes = strlen(data), .text = {"", 0}};

    assert_ok(td_answers_add(a, link, &row, data));
}

static void test_service_sends_answers_over_the_link_they_are_of(void **state)
{
    struct fixture *f = *state;
    struct td_answers a = {0};

    greet(f, GREETED);
    assert_int_equal(f->client.link, 1);
    add(&a, 1, 7, "yes");
    td_client_send_answers(&f->client, &a);
    assert_int_equal(a.len, 0);
    assert_int_equal(answer_row(f, 0).task, 7);
    assert_string_equal(f->sent[f->sent_len - 1].bytes, "yes");

    add(&a, 1, 8, "no");
    lose(f);
    assert_int_equal(f->client.link, 0);
    td_client_send_answers(&f->client, &a);
    assert_int_equal(a.len, 0);
    resume(f);
    add(&a, 1, 9, "no");
    td_client_send_answers(&f->client, &a);
    assert_null(find(f, TD_ANSWER, 0));
    td_answers_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_service_is_asked_for_when_there_is_a_link),
        TEST(test_service_is_served_again_on_each_link),
        TEST(test_service_takes_another_id_when_its_own_is_in_use),
        TEST(test_service_refused_at_first_stays_so),
        TEST(test_service_refused_later_is_asked_for_again),
        TEST(test_service_has_a_number_of_its_own),
        TEST(test_service_ends_by_the_answer_or_with_the_link),
        TEST(test_service_is_asked_how_it_is_in_time),
        TEST(test_service_is_served_as_it_said_last),
        TEST(test_service_says_what_has_changed_while_it_is_asked_for),
        TEST(test_service_drains_while_the_link_is_there),
        TEST(test_service_is_handed_its_requests),
        TEST(test_service_answers_pings_at_once),
        TEST(test_service_answers_as_many_pings_as_come),
        TEST(test_service_that_has_ended_refuses),
        TEST(test_service_ends_the_session_for_hostile_requests),
        TEST(test_service_ends_the_session_for_a_hostile_health),
        TEST(test_service_sends_answers_over_the_link_they_are_of),
    };

    return cmocka_run_group_tests_name("session_service", tests, NULL, NULL);
}
