/* Numbers live once: PROTOCOL.md and the public header say what limits.h
 * says. A limit that changes fails here until both are told. */
#include "tests/support/td_test.h"

#include <stdlib.h>

#include "proto/limits.h"
#include "tidings/tidings.h"

#define PAGE       TD_SOURCE_DIR "/proto/PROTOCOL.md"
#define KIB(bytes) ((bytes) >> 10)
#define MIB(bytes) ((bytes) >> 20)
#define GIB(bytes) ((bytes) >> 30)

/* Section 9, row by row; each '#' of the form is the next of the numbers. */
static const struct {
    const char *label;
    const char *form;
    uint64_t numbers[4];
} rows[] = {
    {"control frame", "# KiB", {KIB(TD_CONTROL_BYTES_MAX)}},
    {"body frame",
     "# MiB + # KiB",
     {MIB(TD_BODY_BYTES_MAX), KIB(TD_BODY_BYTES_MAX) & 1023}},
    {"depth of a control frame, its elements",
     "#, #",
     {TD_SCAN_DEPTH_MAX, TD_SCAN_NODES_MAX}},
    {"batches in a message, runs, events",
     "#, #, #",
     {TD_BATCHES_MAX, TD_RUNS_MAX, TD_EVENTS_MAX}},
    {"type; tokens; source; client name",
     "# B; #; # B; # B",
     {TD_TYPE_BYTES_MAX, TD_TOKENS_MAX, TD_SOURCE_BYTES_MAX,
      TD_NAME_BYTES_MAX}},
    {"data; attributes; their number",
     "# MiB; # KiB; #",
     {MIB(TD_DATA_BYTES_MAX), KIB(TD_ATTRS_BYTES_MAX), TD_ATTRS_MAX}},
    {"publish credit",
     "# events, # MiB",
     {TD_PUBLISH_EVENTS, MIB(TD_PUBLISH_BYTES)}},
    {"subscription queue, default",
     "# events, # MiB",
     {TD_QUEUE_EVENTS, MIB(TD_QUEUE_BYTES)}},
    {"subscription queue, largest",
     "# events, # GiB",
     {TD_QUEUE_EVENTS_MAX, GIB(TD_QUEUE_BYTES_MAX)}},
    {"unanswered DELIVER per session", "#", {TD_MESSAGES_OUT_MAX}},
    {"subscriptions per session; their patterns together",
     "#; # KiB",
     {TD_SUBSCRIPTIONS_MAX, KIB(TD_PATTERNS_BYTES_MAX)}},
    {"subscriptions of all sessions; memory of their patterns' tokens",
     "#; # MiB",
     {TD_SUBSCRIPTIONS_ALL_MAX, MIB(TD_TRIE_BYTES_MAX)}},
    {"group name; members of a group",
     "# B; #",
     {TD_GROUP_BYTES_MAX, TD_MEMBERS_MAX}},
    {"memory of all queues; of one session's, defaults",
     "# MiB; # MiB",
     {MIB(TD_MEMORY_BYTES), MIB(TD_SESSION_BYTES)}},
    {"sessions", "#", {TD_SESSIONS_MAX}},
    {"rows of STATS; types counted",
     "#; #",
     {TD_STATS_ROWS_MAX, TD_TYPES_CACHED_MAX}},
    {"grace time of a session, default", "# s", {TD_GRACE_MS / 1000}},
    {"WELCOME after; first and longest delay before trying again",
     "# s; # ms, # s",
     {TD_GREETING_MS / 1000, TD_RETRY_MIN_MS, TD_RETRY_MAX_MS / 1000}},
    {"heartbeat; dead after; a member with events, or whoever serves, is "
     "asked after; lazy TAKEN "
     "and CREDIT",
     "# s; # s; # s; # ms",
     {TD_HEARTBEAT_MS / 1000, TD_DEAD_MS / 1000, TD_PROBE_MS / 1000,
      TD_LAZY_MS}},
    {"block budget", "# ms in # s", {TD_BLOCK_MS, TD_BLOCK_WINDOW_MS / 1000}},
    {"memory of a producer after its session",
     "# min, at most # producers",
     {TD_PRODUCER_KEEP_MS / 60000, TD_PRODUCERS_MAX}},
    {"requests unanswered by a caller; those unsent; answers that its "
     "callbacks have not heard",
     "#; # MiB; # MiB",
     {TD_REQUESTS_MAX, MIB(TD_REQUESTS_BYTES), MIB(TD_RESPONSES_BYTES)}},
    {"producers with a name; the name; events of which hashes are kept",
     "#; # B; #",
     {TD_NAMED_PRODUCERS_MAX, TD_PRODUCER_NAME_BYTES_MAX, TD_NAMED_HASHES}},
    {"ranges of refused sequences that are remembered of a producer",
     "#",
     {TD_HOLES_MAX}},
    {"endpoints of a service; of a session; of all",
     "#; #; #",
     {TD_ENDPOINTS_MAX, TD_SESSION_ENDPOINTS_MAX, TD_ENDPOINTS_ALL_MAX}},
    {"groups and patterns that one request is looked up in",
     "#",
     {TD_REQUEST_SETS_MAX}},
    {"requests of one service that its process keeps, no handler having "
     "returned from them",
     "# MiB",
     {MIB(TD_TASKS_BYTES)}},
    {"requests in the hands of instances, of all sessions",
     "#",
     {TD_TASKS_MAX}},
    {"a deadline that passed is an instance's failure after; and after so many "
     "times what its answers take",
     "# s; #",
     {TD_BREAKER_PATIENCE_MS / 1000, TD_BREAKER_PATIENCE}},
    {"requests and answers sent to a session and unanswered; where all have "
     "their part; CREDIT is due after",
     "# MiB; # KiB; # MiB",
     {MIB(TD_BUNDLES_OUT_BYTES), KIB(TD_BUNDLES_OUT_BYTES_MIN),
      MIB(TD_BUNDLES_SEEN_BYTES)}},
    {"breakers of one process that a ping is told of",
     "#",
     {TD_BREAKERS_SHOWN}},
};

