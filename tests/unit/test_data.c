/* tidings/data.h: writing a value and reading one, hostile bytes included. */
#include "tests/support/td_test.h"

#include <math.h>
#include <stdlib.h>

#include "proto/limits.h"
#include "tests/support/alloc.h"
#include "tests/support/mp.h"
#include "tidings/data.h"

/* ---- writing ---- */

/* The writer holds exactly what the notation says. */
static void assert_written(tidings_writer *w, const char *notation)
{
    struct td_buf expected = {0};
    const void *bytes = NULL;
    size_t len = 0;

    td_mp(&expected, notation);
    assert_ok(tidings_writer_bytes(w, &bytes, &len));
    assert_row(notation, len == expected.len);
    assert_row(notation, memcmp(bytes, expected.data, len) == 0);
    td_buf_fini(&expected);
}

static void test_writer_puts_every_kind_in_its_shortest_form(void **state)
{
    tidings_writer *w = tidings_writer_new();

    (void)state;
    assert_non_null(w);
    tidings_put_map(w, 4);
    tidings_put_string(w, "ints");
    tidings_put_array(w, 8);
    tidings_put_int(w, 0);
    tidings_put_int(w, -1);
    tidings_put_int(w, 127);
    tidings_put_int(w, INT64_MAX);
    tidings_put_int(w, INT64_MIN);
    tidings_put_uint(w, 128);
    tidings_put_uint(w, 0);
    tidings_put_uint(w, UINT64_MAX);
    tidings_put_string(w, "flags");
    tidings_put_array(w, 3);
    tidings_put_bool(w, true);
    tidings_put_bool(w, false);
    tidings_put_nil(w);
    tidings_put_string(w, "texts");
    tidings_put_array(w, 4);
    tidings_put_string(w, "");
    tidings_put_string(w, NULL);
    tidings_put_string_n(w, "cut here", 3);
    tidings_put_binary(w, "bin", 3);
    tidings_put_string_n(w, "real", 4);
    tidings_put_double(w, 1.5);

    assert_written(w, "{\"ints\" [0 -1 127 9223372036854775807"
                      " -9223372036854775808 128 0 18446744073709551615]"
                      " \"flags\" [true false nil]"
                      " \"texts\" [\"\" nil \"cut\" 'bin']"
                      " \"real\" 1.5}");
    tidings_writer_free(w);
}

static void test_writer_takes_empty_containers_and_texts(void **state)
{
    tidings_writer *w = tidings_writer_new();

    (void)state;
    tidings_put_array(w, 4);
    tidings_put_map(w, 0);
    tidings_put_array(w, 0);
    tidings_put_binary(w, NULL, 0);
    tidings_put_string_n(w, "", 0);
    assert_written(w, "[{} [] '' \"\"]");
    tidings_writer_free(w);
}

static void test_writer_reset_starts_anew(void **state)
{
    tidings_writer *w = tidings_writer_new();

    (void)state;
    tidings_put_map(w, 5);
    tidings_put_string(w, "half");
    tidings_writer_reset(w);
    tidings_put_int(w, 7);
    assert_written(w, "7");
    tidings_writer_reset(w);
    tidings_put_int(w, 8);
    assert_written(w, "8");
    tidings_writer_free(w);
}

/* Looking does not end the writing. */
static void test_writer_goes_on_after_bytes(void **state)
{
    tidings_writer *w = tidings_writer_new();
    const void *bytes;
    size_t len;

    (void)state;
    tidings_put_array(w, 2);
    tidings_put_int(w, 1);
    assert_err(tidings_writer_bytes(w, &bytes, &len), TIDINGS_EINVAL);
    tidings_put_int(w, 2);
    assert_written(w, "[1 2]");
    assert_written(w, "[1 2]");
    tidings_writer_free(w);
}

