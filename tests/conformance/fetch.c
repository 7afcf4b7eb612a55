/* Pulling: what is fetched comes, in order and no more than that, and is
 * settled like what handlers get. */
#include "tests/conformance/kept.h"

#define GROUP  "g"
#define EVENTS 500u
#define SHORT  50 /* ms: nothing is to come within it */

static uint64_t number_of(const struct tidings_fetched *got)
{
    uint64_t n = 0;

    if (got->event->data_len == sizeof(n))
        memcpy(&n, got->event->data, sizeof(n));
    return n;
}

static void free_all(struct tidings_fetched *got, size_t n)
{
    for (size_t i = 0; i < n; i++)
        tidings_free(got[i].event);
}

/* Fetches and acks until so many have come, each the next. */
static void work(tidings_sub *sub, uint64_t first, uint64_t count)
{
    struct tidings_fetched got[64];
    uint64_t next = first;

    while (next < first + count) {
        size_t n = 0;

        assert_ok(tidings_fetch(&n, got, sub, 64, CONF_MS));
        assert_in_range(n, 1, 64);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(number_of(&got[i]), next);
            assert_int_equal(got[i].delivery.sequence, next++);
            assert_int_equal(got[i].delivery.deliveries, 1);
            assert_ok(tidings_settle(&got[i].delivery, TIDINGS_ACK, 0, NULL));
        }
        free_all(got, n);
    }
    assert_int_equal(next, first + count);
}

/* The same, but in any order, and others as well. */
static void work_until(tidings_sub *sub, uint64_t first, uint64_t count)
{
    struct tidings_fetched got;
    bool seen[64] = {0};
    size_t n = 0;

    for (uint64_t left = count; left > 0; tidings_free(got.event)) {
        uint64_t number;

        assert_ok(tidings_fetch(&n, &got, sub, 1, CONF_MS));
        number = number_of(&got);
        if (number >= first && number < first + count && !seen[number]) {
            seen[number] = true;
            left--;
        }
        assert_ok(tidings_settle(&got.delivery, TIDINGS_ACK, 0, NULL));
    }
}

static void test_fetch_brings_events_in_order(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    tidings_bus *worker = conf_open(c, NULL);
    struct tidings_fetched got;
    struct tidings_sub_info info;
    tidings_sub *sub;
    struct kept k;
    size_t n = 7;

    kept_add(&k, bus);
    sub = kept_pull(worker, &k, GROUP);
    assert_err(tidings_fetch(&n, &got, sub, 1, SHORT), TIDINGS_ETIMEDOUT);
    assert_int_equal(n, 7);
    kept_publish(&k, bus, 1, EVENTS);
    work(sub, 1, EVENTS);
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    assert_int_equal(operate_group_figure(bus, k.stream, GROUP, "acked"),
                     EVENTS);
    assert_ok(tidings_sub_info(&info, sub));
    assert_int_equal(info.delivered, EVENTS);
    assert_int_equal(info.acked, EVENTS);
    assert_int_equal(info.pending, 0);
}

/* Only what is fetched is out: the others wait in the stream. */
static void test_fetch_takes_no_more_than_that(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct tidings_fetched got[3];
    tidings_sub *sub;
    struct kept k;
    size_t n = 0;

    kept_add(&k, bus);
    sub = kept_pull(bus, &k, GROUP);
    kept_publish(&k, bus, 1, 20);
    assert_int_equal(operate_group_figure(bus, k.stream, GROUP, "in_flight"),
                     0);
    for (size_t all = 0; all < 3; all += n) {
        assert_ok(tidings_fetch(&n, got + all, sub, 3 - all, CONF_MS));
        assert_in_range(n, 1, 3 - all);
    }
    assert_int_equal(operate_group_figure(bus, k.stream, GROUP, "in_flight"),
                     3);
    assert_ok(tidings_settle(&got[1].delivery, TIDINGS_NAK, 1, "again"));
    assert_err(tidings_settle(&got[1].delivery, TIDINGS_ACK, 0, NULL),
               TIDINGS_EEXIST);
    assert_ok(tidings_settle(&got[0].delivery, TIDINGS_ACK, 0, NULL));
    assert_ok(tidings_settle(&got[2].delivery, TIDINGS_TERM, 0, "bad"));
    free_all(got, 3);
    for (bool again = false; !again; free_all(got, n)) {
        assert_ok(tidings_fetch(&n, got, sub, 3, CONF_MS));
        for (size_t i = 0; i < n; i++) {
            again = again || (number_of(&got[i]) == 2 &&
                              got[i].delivery.deliveries == 2);
            assert_ok(tidings_settle(&got[i].delivery, TIDINGS_ACK, 0, NULL));
        }
    }
    assert_true(operate_group_until(bus, k.stream, GROUP, "dead", 1, CONF_MS));
}

