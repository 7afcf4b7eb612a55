/* A member of a durable group, whole: handlers, workers and loops of one's own
 * against a broker that keeps what it hears. */
#include "tests/support/td_test.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "proto/frame.h"
#include "tests/unit/stream_broker.h"
#include "tidings/tidings.h"

#define DEADLINE_MS 30000
#define MANY        50000u

struct fixture {
    struct stream_broker *broker;
    tidings_bus *bus;
    tidings_sub *sub;
    struct tidings_delivery kept;
    atomic_bool has_kept;
    atomic_uint calls;
    atomic_uint failed; /* of this test's own checks, on other threads */
    atomic_uint seen[BROKER_TAGS_MAX];
    unsigned fails_at; /* a tag */
    atomic_bool hold;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    *state = f;
    if (!f)
        return -1;
    f->broker = broker_new();
    return f->broker ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    tidings_close(f->bus);
    broker_free(f->broker);
    free(f);
    return 0;
}

static void join_with(struct fixture *f, tidings_handler handler,
                      const struct tidings_sub_options *more, bool own_loop)
{
    struct tidings_sub_options o = *more;
    const struct tidings_options bus = {.own_loop = own_loop};

    o.stream = "events";
    o.group = "g";
    assert_ok(tidings_open(&f->bus, f->broker->url, &bus));
    assert_ok(tidings_wait(f->bus, DEADLINE_MS));
    assert_ok(tidings_subscribe(&f->sub, f->bus, "a.>", handler, f, &o));
}

static void join(struct fixture *f, tidings_handler handler)
{
    const struct tidings_sub_options none = {0};

    join_with(f, handler, &none, false);
}

/* What the broker's thread changes. */
struct look {
    bool ended;
    uint64_t sent;
    uint64_t rows;
    char call[80];
};

static struct look look(struct fixture *f)
{
    struct look l = {0};

    pthread_mutex_lock(&f->broker->lock);
    l.ended = f->broker->ended;
    l.sent = f->broker->sent;
    l.rows = f->broker->rows;
    memcpy(l.call, f->broker->call, sizeof(l.call));
    pthread_mutex_unlock(&f->broker->lock);
    return l;
}

/* What a handler has left to be settled. */
static const struct tidings_delivery *kept(struct fixture *f)
{
    while (!f->has_kept)
        poll(NULL, 0, 1);
    return &f->kept;
}

static void check(struct fixture *f, bool ok)
{
    f->failed += !ok;
}

static void expect(struct fixture *f, uint64_t tag, unsigned verb,
                   const char *reason)
{
    struct heard heard = broker_heard(f->broker, tag);

    assert_int_equal(heard.verb, verb);
    assert_int_equal(heard.times, 1);
    assert_string_equal(heard.reason, reason);
}

/* ---- verdicts ---- */

static tidings_err verdicts(void *arg, const struct tidings_event *event)
{
    struct fixture *f = arg;
    struct tidings_delivery d;

    check(f, tidings_delivery(&d, event) == TIDINGS_OK);
    check(f, d.sequence == 999 + d.tag && d.deliveries == 2 && d.sub);
    f->seen[d.tag]++;
    switch (d.tag) {
    case 2:
        tidings_set_detail("no such user");
        return TIDINGS_EINVAL;
    case 3:
        return TIDINGS_ERELEASE;
    case 4:
        tidings_set_detail("poison");
        return TIDINGS_ETERM;
    case 5:
        return TIDINGS_ENOTFOUND; /* says nothing: no old text goes along */
    case 6:
        f->kept = d;
        f->has_kept = true;
        return TIDINGS_ELATER;
    case 7:
        check(f,
              tidings_settle(&d, TIDINGS_NAK, 700, "in an hour") == TIDINGS_OK);
        check(f, tidings_settle(&d, TIDINGS_ACK, 0, NULL) == TIDINGS_EEXIST);
        return TIDINGS_ELATER;
    default:
        return TIDINGS_OK;
    }
}

