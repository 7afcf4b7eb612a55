/* The face of a store: the same table of tests for the one in a folder and for
 * the model. */
#include "tests/support/td_test.h"

#include <poll.h>
#include <stdlib.h>

#include "proto/body.h"
#include "tests/support/store_rig.h"

#define PARITY_TURNS 1500
#define ALL          UINT32_MAX, SIZE_MAX

static int setup_lmdb(void **state)
{
    struct td_rig *rig = malloc(sizeof(*rig));

    td_rig_init(rig, false);
    td_rig_open(rig);
    *state = rig;
    return 0;
}

static int setup_model(void **state)
{
    struct td_rig *rig = malloc(sizeof(*rig));

    td_rig_init(rig, true);
    td_rig_open(rig);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    td_rig_fini(*state);
    free(*state);
    return 0;
}

/* Keys a to e, each with its capital as value. */
static void letters(struct td_rig *rig)
{
    struct td_txn txn = {0};

    td_rig_put(&txn, "c", "C");
    td_rig_put(&txn, "a", "A");
    td_rig_put(&txn, "e", "E");
    td_rig_put(&txn, "b", "B");
    td_rig_put(&txn, "d", "D");
    assert_ok(td_rig_commit(rig, &txn, TD_LEVEL_OS));
}

static void test_store_reads_ranges_in_both_directions(void **state)
{
    static const struct {
        const char *row, *from, *to;
        bool backwards;
        uint32_t records;
        size_t bytes;
        const char *gives;
    } rows[] = {
        {"all", "", "", false, ALL, "a=A b=B c=C d=D e=E"},
        {"to is without", "b", "d", false, ALL, "b=B c=C"},
        {"from between", "bb", "d", false, ALL, "c=C"},
        {"to between", "b", "cc", false, ALL, "b=B c=C"},
        {"nothing behind", "f", "", false, ALL, ""},
        {"nothing before", "0", "a", false, ALL, ""},
        {"empty range", "c", "c", false, ALL, ""},
        {"wrong way round", "d", "b", false, ALL, ""},
        {"records", "", "", false, 2, SIZE_MAX, "a=A b=B ..."},
        {"records to the end", "d", "", false, 2, SIZE_MAX, "d=D e=E"},
        {"records in the range", "b", "d", false, 2, SIZE_MAX, "b=B c=C"},
        {"one of no records", "b", "", false, 0, SIZE_MAX, "b=B ..."},
        {"one of no bytes", "", "", false, UINT32_MAX, 0, "a=A ..."},
        {"back, all", "", "", true, ALL, "e=E d=D c=C b=B a=A"},
        {"back, to is without", "b", "d", true, ALL, "c=C b=B"},
        {"back, to between", "b", "cc", true, ALL, "c=C b=B"},
        {"back, from between", "bb", "d", true, ALL, "c=C"},
        {"back, to behind all", "d", "z", true, ALL, "e=E d=D"},
        {"back, nothing before", "", "a", true, ALL, ""},
        {"back, nothing behind", "f", "", true, ALL, ""},
        {"back, records", "", "", true, 2, SIZE_MAX, "e=E d=D ..."},
        {"back, records in the range", "c", "", true, 3, SIZE_MAX,
         "e=E d=D c=C"},
        {"back, the last one", "", "c", true, 1, SIZE_MAX, "b=B ..."},
    };

    letters(*state);
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++)
        assert_row(rows[i].row,
                   strcmp(td_rig_text(*state, rows[i].from, rows[i].to,
                                      rows[i].backwards, rows[i].records,
                                      rows[i].bytes),
                          rows[i].gives) == 0);
}

static void test_store_empty_gives_nothing(void **state)
{
    assert_string_equal(td_rig_text(*state, "", "", false, ALL), "");
    assert_string_equal(td_rig_text(*state, "", "", true, ALL), "");
    assert_string_equal(td_rig_text(*state, "", "a", true, ALL), "");
}

static void test_store_applies_operations_in_order(void **state)
{
    struct td_txn txn = {0};

    letters(*state);
    td_rig_put(&txn, "f", "1");
    td_txn_delete_range(&txn, td_rig_str("b"), td_rig_str("e"));
    td_rig_put(&txn, "c", "2");
    td_rig_put(&txn, "f", "");
    td_txn_delete(&txn, td_rig_str("a"));
    td_txn_delete(&txn, td_rig_str("not there"));
    td_txn_delete_range(&txn, td_rig_str("x"), td_rig_str("b"));
    assert_ok(td_rig_commit(*state, &txn, TD_LEVEL_OS));
    assert_string_equal(td_rig_text(*state, "", "", false, ALL), "c=2 e=E f=");

    td_txn_delete_range(&txn, td_rig_str("d"), td_rig_str(""));
    assert_ok(td_rig_commit(*state, &txn, TD_LEVEL_OS));
    assert_string_equal(td_rig_text(*state, "", "", false, ALL), "c=2");
}

