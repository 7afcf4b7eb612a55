/* libtidings_json: events and data as JSON and back (FAULTS H04, H06). */
#include "tests/support/td_test.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>

#include <jansson.h>

#include "client/json/base64.h"
#include "client/json/text.h"
#include "client/json/timestamp.h"
#include "tests/support/alloc.h"
#include "tidings/json.h"

/* Bytes with their length, so that a row may hold a NUL. */
#define ROW(s) s, sizeof(s) - 1

/* ---- data: JSON to msgpack to JSON ---- */

static const struct {
    const char *json;
    const char *back; /* NULL: as it was */
} sayable[] = {
    {"null", NULL},
    {"true", NULL},
    {"false", NULL},
    {"0", NULL},
    {"-0", "0"},
    {"42", NULL},
    {"-1", NULL},
    {"9223372036854775807", NULL},
    {"-9223372036854775808", NULL},
    {"1.0", NULL},
    {"-0.0", NULL},
    {"99.99", NULL},
    {"0.1", NULL},
    {"0.30000000000000004", NULL},
    {"1e2", "100.0"},
    {"1e300", "1e+300"},
    {"5e-324", "4.94065645841247e-324"},
    {"1.7976931348623157e308", "1.7976931348623157e+308"},
    {"\"\"", NULL},
    {"\"text\"", NULL},
    {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\\"\\\\/\\b\\f\\n\\r\\t\""},
    {"\"gr\xc3\xbc\xc3\x9f\xe2\x82\xac\xf0\x9f\x98\x80\"", NULL},
    {"\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\""},
    {"[]", NULL},
    {"{}", NULL},
    {"[1,[2,[3]],{\"a\":{\"b\":null}}]", NULL},
    {" { \"b\" : 1 ,\r\n\t\"a\" : [ ] } ", "{\"b\":1,\"a\":[]}"},
    {"{\"\":0}", NULL},

    /* what a terminal would obey is always escaped */
    {"\"\\u001b[31m\"", NULL},
    {"\"\x7f\"", "\"\\u007f\""},
    {"\"\xc2\x9b\"", "\"\\u009b\""},         /* CSI in one character */
    {"\"\xe2\x80\xa8\"", "\"\\u2028\""},     /* line separator */
    {"\"a\xe2\x80\xae z\"", "\"a\\u202e z\""}, /* writes backwards */
    {"{\"\xe2\x81\xa6\":1}", "{\"\\u2066\":1}"},
};

static void test_data_comes_back_as_it_was_when_json_can_say_it(void **state)
{
    (void)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(sayable); i++) {
        const char *want = sayable[i].back ? sayable[i].back : sayable[i].json;
        void *data = NULL;
        size_t len = 0;
        char *json = NULL;

        assert_row(sayable[i].json,
                   tidings_data_from_json(&data, &len, sayable[i].json,
                                          strlen(sayable[i].json)) ==
                       TIDINGS_OK);
        assert_row(sayable[i].json,
                   tidings_data_to_json(&json, data, len) == TIDINGS_OK);
        if (strcmp(json, want) != 0)
            print_error("printed %s\n", json);
        assert_row(sayable[i].json, strcmp(json, want) == 0);
        tidings_free(data);
        tidings_free(json);
    }
}