/* What may stand in italics elsewhere on the page. */
static const struct {
    const char *form;
    uint64_t number;
} italics[] = {
    {"# minutes", TD_PRODUCER_KEEP_MS / 60000},
    {"# s", TD_HEARTBEAT_MS / 1000},
    {"# s", TD_DEAD_MS / 1000},
    {"# s", TD_PROBE_MS / 1000},
    {"# s", TD_BLOCK_WINDOW_MS / 1000},
    {"# ms", TD_BLOCK_MS},
    {"# ms", TD_LAZY_MS},
    {"# ms", TD_WINDOW_MS},
    {"#", TD_WINDOW_EVENTS_MIN},
    {"# s", TD_GREETING_MS / 1000},
    {"# s", TD_GRACE_MS / 1000},
    {"# ms", TD_RETRY_MIN_MS},
    {"# s", TD_RETRY_MAX_MS / 1000},
    {"#", TD_SESSIONS_MAX},
    {"#", TD_NAME_BYTES_MAX},
    {"#", TD_GROUP_BYTES_MAX},
    {"#", TD_MESSAGES_OUT_MAX},
    {"#", TD_BATCHES_MAX},
    {"#", TD_ATTRS_MAX},
    {"#", TD_SOURCE_BYTES_MAX},
    {"#", TD_RUNS_MAX},
    {"#", TD_SUBSCRIPTIONS_MAX},
    {"#", TD_STATS_ROWS_MAX},
    {"#", TD_TYPES_CACHED_MAX},
    {"# KiB", KIB(TD_PATTERNS_BYTES_MAX)},
    {"#", TD_SUBSCRIPTIONS_ALL_MAX},
    {"# MiB", MIB(TD_TRIE_BYTES_MAX)},
    {"#", 1}, /* the least window, in events */
    {"# MiB", MIB(TD_DATA_BYTES_MAX)},
    {"# KiB", KIB(TD_ATTRS_BYTES_MAX)},
    {"# h", TD_PRODUCER_STORED_KEEP_MS / 3600000},
    {"# MiB", MIB(TD_STORE_PENDING_BYTES)},
    {"# MiB", MIB(TD_STORE_RESERVE)},
    {"#", TD_IN_FLIGHT},
    {"#", TD_IN_FLIGHT_MAX},
    {"#", TD_ACK_WAIT_MS},
    {"#", TD_ACK_WAIT_MS_MAX},
    {"#", TD_MAX_DELIVER},
    {"#", TD_MAX_DELIVER_MAX},
    {"#", TD_BACKOFF_MS},
    {"#", TD_BACKOFF_MAX_MS},
    {"#", TD_REASON_BYTES_MAX},
    {"#", TD_DLQ_ROWS_MAX},
    {"#", TD_STREAMS_MAX},
    {"#", TD_CONSUMERS_MAX},
    {"#", TD_REPLIES_MAX},
    {"#", TD_SCHEDULED_MAX},
    {"#", TD_SCHEDULE_ROWS_MAX},
    {"# s", TD_SCHEDULE_LOOK_MS / 1000},
    {"#", TD_NAMED_PRODUCERS_MAX},
    {"#", TD_DEDUP_MS},
    {"#", TD_DEDUP_EVENTS},
    {"#", TD_DEDUP_EVENTS_MAX},
    {"#", TD_PRODUCER_NAME_BYTES_MAX},
    {"#", TD_NAMED_HASHES},
    {"#", TD_HOLES_MAX},
    {"#", TD_COMPACT_EVENTS_MIN},
    {"# s", TD_COMPACT_WAIT_MS / 1000},
    {"# MiB", MIB(TD_COMPACT_WAIT_BYTES)},
    {"# h", TD_COMPACT_WAIT_MS_MAX / 3600000},
    {"#", TD_TIMEOUT_MS_MAX},
    {"#", TD_GROUP_ROWS_MAX},
    {"#", TD_HEALTH_MS_MIN},
    {"# ms", TD_BREAKER_PATIENCE_MS},
    {"#", TD_BREAKER_PATIENCE},
    {"#", TD_REQUESTS_MAX},
    {"#", TD_TASKS_MAX},
    {"# MiB", MIB(TD_BUNDLES_OUT_BYTES)},
    {"# KiB", KIB(TD_BUNDLES_OUT_BYTES_MIN)},
    {"# MiB", MIB(TD_RESPONSES_BYTES)},
    {"#", TD_ROWS_MAX},
    {"#", TD_REQUEST_SETS_MAX},
    {"# ms", TD_ASK_MS},
    {"#", TD_SERVICES_MAX},
    {"#", TD_SERVICE_BYTES_MAX},
    {"#", TD_ENDPOINTS_MAX},
    {"#", TD_TASKS_OUT},
    {"#", TD_TASKS_OUT_MAX},
    {"#", TD_INSTANCE_BYTES_MAX},
    {"#", TD_DESCRIPTION_BYTES_MAX},
    {"#", TD_ANSWER_TEXT_BYTES_MAX},
    {"#", TD_METADATA_MAX},
    {"# KiB", KIB(TD_METADATA_BYTES_MAX)},
    {"#", 0}, /* health_ms: none is waited for */
    {"#", TD_INSTANCES_MAX},
    {"#", TD_SERVICE_NAMES_MAX},
    {"#", TD_SESSION_ENDPOINTS_MAX},
    {"#", TD_ENDPOINTS_ALL_MAX},
    {"#", TD_SERVICE_ROWS_MAX},
    {"#", TD_SERVICE_DETAILS_MAX},
    {"# s", TD_COST_DECAY_US / 1000000},
    {"#", TD_BREAKER_COUNT_MAX},
    {"#", TD_BREAKER_FAILURES},
    {"#", TD_BREAKER_WINDOW_MS},
    {"#", TD_BREAKER_WINDOW_MIN},
    {"#", TD_BREAKER_RATE_PERCENT},
    {"#", TD_BREAKER_RECOVERY_MS},
    {"#", TD_BREAKER_RECOVERY_MAX_MS},
    {"#", TD_BREAKER_PROBES},
    {"#", TD_BREAKER_SUCCESSES},
    {"# h", TD_PARK_MS_MAX / 3600000},
    {"# s", TD_PARK_MS / 1000},
    {"# s", TD_PARK_GROWN_MS / 1000},
    {"#", TD_BREAKER_COUNT_MAX},
};

