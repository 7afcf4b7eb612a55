/* libtidings_json: JSON to an event, and the same back (FAULTS H04, H06). */
#include "tests/unit/json_fixture.h"

#include <stdlib.h>

static const struct {
    const char *json;
    const char *back; /* NULL: as it was */
} events[] = {
    {HEAD "}", NULL},
    {HEAD ",\"data\":null}", NULL},
    {HEAD ",\"data\":{\"a\":[1,2.5,\"x\"]}}", NULL},
    {HEAD ",\"subject\":\"u1\",\"dataschema\":\"http://x/y\",\"data\":1}",
     NULL},
    {HEAD ",\"time\":\"2024-02-29T12:34:56.789012Z\"}", NULL},
    {HEAD ",\"time\":\"2024-02-29T12:34:56+01:00\"}",
     HEAD ",\"time\":\"2024-02-29T11:34:56.000000Z\"}"},
    {HEAD ",\"ext1\":\"x\",\"n\":-2147483648,\"m\":2147483647,\"b\":true,"
          "\"c\":false}",
     NULL},
    {HEAD ",\"subject\":null,\"ext\":null,\"time\":null}", HEAD "}"},
    {"{\"type\":\"t\",\"source\":\"/s\",\"id\":\"i\"}", HEAD "}"},

    /* JSON as JSON: the value, not its spaces */
    {HEAD ",\"datacontenttype\":\"application/json\",\"data\":{\"a\":99.99}}",
     NULL},
    {HEAD ",\"datacontenttype\":\"application/json\",\"data\":null}", NULL},
    {HEAD ",\"datacontenttype\":\"application/json\","
          "\"data\":[true,{\"a\":false},null]}",
     NULL},
    {HEAD ",\"datacontenttype\":\"Text/X+JSON; q=1\",\"data\":[1]}", NULL},
    {HEAD ",\"datacontenttype\":\"application/json\","
          "\"data_base64\":\"WyAxXQ==\"}",
     HEAD ",\"datacontenttype\":\"application/json\",\"data\":[1]}"},
    {HEAD ",\"data_base64\":\"WyAxXQ==\"}", /* absent means JSON */
     HEAD ",\"datacontenttype\":\"application/json\",\"data\":[1]}"},
    {HEAD ",\"datacontenttype\":\"application/json\","
          "\"data_base64\":\"e30g/w==\"}", /* is none: stays bytes */
     NULL},

    /* text as a string */
    {HEAD ",\"datacontenttype\":\"text/plain\",\"data\":\"a\\nb\"}", NULL},
    {HEAD ",\"datacontenttype\":\"text/plain\",\"data_base64\":\"YQ==\"}",
     HEAD ",\"datacontenttype\":\"text/plain\",\"data\":\"a\"}"},
    {HEAD ",\"datacontenttype\":\"text/plain\",\"data_base64\":\"/w==\"}",
     NULL},
#define NO_TEXT(base64)                                                        \
    {HEAD ",\"datacontenttype\":\"text/plain\",\"data_base64\":\"" base64    \
          "\"}",                                                               \
     NULL}
    NO_TEXT("ww=="),     /* a character cut short */
    NO_TEXT("wyg="),     /* … and gone on wrongly */
    NO_TEXT("wIA="),     /* overlong */
    NO_TEXT("7aCA"),     /* a surrogate */
    NO_TEXT("9JCAgA=="), /* past U+10FFFF */

    /* all else in base64 */
    {HEAD ",\"datacontenttype\":\"image/png\",\"data_base64\":\"iVBORw==\"}",
     NULL},
    {HEAD ",\"datacontenttype\":\"application/xml\",\"data\":\"<a/>\"}",
     HEAD ",\"datacontenttype\":\"application/xml\","
          "\"data_base64\":\"PGEvPg==\"}"},
    {HEAD ",\"datacontenttype\":\"json\",\"data_base64\":\"MQ==\"}", NULL},

    /* msgpack: translated where it can be */
    {HEAD ",\"datacontenttype\":\"application/msgpack\","
          "\"data_base64\":\"gaFhAQ==\"}",
     HEAD ",\"data\":{\"a\":1}}"},
    {HEAD ",\"datacontenttype\":\"application/msgpack\","
          "\"data_base64\":\"xAFh\"}", /* binary */
     NULL},
    {HEAD ",\"datacontenttype\":\"application/msgpack\","
          "\"data_base64\":\"wQ==\"}", /* no msgpack at all */
     NULL},
};

static void test_event_comes_back_as_it_was(void **state)
{
    (void)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(events); i++) {
        const char *want = events[i].back ? events[i].back : events[i].json;
        struct tidings_event *event = NULL;
        char *json = NULL;

        if (tidings_event_from_json(&event, events[i].json,
                                    strlen(events[i].json)))
            print_error("said: %s\n", tidings_detail());
        assert_row(events[i].json, event != NULL);
        assert_row(events[i].json,
                   tidings_event_to_json(&json, event) == TIDINGS_OK);
        if (strcmp(json, want) != 0)
            print_error("printed %s\n", json);
        assert_row(events[i].json, strcmp(json, want) == 0);
        assert_string_equal(tidings_detail(), "");
        tidings_free(event);
        tidings_free(json);
    }
}

#define NAME_20 "abcdefghij0123456789"