static const struct {
    const char *json;
    size_t len;
    const char *detail; /* a part of it */
} not_data[] = {
    {ROW(""), "line 1"},
    {ROW("  "), "line 1"},
    {ROW("{"), "ends too early"},
    {ROW("[1,]"), "line 1, column 4"},
    {ROW("[1\n,\n2 3]"), "line 3"},
    {ROW("1 2"), "more follows"},
    {ROW("{}}"), "more follows"},
    {ROW("\xef\xbb\xbf{}"), "line 1"}, /* byte order mark */
    {ROW("nul"), "not JSON"},
    {ROW("'a'"), "not JSON"},
    {ROW("01"), "not JSON"},
    {ROW("+1"), "not JSON"},
    {ROW(".5"), "not JSON"},
    {ROW("1."), "not JSON"},
    {ROW("0x1"), "not JSON"},
    {ROW("NaN"), "not JSON"},
    {ROW("Infinity"), "not JSON"},
    {ROW("-Infinity"), "not JSON"},
    {ROW("1e999"), "real number overflow"},
    {ROW("9223372036854775808"), "too big integer"},
    {ROW("-9223372036854775809"), "too big negative integer"},
    {ROW("123456789012345678901234567890"), "too big integer"},
    {ROW("\"\\u0000\""), "NUL"},
    {ROW("{\"\\u0000\":1}"), "NUL"},
    {ROW("\"a\0b\""), "not JSON"},
    {ROW("{}\0"), "not JSON"},
    {ROW("\"\x1f\""), "control character"},
    {ROW("\"\n\""), "not JSON"},
    {ROW("\"\\ud800\""), "not JSON"},
    {ROW("\"\\udc00\""), "not JSON"},
    {ROW("\"\\x41\""), "not JSON"},
    {ROW("\"\xff\""), "decode"},
    {ROW("\"\xc0\x80\""), "decode"},
    {ROW("\"\xed\xa0\x80\""), "decode"},
    {ROW("\"\xf4\x90\x80\x80\""), "decode"},
    {ROW("\"\xe2\x82\""), "decode"},
    {ROW("{\"a\":1,\"a\":2}"), "duplicate"},
    {ROW("[{\"a\":{\"b\":1,\"c\":2,\"b\":1}}]"), "duplicate"},
};

static void test_data_is_refused_with_words_when_it_is_no_json(void **state)
{
    (void)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(not_data); i++) {
        void *data = NULL;
        size_t len = 0;

        assert_row(not_data[i].json,
                   tidings_data_from_json(&data, &len, not_data[i].json,
                                          not_data[i].len) == TIDINGS_EINVAL);
        assert_null(data);
        if (!strstr(tidings_detail(), not_data[i].detail))
            print_error("said: %s\n", tidings_detail());
        assert_row(not_data[i].json,
                   strstr(tidings_detail(), not_data[i].detail) != NULL);
    }
}

/* count times text, and then as often the end. */
static char *repeated(const char *text, size_t count, const char *end)
{
    size_t bytes = strlen(text), end_bytes = strlen(end);
    char *out = malloc(count * (bytes + end_bytes) + 1);

    assert_non_null(out);
    for (size_t i = 0; i < count; i++) {
        memcpy(out + i * bytes, text, bytes);
        memcpy(out + count * bytes + i * end_bytes, end, end_bytes);
    }
    out[count * (bytes + end_bytes)] = '\0';
    return out;
}

/* depth objects, one in another. */
static char *nested_objects(size_t depth)
{
    char *heads = repeated("{\"a\":", depth - 1, "");
    char *ends = repeated("}", depth - 1, "");
    char *out = malloc(strlen(heads) + strlen(ends) + 3);

    assert_non_null(out);
    sprintf(out, "%s{}%s", heads, ends);
    free(heads);
    free(ends);
    return out;
}

static tidings_err from_json(const char *json)
{
    void *data = NULL;
    size_t len = 0;
    tidings_err err = tidings_data_from_json(&data, &len, json, strlen(json));

    tidings_free(data);
    return err;
}

static void test_data_is_refused_when_nested_too_deep(void **state)
{
    static const struct {
        size_t depth;
        tidings_err want;
    } rows[] = {
        {32, TIDINGS_OK},
        {33, TIDINGS_EINVAL},
        {2000, TIDINGS_EINVAL},
        {1000000, TIDINGS_EINVAL},
    };
    (void)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        char *arrays = repeated("[", rows[i].depth, "]");
        char *objects = nested_objects(rows[i].depth);
        char *unclosed = repeated("{\"a\":", rows[i].depth, "");

        assert_err(from_json(objects), rows[i].want);
        assert_err(from_json(arrays), rows[i].want);
        if (rows[i].want)
            assert_string_not_equal(tidings_detail(), "");
        assert_err(from_json(unclosed), TIDINGS_EINVAL);
        free(arrays);
        free(objects);
        free(unclosed);
    }
}

