/* tidingsd and its data folder: who may have it, how soon it is back, and what
 * happens when there is no more room (FAULTS C11, C15, G16). */
#define _GNU_SOURCE /* unshare */

#include "tests/support/operate.h"
#include "tests/system/system.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/folder.h"

#define STREAM       "events"
#define GROUP        "workers"
#define STORE_EVENTS 100000u /* of a kilobyte each */
#define EVENT_BYTES  1000u
#define READY_MS     10000      /* on any machine; it is some milliseconds */
#define DISK_SIZE    "size=44m" /* the folder begins with 34 MiB */
#define FULL_EVENTS  20000u     /* more than fit */
#define LARGE_BYTES  4000u
#define CYCLES       20
#define CYCLES_LONG  100
#define REFUSAL_MS   10 /* from publishing to being told that it is full */

struct fixture {
    struct td_folder folder;
    struct td_daemon broker;
    struct td_proc second;
    struct sys_peer peer;
    tidings_bus *bus;
    bool mounted;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (!f || !td_folder_new(&f->folder))
        return -1;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    tidings_close(f->bus);
    sys_peer_close(&f->peer);
    td_proc_end(&f->second);
    td_daemon_end(&f->broker);
    if (f->mounted)
        umount(f->folder.path);
    td_folder_remove(&f->folder);
    free(f);
    return 0;
}

static const char *const *args_of(struct fixture *f)
{
    static const char *args[] = {"--data", NULL, NULL};

    args[1] = f->folder.path;
    return args;
}

static void open_bus(struct fixture *f)
{
    const struct tidings_options options = {.confirm = TIDINGS_DISK};

    assert_ok(tidings_open(&f->bus, f->broker.endpoint[0], &options));
    assert_ok(tidings_wait(f->bus, SYS_WAIT_MS));
}

static tidings_err publish(struct fixture *f, uint64_t events, size_t bytes)
{
    static char data[LARGE_BYTES];
    tidings_err err = TIDINGS_OK;

    for (uint64_t n = 0; n < events && !err; n++) {
        memcpy(data, &n, sizeof(n));
        err = tidings_publish(f->bus, "order.placed", data, bytes);
    }
    return err ? err : tidings_flush(f->bus, OPERATE_MS);
}

/* ---- whose it is ---- */

static void test_folder_has_one_broker(void **state)
{
    struct fixture *f = *state;
    const char *argv[] = {"tidingsd", "--listen",     "tcp://127.0.0.1:*",
                          "--data",   f->folder.path, NULL};
    char words[64];

    sys_broker_start(&f->broker, args_of(f));
    snprintf(words, sizeof(words), "is in use by process %d",
             (int)f->broker.proc.pid);
    assert_true(td_proc_start(&f->second, argv));
    assert_true(td_proc_wait(&f->second, SYS_WAIT_MS));
    assert_int_equal(td_proc_exit_code(&f->second), 1);
    assert_non_null(strstr(td_proc_errors(&f->second), words));
    assert_non_null(strstr(td_proc_errors(&f->second), f->folder.path));
    open_bus(f); /* the first has not noticed */
    assert_ok(publish(f, 10, 10));

    sys_kill(&f->broker.proc); /* and leaves the folder to the next */
    sys_broker_restart(&f->broker, args_of(f));
    assert_ok(publish(f, 10, 10));
    assert_int_equal(operate_stream_figure(f->bus, STREAM, "last"), 20);
}

/* ---- how soon it is back ---- */

static void expect_restart(struct fixture *f, const char *after)
{
    int64_t start_ms = td_proc_now_ms();
    int64_t took_ms;

    sys_broker_restart(&f->broker, args_of(f));
    took_ms = td_proc_now_ms() - start_ms;
    print_message("ready %lld ms after %s, with %u MB\n", (long long)took_ms,
                  after, STORE_EVENTS / 1000 * EVENT_BYTES / 1000);
    assert_true(took_ms < READY_MS);
    assert_int_equal(operate_stream_figure(f->bus, STREAM, "last"),
                     STORE_EVENTS);
}

static void test_folder_is_read_again_at_once(void **state)
{
    struct fixture *f = *state;

    sys_broker_start(&f->broker, args_of(f));
    open_bus(f);
    assert_ok(publish(f, STORE_EVENTS, EVENT_BYTES));
    sys_kill(&f->broker.proc);
    expect_restart(f, "kill -9");
    sys_stop(&f->broker.proc, SIGTERM);
    expect_restart(f, "SIGTERM");
}

/* ---- no more room ---- */

