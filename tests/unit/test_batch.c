/* Batches: run tables against bodies, and the hostile shapes of FAULTS W15, W17,
 * W22 and W26. Their events: test_batch_event.c. */
#include "tests/support/td_test.h"

#include <stdlib.h>

#include "proto/batch.h"
#include "proto/frame.h"
#include "tests/support/alloc.h"
#include "tests/support/mp.h"

/* An event of 6 bytes: dt 0, data "x"; and an empty bin: enough for whoever
 * only hops over prefixes. */
#define E6  "<c4 05 92 00 c4 01 78>"
#define HOP "<c4 00>"
#define TOP "9223372036854775807"

static struct td_batches batches; /* big; every decode fills it anew */

static tidings_err decode(const struct td_buf *table, const struct td_buf *body,
                          const char **why)
{
    return td_batches_decode(&batches, td_mp_str(table), body->data, body->len,
                             why);
}

static tidings_err decode_text(const char *table, const char *body)
{
    struct td_buf t = {0};
    struct td_buf b = {0};
    const char *why = NULL;
    tidings_err err;

    td_mp(&t, table);
    assert_true(td_buf_reserve(&b, 1));
    td_mp(&b, body);
    err = decode(&t, &b, &why);
    assert_row(table, err == TIDINGS_OK || (why && strlen(why) > 0));
    td_buf_fini(&t);
    td_buf_fini(&b);
    return err;
}

/* A table of one batch with these runs. */
#define RUNS(runs) "[[b(16) \"/s\" 0 [" runs "]]]"

static const struct {
    const char *table;
    const char *body;
} good[] = {
    {RUNS("[\"a\" 1 7 1 0]"), E6},
    {RUNS("[\"a\" 2 14 1 15]"), E6 "*2"},
    {RUNS("[\"a\" 1 7 1 0] [\"b\" 2 14 2 0]"), E6 "*3"},
    {RUNS("[\"a\" 1 7 1 0] [\"a\" 1 7 2 1]"), E6 "*2"},
    {RUNS("[\"a\" 1 7 1 0] [\"a\" 1 7 5 0]"), E6 "*2"}, /* gap */
    {RUNS("[\"a\" 1 2 1 0]"), HOP},
    {RUNS("[\"$sys.up\" 1 2 1 0]"), HOP}, /* the engine's to refuse */
    {RUNS("[\"a\" 1 2 9223372036854775806 0]"), HOP},
    {RUNS("[\"a\" 7 14 9223372036854775800 0]"), HOP "*7"},
    {RUNS("[\"a\" 1 3 1 0]"), "<c5 00 00>"}, /* not the shortest prefix */
    {RUNS("[\"a\" 1 5 1 0]"), "<c6 00 00 00 00>"},
    {RUNS("[\"a\" 3 10 1 0]"), "<c4 00 c6 00*4 c5 00 00>"},
    {RUNS("[\"a\" 1 257 1 0]"), "b(255)"},
    {RUNS("[\"a\" 1 259 1 0]"), "b(256)"},
    {RUNS("[\"a\" 1 65538 1 0]"), "b(65535)"},
    {RUNS("[\"a\" 1 65541 1 0]"), "b(65536)"},
    {RUNS("[s(255) 1 2 1 0]"), HOP},
    {"[[b(16) s(1023) 0 [[\"a\" 1 2 1 0]]]]", HOP},
    {"[[b(16) \"x\" -9223372036854775808 [[\"a\" 1 2 1 0]]]]", HOP},
    {"[[b(16) \"x\" " TOP " [[\"a\" 1 2 1 0]]]]", HOP},
    {"[[b(16) \"x\" 0 [[\"a\" 1 2 9 0]]] [b(16) \"x\" 0 [[\"a\" 1 2 1 0]]]]",
     HOP "*2"},
    {"[[b(16) \"x\" 0 [[\"a\" 1 2 1 0]]]*64]", HOP "*64"},
    {RUNS("[\"a\" 65536 131072 1 0]"), HOP "*65536"},
    {RUNS("[\"a\" 65535 131070 1 0] [\"b\" 1 2 65536 0]"), HOP "*65536"},
};

