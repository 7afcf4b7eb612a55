/* Which sequences a durable group is done with, against a flag for each. */
#include "tests/support/td_test.h"

#include <stdlib.h>

#include "broker/engine/settled.h"

#define SPAN       40000u /* sequences that the model has flags for */
#define STEPS      4000
#define SEEDS      4
#define CHUNKS_MAX 64 /* in the test's store */

/* ---- dice ---- */

static uint64_t dice;

static uint64_t roll(uint64_t sides)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return dice % sides;
}

/* ---- the model ---- */

struct model {
    uint64_t base; /* the sequence of its first flag */
    bool settled[SPAN];
};

static uint64_t model_mark(struct model *m, uint64_t first, uint64_t count)
{
    uint64_t newly = 0;

    for (uint64_t i = first - m->base; i < first - m->base + count; i++) {
        newly += !m->settled[i];
        m->settled[i] = true;
    }
    return newly;
}

static uint64_t model_next(const struct model *m, uint64_t sequence)
{
    while (sequence - m->base < SPAN && m->settled[sequence - m->base])
        sequence++;
    return sequence;
}

static uint64_t model_gap(const struct model *m, uint64_t sequence,
                          uint64_t max)
{
    uint64_t n = 0;

    while (n < max && (sequence + n - m->base >= SPAN ||
                       !m->settled[sequence + n - m->base]))
        n++;
    return n;
}

/* ---- the store ---- */

struct store {
    uint64_t numbers[CHUNKS_MAX];
    uint8_t bits[CHUNKS_MAX][TD_CHUNK_BYTES];
    uint32_t len;
    uint32_t shown;
    uint32_t deleted;
};

static void store_chunk(void *ctx, uint64_t number, const uint8_t *bits)
{
    struct store *store = ctx;
    uint32_t i = 0;

    store->shown++;
    while (i < store->len && store->numbers[i] != number)
        i++;
    if (!bits) {
        assert_true(i < store->len); /* it was shown before */
        store->deleted++;
        store->len--;
        store->numbers[i] = store->numbers[store->len];
        memcpy(store->bits[i], store->bits[store->len], TD_CHUNK_BYTES);
        return;
    }
    assert_true(i < CHUNKS_MAX);
    if (i == store->len)
        store->numbers[store->len++] = number;
    memcpy(store->bits[i], bits, TD_CHUNK_BYTES);
}

static void load(struct td_settled_set *s, const struct store *store,
                 uint64_t floor)
{
    td_settled_init(s, floor);
    for (uint32_t i = store->len; i-- > 0;)
        assert_true(td_settled_load(s, store->numbers[i], store->bits[i]));
}

/* ---- what is true at all times ---- */

static void check_counts(const struct td_settled_set *s, const struct model *m)
{
    uint64_t above = 0;

    assert_int_equal(s->floor, model_next(m, m->base));
    for (uint64_t i = s->floor - m->base; i < SPAN; i++)
        above += m->settled[i];
    assert_int_equal(s->above, above);
}

static void check_at(const struct td_settled_set *s, const struct model *m,
                     uint64_t sequence)
{
    uint64_t max = roll(2) ? roll(20) : roll(2 * SPAN);
    bool settled = m->settled[sequence - m->base];

    assert_true(td_settled_has(s, sequence) == settled);
    assert_int_equal(td_settled_next(s, sequence), model_next(m, sequence));
    assert_int_equal(td_settled_gap(s, sequence, max),
                     model_gap(m, sequence, max));
}

/* ---- random walks ---- */

static uint64_t some_count(uint64_t left)
{
    uint64_t count = roll(4) ? roll(4) : roll(64) ? roll(60) : roll(6000);

    return count < left ? count : left;
}

static void step(struct td_settled_set *s, struct model *m, uint64_t reach)
{
    uint64_t first = m->base + roll(reach);
    uint64_t left = m->base + SPAN - first;
    uint64_t count = some_count(left);
    uint64_t newly = 12345;
    uint64_t want;

    switch (roll(50)) {
    case 0: /* the floor goes on by force */
        if (first <= s->floor || first > s->floor + 2000)
            return;
        want = model_mark(m, m->base, first - m->base);
        assert_int_equal(td_settled_raise(s, first), want);
        break;
    case 1: /* or because of the one that held it */
        first = s->floor;
        if (first == m->base + SPAN)
            return;
        want = model_mark(m, first, 1);
        assert_true(td_settled_mark(s, first, 1, NULL));
        break;
    default:
        want = model_mark(m, first, count);
        assert_true(td_settled_mark(s, first, count, &newly));
        assert_int_equal(newly, want);
        break;
    }
}