static const struct {
    const char *json;
    const char *detail;
} not_events[] = {
    {"[]", "object"},
    {"null", "object"},
    {"{}", "type is missing"},
    {"{\"type\":\"t\"", "ends too early"},
    {"{\"type\":\"t\",\"type\":\"t\"}", "duplicate"},
    {"{\"type\":null}", "type is missing"},
    {"{\"type\":\"\"}", "type"},
    {"{\"type\":5}", "type"},
    {"{\"type\":\"a..b\"}", ""},
    {"{\"type\":\"a.*\"}", ""},
    {"{\"specversion\":\"0.3\",\"type\":\"t\"}", "specversion"},
    {"{\"specversion\":1.0,\"type\":\"t\"}", "specversion"},
    {"{\"type\":\"t\",\"id\":\"\"}", "id"},
    {"{\"type\":\"t\",\"id\":7}", "id"},
    {"{\"type\":\"t\",\"source\":\"\"}", "source"},
    {"{\"type\":\"t\",\"subject\":{}}", "subject"},
    {"{\"type\":\"t\",\"time\":1700000000}", "time"},
    {"{\"type\":\"t\",\"time\":\"yesterday\"}", "time"},
    {"{\"type\":\"t\",\"Ext\":\"x\"}", "Ext"},
    {"{\"type\":\"t\",\"a_b\":\"x\"}", "a_b"},
    {"{\"type\":\"t\",\"\":\"x\"}", "name"},
    {"{\"type\":\"t\",\"" NAME_20 "1\":\"x\"}", "name"},
    {"{\"type\":\"t\",\"ext\":1.5}", "ext"},
    {"{\"type\":\"t\",\"ext\":2147483648}", "ext"},
    {"{\"type\":\"t\",\"ext\":-2147483649}", "ext"},
    {"{\"type\":\"t\",\"ext\":[]}", "ext"},
    {"{\"type\":\"t\",\"ext\":{}}", "ext"},
    {"{\"type\":\"t\",\"data\":1,\"data_base64\":\"\"}", "both"},
    {"{\"type\":\"t\",\"data_base64\":1}", "data_base64"},
    {"{\"type\":\"t\",\"data_base64\":\"a\"}", "data_base64"},
    {"{\"type\":\"t\",\"datacontenttype\":\"text/plain\",\"data\":1}",
     "not a string"},
    {"{\"type\":\"t\",\"datacontenttype\":\"text/plain\",\"data\":null}",
     "not a string"},
    {"{\"type\":\"t\",\"datacontenttype\":\"application/msgpack\","
     "\"data\":\"x\"}",
     "data_base64"},
};

static tidings_err event_from(const char *json)
{
    struct tidings_event *event = NULL;
    tidings_err err = tidings_event_from_json(&event, json, strlen(json));

    tidings_free(event);
    return err;
}

static void test_event_is_refused_with_words_when_it_is_none(void **state)
{
    (void)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(not_events); i++) {
        assert_row(not_events[i].json,
                   event_from(not_events[i].json) == TIDINGS_EINVAL);
        if (!strstr(tidings_detail(), not_events[i].detail))
            print_error("said: %s\n", tidings_detail());
        assert_row(not_events[i].json,
                   strstr(tidings_detail(), not_events[i].detail) != NULL);
        assert_row(not_events[i].json, *tidings_detail());
    }
}

/* {"type":"t","NAME":"aaa"} with a value of so many bytes */
static char *event_with(const char *name, size_t bytes)
{
    char *value = repeated("a", bytes, "");
    char *json = malloc(bytes + strlen(name) + 64);

    assert_non_null(json);
    sprintf(json, "{\"type\":\"t\",\"datacontenttype\":\"text/plain\","
                  "\"%s\":\"%s\"}",
            name, value);
    free(value);
    return json;
}

static void test_event_is_refused_when_a_bound_is_broken(void **state)
{
    static const struct {
        const char *name;
        size_t bytes_max;
    } rows[] = {
        {"id", TIDINGS_ID_MAX},
        {"source", TIDINGS_SOURCE_MAX},
        {"subject", TIDINGS_ATTRS_BYTES_MAX},
        {"data", TIDINGS_DATA_MAX},
    };
    (void)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        char *fits = event_with(rows[i].name, rows[i].bytes_max);
        char *over = event_with(rows[i].name, rows[i].bytes_max + 1);

        assert_row(rows[i].name, event_from(fits) == TIDINGS_OK);
        assert_row(rows[i].name, event_from(over) == TIDINGS_EINVAL);
        assert_row(rows[i].name,
                   strstr(tidings_detail(), rows[i].name) != NULL);
        free(fits);
        free(over);
    }
}

static void test_event_has_at_most_64_attributes(void **state)
{
    char json[4096] = "{\"type\":\"t\"";
    char full[sizeof(json) + 16];
    (void)state;

    for (int i = 0; i < TIDINGS_ATTRS_MAX; i++)
        sprintf(json + strlen(json), ",\"a%d\":%d", i, i);

    sprintf(full, "%s}", json);
    assert_ok(event_from(full));
    sprintf(full, "%s,\"more\":1}", json);
    assert_err(event_from(full), TIDINGS_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_event_comes_back_as_it_was),
        cmocka_unit_test(test_event_is_refused_with_words_when_it_is_none),
        cmocka_unit_test(test_event_is_refused_when_a_bound_is_broken),
        cmocka_unit_test(test_event_has_at_most_64_attributes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
