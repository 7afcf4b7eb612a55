/* The event of a stream that a thread is calling a handler with: where it
 * stands there, and what is to become of its delivery. Threads that call
 * handlers have one each, around a section of calls; a handler that calls
 * tidings_dispatch() of another bus has two. */
#ifndef TD_HERE_H
#define TD_HERE_H

#include <stdbool.h>
#include <stdint.h>

#include "client/guarded.h"
#include "client/outcome.h"
#include "proto/frame.h"
#include "tidings/tidings.h"

struct td_bus;
struct td_bus_sub;
struct td_call;
struct td_view;

/* The spans of a delivery, looked through from the front. */
struct td_spans {
    struct td_str list;
    uint64_t first; /* tag of the delivery's first event */
    struct td_reader rest;
    uint32_t left; /* rows in it */
    uint64_t at;   /* tag of this span's first event */
    struct td_span span;
};

struct td_here {
    struct td_here *outer; /* of the same thread */
    struct td_bus *bus;
    struct td_bus_sub *sub;
    const struct tidings_event *event; /* NULL: the handler does not run */
    uint64_t tag;                      /* of the event that comes next */
    uint64_t incarnation;
    struct td_spans spans;
    struct td_outcomes *outcomes; /* NULL: a reader's, nothing to settle */
    struct td_guarded guarded;    /* durable: the call that runs */
    bool parks;   /* the group: what follows in this section goes back */
    char *detail; /* the thread's */
};

/* A delivery of a stream, other than the one before. */
void td_here_at(struct td_here *h, struct td_bus *b, struct td_bus_sub *sub,
                uint64_t incarnation, uint64_t first, struct td_str spans);

/* Around calls. */
void td_here_enter(struct td_here *h);
void td_here_leave(struct td_here *h);

enum td_handled {
    TD_HANDLED_NOT, /* it goes back, or is worth nothing any more */
    TD_HANDLED_WELL,
    TD_HANDLED_BADLY
};

/* Hands the event in view over, without the bus's lock, and notes what came of
 * it. There must be room for an outcome. keyed: events of its run have keys. */
enum td_handled td_here_handle(struct td_here *h, struct td_call *call,
                               const struct td_view *view, bool keyed);

/* The event cannot be opened: that is told, and it is settled accordingly. */
void td_here_unreadable(struct td_here *h, struct td_call *call,
                        const struct td_view *view, tidings_err err);

/* The one that this event belongs to, on this thread; NULL: none. */
struct td_here *td_here_of(const struct tidings_event *event);
/* Where the event at hand stands. */
void td_here_span(struct td_here *h, uint64_t *sequence, uint32_t *deliveries);

/* With the bus's lock: */

/* Tells the session; there are none afterwards. */
void td_bus_settle(struct td_bus *b, struct td_bus_sub *sub,
                   uint64_t incarnation, struct td_outcomes *outcomes);
/* The same for what handlers on this thread have said so far. */
void td_here_flush(struct td_bus *b, struct td_bus_sub *sub);
/* A handler on this thread is about to have its own event delivered again. */
void td_here_park(struct td_bus *b, struct td_bus_sub *sub, uint64_t tag);
/* After a message: a PING may have been answered, or a session begun. */
void td_bus_look_settling(struct td_bus *b, uint64_t pong,
                          uint64_t incarnation);

#endif
