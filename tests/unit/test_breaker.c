/* The circuit breaker: rows of calls and what comes of them, at times that the
 * test gives. */
#include "tests/support/td_test.h"

#include "proto/breaker.h"

/* ---- rows ---- */

enum { END, ASK, NOT, GOOD, BAD, CANCEL };

/* At a time: a call asks and is allowed (ASK) or not (NOT), or what came of
 * the call of that number; and the state afterwards. */
struct step {
    int64_t at_ms;
    int what;
    unsigned call;
    char state; /* of "coh" */
};

static const struct {
    const char *name;
    struct td_breaker_limits limits;
    struct step steps[24];
} rows[] = {
    {"opens at so many failures in a row, and not before",
     {.failures = 3},
     {{0, ASK, 0, 'c'},
      {0, BAD, 0, 'c'},
      {1, ASK, 1, 'c'},
      {1, BAD, 1, 'c'},
      {2, ASK, 2, 'c'},
      {2, BAD, 2, 'o'},
      {2, NOT, 3, 'o'}}},
    {"a success begins the row anew",
     {.failures = 2},
     {{0, ASK, 0, 'c'},
      {0, ASK, 1, 'c'},
      {0, ASK, 2, 'c'},
      {0, ASK, 3, 'c'},
      {0, BAD, 0, 'c'},
      {0, GOOD, 1, 'c'},
      {0, BAD, 2, 'c'},
      {0, BAD, 3, 'o'}}},
    {"never, if both are off",
     {.failures = 0},
     {{0, ASK, 0, 'c'}, {0, BAD, 0, 'c'}, {0, ASK, 1, 'c'}, {0, BAD, 1, 'c'}}},
    {"is half open when the time is over to the millisecond, and one probe "
     "goes",
     {.failures = 1, .recovery_ms = 100},
     {{7, ASK, 0, 'c'},
      {7, BAD, 0, 'o'},
      {106, NOT, 1, 'o'},
      {107, ASK, 1, 'h'},
      {107, NOT, 2, 'h'}}},
    {"stays open while the clock stands still",
     {.failures = 1},
     {{5, ASK, 0, 'c'}, {5, BAD, 0, 'o'}, {5, NOT, 1, 'o'}, {5, NOT, 1, 'o'}}},
    {"closes after so many probes in turn",
     {.failures = 1, .recovery_ms = 10, .successes = 3},
     {{0, ASK, 0, 'c'},
      {0, BAD, 0, 'o'},
      {10, ASK, 1, 'h'},
      {10, GOOD, 1, 'h'},
      {10, ASK, 2, 'h'},
      {10, GOOD, 2, 'h'},
      {10, ASK, 3, 'h'},
      {10, NOT, 4, 'h'},
      {10, GOOD, 3, 'c'},
      {10, ASK, 4, 'c'},
      {10, ASK, 5, 'c'}}},
    {"waits twice as long after each probe that failed, up to the most, and "
     "begins anew when it was closed",
     {.failures = 1, .recovery_ms = 10, .recovery_max_ms = 30, .successes = 1},
     {{0, ASK, 0, 'c'},
      {0, BAD, 0, 'o'},
      {10, ASK, 1, 'h'},
      {10, BAD, 1, 'o'},
      {29, NOT, 2, 'o'},
      {30, ASK, 2, 'h'},
      {30, BAD, 2, 'o'},
      {59, NOT, 3, 'o'},
      {60, ASK, 3, 'h'},
      {60, BAD, 3, 'o'},
      {89, NOT, 4, 'o'},
      {90, ASK, 4, 'h'},
      {90, GOOD, 4, 'c'},
      {90, ASK, 5, 'c'},
      {90, BAD, 5, 'o'},
      {99, NOT, 6, 'o'},
      {100, ASK, 6, 'h'}}},
    {"one failure among several probes opens it, and the others say nothing",
     {.failures = 1, .recovery_ms = 10, .probes = 3, .successes = 2},
     {{0, ASK, 0, 'c'},
      {0, BAD, 0, 'o'},
      {10, ASK, 1, 'h'},
      {10, ASK, 2, 'h'},
      {10, ASK, 3, 'h'},
      {10, NOT, 4, 'h'},
      {11, GOOD, 1, 'h'},
      {11, BAD, 2, 'o'},
      {11, GOOD, 3, 'o'},
      {31, ASK, 4, 'h'},
      {31, GOOD, 4, 'h'},
      {31, GOOD, 3, 'h'}}},
    {"a probe without a result makes room when its time is over",
     {.failures = 1, .recovery_ms = 10, .probe_ms = 50},
     {{0, ASK, 0, 'c'},
      {0, BAD, 0, 'o'},
      {10, ASK, 1, 'h'},
      {59, NOT, 2, 'h'},
      {60, ASK, 2, 'h'},
      {60, NOT, 3, 'h'},
      {109, NOT, 3, 'h'},
      {110, ASK, 3, 'h'}}},
    {"a probe that was given up still counts, but leaves the next one's place",
     {.failures = 1, .recovery_ms = 10, .probe_ms = 50, .successes = 2},
     {{0, ASK, 0, 'c'},
      {0, BAD, 0, 'o'},
      {10, ASK, 1, 'h'},
      {60, ASK, 2, 'h'},
      {61, GOOD, 1, 'h'},
      {61, NOT, 3, 'h'},
      {62, GOOD, 2, 'c'}}},
    {"a probe that was not made after all makes room at once",
     {.failures = 1, .recovery_ms = 10},
     {{0, ASK, 0, 'c'},
      {0, BAD, 0, 'o'},
      {10, ASK, 1, 'h'},
      {10, NOT, 2, 'h'},
      {10, CANCEL, 1, 'h'},
      {10, ASK, 2, 'h'},
      {10, CANCEL, 1, 'h'},
      {10, CANCEL, 2, 'h'},
      {10, CANCEL, 2, 'h'},
      {10, ASK, 3, 'h'},
      {10, NOT, 4, 'h'}}},
    {"calls begun before it opened say nothing of what came after",
     {.failures = 1, .recovery_ms = 10, .successes = 1},
     {{0, ASK, 0, 'c'},
      {0, ASK, 1, 'c'},
      {0, ASK, 2, 'c'},
      {0, ASK, 3, 'c'},
      {0, ASK, 4, 'c'},
      {0, BAD, 0, 'o'},
      {1, GOOD, 1, 'o'},
      {1, BAD, 1, 'o'},
      {10, ASK, 5, 'h'},
      {10, BAD, 2, 'h'},
      {10, GOOD, 3, 'h'},
      {10, CANCEL, 3, 'h'},
      {10, NOT, 6, 'h'},
      {11, GOOD, 5, 'c'},
      {11, BAD, 4, 'c'}}},
    {"opens at the rate, not below it, once there are enough calls",
     {.failures = 0, .rate_percent = 50, .window_ms = 1000, .window_min = 4},
     {{0, ASK, 0, 'c'},
      {0, BAD, 0, 'c'},
      {0, BAD, 0, 'c'},
      {0, GOOD, 0, 'c'},
      {0, GOOD, 0, 'o'}}},
    {"below the rate it stays closed",
     {.failures = 0, .rate_percent = 51, .window_ms = 1000, .window_min = 4},
     {{0, ASK, 0, 'c'},
      {0, BAD, 0, 'c'},
      {0, BAD, 0, 'c'},
      {0, GOOD, 0, 'c'},
      {0, GOOD, 0, 'c'},
      {0, BAD, 0, 'o'}}},
    {"what left the window does not count",
     {.failures = 0, .rate_percent = 50, .window_ms = 1000, .window_min = 3},
     {{0, ASK, 0, 'c'},
      {99, BAD, 0, 'c'},
      {100, BAD, 0, 'c'},
      {999, GOOD, 0, 'o'}}},
    {"… and goes by tenths of it",
     {.failures = 0, .rate_percent = 50, .window_ms = 1000, .window_min = 3},
     {{0, ASK, 0, 'c'},
      {99, BAD, 0, 'c'},
      {100, BAD, 0, 'c'},
      {1000, BAD, 0, 'c'},
      {1099, GOOD, 0, 'o'}}},
    {"… all of it after a long time without calls",
     {.failures = 0, .rate_percent = 50, .window_ms = 1000, .window_min = 3},
     {{0, ASK, 0, 'c'},
      {0, BAD, 0, 'c'},
      {500, BAD, 0, 'c'},
      {INT64_C(1) << 50, BAD, 0, 'c'},
      {INT64_C(1) << 50, BAD, 0, 'c'},
      {INT64_C(1) << 50, BAD, 0, 'o'}}},
    {"the window begins anew when it is closed again",
     {.failures = 0,
      .rate_percent = 50,
      .window_ms = 100000,
      .window_min = 2,
      .recovery_ms = 10,
      .successes = 1},
     {{0, ASK, 0, 'c'},
      {0, BAD, 0, 'c'},
      {0, BAD, 0, 'o'},
      {10, ASK, 1, 'h'},
      {10, GOOD, 1, 'c'},
      {10, ASK, 2, 'c'},
      {10, BAD, 2, 'c'},
      {10, BAD, 2, 'o'}}},
    {"a window shorter than its parts goes by the millisecond",
     {.failures = 0, .rate_percent = 50, .window_ms = 1, .window_min = 2},
     {{0, ASK, 0, 'c'},
      {0, BAD, 0, 'c'},
      {10, BAD, 0, 'c'},
      {19, BAD, 0, 'o'}}},
};

