/* Options of durable groups: what is read, what is refused and by which words,
 * packing there and back, and what a later member may not say. */
#include "tests/support/td_test.h"

#include <stdlib.h>

#include "proto/frame.h"
#include "proto/stream.h"
#include "tests/support/alloc.h"
#include "tests/support/mp.h"

#define G    "\"stream\" \"s\" \"group\" \"g\" "
#define TOP  "9223372036854775807"
#define OVER "9223372036854775808"
#define LOW  "-9223372036854775808"

static bool is(struct td_str s, const char *text)
{
    return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

static void test_durable_options_have_defaults(void **state)
{
    struct td_durable_options o;
    struct td_buf b = {0};
    unsigned given = 99;

    (void)state;
    td_mp(&b, "{\"stream\" \"s\"}");
    assert_null(td_durable_options_read(&o, td_mp_str(&b), &given));
    assert_int_equal(given, 0);
    assert_true(is(o.stream, "s"));
    assert_int_equal(o.group.len, 0);
    assert_true(is(o.pattern, ">"));
    assert_int_equal(o.start.kind, TD_START_NEW);
    assert_string_equal(td_durable_shares[o.share], "round_robin");
    assert_int_equal(o.max_in_flight, TD_IN_FLIGHT);
    assert_int_equal(o.ack_wait_ms, TD_ACK_WAIT_MS);
    assert_int_equal(o.max_deliver, TD_MAX_DELIVER);
    assert_int_equal(o.backoff_ms, TD_BACKOFF_MS);
    assert_int_equal(o.backoff_max_ms, TD_BACKOFF_MAX_MS);
    td_buf_fini(&b);
}

static void test_durable_options_land_in_their_members(void **state)
{
    struct td_durable_options o;
    struct td_buf b = {0};

    (void)state;
    td_mp(&b, "{\"backoff_max_ms\" 6 \"backoff_ms\" 5 \"max_deliver\" 4 "
              "\"ack_wait_ms\" 3 \"max_in_flight\" 2 \"group_policy\" \"key\" "
              "\"start_ms\" -7 \"start\" \"time\" \"pattern\" \"a.*\" "
              "\"group\" \"grp\" \"stream\" \"str\"}");
    assert_null(td_durable_options_read(&o, td_mp_str(&b), NULL));
    assert_true(is(o.stream, "str"));
    assert_true(is(o.group, "grp"));
    assert_true(is(o.pattern, "a.*"));
    assert_int_equal(o.start.kind, TD_START_TIME);
    assert_int_equal(o.start.time_ms, -7);
    assert_int_equal(o.share, 3);
    assert_int_equal(o.max_in_flight, 2);
    assert_int_equal(o.ack_wait_ms, 3);
    assert_int_equal(o.max_deliver, 4);
    assert_int_equal(o.backoff_ms, 5);
    assert_int_equal(o.backoff_max_ms, 6);
    td_buf_fini(&b);
}

/* word: stands in the text; NULL: read without one. */
static const struct {
    const char *text;
    const char *word;
    unsigned given;
} rows[] = {
    {"{" G "}", NULL, 0},
    {"{" G "\"pattern\" \"a.>\"}", NULL, TD_GIVEN_PATTERN},
    {"{" G "\"start\" \"new\"}", NULL, TD_GIVEN_START},
    {"{" G "\"start\" \"all\"}", NULL, TD_GIVEN_START},
    {"{" G "\"start\" \"last\"}", NULL, TD_GIVEN_START},
    {"{" G "\"start\" 1}", NULL, TD_GIVEN_START},
    {"{" G "\"start\" " TOP "}", NULL, TD_GIVEN_START},
    {"{" G "\"start\" \"time\" \"start_ms\" 0}", NULL, TD_GIVEN_START},
    {"{" G "\"start\" \"time\" \"start_ms\" " LOW "}", NULL, TD_GIVEN_START},
    {"{" G "\"start_ms\" " TOP " \"start\" \"time\"}", NULL, TD_GIVEN_START},
    {"{" G "\"group_policy\" \"round_robin\"}", NULL, TD_GIVEN_SHARE},
    {"{" G "\"group_policy\" \"random\"}", NULL, TD_GIVEN_SHARE},
    {"{" G "\"group_policy\" \"least_pending\"}", NULL, TD_GIVEN_SHARE},
    {"{" G "\"group_policy\" \"key\"}", NULL, TD_GIVEN_SHARE},
    {"{" G "\"group_policy\" \"single\"}", NULL, TD_GIVEN_SHARE},
    {"{" G "\"max_in_flight\" 1}", NULL, TD_GIVEN_MAX_IN_FLIGHT},
    {"{" G "\"max_in_flight\" 1048576}", NULL, TD_GIVEN_MAX_IN_FLIGHT},
    {"{" G "\"ack_wait_ms\" 1}", NULL, TD_GIVEN_ACK_WAIT},
    {"{" G "\"ack_wait_ms\" 86400000}", NULL, TD_GIVEN_ACK_WAIT},
    {"{" G "\"max_deliver\" 1}", NULL, TD_GIVEN_MAX_DELIVER},
    {"{" G "\"max_deliver\" 250}", NULL, TD_GIVEN_MAX_DELIVER},
    {"{" G "\"backoff_ms\" 0 \"backoff_max_ms\" 0}", NULL,
     TD_GIVEN_BACKOFF | TD_GIVEN_BACKOFF_MAX},
    {"{" G "\"backoff_ms\" 86400000}", NULL, TD_GIVEN_BACKOFF},
    {"{" G "\"backoff_max_ms\" 86400000}", NULL, TD_GIVEN_BACKOFF_MAX},
    /* what SUBSCRIBE has besides */
    {"{" G "\"events\" 9 \"bytes\" \"x\" \"queue_events\" nil 7 [1] 'b' {}}",
     NULL, 0},
    {"{\"policy\" \"block\" " G "\"later\" {\"a\" [1]}}", NULL, 0},

    {"{}", "stream", 0},
    {"nil", "stream", 0},
    {"", "stream", 0},
    {"{\"group\" \"g\"}", "stream", 0},
    {"{\"stream\" \"\"}", "stream", 0},
    {"{\"stream\" s(65)}", "stream", 0},
    {"{\"stream\" 's'}", "stream", 0},
    {"{\"stream\" nil}", "stream", 0},
    {"{\"stream\" \"a b\"}", "stream", 0},
    {"{\"stream\" \"s\" \"group\" \"\"}", "group", 0},
    {"{\"stream\" \"s\" \"group\" s(65)}", "group", 0},
    {"{\"stream\" \"s\" \"group\" nil}", "group", 0},
    {"{\"stream\" \"s\" \"group\" 'g'}", "group", 0},
    {"{\"stream\" \"s\" \"group\" \"g/h\"}", "group", 0},
    {"{" G "\"pattern\" \"\"}", "pattern", 0},
    {"{" G "\"pattern\" \"a..b\"}", "pattern", 0},
    {"{" G "\"pattern\" 'a'}", "pattern", 0},
    {"{" G "\"pattern\" nil}", "pattern", 0},
    {"{" G "\"start\" 0}", "start", 0},
    {"{" G "\"start\" -1}", "start", 0},
    {"{" G "\"start\" 1.0}", "start", 0},
    {"{" G "\"start\" " OVER "}", "start", 0},
    {"{" G "\"start\" \"\"}", "start", 0},
    {"{" G "\"start\" \"old\"}", "start", 0},
    {"{" G "\"start\" \"last\" \"start_ms\" 1}", "start_ms", 0},
    {"{" G "\"start\" \"1\"}", "start", 0},
    {"{" G "\"start\" 'all'}", "start", 0},
    {"{" G "\"start\" nil}", "start", 0},
    {"{" G "\"start\" []}", "start", 0},
    {"{" G "\"start\" \"time\"}", "start_ms", 0},
    {"{" G "\"start\" \"time\" \"start_ms\" 1.5}", "start_ms", 0},
    {"{" G "\"start\" \"time\" \"start_ms\" \"1\"}", "start_ms", 0},
    {"{" G "\"start\" \"time\" \"start_ms\" " OVER "}", "start_ms", 0},
    {"{" G "\"start\" \"all\" \"start_ms\" 5}", "start_ms", 0},
    {"{" G "\"start\" 5 \"start_ms\" 5}", "start_ms", 0},
    {"{" G "\"start_ms\" 5}", "start", 0},
    {"{" G "\"group_policy\" \"\"}", "group_policy", 0},
    {"{" G "\"group_policy\" \"keys\"}", "group_policy", 0},
    {"{" G "\"group_policy\" 3}", "group_policy", 0},
    {"{" G "\"max_in_flight\" 0}", "max_in_flight is 1 to 1048576", 0},
    {"{" G "\"max_in_flight\" 1048577}", "max_in_flight", 0},
    {"{" G "\"max_in_flight\" 4294967297}", "max_in_flight", 0},
    {"{" G "\"max_in_flight\" -1}", "max_in_flight", 0},
    {"{" G "\"max_in_flight\" nil}", "max_in_flight", 0},
    {"{" G "\"ack_wait_ms\" 0}", "ack_wait_ms is 1 to 86400000", 0},
    {"{" G "\"ack_wait_ms\" 86400001}", "ack_wait_ms", 0},
    {"{" G "\"ack_wait_ms\" \"30s\"}", "ack_wait_ms", 0},
    {"{" G "\"max_deliver\" 0}", "max_deliver is 1 to 250", 0},
    {"{" G "\"max_deliver\" 251}", "max_deliver", 0},
    {"{" G "\"max_deliver\" " TOP "}", "max_deliver", 0},
    {"{" G "\"backoff_ms\" -1}", "backoff_ms is 0 to 86400000", 0},
    {"{" G "\"backoff_ms\" 86400001}", "backoff_ms", 0},
    {"{" G "\"backoff_max_ms\" 86400001}", "backoff_max_ms is 0 to 86400000",
     0},
    {"{" G "\"backoff_max_ms\" true}", "backoff_max_ms", 0},
    {"{" G "\"backoff_ms\" 9 \"backoff_max_ms\" 8}", "backoff_max_ms", 0},
};

static void test_durable_options_are_checked(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct td_durable_options o;
        struct td_buf b = {0};
        unsigned given;
        const char *why;

        td_mp(&b, rows[i].text);
        why = td_durable_options_read(&o, td_mp_str(&b), &given);
        assert_row(rows[i].text, !why == !rows[i].word);
        if (why)
            assert_row(rows[i].text, strstr(why, rows[i].word));
        else
            assert_row(rows[i].text, given == rows[i].given);
        td_buf_fini(&b);
    }
}

