/* Outbox and inbox in a SQLite file, with a broker in the same process. */
#include "tests/support/td_test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/support/folder.h"
#include "tests/support/proc.h"
#include "tidings/sqlite.h"

#define WAIT_MS 20000

struct fixture {
    struct td_folder folder;
    char path[TD_FOLDER_PATH_MAX + 16];
    char url[TD_FOLDER_PATH_MAX + 48];
    sqlite3 *db;
    tidings_bus *bus;
    tidings_relay *relay;
    atomic_int told[4]; /* by kind */
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (!f || !td_folder_new(&f->folder))
        return -1;
    snprintf(f->path, sizeof(f->path), "%s/outbox.db", f->folder.path);
    snprintf(f->url, sizeof(f->url), "inproc://outbox?data=%s", f->folder.path);
    if (sqlite3_open(f->path, &f->db) != SQLITE_OK ||
        tidings_open(&f->bus, f->url, NULL) || tidings_wait(f->bus, WAIT_MS))
        return -1;
    sqlite3_busy_timeout(f->db, WAIT_MS); /* the relay writes, too */
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    tidings_relay_close(f->relay);
    tidings_close(f->bus);
    sqlite3_close(f->db);
    td_folder_remove(&f->folder);
    free(f);
    return 0;
}

static void run(sqlite3 *db, const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
}

static int64_t number(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *s = NULL;
    int64_t n = 0;

    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
    if (sqlite3_step(s) == SQLITE_ROW)
        n = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return n;
}

static void on_status(void *arg, const struct tidings_relay_status *status)
{
    struct fixture *f = arg;

    atomic_fetch_add(&f->told[status->kind], 1);
}

static void await_told(struct fixture *f, enum tidings_relay_kind kind,
                       int times)
{
    int64_t until = td_proc_now_ms() + WAIT_MS;

    while (atomic_load(&f->told[kind]) < times) {
        if (td_proc_now_ms() > until)
            fail_msg("%s was not told %d times", tidings_relay_kind_name(kind),
                     times);
        sqlite3_sleep(1);
    }
}

static void open_relay(struct fixture *f, tidings_relay **out)
{
    const struct tidings_relay_options options = {.on_status = on_status,
                                                  .on_status_arg = f};

    assert_ok(tidings_sqlite_relay(out, f->path, f->url, &options));
}

static void publish(struct fixture *f, const char *type, int n)
{
    const struct tidings_event event = {
        .type = type, .data = &n, .data_len = sizeof(n)};

    assert_ok(tidings_sqlite_publish(f->db, &event));
}

/* The events of the stream, from the first on. */
static size_t fetch(struct fixture *f, struct tidings_fetched *out, size_t max,
                    size_t want)
{
    const struct tidings_sub_options options = {
        .stream = "events", .pull = true, .start = {TIDINGS_START_ALL, 0, 0}};
    tidings_sub *sub = NULL;
    size_t len = 0;
    size_t n;

    assert_ok(tidings_subscribe(&sub, f->bus, "test.>", NULL, NULL, &options));
    while (len < max && !tidings_fetch(&n, out + len, sub, max - len,
                                       len < want ? WAIT_MS : 50))
        len += n;
    assert_ok(tidings_unsubscribe(sub, WAIT_MS));
    return len;
}

/* ---- tables and publishing ---- */

static void test_prepare_is_done_once_and_knows_its_version(void **state)
{
    struct fixture *f = *state;

    assert_ok(tidings_sqlite_prepare(f->db));
    run(f->db, "BEGIN IMMEDIATE");
    assert_ok(tidings_sqlite_prepare(f->db));
    run(f->db, "COMMIT");
    assert_int_equal(number(f->db, "SELECT count(*) FROM tidings_relay"), 1);

    run(f->db, "UPDATE tidings_relay SET version = 2");
    assert_err(tidings_sqlite_prepare(f->db), TIDINGS_EVERSION);
    assert_err(tidings_sqlite_prepare(NULL), TIDINGS_EINVAL);
}

static void test_publish_takes_part_in_the_transaction(void **state)
{
    const struct tidings_event event = {.type = "test.a"};
    const struct tidings_event bad = {.type = "test.*"};
    struct fixture *f = *state;

    run(f->db, "BEGIN IMMEDIATE");
    assert_err(tidings_sqlite_publish(f->db, &event), TIDINGS_ENOTFOUND);
    run(f->db, "ROLLBACK");
    assert_ok(tidings_sqlite_prepare(f->db));
    assert_err(tidings_sqlite_publish(f->db, &event), TIDINGS_EINVAL);
    assert_non_null(strstr(tidings_detail(), "BEGIN"));

    run(f->db, "BEGIN IMMEDIATE");
    assert_ok(tidings_sqlite_publish(f->db, &event));
    run(f->db, "ROLLBACK");
    run(f->db, "BEGIN IMMEDIATE");
    assert_err(tidings_sqlite_publish(f->db, &bad), TIDINGS_EINVAL);
    assert_err(tidings_sqlite_publish(f->db, NULL), TIDINGS_EINVAL);
    run(f->db, "COMMIT");
    assert_int_equal(number(f->db, "SELECT count(*) FROM tidings_outbox"), 0);
}