static char state_char(const struct td_breaker *b)
{
    return td_breaker_state_name(b->state)[0];
}

static void take(struct td_breaker *b, const struct step *s, uint64_t *tickets,
                 const char *row, size_t at)
{
    enum td_breaker_state before = b->state;
    uint32_t changes = b->changes;
    uint64_t refused = b->refused;
    bool changed;

    switch (s->what) {
    case ASK:
    case NOT:
        assert_row_at(row, at,
                      td_breaker_ready(b, s->at_ms) == (s->what == ASK));
        assert_row_at(row, at,
                      td_breaker_allow(b, s->at_ms, &tickets[s->call]) ==
                          (s->what == ASK));
        assert_row_at(row, at, b->refused == refused + (s->what == NOT));
        assert_row_at(row, at, s->what == NOT || tickets[s->call] != 0);
        break;
    case CANCEL:
        td_breaker_cancel(b, tickets[s->call]);
        assert_row_at(row, at, b->state == before);
        break;
    default:
        changed =
            td_breaker_done(b, s->at_ms, tickets[s->call], s->what == GOOD);
        assert_row_at(row, at, changed == (b->state != before));
    }
    assert_row_at(row, at, (b->state != before) == (b->changes != changes));
    assert_row_at(row, at, state_char(b) == s->state);
}

