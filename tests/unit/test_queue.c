/* Items and queues: what waits for a subscription. */
#include "tests/support/td_test.h"

#include <stdlib.h>

#include "broker/engine/queue.h"
#include "proto/limits.h"
#include "tests/support/alloc.h"

#define EVENT_BYTES 10u /* bin, array, dt, bin, four bytes of data */

static const uint8_t producer[TD_PRODUCER_BYTES] = "0123456789abcde";

struct fixture {
    struct td_queue queue;
    size_t held;
    struct td_run runs[4]; /* of slices */
};

static int setup(void **state)
{
    *state = calloc(1, sizeof(struct fixture));
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    td_queue_fini(&f->queue);
    assert_int_equal(f->held, 0); /* whatever the test did */
    free(f);
    return 0;
}

/* A body whose event n holds first + n. */
static struct td_body *body_of(uint32_t first, uint32_t events)
{
    const struct td_str none = {NULL, 0};
    uint8_t *data;
    struct td_body *body = td_body_new(events * EVENT_BYTES, &data);

    for (uint32_t n = first; body && n < first + events; n++)
        data = td_event_put(data, 0, &n, sizeof(n), none);
    return body;
}

/* An item of runs with these counts; sequences begin at first. */
static struct td_item *item_of(size_t *held, uint32_t first,
                               const uint32_t *counts, uint32_t runs_len)
{
    struct td_run runs[4] = {0};
    struct td_batch batch = {
        .producer = {(const char *)producer, sizeof(producer)},
        .source = {"/s", 2},
        .runs = runs,
        .runs_len = runs_len,
        .wire = {"table", 5},
    };
    struct td_body *body;
    struct td_item *item;

    for (uint32_t i = 0; i < runs_len; i++) {
        runs[i].type.data = i % 2 ? "b" : "a";
        runs[i].type.len = 1;
        runs[i].first = first + batch.events;
        runs[i].count = counts[i];
        runs[i].bytes = counts[i] * EVENT_BYTES;
        batch.events += counts[i];
        batch.bytes += runs[i].bytes;
    }
    body = body_of(first, batch.events);
    item = body ? td_item_new(&batch, body, 0, held) : NULL;
    td_body_unref(body);
    return item;
}

static void push(struct fixture *f, uint32_t first, const uint32_t *counts,
                 uint32_t runs_len)
{
    struct td_item *item = item_of(&f->held, first, counts, runs_len);

    assert_non_null(item);
    assert_ok(td_queue_push(&f->queue, item));
    td_item_unref(item);
}

static void push_one_run(struct fixture *f, uint32_t first, uint32_t count)
{
    push(f, first, &count, 1);
}

/* The slice holds the events from first on, bytes and table alike. */
static void check_slice(const struct td_slice *slice, uint32_t first)
{
    const uint8_t *p = slice->data;
    uint32_t events = 0;
    uint32_t bytes = 0;

    for (uint32_t i = 0; i < slice->runs_len; i++) {
        assert_int_equal(slice->runs[i].first, first + events);
        assert_true(slice->runs[i].count > 0);
        events += slice->runs[i].count;
        bytes += slice->runs[i].bytes;
    }
    assert_int_equal(events, slice->events);
    assert_int_equal(bytes, slice->bytes);
    for (uint32_t n = first; n < first + events; n++) {
        struct td_event event;

        assert_true(td_event_open(&event, &p, slice->data + bytes));
        assert_memory_equal(event.data.data, &n, sizeof(n));
    }
}

static bool slice(struct fixture *f, struct td_slice *out, uint32_t runs,
                  uint64_t events, uint64_t bytes)
{
    return td_queue_slice(&f->queue, out, f->runs, runs, events, bytes);
}

