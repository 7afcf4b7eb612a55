/* Outbox and inbox without memory: the n-th allocation fails, or all from it on,
 * of ours and of SQLite's. Calls say so, leave nothing behind, and with memory
 * again nothing is lost and nothing there twice. */
#include "tests/support/td_test.h"

#include <stdlib.h>
#include <sqlite3.h>

#include "tests/support/alloc.h"
#include "tests/unit/outbox_model.h"
#include "tidings/sqlite.h"

#define N_MAX 3000

/* SQLite alone allocates a thousand times. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STRIDE 7
#else
#define STRIDE 1
#endif

/* ---- the relay's turns ---- */

static struct model model; /* large */

static void turns(int64_t *now_us, int n)
{
    while (n-- > 0) {
        int wait_ms = model_turn(&model, 0, *now_us);

        *now_us += 10 + (wait_ms > 0 ? (int64_t)wait_ms * 1000 : 0);
    }
}

/* False: the n-th was never asked for. */
static bool relay_rows(enum td_alloc_way way, size_t n)
{
    size_t live = td_alloc_live();
    int64_t now_us = 1000000;
    const char *wrong;
    bool failed;

    model_init(&model, 1);
    for (int i = 0; i < 6; i++)
        model_write_row(&model, i % 3, i % 2, i == 2 || i == 3);
    model.row[3].bad = true;
    turns(&now_us, 1); /* the turns' own memory */
    td_alloc_arm(way, n);
    turns(&now_us, 20);
    td_alloc_stop();
    failed = td_alloc_failed();
    turns(&now_us, 60);
    assert_true(model_all_done(&model));
    wrong = model_wrong(&model);
    if (wrong)
        fail_msg("%s", wrong);
    model_fini(&model);
    assert_int_equal(td_alloc_live(), live);
    return failed;
}

static void test_turn_goes_on_when_there_is_memory_again(void **state)
{
    (void)state;
    for (int way = TD_ALLOC_ONE; way <= TD_ALLOC_REST; way++) {
        size_t n = 1;

        while (relay_rows((enum td_alloc_way)way, n))
            assert_true(++n < N_MAX);
        assert_true(n > 10);
    }
}

static tidings_err open_and_close(void *arg)
{
    tidings_relay *relay = NULL;
    tidings_err err = tidings_sqlite_relay(
        &relay, arg, "tcp://127.0.0.1:9",
        &(struct tidings_relay_options){.name = "r", .source = "/s"});

    tidings_relay_close(relay);
    return err;
}

static void test_relay_is_opened_whole_or_not_at_all(void **state)
{
    static char nowhere[] = "/nowhere/outbox.db";
    (void)state;

    assert_true(td_alloc_each(open_and_close, nowhere) >= 5);
}

/* ---- SQLite ---- */

static sqlite3_mem_methods sqlites;

/* SQLite's allocations count, and fail, like ours. */
static bool may_allocate(void)
{
    void *volatile probe = malloc(1);

    free(probe);
    return probe;
}

static void *allocate(int size)
{
    return may_allocate() ? sqlites.xMalloc(size) : NULL;
}

static void *reallocate(void *memory, int size)
{
    return may_allocate() ? sqlites.xRealloc(memory, size) : NULL;
}

static int count_memory(void **state)
{
    sqlite3_mem_methods methods;

    (void)state;
    if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &sqlites) != SQLITE_OK)
        return -1;
    methods = sqlites;
    methods.xMalloc = allocate;
    methods.xRealloc = reallocate;
    return sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) == SQLITE_OK ? 0 : -1;
}

static tidings_err run(sqlite3 *db, const char *sql)
{
    int code = sqlite3_exec(db, sql, NULL, NULL, NULL);

    if (code == SQLITE_OK)
        return TIDINGS_OK;
    assert_int_equal(code & 0xff, SQLITE_NOMEM);
    return TIDINGS_ENOMEM;
}

/* A handler's work: once, with an event of its own. */
static tidings_err work(sqlite3 *db)
{
    static const struct tidings_attr key = {.name = "partitionkey",
                                            .string = "k"};
    static const struct tidings_event in = {
        .type = "a.b", .id = "1", .source = "/s"};
    static const struct tidings_event out = {.type = "a.b",
                                             .data = "x",
                                             .data_len = 1,
                                             .attrs = &key,
                                             .attrs_len = 1};
    bool first = false;
    tidings_err err = tidings_sqlite_prepare(db);

    if (!err)
        err = run(db, "BEGIN IMMEDIATE");
    if (!err)
        err = tidings_sqlite_once(&first, db, "g", &in);
    if (!err && first)
        err = tidings_sqlite_publish(db, &out);
    if (!err)
        err = tidings_sqlite_prune(NULL, db, 60000, 2);
    return err ? err : run(db, "COMMIT");
}

static int count(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *s = NULL;
    int n;

    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    n = sqlite3_column_int(s, 0);
    sqlite3_finalize(s);
    return n;
}

static bool work_twice(enum td_alloc_way way, size_t n)
{
    size_t live = td_alloc_live();
    sqlite3 *db = NULL;
    tidings_err err;
    bool failed;

    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    td_alloc_arm(way, n);
    err = work(db);
    td_alloc_stop();
    failed = td_alloc_failed();
    assert_true(err == TIDINGS_OK || (failed && err == TIDINGS_ENOMEM));
    if (!sqlite3_get_autocommit(db))
        assert_ok(run(db, "ROLLBACK"));
    assert_ok(work(db));
    assert_int_equal(count(db, "SELECT count(*) FROM tidings_outbox"), 1);
    assert_int_equal(count(db, "SELECT count(*) FROM tidings_inbox"), 1);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_int_equal(td_alloc_live(), live);
    return failed;
}

static void test_sqlite_does_all_of_it_or_nothing(void **state)
{
    (void)state;
    for (int way = TD_ALLOC_ONE; way <= TD_ALLOC_REST; way++) {
        size_t n = 1;

        while (work_twice((enum td_alloc_way)way, n)) {
            n += STRIDE;
            assert_true(n < N_MAX);
        }
        assert_true(n > 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_turn_goes_on_when_there_is_memory_again),
        cmocka_unit_test(test_relay_is_opened_whole_or_not_at_all),
        cmocka_unit_test(test_sqlite_does_all_of_it_or_nothing),
    };

    return cmocka_run_group_tests(tests, count_memory, NULL);
}
