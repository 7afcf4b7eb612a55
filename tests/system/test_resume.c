/* Links cut in the middle of full-speed delivery: who is back within the
 * grace time finds everything as it was, who is not is told (PROTOCOL.md 3;
 * FAULTS N04, N05). */
#include "tests/system/system.h"

#include <inttypes.h>
#include <stdlib.h>

#include "tests/support/chaosproxy.h"
#include "tests/system/ledger.h"
#include "tests/system/python.h"

#define LINKS    4       /* subscribers, each behind a proxy of its own */
#define QUEUE    1048576 /* events: what comes while one is away */
#define SOME     2000    /* events between two cuts */
#define CUT_PAST 20000   /* bytes of the next connection, when it is cut too */
#define LOAD     "rate=50000"
#define GRACE    "1"
#define SLOW     (SYS_SANITIZED ? 4 : 1)

struct fixture {
    struct td_daemon broker;
    struct td_chaos *to_publisher;
    struct td_chaos *to[LINKS];
    struct td_proc publisher;
    struct td_proc member;
    struct td_proc forger;
    struct sys_peer peers[LINKS]; /* behind proxies */
    struct sys_peer witness;      /* not */
    unsigned random;
};

static int setup(void **state)
{
    *state = calloc(1, sizeof(struct fixture));
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    td_proc_end(&f->forger);
    td_proc_end(&f->publisher);
    td_proc_end(&f->member);
    for (int i = 0; i < LINKS; i++)
        sys_peer_close(&f->peers[i]);
    sys_peer_close(&f->witness);
    td_chaos_stop(f->to_publisher);
    for (int i = 0; i < LINKS; i++)
        td_chaos_stop(f->to[i]);
    td_daemon_end(&f->broker);
    free(f);
    return 0;
}

static void start(struct fixture *f, const char *const *extra, int links)
{
    struct tidings_sub_options options = {.queue_events = QUEUE};

    f->random = 20261;
    sys_broker_start(&f->broker, extra);
    sys_peer_open(&f->witness, f->broker.endpoint[0], "witness");
    f->to_publisher = td_chaos_start(f->broker.endpoint[0]);
    assert_non_null(f->to_publisher);
    for (int i = 0; i < links; i++) {
        f->to[i] = td_chaos_start(f->broker.endpoint[0]);
        assert_non_null(f->to[i]);
        sys_peer_open(&f->peers[i], td_chaos_url(f->to[i]), "cut-off");
        assert_ok(tidings_subscribe(NULL, f->peers[i].bus, "load.>",
                                    watch_on_event, &f->peers[i].watch,
                                    &options));
    }
}

static void expect_events(struct sys_peer *p, uint64_t more)
{
    uint64_t events = watch_now(&p->watch).events + more;

    assert_true(watch_until_events(&p->watch, events, SYS_WAIT_MS));
}

static void start_load(struct fixture *f, const char *pace)
{
    const char *load[] = {pace, NULL};

    sys_worker(&f->publisher, td_chaos_url(f->to_publisher), "pub", "load.x",
               load);
    expect_events(&f->peers[0], SOME);
}

/* The publisher's events are all taken, once; how many. */
static uint64_t stop_load(struct fixture *f)
{
    return sys_publisher_stop(&f->publisher).published;
}

static bool has_all(const struct watch *w, void *arg)
{
    return w->producers_len == 1 && w->producers[0].last == *(uint64_t *)arg;
}

/* Every one of them came, once, in order, and nobody was told otherwise. */
static void check_whole(struct sys_peer *p, uint64_t published)
{
    struct watch seen;

    assert_true(
        watch_until(&p->watch, has_all, &published, SYS_WAIT_MS * SLOW));
    seen = watch_now(&p->watch);
    assert_int_equal(seen.missed, 0);
    assert_int_equal(seen.new_session, 0);
    assert_int_equal(seen.new_epoch, 0);
    assert_int_equal(seen.producers[0].first, 1);
    assert_int_equal(seen.events, published);
    assert_int_equal(seen.again, 0);
    assert_int_equal(seen.backwards, 0);
    assert_int_equal(seen.wrong, 0);
    assert_int_equal(seen.bad_events, 0);
}

static unsigned any(struct fixture *f, unsigned below)
{
    f->random = f->random * 1103515245u + 12345u;
    return (f->random >> 8) % below;
}

/* All links at once, in the middle of what they carry; and again when the
 * next one has carried some bytes, in the greeting or in what is sent anew. */
static void cut(struct fixture *f, bool twice)
{
    td_chaos_cut(f->to_publisher);
    for (int i = 0; i < LINKS; i++) {
        struct td_chaos_rules rules = {.cut_down = 1 + any(f, CUT_PAST)};

        if (i % 2) {
            rules.cut_up = 1 + any(f, 200);
            rules.cut_down = 0;
        }
        td_chaos_cut(f->to[i]);
        if (twice)
            td_chaos_rules(f->to[i], &rules);
    }
}

/* Cut off under load, and back each time; what a delay before trying again
 * doubles to bounds how often. */
