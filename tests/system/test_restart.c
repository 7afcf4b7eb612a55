/* The broker goes away and comes back: killed under load, not there at all,
 * or another service in its place (FAULTS C01 for live events, N09). */
#include "tests/system/system.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define PUBLISHERS  2
#define SOME_EVENTS 20000

struct fixture {
    struct td_daemon broker;
    struct td_proc publishers[PUBLISHERS];
    struct sys_peer peer;
    int listener; /* -1: none */
    int mute;     /* a connection that says nothing; -1: none */
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (!f)
        return -1;
    f->listener = f->mute = -1;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < PUBLISHERS; i++)
        td_proc_end(&f->publishers[i]);
    sys_peer_close(&f->peer);
    td_daemon_end(&f->broker);
    if (f->listener >= 0)
        close(f->listener);
    if (f->mute >= 0)
        close(f->mute);
    free(f);
    return 0;
}

/* ---- killed under load ---- */

static bool flows(const struct watch *w, void *arg)
{
    const uint64_t *events = arg;

    for (size_t i = 0; i < w->producers_len; i++) {
        if (w->producers[i].fresh)
            return false;
    }
    return w->producers_len == PUBLISHERS && w->events >= *events;
}

/* Wait for more events, with some of each publisher since the broker was
 * last another. */
static void expect_flow(struct fixture *f)
{
    uint64_t events = watch_now(&f->peer.watch).events + SOME_EVENTS;

    assert_true(watch_until(&f->peer.watch, flows, &events, SYS_WAIT_MS));
}

static void start_load(struct fixture *f)
{
    static const char *const types[PUBLISHERS] = {"load.a", "load.b"};

    sys_broker_start(&f->broker, NULL);
    sys_peer_open(&f->peer, f->broker.endpoint[0], "watcher");
    sys_peer_subscribe(&f->peer, "load.>");
    for (size_t i = 0; i < PUBLISHERS; i++)
        sys_worker(&f->publishers[i], f->broker.endpoint[0], "pub", types[i],
                   NULL);
    expect_flow(f);
}

/* How many events each publisher knew to be taken when its link broke. */
static void kill_broker(struct fixture *f, uint64_t taken[PUBLISHERS])
{
    uint64_t downs = watch_now(&f->peer.watch).down;

    sys_kill(&f->broker.proc);
    assert_true(watch_until_down(&f->peer.watch, downs + 1, SYS_WAIT_MS));
    for (size_t i = 0; i < PUBLISHERS; i++)
        taken[i] =
            sys_field(sys_expect(&f->publishers[i], "status down"), "taken");
}

static void expect_back(struct fixture *f, uint64_t ups)
{
    assert_true(watch_until_up(&f->peer.watch, ups, SYS_WAIT_MS));
    for (size_t i = 0; i < PUBLISHERS; i++)
        sys_expect(&f->publishers[i], "status new_epoch");
}

/* The order on each living link is whole: no repetition, and no hole but
 * those that were told. */
static void check_order(struct fixture *f)
{
    struct watch seen = watch_now(&f->peer.watch);

    assert_int_equal(seen.producers_len, PUBLISHERS);
    assert_int_equal(seen.wrong, 0);
    assert_int_equal(seen.backwards, 0);
    assert_int_equal(seen.holes, seen.missed);
    assert_int_equal(seen.bad_events, 0);
}

static bool subscribed(const struct sys_counters *c, const void *arg)
{
    (void)c;
    return sys_row(*(tidings_bus *const *)arg, "load.>").rows == 1;
}

/* Publishers stop, and have had everything taken. Gives each one's total. */
static void stop_load(struct fixture *f, uint64_t total[PUBLISHERS])
{
    for (size_t i = 0; i < PUBLISHERS; i++)
        assert_true(td_proc_say(&f->publishers[i], "stop"));
    for (size_t i = 0; i < PUBLISHERS; i++) {
        struct sys_info info;

        assert_string_equal(sys_expect(&f->publishers[i], "stopped flush="),
                            "OK");
        info = sys_worker_info(&f->publishers[i]);
        assert_int_equal(info.published, info.packed);
        assert_int_equal(info.taken, info.published);
        assert_int_equal(info.unconfirmed, 0);
        assert_int_equal(info.connects, 3);
        total[i] = info.published;
    }
}

static bool all_seen(const struct watch *w, void *arg)
{
    const uint64_t *total = arg;
    uint64_t sum = 0;
    uint64_t want = 0;

    for (size_t i = 0; i < w->producers_len; i++)
        sum += w->producers[i].last;
    for (size_t i = 0; i < PUBLISHERS; i++)
        want += total[i];
    return sum == want;
}