/* What is put, one letter each: m<n> map, a<n> array, i an integer. */
static const struct {
    const char *puts;
    tidings_err err;
} shapes[] = {
    {"", TIDINGS_EINVAL},      {"i", TIDINGS_OK},
    {"ii", TIDINGS_EINVAL},    {"m0", TIDINGS_OK},
    {"m0i", TIDINGS_EINVAL},   {"m1", TIDINGS_EINVAL},
    {"m1i", TIDINGS_EINVAL},   {"m1ii", TIDINGS_OK},
    {"m1iii", TIDINGS_EINVAL}, {"a1", TIDINGS_EINVAL},
    {"a2i", TIDINGS_EINVAL},   {"a2ii", TIDINGS_OK},
    {"a2iii", TIDINGS_EINVAL}, {"a1a1a1", TIDINGS_EINVAL},
    {"a1a1a1i", TIDINGS_OK},   {"a2a1ii", TIDINGS_OK},
    {"a2a0a0", TIDINGS_OK},    {"m1im1ia2ii", TIDINGS_OK},
    {"m1m0a0", TIDINGS_OK},    {"a0a0", TIDINGS_EINVAL},
    {"a9i", TIDINGS_EINVAL},
};

static void test_writer_bytes_are_one_complete_value(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(shapes); i++) {
        const void *bytes = "untouched";
        const void *before = bytes;
        size_t len = 99;
        tidings_writer *w = tidings_writer_new();
        tidings_err err;

        for (const char *p = shapes[i].puts; *p; p++) {
            if (*p == 'm')
                tidings_put_map(w, (uint32_t)(*++p - '0'));
            else if (*p == 'a')
                tidings_put_array(w, (uint32_t)(*++p - '0'));
            else
                tidings_put_int(w, 1);
        }
        err = tidings_writer_bytes(w, &bytes, &len);
        assert_row(shapes[i].puts, err == shapes[i].err);
        if (err)
            assert_row(shapes[i].puts, bytes == before && len == 99);
        tidings_writer_free(w);
    }
}

static void test_writer_refuses_counts_it_never_gets(void **state)
{
    tidings_writer *w = tidings_writer_new();
    const void *bytes;
    size_t len;

    (void)state;
    tidings_put_map(w, UINT32_MAX);
    tidings_put_array(w, UINT32_MAX);
    tidings_put_int(w, 1);
    assert_err(tidings_writer_bytes(w, &bytes, &len), TIDINGS_EINVAL);
    tidings_writer_free(w);
}

static void test_writer_nests_at_most_32_deep(void **state)
{
    const void *bytes;
    size_t len;

    (void)state;
    for (unsigned depth = 30; depth <= 36; depth++) {
        tidings_writer *w = tidings_writer_new();

        for (unsigned i = 0; i < depth; i++)
            tidings_put_array(w, 1);
        tidings_put_nil(w);
        assert_row_at("depth", depth,
                      tidings_writer_bytes(w, &bytes, &len) ==
                          (depth <= 32 ? TIDINGS_OK : TIDINGS_EINVAL));
        tidings_writer_free(w);
    }
}

static void test_writer_holds_at_most_what_an_event_may(void **state)
{
    static const uint8_t data[TD_DATA_BYTES_MAX + 1];
    const size_t fits = TD_DATA_BYTES_MAX - 5; /* a bin32's head */
    tidings_writer *w = tidings_writer_new();
    const void *bytes;
    size_t len;

    (void)state;
    tidings_put_binary(w, data, fits);
    assert_ok(tidings_writer_bytes(w, &bytes, &len));
    assert_int_equal(len, TD_DATA_BYTES_MAX);
    tidings_writer_reset(w);
    tidings_put_binary(w, data, fits + 1);
    assert_err(tidings_writer_bytes(w, &bytes, &len), TIDINGS_ELIMIT);
    tidings_writer_reset(w);
    tidings_put_int(w, 1);
    assert_ok(tidings_writer_bytes(w, &bytes, &len));
    tidings_writer_free(w);
}

static void test_writer_null_is_allowed_and_out_of_memory(void **state)
{
    const void *bytes;
    size_t len;

    (void)state;
    tidings_put_map(NULL, 1);
    tidings_put_array(NULL, 1);
    tidings_put_nil(NULL);
    tidings_put_bool(NULL, true);
    tidings_put_int(NULL, 1);
    tidings_put_uint(NULL, 1);
    tidings_put_double(NULL, 1);
    tidings_put_string(NULL, "s");
    tidings_put_string_n(NULL, "s", 1);
    tidings_put_binary(NULL, "s", 1);
    tidings_writer_reset(NULL);
    tidings_writer_free(NULL);
    assert_err(tidings_writer_bytes(NULL, &bytes, &len), TIDINGS_ENOMEM);
}

