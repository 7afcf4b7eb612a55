/* Outbox and inbox in a PostgreSQL database, on a server that this test starts,
 * with a broker in the same process. */
#include "tests/embed/postgres_rig.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>

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
        poll(NULL, 0, 1);
    }
}

static void open_relay(struct fixture *f, tidings_relay **out)
{
    const struct tidings_relay_options options = {
        .poll_ms = 60000, .on_status = on_status, .on_status_arg = f};

    assert_ok(tidings_postgres_relay(out, server.conninfo, f->url, &options));
}

static void publish(PGconn *db, const char *type, const char *key, int n)
{
    const struct tidings_attr attr = {.name = "partitionkey", .string = key};
    const struct tidings_event event = {.type = type,
                                        .data = &n,
                                        .data_len = sizeof(n),
                                        .attrs = &attr,
                                        .attrs_len = key != NULL};

    assert_ok(tidings_postgres_publish(db, &event));
}

static void publish_one(PGconn *db, const char *type, int n)
{
    run(db, "BEGIN");
    publish(db, type, NULL, n);
    run(db, "COMMIT");
}

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

    assert_ok(tidings_postgres_prepare(f->db));
    run(f->db, "BEGIN");
    assert_ok(tidings_postgres_prepare(f->db));
    run(f->db, "COMMIT");
    assert_int_equal(number(f->db, "SELECT count(*) FROM tidings_relay"), 1);
    run(f->db, "DELETE FROM tidings_relay"); /* as in a copy */
    assert_ok(tidings_postgres_prepare(f->db));
    assert_int_equal(number(f->db, "SELECT count(*) FROM tidings_relay"), 1);

    run(f->db, "UPDATE tidings_relay SET version = 2");
    assert_err(tidings_postgres_prepare(f->db), TIDINGS_EVERSION);
    assert_err(tidings_postgres_prepare(NULL), TIDINGS_EINVAL);
}

static void test_publish_takes_part_in_the_transaction(void **state)
{
    const struct tidings_event event = {.type = "test.a"};
    const struct tidings_event bad = {.type = "test.*"};
    struct fixture *f = *state;

    run(f->db, "BEGIN");
    assert_err(tidings_postgres_publish(f->db, &event), TIDINGS_ENOTFOUND);
    assert_err(tidings_postgres_publish(f->db, &event), TIDINGS_EINVAL);
    assert_non_null(strstr(tidings_detail(), "ROLLBACK"));
    run(f->db, "ROLLBACK");
    assert_ok(tidings_postgres_prepare(f->db));
    assert_err(tidings_postgres_publish(f->db, &event), TIDINGS_EINVAL);
    assert_non_null(strstr(tidings_detail(), "BEGIN"));

    run(f->db, "BEGIN");
    assert_ok(tidings_postgres_publish(f->db, &event));
    run(f->db, "ROLLBACK");
    run(f->db, "BEGIN");
    assert_err(tidings_postgres_publish(f->db, &bad), TIDINGS_EINVAL);
    run(f->db, "COMMIT");
    assert_int_equal(number(f->db, "SELECT count(*) FROM tidings_outbox"), 0);
}

/* Whoever comes second with a key has the higher number, and waits. */
static void test_publish_keeps_the_order_of_a_key(void **state)
{
    struct fixture *f = *state;
    PGconn *other = connect_db();

    assert_ok(tidings_postgres_prepare(f->db));
    run(other, "SET lock_timeout = '50ms'");
    run(f->db, "BEGIN");
    publish(f->db, "test.a", "k", 1);
    run(other, "BEGIN");
    publish(other, "test.a", "another", 2);
    publish(other, "test.a", NULL, 3);
    {
        const struct tidings_attr attr = {.name = "partitionkey",
                                          .string = "k"};
        const struct tidings_event event = {
            .type = "test.a", .attrs = &attr, .attrs_len = 1};

        assert_err(tidings_postgres_publish(other, &event), TIDINGS_ETIMEDOUT);
    }
    run(other, "ROLLBACK");
    run(f->db, "COMMIT");
    PQfinish(other);
}