static void test_durable_handler_settles_by_what_it_returns(void **state)
{
    struct fixture *f = *state;
    struct tidings_sub_info info;

    join(f, verdicts);
    broker_deliver(f->broker, 5);
    assert_true(broker_wait_settled(f->broker, 5));
    broker_deliver(f->broker, 5);
    while (broker_heard(f->broker, 10).verb == 0)
        poll(NULL, 0, 1);
    expect(f, 1, TD_ACK, "");
    expect(f, 2, TD_NAK, "no such user");
    expect(f, 3, TD_RELEASE, "");
    expect(f, 4, TD_TERM, "poison");
    expect(f, 5, TD_NAK, "");
    assert_int_equal(broker_heard(f->broker, 6).verb, 0);
    expect(f, 7, TD_NAK, "in an hour");
    assert_int_equal(broker_heard(f->broker, 7).delay_ms, 700);
    assert_ok(tidings_settle(kept(f), TIDINGS_PROGRESS, 0, NULL));
    assert_ok(tidings_settle(kept(f), TIDINGS_TERM, 0, "too old"));
    assert_err(tidings_settle(kept(f), TIDINGS_ACK, 0, NULL), TIDINGS_EEXIST);
    assert_true(broker_wait_settled(f->broker, 10));
    expect(f, 6, TD_TERM, "too old");
    assert_int_equal(broker_heard(f->broker, 6).progress, 1);
    assert_int_equal(f->failed, 0);
    assert_ok(tidings_sub_info(&info, f->sub));
    assert_int_equal(info.delivered, 10);
    assert_int_equal(info.failed, 3);
    assert_int_equal(info.acked, 4);
    assert_int_equal(info.naked, 3);
    assert_int_equal(info.released, 1);
    assert_int_equal(info.termed, 2);
    assert_int_equal(info.redelivered, 10);
}

/* Until the broker has heard of it so often. */
static tidings_err long_work(void *arg, const struct tidings_event *event)
{
    struct fixture *f = arg;

    (void)event;
    for (int ms = 0; ms < DEADLINE_MS / 3; ms++) {
        if (broker_heard(f->broker, 1).progress >= 3)
            return TIDINGS_OK;
        poll(NULL, 0, 1);
    }
    return TIDINGS_ETIMEDOUT;
}

/* Three times in ack_wait, whatever that is: the first is soon. */
static void test_durable_progress_is_told_for_a_running_handler(void **state)
{
    const struct tidings_sub_options options = {.progress = true};
    struct fixture *f = *state;

    f->broker->ack_wait_ms = 30;
    join_with(f, long_work, &options, false);
    broker_deliver(f->broker, 1);
    assert_true(broker_wait_settled(f->broker, 1));
    expect(f, 1, TD_ACK, "");
}

static void test_durable_delivery_is_known_in_its_handler_alone(void **state)
{
    struct fixture *f = *state;
    const struct tidings_event event = {.type = "a.b"};
    struct tidings_delivery d;

    join(f, verdicts);
    assert_err(tidings_delivery(&d, &event), TIDINGS_ENOTFOUND);
    assert_err(tidings_delivery(&d, NULL), TIDINGS_ENOTFOUND);
    d = (struct tidings_delivery){.sub = f->sub, .tag = 1, .incarnation = 1};
    assert_err(tidings_settle(&d, TIDINGS_ACK, 0, NULL), TIDINGS_ENOTFOUND);
    assert_err(tidings_settle(&d, 0, 0, NULL), TIDINGS_EINVAL);
    assert_err(tidings_settle(&d, TIDINGS_NAK, -1, NULL), TIDINGS_EINVAL);
    assert_ok(tidings_unsubscribe(f->sub, DEADLINE_MS));
    assert_err(tidings_settle(&d, TIDINGS_ACK, 0, NULL), TIDINGS_ENOTFOUND);
}

/* ---- many ---- */