/* This epoch begins with what the publisher still held: k + 1 for one of the
 * publishers that had k taken, or with the first of those that the last broker
 * had not delivered all the same. */
static void check_nothing_held_was_lost(struct fixture *f,
                                        const struct watch *before,
                                        const uint64_t taken[PUBLISHERS],
                                        const uint64_t total[PUBLISHERS])
{
    struct watch seen = watch_now(&f->peer.watch);

    for (size_t i = 0; i < PUBLISHERS; i++) {
        size_t same = 0;

        for (size_t k = 0; k < PUBLISHERS; k++) {
            uint64_t had = before->producers[k].highest;

            if (had < taken[i])
                had = taken[i];
            same += seen.producers[k].first == had + 1 &&
                    seen.producers[k].last == total[i];
        }
        if (same != 1)
            fail_msg("publisher %zu had %" PRIu64 " of %" PRIu64 " taken; "
                     "seen from %" PRIu64 " to %" PRIu64 ", and from %" PRIu64
                     " to %" PRIu64,
                     i, taken[i], total[i], seen.producers[0].first,
                     seen.producers[0].last, seen.producers[1].first,
                     seen.producers[1].last);
    }
}

static void test_restart_under_load_loses_nothing_that_is_held(void **state)
{
    struct fixture *f = *state;
    uint64_t taken[PUBLISHERS];
    uint64_t total[PUBLISHERS];
    struct sys_counters counters;
    struct watch before;

    /* Killed and back at once: everybody runs on. */
    start_load(f);
    kill_broker(f, taken);
    sys_broker_restart(&f->broker, NULL);
    expect_back(f, 2);
    expect_flow(f);
    check_order(f);

    /* Killed again; publishers hold still until the subscriber is back, so
     * that it must see everything they hold. */
    kill_broker(f, taken);
    before = watch_now(&f->peer.watch);
    for (size_t i = 0; i < PUBLISHERS; i++)
        assert_true(td_proc_freeze(&f->publishers[i], SYS_WAIT_MS));
    sys_broker_restart(&f->broker, NULL);
    assert_true(watch_until_up(&f->peer.watch, 3, SYS_WAIT_MS));
    sys_counters_until(f->peer.bus, subscribed, &f->peer.bus, SYS_WAIT_MS);
    for (size_t i = 0; i < PUBLISHERS; i++)
        assert_true(td_proc_signal(&f->publishers[i], SIGCONT));
    expect_back(f, 3);
    expect_flow(f);

    stop_load(f, total);
    assert_true(watch_until(&f->peer.watch, all_seen, total, SYS_WAIT_MS));
    check_order(f);
    check_nothing_held_was_lost(f, &before, taken, total);
    assert_int_equal(watch_now(&f->peer.watch).new_epoch, 2);
    counters = sys_counters(f->peer.bus);
    assert_int_equal(counters.duplicates, 0);
    assert_int_equal(counters.unmatched, 0);
    assert_int_equal(counters.published,
                     total[0] - taken[0] + total[1] - taken[1]);
}

/* Wait until it has published more than the broker took, by at least n. */
static void expect_unconfirmed(struct td_proc *publisher, uint64_t n)
{
    int64_t deadline_ms = td_proc_now_ms() + SYS_WAIT_MS;

    while (sys_worker_info(publisher).unconfirmed < n) {
        assert_true(td_proc_now_ms() < deadline_ms);
        poll(NULL, 0, 5);
    }
}

/* Killed with events in its socket that it had not read. */
static void test_restart_has_what_was_not_taken_sent_again(void **state)
{
    static const char *const rate[] = {"rate=20000", NULL};
    struct fixture *f = *state;
    struct td_proc *publisher = &f->publishers[0];
    struct sys_info info;
    uint64_t taken;

    sys_broker_start(&f->broker, NULL);
    sys_worker(publisher, f->broker.endpoint[0], "pub", "load.a", rate);
    assert_true(td_proc_freeze(&f->broker.proc, SYS_WAIT_MS));
    expect_unconfirmed(publisher, 1000);
    sys_kill(&f->broker.proc);
    taken = sys_field(sys_expect(publisher, "status down"), "taken");
    sys_broker_restart(&f->broker, NULL);
    sys_expect(publisher, "status new_epoch");

    assert_true(td_proc_say(publisher, "stop"));
    assert_string_equal(sys_expect(publisher, "stopped flush="), "OK");
    info = sys_worker_info(publisher);
    assert_true(info.resent > 0);
    assert_int_equal(info.taken, info.published);
    assert_int_equal(info.unconfirmed, 0);
    sys_peer_open(&f->peer, f->broker.endpoint[0], "");
    assert_int_equal(sys_counters(f->peer.bus).published,
                     info.published - taken);
}

