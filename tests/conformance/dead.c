/* Dead letters: how events come to be dead, what operators see of them, and how
 * they come back. Kept in the data folder. */
#include "tests/conformance/kept.h"

#define GROUP   "g"
#define HANDLER "mailer-1" /* name of the bus whose handlers fail */

static void add_group(tidings_bus *bus, const struct kept *k, uint32_t deliver)
{
    const struct tidings_group_options options = {
        .stream = k->stream,
        .group = GROUP,
        .max_deliver = deliver,
        .backoff_ms = 1,
        .backoff_max_ms = 1,
    };

    assert_ok(tidings_group_add(bus, &options, CONF_MS));
}

/* Event 3 fails with a reason until it is fixed. */
static atomic_bool fixed;

static tidings_err fail_third(struct hand *h, const struct hand_call *call)
{
    (void)h;
    if (call->n != 3 || atomic_load(&fixed))
        return TIDINGS_OK;
    tidings_set_detail("no such customer");
    return TIDINGS_EIO;
}

static tidings_err term_third(struct hand *h, const struct hand_call *call)
{
    (void)h;
    if (call->n != 3 || atomic_load(&fixed))
        return TIDINGS_OK;
    tidings_set_detail("of no use");
    return TIDINGS_ETERM;
}

static void check_dead(tidings_bus *bus, const struct kept *k,
                       const char *reason, const char *error,
                       uint64_t deliveries)
{
    struct operate_dead d = operate_dead_at(bus, k->stream, GROUP, 0);

    assert_int_equal(d.total, 1);
    assert_int_equal(d.sequence, 3);
    assert_string_equal(d.type, k->type);
    assert_string_equal(d.reason, reason);
    assert_non_null(strstr(d.error, error));
    assert_int_equal(d.deliveries, deliveries);
    assert_string_equal(d.stream, k->stream);
    assert_string_equal(d.handler, HANDLER);
    assert_true(d.first_ms > 0 && d.last_ms >= d.first_ms);
    assert_false(d.redriven);
}

static void check_redrive(struct conf *c,
                          tidings_err (*answer)(struct hand *,
                                                const struct hand_call *),
                          uint32_t deliver, const char *reason,
                          const char *error)
{
    const struct tidings_options named = {.name = HANDLER};
    tidings_bus *bus = kept_open(c);
    struct hand *h = hand_new(c);
    uint64_t calls = 9 + deliver;
    struct kept k;

    atomic_store(&fixed, false);
    kept_add(&k, bus);
    add_group(bus, &k, deliver);
    h->answer = answer;
    hand_join(h, conf_open(c, &named), &k, GROUP, NULL);
    kept_publish(&k, bus, 1, 10);
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    assert_int_equal(hand_count(h), calls); /* and the group went on */
    assert_int_equal(operate_group_figure(bus, k.stream, GROUP, "dead"), 1);
    check_dead(bus, &k, reason, error, deliver);
    check_dead(bus, &k, reason, error, deliver); /* looking changes nothing */

    /* redriven too early it is dead again, as the same one */
    assert_int_equal(operate_dead_all(bus, "dlq.redrive", k.stream, GROUP), 1);
    calls += deliver;
    assert_true(hand_wait(h, calls, CONF_MS));
    assert_int_equal(hand_call(h, calls - deliver).deliveries, 1);
    for (int64_t end = td_proc_now_ms() + CONF_MS;
         operate_dead_at(bus, k.stream, GROUP, 0).redriven &&
         td_proc_now_ms() < end;)
        conf_pause_us(1000);
    check_dead(bus, &k, reason, error, deliver);

    atomic_store(&fixed, true);
    assert_int_equal(operate_dead_all(bus, "dlq.redrive", k.stream, GROUP), 1);
    assert_true(hand_wait(h, ++calls, CONF_MS));
    assert_int_equal(hand_call(h, calls - 1).n, 3);
    for (int64_t end = td_proc_now_ms() + CONF_MS;
         operate_dead_at(bus, k.stream, GROUP, 0).total &&
         td_proc_now_ms() < end;)
        conf_pause_us(1000);
    assert_int_equal(operate_dead_at(bus, k.stream, GROUP, 0).total, 0);
    assert_int_equal(hand_count(h), calls);
}

