/* One event of a batch: there and back, in every legal form, and in hostile
 * shapes. */
#include "tests/support/td_test.h"

#include <stdlib.h>

#include "proto/batch.h"
#include "tests/support/mp.h"

/* An event of 6 bytes: dt 0, data "x". */
#define E6 "<c4 05 92 00 c4 01 78>"
/* An empty bin: enough for whoever only hops over prefixes. */
#define HOP "<c4 00>"

#define LARGEST TD_DATA_BYTES_MAX

static const int64_t times[] = {
    0,     1,          127,        128,         255,       256, 65535,
    65536, 4294967295, 4294967296, INT64_MAX,   -1,        -32, -33,
    -128,  -129,       -32768,     -2147483649, INT64_MIN,
};
static const size_t sizes[] = {
    0,   1,   30,  31,  32,    127,   128,   250,   251,   252,   253,
    254, 255, 256, 257, 65526, 65533, 65534, 65535, 65536, 65537, LARGEST,
};

static void round_trip(int64_t dt_us, const uint8_t *data, size_t len,
                       struct td_str attrs)
{
    size_t size = td_event_size(dt_us, len, attrs.len);
    uint8_t *put = malloc(size); /* to the byte, for the address sanitizer */
    const uint8_t *p = put;
    struct td_event event;

    assert_non_null(put);
    assert_ptr_equal(td_event_put(put, dt_us, data, len, attrs), put + size);
    assert_ptr_equal(td_events_skip(put, put + size, 1), put + size);
    assert_row_at("size", len, td_event_open(&event, &p, put + size));
    assert_ptr_equal(p, put + size);
    assert_true(event.dt_us == dt_us);
    assert_int_equal(event.data.len, len);
    assert_row_at("data", len, memcmp(event.data.data, data, len) == 0);
    assert_int_equal(event.attrs.len, attrs.len);
    if (attrs.len)
        assert_memory_equal(event.attrs.data, attrs.data, attrs.len);
    assert_true(size <= TD_EVENT_BYTES_MAX + 5);
    free(put);
}

static void test_event_there_and_back_in_every_size_class(void **state)
{
    static uint8_t data[TD_DATA_BYTES_MAX];
    const struct td_str none = {NULL, 0};
    struct td_buf attrs = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 31);
    td_mp(&attrs, "{\"subject\" \"s\" \"n\" -1 \"b\" true}");
    for (size_t t = 0; t < TD_ARRAY_LEN(times); t++) {
        for (size_t s = 0; s < TD_ARRAY_LEN(sizes); s++) {
            if (sizes[s] == LARGEST && t > 1)
                continue; /* its size class once is enough */
            round_trip(times[t], data, sizes[s], none);
            round_trip(times[t], data, sizes[s], td_mp_str(&attrs));
        }
    }
    td_buf_fini(&attrs);
}

static const struct {
    const char *bytes; /* of one event, prefix included */
    const char *data;
    int64_t dt_us;
} opens[] = {
    {E6, "x", 0},
    {"<c4 05 92 ff c4 01 78>", "x", -1},
    {"<c5 00 05 92 00 c4 01 78>", "x", 0},
    {"<c6 00 00 00 05 92 00 c4 01 78>", "x", 0},
    {"<c4 06 92 00 c5 00 01 78>", "x", 0},
    {"<c4 0d 92 d3 80 00*7 c4 01 78>", "x", INT64_MIN},
    {"<c4 0d 92 cf 7f ff*7 c4 01 78>", "x", INT64_MAX},
    {"<c4 04 92 00 c4 00>", "", 0},
    {"<c4 07 dc 00 02 00 c4 01 78>", "x", 0},
    {"<c4 06 93 00 c4 01 78 80>", "x", 0},
    {"<c4 0a 93 00 c4 01 78 81 a1 61 a1 62>", "x", 0},
    {"<c4 08 93 00 c4 01 78 de 00 00>", "x", 0},
};

