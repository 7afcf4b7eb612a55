/* Peers that are not of this library, over real sockets: brokers that refuse,
 * end sessions or send nonsense, and a publisher of broken events. Only the
 * backends with sockets can meet them. */
#include "tests/conformance/conformance.h"

#include <msgpack.h>
#include <stdlib.h>
#include <zmq.h>

#define LOOK_MS 20 /* between two looks at the stop flag */
#define EPOCH   1000

/* Operations, PROTOCOL.md 4. */
enum op {
    HELLO = 1,
    WELCOME = 2,
    PUBLISH = 3,
    SUBSCRIBE = 5,
    UNSUBSCRIBE = 6,
    REPLY = 7,
    DELIVER = 8,
    PING = 11,
    PONG = 12,
    BYE = 14
};

/* ---- frames ---- */

struct frame {
    msgpack_sbuffer bytes;
    msgpack_packer pk;
};

static void frame_begin(struct frame *f, unsigned fields, enum op op)
{
    msgpack_sbuffer_init(&f->bytes);
    msgpack_packer_init(&f->pk, &f->bytes, msgpack_sbuffer_write);
    msgpack_pack_array(&f->pk, fields + 1);
    msgpack_pack_uint8(&f->pk, op);
}

static void put_text(struct frame *f, const char *text)
{
    msgpack_pack_str(&f->pk, strlen(text));
    msgpack_pack_str_body(&f->pk, text, strlen(text));
}

static void put_bin(struct frame *f, const void *data, size_t len)
{
    msgpack_pack_bin(&f->pk, len);
    msgpack_pack_bin_body(&f->pk, data, len);
}

/* ---- a broker that plays a part ---- */

enum part {
    OTHER_VERSION, /* BYE to every HELLO */
    REFUSING,      /* refuses every SUBSCRIBE */
    FORGETFUL,     /* ends the first session when it is published to; then
                      it is another, and refuses */
    BABBLING       /* sends a broken DELIVER to the first subscription */
};

struct broker {
    enum part part;
    void *context;
    void *router;
    char endpoint[256];
    pthread_t thread;
    atomic_bool stop;
    atomic_uint hellos;
    unsigned subscribes;
};

static void send_to(struct broker *b, zmq_msg_t *peer, struct frame *f,
                    const char *body)
{
    zmq_msg_t id;

    zmq_msg_init(&id);
    zmq_msg_copy(&id, peer);
    zmq_msg_send(&id, b->router, ZMQ_SNDMORE);
    zmq_send(b->router, f->bytes.data, f->bytes.size, body ? ZMQ_SNDMORE : 0);
    if (body)
        zmq_send(b->router, body, strlen(body), 0);
    msgpack_sbuffer_destroy(&f->bytes);
}

static void send_bye(struct broker *b, zmq_msg_t *peer, tidings_err code)
{
    struct frame f;

    frame_begin(&f, 2, BYE);
    msgpack_pack_int(&f.pk, code);
    put_text(&f, "the part says so");
    send_to(b, peer, &f, NULL);
}

static void send_welcome(struct broker *b, zmq_msg_t *peer, uint64_t epoch)
{
    struct frame f;

    frame_begin(&f, 7, WELCOME);
    msgpack_pack_uint64(&f.pk, 1); /* version */
    msgpack_pack_uint64(&f.pk, epoch);
    msgpack_pack_uint64(&f.pk, 1);       /* session */
    msgpack_pack_uint64(&f.pk, 0);       /* taken */
    msgpack_pack_uint64(&f.pk, 65536);   /* events_limit */
    msgpack_pack_uint64(&f.pk, 8 << 20); /* bytes_limit */
    msgpack_pack_map(&f.pk, 0);
    send_to(b, peer, &f, NULL);
}

static void send_reply(struct broker *b, zmq_msg_t *peer, uint64_t request,
                       tidings_err code)
{
    struct frame f;

    frame_begin(&f, 4, REPLY);
    msgpack_pack_uint64(&f.pk, request);
    msgpack_pack_int(&f.pk, code);
    put_text(&f, "the part says so");
    msgpack_pack_nil(&f.pk);
    send_to(b, peer, &f, NULL);
}

