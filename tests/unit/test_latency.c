/* The engine's histogram: how true its bounds are, and its text. */
#include "tests/support/td_test.h"

#include "broker/engine/latency.h"
#include "proto/buf.h"
#include "proto/scan.h"

#define MOST (((uint64_t)1 << TD_LATENCY_BITS) - 1)

struct row {
    uint64_t below_us;
    uint64_t count;
};

/* Its rows, at most max; they rise, and none is empty. */
static uint32_t rows_of(const struct td_latency *l, unsigned join,
                        struct row *rows, uint32_t max)
{
    struct td_buf b = {0};
    msgpack_packer pk;
    struct td_reader r;
    uint64_t before = 0;
    uint32_t n, pair;

    msgpack_packer_init(&pk, &b, td_buf_pack_write);
    td_latency_pack(l, join, &pk);
    r = td_reader_of(b.data, b.len);
    assert_true(td_read_array(&r, &n));
    assert_true(n <= max);
    for (uint32_t i = 0; i < n; i++) {
        assert_true(td_read_array(&r, &pair));
        assert_int_equal(pair, 2);
        assert_true(td_read_uint(&r, &rows[i].below_us));
        assert_true(td_read_uint(&r, &rows[i].count));
        assert_true(rows[i].below_us > before && rows[i].count > 0);
        before = rows[i].below_us;
    }
    assert_ptr_equal(r.p, r.end);
    td_buf_fini(&b);
    return n;
}

static uint64_t bound_of(uint64_t us, unsigned join)
{
    struct td_latency l = {{0}};
    struct row row;

    td_latency_count(&l, us);
    assert_int_equal(rows_of(&l, join, &row, 1), 1);
    assert_int_equal(row.count, 1);
    return row.below_us;
}

static void test_latency_small_values_are_exact(void **state)
{
    (void)state;
    for (uint64_t us = 0; us < 2 * TD_LATENCY_STEPS; us++)
        assert_int_equal(bound_of(us, 1), us + 1);
}

/* A bound is above the value, and by a quarter of its doubling at most. */
static void test_latency_bounds_are_close(void **state)
{
    (void)state;
    for (unsigned bit = 3; bit < TD_LATENCY_BITS; bit++) {
        const uint64_t first = (uint64_t)1 << bit;
        const uint64_t values[] = {first, first + 1, first + first / 3,
                                   2 * first - 1};

        for (size_t i = 0; i < TD_ARRAY_LEN(values); i++) {
            uint64_t bound = bound_of(values[i], 1);

            assert_row_at("bit", bit, bound > values[i]);
            assert_row_at("bit", bit,
                          bound - values[i] <= first / TD_LATENCY_STEPS);
            assert_int_equal(bound_of(values[i], TD_LATENCY_STEPS), 2 * first);
        }
    }
}

static void test_latency_what_is_too_large_is_in_the_last(void **state)
{
    (void)state;
    assert_int_equal(bound_of(MOST, 1), MOST + 1);
    assert_int_equal(bound_of(MOST + 1, 1), MOST + 1);
    assert_int_equal(bound_of(UINT64_MAX, 1), MOST + 1);
}

static void test_latency_of_nothing_is_an_empty_list(void **state)
{
    struct td_latency l = {{0}};
    struct row row;

    (void)state;
    assert_int_equal(rows_of(&l, 1, &row, 1), 0);
    assert_int_equal(rows_of(NULL, 1, &row, 1), 0);
}

static void test_latency_joined_buckets_lose_nothing(void **state)
{
    struct row rows[TD_LATENCY_BUCKETS];
    struct td_latency l = {{0}};
    uint64_t all = 0;
    uint32_t n;

    (void)state;
    for (uint64_t us = 0; us < 5000; us++)
        td_latency_count(&l, us);
    n = rows_of(&l, 1, rows, TD_LATENCY_BUCKETS);
    for (uint32_t i = 0; i < n; i++)
        all += rows[i].count;
    assert_int_equal(all, 5000);
    n = rows_of(&l, TD_LATENCY_STEPS, rows, TD_LATENCY_BUCKETS);
    assert_int_equal(n, 12); /* below 4, 8, 16, ... 8192 */
    assert_int_equal(rows[0].count, 4);
    assert_int_equal(rows[11].below_us, 8192);
    assert_int_equal(rows[11].count, 5000 - 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_latency_small_values_are_exact),
        cmocka_unit_test(test_latency_bounds_are_close),
        cmocka_unit_test(test_latency_what_is_too_large_is_in_the_last),
        cmocka_unit_test(test_latency_of_nothing_is_an_empty_list),
        cmocka_unit_test(test_latency_joined_buckets_lose_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
