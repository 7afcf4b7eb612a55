/* The broker's engine: a state machine.
 *
 * Messages and the time go in; messages and the next deadline come out. It
 * opens no socket, file or thread and reads no clock; what it needs of the
 * world is in struct td_port. One thread owns it. Data flows one way:
 *
 *   message.c -> publish.c -> router.c -> group.c -> deal.c -> deliver.c -> send
 *
 * and what is to be sent leaves in td_engine_flush(), once for each turn of
 * the loop around it, so that load makes batches. */
#ifndef TD_ENGINE_H
#define TD_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/engine/log.h"
#include "proto/body.h"
#include "proto/scan.h"
#include "tidings/err.h"

struct td_engine;
struct td_store;

struct td_port {
    /* Send one message to a peer; control is borrowed during the call, body
     * (NULL: none) too, a reference is taken by whoever keeps it. Must not
     * call back. false: the peer is gone or takes nothing; its session ends. */
    bool (*send)(void *ctx, struct td_str peer, const void *control, size_t len,
                 struct td_body *body);
    /* Unguessable bytes, for the tokens of sessions; false: there are none now.
     * NULL: there never are, so that no session can be resumed. */
    bool (*random)(void *ctx, void *out, size_t len);
    /* Microseconds since 1970, for the broker's own events; NULL: always 0. */
    int64_t (*unix_us)(void *ctx);
    void *ctx;
};

struct td_engine_options {
    uint64_t epoch;       /* of this life of the broker, not 0, below 2^63 */
    uint64_t seed;        /* unguessable: of tables of what peers name, so that
                             nobody can choose names that meet in them */
    size_t memory_bytes;  /* all queues together; 0: TD_MEMORY_BYTES */
    size_t session_bytes; /* those of one session; 0: TD_SESSION_BYTES */
    int64_t grace_ms; /* a session away is kept so long; 0: TD_GRACE_MS, below
                         0: it is not */
    const char *version;    /* for STATS */
    struct td_store *store; /* borrowed, for as long as the engine is; NULL:
                               streams are in memory alone. Its answers are taken
                               in td_engine_flush(): call that when its fd is
                               readable */
    bool declares; /* td_engine_declare() is called once the store is read, and
                      makes the stream that is always there */
    bool trusted;  /* bodies come from this process's own packer: they are not
                     walked, so that the first to touch them is their handler */
    struct td_port port;
    struct td_log log;
};

#define TD_NEVER INT64_MAX

/* TIDINGS_ENOMEM: nothing was made. */
tidings_err td_engine_new(struct td_engine **out,
                          const struct td_engine_options *options,
                          int64_t now_ms);
void td_engine_free(struct td_engine *e); /* sends nothing */

/**
 * One message from a peer.
 *
 * @param peer    1..255 bytes by which send() finds it again.
 * @param frames  how many frames there were: 1, or 2 with a body; any other
 *                number is a bad message whatever it holds.
 * @param body    NULL unless frames is 2; borrowed, kept by reference.
 * @param now_ms  monotonic; never less than in an earlier call.
 */
void td_engine_message(struct td_engine *e, struct td_str peer, unsigned frames,
                       const void *control, size_t len, struct td_body *body,
                       int64_t now_ms);

/* The peer's connection is known to be over. */
void td_engine_gone(struct td_engine *e, struct td_str peer, int64_t now_ms);

/* Ends the turn: delivers, tells credit, looks at clocks. Returns when it
 * wants to be called again, on now_ms's clock, or TD_NEVER. */
int64_t td_engine_flush(struct td_engine *e, int64_t now_ms);

/* From now on no session begins, no credit is given to publishers, and requests
 * are refused. */
void td_engine_drain(struct td_engine *e);

/* Whether everything that was published is delivered, and all that was asked
 * is answered. */
bool td_engine_is_idle(const struct td_engine *e);

/* Says goodbye to all sessions. */
void td_engine_stop(struct td_engine *e, int64_t now_ms);

/* Whether the store has been read: until then nothing is to be let in, and
 * td_engine_flush() called when the store has answered. *err: why it could not
 * be, once it is true. */
bool td_engine_is_loaded(const struct td_engine *e, tidings_err *err);

/* Other bounds from now on: as in struct td_engine_options. */
void td_engine_bound(struct td_engine *e, size_t memory_bytes,
                     size_t session_bytes, int64_t grace_ms);

/* Whether all that was submitted to the store is answered. */
bool td_engine_is_written(const struct td_engine *e);

/* What the sum of the queues keeps, in bytes. For tests and the loop. */
size_t td_engine_held_bytes(const struct td_engine *e);

#endif