static void survive(struct fixture *f, const char *pace, int times)
{
    const char *grouped[] = {"group=g", "queue_events=1048576", NULL};
    struct ledger_row row;
    uint64_t published;
    uint64_t links = 0;

    start(f, NULL, LINKS);
    sys_worker(&f->member, td_chaos_url(f->to[0]), "sub", "load.>", grouped);
    start_load(f, pace);
    for (int n = 0; n < times; n++) {
        uint64_t downs[LINKS];

        for (int i = 0; i < LINKS; i++)
            downs[i] = watch_now(&f->peers[i].watch).down;
        cut(f, n % 2);
        for (int i = 0; i < LINKS; i++)
            assert_true(watch_until_down(&f->peers[i].watch, downs[i] + 1,
                                         SYS_WAIT_MS));
        for (int i = 0; i < LINKS; i++)
            expect_events(&f->peers[i], SOME);
    }
    published = stop_load(f);
    for (int i = 0; i < LINKS; i++) {
        check_whole(&f->peers[i], published);
        links += watch_now(&f->peers[i].watch).up;
    }
    row = ledger_group_done(f->witness.bus, "load.>", "g", published);
    assert_int_equal(row.delivered, published); /* none was sent, and lost */
    assert_int_equal(sys_worker_info(&f->member).events, published);
    assert_int_equal(sys_worker_info(&f->member).backwards, 0);
    assert_true(sys_worker_info(&f->publisher).connects > 1);
    assert_true(links >= (uint64_t)LINKS * (uint64_t)(times + 1));
    print_message("%" PRIu64 " events to %d subscribers over %" PRIu64
                  " links\n",
                  published, LINKS, links);
    ledger_rest(f->witness.bus);
    ledger_check(f->witness.bus);
}

static void test_resume_misses_nothing_when_cut_again_and_again(void **state)
{
    survive(*state, LOAD, 5);
}

/* Not more than queues hold, so that nothing is lost but what resuming loses. */
static void test_resume_misses_nothing_at_full_speed(void **state)
{
    survive(*state, "count=1000000", 1);
}

/* ---- away for too long ---- */

static bool is_lost(const struct sys_counters *c, const void *arg)
{
    (void)arg;
    return c->session_lost > 0;
}

static bool is_renewed(const struct watch *w, void *arg)
{
    return w->new_session == 1 && w->events > *(uint64_t *)arg;
}

static void test_resume_after_the_grace_time_is_a_new_session(void **state)
{
    const char *grace[] = {"--grace", GRACE, NULL};
    struct fixture *f = *state;
    struct sys_counters counters;
    struct watch seen;
    uint64_t before;

    start(f, grace, 1);
    start_load(f, "rate=5000");
    td_chaos_rules(f->to[0], &(struct td_chaos_rules){.refuse = true});
    td_chaos_cut(f->to[0]);
    assert_true(watch_until_down(&f->peers[0].watch, 1, SYS_WAIT_MS));
    before = watch_now(&f->peers[0].watch).events;
    counters = sys_counters_until(f->witness.bus, is_lost, NULL, SYS_WAIT_MS);
    assert_int_equal(counters.dropped, counters.session_lost);
    assert_int_equal(watch_now(&f->peers[0].watch).new_session, 0);

    td_chaos_rules(f->to[0], &(struct td_chaos_rules){0});
    assert_true(
        watch_until(&f->peers[0].watch, is_renewed, &before, SYS_WAIT_MS));
    stop_load(f);
    seen = watch_now(&f->peers[0].watch);
    assert_int_equal(seen.new_epoch, 0);
    assert_int_equal(seen.again, 0);
    assert_int_equal(seen.holes, seen.missed);
    ledger_rest(f->witness.bus);
    ledger_check(f->witness.bus);
}

/* ---- forged ---- */

/* A stranger that says what a session would say, but for its token. */
static void forge(struct fixture *f, const char *producer, const char *answer,
                  const char *value)
{
    const char *args[] = {f->broker.endpoint[0], "forge", producer, "1", NULL};

    python_start(&f->forger, "foreign_client.py", args);
    assert_string_equal(sys_expect(&f->forger, answer), value);
    assert_true(td_proc_wait(&f->forger, SYS_WAIT_MS));
    assert_int_equal(td_proc_exit_code(&f->forger), 0);
    td_proc_end(&f->forger);
}

/* The producer is in the id of every event: no secret, and no key. */
static void test_resume_with_a_forged_token_is_refused(void **state)
{
    struct fixture *f = *state;
    struct watch seen;
    char exists[8];

    if (!python_is_there())
        skip();
    start(f, NULL, 1);
    sys_round_trip(&f->peers[0], &f->peers[0], "load.own", 1);
    forge(f, "-", "resumed ", "False"); /* one of its own */
    sys_round_trip(&f->peers[0], &f->peers[0], "load.own", 2);
    assert_int_equal(watch_now(&f->peers[0].watch).down, 0);

    /* With that of another it is turned away, and the other notices nothing. */
    snprintf(exists, sizeof(exists), "%d", TIDINGS_EEXIST);
    forge(f, watch_now(&f->peers[0].watch).producers[0].name, "refused ",
          exists);
    sys_round_trip(&f->peers[0], &f->peers[0], "load.own", 3);
    seen = watch_now(&f->peers[0].watch);
    assert_int_equal(seen.down, 0);
    assert_int_equal(seen.new_session, 0);
    assert_int_equal(seen.again, 0);
    assert_int_equal(sys_counters(f->witness.bus).duplicates, 0);
    ledger_rest(f->witness.bus);
    ledger_check(f->witness.bus);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_resume_misses_nothing_when_cut_again_and_again),
        TEST(test_resume_misses_nothing_at_full_speed),
        TEST(test_resume_after_the_grace_time_is_a_new_session),
        TEST(test_resume_with_a_forged_token_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
