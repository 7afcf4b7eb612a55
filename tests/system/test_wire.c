/* What no ZeroMQ library would send (FAULTS W01 to W10, W22, G7, R24): plain
 * sockets against a real broker. After each of them good clients reach each
 * other, and the broker has not grown. What a DEALER can send is
 * hostile_client.py's. */
#include "tests/system/system.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "tests/support/rawzmtp.h"
#include "tests/system/junk.h"
#include "tests/system/usage.h"

#define HANDSHAKE_MS                                                           \
    3000               /* PROTOCOL.md 9: a peer that is not through by then */
#define SLACK_MS  2000 /* two busy cores */
#define GROWTH_KB (8 * 1024)                  /* FAULTS G7 */
#define BODY_MAX  ((1u << 20) + (256u << 10)) /* PROTOCOL.md 9 */

struct fixture {
    struct td_daemon broker;
    struct sys_peer good;
    uint64_t rounds;
    long before_kb;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (!f)
        return -1;
    *state = f;
    sys_broker_start(&f->broker, NULL);
    sys_peer_open(&f->good, f->broker.endpoint[0], "good");
    sys_peer_subscribe(&f->good, "good.>");
    f->before_kb = td_proc_resident_kb(&f->broker.proc);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    sys_peer_close(&f->good);
    td_daemon_end(&f->broker);
    free(f);
    return 0;
}

static void still_good(struct fixture *f)
{
    f->rounds++;
    sys_round_trip(&f->good, &f->good, "good.round", f->rounds);
}

static void check_end(struct fixture *f)
{
    long grown_kb = td_proc_resident_kb(&f->broker.proc) - f->before_kb;

    still_good(f);
    assert_int_equal(watch_now(&f->good.watch).down, 0);
    if (!SYS_SANITIZED && grown_kb > GROWTH_KB)
        fail_msg("the broker has grown by %ld kB", grown_kb);
}

static void greet(struct fixture *f, struct td_raw *raw)
{
    assert_true(td_raw_open(raw, f->broker.endpoint[0]));
    assert_true(td_raw_greet(raw, SYS_WAIT_MS));
}

/* ---- handshakes that do not end: W02, W03 ---- */

#define SILENT      2000
#define SILENT_LONG 9000 /* FAULTS W02 has 10,000: within usual limits */

/* One byte of a correct handshake each second. */
static void trickle(struct td_raw slow[2], int second)
{
    unsigned char greeting[TD_RAW_GREETING_BYTES];

    td_raw_greeting(greeting, "NULL");
    td_raw_send(&slow[0], greeting + second, 1);
    td_raw_send(&slow[1], second == 0 ? "\x04" : "\x29", 1);
}

static struct td_raw *open_silent(struct fixture *f, size_t n)
{
    struct td_raw *silent = calloc(n, sizeof(*silent));

    assert_non_null(silent);
    for (size_t i = 0; i < n; i++)
        assert_true(td_raw_open(&silent[i], f->broker.endpoint[0]));
    return silent;
}

/* Whoever connects meanwhile is served. */
static void connect_meanwhile(struct fixture *f)
{
    struct sys_peer late = {0};
    int64_t start_ms = td_proc_now_ms();

    sys_peer_open(&late, f->broker.endpoint[0], "late");
    sys_peer_subscribe(&late, "late.>");
    sys_round_trip(&late, &late, "late.x", 1);
    print_message("a good client needed %d ms\n",
                  (int)(td_proc_now_ms() - start_ms));
    sys_peer_close(&late);
}

