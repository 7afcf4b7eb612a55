/* The edge: the only code of the broker that calls libzmq, with the guard
 * (guard.h) at its side. One ROUTER, one loop, the engine inside it. */
#ifndef TD_EDGE_H
#define TD_EDGE_H

#include <stddef.h>
#include <stdint.h>

#include "broker/engine/log.h"
#include "tidings/err.h"

struct td_edge;
struct td_engine;

struct td_edge_options {
    uint64_t epoch;
    size_t memory_bytes;
    size_t session_bytes;
    int64_t grace_ms;
    const char *data; /* the folder of the store; NULL: nothing is kept */
    struct td_log log;
};

/* What is done when a descriptor of the caller's becomes readable. */
struct td_edge_watch {
    int fd; /* -1: none */
    void (*call)(void *ctx);
    void *ctx;
};

/* Opens the store and reads what is in it; td_engine_declare() is to come
 * before td_edge_run(). *why, at least TD_STORE_WHY_BYTES:
 * on failure what is wrong and what to do. */
tidings_err td_edge_new(struct td_edge **out,
                        const struct td_edge_options *options, char *why);
void td_edge_free(struct td_edge *edge);

/* For declaring streams and for other bounds: before it runs, or from a
 * watch's call. */
struct td_engine *td_edge_engine(struct td_edge *edge);

/* Listens at a tcp:// or ipc:// URL; the port may be "*". *endpoint is where
 * it really is, valid until the edge is freed. *why is a text on failure.
 * TIDINGS_EINVAL: no such URL; TIDINGS_EEXIST: in use; TIDINGS_EIO. */
tidings_err td_edge_listen(struct td_edge *edge, const char *url,
                           const char **endpoint, const char **why);

/**
 * Runs until stop_fd, a signalfd, becomes readable; then drains for at most
 * TD_STOP_MS (a second signal ends it at once) and says goodbye. Until it
 * drains, watch->call() is called from within, and reads what is there.
 * TIDINGS_EIO: libzmq failed.
 */
tidings_err td_edge_run(struct td_edge *edge, int stop_fd,
                        const struct td_edge_watch *watch);

#endif
