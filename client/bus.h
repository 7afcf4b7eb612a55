/* A bus: the pure session, a link, the threads around them, and what waits to
 * be handed to handlers.
 *
 * One lock, that of the bus's slot, guards all of it but the batch that is
 * being packed, which has its own. At most one thread at a
 * time drives: it polls the link without the lock, reads it with it, and lets
 * the session do what is due. At most one dispatches: it calls handlers,
 * without the lock. The I/O thread does both in turn, so an event reaches its
 * handler without changing threads. While a handler runs for long, whoever
 * waits for something drives; and if nobody waits, the keeper does it often
 * enough to keep the link alive. A publisher sends on its own thread. */
#ifndef TD_BUS_H
#define TD_BUS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/event.h"
#include "client/link.h"
#include "client/session.h"
#include "tidings/tidings.h"

/* One subscription's handler. */
struct td_bus_sub {
    struct td_bus_sub *prev;
    struct td_bus_sub *next;
    unsigned refs;
    uint32_t number;
    struct td_csub *csub; /* NULL once it is over */
    tidings_handler handler;
    void *arg;
    atomic_bool ended; /* the handler is not to be called any more */
    bool drained;      /* tidings_drain() ends it, and forgets it */
};

/* Something to be dispatched, in order of arrival. */
struct td_notice {
    struct td_notice *next;
    uint32_t sub;               /* number; 0: none */
    struct td_message *message; /* a delivery; NULL: a status */
    struct td_str batches;      /* in the message */
    uint64_t session;           /* td_client.connects when it arrived */
    uint64_t events;            /* not yet handled */
    enum tidings_status_kind kind;
    tidings_err err;
    uint64_t count;
    char text[160];
};

/* Where the dispatcher is in a delivery; its thread's alone. */
struct td_cursor {
    struct td_notice *notice; /* NULL: in none */
    struct td_batches batches;
    uint32_t batch;
    uint32_t run;       /* in that batch */
    uint32_t event;     /* in that run */
    const uint8_t *p;   /* the next event */
    const uint8_t *end; /* of its run */
    struct tidings_event view;
    bool has_attrs; /* the event in view */
    struct td_event_scratch scratch;
    char id[TD_ID_TEXT_BYTES + 1];
    char type[TD_TYPE_BYTES_MAX + 1];
    char source[TD_SOURCE_BYTES_MAX + 1];
};

struct td_bus {
    pthread_mutex_t *lock;   /* of the slot */
    pthread_mutex_t *packer; /* of the slot: guards client.packer and
                                packing_over; taken after lock, or alone */
    pthread_cond_t changed;  /* anything that a call may wait for … */
    pthread_cond_t room;     /* … but this: there is room to publish */
    pthread_cond_t stopped;  /* the keeper waits for this alone */
    tidings_bus *handle;
    char *url;
    char name[TD_NAME_BYTES_MAX + 1];
    char source[TD_SOURCE_BYTES_MAX + 1];
    int publish_timeout_ms;
    int close_timeout_ms;
    bool own_loop;
    void (*on_status)(void *arg, const struct tidings_status *status);
    void *on_status_arg;

    struct td_client client;
    const struct td_backend *backend;
    struct td_link *link;
    bool packing_over; /* the bus is being closed */
    bool sent;         /* something, since it was last looked at */

    int wake_fd;           /* ends a poll early */
    bool driving;          /* some thread polls or reads the link */
    bool polling;          /* … polls, without the lock */
    unsigned waiting;      /* threads that wait for changed */
    unsigned room_waiting; /* … for room */
    unsigned users;        /* calls that wait */
    bool closing;          /* calls that wait give up */
    bool close_called;
    bool stop; /* threads end */
    pthread_t io_thread;
    pthread_t keeper_thread;

    struct td_bus_sub *subs;
    struct td_notice *notices;
    struct td_notice **notices_tail;
    uint64_t waiting_events;
    bool dispatching;
    pthread_t dispatcher;
    struct td_bus_sub *running; /* whose handler is being called */
    struct td_cursor *cursor;
    int dispatch_fd; /* own_loop: readable while something waits; or -1 */
    uint64_t delivered;
    uint64_t failed;
};

/* bus.c */
tidings_err td_bus_new(struct td_bus **out, const char *url,
                       const struct tidings_options *options);
/* Ends the threads and frees the bus. Called with the lock, by nobody but
 * tidings_close(); the lock is released and the handle is gone. */
void td_bus_free(struct td_bus *b);

int64_t td_now_ms(void);
int64_t td_now_us(void); /* monotonic */
int64_t td_unix_us(void);
int64_t td_unix_coarse_us(void); /* a tick late at most, and cheap */

/* The rest is called with the lock held. */

/* Waits until done() or the deadline, letting the lock go meanwhile; false:
 * the deadline passed, or the bus is being closed. */
bool td_bus_wait(struct td_bus *b, bool (*done)(struct td_bus *b, void *arg),
                 void *arg, int64_t deadline_ms);

/* The bus is being closed: waits until no call waits any more. */
void td_bus_leave(struct td_bus *b);

/* The same for room to publish. */
bool td_bus_wait_room(struct td_bus *b, int64_t deadline_ms);

/* After calls into the session: the driver may have to look at the link, or
 * at the clock. */
void td_bus_touched(struct td_bus *b);

/* Something changed that others may wait for. */
void td_bus_changed(struct td_bus *b);

struct td_bus_sub *td_bus_sub_find(struct td_bus *b, uint32_t number);
void td_bus_sub_unref(struct td_bus_sub *sub);

/* dispatch.c */
/* Whether this thread is inside one of the bus's handlers. */
bool td_in_handler(const struct td_bus *b);
bool td_has_notices(const struct td_bus *b);
void td_push_notice(struct td_bus *b, struct td_notice *n);
/* Calls handlers for at most max events; nobody else may be dispatching. */
size_t td_dispatch(struct td_bus *b, size_t max);
void td_cursor_free(struct td_cursor *cursor);
void td_notices_free(struct td_bus *b);

#endif
