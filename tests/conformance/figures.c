/* What a subscription has done: its figures, late handlers, and gaps. */
#include "tests/conformance/conformance.h"

#include <stdlib.h>

#define LATE_MS 50
#define SLOW_US 30000 /* a call that is worth timing, and not late */

static bool is_true(atomic_bool *flag)
{
    int64_t end = td_proc_now_ms() + CONF_MS;

    while (!atomic_load(flag) && td_proc_now_ms() < end)
        conf_pause_us(500);
    return atomic_load(flag);
}

static struct tidings_sub_info figures(tidings_sub *sub)
{
    struct tidings_sub_info info;

    assert_ok(tidings_sub_info(&info, sub));
    return info;
}

/* What was handled is counted a moment after its handler has returned. */
static void wait_delivered(tidings_sub *sub, uint64_t n)
{
    int64_t end = td_proc_now_ms() + CONF_MS;

    while (figures(sub).delivered < n && td_proc_now_ms() < end)
        conf_pause_us(500);
    assert_int_equal(figures(sub).delivered, n);
}

/* ---- figures ---- */

struct pace {
    long pause_us;
    uint64_t fail_each; /* every so-many-th fails */
    uint64_t block_at;  /* this one waits; 0: none */
    atomic_ullong calls;
    atomic_bool blocked;
    atomic_bool open;
};

static tidings_err pace(void *arg, const struct tidings_event *event)
{
    struct pace *x = arg;
    uint64_t n = atomic_fetch_add(&x->calls, 1) + 1;

    (void)event;
    if (x->pause_us)
        conf_pause_us(x->pause_us);
    if (n == x->block_at) {
        atomic_store(&x->blocked, true);
        is_true(&x->open);
    }
    return x->fail_each && n % x->fail_each == 0 ? TIDINGS_EIO : TIDINGS_OK;
}

static void check_figures(struct conf *c, unsigned workers)
{
    const struct tidings_sub_options o = {.workers = workers,
                                          .order = TIDINGS_ANY_ORDER};
    struct pace x = {.fail_each = 10, .block_at = 51};
    tidings_bus *bus = conf_open(c, NULL);
    struct tidings_sub_info info;
    tidings_sub *sub;

    assert_ok(tidings_subscribe(&sub, bus, "count", pace, &x, &o));
    info = figures(sub);
    assert_int_equal(info.delivered + info.failed + info.pending + info.missed +
                         info.duplicates + info.late + info.running +
                         info.handler_us + info.handler_max_us,
                     0);
    assert_ok(conf_publish_many(bus, "count", 0, 50));
    wait_delivered(sub, 50);
    assert_int_equal(figures(sub).failed, 5);
    assert_int_equal(figures(sub).pending, 0);

    assert_ok(conf_publish(bus, "count", 0, 51)); /* this one waits */
    assert_true(is_true(&x.blocked));
    info = figures(sub);
    assert_int_equal(info.delivered, 50);
    assert_int_equal(info.pending, 1);
    assert_int_equal(info.running, 1);
    atomic_store(&x.open, true);
    assert_ok(conf_publish_many(bus, "count", 1, 49));
    wait_delivered(sub, 100);
    info = figures(sub);
    assert_int_equal(info.failed, 10);
    assert_int_equal(info.pending, 0);
    assert_int_equal(info.duplicates + info.missed + info.late, 0);

    assert_err(tidings_sub_info(NULL, sub), TIDINGS_EINVAL);
    assert_err(tidings_sub_info(&info, NULL), TIDINGS_EINVAL);
    assert_ok(tidings_unsubscribe(sub, CONF_MS));
    assert_err(tidings_sub_info(&info, sub), TIDINGS_ECLOSED);
}

static void test_figures_of_a_subscription(void **state)
{
    check_figures(*state, 0);
    check_figures(*state, 1);
    check_figures(*state, 4);
}

static void check_time(struct conf *c, unsigned workers)
{
    const struct tidings_sub_options o = {.workers = workers,
                                          .order = TIDINGS_ANY_ORDER};
    struct pace slow = {.pause_us = SLOW_US};
    struct pace quick = {0};
    tidings_bus *bus = conf_open(c, NULL);
    tidings_sub *slow_sub;
    tidings_sub *quick_sub;
    struct tidings_sub_info info;

    assert_ok(tidings_subscribe(&slow_sub, bus, "slow", pace, &slow, &o));
    assert_ok(tidings_subscribe(&quick_sub, bus, "quick", pace, &quick, &o));
    assert_ok(conf_publish_many(bus, "slow", 0, 10));
    assert_ok(conf_publish_many(bus, "quick", 0, 2000));
    wait_delivered(slow_sub, 10);
    wait_delivered(quick_sub, 2000);
    info = figures(slow_sub);
    assert_true(info.handler_us >= 10 * SLOW_US);
    assert_true(info.handler_max_us >= SLOW_US);
    assert_true(info.handler_max_us <= info.handler_us);
    info = figures(quick_sub);
    assert_true(info.handler_us > 0);
    assert_true(info.handler_max_us <= info.handler_us);
    assert_ok(tidings_close(bus));
    conf_forget(c, bus);
}