/* A small disk of its own, in a namespace of this process. */
static bool mount_small(struct fixture *f)
{
    f->mounted = unshare(CLONE_NEWNS) == 0 &&
                 mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
                 mount("tmpfs", f->folder.path, "tmpfs", 0, DISK_SIZE) == 0;
    return f->mounted;
}

static tidings_err ack(void *arg, const struct tidings_event *event)
{
    (void)event;
    atomic_fetch_add((atomic_uint *)arg, 1);
    return TIDINGS_OK;
}

static bool reaches(atomic_uint *n, unsigned enough)
{
    int64_t end = td_proc_now_ms() + SYS_WAIT_MS;

    while (atomic_load(n) < enough && td_proc_now_ms() < end)
        poll(NULL, 0, 2);
    return atomic_load(n) >= enough;
}

static uint64_t last(struct fixture *f)
{
    return operate_stream_figure(f->bus, STREAM, "last");
}

/* Until nothing more is taken; what is confirmed is there, and no more. */
static void fill_up(struct fixture *f)
{
    uint64_t before = last(f);
    struct tidings_info then;
    struct tidings_info now;

    assert_ok(tidings_info(&then, f->bus));
    assert_err(publish(f, FULL_EVENTS, LARGE_BYTES), TIDINGS_EFULL);
    assert_non_null(strstr(tidings_detail(), "the broker's disk is full"));
    assert_ok(tidings_info(&now, f->bus));
    assert_int_equal(now.confirmed - then.confirmed, last(f) - before);
    assert_int_equal(now.confirmed + now.unstored,
                     then.confirmed + then.unstored + FULL_EVENTS);
    assert_true(last(f) - before > 500);
}

/* A refusal waits for nothing: until one is as quick as it is to be, since the
 * machine may have others to do. */
static bool refuses_quickly(struct fixture *f)
{
    int64_t end = td_proc_now_ms() + SYS_WAIT_MS;
    bool quick = false;

    while (!quick && td_proc_now_ms() < end) {
        int64_t began = td_proc_now_ms();

        quick = publish(f, 1, LARGE_BYTES) == TIDINGS_EFULL &&
                td_proc_now_ms() - began <= REFUSAL_MS;
    }
    return quick;
}

static void make_room(struct fixture *f)
{
    int64_t end = td_proc_now_ms() + SYS_WAIT_MS;
    tidings_err err;

    assert_ok(operate(NULL, NULL, f->bus, "stream.purge",
                      (struct operate_option[]){{"name", STREAM, 0}, {0}}));
    while ((err = publish(f, 10, LARGE_BYTES)) == TIDINGS_EFULL &&
           td_proc_now_ms() < end)
        poll(NULL, 0, 2);
    assert_ok(err);
}

/* C11, G16: again and again, and settlements are taken all the while. */
static void test_folder_without_room_refuses_and_recovers(void **state)
{
    const struct tidings_sub_options member = {
        .stream = STREAM, .group = GROUP, .start = {TIDINGS_START_ALL}};
    const char *is_long = getenv("TIDINGS_LONG");
    int cycles = is_long && *is_long == '1' ? CYCLES_LONG : CYCLES;
    struct fixture *f = *state;
    atomic_uint handled = 0;

    if (!mount_small(f)) {
        print_message("skipped: may not mount a small disk\n");
        skip();
    }
    sys_broker_start(&f->broker, args_of(f));
    open_bus(f);
    for (int i = 0; i < cycles; i++) {
        fill_up(f);
        assert_true(refuses_quickly(f));
        if (i == 0) { /* it begins when the disk is full already */
            assert_true(sys_says(&f->broker.proc, "STORE-FULL"));
            assert_ok(
                tidings_subscribe(NULL, f->bus, ">", ack, &handled, &member));
        }
        assert_true(reaches(&handled, (unsigned)last(f)));
        assert_true(operate_until_settled(f->bus, STREAM, GROUP, SYS_WAIT_MS));
        make_room(f);
    }
    assert_true(operate_until_settled(f->bus, STREAM, GROUP, SYS_WAIT_MS));
    assert_int_equal(operate_group_figure(f->bus, STREAM, GROUP, "acked"),
                     last(f));
    assert_true(sys_says(&f->broker.proc, "STORE-OK"));
    assert_null(strstr(td_proc_errors(&f->broker.proc), "STORE-FAILED"));
    sys_stop(&f->broker.proc, SIGTERM);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_folder_has_one_broker),
        TEST(test_folder_is_read_again_at_once),
        TEST(test_folder_without_room_refuses_and_recovers), /* last: it leaves
                                                this process in a namespace */
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
