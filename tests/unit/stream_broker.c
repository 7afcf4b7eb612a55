#include "tests/unit/stream_broker.h"

#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

#include "proto/batch.h"
#include "proto/frame.h"
#include "proto/limits.h"

#define WAIT_MS 30000

struct peer {
    uint8_t id[256];
    size_t id_len;
};

static void send_frame(struct stream_broker *b, const struct peer *p,
                       const struct td_frame *f, const struct td_buf *body)
{
    struct td_buf control = {0};

    td_frame_encode(&control, f);
    zmq_send(b->router, p->id, p->id_len, ZMQ_SNDMORE);
    zmq_send(b->router, control.data, control.len, body ? ZMQ_SNDMORE : 0);
    if (body)
        zmq_send(b->router, body->data, body->len, 0);
    td_buf_fini(&control);
}

/* Who knows what it had is taken up again where it was. */
static void welcome(struct stream_broker *b, const struct peer *p,
                    struct td_str options)
{
    static const uint8_t token[TD_TOKEN_BYTES] = {1};
    struct td_frame f = {.op = TD_WELCOME};
    struct td_str known = {NULL, 0};
    struct td_buf map = {0};
    msgpack_packer pk;

    td_map_find(options, "subscriptions", &known);
    msgpack_packer_init(&pk, &map, td_buf_pack_write);
    msgpack_pack_map(&pk, 3);
    msgpack_pack_str(&pk, 5);
    msgpack_pack_str_body(&pk, "token", 5);
    msgpack_pack_bin(&pk, sizeof(token));
    msgpack_pack_bin_body(&pk, token, sizeof(token));
    msgpack_pack_str(&pk, 8);
    msgpack_pack_str_body(&pk, "grace_ms", 8);
    msgpack_pack_uint32(&pk, WAIT_MS);
    msgpack_pack_str(&pk, 7);
    msgpack_pack_str_body(&pk, "resumed", 7);
    if (known.len > 0)
        msgpack_pack_true(&pk);
    else
        msgpack_pack_false(&pk);
    f.u.welcome.version = TD_PROTOCOL_VERSION;
    f.u.welcome.epoch = 7;
    f.u.welcome.session = 1;
    f.u.welcome.events_limit = 1000;
    f.u.welcome.bytes_limit = 1 << 20;
    f.u.welcome.limits = (struct td_str){(const char *)map.data, map.len};
    send_frame(b, p, &f, NULL);
    td_buf_fini(&map);
}

static void reply(struct stream_broker *b, const struct peer *p,
                  uint64_t request)
{
    struct td_frame f = {.op = TD_REPLY};

    msgpack_packer pk;
    struct td_buf map = {0};

    msgpack_packer_init(&pk, &map, td_buf_pack_write);
    msgpack_pack_map(&pk, 1);
    msgpack_pack_str(&pk, 11);
    msgpack_pack_str_body(&pk, "ack_wait_ms", 11);
    msgpack_pack_uint32(&pk, b->ack_wait_ms);
    f.u.reply.request = request;
    f.u.reply.result = b->ack_wait_ms
                           ? (struct td_str){(const char *)map.data, map.len}
                           : td_nil;
    send_frame(b, p, &f, NULL);
    td_buf_fini(&map);
}

/* ---- delivering ---- */

static void put_event(struct td_buf *body, unsigned key, bool keyed)
{
    struct td_buf attrs = {0};
    msgpack_packer pk;
    struct td_str map = {NULL, 0};
    uint8_t bytes[64];
    char text[16];
    size_t len = (size_t)snprintf(text, sizeof(text), "k%u", key);

    if (keyed) {
        msgpack_packer_init(&pk, &attrs, td_buf_pack_write);
        msgpack_pack_map(&pk, 1);
        msgpack_pack_str(&pk, 12);
        msgpack_pack_str_body(&pk, "partitionkey", 12);
        msgpack_pack_str(&pk, len);
        msgpack_pack_str_body(&pk, text, len);
        map.data = (const char *)attrs.data;
        map.len = attrs.len;
    }
    td_buf_append(body, bytes,
                  (size_t)(td_event_put(bytes, 0, "x", 1, map) - bytes));
    td_buf_fini(&attrs);
}

