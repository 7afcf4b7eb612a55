/* Without memory nothing is submitted by half, and what was there stays. */
#include "tests/support/td_test.h"

#include "tests/support/alloc.h"
#include "tests/support/store_rig.h"

static struct td_rig rig;

static tidings_err build(void *arg)
{
    struct td_txn txn = {0};
    tidings_err err;
    char key[16];

    (void)arg;
    for (int i = 0; i < 40; i++) {
        snprintf(key, sizeof(key), "%d", i);
        td_rig_put(&txn, key, "a value that needs some room in the arena");
    }
    err = txn.failed ? TIDINGS_ENOMEM : TIDINGS_OK;
    td_txn_fini(&txn);
    return err;
}

static void test_txn_fails_without_memory(void **state)
{
    (void)state;
    assert_true(td_alloc_each(build, NULL) > 3);
}

/* A read that finds no memory says so, at once or in its answer. */
static tidings_err read_all(void *arg)
{
    struct td_store *store = rig.store;
    struct td_store_answer *answer;
    tidings_err err;

    (void)arg;
    if (!store->face->read(store, td_rig_str("k"), td_rig_str(""), false, 99,
                           SIZE_MAX, 1))
        return TIDINGS_ENOMEM;
    td_model_serve(rig.model, 1);
    answer = store->face->next(store);
    err = answer->err;
    if (err == TIDINGS_OK && answer->records_len != 30)
        err = TIDINGS_EIO;
    td_store_answer_free(answer);
    return err;
}

/* Submitting cannot fail; committing may, and changes nothing then. */
static tidings_err write_one(void *arg)
{
    struct td_store *store = rig.store;
    struct td_store_answer *answer;
    struct td_txn txn = {0};
    tidings_err err;

    (void)arg;
    td_alloc_hold(true);
    td_rig_put(&txn, "one", "more");
    td_alloc_hold(false);
    store->face->submit(store, &txn, 1);
    td_model_commit(rig.model, 1);
    answer = store->face->next(store);
    err = answer->err;
    td_store_answer_free(answer);
    td_alloc_hold(true);
    if ((td_model_records(rig.model) == 31) != (err == TIDINGS_OK))
        err = TIDINGS_EIO;
    if (err == TIDINGS_OK) { /* as it was */
        td_model_crash(rig.model, 0);
        rig.store = td_model_open(rig.model);
    }
    td_alloc_hold(false);
    return err;
}

static void test_model_fails_without_memory(void **state)
{
    (void)state;
    td_rig_init(&rig, true);
    td_rig_open(&rig);
    for (int i = 0; i < 30; i++) {
        struct td_txn txn = {0};
        char key[16];

        snprintf(key, sizeof(key), "k%02d", i);
        td_rig_put(&txn, key, "value");
        assert_ok(td_rig_commit(&rig, &txn, TD_LEVEL_DISK));
    }
    assert_ok(write_one(NULL)); /* what it keeps for later is there now */
    assert_true(td_alloc_each(read_all, NULL) >= 3);
    assert_true(td_alloc_each(write_one, NULL) >= 3);
    td_rig_fini(&rig);
}

static tidings_err open_and_close(void *arg)
{
    char why[TD_STORE_WHY_BYTES];
    struct td_store *store;
    tidings_err err = td_lmdb_open(&store, rig.dir, &rig.options, why);

    (void)arg;
    if (err == TIDINGS_OK)
        store->face->close(store);
    return err;
}

static void test_lmdb_is_not_opened_without_memory(void **state)
{
    (void)state;
    td_rig_init(&rig, false);
    assert_ok(open_and_close(NULL));
    assert_true(td_alloc_each(open_and_close, NULL) >= 3);
    td_rig_fini(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_txn_fails_without_memory),
        cmocka_unit_test(test_model_fails_without_memory),
        cmocka_unit_test(test_lmdb_is_not_opened_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
