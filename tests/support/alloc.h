/* Makes allocations fail, one after the other (FAULTS R02). Link with ALLOC
 * in td_test(). Sees malloc, calloc, realloc, strdup and free of the objects
 * linked into the test; not of shared libraries. */
#ifndef TESTS_SUPPORT_ALLOC_H
#define TESTS_SUPPORT_ALLOC_H

#include <stdbool.h>
#include <stddef.h>

#include "tidings/err.h"

enum td_alloc_way {
    TD_ALLOC_ONE, /* the n-th allocation fails, those after it do not */
    TD_ALLOC_REST /* nor does any after it succeed, until it is disarmed */
};

/* The n-th allocation of this thread from now on fails, once; 0 disarms. */
void td_alloc_fail(size_t n);

/* The same, or from the n-th on; 0 disarms. */
void td_alloc_arm(enum td_alloc_way way, size_t n);

/* Whether the failure armed last has happened. */
bool td_alloc_failed(void);

/* From now on none fails, on this thread or as one of all; what has happened
 * is still told. */
void td_alloc_stop(void);

/* While they are held this thread's allocations neither count nor fail: a test
 * holds what it does itself between calls into what it tests. Holds nest. */
void td_alloc_hold(bool on);

/* The same, with the allocations of all threads counted together. */
void td_alloc_arm_all(enum td_alloc_way way, size_t n);
bool td_alloc_failed_anywhere(void);

/* Blocks that are allocated and not freed, on all threads. True only while
 * the objects free what they allocated themselves; the pool of large bodies
 * (proto/body.c) keeps some for ever, but not under the address sanitizer. */
size_t td_alloc_live(void);

/**
 * Run a scenario again and again: with its first allocation failing, then
 * its second, until it runs through without meeting the failure. Then the
 * same with all allocations failing from the first on, from the second on.
 *
 * Asserts that each run that met it returns TIDINGS_ENOMEM, those that did
 * not TIDINGS_OK, and that no run leaves memory behind.
 *
 * @return how many allocations the scenario makes.
 */
size_t td_alloc_each(tidings_err (*run)(void *arg), void *arg);

#endif