static tidings_err count(void *arg, const struct tidings_event *event)
{
    struct fixture *f = arg;
    struct tidings_delivery d = {.tag = 0};

    f->calls++;
    check(f, tidings_delivery(&d, event) == TIDINGS_OK &&
                 d.sequence == 999 + d.tag);
    f->seen[d.tag]++;
    return TIDINGS_OK;
}

static void check_many(struct fixture *f)
{
    assert_true(broker_wait_settled(f->broker, MANY));
    for (uint64_t tag = 1; tag <= MANY; tag++) {
        expect(f, tag, TD_ACK, "");
        assert_int_equal(f->seen[tag], 1);
    }
    assert_int_equal(f->failed, 0);
}

static void test_durable_settles_many_with_few_rows(void **state)
{
    struct fixture *f = *state;

    join(f, count);
    broker_deliver(f->broker, MANY);
    check_many(f);
    assert_true(look(f).rows <= MANY / 50); /* a slow machine sends more */
}

static void test_durable_workers_settle_in_any_order(void **state)
{
    const struct tidings_sub_options o = {.workers = 4};
    struct fixture *f = *state;

    join_with(f, count, &o, false);
    broker_deliver(f->broker, MANY);
    check_many(f);
}

static void test_durable_loop_of_ones_own_settles(void **state)
{
    const struct tidings_sub_options o = {.window_events = 100};
    struct fixture *f = *state;
    struct pollfd fd = {.events = POLLIN};
    size_t n;

    join_with(f, count, &o, true);
    assert_ok(tidings_fd(&fd.fd, f->bus));
    broker_deliver(f->broker, 1000); /* ten windows */
    while (f->calls < 1000) {
        assert_int_equal(poll(&fd, 1, DEADLINE_MS), 1);
        assert_ok(tidings_dispatch(&n, f->bus, 7));
    }
    assert_true(broker_wait_settled(f->broker, 1000));
}

/* ---- keys ---- */

static tidings_err fail_once(void *arg, const struct tidings_event *event)
{
    struct fixture *f = arg;
    struct tidings_delivery d = {.tag = 0};

    tidings_delivery(&d, event);
    f->seen[d.tag]++;
    return d.tag == f->fails_at ? TIDINGS_EIO : TIDINGS_OK;
}

static void check_keys(struct fixture *f, const struct tidings_sub_options *o)
{
    pthread_mutex_lock(&f->broker->lock);
    f->broker->keys = 5;
    pthread_mutex_unlock(&f->broker->lock);
    f->fails_at = 7;
    join_with(f, fail_once, o, false);
    broker_deliver(f->broker, 100);
    assert_true(broker_wait_settled(f->broker, 100));
    for (uint64_t tag = 1; tag <= 100; tag++) {
        bool later = tag > 7 && tag % 5 == 2;

        expect(f, tag, tag == 7 ? TD_NAK : later ? TD_RELEASE : TD_ACK, "");
        assert_int_equal(f->seen[tag], !later);
    }
}

static void test_durable_key_that_failed_waits_for_its_turn(void **state)
{
    const struct tidings_sub_options o = {.group_policy = TIDINGS_BY_KEY,
                                          .window_events = 100};
    struct fixture *f = *state;
    struct tidings_sub_info info;
    uint64_t tag = 100;

    check_keys(f, &o);
    /* Once the broker has heard of it, what it delivers is meant. */
    do {
        broker_deliver(f->broker, 5);
        tag += 5;
        assert_true(broker_wait_settled(f->broker, tag));
    } while (broker_heard(f->broker, tag - 3).verb != TD_ACK && tag < 1000);
    assert_int_equal(f->seen[tag - 3], 1);
    assert_ok(tidings_sub_info(&info, f->sub));
    assert_int_equal(info.pending, 0);
}

static void test_durable_key_waits_with_workers(void **state)
{
    const struct tidings_sub_options o = {
        .group_policy = TIDINGS_BY_KEY, .window_events = 100, .workers = 3};

    check_keys(*state, &o);
}

