/* The bounded scanner and the reader: every hostile shape of FAULTS W11 to
 * W15 and W26, refused without an allocation. */
#include "tests/support/td_test.h"

#include <math.h>
#include <msgpack.h>
#include <stdlib.h>

#include "proto/limits.h"
#include "proto/scan.h"
#include "tests/support/mp.h"

/* Which limits accept a row. */
enum accept { NO = 0, DATA = 1, CONTROL = 2, ATTRS = 4, ALL = 7 };

static const struct {
    const char *text;
    unsigned accept;
} rows[] = {
    /* one of each form */
    {"nil", ALL},
    {"true", ALL},
    {"false", ALL},
    {"0", ALL},
    {"127", ALL},
    {"128", ALL},
    {"65535", ALL},
    {"65536", ALL},
    {"18446744073709551615", ALL},
    {"-1", ALL},
    {"-32", ALL},
    {"-33", ALL},
    {"-9223372036854775808", ALL},
    {"1.5", ALL},
    {"<ca 7f c0 00 00>", ALL},             /* NaN */
    {"<cb 7f f0 00 00 00 00 00 00>", ALL}, /* infinity */
    {"<cd 00 01>", ALL},                   /* not the shortest: legal */
    {"\"\"", ALL},
    {"s(31)", ALL},
    {"s(32)", ALL},
    {"s(256)", ALL},
    {"s(65536)", ALL},
    {"''", ALL},
    {"b(255)", ALL},
    {"b(65536)", ALL},
    {"[]", ALL},
    {"{}", ALL},
    {"[nil*15]", ALL},
    {"[nil*16]", ALL},
    {"{\"a\" 1}", ALL},
    {"<dc 00 00>", ALL},
    {"<dd 00 00 00 00>", ALL},
    {"<de 00 00>", ALL},
    {"<df 00 00 00 00>", ALL},
    {"<d9 00>", ALL},
    {"<c6 00 00 00 00>", ALL},

    /* ext */
    {"<d4 00 61>", DATA},
    {"<d5 00 61*2>", DATA},
    {"<d6 ff 61*4>", DATA},
    {"<d7 00 61*8>", DATA},
    {"<d8 00 61*16>", DATA},
    {"<c7 00 05>", DATA},
    {"<c7 03 05 61*3>", DATA},
    {"<c8 01 00 05 61*256>", DATA},
    {"<c9 00 01 00 00 05 61*65536>", DATA},
    {"[<d4 00 61>]", DATA},
    {"<d4 00>", NO},
    {"<d8 00 61*15>", NO},
    {"<c7 03 05 61*2>", NO},
    {"<c7 00>", NO},
    {"<c9 ff ff ff ff 05 61>", NO},

    /* nothing, no msgpack, something left over (W14) */
    {"", NO},
    {"<c1>", NO},
    {"[<c1>]", NO},
    {"nil nil", NO},
    {"[] <00>", NO},
    {"[1 2] <c1>", NO},
    {"\"a\" \"b\"", NO},

    /* counts beyond the bytes (W11) */
    {"<91>", NO},
    {"<81>", NO},
    {"<81 a1 61>", NO},
    {"<9f 01*14>", NO},
    {"<8f 01*29>", NO},
    {"<dc ff ff>", NO},
    {"<dd ff ff ff ff>", NO},
    {"<df ff ff ff ff>", NO},
    {"<dd 80 00 00 00>", NO},
    {"<df 80 00 00 00>", NO}, /* twice 2^31 is no 0 */
    {"<df 7f ff ff ff 01*8>", NO},
    {"<dd 00 00 00 09 01*8>", NO},
    {"<df 00 00 00 05 01*9>", NO},
    {"<dd ff ff ff ff 01*64>", NO},

    /* lengths beyond the bytes (W13) */
    {"<a1>", NO},
    {"<bf 61*30>", NO},
    {"<d9 01>", NO},
    {"<d9 ff 61*254>", NO},
    {"<da ff ff 61*100>", NO},
    {"<db ff ff ff ff>", NO},
    {"<db ff ff ff ff 61>", NO},
    {"<c4 01>", NO},
    {"<c5 00 02 61>", NO},
    {"<c6 ff ff ff ff 61*9>", NO},
    {"<c6 80 00 00 00>", NO},
    {"[<d9 05 61*4>]", NO},

    /* heads cut short */
    {"<cc>", NO},
    {"<cd 00>", NO},
    {"<ce 00*3>", NO},
    {"<cf 00*7>", NO},
    {"<d0>", NO},
    {"<d3 00*7>", NO},
    {"<ca 00*3>", NO},
    {"<cb 00*7>", NO},
    {"<d9>", NO},
    {"<da 00>", NO},
    {"<db 00*3>", NO},
    {"<dc 00>", NO},
    {"<dd 00*3>", NO},
    {"<de 00>", NO},
    {"<df 00*3>", NO},
    {"<c4>", NO},
    {"<c5 00>", NO},
    {"<c6 00*3>", NO},

    /* depth (W12): attributes 1, control 8, data 32 */
    {"[[]]", DATA | CONTROL},
    {"{\"a\" {}}", DATA | CONTROL},
    {"[1 [2 [3] 4] 5]", DATA | CONTROL},
    {"<91*7 90>", DATA | CONTROL},
    {"<91*8 90>", DATA},
    {"<91*31 90>", DATA},
    {"<91*32 90>", NO},
    {"<91*8 c0>", DATA | CONTROL},
    {"<91*9 c0>", DATA},
    {"<91*32 c0>", DATA},
    {"<91*33 c0>", NO},
    {"<91*1000 c0>", NO},
    {"<91*100000 c0>", NO},
    {"<91*100000>", NO},
    {"<81*16 01*17>", DATA}, /* maps as keys */
    {"<81*16 01*16>", NO},
    {"[[[[[[[1] 2] 3] 4] 5] 6] [[[[[[[8]]]]]]]]", DATA | CONTROL},

    /* number of values: attributes 129, control 16,384 */
    {"[1*128]", ALL},
    {"[1*129]", DATA | CONTROL},
    {"[1*16383]", DATA | CONTROL},
    {"[1*16384]", DATA},
    {"[[]*16383]", DATA | CONTROL},
    {"[[1]*8191 1]", DATA | CONTROL},
    {"[[1]*8192]", DATA},
    {"[1*1048575]", DATA},
    {"[1*1048576]", NO},
};

