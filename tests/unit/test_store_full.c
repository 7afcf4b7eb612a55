/* A full disk: on a small file system of its own, filled by the store itself
 * and by others. Needs to mount one, so root; skipped otherwise. */
#include "tests/support/td_test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

#include "tests/support/store_rig.h"

#define DISK   "size=8m"
#define BATCH  16384
#define DRAINS 20 /* fill and drain; with TIDINGS_LONG=1 100 */

static struct td_rig rig;
static char mounted[160];
static bool can_mount;

static int setup(void **state)
{
    (void)state;
    td_rig_init(&rig, false);
    rig.options.reserve_bytes = 0; /* as small as the disk demands */
    snprintf(mounted, sizeof(mounted), "%s", rig.dir);
    can_mount = mount("tmpfs", mounted, "tmpfs", 0, DISK) == 0;
    if (!can_mount)
        printf("skipped: cannot mount a tmpfs: %s\n", strerror(errno));
    if (can_mount)
        td_rig_open(&rig);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    if (rig.store)
        td_rig_close(&rig);
    if (can_mount)
        assert_int_equal(umount(mounted), 0);
    td_rig_fini(&rig);
    return 0;
}

static uint64_t free_bytes(void)
{
    struct td_store_info info;

    rig.store->face->info(rig.store, &info);
    assert_false(info.failed);
    return info.free_bytes;
}

static tidings_err put_batch(unsigned n)
{
    static char data[BATCH];
    struct td_txn txn = {0};
    char key[16];

    snprintf(key, sizeof(key), "n%06u", n);
    memset(data, (int)n, sizeof(data));
    td_txn_put(&txn, td_rig_str(key), (struct td_str){data, sizeof(data)}, NULL,
               0, 0);
    return td_rig_commit(&rig, &txn, TD_LEVEL_DISK);
}

/* As the engine does: batches until there is no room but the reserve, or none
 * of it in a row. */
static unsigned fill_up(unsigned n)
{
    tidings_err err = TIDINGS_OK;

    while (free_bytes() > 0 && !err) {
        err = put_batch(n);
        if (err && err != TIDINGS_EFULL)
            fail_msg("%s", tidings_err_name(err));
        n += err == TIDINGS_OK;
        assert_true(n < 100000);
    }
    return n;
}

/* What has to go on when the disk is full: small puts, and deletes. */
static void settle(unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        struct td_txn txn = {0};
        char key[16];

        snprintf(key, sizeof(key), "s%06u", i % 16);
        td_rig_put(&txn, key, "settled");
        assert_ok(td_rig_commit(&rig, &txn, TD_LEVEL_DISK));
    }
}

static void drain(unsigned from, unsigned to)
{
    struct td_txn txn = {0};
    char first[16];
    char last[16];

    snprintf(first, sizeof(first), "n%06u", from);
    snprintf(last, sizeof(last), "n%06u", to);
    td_txn_delete_range(&txn, td_rig_str(first), td_rig_str(last));
    assert_ok(td_rig_commit(&rig, &txn, TD_LEVEL_DISK));
}

/* C11: nor does one that began above half of the reserve take what is below:
 * a delete, which makes room, finds some. */
static void test_store_keeps_half_of_the_reserve_from_what_is_large(
    void **state)
{
    static char data[450 << 10];
    struct td_store_info info;
    tidings_err err = TIDINGS_OK;

    (void)state;
    if (!can_mount)
        skip();
    for (unsigned n = 0; !err; n++) {
        struct td_txn txn = {0};
        char key[16];

        snprintf(key, sizeof(key), "n%06u", n);
        td_txn_put(&txn, td_rig_str(key), (struct td_str){data, sizeof(data)},
                   NULL, 0, 0);
        err = td_rig_commit(&rig, &txn, TD_LEVEL_DISK);
    }
    assert_err(err, TIDINGS_EFULL);
    rig.store->face->info(rig.store, &info);
    assert_true(info.left_bytes >= info.reserve_bytes / 2);
    settle(16);
    drain(0, 1000);
}

/* C11 */
static void test_store_works_on_a_full_disk(void **state)
{
    const char *is_long = getenv("TIDINGS_LONG");
    int drains = is_long && *is_long == '1' ? 100 : DRAINS;
    unsigned from = 0;
    unsigned n = 0;
    unsigned held = 0;

    (void)state;
    if (!can_mount)
        return;
    for (int i = 0; i < drains; i++) {
        n = fill_up(n);
        held = held ? held : n - from;
        assert_true(n - from > 100);            /* most of 8 MiB */
        assert_true(n - from >= held * 8 / 10); /* and again each time */
        settle(50);
        drain(from, n - 50);
        assert_true(free_bytes() > 1 << 20);
        from = n - 50;
        settle(5);
    }
    td_rig_close(&rig);
    td_rig_open(&rig);
    assert_string_equal(td_rig_get(&rig, "s000001"), "settled");
}

/* Beyond the reserve a write fails, and no more than that write. */
static void test_store_says_when_nothing_fits(void **state)
{
    unsigned n;
    tidings_err err = TIDINGS_OK;

    (void)state;
    if (!can_mount)
        return;
    n = fill_up(0);
    for (unsigned i = n; !err; i++)
        err = put_batch(i);
    assert_err(err, TIDINGS_EFULL);
    assert_int_equal(free_bytes(), 0);
    drain(0, n);
    settle(3);
    assert_true(free_bytes() > 0);
    assert_ok(put_batch(0));
}

/* Somebody else has filled the disk; the folder is closed and opened on it. */
static void test_store_keeps_its_reserve_from_others(void **state)
{
    static char block[65536];
    char path[200];
    unsigned n = 0;
    int fd;

    (void)state;
    if (!can_mount)
        return;
    for (; n < 20; n++)
        assert_ok(put_batch(n));
    snprintf(path, sizeof(path), "%.120s/others", rig.dir);
    fd = open(path, O_WRONLY | O_CREAT, 0600);
    while (write(fd, block, sizeof(block)) > 0)
        ;
    close(fd);
    assert_ok(put_batch(n)); /* notices */
    n = fill_up(n + 1);
    settle(50);
    td_rig_close(&rig);
    td_rig_open(&rig);
    assert_int_equal(free_bytes(), 0);
    settle(50);
    drain(0, n);
    settle(3);
    assert_true(free_bytes() > 0);
    assert_string_equal(td_rig_get(&rig, "s000001"), "settled");
}

/* The limit of the folder is as good as the disk's. */
static void test_store_stays_below_its_limit(void **state)
{
    struct td_store_info info;
    unsigned n;

    (void)state;
    if (!can_mount)
        return;
    td_rig_close(&rig);
    rig.options.max_bytes = 4 << 20;
    td_rig_open(&rig);
    n = fill_up(0);
    settle(50);
    rig.store->face->info(rig.store, &info);
    assert_true(info.file_bytes <= 4 << 20);
    drain(0, n);
    settle(3);
    assert_true(free_bytes() > 0);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_store_keeps_half_of_the_reserve_from_what_is_large),
        TEST(test_store_works_on_a_full_disk),
        TEST(test_store_says_when_nothing_fits),
        TEST(test_store_keeps_its_reserve_from_others),
        TEST(test_store_stays_below_its_limit),
    };

    if (geteuid() != 0) {
        printf("skipped: mounting a small disk needs root\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
