/* Who holds a partitionkey, and for how many events. */
#include "tests/support/td_test.h"

#include <stdlib.h>

#include "broker/engine/keys.h"
#include "proto/limits.h"
#include "tests/support/alloc.h"
#include "tests/support/mp.h"

/* The table only compares holders: any two addresses will do. */
static char members[2];
#define A ((struct td_sub *)&members[0])
#define B ((struct td_sub *)&members[1])

static void test_keys_are_held_while_events_are(void **state)
{
    struct td_keys k = {0};

    (void)state;
    assert_null(td_keys_holder(&k, 5));
    assert_true(td_keys_take(&k, 5, A));
    assert_true(td_keys_take(&k, 5, A));
    assert_true(td_keys_take(&k, 6, B));
    assert_ptr_equal(td_keys_holder(&k, 5), A);
    assert_ptr_equal(td_keys_holder(&k, 6), B);
    td_keys_release(&k, 5);
    assert_ptr_equal(td_keys_holder(&k, 5), A);
    td_keys_release(&k, 5);
    assert_null(td_keys_holder(&k, 5));
    td_keys_release(&k, 5); /* nobody's */
    assert_true(td_keys_take(&k, 5, B));
    assert_ptr_equal(td_keys_holder(&k, 5), B);
    td_keys_fini(&k);
    assert_null(k.table);
    td_keys_fini(&k);
}

static void test_keys_are_many(void **state)
{
    struct td_keys k = {0};

    (void)state;
    for (uint64_t n = 1; n <= 5000; n++)
        assert_true(td_keys_take(&k, n << 40, n % 2 ? A : B));
    for (uint64_t n = 1; n <= 5000; n++) {
        assert_ptr_equal(td_keys_holder(&k, n << 40), n % 2 ? A : B);
        td_keys_release(&k, n << 40);
    }
    assert_null(k.table);
}

/* The hash of what an event with these attributes has; "": it has none. */
static uint64_t hash_of(const char *attrs)
{
    struct td_event event = {0};
    struct td_buf b = {0};
    uint64_t hash;

    td_mp(&b, attrs);
    if (*attrs)
        event.attrs = td_mp_str(&b);
    hash = td_key_of(&event);
    td_buf_fini(&b);
    return hash;
}

static void test_key_is_the_partitionkey_alone(void **state)
{
    uint64_t a = hash_of("{\"partitionkey\" \"a\"}");

    (void)state;
    assert_true(a != 0);
    assert_true(a != hash_of("{\"partitionkey\" \"b\"}"));
    assert_true(a != hash_of("{\"partitionkey\" \"aa\"}"));
    assert_true(hash_of("{\"partitionkey\" \"\"}") != 0);
    assert_true(a ==
                hash_of("{\"subject\" \"x\" \"partitionkey\" \"a\" \"n\" 1}"));
}

/* Attributes come from a peer, and are not what the run says they are. */
static void test_key_of_what_is_none(void **state)
{
    static const char *const rows[] = {
        "",
        "{}",
        "{\"subject\" \"a\"}",
        "{\"partitionkey\" 7}",
        "{\"partitionkey\" nil}",
        "{\"partitionkey\" 'a'}",
        "{\"partitionkey\" [\"a\"]}",
        "{\"Partitionkey\" \"a\"}",
        "{\"partitionkey \" \"a\"}",
        "{7 \"a\"}",
    };

    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++)
        assert_row(rows[i], hash_of(rows[i]) == 0);
}

static tidings_err take_three(void *arg)
{
    struct td_keys k = {0};
    bool taken = true;

    (void)arg;
    for (uint64_t n = 1; n <= 3; n++) {
        bool took = td_keys_take(&k, n, A);

        assert_true(took == (td_keys_holder(&k, n) == A));
        taken = taken && took;
    }
    td_keys_fini(&k);
    return taken ? TIDINGS_OK : TIDINGS_ENOMEM;
}

static void test_keys_without_memory_change_nothing(void **state)
{
    (void)state;
    assert_true(td_alloc_each(take_three, NULL) >= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_are_held_while_events_are),
        cmocka_unit_test(test_keys_are_many),
        cmocka_unit_test(test_key_is_the_partitionkey_alone),
        cmocka_unit_test(test_key_of_what_is_none),
        cmocka_unit_test(test_keys_without_memory_change_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