static bool accepts(const struct td_buf *b, enum accept limits)
{
    switch (limits) {
    case DATA:
        return td_scan(b->data, b->len, &td_scan_data);
    case CONTROL:
        return td_scan(b->data, b->len, &td_scan_control);
    case ATTRS:
        return td_scan(b->data, b->len, &td_scan_attrs);
    default:
        return false;
    }
}

static void test_scan_accepts_one_bounded_value(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct td_buf b = {0};

        td_mp(&b, rows[i].text);
        assert_row(rows[i].text,
                   accepts(&b, DATA) == !!(rows[i].accept & DATA));
        assert_row(rows[i].text,
                   accepts(&b, CONTROL) == !!(rows[i].accept & CONTROL));
        assert_row(rows[i].text,
                   accepts(&b, ATTRS) == !!(rows[i].accept & ATTRS));
        td_buf_fini(&b);
    }
}

/* What the scanner lets through, msgpack-c takes whole; this is what the
 * scanner stands in front of it for. */
static void test_scan_accepts_nothing_that_msgpack_c_does_not(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct td_buf b = {0};
        msgpack_unpacked u;
        size_t off = 0;

        td_mp(&b, rows[i].text);
        if (accepts(&b, DATA)) {
            msgpack_unpacked_init(&u);
            assert_row(rows[i].text,
                       msgpack_unpack_next(&u, (const char *)b.data, b.len,
                                           &off) == MSGPACK_UNPACK_SUCCESS);
            assert_row_at(rows[i].text, off, off == b.len);
            msgpack_unpacked_destroy(&u);
        }
        td_buf_fini(&b);
    }
}

/* A value cut short is never a value; in memory of just that size, so that
 * the address sanitizer sees a byte read beyond it. */
static void test_scan_refuses_every_truncation(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct td_buf b = {0};

        td_mp(&b, rows[i].text);
        for (size_t len = 0; rows[i].accept && len < b.len;
             len += 1 + len / 300) {
            uint8_t *cut = malloc(len + !len);

            assert_non_null(cut);
            memcpy(cut, b.data, len);
            assert_row_at(rows[i].text, len, !td_scan(cut, len, &td_scan_data));
            free(cut);
        }
        td_buf_fini(&b);
    }
}

/* ---- heads ---- */

