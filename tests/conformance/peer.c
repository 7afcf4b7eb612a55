/* Peers that are not of this library, over real sockets: brokers that refuse,
 * end sessions, say things twice or send nonsense, and a publisher of broken
 * events. Only the backends with sockets can meet them. */
#include "tests/conformance/broker.h"
#include "tests/support/operate.h"
#include "tests/conformance/conformance.h"

#include <zmq.h>

/* ---- against such brokers ---- */

static void test_another_version_is_told_apart(void **state)
{
    const struct tidings_options o = {.close_timeout_ms = -1};
    struct broker b;
    tidings_bus *bus;
    tidings_err err;
    char detail[512];

    (void)state;
    if (!conf_has_daemon())
        skip();
    broker_start(&b, OTHER_VERSION);
    assert_ok(tidings_open(&bus, b.endpoint, &o));
    while (atomic_load(&b.hellos) < 2)
        conf_pause_us(1000); /* it goes on trying */
    err = tidings_wait(bus, 100);
    snprintf(detail, sizeof(detail), "%s", tidings_detail());
    assert_ok(tidings_close(bus));
    broker_stop(&b);
    assert_err(err, TIDINGS_EVERSION);
    assert_non_null(strstr(detail, "the part says so"));
}

static void test_refused_subscription_is_the_callers_error(void **state)
{
    struct conf *c = *state;
    struct tally *t = conf_tally(c);
    tidings_sub *sub = NULL;
    struct broker b;
    tidings_bus *bus;
    tidings_err err;

    if (!conf_has_daemon())
        skip();
    broker_start(&b, REFUSING);
    assert_ok(tidings_open(&bus, b.endpoint, NULL));
    err = tidings_subscribe(&sub, bus, "a", tally_event, t, NULL);
    assert_ok(tidings_close(bus));
    broker_stop(&b);
    assert_err(err, TIDINGS_ENOTSUP);
    assert_null(sub);
}

static void test_refused_renewal_is_told(void **state)
{
    struct conf *c = *state;
    struct tally *t = conf_tally(c);
    struct tally *s = conf_tally(c);
    const struct tidings_options o = {
        .on_status = tally_status, .on_status_arg = s, .close_timeout_ms = -1};
    struct tidings_info info;
    struct broker b;
    tidings_bus *bus;
    tidings_sub *sub;
    bool told;
    tidings_err err;

    if (!conf_has_daemon())
        skip();
    broker_start(&b, FORGETFUL);
    assert_ok(tidings_open(&bus, b.endpoint, &o));
    assert_ok(tidings_subscribe(&sub, bus, "a", tally_event, t, NULL));
    assert_ok(tidings_publish(bus, "go", NULL, 0));
    told = tally_wait_status(s, TIDINGS_REFUSED, 1, CONF_MS);
    assert_ok(tidings_info(&info, bus));
    err = tidings_unsubscribe(sub, CONF_MS);
    assert_err(tidings_close(bus), TIDINGS_ETIMEDOUT); /* it took nothing */
    broker_stop(&b);

    assert_true(told);
    assert_int_equal(tally_now(s).statuses[TIDINGS_UP], 2);
    assert_int_equal(tally_now(s).statuses[TIDINGS_DOWN], 1);
    assert_int_equal(tally_now(s).statuses[TIDINGS_NEW_EPOCH], 1);
    assert_int_equal(tally_now(s).statuses[TIDINGS_REFUSED], 1);
    assert_int_equal(tally_now(s).status.err, TIDINGS_ENOTSUP);
    assert_ptr_equal(tally_now(s).status.sub, sub);
    assert_int_equal(info.connects, 2);
    assert_int_equal(info.resent, 1);
    assert_true(info.epoch == EPOCH + 1);
    assert_ok(err); /* it is over, and now forgotten */
}

