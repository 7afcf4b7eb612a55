/* Batches and events: run tables against bodies, one event there and back,
 * and the hostile shapes of FAULTS W15, W17, W22 and W26. */
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

/* ---- one event ---- */

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
