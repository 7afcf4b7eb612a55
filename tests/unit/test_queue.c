/* Queues of pieces: what waits for a subscription or a group. */
#include "tests/unit/queue_items.h"

#include <stdlib.h>

#include "tests/support/alloc.h"

struct fixture {
    struct td_queue queue;
    struct td_queue other;
    size_t held;
    uint32_t gone;        /* events shown as dropped … */
    uint32_t gone_pieces; /* … in so many pieces */
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
    td_queue_fini(&f->other);
    assert_int_equal(f->held, 0); /* whatever the test did */
    free(f);
    return 0;
}

static void push_to(struct fixture *f, struct td_queue *q, uint32_t first,
                    const uint32_t *counts, uint32_t runs_len)
{
    struct td_item *item = item_of(&f->held, first, counts, runs_len);
    struct td_piece piece;

    assert_non_null(item);
    piece = td_piece_of(item);
    assert_ok(td_queue_push(q, &piece));
    td_item_unref(item);
}

static void push(struct fixture *f, uint32_t first, uint32_t count)
{
    push_to(f, &f->queue, first, &count, 1);
}

static void count_gone(void *ctx, const struct td_piece *piece)
{
    struct fixture *f = ctx;

    f->gone += piece->events;
    f->gone_pieces++;
}

static uint64_t drop(struct fixture *f, uint64_t events, uint64_t bytes)
{
    return td_queue_drop(&f->queue, events, bytes, count_gone, f);
}

/* ---- the ring ---- */

static void test_queue_counts_what_waits(void **state)
{
    struct fixture *f = *state;

    for (uint32_t i = 0; i < 100; i++) /* past several sizes of the ring */
        push(f, 1 + i * 10, 10);
    assert_int_equal(f->queue.len, 100);
    assert_true(f->queue.bytes >= f->held); /* shares are rounded up */
    assert_true(f->queue.bytes < f->held + 1000);
    check_queue(&f->queue, 1, 1000);
}

static void test_queue_is_pushed_and_popped_at_both_ends(void **state)
{
    struct fixture *f = *state;
    uint32_t count = 3;

    for (uint32_t i = 0; i < 20; i++) {
        struct td_item *front = item_of(&f->held, 1000 - 3 * i, &count, 1);
        struct td_piece piece;

        assert_non_null(front);
        piece = td_piece_of(front);
        push(f, 1003 + 3 * i, 3);
        assert_ok(td_queue_push_front(&f->queue, &piece));
        td_item_unref(front);
    }
    check_queue(&f->queue, 1000 - 57, 120);
    for (uint32_t i = 0; i < 19; i++) {
        td_queue_pop(&f->queue);
        td_queue_pop_back(&f->queue);
        check_queue(&f->queue, 1000 - 57 + 3 * (i + 1), 120 - 6 * (i + 1));
    }
    check_piece(td_queue_front(&f->queue), 1000);
    check_piece(td_queue_back(&f->queue), 1003);
}

static void test_queue_replaces_its_ends_by_parts(void **state)
{
    struct fixture *f = *state;
    struct td_piece front;
    struct td_piece rest;

    push(f, 1, 10);
    push(f, 11, 10);
    assert_true(td_piece_cut(td_queue_front(&f->queue), 4, ANY, RUNS_ANY,
                             &front, &rest));
    td_queue_set_front(&f->queue, &rest);
    assert_true(td_piece_cut(td_queue_back(&f->queue), 7, ANY, RUNS_ANY, &front,
                             &rest));
    td_queue_set_back(&f->queue, &front);
    check_queue(&f->queue, 5, 13);
}

/* What was cut and comes next is one piece again, at either end. */
static void test_queue_joins_what_goes_on(void **state)
{
    const uint32_t counts[] = {3, 4};
    struct fixture *f = *state;
    struct td_piece front;
    struct td_piece rest;
    struct td_piece middle;
    struct td_piece last;

    push_to(f, &f->other, 1, counts, 2);
    push_to(f, &f->other, 8, counts, 2);
    assert_true(td_piece_cut(td_queue_front(&f->other), 2, ANY, RUNS_ANY,
                             &front, &rest));
    assert_true(td_piece_cut(&rest, 2, ANY, RUNS_ANY, &middle, &last));
    assert_ok(td_queue_push(&f->queue, &middle));
    assert_ok(td_queue_push(&f->queue, &last));
    assert_int_equal(f->queue.len, 1);
    check_queue(&f->queue, 3, 5);
    assert_ok(td_queue_push_front(&f->queue, &front));
    assert_int_equal(f->queue.len, 1);
    assert_true(td_piece_is_whole(td_queue_front(&f->queue)));
    check_queue(&f->queue, 1, 7);
    assert_ok(td_queue_push(&f->queue, td_queue_back(&f->other)));
    assert_int_equal(f->queue.len, 2); /* another item's */
    assert_ok(td_queue_push(&f->queue, &front));
    assert_int_equal(f->queue.len, 3); /* the same item's, but not the next */
}