static void deliver(struct stream_broker *b, const struct peer *p, uint32_t n)
{
    struct td_run run = {
        .type = td_str_of("a.b"), .count = n, .first = b->sent + 1};
    struct td_batch batch = {.producer = {"0123456789abcdef", 16},
                             .source = td_str_of("/s"),
                             .base_us = 1700000000000000,
                             .runs = &run,
                             .runs_len = 1,
                             .events = n};
    const struct td_span span = {n, 1000 + b->sent, 2};
    struct td_frame f = {.op = TD_DELIVER};
    struct td_buf parts = {0};
    struct td_buf body = {0};

    for (uint32_t i = 1; i <= n; i++)
        put_event(&body, b->keys ? (unsigned)((b->sent + i) % b->keys) : 0,
                  b->keys > 0);
    run.bytes = batch.bytes = (uint32_t)body.len;
    run.flags = b->keys ? TD_RUN_KEY : 0;
    td_list_begin(&parts, 1);
    td_part_begin(&parts, b->subscription, b->sent + 1, true);
    td_batches_begin(&parts, 1);
    td_batch_pack(&parts, &batch);
    td_list_begin(&parts, 1);
    td_span_append(&parts, &span);
    f.u.deliver.parts.data = (const char *)parts.data;
    f.u.deliver.parts.len = parts.len;
    send_frame(b, p, &f, &body);
    b->sent += n;
    td_buf_fini(&parts);
    td_buf_fini(&body);
}

static void deliver_all(struct stream_broker *b, const struct peer *p)
{
    while (b->joined && !b->ended && b->sent < b->wanted &&
           b->sent < b->limit) {
        uint64_t n = b->wanted - b->sent;

        if (n > b->piece)
            n = b->piece;
        if (n > b->limit - b->sent)
            n = b->limit - b->sent;
        deliver(b, p, (uint32_t)n);
    }
}

/* ---- hearing ---- */

static void on_settle(struct stream_broker *b, struct td_str list)
{
    struct td_reader r = td_reader_of(list.data, list.len);
    struct td_settle row;
    uint32_t rows;

    b->settles++;
    td_read_array(&r, &rows);
    for (; rows > 0 && td_settle_read(&r, &row); rows--) {
        b->rows++;
        for (uint64_t tag = row.first; tag <= row.last && tag < BROKER_TAGS_MAX;
             tag++) {
            struct heard *h = &b->heard[tag];

            if (row.verb == TD_PROGRESS) {
                h->progress++;
                continue;
            }
            h->times++;
            h->verb = (unsigned)row.verb;
            h->delay_ms = row.delay_ms;
            snprintf(h->reason, sizeof(h->reason), "%.*s", (int)row.reason.len,
                     row.reason.data);
        }
    }
}

static void on_credit(struct stream_broker *b, struct td_str list)
{
    struct td_reader r = td_reader_of(list.data, list.len);
    struct td_credit row;
    uint32_t rows;

    td_read_array(&r, &rows);
    while (rows-- > 0 && td_credit_read(&r, &row))
        b->limit = row.events_limit;
}

static void on_frame(struct stream_broker *b, const struct peer *p,
                     const struct td_frame *f)
{
    struct td_frame pong = {.op = TD_PONG};

    switch (f->op) {
    case TD_HELLO:
        welcome(b, p, f->u.hello.options);
        break;
    case TD_SUBSCRIBE:
        b->subscription = f->u.subscribe.subscription;
        td_map_uint(f->u.subscribe.options, "events", &b->limit);
        reply(b, p, f->u.subscribe.request);
        b->joined = true;
        break;
    case TD_UNSUBSCRIBE:
        b->ended = true;
        reply(b, p, f->u.unsubscribe.request);
        break;
    case TD_CALL:
        snprintf(b->call, sizeof(b->call), "%.*s", (int)f->u.call.name.len,
                 f->u.call.name.data);
        reply(b, p, f->u.call.request);
        break;
    case TD_PING:
        pong.u.pong.token = f->u.ping.token;
        send_frame(b, p, &pong, NULL);
        break;
    case TD_SETTLE:
        on_settle(b, f->u.settle.list);
        break;
    case TD_CREDIT:
        on_credit(b, f->u.credit.list);
        break;
    case TD_BYE:
        b->ended = true;
        break;
    default:
        break;
    }
}

