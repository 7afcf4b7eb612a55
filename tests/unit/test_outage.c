/* An outage of a durable group, step by step: what parks it, and what it takes
 * until it runs again. */
#include "tests/support/td_test.h"

#include "broker/engine/outage.h"
#include "proto/limits.h"

#define ALL UINT64_MAX

enum what { PARK, LATE, TIME, ACK, REST, END };

/* PARK: for so many ms; LATE: the same, of what was delivered before. TIME: so
 * many ms pass. ACK: of so many events. REST: nothing waits any more. Then it is
 * in this state, and so many may be in flight. */
struct step {
    enum what what;
    uint64_t n;
    enum td_outage_state state;
    uint64_t width;
};

struct row {
    const char *name;
    uint64_t times; /* it was parked, in the end */
    struct step step[12];
};

/* In each of them 16 may be in flight. */
static const struct row rows[] = {
    {"an ack begins a ramp, which is doubled when as many are acked",
     1,
     {{PARK, 100, TD_OUTAGE_PARKED, 0},
      {TIME, 99, TD_OUTAGE_PARKED, 0},
      {TIME, 1, TD_OUTAGE_PROBING, 1},
      {ACK, 1, TD_OUTAGE_RAMPING, 2},
      {ACK, 1, TD_OUTAGE_RAMPING, 2},
      {ACK, 1, TD_OUTAGE_RAMPING, 4},
      {ACK, 3, TD_OUTAGE_RAMPING, 4},
      {ACK, 1, TD_OUTAGE_RAMPING, 8},
      {ACK, 8, TD_OUTAGE_RUNNING, ALL}}},
    {"it runs when nothing waits any more",
     1,
     {{PARK, 100, TD_OUTAGE_PARKED, 0},
      {REST, 0, TD_OUTAGE_PARKED, 0},
      {TIME, 100, TD_OUTAGE_PROBING, 1},
      {REST, 0, TD_OUTAGE_PROBING, 1},
      {ACK, 1, TD_OUTAGE_RAMPING, 2},
      {REST, 0, TD_OUTAGE_RUNNING, ALL}}},
    {"acks while it is parked are of what was sent before",
     1,
     {{PARK, 100, TD_OUTAGE_PARKED, 0},
      {ACK, 5, TD_OUTAGE_PARKED, 0},
      {TIME, 100, TD_OUTAGE_PROBING, 1}}},
    {"a probe that parks it parks it for twice as long, up to a bound",
     5,
     {{PARK, 0, TD_OUTAGE_PARKED, 0},
      {TIME, TD_PARK_MS, TD_OUTAGE_PROBING, 1},
      {PARK, 0, TD_OUTAGE_PARKED, 0},
      {TIME, 2 * TD_PARK_MS - 1, TD_OUTAGE_PARKED, 0},
      {TIME, 1, TD_OUTAGE_PROBING, 1},
      {PARK, 30000, TD_OUTAGE_PARKED, 0},
      {TIME, 30000, TD_OUTAGE_PROBING, 1},
      {PARK, 0, TD_OUTAGE_PARKED, 0},
      {TIME, 60000, TD_OUTAGE_PROBING, 1},
      {PARK, 0, TD_OUTAGE_PARKED, 0},
      {TIME, TD_PARK_GROWN_MS - 1, TD_OUTAGE_PARKED, 0},
      {TIME, 1, TD_OUTAGE_PROBING, 1}}},
    {"so does the ramp",
     2,
     {{PARK, 0, TD_OUTAGE_PARKED, 0},
      {TIME, TD_PARK_MS, TD_OUTAGE_PROBING, 1},
      {ACK, 1, TD_OUTAGE_RAMPING, 2},
      {PARK, 0, TD_OUTAGE_PARKED, 0},
      {TIME, 2 * TD_PARK_MS - 1, TD_OUTAGE_PARKED, 0},
      {TIME, 1, TD_OUTAGE_PROBING, 1},
      {ACK, 1, TD_OUTAGE_RAMPING, 2}}},
    {"once it has run it begins anew",
     2,
     {{PARK, 40000, TD_OUTAGE_PARKED, 0},
      {TIME, 40000, TD_OUTAGE_PROBING, 1},
      {ACK, 1, TD_OUTAGE_RAMPING, 2},
      {REST, 0, TD_OUTAGE_RUNNING, ALL},
      {PARK, 0, TD_OUTAGE_PARKED, 0},
      {TIME, TD_PARK_MS, TD_OUTAGE_PROBING, 1}}},
    {"several that find the same outage do not add up",
     1,
     {{PARK, 0, TD_OUTAGE_PARKED, 0},
      {PARK, 0, TD_OUTAGE_PARKED, 0},
      {LATE, 0, TD_OUTAGE_PARKED, 0},
      {PARK, 100, TD_OUTAGE_PARKED, 0},
      {TIME, TD_PARK_MS, TD_OUTAGE_PROBING, 1}}},
    {"the longest that anyone says counts",
     1,
     {{PARK, 100, TD_OUTAGE_PARKED, 0},
      {TIME, 50, TD_OUTAGE_PARKED, 0},
      {PARK, 100, TD_OUTAGE_PARKED, 0},
      {PARK, 20, TD_OUTAGE_PARKED, 0},
      {TIME, 99, TD_OUTAGE_PARKED, 0},
      {TIME, 1, TD_OUTAGE_PROBING, 1}}},
    {"one that comes late parks it again, and not for longer",
     2,
     {{PARK, 0, TD_OUTAGE_PARKED, 0},
      {TIME, TD_PARK_MS, TD_OUTAGE_PROBING, 1},
      {LATE, 0, TD_OUTAGE_PARKED, 0},
      {TIME, TD_PARK_MS, TD_OUTAGE_PROBING, 1}}},
    {"nobody parks it for longer than an hour",
     1,
     {{PARK, INT64_MAX, TD_OUTAGE_PARKED, 0},
      {TIME, TD_PARK_MS_MAX - 1, TD_OUTAGE_PARKED, 0},
      {TIME, 1, TD_OUTAGE_PROBING, 1}}},
    {"an operator ends it at once",
     1,
     {{PARK, 100, TD_OUTAGE_PARKED, 0},
      {END, 0, TD_OUTAGE_RUNNING, ALL},
      {TIME, 100, TD_OUTAGE_RUNNING, ALL},
      {ACK, 1, TD_OUTAGE_RUNNING, ALL}}},
};