static void test_queue_shares_items(void **state)
{
    struct fixture *f = *state;
    uint32_t count = 3;
    struct td_item *item = item_of(&f->held, 1, &count, 1);
    struct td_piece piece;
    size_t cost;

    assert_non_null(item);
    cost = item->cost;
    piece = td_piece_of(item);
    assert_ok(td_queue_push(&f->queue, &piece));
    assert_ok(td_queue_push(&f->other, &piece));
    td_item_unref(item);
    assert_int_equal(f->held, cost); /* once, and in each queue's bytes */
    assert_int_equal(f->queue.bytes, td_piece_cost(&piece));
    assert_int_equal(f->other.bytes, td_piece_cost(&piece));
    td_queue_fini(&f->queue);
    assert_int_equal(f->held, cost);
    td_queue_fini(&f->other);
    assert_int_equal(f->held, 0);
}

/* ---- from queue to queue ---- */

static void test_queue_moves_as_much_as_fits(void **state)
{
    static const struct {
        const char *row;
        uint64_t events;
        uint64_t bytes;
        uint64_t moved;
    } rows[] = {
        {"all", ANY, ANY, 21},
        {"nothing", 0, ANY, 0},
        {"no bytes", ANY, 0, 0},
        {"one", 1, ANY, 1},
        {"within the second", 9, ANY, 9},
        {"at the end of the first", 7, ANY, 7},
        {"bytes", ANY, 8 * EVENT_BYTES + 9, 8},
        {"bytes over all pieces together", 20, 15 * EVENT_BYTES, 15},
    };
    const uint32_t counts[] = {3, 4};

    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct fixture *f;

        assert_int_equal(setup((void **)&f), 0);
        for (uint32_t k = 0; k < 3; k++)
            push_to(f, &f->queue, 1 + 7 * k, counts, 2);
        assert_row(rows[i].row,
                   td_queue_move(&f->other, &f->queue, rows[i].events,
                                 rows[i].bytes) == rows[i].moved);
        check_queue(&f->other, 1, (uint32_t)rows[i].moved);
        check_queue(&f->queue, 1 + (uint32_t)rows[i].moved,
                    21 - (uint32_t)rows[i].moved);
        teardown((void **)&f);
    }
}

/* What was moved and goes back lies where it was, and in the pieces it was. */
static void test_queue_takes_back_to_its_front(void **state)
{
    const uint32_t counts[] = {3, 4};

    (void)state;
    for (uint32_t moved = 0; moved <= 21; moved++) {
        for (uint32_t back = 0; back <= moved; back++) {
            struct fixture *f;

            assert_int_equal(setup((void **)&f), 0);
            for (uint32_t k = 0; k < 3; k++)
                push_to(f, &f->queue, 1 + 7 * k, counts, 2);
            td_queue_move(&f->other, &f->queue, moved, ANY);
            assert_ok(td_queue_reserve(&f->queue, f->other.len + 1));
            assert_int_equal(td_queue_return(&f->queue, &f->other, back),
                             back * EVENT_BYTES);
            check_queue(&f->other, 1, moved - back);
            check_queue(&f->queue, 1 + moved - back, 21 - moved + back);
            assert_true(f->queue.len <= 3);
            teardown((void **)&f);
        }
    }
}

/* ---- dropping ---- */

static void test_queue_drops_the_oldest_and_shows_them(void **state)
{
    struct fixture *f = *state;

    push(f, 1, 10);
    push(f, 11, 10);
    assert_int_equal(drop(f, 20, ANY), 0);
    assert_int_equal(f->gone_pieces, 0);
    assert_int_equal(drop(f, 10, ANY), 10);
    assert_int_equal(f->gone, 10);
    check_queue(&f->queue, 11, 10);
    assert_int_equal(td_queue_drop(&f->queue, 3, ANY, NULL, NULL), 7);
    check_queue(&f->queue, 18, 3);
}

static void test_queue_drops_part_of_an_item(void **state)
{
    struct fixture *f = *state;
    const uint32_t counts[] = {2, 5, 1};

    push_to(f, &f->queue, 1, counts, 3);
    push_to(f, &f->queue, 9, counts, 3);
    assert_int_equal(drop(f, 5, ANY), 11);
    assert_int_equal(f->gone, 11);
    assert_int_equal(f->gone_pieces, 2);
    check_queue(&f->queue, 12, 5);
    assert_int_equal(drop(f, 0, ANY), 5);
    assert_int_equal(f->gone, 16);
    assert_int_equal(f->queue.len, 0);
}

