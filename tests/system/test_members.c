/* A member of a group that dies, stands still or leaves, and what that costs the
 * others (PROTOCOL.md 6). How work is shared is in test_groups.c. */
#include "tests/system/system.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "tests/system/ledger.h"

#define INSIDE     2 /* members of this process, beside the one outside */
#define WINDOW     500
#define WINDOW_ARG "window_events=500"
#define LOAD_RATE  "rate=20000"
#define ENOUGH     5000 /* events: the load is on */

/* A handler's record of every number, so that a loss or a repetition shows. */
struct tally {
    pthread_mutex_t mutex;
    uint64_t events;
    uint64_t twice;
    uint64_t beyond;
    bool seen[400000];
};

struct fixture {
    struct td_daemon broker;
    struct td_proc outside;
    struct td_proc publisher;
    struct sys_peer peer;
    struct sys_peer inside[INSIDE];
    struct tally tally;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (!f)
        return -1;
    pthread_mutex_init(&f->tally.mutex, NULL);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    td_proc_end(&f->publisher);
    td_proc_end(&f->outside);
    for (int i = 0; i < INSIDE; i++)
        sys_peer_close(&f->inside[i]);
    sys_peer_close(&f->peer);
    td_daemon_end(&f->broker);
    pthread_mutex_destroy(&f->tally.mutex);
    free(f);
    return 0;
}

static void start(struct fixture *f, const char *const *extra)
{
    sys_broker_start(&f->broker, extra);
    sys_peer_open(&f->peer, f->broker.endpoint[0], "watcher");
}

/* The member that is a process. */
static void join(struct fixture *f, const char *policy, const char *option)
{
    const char *args[] = {"group=g", policy, option, NULL};

    sys_worker(&f->outside, f->broker.endpoint[0], "sub", "work.>", args);
}

static void publish(struct fixture *f, uint64_t first, uint64_t last)
{
    for (uint64_t n = first; n <= last; n++)
        sys_publish(&f->peer, "work.x", n);
    assert_ok(tidings_flush(f->peer.bus, SYS_WAIT_MS));
}

/* ---- what the members here have seen ---- */

static tidings_err on_tally(void *arg, const struct tidings_event *event)
{
    struct tally *t = arg;
    uint64_t n = 0;

    if (event->data_len == sizeof(n))
        memcpy(&n, event->data, sizeof(n));
    pthread_mutex_lock(&t->mutex);
    if (n == 0 || n >= TD_ARRAY_LEN(t->seen)) {
        t->beyond++;
    } else {
        t->twice += t->seen[n];
        t->seen[n] = true;
    }
    t->events++;
    pthread_mutex_unlock(&t->mutex);
    return TIDINGS_OK;
}

static uint64_t tallied(struct fixture *f)
{
    uint64_t events;

    pthread_mutex_lock(&f->tally.mutex);
    events = f->tally.events;
    pthread_mutex_unlock(&f->tally.mutex);
    return events;
}

static void expect_no_repeats(struct fixture *f)
{
    uint64_t twice;
    uint64_t beyond;

    pthread_mutex_lock(&f->tally.mutex);
    twice = f->tally.twice;
    beyond = f->tally.beyond;
    pthread_mutex_unlock(&f->tally.mutex);
    assert_int_equal(twice, 0);
    assert_int_equal(beyond, 0);
}

static bool is_tallied(const struct sys_counters *c, const void *arg)
{
    const void *const *pair = arg;

    (void)c;
    return tallied((struct fixture *)pair[0]) >= *(const uint64_t *)pair[1];
}

static void expect_tally(struct fixture *f, uint64_t at_least)
{
    const void *pair[] = {f, &at_least};

    sys_counters_until(f->peer.bus, is_tallied, pair, SYS_WAIT_MS);
}

/* ---- under load ---- */

static void start_load(struct fixture *f, const char *const *extra)
{
    struct tidings_sub_options options = {.group = "g",
                                          .window_events = WINDOW};
    const char *load[] = {LOAD_RATE, NULL};

    start(f, extra);
    join(f, "group_policy=round_robin", WINDOW_ARG);
    for (int i = 0; i < INSIDE; i++) {
        sys_peer_open(&f->inside[i], f->broker.endpoint[0], "inside");
        assert_ok(tidings_subscribe(NULL, f->inside[i].bus, "work.>", on_tally,
                                    &f->tally, &options));
    }
    sys_worker(&f->publisher, f->broker.endpoint[0], "pub", "work.x", load);
    expect_tally(f, ENOUGH);
}

static uint64_t stop_load(struct fixture *f)
{
    return sys_publisher_stop(&f->publisher).published;
}

static void test_group_member_killed_loses_only_what_was_sent_to_it(
    void **state)
{
    const char *grace[] = {"--grace", "1", NULL};
    struct fixture *f = *state;
    struct ledger_row row;
    uint64_t published;

    start_load(f, grace);
    sys_kill(&f->outside);
    expect_tally(f, tallied(f) + ENOUGH); /* the others go on */
    published = stop_load(f);

    row = ledger_group_done(f->peer.bus, "work.>", "g", published);
    print_message("killed under load: %" PRIu64 " lost of %" PRIu64 "\n",
                  row.dropped, published);
    assert_int_equal(row.members, INSIDE);
    assert_true(row.dropped <= WINDOW);
    assert_int_equal(row.session_lost, row.dropped);
    assert_int_equal(row.delivered + row.session_lost, published);
    expect_no_repeats(f);
    assert_true(tallied(f) <= row.delivered); /* the rest was the dead one's */
}

static void test_group_goes_on_while_a_member_stands_still(void **state)
{
    struct fixture *f = *state;
    struct ledger_row row;
    uint64_t published;

    start_load(f, NULL);
    assert_true(td_proc_freeze(&f->outside, SYS_WAIT_MS));
    expect_tally(f, tallied(f) + 4 * ENOUGH);
    published = stop_load(f);
    assert_true(td_proc_signal(&f->outside, SIGCONT));
    row = ledger_group_done(f->peer.bus, "work.>", "g", published);
    assert_int_equal(row.dropped, 0);
    assert_int_equal(row.members, INSIDE + 1);
    expect_no_repeats(f);
    assert_int_equal(tallied(f) + sys_worker_info(&f->outside).events,
                     published);
}

static void test_group_ends_with_its_last_member(void **state)
{
    struct fixture *f = *state;

    start(f, NULL);
    join(f, "group_policy=random", "queue_events=1000");
    publish(f, 1, 10);
    ledger_group_done(f->peer.bus, "work.>", "g", 10);
    td_proc_hang_up(&f->outside);
    assert_string_equal(sys_expect(&f->outside, "closed "), "OK");
    assert_true(td_proc_wait(&f->outside, SYS_WAIT_MS));
    td_proc_end(&f->outside);
    ledger_group_gone(f->peer.bus, "work.>", "g");
    publish(f, 11, 20);
    assert_int_equal(sys_counters(f->peer.bus).unmatched, 10);

    /* Another of that name has its own policies, and none of the old events. */
    join(f, "group_policy=key", "queue_events=2000");
    publish(f, 21, 30);
    assert_int_equal(
        ledger_group_done(f->peer.bus, "work.>", "g", 10).delivered, 10);
    assert_int_equal(sys_worker_info(&f->outside).events, 10);
    ledger_check(f->peer.bus);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_group_member_killed_loses_only_what_was_sent_to_it),
        TEST(test_group_goes_on_while_a_member_stands_still),
        TEST(test_group_ends_with_its_last_member),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
