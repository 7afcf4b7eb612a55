/* What tests of others rely on: the model fails, fills up, crashes and is
 * damaged as it is told. */
#include "tests/support/td_test.h"

#include "tests/support/store_rig.h"

#define ALL UINT32_MAX, SIZE_MAX

struct fixture {
    struct td_rig rig;
    struct td_model *m;
};

static struct fixture f;

static int setup(void **state)
{
    (void)state;
    td_rig_init(&f.rig, true);
    td_rig_open(&f.rig);
    f.m = f.rig.model;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    td_rig_fini(&f.rig);
    return 0;
}

/* One put of its own; the ticket. */
static uint64_t put(const char *key, enum td_level level)
{
    struct td_txn txn = {0};

    td_rig_put(&txn, key, "1");
    return td_rig_submit(&f.rig, &txn, level);
}

static struct td_store_answer *next(void)
{
    return f.rig.store->face->next(f.rig.store);
}

/* The next answer is of this ticket, and says so. */
static void assert_answer(uint64_t ticket, tidings_err err)
{
    struct td_store_answer *answer = next();

    assert_non_null(answer);
    assert_int_equal(answer->ticket, ticket);
    assert_err(answer->err, err);
    td_store_answer_free(answer);
}

static const char *all(void)
{
    return td_rig_text(&f.rig, "", "", false, ALL);
}

static void reopen(void)
{
    f.rig.store = NULL; /* the crash took it */
    td_rig_open(&f.rig);
}

static void test_model_answers_only_when_told(void **state)
{
    uint64_t ticket = put("a", TD_LEVEL_OS);

    (void)state;
    assert_null(next());
    assert_int_equal(td_model_writes(f.m), 1);
    assert_true(f.rig.store->face->read(f.rig.store, td_rig_str(""),
                                        td_rig_str(""), false, ALL, 77));
    assert_int_equal(td_model_reads(f.m), 1);
    assert_int_equal(td_model_serve(f.m, 9), 1); /* before the commit */
    assert_int_equal(td_model_commit(f.m, 9), 1);
    assert_answer(77, TIDINGS_OK);
    assert_answer(ticket, TIDINGS_OK);
    assert_null(next());
}

static void test_model_works_by_itself_when_told(void **state)
{
    uint64_t ticket = put("a", TD_LEVEL_OS);

    (void)state;
    td_model_auto(f.m, 8);
    assert_answer(ticket, TIDINGS_OK);
    assert_null(next());
}

/* A group reaches the highest level in it. */
static void test_model_commits_groups(void **state)
{
    struct td_store_info info;

    (void)state;
    put("a", TD_LEVEL_OS);
    put("b", TD_LEVEL_DISK);
    put("c", TD_LEVEL_OS);
    assert_int_equal(td_model_commit(f.m, 2), 2);
    for (int i = 0; i < 2; i++) {
        struct td_store_answer *answer = next();

        assert_int_equal(answer->level, TD_LEVEL_DISK);
        td_store_answer_free(answer);
    }
    assert_int_equal(td_model_committed(f.m), 0);
    assert_int_equal(td_model_loose(f.m), 1);
    f.rig.store->face->info(f.rig.store, &info);
    assert_int_equal(info.commits, 1);
    assert_int_equal(info.transactions, 2);
}

/* What was submitted before the first failed answer was taken fails too. */
static void test_model_fails_in_order(void **state)
{
    uint64_t ticket[6];

    (void)state;
    td_model_fail(f.m, 2, TIDINGS_EFULL);
    for (int i = 0; i < 4; i++)
        ticket[i] = put(i % 2 ? "b" : "a", TD_LEVEL_OS);
    td_model_commit(f.m, 1);
    td_model_commit(f.m, 1);
    ticket[4] = put("d", TD_LEVEL_OS);
    assert_answer(ticket[0], TIDINGS_OK);
    assert_answer(ticket[1], TIDINGS_EFULL);
    ticket[5] = put("e", TD_LEVEL_OS); /* in the know */
    td_model_commit(f.m, 9);
    assert_answer(ticket[2], TIDINGS_EFULL);
    assert_answer(ticket[3], TIDINGS_EFULL);
    assert_answer(ticket[4], TIDINGS_EFULL);
    assert_answer(ticket[5], TIDINGS_OK);
    assert_string_equal(all(), "a=1 e=1");
}

