/* Publishing with confirms, against brokers that store, do not, forget to say
 * so, and never get to it. Real sockets: only some backends have these. */
#include "tests/conformance/broker.h"
#include "tests/conformance/conformance.h"

#define EVENTS (20000 / CONF_SLOW)

/* What those who wait for their events were told; each has a place in it. */
struct hearing {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t calls;
    uint64_t errs;       /* of those */
    uint64_t duplicates; /* of those */
    uint64_t disorder;   /* stream's sequences that fell */
    uint64_t last;
    tidings_err err; /* the last */
    uint8_t times[EVENTS];
    tidings_bus *bus;       /* that is published to from the callback … */
    uint64_t more;          /* … so many times more */
    tidings_err answers[3]; /* to calls inside it */
};

static struct hearing hearing;

static void hearing_begin(void)
{
    memset(&hearing, 0, sizeof(hearing));
    pthread_mutex_init(&hearing.lock, NULL);
    pthread_cond_init(&hearing.changed, NULL);
}

static void on_confirm(void *arg, const struct tidings_confirm *confirm)
{
    uint8_t *times = arg;

    pthread_mutex_lock(&hearing.lock);
    ++*times;
    hearing.calls++;
    hearing.errs += confirm->err != TIDINGS_OK;
    hearing.duplicates += confirm->duplicate;
    if (!confirm->err && (confirm->sequence <= hearing.last ||
                          strcmp(confirm->stream, "events") != 0 ||
                          confirm->level != TIDINGS_DISK))
        hearing.disorder++;
    if (confirm->err && (confirm->sequence || *confirm->stream))
        hearing.disorder++;
    hearing.last = confirm->sequence;
    hearing.err = confirm->err;
    pthread_cond_signal(&hearing.changed);
    pthread_mutex_unlock(&hearing.lock);
}

static bool heard(uint64_t calls)
{
    struct timespec t;
    bool ok;

    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec += CONF_MS / 1000;
    pthread_mutex_lock(&hearing.lock);
    while (hearing.calls < calls &&
           pthread_cond_timedwait(&hearing.changed, &hearing.lock, &t) == 0)
        ;
    ok = hearing.calls >= calls;
    pthread_mutex_unlock(&hearing.lock);
    return ok;
}

/* Each once, and no more. */
static bool each_once(uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        if (hearing.times[i] != 1)
            return false;
    }
    return hearing.calls == n;
}

static tidings_err publish_one(tidings_bus *bus, uint64_t i)
{
    const struct tidings_event event = {
        .type = i % 5 ? "a.b" : "a.c", .data = "data", .data_len = 4};
    const struct tidings_publish_options o = {.on_confirm = on_confirm,
                                              .arg = &hearing.times[i]};

    return tidings_publish_with(bus, &event, &o);
}

static void publish_all(tidings_bus *bus, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        assert_ok(publish_one(bus, i));
}

static struct tidings_info info_of(tidings_bus *bus)
{
    struct tidings_info info;

    assert_ok(tidings_info(&info, bus));
    return info;
}

/* ---- confirmed ---- */

static void test_flush_waits_for_confirms(void **state)
{
    const struct tidings_options o = {.confirm = TIDINGS_OS};
    struct tidings_info info;
    struct broker b;
    tidings_bus *bus;

    (void)state;
    if (!conf_has_daemon())
        skip();
    broker_start(&b, STORING);
    assert_ok(tidings_open(&bus, b.endpoint, &o));
    for (int i = 0; i < 1000; i++) {
        assert_ok(tidings_publish(bus, "a", NULL, 0));
        if (i % 100 == 0)
            assert_ok(tidings_flush(bus, CONF_MS));
    }
    assert_ok(tidings_flush(bus, CONF_MS));
    info = info_of(bus);
    assert_ok(tidings_close(bus));
    broker_stop(&b);
    assert_int_equal(info.confirmed, 1000);
    assert_int_equal(info.taken, 1000);
    assert_int_equal(info.unconfirmed, 0);
    assert_int_equal(info.unstored, 0);
}

