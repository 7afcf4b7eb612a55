/* Ends (FAULTS R11, R12, R15, R18, G18): a broker among peers that are stuck,
 * signals in great numbers, buses opened and closed again and again, and
 * everything closed in every order. */
#include "tests/system/system.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/support/rawzmtp.h"
#include "tests/system/usage.h"

#define STUCK      100
#define BUSY_MS    150 /* longer than a broker that stops looks for more */
#define LOOPS      1000
#define WARM       200  /* loops after which memory stays */
#define LEAK_KB    1024 /* of all the others together: 1 kB each */
#define STORM_MS   600
#define STORM_LONG 30000 /* R12 */

struct fixture {
    struct td_daemon broker;
    struct sys_peer a;
    struct sys_peer b;
    struct td_raw stuck[STUCK];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (!f)
        return -1;
    for (int i = 0; i < STUCK; i++)
        f->stuck[i].fd = -1;
    *state = f;
    sys_broker_start(&f->broker, NULL);
    return 0;
}

static const struct itimerval no_alarm;

static int teardown(void **state)
{
    struct fixture *f = *state;

    setitimer(ITIMER_REAL, &no_alarm, NULL); /* also after a failed assert */
    for (int i = 0; i < STUCK; i++)
        td_raw_close(&f->stuck[i]);
    sys_peer_close(&f->a);
    sys_peer_close(&f->b);
    td_daemon_end(&f->broker);
    free(f);
    return 0;
}

/* ---- peers that are stuck: G18 ---- */