static const struct {
    const char *text;
    enum td_kind kind;
    size_t size;
    uint64_t value; /* of uint, len and count; the bits of nint */
} heads[] = {
    {"nil", TD_KIND_NIL, 1, 0},
    {"0", TD_KIND_UINT, 1, 0},
    {"127", TD_KIND_UINT, 1, 127},
    {"<cc ff>", TD_KIND_UINT, 2, 255},
    {"<cd ff fe>", TD_KIND_UINT, 3, 65534},
    {"<ce ff ff ff fe>", TD_KIND_UINT, 5, 4294967294},
    {"<cf ff*7 fe>", TD_KIND_UINT, 9, UINT64_MAX - 1},
    {"<d0 7f>", TD_KIND_UINT, 2, 127},
    {"<d0 80>", TD_KIND_NINT, 2, (uint64_t)-128},
    {"<d1 80 00>", TD_KIND_NINT, 3, (uint64_t)-32768},
    {"<d2 80 00 00 00>", TD_KIND_NINT, 5, (uint64_t)INT32_MIN},
    {"<d3 80 00*7>", TD_KIND_NINT, 9, (uint64_t)INT64_MIN},
    {"<d3 7f ff*7>", TD_KIND_UINT, 9, INT64_MAX},
    {"<d3 ff*8>", TD_KIND_NINT, 9, UINT64_MAX},
    {"-1", TD_KIND_NINT, 1, UINT64_MAX},
    {"-32", TD_KIND_NINT, 1, (uint64_t)-32},
    {"<a0>", TD_KIND_STR, 1, 0},
    {"<bf>", TD_KIND_STR, 1, 31},
    {"<d9 ff>", TD_KIND_STR, 2, 255},
    {"<da ff ff>", TD_KIND_STR, 3, 65535},
    {"<db ff*4>", TD_KIND_STR, 5, UINT32_MAX},
    {"<c4 01>", TD_KIND_BIN, 2, 1},
    {"<c5 01 02>", TD_KIND_BIN, 3, 258},
    {"<c6 01 02 03 04>", TD_KIND_BIN, 5, 0x01020304},
    {"<c7 09 ff>", TD_KIND_EXT, 3, 9},
    {"<c8 09 08 ff>", TD_KIND_EXT, 4, 0x0908},
    {"<c9 09 08 07 06 ff>", TD_KIND_EXT, 6, 0x09080706},
    {"<d4 00>", TD_KIND_EXT, 2, 1},
    {"<d5 00>", TD_KIND_EXT, 2, 2},
    {"<d6 00>", TD_KIND_EXT, 2, 4},
    {"<d7 00>", TD_KIND_EXT, 2, 8},
    {"<d8 00>", TD_KIND_EXT, 2, 16},
    {"<90>", TD_KIND_ARRAY, 1, 0},
    {"<9f>", TD_KIND_ARRAY, 1, 15},
    {"<dc 01 00>", TD_KIND_ARRAY, 3, 256},
    {"<dd ff*4>", TD_KIND_ARRAY, 5, UINT32_MAX},
    {"<80>", TD_KIND_MAP, 1, 0},
    {"<8f>", TD_KIND_MAP, 1, 15},
    {"<de 01 00>", TD_KIND_MAP, 3, 256},
    {"<df ff*4>", TD_KIND_MAP, 5, UINT32_MAX},
    {"<c1>", TD_KIND_NONE, 0, 0},
    {"", TD_KIND_NONE, 0, 0},
};

static void test_head_reads_every_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(heads); i++) {
        const char *row = heads[i].text;
        struct td_buf b = {0};
        struct td_head h;

        assert_true(td_buf_reserve(&b, 1)); /* no sums with NULL */
        td_mp(&b, row);
        h = td_head_at(b.data, b.data + b.len);
        assert_row(row, h.kind == heads[i].kind);
        assert_row(row, h.size == heads[i].size);
        if (h.kind == TD_KIND_NINT)
            assert_row(row, h.u.nint == (int64_t)heads[i].value);
        else
            assert_row(row, h.u.uint == heads[i].value);
        for (size_t len = 0; len < b.len; len++)
            assert_row_at(row, len,
                          td_head_at(b.data, b.data + len).kind ==
                              TD_KIND_NONE);
        td_buf_fini(&b);
    }
}