static void test_data_is_refused_when_too_large(void **state)
{
    char *fits = repeated("a", TIDINGS_DATA_MAX - 5 + 2, "");
    char *over = repeated("a", TIDINGS_DATA_MAX - 4 + 2, "");
    char *huge = repeated(" ", (8u << 20) + 1, "");
    (void)state;

    /* a msgpack str has a prefix of five bytes */
    fits[0] = fits[strlen(fits) - 1] = '"';
    over[0] = over[strlen(over) - 1] = '"';

    assert_ok(from_json(fits));
    assert_err(from_json(over), TIDINGS_EINVAL);
    assert_non_null(strstr(tidings_detail(), "1048576"));
    assert_err(from_json(huge), TIDINGS_EINVAL);
    assert_non_null(strstr(tidings_detail(), "longer than"));
    free(fits);
    free(over);
    free(huge);
}

static const struct {
    const char *data;
    size_t len;
    const char *detail;
} unsayable[] = {
    {ROW("\xc4\x01" "a"), "binary"},
    {ROW("\x91\xc4\x00"), "binary"},
    {ROW("\xd4\x01" "a"), "extension"},
    {ROW("\xd6\xff\x00\x00\x00\x00"), "extension"}, /* timestamp */
    {ROW("\x81\x01\x02"), "key that is not a string"},
    {ROW("\x81\xc0\x02"), "key that is not a string"},
    {ROW("\x82\xa1" "a\x01\xa1" "a\x01"), "same key twice"},
    {ROW("\x83\xa1" "a\x01\xa1" "b\x01\xa1" "a\x02"), "same key twice"},
    {ROW("\x82\xa0\x01\xa0\x01"), "same key twice"},
    {ROW("\xcb\x7f\xf8\0\0\0\0\0\0"), "not finite"},
    {ROW("\xcb\x7f\xf0\0\0\0\0\0\0"), "not finite"},
    {ROW("\xca\xff\x80\0\0"), "not finite"},
    {ROW("\xcf\x80\0\0\0\0\0\0\0"), "63 bits"},
    {ROW("\xa1\xff"), "UTF-8"},
    {ROW("\xa1\0"), "NUL"},
    {ROW("\x81\xa1\xff\x01"), "UTF-8"},
    {ROW(""), "msgpack"},
    {ROW("\xc1"), "msgpack"},
    {ROW("\x01\x02"), "msgpack"},
    {ROW("\xa5" "abc"), "msgpack"},
    {ROW("\xdd\xff\xff\xff\xff"), "msgpack"}, /* 96 GB, says the header */
    {ROW("\xdf\xff\xff\xff\xff"), "msgpack"},
};

static void test_data_is_refused_when_json_cannot_say_it(void **state)
{
    (void)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(unsayable); i++) {
        char *json = NULL;

        assert_row_at("unsayable", i,
                      tidings_data_to_json(&json, unsayable[i].data,
                                           unsayable[i].len) ==
                          TIDINGS_EINVAL);
        assert_null(json);
        if (!strstr(tidings_detail(), unsayable[i].detail))
            print_error("said: %s\n", tidings_detail());
        assert_row_at("unsayable", i,
                      strstr(tidings_detail(), unsayable[i].detail) != NULL);
    }
}

