/* A member whose handler says that the group is to be parked: what waits for it
 * goes back unseen, and nothing counts as failed. */
#include "tests/support/td_test.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "proto/frame.h"
#include "tests/unit/stream_broker.h"
#include "tidings/resilience.h"
#include "tidings/tidings.h"

#define DEADLINE_MS 30000
#define EVENTS      200u
#define AT          3u /* the tag at which it is parked */

struct fixture {
    struct stream_broker *broker;
    tidings_bus *bus;
    tidings_sub *sub;
    atomic_uint calls;
    atomic_uint told; /* to on_status, as failed */
    bool later;       /* it says so by tidings_settle() */
    tidings_breaker *breaker;
    atomic_bool works;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    *state = f;
    if (!f)
        return -1;
    f->broker = broker_new();
    return f->broker ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    tidings_close(f->bus);
    tidings_breaker_free(f->breaker);
    broker_free(f->broker);
    free(f);
    return 0;
}

static void on_status(void *arg, const struct tidings_status *status)
{
    struct fixture *f = arg;

    f->told += status->kind == TIDINGS_HANDLER_FAILED;
}

static tidings_err handle(void *arg, const struct tidings_event *event)
{
    struct fixture *f = arg;
    struct tidings_delivery d = {.tag = 0};

    f->calls++;
    if (f->breaker)
        return f->works ? TIDINGS_OK : TIDINGS_EIO;
    tidings_delivery(&d, event);
    if (d.tag < AT)
        return TIDINGS_OK;
    if (!f->later) {
        tidings_set_detail("no database");
        return TIDINGS_EBREAKER;
    }
    return tidings_settle(&d, TIDINGS_PARK, 700, "no database")
               ? TIDINGS_EIO
               : TIDINGS_ELATER;
}

static void join(struct fixture *f, const struct tidings_sub_options *more,
                 bool own_loop)
{
    struct tidings_sub_options o = *more;
    const struct tidings_options bus = {
        .own_loop = own_loop, .on_status = on_status, .on_status_arg = f};

    o.stream = "events";
    o.group = "g";
    assert_ok(tidings_open(&f->bus, f->broker->url, &bus));
    assert_ok(tidings_wait(f->bus, DEADLINE_MS));
    assert_ok(tidings_subscribe(&f->sub, f->bus, "a.>", handle, f, &o));
}

static void deliver(struct fixture *f)
{
    f->broker->piece = EVENTS; /* all are here before the first is handled */
    broker_deliver(f->broker, EVENTS);
}

static void wait_heard(struct fixture *f, uint64_t tag)
{
    for (int ms = 0; ms < DEADLINE_MS && !broker_heard(f->broker, tag).verb;
         ms++)
        poll(NULL, 0, 1);
}

static unsigned verb_of(struct fixture *f, uint64_t tag)
{
    struct heard heard = broker_heard(f->broker, tag);

    assert_int_equal(heard.times, 1);
    assert_string_equal(heard.reason, heard.verb == TD_PARK && !f->breaker
                                          ? "no database"
                                          : "");
    return heard.verb;
}

/* The first ones are done, this one has parked the group, the rest is back. */
static void check_one_parks(struct fixture *f, uint64_t delay_ms)
{
    assert_true(broker_wait_settled(f->broker, EVENTS));
    for (uint64_t tag = 1; tag <= EVENTS; tag++)
        assert_int_equal(verb_of(f, tag), tag < AT    ? TD_ACK
                                          : tag == AT ? TD_PARK
                                                      : TD_RELEASE);
    assert_int_equal(broker_heard(f->broker, AT).delay_ms, delay_ms);
    assert_int_equal(f->calls, AT);
    assert_int_equal(f->told, 0);
}

static const struct tidings_sub_options wide = {.window_events = 1000};

static void test_park_is_what_the_handler_returns(void **state)
{
    struct fixture *f = *state;
    struct tidings_sub_info info;

    join(f, &wide, false);
    deliver(f);
    check_one_parks(f, 0);
    assert_ok(tidings_sub_info(&info, f->sub));
    assert_int_equal(info.delivered, AT);
    assert_int_equal(info.failed, 0);
    assert_int_equal(info.released, EVENTS - AT + 1);
    broker_deliver(f->broker, 1); /* the probe */
    assert_true(broker_wait_settled(f->broker, EVENTS + 1));
    assert_int_equal(verb_of(f, EVENTS + 1), TD_PARK);
    assert_int_equal(f->calls, AT + 1);
}

