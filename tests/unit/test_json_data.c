/* libtidings_json: data as JSON and back (FAULTS H04, H06). */
#include "tests/unit/json_fixture.h"

#include <locale.h>
#include <stdlib.h>

#include "client/json/text.h"

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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
