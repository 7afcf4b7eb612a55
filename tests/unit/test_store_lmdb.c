/* A store's folder: who has it open, what format it has, how it was left, and
 * what is told of one that is damaged. */
#include "tests/support/td_test.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <lmdb.h>

#include "broker/store/record.h"
#include "tests/support/store_rig.h"

#define ALL UINT32_MAX, SIZE_MAX

static struct td_rig rig;
static char why[TD_STORE_WHY_BYTES];

static int setup(void **state)
{
    (void)state;
    td_rig_init(&rig, false);
    td_rig_open(&rig);
    why[0] = '\0';
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    td_rig_fini(&rig);
    return 0;
}

static tidings_err open_again(void)
{
    struct td_store *second = NULL;
    tidings_err err = td_lmdb_open(&second, rig.dir, &rig.options, why);

    if (err == TIDINGS_OK)
        second->face->close(second);
    return err;
}

static void path_of(char *out, const char *name)
{
    snprintf(out, 200, "%.120s/%s", rig.dir, name);
}

static void put(const char *key, const char *value)
{
    struct td_txn txn = {0};

    td_rig_put(&txn, key, value);
    assert_ok(td_rig_commit(&rig, &txn, TD_LEVEL_DISK));
}

/* A record too large for a page of the tree. */
static void put_large(const char *key, size_t len)
{
    struct td_txn txn = {0};
    uint8_t *data;
    struct td_body *body = td_body_new(len, &data);

    memset(data, 'x', len);
    td_txn_put(&txn, td_rig_str(key), td_rig_str("large"), body, 0, len);
    assert_ok(td_rig_commit(&rig, &txn, TD_LEVEL_DISK));
    td_body_unref(body);
}

static struct td_store_info info_of(void)
{
    struct td_store_info info;

    rig.store->face->info(rig.store, &info);
    return info;
}

/* As after a kill: the folder as it is now, without a mark. */
static void overwrite_mark(void)
{
    char path[200];
    int fd;

    path_of(path, "lock");
    fd = open(path, O_WRONLY | O_TRUNC);
    assert_int_equal(write(fd, "open in process 1\n", 18), 18);
    close(fd);
}

static void lose_mark(void)
{
    td_rig_close(&rig);
    overwrite_mark();
}

/* Changes the one place in data.mdb that holds these bytes. */
static void overwrite(const char *bytes, const char *with)
{
    char path[200];
    char *data;
    struct stat st;
    unsigned found = 0;
    int fd;

    path_of(path, "data.mdb");
    fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    data = malloc((size_t)st.st_size);
    assert_int_equal(pread(fd, data, (size_t)st.st_size, 0), st.st_size);
    for (off_t i = 0; i + (off_t)strlen(bytes) <= st.st_size; i++) {
        if (memcmp(data + i, bytes, strlen(bytes)) != 0)
            continue;
        assert_int_equal(pwrite(fd, with, strlen(with), i), strlen(with));
        found++;
    }
    assert_true(found > 0);
    free(data);
    close(fd);
}

/* ---- who has it ---- */

static void test_lmdb_is_open_once_in_a_process(void **state)
{
    (void)state;
    assert_err(open_again(), TIDINGS_EEXIST);
    assert_non_null(strstr(why, "by this process"));
    put("a", "1"); /* the first one still works */
    td_rig_close(&rig);
    assert_ok(open_again());
    td_rig_open(&rig);
}