static void test_events_that_fail_too_often_are_dead(void **state)
{
    if (!conf_has_data())
        skip();
    check_redrive(*state, fail_third, 4, "max_deliver", "no such customer");
}

static void test_termed_events_are_dead_at_once(void **state)
{
    if (!conf_has_data())
        skip();
    check_redrive(*state, term_third, 1, "term", "of no use");
}

/* Where nothing is kept they are counted, and the group goes on. */
static void test_dead_events_of_a_stream_in_memory_are_counted(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct hand *h = hand_new(c);
    struct tidings_stream_options options;
    const char *patterns[1];
    struct kept k;

    atomic_store(&fixed, false);
    kept_name(&k);
    options = kept_options(&k, patterns);
    options.storage = TIDINGS_STORE_MEMORY;
    assert_ok(tidings_stream_add(bus, &options, CONF_MS));
    add_group(bus, &k, 2);
    h->answer = fail_third;
    hand_join(h, bus, &k, GROUP, NULL);
    kept_publish(&k, bus, 1, 10);
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    assert_int_equal(hand_count(h), 11);
    assert_int_equal(operate_group_figure(bus, k.stream, GROUP, "dead"), 1);
}

/* ---- many ---- */

static tidings_err term_all(struct hand *h, const struct hand_call *call)
{
    (void)h;
    (void)call;
    return atomic_load(&fixed) ? TIDINGS_OK : TIDINGS_ETERM;
}

/* More than one answer holds; the origin may be gone meanwhile. */
static void test_dead_letters_outlive_their_stream(void **state)
{
    const uint64_t events = 500;
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct hand *h = hand_new(c);
    uint64_t listed = 0;
    uint64_t from = 0;
    struct kept k;

    if (!conf_has_data())
        skip();
    atomic_store(&fixed, false);
    kept_add(&k, bus);
    add_group(bus, &k, 2);
    h->answer = term_all;
    hand_join(h, bus, &k, GROUP, NULL);
    kept_publish(&k, bus, 1, events);
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    assert_int_equal(operate_dead_at(bus, k.stream, GROUP, 0).total, events);
    for (; listed < 5; listed++) {
        struct operate_dead d = operate_dead_at(bus, k.stream, GROUP, from);

        assert_int_equal(d.sequence, listed + 1);
        from = d.number + 1;
    }
    assert_ok(operate(NULL, NULL, bus, "stream.purge",
                      (struct operate_option[]){{"name", k.stream, 0}, {0}}));
    atomic_store(&fixed, true);
    assert_int_equal(operate_dead_all(bus, "dlq.redrive", k.stream, GROUP),
                     events);
    if (!hand_wait(h, 2 * events, CONF_MS))
        fail_msg("%llu of %llu come back",
                 (unsigned long long)(hand_count(h) - events),
                 (unsigned long long)events);
    for (int64_t end = td_proc_now_ms() + CONF_MS;
         operate_dead_at(bus, k.stream, GROUP, 0).total &&
         td_proc_now_ms() < end;)
        conf_pause_us(1000);
    assert_int_equal(operate_dead_at(bus, k.stream, GROUP, 0).total, 0);
}

