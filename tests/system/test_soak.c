/* Hours in minutes (FAULTS R19, G21): publishers and subscribers that are
 * killed, stopped and started again at random, with a healthy pair that
 * notices nothing of it. The broker's memory and descriptors stay flat once it
 * is warm, and its books balance at every look.
 *
 * Ten minutes with TIDINGS_LONG=1; TIDINGS_SOAK_S says how long. Without
 * either it is a smoke test of some seconds. */
#include "tests/system/system.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>

#include "tests/system/usage.h"

#define SMOKE_S     5
#define LONG_S      600
#define PUBLISHERS  3
#define SUBSCRIBERS 4
#define CHURN_MS    150  /* between two faults */
#define LOOK_MS     1000 /* between two looks at the broker */
#define LOOKS_MAX   (24 * 3600)
#define GROWTH_KB   1024 /* R19: a minute, after the first third */
#define FIXED_KB    (8 * 1024)
#define WARM_S      45          /* the dead are forgotten by then, with … */
#define COLD_KB     (32 * 1024) /* … what their queues may hold before */
#define STEADY      2000        /* events a second of the healthy publisher */

struct fixture {
    struct td_daemon broker;
    struct sys_peer watcher; /* healthy, and it looks at the books */
    struct td_proc steady;   /* its publisher */
    struct td_proc publishers[PUBLISHERS];
    struct td_proc subscribers[SUBSCRIBERS];
    unsigned seed;
    unsigned kills;
    unsigned stops;
    long *resident_kb; /* one of each look */
    size_t looks;
    int descriptors; /* the most of the second third */
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (!f)
        return -1;
    f->resident_kb = calloc(LOOKS_MAX, sizeof(*f->resident_kb));
    *state = f;
    return f->resident_kb ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    td_proc_end(&f->steady);
    for (int i = 0; i < PUBLISHERS; i++)
        td_proc_end(&f->publishers[i]);
    for (int i = 0; i < SUBSCRIBERS; i++)
        td_proc_end(&f->subscribers[i]);
    sys_peer_close(&f->watcher);
    td_daemon_end(&f->broker);
    free(f->resident_kb);
    free(f);
    return 0;
}

/* ---- the clients ---- */

static void start_publisher(struct fixture *f, unsigned i)
{
    static const char *const rate[] = {"rate=3000", NULL};
    char type[32];

    snprintf(type, sizeof(type), "churn.%u", i);
    sys_worker(&f->publishers[i], f->broker.endpoint[0], "pub", type, rate);
}

static void start_subscriber(struct fixture *f, unsigned i)
{
    static const char *const patterns[SUBSCRIBERS] = {"churn.*", "churn.>",
                                                      "churn.1", "*.2"};
    static const char *const small[] = {"window_events=500",
                                        "queue_events=5000", NULL};

    sys_worker(&f->subscribers[i], f->broker.endpoint[0], "sub", patterns[i],
               i % 2 ? small : NULL);
}

static void start_all(struct fixture *f)
{
    /* The dead are forgotten soon, so that what is not forgotten shows. */
    static const char *const grace[] = {"--grace", "2", NULL};
    char rate[32];
    const char *args[] = {rate, NULL};

    snprintf(rate, sizeof(rate), "rate=%d", STEADY);
    sys_broker_start(&f->broker, grace);
    sys_peer_open(&f->watcher, f->broker.endpoint[0], "watcher");
    sys_peer_subscribe(&f->watcher, "steady.>");
    sys_worker(&f->steady, f->broker.endpoint[0], "pub", "steady.x", args);
    for (unsigned i = 0; i < PUBLISHERS; i++)
        start_publisher(f, i);
    for (unsigned i = 0; i < SUBSCRIBERS; i++)
        start_subscriber(f, i);
    assert_true(watch_until_events(&f->watcher.watch, 100, SYS_WAIT_MS));
}

/* ---- the faults ---- */

static unsigned roll(struct fixture *f, unsigned sides)
{
    f->seed = f->seed * 1103515245u + 12345u;
    return (f->seed >> 16) % sides;
}

/* Killed and started again, or stopped, or continued. */
static void churn(struct fixture *f)
{
    unsigned i = roll(f, PUBLISHERS + SUBSCRIBERS);
    bool publishes = i < PUBLISHERS;
    struct td_proc *p =
        publishes ? &f->publishers[i] : &f->subscribers[i - PUBLISHERS];

    if (roll(f, 3) == 0) {
        assert_true(td_proc_signal(p, roll(f, 2) ? SIGSTOP : SIGCONT));
        f->stops++;
        return;
    }
    td_proc_end(p); /* SIGKILL */
    if (publishes)
        start_publisher(f, i);
    else
        start_subscriber(f, i - PUBLISHERS);
    f->kills++;
}

