/* Instances of services: SERVE, UNSERVE and HEALTH, PROTOCOL.md 11.2. */
#include "tests/unit/engine_harness.h"

static struct td_instance *instance_of(struct fixture *f, const char *peer,
                                       uint64_t number)
{
    return td_instance_of(session_of(f, peer), number);
}

static void serve(struct fixture *f, const char *peer, unsigned number,
                  const char *name, const char *options)
{
    givef(f, peer, "[19 7 %u \"%s\" \"1.0.0\" %s]", number, name, options);
}

static void test_serve_registers_until_unserve(void **state)
{
    struct fixture *f = *state;
    struct td_str id;

    hello(f, "a");
    serve(f, "a", 3, "users",
          "{\"endpoints\" [{\"name\" \"get\" \"type\" "
          "\"user.get\"}]}");

    assert_int_equal(code_of_reply(f, "a"), TIDINGS_OK);
    id = text_of(frame(f, "a", TD_REPLY, 0)->u.reply.result, "id");
    assert_int_equal(id.len, 16);
    assert_non_null(td_instance_find(f->engine, id));
    assert_int_equal(HASH_COUNT(f->engine->serving.services), 1);
    assert_int_equal(HASH_COUNT(f->engine->serving.sets), 1);

    give(f, "a", "[20 8 3]");
    assert_int_equal(code_of_reply(f, "a"), TIDINGS_OK);
    assert_int_equal(HASH_COUNT(f->engine->serving.services), 0);
    assert_int_equal(HASH_COUNT(f->engine->serving.sets), 0);
    give(f, "a", "[20 9 3]");
    assert_int_equal(code_of_reply(f, "a"), TIDINGS_ENOTFOUND);
}

static void test_serve_takes_what_the_options_say(void **state)
{
    struct fixture *f = *state;
    const struct td_instance *i;

    hello(f, "a");
    serve(f, "a", 1, "users",
          "{\"id\" \"i.1\" \"description\" \"of users\" \"metadata\" {\"host\" "
          "\"h\"} \"state\" 3 \"text\" \"slow\" \"health_ms\" 500 \"breaker\" "
          "{\"failures\" 2} \"service_breaker\" nil \"endpoints\" [{\"name\" "
          "\"get\" \"type\" \"user.*\" \"group\" \"g\" \"balance\" \"latency\" "
          "\"max_in_flight\" 9}]}");
    assert_int_equal(code_of_reply(f, "a"), TIDINGS_OK);

    i = instance_of(f, "a", 1);
    assert_non_null(i);
    assert_string_equal(i->id, "i.1");
    assert_string_equal(i->version, "1.0.0");
    assert_string_equal(i->description, "of users");
    assert_string_equal(i->text, "slow");
    assert_int_equal(i->metadata.len, 8);
    assert_int_equal(i->state, TD_HEALTH_DEGRADED);
    assert_int_equal(i->health_ms, 500);
    assert_true(i->breaks);
    assert_int_equal(i->limits.failures, 2);
    assert_int_equal(i->limits.rate_percent, 50);
    assert_false(i->service->breaks);
    assert_int_equal(i->endpoints_len, 1);
    assert_true(is_text(i->endpoints[0].group, "g"));
    assert_true(is_text(i->endpoints[0].pattern, "user.*"));
    assert_int_equal(i->endpoints[0].max_in_flight, 9);
    assert_int_equal(i->endpoints[0].set->balance, TD_BALANCE_LATENCY);
}

