/* Makes allocations fail, one after the other (FAULTS R02). Link with ALLOC
 * in td_test(). Counts malloc, calloc, realloc and strdup of the objects
 * linked into the test, on the thread that armed it; not of shared
 * libraries. */
#ifndef TESTS_SUPPORT_ALLOC_H
#define TESTS_SUPPORT_ALLOC_H

#include <stdbool.h>
#include <stddef.h>

#include "tidings/err.h"

/* The n-th allocation of this thread from now on fails, once; 0 disarms. */
void td_alloc_fail(size_t n);

/* Whether the failure armed last has happened. */
bool td_alloc_failed(void);

/**
 * Run a scenario again and again: with its first allocation failing, then
 * its second, until it runs through without meeting the failure.
 *
 * Asserts that each run that met it returns TIDINGS_ENOMEM, and the last one
 * TIDINGS_OK. What a run leaks the address sanitizer finds.
 *
 * @return how many allocations the scenario makes.
 */
size_t td_alloc_each(tidings_err (*run)(void *arg), void *arg);

#endif
