/* The batch that is being packed: how safe its events are to be, and who waits
 * to hear of it. */
#include "tests/unit/packer_fixture.h"

#include "tests/support/alloc.h"

static void on_confirm(void *arg, const struct tidings_confirm *confirm)
{
    (void)arg;
    (void)confirm;
}

static tidings_err pack_at(struct fixture *f, enum tidings_level level,
                           void *waits)
{
    const struct td_packing event = {
        .type = td_str_of("a"),
        .data = zeros,
        .len = 10,
        .level = level,
        .on_confirm = waits ? on_confirm : NULL,
        .arg = waits,
    };

    return td_packer_pack(&f->packer, &event);
}

static void test_packer_closes_a_batch_when_the_level_changes(void **state)
{
    static const enum tidings_level levels[] = {
        TIDINGS_NO_CONFIRM, TIDINGS_DISK, TIDINGS_DISK, TIDINGS_MEMORY,
        TIDINGS_NO_CONFIRM};
    static const uint32_t events[] = {1, 2, 1, 1};
    struct fixture *f = *state;
    struct td_outgoing *list;
    uint64_t last = 0;

    for (size_t i = 0; i < TD_ARRAY_LEN(levels); i++)
        assert_ok(pack_at(f, levels[i], NULL));
    td_packer_close(&f->packer);
    list = td_packer_take(&f->packer);
    for (size_t i = 0; i < TD_ARRAY_LEN(events); i++) {
        struct td_outgoing *next = list->next;

        assert_row_at("events", i, decode(f, list)->events == events[i]);
        assert_row_at("level", i, list->level == levels[last]);
        assert_row_at("left", i, list->left == (list->level ? events[i] : 0));
        last += events[i];
        assert_row_at("last", i, list->last == last);
        td_outgoing_free(list);
        list = next;
    }
    assert_null(list);
}

static void test_packer_keeps_who_waits_with_the_batch(void **state)
{
    struct fixture *f = *state;
    size_t one = td_event_size(0, 10, 0);
    int who[20];
    struct td_outgoing *out;

    for (int round = 0; round < 2; round++) {
        uint64_t before = f->packer.sequence;

        for (unsigned i = 0; i < 40; i++)
            assert_ok(pack_at(f, TIDINGS_OS, i % 2 ? &who[i / 2] : NULL));
        td_packer_close(&f->packer);
        out = td_packer_take(&f->packer);
        assert_int_equal(out->waiters_len, 20);
        for (unsigned i = 0; i < 20; i++) {
            assert_int_equal(out->waiters[i].sequence, before + 2 * i + 2);
            assert_ptr_equal(out->waiters[i].arg, &who[i]);
            assert_true(out->waiters[i].call == on_confirm);
        }
        assert_int_equal(f->packer.waiters_len, 0);
        td_outgoing_free(out);
    }
    assert_int_equal(f->packer.packed_bytes,
                     2 * (40 * one + 20 * TD_WAITER_BYTES + TD_OUTGOING_BYTES));
}

/* With the types of rows in between. */
static void test_packer_leaves_types_to_be_found(void **state)
{
    static const char *const types[] = {"a", "a", "bb", "a", "ccc"};
    struct fixture *f = *state;
    struct td_outgoing *out;

    for (size_t i = 0; i < TD_ARRAY_LEN(types); i++)
        assert_ok(pack(f, types[i], 0, 0, 1));
    td_packer_close(&f->packer);
    out = td_packer_take(&f->packer);
    for (size_t i = 0; i < TD_ARRAY_LEN(types); i++) {
        struct td_str type = td_outgoing_type(out, i + 1);

        assert_row_at("length", i, type.len == strlen(types[i]));
        assert_row_at("type", i, memcmp(type.data, types[i], type.len) == 0);
    }
    assert_int_equal(td_outgoing_type(out, 6).len, 0);
    assert_int_equal(td_outgoing_type(out, 0).len, 0);
    td_outgoing_free(out);
}

static tidings_err pack_levels(void *arg)
{
    struct fixture *f = arg;
    tidings_err err = TIDINGS_OK;
    struct td_outgoing *out;
    uint64_t n = 0;

    td_packer_init(&f->packer, producer, td_str_of("/test"));
    for (unsigned i = 0; i < 60 && !err; i++) {
        err = pack_at(f, 1 + i / 20, i % 3 ? f : NULL);
        n += !err;
        assert_int_equal(f->packer.sequence, n);
        assert_int_equal(f->packer.packed_events, n);
    }
    out = td_packer_take(&f->packer);
    while (out) {
        struct td_outgoing *next = out->next;

        assert_int_equal(decode(f, out)->events, 20);
        td_outgoing_free(out);
        out = next;
    }
    td_packer_fini(&f->packer);
    return err;
}

static void test_packer_of_levels_without_memory_packs_nothing(void **state)
{
    assert_true(td_alloc_each(pack_levels, *state) > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_packer_closes_a_batch_when_the_level_changes),
        TEST(test_packer_keeps_who_waits_with_the_batch),
        TEST(test_packer_leaves_types_to_be_found),
        TEST(test_packer_of_levels_without_memory_packs_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