static void test_item_counts_what_it_keeps_until_it_is_gone(void **state)
{
    const uint32_t counts[] = {2, 3};
    size_t held = 7;
    struct td_item *item = item_of(&held, 1, counts, 2);

    (void)state;
    assert_non_null(item);
    assert_int_equal(held, 7 + item->cost);
    assert_true(item->cost >= 5 * EVENT_BYTES + sizeof(struct td_item));
    item->refs++;
    td_item_unref(item);
    assert_int_equal(held, 7 + item->cost);
    td_item_unref(item);
    assert_int_equal(held, 7);
}

static void test_queue_counts_what_waits(void **state)
{
    struct fixture *f = *state;

    for (uint32_t i = 0; i < 100; i++) /* past several sizes of the ring */
        push_one_run(f, 1 + i * 10, 10);
    assert_int_equal(f->queue.len, 100);
    assert_int_equal(f->queue.events, 1000);
    assert_int_equal(f->queue.bytes, f->held);
}

static void test_queue_gives_a_whole_item(void **state)
{
    struct fixture *f = *state;
    const uint32_t counts[] = {1, 2, 3};
    struct td_slice s;

    push(f, 1, counts, 3);
    assert_true(slice(f, &s, 4, UINT64_MAX, UINT64_MAX));
    assert_true(s.whole);
    assert_int_equal(s.runs_len, 3);
    check_slice(&s, 1);
    td_queue_advance(&f->queue, &s);
    assert_int_equal(f->queue.len, 0);
    assert_int_equal(f->queue.events, 0);
    assert_int_equal(f->queue.bytes, 0);
}

/* However the bounds fall, all events come once and in order. */
static void test_queue_cuts_anywhere(void **state)
{
    struct fixture *f = *state;
    const uint32_t counts[] = {1, 4, 1, 6};
    const struct {
        uint32_t runs;
        uint64_t events;
        uint64_t bytes;
    } rows[] = {
        {4, 1, UINT64_MAX},           {4, 3, UINT64_MAX},
        {1, UINT64_MAX, UINT64_MAX},  {2, 5, UINT64_MAX},
        {4, UINT64_MAX, EVENT_BYTES}, {4, UINT64_MAX, 4 * EVENT_BYTES - 1},
        {3, 7, 5 * EVENT_BYTES},
    };

    for (size_t row = 0; row < TD_ARRAY_LEN(rows); row++) {
        uint32_t next = 1;

        push(f, 1, counts, 4);
        push(f, 13, counts, 4);
        while (f->queue.len > 0) {
            struct td_slice s;

            assert_true(slice(f, &s, rows[row].runs, rows[row].events,
                              rows[row].bytes));
            assert_true(s.events <= rows[row].events);
            assert_true(s.bytes <= rows[row].bytes);
            assert_true(s.runs_len <= rows[row].runs);
            assert_false(s.whole);
            check_slice(&s, next);
            next += s.events;
            td_queue_advance(&f->queue, &s);
            assert_int_equal(f->queue.events, 25 - next);
        }
        assert_int_equal(next, 25);
    }
}

static void test_queue_gives_nothing_where_no_event_fits(void **state)
{
    struct fixture *f = *state;
    struct td_slice s;

    push_one_run(f, 1, 2);
    assert_false(slice(f, &s, 4, 0, UINT64_MAX));
    assert_false(slice(f, &s, 4, 1, EVENT_BYTES - 1));
    assert_false(slice(f, &s, 0, 1, UINT64_MAX));
    assert_true(slice(f, &s, 4, 1, EVENT_BYTES));
}

static void test_queue_drops_the_oldest(void **state)
{
    struct fixture *f = *state;
    struct td_slice s;

    push_one_run(f, 1, 10);
    push_one_run(f, 11, 10);
    assert_int_equal(td_queue_drop(&f->queue, 20, SIZE_MAX), 0);
    assert_int_equal(td_queue_drop(&f->queue, 10, SIZE_MAX), 10);
    assert_int_equal(f->queue.len, 1);
    assert_true(slice(f, &s, 4, UINT64_MAX, UINT64_MAX));
    check_slice(&s, 11);
}

