/* Signals are the host's: its handlers run on its own threads, what it set up
 * stays as it was, and a lost link raises none. */
#include "tests/embed/host.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#define ROUNDS    (100 / HOST_SLOW)
#define EVENTS    100
#define STORM_US  500 /* between two SIGALRM */
#define SIGNALS   64
#define WAIT_MS   200
#define BROKEN_MS 300 /* of publishing while there is no broker */

static _Thread_local volatile bool is_host;
static atomic_uint caught;
static atomic_uint caught_elsewhere; /* on a thread that is not the host's */

static void on_signal(int number)
{
    (void)number;
    atomic_fetch_add(&caught, 1);
    if (!is_host)
        atomic_fetch_add(&caught_elsewhere, 1);
}

/* Without SA_RESTART: what the host waits for ends with EINTR. */
static void catch_signal(int number, struct sigaction *before)
{
    struct sigaction action = {.sa_handler = on_signal};

    sigemptyset(&action.sa_mask);
    assert_int_equal(sigaction(number, &action, before), 0);
}

/* ---- a storm ---- */

struct storm {
    struct sigaction alarm;
    struct sigaction user;
    sigset_t mask; /* of the host */
    pthread_t thread;
    atomic_bool stop;
};

/* Signals to the process: any thread that does not block them may get one. */
static void *send_signals(void *arg)
{
    struct storm *s = arg;

    is_host = true;
    pthread_sigmask(SIG_SETMASK, &s->mask, NULL);
    while (!atomic_load(&s->stop)) {
        kill(getpid(), SIGUSR1);
        sched_yield();
    }
    return NULL;
}

static void set_timer(long us)
{
    const struct itimerval every = {.it_interval = {.tv_usec = us},
                                    .it_value = {.tv_usec = us}};

    assert_int_equal(setitimer(ITIMER_REAL, &every, NULL), 0);
}

static void storm_begin(struct storm *s)
{
    sigset_t every;

    is_host = true;
    atomic_store(&caught, 0);
    atomic_store(&caught_elsewhere, 0);
    catch_signal(SIGALRM, &s->alarm);
    catch_signal(SIGUSR1, &s->user);
    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &s->mask);
    assert_int_equal(pthread_create(&s->thread, NULL, send_signals, s), 0);
    pthread_sigmask(SIG_SETMASK, &s->mask, NULL);
    set_timer(STORM_US);
}

static void storm_end(struct storm *s)
{
    set_timer(0);
    atomic_store(&s->stop, true);
    pthread_join(s->thread, NULL);
    sigaction(SIGALRM, &s->alarm, NULL);
    sigaction(SIGUSR1, &s->user, NULL);
}

/* On a thread of its own. */
static tidings_err ignore(void *arg, const struct tidings_event *event)
{
    (void)arg;
    (void)event;
    return TIDINGS_OK;
}

/* Every call that waits, once, on one link; the first error. */
static tidings_err live(const char *url, struct host_seen *seen)
{
    const struct tidings_sub_options workers = {.workers = 2};
    struct tidings_info info;
    tidings_bus *bus;
    tidings_sub *sub;
    int64_t us;
    tidings_err err = tidings_open(&bus, url, NULL);

    if (err)
        return err;
    err = tidings_wait(bus, HOST_MS);
    if (!err)
        err = tidings_subscribe(&sub, bus, "storm", host_on_event, seen, NULL);
    if (!err)
        err = tidings_subscribe(NULL, bus, "storm", ignore, NULL, &workers);
    for (uint64_t n = 1; n <= EVENTS && !err; n++) {
        const struct host_number number = {.sender = 0, .n = n};

        err = tidings_publish(bus, "storm", &number, sizeof(number));
    }
    if (!err)
        err = tidings_flush(bus, HOST_MS);
    if (!err)
        err = tidings_ping(&us, bus, HOST_MS);
    if (!err)
        err = tidings_drain(bus, HOST_MS);
    if (!err && tidings_unsubscribe(sub, HOST_MS) != TIDINGS_ECLOSED)
        err = TIDINGS_EPROTO;
    if (!err)
        err = tidings_info(&info, bus);
    if (!err && info.connects != 1)
        err = TIDINGS_EUNREACH;
    return tidings_close(bus) ? TIDINGS_EIO : err;
}

static void live_in_a_storm(const char *url)
{
    struct host_use before = host_use_now();
    struct storm storm = {.stop = false};
    tidings_err err = TIDINGS_OK;
    uint64_t events = 0;
    uint64_t wrong = 0;
    int rounds = 0;

    storm_begin(&storm);
    while (rounds < ROUNDS && !err) {
        struct host_seen seen = {.events = 0};

        err = live(url, &seen);
        events += atomic_load(&seen.events);
        wrong += atomic_load(&seen.wrong);
        rounds++;
    }
    storm_end(&storm);
    if (err)
        fail_msg("%s in round %d: %s: %s", url, rounds, tidings_err_name(err),
                 tidings_detail());
    assert_int_equal(events, (uint64_t)ROUNDS * EVENTS);
    assert_int_equal(wrong, 0);
    assert_true(atomic_load(&caught) > 0);
    assert_int_equal(atomic_load(&caught_elsewhere), 0);
    host_expect_use(before);
}

static void test_calls_work_in_a_storm_of_signals(void **state)
{
    struct td_daemon broker = {.listening = 0};

    (void)state;
    host_broker_start(&broker);
    live_in_a_storm("inproc://storm");
    live_in_a_storm(broker.endpoint[0]);
    td_daemon_end(&broker);
}