/* A client that subscribes to everything and then reads no more. */
static void get_stuck(struct fixture *f, int i)
{
    static const char subscribe[] = "\x95\x05\x01\x01\xa7stuck.>\x82\xa6"
                                    "events\xce\x00\x0f\x42\x40\xa5"
                                    "bytes\xce\x40\x00\x00\x00";
    char hello[] = "\x97\x01\xa7tidings\x01\x01\xc4\x10"
                   "0123456789abcdef\xa5stuck\x80";
    struct td_raw *raw = &f->stuck[i];
    char answer[512];
    int small = 4096;

    memcpy(hello + 14, &i, sizeof(i)); /* each is a producer of its own */
    assert_true(td_raw_open(raw, f->broker.endpoint[0]));
    setsockopt(raw->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    if (i % 10 == 0)
        return; /* not even through its handshake */
    assert_true(td_raw_greet(raw, SYS_WAIT_MS));
    td_raw_frame(raw, 0, hello, sizeof(hello) - 1);
    assert_true(td_raw_receive(raw, answer, sizeof(answer), SYS_WAIT_MS) > 0);
    assert_int_equal(answer[1], 2); /* WELCOME */
    td_raw_frame(raw, 0, subscribe, sizeof(subscribe) - 1);
    assert_true(td_raw_receive(raw, answer, sizeof(answer), SYS_WAIT_MS) > 0);
    assert_int_equal(answer[1], 7); /* REPLY */
}

static void test_stop_does_not_wait_for_stuck_peers(void **state)
{
    static const char data[64 << 10];
    struct fixture *f = *state;

    sys_peer_open(&f->a, f->broker.endpoint[0], "publisher");
    for (int i = 0; i < STUCK; i++)
        get_stuck(f, i);
    for (int i = 0; i < 200; i++)
        assert_ok(tidings_publish(f->a.bus, "stuck.x", data, sizeof(data)));
    tidings_flush(f->a.bus, 1000); /* held back or not */
    assert_true(sys_counters(f->a.bus).pending > 0);
    print_message("stopped in %d ms\n", sys_stop(&f->broker.proc, SIGTERM));
}

/* ---- requests ---- */

/* The broker is to stop while this is at work. */
static tidings_err answer_late(void *arg, tidings_task *task,
                               const struct tidings_event *request)
{
    struct fixture *f = arg;

    (void)request;
    if (!td_proc_signal(&f->broker.proc, SIGTERM) ||
        !sys_says(&f->broker.proc, "DRAIN"))
        return TIDINGS_EIO;
    poll(NULL, 0, BUSY_MS);
    return tidings_answer(task, "done", 4);
}

static void test_stop_waits_for_an_answer(void **state)
{
    struct fixture *f = *state;
    const struct tidings_endpoint endpoint = {
        .type = "late.answer", .handler = answer_late, .arg = f};
    const struct tidings_service_options o = {.name = "late",
                                              .version = "1.0.0",
                                              .endpoints = &endpoint,
                                              .endpoints_len = 1};
    struct tidings_reply reply;

    sys_peer_open(&f->a, f->broker.endpoint[0], "caller");
    sys_peer_open(&f->b, f->broker.endpoint[0], "service");
    assert_ok(tidings_serve(NULL, f->b.bus, &o));
    assert_ok(
        tidings_request(&reply, f->a.bus, "late.answer", "", 0, SYS_WAIT_MS));
    assert_int_equal(reply.len, 4);
    tidings_reply_fini(&reply);
    assert_true(td_proc_wait(&f->broker.proc, SYS_STOP_MS));
}

/* ---- signals: R12 ---- */

/* Those that mean nothing to it, and those that interrupt what it waits for. */
static void test_stop_is_not_what_other_signals_mean(void **state)
{
    static const int signals[] = {SIGUSR1, SIGPIPE, SIGUSR2, SIGSTOP,
                                  SIGCONT, SIGURG,  SIGWINCH};
    struct fixture *f = *state;
    int64_t end_ms =
        td_proc_now_ms() + (usage_is_long() ? STORM_LONG : STORM_MS);
    uint64_t rounds = 0;
    uint64_t sent = 0;

    sys_peer_open(&f->a, f->broker.endpoint[0], "a");
    sys_peer_subscribe(&f->a, "still.>");
    while (td_proc_now_ms() < end_ms) {
        for (size_t i = 0; i < TD_ARRAY_LEN(signals); i++) {
            assert_true(td_proc_signal(&f->broker.proc, signals[i]));
            sent++;
        }
        sys_round_trip(&f->a, &f->a, "still.here", ++rounds);
    }
    print_message("%llu signals, %llu round trips\n", (unsigned long long)sent,
                  (unsigned long long)rounds);
    assert_int_equal(watch_now(&f->a.watch).down, 0);
    sys_stop(&f->broker.proc, SIGTERM);
}

/* Whoever starts it with nohup means it. */
static void test_stop_leaves_a_hangup_ignored(void **state)
{
    struct fixture *f = *state;

    td_daemon_end(&f->broker);
    usage_broker_start(&f->broker, "trap '' HUP", "");
    sys_peer_open(&f->a, f->broker.endpoint[0], "a");
    sys_peer_subscribe(&f->a, "still.>");
    for (uint64_t n = 1; n <= 20; n++) {
        assert_true(td_proc_signal(&f->broker.proc, SIGHUP));
        sys_round_trip(&f->a, &f->a, "still.here", n);
    }
    sys_stop(&f->broker.proc, SIGTERM);
    td_daemon_end(&f->broker);

    sys_broker_start(&f->broker, NULL);
    sys_stop(&f->broker.proc, SIGHUP); /* else it is a terminal that closed */
}

static volatile sig_atomic_t alarms;

static void on_alarm(int number)
{
    (void)number;
    alarms++;
}

/* A program with timers of its own, whose signals restart nothing. */
static void test_stop_and_start_amid_signals_of_the_host(void **state)
{
    static const struct itimerval often = {{0, 300}, {0, 300}};
    struct sigaction action = {.sa_handler = on_alarm};
    struct sigaction before;
    struct fixture *f = *state;
    int64_t end_ms = td_proc_now_ms() + STORM_MS;
    uint64_t rounds = 0;
    int64_t us;

    sigemptyset(&action.sa_mask);
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    sys_peer_open(&f->a, f->broker.endpoint[0], "a");
    sys_peer_subscribe(&f->a, "still.>");
    setitimer(ITIMER_REAL, &often, NULL);
    while (td_proc_now_ms() < end_ms) {
        sys_round_trip(&f->a, &f->a, "still.here", ++rounds);
        assert_ok(tidings_ping(&us, f->a.bus, SYS_WAIT_MS));
        sys_peer_open(&f->b, f->broker.endpoint[0], "b");
        assert_ok(tidings_drain(f->b.bus, SYS_WAIT_MS));
        assert_ok(tidings_close(f->b.bus));
        watch_fini(&f->b.watch);
        f->b.bus = NULL;
    }
    setitimer(ITIMER_REAL, &no_alarm, NULL);
    sigaction(SIGALRM, &before, NULL);
    print_message("%d signals, %llu round trips\n", (int)alarms,
                  (unsigned long long)rounds);
    assert_true(alarms > 100);
}

/* ---- again and again: G18 ---- */

static tidings_err ignore(void *arg, const struct tidings_event *event)
{
    (void)arg;
    (void)event;
    return TIDINGS_OK;
}

static void open_and_close(const char *url, int i)
{
    const struct tidings_options options = {.own_loop = i % 3 == 0};
    tidings_bus *bus;

    assert_ok(tidings_open(&bus, url, &options));
    if (i % 4 > 0)
        assert_ok(tidings_wait(bus, SYS_WAIT_MS));
    if (i % 4 > 1)
        assert_ok(tidings_subscribe(NULL, bus, "loop.>", ignore, NULL, NULL));
    if (i % 4 > 2)
        assert_ok(tidings_publish(bus, "loop.x", &i, sizeof(i)));
    assert_ok(tidings_close(bus));
}

static long own_kb(void)
{
    const struct td_proc self = {.pid = getpid()};

    return td_proc_resident_kb(&self);
}

static void test_stop_and_start_a_thousand_times_leaks_nothing(void **state)
{
    struct fixture *f = *state;
    long warm_kb = 0;
    int descriptors = 0;

    for (int i = 0; i < LOOPS; i++) {
        if (i == WARM) {
            warm_kb = own_kb();
            descriptors = usage_own_descriptors();
        }
        open_and_close(f->broker.endpoint[0], i);
    }
    print_message("%d times: +%ld kB since the %dth\n", LOOPS,
                  own_kb() - warm_kb, WARM);
    assert_int_equal(usage_own_descriptors(), descriptors);
    if (!SYS_SANITIZED)
        assert_true(own_kb() - warm_kb < LEAK_KB);
}

/* ---- in every order: R15, R18 ---- */

enum { STOP_BROKER, CLOSE_A, CLOSE_B, END_SUB, ENDS };

static void end_one(struct fixture *f, int which, tidings_sub *sub)
{
    tidings_err err = TIDINGS_OK;

    switch (which) {
    case STOP_BROKER:
        sys_stop(&f->broker.proc, SIGTERM);
        break;
    case CLOSE_A:
        err = tidings_close(f->a.bus);
        break;
    case CLOSE_B:
        err = tidings_close(f->b.bus);
        break;
    default:
        err = tidings_unsubscribe(sub, 0);
    }
    if (err && err != TIDINGS_ETIMEDOUT && err != TIDINGS_ECLOSED)
        fail_msg("step %d: %s", which, tidings_err_name(err));
}

/* With events in flight all the while. */
static void end_in_order(struct fixture *f, const int order[ENDS])
{
    const struct tidings_options options = {.close_timeout_ms = 100};
    tidings_sub *sub;

    assert_ok(tidings_open(&f->a.bus, f->broker.endpoint[0], &options));
    assert_ok(tidings_open(&f->b.bus, f->broker.endpoint[0], &options));
    assert_ok(tidings_subscribe(&sub, f->a.bus, "order.>", ignore, NULL, NULL));
    for (int i = 0; i < 1000; i++) {
        assert_ok(tidings_publish(f->a.bus, "order.a", &i, sizeof(i)));
        assert_ok(tidings_publish(f->b.bus, "order.b", &i, sizeof(i)));
    }
    for (int i = 0; i < ENDS; i++)
        end_one(f, order[i], sub);
    f->a.bus = f->b.bus = NULL;
    td_daemon_end(&f->broker);
}

static void test_stop_in_every_order(void **state)
{
    struct fixture *f = *state;
    int orders = 0;

    for (int n = 0; n < ENDS * ENDS * ENDS * ENDS; n++) {
        const int order[ENDS] = {n % ENDS, n / ENDS % ENDS,
                                 n / ENDS / ENDS % ENDS,
                                 n / ENDS / ENDS / ENDS};
        unsigned all = 0;

        for (int i = 0; i < ENDS; i++)
            all |= 1u << order[i];
        if (all != (1u << ENDS) - 1)
            continue; /* not each of them once */
        if (orders++ > 0)
            sys_broker_start(&f->broker, NULL);
        end_in_order(f, order);
    }
    assert_int_equal(orders, 24);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_stop_does_not_wait_for_stuck_peers),
        TEST(test_stop_waits_for_an_answer),
        TEST(test_stop_is_not_what_other_signals_mean),
        TEST(test_stop_leaves_a_hangup_ignored),
        TEST(test_stop_and_start_amid_signals_of_the_host),
        TEST(test_stop_and_start_a_thousand_times_leaks_nothing),
        TEST(test_stop_in_every_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
