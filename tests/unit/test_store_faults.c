/* Everything that a disk may do to a store: each call fails, once and for good,
 * short or slow, and the power is cut between any two writes. What was answered
 * stays, whole and in order; what failed is not believed. */
#include "tests/support/td_test.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "tests/support/store_image.h"
#include "tests/support/store_rig.h"

#define TRANSACTIONS 12  /* of a run with a failure */
#define CUT_RUN      160 /* transactions under which the power is cut */
#define CUTS         400 /* images; with TIDINGS_LONG=1 10,000 */
#define HELD_MS      50  /* for an answer that must not come */

static struct td_rig rig;

static int setup(void **state)
{
    (void)state;
    td_rig_init(&rig, false);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    td_disk_hold(false);
    td_disk_watch(NULL);
    td_disk_log(false);
    td_disk_forget();
    td_rig_fini(&rig);
    return 0;
}

/* ---- what a transaction leaves ---- */

/* Transaction n: a record with its number, the count of all, sometimes a large
 * one, and one of some time ago is gone. So a state tells what it is. */
static void fill(struct td_txn *txn, unsigned n)
{
    char key[16];
    char value[64];
    static char large[36000];

    memset(large, 'x', sizeof(large));
    snprintf(key, sizeof(key), "n%06u", n);
    snprintf(value, sizeof(value), "value %u", n);
    td_rig_put(txn, key, value);
    snprintf(value, sizeof(value), "%u", n);
    td_rig_put(txn, "count", value);
    if (n % 3 == 0) {
        snprintf(key, sizeof(key), "x%06u", n);
        td_txn_put(txn, td_rig_str(key),
                   (struct td_str){large, 12000 * (n % 4)}, NULL, 0, 0);
    }
    if (n > 40) {
        snprintf(key, sizeof(key), "n%06u", n - 40);
        td_txn_delete_range(txn, td_rig_str("n"), td_rig_str(key));
    }
}

/* The state is that after transaction so many, of at least and at most; how
 * many. */
static unsigned assert_state(unsigned least, unsigned most)
{
    struct td_store_answer *answer;
    unsigned n = (unsigned)atoi(td_rig_get(&rig, "count"));
    unsigned first = n > 40 ? n - 40 : 1;
    char key[16];
    char value[64];

    if (n < least || n > most)
        fail_msg("state %u is not within %u and %u", n, least, most);
    answer = td_rig_read(&rig, td_rig_str("n"), td_rig_str("o"), false,
                         UINT32_MAX, SIZE_MAX);
    assert_ok(answer->err);
    assert_int_equal(answer->records_len, n ? n - first + 1 : 0);
    for (uint32_t i = 0; i < answer->records_len; i++) {
        const struct td_record *r = &answer->records[i];

        snprintf(key, sizeof(key), "n%06u", first + i);
        snprintf(value, sizeof(value), "value %u", first + i);
        assert_false(r->damaged);
        assert_int_equal(r->value.len, strlen(value));
        assert_memory_equal(r->key.data, key, r->key.len);
        assert_memory_equal(r->value.data, value, r->value.len);
    }
    td_store_answer_free(answer);
    answer = td_rig_read(&rig, td_rig_str("x"), td_rig_str("y"), false,
                         UINT32_MAX, SIZE_MAX);
    assert_ok(answer->err);
    assert_int_equal(answer->records_len, n / 3);
    for (uint32_t i = 0; i < answer->records_len; i++)
        assert_false(answer->records[i].damaged);
    td_store_answer_free(answer);
    return n;
}

/* ---- failures ---- */

struct failure {
    const char *row;
    enum td_disk_call call;
    int error; /* 0: by half */
    bool for_good;
    bool ends; /* the store is read only then, or may be */
};

/* Transactions one by one, some of them lost; how many were kept. The owner
 * does as it should: it reads again where it stands. */