/* 1234567 as "1,234,567"; without commas as "1234567". */
static size_t put_number(char *out, uint64_t n, bool commas)
{
    char digits[24];
    int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n);
    size_t at = 0;

    for (int i = 0; i < len; i++) {
        if (commas && i > 0 && (len - i) % 3 == 0)
            out[at++] = ',';
        out[at++] = digits[i];
    }
    return at;
}

static void render(char *out, const char *form, const uint64_t *numbers,
                   bool commas)
{
    for (; *form; form++) {
        if (*form == '#')
            out += put_number(out, *numbers++, commas);
        else
            *out++ = *form;
    }
    *out = '\0';
}

static int read_page(void **state)
{
    FILE *file = fopen(PAGE, "r");
    char *page = calloc(1, 1 << 20);
    size_t len = 0;

    if (file && page)
        len = fread(page, 1, (1 << 20) - 1, file);
    if (file)
        fclose(file);
    *state = page;
    return len > 0 ? 0 : -1;
}

static int free_page(void **state)
{
    free(*state);
    return 0;
}

static void test_limits_of_section_9_are_those_of_limits_h(void **state)
{
    const char *at = strstr(*state, "\n## 9. Limits");

    assert_non_null(at);
    at = strstr(at, "|---|---|\n");
    assert_non_null(at);
    at += strlen("|---|---|\n");
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        char line[256];
        char value[128];
        int len;

        render(value, rows[i].form, rows[i].numbers, true);
        len =
            snprintf(line, sizeof(line), "| %s | %s |\n", rows[i].label, value);
        assert_row(line, strncmp(at, line, (size_t)len) == 0);
        at += len;
    }
    assert_row("section 9 has no row that this test does not know", *at != '|');
}

