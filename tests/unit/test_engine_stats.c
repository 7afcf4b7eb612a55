/* The engine: STATS. */
#include "tests/unit/engine_harness.h"

static void test_engine_stats_say_all(void **state)
{
    static const char *const of_store[] = {
        "store_damaged",    "store_used_bytes", "store_file_bytes",
        "store_free_bytes", "store_commits",    "store_transactions",
        "store_commit_us"};
    struct fixture *f = *state;
    struct td_str map;
    struct td_str rows;
    struct td_str row;
    struct td_str text = {NULL, 0};
    struct td_reader r;
    uint32_t n = 0;

    begin(f, "a", "{\"events\" 3 \"bytes\" 2000000 \"queue_events\" 4}");
    publish_one(f, "pub", "a", 9, 5, 1);
    publish_one(f, "pub", "b", 2, 5, 10);
    publish_one(f, "pub", "b", 2, 5, 10);
    flush(f);
    give(f, "sub", "[9 1 [[1 2 3 2000000]]]");
    flush(f);
    pass(f, 500);
    give(f, "sub", "[13 44 {}]");
    assert_int_equal(frame(f, "sub", TD_REPLY, 0)->u.reply.request, 44);
    map = frame(f, "sub", TD_REPLY, 0)->u.reply.result;
    assert_int_equal(count(map, "epoch"), 77);
    assert_true(td_map_str(map, "version", &text));
    assert_memory_equal(text.data, "1.2.3", 5);
    assert_int_equal(count(map, "uptime_ms"), 500);
    assert_int_equal(count(map, "published"), 13);
    assert_int_equal(count(map, "duplicates"), 2);
    assert_int_equal(count(map, "routed"), 9);
    assert_int_equal(count(map, "unmatched"), 2);
    assert_int_equal(count(map, "matched"), 9);
    assert_int_equal(count(map, "delivered"), 2);
    assert_int_equal(count(map, "pending"), 7);
    assert_int_equal(count(map, "sessions"), 2);
    assert_int_equal(count(map, "withheld"), 1);
    assert_int_equal(count(map, "queued_bytes"),
                     td_engine_held_bytes(f->engine));
    assert_int_equal(count(map, "types_cached"), 2);
    assert_int_equal(count(map, "bad_frames"), 0);
    assert_int_equal(count(map, "breaches"), 0);
    assert_int_equal(count(map, "silent"), 0);
    assert_int_equal(count(map, "fenced"), 0);
    assert_true(is_text(text_of(map, "store"), "none"));
    for (size_t i = 0; i < TD_ARRAY_LEN(of_store); i++)
        assert_int_equal(count(map, of_store[i]), 0);
    assert_int_equal(count(map, "subscriptions_total"), 1);
    assert_true(td_map_find(map, "dropped", &row));
    assert_int_equal(count(row, "slow"), 0);
    assert_int_equal(count(row, "memory"), 0);
    assert_int_equal(count(row, "session_lost"), 0);
    assert_int_equal(count(row, "unsubscribed"), 0);
    assert_true(td_map_find(map, "subscriptions", &rows));
    r = td_reader_of(rows.data, rows.len);
    assert_true(td_read_array(&r, &n) && n == 1 && td_read_raw(&r, &row));
    assert_int_equal(count(row, "session"), 2);
    assert_int_equal(count(row, "subscription"), 1);
    assert_int_equal(count(row, "matched"), 9);
    assert_int_equal(count(row, "delivered"), 2);
    assert_int_equal(count(row, "pending"), 7);
    assert_int_equal(count(row, "blocked_ms"), 500);
    assert_true(td_map_str(row, "name", &text));
    assert_memory_equal(text.data, "sub", 3);
    assert_true(td_map_str(row, "pattern", &text));
    assert_memory_equal(text.data, "a", 1);
}

/* ---- options ---- */