static void test_park_is_what_it_says(void **state)
{
    struct fixture *f = *state;

    f->later = true;
    join(f, &wide, false);
    deliver(f);
    check_one_parks(f, 700);
}

static void test_park_in_a_loop_of_ones_own(void **state)
{
    struct fixture *f = *state;

    join(f, &wide, true);
    deliver(f);
    for (int ms = 0; ms < DEADLINE_MS && !broker_heard(f->broker, EVENTS).verb;
         ms++) {
        assert_ok(tidings_dispatch(NULL, f->bus, 1));
        poll(NULL, 0, 1);
    }
    check_one_parks(f, 0);
}

/* Keys go back in order, until the broker has heard of it. */
static void test_park_by_key(void **state)
{
    struct tidings_sub_options o = wide;
    struct fixture *f = *state;

    o.group_policy = TIDINGS_BY_KEY;
    f->broker->keys = 5;
    join(f, &o, false);
    deliver(f);
    check_one_parks(f, 0);
}

/* Each is at one when it is parked, or has just taken it. */
static void test_park_with_workers(void **state)
{
    enum { WORKERS = 4 };
    struct tidings_sub_options o = wide;
    struct fixture *f = *state;
    unsigned parked = 0;

    o.workers = WORKERS;
    o.order = TIDINGS_ANY_ORDER;
    join(f, &o, false);
    deliver(f);
    assert_true(broker_wait_settled(f->broker, EVENTS));
    for (uint64_t tag = 1; tag <= EVENTS; tag++) {
        unsigned verb = verb_of(f, tag);

        assert_true(verb == (tag < AT ? TD_ACK : TD_PARK) ||
                    verb == TD_RELEASE);
        parked += verb == TD_PARK;
    }
    assert_true(parked >= 1 && parked <= EVENTS / 2);
    assert_int_equal(f->told, 0);
}

static void wait_pending(struct fixture *f, uint64_t events)
{
    struct tidings_sub_info info = {.pending = 0};

    for (int ms = 0; ms < DEADLINE_MS && info.pending < events; ms++) {
        poll(NULL, 0, 1);
        assert_ok(tidings_sub_info(&info, f->sub));
    }
    assert_int_equal(info.pending, events);
}

/* What was fetched is the caller's; what was not goes back. */
static void test_park_of_what_was_fetched(void **state)
{
    const struct tidings_sub_options o = {
        .stream = "events", .group = "g", .pull = true};
    struct fixture *f = *state;
    struct tidings_fetched got[3];
    size_t n = 0;

    assert_ok(tidings_open(&f->bus, f->broker->url, NULL));
    assert_ok(tidings_wait(f->bus, DEADLINE_MS));
    assert_ok(tidings_subscribe(&f->sub, f->bus, "a.>", NULL, NULL, &o));
    f->broker->piece = 10;
    assert_err(tidings_fetch(&n, got, f->sub, 10, 0), TIDINGS_ETIMEDOUT);
    broker_deliver(f->broker, 10);
    wait_pending(f, 10);
    assert_ok(tidings_fetch(&n, got, f->sub, 3, DEADLINE_MS));
    assert_int_equal(n, 3);
    assert_ok(tidings_settle(&got[1].delivery, TIDINGS_PARK, 0, "no database"));
    assert_err(tidings_settle(&got[1].delivery, TIDINGS_PARK, 0, NULL),
               TIDINGS_EEXIST);
    assert_err(tidings_settle(&got[0].delivery, 7, 0, NULL), TIDINGS_EINVAL);
    assert_err(tidings_settle(&got[0].delivery, TIDINGS_PARK, -1, NULL),
               TIDINGS_EINVAL);
    wait_heard(f, 10);
    assert_int_equal(verb_of(f, 2), TD_PARK);
    assert_int_equal(broker_heard(f->broker, 1).verb, 0);
    for (uint64_t tag = 4; tag <= 10; tag++)
        assert_int_equal(verb_of(f, tag), TD_RELEASE);
    assert_ok(tidings_settle(&got[0].delivery, TIDINGS_ACK, 0, NULL));
    assert_ok(tidings_settle(&got[2].delivery, TIDINGS_ACK, 0, NULL));
    for (size_t i = 0; i < n; i++)
        tidings_free(got[i].event);
}