static bool is_known(const char *text, size_t len)
{
    for (size_t i = 0; i < TD_ARRAY_LEN(italics); i++) {
        for (int commas = 0; commas < 2; commas++) {
            char known[64];

            render(known, italics[i].form, &italics[i].number, commas);
            if (strlen(known) == len && memcmp(known, text, len) == 0)
                return true;
        }
    }
    return false;
}

/* *5 s*, *1,024*: a digit after an asterisk, up to the next one. */
static void test_limits_in_italics_are_those_of_limits_h(void **state)
{
    const char *page = *state;
    size_t seen = 0;

    for (const char *at = strchr(page, '*'); at; at = strchr(at + 1, '*')) {
        const char *end;
        char row[64];

        if (at[1] < '0' || at[1] > '9')
            continue;
        end = strchr(at + 1, '*');
        assert_non_null(end);
        snprintf(row, sizeof(row), "%.*s", (int)(end - at + 1), at);
        assert_row(row, is_known(at + 1, (size_t)(end - at - 1)));
        at = end;
        seen++;
    }
    assert_true(seen >= 15);
}

static void test_limits_of_the_public_header_are_those_of_limits_h(void **state)
{
    (void)state;
    assert_int_equal(TIDINGS_TYPE_MAX, TD_TYPE_BYTES_MAX);
    assert_int_equal(TIDINGS_TYPE_TOKENS_MAX, TD_TOKENS_MAX);
    assert_int_equal(TIDINGS_DATA_MAX, TD_DATA_BYTES_MAX);
    assert_int_equal(TIDINGS_ATTRS_MAX, TD_ATTRS_MAX);
    assert_int_equal(TIDINGS_ATTRS_BYTES_MAX, TD_ATTRS_BYTES_MAX);
    assert_int_equal(TIDINGS_ATTR_NAME_MAX, TD_ATTR_NAME_BYTES_MAX);
    assert_int_equal(TIDINGS_SOURCE_MAX, TD_SOURCE_BYTES_MAX);
    assert_int_equal(TIDINGS_ID_MAX, TD_ID_BYTES_MAX);
    assert_int_equal(TIDINGS_TIMEOUT_MAX_MS, TD_TIMEOUT_MS_MAX);
}