/* Levels rise, and a commit may reach more than was asked. */
static void test_store_says_what_level_was_reached(void **state)
{
    static const enum td_level levels[] = {TD_LEVEL_MEMORY, TD_LEVEL_DISK,
                                           TD_LEVEL_OS, TD_LEVEL_DISK};
    struct td_rig *rig = *state;

    for (size_t i = 0; i < TD_ARRAY_LEN(levels); i++) {
        struct td_txn txn = {0};
        struct td_store_answer *answer;

        td_rig_put(&txn, "a", "1");
        td_rig_submit(rig, &txn, levels[i]);
        assert_int_equal(txn.len, 0);
        answer = td_rig_answer(rig);
        assert_ok(answer->err);
        assert_row_at("level", i,
                      answer->level >= levels[i] &&
                          answer->level >= TD_LEVEL_OS);
        td_store_answer_free(answer);
    }
}

static void test_store_answers_in_order(void **state)
{
    struct td_rig *rig = *state;
    struct td_txn txn = {0};
    char key[16];

    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof(key), "%03d", i);
        td_rig_put(&txn, key, key);
        td_rig_put(&txn, "last", key);
        td_rig_submit(rig, &txn, i % 7 ? TD_LEVEL_OS : TD_LEVEL_DISK);
    }
    for (uint64_t i = 1; i <= 200; i++) {
        struct td_store_answer *answer = td_rig_answer(rig);

        assert_int_equal(answer->ticket, i);
        assert_ok(answer->err);
        td_store_answer_free(answer);
    }
    assert_null(rig->store->face->next(rig->store));
    assert_string_equal(td_rig_get(rig, "last"), "199");
    assert_string_equal(td_rig_get(rig, "000"), "000");
}

/* A value is a head and a piece of a body; both arrive, of any size. */
static void test_store_keeps_bodies_of_any_size(void **state)
{
    static const size_t sizes[] = {0,    1,    2000, 2037,  2038,   4064,
                                   4065, 8192, 8200, 65536, 1310720};
    struct td_rig *rig = *state;
    char key[TD_STORE_KEY_BYTES_MAX];

    memset(key, 'k', sizeof(key));
    for (size_t i = 0; i < TD_ARRAY_LEN(sizes); i++) {
        struct td_txn txn = {0};
        struct td_store_answer *answer;
        struct td_str value;
        uint8_t *data;
        struct td_body *body = td_body_new(sizes[i] + 2, &data);

        for (size_t j = 0; j < sizes[i] + 2; j++)
            data[j] = (uint8_t)(j * 31 + i);
        td_txn_put(&txn, (struct td_str){key, sizeof(key)}, td_rig_str("head"),
                   body, 1, sizes[i]);
        assert_ok(td_rig_commit(rig, &txn, TD_LEVEL_DISK));
        answer = td_rig_read(rig, td_rig_str("k"), td_rig_str(""), false, 9,
                             SIZE_MAX);
        assert_row_at("size", sizes[i], answer->records_len == 1);
        value = answer->records[0].value;
        assert_row_at("size", sizes[i],
                      value.len == 4 + sizes[i] &&
                          memcmp(value.data, "head", 4) == 0 &&
                          memcmp(value.data + 4, data + 1, sizes[i]) == 0);
        assert_int_equal(answer->records[0].key.len, sizeof(key));
        td_store_answer_free(answer);
        assert_int_equal(atomic_load(&body->refs), 1);
        td_body_unref(body);
    }
}

static void test_store_keeps_what_it_was_closed_with(void **state)
{
    struct td_rig *rig = *state;
    struct td_txn txn = {0};
    struct td_store_info info;

    letters(rig);
    td_rig_put(&txn, "late", "yes"); /* nobody waits for it */
    td_rig_submit(rig, &txn, TD_LEVEL_MEMORY);
    rig->store->face->info(rig->store, &info);
    assert_false(info.unclean);
    td_rig_close(rig);
    td_rig_open(rig);
    rig->store->face->info(rig->store, &info);
    assert_false(info.unclean);
    assert_int_equal(info.damaged, 0);
    assert_string_equal(td_rig_text(rig, "", "", false, ALL),
                        "a=A b=B c=C d=D e=E late=yes");
}

static void test_store_closes_with_answers_that_nobody_took(void **state)
{
    struct td_rig *rig = *state;
    struct td_txn txn = {0};

    letters(rig);
    for (int i = 0; i < 20; i++) {
        td_rig_put(&txn, "x", "y");
        td_rig_submit(rig, &txn, TD_LEVEL_OS);
        assert_true(rig->store->face->read(rig->store, td_rig_str(""),
                                           td_rig_str(""), false, ALL, 1));
    }
    td_rig_close(rig);
}

static void test_store_drops_a_transaction_that_is_not_submitted(void **state)
{
    struct td_txn txn = {0};
    struct td_body *body = td_body_copy("body", 4);

    td_txn_put(&txn, td_rig_str("a"), td_rig_str(""), body, 0, 4);
    td_txn_fini(&txn);
    td_txn_fini(&txn);
    assert_int_equal(atomic_load(&body->refs), 1);
    td_body_unref(body);
    assert_string_equal(td_rig_text(*state, "", "", false, ALL), "");
}

