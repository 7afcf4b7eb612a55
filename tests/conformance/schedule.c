/* Events that are published later: when they come, cancelling them, and a
 * broker that is killed while they wait. */
#include "tests/conformance/kept.h"

#define SOON_MS  300
#define NEVER_MS 3600000 /* long after the test */
#define BLUR_MS  50      /* between the wall's clock and ours */

/* What was told of one publish: of its first event, and how many were told. */
struct answer {
    pthread_mutex_t lock; /* of what follows */
    unsigned told;
    struct tidings_confirm first;
    char stream[32];
};

static void on_confirm(void *arg, const struct tidings_confirm *confirm)
{
    struct answer *a = arg;

    pthread_mutex_lock(&a->lock);
    if (a->told++ == 0) {
        a->first = *confirm;
        snprintf(a->stream, sizeof(a->stream), "%s", confirm->stream);
    }
    pthread_mutex_unlock(&a->lock);
}

/* Events numbered from first on, and what was confirmed. */
static struct answer schedule(tidings_bus *bus, const struct kept *k,
                              uint64_t first, unsigned events, int64_t at_ms,
                              uint64_t after_ms)
{
    struct answer a = {.lock = PTHREAD_MUTEX_INITIALIZER};
    const struct tidings_publish_options options = {.on_confirm = on_confirm,
                                                    .arg = &a,
                                                    .at_ms = at_ms,
                                                    .after_ms = after_ms};
    struct tidings_event event[3] = {{.type = k->type}};
    uint64_t n[3];
    int64_t end = td_proc_now_ms() + CONF_MS;
    unsigned told = 0;

    for (unsigned i = 0; i < events; i++) {
        n[i] = first + i;
        event[i] = (struct tidings_event){
            .type = k->type, .data = &n[i], .data_len = sizeof(n[i])};
    }
    assert_ok(events == 1 ? tidings_publish_with(bus, event, &options)
                          : tidings_publish_all(bus, event, events, &options));
    while (told < events && td_proc_now_ms() < end) {
        pthread_mutex_lock(&a.lock);
        told = a.told;
        pthread_mutex_unlock(&a.lock);
        conf_pause_us(500);
    }
    assert_int_equal(told, events);
    a.first.stream = NULL;
    return a;
}

static uint64_t waiting(tidings_bus *bus)
{
    const struct operate_option none = {0};
    struct tidings_value all;
    uint64_t n = 0;
    void *data = NULL;
    size_t len = 0;

    assert_ok(operate(&data, &len, bus, "schedule.list", &none));
    assert_ok(tidings_value_read(&all, data, len));
    assert_ok(tidings_get_uint(&n, all, "scheduled_total"));
    tidings_free(data);
    return n;
}

static void wait_for_none(tidings_bus *bus)
{
    int64_t end = td_proc_now_ms() + CONF_MS;

    while (waiting(bus) > 0 && td_proc_now_ms() < end)
        conf_pause_us(500);
    assert_int_equal(waiting(bus), 0);
}

static const struct tidings_sub_options from_all = {
    .start = {.kind = TIDINGS_START_ALL}};

/* ---- being published ---- */

static void test_events_wait_for_their_time(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct hand *h = hand_new(c);
    struct tally *live;
    struct answer a;
    struct kept k;
    int64_t start;

    if (!conf_has_data())
        skip();
    kept_add(&k, bus);
    hand_join(h, bus, &k, NULL, &from_all);
    live = conf_subscribe(c, bus, k.pattern);
    kept_publish(&k, bus, 1, 1);
    start = td_proc_now_ms();
    a = schedule(bus, &k, 2, 1, 0, SOON_MS);
    assert_ok(a.first.err);
    assert_string_equal(a.stream, TIDINGS_SCHEDULE);
    assert_true(a.first.sequence > 0);
    assert_int_equal(a.first.level, TIDINGS_DISK);
    kept_publish(&k, bus, 3, 1); /* it is overtaken, and not lost for that */
    assert_true(hand_wait(h, 3, CONF_MS));
    for (uint64_t i = 0; i < 3; i++) {
        struct hand_call call = hand_call(h, i);

        assert_int_equal(call.sequence, i + 1);
        if (call.n == 2)
            assert_true(call.ms - start >= SOON_MS - BLUR_MS);
    }
    assert_true(tally_wait(live, 3, CONF_MS));
    wait_for_none(bus);
    assert_err(tidings_schedule_cancel(bus, a.first.sequence, CONF_MS),
               TIDINGS_ENOTFOUND);
}

static void test_times_are_moments_too_and_lists_wait_as_one(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct hand *h = hand_new(c);
    struct kept k;

    if (!conf_has_data())
        skip();
    kept_add(&k, bus);
    hand_join(h, bus, &k, NULL, &from_all);
    assert_ok(schedule(bus, &k, 1, 3, conf_unix_ms() - 1000, 0).first.err);
    assert_ok(schedule(bus, &k, 4, 1, conf_unix_ms() + SOON_MS, 0).first.err);
    assert_true(hand_wait(h, 4, CONF_MS));
    assert_true(hand_saw_just(h, 1, 4));
}

