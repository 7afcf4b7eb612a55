/* A broker with a data folder, killed again and again under load, sometimes
 * while it recovers; and members of a durable group that are killed as well
 * (FAULTS C01, C02, C18, D03, D04, D05). */
#include "tests/system/confirmed.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "tests/support/folder.h"
#include "tests/system/record.h"

#define CYCLES             100
#define CYCLES_LONG        1000
#define RESTART_MS         30000
#define MEMBERS            2
#define STREAM             "events" /* the one that is there from the start */
#define GROUP              "workers"
#define ACK_WAIT_MS        3000
#define MEMBER_CYCLES      12
#define MEMBER_CYCLES_LONG 200
#define SETTLE_MS          60000

struct kills {
    struct td_folder folder;
    struct td_daemon broker;
    struct confirmed publishers[CONFIRMED_PUBLISHERS];
    struct td_proc members[MEMBERS];
    struct sys_peer peer;
    uint32_t random;
    char records[TD_FOLDER_PATH_MAX + 16];
    int64_t *killed_ms; /* when what was killed */
    size_t kills;
};

static int setup(void **state)
{
    struct kills *k = calloc(1, sizeof(*k));

    if (!k || !td_folder_new(&k->folder))
        return -1;
    k->random = (uint32_t)time(NULL);
    print_message("seed %u\n", k->random);
    snprintf(k->records, sizeof(k->records), "%s/records", k->folder.path);
    k->killed_ms = calloc(4 * CYCLES_LONG, sizeof(*k->killed_ms));
    *state = k;
    return k->killed_ms ? 0 : -1;
}

static int teardown(void **state)
{
    struct kills *k = *state;

    for (size_t i = 0; i < MEMBERS; i++)
        td_proc_end(&k->members[i]);
    for (size_t i = 0; i < CONFIRMED_PUBLISHERS; i++)
        confirmed_end(&k->publishers[i]);
    sys_peer_close(&k->peer);
    td_daemon_end(&k->broker);
    td_folder_remove(&k->folder);
    free(k->killed_ms);
    free(k);
    return 0;
}

static int below(struct kills *k, uint32_t limit)
{
    k->random = k->random * 1664525u + 1013904223u;
    return (int)(((uint64_t)k->random * limit) >> 32);
}

static bool is_long(void)
{
    const char *asked = getenv("TIDINGS_LONG");

    return asked && *asked && strcmp(asked, "0") != 0;
}

/* ---- the broker ---- */

static const char *const *args_of(struct kills *k)
{
    static const char *args[] = {"--data", NULL, "--grace", "1", NULL};

    args[1] = k->folder.path;
    return args;
}

static void start(struct kills *k, int pause_ms)
{
    sys_broker_start(&k->broker, args_of(k));
    for (unsigned i = 0; i < CONFIRMED_PUBLISHERS; i++)
        confirmed_start(&k->publishers[i], k->broker.endpoint[0], "kill.a", i,
                        pause_ms);
}

static void note_kill(struct kills *k)
{
    assert_true(k->kills < 4 * CYCLES_LONG);
    k->killed_ms[k->kills++] = td_proc_now_ms();
}

static void kill_broker(struct kills *k)
{
    sys_kill(&k->broker.proc);
    note_kill(k);
}

/* Killed again before it may have come up (FAULTS C02). */
static void kill_while_it_recovers(struct kills *k)
{
    const char *argv[] = {"tidingsd", "--listen",     k->broker.endpoint[0],
                          "--data",   k->folder.path, NULL};

    for (int i = 0; i < 3; i++) {
        td_proc_end(&k->broker.proc);
        assert_true(td_proc_start(&k->broker.proc, argv));
        poll(NULL, 0, below(k, 20));
        td_proc_signal(&k->broker.proc, SIGKILL);
        assert_true(td_proc_wait(&k->broker.proc, SYS_WAIT_MS));
    }
}

static void restart(struct kills *k, int64_t *longest_ms)
{
    int64_t start_ms = td_proc_now_ms();

    sys_broker_restart(&k->broker, args_of(k));
    if (td_proc_now_ms() - start_ms > *longest_ms)
        *longest_ms = td_proc_now_ms() - start_ms;
}

static uint64_t confirmed(struct kills *k)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < CONFIRMED_PUBLISHERS; i++)
        sum += atomic_load(&k->publishers[i].confirmed);
    return sum;
}

/* In half of the cycles somebody has been confirmed since the last kill: who
 * lost a broker again soon after the last one tries less often. */
static void let_it_run(struct kills *k)
{
    uint64_t before = confirmed(k);
    int64_t end = td_proc_now_ms() + RESTART_MS;
    bool waits = below(k, 2) == 0;

    while (waits && confirmed(k) == before) {
        if (td_proc_now_ms() > end)
            fail_msg("nothing is confirmed %d ms after a restart", RESTART_MS);
        poll(NULL, 0, 1);
    }
    poll(NULL, 0, 5 + below(k, 195));
}

static void stop_publishers(struct kills *k)
{
    for (size_t i = 0; i < CONFIRMED_PUBLISHERS; i++)
        atomic_store(&k->publishers[i].stop, true);
    for (size_t i = 0; i < CONFIRMED_PUBLISHERS; i++)
        confirmed_stop(&k->publishers[i]);
}

/* ---- C01, C02 ---- */