/* ---- the relay ---- */

static const struct tidings_attr attrs[] = {
    {.name = "partitionkey", .string = "käse"},
    {.name = "n", .kind = TIDINGS_ATTR_INTEGER, .integer = -7},
    {.name = "yes", .kind = TIDINGS_ATTR_BOOLEAN, .boolean = true},
    {.name = "raw",
     .kind = TIDINGS_ATTR_BINARY,
     .binary = "\0\1",
     .binary_len = 2},
};

static void test_relay_publishes_events_as_they_were(void **state)
{
    const struct tidings_event event = {
        .type = "test.whole",
        .id = "mine",
        .source = "/shop",
        .time_us = 1700000000123456,
        .subject = "s",
        .datacontenttype = "text/plain",
        .dataschema = "urn:x",
        .data = "hello",
        .data_len = 5,
        .attrs = attrs,
        .attrs_len = 4,
    };
    struct fixture *f = *state;
    struct tidings_fetched got[2];
    const struct tidings_event *e;

    assert_ok(tidings_sqlite_prepare(f->db));
    run(f->db, "BEGIN IMMEDIATE");
    assert_ok(tidings_sqlite_publish(f->db, &event));
    run(f->db, "COMMIT");
    open_relay(f, &f->relay);
    assert_ok(tidings_relay_flush(f->relay, WAIT_MS));

    assert_int_equal(fetch(f, got, 2, 1), 1);
    e = got[0].event;
    assert_string_equal(e->type, "test.whole");
    assert_string_equal(e->id, "mine");
    assert_string_equal(e->source, "/shop");
    assert_true(e->time_us == event.time_us);
    assert_string_equal(e->subject, "s");
    assert_string_equal(e->datacontenttype, "text/plain");
    assert_string_equal(e->dataschema, "urn:x");
    assert_int_equal(e->data_len, 5);
    assert_memory_equal(e->data, "hello", 5);
    assert_int_equal(e->attrs_len, 4);
    assert_string_equal(tidings_event_attr(e, "partitionkey"), "käse");
    for (size_t i = 0; i < 4; i++) {
        const struct tidings_attr *a = &e->attrs[i];

        if (strcmp(a->name, "n") == 0)
            assert_int_equal(a->integer, -7);
        if (strcmp(a->name, "yes") == 0)
            assert_true(a->boolean);
        if (strcmp(a->name, "raw") == 0)
            assert_int_equal(a->binary_len, 2);
    }
    tidings_free(got[0].event);
}

static void test_relay_keeps_the_order_of_many_and_empties_the_table(
    void **state)
{
    enum { ROWS = 3000 };
    struct fixture *f = *state;
    struct tidings_fetched *got = calloc(ROWS + 1, sizeof(*got));
    struct tidings_relay_info info;

    assert_non_null(got);
    run(f->db, "PRAGMA journal_mode = WAL");
    assert_ok(tidings_sqlite_prepare(f->db));
    open_relay(f, &f->relay);
    for (int n = 0; n < ROWS;) {
        run(f->db, "BEGIN IMMEDIATE");
        do
            publish(f, "test.many", n++);
        while (n % 500 != 0);
        run(f->db, "COMMIT");
    }
    assert_ok(tidings_relay_flush(f->relay, WAIT_MS));
    assert_int_equal(number(f->db, "SELECT count(*) FROM tidings_outbox"), 0);
    assert_int_equal(fetch(f, got, ROWS + 1, ROWS), ROWS);
    for (int n = 0; n < ROWS; n++) {
        assert_memory_equal(got[n].event->data, &n, sizeof(n));
        assert_int_equal(strlen(got[n].event->id), 32);
        tidings_free(got[n].event);
    }
    assert_ok(tidings_relay_info(&info, f->relay));
    assert_true(info.active);
    assert_int_equal(info.relayed, ROWS);
    assert_int_equal(info.waiting, 0);
    free(got);
}

/* Rows that nobody wakes it for, written by another connection. */
static void test_relay_finds_rows_by_itself(void **state)
{
    struct fixture *f = *state;
    struct tidings_fetched got;

    assert_ok(tidings_sqlite_prepare(f->db));
    open_relay(f, &f->relay);
    assert_ok(tidings_relay_flush(f->relay, WAIT_MS));
    run(f->db, "BEGIN IMMEDIATE");
    publish(f, "test.alone", 1);
    run(f->db, "COMMIT");
    assert_int_equal(fetch(f, &got, 1, 1), 1);
    tidings_free(got.event);
}