/* Half a million items in one container: time must not be their square. */
static void test_data_of_many_items_becomes_json(void **state)
{
    size_t items = 500000;
    unsigned char *data = calloc(1, items + 5);
    char *json = NULL;
    (void)state;

    assert_non_null(data);
    data[0] = 0xdd; /* array 32 */
    data[1] = (unsigned char)(items >> 24);
    data[2] = (unsigned char)(items >> 16);
    data[3] = (unsigned char)(items >> 8);
    data[4] = (unsigned char)items;

    assert_ok(tidings_data_to_json(&json, data, items + 5));

    assert_int_equal(strlen(json), 2 * items + 1);
    tidings_free(json);
    free(data);
}

static void test_data_has_a_point_in_every_locale(void **state)
{
    struct td_text t = {0};
    char *text;
    (void)state;

    if (!setlocale(LC_NUMERIC, "de_DE.UTF-8") &&
        !setlocale(LC_NUMERIC, "fr_FR.UTF-8"))
        skip(); /* this machine has no locale with a comma */
    td_text_real(&t, 0.5);
    text = td_text_take(&t);
    setlocale(LC_NUMERIC, "C");

    assert_string_equal(text, "0.5");
    free(text);
}

/* A scalar in 32 containers, both ways, and as JSON of a JSON event. */
static void test_data_nested_as_deep_as_allowed_becomes_json(void **state)
{
    static const char head[] = "{\"type\":\"t\",\"id\":\"i\",\"source\":\"/s\","
                               "\"datacontenttype\":\"a/json\",\"data\":";
    char *deep = repeated("[", 32, "]");
    char text[80], json[256];
    struct tidings_event *event = NULL;
    void *data = NULL;
    size_t len = 0;
    char *back = NULL;
    (void)state;

    sprintf(text, "%.32s1%s", deep, deep + 32);
    assert_ok(tidings_data_from_json(&data, &len, text, strlen(text)));
    assert_ok(tidings_data_to_json(&back, data, len));
    assert_string_equal(back, text);
    tidings_free(back);
    tidings_free(data);

    sprintf(json, "%s%s}", head, text);
    assert_ok(tidings_event_from_json(&event, json, strlen(json)));
    assert_int_equal(event->data_len, strlen(text));
    assert_memory_equal(event->data, text, strlen(text));
    assert_ok(tidings_event_to_json(&back, event));
    assert_non_null(strstr(back, text));
    tidings_free(back);
    tidings_free(event);
    sprintf(json, "%s[%s]}", head, text);
    assert_err(tidings_event_from_json(&event, json, strlen(json)),
               TIDINGS_EINVAL);
    free(deep);
}

/* ---- events: JSON to event to JSON ---- */

#define HEAD "{\"specversion\":\"1.0\",\"id\":\"i\",\"source\":\"/s\","        \
             "\"type\":\"t\""

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

/* ---- timestamps ---- */

static const struct {
    const char *text;
    int64_t us;
    const char *back; /* NULL: as it was */
} timestamps[] = {
    {"1970-01-01T00:00:00.000000Z", 0, NULL},
    {"1970-01-01T00:00:00.000001Z", 1, NULL},
    {"1969-12-31T23:59:59.999999Z", -1, NULL},
    {"2000-02-29T00:00:00.000000Z", 951782400000000, NULL},
    {"2024-02-29T23:59:59.999999Z", 1709251199999999, NULL},
    {"2024-03-01T00:00:00.000000Z", 1709251200000000, NULL},
    {"1900-03-01T00:00:00.000000Z", -2203891200000000, NULL},
    {"0000-01-01T00:00:00.000000Z", -62167219200000000, NULL},
    {"0000-02-29T00:00:00.000000Z", -62162121600000000, NULL},
    {"9999-12-31T23:59:59.999999Z", 253402300799999999, NULL},
    {"2038-01-19T03:14:08.000000Z", 2147483648000000, NULL},
    {"2024-01-01T00:00:00Z", 1704067200000000, "2024-01-01T00:00:00.000000Z"},
    {"2024-01-01t00:00:00z", 1704067200000000, "2024-01-01T00:00:00.000000Z"},
    {"2024-01-01T00:00:00.5Z", 1704067200500000,
     "2024-01-01T00:00:00.500000Z"},
    {"2024-01-01T00:00:00.123456789Z", 1704067200123456,
     "2024-01-01T00:00:00.123456Z"},
    {"2024-01-01T01:30:00+01:30", 1704067200000000,
     "2024-01-01T00:00:00.000000Z"},
    {"2023-12-31T16:00:00.25-08:00", 1704067200250000,
     "2024-01-01T00:00:00.250000Z"},
    {"2024-01-01T00:00:00-00:00", 1704067200000000,
     "2024-01-01T00:00:00.000000Z"},
};

