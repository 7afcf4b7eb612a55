/* A relay's bus, as turn.h wants it: it waits for what became of a list. Used by
 * the relay's thread; the bus's own tells it of confirms. */
#ifndef OUTBOX_BROKER_H
#define OUTBOX_BROKER_H

#include <pthread.h>

#include "client/outbox/signal.h"
#include "client/outbox/turn.h"

struct td_broker {
    struct td_signal *signal; /* wakes the relay's thread; tells it to end */
    struct td_turn *turn;     /* is told of trouble */
    char *url;
    char *name;
    char *source; /* NULL: the bus's default */
    tidings_bus *bus;

    pthread_mutex_t lock; /* of what follows */
    size_t confirmed;     /* events of the list */
    size_t len;           /* of the list */
    tidings_err err;      /* of the first that has one */
    char stream[65];
};

tidings_err td_broker_init(struct td_broker *b, struct td_signal *signal,
                           struct td_turn *turn, const char *url,
                           const struct tidings_relay_options *options);
void td_broker_fini(struct td_broker *b);

/* For struct td_turn; ctx is a struct td_broker. */
extern const struct td_broker_ops td_broker_ops;

#endif