static bool receive(struct stream_broker *b, struct peer *p)
{
    static char bytes[TD_CONTROL_BYTES_MAX];
    struct td_frame f;
    const char *why;
    int len = zmq_recv(b->router, p->id, sizeof(p->id), ZMQ_DONTWAIT);

    if (len < 0)
        return false;
    p->id_len = (size_t)len;
    len = zmq_recv(b->router, bytes, sizeof(bytes), 0);
    if (len >= 0 && !td_frame_decode(&f, bytes, (size_t)len, true, &why))
        on_frame(b, p, &f);
    return true;
}

static void *broker_main(void *arg)
{
    struct stream_broker *b = arg;
    struct peer peer = {{0}, 0};
    bool stop = false;

    while (!stop) {
        zmq_pollitem_t item = {.socket = b->router, .events = ZMQ_POLLIN};

        zmq_poll(&item, 1, 1);
        pthread_mutex_lock(&b->lock);
        while (receive(b, &peer))
            ;
        deliver_all(b, &peer);
        stop = b->stop;
        pthread_mutex_unlock(&b->lock);
    }
    return NULL;
}

/* ---- for the test ---- */

struct stream_broker *broker_new(void)
{
    struct stream_broker *b = calloc(1, sizeof(*b));
    size_t size = sizeof(b->url);

    if (!b)
        return NULL;
    b->piece = 500;
    pthread_mutex_init(&b->lock, NULL);
    b->context = zmq_ctx_new();
    b->router = zmq_socket(b->context, ZMQ_ROUTER);
    if (zmq_bind(b->router, "tcp://127.0.0.1:*") != 0 ||
        zmq_getsockopt(b->router, ZMQ_LAST_ENDPOINT, b->url, &size) != 0 ||
        pthread_create(&b->thread, NULL, broker_main, b) != 0) {
        zmq_close(b->router);
        zmq_ctx_term(b->context);
        free(b);
        return NULL;
    }
    return b;
}

void broker_free(struct stream_broker *b)
{
    const int linger = 0;

    pthread_mutex_lock(&b->lock);
    b->stop = true;
    pthread_mutex_unlock(&b->lock);
    pthread_join(b->thread, NULL);
    zmq_setsockopt(b->router, ZMQ_LINGER, &linger, sizeof(linger));
    zmq_close(b->router);
    zmq_ctx_term(b->context);
    pthread_mutex_destroy(&b->lock);
    free(b);
}

void broker_deliver(struct stream_broker *b, uint64_t events)
{
    pthread_mutex_lock(&b->lock);
    b->wanted += events;
    pthread_mutex_unlock(&b->lock);
}

static bool is_settled(struct stream_broker *b, uint64_t tags)
{
    bool settled = true;

    pthread_mutex_lock(&b->lock);
    for (uint64_t tag = 1; settled && tag <= tags; tag++)
        settled = b->heard[tag].verb != 0;
    pthread_mutex_unlock(&b->lock);
    return settled;
}

bool broker_wait_settled(struct stream_broker *b, uint64_t tags)
{
    const struct timespec ms = {.tv_nsec = 1000000};
    int left = WAIT_MS;

    while (!is_settled(b, tags) && left-- > 0)
        nanosleep(&ms, NULL);
    return left > 0;
}

struct heard broker_heard(struct stream_broker *b, uint64_t tag)
{
    struct heard heard;

    pthread_mutex_lock(&b->lock);
    heard = b->heard[tag];
    pthread_mutex_unlock(&b->lock);
    return heard;
}
