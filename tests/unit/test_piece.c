/* Items and their pieces: part of a batch, cut where bounds fall. */
#include "tests/unit/queue_items.h"

/* ---- items ---- */

static void test_item_counts_what_it_keeps_until_it_is_gone(void **state)
{
    const uint32_t counts[] = {2, 3};
    size_t held = 7;
    struct td_item *item = item_of(&held, 1, counts, 2);
    struct td_piece all;

    (void)state;
    assert_non_null(item);
    assert_int_equal(held, 7 + item->cost);
    assert_true(item->cost >= 5 * EVENT_BYTES + sizeof(struct td_item));
    all = td_piece_of(item);
    assert_true(td_piece_cost(&all) >= item->cost);
    assert_true(td_piece_cost(&all) < item->cost + 5);
    item->refs++;
    td_item_unref(item);
    assert_int_equal(held, 7 + item->cost);
    td_item_unref(item);
    assert_int_equal(held, 7);
    td_item_unref(NULL);
}

/* ---- pieces ---- */

/* From {1, 4, 1, 6}, what each bound leaves of the front. */
static void test_piece_is_cut_by_events_bytes_and_runs(void **state)
{
    static const uint32_t counts[] = {1, 4, 1, 6};
    static const struct {
        const char *row;
        uint64_t events;
        uint64_t bytes;
        uint32_t runs;
        uint32_t front;
    } rows[] = {
        {"all", ANY, ANY, RUNS_ANY, 12},
        {"exactly all", 12, 12 * EVENT_BYTES, 4, 12},
        {"events within a run", 3, ANY, RUNS_ANY, 3},
        {"events at a run's end", 5, ANY, RUNS_ANY, 5},
        {"one event", 1, ANY, RUNS_ANY, 1},
        {"all but one", 11, ANY, RUNS_ANY, 11},
        {"bytes of one", ANY, EVENT_BYTES, RUNS_ANY, 1},
        {"bytes of one and most of a second", ANY, 2 * EVENT_BYTES - 1,
         RUNS_ANY, 1},
        {"bytes at a run's end", ANY, 6 * EVENT_BYTES, RUNS_ANY, 6},
        {"bytes, one too few for all", ANY, 12 * EVENT_BYTES - 1, RUNS_ANY, 11},
        {"one run", ANY, ANY, 1, 1},
        {"two runs", ANY, ANY, 2, 5},
        {"three runs", ANY, ANY, 3, 6},
        {"runs before events", 8, ANY, 2, 5},
        {"events before runs", 4, ANY, 2, 4},
        {"bytes before both", 4, 3 * EVENT_BYTES, 2, 3},
        {"no event", 0, ANY, RUNS_ANY, 0},
        {"no byte", ANY, 0, RUNS_ANY, 0},
        {"too few bytes", ANY, EVENT_BYTES - 1, RUNS_ANY, 0},
        {"no run", ANY, ANY, 0, 0},
    };
    size_t held = 0;
    struct td_item *item = item_of(&held, 1, counts, 4);

    (void)state;
    assert_non_null(item);
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct td_piece all = td_piece_of(item);
        struct td_piece front;
        struct td_piece rest;
        bool cut = td_piece_cut(&all, rows[i].events, rows[i].bytes,
                                rows[i].runs, &front, &rest);

        assert_row(rows[i].row, cut == (rows[i].front > 0));
        if (!cut)
            continue;
        assert_row(rows[i].row, front.events == rows[i].front);
        assert_row(rows[i].row, rest.events == 12 - rows[i].front);
        assert_row(rows[i].row, td_piece_is_whole(&front) == !rest.events);
        check_piece(&front, 1);
        if (rest.events > 0)
            check_piece(&rest, 1 + front.events);
    }
    td_item_unref(item);
}