static void test_batches_decode_tables_that_meet_their_body(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(good); i++)
        assert_row(good[i].table,
                   decode_text(good[i].table, good[i].body) == TIDINGS_OK);
}

static const struct {
    const char *table;
    const char *body;
} bad[] = {
    /* the list */
    {"[]", ""},
    {"{}", ""},
    {"nil", ""},
    {"7", ""},
    {"[7]", ""},
    {"[nil]", ""},
    {"[[]]", ""},
    {"[{}]", ""},
    {"[[b(16) \"x\" 0 [[\"a\" 1 2 1 0]]]*65]", HOP "*65"},

    /* a batch */
    {"[[b(16) \"x\" 0]]", HOP},
    {"[[b(16) \"x\" 0 [[\"a\" 1 2 1 0]] 7]]", HOP},
    {"[[b(15) \"x\" 0 [[\"a\" 1 2 1 0]]]]", HOP},
    {"[[b(17) \"x\" 0 [[\"a\" 1 2 1 0]]]]", HOP},
    {"[[s(16) \"x\" 0 [[\"a\" 1 2 1 0]]]]", HOP},
    {"[[b(16) \"\" 0 [[\"a\" 1 2 1 0]]]]", HOP},
    {"[[b(16) 'x' 0 [[\"a\" 1 2 1 0]]]]", HOP},
    {"[[b(16) nil 0 [[\"a\" 1 2 1 0]]]]", HOP},
    {"[[b(16) s(1024) 0 [[\"a\" 1 2 1 0]]]]", HOP},
    {"[[b(16) \"x\" 0.0 [[\"a\" 1 2 1 0]]]]", HOP},
    {"[[b(16) \"x\" \"0\" [[\"a\" 1 2 1 0]]]]", HOP},
    {"[[b(16) \"x\" 9223372036854775808 [[\"a\" 1 2 1 0]]]]", HOP},
    {"[[b(16) \"x\" 0 []]]", ""},
    {"[[b(16) \"x\" 0 nil]]", ""},
    {"[[b(16) \"x\" 0 {\"a\" 1}]]", ""},
    {"[{b(16) \"x\" 0 [[\"a\" 1 2 1 0]]}]", HOP},

    /* a run: shape */
    {RUNS("7"), HOP},
    {RUNS("[]"), HOP},
    {RUNS("[\"a\" 1 2 1]"), HOP},
    {RUNS("[\"a\" 1 2 1 0 0]"), HOP},
    {RUNS("['a' 1 2 1 0]"), HOP},
    {RUNS("[nil 1 2 1 0]"), HOP},
    {RUNS("[\"a\" 1.0 2 1 0]"), HOP},
    {RUNS("[\"a\" 1 2.0 1 0]"), HOP},
    {RUNS("[\"a\" 1 2 1.0 0]"), HOP},
    {RUNS("[\"a\" 1 2 1 false]"), HOP},
    {RUNS("[\"a\" -1 2 1 0]"), HOP},
    {RUNS("[\"a\" 1 -2 1 0]"), HOP},
    {RUNS("[\"a\" 1 2 -1 0]"), HOP},
    {RUNS("[\"a\" 1 2 1 -1]"), HOP},
    {RUNS("[\"a\" 1 2 1 16]"), HOP},
    {RUNS("[\"a\" 1 2 1 4294967296]"), HOP},
    {RUNS("{\"a\" 1 2 1}"), HOP},

    /* types (W17, W18) */
    {RUNS("[\"\" 1 2 1 0]"), HOP},
    {RUNS("[\"a b\" 1 2 1 0]"), HOP},
    {RUNS("[\"a..b\" 1 2 1 0]"), HOP},
    {RUNS("[\"a.\" 1 2 1 0]"), HOP},
    {RUNS("[\"a.*\" 1 2 1 0]"), HOP},
    {RUNS("[\">\" 1 2 1 0]"), HOP},
    {RUNS("[<a3 61 00 62> 1 2 1 0]"), HOP},
    {RUNS("[<a2 c3 bc> 1 2 1 0]"), HOP},
    {RUNS("[s(256) 1 2 1 0]"), HOP},
    {RUNS("[<da ff ff 2e*65535> 1 2 1 0]"), HOP},

    /* counts, bytes and their sums (W22, W26) */
    {RUNS("[\"a\" 0 0 1 0]"), ""},
    {RUNS("[\"a\" 0 2 1 0]"), HOP},
    {RUNS("[\"a\" 1 0 1 0]"), ""},
    {RUNS("[\"a\" 65536 0 1 0]"), ""},
    {RUNS("[\"a\" 1 1 1 0]"), "<c4>"},
    {RUNS("[\"a\" 65537 131074 1 0]"), HOP "*65537"},
    {RUNS("[\"a\" 65536 131072 1 0] [\"b\" 1 2 65537 0]"), HOP "*65537"},
    {RUNS("[\"a\" 4294967297 2 1 0]"), HOP},
    {RUNS("[\"a\" 1 4294967298 1 0]"), HOP},
    {RUNS("[\"a\" " TOP " 2 1 0]"), HOP},
    {RUNS("[\"a\" 1 " TOP " 1 0]"), HOP},
    {RUNS("[\"a\" 1 1245185 1 0]"), HOP}, /* a body's most, and 1 */
    {RUNS("[\"a\" 1 4294967295 1 0] [\"b\" 1 3 2 0]"), HOP},
    {"[[b(16) \"x\" 0 [[\"a\" 65536 131072 1 0]]]*2]", HOP "*131072"},
    {"[[b(16) \"x\" 0 [[\"a\" 1 1245184 1 0]]]*2]", HOP "*2"},

    /* sequences */
    {RUNS("[\"a\" 1 2 0 0]"), HOP},
    {RUNS("[\"a\" 1 2 " TOP " 0]"), HOP},
    {RUNS("[\"a\" 2 4 9223372036854775806 0]"), HOP "*2"},
    {RUNS("[\"a\" 1 2 9223372036854775808 0]"), HOP},
    {RUNS("[\"a\" 1 2 2 0] [\"b\" 1 2 1 0]"), HOP "*2"},
    {RUNS("[\"a\" 1 2 1 0] [\"b\" 1 2 1 0]"), HOP "*2"},
    {RUNS("[\"a\" 3 6 1 0] [\"b\" 1 2 3 0]"), HOP "*4"},

    /* bodies that do not meet the table */
    {RUNS("[\"a\" 1 2 1 0]"), ""},
    {RUNS("[\"a\" 1 2 1 0]"), HOP "*2"},
    {RUNS("[\"a\" 2 4 1 0]"), HOP},
    {RUNS("[\"a\" 2 2 1 0]"), HOP},
    {RUNS("[\"a\" 2 3 1 0]"), "<c4 00 c4>"},
    {RUNS("[\"a\" 1 4 1 0]"), HOP "*2"},
    {RUNS("[\"a\" 1 3 1 0]"), HOP "<c0>"},
    {RUNS("[\"a\" 1 2 1 0] [\"b\" 1 3 2 0]"), "<c5 00 00 c4 00>"},
    {RUNS("[\"a\" 1 3 1 0] [\"b\" 1 2 2 0]"), "<c4 00 c5 00 00>"},
    {RUNS("[\"a\" 1 3 1 0]"), "<c4 02 00>"},
    {RUNS("[\"a\" 1 3 1 0]"), "<c4 00 00>"},
    {RUNS("[\"a\" 1 2 1 0]"), "<a1 61>"}, /* str */
    {RUNS("[\"a\" 1 2 1 0]"), "<91 00>"}, /* array */
    {RUNS("[\"a\" 1 2 1 0]"), "<c5 00>"}, /* prefix cut */
    {RUNS("[\"a\" 1 4 1 0]"), "<c6 00 00 00>"},
    {RUNS("[\"a\" 1 5 1 0]"), "<c6 ff ff ff ff>"},
    {RUNS("[\"a\" 1 9 1 0]"), "<c6 ff ff ff ff 61*4>"},
    {RUNS("[\"a\" 1 3 1 0]"), "<c5 ff ff>"},
    {RUNS("[\"a\" 1 2 1 0]"), "<c4 ff>"},
    {RUNS("[\"a\" 1 4 1 0]"), "<c7 01 00 61>"}, /* ext */
};