static void test_handshakes_that_do_not_end_are_ended(void **state)
{
    struct fixture *f = *state;
    size_t n = usage_is_long() ? SILENT_LONG : SILENT;
    unsigned char greeting[TD_RAW_GREETING_BYTES];
    struct td_raw slow[2];
    struct td_raw *silent;
    int64_t start_ms;
    int64_t limit_ms;

    if (!usage_may_open(2 * (unsigned)n + 100))
        n = 400;
    td_raw_greeting(greeting, "NULL");
    for (int i = 0; i < 2; i++)
        assert_true(td_raw_open(&slow[i], f->broker.endpoint[0]));
    td_raw_send(&slow[1], greeting, sizeof(greeting));
    start_ms = td_proc_now_ms();
    silent = open_silent(f, n);
    limit_ms = td_proc_now_ms() + HANDSHAKE_MS + SLACK_MS;
    connect_meanwhile(f);
    print_message("%zu silent connections made in %d ms: broker has %d "
                  "descriptors, +%ld kB\n",
                  n, (int)(td_proc_now_ms() - start_ms),
                  usage_descriptors(&f->broker.proc),
                  td_proc_resident_kb(&f->broker.proc) - f->before_kb);

    for (int second = 0; td_proc_now_ms() < start_ms + HANDSHAKE_MS; second++) {
        trickle(slow, second);
        still_good(f);
        td_raw_until_gone(&slow[0], 990); /* waits: it is not gone yet */
    }
    for (size_t i = 0; i < n; i++) {
        assert_true(
            td_raw_until_gone(&silent[i], (int)(limit_ms - td_proc_now_ms())));
        td_raw_close(&silent[i]);
    }
    for (int i = 0; i < 2; i++) {
        assert_true(
            td_raw_until_gone(&slow[i], (int)(limit_ms - td_proc_now_ms())));
        td_raw_close(&slow[i]);
    }
    free(silent);
    connect_meanwhile(f);
    still_good(f);
    assert_int_equal(watch_now(&f->good.watch).down, 0);
}

/* ---- lengths that lie: W06 ---- */

static void test_frames_too_long_are_never_allocated(void **state)
{
    static const struct {
        const char *name;
        uint64_t len;
    } rows[] = {
        {"2^64 - 1", UINT64_MAX},
        {"2^63", UINT64_C(1) << 63},
        {"2^63 - 1", INT64_MAX},
        {"2^62", UINT64_C(1) << 62},
        {"2^32", UINT64_C(1) << 32},
        {"2^31", UINT64_C(1) << 31},
        {"the largest and one", BODY_MAX + 1},
    };
    struct fixture *f = *state;
    static char some[1000];

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        for (int again = 0; again < 20; again++) {
            struct td_raw raw;

            greet(f, &raw);
            td_raw_header(&raw, TD_RAW_LONG, rows[i].len);
            td_raw_send(&raw, some, sizeof(some));
            assert_row(rows[i].name, td_raw_until_gone(&raw, SYS_WAIT_MS));
            td_raw_close(&raw);
        }
        still_good(f);
    }
    check_end(f);
}

/* The length is allowed, the bytes do not come. */
static void test_frames_that_are_announced_only_cost_little(void **state)
{
    enum { PEERS = 100 };
    struct fixture *f = *state;
    struct td_raw raw[PEERS];

    for (int i = 0; i < PEERS; i++) {
        greet(f, &raw[i]);
        td_raw_header(&raw[i], TD_RAW_LONG | TD_RAW_MORE, BODY_MAX);
        td_raw_send(&raw[i], "x", 1);
    }
    still_good(f);
    check_end(f);
    for (int i = 0; i < PEERS; i++)
        td_raw_close(&raw[i]);
    check_end(f);
}

/* ---- frames: W08, W22 ---- */

static void test_messages_that_are_cut_off_change_nothing(void **state)
{
    struct fixture *f = *state;
    uint64_t published = sys_counters(f->good.bus).published;

    for (size_t frames = 1; frames <= 50; frames++) {
        struct td_raw raw;

        greet(f, &raw);
        for (size_t i = 0; i < frames; i++)
            td_raw_frame(&raw, TD_RAW_MORE, "\x92\x0b\x01", 3);
        if (frames % 2)
            td_raw_header(&raw, 0, 1000); /* and a last one half */
        td_raw_close(&raw);
    }
    still_good(f);
    assert_int_equal(sys_counters(f->good.bus).published, published + 1);
    check_end(f);
}

#define EMPTY      100000
#define EMPTY_LONG 1000000

/* Each is answered, and nobody reads the answers. */
static void test_a_flood_of_empty_messages_is_outlived(void **state)
{
    struct fixture *f = *state;
    int n = usage_is_long() ? EMPTY_LONG : EMPTY;
    struct td_raw raw;
    static char empty[2 * 1000]; /* flags 0, length 0 */

    greet(f, &raw);
    for (int i = 0; i < n; i += 1000) {
        assert_true(td_raw_send(&raw, empty, sizeof(empty)));
        if (i % 20000 == 0)
            still_good(f);
    }
    still_good(f);
    td_raw_close(&raw);
    check_end(f);
    assert_true(sys_counters(f->good.bus).bad_frames > 0);
}

