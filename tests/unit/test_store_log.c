/* The log alone: what was written is found again; what is torn, of an older
 * lap, of another folder or behind a hole is not; what is damaged is said to
 * be. */
#include "tests/support/td_test.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "broker/store/job.h"
#include "broker/store/log.h"
#include "broker/store/record.h"
#include "tests/support/store_rig.h"

#define BASE    40 /* a transaction of LMDB's */
#define ENTRIES 5
#define FUZZES  500
#define FRONT   (2 * TD_STORE_LOG_BLOCK) /* of the file: holds them */

static char dir[100];
static char path[120];
static const uint8_t id[16] = "a folder's own i";
static struct td_store_log log_;
static uint8_t *image;           /* of the file */
static size_t ends[ENTRIES + 1]; /* of the entries in it */

static void open_log(void)
{
    assert_int_equal(td_store_log_open(&log_, dir, id), 0);
}

static int setup(void **state)
{
    (void)state;
    td_rig_folder(dir);
    snprintf(path, sizeof(path), "%s/log", dir);
    image = malloc(TD_STORE_LOG_BYTES);
    open_log();
    td_store_log_restart(&log_, BASE, true);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    td_store_log_close(&log_);
    free(image);
    td_rig_remove(dir);
    return 0;
}

/* Entry n: a put, and a deletion of each kind. */
static void fill(struct td_txn *txn, unsigned n)
{
    char key[16];
    char value[32];

    snprintf(key, sizeof(key), "k%05u", n);
    snprintf(value, sizeof(value), "value %u", n);
    td_rig_put(txn, key, value);
    td_txn_delete(txn, td_rig_str("one"));
    td_txn_delete_range(txn, td_rig_str("from"), td_rig_str("to"));
}

static void append(unsigned n, enum td_level level)
{
    struct td_txn txn = {0};

    fill(&txn, n);
    assert_true(td_store_log_fits(&log_, td_store_log_size(&txn)));
    td_store_log_add(&log_, &txn);
    assert_int_equal(td_store_log_commit(&log_, level), 0);
    td_txn_fini(&txn);
}

/* Some entries from first on; the file stands in image. */
static void write_entries(unsigned first, enum td_level level)
{
    int fd;

    ends[0] = log_.len;
    for (unsigned i = 0; i < ENTRIES; i++) {
        append(first + i, level);
        ends[i + 1] = log_.len;
    }
    fd = open(path, O_RDONLY);
    assert_int_equal(read(fd, image, TD_STORE_LOG_BYTES), TD_STORE_LOG_BYTES);
    close(fd);
}

static void write_image(void)
{
    int fd = open(path, O_WRONLY);

    assert_true(ends[ENTRIES] <= FRONT);
    assert_int_equal(pwrite(fd, image, FRONT, 0), FRONT);
    close(fd);
}

static struct td_store_log_found found_at(uint64_t transaction)
{
    struct td_store_log_found found;

    td_store_log_close(&log_);
    open_log();
    assert_int_equal(td_store_log_find(&log_, transaction, &found), 0);
    return found;
}

/* So many entries are there, numbered from first, and no other operation. */
static void assert_entries(unsigned first, unsigned entries)
{
    struct td_store_log_at at = {0, 0};
    struct td_store_log_op op;
    char key[16];
    char value[32];

    for (unsigned i = 0; i < entries; i++) {
        snprintf(key, sizeof(key), "k%05u", first + i);
        snprintf(value, sizeof(value), "value %u", first + i);
        assert_true(td_store_log_next(&log_, log_.len, &at, &op));
        assert_int_equal(op.kind, TD_STORE_PUT);
        assert_true(td_store_compare(op.key, td_rig_str(key)) == 0);
        assert_true(td_record_check(op.key, op.value));
        assert_int_equal(op.value.len, TD_RECORD_HEAD_BYTES + strlen(value));
        assert_memory_equal(op.value.data + TD_RECORD_HEAD_BYTES, value,
                            strlen(value));
        assert_true(td_store_log_next(&log_, log_.len, &at, &op));
        assert_int_equal(op.kind, TD_STORE_DELETE);
        assert_true(td_store_compare(op.key, td_rig_str("one")) == 0);
        assert_true(td_store_log_next(&log_, log_.len, &at, &op));
        assert_int_equal(op.kind, TD_STORE_DELETE_RANGE);
        assert_true(td_store_compare(op.key, td_rig_str("from")) == 0);
        assert_true(td_store_compare(op.value, td_rig_str("to")) == 0);
    }
    assert_false(td_store_log_next(&log_, log_.len, &at, &op));
}

