/* Which sequences a durable group is done with, where memory is short. */
#include "tests/support/td_test.h"

#include "broker/engine/settled.h"
#include "tests/support/alloc.h"

static void count_shown(void *ctx, uint64_t number, const uint8_t *bits)
{
    (void)number;
    (void)bits;
    ++*(int *)ctx;
}

static tidings_err fill(struct td_settled_set *s)
{
    uint64_t newly = 77;

    for (uint64_t first = 5; first < 20 * 4096; first += 7000) {
        uint64_t above = s->above;
        uint32_t chunks = HASH_COUNT(s->chunks);

        if (td_settled_mark(s, first, 6000, &newly)) {
            assert_int_equal(newly, 6000);
            continue;
        }
        assert_int_equal(s->above, above);
        assert_int_equal(HASH_COUNT(s->chunks), chunks);
        assert_false(td_settled_has(s, first));
        assert_int_equal(s->floor, 1);
        return TIDINGS_ENOMEM;
    }
    return TIDINGS_OK;
}

static tidings_err mark_much(void *arg)
{
    struct td_settled_set s;
    tidings_err err;

    (void)arg;
    td_settled_init(&s, 1);
    err = fill(&s);
    td_settled_fini(&s);
    return err;
}

static tidings_err load_much(void *arg)
{
    uint8_t bits[TD_CHUNK_BYTES] = {3};
    struct td_settled_set s;
    tidings_err err = TIDINGS_OK;

    (void)arg;
    td_settled_init(&s, 1);
    for (uint64_t number = 40; err == TIDINGS_OK && number > 0; number--) {
        uint64_t above = s.above;

        if (td_settled_load(&s, number, bits))
            continue;
        assert_int_equal(s.above, above);
        err = TIDINGS_ENOMEM;
    }
    td_settled_fini(&s);
    return err;
}

/* What cannot be remembered is not shown; and raising never fails. */
static tidings_err forget(void *arg)
{
    struct td_settled_set s;
    int shown = 0;
    int deleted = 0;

    (void)arg;
    td_alloc_hold(true);
    td_settled_init(&s, 1);
    for (uint64_t n = 1; n <= 20; n++)
        assert_true(td_settled_mark(&s, n * 4096, 2, NULL));
    td_settled_write(&s, count_shown, &shown);
    assert_int_equal(shown, 20);
    td_alloc_hold(false);
    assert_int_equal(td_settled_raise(&s, 30 * 4096), 30 * 4096 - 41);
    td_settled_write(&s, count_shown, &deleted);
    assert_null(s.chunks);
    assert_int_equal(s.above, 0);
    td_settled_fini(&s);
    assert_true((deleted == 20) != td_alloc_failed());
    return deleted == 20 ? TIDINGS_OK : TIDINGS_ENOMEM;
}

static void test_settled_without_memory_changes_nothing(void **state)
{
    (void)state;
    assert_true(td_alloc_each(mark_much, NULL) >= 20);
    assert_true(td_alloc_each(load_much, NULL) >= 40);
    assert_true(td_alloc_each(forget, NULL) >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_settled_without_memory_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