static void test_time_that_handlers_take(void **state)
{
    check_time(*state, 0);
    check_time(*state, 2);
}

/* ---- late handlers ---- */

struct late {
    struct pace pace;
    tidings_bus *bus;
    atomic_bool told;
    atomic_uint times;
    uint64_t ms;
    tidings_sub *sub;
    bool had_event;
    tidings_err close;
    tidings_err publish;
};

static void note_late(void *arg, const struct tidings_status *status)
{
    struct late *x = arg;

    if (status->kind != TIDINGS_HANDLER_LATE)
        return;
    x->ms = status->count;
    x->sub = status->sub;
    x->close = tidings_close(x->bus); /* it is like a handler */
    x->publish = tidings_publish(x->bus, "nobody", NULL, 0);
    atomic_fetch_add(&x->times, 1);
    atomic_store(&x->told, true);
}

static void *dispatch_all(void *arg)
{
    struct late *x = arg;

    while (atomic_load(&x->pace.calls) < 4) {
        if (tidings_dispatch(NULL, x->bus, 100))
            break;
        conf_pause_us(500);
    }
    return NULL;
}

static void check_late(struct conf *c, unsigned workers, bool own_loop)
{
    struct late x = {.pace = {.block_at = 2}};
    const struct tidings_options o = {
        .own_loop = own_loop, .on_status = note_late, .on_status_arg = &x};
    const struct tidings_sub_options so = {.workers = workers,
                                           .order = TIDINGS_ANY_ORDER,
                                           .handler_timeout_ms = LATE_MS};
    pthread_t thread;
    tidings_sub *sub;

    x.bus = conf_open(c, &o);
    assert_ok(tidings_subscribe(&sub, x.bus, "late", pace, &x.pace, &so));
    if (own_loop)
        assert_int_equal(pthread_create(&thread, NULL, dispatch_all, &x), 0);
    assert_ok(conf_publish_many(x.bus, "late", 0, 4));
    assert_true(is_true(&x.told)); /* while it runs */
    assert_true(atomic_load(&x.pace.blocked));
    assert_true(x.ms >= LATE_MS);
    assert_ptr_equal(x.sub, sub);
    assert_err(x.close, TIDINGS_EDEADLK);
    assert_ok(x.publish);
    assert_int_equal(figures(sub).late, 1);
    conf_pause_us(3 * LATE_MS * 1000L); /* not told again */
    assert_int_equal(atomic_load(&x.times), 1);
    atomic_store(&x.pace.open, true);
    wait_delivered(sub, 4);
    if (own_loop)
        pthread_join(thread, NULL);
    assert_int_equal(figures(sub).late, 1);
    assert_ok(tidings_close(x.bus));
    conf_forget(c, x.bus);
    assert_int_equal(x.times, 1);
}

static void test_late_handler_is_told_once(void **state)
{
    check_late(*state, 0, false);
    check_late(*state, 1, false);
    check_late(*state, 3, false);
    check_late(*state, 0, true);
}

/* Each call lasts until it was told of. */
static tidings_err until_told(void *arg, const struct tidings_event *event)
{
    struct tally *told = arg;
    uint64_t before = tally_now(told).statuses[TIDINGS_HANDLER_LATE];

    (void)event;
    tally_wait_status(told, TIDINGS_HANDLER_LATE, before + 1, CONF_MS);
    return TIDINGS_OK;
}

