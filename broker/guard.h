/* The guard: keeps the process below its limit of open descriptors. libzmq
 * goes round its loop without a rest when accept() fails for want of one. */
#ifndef TD_GUARD_H
#define TD_GUARD_H

#include "broker/engine/log.h"
#include "tidings/err.h"

struct td_guard;

/**
 * Let the process have as many descriptors as it may, and turn away, from now
 * on, the connections to router that would take one of the last.
 *
 * TIDINGS_ENOMEM, TIDINGS_EIO: libzmq, or no thread.
 */
tidings_err td_guard_new(struct td_guard **out, void *context, void *router,
                         const struct td_log *log);

/** Before the router is closed. NULL is allowed. */
void td_guard_free(struct td_guard *guard);

#endif
