/* A data folder, from inside a program: kept, opened again, checked. */
#include "tests/support/td_test.h"

#include "tidings/tidings.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define WAIT_MS 20000

struct folder {
    char dir[64];
    char url[96];
};

static int setup(void **state)
{
    struct folder *f = calloc(1, sizeof(*f));

    *state = f;
    if (!f)
        return -1;
    snprintf(f->dir, sizeof(f->dir), "/tmp/tidings-api-store.XXXXXX");
    if (!mkdtemp(f->dir))
        return -1;
    snprintf(f->url, sizeof(f->url), "inproc://store?data=%s", f->dir);
    return 0;
}

static int teardown(void **state)
{
    static const char *const files[] = {"data.mdb", "lock.mdb", "lock", "log"};
    struct folder *f = *state;
    char path[128];

    for (size_t i = 0; i < TD_ARRAY_LEN(files); i++) {
        snprintf(path, sizeof(path), "%s/%s", f->dir, files[i]);
        unlink(path);
    }
    rmdir(f->dir);
    free(f);
    return 0;
}

static tidings_bus *open_bus(const struct folder *f)
{
    const struct tidings_options options = {.confirm = TIDINGS_DISK};
    tidings_bus *bus;

    assert_ok(tidings_open(&bus, f->url, &options));
    assert_ok(tidings_wait(bus, WAIT_MS));
    return bus;
}

static void publish(tidings_bus *bus, int events)
{
    char data[8000] = {0};

    for (int i = 0; i < events; i++)
        assert_ok(tidings_publish(bus, "a.b", data, sizeof(data)));
    assert_ok(tidings_flush(bus, WAIT_MS));
}

static void note_progress(void *arg, uint64_t done, uint64_t total)
{
    uint64_t *left = arg;

    *left = total - done;
}

static void test_store_is_sound(void **state)
{
    uint64_t left = UINT64_MAX;
    struct folder *f = *state;
    struct tidings_store_report report;
    tidings_bus *bus = open_bus(f);

    publish(bus, 100);
    assert_int_equal(tidings_store_verify(&report, f->dir, NULL, NULL),
                     TIDINGS_EEXIST);
    assert_non_null(strstr(tidings_detail(), f->dir));
    assert_ok(tidings_close(bus));
    assert_ok(tidings_store_verify(&report, f->dir, note_progress, &left));
    assert_int_equal(left, 0);
    assert_true(report.records > 0);
    assert_int_equal(report.damaged, 0);
    assert_false(report.broken);
    assert_string_equal(report.first, "");
}

static void test_store_is_damaged(void **state)
{
    struct folder *f = *state;
    struct tidings_store_report report;
    tidings_bus *bus = open_bus(f);
    char path[128];
    char zero = 'x';
    struct stat st;
    int fd;

    publish(bus, 100);
    assert_ok(tidings_close(bus));
    snprintf(path, sizeof(path), "%s/data.mdb", f->dir);
    fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    /* here and there: some of it is a record */
    for (off_t at = 20000; at < 900000 && at < st.st_size; at += 4096)
        assert_int_equal(pwrite(fd, &zero, 1, at + 2000), 1);
    close(fd);
    assert_ok(tidings_store_verify(&report, f->dir, NULL, NULL));
    assert_true(report.damaged > 0 || report.broken);
    assert_true(report.first[0] != '\0');
}

/* ---- lists, and conditions ---- */

struct told {
    unsigned calls;
    tidings_err err[8];
    uint64_t sequence[8];
};

static void on_confirm(void *arg, const struct tidings_confirm *confirm)
{
    struct told *told = arg;

    assert_true(told->calls < 8);
    told->err[told->calls] = confirm->err;
    told->sequence[told->calls++] = confirm->sequence;
}

static void dispatch(tidings_bus *bus, const struct told *told, unsigned calls)
{
    for (int i = 0; i < 100 && told->calls < calls; i++) {
        assert_ok(tidings_flush(bus, WAIT_MS));
        assert_ok(tidings_dispatch(NULL, bus, 10));
    }
    assert_int_equal(told->calls, calls);
}

static void test_store_takes_lists_and_conditions(void **state)
{
    struct folder *f = *state;
    const struct tidings_options own = {.own_loop = true};
    const struct tidings_event events[] = {
        {.type = "a.b"}, {.type = "a.c"}, {.type = "a.b"}};
    struct told told = {0};
    struct tidings_publish_options options = {.on_confirm = on_confirm,
                                              .arg = &told};
    tidings_bus *bus;

    assert_ok(tidings_open(&bus, f->url, &own));
    assert_ok(tidings_wait(bus, WAIT_MS));
    assert_ok(tidings_publish_all(bus, events, 3, &options));
    dispatch(bus, &told, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(told.err[i], TIDINGS_OK);
        assert_int_equal(told.sequence[i], i + 1);
    }
    options.expects = true;
    options.expected = 2;
    assert_ok(tidings_publish_with(bus, &events[0], &options));
    dispatch(bus, &told, 4);
    assert_int_equal(told.err[3], TIDINGS_ECONFLICT);
    assert_int_equal(told.sequence[3], 3); /* the one that there is */
    options.expected = told.sequence[3];
    assert_ok(tidings_publish_with(bus, &events[0], &options));
    dispatch(bus, &told, 5);
    assert_int_equal(told.err[4], TIDINGS_OK);
    assert_int_equal(told.sequence[4], 4);
    assert_ok(tidings_close(bus));
}