/* A table that promises more than its body holds. */
static void send_babble(struct broker *b, zmq_msg_t *peer, uint64_t number)
{
    struct frame f;

    frame_begin(&f, 3, DELIVER);
    msgpack_pack_uint64(&f.pk, number);
    msgpack_pack_uint64(&f.pk, 1);
    msgpack_pack_array(&f.pk, 1);
    msgpack_pack_array(&f.pk, 4);
    put_bin(&f, "0123456789abcdef", 16);
    put_text(&f, "/babble");
    msgpack_pack_int64(&f.pk, 0);
    msgpack_pack_array(&f.pk, 1);
    msgpack_pack_array(&f.pk, 5);
    put_text(&f, "babble");
    msgpack_pack_uint64(&f.pk, 3);   /* count */
    msgpack_pack_uint64(&f.pk, 999); /* bytes */
    msgpack_pack_uint64(&f.pk, 1);   /* first */
    msgpack_pack_uint64(&f.pk, 0);   /* flags */
    send_to(b, peer, &f, "no events");
}

static void on_hello(struct broker *b, zmq_msg_t *peer)
{
    unsigned nth = atomic_fetch_add(&b->hellos, 1);

    if (b->part == OTHER_VERSION)
        send_bye(b, peer, TIDINGS_EVERSION);
    else
        send_welcome(b, peer, EPOCH + nth);
}

static void on_subscribe(struct broker *b, zmq_msg_t *peer, uint64_t request,
                         uint64_t number)
{
    bool first = b->subscribes++ == 0;

    send_reply(b, peer, request,
               b->part == REFUSING || (b->part == FORGETFUL && !first)
                   ? TIDINGS_ENOTSUP
                   : TIDINGS_OK);
    if (b->part == BABBLING && first)
        send_babble(b, peer, number);
}

static void on_message(struct broker *b, zmq_msg_t *peer,
                       const msgpack_object_array *fields)
{
    const msgpack_object *f = fields->ptr;

    switch (f[0].via.u64) {
    case HELLO:
        on_hello(b, peer);
        break;
    case PUBLISH:
        if (b->part == FORGETFUL && atomic_load(&b->hellos) == 1)
            send_bye(b, peer, TIDINGS_ESHUTDOWN);
        break;
    case SUBSCRIBE:
        on_subscribe(b, peer, f[1].via.u64, f[2].via.u64);
        break;
    case UNSUBSCRIBE:
        send_reply(b, peer, f[1].via.u64, TIDINGS_OK);
        break;
    default:
        break;
    }
}

static void receive(struct broker *b)
{
    msgpack_unpacked u;
    zmq_msg_t peer;
    zmq_msg_t control;
    zmq_msg_t rest;

    zmq_msg_init(&peer);
    zmq_msg_init(&control);
    zmq_msg_init(&rest);
    msgpack_unpacked_init(&u);
    zmq_msg_recv(&peer, b->router, 0);
    zmq_msg_recv(&control, b->router, 0);
    if (zmq_msg_more(&control))
        zmq_msg_recv(&rest, b->router, 0);
    if (msgpack_unpack_next(&u, zmq_msg_data(&control), zmq_msg_size(&control),
                            NULL) == MSGPACK_UNPACK_SUCCESS)
        on_message(b, &peer, &u.data.via.array);
    msgpack_unpacked_destroy(&u);
    zmq_msg_close(&rest);
    zmq_msg_close(&control);
    zmq_msg_close(&peer);
}

static void *broker_main(void *arg)
{
    struct broker *b = arg;

    while (!atomic_load(&b->stop)) {
        zmq_pollitem_t item = {.socket = b->router, .events = ZMQ_POLLIN};

        if (zmq_poll(&item, 1, LOOK_MS) > 0)
            receive(b);
    }
    return NULL;
}