static void test_engine_stats_take_their_options(void **state)
{
    static const struct {
        const char *options;
        const char *total; /* NULL: refused */
    } rows[] = {
        {"{}", "subscriptions_total"},
        {"{\"later\" [1 2]}", "subscriptions_total"},
        {"{\"rows\" \"subscriptions\"}", "subscriptions_total"},
        {"{\"rows\" \"groups\"}", "groups_total"},
        {"{\"rows\" \"types\"}", "types_total"},
        {"{\"rows\" \"sessions\"}", "sessions_total"},
        {"{\"rows\" \"sessions\" \"from\" 1}", "sessions_total"},
        {"{\"rows\" \"sessions\" \"from\" 9223372036854775807}",
         "sessions_total"},
        {"{\"rows\" \"none\"}", "sums"},
        {"{\"rows\" \"none\" \"from\" 7}", "sums"},
        {"{\"rows\" \"\"}", NULL},
        {"{\"rows\" \"session\"}", NULL},
        {"{\"rows\" \"sessionss\"}", NULL},
        {"{\"rows\" 1}", NULL},
        {"{\"rows\" nil}", NULL},
        {"{\"from\" \"1\"}", NULL},
        {"{\"from\" -1}", NULL},
        {"{\"from\" 9223372036854775808}", NULL},
    };
    struct fixture *f = *state;

    begin(f, "a", WIDE);
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct td_str map;
        struct td_str value;

        givef(f, "sub", "[13 5 %s]", rows[i].options);
        assert_row(rows[i].options,
                   code_of_reply(f, "sub") ==
                       (rows[i].total ? TIDINGS_OK : TIDINGS_EINVAL));
        map = frame(f, "sub", TD_REPLY, 0)->u.reply.result;
        assert_row(rows[i].options,
                   !rows[i].total || td_map_find(map, rows[i].total, &value));
        forget(f);
    }
    assert_int_equal(sessions(f), 2);
}

/* ---- rows ---- */

/* The only row of a list. */
static struct td_str only_row(struct fixture *f, const char *rows)
{
    struct td_str list = map_of(stats(f, rows, 0), rows);
    struct td_reader r = td_reader_of(list.data, list.len);
    struct td_str row;
    uint32_t n;

    assert_row(rows, td_read_array(&r, &n) && n == 1 && td_read_raw(&r, &row));
    return row;
}

static void test_engine_stats_have_a_row_of_each_group(void **state)
{
    struct fixture *f = *state;
    struct td_str row;

    begin(f, "a.*",
          "{\"events\" 2 \"bytes\" 2000000 \"queue_events\" 3 \"policy\" "
          "\"drop_newest\" \"group\" \"g\" \"group_policy\" "
          "\"least_pending\"}");
    give(f, "sub",
         "[5 2 2 \"a.*\" {\"events\" 1 \"bytes\" 2000000 \"group\" "
         "\"g\"}]");
    publish_one(f, "pub", "a.b", 3, 5, 1);
    flush(f);
    publish_one(f, "pub", "a.b", 5, 5, 4);
    give(f, "sub", "[9 1 [[1 1 2 2000000]]]");
    flush(f);
    row = only_row(f, "groups");
    assert_true(is_text(text_of(row, "pattern"), "a.*"));
    assert_true(is_text(text_of(row, "group"), "g"));
    assert_true(is_text(text_of(row, "group_policy"), "least_pending"));
    assert_true(is_text(text_of(row, "policy"), "drop_newest"));
    assert_int_equal(count(row, "members"), 2);
    assert_int_equal(count(row, "matched"), 8);
    assert_int_equal(count(row, "delivered"), 1);
    assert_int_equal(count(row, "pending"), 5);
    assert_int_equal(count(map_of(row, "dropped"), "newest"), 2);
    assert_int_equal(count(row, "blocked_ms"), 0);
}