/* Limits that only make sense together. */
static void test_limits_fit_one_another(void **state)
{
    (void)state;
    /* a batch is closed at TD_BATCH_BYTES; one event may come after that */
    assert_true(TD_BATCH_BYTES + 5 + TD_EVENT_BYTES_MAX <= TD_BODY_BYTES_MAX);
    assert_true(TD_WINDOW_BYTES >= TD_BODY_BYTES_MAX);
    assert_true(TD_PUBLISH_BYTES >= TD_BODY_BYTES_MAX);
    assert_true(TD_PUBLISH_EVENTS >= TD_EVENTS_MAX);
    assert_true(TD_QUEUE_EVENTS <= TD_QUEUE_EVENTS_MAX);
    assert_true(TD_QUEUE_BYTES <= TD_QUEUE_BYTES_MAX);
    assert_true(TD_UNCONFIRMED_BYTES >= TD_BODY_BYTES_MAX);
    assert_true(TD_SNDHWM > TD_MESSAGES_OUT_MAX);
    assert_true(TD_ID_TEXT_BYTES <= TD_ID_BYTES_MAX);
    assert_true(TD_DEAD_MS > 2 * TD_HEARTBEAT_MS);
    assert_true(TD_BLOCK_MS < TD_BLOCK_WINDOW_MS);
    assert_true(TD_SESSION_BYTES <= TD_MEMORY_BYTES);
    assert_true(TD_QUEUE_BYTES <= TD_SESSION_BYTES);
    assert_true(TD_GRACE_MS <= TD_GRACE_MS_MAX);
    /* a session is dead, and then away, for less than its producer is known */
    assert_true(TD_DEAD_MS + TD_GRACE_MS < TD_PRODUCER_KEEP_MS);
    /* a client that tries as slowly as it ever does finds its session */
    assert_true(TD_GRACE_MS > TD_RETRY_MAX_MS + TD_GREETING_MS);
    assert_true(TD_SCAN_DEPTH_MAX <= TD_DATA_DEPTH_MAX);
    /* the broker forwards one batch's table as it came: in the longest forms
     * of msgpack, and its DELIVER around it */
    assert_true(TD_RUNS_MAX * (5 + 5 + TD_TYPE_BYTES_MAX + 4 * 9) + 5 + 5 +
                    TD_PRODUCER_BYTES + 5 + TD_SOURCE_BYTES_MAX + 9 + 5 + 32 <=
                TD_CONTROL_BYTES_MAX);
    /* a run is six values, a batch five besides its runs */
    assert_true(TD_RUNS_MAX * 6 + TD_BATCHES_MAX * 5 + 8 <= TD_SCAN_NODES_MAX);
    /* HELLO lists every subscription, CREDIT has a row for each */
    assert_true(TD_SUBSCRIPTIONS_MAX * (1 + 5 + 9 + 9) + 256 <=
                TD_CONTROL_BYTES_MAX);
    assert_true(TD_SUBSCRIPTIONS_MAX * (1 + 9 + 9 + 9 + 9) + 256 <=
                TD_CONTROL_BYTES_MAX);
    assert_true(TD_SUBSCRIPTIONS_MAX * 5 + 16 <= TD_SCAN_NODES_MAX);
    /* STATS: the longest row, of a subscription, has eleven values and their
     * keys, and six more by reason; its strings, numbers, keys */
    assert_true(TD_STATS_ROWS_MAX * (1 + 2 * 11 + 2 * 6) + 256 <=
                TD_SCAN_NODES_MAX);
    assert_true(TD_STATS_ROWS_MAX *
                        (TD_TYPE_BYTES_MAX + TD_NAME_BYTES_MAX +
                         TD_GROUP_BYTES_MAX + 32 + 13 * 9 + 17 * 13) +
                    4096 <=
                TD_CONTROL_BYTES_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits_of_section_9_are_those_of_limits_h),
        cmocka_unit_test(test_limits_in_italics_are_those_of_limits_h),
        cmocka_unit_test(
            test_limits_of_the_public_header_are_those_of_limits_h),
        cmocka_unit_test(test_limits_fit_one_another),
    };

    return cmocka_run_group_tests(tests, read_page, free_page);
}
