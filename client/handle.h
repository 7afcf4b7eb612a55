/* Handles: a bus is a slot and a generation, so that using one after it was
 * closed is an error and not a crash. The slot's lock is the bus's lock. */
#ifndef TD_HANDLE_H
#define TD_HANDLE_H

#include <pthread.h>
#include <stdint.h>

#include "tidings/tidings.h"

struct td_bus;

/* A free slot for the bus; TIDINGS_ELIMIT: there is none. The bus is found
 * under *out from now on. *lock is the slot's, not taken. */
tidings_err td_handle_new(tidings_bus **out, struct td_bus *bus,
                          pthread_mutex_t **lock);

/* Locks the slot and returns its bus; NULL and *err (ECLOSED, EFORKED,
 * EINVAL for NULL), not locked, when there is none. */
struct td_bus *td_handle_lock(tidings_bus *handle, tidings_err *err);

/* Forgets the handle; called with the lock held, returns without it. */
void td_handle_free(tidings_bus *handle);

/* A subscription's handle: its bus and its number. */
tidings_sub *td_handle_sub(tidings_bus *bus, uint32_t number);
/* As td_handle_lock(), of the subscription's bus; *number is which. */
struct td_bus *td_handle_lock_sub(tidings_sub *handle, uint32_t *number,
                                  tidings_err *err);

#endif