/* Events are the caller's: they outlive the subscription, and the bus. */
static void test_fetched_events_are_the_callers(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    tidings_bus *worker = conf_open(c, NULL);
    const struct tidings_attr attrs[] = {
        {.name = "binary",
         .kind = TIDINGS_ATTR_BINARY,
         .binary = "\1\2\3",
         .binary_len = 3},
        {.name = "traceparent", .kind = TIDINGS_ATTR_STRING, .string = "t"}};
    struct tidings_event event = {.id = "the-id",
                                  .source = "/here",
                                  .subject = "mail",
                                  .data = "abc",
                                  .data_len = 3,
                                  .attrs = attrs,
                                  .attrs_len = 2};
    struct tidings_fetched got;
    struct kept k;
    size_t n = 0;

    kept_add(&k, bus);
    event.type = k.type;
    assert_ok(tidings_publish_event(bus, &event));
    assert_ok(tidings_flush(bus, CONF_MS));
    assert_ok(
        tidings_fetch(&n, &got, kept_pull(worker, &k, GROUP), 1, CONF_MS));
    assert_ok(tidings_close(worker));
    conf_forget(c, worker);
    assert_string_equal(got.event->type, k.type);
    assert_string_equal(got.event->id, "the-id");
    assert_string_equal(got.event->source, "/here");
    assert_string_equal(got.event->subject, "mail");
    assert_memory_equal(got.event->data, "abc", 3);
    assert_int_equal(got.event->attrs_len, 2);
    assert_memory_equal(got.event->attrs[0].binary, "\1\2\3", 3);
    assert_string_equal(tidings_event_attr(got.event, "traceparent"), "t");
    assert_err(tidings_settle(&got.delivery, TIDINGS_ACK, 0, NULL),
               TIDINGS_ECLOSED);
    tidings_free(got.event);
    /* It was not settled: it is for another. */
    assert_ok(tidings_fetch(&n, &got, kept_pull(bus, &k, GROUP), 1, CONF_MS));
    assert_string_equal(got.event->id, "the-id");
    tidings_free(got.event);
}

static void test_fetch_reads(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct tidings_fetched got[50];
    tidings_sub *sub;
    struct kept k;
    size_t n = 0;

    kept_add(&k, bus);
    kept_publish(&k, bus, 1, 100);
    sub = kept_pull(bus, &k, NULL);
    for (uint64_t next = 1; next <= 100;) {
        assert_ok(tidings_fetch(&n, got, sub, 50, CONF_MS));
        for (size_t i = 0; i < n; i++)
            assert_int_equal(number_of(&got[i]), next++);
        assert_err(tidings_settle(&got[0].delivery, TIDINGS_ACK, 0, NULL),
                   TIDINGS_ENOTFOUND);
        free_all(got, n);
    }
    assert_err(tidings_fetch(&n, got, sub, 1, SHORT), TIDINGS_ETIMEDOUT);
}

/* ---- several at once ---- */

struct fetcher {
    tidings_sub *sub;
    pthread_t thread;
    uint64_t events;
    atomic_bool *seen;
    bool twice;
    tidings_err end;
};

static void *fetch_all(void *arg)
{
    struct fetcher *f = arg;
    struct tidings_fetched got[10];
    size_t n = 0;

    while (!(f->end = tidings_fetch(&n, got, f->sub, 10, CONF_MS))) {
        for (size_t i = 0; i < n; i++) {
            uint64_t number = number_of(&got[i]);

            f->twice |= number > EVENTS || atomic_exchange(&f->seen[number], 1);
            tidings_settle(&got[i].delivery, TIDINGS_ACK, 0, NULL);
        }
        f->events += n;
        free_all(got, n);
    }
    return NULL;
}

/* Threads that fetch from one subscription share its events; they end with
 * it. */
static void test_threads_fetch_from_one_subscription(void **state)
{
    static atomic_bool seen[EVENTS + 1];
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    tidings_bus *worker = conf_open(c, NULL);
    struct fetcher f[3];
    uint64_t events = 0;
    tidings_sub *sub;
    struct kept k;

    memset(seen, 0, sizeof(seen));
    kept_add(&k, bus);
    sub = kept_pull(worker, &k, GROUP);
    for (int i = 0; i < 3; i++) {
        f[i] = (struct fetcher){.sub = sub, .seen = seen};
        assert_int_equal(pthread_create(&f[i].thread, NULL, fetch_all, &f[i]),
                         0);
    }
    kept_publish(&k, bus, 1, EVENTS);
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    assert_ok(tidings_unsubscribe(sub, CONF_MS));
    for (int i = 0; i < 3; i++) {
        pthread_join(f[i].thread, NULL);
        assert_int_equal(f[i].end, TIDINGS_ECLOSED);
        assert_false(f[i].twice);
        events += f[i].events;
    }
    assert_int_equal(events, EVENTS);
}

/* ---- where ---- */

struct inside {
    tidings_sub *sub;
    struct tally *tally;
    uint64_t number;
    tidings_err err;
};

static tidings_err fetch_inside(void *arg, const struct tidings_event *event)
{
    struct inside *in = arg;
    struct tidings_fetched got;
    size_t n = 0;

    in->err = tidings_fetch(&n, &got, in->sub, 1, CONF_MS);
    if (!in->err) {
        in->number = number_of(&got);
        tidings_settle(&got.delivery, TIDINGS_ACK, 0, NULL);
        tidings_free(got.event);
    }
    return tally_event(in->tally, event);
}

