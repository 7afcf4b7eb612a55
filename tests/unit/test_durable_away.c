/* A member whose link is away: what it has in hand and has not begun with goes
 * back when the broker has surely not waited for it, and not before. */
#include "tests/support/td_test.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "proto/frame.h"
#include "tests/support/chaosproxy.h"
#include "tests/support/proc.h"
#include "tests/unit/stream_broker.h"
#include "tidings/tidings.h"

#define DEADLINE_MS 30000
#define WAIT_MS     450 /* ack_wait; three times in it a member speaks */
#define FIRST       3u  /* are with it when it says so … */
#define EVENTS      12u /* … and the rest comes after that */

struct fixture {
    struct stream_broker *broker;
    struct td_chaos *link;
    tidings_bus *bus;
    tidings_sub *sub;
    atomic_bool hold;
    atomic_uint seen[EVENTS + 1];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    *state = f;
    if (!f)
        return -1;
    f->hold = true;
    f->broker = broker_new();
    if (!f->broker)
        return -1;
    f->link = td_chaos_start(f->broker->url);
    return f->link ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    f->hold = false;
    tidings_close(f->bus);
    td_chaos_stop(f->link);
    broker_free(f->broker);
    free(f);
    return 0;
}

/* It says that it is at it, so that it is not late, however long it takes. */
static tidings_err work(void *arg, const struct tidings_event *event)
{
    struct fixture *f = arg;
    struct tidings_delivery d = {.tag = 0};

    tidings_delivery(&d, event);
    f->seen[d.tag]++;
    while (f->hold)
        poll(NULL, 0, 1);
    return TIDINGS_OK;
}

/* Until all has arrived, and so much of it is given back: it waits for a handler
 * all the same. */
static void wait_until(struct fixture *f, uint64_t released)
{
    struct tidings_sub_info info = {0};
    int left = DEADLINE_MS;

    do {
        poll(NULL, 0, 1);
        assert_ok(tidings_sub_info(&info, f->sub));
    } while ((info.pending < EVENTS || info.released < released) && left-- > 0);
    assert_true(left >= 0);
}

static void join(struct fixture *f, unsigned ack_wait_ms)
{
    const struct tidings_sub_options o = {
        .stream = "events", .group = "g", .workers = 1, .progress = true};

    f->broker->ack_wait_ms = ack_wait_ms;
    assert_ok(tidings_open(&f->bus, td_chaos_url(f->link), NULL));
    assert_ok(tidings_wait(f->bus, DEADLINE_MS));
    assert_ok(tidings_subscribe(&f->sub, f->bus, "a.>", work, f, &o));
}

static void lose_link(struct fixture *f)
{
    const struct td_chaos_rules refuse = {.refuse = true};

    td_chaos_rules(f->link, &refuse);
    td_chaos_cut(f->link);
}

static void restore_link(struct fixture *f)
{
    const struct td_chaos_rules none = {.refuse = false};

    td_chaos_rules(f->link, &none);
}

static void check_settled(struct fixture *f, unsigned rest_verb)
{
    assert_true(broker_wait_settled(f->broker, EVENTS));
    for (uint64_t tag = 1; tag <= EVENTS; tag++) {
        unsigned verb = tag == 1 ? TD_ACK : rest_verb;

        assert_int_equal(broker_heard(f->broker, tag).verb, verb);
        assert_int_equal(f->seen[tag], verb == TD_ACK);
    }
}

/* D15: the broker has heard of the first that they were in hand, and of the rest
 * as a rule not; who is away waits until that makes no difference. */
static void test_durable_away_for_long_gives_back_what_waits(void **state)
{
    struct fixture *f = *state;
    int64_t begin_ms = td_proc_now_ms();

    join(f, WAIT_MS);
    broker_deliver(f->broker, FIRST);
    while (broker_heard(f->broker, FIRST).progress == 0)
        poll(NULL, 0, 1);
    broker_deliver(f->broker, EVENTS - FIRST);
    wait_until(f, 0);
    lose_link(f);
    wait_until(f, EVENTS - 1); /* all but what is being handled */
    assert_true(td_proc_now_ms() - begin_ms >= WAIT_MS + WAIT_MS / 3);
    restore_link(f);
    f->hold = false;
    check_settled(f, TD_RELEASE);
}

static void test_durable_away_for_a_moment_keeps_what_waits(void **state)
{
    struct fixture *f = *state;

    join(f, DEADLINE_MS);
    broker_deliver(f->broker, EVENTS);
    wait_until(f, 0);
    lose_link(f);
    restore_link(f);
    f->hold = false;
    check_settled(f, TD_ACK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_durable_away_for_long_gives_back_what_waits),
        TEST(test_durable_away_for_a_moment_keeps_what_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