/* ---- with a breaker ---- */

enum { FAILURES = 3, RECOVERY_MS = 60 };

static struct tidings_breaker_info breaker_info(struct fixture *f)
{
    struct tidings_breaker_info info;

    assert_ok(tidings_breaker_info(&info, f->breaker));
    return info;
}

/* The probe that the broker sends when its time is over. */
static void probe(struct fixture *f, uint64_t tag)
{
    while (breaker_info(f).left_ms > 0)
        poll(NULL, 0, 1);
    broker_deliver(f->broker, 1);
    assert_true(broker_wait_settled(f->broker, tag));
}

static void check_parked(struct fixture *f, uint64_t tag, uint64_t most_ms)
{
    struct heard heard = broker_heard(f->broker, tag);

    assert_int_equal(heard.verb, TD_PARK);
    assert_true(heard.delay_ms >= 1 && heard.delay_ms <= most_ms);
}

/* What fails until it opens counts, and nothing after that. */
static void test_park_while_a_breaker_is_open(void **state)
{
    const struct tidings_breaker_options options = {
        .bounds = {.failures = FAILURES, .recovery_ms = RECOVERY_MS}};
    struct tidings_sub_options o = wide;
    struct fixture *f = *state;
    struct tidings_sub_info info;

    assert_ok(tidings_breaker_new(&f->breaker, &options));
    o.breaker = f->breaker;
    join(f, &o, false);
    deliver(f);
    assert_true(broker_wait_settled(f->broker, EVENTS));
    for (uint64_t tag = 1; tag <= EVENTS; tag++)
        assert_int_equal(verb_of(f, tag), tag <= FAILURES       ? TD_NAK
                                          : tag == FAILURES + 1 ? TD_PARK
                                                                : TD_RELEASE);
    check_parked(f, FAILURES + 1, RECOVERY_MS);
    assert_int_equal(f->calls, FAILURES);

    probe(f, EVENTS + 1); /* it fails, and that is not the event's failure */
    check_parked(f, EVENTS + 1, 2 * RECOVERY_MS);
    assert_int_equal(f->calls, FAILURES + 1);
    assert_int_equal(f->told, FAILURES + 1);
    assert_ok(tidings_sub_info(&info, f->sub));
    assert_int_equal(info.failed, FAILURES + 1);
    assert_int_equal(info.naked, FAILURES);

    f->works = true;
    probe(f, EVENTS + 2);
    assert_int_equal(verb_of(f, EVENTS + 2), TD_ACK);
    assert_int_equal(breaker_info(f).state, TIDINGS_BREAKER_HALF_OPEN);
    broker_deliver(f->broker, 1);
    assert_true(broker_wait_settled(f->broker, EVENTS + 3));
    assert_int_equal(breaker_info(f).state, TIDINGS_BREAKER_CLOSED);
    assert_int_equal(f->calls, FAILURES + 3);
}

/* Another call is the probe: this one's result is known soon. */
static void test_park_while_a_breaker_is_probed(void **state)
{
    const struct tidings_breaker_options options = {
        .bounds = {.failures = 1, .recovery_ms = 1}};
    struct tidings_sub_options o = wide;
    struct fixture *f = *state;
    uint64_t ticket;

    assert_ok(tidings_breaker_new(&f->breaker, &options));
    o.breaker = f->breaker;
    join(f, &o, false);
    assert_ok(tidings_breaker_allow(f->breaker, &ticket));
    tidings_breaker_done(f->breaker, ticket, TIDINGS_EIO);
    while (tidings_breaker_allow(f->breaker, &ticket))
        poll(NULL, 0, 1);
    broker_deliver(f->broker, 1);
    assert_true(broker_wait_settled(f->broker, 1));
    check_parked(f, 1, 1000);
    assert_int_equal(f->calls, 0);
    tidings_breaker_cancel(f->breaker, ticket);
}

#define ROW(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(test_park_is_what_the_handler_returns),
        ROW(test_park_is_what_it_says),
        ROW(test_park_in_a_loop_of_ones_own),
        ROW(test_park_by_key),
        ROW(test_park_with_workers),
        ROW(test_park_of_what_was_fetched),
        ROW(test_park_while_a_breaker_is_open),
        ROW(test_park_while_a_breaker_is_probed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
