/* Keys that wait, against a naive model: each key's events come one by one, in
 * order, and none is forgotten. */
#include "tests/support/td_test.h"

#include "broker/engine/park.h"

#include <stdlib.h>

#include "tests/support/alloc.h"

static void test_park_gives_turns_in_order(void **state)
{
    struct td_parks p = {0};
    bool turn;

    (void)state;
    assert_false(td_park_aside(&p, 7, 5));
    assert_true(td_park(&p, 7, 5, &turn) && turn);
    assert_true(td_park_aside(&p, 7, 9));
    assert_true(td_park_aside(&p, 7, 8));
    assert_false(td_park_aside(&p, 7, 5)); /* it is its turn */
    assert_false(td_park_aside(&p, 8, 6)); /* another key */
    assert_true(td_park(&p, 7, 6, &turn) && !turn);
    assert_int_equal(td_park_next(&p, 8), 0);
    assert_int_equal(td_park_next(&p, 5), 6);
    assert_int_equal(td_park_next(&p, 6), 8);
    assert_int_equal(td_park_next(&p, 8), 9);
    assert_int_equal(td_park_next(&p, 9), 0);
    assert_false(td_park_aside(&p, 7, 10)); /* it is parked no more */
    td_parks_fini(&p);
}

static void test_park_lets_an_older_one_go_first(void **state)
{
    struct td_parks p = {0};
    bool turn;

    (void)state;
    assert_true(td_park(&p, 7, 5, &turn) && turn);
    assert_true(td_park(&p, 7, 3, &turn) && turn);
    assert_true(td_park_aside(&p, 7, 5)); /* when it is dealt */
    assert_int_equal(td_park_next(&p, 3), 5);
    td_parks_fini(&p);
}

/* Many keys: what is parked comes out, each key's in order. */
static void test_park_forgets_nothing(void **state)
{
    enum { KEYS = 50, EVENTS = 2000 };
    uint64_t last[KEYS + 1] = {0};
    uint64_t seen = 0;
    struct td_parks p = {0};
    bool turn;

    (void)state;
    for (uint64_t n = 1; n <= EVENTS; n++) {
        uint64_t sequence = n;
        uint64_t key = n % KEYS + 1;

        assert_true(td_park(&p, key, sequence, &turn));
        assert_int_equal(turn, n <= KEYS);
    }
    for (uint64_t n = 1; n <= KEYS; n++) {
        uint64_t key = n % KEYS + 1;

        for (uint64_t at = n; at; at = td_park_next(&p, at), seen++) {
            assert_int_equal(at % KEYS + 1, key);
            assert_true(at > last[key]);
            last[key] = at;
        }
    }
    assert_int_equal(seen, EVENTS);
    assert_null(p.keys);
    td_parks_fini(&p);
}

static void test_park_fails_as_a_whole(void **state)
{
    bool turn;

    (void)state;
    for (size_t nth = 1; nth < 20; nth++) {
        struct td_parks p = {0};
        uint64_t expected = 0;
        uint64_t got = 0;

        td_alloc_fail(nth);
        for (uint64_t sequence = 1; sequence <= 20; sequence++)
            expected += td_park(&p, 1, sequence, &turn);
        td_alloc_fail(0);
        for (uint64_t at = p.keys ? p.keys->current : 0; at;
             at = td_park_next(&p, at))
            got++;
        assert_int_equal(got, expected);
        td_parks_fini(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_park_gives_turns_in_order),
        cmocka_unit_test(test_park_lets_an_older_one_go_first),
        cmocka_unit_test(test_park_forgets_nothing),
        cmocka_unit_test(test_park_fails_as_a_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
