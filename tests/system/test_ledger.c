/* The broker's books after everything that can happen to an event has
 * happened (PROTOCOL.md 7). */
#include "tests/system/system.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/support/chaosproxy.h"
#include "tests/system/ledger.h"

#define MANY      260 /* more than a page of STATS has rows */
#define UNMATCHED 30
#define LEFT      500 /* events, queued when their subscription ends */
#define SOME      5000
#define LOAD      "rate=50000"
#define CUTS      3

struct fixture {
    struct td_daemon broker;
    struct td_chaos *chaos;
    struct td_proc publisher;
    struct td_proc oldest, newest;
    struct td_proc members[2];
    struct td_proc audit;
    struct sys_peer many;
    struct sys_peer cut_off;
    struct sys_peer watcher;
    tidings_bus *idle;
};

static int setup(void **state)
{
    static const char *const grace[] = {"--grace", "3", NULL};
    struct fixture *f = calloc(1, sizeof(*f));

    if (!f)
        return -1;
    *state = f;
    sys_broker_start(&f->broker, grace);
    sys_peer_open(&f->watcher, f->broker.endpoint[0], "watcher");
    f->chaos = td_chaos_start(f->broker.endpoint[0]);
    return f->chaos ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    struct td_proc *procs[] = {&f->publisher,  &f->oldest,     &f->newest,
                               &f->members[0], &f->members[1], &f->audit};

    for (size_t i = 0; i < TD_ARRAY_LEN(procs); i++)
        td_proc_end(procs[i]);
    tidings_close(f->idle);
    sys_peer_close(&f->many);
    sys_peer_close(&f->cut_off);
    sys_peer_close(&f->watcher);
    td_chaos_stop(f->chaos);
    td_daemon_end(&f->broker);
    free(f);
    return 0;
}

static void name(char out[64], const char *kind, int i)
{
    snprintf(out, 64, "%s.n%d", kind, i);
}

/* Rows of each kind for more than one page. */
static void fill_pages(struct fixture *f)
{
    const struct tidings_sub_options grouped = {.group = "g"};
    struct sys_peer *p = &f->many;
    char type[64];
    uint64_t n = 0;

    sys_peer_open(p, f->broker.endpoint[0], "many");
    for (int i = 0; i < MANY; i++) {
        name(type, "plain", i);
        sys_peer_subscribe(p, type);
        name(type, "grouped", i);
        assert_ok(tidings_subscribe(NULL, p->bus, type, watch_on_event,
                                    &p->watch, &grouped));
    }
    for (int i = 0; i < MANY; i++) {
        name(type, "plain", i);
        sys_publish(p, type, ++n);
        name(type, "grouped", i);
        sys_publish(p, type, ++n);
    }
    for (int i = 0; i < UNMATCHED; i++) {
        name(type, "nobody", i);
        sys_publish(p, type, ++n);
    }
    assert_ok(tidings_flush(p->bus, SYS_WAIT_MS));
    assert_true(watch_until_events(&p->watch, 2 * MANY, SYS_WAIT_MS));
}

/* A subscription that ends with events in its queue. */
static void leave_some_behind(struct fixture *f)
{
    struct tidings_options options = {.name = "idle", .own_loop = true};
    struct tidings_sub_options sub = {.window_events = 10};
    struct watch unused;
    tidings_sub *handle;

    watch_init(&unused);
    assert_ok(tidings_open(&f->idle, f->broker.endpoint[0], &options));
    assert_ok(tidings_subscribe(&handle, f->idle, "left.>", watch_on_event,
                                &unused, &sub));
    for (uint64_t n = 1; n <= LEFT; n++)
        assert_ok(tidings_publish(f->idle, "left.behind", &n, sizeof(n)));
    assert_ok(tidings_flush(f->idle, SYS_WAIT_MS));
    assert_ok(tidings_unsubscribe(handle, SYS_WAIT_MS));
    watch_fini(&unused);
}

