/* The command line's --attr: what is refused, and what becomes of the event. */
#include "tests/unit/cli_fixture.h"

#include "client/cli/attrs.h"

static bool check(const struct td_settings *s, int64_t *time_us,
                  const char **said)
{
    bool ok;

    said_begin();
    ok = td_attrs_check(s, time_us);
    *said = said_end();
    return ok;
}

static const struct {
    const char *name;
    const char *value;
    const char *fault; /* NULL: none */
} checked[] = {
    {"subject", "s", NULL},
    {"a0z9", "x", NULL},
    {"abcdefghij0123456789", "x", NULL},
    {"abcdefghij0123456789x", "x", "a name is 1 to 20"},
    {"", "x", "a name is 1 to 20"},
    {"Upper", "x", "a name is 1 to 20"},
    {"with-dash", "x", "a name is 1 to 20"},
    {"type", "x", "the type stands before DATA"},
    {"data", "x", "not an attribute to set"},
    {"specversion", "1.0", "not an attribute to set"},
    {"subject", "", "its value is empty"},
    {"time", "2024-02-29T12:00:00Z", NULL},
    {"time", "2023-02-29T12:00:00Z", "not an RFC 3339 timestamp"},
    {"time", "now", "not an RFC 3339 timestamp"},
    {"time", "2024-02-29T12:00:00Z\",\"id\":\"x", "not an RFC 3339"},
    {"time",
     "2024-02-29T12:00:00.0000000000000000000000000000000000000000000000000000"
     "000000000000000000000000000000000000000000000000000000000000000000000Z",
     "not an RFC 3339 timestamp"},
};

static void test_attrs_are_checked_with_words(void **state)
{
    (void)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(checked); i++) {
        struct td_settings s = {.attrs = {{checked[i].name, checked[i].value}},
                                .attrs_len = 1};
        const char *said;
        int64_t time_us;
        bool ok = check(&s, &time_us, &said);

        assert_row(checked[i].name, ok == !checked[i].fault);
        if (checked[i].fault)
            assert_row(checked[i].name, strstr(said, checked[i].fault) != NULL);
        else
            assert_row(checked[i].name, *said == '\0');
    }
}

static void test_attrs_of_one_name_are_refused(void **state)
{
    char first[] = "1"; /* words of argv: two, even if they read the same */
    char last[] = "1";
    struct td_settings s = {.attrs = {{"a", first}, {"b", "2"}, {"a", last}},
                            .attrs_len = 3};
    const char *said;
    int64_t time_us;
    (void)state;

    assert_false(check(&s, &time_us, &said));
    assert_non_null(strstr(said, "--attr a=1: it is given twice"));
}

static void test_attrs_become_fields_and_extensions(void **state)
{
    struct td_settings s = {.attrs = {{"id", "i"},
                                      {"source", "/s"},
                                      {"subject", "su"},
                                      {"datacontenttype", "text/plain"},
                                      {"dataschema", "ds"},
                                      {"time", "1970-01-01T00:00:01Z"},
                                      {"mine", "over"},
                                      {"more", "new"}},
                            .attrs_len = 8};
    const struct tidings_attr own[] = {
        {.name = "mine", .kind = TIDINGS_ATTR_INTEGER, .integer = 1},
        {.name = "kept", .kind = TIDINGS_ATTR_INTEGER, .integer = 2}};
    struct tidings_event event = {
        .subject = "old", .attrs = own, .attrs_len = 2};
    struct td_attrs room;
    const char *said;
    int64_t time_us;
    (void)state;

    assert_true(check(&s, &time_us, &said));
    assert_true(td_attrs_apply(&event, &room, &s, time_us));

    assert_string_equal(event.id, "i");
    assert_string_equal(event.source, "/s");
    assert_string_equal(event.subject, "su");
    assert_string_equal(event.datacontenttype, "text/plain");
    assert_string_equal(event.dataschema, "ds");
    assert_true(event.time_us == 1000000);
    assert_int_equal(event.attrs_len, 3);
    assert_string_equal(event.attrs[0].name, "mine");
    assert_int_equal(event.attrs[0].kind, TIDINGS_ATTR_STRING);
    assert_string_equal(event.attrs[0].string, "over");
    assert_string_equal(event.attrs[1].name, "kept");
    assert_int_equal(event.attrs[1].integer, 2);
    assert_string_equal(event.attrs[2].name, "more");
    assert_string_equal(event.attrs[2].string, "new");
}

static void test_attrs_keep_what_they_do_not_name(void **state)
{
    const struct td_settings none = {0};
    struct tidings_event event = {.subject = "kept", .time_us = 7};
    struct td_attrs room;
    (void)state;

    assert_true(td_attrs_apply(&event, &room, &none, 0));
    assert_string_equal(event.subject, "kept");
    assert_true(event.time_us == 7);
    assert_int_equal(event.attrs_len, 0);
    assert_null(td_attr_given(&none, "subject"));
}

static void test_attrs_are_bounded_together(void **state)
{
    static char names[TIDINGS_ATTRS_MAX][8];
    struct td_settings s = {.attrs = {{"n0", "over"}, {"extra", "x"}}};
    struct tidings_attr own[TIDINGS_ATTRS_MAX];
    struct tidings_event event = {.attrs = own, .attrs_len = TIDINGS_ATTRS_MAX};
    struct td_attrs room;
    const char *said;
    bool ok;
    (void)state;

    for (size_t i = 0; i < TIDINGS_ATTRS_MAX; i++) {
        snprintf(names[i], sizeof(names[i]), "n%zu", i);
        own[i] = (struct tidings_attr){.name = names[i],
                                       .kind = TIDINGS_ATTR_BOOLEAN};
    }
    s.attrs_len = 1; /* in place of one that is there */
    assert_true(td_attrs_apply(&event, &room, &s, 0));
    assert_int_equal(event.attrs_len, TIDINGS_ATTRS_MAX);
    s.attrs_len = 2;
    said_begin();
    ok = td_attrs_apply(&event, &room, &s, 0);
    said = said_end();
    assert_false(ok);
    assert_non_null(strstr(said, "more than 64 attributes"));
}

static const struct {
    const char *type;
    bool json;
    bool msgpack;
} types[] = {
    {"application/json", true, false},
    {"APPLICATION/JSON; charset=utf-8", true, false},
    {"application/cloudevents+json", true, false},
    {"text/plain", false, false},
    {"/json", false, false},
    {"json", false, false},
    {"a+json", false, false}, /* no type before it */
    {"application/jsonp", false, false},
    {"application/msgpack", false, true},
    {"Application/MsgPack;x=1", false, true},
    {"application/msgpacks", false, false},
};

static void test_attrs_know_json_and_msgpack(void **state)
{
    (void)state;

    assert_true(td_is_msgpack_type(NULL));
    for (size_t i = 0; i < TD_ARRAY_LEN(types); i++) {
        assert_row(types[i].type,
                   td_is_json_type(types[i].type) == types[i].json);
        assert_row(types[i].type,
                   td_is_msgpack_type(types[i].type) == types[i].msgpack);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attrs_are_checked_with_words),
        cmocka_unit_test(test_attrs_of_one_name_are_refused),
        cmocka_unit_test(test_attrs_become_fields_and_extensions),
        cmocka_unit_test(test_attrs_keep_what_they_do_not_name),
        cmocka_unit_test(test_attrs_are_bounded_together),
        cmocka_unit_test(test_attrs_know_json_and_msgpack),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