static void test_serve_refuses_what_cannot_be(void **state)
{
    static const struct {
        const char *message;
        tidings_err code;
    } rows[] = {
        {"[19 1 0 \"a\" \"1.0.0\" {}]", TIDINGS_EINVAL},
        {"[19 1 65 \"a\" \"1.0.0\" {}]", TIDINGS_EINVAL},
        {"[19 1 1 \"\" \"1.0.0\" {}]", TIDINGS_EINVAL},
        {"[19 1 1 \"a.b\" \"1.0.0\" {}]", TIDINGS_EINVAL},
        {"[19 1 1 s(65) \"1.0.0\" {}]", TIDINGS_EINVAL},
        {"[19 1 1 \"a\" \"1.0\" {}]", TIDINGS_EINVAL},
        {"[19 1 1 \"a\" \"\" {}]", TIDINGS_EINVAL},
        {"[19 1 1 \"a\" \"1.0.0\" {\"id\" \"\"}]", TIDINGS_EINVAL},
        {"[19 1 1 \"a\" \"1.0.0\" {\"id\" \"a b\"}]", TIDINGS_EINVAL},
        {"[19 1 1 \"a\" \"1.0.0\" {\"id\" s(33)}]", TIDINGS_EINVAL},
        {"[19 1 1 \"a\" \"1.0.0\" {\"id\" <a3 61 00 62>}]", TIDINGS_EINVAL},
        {"[19 1 1 \"a\" \"1.0.0\" {\"id\" 7}]", TIDINGS_EINVAL},
        {"[19 1 1 \"a\" \"1.0.0\" {\"id\" \"there\"}]", TIDINGS_EEXIST},
        {"[19 1 2 \"a\" \"1.0.0\" {}]", TIDINGS_EEXIST},
        {"[19 1 1 \"a\" \"1.0.0\" {\"description\" s(256)}]", TIDINGS_EINVAL},
        {"[19 1 1 \"a\" \"1.0.0\" {\"text\" s(256)}]", TIDINGS_EINVAL},
        {"[19 1 1 \"a\" \"1.0.0\" {\"state\" 0}]", TIDINGS_EINVAL},
        {"[19 1 1 \"a\" \"1.0.0\" {\"state\" 6}]", TIDINGS_EINVAL},
        {"[19 1 1 \"a\" \"1.0.0\" {\"health_ms\" 99}]", TIDINGS_EINVAL},
        {"[19 1 1 \"a\" \"1.0.0\" {\"health_ms\" 86400001}]", TIDINGS_EINVAL},
        {"[19 1 1 \"a\" \"1.0.0\" {\"metadata\" 1}]", TIDINGS_EINVAL},
        {"[19 1 1 \"a\" \"1.0.0\" {\"metadata\" {1 \"b\"}}]", TIDINGS_EINVAL},
        {"[19 1 1 \"a\" \"1.0.0\" {\"metadata\" {\"a\" 1}}]", TIDINGS_EINVAL},
        {"[19 1 1 \"a\" \"1.0.0\" {\"metadata\" {\"a\" s(4096)}}]",
         TIDINGS_EINVAL},
        {"[19 1 1 \"a\" \"1.0.0\" {\"breaker\" 1}]", TIDINGS_EINVAL},
        {"[19 1 1 \"a\" \"1.0.0\" {\"breaker\" {\"failures\" 1000001}}]",
         TIDINGS_EINVAL},
        {"[19 1 1 \"a\" \"1.0.0\" {\"breaker\" {\"rate_percent\" 101}}]",
         TIDINGS_EINVAL},
        {"[19 1 1 \"a\" \"1.0.0\" {\"service_breaker\" {\"window_ms\" "
         "86400001}}]",
         TIDINGS_EINVAL},
        {"[19 1 1 \"a\" \"1.0.0\" {\"endpoints\" 1}]", TIDINGS_EINVAL},
        {"[19 1 1 \"a\" \"1.0.0\" {\"endpoints\" [1]}]", TIDINGS_EINVAL},
        {"[19 1 1 \"a\" \"1.0.0\" {\"endpoints\" [{\"name\" \"a\"}]}]",
         TIDINGS_EINVAL},
        {"[19 1 1 \"a\" \"1.0.0\" {\"endpoints\" [{\"type\" \"a\"}]}]",
         TIDINGS_EINVAL},
        {"[19 1 1 \"a\" \"1.0.0\" {\"endpoints\" [{\"name\" \"a\" \"type\" "
         "\"a..b\"}]}]",
         TIDINGS_EINVAL},
        {"[19 1 1 \"a\" \"1.0.0\" {\"endpoints\" [{\"name\" \"a\" \"type\" "
         "\"$a.b\"}]}]",
         TIDINGS_EINVAL},
        {"[19 1 1 \"a\" \"1.0.0\" {\"endpoints\" [{\"name\" \"a\" \"type\" "
         "\"a\" \"group\" \"\"}]}]",
         TIDINGS_EINVAL},
        {"[19 1 1 \"a\" \"1.0.0\" {\"endpoints\" [{\"name\" \"a\" \"type\" "
         "\"a\" \"balance\" \"best\"}]}]",
         TIDINGS_EINVAL},
        {"[19 1 1 \"a\" \"1.0.0\" {\"endpoints\" [{\"name\" \"a\" \"type\" "
         "\"a\" \"max_in_flight\" 0}]}]",
         TIDINGS_EINVAL},
        {"[19 1 1 \"a\" \"1.0.0\" {\"endpoints\" [{\"name\" \"a\" \"type\" "
         "\"a\"}*2]}]",
         TIDINGS_EINVAL},
        {"[19 1 1 \"a\" \"1.0.0\" {\"endpoints\" [{\"name\" \"a\" \"type\" "
         "\"a\"}*65]}]",
         TIDINGS_EINVAL},
    };
    struct fixture *f = *state;

    hello(f, "a");
    serve(f, "a", 2, "other", "{\"id\" \"there\"}");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        forget(f);
        give(f, "a", rows[i].message);
        assert_row(rows[i].message, code_of_reply(f, "a") == rows[i].code);
        assert_row(rows[i].message,
                   frame(f, "a", TD_REPLY, 0)->u.reply.text.len > 0);
        assert_row(rows[i].message, f->engine->serving.instances_len == 1);
        assert_row(rows[i].message,
                   HASH_COUNT(f->engine->serving.services) == 1);
    }
}