/* ---- ending ---- */

static tidings_err hold(void *arg, const struct tidings_event *event)
{
    struct fixture *f = arg;

    (void)event;
    f->calls++;
    while (f->hold)
        poll(NULL, 0, 1);
    return TIDINGS_OK;
}

static void *let_go(void *arg)
{
    struct fixture *f = arg;

    while (f->calls == 0)
        poll(NULL, 0, 1);
    poll(NULL, 0, 20); /* so that whoever waits has begun to, mostly */
    f->hold = false;
    return NULL;
}

#define IN_HAND 500

/* Both begin to be true within the deadline: handlers run, and all that was
 * delivered has arrived behind them. */
static void wait_in_hand(struct fixture *f)
{
    struct tidings_sub_info info = {0};
    int left = DEADLINE_MS;

    while ((f->calls == 0 || info.pending < IN_HAND) && left-- > 0) {
        poll(NULL, 0, 1);
        assert_ok(tidings_sub_info(&info, f->sub));
    }
    assert_int_equal(info.pending, IN_HAND);
}

/* What is being handled is settled, what is not goes back. */
static void check_end(struct fixture *f, unsigned workers)
{
    const struct tidings_sub_options o = {.workers = workers,
                                          .window_events = IN_HAND};
    unsigned acked = 0;
    pthread_t thread;

    f->hold = true;
    join_with(f, hold, &o, false);
    broker_deliver(f->broker, IN_HAND);
    wait_in_hand(f);
    assert_int_equal(pthread_create(&thread, NULL, let_go, f), 0);
    assert_ok(tidings_unsubscribe(f->sub, DEADLINE_MS));
    pthread_join(thread, NULL);
    assert_true(look(f).ended);
    for (uint64_t tag = 1; tag <= IN_HAND; tag++) {
        unsigned verb = broker_heard(f->broker, tag).verb;

        acked += verb == TD_ACK;
        assert_true(verb == TD_RELEASE || verb == TD_ACK);
    }
    assert_int_equal(acked, f->calls);
}

static void test_durable_unsubscribing_gives_the_rest_back(void **state)
{
    check_end(*state, 0);
}

static void test_durable_unsubscribing_workers_gives_the_rest_back(void **state)
{
    check_end(*state, 3);
}

static tidings_err leave(void *arg, const struct tidings_event *event)
{
    struct fixture *f = arg;
    struct tidings_delivery d = {.tag = 0};

    tidings_delivery(&d, event);
    if (d.tag < 3)
        return TIDINGS_OK;
    check(f, tidings_settle(&d, TIDINGS_ACK, 0, NULL) == TIDINGS_OK);
    check(f, tidings_unsubscribe(d.sub, DEADLINE_MS) == TIDINGS_OK);
    return TIDINGS_ELATER;
}

static void test_durable_handler_may_leave(void **state)
{
    const struct tidings_sub_options o = {.window_events = 100};
    struct fixture *f = *state;

    join_with(f, leave, &o, false);
    broker_deliver(f->broker, 100);
    assert_true(broker_wait_settled(f->broker, 100));
    for (uint64_t tag = 1; tag <= 100; tag++)
        expect(f, tag, tag <= 3 ? TD_ACK : TD_RELEASE, "");
    assert_int_equal(f->failed, 0);
}

/* Draining waits for what was to be settled later, too. */
static void *settle_late(void *arg)
{
    struct fixture *f = arg;

    poll(NULL, 0, 20);
    check(f, tidings_settle(kept(f), TIDINGS_ACK, 0, NULL) == TIDINGS_OK);
    return NULL;
}

static void test_durable_drain_settles_what_has_arrived(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;

    join(f, verdicts);
    broker_deliver(f->broker, 10);
    while (broker_heard(f->broker, 10).verb == 0)
        poll(NULL, 0, 1);
    assert_int_equal(pthread_create(&thread, NULL, settle_late, f), 0);
    assert_ok(tidings_drain(f->bus, DEADLINE_MS));
    pthread_join(thread, NULL);
    assert_true(look(f).ended);
    expect(f, 6, TD_ACK, "");
    assert_int_equal(f->failed, 0);
}