static void test_timestamp_comes_back_as_it_was(void **state)
{
    (void)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(timestamps); i++) {
        const char *text = timestamps[i].text;
        char back[TD_TIMESTAMP_BYTES];
        int64_t us = 12345;

        assert_row(text, td_timestamp_read(&us, text));
        assert_row(text, us == timestamps[i].us);
        assert_row(text, td_timestamp_write(back, us));
        assert_row(text, strcmp(back, timestamps[i].back ? timestamps[i].back
                                                         : text) == 0);
    }
}

/* Every day of 800 years, counted on by one. */
static void test_timestamp_days_follow_one_another(void **state)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30,
                                  31, 31, 30, 31, 30, 31};
    int64_t want_us, us;
    char text[80], back[TD_TIMESTAMP_BYTES];
    (void)state;

    assert_true(td_timestamp_read(&want_us, "1600-01-01T00:00:00Z"));
    for (int year = 1600; year < 2400; year++) {
        bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

        for (int month = 1; month <= 12; month++) {
            int days = lengths[month - 1] + (month == 2 && leap);

            for (int day = 1; day <= days; day++) {
                snprintf(text, sizeof(text), "%04d-%02d-%02dT00:00:00.000000Z",
                         year, month, day);
                assert_row(text, td_timestamp_read(&us, text));
                assert_row(text, us == want_us);
                assert_row(text, td_timestamp_write(back, us));
                assert_row(text, strcmp(back, text) == 0);
                want_us += INT64_C(86400000000);
            }
            snprintf(text, sizeof(text), "%04d-%02d-%02dT00:00:00Z", year,
                     month, days + 1);
            assert_row(text, !td_timestamp_read(&us, text));
        }
    }
}

static const char *const not_timestamps[] = {
    "",
    "2024",
    "2024-01-01",
    "2024-01-01T00:00:00",          /* no offset */
    "2024-01-01 00:00:00Z",         /* a space */
    "2024-1-01T00:00:00Z",
    "24-01-01T00:00:00Z",
    "02024-01-01T00:00:00Z",
    "-024-01-01T00:00:00Z",
    "2024-00-01T00:00:00Z",
    "2024-13-01T00:00:00Z",
    "2024-01-00T00:00:00Z",
    "2024-01-32T00:00:00Z",
    "2023-02-29T00:00:00Z",
    "1900-02-29T00:00:00Z",
    "2024-04-31T00:00:00Z",
    "2024-01-01T24:00:00Z",
    "2024-01-01T00:60:00Z",
    "2016-12-31T23:59:60Z", /* a leap second */
    "2024-01-01T00:00:00.Z",
    "2024-01-01T00:00:00,5Z",
    "2024-01-01T00:00:00.1234567890Z",
    "2024-01-01T00:00:00+0100",
    "2024-01-01T00:00:00+01",
    "2024-01-01T00:00:00+24:00",
    "2024-01-01T00:00:00+01:60",
    "2024-01-01T00:00:00Z ",
    " 2024-01-01T00:00:00Z",
    "2024-01-01T00:00:00ZZ",
    "2024-01-01T+0:00:00Z",
    "2024-01-01T00:00:00\xc2\xb1" "01:00",
    "\xd9\xa2\xd9\xa0\xd9\xa2\xd9\xa4-01-01T00:00:00Z",
};