static tidings_err write_much(void *arg)
{
    tidings_writer *w = tidings_writer_new();
    const void *bytes;
    tidings_err err;
    size_t len;

    (void)arg;
    tidings_put_array(w, 100);
    for (int i = 0; i < 100; i++)
        tidings_put_string(w, "some text of some length, a hundred times");
    err = tidings_writer_bytes(w, &bytes, &len);
    tidings_writer_free(w);
    return err;
}

static void test_writer_tells_each_failing_allocation(void **state)
{
    (void)state;
    assert_true(td_alloc_each(write_much, NULL) >= 3);
}

/* ---- reading ---- */

/* The value that a notation stands for; its bytes are kept in buf. */
static struct tidings_value value_of(struct td_buf *buf, const char *notation)
{
    struct tidings_value value;

    td_buf_reset(buf);
    td_mp(buf, notation);
    assert_row(notation,
               tidings_value_read(&value, buf->data, buf->len) == TIDINGS_OK);
    return value;
}

static const struct {
    const char *text;
    tidings_err err;
} read_rows[] = {
    {"nil", TIDINGS_OK},
    {"{\"a\" [1 2 {\"b\" 'c'}]}", TIDINGS_OK},
    {"<d4 00 61>", TIDINGS_OK},
    {"<91*32 c0>", TIDINGS_OK},
    {"<91*33 c0>", TIDINGS_EPROTO},
    {"<91*100000 c0>", TIDINGS_EPROTO},
    {"", TIDINGS_EPROTO},
    {"<c1>", TIDINGS_EPROTO},
    {"1 2", TIDINGS_EPROTO},
    {"[1] <c1>", TIDINGS_EPROTO},
    {"<92 01>", TIDINGS_EPROTO},
    {"<dd ff ff ff ff>", TIDINGS_EPROTO},
    {"<df ff ff ff ff>", TIDINGS_EPROTO},
    {"<db ff ff ff ff 61>", TIDINGS_EPROTO},
    {"<c6 00 00 00 02 61>", TIDINGS_EPROTO},
    {"<cf 00*7>", TIDINGS_EPROTO},
};

static void test_value_read_takes_exactly_one_value(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(read_rows); i++) {
        struct tidings_value value = {(const unsigned char *)"x", 99};
        struct td_buf b = {0};
        tidings_err err;

        td_mp(&b, read_rows[i].text);
        err = tidings_value_read(&value, b.data, b.len);
        assert_row(read_rows[i].text, err == read_rows[i].err);
        if (err)
            assert_row(read_rows[i].text, value.len == 99);
        else
            assert_row(read_rows[i].text,
                       value.bytes == b.data && value.len == b.len);
        td_buf_fini(&b);
    }
}

/* What each conversion says of each kind; 1 success, 0 TIDINGS_EINVAL. */
static const struct {
    const char *text;
    enum tidings_kind kind;
    bool as_bool, as_int, as_uint, as_double, as_string, as_binary;
} kinds[] = {
    {"nil", TIDINGS_KIND_NIL, 0, 0, 0, 0, 0, 0},
    {"true", TIDINGS_KIND_BOOL, 1, 0, 0, 0, 0, 0},
    {"0", TIDINGS_KIND_INT, 0, 1, 1, 1, 0, 0},
    {"-1", TIDINGS_KIND_INT, 0, 1, 0, 1, 0, 0},
    {"<d3 00*7 05>", TIDINGS_KIND_INT, 0, 1, 1, 1, 0, 0},
    {"9223372036854775807", TIDINGS_KIND_INT, 0, 1, 1, 1, 0, 0},
    {"9223372036854775808", TIDINGS_KIND_INT, 0, 0, 1, 1, 0, 0},
    {"18446744073709551615", TIDINGS_KIND_INT, 0, 0, 1, 1, 0, 0},
    {"-9223372036854775808", TIDINGS_KIND_INT, 0, 1, 0, 1, 0, 0},
    {"1.0", TIDINGS_KIND_DOUBLE, 0, 0, 0, 1, 0, 0},
    {"<ca 3f 80 00 00>", TIDINGS_KIND_DOUBLE, 0, 0, 0, 1, 0, 0},
    {"<cb 7f f8 00*6>", TIDINGS_KIND_DOUBLE, 0, 0, 0, 1, 0, 0},
    {"\"\"", TIDINGS_KIND_STRING, 0, 0, 0, 0, 1, 0},
    {"\"1\"", TIDINGS_KIND_STRING, 0, 0, 0, 0, 1, 0},
    {"'1'", TIDINGS_KIND_BINARY, 0, 0, 0, 0, 0, 1},
    {"''", TIDINGS_KIND_BINARY, 0, 0, 0, 0, 0, 1},
    {"[1]", TIDINGS_KIND_ARRAY, 0, 0, 0, 0, 0, 0},
    {"{1 1}", TIDINGS_KIND_MAP, 0, 0, 0, 0, 0, 0},
    {"<d4 00 61>", TIDINGS_KIND_EXT, 0, 0, 0, 0, 0, 0},
    {"<c7 00 61>", TIDINGS_KIND_EXT, 0, 0, 0, 0, 0, 0},
};

