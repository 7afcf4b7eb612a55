/* Attributes of events: what is encoded is read back the same, and what
 * arrives is believed only when it is exactly that. */
#include "tests/support/td_test.h"

#include <stdlib.h>

#include "client/event.h"
#include "tests/support/alloc.h"
#include "tests/support/mp.h"

struct fixture {
    struct td_buf bytes;
    struct td_event_scratch scratch;
};

static int setup(void **state)
{
    *state = calloc(1, sizeof(struct fixture));
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    td_buf_fini(&f->bytes);
    td_buf_fini(&f->scratch.strings);
    free(f);
    return 0;
}

static struct td_str bytes_of(const struct fixture *f)
{
    const struct td_str str = {(const char *)f->bytes.data, f->bytes.len};

    return str;
}

/* ---- encoding ---- */

static const struct tidings_attr attrs[] = {
    {.name = "text", .kind = TIDINGS_ATTR_STRING, .string = "t"},
    {.name = "number", .kind = TIDINGS_ATTR_INTEGER, .integer = -7},
    {.name = "yes", .kind = TIDINGS_ATTR_BOOLEAN, .boolean = true},
    {.name = "bytes",
     .kind = TIDINGS_ATTR_BINARY,
     .binary = "\0\xff",
     .binary_len = 2},
};

static const struct tidings_event full = {
    .type = "a.b",
    .id = "1",
    .source = "/s",
    .subject = "sub",
    .datacontenttype = "text/plain",
    .dataschema = "/schema",
    .attrs = attrs,
    .attrs_len = TD_ARRAY_LEN(attrs),
};

static void test_event_without_attributes_encodes_to_nothing(void **state)
{
    const struct tidings_event bare = {.type = "a.b"};
    struct fixture *f = *state;
    uint32_t flags = 99;

    assert_ok(td_event_encode(&f->bytes, &flags, &bare));
    assert_int_equal(f->bytes.len, 0);
    assert_int_equal(flags, 0);
}

/* The shape that PROTOCOL.md 5 gives, byte for byte. */
static void test_event_encodes_to_the_protocols_map(void **state)
{
    struct fixture *f = *state;
    struct td_buf want = {0};
    uint32_t flags = 0;

    td_mp(&want, "{\"id\" \"1\" \"source\" \"/s\" \"subject\" \"sub\" "
                 "\"datacontenttype\" \"text/plain\" "
                 "\"dataschema\" \"/schema\" \"text\" \"t\" "
                 "\"number\" -7 \"yes\" true \"bytes\" <c4 02 00 ff>}");
    assert_ok(td_event_encode(&f->bytes, &flags, &full));
    assert_int_equal(flags, TD_RUN_ID);
    assert_int_equal(f->bytes.len, want.len);
    assert_memory_equal(f->bytes.data, want.data, want.len);
    td_buf_fini(&want);
}

static void test_event_flags_what_the_broker_must_see(void **state)
{
    static const struct {
        const char *name;
        uint32_t flag;
    } rows[] = {
        {"partitionkey", TD_RUN_KEY},
        {"expirytime", TD_RUN_EXPIRY},
        {"partitionkeys", 0},
        {"traceparent", 0},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        const struct tidings_attr attr = {
            .name = rows[i].name,
            .kind = TIDINGS_ATTR_STRING,
            .string = "2030-01-01T00:00:00Z"};
        const struct tidings_event event = {
            .type = "a", .attrs = &attr, .attrs_len = 1};
        uint32_t flags = 99;

        assert_row(rows[i].name, !td_event_encode(&f->bytes, &flags, &event));
        assert_row(rows[i].name, flags == rows[i].flag);
    }
}

static void test_event_times_are_what_rfc_3339_can_say(void **state)
{
    static const struct {
        int64_t us;
        bool good;
    } rows[] = {
        {0, true},
        {-1, true},
        {-62135596800000000, true}, /* 0001-01-01T00:00:00Z */
        {-62135596800000001, false},
        {253402300799999999, true}, /* 9999-12-31T23:59:59.999999Z */
        {253402300800000000, false},
        {INT64_MIN, false},
        {INT64_MAX, false},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        const struct tidings_event event = {.type = "a", .time_us = rows[i].us};
        uint32_t flags;

        assert_int_equal(td_event_is_time(rows[i].us), rows[i].good);
        assert_err(td_event_encode(&f->bytes, &flags, &event),
                   rows[i].good ? TIDINGS_OK : TIDINGS_EINVAL);
    }
}

/* ---- there and back ---- */

