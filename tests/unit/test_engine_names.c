/* The engine: names of producers are listed and deleted. */
#include "tests/unit/stream_fixture.h"

#define NAME_A "{\"name\" \"a\"}"

/* It leaves, all of its events being confirmed. */
static void leave(struct streams *s, const char *peer)
{
    give(s->f, peer, "[14 0 \"\"]");
    settle_down(s);
    forget(s->f);
}

static bool says(struct td_str map, const char *key, const char *text)
{
    struct td_str value;

    return td_map_str(map, key, &value) && is_text(value, text);
}

static uint64_t names(struct streams *s)
{
    return count(call(s, "op", "producer.list", "{}"), "producers_total");
}

static tidings_err delete_name(struct streams *s)
{
    return call_code(s, "op", "producer.delete", NAME_A);
}

static bool has(struct td_str said, const char *text)
{
    char copy[256];

    snprintf(copy, sizeof(copy), "%.*s", (int)said.len, said.data);
    return strstr(copy, text) != NULL;
}

/* The last reply to the operator says that. */
static bool was_told(struct streams *s, const char *text)
{
    const struct td_frame *last = NULL;

    for (uint32_t i = 0; find(s->f, "op", TD_REPLY, i); i++)
        last = frame(s->f, "op", TD_REPLY, i);
    assert_non_null(last);
    return has(last->u.reply.text, text);
}

/* ---- the list ---- */

static void test_names_are_listed(void **state)
{
    struct streams *s = *state;
    struct td_str row;

    hello(s->f, "op");
    assert_int_equal(names(s), 0);
    hello_term(s, "=a/1", 0);
    hello_term(s, "=b/1", 0);
    put(s, "=a/1", "a.b", 3, 1, DISK);
    leave(s, "=b/1");
    pass(s->f, 1000);
    assert_int_equal(names(s), 2);
    row = row_of(call(s, "op", "producer.list", "{}"), "producers", 0);
    assert_true(says(row, "name", "a"));
    assert_int_equal(count(row, "stored"), 3);
    assert_int_equal(count(row, "term"), 1);
    assert_true(count(row, "session") > 0);
    assert_true(says(row, "client", "=a/1"));
    assert_int_equal(count(row, "idle_ms"), 0);
    row =
        row_of(call(s, "op", "producer.list", "{\"from\" 1}"), "producers", 0);
    assert_true(says(row, "name", "b"));
    assert_int_equal(count(row, "stored"), 0);
    assert_int_equal(count(row, "session"), 0);
    assert_true(says(row, "client", ""));
    assert_int_equal(count(row, "idle_ms"), 1000);
}

static void test_names_come_in_pages(void **state)
{
    struct streams *s = *state;
    char peer[8];
    char seen[16] = "";

    hello(s->f, "op");
    hello(s->f, "pub"); /* without a name: not among them */
    for (char c = 'a'; c <= 'h'; c++) {
        snprintf(peer, sizeof(peer), "=%c/1", c);
        hello_term(s, peer, 0);
    }
    for (unsigned from = 0; from < 8; from++) {
        char options[32];
        struct td_str value;

        snprintf(options, sizeof(options), "{\"from\" %u}", from);
        assert_true(td_map_str(
            row_of(call(s, "op", "producer.list", options), "producers", 0),
            "name", &value));
        assert_int_equal(value.len, 1);
        assert_null(strchr(seen, *value.data));
        seen[from] = *value.data;
    }
    assert_int_equal(
        count(call(s, "op", "producer.list", "{\"from\" 9223372036854775807}"),
              "producers_total"),
        8);
}

/* ---- deleting ---- */