static void test_signals_do_not_shorten_a_wait(void **state)
{
    struct storm storm = {.stop = false};
    tidings_bus *bus;
    tidings_err err;
    int64_t start;

    (void)state;
    assert_ok(tidings_open(&bus, "tcp://127.0.0.1:1", NULL));
    storm_begin(&storm);
    start = td_proc_now_ms();
    err = tidings_wait(bus, WAIT_MS);
    start = td_proc_now_ms() - start;
    storm_end(&storm);
    assert_err(err, TIDINGS_EUNREACH);
    assert_in_range(start, WAIT_MS - 10, WAIT_MS + HOST_MS);
    assert_int_equal(atomic_load(&caught_elsewhere), 0);
    assert_ok(tidings_close(bus));
}

/* ---- what the host set up ---- */

struct setup {
    struct sigaction actions[SIGNALS + 1];
    sigset_t mask;
};

static void read_setup(struct setup *s)
{
    memset(s, 0, sizeof(*s));
    for (int n = 1; n <= SIGNALS; n++)
        sigaction(n, NULL, &s->actions[n]); /* two are the C library's */
    pthread_sigmask(SIG_SETMASK, NULL, &s->mask);
}

static void compare_setup(const struct setup *want, const struct setup *now)
{
    for (int n = 1; n <= SIGNALS; n++) {
        if (now->actions[n].sa_handler != want->actions[n].sa_handler ||
            now->actions[n].sa_flags != want->actions[n].sa_flags)
            fail_msg("the disposition of signal %d has changed", n);
        if (sigismember(&now->mask, n) != sigismember(&want->mask, n))
            fail_msg("signal %d is blocked, or not any more", n);
    }
}

static void expect_setup(const struct setup *want)
{
    struct setup now;

    read_setup(&now);
    compare_setup(want, &now);
}

static tidings_err look_inside(void *arg, const struct tidings_event *event)
{
    (void)event;
    read_setup(arg); /* own_loop: on the test's own thread */
    return TIDINGS_OK;
}

static void set_up_and_expect(const char *url)
{
    const struct tidings_options own_loop = {.own_loop = true};
    struct host_seen seen = {.events = 0};
    struct setup setup;
    struct setup inside;
    tidings_bus *bus;

    memset(&inside, 0, sizeof(inside));
    read_setup(&setup);
    assert_ok(live(url, &seen));
    expect_setup(&setup);
    assert_ok(tidings_open(&bus, url, &own_loop));
    expect_setup(&setup);
    assert_ok(
        tidings_subscribe(NULL, bus, "setup", look_inside, &inside, NULL));
    assert_ok(tidings_publish(bus, "setup", NULL, 0));
    assert_ok(tidings_drain(bus, HOST_MS));
    compare_setup(&setup, &inside);
    expect_setup(&setup);
    assert_ok(tidings_close(bus));
    expect_setup(&setup);
}

static void test_dispositions_and_masks_stay(void **state)
{
    struct td_daemon broker = {.listening = 0};
    struct sigaction before;

    (void)state;
    is_host = true;
    host_broker_start(&broker);
    catch_signal(SIGUSR2, &before);
    set_up_and_expect("inproc://setup");
    set_up_and_expect(broker.endpoint[0]);
    sigaction(SIGUSR2, &before, NULL);
    td_daemon_end(&broker);
}

/* ---- SIGPIPE ---- */

struct sender {
    tidings_bus *bus;
    atomic_bool stop;
    atomic_uint_fast64_t sent;
};

static void *publish_on(void *arg)
{
    static const char data[64];
    struct sender *s = arg;

    is_host = true;
    while (!atomic_load(&s->stop)) {
        if (tidings_publish(s->bus, "pipe", data, sizeof(data)) == TIDINGS_OK)
            atomic_fetch_add(&s->sent, 1);
    }
    return NULL;
}

static void kill_broker_under(struct sender *s, struct td_daemon *broker)
{
    uint64_t from = atomic_load(&s->sent);

    while (atomic_load(&s->sent) < from + 1000)
        poll(NULL, 0, 1);
    assert_true(td_proc_signal(&broker->proc, SIGKILL));
    assert_true(td_proc_wait(&broker->proc, HOST_MS));
    poll(NULL, 0, BROKEN_MS); /* it publishes on meanwhile */
    assert_true(td_daemon_restart(broker, NULL));
    assert_ok(tidings_wait(s->bus, HOST_MS));
}

static void test_a_lost_broker_raises_no_sigpipe(void **state)
{
    const struct tidings_options o = {.publish_timeout_ms = 100};
    struct td_daemon broker = {.listening = 0};
    struct sender sender = {.stop = false};
    struct sigaction before;
    sigset_t pending;
    pthread_t thread;

    (void)state;
    is_host = true;
    atomic_store(&caught, 0);
    catch_signal(SIGPIPE, &before);
    host_broker_start(&broker);
    assert_ok(tidings_open(&sender.bus, broker.endpoint[0], &o));
    assert_ok(tidings_wait(sender.bus, HOST_MS));
    assert_int_equal(pthread_create(&thread, NULL, publish_on, &sender), 0);
    for (int i = 0; i < 3; i++)
        kill_broker_under(&sender, &broker);
    atomic_store(&sender.stop, true);
    pthread_join(thread, NULL);
    assert_ok(tidings_flush(sender.bus, HOST_MS));
    assert_ok(tidings_close(sender.bus));
    assert_int_equal(atomic_load(&caught), 0);
    assert_int_equal(sigpending(&pending), 0);
    assert_false(sigismember(&pending, SIGPIPE));
    sigaction(SIGPIPE, &before, NULL);
    td_daemon_end(&broker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls_work_in_a_storm_of_signals),
        cmocka_unit_test(test_signals_do_not_shorten_a_wait),
        cmocka_unit_test(test_dispositions_and_masks_stay),
        cmocka_unit_test(test_a_lost_broker_raises_no_sigpipe),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
