/* The window of ids: against a list that is searched from its end. */
#include "tests/support/td_test.h"

#include <stdlib.h>

#include "broker/engine/dedup.h"
#include "tests/support/alloc.h"

#define WINDOW_MS     1000
#define WINDOW_EVENTS 20u
#define IDS           60u /* so many differ */
#define ALL_MAX       20000u

static struct td_dedup_one one_of(uint32_t id, uint64_t sequence,
                                  int64_t stored_ms)
{
    struct td_dedup_one one = {.sequence = sequence, .stored_ms = stored_ms};
    char text[16];
    int len = snprintf(text, sizeof(text), "/s%u", id);

    td_dedup_hash(one.hash, (struct td_str){text, (size_t)len});
    return one;
}

static uint64_t found(const struct td_dedup *d, uint32_t id, uint64_t purged,
                      int64_t now_ms)
{
    const struct td_dedup_one one = one_of(id, 0, 0);
    const struct td_dedup_one *there =
        td_dedup_find(d, one.hash, purged, now_ms);

    return there ? there->sequence : 0;
}

static void add(struct td_dedup *d, uint32_t id, uint64_t sequence,
                int64_t stored_ms)
{
    const struct td_dedup_one one = one_of(id, sequence, stored_ms);

    assert_true(td_dedup_add(d, &one));
}

static void test_dedup_hash_is_the_same_everywhere(void **state)
{
    /* XXH3, 128 bits, of "a\0b": it is in stores */
    static const uint8_t known[] = {0x39, 0x79, 0x77, 0x89, 0xed, 0x4c,
                                    0x7e, 0xa0, 0xd5, 0xa0, 0x6c, 0xd0,
                                    0x78, 0x12, 0x53, 0x51};
    uint8_t hash[TD_DEDUP_HASH_BYTES];

    (void)state;
    td_dedup_hash(hash, (struct td_str){"a\0b", 3});
    assert_memory_equal(hash, known, sizeof(known));
}

static void test_dedup_ends_with_time(void **state)
{
    struct td_dedup d;

    (void)state;
    td_dedup_init(&d, WINDOW_MS, WINDOW_EVENTS);
    assert_int_equal(found(&d, 1, 0, 0), 0);
    add(&d, 1, 7, 100);
    assert_int_equal(found(&d, 1, 0, 100), 7);
    assert_int_equal(found(&d, 2, 0, 100), 0);
    assert_int_equal(found(&d, 1, 0, 100 + WINDOW_MS - 1), 7);
    assert_int_equal(found(&d, 1, 0, 100 + WINDOW_MS), 0);
    assert_int_equal(found(&d, 1, 0, 50), 7); /* the clock was set back */
    assert_int_equal(found(&d, 1, 7, 100), 7);
    assert_int_equal(found(&d, 1, 8, 100), 0); /* purged */
    td_dedup_fini(&d);
}

static void test_dedup_ends_with_so_many(void **state)
{
    const struct td_stream_state kept = {.next = 1000};
    struct td_dedup d;

    (void)state;
    td_dedup_init(&d, WINDOW_MS, 3);
    for (uint32_t id = 1; id <= 4; id++)
        add(&d, id, id, 0);
    assert_int_equal(found(&d, 1, 0, 0), 0);
    assert_int_equal(found(&d, 2, 0, 0), 2);
    td_dedup_cut(&d, 4); /* it was not stored after all */
    assert_int_equal(found(&d, 1, 0, 0), 1);
    add(&d, 5, 4, 0);
    td_dedup_trim(&d, &kept, 0);
    assert_int_equal(d.ones.len, 3);
    td_dedup_fini(&d);
}

static void test_dedup_without_a_window_has_none(void **state)
{
    struct td_dedup d;

    (void)state;
    td_dedup_init(&d, WINDOW_MS, 0);
    assert_int_equal(d.window_ms, 0);
    td_dedup_take_back(&d, 1);
    assert_false(d.stale);
    td_dedup_fini(&d);
}

/* ---- against a list ---- */

struct list {
    struct {
        uint32_t id;
        int64_t stored_ms;
    } all[ALL_MAX]; /* number n has sequence 2 n + 1 */
    uint32_t len;
    uint32_t kept; /* so many are committed */
    uint64_t purged;
    uint64_t purged_kept;
};

static uint64_t expected(const struct list *l, uint32_t id, int64_t now_ms)
{
    for (uint32_t i = l->len; i-- > 0 && l->len - i <= WINDOW_EVENTS;) {
        if (l->all[i].id == id && now_ms - l->all[i].stored_ms < WINDOW_MS &&
            2 * i + 1 >= l->purged)
            return 2 * i + 1;
    }
    return 0;
}