/* A member's row tells what it was dealt. */
static void test_engine_stats_have_a_row_of_each_member(void **state)
{
    struct fixture *f = *state;
    struct td_str row;

    begin(f, "a", "{\"events\" 2 \"bytes\" 2000000 \"group\" \"g\"}");
    publish_one(f, "pub", "a", 9, 5, 1);
    flush(f);
    give(f, "sub", "[9 1 [[1 1 2 2000000]]]");
    row = only_row(f, "subscriptions");
    assert_int_equal(count(row, "session"), 2);
    assert_true(is_text(text_of(row, "name"), "sub"));
    assert_true(is_text(text_of(row, "group"), "g"));
    assert_true(is_text(text_of(row, "policy"), "block"));
    assert_int_equal(count(row, "matched"), 2);
    assert_int_equal(count(row, "delivered"), 1);
    assert_int_equal(count(row, "pending"), 1);
}

static void test_engine_stats_have_a_row_of_each_type(void **state)
{
    struct fixture *f = *state;
    struct td_str row;
    uint64_t one = td_event_size(0, 5, 0);

    hello(f, "pub");
    publish_one(f, "pub", "user.created", 3, 5, 1);
    publish_one(f, "pub", "user.created", 4, 5, 2);
    subscriber(f, "sub", "*.created", WIDE);
    publish_one(f, "pub", "user.created", 2, 5, 6);
    row = only_row(f, "types");
    assert_true(is_text(text_of(row, "type"), "user.created"));
    assert_int_equal(count(row, "published"), 9);
    assert_int_equal(count(row, "duplicates"), 2);
    assert_int_equal(count(row, "unmatched"), 5);
    assert_int_equal(count(row, "routed"), 2);
    assert_int_equal(count(row, "bytes"), 7 * one);
}

static void check_session_row(void *ctx, struct td_str row)
{
    bool sub = is_text(text_of(row, "name"), "sub");

    (void)ctx;
    assert_int_equal(count(row, "session"), sub ? 2 : 1);
    assert_int_equal(count(row, "subscriptions"), sub ? 2 : 0);
    assert_int_equal(count(row, "away_ms"), sub ? 700 : 0);
    assert_int_equal(count(row, "published"), sub ? 0 : 12);
    assert_int_equal(count(row, "pending"), sub ? 11 : 0);
    assert_true((count(row, "queued_bytes") > 0) == sub);
    assert_int_equal(count(row, "withheld_ms"), 0);
}

static void test_engine_stats_have_a_row_of_each_session(void **state)
{
    struct fixture *f = *state;

    begin(f, "a", "{\"events\" 3 \"bytes\" 2000000}");
    give(f, "sub", "[5 2 2 \"b\" " WIDE "]");
    publish_one(f, "pub", "a", 7, 5, 1);
    publish_one(f, "pub", "b", 2, 5, 8);
    flush(f);
    publish_one(f, "pub", "b", 3, 5, 9); /* one of them again */
    gone(f, "sub");
    flush(f);
    pass(f, 700);
    assert_int_equal(each_row(f, "sessions", check_session_row, NULL), 2);
    assert_int_equal(count(stats(f, "none", 0), "away"), 1);
    assert_int_equal(count(stats(f, "none", 0), "sessions"), 2);
}

/* ---- pages ---- */

struct seen {
    uint64_t numbers[3 * TD_STATS_ROWS_MAX];
    uint32_t len;
};

static void note(void *ctx, struct td_str row)
{
    struct seen *seen = ctx;
    uint64_t number = count(row, "subscription");

    assert_true(seen->len < TD_ARRAY_LEN(seen->numbers));
    for (uint32_t i = 0; i < seen->len; i++)
        assert_true(seen->numbers[i] != number);
    seen->numbers[seen->len++] = number;
}