static void assert_found(uint64_t transaction, unsigned first, unsigned entries)
{
    struct td_store_log_found found = found_at(transaction);

    assert_false(found.damaged);
    assert_false(found.behind);
    assert_int_equal(found.stored, entries);
    assert_entries(first, entries);
}

/* ---- what is found ---- */

static void test_log_finds_what_was_written(void **state)
{
    (void)state;
    assert_found(BASE, 1, 0);
    td_store_log_restart(&log_, BASE, true);
    write_entries(1, TD_LEVEL_DISK);
    assert_entries(1, ENTRIES); /* before it is closed, too */
    assert_found(BASE, 1, ENTRIES);
    assert_found(BASE + 1, 1, 0); /* LMDB has taken them */
}

static void test_log_takes_no_more_than_it_holds(void **state)
{
    unsigned n = 0;
    struct td_txn txn = {0};

    (void)state;
    fill(&txn, 1);
    while (td_store_log_fits(&log_, td_store_log_size(&txn)))
        append(++n, TD_LEVEL_OS);
    td_txn_fini(&txn);
    assert_true(log_.len <= TD_STORE_LOG_BYTES);
    assert_true(log_.len > TD_STORE_LOG_BYTES - 200);
    assert_false(td_store_log_fits(&log_, SIZE_MAX));
    assert_found(BASE, 1, n);
}

/* C21 */
static void test_log_of_older_laps_is_not_found(void **state)
{
    (void)state;
    for (unsigned lap = 0; lap < 20; lap++) {
        unsigned entries = lap * 7 % 11;

        td_store_log_restart(&log_, BASE + lap, true);
        for (unsigned i = 0; i < entries; i++)
            append(100 * lap + i, i % 2 ? TD_LEVEL_OS : TD_LEVEL_DISK);
        assert_found(BASE + lap, 100 * lap, entries);
    }
}

/* C07: a file that was copied in */
static void test_log_of_another_folder_is_not_found(void **state)
{
    static const uint8_t other[16] = "another one's id";
    struct td_store_log_found found;

    (void)state;
    write_entries(1, TD_LEVEL_DISK);
    td_store_log_close(&log_);
    assert_int_equal(td_store_log_look(&log_, dir, other), 0);
    assert_int_equal(td_store_log_find(&log_, BASE, &found), 0);
    assert_int_equal(found.stored, 0);
    assert_false(found.damaged || found.behind);
}

static void test_log_is_made_again_where_that_was_cut_short(void **state)
{
    (void)state;
    for (off_t len = 0; len < TD_STORE_LOG_BYTES; len += 99999) {
        td_store_log_close(&log_);
        assert_int_equal(unlink(path), 0);
        open_log();
        assert_int_equal(truncate(path, len), 0);
        assert_found(BASE, 1, 0);
        td_store_log_restart(&log_, BASE, true);
        write_entries(1, TD_LEVEL_OS);
        assert_found(BASE, 1, ENTRIES);
    }
}

/* ---- torn and damaged ---- */

/* The last write of a power cut ends anywhere: behind it lies what was there
 * before, of an older lap or nothing. */
static void torn_at_every_byte(const uint8_t *before)
{
    uint8_t *whole = malloc(TD_STORE_LOG_BYTES);

    memcpy(whole, image, TD_STORE_LOG_BYTES);
    for (size_t cut = ends[0]; cut < ends[ENTRIES]; cut++) {
        unsigned entries = 0;

        while (ends[entries + 1] <= cut)
            entries++;
        memcpy(image, before, FRONT);
        memcpy(image, whole, cut);
        write_image();
        /* up to the last byte that means something */
        if (memcmp(image, whole, ends[entries + 1]) == 0)
            entries++;
        assert_found(BASE + 1, 11, entries);
    }
    free(whole);
}

/* C04, C08: zeros behind it */
static void test_log_torn_at_every_byte(void **state)
{
    uint8_t *zeros = calloc(1, TD_STORE_LOG_BYTES);

    (void)state;
    td_store_log_restart(&log_, BASE + 1, true);
    write_entries(11, TD_LEVEL_DISK);
    torn_at_every_byte(zeros);
    free(zeros);
}

/* C08, C21: what was written there before behind it */
static void test_log_torn_above_an_older_lap(void **state)
{
    uint8_t *before = malloc(TD_STORE_LOG_BYTES);

    (void)state;
    for (int i = 0; i < 2; i++)
        write_entries(11 + 5 * (unsigned)i, TD_LEVEL_DISK);
    memcpy(before, image, TD_STORE_LOG_BYTES);
    td_store_log_restart(&log_, BASE + 1, true);
    write_entries(11, TD_LEVEL_DISK);
    torn_at_every_byte(before);
    free(before);
}

