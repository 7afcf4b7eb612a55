/* Where bodies meet libzmq's messages: shared by the broker's edge and the
 * client's link. Not part of the pure library. */
#ifndef TD_ZMQ_BODY_H
#define TD_ZMQ_BODY_H

#include <stdbool.h>
#include <zmq.h>

#include "proto/body.h"

/* A body with the message's content; the caller still closes the message.
 * Large ones are kept as they are; those below TD_COPY_BYTES are copied,
 * because libzmq would keep its whole receive buffer for them. NULL without
 * memory. */
struct td_body *td_zmq_body_of(zmq_msg_t *message);

/* Sends a body as the last frame of a message, without waiting; large ones by
 * reference. false: it was not sent. */
bool td_zmq_send_body(void *socket, struct td_body *body);

#endif