static void test_head_reads_bools_and_floats(void **state)
{
    static const uint8_t yes[] = {0xc3};
    static const uint8_t no[] = {0xc2};
    static const uint8_t f32[] = {0xca, 0xbf, 0x40, 0, 0};
    static const uint8_t f64[] = {0xcb, 0x3f, 0xb9, 0x99, 0x99,
                                  0x99, 0x99, 0x99, 0x9a};
    static const uint8_t nan32[] = {0xca, 0x7f, 0xc0, 0, 0};

    (void)state;
    assert_true(td_head_at(yes, yes + 1).u.boolean);
    assert_false(td_head_at(no, no + 1).u.boolean);
    assert_int_equal(td_head_at(no, no + 1).kind, TD_KIND_BOOL);
    assert_true(td_head_at(f32, f32 + 5).u.real == -0.75);
    assert_true(td_head_at(f64, f64 + 9).u.real == 0.1);
    assert_true(isnan(td_head_at(nan32, nan32 + 5).u.real));
}

/* Type bytes 0x00 to 0xff with arbitrary bytes behind: a head never claims
 * to be longer than what is there. */
static void test_head_never_leaves_its_bytes(void **state)
{
    (void)state;
    for (unsigned type = 0; type < 256; type++) {
        for (size_t len = 1; len <= 10; len++) {
            uint8_t *p = malloc(len);
            struct td_head h;

            assert_non_null(p);
            memset(p, 0xff, len);
            p[0] = (uint8_t)type;
            h = td_head_at(p, p + len);
            assert_row_at("type byte", type,
                          h.kind == TD_KIND_NONE ? h.size == 0 : h.size <= len);
            free(p);
        }
    }
}

/* ---- reads ---- */

enum read {
    UINT = 1,
    INT = 2,
    BOOL = 4,
    STR = 8,
    BIN = 16,
    ARRAY = 32,
    MAP = 64,
    RAW = 128,
    NONE = 0
};

static const struct {
    const char *text;
    unsigned reads; /* that succeed */
} reads[] = {
    {"nil", RAW},
    {"true", BOOL | RAW},
    {"0", UINT | INT | RAW},
    {"<d3 00*7 05>", UINT | INT | RAW},
    {"9223372036854775807", UINT | INT | RAW},
    {"9223372036854775808", RAW},
    {"18446744073709551615", RAW},
    {"-1", INT | RAW},
    {"-9223372036854775808", INT | RAW},
    {"1.0", RAW},
    {"<ca 3f 80 00 00>", RAW},
    {"\"\"", STR | RAW},
    {"\"text\"", STR | RAW},
    {"''", BIN | RAW},
    {"'text'", BIN | RAW},
    {"[]", ARRAY | RAW},
    {"[1 [2] 3]", ARRAY | RAW},
    {"{}", MAP | RAW},
    {"{1 {2 3}}", MAP | RAW},
    {"<d4 00 61>", RAW},
    {"<d9 05 61*4>", NONE},
    {"<c6 ff*4 61*4>", NONE},
    {"<db ff*4>", NONE},
    {"<dd ff*4>", ARRAY}, /* what follows is for whoever reads on */
    {"<c1>", NONE},
    {"", NONE},
};

static unsigned read_one(struct td_reader *r, enum read kind)
{
    struct td_str str = {NULL, 0};
    uint64_t u;
    int64_t i;
    uint32_t n;
    bool flag;

    switch (kind) {
    case UINT:
        return td_read_uint(r, &u);
    case INT:
        return td_read_int(r, &i);
    case BOOL:
        return td_read_bool(r, &flag);
    case STR:
        return td_read_str(r, &str);
    case BIN:
        return td_read_bin(r, &str);
    case ARRAY:
        return td_read_array(r, &n);
    case MAP:
        return td_read_map(r, &n);
    case RAW:
        return td_read_raw(r, &str);
    case NONE:
        break;
    }
    return false;
}

static void test_read_takes_its_kind_and_otherwise_stays(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(reads); i++) {
        struct td_buf b = {0};

        assert_true(td_buf_reserve(&b, 1));
        td_mp(&b, reads[i].text);
        for (unsigned kind = UINT; kind <= RAW; kind *= 2) {
            struct td_reader r = td_reader_of(b.data, b.len);
            bool done = read_one(&r, (enum read)kind);

            assert_row_at(reads[i].text, kind,
                          done == !!(reads[i].reads & kind));
            assert_row_at(reads[i].text, kind, done || r.p == b.data);
            assert_row_at(reads[i].text, kind, r.p <= r.end);
        }
        td_buf_fini(&b);
    }
}