static void test_store_counts(void **state)
{
    struct td_rig *rig = *state;
    struct td_store_info info;

    letters(rig);
    letters(rig);
    rig->store->face->info(rig->store, &info);
    assert_int_equal(info.transactions, 2);
    assert_in_range(info.commits, 1, 2);
    assert_true(info.used_bytes >= 10);
    assert_true(info.file_bytes >= info.used_bytes);
    assert_true(info.free_bytes > 0);
    assert_false(info.failed);
}

/* ---- both beside each other ---- */

static uint64_t seed = 20261122;

static uint32_t below(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % n;
}

/* A key that others begin with, or that goes on with others. */
static struct td_str some_key(char *buf)
{
    uint32_t n = below(400);
    int len = snprintf(buf, 64, "%c%u%.*s", 'a' + (int)(n % 5), n / 5,
                       (int)below(30), "abcdefghijklmnopqrstuvwxyzabcd");

    return (struct td_str){buf, (size_t)len};
}

static void some_operations(struct td_txn *one, struct td_txn *two)
{
    static char value[20000];
    char key[64];
    char end[64];

    for (uint32_t n = 1 + below(6); n > 0; n--) {
        struct td_str k = some_key(key);
        struct td_str e = some_key(end);
        struct td_str v = {value, below(8) ? below(300) : below(20000)};

        memset(value, 'a' + (int)below(26), v.len);
        switch (below(12)) {
        case 0:
            td_txn_delete_range(one, k, e);
            td_txn_delete_range(two, k, e);
            break;
        case 1:
        case 2:
            td_txn_delete(one, k);
            td_txn_delete(two, k);
            break;
        default:
            td_txn_put(one, k, v, NULL, 0, 0);
            td_txn_put(two, k, v, NULL, 0, 0);
        }
    }
}

static void assert_same(const struct td_store_answer *a,
                        const struct td_store_answer *b)
{
    assert_int_equal(a->err, b->err);
    assert_int_equal(a->records_len, b->records_len);
    assert_int_equal(a->more, b->more);
    for (uint32_t i = 0; i < a->records_len; i++) {
        const struct td_record *x = &a->records[i];
        const struct td_record *y = &b->records[i];

        assert_int_equal(x->key.len, y->key.len);
        assert_memory_equal(x->key.data, y->key.data, x->key.len);
        assert_int_equal(x->value.len, y->value.len);
        assert_memory_equal(x->value.data, y->value.data, x->value.len);
    }
}

static void compare_reads(struct td_rig *one, struct td_rig *two)
{
    char from[64];
    char to[64];
    struct td_str f = some_key(from);
    struct td_str t = below(4) ? some_key(to) : td_rig_str("");
    bool backwards = below(2);
    uint32_t records = below(2) ? below(20) : UINT32_MAX;
    size_t bytes = below(2) ? below(30000) : SIZE_MAX;
    struct td_store_answer *a =
        td_rig_read(one, f, t, backwards, records, bytes);
    struct td_store_answer *b =
        td_rig_read(two, f, t, backwards, records, bytes);

    assert_same(a, b);
    td_store_answer_free(a);
    td_store_answer_free(b);
}

static void test_store_and_model_are_the_same(void **state)
{
    struct td_rig one;
    struct td_rig two;

    (void)state;
    td_rig_init(&one, false);
    td_rig_init(&two, true);
    td_rig_open(&one);
    td_rig_open(&two);
    for (int i = 0; i < PARITY_TURNS; i++) {
        struct td_txn a = {0};
        struct td_txn b = {0};

        some_operations(&a, &b);
        assert_ok(td_rig_commit(&one, &a, TD_LEVEL_OS));
        assert_ok(td_rig_commit(&two, &b, TD_LEVEL_OS));
        compare_reads(&one, &two);
        if (i % 500 == 499) {
            td_rig_close(&one);
            td_rig_open(&one);
        }
    }
    td_rig_fini(&one);
    td_rig_fini(&two);
}

#define BOTH(test)                                                             \
    {#test " (lmdb)", test, setup_lmdb, teardown, NULL},                       \
    {                                                                          \
#test " (model)", test, setup_model, teardown, NULL                    \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_store_reads_ranges_in_both_directions),
        BOTH(test_store_empty_gives_nothing),
        BOTH(test_store_applies_operations_in_order),
        BOTH(test_store_says_what_level_was_reached),
        BOTH(test_store_answers_in_order),
        BOTH(test_store_keeps_bodies_of_any_size),
        BOTH(test_store_keeps_what_it_was_closed_with),
        BOTH(test_store_closes_with_answers_that_nobody_took),
        BOTH(test_store_drops_a_transaction_that_is_not_submitted),
        BOTH(test_store_counts),
        cmocka_unit_test(test_store_and_model_are_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