static void test_batches_refuse_what_does_not_meet(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(bad); i++)
        assert_row(bad[i].table,
                   decode_text(bad[i].table, bad[i].body) == TIDINGS_EPROTO);
}

/* An empty body may come without memory. */
static void test_batches_refuse_runs_without_a_body(void **state)
{
    struct td_buf table = {0};
    struct td_buf none = {0};
    const char *why;

    (void)state;
    td_mp(&table, RUNS("[\"a\" 65536 0 1 0]"));
    assert_err(decode(&table, &none, &why), TIDINGS_EPROTO);
    td_buf_fini(&table);
}

static void test_batches_bound_their_runs(void **state)
{
    char row[32];
    struct td_buf t = {0};
    struct td_buf body = {0};
    const char *why;

    (void)state;
    for (uint32_t runs = TD_RUNS_MAX; runs <= TD_RUNS_MAX + 1; runs++) {
        td_buf_reset(&t);
        td_buf_reset(&body);
        td_mp(&t, "<91 94> b(16) \"x\" 0 <dc>");
        td_buf_append(&t, (uint8_t[]){(uint8_t)(runs >> 8), (uint8_t)runs}, 2);
        for (uint32_t i = 1; i <= runs; i++) {
            snprintf(row, sizeof(row), "[\"a\" 1 2 %u 0]", i);
            td_mp(&t, row);
            td_mp(&body, HOP);
        }
        assert_err(decode(&t, &body, &why),
                   runs > TD_RUNS_MAX ? TIDINGS_EPROTO : TIDINGS_OK);
    }

    /* the same over several batches */
    td_buf_reset(&t);
    td_mp(&t, "[[b(16) \"x\" 0 [[\"a\" 1 2 1 0]]]*2]");
    td_buf_reset(&body);
    td_mp(&body, HOP HOP);
    assert_ok(decode(&t, &body, &why));
    assert_int_equal(batches.runs_len, 2);
    td_buf_fini(&t);
    td_buf_fini(&body);
}

