/* Options of streams: what is read, what is refused and by which words, and
 * packing there and back. */
#include "tests/support/td_test.h"

#include <stdlib.h>

#include "proto/frame.h"
#include "proto/stream.h"
#include "tests/support/alloc.h"
#include "tests/support/mp.h"

#define S    "\"name\" \"s\" "
#define P    "\"patterns\" [\"a.>\"] "
#define TOP  "9223372036854775807"
#define OVER "9223372036854775808"

static bool is(struct td_str s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

static void test_stream_options_have_defaults(void **state)
{
    struct td_stream_options o;
    struct td_buf b = {0};

    (void)state;
    td_mp(&b, "{" S P "}");
    assert_null(td_stream_options_read(&o, td_mp_str(&b)));
    assert_true(is(o.name, "s"));
    assert_int_equal(o.patterns_len, 1);
    assert_true(is(o.patterns[0], "a.>"));
    assert_int_equal(o.max_age_ms, 0);
    assert_int_equal(o.max_bytes, 0);
    assert_int_equal(o.max_events, 0);
    assert_int_equal(o.dedup_ms, TD_DEDUP_MS);
    assert_int_equal(o.dedup_events, TD_DEDUP_EVENTS);
    assert_int_equal(o.on_full, TD_DISCARD_OLD);
    assert_int_equal(o.storage, TD_ON_DISK);
    assert_false(o.keyed);
    td_buf_fini(&b);
}

static void test_stream_options_land_in_their_members(void **state)
{
    struct td_stream_options o;
    struct td_buf b = {0};

    (void)state;
    td_mp(&b,
          "{\"keyed\" true \"storage\" \"memory\" \"on_full\" \"reject\" "
          "\"max_events\" 3 "
          "\"max_bytes\" 2 \"max_age_ms\" 1 \"dedup_events\" 5 \"dedup_ms\" 4 "
          "\"patterns\" [\"a\" \"b.*\" \"c.>\"] \"name\" \"A-z_0.9\"}");
    assert_null(td_stream_options_read(&o, td_mp_str(&b)));
    assert_true(is(o.name, "A-z_0.9"));
    assert_int_equal(o.patterns_len, 3);
    assert_true(is(o.patterns[0], "a"));
    assert_true(is(o.patterns[1], "b.*"));
    assert_true(is(o.patterns[2], "c.>"));
    assert_int_equal(o.max_age_ms, 1);
    assert_int_equal(o.max_bytes, 2);
    assert_int_equal(o.max_events, 3);
    assert_int_equal(o.dedup_ms, 4);
    assert_int_equal(o.dedup_events, 5);
    assert_int_equal(o.on_full, TD_REJECT);
    assert_int_equal(o.storage, TD_IN_MEMORY);
    assert_true(o.keyed);
    td_buf_fini(&b);
}

#define SIXTEEN                                                                \
    "\"a\" \"b\" \"c\" \"d\" \"e\" \"f\" \"g\" \"h\" \"i\" \"j\" \"k\" \"l\" " \
    "\"m\" \"n\" \"o\" \"p\""

/* word: stands in the text; NULL: read without one. */
static const struct {
    const char *text;
    const char *word;
} rows[] = {
    {"{" S P "}", NULL},
    {"{" P "\"name\" s(64)}", NULL},
    {"{" S "\"patterns\" [" SIXTEEN "]}", NULL},
    {"{" S "\"patterns\" [\">\"]}", NULL},
    {"{" S "\"patterns\" [\"a.*\" \"a\" \"a.*.b\"]}", NULL},
    {"{\"name\" \"events\"}", NULL},
    {"{" S P "\"max_age_ms\" " TOP "}", NULL},
    {"{" S P "\"max_bytes\" " TOP " \"max_events\" " TOP "}", NULL},
    {"{" S P "\"dedup_ms\" 0 \"dedup_events\" 1048576}", NULL},
    {"{" S P "\"dedup_ms\" " TOP " \"dedup_events\" 0}", NULL},
    {"{" S P "\"on_full\" \"discard_old\" \"storage\" \"disk\"}", NULL},
    {"{" S P "\"keyed\" false}", NULL},
    {"{" S P "\"keyed\" true \"compact\" true \"tombstone_ms\" 0}", NULL},

    {"{}", "name"},
    {"nil", "map"},
    {"[]", "map"},
    {"7", "map"},
    {"\"name\"", "map"},
    {"", "map"},

    {"{" P "}", "name"},
    {"{" P "\"name\" \"\"}", "name"},
    {"{" P "\"name\" s(65)}", "name"},
    {"{" P "\"name\" 's'}", "name"},
    {"{" P "\"name\" 7}", "name"},
    {"{" P "\"name\" nil}", "name"},
    {"{" P "\"name\" \"a b\"}", "name"},
    {"{" P "\"name\" \"a/b\"}", "name"},
    {"{" P "\"name\" \"$a\"}", "name"},
    {"{" P "\"name\" \"a>\"}", "name"},

    {"{" S "}", "patterns"},
    {"{" S "\"patterns\" []}", "patterns"},
    {"{" S "\"patterns\" nil}", "patterns"},
    {"{" S "\"patterns\" {}}", "patterns"},
    {"{" S "\"patterns\" \"a.>\"}", "patterns"},
    {"{" S "\"patterns\" [7]}", "patterns"},
    {"{" S "\"patterns\" ['a']}", "patterns"},
    {"{" S "\"patterns\" [\"a\" [\"b\"]]}", "patterns"},
    {"{" S "\"patterns\" [\"\"]}", "not valid"},
    {"{" S "\"patterns\" [\"a..b\"]}", "not valid"},
    {"{" S "\"patterns\" [\"a.>.b\"]}", "not valid"},
    {"{" S "\"patterns\" [s(256)]}", "not valid"},
    {"{" S "\"patterns\" [\"$sys.up\"]}", "$"},
    {"{" S "\"patterns\" [\"a\" \"$>\"]}", "not valid"},
    {"{" S "\"patterns\" [\"a\" \"$.>\"]}", "$"},
    {"{" S "\"patterns\" [\"a\" \"a\"]}", "two"},
    {"{" S "\"patterns\" [\"b\" \"a.*\" \"*.b\"]}", "two"},
    {"{" S "\"patterns\" [\">\" \"b\"]}", "two"},
    {"{" S "\"patterns\" [" SIXTEEN " \"q\"]}", "16"},
    {"{" S "\"patterns\" [" SIXTEEN " 1*1000]}", "16"},

    {"{" S P "\"max_age_ms\" -1}", "max_age_ms"},
    {"{" S P "\"max_age_ms\" nil}", "max_age_ms"},
    {"{" S P "\"max_age_ms\" \"1h\"}", "max_age_ms"},
    {"{" S P "\"max_age_ms\" " OVER "}", "max_age_ms"},
    {"{" S P "\"max_bytes\" 1.0}", "max_bytes"},
    {"{" S P "\"max_bytes\" " OVER "}", "max_bytes"},
    {"{" S P "\"max_events\" true}", "max_events"},
    {"{" S P "\"max_events\" " OVER "}", "max_events"},
    {"{" S P "\"dedup_ms\" -1}", "dedup_ms"},
    {"{" S P "\"dedup_ms\" " OVER "}", "dedup_ms"},
    {"{" S P "\"dedup_events\" 1048577}", "dedup_events is 0, for off, to"},
    {"{" S P "\"dedup_events\" nil}", "dedup_events"},
    {"{" S P "\"on_full\" \"drop\"}", "on_full"},
    {"{" S P "\"on_full\" \"\"}", "on_full"},
    {"{" S P "\"on_full\" \"rejec\"}", "on_full"},
    {"{" S P "\"on_full\" \"rejects\"}", "on_full"},
    {"{" S P "\"on_full\" 1}", "on_full"},
    {"{" S P "\"storage\" \"file\"}", "storage"},
    {"{" S P "\"storage\" 'disk'}", "storage"},
    {"{" S P "\"storage\" nil}", "storage"},
    {"{" S P "\"keyed\" 1}", "keyed"},
    {"{" S P "\"compact\" true}", "compact"},
    {"{" S P "\"compact\" 1 \"keyed\" true}", "compact"},
    {"{" S P "\"tombstone_ms\" 3153600000001}", "tombstone_ms"},
    {"{" S P "\"tombstone_ms\" nil}", "tombstone_ms"},
    {"{" S P "\"keyed\" \"true\"}", "keyed"},

    {"{" S P "\"max_age\" 1}", "unknown option of a stream"},
    {"{" S P "\"\" 1}", "unknown option of a stream"},
    {"{" S P "\"Name\" 1}", "unknown option of a stream"},
    {"{" S P "7 1}", "unknown option of a stream"},
    {"{" S P "'storage' \"disk\"}", "unknown option of a stream"},
    {"{nil nil " S P "}", "unknown option of a stream"},
};

static void test_stream_options_are_checked(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct td_stream_options o;
        struct td_buf b = {0};
        const char *why;

        td_mp(&b, rows[i].text);
        why = td_stream_options_read(&o, td_mp_str(&b));
        assert_row(rows[i].text, !why == !rows[i].word);
        if (why)
            assert_row(rows[i].text, strstr(why, rows[i].word));
        td_buf_fini(&b);
    }
}

