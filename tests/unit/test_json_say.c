/* libtidings_json: events that begin as no JSON, and what is no event. */
#include "tests/unit/json_fixture.h"

#include <stdlib.h>

#include "client/json/text.h"

static void test_event_is_one_block_with_all_it_points_to(void **state)
{
    static const char json[] =
        "{\"type\":\"t.u\",\"id\":\"i1\",\"source\":\"/s\",\"subject\":\"su\","
        "\"time\":\"1970-01-01T00:00:01Z\",\"s\":\"text\",\"n\":7,\"b\":true,"
        "\"data\":5}";
    struct tidings_event *event = NULL;
    (void)state;

    assert_ok(tidings_event_from_json(&event, json, sizeof(json) - 1));

    assert_string_equal(event->type, "t.u");
    assert_string_equal(event->id, "i1");
    assert_string_equal(event->source, "/s");
    assert_string_equal(event->subject, "su");
    assert_null(event->datacontenttype);
    assert_null(event->dataschema);
    assert_int_equal(event->time_us, 1000000);
    assert_int_equal(event->attrs_len, 3);
    assert_string_equal(event->attrs[0].name, "s");
    assert_int_equal(event->attrs[0].kind, TIDINGS_ATTR_STRING);
    assert_string_equal(event->attrs[0].string, "text");
    assert_int_equal(event->attrs[1].kind, TIDINGS_ATTR_INTEGER);
    assert_int_equal(event->attrs[1].integer, 7);
    assert_int_equal(event->attrs[2].kind, TIDINGS_ATTR_BOOLEAN);
    assert_true(event->attrs[2].boolean);
    assert_int_equal(event->data_len, 1);
    assert_memory_equal(event->data, "\x05", 1);
    tidings_free(event); /* all of it: the address sanitizer looks */
}

static void test_event_leaves_to_the_bus_what_is_absent(void **state)
{
    static const char json[] = "{\"type\":\"t\"}";
    struct tidings_event *event = NULL;
    (void)state;

    assert_ok(tidings_event_from_json(&event, json, sizeof(json) - 1));

    assert_null(event->id);
    assert_null(event->source);
    assert_int_equal(event->time_us, 0);
    assert_null(event->data);
    assert_int_equal(event->data_len, 0);
    assert_int_equal(event->attrs_len, 0);
    tidings_free(event);
}

static void test_event_binary_attribute_is_written_in_base64(void **state)
{
    struct tidings_attr attr = {.name = "raw",
                                .kind = TIDINGS_ATTR_BINARY,
                                .binary = "\xff\x00",
                                .binary_len = 2};
    struct tidings_event event = {.type = "t", .id = "i", .source = "/s",
                                  .attrs = &attr, .attrs_len = 1};
    char *json = NULL;
    (void)state;

    assert_ok(tidings_event_to_json(&json, &event));

    assert_string_equal(json, HEAD ",\"raw\":\"/wA=\"}");
    tidings_free(json);
}

/* JSON that could not be read back is no "data". */
static void test_event_with_data_nested_too_deep_is_written_in_base64(
    void **state)
{
    (void)state;

    for (int objects = 0; objects < 2; objects++) {
        char *data = objects ? nested_objects(33) : repeated("[", 33, "]");
        const struct tidings_event event = {
            .type = "t", .id = "i", .source = "/s",
            .datacontenttype = "application/json", .data = data,
            .data_len = strlen(data)};
        char *json = NULL;

        assert_ok(tidings_event_to_json(&json, &event));
        assert_non_null(strstr(json, "\"data_base64\""));
        assert_null(strstr(json, "\"data\""));
        tidings_free(json);
        free(data);
    }
}

/* Whoever did not ask td_text_sayable() gets the bytes as they are. */
static void test_text_string_ends_whatever_the_bytes_are(void **state)
{
    struct td_text t = {0};
    (void)state;

    td_text_string(&t, "\xff\"\x80\xc3", 4);
    assert_int_equal(t.len, 12);
    assert_memory_equal(t.bytes, "\"\xff\\\"\\u0080\xc3\"", 12);
    td_text_fini(&t);
}