static void test_batches_are_refused_cut_at_every_byte(void **state)
{
    struct td_buf t = {0};
    struct td_buf body = {0};
    const char *why;

    (void)state;
    td_mp(&t, "[[b(16) \"/s\" -70000 [[\"a.b\" 2 14 300 1] [\"c\" 1 7 302 0]]]"
              " [b(16) \"/t\" 5 [[\"d\" 1 7 1 0]]]]");
    td_mp(&body, E6 "*4");
    assert_ok(decode(&t, &body, &why));
    for (size_t len = 0; len < t.len; len++) {
        char *cut = malloc(len + !len);
        struct td_str wire = {cut, len};

        assert_non_null(cut);
        memcpy(cut, t.data, len);
        assert_row_at("table", len,
                      td_batches_decode(&batches, wire, body.data, body.len,
                                        &why) == TIDINGS_EPROTO);
        free(cut);
    }
    for (size_t len = 0; len < body.len; len++) {
        uint8_t *cut = malloc(len + !len);

        assert_non_null(cut);
        memcpy(cut, body.data, len);
        assert_row_at("body", len,
                      td_batches_decode(&batches, td_mp_str(&t), cut, len,
                                        &why) == TIDINGS_EPROTO);
        free(cut);
    }
    td_buf_fini(&t);
    td_buf_fini(&body);
}