/* Each byte: an entry of which a later one says that it was synced is missed,
 * the last one is as good as torn, and none is ever another. */
static void test_log_flipped_at_every_byte(void **state)
{
    unsigned same = 0;

    (void)state;
    write_entries(1, TD_LEVEL_DISK);
    for (size_t at = 0; at < ends[ENTRIES]; at++) {
        struct td_store_log_found found;
        unsigned entry = 0;

        if (at == TD_STORE_LOG_HEAD_BYTES) /* behind the note is nothing */
            at = ends[0];
        while (at >= ends[0] && at >= ends[entry + 1])
            entry++;
        image[at] ^= (uint8_t)(1u << at % 8);
        write_image();
        image[at] ^= (uint8_t)(1u << at % 8);
        found = found_at(BASE);
        assert_false(found.behind);
        assert_row_at("flip", at, found.damaged || found.stored >= ENTRIES - 1);
        if (found.damaged) {
            assert_row_at("flip", at, found.bad == entry + 1);
        } else {
            same += found.stored == ENTRIES && at >= ends[0];
            assert_row_at("flip", at,
                          at < ends[0] || entry == ENTRIES - 1 ||
                              found.stored == ENTRIES);
            assert_entries(1, found.stored);
        }
    }
    assert_true(same < ENTRIES * 8); /* what fills an entry up */
}

/* Many at once, anywhere: there may be less, never something else. */
static void test_log_never_finds_what_was_not_written(void **state)
{
    uint64_t seed = 12345;

    (void)state;
    write_entries(1, TD_LEVEL_OS);
    for (int i = 0; i < FUZZES; i++) {
        struct td_store_log_found found;
        uint8_t bytes[8];
        size_t at[8];

        for (int j = 0; j < 8; j++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            at[j] = ends[0] + (size_t)(seed >> 33) % (ends[ENTRIES] - ends[0]);
            bytes[j] = image[at[j]];
            image[at[j]] = (uint8_t)(seed >> 24);
        }
        write_image();
        found = found_at(BASE);
        assert_entries(1, found.stored);
        for (int j = 8; j-- > 0;)
            image[at[j]] = bytes[j];
    }
}

/* ---- behind a hole ---- */

/* Without a sync a power cut may keep a later entry and lose an earlier one:
 * what is behind the hole does not count, and never again. */
static void test_log_entries_behind_a_hole_are_over(void **state)
{
    (void)state;
    for (unsigned hole = 0; hole < ENTRIES; hole++) {
        td_store_log_restart(&log_, BASE, true);
        write_entries(1, TD_LEVEL_OS);
        memset(image + ends[hole], 0, 64);
        write_image();
        assert_found(BASE, 1, hole);
        /* the store takes what was found, if there was something, and goes on
         * with entries of the same size */
        td_store_log_restart(&log_, hole ? BASE + 1 : BASE, true);
        append(1, TD_LEVEL_DISK);
        assert_found(hole ? BASE + 1 : BASE, 1, 1);
    }
}

/* ---- LMDB's transaction ---- */

static void test_log_notices_that_lmdb_went_back(void **state)
{
    struct td_store_log_found found;

    (void)state;
    found = found_at(BASE - 1); /* by the note */
    assert_true(found.behind);
    assert_int_equal(found.base, BASE);
    td_store_log_restart(&log_, BASE, true);
    write_entries(1, TD_LEVEL_DISK);
    image[100 % TD_STORE_LOG_HEAD_BYTES] ^= 1; /* without the note, too */
    write_image();
    assert_true(found_at(BASE - 1).behind);
    image[ends[0] + 9] ^= 1; /* nor the first entry */
    write_image();
    assert_true(found_at(BASE - 1).behind);
}

/* What was not synced a power cut may take back. */
static void test_log_follows_an_lmdb_that_was_not_synced(void **state)
{
    (void)state;
    td_store_log_restart(&log_, BASE, false);
    write_entries(1, TD_LEVEL_OS);
    assert_found(BASE - 1, 1, 0);
    assert_found(BASE, 1, ENTRIES);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_log_finds_what_was_written),
        TEST(test_log_takes_no_more_than_it_holds),
        TEST(test_log_of_older_laps_is_not_found),
        TEST(test_log_of_another_folder_is_not_found),
        TEST(test_log_is_made_again_where_that_was_cut_short),
        TEST(test_log_torn_at_every_byte),
        TEST(test_log_torn_above_an_older_lap),
        TEST(test_log_flipped_at_every_byte),
        TEST(test_log_never_finds_what_was_not_written),
        TEST(test_log_entries_behind_a_hole_are_over),
        TEST(test_log_notices_that_lmdb_went_back),
        TEST(test_log_follows_an_lmdb_that_was_not_synced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