/* Options that did not come as a map. */
static void test_stream_options_check_alone(void **state)
{
    struct td_stream_options good = {0};
    struct td_stream_options o;

    (void)state;
    good.name = td_str_of("s");
    good.patterns[0] = td_str_of("a");
    good.patterns_len = 1;
    assert_null(td_stream_options_check(&good));

    o = good;
    o.name.len = 0;
    assert_non_null(strstr(td_stream_options_check(&o), "name"));
    o = good;
    o.patterns_len = 0;
    assert_non_null(strstr(td_stream_options_check(&o), "patterns"));
    o = good;
    o.patterns_len = TD_STREAM_PATTERNS_MAX + 1;
    assert_non_null(strstr(td_stream_options_check(&o), "patterns"));
    o = good;
    o.max_age_ms = UINT64_MAX;
    assert_non_null(strstr(td_stream_options_check(&o), "max_age_ms"));
    o = good;
    o.max_bytes = (uint64_t)INT64_MAX + 1;
    assert_non_null(strstr(td_stream_options_check(&o), "max_bytes"));
    o = good;
    o.max_events = UINT64_MAX;
    assert_non_null(strstr(td_stream_options_check(&o), "max_events"));
    o = good;
    o.dedup_ms = UINT64_MAX;
    assert_non_null(strstr(td_stream_options_check(&o), "dedup_ms"));
    o = good;
    o.dedup_events = TD_DEDUP_EVENTS_MAX + 1;
    assert_non_null(strstr(td_stream_options_check(&o), "dedup_events"));
    o = good;
    o.on_full = TD_ON_FULLS;
    assert_non_null(strstr(td_stream_options_check(&o), "on_full"));
    o = good;
    o.storage = (enum td_storage) - 1;
    assert_non_null(strstr(td_stream_options_check(&o), "storage"));
}