/* One of the two given alone may lie beyond the other's default. */
static void test_durable_backoff_moves_the_others_default(void **state)
{
    struct td_durable_options o;
    struct td_buf b = {0};

    (void)state;
    td_mp(&b, "{" G "\"backoff_ms\" 70000}");
    assert_null(td_durable_options_read(&o, td_mp_str(&b), NULL));
    assert_int_equal(o.backoff_ms, 70000);
    assert_int_equal(o.backoff_max_ms, 70000);

    td_buf_reset(&b);
    td_mp(&b, "{" G "\"backoff_max_ms\" 50}");
    assert_null(td_durable_options_read(&o, td_mp_str(&b), NULL));
    assert_int_equal(o.backoff_ms, 50);
    assert_int_equal(o.backoff_max_ms, 50);
    td_buf_fini(&b);
}

static bool same(const struct td_durable_options *a,
                 const struct td_durable_options *b)
{
    return !td_durable_options_differ(a, b, ~0u) && a->stream.len &&
           a->stream.len == b->stream.len &&
           memcmp(a->stream.data, b->stream.data, a->stream.len) == 0 &&
           a->group.len == b->group.len &&
           memcmp(a->group.data, b->group.data, a->group.len) == 0 &&
           a->start.kind == b->start.kind &&
           a->start.sequence == b->start.sequence &&
           a->start.time_ms == b->start.time_ms;
}

