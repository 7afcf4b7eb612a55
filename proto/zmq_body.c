#include "proto/zmq_body.h"

#include "proto/limits.h"

#include <errno.h>
#include <stdlib.h>

struct zmq_body {
    struct td_body body; /* first: it is handed out as this */
    zmq_msg_t message;
};

static void release(struct td_body *self)
{
    struct zmq_body *b = (struct zmq_body *)self;

    zmq_msg_close(&b->message);
    free(b);
}

struct td_body *td_zmq_body_of(zmq_msg_t *message)
{
    size_t len = zmq_msg_size(message);
    struct zmq_body *b;

    if (len < TD_COPY_BYTES)
        return td_body_copy(zmq_msg_data(message), len);
    b = malloc(sizeof(*b));
    if (!b)
        return NULL;
    zmq_msg_init(&b->message);
    zmq_msg_move(&b->message, message);
    atomic_init(&b->body.refs, 1);
    b->body.data = zmq_msg_data(&b->message);
    b->body.len = len;
    b->body.release = release;
    return &b->body;
}

static void unref(void *data, void *hint)
{
    (void)data;
    td_body_unref(hint); /* on libzmq's thread: the count is atomic */
}

/* A signal may end a call of libzmq's before it did anything. */
static bool send_copy(void *socket, const struct td_body *body)
{
    int n;

    do
        n = zmq_send(socket, body->data, body->len, ZMQ_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n >= 0;
}

bool td_zmq_send_body(void *socket, struct td_body *body)
{
    zmq_msg_t message;
    int n;

    if (body->len < TD_COPY_BYTES)
        return send_copy(socket, body);
    td_body_ref(body);
    if (zmq_msg_init_data(&message, (void *)body->data, body->len, unref,
                          body) != 0) {
        td_body_unref(body);
        return false;
    }
    do
        n = zmq_msg_send(&message, socket, ZMQ_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        return true;
    zmq_msg_close(&message);
    return false;
}