static void test_batches_tell_what_the_table_says(void **state)
{
    struct td_buf t = {0};
    struct td_buf body = {0};
    const struct td_run *run;
    const char *why;

    (void)state;
    td_mp(&t, "[[b(16) \"/s\" -7 [[\"a\" 2 14 300 5] [\"b.c\" 1 7 400 0]]]"
              " ['BBBBBBBBBBBBBBBB' \"/t\" 8 [[\"d\" 1 2 1 0]]]]");
    td_mp(&body, E6 "*3 " HOP);
    assert_ok(decode(&t, &body, &why));

    assert_int_equal(batches.len, 2);
    assert_int_equal(batches.runs_len, 3);
    assert_int_equal(batches.events, 4);
    assert_int_equal(batches.bytes, 23);
    assert_memory_equal(batches.batch[0].source.data, "/s", 2);
    assert_int_equal(batches.batch[0].base_us, -7);
    assert_int_equal(batches.batch[0].runs_len, 2);
    assert_int_equal(batches.batch[0].events, 3);
    assert_int_equal(batches.batch[0].bytes, 21);
    run = batches.batch[0].runs;
    assert_ptr_equal(run, batches.runs);
    assert_int_equal(run->count, 2);
    assert_int_equal(run->bytes, 14);
    assert_int_equal(run->first, 300);
    assert_int_equal(run->flags, TD_RUN_ID | TD_RUN_EXPIRY);
    assert_int_equal(run[1].type.len, 3);
    assert_memory_equal(run[1].type.data, "b.c", 3);
    assert_ptr_equal(batches.batch[1].runs, run + 2);
    assert_memory_equal(batches.batch[1].producer.data, "BBBBBBBBBBBBBBBB", 16);
    /* together the tables' bytes are all of the list but its head */
    assert_ptr_equal(batches.batch[0].wire.data, t.data + 1);
    assert_ptr_equal(batches.batch[1].wire.data,
                     batches.batch[0].wire.data + batches.batch[0].wire.len);
    assert_int_equal(batches.batch[0].wire.len + batches.batch[1].wire.len,
                     t.len - 1);
    td_buf_fini(&t);
    td_buf_fini(&body);
}

static void test_batch_pack_is_what_decode_reads(void **state)
{
    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(good); i++) {
        struct td_buf t = {0};
        struct td_buf body = {0};
        struct td_buf again = {0};
        const char *why;

        td_mp(&t, good[i].table);
        td_mp(&body, good[i].body);
        assert_ok(decode(&t, &body, &why));
        td_batches_begin(&again, batches.len);
        for (uint32_t k = 0; k < batches.len; k++)
            td_batch_pack(&again, &batches.batch[k]);
        assert_row(good[i].table, !again.failed && again.len == t.len &&
                                      memcmp(again.data, t.data, t.len) == 0);
        td_buf_fini(&t);
        td_buf_fini(&body);
        td_buf_fini(&again);
    }
}

/* Counting by the table alone says what decoding says. */
static void test_batches_events_counts_what_decode_counts(void **state)
{
    static const char *const shapeless[] = {
        "",
        "nil",
        "{}",
        "[7]",
        "[[]]",
        "[[b(16) \"x\" 0]]",
        RUNS("[\"a\" 1 2 1]"),
        RUNS("[\"a\" 0 2 1 0]"),
        RUNS("[\"a\" 65537 131074 1 0]"),
        RUNS("7"),
        "[[b(16) \"x\" 0 7]]",
        "<92>",
        "<dd ff ff ff ff>",
    };
    struct td_buf t = {0};
    struct td_buf body = {0};
    const char *why;
    uint32_t events;
    uint32_t bytes;

    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(good); i++) {
        td_buf_reset(&t);
        td_buf_reset(&body);
        td_mp(&t, good[i].table);
        td_mp(&body, good[i].body);
        assert_ok(decode(&t, &body, &why));
        assert_row(good[i].table,
                   td_batches_sum(td_mp_str(&t), &events, &bytes) &&
                       events == batches.events && bytes == batches.bytes);
    }
    for (size_t i = 0; i < TD_ARRAY_LEN(shapeless); i++) {
        td_buf_reset(&t);
        td_mp(&t, shapeless[i]);
        assert_row(shapeless[i],
                   !td_batches_sum(td_mp_str(&t), &events, &bytes));
    }
    td_buf_fini(&t);
    td_buf_fini(&body);
}