static void test_timestamp_is_refused_when_it_is_none(void **state)
{
    (void)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(not_timestamps); i++) {
        int64_t us = 12345;

        assert_row(not_timestamps[i],
                   !td_timestamp_read(&us, not_timestamps[i]));
        assert_row(not_timestamps[i], us == 12345);
    }
}

/* A timestamp cut at every byte is none, and nothing behind it is read. */
static void test_timestamp_is_refused_when_cut_short(void **state)
{
    static const char whole[] = "2024-02-29T23:59:59.999999+01:00";
    int64_t us;
    (void)state;

    for (size_t len = 0; len < sizeof(whole) - 1; len++) {
        char *cut = strndup(whole, len);

        assert_non_null(cut);
        assert_row_at(whole, len, !td_timestamp_read(&us, cut));
        free(cut);
    }
}

/* ---- base64 ---- */

static const struct {
    const char *bytes;
    size_t len;
    const char *text;
} base64[] = {
    /* RFC 4648 section 10 */
    {ROW(""), ""},
    {ROW("f"), "Zg=="},
    {ROW("fo"), "Zm8="},
    {ROW("foo"), "Zm9v"},
    {ROW("foob"), "Zm9vYg=="},
    {ROW("fooba"), "Zm9vYmE="},
    {ROW("foobar"), "Zm9vYmFy"},
    {ROW("\0"), "AA=="},
    {ROW("\xfb\xff\xbf"), "+/+/"},
    {ROW("\xff\xff\xff"), "////"},
};

static void test_base64_comes_back_as_it_was(void **state)
{
    (void)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(base64); i++) {
        const char *text = base64[i].text;
        char written[16] = "";
        char read[16];
        size_t len = 99;

        assert_int_equal(td_base64_chars(base64[i].len), strlen(text));
        td_base64_write(written, base64[i].bytes, base64[i].len);
        assert_string_equal(written, text);
        assert_row(text, td_base64_read(read, &len, text, strlen(text)));
        assert_int_equal(len, base64[i].len);
        assert_memory_equal(read, base64[i].bytes, len);
    }
}

static const struct {
    const char *text;
    size_t len;
} not_base64[] = {
    {ROW("Z")},
    {ROW("Zg")},
    {ROW("Zg=")},
    {ROW("Zg===")},
    {ROW("=")},
    {ROW("====")},
    {ROW("Z===")},
    {ROW("Zm9v=")},
    {ROW("Zg==Zg==")}, /* padding inside */
    {ROW("Zm=v")},
    {ROW("Zh==")}, /* bits left over */
    {ROW("Zm9=")},
    {ROW("Zm9v\n")},
    {ROW("Zm9v\nZm9")},
    {ROW(" Zm9")},
    {ROW("Zm-_")}, /* the other alphabet */
    {ROW("Zm9\0")},
    {ROW("\xffm9v")},
};

static void test_base64_is_refused_when_it_is_none(void **state)
{
    (void)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(not_base64); i++) {
        char out[16];
        size_t len;

        assert_row(not_base64[i].text,
                   !td_base64_read(out, &len, not_base64[i].text,
                                   not_base64[i].len));
    }
}

/* ---- memory ---- */

static tidings_err data_round_trip(void)
{
    static const char text[] = "{\"a\":[1,true,{\"b\":\"x\"}],\"c\":2.5}";
    void *data = NULL;
    char *json = NULL;
    size_t len;
    tidings_err err = tidings_data_from_json(&data, &len, text, strlen(text));

    if (!err)
        err = tidings_data_to_json(&json, data, len);
    tidings_free(data);
    tidings_free(json);
    return err;
}

