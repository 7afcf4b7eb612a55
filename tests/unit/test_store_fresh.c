/* The log in front of LMDB, from without: one sync for a small commit, and
 * reads that see what is in the log alone; what a process that was killed has
 * left in it. */
#include "tests/support/td_test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <lmdb.h>

#include "broker/store/log.h"
#include "broker/store/record.h"
#include "tests/support/store_disk.h"
#include "tests/support/store_rig.h"

#define ALL     UINT32_MAX, SIZE_MAX
#define TRIES   20
#define LEFT    6   /* commits that a killed process has left in the log */
#define META_AT 144 /* in a meta page of LMDB's: its transaction */
#define PAGE    4096

static struct td_rig rig;
static char why[TD_STORE_WHY_BYTES];

static int setup(void **state)
{
    (void)state;
    td_rig_init(&rig, false);
    rig.options.reserve_bytes = 1 << 20;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    td_disk_watch(NULL);
    td_rig_fini(&rig);
    return 0;
}

static void path_of(char *out, const char *name)
{
    snprintf(out, 200, "%.120s/%s", rig.dir, name);
}

static void put(const char *key, const char *value, enum td_level level)
{
    struct td_txn txn = {0};

    td_rig_put(&txn, key, value);
    assert_ok(td_rig_commit(&rig, &txn, level));
}

static void put_large(const char *key, size_t len)
{
    struct td_txn txn = {0};
    char *data = malloc(len);

    memset(data, 'x', len);
    td_txn_put(&txn, td_rig_str(key), (struct td_str){data, len}, NULL, 0, 0);
    assert_ok(td_rig_commit(&rig, &txn, TD_LEVEL_DISK));
    free(data);
}

/* Syncs since the last call. */
static unsigned syncs(void)
{
    unsigned n = td_disk_count(TD_DISK_SYNC);

    td_disk_watch(rig.dir);
    return n;
}

/* The fewest that a small commit has cost: during the others LMDB may have
 * taken what was there before. */
static unsigned fewest_syncs(enum td_level level)
{
    unsigned fewest = UINT32_MAX;

    for (int i = 0; i < TRIES; i++) {
        unsigned n;

        syncs();
        put("a", "1", level);
        n = syncs();
        fewest = n < fewest ? n : fewest;
    }
    return fewest;
}

/* ---- what it costs ---- */

static void test_fresh_small_commit_is_one_sync(void **state)
{
    (void)state;
    td_rig_open(&rig);
    assert_int_equal(fewest_syncs(TD_LEVEL_DISK), 1);
    assert_int_equal(fewest_syncs(TD_LEVEL_OS), 0);
    syncs();
    put_large("b", 2 * TD_STORE_LOG_COMMIT_BYTES); /* LMDB's alone */
    assert_true(syncs() >= 2);
    assert_int_equal(fewest_syncs(TD_LEVEL_DISK), 1);
}

/* LMDB takes it by and by. */
static void test_fresh_is_not_fresh_for_long(void **state)
{
    (void)state;
    td_rig_open(&rig);
    put("a", "1", TD_LEVEL_DISK);
    syncs();
    for (int ms = 0; td_disk_count(TD_DISK_SYNC) == 0; ms++) {
        assert_true(ms < RIG_DEADLINE_MS);
        poll(NULL, 0, 1);
    }
    assert_string_equal(td_rig_get(&rig, "a"), "1");
}

/* ---- reads ---- */

/* Only a read that needs it makes LMDB take it. */
static void test_fresh_is_read_where_it_is(void **state)
{
    static const struct {
        const char *row, *from, *to;
        bool backwards;
        uint32_t records;
        const char *gives;
        bool waits;
    } rows[] = {
        {"before all", "a", "d", false, 9, "b=1 c=1", false},
        {"up to it", "a", "d5", false, 9, "b=1 c=1", false},
        {"beyond it", "g", "", false, 9, "h=1", false},
        {"backwards beyond it", "g", "", true, 9, "h=1", false},
        {"it", "d5", "d6", false, 9, "d5=2", true},
        {"more, but before it", "a", "", false, 1, "b=1 ...", false},
        {"more begins with it", "c", "", false, 1, "c=1 ...", true},
        {"backwards, more is behind it", "a", "", true, 1, "h=1 ...", false},
        {"one that is gone", "f", "g", false, 9, "", true},
        {"some that are gone", "e", "e9", false, 9, "", true},
        {"backwards over one that is gone", "f", "", true, 9, "h=1", true},
        {"all", "", "", false, 9, "b=1 c=1 d5=2 h=1", true},
    };

    unsigned waited = 0;
    unsigned went_on = 0;

    (void)state;
    td_rig_open(&rig);
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct td_txn txn = {0};
        unsigned n;

        td_txn_delete_range(&txn, td_rig_str("a"), td_rig_str(""));
        for (const char *key = "bcefgh"; *key; key++)
            td_rig_put(&txn, (char[]){*key, '\0'}, "1");
        assert_ok(td_rig_commit(&rig, &txn, TD_LEVEL_DISK));
        td_rig_text(&rig, "", "", false, ALL); /* LMDB has it */
        put("d5", "1", TD_LEVEL_DISK);
        put("d5", "2", TD_LEVEL_OS);
        td_txn_delete(&txn, td_rig_str("f"));
        td_txn_delete_range(&txn, td_rig_str("e"), td_rig_str("e9"));
        td_txn_delete(&txn, td_rig_str("g"));
        assert_ok(td_rig_commit(&rig, &txn, TD_LEVEL_OS));
        syncs();
        assert_row(
            rows[i].row,
            strcmp(td_rig_text(&rig, rows[i].from, rows[i].to,
                               rows[i].backwards, rows[i].records, SIZE_MAX),
                   rows[i].gives) == 0);
        n = syncs();
        waited += rows[i].waits && n > 0;
        went_on += !rows[i].waits && n == 0;
    }
    /* now and then LMDB has the time to take it by itself */
    assert_true(waited > 0);
    assert_true(went_on > 0);
}