/* What the first broker delivered is not delivered again by the second. */
static void test_events_of_another_epoch_are_not_delivered_twice(void **state)
{
    struct conf *c = *state;
    struct tally *t = conf_tally(c);
    struct tally *s = conf_tally(c);
    const struct tidings_options o = {
        .on_status = tally_status, .on_status_arg = s, .close_timeout_ms = -1};
    int64_t end = td_proc_now_ms() + CONF_MS;
    struct tidings_sub_info info;
    struct broker b;
    tidings_bus *bus;
    tidings_sub *sub;
    bool once;
    bool rest;

    if (!conf_has_daemon())
        skip();
    broker_start(&b, REPEATING);
    assert_ok(tidings_open(&bus, b.endpoint, &o));
    assert_ok(tidings_subscribe(&sub, bus, "twice", tally_event, t, NULL));
    once = tally_wait(t, 3, CONF_MS);
    assert_ok(tidings_publish(bus, "go", NULL, 0));
    rest = tally_wait(t, 5, CONF_MS);
    do
        assert_ok(tidings_sub_info(&info, sub));
    while (info.delivered < 5 && td_proc_now_ms() < end); /* it returns */
    assert_err(tidings_close(bus), TIDINGS_ETIMEDOUT);    /* it took nothing */
    broker_stop(&b);

    assert_true(once);
    assert_true(rest);
    assert_int_equal(tally_count(t), 5);
    assert_string_equal(tally_now(t).id + 27, "0000000000005");
    assert_int_equal(info.duplicates, 2);
    assert_int_equal(info.delivered, 5);
    assert_int_equal(tally_now(s).statuses[TIDINGS_NEW_EPOCH], 1);
    assert_int_equal(tally_now(s).statuses[TIDINGS_GAP], 0);
}

struct news {
    unsigned calls;
    unsigned gaps;
    char first[256]; /* text */
};

static void on_news(void *arg, const struct tidings_status *status)
{
    struct news *news = arg;

    if (news->calls++ == 0)
        snprintf(news->first, sizeof(news->first), "%s", status->text);
    news->gaps += status->kind == TIDINGS_GAP;
}

/* A program that never looks: the latest news are kept, and the first of them
 * says how many are not. */
static void test_news_that_were_dropped_are_counted(void **state)
{
    struct conf *c = *state;
    struct tally *t = conf_tally(c);
    struct news news = {0};
    const struct tidings_options o = {
        .own_loop = true, .on_status = on_news, .on_status_arg = &news};
    int64_t end = td_proc_now_ms() + CONF_MS;
    struct tidings_info info = {0};
    unsigned dropped = 0;
    struct broker b;
    tidings_bus *bus;

    if (!conf_has_daemon())
        skip();
    broker_start(&b, MISSING);
    assert_ok(tidings_open(&bus, b.endpoint, &o));
    assert_ok(tidings_subscribe(NULL, bus, "twice", tally_event, t, NULL));
    while (info.waiting < 3 && td_proc_now_ms() < end)
        assert_ok(tidings_info(&info, bus)); /* they come after the gaps */
    while (tally_count(t) < 3 && td_proc_now_ms() < end)
        assert_ok(tidings_dispatch(NULL, bus, 1000));
    assert_ok(tidings_close(bus));
    broker_stop(&b);

    assert_int_equal(tally_count(t), 3);
    assert_int_equal(sscanf(news.first,
                            "(%u notices before this one were "
                            "dropped) missed 1 event:",
                            &dropped),
                     1);
    assert_true(dropped > 0);
    assert_int_equal(news.gaps, news.calls); /* TIDINGS_UP is gone */
    assert_int_equal(dropped + news.calls, 1 + GAPS);
    assert_int_equal(info.missed, GAPS);
}

static void test_lost_broker_is_told_apart_from_none(void **state)
{
    struct conf *c = *state;
    struct tally *s = conf_tally(c);
    const struct tidings_options o = {.on_status = tally_status,
                                      .on_status_arg = s};
    struct broker b;
    tidings_bus *bus;
    char before[512];
    tidings_err err;
    bool down;

    if (!conf_has_daemon())
        skip();
    broker_start(&b, REFUSING);
    assert_ok(tidings_open(&bus, b.endpoint, &o));
    assert_ok(tidings_wait(bus, CONF_MS));
    broker_stop(&b);
    down = tally_wait_status(s, TIDINGS_DOWN, 1, CONF_MS);
    err = tidings_wait(bus, 0);
    snprintf(before, sizeof(before), "%s", tidings_detail());
    assert_ok(tidings_close(bus));

    assert_true(down);
    assert_err(err, TIDINGS_EUNREACH);
    assert_int_equal(tally_now(s).status.err, TIDINGS_EUNREACH);
    assert_string_equal(tally_now(s).status_text, "connection lost");
    assert_ptr_equal(strstr(before, "lost the broker at "), before);
}

