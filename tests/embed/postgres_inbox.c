/* The inbox in a PostgreSQL database: each event is handled once. */
#include "tests/embed/postgres_rig.h"

#include <poll.h>
#include <signal.h>

#include "client/outbox/postgres_db.h"

static const struct tidings_event event = {
    .type = "test.a", .id = "1", .source = "/s", .data = "x", .data_len = 1};

static tidings_err on_event(void *arg, PGconn *db,
                            const struct tidings_event *e)
{
    struct fixture *f = arg;

    assert_string_equal(e->id, "1");
    f->calls++;
    run(db, "INSERT INTO effects VALUES (1)");
    if (f->answer)
        tidings_set_detail("no more room on the shelf");
    return f->answer;
}

static struct tidings_postgres_handler handler(struct fixture *f)
{
    assert_ok(tidings_postgres_prepare(f->db));
    run(f->db, "CREATE TABLE effects (n integer)");
    return (struct tidings_postgres_handler){
        .db = f->db, .group = "g", .handle = on_event, .arg = f};
}

static void test_handle_has_its_effect_once(void **state)
{
    struct fixture *f = *state;
    struct tidings_postgres_handler h = handler(f);

    for (int i = 0; i < 3; i++)
        assert_ok(tidings_postgres_handle(&h, &event));
    h.group = "another";
    assert_ok(tidings_postgres_handle(&h, &event));
    assert_int_equal(f->calls, 2);
    assert_int_equal(number(f->db, "SELECT count(*) FROM effects"), 2);
}

static void test_handle_undoes_what_failed(void **state)
{
    static const struct {
        tidings_err answer, want;
    } rows[] = {{TIDINGS_EHANDLER, TIDINGS_EHANDLER},
                {TIDINGS_ETERM, TIDINGS_ETERM},
                {TIDINGS_ERELEASE, TIDINGS_ERELEASE},
                {TIDINGS_ELATER, TIDINGS_EINVAL}};
    struct fixture *f = *state;
    struct tidings_postgres_handler h = handler(f);

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        f->answer = rows[i].answer;
        assert_err(tidings_postgres_handle(&h, &event), rows[i].want);
        if (rows[i].answer == rows[i].want)
            assert_string_equal(tidings_detail(), "no more room on the shelf");
        assert_int_equal(number(f->db, "SELECT count(*) FROM effects"), 0);
        assert_int_equal(number(f->db, "SELECT count(*) FROM tidings_inbox"),
                         0);
    }
}

static tidings_err want_lock(void *arg, PGconn *db,
                             const struct tidings_event *e)
{
    struct fixture *f = arg;
    PGresult *r = PQexec(db, "LOCK TABLE effects NOWAIT");
    tidings_err err = tidings_postgres_err(db, r);

    (void)e;
    f->calls++;
    PQclear(r);
    return err;
}

/* It is called again, and gives up in the end. */
static void test_handle_tries_again_after_a_conflict(void **state)
{
    struct fixture *f = *state;
    struct tidings_postgres_handler h = handler(f);
    PGconn *other = connect_db();

    run(other, "BEGIN; LOCK TABLE effects");
    h.handle = want_lock;
    h.busy_ms = 500;
    assert_err(tidings_postgres_handle(&h, &event), TIDINGS_ERELEASE);
    assert_true(f->calls > 1);
    run(other, "COMMIT");
    h.busy_ms = WAIT_MS;
    assert_ok(tidings_postgres_handle(&h, &event));
    PQfinish(other);
}

/* A deadline that has nothing to do with the database. */
static void test_handle_hands_on_a_timeout_of_the_programs_own(void **state)
{
    struct fixture *f = *state;
    struct tidings_postgres_handler h = handler(f);

    f->answer = TIDINGS_ETIMEDOUT;
    assert_err(tidings_postgres_handle(&h, &event), TIDINGS_ETIMEDOUT);
    assert_int_equal(f->calls, 1);
    assert_int_equal(number(f->db, "SELECT count(*) FROM effects"), 0);
}

/* What only the COMMIT finds is the handler's failure, which counts. */
static void test_handle_fails_when_its_commit_is_refused(void **state)
{
    struct fixture *f = *state;
    struct tidings_postgres_handler h = handler(f);

    run(f->db, "ALTER TABLE effects ADD UNIQUE (n)"
               " DEFERRABLE INITIALLY DEFERRED;"
               "INSERT INTO effects VALUES (1)");
    assert_err(tidings_postgres_handle(&h, &event), TIDINGS_ECONFLICT);
    assert_non_null(strstr(tidings_detail(), "unique"));
    assert_int_equal(f->calls, 1);
    assert_int_equal(number(f->db, "SELECT count(*) FROM tidings_inbox"), 0);
    assert_int_equal(PQtransactionStatus(f->db), PQTRANS_IDLE);
}

struct stopping {
    struct fixture *f;
    struct tidings_postgres_handler *h;
};

/* The COMMIT is not waited for long. */
static tidings_err stop_server(void *arg, PGconn *db,
                               const struct tidings_event *e)
{
    struct stopping *s = arg;

    s->h->busy_ms = 50;
    s->f->pid = PQbackendPID(db);
    kill(s->f->pid, SIGSTOP);
    (void)e;
    s->f->calls++;
    return TIDINGS_OK;
}