static unsigned run_with(const struct failure *row, unsigned at)
{
    struct td_store_info info;
    const char *count;
    unsigned kept = 0;
    bool had_failed = false;

    td_disk_watch(rig.dir);
    td_disk_fail(row->call, at, row->error, row->for_good);
    for (unsigned i = 0; i < TRANSACTIONS; i++) {
        struct td_txn txn = {0};
        tidings_err err;

        fill(&txn, kept + 1);
        err = td_rig_commit(&rig, &txn, i % 4 ? TD_LEVEL_DISK : TD_LEVEL_OS);
        kept += err == TIDINGS_OK;
        assert_row_at(row->row, at, !(had_failed && err == TIDINGS_OK));
        assert_row_at(row->row, at, !err || td_disk_failed());
        rig.store->face->info(rig.store, &info);
        assert_row_at(
            row->row, at,
            err == TIDINGS_OK ||
                err == (row->error == ENOSPC ? TIDINGS_EFULL : TIDINGS_EIO) ||
                info.failed);
        /* what LMDB cannot take any more is safe, and not to be read */
        count = td_rig_get(&rig, "count");
        rig.store->face->info(rig.store, &info);
        assert_row_at(
            row->row, at,
            (unsigned)atoi(count) == kept ||
                (info.failed && strcmp(count, "EIO") == 0) ||
                (row->error == ENOSPC && strcmp(count, "EFULL") == 0));
        had_failed = info.failed;
        assert_row_at(row->row, at, !info.failed || row->ends);
    }
    return kept;
}

/* C09, C10, C12: a failed sync is never tried again and believed, half a write is
 * completed or fails, and no room at whatever moment loses nothing. */
static void test_store_survives_each_failing_call(void **state)
{
    static const struct failure rows[] = {
        {"EIO of a write, once", TD_DISK_WRITE, EIO, false, true},
        {"EIO of writes, for good", TD_DISK_WRITE, EIO, true, true},
        {"ENOSPC of a write, once", TD_DISK_WRITE, ENOSPC, false, true},
        {"ENOSPC of writes, for good", TD_DISK_WRITE, ENOSPC, true, true},
        {"half a write, once", TD_DISK_WRITE, 0, false, true},
        {"half of every write", TD_DISK_WRITE, 0, true, true},
        {"EINTR of a write", TD_DISK_WRITE, EINTR, false, false},
        {"EIO of a sync, once", TD_DISK_SYNC, EIO, false, true},
        {"EIO of syncs, for good", TD_DISK_SYNC, EIO, true, true},
        {"ENOSPC of a sync, once", TD_DISK_SYNC, ENOSPC, false, true},
        {"ENOSPC of an allocation, once", TD_DISK_ALLOCATE, ENOSPC, false,
         false},
        {"EIO of allocations, for good", TD_DISK_ALLOCATE, EIO, true, false},
    };

    (void)state;
    td_rig_fini(&rig); /* each turn has its own */
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        bool failed = true;

        for (unsigned at = 1; failed; at++) {
            unsigned kept;

            td_rig_init(&rig, false);
            rig.options.reserve_bytes = 64 << 10; /* soon used up */
            td_rig_open(&rig);
            kept = run_with(&rows[i], at);
            failed = td_disk_failed();
            td_rig_close(&rig); /* while it still fails */
            td_disk_watch(NULL);
            td_rig_open(&rig);
            /* a failed sync may have reached the disk after all */
            assert_state(kept, kept + 1);
            td_rig_fini(&rig);
            assert_row_at(rows[i].row, at, failed || at > 1);
        }
    }
    td_rig_init(&rig, false); /* for the teardown */
}

/* Opening fails at the n-th call; false: there are fewer. It says why, and
 * leaves a folder that opens when the disk is well. */