static void test_durable_options_there_and_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(rows) && !rows[i].word; i++) {
        struct td_durable_options o;
        struct td_durable_options again;
        struct td_buf in = {0};
        struct td_buf out = {0};

        td_mp(&in, rows[i].text);
        assert_null(td_durable_options_read(&o, td_mp_str(&in), NULL));
        td_durable_options_pack(&out, &o);
        assert_row(rows[i].text, td_scan(out.data, out.len, &td_scan_control));
        assert_row(rows[i].text,
                   !td_durable_options_read(&again, td_mp_str(&out), NULL));
        assert_row(rows[i].text, same(&o, &again));
        td_buf_fini(&in);
        td_buf_fini(&out);
    }
}

/* The pairs alone make a map behind a head of their number. */
static void test_durable_options_rows_are_as_many_as_they_say(void **state)
{
    static const char *const starts[] = {
        "{" G "\"start\" \"all\"}",
        "{" G "\"start\" 12}",
        "{" G "\"start\" \"time\" \"start_ms\" 5}",
    };

    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(starts); i++) {
        struct td_durable_options o;
        struct td_buf in = {0};
        struct td_buf out = {0};
        uint8_t head;

        td_mp(&in, starts[i]);
        assert_null(td_durable_options_read(&o, td_mp_str(&in), NULL));
        head = (uint8_t)(0x80 | td_durable_options_len(&o));
        td_buf_append(&out, &head, 1);
        td_durable_options_rows(&out, &o);
        assert_row(starts[i], td_scan(out.data, out.len, &td_scan_control));
        td_buf_fini(&in);
        td_buf_fini(&out);
    }
}