static void join_load(struct fixture *f)
{
    const char *oldest[] = {"policy=drop_oldest", "queue_events=1000", NULL};
    const char *newest[] = {"policy=drop_newest", "queue_events=1000", NULL};
    const char *grouped[] = {"group=g", NULL};
    const char *load[] = {LOAD, NULL};
    const char *url = f->broker.endpoint[0];

    sys_worker(&f->oldest, url, "sub", "load.*", oldest);
    sys_worker(&f->newest, url, "sub", "load.x", newest);
    for (int i = 0; i < 2; i++)
        sys_worker(&f->members[i], url, "sub", "load.>", grouped);
    sys_peer_open(&f->cut_off, td_chaos_url(f->chaos), "cut-off");
    sys_peer_subscribe(&f->cut_off, "load.>");
    sys_worker(&f->publisher, td_chaos_url(f->chaos), "pub", "load.x", load);
}

static void expect_more(struct fixture *f)
{
    uint64_t events = watch_now(&f->cut_off.watch).events + SOME;

    assert_true(watch_until_events(&f->cut_off.watch, events, SYS_WAIT_MS));
}

static bool one_is_lost(const struct sys_counters *c, const void *arg)
{
    return c->session_lost > 0 && c->sessions <= *(const uint64_t *)arg;
}

static void rage(struct fixture *f)
{
    uint64_t left;

    join_load(f);
    expect_more(f);
    assert_true(td_proc_freeze(&f->oldest, SYS_WAIT_MS));
    assert_true(td_proc_freeze(&f->newest, SYS_WAIT_MS));
    left = sys_counters(f->watcher.bus).sessions - 1;
    for (int i = 0; i < CUTS; i++) {
        expect_more(f);
        td_chaos_cut(f->chaos);
    }
    sys_kill(&f->members[0]);
    expect_more(f);
    sys_counters_until(f->watcher.bus, one_is_lost, &left, LEDGER_WAIT_MS);
    expect_more(f);
    assert_true(td_proc_signal(&f->oldest, SIGCONT));
    assert_true(td_proc_signal(&f->newest, SIGCONT));
    sys_publisher_stop(&f->publisher);
}

/* The command line's own look at it, where it was built. */
static void expect_audit(struct fixture *f)
{
    const char *argv[] = {"tidings", "audit", "--url", f->broker.endpoint[0],
                          NULL};
    char path[1024];

    if (access(td_proc_path(path, sizeof(path), "tidings"), X_OK) != 0) {
        print_message("no command line in this build: audit is left out\n");
        return;
    }
    assert_true(td_proc_start(&f->audit, argv));
    while (td_proc_line(&f->audit, SYS_WAIT_MS))
        ; /* hundreds of rows */
    assert_true(td_proc_wait(&f->audit, SYS_WAIT_MS));
    if (td_proc_exit_code(&f->audit) != 0)
        fail_msg("tidings audit: %s", td_proc_errors(&f->audit));
}

static void test_ledger_balances_whatever_happened(void **state)
{
    struct fixture *f = *state;
    struct sys_counters counters;
    struct ledger_pages pages;
    struct ledger_row totals;

    fill_pages(f);
    leave_some_behind(f);
    rage(f);

    ledger_rest(f->watcher.bus);
    pages = ledger_check(f->watcher.bus);
    totals = ledger_totals(f->watcher.bus);
    counters = sys_counters(f->watcher.bus);
    print_message(
        "%" PRIu64 " published, %" PRIu64 " of them twice; %" PRIu64
        " matched, dropped: %" PRIu64 " oldest, %" PRIu64 " newest, %" PRIu64
        " slow, %" PRIu64 " with a session, %" PRIu64 " left behind\n",
        counters.published, counters.duplicates, totals.matched, totals.oldest,
        totals.newest, totals.slow, totals.session_lost, totals.unsubscribed);
    assert_true(pages.subscriptions >= 2 * MANY);
    assert_true(pages.groups >= MANY);
    assert_int_equal(pages.types, 2 * MANY + UNMATCHED + 2);
    assert_int_equal(counters.unmatched, UNMATCHED);
    assert_true(totals.oldest > 0);
    assert_true(totals.newest > 0);
    assert_true(totals.session_lost > 0);
    assert_in_range(totals.unsubscribed, 1, LEFT);
    expect_audit(f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_ledger_balances_whatever_happened),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
