/* What all the simulations tell, and how. */
#ifndef TESTS_SIM_TELL_H
#define TESTS_SIM_TELL_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/sim/seeds.h"

/* What happened, and when, is part of the history's hash. */
void sim_tell_hash(struct sim_result *out, int64_t now_ms, const void *data,
                   size_t len);
/* A line on standard output. */
void sim_tell_line(int64_t now_ms, const char *format, va_list args);
/* The property that did not hold, and where. */
void sim_tell_failure(struct sim_result *out, int64_t now_ms, const char *where,
                      int line, const char *format, va_list args);

/* Zeroed memory, and an array with room for one more; without memory the
 * process ends. */
void *sim_alloc(size_t size);
void *sim_grow(void *array, uint64_t len, uint64_t *cap, size_t size);

#endif