/* Page by page, each row once. */
static void test_engine_stats_come_in_pages(void **state)
{
    static const unsigned totals[] = {0,
                                      1,
                                      TD_STATS_ROWS_MAX - 1,
                                      TD_STATS_ROWS_MAX,
                                      TD_STATS_ROWS_MAX + 1,
                                      2 * TD_STATS_ROWS_MAX + 7};

    for (size_t i = 0; i < TD_ARRAY_LEN(totals); i++) {
        struct seen seen = {.len = 0};
        struct fixture *f;

        assert_int_equal(setup((void **)&f), 0);
        f->unjudged = true;
        hello(f, "sub");
        for (unsigned k = 1; k <= totals[i]; k++) {
            givef(f, "sub", "[5 %u %u \"a.%u\" " WIDE "]", k, k, k);
            forget(f);
        }
        assert_int_equal(each_row(f, "subscriptions", note, &seen), totals[i]);
        f->unjudged = false;
        judge(f);
        teardown((void **)&f);
    }
    (void)state;
}

/* More types than are counted: those that had to go are in a sum. */
static void test_engine_stats_sum_up_types_beyond_the_bound(void **state)
{
    struct fixture *f = *state;
    struct td_str other;
    char types[8][16];
    uint64_t n = 0;

    f->unjudged = true;
    begin(f, "t.*", WIDE);
    while (n < TD_TYPES_CACHED_MAX + 16) {
        struct piece pieces[8];

        for (unsigned i = 0; i < 8; i++, n++) {
            snprintf(types[i], sizeof(types[i]), "%c.%u", n % 2 ? 't' : 'u',
                     (unsigned)n);
            pieces[i] = (struct piece){types[i], 1, 0, n + 1, NULL};
        }
        publish(f, "pub", 0, pieces, 8);
        if (n % 8192 == 0) {
            flush(f);
            givef(f, "sub", "[9 %u [[1 %u %u 100000000]]]",
                  (unsigned)session_of(f, "sub")->messages_out,
                  (unsigned)sub_of(f, "sub", 1)->sent, 200000);
            forget(f);
        }
    }
    other = map_of(stats(f, "none", 0), "types_other");
    assert_int_equal(count(other, "published"), 16);
    assert_int_equal(count(other, "routed"), 8);
    assert_int_equal(count(other, "unmatched"), 8);
    assert_int_equal(count(stats(f, "none", 0), "types_cached"),
                     TD_TYPES_CACHED_MAX);
}

/* However many subscriptions with the longest names and patterns there are,
 * a client can read the answer. */
static void test_engine_stats_stay_within_a_frame(void **state)
{
    struct fixture *f = *state;
    char name[TD_NAME_BYTES_MAX + 1];
    char pattern[TD_TYPE_BYTES_MAX + 1];
    char text[512];
    struct td_str map;
    struct sent *s;

    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    memset(pattern, 'p', sizeof(pattern) - 1);
    pattern[sizeof(pattern) - 1] = '\0';
    for (int peer = 0; peer < 2; peer++) {
        const char *who = peer ? "two" : "one";

        snprintf(text, sizeof(text), "[1 \"tidings\" 1 1 '%16s' \"%s\" {}]",
                 who, name);
        give(f, who, text);
        for (unsigned i = 1; i <= TD_STATS_ROWS_MAX * 3 / 4; i++) {
            snprintf(text, sizeof(text), "[5 %u %u \"%s\" " WIDE "]", i, i,
                     pattern);
            give(f, who, text);
        }
    }
    forget(f);
    give(f, "one", "[13 1 {}]");
    s = find(f, "one", TD_REPLY, 0); /* which scans it */
    assert_non_null(s);
    assert_true(s->control.len <= TD_CONTROL_BYTES_MAX);
    map = s->frame.u.reply.result;
    assert_int_equal(count(map, "subscriptions_total"),
                     TD_STATS_ROWS_MAX * 3 / 4 * 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_engine_stats_say_all),
        TEST(test_engine_stats_take_their_options),
        TEST(test_engine_stats_have_a_row_of_each_group),
        TEST(test_engine_stats_have_a_row_of_each_member),
        TEST(test_engine_stats_have_a_row_of_each_type),
        TEST_RESUMABLE(test_engine_stats_have_a_row_of_each_session),
        TEST(test_engine_stats_come_in_pages),
        TEST(test_engine_stats_sum_up_types_beyond_the_bound),
        TEST(test_engine_stats_stay_within_a_frame),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