/* One after the other, by the same owner: each sees the one before. */
static void test_fresh_is_seen_by_the_next_read(void **state)
{
    char value[16];

    (void)state;
    td_rig_open(&rig);
    for (int i = 0; i < 300; i++) {
        snprintf(value, sizeof(value), "%d", i);
        put("a", value, i % 3 ? TD_LEVEL_OS : TD_LEVEL_DISK);
        if (i % 2)
            put_large("b", i % 4 == 1 ? 100 : 100000);
        assert_string_equal(td_rig_get(&rig, "a"), value);
    }
}

/* ---- what a process leaves ---- */

static void wait_killed(pid_t pid)
{
    int status;

    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* Commits LEFT times, small, and is killed. */
static void commit_and_die(enum td_level level)
{
    pid_t pid = fork();

    if (pid == 0) {
        char key[16];

        td_rig_open(&rig);
        for (int i = 1; i <= LEFT; i++) {
            snprintf(key, sizeof(key), "k%d", i);
            put(key, "kept", level);
        }
        raise(SIGKILL);
    }
    wait_killed(pid);
}

/* The same, before LMDB has anything of it. */
static void leave(enum td_level level)
{
    struct td_lmdb_damage damage;

    for (int i = 0; i < TRIES; i++) {
        commit_and_die(level);
        assert_ok(td_lmdb_verify(rig.dir, NULL, &damage, why));
        assert_false(damage.tree);
        if (damage.records == 1) /* the format */
            return;
        td_rig_fini(&rig); /* it was slow; anew */
        setup(NULL);
    }
    fail_msg("LMDB always has it at once");
}

/* How many of them are there, and no other record; -1: it is not opened. */
static int look(void)
{
    char expected[128] = "";
    const char *text;
    int n = 0;

    if (td_lmdb_open(&rig.store, rig.dir, &rig.options, why) != TIDINGS_OK)
        return -1;
    text = td_rig_text(&rig, "", "", false, ALL);
    while (strlen(expected) < strlen(text)) {
        size_t at = strlen(expected);

        snprintf(expected + at, sizeof(expected) - at, "%sk%d=kept",
                 n ? " " : "", n + 1);
        n++;
    }
    assert_string_equal(text, expected);
    td_rig_close(&rig);
    return n;
}

static void test_fresh_survives_its_process(void **state)
{
    struct td_lmdb_damage damage;

    (void)state;
    leave(TD_LEVEL_OS);
    assert_int_equal(look(), LEFT);
    assert_int_equal(look(), LEFT);
    assert_ok(td_lmdb_verify(rig.dir, NULL, &damage, why));
    assert_int_equal(damage.records, 1 + LEFT);
}

struct copy {
    const char *name;
    uint8_t *data;
    size_t len;
};

static void copy_take(struct copy *copy)
{
    char path[200];
    struct stat st;
    int fd;

    path_of(path, copy->name);
    fd = open(path, O_RDONLY);
    assert_int_equal(fstat(fd, &st), 0);
    copy->len = (size_t)st.st_size;
    copy->data = malloc(copy->len);
    assert_int_equal(read(fd, copy->data, copy->len), copy->len);
    close(fd);
}

static void copy_put(const struct copy *copy)
{
    char path[200];
    int fd;

    path_of(path, copy->name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(write(fd, copy->data, copy->len), copy->len);
    close(fd);
}

static void remove_file(const char *name)
{
    char path[200];

    path_of(path, name);
    assert_int_equal(unlink(path), 0);
}

/* As is said of a log that is not sound. */
static void do_without_log(const struct copy *copies)
{
    copy_put(&copies[0]);
    remove_file("lock");
    remove_file("log");
    assert_int_equal(look(), 0);
}

static void test_fresh_says_when_the_log_is_damaged(void **state)
{
    struct copy copies[] = {
        {"data.mdb", NULL, 0}, {"lock", NULL, 0}, {"log", NULL, 0}};
    struct td_lmdb_damage damage;
    uint8_t *log;
    unsigned refused = 0;

    (void)state;
    leave(TD_LEVEL_DISK);
    for (size_t i = 0; i < TD_ARRAY_LEN(copies); i++)
        copy_take(&copies[i]);
    log = copies[2].data;
    for (size_t at = TD_STORE_LOG_BLOCK; at < TD_STORE_LOG_BLOCK + 500;
         at += 13) {
        int n;

        log[at] ^= 4;
        for (size_t i = 0; i < TD_ARRAY_LEN(copies); i++)
            copy_put(&copies[i]);
        log[at] ^= 4;
        assert_ok(td_lmdb_verify(rig.dir, NULL, &damage, why));
        n = look();
        refused += n < 0;
        assert_row_at("flip", at, n < 0 || n >= LEFT - 1);
        assert_row_at("flip", at, damage.tree == (n < 0));
        if (n < 0) {
            assert_non_null(strstr(why, "log is damaged: its entry"));
            assert_non_null(strstr(why, "remove the files lock and log"));
            assert_non_null(strstr(damage.first, "log is damaged"));
        }
    }
    assert_true(refused > 20);
    do_without_log(copies);
    for (size_t i = 0; i < TD_ARRAY_LEN(copies); i++)
        free(copies[i].data);
}

/* Like a backup of *.mdb alone: what was confirmed last would be gone, and its
 * sequences given out again. */
static void test_fresh_says_when_the_log_is_missing(void **state)
{
    static const struct {
        const char *what;
        size_t from; /* zeros … */
        size_t to;
        size_t len; /* … and so long */
    } rows[] = {
        {"not there", 0, 0, 0},
        {"short", 0, 0, 20},
        {"zeros", 0, TD_STORE_LOG_BYTES, TD_STORE_LOG_BYTES},
        {"without a note", 0, TD_STORE_LOG_BLOCK, TD_STORE_LOG_BYTES},
    };
    struct copy copies[] = {
        {"data.mdb", NULL, 0}, {"lock", NULL, 0}, {"log", NULL, 0}};
    struct td_lmdb_damage damage;

    (void)state;
    leave(TD_LEVEL_DISK);
    for (size_t i = 0; i < TD_ARRAY_LEN(copies); i++)
        copy_take(&copies[i]);
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct copy log = {"log", calloc(1, TD_STORE_LOG_BYTES), rows[i].len};

        memcpy(log.data, copies[2].data, log.len);
        memset(log.data + rows[i].from, 0, rows[i].to - rows[i].from);
        copy_put(&copies[0]);
        copy_put(&copies[1]);
        copy_put(&log);
        free(log.data);
        if (log.len == 0)
            remove_file("log");
        assert_ok(td_lmdb_verify(rig.dir, NULL, &damage, why));
        assert_row(rows[i].what, damage.tree);
        assert_non_null(strstr(damage.first, "log is missing"));
        for (int again = 0; again < 2; again++) {
            assert_row(rows[i].what, look() < 0);
            assert_non_null(strstr(why, "log is missing"));
            assert_non_null(strstr(why, "remove the files lock and log"));
        }
    }
    do_without_log(copies);
    for (size_t i = 0; i < TD_ARRAY_LEN(copies); i++)
        copy_put(&copies[i]);
    assert_int_equal(look(), LEFT);
    for (size_t i = 0; i < TD_ARRAY_LEN(copies); i++)
        free(copies[i].data);
}

/* Nor is the store made anew beside its log, or what it was closed with. */
static void test_fresh_needs_the_data(void **state)
{
    static const bool closed[] = {false, true};
    static const char *const said[] = {"data.mdb is missing",
                                       "data.mdb is empty"};
    struct td_lmdb_damage damage;

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct copy none = {"data.mdb", (uint8_t[1]){0}, 0};

        leave(TD_LEVEL_DISK);
        if (closed[i / 2])
            assert_int_equal(look(), LEFT);
        if (i % 2)
            copy_put(&none);
        else
            remove_file("data.mdb");
        assert_err(td_lmdb_verify(rig.dir, NULL, &damage, why), TIDINGS_EIO);
        assert_non_null(strstr(why, said[i % 2]));
        for (int again = 0; again < 2; again++) {
            assert_true(look() < 0);
            assert_non_null(strstr(why, said[i % 2]));
        }
        if (i % 2)
            remove_file("data.mdb");
        remove_file("lock");
        remove_file("log");
    }
}

