/* What is kept of a producer with a name: prints of its last events, and the
 * row of the store that holds them. */
#include "tests/support/td_test.h"

#include "broker/engine/naming.h"
#include "broker/engine/append.h"
#include "proto/batch.h"

struct fixture {
    struct td_naming n;
    struct td_stored stored;
    uint64_t ticket;
    struct td_buf row;
};

static int setup(void **state)
{
    static struct fixture f;

    memset(&f, 0, sizeof(f));
    td_naming_init(&f.n, (struct td_str){"orders", 6});
    f.n.term = 3;
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    td_buf_fini(&f->row);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* The hash of an event is its sequence, times 7. */
static void store(struct fixture *f, uint64_t first, uint64_t last)
{
    for (uint64_t i = first; i <= last; i++)
        td_naming_add(&f->n, i, i * 7, f->ticket);
    td_stored_add(&f->stored, first, last);
}

static enum td_likeness of(const struct fixture *f, uint64_t sequence)
{
    return td_naming_compare(&f->n, sequence, sequence * 7);
}

static void test_naming_tells_the_same_from_another(void **state)
{
    struct fixture *f = *state;

    store(f, 1, 3);
    store(f, 6, 6);
    assert_int_equal(of(f, 2), TD_ALIKE);
    assert_int_equal(td_naming_compare(&f->n, 2, 15), TD_UNLIKE);
    assert_int_equal(of(f, 5), TD_ABSENT);
    assert_int_equal(of(f, 7), TD_ABSENT);
    store(f, 4, 5); /* late */
    for (uint64_t i = 1; i <= 6; i++)
        assert_int_equal(of(f, i), TD_ALIKE);
    assert_int_equal(td_naming_last(&f->n, &f->stored), 6);
}

static void test_naming_forgets_the_oldest(void **state)
{
    struct fixture *f = *state;

    store(f, 1, 20);
    store(f, 22, TD_NAMED_HASHES + 2); /* one too many */
    assert_int_equal(f->n.len, TD_NAMED_HASHES);
    assert_int_equal(of(f, 1), TD_FORGOTTEN);
    assert_int_equal(of(f, 2), TD_ALIKE);
    assert_int_equal(of(f, 21), TD_ABSENT);
    store(f, 21, 21);
    assert_int_equal(of(f, 2), TD_FORGOTTEN);
    assert_int_equal(of(f, 21), TD_ALIKE);
    store(f, 1, 2); /* too late to be known */
    assert_int_equal(of(f, 1), TD_FORGOTTEN);
    assert_int_equal(of(f, 3), TD_ALIKE);
    td_naming_pass(&f->n, 1000);
    assert_int_equal(f->n.len, 0);
    assert_int_equal(of(f, 1000), TD_FORGOTTEN);
    assert_int_equal(of(f, 1001), TD_ABSENT);
}

static void test_naming_takes_back_what_is_not_stored(void **state)
{
    struct fixture *f = *state;

    f->ticket = 1;
    store(f, 1, 2);
    store(f, 5, 7);
    f->ticket = 2;
    store(f, 3, 4);
    store(f, 8, 10);
    td_naming_trim(&f->n, 2);
    assert_int_equal(td_naming_last(&f->n, &f->stored), 10);
    td_naming_trim(&f->n, 1);
    assert_int_equal(of(f, 2), TD_ALIKE);
    assert_int_equal(of(f, 4), TD_ABSENT);
    assert_int_equal(of(f, 9), TD_ABSENT);
    assert_int_equal(td_naming_last(&f->n, &f->stored), 7);
    td_naming_trim(&f->n, 0);
    td_stored_lose(&f->stored, 1, 10);
    assert_int_equal(td_naming_last(&f->n, &f->stored), 0);
}

static void test_naming_counts_what_it_has_no_print_of(void **state)
{
    struct fixture *f = *state;

    td_stored_add(&f->stored, 1, 10);
    td_naming_pass(&f->n, 10);
    assert_int_equal(td_naming_last(&f->n, &f->stored), 10);
    td_stored_lose(&f->stored, 9, 10);
    assert_int_equal(td_naming_last(&f->n, &f->stored), 8);
}

/* ---- hashes ---- */

static uint64_t hash_of(const char *type, int64_t dt_us, const char *data)
{
    uint8_t event[64];
    const uint8_t *end = td_event_put(event, dt_us, data, strlen(data),
                                      (struct td_str){NULL, 0});

    return td_print_hash((struct td_str){type, strlen(type)}, event,
                         (size_t)(end - event));
}

static void test_naming_hashes_what_an_event_says(void **state)
{
    static const uint8_t odd[] = {0xc4, 2, 1, 2};
    const struct td_str type = {"a", 1};
    uint64_t hash = hash_of("a", 0, "one");

    (void)state;
    assert_true(hash == hash_of("a", 70000, "one")); /* not when */
    assert_true(hash != hash_of("a", 0, "two"));
    assert_true(hash != hash_of("b", 0, "one"));
    /* what is no event is hashed all the same, wherever it ends */
    for (size_t len = 0; len <= sizeof(odd); len++)
        assert_true(hash != td_print_hash(type, odd, len));
}

/* ---- rows ---- */

static struct td_str packed(struct fixture *f)
{
    td_buf_reset(&f->row);
    td_naming_pack(&f->row, &f->n, &f->stored);
    assert_false(f->row.failed);
    return (struct td_str){(const char *)f->row.data, f->row.len};
}

static void test_naming_is_read_as_it_was_packed(void **state)
{
    struct fixture *f = *state;
    struct td_naming n;
    struct td_stored stored;

    for (int round = 0; round < 3; round++) {
        assert_true(td_naming_read(packed(f), &n, &stored));
        assert_string_equal(n.name, "orders");
        assert_int_equal(n.term, 3);
        assert_true(n.written);
        assert_int_equal(n.from, f->n.from);
        assert_int_equal(n.len, f->n.len);
        assert_memory_equal(n.prints, f->n.prints, n.len * sizeof(n.prints[0]));
        assert_memory_equal(&stored, &f->stored, sizeof(stored));
        store(f, 1 + 200 * (unsigned)round, 200 + 200 * (unsigned)round);
    }
    td_stored_lose(&f->stored, 601, 605);
    f->ticket = 1;
    store(f, 606, 606);
    f->ticket = 2;
    store(f, 607, 607);
    td_naming_trim(&f->n, 1);
    assert_true(td_naming_read(packed(f), &n, &stored));
    assert_int_equal(stored.holes[0].first, 601);
    assert_int_equal(td_naming_compare(&n, 602, 602 * 7), TD_ABSENT);
    assert_int_equal(td_naming_compare(&n, 600, 600 * 7), TD_ALIKE);
    assert_int_equal(td_naming_compare(&n, 606, 606 * 7), TD_ALIKE);
    assert_int_equal(td_naming_compare(&n, 607, 607 * 7), TD_ABSENT);
}

/* Sets one byte of a row with a hole and two prints, or cuts it. */
static void test_naming_refuses_rows_of_nonsense(void **state)
{
    static const struct {
        const char *row;
        size_t at;
        uint8_t is;
    } rows[] = {
        {"another version", 0, 1},
        {"another version", 0, 3},
        {"no name", 1, 0},
        {"a name that is longer than the row", 1, 255},
        {"fewer holes", 2, 0},
        {"more holes than there may be", 2, TD_HOLES_MAX + 1},
        {"fewer prints", 3, 1},
        {"more prints than there may be", 3, TD_NAMED_HASHES + 1},
        {"prints beyond the last", 11, 4},
        {"no term", 27, 0},
        {"a term that is no integer of the wire", 20, 0x80},
        {"from nowhere", 35, 0},
        {"prints from before", 35, 5},
        {"a name with a space", 36, ' '},
        {"a name with a NUL", 36, 0},
        {"a hole at 0", 49, 0},
        {"a hole that ends before it begins", 57, 1},
        {"prints that fall", 65, 6},
    };
    struct fixture *f = *state;
    struct td_naming n;
    struct td_stored stored;
    struct td_str row;

    store(f, 4, 5);
    td_stored_lose(&f->stored, 2, 3);
    row = packed(f);
    assert_int_equal(row.len, 36 + 6 + 16 + 32);
    assert_true(td_naming_read(row, &n, &stored));
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        uint8_t *byte = f->row.data + rows[i].at;
        uint8_t was = *byte;

        *byte = rows[i].is;
        assert_row(rows[i].row, !td_naming_read(row, &n, &stored));
        *byte = was;
    }
    while (row.len-- > 0)
        assert_row_at("cut", row.len, !td_naming_read(row, &n, &stored));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_naming_tells_the_same_from_another),
        TEST(test_naming_forgets_the_oldest),
        TEST(test_naming_takes_back_what_is_not_stored),
        TEST(test_naming_counts_what_it_has_no_print_of),
        TEST(test_naming_hashes_what_an_event_says),
        TEST(test_naming_is_read_as_it_was_packed),
        TEST(test_naming_refuses_rows_of_nonsense),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