static void test_memory_is_written_all_the_same(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus =
        conf_open(c, &(struct tidings_options){.confirm = TIDINGS_MEMORY});
    struct answer a;
    struct kept k;

    if (!conf_has_data())
        skip();
    kept_add(&k, bus);
    a = schedule(bus, &k, 1, 1, 0, NEVER_MS);
    assert_ok(a.first.err);
    assert_true(a.first.level >= TIDINGS_OS);
    assert_ok(tidings_schedule_cancel(bus, a.first.sequence, CONF_MS));
}

/* ---- refused ---- */

static void test_what_cannot_be_scheduled_is_refused(void **state)
{
    static const struct tidings_publish_options bad[] = {
        {.at_ms = -1},
        {.at_ms = INT64_MAX},
        {.after_ms = UINT64_MAX},
        {.at_ms = 1, .after_ms = 1},
        {.after_ms = 1, .expects = true},
    };
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct kept k;

    kept_add(&k, bus);
    for (size_t i = 0; i < TD_ARRAY_LEN(bad); i++) {
        const struct tidings_event event = {.type = k.type};

        assert_err(tidings_publish_with(bus, &event, &bad[i]), TIDINGS_EINVAL);
        assert_err(tidings_publish_all(bus, &event, 1, &bad[i]),
                   TIDINGS_EINVAL);
    }
    assert_err(tidings_schedule_cancel(bus, 1000000, CONF_MS),
               conf_has_data() ? TIDINGS_ENOTFOUND : TIDINGS_ENOTSUP);
    if (!conf_has_data()) /* the stream is in memory */
        assert_err(schedule(bus, &k, 1, 1, 0, 1).first.err, TIDINGS_ENOTSUP);
}

/* ---- cancelled ---- */

static void test_what_is_cancelled_is_never_published(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct hand *h = hand_new(c);
    struct answer a, b;
    struct kept k;

    if (!conf_has_data())
        skip();
    kept_add(&k, bus);
    hand_join(h, bus, &k, NULL, &from_all);
    a = schedule(bus, &k, 9, 2, 0, NEVER_MS);
    assert_int_equal(waiting(bus), 2);
    b = schedule(bus, &k, 1, 1, 0, SOON_MS);
    assert_int_equal(b.first.sequence, a.first.sequence + 2);
    for (uint64_t i = 0; i < 2; i++) {
        uint64_t number = a.first.sequence + i;

        assert_ok(tidings_schedule_cancel(bus, number, CONF_MS));
        assert_err(tidings_schedule_cancel(bus, number, CONF_MS),
                   TIDINGS_ENOTFOUND);
    }
    assert_true(hand_wait(h, 1, CONF_MS));
    wait_for_none(bus);
    assert_true(hand_saw_just(h, 1, 1));
    assert_int_equal(operate_stream_figure(bus, k.stream, "last"), 1);
}

/* ---- killed ---- */

/* One falls due while the broker is down, or before it is killed, or after it
 * is back: all are published, each once. */
static void test_killed_brokers_publish_each_once(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct hand *h = hand_new(c);
    struct answer a;
    struct kept k;

    if (!conf_has_data())
        skip();
    kept_add(&k, bus);
    a = schedule(bus, &k, 100, 1, 0, NEVER_MS);
    for (uint64_t n = 1; n <= 3; n++)
        assert_ok(schedule(bus, &k, n, 1, 0, n).first.err);
    assert_ok(schedule(bus, &k, 4, 1, 0, SOON_MS).first.err);
    conf_restart(c);
    bus = kept_open(c);
    hand_join(h, bus, &k, NULL, &from_all);
    assert_true(hand_wait(h, 4, CONF_MS));
    assert_int_equal(waiting(bus), 1);
    conf_restart(c);
    bus = kept_open(c);
    hand_free(h);
    h = hand_new(c);
    hand_join(h, bus, &k, NULL, &from_all);
    assert_true(hand_wait(h, 4, CONF_MS));
    assert_ok(tidings_schedule_cancel(bus, a.first.sequence, CONF_MS));
    conf_restart(c);
    bus = kept_open(c);
    assert_int_equal(waiting(bus), 0);
    assert_int_equal(operate_stream_figure(bus, k.stream, "last"), 4);
    assert_true(hand_saw_just(h, 1, 4));
}

int conf_run_schedule(void)
{
    const struct CMUnitTest tests[] = {
        KEPT_TEST(test_events_wait_for_their_time),
        KEPT_TEST(test_times_are_moments_too_and_lists_wait_as_one),
        KEPT_TEST(test_memory_is_written_all_the_same),
        KEPT_TEST(test_what_cannot_be_scheduled_is_refused),
        KEPT_TEST(test_what_is_cancelled_is_never_published),
        KEPT_TEST(test_killed_brokers_publish_each_once),
    };

    return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}