static tidings_err expected(bool success)
{
    return success ? TIDINGS_OK : TIDINGS_EINVAL;
}

static void test_value_converts_to_its_own_kind_only(void **state)
{
    struct td_buf b = {0};

    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(kinds); i++) {
        const char *row = kinds[i].text;
        struct tidings_value v = value_of(&b, row);
        const void *bin;
        const char *str;
        uint64_t u;
        int64_t n;
        double d;
        size_t len;
        bool flag;

        assert_row(row, tidings_value_kind(v) == kinds[i].kind);
        assert_row(row,
                   tidings_as_bool(&flag, v) == expected(kinds[i].as_bool));
        assert_row(row, tidings_as_int(&n, v) == expected(kinds[i].as_int));
        assert_row(row, tidings_as_uint(&u, v) == expected(kinds[i].as_uint));
        assert_row(row,
                   tidings_as_double(&d, v) == expected(kinds[i].as_double));
        assert_row(row, tidings_as_string(&str, &len, v) ==
                            expected(kinds[i].as_string));
        assert_row(row, tidings_as_binary(&bin, &len, v) ==
                            expected(kinds[i].as_binary));
    }
    td_buf_fini(&b);
}

static void test_value_conversions_keep_the_value(void **state)
{
    struct td_buf b = {0};
    const void *bin;
    const char *str;
    uint64_t u;
    int64_t n;
    double d;
    size_t len;
    bool flag;

    (void)state;
    assert_ok(tidings_as_bool(&flag, value_of(&b, "true")));
    assert_true(flag);
    assert_ok(tidings_as_bool(&flag, value_of(&b, "false")));
    assert_false(flag);
    assert_ok(tidings_as_int(&n, value_of(&b, "-9223372036854775808")));
    assert_true(n == INT64_MIN);
    assert_ok(tidings_as_int(&n, value_of(&b, "70000")));
    assert_int_equal(n, 70000);
    assert_ok(tidings_as_uint(&u, value_of(&b, "18446744073709551615")));
    assert_true(u == UINT64_MAX);
    assert_ok(tidings_as_double(&d, value_of(&b, "0.1")));
    assert_true(d == 0.1);
    assert_ok(tidings_as_double(&d, value_of(&b, "<ca bf 40 00 00>")));
    assert_true(d == -0.75);
    assert_ok(tidings_as_double(&d, value_of(&b, "-7")));
    assert_true(d == -7.0);
    assert_ok(tidings_as_double(&d, value_of(&b, "18446744073709551615")));
    assert_true(d == 18446744073709551616.0);
    assert_ok(tidings_as_double(&d, value_of(&b, "<cb 7f f8 00*6>")));
    assert_true(isnan(d));
    assert_ok(tidings_as_string(&str, &len, value_of(&b, "\"text\"")));
    assert_int_equal(len, 4);
    assert_memory_equal(str, "text", 4);
    assert_ptr_equal(str, b.data + 1); /* borrowed */
    assert_ok(tidings_as_binary(&bin, &len, value_of(&b, "b(300)")));
    assert_int_equal(len, 300);
    assert_ptr_equal(bin, b.data + 3);
    td_buf_fini(&b);
}