/* Of many calls each that is late is told of, the others are not. */
static void test_each_late_call_is_told(void **state)
{
    struct conf *c = *state;
    struct tally *s = conf_tally(c);
    struct pace quick = {0};
    const struct tidings_options o = {.on_status = tally_status,
                                      .on_status_arg = s};
    const struct tidings_sub_options so = {.handler_timeout_ms = LATE_MS};
    tidings_bus *bus = conf_open(c, &o);
    tidings_bus *quiet = conf_open(c, NULL);
    tidings_sub *sub;
    tidings_sub *other;

    assert_ok(tidings_subscribe(&sub, bus, "late", until_told, s, &so));
    assert_ok(tidings_subscribe(&other, quiet, "quick", pace, &quick, &so));
    assert_ok(conf_publish_many(bus, "quick", 0, 1000));
    assert_ok(conf_publish_many(bus, "late", 0, 5));
    wait_delivered(sub, 5);
    wait_delivered(other, 1000);
    assert_int_equal(figures(sub).late, 5);
    assert_true(figures(other).late <= 2); /* the machine's, not ours */
    assert_int_equal(tally_now(s).statuses[TIDINGS_HANDLER_LATE], 5);
    assert_ok(tidings_close(bus));
    conf_forget(c, bus);
}

/* ---- gaps ---- */

struct gaps {
    struct pace pace;
    pthread_mutex_t lock;
    pthread_t thread; /* of the last call of the handler */
    uint64_t next;    /* the number that is to come, if all is in place */
    uint64_t missed;
    unsigned times;
    unsigned disorder;
    unsigned strangers; /* gaps on another thread than the handler's */
    unsigned inside;
    unsigned together;
    char reason[32];
};

static tidings_err note_event(void *arg, const struct tidings_event *event)
{
    struct gaps *g = arg;
    uint64_t words[2] = {0, 0};

    memcpy(words, event->data, sizeof(words));
    pthread_mutex_lock(&g->lock);
    g->disorder += words[1] != g->next++;
    g->thread = pthread_self();
    pthread_mutex_unlock(&g->lock);
    return pace(&g->pace, event);
}

static void note_gap(void *arg, const struct tidings_gap *gap)
{
    struct gaps *g = arg;

    pthread_mutex_lock(&g->lock);
    g->together += g->inside++ > 0;
    g->next += gap->missed;
    g->missed += gap->missed;
    g->times++;
    g->strangers += !pthread_equal(g->thread, pthread_self());
    snprintf(g->reason, sizeof(g->reason), "%s", gap->reason);
    pthread_mutex_unlock(&g->lock);
    conf_pause_us(1000);
    pthread_mutex_lock(&g->lock);
    g->inside--;
    pthread_mutex_unlock(&g->lock);
}

static void check_gap(struct conf *c, enum tidings_policy policy,
                      const char *reason, unsigned workers)
{
    const uint64_t n = 5000;
    struct gaps g = {
        .pace = {.block_at = 1}, .lock = PTHREAD_MUTEX_INITIALIZER, .next = 1};
    struct tally *s = conf_tally(c);
    const struct tidings_options o = {.on_status = tally_status,
                                      .on_status_arg = s};
    const struct tidings_sub_options so = {.window_events = 20,
                                           .queue_events = 20,
                                           .policy = policy,
                                           .workers = workers,
                                           .order = TIDINGS_ANY_ORDER,
                                           .on_gap = note_gap};
    tidings_bus *bus = conf_open(c, &o);
    tidings_bus *from = conf_open(c, NULL);
    int64_t end;
    tidings_sub *sub;
    struct tidings_info info;

    assert_ok(tidings_subscribe(&sub, bus, "gap", note_event, &g, &so));
    assert_ok(conf_publish(from, "gap", 0, 1));
    assert_true(is_true(&g.pace.blocked));
    for (uint64_t i = 2; i <= n; i++)
        assert_ok(conf_publish(from, "gap", 0, i));
    assert_ok(tidings_flush(from, CONF_MS));
    atomic_store(&g.pace.open, true);
    end = td_proc_now_ms() + CONF_MS;
    while (figures(sub).delivered + figures(sub).missed < n &&
           td_proc_now_ms() < end)
        conf_pause_us(1000);
    assert_int_equal(figures(sub).delivered + figures(sub).missed, n);
    assert_int_equal(figures(sub).pending, 0);
    assert_true(figures(sub).missed > 0);
    assert_ok(tidings_drain(bus, CONF_MS));
    assert_ok(tidings_info(&info, bus));
    assert_ok(tidings_close(bus));
    conf_forget(c, bus);
    assert_int_equal(g.missed, info.missed);
    assert_int_equal(g.missed + atomic_load(&g.pace.calls), n);
    assert_true(g.times > 0);
    assert_int_equal(g.together, 0);
    assert_string_equal(g.reason, reason);
    assert_int_equal(tally_now(s).missed, info.missed);
    assert_int_equal(g.next, n + 1);
    if (workers)
        return;
    assert_int_equal(g.strangers, 0);
    if (policy == TIDINGS_DROP_OLDEST) /* the newest were behind those queued */
        assert_int_equal(g.disorder, 0);
}