/* What is left out stays, and what is refused is known by its text alone. */
static void test_stream_options_change(void **state)
{
    struct td_stream_options o;
    struct td_buf was = {0}, map = {0};

    (void)state;
    td_mp(&was,
          "{" S P "\"max_events\" 7 \"on_full\" \"reject\" \"dedup_ms\" 0 "
          "\"keyed\" true \"tombstone_ms\" 9}");
    assert_null(td_stream_options_read(&o, td_mp_str(&was)));
    td_mp(&map, "{" S "\"max_bytes\" 8 \"max_events\" 0}");
    assert_null(td_stream_options_change(&o, td_mp_str(&map)));
    assert_int_equal(o.max_bytes, 8);
    assert_int_equal(o.max_events, 0);
    assert_int_equal(o.on_full, TD_REJECT);
    assert_int_equal(o.dedup_ms, 0);
    assert_int_equal(o.dedup_events, TD_DEDUP_EVENTS);
    assert_int_equal(o.tombstone_ms, 9);
    assert_int_equal(o.patterns_len, 1);
    assert_true(o.keyed);
    td_buf_fini(&map);
    td_mp(&map, "{" S "\"max_ages_ms\" 8}");
    assert_non_null(
        strstr(td_stream_options_change(&o, td_mp_str(&map)), "unknown"));
    td_buf_fini(&map);
    td_buf_fini(&was);
}

/* The default stream takes what no other takes, whoever declares it. */
static void test_stream_options_of_the_default_one(void **state)
{
    struct td_stream_options o = {.patterns = {td_str_of("a"), td_str_of("b")},
                                  .patterns_len = 2};

    (void)state;
    o.name = td_str_of("event");
    assert_null(td_stream_default_check(&o));
    o.name = td_str_of("events");
    assert_non_null(strstr(td_stream_default_check(&o), "patterns"));
    o.patterns_len = 1;
    assert_non_null(strstr(td_stream_default_check(&o), "patterns"));
    o.patterns[0] = td_str_of(">");
    assert_null(td_stream_default_check(&o));
}

static void test_stream_options_there_and_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(rows) && !rows[i].word; i++) {
        struct td_stream_options o;
        struct td_stream_options again;
        struct td_buf in = {0};
        struct td_buf out = {0};

        td_mp(&in, rows[i].text);
        assert_null(td_stream_options_read(&o, td_mp_str(&in)));
        td_stream_options_pack(&out, &o);
        assert_row(rows[i].text, td_scan(out.data, out.len, &td_scan_control));
        assert_row(rows[i].text,
                   !td_stream_options_read(&again, td_mp_str(&out)));
        assert_row(rows[i].text, td_stream_options_equal(&o, &again));
        td_buf_fini(&in);
        td_buf_fini(&out);
    }
}

