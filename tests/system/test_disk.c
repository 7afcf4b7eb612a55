/* tidingsd over a disk that is slow, fails, or loses what it had (FAULTS C13,
 * C14, C19, C20): what was confirmed was true, what cannot be kept is refused
 * with its reason, and what is live goes on. The disk is iofault.c. */
#define _GNU_SOURCE /* unshare */

#include "tests/support/operate.h"
#include "tests/system/system.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

#include "tests/support/folder.h"

#define STREAM      "events"
#define SLOW_MS     500
#define HELD_MS     1000 /* a sync is; with TIDINGS_LONG=1 30 s */
#define LIVE_MS     1000 /* a round trip meanwhile, on a busy machine */
#define LARGE_BYTES 1000u
#define LARGE       20000u    /* events of so many bytes */
#define CUT_BYTES   (4 << 20) /* what is left of them */
#define ENOUGH      1000000u  /* events: more than a bus holds back */

struct fixture {
    struct td_folder folder;
    struct td_daemon broker;
    struct sys_peer live[2];
    tidings_bus *bus;
    char fault[TD_FOLDER_PATH_MAX + 8];
    uint64_t round_trips;
    bool mounted;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (!f || !td_folder_new(&f->folder))
        return -1;
    snprintf(f->fault, sizeof(f->fault), "%s.fault", f->folder.path);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    unlink(f->fault);
    tidings_close(f->bus);
    for (int i = 0; i < 2; i++)
        sys_peer_close(&f->live[i]);
    td_daemon_end(&f->broker);
    if (f->mounted)
        umount(f->folder.path);
    td_folder_remove(&f->folder);
    free(f);
    return 0;
}

/* ---- the disk ---- */

/* From now on syncs take so long (-1: until told otherwise), and writes and
 * syncs fail with this errno. */
static void set_fault(struct fixture *f, int sync_ms, int error)
{
    char next[sizeof(f->fault) + 4];
    FILE *file;

    snprintf(next, sizeof(next), "%s.new", f->fault);
    file = fopen(next, "w");
    assert_non_null(file);
    fprintf(file, "%d %d\n", sync_ms, error);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(next, f->fault), 0);
}

static const char *const *args_of(struct fixture *f)
{
    static const char *args[] = {"--data", NULL, NULL};

    args[1] = f->folder.path;
    return args;
}

static void start(struct fixture *f)
{
    const struct tidings_options options = {.confirm = TIDINGS_DISK,
                                            .publish_timeout_ms = 200};
    char path[512];

    setenv("LD_PRELOAD", td_proc_path(path, sizeof(path), "iofault.so"), 1);
    setenv("TIDINGS_IOFAULT", f->fault, 1);
    setenv("ASAN_OPTIONS", "verify_asan_link_order=0", 1);
    sys_broker_start(&f->broker, args_of(f));
    unsetenv("ASAN_OPTIONS");
    unsetenv("TIDINGS_IOFAULT");
    unsetenv("LD_PRELOAD");
    assert_ok(tidings_open(&f->bus, f->broker.endpoint[0], &options));
    assert_ok(tidings_wait(f->bus, SYS_WAIT_MS));
    sys_peer_open(&f->live[0], f->broker.endpoint[0], "from");
    sys_peer_open(&f->live[1], f->broker.endpoint[0], "to");
    sys_peer_subscribe(&f->live[1], "live");
}

/* ---- what goes on ---- */

/* Counters are told, and events reach who is there. */
static void live_goes_on(struct fixture *f, int held_ms)
{
    int64_t end = td_proc_now_ms() + held_ms;
    int64_t began;

    do {
        began = td_proc_now_ms();
        sys_round_trip(&f->live[0], &f->live[1], "live", ++f->round_trips);
        sys_counters(f->live[0].bus);
        assert_true(td_proc_now_ms() - began < LIVE_MS);
        poll(NULL, 0, 5);
    } while (td_proc_now_ms() < end);
}