/* ---- commands: W09, W10 ---- */

static void test_odd_heartbeats_do_no_harm(void **state)
{
    static char context[1 << 20];
    static const struct {
        const char *name;
        const char *command;
        size_t len;
    } rows[] = {
        {"PING without a time to live", "PING", 0},
        {"PING with half a time to live", "PING", 1},
        {"PING without a context", "PING", 2},
        {"PING with a context of 16", "PING", 18},
        {"PING with a context of 17", "PING", 19},
        {"PING with a context of 1 MB", "PING", sizeof(context)},
        {"PONG unasked", "PONG", 0},
        {"PONG with a context of 1 MB", "PONG", sizeof(context)},
        {"a second READY", "READY", 0},
        {"ERROR", "ERROR", 0},
        {"a command that nobody knows", "DANCE", 100},
        {"a command without a name", "", 0},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        for (int again = 0; again < 10; again++) {
            struct td_raw raw;
            char answer[64];

            greet(f, &raw);
            td_raw_command(&raw, rows[i].command, context, rows[i].len);
            td_raw_command(&raw, rows[i].command, context, rows[i].len);
            /* It may be answered, ended or ignored. */
            td_raw_receive(&raw, answer, sizeof(answer), 1);
            td_raw_close(&raw);
        }
        still_good(f);
    }
    check_end(f);
}

static void test_subscriptions_of_zeromq_leave_nothing_behind(void **state)
{
    static const char *const commands[] = {"SUBSCRIBE", "CANCEL"};
    struct fixture *f = *state;
    struct td_raw raw;
    char topic[200];

    memset(topic, 't', sizeof(topic));
    greet(f, &raw);
    for (int i = 0; i < 20000; i++) {
        snprintf(topic, 16, "%08d", i);
        assert_true(
            td_raw_command(&raw, commands[i % 2], topic, sizeof(topic)));
        topic[0] = (char)(i % 2); /* the form of ZMTP 3.0: a message */
        assert_true(td_raw_frame(&raw, 0, topic, sizeof(topic)));
    }
    still_good(f);
    check_end(f);
    td_raw_close(&raw);
}

/* ---- anything at all: W01, W04, G7 ---- */

#define PEERS      2000
#define PEERS_LONG 20000
#define LOG_BYTES  (1 << 20) /* FAULTS R24 */

/* Hangs up at once, or stays for some time. */
static void test_bad_peers_of_all_kinds_are_outlived(void **state)
{
    enum { STAY = 64 };
    struct fixture *f = *state;
    int n = usage_is_long() ? PEERS_LONG : PEERS;
    struct junk junk = {.seed = (uint64_t)td_proc_now_ms()};
    struct td_raw stay[STAY];
    struct stat log;

    print_message("seed %llu\n", (unsigned long long)junk.seed);
    for (int i = 0; i < STAY; i++)
        stay[i].fd = -1;
    for (int i = 0; i < n; i++) {
        struct td_raw *raw = &stay[junk_roll(&junk, STAY)];

        td_raw_close(raw);
        assert_true(junk_peer(&junk, raw, f->broker.endpoint[0]));
        if (junk_roll(&junk, 2))
            td_raw_close(raw);
        if (i % 100 == 99)
            still_good(f);
    }
    for (int i = 0; i < STAY; i++)
        td_raw_close(&stay[i]);
    check_end(f);
    assert_int_equal(fstat(f->broker.proc.err, &log), 0);
    assert_true(log.st_size < LOG_BYTES);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_handshakes_that_do_not_end_are_ended),
        TEST(test_frames_too_long_are_never_allocated),
        TEST(test_frames_that_are_announced_only_cost_little),
        TEST(test_messages_that_are_cut_off_change_nothing),
        TEST(test_a_flood_of_empty_messages_is_outlived),
        TEST(test_odd_heartbeats_do_no_harm),
        TEST(test_subscriptions_of_zeromq_leave_nothing_behind),
        TEST(test_bad_peers_of_all_kinds_are_outlived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