static void test_event_reads_back_what_was_encoded(void **state)
{
    struct fixture *f = *state;
    struct tidings_event e = {.id = "x", .source = "y"};
    uint32_t flags;

    for (int i = 0; i < 2; i++) { /* scratch is used again */
        assert_ok(td_event_encode(&f->bytes, &flags, &full));
        assert_ok(td_event_decode(&e, &f->scratch, bytes_of(f)));
        assert_string_equal(e.id, full.id);
        assert_string_equal(e.source, full.source);
        assert_string_equal(e.subject, full.subject);
        assert_string_equal(e.datacontenttype, full.datacontenttype);
        assert_string_equal(e.dataschema, full.dataschema);
        assert_int_equal(e.attrs_len, full.attrs_len);
        for (size_t n = 0; n < e.attrs_len; n++) {
            assert_string_equal(e.attrs[n].name, attrs[n].name);
            assert_int_equal(e.attrs[n].kind, attrs[n].kind);
        }
        assert_string_equal(e.attrs[0].string, "t");
        assert_int_equal(e.attrs[1].integer, -7);
        assert_true(e.attrs[2].boolean);
        assert_int_equal(e.attrs[3].binary_len, 2);
        assert_memory_equal(e.attrs[3].binary, "\0\xff", 2);
        assert_string_equal(tidings_event_attr(&e, "text"), "t");
        assert_null(tidings_event_attr(&e, "number"));
    }
}

/* ---- what arrives ---- */

static void test_event_decodes_only_attributes(void **state)
{
    static const struct {
        const char *map;
        bool good;
    } rows[] = {
        {"{}", true},
        {"{\"a\" \"\"}", true},
        {"{\"a\" 2147483647 \"b\" -2147483648}", true},
        {"{\"a\" s(300)}", true},
        {"{\"a2345678901234567890\" true}", true},
        {"{\"subject\" \"s\"}", true},
        {"nil", false},
        {"[]", false},
        {"\"a\"", false},
        {"{1 \"a\"}", false},
        {"{'a' \"a\"}", false},
        {"{\"\" 1}", false},
        {"{\"A\" 1}", false},
        {"{\"a_b\" 1}", false},
        {"{\"a23456789012345678901\" 1}", false},
        {"{\"a\" nil}", false},
        {"{\"a\" 1.5}", false},
        {"{\"a\" [1]}", false},
        {"{\"a\" {}}", false},
        {"{\"a\" 2147483648}", false},
        {"{\"a\" -2147483649}", false},
        {"{\"a\" <cf ff*8>}", false},
        {"{\"a\" <a2 78 00>}", false}, /* a NUL inside */
        {"{\"type\" \"a.b\"}", false},
        {"{\"time\" \"now\"}", false},
        {"{\"data\" \"x\"}", false},
        {"{\"specversion\" \"1.0\"}", false},
        {"{\"id\" \"\"}", false},
        {"{\"id\" 1}", false},
        {"{\"id\" s(255)}", true},
        {"{\"id\" s(256)}", false},
        {"{\"source\" s(1023)}", true},
        {"{\"source\" s(1024)}", false},
        {"{\"subject\" \"\"}", false},
        {"{\"id\" \"a\" \"id\" \"b\"}", false},
        {"{\"a\" 1 \"a\" 1}", false},
        {"<81>", false}, /* cut off */
        {"<81 a1>", false},
        {"<81 a1 61>", false},
        {"<81 a1 61 d2 00>", false},
        {"<df ff ff ff ff>", false},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct tidings_event e = {.id = "x"};

        td_buf_reset(&f->bytes);
        td_mp(&f->bytes, rows[i].map);
        assert_row(rows[i].map,
                   td_event_decode(&e, &f->scratch, bytes_of(f)) ==
                       (rows[i].good ? TIDINGS_OK : TIDINGS_EPROTO));
    }
}

static void test_event_decodes_at_most_64_attributes(void **state)
{
    struct fixture *f = *state;

    for (unsigned n = 63; n <= 65; n++) {
        struct tidings_event e = {.id = "x"};
        char map[1024] = "{";

        for (unsigned i = 0; i < n; i++)
            snprintf(map + strlen(map), sizeof(map) - strlen(map),
                     "\"a%u\" %u ", i, i);
        strcat(map, "}");
        td_buf_reset(&f->bytes);
        td_mp(&f->bytes, map);
        assert_err(td_event_decode(&e, &f->scratch, bytes_of(f)),
                   n <= TD_ATTRS_MAX ? TIDINGS_OK : TIDINGS_EPROTO);
        if (n <= TD_ATTRS_MAX)
            assert_int_equal(e.attrs_len, n);
    }
}

