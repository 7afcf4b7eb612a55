/* The batch that is being packed. */
#include "tests/unit/packer_fixture.h"

#include "tests/support/alloc.h"

static void test_packer_makes_a_run_of_like_events(void **state)
{
    struct fixture *f = *state;
    struct td_outgoing *out;
    const struct td_batch *b;

    assert_ok(pack(f, "a", 0, 1000, 3));
    assert_ok(pack(f, "a", 0, 1001, 0));
    assert_ok(pack(f, "a", TD_RUN_KEY, 1002, 3)); /* another flag */
    assert_ok(pack(f, "b", TD_RUN_KEY, 900, 3));  /* another type */
    assert_ok(pack(f, "a", 0, 1003, 3));          /* as before, not next */
    td_packer_close(&f->packer);
    out = td_packer_take(&f->packer);
    b = decode(f, out);
    assert_int_equal(b->runs_len, 4);
    assert_int_equal(b->runs[0].count, 2);
    assert_int_equal(b->runs[0].first, 1);
    assert_int_equal(b->runs[1].flags, TD_RUN_KEY);
    assert_int_equal(b->runs[2].first, 4);
    assert_int_equal(b->runs[3].first, 5);
    assert_int_equal(b->base_us, 1000);
    assert_int_equal(out->base_us, 1000);
    assert_int_equal(out->last, 5);
    assert_memory_equal(b->producer.data, producer, sizeof(producer));
    assert_memory_equal(b->source.data, "/test", 5);
    td_outgoing_free(out);
}

static void test_packer_keeps_times_that_fall(void **state)
{
    struct fixture *f = *state;
    struct td_outgoing *out;
    struct td_event event;
    const uint8_t *p;

    assert_ok(pack(f, "a", 0, 5000000, 1));
    assert_ok(pack(f, "a", 0, 1000000, 1));
    td_packer_close(&f->packer);
    out = td_packer_take(&f->packer);
    decode(f, out);
    p = out->body->data;
    assert_true(td_event_open(&event, &p, p + out->bytes));
    assert_int_equal(event.dt_us, 0);
    assert_true(td_event_open(&event, &p, out->body->data + out->bytes));
    assert_true(event.dt_us == -4000000);
    td_outgoing_free(out);
}

static void test_packer_refuses_what_is_no_type_to_publish(void **state)
{
    static const char *const rows[] = {"", "a..b", "a.*", ">", "$sys", "a b"};
    struct fixture *f = *state;

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        assert_row(rows[i], pack(f, rows[i], 0, 0, 1) == TIDINGS_EINVAL);
        assert_row(rows[i], f->packer.events == 0 && f->packer.sequence == 0);
    }
    assert_ok(pack(f, "a", 0, 0, 1));
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++)
        assert_row(rows[i], pack(f, rows[i], 0, 0, 1) == TIDINGS_EINVAL);
    assert_int_equal(f->packer.events, 1);
}

static void test_packer_numbers_on_from_batch_to_batch(void **state)
{
    struct fixture *f = *state;
    struct td_outgoing *list;

    td_packer_close(&f->packer); /* nothing to close */
    assert_null(td_packer_take(&f->packer));
    for (int i = 0; i < 3; i++) {
        assert_ok(pack(f, "a", 0, i, 10));
        assert_ok(pack(f, "a", 0, i, 10));
        td_packer_close(&f->packer);
    }
    assert_int_equal(f->packer.closed_bytes, 6 * td_event_size(0, 10, 0));
    list = td_packer_take(&f->packer);
    assert_int_equal(f->packer.closed_bytes, 0);
    assert_null(td_packer_take(&f->packer));
    for (uint64_t i = 0; i < 3; i++) {
        struct td_outgoing *next = list->next;

        assert_int_equal(decode(f, list)->runs[0].first, 1 + 2 * i);
        assert_int_equal(list->last, 2 + 2 * i);
        td_outgoing_free(list);
        list = next;
    }
    assert_null(list);
}

static void test_packer_counts_what_it_ever_packed(void **state)
{
    struct fixture *f = *state;
    size_t one = td_event_size(0, 100, 0);

    assert_ok(pack(f, "a", 0, 0, 100));
    assert_ok(pack(f, "a", 0, 0, 100));
    td_packer_close(&f->packer);
    assert_ok(pack(f, "a", 0, 0, 100));
    assert_int_equal(f->packer.packed_events, 3);
    assert_int_equal(f->packer.packed_bytes, 3 * one + 2 * TD_OUTGOING_BYTES);
}

static void test_packer_is_full_in_good_time(void **state)
{
    struct fixture *f = *state;
    char type[16];

    while (!td_packer_is_full(&f->packer))
        assert_ok(pack(f, "a", 0, 0, 1000));
    assert_true(f->packer.len >= TD_BATCH_BYTES);
    assert_true(f->packer.len < TD_BATCH_BYTES + 1100);
    td_packer_close(&f->packer);
    assert_false(td_packer_is_full(&f->packer));

    while (!td_packer_is_full(&f->packer))
        assert_ok(pack(f, "a", 0, 0, 0));
    assert_true(f->packer.events <= TD_EVENTS_MAX);
    td_packer_close(&f->packer);

    for (unsigned i = 0; !td_packer_is_full(&f->packer); i++) {
        snprintf(type, sizeof(type), "t.%u", i);
        assert_ok(pack(f, type, 0, 0, 0));
    }
    assert_true(f->packer.runs_len < TD_RUNS_MAX);
}