/* The pairs alone make a map behind a head of their number. */
static void test_stream_options_rows_are_as_many_as_they_say(void **state)
{
    struct td_stream_options o;
    struct td_stream_options again;
    struct td_buf in = {0};
    struct td_buf out = {0};
    uint8_t head = 0x80 | TD_STREAM_OPTIONS_ROWS;

    (void)state;
    td_mp(&in, "{" S P "\"storage\" \"memory\" \"keyed\" true}");
    assert_null(td_stream_options_read(&o, td_mp_str(&in)));
    td_buf_append(&out, &head, 1);
    td_stream_options_rows(&out, &o);
    assert_true(td_scan(out.data, out.len, &td_scan_control));
    assert_null(td_stream_options_read(&again, td_mp_str(&out)));
    assert_true(td_stream_options_equal(&o, &again));
    td_buf_fini(&in);
    td_buf_fini(&out);
}

static void test_stream_options_equal_looks_at_each(void **state)
{
    static const char *const others[] = {
        "{\"name\" \"t\" \"patterns\" [\"a\" \"b\"]}",
        "{" S "\"patterns\" [\"b\" \"a\"]}",
        "{" S "\"patterns\" [\"a\" \"c\"]}",
        "{" S "\"patterns\" [\"a\"]}",
        "{" S "\"patterns\" [\"a\" \"b\" \"c\"]}",
        "{" S "\"patterns\" [\"a\" \"b\"] \"max_age_ms\" 1}",
        "{" S "\"patterns\" [\"a\" \"b\"] \"max_bytes\" 1}",
        "{" S "\"patterns\" [\"a\" \"b\"] \"max_events\" 1}",
        "{" S "\"patterns\" [\"a\" \"b\"] \"dedup_ms\" 1}",
        "{" S "\"patterns\" [\"a\" \"b\"] \"dedup_events\" 1}",
        "{" S "\"patterns\" [\"a\" \"b\"] \"on_full\" \"reject\"}",
        "{" S "\"patterns\" [\"a\" \"b\"] \"storage\" \"memory\"}",
        "{" S "\"patterns\" [\"a\" \"b\"] \"keyed\" true}",
        "{" S "\"patterns\" [\"a\" \"b\"] \"keyed\" true \"compact\" true}",
        "{" S "\"patterns\" [\"a\" \"b\"] \"tombstone_ms\" 1}",
    };
    struct td_stream_options o;
    struct td_buf b = {0};

    (void)state;
    td_mp(&b, "{" S "\"patterns\" [\"a\" \"b\"]}");
    assert_null(td_stream_options_read(&o, td_mp_str(&b)));
    assert_true(td_stream_options_equal(&o, &o));
    for (size_t i = 0; i < TD_ARRAY_LEN(others); i++) {
        struct td_stream_options other;
        struct td_buf with = {0};

        td_mp(&with, others[i]);
        assert_null(td_stream_options_read(&other, td_mp_str(&with)));
        assert_row(others[i], !td_stream_options_equal(&o, &other));
        assert_row(others[i], !td_stream_options_equal(&other, &o));
        td_buf_fini(&with);
    }
    td_buf_fini(&b);
}

static tidings_err pack(void *arg)
{
    struct td_buf b = {0};
    tidings_err err;

    td_stream_options_pack(&b, arg);
    err = b.failed ? TIDINGS_ENOMEM : TIDINGS_OK;
    td_buf_fini(&b);
    return err;
}

static void test_stream_options_pack_tells_failing_allocations(void **state)
{
    static char pattern[TD_TYPE_BYTES_MAX];
    struct td_stream_options o = {.name = td_str_of("s"), .patterns_len = 16};

    (void)state;
    memset(pattern, 'a', sizeof(pattern));
    for (uint32_t i = 0; i < o.patterns_len; i++) {
        o.patterns[i].data = pattern;
        o.patterns[i].len = sizeof(pattern) - i;
    }
    assert_true(td_alloc_each(pack, &o) >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stream_options_have_defaults),
        cmocka_unit_test(test_stream_options_land_in_their_members),
        cmocka_unit_test(test_stream_options_are_checked),
        cmocka_unit_test(test_stream_options_check_alone),
        cmocka_unit_test(test_stream_options_change),
        cmocka_unit_test(test_stream_options_of_the_default_one),
        cmocka_unit_test(test_stream_options_there_and_back),
        cmocka_unit_test(test_stream_options_rows_are_as_many_as_they_say),
        cmocka_unit_test(test_stream_options_equal_looks_at_each),
        cmocka_unit_test(test_stream_options_pack_tells_failing_allocations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