/* Bytes are what items keep: their pieces go whole. */
static void test_queue_drops_whole_pieces_for_bytes(void **state)
{
    struct fixture *f = *state;
    uint64_t one;

    push(f, 1, 10);
    one = f->queue.bytes;
    push(f, 11, 10);
    assert_int_equal(drop(f, 20, 2 * one - 1), 10);
    assert_int_equal(f->queue.bytes, one);
    assert_int_equal(drop(f, 10, one - 1), 10);
    assert_int_equal(f->queue.bytes, 0);
}

/* Moved, returned and dropped: what lies about its lengths is not counted
 * twice, and no event of it gets lost. */
static void test_queue_survives_lengths_that_lie(void **state)
{
    static const uint8_t bytes[30] = {0xc4, 8, [10] = 0xff};
    struct fixture *f = *state;
    struct td_item *item = item_that_lies(&f->held, bytes);
    struct td_piece piece;

    assert_non_null(item);
    piece = td_piece_of(item);
    assert_ok(td_queue_push(&f->queue, &piece));
    assert_int_equal(td_queue_move(&f->other, &f->queue, 2, ANY), 1);
    assert_int_equal(td_queue_move(&f->other, &f->queue, 1, ANY), 0);
    assert_int_equal(td_queue_move(&f->other, &f->queue, ANY, ANY), 2);
    assert_int_equal(f->other.events, 3);
    assert_ok(td_queue_reserve(&f->queue, f->other.len + 1));
    td_queue_return(&f->queue, &f->other, 3);
    assert_int_equal(f->queue.events + f->other.events, 3);
    td_queue_move(&f->queue, &f->other, ANY, ANY);
    assert_int_equal(drop(f, 2, ANY), 1);
    assert_int_equal(drop(f, 1, ANY), 2); /* cannot be cut: all of it */
    assert_int_equal(f->queue.len, 0);
    td_item_unref(item);
}

/* ---- without memory ---- */

static tidings_err push_many(void *arg)
{
    struct fixture *f = arg;
    tidings_err err = TIDINGS_OK;

    for (uint32_t i = 0; i < 20 && !err; i++) {
        uint32_t count = 1;
        struct td_item *item = item_of(&f->held, i + 1, &count, 1);
        struct td_piece piece = {.item = item};
        uint64_t before = f->queue.events;

        if (item)
            piece = td_piece_of(item);
        err = !item   ? TIDINGS_ENOMEM
              : i % 2 ? td_queue_push(&f->queue, &piece)
                      : td_queue_push_front(&f->queue, &piece);
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

static void test_queue_moves_less_without_memory(void **state)
{
    struct fixture *f = *state;

    for (uint32_t i = 0; i < 10; i++)
        push(f, 1 + i, 1);
    td_alloc_fail(3); /* the third size of the ring: 1, 4, 8 */
    assert_int_equal(td_queue_move(&f->other, &f->queue, ANY, ANY), 4);
    assert_true(td_alloc_failed());
    check_queue(&f->other, 1, 4);
    check_queue(&f->queue, 5, 6);
    assert_int_equal(td_queue_move(&f->other, &f->queue, ANY, ANY), 6);
    check_queue(&f->other, 1, 10);
}

/* What has room reserved needs no memory. */
static void test_queue_reserves_room(void **state)
{
    struct fixture *f = *state;
    struct td_piece piece;

    push(f, 1, 1);
    push(f, 2, 1);
    assert_ok(td_queue_reserve(&f->other, 100));
    td_alloc_fail(1);
    for (uint32_t i = 0; i < 100; i++) {
        piece = *td_queue_nth(&f->queue, i % 2);
        assert_ok(td_queue_push(&f->other, &piece));
    }
    assert_false(td_alloc_failed());
    assert_err(td_queue_reserve(&f->other, 100), TIDINGS_ENOMEM);
    assert_int_equal(f->other.len, 100);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_queue_counts_what_waits),
        TEST(test_queue_is_pushed_and_popped_at_both_ends),
        TEST(test_queue_replaces_its_ends_by_parts),
        TEST(test_queue_joins_what_goes_on),
        TEST(test_queue_shares_items),
        cmocka_unit_test(test_queue_moves_as_much_as_fits),
        cmocka_unit_test(test_queue_takes_back_to_its_front),
        TEST(test_queue_drops_the_oldest_and_shows_them),
        TEST(test_queue_drops_part_of_an_item),
        TEST(test_queue_drops_whole_pieces_for_bytes),
        TEST(test_queue_survives_lengths_that_lie),
        TEST(test_queue_without_memory_changes_nothing),
        TEST(test_queue_moves_less_without_memory),
        TEST(test_queue_reserves_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