static void test_event_opens_in_every_legal_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(opens); i++) {
        struct td_buf b = {0};
        struct td_event event;
        const uint8_t *p;

        td_mp(&b, opens[i].bytes);
        p = b.data;
        assert_row(opens[i].bytes, td_event_open(&event, &p, b.data + b.len));
        assert_row(opens[i].bytes, p == b.data + b.len);
        assert_row(opens[i].bytes, event.dt_us == opens[i].dt_us);
        assert_row(opens[i].bytes, event.data.len == strlen(opens[i].data) &&
                                       memcmp(event.data.data, opens[i].data,
                                              event.data.len) == 0);
        td_buf_fini(&b);
    }
}

/* Contents of an event that are none. */
static const char *const malformed[] = {
    "",
    "<c1>",
    "<90>",
    "<92>",
    "<91 00>",
    "<92 00>",
    "<92 00 a1 78>",            /* data is a str */
    "<92 c0 c4 01 78>",         /* dt is nil */
    "<92 a0 c4 01 78>",         /* dt is a str */
    "<92 ca 00*4 c4 01 78>",    /* dt is a float */
    "<92 cf 80 00*7 c4 01 78>", /* dt is 2^63 */
    "<92 00 c4 02 78>",         /* data longer than the event */
    "<92 00 c6 ff ff ff ff 78 78>",
    "<92 00 c4 01 78 00>", /* bytes behind the array */
    "<93 00 c4 01 78 80 00>",
    "<93 00 c4 01 78>",    /* attributes missing */
    "<93 00 c4 01 78 c0>", /* attributes nil */
    "<93 00 c4 01 78 90>",
    "<93 00 c4 01 78 81>",
    "<93 00 c4 01 78 81 00>",
    "<93 00 c4 01 78 df ff ff ff ff>",
    "<93 00 c4 01 78 81 a1 61 d4 00>",
    "<93 00 c4 01 78 81 a1 61 d4 00 61>", /* ext */
    "<93 00 c4 01 78 81 a1 61 90>",       /* nested */
    "<93 00 c4 01 78 81 a1 61 80>",
    "<94 00 c4 01 78 80 00>", /* four elements */
    "<82 00 c4 01 78>",       /* a map */
    "<df ff*4 00 00>",
    "<dd ff*4 00 c4>",
};

static void test_event_malformed_is_skipped_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(malformed); i++) {
        struct td_buf b = {0};
        struct td_event event;
        const uint8_t *p;
        size_t len;

        td_mp(&b, HOP);
        td_mp(&b, malformed[i]);
        len = b.len;
        b.data[1] = (uint8_t)(len - 2);
        td_mp(&b, E6); /* the event behind it opens all the same */
        p = b.data;
        assert_row(malformed[i], !td_event_open(&event, &p, b.data + b.len));
        assert_row(malformed[i], p == b.data + len);
        assert_row(malformed[i], td_event_open(&event, &p, b.data + b.len));
        assert_row(malformed[i], p == b.data + b.len);
        td_buf_fini(&b);
    }
}

static const char *const broken_prefixes[] = {
    "",        "<c4>",          "<c4 05 92>",
    "<c5 00>", "<c6 00 00 00>", "<c6 ff ff ff ff>",
    "<a1 61>", "<00 00>",       "<d4 00 61>",
    "nil",
};

static void test_event_with_a_broken_prefix_ends_the_body(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(broken_prefixes); i++) {
        struct td_buf b = {0};
        struct td_event event;
        const uint8_t *p;

        assert_true(td_buf_reserve(&b, 1));
        td_mp(&b, broken_prefixes[i]);
        p = b.data;
        assert_row(broken_prefixes[i],
                   !td_event_open(&event, &p, b.data + b.len));
        assert_row(broken_prefixes[i], p == b.data + b.len);
        td_buf_fini(&b);
    }
}