static void test_names_are_deleted_for_good(void **state)
{
    struct streams *s = *state;

    hello(s->f, "op");
    hello_term(s, "=a/1", 0);
    put(s, "=a/1", "a.b", 3, 1, DISK);
    leave(s, "=a/1");
    assert_int_equal(delete_name(s), TIDINGS_OK);
    assert_int_equal(names(s), 0);
    assert_int_equal(delete_name(s), TIDINGS_ENOTFOUND);
    cut_power(s);
    hello(s->f, "op");
    assert_int_equal(names(s), 0);
    hello_term(s, "=a/2", 0); /* as if it had never been, but for its terms */
    check_welcome(s, "=a/2", 2, 0);
    put(s, "=a/2", "a.b", 2, 1, DISK);
    assert_int_equal(
        count(row_of(call(s, "op", "stream.list", "{}"), "streams", 0), "last"),
        5);
}

static void test_names_that_stored_nothing_are_deleted(void **state)
{
    struct streams *s = *state;

    hello(s->f, "op");
    hello_term(s, "=a/1", 0);
    leave(s, "=a/1");
    assert_int_equal(delete_name(s), TIDINGS_OK);
    kill_broker(s);
    hello(s->f, "op");
    assert_int_equal(names(s), 0);
}

static void test_names_in_use_are_not_deleted(void **state)
{
    struct streams *s = *state;

    hello(s->f, "op");
    hello_term(s, "=a/1", 0);
    assert_int_equal(delete_name(s), TIDINGS_EEXIST);
    assert_true(was_told(s, "=a/1 has it"));
    gone(s->f, "=a/1"); /* away */
    settle_down(s);
    assert_int_equal(delete_name(s), TIDINGS_EEXIST);
    assert_true(was_told(s, "may come back"));
    hello_term(s, "=a/2", 1);
    check_welcome(s, "=a/2", 1, 0);
    assert_int_equal(names(s), 1);
}

static void test_names_are_not_deleted_while_events_are_written(void **state)
{
    struct streams *s = *state;

    hello(s->f, "op");
    hello_term(s, "=a/1", 0);
    hold_store(s);
    put(s, "=a/1", "a.b", 3, 1, DISK);
    leave(s, "=a/1");
    assert_int_equal(delete_name(s), TIDINGS_ELIMIT);
    let_store(s);
    assert_int_equal(delete_name(s), TIDINGS_OK);
}

/* A holder that was stopped before its name was deleted does not take it from
 * the one who has it now, though that one's terms began anew. */
static void test_names_fence_those_of_before(void **state)
{
    struct streams *s = *state;

    hello(s->f, "op");
    for (char peer[] = "=a/1"; peer[3] <= '5'; peer[3]++)
        hello_term(s, peer, 0);
    leave(s, "=a/5");
    assert_int_equal(delete_name(s), TIDINGS_OK);
    for (int broker = 0; broker < 2; broker++) {
        hello_term(s, "=a/6", 0);
        check_welcome(s, "=a/6", 6 + (unsigned)broker, 0);
        forget(s->f);
        hello_term(s, "=a/3", 5);
        assert_bye(s->f, "of before", "=a/3", TIDINGS_EFENCED);
        kill_broker(s);
    }
}

/* The same, when it could be deleted at the second time only. */
static void test_names_fence_those_of_before_a_failure(void **state)
{
    struct streams *s = *state;

    hello(s->f, "op");
    for (char peer[] = "=a/1"; peer[3] <= '5'; peer[3]++)
        hello_term(s, peer, 0);
    leave(s, "=a/5");
    td_model_fail(s->model, 1, TIDINGS_EFULL);
    assert_int_equal(delete_name(s), TIDINGS_EFULL);
    assert_int_equal(delete_name(s), TIDINGS_OK);
    kill_broker(s);
    hello_term(s, "=a/6", 0);
    check_welcome(s, "=a/6", 6, 0);
    forget(s->f);
    hello_term(s, "=a/3", 5);
    assert_bye(s->f, "of before", "=a/3", TIDINGS_EFENCED);
}