static void test_each_event_is_confirmed_to_who_published_it(void **state)
{
    struct tidings_info info;
    struct broker b;
    tidings_bus *bus;
    bool all;

    (void)state;
    if (!conf_has_daemon())
        skip();
    hearing_begin();
    broker_start(&b, STORING);
    assert_ok(tidings_open(&bus, b.endpoint, NULL));
    publish_all(bus, EVENTS);
    all = heard(EVENTS);
    info = info_of(bus);
    assert_ok(tidings_close(bus));
    broker_stop(&b);
    assert_true(all);
    assert_true(each_once(EVENTS));
    assert_int_equal(hearing.errs, 0);
    assert_int_equal(hearing.disorder, 0);
    assert_int_equal(info.confirmed, EVENTS);
    assert_int_equal(info.unconfirmed, 0);
}

/* ---- from several threads ---- */

#define THREADS 4

static void *publish_quarter(void *arg)
{
    uint64_t first = (uint64_t)(uintptr_t)arg * (EVENTS / THREADS);

    for (uint64_t i = first; i < first + EVENTS / THREADS; i++) {
        if (publish_one(hearing.bus, i))
            return (void *)1;
    }
    return tidings_flush(hearing.bus, CONF_MS) ? (void *)1 : NULL;
}

static void test_threads_are_told_of_their_own(void **state)
{
    const struct tidings_options o = {.unconfirmed_events = 1000,
                                      .confirm = TIDINGS_DISK};
    pthread_t threads[THREADS];
    unsigned failed = 0;
    struct broker b;
    void *result;
    bool all;

    (void)state;
    if (!conf_has_daemon())
        skip();
    hearing_begin();
    broker_start(&b, STORING);
    assert_ok(tidings_open(&hearing.bus, b.endpoint, &o));
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, publish_quarter, (void *)i), 0);
    for (uintptr_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], &result);
        failed += result != NULL;
    }
    all = heard(EVENTS);
    assert_ok(tidings_close(hearing.bus));
    broker_stop(&b);
    assert_int_equal(failed, 0);
    assert_true(all && each_once(EVENTS));
    assert_int_equal(hearing.disorder, 0);
}

/* ---- not stored ---- */

static void test_flush_says_what_was_not_stored(void **state)
{
    struct conf *c = *state;
    struct tally *s = conf_tally(c);
    const struct tidings_options o = {
        .confirm = TIDINGS_DISK, .on_status = tally_status, .on_status_arg = s};
    struct tidings_info info;
    char detail[512];
    struct broker b;
    tidings_bus *bus;
    tidings_err first;
    tidings_err second;
    bool told;

    if (!conf_has_daemon())
        skip();
    hearing_begin();
    broker_start(&b, STORELESS);
    assert_ok(tidings_open(&bus, b.endpoint, &o));
    assert_ok(tidings_publish(bus, "order.placed", NULL, 0));
    assert_ok(publish_one(bus, 1));
    assert_ok(tidings_publish(bus, "order.placed", NULL, 0));
    first = tidings_flush(bus, CONF_MS);
    snprintf(detail, sizeof(detail), "%s", tidings_detail());
    second = tidings_flush(bus, CONF_MS);
    told = tally_wait_status(s, TIDINGS_UNSTORED, 1, CONF_MS) && heard(1);
    info = info_of(bus);
    assert_ok(tidings_close(bus));
    broker_stop(&b);
    assert_err(first, TIDINGS_ENOSTREAM);
    assert_string_equal(detail, "2 events were not stored: no stream takes "
                                "this type: \"order.placed\"");
    assert_ok(second);
    assert_true(told);
    assert_int_equal(tally_now(s).status.err, TIDINGS_ENOSTREAM);
    assert_int_equal(hearing.calls, 1);
    assert_int_equal(hearing.times[1], 1);
    assert_int_equal(hearing.err, TIDINGS_ENOSTREAM);
    assert_int_equal(hearing.disorder, 0);
    assert_int_equal(info.unstored, 3);
    assert_int_equal(info.confirmed, 0);
    assert_int_equal(info.unconfirmed, 0);
}

/* ---- links that are lost, and brokers that are slow ---- */