static void test_value_results_are_written_only_on_success(void **state)
{
    struct td_buf b = {0};
    struct tidings_value v = value_of(&b, "nil");
    struct tidings_value out = {NULL, 77};
    const char *str = "s";
    const void *bin = "b";
    char text[4] = "abc";
    uint64_t u = 1;
    int64_t n = 2;
    double d = 3;
    size_t len = 4;
    bool flag = true;

    (void)state;
    assert_err(tidings_as_bool(&flag, v), TIDINGS_EINVAL);
    assert_err(tidings_as_int(&n, v), TIDINGS_EINVAL);
    assert_err(tidings_as_uint(&u, v), TIDINGS_EINVAL);
    assert_err(tidings_as_double(&d, v), TIDINGS_EINVAL);
    assert_err(tidings_as_string(&str, &len, v), TIDINGS_EINVAL);
    assert_err(tidings_as_binary(&bin, &len, v), TIDINGS_EINVAL);
    assert_err(tidings_get(&out, v, "k"), TIDINGS_ENOTFOUND);
    assert_err(tidings_at(&out, v, 0), TIDINGS_ENOTFOUND);
    assert_err(tidings_pair_at(&out, &out, v, 0), TIDINGS_ENOTFOUND);
    assert_err(tidings_get_string(text, sizeof(text), v, "k"),
               TIDINGS_ENOTFOUND);
    assert_true(flag && n == 2 && u == 1 && d == 3 && len == 4);
    assert_string_equal(str, "s");
    assert_memory_equal(bin, "b", 1);
    assert_int_equal(out.len, 77);
    assert_string_equal(text, "abc");
    td_buf_fini(&b);
}

static void test_value_count_is_of_containers(void **state)
{
    static const struct {
        const char *text;
        size_t count;
    } counts[] = {
        {"[]", 0},
        {"{}", 0},
        {"[1 [2 3]]", 2},
        {"{1 2 3 4}", 2},
        {"[nil*20]", 20},
        {"\"text\"", 0},
        {"'bin'", 0},
        {"5", 0},
        {"nil", 0},
        {"<d4 00 61>", 0},
        {"<dc 00 02 01 02>", 2},
    };
    struct td_buf b = {0};

    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(counts); i++)
        assert_row(counts[i].text, tidings_value_count(value_of(
                                       &b, counts[i].text)) == counts[i].count);
    td_buf_fini(&b);
}

static const struct {
    const char *map;
    const char *key;
    tidings_err err;
    int64_t value;
} gets[] = {
    {"{\"a\" 1 \"b\" 2}", "a", TIDINGS_OK, 1},
    {"{\"a\" 1 \"b\" 2}", "b", TIDINGS_OK, 2},
    {"{\"a\" 1 \"b\" 2}", "c", TIDINGS_ENOTFOUND, 0},
    {"{\"a\" 1 \"a\" 2}", "a", TIDINGS_OK, 1},
    {"{\"x\" {\"a\" 1} \"a\" 2}", "a", TIDINGS_OK, 2},
    {"{\"x\" [\"a\" 1 [[]]] \"a\" 2}", "a", TIDINGS_OK, 2},
    {"{[\"a\"] 1 'a' 2 nil 3 1.5 4 \"a\" 5}", "a", TIDINGS_OK, 5},
    {"{1 \"a\" 2 3}", "a", TIDINGS_ENOTFOUND, 0},
    {"{\"\" 1}", "", TIDINGS_OK, 1},
    {"{}", "a", TIDINGS_ENOTFOUND, 0},
    {"[\"a\" 1]", "a", TIDINGS_ENOTFOUND, 0},
    {"\"a\"", "a", TIDINGS_ENOTFOUND, 0},
    {"{\"a\" -1}", "a", TIDINGS_OK, -1},
    {"{\"a\" \"1\"}", "a", TIDINGS_EINVAL, 0},
    {"{\"a\" 1.0}", "a", TIDINGS_EINVAL, 0},
    {"{\"a\" 9223372036854775808}", "a", TIDINGS_EINVAL, 0},
    {"{\"a\" nil}", "a", TIDINGS_EINVAL, 0},
};