static void test_gaps_are_told_on_the_handlers_thread(void **state)
{
    check_gap(*state, TIDINGS_DROP_OLDEST, "oldest", 0);
    check_gap(*state, TIDINGS_DROP_NEWEST, "newest", 0);
}

static void test_gaps_of_workers_are_told(void **state)
{
    check_gap(*state, TIDINGS_DROP_OLDEST, "oldest", 3);
    check_gap(*state, TIDINGS_DROP_NEWEST, "newest", 3);
}

/* ---- options ---- */

static void test_options_of_handlers_are_checked(void **state)
{
    static const struct {
        const char *word; /* in the detail */
        struct tidings_sub_options o;
    } rows[] = {
        {"policy", {.policy = (enum tidings_policy)3}},
        {"group_policy", {.group_policy = (enum tidings_group_policy)5}},
        {"order", {.order = (enum tidings_order)2}},
        {"group", {.group = ""}},
        {"group", {.group = "a b"}},
        {"group",
         {.group = "0123456789012345678901234567890123456789"
                   "0123456789012345678901234"}},
        {"65 workers", {.workers = 65}},
        {"handler_timeout_ms", {.handler_timeout_ms = -1}},
        {"handler_timeout_ms",
         {.handler_timeout_ms = TIDINGS_TIMEOUT_MAX_MS + 1}},
    };
    const struct tidings_options own_loop = {.own_loop = true};
    const struct tidings_sub_options workers = {.workers = 1};
    const struct tidings_sub_options most = {
        .workers = 64, .handler_timeout_ms = TIDINGS_TIMEOUT_MAX_MS};
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    struct tally *t = conf_tally(c);

    for (size_t i = 0; i < TD_ARRAY_LEN(rows); i++) {
        tidings_err err =
            tidings_subscribe(NULL, bus, "args", tally_event, t, &rows[i].o);

        assert_row(rows[i].word, err == TIDINGS_EINVAL);
        assert_row(rows[i].word, strstr(tidings_detail(), rows[i].word));
    }
    assert_err(tidings_subscribe(NULL, conf_open(c, &own_loop), "args",
                                 tally_event, t, &workers),
               TIDINGS_EINVAL);
    assert_non_null(strstr(tidings_detail(), "own_loop"));
    assert_ok(tidings_subscribe(NULL, bus, "args", tally_event, t, &most));
    assert_ok(tidings_publish(bus, "args", NULL, 0));
    assert_true(tally_wait(t, 1, CONF_MS));
}

/* ---- rows of the broker's counters ---- */

static void test_rows_of_the_counters(void **state)
{
    static const char *const names[] = {"subscriptions", "groups", "types",
                                        "sessions"};
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);
    struct tidings_value map;
    struct tidings_value list;
    void *bytes = NULL;
    size_t len = 0;

    assert_err(tidings_stats_rows(&bytes, &len, bus, NULL, 0, CONF_MS),
               TIDINGS_EINVAL);
    assert_err(tidings_stats_rows(&bytes, &len, bus, "rows", 0, CONF_MS),
               TIDINGS_EINVAL);
    assert_err(tidings_stats_rows(NULL, &len, bus, "types", 0, CONF_MS),
               TIDINGS_EINVAL);
    for (size_t i = 0; i < TD_ARRAY_LEN(names); i++) {
        assert_ok(tidings_stats_rows(&bytes, &len, bus, names[i], 0, CONF_MS));
        assert_ok(tidings_value_read(&map, bytes, len));
        assert_row(names[i], !tidings_get(&list, map, names[i]));
        tidings_free(bytes);
    }
    assert_ok(tidings_stats_rows(&bytes, &len, bus, "none", 0, CONF_MS));
    assert_ok(tidings_value_read(&map, bytes, len));
    assert_err(tidings_get(&list, map, "subscriptions"), TIDINGS_ENOTFOUND);
    tidings_free(bytes);
}

int conf_run_figures(void)
{
    const struct CMUnitTest tests[] = {
        CONF_TEST(test_figures_of_a_subscription),
        CONF_TEST(test_time_that_handlers_take),
        CONF_TEST(test_late_handler_is_told_once),
        CONF_TEST(test_each_late_call_is_told),
        CONF_TEST(test_gaps_are_told_on_the_handlers_thread),
        CONF_TEST(test_gaps_of_workers_are_told),
        CONF_TEST(test_options_of_handlers_are_checked),
        CONF_TEST(test_rows_of_the_counters),
    };

    return cmocka_run_group_tests_name("figures", tests, NULL, NULL);
}