static tidings_err round_trips(void *arg)
{
    static const char *const jsons[] = {
        HEAD ",\"ext\":\"x\",\"data\":{\"a\":[1,2.5],\"b\":\"x\"}}",
        HEAD ",\"datacontenttype\":\"application/json\",\"data\":[1]}",
        HEAD ",\"datacontenttype\":\"text/plain\",\"data\":\"x\"}",
        HEAD ",\"datacontenttype\":\"image/png\",\"data_base64\":\"Zm9v\"}",
    };
    tidings_err err = data_round_trip();
    (void)arg;

    for (size_t i = 0; !err && i < TD_ARRAY_LEN(jsons); i++) {
        struct tidings_event *event = NULL;
        char *json = NULL;

        err = tidings_event_from_json(&event, jsons[i], strlen(jsons[i]));
        if (!err)
            err = tidings_event_to_json(&json, event);
        tidings_free(event);
        tidings_free(json);
    }
    return err;
}

static void test_memory_may_run_out_anywhere(void **state)
{
    (void)state;

    assert_true(td_alloc_each(round_trips, NULL) >= 10);
}

/* jansson's own allocations, which the linker does not wrap. */
static size_t jansson_left;

static void *jansson_malloc(size_t size)
{
    if (jansson_left > 0 && --jansson_left == 0)
        return NULL;
    return malloc(size);
}

/* It does not tell "out of memory" from "not JSON" everywhere; what counts
 * is that nothing breaks and nothing leaks. */
static void test_memory_of_jansson_may_run_out_anywhere(void **state)
{
    size_t n = 0;
    tidings_err err;
    (void)state;

    json_set_alloc_funcs(jansson_malloc, free);
    do {
        jansson_left = ++n;
        err = round_trips(NULL);
        assert_true(err == TIDINGS_OK || err == TIDINGS_ENOMEM ||
                    err == TIDINGS_EINVAL);
    } while (jansson_left == 0);
    json_set_alloc_funcs(malloc, free);

    assert_ok(err);
    assert_true(n > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_data_comes_back_as_it_was_when_json_can_say_it),
        cmocka_unit_test(test_data_is_refused_with_words_when_it_is_no_json),
        cmocka_unit_test(test_data_is_refused_when_nested_too_deep),
        cmocka_unit_test(test_data_nested_as_deep_as_allowed_becomes_json),
        cmocka_unit_test(test_data_is_refused_when_too_large),
        cmocka_unit_test(test_data_is_refused_when_json_cannot_say_it),
        cmocka_unit_test(test_data_of_many_items_becomes_json),
        cmocka_unit_test(test_data_has_a_point_in_every_locale),
        cmocka_unit_test(test_event_comes_back_as_it_was),
        cmocka_unit_test(test_event_is_refused_with_words_when_it_is_none),
        cmocka_unit_test(test_event_is_refused_when_a_bound_is_broken),
        cmocka_unit_test(test_event_has_at_most_64_attributes),
        cmocka_unit_test(test_event_is_one_block_with_all_it_points_to),
        cmocka_unit_test(test_event_leaves_to_the_bus_what_is_absent),
        cmocka_unit_test(test_event_binary_attribute_is_written_in_base64),
        cmocka_unit_test(
            test_event_with_data_nested_too_deep_is_written_in_base64),
        cmocka_unit_test(test_text_string_ends_whatever_the_bytes_are),
        cmocka_unit_test(test_event_is_not_written_when_something_is_wrong),
        cmocka_unit_test(test_null_arguments_are_errors),
        cmocka_unit_test(test_timestamp_comes_back_as_it_was),
        cmocka_unit_test(test_timestamp_days_follow_one_another),
        cmocka_unit_test(test_timestamp_is_refused_when_it_is_none),
        cmocka_unit_test(test_timestamp_is_refused_when_cut_short),
        cmocka_unit_test(test_base64_comes_back_as_it_was),
        cmocka_unit_test(test_base64_is_refused_when_it_is_none),
        cmocka_unit_test(test_memory_may_run_out_anywhere),
        cmocka_unit_test(test_memory_of_jansson_may_run_out_anywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