/* LMDB has two meta pages, and trusts the one with the higher number. A flip
 * that takes two off the newest one's leaves two in a row; the log knows
 * better. */
static void test_fresh_notices_a_transaction_that_is_undone(void **state)
{
    struct copy copy = {"data.mdb", NULL, 0};
    uint64_t id[2];
    size_t newest;

    (void)state;
    for (;;) { /* up to a number that a flip makes less by two */
        pid_t pid = fork();

        if (pid == 0) {
            td_rig_open(&rig);
            put_large("k1", 2 * TD_STORE_LOG_COMMIT_BYTES);
            raise(SIGKILL);
        }
        wait_killed(pid);
        copy_take(&copy);
        for (size_t i = 0; i < 2; i++)
            memcpy(&id[i], copy.data + i * PAGE + META_AT, sizeof(id[i]));
        newest = id[1] > id[0];
        if (id[newest] & 2)
            break;
        free(copy.data);
    }
    copy.data[newest * PAGE + META_AT] ^= 2;
    copy_put(&copy);
    free(copy.data);
    assert_int_equal(look(), -1);
    assert_non_null(strstr(why, "is at transaction"));
}

/* ---- folders without a log ---- */

/* C16: it is read */
static void test_fresh_folder_of_the_format_before(void **state)
{
    uint8_t stored[28] = {0};
    MDB_val k = {.mv_size = 7, .mv_data = "\0format"};
    MDB_val v = {.mv_size = sizeof(stored), .mv_data = stored};
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;

    (void)state;
    td_rig_open(&rig);
    put("a", "1", TD_LEVEL_DISK);
    td_rig_close(&rig);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_open(env, rig.dir, 0, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
    stored[11] = 1;
    memset(stored + 12, 'i', 16);
    td_record_seal(stored, (struct td_str){"\0format", 7}, 20);
    assert_int_equal(mdb_put(txn, dbi, &k, &v, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
    remove_file("log");
    remove_file("lock");

    td_rig_open(&rig);
    assert_string_equal(td_rig_get(&rig, "a"), "1");
    assert_int_equal(fewest_syncs(TD_LEVEL_DISK), 1); /* it has one now */
    td_disk_watch(NULL);
    td_rig_close(&rig);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_open(env, rig.dir, MDB_RDONLY, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
    assert_int_equal(mdb_get(txn, dbi, &k, &v), 0);
    assert_int_equal(((uint8_t *)v.mv_data)[11], TD_STORE_FORMAT);
    assert_memory_equal((uint8_t *)v.mv_data + 12, "iiiiiiiiiiiiiiii", 16);
    mdb_txn_abort(txn);
    mdb_env_close(env);
}

/* No room for a log: it goes on without one, and gets one later. */
static void test_fresh_folder_without_room_for_a_log(void **state)
{
    char path[200];

    (void)state;
    td_rig_open(&rig);
    td_rig_close(&rig);
    path_of(path, "log");
    assert_int_equal(unlink(path), 0);
    td_disk_watch(rig.dir);
    td_disk_fail(TD_DISK_WRITE, 1, ENOSPC, false);
    td_rig_open(&rig);
    assert_true(td_disk_failed());
    assert_int_equal(access(path, F_OK), -1);
    assert_true(fewest_syncs(TD_LEVEL_DISK) >= 2);
    assert_string_equal(td_rig_get(&rig, "a"), "1");
    td_rig_close(&rig);
    td_rig_open(&rig);
    assert_int_equal(fewest_syncs(TD_LEVEL_DISK), 1);
}

/* No room for the rest of one that was cut short: what is in it stays. */
static void test_fresh_folder_without_room_for_all_of_its_log(void **state)
{
    char path[200];

    (void)state;
    leave(TD_LEVEL_DISK);
    path_of(path, "log");
    assert_int_equal(truncate(path, TD_STORE_LOG_BYTES / 2), 0);
    td_disk_watch(rig.dir);
    td_disk_fail(TD_DISK_WRITE, 1, ENOSPC, false);
    assert_true(look() < 0);
    assert_true(td_disk_failed());
    assert_non_null(strstr(why, strerror(ENOSPC)));
    assert_int_equal(look(), LEFT);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_fresh_small_commit_is_one_sync),
        TEST(test_fresh_is_not_fresh_for_long),
        TEST(test_fresh_is_read_where_it_is),
        TEST(test_fresh_is_seen_by_the_next_read),
        TEST(test_fresh_survives_its_process),
        TEST(test_fresh_says_when_the_log_is_damaged),
        TEST(test_fresh_says_when_the_log_is_missing),
        TEST(test_fresh_needs_the_data),
        TEST(test_fresh_notices_a_transaction_that_is_undone),
        TEST(test_fresh_folder_of_the_format_before),
        TEST(test_fresh_folder_without_room_for_a_log),
        TEST(test_fresh_folder_without_room_for_all_of_its_log),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
