/* What a subscriber that stands still keeps, and is told of, under each
 * policy (PROTOCOL.md 6). What it costs others is in test_slow.c. */
#include "tests/system/system.h"

#include <inttypes.h>
#include <stdlib.h>

#include "tests/system/ledger.h"

#define EVENTS (SYS_SANITIZED ? 20000 : 100000)
#define WINDOW 100
#define QUEUE  1000

/* A subscriber that handles nothing until it is told to dispatch. */
struct idler {
    tidings_bus *bus;
    uint64_t events;
    uint64_t whole;      /* events before the first hole … */
    uint64_t first_kept; /* … and the first after it; 0: there was none */
    uint64_t last;
    uint64_t holes; /* events that a look at the numbers finds missing … */
    uint64_t told;  /* … and that it was told of, at the place of the hole */
    uint64_t misplaced;
    uint64_t other_reasons;
    const char *reason;
};

struct fixture {
    struct td_daemon broker;
    struct sys_peer publisher;
    struct sys_peer healthy;
    struct idler idler;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (!f)
        return -1;
    *state = f;
    sys_broker_start(&f->broker, NULL);
    sys_peer_open(&f->publisher, f->broker.endpoint[0], "publisher");
    sys_peer_open(&f->healthy, f->broker.endpoint[0], "healthy");
    sys_peer_subscribe(&f->healthy, "load.>");
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    tidings_close(f->idler.bus);
    sys_peer_close(&f->healthy);
    sys_peer_close(&f->publisher);
    td_daemon_end(&f->broker);
    free(f);
    return 0;
}

static tidings_err on_event(void *arg, const struct tidings_event *event)
{
    struct idler *i = arg;
    uint64_t number = 0;

    if (event->data_len == sizeof(number))
        memcpy(&number, event->data, sizeof(number));
    if (number != i->last + 1 && i->first_kept == 0)
        i->first_kept = number;
    i->whole += i->first_kept == 0;
    i->holes += number - i->last - 1;
    i->misplaced += i->holes != i->told;
    i->last = number;
    i->events++;
    return TIDINGS_OK;
}

static void on_gap(void *arg, const struct tidings_gap *gap)
{
    struct idler *i = arg;

    i->told += gap->missed;
    i->other_reasons += strcmp(gap->reason, i->reason) != 0;
}

/* Everybody else has had all of it while it stood still; then it looks. */
static void stand_still(struct fixture *f, enum tidings_policy policy,
                        const char *reason)
{
    struct tidings_options options = {.name = "idler", .own_loop = true};
    struct tidings_sub_options sub = {.window_events = WINDOW,
                                      .queue_events = QUEUE,
                                      .policy = policy,
                                      .on_gap = on_gap};
    struct idler *i = &f->idler;
    int64_t deadline_ms;
    struct watch seen;

    i->reason = reason;
    assert_ok(tidings_open(&i->bus, f->broker.endpoint[0], &options));
    assert_ok(tidings_subscribe(NULL, i->bus, "load.*", on_event, i, &sub));
    for (uint64_t n = 1; n <= EVENTS; n++)
        sys_publish(&f->publisher, "load.x", n);
    assert_ok(tidings_flush(f->publisher.bus, SYS_WAIT_MS));
    assert_true(watch_until_events(&f->healthy.watch, EVENTS, SYS_WAIT_MS));
    seen = watch_now(&f->healthy.watch);
    assert_int_equal(seen.missed, 0);
    assert_int_equal(seen.holes, 0);

    deadline_ms = td_proc_now_ms() + SYS_WAIT_MS;
    while (i->events + i->told < EVENTS && td_proc_now_ms() < deadline_ms)
        assert_ok(tidings_dispatch(NULL, i->bus, 10));
    assert_int_equal(i->events + i->told, EVENTS); /* told exactly */
    assert_int_equal(i->other_reasons, 0);
    assert_in_range(i->events, QUEUE, QUEUE + WINDOW);
}

static void check_books(struct fixture *f, bool newest)
{
    struct ledger_row totals;

    ledger_rest(f->healthy.bus);
    totals = ledger_totals(f->healthy.bus);
    assert_int_equal(totals.matched, 2 * EVENTS);
    assert_int_equal(totals.dropped, f->idler.told);
    assert_int_equal(newest ? totals.newest : totals.oldest, f->idler.told);
    ledger_check(f->healthy.bus);
}

static void test_drop_oldest_keeps_the_newest(void **state)
{
    struct fixture *f = *state;
    struct idler *i = &f->idler;

    stand_still(f, TIDINGS_DROP_OLDEST, "oldest");
    assert_int_equal(i->last, EVENTS);
    assert_int_equal(i->first_kept, EVENTS - QUEUE + 1);
    assert_int_equal(i->holes, i->told);
    assert_int_equal(i->misplaced, 0);
    check_books(f, false);
}

static void test_drop_newest_keeps_the_oldest(void **state)
{
    struct fixture *f = *state;
    struct idler *i = &f->idler;

    stand_still(f, TIDINGS_DROP_NEWEST, "newest");
    assert_true(i->whole >= QUEUE); /* 1, 2, 3, … */
    assert_true(i->last < EVENTS);
    check_books(f, true);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_drop_oldest_keeps_the_newest),
        TEST(test_drop_newest_keeps_the_oldest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