static void test_kills_lose_nothing_that_was_confirmed(void **state)
{
    struct kills *k = *state;
    unsigned n = is_long() ? CYCLES_LONG : CYCLES;
    int64_t longest_ms = 0;
    uint64_t events;

    start(k, is_long() ? 150 : 5);
    for (unsigned i = 0; i < n; i++) {
        let_it_run(k);
        kill_broker(k);
        if (i % 5 == 4)
            kill_while_it_recovers(k);
        restart(k, &longest_ms);
    }
    stop_publishers(k);
    sys_peer_open(&k->peer, k->broker.endpoint[0], "reader");
    events = confirmed_check(k->peer.bus, STREAM, k->publishers,
                             CONFIRMED_PUBLISHERS);
    print_message("%u kills, %llu events, longest restart %lld ms\n", n,
                  (unsigned long long)events, (long long)longest_ms);
    sys_peer_close(&k->peer);
    sys_stop(&k->broker.proc, SIGTERM);
}

/* ---- a group whose members are killed as well ---- */

static void start_member(struct kills *k, size_t i)
{
    const char *argv[] = {"system_member", k->broker.endpoint[0],
                          STREAM,          GROUP,
                          k->records,      NULL};

    td_proc_end(&k->members[i]);
    assert_true(td_proc_start(&k->members[i], argv));
}

static void kill_one(struct kills *k, int64_t *longest_ms)
{
    unsigned which = (unsigned)below(k, MEMBERS + 1);

    if (which == MEMBERS) {
        kill_broker(k);
        restart(k, longest_ms);
        return;
    }
    sys_expect(&k->members[which], "ready");
    sys_kill(&k->members[which]);
    note_kill(k);
    start_member(k, which);
}

static void make_group(struct kills *k)
{
    const struct tidings_group_options options = {
        .stream = STREAM,
        .group = GROUP,
        .start = {.kind = TIDINGS_START_ALL},
        .ack_wait_ms = ACK_WAIT_MS,
        .max_deliver = 250,
        .backoff_ms = 10,
        .backoff_max_ms = 100,
    };

    sys_peer_open(&k->peer, k->broker.endpoint[0], "operator");
    assert_ok(tidings_group_add(k->peer.bus, &options, SYS_WAIT_MS));
    sys_peer_close(&k->peer);
}

/* Twice is right when its time had passed, when the first broker is gone (its
 * member may still handle what had arrived), or when somebody was killed. */
static bool may_come_again(const struct kills *k,
                           const struct member_record *before,
                           const struct member_record *now)
{
    if (now->ms - before->ms >= ACK_WAIT_MS || now->epoch != before->epoch)
        return true;
    for (size_t i = 0; i < k->kills; i++) {
        if (k->killed_ms[i] >= before->ms && k->killed_ms[i] <= now->ms)
            return true;
    }
    return false;
}

struct tallied {
    uint64_t events, again, wrongly, foreign, missing;
};

/* last: the latest record of each event of each publisher. */
static void tally_record(struct kills *k, const struct member_record *r,
                         struct member_record *last[], struct tallied *t)
{
    uint64_t who = r->word[0];
    uint64_t n = r->word[1];

    if (who >= CONFIRMED_PUBLISHERS || n == 0 ||
        n > k->publishers[who].published) {
        t->foreign++;
        return;
    }
    t->events++;
    if (last[who][n].ms > 0) {
        t->again++;
        t->wrongly += !may_come_again(k, &last[who][n], r);
    }
    last[who][n] = *r;
}

static void check_records(struct kills *k)
{
    struct member_record *last[CONFIRMED_PUBLISHERS];
    FILE *file = fopen(k->records, "r");
    struct tallied t = {0};
    struct member_record r;

    assert_non_null(file);
    for (size_t i = 0; i < CONFIRMED_PUBLISHERS; i++) {
        last[i] = calloc(k->publishers[i].published + 1, sizeof(r));
        assert_non_null(last[i]);
    }
    while (fread(&r, sizeof(r), 1, file) == 1)
        tally_record(k, &r, last, &t);
    fclose(file);
    for (size_t i = 0; i < CONFIRMED_PUBLISHERS; i++) {
        for (uint64_t n = 1; n <= k->publishers[i].published; n++)
            t.missing += last[i][n].ms == 0;
        free(last[i]);
    }
    print_message("%zu kills, %llu records, %llu again\n", k->kills,
                  (unsigned long long)t.events, (unsigned long long)t.again);
    if (t.missing || t.wrongly || t.foreign)
        fail_msg("%llu missing, %llu again without a kill, %llu foreign",
                 (unsigned long long)t.missing, (unsigned long long)t.wrongly,
                 (unsigned long long)t.foreign);
}

static void test_kills_leave_no_event_unhandled(void **state)
{
    struct kills *k = *state;
    unsigned n = is_long() ? MEMBER_CYCLES_LONG : MEMBER_CYCLES;
    int64_t longest_ms = 0;

    start(k, is_long() ? 100 : 15);
    make_group(k);
    for (size_t i = 0; i < MEMBERS; i++)
        start_member(k, i);
    for (unsigned i = 0; i < n; i++) {
        let_it_run(k);
        kill_one(k, &longest_ms);
    }
    stop_publishers(k);
    sys_peer_open(&k->peer, k->broker.endpoint[0], "operator");
    if (!operate_until_settled(k->peer.bus, STREAM, GROUP, SETTLE_MS))
        fail_msg("of %llu events all below %llu are settled",
                 (unsigned long long)operate_stream_figure(k->peer.bus, STREAM,
                                                           "last"),
                 (unsigned long long)operate_group_figure(k->peer.bus, STREAM,
                                                          GROUP, "floor"));
    assert_int_equal(operate_group_figure(k->peer.bus, STREAM, GROUP, "dead"),
                     0);
    check_records(k);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_kills_lose_nothing_that_was_confirmed),
        TEST(test_kills_leave_no_event_unhandled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