static void test_event_cut_at_every_byte_is_malformed(void **state)
{
    struct td_buf b = {0};

    (void)state;
    td_mp(&b, "<c4 1b 93 cd 01 00 c4 04 64 61 74 61 82 a1 61 a3 78 79 7a"
              " a5 62 62 62 62 62 d2 ff ff 00 00>");
    b.data[1] = (uint8_t)(b.len - 2);
    for (size_t len = 0; len <= b.len; len++) {
        uint8_t *cut = malloc(len + !len);
        const uint8_t *p = cut;
        struct td_event event;

        assert_non_null(cut);
        memcpy(cut, b.data, len);
        assert_row_at("cut", len,
                      td_event_open(&event, &p, cut + len) == (len == b.len));
        p = cut;
        if (len > 2) { /* the prefix says what is there; the content is cut */
            cut[1] = (uint8_t)(len - 2);
            assert_row_at("cut inside", len,
                          td_event_open(&event, &p, cut + len) ==
                              (len == b.len));
        }
        free(cut);
    }
    td_buf_fini(&b);
}

/* ---- bounds of data and attributes ---- */

/* An event of data and attributes in the notation; it need not be legal. */
static bool opens_with(const char *data, const char *attrs)
{
    struct td_buf content = {0};
    struct td_buf whole = {0};
    uint8_t head[] = {0xc6, 0, 0, 0, 0};
    struct td_event event;
    const uint8_t *p;
    bool opened;

    td_mp(&content, *attrs ? "<93 00>" : "<92 00>");
    td_mp(&content, data);
    td_mp(&content, attrs);
    for (int i = 0; i < 4; i++)
        head[1 + i] = (uint8_t)(content.len >> (24 - 8 * i));
    td_buf_append(&whole, head, sizeof(head));
    td_buf_append(&whole, content.data, content.len);
    p = whole.data;
    opened = td_event_open(&event, &p, whole.data + whole.len);
    td_buf_fini(&content);
    td_buf_fini(&whole);
    return opened;
}

static const struct {
    const char *data;
    const char *attrs;
    bool opens;
} bounds[] = {
    {"b(1048576)", "", true},
    {"b(1048577)", "", false},
    {"b(1048576)", "{\"a\" s(60000)}", true},
    {"''", "<de 00 40> <a1 61 01>*64", true},
    {"''", "<de 00 41> <a1 61 01>*65", false},
    {"''", "{\"a\" s(65530)}", true}, /* 64 KiB to the byte */
    {"''", "{\"a\" s(65531)}", false},
    {"''", "{\"a\" s(65536)}", false},
    {"''", "{\"a\" b(65530)}", true},
    {"''", "{\"a\" 'bin' \"b\" true \"c\" -2147483648 \"d\" \"\"}", true},
};

static void test_event_bounds_data_and_attributes(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(bounds); i++) {
        char row[128];

        snprintf(row, sizeof(row), "%s %s", bounds[i].data, bounds[i].attrs);
        assert_row(row, opens_with(bounds[i].data, bounds[i].attrs) ==
                            bounds[i].opens);
    }
}

static void test_events_skip_counts_or_says_no(void **state)
{
    struct td_buf b = {0};

    (void)state;
    td_mp(&b, HOP " b(300) b(70000) " HOP);
    assert_ptr_equal(td_events_skip(b.data, b.data + b.len, 0), b.data);
    assert_ptr_equal(td_events_skip(b.data, b.data + b.len, 1), b.data + 2);
    assert_ptr_equal(td_events_skip(b.data, b.data + b.len, 4), b.data + b.len);
    assert_null(td_events_skip(b.data, b.data + b.len, 5));
    assert_null(td_events_skip(b.data, b.data + b.len, UINT32_MAX));
    assert_null(td_events_skip(b.data, b.data + b.len - 1, 4));
    td_buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_event_there_and_back_in_every_size_class),
        cmocka_unit_test(test_event_opens_in_every_legal_form),
        cmocka_unit_test(test_event_malformed_is_skipped_whole),
        cmocka_unit_test(test_event_with_a_broken_prefix_ends_the_body),
        cmocka_unit_test(test_event_cut_at_every_byte_is_malformed),
        cmocka_unit_test(test_event_bounds_data_and_attributes),
        cmocka_unit_test(test_events_skip_counts_or_says_no),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
