/* The last event of each name, against a plain table. */
#include "tests/support/td_test.h"

#include <stdlib.h>

#include "broker/engine/last.h"
#include "tests/support/alloc.h"

#define NAMES 400u
#define STEPS 60000u

static void hash_of(uint8_t out[TD_LAST_HASH_BYTES], uint32_t name)
{
    memset(out, 0, TD_LAST_HASH_BYTES);
    memcpy(out + 12, &name, sizeof(name)); /* most of it is the same */
    out[0] = (uint8_t)(name % 7);
}

static uint32_t enter(struct td_lasts *l, uint32_t name)
{
    uint8_t hash[TD_LAST_HASH_BYTES];

    hash_of(hash, name);
    return td_last_enter(l, hash);
}

static uint32_t find(const struct td_lasts *l, uint32_t name)
{
    uint8_t hash[TD_LAST_HASH_BYTES];

    hash_of(hash, name);
    return td_last_find(l, hash);
}

/* The list is in order, whole, and the same both ways. */
static void check_list(const struct td_lasts *l, const uint64_t *kept)
{
    uint64_t before = 0;
    uint32_t older = 0;
    uint32_t n = 0;

    for (uint32_t i = 0; i < NAMES; i++)
        n += kept[i] > 0;
    for (uint32_t at = l->oldest; at; at = td_last_at(l, at)->newer, n--) {
        const struct td_last *name = td_last_at(l, at);

        assert_true(name->kept > before);
        assert_int_equal(name->older, older);
        before = name->kept;
        older = at;
    }
    assert_int_equal(l->newest, older);
    assert_int_equal(n, 0);
}

static void test_last_keeps_names_in_order(void **state)
{
    struct td_lasts l = {.seed = 12345};
    uint64_t kept[NAMES] = {0};
    uint32_t random = 1;

    (void)state;
    for (uint64_t step = 1; step <= STEPS; step++) {
        uint32_t name, number;

        random = random * 1664525u + 1013904223u;
        name = (random >> 8) % NAMES;
        number = find(&l, name);
        assert_int_equal(number > 0, kept[name] > 0);
        if (number)
            assert_int_equal(td_last_at(&l, number)->kept, kept[name]);
        if (number && random >> 30 == 0) {
            td_last_remove(&l, number);
            kept[name] = 0;
        } else {
            number = enter(&l, name);
            td_last_keep(&l, number, step);
            kept[name] = step;
        }
        if (step % 997 == 0)
            check_list(&l, kept);
    }
    for (uint32_t name = 0; name < NAMES; name++) {
        if (kept[name])
            td_last_remove(&l, find(&l, name));
        kept[name] = 0;
    }
    check_list(&l, kept);
    assert_int_equal(l.count, 0);
    td_lasts_fini(&l);
    assert_int_equal(l.seed, 12345);
}

#define MEET 2048u

/* The bucket of each of those names. */
static void buckets_of(uint32_t buckets[MEET + 1], uint64_t seed)
{
    struct td_lasts l = {.seed = seed};

    for (uint32_t name = 0; name < MEET; name++)
        assert_int_equal(enter(&l, name), name + 1);
    for (uint32_t i = 0; i < l.cap; i++) {
        uint32_t chain = 0;

        for (uint32_t at = l.buckets[i]; at; at = td_last_at(&l, at)->chain) {
            buckets[at] = i;
            chain++;
        }
        assert_true(chain < 16);
    }
    td_lasts_fini(&l);
}

/* Names that meet in one table are apart in one with another seed. */
static void test_last_mixes_names_with_its_seed(void **state)
{
    uint32_t one[MEET + 1];
    uint32_t other[MEET + 1];
    uint32_t met = 0;
    uint32_t again = 0;

    (void)state;
    buckets_of(one, 1);
    buckets_of(other, 2);
    for (uint32_t a = 1; a <= MEET; a++) {
        for (uint32_t b = 1; b < a; b++) {
            met += one[a] == one[b];
            again += one[a] == one[b] && other[a] == other[b];
        }
    }
    assert_true(met > 200);
    assert_true(again < met / 20);
}

static void test_last_sorts_what_was_loaded(void **state)
{
    struct td_lasts l = {0};
    uint64_t kept[NAMES] = {0};

    (void)state;
    assert_true(td_lasts_sort(&l));
    for (uint32_t i = 0; i < NAMES; i++) {
        uint32_t name = i * 37 % NAMES;

        kept[name] = 1000 - i * 2;
        td_last_keep(&l, enter(&l, name), kept[name]);
    }
    assert_true(td_lasts_sort(&l));
    check_list(&l, kept);
    td_lasts_fini(&l);
}

static void test_last_has_room_for_so_many(void **state)
{
    struct td_lasts l = {0};
    uint8_t hash[TD_LAST_HASH_BYTES] = {0};

    (void)state;
    for (uint32_t i = 0; i < TD_LAST_MAX; i++) {
        memcpy(hash, &i, sizeof(i));
        assert_int_equal(td_last_enter(&l, hash), i + 1);
    }
    hash[15] = 1;
    assert_int_equal(td_last_enter(&l, hash), 0);
    assert_int_equal(l.count, TD_LAST_MAX);
    hash[15] = 0;
    assert_int_equal(td_last_enter(&l, hash), TD_LAST_MAX);
    td_last_remove(&l, 17);
    hash[15] = 1;
    assert_int_equal(td_last_enter(&l, hash), 17);
    td_lasts_fini(&l);
}

static void test_last_without_memory_is_as_it_was(void **state)
{
    uint64_t kept[NAMES] = {0};

    (void)state;
    for (long n = 1; n < 40; n++) {
        struct td_lasts l = {0};
        uint32_t i = 0;

        td_alloc_fail(n);
        for (; i < NAMES; i++) {
            uint32_t number = enter(&l, i);

            if (!number)
                break;
            td_last_keep(&l, number, i + 1);
        }
        td_alloc_fail(0);
        for (uint32_t k = 0; k < NAMES; k++)
            kept[k] = k < i ? k + 1 : 0;
        check_list(&l, kept);
        assert_int_equal(l.count, i);
        td_alloc_fail(1);
        assert_false(td_lasts_sort(&l));
        td_alloc_fail(0);
        check_list(&l, kept);
        td_lasts_fini(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_last_keeps_names_in_order),
        cmocka_unit_test(test_last_mixes_names_with_its_seed),
        cmocka_unit_test(test_last_sorts_what_was_loaded),
        cmocka_unit_test(test_last_has_room_for_so_many),
        cmocka_unit_test(test_last_without_memory_is_as_it_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