static void take(struct td_outage *o, const struct step *step, int64_t *now_ms)
{
    switch (step->what) {
    case PARK:
    case LATE:
        td_outage_park(o, *now_ms, step->n, step->what == PARK);
        break;
    case TIME:
        *now_ms += (int64_t)step->n;
        td_outage_look(o, *now_ms);
        break;
    case ACK:
        td_outage_acked(o, step->n, 16);
        break;
    case REST:
        td_outage_caught_up(o);
        break;
    case END:
        td_outage_end(o);
        break;
    }
}

static void test_outage_steps(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct step *step = rows[i].step;
        struct td_outage o = {0};
        int64_t now_ms = 1000;

        assert_int_equal(td_outage_width(&o), ALL);
        for (; step->state || step->width; step++) {
            take(&o, step, &now_ms);
            assert_row(rows[i].name, o.state == step->state);
            assert_row(rows[i].name, td_outage_width(&o) == step->width);
        }
        assert_row(rows[i].name, o.times == rows[i].times);
    }
}

static void test_outage_says_how_long(void **state)
{
    struct td_outage o = {0};

    (void)state;
    assert_int_equal(td_outage_left_ms(&o, 1000), 0);
    assert_true(td_outage_park(&o, 1000, 100, false));
    assert_false(td_outage_park(&o, 1000, 200, false));
    assert_int_equal(td_outage_left_ms(&o, 1050), 150);
    assert_int_equal(td_outage_left_ms(&o, 1300), 0);
    td_outage_look(&o, 1300);
    assert_int_equal(td_outage_left_ms(&o, 1300), 0);
    assert_int_equal(o.since_ms, 1000);
}

/* One event at a time is as fast as it is ever let. */
static void test_outage_of_a_group_of_one(void **state)
{
    struct td_outage o = {0};

    (void)state;
    td_outage_park(&o, 0, 10, false);
    td_outage_look(&o, 10);
    td_outage_acked(&o, 1, 1);
    assert_int_equal(o.state, TD_OUTAGE_RUNNING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outage_steps),
        cmocka_unit_test(test_outage_says_how_long),
        cmocka_unit_test(test_outage_of_a_group_of_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
