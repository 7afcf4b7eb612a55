/* Events that wait, under a broker that is killed again and again: before they
 * are accepted, while they wait, when they are due and when they are cancelled
 * (FAULTS C01). Each is published once, unless it was cancelled. */
#include <poll.h>
#include <stdlib.h>
#include <time.h>

#include "tests/support/folder.h"
#include "tests/support/operate.h"
#include "tests/system/system.h"

#define CYCLES      8u
#define CYCLES_LONG 200u
#define EVENTS      60u      /* of a cycle */
#define AFTER_MS    250      /* at most */
#define DOWN_MS     100      /* at most */
#define STREAM      "events" /* the one that is there from the start */
#define SETTLE_MS   60000

/* What is known of one event. */
struct event {
    uint64_t number; /* in the schedule; 0: not known */
    unsigned told;   /* confirms */
    bool refused;
    bool cancelled; /* the broker said so … */
    bool unsure;    /* … or did not get to say it */
    unsigned seen;  /* in the stream */
};

struct world {
    struct td_folder folder;
    struct td_daemon broker;
    struct sys_peer peer;
    pthread_mutex_t lock; /* of the events */
    struct event *events; /* from 1 on */
    uint64_t last;
    uint32_t random;
    unsigned cancelled;
};

static unsigned below(struct world *w, uint32_t limit)
{
    w->random = w->random * 1664525u + 1013904223u;
    return (unsigned)(((uint64_t)w->random * limit) >> 32);
}

static unsigned cycles(void)
{
    const char *asked = getenv("TIDINGS_LONG");

    return asked && *asked && strcmp(asked, "0") != 0 ? CYCLES_LONG : CYCLES;
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    *state = w;
    if (!w || !td_folder_new(&w->folder))
        return -1;
    pthread_mutex_init(&w->lock, NULL);
    w->events = calloc(CYCLES_LONG * EVENTS + 1, sizeof(*w->events));
    w->random = (uint32_t)time(NULL);
    print_message("seed %u\n", w->random);
    return w->events ? 0 : -1;
}

static int teardown(void **state)
{
    struct world *w = *state;

    sys_peer_close(&w->peer);
    td_daemon_end(&w->broker);
    td_folder_remove(&w->folder);
    free(w->events);
    free(w);
    return 0;
}

static const char *const *args_of(struct world *w)
{
    static const char *args[] = {"--data", NULL, NULL};

    args[1] = w->folder.path;
    return args;
}

/* ---- publishing ---- */

struct told {
    struct world *w;
    uint64_t n;
};

static void on_confirm(void *arg, const struct tidings_confirm *confirm)
{
    struct told *told = arg;
    struct event *event = &told->w->events[told->n];

    pthread_mutex_lock(&told->w->lock);
    event->told++;
    event->refused = event->refused || confirm->err;
    event->number = confirm->sequence;
    pthread_mutex_unlock(&told->w->lock);
    free(told);
}

static void publish(struct world *w)
{
    struct told *told = malloc(sizeof(*told));
    uint64_t n = ++w->last;
    const struct tidings_event event = {
        .type = "later.a", .data = &n, .data_len = sizeof(n)};
    struct tidings_publish_options options = {.on_confirm = on_confirm,
                                              .arg = told};

    assert_non_null(told);
    *told = (struct told){w, n};
    options.after_ms = 1 + below(w, AFTER_MS);
    assert_ok(tidings_publish_with(w->peer.bus, &event, &options));
}

static uint64_t number_of(struct world *w, uint64_t n)
{
    uint64_t number;

    pthread_mutex_lock(&w->lock);
    number = w->events[n].number;
    pthread_mutex_unlock(&w->lock);
    return number;
}

static bool is_told(struct world *w, uint64_t n)
{
    bool told;

    pthread_mutex_lock(&w->lock);
    told = w->events[n].told > 0;
    pthread_mutex_unlock(&w->lock);
    return told;
}

/* All are, so far: what was published is confirmed. */
static void accepted(struct world *w)
{
    int64_t end = td_proc_now_ms() + SYS_WAIT_MS;

    assert_ok(tidings_flush(w->peer.bus, SYS_WAIT_MS));
    while (!is_told(w, w->last) && td_proc_now_ms() < end)
        poll(NULL, 0, 1); /* its callback follows */
}