static void test_a_lost_link_tells_nobody_twice(void **state)
{
    struct tidings_info info;
    struct broker b;
    tidings_bus *bus;
    bool all;

    (void)state;
    if (!conf_has_daemon())
        skip();
    hearing_begin();
    broker_start(&b, FORGETTING);
    assert_ok(tidings_open(&bus, b.endpoint, NULL));
    publish_all(bus, EVENTS);
    all = heard(EVENTS);
    assert_ok(tidings_flush(bus, CONF_MS));
    info = info_of(bus);
    assert_ok(tidings_close(bus));
    broker_stop(&b);
    assert_true(all);
    assert_true(each_once(EVENTS));
    assert_int_equal(hearing.disorder, 0);
    assert_int_equal(hearing.duplicates, EVENTS);
    assert_int_equal(info.connects, 2);
    assert_true(info.resent >= FORGOTTEN);
    assert_int_equal(info.confirmed, EVENTS);
}

static void test_close_answers_who_still_waits(void **state)
{
    const struct tidings_options o = {.unconfirmed_events = 100,
                                      .publish_timeout_ms = 50,
                                      .close_timeout_ms = 50,
                                      .confirm = TIDINGS_DISK};
    char flushed[512];
    char full[512];
    char closed[512];
    struct tidings_info info;
    struct broker b;
    tidings_bus *bus;
    tidings_err err[3];

    (void)state;
    if (!conf_has_daemon())
        skip();
    hearing_begin();
    broker_start(&b, PROCRASTINATING);
    assert_ok(tidings_open(&bus, b.endpoint, &o));
    publish_all(bus, 100);
    do
        info = info_of(bus);
    while (info.taken < 100);
    err[0] = tidings_flush(bus, 50);
    snprintf(flushed, sizeof(flushed), "%s", tidings_detail());
    err[1] = publish_one(bus, 100);
    snprintf(full, sizeof(full), "%s", tidings_detail());
    info = info_of(bus);
    err[2] = tidings_close(bus);
    snprintf(closed, sizeof(closed), "%s", tidings_detail());
    broker_stop(&b);
    assert_err(err[0], TIDINGS_ETIMEDOUT);
    assert_non_null(strstr(flushed, "has not confirmed 100 events"));
    assert_err(err[1], TIDINGS_EFULL);
    assert_ptr_equal(strstr(full, "100 events wait to be confirmed"), full);
    assert_err(err[2], TIDINGS_ETIMEDOUT);
    assert_string_equal(closed, "closed; 100 events were not confirmed, 0 of "
                                "them not taken by a broker");
    assert_int_equal(info.unconfirmed, 100);
    assert_int_equal(info.taken, 100);
    assert_true(each_once(100)); /* before tidings_close() returned */
    assert_int_equal(hearing.errs, 100);
    assert_int_equal(hearing.err, TIDINGS_ECLOSED);
    assert_int_equal(hearing.disorder, 0);
}

static void test_close_without_a_broker_answers_who_waits(void **state)
{
    const struct tidings_options o = {.close_timeout_ms = -1};
    char url[256];
    tidings_bus *bus;

    (void)state;
    if (!conf_has_daemon())
        skip();
    hearing_begin();
    assert_ok(tidings_open(&bus, conf_dead_url(url), &o));
    publish_all(bus, 1000); /* in closed batches, and the open one */
    assert_err(tidings_close(bus), TIDINGS_ETIMEDOUT);
    assert_string_equal(tidings_detail(),
                        "closed; 1000 events were not taken by a broker");
    assert_true(each_once(1000));
    assert_int_equal(hearing.err, TIDINGS_ECLOSED);
}

/* ---- inside the callback ---- */

/* One begets the next. */
static void on_confirm_publish(void *arg, const struct tidings_confirm *confirm)
{
    const struct tidings_event event = {.type = "a"};
    const struct tidings_publish_options o = {.on_confirm = on_confirm_publish,
                                              .arg = arg};
    bool more;

    pthread_mutex_lock(&hearing.lock);
    more = hearing.more > 0;
    hearing.more -= more;
    pthread_mutex_unlock(&hearing.lock);
    if (more && tidings_publish_with(hearing.bus, &event, &o)) {
        pthread_mutex_lock(&hearing.lock);
        hearing.errs++;
        pthread_mutex_unlock(&hearing.lock);
    }
    pthread_mutex_lock(&hearing.lock);
    hearing.errs += confirm->err != TIDINGS_OK;
    hearing.calls++;
    pthread_cond_signal(&hearing.changed);
    pthread_mutex_unlock(&hearing.lock);
}

