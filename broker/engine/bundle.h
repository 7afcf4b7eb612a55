/* What waits to be sent to a session of requests and of answers: rows of one
 * HANDLE or RESPONSE, with the bytes that belong to them. What comes together
 * goes together; a session that does not read has what comes meanwhile in a few
 * large messages, within a bound. */
#ifndef TD_BUNDLE_H
#define TD_BUNDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/body.h"
#include "proto/buf.h"
#include "proto/frame.h"

struct td_engine;
struct td_session;

/* One message. */
struct td_bundle {
    struct td_bundle *next;
    uint32_t rows;
    bool closed;        /* nothing more goes into it */
    int64_t made_ms;    /* its first row */
    struct td_buf list; /* the rows, behind a head that is set when it goes */
    struct td_buf body;
    struct td_body *whole; /* instead: of a row that is large */
};

/* A session's, of one operation; the oldest first. */
struct td_bundles {
    struct td_bundle *first;
    struct td_bundle *last;
    uint32_t rows; /* in all of them */
};

struct td_session_bundles {
    struct td_bundles handles;
    struct td_bundles responses;
    size_t bytes;          /* of both */
    size_t out_bytes;      /* of messages that are sent, and not known to be
                              read: too many rather than too few … */
    size_t out_late_bytes; /* … and of those the ones sent after … */
    uint64_t out_mark;     /* … this one: messages_out with it */
    bool queued;           /* in the engine's list */
    struct td_session *prev;
    struct td_session *next;
};

/* The engine's. */
struct td_bundling {
    struct td_session *ready; /* list of sessions that something waits for */
    struct td_bundle *spare;  /* list of bundles to be used again */
    uint32_t spare_len;
    size_t bytes;     /* that wait for all sessions … */
    size_t out_bytes; /* … and that these have not read */
};

#define TD_BUNDLE_HEAD 3u /* bytes before its rows */

/* ---- bundle.c: gathering ---- */

void td_bundling_fini(struct td_engine *e);
struct td_bundle *td_bundle_new(struct td_engine *e); /* NULL: no memory */
void td_bundle_done(struct td_engine *e, struct td_bundle *b);
size_t td_bundle_bytes(const struct td_bundle *b);
/* The first, which is there, out of its session's; and back. */
struct td_bundle *td_bundles_take(struct td_engine *e, struct td_session *s,
                                  struct td_bundles *of);
void td_bundles_put_back(struct td_engine *e, struct td_session *s,
                         struct td_bundles *of, struct td_bundle *b);

/* It has room for one more message: it reads. */
bool td_bundles_may_go(const struct td_engine *e, const struct td_session *s);
/* What waits and what is sent, as if nobody shared; and what is meant for it of
 * memory_bytes. */
size_t td_bundling_bytes(const struct td_engine *e);
size_t td_bundling_bytes_max(const struct td_engine *e);
/* Whether so many bytes more may wait for it. */
bool td_bundle_has_room(const struct td_engine *e, const struct td_session *s,
                        size_t bytes);
/* A row of a HANDLE, whose bytes are in a body. False: there is no room for it,
 * or no memory. */
bool td_bundle_handle(struct td_engine *e, struct td_session *s,
                      const struct td_handle_row *row, struct td_body *body,
                      size_t offset);
/* A row of a RESPONSE; of one that there is no room for the data is dropped, and
 * its code is EFULL then. A session that does not read at all ends. */
void td_bundle_response(struct td_engine *e, struct td_session *s,
                        const struct td_response_row *row, struct td_body *body,
                        size_t offset);
/* ---- bundle_send.c ---- */

/* Sends what may be sent; false: something could be sent, and was not for want
 * of memory. */
bool td_bundles_send(struct td_engine *e);
/* It has said how many messages it has read. */
void td_bundles_seen(struct td_engine *e, struct td_session *s);
/* ---- bundle.c ---- */

/* The session may be sent more messages than before. */
void td_bundles_wake(struct td_engine *e, struct td_session *s);
/* Nothing of it will be sent. */
void td_bundles_drop(struct td_engine *e, struct td_session *s);

#endif