static void test_read_walks_a_value_in_order(void **state)
{
    struct td_buf b = {0};
    struct td_reader r;
    struct td_str str;
    uint32_t count;
    uint64_t u;
    int64_t i;
    bool flag;

    (void)state;
    td_mp(&b, "[{\"k\" true} 70000 -70000 's' [[1]] \"end\"]");
    r = td_reader_of(b.data, b.len);
    assert_true(td_read_array(&r, &count));
    assert_int_equal(count, 6);
    assert_true(td_read_map(&r, &count));
    assert_int_equal(count, 1);
    assert_true(td_read_str(&r, &str));
    assert_memory_equal(str.data, "k", 1);
    assert_true(td_read_bool(&r, &flag) && flag);
    assert_true(td_read_uint(&r, &u));
    assert_int_equal(u, 70000);
    assert_true(td_read_int(&r, &i));
    assert_int_equal(i, -70000);
    assert_true(td_read_bin(&r, &str));
    assert_int_equal(str.len, 1);
    assert_true(td_read_raw(&r, &str));
    assert_int_equal(str.len, 3);
    assert_memory_equal(str.data, "\x91\x91\x01", 3);
    assert_true(td_read_str(&r, &str));
    assert_int_equal(str.len, 3);
    assert_ptr_equal(r.p, r.end);
    assert_false(td_read_raw(&r, &str));
    td_buf_fini(&b);
}

/* Absent attributes and empty frames come as NULL and 0. */
static void test_read_of_nothing_fails(void **state)
{
    struct td_reader r = td_reader_of(NULL, 0);

    (void)state;
    for (unsigned kind = UINT; kind <= RAW; kind *= 2)
        assert_row_at("kind", kind, !read_one(&r, (enum read)kind));
    assert_false(td_scan(NULL, 0, &td_scan_data));
}

/* ---- maps ---- */

static const struct {
    const char *map;
    const char *key;
    const char *value; /* NULL: not found */
} finds[] = {
    {"{}", "a", NULL},
    {"{\"a\" 1}", "a", "1"},
    {"{\"a\" 1}", "b", NULL},
    {"{\"a\" 1}", "", NULL},
    {"{\"a\" 1}", "aa", NULL},
    {"{\"aa\" 1}", "a", NULL},
    {"{\"\" 1}", "", "1"},
    {"{\"a\" 1 \"b\" [2 {\"c\" 3}] \"d\" 4}", "b", "[2 {\"c\" 3}]"},
    {"{\"a\" {\"d\" 1} \"d\" 4}", "d", "4"},
    {"{\"a\" 1 \"a\" 2}", "a", "1"}, /* W15: the first counts */
    {"{'a' 1 \"a\" 2}", "a", "2"},   /* a bin is no str */
    {"{1 1 nil 2 [\"a\"] 3 {\"a\" 1} 4 \"a\" 5}", "a", "5"},
    {"{1 \"a\" 2 \"a\"}", "a", NULL}, /* values are no keys */
    {"[\"a\" 1]", "a", NULL},
    {"\"a\"", "a", NULL},
    {"nil", "a", NULL},
};

static void test_map_find_returns_the_first_of_a_key(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(finds); i++) {
        struct td_str found = {"untouched", 9};
        struct td_buf map = {0};
        struct td_buf value = {0};
        bool done;

        td_mp(&map, finds[i].map);
        td_mp(&value, finds[i].value ? finds[i].value : "");
        done = td_map_find(td_mp_str(&map), finds[i].key, &found);
        assert_row(finds[i].map, done == (finds[i].value != NULL));
        if (done)
            assert_row(finds[i].map,
                       found.len == value.len &&
                           memcmp(found.data, value.data, value.len) == 0);
        else
            assert_row(finds[i].map, found.len == 9);
        td_buf_fini(&map);
        td_buf_fini(&value);
    }
}

/* Maps that no scanner has passed are still walked within their bytes. */
static void test_map_find_stays_within_a_cut_map(void **state)
{
    struct td_buf b = {0};

    (void)state;
    td_mp(&b, "{\"first\" [1 2 3] \"second\" s(40) \"third\" 3}");
    for (size_t len = 0; len < b.len; len++) {
        uint8_t *cut = malloc(len + !len);
        struct td_str map = {(const char *)cut, len};
        struct td_str value;

        assert_non_null(cut);
        memcpy(cut, b.data, len);
        assert_row_at("cut", len, !td_map_find(map, "third", &value));
        free(cut);
    }
    td_buf_fini(&b);
}