/* A term that was made up is not what other names count on from. */
static void test_names_forget_terms_that_cannot_be(void **state)
{
    struct streams *s = *state;

    hello(s->f, "op");
    hello_with(s->f, "=a/1",
               "{\"producer\" \"a\" \"term\" 9223372036854775807}");
    settle_down(s);
    leave(s, "=a/1");
    hello_term(s, "=a/2", 0);
    assert_bye(s->f, "no more terms", "=a/2", TIDINGS_ELIMIT);
    assert_int_equal(delete_name(s), TIDINGS_OK);
    forget(s->f);
    hello_term(s, "=a/2", 0);
    check_welcome(s, "=a/2", 1, 0);
}

static void test_names_stay_when_they_cannot_be_deleted(void **state)
{
    struct streams *s = *state;

    hello(s->f, "op");
    hello_term(s, "=a/1", 0);
    put(s, "=a/1", "a.b", 3, 1, DISK);
    leave(s, "=a/1");
    td_model_fail(s->model, 1, TIDINGS_EFULL);
    assert_int_equal(delete_name(s), TIDINGS_EFULL);
    assert_true(was_told(s, "nothing was done"));
    assert_int_equal(names(s), 1);
    hello_term(s, "=a/2", 0);
    check_welcome(s, "=a/2", 2, 3);
    put(s, "=a/2", "a.b", 3, 1, DISK); /* stored before */
    cut_power(s);
    hello(s->f, "op");
    hello_term(s, "=a/3", 0);
    check_welcome(s, "=a/3", 3, 3);
}

/* Somebody takes it while it is not known yet that it was not deleted. */
static void test_names_come_back_to_who_has_taken_them(void **state)
{
    struct streams *s = *state;

    hello(s->f, "op");
    hello_term(s, "=a/1", 0);
    put(s, "=a/1", "a.b", 3, 1, DISK);
    leave(s, "=a/1");
    hold_store(s);
    td_model_fail(s->model, 1, TIDINGS_EFULL);
    give(s->f, "op", "[15 8 \"producer.delete\" " NAME_A "]");
    settle_down(s);
    hello_term(s, "=a/2", 0);
    assert_null(find(s->f, "=a/2", TD_WELCOME, 0));
    let_store(s);
    assert_bye(s->f, "not kept", "=a/2", TIDINGS_EFULL);
    assert_true(was_told(s, "nothing was done"));
    assert_int_equal(names(s), 1);
    forget(s->f);
    hello_term(s, "=a/3", 0);
    check_welcome(s, "=a/3", 2, 3);
    kill_broker(s);
    hello_term(s, "=a/4", 0);
    check_welcome(s, "=a/4", 3, 3);
}

/* Deleted and taken in one transaction: the new one is there. */
static void test_names_are_taken_while_they_are_deleted(void **state)
{
    struct streams *s = *state;

    hello(s->f, "op");
    hello_term(s, "=a/1", 0);
    put(s, "=a/1", "a.b", 3, 1, DISK);
    leave(s, "=a/1");
    hold_store(s);
    give(s->f, "op", "[15 8 \"producer.delete\" " NAME_A "]");
    hello_term(s, "=a/2", 0);
    let_store(s);
    check_welcome(s, "=a/2", 2, 0);
    put(s, "=a/2", "a.b", 1, 1, DISK);
    kill_broker(s);
    hello_term(s, "=a/3", 0);
    check_welcome(s, "=a/3", 3, 1);
}

static void test_names_make_room_for_others(void **state)
{
    struct streams *s = *state;

    hello(s->f, "op");
    hello_term(s, "=a/1", 0);
    leave(s, "=a/1");
    s->f->engine->names_len = TD_NAMED_PRODUCERS_MAX;
    hello_term(s, "=b/1", 0);
    assert_bye(s->f, "too many", "=b/1", TIDINGS_ELIMIT);
    assert_true(has(frame(s->f, "=b/1", TD_BYE, 0)->u.bye.text,
                    "tidings producer delete NAME"));
    assert_int_equal(delete_name(s), TIDINGS_OK);
    hello_term(s, "=b/1", 0);
    s->f->engine->names_len = 1;
    check_welcome(s, "=b/1", 2, 0);
}

