/* Counted bodies: bytes, references, release, also from several threads. */
#include "tests/support/td_test.h"

#include <pthread.h>
#include <stdlib.h>

#include "proto/body.h"
#include "tests/support/alloc.h"

#define THREADS 4
#define TURNS   20000

/* A body over memory that is not its own, as the edge makes them. */
struct foreign {
    struct td_body body;
    atomic_int released;
};

static void foreign_release(struct td_body *self)
{
    /* body is the first member */
    atomic_fetch_add(&((struct foreign *)self)->released, 1);
}

static void foreign_init(struct foreign *f)
{
    memset(f, 0, sizeof(*f));
    atomic_init(&f->body.refs, 1);
    f->body.data = (const uint8_t *)"bytes";
    f->body.len = 5;
    f->body.release = foreign_release;
}

static void test_body_copy_has_its_own_bytes(void **state)
{
    char from[] = "some bytes";
    struct td_body *body = td_body_copy(from, sizeof(from));

    (void)state;
    assert_non_null(body);
    from[0] = 'S';
    assert_int_equal(body->len, sizeof(from));
    assert_string_equal((const char *)body->data, "some bytes");
    td_body_unref(body);
}

static void test_body_new_is_filled_by_its_maker(void **state)
{
    uint8_t *data;
    struct td_body *body = td_body_new(1 << 20, &data);

    (void)state;
    assert_non_null(body);
    assert_ptr_equal(body->data, data);
    memset(data, 7, 1 << 20);
    assert_int_equal(body->data[(1 << 20) - 1], 7);
    td_body_unref(body);
}

/* A slice keeps what it is of. */
static void test_body_slice_is_a_part_of_another(void **state)
{
    struct foreign f;
    struct td_body *slice;
    struct td_body *of_slice;

    (void)state;
    foreign_init(&f);
    slice = td_body_slice(&f.body, 1, 3);
    assert_non_null(slice);
    assert_int_equal(slice->len, 3);
    assert_memory_equal(slice->data, "yte", 3);
    of_slice = td_body_slice(slice, 2, 1);
    td_body_unref(&f.body);
    td_body_unref(slice);
    assert_int_equal(atomic_load(&f.released), 0);
    assert_memory_equal(of_slice->data, "e", 1);
    td_body_unref(of_slice);
    assert_int_equal(atomic_load(&f.released), 1);
}

static void test_body_may_be_empty(void **state)
{
    struct td_body *body = td_body_copy(NULL, 0);

    (void)state;
    assert_non_null(body);
    assert_int_equal(body->len, 0);
    assert_non_null(body->data); /* so that sums with it are defined */
    td_body_unref(body);
}

static void test_body_unref_of_null_does_nothing(void **state)
{
    (void)state;
    td_body_unref(NULL);
}

static void test_body_is_released_by_the_last_unref(void **state)
{
    struct foreign f;

    (void)state;
    foreign_init(&f);
    assert_ptr_equal(td_body_ref(&f.body), &f.body);
    td_body_unref(&f.body);
    assert_int_equal(f.released, 0);
    td_body_unref(&f.body);
    assert_int_equal(f.released, 1);
}

static void *ref_and_unref(void *arg)
{
    struct td_body *body = arg;

    for (int i = 0; i < TURNS; i++)
        td_body_unref(td_body_ref(body));
    td_body_unref(body); /* the reference this thread was given */
    return NULL;
}

static void test_body_counts_across_threads(void **state)
{
    pthread_t threads[THREADS];
    struct foreign f;

    (void)state;
    foreign_init(&f);
    for (int i = 0; i < THREADS; i++) {
        td_body_ref(&f.body);
        assert_int_equal(
            pthread_create(&threads[i], NULL, ref_and_unref, &f.body), 0);
    }
    td_body_unref(&f.body);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(f.released, 1);
}

/* FAULTS W26: no small block for a length that wraps. */
static void test_body_refuses_lengths_that_overflow(void **state)
{
    static const size_t lens[] = {SIZE_MAX, SIZE_MAX - 1,
                                  SIZE_MAX - sizeof(struct td_body) + 1};
    uint8_t *data;

    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(lens); i++)
        assert_row_at("length", i, td_body_new(lens[i], &data) == NULL);
}

static tidings_err copy(void *arg)
{
    struct td_body *body = td_body_copy("bytes", 5);

    (void)arg;
    if (!body)
        return TIDINGS_ENOMEM;
    td_body_unref(body);
    return TIDINGS_OK;
}

static void test_body_is_null_without_memory(void **state)
{
    (void)state;
    assert_int_equal(td_alloc_each(copy, NULL), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_body_copy_has_its_own_bytes),
        cmocka_unit_test(test_body_new_is_filled_by_its_maker),
        cmocka_unit_test(test_body_slice_is_a_part_of_another),
        cmocka_unit_test(test_body_may_be_empty),
        cmocka_unit_test(test_body_unref_of_null_does_nothing),
        cmocka_unit_test(test_body_is_released_by_the_last_unref),
        cmocka_unit_test(test_body_counts_across_threads),
        cmocka_unit_test(test_body_refuses_lengths_that_overflow),
        cmocka_unit_test(test_body_is_null_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