static void test_map_options_are_absent_or_of_their_shape(void **state)
{
    struct td_str str = {"default", 7};
    struct td_buf b = {0};
    struct td_str map;
    uint64_t u = 42;

    (void)state;
    td_mp(&b, "{\"n\" 7 \"neg\" -1 \"real\" 1.0 \"huge\" "
              "9223372036854775808 \"s\" \"text\" \"bin\" 'text' \"nil\" nil}");
    map = td_mp_str(&b);

    assert_true(td_map_uint(map, "absent", &u));
    assert_int_equal(u, 42);
    assert_false(td_map_uint(map, "neg", &u));
    assert_false(td_map_uint(map, "real", &u));
    assert_false(td_map_uint(map, "huge", &u));
    assert_false(td_map_uint(map, "s", &u));
    assert_false(td_map_uint(map, "nil", &u));
    assert_int_equal(u, 42);
    assert_true(td_map_uint(map, "n", &u));
    assert_int_equal(u, 7);

    assert_true(td_map_str(map, "absent", &str));
    assert_false(td_map_str(map, "bin", &str));
    assert_false(td_map_str(map, "n", &str));
    assert_false(td_map_str(map, "nil", &str));
    assert_int_equal(str.len, 7);
    assert_true(td_map_str(map, "s", &str));
    assert_int_equal(str.len, 4);
    assert_memory_equal(str.data, "text", 4);
    td_buf_fini(&b);
}

static void test_map_options_may_be_bins_and_bools(void **state)
{
    static const char *const others[] = {"text", "zero", "one", "nil", "list"};
    struct td_str bin = {"default", 7};
    struct td_buf b = {0};
    struct td_str map;
    bool flag = true;

    (void)state;
    td_mp(&b, "{\"text\" \"true\" \"zero\" 0 \"one\" 1 \"nil\" nil "
              "\"list\" [true] \"no\" false \"yes\" true \"no\" true "
              "\"empty\" '' \"bin\" b(16)}");
    map = td_mp_str(&b);

    assert_true(td_map_bin(map, "absent", &bin));
    assert_true(td_map_bool(map, "absent", &flag));
    for (size_t i = 0; i < TD_ARRAY_LEN(others); i++) {
        assert_row(others[i], !td_map_bin(map, others[i], &bin));
        assert_row(others[i], !td_map_bool(map, others[i], &flag));
    }
    assert_false(td_map_bin(map, "yes", &bin));
    assert_false(td_map_bool(map, "bin", &flag));
    assert_int_equal(bin.len, 7);
    assert_true(flag);

    assert_true(td_map_bool(map, "no", &flag) && !flag); /* the first counts */
    assert_true(td_map_bool(map, "yes", &flag) && flag);
    assert_true(td_map_bin(map, "empty", &bin));
    assert_int_equal(bin.len, 0);
    assert_non_null(bin.data);
    assert_true(td_map_bin(map, "bin", &bin));
    assert_int_equal(bin.len, 16);
    assert_memory_equal(bin.data, "aaaaaaaaaaaaaaaa", 16);
    td_buf_fini(&b);
}

/* What stands in the place of a map has no options. */
static void test_map_options_of_no_map_are_absent(void **state)
{
    struct td_buf b = {0};
    struct td_str str = {"default", 7};
    uint64_t u = 42;
    bool flag = true;

    (void)state;
    td_mp(&b, "[\"a\" 1]");
    assert_true(td_map_uint(td_mp_str(&b), "a", &u));
    assert_true(td_map_str(td_mp_str(&b), "a", &str));
    assert_true(td_map_bin(td_mp_str(&b), "a", &str));
    assert_true(td_map_bool(td_mp_str(&b), "a", &flag));
    assert_true(u == 42 && str.len == 7 && flag);
    td_buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scan_accepts_one_bounded_value),
        cmocka_unit_test(test_scan_accepts_nothing_that_msgpack_c_does_not),
        cmocka_unit_test(test_scan_refuses_every_truncation),
        cmocka_unit_test(test_head_reads_every_form),
        cmocka_unit_test(test_head_reads_bools_and_floats),
        cmocka_unit_test(test_head_never_leaves_its_bytes),
        cmocka_unit_test(test_read_takes_its_kind_and_otherwise_stays),
        cmocka_unit_test(test_read_walks_a_value_in_order),
        cmocka_unit_test(test_read_of_nothing_fails),
        cmocka_unit_test(test_map_find_returns_the_first_of_a_key),
        cmocka_unit_test(test_map_find_stays_within_a_cut_map),
        cmocka_unit_test(test_map_options_are_absent_or_of_their_shape),
        cmocka_unit_test(test_map_options_may_be_bins_and_bools),
        cmocka_unit_test(test_map_options_of_no_map_are_absent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
