/* What the files of the public calls share: how each begins, and why it ends
 * without what it was for.
 *
 * api.c            buses: opening, waiting, closing
 * api_publish.c    publishing
 * api_publish_all.c  lists and conditions
 * api_service.c    services
 * api_discover.c   who there is
 * api_subscribe.c  subscribing, unsubscribing, draining
 * api_settle.c     what handlers may know and say of a delivery
 * api_fetch.c      fetching, where there is no handler
 * api_stream.c     streams, durable groups, and the broker's calls
 * api_loop.c       a loop of the caller's own
 * api_look.c       looking at it
 * api_request.c    requests, and waiting for their answers
 * api_many.c       … of many */
#ifndef TD_API_H
#define TD_API_H

#include "client/bus.h"

/* Locks; NULL and *err when the bus is not to be used any more. */
struct td_bus *td_enter(tidings_bus *handle, tidings_err *err);
void td_exit(struct td_bus *b);

tidings_err td_check_timeout(int timeout_ms);

tidings_err td_is_fenced(const struct td_bus *b); /* the detail says it */

/* Why a wait ended without what it was for. */
tidings_err td_why_not(struct td_bus *b, const char *what);

/* Asks the broker and waits; q->result is the caller's on success. */
tidings_err td_ask(tidings_bus *bus, struct td_question *q, enum td_op op,
                   int timeout_ms);

/* The same with the lock; a result that nobody gets is freed. */
tidings_err td_ask_locked(struct td_bus *b, struct td_question *q,
                          enum td_op op, int timeout_ms);

/* Waits until the broker has taken all that is packed by now, and confirmed
 * what it was asked to. */
bool td_flush(struct td_bus *b, int64_t deadline_ms);
/* Events that it has not, and those that it has not even taken. */
uint64_t td_unconfirmed(struct td_bus *b);
uint64_t td_untaken(struct td_bus *b);

/* api_publish.c: what is checked of an event, and encoded; attrs belongs to
 * out. */
tidings_err td_prepare(struct td_packing *out, struct td_buf *attrs,
                       const struct tidings_event *event,
                       const struct tidings_publish_options *options);
/* That of this event, of the bus, or of the callback. */
enum tidings_level td_level_of(const struct td_bus *b,
                               const struct td_packing *event);
/* Whether an event may be packed under that number, 0: the next; the detail
 * says why not. With the packer's lock. */
tidings_err td_may_pack(const struct td_bus *b, uint64_t sequence);
/* As tidings_publish(), but without waiting for room. */
tidings_err td_publish_now(tidings_bus *bus, const char *type, const void *data,
                           size_t len);
/* There was no room, or the bus is being closed: the code, and the detail. */
tidings_err td_is_full(struct td_bus *b);

/* api_request.c: why the session did not take a request, or nobody waits any
 * more; the detail says it. */
tidings_err td_not_asked(struct td_bus *b, const struct td_request *r,
                         tidings_err err);
/* The detail of an answer that is none; returns its code. */
tidings_err td_say_response(const struct td_bus *b,
                            const struct tidings_reply *reply,
                            const char *type);
/* 1 to a day; 0: the default. */
tidings_err td_check_request_timeout(int *timeout_ms);

#endif