/* ---- the relay ---- */

static void test_relay_publishes_events_as_they_were(void **state)
{
    const struct tidings_attr attrs[] = {
        {.name = "partitionkey", .string = "käse"},
        {.name = "raw",
         .kind = TIDINGS_ATTR_BINARY,
         .binary = "\0\1",
         .binary_len = 2},
    };
    const struct tidings_event event = {.type = "test.whole",
                                        .id = "mine-ü",
                                        .source = "/shop",
                                        .time_us = 1700000000123456,
                                        .subject = "s",
                                        .data = "h\0llo",
                                        .data_len = 5,
                                        .attrs = attrs,
                                        .attrs_len = 2};
    struct fixture *f = *state;
    struct tidings_fetched got[2];
    const struct tidings_event *e;

    assert_ok(tidings_postgres_prepare(f->db));
    run(f->db, "SET client_encoding = LATIN1; BEGIN");
    assert_ok(tidings_postgres_publish(f->db, &event));
    run(f->db, "COMMIT");
    open_relay(f, &f->relay);
    assert_ok(tidings_relay_flush(f->relay, WAIT_MS));

    assert_int_equal(fetch(f, got, 2, 1), 1);
    e = got[0].event;
    assert_string_equal(e->type, "test.whole");
    assert_string_equal(e->id, "mine-ü");
    assert_string_equal(e->source, "/shop");
    assert_true(e->time_us == event.time_us);
    assert_string_equal(e->subject, "s");
    assert_int_equal(e->data_len, 5);
    assert_memory_equal(e->data, "h\0llo", 5);
    assert_string_equal(tidings_event_attr(e, "partitionkey"), "käse");
    assert_int_equal(e->attrs_len, 2);
    tidings_free(got[0].event);
}

static void test_relay_keeps_the_order_of_many_and_empties_the_table(
    void **state)
{
    enum { ROWS = 2000 };
    struct fixture *f = *state;
    struct tidings_fetched *got = calloc(ROWS + 1, sizeof(*got));
    struct tidings_relay_info info;

    assert_non_null(got);
    assert_ok(tidings_postgres_prepare(f->db));
    open_relay(f, &f->relay);
    for (int n = 0; n < ROWS;) {
        run(f->db, "BEGIN");
        do
            publish(f->db, "test.many", NULL, n++);
        while (n % 500 != 0);
        run(f->db, "COMMIT");
    }
    assert_ok(tidings_relay_flush(f->relay, WAIT_MS));
    assert_int_equal(number(f->db, "SELECT count(*) FROM tidings_outbox"), 0);
    assert_int_equal(fetch(f, got, ROWS + 1, ROWS), ROWS);
    for (int n = 0; n < ROWS; n++) {
        assert_memory_equal(got[n].event->data, &n, sizeof(n));
        tidings_free(got[n].event);
    }
    assert_ok(tidings_relay_info(&info, f->relay));
    assert_int_equal(info.relayed, ROWS);
    free(got);
}

/* A client without these libraries, as tidings/postgres.h tells it to. */
static void test_relay_publishes_what_is_written_in_sql(void **state)
{
    struct fixture *f = *state;
    struct tidings_fetched got[2];

    assert_ok(tidings_postgres_prepare(f->db));
    run(f->db, "SELECT tidings_publish(NULL, 'test.sql', 'key-7',"
               " '\\x81af'::bytea || 'datacontenttype'::bytea ||"
               " '\\xb0'::bytea || 'application/json'::bytea,"
               " convert_to('{\"n\": 1}', 'UTF8'));"
               "SELECT tidings_publish('mine', 'test.bare', NULL, '\\x80',"
               " NULL)");
    open_relay(f, &f->relay);
    assert_ok(tidings_relay_flush(f->relay, WAIT_MS));
    assert_int_equal(fetch(f, got, 2, 2), 2);
    assert_string_equal(got[0].event->datacontenttype, "application/json");
    assert_string_equal(tidings_event_attr(got[0].event, "partitionkey"),
                        "key-7");
    assert_memory_equal(got[0].event->data, "{\"n\": 1}", 8);
    assert_string_equal(got[1].event->id, "mine");
    assert_true(got[1].event->time_us > 0);
    for (int i = 0; i < 2; i++)
        tidings_free(got[i].event);
}