static void test_get_int_finds_the_first_of_a_key(void **state)
{
    struct td_buf b = {0};

    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(gets); i++) {
        int64_t n = 4242;

        assert_row(gets[i].map, tidings_get_int(&n, value_of(&b, gets[i].map),
                                                gets[i].key) == gets[i].err);
        assert_row(gets[i].map, n == (gets[i].err ? 4242 : gets[i].value));
    }
    td_buf_fini(&b);
}

static void test_get_uint_takes_the_whole_range(void **state)
{
    struct td_buf b = {0};
    struct tidings_value map =
        value_of(&b, "{\"top\" 18446744073709551615 \"neg\" -1}");
    uint64_t u;

    (void)state;
    assert_ok(tidings_get_uint(&u, map, "top"));
    assert_true(u == UINT64_MAX);
    assert_err(tidings_get_uint(&u, map, "neg"), TIDINGS_EINVAL);
    assert_err(tidings_get_uint(&u, map, "none"), TIDINGS_ENOTFOUND);
    td_buf_fini(&b);
}

static void test_get_string_copies_what_fits_whole(void **state)
{
    struct td_buf b = {0};
    struct tidings_value map =
        value_of(&b, "{\"s\" \"abc\" \"e\" \"\" \"n\" 1 \"b\" 'abc'}");
    char out[8];

    (void)state;
    for (size_t size = 0; size <= sizeof(out); size++) {
        memset(out, '#', sizeof(out));
        if (size >= 4) {
            assert_ok(tidings_get_string(out, size, map, "s"));
            assert_string_equal(out, "abc");
        } else {
            assert_err(tidings_get_string(out, size, map, "s"), TIDINGS_ELIMIT);
            assert_memory_equal(out, "########", 8);
        }
    }
    assert_ok(tidings_get_string(out, 1, map, "e"));
    assert_string_equal(out, "");
    assert_err(tidings_get_string(out, 8, map, "n"), TIDINGS_EINVAL);
    assert_err(tidings_get_string(out, 8, map, "b"), TIDINGS_EINVAL);
    assert_err(tidings_get_string(out, 8, map, "x"), TIDINGS_ENOTFOUND);
    td_buf_fini(&b);
}

static void test_at_and_pair_at_walk_a_container(void **state)
{
    struct td_buf b = {0};
    struct tidings_value v = value_of(&b, "[10 [1 2 {3 4}] \"x\" 40]");
    struct tidings_value key;
    struct tidings_value value;
    int64_t n;

    (void)state;
    assert_ok(tidings_at(&value, v, 0));
    assert_ok(tidings_as_int(&n, value));
    assert_int_equal(n, 10);
    assert_ok(tidings_at(&value, v, 1));
    assert_int_equal(tidings_value_count(value), 3);
    assert_ok(tidings_at(&value, v, 3));
    assert_ok(tidings_as_int(&n, value));
    assert_int_equal(n, 40);
    assert_err(tidings_at(&value, v, 4), TIDINGS_ENOTFOUND);
    assert_err(tidings_at(&value, v, SIZE_MAX), TIDINGS_ENOTFOUND);
    assert_err(tidings_pair_at(&key, &value, v, 0), TIDINGS_ENOTFOUND);

    v = value_of(&b, "{\"a\" {1 2} 7 8}");
    assert_ok(tidings_pair_at(&key, &value, v, 0));
    assert_int_equal(tidings_value_kind(key), TIDINGS_KIND_STRING);
    assert_int_equal(tidings_value_kind(value), TIDINGS_KIND_MAP);
    assert_ok(tidings_pair_at(&key, &value, v, 1));
    assert_ok(tidings_as_int(&n, key));
    assert_int_equal(n, 7);
    assert_ok(tidings_as_int(&n, value));
    assert_int_equal(n, 8);
    assert_err(tidings_pair_at(&key, &value, v, 2), TIDINGS_ENOTFOUND);
    assert_err(tidings_pair_at(&key, &value, v, SIZE_MAX), TIDINGS_ENOTFOUND);
    assert_err(tidings_at(&value, v, 0), TIDINGS_ENOTFOUND);
    td_buf_fini(&b);
}

/* Values are made by the calls of data.h alone; one that was cut by hand is
 * still not read past its end. */