static void check_babble(struct conf *c, bool own_loop)
{
    struct tally *t = conf_tally(c);
    struct tally *s = conf_tally(c);
    const struct tidings_options o = {
        .own_loop = own_loop, .on_status = tally_status, .on_status_arg = s};
    int64_t end = td_proc_now_ms() + CONF_MS;
    struct broker b;
    tidings_bus *bus;

    broker_start(&b, BABBLING);
    assert_ok(tidings_open(&bus, b.endpoint, &o));
    assert_ok(tidings_subscribe(NULL, bus, "a", tally_event, t, NULL));
    while (tally_now(s).statuses[TIDINGS_UP] < 2 && td_proc_now_ms() < end) {
        if (own_loop)
            assert_ok(tidings_dispatch(NULL, bus, 10));
        conf_pause_us(1000);
    }
    assert_ok(tidings_close(bus));
    broker_stop(&b);
    assert_int_equal(tally_count(t), 0);
    assert_int_equal(tally_now(s).statuses[TIDINGS_DOWN], 1);
    assert_int_equal(tally_now(s).statuses[TIDINGS_UP], 2);
}

static void test_malformed_delivery_ends_the_session(void **state)
{
    if (!conf_has_daemon())
        skip();
    check_babble(*state, false);
    check_babble(*state, true);
}

/* ---- a publisher of broken events ---- */

static void send_frame(void *dealer, struct frame *f, const void *body,
                       size_t len)
{
    assert_true(zmq_send(dealer, f->bytes.data, f->bytes.size,
                         body ? ZMQ_SNDMORE : 0) >= 0);
    if (body)
        assert_true(zmq_send(dealer, body, len, 0) >= 0);
    msgpack_sbuffer_destroy(&f->bytes);
}

static void send_hello(void *dealer, const char *producer)
{
    struct frame f;

    frame_begin(&f, 6, HELLO);
    put_text(&f, "tidings");
    msgpack_pack_uint64(&f.pk, 1);
    msgpack_pack_uint64(&f.pk, 1);
    put_bin(&f, producer, 16);
    put_text(&f, "broken");
    msgpack_pack_map(&f.pk, 0);
    send_frame(dealer, &f, NULL, 0);
}

/* Two events that can be read around two that cannot: one is no array, one
 * has an attribute "ID". */
static void send_broken(void *dealer, const char *producer)
{
    static const char body[] = "\xc4\x04\x92\x00\xc4\x00"
                               "\xc4\x01\xc1"
                               "\xc4\x09\x93\x00\xc4\x00\x81\xa2ID\x01"
                               "\xc4\x04\x92\x00\xc4\x00";
    static const struct run run = {"broken.x", 4, sizeof(body) - 1, 1};
    struct frame f;

    frame_begin(&f, 2, PUBLISH);
    msgpack_pack_uint64(&f.pk, 1); /* flags */
    put_batch(&f, producer, &run);
    send_frame(dealer, &f, body, sizeof(body) - 1);
}

struct broken {
    void *context;
    void *dealer;
};

static void broken_begin(struct broken *b, const char *producer)
{
    char reply[4096];

    b->context = zmq_ctx_new();
    b->dealer = zmq_socket(b->context, ZMQ_DEALER);
    assert_non_null(b->dealer);
    zmq_setsockopt(b->dealer, ZMQ_RCVTIMEO, &(int){CONF_MS}, sizeof(int));
    zmq_setsockopt(b->dealer, ZMQ_LINGER, &(int){0}, sizeof(int));
    assert_int_equal(zmq_connect(b->dealer, conf_url()), 0);
    send_hello(b->dealer, producer);
    assert_true(zmq_recv(b->dealer, reply, sizeof(reply), 0) > 1);
    assert_int_equal(reply[1], WELCOME);
    send_broken(b->dealer, producer);
}

static void broken_end(struct broken *b)
{
    zmq_close(b->dealer);
    zmq_ctx_term(b->context);
}