static void walk(uint64_t seed, uint64_t base)
{
    struct model *m = calloc(1, sizeof(*m));
    struct store *store = calloc(1, sizeof(*store));
    struct td_settled_set s;

    assert_non_null(m);
    assert_non_null(store);
    dice = seed;
    m->base = base;
    td_settled_init(&s, base);
    for (uint64_t i = 0; i < STEPS; i++) {
        step(&s, m, 1 + i * SPAN / STEPS);
        for (int n = 0; n < 4; n++)
            check_at(&s, m, base + roll(SPAN));
        if (i % 16 == 0)
            check_counts(&s, m);
        if (roll(40) == 0) {
            td_settled_write(&s, store_chunk, store);
            assert_false(s.dirty);
        }
        if (roll(200) == 0) { /* the broker begins anew */
            uint64_t floor = s.floor;

            td_settled_write(&s, store_chunk, store);
            td_settled_fini(&s);
            load(&s, store, floor);
            check_counts(&s, m);
            assert_false(s.dirty);
        }
    }
    assert_true(td_settled_mark(&s, base, SPAN, NULL));
    assert_int_equal(s.floor, base + SPAN);
    assert_int_equal(s.above, 0);
    td_settled_write(&s, store_chunk, store);
    assert_true(store->deleted > 0);
    assert_true(store->len <= 1); /* but the floor's own */
    td_settled_fini(&s);
    free(store);
    free(m);
}

static void test_settled_agrees_with_a_flag_for_each(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        walk(seed * 0x9e3779b97f4a7c15u, 1);
        walk(seed * 0xbf58476d1ce4e5b9u, (1ull << 50) + 4000 + seed);
    }
}

/* ---- rows ---- */

#define LAST UINT64_MAX

static void test_settled_marks_any_range(void **state)
{
    static const struct {
        const char *row;
        uint64_t floor, first, count;
        uint64_t newly, new_floor, above;
    } rows[] = {
        {"none", 1, 1, 0, 0, 1, 0},
        {"none at 0", 1, 0, 0, 0, 1, 0},
        {"none above", 1, 9, 0, 0, 1, 0},
        {"0 is no sequence", 1, 0, 1, 0, 1, 0},
        {"0 and 1", 1, 0, 2, 1, 2, 0},
        {"the floor", 5, 5, 1, 1, 6, 0},
        {"below", 5, 2, 3, 0, 5, 0},
        {"from below to above", 5, 2, 10, 7, 12, 0},
        {"above", 5, 6, 3, 3, 5, 3},
        {"a word", 1, 64, 64, 64, 1, 64},
        {"around a word", 1, 63, 66, 66, 1, 66},
        {"a chunk", 1, 4096, 4096, 4096, 1, 4096},
        {"around a chunk", 1, 4095, 4098, 4098, 1, 4098},
        {"a chunk's last", 1, 8191, 1, 1, 1, 1},
        {"all", 1, 1, LAST, LAST - 1, LAST, 0},
        {"all and more", 7, 0, LAST, LAST - 7, LAST, 0},
        {"beyond the end", 1, LAST - 3, 100, 3, 1, 3},
        {"the last number", 1, LAST, 1, 0, 1, 0},
        {"the last number again", 1, LAST, LAST, 0, 1, 0},
        {"from the last floor", LAST, 1, LAST, 0, LAST, 0},
        {"a floor far up", LAST - 9, LAST - 9, 4, 4, LAST - 5, 0},
    };

    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct td_settled_set s;
        uint64_t newly = 77;

        td_settled_init(&s, rows[i].floor);
        assert_row(rows[i].row,
                   td_settled_mark(&s, rows[i].first, rows[i].count, &newly));
        assert_row(rows[i].row, newly == rows[i].newly);
        assert_row(rows[i].row, s.floor == rows[i].new_floor);
        assert_row(rows[i].row, s.above == rows[i].above);
        assert_row(rows[i].row, s.dirty == (newly > 0));
        assert_row(rows[i].row,
                   td_settled_mark(&s, rows[i].first, rows[i].count, &newly));
        assert_row(rows[i].row, newly == 0);
        assert_row(rows[i].row, td_settled_next(&s, 0) == rows[i].new_floor);
        td_settled_fini(&s);
    }
}

