/* Groups over processes: how work is shared (PROTOCOL.md 6). What a member that
 * dies, stands still or leaves costs the others is in test_members.c. */
#include "tests/system/system.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "tests/support/chaosproxy.h"
#include "tests/system/ledger.h"

#define MEMBERS    3
#define FEW        12
#define MANY       12000
#define KEYS       12
#define EACH_KEY   10 /* events of each */
#define QUICK_RATE "rate=4000"

struct fixture {
    struct td_daemon broker;
    struct td_proc members[MEMBERS];
    struct td_proc other;
    struct td_proc publisher;
    struct sys_peer peer;
    struct sys_peer inside[2];
    struct td_chaos *chaos;
};

static int setup(void **state)
{
    *state = calloc(1, sizeof(struct fixture));
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    td_proc_end(&f->publisher);
    td_proc_end(&f->other);
    for (int i = 0; i < MEMBERS; i++)
        td_proc_end(&f->members[i]);
    for (int i = 0; i < 2; i++)
        sys_peer_close(&f->inside[i]);
    sys_peer_close(&f->peer);
    td_chaos_stop(f->chaos);
    td_daemon_end(&f->broker);
    free(f);
    return 0;
}

static void start(struct fixture *f, const char *const *extra)
{
    sys_broker_start(&f->broker, extra);
    sys_peer_open(&f->peer, f->broker.endpoint[0], "watcher");
}

/* Members of one group, each a process. */
static void join(struct fixture *f, int members, const char *policy,
                 const char *option)
{
    const char *args[] = {"group=g", policy, option, NULL};

    for (int i = 0; i < members; i++)
        sys_worker(&f->members[i], f->broker.endpoint[0], "sub", "work.>",
                   args);
}

static void publish(struct fixture *f, uint64_t first, uint64_t last)
{
    for (uint64_t n = first; n <= last; n++)
        sys_publish(&f->peer, "work.x", n);
    assert_ok(tidings_flush(f->peer.bus, SYS_WAIT_MS));
}

/* What the members saw, at least and at most. */
static void expect_shares(struct fixture *f, uint64_t least, uint64_t most)
{
    for (int i = 0; i < MEMBERS; i++) {
        struct sys_info info = sys_worker_info(&f->members[i]);

        if (info.events < least || info.events > most)
            fail_msg("member %d saw %" PRIu64 ", not %" PRIu64 " to %" PRIu64,
                     i, info.events, least, most);
        assert_int_equal(info.wrong, 0);
        assert_int_equal(info.backwards, 0);
    }
}

/* Published while there is no link, so that all go at once. */
static void publish_as_one_batch(struct fixture *f)
{
    struct sys_peer *p = &f->inside[0];
    struct tidings_options options = {.name = "at-once",
                                      .on_status = watch_on_status,
                                      .on_status_arg = &p->watch};

    f->chaos = td_chaos_start(f->broker.endpoint[0]);
    assert_non_null(f->chaos);
    td_chaos_rules(f->chaos, &(struct td_chaos_rules){.refuse = true});
    watch_init(&p->watch);
    assert_ok(tidings_open(&p->bus, td_chaos_url(f->chaos), &options));
    for (uint64_t n = 1; n <= FEW; n++)
        sys_publish(p, "work.x", n);
    td_chaos_rules(f->chaos, &(struct td_chaos_rules){0});
    assert_ok(tidings_flush(p->bus, SYS_WAIT_MS));
}

static void test_group_shares_exactly_and_others_get_their_copy(void **state)
{
    const char *other[] = {"group=h", NULL};
    struct fixture *f = *state;
    struct ledger_row row;

    start(f, NULL);
    join(f, MEMBERS, "group_policy=round_robin", NULL);
    sys_worker(&f->other, f->broker.endpoint[0], "sub", "work.>", other);
    sys_peer_subscribe(&f->peer, "work.*");

    publish_as_one_batch(f);
    ledger_group_done(f->peer.bus, "work.>", "g", FEW);
    expect_shares(f, FEW / MEMBERS, FEW / MEMBERS);

    publish(f, 1, MANY + 1);
    row = ledger_group_done(f->peer.bus, "work.>", "g", FEW + MANY + 1);
    assert_int_equal(row.members, MEMBERS);
    assert_int_equal(row.dropped, 0);
    expect_shares(f, (FEW + MANY) / MEMBERS, (FEW + MANY) / MEMBERS + 1);

    row = ledger_group_done(f->peer.bus, "work.>", "h", FEW + MANY + 1);
    assert_int_equal(row.delivered, FEW + MANY + 1);
    assert_int_equal(sys_worker_info(&f->other).events, FEW + MANY + 1);
    assert_true(
        watch_until_events(&f->peer.watch, FEW + MANY + 1, SYS_WAIT_MS));
    assert_int_equal(watch_now(&f->peer.watch).holes, 0);
}