/* limits.h: a message of the most runs, all of the longest type, and of the
 * most batches, all of the longest source and each for a subscription of its
 * own, goes into one control frame. */
static void test_batch_table_at_its_limits_fits_a_control_frame(void **state)
{
    static char type[TD_TYPE_BYTES_MAX];
    static char source[TD_SOURCE_BYTES_MAX];
    static struct td_run runs[TD_RUNS_MAX / TD_BATCHES_MAX];
    const uint32_t each = TD_RUNS_MAX / TD_BATCHES_MAX;
    struct td_batch batch = {
        .producer = {source, TD_PRODUCER_BYTES},
        .source = {memset(source, 's', sizeof(source)), sizeof(source)},
        .base_us = INT64_MAX,
        .runs = runs,
        .runs_len = each,
    };
    struct td_buf table = {0};
    struct td_buf control = {0};
    struct td_frame frame = {.op = TD_DELIVER};
    const char *why;

    (void)state;
    memset(type, 't', sizeof(type));
    for (uint32_t i = 0; i < each; i++) {
        runs[i].type.data = type;
        runs[i].type.len = sizeof(type);
        runs[i].count = TD_EVENTS_MAX / TD_RUNS_MAX;
        runs[i].bytes = TD_BODY_BYTES_MAX / TD_RUNS_MAX;
        runs[i].first = INT64_MAX - TD_EVENTS_MAX + i * runs[i].count;
        runs[i].flags = TD_RUN_FLAGS_ALL;
    }
    td_batches_begin(&table, TD_BATCHES_MAX); /* as many parts */
    for (uint32_t i = 0; i < TD_BATCHES_MAX; i++) {
        td_part_begin(&table, INT32_MAX, INT64_MAX, false);
        td_batches_begin(&table, 1);
        td_batch_pack(&table, &batch);
    }
    frame.u.deliver.parts = td_mp_str(&table);
    td_frame_encode(&control, &frame);

    assert_true(control.len <= TD_CONTROL_BYTES_MAX);
    assert_ok(td_frame_decode(&frame, control.data, control.len, false, &why));
    td_buf_fini(&table);
    td_buf_fini(&control);
}

static tidings_err pack(void *arg)
{
    struct td_buf b = {0};
    tidings_err err;

    td_batches_begin(&b, 1);
    td_batch_pack(&b, arg);
    err = b.failed ? TIDINGS_ENOMEM : TIDINGS_OK;
    td_buf_fini(&b);
    return err;
}

static void test_batch_pack_tells_each_failing_allocation(void **state)
{
    static const char fill[TD_SOURCE_BYTES_MAX] = "source";
    const struct td_run run = {{fill, 200}, 1, 2, 1, 0};
    struct td_batch batch = {.producer = {fill, TD_PRODUCER_BYTES},
                             .source = {fill, sizeof(fill)},
                             .runs = &run,
                             .runs_len = 1};

    (void)state;
    assert_true(td_alloc_each(pack, &batch) >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batches_decode_tables_that_meet_their_body),
        cmocka_unit_test(test_batches_refuse_what_does_not_meet),
        cmocka_unit_test(test_batches_refuse_runs_without_a_body),
        cmocka_unit_test(test_batches_bound_their_runs),
        cmocka_unit_test(test_batches_are_refused_cut_at_every_byte),
        cmocka_unit_test(test_batches_tell_what_the_table_says),
        cmocka_unit_test(test_batch_pack_is_what_decode_reads),
        cmocka_unit_test(test_batches_events_counts_what_decode_counts),
        cmocka_unit_test(test_batch_table_at_its_limits_fits_a_control_frame),
        cmocka_unit_test(test_batch_pack_tells_each_failing_allocation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