static void test_breaker_rows(void **state)
{
    (void)state;

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        struct td_breaker_limits limits = rows[i].limits;
        uint64_t tickets[8] = {0};
        struct td_breaker b;

        td_breaker_limits_fit(&limits);
        td_breaker_init(&b, &limits);
        for (size_t j = 0; rows[i].steps[j].what != END; j++)
            take(&b, &rows[i].steps[j], tickets, rows[i].name, j);
    }
}

/* ---- what it tells ---- */

static void test_breaker_puts_defaults_where_zero_is_none(void **state)
{
    struct td_breaker_limits limits = {0};
    struct td_breaker_limits odd = {.recovery_ms = 900000};
    (void)state;

    td_breaker_limits_fit(&limits);
    assert_int_equal(limits.failures, 0);
    assert_int_equal(limits.rate_percent, 0);
    limits.failures = 5;
    limits.rate_percent = 50;
    assert_memory_equal(&limits, &td_breaker_defaults, sizeof(limits));
    td_breaker_limits_fit(&odd);
    assert_int_equal(odd.recovery_max_ms, 900000);
}

static void test_breaker_says_when_to_try_again(void **state)
{
    struct td_breaker_limits limits = {
        .failures = 1, .recovery_ms = 100, .probe_ms = 40};
    struct td_breaker b;
    uint64_t ticket;
    (void)state;

    td_breaker_limits_fit(&limits);
    td_breaker_init(&b, &limits);
    assert_int_equal(td_breaker_left_ms(&b, 5), 0);
    assert_true(td_breaker_allow(&b, 5, &ticket));
    assert_true(td_breaker_done(&b, 5, ticket, false));
    assert_int_equal(b.opened_ms, 5);
    assert_int_equal(td_breaker_left_ms(&b, 6), 99);
    assert_int_equal(td_breaker_left_ms(&b, 105), 0);
    assert_true(td_breaker_allow(&b, 105, &ticket));
    assert_int_equal(td_breaker_left_ms(&b, 105), 40);
    assert_int_equal(td_breaker_left_ms(&b, 145), 0);
    assert_int_equal(b.since_ms, 105);
    assert_int_equal(b.lost, 0);
    assert_true(td_breaker_allow(&b, 145, &ticket));
    assert_int_equal(b.lost, 1);
    assert_int_equal(b.failures, 1);
    assert_true(td_breaker_done(&b, 146, ticket, false));
    assert_int_equal(b.failures, 2);
    assert_int_equal(b.recovery_ms, 200);
    assert_int_equal(b.opened_ms, 5); /* it was not closed in between */
}

static void test_breaker_believes_no_ticket_that_it_did_not_give(void **state)
{
    struct td_breaker_limits limits = {.failures = 1, .successes = 1};
    struct td_breaker b;
    uint64_t ticket;
    (void)state;

    td_breaker_limits_fit(&limits);
    td_breaker_init(&b, &limits);
    assert_false(td_breaker_done(&b, 0, 0, false));
    assert_true(td_breaker_allow(&b, 0, &ticket));
    assert_true(td_breaker_done(&b, 0, ticket, false));
    for (uint64_t era = 0; era < 10; era++)
        assert_false(td_breaker_done(&b, 0, era << 32, true));
    assert_int_equal(b.state, TD_BREAKER_OPEN);
    assert_int_equal(b.late, 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_breaker_rows),
        cmocka_unit_test(test_breaker_puts_defaults_where_zero_is_none),
        cmocka_unit_test(test_breaker_says_when_to_try_again),
        cmocka_unit_test(test_breaker_believes_no_ticket_that_it_did_not_give),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