/* ---- nobody, or somebody else, on the port: N09 ---- */

/* Listen on a free port of our own and write its URL. */
static void listen_somewhere(struct fixture *f, char *url, size_t size)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof(at);
    int yes = 1;

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    f->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(f->listener >= 0);
    setsockopt(f->listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    assert_int_equal(bind(f->listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(f->listener, 16), 0);
    assert_int_equal(getsockname(f->listener, (struct sockaddr *)&at, &len), 0);
    snprintf(url, size, "tcp://127.0.0.1:%d", ntohs(at.sin_port));
}

static void listen_no_more(struct fixture *f)
{
    close(f->listener);
    f->listener = -1;
}

static void open_towards(struct fixture *f, const char *url)
{
    struct tidings_options options = {
        .on_status = watch_on_status,
        .on_status_arg = &f->peer.watch,
    };

    watch_init(&f->peer.watch);
    assert_ok(tidings_open(&f->peer.bus, url, &options));
}

static void expect_unreachable(struct fixture *f, const char *url)
{
    int64_t start_ms = td_proc_now_ms();

    assert_err(tidings_wait(f->peer.bus, 500), TIDINGS_EUNREACH);
    assert_non_null(strstr(tidings_detail(), url));
    assert_true(td_proc_now_ms() - start_ms >= 490);
    assert_true(td_proc_now_ms() - start_ms < 5000);
}

/* A broker appears at url: what was published before is taken. */
static void expect_recovery(struct fixture *f, const char *url)
{
    snprintf(f->broker.endpoint[0], sizeof(f->broker.endpoint[0]), "%s", url);
    sys_broker_restart(&f->broker, NULL);
    assert_ok(tidings_wait(f->peer.bus, SYS_WAIT_MS));
    assert_ok(tidings_flush(f->peer.bus, SYS_WAIT_MS));
    sys_peer_subscribe(&f->peer, "found.>");
    sys_round_trip(&f->peer, &f->peer, "found.it", 2);
}

static void test_wait_names_the_url_when_there_is_no_broker(void **state)
{
    struct fixture *f = *state;
    char url[64];

    listen_somewhere(f, url, sizeof(url)); /* a port that nobody else takes */
    listen_no_more(f);
    open_towards(f, url);
    expect_unreachable(f, url);
    sys_publish(&f->peer, "found.early", 1);
    assert_err(tidings_flush(f->peer.bus, 100), TIDINGS_ETIMEDOUT);

    expect_recovery(f, url);
}

static int accept_one(struct fixture *f)
{
    struct pollfd ready = {.fd = f->listener, .events = POLLIN};
    int fd;

    assert_int_equal(poll(&ready, 1, SYS_WAIT_MS), 1);
    fd = accept(f->listener, NULL, NULL);
    assert_true(fd >= 0);
    return fd;
}

/* Say it to the next who connect. */
static void answer_with(struct fixture *f, const char *text, int times)
{
    while (times-- > 0) {
        int fd = accept_one(f);

        send(fd, text, strlen(text), MSG_NOSIGNAL);
        close(fd);
    }
}

static void test_wait_recovers_from_another_service_on_the_port(void **state)
{
    struct fixture *f = *state;
    char url[64];

    listen_somewhere(f, url, sizeof(url));
    open_towards(f, url);
    sys_publish(&f->peer, "found.early", 1);
    answer_with(f, "220 mail.example.com ESMTP\r\n", 2); /* it tries again */
    answer_with(f, "HTTP/1.1 400 Bad Request\r\n\r\n", 1);
    expect_unreachable(f, url);

    listen_no_more(f);
    expect_recovery(f, url);
}

static void test_wait_recovers_from_a_mute_service_on_the_port(void **state)
{
    struct fixture *f = *state;
    char url[64];

    listen_somewhere(f, url, sizeof(url));
    open_towards(f, url);
    sys_publish(&f->peer, "found.early", 1);
    f->mute = accept_one(f); /* and stays connected to the end */
    expect_unreachable(f, url);

    listen_no_more(f);
    expect_recovery(f, url);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_restart_under_load_loses_nothing_that_is_held),
        TEST(test_restart_has_what_was_not_taken_sent_again),
        TEST(test_wait_names_the_url_when_there_is_no_broker),
        TEST(test_wait_recovers_from_another_service_on_the_port),
        TEST(test_wait_recovers_from_a_mute_service_on_the_port),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