static void test_lmdb_is_open_in_one_process(void **state)
{
    int from[2];
    int to[2];
    char expected[64];
    char byte = 0;
    pid_t pid;
    int status;

    (void)state;
    td_rig_close(&rig);
    assert_int_equal(pipe(from), 0);
    assert_int_equal(pipe(to), 0);
    pid = fork();
    if (pid == 0) {
        bool opened =
            td_lmdb_open(&rig.store, rig.dir, &rig.options, why) == TIDINGS_OK;

        if (write(from[1], opened ? "y" : "n", 1) != 1 ||
            read(to[0], &byte, 1) != 1)
            _exit(2);
        _exit(0); /* without closing it */
    }
    assert_int_equal(read(from[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    assert_err(open_again(), TIDINGS_EEXIST);
    snprintf(expected, sizeof(expected), "by process %ld", (long)pid);
    assert_non_null(strstr(why, expected));
    assert_int_equal(write(to[1], "x", 1), 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    td_rig_open(&rig);
    assert_true(info_of().unclean);
    for (int i = 0; i < 2; i++) {
        close(from[i]);
        close(to[i]);
    }
}

/* A child that outlives its parent's store has nothing of it. */
static void test_lmdb_is_not_kept_by_a_child(void **state)
{
    int hold[2];
    pid_t pid;

    (void)state;
    assert_int_equal(pipe(hold), 0);
    pid = fork();
    if (pid == 0) {
        char byte;

        close(hold[1]);
        _exit(read(hold[0], &byte, 1) != 0);
    }
    td_rig_close(&rig);
    td_rig_open(&rig);
    close(hold[0]);
    close(hold[1]);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* ---- format ---- */

/* C16 */
static void test_lmdb_refuses_a_newer_format(void **state)
{
    uint8_t stored[28] = {0};
    MDB_val k = {.mv_size = 7, .mv_data = "\0format"};
    MDB_val v = {.mv_size = sizeof(stored), .mv_data = stored};
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;

    (void)state;
    lose_mark();
    stored[11] = TD_STORE_FORMAT + 1;
    td_record_seal(stored, (struct td_str){"\0format", 7}, 20);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_open(env, rig.dir, 0, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
    assert_int_equal(mdb_put(txn, dbi, &k, &v, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
    assert_err(open_again(), TIDINGS_EVERSION);
    assert_non_null(strstr(why, "format 4"));
    assert_non_null(strstr(why, "reads 3"));
}

/* C07: of another program */
static void test_lmdb_refuses_what_is_not_a_store(void **state)
{
    MDB_val k = {.mv_size = 1, .mv_data = "x"};
    char path[200];
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    int fd;

    (void)state;
    td_rig_close(&rig);
    path_of(path, "data.mdb");
    unlink(path);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_open(env, rig.dir, 0, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
    assert_int_equal(mdb_put(txn, dbi, &k, &k, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
    path_of(path, "lock");
    unlink(path);
    assert_err(open_again(), TIDINGS_EIO);

    path_of(path, "data.mdb");
    fd = open(path, O_WRONLY | O_TRUNC);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(write(fd, "not LMDB", 8), 8);
    close(fd);
    assert_err(open_again(), TIDINGS_EIO);
    assert_non_null(strstr(why, "no store"));
}

static void test_lmdb_says_where_it_cannot_be(void **state)
{
    struct td_store *store;
    char path[200];

    (void)state;
    path_of(path, "not/there");
    assert_err(td_lmdb_open(&store, path, NULL, why), TIDINGS_EIO);
    assert_non_null(strstr(why, "No such file"));
    path_of(path, "data.mdb"); /* no folder */
    assert_err(td_lmdb_open(&store, path, NULL, why), TIDINGS_EIO);
}

static void test_lmdb_folder_has_an_id(void **state)
{
    struct td_store_info before = info_of();
    struct td_store_info after;
    static const uint8_t none[16];

    (void)state;
    assert_memory_not_equal(before.id, none, 16);
    td_rig_close(&rig);
    td_rig_open(&rig);
    after = info_of();
    assert_memory_equal(before.id, after.id, 16);
}

/* ---- how it was left ---- */

static void wait_checked(void)
{
    for (int ms = 0; info_of().checking; ms++) {
        assert_true(ms < RIG_DEADLINE_MS);
        poll(NULL, 0, 1);
    }
}

static void test_lmdb_notices_an_unclean_stop(void **state)
{
    (void)state;
    put("a", "1");
    put_large("b", 100000);
    lose_mark();
    td_rig_open(&rig);
    assert_true(info_of().unclean);
    wait_checked();
    assert_int_equal(info_of().damaged, 0);
    assert_string_equal(td_rig_get(&rig, "a"), "1");
    td_rig_close(&rig);
    td_rig_open(&rig);
    assert_false(info_of().unclean);
}

/* Damaged values are found, counted, and reported by their keys; the others
 * are served. */
static void test_lmdb_serves_around_damaged_values(void **state)
{
    struct td_store_answer *answer;
    char damaged_key[16] = "";

    (void)state;
    put("a", "wellwell");
    put("b", "unharmed");
    put_large("c", 6000);
    put("d", "unharmed");
    lose_mark();
    overwrite("wellwell", "wellwelk");
    overwrite("largexxxxx", "largexyxxx");
    td_rig_open(&rig);
    wait_checked();
    assert_int_equal(info_of().damaged, 2);
    answer = td_rig_read(&rig, td_rig_str(""), td_rig_str(""), false, ALL);
    assert_ok(answer->err);
    assert_int_equal(answer->records_len, 4);
    for (uint32_t i = 0; i < 4; i++) {
        const struct td_record *r = &answer->records[i];

        assert_int_equal(r->damaged, i % 2 == 0);
        assert_int_equal(r->value.len, r->damaged ? 0 : 8);
        if (r->damaged)
            strncat(damaged_key, r->key.data, r->key.len);
    }
    assert_string_equal(damaged_key, "ac");
    td_store_answer_free(answer);
}

/* C05: one whose key was damaged to be behind the range that it was in hides no
 * other. */
static void test_lmdb_serves_around_a_damaged_key(void **state)
{
    static const char *const from[] = {"r", "ra1", "rb1"};

    (void)state;
    put("q", "0");
    put("ra1", "1");
    put("rb1", "2");
    put("rc1", "3");
    put("t", "4");
    td_rig_close(&rig);
    overwrite("ra1", "za1");
    td_rig_open(&rig);
    for (size_t i = 0; i < TD_ARRAY_LEN(from); i++)
        assert_string_equal(
            td_rig_text(&rig, from[i], "s", false, UINT32_MAX, SIZE_MAX),
            "rb1=2 rc1=3");
    assert_string_equal(
        td_rig_text(&rig, "t", "u", false, UINT32_MAX, SIZE_MAX), "t=4");
}

static void test_lmdb_refuses_a_damaged_tree(void **state)
{
    tidings_err err = TIDINGS_OK;

    (void)state;
    for (int i = 0; i < 300; i++) {
        char key[16];

        snprintf(key, sizeof(key), "key%04d", i);
        put(key, "value");
    }
    td_rig_close(&rig);
    overwrite("key0150", "key0777"); /* out of order */
    /* It waits for a short time alone, in which others may run. */
    for (int i = 0; i < 100 && !err; i++) {
        overwrite_mark();
        err = open_again();
    }
    assert_err(err, TIDINGS_EIO);
    assert_non_null(strstr(why, "keys are out of order"));
}

/* C07, C08 */
static void test_lmdb_refuses_a_file_cut_short(void **state)
{
    char path[200];
    off_t cuts[] = {0, 1, 4095, 4096, 5000, 8192, 20000, 40000};

    (void)state;
    put_large("a", 30000);
    put_large("b", 30000);
    td_rig_close(&rig);
    path_of(path, "data.mdb");
    for (size_t i = TD_ARRAY_LEN(cuts); i-- > 0;) {
        assert_int_equal(truncate(path, cuts[i]), 0);
        assert_row_at("cut", cuts[i], open_again() == TIDINGS_EIO);
    }
    /* an empty file is a new one, but for the mark */
    assert_non_null(strstr(why, "data.mdb is empty"));
}

/* A free page whose number is damaged is written far behind the end: what lies
 * between is not to be allocated. */
static void test_lmdb_does_not_fill_up_a_file_too_long(void **state)
{
    struct stat st;
    char path[200];

    (void)state;
    put("a", "1");
    td_rig_close(&rig);
    path_of(path, "data.mdb");
    assert_int_equal(truncate(path, (off_t)1 << 30), 0);
    td_rig_open(&rig);
    assert_string_equal(td_rig_get(&rig, "a"), "1");
    assert_int_equal(stat(path, &st), 0);
    assert_true((uint64_t)st.st_blocks * 512 <= 4 * (uint64_t)TD_STORE_RESERVE);
}

/* An older copy of the file beside a newer mark. */
static void test_lmdb_refuses_an_older_state(void **state)
{
    char command[512];

    (void)state;
    put("a", "1");
    td_rig_close(&rig);
    snprintf(command, sizeof(command), "cp %.120s/data.mdb %.120s/copy",
             rig.dir, rig.dir);
    assert_int_equal(system(command), 0);
    td_rig_open(&rig);
    put("a", "2");
    td_rig_close(&rig);
    snprintf(command, sizeof(command), "mv %.120s/copy %.120s/data.mdb",
             rig.dir, rig.dir);
    assert_int_equal(system(command), 0);
    assert_err(open_again(), TIDINGS_EIO);
    snprintf(command, sizeof(command), "rm %.120s/lock", rig.dir);
    assert_int_equal(system(command), 0);
    assert_err(open_again(), TIDINGS_EIO); /* the log knows it, too */
    assert_non_null(strstr(why, "remove the files lock and log"));
    snprintf(command, sizeof(command), "rm %.120s/log", rig.dir);
    assert_int_equal(system(command), 0);
    td_rig_open(&rig); /* as it said */
    assert_string_equal(td_rig_get(&rig, "a"), "1");
}

/* ---- verify ---- */

static void note_key(void *ctx, struct td_str key)
{
    strncat(ctx, key.data, key.len);
}

static void test_lmdb_verify_tells_what_is_damaged(void **state)
{
    struct td_lmdb_damage damage;
    char keys[64] = "";
    const struct td_lmdb_watch watch = {.damaged = note_key, .ctx = keys};

    (void)state;
    put("a", "wellwell");
    put("b", "unharmed");
    put_large("c", 6000);
    assert_err(td_lmdb_verify(rig.dir, NULL, &damage, why), TIDINGS_EEXIST);
    td_rig_close(&rig);
    assert_ok(td_lmdb_verify(rig.dir, &watch, &damage, why));
    if (damage.tree || damage.damaged)
        fail_msg("%s", damage.first);
    assert_int_equal(damage.records, 4); /* and the format */
    overwrite("wellwell", "wellwelk");
    overwrite("largexxxxx", "largexyxxx");
    assert_ok(td_lmdb_verify(rig.dir, &watch, &damage, why));
    assert_false(damage.tree);
    assert_int_equal(damage.damaged, 2);
    assert_string_equal(keys, "ac");
    assert_string_equal(damage.first, "the checksum of the record with key 61");
    assert_err(td_lmdb_verify("/nowhere", NULL, &damage, why),
               TIDINGS_ENOTFOUND);
}

struct told {
    unsigned calls;
    uint64_t done;
    uint64_t total;
};

static void note_progress(void *ctx, uint64_t done, uint64_t total)
{
    struct told *told = ctx;

    assert_true(done >= told->done && done <= total && total > 0);
    *told = (struct told){told->calls + 1, done, total};
}

static void test_lmdb_verify_tells_how_far_it_is(void **state)
{
    struct told told = {0};
    const struct td_lmdb_watch watch = {.progress = note_progress,
                                        .ctx = &told};
    struct td_lmdb_damage damage;

    (void)state;
    put_large("a", 100000);
    for (char key[] = "k"; key[0] < 'z'; key[0]++)
        put(key, "a small one");
    td_rig_close(&rig);
    overwrite("largexxxxx", "largexyxxx");
    assert_ok(td_lmdb_verify(rig.dir, &watch, &damage, why));
    assert_int_equal(damage.damaged, 1);
    assert_true(told.calls > 0);
    assert_int_equal(told.done, told.total);
    assert_true(told.total > 100000 / 4096);
}

/* What LMDB does with its pages adds up, whatever was done. */
static void test_lmdb_verify_finds_nothing_in_a_sound_folder(void **state)
{
    struct td_lmdb_damage damage;
    char key[16];

    (void)state;
    for (int turn = 0; turn < 12; turn++) {
        for (int i = 0; i < 40; i++) {
            struct td_txn txn = {0};

            snprintf(key, sizeof(key), "k%03d", (i * 37 + turn * 11) % 200);
            if (i % 10 == 9)
                td_txn_delete_range(&txn, td_rig_str(key), td_rig_str("k150"));
            else if (i % 3)
                td_rig_put(&txn, key, "a small one");
            if (txn.len)
                assert_ok(td_rig_commit(&rig, &txn, TD_LEVEL_OS));
            else
                put_large(key, 900u * (unsigned)i);
        }
        td_rig_close(&rig);
        assert_ok(td_lmdb_verify(rig.dir, NULL, &damage, why));
        if (damage.tree || damage.damaged)
            fail_msg("%s", damage.first);
        td_rig_open(&rig);
    }
}

/* ---- faults of the map ---- */

/* The thread sanitizer takes signals before the guard does. */
#if defined(__SANITIZE_THREAD__)
#define SEES_SIGNALS false
#else
#define SEES_SIGNALS true
#endif

/* A file cut short while it is open: that read fails, the process lives, and
 * so does closing. */
static void test_lmdb_read_of_a_file_cut_short_is_an_error(void **state)
{
    char path[200];
    struct td_txn txn = {0};
    struct td_store_answer *answer;

    (void)state;
    if (!SEES_SIGNALS) {
        printf("skipped: under the thread sanitizer\n");
        skip();
    }
    td_rig_close(&rig);
    rig.options.guard = true;
    td_rig_open(&rig);
    for (int i = 0; i < 20; i++) {
        char key[16];

        snprintf(key, sizeof(key), "k%02d", i);
        put_large(key, 30000);
    }
    path_of(path, "data.mdb");
    assert_int_equal(truncate(path, 40000), 0);
    assert_string_equal(td_rig_text(&rig, "k10", "", false, ALL), "EIO");
    assert_string_equal(td_rig_text(&rig, "k10", "", false, ALL), "EIO");
    td_txn_delete_range(&txn, td_rig_str("k00"), td_rig_str(""));
    assert_err(td_rig_commit(&rig, &txn, TD_LEVEL_DISK), TIDINGS_EIO);
    assert_true(info_of().failed);
    answer = td_rig_read(&rig, td_rig_str("k"), td_rig_str(""), false, ALL);
    assert_err(answer->err, TIDINGS_EIO);
    td_store_answer_free(answer);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_lmdb_is_open_once_in_a_process),
        TEST(test_lmdb_is_open_in_one_process),
        TEST(test_lmdb_is_not_kept_by_a_child),
        TEST(test_lmdb_refuses_a_newer_format),
        TEST(test_lmdb_refuses_what_is_not_a_store),
        TEST(test_lmdb_says_where_it_cannot_be),
        TEST(test_lmdb_folder_has_an_id),
        TEST(test_lmdb_notices_an_unclean_stop),
        TEST(test_lmdb_serves_around_damaged_values),
        TEST(test_lmdb_serves_around_a_damaged_key),
        TEST(test_lmdb_refuses_a_damaged_tree),
        TEST(test_lmdb_refuses_a_file_cut_short),
        TEST(test_lmdb_does_not_fill_up_a_file_too_long),
        TEST(test_lmdb_refuses_an_older_state),
        TEST(test_lmdb_verify_tells_what_is_damaged),
        TEST(test_lmdb_verify_tells_how_far_it_is),
        TEST(test_lmdb_verify_finds_nothing_in_a_sound_folder),
        TEST(test_lmdb_read_of_a_file_cut_short_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