/* Some event of late, if its number is known. */
static void cancel(struct world *w, int timeout_ms)
{
    uint64_t n = w->last - below(w, EVENTS);
    uint64_t number = number_of(w, n);
    tidings_err err;

    if (!number)
        return;
    err = tidings_schedule_cancel(w->peer.bus, number, timeout_ms);
    if (!err && w->events[n].cancelled)
        fail_msg("event %llu was cancelled twice", (unsigned long long)n);
    if (!err)
        w->events[n].cancelled = true;
    else if (err != TIDINGS_ENOTFOUND)
        w->events[n].unsure = true;
    w->cancelled += !err;
}

/* ---- the stream ---- */

static tidings_err on_event(void *arg, const struct tidings_event *event)
{
    struct world *w = arg;
    uint64_t n = 0;

    if (event->data_len == sizeof(n))
        memcpy(&n, event->data, sizeof(n));
    pthread_mutex_lock(&w->lock);
    w->events[n <= w->last ? n : 0].seen++;
    w->events[0].number++; /* of all */
    pthread_mutex_unlock(&w->lock);
    return TIDINGS_OK;
}

static uint64_t waiting(struct world *w)
{
    const struct operate_option none = {0};
    struct tidings_value all;
    uint64_t n = 0;
    void *data = NULL;
    size_t len;

    assert_ok(operate(&data, &len, w->peer.bus, "schedule.list", &none));
    assert_ok(tidings_value_read(&all, data, len));
    assert_ok(tidings_get_uint(&n, all, "scheduled_total"));
    tidings_free(data);
    return n;
}

static void read_all(struct world *w)
{
    const struct tidings_sub_options all = {
        .stream = STREAM, .start = {.kind = TIDINGS_START_ALL}};
    uint64_t stored = operate_stream_figure(w->peer.bus, STREAM, "last");
    int64_t end = td_proc_now_ms() + SETTLE_MS;

    assert_ok(
        tidings_subscribe(NULL, w->peer.bus, "later.>", on_event, w, &all));
    while (number_of(w, 0) < stored && td_proc_now_ms() < end)
        poll(NULL, 0, 1);
    assert_int_equal(number_of(w, 0), stored);
}

static void check(struct world *w)
{
    unsigned missing = 0;
    unsigned twice = 0;
    unsigned despite = 0;

    assert_int_equal(w->events[0].seen, 0); /* what nobody published */
    for (uint64_t n = 1; n <= w->last; n++) {
        const struct event *e = &w->events[n];

        assert_int_equal(e->told, 1);
        assert_false(e->refused);
        twice += e->seen > 1;
        missing += e->seen == 0 && !e->cancelled && !e->unsure;
        despite += e->seen > 0 && e->cancelled;
    }
    if (missing || twice || despite)
        fail_msg("of %llu events %u are missing, %u came twice, %u came "
                 "though they were cancelled",
                 (unsigned long long)w->last, missing, twice, despite);
}

/* ---- killing ---- */

static void test_killed_brokers_publish_what_waits_once(void **state)
{
    struct world *w = *state;
    int64_t end;

    sys_broker_start(&w->broker, args_of(w));
    sys_peer_open(&w->peer, w->broker.endpoint[0], "later");
    for (unsigned i = 0; i < cycles(); i++) {
        for (unsigned n = 0; n < EVENTS; n++)
            publish(w);
        poll(NULL, 0, (int)below(w, 40)); /* wherever it is then */
        if (i % 2 > 0)
            accepted(w);
        for (unsigned n = 0; n < 5; n++)
            cancel(w, SYS_WAIT_MS);
        sys_kill(&w->broker.proc);
        cancel(w, 1);
        poll(NULL, 0, (int)below(w, DOWN_MS)); /* some are due meanwhile */
        sys_broker_restart(&w->broker, args_of(w));
    }
    assert_ok(tidings_flush(w->peer.bus, SETTLE_MS));
    end = td_proc_now_ms() + SETTLE_MS;
    while (waiting(w) > 0 && td_proc_now_ms() < end)
        poll(NULL, 0, 5);
    assert_int_equal(waiting(w), 0);
    read_all(w);
    check(w);
    print_message("%llu events, %u of them cancelled\n",
                  (unsigned long long)w->last, w->cancelled);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_killed_brokers_publish_what_waits_once, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