/* It polls once a minute here. */
static void test_relay_is_woken_by_a_commit(void **state)
{
    struct fixture *f = *state;
    struct tidings_fetched got;

    assert_ok(tidings_postgres_prepare(f->db));
    open_relay(f, &f->relay);
    assert_ok(tidings_relay_flush(f->relay, WAIT_MS));
    publish_one(f->db, "test.alone", 1);
    assert_int_equal(fetch(f, &got, 1, 1), 1);
    tidings_free(got.event);
}

static void test_relay_marks_what_is_refused_for_good(void **state)
{
    struct fixture *f = *state;
    struct tidings_fetched got[3];
    size_t n;

    assert_ok(tidings_postgres_prepare(f->db));
    run(f->db, "BEGIN");
    for (int i = 0; i < 5; i++)
        publish(f->db, "test.some", NULL, i);
    run(f->db, "UPDATE tidings_outbox SET type = '$x' WHERE number = 2");
    run(f->db, "UPDATE tidings_outbox SET attributes = '' WHERE number = 3");
    run(f->db, "UPDATE tidings_outbox SET data ="
               " convert_to(repeat('x', 1048577), 'UTF8') WHERE number = 4");
    run(f->db, "COMMIT");
    open_relay(f, &f->relay);
    assert_ok(tidings_relay_flush(f->relay, WAIT_MS));
    assert_int_equal(atomic_load(&f->told[TIDINGS_RELAY_REFUSED]), 3);
    assert_int_equal(number(f->db, "SELECT count(*) FROM tidings_outbox"
                                   " WHERE error LIKE 'EPROTO: a%'"
                                   " AND number IN (3, 4)"),
                     2);
    assert_int_equal(number(f->db, "SELECT count(*) FROM tidings_outbox"
                                   " WHERE error LIKE 'EINVAL: %'"),
                     1);
    n = fetch(f, got, 3, 2);
    assert_int_equal(n, 2);
    while (n-- > 0)
        tidings_free(got[n].event);
}

/* Such a database takes any bytes for text. */
static void test_relay_refuses_text_that_is_not_utf8(void **state)
{
    struct fixture *f = *state;
    char conninfo[sizeof(server.conninfo) + 16];
    struct tidings_fetched got[3];
    const struct tidings_relay_options options = {
        .poll_ms = 60000, .on_status = on_status, .on_status_arg = f};
    PGconn *db;
    size_t n;

    snprintf(conninfo, sizeof(conninfo), "%s dbname=ascii", server.conninfo);
    run(f->db, "CREATE DATABASE ascii TEMPLATE template0 ENCODING 'SQL_ASCII'"
               " LC_COLLATE 'C' LC_CTYPE 'C'");
    db = PQconnectdb(conninfo);
    assert_int_equal(PQstatus(db), CONNECTION_OK);
    assert_ok(tidings_postgres_prepare(db));
    run(db,
        "SELECT tidings_publish(NULL, 'test.a', 'k\303\244se', '\\x80', '');"
        "SELECT tidings_publish(NULL, 'test.b', E'\\xff', '\\x80', '');"
        "SELECT tidings_publish(NULL, E't\\xe9st', NULL, '\\x80', '');"
        "SELECT tidings_publish(E'\\xc3', 'test.d', NULL, '\\x80', '');"
        "SELECT tidings_publish(NULL, 'test.e', NULL, '\\x80', '')");
    assert_ok(tidings_postgres_relay(&f->relay, conninfo, f->url, &options));
    assert_ok(tidings_relay_flush(f->relay, WAIT_MS));
    assert_int_equal(atomic_load(&f->told[TIDINGS_RELAY_REFUSED]), 3);
    assert_int_equal(number(db, "SELECT count(*) FROM tidings_outbox"
                                " WHERE error LIKE 'EINVAL: %'"),
                     3);
    n = fetch(f, got, 3, 2);
    assert_int_equal(n, 2);
    assert_string_equal(tidings_event_attr(got[0].event, "partitionkey"),
                        "k\303\244se");
    while (n-- > 0)
        tidings_free(got[n].event);
    PQfinish(db);
}

