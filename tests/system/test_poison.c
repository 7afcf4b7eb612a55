/* Events that nobody can handle, and a broker that is killed again and again
 * meanwhile (FAULTS G17): what failed is not forgotten, so each is dead after
 * exactly so many failures, once, and everything else is handled. */
#include "tests/support/operate.h"
#include "tests/system/system.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

#include "tests/support/folder.h"

#define STREAM       "events"
#define GROUP        "workers"
#define KILLS        10
#define MAX_DELIVER  40
#define BACKOFF_MS   20
#define POISONS      8
#define POISONS_LONG 1000
#define GOOD         20 /* events before the poison, and as many after it */

/* What the handler was called with, by sequence. */
struct called {
    unsigned calls;
    unsigned last;  /* which delivery it was told that it was */
    unsigned again; /* the same was told before: it was not counted */
};

struct fixture {
    struct td_folder folder;
    struct td_daemon broker;
    tidings_bus *operator_bus;
    tidings_bus *member;
    pthread_mutex_t lock; /* of what follows */
    struct called *poison;
    unsigned poisons;
    unsigned calls;
    unsigned good;
    unsigned wrong; /* told less than before, or more than one above it */
};

static unsigned poisons(void)
{
    const char *is_long = getenv("TIDINGS_LONG");

    return is_long && *is_long == '1' ? POISONS_LONG : POISONS;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (!f || !td_folder_new(&f->folder))
        return -1;
    f->poisons = poisons();
    f->poison = calloc(f->poisons, sizeof(*f->poison));
    pthread_mutex_init(&f->lock, NULL);
    *state = f;
    return f->poison ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    tidings_close(f->member);
    tidings_close(f->operator_bus);
    td_daemon_end(&f->broker);
    td_folder_remove(&f->folder);
    pthread_mutex_destroy(&f->lock);
    free(f->poison);
    free(f);
    return 0;
}

static const char *const *args_of(struct fixture *f)
{
    static const char *args[] = {"--data", NULL, NULL};

    args[1] = f->folder.path;
    return args;
}

/* ---- the member ---- */

static void note(struct fixture *f, struct called *p, unsigned deliveries)
{
    p->calls++;
    p->again += deliveries == p->last;
    f->wrong += deliveries < p->last || deliveries > p->last + 1;
    p->last = deliveries;
    f->calls++;
}

/* The poison is behind the first good ones. */
static tidings_err on_event(void *arg, const struct tidings_event *event)
{
    struct fixture *f = arg;
    struct tidings_delivery d = {0};
    bool poison;

    tidings_delivery(&d, event);
    pthread_mutex_lock(&f->lock);
    poison = d.sequence > GOOD && d.sequence <= GOOD + f->poisons;
    if (poison)
        note(f, &f->poison[d.sequence - GOOD - 1], d.deliveries);
    else
        f->good++;
    pthread_mutex_unlock(&f->lock);
    return poison ? TIDINGS_EHANDLER : TIDINGS_OK;
}

static unsigned calls(struct fixture *f)
{
    unsigned n;

    pthread_mutex_lock(&f->lock);
    n = f->calls;
    pthread_mutex_unlock(&f->lock);
    return n;
}

/* ---- the test ---- */

/* Who lost a broker soon after the last one waits longer each time before it
 * connects again: a new one does not. */
static void join(struct fixture *f)
{
    const struct tidings_sub_options options = {.stream = STREAM,
                                                .group = GROUP};

    assert_ok(tidings_open(&f->member, f->broker.endpoint[0], NULL));
    assert_ok(tidings_subscribe(NULL, f->member, ">", on_event, f, &options));
}

static void start(struct fixture *f)
{
    const struct tidings_options confirmed = {.confirm = TIDINGS_DISK};
    const struct tidings_group_options group = {.stream = STREAM,
                                                .group = GROUP,
                                                .max_deliver = MAX_DELIVER,
                                                .backoff_ms = BACKOFF_MS,
                                                .backoff_max_ms = BACKOFF_MS};

    sys_broker_start(&f->broker, args_of(f));
    assert_ok(
        tidings_open(&f->operator_bus, f->broker.endpoint[0], &confirmed));
    assert_ok(tidings_group_add(f->operator_bus, &group, SYS_WAIT_MS));
    for (unsigned n = 0; n < 2 * GOOD + f->poisons; n++)
        assert_ok(tidings_publish(f->operator_bus, "order.placed", NULL, 0));
    assert_ok(tidings_flush(f->operator_bus, SYS_WAIT_MS));
    assert_ok(tidings_close(f->operator_bus));
    join(f);
}

/* Somewhere between a failure, its being written, and the next delivery. */
static void kill_soon(struct fixture *f, unsigned ms)
{
    int64_t end = td_proc_now_ms() + SYS_WAIT_MS;
    unsigned before = calls(f);

    while (calls(f) == before) {
        assert_true(td_proc_now_ms() < end);
        poll(NULL, 0, 1);
    }
    poll(NULL, 0, (int)ms);
    sys_kill(&f->broker.proc);
    tidings_close(f->member);
    sys_broker_restart(&f->broker, args_of(f));
    join(f);
}

static void check_poison(struct fixture *f)
{
    pthread_mutex_lock(&f->lock);
    assert_int_equal(f->wrong, 0);
    for (unsigned i = 0; i < f->poisons; i++) {
        const struct called *p = &f->poison[i];

        assert_int_equal(p->last, MAX_DELIVER);
        assert_true(p->again <= KILLS);
        assert_int_equal(p->calls, MAX_DELIVER + p->again);
    }
    assert_true(f->good >= 2 * GOOD);
    pthread_mutex_unlock(&f->lock);
}

static void test_poison_is_dead_after_so_many_failures(void **state)
{
    struct fixture *f = *state;
    struct operate_dead dead;

    start(f);
    for (unsigned i = 0; i < KILLS; i++)
        kill_soon(f, 3 * i);
    assert_ok(tidings_open(&f->operator_bus, f->broker.endpoint[0], NULL));
    assert_true(
        operate_until_settled(f->operator_bus, STREAM, GROUP, 4 * SYS_WAIT_MS));
    check_poison(f);
    dead = operate_dead_at(f->operator_bus, STREAM, GROUP, 0);
    assert_int_equal(dead.total, f->poisons);
    assert_int_equal(dead.deliveries, MAX_DELIVER);
    assert_string_equal(dead.reason, "max_deliver");
    assert_int_equal(
        operate_group_figure(f->operator_bus, STREAM, GROUP, "lag"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_poison_is_dead_after_so_many_failures, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