/* However the bounds fall, all events come once and in order. */
static void test_piece_is_cut_anywhere_again_and_again(void **state)
{
    static const uint32_t counts[] = {1, 4, 1, 6};
    static const struct {
        uint32_t runs;
        uint64_t events;
        uint64_t bytes;
    } rows[] = {
        {4, 1, ANY},
        {4, 3, ANY},
        {1, ANY, ANY},
        {2, 5, ANY},
        {4, ANY, EVENT_BYTES},
        {4, ANY, 4 * EVENT_BYTES - 1},
        {3, 7, 5 * EVENT_BYTES},
    };
    size_t held = 0;
    struct td_item *item = item_of(&held, 1, counts, 4);

    (void)state;
    assert_non_null(item);
    for (size_t row = 0; row < TD_ARRAY_LEN(rows); row++) {
        struct td_piece rest = td_piece_of(item);
        uint64_t cost = td_piece_cost(&rest);
        uint32_t next = 1;

        while (rest.events > 0) {
            struct td_piece all = rest;
            struct td_piece front;
            struct td_run runs[4];

            assert_true(td_piece_cut(&all, rows[row].events, rows[row].bytes,
                                     rows[row].runs, &front, &rest));
            assert_true(front.events <= rows[row].events);
            assert_true(front.bytes <= rows[row].bytes);
            assert_true(td_piece_runs(&front, runs, 4) <= rows[row].runs);
            check_piece(&front, next);
            next += front.events;
            cost -= td_piece_cost(&front);
        }
        assert_int_equal(next, 13);
        assert_int_equal(cost, 0);
    }
    td_item_unref(item);
}

/* Bodies of this process's own packer are not walked when they come. What lies
 * about its lengths is never read past its end, and no byte or event gets lost
 * or is counted twice. */
static void test_piece_survives_lengths_that_lie(void **state)
{
    static const struct {
        const char *row;
        uint8_t bytes[30];
    } rows[] = {
        {"no event", {0xff, 0xff, 0xff}},
        {"longer than all", {0xc4, 0xff}},
        {"one byte too long", {0xc4, 29}},
        {"much longer", {0xc6, 0xff, 0xff, 0xff, 0xff}},
        {"all in one", {0xc4, 28}},
        {"empty ones", {0xc4, 0, 0xc4, 0, 0xc4, 0}},
        {"good, then bad", {0xc4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0xff}},
        {"the last is cut off", {0xc4, 8, 0, 0, 0, 0, 0, 0, 0, 0,    0xc4,
                                 8,    0, 0, 0, 0, 0, 0, 0, 0, 0xc4, 9}},
    };
    (void)state;
    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        size_t held = 0;
        struct td_item *item = item_that_lies(&held, rows[i].bytes);
        struct td_piece rest = td_piece_of(item);
        uint32_t events = 0;

        assert_non_null(item);
        while (rest.events > 0) {
            struct td_piece all = rest;
            struct td_piece front;
            struct td_run runs[2];

            if (!td_piece_cut(&all, 1, ANY, RUNS_ANY, &front, &rest) &&
                !td_piece_cut(&all, ANY, ANY, RUNS_ANY, &front, &rest))
                break;
            events += front.events;
            assert_row(rows[i].row, front.offset + front.bytes <= 30);
            assert_row(rows[i].row, front.events + rest.events == all.events);
            assert_row(rows[i].row, rest.events == 0 ||
                                        front.bytes + rest.bytes == all.bytes);
            assert_row(rows[i].row, td_piece_runs(&front, runs, 2) == 1 &&
                                        runs[0].count == front.events);
        }
        assert_row(rows[i].row, events == 3);
        td_item_unref(item);
        assert_row(rows[i].row, held == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_item_counts_what_it_keeps_until_it_is_gone),
        cmocka_unit_test(test_piece_is_cut_by_events_bytes_and_runs),
        cmocka_unit_test(test_piece_is_cut_anywhere_again_and_again),
        cmocka_unit_test(test_piece_survives_lengths_that_lie),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
