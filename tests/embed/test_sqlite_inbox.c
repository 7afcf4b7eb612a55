/* The inbox in a SQLite file: each event is handled once. */
#include "tests/support/td_test.h"

#include <stdlib.h>

#include "tests/support/folder.h"
#include "tidings/sqlite.h"

struct fixture {
    struct td_folder folder;
    char path[TD_FOLDER_PATH_MAX + 16];
    sqlite3 *db;
    tidings_err answer; /* of the handler */
    int calls;
};

static const struct tidings_event event = {
    .type = "test.a", .id = "1", .source = "/s", .data = "x", .data_len = 1};

static void run(sqlite3 *db, const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (!f || !td_folder_new(&f->folder))
        return -1;
    snprintf(f->path, sizeof(f->path), "%s/inbox.db", f->folder.path);
    if (sqlite3_open(f->path, &f->db) != SQLITE_OK ||
        tidings_sqlite_prepare(f->db))
        return -1;
    run(f->db, "CREATE TABLE effects (n INTEGER)");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    sqlite3_close(f->db);
    td_folder_remove(&f->folder);
    free(f);
    return 0;
}

static int count(struct fixture *f, const char *table)
{
    char sql[80];
    sqlite3_stmt *s = NULL;
    int n;

    snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s", table);
    assert_int_equal(sqlite3_prepare_v2(f->db, sql, -1, &s, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    n = sqlite3_column_int(s, 0);
    sqlite3_finalize(s);
    return n;
}

static tidings_err on_event(void *arg, sqlite3 *db,
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

static void test_once_tells_whether_it_was_there(void **state)
{
    const struct tidings_event other = {
        .type = "test.a", .id = "1", .source = "/other"};
    struct fixture *f = *state;
    bool first = false;

    assert_err(tidings_sqlite_once(&first, f->db, "g", &event), TIDINGS_EINVAL);
    run(f->db, "BEGIN");
    assert_ok(tidings_sqlite_once(&first, f->db, "g", &event));
    assert_true(first);
    assert_ok(tidings_sqlite_once(&first, f->db, "g", &event));
    assert_false(first);
    assert_ok(tidings_sqlite_once(&first, f->db, "another", &event));
    assert_true(first);
    assert_ok(tidings_sqlite_once(&first, f->db, "g", &other));
    assert_true(first);
    run(f->db, "ROLLBACK");
    run(f->db, "BEGIN");
    assert_ok(tidings_sqlite_once(&first, f->db, "g", &event));
    assert_true(first);
    run(f->db, "COMMIT");
}

static void test_handle_has_its_effect_once(void **state)
{
    struct fixture *f = *state;
    struct tidings_sqlite_handler h = {
        .db = f->db, .group = "g", .handle = on_event, .arg = f};

    for (int i = 0; i < 3; i++)
        assert_ok(tidings_sqlite_handle(&h, &event));
    assert_int_equal(f->calls, 1);
    assert_int_equal(count(f, "effects"), 1);
    assert_int_equal(count(f, "tidings_inbox"), 1);
    assert_true(sqlite3_get_autocommit(f->db));
}

static void test_handle_undoes_what_failed(void **state)
{
    static const struct {
        tidings_err answer, want;
    } rows[] = {{TIDINGS_EHANDLER, TIDINGS_EHANDLER},
                {TIDINGS_ETERM, TIDINGS_ETERM},
                {TIDINGS_ERELEASE, TIDINGS_ERELEASE},
                {TIDINGS_ETIMEDOUT, TIDINGS_ETIMEDOUT},
                {TIDINGS_ELATER, TIDINGS_EINVAL}};
    struct fixture *f = *state;
    struct tidings_sqlite_handler h = {
        .db = f->db, .group = "g", .handle = on_event, .arg = f};

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        f->answer = rows[i].answer;
        assert_err(tidings_sqlite_handle(&h, &event), rows[i].want);
        if (rows[i].answer == rows[i].want)
            assert_string_equal(tidings_detail(), "no more room on the shelf");
        assert_int_equal(count(f, "effects"), 0);
        assert_int_equal(count(f, "tidings_inbox"), 0);
    }
    f->answer = TIDINGS_OK;
    assert_ok(tidings_sqlite_handle(&h, &event));
    assert_int_equal(count(f, "effects"), 1);
}

static void test_handle_gives_back_while_others_write(void **state)
{
    struct fixture *f = *state;
    struct tidings_sqlite_handler h = {
        .db = f->db, .group = "g", .handle = on_event, .arg = f, .busy_ms = 20};
    sqlite3 *other = NULL;

    assert_int_equal(sqlite3_open(f->path, &other), SQLITE_OK);
    run(other, "BEGIN IMMEDIATE");
    assert_err(tidings_sqlite_handle(&h, &event), TIDINGS_ERELEASE);
    assert_int_equal(f->calls, 0);
    run(other, "COMMIT");
    assert_ok(tidings_sqlite_handle(&h, &event));
    sqlite3_close(other);
}

/* What only the COMMIT finds is the handler's failure, which counts. */
static void test_handle_fails_when_its_commit_is_refused(void **state)
{
    struct fixture *f = *state;
    struct tidings_sqlite_handler h = {
        .db = f->db, .group = "g", .handle = on_event, .arg = f};

    run(f->db, "PRAGMA foreign_keys = ON; CREATE TABLE places (n PRIMARY KEY);"
               "DROP TABLE effects; CREATE TABLE effects (n REFERENCES places"
               " DEFERRABLE INITIALLY DEFERRED)");
    assert_err(tidings_sqlite_handle(&h, &event), TIDINGS_ECONFLICT);
    assert_int_equal(f->calls, 1);
    assert_int_equal(count(f, "tidings_inbox"), 0);
    run(f->db, "INSERT INTO places VALUES (1)");
    assert_ok(tidings_sqlite_handle(&h, &event));
}

static void test_handle_forgets_what_is_old(void **state)
{
    struct fixture *f = *state;
    struct tidings_sqlite_handler h = {.db = f->db,
                                       .group = "g",
                                       .handle = on_event,
                                       .arg = f,
                                       .keep_ms = 60000};
    uint64_t removed = 0;

    run(f->db, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
               " WHERE i < 10) INSERT INTO tidings_inbox"
               " SELECT 'g', '/old', i, i FROM n");
    assert_ok(tidings_sqlite_handle(&h, &event));
    assert_int_equal(count(f, "tidings_inbox"), 9); /* two went, one came */
    assert_int_equal(count(f, "tidings_inbox WHERE at <= 2"), 0);
    assert_ok(tidings_sqlite_prune(&removed, f->db, 60000, 5));
    assert_int_equal(removed, 5);
    assert_ok(tidings_sqlite_prune(&removed, f->db, 60000, 5));
    assert_int_equal(removed, 3);
    assert_int_equal(count(f, "tidings_inbox"), 1);
    assert_err(tidings_sqlite_prune(NULL, f->db, -1, 5), TIDINGS_EINVAL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_once_tells_whether_it_was_there),
        TEST(test_handle_has_its_effect_once),
        TEST(test_handle_undoes_what_failed),
        TEST(test_handle_gives_back_while_others_write),
        TEST(test_handle_fails_when_its_commit_is_refused),
        TEST(test_handle_forgets_what_is_old),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