static void test_relay_stands_by_while_another_is_at_work(void **state)
{
    struct fixture *f = *state;
    tidings_relay *first = NULL;

    assert_ok(tidings_postgres_prepare(f->db));
    open_relay(f, &first);
    await_told(f, TIDINGS_RELAY_ACTIVE, 1);
    open_relay(f, &f->relay);
    await_told(f, TIDINGS_RELAY_STANDBY, 1);
    tidings_relay_close(first);
    publish_one(f->db, "test.next", 1);
    assert_ok(tidings_relay_flush(f->relay, WAIT_MS));
}

static void test_relay_connects_again(void **state)
{
    struct fixture *f = *state;
    struct tidings_fetched got[3];
    size_t n;

    assert_ok(tidings_postgres_prepare(f->db));
    open_relay(f, &f->relay);
    publish_one(f->db, "test.a", 1);
    assert_ok(tidings_relay_flush(f->relay, WAIT_MS));
    run(f->db, "SELECT pg_terminate_backend(pid) FROM pg_locks"
               " WHERE locktype = 'advisory' AND granted");
    publish_one(f->db, "test.a", 2);
    assert_ok(tidings_relay_flush(f->relay, WAIT_MS));
    assert_true(atomic_load(&f->told[TIDINGS_RELAY_TROUBLE]) > 0);
    n = fetch(f, got, 3, 2);
    assert_int_equal(n, 2);
    while (n-- > 0)
        tidings_free(got[n].event);
}

/* The server's process for the relay hangs. Two seconds: with the long tests. */
static void test_relay_is_closed_within_its_time(void **state)
{
    struct fixture *f = *state;
    const char *asked = getenv("TIDINGS_LONG");
    int64_t began;

    if (!asked || !*asked || *asked == '0')
        skip();
    assert_ok(tidings_postgres_prepare(f->db));
    open_relay(f, &f->relay);
    await_told(f, TIDINGS_RELAY_ACTIVE, 1);
    f->pid = (int)number(f->db, "SELECT pid FROM pg_locks"
                                " WHERE locktype = 'advisory' AND granted");
    kill(f->pid, SIGSTOP);
    tidings_relay_wake(f->relay); /* it asks for rows */
    began = td_proc_now_ms();
    tidings_relay_close(f->relay);
    f->relay = NULL;
    assert_true(td_proc_now_ms() - began < 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_prepare_is_done_once_and_knows_its_version),
        TEST(test_publish_takes_part_in_the_transaction),
        TEST(test_publish_keeps_the_order_of_a_key),
        TEST(test_relay_publishes_events_as_they_were),
        TEST(test_relay_keeps_the_order_of_many_and_empties_the_table),
        TEST(test_relay_publishes_what_is_written_in_sql),
        TEST(test_relay_is_woken_by_a_commit),
        TEST(test_relay_marks_what_is_refused_for_good),
        TEST(test_relay_refuses_text_that_is_not_utf8),
        TEST(test_relay_stands_by_while_another_is_at_work),
        TEST(test_relay_connects_again),
        TEST(test_relay_is_closed_within_its_time),
    };
    int failed;

    if (!td_postgres_installed()) {
        printf("no PostgreSQL server (on Debian: postgresql)\n");
        return 77;
    }
    if (!td_postgres_start(&server)) {
        printf("%s\n", server.error);
        td_postgres_end(&server);
        return 1;
    }
    failed = cmocka_run_group_tests_name("outbox", tests, NULL, NULL);
    failed += run_inbox_tests();
    td_postgres_end(&server);
    return failed;
}