static void test_serve_stops_at_the_bound_of_names(void **state)
{
    struct fixture *f = *state;
    char peer[8];
    char name[16];

    f->unjudged = true;
    for (unsigned i = 0; i < TD_SERVICE_NAMES_MAX; i++) {
        snprintf(peer, sizeof(peer), "p%u", i / TD_SERVICES_MAX);
        snprintf(name, sizeof(name), "n%u", i);
        if (i % TD_SERVICES_MAX == 0)
            hello(f, peer);
        serve(f, peer, i % TD_SERVICES_MAX + 1, name, "{}");
        assert_int_equal(code_of_reply(f, peer), TIDINGS_OK);
        forget(f);
    }
    hello(f, "more");
    serve(f, "more", 1, "more", "{}");
    assert_int_equal(code_of_reply(f, "more"), TIDINGS_ELIMIT);
    serve(f, "more", 1, "n0", "{}");
    assert_int_equal(code_of_reply(f, "more"), TIDINGS_OK);
}

static void test_serve_lives_as_long_as_the_link(void **state)
{
    struct fixture *f = *state;

    hello(f, "a");
    serve(f, "a", 1, "users", "{\"id\" \"one\"}");
    gone(f, "a");
    flush(f);
    assert_int_equal(f->engine->serving.instances_len, 0);
    assert_int_equal(sessions(f), 1); /* away */

    hello(f, "b");
    serve(f, "b", 1, "users", "{\"id\" \"one\"}");
    assert_int_equal(code_of_reply(f, "b"), TIDINGS_OK);
    give(f, "b", "[14 0 \"\"]");
    flush(f);
    assert_int_equal(f->engine->serving.instances_len, 0);
}

static void test_health_changes_the_state(void **state)
{
    struct fixture *f = *state;
    struct td_instance *i;
    uint64_t revision;

    hello(f, "a");
    serve(f, "a", 1, "users", "{}");
    i = instance_of(f, "a", 1);
    assert_int_equal(i->state, TD_HEALTH_STARTING);
    assert_false(td_instance_is_fit(i));
    revision = f->engine->serving.revision;

    f->now += 10;
    give(f, "a", "[21 1 2 \"\"]");
    assert_true(td_instance_is_fit(i));
    assert_int_equal(f->engine->serving.revision, revision + 1);
    assert_int_equal(i->beat_ms, f->now);
    give(f, "a", "[21 1 2 \"\"]"); /* no news */
    assert_int_equal(f->engine->serving.revision, revision + 1);
    give(f, "a", "[21 1 5 <a4 61 1b 5b 62>]");
    assert_false(td_instance_is_fit(i));
    assert_string_equal(i->text, "a?[b");
    give(f, "a", "[21 9 2 \"\"]"); /* of one that has just ended */
    assert_non_null(session_of(f, "a"));
}

static void test_health_that_is_none_ends_the_session(void **state)
{
    static const char *const rows[] = {"[21 1 0 \"\"]", "[21 1 6 \"\"]",
                                       "[21 1 2 s(256)]", "[21 1 2]"};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        hello(f, "a");
        serve(f, "a", 1, "users", "{}");
        forget(f);
        give(f, "a", rows[i]);
        flush(f);
        assert_bye(f, rows[i], "a", TIDINGS_EPROTO);
        assert_int_equal(f->engine->serving.instances_len, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_serve_registers_until_unserve),
        TEST(test_serve_takes_what_the_options_say),
        TEST(test_serve_refuses_what_cannot_be),
        TEST(test_serve_stops_at_the_bound_of_names),
        TEST_RESUMABLE(test_serve_lives_as_long_as_the_link),
        TEST(test_health_changes_the_state),
        TEST(test_health_that_is_none_ends_the_session),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