static void test_events_that_cannot_be_read_are_told_and_skipped(void **state)
{
    static const char producer[] = "\x01\x02\x03\x04\x05\x06\x07\x08"
                                   "\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10";
    struct conf *c = *state;
    struct tally *s = conf_tally(c);
    const struct tidings_options o = {.on_status = tally_status,
                                      .on_status_arg = s};
    tidings_bus *bus;
    tidings_sub *sub;
    struct tidings_sub_info info;
    struct tally *t;
    struct broken b;

    if (!conf_has_daemon())
        skip();
    bus = conf_open(c, &o);
    t = conf_tally(c);
    assert_ok(tidings_subscribe(&sub, bus, "broken.*", tally_event, t, NULL));
    broken_begin(&b, producer);
    assert_true(tally_wait(t, 2, CONF_MS));
    assert_true(tally_wait_status(s, TIDINGS_BAD_EVENT, 2, CONF_MS));
    broken_end(&b);

    assert_ok(tidings_sub_info(&info, sub));
    assert_int_equal(info.unreadable, 2);
    assert_int_equal(tally_count(t), 2);
    assert_int_equal(tally_now(s).status.err, TIDINGS_EPROTO);
    assert_non_null(tally_now(s).status.sub);
    assert_string_equal(tally_now(s).status_type, "broken.x");
    assert_int_equal(strlen(tally_now(s).status_id), 40);
    assert_string_equal(tally_now(t).id + 27, "0000000000004");
    assert_string_equal(tally_now(s).status_id + 27, "0000000000003");
}

/* What nobody could handle is not fetched, and dead at once. */
static void test_fetching_skips_events_that_cannot_be_read(void **state)
{
    static const char producer[] = "\x11\x12\x13\x14\x15\x16\x17\x18"
                                   "\x19\x1a\x1b\x1c\x1d\x1e\x1f\x20";
    const struct tidings_stream_options stream = {
        .name = "broken",
        .patterns = (const char *const[]){"broken.>"},
        .patterns_len = 1,
        .storage = TIDINGS_STORE_MEMORY};
    const struct tidings_sub_options jobs = {
        .stream = "broken", .group = "g", .pull = true};
    struct conf *c = *state;
    struct tally *s = conf_tally(c);
    const struct tidings_options o = {.on_status = tally_status,
                                      .on_status_arg = s};
    struct tidings_fetched got[4];
    struct tidings_sub_info info;
    tidings_sub *sub;
    tidings_bus *bus;
    struct broken b;
    size_t n = 0;

    if (!conf_has_daemon())
        skip();
    bus = conf_open(c, &o);
    assert_ok(tidings_stream_add(bus, &stream, CONF_MS));
    assert_ok(tidings_subscribe(&sub, bus, ">", NULL, NULL, &jobs));
    broken_begin(&b, producer);
    for (size_t i = 0; i < 2; i += n) {
        assert_ok(tidings_fetch(&n, got, sub, 4, CONF_MS));
        for (size_t j = 0; j < n; j++) {
            tidings_free(got[j].event);
            assert_ok(tidings_settle(&got[j].delivery, TIDINGS_ACK, 0, NULL));
        }
    }
    broken_end(&b);
    assert_true(tally_wait_status(s, TIDINGS_BAD_EVENT, 2, CONF_MS));
    assert_true(operate_group_until(bus, "broken", "g", "termed", 2, CONF_MS));
    assert_true(operate_until_settled(bus, "broken", "g", CONF_MS));
    assert_ok(tidings_sub_info(&info, sub));
    assert_int_equal(info.delivered, 2);
    assert_int_equal(info.unreadable, 2);
    assert_int_equal(info.pending, 0);
}

int conf_run_peer(void)
{
    const struct CMUnitTest tests[] = {
        CONF_TEST(test_another_version_is_told_apart),
        CONF_TEST(test_refused_subscription_is_the_callers_error),
        CONF_TEST(test_refused_renewal_is_told),
        CONF_TEST(test_events_of_another_epoch_are_not_delivered_twice),
        CONF_TEST(test_news_that_were_dropped_are_counted),
        CONF_TEST(test_lost_broker_is_told_apart_from_none),
        CONF_TEST(test_malformed_delivery_ends_the_session),
        CONF_TEST(test_events_that_cannot_be_read_are_told_and_skipped),
        CONF_TEST(test_fetching_skips_events_that_cannot_be_read),
    };

    return cmocka_run_group_tests_name("peer", tests, NULL, NULL);
}