/* ---- the looks ---- */

/* sys_counters() checks every sum. */
static void look(struct fixture *f, int64_t gone_ms, int64_t all_ms)
{
    int descriptors = usage_descriptors(&f->broker.proc);

    sys_counters(f->watcher.bus);
    if (f->looks < LOOKS_MAX)
        f->resident_kb[f->looks++] = td_proc_resident_kb(&f->broker.proc);
    if (gone_ms >= all_ms / 3 && gone_ms < all_ms / 3 * 2 &&
        descriptors > f->descriptors)
        f->descriptors = descriptors;
    if (gone_ms >= all_ms / 3 * 2 &&
        descriptors > f->descriptors + PUBLISHERS + SUBSCRIBERS)
        fail_msg("descriptors: %d before, %d now", f->descriptors, descriptors);
}

static int by_size(const void *a, const void *b)
{
    long x = *(const long *)a;
    long y = *(const long *)b;

    return (x > y) - (x < y);
}

static long median_of(struct fixture *f, size_t from, size_t to)
{
    qsort(f->resident_kb + from, to - from, sizeof(long), by_size);
    return f->resident_kb[from + (to - from) / 2];
}

/* The second third against the last. */
static void check_memory(struct fixture *f, int seconds)
{
    size_t third = f->looks / 3;
    long middle_kb;
    long last_kb;

    assert_true(third > 0);
    for (size_t i = 0; i < f->looks; i += 1 + f->looks / 20)
        print_message("%ld ", f->resident_kb[i]);
    middle_kb = median_of(f, third, 2 * third);
    last_kb = median_of(f, 2 * third, f->looks);
    print_message(
        "kB\n%d s: %u kills, %u stops and goes; memory %ld kB, then %ld "
        "kB; at most %d descriptors; %" PRIu64 " events seen\n",
        seconds, f->kills, f->stops, middle_kb, last_kb, f->descriptors,
        watch_now(&f->watcher.watch).events);
    if (!SYS_SANITIZED)
        assert_true(last_kb - middle_kb <
                    (seconds / 3 < WARM_S ? COLD_KB : FIXED_KB) +
                        (long)GROWTH_KB * seconds / 3 / 60);
}

static void check_watcher(struct fixture *f)
{
    struct watch seen = watch_now(&f->watcher.watch);

    assert_int_equal(seen.wrong, 0);
    assert_int_equal(seen.backwards, 0);
    assert_int_equal(seen.holes, 0);
    assert_int_equal(seen.missed, 0);
    assert_int_equal(seen.down, 0);
}

/* With the dead still on its books it takes as long as it may to stop. */
static void check_end(struct fixture *f, int seconds)
{
    struct sys_info info;

    info = sys_publisher_stop(&f->steady);
    assert_true(
        watch_until_events(&f->watcher.watch, info.published, SYS_WAIT_MS));
    assert_int_equal(watch_now(&f->watcher.watch).events, info.published);
    check_watcher(f);
    for (int i = 0; i < PUBLISHERS; i++)
        td_proc_end(&f->publishers[i]);
    for (int i = 0; i < SUBSCRIBERS; i++)
        td_proc_end(&f->subscribers[i]);
    sys_counters(f->watcher.bus);
    if (seconds > SMOKE_S)
        sys_stop(&f->broker.proc, SIGTERM);
}

static int seconds_asked(void)
{
    const char *asked = getenv("TIDINGS_SOAK_S");

    if (asked && atoi(asked) > 0)
        return atoi(asked);
    return usage_is_long() ? LONG_S : SMOKE_S;
}

static void test_soak_leaves_memory_and_descriptors_flat(void **state)
{
    struct fixture *f = *state;
    int seconds = seconds_asked();
    int64_t start_ms;
    int64_t next_look_ms;
    int64_t now_ms;

    f->seed = (unsigned)td_proc_now_ms();
    print_message("seed %u\n", f->seed);
    start_all(f);
    start_ms = next_look_ms = td_proc_now_ms();
    while (now_ms = td_proc_now_ms(), now_ms < start_ms + seconds * 1000) {
        churn(f);
        check_watcher(f);
        if (now_ms >= next_look_ms) {
            look(f, now_ms - start_ms, seconds * 1000);
            next_look_ms += LOOK_MS;
        }
        poll(NULL, 0, (int)roll(f, 2 * CHURN_MS));
    }
    check_memory(f, seconds);
    check_end(f, seconds);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_soak_leaves_memory_and_descriptors_flat),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