static void test_dead_letters_are_purged(void **state)
{
    const uint64_t events = 250;
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct hand *h = hand_new(c);
    struct kept k;

    if (!conf_has_data())
        skip();
    atomic_store(&fixed, false);
    kept_add(&k, bus);
    add_group(bus, &k, 2);
    h->answer = term_all;
    hand_join(h, bus, &k, GROUP, NULL);
    kept_publish(&k, bus, 1, events);
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    assert_int_equal(operate_dead_all(bus, "dlq.purge", k.stream, GROUP),
                     events);
    assert_int_equal(operate_dead_at(bus, k.stream, GROUP, 0).total, 0);
    assert_int_equal(operate_dead_all(bus, "dlq.redrive", k.stream, GROUP), 0);
    assert_int_equal(hand_count(h), events);
}

/* Purges all of a group, call after call, on a thread of its own. */
struct purge {
    tidings_bus *bus;
    const struct kept *k;
    uint64_t events;
    tidings_err err;
};

static tidings_err purge_page(struct purge *p, uint64_t *first)
{
    tidings_writer *w = tidings_writer_new();
    struct tidings_value map;
    const void *options;
    uint64_t events = 0;
    void *bytes = NULL;
    size_t len = 0;
    tidings_err err;

    tidings_put_map(w, 3);
    tidings_put_string(w, "stream");
    tidings_put_string(w, p->k->stream);
    tidings_put_string(w, "group");
    tidings_put_string(w, GROUP);
    tidings_put_string(w, "first");
    tidings_put_uint(w, *first);
    err = tidings_writer_bytes(w, &options, &len);
    if (!err)
        err = tidings_call(&bytes, &len, p->bus, "dlq.purge", options, len,
                           CONF_MS);
    if (!err)
        err = tidings_value_read(&map, bytes, len);
    if (!err)
        err = tidings_get_uint(&events, map, "events");
    if (!err)
        err = tidings_get_uint(first, map, "next");
    p->events += events;
    tidings_free(bytes);
    tidings_writer_free(w);
    return err;
}

static void *purge_main(void *arg)
{
    struct purge *p = arg;
    uint64_t first = 1;

    while (first > 0 && !p->err)
        p->err = purge_page(p, &first);
    return NULL;
}

/* However their reads and commits meet. */
static void test_dead_letters_are_purged_once(void **state)
{
    enum { PURGERS = 3, EVENTS = 100 };
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct hand *h = hand_new(c);
    struct purge purges[PURGERS] = {{0}};
    pthread_t threads[PURGERS];
    uint64_t purged = 0;
    struct kept k;

    if (!conf_has_data())
        skip();
    atomic_store(&fixed, false);
    kept_add(&k, bus);
    add_group(bus, &k, 2);
    h->answer = term_all;
    hand_join(h, bus, &k, GROUP, NULL);
    kept_publish(&k, bus, 1, EVENTS);
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    for (int i = 0; i < PURGERS; i++) {
        purges[i].bus = kept_open(c);
        purges[i].k = &k;
    }
    for (int i = 0; i < PURGERS; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, purge_main, &purges[i]), 0);
    for (int i = 0; i < PURGERS; i++) {
        pthread_join(threads[i], NULL);
        purged += purges[i].events;
    }
    for (int i = 0; i < PURGERS; i++)
        assert_ok(purges[i].err);
    assert_int_equal(purged, EVENTS);
    kept_publish(&k, bus, EVENTS + 1, 2);
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    assert_int_equal(operate_dead_at(bus, k.stream, GROUP, 0).total, 2);
    assert_int_equal(operate_group_figure(bus, k.stream, GROUP, "dead"), 2);
}

int conf_run_dead(void)
{
    const struct CMUnitTest tests[] = {
        KEPT_TEST(test_events_that_fail_too_often_are_dead),
        KEPT_TEST(test_termed_events_are_dead_at_once),
        KEPT_TEST(test_dead_events_of_a_stream_in_memory_are_counted),
        KEPT_TEST(test_dead_letters_outlive_their_stream),
        KEPT_TEST(test_dead_letters_are_purged),
        KEPT_TEST(test_dead_letters_are_purged_once),
    };

    return cmocka_run_group_tests_name("dead", tests, NULL, NULL);
}