/* ---- by key ---- */

/* While no member has done anything, each holds every key it was given. */
static void test_group_by_key_gives_a_key_to_one_process(void **state)
{
    const char *keyed[] = {"keys=12", "count=120", NULL};
    struct fixture *f = *state;
    uint64_t all = 0;

    start(f, NULL);
    join(f, MEMBERS, "group_policy=key", NULL);
    for (int i = 0; i < MEMBERS; i++)
        assert_true(td_proc_freeze(&f->members[i], SYS_WAIT_MS));
    sys_worker(&f->publisher, f->broker.endpoint[0], "pub", "work.x", keyed);
    while (ledger_group(f->peer.bus, "work.>", "g").matched < KEYS * EACH_KEY)
        ;
    for (int i = 0; i < MEMBERS; i++)
        assert_true(td_proc_signal(&f->members[i], SIGCONT));
    ledger_group_done(f->peer.bus, "work.>", "g", KEYS * EACH_KEY);

    for (int i = 0; i < MEMBERS; i++) {
        struct sys_info info = sys_worker_info(&f->members[i]);
        uint64_t keys = 0;

        for (uint64_t bits = info.keys; bits; bits &= bits - 1)
            keys++;
        assert_int_equal(info.events, keys * EACH_KEY);
        assert_int_equal(info.backwards, 0);
        assert_true(keys > 0); /* they were spread */
        assert_int_equal(all & info.keys, 0);
        all |= info.keys;
    }
    assert_int_equal(all, (UINT64_C(1) << KEYS) - 1);
}

/* Each key's latest number, whoever handles it. */
struct keys {
    pthread_mutex_t mutex;
    uint64_t last[KEYS];
    uint64_t backwards;
    uint64_t events;
};

static tidings_err on_keyed(void *arg, const struct tidings_event *event)
{
    struct keys *k = arg;
    const char *key = tidings_event_attr(event, "partitionkey");
    uint64_t number = 0;
    unsigned i;

    if (!key || event->data_len != sizeof(number))
        return TIDINGS_EHANDLER;
    i = (unsigned)strtoul(key + 1, NULL, 10) % KEYS;
    memcpy(&number, event->data, sizeof(number));
    pthread_mutex_lock(&k->mutex);
    k->backwards += number <= k->last[i];
    k->last[i] = number;
    k->events++;
    pthread_mutex_unlock(&k->mutex);
    return TIDINGS_OK;
}

static void test_group_by_key_keeps_the_order_of_each_key(void **state)
{
    static const char *const keyed[] = {"keys=12", "count=60000", NULL};
    struct tidings_sub_options options = {.group = "g",
                                          .group_policy = TIDINGS_BY_KEY};
    struct keys keys = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    struct fixture *f = *state;

    start(f, NULL);
    for (int i = 0; i < 2; i++) {
        sys_peer_open(&f->inside[i], f->broker.endpoint[0], "keyed");
        assert_ok(tidings_subscribe(NULL, f->inside[i].bus, "work.>", on_keyed,
                                    &keys, &options));
    }
    sys_worker(&f->publisher, f->broker.endpoint[0], "pub", "work.x", keyed);
    ledger_group_done(f->peer.bus, "work.>", "g", 60000);
    for (int i = 0; i < 2; i++)
        sys_peer_close(&f->inside[i]);
    assert_int_equal(keys.events, 60000);
    assert_int_equal(keys.backwards, 0);
}

/* ---- least_pending ---- */

static void test_group_of_least_pending_prefers_the_quick(void **state)
{
    const char *quick[] = {"group=g", "group_policy=least_pending", NULL};
    const char *slow[] = {"group=g", "group_policy=least_pending",
                          "delay_us=2000", NULL};
    const char *load[] = {QUICK_RATE, "count=6000", NULL};
    struct fixture *f = *state;
    uint64_t events[2];

    start(f, NULL);
    sys_worker(&f->members[0], f->broker.endpoint[0], "sub", "work.>", quick);
    sys_worker(&f->members[1], f->broker.endpoint[0], "sub", "work.>", slow);
    sys_worker(&f->publisher, f->broker.endpoint[0], "pub", "work.x", load);
    ledger_group_done(f->peer.bus, "work.>", "g", 6000);
    for (int i = 0; i < 2; i++)
        events[i] = sys_worker_info(&f->members[i]).events;
    print_message("the quick one had %" PRIu64 ", the slow one %" PRIu64 "\n",
                  events[0], events[1]);
    assert_int_equal(events[0] + events[1], 6000);
    assert_true(events[0] > 2 * events[1]);
    assert_true(events[1] > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_group_shares_exactly_and_others_get_their_copy),
        TEST(test_group_by_key_gives_a_key_to_one_process),
        TEST(test_group_by_key_keeps_the_order_of_each_key),
        TEST(test_group_of_least_pending_prefers_the_quick),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