static void test_model_is_read_only_after_a_failed_sync(void **state)
{
    struct td_store_info info;
    uint64_t ticket = put("a", TD_LEVEL_DISK);

    (void)state;
    td_model_commit(f.m, 1);
    assert_answer(ticket, TIDINGS_OK);
    td_model_fail(f.m, 1, TIDINGS_EIO);
    for (int i = 0; i < 3; i++) {
        ticket = put("b", TD_LEVEL_OS);
        td_model_commit(f.m, 1);
        assert_answer(ticket, TIDINGS_EIO);
    }
    f.rig.store->face->info(f.rig.store, &info);
    assert_true(info.failed);
    assert_string_equal(all(), "a=1");
    td_rig_close(&f.rig);
    td_rig_open(&f.rig);
    f.rig.store->face->info(f.rig.store, &info);
    assert_false(info.failed);
    assert_true(info.unclean);
}

static void test_model_crash_keeps_a_prefix(void **state)
{
    static const char *const gives[] = {"a=1", "a=1 b=1", "a=1 b=1 c=1",
                                        "a=1 b=1 c=1 d=1"};

    (void)state;
    for (uint32_t keep = 0; keep < TD_ARRAY_LEN(gives); keep++) {
        struct td_store_info info;
        struct td_txn txn = {0};

        td_txn_delete_range(&txn, td_rig_str("a"), td_rig_str(""));
        td_rig_put(&txn, "a", "1");
        td_rig_submit(&f.rig, &txn, TD_LEVEL_DISK);
        td_model_commit(f.m, 1);
        put("b", TD_LEVEL_OS);
        put("c", TD_LEVEL_OS);
        td_model_commit(f.m, 2);
        put("d", TD_LEVEL_DISK); /* never answered */
        assert_int_equal(td_model_committed(f.m), 2);
        assert_int_equal(td_model_loose(f.m), 3);
        td_model_crash(f.m, keep);
        reopen();
        assert_string_equal(all(), gives[keep]);
        f.rig.store->face->info(f.rig.store, &info);
        assert_true(info.unclean);
    }
}

static void test_model_damages_a_record(void **state)
{
    struct td_store_info info;

    (void)state;
    put("a", TD_LEVEL_DISK);
    td_model_commit(f.m, 1);
    td_store_answer_free(next());
    assert_false(td_model_damage(f.m, td_rig_str("b")));
    assert_true(td_model_damage(f.m, td_rig_str("a")));
    assert_string_equal(all(), "a!");
    f.rig.store->face->info(f.rig.store, &info);
    assert_int_equal(info.damaged, 1);
    put("a", TD_LEVEL_OS);
    td_model_commit(f.m, 1);
    td_store_answer_free(next());
    assert_string_equal(all(), "a=1");
}

static void test_model_fills_up(void **state)
{
    struct td_store_info info;
    uint64_t ticket;

    (void)state;
    td_model_limit(f.m, 6, 2);
    f.rig.store->face->info(f.rig.store, &info);
    assert_int_equal(info.free_bytes, 4);
    put("a", TD_LEVEL_OS);
    put("b", TD_LEVEL_OS);
    put("c", TD_LEVEL_OS); /* the reserve */
    td_model_commit(f.m, 3);
    for (int i = 0; i < 3; i++)
        td_store_answer_free(next());
    f.rig.store->face->info(f.rig.store, &info);
    assert_int_equal(info.free_bytes, 0);
    ticket = put("d", TD_LEVEL_OS);
    td_model_commit(f.m, 1);
    assert_answer(ticket, TIDINGS_EFULL);
    assert_string_equal(all(), "a=1 b=1 c=1");
}

static void test_model_fails_reads(void **state)
{
    (void)state;
    td_model_fail_read(f.m, 2, TIDINGS_EIO);
    assert_string_equal(all(), "");
    assert_string_equal(all(), "EIO");
    assert_string_equal(all(), "");
}

static void test_model_hash_tells_what_it_holds(void **state)
{
    uint64_t empty = td_model_hash(f.m);
    uint64_t one;

    (void)state;
    td_model_auto(f.m, 1);
    put("a", TD_LEVEL_OS);
    td_store_answer_free(next());
    one = td_model_hash(f.m);
    assert_int_equal(td_model_records(f.m), 1);
    put("b", TD_LEVEL_OS);
    td_store_answer_free(next());
    assert_true(one != empty && td_model_hash(f.m) != one);
    td_model_crash(f.m, 1);
    assert_true(td_model_hash(f.m) == one);
    reopen();
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_model_answers_only_when_told),
        TEST(test_model_works_by_itself_when_told),
        TEST(test_model_commits_groups),
        TEST(test_model_fails_in_order),
        TEST(test_model_is_read_only_after_a_failed_sync),
        TEST(test_model_crash_keeps_a_prefix),
        TEST(test_model_damages_a_record),
        TEST(test_model_fills_up),
        TEST(test_model_fails_reads),
        TEST(test_model_hash_tells_what_it_holds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