static void broker_start(struct broker *b, enum part part)
{
    char url[256];
    size_t size = sizeof(b->endpoint);

    memset(b, 0, sizeof(*b));
    b->part = part;
    b->context = zmq_ctx_new();
    b->router = zmq_socket(b->context, ZMQ_ROUTER);
    assert_non_null(b->router);
    zmq_setsockopt(b->router, ZMQ_LINGER, &(int){0}, sizeof(int));
    assert_int_equal(zmq_bind(b->router, conf_free_url(url)), 0);
    assert_int_equal(
        zmq_getsockopt(b->router, ZMQ_LAST_ENDPOINT, b->endpoint, &size), 0);
    assert_int_equal(pthread_create(&b->thread, NULL, broker_main, b), 0);
}

static void broker_stop(struct broker *b)
{
    atomic_store(&b->stop, true);
    pthread_join(b->thread, NULL);
    zmq_close(b->router);
    zmq_ctx_term(b->context);
}

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
    struct frame f;

    frame_begin(&f, 2, PUBLISH);
    msgpack_pack_uint64(&f.pk, 1); /* flags */
    msgpack_pack_array(&f.pk, 1);
    msgpack_pack_array(&f.pk, 4);
    put_bin(&f, producer, 16);
    put_text(&f, "/broken");
    msgpack_pack_int64(&f.pk, 0);
    msgpack_pack_array(&f.pk, 1);
    msgpack_pack_array(&f.pk, 5);
    put_text(&f, "broken.x");
    msgpack_pack_uint64(&f.pk, 4);
    msgpack_pack_uint64(&f.pk, sizeof(body) - 1);
    msgpack_pack_uint64(&f.pk, 1);
    msgpack_pack_uint64(&f.pk, 0);
    send_frame(dealer, &f, body, sizeof(body) - 1);
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
    struct tally *t;
    void *context;
    void *dealer;
    char reply[4096];

    if (!conf_has_daemon())
        skip();
    bus = conf_open(c, &o);
    t = conf_subscribe(c, bus, "broken.*");
    context = zmq_ctx_new();
    dealer = zmq_socket(context, ZMQ_DEALER);
    assert_non_null(dealer);
    zmq_setsockopt(dealer, ZMQ_RCVTIMEO, &(int){CONF_MS}, sizeof(int));
    zmq_setsockopt(dealer, ZMQ_LINGER, &(int){0}, sizeof(int));
    assert_int_equal(zmq_connect(dealer, conf_url()), 0);
    send_hello(dealer, producer);
    assert_true(zmq_recv(dealer, reply, sizeof(reply), 0) > 1);
    assert_int_equal(reply[1], WELCOME);
    send_broken(dealer, producer);
    assert_true(tally_wait(t, 2, CONF_MS));
    assert_true(tally_wait_status(s, TIDINGS_BAD_EVENT, 2, CONF_MS));
    zmq_close(dealer);
    zmq_ctx_term(context);

    assert_int_equal(tally_count(t), 2);
    assert_int_equal(tally_now(s).status.err, TIDINGS_EPROTO);
    assert_non_null(tally_now(s).status.sub);
    assert_string_equal(tally_now(s).status_type, "broken.x");
    assert_int_equal(strlen(tally_now(s).status_id), 40);
    assert_string_equal(tally_now(t).id + 27, "0000000000004");
    assert_string_equal(tally_now(s).status_id + 27, "0000000000003");
}

int conf_run_peer(void)
{
    const struct CMUnitTest tests[] = {
        CONF_TEST(test_another_version_is_told_apart),
        CONF_TEST(test_refused_subscription_is_the_callers_error),
        CONF_TEST(test_refused_renewal_is_told),
        CONF_TEST(test_malformed_delivery_ends_the_session),
        CONF_TEST(test_events_that_cannot_be_read_are_told_and_skipped),
    };

    return cmocka_run_group_tests_name("peer", tests, NULL, NULL);
}