static void check(const struct td_dedup *d, const struct list *l,
                  int64_t now_ms)
{
    for (uint32_t id = 0; id < IDS; id++)
        assert_int_equal(found(d, id, l->purged, now_ms),
                         expected(l, id, now_ms));
    /* half of the table is empty, and an empty window has none */
    assert_true(d->slots_cap >= 2 * d->ones.len);
    assert_true(d->slots_cap <= 8 * (2 * WINDOW_EVENTS + 100));
    assert_true(!d->slots == (d->ones.len == 0));
}

static void step(struct td_dedup *d, struct list *l, int64_t *now_ms)
{
    const struct td_stream_state kept = {.next = 2 * l->kept + 1,
                                         .purged = l->purged_kept};
    int dice = rand() % 100;
    uint32_t id = (uint32_t)rand() % IDS;

    if (dice < 60) {
        /* no two of one id are in the window */
        if (expected(l, id, *now_ms) || l->len == ALL_MAX)
            return;
        add(d, id, 2 * l->len + 1, *now_ms);
        l->all[l->len].id = id;
        l->all[l->len++].stored_ms = *now_ms;
    } else if (dice < 70) {
        l->kept = l->len;
        l->purged_kept = l->purged;
    } else if (dice < 75) {
        td_dedup_take_back(d, 2 * l->kept + 1);
        l->len = l->kept;
        l->purged = l->purged_kept;
    } else if (dice < 76) {
        l->purged = 2 * l->len + 1;
    } else if (dice < 90) {
        *now_ms += rand() % (WINDOW_MS / 20);
    } else {
        td_dedup_trim(d, &kept, *now_ms);
        assert_true(d->ones.len <= WINDOW_EVENTS + l->len - l->kept);
    }
}

static void test_dedup_is_a_list(void **state)
{
    struct list *l = calloc(1, sizeof(*l));
    int64_t now_ms = 0;

    (void)state;
    assert_non_null(l);
    for (unsigned seed = 1; seed <= 5; seed++) {
        struct td_dedup d;

        srand(seed);
        l->len = l->kept = 0;
        l->purged = l->purged_kept = 0;
        td_dedup_init(&d, WINDOW_MS, WINDOW_EVENTS);
        d.seed = seed;
        for (int i = 0; i < 4000; i++) {
            step(&d, l, &now_ms);
            check(&d, l, now_ms);
        }
        td_dedup_fini(&d);
    }
    free(l);
}

/* Of what is in a store a row stays as long as one of it is in the window. */
static void test_dedup_keeps_rows_that_are_needed(void **state)
{
    struct td_stream_state kept = {.next = 100};
    struct td_dedup d;

    (void)state;
    td_dedup_init(&d, WINDOW_MS, 3);
    add(&d, 1, 10, 0);
    add(&d, 2, 12, 0);
    assert_true(td_dedup_add_row(&d, 10));
    add(&d, 3, 21, 0);
    assert_true(td_dedup_add_row(&d, 20));
    td_dedup_trim(&d, &kept, 0);
    assert_false(d.stale);
    add(&d, 4, 30, 0);
    assert_true(td_dedup_add_row(&d, 30));
    td_dedup_trim(&d, &kept, 0);
    assert_false(d.stale);
    assert_int_equal(d.rows.len, 3);
    add(&d, 5, 40, 500);
    assert_true(td_dedup_add_row(&d, 40));
    td_dedup_trim(&d, &kept, 0);
    assert_true(d.stale);
    assert_int_equal(d.rows.len, 3);
    d.stale = false;
    td_dedup_cut(&d, 40);
    assert_int_equal(d.rows.len, 2);
    td_dedup_trim(&d, &kept, WINDOW_MS);
    assert_true(d.stale);
    assert_int_equal(d.rows.len, 0);
    assert_int_equal(d.ones.len, 0);
    td_dedup_fini(&d);
}

static void test_dedup_without_memory_is_as_before(void **state)
{
    struct td_dedup d;
    size_t nth = 0;
    bool added;

    (void)state;
    td_dedup_init(&d, WINDOW_MS, 1000);
    for (uint32_t id = 1; id <= 200; id++) {
        const struct td_dedup_one one = one_of(id, id, 0);

        do {
            td_alloc_fail(++nth);
            added = td_dedup_add(&d, &one);
            td_alloc_fail(0);
            assert_true(added || found(&d, id, 0, 0) == 0);
        } while (!added);
        nth = 0;
        assert_int_equal(found(&d, id / 2 + 1, 0, 0), id / 2 + 1);
    }
    td_dedup_fini(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dedup_hash_is_the_same_everywhere),
        cmocka_unit_test(test_dedup_ends_with_time),
        cmocka_unit_test(test_dedup_ends_with_so_many),
        cmocka_unit_test(test_dedup_without_a_window_has_none),
        cmocka_unit_test(test_dedup_is_a_list),
        cmocka_unit_test(test_dedup_keeps_rows_that_are_needed),
        cmocka_unit_test(test_dedup_without_memory_is_as_before),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