static void test_queue_drops_part_of_an_item(void **state)
{
    struct fixture *f = *state;
    const uint32_t counts[] = {2, 5, 1};
    struct td_slice s;

    push(f, 1, counts, 3);
    push(f, 9, counts, 3);
    assert_int_equal(td_queue_drop(&f->queue, 5, SIZE_MAX), 11);
    assert_int_equal(f->queue.events, 5);
    assert_true(slice(f, &s, 4, UINT64_MAX, UINT64_MAX));
    assert_false(s.whole);
    check_slice(&s, 12);
    assert_int_equal(s.events, 5);
    assert_int_equal(td_queue_drop(&f->queue, 0, SIZE_MAX), 5);
    assert_int_equal(f->queue.len, 0);
}

static void test_queue_drops_after_a_part_was_taken(void **state)
{
    struct fixture *f = *state;
    const uint32_t counts[] = {4, 4};
    struct td_slice s;

    push(f, 1, counts, 2);
    assert_true(slice(f, &s, 4, 5, UINT64_MAX));
    td_queue_advance(&f->queue, &s);
    assert_int_equal(td_queue_drop(&f->queue, 1, SIZE_MAX), 2);
    assert_true(slice(f, &s, 4, UINT64_MAX, UINT64_MAX));
    check_slice(&s, 8);
}

/* Bytes are what items keep, so part of one is not less. */
static void test_queue_drops_whole_items_for_bytes(void **state)
{
    struct fixture *f = *state;
    uint64_t one;

    push_one_run(f, 1, 10);
    one = f->queue.bytes;
    push_one_run(f, 11, 10);
    assert_int_equal(td_queue_drop(&f->queue, 20, 2 * one - 1), 10);
    assert_int_equal(f->queue.bytes, one);
    assert_int_equal(td_queue_drop(&f->queue, 10, one - 1), 10);
    assert_int_equal(f->queue.bytes, 0);
}

static void test_queue_shares_items(void **state)
{
    struct fixture *f = *state;
    struct td_queue other = {0};
    uint32_t count = 3;
    struct td_item *item = item_of(&f->held, 1, &count, 1);
    size_t cost;

    assert_non_null(item);
    cost = item->cost;
    assert_ok(td_queue_push(&f->queue, item));
    assert_ok(td_queue_push(&other, item));
    td_item_unref(item);
    assert_int_equal(f->held, cost); /* once, and in each queue's bytes */
    assert_int_equal(f->queue.bytes, cost);
    assert_int_equal(other.bytes, cost);
    td_queue_fini(&f->queue);
    assert_int_equal(f->held, cost);
    td_queue_fini(&other);
    assert_int_equal(f->held, 0);
}

static tidings_err push_many(void *arg)
{
    struct fixture *f = arg;
    tidings_err err = TIDINGS_OK;

    for (uint32_t i = 0; i < 20 && !err; i++) {
        uint32_t count = 1;
        struct td_item *item = item_of(&f->held, i + 1, &count, 1);
        uint64_t before = f->queue.events;

        err = item ? td_queue_push(&f->queue, item) : TIDINGS_ENOMEM;
        if (err)
            assert_int_equal(f->queue.events, before);
        td_item_unref(item);
    }
    td_queue_fini(&f->queue);
    assert_int_equal(f->held, 0);
    return err;
}

static void test_queue_without_memory_changes_nothing(void **state)
{
    assert_true(td_alloc_each(push_many, *state) > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_item_counts_what_it_keeps_until_it_is_gone),
        cmocka_unit_test_setup_teardown(test_queue_counts_what_waits, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_queue_gives_a_whole_item, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_queue_cuts_anywhere, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            test_queue_gives_nothing_where_no_event_fits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_queue_drops_the_oldest, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_queue_drops_part_of_an_item, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_queue_drops_after_a_part_was_taken,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_queue_drops_whole_items_for_bytes,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_queue_shares_items, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            test_queue_without_memory_changes_nothing, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