static bool open_with(enum td_disk_call call, unsigned at, int error,
                      bool for_good)
{
    char why[TD_STORE_WHY_BYTES] = "";
    tidings_err err;
    bool failed;

    td_rig_init(&rig, false);
    td_disk_watch(rig.dir);
    td_disk_fail(call, at, error, for_good);
    err = td_lmdb_open(&rig.store, rig.dir, &rig.options, why);
    failed = td_disk_failed();
    td_disk_watch(NULL);
    if (err) {
        rig.store = NULL;
        assert_row_at(why, at, failed && strstr(why, strerror(error)));
        assert_row_at(why, at, strstr(why, rig.dir) != NULL);
        assert_row_at(why, at,
                      err == TIDINGS_EIO ||
                          (error == ENOSPC && err == TIDINGS_EFULL));
        td_rig_open(&rig);
    }
    assert_int_equal(atoi(td_rig_get(&rig, "count")), 0);
    td_rig_fini(&rig);
    return failed;
}

static void test_store_opening_survives_each_failing_call(void **state)
{
    static const int errors[] = {EIO, ENOSPC, EROFS};

    (void)state;
    td_rig_fini(&rig); /* each turn has its own */
    for (int call = 0; call < TD_DISK_CALLS; call++) {
        for (unsigned i = 0; i < 2 * TD_ARRAY_LEN(errors); i++) {
            unsigned at = 1;

            while (open_with((enum td_disk_call)call, at, errors[i / 2], i % 2))
                at++;
            assert_true(at > 1);
        }
    }
    td_rig_init(&rig, false);
}

/* C17: a file whose entry in the folder is not synced may be gone after a power
 * cut, however well it was synced itself. */
static void test_store_syncs_its_folder(void **state)
{
    struct td_txn txn = {0};

    (void)state;
    td_disk_watch(rig.dir);
    td_rig_open(&rig);
    fill(&txn, 1);
    assert_ok(td_rig_commit(&rig, &txn, TD_LEVEL_DISK));
    assert_true(td_disk_entries_synced() > 2); /* . and .. */
    assert_int_equal(td_disk_entries_synced(), td_disk_entries(rig.dir));
    td_rig_close(&rig);
    assert_int_equal(td_disk_entries_synced(), td_disk_entries(rig.dir));
}

/* What was submitted before the owner knew fails too; what comes later does
 * not. */
static void test_store_fails_in_order(void **state)
{
    unsigned failed = 0;

    (void)state;
    td_rig_open(&rig);
    td_disk_watch(rig.dir);
    td_disk_slow(20); /* the others come in while the first is written */
    td_disk_fail(TD_DISK_WRITE, 1, ENOSPC, true);
    for (unsigned i = 1; i <= 20; i++) {
        struct td_txn txn = {0};

        fill(&txn, i);
        td_rig_submit(&rig, &txn, TD_LEVEL_DISK);
    }
    for (uint64_t i = 1; i <= 20; i++) {
        struct td_store_answer *answer = td_rig_answer(&rig);

        assert_int_equal(answer->ticket, i);
        failed += answer->err == TIDINGS_EFULL;
        td_store_answer_free(answer);
        if (i == 1) { /* now it knows */
            struct td_txn txn = {0};

            td_disk_fail(TD_DISK_WRITE, 0, 0, false);
            fill(&txn, 1);
            td_rig_submit(&rig, &txn, TD_LEVEL_DISK);
        }
    }
    assert_int_equal(failed, 20);
    {
        struct td_store_answer *answer = td_rig_answer(&rig);

        assert_int_equal(answer->ticket, 21);
        assert_ok(answer->err);
        td_store_answer_free(answer);
    }
    assert_state(1, 1);
}