static void test_store_refuses_lists(void **state)
{
    struct folder *f = *state;
    tidings_bus *bus = open_bus(f);
    struct tidings_event events[2] = {{.type = "a"}, {.type = "b"}};
    void *data = calloc(1, TIDINGS_DATA_MAX);

    assert_int_equal(tidings_publish_all(bus, events, 0, NULL), TIDINGS_EINVAL);
    assert_int_equal(tidings_publish_all(bus, NULL, 1, NULL), TIDINGS_EINVAL);
    assert_int_equal(
        tidings_publish_all(bus, events, TIDINGS_LIST_MAX + 1, NULL),
        TIDINGS_EINVAL);
    events[1].type = "a.*";
    assert_int_equal(tidings_publish_all(bus, events, 2, NULL), TIDINGS_EINVAL);
    assert_non_null(strstr(tidings_detail(), "event 1: "));
    events[1].type = "b";
    for (int i = 0; i < 2; i++) {
        events[i].data = data;
        events[i].data_len = TIDINGS_DATA_MAX;
    }
    assert_int_equal(tidings_publish_all(bus, events, 2, NULL), TIDINGS_ELIMIT);
    publish(bus, 2); /* and numbers go on without a gap */
    assert_ok(tidings_close(bus));
    free(data);
}

static void test_store_is_none(void **state)
{
    struct folder *f = *state;
    struct tidings_store_report report;

    assert_int_equal(tidings_store_verify(&report, f->dir, NULL, NULL),
                     TIDINGS_ENOTFOUND);
    assert_non_null(strstr(tidings_detail(), "no store is in"));
    assert_int_equal(rmdir(f->dir), 0); /* nothing was left in it */
    assert_int_equal(mkdir(f->dir, 0700), 0);
    assert_int_equal(
        tidings_store_verify(&report, "/nonexistent/x", NULL, NULL),
        TIDINGS_ENOTFOUND);
    assert_true(tidings_detail()[0] != '\0');
    assert_int_equal(tidings_store_verify(&report, "", NULL, NULL),
                     TIDINGS_EINVAL);
    assert_int_equal(tidings_store_verify(NULL, "/tmp", NULL, NULL),
                     TIDINGS_EINVAL);
}

/* Somebody who may only read: root may write anything. */
static void become_reader(const struct folder *f, bool reader)
{
    static const char *const files[] = {"data.mdb", "lock", "log"};
    char path[128];

    if (!reader && geteuid() != getuid())
        assert_int_equal(seteuid(getuid()), 0);
    for (size_t i = 0; i < TD_ARRAY_LEN(files); i++) {
        snprintf(path, sizeof(path), "%s/%s", f->dir, files[i]);
        (void)!chmod(path, reader ? 0444 : 0600); /* not all are there */
    }
    assert_int_equal(chmod(f->dir, reader ? 0555 : 0700), 0);
    if (reader && getuid() == 0)
        assert_int_equal(seteuid(65534), 0);
}

/* A backup on a disk that may only be read. */
static void test_store_may_only_be_read(void **state)
{
    struct folder *f = *state;
    struct tidings_store_report report;
    char path[128];

    snprintf(path, sizeof(path), "%s/lock", f->dir);
    for (int round = 0; round < 2; round++) {
        tidings_bus *bus = open_bus(f);
        tidings_err err;

        publish(bus, 3);
        assert_ok(tidings_close(bus));
        if (round == 1) /* a copy without it */
            assert_int_equal(unlink(path), 0);
        become_reader(f, true);
        err = tidings_store_verify(&report, f->dir, NULL, NULL);
        become_reader(f, false);
        assert_ok(err);
        assert_false(report.broken);
        assert_int_equal(report.damaged, 0);
        assert_true(report.records > 3);
        assert_int_equal(report.unlocked, round == 1);
        assert_int_equal(access(path, F_OK) == 0, round == 0);
    }
}

/* An option that is not known is refused by name, and nothing is made. */
static void test_store_refuses_unknown_options(void **state)
{
    static const struct {
        const char *options;
        const char *says;
    } rows[] = {
        {"?data=/nonexistent/x&y=1", "\"y\""},
        {"?data=/nonexistent/x&data=/y", "\"data\""},
        {"?y=1&data=/nonexistent/x", "\"y\""},
        {"?y", "\"y\""},
        {"?Data=/x", "\"Data\""},
        {"?", "\"\""},
        {"?data", "\"data\""},
        {"?data=", "empty"},
    };
    char url[96];

    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        tidings_bus *bus = NULL;

        snprintf(url, sizeof(url), "inproc://s%s", rows[i].options);
        assert_int_equal(tidings_open(&bus, url, NULL), TIDINGS_EINVAL);
        assert_null(bus);
        assert_non_null(strstr(tidings_detail(), rows[i].says));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_store_is_sound),
        TEST(test_store_is_damaged),
        TEST(test_store_takes_lists_and_conditions),
        TEST(test_store_refuses_lists),
        TEST(test_store_is_none),
        TEST(test_store_may_only_be_read),
        TEST(test_store_refuses_unknown_options),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