/* What STATS says of the store. */
static void expect_store(struct fixture *f, const char *expected)
{
    char store[16] = "";
    struct tidings_value map;
    void *bytes;
    size_t len;

    assert_ok(tidings_stats(&bytes, &len, f->bus, SYS_WAIT_MS));
    assert_ok(tidings_value_read(&map, bytes, len));
    assert_ok(tidings_get_string(store, sizeof(store), map, "store"));
    tidings_free(bytes);
    assert_string_equal(store, expected);
}

static tidings_err publish(struct fixture *f, uint64_t n)
{
    char data[LARGE_BYTES] = {0};

    memcpy(data, &n, sizeof(n));
    return tidings_publish(f->bus, "kept", data, sizeof(data));
}

static tidings_err publish_one(struct fixture *f, uint64_t n)
{
    assert_ok(publish(f, n));
    return tidings_flush(f->bus, SYS_WAIT_MS);
}

/* ---- C19 ---- */

static void test_disk_is_waited_for(void **state)
{
    struct fixture *f = *state;

    start(f);
    assert_ok(publish_one(f, 1));
    set_fault(f, SLOW_MS, 0);
    for (uint64_t n = 2; n <= 4; n++) {
        int64_t began = td_proc_now_ms();

        assert_ok(publish_one(f, n));
        assert_true(td_proc_now_ms() - began >= SLOW_MS);
    }
}

/* ---- C14 ---- */

static void test_disk_that_stalls_holds_nobody_else(void **state)
{
    const char *is_long = getenv("TIDINGS_LONG");
    struct fixture *f = *state;
    struct tidings_info info;
    uint64_t n = 0;
    tidings_err err;

    start(f);
    set_fault(f, -1, 0);
    assert_ok(publish(f, ++n));
    assert_err(tidings_flush(f->bus, 100), TIDINGS_ETIMEDOUT);
    live_goes_on(f, is_long && *is_long == '1' ? 30000 : HELD_MS);
    while (!(err = publish(f, n + 1)) && n < ENOUGH)
        n++;
    assert_err(err, TIDINGS_EFULL); /* not for ever, and not too much */
    live_goes_on(f, 0);
    assert_ok(tidings_info(&info, f->bus));
    assert_int_equal(info.confirmed, 0);
    set_fault(f, 0, 0);
    assert_ok(tidings_flush(f->bus, SYS_WAIT_MS));
    assert_ok(tidings_info(&info, f->bus));
    assert_int_equal(info.confirmed, n);
    assert_true(operate_stream_figure(f->bus, STREAM, "last") >= n);
    sys_stop(&f->broker.proc, SIGTERM);
}

/* ---- C13 ---- */

static void test_disk_that_takes_no_writes_is_told(void **state)
{
    struct fixture *f = *state;
    uint64_t last;

    start(f);
    for (uint64_t n = 1; n <= 10; n++)
        assert_ok(publish_one(f, n));
    last = operate_stream_figure(f->bus, STREAM, "last");
    expect_store(f, "ok");
    set_fault(f, 0, EROFS);
    assert_err(publish_one(f, 11), TIDINGS_EIO);
    assert_err(publish_one(f, 12), TIDINGS_EIO);
    live_goes_on(f, 100);
    expect_store(f, "failed");
    assert_non_null(strstr(td_proc_errors(&f->broker.proc), "STORE-READ-ONLY"));
    assert_int_equal(operate_stream_figure(f->bus, STREAM, "last"), last);
    sys_stop(&f->broker.proc, SIGTERM);
    unlink(f->fault);
    sys_broker_restart(&f->broker, args_of(f));
    assert_ok(publish_one(f, 13)); /* it is well again */
    expect_store(f, "ok");
    assert_true(operate_stream_figure(f->bus, STREAM, "last") > last);
}

