#include "tests/conformance/broker.h"

#include "tests/conformance/conformance.h"

#include <zmq.h>

#define LOOK_MS  20 /* between two looks at the stop flag */
#define PRODUCER "0123456789abcdef"
#define EVENT    "\xc4\x04\x92\x00\xc4\x00" /* without data */

/* ---- frames ---- */

void frame_begin(struct frame *f, unsigned fields, enum op op)
{
    msgpack_sbuffer_init(&f->bytes);
    msgpack_packer_init(&f->pk, &f->bytes, msgpack_sbuffer_write);
    msgpack_pack_array(&f->pk, fields + 1);
    msgpack_pack_uint8(&f->pk, op);
}

void put_text(struct frame *f, const char *text)
{
    msgpack_pack_str(&f->pk, strlen(text));
    msgpack_pack_str_body(&f->pk, text, strlen(text));
}

void put_bin(struct frame *f, const void *data, size_t len)
{
    msgpack_pack_bin(&f->pk, len);
    msgpack_pack_bin_body(&f->pk, data, len);
}

void put_batch(struct frame *f, const char *producer, const struct run *run)
{
    msgpack_pack_array(&f->pk, 1);
    msgpack_pack_array(&f->pk, 4);
    put_bin(f, producer, 16);
    put_text(f, "/peer");
    msgpack_pack_int64(&f->pk, 0);
    msgpack_pack_array(&f->pk, 1);
    msgpack_pack_array(&f->pk, 5);
    put_text(f, run->type);
    msgpack_pack_uint64(&f->pk, run->count);
    msgpack_pack_uint64(&f->pk, run->bytes);
    msgpack_pack_uint64(&f->pk, run->first);
    msgpack_pack_uint64(&f->pk, 0); /* flags */
}

/* ---- messages ---- */

void broker_send(struct broker *b, void *peer, struct frame *f,
                 const void *body, size_t len)
{
    zmq_msg_t id;

    zmq_msg_init(&id);
    zmq_msg_copy(&id, peer);
    zmq_msg_send(&id, b->router, ZMQ_SNDMORE);
    zmq_send(b->router, f->bytes.data, f->bytes.size, body ? ZMQ_SNDMORE : 0);
    if (body)
        zmq_send(b->router, body, len, 0);
    msgpack_sbuffer_destroy(&f->bytes);
}

void broker_send_bye(struct broker *b, void *peer, int code)
{
    struct frame f;

    frame_begin(&f, 2, BYE);
    msgpack_pack_int(&f.pk, code);
    put_text(&f, "the part says so");
    broker_send(b, peer, &f, NULL, 0);
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
    broker_send(b, peer, &f, NULL, 0);
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
    broker_send(b, peer, &f, NULL, 0);
}

/* DELIVER of one part. */
static void send_deliver(struct broker *b, zmq_msg_t *peer, uint64_t number,
                         const struct run *run, const char *body, size_t len)
{
    struct frame f;

    frame_begin(&f, 1, DELIVER);
    msgpack_pack_array(&f.pk, 1);
    msgpack_pack_array(&f.pk, 3);
    msgpack_pack_uint64(&f.pk, number);
    msgpack_pack_uint64(&f.pk, 1); /* tag */
    put_batch(&f, PRODUCER, run);
    broker_send(b, peer, &f, body, len);
}

/* A table that promises more than its body holds. */
static void send_babble(struct broker *b, zmq_msg_t *peer, uint64_t number)
{
    static const struct run run = {"babble", 3, 999, 1};
    static const char body[] = "no events";

    send_deliver(b, peer, number, &run, body, sizeof(body) - 1);
}

/* Events 1 to 3 of one producer at first, 2 to 5 from its second session on. */
static void send_twice(struct broker *b, zmq_msg_t *peer, uint64_t number,
                       bool first)
{
    static const char body[] = EVENT EVENT EVENT EVENT;
    const struct run run = {"twice", first ? 3 : 4,
                            (sizeof(EVENT) - 1) * (first ? 3 : 4),
                            first ? 1 : 2};

    send_deliver(b, peer, number, &run, body, (size_t)run.bytes);
}

/* Of one event each; no two in a row for the same reason. */
static void send_gaps(struct broker *b, zmq_msg_t *peer, uint64_t number)
{
    for (unsigned i = 0; i < GAPS; i++) {
        struct frame f;

        frame_begin(&f, 3, GAP);
        msgpack_pack_uint64(&f.pk, number);
        msgpack_pack_uint64(&f.pk, 1);
        put_text(&f, i % 2 ? "slow" : "oldest");
        broker_send(b, peer, &f, NULL, 0);
    }
}

static void on_hello(struct broker *b, zmq_msg_t *peer)
{
    unsigned nth = atomic_fetch_add(&b->hellos, 1);

    if (b->part == OTHER_VERSION)
        broker_send_bye(b, peer, TIDINGS_EVERSION);
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
    if (b->part == MISSING && first)
        send_gaps(b, peer, number);
    if (b->part == REPEATING || b->part == MISSING)
        send_twice(b, peer, number, first);
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
        if ((b->part == FORGETFUL || b->part == REPEATING) &&
            atomic_load(&b->hellos) == 1)
            broker_send_bye(b, peer, TIDINGS_ESHUTDOWN);
        if (b->part >= STORING)
            broker_on_publish(b, peer, f);
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

void broker_start(struct broker *b, enum part part)
{
    char url[256];
    size_t size = sizeof(b->endpoint);

    memset(b, 0, sizeof(*b));
    b->part = part;
    b->context = zmq_ctx_new();
    b->router = zmq_socket(b->context, ZMQ_ROUTER);
    assert_non_null(b->router);
    zmq_setsockopt(b->router, ZMQ_LINGER, &(int){0}, sizeof(int));
    /* A ROUTER drops what has no room. */
    zmq_setsockopt(b->router, ZMQ_SNDHWM, &(int){0}, sizeof(int));
    assert_int_equal(zmq_bind(b->router, conf_free_url(url)), 0);
    assert_int_equal(
        zmq_getsockopt(b->router, ZMQ_LAST_ENDPOINT, b->endpoint, &size), 0);
    assert_int_equal(pthread_create(&b->thread, NULL, broker_main, b), 0);
}

void broker_stop(struct broker *b)
{
    atomic_store(&b->stop, true);
    pthread_join(b->thread, NULL);
    zmq_close(b->router);
    zmq_ctx_term(b->context);
}