/* ---- later members ---- */

static void test_durable_options_differ_in_what_is_given(void **state)
{
    static const struct {
        const char *text;
        const char *word; /* NULL: no difference */
    } wishes[] = {
        {"{" G "}", NULL},
        {"{" G "\"start\" \"all\"}", NULL},
        {"{" G "\"pattern\" \"a.*\"}", NULL},
        {"{" G "\"pattern\" \"a.>\"}", "pattern"},
        {"{" G "\"pattern\" \">\"}", "pattern"},
        {"{" G "\"group_policy\" \"key\"}", NULL},
        {"{" G "\"group_policy\" \"round_robin\"}", "group_policy"},
        {"{" G "\"max_in_flight\" 2}", NULL},
        {"{" G "\"max_in_flight\" 65536}", "max_in_flight"},
        {"{" G "\"ack_wait_ms\" 3}", NULL},
        {"{" G "\"ack_wait_ms\" 30000}", "ack_wait_ms"},
        {"{" G "\"max_deliver\" 4}", NULL},
        {"{" G "\"max_deliver\" 10}", "max_deliver"},
        {"{" G "\"backoff_ms\" 5}", NULL},
        {"{" G "\"backoff_ms\" 4}", "backoff_ms"},
        {"{" G "\"backoff_max_ms\" 6}", NULL},
        {"{" G "\"backoff_max_ms\" 7}", "backoff_max_ms"},
    };
    struct td_durable_options there;
    struct td_buf b = {0};

    (void)state;
    td_mp(&b, "{" G "\"pattern\" \"a.*\" \"group_policy\" \"key\" "
              "\"max_in_flight\" 2 \"ack_wait_ms\" 3 \"max_deliver\" 4 "
              "\"backoff_ms\" 5 \"backoff_max_ms\" 6}");
    assert_null(td_durable_options_read(&there, td_mp_str(&b), NULL));
    for (size_t i = 0; i < TD_ARRAY_LEN(wishes); i++) {
        struct td_durable_options wish;
        struct td_buf in = {0};
        unsigned given;
        const char *why;

        td_mp(&in, wishes[i].text);
        assert_null(td_durable_options_read(&wish, td_mp_str(&in), &given));
        why = td_durable_options_differ(&there, &wish, given);
        assert_row(wishes[i].text, !why == !wishes[i].word);
        if (why) /* begins with it: backoff_ms is part of no other */
            assert_row(wishes[i].text, strncmp(why, wishes[i].word,
                                               strlen(wishes[i].word)) == 0 &&
                                           why[strlen(wishes[i].word)] == ' ');
        td_buf_fini(&in);
    }
    td_buf_fini(&b);
}

static void test_start_of_a_seek_is_required(void **state)
{
    struct td_start start;
    struct td_buf b = {0};

    (void)state;
    assert_non_null(td_start_read(&start, td_empty_map));
    td_mp(&b, "{" G "\"start\" 42}");
    assert_null(td_start_read(&start, td_mp_str(&b)));
    assert_int_equal(start.kind, TD_START_SEQUENCE);
    assert_int_equal(start.sequence, 42);
    td_buf_fini(&b);
}

static tidings_err pack(void *arg)
{
    struct td_buf b = {0};
    tidings_err err;

    td_durable_options_pack(&b, arg);
    err = b.failed ? TIDINGS_ENOMEM : TIDINGS_OK;
    td_buf_fini(&b);
    return err;
}

static void test_durable_options_pack_tells_failing_allocations(void **state)
{
    static char pattern[TD_TYPE_BYTES_MAX];
    struct td_durable_options o = {.stream = td_str_of("s"),
                                   .group = td_str_of("g"),
                                   .pattern = {pattern, sizeof(pattern)},
                                   .start = {.kind = TD_START_TIME}};

    (void)state;
    memset(pattern, 'a', sizeof(pattern));
    assert_true(td_alloc_each(pack, &o) >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_durable_options_have_defaults),
        cmocka_unit_test(test_durable_options_land_in_their_members),
        cmocka_unit_test(test_durable_options_are_checked),
        cmocka_unit_test(test_durable_backoff_moves_the_others_default),
        cmocka_unit_test(test_durable_options_there_and_back),
        cmocka_unit_test(test_durable_options_rows_are_as_many_as_they_say),
        cmocka_unit_test(test_durable_options_differ_in_what_is_given),
        cmocka_unit_test(test_start_of_a_seek_is_required),
        cmocka_unit_test(test_durable_options_pack_tells_failing_allocations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