static void test_relay_marks_what_is_refused_for_good(void **state)
{
    struct fixture *f = *state;
    struct tidings_fetched got[3];
    struct tidings_relay_info info;
    size_t n;

    assert_ok(tidings_sqlite_prepare(f->db));
    run(f->db, "BEGIN IMMEDIATE");
    for (int i = 0; i < 6; i++)
        publish(f, "test.some", i);
    run(f->db, "UPDATE tidings_outbox SET type = '$x' WHERE number = 2");
    run(f->db, "UPDATE tidings_outbox SET attributes = 1 WHERE number = 3");
    run(f->db, "UPDATE tidings_outbox SET type = 'a' || char(0)"
               " WHERE number = 4");
    run(f->db, "UPDATE tidings_outbox SET data = zeroblob(1048577)"
               " WHERE number = 5");
    run(f->db, "COMMIT");
    open_relay(f, &f->relay);
    assert_ok(tidings_relay_flush(f->relay, WAIT_MS));
    assert_int_equal(atomic_load(&f->told[TIDINGS_RELAY_REFUSED]), 4);
    assert_int_equal(number(f->db,
                            "SELECT sum(number) FROM tidings_outbox"
                            " WHERE error LIKE 'EINVAL: %' AND number IN (2, 5)"
                            " OR error LIKE 'EPROTO: %' AND number IN (3, 4)"),
                     2 + 5 + 3 + 4);
    assert_ok(tidings_relay_info(&info, f->relay));
    assert_int_equal(info.refused, 4);

    /* Mended by a person, it goes too. */
    run(f->db, "UPDATE tidings_outbox SET type = 'test.late', error = NULL"
               " WHERE number = 2");
    assert_ok(tidings_relay_flush(f->relay, WAIT_MS));
    n = fetch(f, got, 3, 3);
    assert_int_equal(n, 3);
    assert_string_equal(got[2].event->type, "test.late");
    while (n-- > 0)
        tidings_free(got[n].event);
}

/* From now on the file has another name. */
static void use_link(struct fixture *f)
{
    char link[sizeof(f->path)];

    snprintf(link, sizeof(link), "%s/link.db", f->folder.path);
    assert_int_equal(symlink(f->path, link), 0);
    memcpy(f->path, link, sizeof(link));
}

static void test_relay_stands_by_while_another_is_at_work(void **state)
{
    struct fixture *f = *state;
    tidings_relay *first = NULL;
    struct tidings_fetched got[2];

    assert_ok(tidings_sqlite_prepare(f->db));
    open_relay(f, &first);
    await_told(f, TIDINGS_RELAY_ACTIVE, 1);
    use_link(f);
    open_relay(f, &f->relay);
    await_told(f, TIDINGS_RELAY_STANDBY, 1);
    assert_err(tidings_relay_flush(f->relay, 1), TIDINGS_ETIMEDOUT);
    assert_non_null(strstr(tidings_detail(), "another relay"));

    tidings_relay_close(first);
    run(f->db, "BEGIN IMMEDIATE");
    publish(f, "test.next", 1);
    run(f->db, "COMMIT");
    assert_ok(tidings_relay_flush(f->relay, WAIT_MS));
    assert_int_equal(fetch(f, got, 2, 1), 1);
    tidings_free(got[0].event);
}

static void test_relay_waits_for_tables_and_tells_so(void **state)
{
    struct fixture *f = *state;

    open_relay(f, &f->relay);
    await_told(f, TIDINGS_RELAY_TROUBLE, 1);
    assert_ok(tidings_sqlite_prepare(f->db));
    await_told(f, TIDINGS_RELAY_ACTIVE, 1);
}

static void test_relay_refuses_what_is_no_file(void **state)
{
    struct fixture *f = *state;
    const struct tidings_relay_options hasty = {.poll_ms = 1};

    assert_err(tidings_sqlite_relay(&f->relay, ":memory:", f->url, NULL),
               TIDINGS_EINVAL);
    assert_err(tidings_sqlite_relay(&f->relay, NULL, f->url, NULL),
               TIDINGS_EINVAL);
    assert_err(tidings_sqlite_relay(&f->relay, f->path, NULL, NULL),
               TIDINGS_EINVAL);
    assert_err(tidings_sqlite_relay(&f->relay, f->path, f->url, &hasty),
               TIDINGS_EINVAL);
    assert_err(tidings_relay_flush(NULL, 1), TIDINGS_EINVAL);
    assert_null(f->relay);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_prepare_is_done_once_and_knows_its_version),
        TEST(test_publish_takes_part_in_the_transaction),
        TEST(test_relay_publishes_events_as_they_were),
        TEST(test_relay_keeps_the_order_of_many_and_empties_the_table),
        TEST(test_relay_finds_rows_by_itself),
        TEST(test_relay_marks_what_is_refused_for_good),
        TEST(test_relay_stands_by_while_another_is_at_work),
        TEST(test_relay_waits_for_tables_and_tells_so),
        TEST(test_relay_refuses_what_is_no_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
