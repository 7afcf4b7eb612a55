/* Handles: a bus is a slot and a generation, so that using one after it was
 * closed is an error and not a crash. The slot's locks are the bus's. */
#ifndef TD_HANDLE_H
#define TD_HANDLE_H

#include <pthread.h>
#include <stdint.h>

#include "tidings/tidings.h"

struct td_bus;

/* A slot has two locks: one for the bus, and one for packing events into its
 * batch, taken after the first or alone. */
struct td_locks {
    pthread_mutex_t bus;
    pthread_mutex_t packer;
};

/* A free slot for the bus; TIDINGS_ELIMIT: there is none. The bus is found
 * under *out from now on. *locks are the slot's, not taken. */
tidings_err td_handle_new(tidings_bus **out, struct td_bus *bus,
                          struct td_locks **locks);

/* Locks the slot and returns its bus; NULL and *err (ECLOSED, EFORKED,
 * EINVAL for NULL), not locked, when there is none. */
struct td_bus *td_handle_lock(tidings_bus *handle, tidings_err *err);

/* Whether the bus is there, and ours, without locking anything. */
tidings_err td_handle_check(tidings_bus *handle);

/* The same, but NULL and TIDINGS_EFULL when another thread has the lock. */
struct td_bus *td_handle_try_lock(tidings_bus *handle, tidings_err *err);

/* The same with the packer's lock, and nothing else: the bus stays while it is
 * held. */
struct td_bus *td_handle_lock_packer(tidings_bus *handle, tidings_err *err);

/* Forgets the handle; called with the lock held, returns without it. */
void td_handle_free(tidings_bus *handle);

/* A subscription's handle: its bus and its number. */
tidings_sub *td_handle_sub(tidings_bus *bus, uint32_t number);
/* As td_handle_lock(), of the subscription's bus; *number is which. */
struct td_bus *td_handle_lock_sub(tidings_sub *handle, uint32_t *number,
                                  tidings_err *err);

#endif