/* Nor does what the server says later come as the answer to something else. */
static void test_handle_gives_up_on_a_server_that_hangs(void **state)
{
    struct fixture *f = *state;
    struct tidings_postgres_handler h = handler(f);
    struct stopping stopping = {f, &h};

    h.handle = stop_server;
    h.arg = &stopping;
    assert_err(tidings_postgres_handle(&h, &event), TIDINGS_ERELEASE);
    assert_int_equal(f->calls, 1);
    assert_int_equal(PQstatus(f->db), CONNECTION_BAD);
    kill(f->pid, SIGCONT);

    h = (struct tidings_postgres_handler){
        .db = f->db, .group = "g", .handle = on_event, .arg = f};
    assert_ok(tidings_postgres_handle(&h, &event));
    assert_int_equal(number(f->db, "SELECT count(*) FROM tidings_inbox"), 1);

    f->pid = PQbackendPID(f->db);
    f->calls = 0;
    h.group = "another";
    h.busy_ms = 50;
    kill(f->pid, SIGSTOP);
    assert_err(tidings_postgres_handle(&h, &event), TIDINGS_ERELEASE);
    assert_int_equal(f->calls, 0);
    kill(f->pid, SIGCONT);
    f->pid = 0;
}

/* What it had said before does not hide that the connection is cut: else the
 * next statement meets this one, which nobody waits for. */
static void test_a_statement_without_time_cuts_the_connection(void **state)
{
    struct fixture *f = *state;
    struct pollfd said = {.fd = PQsocket(f->db), .events = POLLIN};
    PGconn *other = connect_db();

    run(f->db, "LISTEN anything");
    run(other, "NOTIFY anything");
    assert_int_equal(poll(&said, 1, WAIT_MS), 1);
    f->pid = PQbackendPID(f->db);
    kill(f->pid, SIGSTOP);
    assert_err(
        td_postgres_run_until(NULL, f->db, "SELECT 1", NULL,
                              (struct td_deadline){td_postgres_now_us(), NULL}),
        TIDINGS_EIO);
    assert_int_equal(PQstatus(f->db), CONNECTION_BAD);
    kill(f->pid, SIGCONT);
    f->pid = 0;
    PQfinish(other);
}

static tidings_err fail_silently(void *arg, PGconn *db,
                                 const struct tidings_event *e)
{
    (void)arg;
    (void)e;
    PQclear(PQexec(db, "SELECT 1/0"));
    return TIDINGS_OK;
}

static void test_handle_commits_nothing_that_has_failed(void **state)
{
    struct fixture *f = *state;
    struct tidings_postgres_handler h = handler(f);

    h.handle = fail_silently;
    assert_err(tidings_postgres_handle(&h, &event), TIDINGS_EIO);
    assert_int_equal(number(f->db, "SELECT count(*) FROM tidings_inbox"), 0);
}

static void test_handle_connects_again(void **state)
{
    struct fixture *f = *state;
    struct tidings_postgres_handler h = handler(f);
    PGconn *other = connect_db();
    char sql[64];

    snprintf(sql, sizeof(sql), "SELECT pg_terminate_backend(%d, 5000)",
             PQbackendPID(f->db));
    run(other, sql);
    assert_err(tidings_postgres_handle(&h, &event), TIDINGS_ERELEASE);
    assert_ok(tidings_postgres_handle(&h, &event));
    assert_int_equal(f->calls, 1);
    PQfinish(other);
}

static void test_handle_forgets_what_is_old(void **state)
{
    struct fixture *f = *state;
    struct tidings_postgres_handler h = handler(f);
    uint64_t removed = 0;

    h.keep_ms = 60000;
    run(f->db, "INSERT INTO tidings_inbox SELECT 'g', '/old', i, now() - "
               "interval '1 day' FROM generate_series(1, 10) AS i");
    assert_ok(tidings_postgres_handle(&h, &event));
    assert_int_equal(number(f->db, "SELECT count(*) FROM tidings_inbox"), 9);
    assert_ok(tidings_postgres_prune(&removed, f->db, 60000, 5));
    assert_int_equal(removed, 5);
    assert_ok(tidings_postgres_prune(&removed, f->db, 60000, 5));
    assert_int_equal(removed, 3);
    assert_err(tidings_postgres_prune(NULL, f->db, -1, 5), TIDINGS_EINVAL);
}

int run_inbox_tests(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_handle_has_its_effect_once),
        TEST(test_handle_undoes_what_failed),
        TEST(test_handle_tries_again_after_a_conflict),
        TEST(test_handle_hands_on_a_timeout_of_the_programs_own),
        TEST(test_handle_fails_when_its_commit_is_refused),
        TEST(test_handle_gives_up_on_a_server_that_hangs),
        TEST(test_a_statement_without_time_cuts_the_connection),
        TEST(test_handle_commits_nothing_that_has_failed),
        TEST(test_handle_connects_again),
        TEST(test_handle_forgets_what_is_old),
    };

    return cmocka_run_group_tests_name("inbox", tests, NULL, NULL);
}