static void test_callbacks_may_publish(void **state)
{
    const struct tidings_event event = {.type = "a"};
    const struct tidings_publish_options o = {.on_confirm = on_confirm_publish};
    struct broker b;
    bool all;

    (void)state;
    if (!conf_has_daemon())
        skip();
    hearing_begin();
    hearing.more = EVENTS - 100;
    broker_start(&b, STORING);
    assert_ok(tidings_open(&hearing.bus, b.endpoint, NULL));
    for (int i = 0; i < 100; i++)
        assert_ok(tidings_publish_with(hearing.bus, &event, &o));
    all = heard(EVENTS);
    assert_ok(tidings_close(hearing.bus));
    broker_stop(&b);
    assert_true(all);
    assert_int_equal(hearing.errs, 0);
    assert_int_equal(hearing.calls, EVENTS);
}

static void on_confirm_call(void *arg, const struct tidings_confirm *confirm)
{
    tidings_err answers[3];

    (void)arg;
    (void)confirm;
    answers[0] = tidings_close(hearing.bus);
    answers[1] = tidings_publish(hearing.bus, "a", NULL, 0);
    answers[2] = tidings_flush(hearing.bus, CONF_MS);
    pthread_mutex_lock(&hearing.lock);
    memcpy(hearing.answers, answers, sizeof(answers));
    hearing.calls++;
    pthread_cond_signal(&hearing.changed);
    pthread_mutex_unlock(&hearing.lock);
}

static void test_callbacks_may_call_what_handlers_may(void **state)
{
    const struct tidings_event event = {.type = "a"};
    const struct tidings_publish_options o = {.on_confirm = on_confirm_call};
    struct broker b;
    bool all;

    (void)state;
    if (!conf_has_daemon())
        skip();
    hearing_begin();
    broker_start(&b, STORING);
    assert_ok(tidings_open(&hearing.bus, b.endpoint,
                           &(struct tidings_options){.confirm = TIDINGS_OS}));
    assert_ok(tidings_publish_with(hearing.bus, &event, &o));
    all = heard(1);
    assert_ok(tidings_close(hearing.bus));
    broker_stop(&b);
    assert_true(all);
    assert_err(hearing.answers[0], TIDINGS_EDEADLK);
    assert_ok(hearing.answers[1]);
    assert_ok(hearing.answers[2]);
}

/* And when there is no bus any more. */
static void test_callbacks_at_close_find_it_closed(void **state)
{
    const struct tidings_event event = {.type = "a"};
    const struct tidings_publish_options o = {.on_confirm = on_confirm_call};
    const struct tidings_options options = {.close_timeout_ms = -1};
    char url[256];

    (void)state;
    if (!conf_has_daemon())
        skip();
    hearing_begin();
    assert_ok(tidings_open(&hearing.bus, conf_dead_url(url), &options));
    assert_ok(tidings_publish_with(hearing.bus, &event, &o));
    assert_err(tidings_close(hearing.bus), TIDINGS_ETIMEDOUT);
    assert_int_equal(hearing.calls, 1);
    for (size_t i = 0; i < TD_ARRAY_LEN(hearing.answers); i++)
        assert_err(hearing.answers[i], TIDINGS_ECLOSED);
}

static void test_callbacks_of_an_own_loop_are_called_in_it(void **state)
{
    const struct tidings_options o = {.own_loop = true};
    int64_t end = td_proc_now_ms() + CONF_MS;
    struct broker b;
    tidings_bus *bus;
    uint64_t before;
    uint64_t between;

    (void)state;
    if (!conf_has_daemon())
        skip();
    hearing_begin();
    broker_start(&b, STORING);
    assert_ok(tidings_open(&bus, b.endpoint, &o));
    publish_all(bus, 2000);
    assert_ok(tidings_flush(bus, CONF_MS));
    before = hearing.calls;
    do
        assert_ok(tidings_dispatch(NULL, bus, 1));
    while (hearing.calls < 2000 && td_proc_now_ms() < end);
    between = hearing.calls;
    for (uint64_t i = 2000; i < 2100; i++)
        assert_ok(publish_one(bus, i));
    assert_ok(tidings_flush(bus, CONF_MS));
    assert_ok(tidings_close(bus));
    broker_stop(&b);
    assert_int_equal(before, 0);
    assert_int_equal(between, 2000);
    assert_true(each_once(2100));
    assert_int_equal(hearing.errs, 0);
    assert_int_equal(hearing.disorder, 0);
}