/* ---- without memory ---- */

static void test_event_refuses_an_attribute_without_a_name(void **state)
{
    static const struct tidings_attr nameless = {.kind = TIDINGS_ATTR_STRING,
                                                 .string = "x"};
    static const struct tidings_event event = {
        .type = "a", .attrs = &nameless, .attrs_len = 1};
    struct fixture *f = *state;
    uint32_t flags;

    assert_err(td_event_encode(&f->bytes, &flags, &event), TIDINGS_EINVAL);
    assert_string_equal(tidings_detail(), "attribute 0 has no name");
}

static tidings_err encode_and_decode(void *arg)
{
    struct td_event_scratch *scratch = arg;
    struct tidings_event e = {.id = "x"};
    struct td_buf bytes = {0};
    struct td_str str;
    uint32_t flags;
    tidings_err err = td_event_encode(&bytes, &flags, &full);

    str.data = (const char *)bytes.data;
    str.len = bytes.len;
    if (!err)
        err = td_event_decode(&e, scratch, str);
    td_buf_fini(&bytes);
    td_buf_fini(&scratch->strings);
    memset(&scratch->strings, 0, sizeof(scratch->strings));
    return err;
}

static void test_event_without_memory_says_so(void **state)
{
    struct fixture *f = *state;

    assert_true(td_alloc_each(encode_and_decode, &f->scratch) >= 2);
}

/* ---- copies ---- */

static tidings_err copy_full(void *arg)
{
    struct tidings_event event = full;
    struct tidings_event *copy;
    tidings_err err;

    (void)arg;
    event.data = "data";
    event.data_len = 4;
    event.time_us = 7;
    err = tidings_event_copy(&copy, &event);
    if (err)
        return err;
    assert_string_equal(copy->type, "a.b");
    assert_string_equal(copy->id, "1");
    assert_string_equal(copy->source, "/s");
    assert_string_equal(copy->subject, "sub");
    assert_string_equal(copy->datacontenttype, "text/plain");
    assert_string_equal(copy->dataschema, "/schema");
    assert_int_equal(copy->time_us, 7);
    assert_int_equal(copy->data_len, 4);
    assert_ptr_not_equal(copy->data, event.data);
    assert_memory_equal(copy->data, "data", 4);
    assert_int_equal(copy->attrs_len, TD_ARRAY_LEN(attrs));
    assert_ptr_not_equal(copy->attrs[0].name, attrs[0].name);
    assert_string_equal(copy->attrs[0].name, "text");
    assert_string_equal(copy->attrs[0].string, "t");
    assert_int_equal(copy->attrs[1].integer, -7);
    assert_true(copy->attrs[2].boolean);
    assert_memory_equal(copy->attrs[3].binary, "\0\xff", 2);
    tidings_free(copy);
    return TIDINGS_OK;
}

static void test_event_is_copied_whole(void **state)
{
    (void)state;
    assert_int_equal(td_alloc_each(copy_full, NULL), 1);
}

static void test_event_copies_what_has_little(void **state)
{
    const struct tidings_event event = {.type = "a"};
    struct tidings_event *copy;

    (void)state;
    assert_ok(tidings_event_copy(&copy, &event));
    assert_string_equal(copy->type, "a");
    assert_null(copy->id);
    assert_null(copy->attrs);
    assert_int_equal(copy->data_len, 0);
    tidings_free(copy);
    assert_err(tidings_event_copy(NULL, &event), TIDINGS_EINVAL);
    assert_err(tidings_event_copy(&copy, NULL), TIDINGS_EINVAL);
}

#define EVENT_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EVENT_TEST(test_event_without_attributes_encodes_to_nothing),
        EVENT_TEST(test_event_encodes_to_the_protocols_map),
        EVENT_TEST(test_event_flags_what_the_broker_must_see),
        EVENT_TEST(test_event_times_are_what_rfc_3339_can_say),
        EVENT_TEST(test_event_reads_back_what_was_encoded),
        EVENT_TEST(test_event_decodes_only_attributes),
        EVENT_TEST(test_event_decodes_at_most_64_attributes),
        EVENT_TEST(test_event_refuses_an_attribute_without_a_name),
        EVENT_TEST(test_event_without_memory_says_so),
        EVENT_TEST(test_event_is_copied_whole),
        EVENT_TEST(test_event_copies_what_has_little),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