/* Inside a handler of the same bus the link is read all the same. */
static void test_handlers_fetch(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    struct inside in = {.tally = conf_tally(c)};
    struct kept k;

    kept_add(&k, bus);
    in.sub = kept_pull(bus, &k, GROUP);
    assert_ok(tidings_subscribe(NULL, bus, "go", fetch_inside, &in, NULL));
    kept_publish(&k, bus, 1, 1);
    assert_ok(tidings_publish(bus, "go", NULL, 0));
    assert_true(tally_wait(in.tally, 1, CONF_MS));
    assert_ok(in.err);
    assert_int_equal(in.number, 1);
}

static void test_own_loops_fetch(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    tidings_bus *worker =
        conf_open(c, &(struct tidings_options){.own_loop = true});
    struct kept k;

    kept_add(&k, bus);
    kept_publish(&k, bus, 1, 10);
    work(kept_pull(worker, &k, GROUP), 1, 10);
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
}

/* Without waiting it takes what has come, and asks. */
static void test_fetch_without_waiting(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    int64_t end = td_proc_now_ms() + CONF_MS;
    struct tidings_fetched got[2];
    tidings_err err;
    tidings_sub *sub;
    struct kept k;
    size_t n = 0;

    kept_add(&k, bus);
    sub = kept_pull(bus, &k, GROUP);
    kept_publish(&k, bus, 1, 10);
    while ((err = tidings_fetch(&n, got, sub, 2, 0)) == TIDINGS_ETIMEDOUT &&
           td_proc_now_ms() < end)
        conf_pause_us(1000);
    assert_ok(err);
    assert_int_equal(number_of(&got[0]), 1);
    free_all(got, n);
}

/* ---- ends ---- */

/* What was asked for and nobody waits for goes elsewhere. */
static void test_what_nobody_waits_for_is_not_delivered(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    tidings_bus *worker = conf_open(c, NULL);
    struct hand *h = hand_new(c);
    struct tidings_fetched got;
    int64_t us;
    struct kept k;
    size_t n = 0;

    kept_add(&k, bus);
    assert_err(tidings_fetch(&n, &got, kept_pull(worker, &k, GROUP), 1, SHORT),
               TIDINGS_ETIMEDOUT);
    assert_ok(tidings_ping(&us, worker, CONF_MS)); /* the broker knows */
    hand_join(h, bus, &k, GROUP, NULL);
    kept_publish(&k, bus, 1, 50);
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    assert_true(hand_saw_just(h, 1, 50));
}

/* Draining waits for what was fetched, and gives back the rest. */
static void test_drain_waits_for_what_was_fetched(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    tidings_bus *worker = conf_open(c, NULL);
    struct tidings_fetched got;
    tidings_sub *sub;
    struct kept k;
    size_t n = 0;

    kept_add(&k, bus);
    sub = kept_pull(worker, &k, GROUP);
    kept_publish(&k, bus, 1, 5);
    assert_ok(tidings_fetch(&n, &got, sub, 1, CONF_MS));
    assert_err(tidings_drain(worker, SHORT), TIDINGS_ETIMEDOUT);
    tidings_free(got.event);
    assert_err(tidings_fetch(&n, &got, sub, 1, SHORT), TIDINGS_ECLOSED);
    assert_true(
        operate_group_until(bus, k.stream, GROUP, "released", 1, CONF_MS));
    work_until(kept_pull(bus, &k, GROUP), 1, 5);
}

/* The broker is killed, or closed: workers go on with the next one. */
static void test_fetch_goes_on_with_the_next_broker(void **state)
{
    struct conf *c = *state;
    tidings_bus *bus = kept_open(c);
    tidings_sub *sub;
    struct kept k;

    if (!conf_has_data() || !conf_has_daemon())
        skip(); /* inproc ends with its members */
    kept_add(&k, bus);
    sub = kept_pull(bus, &k, GROUP);
    kept_publish(&k, bus, 1, 20);
    work(sub, 1, 20);
    assert_true(operate_until_settled(bus, k.stream, GROUP, CONF_MS));
    conf_restart(c);
    kept_publish(&k, bus, 21, 10);
    work_until(sub, 21, 10); /* others, whose acks were not written, too */
}

int conf_run_fetch(void)
{
    const struct CMUnitTest tests[] = {
        KEPT_TEST(test_fetch_brings_events_in_order),
        KEPT_TEST(test_fetch_takes_no_more_than_that),
        KEPT_TEST(test_fetched_events_are_the_callers),
        KEPT_TEST(test_fetch_reads),
        KEPT_TEST(test_threads_fetch_from_one_subscription),
        KEPT_TEST(test_handlers_fetch),
        KEPT_TEST(test_own_loops_fetch),
        KEPT_TEST(test_fetch_without_waiting),
        KEPT_TEST(test_what_nobody_waits_for_is_not_delivered),
        KEPT_TEST(test_drain_waits_for_what_was_fetched),
        KEPT_TEST(test_fetch_goes_on_with_the_next_broker),
    };

    return cmocka_run_group_tests_name("fetch", tests, NULL, NULL);
}