static void test_at_finds_nothing_in_a_value_cut_short(void **state)
{
    struct td_buf b = {0};
    struct tidings_value v = value_of(&b, "[[1 2] \"abc\" {1 2}]");
    struct tidings_value out;

    (void)state;
    for (v.len--; v.len > 0; v.len--)
        assert_err(tidings_at(&out, v, 2), TIDINGS_ENOTFOUND);
    td_buf_fini(&b);
}

static void test_value_nowhere_to_put_it_is_an_error(void **state)
{
    struct td_buf b = {0};
    struct tidings_value v = value_of(&b, "{\"a\" 1}");
    struct tidings_value out;
    const char *str;
    const void *bin;

    (void)state;
    assert_err(tidings_get(NULL, v, "a"), TIDINGS_EINVAL);
    assert_err(tidings_get(&out, v, NULL), TIDINGS_EINVAL);
    assert_err(tidings_at(NULL, v, 0), TIDINGS_EINVAL);
    assert_err(tidings_pair_at(NULL, &out, v, 0), TIDINGS_EINVAL);
    assert_err(tidings_pair_at(&out, NULL, v, 0), TIDINGS_EINVAL);
    assert_err(tidings_as_bool(NULL, value_of(&b, "true")), TIDINGS_EINVAL);
    assert_err(tidings_as_int(NULL, value_of(&b, "1")), TIDINGS_EINVAL);
    assert_err(tidings_as_uint(NULL, value_of(&b, "1")), TIDINGS_EINVAL);
    assert_err(tidings_as_double(NULL, value_of(&b, "1.5")), TIDINGS_EINVAL);
    assert_err(tidings_as_string(&str, NULL, value_of(&b, "\"a\"")),
               TIDINGS_EINVAL);
    assert_err(tidings_as_binary(&bin, NULL, value_of(&b, "'a'")),
               TIDINGS_EINVAL);
    td_buf_fini(&b);
}

/* What a writer writes, the reader reads. */
static void test_writer_and_reader_agree(void **state)
{
    tidings_writer *w = tidings_writer_new();
    struct tidings_value map;
    const void *bytes;
    char name[16];
    int64_t age;
    size_t len;

    (void)state;
    tidings_put_map(w, 2);
    tidings_put_string(w, "user_id");
    tidings_put_string(w, "u1");
    tidings_put_string(w, "age");
    tidings_put_int(w, 42);
    assert_ok(tidings_writer_bytes(w, &bytes, &len));
    assert_ok(tidings_value_read(&map, bytes, len));
    assert_ok(tidings_get_string(name, sizeof(name), map, "user_id"));
    assert_string_equal(name, "u1");
    assert_ok(tidings_get_int(&age, map, "age"));
    assert_int_equal(age, 42);
    tidings_writer_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writer_puts_every_kind_in_its_shortest_form),
        cmocka_unit_test(test_writer_takes_empty_containers_and_texts),
        cmocka_unit_test(test_writer_reset_starts_anew),
        cmocka_unit_test(test_writer_goes_on_after_bytes),
        cmocka_unit_test(test_writer_bytes_are_one_complete_value),
        cmocka_unit_test(test_writer_refuses_counts_it_never_gets),
        cmocka_unit_test(test_writer_nests_at_most_32_deep),
        cmocka_unit_test(test_writer_holds_at_most_what_an_event_may),
        cmocka_unit_test(test_writer_null_is_allowed_and_out_of_memory),
        cmocka_unit_test(test_writer_tells_each_failing_allocation),
        cmocka_unit_test(test_value_read_takes_exactly_one_value),
        cmocka_unit_test(test_value_converts_to_its_own_kind_only),
        cmocka_unit_test(test_value_conversions_keep_the_value),
        cmocka_unit_test(test_value_results_are_written_only_on_success),
        cmocka_unit_test(test_value_count_is_of_containers),
        cmocka_unit_test(test_get_int_finds_the_first_of_a_key),
        cmocka_unit_test(test_get_uint_takes_the_whole_range),
        cmocka_unit_test(test_get_string_copies_what_fits_whole),
        cmocka_unit_test(test_at_and_pair_at_walk_a_container),
        cmocka_unit_test(test_at_finds_nothing_in_a_value_cut_short),
        cmocka_unit_test(test_value_nowhere_to_put_it_is_an_error),
        cmocka_unit_test(test_writer_and_reader_agree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