/* Callbacks that nobody lets be called do not pile up for ever. */
static void test_callbacks_that_wait_are_bounded(void **state)
{
    const struct tidings_options o = {.own_loop = true,
                                      .unconfirmed_bytes = 2 << 20,
                                      .publish_timeout_ms = 20};
    struct broker b;
    tidings_bus *bus;
    uint64_t n = 0;
    char full[512];
    tidings_err err;

    (void)state;
    if (!conf_has_daemon())
        skip();
    hearing_begin();
    broker_start(&b, STORING);
    assert_ok(tidings_open(&bus, b.endpoint, &o));
    while (n < 200000 && !publish_one(bus, 0))
        n++;
    assert_ok(tidings_flush(bus, CONF_MS));
    while (n < 200000 && !publish_one(bus, 0)) { /* what has been let go */
        n++;
        assert_ok(tidings_flush(bus, CONF_MS));
    }
    err = publish_one(bus, 0);
    snprintf(full, sizeof(full), "%s", tidings_detail());
    while (hearing.calls < n)
        assert_ok(tidings_dispatch(NULL, bus, 1));
    assert_ok(publish_one(bus, 0));
    assert_ok(tidings_flush(bus, CONF_MS));
    assert_ok(tidings_close(bus));
    broker_stop(&b);
    assert_err(err, TIDINGS_EFULL);
    assert_string_equal(full,
                        "callbacks of confirmed events wait to be called");
    assert_true(n < 200000);
    assert_int_equal(hearing.calls, n + 1);
    assert_int_equal(hearing.errs, 0);
}

/* ---- arguments ---- */

static void test_levels_outside_their_enum_are_refused(void **state)
{
    const struct tidings_event event = {.type = "a"};
    const enum tidings_level none[] = {(enum tidings_level)(TIDINGS_DISK + 1),
                                       (enum tidings_level) - 1};
    struct conf *c = *state;
    tidings_bus *bus = conf_open(c, NULL);

    for (size_t i = 0; i < TD_ARRAY_LEN(none); i++) {
        const struct tidings_options o = {.confirm = none[i]};
        const struct tidings_publish_options p = {.level = none[i]};
        tidings_bus *no = NULL;

        assert_err(tidings_open(&no, conf_url(), &o), TIDINGS_EINVAL);
        assert_non_null(strstr(tidings_detail(), "confirm"));
        assert_null(no);
        assert_err(tidings_publish_with(bus, &event, &p), TIDINGS_EINVAL);
        assert_non_null(strstr(tidings_detail(), "level"));
    }
    assert_err(tidings_publish_with(bus, NULL, NULL), TIDINGS_EINVAL);
    assert_ok(tidings_publish_with(bus, &event, NULL));
    assert_ok(tidings_flush(bus, CONF_MS));
}

int conf_run_confirm(void)
{
    const struct CMUnitTest tests[] = {
        CONF_TEST(test_flush_waits_for_confirms),
        CONF_TEST(test_each_event_is_confirmed_to_who_published_it),
        CONF_TEST(test_threads_are_told_of_their_own),
        CONF_TEST(test_flush_says_what_was_not_stored),
        CONF_TEST(test_a_lost_link_tells_nobody_twice),
        CONF_TEST(test_close_answers_who_still_waits),
        CONF_TEST(test_close_without_a_broker_answers_who_waits),
        CONF_TEST(test_callbacks_may_publish),
        CONF_TEST(test_callbacks_may_call_what_handlers_may),
        CONF_TEST(test_callbacks_at_close_find_it_closed),
        CONF_TEST(test_callbacks_of_an_own_loop_are_called_in_it),
        CONF_TEST(test_callbacks_that_wait_are_bounded),
        CONF_TEST(test_levels_outside_their_enum_are_refused),
    };

    return cmocka_run_group_tests_name("confirm", tests, NULL, NULL);
}
