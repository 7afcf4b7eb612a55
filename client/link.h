/* A link: one connection to a broker, over ZeroMQ or inside the process. Each
 * backend is one row of functions; nothing above knows which it is.
 *
 * Threads: a link has no lock of its own. Every call is made under the lock
 * of its bus, which is the full fence that libzmq asks for when a socket
 * passes from one thread to another. */
#ifndef TD_LINK_H
#define TD_LINK_H

#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "proto/body.h"
#include "tidings/err.h"

/* A message that has arrived; one block, counted: it may hold deliveries of
 * several subscriptions. */
struct td_message {
    struct td_message *next;
    atomic_uint refs;
    struct td_body *body; /* NULL: none */
    size_t len;
    unsigned char control[];
};

/* control NULL: that is filled in afterwards. */
struct td_message *td_message_new(const void *control, size_t len,
                                  struct td_body *body);
struct td_message *td_message_ref(struct td_message *m);
void td_message_unref(struct td_message *m); /* NULL does nothing */

enum td_receive {
    TD_RECEIVED, /* *out is set */
    TD_NOTHING,  /* now; the descriptors tell when to try again */
    TD_LINK_LOST /* *why is set */
};

#define TD_LINK_FDS_MAX 2

struct td_link;

struct td_backend {
    const char *scheme; /* "tcp://" */
    /* TIDINGS_EINVAL: rest is no address of this scheme. Called once, before
     * any open; what it makes is given to the others. */
    tidings_err (*new)(struct td_link **out, const char *url);
    void (*free)(struct td_link *link);        /* closes it first */
    tidings_err (*open)(struct td_link *link); /* it is not open */
    void (*close)(struct td_link *link); /* what was sent still goes out */
    bool (*send)(struct td_link *link, const void *control, size_t len,
                 struct td_body *body);
    enum td_receive (*receive)(struct td_link *link, struct td_message **out,
                               const char **why);
    /* Whether receive() would have something, as far as can be told now. */
    bool (*has_input)(struct td_link *link);
    /* Descriptors to poll for reading, after receive() said TD_NOTHING;
     * returns how many. */
    int (*fds)(struct td_link *link, struct pollfd out[TD_LINK_FDS_MAX]);
    /* What came of polling them: receive() need not look where nothing is.
     * NULL: it looks anyway. */
    void (*polled)(struct td_link *link, const struct pollfd *fds);
};

extern const struct td_backend td_backend_tcp;
extern const struct td_backend td_backend_ipc;
extern const struct td_backend td_backend_inproc;

/* The backend of a URL; NULL: no such scheme. */
const struct td_backend *td_backend_of(const char *url);

#endif