static void test_names_asked_for_wrongly(void **state)
{
    static const struct {
        const char *call;
        const char *options;
        tidings_err code;
    } rows[] = {
        {"producer.list", "{\"from\" \"a\"}", TIDINGS_EINVAL},
        {"producer.list", "{\"from\" -1}", TIDINGS_EINVAL},
        {"producer.delete", "{}", TIDINGS_EINVAL},
        {"producer.delete", "{\"name\" 1}", TIDINGS_EINVAL},
        {"producer.delete", "{\"name\" \"\"}", TIDINGS_EINVAL},
        {"producer.delete", "{\"name\" \"b\"}", TIDINGS_ENOTFOUND},
        {"producer.delete", "{\"name\" \"a \"}", TIDINGS_ENOTFOUND},
    };
    struct streams *s = *state;

    hello(s->f, "op");
    hello_term(s, "=a/1", 0);
    leave(s, "=a/1");
    hello(s->f, "=b/1"); /* that producer has no name */
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++)
        assert_row(rows[i].options, call_code(s, "op", rows[i].call,
                                              rows[i].options) == rows[i].code);
    assert_int_equal(names(s), 1);
    restart(s->f, (struct td_engine_options){0});
    hello(s->f, "op");
    assert_int_equal(call_code(s, "op", "producer.list", "{}"),
                     TIDINGS_ENOTSUP);
    assert_int_equal(delete_name(s), TIDINGS_ENOTSUP);
}

/* An allocation of the engine fails while a name is deleted; whether one did. */
static bool delete_starved(struct streams *s, unsigned engine_call,
                           size_t allocation)
{
    const struct td_frame *reply;
    uint64_t left;

    hello_term(s, "=a/1", 0);
    leave(s, "=a/1");
    hello(s->f, "op");
    s->f->starved = false;
    s->f->starved_call = s->f->calls + engine_call;
    s->f->starved_allocation = allocation;
    give(s->f, "op", "[15 8 \"producer.delete\" " NAME_A "]");
    settle_down(s);
    s->f->starved_call = 0;
    reply =
        find(s->f, "op", TD_REPLY, 0) ? frame(s->f, "op", TD_REPLY, 0) : NULL;
    hello(s->f, "look");
    left = count(call(s, "look", "producer.list", "{}"), "producers_total");
    assert_true(left <= 1);
    if (reply && reply->u.reply.code == TIDINGS_OK)
        assert_int_equal(left, 0);
    kill_broker(s);
    hello(s->f, "look");
    assert_int_equal(
        count(call(s, "look", "producer.list", "{}"), "producers_total"), left);
    return s->f->starved;
}

static void test_names_without_memory(void **state)
{
    struct streams *s = *state;
    uint32_t failures = 0;

    for (unsigned engine_call = 1; engine_call <= 3; engine_call++) {
        size_t n = 0;

        while (delete_starved(s, engine_call, ++n))
            failures++;
    }
    assert_true(failures > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_STREAM(test_names_are_listed),
        TEST_STREAM(test_names_come_in_pages),
        TEST_STREAM(test_names_are_deleted_for_good),
        TEST_STREAM(test_names_that_stored_nothing_are_deleted),
        TEST_STREAM(test_names_in_use_are_not_deleted),
        TEST_STREAM(test_names_are_not_deleted_while_events_are_written),
        TEST_STREAM(test_names_fence_those_of_before),
        TEST_STREAM(test_names_fence_those_of_before_a_failure),
        TEST_STREAM(test_names_forget_terms_that_cannot_be),
        TEST_STREAM(test_names_stay_when_they_cannot_be_deleted),
        TEST_STREAM(test_names_come_back_to_who_has_taken_them),
        TEST_STREAM(test_names_are_taken_while_they_are_deleted),
        TEST_STREAM(test_names_make_room_for_others),
        TEST_STREAM(test_names_asked_for_wrongly),
        TEST_STREAM(test_names_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