static void test_event_is_not_written_when_something_is_wrong(void **state)
{
    static const struct tidings_attr latin = {
        .name = "ext", .kind = TIDINGS_ATTR_STRING, .string = "\xe4"};
    static const struct tidings_attr type = {
        .name = "type", .kind = TIDINGS_ATTR_STRING, .string = "x"};
    static const struct tidings_attr time = {
        .name = "time", .kind = TIDINGS_ATTR_STRING, .string = "x"};
    static const struct tidings_attr odd = {
        .name = "ext", .kind = (enum tidings_attr_kind)99, .string = "x"};
    static const struct tidings_attr missing = {.name = "ext"};
    static const struct {
        const char *detail;
        struct tidings_event event;
    } rows[] = {
        {"id", {.type = "t", .source = "/s"}},
        {"source", {.type = "t", .id = "i"}},
        {"type", {.source = "/s", .id = "i"}},
        {"id", {.type = "t", .source = "/s", .id = "\xff"}},
        {"subject",
         {.type = "t", .source = "/s", .id = "i", .subject = "\xc3"}},
        {"9999",
         {.type = "t", .source = "/s", .id = "i", .time_us = INT64_MAX}},
        {"9999",
         {.type = "t", .source = "/s", .id = "i", .time_us = INT64_MIN}},
        {"ext",
         {.type = "t", .source = "/s", .id = "i", .attrs = &latin,
          .attrs_len = 1}},
        {"name",
         {.type = "t", .source = "/s", .id = "i", .attrs = &type,
          .attrs_len = 1}},
        {"name",
         {.type = "t", .source = "/s", .id = "i", .attrs = &time,
          .attrs_len = 1}},
        {"kind",
         {.type = "t", .source = "/s", .id = "i", .attrs = &odd,
          .attrs_len = 1}},
        {"ext",
         {.type = "t", .source = "/s", .id = "i", .attrs = &missing,
          .attrs_len = 1}},
        {"data", {.type = "t", .source = "/s", .id = "i", .data_len = 1}},
    };
    (void)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        char *json = NULL;

        assert_row_at(rows[i].detail, i,
                      tidings_event_to_json(&json, &rows[i].event) ==
                          TIDINGS_EINVAL);
        assert_null(json);
        assert_row_at(rows[i].detail, i,
                      strstr(tidings_detail(), rows[i].detail) != NULL);
    }
}

static void test_null_arguments_are_errors(void **state)
{
    struct tidings_event event = {.type = "t"};
    struct tidings_event *out = NULL;
    void *data = NULL;
    char *json = NULL;
    size_t len;
    (void)state;

    assert_err(tidings_event_to_json(NULL, &event), TIDINGS_EINVAL);
    assert_err(tidings_event_to_json(&json, NULL), TIDINGS_EINVAL);
    assert_err(tidings_event_from_json(NULL, "{}", 2), TIDINGS_EINVAL);
    assert_err(tidings_event_from_json(&out, NULL, 2), TIDINGS_EINVAL);
    assert_err(tidings_event_from_json(&out, NULL, 0), TIDINGS_EINVAL);
    assert_err(tidings_data_from_json(NULL, &len, "1", 1), TIDINGS_EINVAL);
    assert_err(tidings_data_from_json(&data, NULL, "1", 1), TIDINGS_EINVAL);
    assert_err(tidings_data_to_json(NULL, "\x01", 1), TIDINGS_EINVAL);
    assert_err(tidings_data_to_json(&json, NULL, 0), TIDINGS_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_event_is_one_block_with_all_it_points_to),
        cmocka_unit_test(test_event_leaves_to_the_bus_what_is_absent),
        cmocka_unit_test(test_event_binary_attribute_is_written_in_base64),
        cmocka_unit_test(
            test_event_with_data_nested_too_deep_is_written_in_base64),
        cmocka_unit_test(test_text_string_ends_whatever_the_bytes_are),
        cmocka_unit_test(test_event_is_not_written_when_something_is_wrong),
        cmocka_unit_test(test_null_arguments_are_errors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