static void test_settled_answers_at_the_ends(void **state)
{
    struct td_settled_set s;

    (void)state;
    td_settled_init(&s, 0);
    assert_int_equal(s.floor, 1);
    assert_true(td_settled_has(&s, 0));
    assert_false(td_settled_has(&s, LAST));
    assert_true(td_settled_next(&s, LAST) == LAST);
    assert_int_equal(td_settled_gap(&s, 0, 10), 0);
    assert_int_equal(td_settled_gap(&s, 1, 0), 0);
    assert_true(td_settled_gap(&s, 1, LAST) == LAST - 1);
    assert_true(td_settled_mark(&s, 5, 1, NULL));
    assert_int_equal(td_settled_gap(&s, 1, LAST), 4);
    assert_true(td_settled_gap(&s, 6, LAST) == LAST - 6); /* at once */
    assert_true(td_settled_mark(&s, LAST - 1, 1, NULL));
    assert_true(td_settled_gap(&s, 6, LAST) == LAST - 7);
    assert_true(td_settled_mark(&s, 1ull << 50, 1, NULL));
    assert_true(td_settled_mark(&s, 1ull << 60, 1, NULL));
    assert_true(td_settled_gap(&s, 6, LAST) == (1ull << 50) - 6);
    assert_true(td_settled_next(&s, LAST - 1) == LAST);
    assert_int_equal(td_settled_raise(&s, 0), 0);
    assert_int_equal(td_settled_raise(&s, 1), 0);
    assert_true(td_settled_raise(&s, LAST) == LAST - 5);
    assert_int_equal(s.above, 0);
    assert_int_equal(HASH_COUNT(s.chunks), 1); /* the floor's own */
    td_settled_fini(&s);
    td_settled_fini(&s);
}

/* ---- the store ---- */

static void test_settled_shows_what_has_changed(void **state)
{
    struct store *store = calloc(1, sizeof(*store));
    struct td_settled_set s;

    (void)state;
    assert_non_null(store);
    td_settled_init(&s, 1);
    td_settled_write(&s, store_chunk, store);
    assert_int_equal(store->shown, 0);
    assert_true(td_settled_mark(&s, 4096 + 8 + 3, 1, NULL));
    assert_true(td_settled_mark(&s, 9000, 1, NULL));
    td_settled_write(&s, store_chunk, store);
    assert_int_equal(store->shown, 2);
    assert_int_equal(store->numbers[0], 1);
    assert_int_equal(store->bits[0][1], 1 << 3); /* the format */
    assert_int_equal(store->bits[0][0], 0);
    td_settled_write(&s, store_chunk, store);
    assert_int_equal(store->shown, 2); /* nothing new */

    assert_true(td_settled_mark(&s, 9000, 1, NULL)); /* nor this */
    assert_false(s.dirty);
    assert_true(td_settled_mark(&s, 9001, 1, NULL));
    assert_int_equal(td_settled_raise(&s, 8192), 8190);
    assert_true(s.dirty);
    td_settled_write(&s, store_chunk, store);
    assert_int_equal(store->shown, 4); /* one goes, one has changed */
    assert_int_equal(store->deleted, 1);
    assert_int_equal(store->len, 1);

    /* Passed before it was ever written: the store hears nothing of it. */
    assert_true(td_settled_mark(&s, 20000, 5, NULL));
    assert_int_equal(td_settled_raise(&s, 30000), 30000 - 8192 - 7);
    td_settled_write(&s, store_chunk, store);
    assert_int_equal(store->shown, 5);
    assert_int_equal(store->len, 0);
    td_settled_fini(&s);
    free(store);
}

static void test_settled_loads_what_it_can_use(void **state)
{
    uint8_t all[TD_CHUNK_BYTES];
    uint8_t none[TD_CHUNK_BYTES] = {0};
    struct td_settled_set s;

    (void)state;
    memset(all, 0xff, sizeof(all));
    td_settled_init(&s, 9000);
    assert_true(td_settled_load(&s, 0, all)); /* below */
    assert_true(td_settled_load(&s, 1, all));
    assert_true(td_settled_load(&s, LAST, all)); /* of no sequence */
    assert_true(td_settled_load(&s, LAST / 4096 + 1, all));
    assert_null(s.chunks);
    assert_true(td_settled_load(&s, 7, none));
    assert_int_equal(s.above, 0);
    assert_true(td_settled_load(&s, 3, all));
    assert_true(td_settled_load(&s, 3, all)); /* twice */
    assert_int_equal(s.above, 4096);
    assert_int_equal(s.floor, 9000);
    assert_true(td_settled_load(&s, 2, all)); /* the floor's own */
    assert_int_equal(s.above, 0);
    assert_int_equal(s.floor, 4 * 4096);
    assert_true(td_settled_load(&s, LAST / 4096, all)); /* the last there is */
    assert_int_equal(s.above, 4095);
    assert_true(td_settled_next(&s, LAST - 5) == LAST);
    td_settled_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_settled_agrees_with_a_flag_for_each),
        cmocka_unit_test(test_settled_marks_any_range),
        cmocka_unit_test(test_settled_answers_at_the_ends),
        cmocka_unit_test(test_settled_shows_what_has_changed),
        cmocka_unit_test(test_settled_loads_what_it_can_use),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