/* A disk of its own, in a namespace of this process. */
static bool mount_disk(struct fixture *f)
{
    f->mounted = unshare(CLONE_NEWNS) == 0 &&
                 mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
                 mount("tmpfs", f->folder.path, "tmpfs", 0, NULL) == 0;
    return f->mounted;
}

static void test_folder_that_is_read_only_is_refused(void **state)
{
    struct fixture *f = *state;
    const char *argv[] = {"tidingsd", "--listen",     "tcp://127.0.0.1:*",
                          "--data",   f->folder.path, NULL};

    if (!mount_disk(f)) {
        print_message("skipped: may not mount a disk\n");
        skip();
    }
    start(f);
    assert_ok(publish_one(f, 1));
    sys_stop(&f->broker.proc, SIGTERM);
    assert_int_equal(
        mount(NULL, f->folder.path, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
    td_proc_end(&f->broker.proc);
    assert_true(td_proc_start(&f->broker.proc, argv));
    assert_true(td_proc_wait(&f->broker.proc, SYS_WAIT_MS));
    assert_int_equal(td_proc_exit_code(&f->broker.proc), 1);
    assert_non_null(strstr(td_proc_errors(&f->broker.proc), f->folder.path));
    assert_non_null(strstr(td_proc_errors(&f->broker.proc), "ead-only"));
}

/* ---- C20 ---- */

struct reading {
    atomic_ullong events;
    atomic_ullong wrong;
};

static tidings_err on_event(void *arg, const struct tidings_event *event)
{
    struct reading *r = arg;
    uint64_t n = atomic_fetch_add(&r->events, 1) + 1;
    uint64_t number = 0;

    if (event->data_len == LARGE_BYTES)
        memcpy(&number, event->data, sizeof(number));
    if (number != n)
        atomic_fetch_add(&r->wrong, 1);
    return TIDINGS_OK;
}

static void cut_short(struct fixture *f)
{
    char path[TD_FOLDER_PATH_MAX + 16];

    snprintf(path, sizeof(path), "%s/data.mdb", f->folder.path);
    assert_int_equal(truncate(path, CUT_BYTES), 0);
}

static void test_file_that_is_cut_short_gives_nothing_wrong(void **state)
{
    const struct tidings_sub_options options = {.stream = STREAM,
                                                .start = {TIDINGS_START_ALL}};
    struct fixture *f = *state;
    struct reading reading = {0};
    const char *argv[] = {"tidingsd", "--listen",     "tcp://127.0.0.1:*",
                          "--data",   f->folder.path, NULL};

    start(f);
    for (uint64_t n = 1; n <= LARGE; n++)
        while (publish(f, n) == TIDINGS_EFULL)
            ;
    assert_ok(tidings_flush(f->bus, SYS_WAIT_MS));
    cut_short(f);
    assert_ok(
        tidings_subscribe(NULL, f->bus, "kept", on_event, &reading, &options));
    assert_true(sys_says(&f->broker.proc, "STORE-READ-ONLY"));
    expect_store(f, "failed");
    assert_err(publish_one(f, LARGE + 1), TIDINGS_EIO);
    live_goes_on(f, 100);
    assert_int_equal(atomic_load(&reading.wrong), 0);
    assert_true(atomic_load(&reading.events) < LARGE);
    sys_stop(&f->broker.proc, SIGTERM);
    td_proc_end(&f->broker.proc);
    assert_true(td_proc_start(&f->broker.proc, argv));
    assert_true(td_proc_wait(&f->broker.proc, SYS_WAIT_MS));
    assert_int_equal(td_proc_exit_code(&f->broker.proc), 1);
    assert_true(sys_says(&f->broker.proc, "is cut short"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_disk_is_waited_for),
        TEST(test_disk_that_stalls_holds_nobody_else),
        TEST(test_disk_that_takes_no_writes_is_told),
        TEST(test_file_that_is_cut_short_gives_nothing_wrong),
        TEST(test_folder_that_is_read_only_is_refused), /* last: it leaves this
                                                process in a namespace */
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
