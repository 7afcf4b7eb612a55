/* What a process uses, and processes that may use little. */
#ifndef TESTS_SYSTEM_USAGE_H
#define TESTS_SYSTEM_USAGE_H

#include <stdbool.h>

#include "tests/support/proc.h"

/** Whether the long run was asked for: TIDINGS_LONG is set and not 0. */
bool usage_is_long(void);

/** Processor time that it has used so far; -1 when it has ended. */
long usage_cpu_ms(const struct td_proc *p);

/** Descriptors that it has open; -1 when it has ended. */
int usage_descriptors(const struct td_proc *p);
/** The same of this process. */
int usage_own_descriptors(void);

/** Let this process open so many; false when it may not. */
bool usage_may_open(unsigned descriptors);

/**
 * Start tidingsd on a free port, limited. Asserts that it gets ready.
 *
 * @param limits   what the shell is to say before, "ulimit -n 256".
 * @param options  more arguments of tidingsd in one text, or "".
 */
void usage_broker_start(struct td_daemon *d, const char *limits,
                        const char *options);

#endif