/* No answer before the sync has returned; reads go on meanwhile. */
static void test_store_answers_after_the_sync(void **state)
{
    struct td_txn txn = {0};
    struct td_store_answer *answer;
    struct pollfd p;

    (void)state;
    td_rig_open(&rig);
    fill(&txn, 1);
    assert_ok(td_rig_commit(&rig, &txn, TD_LEVEL_DISK));
    assert_string_equal(td_rig_get(&rig, "count"), "1");
    td_disk_watch(rig.dir);
    td_disk_hold(true);
    fill(&txn, 2);
    td_rig_submit(&rig, &txn, TD_LEVEL_DISK);
    for (int ms = 0; !td_disk_syncing(); ms++) {
        assert_true(ms < RIG_DEADLINE_MS);
        poll(NULL, 0, 1);
    }
    p = (struct pollfd){.fd = rig.store->face->fd(rig.store), .events = POLLIN};
    assert_int_equal(poll(&p, 1, HELD_MS), 0);
    assert_string_equal(td_rig_get(&rig, "count"), "1");
    td_disk_hold(false);
    answer = td_rig_answer(&rig);
    assert_ok(answer->err);
    assert_int_equal(answer->kind, TD_STORE_WRITTEN);
    td_store_answer_free(answer);
    assert_state(2, 2);
}

/* ---- power cuts ---- */

static uint64_t seed = 4711;

static uint32_t below(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % n;
}

/* A cut before event at of the log: what the disk then has is opened. */
static void cut(const struct td_images *synced, const struct td_disk_event *log,
                size_t at, unsigned least, unsigned most)
{
    td_images_cut(synced, log, at, &seed, rig.dir);
    td_rig_open(&rig);
    assert_state(least, most);
    td_rig_close(&rig);
}

/* The run whose log is cut. Marks say what was answered: 2n at level os, 2n + 1
 * at level disk. */
static void cut_run(void)
{
    td_disk_watch(rig.dir);
    for (unsigned i = 1; i <= CUT_RUN; i++) {
        struct td_txn txn = {0};
        struct td_store_answer *answer;

        fill(&txn, i);
        td_rig_submit(&rig, &txn, below(3) ? TD_LEVEL_OS : TD_LEVEL_DISK);
        answer = td_rig_answer(&rig);
        assert_ok(answer->err);
        td_disk_mark(2 * i + (answer->level == TD_LEVEL_DISK));
        td_store_answer_free(answer);
    }
}

/* C03, C04: a write that no sync has covered may be there in part, as zeros, or
 * not at all. */
static void test_store_survives_power_cuts(void **state)
{
    const char *is_long = getenv("TIDINGS_LONG");
    uint32_t cuts = is_long && *is_long == '1' ? 10000 : CUTS;
    struct td_images synced = {0};
    const struct td_disk_event *log;
    size_t events;
    unsigned disk = 0; /* the last transaction answered at that level */
    unsigned last = 0;

    (void)state;
    td_disk_log(true);
    td_disk_watch(rig.dir);
    td_rig_open(&rig);
    td_disk_mark(0); /* it is open: a folder before it is none yet */
    cut_run();
    td_disk_log(false);
    td_disk_watch(NULL);
    td_rig_close(&rig);
    log = td_disk_events(&events);
    rig.options.reserve_bytes = 4096; /* nothing to be written ahead */
    for (size_t at = 0; at < events; at++) {
        const struct td_disk_event *e = &log[at];
        uint32_t share = cuts / (uint32_t)events + 1;

        if (e->kind == TD_DISK_MARK) {
            last = (unsigned)e->number / 2;
            if (e->number % 2)
                disk = last;
        }
        td_images_step(&synced, log, at);
        if (last == 0 || (share == 1 && below((uint32_t)events) >= cuts))
            continue;
        for (uint32_t i = 0; i < share; i++)
            cut(&synced, log, at + 1, disk, last + 1);
    }
    td_images_free(&synced);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_store_survives_each_failing_call),
        TEST(test_store_opening_survives_each_failing_call),
        TEST(test_store_syncs_its_folder),
        TEST(test_store_fails_in_order),
        TEST(test_store_answers_after_the_sync),
        TEST(test_store_survives_power_cuts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