static void test_durable_closing_gives_the_rest_back(void **state)
{
    struct fixture *f = *state;

    join(f, verdicts);
    broker_deliver(f->broker, 6);
    while (broker_heard(f->broker, 5).verb == 0)
        poll(NULL, 0, 1);
    assert_ok(tidings_close(f->bus));
    f->bus = NULL;
    assert_true(broker_wait_settled(f->broker, 6));
    expect(f, 6, TD_RELEASE, "");
}

/* ---- calls ---- */

static void test_durable_calls_have_answers(void **state)
{
    const char *const patterns[] = {"order.*"};
    const struct tidings_stream_options orders = {
        .name = "orders", .patterns = patterns, .patterns_len = 1};
    const struct tidings_group_options bills = {.stream = "orders",
                                                .group = "bills"};
    const struct tidings_group_options none = {.stream = "orders"};
    struct fixture *f = *state;
    size_t len = 0;
    void *out = NULL;

    assert_ok(tidings_open(&f->bus, f->broker->url, NULL));
    assert_ok(tidings_stream_add(f->bus, &orders, DEADLINE_MS));
    assert_string_equal(look(f).call, "stream.add");
    assert_ok(tidings_group_add(f->bus, &bills, DEADLINE_MS));
    assert_string_equal(look(f).call, "group.add");
    assert_err(tidings_group_add(f->bus, &none, DEADLINE_MS), TIDINGS_EINVAL);
    assert_ok(
        tidings_call(&out, &len, f->bus, "stream.list", NULL, 0, DEADLINE_MS));
    assert_int_equal(len, 1);
    assert_memory_equal(out, "\x80", 1); /* nil is an empty map */
    tidings_free(out);
    assert_err(tidings_call(NULL, NULL, f->bus, "", NULL, 0, 1),
               TIDINGS_EINVAL);
    assert_err(tidings_call(NULL, NULL, f->bus, "a", "\x81", 1, 1),
               TIDINGS_EINVAL);
    assert_err(tidings_call(NULL, NULL, f->bus, "a", "\x90", 1, 1),
               TIDINGS_EINVAL);
}

static void test_durable_options_are_checked(void **state)
{
    static const struct tidings_sub_options bad[] = {
        {.stream = "no such name"},
        {.stream = ""},
        {.start = {.kind = TIDINGS_START_ALL}},
        {.stream = "events", .start = {.kind = (enum tidings_start_kind)9}},
        {.stream = "events", .start = {.kind = TIDINGS_START_SEQUENCE}},
        {.stream = "events", .progress = true},
        {.group = "g", .progress = true},
    };
    struct fixture *f = *state;

    assert_ok(tidings_open(&f->bus, f->broker->url, NULL));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_err(tidings_subscribe(NULL, f->bus, "a", verdicts, f, &bad[i]),
                   TIDINGS_EINVAL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_durable_handler_settles_by_what_it_returns),
        TEST(test_durable_progress_is_told_for_a_running_handler),
        TEST(test_durable_delivery_is_known_in_its_handler_alone),
        TEST(test_durable_settles_many_with_few_rows),
        TEST(test_durable_workers_settle_in_any_order),
        TEST(test_durable_loop_of_ones_own_settles),
        TEST(test_durable_key_that_failed_waits_for_its_turn),
        TEST(test_durable_key_waits_with_workers),
        TEST(test_durable_unsubscribing_gives_the_rest_back),
        TEST(test_durable_unsubscribing_workers_gives_the_rest_back),
        TEST(test_durable_handler_may_leave),
        TEST(test_durable_drain_settles_what_has_arrived),
        TEST(test_durable_closing_gives_the_rest_back),
        TEST(test_durable_calls_have_answers),
        TEST(test_durable_options_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