/* Somebody who does not close in good time cannot make a bad message. */
static void test_packer_refuses_what_no_message_could_hold(void **state)
{
    struct fixture *f = *state;
    struct td_outgoing *out;
    char type[16];

    assert_ok(pack(f, "a", 0, 0, TD_DATA_BYTES_MAX));
    assert_err(pack(f, "a", 0, 0, TD_DATA_BYTES_MAX), TIDINGS_EFULL);
    assert_ok(pack(f, "a", 0, 0, 1000));
    td_packer_close(&f->packer);
    for (unsigned i = 0; i < TD_RUNS_MAX; i++) {
        snprintf(type, sizeof(type), "t.%u", i);
        assert_ok(pack(f, type, 0, 0, 0));
    }
    assert_err(pack(f, "more", 0, 0, 0), TIDINGS_EFULL);
    td_packer_close(&f->packer);
    for (unsigned i = 0; i < TD_EVENTS_MAX; i++)
        assert_ok(pack(f, "a", 0, 0, 0));
    assert_err(pack(f, "a", 0, 0, 0), TIDINGS_EFULL);
    td_packer_close(&f->packer);
    out = td_packer_take(&f->packer);
    while (out) {
        struct td_outgoing *next = out->next;

        decode(f, out);
        td_outgoing_free(out);
        out = next;
    }
}

static void test_packer_does_not_keep_an_empty_half(void **state)
{
    struct fixture *f = *state;
    struct td_outgoing *out;

    assert_ok(pack(f, "a", 0, 0, 100000)); /* so that the next begins large */
    td_packer_close(&f->packer);
    assert_ok(pack(f, "a", 0, 0, 10));
    assert_true(f->packer.cap >= 100000);
    td_packer_close(&f->packer);
    out = td_packer_take(&f->packer);
    assert_true(out->next->body->data != NULL);
    assert_int_equal(out->next->body->len, td_event_size(0, 10, 0));
    td_outgoing_free(out->next);
    td_outgoing_free(out);
}

/* Sequences have 63 bits; the wire's last is one below the largest. */
static void test_packer_counts_on_past_every_width(void **state)
{
    static const uint64_t before[] = {
        0,          UINT16_MAX - 2,    INT32_MAX - 2, UINT32_MAX - 2,
        UINT32_MAX, (uint64_t)1 << 53, INT64_MAX - 6,
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < TD_ARRAY_LEN(before); i++) {
        struct td_outgoing *out;
        const struct td_batch *b;

        f->packer.sequence = before[i];
        for (int k = 0; k < 5; k++)
            assert_ok(pack(f, k < 3 ? "a" : "b", 0, 0, 1));
        td_packer_close(&f->packer);
        out = td_packer_take(&f->packer);
        b = decode(f, out);
        assert_row_at("first", i, b->runs[0].first == before[i] + 1);
        assert_row_at("next", i, b->runs[1].first == before[i] + 4);
        assert_row_at("last", i, out->last == before[i] + 5);
        td_outgoing_free(out);
    }
}

static tidings_err pack_and_close(void *arg)
{
    struct fixture *f = arg;
    struct td_outgoing *out;
    tidings_err err = TIDINGS_OK;
    uint64_t n = 0;

    td_packer_init(&f->packer, producer, td_str_of("/test"));
    for (int i = 0; i < 40 && !err; i++) {
        err = pack(f, i % 3 ? "a" : "bb", 0, i, 100);
        n += !err;
        assert_int_equal(f->packer.sequence, n);
    }
    if (!err)
        td_packer_close(&f->packer);
    out = td_packer_take(&f->packer);
    if (!err && !out) { /* it goes on, and can be closed later */
        err = TIDINGS_ENOMEM;
        td_alloc_stop();
        assert_int_equal(f->packer.events, 40);
        td_packer_close(&f->packer);
        out = td_packer_take(&f->packer);
        assert_non_null(out);
    }
    if (out)
        assert_int_equal(decode(f, out)->events, 40);
    td_outgoing_free(out);
    td_packer_fini(&f->packer);
    return err;
}

static void test_packer_without_memory_changes_nothing(void **state)
{
    assert_true(td_alloc_each(pack_and_close, *state) > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_packer_makes_a_run_of_like_events),
        TEST(test_packer_keeps_times_that_fall),
        TEST(test_packer_refuses_what_is_no_type_to_publish),
        TEST(test_packer_numbers_on_from_batch_to_batch),
        TEST(test_packer_counts_what_it_ever_packed),
        TEST(test_packer_is_full_in_good_time),
        TEST(test_packer_refuses_what_no_message_could_hold),
        TEST(test_packer_does_not_keep_an_empty_half),
        TEST(test_packer_counts_on_past_every_width),
        TEST(test_packer_without_memory_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
